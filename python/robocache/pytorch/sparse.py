"""Sparse voxelization by the conventions of several libraries, as robocache/voxelize.h has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidArgumentError
from ._public import public
from ._tensors import from_torch, number, three, to_lengths, to_torch, whole
from .voxelize import check_points, reduce_features

PRESETS = ("robocache", "mmcv", "spconv", "open3d_voxelize", "open3d_down_sample", "kaolin")
OUTPUTS = (
    "coordinates",
    "num_voxels",
    "counts",
    "features",
    "voxels",
    "point_indices",
    "point_to_voxel",
    "point_coordinates",
    "dropped",
    "origins",
)
_REVERSED_AXES = ("mmcv", "spconv")
_NEEDS_ORIGIN = ("mmcv", "spconv", "open3d_voxelize")


@dataclass
class _Grid:
    """Arguments that say which cell a point is in; None where not given."""

    preset: str
    grid_size: list[int] | None
    voxel_size: list[float] | None
    origin: list[float] | None
    upper: list[float] | None
    scale: float | None


@public
def voxelize_sparse(
    points: Any,
    voxel_size: Any = None,
    origin: Any = None,
    *,
    grid_size: Any = None,
    features: Any = None,
    mode: str | None = None,
    preset: str = "robocache",
    upper: Any = None,
    scale: float | None = None,
    max_points: int | None = None,
    max_voxels: int | None = None,
    lengths: Any = None,
    outputs: Iterable[str] | None = None,
) -> dict[str, Any]:
    """See :func:`robocache.voxelize_sparse`."""
    cloud, batched = check_points(to_torch(points, "points"))
    channels = None
    if features is not None:
        channels = to_torch(features, "features", cloud)
        channels = channels if batched else channels.unsqueeze(0)
        if channels.ndim != 3 or channels.shape[:2] != cloud.shape[:2]:
            raise InvalidArgumentError(
                f"features: shape {list(channels.shape)} found, wanted "
                f"[{cloud.shape[0]}, {cloud.shape[1]}, F]"
            )
    grid = _check_grid(
        _Grid(
            preset,
            None if grid_size is None else three(grid_size, "grid_size", whole),
            None if voxel_size is None else three(voxel_size, "voxel_size", number),
            None if origin is None else three(origin, "origin", number),
            None if upper is None else three(upper, "upper", number),
            None if scale is None else number(scale, "scale") or None,
        )
    )
    max_points = None if max_points is None else whole(max_points, "max_points")
    wanted = wanted_outputs(outputs, channels is not None, max_points or 0)
    mode = mode or ("count" if channels is None else "mean")
    if mode not in ("count", "sum", "mean", "max", "min"):
        raise InvalidArgumentError(f"mode: {mode!r} found, wanted count, sum, mean, max or min")
    rows = cloud.shape[1] if max_voxels is None else whole(max_voxels, "max_voxels")
    existing = to_lengths(lengths, cloud.shape[0], cloud.shape[1], cloud)
    results = [
        _voxelize(
            cloud[b],
            None if channels is None else channels[b],
            int(existing[b]),
            grid,
            mode,
            max_points or cloud.shape[1],
            rows,
            wanted,
        )
        for b in range(cloud.shape[0])
    ]
    collected = {}
    for name in OUTPUTS:
        if name in wanted:
            if results:
                value = torch.stack([result[name] for result in results])
            else:
                shapes = _voxelize(
                    cloud.new_zeros((cloud.shape[1], 3)),
                    None if channels is None else channels.new_zeros(channels.shape[1:]),
                    0,
                    grid,
                    mode,
                    max_points or cloud.shape[1],
                    rows,
                    wanted,
                )
                value = shapes[name].new_zeros((0, *shapes[name].shape))
            scalar = name in ("num_voxels", "dropped")
            collected[name] = from_torch(value if batched or scalar else value[0], points)
    return collected


def wanted_outputs(outputs: Iterable[str] | None, has_features: bool, max_points: int) -> set[str]:
    """Returns the names of the outputs asked for, those that are always there included."""
    if outputs is None:
        names = {"counts", "point_to_voxel", "dropped"} | ({"features"} if has_features else set())
    else:
        names = set(outputs)
    for name in names:
        if name not in OUTPUTS:
            raise InvalidArgumentError(f"outputs: found {name!r}, wanted some of {OUTPUTS}")
    if not has_features and names & {"features", "voxels"}:
        raise InvalidArgumentError("outputs: 'features' and 'voxels' need features")
    if max_points == 0 and names & {"voxels", "point_indices"}:
        raise InvalidArgumentError("max_points: 0 found, wanted at least 1 for 'voxels'")
    return names | {"coordinates", "num_voxels"}


def _check_grid(grid: _Grid) -> _Grid:
    if grid.preset not in PRESETS:
        raise InvalidArgumentError(f"preset: found {grid.preset!r}, wanted one of {PRESETS}")
    bounded = grid.grid_size is not None
    if grid.preset in ("mmcv", "spconv", "kaolin") and not bounded:
        raise InvalidArgumentError(f"grid_size: none found, preset {grid.preset} wants one")
    if grid.origin is None and (
        grid.preset in _NEEDS_ORIGIN or (grid.preset == "robocache" and not bounded)
    ):
        raise InvalidArgumentError(f"origin: none found, preset {grid.preset} wants one")
    if grid.preset != "kaolin" and grid.voxel_size is None:
        raise InvalidArgumentError(f"voxel_size: none found, preset {grid.preset} wants one")
    if grid.preset == "open3d_voxelize" and grid.upper is None:
        raise InvalidArgumentError("upper: none found, preset open3d_voxelize wants one")
    return grid


def _cells(points: Tensor, exists: Tensor, grid: _Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Returns cells int64 [N, 3] along x, y, z, which points have one, and the origin used."""
    if points.dtype in (torch.float16, torch.bfloat16):
        points = points.float()
    if grid.preset == "open3d_down_sample":
        points = points.double()
    points = points.detach()
    own = {"dtype": points.dtype, "device": points.device}
    finite = points.isfinite().all(-1) & exists
    if grid.origin is not None:
        origin = torch.tensor(grid.origin, **own)
    elif grid.preset == "robocache":
        assert grid.grid_size is not None
        assert grid.voxel_size is not None
        sides = zip(grid.grid_size, grid.voxel_size, strict=True)
        origin = torch.tensor([-n * size / 2 for n, size in sides], **own)
    else:
        some = bool(finite.any())
        origin = points[finite].amin(0) if some else torch.zeros(3, **own)
        if grid.preset == "open3d_down_sample":
            origin = origin - torch.tensor(grid.voxel_size, **own) / 2
    if grid.preset == "kaolin":
        cell, inside = _kaolin(points, finite, origin, grid)
    elif grid.preset == "open3d_voxelize":
        inverse = 1 / torch.tensor(grid.voxel_size, **own)
        cell = torch.trunc((points - origin) * inverse)
        upper = torch.tensor(grid.upper, **own)
        inside = ((points >= origin) & (points <= upper)).all(-1)
    else:
        size = torch.tensor(grid.voxel_size, **own)
        if grid.preset in _REVERSED_AXES:
            origin, size = origin.float().to(points.dtype), size.float().to(points.dtype)
        cell = torch.floor((points - origin) / size)
        inside = torch.ones_like(finite)
        if grid.grid_size is not None and grid.preset != "open3d_down_sample":
            extent = torch.tensor(grid.grid_size, **own)
            inside = ((cell >= 0) & (cell < extent)).all(-1)
    inside = inside & finite & (cell.abs() < 2**31).all(-1)
    cell = torch.where(inside[:, None], cell, torch.zeros_like(cell))
    return cell.to(torch.int64), inside, origin.double()


def _kaolin(points: Tensor, finite: Tensor, origin: Tensor, grid: _Grid) -> tuple[Tensor, Tensor]:
    assert grid.grid_size is not None
    offset = points - origin
    if grid.scale is not None:
        scale = torch.tensor(grid.scale, dtype=points.dtype, device=points.device)
    else:
        scale = offset[finite].amax() if bool(finite.any()) else offset.new_ones(())
    extent = torch.tensor(grid.grid_size, dtype=points.dtype, device=points.device)
    cell = torch.round(offset / scale * (extent - 1))
    return cell, ((cell >= 0) & (cell < extent)).all(-1)


def _number_voxels(cells: Tensor, inside: Tensor, preset: str) -> tuple[Tensor, Tensor]:
    """Returns the voxels' cells [V, 3] in the preset's order, and each point's voxel [N], or -1."""
    ordered = cells.flip(-1) if preset == "open3d_voxelize" else cells
    found, inverse = torch.unique(ordered[inside], dim=0, return_inverse=True)
    if preset == "open3d_voxelize":
        found = found.flip(-1)
    if preset in _REVERSED_AXES:  # in the order of their first point
        index = torch.arange(len(inverse), device=cells.device)
        first = torch.full((len(found),), len(inverse), device=cells.device)
        first = first.scatter_reduce(0, inverse, index, "amin")
        order = torch.argsort(first)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=cells.device)
        found, inverse = found[order], rank[inverse]
    number = torch.full(inside.shape, -1, dtype=torch.int64, device=cells.device)
    number[inside] = inverse
    return found, number


def _rank_in_voxel(number: Tensor) -> Tensor:
    """How many points before it are in each point's voxel, [N]."""
    order = torch.argsort(number, stable=True)
    sorted_numbers = number[order]
    start = torch.searchsorted(sorted_numbers, sorted_numbers)
    rank = torch.empty_like(number)
    rank[order] = torch.arange(len(number), device=number.device) - start
    return rank


def _voxelize(
    points: Tensor,
    features: Tensor | None,
    length: int,
    grid: _Grid,
    mode: str,
    max_points: int,
    rows: int,
    wanted: set[str],
) -> dict[str, Tensor]:
    """Returns every output wanted of one cloud."""
    exists = torch.arange(len(points), device=points.device) < length
    cells, inside, origin = _cells(points, exists, grid)
    found, number = _number_voxels(cells, inside, grid.preset)
    num_voxels = min(len(found), rows)
    number = torch.where(number < num_voxels, number, torch.full_like(number, -1))
    rank = _rank_in_voxel(number)
    kept = (number >= 0) & (rank < max_points)
    if grid.preset in _REVERSED_AXES:
        cells, found = cells.flip(-1), found.flip(-1)
    coordinates = torch.full((rows, 3), -1, dtype=torch.int32, device=points.device)
    coordinates[:num_voxels] = found[:num_voxels].to(torch.int32)
    counts = torch.zeros(rows, dtype=torch.int32, device=points.device)
    counts.index_add_(0, number[kept], torch.ones_like(number[kept], dtype=torch.int32))
    point_cells = torch.where(inside[:, None], cells, torch.full_like(cells, -1))
    result = {
        "coordinates": coordinates,
        "num_voxels": torch.tensor(num_voxels, dtype=torch.int32, device=points.device),
        "counts": counts,
        "point_to_voxel": number.to(torch.int32),
        "point_coordinates": point_cells.to(torch.int32),
        "dropped": (exists & ~inside).sum(),
        "origins": origin,
    }
    if "features" in wanted:
        assert features is not None
        result["features"] = reduce_features(
            features[None], number[None], kept[None], counts[None], mode
        )[0]
    if "point_indices" in wanted or "voxels" in wanted:
        indices = torch.full((rows, max_points), -1, dtype=torch.int64, device=points.device)
        indices[number[kept], rank[kept]] = kept.nonzero()[:, 0]
        result["point_indices"] = indices.to(torch.int32)
        if features is not None and "voxels" in wanted:
            padded = torch.cat([features, features.new_zeros((1, features.shape[1]))])
            result["voxels"] = padded[indices]
    return result
