"""Frames that the loader decodes, with either DCT, against libjpeg-turbo alone on the same JPEGs.

Runs the programs in turn and reports the ratio pair by pair: of frames a second, and of frames a
second of processor time, which other work on the machine changes little. ``--json FILE`` keeps the
result with the machine and versions.
"""

from __future__ import annotations

import argparse
import datetime
import io
import os
import platform
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from host import spread, write_json
from loading import HERE, machine, run
from PIL import Image, features

import robocache as rc

IMAGES_PER_SAMPLE = 2


def write_jpegs(path: str, file: Path) -> int:
    """Every image of observation/image_0, length-prefixed, for jpeg_rate."""
    count = 0
    with file.open("wb") as out:
        for episode in rc.open(path, progress=False).episodes:
            stream = episode["observation/image_0"]
            for step in range(episode.num_steps):
                data = stream.raw(step)
                out.write(struct.pack("<I", len(data)) + data)
                count += 1
    return count


def check(path: str) -> int:
    """The accurate DCT's pixels must be Pillow's; bench/loading.py checks the fast one's."""
    count = 0
    for episode in rc.open(path, progress=False).episodes:
        stream = episode["observation/image_0"]
        for step, pixels in enumerate(stream.values):
            np.testing.assert_array_equal(pixels, Image.open(io.BytesIO(stream.raw(step))))
            count += 1
    return count


def decoding(arguments: argparse.Namespace, jpegs: Path) -> list[dict[str, Any]]:
    """A row for each DCT; the four programs run in turn."""
    threads, seconds = str(arguments.threads), str(arguments.seconds)
    found: dict[str, list[dict[str, float]]] = {"accurate": [], "fast": []}
    for _ in range(arguments.pairs):
        for dct, pairs in found.items():
            tool = [sys.executable, str(HERE / "robocache_loader.py"), arguments.path, "--images"]
            ours = run(*tool, "--jpeg-dct", dct, "--seconds", seconds, "--threads", threads)
            theirs = run(arguments.jpeg_rate, str(jpegs), threads, seconds, dct)
            pairs.append(
                {
                    "ours": IMAGES_PER_SAMPLE * ours["samples_per_s"],
                    "theirs": theirs["images_per_s"],
                    "ours_cpu": IMAGES_PER_SAMPLE * ours["samples_per_cpu_s"],
                    "theirs_cpu": theirs["images_per_cpu_s"],
                }
            )
    return [
        {
            "row": f"frames decoded, {dct} DCT",
            "peer": f"libjpeg-turbo alone on {threads} threads",
            "robocache_frames_per_s": spread([pair["ours"] for pair in pairs]),
            "peer_frames_per_s": spread([pair["theirs"] for pair in pairs]),
            "ratio": spread([pair["ours"] / pair["theirs"] for pair in pairs]),
            "robocache_frames_per_cpu_s": spread([pair["ours_cpu"] for pair in pairs]),
            "peer_frames_per_cpu_s": spread([pair["theirs_cpu"] for pair in pairs]),
            "cpu_ratio": spread([pair["ours_cpu"] / pair["theirs_cpu"] for pair in pairs]),
        }
        for dct, pairs in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="version folder of an RLDS dataset with BridgeData's streams")
    parser.add_argument("--jpeg-rate", required=True, help="the jpeg_rate program")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"checked: {check(arguments.path)} images equal to Pillow's", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        jpegs = Path(folder) / "jpegs"
        images = write_jpegs(arguments.path, jpegs)
        rows = decoding(arguments, jpegs)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(arguments.threads),
        "versions": {
            "python": platform.python_version(),
            "robocache": rc.__version__,
            "libjpeg-turbo": rc.check_installation()["native"]["libjpeg_turbo"],
            "libjpeg-turbo of Pillow": features.version("libjpeg_turbo"),
        },
        "images": images,
        "pairs": arguments.pairs,
        "rows": rows,
    }
    if arguments.json:
        write_json(arguments.json, result)
    print(f"{'row':30} {'ratio':>22} {'of processor time':>22}")
    for row in rows:
        texts = (
            f"{r['median']:.2f} ({r['min']:.2f} to {r['max']:.2f})"
            for r in (row["ratio"], row["cpu_ratio"])
        )
        print(f"{row['row']:30}", *(f"{text:>22}" for text in texts))


if __name__ == "__main__":
    main()
