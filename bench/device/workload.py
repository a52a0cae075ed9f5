"""What bench/profile_gpu.py profiles: each kernel at a small and a large size."""

from __future__ import annotations

import torch

import robocache as rc


def stamps(b: int, n: int) -> torch.Tensor:
    return torch.rand(b, n, device="cuda", dtype=torch.float64).sort(1).values.float()


def resample(b: int, s: int, t: int, d: int, mode: str) -> None:
    values = torch.randn(b, s, d, device="cuda").bfloat16()
    rc.resample_trajectories(values, stamps(b, s), stamps(b, t), mode=mode)


def fuse(b: int, shapes: list[tuple[int, int]], t: int) -> None:
    streams = [(torch.randn(b, s, d, device="cuda").bfloat16(), stamps(b, s)) for s, d in shapes]
    rc.fuse_streams(streams, stamps(b, t))


def voxelize(n: int, size: int, features: int, mode: str) -> None:
    points = torch.rand(n, 3, device="cuda") - 0.5
    given = torch.randn(n, features, device="cuda") if features else None
    rc.voxelize_point_cloud(points, size, 1 / size, features=given, mode=mode)


def main() -> None:
    torch.manual_seed(0)
    for case in (
        (64, 100, 50, 32),
        (32, 500, 256, 256),
        (256, 2048, 1024, 256),
        (256, 2048, 2048, 512),
    ):
        resample(*case, "linear")
    resample(32, 500, 256, 256, "cubic")
    fuse(32, [(30, 512), (100, 32), (50, 16)], 50)
    fuse(4, [(30, 512), (100, 64), (200, 12)], 50)
    fuse(256, [(100, 512), (200, 128), (300, 64)], 128)
    voxelize(500_000, 128, 0, "occupancy")
    voxelize(1_000_000, 128, 0, "count")
    voxelize(8_000_000, 256, 0, "count")
    voxelize(1_000_000, 128, 8, "mean")
    voxelize(8_000_000, 256, 8, "mean")
    voxelize(1_000_000, 128, 8, "max")
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
