"""Grids of voxels in batches on a GPU: made on the host and copied, or made on the device.

usage: python bench/voxel_loading.py [--seconds S] [--threads N [N ...]] [--json FILE]

Distinct clouds and depth images, shuffled; grids a second. What the device makes is compared with
the host's before anything is timed. Without a GPU only the host is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import robocache as rc

BATCH = 16
STEPS = 64
CAMERA: dict[str, Any] = {"intrinsics": [[525, 0, 320], [0, 525, 240], [0, 0, 1]]}
FEATURES = {
    "small": rc.Feature("float32", (3,), ragged=True),
    "large": rc.Feature("float32", (3,), ragged=True),
    "colour": rc.Feature("float32", (6,), ragged=True),
    "depth": rc.Feature("uint16", (480, 640)),
}
CASES = {
    "4,096 points, 64^3 occupancy": ("small", rc.Voxels(64, 0.06)),
    "65,536 points, 128^3 count": ("large", rc.Voxels(128, 0.03, mode="count")),
    "16,384 points, 64^3 mean of 3": ("colour", rc.Voxels(64, 0.06, mode="mean")),
    "480 x 640 depth, 128^3 occupancy": ("depth", rc.Voxels(128, 0.03, (-2, -2, 0), **CAMERA)),
}


def write(folder: Path, episodes: int) -> rc.Dataset:
    rng = np.random.default_rng(0)
    with rc.RldsWriter(folder, "clouds", FEATURES, control_rate_hz=10) as writer:
        for _ in range(episodes):
            steps: dict[str, list[Any]] = {name: [] for name in FEATURES}
            for _ in range(STEPS):
                for name, count, width in (
                    ("small", 4096, 3),
                    ("large", 65536, 3),
                    ("colour", 16384, 6),
                ):
                    points = rng.standard_normal((count, width), dtype=np.float32)
                    steps[name].append(points)
                depth = rng.integers(500, 3500, (60, 80), dtype=np.uint16)
                steps["depth"].append(depth.repeat(8, 0).repeat(8, 1))
            writer.add_episode(steps)
    return rc.open(folder / "clouds", progress=False)


def make(dataset: rc.Dataset, case: str, threads: int, **options: Any) -> rc.DataLoader:
    stream, voxels = CASES[case]
    streams = {"grid": rc.Window(0, source=stream, voxelize=voxels, squeeze=True)}
    options = {"shuffle": True, "seed": 1, "array": "torch", **options}
    return rc.DataLoader(dataset, BATCH, streams=streams, num_threads=threads, **options)


def check(dataset: rc.Dataset, case: str) -> None:
    on_host, on_device = make(dataset, case, 2), make(dataset, case, 2, device="cuda")
    for wanted, found in zip(on_host, on_device, strict=True):
        grid = wanted["grid"].to("cuda")
        torch.testing.assert_close(
            found["grid"], grid, rtol=1e-5 if grid.is_floating_point() else 0, atol=1e-6
        )


def rate(loader: rc.DataLoader, copies: bool, seconds: float) -> float:
    """Return grids a second over so many seconds, after an epoch."""
    count, begin = 0, 0.0
    for epoch in range(1_000_000):
        for batch in loader:
            grid = batch["grid"].to("cuda", non_blocking=True) if copies else batch["grid"]
            if epoch > 0:
                count += len(grid)
            if epoch > 0 and time.perf_counter() - begin > seconds:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                return count / (time.perf_counter() - begin)
        begin = begin or time.perf_counter()
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    found: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if has_gpu else None,
        "torch": torch.__version__,
        "grids_a_second": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        dataset = write(Path(folder), arguments.episodes)
        for case in CASES:
            if has_gpu:
                check(dataset, case)
            for threads in arguments.threads:
                row: dict[str, Any] = {"case": case, "threads": threads}
                with make(dataset, case, threads) as loader:
                    row["host" if not has_gpu else "copied"] = rate(
                        loader, has_gpu, arguments.seconds
                    )
                if has_gpu:
                    with make(dataset, case, threads, device="cuda") as loader:
                        row["device"] = rate(loader, False, arguments.seconds)
                found["grids_a_second"].append(row)
                numbers = {k: f"{v:,.0f}" for k, v in row.items() if isinstance(v, float)}
                print(f"{case}, {threads} threads: {numbers}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
