"""Sparse voxelization and depth images: each preset against what it is named after."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend

LOW, SIZE, GRID = np.array([-1.0, -1.0, -1.0]), np.array([0.4, 0.3, 0.5]), np.array([5, 7, 4])
OUTPUTS = [
    "coordinates",
    "num_voxels",
    "counts",
    "voxels",
    "point_indices",
    "point_to_voxel",
    "point_coordinates",
    "dropped",
]


def cloud(seed: int, count: int = 800, width: int = 4) -> np.ndarray:
    """Points [N, 3 + ...] whose features are the points and more, as detectors use them."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.3, 1.3, (count, width)).astype(np.float32)


def hard(points: np.ndarray, max_points: int, max_voxels: int) -> tuple[np.ndarray, ...]:
    """Hard voxelization as mmcv has it: zyx cells in the order of their first point."""
    size, low = SIZE.astype(np.float32), LOW.astype(np.float32)
    seen: dict[tuple[int, ...], int] = {}
    kept: list[list[int]] = []
    for i, point in enumerate(points):
        cell = np.floor((point[:3] - low) / size).astype(np.int64)
        if (cell < 0).any() or (cell >= GRID).any():
            continue
        key = tuple(int(c) for c in cell[::-1])
        if key not in seen:
            if len(seen) == max_voxels:
                continue
            seen[key] = len(seen)
            kept.append([])
        if len(kept[seen[key]]) < max_points:
            kept[seen[key]].append(i)
    voxels = np.zeros((len(kept), max_points, points.shape[1]), np.float32)
    for row, members in enumerate(kept):
        voxels[row, : len(members)] = points[members]
    return voxels, np.array(list(seen)), np.array([len(m) for m in kept])


@pytest.mark.parametrize("preset", ["mmcv", "spconv"])
@pytest.mark.parametrize(("max_points", "max_voxels"), [(35, 1000), (3, 1000), (5, 40)])
def test_hard_voxelization(backend: Backend, preset: str, max_points: int, max_voxels: int) -> None:
    points = cloud(1)
    voxels, cells, counts = hard(points, max_points, max_voxels)
    got = rc.voxelize_sparse(
        backend.tensor(points[:, :3].copy()),
        tuple(SIZE),
        tuple(LOW),
        grid_size=tuple(GRID),
        features=backend.tensor(points),
        preset=preset,
        max_points=max_points,
        max_voxels=max_voxels,
        outputs=OUTPUTS,
        backend=backend.argument,
    )
    found = {name: value.cpu().numpy() for name, value in got.items()}
    n = int(found["num_voxels"].reshape(-1)[0])
    assert n == len(cells)
    np.testing.assert_array_equal(found["coordinates"][:n], cells)
    np.testing.assert_array_equal(found["counts"][:n], counts)
    np.testing.assert_array_equal(found["voxels"][:n], voxels)
    assert (found["coordinates"][n:] == -1).all()
    assert (found["counts"][n:] == 0).all()
    assert (found["voxels"][n:] == 0).all()


def test_dynamic_voxelization(backend: Backend) -> None:
    points = cloud(2)[:, :3].copy()
    cell = np.floor((points - LOW.astype(np.float32)) / SIZE.astype(np.float32)).astype(np.int64)
    cell[((cell < 0) | (cell >= GRID)).any(axis=1)] = -1
    got = rc.voxelize_sparse(
        backend.tensor(points),
        tuple(SIZE),
        tuple(LOW),
        grid_size=tuple(GRID),
        preset="mmcv",
        outputs=["coordinates", "point_coordinates", "dropped"],
        backend=backend.argument,
    )
    np.testing.assert_array_equal(got["point_coordinates"].cpu().numpy(), cell[:, ::-1])
    assert int(got["dropped"].reshape(-1)[0]) == (cell[:, 0] < 0).sum()


@pytest.mark.parametrize("size", [0.11, 0.5, 3.0])
def test_open3d_down_sample(backend: Backend, size: float) -> None:
    o3d = pytest.importorskip("open3d")
    points = cloud(3, 2000)[:, :3].astype(np.float64)
    shape = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    expected = np.asarray(shape.voxel_down_sample(size).points)
    got = rc.voxelize_sparse(
        backend.tensor(points),
        size,
        features=backend.tensor(points),
        mode="mean",
        preset="open3d_down_sample",
        outputs=["coordinates", "num_voxels", "features"],
        backend=backend.argument,
    )
    n = int(got["num_voxels"].reshape(-1)[0])
    assert n == len(expected)
    mean = got["features"][:n].cpu().numpy()
    a, b = mean[np.lexsort(np.round(mean, 9).T)], expected[np.lexsort(np.round(expected, 9).T)]
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_open3d_voxel_grid(backend: Backend) -> None:
    o3d = pytest.importorskip("open3d")
    points = cloud(4, 1500)[:, :3].astype(np.float64)
    shape = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    grid = o3d.geometry.VoxelGrid.create_from_point_cloud(shape, 0.25)
    expected = sorted(tuple(int(i) for i in v.grid_index) for v in grid.get_voxels())
    got = rc.voxelize_sparse(
        backend.tensor(points),
        0.25,
        preset="open3d_down_sample",
        outputs=["coordinates", "num_voxels"],
        backend=backend.argument,
    )
    n = int(got["num_voxels"].reshape(-1)[0])
    assert [tuple(row) for row in got["coordinates"][:n].tolist()] == expected


def test_kaolin_rounds_to_the_nearest_cell(backend: Backend) -> None:
    points = cloud(5, 300)[:, :3].copy()
    low = points.min(axis=0)
    scale = (points - low).max()
    cell = np.rint((points - low) / scale * np.float32(31)).astype(np.int64)
    got = rc.voxelize_sparse(
        backend.tensor(points),
        grid_size=32,
        preset="kaolin",
        outputs=["coordinates", "num_voxels", "point_coordinates"],
        backend=backend.argument,
    )
    np.testing.assert_array_equal(got["point_coordinates"].cpu().numpy(), cell)
    n = int(got["num_voxels"].reshape(-1)[0])
    np.testing.assert_array_equal(got["coordinates"][:n].cpu().numpy(), np.unique(cell, axis=0))


def test_open3d_ml_voxelize_is_inclusive(backend: Backend) -> None:
    points = cloud(6, 500)[:, :3].copy()
    points[0] = [-1.0, 1.0, 1.0]  # on both bounds
    upper = np.array([1.0, 1.0, 1.0])
    inside = ((points >= LOW) & (points <= upper)).all(axis=1)
    inverse = np.float32(1) / SIZE.astype(np.float32)
    cell = np.trunc((points - LOW.astype(np.float32)) * inverse).astype(np.int64)
    cell[~inside] = -1
    got = rc.voxelize_sparse(
        backend.tensor(points),
        tuple(SIZE),
        tuple(LOW),
        upper=tuple(upper),
        preset="open3d_voxelize",
        outputs=["coordinates", "point_coordinates", "num_voxels", "dropped"],
        backend=backend.argument,
    )
    np.testing.assert_array_equal(got["point_coordinates"].cpu().numpy(), cell)
    assert int(got["dropped"].reshape(-1)[0]) == (~inside).sum()
    n = int(got["num_voxels"].reshape(-1)[0])
    whole = np.unique(cell[inside][:, ::-1], axis=0)[:, ::-1]  # ascending by z, then y, then x
    np.testing.assert_array_equal(got["coordinates"][:n].cpu().numpy(), whole)


def test_sparse_agrees_with_dense(backend: Backend) -> None:
    points = cloud(7, 3000)
    xyz, features = backend.tensor(points[:, :3].copy()), backend.tensor(points[:, 3:].copy())
    sparse = rc.voxelize_sparse(
        xyz,
        tuple(SIZE),
        tuple(LOW),
        grid_size=tuple(GRID),
        features=features,
        mode="mean",
        outputs=["coordinates", "num_voxels", "features", "counts", "point_to_voxel"],
        backend=backend.argument,
    )
    dense, counts = rc.voxelize_point_cloud(
        xyz, tuple(GRID), tuple(SIZE), tuple(LOW), features=features, mode="mean",
        return_counts=True, backend=backend.argument,
    )  # fmt: skip
    n = int(sparse["num_voxels"].reshape(-1)[0])
    assert n == int((counts > 0).sum())
    where = sparse["coordinates"][:n].long().unbind(dim=1)
    assert torch.equal(sparse["features"][:n], dense[where])
    assert torch.equal(sparse["counts"][:n], counts[where])
    assert int((sparse["point_to_voxel"] >= 0).sum()) == int(counts.sum())


def test_depth_image_to_points(backend: Backend) -> None:
    """A pinhole camera with a pose, against NumPy in float64."""
    rng = np.random.default_rng(8)
    depth = rng.integers(0, 4000, (24, 32)).astype(np.uint16)
    intrinsics = np.array([[40.0, 0, 15.5], [0, 42.0, 11.5], [0, 0, 1]])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, [0.1, -0.2, 0.9]
    v, u = np.mgrid[:24, :32]
    z = depth * 0.001
    camera = np.stack([(u - 15.5) / 40.0 * z, (v - 11.5) / 42.0 * z, z], axis=-1)
    expected = camera @ turn.T + pose[:3, 3]
    expected[depth == 0] = np.nan
    arguments = (backend.tensor(depth), backend.tensor(intrinsics), backend.tensor(pose))
    got = rc.depth_to_points(*arguments, depth_scale=0.001, backend=backend.argument)
    np.testing.assert_allclose(got.cpu().numpy(), expected, rtol=0, atol=2e-6)
    compact, length = rc.depth_to_points(
        *arguments, depth_scale=0.001, compact=True, backend=backend.argument
    )
    n = int(length.reshape(-1)[0])
    assert n == (depth > 0).sum()
    np.testing.assert_array_equal(
        compact[:n].cpu().numpy(), got.reshape(-1, 3)[torch.as_tensor(depth.ravel() > 0)].cpu()
    )
    fused = rc.voxelize_depth(
        arguments[0], arguments[1], (16, 16, 16), 0.5, pose=arguments[2], depth_scale=0.001,
        mode="count", backend=backend.argument,
    )  # fmt: skip
    apart = rc.voxelize_point_cloud(
        got.reshape(-1, 3).contiguous(), (16, 16, 16), 0.5, mode="count", backend=backend.argument
    )
    assert torch.equal(fused, apart)


def test_real_depth_frame(backend: Backend) -> None:
    root = os.environ.get("ROBOCACHE_TEST_DATA")
    if not root:
        pytest.skip("ROBOCACHE_TEST_DATA is not set")
    frame = np.load(Path(root) / "rgbd_arc2017/data.npz")
    depth = next(frame[k] for k in frame.files if frame[k].ndim == 2)
    intrinsics = np.array(
        [[600.0, 0, depth.shape[1] / 2], [0, 600.0, depth.shape[0] / 2], [0, 0, 1]]
    )
    scale = 1.0 if depth.dtype.kind == "f" else 0.001
    arguments = (backend.tensor(depth), backend.tensor(intrinsics))
    points = rc.depth_to_points(*arguments, depth_scale=scale, backend=backend.argument)
    z = points[..., 2].cpu().numpy()
    seen = np.isfinite(depth) & (depth > 0)
    np.testing.assert_array_equal(np.isfinite(z), seen)
    np.testing.assert_allclose(z[seen], depth[seen] * scale, rtol=1e-6)
