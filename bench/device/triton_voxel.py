"""Dense voxelization as Triton kernels: the peer of voxelize_point_cloud().

Points are those of the unit cube around zero, [N, 3] or [B, N, 3]; the grid has `size` cells along
each axis, a power of two. Every kernel adds to a cleared grid with atomics in global memory.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 512


# ruff: noqa: ANN001, ANN202 - Triton reads annotations itself.
@triton.jit
def _cells(points, first, n, size, block: tl.constexpr):
    """Cells of a block of points within their cloud's grid, and which of them are in it."""
    index = tl.program_id(0) * block + tl.arange(0, block)
    exists = index < n
    at = points + 3 * (first + index)
    scale = size.to(tl.float32)
    x = tl.floor((tl.load(at, mask=exists, other=9.0) + 0.5) * scale)
    y = tl.floor((tl.load(at + 1, mask=exists, other=9.0) + 0.5) * scale)
    z = tl.floor((tl.load(at + 2, mask=exists, other=9.0) + 0.5) * scale)
    inside = (x >= 0) & (x < scale) & (y >= 0) & (y < scale) & (z >= 0) & (z < scale)
    return (x.to(tl.int32) * size + y.to(tl.int32)) * size + z.to(tl.int32), inside, index


@triton.jit
def _count_kernel(points, out, n, size, block: tl.constexpr):
    cloud = tl.program_id(1)
    cell, inside, _ = _cells(points, cloud * n, n, size, block)
    tl.atomic_add(out + cloud * size * size * size + cell, 1, mask=inside, sem="relaxed")


@triton.jit
def _mark_kernel(points, out, n, size, block: tl.constexpr):
    cloud = tl.program_id(1)
    cell, inside, _ = _cells(points, cloud * n, n, size, block)
    tl.store(out + cloud * size * size * size + cell, 1, mask=inside)


@triton.jit
def _sum_kernel(points, features, out, counts, n, size, width: tl.constexpr, block: tl.constexpr):
    cell, inside, index = _cells(points, 0, n, size, block)
    column = tl.arange(0, width)[None, :]
    mask = inside[:, None]
    values = tl.load(features + index[:, None] * width + column, mask=mask, other=0.0)
    tl.atomic_add(out + cell[:, None] * width + column, values, mask=mask, sem="relaxed")
    tl.atomic_add(counts + cell, 1, mask=inside, sem="relaxed")


@triton.jit
def _divide_kernel(out, counts, width: tl.constexpr, block: tl.constexpr):
    cell = tl.program_id(0) * block + tl.arange(0, block)
    at = out + cell[:, None] * width + tl.arange(0, width)[None, :]
    count = tl.load(counts + cell)
    several = (count > 1)[:, None]
    tl.store(at, tl.load(at, mask=several) / count[:, None].to(tl.float32), mask=several)


@triton.jit
def _max_kernel(points, features, out, n, size, width: tl.constexpr, block: tl.constexpr):
    """Floats are ordered as integers once the magnitude bits of negative ones are flipped."""
    cell, inside, index = _cells(points, 0, n, size, block)
    column = tl.arange(0, width)[None, :]
    mask = inside[:, None]
    bits = tl.load(features + index[:, None] * width + column, mask=mask, other=0)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    tl.atomic_max(out + cell[:, None] * width + column, key, mask=mask, sem="relaxed")


@triton.jit
def _unkey_kernel(out, block: tl.constexpr):
    at = out + tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    key = tl.load(at)
    tl.store(at, tl.where(key == -0x80000000, 0, key ^ ((key >> 31) & 0x7FFFFFFF)))


def count_triton(points: torch.Tensor, size: int, out: torch.Tensor) -> torch.Tensor:
    """Points counted into `out`, i32 [..., size, size, size]."""
    out.zero_()
    n = points.shape[-2]
    grid = (triton.cdiv(n, BLOCK), points.numel() // (3 * n))
    _count_kernel[grid](points, out, n, size, BLOCK)
    return out


def occupancy_triton(points: torch.Tensor, size: int, out: torch.Tensor) -> torch.Tensor:
    """As count_triton(); `out` is u8 and cells that hold a point become 1."""
    out.zero_()
    n = points.shape[-2]
    grid = (triton.cdiv(n, BLOCK), points.numel() // (3 * n))
    _mark_kernel[grid](points, out, n, size, BLOCK)
    return out


def mean_triton(
    points: torch.Tensor, features: torch.Tensor, size: int, out: torch.Tensor
) -> torch.Tensor:
    """Means of `features` [N, F], F a power of two, of one cloud into `out`, f32 [size, size, size,
    F]: sums and counts, then a division where it changes anything."""
    out.zero_()
    counts = torch.zeros(size**3, dtype=torch.int32, device=out.device)
    n, width = features.shape
    block = max(BLOCK // width, 16)
    _sum_kernel[(triton.cdiv(n, block),)](points, features, out, counts, n, size, width, block)
    _divide_kernel[(size**3 // block,)](out, counts, width, block)
    return out


def max_triton(
    points: torch.Tensor, features: torch.Tensor, size: int, out: torch.Tensor
) -> torch.Tensor:
    """As mean_triton(), maxima, which are found as integers of the same order."""
    keys = out.view(torch.int32)
    keys.fill_(-0x80000000)
    n, width = features.shape
    block = max(BLOCK // width, 16)
    _max_kernel[(triton.cdiv(n, block),)](
        points, features.view(torch.int32), keys, n, size, width, block
    )
    _unkey_kernel[(keys.numel() // 1024,)](keys, 1024)
    return out
