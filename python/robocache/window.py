"""What a sample takes of its streams: windows of ticks or seconds around its own time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _arguments
from ._readable import readable
from .dataset import Dataset
from .episode import StreamInfo
from .errors import ArgumentTypeError, InvalidArgumentError
from .image import Image

__all__ = ["Window"]

MAX_TICKS = 2**20  # of a window

_INT32_MAX = 2**31 - 1
_MAX_SECONDS = 9e9  # in int64 nanoseconds, and 285 years
_MODES = ("linear", "hold", "nearest", "cubic", "slerp", "angle", "mean", "max", "min")
_OUTSIDES = ("hold", "nan", "zero", "extrapolate")


@dataclass(frozen=True, init=False)
class Window:
    """What every sample takes of a stream: some ticks or times around its own.

    Attributes:
        ticks: in periods of the loader's clock, relative to the sample's: range(-1, 1) is the last
            one and now.
        seconds: instead of ticks: seconds relative to the sample's time.
        name: of the field in the batch; by default the stream's.
        mode: as in resample_trajectories(), but "mean", "max" and "min" are over the period of the
            loader's clock that ends at the tick; image and text streams take "hold" and "nearest".
        outside: what is delivered where there is nothing: "hold" (the end sample), "extrapolate"
            (linear), or "nan" and "zero", which fill what lies beyond the ends of the episode
            (`<name>_is_pad`) and what has no value (`<name>_valid`); what is filled is not valid.
        tolerance: greatest distance, in seconds, to the sample used ("hold": the one before, else
            the nearer): what is further away is not valid. Beyond the ends of the stream only what
            is within a tolerance that is given is valid.
        max_gap: between samples further apart, in seconds, nothing is valid.
            A hold is valid from its first sample on for as long as both allow, without them for
            ever. A mean, max or min is valid where its period holds a sample, whatever they are.
        channels: modes of some channels, as in resample_trajectories().
        max_points: for point clouds: points a sample is padded to; None: the most that a step of
            the loader's episodes has, for which all of them are looked at.
        image: what is made of images, or of arrays [H, W] or [H, W, C] that are some: each is
            turned, cropped, resized and so on straight into the batch, and those of a stream may
            differ in size. Where there is none, the batch has zeros (NaN with outside "nan").
        squeeze: whether the fields of a window of one tick have no axis for it: [B, ...].
    """

    ticks: tuple[int, ...] | None
    seconds: tuple[float, ...] | None
    name: str | None
    mode: str
    outside: str
    tolerance: float | None
    max_gap: float | None
    channels: Sequence[tuple[Any, str]] | None
    max_points: int | None
    squeeze: bool
    image: Image | None

    def __init__(
        self,
        ticks: int | Sequence[int] | None = None,
        *,
        seconds: float | Sequence[float] | None = None,
        name: str | None = None,
        mode: str = "hold",
        outside: str = "hold",
        tolerance: float | None = None,
        max_gap: float | None = None,
        channels: Sequence[tuple[Any, str]] | None = None,
        max_points: int | None = None,
        squeeze: bool = False,
        image: Image | None = None,
    ) -> None:
        if ticks is not None and seconds is not None:
            raise InvalidArgumentError("Window: ticks and seconds found, wanted one of them")
        if ticks is None and seconds is None:
            ticks = 0
        values: dict[str, Any] = {
            "ticks": None if ticks is None else _ticks(ticks),
            "seconds": None if seconds is None else _seconds(seconds),
            "name": None if name is None else _arguments.string("Window: name", name),
            "mode": _arguments.choice("Window: mode", mode, _MODES),
            "outside": _arguments.choice("Window: outside", outside, _OUTSIDES),
            "tolerance": _limit("tolerance", tolerance),
            "max_gap": _limit("max_gap", max_gap),
            "channels": None if channels is None else _channels(channels),
            "max_points": None
            if max_points is None
            else _arguments.integer("Window: max_points", max_points, 1),
            "squeeze": _arguments.flag("Window: squeeze", squeeze),
            "image": image,
        }
        if image is not None and not isinstance(image, Image):
            raise ArgumentTypeError(
                f"Window: image: found {_arguments.found(image)}, wanted a robocache.Image"
            )
        width = len(values["ticks"] or values["seconds"])
        if values["squeeze"] and width != 1:
            raise InvalidArgumentError(f"Window: squeeze: found with {width} ticks, wanted 1")
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _native(self, dataset: Dataset, info: StreamInfo) -> tuple[Any, ...]:
        """Returns what _core.create_loader() wants of a window on stream `info`."""
        max_points = self.max_points or 0
        if self.max_points is None and info.is_ragged and info.times is None:
            max_points = max(dataset._most_rows(info.name), 1)
        offsets = None
        if self.seconds is not None:
            offsets = [round(second * 1_000_000_000) for second in self.seconds]
        return (
            info.name,
            self.name,
            None if self.ticks is None else list(self.ticks),
            offsets,
            self.mode,
            self.outside,
            None if self.channels is None else list(self.channels),
            info.shape[-1] if info.shape else 1,
            -1.0 if self.max_gap is None else self.max_gap * 1e9,
            -1.0 if self.tolerance is None else self.tolerance * 1e9,
            max_points,
            self.squeeze,
            None if self.image is None else self.image._native(),
        )


def _ticks(value: Any) -> tuple[int, ...]:
    return _offsets(
        "Window: ticks",
        _arguments.items("Window: ticks", value, "whole numbers"),
        lambda tick: _arguments.integer("Window: ticks", tick, -_INT32_MAX - 1, _INT32_MAX),
    )


def _seconds(value: Any) -> tuple[float, ...]:
    return _offsets(
        "Window: seconds", _arguments.items("Window: seconds", value, "numbers"), _second
    )


def _second(value: Any) -> float:
    second = _arguments.number("Window: seconds", value)
    if abs(second) > _MAX_SECONDS:
        raise InvalidArgumentError(
            f"Window: seconds: {second:g} found, wanted at most {_MAX_SECONDS:g}"
        )
    return second


def _offsets(name: str, values: Iterable[Any], check: Callable[[Any], Any]) -> tuple[Any, ...]:
    checked = tuple(map(check, itertools.islice(values, MAX_TICKS + 1)))
    if not checked:
        raise InvalidArgumentError(f"{name}: none found, wanted at least one")
    if len(checked) > MAX_TICKS:
        raise InvalidArgumentError(f"{name}: more than {MAX_TICKS} found")
    return checked


def _limit(name: str, seconds: Any) -> float | None:
    """Returns a limit in seconds; None where there is none."""
    if seconds is None:
        return None
    limit = _arguments.at_least_zero(f"Window: {name}", seconds)
    return limit if limit <= _MAX_SECONDS else None


def _channels(value: Any) -> tuple[tuple[Any, str], ...]:
    """Checks what needs no knowledge of the stream."""
    wanted = "wanted pairs of channels and a mode, such as (slice(3, 6), 'angle')"
    checked = []
    for item in _arguments.items("Window: channels", value, wanted[7:]):
        pair = tuple(item) if isinstance(item, (tuple, list)) else ()
        if len(pair) != 2:
            raise ArgumentTypeError(f"Window: channels: found {_arguments.found(item)}, {wanted}")
        checked.append((pair[0], _arguments.choice("Window: channels", pair[1], _MODES)))
    return tuple(checked)


def _find_stream(dataset: Dataset, name: str, argument: str = "streams") -> StreamInfo:
    """Returns the stream of that name, or of LeRobot's spelling of it, with dots."""
    _arguments.string(argument, name)
    for spelling in (name, name.replace(".", "/")):
        if spelling in dataset.streams:
            return dataset.streams[spelling]
    return dataset.streams[name]


def native_windows(
    dataset: Dataset,
    streams: Mapping[str, Window | Sequence[Window]] | Iterable[str] | None,
    delta_timestamps: Mapping[str, Sequence[float]] | None,
) -> list[tuple[Any, ...]]:
    chosen: list[tuple[str, Window]] = []
    if streams is None and delta_timestamps is None:
        kept = (
            name
            for name, info in dataset.streams.items()
            if info.kind != "text" and not (info.is_ragged and info.times is None)
        )
        streams = readable(dataset, kept)
    if isinstance(streams, Mapping):
        for name, windows in streams.items():
            several = windows if isinstance(windows, (list, tuple)) else [windows]
            for window in several:
                if not isinstance(window, Window):
                    raise ArgumentTypeError(
                        f"streams[{name!r}]: found {_arguments.found(window)}, wanted a Window"
                    )
                chosen.append((name, window))
    elif streams is not None:
        chosen += [(name, Window()) for name in streams]
    if delta_timestamps is not None and not isinstance(delta_timestamps, Mapping):
        raise ArgumentTypeError(
            f"delta_timestamps: found {_arguments.found(delta_timestamps)}, wanted a dict of names "
            "to seconds"
        )
    for name, seconds in (delta_timestamps or {}).items():
        chosen.append((name, Window(seconds=seconds, name=name, mode="nearest")))
    return [window._native(dataset, _find_stream(dataset, name)) for name, window in chosen]


def own_names(dataset: Dataset, argument: str, value: Any) -> list[str]:
    """Returns the dataset's own names of one stream or several."""
    given = [value] if isinstance(value, str) else value
    names = _arguments.items(argument, given, "a list of stream names")
    return [_find_stream(dataset, name, argument).name for name in names]


def as_given(streams: Any) -> Any:
    """Returns a copy of `streams` that nobody else changes or has gone through."""
    if isinstance(streams, Mapping):
        return dict(streams)
    wanted = "a dict of names to Window, or a list of names"
    return [
        _arguments.string("streams", name) for name in _arguments.items("streams", streams, wanted)
    ]
