"""rc.Voxels in a loader: a batch holds the grids that the operations make of stored samples."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.own_format import Format

STEPS = 12
LENGTHS = (STEPS, 7, 9)
K = np.array([[14.0, 0, 8], [0, 15, 6], [0, 0, 1]])
POSE = np.array([[0, 0, 1, -0.5], [-1, 0, 0, 0.25], [0, -1, 0, 1], [0, 0, 0, 1.0]])
FEATURES = {
    "cloud": rc.Feature("float32", (5,), ragged=True),
    "bare": rc.Feature("float64", (3,), ragged=True),
    "half": rc.Feature("float16", (30, 4)),
    "fixed": rc.Feature("float64", (20, 6)),
    "organised": rc.Feature("float32", (4, 5, 3)),
    "depth": rc.Feature("uint16", (12, 16, 1), encoding="png"),
    "sized": rc.Feature("uint16", (-1, -1, 1), encoding="png"),
    "raw": rc.Feature("uint16", (12, 16)),
    "range": rc.Feature("float32", (12, 16)),
    "wide": rc.Feature("float64", (12, 16, 1)),
    "colour": rc.Feature("uint8", (12, 16, 3), encoding="png"),
    "state": rc.Feature("float32", (3,)),
    "numbers": rc.Feature("int32", (3,), ragged=True),
    "language": rc.Feature("str"),
}


def cloud(rng: Any, count: int, width: int, dtype: Any) -> Any:
    """Points in and out of grids, some not finite, some in one cell; TFRecords keep 32 bits."""
    points = rng.normal(scale=0.7, size=(count, width))
    points[rng.random(count) < 0.1, rng.integers(0, width)] = np.nan
    points[rng.random(count) < 0.05, 0] = np.inf
    points[: count // 3] = points[:1]
    return points.astype(np.float32).astype(dtype)


def depth(rng: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    metres = rng.uniform(0, 3, shape) * (rng.random(shape) > 0.2)
    return (metres * 1000).astype(dtype) if dtype == np.uint16 else metres.astype(np.float32)


def episode(rng: Any, steps: int, size: tuple[int, int]) -> dict[str, list[Any]]:
    made: dict[str, list[Any]] = {name: [] for name in FEATURES}
    for step in range(steps):
        made["cloud"].append(cloud(rng, int(rng.integers(0, 60)) * (step % 4 > 0), 5, np.float32))
        made["bare"].append(cloud(rng, int(rng.integers(0, 40)), 3, np.float64))
        made["half"].append(cloud(rng, 30, 4, np.float16))
        made["fixed"].append(cloud(rng, 20, 6, np.float64))
        made["organised"].append(cloud(rng, 20, 3, np.float32).reshape(4, 5, 3))
        made["depth"].append(depth(rng, (12, 16, 1), np.uint16))
        made["sized"].append(depth(rng, (*size, 1), np.uint16))
        made["raw"].append(depth(rng, (12, 16), np.uint16))
        made["range"].append(depth(rng, (12, 16), np.float32))
        made["wide"].append(depth(rng, (12, 16, 1), np.float64))
        made["colour"].append(np.zeros((12, 16, 3), np.uint8))
        made["state"].append(np.zeros(3, np.float32))
        made["numbers"].append(np.zeros((2, 3), np.int32))
        made["language"].append("look")
    made["depth"][3] = b""
    return made


@pytest.fixture(scope="module")
def episodes() -> list[dict[str, list[Any]]]:
    rng = np.random.default_rng(3)
    sizes = [(10, 14), (10, 14), (8, 14)]
    return [episode(rng, *each) for each in zip(LENGTHS, sizes, strict=True)]


@pytest.fixture(scope="module")
def folder(episodes: list[dict[str, list[Any]]], tmp_path_factory: Any) -> Path:
    where: Path = tmp_path_factory.mktemp("voxels")
    with rc.RldsWriter(where, "clouds", FEATURES, control_rate_hz=5) as writer:
        for steps in episodes:
            writer.add_episode(steps)
    return where / "clouds"


@pytest.fixture(scope="module")
def dataset(folder: Path) -> rc.Dataset:
    return rc.open(folder, progress=False)


def load(dataset: Any, streams: dict[str, Any], **arguments: Any) -> rc.DataLoader:
    settings = {"batch_size": 5, "array": "numpy", "seed": 7, "num_threads": 2, **arguments}
    return rc.DataLoader(dataset, streams=streams, **settings)


# ---- what a grid is -----------------------------------------------------------------------------


def grid_of(voxels: Any, sample: Any) -> tuple[Any, int]:
    """Returns the operation's grid of a stored sample, and how many points it left out."""
    if voxels.intrinsics is not None:
        grid, dropped = rc.voxelize_depth(
            sample.reshape(sample.shape[:2]),
            np.array(voxels.intrinsics),
            voxels.grid_size,
            voxels.voxel_size,
            voxels.origin,
            pose=None if voxels.pose is None else np.array(voxels.pose),
            mode=voxels.mode,
            depth_scale=voxels.depth_scale,
            min_depth=voxels.min_depth,
            max_depth=voxels.max_depth,
            pixel_offset=voxels.pixel_offset,
            return_dropped=True,
        )
        return grid, int(dropped[0])
    points = sample.reshape(-1, sample.shape[-1])
    takes_none = voxels.mode in ("occupancy", "count")
    grid, dropped = rc.voxelize_point_cloud(
        np.ascontiguousarray(points[:, :3]),
        voxels.grid_size,
        voxels.voxel_size,
        voxels.origin,
        features=None if takes_none else np.ascontiguousarray(points[:, 3:]),
        mode=voxels.mode,
        return_dropped=True,
    )
    return grid, int(dropped[0])


def counted(voxels: rc.Voxels, points: Any) -> Any:
    """Returns the counts of a cloud by NumPy alone, in the points' own type."""
    points = points.reshape(-1, points.shape[-1])[:, :3]
    if points.dtype == np.float16:
        points = points.astype(np.float32)
    size = np.array(voxels.voxel_size)
    origin = -np.array(voxels.grid_size) * size / 2 if voxels.origin is None else voxels.origin
    points = points[np.isfinite(points).all(1)]
    cells = np.floor(
        (points - np.asarray(origin, points.dtype)) / np.asarray(size, points.dtype)
    ).astype(int)
    cells = cells[((cells >= 0) & (cells < voxels.grid_size)).all(1)]
    grid = np.zeros(voxels.grid_size, np.int32)
    np.add.at(grid, tuple(cells.T), 1)
    return grid


def check(
    batch: Any, name: str, voxels: rc.Voxels, samples: list[list[Any]], ticks: list[int]
) -> None:
    """Holds a field whose ticks repeat the end sample to the operation's grid of each sample."""
    rows = zip(batch["episode_index"], batch["step_index"], strict=True)
    for row, (e, step) in enumerate(rows):
        steps = samples[int(e)]
        for i, tick in enumerate(ticks):
            at = min(max(int(step) + tick, 0), len(steps) - 1)
            sample = steps[at]
            got, dropped = batch[name][row, i], batch[f"{name}_dropped"][row, i]
            assert batch[f"{name}_is_pad"][row, i] == (at != step + tick)
            if isinstance(sample, bytes):  # an empty image
                assert not batch[f"{name}_valid"][row, i]
                assert not got.any()
                assert dropped == 0
                continue
            wanted, outside = grid_of(voxels, sample)
            np.testing.assert_array_equal(got, wanted, strict=True)
            assert dropped == outside
            if voxels.mode == "count" and voxels.intrinsics is None:
                np.testing.assert_array_equal(got, counted(voxels, sample))


CAMERA: dict[str, Any] = {"intrinsics": K, "origin": (-1, -1, 0)}
CASES = [
    *[
        (stream, rc.Voxels((4, 5, 6), (0.5, 0.4, 0.3), mode=mode))
        for stream in ("cloud", "half", "fixed")
        for mode in ("occupancy", "count", "sum", "mean", "max", "min")
    ],
    *[
        (stream, rc.Voxels(8, 0.2, (-1, -0.5, 0.1), mode=mode))
        for stream in ("bare", "organised")
        for mode in ("occupancy", "count")
    ],
    *[
        (stream, rc.Voxels((9, 8, 7), 0.3, mode=mode, **CAMERA))
        for stream in ("depth", "raw", "range", "wide")
        for mode in ("occupancy", "count")
    ],
    ("depth", rc.Voxels(8, 0.25, mode="count", intrinsics=K, pose=POSE, depth_scale=0.0005)),
    ("range", rc.Voxels(8, 0.25, mode="count", intrinsics=K, pose=POSE[:3], pixel_offset=0.5)),
    ("raw", rc.Voxels(8, 0.25, intrinsics=K, min_depth=0.5, max_depth=1.5)),
    ("cloud", rc.Voxels(1, 100.0, mode="mean")),
    ("cloud", rc.Voxels((1, 1, 2), 1e-6, mode="count")),
]


@pytest.mark.parametrize(("stream", "voxels"), CASES)
def test_batches_hold_what_the_operation_makes(
    dataset: Any, episodes: Any, stream: str, voxels: rc.Voxels
) -> None:
    samples = [each[stream] for each in episodes]
    loader = load(dataset, {stream: rc.Window([-1, 0, 3], voxelize=voxels)}, shuffle=True)
    seen = 0
    for batch in loader:
        check(batch, stream, voxels, samples, [-1, 0, 3])
        seen += len(batch["step_index"])
    assert seen == sum(LENGTHS)


def test_many_windows_of_one_stream_beside_others(dataset: Any, episodes: Any) -> None:
    coarse, fine = rc.Voxels(3, 0.8, mode="count"), rc.Voxels(9, 0.2, mode="mean")
    lens = rc.Voxels((9, 8, 7), 0.3, mode="count", **CAMERA)
    streams = {
        "cloud": [rc.Window([0], voxelize=coarse), rc.Window([0, 1], voxelize=fine, name="fine")],
        "points": rc.Window([0], source="cloud", max_points=60),
        "depth": [rc.Window([0], voxelize=lens), rc.Window([0], name="pixels")],
        "state": rc.Window([0]),
        "colour": rc.Window([0]),
    }
    for batch in load(dataset, streams, shuffle=True):
        check(batch, "cloud", coarse, [each["cloud"] for each in episodes], [0])
        check(batch, "fine", fine, [each["cloud"] for each in episodes], [0, 1])
        check(batch, "depth", lens, [each["depth"] for each in episodes], [0])
        for row, length in enumerate(batch["points_lengths"][:, 0]):
            wanted = grid_of(coarse, batch["points"][row, 0, :length])[0]
            np.testing.assert_array_equal(batch["cloud"][row, 0], wanted)
        for row, pixels in enumerate(batch["pixels"][:, 0]):
            if batch["pixels_valid"][row, 0]:
                np.testing.assert_array_equal(batch["depth"][row, 0], grid_of(lens, pixels)[0])


def test_voxels_of_arrays_are_those_of_the_loader(dataset: Any, episodes: Any) -> None:
    cloud_voxels, lens = rc.Voxels(6, 0.4, mode="max"), rc.Voxels(6, 0.4, **CAMERA)
    sample = episodes[0]["fixed"][0]
    np.testing.assert_array_equal(cloud_voxels(sample), grid_of(cloud_voxels, sample)[0])
    both = np.stack(episodes[0]["fixed"][:2])
    some = cloud_voxels(both, lengths=[20, 5])
    np.testing.assert_array_equal(some[1], grid_of(cloud_voxels, both[1, :5])[0])
    images = np.stack(episodes[0]["raw"][:2])
    np.testing.assert_array_equal(lens(images)[1], grid_of(lens, images[1])[0])
    with pytest.raises(rc.Error, match=r"samples: found .*wanted clouds \[N, D\]"):
        cloud_voxels(np.zeros((4, 2)))


# ---- where there is nothing ---------------------------------------------------------------------


def test_outside_zero_empties_what_is_padding(dataset: Any, episodes: Any) -> None:
    voxels = rc.Voxels(4, 0.5, mode="count")
    ticks = [-2, 0, 2]
    window = rc.Window(ticks, voxelize=voxels, outside="zero")
    for batch in load(dataset, {"fixed": window}):
        for row, (e, step) in enumerate(zip(batch["episode_index"], batch["step_index"])):  # noqa: B905
            for i, tick in enumerate(ticks):
                at = step + tick
                is_there = 0 <= at < LENGTHS[e]
                assert batch["fixed_is_pad"][row, i] != is_there
                assert batch["fixed_valid"][row, i] == is_there
                grid = batch["fixed"][row, i]
                if is_there:
                    wanted = grid_of(voxels, episodes[e]["fixed"][at])[0]
                    np.testing.assert_array_equal(grid, wanted)
                else:
                    assert not grid.any()
                    assert batch["fixed_dropped"][row, i] == 0


def test_clouds_of_more_points_than_are_counted(tmp_path: Path) -> None:
    """The one of 2^31 points, in a file of holes, is refused before there is memory for it."""
    counts = [2, 2**31]
    with (tmp_path / "points").open("wb") as file:
        file.truncate(sum(counts) * 6)

    def read(part: rc.Part) -> None:
        part.episodes(
            num_steps=[2],
            row_lengths={"points": counts},
            streams={"points": rc.Rows(offset=0, count=sum(counts))},
        )

    def declare(dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("points", dtype="float16", shape=(3,), ragged=True)
        dataset.part("points", read=read)

    dataset = Format(tmp_path, declare).open()
    grid = rc.Window([0], voxelize=rc.Voxels(4, 1.0, mode="count"))
    batches = iter(load(dataset, {"points": grid}, batch_size=1, shuffle=False))
    assert next(batches)["points"].sum() == 2
    message = "stream 'points': step 1 has 2147483648 rows, the most that a grid counts is 214"
    with pytest.raises(rc.errors.InvalidArgumentError, match=message):
        next(batches)


def test_stamps_and_modes_choose_whole_clouds(tmp_path: Path) -> None:
    """A stream of clouds with stamps of its own, faster than the steps."""
    features = {
        "action": rc.Feature("float32", (1,)),
        "action_time_ns": rc.Feature("int64"),
        "lidar": rc.Feature("float32", (4, 3), ragged=True),
        "lidar_time_ns": rc.Feature("int64", ragged=True),
    }
    rng = np.random.default_rng(0)
    scans = rng.normal(size=(20, 4, 3)).astype(np.float32)
    times = np.arange(20) * 40_000_000
    with rc.RldsWriter(tmp_path, "scans", features, control_rate_hz=10) as writer:
        writer.add_episode(
            {
                "action": np.zeros((8, 1)),
                "action_time_ns": np.arange(8) * 100_000_000,
                "lidar": np.split(scans, [2, 5, 7, 10, 12, 15, 17]),
                "lidar_time_ns": np.split(times, [2, 5, 7, 10, 12, 15, 17]),
            }
        )
    voxels = rc.Voxels(5, 0.6, mode="count")
    streams = {
        "hold": rc.Window([0], source="lidar", voxelize=voxels),
        "nearest": rc.Window([0], source="lidar", voxelize=voxels, mode="nearest"),
        "near": rc.Window([0], source="lidar", voxelize=voxels, outside="zero", tolerance=0.01),
    }
    loader = load(rc.open(tmp_path / "scans", progress=False), streams)
    for batch in loader:
        for row, now in enumerate(batch["time_ns"]):
            held = int(np.searchsorted(times, now, side="right")) - 1
            nearest = int(np.argmin(np.abs(times - now)))  # no tick is in the middle of two
            for name, at in (("hold", held), ("nearest", nearest)):
                wanted = grid_of(voxels, scans[at])[0]
                if abs(2 * int(now) - int(times[held]) - int(times[min(held + 1, 19)])):
                    np.testing.assert_array_equal(batch[name][row, 0], wanted)
            assert batch["near_valid"][row, 0] == (now - times[held] <= 10_000_000)
            assert batch["near_valid"][row, 0] or not batch["near"][row, 0].any()


def test_rows_that_fail_are_raised_left_out_or_empty(dataset: Any, episodes: Any) -> None:
    """The images of the last episode are of another size."""
    voxels = rc.Voxels(8, 0.3, mode="count", **CAMERA)
    streams = {"sized": rc.Window([0], voxelize=voxels)}
    with pytest.raises(rc.Error, match=r"episode 2, step 0: .*sample 0: .*sized"):
        list(load(dataset, streams))
    skipped = load(dataset, streams, on_error="skip")
    assert sum(len(batch["step_index"]) for batch in skipped) == LENGTHS[0] + LENGTHS[1]
    assert skipped.stats()["samples_skipped"] == LENGTHS[2]
    for batch in load(dataset, streams, on_error="mask"):
        bad = batch["episode_index"] == 2
        assert not batch["sized"][bad].any()
        assert not batch["sized_dropped"][bad].any()
        assert not batch["sized_valid"][bad].any()
    samples = [each["sized"] for each in episodes[:2]]
    for batch in load(dataset.take([0, 1]), streams):
        check(batch, "sized", voxels, samples, [0])


# ---- order, goals, mixtures ---------------------------------------------------------------------


def test_threads_resuming_and_goals_change_nothing(dataset: Any) -> None:
    streams = {
        "cloud": rc.Window([-1, 0], voxelize=rc.Voxels(5, 0.4, mode="mean")),
        "goal": rc.Window(
            rc.Future(1, 4), source="depth", squeeze=True, voxelize=rc.Voxels(6, 0.4, **CAMERA)
        ),
    }
    first = load(dataset, streams, shuffle=True, num_threads=1)
    batches = list(first)
    state: Any = None
    second = load(dataset, streams, shuffle=True, num_threads=4)
    for batch, other in itertools.islice(zip(batches, second, strict=True), 2):
        for name, values in batch.tensors.items():
            np.testing.assert_array_equal(values, other[name])
        state = json.loads(json.dumps(second.state_dict()))
    third = load(dataset, streams, shuffle=True)
    third.load_state_dict(state)
    for batch, other in zip(batches[2:], third, strict=True):
        for name, values in batch.tensors.items():
            np.testing.assert_array_equal(values, other[name])
    changed = {**streams, "cloud": rc.Window([-1, 0], voxelize=rc.Voxels(5, 0.41, mode="mean"))}
    with pytest.raises(rc.Error, match="windows"):
        load(dataset, changed, shuffle=True).load_state_dict(state)


def test_require_takes_ticks_that_have_a_depth_image(dataset: Any) -> None:
    streams = {"depth": rc.Window([0], voxelize=rc.Voxels(6, 0.4, **CAMERA))}
    loader = load(dataset, streams, require=["depth"])
    assert loader.num_samples == sum(LENGTHS) - len(LENGTHS)  # one image of each is empty
    assert all(batch["depth_valid"].all() for batch in loader)


def test_a_mixture_has_a_camera_a_dataset(folder: Path, dataset: Any, episodes: Any) -> None:
    near = rc.Voxels(6, 0.4, mode="count", **CAMERA)
    far = rc.Voxels(6, 0.4, mode="count", intrinsics=2 * K, origin=(-1, -1, 0))
    mix = rc.mix(
        {"near": dataset, "far": rc.open(folder, progress=False).take([1]), "none": dataset}
    )
    streams = {
        "grid": rc.Window(
            [0],
            source={"near": "raw", "far": "range", "none": None},
            voxelize={"near": near, "far": far},
        )
    }
    seen = set()
    for batch in load(mix, streams, shuffle=True):
        for row, name in enumerate(batch["dataset"]):
            seen.add(name)
            step = int(batch["step_index"][row])
            at = int(batch["episode_id"][row])
            if name == "none":
                assert not batch["grid"][row].any()
                assert not batch["grid_valid"][row].any()
                assert batch["grid_dropped"][row, 0] == 0
                continue
            voxels, stream = (near, "raw") if name == "near" else (far, "range")
            wanted, dropped = grid_of(voxels, episodes[at][stream][step])
            np.testing.assert_array_equal(batch["grid"][row, 0], wanted)
            assert batch["grid_dropped"][row, 0] == dropped
    assert seen == {"near", "far", "none"}
    other = rc.Voxels(5, 0.4, mode="count", **CAMERA)
    streams["grid"] = rc.Window(
        [0],
        source={"near": "raw", "far": "range", "none": None},
        voxelize={"near": near, "far": other},
    )
    with pytest.raises(
        rc.Error, match=r"field 'grid'.*\[1, 6, 6, 6\].*\[1, 5, 5, 5\].*one grid_size"
    ):
        load(mix, streams)


# ---- units, errors ------------------------------------------------------------------------------


class Info:
    """What Voxels reads of a stream's declaration."""

    def __init__(self, kind: str, dtype: str, unit: str, scale: float = 1.0, offset: float = 0.0):
        self.name, self.kind, self.dtype = "depth", kind, dtype
        self.unit, self.scale, self.offset = unit, scale, offset


@pytest.mark.parametrize(
    ("info", "given", "wanted"),
    [
        (Info("image", "uint16", ""), None, 0.001),
        (Info("numeric", "float32", ""), None, 1.0),
        (Info("image", "uint16", "mm"), None, 0.001),
        (Info("image", "uint16", "m", 0.0002), None, 0.0002),
        (Info("image", "uint16", "cm", 0.5), None, 0.005),
        (Info("image", "uint16", "", 0.0002), None, 0.0002),
        (Info("numeric", "float64", "mm", 0.5, 3.0), None, 0.001),  # values, not codes
        (Info("image", "uint16", "m", 0.0002), 0.5, 0.5),
        (Info("image", "uint16", "log m 0.01 10 3.5"), 0.5, 0.5),
    ],
)
def test_l10_depth_is_in_the_unit_that_the_stream_has(
    info: Any, given: float | None, wanted: float
) -> None:
    native = rc.Voxels(4, 1.0, intrinsics=K, depth_scale=given)._native(info)
    assert native[-1][0] == pytest.approx(wanted, rel=1e-15)


@pytest.mark.parametrize(
    "info", [Info("image", "uint16", "log m 0.01 10 3.5"), Info("image", "uint16", "m", 0.1, 0.5)]
)
def test_l10_codes_that_no_scale_makes_metres_are_refused(info: Any) -> None:
    with pytest.raises(rc.Error, match=r"'depth': voxelize: its pixels are in .* or a depth_scale"):
        rc.Voxels(4, 1.0, intrinsics=K)._native(info)


LENS = rc.Voxels(4, 0.5, intrinsics=K)
PLAIN = rc.Voxels(4, 0.5)


@pytest.mark.parametrize(
    ("stream", "window", "says"),
    [
        ("state", {"voxelize": PLAIN}, r"'state': voxelize: found samples of float32\[3\]; wanted"),
        ("language", {"voxelize": PLAIN}, "'language': voxelize: found texts of"),
        ("colour", {"voxelize": PLAIN}, r"'colour': voxelize: found images of uint8\[12, 16, 3\]"),
        ("depth", {"voxelize": PLAIN}, "'depth': voxelize: found images .*have intrinsics"),
        ("numbers", {"voxelize": PLAIN}, r"'numbers': voxelize: found rows of int32\[3\]; wanted"),
        (
            "colour",
            {"voxelize": LENS},
            r"'colour': voxelize: found uint8\[12, 16, 3\]; wanted depth",
        ),
        ("cloud", {"voxelize": LENS}, "'cloud': voxelize: found float32 rows of any number"),
        ("fixed", {"voxelize": LENS}, None),  # float64 [20, 6] may be a depth image
        ("language", {"voxelize": LENS}, "'language': voxelize: found text"),
        (
            "bare",
            {"voxelize": rc.Voxels(4, 1.0, mode="mean")},
            "'bare': voxelize: found points of 3",
        ),
        ("cloud", {"voxelize": PLAIN, "mode": "linear"}, "'cloud': voxelize: .*hold or nearest"),
        ("range", {"voxelize": LENS, "mode": "mean"}, "'range': voxelize: .*hold or nearest"),
        ("range", {"voxelize": LENS, "outside": "nan"}, "'range': voxelize: .*hold or zero"),
        ("cloud", {"voxelize": PLAIN, "max_points": 5}, "voxelize: found with max_points"),
        ("range", {"voxelize": LENS, "image": rc.Image((4, 4))}, "voxelize: found with image"),
        ("range", {"voxelize": LENS, "scale": 2.0}, "voxelize: found with scale"),
        ("fixed", {"voxelize": PLAIN, "normalize": "mean_std"}, "voxelize: found with normalize"),
        ("fixed", {"voxelize": {"a": PLAIN}}, "voxelize: found a dict"),
        ("fixed", {"voxelize": 8}, "Window: voxelize: found 8, wanted a robocache.Voxels"),
        (
            "both",
            {"voxelize": PLAIN, "source": ["fixed", "organised"]},
            "'fixed': is of a vector, but holds clouds",
        ),
        (
            "cloud",
            {"voxelize": rc.Voxels(2**30, 0.5)},
            r"'cloud': voxelize: grid_size is \[1073741824, .*more than 2\^63",
        ),
        (
            "cloud",
            {"voxelize": rc.Voxels(4, 1e-60)},
            r"'cloud': voxelize: voxel_size\[0\] is 1e-60, in float32 0; wanted a finite, pos",
        ),
        (
            "range",
            {"voxelize": rc.Voxels(4, 1.0, intrinsics=np.zeros((3, 3)))},
            r"'range': voxelize: found intrinsics\[0\]\[0\] of 0; wanted",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    dataset: Any, stream: str, window: Any, says: str | None
) -> None:
    if says is None:
        load(dataset, {stream: rc.Window([0], **window)})
        return
    with pytest.raises(rc.Error, match=says):
        load(dataset, {stream: rc.Window([0], **window)})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"grid_size": 0}, "grid_size: found 0, wanted 1"),
        ({"grid_size": (1, 2)}, "grid_size: found .*a number or three"),
        ({"voxel_size": -1.0}, "voxel_size: "),
        ({"voxel_size": (1, 1, float("inf"))}, "voxel_size: "),
        ({"origin": (0, 0, float("inf"))}, "origin: found inf"),
        ({"mode": "median"}, "mode: "),
        ({"mode": "mean", "intrinsics": K}, "mode: found 'mean' with intrinsics"),
        ({"intrinsics": K[:2]}, r"intrinsics: .*\[3, 3\]"),
        ({"intrinsics": 5.0}, r"intrinsics: .*\[3, 3\]"),
        ({"pose": POSE}, "pose: found without intrinsics"),
        ({"depth_scale": 1.0}, "depth_scale: found without intrinsics"),
        ({"intrinsics": K, "pose": K}, r"pose: .*\[3, 4\] or \[4, 4\]"),
        ({"intrinsics": K, "min_depth": 2.0, "max_depth": 1.0}, "max_depth: found 1"),
    ],
)
def test_wrong_arguments_are_said(arguments: Any, says: str) -> None:
    with pytest.raises(rc.Error, match=f"Voxels: {says}"):
        rc.Voxels(**{"grid_size": 4, "voxel_size": 0.5, **arguments})


def test_the_example_draws_a_depth_image(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    np.savez(tmp_path / "data.npz", depth=np.full((12, 16), 0.5, np.float32))
    (tmp_path / "robocache.toml").write_text(
        'format = "tables"\nrate_hz = 1\n'
        'streams.depth = { path = "data.npz", member = "depth", single = true, unit = "m" }\n'
    )
    example = Path(__file__).resolve().parents[2] / "examples" / "voxels.py"
    command: list[Any] = [sys.executable, example, tmp_path, "depth", tmp_path / "out.png"]
    options = ["--intrinsics", "20", "20", "8", "6", "--height", "0.6"]
    subprocess.run([*command, *options], check=True)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
