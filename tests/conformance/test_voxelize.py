"""voxelize_point_cloud on every backend, against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend
from tests.conformance.reference import voxelize

GRIDS = [
    ((4, 5, 6), (0.5, 0.4, 0.3), (-1.0, -1.0, -1.0)),
    ((1, 1, 1), (2.0, 2.0, 2.0), None),
    ((7, 3, 11), (0.1, 0.9, 0.2), None),
    ((32, 16, 64), (0.07, 0.13, 0.031), (-1.1, -1.0, -0.9)),
]
RTOL = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def cloud(seed: int, count: int, kind: type) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.3, 1.3, (count, 3)).astype(kind)
    if count > 20:
        points[rng.integers(0, count, 4), rng.integers(0, 3, 4)] = [np.nan, np.inf, -np.inf, 1e30]
    return points


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("mode", ["occupancy", "count"])
def test_counting(backend: Backend, mode: str, grid: tuple, kind: type) -> None:
    cells, size, origin = grid
    for count in (0, 1, 1000, 20_001):
        points = cloud(count, count, kind)
        expected, _, dropped = voxelize(points, cells, size, origin, None, mode)
        out, lost = rc.voxelize_point_cloud(
            backend.tensor(points),
            cells,
            size,
            origin,
            mode=mode,
            return_dropped=True,
            backend=backend.argument,
        )
        assert out.dtype == (torch.uint8 if mode == "occupancy" else torch.int32)
        assert tuple(out.shape) == cells
        np.testing.assert_array_equal(out.cpu().numpy(), expected)
        assert int(lost) == dropped


@pytest.mark.parametrize("dtype", list(RTOL), ids=str)
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "min"])
def test_features(backend: Backend, mode: str, dtype: torch.dtype) -> None:
    cells, size, origin = GRIDS[0]
    for count, width in ((0, 2), (1, 1), (3000, 8), (2000, 5)):
        rng = np.random.default_rng(count + width)
        points = cloud(count, count, np.float32)
        features = torch.as_tensor(rng.normal(size=(count, width)) - 3).to(dtype)
        expected, counts, dropped = voxelize(
            points, cells, size, origin, features.double().numpy(), mode
        )
        out, found, lost = rc.voxelize_point_cloud(
            backend.tensor(points),
            cells,
            size,
            origin,
            mode=mode,
            features=features.to(backend.device),
            return_counts=True,
            return_dropped=True,
            backend=backend.argument,
        )
        assert out.dtype == dtype
        np.testing.assert_array_equal(found.cpu().numpy(), counts)
        assert int(lost) == dropped
        bound = RTOL[dtype]
        exact = mode in ("max", "min")
        np.testing.assert_allclose(
            out.cpu().double().numpy(),
            expected,
            rtol=0 if exact else bound,
            atol=0 if exact else bound,
        )


@pytest.mark.parametrize("mode", ["count", "mean", "max"])
def test_batched_and_ragged(backend: Backend, mode: str) -> None:
    rng = np.random.default_rng(3)
    cells, size, origin = GRIDS[0]
    points = np.stack([cloud(i, 500, np.float32) for i in range(4)])
    features = rng.normal(size=(4, 500, 3)).astype(np.float32)
    lengths = np.array([500, 0, 1, 321])
    given = {} if mode == "count" else {"features": backend.tensor(features)}
    out = rc.voxelize_point_cloud(
        backend.tensor(points),
        cells,
        size,
        origin,
        mode=mode,
        lengths=backend.tensor(lengths),
        backend=backend.argument,
        **given,
    )
    for b, n in enumerate(lengths):
        expected, _, _ = voxelize(points[b, :n], cells, size, origin, features[b, :n], mode)
        np.testing.assert_allclose(out[b].cpu().numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["occupancy", "count", "sum", "mean", "max", "min"])
def test_order_of_points_changes_no_bit(backend: Backend, mode: str) -> None:
    rng = np.random.default_rng(9)
    points = cloud(9, 30_000, np.float32)
    features = (rng.normal(size=(30_000, 4)) * 10.0 ** rng.integers(-6, 6, (30_000, 1))).astype(
        np.float32
    )
    results = []
    for order in (np.arange(30_000), rng.permutation(30_000), np.arange(30_000)[::-1].copy()):
        given = (
            {} if mode in ("occupancy", "count") else {"features": backend.tensor(features[order])}
        )
        results.append(
            rc.voxelize_point_cloud(
                backend.tensor(points[order]),
                (8, 8, 8),
                (0.3, 0.3, 0.3),
                mode=mode,
                backend=backend.argument,
                **given,
            )
        )
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_cell_edges_use_true_division(backend: Backend) -> None:
    """Half-open cells, on the very values where a multiplication by 1/size goes astray."""
    for size in (0.1, 0.07, 1 / 3, 0.3):
        edge = (np.arange(0, 4000, dtype=np.float32) * np.float32(size)).astype(np.float32)
        near = np.concatenate([np.nextafter(edge, -9), edge, np.nextafter(edge, 9e9)])
        points = np.zeros((len(near), 3), np.float32)
        points[:, 0] = near
        expected, _, dropped = voxelize(
            points, (4000, 1, 1), (size, 1, 1), (0, 0, 0), None, "count"
        )
        out, lost = rc.voxelize_point_cloud(
            backend.tensor(points),
            (4000, 1, 1),
            (size, 1.0, 1.0),
            (0.0, 0.0, 0.0),
            mode="count",
            return_dropped=True,
            backend=backend.argument,
        )
        np.testing.assert_array_equal(out.cpu().numpy(), expected)
        assert int(lost) == dropped


def test_empty_clouds(backend: Backend) -> None:
    """No points, no clouds: an empty grid of the right shape, not an error."""
    for shape, out in (((0, 3), (4, 4, 4)), ((0, 5, 3), (0, 4, 4, 4)), ((2, 0, 3), (2, 4, 4, 4))):
        points = backend.tensor(np.zeros(shape, np.float32))
        count = rc.voxelize_point_cloud(points, 4, 0.5, mode="count", backend=backend.argument)
        assert tuple(count.shape) == out
        assert not count.any()
        mean = rc.voxelize_point_cloud(
            points, 4, 0.5, features=points, mode="mean", backend=backend.argument
        )
        assert tuple(mean.shape) == (*out, 3)
        assert not mean.any()


def test_empty_sparse(backend: Backend) -> None:
    points = backend.tensor(np.zeros((0, 3), np.float32))
    got = rc.voxelize_sparse(
        points, 0.5, features=points, mode="mean", preset="open3d_down_sample",
        backend=backend.argument,
    )  # fmt: skip
    assert int(got["num_voxels"].reshape(-1)[0]) == 0
    assert got["coordinates"].shape == (0, 3)
    assert got["features"].shape == (0, 3)
