"""Every file that a catalog names is looked at, and held to what the catalog has of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from robocache import cli
from tests.python import small_dataset
from tests.python.interrupts import interrupting

STATE = np.arange(40, dtype=np.float32).reshape(10, 4)
Change = Callable[[Path], object]


class FileOfStates:
    """A part that is a file, which points to three files of a known size and to one of none."""

    folder: Path | None = None
    blobs = 1  # of no known size

    @classmethod
    def probe(cls, path: str) -> bool:
        return cls.folder is not None and os.path.realpath(path) == os.path.realpath(cls.folder)

    @classmethod
    def index(cls, path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("state", dtype="float32", shape=(4,))
        dataset.stream("copied", dtype="float32", shape=(4,))
        dataset.part("names.txt", read=cls.read)

    @classmethod
    def read(cls, part: rc.Part) -> None:
        first = part.blobs("states/{:02}.bin", first=1, count=3, sizes=[160, 160, 160])
        part.blobs("unsized.bin" if cls.blobs == 1 else "{}.bin", count=cls.blobs)
        part.episodes(
            num_steps=[10, 10, 10],
            streams={
                "state": rc.Rows(offset=0, blob=first + np.arange(3)),
                "copied": rc.Column(np.tile(STATE, (3, 1))),
            },
        )


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    rc.register_format("verified", probe=FileOfStates.probe, index=FileOfStates.index)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    (path / "states").mkdir(parents=True)
    (path / "names.txt").write_bytes(b"n" * 10_000)
    (path / "unsized.bin").write_bytes(b"u" * 7)
    for number in (1, 2, 3):
        (path / "states" / f"{number:02}.bin").write_bytes(STATE.tobytes())
    FileOfStates.folder = path
    yield path
    FileOfStates.folder = None
    FileOfStates.blobs = 1


def open_it(path: Path) -> rc.Dataset:
    return rc.open(path, progress=False)


def write_same_times(path: Path, offset: int) -> None:
    """Changes a byte and puts the time of change back, as a failing disk does."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def column(path: Path) -> Path:
    (file,) = (path / ".robocache.sqlite.columns").iterdir()
    return file


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


SECOND = "states/02.bin"
CHANGES: dict[str, tuple[Change, list[tuple[str, str, str]]]] = {
    "nothing": (lambda path: None, []),
    "removed": (
        lambda path: (path / SECOND).unlink(),
        [("missing", SECOND, "cannot be opened: No such file or directory")],
    ),
    "folder removed": (
        lambda path: shutil.rmtree(path / "states"),
        [("missing", f"states/0{n}.bin", "cannot be opened") for n in (1, 2, 3)],
    ),
    "loop": (lambda path: make_loop(path / SECOND), [("missing", SECOND, "cannot be opened")]),
    "no file": (
        lambda path: make_folder(path / SECOND),
        [("unreadable", SECOND, "is not a regular file")],
    ),
    "truncated": (
        lambda path: os.truncate(path / SECOND, 16),
        [("changed", SECOND, "has 16 bytes, the catalog wants 160")],
    ),
    "unsized removed": (
        lambda path: (path / "unsized.bin").unlink(),
        [("missing", "unsized.bin", "cannot be opened")],
    ),
    "unsized truncated": (lambda path: os.truncate(path / "unsized.bin", 1), []),
    "part removed": (
        lambda path: (path / "names.txt").unlink(),
        [("missing", "names.txt", "cannot be opened")],
    ),
    "part truncated": (
        lambda path: os.truncate(path / "names.txt", 3),
        [("changed", "names.txt", "has 3 bytes, the catalog wants 10000")],
    ),
    "part touched": (
        lambda path: os.utime(path / "names.txt", ns=(1, 1)),
        [("changed", "names.txt", "has been written to or replaced since the dataset was opened")],
    ),
    "part's end": (
        lambda path: write_same_times(path / "names.txt", 9_999),
        [("changed", "names.txt", "but other bytes: their digest is ")],
    ),
    "part's middle": (lambda path: write_same_times(path / "names.txt", 5_000), []),
    "column removed": (
        lambda path: column(path).unlink(),
        [("missing", ".columns/", "cannot be opened")],
    ),
    "column's middle": (
        lambda path: write_same_times(column(path), 200),
        [("changed", ".columns/", "but other bytes: their digest is ")],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_named(folder: Path, name: str) -> None:
    change, wanted = CHANGES[name]
    dataset = open_it(folder)
    found = dataset.verify()
    assert (found.num_files, found.num_unsized, found.problems) == (6, 1, [])
    assert found.num_bytes == 10_000 + 3 * 160 + 7 + 3 * STATE.nbytes
    change(folder)
    found = dataset.verify()
    assert found.num_files == 6
    assert len(found.problems) == len(wanted)
    for problem, (kind, path, text) in zip(found.problems, wanted, strict=True):
        assert problem.kind == kind
        assert path in problem.path
        assert problem.message.startswith((f"'{problem.path}' ", f"{problem.path}: "))
        assert text in str(problem)


def test_a_file_without_rights_is_unreadable(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    dataset = open_it(folder)
    (folder / SECOND).chmod(0)
    (problem,) = dataset.verify().problems
    assert (problem.kind, problem.path) == ("unreadable", str(folder / SECOND))
    assert "Permission denied" in problem.message


def test_a_dataset_that_was_moved_holds(folder: Path, tmp_path: Path) -> None:
    open_it(folder)
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    FileOfStates.folder = moved
    before = (moved / ".robocache.sqlite").stat()
    dataset = open_it(moved)
    assert dataset.verify().problems == []
    (moved / SECOND).unlink()
    (problem,) = dataset.verify().problems
    assert problem.path == str(moved / SECOND)
    assert (moved / ".robocache.sqlite").stat().st_mtime_ns == before.st_mtime_ns


def test_a_view_verifies_all_of_its_dataset(folder: Path) -> None:
    assert open_it(folder)[:1].verify().num_files == 6


def test_what_was_left_out_is_no_problem(tmp_path: Path) -> None:
    path = small_dataset.write(tmp_path, images=False, clouds=False)
    (shard,) = path.glob("*.tfrecord*")
    shard.unlink()
    dataset = rc.open(path, progress=False, on_error="skip")
    assert dataset.verify().problems == []
    shard.write_bytes(b"here now")
    (problem,) = dataset.verify().problems
    assert (problem.kind, problem.path) == ("changed", str(shard))
    assert "was not there when it was indexed" in problem.message


def test_damage_that_was_left_out_is_no_problem(tmp_path: Path) -> None:
    path = small_dataset.write(tmp_path, images=False, clouds=False)
    (shard,) = path.glob("*.tfrecord*")
    shard.write_bytes(b"not a record" * 100)
    dataset = rc.open(path, progress=False, on_error="skip")
    assert len(dataset.skipped) == 1
    assert dataset.verify().problems == []


@pytest.mark.parametrize("name", ["nothing", "removed", "truncated"])
def test_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    change, wanted = CHANGES[name]
    open_it(folder)
    change(folder)
    arguments = ["index", str(folder), "--verify", "--no-progress"]
    assert cli.main(arguments) == bool(wanted)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("verified 6 files (")
    assert ", 1 of no known size" in lines[-1]
    assert lines[-1].endswith(f"): {len(wanted)} missing, changed or unreadable")
    for line, (kind, path, text) in zip(lines[2:-1], wanted, strict=True):
        assert line.startswith(f"{kind} ")
        assert str(folder / path) in line
        assert text in line
    assert cli.main([*arguments, "--json"]) == bool(wanted)
    verified = json.loads(capsys.readouterr().out)["verified"]
    assert verified["num_files"] == 6
    assert [problem["kind"] for problem in verified["problems"]] == [kind for kind, *_ in wanted]


def test_ctrl_c_ends_it(folder: Path) -> None:
    FileOfStates.blobs = 2_000_000_000  # that are not there: without Ctrl-C it takes hours
    dataset = open_it(folder)
    with (
        interrupting(rc.Dataset.verify, KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        dataset.verify()


def test_it_holds_one_descriptor_at_a_time(folder: Path) -> None:
    resource = pytest.importorskip("resource")
    FileOfStates.blobs = 300
    for number in range(300):
        (folder / f"{number}.bin").touch()
    dataset = open_it(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 16, hard))
    try:
        assert dataset.verify().problems == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
