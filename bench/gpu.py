"""The operations on a CUDA device against PyTorch eager and compiled, Triton, and a copy.

Every contender's result is checked before it is timed. `gpu` is device time from replays of a
graph of ten calls, `host` what a call costs the calling thread, `sync` a call with a synchronise
after it, all in microseconds; bytes are the fewest that must move. ``--json FILE`` keeps the
result.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from device import measure, peers

import robocache as rc

Contenders = dict[str, Callable[[], Any]]
RESAMPLE = [
    (64, 100, 50, 32),
    (32, 500, 256, 256),
    (256, 500, 250, 32),
    (64, 4096, 1024, 32),
    (256, 2048, 1024, 256),
    (256, 2048, 2048, 512),
]
FUSE = [
    (32, [(30, 512), (100, 32), (50, 16)], 50),
    (4, [(30, 512), (100, 64), (200, 12)], 50),
    (256, [(100, 512), (200, 128), (300, 64)], 128),
]
VOXELIZE = [
    (1, 500_000, 128, 0, "occupancy"),
    (1, 1_000_000, 128, 0, "occupancy"),
    (1, 500_000, 128, 0, "count"),
    (1, 1_000_000, 128, 0, "count"),
    (4, 100_000, 128, 0, "occupancy"),
    (4, 100_000, 128, 0, "count"),
    (1, 8_000_000, 256, 0, "count"),
    (1, 1_000_000, 128, 8, "mean"),
    (1, 8_000_000, 256, 8, "mean"),
    (1, 1_000_000, 128, 8, "max"),
]


def stamps(b: int, n: int) -> torch.Tensor:
    return torch.rand(b, n, device="cuda", dtype=torch.float64).sort(1).values.float()


def distinct_stamps(b: int, n: int) -> torch.Tensor:
    steps = torch.rand(b, n, device="cuda", dtype=torch.float64) + 0.1
    return (steps.cumsum(1) / steps.sum(1, keepdim=True)).float()


def touched_rows(times: torch.Tensor, targets: torch.Tensor) -> int:
    right = torch.searchsorted(times, targets, right=True).clamp(1, times.shape[1] - 1)
    rows = torch.zeros(times.shape, dtype=torch.bool, device=times.device)
    rows.scatter_(1, right, True).scatter_(1, right - 1, True)
    return int(rows.sum())


def close(expected: torch.Tensor, contenders: Contenders, bound: float) -> None:
    for name, call in contenders.items():
        got = call()
        error = (got.double() - expected.double()).abs().max().item()
        if not error <= bound:
            sys.exit(f"{name}: off by {error}, allowed {bound}; nothing was timed")


def timed(contenders: Contenders, host: bool) -> dict[str, Any]:
    result = {}
    for name, call in contenders.items():
        row = {"gpu": measure.gpu_us(call)}
        if host:
            row["host"] = measure.host_us(call)
            row["sync"] = measure.sync_us(call)
        result[name] = row
    return result


def report(label: str, num_bytes: int, row: dict[str, Any]) -> dict[str, Any]:
    text = "  ".join(f"{name} {times['gpu']['median']:.2f}" for name, times in row.items())
    ours = row["robocache"]["gpu"]["median"]
    print(f"{label:44s} {num_bytes / 1e6:7.1f} MB {num_bytes / ours / 1e6:5.2f} TB/s  {text}")
    sys.stdout.flush()
    return {"case": label, "bytes": num_bytes, "microseconds": row}


def resample(b: int, s: int, t: int, d: int) -> dict[str, Any]:
    values = torch.randn(b, s, d, device="cuda").bfloat16()
    times, targets = distinct_stamps(b, s), stamps(b, t)
    out = torch.empty(b, t, d, device="cuda", dtype=torch.bfloat16)
    triton_out = torch.empty_like(out)
    compiled = torch.compile(peers.resample, dynamic=False)
    contenders: Contenders = {
        "robocache": lambda: rc.resample_trajectories(values, times, targets, out=out),
        "eager": lambda: peers.resample(values, times, targets),
        "compile": lambda: compiled(values, times, targets),
        "triton": lambda: peers.resample_triton(values, times, targets, triton_out),
    }
    close(peers.resample(values.double(), times, targets), contenders, 0.08)
    num_bytes = 2 * d * (touched_rows(times, targets) + b * t) + 4 * b * (s + t)
    return report(f"resample {b}x{s}->{t}x{d} bf16", num_bytes, timed(contenders, b <= 64))


def fuse(b: int, shapes: list[tuple[int, int]], t: int) -> dict[str, Any]:
    streams = [
        (torch.randn(b, s, d, device="cuda").bfloat16(), distinct_stamps(b, s)) for s, d in shapes
    ]
    targets = stamps(b, t)
    width = sum(d for _, d in shapes)
    out = torch.empty(b, t, width, device="cuda", dtype=torch.bfloat16)
    compiled = torch.compile(peers.fuse, dynamic=False)
    contenders: Contenders = {
        "robocache": lambda: rc.fuse_streams(streams, targets, out=out),
        "eager": lambda: peers.fuse(streams, targets),
        "compile": lambda: compiled(streams, targets),
    }
    close(peers.fuse([(v.double(), m) for v, m in streams], targets), contenders, 0.08)
    num_bytes = 2 * b * t * width + sum(
        2 * d * touched_rows(times, targets)
        for (_, d), (_, times) in zip(shapes, streams, strict=True)
    )
    return report(f"fuse {b} x {shapes} -> {t} bf16", num_bytes, timed(contenders, b <= 32))


def voxelize(b: int, n: int, size: int, features: int, mode: str) -> dict[str, Any]:
    points = torch.rand(b, n, 3, device="cuda") - 0.5
    points = points[0] if b == 1 else points
    grid, cell = (size, size, size), 1.0 / size
    given = torch.randn(n, features, device="cuda") if features else None
    dtype = {"occupancy": torch.uint8, "count": torch.int32}.get(mode, torch.float32)
    shape = ([] if b == 1 else [b]) + list(grid) + ([features] if features else [])
    out = torch.empty(shape, device="cuda", dtype=dtype)
    origin = (-0.5, -0.5, -0.5)

    def ours() -> torch.Tensor:
        return rc.voxelize_point_cloud(
            points, grid, cell, origin, features=given, mode=mode, out=out
        )

    peer = {
        "occupancy": lambda p, f: peers.occupancy(p, size),
        "count": lambda p, f: peers.count(p, size),
        "mean": lambda p, f: peers.mean(p, f, size),
        "max": lambda p, f: peers.maximum(p, f, size),
    }[mode]
    compiled = torch.compile(peer, dynamic=False)
    contenders: Contenders = {"robocache": ours}
    if b == 1:
        contenders["eager"] = lambda: peer(points, given)
        contenders["compile"] = lambda: compiled(points, given)
    expected = torch.stack([peer(p, given) for p in points.view(b, n, 3)]).view(shape)
    close(expected, contenders, 1e-5 if features else 0)
    num_bytes = points.nbytes + out.nbytes + (given.nbytes if given is not None else 0)
    label = f"voxelize {b}x{n} in {size}^3 F={features} {mode}"
    return report(label, num_bytes, timed(contenders, n <= 500_000))


def overhead() -> dict[str, Any]:
    """What the smallest call costs the host."""
    values = torch.randn(4, 16, 8, device="cuda")
    times, targets = distinct_stamps(4, 16), stamps(4, 8)
    out = torch.empty(4, 8, 8, device="cuda")
    small = torch.zeros(1024, device="cuda")
    points = torch.rand(64, 3, device="cuda") - 0.5
    grid = torch.empty(4, 4, 4, device="cuda", dtype=torch.int32)
    calls: Contenders = {
        "resample": lambda: rc.resample_trajectories(values, times, targets),
        "resample out=": lambda: rc.resample_trajectories(values, times, targets, out=out),
        "resample Plan": rc.Plan(rc.resample_trajectories, values, times, targets, out=out),
        "fuse three": lambda: rc.fuse_streams([(values, times)] * 3, targets),
        "voxelize": lambda: rc.voxelize_point_cloud(points, 4, 0.25, mode="count"),
        "voxelize out=": lambda: rc.voxelize_point_cloud(points, 4, 0.25, mode="count", out=grid),
        "voxelize Plan": rc.Plan(rc.voxelize_point_cloud, points, 4, 0.25, mode="count", out=grid),
        "torch.empty": lambda: torch.empty(4, 8, 8, device="cuda"),
        "torch add_": lambda: small.add_(1),
    }
    result = {name: measure.host_us(call) for name, call in calls.items()}
    print("host us:", "  ".join(f"{name} {us['median']:.2f}" for name, us in result.items()))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    arguments = parser.parse_args()
    installed = rc.check_installation()["cuda"]
    if not installed["available"]:
        sys.exit(f"bench: {installed['reason']}")
    torch.manual_seed(0)
    result: dict[str, Any] = {"machine": measure.machine(), "ceilings": measure.ceilings()}
    print(json.dumps(result))
    result["call_overhead_us"] = overhead()
    rows = [resample(*case) for case in RESAMPLE]
    rows += [fuse(*case) for case in FUSE]
    rows += [voxelize(*case) for case in VOXELIZE]
    result["rows"] = rows
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
