"""Signals whose handlers raise within a call."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def interrupting(function: Callable[..., Any], error: type[BaseException]) -> Iterator[None]:
    """Raises `error` from a signal's handler while `function` itself, or C that it calls, runs.

    The signal comes until a handler finds the function: one that comes earlier would raise where
    nobody waits for it, in a finaliser even, which swallows it.
    """
    code = function.__code__

    def interrupt(number: int, frame: Any) -> None:
        if frame is not None and frame.f_code is code:
            signal.setitimer(signal.ITIMER_PROF, 0)
            raise error

    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        signal.setitimer(signal.ITIMER_PROF, 0.05, 0.05)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
