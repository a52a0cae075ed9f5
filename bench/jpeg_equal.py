"""Compares decode_jpeg on a GPU with the CPU: every pixel, and every refusal.

Usage: python bench/jpeg_equal.py [--images N] [--damaged N] [--seed N] [--files FOLDER]
       [--write FILE] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

import jpeg_frames
import torch

import robocache as rc

BATCH = 2048
BATCH_OF_FILES = 64


def compare(images: list[bytes], counts: Counter[str], keep: Path | None, **options: Any) -> None:
    """Decode on both, count what came of it, and keep streams of which different things came.

    Every other batch is decoded from the device's memory.
    """
    wanted, wanted_valid = rc.decode_jpeg(images, on_error="mask", backend="cpu", **options)
    streams: Any = images
    counts["batches"] += 1
    if counts["batches"] % 2 == 0:
        data = torch.frombuffer(bytearray(b"".join(images)), dtype=torch.uint8)
        streams = data.cuda(), torch.tensor([0, *map(len, images)]).cumsum(0)
        counts["from device memory"] += len(images)
    found, found_valid = rc.decode_jpeg(streams, on_error="mask", backend="cuda", **options)
    same = found_valid.cpu() == wanted_valid
    counts["other verdict"] += int((~same).sum())
    if isinstance(wanted, list):
        equal = torch.tensor([torch.equal(a.cuda(), b) for a, b in zip(wanted, found, strict=True)])
    else:
        equal = (wanted.cuda() == found).flatten(1).all(1).cpu()
    counts["other pixels"] += int((same & ~equal).sum())
    for index in torch.nonzero(~(same & equal)).flatten().tolist() if keep else []:
        (keep / f"{counts['batches']}_{index}.jpg").write_bytes(images[index])
    counts["decoded alike"] += int((same & equal & wanted_valid).sum())
    counts["refused alike"] += int((same & equal & ~wanted_valid).sum())


def main() -> None:
    """Compare, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--damaged", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="of the damaged ones")
    parser.add_argument("--files", type=Path, help="a folder of JPEGs, frames of a camera say")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"device": torch.cuda.get_device_name()}
    wrong = 0
    if arguments.files:
        files: Counter[str] = Counter()
        found = [path.read_bytes() for path in sorted(arguments.files.rglob("*.jp*g"))]
        for first in range(0, len(found), BATCH_OF_FILES):
            for channels in (None, 1, 3):
                for jpeg_dct in ("accurate", "fast"):
                    some = found[first : first + BATCH_OF_FILES]
                    compare(some, files, arguments.keep, channels=channels, jpeg_dct=jpeg_dct)
        result["files"] = dict(files)
        print("files", dict(files), flush=True)
        wrong += files["other verdict"] + files["other pixels"]
    with multiprocessing.get_context("fork").Pool() as pool:
        whole: Counter[str] = Counter()
        jobs = [(1, 130, seed, 256) for seed in range(arguments.images // 256)]
        jobs += [(300, 1500, 10**6 + seed, 4) for seed in range(arguments.images // 2500)]
        jobs += [(1, 4097, 2 * 10**6 + seed, 1) for seed in range(arguments.images // 5000)]
        jobs += [(4096, 4097, 3 * 10**6 + seed, 1) for seed in range(arguments.images // 20000)]
        pending: list[bytes] = []
        for images in pool.imap(jpeg_frames.images, jobs):
            pending += images
            if len(pending) >= BATCH or sum(map(len, pending)) > 1 << 26:
                index = whole["batches"]
                options = {"jpeg_dct": ("accurate", "fast")[index // 2 % 2]}
                compare(
                    pending,
                    whole,
                    arguments.keep,
                    channels=(None, 1, 3)[index // 4 % 3],
                    **options,
                )
                pending = []
        if pending:
            compare(pending, whole, arguments.keep)
        result["images"] = dict(whole)
        print("images", dict(whole), flush=True)
        changed: Counter[str] = Counter()
        sides = [(16, 16), (40, 56), (64, 64), (33, 97)]
        each = BATCH // 4
        numbers = range(arguments.seed, arguments.seed + arguments.damaged // each)
        chunks = ((*sides[s // 4 % 4], s, each) for s in numbers)
        pending = []
        for index, streams in enumerate(pool.imap(jpeg_frames.damaged, chunks)):
            pending += streams
            if index % 4 == 3:
                compare(
                    pending, changed, arguments.keep, size=sides[numbers[index] // 4 % 4],
                    jpeg_dct=("accurate", "fast")[index // 4 % 2], channels=3,
                )  # fmt: skip
                pending = []
        result["damaged"] = dict(changed)
        print("damaged", dict(changed), flush=True)
    if arguments.write:
        arguments.write.write_text(json.dumps(result, indent=2) + "\n")
    wrong += whole["other verdict"] + whole["other pixels"]
    wrong += changed["other verdict"] + changed["other pixels"]
    raise SystemExit(wrong != 0)


if __name__ == "__main__":
    main()
