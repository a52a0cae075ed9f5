"""Measures how often packed data is unpacked: shuffled globally, and by blocks.

A dataset of chunks of about 1 MB, of 100 samples each, that is ten times as large as the cache of
unpacked blocks. The loader counts the blocks that it reads and unpacks; a cache that keeps what was
used last is simulated in the same order with the same bound. A factor is how often a chunk is
unpacked in an epoch, on average.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from host import machine

import robocache as rc

SHAPE = (59, 59, 3)  # of a sample, 10,443 bytes
ROWS = 100  # of a chunk
BLOCK = ROWS * 59 * 59 * 3
WORKING_SET = 10  # times the cache
STEPS = 257  # of an episode: chunks lie across the ends of episodes
BATCH = 64


def write(path: Path, blocks: int) -> list[int]:
    """Writes chunks whose first value of each row tells the row; returns their packed sizes."""
    sizes = []
    chunk = np.zeros((ROWS, *SHAPE), np.uint8)
    chunk[..., 1] = np.arange(SHAPE[1])
    with path.open("wb") as file:
        for number in range(blocks):
            rows = np.arange(number * ROWS, (number + 1) * ROWS, dtype="<u4")
            chunk.reshape(ROWS, -1)[:, :4] = rows.view("u1").reshape(ROWS, 4)
            sizes.append(file.write(zlib.compress(chunk.tobytes(), 1)))
    return sizes


def open_dataset(folder: Path, blocks: int) -> rc.Dataset:
    """Returns the dataset: rows of one array, cut into episodes."""
    sizes = np.array(write(folder / "chunks", blocks))
    rows = blocks * ROWS
    begins = np.arange(0, rows, STEPS)

    def read(part: rc.Part) -> None:
        array = part.array(
            shape=(rows, *SHAPE),
            chunks=(ROWS, *SHAPE),
            dtype="u1",
            offsets=np.cumsum(sizes) - sizes,
            sizes=sizes,
            packing=part.packing(["zlib"]),
        )
        steps = np.diff(begins, append=rows)
        part.episodes(num_steps=steps, streams={"image": rc.ArrayRows(array, first=begins)})

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("image", kind="image", shape=SHAPE, encoding="pixels")
        dataset.part("chunks", read=read)

    rc.register_format("packed", probe=lambda path: False, index=index, replace=True)
    return rc.open(folder, format="packed", progress=False)


def simulate(order: np.ndarray, room: int) -> int:
    """Returns how many of the chunks, wanted in this order, a cache of `room` of them lacks."""
    held: OrderedDict[int, None] = OrderedDict()
    missed = 0
    for block in order.tolist():
        if block not in held:
            missed += 1
            if len(held) == room:
                held.popitem(last=False)
        held[block] = None
        held.move_to_end(block)
    return missed


def measure(dataset: rc.Dataset, cache: int, shuffle: Any, samples: int) -> dict[str, Any]:
    """Goes through `samples` of an epoch; returns the factors, measured, simulated and foretold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which says that shuffle=True unpacks much
        loader = rc.DataLoader(
            dataset,
            batch_size=BATCH,
            shuffle=shuffle,
            streams={"image": rc.Window(0, squeeze=True)},
            memory_bytes=4 * cache,
            array="numpy",
        )
    order = []
    began = time.perf_counter()
    for batch in loader:
        rows = batch["episode_index"] * STEPS + batch["step_index"]
        order.append(rows)
        told = np.ascontiguousarray(batch["image"].reshape(len(rows), -1)[:, :4])
        if not np.array_equal(told.view("<u4")[:, 0], rows):
            sys.exit("a batch has the values of other rows")
        if len(order) * BATCH >= samples:
            break
    seconds = time.perf_counter() - began
    stats = loader.stats()
    rows = np.concatenate(order)
    blocks = len(rows) / ROWS
    kind = "blocks" if shuffle == "blocks" else "global"
    loader.close()
    return {
        "shuffle": shuffle,
        "cache_bytes": cache,
        "samples": len(rows),
        "measured": round((stats["blocks_read"] - 1) / blocks, 3),  # the array's table is one, too
        "simulated": round(simulate(rows // ROWS, cache // BLOCK) / blocks, 3),
        "foretold": round(stats[f"unpack_factor_{kind}"], 3),
        "samples_per_s": round(len(rows) / seconds),
        "block_peak_bytes": stats["block_peak_bytes"],
    }


def main() -> None:
    """Prints a line a measurement; --json writes them with the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=int, default=80, help="MiB for unpacked blocks")
    parser.add_argument("--samples", type=int, default=20_000, help="where much is unpacked")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cache = arguments.cache << 20
    blocks = WORKING_SET * cache // BLOCK
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(Path(folder), blocks)
        for shuffle, samples, room in (
            ("blocks", blocks * ROWS, cache),
            (True, arguments.samples, cache),
            ("blocks", arguments.samples, cache // 2),  # less than what is shuffled together
        ):
            rows.append(measure(dataset, room, shuffle, samples))
            print(json.dumps(rows[-1]))
    if arguments.json:
        result = {"machine": machine(), "blocks": blocks, "block_bytes": BLOCK, "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
