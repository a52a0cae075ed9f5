# mypy: disable-error-code="untyped-decorator"
"""Sparse voxelization as an operator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _core, pytorch
from ..pytorch._public import public
from ..pytorch._tensors import number, three, to_small, whole
from ..pytorch.sparse import OUTPUTS, wanted_outputs
from ._tracing import check_adjoint, merge, native_backend, split, wants_reference
from ._voxelize import check_points

_native: Any = _core
_INTEGERS = {"num_voxels": torch.int32, "dropped": torch.int64}


@torch.library.custom_op("robocache::voxelize_sparse", mutates_args=())
def _voxelize(
    points: Tensor,
    features: Tensor | None,
    lengths: Tensor | None,
    voxel_size: Sequence[float] | None,
    origin: Sequence[float] | None,
    grid_size: Sequence[int] | None,
    upper: Sequence[float] | None,
    scale: float | None,
    mode: str,
    preset: str,
    max_points: int,
    max_voxels: int,
    outputs: str,
) -> list[Tensor]:
    with torch.no_grad():
        made = _native.voxelize_sparse(
            points,
            voxel_size,
            origin,
            grid_size=grid_size,
            features=features,
            mode=mode,
            preset=preset,
            upper=upper,
            scale=scale,
            max_points=max_points or None,
            max_voxels=max_voxels,
            lengths=lengths,
            outputs=outputs.split(),
            backend=native_backend(points),
        )
    return [made[name] for name in outputs.split()]


@_voxelize.register_fake
def _(
    points: Tensor,
    features: Tensor | None,
    lengths: Tensor | None,
    voxel_size: Sequence[float] | None,
    origin: Sequence[float] | None,
    grid_size: Sequence[int] | None,
    upper: Sequence[float] | None,
    scale: float | None,
    mode: str,
    preset: str,
    max_points: int,
    max_voxels: int,
    outputs: str,
) -> list[Tensor]:
    n, width = points.shape[-2], 0 if features is None else features.shape[-1]
    extents: dict[str, list[Any]] = {
        "coordinates": [max_voxels, 3],
        "counts": [max_voxels],
        "features": [max_voxels, width],
        "voxels": [max_voxels, max_points, width],
        "point_indices": [max_voxels, max_points],
        "point_to_voxel": [n],
        "point_coordinates": [n, 3],
        "origins": [3],
    }
    made = []
    for name in outputs.split():
        lead = list(points.shape[:-2])
        if name in _INTEGERS:
            made.append(points.new_empty(lead or [1], dtype=_INTEGERS[name]))
            continue
        dtype = torch.float64 if name == "origins" else torch.int32
        if name in ("features", "voxels") and features is not None:
            dtype = features.dtype
        made.append(points.new_empty([*lead, *extents[name]], dtype=dtype))
    return made


@_voxelize.register_vmap
def _(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
    points, features, lengths, *options = args
    batch = merge.batch_of(points, in_dims[0], 2)
    made = _voxelize(
        merge(info, batch, points, in_dims[0], 2),
        merge(info, batch, features, in_dims[1], 2),
        merge(info, batch, lengths, in_dims[2], 0),
        *options,
    )
    results = [
        tensor.unsqueeze(-1) if batch is None and name in _INTEGERS else split(info, batch, tensor)
        for name, tensor in zip(options[-1].split(), made, strict=True)
    ]
    return results, [0] * len(results)


@public
def voxelize_sparse(
    points: Tensor,
    voxel_size: Any = None,
    origin: Any = None,
    *,
    grid_size: Any = None,
    features: Tensor | None = None,
    mode: str | None = None,
    preset: str = "robocache",
    upper: Any = None,
    scale: Any = None,
    max_points: Any = None,
    max_voxels: Any = None,
    lengths: Any = None,
    outputs: Iterable[str] | None = None,
) -> dict[str, Tensor]:
    """As :func:`robocache.voxelize_sparse`; gradients of features are the reference's.

    Raises:
        UnsupportedError: `points` require a gradient, or one of features is traced.
    """
    check_points("points", points)
    most = 0 if max_points is None else whole(max_points, "max_points")
    wanted = wanted_outputs(outputs, features is not None, most)
    names = [name for name in OUTPUTS if name in wanted]
    wants_gradient = features is not None and features.requires_grad and torch.is_grad_enabled()
    if wants_gradient:
        check_adjoint("features", False)
    if wants_gradient or (features is not None and wants_reference(points, features)):
        made: dict[str, Tensor] = pytorch.voxelize_sparse(
            points,
            voxel_size,
            origin,
            grid_size=grid_size,
            features=features,
            mode=mode,
            preset=preset,
            upper=upper,
            scale=scale,
            max_points=max_points,
            max_voxels=max_voxels,
            lengths=lengths,
            outputs=names,
        )
        return made
    tensors = _voxelize(
        points,
        features,
        None if lengths is None else to_small(lengths, "lengths", "int64", points),
        None if voxel_size is None else three(voxel_size, "voxel_size", number),
        None if origin is None else three(origin, "origin", number),
        None if grid_size is None else three(grid_size, "grid_size", whole),
        None if upper is None else three(upper, "upper", number),
        None if scale is None else number(scale, "scale"),
        mode or ("count" if features is None else "mean"),
        preset,
        most,
        points.shape[-2] if max_voxels is None else whole(max_voxels, "max_voxels"),
        " ".join(names),
    )
    return dict(zip(names, tensors, strict=True))
