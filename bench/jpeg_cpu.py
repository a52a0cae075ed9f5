"""Frames/s of decode_jpeg on the CPU against libjpeg-turbo alone, over all cores, in pairs.

Usage: python bench/jpeg_cpu.py --jpeg-rate PROGRAM [--pairs N] [--seconds S] [--write FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import jpeg_frames
import numpy as np

import robocache as rc

# Height, width, quality, bytes of a frame, frames.
SETS = {
    "64x64": (64, 64, 85, 2_600, 4_096),
    "256x256, 19 kB": (256, 256, 85, 19_000, 2_048),
    "480x640": (480, 640, 85, 70_000, 512),
    "720x1280": (720, 1280, 85, 200_000, 256),
}
BATCH = 256


def rate(frames: list[bytes], out: np.ndarray, seconds: float) -> dict[str, float]:
    """Return frames/s of batches, and frames/s of processor time."""
    batches = [frames[i : i + BATCH] for i in range(0, len(frames), BATCH)]
    rc.decode_jpeg(batches[0], out=out)
    done = 0
    begin, begin_cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds:
        rc.decode_jpeg(batches[done % len(batches)], out=out)
        done += 1
    return {
        "images_per_s": done * BATCH / (time.perf_counter() - begin),
        "images_per_cpu_s": done * BATCH / (time.process_time() - begin_cpu),
    }


def main() -> None:
    """Measure all sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--jpeg-rate", required=True, help="the program of bench/loader/jpeg_rate.c"
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    threads = os.cpu_count() or 1
    result: dict[str, Any] = {"cores": threads, "batch": BATCH, "pairs": arguments.pairs}
    pool = multiprocessing.get_context("fork").Pool()
    for name, (height, width, quality, size, count) in SETS.items():
        noise = jpeg_frames.noise_for(height, width, quality, size)
        jobs = [(height, width, quality, noise, seed, count // 16) for seed in range(16)]
        frames = list(itertools.chain(*pool.map(jpeg_frames.frames, jobs)))
        out = np.empty((BATCH, height, width, 3), np.uint8)
        pairs = []
        with tempfile.NamedTemporaryFile() as file:
            for frame in frames:
                file.write(struct.pack("<I", len(frame)) + frame)
            file.flush()
            for _ in range(arguments.pairs):
                ours = rate(frames, out, arguments.seconds)
                options = (str(threads), str(arguments.seconds), "accurate")
                theirs = json.loads(
                    subprocess.check_output((arguments.jpeg_rate, file.name, *options))
                )
                pairs.append({k: (ours[k], theirs[k]) for k in ours})
        row = {}
        for key in pairs[0]:
            ratios = [pair[key][0] / pair[key][1] for pair in pairs]
            row[key] = {
                "ours": round(statistics.median(pair[key][0] for pair in pairs)),
                "libjpeg-turbo": round(statistics.median(pair[key][1] for pair in pairs)),
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
            }
        result[name] = row
        print(name, json.dumps(row), flush=True)
    if arguments.write:
        arguments.write.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
