"""The operations on the CPU against NumPy, SciPy, PyTorch eager and compiled, Open3D, and a copy.

Each row checks every contender's result before any is timed. Times on a shared machine drift, so
what counts is the ratio to RoboCache within one round; "copy" is Tensor.copy_ of as many bytes as
must move (source rows touched, once each, and the output), into memory that is there already; so
RoboCache writes with ``out=``, and "allocating" is the same call without. ``--json FILE`` keeps the
result.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Else torch's OpenMP threads spin on the cores into the next contender's turn.
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np
import torch
from operations import eager
from operations.measure import machine, paired, ratios, spread
from scipy.interpolate import interp1d

import robocache as rc

Contenders = dict[str, Callable[[], Any]]
RESAMPLE = [(64, 100, 50, 32), (32, 500, 256, 256), (8, 2048, 1024, 64), (256, 500, 250, 32)]
FUSE = [
    (32, [(30, 512), (100, 32), (50, 16)], 50),
    (4, [(30, 512), (100, 64), (200, 12)], 50),
    (256, [(100, 512), (200, 128), (300, 64)], 128),
]
GRID, SIZE = (128, 128, 128), 2 / 128
OURS = "robocache"


def copy_of(num_bytes: int) -> Callable[[], Any]:
    """A copy that reads and writes `num_bytes` in all."""
    source = torch.zeros(max(num_bytes // 2, 1), dtype=torch.uint8)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def touched_rows(times: torch.Tensor, targets: torch.Tensor) -> int:
    """Source rows that some target interpolates between."""
    right = torch.searchsorted(times, targets, right=True).clamp(1, times.shape[1] - 1)
    rows = torch.zeros(times.shape, dtype=torch.bool)
    rows.scatter_(1, right, True).scatter_(1, right - 1, True)
    return int(rows.sum())


def stream(rng: np.random.Generator, b: int, s: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    # Distinct stamps: where two are equal SciPy and RoboCache rightly differ.
    steps = rng.uniform(0.2, 1.8, (b, s))
    times = (np.cumsum(steps, axis=1) / steps.sum(axis=1, keepdims=True)).astype(np.float32)
    # Cloned into memory that torch has aligned, as a program's own tensors are.
    values = torch.as_tensor(rng.normal(size=(b, s, d)).astype(np.float32)).clone()
    return values, torch.as_tensor(times).clone()


def agree(expected: Any, contenders: Contenders, names: tuple[str, ...], bound: float) -> None:
    for name in names:
        if name in contenders:
            got = np.asarray(contenders[name]())
            np.testing.assert_allclose(got, expected, rtol=bound, atol=bound, err_msg=name)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(function, dynamic=False)


def resample_row(b: int, s: int, t: int, d: int) -> tuple[Contenders, int]:
    rng = np.random.default_rng(b * s)
    values, times = stream(rng, b, s, d)
    targets = torch.as_tensor(np.sort(rng.random((b, t), dtype=np.float32), axis=1))
    fast = compiled(eager.resample)
    out = torch.empty(b, t, d)
    moved = touched_rows(times, targets) * d * 4 + b * t * d * 4

    def scipy() -> Any:
        rows = zip(values.numpy(), times.numpy(), targets.numpy(), strict=True)
        return np.stack(
            [
                interp1d(k, v, axis=0, bounds_error=False, fill_value=(v[0], v[-1]))(q)
                for v, k, q in rows
            ]
        )

    contenders: Contenders = {
        OURS: lambda: rc.resample_trajectories(values, times, targets, out=out),
        "robocache, allocating": lambda: rc.resample_trajectories(values, times, targets),
        "torch eager": lambda: eager.resample(values, times, targets),
        "torch.compile": lambda: fast(values, times, targets),
        "SciPy": scipy,
        "copy": copy_of(moved),
    }
    agree(scipy(), contenders, (OURS, "torch eager", "torch.compile"), 1e-3)
    return contenders, moved


def fuse_row(b: int, sizes: list[tuple[int, int]], t: int) -> tuple[Contenders, int]:
    rng = np.random.default_rng(b)
    streams = [stream(rng, b, s, d) for s, d in sizes]
    targets = torch.as_tensor(np.sort(rng.random((b, t), dtype=np.float32), axis=1))
    fast = compiled(eager.fuse)
    width = sum(d for _, d in sizes)
    out = torch.empty(b, t, width)
    moved = b * t * width * 4
    moved += sum(touched_rows(k, targets) * v.shape[2] * 4 for v, k in streams)
    contenders: Contenders = {
        OURS: lambda: rc.fuse_streams(streams, targets, out=out),
        "robocache, allocating": lambda: rc.fuse_streams(streams, targets),
        "torch eager": lambda: eager.fuse(streams, targets),
        "torch.compile": lambda: fast(streams, targets),
        "copy": copy_of(moved),
    }
    agree(eager.fuse(streams, targets), contenders, (OURS, "torch.compile"), 1e-3)
    return contenders, moved


def voxel_row(mode: str, count: int) -> tuple[Contenders, int]:
    rng = np.random.default_rng(count)
    points = rng.uniform(-1, 1, (count, 3)).astype(np.float32)
    features = rng.normal(size=(count, 8)).astype(np.float32)
    p, f = torch.as_tensor(points), torch.as_tensor(features)
    cells = int(np.prod(GRID))
    low, size = np.float32(-1), np.float32(SIZE)

    def bincount() -> Any:
        cell = np.floor((points - low) / size).astype(np.int64)
        cell = cell[((cell >= 0) & (cell < GRID[0])).all(axis=1)]
        flat = np.ravel_multi_index(cell.T, GRID)
        return np.bincount(flat, minlength=cells).reshape(GRID)

    out = torch.empty(GRID, dtype=torch.int32) if mode == "count" else torch.empty(*GRID, 8)
    if mode == "count":
        contenders: Contenders = {
            OURS: lambda: rc.voxelize_point_cloud(p, GRID, SIZE, mode="count", out=out),
            "robocache, allocating": lambda: rc.voxelize_point_cloud(p, GRID, SIZE, mode="count"),
            "NumPy bincount": bincount,
            "torch index_add_": lambda: eager.voxel_count(p, GRID, SIZE),
        }
        expected: Any = bincount()
        moved = points.nbytes + cells * 4
    else:
        contenders = {
            OURS: lambda: rc.voxelize_point_cloud(p, GRID, SIZE, features=f, mode="mean", out=out),
            "robocache, allocating": lambda: rc.voxelize_point_cloud(
                p, GRID, SIZE, features=f, mode="mean"
            ),
            "torch index_add_": lambda: eager.voxel_mean(p, f, GRID, SIZE),
        }
        expected = eager.voxel_mean(p, f, GRID, SIZE).numpy()
        moved = points.nbytes + features.nbytes + cells * 32
    agree(expected, contenders, tuple(contenders), 0 if mode == "count" else 1e-5)
    contenders["copy"] = copy_of(moved)
    if importlib.util.find_spec("open3d"):
        import open3d as o3d

        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.astype(np.float64)))
        bounds = (np.full(3, -1.0), np.full(3, 1.0))
        if mode == "count":
            contenders["Open3D VoxelGrid"] = lambda: (
                o3d.geometry.VoxelGrid.create_from_point_cloud_within_bounds(cloud, SIZE, *bounds)
            )
        else:
            contenders["Open3D voxel_down_sample"] = lambda: cloud.voxel_down_sample(SIZE)
    return contenders, moved


def overhead_row(kind: str) -> tuple[Contenders, int]:
    values, times = torch.zeros(1, 2, 1), torch.tensor([[0.0, 1.0]])
    targets, out = torch.tensor([[0.5]]), torch.zeros(1, 1, 1)
    one = torch.zeros(1)
    if kind == "NumPy":
        v, k, q = values.numpy(), times.numpy(), targets.numpy()
        return {OURS: lambda: rc.resample_trajectories(v, k, q), "torch.add": lambda: one + one}, 0
    if kind == "torch, out=":
        return {
            OURS: lambda: rc.resample_trajectories(values, times, targets, out=out),
            "torch.add": lambda: torch.add(one, one, out=one),
        }, 0
    return {
        OURS: lambda: rc.resample_trajectories(values, times, targets),
        "torch.add": lambda: one + one,
    }, 0


def isa_row(mode: str, dtype: torch.dtype) -> tuple[Contenders, int]:
    rng = np.random.default_rng(5)
    values, times = stream(rng, 8, 512, 128)
    values = values.to(dtype)
    targets = torch.as_tensor(np.sort(rng.random((8, 256), dtype=np.float32), axis=1))
    found = rc.check_installation()["native"]["cpu_features"]

    def under(features: tuple[str, ...]) -> Callable[[], Any]:
        def call() -> None:
            rc.set_cpu_features(features)
            for _ in range(20):
                rc.resample_trajectories(values, times, targets, mode=mode)

        return call

    sets = {"baseline": (), "avx2": ("avx2",), "avx512": ("avx2", "avx512")}
    return {
        name: under(features) for name, features in sets.items() if set(features) <= set(found)
    }, 0


def rows() -> list[tuple[str, str, Callable[[], tuple[Contenders, int]]]]:
    """Name, whose time the ratios are formed with, and how the contenders are made."""
    table: list[tuple[str, str, Callable[[], tuple[Contenders, int]]]] = []
    for b, s, t, d in RESAMPLE:
        table.append(
            (f"resample {b}x{s}->{t}x{d} f32", OURS, lambda x=(b, s, t, d): resample_row(*x))
        )
    for b, sizes, t in FUSE:
        label = " ".join(f"({s},{d})" for s, d in sizes)
        table.append((f"fuse B={b} {label} -> {t} f32", OURS, lambda x=(b, sizes, t): fuse_row(*x)))
    for mode in ("count", "mean"):
        label = "" if mode == "count" else ", F=8"
        table.append(
            (f"voxel {mode} 1M -> 128^3{label}", OURS, lambda m=mode: voxel_row(m, 1_000_000))
        )
    for kind in ("torch", "torch, out=", "NumPy"):
        table.append((f"smallest call, {kind}", OURS, lambda k=kind: overhead_row(k)))
    for mode in ("linear", "hold", "cubic", "angle"):
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            label = str(dtype).removeprefix("torch.")
            table.append((f"isa {mode} {label}", "baseline", lambda m=mode, t=dtype: isa_row(m, t)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rc.set_num_threads(arguments.threads)
    result: dict[str, Any] = {
        "machine": machine(),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "versions": {"robocache": rc.__version__, "torch": torch.__version__,
                     "numpy": np.__version__},
        "cpu_features": rc.check_installation()["native"]["cpu_features"],
        "rows": [],
    }  # fmt: skip
    for name, ours, make in rows():
        if arguments.only not in name:
            continue
        contenders, moved = make()
        times = paired(contenders, arguments.rounds)
        rc.set_cpu_features(None)
        against = ratios(times, ours)
        result["rows"].append(
            {
                "row": name,
                "bytes": moved,
                "seconds": {key: spread(value) for key, value in times.items()},
                "ratio_to": ours,
                "ratio": against,
            }
        )
        mine = spread(times[ours])["median"] * 1e6
        print(f"{name}: {ours} {mine:.1f} us")
        for key, value in against.items():
            print(
                f"    {key:26} {value['median']:8.2f} x  ({value['min']:.2f} to {value['max']:.2f})"
            )
        sys.stdout.flush()
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
