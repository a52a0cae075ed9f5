"""Make or renew the catalog of a dataset. What is indexed and unchanged is not read again."""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from typing import TYPE_CHECKING

from robocache._progress import format_bytes, format_duration

from ._dataset import (
    add_dataset_arguments,
    add_json_argument,
    open_dataset,
    positive_int,
    print_json,
)

if TYPE_CHECKING:
    from robocache.dataset import Verification

HELP = "make or renew the catalog of a dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_dataset_arguments(parser)
    parser.add_argument("--rebuild", action="store_true", help="make it anew, whatever it holds")
    parser.add_argument(
        "--threads", type=positive_int, default=0, metavar="N", help="default: all cores"
    )
    parser.add_argument(
        "--unpack", metavar="FOLDER", help="where files that are compressed as a whole are unpacked"
    )
    parser.add_argument(
        "--verify", action="store_true", help="then look at every file that it names"
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Indexes the dataset and says what it holds."""
    start = time.monotonic()
    dataset = open_dataset(
        arguments,
        rebuild=arguments.rebuild,
        num_threads=arguments.threads,
        unpack=arguments.unpack,
    )
    seconds = time.monotonic() - start
    skipped = dataset.skipped
    catalog_bytes = os.path.getsize(dataset.catalog_path)
    verified = dataset.verify() if arguments.verify else None
    code = 1 if verified and verified.problems else 0
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
                "verified": verified and dataclasses.asdict(verified),
            }
        )
        return code
    print(
        f"{dataset.name}: {len(dataset)} episodes, {dataset.num_steps} steps in "
        f"{dataset.num_files} files ({format_bytes(dataset.num_bytes)}), "
        f"{format_duration(seconds) if seconds >= 1 else f'{seconds * 1e3:.0f} ms'}"
    )
    print(f"catalog {dataset.catalog_path} ({format_bytes(catalog_bytes)})")
    for message in skipped:
        print(f"skipped {message}")
    if verified:
        _print_verified(verified)
    return code


def _print_verified(verified: Verification) -> None:
    for problem in verified.problems:
        print(f"{problem.kind} {problem.message}")
    unsized = f", {verified.num_unsized} of no known size" if verified.num_unsized else ""
    print(
        f"verified {verified.num_files} files ({format_bytes(verified.num_bytes)}{unsized}): "
        f"{len(verified.problems)} missing, changed or unreadable"
    )
