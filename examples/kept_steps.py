"""Draws which steps of a dataset a view keeps: those in which a stream moves.

Usage: python examples/kept_steps.py DATASET STREAM OUT.png [--least 0.03] [--reach 8]
"""

from __future__ import annotations

import argparse

import numpy as np
from matplotlib.figure import Figure

import robocache as rc


def changes(episode: rc.Episode, stream: str) -> np.ndarray:
    """Returns by how much the channel that moves most changes up to each step."""
    values = episode[stream].values.astype("f8").reshape(episode.num_steps, -1)
    return np.abs(np.diff(values, axis=0, prepend=values[:1])).max(1)


def moves(change: np.ndarray, least: float, reach: int) -> np.ndarray:
    """Says of each step whether anything moves by more than `least` up to `reach` steps away."""
    near = np.lib.stride_tricks.sliding_window_view(np.pad(change, reach), 2 * reach + 1)
    return near.max(1) > least


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("stream")
    parser.add_argument("out")
    parser.add_argument("--least", type=float, default=0.03, help="change of a value")
    parser.add_argument("--reach", type=int, default=8, help="steps to both sides")
    parser.add_argument("--episodes", type=int, default=4)
    arguments = parser.parse_args()

    dataset = rc.open(arguments.dataset)
    dataset = dataset.take(range(min(arguments.episodes, len(dataset))))
    view = dataset.steps(
        lambda episode: moves(changes(episode, arguments.stream), arguments.least, arguments.reach)
    )
    loader = rc.DataLoader(view, 256, streams=[arguments.stream], array="numpy")
    kept: dict[int, set[int]] = {episode.id: set() for episode in dataset}
    for batch in loader:
        for episode, step in zip(batch["episode_id"], batch["step_index"], strict=True):
            kept[int(episode)].add(int(step))

    figure = Figure(figsize=(11, 1.2 + 1.5 * len(dataset)), layout="constrained")
    axes = figure.subplots(len(dataset), sharey=True, squeeze=False)[:, 0]
    for axis, episode in zip(axes, dataset, strict=True):
        steps = np.arange(episode.num_steps)
        is_kept = np.isin(steps, list(kept[episode.id]))
        for first, end in np.flatnonzero(np.diff(is_kept, prepend=False, append=False)).reshape(
            -1, 2
        ):
            axis.axvspan(first - 0.5, end - 0.5, color="tab:green", alpha=0.2, linewidth=0)
        axis.plot(steps, changes(episode, arguments.stream), color="black", linewidth=0.8)
        axis.axhline(arguments.least, color="tab:red", linewidth=0.8)
        axis.set_xlim(-0.5, episode.num_steps - 0.5)
        axis.set_ylabel("change")
        axis.set_title(f"episode {episode.id}: {is_kept.sum()} of {len(steps)} steps are kept",
                       fontsize=9, loc="left")  # fmt: skip
    axes[-1].set_xlabel("step")
    figure.suptitle(f"steps in which {arguments.stream} moves", fontsize=10, weight="bold")
    figure.savefig(arguments.out, dpi=90)


if __name__ == "__main__":
    main()
