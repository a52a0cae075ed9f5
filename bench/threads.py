"""Frames/s that a loader delivers, by threads.

Writes distinct 256x256 frames of about 19 kB as RLDS, then loads shuffled windows of two frames in
batches of 256. Each round goes over all numbers of threads.

Usage: python bench/threads.py [--threads N ...] [--rounds N] [--seconds S] [--json FILE]
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import itertools
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jpeg_frames
import numpy as np
from host import machine

import robocache as rc

SIDE, QUALITY, BYTES = 256, 85, 18_800
EPISODES, STEPS = 256, 40
BATCH, WINDOW = 256, 2


def write(folder: Path) -> tuple[str, float]:
    """Write the dataset; returns where it is, and the mean bytes of a frame."""
    noise = jpeg_frames.noise_for(SIDE, SIDE, QUALITY, BYTES)
    jobs = [(SIDE, SIDE, QUALITY, noise, seed, STEPS) for seed in range(EPISODES)]
    features = {
        "image": rc.Feature("uint8", (SIDE, SIDE, 3), "jpeg"),
        "state": rc.Feature("float32", (7,)),
    }
    total = 0
    with (
        rc.RldsWriter(folder, "frames", features, control_rate_hz=10) as writer,
        multiprocessing.get_context("fork").Pool() as pool,
    ):
        for frames in pool.imap(jpeg_frames.frames, jobs):
            total += sum(map(len, frames))
            states = np.random.default_rng(total).random((STEPS, 7), np.float32)
            writer.add_episode({"image": frames, "state": states})
    return writer.path, total / (EPISODES * STEPS)


def rate(dataset: rc.Dataset, threads: int, seconds: float) -> float:
    """Return frames/s, after a second of warming up."""
    loader = rc.DataLoader(
        dataset,
        batch_size=BATCH,
        rate_hz=10,
        streams={
            "image": rc.Window(range(1 - WINDOW, 1), mode="hold"),
            "state": rc.Window(range(1 - WINDOW, 1), mode="hold"),
        },
        shuffle=True,
        seed=0,
        num_threads=threads,
        drop_last=True,
        array="numpy",
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    begin = time.perf_counter()
    while time.perf_counter() - begin < 1:
        next(batches)
    frames = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        frames += next(batches)["image"].shape[0] * WINDOW
    return frames / elapsed


def main() -> None:
    """Write, measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rates: dict[int, list[float]] = {threads: [] for threads in arguments.threads}
    with tempfile.TemporaryDirectory() as folder:
        path, mean_bytes = write(Path(folder))
        dataset = rc.open(path, progress=False)
        for _ in range(arguments.rounds):
            for threads, found in rates.items():
                found.append(rate(dataset, threads, arguments.seconds))
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": machine()["processor"],
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[1],
        "versions": {
            "python": platform.python_version(),
            "robocache": rc.__version__,
            "libjpeg-turbo": rc.check_installation()["native"]["libjpeg_turbo"],
            "numpy": importlib.metadata.version("numpy"),
        },
        "frames": EPISODES * STEPS,
        "mean_bytes": round(mean_bytes),
        "frames_per_s": {
            str(threads): {
                "min": round(min(found)),
                "median": round(statistics.median(found)),
                "max": round(max(found)),
            }
            for threads, found in rates.items()
        },
    }
    print(json.dumps(result["frames_per_s"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
