"""Compares every frame of videos with PyAV's decode, in order and in 10,000 random accesses.

The pictures that PyAV decodes become RGB by the arithmetic of src/codec/yuv.h in NumPy, so that
equal pictures have equal luma and chroma.

    python bench/video_equal.py FILE.mp4... --json bench/results/video_equal.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from host import machine

import robocache as rc

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.python.video_files import decoded, open_videos, rgb

ACCESSES = 10_000


def digest(picture: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(picture), digest_size=16).digest()


def main() -> int:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    wanted: list[list[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, file in enumerate(arguments.files):
            names.append(f"{number:03}.mp4")
            shutil.copy(file, Path(folder, names[-1]))
            wanted.append([digest(rgb(frame)) for frame in decoded(file)])
        dataset = open_videos(Path(folder), *names)
        in_order = 0
        for episode, digests in zip(dataset.episodes, wanted, strict=True):
            assert episode.num_steps == len(digests)
            for first in range(0, len(digests), 32):
                for at, picture in enumerate(
                    episode["camera"].read(first, min(32, len(digests) - first))
                ):
                    assert digest(picture) == digests[first + at], (episode.file, first + at)
                    in_order += 1
        loader = rc.DataLoader(
            dataset,
            batch_size=10,
            shuffle=True,
            memory_bytes=1 << 28,
            streams={"camera": rc.Window(0), "number": rc.Window(0)},
            array="numpy",
        )
        at_random, start = 0, time.monotonic()
        while at_random < ACCESSES:
            for batch in loader:
                for episode, number, pictures in zip(
                    batch["episode_id"], batch["number"], batch["camera"], strict=True
                ):
                    assert digest(pictures[0]) == wanted[int(episode)][int(number[0])]
                    at_random += 1
                if at_random >= ACCESSES:
                    break
        seconds = time.monotonic() - start
    result = {
        "machine": machine(),
        "decoders": rc.check_installation()["video"],
        "pyav": {"version": av.__version__, **{k: list(v) for k, v in av.library_versions.items()}},
        "files": [file.name for file in arguments.files],
        "frames_equal_in_order": in_order,
        "frames_equal_at_random": at_random,
        "stats": {k: v for k, v in loader.stats().items() if isinstance(v, (int, float))},
    }
    print(in_order, "frames in order and", at_random, f"at random are equal, {seconds:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
