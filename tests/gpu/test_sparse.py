"""Sparse voxelization and depth images give the bits of the CPU, and nothing of them changes with
the order of threads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import robocache as rc

EVERYTHING = [
    "coordinates",
    "num_voxels",
    "counts",
    "features",
    "voxels",
    "point_indices",
    "point_to_voxel",
    "point_coordinates",
    "dropped",
    "origins",
]
SIZE, LOW = (0.11, 0.13, 0.07), (-1.0, -0.9, -1.1)
BOUNDED = {"voxel_size": SIZE, "origin": LOW, "grid_size": (17, 15, 31)}
PRESETS: dict[str, dict[str, Any]] = {
    "robocache": BOUNDED,
    "robocache large grid": {
        "voxel_size": 1e-4,
        "origin": LOW,
        "grid_size": (30_000, 20_000, 25_000),
    },
    "robocache unbounded": {"voxel_size": SIZE, "origin": (0.0, 0.1, 0.0)},
    "robocache fine": {"voxel_size": 1e-6, "origin": (0.0, 0.1, 0.0)},
    "robocache far": {"voxel_size": 3e-9, "origin": (-1.5, -1.5, -1.5)},
    "mmcv": {**BOUNDED, "preset": "mmcv"},
    "mmcv large grid": {
        "preset": "mmcv",
        "voxel_size": 1e-3,
        "origin": LOW,
        "grid_size": (2000, 1800, 2200),
    },
    "spconv": {**BOUNDED, "preset": "spconv"},
    "open3d_voxelize": {
        "preset": "open3d_voxelize",
        "voxel_size": SIZE,
        "origin": LOW,
        "upper": (0.9, 1.0, 1.1),
    },
    "open3d_voxelize fine": {
        "preset": "open3d_voxelize",
        "voxel_size": 1e-5,
        "origin": LOW,
        "upper": (0.9, 1.0, 1.1),
    },
    "open3d_down_sample": {"preset": "open3d_down_sample", "voxel_size": 0.17},
    "open3d_down_sample from": {
        "preset": "open3d_down_sample",
        "voxel_size": 0.002,
        "origin": LOW,
    },
    "kaolin": {"preset": "kaolin", "grid_size": 24},
    "kaolin from": {"preset": "kaolin", "grid_size": (24, 9, 40), "origin": LOW, "scale": 2.5},
    "one cell": {"voxel_size": 10.0, "origin": (-5.0, -5.0, -5.0), "grid_size": 1},
    "one cell of many": {"preset": "mmcv", "voxel_size": 10.0, "origin": LOW, "grid_size": 9},
}
TYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def cloud(count: int, dtype: torch.dtype, batch: int = 0, seed: int = 0) -> torch.Tensor:
    """Points of which some coincide and some are not finite."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, count, 3) if batch else (count, 3)
    points = (torch.rand(shape, generator=generator, dtype=torch.float64) * 2.6 - 1.3).to(dtype)
    points[..., ::7, :] = points[..., :1, :].clone()
    points[..., 5::101, 1] = float("nan")
    points[..., 6::103, 0] = float("inf")
    points[..., 8::107, 2] = -0.0
    return points


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8).cpu()


def check(points: torch.Tensor, features: torch.Tensor | None, **arguments: Any) -> None:
    lengths = arguments.pop("lengths", None)
    expected = rc.voxelize_sparse(points, features=features, lengths=lengths, **arguments)
    on_device = rc.voxelize_sparse(
        points.cuda(),
        features=None if features is None else features.cuda(),
        lengths=None if lengths is None else lengths.cuda(),
        **arguments,
    )
    assert on_device.keys() == expected.keys()
    for name, tensor in expected.items():
        assert on_device[name].is_cuda
        assert torch.equal(bits(on_device[name]), bits(tensor)), name


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_output_has_the_bits_of_the_cpu(preset: str, dtype: torch.dtype) -> None:
    points = cloud(5000, dtype)
    features = torch.randn(5000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    features[3::50] = float("nan")
    features[4::60] = float("inf")
    features[::90] = 0.0
    for i, mode in enumerate(("sum", "mean", "max", "min")):
        check(
            points,
            features.to(TYPES[i]),
            mode=mode,
            max_points=(1, 4, 35, 900)[i],
            max_voxels=(None, 700, 5000, 6001)[i],
            outputs=EVERYTHING,
            **PRESETS[preset],
        )


@pytest.mark.parametrize("preset", PRESETS)
def test_batches_of_clouds_of_any_length(preset: str) -> None:
    points = cloud(700, torch.float32, batch=6)
    features = torch.randn(6, 700, 9, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([0, 700, 1, 333, 32, 699])
    check(points, features, lengths=lengths, max_points=5, outputs=EVERYTHING, **PRESETS[preset])
    check(points, features, lengths=lengths.int(), mode="max", **PRESETS[preset])
    check(points, None, lengths=lengths, **PRESETS[preset])
    check(points, None, lengths=lengths, max_points=2, max_voxels=20, **PRESETS[preset])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", [1, 2, 8, 16])
def test_rows_of_whole_chunks(dtype: torch.dtype, width: int) -> None:
    points = cloud(6000, torch.float32)
    generator = torch.Generator().manual_seed(width)
    features = torch.randn(6000, width, dtype=torch.float64, generator=generator)
    features[3::50, 0] = float("nan")
    features[4::60] = -0.0
    for mode in ("sum", "mean", "max", "min"):
        for limit in (None, 3, 100):
            outputs = ["counts", "features"] + ([] if limit is None else ["voxels"])
            check(
                points,
                features.to(dtype),
                mode=mode,
                max_points=limit,
                outputs=outputs,
                **PRESETS["robocache"],
            )


def test_few_points_kept_of_crowded_voxels() -> None:
    points = cloud(300_000, torch.float32, seed=7)
    for limit in (1, 2, 63, 64, 65, 1000):
        outputs = ["counts", "point_indices", "features"]
        wide = {"voxel_size": 0.5, "origin": LOW, "max_points": limit, "max_voxels": 200}
        check(points, points, outputs=outputs, **wide)
        check(points, points, outputs=outputs[::2], preset="mmcv", grid_size=5, **wide)


def test_strided_inputs() -> None:
    points = cloud(9000, torch.float32).T.contiguous().T[::3]
    features = torch.randn(3000, 8, generator=torch.Generator().manual_seed(3))[:, ::2]
    check(points, features, max_points=3, outputs=EVERYTHING, **BOUNDED)


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 257, 8192, 8193])
def test_few_points(count: int) -> None:
    points = cloud(count, torch.float32) if count else torch.empty(0, 3)
    features = torch.ones(count, 2)
    for preset in ("robocache", "robocache unbounded", "mmcv", "open3d_down_sample", "kaolin"):
        check(points, features, max_points=2, outputs=EVERYTHING, **PRESETS[preset])
        check(points, features, max_voxels=0, **PRESETS[preset])


@pytest.mark.parametrize(
    "preset",
    ["robocache", "mmcv", "robocache unbounded", "robocache far", "open3d_down_sample", "one cell"],
)
def test_a_million_points(preset: str) -> None:
    points = cloud(1_000_003, torch.float32, seed=4)
    features = torch.randn(1_000_003, 4, generator=torch.Generator().manual_seed(5))
    wanted = [n for n in EVERYTHING if n not in ("voxels", "point_indices")]
    check(points, features, outputs=wanted, **PRESETS[preset])
    check(points, features, max_points=20, max_voxels=30_000, outputs=EVERYTHING, **PRESETS[preset])


def test_fine_voxels_of_many_points() -> None:
    points = cloud(2_000_000, torch.float32, seed=6)
    for preset in ("robocache", "mmcv"):
        check(points, points, preset=preset, voxel_size=0.004, origin=LOW, grid_size=600)
    check(points, points, voxel_size=0.0007, origin=LOW)


def test_lengths_out_of_range_are_clamped() -> None:
    points = cloud(100, torch.float32, batch=2).cuda()
    lengths = torch.tensor([1 << 40, -5], device="cuda")
    got = rc.voxelize_sparse(points, lengths=lengths, **BOUNDED)
    expected = rc.voxelize_sparse(points, lengths=torch.tensor([100, 0], device="cuda"), **BOUNDED)
    for name, tensor in expected.items():
        assert torch.equal(got[name], tensor)


# ---- depth images ---


def images(batch: int, height: int, width: int, dtype: torch.dtype, holes: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    shape = (batch, height, width) if batch else (height, width)
    depth = torch.rand(shape, generator=generator, dtype=torch.float64) * 4000 + 1
    depth[torch.rand(shape, generator=generator) < holes] = 0
    if dtype.is_floating_point:
        depth[..., ::3, ::5] = float("nan")
        depth[..., 1::3, ::5] = float("inf")
        depth[..., 2::3, ::5] = -1
        return depth.to(dtype)
    return depth.to(torch.int32).to(dtype)


def cameras(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    intrinsics = torch.tensor([[300.0, 0, 160.3], [0, 310.0, 121.7], [0, 0, 1]])
    pose = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    if not batch:
        return intrinsics, pose
    spread = torch.rand(batch, 1, 1, generator=generator)
    return intrinsics.expand(batch, 3, 3) + spread, pose.expand(batch, 4, 4)


def both(function: Any, *tensors: Any, **arguments: Any) -> tuple[Any, Any]:
    on_device = [t.cuda() if isinstance(t, torch.Tensor) else t for t in tensors]
    given = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in arguments.items()}
    return function(*tensors, **arguments), function(*on_device, **given)


def assert_same(expected: Any, got: Any) -> None:
    for a, b in zip(
        expected if isinstance(expected, tuple) else (expected,),
        got if isinstance(got, tuple) else (got,),
        strict=True,
    ):
        assert torch.equal(bits(b), bits(a))


@pytest.mark.parametrize("dtype", [torch.uint16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("holes", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("width", [323, 324])
def test_depth_has_the_bits_of_the_cpu(
    dtype: torch.dtype, batch: int, holes: float, width: int
) -> None:
    depth = images(batch, 241, width, dtype, holes)
    intrinsics, pose = cameras(batch)
    for given in (None, pose):
        for compact in (False, True):
            assert_same(
                *both(
                    rc.depth_to_points,
                    depth,
                    intrinsics,
                    given,
                    compact=compact,
                    depth_scale=0.001,
                    pixel_offset=0.5,
                    max_depth=3.5,
                )
            )


def test_depth_of_every_layout() -> None:
    intrinsics, pose = cameras(0)
    depth = images(0, 60, 90, torch.float32, 0.3)
    for view in (depth.T, depth[::2, ::3], depth[:0], depth[:1, :1], depth[:, 10:20]):
        for compact in (False, True):
            assert_same(*both(rc.depth_to_points, view, intrinsics, pose, compact=compact))
    pose = pose.clone()
    pose[2, 3] = float("nan")
    _, (_, length) = both(rc.depth_to_points, depth, intrinsics, pose, compact=True)
    assert length.item() == 0


@pytest.mark.parametrize("mode", ["occupancy", "count", "sum", "mean", "max", "min"])
@pytest.mark.parametrize("batch", [0, 3])
def test_voxels_of_depth_images(mode: str, batch: int) -> None:
    depth = images(batch, 120, 160, torch.uint16, 0.3)
    intrinsics, pose = cameras(batch)
    features = None
    if mode not in ("occupancy", "count"):
        features = torch.randn(*depth.shape, 5, generator=torch.Generator().manual_seed(8))
        features = features[..., ::2] if batch else features
    assert_same(
        *both(
            rc.voxelize_depth,
            depth,
            intrinsics,
            (20, 16, 24),
            0.4,
            pose=pose,
            mode=mode,
            features=features,
            return_counts=True,
            return_dropped=True,
        )
    )
