"""The operations on the CPU against NumPy, SciPy, PyTorch eager and compiled, Open3D, and a copy.

Each row checks every contender's result before any is timed. Times on a shared machine drift, so
what counts is the ratio to RoboCache within one round; "copy" is Tensor.copy_ of as many bytes as
must move (source rows touched, once each, and the output), into memory that is there already; so
RoboCache writes with ``out=``, and "allocating" is the same call without. ``--json FILE`` keeps the
result.
"""

from __future__ import annotations

import argparse
import ctypes
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
from host import machine, spread
from operations import eager, isa, voxels
from operations.measure import (
    OURS,
    Contenders,
    agree,
    copy_of,
    paired,
    ratios,
    versions,
)
from scipy.interpolate import interp1d

import robocache as rc

RESAMPLE = [(64, 100, 50, 32), (32, 500, 256, 256), (8, 2048, 1024, 64), (256, 500, 250, 32)]
FUSE = [
    (32, [(30, 512), (100, 32), (50, 16)], 50),
    (4, [(30, 512), (100, 64), (200, 12)], 50),
    (256, [(100, 512), (200, 128), (300, 64)], 128),
]


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


def limit_row(library: Path, b: int, s: int, t: int, d: int) -> tuple[Contenders, int]:
    """The same resampling beside loops that only move its bytes, on one thread."""
    rng = np.random.default_rng(b * s)
    values, times = stream(rng, b, s, d)
    targets = torch.as_tensor(np.sort(rng.random((b, t), dtype=np.float32), axis=1))
    right = torch.searchsorted(times, targets, right=True).clamp(1, s - 1)
    left = right - 1
    t0, t1 = times.gather(1, left), times.gather(1, right)
    weights = ((targets - t0) / (t1 - t0)).clamp(0, 1).contiguous()
    out, other = torch.empty(b, t, d), torch.empty(b, t, d)
    moved = touched_rows(times, targets) * d * 4 + b * t * d * 4
    floor = ctypes.CDLL(str(library))
    sizes = [ctypes.c_int64(n) for n in (b, s, t, d)]

    def call(function: Any, *tensors: torch.Tensor) -> Callable[[], Any]:
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]

        def run() -> torch.Tensor:
            function(*pointers, *sizes)
            return tensors[-1]

        return run

    contenders: Contenders = {
        OURS: lambda: rc.resample_trajectories(values, times, targets, out=out),
        "blend, brackets given": call(floor.floor_blend, values, left, weights, other),
    }
    agree(contenders["blend, brackets given"](), contenders, (OURS,), 1e-5)
    contenders["rows once, in order"] = call(floor.floor_stream, values, torch.empty(b, t, d))
    contenders["copy"] = copy_of(moved)
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


def overhead_rows() -> dict[str, Callable[[], tuple[Contenders, int]]]:
    """The smallest calls, beside torch.add of one element."""
    one = torch.zeros(1)
    times, target = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5]])
    single = (torch.zeros(1, 2, 1), times, target)
    arrays = tuple(tensor.numpy() for tensor in single)
    streams = [(torch.zeros(1, 2, 1), times) for _ in range(3)]
    pairs = [(v.numpy(), k.numpy()) for v, k in streams]
    out, fused = torch.zeros(1, 1, 1), torch.zeros(1, 1, 3)
    fused_array, target_array = fused.numpy(), target.numpy()
    points, grid = torch.zeros(1, 3), torch.zeros(1, 1, 1, dtype=torch.uint8)
    into = {
        "resample, torch, out=": lambda: rc.resample_trajectories(*single, out=out),
        "fuse of three, torch, out=": lambda: rc.fuse_streams(streams, target, out=fused),
        "fuse of three, NumPy, out=": lambda: rc.fuse_streams(pairs, target_array, out=fused_array),
        "voxelize, torch, out=": lambda: rc.voxelize_point_cloud(points, 1, 1.0, out=grid),
    }
    new = {
        "resample, torch": lambda: rc.resample_trajectories(*single),
        "resample, NumPy": lambda: rc.resample_trajectories(*arrays),
        "fuse of three, torch": lambda: rc.fuse_streams(streams, target),
        "fuse of three, NumPy": lambda: rc.fuse_streams(pairs, target_array),
        "voxelize, torch": lambda: rc.voxelize_point_cloud(points, 1, 1.0),
    }
    table: dict[str, Callable[[], tuple[Contenders, int]]] = {}
    for name, call in new.items():
        table[name] = lambda c=call: ({OURS: c, "torch.add": lambda: one + one}, 0)
    for name, call in into.items():
        table[name] = lambda c=call: (
            {OURS: c, "torch.add": lambda: torch.add(one, one, out=one)},
            0,
        )
    return table


def rows(floor: Path | None) -> list[tuple[str, str, Callable[[], tuple[Contenders, int]]]]:
    """Name, whose time the ratios are formed with, and how the contenders are made."""
    table: list[tuple[str, str, Callable[[], tuple[Contenders, int]]]] = []
    for b, s, t, d in RESAMPLE:
        table.append(
            (f"resample {b}x{s}->{t}x{d} f32", OURS, lambda x=(b, s, t, d): resample_row(*x))
        )
    for b, s, t, d in RESAMPLE if floor is not None else []:
        table.append(
            (
                f"limit {b}x{s}->{t}x{d} f32",
                OURS,
                lambda x=(b, s, t, d): limit_row(floor, *x),
            )
        )
    for b, sizes, t in FUSE:
        label = " ".join(f"({s},{d})" for s, d in sizes)
        table.append((f"fuse B={b} {label} -> {t} f32", OURS, lambda x=(b, sizes, t): fuse_row(*x)))
    for label, make in voxels.rows().items():
        table.append((label, OURS, make))
    for label, make in overhead_rows().items():
        table.append((f"smallest call, {label}", OURS, make))
    for label, case in isa.cases().items():
        table.append((f"isa {label}", "baseline", lambda m=case: (isa.contenders(m), 0)))
    return table


def write(file: Path, result: dict[str, Any], is_part: bool) -> None:
    """Writes the result; a part takes the place of its rows among those that are there."""
    if is_part and file.exists():
        order = [row["row"] for row in result["rows"]]
        before = json.loads(file.read_text())["rows"]
        by_name = {row["row"]: row for row in [*before, *result["rows"]]}
        names = [row["row"] for row in before] + order
        result["rows"] = [by_name[name] for name in dict.fromkeys(names)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--seconds", type=float, default=0.05, help="for a contender in a round, about"
    )
    parser.add_argument("--floor", type=Path, help="libresample_floor.so; without it no limits")
    parser.add_argument(
        "--only", default="", help="rows whose name contains this; they replace those in --json"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rc.set_num_threads(arguments.threads)
    native = rc.check_installation()["native"]
    result: dict[str, Any] = {
        "machine": machine(),
        "threads": arguments.threads,
        "versions": versions(),
        "compiler": native["compiler"],
        "cpu_features": native["cpu_features"],
        "rows": [],
    }
    for name, ours, make in rows(arguments.floor):
        if arguments.only not in name:
            continue
        # Kernels, and what memory allows them, show best without a second thread.
        threads = 1 if name.startswith(("isa ", "limit ")) else arguments.threads
        torch.set_num_threads(threads)
        rc.set_num_threads(threads)
        contenders, moved = make()
        times = paired(contenders, arguments.rounds, arguments.seconds)
        rc.set_cpu_features(None)
        against = ratios(times, ours)
        result["rows"].append(
            {
                "row": name,
                "threads": threads,
                "rounds": arguments.rounds,
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
        write(arguments.json, result, bool(arguments.only))


if __name__ == "__main__":
    main()
