"""Formats whose indexer is written in Python: what it says is not trusted."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.children import in_child
from tests.python.own_format import (
    FIRST,
    STATE,
    STEPS,
    TOTAL,
    Declare,
    Format,
    Read,
    add,
    declare_state,
    own_folder,
    values,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from own_folder(tmp_path)


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
