"""RLDS files that are compressed as a whole: refused, or unpacked once into a folder."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from robocache import cli
from robocache.errors import FormatError, IoError, NotFoundError
from tests.python import small_dataset
from tests.python.wire_bytes import field, record


def two_members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:]) + bytes(300)


def members_across_windows(data: bytes) -> bytes:
    """Empty members of 20 bytes lie over each of the windows that a file is unpacked through."""
    half = len(data) // 2
    empty = gzip.compress(b"") * 130_000
    return gzip.compress(data[:half]) + empty + gzip.compress(data[half:])


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "members": two_members,
    "members across windows": members_across_windows,
    "stored": lambda data: gzip.compress(data, 0),
    "zlib": zlib.compress,
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset.write(tmp_path_factory.mktemp("plain"))


def shard_of(path: Path) -> Path:
    (shard,) = path.glob("*.tfrecord*")
    return shard


@pytest.fixture
def packed(plain: Path, tmp_path: Path) -> Path:
    """The same dataset, its shard compressed with gzip."""
    return pack(plain, tmp_path, gzip.compress)


def pack(plain: Path, tmp_path: Path, packing: Callable[[bytes], bytes]) -> Path:
    path = tmp_path / "small" / "1.0.0"
    shutil.copytree(plain, path, ignore=shutil.ignore_patterns(".robocache*"))
    shard = shard_of(path)
    shard.write_bytes(packing(shard.read_bytes()))
    return path


def open_it(path: Path) -> rc.Dataset:
    return rc.open(path, progress=False, control_rate_hz=10)


def unpack(path: Path, folder: Path) -> rc.Dataset:
    with pytest.warns(RuntimeWarning, match="compressed as a whole"):
        return rc.open(path, progress=False, unpack=folder, control_rate_hz=10)


def is_same(left: rc.Dataset, right: rc.Dataset) -> bool:
    streams = [name for name in left.streams if name != "observation/cloud"]
    loaders = [
        rc.DataLoader(dataset, streams=streams, batch_size=7, shuffle=True, seed=3, array="numpy")
        for dataset in (left, right)
    ]
    for a, b in zip(*loaders, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
    for one, other in zip(left, right, strict=True):
        for name in left.streams:
            np.testing.assert_array_equal(one[name].values, other[name].values)
    return True


@pytest.mark.parametrize("packing", PACKINGS)
def test_batches_are_those_of_the_plain_dataset(plain: Path, tmp_path: Path, packing: str) -> None:
    path = pack(plain, tmp_path, PACKINGS[packing])
    before = shard_of(path).stat()
    folder = tmp_path / "unpacked"
    with pytest.warns(RuntimeWarning) as told:
        dataset = rc.open(path, progress=False, unpack=folder, control_rate_hz=10)
    (warning,) = told
    unsaid = " (1 of them do not say their size)" if packing == "zlib" else ""
    assert re.search(
        rf"unpacking 1 files of .* into {folder}/small/1\.0\.0, where they take at least "
        rf".*B{re.escape(unsaid)} of .* free",
        str(warning.message),
    )
    assert warning.filename == __file__
    assert is_same(open_it(plain), dataset)
    made = folder / "small" / "1.0.0" / shard_of(path).name
    assert made.read_bytes() == shard_of(plain).read_bytes()
    assert sorted(os.listdir(made.parent)) == [made.name, f"{made.name}.unpacked"]
    umask = os.umask(0o022)
    os.umask(umask)
    assert made.stat().st_mode & 0o777 == 0o666 & ~umask
    after = shard_of(path).stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert is_same(open_it(plain), open_it(path))
    found = dataset.verify()
    assert (found.num_files, found.problems) == (2, [])


def dlimp_record() -> bytes:
    values = np.arange(12, dtype="<f4").reshape(3, 4)
    shape = b"".join(field(2, bytes([8, extent])) for extent in values.shape)
    tensor = bytes([8, 1]) + field(2, shape) + field(4, values.tobytes())
    feature = field(1, field(1, tensor))
    return field(1, field(1, field(1, b"action") + field(2, feature)))


def test_streams_are_derived_from_a_packed_record(tmp_path: Path) -> None:
    """Data as dlimp writes it has no features.json."""
    written = record(dlimp_record())
    for folder, data in (("plain", written * 3), ("packed", gzip.compress(written * 3))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.tfrecord").write_bytes(data)
    wanted = rc.open(tmp_path / "plain", progress=False)
    found = unpack(tmp_path / "packed", tmp_path / "unpacked")
    assert list(found.streams) == list(wanted.streams) == ["action"]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one["action"].values, other["action"].values)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_without_a_folder_it_is_refused(packed: Path, plain: Path, on_error: str) -> None:
    shard = shard_of(packed)
    with pytest.raises(FormatError) as caught:
        rc.open(packed, progress=False, on_error=on_error)
    size = shard_of(plain).stat().st_size
    assert str(caught.value) == (
        f"{shard}: the file is compressed with gzip as a whole ({shard.stat().st_size} bytes, at "
        f"least {size} unpacked): name a folder to unpack it into (unpack= in Python, 'robocache "
        "index --unpack FOLDER')"
    )


def test_the_command_line_unpacks(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "unpacked"
    assert cli.main(["index", str(packed)]) == 1
    assert "name a folder to unpack it into" in capsys.readouterr().err
    assert cli.main(["index", str(packed), "--unpack", str(folder), "--verify"]) == 0
    output = capsys.readouterr()
    assert f"into {folder}/small/1.0.0" in output.err
    assert "verified 2 files" in output.out
    assert cli.main(["index", str(packed)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("threads", [1, 4])
def test_shards_are_unpacked_on_all_threads(plain: Path, tmp_path: Path, threads: int) -> None:
    path = pack(plain, tmp_path, gzip.compress)
    (path / "dataset_info.json").unlink()
    shard = shard_of(path)
    data = gzip.decompress(shard.read_bytes())
    shard.unlink()
    for number in range(12):  # the third is not packed
        packing = PACKINGS[list(PACKINGS)[number % len(PACKINGS)]] if number != 2 else bytes
        name = f"small-train.tfrecord-{number:05}-of-00012"
        (path / name).write_bytes(packing(data))
    folder = tmp_path / "unpacked"
    with pytest.warns(RuntimeWarning, match="unpacking 11 files"):
        dataset = rc.open(path, progress=False, unpack=folder, num_threads=threads)
    wanted = open_it(plain)
    assert len(dataset) == 12 * len(wanted)
    for index, episode in enumerate(dataset):
        one = wanted[index % len(wanted)]
        np.testing.assert_array_equal(episode["action"].values, one["action"].values)
        assert (episode.offset, episode.num_bytes) == (one.offset, one.num_bytes)
    assert (
        len(
            [
                name
                for name in os.listdir(folder / "small" / "1.0.0")
                if not name.endswith(".unpacked")
            ]
        )
        == 11
    )
    again = pickle.loads(pickle.dumps(dataset))
    assert len(again) == len(dataset)
    assert again.verify().num_files == 12 + 11


def made_of(path: Path, folder: Path) -> Path:
    return folder / "small" / "1.0.0" / shard_of(path).name


def remove(made: Path) -> None:
    made.unlink()


def remove_note(made: Path) -> None:
    Path(f"{made}.unpacked").unlink()


def truncate(made: Path) -> None:
    os.truncate(made, 100)


def touch(made: Path) -> None:
    os.utime(made, ns=(1, 1))


@pytest.mark.parametrize("change", [remove, remove_note, truncate, touch])
def test_what_was_unpacked_and_changed_is_named_and_made_again(
    packed: Path, plain: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = tmp_path / "unpacked"
    unpack(packed, folder)
    made = made_of(packed, folder)
    change(made)
    with pytest.raises(NotFoundError, match="unpack= in Python") as caught:
        rc.open(packed, progress=False)
    assert f"'{made}'" in str(caught.value)
    if change is remove_note:  # it may be anybody's
        with (
            pytest.warns(RuntimeWarning),
            pytest.raises(rc.Error, match="was not unpacked by this library"),
        ):
            rc.open(packed, progress=False, unpack=folder)
        made.unlink()
    assert is_same(open_it(plain), unpack(packed, folder))


def test_an_unpacked_file_that_fits_is_taken(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    unpack(packed, folder)
    before = made_of(packed, folder).stat()
    dataset = rc.open(packed, progress=False, unpack=folder, rebuild=True)  # without a warning
    assert len(dataset) == small_dataset.NUM_EPISODES
    after = made_of(packed, folder).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_shard_is_unpacked_anew(packed: Path, plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    unpack(packed, folder)
    shard = shard_of(packed)
    shard.write_bytes(two_members(gzip.decompress(shard.read_bytes())))
    with pytest.raises(FormatError, match="name a folder"):
        rc.open(packed, progress=False)
    assert is_same(open_it(plain), unpack(packed, folder))


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda data: data[: len(data) // 2], r"byte \d+: the gzip file has no end"),
    "cut in its trailer": (lambda data: data[:-3], r"byte \d+: the gzip file has no end"),
    "checksum": (lambda data: flip(data, len(data) - 7), "whose checksum or size is not"),
    "size": (lambda data: flip(data, len(data) - 1), "whose checksum or size is not"),
    "reserved flags": (lambda data: data[:3] + b"\xe0" + data[4:], "is compressed with gzip"),
    "block": (lambda data: data[:10] + b"\xff" + data[11:], "a block of no known kind"),
    "followed by others": (lambda data: data + b"more", "other bytes behind its end"),
    "padding and others": (lambda data: data + bytes(9) + b"x", "other bytes behind its end"),
    "second member": (
        lambda data: data + flip(gzip.compress(b"x" * 100), 95 % 20),
        r"byte \d+: the gzip file has",
    ),
    "a bomb": (
        lambda data: gzip.compress(bytes(80 << 20)),
        "more than 256 times as many; if it is to be trusted, unpack it yourself",
    ),
    "no records": (
        lambda data: gzip.compress(b"text" * 100),
        "unpacked/small/1.0.0/.* is text that",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named(packed: Path, plain: Path, tmp_path: Path, name: str) -> None:
    damage, text = DAMAGES[name]
    folder = tmp_path / "unpacked"
    shard = shard_of(packed)
    whole = shard.read_bytes()
    shard.write_bytes(damage(whole))
    with pytest.raises(FormatError, match=text) as caught:
        rc.open(packed, progress=False, unpack=folder)
    assert shard.name in str(caught.value)
    if name != "no records":
        assert [path for path in folder.rglob("*") if path.is_file()] == []
    dataset = rc.open(packed, progress=False, unpack=folder, on_error="skip")
    assert len(dataset) == 0
    (message,) = dataset.skipped
    assert re.search(text, message)
    shard.write_bytes(whole)
    assert is_same(open_it(plain), unpack(packed, folder))


@pytest.mark.parametrize("where", ["small", "small/1.0.0", "file", "note"])
def test_nothing_is_written_through_a_link(packed: Path, tmp_path: Path, where: str) -> None:
    folder = tmp_path / "unpacked"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_bytes(b"somebody's")
    if where in ("file", "note"):
        made = made_of(packed, folder)
        made.parent.mkdir(parents=True)
        link = made if where == "file" else Path(f"{made}.unpacked")
        link.symlink_to(elsewhere / "file")
    else:
        link = folder / where
        link.parent.mkdir(parents=True)
        link.symlink_to(elsewhere, target_is_directory=True)
    if where == "note":  # the link itself gives way
        assert len(unpack(packed, folder)) == small_dataset.NUM_EPISODES
        assert not link.is_symlink()
    else:
        with pytest.raises(IoError, match=re.escape(str(link))):
            rc.open(packed, progress=False, unpack=folder)
        assert link.is_symlink()
    assert os.listdir(elsewhere) == ["file"]
    assert (elsewhere / "file").read_bytes() == b"somebody's"


def test_names_lead_nowhere_else(packed: Path, tmp_path: Path) -> None:
    info = packed / "dataset_info.json"
    told = json.loads(info.read_text())
    told["version"] = "../../../1.0.0"
    info.write_text(json.dumps(told))
    folder = tmp_path / "unpacked"
    assert len(unpack(packed, folder)) == small_dataset.NUM_EPISODES
    (made,) = folder.iterdir()
    assert os.listdir(made) == ["%2E.%2F..%2F..%2F1.0.0"]


def test_a_folder_that_cannot_be_had_is_named(packed: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "missing" / "deep", shard_of(packed)):
        with pytest.raises(IoError, match=re.escape(str(folder))):
            rc.open(packed, progress=False, unpack=folder)


def test_a_disk_that_is_too_small_is_told_before(packed: Path, tmp_path: Path) -> None:
    """Files full of holes say that they take more than there is."""
    disk = os.statvfs(tmp_path)
    count = disk.f_bavail * disk.f_frsize // (1 << 32) + 1
    if count > 5_000:
        pytest.skip("the disk has room for 20 TB")
    (packed / "dataset_info.json").unlink()
    for number in range(count):
        with (packed / f"small-train.tfrecord-{number:05}-of-{count:05}").open("wb") as file:
            file.write(b"\x1f\x8b\x08\0" + bytes(20))
            file.truncate(17 << 20)
            file.seek(-4, os.SEEK_END)
            file.write(b"\xff" * 4)
    folder = tmp_path / "unpacked"
    with (
        pytest.warns(RuntimeWarning, match="unpacking"),
        pytest.raises(IoError, match=r"' has \d+ bytes free, of which 64 MiB stay so") as caught,
    ):
        rc.open(packed, progress=False, unpack=folder)
    assert str(folder / "small") in str(caught.value)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_warning_that_is_an_error_stops_it(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            rc.open(packed, progress=False, unpack=folder)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


KILLED = """
import os, signal, sys, threading
import robocache as rc

folder = sys.argv[2]
def look():
    while not any(name.endswith(".unpacking") for _, _, names in os.walk(folder) for name in names):
        pass
    os.kill(os.getpid(), int(sys.argv[3]))
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Thread(target=look, daemon=True).start()
rc.open(sys.argv[1], progress=lambda *_: None, unpack=folder)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_goes_on_where_it_was_interrupted(
    plain: Path, tmp_path: Path, number: signal.Signals
) -> None:
    path = pack(plain, tmp_path, gzip.compress)
    folder = tmp_path / "unpacked"
    shard = shard_of(path)
    whole = shard.read_bytes()
    # many members of random bytes, so that it takes long enough to be interrupted
    noise = np.random.default_rng(0).bytes(1 << 20)
    shard.write_bytes(gzip.compress(noise, 0) * 400)
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(folder), str(int(number))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        timeout=300,
        check=False,
    )
    made = made_of(path, folder)
    if "FormatError" in result.stderr:
        pytest.skip("it was done before it could be interrupted")
    if number == signal.SIGKILL:
        assert result.returncode == -signal.SIGKILL
        assert any(name.endswith(".unpacking") for name in os.listdir(made.parent))
    else:
        assert "KeyboardInterrupt" in result.stderr
        assert os.listdir(made.parent) == []
    assert not made.exists()
    shard.write_bytes(whole)
    assert is_same(open_it(plain), unpack(path, folder))
    assert sorted(os.listdir(made.parent)) == [made.name, f"{made.name}.unpacked"]
