"""What a contact sheet shows of an episode, as the loader delivers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import robocache

from ._clocks import find_gaps
from ._readable import why_unreadable
from .errors import Error, InvalidArgumentError
from .loader import SNAP_NS
from .suggest import is_action, is_picture, is_point_cloud, suggest_windows
from .window import Window

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .dataset import Dataset
    from .episode import Episode, Stream

MAX_SIGNALS = 12
MAX_CHANNELS = 32
MAX_CONSTANT = 8
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

    @property
    def is_flag(self) -> bool:
        """Whether it says yes or no."""
        return self.values.dtype.kind == "b"


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
    constants: dict[str, str] = field(default_factory=dict)  # the one value of each
    valid: dict[str, NDArray[numpy.bool_]] = field(default_factory=dict)  # [T] each
    gaps: dict[str, NDArray[numpy.int64]] = field(default_factory=dict)  # [N, 2] each, ns
    is_pad: dict[str, NDArray[numpy.bool_]] = field(default_factory=dict)  # [T, chunk] each
    left_out: dict[str, str] = field(default_factory=dict)  # streams not drawn, with the reason


def gather(
    dataset: Dataset,
    index: int,
    rate_hz: float | None,
    num_frames: int,
    chunk: int,
    max_gap: float | None,
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
    windows = suggest_windows(view, chunk=chunk, max_points=most or None)
    if not windows:
        raise InvalidArgumentError(f"{dataset.path}: no stream that could be drawn")
    if max_gap is not None:
        windows = {name: _limited(window, max_gap) for name, window in windows.items()}
    sheet = _gather_signals(view, episode, windows, rate_hz, num_frames)
    _gather_frames(view, sheet, windows)
    for name in sheet.valid:
        if dataset.streams[name].times is not None:
            limit_ns = None if max_gap is None else max_gap * 1e9
            sheet.gaps[name] = find_gaps(_sample_times(episode[name]), limit_ns)
    for name, info in view.streams.items():
        reason = None if name in windows else why_unreadable(view, info)
        if reason is not None:
            sheet.left_out[name] = reason
    return sheet


def _limited(window: Window, max_gap: float) -> Window:
    fields = {name: getattr(window, name) for name in ("name", "mode", "channels", "max_points")}
    return Window(window.ticks, max_gap=max_gap, **fields)


def _gather_signals(
    view: Dataset,
    episode: Episode,
    windows: dict[str, Window],
    rate_hz: float | None,
    num_frames: int,
) -> Sheet:
    """Returns the sheet with its clock and the numeric streams, as delivered at every tick."""
    import numpy as np

    names, constants, left_out = _choose_signals(view, episode, windows)
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
    sheet = Sheet(episode, rate, fields["time_ns"], shown, constants=constants, left_out=left_out)
    for name in names:
        stream = episode[name]
        sheet.valid[name] = fields[f"{name}_valid"][:, 0]
        sheet.signals.append(
            Signal(
                name=name,
                mode=_modes(windows[name]),
                rate_hz=_rate(stream),
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


def _modes(window: Window) -> str:
    """Returns the mode of a window and those of channels that have others, "linear, angle"."""
    others = (mode for _, mode in window.channels or ())
    return ", ".join(dict.fromkeys([window.mode, *others]))


def _rate(stream: Stream) -> float | None:
    """Returns samples a second: one over the usual spacing of stamps, so that gaps do not count."""
    import numpy as np

    if stream.info.times is None or stream.num_samples < 2:
        return stream.info.rate_hz
    spacing_ns = float(np.median(np.diff(stream.times_ns)))
    return 1e9 / spacing_ns if spacing_ns > 0 else None


def _gather_frames(view: Dataset, sheet: Sheet, windows: dict[str, Window]) -> None:
    """Adds images and point clouds at the ticks shown, each one window of the first sample.

    Nothing is decoded for the other ticks, so their masks come from the stamps. A stream whose
    images cannot be had is left out.
    """
    valid = {}
    for name, window in windows.items():
        info = view.streams[name]
        is_cloud = is_point_cloud(info)
        if not is_picture(info) and not is_cloud:
            continue
        try:
            batch = _load_shown(view, sheet, name, window)
            valid[name] = _valid_at_ticks(sheet, name, window.max_gap)
        except Error as error:
            sheet.left_out[name] = str(error)
            continue
        if is_cloud:
            lengths = batch[f"{name}_lengths"][0]
            sheet.clouds[name] = [
                cloud[:length] for cloud, length in zip(batch[name][0], lengths, strict=True)
            ]
        else:
            sheet.frames[name] = list(batch[name][0])
    sheet.valid = {**valid, **sheet.valid}


def _load_shown(view: Dataset, sheet: Sheet, name: str, window: Window) -> dict[str, Any]:
    loader = robocache.DataLoader(
        view,
        1,
        rate_hz=sheet.rate_hz,
        streams={
            name: Window(sheet.shown.tolist(), mode="hold", max_points=window.max_points or None)
        },
        num_threads=1,
        num_slots=1,
        array="numpy",
    )
    with loader:
        batch: dict[str, Any] = next(iter(loader))
    return batch


def _sample_times(stream: Stream) -> NDArray[numpy.int64]:
    """Returns a stamp for each sample; a step of a point cloud is one, however many points."""
    import numpy as np

    times_ns = stream.times_ns
    if is_point_cloud(stream.info):
        lengths = stream.row_lengths
        times_ns = times_ns[np.cumsum(lengths)[lengths > 0] - 1]
    return times_ns


def _valid_at_ticks(sheet: Sheet, name: str, max_gap: float | None) -> NDArray[numpy.bool_]:
    import numpy as np

    times_ns = _sample_times(sheet.episode[name])
    # A stamp no further behind a tick than the loader's snap is at it.
    _, valid = robocache.resample_trajectories(
        np.zeros((1, len(times_ns), 1), np.float32),
        times_ns,
        sheet.ticks_ns + SNAP_NS,
        mode="hold",
        max_gap=None if max_gap is None else max_gap * 1e9 + SNAP_NS,
        return_valid=True,
    )
    found: NDArray[numpy.bool_] = valid[0].astype(np.bool_)
    return found


def _choose_signals(
    dataset: Dataset, episode: Episode, windows: dict[str, Window]
) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """Returns the numeric streams that are worth a row, in the order of the rows.

    Also the values of those that never change, and why others are not drawn.
    """
    import numpy as np

    found: list[tuple[int, str]] = []
    constants: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in windows:
        info = dataset.streams[name]
        if info.kind != "numeric" or is_picture(info) or is_point_cloud(info):
            continue
        channels = int(np.prod(info.shape))
        values = episode[name].values.reshape(-1, max(channels, 1))
        if not values.size:
            left_out[name] = "no values in this episode"
        elif (values == values[:1]).all():
            constants[name] = _format_values(values[0])
        elif channels > MAX_CHANNELS:
            left_out[name] = f"{channels} channels"
        else:
            # Vectors that move first, then numbers, then flags; the actions last, above their mask.
            kind = values.dtype.kind
            rank = 2 if kind == "b" else 1 if kind in "iu" or not info.shape else 0
            found.append((3 if is_action(info) else rank, name))
    found.sort(key=lambda item: item[0])
    actions = [name for rank, name in found if rank == 3][:2]
    names = [name for _, name in found if name not in actions]
    drawn = names[: MAX_SIGNALS - len(actions)]
    for name in names[len(drawn) :]:
        left_out[name] = f"{MAX_SIGNALS} others are drawn"
    return drawn + actions, constants, left_out


def _format_values(values: NDArray[Any]) -> str:
    texts = [f"{value:.6g}" if values.dtype.kind == "f" else str(value) for value in values]
    if len(texts) > MAX_CONSTANT:
        texts = [*texts[:MAX_CONSTANT], f"… ({len(values)})"]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
