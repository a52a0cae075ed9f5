"""Aligned, shuffled batches from a dataset."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _core
from .dataset import Dataset, StreamInfo, readable
from .errors import ArgumentTypeError, InvalidArgumentError, UnsupportedError

__all__ = ["DataLoader", "Window"]

_STATE_VERSION = 1
# What has to be as it was for a position to mean the same samples.
_STATE_KEYS = ("fingerprint", "num_samples", "batch_size", "shuffle", "seed", "drop_last")


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
        max_points: for point clouds: points a sample is padded to.
    """

    ticks: tuple[int, ...] | None
    seconds: tuple[float, ...] | None
    name: str | None
    mode: str
    outside: str
    tolerance: float | None
    max_gap: float | None
    channels: Sequence[tuple[Any, str]] | None
    max_points: int

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
    ) -> None:
        if ticks is not None and seconds is not None:
            raise InvalidArgumentError("Window: ticks and seconds found, wanted one of them")
        if ticks is None and seconds is None:
            ticks = 0
        values = {
            "ticks": _tuple(ticks, int, "ticks"),
            "seconds": _tuple(seconds, float, "seconds"),
            "name": name,
            "mode": mode,
            "outside": outside,
            "tolerance": tolerance,
            "max_gap": max_gap,
            "channels": channels,
            "max_points": max_points or 0,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _native(self, info: StreamInfo) -> tuple[Any, ...]:
        """Returns what _core.create_loader() wants of a window on stream `info`."""
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
            self.max_points,
        )


def _tuple(value: Any, kind: type, name: str) -> tuple[Any, ...] | None:
    if value is None:
        return None
    try:
        items = (value,) if isinstance(value, (int, float)) else tuple(value)
        if kind is int and any(item != int(item) for item in items):
            raise ValueError(name)
        return tuple(kind(item) for item in items)
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            f"Window: {name} {value!r} found, wanted a sequence of {kind.__name__}"
        ) from None


def _find_stream(dataset: Dataset, name: str) -> StreamInfo:
    """Returns the stream of that name, or of LeRobot's spelling of it, with dots."""
    for spelling in (name, name.replace(".", "/")):
        if spelling in dataset.streams:
            return dataset.streams[spelling]
    return dataset.streams[name]


def _windows(
    dataset: Dataset,
    streams: Mapping[str, Window | Sequence[Window]] | Sequence[str] | None,
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
                    raise ArgumentTypeError(f"streams[{name!r}]: found {window!r}, wanted a Window")
                chosen.append((name, window))
    elif streams is not None:
        chosen += [(name, Window()) for name in streams]
    for name, seconds in (delta_timestamps or {}).items():
        chosen.append((name, Window(seconds=seconds, name=name, mode="nearest")))
    return [window._native(_find_stream(dataset, name)) for name, window in chosen]


def _process_group(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Returns rank and world size: as given, of torch.distributed or the environment, or 0, 1."""
    if (rank is None) != (world_size is None):
        raise InvalidArgumentError(
            f"rank: {rank} found with world_size {world_size}: give both or neither"
        )
    if rank is not None and world_size is not None:
        return rank, world_size
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    found = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if found == (None, None):
        return 0, 1
    try:
        return int(found[0] or ""), int(found[1] or "")
    except ValueError:
        raise InvalidArgumentError(
            f"RANK, WORLD_SIZE: {found[0]!r}, {found[1]!r} found in the environment, wanted two "
            "integers; or give rank and world_size"
        ) from None


def _delivery(array: str | None) -> Any:
    """Returns what _core.create_loader() makes tensors with."""
    if array not in (None, "numpy", "torch"):
        raise InvalidArgumentError(f"array: {array!r} found, wanted 'numpy', 'torch' or None")
    if array == "torch" or (array is None and importlib.util.find_spec("torch") is not None):
        import torch

        return torch.Tensor
    import numpy

    return numpy.asarray


class DataLoader:
    """Batches of aligned windows, made by native threads and delivered in order.

    A sample is a tick of the clock in an episode, and every tick of every episode is one. A batch
    is a dict with, for every window: `<name>` [B, W, ...], `<name>_is_pad` [B, W] bool (the time
    lies outside the episode), `<name>_valid` [B, W] bool (the stream's samples speak of that time,
    see :class:`Window`), for point clouds `<name>_lengths` [B, W] int64; and "episode_index",
    "step_index", "time_ns" (int64 [B]) and "task" (list of str). Text windows are lists of lists of
    str. Tensors stay valid for as long as they are held.

    ``for batch in loader`` delivers one epoch; the next ``for`` delivers the next one, also after
    an early ``break``. Which samples an epoch holds, and in which order, depends on the episodes,
    the seed and the epoch alone. Batch k of rank r begins at position
    (k * world_size + r) * batch_size of that order.

    Args:
        dataset: the episodes to draw from.
        batch_size: samples a batch.
        rate_hz: the clock; by default the dataset's control rate. 29.97 means 30000/1001, and so on
            for all video rates; any other float a short fraction that rounds to it.
        streams: stream names to Window, or to a list of them; a list of names takes one tick of
            each; by default all numeric and image streams, those left out with a warning that
            cannot be read.
        delta_timestamps: LeRobot's dict of stream names to seconds, taken with mode "nearest".
        shuffle: whether to shuffle over all samples.
        seed: of the order.
        num_threads: worker threads; 0 means all cores.
        num_slots: batches prepared ahead; 0 means num_threads + 2. Memory is num_slots batches
            (stats()["slot_bytes"] each) and those still held.
        device: "cpu".
        drop_last: leave out a last batch that is not full.
        on_error: what a damaged sample does: "raise" from the batch it is in, the next batch being
            next; or "skip", which leaves it out of its batch and lists it in :attr:`skipped`.
        rank, world_size: this process among those that share an epoch; by default those of
            torch.distributed where it is initialised, else $RANK and $WORLD_SIZE, else 0 of 1.
        remainder: of samples that do not divide evenly by world_size: "uneven" (every sample once;
            some ranks have one batch more or a smaller one), "drop" (the last few are left out) or
            "repeat" (the first few come twice).
        array: "torch" or "numpy"; by default torch tensors where torch is installed.
        jpeg_dct: "accurate" or "fast", see robocache.open(); by default as the dataset was opened.
        snap_ns: moments up to this many nanoseconds apart are one: stamps and targets, offsets in
            seconds and ticks. It takes up what was rounded on the way to nanoseconds; 0 compares
            exactly.

    Raises:
        InvalidArgumentError: an argument is wrong, or rate_hz is needed and not given.
        NotFoundError: there is no such stream; the message lists those there are.
        UnsupportedError: this build cannot deliver to the device.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        *,
        rate_hz: float | None = None,
        streams: Mapping[str, Window | Sequence[Window]] | Sequence[str] | None = None,
        delta_timestamps: Mapping[str, Sequence[float]] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        num_threads: int = 0,
        num_slots: int = 0,
        device: str = "cpu",
        drop_last: bool = False,
        on_error: str = "raise",
        rank: int | None = None,
        world_size: int | None = None,
        remainder: str = "uneven",
        array: str | None = None,
        jpeg_dct: str | None = None,
        snap_ns: int = 1000,
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise ArgumentTypeError(f"dataset: found {dataset!r}, wanted what robocache.open gives")
        if str(device) != "cpu":
            raise UnsupportedError(f"device: {device!r} found, this build delivers to 'cpu' only")
        if not 0 <= seed < 2**64:
            raise InvalidArgumentError(f"seed: {seed} found, wanted 0 to 2^64 - 1")
        self.dataset = dataset
        self.batch_size = batch_size
        self.rank, self.world_size = _process_group(rank, world_size)
        self.seed = seed
        self._shuffle = bool(shuffle)
        self._drop_last = bool(drop_last)
        self._native = _core.create_loader(
            dataset._selection,
            _windows(dataset, streams, delta_timestamps),
            _delivery(array),
            batch_size,
            rate_hz or 0.0,
            shuffle,
            seed,
            drop_last,
            num_threads,
            num_slots,
            on_error,
            self.rank,
            self.world_size,
            remainder,
            jpeg_dct,
            snap_ns,
        )

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        return self._native.num_batches()

    @property
    def num_samples(self) -> int:
        """Samples of all ranks in an epoch."""
        return self._native.num_samples()

    @property
    def epoch(self) -> int:
        """The epoch that is being delivered, or is delivered next."""
        return self._native.tell()[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._native.iterate()

    def state_dict(self) -> dict[str, Any]:
        """Returns where the loader stands, as a dict that JSON can hold.

        Load it in a loader over the same episodes with the same batch_size, seed, shuffle and
        drop_last to go on with the batch after the last one delivered. A batch counts as delivered
        when next() has returned it, or has raised what is damaged in it. All ranks of a synchronous
        run stand at the same position, so any rank's state serves all of them: a rank that has no
        batch in the last round stands there once it has been told that its epoch is over.
        """
        epoch, position = self._native.tell()
        return {
            "version": _STATE_VERSION,
            "epoch": epoch,
            "position": position,
            "world_size": self.world_size,
            "num_batches": self._native.num_rounds(),
            **self._identity(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where a :meth:`state_dict` was taken, from the next iteration on.

        Taken at the end of an epoch, the next iteration is the next epoch. In the last round of an
        epoch, the next iteration of a rank that has no batch there is empty: all ranks go on in the
        same epoch. The world size may differ where the batches delivered so far, counted over all
        ranks, are a multiple of the new one; the position becomes that multiple.

        Raises:
            InvalidArgumentError: the state is of other samples, or cannot be continued exactly.
        """
        if state.get("version") != _STATE_VERSION:
            raise InvalidArgumentError(
                f"state: version {state.get('version')!r} found, {_STATE_VERSION} wanted"
            )
        for key, value in self._identity().items():
            if state.get(key) != value:
                raise InvalidArgumentError(
                    f"state: {key} {state.get(key)!r} found, this loader has {value!r}"
                )
        epoch, position = int(state["epoch"]), int(state["position"])
        world_size = int(state["world_size"])
        if epoch < 0 or position < 0 or world_size < 1:
            raise InvalidArgumentError(
                f"state: epoch {epoch}, position {position}, world_size {world_size} found"
            )
        if position >= int(state["num_batches"]):
            epoch, position = epoch + 1, 0
        elif world_size != self.world_size:
            delivered = position * world_size
            if delivered % self.world_size != 0:
                raise InvalidArgumentError(
                    f"state: {position} batches on each of {world_size} ranks cannot be continued "
                    f"on {self.world_size}: {delivered} is no multiple of it"
                )
            position = delivered // self.world_size
        if position >= self._native.num_rounds():
            epoch, position = epoch + 1, 0
        self._native.seek(epoch, position)

    def _identity(self) -> dict[str, Any]:
        values = (
            f"{self.dataset._selection.fingerprint():016x}",
            self.num_samples,
            self.batch_size,
            self._shuffle,
            self.seed,
            self._drop_last,
        )
        return dict(zip(_STATE_KEYS, values, strict=True))

    def stats(self) -> dict[str, int]:
        """Returns counters since the loader was made, see docs: batches, samples, bytes, slots.

        "slots" above num_slots says that batches are being held. Times are in nanoseconds;
        "wait_ns" is how long the training loop waited.
        """
        return self._native.stats()

    @property
    def skipped(self) -> list[str]:
        """Error messages of the samples left out (on_error="skip"); the first 1,000."""
        messages: list[str] = []
        while (message := self._native.skipped(len(messages))) is not None:
            messages.append(message)
        return messages

    def close(self) -> None:
        """Stops the threads. Batches still held stay valid."""
        self._native.close()

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
