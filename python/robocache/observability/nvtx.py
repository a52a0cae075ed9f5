"""Ranges that Nsight Systems shows beside what the GPU does."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_Ranges = tuple[Callable[[str], Any], Callable[[], Any]]


def annotate(batches: Iterable[Any], name: str = "robocache") -> Iterator[Any]:
    """Iterates over batches within NVTX ranges of this thread, where there is an NVTX library.

    ``<name>: next`` is open while the next batch is waited for and handed out, ``<name>: step``
    while the loop works with it. The library is torch's, else that of the package nvtx; where
    neither is there, a warning says so and the batches come as they are.
    """
    ranges = _find_ranges()
    if ranges is None:
        warnings.warn("there are no NVTX ranges: neither torch nor nvtx has them", stacklevel=2)
        yield from batches
        return
    push, pop = ranges
    iterator = iter(batches)
    while True:
        push(f"{name}: next")
        try:
            batch = next(iterator)
        except StopIteration:
            return
        finally:
            pop()
        push(f"{name}: step")
        try:
            yield batch
        finally:
            pop()


def _find_ranges() -> _Ranges | None:
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        try:
            torch.cuda.nvtx.mark("robocache")
        except (AttributeError, RuntimeError):  # built without CUDA
            pass
        else:
            return torch.cuda.nvtx.range_push, torch.cuda.nvtx.range_pop
    try:
        nvtx: Any = importlib.import_module("nvtx")
    except ImportError:
        return None
    return nvtx.push_range, nvtx.pop_range
