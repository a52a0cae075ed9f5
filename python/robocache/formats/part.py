"""Parts of a dataset as an indexer in Python describes them, see docs/adding-a-format.md."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import _arguments, _core
from .._told import ToldPart
from ..errors import ArgumentTypeError, InvalidArgumentError
from .sources import ArrayRows, Column, Frames, Packing, Pieces, Rows, Source
from .video import Video
from .video import from_native as video_from_native

__all__ = ["Part"]

_INT64_MAX = _arguments.INT64_MAX


def _ints(name: str, value: Any, *, none: bool = True) -> Any:
    """Returns None, an int, or a contiguous int64 array of one axis; all whole numbers."""
    import numpy

    if value is None:
        if none:
            return None
        raise ArgumentTypeError(f"{name}: found None, wanted integers")
    array = numpy.asarray(value)
    if array.ndim == 0:
        return _arguments.integer(name, value, -_INT64_MAX - 1)
    if array.ndim != 1:
        raise InvalidArgumentError(f"{name}: found shape {array.shape}, wanted one axis")
    if array.size == 0:
        return numpy.zeros(0, numpy.int64)
    if array.dtype.kind == "f":
        whole = numpy.isfinite(array) & (array == numpy.floor(array)) & (abs(array) <= 2**53)
        _refuse(name, array, ~whole, "whole numbers")
    elif array.dtype.kind == "u" and array.dtype.itemsize == 8:
        _refuse(name, array, array > _INT64_MAX, "numbers within int64")
    elif array.dtype.kind == "O":
        return numpy.array([_arguments.integer(name, v, -_INT64_MAX - 1) for v in array], "int64")
    elif array.dtype.kind not in "iu":
        raise ArgumentTypeError(f"{name}: found dtype {array.dtype}, wanted integers")
    return numpy.require(array, numpy.int64, ["C", "A"])


def _refuse(name: str, array: Any, wrong: Any, wanted: str) -> None:
    if wrong.any():
        at = int(wrong.argmax())
        raise InvalidArgumentError(f"{name}: found {array[at]} at {at}, wanted {wanted}")


def _stored(what: str, source: Pieces) -> tuple[str | None, str]:
    """Returns how pieces of images are stored; None where it is as the stream's are."""
    encoding = source.encoding
    if encoding is None and source.stored is not None:
        encoding = "ros_image"
    if encoding is None:
        return None, ""
    encoding = _arguments.choice(f"{what}: encoding", encoding, ("image", "ros_image"))
    if encoding == "image":
        return encoding, "uint8"
    if source.stored is None:
        raise InvalidArgumentError(f"{what}: stored: is missing, such as 'bgr8'")
    return encoding, _arguments.string(f"{what}: stored", source.stored)


def _flags(name: str, value: Any) -> Any:
    import numpy

    array = numpy.asarray(value)
    return _ints(name, array.astype(numpy.int64) if array.dtype.kind == "b" else value)


class Part:
    """A part of a dataset, to which a ``read`` function adds what it finds there.

    Files, packings, blocks, arrays and tracks are numbered by the calls that add them, and episodes
    point to them. Whatever does not fit is an error that names the stream and the episode of the
    call. May be used by several threads, one call at a time, until the function returns.

    Attributes:
        path: as it was declared.
        folder: that paths begin at, see :attr:`Indexer.path`.
    """

    def __init__(
        self,
        native: _core.Part,
        path: str,
        folder: str,
        streams: list[str],
        splits_by: str | None = None,
        prefix: str = "",
    ) -> None:
        self._prefix = prefix  # of every message, also of one that is told within another
        self.path = path
        self.folder = folder
        self._native = native
        self._told = ToldPart(splits_by)
        self._streams = {name: number for number, name in enumerate(streams)}

    def blobs(self, pattern: str, *, first: int = 0, count: int = 1, sizes: Any = None) -> int:
        """Adds files that the part points to.

        Args:
            pattern: their paths relative to the dataset's folder; "{}" is the number of each,
                "{:07}" the number with zeros before it, "{{" and "}}" are braces.
            first: number in the name of the first; those of the others follow.
            count: how many they are.
            sizes: [count] of each in bytes; a file of another size is then an error when it is
                read.

        Returns:
            The number of the first blob: 1, or one more than the last before.
        """
        return self._native.blobs(
            _arguments.string("blobs", pattern),
            _arguments.integer("blobs: first", first, 0),
            _arguments.integer("blobs: count", count, 0),
            _array("blobs: sizes", sizes),
        )

    def packing(self, steps: Iterable[str | tuple[Any, ...]]) -> Packing:
        """Adds a packing: the steps in the order in which they were applied.

        Args:
            steps: each the name of one, "zlib", with its parameter "shuffle:4" or ("shuffle", 4);
                see :mod:`docs/adding-a-format.md` for all.

        Returns:
            What `packing` arguments take.
        """
        if isinstance(steps, str) or not isinstance(steps, Iterable):
            raise ArgumentTypeError(f"packing: found {steps!r}, wanted a list of steps")
        return self._native.packing([packing_step(step) for step in steps])

    def block(
        self,
        *,
        offset: Any,
        bytes: Any,  # noqa: A002
        unpacked_bytes: Any,
        blob: Any = 0,
        packing: Packing = None,
    ) -> Any:
        """Adds byte ranges that are packed as a whole and hold several samples.

        Args:
            offset: in the blob, one or [n].
            bytes: that it takes there, packed.
            unpacked_bytes: that it holds.
            blob: number of the file.
            packing: of all of them.

        Returns:
            The number of the block; an array of them [n] where any argument is one.
        """
        import numpy

        given = {"blob": blob, "offset": offset, "bytes": bytes, "unpacked_bytes": unpacked_bytes}
        ints = {name: _ints(f"block: {name}", value, none=False) for name, value in given.items()}
        lengths = [len(value) for value in ints.values() if not isinstance(value, int)]
        count = max(lengths, default=1)
        first = self._native.blocks(
            count, ints["blob"], ints["offset"], ints["bytes"], ints["unpacked_bytes"], packing or 0
        )
        return numpy.arange(first, first + count) if lengths else first

    def parquet(self, path: str, *, column: str, blob: int) -> Pieces:
        """Finds the byte strings of a column of a parquet file: images, for instance.

        Pages are read once and the values left where they lie: one is a piece of its page, which is
        a block, or, where pages are not packed, of the file.

        Args:
            path: of the file, relative to the dataset's folder.
            column: its path in the schema, "observation.image.bytes"; binary or text, in structs at
                will, not in lists.
            blob: number of the file.

        Returns:
            A piece a row, of no bytes where there is no value.

        Raises:
            FormatError: the file is damaged.
            NotFoundError: there is no such column.
            UnsupportedError: it is stored otherwise than plain or by a dictionary, or packed by
                something else than snappy, gzip, zstd or LZ4_RAW.
        """
        from .parquet import find_values

        return find_values(self, path, column, blob)

    def array(
        self,
        *,
        shape: Sequence[int],
        dtype: Any,
        offsets: Any,
        sizes: Any = None,
        chunks: Sequence[int] | None = None,
        packing: Packing = None,
        blob: Any = 0,
        skipped: Any = None,
        fill: Any = None,
        order: Sequence[int] | None = None,
    ) -> int:
        """Adds an array that is stored in chunks, as HDF5 and Zarr do, whose rows are samples.

        Args:
            shape: of the whole.
            dtype: as it is stored, NumPy's.
            offsets: [n] of the chunks in C order of their grid, the last axis fastest.
            sizes: [n] bytes as stored; 0 is a chunk that is absent. Not needed where chunks are not
                packed.
            chunks: shape of a chunk; None: the array lies in one piece, unpacked, at offsets[0].
            packing: of each chunk.
            blob: number of the file, or [n].
            skipped: [n] bit i: step i of the packing was left out (HDF5's filter mask).
            fill: value of absent chunks, 0 by default.
            order: axes as they are stored in a chunk, the outermost first; None: C order. Fortran
                order is (2, 1, 0) of three.

        Returns:
            Its number, for :class:`ArrayRows`.
        """
        import numpy

        stored = numpy.dtype(dtype)
        extents = tuple(_arguments.integer("array: shape", extent, 0) for extent in shape)
        if chunks is None:
            cut = tuple(max(extent, 1) for extent in extents)
        else:
            cut = tuple(_arguments.integer("array: chunks", extent, 1) for extent in chunks)
        if sizes is None:
            if packing:
                raise InvalidArgumentError("array: sizes: are missing, wanted of packed chunks")
            sizes = stored.itemsize
            for extent in cut:
                sizes *= extent
        return self._native.array(
            extents,
            cut,
            stored.itemsize,
            packing or 0,
            _ints("array: blob", blob),
            _ints("array: offsets", offsets, none=False),
            _ints("array: sizes", sizes),
            _ints("array: skipped", skipped),
            None if fill is None else numpy.asarray(fill, stored).tobytes(),
            None
            if order is None
            else bytes(_arguments.integer("array: order", axis, 0, 255) for axis in order),
        )

    def track(
        self,
        *,
        offset: Any,
        bytes: Any,  # noqa: A002
        pts: Any,
        key: Any,
        shown: Any = None,
        blob: Any = 0,
        block: Any = None,
        time_base: tuple[int, int] = (1, 90000),
        codec: str = "raw",
        extradata: Any = b"",
        width: int = 0,
        height: int = 0,
        pixel_format: str = "",
    ) -> int:
        """Adds a video by its packets, in the order in which they are decoded.

        Args:
            offset: [n] in the blob, or in what the block holds unpacked.
            bytes: [n] of each packet.
            pts: [n] when it is shown, in units of the time base.
            key: [n] whether decoding may begin at it.
            shown: [n] whether it is a frame that is shown; by default all are.
            blob: number of the file, or [n].
            block: number of a block, or [n], in place of the blob; -1 for none.
            time_base: seconds a unit of pts, as a fraction.
            codec: what the packets were encoded with, as FFmpeg names it: "h264"; "raw" for pixels,
                a frame a packet. Where this build cannot decode it that is an error when a frame is
                wanted.
            extradata: bytes that the container has for the decoder (avcC, hvcC, av1C); none where
                the packets say all.
            width: of a picture; 0 where the packets say it.
            height: likewise.
            pixel_format: as FFmpeg names it, "yuv420p"; "" where the packets say it.

        Returns:
            Its number, for :class:`Frames`.
        """
        offsets = _ints("track: offset", offset, none=False)
        if isinstance(offsets, int):
            raise InvalidArgumentError("track: offset: found one number, wanted one a packet")
        if not isinstance(time_base, tuple) or len(time_base) != 2:
            raise ArgumentTypeError(f"track: time_base: found {time_base!r}, wanted two integers")
        numerator, denominator = (
            _arguments.integer("track: time_base", number, 1, 2**32 - 1) for number in time_base
        )
        if not isinstance(extradata, builtins.bytes):
            raise ArgumentTypeError(f"track: extradata: found {extradata!r}, wanted bytes")
        return self._native.track(
            _arguments.string("track: codec", codec),
            _arguments.string("track: pixel_format", pixel_format),
            _arguments.integer("track: width", width, 0, 2**31 - 1),
            _arguments.integer("track: height", height, 0, 2**31 - 1),
            extradata,
            len(offsets),
            _ints("track: blob", blob, none=False),
            offsets,
            _ints("track: bytes", bytes, none=False),
            _ints("track: pts", pts, none=False),
            _flags("track: key", key),
            None if shown is None else _flags("track: shown", shown),
            _ints("track: block", block),
            numerator,
            denominator,
        )

    def mp4(self, file: str | int, *, video: int = 0) -> Video:
        """Adds a video by the tables of its MP4 or QuickTime file.

        Args:
            file: its path relative to the dataset's folder, which is then one of the part's files;
                or 0, the part's own file.
            video: which of its videos, where it has several.

        Returns:
            What the tables say; in :class:`Frames` it stands for the number of its track.
        """
        if isinstance(file, str):
            size = [os.path.getsize(os.path.join(self.folder, file))]
            path, blob = file, self.blobs(file.replace("{", "{{").replace("}", "}}"), sizes=size)
        else:
            path, blob = self.path, _arguments.integer("mp4: file", file, 0, 0)
        told = self._native.mp4(
            str(Path(self.folder, path)),
            _arguments.integer("mp4: video", video, 0, 2**31 - 1),
            blob,
        )
        return video_from_native(told)

    def strings(self, texts: Sequence[str]) -> None:
        """Sets the texts that streams of the encoding "string" point to by their number; once.

        For what many steps say alike: instructions, subtasks. Their streams are then a
        :class:`Column` of int32, -1 where there is no text.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ArgumentTypeError(f"strings: found {texts!r}, wanted a list of strings")
        self._native.strings(list(texts))

    def episodes(
        self,
        *,
        num_steps: Any,
        streams: Mapping[str, Source | Sequence[Source]],
        tasks: Sequence[str | None] | None = None,
        metadata: Sequence[Mapping[str, Any] | str | None] | None = None,
        record: Any = None,
        offset: Any = None,
        bytes: Any = None,  # noqa: A002
        row_lengths: Mapping[str, Any] | None = None,
        stamps: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        """Adds E episodes, which follow those of earlier calls; the more a call, the faster.

        Args:
            num_steps: [E].
            streams: where the samples of each stream lie; a list of sources, each with `count`, are
                runs that follow each other within each episode. Streams that are not ragged have
                one sample a step.
            tasks: what the robot was told in each.
            metadata: a dict, or a JSON object as text, of each.
            record: [E] number of each within the part; by default they are counted.
            offset: [E] of the episode's record in blob 0, where there is one.
            bytes: [E] that it takes.
            row_lengths: of ragged streams: samples of each step, [sum of num_steps]. Wanted of
                those without stamps.
            stamps: of streams that are the `times` of others and no :class:`Column`: the first and
                the last stamp of each episode, two of [E].
        """
        steps = _ints("num_steps", num_steps, none=False)
        if isinstance(steps, int):
            raise InvalidArgumentError("num_steps: found one number, wanted one an episode")
        texts = None if metadata is None else [_metadata(e, m) for e, m in enumerate(metadata)]
        self._native.episodes(
            len(steps),
            steps,
            _ints("record", record),
            _ints("offset", offset),
            _ints("bytes", bytes),
            None if tasks is None else [_text("tasks", task) for task in tasks],
            texts,
            [
                self._source(name, source)
                for name, given in streams.items()
                for source in (given if isinstance(given, Sequence) else (given,))
            ],
            [
                (self._number(name), _array(f"row_lengths: stream {name!r}", samples))
                for name, samples in (row_lengths or {}).items()
            ],
            [self._stamps(name, given) for name, given in (stamps or {}).items()],
        )
        self._told.add_episodes(len(steps), metadata)

    def note(self, text: str) -> None:
        """Says something of the part that users are to see, as :meth:`Indexer.note` does of the
        dataset; it is kept in the catalog for as long as the part is what it is.
        """
        self._told.notes.append(_arguments.string("note", text))

    def remember(self, value: Mapping[str, Any]) -> None:
        """Keeps a JSON object in the catalog, which of the first part is
        :attr:`Indexer.remembered` when the dataset is opened again.
        """
        self._told.remembered = dict(value)

    def tell(self) -> None:
        """Hands over what was noted and remembered, once all is read."""
        text = self._told.to_json()
        if text is not None:
            self._native.told(text)

    def skip(self, record: int, message: str) -> None:
        """Tells of a damaged record; raises it unless it is opened with on_error="skip"."""
        message = _arguments.string("message", message).replace(f"{self._prefix}: ", "")
        self._native.skip(_arguments.integer("record", record, 0), message)

    def progress(self, bytes_done: int) -> None:
        """Tells how much of the part was gone through; raises where indexing is to stop."""
        self._native.progress(_arguments.integer("bytes_done", bytes_done, 0))

    def _number(self, name: str) -> int:
        if name not in self._streams:
            known = ", ".join(self._streams)
            raise InvalidArgumentError(f"stream {name!r}: wanted one that is declared: {known}")
        return self._streams[name]

    def _stamps(self, name: str, given: Any) -> tuple[Any, ...]:
        if not isinstance(given, Sequence) or len(given) != 2:
            raise ArgumentTypeError(f"stamps: stream {name!r}: wanted the first and the last")
        first, last = (_ints(f"stamps: stream {name!r}", each, none=False) for each in given)
        return self._number(name), first, last

    def _source(self, name: str, source: Any) -> tuple[Any, ...]:
        import numpy

        number = self._number(name)
        what = f"stream {name!r}"
        if isinstance(source, Rows):
            return (
                *(number, 0, None, "", 0, 0, _ints(f"{what}: count", source.count)),
                *(_ints(f"{what}: offset", source.offset, none=False), None),
                _ints(f"{what}: blob", source.blob),
                _ints(f"{what}: block", source.block),
                _ints(f"{what}: stride", source.stride),
                _array(f"{what}: episode", source.episode),
                None,
            )
        if isinstance(source, Pieces):
            offset = _ints(f"{what}: offset", source.offset, none=False)
            encoding, stored = _stored(what, source)
            return (
                *(number, 1, encoding, stored, 0, source.packing or 0),
                _ints(f"{what}: count", source.count),
                *(offset, _ints(f"{what}: bytes", source.bytes, none=False)),
                _ints(f"{what}: blob", source.blob),
                _ints(f"{what}: block", source.block),
                *(None, None, None),
            )
        if isinstance(source, ArrayRows):
            return (
                *(number, 2, None, "", _arguments.integer(f"{what}: array", source.array, 0), 0),
                _ints(f"{what}: count", source.count),
                _ints(f"{what}: first", source.first, none=False),
                *(None, None, None, None),
                _array(f"{what}: episode", source.episode),
                None,
            )
        if isinstance(source, Frames):
            return (
                *(number, 3, None, "", _arguments.integer(f"{what}: track", source.track, 0), 0),
                _ints(f"{what}: count", source.count),
                _ints(f"{what}: first", source.first, none=False),
                *(None, None, None, None, None, None),
            )
        if isinstance(source, Column):
            values = numpy.require(source.values, requirements=["C", "A"])
            return (
                *(number, 4, None, "", 0, 0, _ints(f"{what}: count", source.count)),
                *(None, None, None, None, None, None),
                values,
            )
        raise ArgumentTypeError(
            f"{what}: found {_arguments.found(source)}, wanted Rows, Pieces, ArrayRows, Frames or "
            "Column"
        )


def _array(name: str, value: Any, *, none: bool = True) -> Any:
    array = _ints(name, value, none=none)
    if isinstance(array, int):
        raise InvalidArgumentError(f"{name}: found one number, wanted an array of them")
    return array


def packing_step(step: Any) -> tuple[str, int, int]:
    """Returns name and parameters of a step of a packing."""
    fields = step.split(":") if isinstance(step, str) else list(step)
    if not 1 <= len(fields) <= 3 or not isinstance(fields[0], str):
        raise ArgumentTypeError(f"packing: found {step!r}, wanted a name and its parameter")
    try:
        numbers = [int(field) for field in fields[1:]]
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"packing: found {step!r}, wanted integers") from None
    numbers = [_arguments.integer("packing", number, 0, 2**32 - 1) for number in numbers]
    parameter, elements = (*numbers, 0, 0)[:2]
    return fields[0], parameter, elements


def _text(name: str, text: Any) -> str | None:
    return None if text is None else _arguments.string(name, text)


def _metadata(episode: int, value: Any) -> str | None:
    if value is None:
        return None
    what = f"metadata: episode {episode}"
    try:
        if not isinstance(value, str):
            return json.dumps(dict(value), allow_nan=False)
        if isinstance(json.loads(value), dict):
            return value
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{what}: {error}") from None
    raise InvalidArgumentError(f"{what}: found {_arguments.found(value)}, wanted a JSON object")
