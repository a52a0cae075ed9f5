"""Pictures of episodes: what the loader delivers, beside what was recorded.

Needs Matplotlib, which ``pip install robocache[view]`` brings.
"""

from __future__ import annotations

import os
import re
import textwrap
from typing import TYPE_CHECKING, Any

import robocache

from . import _arguments
from ._sheet import Sheet, Signal, gather
from .errors import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .dataset import Dataset

__all__ = ["contact_sheet", "save_contact_sheet"]

_MAX_CLOUD_POINTS = 4000

_WIDTH_IN = 12.0
_LEFT_IN = 1.75
_RIGHT_IN = 0.15
_FRAME_GAP_IN = 0.06
_SIGNAL_IN = 0.92
_FLAG_IN = 0.20
_NOTE_IN = 0.17
_GAP_IN = 0.10
_FAN_IN = 0.30
_MASK_TITLE_IN = 0.10
_AXIS_IN = 0.5
_MASK_ROW_IN = 0.14
_CHUNK_ROW_IN = 0.055
_LINE_CHARACTERS = 18  # of a label, which is left of the numbers of an axis
_NAME_CHARACTERS = 32  # of a label in one line

_VALID, _INVALID = "#8fc7a1", "#d1495b"
_INSIDE, _PADDING = "#e9ebf0", "#44507a"
_GAP_COLOR = "#f0b3a6"
_FRAME_MARK = "#b9bec9"


def contact_sheet(
    dataset: Dataset,
    index: int = 0,
    *,
    rate_hz: float | None = None,
    num_frames: int = 8,
    chunk: int = 16,
    max_gap: float | None = None,
) -> Any:
    """Draws an episode on one time axis.

    From top to bottom: frames of every image stream and point clouds seen from above, at evenly
    spaced ticks; numeric streams that change, lines as recorded and dots as delivered on the clock,
    flags as bars, gaps shaded; masks: where each stream is valid, and which ticks of an action
    chunk are padding; the streams that never change; those that are not drawn, with the reason; and
    the dataset's notes.

    Args:
        dataset: the episodes to choose from.
        index: which of them.
        rate_hz: the clock; by default the dataset's control rate.
        num_frames: frames a row.
        chunk: ticks of the action streams' windows.
        max_gap: of all windows, in seconds: samples further apart are not valid to go between, and
            their spacing is drawn as a gap. By default all ticks between samples are valid, and a
            spacing of more than twice the median is drawn as a gap.

    Returns:
        A ``matplotlib.figure.Figure``.

    Raises:
        UnsupportedError: Matplotlib is not installed.
        NotFoundError: there is no such episode.
        InvalidArgumentError: rate_hz is needed and not given, or the episode has nothing to draw.
    """
    figure_class = _figure_class()
    return _draw(figure_class, gather(dataset, index, rate_hz, num_frames, chunk, max_gap), dataset)


def save_contact_sheet(
    dataset: Dataset,
    index: int,
    path: str | os.PathLike[str],
    *,
    rate_hz: float | None = None,
    num_frames: int = 8,
    chunk: int = 16,
    max_gap: float | None = None,
) -> dict[str, Any]:
    """Writes :func:`contact_sheet` to a file, in the format that its name ends with, else as PNG.

    Returns:
        What was drawn: "format" of the file, "episode" (its row in the catalog), "ticks",
        "rate_hz", "images", "clouds", "signals" and "constants" (names of streams), "gaps" (how
        many each stream has) and "left_out" (streams that are not drawn, with the reason).

    Raises:
        IoError: the file cannot be written. Otherwise as contact_sheet() does.
    """
    name = _arguments.path("path", path)
    figure_class = _figure_class()
    file_format = os.path.splitext(name)[1].lstrip(".").lower() or "png"
    sheet = gather(dataset, index, rate_hz, num_frames, chunk, max_gap)
    figure = _draw(figure_class, sheet, dataset)
    try:
        figure.savefig(name, dpi=100, format=file_format)
    except OSError as error:
        raise robocache.errors.IoError(f"{name}: {error.strerror or error}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error
    return {
        "format": file_format,
        "episode": sheet.episode.id,
        "ticks": len(sheet.ticks_ns),
        "rate_hz": sheet.rate_hz,
        "images": list(sheet.frames),
        "clouds": list(sheet.clouds),
        "signals": [signal.name for signal in sheet.signals],
        "constants": list(sheet.constants),
        "gaps": {name: len(gaps) for name, gaps in sheet.gaps.items() if len(gaps)},
        "left_out": sheet.left_out,
    }


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            f"pictures need Matplotlib ({error}): pip install 'robocache[view]'"
        ) from error
    return Figure


class _Canvas:
    """A figure of fixed width that is filled from the top, in inches."""

    def __init__(self, figure_class: Any, height_in: float) -> None:
        self.figure = figure_class(figsize=(_WIDTH_IN, height_in))
        self.height_in = height_in
        self.top_in = 0.0

    def axes(self, height_in: float, left_in: float, width_in: float) -> Any:
        """Returns axes at the current height, which stays where it is."""
        bottom = self.height_in - self.top_in - height_in
        return self.figure.add_axes(
            (
                left_in / _WIDTH_IN,
                bottom / self.height_in,
                width_in / _WIDTH_IN,
                height_in / self.height_in,
            )
        )

    def label(self, height_in: float, text: str, **options: Any) -> None:
        """Writes text left of the row of that height which begins at the current height."""
        y = 1.0 - (self.top_in + height_in / 2) / self.height_in
        x = (_LEFT_IN - 0.5) / _WIDTH_IN
        size = min(8, height_in * 72 / (1.25 * (text.count("\n") + 1)))
        self.figure.text(x, y, text, ha="right", va="center", fontsize=size, **options)

    def note(self, text: str) -> None:
        """Writes a line at the current height and goes on below it."""
        y = 1.0 - (self.top_in + _NOTE_IN / 2) / self.height_in
        self.figure.text(_LEFT_IN / _WIDTH_IN, y, text, va="center", fontsize=7, color="0.25")
        self.top_in += _NOTE_IN


def _plot_width() -> float:
    return _WIDTH_IN - _LEFT_IN - _RIGHT_IN


def _frame_size(sheet: Sheet, frames: list[NDArray[Any]]) -> tuple[float, float]:
    """Returns width and height of one frame in inches."""
    slots = max(len(sheet.shown), 6)
    width = (_plot_width() - _FRAME_GAP_IN * (slots - 1)) / slots
    height, columns = frames[0].shape[:2] if frames and frames[0].ndim == 3 else (1, 1)
    return width, width * min(max(height / max(columns, 1), 0.4), 1.2)


def _draw(figure_class: Any, sheet: Sheet, dataset: Dataset) -> Any:
    task = textwrap.wrap(sheet.episode.task, 110)[:2]
    title_in = 0.45 + 0.2 * len(task)
    shown = {name: [_drawable(frame) for frame in frames] for name, frames in sheet.frames.items()}
    rows = [*shown.values(), *sheet.clouds.values()]
    frames_in = sum(_frame_size(sheet, frames)[1] + _FRAME_GAP_IN for frames in rows)
    signals_in = sum(_signal_height(signal) + _GAP_IN for signal in sheet.signals)
    notes = _notes(sheet, dataset.notes)
    masks_in = _MASK_TITLE_IN + _MASK_ROW_IN * len(sheet.valid) + _GAP_IN
    chunk_in = sum(_CHUNK_ROW_IN * pad.shape[1] + _GAP_IN for pad in sheet.is_pad.values())
    canvas = _Canvas(
        figure_class,
        title_in
        + frames_in
        + _FAN_IN
        + signals_in
        + masks_in
        + chunk_in
        + _AXIS_IN
        + _NOTE_IN * len(notes),
    )

    _draw_title(canvas, sheet, dataset, task)
    canvas.top_in = title_in
    for name, frames in shown.items():
        _draw_frames(canvas, sheet, name, frames)
    for name, clouds in sheet.clouds.items():
        _draw_clouds(canvas, sheet, name, clouds)
    if rows:
        _draw_fan(canvas, sheet, _frame_size(sheet, rows[0])[0])
    canvas.top_in += _FAN_IN
    axes = [_draw_signal(canvas, sheet, signal) for signal in sheet.signals]
    axes.append(_draw_valid(canvas, sheet))
    axes += [_draw_padding(canvas, sheet, name, pad) for name, pad in sheet.is_pad.items()]
    for axis in axes:
        axis.set_xlim(*_span_s(sheet))
        axis.tick_params(labelsize=7, labelbottom=axis is axes[-1])
        axis.yaxis.get_offset_text().set_fontsize(7)
        for side in axis.spines.values():
            side.set_linewidth(0.5)
    axes[-1].set_xlabel(
        f"seconds since the first tick of the {sheet.rate_hz:g} Hz clock", fontsize=8
    )
    canvas.top_in += _AXIS_IN - _GAP_IN
    for note in notes:
        canvas.note(note)
    return canvas.figure


def _notes(sheet: Sheet, said: list[str]) -> list[str]:
    """Returns lines on streams that have no row of their own, and what the format said."""
    constants = [f"{name} {value}" for name, value in sheet.constants.items()]
    left_out = [f"{name}: {reason}" for name, reason in sheet.left_out.items()]
    lines: list[str] = []
    for title, items in (("never changes: ", constants), ("not drawn: ", left_out), ("", said)):
        if items:
            lines += textwrap.wrap(title + "  ·  ".join(items), 150, subsequent_indent="    ")
    return lines


def _signal_height(signal: Signal) -> float:
    return _FLAG_IN * max(signal.values.shape[1], 2) if signal.is_flag else _SIGNAL_IN


def _seconds(sheet: Sheet, times_ns: Any) -> Any:
    return (times_ns - sheet.ticks_ns[0]) * 1e-9


def _span_s(sheet: Sheet) -> tuple[float, float]:
    half_s = 0.5 / sheet.rate_hz
    return -half_s, float(_seconds(sheet, sheet.ticks_ns[-1])) + half_s


def _draw_fan(canvas: _Canvas, sheet: Sheet, frame_width_in: float) -> None:
    """Joins each frame above with its moment on the time axis below."""
    from matplotlib.lines import Line2D

    low, high = _span_s(sheet)
    top = 1.0 - (canvas.top_in - _FRAME_GAP_IN) / canvas.height_in
    bottom = 1.0 - (canvas.top_in + _FAN_IN) / canvas.height_in
    for slot, tick in enumerate(sheet.shown):
        share = (float(_seconds(sheet, sheet.ticks_ns[tick])) - low) / (high - low)
        frame_in = _LEFT_IN + slot * (frame_width_in + _FRAME_GAP_IN) + frame_width_in / 2
        ends = (frame_in / _WIDTH_IN, (_LEFT_IN + share * _plot_width()) / _WIDTH_IN)
        canvas.figure.add_artist(Line2D(ends, (top, bottom), color=_FRAME_MARK, lw=0.6))


def _draw_title(canvas: _Canvas, sheet: Sheet, dataset: Dataset, task: list[str]) -> None:
    episode = sheet.episode
    head = (
        f"{f'{dataset.name} {dataset.version}'.strip()}  ·  episode {episode.id}"
        f"{f' ({episode.split})' if episode.split else ''}  ·  {episode.num_steps} steps"
        f"  ·  {episode.duration_ns * 1e-9:.1f} s"
    )
    x, y = _LEFT_IN / _WIDTH_IN, 1.0 - 0.22 / canvas.height_in
    canvas.figure.text(x, y, head, fontsize=10, weight="bold", va="center")
    for line in task:
        y -= 0.2 / canvas.height_in
        canvas.figure.text(x, y, line, fontsize=9, va="center", color="0.25")


def _row_of_axes(canvas: _Canvas, sheet: Sheet, frames: list[NDArray[Any]]) -> list[Any]:
    width, height = _frame_size(sheet, frames)
    made = []
    for slot in range(len(sheet.shown)):
        axis = canvas.axes(height, _LEFT_IN + slot * (width + _FRAME_GAP_IN), width)
        axis.set_xticks([])
        axis.set_yticks([])
        for side in axis.spines.values():
            side.set_visible(False)
        made.append(axis)
    return made


def _draw_frames(canvas: _Canvas, sheet: Sheet, name: str, frames: list[NDArray[Any]]) -> None:
    height = _frame_size(sheet, frames)[1]
    canvas.label(height, _wrapped(name))
    for axis, frame, tick in zip(
        _row_of_axes(canvas, sheet, frames), frames, sheet.shown, strict=True
    ):
        pixels = frame[..., 0] if frame.shape[2] == 1 else frame
        axis.imshow(pixels, cmap="gray", aspect="auto", interpolation="antialiased")
        _mark_invalid(axis, sheet, name, int(tick))
    canvas.top_in += height + _FRAME_GAP_IN


def _drawable(frame: NDArray[Any]) -> NDArray[Any]:
    """Returns [H, W, 1, 3 or 4]; the channels of others lie side by side, as RGB or grey.

    Pixels that are no bytes, such as depth, are stretched, but for the most distant hundredth.
    """
    import numpy as np

    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.shape[2] not in (1, 3, 4):
        together = 3 if frame.shape[2] % 3 == 0 else 1
        frame = np.concatenate(np.split(frame, frame.shape[2] // together, axis=2), axis=1)
    if frame.dtype == "uint8":
        return frame
    pixels = frame.astype(np.float64)
    finite = pixels[np.isfinite(pixels)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    return (pixels.clip(low, high) - low) / ((high - low) or 1.0)


def _draw_clouds(canvas: _Canvas, sheet: Sheet, name: str, clouds: list[NDArray[Any]]) -> None:
    import numpy as np

    height = _frame_size(sheet, clouds)[1]
    canvas.label(height, f"{_wrapped(name)}\nfrom above")
    points = np.concatenate([cloud[:, :3] for cloud in clouds])
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        points = np.zeros((1, 3))
    low, high = np.percentile(points, 0.5, axis=0), np.percentile(points, 99.5, axis=0)
    middle, reach = 0.5 * (low + high), 0.5 * float(max(high[:2] - low[:2])) or 1.0
    for axis, cloud, tick in zip(
        _row_of_axes(canvas, sheet, clouds), clouds, sheet.shown, strict=True
    ):
        kept = cloud[:: max(1, len(cloud) // _MAX_CLOUD_POINTS)]
        kept = kept[np.argsort(kept[:, 2])]
        axis.scatter(
            kept[:, 1],
            kept[:, 0],
            c=kept[:, 2],
            s=0.7,
            lw=0,
            vmin=low[2],
            vmax=high[2],
            cmap="viridis",
        )
        axis.set_xlim(middle[1] + reach, middle[1] - reach)
        axis.set_ylim(middle[0] - reach, middle[0] + reach)
        _mark_invalid(axis, sheet, name, int(tick))
    canvas.top_in += height + _FRAME_GAP_IN


def _mark_invalid(axis: Any, sheet: Sheet, name: str, tick: int) -> None:
    if not sheet.valid[name][tick]:
        for side in axis.spines.values():
            side.set(visible=True, color=_INVALID, linewidth=2)


def _draw_signal(canvas: _Canvas, sheet: Sheet, signal: Signal) -> Any:
    height = _signal_height(signal)
    axis = canvas.axes(height, _LEFT_IN, _plot_width())
    rate = f"{signal.rate_hz:.3g} Hz, " if signal.rate_hz else ""
    canvas.label(height, f"{_wrapped(signal.name)}\n{rate}{signal.mode}")
    for tick in sheet.shown:
        axis.axvline(_seconds(sheet, sheet.ticks_ns[tick]), color=_FRAME_MARK, lw=0.6, zorder=0)
    for begin, end in _seconds(sheet, _gaps(sheet, signal.name)):
        axis.axvspan(begin, end, color=_GAP_COLOR, alpha=0.4, lw=0, zorder=0)
    if signal.is_flag:
        _draw_flags(axis, sheet, signal)
    else:
        _draw_lines(axis, sheet, signal)
    canvas.top_in += height + _GAP_IN
    return axis


def _gaps(sheet: Sheet, name: str) -> NDArray[Any]:
    import numpy as np

    return sheet.gaps.get(name, np.empty((0, 2), np.int64))


def _draw_lines(axis: Any, sheet: Sheet, signal: Signal) -> None:
    import numpy as np

    # Lines end before a gap: nothing was recorded there.
    breaks = np.flatnonzero(np.isin(signal.times_ns, _gaps(sheet, signal.name)[:, 0])) + 1
    breaks = breaks[breaks < len(signal.times_ns)]
    recorded = np.insert(_seconds(sheet, signal.times_ns), breaks, np.nan)
    ticks = _seconds(sheet, sheet.ticks_ns)
    values = np.insert(signal.values.astype(np.float64), breaks, np.nan, axis=0)
    style = "steps-post" if signal.mode == "hold" else "default"
    for channel in range(values.shape[1]):
        color = f"C{channel % 10}"
        axis.plot(recorded, values[:, channel], lw=0.8, color=color, alpha=0.6, drawstyle=style)
        delivered = np.where(signal.valid, signal.aligned[:, channel].astype(np.float64), np.nan)
        axis.plot(ticks, delivered, ".", ms=5, mew=0, color=color)


def _draw_flags(axis: Any, sheet: Sheet, signal: Signal) -> None:
    """Draws a lane for each flag, the first on top: a bar as recorded, a dot a tick."""
    import numpy as np

    lanes = signal.values.shape[1]
    ticks = _seconds(sheet, sheet.ticks_ns)
    half_ns = int(0.5e9 / sheet.rate_hz)
    last_ns = max(signal.times_ns[-1], sheet.ticks_ns[-1]) + half_ns
    ends = np.append(signal.times_ns[1:], last_ns)
    for begin in _gaps(sheet, signal.name)[:, 0]:
        ends[np.flatnonzero(signal.times_ns == begin)[-1]] = begin
    begins_s, widths_s = _seconds(sheet, signal.times_ns), (ends - signal.times_ns) * 1e-9
    for lane in range(lanes):
        low = lanes - 1 - lane + 0.15
        is_set = signal.values[:, lane]
        bars = list(zip(begins_s[is_set], widths_s[is_set], strict=True))
        color = f"C{lane % 10}"
        axis.broken_barh(bars, (low, 0.7), color=color, alpha=0.35, lw=0)
        delivered = np.where(signal.valid, low + 0.7 * signal.aligned[:, lane], np.nan)
        axis.plot(ticks, delivered, ".", ms=4, mew=0, color=color)
    axis.set_ylim(-0.1, lanes + 0.1)
    axis.set_yticks([0.15, 0.85] if lanes == 1 else [], ["no", "yes"] if lanes == 1 else [])


def _draw_valid(canvas: _Canvas, sheet: Sheet) -> Any:
    import numpy as np

    canvas.top_in += _MASK_TITLE_IN
    height = _MASK_ROW_IN * len(sheet.valid)
    axis = canvas.axes(height, _LEFT_IN, _plot_width())
    _mesh(axis, sheet, np.array(list(sheet.valid.values())), (_INVALID, _VALID), lines="white")
    for row, name in enumerate(sheet.valid):
        for begin, end in _seconds(sheet, _gaps(sheet, name)):
            axis.broken_barh(
                [(begin, end - begin)],
                (row, 1),
                facecolor="none",
                edgecolor="0.3",
                hatch="////",
                lw=0,
            )
    axis.set_yticks([])
    for row, name in enumerate(sheet.valid):
        axis.text(
            -0.005,
            row + 0.5,
            # The whole name stands beside the stream's own row.
            name if len(name) <= _NAME_CHARACTERS else f"…{name[1 - _NAME_CHARACTERS :]}",
            transform=axis.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=6,
        )
    hatched = ", gaps hatched" if any(len(gaps) for gaps in sheet.gaps.values()) else ""
    axis.set_title(f"valid{hatched}", fontsize=7, loc="right", pad=1.5, color="0.35")
    canvas.top_in += height + _GAP_IN
    return axis


def _draw_padding(canvas: _Canvas, sheet: Sheet, name: str, is_pad: NDArray[Any]) -> Any:
    height = _CHUNK_ROW_IN * is_pad.shape[1]
    axis = canvas.axes(height, _LEFT_IN, _plot_width())
    canvas.label(height, f"{_wrapped(name)}\nis_pad of {is_pad.shape[1]} ticks")
    _mesh(axis, sheet, is_pad.T, (_INSIDE, _PADDING))
    axis.set_yticks([0.5, is_pad.shape[1] - 0.5], ["+0", f"+{is_pad.shape[1] - 1}"])
    canvas.top_in += height + _GAP_IN
    return axis


def _mesh(
    axis: Any, sheet: Sheet, mask: NDArray[Any], colors: tuple[str, str], lines: str = "none"
) -> None:
    """Draws a mask [rows, T], a column a tick, the first row on top."""
    import numpy as np
    from matplotlib.colors import ListedColormap

    half_s = 0.5 / sheet.rate_hz
    ticks = _seconds(sheet, sheet.ticks_ns)
    edges = np.append(ticks - half_s, ticks[-1] + half_s)
    axis.pcolormesh(
        edges,
        np.arange(mask.shape[0] + 1),
        mask.astype(np.uint8),
        cmap=ListedColormap(list(colors)),
        vmin=0,
        vmax=1,
        edgecolors=lines,
        linewidth=0.4 if mask.shape[1] < 200 else 0.0,
    )
    axis.invert_yaxis()


def _wrapped(name: str) -> str:
    """Breaks a stream's name into lines, behind what divides its words where it can."""
    if len(name) <= _LINE_CHARACTERS:
        return name
    pieces = re.findall(rf"[^/._]{{1,{_LINE_CHARACTERS - 1}}}[/._]?|[/._]", name)
    lines = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > _LINE_CHARACTERS or lines[-1].endswith("/"):
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
