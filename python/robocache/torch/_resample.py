# mypy: disable-error-code="untyped-decorator"
"""Resampling and fusing as operators."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _core, pytorch
from ..errors import InvalidArgumentError
from ..pytorch._public import public
from ..pytorch._tensors import number, to_small, to_times
from ..pytorch.fuse import for_each, nested
from ._tracing import check_adjoint, merge, native_backend, refuse_out, split, wants_reference

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
    modes = [mode, *(group.split("=")[1] for group in channels.split())]
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
            backend=native_backend(values),
        )
    return out, valid


@_resample.register_fake
def _(values: Tensor, times: Tensor, targets: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    shape = [*values.shape[:-2], targets.shape[-1]]
    return values.new_empty([*shape, values.shape[-1]]), values.new_empty(shape, dtype=torch.bool)


@torch.library.custom_op("robocache::resample_distance", mutates_args=())
def _distance(
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
) -> Tensor:
    with torch.no_grad():
        _, dt = _native.resample_trajectories(
            values,
            times,
            targets,
            mode=mode,
            lengths=lengths,
            channels=_decode_channels(channels),
            nan_missing=nan_missing,
            return_dt=True,
            backend=native_backend(values),
        )
    return dt


@_distance.register_fake
def _(values: Tensor, times: Tensor, targets: Tensor, *options: Any) -> Tensor:
    return times.new_empty([*values.shape[:-2], targets.shape[-1]])


@_distance.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
    values, times, targets, lengths, *options = args
    batch = merge.batch_of(values, in_dims[0], 2)
    dt = _distance(
        merge(info, batch, values, in_dims[0], 2),
        merge(info, batch, times, in_dims[1], 1),
        merge(info, batch, targets, in_dims[2], 1),
        merge(info, batch, lengths, in_dims[3], 0),
        *options,
    )
    return split(info, batch, dt), 0


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


@_resample.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
    values, times, targets, lengths, *options = args
    batch = merge.batch_of(values, in_dims[0], 2)
    rows = [
        merge(info, batch, x, d, 1) for x, d in zip((times, targets), in_dims[1:], strict=False)
    ]
    out, valid = _resample(
        merge(info, batch, values, in_dims[0], 2),
        *rows,
        merge(info, batch, lengths, in_dims[3], 0),
        *options,
    )
    return (split(info, batch, out), split(info, batch, valid)), (0, 0)


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


@_resample_backward.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
    grad, num_samples, times, targets, lengths, *options = args
    batch = merge.batch_of(grad, in_dims[0], 2)
    result = _resample_backward(
        merge(info, batch, grad, in_dims[0], 2),
        num_samples,
        merge(info, batch, times, in_dims[2], 1),
        merge(info, batch, targets, in_dims[3], 1),
        merge(info, batch, lengths, in_dims[4], 0),
        *options,
    )
    return split(info, batch, result), 0


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
            backend=native_backend(targets),
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


@_fuse.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
    values, times, targets, *options = args
    batch = merge.batch_of(values[0], in_dims[0][0], 2)
    out, valid = _fuse(
        [merge(info, batch, v, d, 2) for v, d in zip(values, in_dims[0], strict=True)],
        [merge(info, batch, t, d, 1) for t, d in zip(times, in_dims[1], strict=True)],
        merge(info, batch, targets, in_dims[2], 1),
        *options,
    )
    return (split(info, batch, out), split(info, batch, valid)), (0, 0)


@public
def resample_trajectories(
    data: Tensor,
    source_times: Tensor,
    target_times: Tensor,
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
    out: Tensor | None = None,
) -> Any:
    """As :func:`robocache.resample_trajectories`.

    Raises:
        UnsupportedError: `out` is given, which autograd cannot write to; or a gradient is traced
            that only the reference has.
    """
    refuse_out(out)
    target_times = to_times(target_times, source_times, data)
    options: dict[str, Any] = {
        "mode": mode,
        "outside": outside,
        "lengths": None if lengths is None else to_small(lengths, "lengths", "int64", data),
        "channels": channels,
        "max_gap": None if max_gap is None else number(max_gap, "max_gap"),
        "tolerance": None if tolerance is None else number(tolerance, "tolerance"),
        "nan_missing": bool(nan_missing),
    }
    by_time = _wants_gradient(source_times, target_times)
    if by_time:
        check_adjoint("source_times or target_times", False)
    if by_time or wants_reference(data, source_times, target_times):
        return pytorch.resample_trajectories(
            data,
            source_times,
            target_times,
            check_times=check_times,
            return_valid=return_valid,
            return_dt=return_dt,
            **options,
        )
    encoded = _encode_channels(channels, data.shape[-1])
    if _wants_gradient(data):
        check_adjoint(f"mode {mode!r} here", _is_adjoint(mode, encoded, bool(nan_missing)))
    options["channels"] = encoded
    values, valid = _resample(data, source_times, target_times, *_in_order(options))
    extra = [valid] if return_valid else []
    if return_dt:
        extra.append(_distance(data, source_times, target_times, *_in_order(options)))
    return (values, *extra) if extra else values


def _in_order(options: dict[str, Any]) -> tuple[Any, ...]:
    return (
        options["lengths"],
        options["mode"],
        options["outside"],
        options["channels"],
        options["max_gap"],
        options["tolerance"],
        options["nan_missing"],
    )


def _wants_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


@public
def fuse_streams(
    streams: Iterable[tuple[Tensor, Tensor]],
    target_times: Tensor,
    *,
    modes: str | Sequence[str | None] | None = None,
    outside: str | Sequence[str | None] | None = None,
    lengths: Sequence[Any] | None = None,
    channels: Sequence[Any] | None = None,
    max_gap: Any = None,
    tolerance: Any = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    out: Tensor | None = None,
) -> Any:
    """As :func:`robocache.fuse_streams`; one launch where modes and policies say all.

    Raises:
        UnsupportedError: as :func:`resample_trajectories`.
    """
    refuse_out(out)
    streams = list(streams)
    if not streams:
        raise InvalidArgumentError("streams: 0 streams found, wanted at least 1")
    count = len(streams)
    each = {
        "mode": [mode or "linear" for mode in for_each(modes, "modes", count)],
        "outside": [policy or "hold" for policy in for_each(outside, "outside", count)],
        "lengths": nested(lengths, "lengths", count),
        "channels": nested(channels, "channels", count),
        "max_gap": for_each(max_gap, "max_gap", count),
        "tolerance": for_each(tolerance, "tolerance", count),
    }
    values, times = [v for v, _ in streams], [t for _, t in streams]
    target_times = to_times(target_times, times[0], values[0])
    is_plain = not nan_missing and all(
        option is None
        for name in ("lengths", "channels", "max_gap", "tolerance")
        for option in each[name]
    )
    if is_plain and not (
        _wants_gradient(*times, target_times) or wants_reference(*values, *times, target_times)
    ):
        if _wants_gradient(*values):
            for mode in each["mode"]:
                check_adjoint(f"mode {mode!r} here", _is_adjoint(mode, "", False))
        fused, valid = _fuse(
            values, times, target_times, " ".join(each["mode"]), " ".join(each["outside"])
        )
        return (fused, valid) if return_valid else fused
    parts = [
        resample_trajectories(
            *stream,
            target_times,
            nan_missing=nan_missing,
            check_times=check_times,
            return_valid=True,
            **{name: option[index] for name, option in each.items()},
        )
        for index, stream in enumerate(streams)
    ]
    fused = torch.cat([part for part, _ in parts], -1)
    return (fused, torch.stack([valid for _, valid in parts], -1)) if return_valid else fused


@public
def fuse_multimodal(
    vision: Tensor,
    vision_times: Tensor,
    proprio: Tensor,
    proprio_times: Tensor,
    force: Tensor,
    force_times: Tensor,
    target_times: Tensor,
    *,
    mode: str = "linear",
    modes: str | Sequence[str | None] | None = None,
    **options: Any,
) -> Any:
    """As :func:`robocache.fuse_multimodal`."""
    return fuse_streams(
        [(vision, vision_times), (proprio, proprio_times), (force, force_times)],
        target_times,
        modes=[chosen or mode for chosen in for_each(modes, "modes", 3)],
        **options,
    )
