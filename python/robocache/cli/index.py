"""Make or renew the index of a dataset. What is indexed and unchanged is not read again."""

from __future__ import annotations

import argparse
import os
import time

from robocache._progress import format_bytes, format_duration

from ._dataset import (
    add_dataset_arguments,
    add_json_argument,
    open_dataset,
    positive_int,
    print_json,
)

HELP = "make or renew the index of a dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_dataset_arguments(parser)
    parser.add_argument("--rebuild", action="store_true", help="forget what the index holds")
    parser.add_argument(
        "--threads", type=positive_int, default=0, metavar="N", help="default: all cores"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Indexes the dataset and says what it holds."""
    start = time.monotonic()
    dataset = open_dataset(arguments, rebuild=arguments.rebuild, num_threads=arguments.threads)
    seconds = time.monotonic() - start
    skipped = dataset.skipped
    catalog_bytes = os.path.getsize(dataset.catalog_path)
    if arguments.json:
        print_json(
            {
                "path": dataset.path,
                "catalog": dataset.catalog_path,
                "catalog_bytes": catalog_bytes,
                "episodes": len(dataset),
                "steps": dataset.num_steps,
                "files": dataset.num_files,
                "bytes": dataset.num_bytes,
                "skipped": skipped,
                "seconds": seconds,
            }
        )
        return 0
    print(
        f"{dataset.name}: {len(dataset)} episodes, {dataset.num_steps} steps in "
        f"{dataset.num_files} files ({format_bytes(dataset.num_bytes)}), "
        f"{format_duration(seconds) if seconds >= 1 else f'{seconds * 1e3:.0f} ms'}"
    )
    print(f"catalog {dataset.catalog_path} ({format_bytes(catalog_bytes)})")
    for message in skipped:
        print(f"skipped {message}")
    return 0
