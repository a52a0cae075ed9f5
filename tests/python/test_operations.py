"""The four operations through their Python signatures; their numbers are in tests/conformance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import robocache as rc


def test_fuse_multimodal_is_three_streams_side_by_side():
    rng = np.random.default_rng(0)
    streams = [
        (rng.normal(size=(2, n, width)).astype(np.float32), np.linspace(0, 1, n))
        for n, width in ((5, 4), (20, 3), (50, 2))
    ]
    targets = np.linspace(0, 1, 7)
    flat = [array for stream in streams for array in stream]
    fused, valid = rc.fuse_multimodal(*flat, targets, return_valid=True)
    assert fused.shape == (2, 7, 9)
    assert valid.shape == (2, 7, 3)
    assert valid.all()
    parts = [rc.resample_trajectories(values, times, targets) for values, times in streams]
    np.testing.assert_array_equal(fused, np.concatenate(parts, -1))
    np.testing.assert_array_equal(rc.fuse_streams(streams, targets), fused)


def test_fuse_takes_options_for_each_stream():
    times = np.array([0, 10, 20], np.int64)
    values = np.array([[0.0], [1.0], [2.0]], np.float32)
    fused = rc.fuse_streams(
        [(values, times), (values, times), (values, times)],
        np.array([5, 25], np.int64),
        modes=["hold", "linear", None],
        outside=[None, "zero", "nan"],
        lengths=[None, [2], None],
    )
    np.testing.assert_array_equal(fused, [[0.0, 0.5, 0.5], [2.0, 0.0, np.nan]])


def test_fuse_writes_to_out():
    times = torch.arange(3, dtype=torch.float64)
    values = torch.rand(3, 2)
    out = torch.empty(3, 4)
    assert rc.fuse_streams([(values, times), (values, times)], times, out=out) is out
    assert torch.equal(out, torch.cat([values, values], -1))


def test_fuse_names_what_is_wrong():
    times = np.arange(3.0)
    values = np.zeros((3, 2), np.float32)
    with pytest.raises(TypeError, match=r"streams\[1\]: found .*ndarray.*wanted a tuple"):
        rc.fuse_streams([(values, times), values], times)
    with pytest.raises(ValueError, match="streams: 0 streams found"):
        rc.fuse_streams([], times)
    with pytest.raises(ValueError, match="modes: 1 elements found, 2 wanted"):
        rc.fuse_streams([(values, times)] * 2, times, modes=["hold"])
    with pytest.raises(TypeError, match="lengths: found 2, wanted a list"):
        rc.fuse_streams([(values, times)], times, lengths=2)


def test_channel_groups():
    times = np.array([0.0, 1.0])
    data = np.array([[0, 0, 0, 0, 0, 0, 1, 5], [1, 1, 1, 0, 0, 1, 0, 6]], np.float32)
    groups = [(slice(0, 3), "linear"), (slice(3, 7), "slerp"), (-1, "hold")]
    result = rc.resample_trajectories(data, times, np.array([0.5]), channels=groups)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        result[0], [0.5, 0.5, 0.5, 0, 0, half, half, 5], rtol=1e-6, atol=1e-7
    )
    same = rc.resample_trajectories(
        data, times, np.array([0.5]), channels=[((0, 3), "linear"), ((3, 7), "slerp"), (7, "hold")]
    )
    np.testing.assert_array_equal(result, same)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("linear", "channels: found 'linear', wanted a list"),
        ([3], r"channels\[0\]: found 3"),
        ([(slice(0, 8, 2), "hold")], r"channels\[0\]: slice with step 2 found, 1 wanted"),
        ([("state", "hold")], r"channels\[0\]: found 'state'"),
        ([(2**63 - 1, "hold")], r"channels\[0\]: found 9223372036854775807"),
        ([(slice(0, 3), "slerp")], "slerp"),
        ([(slice(0, 3), "hold"), (2, "linear")], "overlap"),
    ],
)
def test_wrong_channel_groups(channels, message):
    with pytest.raises(rc.Error, match=message):
        rc.resample_trajectories(
            np.zeros((2, 8), np.float32), np.arange(2.0), np.arange(2.0), channels=channels
        )


def test_voxelize_occupancy_counts_and_dropped():
    points = np.array(
        [[0.1, 0.1, 0.1], [0.2, 0.1, 0.1], [1.5, 0.5, 2.5], [9, 9, 9], [np.nan, 0, 0]], np.float32
    )
    grid, counts, dropped = rc.voxelize_point_cloud(
        points, (2, 3, 4), 1.0, 0.0, return_counts=True, return_dropped=True
    )
    assert grid.dtype == np.uint8
    assert grid.shape == (2, 3, 4)
    assert grid.sum() == 2
    assert grid[0, 0, 0] == grid[1, 0, 2] == 1
    assert counts.dtype == np.int32
    assert counts[0, 0, 0] == 2
    assert dropped.tolist() == [2]


def test_voxelize_mean_of_features_in_batches():
    points = torch.zeros(2, 3, 3) + 0.5
    features = torch.tensor([[[1.0], [2.0], [6.0]], [[10.0], [20.0], [99.0]]])
    out = rc.voxelize_point_cloud(
        points, 1, (1, 1, 1), (0, 0, 0), features=features, mode="mean", lengths=[3, 2]
    )
    assert type(out) is torch.Tensor
    assert out.shape == (2, 1, 1, 1, 1)
    assert out.flatten().tolist() == [3.0, 15.0]


def test_voxelize_names_what_is_wrong():
    points = np.zeros((5, 3), np.float32)
    with pytest.raises(ValueError, match="features: none found"):
        rc.voxelize_point_cloud(points, 4, 1.0, mode="mean")
    with pytest.raises(ValueError, match="features: modes 'occupancy' and 'count' take none"):
        rc.voxelize_point_cloud(points, 4, 1.0, features=points)
    with pytest.raises(ValueError, match=r"grid_size\[0\]: 0 found"):
        rc.voxelize_point_cloud(points, 0, 1.0)
    with pytest.raises(ValueError, match="voxel_size"):
        rc.voxelize_point_cloud(points, 4, -1.0)
    with pytest.raises(TypeError, match=r"grid_size: found 2\.5, wanted an integer"):
        rc.voxelize_point_cloud(points, 2.5, 1.0)
    with pytest.raises(ValueError, match="points: 1 axes found"):
        rc.voxelize_point_cloud(points[0], 4, 1.0)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_reference_backend_gives_the_same(kind):
    rng = np.random.default_rng(1)
    data = kind(rng.normal(size=(2, 9, 3)).astype(np.float32))
    times = kind(np.sort(rng.uniform(0, 1, (2, 9))))
    targets = kind(rng.uniform(-0.1, 1.1, (2, 6)))
    native, valid = rc.resample_trajectories(data, times, targets, return_valid=True)
    reference, also_valid = rc.resample_trajectories(
        data, times, targets, return_valid=True, backend="pytorch"
    )
    assert type(reference) is type(native)
    np.testing.assert_allclose(np.asarray(native), np.asarray(reference), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(valid), np.asarray(also_valid))
    points = kind(rng.uniform(-1, 1, (50, 3)).astype(np.float32))
    features = kind(rng.normal(size=(50, 2)).astype(np.float32))
    for mode in ("sum", "mean", "max", "min"):
        options = {"features": features, "mode": mode}
        np.testing.assert_array_equal(
            np.asarray(rc.voxelize_point_cloud(points, 4, 0.5, **options)),
            np.asarray(rc.voxelize_point_cloud(points, 4, 0.5, backend="pytorch", **options)),
        )
