# mypy: disable-error-code="untyped-decorator"
"""Voxelization as operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _core, pytorch
from ..errors import InvalidArgumentError, UnsupportedError
from ..pytorch._public import public
from ..pytorch._tensors import number, three, to_small, whole
from ._tracing import check_adjoint, merge, native_backend, refuse_out, split, wants_reference

_native: Any = _core
_COUNTED = ("occupancy", "count")
_SUMMED = ("sum", "mean")


@torch.library.custom_op("robocache::voxelize", mutates_args=())
def _voxelize(
    points: Tensor,
    features: Tensor | None,
    lengths: Tensor | None,
    grid_size: Sequence[int],
    voxel_size: Sequence[float],
    origin: Sequence[float] | None,
    mode: str,
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        out, counts, dropped = _native.voxelize_point_cloud(
            points,
            tuple(grid_size),
            tuple(voxel_size),
            None if origin is None else tuple(origin),
            features=features,
            mode=mode,
            lengths=lengths,
            return_counts=True,
            return_dropped=True,
            backend=native_backend(points),
        )
    return out, counts, dropped


@_voxelize.register_fake
def _(
    points: Tensor,
    features: Tensor | None,
    lengths: Tensor | None,
    grid_size: Sequence[int],
    voxel_size: Sequence[float],
    origin: Sequence[float] | None,
    mode: str,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = [*points.shape[:-2], *grid_size]
    if features is not None:
        out = features.new_empty([*shape, features.shape[-1]])
    else:
        out = points.new_empty(shape, dtype=torch.uint8 if mode == "occupancy" else torch.int32)
    counts = points.new_empty(shape, dtype=torch.int32)
    return out, counts, points.new_empty(list(points.shape[:-2]) or [1], dtype=torch.int64)


@_voxelize.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
    points, features, lengths, *options = args
    batch = merge.batch_of(points, in_dims[0], 2)
    out, counts, dropped = _voxelize(
        merge(info, batch, points, in_dims[0], 2),
        merge(info, batch, features, in_dims[1], 2),
        merge(info, batch, lengths, in_dims[2], 0),
        *options,
    )
    dropped = dropped.unsqueeze(-1) if batch is None else split(info, batch, dropped)
    return (split(info, batch, out), split(info, batch, counts), dropped), (0, 0, 0)


@torch.library.custom_op("robocache::voxelize_backward", mutates_args=())
def _voxelize_backward(
    grad: Tensor,
    counts: Tensor,
    points: Tensor,
    lengths: Tensor | None,
    grid_size: Sequence[int],
    voxel_size: Sequence[float],
    origin: Sequence[float] | None,
    mode: str,
) -> Tensor:
    """Of "sum" and "mean": what each point's cell was given, or its share of that."""
    cells, kept = pytorch.voxel_cells(points, grid_size, voxel_size, origin, lengths)
    share = grad.reshape(-1, grad.shape[-1])
    if mode == "mean":
        share = share / counts.reshape(-1, 1).clamp(min=1)
    return (share[cells] * kept[..., None]).to(grad.dtype)


@_voxelize_backward.register_fake
def _(grad: Tensor, counts: Tensor, points: Tensor, *options: Any) -> Tensor:
    return grad.new_empty([*points.shape[:-1], grad.shape[-1]])


@_voxelize_backward.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
    grad, counts, points, lengths, *options = args
    batch = merge.batch_of(points, in_dims[2], 2)
    result = _voxelize_backward(
        merge(info, batch, grad, in_dims[0], 4),
        merge(info, batch, counts, in_dims[1], 3),
        merge(info, batch, points, in_dims[2], 2),
        merge(info, batch, lengths, in_dims[3], 0),
        *options,
    )
    return split(info, batch, result), 0


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    points, features, lengths, *options = inputs
    kept = None if options[-1] in _SUMMED else features
    ctx.save_for_backward(points, kept, lengths, output[1])
    ctx.options = options
    ctx.mark_non_differentiable(output[1], output[2])


def _gradient(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    points, features, lengths, counts = ctx.saved_tensors
    grid_size, voxel_size, origin, mode = ctx.options
    if features is None:
        result = _voxelize_backward(grad, counts, points, lengths, *ctx.options)
    else:
        with torch.enable_grad():
            again = features.detach().requires_grad_()
            out = pytorch.voxelize_point_cloud(
                points, grid_size, voxel_size, origin, features=again, mode=mode, lengths=lengths
            )
        (result,) = torch.autograd.grad(out, again, grad)
    return (None, result, *[None] * 5)


_voxelize.register_autograd(_gradient, setup_context=_save)


def check_points(name: str, points: Tensor) -> None:
    """Refuses points that want a gradient, which voxels do not have."""
    if points.requires_grad and torch.is_grad_enabled():
        raise UnsupportedError(
            f"{name}: requires a gradient, and that of voxels is zero wherever there is one: "
            "detach it"
        )


@public
def voxelize_point_cloud(
    points: Tensor,
    grid_size: Any,
    voxel_size: Any,
    origin: Any = None,
    *,
    features: Tensor | None = None,
    mode: str = "occupancy",
    lengths: Any = None,
    return_counts: bool = False,
    return_dropped: bool = False,
    out: Tensor | None = None,
) -> Any:
    """As :func:`robocache.voxelize_point_cloud`.

    Raises:
        UnsupportedError: `out` is given, which autograd cannot write to; `points` require a
            gradient; or one is traced that only the reference has.
    """
    refuse_out(out)
    check_points("points", points)
    if (features is None) != (mode in _COUNTED):
        wanted = "none found, wanted [N, F] or [B, N, F] for this mode"
        taken = "modes 'occupancy' and 'count' take none"
        raise InvalidArgumentError(f"features: {wanted if features is None else taken}")
    if features is not None and features.requires_grad and torch.is_grad_enabled():
        check_adjoint(f"mode {mode!r}", mode in _SUMMED)
    if features is not None and wants_reference(points, features):
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
    grid, counts, dropped = _voxelize(
        points,
        features,
        None if lengths is None else to_small(lengths, "lengths", "int64", points),
        three(grid_size, "grid_size", whole),
        three(voxel_size, "voxel_size", number),
        None if origin is None else three(origin, "origin", number),
        mode,
    )
    extra = ([counts] if return_counts else []) + ([dropped] if return_dropped else [])
    return (grid, *extra) if extra else grid
