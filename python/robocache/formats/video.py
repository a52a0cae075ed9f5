"""Videos: what the tables of an MP4 or QuickTime file say of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import _arguments, _core

__all__ = ["Video", "read_mp4"]


@dataclass(frozen=True, eq=False)
class Video:
    """A video in a file, by the tables of the file; nothing of it has been decoded.

    Frames have numbers in the order in which they are shown. Where :meth:`Part.mp4` returned it,
    it stands for the number of its track in :class:`Frames`.

    Attributes:
        codec: "h264", "hevc", "av1", "mpeg4", "vp9", or as the file names another.
        pixel_format: as FFmpeg names it, such as "yuv420p" or "gray12le"; "" where the tables do
            not say.
        width: of the pictures as they are coded.
        height: likewise.
        pts: int64 [frames] when each is shown, in units of the time base, after edit lists.
        time_base: seconds a unit of pts, as a fraction.
        num_packets: of which those that an edit list hides are no frames.
        num_videos: that the file has.
        rotation: degrees clockwise at which the file wants it shown; None where it wants another
            transformation. Pictures are delivered as they are coded.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    time_base: tuple[int, int]
    pts: Any = field(repr=False)
    num_packets: int
    num_videos: int
    rotation: int | None
    _number: int = field(repr=False, default=-1)

    def __len__(self) -> int:
        """Returns how many frames it has."""
        return len(self.pts)

    def __index__(self) -> int:
        """Returns the number of its track in the part."""
        if self._number < 0:
            raise TypeError("a video that was read without a part has no number")
        return self._number

    @property
    def times_ns(self) -> Any:
        """Int64 [frames]: when each frame is shown, in nanoseconds, rounded to the nearest."""
        import numpy

        numerator, denominator = self.time_base
        scale = numerator * 1_000_000_000
        seconds, rest = numpy.divmod(self.pts, denominator)
        return seconds * scale + (rest * scale + denominator // 2) // denominator


def from_native(told: tuple[Any, ...]) -> Video:
    """Returns the video that the native module tells of."""
    import numpy

    number, codec, pixel_format, width, height, time_base, pts, packets, videos, rotation = told
    times = numpy.frombuffer(pts, numpy.int64)
    return Video(
        *(codec, pixel_format, width, height, time_base, times, packets, videos, rotation, number)
    )


def read_mp4(path: Any, *, video: int = 0) -> Video:
    """Reads the tables of an MP4 or QuickTime file; its pictures are not touched.

    Args:
        path: of the file.
        video: which of its videos, where it has several.

    Raises:
        robocache.errors.FormatError: it is no such file, or damaged; the message names file, box
            and byte.
        robocache.errors.UnsupportedError: it is one, but not of a kind that is read.
    """
    return from_native(
        _core.read_mp4(
            _arguments.path("path", path), _arguments.integer("video", video, 0, 2**31 - 1)
        )
    )
