"""What a call on CUDA tensors costs the host before the driver gets it; no GPU is needed.

usage: PYTHONPATH=BUILD/python python bench/call_cost.py BUILD [CALL [SECONDS]]

BUILD is a build with ROBOCACHE_CUDA=ON. The driver is the stand-in of tests/cuda, whose functions
return at once, and tensors of the host are passed off as lying on a device. With CALL it is called
for so many seconds, for a profiler to look at.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from operations import smallest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.cuda.pretend import load_driver, pass_off


def pretend(build: Path) -> None:
    load_driver(str(build / "tests/cuda/libcuda_driver_stub.so"))
    pass_off(str(build / "tests/cuda/libpretend_cuda.so"))
    # What outputs come from; see python/src/tensors/torch.c.
    guards = torch._C._dynamo.guards
    guards._empty_strided_cuda = guards._empty_strided_cpu


def calls() -> dict[str, Callable[[], Any]]:
    times, targets = torch.rand(4, 16).sort(1).values, torch.rand(4, 8).sort(1).values
    values = torch.randn(4, 16, 8)
    return {
        **smallest.calls("cpu", times, targets),
        "requires_grad": lambda: values.requires_grad,
    }


def best_us(call: Callable[[], Any], rounds: int = 25, count: int = 400) -> float:
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter_ns()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter_ns() - begin) / 1e3 / count)
    return best


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    pretend(Path(sys.argv[1]))
    found = calls()
    gc.collect()
    gc.disable()
    if len(sys.argv) > 2:
        call, seconds = found[sys.argv[2]], float(sys.argv[3]) if len(sys.argv) > 3 else 10
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(10_000):
                call()
        return
    for name, call in found.items():
        print(f"{name:18s} {best_us(call):.3f} us")


if __name__ == "__main__":
    main()
