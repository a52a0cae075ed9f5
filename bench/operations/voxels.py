"""Voxelization of a million points against its peers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from operations import eager
from operations.measure import OURS, Contenders, agree, copy_of
from torch import Tensor

import robocache as rc

COUNT = 1_000_000
GRID, SIZE = (128, 128, 128), 2 / 128
CELLS = 128**3


def uniform(dtype: torch.dtype) -> Tensor:
    points = np.random.default_rng(COUNT).uniform(-1, 1, (COUNT, 3))
    return torch.as_tensor(points.astype(np.float32)).to(dtype).clone()


def bincount(points: Any) -> Any:
    cell = np.floor((points - np.float32(-1)) / np.float32(SIZE)).astype(np.int64)
    cell = cell[((cell >= 0) & (cell < GRID[0])).all(axis=1)]
    flat = np.ravel_multi_index(cell.T, GRID)
    return np.bincount(flat, minlength=CELLS).reshape(GRID)


def count_row() -> tuple[Contenders, int]:
    p = uniform(torch.float32)
    points, out = p.numpy(), torch.empty(GRID, dtype=torch.int32)
    contenders: Contenders = {
        OURS: lambda: rc.voxelize_point_cloud(p, GRID, SIZE, mode="count", out=out),
        "robocache, allocating": lambda: rc.voxelize_point_cloud(p, GRID, SIZE, mode="count"),
        "NumPy bincount": lambda: bincount(points),
        "torch index_add_": lambda: eager.voxel_count(p, GRID, SIZE),
    }
    agree(bincount(points), contenders, tuple(contenders), 0)
    moved = points.nbytes + CELLS * 4
    contenders["copy"] = copy_of(moved)
    return contenders, moved


def mean_row() -> tuple[Contenders, int]:
    p, out = uniform(torch.float32), torch.empty(*GRID, 8)
    features = np.random.default_rng(1).normal(size=(COUNT, 8)).astype(np.float32)
    f = torch.as_tensor(features).clone()
    contenders: Contenders = {
        OURS: lambda: rc.voxelize_point_cloud(p, GRID, SIZE, features=f, mode="mean", out=out),
        "robocache, allocating": lambda: rc.voxelize_point_cloud(
            p, GRID, SIZE, features=f, mode="mean"
        ),
        "torch index_add_": lambda: eager.voxel_mean(p, f, GRID, SIZE),
    }
    agree(eager.voxel_mean(p, f, GRID, SIZE).numpy(), contenders, tuple(contenders), 1e-5)
    moved = 12 * COUNT + features.nbytes + CELLS * 32
    contenders["copy"] = copy_of(moved)
    return contenders, moved


def grid_row() -> tuple[Contenders, int]:
    """Which cells are occupied, of Open3D's usual float64 points."""
    import open3d as o3d

    p = uniform(torch.float64)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(p.numpy()))

    def ours() -> dict[str, Tensor]:
        return rc.voxelize_sparse(
            p, SIZE, preset="open3d_down_sample", outputs=["coordinates", "num_voxels"]
        )

    grid = o3d.geometry.VoxelGrid.create_from_point_cloud(cloud, SIZE)
    assert int(ours()["num_voxels"]) == len(grid.get_voxels())
    return {
        OURS: ours,
        "Open3D VoxelGrid": lambda: o3d.geometry.VoxelGrid.create_from_point_cloud(cloud, SIZE),
    }, 0


def down_sample_row(dtype: torch.dtype, size: float) -> tuple[Contenders, int]:
    """The mean of the points of each cell; float32 as Open3D's tensor API has it."""
    import open3d as o3d

    p = uniform(dtype)
    if dtype == torch.float64:
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(p.numpy()))
    else:
        cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor(p.numpy()))

    def ours() -> dict[str, Tensor]:
        return rc.voxelize_sparse(
            p,
            size,
            features=p,
            mode="mean",
            preset="open3d_down_sample",
            outputs=["coordinates", "num_voxels", "features"],
        )

    if dtype == torch.float64:
        got = ours()
        mean = got["features"][: int(got["num_voxels"])].numpy()
        theirs = np.asarray(cloud.voxel_down_sample(size).points)
        orders = (np.lexsort(np.round(rows, 9).T) for rows in (mean, theirs))
        a, b = (rows[order] for rows, order in zip((mean, theirs), orders, strict=True))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    name = "Open3D voxel_down_sample" + ("" if dtype == torch.float64 else ", tensor")
    return {OURS: ours, name: lambda: cloud.voxel_down_sample(size)}, 0


def rows() -> dict[str, Callable[[], tuple[Contenders, int]]]:
    table: dict[str, Callable[[], tuple[Contenders, int]]] = {
        "voxel count 1M -> 128^3": count_row,
        "voxel mean 1M -> 128^3, F=8": mean_row,
    }
    if importlib.util.find_spec("open3d"):
        table["occupied cells 1M f64, 128^3"] = grid_row
        for dtype, name in ((torch.float64, "f64"), (torch.float32, "f32")):
            for size, label in ((SIZE, "128^3"), (0.05, "40^3")):
                table[f"down-sample 1M {name}, {label}"] = lambda d=dtype, s=size: down_sample_row(
                    d, s
                )
    return table
