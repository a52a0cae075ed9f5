"""One comparison of bench/gpu.py: what is called, what must move, and how the result is checked."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

Contenders = dict[str, Callable[[], Any]]


@dataclass
class Case:
    """Contenders by name: robocache, and of eager, compile and triton those there are.

    ``check`` leaves with an error where a result is wrong, before anything is timed. Contenders in
    ``uncaptured`` wait for the device and so cannot be in a CUDA graph: their calls are timed one
    after the other.
    """

    num_bytes: int
    contenders: Contenders
    check: Callable[[Contenders], None]
    goal_us: float | None = None
    host: bool = False  # measure the host's time too
    uncaptured: frozenset[str] = frozenset()


# A module of cases offers CASES: label -> a function that makes the tensors.
Cases = dict[str, Callable[[], Case]]


def optional(name: str) -> ModuleType | None:
    """The module, where there is one."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def within(expected: torch.Tensor, bound: float) -> Callable[[Contenders], None]:
    """Every contender's one output is `expected`, up to `bound`."""

    def check(contenders: Contenders) -> None:
        for name, call in contenders.items():
            got = call()
            if got.shape != expected.shape:
                sys.exit(f"{name}: {tuple(got.shape)}, expected {tuple(expected.shape)}")
            error = (got.double() - expected.double()).abs().max().item()
            if not error <= bound:
                sys.exit(f"{name}: off by {error}, allowed {bound}; nothing was timed")

    return check
