"""Say what a dataset holds: episodes, steps, streams, tasks, bytes."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

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
    """Prints the table, or JSON."""
    dataset = select(open_dataset(arguments), arguments)
    if arguments.json:
        print_json(describe(dataset))
    else:
        print(format_table(dataset))
    return 0


def describe(dataset: Dataset) -> dict[str, Any]:
    """Returns what is known of a dataset as a dict that JSON can hold, with its first tasks."""
    streams = []
    for info in dataset.streams.values():
        fields = dataclasses.asdict(info)
        del fields["index"]
        streams.append({**fields, "shape": list(info.shape)})
    return {
        "name": dataset.name,
        "version": dataset.version,
        "format": dataset.format,
        "path": dataset.path,
        "catalog": dataset.catalog_path,
        "episodes": len(dataset),
        "steps": dataset.num_steps,
        "bytes": dataset.num_bytes,
        "files": dataset.num_files,
        "control_rate_hz": dataset.control_rate_hz,
        "splits": [dataclasses.asdict(split) for split in dataset.splits.values()],
        "streams": streams,
        "num_tasks": len(dataset.tasks),
        "tasks": [{"task": task, "episodes": count} for task, count in _first_tasks(dataset)],
        "skipped": dataset.skipped,
    }


def format_table(dataset: Dataset) -> str:
    """Returns the dataset's table, its first tasks and the records left out, as lines."""
    lines = [str(dataset)]
    tasks = _first_tasks(dataset)
    if tasks:
        width = max(len(str(count)) for _, count in tasks)
        lines += ["", "episodes  task"]
        lines += [f"{count:>{max(width, 8)}}  {task}" for task, count in tasks]
        lines += _more(len(dataset.tasks), "tasks")
    skipped = dataset.skipped
    if skipped:
        lines += ["", "skipped", *(f"  {message}" for message in skipped[:SHOWN])]
        lines += _more(len(skipped), "records")
    return "\n".join(lines)


def _first_tasks(dataset: Dataset) -> list[tuple[str, int]]:
    tasks = dataset.tasks
    return [(tasks[i], tasks.num_episodes(i)) for i in range(min(len(tasks), SHOWN))]


def _more(count: int, what: str) -> list[str]:
    return [f"          and {count - SHOWN} more {what}"] if count > SHOWN else []
