"""Each operation once, as a function of tensors on the device that returns its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import robocache as rc

Tensors = dict[str, torch.Tensor]


def scene(seed: int = 0, device: str = "cuda") -> Tensors:
    """Inputs of all operations: 5 x 300 samples of 67 channels, 20,000 points, depth images."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    made = {
        "values": uniform(5, 300, 67).float(),
        "half": uniform(5, 300, 64).bfloat16(),
        "times": uniform(5, 300).sort(dim=1)[0],
        "other": uniform(5, 120, 9).float(),
        "other_times": uniform(5, 120).sort(dim=1)[0],
        "targets": (uniform(5, 200) * 1.2 - 0.1).sort(dim=1)[0],
        "points": (uniform(20_000, 3) * 2.4 - 1.2).float(),
        "features": uniform(20_000, 5).float() - 0.5,
        "depth": uniform(3, 90, 120).float() * 3 - 0.5,
        "intrinsics": torch.tensor([[100.0, 0, 60], [0, 100.0, 45], [0, 0, 1]]),
    }
    return {name: tensor.to(device) for name, tensor in made.items()}


def listed(outputs: Any) -> list[torch.Tensor]:
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def _resample(mode: str, name: str = "values") -> Callable[[Tensors], Any]:
    return lambda t: rc.resample_trajectories(
        t[name], t["times"], t["targets"], mode=mode, return_valid=True, return_dt=True
    )


def _groups(t: Tensors) -> Any:
    """A pose, a quaternion, a gripper and angles in one pass."""
    channels = [(slice(3, 7), "slerp"), (7, "hold"), (slice(8, 12), "angle")]
    return rc.resample_trajectories(t["values"], t["times"], t["targets"], channels=channels)


def _fuse(t: Tensors) -> Any:
    return rc.fuse_streams(
        [(t["values"], t["times"]), (t["other"], t["other_times"])],
        t["targets"],
        modes=["linear", "hold"],
        return_valid=True,
    )


def _voxelize(mode: str, features: bool) -> Callable[[Tensors], Any]:
    return lambda t: rc.voxelize_point_cloud(
        t["points"],
        (16, 20, 24),
        0.1,
        mode=mode,
        features=t["features"] if features else None,
        return_counts=True,
        return_dropped=True,
    )


def _sparse(preset: str, **arguments: Any) -> Callable[[Tensors], Any]:
    """Every output; voxels hold both one point and more than are kept."""
    outputs = ["counts", "features", "voxels", "point_indices", "point_to_voxel"]
    outputs += ["point_coordinates", "dropped", "origins"]
    return lambda t: rc.voxelize_sparse(
        t["points"],
        features=t["features"],
        preset=preset,
        max_points=4,
        max_voxels=5000,
        outputs=outputs,
        **arguments,
    )


def _voxelize_depth(t: Tensors) -> Any:
    return rc.voxelize_depth(
        t["depth"], t["intrinsics"], 16, 0.2, mode="count", return_dropped=True
    )


def _gradient(
    operation: Callable[[Tensors], torch.Tensor], *names: str
) -> Callable[[Tensors], tuple[torch.Tensor, ...]]:
    """Gradients of the operation's output with respect to the tensors of these names."""

    def call(t: Tensors) -> tuple[torch.Tensor, ...]:
        leaves = {name: t[name].detach().requires_grad_() for name in names}
        out = operation({**t, **leaves})
        return torch.autograd.grad(out, list(leaves.values()), torch.ones_like(out))

    return call


def _resample_gradient(mode: str) -> Callable[[Tensors], tuple[torch.Tensor, ...]]:
    return _gradient(
        lambda t: rc.resample_trajectories(t["values"], t["times"], t["targets"], mode=mode),
        "values",
    )


_fuse_gradient = _gradient(
    lambda t: rc.fuse_streams(
        [(t["values"], t["times"]), (t["other"], t["other_times"])], t["targets"]
    ),
    "values",
    "other",
)
_voxelize_gradient = _gradient(
    lambda t: rc.voxelize_point_cloud(
        t["points"], (16, 20, 24), 0.1, mode="mean", features=t["features"]
    ),
    "features",
)


OPERATIONS: dict[str, Callable[[Tensors], Any]] = {
    **{
        f"resample {m}": _resample(m) for m in ("linear", "hold", "nearest", "cubic", "mean", "max")
    },
    "resample bfloat16": _resample("linear", "half"),
    "resample groups": _groups,
    "fuse": _fuse,
    **{f"voxelize {m}": _voxelize(m, False) for m in ("occupancy", "count")},
    **{f"voxelize {m}": _voxelize(m, True) for m in ("sum", "mean", "max", "min")},
    "sparse mmcv": _sparse("mmcv", voxel_size=0.11, origin=(-1, -1, -1), grid_size=18),
    "sparse sorted": _sparse("robocache", voxel_size=0.11, origin=(-1, -1, -1), grid_size=18),
    "sparse unbounded": _sparse("open3d_down_sample", voxel_size=0.07),
    "depth": lambda t: rc.depth_to_points(t["depth"], t["intrinsics"]),
    "depth compact": lambda t: rc.depth_to_points(t["depth"], t["intrinsics"], compact=True),
    "voxelize depth": _voxelize_depth,
    **{f"resample gradient {m}": _resample_gradient(m) for m in ("linear", "cubic")},
    "fuse gradient": _fuse_gradient,
    "voxelize gradient": _voxelize_gradient,
}
