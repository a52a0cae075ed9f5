"""Loaders that deliver on a device: the batches of the host, whatever the device is doing."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import robocache as rc
from tests.cuda import decoding
from tests.python import small_dataset


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> rc.Dataset:
    path: Path = small_dataset.write(tmp_path_factory.mktemp("device"))
    return rc.open(path, control_rate_hz=small_dataset.RATE_HZ)


def make(dataset: rc.Dataset, **options: Any) -> rc.DataLoader:
    image = rc.Image(size=(64, 48), crop=("random", 0.8), contrast=0.4, dtype="bfloat16")
    streams = {
        "observation/image": rc.Window(range(-1, 1), image=image, name="image"),
        "observation/state": rc.Window(range(2), mode="linear"),
        "observation/cloud": rc.Window(0, max_points=40),
        "language_instruction": rc.Window(0),
    }
    common = {"batch_size": 4, "shuffle": True, "seed": 3, "num_threads": 2}
    return rc.DataLoader(dataset, streams=streams, **{**common, **options})


def compare(wanted: rc.Batch, found: dict[str, Any]) -> None:
    for name, value in wanted.items():
        other = found[name]
        same = torch.equal(value, other.cpu()) if torch.is_tensor(value) else value == other
        assert same, name


def keep_busy() -> None:
    """Queue some milliseconds of work, so that the host runs ahead."""
    torch.cuda._sleep(3_000_000)


def test_batches_are_those_of_the_host(small: rc.Dataset) -> None:
    on_host, on_device = make(small), make(small, device="cuda", num_slots=1)
    for _ in range(20):
        copies = []
        for batch in on_device:
            keep_busy()
            assert all(value.is_cuda for value in batch.tensors.values())
            copies.append({k: v.clone() for k, v in batch.tensors.items()} | dict(batch.text))
            del batch
        for wanted, found in zip(on_host, copies, strict=True):
            compare(wanted, found)


class Copies:
    """Copies of tensors on the host, as the checks of decoding want them."""

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.cpu()

    def synchronize(self) -> None:
        torch.cuda.synchronize()


@pytest.mark.parametrize("check", decoding.CHECKS, ids=lambda check: str(check.__name__))
def test_decoding(tmp_path: Path, check: Any) -> None:
    check(tmp_path, Copies())


def test_an_epoch_goes_on_where_another_stopped(small: rc.Dataset) -> None:
    wanted = list(make(small))
    first = make(small, device="cuda", jpeg="cuda")
    batches = iter(first)
    for _ in range(5):
        next(batches)
    second = make(small, device="cuda", jpeg="auto")
    second.load_state_dict(first.state_dict())
    for a, b in zip(wanted[5:], second, strict=True):
        compare(a, b)


def test_a_core_is_left_to_the_loop(small: rc.Dataset) -> None:
    threads = make(small, device="cuda", num_threads=0).stats()["threads"]
    assert threads == max(1, len(os.sched_getaffinity(0)) - 1)


def test_other_streams(small: rc.Dataset) -> None:
    wanted, other, copies = list(make(small)), torch.cuda.Stream(), []
    for batch in make(small, device="cuda", num_slots=1):
        batch.record_stream(other)
        with torch.cuda.stream(other):
            keep_busy()
            copies.append({k: v.clone() for k, v in batch.tensors.items()} | dict(batch.text))
    torch.cuda.synchronize()
    for a, b in zip(wanted, copies, strict=True):
        compare(a, b)


@pytest.mark.parametrize("jpeg", ["cpu", "cuda", "auto"])
def test_a_step_is_captured_while_loading(small: rc.Dataset, jpeg: str) -> None:
    loader = make(small, device="cuda", num_threads=4, jpeg=jpeg)
    state = torch.empty(4, 2, 4, device="cuda")
    graph = torch.cuda.CUDAGraph()
    batches = iter(loader)
    first = next(batches)
    weight = torch.ones(4, 4, device="cuda")
    state.copy_(first["observation/state"])
    (state @ weight).sum()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        total = (state @ weight).sum()
        first.clear()
        gc.collect()
    for batch in batches:
        if len(batch["observation/state"]) == len(state):
            state.copy_(batch["observation/state"])
            graph.replay()
            torch.testing.assert_close(total, (batch["observation/state"] @ weight).sum())


def test_one_graph_reads_every_batch(small: rc.Dataset) -> None:
    wanted = list(make(small, drop_last=True))
    loader = make(small, drop_last=True, device="cuda", slots="fixed", jpeg="cuda", num_slots=2)
    graph, found = torch.cuda.CUDAGraph(), []
    for number, batch in enumerate(loader):
        if number == 0:
            image, state = batch["image"], batch["observation/state"]
            (image.float().sum() + state.sum()).item()
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                seen = image.clone(), state * 2
        keep_busy()
        graph.replay()
        found.append(tuple(each.clone() for each in seen))
    for batch, (pixels, doubled) in zip(wanted, found, strict=True):
        assert torch.equal(batch["image"], pixels.cpu())
        assert torch.equal(batch["observation/state"] * 2, doubled.cpu())


def test_the_time_of_the_device_is_told(small: rc.Dataset) -> None:
    loader = make(small, device="cuda", jpeg="cuda", num_threads=1, num_slots=1)
    begin = time.monotonic_ns()
    for _ in range(5):
        for batch in loader:
            del batch
    torch.cuda.synchronize()
    passed, stats = time.monotonic_ns() - begin, loader.stats()
    assert 0 < stats["gpu_decode_ns"] + stats["gpu_image_ns"] < passed
    assert 0 < stats["gpu_image_ns"] < stats["gpu_decode_ns"]
    assert 0 < stats["gpu_copy_ns"] < passed
    assert stats["gpu_grid_ns"] == stats["gpu_align_ns"] == 0


def wait_for(is_so: Callable[[], bool]) -> bool:
    """Wait until it is so: a thread may be the last to let go of a loader."""
    deadline = time.monotonic() + 10
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


@pytest.mark.parametrize("memory", ["torch", "driver"])
def test_memory_goes_back(small: rc.Dataset, monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    monkeypatch.setenv("ROBOCACHE_DEVICE_MEMORY", memory)
    for loader in [make(small, device="cuda") for _ in range(2)]:  # the first loads what stays
        next(iter(loader))
    del loader
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    allocated = torch.cuda.memory_allocated()
    free, _ = torch.cuda.mem_get_info()
    reserved = []
    for _ in range(30):
        loader = make(small, device="cuda")
        held = [batch["image"] for batch in loader]
        assert loader.device_memory == memory
        grown = torch.cuda.memory_allocated() - allocated
        assert grown >= loader.stats()["device_bytes"] if memory == "torch" else grown == 0
        del loader, held
        gc.collect()
        assert wait_for(lambda: torch.cuda.memory_allocated() == allocated)
        reserved.append(torch.cuda.memory_reserved())
    assert reserved[-1] <= max(reserved[:5])  # the next loader has what the one before had
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    assert torch.cuda.mem_get_info()[0] >= free - (64 << 20)


def test_torch_gives_what_it_keeps(small: rc.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch keeps all memory of the device, it frees some of that for a loader."""
    image = rc.Image(size=(512, 512), dtype="bfloat16")
    window = rc.Window(range(-1, 1), image=image, name="image")
    streams = {"observation/image": window}
    options: dict[str, Any] = {"num_threads": 2, "streams": streams}
    wanted = list(rc.DataLoader(small, 16, **options))
    torch.cuda.empty_cache()
    kept = torch.empty(torch.cuda.mem_get_info()[0] - (48 << 20), dtype=torch.uint8, device="cuda")
    del kept
    monkeypatch.setenv("ROBOCACHE_DEVICE_MEMORY", "driver")
    with pytest.raises(rc.errors.OutOfMemoryError, match=r"bytes .*: memory, CUDA device 0"):
        list(rc.DataLoader(small, 16, device="cuda", **options))
    monkeypatch.delenv("ROBOCACHE_DEVICE_MEMORY")
    loader = rc.DataLoader(small, 16, device="cuda", **options)
    for a, b in zip(wanted, loader, strict=True):
        compare(a, b)
    assert loader.stats()["device_bytes"] > 48 << 20


def test_a_full_device_is_told(small: rc.Dataset) -> None:
    torch.cuda.empty_cache()
    held = torch.empty(torch.cuda.mem_get_info()[0] - (48 << 20), dtype=torch.uint8, device="cuda")
    message = r"bytes of a batch: memory, CUDA device 0: PyTorch's allocator"
    with pytest.raises(rc.errors.OutOfMemoryError, match=message):
        make(small, device="cuda", batch_size=4000, slots="fixed")
    del held
    torch.cuda.empty_cache()


def test_the_history_of_memory_is_recorded(small: rc.Dataset) -> None:
    """Torch asks for Python's lock wherever memory is allocated then."""
    wanted = list(make(small))
    torch.cuda.memory._record_memory_history(max_entries=10_000)
    try:
        for _ in range(5):
            loader = make(small, device="cuda", jpeg="cuda", num_threads=4)
            held = []
            for a, b in zip(wanted, loader, strict=True):
                loader.stats()
                compare(a, b)
                held.append(b)
            del loader, held, b
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)


END = """
import ctypes, sys
import robocache as rc
from tests.gpu import test_loader
from tests.python import small_dataset
small = rc.open(sys.argv[1], control_rate_hz=small_dataset.RATE_HZ)
made = test_loader.make(small, device="cuda", num_threads=4, num_slots=20)
batches = iter(made)
held = next(batches)
for each in (made, batches, held):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))  # nobody frees it
"""


def test_a_process_ends_while_a_loader_works(small: rc.Dataset) -> None:
    arguments = [sys.executable, "-c", END, small.path]
    found = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two devices")
def test_two_devices(small: rc.Dataset) -> None:
    loaders = [make(small), make(small, device="cuda:0"), make(small, device="cuda:1")]
    for wanted, first, second in zip(*loaders, strict=True):
        compare(wanted, first)
        compare(wanted, second)
        assert second["image"].device.index == 1
