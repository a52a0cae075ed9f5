"""Resampling: every mode, edge policy, limit and mask, as robocache/resample.h defines them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentTypeError, InvalidArgumentError
from ._public import public
from ._tensors import FLOATS, TIMES, from_torch, number, store, to_lengths, to_times, to_torch

INTERPOLATING = ("linear", "cubic", "slerp", "angle")
REDUCING = ("mean", "max", "min")
MODES = (*INTERPOLATING, "hold", "nearest", *REDUCING)
OUTSIDE = ("hold", "nan", "zero", "extrapolate")
_Limit = float | int | None
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
INTEGER_MODES = ("hold", "nearest", "max", "min")


@public
def resample_trajectories(
    data: Any,
    source_times: Any,
    target_times: Any,
    *,
    mode: str = "linear",
    outside: str = "hold",
    lengths: Any = None,
    channels: Sequence[tuple[Any, str]] | None = None,
    max_gap: float | None = None,
    tolerance: float | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    return_dt: bool = False,
    out: Any = None,
) -> Any:
    """See :func:`robocache.resample_trajectories`."""
    result = resample(
        data,
        source_times,
        target_times,
        mode=mode,
        outside=outside,
        lengths=lengths,
        channels=channels,
        max_gap=max_gap,
        tolerance=tolerance,
        nan_missing=nan_missing,
        check_times=check_times,
    )
    values = store(result.values, out, data)
    extra = []
    if return_valid:
        extra.append(from_torch(result.valid, data))
    if return_dt:
        extra.append(from_torch(result.dt, data))
    return (values, *extra) if extra else values


@dataclass
class Resampled:
    """What one stream gives on the targets: values [.., T, D], valid and dt [.., T]."""

    values: Tensor
    valid: Tensor
    dt: Tensor


@dataclass
class _Samples:
    """Samples that exist, one for each distinct stamp, first in their rows.

    times [B, S] (padded with the greatest value), values [B, S, C], count [B].
    """

    times: Tensor
    values: Tensor
    count: Tensor


@dataclass
class _Bracket:
    """Around each target, indices [B, T] of the samples before (`low`) and after (`high`)."""

    low: Tensor
    high: Tensor
    exact: Tensor
    before: Tensor  # the target lies before the first sample
    after: Tensor  # the target lies after the last sample
    empty: Tensor  # the row has no sample
    low_time: Tensor
    high_time: Tensor
    since: Tensor  # target minus stamp of `low`, see _forward()
    until: Tensor  # stamp of `high` minus target, see _forward()
    span: Tensor  # stamp of `high` minus stamp of `low`, see _forward()


def resample(
    data: Any,
    source_times: Any,
    target_times: Any,
    *,
    mode: str,
    outside: str,
    lengths: Any,
    channels: Sequence[tuple[Any, str]] | None,
    max_gap: float | None,
    tolerance: float | None,
    nan_missing: bool,
    check_times: bool,
) -> Resampled:
    """Resamples one stream; the arguments are those of :func:`resample_trajectories`."""
    values = to_torch(data, "data")
    times = to_torch(source_times, "source_times", values)
    targets = to_times(target_times, times, values)
    if values.ndim not in (2, 3):
        raise InvalidArgumentError(f"data: {values.ndim} axes found, wanted [B, S, D] or [S, D]")
    batched = values.ndim == 3
    if not batched:
        values = values.unsqueeze(0)
        if targets.ndim > 1:
            raise InvalidArgumentError("target_times: wanted [T], as data is [S, D]")
    batch, samples, width = values.shape
    times = _expand_times(times, "source_times", batch, samples)
    targets = _expand_times(targets, "target_times", batch, None)
    if targets.dtype != times.dtype:
        raise InvalidArgumentError(
            f"target_times: dtype {targets.dtype} found, {times.dtype} wanted as source_times"
        )
    existing = to_lengths(lengths, batch, samples, values)
    runs = _channel_runs(mode, channels, width)
    _check_modes(values.dtype, outside, runs)
    present = torch.arange(samples, device=values.device) < existing[:, None]
    _check_order(times, present, targets, check_times)
    limits = (_limit(max_gap, "max_gap", times), _limit(tolerance, "tolerance", times))
    result = _resample_runs(values, times, targets, present, runs, outside, limits, nan_missing)
    if not batched:
        result = Resampled(result.values[0], result.valid[0], result.dt[0])
    return result


def _limit(limit: float | None, name: str, times: Tensor) -> _Limit:
    """Returns a limit as the stamps are compared with it; None where there is none."""
    if limit is None:
        return None
    limit = number(limit, name)
    if not limit >= 0:
        raise InvalidArgumentError(
            f"{name}: found {limit!r}, wanted 0 or more, or None for no limit"
        )
    most = _greatest(times.dtype)
    return limit if times.is_floating_point() else most if limit >= most else int(limit)


def _expand_times(times: Tensor, name: str, batch: int, count: int | None) -> Tensor:
    if times.dtype not in TIMES:
        raise InvalidArgumentError(
            f"{name}: dtype {times.dtype} found, wanted int64 ns, float64 s or float32 s"
        )
    if times.ndim not in (1, 2) or (count is not None and times.shape[-1] != count):
        raise InvalidArgumentError(
            f"{name}: shape {list(times.shape)} found, wanted [{batch}, {count}] or [{count}]"
        )
    if times.ndim == 2 and times.shape[0] != batch:
        raise InvalidArgumentError(f"{name}: shape {list(times.shape)} found, wanted {batch} rows")
    return times.expand(batch, times.shape[-1]) if times.ndim == 1 else times


def _channel_runs(
    mode: str, channels: Sequence[tuple[Any, str]] | None, width: int
) -> list[tuple[int, int, str]]:
    """Returns (begin, end, mode) runs that cover [0, width) in order."""
    groups = []
    for index, group in enumerate(channels or ()):
        if not isinstance(group, tuple) or len(group) != 2:
            raise ArgumentTypeError(f"channels[{index}]: found {group!r}, wanted (slice, mode)")
        where, group_mode = group
        if isinstance(where, slice):
            begin, end, step = where.indices(width)
            if step != 1:
                raise InvalidArgumentError(f"channels[{index}]: slice with step {step} found")
        elif isinstance(where, tuple) and len(where) == 2:
            begin, end = where
        elif hasattr(where, "__index__"):
            where = operator.index(where)
            begin = where + width if where < 0 else where
            end = begin + 1
        else:
            raise ArgumentTypeError(f"channels[{index}]: found {group!r}, wanted (slice, mode)")
        if not 0 <= begin <= end <= width:
            raise InvalidArgumentError(
                f"channels[{index}]: [{begin}, {end}) found, data has {width} channels"
            )
        if begin < end:
            groups.append((begin, end, group_mode))
    groups.sort()
    runs = []
    done = 0
    for begin, end, group_mode in groups:
        if begin < done:
            raise InvalidArgumentError(f"channels: groups overlap at channel {begin}")
        if begin > done:
            runs.append((done, begin, mode))
        runs.append((begin, end, group_mode))
        done = end
    if done < width or not runs:
        runs.append((done, width, mode))
    return runs


def _check_modes(dtype: torch.dtype, outside: str, runs: list[tuple[int, int, str]]) -> None:
    if dtype not in FLOATS + INTEGERS:
        raise InvalidArgumentError(f"data: dtype {dtype} is not supported")
    if outside not in OUTSIDE:
        raise InvalidArgumentError(f"outside: found {outside!r}, wanted one of {OUTSIDE}")
    for begin, end, mode in runs:
        if mode not in MODES:
            raise InvalidArgumentError(f"mode: found {mode!r}, wanted one of {MODES}")
        if dtype in INTEGERS and mode not in INTEGER_MODES:
            raise InvalidArgumentError(f"mode: {mode!r} found, {dtype} takes {INTEGER_MODES}")
        if mode == "slerp" and end - begin != 4:
            raise InvalidArgumentError(f"mode: 'slerp' needs four channels, [{begin}, {end}) found")
        if outside == "extrapolate" and mode != "linear":
            raise InvalidArgumentError(
                f"outside: 'extrapolate' needs mode 'linear', {mode!r} found"
            )
    if outside == "nan" and dtype not in FLOATS:
        raise InvalidArgumentError(f"outside: 'nan' needs a float dtype, {dtype} found")


def _check_order(times: Tensor, present: Tensor, targets: Tensor, check: bool) -> None:
    if times.device.type != "cpu" and not check:
        return
    wrong = ~(times[:, 1:] >= times[:, :-1]) & present[:, 1:]
    if bool(wrong.any()):
        row, index = (int(i) for i in wrong.nonzero()[0])
        raise InvalidArgumentError(
            f"source_times: [{row}, {index + 1}] is {times[row, index + 1].item()} after "
            f"{times[row, index].item()}, wanted non-decreasing"
        )
    if bool((times.isnan() & present).any()):
        raise InvalidArgumentError("source_times: NaN found")
    if bool(targets.isnan().any()):
        raise InvalidArgumentError("target_times: NaN found")


def _resample_runs(
    values: Tensor,
    times: Tensor,
    targets: Tensor,
    present: Tensor,
    runs: list[tuple[int, int, str]],
    outside: str,
    limits: tuple[_Limit, _Limit],
    nan_missing: bool,
) -> Resampled:
    compute = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
    pieces = []
    valid = torch.ones(targets.shape, dtype=torch.bool, device=targets.device)
    dt: Tensor | None = None
    for begin, end, mode in runs:
        whole = mode == "slerp" or not nan_missing or values.dtype not in FLOATS
        step = max(end - begin, 1) if whole else 1
        for first in range(begin, max(end, begin + 1), step):
            part = compute[..., first : min(first + step, end)]
            exists = present
            if nan_missing and values.dtype in FLOATS and part.shape[-1] > 0:
                exists = present & ~part.isnan().any(-1)
            if mode == "slerp":
                part = _unit(part, values.dtype)
            piece = _resample_part(part, times, targets, exists, mode, outside, limits)
            pieces.append(piece.values)
            valid = valid & piece.valid
            dt = piece.dt if dt is None else dt
    assert dt is not None
    return Resampled(torch.cat(pieces, -1).to(values.dtype), valid, dt)


def _greatest(dtype: torch.dtype) -> float | int:
    return math.inf if dtype.is_floating_point else torch.iinfo(dtype).max


def _compact(samples: _Samples, keep: Tensor) -> _Samples:
    """Moves the samples to `keep` to the front of their rows."""
    order = torch.argsort((~keep).to(torch.uint8), dim=1, stable=True)
    count = keep.sum(1)
    times = samples.times.gather(1, order)
    padding = torch.arange(times.shape[1], device=times.device) >= count[:, None]
    times = times.masked_fill(padding, _greatest(times.dtype))
    values = samples.values.gather(1, order[..., None].expand_as(samples.values))
    return _Samples(times, values, count)


def _present(values: Tensor, times: Tensor, present: Tensor) -> _Samples:
    return _compact(_Samples(times, values, present.sum(1)), present)


def _distinct(samples: _Samples) -> _Samples:
    times = samples.times
    index = torch.arange(times.shape[1], device=times.device)
    newest = torch.ones_like(times, dtype=torch.bool)
    newest[:, :-1] = times[:, 1:] != times[:, :-1]
    newest |= index == samples.count[:, None] - 1
    return _compact(samples, newest & (index < samples.count[:, None]))


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Values [B, S, C] at index [B, T] gives [B, T, C]."""
    return values.gather(1, index[..., None].expand(*index.shape, values.shape[-1]))


def _bracket(samples: _Samples, targets: Tensor) -> _Bracket:
    count = samples.count[:, None]
    times = samples.times.contiguous()
    following = torch.searchsorted(times, targets.contiguous(), right=True).minimum(count)
    before = following == 0
    low = (following - 1).clamp(min=0)
    last = (count - 1).clamp(min=0)
    exact = (count > 0) & (times.gather(1, low) == targets)
    high = torch.where(exact, low, following.minimum(last))
    after = (following == count) & ~exact & (count > 0)
    low_time, high_time = times.gather(1, low), times.gather(1, high)
    return _Bracket(
        low=low,
        high=high,
        exact=exact,
        before=before & (count > 0),
        after=after,
        empty=(count == 0).expand_as(low),
        low_time=low_time,
        high_time=high_time,
        since=targets - low_time,
        until=high_time - targets,
        span=high_time - low_time,
    )


def _resample_part(
    values: Tensor,
    times: Tensor,
    targets: Tensor,
    present: Tensor,
    mode: str,
    outside: str,
    limits: tuple[_Limit, _Limit],
) -> Resampled:
    """Resamples channels that share a mode and which samples exist."""
    if times.shape[1] == 0:  # one absent sample, so that there is something to gather from
        values = values.new_zeros((values.shape[0], 1, values.shape[2]))
        times = times.new_zeros((times.shape[0], 1))
        present = present.new_zeros((present.shape[0], 1))
    every = _present(values, times, present)
    samples = _distinct(every)
    bracket = _bracket(samples, targets)
    used = _used(bracket, mode)
    dt = _minus(targets, used)
    if mode in REDUCING:
        reduced, valid = _reduce(every, targets, mode)
        held = _take(samples.values, bracket.low)
        result = torch.where(valid[..., None], reduced, held)
    else:
        valid = _validity(bracket, targets, used, mode, limits)
        result = _interpolate(samples, bracket, mode)
        edge = bracket.before | bracket.after
        if outside == "extrapolate":
            edge_values = _extrapolate(samples, targets, bracket)
        else:
            edge_values = _take(
                samples.values, torch.where(bracket.before, bracket.high, bracket.low)
            )
        result = torch.where(edge[..., None], edge_values, result)
    fill = {"zero": 0, "nan": math.nan}.get(outside)
    if fill is not None:
        result = torch.where(valid[..., None], result, torch.full_like(result, fill))
    nothing = math.nan if outside == "nan" else 0
    result = torch.where(bracket.empty[..., None], torch.full_like(result, nothing), result)
    missing = math.nan if dt.dtype.is_floating_point else torch.iinfo(dt.dtype).max
    dt = torch.where(bracket.empty, torch.full_like(dt, missing), dt)
    return Resampled(result, valid & ~bracket.empty, dt)


def _used(bracket: _Bracket, mode: str) -> Tensor:
    """The stamp of the sample used, [B, T]."""
    # Before the first sample `low` and `high` are both that sample, likewise after the last.
    if mode in ("hold", *REDUCING):
        return bracket.low_time
    nearer_is_low = bracket.before | bracket.after | _is_nearer(bracket)
    return torch.where(nearer_is_low, bracket.low_time, bracket.high_time)


def _is_nearer(bracket: _Bracket) -> Tensor:
    """Whether `low`, of two samples around the target, is no further away than `high`."""
    if bracket.since.dtype.is_floating_point:
        return bracket.since <= bracket.until
    lowest = torch.iinfo(bracket.since.dtype).min  # flips the sign: unsigned order
    return (bracket.since ^ lowest) <= (bracket.until ^ lowest)


def _minus(a: Tensor, b: Tensor) -> Tensor:
    """Returns a - b, the extreme of its type where int64 does not reach as far."""
    difference = a - b
    if difference.dtype.is_floating_point:
        return difference
    bounds = torch.iinfo(difference.dtype)
    extreme = torch.where(a < b, bounds.min, bounds.max)
    return torch.where(((a ^ b) & (a ^ difference)) < 0, extreme, difference)


def _within(forward: Tensor, limit: float | int) -> Tensor:
    """Whether a difference that is known not to be negative, see _forward(), is at most `limit`."""
    return (forward <= limit) & (forward >= 0)


def _validity(
    bracket: _Bracket, targets: Tensor, used: Tensor, mode: str, limits: tuple[_Limit, _Limit]
) -> Tensor:
    max_gap, tolerance = limits
    inside = ~(bracket.before | bracket.after | bracket.empty)
    if max_gap is not None:
        inside = inside & (bracket.exact | _within(bracket.span, max_gap))
    away = torch.where(targets < used, used - targets, targets - used)
    close = None if tolerance is None else _within(away, tolerance)
    if mode == "hold":
        held = bracket.after if max_gap is None else bracket.after & _within(away, max_gap)
        return inside | held if close is None else (inside | held) & close
    if close is None:
        return inside
    return close & (inside | bracket.before | bracket.after)


def _forward(difference: Tensor) -> Tensor:
    """A difference of times that is known not to be negative, as a float.

    Stamps may be further apart than int64 reaches; what wrapped round is then read as unsigned.
    """
    if difference.dtype.is_floating_point:
        return difference
    return difference.to(torch.float64) + (difference < 0) * 2.0**64


def _weight(bracket: _Bracket, dtype: torch.dtype) -> Tensor:
    """Where the target lies between its two samples, [B, T, 1] in [0, 1]."""
    span = _forward(bracket.span)
    since = _forward(bracket.since)
    apart = bracket.high != bracket.low
    weight = torch.where(apart, since, torch.zeros_like(since)) / torch.where(
        apart, span, torch.ones_like(span)
    )
    return weight.to(dtype)[..., None]


def _interpolate(samples: _Samples, bracket: _Bracket, mode: str) -> Tensor:
    low = _take(samples.values, bracket.low)
    if mode == "hold":
        return low
    high = _take(samples.values, bracket.high)
    if mode == "nearest":
        return torch.where(_is_nearer(bracket)[..., None], low, high)
    weight = _weight(bracket, low.dtype)
    if mode == "linear":
        result = low + weight * (high - low)
    elif mode == "cubic":
        result = _cubic(samples, bracket, weight)
    elif mode == "slerp":
        result = _slerp(low, high, weight)
    else:
        result = _angle(low, high, weight)
    return torch.where(bracket.exact[..., None], low, result)


def _tangents(samples: _Samples) -> Tensor:
    """Slopes at the knots [B, S, C], in value per unit of time.

    Those of the parabola through each knot and its neighbours, one-sided at the ends, as
    numpy.gradient has them.
    """
    values = samples.values
    last = (samples.count - 1).clamp(min=0)[:, None]
    index = torch.arange(values.shape[1], device=values.device)
    left = (index - 1).clamp(min=0).expand(values.shape[:2])
    right = (index + 1).minimum(last)
    here = index.minimum(last)
    times = samples.times

    def slope(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        step = _forward(times.gather(1, b) - times.gather(1, a)).to(values.dtype)[..., None]
        rise = _take(values, b) - _take(values, a)
        return rise / torch.where(step == 0, torch.ones_like(step), step), step

    slope_left, step_left = slope(left.minimum(last), here)
    slope_right, step_right = slope(here, right)
    total = step_left + step_right
    inner = (slope_left * step_right + slope_right * step_left) / torch.where(
        total == 0, torch.ones_like(total), total
    )
    inner = torch.where(step_left == 0, slope_right, inner)
    return torch.where(step_right == 0, slope_left, inner)


def _cubic(samples: _Samples, bracket: _Bracket, weight: Tensor) -> Tensor:
    low = _take(samples.values, bracket.low)
    high = _take(samples.values, bracket.high)
    tangents = _tangents(samples)
    span = _forward(bracket.span).to(low.dtype)[..., None]
    slope_low = _take(tangents, bracket.low) * span
    slope_high = _take(tangents, bracket.high) * span
    w2 = weight * weight
    w3 = w2 * weight
    return (
        low
        + slope_low * (w3 - 2 * w2 + weight)
        + (high - low) * (3 * w2 - 2 * w3)
        + slope_high * (w3 - w2)
    )


def _unit(values: Tensor, stored: torch.dtype) -> Tensor:
    """Quaternions [.., 4] at unit length; the gradient is that of this function everywhere.

    Those that have it but for the rounding of the type they are stored in keep their bits.
    """
    square = values.double().square().sum(-1, keepdim=True)
    length = torch.where(square > 0, square, torch.ones_like(square)).sqrt()
    unit = (values.double() / length).to(values.dtype)
    unit = torch.where(square > 0, unit, torch.full_like(unit, math.nan))
    is_unit = (square - 1).abs() <= 4 * torch.finfo(stored).eps
    return torch.where(is_unit, values.detach() + (unit - unit.detach()), unit)


def _slerp(low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    """On the shorter arc between unit quaternions."""
    dot = (low * high).sum(-1, keepdim=True)
    high = torch.where(dot < 0, -high, high)
    # Half the angle from chord and sum keeps its digits where acos(dot) loses them.
    chord = (high - low).norm(dim=-1, keepdim=True)
    theta = 2 * torch.atan2(chord, (high + low).norm(dim=-1, keepdim=True))
    near = theta < 1e-3 if low.dtype != torch.float64 else theta < 1e-6
    sine = torch.where(near, torch.ones_like(theta), torch.sin(theta))
    curved = (torch.sin((1 - weight) * theta) * low + torch.sin(weight * theta) * high) / sine
    straight = low + weight * (high - low)
    straight = straight / straight.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    return torch.where(near, straight, curved)


def _wrap(angle: Tensor) -> Tensor:
    """Into (-pi, pi]."""
    return angle - 2 * math.pi * torch.ceil((angle - math.pi) / (2 * math.pi))


def _angle(low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    return _wrap(low + weight * _wrap(high - low))


def _extrapolate(samples: _Samples, targets: Tensor, bracket: _Bracket) -> Tensor:
    """The line through the two samples at the end that the target lies beyond."""
    last = (samples.count - 1).clamp(min=0)[:, None].expand_as(targets)
    first = torch.zeros_like(last)
    a = torch.where(bracket.before, first, (last - 1).clamp(min=0))
    b = torch.where(bracket.before, first.add(1).minimum(last), last)
    start = samples.times.gather(1, a)
    span = _forward(samples.times.gather(1, b) - start)
    since = torch.where(targets < start, -_forward(start - targets), _forward(targets - start))
    alone = span == 0
    weight = since / torch.where(alone, torch.ones_like(span), span)
    weight = torch.where(alone, torch.zeros_like(weight), weight).to(samples.values.dtype)
    low = _take(samples.values, a)
    return low + weight[..., None] * (_take(samples.values, b) - low)


def _reduce(samples: _Samples, targets: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Reduces all samples in (previous target, target]; returns values and where there is one."""
    count = samples.count[:, None]
    times = samples.times.contiguous()
    end = torch.searchsorted(times, targets.contiguous(), right=True).minimum(count)
    begin = torch.zeros_like(end)
    if targets.shape[1] > 1:
        first, second = targets[:, :1], targets[:, 1:2]
        previous = torch.cat([_minus(first, _minus(second, first)), targets[:, :-1]], 1)
        begin = torch.searchsorted(times, previous.contiguous(), right=True).minimum(count)
    size = (end - begin).clamp(min=0)
    valid = size > 0
    most = int(size.max()) if size.numel() else 0
    wide = samples.values.dtype.is_floating_point
    total = _take(samples.values, begin.minimum((count - 1).clamp(min=0)))
    total = total.to(torch.float64) if mode == "mean" and wide else total
    for offset in range(1, most):
        index = begin + offset
        more = (index < end)[..., None]
        value = _take(samples.values, index.minimum((count - 1).clamp(min=0))).to(total.dtype)
        if mode == "mean":
            total = torch.where(more, total + value, total)
        elif mode == "max":
            total = torch.where(more, torch.maximum(total, value), total)
        else:
            total = torch.where(more, torch.minimum(total, value), total)
    if mode == "mean":
        total = (total / size.clamp(min=1)[..., None]).to(samples.values.dtype)
    return total, valid
