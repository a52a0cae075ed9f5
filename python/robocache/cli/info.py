"""Say what a dataset holds: episodes, steps, streams and their clocks, tasks, bytes."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING, Any

from robocache._clocks import Clock, measure_clocks
from robocache.errors import FormatError
from robocache.formats.builtin import draft_mapping
from robocache.formats.mapping import DRAFTED

from ._dataset import (
    add_dataset_arguments,
    add_json_argument,
    add_selection_arguments,
    open_dataset,
    print_json,
    select,
)

if TYPE_CHECKING:
    from robocache.dataset import Dataset

HELP = "say what a dataset holds"
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_dataset_arguments(parser)
    add_selection_arguments(parser)
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table, or JSON; of data whose layout nobody knows the draft of a mapping."""
    try:
        dataset = select(open_dataset(arguments), arguments)
    except FormatError as error:
        if DRAFTED in str(error):
            print(draft_mapping(os.path.abspath(arguments.path)))
        raise
    if arguments.json:
        print_json(describe(dataset))
    else:
        print(format_table(dataset))
    return 0


def describe(dataset: Dataset) -> dict[str, Any]:
    """Returns what is known of a dataset as a dict that JSON can hold, with its first tasks."""
    clocks, measured = measure_clocks(dataset)
    contents = dataset.contents(SHOWN)
    streams = []
    for info in dataset.streams.values():
        fields = dataclasses.asdict(info)
        del fields["index"]
        clock = clocks.get(info.name)
        if info.times is not None:
            fields["rate_hz"] = None if clock is None else clock.rate_hz
        fields["clock"] = None if clock is None else dataclasses.asdict(clock)
        streams.append({**fields, "shape": list(info.shape)})
    return {
        "name": dataset.name,
        "version": dataset.version,
        "format": dataset.format,
        "path": dataset.path,
        "catalog": dataset.catalog_path,
        "episodes": len(dataset),
        "steps": dataset.num_steps,
        "bytes": contents.num_bytes,
        "files": contents.num_files,
        "control_rate_hz": dataset.control_rate_hz,
        "splits": [dataclasses.asdict(split) for split in contents.splits.values()],
        "streams": streams,
        "clocks_measured_over_episodes": measured,
        "num_tasks": contents.num_tasks,
        "tasks": [{"task": task, "episodes": count} for task, count in contents.tasks],
        "skipped": dataset.skipped,
        "notes": dataset.notes,
    }


def format_table(dataset: Dataset) -> str:
    """Returns the dataset's table, clocks, first tasks and the records left out, as lines."""
    clocks, measured = measure_clocks(dataset)
    lines = [dataset.table({name: clock.rate_hz for name, clock in clocks.items()})]
    if clocks:
        lines += ["", *_format_clocks(clocks)]
        lines.append(
            f"measured over {measured} of {len(dataset)} episodes; a gap is more than twice the "
            "usual spacing"
        )
    contents = dataset.contents(SHOWN)
    if contents.tasks:
        lines += ["", "episodes  task"]
        lines += [f"{count:>8}  {task}" for task, count in contents.tasks]
        lines += _more(contents.num_tasks, "tasks")
    skipped = dataset.skipped
    if skipped:
        lines += ["", "skipped, of the whole dataset"]
        lines += [f"  {message}" for message in skipped[:SHOWN]]
        lines += _more(len(skipped), "records")
    return "\n".join(lines)


def _format_clocks(clocks: dict[str, Clock]) -> list[str]:
    rows = [("clock", "rate", "jitter", "gaps", "longest")]
    for name, clock in clocks.items():
        longest = ""
        if clock.longest_gap_episode is not None:
            longest = (
                f"{_seconds(clock.longest_gap_s)} (episode {clock.longest_gap_episode}, "
                f"at {clock.longest_gap_at_s:.2f} s)"
            )
        rows.append(
            (
                name,
                f"{clock.rate_hz:.4g} Hz",
                _seconds(clock.jitter_s),
                str(clock.num_gaps),
                longest,
            )
        )
    widths = [*(max(len(row[column]) for row in rows) for column in range(4)), 0]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def _more(count: int, what: str) -> list[str]:
    return [f"          and {count - SHOWN} more {what}"] if count > SHOWN else []
