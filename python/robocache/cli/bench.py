"""Measure how fast a dataset loads: shuffled batches of all streams, actions as chunks of 16."""

from __future__ import annotations

import argparse
import os
import resource
import time
from typing import TYPE_CHECKING, Any

import robocache
from robocache._progress import format_bytes
from robocache.observability import format_waits, rates, snapshot
from robocache.suggest import suggest_windows

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

if TYPE_CHECKING:
    from robocache.dataset import Dataset

HELP = "measure how fast a dataset loads"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_dataset_arguments(parser)
    add_selection_arguments(parser)
    parser.add_argument("--batch-size", type=positive_int, default=64, metavar="N")
    parser.add_argument(
        "--threads", type=positive_int, default=0, metavar="N", help="default: all cores"
    )
    parser.add_argument(
        "--seconds", type=positive_float, default=5.0, metavar="S", help="how long (default: 5)"
    )
    parser.add_argument(
        "--rate-hz", type=positive_float, metavar="HZ", help="the clock; default: the control rate"
    )
    parser.add_argument(
        "--images",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with or without the image streams (default: with)",
    )
    add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the rates, or JSON."""
    dataset = select(open_dataset(arguments), arguments)
    result = measure(
        dataset,
        batch_size=arguments.batch_size,
        num_threads=arguments.threads,
        seconds=arguments.seconds,
        rate_hz=arguments.rate_hz,
        images=arguments.images,
        on_error=arguments.on_error,
    )
    if arguments.json:
        print_json(result)
        return 0
    print(
        f"{dataset.name}: {result['samples']} samples in {result['seconds']:.2f} s, "
        f"batches of {result['batch_size']}, {result['threads']} threads, "
        f"{len(result['streams'])} streams"
    )
    rows = [
        ("samples/s", f"{result['samples_per_s']:,.0f}"),
        ("frames/s", f"{result['frames_per_s']:,.0f}"),
        ("read", f"{format_bytes(result['bytes_per_s'])}/s"),
        ("waited", format_waits(result)),
        ("threads", _threads(result)),
        ("batch", f"{format_bytes(result['slot_bytes'])} in each of {result['slots']} slots"),
        ("memory", f"{format_bytes(result['resident_bytes'])} resident"),
    ]
    if result["skipped"]:
        rows.append(("skipped", f"{result['skipped']} samples"))
    for name, text in rows:
        print(f"  {name:<10} {text}")
    return 0


def _threads(result: dict[str, Any]) -> str:
    parts = {**result["busy_threads"], "idle": result["idle_threads"]}
    return ", ".join(f"{stage} {count:.2f}" for stage, count in parts.items() if count >= 0.005)


def measure(
    dataset: Dataset,
    *,
    batch_size: int,
    num_threads: int,
    seconds: float,
    rate_hz: float | None,
    images: bool,
    on_error: str,
) -> dict[str, Any]:
    """Loads whole epochs and parts of them for `seconds`, from the first batch on.

    Returns:
        Counts and rates over that time. "wait_share" is the part of it for which the consumer,
        which does nothing with a batch, waited, and "wait_shares" for which stage; "busy_threads"
        how many threads were in each stage on average, "idle_threads" how many had nothing to do;
        "resident_bytes" the process's peak.
    """
    windows, streams = suggest_windows(dataset, images=images), dataset.streams
    threads = num_threads or len(os.sched_getaffinity(0))
    with robocache.DataLoader(
        dataset,
        batch_size,
        rate_hz=rate_hz,
        streams=windows,
        shuffle=True,
        num_threads=threads,
        on_error=on_error,
        array="numpy",
    ) as loader:
        if loader.num_samples == 0:
            raise robocache.errors.InvalidArgumentError(
                f"{dataset.path}: no samples in the episodes chosen"
            )
        next(iter(loader))
        before = snapshot(loader, gpus=False)
        start = time.perf_counter()
        elapsed = 0.0
        while elapsed < seconds:
            for _ in loader:
                elapsed = time.perf_counter() - start
                if elapsed >= seconds:
                    break
        after = snapshot(loader, gpus=False)
    found = rates(before, after)
    # One a window. Those that were decoded are others: decoders are ahead, arrays are not decoded.
    frames = sum(streams[name].kind == "image" for name in windows)
    return {
        "path": dataset.path,
        "batch_size": batch_size,
        "threads": threads,
        "streams": list(windows),
        "seconds": found["seconds"],
        "batches": after["batches_delivered"] - before["batches_delivered"],
        "samples": after["samples_delivered"] - before["samples_delivered"],
        "skipped": after["samples_skipped"] - before["samples_skipped"],
        "samples_per_s": found["samples_per_s"],
        "frames_per_s": found["samples_per_s"] * frames,
        "bytes_per_s": found["bytes_per_s"],
        **{
            name: found[name]
            for name in ("wait_share", "wait_shares", "busy_threads", "idle_threads", "held_up_by")
        },
        "slots": after["slots"],
        "slot_bytes": after["slot_bytes"],
        "resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
