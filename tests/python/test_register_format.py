"""Formats whose indexer is written in Python: what it says is read, and it is not trusted."""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.children import in_child

STEPS = [5, 0, 3, 7]  # of the episodes of every dataset here
TOTAL = sum(STEPS)
FIRST = np.cumsum([0, *STEPS[:-1]])
RNG = np.random.default_rng(3)
STATE = RNG.random((TOTAL, 4), np.float32)
PIXELS = RNG.integers(0, 256, (TOTAL, 6, 5, 3), np.uint8)

Read = Callable[[rc.Part], None]
Declare = Callable[[rc.Indexer], None]


class Format:
    """A format of one test: counts its calls, and knows the folder of that test alone."""

    number = 0

    def __init__(self, folder: Path, declare: Declare) -> None:
        Format.number += 1
        self.name = f"test {Format.number}"
        self.folder = folder
        self.declare = declare
        self.indexed = 0
        rc.register_format(self.name, probe=self.probe, index=self.index)

    def probe(self, path: str) -> bool:
        return self.folder.exists() and os.path.samefile(path, self.folder)

    def index(self, path: str, dataset: rc.Indexer) -> None:
        self.indexed += 1
        self.declare(dataset)

    def open(self, **options: Any) -> rc.Dataset:
        return rc.open(self.folder, progress=False, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    path.mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)  # whose probe then says no


def png(pixels: Any) -> bytes:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def declare_state(
    dataset: rc.Indexer, read: Read, file: str | None = "data.bin", **stream: Any
) -> None:
    dataset.control_rate_hz = 10
    dataset.stream("state", **{"dtype": "float32", "shape": (4,), **stream})
    if file is None:
        dataset.part("everything", read=read, stamp=1)
    else:
        dataset.part(file, read=read)


def values(dataset: rc.Dataset, stream: str) -> Any:
    return np.concatenate([episode[stream].values for episode in dataset])


def check_loader(dataset: rc.Dataset, stream: str, wanted: Any) -> None:
    """Each row of a shuffled epoch is the sample of the episode and step that it names."""
    seen = 0
    loader = rc.DataLoader(
        dataset, streams={stream: rc.Window(0)}, batch_size=4, shuffle=True, array="numpy"
    )
    for batch in loader:
        for value, episode, step in zip(
            batch[stream], batch["episode_index"], batch["step_index"], strict=True
        ):
            np.testing.assert_array_equal(np.squeeze(value, 0), wanted[FIRST[episode] + step])
            seen += 1
    assert seen == TOTAL


# ---- where samples lie --------------------------------------------------------------------------


def rows_of_a_file(folder: Path) -> Declare:
    (folder / "data.bin").write_bytes(b"head" + STATE.tobytes())

    def read(part: rc.Part) -> None:
        part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=4 + FIRST * 16)})

    return lambda dataset: declare_state(dataset, read)


def rows_with_a_stride(folder: Path) -> Declare:
    records = np.zeros(TOTAL, [("stamp", "i8"), ("state", "f4", 4), ("pad", "u1", 3)])
    records["state"] = STATE
    (folder / "data.bin").write_bytes(records.tobytes())

    def read(part: rc.Part) -> None:
        part.episodes(
            num_steps=STEPS,
            record=[7, 8, 9, 12],
            offset=FIRST * 27,
            bytes=np.array(STEPS) * 27,
            streams={"state": rc.Rows(offset=8 + FIRST * 27, stride=27)},
        )

    return lambda dataset: declare_state(dataset, read)


def rows_of_another_file(folder: Path) -> Declare:
    (folder / "data.bin").write_bytes(b"only names the other")
    (folder / "states").mkdir()
    for number, first in enumerate(FIRST):
        end = first + STEPS[number]
        (folder / "states" / f"{number + 7:03}.bin").write_bytes(STATE[first:end].tobytes())

    def read(part: rc.Part) -> None:
        sizes = np.array(STEPS) * 16
        first = part.blobs("states/{:03}.bin", first=7, count=4, sizes=sizes)
        part.episodes(
            num_steps=STEPS, streams={"state": rc.Rows(offset=0, blob=first + np.arange(4))}
        )

    return lambda dataset: declare_state(dataset, read)


def rows_swapped_as_stored(folder: Path) -> Declare:
    (folder / "data.bin").write_bytes(STATE.astype(">f4").tobytes())

    def read(part: rc.Part) -> None:
        part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=FIRST * 16)})

    return lambda dataset: declare_state(dataset, read, encoding="swapped")


def rows_of_a_block(folder: Path) -> Declare:
    packed = zlib.compress(STATE.tobytes())
    (folder / "data.bin").write_bytes(b"xx" + packed)

    def read(part: rc.Part) -> None:
        block = part.block(
            offset=2,
            bytes=len(packed),
            unpacked_bytes=STATE.nbytes,
            packing=part.packing(["zlib"]),
        )
        part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=FIRST * 16, block=block)})

    return lambda dataset: declare_state(dataset, read)


def rows_of_a_block_each(folder: Path) -> Declare:
    packed = [zlib.compress(STATE[f : f + n].tobytes()) for f, n in zip(FIRST, STEPS, strict=True)]
    (folder / "data.bin").write_bytes(b"".join(packed))

    def read(part: rc.Part) -> None:
        sizes = np.array([len(each) for each in packed])
        blocks = part.block(
            offset=np.cumsum(sizes) - sizes,
            bytes=sizes,
            unpacked_bytes=np.array(STEPS) * 16,
            packing=part.packing(["zlib"]),
        )
        part.episodes(num_steps=STEPS, streams={"state": rc.Rows(offset=0, block=blocks)})

    return lambda dataset: declare_state(dataset, read)


def pieces_packed_each(folder: Path) -> Declare:
    packed = [zlib.compress(sample.tobytes()) for sample in STATE]
    (folder / "data.bin").write_bytes(b"".join(packed))

    def read(part: rc.Part) -> None:
        sizes = np.array([len(each) for each in packed])
        pieces = rc.Pieces(
            offset=np.cumsum(sizes) - sizes, bytes=sizes, packing=part.packing(["zlib"])
        )
        part.episodes(num_steps=STEPS, streams={"state": pieces})

    return lambda dataset: declare_state(dataset, read)


def pieces_in_any_order(folder: Path) -> Declare:
    order = RNG.permutation(TOTAL)
    (folder / "data.bin").write_bytes(STATE[order].tobytes())

    def read(part: rc.Part) -> None:
        pieces = rc.Pieces(offset=np.argsort(order) * 16, bytes=16)
        part.episodes(num_steps=STEPS, streams={"state": pieces})

    return lambda dataset: declare_state(dataset, read)


def pieces_of_a_file_a_step(folder: Path) -> Declare:
    for step, sample in enumerate(STATE):
        np.save(folder / f"{step:04}.npy", sample)

    def read(part: rc.Part) -> None:
        first = part.blobs("{:04}.npy", count=TOTAL)
        sizes = [os.path.getsize(folder / f"{step:04}.npy") for step in range(TOTAL)]
        pieces = rc.Pieces(offset=0, bytes=sizes, blob=first + np.arange(TOTAL))
        part.episodes(num_steps=STEPS, streams={"state": pieces})

    return lambda dataset: declare_state(dataset, read, None, encoding="npy")


def several_kinds_in_an_episode(folder: Path) -> Declare:
    (folder / "data.bin").write_bytes(STATE.tobytes())

    def read(part: rc.Part) -> None:
        steps = np.array(STEPS)
        rows = steps // 2
        rest = np.concatenate(
            [np.arange(f + n // 2, f + n) for f, n in zip(FIRST, STEPS, strict=True)]
        )
        part.episodes(
            num_steps=STEPS,
            streams={
                "state": [
                    rc.Rows(offset=FIRST * 16, count=rows),
                    rc.Pieces(offset=rest * 16, bytes=16, count=steps - rows),
                ]
            },
        )

    return lambda dataset: declare_state(dataset, read)


def columns(folder: Path) -> Declare:
    def read(part: rc.Part) -> None:  # two calls: what follows is appended
        half = FIRST[2]
        part.episodes(num_steps=STEPS[:2], streams={"state": rc.Column(STATE[:half])})
        part.episodes(num_steps=STEPS[2:], streams={"state": rc.Column(STATE[half:])})

    return lambda dataset: declare_state(dataset, read, None)


def chunked_array(folder: Path, chunks: tuple[int, int], steps: list[str]) -> Declare:
    """Rows of an array that is cut along both axes, with a chunk that is absent."""
    grid = [-(-TOTAL // chunks[0]), -(-4 // chunks[1])]
    padded = np.zeros((grid[0] * chunks[0], grid[1] * chunks[1]), "f4")
    padded[:TOTAL, :4] = STATE
    stored = []
    for i in range(grid[0]):
        for k in range(grid[1]):
            chunk = padded[i * chunks[0] :, k * chunks[1] :][: chunks[0], : chunks[1]].tobytes()
            if "shuffle:4" in steps:
                chunk = np.frombuffer(chunk, "u1").reshape(-1, 4).T.tobytes()
            stored.append(zlib.compress(chunk) if "zlib" in steps else chunk)
    (folder / "data.bin").write_bytes(b"".join(stored))

    def read(part: rc.Part) -> None:
        sizes = np.array([len(chunk) for chunk in stored])
        array = part.array(
            shape=(TOTAL, 4),
            chunks=chunks,
            dtype="f4",
            packing=part.packing(steps),
            offsets=np.cumsum(sizes) - sizes,
            sizes=sizes,
        )
        part.episodes(num_steps=STEPS, streams={"state": rc.ArrayRows(array, first=FIRST)})

    return lambda dataset: declare_state(dataset, read)


def runs_of_an_array(folder: Path) -> Declare:
    """Each episode is two runs, which lie the wrong way round in the array."""
    swapped = []
    first, count, episode = [], [], []
    at = 0
    for e, (begin, steps) in enumerate(zip(FIRST, STEPS, strict=True)):
        middle = steps // 2
        swapped += [STATE[begin + middle : begin + steps], STATE[begin : begin + middle]]
        first += [at + steps - middle, at]
        count += [middle, steps - middle]
        episode += [e, e]
        at += steps
    (folder / "data.bin").write_bytes(np.concatenate(swapped).tobytes())

    def read(part: rc.Part) -> None:
        array = part.array(shape=(TOTAL, 4), dtype="f4", offsets=0)
        rows = rc.ArrayRows(array, first=first, count=count, episode=episode)
        part.episodes(num_steps=STEPS, streams={"state": rows})

    return lambda dataset: declare_state(dataset, read)


def every_second_row_of_an_array(folder: Path) -> Declare:
    """Each step is a run, and the next one lies as far behind it as the one before."""
    (folder / "data.bin").write_bytes(np.repeat(STATE, 2, axis=0).tobytes())

    def read(part: rc.Part) -> None:
        array = part.array(shape=(2 * TOTAL, 4), dtype="f4", offsets=0)
        rows = rc.ArrayRows(
            array,
            first=np.arange(0, 2 * TOTAL, 2),
            count=np.ones(TOTAL, int),
            episode=np.repeat(np.arange(len(STEPS)), STEPS),
        )
        part.episodes(num_steps=STEPS, streams={"state": rows})

    return lambda dataset: declare_state(dataset, read)


PLACES: dict[str, Callable[[Path], Declare]] = {
    "rows of a file": rows_of_a_file,
    "rows with a stride": rows_with_a_stride,
    "rows of another file": rows_of_another_file,
    "rows swapped": rows_swapped_as_stored,
    "rows of a block": rows_of_a_block,
    "rows of a block each": rows_of_a_block_each,
    "pieces packed each": pieces_packed_each,
    "pieces in any order": pieces_in_any_order,
    "pieces of a file a step": pieces_of_a_file_a_step,
    "several kinds": several_kinds_in_an_episode,
    "columns": columns,
    "every second row": every_second_row_of_an_array,
    "chunks": lambda folder: chunked_array(folder, (4, 3), ["shuffle:4", "zlib"]),
    "chunks of rows": lambda folder: chunked_array(folder, (4, 4), []),
    "contiguous": lambda folder: chunked_array(folder, (TOTAL, 4), []),
    "runs of an array": runs_of_an_array,
}


@pytest.mark.parametrize("place", PLACES)
def test_values_are_those_that_lie_there(folder: Path, place: str) -> None:
    mine = Format(folder, PLACES[place](folder))
    dataset = mine.open()
    assert dataset.format == mine.name
    assert [episode.num_steps for episode in dataset] == STEPS
    np.testing.assert_array_equal(values(dataset, "state"), STATE)
    check_loader(dataset, "state", STATE)


def images(folder: Path) -> tuple[bytes, Any, Any]:
    encoded = [png(pixels) for pixels in PIXELS]
    sizes = np.array([len(each) for each in encoded])
    return b"".join(encoded), np.cumsum(sizes) - sizes, sizes


def declare_images(dataset: rc.Indexer, read: Read, **stream: Any) -> None:
    dataset.control_rate_hz = 10
    dataset.stream("image", **{"kind": "image", "shape": (6, 5, 3), **stream})
    dataset.part("images.bin", read=read)


def test_images_are_decoded(folder: Path) -> None:
    data, offset, size = images(folder)
    (folder / "images.bin").write_bytes(data)

    def read(part: rc.Part) -> None:
        part.episodes(num_steps=STEPS, streams={"image": rc.Pieces(offset=offset, bytes=size)})

    dataset = Format(folder, lambda d: declare_images(d, read, shape=None)).open()
    assert dataset.streams["image"].shape == (-1, -1, -1)
    wanted = [PIXELS[f : f + n] for f, n in zip(FIRST, STEPS, strict=True) if n]
    for episode, pixels in zip((e for e in dataset if e.num_steps), wanted, strict=True):
        np.testing.assert_array_equal(episode["image"].values, pixels)
    check_loader(dataset, "image", PIXELS)


@pytest.mark.parametrize("kind", ["rows", "array"])
def test_pixels_are_as_they_lie(folder: Path, kind: str) -> None:
    packed = zlib.compress(PIXELS.tobytes())
    (folder / "images.bin").write_bytes(packed if kind == "array" else PIXELS.tobytes())

    def read(part: rc.Part) -> None:
        source: Any = rc.Rows(offset=FIRST * 90)
        if kind == "array":
            array = part.array(
                shape=PIXELS.shape,
                chunks=PIXELS.shape,
                dtype="u1",
                packing=part.packing(["zlib"]),
                offsets=[0],
                sizes=[len(packed)],
            )
            source = rc.ArrayRows(array, first=FIRST)
        part.episodes(num_steps=STEPS, streams={"image": source})

    dataset = Format(folder, lambda d: declare_images(d, read, encoding="pixels")).open()
    np.testing.assert_array_equal(values(dataset, "image"), PIXELS)
    check_loader(dataset, "image", PIXELS)


def test_images_and_texts_that_are_packed_each(folder: Path) -> None:
    texts = [f"step {i}" for i in range(TOTAL)]
    samples = [*(png(pixels) for pixels in PIXELS), *(text.encode() for text in texts)]
    samples[0] = samples[TOTAL] = b""  # an image and a text that are not there
    packed = [zlib.compress(sample) if sample else b"" for sample in samples]
    sizes = np.array([len(each) for each in packed])
    offsets = np.cumsum(sizes) - sizes
    (folder / "images.bin").write_bytes(b"".join(packed))

    def read(part: rc.Part) -> None:
        images, words = (
            rc.Pieces(offset=offsets[at], bytes=sizes[at], packing=part.packing(["zlib"]))
            for at in (slice(TOTAL), slice(TOTAL, None))
        )
        part.episodes(num_steps=STEPS, streams={"image": images, "language": words})

    def declare(dataset: rc.Indexer) -> None:
        dataset.stream("language", kind="text")
        declare_images(dataset, read)

    dataset = Format(folder, declare).open()
    wanted = np.concatenate([0 * PIXELS[:1], PIXELS[1:]])
    np.testing.assert_array_equal(values(dataset, "image"), wanted)
    assert [t for episode in dataset for t in episode["language"].values] == ["", *texts[1:]]
    check_loader(dataset, "image", wanted)


def test_texts_tasks_and_metadata(folder: Path) -> None:
    texts = [f"step {i} über" for i in range(TOTAL)]
    data = [text.encode() for text in texts]
    sizes = np.array([len(each) for each in data])
    (folder / "texts").write_bytes(b"".join(data))

    def read(part: rc.Part) -> None:
        part.episodes(
            num_steps=STEPS,
            tasks=["open", None, "öffne", ""],
            metadata=[{"success": True, "name": "é"}, None, '{"a": [1, 2]}', {}],
            streams={"language": rc.Pieces(offset=np.cumsum(sizes) - sizes, bytes=sizes)},
        )

    def declare(dataset: rc.Indexer) -> None:
        dataset.name, dataset.version, dataset.control_rate_hz = "toy", "1.0", 10.0
        dataset.stream("language", kind="text")
        dataset.part("texts", split="test", read=read)

    dataset = Format(folder, declare).open()
    assert (dataset.name, dataset.version, dataset.control_rate_hz) == ("toy", "1.0", 10.0)
    assert list(dataset.splits) == ["test"]
    assert [text for episode in dataset for text in episode["language"].values] == texts
    assert [episode.task for episode in dataset] == ["open", "", "öffne", ""]
    assert dataset[0].metadata == {"success": True, "name": "é"}
    assert [episode.metadata for episode in dataset][1:] == [{}, {"a": [1, 2]}, {}]


def test_what_parts_note_and_remember_stays_in_the_catalog(folder: Path) -> None:
    seen: list[Any] = []
    for name in ("a", "b"):
        (folder / name).write_bytes(STATE.tobytes())

    def read(part: rc.Part) -> None:
        part.episodes(
            num_steps=STEPS[:3],
            streams={"state": rc.Rows(offset=FIRST[:3] * 16)},
            metadata=[{"in": ["even", "all of them"]}, '{"in": ["odd"]}', {"in": ["even", 5]}],
        )
        part.episodes(num_steps=STEPS[3:], streams={"state": rc.Rows(offset=FIRST[3:] * 16)})
        part.note(f"read of {part.path}")
        part.remember({"of": part.path, "at": [1, None]})

    def declare(dataset: rc.Indexer) -> None:
        seen.append(dataset.remembered)
        dataset.splits_by = "in"
        dataset.note("of all")
        dataset.control_rate_hz = 10
        dataset.stream("state", dtype="float32", shape=(4,))
        for name in ("a", "b"):
            dataset.part(name, read=read)

    kind = Format(folder, declare)
    for _ in range(2):
        dataset = kind.open()
        assert dataset.notes == ["of all", "a: read of a", "b: read of b"]
        assert [e.id for e in dataset.split("even")] == [0, 2, 4, 6]
        assert [e.id for e in dataset[2:].split("odd")] == [5]
        assert dataset.splits["even"].num_steps == 2 * (STEPS[0] + STEPS[2])
        assert list(dataset.splits) == ["train", "even", "all of them", "odd"]
    (folder / "b").write_bytes(STATE.tobytes())
    os.utime(folder / "b", ns=(5, 5))
    kind.open()
    os.utime(folder / "a", ns=(5, 5))
    kind.open(rebuild=True)
    assert seen == [None, *[{"of": "a", "at": [1, None]}] * 2, None]


def test_files_and_their_bytes_are_counted_once(folder: Path) -> None:
    """Those that are parts, and those that parts point to, which may share them."""
    for name, size in (("own", 64), ("a_0", 160), ("a_1", 80), ("shared", 16), ("unsized", 99)):
        (folder / name).write_bytes(bytes(size))

    def read(part: rc.Part) -> None:
        part.blobs("a_{}", first=0, count=2, sizes=[160, 80])
        part.blobs("shared", sizes=[16])
        part.blobs("unsized")
        part.episodes(num_steps=[4], streams={"state": rc.Rows(offset=[0], blob=1)})

    def declare(dataset: rc.Indexer) -> None:
        declare_state(dataset, read, "own")
        dataset.part("first", read=read, stamp=1)
        dataset.part("second", read=read, stamp=1)

    kind = Format(folder, declare)
    for _ in range(2):
        dataset = kind.open()
        assert (dataset.num_files, dataset.num_bytes) == (5, 64 + 160 + 80 + 16)
        assert "5 files, 320 B)" in str(dataset)
        assert " B)" not in str(dataset[:1])  # nobody told how much an episode takes


def test_what_is_no_json_is_not_remembered(folder: Path) -> None:
    (folder / "data.bin").write_bytes(STATE.tobytes())

    def read(part: rc.Part) -> None:
        part.remember({"x": float("nan")})

    with pytest.raises(rc.Error, match=r"remember: .*wanted a JSON object"):
        Format(folder, lambda dataset: declare_state(dataset, read)).open()


def test_ragged_streams_and_stamps(folder: Path) -> None:
    rows = RNG.integers(0, 4, TOTAL)
    points = RNG.random((int(rows.sum()), 3), np.float32)
    samples = [int(rows[f : f + n].sum()) for f, n in zip(FIRST, STEPS, strict=True)]
    stamps = np.concatenate([np.sort(RNG.integers(0, 10**8, n)) for n in samples])
    step_ns = np.concatenate([np.arange(n) * 100_000_000 + 5 for n in STEPS]).astype("i8")
    (folder / "stamps").write_bytes(step_ns.tobytes())
    steps = np.array(STEPS)

    def read(part: rc.Part) -> None:
        part.episodes(
            num_steps=STEPS,
            row_lengths={"points": rows},
            stamps={"state_ns": (np.full(4, 5), 5 + np.maximum(steps - 1, 0) * 100_000_000)},
            streams={
                "points": rc.Column(points),
                "imu": rc.Column(points[:, 0], count=samples),
                "imu_ns": rc.Column(stamps, count=samples),
                "state": rc.Column(STATE),
                "state_ns": rc.Rows(offset=FIRST * 8),
            },
        )

    def declare(dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("points", dtype="float32", shape=(3,), ragged=True)
        dataset.stream("imu", dtype="float32", times="imu_ns", ragged=True)
        dataset.stream("imu_ns", dtype="int64", ragged=True)
        dataset.stream("state", dtype="float32", shape=(4,), times="state_ns")
        dataset.stream("state_ns", dtype="int64")
        dataset.part("stamps", read=read)

    dataset = Format(folder, declare).open()
    np.testing.assert_array_equal(values(dataset, "points"), points)
    np.testing.assert_array_equal(
        np.concatenate([episode["points"].row_lengths for episode in dataset]), rows
    )
    np.testing.assert_array_equal(
        np.concatenate([episode["imu"].times_ns for episode in dataset]), stamps
    )
    assert dataset[3]["state"].times_ns.tolist() == step_ns[FIRST[3] :].tolist()
    assert dataset[3].duration_ns == 600_000_000
    loader = rc.DataLoader(
        dataset,
        rate_hz=10,
        batch_size=4,
        streams={"state": rc.Window(0), "imu": rc.Window(0, mode="hold")},
        array="numpy",
    )
    assert sum(len(batch["state"]) for batch in loader) == TOTAL


# ---- when it is called --------------------------------------------------------------------------


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


# ---- what cannot be -----------------------------------------------------------------------------


def add(**arguments: Any) -> Read:
    given = {"num_steps": STEPS, "streams": {"state": rc.Rows(offset=FIRST * 16)}, **arguments}
    return lambda part: part.episodes(**given)


def state(source: Any, **arguments: Any) -> Read:
    return add(streams={"state": source}, **arguments)


def array_rows(shape: tuple[int, ...] = (TOTAL, 4), **rows: Any) -> Read:
    def read(part: rc.Part) -> None:
        array = part.array(shape=shape, dtype="f4", offsets=0)
        given = {"array": array, "first": FIRST, **rows}
        part.episodes(num_steps=STEPS, streams={"state": rc.ArrayRows(**given)})

    return read


def later(method: str, **arguments: Any) -> Read:
    return lambda part: getattr(part, method)(**arguments)


WRONG: dict[str, tuple[Read, str]] = {
    "steps below 0": (add(num_steps=[5, -1, 3, 7]), "episode 1: found -1 steps"),
    "steps of NaN": (add(num_steps=[5, np.nan, 3, 7]), "num_steps: found nan at 1"),
    "steps in halves": (add(num_steps=[5, 0, 3, 6.5]), "num_steps: found 6.5 at 3"),
    "steps beyond int64": (
        add(num_steps=np.array([2**63], np.uint64)),
        "num_steps: found 9223372036854775808 at 0",
    ),
    "steps of texts": (add(num_steps=["a"]), "num_steps: found dtype <U1"),
    "steps that add up to too much": (
        add(num_steps=[2**62, 2**62, 0, 0]),
        r"episode 1: found \d+ steps",
    ),
    "steps of a shape": (add(num_steps=[[1]]), r"num_steps: found shape \(1, 1\)"),
    "one number of steps": (add(num_steps=3), "num_steps: found one number"),
    "records below 0": (add(record=[0, 1, 2, -3]), "episode 3: found 7 steps in record -3"),
    "too few records": (add(record=[0]), "record: found 1 numbers, wanted 4"),
    "record past the file": (
        add(offset=[0, 1, 2, 240], bytes=[1, 1, 1, 1]),
        "episode 3: offset and bytes: found 1 bytes from byte 240 on, wanted within 240",
    ),
    "too few tasks": (add(tasks=["a"]), "tasks: wanted a list of 4"),
    "task with NUL": (add(tasks=["a\0", "", "", ""]), "tasks: found 'a"),
    "metadata that is none": (add(metadata=["[]", None, None, None]), "metadata: episode 0: found"),
    "metadata of NaN": (
        add(metadata=[{"a": np.nan}, None, None, None]),
        "metadata: episode 0: Out",
    ),
    "a stream that is not": (
        add(streams={"stat": rc.Rows(offset=0)}),
        "stream 'stat': wanted one that is declared: state",
    ),
    "a stream that is missing": (add(streams={}), "stream 'state': is missing"),
    "a source that is none": (state(np.zeros(3)), "stream 'state': found array"),
    "offsets below 0": (
        state(rc.Rows(offset=[0, -16, 0, 0], count=[5, 1, 3, 7])),
        "stream 'state', episode 1: offset: found 16 bytes from byte -16 on, wanted 0 or more",
    ),
    "offsets past the file": (
        state(rc.Rows(offset=FIRST * 16 + 1)),
        "stream 'state', episode 3: offset: found 112 bytes from byte 129 on, wanted within 240",
    ),
    "too few offsets": (
        state(rc.Rows(offset=[0, 1])),
        "stream 'state': offset: found 2 numbers, wanted 4, one an episode",
    ),
    "offsets of NaN": (
        state(rc.Rows(offset=[0, 0, np.nan, 0])),
        "stream 'state': offset: found nan at 2, wanted whole numbers",
    ),
    "offset that is not given": (state(rc.Rows(offset=None)), "stream 'state': offset: found None"),
    "a stride below the sample": (
        state(rc.Rows(offset=0, stride=15)),
        "stream 'state', episode 0: stride: found 15, wanted the 16 bytes",
    ),
    "a stride beyond int64": (
        state(rc.Rows(offset=0, stride=2**62)),
        "stream 'state', episode 0: count and stride: found 5 samples",
    ),
    "counts that are not the steps": (
        state(rc.Rows(offset=FIRST * 16, count=[5, 0, 2, 7])),
        "stream 'state', episode 2: found 2 samples, wanted 3, one a step",
    ),
    "counts below 0": (
        state(rc.Rows(offset=0, count=[5, 0, -3, 7])),
        "stream 'state', episode 2: count: found -3",
    ),
    "a blob that is not": (
        state(rc.Rows(offset=0, blob=1)),
        "stream 'state', episode 0: blob: found blob 1, wanted 0 to 0",
    ),
    "a blob below 0": (
        state(rc.Rows(offset=0, blob=-1)),
        "stream 'state', episode 0: blob: found blob -1",
    ),
    "a block that is not": (
        state(rc.Rows(offset=0, block=0)),
        "stream 'state', episode 0: block: found 0, wanted the number of one of 0 blocks",
    ),
    "too few pieces": (
        state(rc.Pieces(offset=np.arange(9) * 16, bytes=16)),
        "stream 'state', episode 3: found 9 pieces in all, wanted 15",
    ),
    "too many pieces": (
        state(rc.Pieces(offset=np.zeros(16), bytes=np.full(16, 16))),
        "stream 'state': found 16 pieces, wanted 15, the samples of all episodes",
    ),
    "pieces of another size": (
        state(rc.Pieces(offset=np.zeros(15), bytes=15)),
        "stream 'state', episode 0: piece 0: bytes: found 15, wanted the 16",
    ),
    "pieces past the file": (
        state(rc.Pieces(offset=np.arange(15) * 16 + 1, bytes=16)),
        "stream 'state', episode 3: piece 14: offset and bytes: found 16 bytes from byte 225",
    ),
    "sizes of pieces that are too few": (
        state(rc.Pieces(offset=np.zeros(15), bytes=np.zeros(14))),
        "stream 'state': bytes: found 14 numbers, wanted 15, one a piece",
    ),
    "a column of another dtype": (
        state(rc.Column(STATE.astype("f8"))),
        r"stream 'state': Column: found float64 \[15, 4\], wanted float32 \[N\] of \[4\]",
    ),
    "a column of another shape": (
        state(rc.Column(STATE[:, :3])),
        r"stream 'state': Column: found float32 \[15, 3\]",
    ),
    "a column that is too short": (
        state(rc.Column(STATE[:9])),
        "stream 'state', episode 3: found 9 samples in the column, wanted 15",
    ),
    "a column that is too long": (
        state(rc.Column(np.zeros((20, 4), "f4"))),
        "stream 'state': found 20 samples in the column, wanted 15",
    ),
    "an array that is not": (
        state(rc.ArrayRows(0, first=FIRST)),
        "stream 'state': array: found number 0, wanted one of the part's 0",
    ),
    "rows past the array": (
        array_rows(first=FIRST + 1),
        "stream 'state', episode 3: first and count: found 7 rows from 9 on, wanted within its 15",
    ),
    "rows of another size": (
        array_rows(shape=(20, 3)),
        "array: found rows of 12 bytes, wanted the 16",
    ),
    "runs out of order": (
        array_rows(first=[0, 0, 0], count=[1, 1, 1], episode=[0, 1, 0]),
        "stream 'state', episode 0: found 1 samples, wanted 5|episode: found 0 at run 2",
    ),
    "runs of no episode": (
        array_rows(first=[*FIRST, 0], count=[*STEPS, 0], episode=[0, 1, 2, 3, 4]),
        "stream 'state': episode: found 4 at run 4, wanted less than 4",
    ),
    "frames without a track": (
        state(rc.Frames(0, first=FIRST)),
        "stream 'state': found Frames for encoding 'plain'",
    ),
    "runs without counts": (
        state([rc.Rows(offset=0), rc.Column(STATE)]),
        "stream 'state': count: is missing",
    ),
    "row lengths of what is not ragged": (
        add(row_lengths={"state": np.ones(15)}),
        "stream 'state': row_lengths: wanted of ragged streams alone",
    ),
    "stamps of no times": (
        add(stamps={"state": (np.zeros(4), np.zeros(4))}),
        "stream 'state': stamps: wanted of streams that are the times of others",
    ),
    "more episodes than bytes": (
        add(num_steps=np.zeros(241), streams={"state": rc.Rows(offset=np.zeros(241))}),
        "found 241 episodes, wanted at most one a byte",
    ),
    "blobs that lead out": (later("blobs", pattern="../x"), r"blobs '../x': wanted is a path"),
    "blobs without a number": (later("blobs", pattern="x", count=2), "blobs 'x': wanted is a path"),
    "sizes of blobs that are too few": (
        later("blobs", pattern="x{}", count=2, sizes=[1]),
        "blobs 'x{}': sizes: found 1 numbers, wanted 2",
    ),
    "sizes of blobs below 0": (
        later("blobs", pattern="x", sizes=[-1]),
        "blobs 'x': number 0 has -1",
    ),
    "a packing that is not": (later("packing", steps=["zap"]), "'zap'"),
    "too many steps of packing": (later("packing", steps=["zlib"] * 9), "packing: found 9 steps"),
    "a packing in a text": (later("packing", steps="zlib"), "packing: found 'zlib', wanted a list"),
    "a block past the file": (
        later("block", offset=200, bytes=41, unpacked_bytes=41),
        "block 0: packed bytes: found 41 bytes from byte 200 on, wanted within 240",
    ),
    "a block that grows without a packing": (
        later("block", offset=0, bytes=4, unpacked_bytes=5),
        "block 0: unpacked_bytes: found 5, wanted what it has packed, 4",
    ),
    "an array past the file": (
        later("array", shape=(16, 4), dtype="f4", offsets=0),
        "chunk 0: offsets: found 256 bytes from byte 0 on, wanted within 240",
    ),
    "an array with an order of too few axes": (
        later("array", shape=(15, 4), dtype="f4", offsets=0, order=[0]),
        "array: order: found 1 axes, wanted 2",
    ),
    "an array with an order that is none": (
        later("array", shape=(15, 4), dtype="f4", offsets=0, order=[1, 1]),
        "the order of its axes is no permutation",
    ),
    "an array with too few chunks": (
        later("array", shape=(15, 4), chunks=(5, 4), dtype="f4", offsets=[0, 80]),
        "array: offsets: found 2 numbers, wanted 3, one a chunk",
    ),
    "an array that is too large": (
        later("array", shape=(2**62, 4), chunks=(1, 4), dtype="f4", offsets=[0]),
        "its size is past int64",
    ),
    "a track without a key": (
        later("track", offset=[0], bytes=[1], pts=[0], key=[False]),
        "packet 0",
    ),
    "a track past the file": (
        later("track", offset=[200], bytes=[41], pts=[0], key=[True]),
        "packet 0: offset and bytes: found 41 bytes from byte 200 on, wanted within 240",
    ),
    "a track in a block that is not there": (
        later("track", block=[0], offset=[0], bytes=[1], pts=[0], key=[True]),
        "packet 0: block: found 0, wanted the number of one of 0 blocks",
    ),
    "a track in block -2": (
        later("track", block=-2, offset=[0], bytes=[1], pts=[0], key=[True]),
        "track: packet 0: found block -2",
    ),
    "a track with too few blocks": (
        later("track", block=[0], offset=[0, 1], bytes=1, pts=[0, 1], key=1),
        "track: block: found 1 numbers, wanted 2, one a packet",
    ),
    "a track with a codec of many letters": (
        later("track", codec="h" * 40, offset=[0], bytes=[1], pts=[0], key=[True]),
        "codec: found 'hhhh",
    ),
    "a track with too much extradata": (
        later("track", extradata=bytes(2**20 + 1), offset=[0], bytes=[1], pts=[0], key=[True]),
        "extradata: found 1048577 bytes, wanted at most 1048576",
    ),
    "progress below 0": (later("progress", bytes_done=-1), "bytes_done: found -1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_an_error(folder: Path, case: str) -> None:
    read, message = WRONG[case]
    (folder / "data.bin").write_bytes(STATE.tobytes())
    mine = Format(folder, lambda dataset: declare_state(dataset, read))
    with pytest.raises(rc.Error, match=message) as raised:
        mine.open()
    assert isinstance(raised.value, (ValueError, NotImplementedError))
    assert str(raised.value).startswith(f"format '{mine.name}', part 'data.bin'")


def test_packets_lie_within_their_block(folder: Path) -> None:
    (folder / "data.bin").write_bytes(STATE.tobytes())

    def read(part: rc.Part) -> None:
        block = part.block(offset=0, bytes=200, unpacked_bytes=200)
        packet = {"block": block, "pts": [0], "key": [True]}
        with pytest.raises(rc.Error, match="found 2 bytes from byte 199 on, wanted within 200"):
            part.track(offset=[199], bytes=[2], **packet)
        assert part.track(offset=[199], bytes=[1], **packet) == 0
        packings = [part.packing([f"shuffle:{size}"]) for size in range(2, 19)]
        blocks = [
            part.block(offset=0, bytes=8, unpacked_bytes=8, packing=packing) for packing in packings
        ]
        with pytest.raises(rc.Error, match="in blocks of more than 16 packings"):
            part.track(block=blocks, offset=[0] * 17, bytes=1, pts=range(17), key=1)
        add()(part)

    dataset = Format(folder, lambda dataset: declare_state(dataset, read)).open()
    np.testing.assert_array_equal(values(dataset, "state"), STATE)


def test_a_failed_call_adds_nothing(folder: Path) -> None:
    (folder / "data.bin").write_bytes(STATE.tobytes())

    def read(part: rc.Part) -> None:
        with pytest.raises(rc.Error, match="episode 3"):
            state(rc.Rows(offset=FIRST * 16 + 1))(part)
        add()(part)

    dataset = Format(folder, lambda dataset: declare_state(dataset, read)).open()
    np.testing.assert_array_equal(values(dataset, "state"), STATE)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda d: None, "no stream was declared"),
        (lambda d: d.stream("a"), "stream 'a': dtype: is missing"),
        (lambda d: d.stream("a", dtype="float31"), "stream 'a': dtype: found 'float31'"),
        (lambda d: d.stream("a", dtype="float32", kind="video"), "stream 'a': kind: found 'video'"),
        (lambda d: d.stream("a", dtype="int8", encoding="jpeg"), "encoding: found 'jpeg'"),
        (lambda d: d.stream("a", dtype="int8", shape=(None,)), "wanted all extents"),
        (lambda d: d.stream("a", dtype="int8", shape=[1] * 8), "found 8 axes"),
        (lambda d: d.stream("a", dtype="int8", shape=(-2,)), "shape: found -2"),
        (lambda d: d.stream("a", kind="image", shape=(3, 4)), r"found \(3, 4\)"),
        (lambda d: d.stream("a", dtype="int8", stored="float32"), "stored as float32"),
        (lambda d: d.stream("a", dtype="int8", times="b"), "times: found 'b', wanted a stream"),
        (lambda d: [d.stream("a", dtype="int8")] * 2 + [d.stream("a", dtype="int8")], "not yet"),
        (lambda d: d.part("/etc/passwd", read=print), "below"),
        (lambda d: d.part("a/../../b", read=print), "below"),
        (lambda d: d.part("a", read=None), "read: found None"),
        (lambda d: d.part("a", read=print, stamp=2**63), "stamp: found 9223372036854775808"),
        (lambda d: [d.part("a", read=print), d.part("a", read=print)], "not yet declared"),
    ],
)
def test_what_cannot_be_declared(folder: Path, declare: Declare, message: str) -> None:
    mine = Format(folder, declare)
    with pytest.raises(rc.Error, match=message):
        mine.open()


class OddError(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (OddError("text"), ValueError),
        (OSError(5, "gone"), OSError),
        (MemoryError(), MemoryError),
        (rc.errors.FormatError("torn"), rc.errors.FormatError),
    ],
)
@pytest.mark.parametrize("where", ["probe", "index", "read"])
def test_exceptions_keep_their_cause(
    folder: Path, raised: Exception, kind: type[Exception], where: str
) -> None:
    armed = [True]

    def fail(at: str) -> None:
        if where == at and armed[0]:
            raise raised

    def read(part: rc.Part) -> None:
        fail("read")
        add()(part)

    def declare(dataset: rc.Indexer) -> None:
        fail("index")
        declare_state(dataset, read)

    (folder / "data.bin").write_bytes(STATE.tobytes())
    mine = Format(folder, declare)
    probe = mine.probe
    mine.probe = lambda path: (probe(path) and fail("probe")) or probe(path)  # type: ignore
    rc.register_format(mine.name, probe=mine.probe, index=mine.index, replace=True)
    with pytest.raises(rc.Error, match=re.escape(str(raised) or "MemoryError")) as caught:
        mine.open()
    armed[0] = False
    assert isinstance(caught.value, kind)
    if not isinstance(raised, rc.Error):
        assert caught.value.__cause__ is raised
        assert type(raised).__name__ in str(caught.value)
    if isinstance(raised, OSError):
        assert caught.value.errno == 5
    assert len(mine.open()) == 4


def test_ctrl_c_is_ctrl_c(folder: Path) -> None:
    def declare(dataset: rc.Indexer) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Format(folder, declare).open()
    finally:
        signal.signal(signal.SIGINT, before)


def test_damaged_records(folder: Path) -> None:
    def read(part: rc.Part) -> None:
        part.skip(1, "torn")
        part.skip(2, "torn, too")
        part.skip(5, "and this")
        part.episodes(num_steps=[1, 1], record=[0, 3], streams={"state": rc.Column(STATE[:2])})

    mine = Format(folder, lambda dataset: declare_state(dataset, read, None))
    prefix = f"format '{mine.name}', part 'everything': record"
    with pytest.raises(rc.errors.FormatError, match=f"^{prefix} 1: torn$"):
        mine.open()
    dataset = mine.open(on_error="skip")
    assert dataset.skipped == [
        f"{prefix} 1: torn",
        f"{prefix} 2: torn, too",
        f"{prefix} 5: and this",
    ]
    assert len(dataset) == 2


def test_parts_that_fail_are_left_out_as_damaged_only_where_they_say_so(folder: Path) -> None:
    fault: list[Exception] = [rc.errors.FormatError("torn")]

    def read(part: rc.Part) -> None:
        raise fault[0]

    def declare(dataset: rc.Indexer) -> None:
        declare_state(dataset, read, None)
        dataset.part("good", read=add(streams={"state": rc.Column(STATE)}), stamp=1)

    mine = Format(folder, declare)
    dataset = mine.open(on_error="skip")
    assert len(dataset) == 4
    assert "torn" in dataset.skipped[0]
    fault[0] = KeyError("a fault of the reader")
    with pytest.raises(rc.errors.InvalidArgumentError, match="KeyError: 'a fault of the reader'"):
        mine.open(on_error="skip", rebuild=True)


def test_a_part_is_used_while_it_is_read(folder: Path) -> None:
    kept: list[rc.Part] = []

    def use(part: rc.Part) -> None:
        with pytest.raises(rc.Error, match="forked"):
            part.progress(1)

    def read(part: rc.Part) -> None:
        kept.append(part)
        in_child(lambda: use(part))
        part.episodes(num_steps=STEPS, streams={"state": rc.Column(STATE)})

    dataset = Format(folder, lambda dataset: declare_state(dataset, read, None)).open()
    np.testing.assert_array_equal(values(dataset, "state"), STATE)
    with pytest.raises(rc.Error, match="has been read already"):
        kept[0].progress(1)


@pytest.mark.parametrize("fails", [False, True])
def test_forks_meet_indexing(folder: Path, fails: bool) -> None:
    stop = threading.Event()
    forked = 0

    def fork() -> None:
        nonlocal forked
        while not stop.is_set():
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            forked += 1

    def read(part: rc.Part) -> None:
        while forked < 3:  # while this part is read
            time.sleep(0.001)
        if fails and part.path == "20":
            raise ValueError("no good")
        part.episodes(num_steps=[2], streams={"state": rc.Column(STATE[:2])})

    def declare(dataset: rc.Indexer) -> None:
        dataset.stream("state", dtype="float32", shape=(4,))
        for number in range(40):
            dataset.part(str(number), read=read, stamp=1)

    thread = threading.Thread(target=fork)
    thread.start()
    try:
        for _ in range(3):
            mine = Format(folder, declare)
            if fails:
                with pytest.raises(ValueError, match="no good"):
                    mine.open(rebuild=True, format=mine.name)
            else:
                assert len(mine.open(rebuild=True, format=mine.name)) == 40
    finally:
        stop.set()
        thread.join()


def test_files_that_are_not_there(folder: Path) -> None:
    mine = Format(folder, lambda dataset: declare_state(dataset, add()))
    with pytest.raises(OSError, match=r"data\.bin: cannot be opened"):
        mine.open()
    (folder / "data.bin").mkdir()
    with pytest.raises(OSError, match=r"data\.bin: is no file"):
        mine.open()


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
