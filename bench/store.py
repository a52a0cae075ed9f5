"""The loader behind a store whose reads take 30 ms, against the files alone, in pairs.

    python bench/store.py --store-rate build/release/bench/store_rate

Makes an RLDS dataset of 256x256 JPEGs of 19 kB first, in a folder that it removes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jpeg_frames
import loading
import numpy as np
import synthetic
from host import spread

SIDE, QUALITY, FRAME_BYTES = 256, 85, 19_000


def write_dataset(folder: Path, episodes: int, shards: int, steps: int) -> None:
    """As bench/synthetic.py does, with frames of so many bytes."""
    noise = jpeg_frames.noise_for(SIDE, SIDE, QUALITY, FRAME_BYTES)

    def picture(rng: np.random.Generator, side: int) -> bytes:
        pixels = jpeg_frames.picture(rng, side, side, noise)
        return jpeg_frames.encode(pixels, QUALITY, "420")

    synthetic.picture = picture
    synthetic.make(folder, episodes, shards, steps, SIDE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store-rate", required=True, help="program of bench/loader/store_rate.c")
    parser.add_argument("--read-ms", type=float, default=30.0)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "synthetic" / "1.0.0"
        write_dataset(folder, episodes=6400, shards=100, steps=40)
        flags = (arguments.read_ms, arguments.pairs, arguments.seconds, arguments.threads)
        catalog = Path(scratch) / "catalog.sqlite"
        command = [arguments.store_rate, str(folder), str(catalog), *map(str, flags)]
        output = subprocess.check_output(command, text=True)
    pairs: list[dict[str, dict[str, float]]] = json.loads(output)["pairs"]
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": loading.machine(arguments.threads),
        "read_ms": arguments.read_ms,
        "batch": 64,
        "frame": f"{SIDE}x{SIDE}, {FRAME_BYTES} bytes",
        "store_over_files": {
            key: spread([pair["store"][key] / pair["files"][key] for pair in pairs])
            for key in ("images_per_s", "images_per_cpu_s")
        },
        "median": {
            side: {key: statistics.median(pair[side][key] for pair in pairs) for key in values}
            for side, values in pairs[0].items()
        },
        "pairs": pairs,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "pairs"}, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
