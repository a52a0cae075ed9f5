"""Each instruction set against the baseline, on one thread: cases that a kernel dominates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import robocache as rc

SETS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "avx2": ("avx2",),
    "avx512": ("avx2", "avx512"),
}
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
Call = Callable[[], Any]


def label_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def clock(rng: np.random.Generator, b: int, n: int, dtype: torch.dtype) -> Tensor:
    """Increasing times of a second, as float seconds or integer nanoseconds."""
    steps = rng.uniform(0.2, 1.8, (b, n))
    times = np.cumsum(steps, axis=1) / steps.sum(axis=1, keepdims=True)
    return torch.as_tensor(times * (1e9 if dtype == torch.int64 else 1.0)).to(dtype)


def resample_case(mode: str, dtype: torch.dtype) -> Call:
    rng = np.random.default_rng(5)
    values = torch.as_tensor(rng.normal(size=(8, 512, 128))).to(dtype)
    # Reductions take all samples of an interval, so they are given few of them.
    targets = clock(rng, 8, 64 if mode in ("mean", "max") else 256, torch.float32)
    times = clock(rng, 8, 512, torch.float32)
    return lambda: rc.resample_trajectories(values, times, targets, mode=mode)


def search_case(dtype: torch.dtype) -> Call:
    """One channel, so that the times are nearly all there is to do."""
    rng = np.random.default_rng(6)
    values = torch.as_tensor(rng.normal(size=(8, 4096, 1)).astype(np.float32))
    times, targets = clock(rng, 8, 4096, dtype), clock(rng, 8, 2048, dtype)
    return lambda: rc.resample_trajectories(values, times, targets)


def points_of(dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.random.default_rng(7).uniform(-1, 1, (100_000, 3))).to(dtype)


def dense_case(mode: str, points: torch.dtype, features: torch.dtype, width: int) -> Call:
    p = points_of(points)
    values = np.random.default_rng(8).normal(size=(len(p), width))
    f = torch.as_tensor(values).to(features) if width > 0 else None
    return lambda: rc.voxelize_point_cloud(p, (32, 32, 32), 2 / 32, features=f, mode=mode)


def sparse_case(dtype: torch.dtype) -> Call:
    p = points_of(dtype)
    return lambda: rc.voxelize_sparse(
        p, 2 / 32, (-1.0, -1.0, -1.0), grid_size=(32, 32, 32), outputs=["coordinates"]
    )


def depth_case() -> Call:
    depth = np.random.default_rng(9).integers(0, 4000, (480, 640)).astype(np.uint16)
    camera = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
    arrays = torch.as_tensor(depth), torch.as_tensor(camera)
    return lambda: rc.depth_to_points(*arrays, depth_scale=0.001)


def cases() -> dict[str, Callable[[], Call]]:
    """By name: what makes the call."""
    table: dict[str, Callable[[], Call]] = {}
    for mode in ("linear", "cubic", "angle", "hold"):
        for dtype in FLOATS:
            table[f"{mode} {label_of(dtype)}"] = lambda m=mode, d=dtype: resample_case(m, d)
    for mode in ("slerp", "mean", "max"):
        for dtype in (torch.float32, torch.bfloat16):
            table[f"{mode} {label_of(dtype)}"] = lambda m=mode, d=dtype: resample_case(m, d)
    for dtype in (torch.int64, torch.float64, torch.float32):
        table[f"times {label_of(dtype)}"] = lambda d=dtype: search_case(d)
    f32, f64 = torch.float32, torch.float64
    for points in (f32, f64):
        table[f"voxel count, points {label_of(points)}"] = lambda p=points: dense_case(
            "count", p, f32, 0
        )
    for mode, dtype, width in (
        ("mean", f32, 8), ("mean", f32, 5), ("mean", f64, 3), ("mean", torch.bfloat16, 8),
        ("max", f32, 8), ("max", f32, 5),
    ):  # fmt: skip
        table[f"voxel {mode} F={width} {label_of(dtype)}"] = lambda m=mode, d=dtype, w=width: (
            dense_case(m, f32, d, w)
        )
    for points in (f32, f64):
        table[f"sparse coordinates {label_of(points)}"] = lambda p=points: sparse_case(p)
    table["depth to points"] = depth_case
    return table


def contenders(make: Callable[[], Call]) -> dict[str, Call]:
    """The call under each instruction set that this processor has."""
    call = make()
    found = rc.check_installation()["native"]["cpu_features"]

    active: list[tuple[str, ...]] = []

    def under(features: tuple[str, ...]) -> Call:
        def run() -> None:
            if active != [features]:
                rc.set_cpu_features(features)
                active[:] = [features]
            call()

        return run

    return {name: under(features) for name, features in SETS.items() if set(features) <= set(found)}
