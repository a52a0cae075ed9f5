"""Measures how fast an indexer in Python fills a catalog: episodes of three streams a second.

Each episode has a state (rows of a file), images (a byte range each) and an action (a column, which
is copied). No data is read: what is measured is the way from NumPy arrays to a complete catalog.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import robocache as rc

STEPS = 10
STATE_BYTES = 7 * 4


def make_index(episodes: int, parts: int, seconds: list[float]) -> object:
    """Returns an index function of a dataset that exists in arrays only."""
    each = episodes // parts
    rng = np.random.default_rng(0)
    steps = np.full(each, STEPS)
    sizes = rng.integers(5_000, 40_000, each * STEPS)
    ends = np.cumsum(sizes)
    actions = rng.random((each * STEPS, 7), np.float32)
    states = np.arange(each) * STEPS * STATE_BYTES
    tasks = [f"task {i % 100}" for i in range(each)]

    def read(part: rc.Part) -> None:
        blob = part.blobs("states.bin")
        part.blobs("images.bin")
        began = time.perf_counter()
        part.episodes(
            num_steps=steps,
            tasks=tasks,
            streams={
                "state": rc.Rows(offset=states, blob=blob),
                "image": rc.Pieces(offset=ends - sizes, bytes=sizes, blob=blob + 1),
                "action": rc.Column(actions),
            },
        )
        seconds.append(time.perf_counter() - began)

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("state", dtype="float32", shape=(7,))
        dataset.stream("image", kind="image")
        dataset.stream("action", dtype="float32", shape=(7,))
        for number in range(parts):
            dataset.part(f"part {number}", read=read, stamp=1)

    return index


def measure(episodes: int, parts: int, folder: Path) -> dict[str, float]:
    """Returns episodes a second, and bytes of the catalog, of one run."""
    calls: list[float] = []
    rc.register_format(
        "bench",
        probe=lambda path: True,
        index=make_index(episodes, parts, calls),  # type: ignore[arg-type]
        replace=True,
    )
    catalog = folder / "catalog.sqlite"
    began = time.perf_counter()
    dataset = rc.open(folder, catalog=catalog, rebuild=True, progress=False)
    seconds = time.perf_counter() - began
    if len(dataset) != episodes or dataset.num_steps != episodes * STEPS:
        sys.exit(f"{len(dataset)} episodes found, wanted {episodes}")
    return {
        "episodes_per_s": episodes / seconds,
        "episodes_per_s_of_calls": episodes / sum(calls),
        "catalog_bytes_per_episode": os.path.getsize(catalog) / episodes,
    }


def main() -> None:
    """Prints the medians of several runs as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=400_000)
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            measure(arguments.episodes, arguments.parts, Path(folder))
            for _ in range(arguments.runs)
        ]
    result = {key: round(statistics.median(run[key] for run in runs), 1) for key in runs[0]}
    result["spread"] = round(
        max(run["episodes_per_s"] for run in runs) / min(run["episodes_per_s"] for run in runs), 2
    )
    print(json.dumps({**vars(arguments), **result}))


if __name__ == "__main__":
    main()
