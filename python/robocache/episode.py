"""Episodes of a dataset, and their streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from . import _arguments
from ._cached import cached_property
from .errors import ArgumentTypeError, FormatError, InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .dataset import Dataset

__all__ = [
    "Episode",
    "Episodes",
    "Stream",
    "StreamInfo",
    "describe",
    "parse_metadata",
    "position_of",
    "positions",
]


@dataclass(frozen=True)
class StreamInfo:
    """What is known of a stream without reading it.

    Attributes:
        name: the dataset's own, "observation/state".
        kind: "numeric", "image" or "text".
        dtype: NumPy's name of the dtype of decoded values, "float32"; "str" for text.
        shape: of one sample; -1 where it is not declared.
        encoding: "jpeg", "png" or "".
        times: name of the stream with this one's stamps, None where it has none.
        is_ragged: a step holds any number of samples.
        rate_hz: samples a second; None where that is unknown.
        unsupported: why its samples cannot be read; None where they can.
        unit: of the values, "m"; "" where it is not said.
        scale: of a value, which is scale * stored + offset. Numeric streams are delivered as
            values, images as stored.
        offset: of a value, likewise.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    encoding: str
    times: str | None
    is_ragged: bool
    rate_hz: float | None
    unsupported: str | None
    unit: str
    scale: float
    offset: float
    index: int


class Stream:
    """One stream of one episode; read when asked."""

    def __init__(self, episode: Episode, info: StreamInfo) -> None:
        self._episode = episode
        self.info = info

    @property
    def name(self) -> str:
        """The dataset's own name of the stream."""
        return self.info.name

    @property
    def unit(self) -> str:
        """Of the values, "m"; "" where it is not said."""
        return self.info.unit

    @property
    def scale(self) -> float:
        """Of a value, which is scale * stored + offset. :attr:`values` of a numeric stream are
        such; images are as stored, and whoever wants values multiplies them, on the GPU for
        instance.
        """
        return self.info.scale

    @property
    def offset(self) -> float:
        """Of a value, see :attr:`scale`."""
        return self.info.offset

    def __len__(self) -> int:
        return self.num_samples

    def __repr__(self) -> str:
        if self.info.unsupported is not None:
            return f"<Stream {self.name!r}: cannot be read: {self.info.unsupported}>"
        return f"<Stream {self.name!r}: {self.num_samples} samples, {describe(self.info)}>"

    @cached_property
    def num_samples(self) -> int:
        """Samples in the episode: one a step, or, for a ragged stream, the total."""
        return self._episode._native.count(self.info.index, None)

    @cached_property
    def row_lengths(self) -> NDArray[numpy.int64]:
        """Samples of each step, int64 [num_steps]; ones unless the stream is ragged."""
        import numpy

        lengths = numpy.empty(self._episode.num_steps, numpy.int64)
        self._episode._native.count(self.info.index, lengths)
        return lengths

    @property
    def values(self) -> Any:
        """All samples, NumPy [T, *shape], images decoded to [T, H, W, C]; text: list[str]."""
        return self.read()

    @cached_property
    def times_ns(self) -> NDArray[numpy.int64]:
        """Stamps in nanoseconds, int64 [T]; from the control rate where the stream has none."""
        import numpy

        times = numpy.empty(self.num_samples, numpy.int64)
        self._episode._native.times(self.info.index, 0, self.num_samples, times)
        return times

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Returns :attr:`values` for numpy.asarray(); they are read anew at every call."""
        import numpy

        if copy is False:
            raise InvalidArgumentError(
                f"stream {self.name!r}: copy=False found, but samples are read into new memory"
            )
        return numpy.asarray(self.values, dtype)

    def read(self, first: int = 0, count: int | None = None) -> Any:
        """Returns samples [first, first + count), by default all, as :attr:`values` has them."""
        first = _arguments.integer("first", first, 0)
        if count is not None:
            count = _arguments.integer("count", count, 0)
            if first + count > self.num_samples:
                raise NotFoundError(
                    f"stream {self.name!r}: samples {first} to {first + count - 1} found, the "
                    f"episode has {self.num_samples}"
                )
        else:
            count = max(self.num_samples - first, 0)
        if self.info.kind == "text":
            return [self.raw(first + i).decode() for i in range(count)]
        import numpy

        values = numpy.empty((count, *self._sample_shape(first, count)), self.info.dtype)
        self._episode._native.read(self.info.index, first, count, values)
        return values

    def raw(self, index: int) -> bytes:
        """Returns a sample of a text or image stream as it lies in the file."""
        index = _arguments.integer("index", index, 0)
        if self.info.kind == "numeric":
            raise InvalidArgumentError(
                f"stream {self.name!r}: is numeric, wanted text or images, whose samples lie in "
                "bytes of their own; read() gives numbers"
            )
        if index >= self.num_samples:
            raise NotFoundError(
                f"stream {self.name!r}: sample {index} found, the episode has {self.num_samples}"
            )
        return self._episode._native.bytes(self.info.index, index)

    def _sample_shape(self, first: int, count: int) -> tuple[int, ...]:
        if self.info.kind == "image" and -1 in self.info.shape:
            if count == 0:
                return tuple(max(extent, 0) for extent in self.info.shape)
            return self._episode._native.image_shape(self.info.index, first)
        return self.info.shape


def parse_metadata(text: str, catalog: str, episode: int) -> dict[str, Any]:
    """Reads what a catalog, which may be a stranger's, says of an episode."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        problem = str(error)
    else:
        if isinstance(found, dict):
            return found
        problem = f"found {_arguments.found(found)}, wanted a JSON object"
    raise FormatError(f"catalog {catalog!r}: metadata of episode {episode}: {problem}")


class Episode(Mapping[str, Stream]):
    """One episode: a mapping from stream names to :class:`Stream`."""

    def __init__(self, dataset: Dataset, index: int) -> None:
        self._dataset = dataset
        self._native = dataset._selection.open(index)
        self._infos = dataset.streams
        info = self._native.info()
        self.index = index
        """Of the episode in the dataset, or view, that it was taken from."""
        self.id: int = info["id"]
        """Of the episode in the whole dataset, the same in every view."""
        self.num_steps: int = info["num_steps"]
        """Steps at the control rate."""
        self.duration_ns: int = info["duration_ns"]
        """Last stamp minus first of the streams that the clock is by default taken from, see
        docs/data.md; without stamps, last step minus first."""
        self.task: str = info["task"]
        """What the robot was told to do; "" where that is not recorded."""
        self.split: str = info["split"]
        self.file: str = info["file"]
        """File that holds the episode, relative to :attr:`Dataset.path`."""
        self.offset: int = info["offset"]
        """Byte offset of the episode's record in its file, framing left out."""
        self.num_bytes: int = info["bytes"]
        """Size of that record."""
        self.metadata: dict[str, Any] = parse_metadata(
            info["metadata"], dataset.catalog_path, self.id
        )
        """What the file says of the episode as a whole."""

    def __getitem__(self, name: str) -> Stream:
        return Stream(self, self._infos[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __reduce__(self) -> tuple[Any, ...]:
        return Episode, (self._dataset, self.index)

    def __repr__(self) -> str:
        return f"<Episode {self.id}: {self.num_steps} steps, task {self.task!r}>"


class Episodes(Sequence[Episode]):
    """The episodes of a dataset, opened when indexed."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset._selection)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Episode]: ...
    def __getitem__(self, index: int | slice) -> Episode | Sequence[Episode]:
        if isinstance(index, slice):
            return [self[i] for i in positions("episodes", index, len(self))]
        return Episode(self._dataset, position_of("episodes", index, len(self)))

    def __repr__(self) -> str:
        return f"<Episodes of {self._dataset!r}>"

    def __iter__(self) -> Iterator[Episode]:
        # Sequence's own would take an error that is an IndexError for the end.
        return (self[index] for index in range(len(self)))


def position_of(what: str, index: Any, size: int) -> int:
    """Returns the index of one of `size` items, those below 0 counted from the end."""
    position = _arguments.integer(what, index, -_arguments.INT64_MAX)
    if not -size <= position < size:
        wanted = f"wanted 0 to {size - 1}" if size else "and there is none"
        raise NotFoundError(f"{what}: index {position} found, {wanted}")
    return position + size if position < 0 else position


def positions(what: str, index: slice, size: int) -> range:
    """Returns the indices that a slice takes of `size` items."""
    try:
        return range(*index.indices(size))
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"{what}: found {index!r}: {error}") from None


def describe(info: StreamInfo) -> str:
    """Returns dtype, shape, encoding and unit in a few words."""
    extents = ", ".join("?" if extent < 0 else str(extent) for extent in info.shape)
    encoding = f" {info.encoding}" if info.encoding else ""
    unit = f" in {info.unit}" if info.unit else ""
    return f"{info.dtype} [{extents}]{encoding}{unit}"
