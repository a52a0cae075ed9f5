"""Draws what the values of a stream are like, and what each way of normalising makes of them.

Usage: python examples/normalising.py DATASET STREAM OUT.png [--channels 10]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import robocache as rc
from robocache.statistics import KINDS, Statistics

TITLES = {"mean_std": "(x - mean) / std", "min_max": "bounds to ±1", "q01_q99": "percentiles to ±1"}


def draw(axis: Any, found: Statistics, kind: str | None, channels: int) -> None:
    """Draws a row a channel: all values, the middle 98 % and 80 % of them, median and mean."""

    def of(values: Any) -> Any:
        made = values if kind is None else found.normalize(values, kind)
        return made.reshape(-1)[:channels]

    rows = np.arange(len(of(found.mean)))
    for low, high, width, color in (
        (found.min, found.max, 1, "0.6"),
        (found.q01, found.q99, 4, "tab:blue"),
        (found.q10, found.q90, 9, "tab:blue"),
    ):
        axis.hlines(rows, of(low), of(high), linewidth=width, color=color)
    axis.plot(of(found.q50), rows, "|", color="white", markersize=8, markeredgewidth=1.5)
    axis.plot(of(found.mean), rows, "o", color="tab:orange", markersize=4)
    if kind is not None:
        for bound in (-1, 1):
            axis.axvline(bound, color="0.3", linewidth=0.8, linestyle=":")
    axis.set_title("as stored" if kind is None else f"{kind}: {TITLES[kind]}", fontsize=9)
    axis.tick_params(labelsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("stream")
    parser.add_argument("out")
    parser.add_argument("--channels", type=int, default=10, help="the first ones are drawn")
    arguments = parser.parse_args()

    found = rc.open(arguments.dataset).statistics([arguments.stream])[arguments.stream]
    shown = min(int(np.prod(found.shape)), arguments.channels)
    figure = Figure(figsize=(12, 0.9 + 0.24 * shown), layout="constrained")
    axes = figure.subplots(1, 1 + len(KINDS), sharey=True)
    for axis, kind in zip(axes, (None, *KINDS), strict=True):
        draw(axis, found, kind, shown)
    axes[0].set_yticks(range(shown))
    axes[0].set_ylabel("channel", fontsize=8)
    axes[0].invert_yaxis()
    figure.suptitle(
        f"{arguments.stream}, {found.num_samples} samples: all values, the middle 98 % and 80 % of "
        "them, median (white), mean (orange)",
        fontsize=10,
    )
    figure.savefig(arguments.out, dpi=90)


if __name__ == "__main__":
    main()
