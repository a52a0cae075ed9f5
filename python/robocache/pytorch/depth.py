"""Depth images to points, and on into a grid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidArgumentError
from ._public import public
from ._tensors import from_torch, number, store, to_small, to_torch
from .voxelize import voxelize_point_cloud

_FLOATS = (torch.float32, torch.float64)


@public
def depth_to_points(
    depth: Any,
    intrinsics: Any,
    pose: Any = None,
    *,
    depth_scale: float | None = None,
    min_depth: float = 0.0,
    max_depth: float = 1e30,
    pixel_offset: float = 0.0,
    compact: bool = False,
) -> Any:
    """See :func:`robocache.depth_to_points`."""
    image, lead = _images(depth)
    camera = _matrix(intrinsics, "intrinsics", (3,), image, lead)
    transform = None if pose is None else _matrix(pose, "pose", (3, 4), image, lead)
    if depth_scale is None:
        depth_scale = 1.0 if image.dtype in _FLOATS else 0.001
    points = _project(
        image,
        camera,
        transform,
        number(depth_scale, "depth_scale"),
        (number(min_depth, "min_depth"), number(max_depth, "max_depth")),
        number(pixel_offset, "pixel_offset"),
    )
    if not compact:
        return from_torch(points.reshape(*lead, *points.shape[1:]), depth)
    points = points.reshape(len(points), -1, 3)
    missing = points[..., 2].isnan()
    order = torch.argsort(missing.to(torch.uint8), dim=1, stable=True)
    packed = points.gather(1, order[..., None].expand_as(points))
    lengths = (~missing).sum(1).to(torch.int32).reshape(lead or [1])
    return from_torch(packed.reshape(*lead, *packed.shape[1:]), depth), from_torch(lengths, depth)


@public
def voxelize_depth(
    depth: Any,
    intrinsics: Any,
    grid_size: Any,
    voxel_size: Any,
    origin: Any = None,
    *,
    pose: Any = None,
    features: Any = None,
    mode: str = "occupancy",
    depth_scale: float | None = None,
    min_depth: float = 0.0,
    max_depth: float = 1e30,
    pixel_offset: float = 0.0,
    return_counts: bool = False,
    return_dropped: bool = False,
    out: Any = None,
) -> Any:
    """See :func:`robocache.voxelize_depth`."""
    points = depth_to_points(
        depth,
        intrinsics,
        pose,
        depth_scale=depth_scale,
        min_depth=min_depth,
        max_depth=max_depth,
        pixel_offset=pixel_offset,
    )
    flat, features = flatten_images(points, features)
    grid = voxelize_point_cloud(
        flat,
        grid_size,
        voxel_size,
        origin,
        features=features,
        mode=mode,
        return_counts=return_counts,
        return_dropped=return_dropped,
    )
    results = grids_of_images(grid, points)
    results[0] = results[0] if out is None else store(to_torch(results[0], "out"), out, depth)
    return tuple(results) if isinstance(grid, tuple) else results[0]


def flatten_images(points: Any, features: Any) -> tuple[Any, Any]:
    """Returns points [.., H, W, 3] and features of images as a cloud's, [N, 3] or [B, N, 3]."""
    lead, pixels = points.shape[:-3], points.shape[-3] * points.shape[-2]
    flat = points.reshape(*([math.prod(lead)] if lead else []), pixels, 3)
    if features is None:
        return flat, None
    if tuple(features.shape[:-1]) != tuple(points.shape[:-1]):
        raise InvalidArgumentError(
            f"features: shape {list(features.shape)} found, wanted channels behind "
            f"{list(points.shape[:-1])}"
        )
    return flat, features.reshape(*flat.shape[:-1], features.shape[-1])


def grids_of_images(grid: Any, points: Any) -> list[Any]:
    """Returns the grid, or the grid and what came with it, with the axes before the images'."""
    results = list(grid) if isinstance(grid, tuple) else [grid]
    lead = points.shape[:-3]
    return [result.reshape(*lead, *result.shape[1:]) if lead else result for result in results]


def _images(depth: Any) -> tuple[Tensor, list[int]]:
    """Returns the images [B, H, W] and the axes before height and width that they came with."""
    image = to_torch(depth, "depth")
    found = list(image.shape)
    if image.ndim >= 3 and image.shape[-1] == 1:
        image = image.squeeze(-1)
    if image.ndim not in (2, 3, 4) or image.dtype not in (torch.uint16, *_FLOATS):
        raise InvalidArgumentError(
            f"depth: {image.dtype} {found} found, wanted uint16, float32 or float64 [H, W] or "
            "[H, W, 1], or with [B] or [B, T] before them"
        )
    lead = list(image.shape[:-2])
    return image.reshape(math.prod(lead), *image.shape[-2:]), lead


def _matrix(
    matrix: Any, name: str, rows: tuple[int, ...], image: Tensor, lead: list[int]
) -> Tensor:
    """Returns a matrix, or one for each image, as float32 [B, rows, columns, 1, 1]."""
    tensor = to_small(matrix, name, "float64", image)
    columns = rows[-1]
    if (
        tensor.dtype not in _FLOATS
        or list(tensor.shape[:-2]) not in ([], lead)
        or tensor.ndim < 2
        or tensor.shape[-2] not in rows
        or tensor.shape[-1] != columns
    ):
        raise InvalidArgumentError(
            f"{name}: {tensor.dtype} {list(tensor.shape)} found, wanted float32 or float64 "
            f"[{columns}, {columns}], or {[*lead, columns, columns]}"
        )
    flat = tensor.float().reshape(-1, *tensor.shape[-2:])
    return flat.expand(len(image), *flat.shape[1:])[..., None, None]


def _project(
    image: Tensor,
    camera: Tensor,
    pose: Tensor | None,
    depth_scale: float,
    limits: tuple[float, float],
    pixel_offset: float,
) -> Tensor:
    """Points float32 [B, H, W, 3], NaN where the pixel is invalid."""
    height, width = image.shape[1:]
    single = {"dtype": torch.float32, "device": image.device}
    z = image.float() * torch.tensor(depth_scale, **single)
    u = torch.arange(width, **single) + torch.tensor(pixel_offset, **single)
    v = torch.arange(height, **single)[:, None] + torch.tensor(pixel_offset, **single)
    x = (u - camera[:, 0, 2]) / camera[:, 0, 0] * z
    y = (v - camera[:, 1, 2]) / camera[:, 1, 1] * z
    least, most = (torch.tensor(limit, **single) for limit in limits)
    valid = z.isfinite() & (z > least) & (z <= most)
    if pose is None:
        columns = [x, y, z]
    else:
        columns = [
            pose[:, row, 0] * x + pose[:, row, 1] * y + pose[:, row, 2] * z + pose[:, row, 3]
            for row in range(3)
        ]
    points = torch.stack(columns, -1)
    return torch.where(valid[..., None], points, torch.full_like(points, math.nan))
