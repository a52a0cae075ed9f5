"""The gradient of resampling against what autograd makes of gathering and blending in PyTorch."""

from __future__ import annotations

import functools
from types import ModuleType

import torch
from device.case import Case, Cases, Contenders, optional, within
from device.operations import distinct_stamps, stamps

from robocache import _core

triton_backward: ModuleType | None = optional("device.triton_backward")

# Batch, samples, targets, channels.
BACKWARD = [(64, 100, 50, 32), (32, 500, 256, 256), (256, 2048, 1024, 256)]


def backward(
    grad: torch.Tensor, times: torch.Tensor, targets: torch.Tensor, samples: int
) -> torch.Tensor:
    """The adjoint of peers.resample: each target's gradient to the two samples around it."""
    right = torch.searchsorted(times, targets, right=True).clamp(1, samples - 1)
    first = times.gather(1, right - 1)
    weight = ((targets - first) / (times.gather(1, right) - first)).clamp(0, 1)[..., None]
    rows = right[..., None].expand(-1, -1, grad.shape[2])
    out = torch.zeros(grad.shape[0], samples, grad.shape[2], dtype=grad.dtype, device=grad.device)
    out.scatter_add_(1, rows - 1, (1 - weight) * grad)
    return out.scatter_add_(1, rows, weight * grad)


def resample_backward(b: int, s: int, t: int, d: int) -> Case:
    grad = torch.randn(b, t, d, device="cuda")
    times, targets = distinct_stamps(b, s), stamps(b, t)
    out = torch.empty(b, s, d, device="cuda")
    compiled = torch.compile(backward, dynamic=False)

    def ours() -> torch.Tensor:
        _core.resample_backward(grad, out, times, targets)
        return out

    contenders: Contenders = {
        "robocache": ours,
        "eager": lambda: backward(grad, times, targets, s),
        "compile": lambda: compiled(grad, times, targets, s),
    }
    if triton_backward is not None:
        triton_out = torch.empty_like(out)
        contenders["triton"] = lambda: triton_backward.backward(grad, times, targets, triton_out)
    check = within(backward(grad.double(), times.double(), targets.double(), s), 1e-3)
    num_bytes = 4 * b * (t * d + s * d + s + t)
    return Case(num_bytes, contenders, check, host=b <= 64)


CASES: Cases = {
    f"resample backward {b}x{s}->{t}x{d} f32": functools.partial(resample_backward, b, s, t, d)
    for b, s, t, d in BACKWARD
}
