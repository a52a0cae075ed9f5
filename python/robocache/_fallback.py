"""The operations where the native module cannot load: the PyTorch reference, and a warning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from typing import Any

from ._install import package_version
from .errors import UnsupportedError

__version__ = package_version()

_reasons: list[str] = []


def warn(error: ImportError) -> None:
    """Says once why the native module is not there."""
    _reasons.append(str(error))
    warnings.warn(
        f"robocache: the native module cannot load ({error}); operations run on the much slower "
        "PyTorch reference, and datasets cannot be opened",
        RuntimeWarning,
        stacklevel=3,
    )


def _call(function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    backend = kwargs.pop("backend", None)
    if backend not in (None, "pytorch"):
        raise UnsupportedError(f"backend: {backend!r} needs the native module: {_reasons}")
    return getattr(importlib.import_module("robocache.pytorch"), function)(*args, **kwargs)


def resample_trajectories(*args: Any, **kwargs: Any) -> Any:
    """As robocache.pytorch.resample_trajectories()."""
    return _call("resample_trajectories", args, kwargs)


def fuse_streams(*args: Any, **kwargs: Any) -> Any:
    """As robocache.pytorch.fuse_streams()."""
    return _call("fuse_streams", args, kwargs)


def fuse_multimodal(*args: Any, **kwargs: Any) -> Any:
    """As robocache.pytorch.fuse_multimodal()."""
    return _call("fuse_multimodal", args, kwargs)


def voxelize_point_cloud(*args: Any, **kwargs: Any) -> Any:
    """As robocache.pytorch.voxelize_point_cloud()."""
    return _call("voxelize_point_cloud", args, kwargs)


def voxelize_sparse(*args: Any, **kwargs: Any) -> Any:
    """As robocache.pytorch.voxelize_sparse()."""
    return _call("voxelize_sparse", args, kwargs)


def voxelize_depth(*args: Any, **kwargs: Any) -> Any:
    """As robocache.pytorch.voxelize_depth()."""
    return _call("voxelize_depth", args, kwargs)


def depth_to_points(*args: Any, **kwargs: Any) -> Any:
    """As robocache.pytorch.depth_to_points()."""
    return _call("depth_to_points", args, kwargs)


def create_plan(*args: Any, **kwargs: Any) -> Any:
    """Not without the native module."""
    raise UnsupportedError(f"Plan needs the native module: {_reasons}")


def set_num_threads(num_threads: int, /) -> None:
    """Sets PyTorch's number of threads."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(num_threads or torch.get_num_threads())


def get_num_threads() -> int:
    """Returns PyTorch's number of threads."""
    return int(importlib.import_module("torch").get_num_threads())


def set_cpu_features(features: Iterable[str] | None, /) -> None:
    """Does nothing: PyTorch chooses its instruction sets itself."""


def set_image_limits(**limits: int | None) -> None:
    """Does nothing: without the native module no image is decoded."""


def get_image_limits() -> dict[str, int]:
    """Returns no limit: without the native module no image is decoded."""
    return {}
