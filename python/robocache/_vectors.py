"""Streams that make up one vector: how scale, offset and modes of channels are shared out."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from . import _arguments
from .episode import StreamInfo
from .errors import ArgumentTypeError, InvalidArgumentError


def checked_numbers(name: str, value: Any) -> Any:
    """Returns a finite number, or nested tuples of such."""
    plain = _arguments.as_plain(value)
    if isinstance(plain, (list, tuple)):
        return tuple(checked_numbers(name, each) for each in plain)
    number = _arguments.number(name, plain)
    if not math.isfinite(number):
        raise InvalidArgumentError(f"{name}: found {number:g}, wanted a finite number")
    return number


def num_channels(info: StreamInfo) -> int:
    """Returns the elements of a sample; below 0 where not all of the shape is declared."""
    return -1 if -1 in info.shape else math.prod(info.shape)


def shared_numbers(
    name: str, numbers: Any, parts: Sequence[StreamInfo], shape: tuple[int, ...]
) -> list[bytes | None]:
    """Returns float64 numbers of each part of a vector, for all of which `numbers` are given.

    Args:
        name: of the argument, for messages.
        numbers: what broadcasts to `shape`; None: none are given.
        parts: streams that the vector is made of.
        shape: of a target.
    """
    import numpy

    if numbers is None:
        return [None] * len(parts)
    if any(part.kind != "numeric" or num_channels(part) < 0 for part in parts):
        return [b""] * len(parts)  # the native loader says that these have none
    try:
        every = numpy.broadcast_to(numpy.asarray(numbers, numpy.float64), shape).reshape(-1)
    except ValueError:
        streams = ", ".join(repr(part.name) for part in parts)
        raise InvalidArgumentError(
            f"{name}: found {_arguments.found(numbers)}, wanted a number, or numbers of shape "
            f"{list(shape)}, that of {streams}"
        ) from None
    ends = numpy.cumsum([num_channels(part) for part in parts])
    return [each.tobytes() for each in numpy.split(every, ends[:-1])]


def shared_channels(
    channels: Sequence[tuple[Any, str]] | None, parts: Sequence[StreamInfo]
) -> list[list[tuple[Any, str]] | None]:
    """Returns which modes the channels of each part have, of those of the whole vector."""
    if channels is None:
        return [None] * len(parts)
    widths = [num_channels(part) for part in parts]
    shared: list[list[tuple[Any, str]]] = [[] for _ in parts]
    for selector, mode in channels:
        first, end = _range(selector, sum(widths))
        begin = 0
        for part, width, own in zip(parts, widths, shared, strict=True):
            low, high = max(first, begin), min(end, begin + width)
            if low < high:
                if mode == "slerp" and (low, high) != (first, end):
                    raise InvalidArgumentError(
                        f"Window: channels: found slerp for {first} to {end}, of which "
                        f"{part.name!r} has {low} to {high}; wanted quaternions of one stream"
                    )
                own.append((slice(low - begin, high - begin), mode))
            begin += width
    return list(shared)


def _range(selector: Any, total: int) -> tuple[int, int]:
    """Returns first channel and end of a slice, a pair or a number."""
    step = 1
    try:
        if isinstance(selector, slice):
            first, end, step = selector.indices(total)
        elif isinstance(selector, tuple) and len(selector) == 2:
            first, end = map(operator.index, selector)
        else:
            first = operator.index(selector)
            first += total if first < 0 else 0
            end = first + 1
    except TypeError:
        raise ArgumentTypeError(
            f"Window: channels: found {_arguments.found(selector)}, wanted a slice, (begin, end) "
            "or a channel"
        ) from None
    if step != 1 or not 0 <= first < end <= total:
        raise InvalidArgumentError(
            f"Window: channels: found {_arguments.found(selector)}, wanted some in a row of the "
            f"vector's {total}"
        )
    return first, end
