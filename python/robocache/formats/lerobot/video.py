"""Which frame of a video each row of an episode has."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import FormatError
from ..sources import Frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..video import Video

__all__ = ["Match", "Shown", "match_frames"]


@dataclass(frozen=True)
class Shown:
    """A video of a part, and when each of its frames is shown, int64 nanoseconds in order."""

    track: Video
    times_ns: NDArray[Any]


@dataclass(frozen=True)
class Match:
    """Frames of an episode's rows.

    Attributes:
        track: they are of.
        runs: (first frame, count) of frames that follow each other.
        note: where the stamps of video and rows disagree; "" where they do not.
    """

    track: Video
    runs: list[tuple[int, int]]
    note: str

    def sources(self) -> Iterator[Frames]:
        """Yields the runs of an episode that is added by itself."""
        for first, count in self.runs:
            yield Frames(operator.index(self.track), [first], [count])


def match_frames(
    video: Shown,
    stamps_ns: NDArray[Any],
    from_s: float | None,
    first: int | None,
    rate_hz: float,
) -> Match:
    """Finds the frame of each row.

    Where the rows of all episodes in a video are as many as its frames, a row's frame is told by
    its number: `first` and those that follow. Else it is the one shown nearest to the row's own
    stamp behind the episode's start, by integers of nanoseconds.

    Args:
        video: the frames.
        stamps_ns: of the rows [T], from the episode's start.
        from_s: when the episode begins in the video; None: at its first frame.
        first: number of the episode's first frame, where frames are told by number.
        rate_hz: rows a second.

    Raises:
        FormatError: a row has no frame; names the row and both times.
    """
    import numpy as np

    times = video.times_ns
    if len(times) == 0:
        raise FormatError("found no frames")
    start = int(times[0]) if from_s is None else round(from_s * 1e9)
    wanted = stamps_ns + start
    limit = 0.5e9 / rate_hz
    if first is not None:
        found = np.arange(first, first + len(stamps_ns))
        distance = np.abs(times[found] - wanted)
        note = ""
        if distance.max() > limit:
            row = int((distance > limit).argmax())
            note = (
                f"frame {row} is shown at {times[found[row]] * 1e-9:.6f} s and stamped "
                f"{wanted[row] * 1e-9:.6f} s"
            )
        return Match(video.track, [(first, len(stamps_ns))], note)
    right = np.searchsorted(times, wanted).clip(1, len(times) - 1) if len(times) > 1 else wanted * 0
    left = np.maximum(right - 1, 0)
    found = np.where(np.abs(times[left] - wanted) <= np.abs(times[right] - wanted), left, right)
    distance = np.abs(times[found] - wanted)
    if len(times) > 1:
        limit = max(limit, 0.5 * float(np.median(np.diff(times))))
    if distance.max() > limit + 1000:
        row = int((distance > limit + 1000).argmax())
        raise FormatError(
            f"row {row}: found no frame at {wanted[row] * 1e-9:.6f} s, the nearest of "
            f"{len(times)} is shown at {times[found[row]] * 1e-9:.6f} s"
        )
    begins = np.concatenate([[0], np.flatnonzero(np.diff(found) != 1) + 1])
    counts = np.diff(np.append(begins, len(found)))
    return Match(video.track, list(zip(found[begins].tolist(), counts.tolist(), strict=True)), "")
