"""Loaders that voxelize on a device: the grids of the host, and of the operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.cuda import grids
from tests.cuda.decoding import compare, deliver
from tests.gpu.test_loader import Copies


class AllModes(Copies):
    """Copies for checks of all modes of which a device has the bits of the host."""

    modes = ("occupancy", "count", "max", "min")


@pytest.mark.parametrize("check", grids.CHECKS, ids=lambda check: str(check.__name__))
def test_grids(tmp_path: Path, check: Any) -> None:
    check(tmp_path, AllModes())


@pytest.mark.parametrize("mode", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("stream", ["cloud", "half"])
def test_features(tmp_path: Path, stream: str, mode: str) -> None:
    """Of features, what the operation makes of all clouds of a batch on the device."""
    dataset = grids.open_clouds(tmp_path)
    voxels = rc.Voxels((4, 5, 6), (0.5, 0.4, 0.3), mode=mode)
    padded = {"max_points": 90} if stream == "cloud" else {}
    streams = {
        "grid": rc.Window([0], source=stream, voxelize=voxels, squeeze=True),
        "points": rc.Window([0], source=stream, squeeze=True, **padded),
    }
    common: dict[str, Any] = {"batch_size": 6, "streams": streams, "num_threads": 2}
    on_host = rc.DataLoader(dataset, array="torch", **common)
    on_device = rc.DataLoader(dataset, device="cuda", **common)
    for wanted, found in zip(on_host, on_device, strict=True):
        made = voxels(found["points"], found.get("points_lengths"))
        torch.testing.assert_close(found["grid"], made, rtol=1e-6, atol=1e-6, equal_nan=True)
        close = {"rtol": 2e-3, "atol": 2e-3} if stream == "half" else {"rtol": 1e-5, "atol": 1e-6}
        if mode in ("max", "min"):
            close = {"rtol": 0.0, "atol": 0.0}
        torch.testing.assert_close(found["grid"].cpu(), wanted["grid"], equal_nan=True, **close)
        assert torch.equal(found["grid_dropped"].cpu(), wanted["grid_dropped"])


def test_large(tmp_path: Path) -> None:
    """Of clouds and depth images that are dealt out, and take more than is staged at once."""
    rng = np.random.default_rng(1)
    features = {
        "cloud": rc.Feature("float32", (3,), ragged=True),
        "depth": rc.Feature("uint16", (480, 640)),
    }
    with rc.RldsWriter(tmp_path, "large", features, control_rate_hz=10) as writer:
        counts = rng.integers(0, 300_000, 12)
        writer.add_episode(
            {
                "cloud": [rng.normal(size=(n, 3)).astype(np.float32) for n in counts],
                "depth": [rng.integers(0, 4000, (480, 640), dtype=np.uint16) for _ in counts],
            }
        )
    dataset = rc.open(tmp_path / "large", progress=False)
    camera: dict[str, Any] = {"intrinsics": [[525, 0, 320], [0, 525, 240], [0, 0, 1]]}
    streams = {
        "cloud": [
            rc.Window([-1, 0], voxelize=rc.Voxels(128, 0.05, mode="count")),
            rc.Window(0, name="occupied", voxelize=rc.Voxels((200, 100, 50), 0.05)),
        ],
        "depth": rc.Window(0, voxelize=rc.Voxels(96, 0.04, (-2, -2, 0), mode="count", **camera)),
    }
    wanted, _ = deliver(dataset, Copies(), streams, batch_size=6)
    found, _ = deliver(dataset, Copies(), streams, batch_size=6, device="cuda")
    compare(wanted, found)
