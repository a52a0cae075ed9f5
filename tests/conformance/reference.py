"""What the operations mean, spelled out one target at a time in float64 and exact integers.

Slow and plain on purpose: every backend is held against this, and tests/conformance/
test_reference.py holds this against SciPy and NumPy.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
REDUCTIONS = ("mean", "max", "min")
INTERPOLATING = ("linear", "cubic", "slerp", "angle")


@dataclass(frozen=True)
class Options:
    """Keyword arguments of resample_trajectories that change what comes out."""

    mode: str = "linear"
    outside: str = "hold"
    channels: Sequence[tuple[Any, str]] | None = None
    max_gap: float | None = None
    tolerance: float | None = None
    nan_missing: bool = False

    def arguments(self) -> dict[str, Any]:
        """As keyword arguments of the public function, defaults left out."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {k: v for k, v in given.items() if v is not None and v is not False}


@dataclass
class Result:
    """Values [B, T, D] float64, valid [B, T] bool, dt [B, T] (int64 or float64)."""

    values: Array
    valid: Array
    dt: Array
    slope: Array = field(default_factory=lambda: np.zeros(0))


def channel_modes(width: int, options: Options) -> list[tuple[list[int], str]]:
    """Channels that are resampled together, and by what: slerp by fours, all others one by one."""
    mode_of = dict.fromkeys(range(width), options.mode)
    groups: list[tuple[list[int], str]] = []
    for where, mode in options.channels or ():
        span = range(width)[where] if isinstance(where, slice) else [int(where)]
        for channel in span:
            mode_of.pop(channel)
        groups += [(list(span), mode)] if mode == "slerp" else [([c], mode) for c in span]
    rest = sorted(mode_of)
    if options.mode == "slerp" and rest:
        groups += [(rest[i : i + 4], "slerp") for i in range(0, len(rest), 4)]
    else:
        groups += [([c], options.mode) for c in rest]
    return sorted(groups)


@dataclass
class Knots:
    """The distinct stamps at which some channels exist, with the newest sample of each."""

    times: list[Any]
    values: Array  # [n, C] float64


def knots_of(values: Array, times: Sequence[Any], missing: bool) -> Knots:
    kept: dict[Any, int] = {}
    for i, time in enumerate(times):
        if missing and np.isnan(values[i]).any():
            continue
        kept[time] = i
    stamps = sorted(kept)
    return Knots(stamps, values[[kept[t] for t in stamps]].reshape(len(stamps), values.shape[1]))


def tangent(knots: Knots, i: int) -> Array:
    """Slope at knot i of the parabola through it and its neighbours; one-sided at the ends."""
    t, p = knots.times, knots.values
    if i == 0:
        return np.asarray((p[1] - p[0]) / float(t[1] - t[0]))
    if i == len(t) - 1:
        return np.asarray((p[i] - p[i - 1]) / float(t[i] - t[i - 1]))
    before, after = float(t[i] - t[i - 1]), float(t[i + 1] - t[i])
    left, right = (p[i] - p[i - 1]) / before, (p[i + 1] - p[i]) / after
    return np.asarray((after * left + before * right) / (before + after))


def cubic(knots: Knots, i: int, w: float) -> Array:
    h = float(knots.times[i + 1] - knots.times[i])
    p0, p1 = knots.values[i], knots.values[i + 1]
    m0, m1 = tangent(knots, i), tangent(knots, i + 1)
    return np.asarray(
        (2 * w**3 - 3 * w**2 + 1) * p0
        + (w**3 - 2 * w**2 + w) * h * m0
        + (3 * w**2 - 2 * w**3) * p1
        + (w**3 - w**2) * h * m1
    )


def unit(q: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(q / np.linalg.norm(q))


def slerp(a: Array, b: Array, w: float) -> Array:
    """Shortest arc from a to b, both taken to unit length."""
    a, b = unit(a), unit(b)
    dot = float(a @ b)
    if dot < 0:
        b, dot = -b, -dot
    angle = math.acos(min(dot, 1.0))
    if angle < 1e-6:
        mixed = (1 - w) * a + w * b
        return np.asarray(mixed / np.linalg.norm(mixed))
    return np.asarray((math.sin((1 - w) * angle) * a + math.sin(w * angle) * b) / math.sin(angle))


def wrap(angle: Array) -> Array:
    """Into (-pi, pi]."""
    return np.asarray(math.pi - np.mod(math.pi - angle, 2 * math.pi))


def angle_mix(a: Array, b: Array, w: float) -> Array:
    return wrap(a + w * wrap(b - a))


INTERPOLATE: dict[str, Callable[[Knots, int, float], Array]] = {
    "linear": lambda k, i, w: k.values[i] + w * (k.values[i + 1] - k.values[i]),
    "cubic": cubic,
    "slerp": lambda k, i, w: slerp(k.values[i], k.values[i + 1], w),
    "angle": lambda k, i, w: angle_mix(k.values[i], k.values[i + 1], w),
}
REDUCE: dict[str, Callable[[Array], Array]] = {
    "mean": lambda v: v.mean(axis=0),
    "max": lambda v: v.max(axis=0),
    "min": lambda v: v.min(axis=0),
}


def hold_at(knots: Knots, t: Any) -> int:
    """Index of the last knot at or before t, -1 before the first."""
    return bisect.bisect_right(knots.times, t) - 1


def one(knots: Knots, t: Any, mode: str, options: Options) -> tuple[Array, bool, Any]:
    """Value, valid and dt of one target; dt None where no sample exists."""
    width = knots.values.shape[1]
    blank = np.full(width, math.nan if options.outside == "nan" else 0.0)
    n = len(knots.times)
    if n == 0 or math.isnan(t):
        return blank, False, None
    i = hold_at(knots, t)
    tolerance, gap = options.tolerance, options.max_gap
    as_is = unit if mode == "slerp" else np.asarray
    if i >= 0 and knots.times[i] == t:
        return as_is(knots.values[i]), True, t - knots.times[i]
    if i < 0 or i == n - 1:
        end = 0 if i < 0 else n - 1
        dt = t - knots.times[end]
        within = tolerance is not None and abs(dt) <= tolerance
        if mode == "hold":
            within = i >= 0 and (tolerance is None or within) and (gap is None or dt <= gap)
        if options.outside == "extrapolate" and n > 1:
            a = min(end, n - 2)
            span = float(knots.times[a + 1] - knots.times[a])
            w = float(t - knots.times[a]) / span
            return INTERPOLATE["linear"](knots, a, w), within, dt
        if within or options.outside in ("hold", "extrapolate"):
            return as_is(knots.values[end]), within, dt
        return blank, False, dt
    before, after = t - knots.times[i], knots.times[i + 1] - t
    used = i if mode == "hold" or before <= after else i + 1
    dt = t - knots.times[used]
    valid = not (gap is not None and knots.times[i + 1] - knots.times[i] > gap)
    valid = valid and not (tolerance is not None and abs(dt) > tolerance)
    if not valid and options.outside in ("nan", "zero"):
        return blank, False, dt
    if mode in INTERPOLATE:
        w = float(before) / float(knots.times[i + 1] - knots.times[i])
        return INTERPOLATE[mode](knots, i, w), valid, dt
    return knots.values[used], valid, dt


def reduced(
    samples: tuple[Array, Sequence[Any], bool], start: Any, t: Any, mode: str, options: Options
) -> tuple[Array, bool, Any]:
    """As one(), for the samples (duplicates included) in (start, t]; start None: all up to t."""
    values, times, missing = samples
    inside = [
        i
        for i, time in enumerate(times)
        if time <= t and (start is None or time > start)
        if not (missing and np.isnan(values[i]).any())
    ]
    knots = knots_of(values, times, missing)
    at = hold_at(knots, t)
    dt = t - knots.times[max(at, 0)] if knots.times else None
    if inside:
        return REDUCE[mode](values[inside]), True, dt
    if knots.times and options.outside == "hold":
        return knots.values[max(at, 0)], False, dt
    return np.full(values.shape[1], math.nan if options.outside == "nan" else 0.0), False, dt


def resample(
    values: Array, times: Array, targets: Array, options: Options, lengths: Array | None = None
) -> Result:
    """values [B, S, D], times [B, S] or [S], targets [B, T] or [T]."""
    batch, samples, width = values.shape
    wide = np.asarray(values, dtype=np.float64)
    times = np.broadcast_to(times, (batch, samples))
    targets = np.broadcast_to(targets, (batch, targets.shape[-1]))
    count = targets.shape[1]
    integer = times.dtype.kind == "i"
    out = np.zeros((batch, count, width))
    valid = np.zeros((batch, count), dtype=bool)
    none = np.iinfo(np.int64).max if integer else math.nan
    dt = np.full((batch, count), none, dtype=np.int64 if integer else np.float64)
    groups = channel_modes(width, options)
    for b in range(batch):
        n = samples if lengths is None else int(lengths[b])
        stamps = times[b, :n].tolist()
        ticks = targets[b].tolist()
        prepared = [
            (c, mode, wide[b, :n][:, c], knots_of(wide[b, :n][:, c], stamps, options.nan_missing))
            for c, mode in groups
        ]
        for j, t in enumerate(ticks):
            start = ticks[j - 1] if j else (2 * t - ticks[1] if count > 1 else None)
            if integer and start is not None:
                start = min(max(start, -(2**63)), 2**63 - 1)
            whole = True
            for g, (channels, mode, column, knots) in enumerate(prepared):
                if mode in REDUCTIONS:
                    samples_of = (column, stamps, options.nan_missing)
                    value, ok, delta = reduced(samples_of, start, t, mode, options)
                else:
                    value, ok, delta = one(knots, t, mode, options)
                out[b, j, channels] = value
                whole = whole and ok
                if g == 0 and delta is not None:
                    # What int64 does not reach is its extreme.
                    dt[b, j] = min(max(delta, -(2**63)), 2**63 - 1) if integer else delta
            valid[b, j] = whole and bool(groups)
    return Result(out, valid, dt)


def fuse(
    streams: Sequence[tuple[Array, Array]], targets: Array, options: Sequence[Options]
) -> tuple[Array, Array]:
    """Values [B, T, sum of D] and valid [B, T, N]."""
    results = [resample(v, t, targets, o) for (v, t), o in zip(streams, options, strict=True)]
    return (
        np.concatenate([r.values for r in results], axis=2),
        np.stack([r.valid for r in results], axis=2),
    )


def voxelize(
    points: Array,  # [N, 3], cells computed in its own type
    grid: Sequence[int],
    size: Sequence[float],
    origin: Sequence[float] | None,
    features: Array | None,
    mode: str,
) -> tuple[Array, Array, int]:
    """Returns out [X, Y, Z] or [X, Y, Z, F] float64, counts [X, Y, Z] and dropped."""
    kind = points.dtype.type if points.dtype in (np.float32, np.float64) else np.float32
    extent = np.asarray(size, dtype=kind)
    if origin is None:
        low = np.asarray([-g * s / 2 for g, s in zip(grid, size, strict=True)], dtype=kind)
    else:
        low = np.asarray(origin, dtype=kind)
    counts = np.zeros(tuple(grid), dtype=np.int64)
    cells: dict[tuple[int, ...], list[int]] = {}
    dropped = 0
    with np.errstate(all="ignore"):
        where = np.floor((points.astype(kind) - low) / extent)
    for i, cell in enumerate(where.tolist()):
        if all(math.isfinite(c) and 0 <= c < g for c, g in zip(cell, grid, strict=True)):
            index = tuple(int(c) for c in cell)
            counts[index] += 1
            cells.setdefault(index, []).append(i)
        else:
            dropped += 1
    if mode == "occupancy":
        return (counts > 0).astype(np.float64), counts, dropped
    if mode == "count":
        return counts.astype(np.float64), counts, dropped
    assert features is not None
    wide = np.asarray(features, dtype=np.float64)
    out = np.zeros((*grid, wide.shape[1]))
    for index, rows in cells.items():
        block = wide[rows]
        if mode in ("max", "min"):
            out[index] = getattr(block, mode)(axis=0)
        else:
            total = np.array([math.fsum(column) for column in block.T])
            out[index] = total / len(rows) if mode == "mean" else total
    return out, counts, dropped
