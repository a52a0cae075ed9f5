"""LeRobot's tables: which rows are whose, and what is wrong with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import lerobot_sets as sets
from tests.python.lerobot_checks import VERSIONS, check, opened

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


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
