"""Statistics as LeRobot keeps them, of an episode and of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_stats", "stats_of", "stats_of_pictures"]

Stats = dict[str, "NDArray[Any]"]

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
_PICTURES = 100  # of an episode that are looked at


def stats_of(values: NDArray[Any]) -> Stats:
    """Returns statistics over the first axis; of single numbers as of vectors of one."""
    import numpy as np

    rows = values.reshape(len(values), -1) if values.ndim == 1 else values
    numbers = rows.astype(np.float64)
    stats = {
        "min": numbers.min(0),
        "max": numbers.max(0),
        "mean": numbers.mean(0),
        "std": numbers.std(0),
        "count": np.array([len(values)]),
    }
    for share, found in zip(QUANTILES, np.quantile(numbers, QUANTILES, 0), strict=True):
        stats[f"q{round(share * 100):02}"] = found
    return stats


def stats_of_pictures(pictures: NDArray[Any], *, is_depth: bool) -> Stats:
    """Returns statistics of each channel [C, 1, 1] over some of the pictures.

    Colours are from 0 to 1; `count` is how many pictures were looked at.
    """
    import numpy as np

    chosen = pictures[
        np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), _PICTURES)).astype(int))
    ]
    step = max(1, int((chosen[0].size / 3 / 10_000) ** 0.5))
    few = chosen[:, ::step, ::step]
    stats = stats_of(few.reshape(-1, few.shape[-1]))
    scale = 1 if is_depth or pictures.dtype == np.uint16 else 255
    shaped = {key: value.reshape(-1, 1, 1) / scale for key, value in stats.items()}
    return {**shaped, "count": np.array([len(chosen)])}


def add_stats(before: Stats | None, more: Stats) -> Stats:
    """Returns the statistics of both; quantiles are means, as LeRobot joins them."""
    import numpy as np

    if before is None:
        return dict(more)
    counts = before["count"], more["count"]
    total = counts[0] + counts[1]

    def mean(first: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = (first * counts[0] + other * counts[1]) / total
        return found

    joined = {key: mean(before[key], more[key]) for key in before if key[1:].isdigit()}
    middle = mean(before["mean"], more["mean"])
    squares = [each["std"] ** 2 + (each["mean"] - middle) ** 2 for each in (before, more)]
    return {
        "min": np.minimum(before["min"], more["min"]),
        "max": np.maximum(before["max"], more["max"]),
        "mean": middle,
        "std": np.sqrt(mean(*squares)),
        "count": total,
        **joined,
    }
