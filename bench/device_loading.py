"""Batches of images on a GPU: frames a second by threads, and what the device does of it.

usage: python bench/device_loading.py [--frames N] [--seconds S] [--json FILE]

Distinct JPEGs of 256x256, cropped at random, resized to 224x224, normalised, bfloat16 with channels
first, by a loader whose batches `Batch.to("cuda")` copies ("copied") and by some with device="cuda"
and each `jpeg=`. What is delivered is compared with the host's before anything is timed. The
device's own time a frame, by events, is of streams and pixels that lie there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jpeg_frames
import numpy as np
import torch
from host import resident_bytes

import robocache as rc

SIDE, BATCH, STEPS = 256, 256, 100
CHAIN = rc.Image(
    size=(224, 224),
    crop=("random", (0.8, 1.0)),
    flip=0.5,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    dtype="bfloat16",
    channels="first",
)


def encode(number: int) -> list[bytes]:
    """Return the JPEGs of an episode: scenes of smooth shapes and some noise, about 20 kB each."""
    rng = np.random.default_rng(number)
    return [jpeg_frames.scene(rng, SIDE, 24, noise=14, quality=90) for _ in range(STEPS)]


def write(folder: Path, frames: int) -> Path:
    features = {
        "image": rc.Feature("uint8", (SIDE, SIDE, 3), encoding="jpeg"),
        "action": rc.Feature("float32", (7,)),
    }
    rng = np.random.default_rng(0)
    with rc.RldsWriter(folder, "frames", features) as writer, ProcessPoolExecutor() as pool:
        for images in pool.map(encode, range(-(-frames // STEPS))):
            steps = {"image": images, "action": rng.random((STEPS, 7), dtype=np.float32)}
            writer.add_episode(steps, split="train")
    return folder / "frames" / "1.0.0"


def make(dataset: rc.Dataset, **options: Any) -> rc.DataLoader:
    streams = {
        "image": rc.Window(0, image=CHAIN, squeeze=True),
        "action": rc.Window(range(8)),
    }
    return rc.DataLoader(dataset, BATCH, streams=streams, shuffle=True, seed=1, **options)


def check(dataset: rc.Dataset) -> None:
    for jpeg in ("cpu", "cuda", "auto"):
        on_host, on_device = iter(make(dataset)), iter(make(dataset, device="cuda", jpeg=jpeg))
        for _ in range(4):
            wanted, found = next(on_host), next(on_device)
            for name, value in wanted.tensors.items():
                assert torch.equal(found[name].cpu(), value), name


def waited(stats: dict[str, Any]) -> str:
    """Return what the consumer waited for most."""
    waits = {name: ns for name, ns in stats.items() if re.fullmatch(r"wait_\w+_ns", name)}
    most = max(waits, key=lambda name: waits[name])
    total = stats["wait_ns"] + stats["outside_ns"] + stats["stage_deliver_ns"]
    return f"{most[5:-3]} waited for {waits[most] / max(total, 1):.0%} of the time"


def measure(dataset: rc.Dataset, how: str, threads: int, seconds: float) -> dict[str, Any]:
    options = {} if how == "copied" else {"device": "cuda", "jpeg": how}
    before = resident_bytes()
    begin = time.perf_counter()
    loader = make(dataset, num_threads=threads, **options)
    total = torch.zeros((), device="cuda")
    first_ms, rates, count, batches = 0.0, [], 0, 0
    window = begin
    while time.perf_counter() - begin < seconds:
        for given in loader:
            batch = given if options else given.to("cuda", non_blocking=True)
            total += batch["image"][:, :, 0, 0].float().sum()  # a little work that needs it
            if batches == 0:
                torch.cuda.synchronize()
                first_ms = (time.perf_counter() - begin) * 1e3
            batches += 1
            count += len(batch["image"])
            now = time.perf_counter()
            if now - window > 1.0:
                torch.cuda.synchronize()
                now = time.perf_counter()
                rates.append(count / (now - window))
                window, count = now, 0
            if now - begin > seconds:
                break
    stats = loader.stats()
    frames = max(stats["images_decoded"], 1)
    rates = rates[1:] or rates
    row = {
        "how": how,
        "threads": threads,
        "frames_per_second": statistics.median(rates),
        "spread": [min(rates), max(rates)],
        "first_batch_ms": first_ms,
        "host_bytes": resident_bytes() - before,
        "stats": {k: v for k, v in stats.items() if isinstance(v, (int, float, str))},
    }
    stages = " ".join(
        f"{name} {stats[f'stage_{name}_ns'] / frames / 1e3:.1f}"
        for name in ("order", "read", "unpack", "decode", "align")
    )
    print(
        f"{how:7s} {threads:2d} threads {row['frames_per_second']:9.0f} frames/s "
        f"({min(rates):.0f} to {max(rates):.0f}), first batch {first_ms:.0f} ms, "
        f"{stats['images_on_device'] / frames:.0%} on the device; "
        f"MB: host {row['host_bytes'] / 1e6:.0f}, pinned {stats['pinned_bytes'] / 1e6:.0f}, "
        f"device {stats['device_bytes'] / 1e6:.0f}; thread us a frame: {stages}; "
        f"{waited(stats)}",
        flush=True,
    )
    return row


def event_us(call: Any, repeats: int = 30) -> float:
    """Return the median time of a call on the device, in microseconds."""
    times = []
    for _ in range(repeats + 3):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        torch.cuda._sleep(20_000_000)  # the host is ahead then
        events[0].record()
        call()
        events[1].record()
        torch.cuda.synchronize()
        times.append(events[0].elapsed_time(events[1]) * 1e3)
    return statistics.median(times[3:])


def device_times() -> dict[str, float]:
    """Return the device's time a frame of decoding and of the image work."""
    streams = [image for number in range(3) for image in encode(number)][:BATCH]
    pixels = torch.empty(BATCH, SIDE, SIDE, 3, dtype=torch.uint8, device="cuda")

    def decode() -> None:
        """Queue it all: nothing is waited for where streams are on the host, and damage masked."""
        rc.decode_jpeg(streams, size=(SIDE, SIDE), out=pixels, on_error="mask")

    decode()
    keys = list(range(BATCH))
    assert torch.equal(CHAIN(pixels, key=keys).cpu(), CHAIN(pixels.cpu(), key=keys))
    jitter = rc.Image(size=(224, 224), crop=("random", 0.9), brightness=0.2, contrast=0.2,
                      saturation=0.2, hue=0.05, dtype="bfloat16", channels="first")  # fmt: skip
    assert torch.equal(jitter(pixels, key=keys).cpu(), jitter(pixels.cpu(), key=keys))
    here = torch.zeros(BATCH, 3, 224, 224, dtype=torch.bfloat16).pin_memory()
    there = torch.empty_like(here, device="cuda")
    found = {
        "decode": event_us(decode) / BATCH,
        "image": event_us(lambda: CHAIN(pixels, key=keys)) / BATCH,
        "image with jitter": event_us(lambda: jitter(pixels, key=keys)) / BATCH,
        "copy": event_us(lambda: there.copy_(here, non_blocking=True)) / BATCH,
    }
    print("device, us a frame:", "  ".join(f"{name} {us:.3f}" for name, us in found.items()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=12.0, help="for each row")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--how", nargs="*", default=["copied", "cpu", "cuda", "auto"])
    parser.add_argument("--json", type=Path, help="write the result to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        dataset = rc.open(write(Path(folder), arguments.frames), control_rate_hz=10.0)
        print(f"{arguments.frames} frames written in {time.perf_counter() - begin:.0f} s")
        check(dataset)
        result = {
            "gpu": torch.cuda.get_device_name(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "frames": arguments.frames,
            "device_us": device_times(),
            "rows": [
                measure(dataset, how, threads, arguments.seconds)
                for threads in arguments.threads
                for how in arguments.how
            ],
        }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
