"""The operations as PyTorch operators: for autograd, torch.compile, torch.export and torch.func.

The functions of :mod:`robocache` come here by themselves where a tensor requires a gradient, is
compiled or exported, or is one of ``torch.vmap``'s and its like: call those. Importing this module
registers ``torch.ops.robocache.*``.

What has a gradient:

* values of `resample_trajectories`, `fuse_streams` and `fuse_multimodal`. Where the output is
  linear in them (linear, hold, nearest, cubic, angle, mean) it is one pass of the adjoint kernel,
  accumulated in float32 or float64 and differentiable again; slerp, max, min and ``nan_missing``
  differentiate the PyTorch reference.
* their times, where those are floats: everything then runs in the reference.
* features of the voxelizations: sum and mean by gathering, the rest by the reference.
* depth, intrinsics and pose of `depth_to_points`.
* Points, and depth images that become voxels, have none: one that requires a gradient is an error.

A gradient that is the reference's cannot be compiled or exported: that is an error. torch.func's
``grad``, ``vjp``, ``jvp`` and forward mode run in the reference too. `out` cannot be given.
"""

from __future__ import annotations

from ._depth import depth_to_points, voxelize_depth
from ._resample import fuse_multimodal, fuse_streams, resample_trajectories
from ._sparse import voxelize_sparse
from ._voxelize import voxelize_point_cloud

__all__ = [
    "depth_to_points",
    "fuse_multimodal",
    "fuse_streams",
    "resample_trajectories",
    "voxelize_depth",
    "voxelize_point_cloud",
    "voxelize_sparse",
]
