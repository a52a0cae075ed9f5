"""DataLoader(device="cuda") against device="cpu", on a stand-in for a device.

usage: PYTHONPATH=PACKAGE python tests/cuda/loader.py HOST_DEVICE PRETEND_CUDA TORCH_CUDA

PACKAGE holds an extension module with empty kernels; the libraries are stand-ins for the driver
and for torch's allocator, and an exchange API that hands torch's tensors of the host out for those
of the device.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from tests.cuda import aligning, decoding, grids, torch_memory
from tests.cuda.pretend import load_driver, pass_off


class Stream:
    """A stream of the stand-in, as torch.cuda.Stream is one of CUDA."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        handle = ctypes.c_void_p()
        assert driver.cuStreamCreate(ctypes.byref(handle), 1) == 0
        self.cuda_stream = handle.value

    def copy(self, tensor: Any) -> Any:
        """Return a copy of a tensor that the stream makes sometime."""
        import torch

        made = torch.empty_like(tensor)
        size = ctypes.c_size_t(tensor.numel() * tensor.element_size())
        to, source = ctypes.c_void_p(made.data_ptr()), ctypes.c_uint64(tensor.data_ptr())
        stream = ctypes.c_void_p(self.cuda_stream)
        assert self._driver.cuMemcpyDtoHAsync_v2(to, source, size, stream) == 0
        return made

    def synchronize(self) -> None:
        """Wait for all that is queued."""
        assert self._driver.cuStreamSynchronize(ctypes.c_void_p(self.cuda_stream)) == 0


def pretend(host_device: str, pretend_cuda: str) -> tuple[Any, Stream]:
    """Load the stand-in, and have torch believe in it."""
    import torch

    driver = load_driver(host_device)
    pass_off(pretend_cuda)
    stream = Stream(driver)
    empty = torch.empty

    def empty_here(*shape: Any, device: Any = None, **options: Any) -> Any:
        del device
        return empty(*shape, **options)

    torch.empty = empty_here
    torch.cuda.is_available = lambda: True
    torch.cuda.current_device = lambda: 0
    torch.cuda.device_count = lambda: 2
    torch.cuda.current_stream = lambda _device: stream
    return driver, stream


def make(dataset: Any, **options: Any) -> Any:
    """Return a loader of all kinds of windows."""
    import robocache as rc

    image = rc.Image(size=(16, 20), crop=("random", 0.8), dtype="float32", channels="first")
    streams = {
        "observation/image": rc.Window(range(-1, 1), image=image, name="image"),
        "observation/state": rc.Window(range(2), mode="linear"),
        "language_instruction": rc.Window(0),
    }
    common = {"batch_size": 5, "shuffle": True, "seed": 3, "num_threads": 2}
    return rc.DataLoader(dataset, streams=streams, **{**common, **options})


def compare(wanted: list[Any], found: list[Any]) -> None:
    import torch

    assert len(wanted) == len(found)
    for a, b in zip(wanted, found, strict=True):
        assert list(a) == list(b)
        for name in a:
            same = torch.equal(a[name], b[name]) if torch.is_tensor(a[name]) else a[name] == b[name]
            assert same, name


def epoch(loader: Any, stream: Stream) -> list[Any]:
    """Return copies of an epoch's batches, none of which is waited for."""
    copies = []
    for batch in loader:
        copies.append({**batch.text, **{k: stream.copy(v) for k, v in batch.tensors.items()}})
        copies[-1] = {name: copies[-1][name] for name in batch}
    stream.synchronize()
    return copies


def check_batches(dataset: Any, driver: Any, stream: Stream) -> None:
    del driver
    on_host, on_device = make(dataset), make(dataset, device="cuda", num_slots=2)
    for _ in range(3):
        compare(list(on_host), epoch(on_device, stream))


def check_resuming(dataset: Any, driver: Any, stream: Stream) -> None:
    del driver
    wanted = list(make(dataset))
    first = make(dataset, device="cuda")
    batches = iter(first)
    for _ in range(4):
        next(batches)
    second = make(dataset, device="cuda:0")
    second.load_state_dict(first.state_dict())
    compare(wanted[4:], epoch(second, stream))


def check_other_streams(dataset: Any, driver: Any, stream: Stream) -> None:
    wanted, other, copies = list(make(dataset)), Stream(driver), []
    for batch in make(dataset, device="cuda", num_slots=1):
        batch.record_stream(other)
        copies.append({k: other.copy(v) for k, v in batch.tensors.items()})
    other.synchronize()
    stream.synchronize()
    compare([batch.tensors for batch in wanted], copies)


def check_tensors_hold_the_batch(dataset: Any, driver: Any, stream: Stream) -> None:
    del driver
    wanted, held = list(make(dataset)), []
    for batch in make(dataset, device="cuda", num_slots=1):
        held.append(batch["image"])
    stream.synchronize()
    compare([{"image": batch["image"]} for batch in wanted], [{"image": image} for image in held])


def check_errors(dataset: Any, driver: Any, stream: Stream) -> None:
    del driver, stream
    import robocache as rc

    for options, message in [
        ({"device": "cuda:2"}, "device: found 'cuda:2', wanted a number below 2"),
        ({"device": "tpu"}, "device: found 'tpu', wanted 'cpu', 'cuda' or 'cuda:N'"),
        ({"device": "cuda", "array": "numpy"}, "wanted array='torch'"),
    ]:
        with pytest.raises(rc.errors.InvalidArgumentError, match=re.escape(message)):
            make(dataset, **options)


def check_errors_of_torch(dataset: Any, driver: Any, stream: Stream) -> None:
    """What torch raises where it makes an output is of its kind."""
    del dataset, driver, stream
    import torch

    import robocache as rc

    for raised, wanted in [
        (torch.OutOfMemoryError("no memory"), rc.errors.OutOfMemoryError),
        (RuntimeError("too large"), rc.errors.OutOfMemoryError),
        (torch.AcceleratorError("lost"), rc.errors.DeviceError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ]:

        def fail(*_: Any, error: BaseException = raised, **__: Any) -> Any:
            raise error

        values, times = torch.zeros(4, 2), torch.arange(4.0)
        values.new_empty = fail  # type: ignore[method-assign]
        with pytest.raises(wanted, match=re.escape(str(raised))):
            rc.resample_trajectories(values, times, times)


def main() -> int:
    try:
        import torch  # noqa: F401
    except ImportError:
        print("[  SKIPPED ] cuda_python")
        return 0
    import robocache as rc
    from tests.python import small_dataset

    driver, stream = pretend(*sys.argv[1:3])
    ctypes.c_int.in_dll(driver, "rbc_host_device").value = 300  # pauses, in microseconds
    counts = (ctypes.c_longlong * 2).in_dll(driver, "rbc_host_device_bytes")
    failed = 0

    def run(check: Any, *arguments: Any) -> None:
        nonlocal failed
        begin = time.monotonic()
        try:
            check(*arguments)
            gc.collect()
            assert list(counts) == [0, 0], "memory of the device is left"
            print(f"[       OK ] {check.__name__}, {time.monotonic() - begin:.1f} s")
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"[  FAILED  ] {check.__name__}")

    with tempfile.TemporaryDirectory() as folder:
        path = small_dataset.write(Path(folder))
        dataset = rc.open(path, control_rate_hz=small_dataset.RATE_HZ)
        for check in (
            check_batches,
            check_resuming,
            check_other_streams,
            check_tensors_hold_the_batch,
            check_errors,
            check_errors_of_torch,
        ):
            run(check, dataset, driver, stream)
        both = (*decoding.CHECKS, *decoding.STAND_IN_CHECKS, *grids.CHECKS)
        both += (*aligning.CHECKS, *aligning.STAND_IN_CHECKS)
        for own in both:
            run(own, Path(folder), stream)
        of_loaders = functools.partial(make, dataset)
        run(torch_memory.check_without, of_loaders)
        allocator = torch_memory.load(sys.argv[3])  # from here on loaders find it
        run(check_batches, dataset, driver, stream)
        run(torch_memory.check_counts, of_loaders, allocator, counts)
        run(torch_memory.check_failures, of_loaders, allocator)
        run(torch_memory.check_history, of_loaders, allocator)
        run(torch_memory.check_end, path, sys.argv[1:])
        assert allocator.bytes == 0
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
