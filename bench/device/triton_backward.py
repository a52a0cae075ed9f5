"""The gradient of resampling as one Triton kernel: a program adds up some samples' gradient, one
target a sample at a time. For targets in order and stamps that all differ.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


# ruff: noqa: ANN001, ANN202 - Triton reads annotations itself.
@triton.jit
def _first_from(targets, stamp, t, steps: tl.constexpr):
    """Index of the first target that is at least `stamp`."""
    low = tl.zeros(stamp.shape, dtype=tl.int32)
    high = tl.zeros(stamp.shape, dtype=tl.int32) + t
    for _ in range(steps):
        middle = (low + high) // 2
        active = low < high
        below = tl.load(targets + middle, mask=active, other=0.0) < stamp
        low = tl.where(active & below, middle + 1, low)
        high = tl.where(active & (below == 0), middle, high)
    return low


@triton.jit
def _backward_kernel(
    grad, times, targets, out, s, t, d: tl.constexpr, rows: tl.constexpr, steps: tl.constexpr
):
    batch = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    inside = row < s
    has_before = inside & (row > 0)
    has_after = row + 1 < s
    stamps = times + batch * s + row
    now = tl.load(stamps, mask=inside, other=0.0)
    before = tl.load(stamps - 1, mask=has_before, other=float("-inf"))
    after = tl.load(stamps + 1, mask=has_after, other=float("inf"))
    first = _first_from(targets + batch * t, before, t, steps)
    end = _first_from(targets + batch * t, after, t, steps)
    column = tl.arange(0, d)
    total = tl.zeros([rows, d], dtype=tl.float32)
    for k in range(tl.max(tl.where(inside, end - first, 0), 0)):
        mask = inside & (first + k < end)
        at = batch * t + first + k
        target = tl.load(targets + at, mask=mask, other=0.0)
        rising = tl.where(has_before, (target - before) / (now - before), 1.0)
        falling = tl.where(has_after, (after - target) / (after - now), 1.0)
        weight = tl.where(target < now, rising, falling)
        part = tl.load(grad + at[:, None] * d + column[None, :], mask=mask[:, None], other=0.0)
        total += tl.where(mask[:, None], weight[:, None] * part, 0.0)
    place = (batch * s + row)[:, None] * d + column[None, :]
    tl.store(out + place, total, mask=inside[:, None])


def backward(
    grad: torch.Tensor, times: torch.Tensor, targets: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """Of linear resampling, end samples held: grad [B, T, D], times [B, S], targets [B, T] and out
    [B, S, D], all float32, D a power of two."""
    batch, t, d = grad.shape
    s = times.shape[1]
    rows = max(1, min(2048 // d, 64))
    _backward_kernel[(triton.cdiv(s, rows), batch)](
        grad, times, targets, out, s, t, d, rows, t.bit_length()
    )
    return out
