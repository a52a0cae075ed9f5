"""Three streams on one clock as one Triton kernel: a program makes some rows of one stream's
columns, a few of which it blends at a time.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

Stream = tuple[torch.Tensor, torch.Tensor]
COLUMNS = 128  # of one program


# ruff: noqa: ANN001, ANN202 - Triton reads annotations itself.
@triton.jit
def _blend(
    values, times, targets, out, batch, row, part, s, t,
    d: tl.constexpr, begin: tl.constexpr, width: tl.constexpr,
    columns: tl.constexpr, steps: tl.constexpr,
):  # fmt: skip
    inside = row < t
    target = tl.load(targets + batch * t + row, mask=inside, other=0.0)
    low = tl.zeros_like(row)
    high = tl.zeros_like(row) + s
    for _ in range(steps):
        middle = (low + high) // 2
        active = low < high
        stamp = tl.load(times + batch * s + middle, mask=active & inside, other=0.0)
        low = tl.where(active & (stamp <= target), middle + 1, low)
        high = tl.where(active & (stamp > target), middle, high)
    right = tl.minimum(tl.maximum(low, 1), s - 1)
    first = tl.load(times + batch * s + right - 1, mask=inside, other=0.0)
    second = tl.load(times + batch * s + right, mask=inside, other=1.0)
    weight = tl.minimum(tl.maximum((target - first) / (second - first), 0.0), 1.0)
    column = part * columns + tl.arange(0, columns)
    mask = inside[:, None] & (column < d)[None, :]
    at = (batch * s + right)[:, None] * d + column[None, :]
    a = tl.load(values + at - d, mask=mask).to(tl.float32)
    b = tl.load(values + at, mask=mask).to(tl.float32)
    result = a + weight[:, None] * (b - a)
    tl.store(
        out + (batch * t + row)[:, None] * width + begin + column[None, :],
        result.to(out.dtype.element_ty),
        mask=mask,
    )


@triton.jit
def _fuse_kernel(
    v0, t0, s0, v1, t1, s1, v2, t2, s2, targets, out, t,
    d0: tl.constexpr, d1: tl.constexpr, d2: tl.constexpr,
    parts0: tl.constexpr, parts1: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, steps: tl.constexpr,
):  # fmt: skip
    width: tl.constexpr = d0 + d1 + d2
    batch = tl.program_id(2).to(tl.int64)
    row = tl.program_id(1) * rows + tl.arange(0, rows)
    part = tl.program_id(0)
    if part < parts0:
        _blend(v0, t0, targets, out, batch, row, part, s0, t, d0, 0, width, columns, steps)
    elif part < parts0 + parts1:
        part -= parts0
        _blend(v1, t1, targets, out, batch, row, part, s1, t, d1, d0, width, columns, steps)
    else:
        part -= parts0 + parts1
        _blend(v2, t2, targets, out, batch, row, part, s2, t, d2, d0 + d1, width, columns, steps)


def fuse(streams: list[Stream], targets: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Linear, end samples held; three streams of values [B, S, D] and times [B, S]."""
    (v0, t0), (v1, t1), (v2, t2) = streams
    batch, t = targets.shape
    widths = [values.shape[2] for values in (v0, v1, v2)]
    parts = [triton.cdiv(d, COLUMNS) for d in widths]
    longest = max(values.shape[1] for values in (v0, v1, v2))
    rows = 16
    _fuse_kernel[(sum(parts), triton.cdiv(t, rows), batch)](
        v0, t0, v0.shape[1], v1, t1, v1.shape[1], v2, t2, v2.shape[1], targets, out, t,
        *widths, parts[0], parts[1], rows, COLUMNS, longest.bit_length(), num_warps=4,
    )  # fmt: skip
    return out
