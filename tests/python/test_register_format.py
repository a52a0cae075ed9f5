"""Formats whose indexer is written in Python: when it is called, and for which paths."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.own_format import (
    FIRST,
    STATE,
    STEPS,
    Format,
    add,
    columns,
    declare_state,
    own_folder,
    rows_of_a_file,
    rows_of_another_file,
    values,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from own_folder(tmp_path)


def test_reopening_reads_nothing_and_changed_files_are_read_again(folder: Path) -> None:
    calls: list[str] = []
    for name in ("a", "b"):
        (folder / name).write_bytes(STATE.tobytes())

    def read(part: rc.Part) -> None:
        calls.append(part.path)
        part.progress(10)
        part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=FIRST * 16)})

    stamp = [1]

    def declare(dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("state", dtype="float32", shape=(4,))
        for name in ("a", "b"):
            dataset.part(name, read=read)
        dataset.part("c", read=read_column, stamp=stamp[0])

    def read_column(part: rc.Part) -> None:
        calls.append(part.path)
        part.episodes(num_steps=STEPS, streams={"state": rc.Column(STATE * stamp[0])})

    mine = Format(folder, declare)
    dataset = mine.open(num_threads=1)
    assert calls == ["a", "b", "c"]
    dataset = mine.open()
    assert calls == ["a", "b", "c"]
    assert mine.indexed == 2
    (folder / "b").write_bytes((STATE + 1).tobytes() + b"more")
    dataset = mine.open()
    assert calls == ["a", "b", "c", "b"]
    stamp[0] = 2
    dataset = mine.open()
    assert calls == ["a", "b", "c", "b", "c"]
    wanted = np.concatenate([STATE, STATE + 1, STATE * 2])
    np.testing.assert_array_equal(values(dataset, "state"), wanted)
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(values(again, "state"), wanted)
    again = pickle.loads(pickle.dumps(mine.open(format=mine.name)))
    assert len(again) == 12


def test_a_catalog_is_used_elsewhere(folder: Path, tmp_path: Path) -> None:
    declare = rows_of_another_file(folder)
    mine = Format(folder, declare)
    calls = [0]
    catalog = tmp_path / "catalog.sqlite"
    mine.open(catalog=catalog)

    def unread(part: rc.Part) -> None:
        calls[0] += 1

    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    mine.folder = moved
    mine.declare = lambda dataset: (
        setattr(dataset, "name", "data"),
        declare_state(dataset, unread),
    )[1]
    dataset = mine.open(catalog=shutil.move(catalog, tmp_path / "there.sqlite"))
    assert calls == [0]
    np.testing.assert_array_equal(values(dataset, "state"), STATE)


def test_parts_are_read_in_several_threads(folder: Path) -> None:
    meet = threading.Barrier(2, timeout=30)

    def read(part: rc.Part) -> None:
        meet.wait()
        number = float(part.path)
        part.episodes(num_steps=[2], streams={"state": rc.Column(np.full((2, 4), number, "f4"))})

    def declare(dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("state", dtype="float32", shape=(4,))
        for number in range(6):
            dataset.part(str(number), read=read, stamp=1)

    dataset = Format(folder, declare).open(num_threads=2)
    assert [episode["state"].values[0, 0] for episode in dataset] == list(range(6))


def test_a_single_file_may_be_a_dataset(tmp_path: Path) -> None:
    path = tmp_path / "one.bin"
    path.write_bytes(STATE.tobytes())

    def read(part: rc.Part) -> None:
        part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=FIRST * 16)})

    rc.register_format(
        "single file",
        probe=lambda p: p == str(path),
        index=lambda p, dataset: declare_state(dataset, read, "one.bin"),
    )
    dataset = rc.open(path, progress=False)
    assert dataset.name == "one.bin"
    np.testing.assert_array_equal(values(pickle.loads(pickle.dumps(dataset)), "state"), STATE)


def test_single_files_in_one_folder_have_catalogs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed = []

    def index(path: str, dataset: rc.Indexer) -> None:
        def read(part: rc.Part) -> None:
            indexed.append(path)
            part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=FIRST * 16)})

        declare_state(dataset, read, Path(path).name)

    rc.register_format("single files", probe=lambda p: p.endswith(".bin"), index=index)
    paths = [tmp_path / "data" / name for name in ("one.bin", "two.bin")]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        path.write_bytes((STATE + number).tobytes())
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path / "cache"))
    for folder in (tmp_path / "data", tmp_path / "cache"):
        found = []
        for _ in range(2):
            for number, path in enumerate(paths):
                dataset = rc.open(path, progress=False)
                np.testing.assert_array_equal(values(dataset, "state"), STATE + number)
                found.append(Path(dataset.catalog_path))
        assert found[:2] == found[2:]
        assert found[0] != found[1]
        assert all(catalog.parent == folder for catalog in found)
        assert indexed == [str(path) for path in paths]
        indexed.clear()
        for catalog in found[:2]:
            catalog.unlink()
        paths[0].parent.chmod(0o500)
    paths[0].parent.chmod(0o700)


def test_catalogs_are_small(folder: Path) -> None:
    """At most 16 bytes a step and image stream, and 8 a stream and episode."""
    episodes, steps = 20_000, 8
    sizes = np.random.default_rng(0).integers(5_000, 40_000, episodes * steps)
    ends = np.cumsum(sizes + 600)

    def read(part: rc.Part) -> None:
        blob = part.blobs("data/{}", count=2)
        part.episodes(
            num_steps=np.full(episodes, steps),
            streams={
                "image": rc.Pieces(offset=ends - sizes, bytes=sizes, blob=blob + 1),
                "state": rc.Rows(offset=np.arange(episodes) * steps * 16, blob=blob),
                "action": rc.Column(np.zeros((episodes * steps, 3), "f4")),
                "done": rc.Column(np.zeros(episodes * steps, bool)),
            },
        )

    def declare(dataset: rc.Indexer) -> None:
        dataset.stream("image", kind="image")
        dataset.stream("state", dtype="float32", shape=(4,))
        dataset.stream("action", dtype="float32", shape=(3,))
        dataset.stream("done", dtype="bool")
        dataset.part("all", read=read, stamp=1)

    catalog = os.path.getsize(Format(folder, declare).open().catalog_path)
    episode_rows = 30  # what a row of an episode takes whatever its streams are
    assert catalog / episodes <= 16 * steps + 3 * 8 + episode_rows


# ---- which format -------------------------------------------------------------------------------


def test_names_of_formats(folder: Path) -> None:
    mine = Format(folder, lambda dataset: declare_state(dataset, add()))
    functions: Any = {"probe": lambda path: False, "index": mine.index}
    with pytest.raises(rc.errors.InvalidArgumentError, match="there is one of that name"):
        rc.register_format(mine.name, **functions)
    with pytest.raises(rc.errors.InvalidArgumentError, match="is built in"):
        rc.register_format("rlds", replace=True, **functions)
    for name in ("", "it's"):
        with pytest.raises(rc.errors.InvalidArgumentError, match="name: found"):
            rc.register_format(name, **functions)
    with pytest.raises(rc.errors.ArgumentTypeError, match="probe: found 3"):
        rc.register_format("other", probe=3, index=mine.index)  # type: ignore
    rc.register_format(mine.name, replace=True, **functions)
    with pytest.raises(rc.errors.UnsupportedError, match=r"no format knows .* rlds \(looked for"):
        mine.open()
    with pytest.raises(rc.errors.UnsupportedError, match="found no format 'nothing'; the formats"):
        mine.open(format="nothing")


NOBODYS = """
import sys
import robocache as rc

def ends_with_mine(path):
    return path.endswith("mine")

rc.register_format("mine", probe=ends_with_mine, index=print)
rc.open(sys.argv[1])
"""


def test_what_was_looked_for_is_named(folder: Path) -> None:
    """In a process of its own: the message ends where those that other tests registered fill it."""
    result = subprocess.run(
        [sys.executable, "-c", NOBODYS, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )
    assert re.search(
        r"rlds \(looked for .*\), mine \(looked for what __main__.ends_with_mine", result.stderr
    )


def test_a_path_that_two_formats_know(folder: Path) -> None:
    first = Format(folder, columns(folder))
    second = Format(folder, rows_of_a_file(folder))
    with pytest.raises(rc.errors.InvalidArgumentError) as raised:
        first.open()
    assert f"formats '{first.name}' and '{second.name}' both know it" in str(raised.value)
    for mine in (first, second):
        dataset = mine.open(format=mine.name)
        assert dataset.format == mine.name
        np.testing.assert_array_equal(values(dataset, "state"), STATE)
