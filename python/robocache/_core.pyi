from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias, TypeVar, overload

__version__: str

Tensor = TypeVar("Tensor")
Mode: TypeAlias = Literal[
    "linear", "hold", "nearest", "cubic", "slerp", "angle", "mean", "max", "min"
]
Outside: TypeAlias = Literal["hold", "nan", "zero", "extrapolate"]
Backend: TypeAlias = Literal["cpu", "cuda", "pytorch"]
Channels: TypeAlias = Sequence[tuple[slice | int | tuple[int, int], Mode]]
Reduce: TypeAlias = Literal["occupancy", "count", "sum", "mean", "max", "min"]
Preset: TypeAlias = Literal[
    "robocache", "mmcv", "spconv", "open3d_voxelize", "open3d_down_sample", "kaolin"
]
SparseOutput: TypeAlias = Literal[
    "coordinates",
    "num_voxels",
    "counts",
    "features",
    "voxels",
    "point_indices",
    "point_to_voxel",
    "point_coordinates",
    "dropped",
    "origins",
]
Three: TypeAlias = float | Sequence[float]

@overload
def resample_trajectories(
    data: Tensor,
    source_times: Tensor,
    target_times: Tensor,
    *,
    mode: Mode = "linear",
    outside: Outside = "hold",
    lengths: Tensor | Sequence[int] | None = None,
    channels: Channels | None = None,
    max_gap: float | None = None,
    tolerance: float | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: Literal[False] = False,
    return_dt: Literal[False] = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def resample_trajectories(
    data: Tensor,
    source_times: Tensor,
    target_times: Tensor,
    *,
    mode: Mode = "linear",
    outside: Outside = "hold",
    lengths: Tensor | Sequence[int] | None = None,
    channels: Channels | None = None,
    max_gap: float | None = None,
    tolerance: float | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    return_dt: bool = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Any: ...
@overload
def fuse_streams(
    streams: Iterable[tuple[Tensor, Tensor]],
    target_times: Tensor,
    *,
    modes: Mode | Sequence[Mode | None] | None = None,
    outside: Outside | Sequence[Outside | None] | None = None,
    lengths: Sequence[Tensor | Sequence[int] | None] | None = None,
    channels: Sequence[Channels | None] | None = None,
    max_gap: float | Sequence[float | None] | None = None,
    tolerance: float | Sequence[float | None] | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: Literal[False] = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def fuse_streams(
    streams: Iterable[tuple[Tensor, Tensor]],
    target_times: Tensor,
    *,
    modes: Mode | Sequence[Mode | None] | None = None,
    outside: Outside | Sequence[Outside | None] | None = None,
    lengths: Sequence[Tensor | Sequence[int] | None] | None = None,
    channels: Sequence[Channels | None] | None = None,
    max_gap: float | Sequence[float | None] | None = None,
    tolerance: float | Sequence[float | None] | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Any: ...
@overload
def fuse_multimodal(
    vision: Tensor,
    vision_times: Tensor,
    proprio: Tensor,
    proprio_times: Tensor,
    force: Tensor,
    force_times: Tensor,
    target_times: Tensor,
    *,
    mode: Mode = "linear",
    modes: Sequence[Mode | None] | None = None,
    outside: Outside | Sequence[Outside | None] | None = None,
    lengths: Sequence[Tensor | Sequence[int] | None] | None = None,
    channels: Sequence[Channels | None] | None = None,
    max_gap: float | Sequence[float | None] | None = None,
    tolerance: float | Sequence[float | None] | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: Literal[False] = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def fuse_multimodal(
    vision: Tensor,
    vision_times: Tensor,
    proprio: Tensor,
    proprio_times: Tensor,
    force: Tensor,
    force_times: Tensor,
    target_times: Tensor,
    *,
    mode: Mode = "linear",
    modes: Sequence[Mode | None] | None = None,
    outside: Outside | Sequence[Outside | None] | None = None,
    lengths: Sequence[Tensor | Sequence[int] | None] | None = None,
    channels: Sequence[Channels | None] | None = None,
    max_gap: float | Sequence[float | None] | None = None,
    tolerance: float | Sequence[float | None] | None = None,
    nan_missing: bool = False,
    check_times: bool = False,
    return_valid: bool = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Any: ...
@overload
def voxelize_point_cloud(
    points: Tensor,
    grid_size: int | Sequence[int],
    voxel_size: Three,
    origin: Three | None = None,
    *,
    features: Tensor | None = None,
    mode: Reduce = "occupancy",
    lengths: Tensor | Sequence[int] | None = None,
    return_counts: Literal[False] = False,
    return_dropped: Literal[False] = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def voxelize_point_cloud(
    points: Tensor,
    grid_size: int | Sequence[int],
    voxel_size: Three,
    origin: Three | None = None,
    *,
    features: Tensor | None = None,
    mode: Reduce = "occupancy",
    lengths: Tensor | Sequence[int] | None = None,
    return_counts: bool = False,
    return_dropped: bool = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Any: ...
def resample_backward(
    grad_out: Tensor,
    grad_values: Tensor,
    source_times: Tensor,
    target_times: Tensor,
    *,
    mode: Mode = "linear",
    outside: Outside = "hold",
    lengths: Tensor | None = None,
    channels: Channels | None = None,
    max_gap: float | None = None,
    tolerance: float | None = None,
) -> None: ...
def voxelize_sparse(
    points: Tensor,
    voxel_size: Three | None = None,
    origin: Three | None = None,
    *,
    grid_size: int | Sequence[int] | None = None,
    features: Tensor | None = None,
    mode: Reduce | None = None,
    preset: Preset = "robocache",
    upper: Three | None = None,
    scale: float | None = None,
    max_points: int | None = None,
    max_voxels: int | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    outputs: Iterable[SparseOutput] | None = None,
    backend: Backend | None = None,
) -> dict[SparseOutput, Tensor]: ...
@overload
def depth_to_points(
    depth: Tensor,
    intrinsics: Tensor,
    pose: Tensor | None = None,
    *,
    depth_scale: float | None = None,
    min_depth: float = 0.0,
    max_depth: float = 1e30,
    pixel_offset: float = 0.0,
    compact: Literal[False] = False,
    backend: Backend | None = None,
) -> Tensor: ...
@overload
def depth_to_points(
    depth: Tensor,
    intrinsics: Tensor,
    pose: Tensor | None = None,
    *,
    depth_scale: float | None = None,
    min_depth: float = 0.0,
    max_depth: float = 1e30,
    pixel_offset: float = 0.0,
    compact: Literal[True],
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]: ...
def voxelize_depth(
    depth: Tensor,
    intrinsics: Tensor,
    grid_size: int | Sequence[int],
    voxel_size: Three,
    origin: Three | None = None,
    *,
    pose: Tensor | None = None,
    features: Tensor | None = None,
    mode: Reduce = "occupancy",
    depth_scale: float | None = None,
    min_depth: float = 0.0,
    max_depth: float = 1e30,
    pixel_offset: float = 0.0,
    return_counts: bool = False,
    return_dropped: bool = False,
    backend: Backend | None = None,
    out: Tensor | None = None,
) -> Any: ...

class BoundPlan:
    """An operation bound to its tensors; the calls of one plan may not meet."""

    def __call__(self) -> Any: ...

def create_plan(function: Callable[..., Any], *args: Any, **kwargs: Any) -> BoundPlan: ...
def set_num_threads(num_threads: int, /) -> None: ...
def get_num_threads() -> int: ...
def set_cpu_features(features: Iterable[str] | None, /) -> None: ...
def set_image_limits(
    *,
    max_pixels: int | None = None,
    max_scans: int | None = None,
    max_scan_pixels: int | None = None,
) -> None: ...
def get_image_limits() -> dict[str, int]: ...
def video_decoders() -> tuple[str, str, str, list[tuple[str, bool]]]: ...
def read_mp4(path: str, video: int, /) -> tuple[Any, ...]: ...
def native_info() -> dict[str, Any]: ...

class Dataset:
    def info(self) -> dict[str, Any]: ...
    def stream(self, index: int, /) -> dict[str, Any]: ...
    def split(self, index: int, /) -> tuple[str, int, int]: ...
    def task(self, index: int, /) -> tuple[str, int]: ...
    def skipped(self, index: int, /) -> str: ...
    def told(self, index: int, /) -> tuple[str, str, int] | None: ...
    def select(self, split: str | None, where: str | None, /) -> Selection: ...
    def verify(self) -> tuple[int, int, int, list[tuple[str, str, str]]]: ...

class Selection:
    def __len__(self) -> int: ...
    def num_steps(self) -> int: ...
    def fingerprint(self) -> int: ...
    def counts(self) -> tuple[int, int, list[tuple[int, int]], list[tuple[str, int]]]: ...
    def id(self, index: int, /) -> int: ...
    def refine(self, split: str | None, where: str | None, /) -> Selection: ...
    def take(self, indices: Sequence[int], /) -> Selection: ...
    def keep_steps(self, num_ranges: bytes, ranges: bytes, /) -> Selection: ...
    def ranges(self, index: int, /) -> list[tuple[int, int]] | None: ...
    def metadata(self, index: int, /) -> str: ...
    def statistics(
        self,
        names: list[str],
        images: int,
        num_threads: int,
        skip: bool,
        keep: bool,
        progress: Callable[[int, int, int, int], object] | None,
        /,
    ) -> list[Statistics]: ...
    def open(self, index: int, /) -> Episode: ...

class Statistics:
    def info(self) -> dict[str, Any]: ...
    def channels(self) -> tuple[bytes, bytes]: ...
    def quantile(self, share: float, /) -> bytes: ...
    def save(self) -> bytes: ...

def load_statistics(data: bytes, /) -> Statistics: ...
def merge_statistics(parts: list[Statistics], /) -> Statistics: ...

class Episode:
    def info(self) -> dict[str, Any]: ...
    def count(self, stream: int, row_lengths: Any, /) -> int: ...
    def read(self, stream: int, first: int, count: int, dst: Any, /) -> None: ...
    def times(self, stream: int, first: int, count: int, dst: Any, /) -> None: ...
    def image_shape(self, stream: int, sample: int, /) -> tuple[int, int, int]: ...
    def bytes(self, stream: int, sample: int, /) -> bytes: ...

class Loader:
    def iterate(self) -> Iterator[Any]: ...
    def seek(self, epoch: int, position: int, /) -> None: ...
    def tell(self) -> tuple[int, int, bool]: ...
    def close(self) -> None: ...
    def num_samples(self) -> int: ...
    def num_batches(self) -> int: ...
    def batches_left(self) -> int: ...
    def stats(self) -> dict[str, int]: ...
    def stages(self) -> dict[str, Any]: ...
    def memory(self) -> dict[str, Any]: ...
    def members(self) -> list[tuple[int, int, int]]: ...
    def warning(self, index: int, /) -> str | None: ...
    def skipped(self, index: int, /) -> str | None: ...

def open_dataset(
    path: str | PathLike[str],
    catalog: str | PathLike[str],
    progress: Callable[[int, int, int, int, int], object] | None,
    on_error: str,
    control_rate_hz: float,
    rebuild: bool,
    num_threads: int,
    jpeg_dct: str | None,
    format_name: str | None,
    unpack: str | PathLike[str],
    unpacking: Callable[[str, int, int, int, int, int], object],
    /,
) -> Dataset: ...
def register_format(name: str, looks_for: str, adapter: Any, replace: bool, /) -> None: ...

class Part:
    def told(self, json: str, /) -> None: ...
    def blobs(self, pattern: str, first: int, count: int, sizes: Any, /) -> int: ...
    def packing(self, steps: list[tuple[str, int, int]], /) -> int: ...
    def blocks(
        self, count: int, blob: Any, offset: Any, packed: Any, unpacked: Any, packing: int, /
    ) -> int: ...
    def array(
        self,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        element_bytes: int,
        packing: int,
        blob: Any,
        offsets: Any,
        sizes: Any,
        skipped: Any,
        fill: bytes | None,
        order: bytes | None,
        /,
    ) -> int: ...
    def track(
        self,
        codec: str,
        pixel_format: str,
        width: int,
        height: int,
        extradata: bytes,
        count: int,
        blob: Any,
        offset: Any,
        packed: Any,
        pts: Any,
        key: Any,
        shown: Any,
        block: Any,
        numerator: int,
        denominator: int,
        /,
    ) -> int: ...
    def mp4(self, path: str, video: int, blob: int, /) -> tuple[Any, ...]: ...
    def parquet(
        self, path: str, offset: int, size: int, rows: int, level: int, packing: int, /
    ) -> tuple[bytes, bytes]: ...
    def strings(self, texts: list[str], /) -> int: ...
    def episodes(
        self,
        count: int,
        num_steps: Any,
        record: Any,
        offset: Any,
        packed: Any,
        tasks: list[str | None] | None,
        metadata: list[str | None] | None,
        sources: list[tuple[Any, ...]],
        row_lengths: list[tuple[int, Any]],
        stamps: list[tuple[Any, ...]],
        /,
    ) -> None: ...
    def skip(self, record: int, message: str, /) -> None: ...
    def progress(self, bytes_done: int, /) -> None: ...

def create_loader(
    members: list[tuple[Any, ...]],
    types: tuple[Any, type, type, Any],
    *,
    batch_size: int,
    shuffle: int,
    seed: int,
    drop_last: bool,
    num_threads: int,
    num_slots: int,
    on_error: str,
    rank: int,
    world_size: int,
    part: int,
    num_parts: int,
    remainder: str,
    jpeg_dct: str | None,
    snap_ns: int,
    memory_bytes: int,
    device: int,
    epoch: int,
    epoch_samples: int,
    jpeg: int,
    fixed_slots: bool,
    align: int,
    device_memory: str | None,
) -> Loader: ...
def batch_order(batch: Any, stream: int, /) -> None: ...

class Writer:
    def add(
        self,
        split: str,
        num_steps: int,
        streams: list[tuple[Any, Any]],
        metadata: list[tuple[Any, Any]],
        /,
    ) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...

def create_writer(
    path: str | PathLike[str],
    name: str,
    version: str,
    description: str | None,
    streams: list[tuple[Any, ...]],
    metadata: list[tuple[Any, ...]],
    shard_bytes: int,
    control_rate_hz: float,
    append: bool,
    /,
) -> Writer: ...

# Of the members whose names have one of the suffixes, each of which, as the names, is ended by a
# NUL: names, and offsets of headers and of what is behind them, packed bytes, unpacked bytes and
# methods as int64 in bytes.
def zip_members(path: str, suffixes: bytes, /) -> tuple[bytes, ...]: ...

# What the header that a .npy file begins with says: dtype as NumPy writes it, whether the first
# axis goes fastest, shape, bytes of the header.
def describe_foreign(begin: bytes, text_is_foreign: bool, /) -> str | None: ...
def npy_header(data: bytes, /) -> tuple[str, bool, tuple[int, ...], int]: ...

# Keys are (name, values [n, ...] or None, offsets, bytes); fills those and file_bytes [n].
def npz_read_steps(
    begin: str,
    end: str,
    digits: int,
    first: int,
    count: int,
    keys: list[tuple[Any, ...]],
    file_bytes: Any,
    /,
) -> None: ...
def unpack(steps: list[tuple[str, int, int]], packed: bytes, unpacked_bytes: int, /) -> bytes: ...

class JpegBatch: ...  # a capsule

# Headers of bytes, or of the parts of a tensor; (height, width, channels, ok, on the CPU) of each.
def image_key(
    seed: int, epoch: int, episode: int, tick: int, share: int, name: str | None, frame: int, /
) -> int: ...
def image_output(params: tuple[Any, ...], images: Any, /) -> tuple[tuple[int, int, int], str]: ...
def image_apply(params: tuple[Any, ...], images: Any, keys: list[int], out: Any, /) -> None: ...
def jpeg_create(
    images: Any, offsets: Any, height: int, width: int, channels: int, is_fast: bool, /
) -> JpegBatch: ...
def jpeg_infos(batch: JpegBatch, /) -> list[tuple[int, int, int, bool, bool]]: ...
def jpeg_decode(batch: JpegBatch, outs: Any, valid: Any, /) -> None: ...
