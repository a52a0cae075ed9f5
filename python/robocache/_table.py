"""A dataset as a table of text: what ``print`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._progress import format_bytes
from .episode import describe

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["make_table"]


def _rate(rate_hz: float | None) -> str:
    return "" if rate_hz is None else f"{rate_hz:.4g} Hz"


def make_table(dataset: Dataset, rates_hz: Mapping[str, float]) -> list[str]:
    """Returns the lines, with other rates of some streams."""
    contents = dataset.contents(0)
    title = f"{dataset.name} {dataset.version}".strip()
    told = [dataset.format]
    if not dataset._chosen or contents.num_bytes > 0:
        files = "file" if contents.num_files == 1 else "files"
        told += [f"{contents.num_files} {files}", format_bytes(contents.num_bytes)]
    lines = [f"{title}  ({', '.join(told)})", dataset._opened["path"]]
    if dataset._chosen:
        lines.append(f"chosen    {dataset._chosen}")
    splits = ", ".join(f"{s.name} {s.num_episodes}" for s in contents.splits.values())
    lines += [
        f"episodes  {len(dataset)}" + (f"  (splits: {splits})" if splits else ""),
        f"steps     {dataset.num_steps}",
        f"tasks     {contents.num_tasks}",
        f"rate      {_rate(dataset.control_rate_hz) or 'unknown: give control_rate_hz'}",
    ]
    if dataset._info["num_skipped"]:
        lines.append(f"skipped   {dataset._info['num_skipped']} damaged records of the dataset")
    rows = [("stream", "dtype and shape", "rate", "clock")]
    for info in dataset.streams.values():
        clock = info.times or ("steps, ragged" if info.is_ragged else "steps")
        if info.unsupported is not None:
            clock = f"cannot be read: {info.unsupported}"
        rate = _rate(rates_hz.get(info.name, info.rate_hz))
        rows.append((info.name, describe(info), rate, clock))
    widths = [*(max(len(row[column]) for row in rows) for column in range(3)), 0]
    lines.append("")
    for row in rows:
        lines.append("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    lines += [f"note: {note}" for note in dataset.notes]
    return lines
