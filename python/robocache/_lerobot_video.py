"""The video files of one camera, encoded by PyAV one after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from . import _arguments
from .errors import UnsupportedError
from .formats.builtin import need

__all__ = ["CODECS", "VideoFiles"]

CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "av1": ("libsvtav1", {"crf": "30", "preset": "12"}),
    "h264": ("libx264", {"crf": "23", "preset": "fast", "forced-idr": "1"}),
    "hevc": ("libx265", {"crf": "28", "preset": "fast", "forced-idr": "1"}),
}

VIDEO_PATH = "videos/{camera}/chunk-{chunk:03d}/file-{file:03d}.mp4"
PIXELS = "yuv420p"
CHUNK_FILES = 1000
_ANY, _INTRA = 0, 1  # FFmpeg's AVPictureType


class VideoFiles:
    """Writes episodes into videos: one encoder a file, a key frame where an episode begins."""

    def __init__(
        self,
        root: str,
        camera: str,
        shape: tuple[int, ...],
        fps: int,
        codec: str,
        group: int,
        options: Mapping[str, str] | None,
    ) -> None:
        self._root = root
        self._camera = camera
        self._shape = shape
        self._fps = fps
        self._codec = _arguments.choice("codec", codec, tuple(CODECS))
        self._av = need("av", "lerobot")
        name, defaults = CODECS[codec]
        if name not in self._av.codecs_available:
            raise UnsupportedError(f"codec: {codec!r} found, but PyAV has no encoder {name}")
        self._encoder = name
        self._options = {**defaults, **(options or {}), "g": str(group)}
        if codec == "hevc":
            self._options.setdefault("x265-params", "log-level=none")
        self._number = -1
        self._file: Any = None
        self._stream: Any = None
        self._frames = 0
        self._bytes = 0  # encoded so far, a few frames behind

    def info(self) -> dict[str, Any]:
        """Returns what info.json says of the videos."""
        height, width, channels = self._shape
        return {
            "video.height": height,
            "video.width": width,
            "video.codec": self._codec,
            "video.pix_fmt": PIXELS,
            "video.fps": self._fps,
            "video.channels": channels,
            "video.is_depth_map": False,
            "has_audio": False,
        }

    def add(self, pictures: Any, most_bytes: int) -> tuple[int, int, int]:
        """Encodes an episode; returns its chunk, its file and the number of its first frame."""
        if self._file is not None and self._bytes >= most_bytes:
            self.close()
        if self._file is None:
            self._open()
        first = self._frames
        for number, picture in enumerate(pictures):
            frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=PIXELS)
            frame.pts = self._frames
            frame.pict_type = _INTRA if number == 0 else _ANY
            for packet in self._stream.encode(frame):
                self._bytes += packet.size
                self._file.mux(packet)
            self._frames += 1
        return (*divmod(self._number, CHUNK_FILES), first)

    def _open(self) -> None:
        self._number += 1
        self._frames = self._bytes = 0
        chunk, file = divmod(self._number, CHUNK_FILES)
        name = VIDEO_PATH.format(camera=self._camera, chunk=chunk, file=file)
        path = os.path.join(self._root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._file = self._av.open(path, "w")
        self._stream = self._file.add_stream(self._encoder, rate=self._fps, options=self._options)
        self._stream.height, self._stream.width = self._shape[:2]
        self._stream.pix_fmt = PIXELS

    def close(self) -> None:
        """Finishes the file under way."""
        if self._file is not None:
            self._file.mux(self._stream.encode())
            self.abort()

    def abort(self) -> None:
        """Closes the file under way as it is."""
        if self._file is not None:
            self._file.close()
            self._file = self._stream = None
