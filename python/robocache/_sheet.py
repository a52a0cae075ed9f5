"""What a contact sheet shows of an episode, as the loader delivers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import robocache

from .errors import InvalidArgumentError
from .suggest import is_action, is_point_cloud, suggest_windows

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .dataset import Dataset, Episode
    from .loader import Window

MAX_SIGNALS = 6
MAX_CHANNELS = 32
BATCH_SIZE = 256


@dataclass
class Signal:
    """A numeric stream as it was recorded (times_ns [S], values [S, D]) and on the clock."""

    name: str
    mode: str
    rate_hz: float | None
    times_ns: NDArray[numpy.int64]
    values: NDArray[Any]
    aligned: NDArray[Any]  # [T, D]
    valid: NDArray[numpy.bool_]  # [T]


@dataclass
class Sheet:
    """One episode on a clock of T ticks."""

    episode: Episode
    rate_hz: float
    ticks_ns: NDArray[numpy.int64]  # [T]
    shown: NDArray[numpy.int64]  # ticks whose frames are drawn
    frames: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    clouds: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    valid: dict[str, NDArray[numpy.bool_]] = field(default_factory=dict)  # [T] each
    is_pad: dict[str, NDArray[numpy.bool_]] = field(default_factory=dict)  # [T, chunk] each


def gather(
    dataset: Dataset, index: int, rate_hz: float | None, num_frames: int, chunk: int
) -> Sheet:
    """Loads what is drawn of episode `index`: signals at every tick, images at some.

    Raises:
        NotFoundError: there is no such episode.
        InvalidArgumentError: rate_hz is needed and not given, or there is nothing to draw.
    """
    episode = dataset.episodes[index]
    view = dataset.take([index])
    clouds = [name for name, info in dataset.streams.items() if is_point_cloud(info)]
    most = max((int(episode[name].row_lengths.max(initial=0)) for name in clouds), default=0)
    windows = suggest_windows(dataset, chunk=chunk, max_points=most or None)
    if not windows:
        raise InvalidArgumentError(f"{dataset.path}: no stream that could be drawn")
    sheet = _gather_signals(view, episode, windows, rate_hz, num_frames)
    _gather_frames(view, sheet, windows)
    return sheet


def _gather_signals(
    view: Dataset,
    episode: Episode,
    windows: dict[str, Window],
    rate_hz: float | None,
    num_frames: int,
) -> Sheet:
    """Returns the sheet with its clock and the numeric streams, as delivered at every tick."""
    import numpy as np

    names = _choose_signals(view, episode, windows)
    # Some stream is needed to learn the clock.
    wanted = {name: windows[name] for name in names or list(windows)[:1]}
    loader = robocache.DataLoader(
        view, BATCH_SIZE, rate_hz=rate_hz, streams=wanted, num_threads=1, array="numpy"
    )
    with loader:
        batches = list(loader)
    if not batches:
        raise InvalidArgumentError(f"{view.path}: episode {episode.id} has no ticks")
    fields = {
        name: np.concatenate([batch[name] for batch in batches])
        for name in batches[0]
        if name != "task"
    }
    count = len(fields["time_ns"])
    shown = np.unique(np.linspace(0, count - 1, num_frames).round().astype(np.int64))
    rate = rate_hz or view.control_rate_hz
    if rate is None:
        raise InvalidArgumentError(f"{view.path}: its control rate is unknown: rate_hz is needed")
    sheet = Sheet(episode, rate, fields["time_ns"], shown)
    for name in names:
        stream = episode[name]
        sheet.valid[name] = fields[f"{name}_valid"][:, 0]
        sheet.signals.append(
            Signal(
                name=name,
                mode=windows[name].mode,
                rate_hz=stream.info.rate_hz,
                times_ns=stream.times_ns,
                values=stream.values.reshape(stream.num_samples, -1),
                aligned=fields[name][:, 0].reshape(count, -1),
                valid=sheet.valid[name],
            )
        )
        is_pad = fields[f"{name}_is_pad"]
        if is_action(stream.info) and is_pad.shape[1] > 1:
            sheet.is_pad[name] = is_pad
    return sheet


def _gather_frames(view: Dataset, sheet: Sheet, windows: dict[str, Window]) -> None:
    """Adds images and point clouds at the ticks shown, all of them one window of the first sample.

    Nothing is decoded for the other ticks, so their masks come from the stamps.
    """
    import numpy as np

    streams = view.streams
    images = [name for name in windows if streams[name].kind == "image"]
    clouds = [name for name in windows if is_point_cloud(streams[name])]
    if not images and not clouds:
        return
    ticks = sheet.shown.tolist()
    loader = robocache.DataLoader(
        view,
        1,
        rate_hz=sheet.rate_hz,
        streams={
            name: robocache.Window(ticks, mode="hold", max_points=windows[name].max_points)
            for name in (*images, *clouds)
        },
        num_threads=1,
        num_slots=1,
        array="numpy",
    )
    with loader:
        batch = next(iter(loader))
    valid = {}
    for name in (*images, *clouds):
        times_ns = sheet.episode[name].times_ns
        if name in clouds:
            # A step is one sample, however many points it has, and all have its time.
            lengths = sheet.episode[name].row_lengths
            times_ns = times_ns[np.cumsum(lengths)[lengths > 0] - 1]
        _, valid[name] = robocache.resample_trajectories(
            np.zeros((1, len(times_ns), 1), np.float32),
            times_ns,
            sheet.ticks_ns,
            mode="hold",
            return_valid=True,
        )
        valid[name] = valid[name][0].astype(np.bool_)
    sheet.valid = {**valid, **sheet.valid}
    sheet.frames = {name: list(batch[name][0]) for name in images}
    sheet.clouds = {
        name: [
            cloud[:length]
            for cloud, length in zip(batch[name][0], batch[f"{name}_lengths"][0], strict=True)
        ]
        for name in clouds
    }


def _choose_signals(dataset: Dataset, episode: Episode, windows: dict[str, Window]) -> list[str]:
    """Returns the numeric streams worth a row: vectors of floats that change, the actions last."""
    import numpy as np

    found = []
    for name in windows:
        info = dataset.streams[name]
        if info.kind != "numeric" or is_point_cloud(info) or not info.dtype.startswith("float"):
            continue
        if int(np.prod(info.shape)) > MAX_CHANNELS:
            continue
        values = episode[name].values
        if len(values) > 1 and bool((values != values[:1]).any()):
            found.append(name)
    actions = [name for name in found if is_action(dataset.streams[name])][:2]
    others = [name for name in found if not is_action(dataset.streams[name])]
    # Vectors say more than single numbers such as a reward.
    others.sort(key=lambda name: not dataset.streams[name].shape)
    return others[: MAX_SIGNALS - len(actions)] + actions
