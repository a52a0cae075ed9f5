"""RoboCache doing the work of tfdata.py: the same windows of the same files, shuffled globally.

JPEGs are decoded with tf.data's fast DCT unless told otherwise.

Prints one JSON line with samples per second; ``--check FILE`` writes one pass in order instead.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import time
from pathlib import Path

import numpy as np

import robocache as rc

FIELDS = {
    "state": "state",
    "actions": "actions",
    "actions_is_pad": "actions_is_pad",
    "image": "image",
}


def loader(
    path: Path, images: bool, batch: int, threads: int, shuffle: bool, jpeg_dct: str
) -> rc.DataLoader:
    """The loader over both splits; batches are NumPy arrays."""
    streams = {
        "observation/state": rc.Window(range(-1, 1), mode="hold", name="state"),
        "action": rc.Window(range(16), mode="hold", name="actions"),
    }
    if images:
        streams["observation/image_0"] = rc.Window(range(-1, 1), mode="hold", name="image")
    return rc.DataLoader(
        rc.open(path, progress=False),
        batch_size=batch,
        rate_hz=5,
        streams=streams,
        shuffle=shuffle,
        seed=0,
        num_threads=threads,
        drop_last=shuffle,
        array="numpy",
        jpeg_dct=jpeg_dct,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="version folder of an RLDS dataset")
    parser.add_argument("--images", action="store_true")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--jpeg-dct", choices=["accurate", "fast"], default="fast")
    parser.add_argument("--check", type=Path, help="write one ordered pass as .npz and stop")
    arguments = parser.parse_args()
    make = functools.partial(
        loader,
        arguments.path,
        arguments.images,
        arguments.batch,
        jpeg_dct=arguments.jpeg_dct,
    )
    if arguments.check is not None:
        ordered = make(threads=1, shuffle=False)
        batches = [{k: np.array(b[k]) for k in FIELDS if k in b} for b in ordered]
        np.savez(
            arguments.check, **{k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
        )
        return
    endless = make(threads=arguments.threads, shuffle=True)
    batches = itertools.chain.from_iterable(itertools.repeat(endless))
    warm = time.perf_counter()
    while time.perf_counter() - warm < 1.0:
        next(batches)
    samples = 0
    start, start_cpu = time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - start) < arguments.seconds:
        for _ in range(16):
            samples += next(batches)["state"].shape[0]
    cpu = time.process_time() - start_cpu
    rates = {"samples_per_s": samples / elapsed, "samples_per_cpu_s": samples / cpu}
    print(json.dumps({"program": "robocache", **rates}))


if __name__ == "__main__":
    main()
