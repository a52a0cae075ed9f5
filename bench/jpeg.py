"""Frames/s of decode_jpeg on a GPU, beside nvJPEG, torchvision and the CPU's cores.

Every case goes over distinct frames, more than the GPU's cache holds, and is timed from the first
call to the last pixel, three times. Our pixels are compared with the CPU's first.

Usage: python bench/jpeg.py [--seconds S] [--only REGEX] [--write FILE]
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import itertools
import json
import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpeg_frames
import numpy as np
import torch

import robocache as rc

# Height, width, quality, bytes of a frame, frames.
SETS = {
    "64x64": (64, 64, 85, 2_600, 20_480),
    "256x256, 4 kB": (256, 256, 15, 4_200, 20_480),
    "256x256, 10 kB": (256, 256, 75, 10_000, 20_480),
    "256x256, 19 kB": (256, 256, 85, 19_000, 20_480),
    "480x640": (480, 640, 85, 70_000, 20_480),
    "720x1280": (720, 1280, 85, 200_000, 20_480),
}
BATCHES = (1, 16, 64, 256, 1024)
WARMUP = 8  # calls, while there is time: more than may be under way at once
NVJPEG = {"DEFAULT": 0, "GPU_HYBRID": 2, "HARDWARE": 3}
RGB_INTERLEAVED = 5


class NvjpegImage(ctypes.Structure):
    """nvjpegImage_t."""

    _fields_ = (("channel", ctypes.c_void_p * 4), ("pitch", ctypes.c_size_t * 4))


class Nvjpeg:
    """nvJPEG's batched API, of the toolkit on the machine."""

    def __init__(self, backend: int, batch: int, threads: int) -> None:
        """Prepare for batches of that size."""
        self.library = ctypes.CDLL("libnvjpeg.so.13")
        self.handle, self.state = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("nvjpegCreateEx", backend, None, None, 0, ctypes.byref(self.handle))
        self._call("nvjpegJpegStateCreate", self.handle, ctypes.byref(self.state))
        self._call(
            "nvjpegDecodeBatchedInitialize", self.handle, self.state, batch, threads,
            RGB_INTERLEAVED,
        )  # fmt: skip
        self.batch = batch

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name}: status {status}")

    def decode(self, images: list[bytes], out: torch.Tensor) -> None:
        """Decode to [B, H, W, 3]."""
        data = (ctypes.c_char_p * self.batch)(*images)
        sizes = (ctypes.c_size_t * self.batch)(*map(len, images))
        targets = (NvjpegImage * self.batch)()
        for i, target in enumerate(targets):
            target.channel[0] = out.data_ptr() + i * out[0].numel()
            target.pitch[0] = out.shape[2] * 3
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        self._call("nvjpegDecodeBatched", self.handle, self.state, data, sizes, targets, stream)

    def close(self) -> None:
        """Release everything."""
        self._call("nvjpegJpegStateDestroy", self.state)
        self._call("nvjpegDestroy", self.handle)


def pin(frames: list[bytes]) -> torch.Tensor:
    """Return the streams one behind the other in pinned memory."""
    data = torch.empty(sum(map(len, frames)), dtype=torch.uint8, pin_memory=True)
    at, array = 0, data.numpy()
    for frame in frames:
        array[at : at + len(frame)] = np.frombuffer(frame, np.uint8)
        at += len(frame)
    return data


def divide(data: torch.Tensor, batches: list[list[bytes]]) -> list[tuple[torch.Tensor, Any]]:
    """Return the part of `data` that is each batch, and the offsets within it."""
    sizes = np.array([[len(image) for image in batch] for batch in batches])
    ends = sizes.sum(1).cumsum()
    offsets = np.pad(sizes.cumsum(1), ((0, 0), (1, 0)))
    return [
        (data[end - own[-1] : end], torch.from_numpy(own))
        for end, own in zip(ends, offsets, strict=True)
    ]


def rate(
    run: Callable[[int], None], batches: int, batch: int, seconds: float, least: int = 0
) -> dict[str, float]:
    """Return frames/s: the median of three goes over the batches, and their spread.

    At least `least` calls come before: ours take pinned memory for all that are under way.
    """
    begin = time.perf_counter()
    for i in range(WARMUP):
        run(i % batches)
        if i + 1 >= least and time.perf_counter() - begin > seconds:
            break
    torch.cuda.synchronize()
    rates = []
    for _ in range(3):
        done = 0
        begin = time.perf_counter()
        while done == 0 or time.perf_counter() - begin < seconds:
            run(done % batches)
            done += 1
        torch.cuda.synchronize()
        rates.append(done * batch / (time.perf_counter() - begin))
    spread = (max(rates) - min(rates)) / statistics.median(rates)
    return {"frames_per_s": round(statistics.median(rates)), "spread": round(spread, 3)}


def measure(
    frames: list[bytes],
    data: tuple[torch.Tensor, torch.Tensor],
    shape: tuple[int, int],
    batch: int,
    seconds: float,
) -> dict[str, Any]:
    """Return the rates of everyone; `data` are the frames in pinned and in device memory."""
    batches = [frames[i : i + batch] for i in range(0, len(frames) - batch + 1, batch)]
    out = torch.empty((batch, *shape, 3), dtype=torch.uint8, device="cuda")
    host = torch.empty_like(out, device="cpu")
    rc.decode_jpeg(batches[0], out=out)
    rc.decode_jpeg(batches[0], out=host)
    if not torch.equal(out.cpu(), host):
        raise SystemExit("pixels differ from those of the CPU")
    pinned, on_device = (divide(tensor, batches) for tensor in data)
    result: dict[str, Any] = {}

    def add(name: str, run: Callable[[int], None]) -> None:
        try:
            least = WARMUP if name.startswith("robocache") and name != "robocache, CPU" else 0
            result[name] = rate(run, len(batches), batch, seconds, least)
        except (RuntimeError, OSError) as error:
            result[name] = {"error": str(error)}

    add("robocache, pinned", lambda i: rc.decode_jpeg(pinned[i], out=out, on_error="mask"))
    add("robocache, device", lambda i: rc.decode_jpeg(on_device[i], out=out, on_error="mask"))
    streams = [torch.cuda.Stream() for _ in range(2)]
    outs = [torch.empty_like(out) for _ in streams]

    def in_turn(i: int) -> None:
        with torch.cuda.stream(streams[i % 2]):
            rc.decode_jpeg(on_device[i], out=outs[i % 2], on_error="mask")

    add("robocache, device, two streams", in_turn)
    add("robocache, bytes", lambda i: rc.decode_jpeg(batches[i], out=out, on_error="mask"))
    add("robocache, CPU", lambda i: rc.decode_jpeg(batches[i], out=host))
    outs.clear()
    torch.cuda.empty_cache()  # others take their memory past torch
    for name, number in NVJPEG.items():
        try:
            decoder = Nvjpeg(number, batch, os.cpu_count() or 1)
        except (RuntimeError, OSError) as error:
            result[f"nvJPEG {name}"] = {"error": str(error)}
            continue
        add(f"nvJPEG {name}", lambda i, d=decoder: d.decode(batches[i], out))
        decoder.close()
    try:
        from torchvision.io import decode_jpeg
    except ImportError:
        return result
    tensors = [
        [torch.frombuffer(bytearray(b), dtype=torch.uint8) for b in bs] for bs in batches[:8]
    ]
    add("torchvision, CUDA", lambda i: decode_jpeg(tensors[i % len(tensors)], device="cuda"))
    return result


def main() -> None:
    """Measure all sets and batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--only", default="", help="sets whose name has it")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    pool = multiprocessing.get_context("fork").Pool()
    shares = os.cpu_count() or 1
    waiting = {}
    for name, (height, width, quality, size, count) in SETS.items():
        if not re.search(arguments.only, name):
            continue
        noise = jpeg_frames.noise_for(height, width, quality, size)
        jobs = [(height, width, quality, noise, seed, count // shares) for seed in range(shares)]
        waiting[name] = pool.map_async(jpeg_frames.frames, jobs)
    sets = {name: list(itertools.chain(*job.get())) for name, job in waiting.items()}
    pool.close()
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "sets": {},
    }
    for name, frames in sets.items():
        height, width = SETS[name][:2]
        entry: dict[str, Any] = {
            "frames": len(frames),
            "mean_bytes": round(sum(map(len, frames)) / len(frames)),
            "batches": {},
        }
        result["sets"][name] = entry
        pinned = pin(frames)
        on_device = pinned.cuda()
        for batch in arguments.batches:
            rates = measure(frames, (pinned, on_device), (height, width), batch, arguments.seconds)
            entry["batches"][str(batch)] = rates
            shown = ", ".join(f"{who} {r.get('frames_per_s', 'error')}" for who, r in rates.items())
            print(f"{name} x {batch}: {shown}", flush=True)
            if arguments.write:
                arguments.write.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
