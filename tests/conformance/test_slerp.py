"""Quaternions of any length: unit output, and the gradient of the function that makes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend
from tests.conformance.reference import Options
from tests.conformance.test_resample import FLOATS, compare

TIMES = np.array([0.0, 1.0, 2.0, 2.0, 3.0, 5.0])
TARGETS = np.array([-1.0, 0.0, 0.25, 1.0, 1.5, 2.0, 2.5, 3.0, 4.9, 5.0, 6.0])
NEAR = {torch.float64: 1e-12, torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def quaternions(batch: int = 3) -> np.ndarray:
    """[batch, S, 4], their lengths from 0.2 to 5."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(batch, len(TIMES), 4))
    lengths = rng.uniform(0.2, 5.0, (batch, len(TIMES), 1))
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True) * lengths)


def slerp(backend: Backend, values: torch.Tensor, targets: Any = TARGETS, **options: Any) -> Any:
    return rc.resample_trajectories(
        values,
        backend.tensor(TIMES),
        backend.tensor(targets),
        mode="slerp",
        backend=backend.argument,
        **options,
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("options", [{}, {"max_gap": 1.5}, {"tolerance": 0.5}], ids=str)
def test_the_output_is_of_unit_length(
    backend: Backend, dtype: torch.dtype, options: dict[str, float]
) -> None:
    values = quaternions()
    out = slerp(backend, backend.tensor(values, dtype), **options)
    lengths = out.cpu().double().norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0, atol=NEAR[dtype])
    times = np.broadcast_to(TIMES, values.shape[:2])
    near = 1e-7 if dtype == torch.float64 else 10 * NEAR[dtype]
    for outside in ("hold", "nan", "zero"):
        chosen = Options(mode="slerp", outside=outside, **options)
        compare(backend, values, times, TARGETS, chosen, dtype, near=near)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_unit_quaternions_keep_their_bits_at_stamps(backend: Backend, dtype: torch.dtype) -> None:
    values = backend.tensor(quaternions(200))
    unit = (values / values.norm(dim=-1, keepdim=True)).to(dtype)
    out = slerp(backend, unit, TIMES)
    newest = unit[:, [0, 1, 3, 3, 4, 5]]
    assert torch.equal(out, newest)
    out = slerp(backend, unit, np.array([-7.0, 9.0]))
    assert torch.equal(out, unit[:, [0, 5]])


def test_no_length_is_no_rotation(backend: Backend) -> None:
    values = backend.tensor(quaternions(1))
    values[:, 1] = 0
    out = slerp(backend, values)[0].cpu()
    touched = (TARGETS > 0) & (TARGETS < 2)
    assert out[touched].isnan().all()
    assert torch.isfinite(out[~touched]).all()


@pytest.mark.parametrize("outside", ["hold", "zero"])
def test_gradcheck_off_the_unit_sphere(backend: Backend, outside: str) -> None:
    values = backend.tensor(quaternions(2)).requires_grad_()
    lengths = backend.tensor(np.array([6, 4]))

    def call(v: torch.Tensor) -> Any:
        return slerp(backend, v, outside=outside, max_gap=1.5, lengths=lengths)

    assert torch.autograd.gradcheck(call, values, atol=1e-6)
    with torch.no_grad():
        plain = call(values)
    torch.testing.assert_close(call(values).detach(), plain, rtol=1e-12, atol=1e-12)


def test_gradcheck_on_the_unit_sphere(backend: Backend) -> None:
    values = backend.tensor(quaternions(2))
    values = (values / values.norm(dim=-1, keepdim=True)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: slerp(backend, v), values, atol=1e-6)
    (gradient,) = torch.autograd.grad(slerp(backend, values).sum(), values)
    # A longer quaternion is the same rotation.
    along = (gradient * values).sum(-1)
    torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-12)
