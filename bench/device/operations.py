"""The cases of resampling, fusing and dense voxelization."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

import torch
from device import peers
from device.case import Case, Cases, Contenders, optional, within

import robocache as rc

# Batch, samples, targets, channels: microseconds wanted.
RESAMPLE = {
    (64, 100, 50, 32): 2.2,
    (32, 500, 256, 256): 4,
    (256, 500, 250, 32): 4.5,
    (64, 4096, 1024, 32): 5,
    (256, 2048, 1024, 256): 71,
    (256, 2048, 2048, 512): 232,
}
# Batch, (samples, channels) of each stream, targets.
FUSE = {
    (32, ((30, 512), (100, 32), (50, 16)), 50): 3,
    (4, ((30, 512), (100, 64), (200, 12)), 50): 2.5,
    (256, ((100, 512), (200, 128), (300, 64)), 128): 26,
}
# Clouds, points of each, cells along an axis, features, mode.
VOXELIZE = {
    (1, 500_000, 128, 0, "occupancy"): 4.5,
    (1, 1_000_000, 128, 0, "occupancy"): None,
    (1, 500_000, 128, 0, "count"): None,
    (1, 1_000_000, 128, 0, "count"): 7,
    (4, 100_000, 128, 0, "occupancy"): None,
    (4, 100_000, 128, 0, "count"): None,
    (1, 8_000_000, 256, 0, "count"): 120,
    (1, 1_000_000, 128, 8, "mean"): 45,
    (1, 8_000_000, 256, 8, "mean"): 420,
    (1, 1_000_000, 128, 8, "max"): 45,
}

# How points lie that do not lie evenly, features, mode: a million in 128^3 cells.
UNEVEN = [
    ("clusters", 0, "count"),
    ("clusters", 8, "mean"),
    ("clusters", 8, "max"),
    ("surface", 0, "count"),
    ("surface", 8, "mean"),
    ("padding", 8, "mean"),
]

triton_fuse: ModuleType | None = optional("device.triton_fuse")
triton_voxel: ModuleType | None = optional("device.triton_voxel")


def stamps(b: int, n: int) -> torch.Tensor:
    return torch.rand(b, n, device="cuda", dtype=torch.float64).sort(1).values.float()


def distinct_stamps(b: int, n: int) -> torch.Tensor:
    """Spread as sorted uniform ones are, but never equal in float32."""
    steps = torch.empty(b, n, device="cuda", dtype=torch.float64).exponential_() + 1e-3
    return (steps.cumsum(1) / steps.sum(1, keepdim=True)).float()


def touched_rows(times: torch.Tensor, targets: torch.Tensor) -> int:
    right = torch.searchsorted(times, targets, right=True).clamp(1, times.shape[1] - 1)
    rows = torch.zeros(times.shape, dtype=torch.bool, device=times.device)
    rows.scatter_(1, right, True).scatter_(1, right - 1, True)
    return int(rows.sum())


def resample(b: int, s: int, t: int, d: int, goal: float | None) -> Case:
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
    check = within(peers.resample(values.double(), times, targets), 0.08)
    num_bytes = 2 * d * (touched_rows(times, targets) + b * t) + 4 * b * (s + t)
    return Case(num_bytes, contenders, check, goal, host=b <= 64)


def fuse(b: int, shapes: tuple[tuple[int, int], ...], t: int, goal: float | None) -> Case:
    streams = [
        (torch.randn(b, s, d, device="cuda").bfloat16(), distinct_stamps(b, s)) for s, d in shapes
    ]
    targets = stamps(b, t)
    width = sum(d for _, d in shapes)
    out = torch.empty(b, t, width, device="cuda", dtype=torch.bfloat16)
    triton_out = torch.empty_like(out)
    compiled = torch.compile(peers.fuse, dynamic=False)
    contenders: Contenders = {
        "robocache": lambda: rc.fuse_streams(streams, targets, out=out),
        "eager": lambda: peers.fuse(streams, targets),
        "compile": lambda: compiled(streams, targets),
    }
    if triton_fuse is not None:
        contenders["triton"] = lambda: triton_fuse.fuse(streams, targets, triton_out)
    check = within(peers.fuse([(v.double(), m) for v, m in streams], targets), 0.08)
    num_bytes = 2 * b * t * width + sum(
        2 * d * touched_rows(times, targets) + 4 * b * s
        for (s, d), (_, times) in zip(shapes, streams, strict=True)
    )
    return Case(num_bytes + 4 * b * t, contenders, check, goal, host=b <= 32)


def uneven(kind: str, n: int) -> torch.Tensor:
    """Points [n, 3]: in eight clusters; on a surface, ordered along it, as of a depth image; or
    with three in ten of them at zero, as padding leaves them."""
    points = torch.rand(n, 3, device="cuda") - 0.5
    if kind == "clusters":
        centres = torch.randint(0, 8, (n, 1), device="cuda") / 8 - 0.45
        return (torch.randn(n, 3, device="cuda") * 0.03 + centres).clamp(-0.499, 0.499)
    if kind == "surface":
        points = points[points[:, 0].argsort()]
        points[:, 2] *= 0.002
        points[:, 2] += 0.2 * torch.sin(6 * points[:, 0]) * torch.cos(5 * points[:, 1])
        return points
    points[torch.rand(n, device="cuda") < 0.3] = 0
    return points


def voxelize(
    b: int, n: int, size: int, features: int, mode: str, goal: float | None, kind: str = "even"
) -> Case:
    points = torch.rand(b, n, 3, device="cuda") - 0.5 if kind == "even" else uneven(kind, n)[None]
    points = points[0] if b == 1 else points
    given = torch.randn(n, features, device="cuda") if features else None
    dtype = {"occupancy": torch.uint8, "count": torch.int32}.get(mode, torch.float32)
    shape = ([] if b == 1 else [b]) + [size] * 3 + ([features] if features else [])
    out = torch.empty(shape, device="cuda", dtype=dtype)
    call = functools.partial(
        rc.voxelize_point_cloud, points, size, 1.0 / size, (-0.5, -0.5, -0.5),
        features=given, mode=mode, out=out,
    )  # fmt: skip
    peer: Callable[..., torch.Tensor] = {
        "occupancy": peers.occupancy, "count": peers.count, "mean": peers.mean, "max": peers.maximum
    }[mode]  # fmt: skip
    compiled = torch.compile(peer, dynamic=False)
    inputs = (points, size) if given is None else (points, given, size)
    contenders: Contenders = {
        "robocache": call,
        "eager": lambda: peer(*inputs),
        "compile": lambda: compiled(*inputs),
    }
    kernel = getattr(triton_voxel, f"{mode}_triton", None)
    if kernel is not None:
        triton_out = torch.empty_like(out)
        contenders["triton"] = lambda: kernel(*inputs, triton_out)
    check = within(peer(*inputs), 0 if mode != "mean" else 1e-5 if kind == "even" else 1e-3)
    num_bytes = points.nbytes + out.nbytes + (given.nbytes if given is not None else 0)
    return Case(num_bytes, contenders, check, goal, host=n <= 500_000)


CASES: Cases = {}
for (b, s, t, d), goal in RESAMPLE.items():
    CASES[f"resample {b}x{s}->{t}x{d} bf16"] = functools.partial(resample, b, s, t, d, goal)
for (b, shapes, t), goal in FUSE.items():
    CASES[f"fuse {b} x {list(shapes)} -> {t} bf16"] = functools.partial(fuse, b, shapes, t, goal)
for (b, n, size, f, mode), goal in VOXELIZE.items():
    CASES[f"voxelize {b}x{n} in {size}^3 F={f} {mode}"] = functools.partial(
        voxelize, b, n, size, f, mode, goal
    )
for kind, f, mode in UNEVEN:
    CASES[f"voxelize {kind} of 1000000 in 128^3 F={f} {mode}"] = functools.partial(
        voxelize, 1, 1_000_000, 128, f, mode, None, kind
    )
