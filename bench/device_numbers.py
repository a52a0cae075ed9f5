"""Numbers in batches on a GPU: aligned on the host and copied, or aligned on the device.

usage: python bench/device_numbers.py [--seconds S] [--threads N [N ...]] [--json FILE]

The windows of numeric_windows.py of which something is made, alone and beside an image that the
device decodes: samples a second, and time of cores a sample. What the device makes is compared with
the host's before anything is timed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numeric_windows
import numpy as np
import torch
from PIL import Image

import robocache as rc

COPIED = ("one state", "one tactile array")  # as they are stored
BESIDE = (
    "2 states and 16 actions of 14, linear, normalised",
    "50 means over a force of 6 at 1 kHz",
)
PICTURE = {"image": rc.Window(0, image=rc.Image(size=(224, 224), dtype="bfloat16"), squeeze=True)}


def pictures(count: int = 32) -> list[bytes]:
    """Return JPEGs that look like something."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        noise.resize((256, 256), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def make(dataset: rc.Dataset, streams: Any, threads: int, **options: Any) -> rc.DataLoader:
    common = {"rate_hz": numeric_windows.RATE_HZ, "shuffle": True, "array": "torch"}
    return rc.DataLoader(
        dataset,
        numeric_windows.BATCH,
        streams=streams,
        num_threads=threads,
        **{**common, **options},
    )


def check(dataset: rc.Dataset, streams: Any) -> None:
    wanted = make(dataset, streams, 2)
    found = make(dataset, streams, 2, device="cuda", align="cuda")
    for batch, other in zip(wanted, found, strict=True):
        for name, tensor in batch.tensors.items():
            assert torch.equal(tensor, other[name].cpu()), name


def measure(loader: rc.DataLoader, seconds: float) -> dict[str, float]:
    """Return samples a second, and microseconds of cores a sample, after an epoch."""
    count, begin, busy = 0, 0.0, 0.0
    while True:
        for batch in loader:
            count += len(batch["step_index"]) if begin else 0
            if begin and time.perf_counter() - begin > seconds:
                torch.cuda.synchronize()
                passed = time.perf_counter() - begin
                cores = time.process_time() - busy
                return {"samples_a_second": count / passed, "core_us": cores / count * 1e6}
        begin, busy = begin or time.perf_counter(), busy or time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cases: list[tuple[str, Any, bool]] = []
    for name, streams in numeric_windows.windows().items():
        cases += [(name, streams, False)] if name not in COPIED else []
        cases += [(name, {**streams, **PICTURE}, True)] if name in BESIDE else []
    found: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        dataset = numeric_windows.write(Path(folder), pictures())
        for name, streams, has_image in cases:
            check(dataset, streams)
            for threads in arguments.threads:
                for align in ("cpu", "cuda"):
                    placed = {"device": "cuda", "jpeg": "cuda", "align": align}
                    with make(dataset, streams, threads, **placed) as loader:
                        took = measure(loader, arguments.seconds)
                    row = {"case": name, "image": has_image, "threads": threads, "align": align}
                    found["rows"].append({**row, **took})
                    beside = ", beside an image" if has_image else ""
                    print(
                        f"{name + beside:72} {threads:2} threads, {align:4}: "
                        f"{took['samples_a_second']:11,.0f} samples/s {took['core_us']:6.2f} us",
                        flush=True,
                    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
