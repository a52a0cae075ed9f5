"""LeRobot's tables: values, pictures, texts, stamps, splits."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import lerobot_sets as sets
from tests.python.lerobot_checks import TASKS, VERSIONS, check, opened

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


# ---- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_episodes_hold_what_was_written(tmp_path: Path, version: str) -> None:
    made = sets.make(tmp_path / "set", version, [5, 1, 7, 3], files=[0, 0, 1, 1], tasks=TASKS)
    dataset = opened(made.root)
    assert (dataset.format, dataset.version, dataset.control_rate_hz) == ("lerobot", version, 10)
    check(dataset, made)
    assert dataset.streams["next.done"].shape == ()
    assert {"timestamp", "index", "episode_index"}.isdisjoint(dataset.streams)
    assert dataset[0].metadata["robot_type"] == "arm"
    assert dataset[0].metadata["tasks"] == list(TASKS)
    if version == "v3.0":
        assert [e.metadata["success"] for e in dataset] == [True, False, True, False]
        assert [e.metadata["dataset_from_index"] for e in dataset] == [0, 5, 6, 13]


def test_all_streams_are_batches_by_default(tmp_path: Path) -> None:
    dataset = opened(sets.make(tmp_path / "set", "v3.0", [5, 4]).root)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = next(iter(rc.DataLoader(dataset, batch_size=9, array="numpy")))
    np.testing.assert_array_equal(batch["frame_index"][:, 0], batch["step_index"])
    np.testing.assert_array_equal(batch["timestamp_ns"][:, 0], batch["time_ns"])


@pytest.mark.parametrize("folder", ["lerobot_v21_g1", "lerobot_v30_g1"])
def test_values_of_real_sets_equal_those_of_pyarrow(
    tmp_path: Path, test_data: Callable[[str], Path], folder: str
) -> None:
    source = test_data(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = rc.open(source, catalog=tmp_path / "c", progress=False, on_error="skip")
    files = sorted(source.glob("data/*/*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    numbers = table["episode_index"].to_numpy()
    assert [e.metadata["episode_index"] for e in dataset] == list(dict.fromkeys(numbers.tolist()))
    for episode in dataset:
        mine = numbers == episode.metadata["episode_index"]
        for name in ("observation.state", "action"):
            wanted = np.stack(table[name].to_numpy())[mine]
            np.testing.assert_array_equal(episode[name].values, wanted, strict=True)
        for name in ("frame_index", "task_index"):
            np.testing.assert_array_equal(episode[name].values, table[name].to_numpy()[mine])
        seconds = table["timestamp"].to_numpy()[mine]
        np.testing.assert_allclose(episode["action"].times_ns * 1e-9, seconds, rtol=1e-6)
        frames = np.arange(mine.sum())
        np.testing.assert_array_equal(episode["action"].times_ns, (frames * 10**9 + 15) // 30)


def test_dtypes_and_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shapes: dict[str, list[int]] = {"one": [1], "list of one": [1], "vector": [4], "matrix": [2, 3]}
    dtypes = ("float32", "float64", "float16", "int8", "int64", "uint16", "uint64", "bool")
    features = {
        f"{dtype} {name}": {"dtype": dtype, "shape": shape, "names": None}
        for dtype in dtypes
        for name, shape in shapes.items()
    }
    values: dict[str, Any] = {}

    def more(episode: int, length: int) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for name, feature in features.items():
            dtype, kind = name.split(" ", 1)
            found = rng.integers(0, 2, (length, *feature["shape"])).astype(dtype)
            wanted = found[:, 0] if feature["shape"] == [1] else found
            values.setdefault(name, []).append(wanted)
            if kind == "one":
                columns[name] = wanted
            else:
                inner = pa.array(found.ravel())
                for extent in reversed(feature["shape"]):
                    # alternate lists of any size and of one
                    make = pa.FixedSizeListArray.from_arrays
                    inner = make(inner, extent)
                if kind == "vector":
                    inner = inner.cast(pa.list_(inner.type.value_type))
                columns[name] = inner
        return columns

    made = sets.make(tmp_path / "set", "v3.0", [3, 4], features=features, more=more)
    dataset = opened(made.root)
    for episode in dataset:
        for name, wanted in values.items():
            np.testing.assert_array_equal(episode[name].values, wanted[episode.index], strict=True)


def test_numbers_stored_in_another_dtype(tmp_path: Path) -> None:
    def more(_episode: int, length: int) -> dict[str, Any]:
        return {"a": np.full(length, 0.1), "b": np.full(length, 3, np.int32)}

    features = {
        "a": {"dtype": "float32", "shape": [1]},
        "b": {"dtype": "uint8", "shape": [1]},
    }
    dataset = opened(sets.make(tmp_path / "set", "v2.1", [2], features=features, more=more).root)
    np.testing.assert_array_equal(dataset[0]["a"].values, np.full(2, 0.1, np.float32), strict=True)
    np.testing.assert_array_equal(dataset[0]["b"].values, np.full(2, 3, np.uint8), strict=True)


# ---- pictures in parquet ------------------------------------------------------------------------


def as_pictures(pixels: Any, **options: Any) -> Any:
    """Returns pictures as LeRobot embeds them: a struct of PNG's bytes and a path."""
    image = pytest.importorskip("PIL.Image")
    encoded = []
    for each in pixels:
        file = io.BytesIO()
        image.fromarray(each[..., 0] if each.shape[2] == 1 else each).save(file, "png", **options)
        encoded.append({"bytes": file.getvalue(), "path": f"frame-{len(encoded):06}.png"})
    return pa.array(encoded, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_pictures_in_parquet(tmp_path: Path, version: str) -> None:
    rng = np.random.default_rng(4)
    colour = [rng.integers(0, 256, (n, 6, 8, 3), np.uint8) for n in (9, 5)]
    depth = [rng.integers(0, 65536, (n, 6, 8, 1), np.uint16) for n in (9, 5)]

    def more(episode: int, _length: int) -> dict[str, Any]:
        return {"top": as_pictures(colour[episode]), "depth": as_pictures(depth[episode])}

    features = {
        "top": {"dtype": "image", "shape": [3, 6, 8], "names": ["channels", "height", "width"]},
        "depth": {
            "dtype": "image",
            "shape": [6, 8, 1],
            "names": ["height", "width", "channels"],
            "info": {"is_depth_map": True, "depth_unit": "mm"},
        },
    }
    made = sets.make(tmp_path / "set", version, [9, 5], features=features, more=more)
    dataset = opened(made.root)
    check(dataset, made)
    assert dataset.streams["top"].shape == (6, 8, 3)
    for episode in dataset:
        np.testing.assert_array_equal(episode["top"].values, colour[episode.index], strict=True)
        np.testing.assert_array_equal(episode["depth"].values, depth[episode.index], strict=True)
    assert dataset.streams["depth"].unit == "mm"  # L10
    for shuffle in (True, "blocks"):
        loader = rc.DataLoader(
            dataset, batch_size=4, shuffle=shuffle, array="numpy", streams=["top", "depth"]
        )
        for batch in loader:
            for row, (e, k) in enumerate(
                zip(batch["episode_index"], batch["step_index"], strict=True)
            ):
                np.testing.assert_array_equal(batch["top"][row, 0], colour[e][k])
                np.testing.assert_array_equal(batch["depth"][row, 0], depth[e][k])


def test_pictures_without_bytes_are_told(tmp_path: Path) -> None:
    def more(_episode: int, length: int) -> dict[str, Any]:
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        return {"top": pa.array([{"bytes": None, "path": "a.png"}] * length, kind)}

    features = {"top": {"dtype": "image", "shape": [6, 8, 3], "names": None}}
    made = sets.make(tmp_path / "set", "v2.1", [3], features=features, more=more)
    with pytest.raises(rc.errors.FormatError, match=r"top: row 0: found no bytes of a picture"):
        opened(made.root)


# ---- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["task", "__index_level_0__"])
def test_both_spellings_of_tasks(tmp_path: Path, spelling: str) -> None:
    made = sets.make(tmp_path / "set", "v3.0", [4, 3], tasks=TASKS)
    sets.write_tasks(made.root, TASKS, spelling)
    check(opened(made.root), made)


def test_texts_of_steps_in_batches(tmp_path: Path) -> None:
    made = sets.make(tmp_path / "set", "v2.1", [4], tasks=TASKS)
    window = {"task": rc.Window(range(2), name="instruction")}
    loader = rc.DataLoader(opened(made.root), batch_size=2, streams=window, array="numpy")
    assert next(iter(loader))["instruction"] == [list(TASKS), list(TASKS[::-1])]


def test_texts_subtasks_and_language_columns(tmp_path: Path) -> None:
    said = [[{"role": "user", "content": "go", "style": None}], [], None]

    def more(_episode: int, length: int) -> dict[str, Any]:
        return {
            "note": pa.array([("a", None, "ü")[i % 3] for i in range(length)]),
            "language_events": pa.array([said[i % 3] for i in range(length)]),
            "subtask_index": np.arange(length) % 2,
        }

    features = {
        "note": {"dtype": "string", "shape": [1]},
        "language_events": {"dtype": "language", "shape": [1]},
        "subtask_index": {"dtype": "int64", "shape": [1]},
    }
    made = sets.make(tmp_path / "set", "v3.0", [3], features=features, more=more)
    table = pa.table({"subtask_index": [0, 1], "__index_level_0__": ["reach", "grasp"]})
    sets.write_parquet(made.root / "meta/subtasks.parquet", [table])
    episode = opened(made.root)[0]
    assert episode["note"].values == ["a", "", "ü"]
    assert episode["subtask"].values == ["reach", "grasp", "reach"]
    assert json.loads(episode["language_events"].values[0]) == said[0]
    assert episode["language_events"].values[1:] == ["", ""]


# ---- stamps -------------------------------------------------------------------------------------


def test_stamps_go_on_the_grid_where_float32_says_so(tmp_path: Path) -> None:
    made = sets.make(tmp_path / "set", "v2.1", [20_000], fps=30)
    dataset = opened(made.root)
    wanted = [round(Fraction(k * 10**9, 30)) for k in range(20_000)]
    assert dataset[0]["action"].times_ns.tolist() == wanted
    assert "notes" not in dataset[0].metadata


@pytest.mark.parametrize("fps", [29.97, 23.976, 12.5, 1 / 3])
def test_stamps_of_fractional_rates(tmp_path: Path, fps: float) -> None:
    def more(_episode: int, length: int) -> dict[str, Any]:
        rate = {29.97: Fraction(30000, 1001), 23.976: Fraction(24000, 1001)}.get(fps, fps)
        return {"timestamp": np.array([float(k / rate) for k in range(length)], np.float32)}

    made = sets.make(tmp_path / "set", "v2.1", [200], fps=fps, more=more)
    dataset = opened(made.root)
    loader = rc.DataLoader(dataset, batch_size=200, streams=["frame_index"], array="numpy")
    batch = next(iter(loader))
    assert batch["frame_index"][:, 0].tolist() == list(range(200))
    assert len(loader) == 1


def test_l2_real_stamps_are_kept(tmp_path: Path) -> None:
    stamps = np.array([0.0, 0.103, 0.198, 0.31, 0.405], np.float32)
    made = sets.make(
        tmp_path / "set", "v3.0", [5, 5], more=lambda e, n: {"timestamp": stamps} if e else {}
    )
    dataset = opened(made.root)
    np.testing.assert_array_equal(
        dataset[1]["action"].times_ns, np.rint(stamps.astype(np.float64) * 1e9)
    )
    assert "stamps are kept" in dataset[1].metadata["notes"][0]
    assert "notes" not in dataset[0].metadata


@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        ([0, 0.1, np.nan, 0.3], "row 2: found nan, wanted seconds"),
        ([0, 0.2, 0.1, 0.3], "frame 2 found at 0.100000 s, behind one at 0.200000 s"),
    ],
)
def test_l2_stamps_that_cannot_be_tell_episode_frame_and_times(
    tmp_path: Path, stamps: list[float], message: str
) -> None:
    made = sets.make(
        tmp_path / "set",
        "v2.1",
        [4, 4],
        more=lambda e, n: {"timestamp": np.array(stamps, np.float32)} if e else {},
    )
    with pytest.raises(rc.errors.FormatError, match=f"episode 1: .*{message}"):
        opened(made.root)
    dataset = opened(made.root, on_error="skip")
    check(dataset, made, [0])
    assert message in dataset.skipped[0]


# ---- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_splits(tmp_path: Path, version: str) -> None:
    made = sets.make(tmp_path / "set", version, [2, 3, 4, 5, 6], files=[0, 0, 0, 1, 1])
    made.write_info(splits={"train": "0:2", "val": "2:4"})
    dataset = opened(made.root)
    found = {s: [e.metadata["episode_index"] for e in dataset.split(s)] for s in dataset.splits}
    assert found == {"train": [0, 1], "val": [2, 3], "none": [4]}
    check(dataset, made)


# ---- opening again ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_set_that_is_indexed_opens_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    made = sets.make(tmp_path / "set", version, [2, 3])
    opened(made.root)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    check(opened(made.root), made)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_what_changed_is_indexed_anew(tmp_path: Path, version: str) -> None:
    made = sets.make(tmp_path / "set", version, [2, 3])
    check(opened(made.root), made)
    shutil.rmtree(made.root / "data")
    shutil.rmtree(made.root / "meta")
    made = sets.make(made.root, version, [2, 3, 4], tasks=("other",))
    check(opened(made.root), made)
