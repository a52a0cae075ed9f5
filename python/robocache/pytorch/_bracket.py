"""Which samples lie around targets, and how far from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Samples:
    """Samples that exist, one for each distinct stamp, first in their rows.

    times [B, S] (padded with the greatest value), values [B, S, C], count [B].
    """

    times: Tensor
    values: Tensor
    count: Tensor


@dataclass
class Bracket:
    """Around each target, indices [B, T] of the samples before (`low`) and after (`high`)."""

    low: Tensor
    high: Tensor
    exact: Tensor
    before: Tensor  # the target lies before the first sample
    after: Tensor  # the target lies after the last sample
    empty: Tensor  # the row has no sample
    low_time: Tensor
    high_time: Tensor
    since: Tensor  # target minus stamp of `low`, see forward()
    until: Tensor  # stamp of `high` minus target, see forward()
    span: Tensor  # stamp of `high` minus stamp of `low`, see forward()


def greatest(dtype: torch.dtype) -> float | int:
    return math.inf if dtype.is_floating_point else torch.iinfo(dtype).max


def _compact(samples: Samples, keep: Tensor) -> Samples:
    """Moves the samples to `keep` to the front of their rows."""
    order = torch.argsort((~keep).to(torch.uint8), dim=1, stable=True)
    count = keep.sum(1)
    times = samples.times.gather(1, order)
    padding = torch.arange(times.shape[1], device=times.device) >= count[:, None]
    times = times.masked_fill(padding, greatest(times.dtype))
    values = samples.values.gather(1, order[..., None].expand_as(samples.values))
    return Samples(times, values, count)


def those_present(values: Tensor, times: Tensor, present: Tensor) -> Samples:
    return _compact(Samples(times, values, present.sum(1)), present)


def distinct(samples: Samples) -> Samples:
    times = samples.times
    index = torch.arange(times.shape[1], device=times.device)
    newest = torch.ones_like(times, dtype=torch.bool)
    newest[:, :-1] = times[:, 1:] != times[:, :-1]
    newest |= index == samples.count[:, None] - 1
    return _compact(samples, newest & (index < samples.count[:, None]))


def take(values: Tensor, index: Tensor) -> Tensor:
    """Values [B, S, C] at index [B, T] gives [B, T, C]."""
    return values.gather(1, index[..., None].expand(*index.shape, values.shape[-1]))


def find_bracket(samples: Samples, targets: Tensor) -> Bracket:
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
    return Bracket(
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


def is_nearer(bracket: Bracket) -> Tensor:
    """Whether `low`, of two samples around the target, is no further away than `high`."""
    if bracket.since.dtype.is_floating_point:
        return bracket.since <= bracket.until
    lowest = torch.iinfo(bracket.since.dtype).min  # flips the sign: unsigned order
    return (bracket.since ^ lowest) <= (bracket.until ^ lowest)


def minus(a: Tensor, b: Tensor) -> Tensor:
    """Returns a - b, the extreme of its type where int64 does not reach as far."""
    difference = a - b
    if difference.dtype.is_floating_point:
        return difference
    bounds = torch.iinfo(difference.dtype)
    extreme = torch.where(a < b, bounds.min, bounds.max)
    return torch.where(((a ^ b) & (a ^ difference)) < 0, extreme, difference)


def forward(difference: Tensor) -> Tensor:
    """A difference of times that is known not to be negative, as a float.

    Stamps may be further apart than int64 reaches; what wrapped round is then read as unsigned.
    """
    if difference.dtype.is_floating_point:
        return difference
    return difference.to(torch.float64) + (difference < 0) * 2.0**64
