"""Timing on a CUDA device: replays of a captured graph, what a call costs the host, and both."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

Call = Callable[[], Any]
CALLS = 10  # in one graph


def captured(call: Call) -> torch.cuda.CUDAGraph:
    """A graph of CALLS calls in a row."""
    stream = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
        stream.synchronize()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(CALLS):
                call()
    return graph


def spread(samples: list[float]) -> dict[str, float]:
    ordered = sorted(samples)
    return {
        "median": statistics.median(ordered),
        "low": ordered[len(ordered) // 10],
        "high": ordered[-1 - len(ordered) // 10],
    }


def gpu_us(call: Call, rounds: int = 15, replays: int = 4) -> dict[str, float]:
    """Microseconds of device time a call, from replays of a graph of CALLS calls."""
    graph = captured(call)
    graph.replay()
    samples = []
    for _ in range(rounds):
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(replays):
            graph.replay()
        end.record()
        end.synchronize()
        samples.append(begin.elapsed_time(end) * 1e3 / (CALLS * replays))
    return spread(samples)


def host_us(call: Call, rounds: int = 30, calls: int = 50) -> dict[str, float]:
    """Microseconds a call keeps the calling thread; the device is idle at the start of a round."""
    for _ in range(calls):
        call()
    samples = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        begin = time.perf_counter_ns()
        for _ in range(calls):
            call()
        samples.append((time.perf_counter_ns() - begin) / 1e3 / calls)
    torch.cuda.synchronize()
    return spread(samples)


def sync_us(call: Call, rounds: int = 50) -> dict[str, float]:
    """Microseconds of one call with a synchronise after it."""
    samples = []
    for _ in range(rounds):
        begin = time.perf_counter_ns()
        call()
        torch.cuda.synchronize()
        samples.append((time.perf_counter_ns() - begin) / 1e3)
    return spread(samples)


def ceilings() -> dict[str, float]:
    """Terabytes a second that an elementwise addition moves, by bytes read and written; and the
    microseconds of the smallest kernel."""
    found = {}
    for megabytes in (20, 287, 944, 2147):
        source = torch.ones(megabytes * 125_000, device="cuda")
        target = torch.empty_like(source)
        us = gpu_us(lambda s=source, t=target: torch.add(s, 1, out=t), rounds=7)["median"]
        found[f"add_{megabytes}MB_TBps"] = 2 * source.nbytes / us / 1e6
    tiny = torch.zeros(4, device="cuda")
    found["smallest_kernel_us"] = gpu_us(tiny.zero_)["median"]
    return found


def machine() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
