"""Voxelization into a dense grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidArgumentError
from ._public import public
from ._tensors import FLOATS, from_torch, number, store, three, to_lengths, to_torch, whole

MODES = ("occupancy", "count", "sum", "mean", "max", "min")


@public
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
    cloud, batched = check_points(cloud)
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
        result = reduce_features(channels, cells, kept, counts, mode)
    if not batched:
        result, counts = result[0], counts[0]
    extra = []
    if return_counts:
        extra.append(from_torch(counts, points))
    if return_dropped:
        extra.append(from_torch(dropped, points))
    stored = store(result, out, points)
    return (stored, *extra) if extra else stored


def check_points(cloud: Tensor) -> tuple[Tensor, bool]:
    """Returns points as [B, N, 3], and whether they came with a batch axis."""
    if cloud.ndim not in (2, 3) or cloud.shape[-1] != 3 or cloud.dtype not in FLOATS:
        raise InvalidArgumentError(
            f"points: {cloud.dtype} {list(cloud.shape)} found, wanted floats [N, 3] or [B, N, 3]"
        )
    return (cloud, True) if cloud.ndim == 3 else (cloud.unsqueeze(0), False)


def _check_grid(
    grid_size: Any, voxel_size: Any, origin: Any
) -> tuple[list[int], list[float], list[float]]:
    grid = three(grid_size, "grid_size", whole)
    size = three(voxel_size, "voxel_size", number)
    if min(grid) < 1:
        raise InvalidArgumentError(f"grid_size: {grid} found, wanted at least 1 along each axis")
    if not all(math.isfinite(s) and s > 0 for s in size):
        raise InvalidArgumentError(f"voxel_size: {size} found, wanted finite and positive")
    if origin is None:
        return grid, size, [-n * s / 2 for n, s in zip(grid, size, strict=True)]
    corner = three(origin, "origin", number)
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


def _filled(numbers: Sequence[float], like: Tensor) -> Tensor:
    """The numbers beside `like`, copied from nowhere: a CUDA graph can capture that."""
    each = (torch.full((), n, dtype=like.dtype, device=like.device) for n in numbers)
    return torch.stack(tuple(each))


def _cells(
    cloud: Tensor, grid: list[int], size: list[float], corner: list[float]
) -> tuple[Tensor, Tensor]:
    """Returns the linear cell of each point [B, N], and whether it is in the grid."""
    if cloud.dtype in (torch.float16, torch.bfloat16):
        cloud = cloud.float()
    cloud = cloud.detach()
    scale, lower, extent = (_filled(numbers, cloud) for numbers in (size, corner, grid))
    cell = torch.floor((cloud - lower) / scale)
    kept = ((cell >= 0) & (cell < extent)).all(-1)
    index = torch.where(kept[..., None], cell, torch.zeros_like(cell)).to(torch.int64)
    linear = (index[..., 0] * grid[1] + index[..., 1]) * grid[2] + index[..., 2]
    row = torch.arange(cloud.shape[0], device=cloud.device)[:, None]
    return row * math.prod(grid) + linear, kept


def voxel_cells(
    points: Tensor, grid_size: Any, voxel_size: Any, origin: Any, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns the linear cell of each point, and whether it counts; both [N] or [B, N].

    Cells of row b of a batch begin at b * X * Y * Z. Lengths are not checked, so that nothing waits
    for the device; those beyond N count as N.
    """
    grid, size, corner = _check_grid(grid_size, voxel_size, origin)
    cloud = points if points.ndim == 3 else points.unsqueeze(0)
    cells, kept = _cells(cloud, grid, size, corner)
    if lengths is not None:
        kept = kept & (torch.arange(cloud.shape[1], device=cloud.device) < lengths[:, None])
    return (cells, kept) if points.ndim == 3 else (cells[0], kept[0])


def _count(cells: Tensor, kept: Tensor, shape: tuple[int, ...]) -> Tensor:
    counts = torch.zeros(math.prod(shape), dtype=torch.int32, device=cells.device)
    counts.index_add_(0, cells[kept], torch.ones_like(cells[kept], dtype=torch.int32))
    return counts.reshape(shape)


def reduce_features(
    channels: Tensor, cells: Tensor, kept: Tensor, counts: Tensor, mode: str
) -> Tensor:
    """Features [B, N, F] by cell [B, N], shaped as counts [B, ...] with F at the end."""
    width = channels.shape[-1]
    target = cells[kept]
    values = channels[kept]
    wide = values if values.dtype == torch.float64 else values.float()
    points = counts.reshape(-1, 1)
    if mode in ("max", "min"):
        start = -math.inf if mode == "max" else math.inf
        result = torch.full((counts.numel(), width), start, dtype=wide.dtype, device=wide.device)
        index = target[:, None].expand(-1, width)
        result = result.scatter_reduce(0, index, wide, "amax" if mode == "max" else "amin")
    else:
        divisor = points.clamp(min=1) if mode == "mean" else torch.ones_like(points)
        result = _exact_sum(wide.detach(), target, points, divisor).to(wide.dtype)
        if wide.requires_grad:  # rounding has no gradient: take that of the plain sum
            smooth = torch.zeros_like(result).index_add(0, target, wide) / divisor
            result = result + (smooth - smooth.detach())
    empty = (points == 0).expand_as(result)
    result = torch.where(empty, torch.zeros_like(result), result)
    return result.to(channels.dtype).reshape(*counts.shape, width)


def _exact_sum(wide: Tensor, target: Tensor, points: Tensor, divisor: Tensor) -> Tensor:
    """Sums, divided, as float64 [cells, F]; the order of the points does not matter.

    Added in integers of a scale that each cell's largest value sets, as robocache/voxelize.h says.
    """
    values = wide.double()
    finite = torch.where(values.isfinite(), values, torch.zeros_like(values))
    empty = values.new_zeros((len(points), values.shape[1]))
    index = target[:, None].expand_as(values)
    _, exponent = torch.frexp(empty.scatter_reduce(0, index, finite.abs(), "amax"))
    bits = (62 - points.clamp(min=1).double().log2().ceil()).clamp(max=50).to(torch.int32)
    shift = bits - exponent
    scaled = torch.ldexp(finite, shift[target])
    whole = scaled.round()
    total = _integer_sum(whole, target, empty)
    value = total.double()
    if wide.dtype == torch.float64:
        below = torch.ldexp(scaled - whole, bits[target]).round()
        fraction = torch.ldexp(_integer_sum(below, target, empty).double(), -bits)
        value = value + ((total - value.to(torch.int64)).double() + fraction)
    special = empty.index_add(0, target, values - finite)
    return torch.ldexp(value / divisor, -shift) + special


def _integer_sum(values: Tensor, target: Tensor, like: Tensor) -> Tensor:
    total = torch.zeros_like(like, dtype=torch.int64)
    return total.index_add_(0, target, values.to(torch.int64))
