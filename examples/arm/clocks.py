"""Sensor clocks: when a sensor that should fire at a steady rate really does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Clock:
    """A sensor's clock.

    rate_hz: nominal rate.
    jitter_s: standard deviation of a stamp around its place on the grid; cut at 0.4 periods, so
        that stamps increase.
    drop_probability: chance that a sample is lost.
    max_offset_s: the first sample comes up to this long after the episode's start.
    """

    rate_hz: float
    jitter_s: float
    drop_probability: float = 0.0
    max_offset_s: float = 0.0


MAX_DRIFT = 2e-4
"""How far a clock's true rate lies from its nominal one at most, as a fraction."""


def sample_times(clock: Clock, duration_s: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the stamps of one episode: int64[N], nanoseconds since its start, strictly increasing.

    All lie in [0, duration_s). The true rate differs from the nominal one by up to MAX_DRIFT.
    """
    period_s = (1.0 + rng.uniform(-MAX_DRIFT, MAX_DRIFT)) / clock.rate_hz
    offset_s = rng.uniform(0.0, clock.max_offset_s)
    grid_s = offset_s + period_s * np.arange(int(np.ceil(duration_s / period_s)))
    limit_s = 0.4 * period_s
    jitter_s = np.clip(rng.normal(0.0, clock.jitter_s, grid_s.size), -limit_s, limit_s)
    kept = rng.random(grid_s.size) >= clock.drop_probability
    times_ns = np.rint((grid_s + jitter_s) * NS_PER_SECOND).astype(np.int64)
    inside = (times_ns >= 0) & (times_ns < int(duration_s * NS_PER_SECOND))
    return times_ns[kept & inside]
