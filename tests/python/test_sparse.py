"""Sparse voxelization and depth images: the native code against the PyTorch reference."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

import robocache as rc

ALL_OUTPUTS = (
    "counts",
    "features",
    "voxels",
    "point_indices",
    "point_to_voxel",
    "point_coordinates",
    "dropped",
    "origins",
)
PRESETS = {
    "robocache": {"voxel_size": 0.25, "grid_size": (8, 6, 7)},
    "mmcv": {"voxel_size": (0.2, 0.3, 0.25), "grid_size": (9, 5, 6), "origin": (-1, -0.7, -0.6)},
    "spconv": {"voxel_size": 0.25, "grid_size": (8, 6, 7), "origin": -0.9},
    "open3d_voxelize": {"voxel_size": 0.25, "origin": -0.9, "upper": 0.8},
    "open3d_down_sample": {"voxel_size": 0.3},
    "kaolin": {"grid_size": 8},
}


def cloud(dtype, batch=None, num_points=400, seed=0):
    rng = np.random.default_rng(seed)
    shape = (num_points, 3) if batch is None else (batch, num_points, 3)
    points = rng.uniform(-1, 1, shape)
    points[..., 3, :] = np.nan
    points[..., 7, 1] = np.inf
    features = rng.normal(size=(*shape[:-1], 2))
    return torch.from_numpy(points).to(dtype), torch.from_numpy(features).to(dtype)


def assert_same(native, reference):
    assert native.keys() == reference.keys()
    for name, value in native.items():
        assert value.dtype == reference[name].dtype, name
        assert value.shape == reference[name].shape, name
        assert torch.equal(value, reference[name]), name


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batch", [None, 3])
def test_presets(preset, dtype, batch):
    points, features = cloud(dtype, batch)
    options = {
        "preset": preset,
        "features": features,
        "max_points": 4,
        "max_voxels": 90,
        "outputs": ALL_OUTPUTS,
        **PRESETS[preset],
    }
    native = rc.voxelize_sparse(points, **options)
    assert_same(native, rc.voxelize_sparse(points, **options, backend="pytorch"))
    assert int(native["num_voxels"].min()) > 20


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "min"])
def test_reductions_of_all_points(preset, mode):
    points, features = cloud(torch.float32, 2, seed=1)
    options = {"features": features, "mode": mode, "lengths": [400, 123], "preset": preset}
    options |= PRESETS[preset]
    native = rc.voxelize_sparse(points, **options)
    assert set(native) == {
        "coordinates",
        "num_voxels",
        "counts",
        "features",
        "point_to_voxel",
        "dropped",
    }
    assert_same(native, rc.voxelize_sparse(points, **options, backend="pytorch"))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3), (0, 5, 3)])
def test_no_points(shape):
    points = torch.zeros(shape)
    native = rc.voxelize_sparse(points, 0.5, grid_size=4)
    assert_same(native, rc.voxelize_sparse(points, 0.5, grid_size=4, backend="pytorch"))
    assert int(native["num_voxels"].sum()) == 0


def test_without_bounds_there_are_negative_cells():
    points = torch.tensor([[-0.1, 0.0, 7.9], [100.0, -200.0, 0.5]])
    result = rc.voxelize_sparse(points, 1.0, 0.0)
    assert result["coordinates"].tolist() == [[-1, 0, 7], [100, -200, 0]]


def test_orders():
    points = torch.tensor([[1.5, 0.5, 0.5], [0.5, 0.5, 1.5], [0.5, 0.5, 0.5], [1.5, 0.5, 0.5]])
    grid = {"voxel_size": 1.0, "origin": 0.0, "grid_size": 2}
    ours = rc.voxelize_sparse(points, **grid)
    assert ours["coordinates"][:3].tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert ours["point_to_voxel"].tolist() == [2, 1, 0, 2]
    mmcv = rc.voxelize_sparse(points, preset="mmcv", **grid)
    assert mmcv["coordinates"][:3].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert mmcv["counts"].tolist() == [2, 1, 1, 0]


def test_numpy_in_numpy_out():
    points, _ = cloud(torch.float32)
    result = rc.voxelize_sparse(points.numpy(), 0.5, grid_size=4)
    assert all(type(value) is np.ndarray for value in result.values())


def test_gradients_of_features():
    points, features = cloud(torch.float64)
    features.requires_grad_()
    result = rc.voxelize_sparse(points, 0.5, grid_size=4, features=features, mode="sum")
    result["features"].sum().backward()
    inside = result["point_to_voxel"] >= 0
    assert torch.equal(features.grad[:, 0], inside.double())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "spconv2"}, "preset: found 'spconv2', wanted one of 'robocache'"),
        ({"preset": "mmcv"}, "grid_size"),
        ({"voxel_size": 0.5}, "origin"),
        ({"outputs": ["voxels"]}, "need features"),
        ({"outputs": ["size"]}, "outputs: found 'size', wanted one of 'coordinates'"),
        ({"outputs": ["point_indices"]}, "max_points: 0 found"),
        ({"max_voxels": -1}, "max_voxels: -1 found"),
        ({"max_points": 1.5}, r"max_points: found 1\.5, wanted an integer"),
    ],
)
def test_wrong_arguments(options, message):
    arguments = {"voxel_size": 0.5, **({} if "voxel_size" in options else {"origin": 0.0})}
    with pytest.raises(rc.Error, match=message):
        rc.voxelize_sparse(torch.zeros(3, 3), **{**arguments, **options})


def camera(rng, batch=None):
    intrinsics = np.array([[20.0, 0, 7.5], [0, 21.0, 5.5], [0, 0, 1]], np.float32)
    angle = rng.uniform(0, 1)
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    pose[:3, 3] = rng.normal(size=3)
    if batch is None:
        return intrinsics, pose.astype(np.float32)
    return np.repeat(intrinsics[None], batch, 0), np.repeat(pose[None], batch, 0)


def depth_image(rng, dtype, batch=None):
    shape = (12, 16) if batch is None else (batch, 12, 16)
    if dtype == np.uint16:
        image = rng.integers(0, 4000, shape).astype(dtype)
    else:
        image = rng.uniform(-0.2, 4, shape).astype(dtype)
        image[..., 0, 0], image[..., 1, 1] = np.nan, np.inf
    image[..., 2, 2] = 0
    return image


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("with_pose", [False, True])
def test_depth_to_points(dtype, batch, with_pose):
    rng = np.random.default_rng(2)
    depth = depth_image(rng, dtype, batch)
    intrinsics, pose = camera(rng, batch)
    arguments = [depth, intrinsics, pose if with_pose else None]
    for options in ({}, {"max_depth": 3.0, "min_depth": 0.5, "pixel_offset": 0.5}):
        points = rc.depth_to_points(*arguments, **options)
        assert points.dtype == np.float32
        reference = rc.depth_to_points(*arguments, **options, backend="pytorch")
        np.testing.assert_array_equal(points, reference)
        packed, lengths = rc.depth_to_points(*arguments, **options, compact=True)
        also, also_lengths = rc.depth_to_points(
            *arguments, **options, compact=True, backend="pytorch"
        )
        np.testing.assert_array_equal(packed, also)
        np.testing.assert_array_equal(lengths, also_lengths)
        assert (np.isnan(points).any(-1).sum() + lengths.sum()) == depth.size


@pytest.mark.parametrize("max_depth", [1e30, math.inf])
def test_infinite_depth_is_invalid(max_depth):
    depth = np.array([[np.inf, 1.0]], np.float32)
    intrinsics = np.eye(3, dtype=np.float32)
    points = rc.depth_to_points(depth, intrinsics, max_depth=max_depth)
    assert np.isnan(points[0, 0]).all()
    assert points[0, 1].tolist() == [1.0, 0.0, 1.0]


def test_voxelize_depth_is_voxelizing_its_points():
    rng = np.random.default_rng(3)
    depth = depth_image(rng, np.float32, 2)
    intrinsics, pose = camera(rng, 2)
    features = rng.normal(size=(2, 12, 16, 3)).astype(np.float32)
    arguments = (depth, intrinsics, (6, 7, 8), 0.5)
    for options in (
        {},
        {"pose": pose, "mode": "count"},
        {"pose": pose, "mode": "mean", "features": features, "return_counts": True},
    ):
        native = rc.voxelize_depth(*arguments, **options, return_dropped=True)
        reference = rc.voxelize_depth(*arguments, **options, return_dropped=True, backend="pytorch")
        for a, b in zip(native, reference, strict=True):
            np.testing.assert_array_equal(a, b)


def test_depth_names_what_is_wrong():
    intrinsics = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="depth: 1 axes found"):
        rc.depth_to_points(np.zeros(4, np.float32), intrinsics)
    with pytest.raises(rc.Error, match="depth"):
        rc.depth_to_points(np.zeros((4, 4), np.int32), intrinsics)
    with pytest.raises(rc.Error, match="intrinsics"):
        rc.depth_to_points(np.zeros((4, 4), np.float32), intrinsics[:2])
    with pytest.raises(TypeError, match="pose: found"):
        rc.depth_to_points(np.zeros((4, 4), np.float32), intrinsics, "here")


def test_real_depth_image(test_data):
    folder = test_data("rgbd_arc2017")
    depth = np.load(folder / "data.npz")["depth"]
    info = json.loads((folder / "camera_info.json").read_text())
    intrinsics = np.array(info["K"], np.float64).reshape(3, 3)
    points, lengths = rc.depth_to_points(depth, intrinsics, compact=True)
    also, _ = rc.depth_to_points(depth, intrinsics, compact=True, backend="pytorch")
    np.testing.assert_array_equal(points, also)
    assert lengths[0] == np.isfinite(depth).sum()
