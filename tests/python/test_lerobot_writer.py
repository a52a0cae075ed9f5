"""LeRobotWriter: what it writes is what RoboCache reads, and what LeRobot's tables look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import numbered_video as video

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("av")
pytest.importorskip("PIL")

RNG = np.random.default_rng(8)
LENGTHS = (5, 9, 3)
FEATURES: dict[str, dict[str, Any]] = {
    "observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "z"]},
    "action": {"dtype": "float64", "shape": (2, 2)},
    "next.done": {"dtype": "bool", "shape": (1,)},
    "note": {"dtype": "string", "shape": (1,)},
    "top": {"dtype": "video", "shape": (video.HEIGHT, video.WIDTH, 3)},
    "side": {"dtype": "image", "shape": (6, 5, 3)},
    "depth": {
        "dtype": "image",
        "shape": (6, 5, 1),
        "info": {"is_depth_map": True, "depth_unit": "mm"},
    },
}


def episode(number: int, length: int) -> dict[str, Any]:
    return {
        "observation.state": RNG.random((length, 3), np.float32),
        "action": RNG.random((length, 2, 2)),
        "next.done": np.arange(length) == length - 1,
        "note": [f"note {number} {k}" for k in range(length)],
        "top": np.stack([video.picture(100 * number + k) for k in range(length)]),
        "side": RNG.integers(0, 256, (length, 6, 5, 3), np.uint8),
        "depth": RNG.integers(0, 65536, (length, 6, 5, 1), np.uint16),
    }


def write(path: Path, **options: Any) -> list[dict[str, Any]]:
    episodes = [episode(number, length) for number, length in enumerate(LENGTHS)]
    with rc.LeRobotWriter(path, FEATURES, fps=10, robot_type="arm", **options) as writer:
        for number, steps in enumerate(episodes):
            tasks = ["pick", "place"]
            task = [tasks[k % 2] for k in range(LENGTHS[number])] if number == 1 else "pick"
            writer.add_episode(steps, task, metadata={"success": number != 2})
    return episodes


@pytest.mark.parametrize("codec", ["av1", "h264", "hevc"])
def test_what_is_written_is_read(tmp_path: Path, codec: str) -> None:
    if codec == "av1":
        video.needs_encoder("libsvtav1")
    episodes = write(tmp_path / "set", codec=codec)
    dataset = rc.open(tmp_path / "set", progress=False)
    assert len(dataset) == len(episodes)
    for found, wanted in zip(dataset, episodes, strict=True):
        for name in ("observation.state", "action", "next.done", "side", "depth"):
            np.testing.assert_array_equal(found[name].values, wanted[name], strict=True)
        assert found["note"].values == wanted["note"]
        numbers = [100 * found.index + k for k in range(found.num_steps)]
        assert video.numbers_of(found["top"].values).tolist() == numbers
        assert found.metadata["success"] == (found.index != 2)
    assert dataset[1]["task"].values[:3] == ["pick", "place", "pick"]
    assert dataset.streams["depth"].unit == "mm"


def test_files_that_are_full_are_followed_by_others(tmp_path: Path) -> None:
    at_once = {"tune": "zerolatency"}  # so that the encoder holds no frames back
    write(tmp_path / "set", data_file_bytes=1, video_file_bytes=1, codec="h264", options=at_once)
    assert len(list((tmp_path / "set").glob("data/*/*.parquet"))) == len(LENGTHS)
    assert len(list((tmp_path / "set").glob("videos/top/*/*.mp4"))) == len(LENGTHS)
    dataset = rc.open(tmp_path / "set", progress=False)
    for found in dataset:
        numbers = [100 * found.index + k for k in range(found.num_steps)]
        assert video.numbers_of(found["top"].values).tolist() == numbers


def test_statistics_are_those_of_the_values(tmp_path: Path) -> None:
    episodes = write(tmp_path / "set")
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())
    state = np.concatenate([e["observation.state"] for e in episodes]).astype(np.float64)
    for key, wanted in (
        ("min", state.min(0)),
        ("max", state.max(0)),
        ("mean", state.mean(0)),
        ("std", state.std(0)),
        ("count", [sum(LENGTHS)]),
    ):
        np.testing.assert_allclose(stats["observation.state"][key], wanted, rtol=1e-12)
    assert np.shape(stats["top"]["mean"]) == (3, 1, 1)
    side = np.concatenate([e["side"] for e in episodes]) / 255
    np.testing.assert_allclose(np.ravel(stats["side"]["mean"]), side.mean((0, 1, 2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observation.state": np.zeros((5, 4))}, r"shape \[5, 4\] found, \[T, 3\] wanted"),
        ({"action": np.zeros((4, 2, 2))}, r"steps\['action'\]: 4 frames found, others have 5"),
        ({"next.done": np.full(5, 0.5)}, "dtype float64 found, bool wanted"),
        ({"top": np.zeros((5, 48, 64, 3), np.float32)}, "dtype float32 found, uint8 wanted"),
        ({"more": [1]}, "'more' was not declared"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_of_it_written(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with rc.LeRobotWriter(tmp_path / "set", FEATURES, fps=10, codec="h264") as writer:
        writer.add_episode(episode(0, 5), "pick")
        with pytest.raises(rc.Error, match=message):
            writer.add_episode({**episode(7, 5), **change}, "pick")
        with pytest.raises(rc.Error, match="2 texts found, wanted one or 5"):
            writer.add_episode(episode(7, 5), ["pick", "place"])
        writer.add_episode(episode(1, 4), "pick")
    dataset = rc.open(tmp_path / "set", progress=False)
    assert [e.num_steps for e in dataset] == [5, 4]
    assert video.numbers_of(dataset[1]["top"].values).tolist() == [100, 101, 102, 103]


def test_nothing_is_left_behind_after_an_exception(tmp_path: Path) -> None:
    def fail(**options: Any) -> None:
        with rc.LeRobotWriter(tmp_path / "a", FEATURES, fps=10, **options) as writer:
            writer.add_episode(episode(0, 2), "pick")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError):
        fail(on_error="keep")
    assert len(rc.open(tmp_path / "a", progress=False)) == 1
    with pytest.raises(rc.errors.InvalidArgumentError, match="found a folder that is not empty"):
        rc.LeRobotWriter(tmp_path / "a", FEATURES, fps=10)


def test_a_dataset_without_episodes_is_none(tmp_path: Path) -> None:
    with (
        pytest.raises(rc.errors.InvalidArgumentError, match="set: no episode has been added"),
        rc.LeRobotWriter(tmp_path / "set", FEATURES, fps=10),
    ):
        pass
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(rc.errors.IoError, match=r"path: .*file/set: cannot be made: \w+"):
        rc.LeRobotWriter(tmp_path / "file" / "set", FEATURES, fps=10)


def test_features_that_cannot_be(tmp_path: Path) -> None:
    for feature, message in (
        ({"dtype": "complex64", "shape": (1,)}, "dtype: .*complex64"),
        ({"dtype": "video", "shape": (5, 4, 3)}, "even height and width"),
        ({"dtype": "image", "shape": (5, 4)}, r"wanted \(height, width, channels\)"),
        ({"dtype": "int64", "shape": (0,)}, "shape"),
    ):
        with pytest.raises(rc.Error, match=message):
            rc.LeRobotWriter(tmp_path / "set", {"x": feature}, fps=10)
    with pytest.raises(rc.Error, match="none of LeRobot's own"):
        rc.LeRobotWriter(tmp_path / "set", {"index": {"dtype": "int64"}}, fps=10)
    assert not list(tmp_path.iterdir())


def test_tables_are_as_pandas_and_lerobot_read_them(tmp_path: Path) -> None:
    write(tmp_path / "set", codec="h264")
    tasks = pq.read_table(tmp_path / "set/meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    rows = pq.read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["dataset_to_index"] for row in rows] == np.cumsum(LENGTHS).tolist()
    assert rows[1]["videos/top/from_timestamp"] == LENGTHS[0] / 10
    data = pq.ParquetFile(tmp_path / "set/data/chunk-000/file-000.parquet")
    assert data.num_row_groups == len(LENGTHS)
