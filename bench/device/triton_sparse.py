"""Means of the voxels of a bounded grid as Triton kernels: the peer of voxelize_sparse()."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


# ruff: noqa: ANN001, ANN202 - Triton reads annotations itself.
@triton.jit
def _add_kernel(points, features, cells, counts, sums, n, size, f: tl.constexpr, b: tl.constexpr):
    index = tl.program_id(0) * b + tl.arange(0, b)
    exists = index < n
    scale = size.to(tl.float32)
    x = tl.floor((tl.load(points + 3 * index, mask=exists, other=9.0) + 0.5) * scale)
    y = tl.floor((tl.load(points + 3 * index + 1, mask=exists, other=9.0) + 0.5) * scale)
    z = tl.floor((tl.load(points + 3 * index + 2, mask=exists, other=9.0) + 0.5) * scale)
    inside = (x >= 0) & (x < scale) & (y >= 0) & (y < scale) & (z >= 0) & (z < scale)
    cell = (x.to(tl.int32) * size + y.to(tl.int32)) * size + z.to(tl.int32)
    tl.store(cells + index, tl.where(inside, cell, -1), mask=exists)
    tl.atomic_add(counts + cell, 1, mask=inside, sem="relaxed")
    column = tl.arange(0, f)[None, :]
    row = tl.load(features + index[:, None] * f + column, mask=exists[:, None])
    tl.atomic_add(sums + cell[:, None] * f + column, row, mask=inside[:, None], sem="relaxed")


@triton.jit
def _pack_kernel(counts, sums, numbers, out, out_counts, cells, f: tl.constexpr, b: tl.constexpr):
    cell = tl.program_id(0) * b + tl.arange(0, b)
    count = tl.load(counts + cell, mask=cell < cells, other=0)
    some = count > 0
    number = tl.load(numbers + cell, mask=some, other=1) - 1
    column = tl.arange(0, f)[None, :]
    total = tl.load(sums + cell[:, None] * f + column, mask=some[:, None])
    mean = total / count.to(tl.float32)[:, None]
    tl.store(out + number[:, None] * f + column, mean, mask=some[:, None])
    tl.store(out_counts + number, count, mask=some)


@triton.jit
def _number_kernel(cells, numbers, out, n, b: tl.constexpr):
    index = tl.program_id(0) * b + tl.arange(0, b)
    cell = tl.load(cells + index, mask=index < n, other=-1)
    number = tl.load(numbers + cell, mask=cell >= 0, other=0) - 1
    tl.store(out + index, number, mask=index < n)


def mean(points: torch.Tensor, features: torch.Tensor, size: int) -> dict[str, torch.Tensor]:
    """Points [N, 3] of the unit cube around zero, features [N, F], F and size powers of two: every
    voxel in ascending order, N rows, the mean of its features and how many points; and each point's
    voxel. Sums are formed by atomics in a dense grid, in any order."""
    n, width = features.shape
    total = size**3
    counts = torch.zeros(total, dtype=torch.int32, device=points.device)
    sums = torch.zeros(total, width, device=points.device)
    cells = torch.empty(n, dtype=torch.int32, device=points.device)
    grid = (triton.cdiv(n, 256),)
    _add_kernel[grid](points, features, cells, counts, sums, n, size, width, 256)
    numbers = (counts > 0).cumsum(0, dtype=torch.int32)
    out = torch.zeros_like(features)
    out_counts = torch.zeros(n, dtype=torch.int32, device=points.device)
    _pack_kernel[(triton.cdiv(total, 256),)](
        counts, sums, numbers, out, out_counts, total, width, 256
    )
    voxel = torch.empty_like(cells)
    _number_kernel[grid](cells, numbers, voxel, n, 256)
    return {"features": out, "counts": out_counts, "point_to_voxel": voxel}
