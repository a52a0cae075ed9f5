"""Writing LeRobot datasets of version 3.0, which LeRobot and RoboCache read alike."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _arguments
from ._lerobot_stats import add_stats, stats_of, stats_of_pictures
from ._lerobot_video import VideoFiles
from .errors import ArgumentTypeError, InvalidArgumentError, IoError, NotFoundError
from .formats.builtin import need
from .formats.lerobot.info import NUMERIC

__all__ = ["LeRobotWriter"]

BOOKKEEPING: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}

DATA_PATH = "data/chunk-{chunk:03d}/file-{file:03d}.parquet"
CHUNK_FILES = 1000
_MB = 1 << 20


@dataclass
class _Feature:
    """A feature as it was declared: `dtype` of info.json, `shape` of one sample."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    info: dict[str, Any]

    @property
    def is_picture(self) -> bool:
        return self.dtype in ("image", "video")


class LeRobotWriter:
    """Writes episodes as a LeRobot dataset of version 3.0; use it in a ``with`` block.

    The dataset appears at `path` when the block ends, in one step. After an exception nothing is
    left behind, unless `on_error` is "keep". Needs pyarrow, PyAV for videos and Pillow for images.

    Args:
        path: folder that the dataset becomes; it is not there yet, or empty.
        features: as info.json has them, by name: {"dtype": "float32", "shape": (7,), "names": ...}.
            dtype is NumPy's name, "string", "image" (PNG in the parquet files) or "video"; pictures
            are of shape (height, width, channels). LeRobot's own columns (timestamp, frame_index
            and so on) are added.
        fps: frames a second.
        robot_type: of the robot, kept in info.json.
        codec: of videos: "av1", "h264" or "hevc".
        group: frames from key frame to key frame; an episode begins with one.
        options: of FFmpeg's encoder, by name, such as {"crf": "30"}.
        data_file_bytes: a parquet file that has reached this is followed by another; 0: 100 MB.
        video_file_bytes: the same of videos; 0: 200 MB.
        on_error: what becomes of the episodes added before an exception ends the block: "discard",
            or "keep", which finishes the dataset with them.

    Raises:
        InvalidArgumentError: a feature cannot be written, or the folder is not empty.
        UnsupportedError: a library is missing.
        IoError: the folder cannot be made.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        features: Mapping[str, Mapping[str, Any]],
        *,
        fps: int,
        robot_type: str | None = None,
        codec: str = "av1",
        group: int = 2,
        options: Mapping[str, str] | None = None,
        data_file_bytes: int = 0,
        video_file_bytes: int = 0,
        on_error: str = "discard",
    ) -> None:
        self.path = os.path.abspath(_arguments.path("path", path))
        self.fps = _arguments.integer("fps", fps, 1, 10_000)
        self._robot_type = (
            None if robot_type is None else _arguments.string("robot_type", robot_type)
        )
        self._keeps = _arguments.choice("on_error", on_error, ("discard", "keep")) == "keep"
        self._features = _declared(features)
        self._declared = {name: dict(given) for name, given in features.items()}
        data_bytes = _arguments.integer("data_file_bytes", data_file_bytes, 0) or 100 * _MB
        self._video_bytes = _arguments.integer("video_file_bytes", video_file_bytes, 0) or 200 * _MB
        self._arrow = need("pyarrow", "lerobot")
        need("pyarrow.parquet", "lerobot")
        if os.path.isdir(self.path) and os.listdir(self.path):
            raise InvalidArgumentError(f"path: {self.path}: found a folder that is not empty")
        parent = os.path.dirname(self.path)
        try:
            os.makedirs(parent, exist_ok=True)
            self._partial = tempfile.mkdtemp(prefix=f".{os.path.basename(self.path)}.", dir=parent)
        except OSError as error:
            raise IoError(f"path: {self.path}: cannot be made: {error.strerror}") from error
        self._is_open = True
        group = _arguments.integer("group", group, 1, 100_000)
        self._videos = {
            feature.name: VideoFiles(
                self._partial, feature.name, feature.shape, self.fps, codec, group, options
            )
            for feature in self._features.values()
            if feature.dtype == "video"
        }
        self._data = _DataFiles(self._partial, data_bytes)
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._stats: dict[str, dict[str, Any]] = {}
        self._num_frames = 0
        self._extra: dict[str, Any] = {}

    @property
    def num_episodes(self) -> int:
        """Episodes added so far."""
        return len(self._episodes)

    def add_episode(
        self,
        steps: Mapping[str, Any],
        task: str | Sequence[str],
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Appends an episode of at least one frame.

        Args:
            steps: for every feature, its samples: numbers an array [T, *shape], texts a list of T
                str, pictures an array uint8 [T, H, W, C] or a list of T of [H, W, C]; images may be
                uint16 [H, W, 1].
            task: what the robot was told, one for all or [T].
            metadata: further columns of the table of episodes, the same in all episodes.

        Raises:
            InvalidArgumentError: samples do not fit their feature; the message names it, what was
                found and what was wanted. The episode is not in the dataset then, and more can be
                added.
            Others: a library failed, and the writer is closed as by :meth:`abort`.
        """
        if not self._is_open:
            raise InvalidArgumentError("add_episode: the writer is closed")
        values, length = self._checked(steps)
        tasks = _tasks(task, length)
        extra = {} if metadata is None else dict(metadata)
        if self._episodes and extra.keys() != self._extra.keys():
            raise InvalidArgumentError(
                f"metadata: found {sorted(extra)}, wanted {sorted(self._extra)} as in the episodes "
                "before"
            )
        self._extra = extra
        number, first = len(self._episodes), self._num_frames
        columns = self._columns(values, tasks, number, first, length)
        chunk, file = self._data.add(self._arrow.table(columns, schema=self._schema(columns)))
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": list(dict.fromkeys(tasks)),
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": first,
            "dataset_to_index": first + length,
        }
        for name, files in self._videos.items():
            try:
                chunk, file, begin = files.add(values[name], self._video_bytes)
            except BaseException:
                self.abort()  # some frames are in the video
                raise
            row |= {
                f"videos/{name}/chunk_index": chunk,
                f"videos/{name}/file_index": file,
                f"videos/{name}/from_timestamp": begin / self.fps,
                f"videos/{name}/to_timestamp": (begin + length) / self.fps,
            }
        for name, stats in self._episode_stats(values, columns).items():
            row |= {f"stats/{name}/{key}": value.tolist() for key, value in stats.items()}
            self._stats[name] = add_stats(self._stats.get(name), stats)
        row |= extra | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._episodes.append(row)
        self._num_frames += length

    def close(self) -> None:
        """Finishes the dataset and moves it to its destination in one step.

        Raises:
            InvalidArgumentError: no episode has been added; nothing is left.
        """
        if not self._is_open:
            return
        if not self._episodes:
            self.abort()
            raise InvalidArgumentError(f"path: {self.path}: no episode has been added")
        self._data.close()
        for files in self._videos.values():
            files.close()
        self._write_metadata()
        if os.path.isdir(self.path):
            os.rmdir(self.path)
        os.chmod(self._partial, 0o755 & ~_umask())
        os.rename(self._partial, self.path)
        self._is_open = False

    def abort(self) -> None:
        """Gives up: removes what has been written."""
        if self._is_open:
            self._is_open = False
            self._data.close()
            for files in self._videos.values():
                files.abort()
            shutil.rmtree(self._partial, ignore_errors=True)

    def __enter__(self) -> LeRobotWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None or (self._keeps and self._episodes):
            try:
                self.close()
            finally:
                self.abort()
        else:
            self.abort()

    # ---- one episode -----------------------------------------------------------------------------

    def _checked(self, steps: Any) -> tuple[dict[str, Any], int]:
        """Returns the samples of each feature as they are written, and how many they are."""
        if not isinstance(steps, Mapping):
            raise ArgumentTypeError(f"steps: found {_arguments.found(steps)}, wanted a mapping")
        for name in steps:
            if name not in self._features:
                raise NotFoundError(
                    f"steps: {name!r} was not declared, {list(self._features)} were"
                )
        values: dict[str, Any] = {}
        for name, feature in self._features.items():
            if name not in steps:
                raise NotFoundError(f"steps: {name!r} is missing")
            values[name] = _samples(feature, steps[name])
        lengths = [len(samples) for samples in values.values()]
        length = max(lengths, key=lengths.count)  # the odd one out is named
        for name, samples in values.items():
            if len(samples) != length:
                raise InvalidArgumentError(
                    f"steps[{name!r}]: {len(samples)} frames found, others have {length}"
                )
        if length == 0:
            raise InvalidArgumentError("steps: 0 frames found, wanted at least 1")
        return values, length

    def _columns(
        self, values: Mapping[str, Any], tasks: Sequence[str], number: int, first: int, length: int
    ) -> dict[str, Any]:
        """Returns the columns of the episode's rows, videos left out."""
        import numpy as np

        columns: dict[str, Any] = {}
        for name, feature in self._features.items():
            if feature.dtype == "image":
                columns[name] = [
                    {"bytes": _png(each), "path": f"frame-{i:06}.png"}
                    for i, each in enumerate(values[name])
                ]
            elif feature.dtype != "video":
                columns[name] = values[name]
        frames = np.arange(length)
        for task in tasks:
            self._tasks.setdefault(task, len(self._tasks))
        columns["timestamp"] = (frames / self.fps).astype(np.float32)
        columns["frame_index"] = frames
        columns["episode_index"] = np.full(length, number)
        columns["index"] = first + frames
        columns["task_index"] = np.array([self._tasks[task] for task in tasks])
        return {name: self._as_arrow(name, column) for name, column in columns.items()}

    def _as_arrow(self, name: str, column: Any) -> Any:
        """Returns a column with lists of one size where a row has several numbers."""
        arrow = self._arrow
        if not hasattr(column, "dtype"):
            if self._features[name].dtype == "string":
                return arrow.array(column, arrow.string())
            picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
            return arrow.array(column, picture)
        array = arrow.array(column.ravel())
        for extent in reversed(column.shape[2:]):
            array = arrow.ListArray.from_arrays(range(0, len(array) + 1, extent), array)
        if column.ndim > 2:
            extent = column.shape[1]
            return arrow.ListArray.from_arrays(range(0, len(array) + 1, extent), array)
        if column.ndim == 2:
            return arrow.FixedSizeListArray.from_arrays(array, column.shape[1])
        return array

    def _schema(self, columns: Mapping[str, Any]) -> Any:
        return self._arrow.schema([(name, column.type) for name, column in columns.items()])

    def _episode_stats(
        self, values: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        stats = {}
        for name, feature in self._features.items():
            if feature.is_picture:
                stats[name] = stats_of_pictures(values[name], is_depth=_is_depth(feature.info))
            elif feature.dtype != "string":
                stats[name] = stats_of(values[name])
        for name in BOOKKEEPING:
            stats[name] = stats_of(columns[name].to_numpy())
        return stats

    # ---- metadata --------------------------------------------------------------------------------

    def _write_metadata(self) -> None:
        arrow, parquet = self._arrow, need("pyarrow.parquet", "lerobot")
        meta = os.path.join(self._partial, "meta")
        os.makedirs(os.path.join(meta, "episodes", "chunk-000"))
        if self._episodes:
            table = arrow.Table.from_pylist(self._episodes)
            parquet.write_table(table, os.path.join(meta, "episodes/chunk-000/file-000.parquet"))
            self._write_tasks(os.path.join(meta, "tasks.parquet"))
        stats = {
            name: {key: value.tolist() for key, value in each.items()}
            for name, each in self._stats.items()
        }
        for name, content in (("stats.json", stats), ("info.json", self._info())):
            with open(os.path.join(meta, name), "w", encoding="utf-8") as file:
                json.dump(content, file, indent=4)

    def _write_tasks(self, path: str) -> None:
        """Writes the table that pandas reads with the texts as its index, as LeRobot does."""
        arrow, parquet = self._arrow, need("pyarrow.parquet", "lerobot")
        table = arrow.table({"task_index": list(self._tasks.values()), "task": list(self._tasks)})
        column = {"metadata": None, "numpy_type": "object", "pandas_type": "unicode"}
        pandas = {
            "index_columns": ["task"],
            "column_indexes": [],
            "columns": [
                {
                    "name": "task_index",
                    "field_name": "task_index",
                    "pandas_type": "int64",
                    "numpy_type": "int64",
                    "metadata": None,
                },
                {"name": "task", "field_name": "task", **column},
            ],
            "attributes": {},
            "pandas_version": "2.3.3",
        }
        table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
        parquet.write_table(table, path)

    def _info(self) -> dict[str, Any]:
        features = {}
        for name, feature in self._features.items():
            given = {**self._declared[name], "shape": list(feature.shape)}
            given.setdefault(
                "names", ["height", "width", "channels"] if feature.is_picture else None
            )
            if feature.dtype == "video":
                given["info"] = {**self._videos[name].info(), **feature.info}
            elif len(feature.shape) == 0:
                given["shape"] = [1]
            features[name] = given
        total = len(self._episodes)
        return {
            "codebase_version": "v3.0",
            "robot_type": self._robot_type,
            "total_episodes": total,
            "total_frames": self._num_frames,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": max(self._data.most_bytes // _MB, 1),
            "video_files_size_in_mb": max(self._video_bytes // _MB, 1),
            "fps": self.fps,
            "splits": {"train": f"0:{total}"} if total else {},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
            if self._videos
            else None,
            "features": {**features, **BOOKKEEPING},
        }


class _DataFiles:
    """The parquet files, one after the other, a row group an episode."""

    def __init__(self, root: str, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._root = root
        self._number = -1
        self._path = ""
        self._writer: Any = None

    def add(self, table: Any) -> tuple[int, int]:
        """Writes a table, and returns the numbers of the chunk and file that it is in."""
        if self._writer is not None and os.path.getsize(self._path) >= self.most_bytes:
            self.close()
        if self._writer is None:
            self._number += 1
            chunk, file = divmod(self._number, CHUNK_FILES)
            self._path = os.path.join(self._root, DATA_PATH.format(chunk=chunk, file=file))
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            parquet = need("pyarrow.parquet", "lerobot")
            self._writer = parquet.ParquetWriter(self._path, table.schema, compression="snappy")
        self._writer.write_table(table)
        return divmod(self._number, CHUNK_FILES)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _declared(features: Any) -> dict[str, _Feature]:
    if not isinstance(features, Mapping) or not features:
        raise ArgumentTypeError(
            f"features: found {_arguments.found(features)}, wanted features by name"
        )
    declared = {}
    for name, given in features.items():
        what = f"features[{_arguments.string('features: name', name)!r}]"
        if name in BOOKKEEPING or not name or "/" in name:
            raise InvalidArgumentError(f"{what}: wanted a name without /, none of LeRobot's own")
        if not isinstance(given, Mapping):
            raise ArgumentTypeError(f"{what}: found {_arguments.found(given)}, wanted a mapping")
        dtype = _arguments.choice(
            f"{what}: dtype", given.get("dtype"), (*NUMERIC, "string", "image", "video")
        )
        extents = _arguments.items(f"{what}: shape", given.get("shape", (1,)), "extents")
        shape = tuple(_arguments.integer(f"{what}: shape", extent, 1) for extent in extents)
        if dtype in ("image", "video") and len(shape) != 3:
            raise InvalidArgumentError(
                f"{what}: shape: found {shape}, wanted (height, width, channels)"
            )
        if dtype == "video" and (shape[2] != 3 or shape[0] % 2 or shape[1] % 2):
            raise InvalidArgumentError(
                f"{what}: shape: found {shape}, wanted 3 channels, even height and width of a video"
            )
        info = given.get("info") or {}
        if dtype == "string":
            shape = (1,)
        declared[name] = _Feature(name, dtype, () if shape == (1,) else shape, dict(info))
    return declared


def _samples(feature: _Feature, given: Any) -> Any:
    """Returns samples as they are written: texts, or an array [T, *shape] of the dtype."""
    import numpy as np

    what = f"steps[{feature.name!r}]"
    if feature.dtype == "string":
        texts = list(_arguments.items(what, given, "a list of texts"))
        return [_arguments.string(what, text) for text in texts]
    array = np.asarray(given)
    shape = feature.shape
    if not shape and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape[1:] != shape or array.ndim == 0:
        raise InvalidArgumentError(
            f"{what}: shape {list(array.shape)} found, [T, {', '.join(map(str, shape))}] wanted"
        )
    if feature.is_picture:
        wanted = ("uint8", "uint16") if feature.dtype == "image" and shape[2] == 1 else ("uint8",)
        if array.dtype.name not in wanted:
            raise InvalidArgumentError(f"{what}: dtype {array.dtype} found, {wanted[0]} wanted")
        return array
    dtype = np.dtype(feature.dtype)
    with np.errstate(all="ignore"):
        stored = array.astype(dtype)
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and dtype.kind != "f"):
        raise InvalidArgumentError(f"{what}: dtype {array.dtype} found, {dtype} wanted")
    if dtype.kind != "f" and not (stored == array).all():
        at = np.argwhere(stored != array)[0].tolist()
        raise InvalidArgumentError(
            f"{what}{at}: {array[tuple(at)]} found, wanted what {dtype} holds"
        )
    return stored


def _tasks(task: Any, length: int) -> list[str]:
    if isinstance(task, str):
        return [task] * length
    tasks = [_arguments.string("task", each) for each in _arguments.items("task", task, "texts")]
    if len(tasks) != length:
        raise InvalidArgumentError(f"task: {len(tasks)} texts found, wanted one or {length}")
    return tasks


def _is_depth(info: Mapping[str, Any]) -> bool:
    return bool(info.get("is_depth_map"))


def _png(picture: Any) -> bytes:
    image = need("PIL.Image", "lerobot")
    file = io.BytesIO()
    image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(file, "png")
    return file.getvalue()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
