"""A progress bar for indexing: bytes done, rate and time left, on one line of stderr."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 24


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
        """Draws the bar for the counts given."""
        if self._first_bytes is None:
            self._first_bytes = bytes_done
        elapsed = max(time.monotonic() - self._start, 1e-9)
        rate = (bytes_done - self._first_bytes) / elapsed
        share = min(bytes_done / bytes_total, 1.0) if bytes_total > 0 else 1.0
        filled = round(share * _WIDTH)
        left = f", {format_duration((bytes_total - bytes_done) / rate)} left" if rate > 0 else ""
        line = (
            f"indexing {self._name} [{'#' * filled}{'.' * (_WIDTH - filled)}] {share:4.0%}  "
            f"{files_done}/{files_total} files, {episodes} episodes, {format_bytes(rate)}/s{left}"
        )
        self._stream.write("\r" + line.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(line)

    def close(self) -> None:
        """Ends the line, where one was begun."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()
            self._drawn = 0
