"""Loaders whose memory on a device is PyTorch's: checks for loader.py, with a stand-in for that."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Allocator(ctypes.Structure):
    """What the stand-in for libtorch_cuda.so counts and is told."""

    _fields_ = (
        ("bytes", ctypes.c_longlong),
        ("num_calls", ctypes.c_longlong),
        ("fail_after", ctypes.c_int),
        ("pause_ms", ctypes.c_int),
        ("on_call", ctypes.c_void_p),
    )


def load(torch_cuda: str) -> Allocator:
    """Load the stand-in, as torch loads the library that it stands for."""
    return Allocator.in_dll(ctypes.CDLL(torch_cuda), "rbc_torch_cuda")


def check_without(make: Callable[..., Any]) -> None:
    """Without PyTorch's allocator it is the driver's, unless that is not wanted."""
    import robocache as rc

    with pytest.MonkeyPatch.context() as patched:
        assert make().device_memory is None
        assert make(device="cuda").device_memory == "driver"
        patched.setenv("ROBOCACHE_DEVICE_MEMORY", "driver")
        assert make(device="cuda").device_memory == "driver"
        patched.setenv("ROBOCACHE_DEVICE_MEMORY", "torch")
        wanted = "$ROBOCACHE_DEVICE_MEMORY: found 'torch', and this process has no libtorch_cuda.so"
        with pytest.raises(rc.errors.UnsupportedError, match=re.escape(wanted)):
            make(device="cuda")


def check_counts(make: Callable[..., Any], allocator: Allocator, driver_bytes: Any) -> None:
    """All that a loader has there is torch's, and goes back when it and its batches are gone."""
    for options in ({}, {"slots": "fixed"}, {"device": "cuda:1"}, {"num_slots": 1}):
        loader = make(**{"device": "cuda", **options})
        held = [batch["image"] for batch in loader]
        stats = loader.stats()
        assert loader.device_memory == "torch"
        assert allocator.bytes == stats["device_bytes"] > 0
        assert driver_bytes[0] == 0
        loader.close()
        assert allocator.bytes > 0  # of what is held
        held.clear()
        gc.collect()
        for _ in range(1000):
            if allocator.bytes == 0:
                break
            time.sleep(0.005)
        assert allocator.bytes == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ROBOCACHE_DEVICE_MEMORY", "driver")
        calls = allocator.num_calls
        loader = make(device="cuda")
        assert len(list(loader)) > 0
        assert loader.device_memory == "driver"
        assert driver_bytes[0] == loader.stats()["device_bytes"]
        assert allocator.num_calls == calls


def check_failures(make: Callable[..., Any], allocator: Allocator) -> None:
    """Whichever allocation fails, that is said, and the next call goes on."""
    import robocache as rc

    messages: list[str] = []
    allocator.fail_after = 0
    with pytest.raises(rc.errors.OutOfMemoryError, match="bytes of a batch: memory, CUDA device 0"):
        make(device="cuda", slots="fixed")
    for number in range(8):
        allocator.fail_after = -1
        loader = make(device="cuda", slots="fixed" if number % 2 else None)
        allocator.fail_after = number
        count, batches = 0, iter(loader)
        while True:
            try:
                next(batches)
            except StopIteration:
                break
            except rc.errors.OutOfMemoryError as error:
                messages.append(str(error))
                continue
            count += 1
        assert count == len(loader)
    allocator.fail_after = -1
    assert len(messages) >= 3
    for message in messages:
        assert re.search(
            r"\d+ bytes (of a batch|for the rows of a batch): memory, CUDA device 0: P", message
        ), message


def check_history(make: Callable[..., Any], allocator: Allocator) -> None:
    """Calls that want Python's lock, as where torch records who allocates, keep nobody waiting."""
    calls = 0

    @ctypes.CFUNCTYPE(None)
    def count() -> None:
        nonlocal calls
        calls += 1

    allocator.on_call = ctypes.cast(count, ctypes.c_void_p).value
    try:
        for round_ in range(6):
            loader = make(
                device="cuda", num_slots=1 + round_ % 2, slots="fixed" if round_ == 3 else None
            )
            held = []
            for batch in loader:
                loader.stats()
                held.append(batch)
                if len(held) == 4:
                    held.clear()
            loader.load_state_dict(loader.state_dict())
            batches = iter(loader)
            held = [next(batches)]
            if round_ % 2:
                loader.close()
            del loader, batches, batch
            held.clear()
            gc.collect()
        assert calls > 20
    finally:
        time.sleep(0.2)  # threads that let go of it last
        allocator.on_call = None


END = """
import ctypes, sys
from pathlib import Path
from tests.cuda import loader, torch_memory
from tests.python import small_dataset
import robocache as rc
driver, stream = loader.pretend(*sys.argv[1:3])
ctypes.c_int.in_dll(driver, "rbc_host_device").value = 300
allocator = torch_memory.load(sys.argv[3])
dataset = rc.open(Path(sys.argv[4]), control_rate_hz=small_dataset.RATE_HZ)
made = loader.make(dataset, device="cuda", num_threads=3, num_slots=20)
allocator.pause_ms = 300  # what is allocated ahead takes longer than the process
batches = iter(made)
held = [next(batches), next(batches)]
assert made.device_memory == "torch"
for each in (made, batches, *held)[: int(sys.argv[5])]:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))  # nobody frees it
del held[0]
"""


def check_end(dataset: Path, libraries: list[str]) -> None:
    """A process ends while loaders work and batches are held: torch's goes before them."""
    for kept in (0, 4):
        found = subprocess.run(
            [sys.executable, "-c", END, *libraries, str(dataset), str(kept)],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stderr) == (0, ""), (kept, found)
