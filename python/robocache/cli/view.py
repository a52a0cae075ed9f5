"""Draw an episode: frames, signals on one clock, and masks, in one picture."""

from __future__ import annotations

import argparse

from robocache.view import save_contact_sheet

from ._dataset import (
    add_dataset_arguments,
    add_json_argument,
    add_selection_arguments,
    open_dataset,
    positive_float,
    positive_int,
    print_json,
    select,
)

HELP = "draw an episode: frames, signals on one clock, masks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_dataset_arguments(parser)
    add_selection_arguments(parser)
    parser.add_argument(
        "--episode", type=int, default=0, metavar="N", help="which of the episodes (default: 0)"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="picture to write, such as sheet.png; PNG where the name has no ending",
    )
    parser.add_argument(
        "--rate-hz", type=positive_float, metavar="HZ", help="the clock; default: the control rate"
    )
    parser.add_argument(
        "--frames", type=positive_int, default=8, metavar="N", help="a row (default: 8)"
    )
    parser.add_argument(
        "--chunk", type=positive_int, default=16, metavar="N", help="ticks of action (default: 16)"
    )
    parser.add_argument(
        "--max-gap",
        type=positive_float,
        metavar="S",
        help="seconds between samples from which on they are not valid to go between",
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the picture and says where."""
    dataset = select(open_dataset(arguments), arguments)
    drawn = save_contact_sheet(
        dataset,
        arguments.episode,
        arguments.output,
        rate_hz=arguments.rate_hz,
        num_frames=arguments.frames,
        chunk=arguments.chunk,
        max_gap=arguments.max_gap,
    )
    if arguments.json:
        print_json({"output": arguments.output, **drawn})
    else:
        rows = (*drawn["images"], *drawn["clouds"], *drawn["signals"])
        print(
            f"{arguments.output}: {drawn['format'].upper()} of episode {drawn['episode']}, "
            f"{drawn['ticks']} ticks at {drawn['rate_hz']:g} Hz, {len(rows)} streams"
        )
        for name, reason in drawn["left_out"].items():
            print(f"not drawn: {name}: {reason}")
    return 0
