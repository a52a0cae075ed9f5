"""What an indexer in Python declares of a dataset, see docs/adding-a-format.md."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _arguments
from ..errors import ArgumentTypeError, InvalidArgumentError
from . import there
from .mapping import Mapping
from .part import Part

__all__ = ["Indexer", "Read"]

Read = Callable[[Part], None]

_FLOATS = ("float32", "float64", "float16", "bfloat16")
_DTYPES = (
    *_FLOATS,
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool",
    "uint16",
    "uint32",
    "uint64",
)
_ENCODINGS = {
    "numeric": ("plain", "swapped", "varint", "npy", "cloud"),
    "image": ("image", "pixels", "npy", "frame", "ros_image"),
    "text": ("text", "string"),
}
_DECLARED = ("pixels", "npy", "frame", "ros_image")
"""Encodings of images whose shape has to be declared."""

_MAX_DIMS = 7
_UNIT_BYTES = 32
_INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class DeclaredStream:
    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    encoding: str
    stored: str
    times: str | None
    ragged: bool
    unit: str
    scale: float
    offset: float
    fields: tuple[tuple[int, str, bool], ...]


@dataclass(frozen=True)
class DeclaredPart:
    path: str
    split: str
    read: Read
    stamp: int | None


class Indexer:
    """What an ``index`` function says of a dataset.

    Attributes:
        name: of the dataset; by default the last name of the path.
        version: by default "".
        control_rate_hz: steps a second of streams without stamps; None where that is unknown.
        path: folder that paths of parts and blobs begin at: the path that was opened, or, where
            that is a file, the folder that it lies in.
        splits_by: key of episodes' metadata whose list of names makes them episodes of splits of
            those names, besides that of their part; None where there is none.
        notes: what was said with :meth:`note`.
        remembered: what the first part kept with :meth:`Part.remember` when it was indexed; None
            where it kept nothing, its file has changed, or the catalog is to be made. It comes from
            the catalog, which may be anybody's.
    """

    def __init__(
        self,
        path: str,
        mapping: Mapping | None = None,
        remembered: dict[str, Any] | None = None,
    ) -> None:
        self.remembered = remembered
        self.path = path if there.is_folder(path) else os.path.dirname(path)
        self.name: str = os.path.basename(path.rstrip("/"))
        self.version: str = ""
        self.control_rate_hz: float | None = None
        self.splits_by: str | None = None
        self.notes: list[str] = []
        self.ignores_mapping = mapping is not None
        self._mapping = mapping
        self.streams: dict[str, DeclaredStream] = {}
        self.parts: dict[str, DeclaredPart] = {}

    @property
    def mapping(self) -> Mapping | None:
        """What the user declared of the data, None where nothing; a format that never asks for it
        takes none, which is then an error.
        """
        self.ignores_mapping = False
        return self._mapping

    def stream(
        self,
        name: str,
        *,
        kind: str = "numeric",
        dtype: str | None = None,
        shape: Sequence[int | None] | None = None,
        encoding: str | None = None,
        stored: str | None = None,
        times: str | None = None,
        ragged: bool = False,
        unit: str = "",
        scale: float = 1.0,
        offset: float = 0.0,
        fields: Sequence[tuple[int, Any]] = (),
    ) -> None:
        """Declares a stream; each part gives every stream of each of its episodes.

        Args:
            name: "observation/state".
            kind: "numeric", "image" or "text".
            dtype: of the values that are delivered, NumPy's name; of images uint8 by default.
            shape: of one sample, () by default; (height, width, channels) of images, -1 or None
                where an extent is not known, which is all of them by default.
            encoding: how bytes mean values. Numeric: "plain" (little-endian, C order; default),
                "swapped" (big-endian), "varint" (protobuf's), "npy" (a NumPy file each), "cloud"
                (records such as points, see `fields`). Images: "image" (JPEG, PNG or JPEG XL;
                default), "pixels" and "npy" (as they are, of a declared shape), "frame" (of a
                video, likewise), "ros_image" (rows of pixels, of which `stored` says what they
                are, likewise). Text: "text" (UTF-8; default), "string" (an int32, the number of
                one of :meth:`Part.strings`, or -1).
            stored: dtype as stored, by default the same. Others that can be are float32 for other
                floats, int64 for other integers, and of float32 and float64 all but bool. By
                default int64 of varints that become floats. Of "ros_image" the encoding
                that the message names, "bgr8", with ">" before it where it is big-endian.
            times: name of the stream of int64 nanoseconds with this one's stamps, one a sample.
            ragged: a step holds any number of samples, see `row_lengths` of
                :meth:`Part.episodes`.
            unit: of the values, "m" or "rad": at most 32 bytes of UTF-8.
            scale: a value is scale * stored + offset. A numeric stream is delivered so, computed in
                float64 and rounded once to `dtype`, which is float32 or float64. Images are
                delivered as stored; unit, scale and offset then only say what they mean.
            offset: see `scale`.
            fields: of "cloud", for each number of a sample the byte in the record at which it is
                stored, and its dtype there, ">f4" where it is big-endian; shape is their number.
                A record is as long as :class:`Rows` has `stride`.
        """
        name = _arguments.string("stream", name)
        what = f"stream {name!r}"
        if not name or name in self.streams:
            raise InvalidArgumentError(f"{what}: wanted a name that is not yet declared")
        kind = _arguments.choice(f"{what}: kind", kind, tuple(_ENCODINGS))
        choices = _ENCODINGS[kind]
        if encoding is None:
            encoding = choices[0]
        encoding = _arguments.choice(f"{what}: encoding", encoding, choices)
        if dtype is None and kind == "numeric":
            raise InvalidArgumentError(f"{what}: dtype: is missing")
        dtype = _dtype(f"{what}: dtype", "uint8" if dtype is None or kind == "text" else dtype)
        unit, scale, offset = _meaning(what, kind, unit, scale, offset)
        is_mapped = kind == "numeric" and (scale != 1.0 or offset != 0.0)
        if is_mapped and dtype not in ("float32", "float64"):
            raise InvalidArgumentError(
                f"{what}: dtype: found {dtype!r}, wanted float32 or float64 with scale or offset"
            )
        if encoding == "ros_image":
            if stored is None:
                raise InvalidArgumentError(f"{what}: stored: is missing, such as 'bgr8'")
            stored = _arguments.string(f"{what}: stored", stored)
        elif stored is not None and encoding == "cloud":
            raise InvalidArgumentError(f"{what}: stored: found {stored!r}, wanted it of each field")
        elif stored is not None:
            stored = _dtype(f"{what}: stored", stored)
        elif encoding == "string":
            stored = "int32"
        else:
            stored = "int64" if encoding == "varint" and dtype in _FLOATS else dtype
        self.streams[name] = DeclaredStream(
            name,
            kind,
            dtype,
            _shape(what, kind, encoding, shape),
            encoding,
            stored,
            None if times is None else _arguments.string(f"{what}: times", times),
            _arguments.flag(f"{what}: ragged", ragged),
            unit,
            scale,
            offset,
            _fields(what, encoding, fields),
        )

    def part(
        self, path: str, *, read: Read, split: str = "train", stamp: int | None = None
    ) -> None:
        """Declares a part, which is what is read at a time and read again when it changes.

        Args:
            path: of a file, relative to :attr:`path`; it is blob 0 of the part. With `stamp`, any
                name that no other part has.
            read: called with a :class:`Part` where the part is new or changed, to say which
                episodes it has.
            split: that its episodes belong to.
            stamp: of a part that is no file: an integer that changes when its content does.
        """
        path = _arguments.path("part", path)
        what = f"part {path!r}"
        if path in self.parts:
            raise InvalidArgumentError(f"{what}: wanted a name that is not yet declared")
        if not callable(read):
            raise ArgumentTypeError(f"{what}: read: found {read!r}, wanted a function")
        split = _arguments.string(f"{what}: split", split)
        if not split:
            raise InvalidArgumentError(f"{what}: split: found '', wanted a name")
        if stamp is not None:
            stamp = _arguments.integer(f"{what}: stamp", stamp, *_INT64)
        elif path.startswith("/") or any(name in ("", ".", "..") for name in path.split("/")):
            raise InvalidArgumentError(f"{what}: wanted the path of a file below {self.path}")
        self.parts[path] = DeclaredPart(path, split, read, stamp)

    def note(self, text: str) -> None:
        """Says something of the dataset that users are to see: its table shows all notes."""
        self.notes.append(_arguments.string("note", text))

    def schema(self) -> tuple[Any, ...]:
        """Returns what was declared as the native module takes it."""
        name = _arguments.string("dataset.name", self.name)
        version = _arguments.string("dataset.version", self.version)
        if self._mapping is not None:  # another one makes the catalog anew
            version = f"{version} mapping {self._mapping.digest}".strip()
        rate = self.control_rate_hz
        if rate is not None:
            rate = _arguments.positive("dataset.control_rate_hz", rate)
        if not self.streams:
            raise InvalidArgumentError("no stream was declared")
        numbers = {stream: number for number, stream in enumerate(self.streams)}
        streams = []
        for stream in self.streams.values():
            times = -1
            if stream.times is not None:
                self._check_times(stream)
                times = numbers[stream.times]
            streams.append(
                (
                    stream.name,
                    stream.kind,
                    stream.dtype,
                    stream.shape,
                    stream.encoding,
                    stream.stored,
                    times,
                    stream.ragged,
                    stream.unit,
                    stream.scale,
                    stream.offset,
                    stream.fields,
                )
            )
        parts = [(part.path, part.split, part.stamp) for part in self.parts.values()]
        return self.path, name, version, rate or 0.0, streams, parts

    def _check_times(self, stream: DeclaredStream) -> None:
        times = self.streams.get(stream.times or "")
        what = f"stream {stream.name!r}: times: found {stream.times!r}"
        if times is None:
            raise InvalidArgumentError(f"{what}, wanted a stream that is declared")
        if (times.kind, times.dtype, times.shape) != ("numeric", "int64", ()) or times.times:
            raise InvalidArgumentError(f"{what}, wanted an int64 stream of shape (), without times")
        if times.ragged != stream.ragged:
            raise InvalidArgumentError(f"{what}, wanted one that is ragged just as the stream is")


def _dtype(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else getattr(value, "__name__", None) or str(value)
    return _arguments.choice(name, text, _DTYPES)


def _fields(what: str, encoding: str, value: Any) -> tuple[tuple[int, str, bool], ...]:
    """Returns offset, dtype and whether it is big-endian of each."""
    import numpy

    wanted = "a list of (offset, dtype)"
    fields = []
    for item in _arguments.items(f"{what}: fields", value, wanted):
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            found = _arguments.found(item)
            raise ArgumentTypeError(f"{what}: fields: found {found}, wanted {wanted}")
        try:
            dtype = numpy.dtype(item[1])
        except TypeError:
            found = _arguments.found(item[1])
            raise InvalidArgumentError(f"{what}: fields: found dtype {found}") from None
        offset = _arguments.integer(f"{what}: fields", item[0], 0, 2**32 - 1)
        fields.append((offset, _dtype(f"{what}: fields", dtype.name), dtype.str.startswith(">")))
    if (encoding == "cloud") != bool(fields):
        raise InvalidArgumentError(
            f"{what}: fields: found {len(fields)}, wanted one or more of the encoding 'cloud', "
            "none of others"
        )
    return tuple(fields)


def _meaning(what: str, kind: str, unit: Any, scale: Any, offset: Any) -> tuple[str, float, float]:
    unit = _arguments.string(f"{what}: unit", unit)
    if not unit.isprintable() or len(unit.encode()) > _UNIT_BYTES:
        raise InvalidArgumentError(
            f"{what}: unit: found {_arguments.found(unit)}, wanted at most {_UNIT_BYTES} bytes, "
            "all of them printed"
        )
    scale = _arguments.number(f"{what}: scale", scale)
    offset = _arguments.number(f"{what}: offset", offset)
    if scale == 0.0 or math.isinf(scale):
        raise InvalidArgumentError(f"{what}: scale: found {scale:g}, wanted finite and not 0")
    if math.isinf(offset):
        raise InvalidArgumentError(f"{what}: offset: found {offset:g}, wanted a finite number")
    if kind == "text" and (unit, scale, offset) != ("", 1.0, 0.0):
        raise InvalidArgumentError(f"{what}: wanted no unit, scale or offset of a text")
    return unit, scale, offset


def _shape(
    what: str, kind: str, encoding: str, shape: Sequence[int | None] | None
) -> tuple[int, ...]:
    if shape is None:
        shape = (-1, -1, -1) if kind == "image" else ()
    extents = tuple(
        -1 if extent is None else _arguments.integer(f"{what}: shape", extent, -1)
        for extent in _arguments.items(f"{what}: shape", shape, "a tuple of extents")
    )
    if kind == "image" and len(extents) != 3:
        raise InvalidArgumentError(
            f"{what}: shape: found {extents}, wanted (height, width, channels)"
        )
    if kind == "text" and extents:
        raise InvalidArgumentError(f"{what}: shape: found {extents}, wanted none of a text")
    if len(extents) > _MAX_DIMS:
        raise InvalidArgumentError(f"{what}: shape: found {len(extents)} axes, wanted {_MAX_DIMS}")
    if -1 in extents and (kind == "numeric" or encoding in _DECLARED):
        raise InvalidArgumentError(f"{what}: shape: found {extents}, wanted all extents")
    return extents
