"""How regular the stamps of a dataset are: rate, jitter and gaps of each stream that has any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .dataset import Dataset

MAX_EPISODES = 100
GAP_PERIODS = 2.0


@dataclass(frozen=True)
class Clock:
    """The stamps of one stream over some episodes.

    Attributes:
        rate_hz: one over the median spacing.
        jitter_s: standard deviation of the spacings that are no gaps.
        num_gaps: spacings of more than twice the median.
        longest_gap_s: the longest of them; 0 where there is none.
        longest_gap_episode: the id of its episode, or None.
        longest_gap_at_s: when it begins, in seconds since the stream's first stamp there, or None.
    """

    rate_hz: float
    jitter_s: float
    num_gaps: int
    longest_gap_s: float
    longest_gap_episode: int | None
    longest_gap_at_s: float | None


def find_gaps(times_ns: NDArray[numpy.int64], longest_ns: float | None = None) -> NDArray[Any]:
    """Returns the gaps between stamps, int64 [N, 2]: last stamp before and first one behind.

    Args:
        times_ns: stamps in order.
        longest_ns: a greater spacing is a gap; by default one of more than twice the median.
    """
    import numpy as np

    spacing = np.diff(times_ns)
    if longest_ns is None:
        longest_ns = GAP_PERIODS * float(np.median(spacing)) if len(spacing) else 0.0
    at = np.flatnonzero(spacing > longest_ns)
    return np.stack([times_ns[at], times_ns[at + 1]], axis=1)


def measure_clocks(dataset: Dataset) -> tuple[dict[str, Clock], int]:
    """Measures the streams that have stamps, over at most 100 evenly spaced episodes.

    Returns:
        The clocks by name of the stream, and how many episodes were read. Streams with fewer than
        two stamps in each episode are left out.
    """
    import numpy as np

    indices = np.unique(np.linspace(0, len(dataset) - 1, MAX_EPISODES).round().astype(int))
    indices = indices if len(dataset) else indices[:0]
    names = [
        name
        for name, info in dataset.streams.items()
        if info.times is not None and info.unsupported is None
    ]
    found: dict[str, list[tuple[int, NDArray[Any]]]] = {name: [] for name in names}
    for index in indices.tolist() if names else ():
        episode = dataset.episodes[index]
        for name in names:
            found[name].append((episode.id, episode[name].times_ns))
    clocks = {name: _measure(stamps) for name, stamps in found.items()}
    return {name: clock for name, clock in clocks.items() if clock is not None}, len(indices)


def _measure(stamps: list[tuple[int, NDArray[Any]]]) -> Clock | None:
    import numpy as np

    spacings = np.concatenate([np.diff(times_ns) for _, times_ns in stamps] or [np.empty(0)])
    median_ns = float(np.median(spacings)) if len(spacings) else 0.0
    if median_ns <= 0:
        return None
    limit_ns = GAP_PERIODS * median_ns
    longest_ns = 0
    longest_at: tuple[int | None, float | None] = (None, None)
    for episode, times_ns in stamps:
        for begin, end in find_gaps(times_ns, limit_ns).tolist():
            if end - begin > longest_ns:
                longest_ns, longest_at = end - begin, (episode, (begin - int(times_ns[0])) * 1e-9)
    return Clock(
        rate_hz=1e9 / median_ns,
        jitter_s=float(np.std(spacings[spacings <= limit_ns])) * 1e-9,
        num_gaps=int((spacings > limit_ns).sum()),
        longest_gap_s=longest_ns * 1e-9,
        longest_gap_episode=longest_at[0],
        longest_gap_at_s=longest_at[1],
    )
