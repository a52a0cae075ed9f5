"""What windows of numbers cost a core: microseconds a sample, all of a loader's work included.

usage: python bench/numeric_windows.py [--repeats N]

One thread, shuffled, from files that the page cache holds; time on the processor, the best of N.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc

EPISODES, STEPS, EPOCHS, BATCH = 20, 300, 3, 256
RATE_HZ, FASTER = 50, 20  # of the steps; samples of the force in a step


def write(folder: Path, images: list[bytes] | None = None) -> rc.Dataset:
    """Write and open episodes of numbers, with these images over and over where they are given."""
    features = {
        "state": rc.Feature("float32", (14,)),
        "action": rc.Feature("float32", (14,)),
        "action_time_ns": rc.Feature("int64"),
        "force": rc.Feature("float32", (6,), ragged=True),
        "force_time_ns": rc.Feature("int64", ragged=True),
        "tactile": rc.Feature("float32", (32, 32, 3)),
    }
    if images is not None:
        features["image"] = rc.Feature("uint8", (256, 256, 3), encoding="jpeg")
    rng = np.random.default_rng(0)
    times = np.arange(STEPS) * (1_000_000_000 // RATE_HZ)
    finer = np.arange(FASTER) * (1_000_000_000 // RATE_HZ // FASTER)
    with rc.RldsWriter(folder, "numbers", features, control_rate_hz=RATE_HZ) as writer:
        for _ in range(EPISODES):
            frames = (
                {} if images is None else {"image": [images[i % len(images)] for i in range(STEPS)]}
            )
            writer.add_episode(
                {
                    **frames,
                    "state": rng.normal(size=(STEPS, 14)),
                    "action": rng.normal(size=(STEPS, 14)),
                    "action_time_ns": times,
                    "force": [rng.normal(size=(FASTER, 6)) for _ in range(STEPS)],
                    "force_time_ns": [start + finer for start in times],
                    "tactile": rng.normal(size=(STEPS, 32, 32, 3)).astype(np.float32),
                }
            )
    return rc.open(folder / "numbers", progress=False)


def windows() -> dict[str, dict[str, rc.Window]]:
    line: dict[str, Any] = {"mode": "linear"}
    normal: dict[str, Any] = {"mode": "linear", "normalize": "mean_std"}
    return {
        "one state": {"state": rc.Window(0)},
        "2 states and 16 actions of 14, linear, normalised": {
            "state": rc.Window(range(-1, 1), **normal),
            "action": rc.Window(range(16), **normal),
        },
        "100 actions of 14, linear": {"action": rc.Window(range(100), **line)},
        "100 actions of 14, linear, normalised": {"action": rc.Window(range(100), **normal)},
        "50 means over a force of 6 at 1 kHz": {"force": rc.Window(range(-49, 1), mode="mean")},
        "one tactile array": {"tactile": rc.Window(0)},
        "one tactile array, normalised": {"tactile": rc.Window(0, normalize="mean_std")},
    }


def measure(dataset: rc.Dataset, streams: dict[str, rc.Window]) -> tuple[float, int]:
    """Return seconds of a core a sample, and the bytes that a sample has."""
    options: dict[str, Any] = {"rate_hz": RATE_HZ, "shuffle": True, "array": "numpy"}
    with rc.DataLoader(dataset, BATCH, streams=streams, num_threads=1, **options) as loader:
        first = next(iter(loader))
        own = sum(value.nbytes for value in first.tensors.values()) // BATCH
        for _ in loader:
            pass
        count, begin = 0, time.process_time()
        for _ in range(EPOCHS):
            for batch in loader:
                count += len(batch["step_index"])
        return (time.process_time() - begin) / count, own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats: int = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        dataset = write(Path(folder))
        for name, streams in windows().items():
            found = [measure(dataset, streams) for _ in range(repeats)]
            print(f"{name:52} {min(found)[0] * 1e6:6.2f} us {found[0][1]:8} bytes", flush=True)


if __name__ == "__main__":
    main()
