"""The operations in plain PyTorch: the reference that every backend is compared with.

Same names, arguments, results and errors as the native operations, in vectorised torch code that
runs on any device and is differentiable with respect to values and features. It is written to be
read, not to be fast, and serves as ``backend="pytorch"`` and where the native library cannot load.
NumPy arrays are taken too, and give NumPy arrays.
"""

from __future__ import annotations

from . import _needs  # noqa: F401 - says what is missing, before the others import it
from .depth import depth_to_points, voxelize_depth
from .fuse import fuse_multimodal, fuse_streams
from .jpeg import decode_jpeg
from .resample import resample_trajectories
from .sparse import voxelize_sparse
from .voxelize import voxel_cells, voxelize_point_cloud

__all__ = [
    "decode_jpeg",
    "depth_to_points",
    "fuse_multimodal",
    "fuse_streams",
    "resample_trajectories",
    "voxel_cells",
    "voxelize_depth",
    "voxelize_point_cloud",
    "voxelize_sparse",
]
