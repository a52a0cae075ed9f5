"""Where samples lie: what an indexer in Python gives for each stream of its episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, SupportsIndex, TypeAlias

__all__ = ["ArrayRows", "Column", "Frames", "Packing", "Pieces", "Rows", "Source"]

Packing: TypeAlias = "int | None"
"""What :meth:`Part.packing` returns; None: not packed."""


@dataclass(frozen=True)
class Rows:
    """Samples of one size, evenly apart: one range a stream and episode, or several.

    Attributes:
        offset: [E] of the first sample, in the blob, or in what the block holds unpacked; [R] where
            an episode has several ranges.
        blob: number of the file, or [E] or [R]; 0 is the part's own.
        stride: bytes from sample to sample, or [E] or [R]; by default the size of a sample.
        count: [E] or [R] samples; by default one a step.
        block: number of a block, or [E] or [R], in place of the blob; -1 for none.
        episode: [R] whose range it is, sorted; by default each episode has one.
    """

    offset: Any
    blob: Any = 0
    stride: Any = None
    count: Any = None
    block: Any = None
    episode: Any = None


@dataclass(frozen=True)
class Pieces:
    """A byte range a sample; N is the samples of all episodes, one episode behind the other.

    Attributes:
        offset: [N], or one for all, as in :class:`Rows`.
        bytes: [N], or one for all; 0 is an image or text that is not there.
        count: [E] samples; by default one a step.
        blob: number of the file, or [N].
        block: number of a block, or [N], in place of the blob; -1 for none.
        packing: how each piece is packed by itself.
        encoding: of these images, where it is not the stream's: "image" or "ros_image".
        stored: of "ros_image", see :meth:`Indexer.stream`.
    """

    offset: Any
    bytes: Any
    count: Any = None
    blob: Any = 0
    block: Any = None
    packing: Packing = None
    encoding: str | None = None
    stored: str | None = None


@dataclass(frozen=True)
class ArrayRows:
    """Rows of an array, which are samples.

    Attributes:
        array: what :meth:`Part.array` returned.
        first: [E] rows, or [R] where an episode has several runs of them.
        count: [E] or [R] rows; by default one a step.
        episode: [R] whose run it is, sorted; by default each episode has one.
    """

    array: int
    first: Any
    count: Any = None
    episode: Any = None


@dataclass(frozen=True)
class Frames:
    """Frames of a video.

    Attributes:
        track: what :meth:`Part.mp4` or :meth:`Part.track` returned.
        first: [E] number of the first frame, in the order in which they are shown.
        count: [E] frames; by default one a step.
    """

    track: SupportsIndex
    first: Any
    count: Any = None


@dataclass(frozen=True)
class Column:
    """Numbers that are copied beside the catalog, at most 4 KiB a sample.

    For what cannot be read where it lies in good time: compressed, one file a step, computed.

    Attributes:
        values: [N, *shape] of the stream's dtype, or, where it has a scale or an offset, of the
            dtype as stored; the samples of all episodes.
        count: [E] samples; by default one a step.
    """

    values: Any
    count: Any = None


Source: TypeAlias = "Rows | Pieces | ArrayRows | Frames | Column"
