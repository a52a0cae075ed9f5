"""What each mode of resampling makes of the samples around a target."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._bracket import Bracket, Samples, forward, is_nearer, minus, take


def _weight(bracket: Bracket, dtype: torch.dtype) -> Tensor:
    """Where the target lies between its two samples, [B, T, 1] in [0, 1]."""
    span = forward(bracket.span)
    since = forward(bracket.since)
    apart = bracket.high != bracket.low
    weight = torch.where(apart, since, torch.zeros_like(since)) / torch.where(
        apart, span, torch.ones_like(span)
    )
    return weight.to(dtype)[..., None]


def interpolate(samples: Samples, bracket: Bracket, mode: str) -> Tensor:
    low = take(samples.values, bracket.low)
    if mode == "hold":
        return low
    high = take(samples.values, bracket.high)
    if mode == "nearest":
        return torch.where(is_nearer(bracket)[..., None], low, high)
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


def _tangents(samples: Samples) -> Tensor:
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
        step = forward(times.gather(1, b) - times.gather(1, a)).to(values.dtype)[..., None]
        rise = take(values, b) - take(values, a)
        return rise / torch.where(step == 0, torch.ones_like(step), step), step

    slope_left, step_left = slope(left.minimum(last), here)
    slope_right, step_right = slope(here, right)
    total = step_left + step_right
    inner = (slope_left * step_right + slope_right * step_left) / torch.where(
        total == 0, torch.ones_like(total), total
    )
    inner = torch.where(step_left == 0, slope_right, inner)
    return torch.where(step_right == 0, slope_left, inner)


def _cubic(samples: Samples, bracket: Bracket, weight: Tensor) -> Tensor:
    low = take(samples.values, bracket.low)
    high = take(samples.values, bracket.high)
    tangents = _tangents(samples)
    span = forward(bracket.span).to(low.dtype)[..., None]
    slope_low = take(tangents, bracket.low) * span
    slope_high = take(tangents, bracket.high) * span
    w2 = weight * weight
    w3 = w2 * weight
    return (
        low
        + slope_low * (w3 - 2 * w2 + weight)
        + (high - low) * (3 * w2 - 2 * w3)
        + slope_high * (w3 - w2)
    )


def unit(values: Tensor, stored: torch.dtype) -> Tensor:
    """Quaternions [.., 4] at unit length; the gradient is that of this function everywhere.

    Those that have it but for the rounding of the type they are stored in keep their bits.
    """
    square = values.double().square().sum(-1, keepdim=True)
    length = torch.where(square > 0, square, torch.ones_like(square)).sqrt()
    made = (values.double() / length).to(values.dtype)
    made = torch.where(square > 0, made, torch.full_like(made, math.nan))
    is_unit = (square - 1).abs() <= 4 * torch.finfo(stored).eps
    return torch.where(is_unit, values.detach() + (made - made.detach()), made)


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


def extrapolate(samples: Samples, targets: Tensor, bracket: Bracket) -> Tensor:
    """The line through the two samples at the end that the target lies beyond."""
    last = (samples.count - 1).clamp(min=0)[:, None].expand_as(targets)
    first = torch.zeros_like(last)
    a = torch.where(bracket.before, first, (last - 1).clamp(min=0))
    b = torch.where(bracket.before, first.add(1).minimum(last), last)
    start = samples.times.gather(1, a)
    span = forward(samples.times.gather(1, b) - start)
    since = torch.where(targets < start, -forward(start - targets), forward(targets - start))
    alone = span == 0
    weight = since / torch.where(alone, torch.ones_like(span), span)
    weight = torch.where(alone, torch.zeros_like(weight), weight).to(samples.values.dtype)
    low = take(samples.values, a)
    return low + weight[..., None] * (take(samples.values, b) - low)


def reduce(samples: Samples, targets: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Reduces all samples in (previous target, target]; returns values and where there is one."""
    count = samples.count[:, None]
    times = samples.times.contiguous()
    end = torch.searchsorted(times, targets.contiguous(), right=True).minimum(count)
    begin = torch.zeros_like(end)
    if targets.shape[1] > 1:
        first, second = targets[:, :1], targets[:, 1:2]
        previous = torch.cat([minus(first, minus(second, first)), targets[:, :-1]], 1)
        begin = torch.searchsorted(times, previous.contiguous(), right=True).minimum(count)
    size = (end - begin).clamp(min=0)
    valid = size > 0
    most = int(size.max()) if size.numel() else 0
    wide = samples.values.dtype.is_floating_point
    total = take(samples.values, begin.minimum((count - 1).clamp(min=0)))
    total = total.to(torch.float64) if mode == "mean" and wide else total
    for offset in range(1, most):
        index = begin + offset
        more = (index < end)[..., None]
        value = take(samples.values, index.minimum((count - 1).clamp(min=0))).to(total.dtype)
        if mode == "mean":
            total = torch.where(more, total + value, total)
        elif mode == "max":
            total = torch.where(more, torch.maximum(total, value), total)
        else:
            total = torch.where(more, torch.minimum(total, value), total)
    if mode == "mean":
        total = (total / size.clamp(min=1)[..., None]).to(samples.values.dtype)
    return total, valid
