"""LeRobot datasets of the versions 2.0, 2.1 and 3.0, and GR00T's, see docs/lerobot.md.

Streams and parts are declared from meta/info.json, meta/modality.json and what files there are, so
that opening a dataset that has not changed reads no table. Tables are read part by part.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import FormatError
from .. import there
from ..indexer import Indexer
from ..part import Part
from .info import Feature, Info, Modality
from .reader import STAMPS, Reader
from .tables import Tables, find_files

__all__ = ["index"]

NO_SPLIT = "none"
"""Of episodes that no split of meta/info.json names."""

EPISODES_A_PART = 100
"""Of the versions 2, which have a file an episode."""

_MAX_COLUMN_BYTES = 4096
_ALL = 2**62


def index(path: str, dataset: Indexer) -> None:
    """Declares streams and parts of the dataset at `path`."""
    info = Info(path)
    dataset.version = info.version
    dataset.control_rate_hz = info.fps
    source = Source(info, info.modality())
    source.declare(dataset)
    source.add_parts(dataset)


class Source:
    """One dataset while it is indexed; used by several threads."""

    def __init__(self, info: Info, modality: Modality) -> None:
        self.info = info
        self.modality = modality
        self.tables = Tables(info)
        self.numeric: list[Feature] = []
        self.texts: list[Feature] = []
        self.videos: list[Feature] = []
        self.images: list[Feature] = []
        features = info.features
        self.subtasks_path = os.path.join(info.root, "meta", "subtasks.parquet")
        self.has_task = "task_index" in features and "task" not in features
        self.has_subtask = (
            "subtask_index" in features
            and "subtask" not in features
            and there.exists(self.subtasks_path)
        )
        # columns of numbers of tasks, whose texts are what users load
        self.annotations = {
            name: column
            for name, column in modality.annotations.items()
            if features[column].kind == "numeric"
        }
        said = {"robot_type": info.robot_type, "embodiment_tag": info.embodiment()}
        self.common = {key: value for key, value in said.items() if isinstance(value, str)}

    # ---- streams ---------------------------------------------------------------------------------

    def declare(self, dataset: Indexer) -> None:
        info = self.info
        folders = _folders(os.path.join(info.root, "videos"))
        for feature in info.features.values():
            problem = self._problem(feature, folders)
            if problem:
                info.unread[feature.name] = problem
            elif feature.kind == "numeric":
                self.numeric.append(feature)
                if feature.name not in self.annotations:
                    dataset.stream(
                        feature.name, dtype=feature.dtype, shape=feature.shape, times=STAMPS
                    )
            elif feature.kind == "image":
                self.images.append(feature)
                dataset.stream(feature.name, encoding="image", times=STAMPS, **_picture(feature))
            elif feature.kind == "video":
                self.videos.append(feature)
                dataset.stream(feature.name, encoding="frame", times=STAMPS, **_picture(feature))
            else:
                self.texts.append(feature)
                dataset.stream(feature.name, kind="text", encoding="string", times=STAMPS)
        for name, why in info.unread.items():
            warnings.warn(
                f"{info.path}: {name!r} is no stream: {why}", RuntimeWarning, stacklevel=2
            )
        self._declare_modality(dataset)
        for name, has in (("task", self.has_task), ("subtask", self.has_subtask)):
            if has:
                dataset.stream(name, kind="text", encoding="string", times=STAMPS)
        dataset.stream(STAMPS, dtype="int64")

    def _problem(self, feature: Feature, folders: set[str]) -> str:
        """Says why a feature is no stream; "" where it is one."""
        if feature.kind == "video" and feature.name not in folders:
            return f"there is no folder of that name below {self.info.root}/videos"
        if feature.kind == "numeric":
            import numpy as np

            size = np.dtype(feature.dtype).itemsize * int(np.prod(feature.shape, dtype=np.int64))
            if size > _MAX_COLUMN_BYTES:
                return f"it has {size} bytes a row, more than the {_MAX_COLUMN_BYTES} of a column"
        return ""

    def _declare_modality(self, dataset: Indexer) -> None:
        numeric = {feature.name: feature for feature in self.numeric}
        self.slices = [each for each in self.modality.slices if each.feature in numeric]
        for each in self.slices:
            dataset.stream(
                each.name,
                dtype=numeric[each.feature].dtype,
                shape=(each.end - each.start,),
                times=STAMPS,
            )
        for name, camera in self.modality.videos.items():
            feature = self.info.features[camera]
            encoding = "frame" if feature.kind == "video" else "image"
            if feature in self.videos or feature in self.images:
                dataset.stream(name, encoding=encoding, times=STAMPS, **_picture(feature))
        for name, column in self.modality.annotations.items():
            if name != column or column in self.annotations.values():
                dataset.stream(name, kind="text", encoding="string", times=STAMPS)

    # ---- parts -----------------------------------------------------------------------------------

    def add_parts(self, dataset: Indexer) -> None:
        info = self.info
        if info.major == 2:
            needed = self.tables.episodes_path
            if not there.exists(os.path.join(info.root, needed)):
                raise FormatError(f"{os.path.join(info.root, needed)}: is not there")
        if "task_index" in info.features and not there.exists(
            os.path.join(info.root, self.tables.tasks_path)
        ):
            warnings.warn(
                f"{os.path.join(info.root, self.tables.tasks_path)}: is not there: no episode has "
                "a task",
                RuntimeWarning,
                stacklevel=2,
            )
        common = _digest(self._stamps_of_metadata())
        dataset.part(self.tables.episodes_path, read=self._check, stamp=_number(common))
        highest = max(info.total_episodes or 0, _last_listed(info, self.tables) + 1)
        splits = list(_ranges(info.splits, highest))
        self.highest = max(highest, splits[-1][2])
        if info.major == 3:
            files = find_files(info.root, "data", ".parquet")
            self._check_data(files)
            for file in files:
                stamp = _number(common, _stamp_of(os.path.join(info.root, file)))
                for name, first, end in splits:
                    label = file if len(splits) == 1 else f"{file} from episode {first}"
                    read = functools.partial(self._read_file, file, first, end)
                    dataset.part(label, split=name, stamp=stamp, read=read)
            return
        stamps = _stamps_by_group(os.path.join(info.root, "data"))
        self._check_data(stamps)
        last = max(highest - 1, 0) // EPISODES_A_PART
        for name, first, end in splits:
            for group in range(first // EPISODES_A_PART, min(end // EPISODES_A_PART, last) + 1):
                low = max(first, group * EPISODES_A_PART)
                high = min(end, (group + 1) * EPISODES_A_PART) if group < last else end
                if low < high:
                    read = functools.partial(self._read_group, low, high)
                    dataset.part(
                        f"episodes {low}-",
                        split=name,
                        stamp=_number(common, str(stamps.get(group))),
                        read=read,
                    )

    def _stamps_of_metadata(self) -> Iterator[str]:
        """Yields what changes where metadata or videos do."""
        root = self.info.root
        for folder in ("meta", "meta/episodes"):
            for where, _, names in there.walk(os.path.join(root, folder)):
                for name in sorted(names):
                    yield name + _stamp_of(os.path.join(where, name))
                if folder == "meta":
                    break
        for where, folders, names in there.walk(os.path.join(root, "videos"), followlinks=True):
            folders.sort()
            yield where[len(root) :] + _stamp_of(where)
            if self.info.major == 3:
                for name in sorted(names):
                    yield name + _stamp_of(os.path.join(where, name))

    def _check_data(self, found: Collection[Any]) -> None:
        if not found:
            raise FormatError(
                f"{self.info.root}: found no parquet file below data/, wanted files such as "
                f"{self.info.data_path} (data_path of meta/info.json)"
            )

    # ---- reading ---------------------------------------------------------------------------------

    def _check(self, part: Part) -> None:
        """Tells what is wrong with the tables as such."""
        if self.info.major == 3:
            self.tables.by_data()
        else:
            _ = self.tables.episodes
        for record, message in self.tables.problems:
            part.skip(max(record, 0), message)
        for number in self.tables.episodes:
            if number >= self.highest:
                part.skip(number, f"episode {number}: is behind the {self.highest} that were told")

    def _read_file(self, file: str, first: int, end: int, part: Part) -> None:
        """Reads the episodes [first, end) of a file of several."""
        listed = self.tables.by_data().get(file, [])
        episodes = [episode for episode in listed if first <= episode.index < end]
        reader = Reader(self, part)
        if episodes or first == 0:
            reader.add(file, episodes, {episode.index for episode in listed})
        reader.finish()

    def _read_group(self, first: int, end: int, part: Part) -> None:
        """Reads the episodes [first, end), which have a file each."""
        reader = Reader(self, part)
        for number, episode in self.tables.episodes.items():
            if first <= number < end:
                try:
                    reader.add(self.tables.find_data(episode), [episode], {number})
                except FormatError as error:
                    reader.refuse(episode, error)
                part.progress(0)
        reader.finish()


def _picture(feature: Feature) -> dict[str, Any]:
    """Returns how a stream of pictures is declared, with the unit of its depths."""
    info = feature.info
    if not feature.is_depth:
        return {"kind": "image", "shape": feature.shape}
    depth = {"kind": "image", "dtype": "uint16", "shape": (*feature.shape[:2], 1)}
    low, high = (_of_video(info, key) for key in ("depth_min", "depth_max"))
    if feature.kind == "image" or low is None or high is None:
        unit = info.get("depth_unit")
        return {**depth, "unit": unit if isinstance(unit, str) else ""}
    if _of_video(info, "use_log") in (None, 1.0):
        shift = _of_video(info, "shift")
        return {**depth, "unit": f"log m {low:g} {high:g} {shift if shift is not None else 3.5:g}"}
    return {**depth, "unit": "m", "scale": (high - low) / 4095, "offset": low}


def _of_video(info: Mapping[str, Any], key: str) -> float | None:
    value = info.get(f"video.{key}", info.get(key))
    return float(value) if isinstance(value, (int, float)) else None


def _folders(path: str) -> set[str]:
    """Returns the names of folders in a folder, and of those in them."""
    found: set[str] = set()
    for where, folders, _ in there.walk(path, followlinks=True):
        found.update(folders)
        if where != path:
            folders.clear()
    return found


def _ranges(splits: Sequence[tuple[str, int, int]], highest: int) -> Iterator[tuple[str, int, int]]:
    """Yields the ranges of episodes up to `highest`, each with the split that it belongs to."""
    if not splits:
        yield "train", 0, _ALL
        return
    at = 0
    for name, first, end in sorted(splits, key=lambda split: split[1]):
        if at < first:
            yield NO_SPLIT, at, first
        yield name, first, end
        at = end
    if at < highest:
        yield NO_SPLIT, at, highest


def _last_listed(info: Info, tables: Tables) -> int:
    """Returns the number in the last line of the list of episodes; -1 where there is none."""
    if info.major != 2:
        return -1
    with open(os.path.join(info.root, tables.episodes_path), "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - 65536, 0))
        found = re.findall(rb'"episode_index":\s*(\d{1,9})\b', file.read())
    return max(map(int, found), default=-1)


def _stamps_by_group(folder: str) -> dict[int, int]:
    """Returns a stamp of the parquet files of each group of episodes, told by the last number in
    their names. Gone through at every open: it looks at each file once, in any order. hash() of
    whole numbers is the same in every process.
    """
    stamps: dict[int, int] = {}
    below = [folder] if there.is_folder(folder) else []
    while below:
        where = below.pop()
        descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY)  # names of it are found sooner
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(".parquet"):
                        digits = name[-14:-8]
                        if name[-15:-14] != "_" or not digits.isdecimal():
                            match = re.search(r"([0-9]+)[^0-9]*$", f"{where}/{name}")
                            digits = match[1] if match else "0"
                        found = entry.stat()
                        number = int(digits)
                        group = number // EPISODES_A_PART
                        stamp = hash((number, found.st_size, found.st_mtime_ns))
                        stamps[group] = stamps.get(group, 0) + stamp
                    elif entry.is_dir():
                        below.append(f"{where}/{name}")
        finally:
            os.close(descriptor)
    return stamps


def _stamp_of(path: str) -> str:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ":"
    return f":{found.st_size}:{found.st_mtime_ns}"


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def _number(*texts: str) -> int:
    return int(_digest(texts)[:15], 16)
