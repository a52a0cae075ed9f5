"""The smallest calls on tensors of a GPU, of which little but their cost to the host is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def calls(device: str, times: torch.Tensor, targets: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """Stamps are [4, 16] and [4, 8], and like all else on that device."""
    import robocache as rc

    values = torch.randn(4, 16, 8, device=device)
    out, wide = torch.empty(4, 8, 8, device=device), torch.empty(4, 8, 24, device=device)
    points = torch.rand(64, 3, device=device) - 0.5
    grid = torch.empty(4, 4, 4, device=device, dtype=torch.int32)
    three = [(values, times)] * 3
    resample, fuse, voxelize = rc.resample_trajectories, rc.fuse_streams, rc.voxelize_point_cloud
    return {
        "nothing": lambda: None,
        "torch.empty": lambda: torch.empty(4, 8, 8, device=device),
        "resample": lambda: resample(values, times, targets),
        "resample out=": lambda: resample(values, times, targets, out=out),
        "resample Plan": rc.Plan(resample, values, times, targets, out=out),
        "fuse three": lambda: fuse(three, targets),
        "fuse three out=": lambda: fuse(three, targets, out=wide),
        "fuse three Plan": rc.Plan(fuse, three, targets, out=wide),
        "voxelize": lambda: voxelize(points, 4, 0.25, mode="count"),
        "voxelize out=": lambda: voxelize(points, 4, 0.25, mode="count", out=grid),
        "voxelize Plan": rc.Plan(voxelize, points, 4, 0.25, mode="count", out=grid),
    }
