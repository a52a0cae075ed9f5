"""A progress bar for indexing: bytes done, rate and time left, on one line of stderr."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

_BAR_WIDTH = 24
_MIN_BAR_WIDTH = 6


def format_bytes(count: float) -> str:
    """Returns "3.2 MB" and such."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_duration(seconds: float) -> str:
    """Returns "1 h 02 min", "2 min 05 s" or "7 s"."""
    whole = max(round(seconds), 0)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class ProgressBar:
    """Draws progress of indexing; call it as `progress` of :func:`robocache.open`."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream if stream is not None else sys.stderr
        self._start = time.monotonic()
        self._first_bytes: int | None = None
        self._drawn = 0

    def __call__(
        self, files_done: int, files_total: int, bytes_done: int, bytes_total: int, episodes: int
    ) -> None:
        """Draws the bar for the counts given; none while it is not known what there is to do."""
        if files_total == 0:
            return
        if self._first_bytes is None:
            self._first_bytes = bytes_done
        elapsed = max(time.monotonic() - self._start, 1e-9)
        rate = (bytes_done - self._first_bytes) / elapsed
        share = min(bytes_done / bytes_total, 1.0) if bytes_total > 0 else 1.0
        told = [f"{files_done}/{files_total} files", f"{episodes} episodes"]
        if rate >= 1:
            told.append(f"{format_bytes(rate)}/s")
            told.append(f"{format_duration((bytes_total - bytes_done) / rate)} left")
        # The cursor stays on the line: a full one would go on to the next.
        room = self._columns() - 1
        line = _fit(f"indexing {self._name}", share, told, room)
        self._stream.write("\r" + line.ljust(min(self._drawn, room)))
        self._stream.flush()
        self._drawn = len(line)

    def _columns(self) -> int:
        try:
            return max(os.get_terminal_size(self._stream.fileno()).columns, 2)
        except (OSError, ValueError, AttributeError):
            return 80  # no terminal

    def close(self) -> None:
        """Ends the line, where one was begun."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()
            self._drawn = 0


def _fit(title: str, share: float, told: list[str], room: int) -> str:
    """Returns the line, with a shorter bar, less told and a shorter title where room is short."""
    told = list(told)
    while True:
        tail = f"{share:4.0%}" + ("  " + ", ".join(told) if told else "")
        width = min(_BAR_WIDTH, room - len(title) - len(tail) - 4)
        if width >= _MIN_BAR_WIDTH or not told:
            break
        told.pop()
    if width < _MIN_BAR_WIDTH:
        return f"{title[: max(room - len(tail) - 1, 0)]} {tail}"[-room:]
    filled = round(share * width)
    return f"{title} [{'#' * filled}{'.' * (width - filled)}] {tail}"
