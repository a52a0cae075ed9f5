"""Formats whose indexer is written in Python: samples lie where it says."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.own_format import (
    FIRST,
    PIXELS,
    RNG,
    STATE,
    STEPS,
    TOTAL,
    Declare,
    Format,
    Read,
    check_loader,
    columns,
    declare_state,
    own_folder,
    png,
    rows_of_a_file,
    rows_of_another_file,
    values,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from own_folder(tmp_path)


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
