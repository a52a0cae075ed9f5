"""Say what the values of streams are like: mean, deviation, bounds, quantiles, what is constant."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ._dataset import (
    add_dataset_arguments,
    add_json_argument,
    add_selection_arguments,
    open_dataset,
    positive_int,
    print_json,
    select,
)

if TYPE_CHECKING:
    from robocache.statistics import Statistics, StatisticsTable

HELP = "say what the values of streams are like"

_SHOWN_CHANNELS = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_dataset_arguments(parser)
    add_selection_arguments(parser)
    add_json_argument(parser)
    parser.add_argument(
        "--stream",
        action="append",
        metavar="NAME",
        help="only this stream; may be given several times (default: all of numbers)",
    )
    parser.add_argument(
        "--images",
        type=positive_int,
        default=0,
        metavar="N",
        help="also of images, of which N of each stream are decoded",
    )
    parser.add_argument("--lerobot", metavar="FILE", help="write LeRobot's stats.json")
    parser.add_argument("--openvla", metavar="FILE", help="write OpenVLA's dataset_statistics.json")
    parser.add_argument(
        "--action", default="action", metavar="NAME", help="of OpenVLA's file (default: action)"
    )
    parser.add_argument("--proprio", metavar="NAME", help="of OpenVLA's file (default: zeros)")


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables, or JSON, and writes the files asked for."""
    dataset = select(open_dataset(arguments), arguments)
    table = dataset.statistics(
        arguments.stream,
        images=arguments.images,
        on_error=arguments.on_error,
        progress=False if arguments.no_progress else None,
    )
    if arguments.lerobot is not None:
        table.to_lerobot(arguments.lerobot)
    if arguments.openvla is not None:
        table.to_openvla(arguments.openvla, action=arguments.action, proprio=arguments.proprio)
    if arguments.json:
        print_json(describe(table))
    else:
        print("\n\n".join("\n".join(format_stream(found)) for found in table.values()))
    return 0


def describe(table: StatisticsTable) -> dict[str, Any]:
    """Returns the statistics as a dict that JSON can hold."""
    return {
        "dataset": table.dataset,
        "episodes": table.num_episodes,
        "steps": table.num_steps,
        "streams": table.as_dict(),
    }


def format_stream(found: Statistics) -> list[str]:
    """Returns the table of one stream as lines."""
    import numpy

    indices = list(numpy.ndindex(found.shape))
    title = f"{found.stream}  {found.dtype} {list(found.shape)}, {found.num_samples} samples"
    columns = ("mean", "std", "min", "q01", "q50", "q99", "max")
    arrays = [getattr(found, name) for name in columns]
    rows: list[tuple[str, ...]] = [("", *columns, "")]
    for index in indices[:_SHOWN_CHANNELS]:
        name = found.stream.rsplit("/", 1)[-1] + (str(list(index)) if index else "")
        cells = [f"{array[index]:.6g}" for array in arrays]
        rows.append((name, *cells, _remark(found, index)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [title]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    if len(indices) > _SHOWN_CHANNELS:
        lines.append(f"and {len(indices) - _SHOWN_CHANNELS} more channels")
    if found.num_skipped:
        lines.append(f"{found.num_skipped} left out; the first: {found.problem}")
    return lines


def _remark(found: Statistics, index: tuple[int, ...]) -> str:
    remarks = ["constant"] if found.constant[index] else []
    if not found.has_quantiles and found.count[index]:
        remarks.append("too many channels for quantiles")
    for what, counts in (
        ("nan", found.num_nan),
        ("inf", found.num_positive_infinite),
        ("-inf", found.num_negative_infinite),
    ):
        if counts[index]:
            remarks.append(f"{counts[index]} {what}")
    return ", ".join(remarks)
