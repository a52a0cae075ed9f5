"""Numbers and images in every form that a user has them in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.conformance.backends import Backend

FLOATS = [np.float16, np.float32, np.float64]
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


def forms(value: float, kinds: list[Any]) -> list[Any]:
    """One number: Python's, NumPy's of each dtype, arrays and tensors of none and one axis."""
    made: list[Any] = [value, float(value), [value] * 3, (value,) * 3, torch.tensor(value)]
    made += [torch.full((3,), value), np.full(3, value), [np.float32(value), value, float(value)]]
    for kind in kinds:
        made += [kind(value), np.array(value, kind), np.full(3, value, kind)]
    return made


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_sizes_and_origins(backend: Backend) -> None:
    points = backend.tensor(np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32))

    def call(grid: Any, size: Any, origin: Any) -> Any:
        return rc.voxelize_point_cloud(
            points, grid, size, origin, mode="count", backend=backend.argument
        )

    expected = call(4, 0.5, -1.0)
    for grid in [*forms(4, INTEGERS), *(kind(4) for kind in FLOATS), np.full(3, 4.0)]:
        same(call(grid, 0.5, -1.0), expected)
    for size in forms(0.5, FLOATS):
        same(call(4, size, -1.0), expected)
    for origin in forms(-1.0, [*FLOATS, np.int8, np.int64]):
        same(call(4, 0.5, origin), expected)
        sparse = rc.voxelize_sparse(
            points, np.float32(0.5), origin, grid_size=torch.tensor([4, 4, 4]),
            max_voxels=np.int64(50), max_points=5.0, backend=backend.argument,
        )  # fmt: skip
        assert int(sparse["counts"].sum()) == int(expected.sum())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grid_size", 2.5), ("grid_size", "4"), ("grid_size", [4, 4]), ("grid_size", np.nan),
        ("grid_size", np.zeros((3, 3))), ("grid_size", 2**70), ("grid_size", {}),
        ("voxel_size", "a"), ("voxel_size", [1.0, None, 1.0]), ("voxel_size", 1j),
        ("voxel_size", torch.ones(3, 3)), ("origin", [[0, 0, 0]]), ("origin", object()),
    ],
)  # fmt: skip
def test_what_is_no_number(backend: Backend, name: str, value: Any) -> None:
    arguments = {"grid_size": 4, "voxel_size": 0.5, "origin": 0.0, name: value}
    with pytest.raises((rc.errors.ArgumentTypeError, rc.errors.InvalidArgumentError), match=name):
        rc.voxelize_point_cloud(
            backend.tensor(np.zeros((5, 3), np.float32)), backend=backend.argument, **arguments
        )


def test_lengths_and_targets(backend: Backend) -> None:
    values = backend.tensor(np.random.default_rng(1).normal(size=(2, 6, 3)))
    stamps = np.arange(6) * 10

    def call(lengths: Any, targets: Any, kind: Any = np.int64) -> Any:
        return rc.resample_trajectories(
            values,
            backend.tensor(stamps.astype(kind)),
            targets,
            lengths=lengths,
            backend=backend.argument,
        )

    targets = backend.tensor(np.array([0, 25, 60]))
    expected = call(backend.tensor(np.array([6, 2])), targets)
    given: list[Any] = [[6, 2], (6, 2), np.array([6, 2]), np.array([6, 2], np.int32)]
    given += [np.array([6, 2], np.uint8), [np.int16(6), torch.tensor(2)], backend.tensor([6, 2])]
    for lengths in given:
        same(call(lengths, targets), expected)
    for listed in ([0, 25, 60], (0, 25, 60), [0.0, 25.0, 60.0], [np.int64(0), 25, 60]):
        same(call([6, 2], listed), expected)
    same(call([6, 2], [0, 25.0, 60], np.float64), expected)
    for wrong in ([0.5, 1, 2], ["a"], [None], [[0], [1, 2]]):
        with pytest.raises(rc.errors.ArgumentTypeError, match="target_times"):
            call([6, 2], wrong)
    for wrong in ([1.5, 2], ["a", "b"], [None, 1]):
        with pytest.raises(rc.errors.ArgumentTypeError, match="lengths"):
            call(wrong, targets)
    fused = rc.fuse_streams(
        [(values, backend.tensor(stamps)), (values, backend.tensor(stamps))], [0, 25, 60],
        lengths=[np.array([6, 2]), [6, 2]], backend=backend.argument,
    )  # fmt: skip
    same(fused, torch.cat([expected, expected], -1))


@pytest.mark.parametrize("limit", ["max_gap", "tolerance"])
def test_limits(backend: Backend, limit: str) -> None:
    values = backend.tensor(np.arange(12.0).reshape(1, 6, 2))
    stamps = backend.tensor(np.arange(6.0))

    def call(value: Any) -> Any:
        return rc.resample_trajectories(
            values, stamps, stamps + 0.25, return_valid=True, backend=backend.argument,
            **{limit: value},
        )  # fmt: skip

    expected = call(0.5)
    for value in (0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5)):
        same(call(value), expected)
    for wrong in (-1, -0.5, float("nan"), -np.inf):
        with pytest.raises(rc.errors.InvalidArgumentError, match=rf"{limit}: .*0 or more"):
            call(wrong)
    with pytest.raises(rc.errors.ArgumentTypeError, match=f"{limit}: found 'x'"):
        call("x")


INTRINSICS = np.array([[20.0, 0, 4], [0, 22.0, 3], [0, 0, 1]])
POSE = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])


def test_intrinsics_and_poses(backend: Backend) -> None:
    depth = backend.tensor(np.random.default_rng(2).uniform(0.5, 2, (6, 8)).astype(np.float32))

    def call(intrinsics: Any, pose: Any) -> Any:
        return rc.depth_to_points(depth, intrinsics, pose, backend=backend.argument)

    expected = call(backend.tensor(INTRINSICS), backend.tensor(POSE))
    for intrinsics in (INTRINSICS, INTRINSICS.astype(np.float32), INTRINSICS.tolist()):
        for pose in (
            POSE,
            POSE[:3],
            POSE.tolist(),
            backend.tensor(POSE[:3]),
            POSE.astype(np.int64),
        ):
            same(call(intrinsics, pose), expected)
    for wrong in (np.eye(2), np.zeros((2, 3, 3)), np.zeros(3)):
        with pytest.raises(rc.errors.InvalidArgumentError, match="intrinsics"):
            call(wrong, POSE)
    for wrong in (np.eye(3), np.zeros((2, 4)), np.zeros((4, 3)), np.zeros((2, 3, 4))):
        with pytest.raises(rc.errors.InvalidArgumentError, match="pose"):
            call(INTRINSICS, wrong)


@pytest.mark.parametrize("kind", ["uint16", "float32", "float64"])
def test_shapes_of_depth_images(backend: Backend, kind: str) -> None:
    rng = np.random.default_rng(3)
    images = backend.tensor((rng.uniform(0.2, 2, (3, 2, 6, 8)) * 1000).astype(kind))
    features = backend.tensor(rng.normal(size=(3, 2, 6, 8, 4)))
    poses = backend.tensor(np.broadcast_to(POSE, (3, 2, 4, 4)).copy())
    poses[:, :, 0, 3] = backend.tensor(np.arange(6.0).reshape(3, 2))

    def points(depth: Any, pose: Any = POSE, **options: Any) -> Any:
        return rc.depth_to_points(
            depth, INTRINSICS, pose, depth_scale=1e-3, backend=backend.argument, **options
        )

    def voxels(depth: Any, features: Any, pose: Any = POSE) -> Any:
        return rc.voxelize_depth(
            depth, INTRINSICS, (4, 5, 6), 0.4, pose=pose, features=features, mode="mean",
            depth_scale=1e-3, return_counts=True, return_dropped=True, backend=backend.argument,
        )  # fmt: skip

    each = [[points(images[i, j], poses[i, j]) for j in range(2)] for i in range(3)]
    cells = [
        [voxels(images[i, j], features[i, j], poses[i, j]) for j in range(2)] for i in range(3)
    ]
    batches = {
        "[H, W]": (images[1, 1], (1, 1)),
        "[B, H, W]": (images[1], (1,)),
        "[B, T, H, W]": (images, ()),
    }
    strided = backend.tensor(np.ones((3, 2, 6, 16), kind))[..., ::2]
    same(points(strided, poses), points(strided.contiguous(), poses))
    for depth, at in batches.values():
        expected = torch.stack([torch.stack(row) for row in each])[at]
        for given in (depth, depth[..., None]):
            assert given.ndim < 3 or given.shape[-1] in (1, 8)
            same(points(given, poses[at]), expected)
            packed, lengths = points(given, poses[at], compact=True)
            assert packed.shape == (*depth.shape[:-2], 48, 3)
            assert lengths.shape == (depth.shape[:-2] or (1,))
            grid, counts, dropped = voxels(given, features[at], poses[at])
            for found, index in ((grid, 0), (counts, 1), (dropped, 2)):
                parts = [torch.stack([cell[index] for cell in row]) for row in cells]
                wanted = torch.stack(parts)[at] if at or index < 2 else torch.stack(parts)[..., 0]
                same(found, wanted[..., 0] if index == 2 and len(at) == 1 else wanted)
    assert points(images[0, 0][:, :1]).shape == (6, 1, 3)
    for wrong in (images[0, 0, 0], images[None], images[None, ..., None]):
        with pytest.raises(rc.errors.InvalidArgumentError, match=r"depth: .*\[H, W, 1\]"):
            points(wrong)
    with pytest.raises(rc.errors.InvalidArgumentError, match="features"):
        voxels(images, features[:, :1])
