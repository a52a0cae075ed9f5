"""RoboCache: aligned batches from robot datasets.

Operations on tensors: :func:`resample_trajectories`, :func:`fuse_streams`, :func:`fuse_multimodal`,
:func:`voxelize_point_cloud`. Data: :func:`open` a dataset, give it to a :class:`DataLoader`.
Importing this package imports neither PyTorch nor NumPy; using them does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import Error

try:
    from . import _core as _native
except ImportError as _error:
    from . import _fallback as _native  # type: ignore[no-redef]

    _native.warn(_error)  # type: ignore[attr-defined]

__version__ = _native.__version__
Plan = _native.create_plan
depth_to_points = _native.depth_to_points
fuse_multimodal = _native.fuse_multimodal
fuse_streams = _native.fuse_streams
get_image_limits = _native.get_image_limits
get_num_threads = _native.get_num_threads
resample_trajectories = _native.resample_trajectories
set_cpu_features = _native.set_cpu_features
set_image_limits = _native.set_image_limits
set_num_threads = _native.set_num_threads
voxelize_depth = _native.voxelize_depth
voxelize_point_cloud = _native.voxelize_point_cloud
voxelize_sparse = _native.voxelize_sparse

if hasattr(_native, "native_info"):
    from ._compile import when_compiler_is_there

    when_compiler_is_there(
        [
            depth_to_points,
            fuse_multimodal,
            fuse_streams,
            resample_trajectories,
            voxelize_depth,
            voxelize_point_cloud,
            voxelize_sparse,
        ]
    )

if TYPE_CHECKING:
    from ._install import check_installation
    from .batch import Batch
    from .dataset import Dataset
    from .episode import Episode, Stream
    from .formats.indexer import Indexer
    from .formats.part import Part
    from .formats.register import register_format
    from .formats.sources import ArrayRows, Column, Frames, Pieces, Rows
    from .formats.video import Video, read_mp4
    from .image import Image, image_key
    from .jpeg import decode_jpeg
    from .lerobot import LeRobotWriter
    from .loader import DataLoader
    from .mixture import Mix, mix
    from .opening import open  # noqa: A004
    from .rlds import Feature, RldsWriter
    from .voxels import Voxels
    from .window import Future, Window

_LAZY = {
    "ArrayRows": "formats.sources",
    "Batch": "batch",
    "Column": "formats.sources",
    "DataLoader": "loader",
    "Dataset": "dataset",
    "Episode": "episode",
    "Feature": "rlds",
    "Frames": "formats.sources",
    "Future": "window",
    "Image": "image",
    "Indexer": "formats.indexer",
    "LeRobotWriter": "lerobot",
    "Mix": "mixture",
    "Part": "formats.part",
    "Pieces": "formats.sources",
    "RldsWriter": "rlds",
    "Rows": "formats.sources",
    "Stream": "episode",
    "Video": "formats.video",
    "Voxels": "voxels",
    "Window": "window",
    "check_installation": "_install",
    "config": "config",
    "datasets": "datasets",
    "decode_jpeg": "jpeg",
    "image_key": "image",
    "mix": "mixture",
    "open": "opening",
    "observability": "observability",
    "oxe": "oxe",
    "read_mp4": "formats.video",
    "register_format": "formats.register",
    "rotation": "rotation",
    "statistics": "statistics",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f".{_LAZY[name]}", __name__)
    except ImportError as error:
        raise errors.UnsupportedError(f"{name} needs the native module: {error}") from error
    value = getattr(module, name, module)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "ArrayRows",
    "Batch",
    "Column",
    "DataLoader",
    "Dataset",
    "Episode",
    "Error",
    "Feature",
    "Frames",
    "Future",
    "Image",
    "Indexer",
    "LeRobotWriter",
    "Mix",
    "Part",
    "Pieces",
    "Plan",
    "RldsWriter",
    "Rows",
    "Stream",
    "Video",
    "Voxels",
    "Window",
    "__version__",
    "check_installation",
    "decode_jpeg",
    "depth_to_points",
    "errors",
    "fuse_multimodal",
    "fuse_streams",
    "get_image_limits",
    "get_num_threads",
    "image_key",
    "mix",
    "open",
    "read_mp4",
    "register_format",
    "resample_trajectories",
    "set_cpu_features",
    "set_image_limits",
    "set_num_threads",
    "voxelize_depth",
    "voxelize_point_cloud",
    "voxelize_sparse",
]
