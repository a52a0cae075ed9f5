"""LeRobot's tables: which rows are whose, stamps, texts, splits, and what is wrong with them."""

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

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TASKS = ("pick up the cup", "put it down")
VERSIONS = ("v2.0", "v2.1", "v3.0")


def opened(path: Path, **options: Any) -> rc.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return rc.open(path, progress=False, **options)


def check(dataset: rc.Dataset, made: sets.Made, numbers: list[int] | None = None) -> None:
    """Every stream of every episode, and every batch of an epoch, hold what was written."""
    numbers = list(range(len(made.episodes))) if numbers is None else numbers
    assert [e.metadata["episode_index"] for e in dataset] == numbers
    names = [name for name in made.info["features"] if name in dataset.streams]
    for episode, number in zip(dataset, numbers, strict=True):
        columns = made.episodes[number]
        for name in names:
            if dataset.streams[name].kind == "numeric":
                np.testing.assert_array_equal(episode[name].values, columns[name], strict=True)
        texts = [made.tasks[i] for i in columns["task_index"]]
        assert episode["task"].values == texts
        assert episode.task == texts[0]
        grid = [round(Fraction(int(k) * 10**9) / Fraction(sets.FPS)) for k in range(len(texts))]
        assert episode["action"].times_ns.tolist() == grid
    loader = rc.DataLoader(dataset, batch_size=5, shuffle=True, array="numpy", streams=["action"])
    seen = 0
    for batch in loader:
        for row, (e, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            wanted = made.episodes[numbers[e]]["action"][step]
            np.testing.assert_array_equal(batch["action"][row, 0], wanted)
            seen += 1
    assert seen == sum(len(made.episodes[number]["action"]) for number in numbers)


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


# ---- which rows are whose -----------------------------------------------------------------------


def test_rows_that_no_episode_owns_are_left_out_and_told(tmp_path: Path) -> None:
    lengths = [4, 3, 5]
    made = sets.make(tmp_path / "set", "v3.0", lengths)
    rows = sets.episode_rows(lengths, [0, 0, 0], made.tasks, None)
    sets.write_episodes(made.root, {name: [v[0], v[2]] for name, v in rows.items()})
    made.write_info(total_episodes=2, total_frames=9)
    with pytest.warns(RuntimeWarning, match=r"file-000.parquet: 3 rows belong to no episode"):
        dataset = rc.open(made.root, progress=False)
    check(dataset, made, [0, 2])


def test_an_episode_recorded_twice_is_told_by_index(tmp_path: Path) -> None:
    made = sets.make(tmp_path / "set", "v3.0", [4, 3])
    again = sets.columns_of(1, 3, 4)
    failed = {**sets.columns_of(1, 2, 100), "action": np.full((2, 2), -7.0)}
    tables = [sets.as_table(c) for c in (made.episodes[0], failed, again)]
    sets.write_parquet(made.root / "data/chunk-000/file-000.parquet", tables)
    with pytest.warns(RuntimeWarning, match="2 rows belong to no episode"):
        dataset = rc.open(made.root, progress=False)
    np.testing.assert_array_equal(dataset[1]["action"].values, again["action"])


def test_l4_files_under_other_names_are_found_by_their_numbers(tmp_path: Path) -> None:
    made = sets.make(tmp_path / "set", "v3.0", [4, 3], files=[0, 1])
    for file in (made.root / "data/chunk-000").glob("*.parquet"):
        file.rename(file.with_name(file.name.replace("file-", "file_0")))
    check(opened(made.root), made)
    made = sets.make(tmp_path / "other", "v2.1", [4, 3])
    (made.root / "data/chunk-000").rename(made.root / "data/all")
    check(opened(made.root), made)


def test_templates_of_info_json(tmp_path: Path) -> None:
    made = sets.make(tmp_path / "set", "v2.1", [4, 3])
    for number in range(2):
        folder = made.root / f"data/{number}"
        folder.mkdir()
        (made.root / f"data/chunk-000/episode_{number:06}.parquet").rename(folder / "rows.parquet")
    made.write_info(data_path="data/{episode_index}/rows.parquet")
    check(opened(made.root), made)


def damage_of_length(made: sets.Made) -> None:
    path = made.root / "meta/episodes.jsonl"
    path.write_text(path.read_text().replace('"length": 3', '"length": 2'))


def damage_of_listing(made: sets.Made) -> None:
    (made.root / "data/chunk-000/episode_000001.parquet").unlink()


def damage_of_bytes(made: sets.Made) -> None:
    path = made.root / "data/chunk-000/episode_000001.parquet"
    path.write_bytes(path.read_bytes()[:-30])


def damage_of_pointer(made: sets.Made) -> None:
    path = made.root / "data/chunk-000/episode_000001.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def damage_of_columns(made: sets.Made) -> None:
    columns = {k: v for k, v in made.episodes[1].items() if k != "action"}
    sets.write_parquet(
        made.root / "data/chunk-000/episode_000001.parquet", [sets.as_table(columns)]
    )


def damage_of_width(made: sets.Made) -> None:
    columns = {**made.episodes[1], "action": np.zeros((3, 5))}
    sets.write_parquet(
        made.root / "data/chunk-000/episode_000001.parquet", [sets.as_table(columns)]
    )


def damage_of_nulls(made: sets.Made) -> None:
    columns = {**made.episodes[1], "next.done": pa.array([True, None, False])}
    sets.write_parquet(
        made.root / "data/chunk-000/episode_000001.parquet", [sets.as_table(columns)]
    )


def damage_of_task(made: sets.Made) -> None:
    columns = {**made.episodes[1], "task_index": np.array([0, 7, 0])}
    sets.write_parquet(
        made.root / "data/chunk-000/episode_000001.parquet", [sets.as_table(columns)]
    )


def damage_of_kind(made: sets.Made) -> None:
    columns = {**made.episodes[1], "action": pa.array(["a", "b", "c"])}
    sets.write_parquet(
        made.root / "data/chunk-000/episode_000001.parquet", [sets.as_table(columns)]
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_of_length, r"found 3 rows, wanted 2 \(meta/episodes.jsonl\)"),
        (damage_of_listing, r"episode_000001.parquet: found neither this file nor another"),
        (damage_of_bytes, r"episode_000001.parquet: found no parquet that can be read"),
        (damage_of_pointer, r"episode_000001.parquet: .* Git LFS pointer to 9 bytes"),
        (damage_of_columns, r"episode_000001.parquet: found columns .* wanted 'action' too"),
        (damage_of_width, r"action: found rows of shape \[5\], wanted \[2\]"),
        (damage_of_nulls, r"next.done: row 1: found no value"),
        (damage_of_task, r"task_index: row 1: found 7, wanted the number of one of the 1 texts"),
        (damage_of_kind, r"action: found string, wanted numbers"),
    ],
)
def test_damage_of_an_episode_is_told_or_skipped(
    tmp_path: Path, damage: Callable[[sets.Made], None], message: str
) -> None:
    made = sets.make(tmp_path / "set", "v2.1", [4, 3, 5])
    damage(made)
    made.write_info(total_frames=11 if damage is damage_of_length else 12)
    with pytest.raises(rc.errors.FormatError, match=f"episode 1: .*{message}"):
        opened(made.root)
    dataset = opened(made.root, on_error="skip")
    check(dataset, made, [0, 2])
    assert len(dataset.skipped) == 1
    assert "episode 1: " in dataset.skipped[0]


def test_ranges_that_disagree_are_told_or_skipped(tmp_path: Path) -> None:
    lengths = [4, 3, 5]
    for change, message in (
        ({"dataset_to_index": [4, 8, 12]}, "found dataset rows 4 to 8, wanted length 3"),
        (
            {"dataset_from_index": [0, 5, 7], "dataset_to_index": [4, 8, 12]},
            "found its rows at index 4 to 7, wanted index 5 to 8",
        ),
        ({"data/file_index": [0, 9, 0]}, "file-009.parquet: found neither this file"),
        ({"episode_index": [0, 8, 2]}, "found no row of it, wanted index 4 to 7"),
    ):
        root = tmp_path / str(len(message))
        made = sets.make(root, "v3.0", lengths)
        sets.write_episodes(
            root, {**sets.episode_rows(lengths, [0] * 3, made.tasks, None), **change}
        )
        made.write_info(total_episodes=9 if "episode_index" in change else 3)
        with pytest.raises(rc.errors.FormatError):
            rc.open(root, progress=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = rc.open(root, progress=False, on_error="skip")
        check(dataset, made, [0, 2])
        assert any(message in each for each in dataset.skipped), dataset.skipped


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("key", "counted"), [("total_episodes", 2), ("total_frames", 7)])
def test_stale_totals_are_told_or_listed(
    tmp_path: Path, version: str, key: str, counted: int
) -> None:
    made = sets.make(tmp_path / "set", version, [4, 3])
    made.write_info(**{key: 99})
    with pytest.raises(rc.errors.FormatError, match=f"{key}: found 99, meta/episodes.*: {counted}"):
        opened(made.root)
    dataset = opened(made.root, on_error="skip")
    check(dataset, made)
    assert len(dataset.skipped) == 1


def test_episodes_listed_twice(tmp_path: Path) -> None:
    made = sets.make(tmp_path / "set", "v2.1", [4, 3])
    with open(made.root / "meta/episodes.jsonl", "a") as file:
        file.write('{"episode_index": 1, "tasks": [], "length": 3}\n')
    with pytest.raises(rc.errors.FormatError, match="episode 1 twice"):
        opened(made.root)
    check(opened(made.root, on_error="skip"), made)


# ---- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_splits(tmp_path: Path, version: str) -> None:
    made = sets.make(tmp_path / "set", version, [2, 3, 4, 5, 6], files=[0, 0, 0, 1, 1])
    made.write_info(splits={"train": "0:2", "val": "2:4"})
    dataset = opened(made.root)
    found = {s: [e.metadata["episode_index"] for e in dataset.split(s)] for s in dataset.splits}
    assert found == {"train": [0, 1], "val": [2, 3], "none": [4]}
    check(dataset, made)


def test_splits_that_cannot_be(tmp_path: Path) -> None:
    made = sets.make(tmp_path / "set", "v2.1", [2, 3])
    for splits, message in (
        ({"train": "0-2"}, "a range of episodes such as"),
        ({"train": "0:2", "val": "1:2"}, "no episode in both 'train' and 'val'"),
    ):
        made.write_info(splits=splits)
        with pytest.raises(rc.errors.FormatError, match=message):
            opened(made.root)


# ---- info.json ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v1.6"}, "codebase_version 'v1.6' found, wanted one of v2.0"),
        ({"fps": 0}, "fps: found 0, wanted frames a second"),
        ({"features": {}}, "features: found {}, wanted features by name"),
        ({"features": {"a": {"dtype": "int64", "shape": [0]}}}, r"'a': shape: found \[0\]"),
        ({"chunks_size": 0}, "chunks_size: found 0, wanted an integer of 1 or more"),
        ({"data_path": "../{episode_index}"}, "wanted a path below the dataset"),
        ({"data_path": "data/{episode_index.__class__}"}, "wanted a path below the dataset"),
        ({"data_path": "data/{file_index}"}, "wanted only the fields of"),
        ({"data_path": "data/{episode_index:099999999d}"}, "wanted a path below the dataset"),
    ],
)
def test_info_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    made = sets.make(tmp_path / "set", "v2.1", [2])
    made.write_info(**changes)
    with pytest.raises(rc.Error, match=message):
        opened(made.root)


def test_features_that_are_not_read_are_told(tmp_path: Path) -> None:
    features = {
        "sound": {"dtype": "audio", "shape": [1]},
        "big": {"dtype": "int64", "shape": [600]},
    }
    made = sets.make(tmp_path / "set", "v2.1", [2], features=features)
    with pytest.warns(RuntimeWarning) as told:
        dataset = rc.open(made.root, progress=False)
    texts = "\n".join(str(each.message) for each in told)
    assert "'sound' is no stream: dtype 'audio'" in texts
    assert "'big' is no stream: it has 4800 bytes a row" in texts
    check(dataset, made)


def test_a_set_without_data_is_a_clear_error(
    tmp_path: Path, test_data: Callable[[str], Path]
) -> None:
    path = test_data("lerobot_v30_meta")
    with pytest.raises(rc.errors.FormatError, match=r"found no parquet file below data/, wanted "):
        rc.open(path, catalog=tmp_path / "c", progress=False)


def test_pyarrow_that_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sets.make(tmp_path / "set", "v3.0", [2])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(rc.errors.UnsupportedError, match=r"pip install 'robocache\[lerobot\]'"):
        opened(made.root)


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


# ---- GR00T --------------------------------------------------------------------------------------


def make_groot(root: Path, **changes: Any) -> sets.Made:
    features = {"annotation.human.task": {"dtype": "int64", "shape": [1]}}
    made = sets.make(
        root,
        "v2.0",
        [4, 3],
        tasks=TASKS,
        features=features,
        more=lambda e, n: {"annotation.human.task": np.full(n, e)},
    )
    modality = {
        "state": {"arm": {"start": 0, "end": 2}, "gripper": {"start": 2, "end": 3}},
        "action": {"hand": {"start": 1, "end": 2}, "all": {"original_key": "observation.state"}},
        "video": {},
        "annotation": {"human.task": {}, "human.step": {"original_key": "task_index"}},
        **changes,
    }
    (root / "meta/modality.json").write_text(json.dumps(modality))
    (root / "meta/embodiment.json").write_text('{"embodiment_tag": "new_embodiment"}')
    return made


def test_modality_has_slices_annotations_and_the_embodiment(tmp_path: Path) -> None:
    made = make_groot(tmp_path / "set")
    dataset = opened(made.root)
    check(dataset, made)
    for episode, columns in zip(dataset, made.episodes, strict=True):
        state, action = columns["observation.state"], columns["action"]
        for name, wanted in (
            ("state.arm", state[:, :2]),
            ("state.gripper", state[:, 2:]),
            ("action.hand", action[:, 1:]),
            ("action.all", state),
        ):
            np.testing.assert_array_equal(episode[name].values, wanted, strict=True)
        assert set(episode["annotation.human.task"].values) == {TASKS[episode.index]}
        assert episode["annotation.human.step"].values == episode["task"].values
        assert episode.metadata["embodiment_tag"] == "new_embodiment"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": {"ego": {}}}, "found camera 'observation.images.ego', which meta/info.json"),
        (
            {"state": {"arm": {"start": 0, "end": 4}}},
            r"found channels \[0, 4\), wanted some of the 3",
        ),
        ({"action": {"a": {"original_key": "x"}}}, "found feature 'x', wanted a vector"),
        ({"annotation": {"a": {}}}, "found column 'annotation.a', which meta/info.json has not"),
        ({"state": [1]}, r"state: found \[1\], wanted entries by name"),
    ],
)
def test_modality_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    made = make_groot(tmp_path / "set", **changes)
    with pytest.raises(rc.errors.FormatError, match=message):
        opened(made.root)
