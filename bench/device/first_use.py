"""What the first call of each operation costs in a fresh process, as JSON: the driver is looked up,
kernels are loaded. With ``cold``, the extension module is dropped from the page cache before."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def extension() -> Path:
    package = importlib.util.find_spec("robocache")
    if package is None or not package.submodule_search_locations:
        sys.exit("robocache is not importable")
    return next(Path(package.submodule_search_locations[0]).glob("_core*.so"))


def milliseconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter_ns()
    call()
    torch.cuda.synchronize()
    return (time.perf_counter_ns() - begin) / 1e6


def main() -> None:
    file = extension()
    if "cold" in sys.argv[1:]:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    values = torch.rand(2, 9, 8, device="cuda")
    times = torch.rand(2, 9, device="cuda").sort(1).values
    points = torch.rand(500, 3, device="cuda")
    features = torch.rand(500, 4, device="cuda")
    torch.cuda.synchronize()
    found: dict[str, Any] = {"extension_bytes": file.stat().st_size}
    begin = time.perf_counter_ns()
    import robocache as rc

    found["import_ms"] = (time.perf_counter_ns() - begin) / 1e6
    operations: dict[str, Callable[[], Any]] = {
        "resample linear": lambda: rc.resample_trajectories(values, times, times),
        "fuse": lambda: rc.fuse_streams([(values, times)] * 2, times),
        "resample cubic": lambda: rc.resample_trajectories(values, times, times, mode="cubic"),
        "voxelize count": lambda: rc.voxelize_point_cloud(points, 8, 0.1, mode="count"),
        "voxelize mean": lambda: rc.voxelize_point_cloud(
            points, 8, 0.1, features=features, mode="mean"
        ),
    }
    first = {name: milliseconds(call) for name, call in operations.items()}
    second = {name: milliseconds(call) for name, call in operations.items()}
    found["first_call_ms"], found["second_call_ms"] = first, second
    print(json.dumps(found))


if __name__ == "__main__":
    main()
