# mypy: disable-error-code="untyped-decorator"
"""The operations as PyTorch operators: for autograd, torch.compile and export.

Importing this module registers ``torch.ops.robocache.*``. The functions here take and return the
same as those of :mod:`robocache`, which come here by themselves when the values require a gradient;
call these directly inside a compiled function, which cannot look into the plain ones. Gradients are
with respect to values and features, never to times or points.

Where the output is linear in the values (linear, hold, nearest, cubic, angle, mean) the gradient is
one pass of the adjoint kernel, accumulated in float32 or float64 and differentiable again; slerp,
max, min and ``nan_missing`` differentiate the PyTorch reference.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _core, pytorch
from .errors import InvalidArgumentError, UnsupportedError

# Modes and policies reach the native functions as checked by the operators' own strings.
_native: Any = _core
ADJOINT_MODES = ("linear", "hold", "nearest", "cubic", "angle", "mean")


def _encode_channels(channels: Sequence[tuple[Any, str]] | None, width: int) -> str:
    """Channel groups as a string, since operators take no list of pairs: "0:3=linear 3:7=slerp"."""
    groups = []
    for where, mode in channels or ():
        if isinstance(where, slice):
            begin, end, step = where.indices(width)
            if step != 1:
                raise InvalidArgumentError(f"channels: step of {where} is {step}, wanted 1")
        elif isinstance(where, tuple):
            begin, end = where
        else:
            begin, end = int(where), int(where) + 1
        groups.append(f"{begin}:{end}={mode}")
    return " ".join(groups)


@functools.lru_cache(maxsize=256)
def _decode_channels(text: str) -> list[tuple[slice, str]] | None:
    groups = []
    for group in text.split():
        span, mode = group.split("=")
        begin, end = span.split(":")
        groups.append((slice(int(begin), int(end)), mode))
    return groups or None


def _is_adjoint(mode: str, channels: str, nan_missing: bool) -> bool:
    modes = [mode, *(m for _, m in _decode_channels(channels) or ())]
    return not nan_missing and all(m in ADJOINT_MODES for m in modes)


@torch.library.custom_op("robocache::resample", mutates_args=())
def _resample(
    values: Tensor,
    times: Tensor,
    targets: Tensor,
    lengths: Tensor | None,
    mode: str,
    outside: str,
    channels: str,
    max_gap: float | None,
    tolerance: float | None,
    nan_missing: bool,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        out, valid = _native.resample_trajectories(
            values,
            times,
            targets,
            mode=mode,
            outside=outside,
            lengths=lengths,
            channels=_decode_channels(channels),
            max_gap=max_gap,
            tolerance=tolerance,
            nan_missing=nan_missing,
            return_valid=True,
        )
    return out, valid


@_resample.register_fake
def _(values: Tensor, times: Tensor, targets: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    shape = [*values.shape[:-2], targets.shape[-1]]
    return values.new_empty([*shape, values.shape[-1]]), values.new_empty(shape, dtype=torch.bool)


@torch.library.custom_op("robocache::resample_backward", mutates_args=())
def _resample_backward(
    grad: Tensor,
    num_samples: int,
    times: Tensor,
    targets: Tensor,
    lengths: Tensor | None,
    mode: str,
    outside: str,
    channels: str,
    max_gap: float | None,
    tolerance: float | None,
) -> Tensor:
    wide = (grad if grad.dtype == torch.float64 else grad.float()).detach().contiguous()
    result = wide.new_empty([*grad.shape[:-2], num_samples, grad.shape[-1]])
    _native.resample_backward(
        wide,
        result,
        times,
        targets,
        mode=mode,
        outside=outside,
        lengths=lengths,
        channels=_decode_channels(channels),
        max_gap=max_gap,
        tolerance=tolerance,
    )
    return result.to(grad.dtype)


@_resample_backward.register_fake
def _(grad: Tensor, num_samples: int, *options: Any) -> Tensor:
    return grad.new_empty([*grad.shape[:-2], num_samples, grad.shape[-1]])


def _save_resample(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    values, times, targets, lengths, mode, outside, channels, max_gap, tolerance, missing = inputs
    adjoint = _is_adjoint(mode, channels, missing)
    ctx.save_for_backward(times, targets, lengths, None if adjoint else values)
    ctx.num_samples = values.shape[-2]
    ctx.options = (mode, outside, channels, max_gap, tolerance, missing)
    ctx.mark_non_differentiable(output[1])


def _gradient(
    grad: Tensor,
    values: Tensor | None,
    num_samples: int,
    times: Tensor,
    targets: Tensor,
    lengths: Tensor | None,
    options: tuple[Any, ...],
) -> Tensor:
    """Gradient of the values: by the adjoint, or with `values` through the reference."""
    if values is None:
        return _resample_backward(grad, num_samples, times, targets, lengths, *options[:-1])
    mode, outside, channels, max_gap, tolerance, nan_missing = options
    with torch.enable_grad():
        again = values.detach().requires_grad_()
        out = pytorch.resample_trajectories(
            again,
            times,
            targets,
            mode=mode,
            outside=outside,
            lengths=lengths,
            channels=_decode_channels(channels),
            max_gap=max_gap,
            tolerance=tolerance,
            nan_missing=nan_missing,
        )
    return torch.autograd.grad(out, again, grad)[0]


def _resample_grad(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    times, targets, lengths, values = ctx.saved_tensors
    result = _gradient(grad, values, ctx.num_samples, times, targets, lengths, ctx.options)
    return (result, *[None] * 9)


_resample.register_autograd(_resample_grad, setup_context=_save_resample)


def _save_resample_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, _, times, targets, lengths, *options = inputs
    ctx.save_for_backward(times, targets, lengths)
    ctx.options = options


def _resample_backward_grad(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    times, targets, lengths = ctx.saved_tensors
    mode, outside, *rest = ctx.options
    # The adjoint is linear: its own adjoint is resampling without constants.
    outside = "zero" if outside == "nan" else outside
    return (_resample(grad, times, targets, lengths, mode, outside, *rest, False)[0], *[None] * 9)


_resample_backward.register_autograd(_resample_backward_grad, setup_context=_save_resample_backward)


@torch.library.custom_op("robocache::fuse", mutates_args=())
def _fuse(
    values: Sequence[Tensor],
    times: Sequence[Tensor],
    targets: Tensor,
    modes: str,
    outside: str,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        out, valid = _native.fuse_streams(
            list(zip(values, times, strict=True)),
            targets,
            modes=modes.split(),
            outside=outside.split(),
            return_valid=True,
        )
    return out, valid


@_fuse.register_fake
def _(
    values: Sequence[Tensor], times: Sequence[Tensor], targets: Tensor, *options: Any
) -> tuple[Tensor, Tensor]:
    shape = [*values[0].shape[:-2], targets.shape[-1]]
    width = sum(v.shape[-1] for v in values)
    return (
        values[0].new_empty([*shape, width]),
        values[0].new_empty([*shape, len(values)], dtype=torch.bool),
    )


def _save_fuse(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    values, times, targets, modes, outside = inputs
    ctx.options = list(zip(modes.split(), outside.split(), strict=True))
    kept = [
        None if _is_adjoint(mode, "", False) else v
        for v, (mode, _) in zip(values, ctx.options, strict=True)
    ]
    ctx.save_for_backward(targets, *times, *kept)
    ctx.shapes = [v.shape[-2:] for v in values]
    ctx.mark_non_differentiable(output[1])


def _fuse_grad(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    targets, *saved = ctx.saved_tensors
    times, values = saved[: len(ctx.shapes)], saved[len(ctx.shapes) :]
    parts = grad.split([width for _, width in ctx.shapes], dim=-1)
    grads = [
        _gradient(part, kept, samples, stamps, targets, None, (*modes, "", None, None, False))
        for part, kept, stamps, (samples, _), modes in zip(
            parts, values, times, ctx.shapes, ctx.options, strict=True
        )
    ]
    return grads, [None] * len(times), None, None, None


_fuse.register_autograd(_fuse_grad, setup_context=_save_fuse)


@torch.library.custom_op("robocache::voxelize_mean", mutates_args=())
def _voxelize_mean(
    points: Tensor,
    features: Tensor,
    lengths: Tensor | None,
    grid_size: Sequence[int],
    voxel_size: Sequence[float],
    origin: Sequence[float] | None,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        out, counts = _native.voxelize_point_cloud(
            points,
            tuple(grid_size),
            tuple(voxel_size),
            None if origin is None else tuple(origin),
            features=features,
            mode="mean",
            lengths=lengths,
            return_counts=True,
        )
    return out, counts


@_voxelize_mean.register_fake
def _(
    points: Tensor,
    features: Tensor,
    lengths: Tensor | None,
    grid_size: Sequence[int],
    *options: Any,
) -> tuple[Tensor, Tensor]:
    shape = [*points.shape[:-2], *grid_size]
    return (
        features.new_empty([*shape, features.shape[-1]]),
        points.new_empty(shape, dtype=torch.int32),
    )


@torch.library.custom_op("robocache::voxelize_mean_backward", mutates_args=())
def _voxelize_mean_backward(
    grad: Tensor,
    counts: Tensor,
    points: Tensor,
    lengths: Tensor | None,
    grid_size: Sequence[int],
    voxel_size: Sequence[float],
    origin: Sequence[float] | None,
) -> Tensor:
    cells, kept = pytorch.voxel_cells(points, grid_size, voxel_size, origin, lengths)
    share = grad.reshape(-1, grad.shape[-1]) / counts.reshape(-1, 1).clamp(min=1)
    return (share[cells] * kept[..., None]).to(grad.dtype)


@_voxelize_mean_backward.register_fake
def _(grad: Tensor, counts: Tensor, points: Tensor, *options: Any) -> Tensor:
    return grad.new_empty([*points.shape[:-1], grad.shape[-1]])


def _save_voxelize(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    points, _, lengths, grid_size, voxel_size, origin = inputs
    ctx.save_for_backward(points, lengths, output[1])
    ctx.options = (grid_size, voxel_size, origin)
    ctx.mark_non_differentiable(output[1])


def _voxelize_grad(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    points, lengths, counts = ctx.saved_tensors
    result = _voxelize_mean_backward(grad, counts, points, lengths, *ctx.options)
    return None, result, None, None, None, None


_voxelize_mean.register_autograd(_voxelize_grad, setup_context=_save_voxelize)


def resample_trajectories(
    data: Tensor,
    source_times: Tensor,
    target_times: Tensor,
    *,
    mode: str = "linear",
    outside: str = "hold",
    lengths: Tensor | None = None,
    channels: Sequence[tuple[Any, str]] | None = None,
    max_gap: float | None = None,
    tolerance: float | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    return_dt: bool = False,
    out: Tensor | None = None,
) -> Any:
    """As :func:`robocache.resample_trajectories`, differentiable in `data` and traceable.

    Raises:
        UnsupportedError: `out` is given, which autograd cannot write to.
    """
    _refuse_out(out)
    values, valid = _resample(
        data,
        source_times,
        target_times,
        lengths,
        mode,
        outside,
        _encode_channels(channels, data.shape[-1]),
        None if max_gap is None else float(max_gap),
        None if tolerance is None else float(tolerance),
        nan_missing,
    )
    extra = [valid] if return_valid else []
    if return_dt:
        with torch.no_grad():
            _, dt = _native.resample_trajectories(
                data,
                source_times,
                target_times,
                mode=mode,
                lengths=lengths,
                channels=channels,
                nan_missing=nan_missing,
                check_times=check_times,
                return_dt=True,
            )
        extra.append(dt)
    return (values, *extra) if extra else values


def fuse_streams(
    streams: Iterable[tuple[Tensor, Tensor]],
    target_times: Tensor,
    *,
    modes: str | Sequence[str] | None = None,
    outside: str | Sequence[str] | None = None,
    return_valid: bool = False,
    out: Tensor | None = None,
    **options: Any,
) -> Any:
    """As :func:`robocache.fuse_streams`, differentiable in the streams' values.

    Traceable with modes and policies; other options differentiate the PyTorch reference.

    Raises:
        UnsupportedError: `out` is given, which autograd cannot write to.
    """
    _refuse_out(out)
    streams = list(streams)
    if any(value is not None and value is not False for value in options.values()):
        return pytorch.fuse_streams(
            streams,
            target_times,
            modes=modes,
            outside=outside,
            return_valid=return_valid,
            **options,
        )

    def each(option: str | Sequence[str] | None, default: str) -> str:
        if option is None or isinstance(option, str):
            return " ".join([option or default] * len(streams))
        return " ".join(option)

    values, times = [v for v, _ in streams], [t for _, t in streams]
    fused, valid = _fuse(values, times, target_times, each(modes, "linear"), each(outside, "hold"))
    return (fused, valid) if return_valid else fused


def fuse_multimodal(
    vision: Tensor,
    vision_times: Tensor,
    proprio: Tensor,
    proprio_times: Tensor,
    force: Tensor,
    force_times: Tensor,
    target_times: Tensor,
    *,
    mode: str | None = None,
    modes: str | Sequence[str] | None = None,
    **options: Any,
) -> Any:
    """As :func:`robocache.fuse_multimodal`, differentiable in the three streams' values."""
    streams = [(vision, vision_times), (proprio, proprio_times), (force, force_times)]
    return fuse_streams(streams, target_times, modes=modes or mode, **options)


def voxelize_point_cloud(
    points: Tensor,
    grid_size: int | Sequence[int],
    voxel_size: float | Sequence[float],
    origin: float | Sequence[float] | None = None,
    *,
    features: Tensor | None = None,
    mode: str = "occupancy",
    lengths: Tensor | None = None,
    return_counts: bool = False,
    return_dropped: bool = False,
    out: Tensor | None = None,
) -> Any:
    """As :func:`robocache.voxelize_point_cloud`, differentiable in `features`.

    Mode "mean" is traceable; the others differentiate the PyTorch reference.

    Raises:
        UnsupportedError: `out` is given, which autograd cannot write to.
    """
    _refuse_out(out)
    if mode != "mean" or features is None or return_dropped:
        return pytorch.voxelize_point_cloud(
            points,
            grid_size,
            voxel_size,
            origin,
            features=features,
            mode=mode,
            lengths=lengths,
            return_counts=return_counts,
            return_dropped=return_dropped,
        )
    grid = [grid_size] * 3 if isinstance(grid_size, int) else list(grid_size)
    corner = None if origin is None else _three(origin)
    mean, counts = _voxelize_mean(points, features, lengths, grid, _three(voxel_size), corner)
    return (mean, counts) if return_counts else mean


def _three(value: float | Sequence[float]) -> list[float]:
    return [float(value)] * 3 if isinstance(value, (int, float)) else [float(v) for v in value]


def _refuse_out(out: Tensor | None) -> None:
    if out is not None:
        raise UnsupportedError("out: cannot be given where values require a gradient")
