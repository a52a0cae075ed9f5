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
        "-o", "--output", required=True, metavar="FILE", help="picture to write, such as sheet.png"
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
    )
    if arguments.json:
        print_json({"output": arguments.output, **drawn})
    else:
        print(arguments.output)
    return 0
