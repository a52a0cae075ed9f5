"""Dense counting of points as a Triton kernel: the peer of voxelize_point_cloud(mode="count")."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


# ruff: noqa: ANN001, ANN202 - Triton reads annotations itself.
@triton.jit
def _count_kernel(points, out, n, size, block: tl.constexpr):
    index = tl.program_id(0) * block + tl.arange(0, block)
    exists = index < n
    scale = size.to(tl.float32)
    x = tl.floor((tl.load(points + 3 * index, mask=exists, other=9.0) + 0.5) * scale)
    y = tl.floor((tl.load(points + 3 * index + 1, mask=exists, other=9.0) + 0.5) * scale)
    z = tl.floor((tl.load(points + 3 * index + 2, mask=exists, other=9.0) + 0.5) * scale)
    inside = (x >= 0) & (x < scale) & (y >= 0) & (y < scale) & (z >= 0) & (z < scale)
    cell = (x.to(tl.int32) * size + y.to(tl.int32)) * size + z.to(tl.int32)
    tl.atomic_add(out + cell, 1, mask=inside, sem="relaxed")


@triton.jit
def _mark_kernel(points, out, n, size, block: tl.constexpr):
    index = tl.program_id(0) * block + tl.arange(0, block)
    exists = index < n
    scale = size.to(tl.float32)
    x = tl.floor((tl.load(points + 3 * index, mask=exists, other=9.0) + 0.5) * scale)
    y = tl.floor((tl.load(points + 3 * index + 1, mask=exists, other=9.0) + 0.5) * scale)
    z = tl.floor((tl.load(points + 3 * index + 2, mask=exists, other=9.0) + 0.5) * scale)
    inside = (x >= 0) & (x < scale) & (y >= 0) & (y < scale) & (z >= 0) & (z < scale)
    cell = (x.to(tl.int32) * size + y.to(tl.int32)) * size + z.to(tl.int32)
    tl.store(out + cell, 1, mask=inside)


def count_triton(points: torch.Tensor, size: int, out: torch.Tensor) -> torch.Tensor:
    """Points [N, 3] of the unit cube around zero counted into `out`, i32 [size, size, size], size
    a power of two. Clears the grid, then adds with one atomic a point."""
    out.zero_()
    block = 512
    _count_kernel[(triton.cdiv(len(points), block),)](points, out, len(points), size, block)
    return out


def occupancy_triton(points: torch.Tensor, size: int, out: torch.Tensor) -> torch.Tensor:
    """As count_triton(); `out` is u8 and cells that hold a point become 1."""
    out.zero_()
    block = 512
    _mark_kernel[(triton.cdiv(len(points), block),)](points, out, len(points), size, block)
    return out
