"""The cases of sparse voxelization and depth images, with what they are compared to in PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from device import triton_depth, triton_sparse
from device.case import Case, Cases, Contenders

import robocache as rc

Tensors = dict[str, torch.Tensor]
FAR = torch.iinfo(torch.int64).max


class Grid:
    """Bounds on the device, where a graph may be captured."""

    def __init__(
        self, size: tuple[float, ...], low: tuple[float, ...], cells: tuple[int, ...]
    ) -> None:
        self.size, self.low = torch.tensor(size, device="cuda"), torch.tensor(low, device="cuda")
        self.cells = torch.tensor(cells, device="cuda")
        self.shape = cells

    def keys(self, points: torch.Tensor) -> torch.Tensor:
        """Cell numbers of points; FAR outside."""
        cell = torch.floor((points - self.low) / self.size).long()
        inside = ((cell >= 0) & (cell < self.cells)).all(-1)
        flat = (cell[:, 0] * self.shape[1] + cell[:, 1]) * self.shape[2] + cell[:, 2]
        return torch.where(inside, flat, FAR)


def hard(flat: torch.Tensor, features: torch.Tensor, k: int, m: int) -> Tensors:
    """Voxels in the order of their first points, by a sort: shapes are static, nothing waits."""
    n = len(flat)
    at = torch.arange(n, device=flat.device)
    ordered, order = flat.sort(stable=True)
    begins = torch.ones(n, dtype=torch.bool, device=flat.device)
    begins[1:] = ordered[1:] != ordered[:-1]
    exists = ordered != FAR
    start = torch.where(begins, at, 0).cummax(0).values
    is_first = torch.zeros(n, dtype=torch.int64, device=flat.device)
    is_first.scatter_(0, order, (begins & exists).long())
    number = (is_first.cumsum(0) - 1).gather(0, order.gather(0, start))
    place = at - start
    kept = exists & (number < m) & (place < k)
    row = torch.where(kept, number * k + place, m * k)
    voxels = features.new_zeros(m * k + 1, features.shape[1])
    voxels[row] = features.gather(0, order[:, None].expand_as(features))
    counts = torch.zeros(m + 1, dtype=torch.int32, device=flat.device)
    counts.index_add_(0, torch.where(kept, number, m), kept.int())
    cells = flat.new_full((m + 1,), -1)
    cells[torch.where(kept & begins, number, m)] = ordered
    return {"voxels": voxels[:-1].view(m, k, -1), "counts": counts[:-1], "cells": cells[:-1]}


def hard_unique(flat: torch.Tensor, features: torch.Tensor, k: int, m: int) -> Tensors:
    """The same with torch.unique, which waits for the device to learn how many there are."""
    found, inverse = torch.unique(flat, return_inverse=True)
    at = torch.arange(len(flat), device=flat.device)
    first = torch.full_like(found, len(flat)).scatter_reduce_(0, inverse, at, "amin")
    first = torch.where(found == FAR, len(flat), first)
    by_first = first.argsort()
    number = torch.empty_like(by_first)
    number[by_first] = torch.arange(len(found), device=flat.device)
    voxel = number[inverse]
    voxel = torch.where((flat == FAR) | (voxel >= m), m, voxel)
    order = voxel.argsort(stable=True)
    sizes = torch.bincount(voxel, minlength=m + 1)
    place = at - (sizes.cumsum(0) - sizes)[voxel[order]]
    kept = (place < k) & (voxel[order] < m)
    voxels = features.new_zeros(m, k, features.shape[1])
    voxels[voxel[order][kept], place[kept]] = features[order][kept]
    return {"voxels": voxels, "counts": sizes[:m].clamp(max=k).int()}


def mean(flat: torch.Tensor, features: torch.Tensor) -> Tensors:
    """Every voxel in ascending order, with the mean of its features; N rows, static shapes."""
    n = len(flat)
    ordered, order = flat.sort(stable=True)
    begins = torch.ones(n, dtype=torch.bool, device=flat.device)
    begins[1:] = ordered[1:] != ordered[:-1]
    number = begins.long().cumsum(0) - 1
    exists = (ordered != FAR).to(features.dtype)
    point_to_voxel = torch.empty_like(number).scatter_(0, order, number)
    counts = features.new_zeros(n).index_add_(0, number, exists)
    sums = torch.zeros_like(features)
    sums.index_add_(0, point_to_voxel, features * (flat != FAR).to(features.dtype)[:, None])
    return {
        "features": sums / counts.clamp(min=1)[:, None],
        "counts": counts.int(),
        "point_to_voxel": torch.where(flat == FAR, -1, point_to_voxel).int(),
    }


def to_points(depth: torch.Tensor, f: float, cx: float, cy: float) -> torch.Tensor:
    z = depth.float() * 0.001
    z = torch.where(z > 0, z, float("nan"))
    u = torch.arange(depth.shape[1], device=depth.device, dtype=torch.float32)
    v = torch.arange(depth.shape[0], device=depth.device, dtype=torch.float32)
    return torch.stack([(u - cx) / f * z, ((v - cy) / f)[:, None] * z, z], dim=-1)


def same(label: str, expected: Tensors, got: Tensors, bounds: dict[str, float]) -> None:
    """Outputs agree, to the bit where `bounds` says nothing else."""
    for name, tensor in expected.items():
        if name in got:
            wanted = torch.nan_to_num(tensor.double())
            error = (torch.nan_to_num(got[name][: len(tensor)].double()) - wanted).abs().max()
            if not error.item() <= bounds.get(name, 0.0):
                sys.exit(f"{label}, {name}: off by {error.item()}; nothing was timed")


def agree(bounds: dict[str, float]) -> Callable[[Contenders], None]:
    """Each contender gives what eager does."""

    def check(contenders: Contenders) -> None:
        expected = contenders["eager"]()
        for label, call in contenders.items():
            same(label, expected, call(), bounds)

    return check


def nbytes(*tensors: torch.Tensor) -> int:
    return sum(t.nbytes for t in tensors)


def inside_cells(points: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Moves points off the faces of their cells, where torch.compile's division would decide."""
    return (torch.floor(points / size) + 0.1 + 0.8 * torch.rand_like(points)) * size


def scan(n: int) -> torch.Tensor:
    """Points that are denser near the middle, as a turning lidar's are, and an intensity."""
    angle, reach = (
        torch.rand(n, device="cuda") * 6.2831853,
        60 * torch.rand(n, device="cuda") ** 1.5,
    )
    height = torch.randn(n, device="cuda") * 0.6
    points = torch.stack([reach * angle.cos(), reach * angle.sin(), height], dim=1)
    points = inside_cells(points, torch.tensor([0.1, 0.1, 0.2], device="cuda"))
    return torch.cat([points, torch.rand(n, 1, device="cuda")], dim=1)


def hard_case(n: int) -> Case:
    features = scan(n)
    points = features[:, :3].contiguous()
    size, low, grid = (0.1, 0.1, 0.2), (-51.2, -51.2, -4.0), (1024, 1024, 40)
    bounds = Grid(size, low, grid)
    k, m = 10, 150_000

    def ours() -> Tensors:
        return rc.voxelize_sparse(
            points, size, low, grid_size=grid, features=features, preset="mmcv",
            max_points=k, max_voxels=m, outputs=["voxels", "counts"],
        )  # fmt: skip

    def eager() -> Tensors:
        return hard(bounds.keys(points), features, k, m)

    contenders = {
        "robocache": ours,
        "eager": eager,
        "compile": torch.compile(eager, dynamic=False),
        "unique": lambda: hard_unique(bounds.keys(points), features, k, m),
    }
    num_bytes = nbytes(points, features, *ours().values())
    return Case(num_bytes, contenders, agree({}), host=True, uncaptured=frozenset({"unique"}))


def mean_case(n: int, cells: int, width: int) -> Case:
    points = inside_cells(torch.rand(n, 3, device="cuda") - 0.5, torch.tensor(1 / cells))
    features = torch.randn(n, width, device="cuda")
    size, low, grid = (1 / cells,) * 3, (-0.5,) * 3, (cells,) * 3
    bounds = Grid(size, low, grid)
    outputs = ["features", "counts", "point_to_voxel"]

    def ours() -> Tensors:
        return rc.voxelize_sparse(
            points, size, low, grid_size=grid, features=features, outputs=outputs
        )

    def eager() -> Tensors:
        return mean(bounds.keys(points), features)

    contenders = {
        "robocache": ours,
        "eager": eager,
        "compile": torch.compile(eager, dynamic=False),
        "triton": lambda: triton_sparse.mean(points, features, cells),
    }
    return Case(nbytes(points, features, *ours().values()), contenders, agree({"features": 1e-5}))


def down_sample_case(n: int, size: float) -> Case:
    points = scan(n)[:, :3].contiguous()
    # Division by a number would be a product with its reciprocal.
    width = torch.tensor(size, dtype=torch.float64, device="cuda")

    def ours() -> Tensors:
        return rc.voxelize_sparse(
            points, size, features=points, preset="open3d_down_sample", outputs=["features"]
        )

    def eager() -> Tensors:
        wide = points.double()
        cell = torch.floor((wide - (wide.amin(0) - size / 2)) / width).long()
        return mean((cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2], points)

    contenders = {
        "robocache": ours,
        "eager": eager,
        "compile": torch.compile(eager, dynamic=False),
    }
    return Case(nbytes(points, *ours().values()), contenders, agree({"features": 1e-4}))


class Camera:
    """A depth image and its camera. Depths are at least 4 mm away from multiples of 40 mm, and rays
    do not meet in round numbers, so that points are not on the faces of cells of that size."""

    def __init__(self, height: int, width: int) -> None:
        far = torch.randint(0, 100, (height, width), device="cuda")
        depth = 40 * far + torch.randint(4, 37, (height, width), device="cuda")
        self.depth = torch.where(far == 0, 0, depth).to(torch.uint16)
        self.f, self.cx, self.cy = 501.3, width / 2 + 0.37, height / 2 - 0.21
        self.intrinsics = torch.tensor(
            [[self.f, 0, self.cx], [0, self.f, self.cy], [0, 0, 1]], device="cuda"
        )

    def points(self) -> torch.Tensor:
        return to_points(self.depth, self.f, self.cx, self.cy)


def points_case(height: int, width: int) -> Case:
    camera = Camera(height, width)
    contenders = {
        "robocache": lambda: {"points": rc.depth_to_points(camera.depth, camera.intrinsics)},
        "eager": lambda: {"points": camera.points()},
        "compile": torch.compile(lambda: {"points": camera.points()}, dynamic=False),
        "triton": lambda: {"points": triton_depth.to_points(camera.depth, camera.intrinsics)},
    }
    num_bytes = camera.depth.nbytes + 12 * camera.depth.numel()
    return Case(num_bytes, contenders, agree({"points": 1e-5}), host=True)


def packed_case(height: int, width: int) -> Case:
    camera = Camera(height, width)

    def ours() -> Tensors:
        points, lengths = rc.depth_to_points(camera.depth, camera.intrinsics, compact=True)
        return {"points": points, "lengths": lengths}

    def eager() -> Tensors:
        points = camera.points().view(-1, 3)
        return {"points": points[~points[:, 2].isnan()]}

    num_bytes = camera.depth.nbytes + 12 * camera.depth.numel()
    return Case(
        num_bytes,
        {"robocache": ours, "eager": eager},
        agree({"points": 1e-5}),
        uncaptured=frozenset({"eager"}),
    )


def voxels_case(height: int, width: int, cells: int, size: float) -> Case:
    camera = Camera(height, width)
    grid = (cells,) * 3
    bounds = Grid((size,) * 3, (-cells * size / 2,) * 3, grid)

    def ours() -> Tensors:
        counts = rc.voxelize_depth(camera.depth, camera.intrinsics, grid, size, mode="count")
        return {"counts": counts}

    def eager() -> Tensors:
        flat = bounds.keys(camera.points().view(-1, 3))
        inside = flat != FAR
        counts = torch.zeros(cells**3 + 1, dtype=torch.int32, device="cuda")
        counts.index_add_(0, torch.where(inside, flat, cells**3), inside.int())
        return {"counts": counts[:-1].view(grid)}

    contenders = {
        "robocache": ours,
        "eager": eager,
        "compile": torch.compile(eager, dynamic=False),
    }
    # Rounding differs between the projections: single points may be in the next cell.
    return Case(camera.depth.nbytes + 4 * cells**3, contenders, agree({"counts": 2}))


CASES: Cases = {
    "sparse hard 1000000, 10 points of 150000 voxels": lambda: hard_case(1_000_000),
    "sparse mean 1000000 in 128^3 F=8": lambda: mean_case(1_000_000, 128, 8),
    "sparse open3d_down_sample 1000000": lambda: down_sample_case(1_000_000, 0.1),
    "depth 480x640 to points": lambda: points_case(480, 640),
    "depth 480x640 to packed points": lambda: packed_case(480, 640),
    "depth 480x640 in 128^3 count": lambda: voxels_case(480, 640, 128, 0.04),
}
