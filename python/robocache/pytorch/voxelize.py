"""Voxelization into a dense grid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidArgumentError
from ._tensors import FLOATS, from_torch, store, three, to_lengths, to_torch

MODES = ("occupancy", "count", "sum", "mean", "max", "min")


def voxelize_point_cloud(
    points: Any,
    grid_size: Any,
    voxel_size: Any,
    origin: Any = None,
    *,
    features: Any = None,
    mode: str = "occupancy",
    lengths: Any = None,
    return_counts: bool = False,
    return_dropped: bool = False,
    out: Any = None,
) -> Any:
    """See :func:`robocache.voxelize_point_cloud`."""
    cloud = to_torch(points, "points")
    grid, size, corner = _check_grid(grid_size, voxel_size, origin)
    if mode not in MODES:
        raise InvalidArgumentError(f"mode: found {mode!r}, wanted one of {MODES}")
    if cloud.ndim not in (2, 3) or cloud.shape[-1] != 3 or cloud.dtype not in FLOATS:
        raise InvalidArgumentError(
            f"points: {cloud.dtype} {list(cloud.shape)} found, wanted floats [N, 3] or [B, N, 3]"
        )
    batched = cloud.ndim == 3
    if not batched:
        cloud = cloud.unsqueeze(0)
    channels = _check_features(features, mode, cloud, batched)
    cells, kept = _cells(cloud, grid, size, corner)
    existing = to_lengths(lengths, cloud.shape[0], cloud.shape[1], cloud)
    exists = torch.arange(cloud.shape[1], device=cloud.device) < existing[:, None]
    kept = kept & exists
    dropped = (exists & ~kept).sum(1)
    shape = (cloud.shape[0], *grid)
    counts = _count(cells, kept, shape)
    if mode == "occupancy":
        result = (counts > 0).to(torch.uint8)
    elif mode == "count":
        result = counts
    else:
        assert channels is not None
        result = _reduce(channels, cells, kept, existing, counts, mode)
    if not batched:
        result, counts = result[0], counts[0]
    extra = []
    if return_counts:
        extra.append(from_torch(counts, points))
    if return_dropped:
        extra.append(from_torch(dropped, points))
    stored = store(result, out, points)
    return (stored, *extra) if extra else stored


def _check_grid(
    grid_size: Any, voxel_size: Any, origin: Any
) -> tuple[list[int], list[float], list[float]]:
    grid = three(grid_size, "grid_size", int)
    size = three(voxel_size, "voxel_size", float)
    if min(grid) < 1:
        raise InvalidArgumentError(f"grid_size: {grid} found, wanted at least 1 along each axis")
    if not all(math.isfinite(s) and s > 0 for s in size):
        raise InvalidArgumentError(f"voxel_size: {size} found, wanted finite and positive")
    if origin is None:
        return grid, size, [-n * s / 2 for n, s in zip(grid, size, strict=True)]
    corner = three(origin, "origin", float)
    if not all(math.isfinite(o) for o in corner):
        raise InvalidArgumentError(f"origin: {corner} found, wanted finite")
    return grid, size, corner


def _check_features(features: Any, mode: str, cloud: Tensor, batched: bool) -> Tensor | None:
    if mode in ("occupancy", "count"):
        if features is not None:
            raise InvalidArgumentError("features: modes 'occupancy' and 'count' take none")
        return None
    if features is None:
        raise InvalidArgumentError("features: none found, wanted [N, F] or [B, N, F] for this mode")
    channels = to_torch(features, "features", cloud)
    if channels.dtype not in FLOATS:
        raise InvalidArgumentError(f"features: dtype {channels.dtype} found, wanted a float")
    if not batched:
        channels = channels.unsqueeze(0)
    if channels.ndim != 3 or channels.shape[:2] != cloud.shape[:2]:
        raise InvalidArgumentError(
            f"features: shape {list(channels.shape)} found, wanted "
            f"[{cloud.shape[0]}, {cloud.shape[1]}, F]"
        )
    return channels


def _cells(
    cloud: Tensor, grid: list[int], size: list[float], corner: list[float]
) -> tuple[Tensor, Tensor]:
    """Returns the linear cell of each point [B, N], and whether it is in the grid."""
    if cloud.dtype in (torch.float16, torch.bfloat16):
        cloud = cloud.float()
    cloud = cloud.detach()
    scale = torch.tensor(size, dtype=cloud.dtype, device=cloud.device)
    lower = torch.tensor(corner, dtype=cloud.dtype, device=cloud.device)
    extent = torch.tensor(grid, dtype=cloud.dtype, device=cloud.device)
    place = torch.floor((cloud - lower) / scale)
    kept = ((place >= 0) & (place < extent)).all(-1)
    index = torch.where(kept[..., None], place, torch.zeros_like(place)).to(torch.int64)
    linear = (index[..., 0] * grid[1] + index[..., 1]) * grid[2] + index[..., 2]
    row = torch.arange(cloud.shape[0], device=cloud.device)[:, None]
    return row * math.prod(grid) + linear, kept


def voxel_cells(
    points: Tensor, grid_size: Any, voxel_size: Any, origin: Any, lengths: Any
) -> tuple[Tensor, Tensor]:
    """Returns the linear cell of each point, and whether it counts; both [N] or [B, N].

    Cells of row b of a batch begin at b * X * Y * Z.
    """
    grid, size, corner = _check_grid(grid_size, voxel_size, origin)
    cloud = points if points.ndim == 3 else points.unsqueeze(0)
    cells, kept = _cells(cloud, grid, size, corner)
    existing = to_lengths(lengths, cloud.shape[0], cloud.shape[1], cloud)
    kept = kept & (torch.arange(cloud.shape[1], device=cloud.device) < existing[:, None])
    return (cells, kept) if points.ndim == 3 else (cells[0], kept[0])


def _count(cells: Tensor, kept: Tensor, shape: tuple[int, ...]) -> Tensor:
    counts = torch.zeros(math.prod(shape), dtype=torch.int32, device=cells.device)
    counts.index_add_(0, cells[kept], torch.ones_like(cells[kept], dtype=torch.int32))
    return counts.reshape(shape)


def _reduce(
    channels: Tensor, cells: Tensor, kept: Tensor, existing: Tensor, counts: Tensor, mode: str
) -> Tensor:
    """Features [B, N, F] by cell, [B, X, Y, Z, F]."""
    width = channels.shape[-1]
    target = cells[kept]
    values = channels[kept]
    wide = values if values.dtype == torch.float64 else values.float()
    if mode in ("max", "min"):
        start = -math.inf if mode == "max" else math.inf
        result = torch.full((counts.numel(), width), start, dtype=wide.dtype, device=wide.device)
        index = target[:, None].expand(-1, width)
        result = result.scatter_reduce(0, index, wide, "amax" if mode == "max" else "amin")
    else:
        result = _exact_sum(channels, cells, kept, existing, counts.numel())
        smooth = torch.zeros_like(result).index_add(0, target, wide)
        if smooth.requires_grad:  # rounding has no gradient: take that of the plain sum
            result = result.detach() + (smooth - smooth.detach())
        if mode == "mean":
            result = result / counts.reshape(-1, 1).clamp(min=1).to(result.dtype)
    empty = (counts.reshape(-1, 1) == 0).expand_as(result)
    result = torch.where(empty, torch.zeros_like(result), result)
    return result.to(channels.dtype).reshape(*counts.shape, width)


def _exact_sum(
    channels: Tensor, cells: Tensor, kept: Tensor, existing: Tensor, num_cells: int
) -> Tensor:
    """Sums in integers, as robocache.h says, so that the order of the points does not matter."""
    width = channels.shape[-1]
    is_double = channels.dtype == torch.float64
    sums = torch.zeros((num_cells, width), dtype=torch.float64, device=channels.device)
    per_row = num_cells // max(channels.shape[0], 1)
    for row in range(channels.shape[0]):
        values = channels[row, : int(existing[row])].detach().double()
        inside = kept[row, : int(existing[row])]
        target = cells[row, : int(existing[row])][inside] - row * per_row
        finite = torch.where(values.isfinite(), values, torch.zeros_like(values))
        magnitude = finite.abs().amax(0) if values.shape[0] else finite.new_zeros(width)
        bits = min(50, 62 - math.ceil(math.log2(max(values.shape[0], 1))))
        _, exponent = torch.frexp(magnitude)
        shift = bits - exponent
        scaled = torch.ldexp(finite, shift)
        whole = scaled.round()
        total = _integer_sum(whole[inside], target, per_row)
        value = torch.ldexp(total.double(), -shift)
        if is_double:
            rest = torch.ldexp(scaled - whole, torch.tensor(bits, device=values.device)).round()
            fraction = _integer_sum(rest[inside], target, per_row)
            value = value + torch.ldexp(fraction.double(), -shift - bits)
        special = torch.zeros_like(value).index_add(0, target, (values - finite)[inside])
        sums[row * per_row : (row + 1) * per_row] = value + special
    return sums if is_double else sums.to(torch.float32)


def _integer_sum(values: Tensor, target: Tensor, num_cells: int) -> Tensor:
    total = torch.zeros((num_cells, values.shape[1]), dtype=torch.int64, device=values.device)
    return total.index_add_(0, target, values.to(torch.int64))
