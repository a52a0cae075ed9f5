"""Progress bars of indexing and of statistics, on one line of stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from . import _arguments

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


class _Bar:
    """A line that is drawn over and over."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream if stream is not None else sys.stderr
        self._start = time.monotonic()
        self._drawn = 0

    def _elapsed(self) -> float:
        return max(time.monotonic() - self._start, 1e-9)

    def _draw(self, share: float, told: list[str]) -> None:
        # The cursor stays on the line: a full one would go on to the next.
        room = self._columns() - 1
        line = _fit(self._title, share, told, room)
        self._stream.write("\r" + line.ljust(min(self._drawn, room)))
        self._stream.flush()
        self._drawn = len(line)

    def _columns(self) -> int:
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError, AttributeError):
            columns = 0  # no terminal
        return max(columns, 2) if columns > 0 else 80  # a terminal may not say, either

    def close(self) -> None:
        """Ends the line, where one was begun."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()
            self._drawn = 0


class ProgressBar(_Bar):
    """Draws progress of indexing: bytes done, rate and time left.

    Call it as `progress` of :func:`robocache.open`.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        super().__init__(f"indexing {name}", stream)
        self._first_bytes: int | None = None

    def __call__(
        self, files_done: int, files_total: int, bytes_done: int, bytes_total: int, episodes: int
    ) -> None:
        """Draws the bar for the counts given; none while it is not known what there is to do."""
        if files_total == 0:
            return
        if self._first_bytes is None:
            self._first_bytes = bytes_done
        rate = (bytes_done - self._first_bytes) / self._elapsed()
        share = min(bytes_done / bytes_total, 1.0) if bytes_total > 0 else 1.0
        told = [f"{files_done}/{files_total} files", f"{episodes} episodes"]
        if rate >= 1:
            told.append(f"{format_bytes(rate)}/s")
            told.append(f"{format_duration((bytes_total - bytes_done) / rate)} left")
        self._draw(share, told)


class StatisticsBar(_Bar):
    """Draws progress of statistics: of the episodes first, then of images, with the time left.

    Call it as `progress` of :meth:`robocache.Dataset.statistics`.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        super().__init__(f"statistics of {name}", stream)
        self._images_begin: float | None = None

    def __call__(
        self, episodes_done: int, episodes_total: int, images_done: int, images_total: int
    ) -> None:
        """Draws the bar for the counts given."""
        if images_total > 0 and episodes_done == episodes_total:
            done, total, what = images_done, images_total, "images"
            if self._images_begin is None:
                self._images_begin = self._elapsed()
        else:
            done, total, what = episodes_done, episodes_total, "episodes"
        elapsed = self._elapsed() - (self._images_begin or 0.0)
        told = [f"{done}/{total} {what}"]
        if 0 < done < total:
            told.append(f"{format_duration(elapsed / done * (total - done))} left")
        self._draw(done / total if total > 0 else 1.0, told)


@contextlib.contextmanager
def reporting(progress: Any, bar: Callable[[str], _Bar], name: str) -> Iterator[Any]:
    """Yields what is to be told of progress: what is callable, a bar that is closed, or None.

    Args:
        progress: True: a bar; None: one where stderr is a terminal.
        bar: makes one for the name of a dataset.
        name: of the dataset.
    """
    if callable(progress):
        yield progress
    elif sys.stderr.isatty() if progress is None else _arguments.flag("progress", progress):
        drawn = bar(name)
        try:
            yield drawn
        finally:
            drawn.close()
    else:
        yield None


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
