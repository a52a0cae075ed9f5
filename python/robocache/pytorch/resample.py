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
from ._bracket import (
    Bracket,
    distinct,
    find_bracket,
    greatest,
    is_nearer,
    minus,
    take,
    those_present,
)
from ._modes import extrapolate, interpolate, reduce, unit
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
    most = greatest(times.dtype)
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
                part = unit(part, values.dtype)
            piece = _resample_part(part, times, targets, exists, mode, outside, limits)
            pieces.append(piece.values)
            valid = valid & piece.valid
            dt = piece.dt if dt is None else dt
    assert dt is not None
    return Resampled(torch.cat(pieces, -1).to(values.dtype), valid, dt)


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
    every = those_present(values, times, present)
    samples = distinct(every)
    bracket = find_bracket(samples, targets)
    used = _used(bracket, mode)
    dt = minus(targets, used)
    if mode in REDUCING:
        reduced, valid = reduce(every, targets, mode)
        held = take(samples.values, bracket.low)
        result = torch.where(valid[..., None], reduced, held)
    else:
        valid = _validity(bracket, targets, used, mode, limits)
        result = interpolate(samples, bracket, mode)
        edge = bracket.before | bracket.after
        if outside == "extrapolate":
            edge_values = extrapolate(samples, targets, bracket)
        else:
            edge_values = take(
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


def _used(bracket: Bracket, mode: str) -> Tensor:
    """The stamp of the sample used, [B, T]."""
    # Before the first sample `low` and `high` are both that sample, likewise after the last.
    if mode in ("hold", *REDUCING):
        return bracket.low_time
    nearer_is_low = bracket.before | bracket.after | is_nearer(bracket)
    return torch.where(nearer_is_low, bracket.low_time, bracket.high_time)


def _within(difference: Tensor, limit: float | int) -> Tensor:
    """Whether a difference that is known not to be negative, see forward(), is at most `limit`."""
    return (difference <= limit) & (difference >= 0)


def _validity(
    bracket: Bracket, targets: Tensor, used: Tensor, mode: str, limits: tuple[_Limit, _Limit]
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
