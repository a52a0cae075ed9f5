"""Depth images to points, and on into a grid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidArgumentError
from ._tensors import from_torch, to_torch
from .voxelize import voxelize_point_cloud

_FLOATS = (torch.float32, torch.float64)


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
    image = to_torch(depth, "depth")
    if image.ndim not in (2, 3) or image.dtype not in (torch.uint16, *_FLOATS):
        raise InvalidArgumentError(
            f"depth: {image.dtype} {list(image.shape)} found, wanted uint16, float32 or float64 "
            "[H, W] or [B, H, W]"
        )
    batched = image.ndim == 3
    image = image if batched else image.unsqueeze(0)
    camera = _matrix(intrinsics, "intrinsics", 3, image)
    place = None if pose is None else _matrix(pose, "pose", 4, image)
    if depth_scale is None:
        depth_scale = 1.0 if image.dtype in _FLOATS else 0.001
    points = _project(image, camera, place, depth_scale, (min_depth, max_depth), pixel_offset)
    if not compact:
        return from_torch(points if batched else points[0], depth)
    points = points.reshape(len(points), -1, 3)
    missing = points[..., 2].isnan()
    order = torch.argsort(missing.to(torch.uint8), dim=1, stable=True)
    packed = points.gather(1, order[..., None].expand_as(points))
    lengths = (~missing).sum(1).to(torch.int32)
    return from_torch(packed if batched else packed[0], depth), from_torch(lengths, depth)


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
    flat = points.reshape(*points.shape[:-3], -1, 3)
    if features is not None:
        features = features.reshape(*features.shape[:-3], -1, features.shape[-1])
    return voxelize_point_cloud(
        flat,
        grid_size,
        voxel_size,
        origin,
        features=features,
        mode=mode,
        return_counts=return_counts,
        return_dropped=return_dropped,
        out=out,
    )


def _matrix(matrix: Any, name: str, size: int, image: Tensor) -> Tensor:
    """Returns a [size, size] or [B, size, size] matrix as float32 [B, size, size, 1, 1]."""
    tensor = to_torch(matrix, name, image)
    if (
        tensor.dtype not in _FLOATS
        or tensor.ndim not in (2, 3)
        or tensor.shape[-2:] != (size, size)
        or (tensor.ndim == 3 and len(tensor) != len(image))
    ):
        raise InvalidArgumentError(
            f"{name}: {tensor.dtype} {list(tensor.shape)} found, wanted float32 or float64 "
            f"[{size}, {size}] or [{len(image)}, {size}, {size}]"
        )
    return tensor.float().expand(len(image), size, size)[..., None, None]


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
