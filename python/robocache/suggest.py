"""Windows for a dataset one does not know yet, chosen by what its streams are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import robocache

from . import _arguments
from ._readable import readable
from .dataset import Dataset
from .errors import ArgumentTypeError
from .window import MAX_TICKS

if TYPE_CHECKING:
    from .episode import StreamInfo
    from .window import Window

__all__ = ["is_action", "is_point_cloud", "suggest_windows"]


_ACTIONS = {"action", "actions", "rel_actions"}
_PICTURE_SIDE = 16
_EPISODES = 16  # are looked at


def is_action(info: StreamInfo) -> bool:
    """Says whether a stream holds what the robot was told to do: "action", "actions/delta"."""
    parts = info.name.split("/")
    return info.dtype.startswith("float") and not _ACTIONS.isdisjoint(parts)


def is_picture(info: StreamInfo) -> bool:
    """Says whether a sample can be looked at: an image, or depth, which is numbers [H, W(, C)]."""
    if info.kind != "numeric":
        return info.kind == "image"
    shape = info.shape
    is_small = min(shape[:2], default=0) < _PICTURE_SIDE
    return not (is_small or info.is_ragged) and (
        len(shape) == 2 or (len(shape) == 3 and shape[2] <= 8)
    )


def is_point_cloud(info: StreamInfo) -> bool:
    """Says whether a sample of a stream is any number of points: rows of three floats or more."""
    is_cloud = info.kind == "numeric" and info.is_ragged and info.times is None
    return is_cloud and info.dtype.startswith("float") and info.shape[-1:] >= (3,)


def suggest_windows(
    dataset: Dataset, *, images: bool = True, chunk: int = 16, max_points: int | None = None
) -> dict[str, Window]:
    """Returns a window for every stream of a dataset that can be batched.

    Args:
        dataset: whose streams are looked at. Read are vectors of at most 16 episodes, for angles,
            and the sizes of some images where none is declared.
        images: whether image streams are taken.
        chunk: ticks of action streams, from the sample's own on.
        max_points: what point clouds are padded to; None leaves them out.

    Returns:
        For :class:`robocache.DataLoader`: images and depth held at the sample's tick, vectors of
        floats interpolated there, other numbers held there, actions as a chunk of future ticks.
        Channels of a vector that stay from -pi to pi and jump by more than pi from one sample to
        the next have the mode "angle".
        Left out are text, the stamps of other streams and, with a warning, streams that cannot be
        read or hold images of several sizes.
    """
    if not isinstance(dataset, Dataset):
        found = _arguments.found(dataset)
        raise ArgumentTypeError(f"dataset: found {found}, wanted what robocache.open gives")
    images = _arguments.flag("images", images)
    chunk = _arguments.integer("chunk", chunk, 1, MAX_TICKS)
    if max_points is not None:
        max_points = _arguments.integer("max_points", max_points, 1)
    stamps = {info.times for info in dataset.streams.values()}
    wanted = []
    for name, info in dataset.streams.items():
        is_loose = info.is_ragged and info.times is None
        if name in stamps or info.kind == "text" or (info.kind == "image" and not images):
            continue
        if not is_loose or (is_point_cloud(info) and max_points is not None):
            wanted.append(name)
    windows: dict[str, Window] = {}
    for name in readable(dataset, wanted):
        info = dataset.streams[name]
        if is_picture(info):
            windows[name] = robocache.Window(0, mode="hold")
        elif is_point_cloud(info):
            windows[name] = robocache.Window(0, mode="hold", max_points=max_points)
        elif is_action(info):
            windows[name] = robocache.Window(range(chunk), mode="hold")
        else:
            # A single number is a reward or a flag more often than something that moves.
            is_vector = info.dtype.startswith("float") and info.shape
            mode = "linear" if is_vector else "hold"
            angles = _angles(dataset, info) if is_vector else None
            windows[name] = robocache.Window(0, mode=mode, channels=angles)
    return windows


def _angles(dataset: Dataset, info: StreamInfo) -> list[tuple[int, str]] | None:
    """Returns the channels of a vector that go round a circle, None where none does."""
    import numpy

    if len(info.shape) != 1:
        return None
    jumps = numpy.zeros(info.shape, bool)
    within = numpy.ones(info.shape, bool)
    for episode in dataset[:: -(-len(dataset) // _EPISODES) or 1]:
        values = episode[info.name].values.astype(float)
        with numpy.errstate(invalid="ignore"):
            within &= ~(abs(values) > numpy.pi * 1.001).any(0)
            jumps |= (abs(numpy.diff(values, axis=0)) > numpy.pi).any(0)
    return [(int(channel), "angle") for channel in numpy.flatnonzero(jumps & within)] or None
