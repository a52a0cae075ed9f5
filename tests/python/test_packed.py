"""Packed data: how often blocks are unpacked, measured, and foretold."""

from __future__ import annotations

import itertools
import warnings
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import robocache as rc

ROWS, ROW_BYTES, BLOCKS = 100, 10_000, 150  # of a block; 150 MB in all
STEPS = 290  # of an episode


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    """Rows that begin with their number, of which a block of 1 MB holds 100."""
    folder = tmp_path_factory.mktemp("packed")
    values = np.zeros((BLOCKS * ROWS, ROW_BYTES // 4), "u4")
    values[:, 0] = np.arange(len(values))
    packed = [zlib.compress(block.tobytes(), 1) for block in np.split(values, BLOCKS)]
    (folder / "blocks").write_bytes(b"".join(packed))
    sizes = np.array([len(block) for block in packed])
    begins = np.arange(0, len(values), STEPS)

    def read(part: rc.Part) -> None:
        array = part.array(
            shape=values.shape,
            chunks=(ROWS, values.shape[1]),
            dtype="u4",
            offsets=np.cumsum(sizes) - sizes,
            sizes=sizes,
            packing=part.packing(["zlib"]),
        )
        steps = np.diff(begins, append=len(values))
        part.episodes(num_steps=steps, streams={"row": rc.ArrayRows(array, first=begins)})

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("row", dtype="uint32", shape=values.shape[1:])
        dataset.part("blocks", read=read)

    rc.register_format("packed", probe=lambda path: False, index=index)
    return rc.open(folder, format="packed", progress=False)


def make(dataset: rc.Dataset, shuffle: Any, cache_bytes: int) -> rc.DataLoader:
    return rc.DataLoader(
        dataset,
        batch_size=20,
        streams={"row": rc.Window(0, squeeze=True)},
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


def test_blocks_are_unpacked_as_often_as_a_cache_of_them_lacks_them(dataset: rc.Dataset) -> None:
    loader = make(dataset, "blocks", 80_000_000)
    order = []
    for batch in loader:
        rows = batch["episode_index"] * STEPS + batch["step_index"]
        np.testing.assert_array_equal(batch["row"][:, 0], rows)
        order.append(rows)
    rows = np.concatenate(order)
    np.testing.assert_array_equal(np.sort(rows), np.arange(BLOCKS * ROWS))
    stats = loader.stats()
    unpacked = stats["blocks_read"] - 1  # the array's table is one, too
    assert unpacked <= 1.05 * missed(rows // ROWS, 80)
    assert unpacked <= 1.05 * BLOCKS * stats["unpack_factor_blocks"]


@pytest.mark.parametrize(("shuffle", "cache"), [(True, 20), ("blocks", 20)])
def test_the_factor_is_foretold(dataset: rc.Dataset, shuffle: Any, cache: int) -> None:
    """Where the cache is too small for what is shuffled together, too."""
    with pytest.warns(UserWarning, match="is to be unpacked .* times an epoch"):
        loader = make(dataset, shuffle, cache * 1_000_000)
    batches = list(itertools.islice(loader, 100))
    rows = [batch["episode_index"] * STEPS + batch["step_index"] for batch in batches]
    blocks = np.concatenate(rows) // ROWS
    stats = loader.stats()
    foretold = stats["unpack_factor_blocks" if shuffle == "blocks" else "unpack_factor_global"]
    wanted = missed(blocks, cache) * ROWS / len(blocks)
    assert foretold == pytest.approx(wanted, rel=0.1)


def test_what_is_foretold_depends_on_the_memory_and_the_order_does_not(dataset: rc.Dataset) -> None:
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
