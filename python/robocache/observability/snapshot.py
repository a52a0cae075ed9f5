"""What a loader has done up to now, and what that is a second between two such moments."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .gpus import gpu_figures

STAGES = ("queue", "order", "read", "unpack", "decode", "align", "deliver")

GPU_WORKS = ("copy", "decode", "image", "grid", "align")

# Who waits less than this part of the time is not held up.
_HELD_UP = 0.05

# Less than that is not worth a word.
_SMALL = 0.005


def snapshot(loader: Any, *, gpus: bool = True) -> dict[str, Any]:
    """Returns stats() of a loader, where it stands, and what GPUs do.

    Returns:
        All of :meth:`robocache.DataLoader.stats`, and "time_ns" (of time.monotonic_ns()), "epoch",
        "position" and "num_samples" (samples of the epoch that all ranks together have been given,
        and that it has), "rank", "world_size", "waits_for" (a stage, or None) and "gpus", see
        :func:`gpu_figures`; [] with ``gpus=False``. JSON can hold it.
    """
    stats: dict[str, Any] = loader.stats()
    return {
        **stats,
        **loader._standing(),
        "time_ns": time.monotonic_ns(),
        "waits_for": loader.waits_for,
        "gpus": gpu_figures() if gpus else [],
    }


def rates(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what happened between two snapshots of a loader, a second.

    Returns:
        "seconds" between them; "batches_per_s", "samples_per_s", "images_per_s", of them
        "images_on_device_per_s", and "bytes_per_s" (read); of that time the parts "wait_share"
        (next() waited), "wait_shares" (a dict: for each stage), "deliver_share" (next() handed
        out) and "outside_share" (between its calls), 0 to 1; "busy_threads", how many threads were
        in each stage on average (a dict), "idle_threads", how many had nothing to do; "gpu_shares"
        (a dict), for how much of the time the batches' GPU copied, decoded and so on, summed over
        what it did side by side; and "held_up_by", the stage that was waited for most where waiting
        took more than a twentieth of the time, else None: the training loop is what takes time.
    """
    seconds: float = max((after["time_ns"] - before["time_ns"]) * 1e-9, 1e-9)

    def each(name: str) -> float:
        now: int = after[name]
        # The counters of a loader that has moved to another process or rank begin anew.
        then: int = before[name] if before[name] <= now else 0
        return (now - then) / seconds

    waits = {stage: each(f"wait_{stage}_ns") * 1e-9 for stage in STAGES}
    wait_share = each("wait_ns") * 1e-9
    return {
        "seconds": seconds,
        "batches_per_s": each("batches_delivered"),
        "samples_per_s": each("samples_delivered"),
        "images_per_s": each("images_decoded"),
        "images_on_device_per_s": each("images_on_device"),
        "bytes_per_s": each("bytes_read"),
        "wait_share": wait_share,
        "wait_shares": waits,
        "deliver_share": each("stage_deliver_ns") * 1e-9,
        "outside_share": each("outside_ns") * 1e-9,
        "busy_threads": {
            stage: each(f"stage_{stage}_ns") * 1e-9
            for stage in STAGES
            if stage not in ("queue", "deliver")
        },
        "idle_threads": each("idle_ns") * 1e-9,
        "gpu_shares": {work: each(f"gpu_{work}_ns") * 1e-9 for work in GPU_WORKS},
        "held_up_by": max(waits, key=lambda stage: waits[stage]) if wait_share > _HELD_UP else None,
    }


def format_waits(change: Mapping[str, Any]) -> str:
    """Returns what :func:`rates` says of waiting as "31%: read 25%, decode 6%"."""
    shown = format_shares(change["wait_shares"])
    return f"{change['wait_share']:.0%}" + (f": {shown}" if shown else "")


def format_shares(shares: Mapping[str, float]) -> str:
    """Returns "read 25%, decode 6%", of those that are worth a word."""
    parts = sorted(shares.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in parts if share >= _SMALL)
