"""The same operations in PyTorch, eager or compiled, and as a Triton kernel."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

Stream = tuple[torch.Tensor, torch.Tensor]


def resample(values: torch.Tensor, times: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Linear, end samples held; differences in float32."""
    right = torch.searchsorted(times, targets, right=True).clamp(1, times.shape[1] - 1)
    first = times.gather(1, right - 1)
    weight = ((targets - first) / (times.gather(1, right) - first)).clamp(0, 1)[..., None]
    rows = right[..., None].expand(-1, -1, values.shape[2])
    a = values.gather(1, rows - 1).float()
    b = values.gather(1, rows).float()
    return (a + weight * (b - a)).to(values.dtype)


def fuse(streams: list[Stream], targets: torch.Tensor) -> torch.Tensor:
    return torch.cat([resample(values, times, targets) for values, times in streams], dim=2)


def cells(points: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cell of each point of the unit cube around zero, clouds one after the other, and whether it
    is in the grid. points [N, 3] or [B, N, 3] -> [B * N]."""
    index = torch.floor((points + 0.5) / (1.0 / size)).long()
    inside = ((index >= 0) & (index < size)).all(-1)
    flat = (index[..., 0] * size + index[..., 1]) * size + index[..., 2]
    if points.ndim == 3:
        flat = flat + torch.arange(len(points), device=points.device)[:, None] * size**3
    return torch.where(inside, flat, 0).flatten(), inside.flatten()


def grid_shape(points: torch.Tensor, size: int) -> list[int]:
    return [*points.shape[:-2], size, size, size]


def count(points: torch.Tensor, size: int) -> torch.Tensor:
    flat, inside = cells(points, size)
    shape = grid_shape(points, size)
    grid = torch.zeros(math.prod(shape), dtype=torch.int32, device=points.device)
    return grid.index_add_(0, flat, inside.to(torch.int32)).view(shape)


def occupancy(points: torch.Tensor, size: int) -> torch.Tensor:
    return (count(points, size) > 0).to(torch.uint8)


def mean(points: torch.Tensor, features: torch.Tensor, size: int) -> torch.Tensor:
    flat, inside = cells(points, size)
    weight = inside.to(features.dtype)
    counts = torch.zeros(size**3, dtype=features.dtype, device=points.device)
    counts.index_add_(0, flat, weight)
    sums = torch.zeros(size**3, features.shape[1], dtype=features.dtype, device=points.device)
    sums.index_add_(0, flat, features * weight[:, None])
    return (sums / counts.clamp(min=1)[:, None]).view(size, size, size, -1)


def maximum(points: torch.Tensor, features: torch.Tensor, size: int) -> torch.Tensor:
    flat, _ = cells(points, size)
    grid = torch.zeros(size**3, features.shape[1], dtype=features.dtype, device=points.device)
    grid.scatter_reduce_(0, flat[:, None].expand_as(features), features, "amax", include_self=False)
    return grid.view(size, size, size, -1)


# ruff: noqa: ANN001, ANN202 - Triton reads annotations itself.
@triton.jit
def _resample_kernel(
    values, times, targets, out, s, t, d: tl.constexpr, rows: tl.constexpr, steps: tl.constexpr
):
    batch = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    inside = row < t
    target = tl.load(targets + batch * t + row, mask=inside, other=0.0)
    low = tl.zeros([rows], dtype=tl.int32)
    high = tl.zeros([rows], dtype=tl.int32) + s
    for _ in range(steps):
        middle = (low + high) // 2
        active = low < high
        stamp = tl.load(times + batch * s + middle, mask=active & inside, other=0.0)
        go = active & (stamp <= target)
        low = tl.where(go, middle + 1, low)
        high = tl.where(active & (stamp > target), middle, high)
    right = tl.minimum(tl.maximum(low, 1), s - 1)
    first = tl.load(times + batch * s + right - 1, mask=inside, other=0.0)
    second = tl.load(times + batch * s + right, mask=inside, other=1.0)
    weight = tl.minimum(tl.maximum((target - first) / (second - first), 0.0), 1.0)
    column = tl.arange(0, d)
    at = (batch * s + right)[:, None] * d + column[None, :]
    mask = inside[:, None]
    a = tl.load(values + at - d, mask=mask).to(tl.float32)
    b = tl.load(values + at, mask=mask).to(tl.float32)
    result = a + weight[:, None] * (b - a)
    tl.store(
        out + (batch * t + row)[:, None] * d + column[None, :],
        result.to(out.dtype.element_ty),
        mask=mask,
    )


def resample_triton(
    values: torch.Tensor, times: torch.Tensor, targets: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    b, s, d = values.shape
    t = targets.shape[1]
    rows = max(1, min(4096 // d, 64))
    _resample_kernel[(triton.cdiv(t, rows), b)](
        values, times, targets, out, s, t, d, rows, s.bit_length()
    )
    return out
