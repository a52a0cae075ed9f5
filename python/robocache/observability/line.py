"""One line that says how a loader does, drawn while it loads."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import Any, TextIO

from .. import _arguments, config
from .._progress import format_bytes
from ..errors import Error
from .snapshot import format_shares, format_waits, rates, snapshot


class Watch:
    """A thread that draws the line of a loader, see :func:`watch`. A context manager."""

    def __init__(self, loader: Any, interval_s: float, file: TextIO, *, gpus: bool) -> None:
        self._file = file
        self._interval_s = interval_s
        self._is_terminal = file.isatty()
        self._gpus = gpus
        self._drawn = 0
        self._num_failed = 0
        self._last = snapshot(loader, gpus=gpus)
        self._is_over = threading.Event()
        self._loader = weakref.ref(loader)
        self._thread = threading.Thread(
            target=_draw_until, args=(self,), name="robocache watch", daemon=True
        )
        # Also at exit, while there is a stream to end the line of.
        self._finish = weakref.finalize(loader, _stop, self._is_over, self._thread)
        self._thread.start()

    def _draw(self) -> bool:
        """Draws the line as of now; False where there is no loader any more."""
        loader = self._loader()
        if loader is None:
            return False
        try:
            now = snapshot(loader, gpus=self._gpus)
        except Error:  # it is closed, or just about to be made anew for another rank
            self._num_failed += 1
            return self._num_failed < 2
        self._num_failed = 0
        line = format_line(self._last, now)
        self._last = now
        try:
            self._write(line)
        except (OSError, ValueError):  # nobody sees it any more
            return False
        return True

    def _write(self, line: str) -> None:
        if self._is_terminal:
            # The cursor stays on the line: a full one would go on to the next.
            room = _columns(self._file) - 1
            line = line[:room]
            self._file.write("\r" + line.ljust(min(self._drawn, room)))
            self._drawn = len(line)
        else:
            self._file.write(line + "\n")
        self._file.flush()

    def _end(self) -> None:
        if self._drawn:
            self._drawn = 0
            try:
                self._file.write("\n")
                self._file.flush()
            except (OSError, ValueError):
                pass

    def close(self) -> None:
        """Ends the line. It ends by itself with the loader."""
        self._finish()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def watch(
    loader: Any, interval_s: float | None = None, file: TextIO | None = None, *, gpus: bool = True
) -> Watch:
    """Draws a line that says how a loader does, again and again until it is closed or gone.

    A thread of its own draws it; the loop needs no call. On a terminal the line is drawn over, else
    there is a new one each time.

    Args:
        loader: what is watched.
        interval_s: between two drawings; by default 1 on a terminal and 30 elsewhere.
        file: where to; by default stderr.
        gpus: whether to say how busy the GPUs are, see :func:`gpu_figures`.

    Returns:
        What ends it: ``close()``, or a ``with`` block.
    """
    to = sys.stderr if file is None else file
    if interval_s is None:
        interval_s = 1.0 if to.isatty() else 30.0
    return Watch(loader, _arguments.positive("interval_s", interval_s), to, gpus=gpus)


# Loaders that have a line since the environment asks for it.
_watched: weakref.WeakSet[Any] = weakref.WeakSet()


def watch_as_set(loader: Any) -> None:
    """Draws the line of a loader as $ROBOCACHE_WATCH_SECONDS says, once it is iterated."""
    if loader not in _watched:
        _watched.add(loader)
        watch(loader, config.value("watch_seconds"))


def _draw_until(watch: Watch) -> None:
    while not watch._is_over.wait(watch._interval_s) and watch._draw():
        pass
    watch._end()


def _stop(is_over: threading.Event, thread: threading.Thread) -> None:
    is_over.set()
    if thread is not threading.current_thread():
        thread.join(timeout=5)


def format_line(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns the line of what a loader did between two snapshots."""
    change = rates(before, now)
    told = [f"epoch {now['epoch']}, sample {now['position']:,} of {now['num_samples']:,}"]
    speeds = [f"{change['samples_per_s']:,.0f} samples/s"]
    if now["images_decoded"]:
        speeds.append(f"{change['images_per_s']:,.0f} images/s")
    if now["images_on_device"] and change["images_per_s"]:
        share = change["images_on_device_per_s"] / change["images_per_s"]
        speeds[-1] += f" ({share:.0%} on the GPU)"
    speeds.append(f"{format_bytes(change['bytes_per_s'])}/s")
    told.append(", ".join(speeds))
    waits_for = f", now for {now['waits_for']}" if now["waits_for"] else ""
    told.append(f"waited {format_waits(change)}{waits_for}")
    told.append(f"{now['batches_ready']} of {now['batches_begun']} batches ready")
    if on_gpu := format_shares(change["gpu_shares"]):
        told.append(f"on the GPU: {on_gpu}")
    told += [f"GPU {each['gpu']} {each['busy']:.0%}" for each in now["gpus"]]
    return "robocache: " + " | ".join(told)


def _columns(file: TextIO) -> int:
    try:
        return max(os.get_terminal_size(file.fileno()).columns, 2)
    except (OSError, ValueError, AttributeError):
        return 80
