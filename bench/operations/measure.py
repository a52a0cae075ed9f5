"""Paired timing: contenders take turns in one process, ratios are formed round by round."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def repeats_for(call: Callable[[], Any], seconds: float) -> int:
    """How many calls take about `seconds`."""
    call()
    start = time.perf_counter()
    call()
    once = max(time.perf_counter() - start, 1e-7)
    return max(1, int(seconds / once))


def paired(
    contenders: dict[str, Callable[[], Any]], rounds: int, seconds: float = 0.05
) -> dict[str, list[float]]:
    """Seconds a call for each contender and round; within a round they run one after another."""
    repeats = {name: repeats_for(call, seconds) for name, call in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            call, count = contenders[name], repeats[name]
            start = time.perf_counter()
            for _ in range(count):
                call()
            times[name].append((time.perf_counter() - start) / count)
    return times


def ratios(times: dict[str, list[float]], ours: str) -> dict[str, dict[str, float]]:
    """Each contender's time over ours, round by round: above 1 it is slower."""
    return {
        name: spread([t / o for t, o in zip(values, times[ours], strict=True)])
        for name, values in times.items()
        if name != ours
    }


def machine() -> dict[str, Any]:
    """Processor and cores, as Linux tells them, and the date."""
    processor = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }
