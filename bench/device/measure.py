"""Timing on a CUDA device: replays of a captured graph, what a call costs the host, and both."""

from __future__ import annotations

import functools
import platform
import statistics
import subprocess
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


def elapsed_us(work: Call, count: int) -> float:
    """Microseconds between two events around `work`, divided by `count`."""
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e3 / count


def gpu_us(
    calls: dict[str, Call],
    uncaptured: frozenset[str] = frozenset(),
    rounds: int = 15,
    replays: int = 4,
) -> dict[str, dict[str, float]]:
    """Microseconds of device time a call of each contender, which take turns: from replays of a
    graph of CALLS calls, for those in `uncaptured` from calls in a row."""
    graphs = {name: captured(call) for name, call in calls.items() if name not in uncaptured}

    def replay(graph: torch.cuda.CUDAGraph) -> None:
        for _ in range(replays):
            graph.replay()

    def repeat(call: Call) -> None:
        for _ in range(CALLS):
            call()

    samples: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            if name in graphs:
                us = elapsed_us(functools.partial(replay, graphs[name]), CALLS * replays)
            else:
                us = elapsed_us(functools.partial(repeat, call), CALLS)
            if turn > 0:
                samples[name].append(us)
    return {name: spread(values) for name, values in samples.items()}


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


def loop_us(call: Call, rounds: int = 7, calls: int = 200) -> dict[str, float]:
    """Microseconds a call of many in a row, with a synchronise after the last."""
    samples = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        begin = time.perf_counter_ns()
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
        samples.append((time.perf_counter_ns() - begin) / 1e3 / calls)
    return spread(samples)


def copies(num_bytes: int) -> dict[str, Call]:
    """Copies within the device that move as many bytes, read and written: the driver's, and a
    kernel that streams."""
    source = torch.randint(0, 1 << 30, (max(num_bytes // 8, 1),), dtype=torch.int32, device="cuda")
    target = torch.empty_like(source)
    return {
        "copy by the driver": functools.partial(target.copy_, source),
        "copy by a kernel": functools.partial(torch.bitwise_not, source, out=target),
    }


def ceilings() -> dict[str, float]:
    """Terabytes a second that a copy within the device moves, by bytes read and written, and an
    addition; and the microseconds of the smallest kernel."""
    found = {}
    for megabytes in (20, 287, 944, 8590):
        source = torch.ones(megabytes * 125_000, device="cuda")
        target = torch.empty_like(source)
        times = gpu_us(
            {
                "copy": functools.partial(target.copy_, source),
                "add": functools.partial(torch.add, source, 1, out=target),
            },
            rounds=5,
        )
        for name, us in times.items():
            found[f"{name}_{megabytes}MB_TBps"] = 2 * source.nbytes / us["median"] / 1e6
        del source, target
    tiny = torch.zeros(4, device="cuda")
    found["smallest_kernel_us"] = gpu_us({"zero": tiny.zero_})["zero"]["median"]
    return found


def driver_version() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.splitlines()[0]


def machine() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "driver": driver_version(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
