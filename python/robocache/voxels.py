"""What is made of point clouds and depth images: a grid of voxels each."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from . import _arguments, _vectors
from .errors import ArgumentTypeError, InvalidArgumentError

if TYPE_CHECKING:
    from .episode import StreamInfo

__all__ = ["Voxels"]

_MODES = ("occupancy", "count", "sum", "mean", "max", "min")
_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, init=False)
class Voxels:
    """What is made of each cloud or depth image: by a window of a loader, or of arrays.

    ``Window(voxelize=Voxels(...))`` puts the grid of each sample in the batch. Arguments and bits
    are those of :func:`robocache.voxelize_point_cloud` and :func:`robocache.voxelize_depth`. Points
    have x, y and z first; what comes behind them are the features that mode "sum", "mean", "max"
    and "min" are of.

    Attributes:
        grid_size: cells along x, y and z: three numbers, or one for all.
        voxel_size: of a cell, in the unit of the points: likewise.
        origin: lower corner of cell (0, 0, 0); None: the grid is centred on zero.
        mode: "occupancy" (uint8), "count" (int32), or "sum", "mean", "max" or "min" of the
            features, in their dtype, 0 where a cell is empty.
        intrinsics: of the camera, for depth images: a matrix [3, 3]; None: samples are clouds.
        pose: of the camera, [4, 4] or [3, 4]: from its axes (x right, y down, z ahead) to those of
            the grid.
        depth_scale: metres for one unit of the image; None: what the stream's unit says, else 0.001
            of uint16 and 1 of floats.
        min_depth, max_depth: in metres; pixels at or below the one and above the other are invalid.
        pixel_offset: 0: the first pixel's centre is (0, 0); 0.5: its corner is.
    """

    grid_size: tuple[int, int, int]
    voxel_size: tuple[float, float, float]
    origin: tuple[float, float, float] | None
    mode: str
    intrinsics: tuple[tuple[float, ...], ...] | None
    pose: tuple[tuple[float, ...], ...] | None
    depth_scale: float | None
    min_depth: float
    max_depth: float
    pixel_offset: float

    def __init__(
        self,
        grid_size: int | Sequence[int],
        voxel_size: float | Sequence[float],
        origin: float | Sequence[float] | None = None,
        *,
        mode: str = "occupancy",
        intrinsics: Any = None,
        pose: Any = None,
        depth_scale: float | None = None,
        min_depth: float = 0.0,
        max_depth: float = 1e30,
        pixel_offset: float = 0.0,
    ) -> None:
        sizes = _three("grid_size", grid_size)
        values: dict[str, Any] = {
            "grid_size": tuple(
                _arguments.integer("Voxels: grid_size", size, 1, _INT32_MAX) for size in sizes
            ),
            "voxel_size": tuple(
                _arguments.positive("Voxels: voxel_size", size)
                for size in _three("voxel_size", voxel_size)
            ),
            "origin": None
            if origin is None
            else tuple(_finite("origin", number) for number in _three("origin", origin)),
            "mode": _arguments.choice("Voxels: mode", mode, _MODES),
            "intrinsics": None if intrinsics is None else _matrix("intrinsics", intrinsics, (3, 3)),
            "pose": None if pose is None else _matrix("pose", pose, (3, 4), (4, 4)),
            "depth_scale": None
            if depth_scale is None
            else _arguments.positive("Voxels: depth_scale", depth_scale),
            "min_depth": _arguments.at_least_zero("Voxels: min_depth", min_depth),
            "max_depth": min(_arguments.number("Voxels: max_depth", max_depth), 1e30),
            "pixel_offset": _finite("pixel_offset", pixel_offset),
        }
        if values["min_depth"] >= values["max_depth"]:
            raise InvalidArgumentError(
                f"Voxels: max_depth: found {values['max_depth']:g}, wanted more than min_depth, "
                f"which is {values['min_depth']:g}"
            )
        depth_only = {"pose": pose, "depth_scale": depth_scale}
        for name, given in depth_only.items():
            if given is not None and intrinsics is None:
                raise InvalidArgumentError(
                    f"Voxels: {name}: found without intrinsics, wanted those of the camera"
                )
        if intrinsics is not None and mode not in _MODES[:2]:
            raise InvalidArgumentError(
                f"Voxels: mode: found {mode!r} with intrinsics, wanted 'occupancy' or 'count': "
                "depth images have no features"
            )
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __call__(self, samples: Any, lengths: Any = None) -> Any:
        """Returns the grids of clouds [N, D] or [B, N, D], or of depth images [H, W] or [B, H, W].

        As a loader makes them: for a policy that runs on what its sensors say.

        Args:
            samples: of NumPy, torch or another framework, on any device.
            lengths: points that each cloud has, [B]; None: all.
        """
        package: Any = importlib.import_module("robocache")
        if self.intrinsics is not None:
            camera = {
                "pose": self.pose,
                "depth_scale": self.depth_scale,
                "min_depth": self.min_depth,
                "max_depth": self.max_depth,
                "pixel_offset": self.pixel_offset,
            }
            return package.voxelize_depth(
                samples,
                self.intrinsics,
                self.grid_size,
                self.voxel_size,
                self.origin,
                mode=self.mode,
                **camera,
            )
        shape: tuple[int, ...] = tuple(getattr(samples, "shape", ()))
        if len(shape) not in (2, 3) or shape[-1] < 3:
            raise InvalidArgumentError(
                f"samples: found {_arguments.found(samples)}, wanted clouds [N, D] or [B, N, D], D "
                "at least 3"
            )
        try:
            points, features = samples[..., :3], samples[..., 3:]
        except (TypeError, IndexError, RuntimeError) as error:
            raise ArgumentTypeError(
                f"samples: found {_arguments.found(samples)}, which cannot be sliced: {error}"
            ) from error
        return package.voxelize_point_cloud(
            points,
            self.grid_size,
            self.voxel_size,
            self.origin,
            features=None if self.mode in _MODES[:2] else features,
            mode=self.mode,
            lengths=lengths,
        )

    def _of(self, info: StreamInfo) -> Voxels:
        """Returns the same with the scale that a stream's pixels have."""
        if self.intrinsics is None or self.depth_scale is not None:
            return self
        unit = info.unit or ("m" if info.scale != 1.0 else "")
        if not unit:
            return self
        if unit not in _METRES or (info.kind == "image" and info.offset != 0.0):
            raise InvalidArgumentError(
                f"stream {info.name!r}: voxelize: its pixels are in {unit!r} with offset "
                f"{info.offset:g}, wanted {', '.join(map(repr, _METRES))} without, or a depth_scale"
            )
        scale = info.scale if info.kind == "image" else 1.0  # numbers are delivered as values
        return replace(self, depth_scale=scale * _METRES[unit])

    def _native(self, info: StreamInfo) -> tuple[Any, ...]:
        """Returns what _core takes for rbc_voxels."""
        own = self._of(info)
        camera = None
        if own.intrinsics is not None:
            scale = own.depth_scale
            if scale is None:
                scale = 1.0 if "float" in info.dtype else 0.001
            pose = None if own.pose is None else tuple(v for row in own.pose[:3] for v in row)
            matrix = tuple(v for row in own.intrinsics for v in row)
            camera = (scale, own.min_depth, own.max_depth, own.pixel_offset, matrix, pose)
        return (_MODES.index(own.mode), own.grid_size, own.voxel_size, own.origin, camera)


def _three(name: str, value: Any) -> list[Any]:
    wanted = "a number or three"
    values = list(_arguments.items(f"Voxels: {name}", value, wanted))
    if len(values) not in (1, 3):
        raise ArgumentTypeError(f"Voxels: {name}: found {_arguments.found(value)}, wanted {wanted}")
    return values * (3 // len(values))


def _finite(name: str, value: Any) -> float:
    number = _arguments.number(f"Voxels: {name}", value)
    if not math.isfinite(number):
        raise InvalidArgumentError(f"Voxels: {name}: found {number:g}, wanted a finite number")
    return number


def _matrix(name: str, value: Any, *shapes: tuple[int, int]) -> tuple[tuple[float, ...], ...]:
    rows = _vectors.checked_numbers(f"Voxels: {name}", value)
    is_table = isinstance(rows, tuple) and all(isinstance(row, tuple) for row in rows)
    shape = (len(rows), len(rows[0])) if is_table and rows else ()
    if shape not in shapes or any(
        len(row) != shape[1] or not all(isinstance(number, float) for number in row) for row in rows
    ):
        wanted = " or ".join(str(list(each)) for each in shapes)
        raise ArgumentTypeError(
            f"Voxels: {name}: found {_arguments.found(value)}, wanted a matrix {wanted}"
        )
    return rows  # type: ignore[no-any-return]
