"""Damaged HDF5 files: an error that names the file, or a listed skip, and never a crash."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache import _causes

h5py = pytest.importorskip("h5py")

from robocache.formats import hdf5
from robocache.formats.hdf5 import process
from tests.python.hdf5_files import numbers, pixels, write_demos

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(process, "CPU_S", 5.0)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets all opens of a test share a process, which is started anew where a file ends it."""
    opening = _causes.Opening()
    pool = process.readers(opening)
    monkeypatch.setattr(hdf5, "readers", lambda opening: pool)
    yield
    pool.close()


def attempt(path: Path) -> str:
    """Opens and reads a damaged file; whatever is raised is robocache's and names the file."""
    for catalog in path.parent.glob(".*.robocache.sqlite"):
        catalog.unlink()
    try:
        dataset = rc.open(path, on_error="skip", num_threads=1)
        assert all(path.name in message for message in dataset.skipped)
        for episode in dataset:
            for stream in episode.values():
                stream.read(0, min(len(stream), 3))
    except rc.errors.FormatError as error:
        return str(error)
    return f"{path.name}: was read"


def small(path: Path, **options: Any) -> bytes:
    with h5py.File(path, "w", **options) as file:
        for number in range(2):
            demo = file.create_group(f"data/demo_{number}")
            demo.attrs["num_samples"] = 6
            demo["actions"] = numbers(6, 2)
            packed = {"chunks": (4, 8, 8, 3), "compression": "gzip", "fletcher32": True}
            demo.create_dataset("obs/image", data=pixels(6, 8, 8, 3), **packed)
            demo["obs/words"] = [f"word {i}" for i in range(6)]
    return path.read_bytes()


def truncated_at_structures(content: bytes) -> list[int]:
    """Where structures begin and end: signatures, and the eight bytes around them."""
    signs = rb"TREE|SNOD|HEAP|OHDR|FRHP|FHDB|BTHD|BTLF|GCOL|FADB|FAHD|EAHD|EAIB|OCHK|\x89HDF"
    at = {match.start() for match in re.finditer(signs, content)}
    return sorted({max(0, each + more) for each in at for more in (0, 4, 17)} - {0})


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_truncated_at_every_structure(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "demo.hdf5"
    content = small(path, libver=libver)
    places = truncated_at_structures(content)
    assert len(places) > 20
    for size in places:
        path.write_bytes(content[:size])
        assert re.search("demo.hdf5: (?!was read)", attempt(path))


@pytest.mark.usefixtures("one_process")
def test_bytes_changed(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("hdf5_files", ROOT / "fuzz/hdf5_files.py")
    assert spec is not None
    assert spec.loader is not None
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    path = tmp_path / "demo.hdf5"
    contents = [small(path, libver=libver) for libver in ("earliest", "latest")]
    rng = random.Random(5)
    for _ in range(20):
        path.write_bytes(fuzz.mutate(rng.choice(contents), rng))
        assert path.name in attempt(path)


def test_a_crash_of_libhdf5_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 5}, image=None)
    start = process._START.replace("main()", "import os; os.abort()")
    monkeypatch.setattr(process, "_START", start)
    with pytest.raises(rc.errors.FormatError, match=r"demo\.hdf5: libhdf5 crashed \(SIGABRT\)"):
        rc.open(path)


def test_a_file_on_which_libhdf5_finds_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 5}, image=None)
    loop = "import robocache.formats.hdf5.child as c\ndef survey(file):\n while 1: pass\n"
    start = process._START.replace(
        "from robocache", f"exec({loop!r} + 'c.survey = survey'); from robocache"
    )
    monkeypatch.setattr(process, "_START", start)
    monkeypatch.setattr(process, "CPU_S", 0.5)
    with pytest.raises(rc.errors.FormatError, match=r"demo\.hdf5: libhdf5 found no end in 0\.5 s"):
        rc.open(path)


def test_ctrl_c_ends_waiting_and_the_process(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 5}, image=None)
    code = (
        "import robocache as rc, signal, sys\n"
        "from robocache.formats.hdf5 import process as p\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "p._START = 'import time; time.sleep(100)'\n"
        "print('ready', flush=True)\n"
        "rc.open(sys.argv[1], progress=False)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert b"KeyboardInterrupt" in told


def test_no_process_is_left(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 5}, image=None)
    (tmp_path / "x.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    before = children()
    rc.open(path)
    with pytest.raises(rc.errors.FormatError):
        rc.open(tmp_path / "x.hdf5")
    assert children() <= before
    assert threading.active_count() < 20


def children() -> set[int]:
    task = f"/proc/self/task/{os.getpid()}/children"
    return {int(each) for each in Path(task).read_text().split()}


@pytest.mark.parametrize("value", [2**31, 2**40, 2**63 - 1, 2**64 - 1])
def test_extents_and_sizes_near_the_limits(tmp_path: Path, value: int) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        file["data/demo_0/actions"] = numbers(1234567, 1)[:1234]
    content = path.read_bytes()
    wanted = struct.pack("<Q", 1234)
    places = [match.start() for match in re.finditer(re.escape(wanted), content)]
    assert places
    for at in places:
        path.write_bytes(content[:at] + struct.pack("<Q", value) + content[at + 8 :])
        assert path.name in attempt(path)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        for number in range(2):
            demo = file.create_group(f"data/demo_{number}")
            demo["actions"] = numbers(5, 2)
            demo.attrs["odd"] = np.bytes_(b"\xff\xfe")
            h5py.h5d.create(
                demo.id,
                b"\xff\xfe" if number == 0 else b"\xfd\xfc",
                h5py.h5t.IEEE_F32LE,
                h5py.h5s.create_simple((5, 400)),
            )
    with pytest.warns(RuntimeWarning, match=r"no stream and is not read.*\\udcfd\\udcfc"):
        dataset = rc.open(path)
    assert set(dataset.streams) == {"actions"}
    assert any(r"\udcff\udcfe (its name is no UTF-8)" in note for note in dataset.notes)


def test_more_chunks_than_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        file["data/demo_0/actions"] = numbers(4, 1)
        shape = (4, 1 << 20, 1 << 20)
        file.create_dataset("data/demo_0/grid", shape, "u1", chunks=(1, 64, 64), compression="lzf")
    with pytest.raises(rc.errors.FormatError, match=r"grid: found 1073741824 chunks, wanted at"):
        rc.open(path)


def test_bombs(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    bomb = zlib.compress(bytes(1 << 20), 9)  # far more than a chunk holds
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = numbers(4, 1)
        options = {"shape": (4, 100), "dtype": "f8", "chunks": (4, 100), "compression": "gzip"}
        demo.create_dataset("bomb", **options).id.write_direct_chunk((0, 0), bomb, 0)
        image = {**options, "shape": (4, 16, 16, 3), "chunks": (4, 16, 16, 3), "dtype": "u1"}
        demo.create_dataset("image", **image).id.write_direct_chunk((0, 0, 0, 0), bomb, 0)
    dataset = rc.open(path)
    assert not dataset[0]["bomb"].values.any()  # libhdf5 takes what fits
    with pytest.raises(rc.errors.FormatError, match="'image'"):
        dataset[0]["image"].read()


def test_chunks_past_the_end_name_file_byte_and_object(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    content = small(path)
    with h5py.File(path) as file:
        chunk = file["data/demo_1/obs/image"].id.get_chunk_info(0)
    wanted = struct.pack("<Q", chunk.byte_offset)
    moved = content.replace(wanted, struct.pack("<Q", len(content) + 4096))
    path.write_bytes(moved)
    with pytest.raises(rc.errors.FormatError) as raised:
        rc.open(path)
    for what in (str(path), f"byte {len(content) + 4096}", "/data/demo_1/obs/image", "chunk (0"):
        assert what in str(raised.value)
    dataset = rc.open(path, on_error="skip")
    assert [episode.metadata["episode"] for episode in dataset] == ["demo_0"]


def test_a_damaged_chunk_names_the_episode(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    small(path)
    with h5py.File(path) as file:
        chunk = file["data/demo_1/obs/image"].id.get_chunk_info(0)
    with open(path, "r+b") as raw:
        raw.seek(chunk.byte_offset + 9)
        raw.write(b"\xff\x00\xff")
    dataset = rc.open(path)
    with pytest.raises(rc.errors.FormatError, match="'obs/image'"):
        dataset[1]["obs/image"].read()
    np.testing.assert_equal(len(dataset[0]["obs/image"].values), 6)


def test_sparse_files_do_not_read_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = numbers(50, 1)
        demo.create_dataset("image", (50, 2000, 2000, 3), "u1", fillvalue=3)
    assert path.stat().st_size < 1 << 20
    frame = rc.open(path)[0]["image"].read(49, 1)
    assert frame.shape == (1, 2000, 2000, 3)
    assert (frame == 3).all()
