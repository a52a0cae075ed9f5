"""Depth images: their points are plain PyTorch, which can be traced and differentiated."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .. import pytorch
from ..pytorch._public import public
from ..pytorch.depth import flatten_images, grids_of_images
from ._tracing import refuse_out
from ._voxelize import check_points, voxelize_point_cloud

depth_to_points = pytorch.depth_to_points


@public
def voxelize_depth(
    depth: Tensor,
    intrinsics: Any,
    grid_size: Any,
    voxel_size: Any,
    origin: Any = None,
    *,
    pose: Any = None,
    features: Tensor | None = None,
    mode: str = "occupancy",
    depth_scale: Any = None,
    min_depth: Any = 0.0,
    max_depth: Any = 1e30,
    pixel_offset: Any = 0.0,
    return_counts: bool = False,
    return_dropped: bool = False,
    out: Tensor | None = None,
) -> Any:
    """As :func:`robocache.voxelize_depth`, by way of the points.

    Raises:
        UnsupportedError: as :func:`voxelize_point_cloud`.
    """
    refuse_out(out)
    check_points("depth", depth)
    points = depth_to_points(
        depth,
        intrinsics,
        pose,
        depth_scale=depth_scale,
        min_depth=min_depth,
        max_depth=max_depth,
        pixel_offset=pixel_offset,
    )
    flat, features = flatten_images(points.detach(), features)
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
    return tuple(results) if len(results) > 1 else results[0]
