"""What a sample takes of its streams: windows of ticks or seconds around its own time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _arguments, _normalize, _vectors
from ._readable import readable
from .dataset import Dataset
from .episode import StreamInfo
from .errors import ArgumentTypeError, InvalidArgumentError
from .image import Image
from .mixture import check_members, of_member
from .voxels import Voxels

__all__ = ["Future", "Window"]

MAX_TICKS = 2**20  # of a window

_INT32_MAX = 2**31 - 1
_MAX_SECONDS = 9e9  # in int64 nanoseconds, and 285 years
_MODES = ("linear", "hold", "nearest", "cubic", "slerp", "angle", "mean", "max", "min")
_SHARES = ("window", "sample")
_NO_VECTOR, _BEGINS, _JOINS = range(3)
_NO_CHANGES = (_NO_VECTOR, None, None, 0, None)
_OWN = ("source", "scale", "offset", "clock_offset", "voxelize")  # dicts, of a mixture's datasets
_NOT_OF_GRIDS = ("image", "scale", "offset", "normalize", "channels", "pad_to", "max_points")
_OUTSIDES = ("hold", "nan", "zero", "extrapolate")


@dataclass(frozen=True, init=False)
class Future:
    """A tick that is drawn for each sample, and each epoch anew: a goal.

    It is drawn uniformly from those of the episode that lie `first` to `last` ticks, both included,
    from the sample's own, by the seed, the epoch and the sample alone. Where there is none, as
    behind the last step, it is the end of the episode that is nearest, and `<name>_is_pad` is true.
    Which it was is `<name>_step_index`.

    Attributes:
        first: first tick, relative to the sample's.
        last: last tick, likewise.
        share: all windows of a "sample" that are given the same range and say so have the same
            tick, or each "window" has its own.
    """

    first: int
    last: int
    share: str

    def __init__(self, first: int, last: int, *, share: str = "sample") -> None:
        for name, value in (("first", first), ("last", last)):
            tick = _arguments.integer(f"Future: {name}", value, -_INT32_MAX - 1, _INT32_MAX)
            object.__setattr__(self, name, tick)
        if self.first > self.last:
            raise InvalidArgumentError(
                f"Future: found {self.first} to {self.last}, wanted the first not behind the last"
            )
        object.__setattr__(self, "share", _arguments.choice("Future: share", share, _SHARES))


@dataclass(frozen=True, init=False)
class Window:
    """What every sample takes of a stream: some ticks or times around its own.

    Attributes:
        ticks: in periods of the loader's clock, relative to the sample's: range(-1, 1) is the last
            one and now. Or a :class:`Future`: one tick that is drawn.
        seconds: instead of ticks: seconds relative to the sample's time.
        name: of the field in the batch; by default the name the window is given under.
        source: the stream, where the window is given under another name; or a list of streams of
            numbers, whose values are one vector: [..., D0 + D1 + ...], each sample in C order,
            whatever its shape. Its dtype is that of the widest floats among them; without floats
            an integer dtype that holds all. Such a vector is valid where all of its streams are.
            In a mixture a dict of its datasets' names to these; None: a dataset that has none,
            whose rows hold zeros, with `is_pad` and `valid` False. So also scale, offset,
            clock_offset and voxelize: dicts of what is each dataset's own.
        scale: what is delivered is value * scale + offset, in float64 after resampling, rounded to
            the stream's dtype if that is one of floats, else to float32: a number, or one for
            each element of a sample or vector.
        offset: likewise. What "nan" and "zero" fill stays NaN and 0.
        normalize: what is delivered is normalised, after scale and offset: "mean_std" to mean 0 and
            standard deviation 1, "min_max" or "q01_q99" from these to -1 and 1, by the statistics
            of each stream over the loader's episodes and steps. Or by those given, of a sample or
            vector as it is after scale and offset: Statistics, or a dict with "mean" and "std",
            "min" and "max" or "q01" and "q99", and "mask", False for what stays as it is; then
            "mean_std", or else what the dict has; or a pair of a kind and one of these.
            :meth:`DataLoader.denormalize` is the way back.
        clock_offset: seconds added to the stream's stamps, or to the times of its steps: for one
            that says another time than it should. The clock of the episodes stays. One for each
            of a list of streams, or one for all.
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
        channels: modes of some channels, as in resample_trajectories(); of a list of streams,
            channels of the vector.
        pad_to: elements that a vector has at least: zeros behind those of its streams, as where
            datasets of a mixture have other sizes. A stream of any shape is a vector then.
        max_points: for point clouds: points a sample is padded to; None: the most that a step of
            the loader's episodes has, for which all of them are looked at.
        image: what is made of images, or of arrays [H, W] or [H, W, C] that are some: each is
            turned, cropped, resized and so on straight into the batch, and those of a stream may
            differ in size. Where there is none, the batch has zeros (NaN with outside "nan").
        voxelize: what is made of point clouds or depth images: a grid each, [B, W, X, Y, Z], with
            features [..., F], and `<name>_dropped`, int64 [B, W], the points outside of it. Where
            there is none, the grid is empty.
        squeeze: whether the fields of a window of one tick have no axis for it: [B, ...].
    """

    ticks: tuple[int, ...] | Future | None
    seconds: tuple[float, ...] | None
    name: str | None
    source: Any
    scale: Any
    offset: Any
    normalize: Any
    clock_offset: Any
    mode: str
    outside: str
    tolerance: float | None
    max_gap: float | None
    channels: Sequence[tuple[Any, str]] | None
    pad_to: int | None
    max_points: int | None
    squeeze: bool
    image: Image | None
    voxelize: Any

    def __init__(
        self,
        ticks: int | Sequence[int] | Future | None = None,
        *,
        seconds: float | Sequence[float] | None = None,
        name: str | None = None,
        source: str | Sequence[str] | Mapping[str, str | Sequence[str] | None] | None = None,
        scale: Any = None,
        offset: Any = None,
        normalize: Any = None,
        clock_offset: float | Sequence[float] | Mapping[str, Any] = 0.0,
        mode: str = "hold",
        outside: str = "hold",
        tolerance: float | None = None,
        max_gap: float | None = None,
        channels: Sequence[tuple[Any, str]] | None = None,
        pad_to: int | None = None,
        max_points: int | None = None,
        squeeze: bool = False,
        image: Image | None = None,
        voxelize: Voxels | Mapping[str, Voxels | None] | None = None,
    ) -> None:
        if ticks is not None and seconds is not None:
            raise InvalidArgumentError("Window: ticks and seconds found, wanted one of them")
        if ticks is None and seconds is None:
            ticks = 0
        values: dict[str, Any] = {
            "ticks": ticks if ticks is None or isinstance(ticks, Future) else _ticks(ticks),
            "seconds": None if seconds is None else _seconds(seconds),
            "name": None if name is None else _arguments.string("Window: name", name),
            "source": None if source is None else _each(source, _source),
            "scale": _numbers("scale", scale),
            "offset": _numbers("offset", offset),
            "normalize": None if normalize is None else _normalize.checked(normalize),
            "clock_offset": _each(clock_offset, _clock_offset),
            "mode": _arguments.choice("Window: mode", mode, _MODES),
            "outside": _arguments.choice("Window: outside", outside, _OUTSIDES),
            "tolerance": _limit("tolerance", tolerance),
            "max_gap": _limit("max_gap", max_gap),
            "channels": None if channels is None else _channels(channels),
            "pad_to": None
            if pad_to is None
            else _arguments.integer("Window: pad_to", pad_to, 1, _INT32_MAX),
            "max_points": None
            if max_points is None
            else _arguments.integer("Window: max_points", max_points, 1),
            "squeeze": _arguments.flag("Window: squeeze", squeeze),
            "image": image,
            "voxelize": None if voxelize is None else _each(voxelize, _voxels),
        }
        if image is not None and not isinstance(image, Image):
            raise ArgumentTypeError(
                f"Window: image: found {_arguments.found(image)}, wanted a robocache.Image"
            )
        if voxelize is not None:
            for other in _NOT_OF_GRIDS:
                if values[other] is not None:
                    raise InvalidArgumentError(
                        f"Window: voxelize: found with {other}, wanted one of them"
                    )
        drawn = isinstance(values["ticks"], Future)
        width = 1 if drawn else len(values["ticks"] or values["seconds"])
        if values["squeeze"] and width != 1:
            raise InvalidArgumentError(f"Window: squeeze: found with {width} ticks, wanted 1")
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _of(self, given: str, member: str | None, names: Sequence[str]) -> Window | None:
        """Returns the window as it is of one dataset of a mixture; None where that lacks it.

        Args:
            given: the name it is given under.
            member: the dataset; None: there is no mixture.
            names: of all datasets.
        """
        own = {}
        for attribute in _OWN:
            values = getattr(self, attribute)
            if not isinstance(values, dict):
                continue
            argument = f"streams[{given!r}]: {attribute}"
            if member is None:
                raise InvalidArgumentError(
                    f"{argument}: found a dict, which is for the datasets of a mixture"
                )
            check_members(argument, values, names)
            if member not in values and attribute == "source":
                raise InvalidArgumentError(
                    f"{argument}: nothing found for dataset {member!r}, wanted a stream, several, "
                    "or None where it has none"
                )
            own[attribute] = values.get(member)
            if own[attribute] is None and attribute == "source":
                return None
        if own.get("clock_offset", 0.0) is None:
            own["clock_offset"] = 0.0
        if not own:
            return self
        window: Window = object.__new__(Window)
        for key, value in {**self.__dict__, **own}.items():
            object.__setattr__(window, key, value)
        return window

    def _native(
        self, dataset: Dataset, given: str, on_error: str, member: str | None
    ) -> tuple[list[tuple[Any, ...]], tuple[str, _normalize.Normal | None]]:
        """Returns what a loader wants of a window that is given under a name.

        That is what _core.create_loader() does, and the field with what normalises it.
        """
        source = _arguments.string("streams", given) if self.source is None else self.source
        several = (source,) if isinstance(source, str) else source
        argument = "streams" if self.source is None else f"streams[{given!r}]: source"
        parts = [_find_stream(dataset, name, argument) for name in several]
        shape = parts[0].shape
        channels = [None if self.channels is None else list(self.channels)]
        is_vector = not isinstance(source, str) or self.pad_to is not None
        if is_vector:
            shape = (sum(map(_vectors.num_channels, parts)),)
            channels = _vectors.shared_channels(self.channels, parts)
        name = self.name if self.source is None else self.name or given
        scales = _vectors.shared_numbers("Window: scale", self.scale, parts, shape)
        offsets = _vectors.shared_numbers("Window: offset", self.offset, parts, shape)
        normal = None
        if self.normalize is not None:
            own = (self.scale, self.offset)
            _normalize.check_streams(given, parts, self.image is not None)
            affine = _normalize.find(
                self.normalize, dataset, given, parts, shape, own, on_error, member
            )
            both = _normalize.chained(own, affine)
            normal = (*affine, self.pad_to or 0)
            scales, offsets = (
                _vectors.shared_numbers("normalize", each, parts, shape) for each in both
            )
        moved = self.clock_offset
        if not isinstance(moved, tuple):
            moved = (moved,) * len(parts)
        if len(moved) != len(parts):
            raise InvalidArgumentError(
                f"streams[{given!r}]: clock_offset: found {len(moved)}, wanted one for each of "
                f"{len(parts)} streams"
            )
        future = None
        if isinstance(self.ticks, Future):
            future = (self.ticks.first, self.ticks.last, _SHARES.index(self.ticks.share))
        windows = []
        for i, part in enumerate(parts):
            vector = _NO_VECTOR if not is_vector else _JOINS if i > 0 else _BEGINS
            changes: tuple[Any, ...] = (
                *(vector, scales[i], offsets[i], round(moved[i] * 1e9), future),
                *(() if self.pad_to is None or i > 0 else (self.pad_to,)),
                *(() if self.voxelize is None else (0, self.voxelize._native(part))),
            )
            window = self._native_part(dataset, part, name, channels[i])
            windows.append((*window, None if changes == _NO_CHANGES else changes))
        return windows, (name or parts[0].name, normal)

    def _native_part(
        self,
        dataset: Dataset,
        info: StreamInfo,
        name: str | None,
        channels: list[tuple[Any, str]] | None,
    ) -> tuple[Any, ...]:
        max_points = self.max_points or 0
        is_cloud = info.is_ragged and info.times is None
        if self.max_points is None and self.voxelize is None and is_cloud:
            max_points = max(dataset._most_rows(info.name), 1)
        offsets = None
        if self.seconds is not None:
            offsets = [round(second * 1_000_000_000) for second in self.seconds]
        return (
            info.name,
            name,
            None if self.ticks is None or isinstance(self.ticks, Future) else list(self.ticks),
            offsets,
            self.mode,
            self.outside,
            channels,
            info.shape[-1] if info.shape else 1,
            -1.0 if self.max_gap is None else self.max_gap * 1e9,
            -1.0 if self.tolerance is None else self.tolerance * 1e9,
            max_points,
            self.squeeze,
            None if self.image is None else self.image._native(),
        )


def _each(value: Any, check: Callable[[Any], Any]) -> Any:
    """Checks a value, or, in a dict of them, that of each dataset of a mixture."""
    if isinstance(value, Mapping):
        return {name: None if own is None else check(own) for name, own in value.items()}
    return check(value)


def _voxels(value: Any) -> Voxels:
    if not isinstance(value, Voxels):
        raise ArgumentTypeError(
            f"Window: voxelize: found {_arguments.found(value)}, wanted a robocache.Voxels"
        )
    return value


def _numbers(name: str, value: Any) -> Any:
    def check(own: Any) -> Any:
        return _vectors.checked_numbers(f"Window: {name}", own)

    return None if value is None else _each(value, check)


def _source(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _arguments.string("Window: source", value)
    names = _arguments.items("Window: source", value, "the name of a stream, or a list of names")
    checked = tuple(_arguments.string("Window: source", name) for name in names)
    if not checked:
        raise InvalidArgumentError("Window: source: no stream found, wanted one or more")
    return checked


def _clock_offset(value: Any) -> float | tuple[float, ...]:
    name = "Window: clock_offset"
    checked = _vectors.checked_numbers(name, value)
    for each in checked if isinstance(checked, tuple) else (checked,):
        if not isinstance(each, float):
            raise ArgumentTypeError(f"{name}: found {_arguments.found(value)}, wanted seconds")
        if abs(each) > _MAX_SECONDS:
            raise InvalidArgumentError(f"{name}: found {each:g}, wanted at most {_MAX_SECONDS:g}")
    return checked  # type: ignore[no-any-return]


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
    on_error: str = "raise",
    *,
    member: str | None = None,
    names: Sequence[str] = (),
) -> tuple[list[tuple[Any, ...]], dict[str, _normalize.Normal]]:
    """Returns what _core.create_loader() wants, and what normalises which field.

    Args:
        dataset: whose streams are taken.
        streams: as of a DataLoader.
        delta_timestamps: likewise.
        on_error: what damaged data does to the statistics that normalising needs.
        member: which dataset of a mixture it is; None: the only one.
        names: of the mixture's datasets.
    """
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
    natives: list[tuple[Any, ...]] = []
    normal: dict[str, _normalize.Normal] = {}
    for name, window in chosen:
        own_window = window._of(name, member, names)
        if own_window is None:
            natives.append(_absent(window.name or name))
            continue
        with of_member(member):
            own, (field, undone) = own_window._native(dataset, name, on_error, member)
        natives += own
        if undone is not None:
            normal[field] = undone
    return natives, normal


def identity_of(windows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Returns what has to be as it was for a state to be of the same windows.

    That is what a window consists of without the changes that it does not have, so that a state of
    a version that knew of none is still one.
    """
    return [window[:-1] if window[-1] is None else window for window in windows]


def _absent(name: str) -> tuple[Any, ...]:
    """Returns what _core.create_loader() wants of a field that a dataset has no stream for."""
    return (None, name, [0], None, "hold", "hold", None, 1, -1.0, -1.0, 0, False, None, None)


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
