"""Paired timing: contenders take turns in one process, ratios are formed round by round."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from host import spread

Contenders = dict[str, Callable[[], Any]]
OURS = "robocache"


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


def copy_of(num_bytes: int) -> Callable[[], Any]:
    """A copy that reads and writes `num_bytes` in all."""
    source = torch.zeros(max(num_bytes // 2, 1), dtype=torch.uint8)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def agree(expected: Any, contenders: Contenders, names: tuple[str, ...], bound: float) -> None:
    """Raises AssertionError where a contender's result is further than `bound` from `expected`."""
    for name in names:
        if name in contenders:
            got = np.asarray(contenders[name]())
            np.testing.assert_allclose(got, expected, rtol=bound, atol=bound, err_msg=name)


def versions() -> dict[str, str | None]:
    """Of RoboCache and the peers; None: not installed."""
    found: dict[str, str | None] = {}
    for name in ("robocache", "numpy", "scipy", "torch", "open3d"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    if found["robocache"] is None:
        import robocache

        found["robocache"] = robocache.__version__
    return found
