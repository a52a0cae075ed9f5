"""Packed data: how often blocks are unpacked, measured, and foretold."""

from __future__ import annotations

import itertools
import warnings
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

ROWS, ROW_BYTES, BLOCKS = 100, 10_000, 150  # of a block; 150 MB in all
STEPS = 290  # of an episode
WAYS = ["array", "array of short episodes", "blocks", "blocks of short episodes", "ten streams"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A file of blocks of 100 rows, which begin with their number; and sizes of the blocks."""
    folder = tmp_path_factory.mktemp("packed")
    values = np.zeros((BLOCKS * ROWS, ROW_BYTES // 4), "u4")
    values[:, 0] = np.arange(len(values))
    blocks = [zlib.compress(block.tobytes(), 1) for block in np.split(values, BLOCKS)]
    (folder / "blocks").write_bytes(b"".join(blocks))
    return folder, np.array([len(block) for block in blocks])


def open_as(packed: tuple[Path, Any], way: str) -> rc.Dataset:
    """Opens the rows as those of an array, or as pieces of blocks, of one stream or of ten."""
    folder, sizes = packed
    offsets, rows = np.cumsum(sizes) - sizes, np.arange(BLOCKS * ROWS)
    begins = np.arange(0, len(rows), 10 if "short" in way else STEPS)
    width = ROW_BYTES // 10 if way == "ten streams" else ROW_BYTES
    names = [f"row {at}" if at else "row" for at in range(0, ROW_BYTES, width)]

    def read(part: rc.Part) -> None:
        packing = part.packing(["zlib"])
        streams: dict[str, Any] = {}
        if "array" in way:
            array = part.array(
                shape=(len(rows), ROW_BYTES // 4),
                chunks=(ROWS, ROW_BYTES // 4),
                dtype="u4",
                offsets=offsets,
                sizes=sizes,
                packing=packing,
            )
            streams["row"] = rc.ArrayRows(array, first=begins)
        else:
            block = part.block(
                offset=offsets, bytes=sizes, unpacked_bytes=ROWS * ROW_BYTES, packing=packing
            )
            for number, name in enumerate(names):
                at = rows % ROWS * ROW_BYTES + number * width
                streams[name] = rc.Pieces(offset=at, bytes=width, block=block[rows // ROWS])
        part.episodes(num_steps=np.diff(begins, append=len(rows)), streams=streams)

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        for name in names:
            dataset.stream(name, dtype="uint32", shape=(width // 4,))
        dataset.part("blocks", read=read)

    rc.register_format("packed", probe=lambda path: False, index=index, replace=True)
    catalog = folder / f"{way}.sqlite"
    return rc.open(folder, format="packed", catalog=catalog, progress=False)


def make(dataset: rc.Dataset, shuffle: Any, cache_bytes: int) -> rc.DataLoader:
    return rc.DataLoader(
        dataset,
        batch_size=20,
        streams={name: rc.Window(0, squeeze=True) for name in dataset.streams},
        shuffle=shuffle,
        memory_bytes=4 * cache_bytes,
        num_threads=2,
        array="numpy",
    )


def missed(blocks: Any, room: int) -> int:
    """How many blocks a cache lacks that keeps the `room` that were used last."""
    held: OrderedDict[int, None] = OrderedDict()
    count = 0
    for block in blocks.tolist():
        if held.pop(block, 0) is not None:
            count += 1
            if len(held) == room:
                held.popitem(last=False)
        held[block] = None
    return count


@pytest.mark.parametrize("way", WAYS)
def test_blocks_are_unpacked_as_often_as_a_cache_of_them_lacks_them(
    packed: tuple[Path, Any], way: str
) -> None:
    loader = make(open_as(packed, way), "blocks", 80_000_000)
    rows = np.concatenate([batch["row"][:, 0] for batch in loader])
    np.testing.assert_array_equal(np.sort(rows), np.arange(BLOCKS * ROWS))
    stats = loader.stats()
    unpacked = stats["blocks_read"]
    assert unpacked <= 1.05 * missed(rows // ROWS, 80)
    assert unpacked <= 1.05 * BLOCKS * stats["unpack_factor_blocks"] <= 1.2 * BLOCKS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_the_factor_is_foretold(packed: tuple[Path, Any], way: str, shuffle: Any) -> None:
    """Also where the memory is too little for what is shuffled together."""
    with pytest.warns(UserWarning, match="is to be unpacked .* times an epoch"):
        loader = make(open_as(packed, way), shuffle, 20_000_000)
    rows = np.concatenate([batch["row"][:, 0] for batch in itertools.islice(loader, 100)])
    foretold = loader.stats()[f"unpack_factor_{'blocks' if shuffle == 'blocks' else 'global'}"]
    assert foretold == pytest.approx(missed(rows // ROWS, 20) * ROWS / len(rows), rel=0.1)


def test_what_is_foretold_depends_on_the_memory_and_the_order_does_not(
    packed: tuple[Path, Any],
) -> None:
    dataset = open_as(packed, "array")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaders = [make(dataset, "blocks", megabytes * 1_000_000) for megabytes in (30, 50, 70, 90)]
    factors = [loader.stats()["unpack_factor_blocks"] for loader in loaders]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] > 40
    assert 1 <= factors[2] == factors[3] < 1.2
    assert len(told) == 2
    firsts = [next(iter(loader)) for loader in loaders]
    for key in ("episode_index", "step_index"):
        assert len({first[key].tobytes() for first in firsts}) == 1
