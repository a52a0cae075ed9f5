"""CALVIN that is damaged, hostile or cut off: told by name, or read as it is."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.calvin_sets import (
    RNG,
    Write,
    check,
    deflated,
    npy,
    opened,
    read_or_refuse,
    stored,
    write_split,
)

SPANS = {
    "overlap": ([(0, 4), (3, 6), (8, 9)], r"row 1: its steps 3 to 6 overlap with those of row 0"),
    "one within another": ([(0, 6), (2, 3), (8, 9)], r"row 1: its steps 2 to 3 overlap"),
    "the same twice": ([(0, 4), (0, 4), (8, 9)], "row 1: its steps 0 to 4 overlap"),
    "beyond the last": ([(0, 4), (8, 20)], r"row 1: .*episode_0000020\.npz"),
    "a gap": ([(0, 4), (5, 9)], r"row 1: .*episode_0000007\.npz"),
    "backwards": ([(0, 4), (6, 5), (8, 9)], "row 1: found steps 6 to 5"),
    "below 0": ([(0, 4), (-3, -1), (8, 9)], "row 1: found steps -3 to -1"),
    "2^63": ([(0, 4), (2**63 - 2, 2**63 - 1), (8, 9)], "row 1: .*is not there"),
    "all int64": ([(0, 4), (8, 2**63 - 1)], "row 1: .*is not there"),
}


@pytest.mark.parametrize("name", SPANS)
def test_spans_that_cannot_be(tmp_path: Path, name: str) -> None:
    spans, message = SPANS[name]
    steps = write_split(tmp_path / "training", [(0, 6), (8, 9)])
    np.save(tmp_path / "training/ep_start_end_ids.npy", np.array(spans))
    with pytest.raises(rc.Error, match=message):
        opened(tmp_path)
    dataset = opened(tmp_path, on_error="skip")
    check(dataset, steps)
    assert len(dataset) == len(spans) - 1
    assert len(dataset.skipped) == 1


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (b"", "ep_start_end_ids.npy"),
        (npy(np.array([[0, 4]]))[:-1], "ep_start_end_ids.npy"),
        (npy(np.array([[0.0, 4.0]])), r"found float64 \(1, 2\)"),
        (npy(np.array([0, 4])), r"found int64 \(2,\)"),
        (npy(np.array([[0, 4]])).replace(b"(1, 2)", b"(9**9,2)"), "ep_start_end_ids.npy"),
        (npy(np.array([[0, 4]])).replace(b"'<i8'", b"'|O' "), "ep_start_end_ids.npy"),
    ],
)
def test_ids_that_are_none(tmp_path: Path, ids: bytes, message: str) -> None:
    write_split(tmp_path / "training", [(0, 4)])
    (tmp_path / "training/ep_start_end_ids.npy").write_bytes(ids)
    with pytest.raises(rc.errors.FormatError, match=message):
        opened(tmp_path)


def test_no_ids(tmp_path: Path) -> None:
    write_split(tmp_path, [(0, 4)])
    (tmp_path / "ep_start_end_ids.npy").unlink()
    with pytest.raises(rc.errors.FormatError, match=r"no ep_start_end_ids\.npy, which says"):
        opened(tmp_path)


def without(name: str) -> Write:
    def write(path: Path, arrays: dict[str, Any]) -> None:
        deflated(path, {key: array for key, array in arrays.items() if key != name})

    return write


def other(name: str, value: Any) -> Write:
    def write(path: Path, arrays: dict[str, Any]) -> None:
        deflated(path, {**arrays, name: value})

    return write


def twice(path: Path, arrays: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("actions.npy", npy(arrays["actions"]))


def by_bzip2(path: Path, arrays: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))


def bomb(path: Path, arrays: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            data = bytes(1 << 26) if name == "actions" else npy(array)
            archive.writestr(f"{name}.npy", data)


def encrypted(path: Path, arrays: dict[str, Any]) -> None:
    stored(path, arrays)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
STEPS: dict[str, tuple[Write, str]] = {
    "no such key": (without("scene_obs"), r"found no member 'scene_obs\.npy'"),
    "another shape": (other("actions", np.zeros(8)), r"member 'actions\.npy'"),
    "another dtype": (other("actions", np.zeros(7, "f4")), r"member 'actions\.npy'"),
    "another order": (other("actions", np.zeros((7, 1))), r"member 'actions\.npy'"),
    "twice": (twice, r"member 'actions\.npy': is there twice"),
    "bzip2": (by_bzip2, "packed by zip's method 12"),
    "a bomb": (bomb, r"member 'actions\.npy': found 67108864 bytes"),
    "encrypted": (encrypted, r"member '.*' is encrypted"),
    "empty": (lambda path, arrays: path.write_bytes(b"") and None, "no zip archive"),
    "no archive": (lambda path, arrays: path.write_bytes(bytes(500)) and None, "no zip archive"),
    "a pointer": (
        lambda path, arrays: path.write_bytes(LFS_POINTER) and None,
        "byte 0: no zip archive: it is a Git LFS pointer to 9 bytes",
    ),
    "gone": (lambda path, arrays: None, "cannot be opened"),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    write, message = STEPS[name]
    steps = write_split(tmp_path / "training", [(0, 3), (8, 12)])
    path = tmp_path / "training/episode_0000010.npz"
    path.unlink()
    write(path, steps[10])
    with pytest.raises(rc.Error, match=rf"row 1: .*episode_0000010\.npz.*{message}"):
        opened(tmp_path)
    dataset = opened(tmp_path, on_error="skip")
    check(dataset, steps)
    assert len(dataset) == 1
    assert len(dataset.skipped) == 1


def test_a_pipe_or_a_folder_in_place_of_a_step(tmp_path: Path) -> None:
    write_split(tmp_path / "training", [(0, 3), (8, 12)])
    for make in (os.mkfifo, os.mkdir):
        path = tmp_path / "training/episode_0000010.npz"
        path.unlink()
        make(path)
        with pytest.raises(rc.Error, match=r"episode_0000010\.npz: is not a regular file"):
            opened(tmp_path)
        os.rmdir(path) if path.is_dir() else None
        if not path.exists():
            path.write_bytes(b"")


def test_archives_cut_off_and_changed_are_read_or_refused(tmp_path: Path) -> None:
    """At every length, and with any bytes: values, an error that names the file, or a skip."""
    arrays = {"actions": np.arange(7.0), "rgb_static": np.zeros((2, 2, 3), np.uint8)}
    folder = tmp_path / "training"
    folder.mkdir()
    np.save(folder / "ep_start_end_ids.npy", np.array([[0, 0], [1, 1]]))
    deflated(folder / "episode_0000000.npz", arrays)
    path = folder / "episode_0000001.npz"
    deflated(path, arrays)
    data = path.read_bytes()
    catalog = tmp_path / "catalog.sqlite"
    for length in range(0, len(data), 5):
        path.write_bytes(data[:length])
        dataset = opened(tmp_path, catalog=catalog, on_error="skip")
        assert len(dataset) == 1
        assert "episode_0000001.npz" in dataset.skipped[0]
    for _ in range(150):
        changed = bytearray(data)
        for at in RNG.integers(0, len(data), 2):
            changed[at] = RNG.integers(256)
        path.write_bytes(changed)
        dataset = opened(tmp_path, catalog=catalog, on_error="skip")
        if len(dataset) == 1:
            assert "episode_0000001.npz" in dataset.skipped[0]
            continue
        np.testing.assert_array_equal(dataset[1]["actions"].values[0], arrays["actions"])
        read_or_refuse(dataset[1]["rgb_static"].read, "episode_0000001.npz")


def piped(path: Path, arrays: dict[str, Any]) -> None:
    """With each CRC behind its data, as an archive that is written to a pipe has it."""

    class Pipe(io.RawIOBase):
        content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            Pipe.content += bytes(data)
            return len(data)

    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
    path.write_bytes(Pipe.content)


@pytest.mark.parametrize("write", [deflated, stored])
def test_a_changed_bit_of_an_image_is_never_another_image(tmp_path: Path, write: Write) -> None:
    """What inflate alone would take for other pixels, the archive's CRC tells."""
    steps = write_split(tmp_path / "training", [(0, 2)], write=write)
    dataset = opened(tmp_path)  # which does not look at the step in the middle again
    path = tmp_path / "training/episode_0000001.npz"
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("rgb_static.npy")
    lengths = struct.unpack_from("<HH", data, member.header_offset + 26)
    begin = member.header_offset + 30 + sum(lengths)
    found = set()
    for at in RNG.integers(begin, begin + member.compress_size, 60).tolist():
        changed = bytearray(data)
        changed[at] ^= 1 << RNG.integers(8)
        path.write_bytes(changed)
        with pytest.raises(rc.errors.FormatError, match=r"episode_0000001\.npz") as caught:
            rc.open(tmp_path, progress=False)[0]["rgb_static"].read(1, 1)
        found.add("CRC" in str(caught.value))
    assert True in found
    path.write_bytes(data)
    check(dataset, steps)


def test_archives_written_to_a_pipe(tmp_path: Path) -> None:
    steps = write_split(tmp_path / "training", [(0, 3)], write=piped)
    with zipfile.ZipFile(tmp_path / "training/episode_0000000.npz") as archive:
        assert all(member.flag_bits & 8 for member in archive.infolist())
    check(opened(tmp_path), steps)
