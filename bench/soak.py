"""Loaders on a device under random delays, exceptions, restarts and seeks, for as long as asked.

usage: python bench/soak.py [--seconds S] [--json FILE] [--pretend HOST_DEVICE PRETEND_CUDA]

Loaders of random threads, slots, `jpeg=` and windows are used, left and made anew; every batch is
compared with the one that a loader on the host delivers for that place of the epoch. What the
process holds, on the host and on the device, is looked at when all loaders are closed, and must not
grow.

With --pretend there is no GPU: the libraries are those of the build that stand in for one, and
PYTHONPATH is BUILD/tests/cuda/package, as in the test `cuda_python`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jpeg_frames
import numpy as np
import torch
from host import resident_bytes

import robocache as rc

SIDE, STEPS, EPISODES = 64, 40, 12
BATCH = 8
GROWTH_BYTES = 48 << 20


class Gpu:
    """Copies and memory of a GPU."""

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.cpu()

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def held(self) -> int:
        """Return bytes of the device that this process uses, or all do where NVML does not tell."""
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == os.getpid() and process.usedGpuMemory:
                return int(process.usedGpuMemory)
        free, total = torch.cuda.mem_get_info()
        return total - free


class StandIn:
    """The same of the stand-in."""

    def __init__(self, libraries: list[str]) -> None:
        import ctypes

        from tests.cuda.loader import pretend

        driver, self._stream = pretend(*libraries)
        self._counts = (ctypes.c_longlong * 2).in_dll(driver, "rbc_host_device_bytes")
        ctypes.c_int.in_dll(driver, "rbc_host_device").value = 50

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        copy: torch.Tensor = self._stream.copy(tensor)
        return copy

    def synchronize(self) -> None:
        self._stream.synchronize()

    def held(self) -> int:
        return sum(self._counts)


def write(folder: Path) -> Path:
    features = {
        "image": rc.Feature("uint8", (SIDE, SIDE, 3), encoding="jpeg"),
        "action": rc.Feature("float32", (7,)),
    }
    rng = np.random.default_rng(0)
    with rc.RldsWriter(folder, "soak", features) as writer:
        for number in range(EPISODES):
            images = [
                jpeg_frames.scene(rng, SIDE, 12, progressive=(number * STEPS + step) % 9 == 0)
                for step in range(STEPS)
            ]
            actions = rng.random((STEPS, 7), dtype=np.float32)
            writer.add_episode({"image": images, "action": actions}, split="train")
    return folder / "soak" / "1.0.0"


def make(dataset: rc.Dataset, seed: int, **options: Any) -> rc.DataLoader:
    image = rc.Image(size=(48, 48), crop=("random", 0.8), contrast=0.3, dtype="bfloat16")
    streams = {
        "image": [rc.Window(range(-1, 1), image=image, name="made"), rc.Window(0, name="stored")],
        "action": rc.Window(range(8)),
    }
    return rc.DataLoader(dataset, BATCH, streams=streams, shuffle=True, seed=seed, **options)


class LeftError(Exception):
    """What a training loop may end with."""


class Soak:
    """Counts, and the two loaders of a round."""

    def __init__(self, dataset: rc.Dataset, device: Any, rng: np.random.Generator) -> None:
        self.dataset, self.device, self.rng = dataset, device, rng
        self.batches = self.exceptions = self.restarts = 0

    def options(self) -> dict[str, Any]:
        rng = self.rng
        return {
            "num_threads": int(rng.integers(1, 7)),
            "num_slots": int(rng.integers(0, 4)),
            "jpeg": str(rng.choice(["cuda", "auto", "cpu"])),
            "slots": [None, None, "fixed"][rng.integers(3)],
            "device": "cuda",
        }

    def compare(self, wanted: rc.Batch, found: rc.Batch) -> None:
        copies = {name: self.device.copy(value) for name, value in found.tensors.items()}
        self.device.synchronize()
        for name, value in wanted.tensors.items():
            assert torch.equal(value, copies[name]), f"{name}, batch {self.batches}"
        self.batches += 1

    def epoch(self, wanted: Iterator[rc.Batch], loader: rc.DataLoader) -> None:
        held: list[rc.Batch] = []
        for found in loader:
            self.compare(next(wanted), found)
            held = [*held[-2:], found] if self.rng.random() < 0.2 else []
            luck = self.rng.random()
            if luck < 0.01:
                time.sleep(float(self.rng.uniform(0, 0.05)))
            elif luck < 0.02:
                raise LeftError
        assert next(wanted, None) is None

    def round(self) -> None:
        """Use loaders of one seed for some epochs, left and resumed at any place."""
        seed = int(self.rng.integers(1 << 30))
        on_host = make(self.dataset, seed, num_threads=4)
        loader = make(self.dataset, seed, **self.options())
        for _ in range(int(self.rng.integers(1, 5))):
            try:
                self.epoch(iter(on_host), loader)
            except LeftError:
                self.exceptions += 1
                state = loader.state_dict()
                if self.rng.random() < 0.5:
                    if self.rng.random() < 0.5:
                        loader.close()
                    loader = make(self.dataset, seed, **self.options())
                    self.restarts += 1
                loader.load_state_dict(state)
                on_host.load_state_dict(state)


def flat(values: list[int]) -> tuple[float, float]:
    """Return medians of the first third, without the first ones, and of the last."""
    third = max(len(values) // 3, 1)
    return statistics.median(values[third // 4 : third]), statistics.median(values[-third:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--pretend", nargs=2, metavar=("HOST_DEVICE", "PRETEND_CUDA"))
    arguments = parser.parse_args()
    device: Any = StandIn(arguments.pretend) if arguments.pretend else Gpu()
    host, there = [], []
    with tempfile.TemporaryDirectory() as folder:
        dataset = rc.open(write(Path(folder)), control_rate_hz=10.0, progress=False)
        soak = Soak(dataset, device, np.random.default_rng(arguments.seed))
        begin = told = time.monotonic()
        while time.monotonic() - begin < arguments.seconds:
            soak.round()
            gc.collect()
            device.synchronize()
            host.append(resident_bytes())
            there.append(device.held())
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(
                    f"{told - begin:5.0f} s: {soak.batches} batches, host "
                    f"{host[-1] / 1e6:.0f} MB, device {there[-1] / 1e6:.0f} MB",
                    flush=True,
                )
    result: dict[str, Any] = {
        "device": "stand-in" if arguments.pretend else torch.cuda.get_device_name(),
        "seconds": time.monotonic() - begin,
        "rounds": len(host),
        "batches": soak.batches,
        "exceptions": soak.exceptions,
        "restarts": soak.restarts,
        "host_bytes": flat(host),
        "device_bytes": flat(there),
    }
    print(json.dumps(result))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    for name in ("host_bytes", "device_bytes"):
        first, last = result[name]
        assert last - first < GROWTH_BYTES, f"{name} grew from {first:.0f} to {last:.0f}"


if __name__ == "__main__":
    main()
