"""Which streams a loader can read under their own names, found by looking at a few images."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .errors import Error

if TYPE_CHECKING:
    from .dataset import Dataset
    from .episode import Stream, StreamInfo

__all__ = ["readable", "why_unreadable"]

_PROBED_EPISODES = 8  # as many as the native loader looks at

_FACTS = ("episode_index", "episode_id", "step_index", "time_ns", "task")
"""What every batch says of its samples."""


def readable(dataset: Dataset, names: Iterable[str]) -> list[str]:
    """Returns those of the streams that a loader can read under their own names.

    One warning names the others, each with the reason: they cannot be read at all, hold images of
    several sizes, or are named as another field of the batch is. Where no size is declared, the
    first and last image of the first episode that has one and of the last episode are looked at.
    """
    left_out, kept, names = {}, [], list(names)
    taken = {*_FACTS, *(field for name in names for field in _beside(dataset.streams[name]))}
    for name in names:
        if name in taken:
            take = f"take it with streams={{{name!r}: Window(name=...)}}"
            reason: str | None = f"a batch has another field of that name: {take}"
        else:
            reason = why_unreadable(dataset, dataset.streams[name])
        if reason is None:
            kept.append(name)
        else:
            left_out[name] = reason
    if left_out:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items())
        warnings.warn(f"{dataset.path}: streams are left out: {reasons}", stacklevel=5)
    return kept


def _beside(info: StreamInfo) -> list[str]:
    """Returns the fields that a batch has beside a window's values."""
    is_cloud = info.is_ragged and info.times is None
    suffixes = ["_is_pad", "_valid", *(["_lengths"] if is_cloud else [])]
    return [info.name + suffix for suffix in suffixes]


def why_unreadable(dataset: Dataset, info: StreamInfo) -> str | None:
    """Returns why a loader cannot read a stream, as :func:`readable` finds out; None if it can."""
    if info.unsupported is not None or info.kind != "image" or -1 not in info.shape[:2]:
        return info.unsupported
    sizes: set[tuple[int, ...]] = set()
    try:
        for index in range(min(_PROBED_EPISODES, len(dataset))):
            sizes = sizes or _image_sizes(dataset.episodes[index][info.name])
        if sizes:
            sizes |= _image_sizes(dataset.episodes[-1][info.name])
        elif len(dataset):
            return f"its first {_PROBED_EPISODES} episodes hold no image that would tell the size"
    except Error as error:
        return str(error)
    if len(sizes) > 1:
        return "its images vary in size: " + ", ".join(f"{h} x {w}" for h, w in sorted(sizes))
    return None


def _image_sizes(stream: Stream) -> set[tuple[int, ...]]:
    """Returns height and width of the first image and of the last; none where there is none."""
    samples = {0, stream.num_samples - 1} if stream.num_samples else set()
    sizes = {stream._sample_shape(sample, 1)[:2] for sample in samples}
    return sizes - {(0, 0)}
