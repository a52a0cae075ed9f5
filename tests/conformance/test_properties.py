"""What must hold for any input, whatever the values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import robocache as rc
from tests.conformance.backends import Backend
from tests.conformance.test_resample import EPOCH_NS

MODES = ["linear", "hold", "nearest", "cubic"]
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def trajectories(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values [S, D] float32, strictly increasing times [S] and targets [T] in int64 ns."""
    length = draw(st.integers(1, 24))
    width = draw(st.integers(1, 9))
    steps = draw(st.lists(st.integers(1, 10**9), min_size=length, max_size=length))
    values = draw(hnp.arrays(np.float32, (length, width), elements=st.floats(-1e3, 1e3, width=32)))
    times = EPOCH_NS + np.cumsum(np.array(steps, dtype=np.int64))
    targets = draw(
        st.lists(st.integers(-(10**9), int(times[-1] - EPOCH_NS) + 10**9), min_size=1, max_size=16)
    )
    return values, times, EPOCH_NS + np.array(targets, dtype=np.int64)


def put(backend: Backend, values: np.ndarray, times: np.ndarray, targets: np.ndarray, mode: str):
    return rc.resample_trajectories(
        backend.tensor(values[None]),
        backend.tensor(times),
        backend.tensor(targets),
        mode=mode,
        backend=backend.argument,
    ).cpu()[0]


@QUICK
@given(trajectories(), st.sampled_from(MODES))
def test_stamps_give_back_the_samples(backend: Backend, case, mode: str) -> None:
    values, times, _ = case
    assert torch.equal(put(backend, values, times, times, mode), torch.as_tensor(values))


@QUICK
@given(trajectories(), st.sampled_from([*MODES, "mean", "max", "min"]))
def test_constant_stays_constant(backend: Backend, case, mode: str) -> None:
    values, times, targets = case
    flat = np.broadcast_to(values[:1], values.shape).copy()
    out = put(backend, flat, times, targets, mode).numpy()
    if mode in ("cubic", "mean"):
        np.testing.assert_allclose(out, np.broadcast_to(flat[:1], out.shape), rtol=1e-6, atol=1e-30)
    else:
        np.testing.assert_array_equal(out, np.broadcast_to(flat[:1], out.shape))


@QUICK
@given(trajectories(), st.floats(-8, 8, width=32), st.floats(-100, 100, width=32))
def test_linear_is_affine_equivariant(backend: Backend, case, scale: float, shift: float) -> None:
    values, times, targets = case
    wide = values.astype(np.float64)
    direct = put(backend, wide * scale + shift, times, targets, "linear").numpy()
    after = put(backend, wide, times, targets, "linear").numpy() * scale + shift
    np.testing.assert_allclose(direct, after, rtol=1e-9, atol=1e-9)


@QUICK
@given(
    trajectories(),
    st.sampled_from(MODES),
    st.integers(-(10**18), 10**18),
    st.sampled_from([1, 2, 4]),
)
def test_shift_and_scale_of_time(backend: Backend, case, mode: str, shift: int, scale: int) -> None:
    values, times, targets = case
    first = put(backend, values, times, targets, mode)
    moved_times = (times - EPOCH_NS) * scale + shift
    moved_targets = (targets - EPOCH_NS) * scale + shift
    second = put(backend, values, moved_times, moved_targets, mode)
    if mode in ("hold", "nearest"):
        assert torch.equal(first, second)
    else:
        np.testing.assert_allclose(first, second, rtol=2e-5, atol=2e-3)


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.sampled_from(["sum", "mean", "max"]))
def test_permuted_points_same_voxels(backend: Backend, seed: int, count: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (count, 3)).astype(np.float32)
    features = rng.normal(scale=10.0 ** rng.integers(-3, 4), size=(count, 2)).astype(np.float32)
    order = rng.permutation(count)
    a, b = (
        rc.voxelize_point_cloud(
            backend.tensor(p),
            (3, 4, 5),
            0.5,
            mode=mode,
            features=backend.tensor(f),
            backend=backend.argument,
        )
        for p, f in ((points, features), (points[order], features[order]))
    )
    assert torch.equal(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_instruction_sets_agree_to_the_bit(mode: str) -> None:
    rng = np.random.default_rng(21)
    values = torch.as_tensor(rng.normal(size=(3, 90, 37)).astype(np.float32))
    times = torch.as_tensor(np.sort(rng.integers(0, 10**10, (3, 90)), axis=1))
    targets = torch.as_tensor(np.sort(rng.integers(0, 10**10, (3, 70)), axis=1))
    results = []
    for features in ((), ("avx2",), ("avx2", "avx512"), None):
        rc.set_cpu_features(features)
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            results.append(rc.resample_trajectories(values.to(dtype), times, targets, mode=mode))
    rc.set_cpu_features(None)
    for i in range(4, len(results)):
        assert torch.equal(results[i], results[i % 4])
