"""The tables of a LeRobot dataset: its episodes, its tasks, and which files there are."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ... import _arguments
from ...errors import FormatError
from .. import there
from ..builtin import need
from ..foreign import foreign
from .info import Info, load_lines

__all__ = ["Clip", "Episode", "Files", "Tables", "find_files", "parquet_damage"]

_DIGITS = re.compile(r"\d+")
_OWN = ("episode_index", "length", "tasks")
_PLAIN = (str, int, float, bool, type(None))


@dataclass
class Clip:
    """Where an episode's frames of one camera are said to lie.

    Attributes:
        path: of the video, from the template.
        number: what its name has numbers for: (episode,) or (chunk, file).
        from_s: when it begins in the video; None: the video is the episode's alone.
    """

    path: str
    number: tuple[int, ...]
    from_s: float | None = None


@dataclass
class Episode:
    """A row of the table of episodes.

    Attributes:
        index: LeRobot's own number.
        length: in frames, None where it is not said.
        data: the parquet file, from the template; `number` as in :class:`Clip`.
        rows: [first, end) of the dataset's rows, None where that is not said.
        clips: by camera.
        metadata: all else that is said of it.
    """

    index: int
    length: int | None
    data: str
    number: tuple[int, ...]
    rows: tuple[int, int] | None = None
    clips: dict[str, Clip] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def find_files(root: str, folder: str, suffix: str) -> list[str]:
    """Returns the files below root/folder, relative to the root, in order of their names."""
    found = []
    for where, folders, names in there.walk(os.path.join(root, folder), followlinks=True):
        folders.sort()
        found += [os.path.join(where, name) for name in names if name.endswith(suffix)]
    return sorted(os.path.relpath(path, root) for path in found if "/." not in path)


class Files:
    """Finds files by a template's path, else by their numbers among what is there."""

    def __init__(self, root: str, num_numbers: int) -> None:
        self.root = root
        self._num_numbers = num_numbers
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], dict[tuple[int, ...], list[str]]] = {}

    def find(
        self, path: str, number: tuple[int, ...], folder: str, suffix: str, camera: str = ""
    ) -> str:
        """Returns the path of a file relative to the root.

        Raises:
            FormatError: there is none; names what was looked for.
        """
        if there.exists(os.path.join(self.root, path)):
            return path
        with self._lock:
            if (folder, suffix) not in self._found:
                self._found[folder, suffix] = self._by_numbers(folder, suffix)
            others = self._found[folder, suffix].get(number, [])
        others = [other for other in others if not camera or camera in other.split("/")]
        if len(others) == 1:
            return others[0]
        also = f"one alone of {', '.join(others)}" if others else f"another *{suffix} of its number"
        raise FormatError(
            f"{os.path.join(self.root, path)}: found neither this file nor {also} below {folder}/"
        )

    def _by_numbers(self, folder: str, suffix: str) -> dict[tuple[int, ...], list[str]]:
        found: dict[tuple[int, ...], list[str]] = {}
        for path in find_files(self.root, folder, suffix):
            parts = path.split("/")
            plain = [p for p in parts[:-1] if "." not in p] + [parts[-1][: -len(suffix)]]
            digits = _DIGITS.findall("/".join(plain))[-self._num_numbers :]
            found.setdefault(tuple(map(int, digits)), []).append(path)
        return found


class Tables:
    """Episodes and tasks, read when they are first asked for.

    Attributes:
        problems: (number of an episode or -1, message) of what is wrong with the tables as such.
    """

    def __init__(self, info: Info) -> None:
        self.info = info
        self.files = Files(info.root, 1 if info.major == 2 else 2)
        self.problems: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._episodes: dict[int, Episode] | None = None
        self._tasks: dict[int, str] | None = None
        self._by_data: dict[str, list[Episode]] | None = None
        self._begins: dict[str, dict[str, tuple[dict[int, int], int]]] = {}

    @property
    def episodes_path(self) -> str:
        """Of the table of episodes, relative to the dataset."""
        return "meta/episodes.jsonl" if self.info.major == 2 else "meta/episodes"

    @property
    def tasks_path(self) -> str:
        """Of the table of tasks, relative to the dataset."""
        return "meta/tasks.jsonl" if self.info.major == 2 else "meta/tasks.parquet"

    @property
    def episodes(self) -> Mapping[int, Episode]:
        """The episodes by number."""
        with self._lock:
            if self._episodes is None:
                found: dict[int, Episode] = {}
                for episode in self._read_episodes():
                    if episode.index in found:
                        self.problems.append(
                            (episode.index, f"{self.episodes_path}: episode {episode.index} twice")
                        )
                    else:
                        found[episode.index] = episode
                self._check_totals(found)
                self._episodes = dict(sorted(found.items()))
            return self._episodes

    def by_data(self) -> Mapping[str, list[Episode]]:
        """Returns the episodes by the parquet file that their rows lie in, of those there are."""
        episodes = self.episodes
        with self._lock:
            if self._by_data is None:
                by_data: dict[str, list[Episode]] = {}
                found: dict[str, str | None] = {}
                for episode in episodes.values():
                    if episode.data not in found:
                        try:
                            found[episode.data] = self.find_data(episode)
                        except FormatError as error:
                            found[episode.data] = None
                            message = str(error)
                    path = found[episode.data]
                    if path is None:
                        self.problems.append((episode.index, f"episode {episode.index}: {message}"))
                    else:
                        by_data.setdefault(path, []).append(episode)
                self._by_data = by_data
            return self._by_data

    def find_data(self, episode: Episode) -> str:
        """Returns the parquet file with an episode's rows, relative to the dataset."""
        return self.files.find(episode.data, episode.number, "data", ".parquet")

    def find_video(self, camera: str, clip: Clip) -> str:
        """Returns the video with a clip, relative to the dataset."""
        suffix = os.path.splitext(clip.path)[1] or ".mp4"
        return self.files.find(clip.path, clip.number, "videos", suffix, camera)

    def first_frame(self, camera: str, episode: Episode, count: int, num_frames: int) -> int | None:
        """Returns the number of an episode's first frame in its video.

        Told by the lengths of the episodes in the video, where those are as many as its frames;
        else None, and stamps have to tell. Sums of seconds drift, numbers do not.
        """
        clip = episode.clips[camera]
        if clip.from_s is None:
            return 0 if count == num_frames else None
        episodes = self.episodes
        with self._lock:
            if camera not in self._begins:
                self._begins[camera] = _begins(camera, episodes.values())
        begins, total = self._begins[camera].get(clip.path, ({}, -1))
        return begins.get(episode.index) if total == num_frames else None

    def _check_totals(self, found: Mapping[int, Episode]) -> None:
        info = self.info
        lengths = [episode.length for episode in found.values()]
        total = None if None in lengths else sum(map(int, lengths))  # type: ignore[arg-type]
        for key, stated, counted in (
            ("total_episodes", info.total_episodes, len(found)),
            ("total_frames", info.total_frames, total),
        ):
            if stated is not None and counted is not None and stated != counted:
                self.problems.append(
                    (-1, f"meta/info.json: {key}: found {stated}, {self.episodes_path}: {counted}")
                )

    # ---- episodes --------------------------------------------------------------------------------

    def _read_episodes(self) -> Iterator[Episode]:
        return self._from_lines() if self.info.major == 2 else self._from_parquet()

    def _from_lines(self) -> Iterator[Episode]:
        info = self.info
        cameras = [f.name for f in info.features.values() if f.kind == "video"]
        path = os.path.join(info.root, self.episodes_path)
        for line in load_lines(path):
            index = _number(path, line, "episode_index")
            length = None if line.get("length") is None else _number(path, line, "length")
            clips = {
                camera: Clip(
                    info.expand("video_path", episode_index=index, video_key=camera), (index,)
                )
                for camera in cameras
            }
            metadata = {key: value for key, value in line.items() if key not in _OWN[:2]}
            data = info.expand("data_path", episode_index=index)
            yield Episode(index, length, data, (index,), None, clips, metadata)

    def _from_parquet(self) -> Iterator[Episode]:
        files = find_files(self.info.root, self.episodes_path, ".parquet")
        if not files:
            raise FormatError(
                f"{os.path.join(self.info.root, self.episodes_path)}: found no parquet file, "
                "wanted the table of episodes"
            )
        for file in files:
            yield from self._from_table(os.path.join(self.info.root, file))

    def _from_table(self, path: str) -> Iterator[Episode]:
        table = read_table(path, lambda name: not name.startswith(("stats/", "meta/")))
        columns = {name: table[name].to_pylist() for name in table.column_names}
        info = self.info
        cameras = [f.name for f in info.features.values() if f.kind == "video"]
        wanted = ["episode_index", "data/chunk_index", "data/file_index"]
        wanted += [
            f"videos/{camera}/{key}"
            for camera in cameras
            for key in ("chunk_index", "file_index", "from_timestamp")
        ]
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise FormatError(
                f"{path}: found columns {', '.join(table.column_names)}, wanted {missing[0]!r} too"
            )
        plain = [
            name
            for name in columns
            if not name.startswith(("data/", "videos/")) and name not in ("episode_index", "length")
        ]
        for row in range(table.num_rows):
            line = {name: values[row] for name, values in columns.items()}
            index = _number(path, line, "episode_index")
            length = None if line.get("length") is None else _number(path, line, "length")
            rows = None
            if line.get("dataset_from_index") is not None:
                keys = "dataset_from_index", "dataset_to_index"
                rows = (_number(path, line, keys[0]), _number(path, line, keys[1]))
            number = self._numbers(path, line, "data/")
            episode = Episode(
                index,
                length,
                info.expand("data_path", chunk_index=number[0], file_index=number[1]),
                number,
                rows,
                {},
                {name: line[name] for name in plain if _is_plain(line[name])},
            )
            for camera in cameras:
                episode.clips[camera] = self._clip(path, line, camera)
            yield episode

    def _clip(self, path: str, line: Mapping[str, Any], camera: str) -> Clip:
        prefix = f"videos/{camera}/"
        number = self._numbers(path, line, prefix)
        start = line[f"{prefix}from_timestamp"]
        if not isinstance(start, float) or not 0 <= start < 1e9:
            raise FormatError(
                f"{path}: episode {line['episode_index']}: {prefix}from_timestamp: found {start}, "
                "wanted seconds"
            )
        video = self.info.expand(
            "video_path", video_key=camera, chunk_index=number[0], file_index=number[1]
        )
        return Clip(video, number, start)

    @staticmethod
    def _numbers(path: str, line: Mapping[str, Any], prefix: str) -> tuple[int, int]:
        chunk, file = (_number(path, line, f"{prefix}{key}_index") for key in ("chunk", "file"))
        return chunk, file

    # ---- tasks -----------------------------------------------------------------------------------

    @property
    def tasks(self) -> Mapping[int, str]:
        """Texts by their numbers; empty where the dataset has none."""
        with self._lock:
            if self._tasks is None:
                path = os.path.join(self.info.root, self.tasks_path)
                if not there.exists(path):
                    self._tasks = {}
                elif self.info.major == 2:
                    self._tasks = {
                        _number(path, line, "task_index"): _text(path, line.get("task"))
                        for line in load_lines(path)
                    }
                else:
                    self._tasks = numbered_texts(path, "task")
            return self._tasks


def _begins(camera: str, episodes: Iterable[Episode]) -> dict[str, tuple[dict[int, int], int]]:
    """Returns of each video the first frame of each of its episodes by number, and all frames."""
    by_video: dict[str, list[tuple[float, int, int]]] = {}
    for episode in episodes:
        clip = episode.clips[camera]
        length = -1 if episode.length is None else episode.length
        by_video.setdefault(clip.path, []).append((clip.from_s or 0.0, episode.index, length))
    begins: dict[str, tuple[dict[int, int], int]] = {}
    for path, clips in by_video.items():
        firsts, at = {}, 0
        for _, index, length in sorted(clips):
            firsts[index] = at
            at += length
        begins[path] = (firsts, at if all(length >= 0 for _, _, length in clips) else -1)
    return begins


def numbered_texts(path: str, what: str) -> dict[int, str]:
    """Returns the texts of tasks.parquet or subtasks.parquet by their numbers.

    The text is an index of pandas', which older writers left without a name.
    """
    table = read_table(path, lambda name: True)
    for name in (what, "__index_level_0__"):
        if name in table.column_names and f"{what}_index" in table.column_names:
            numbers, texts = table[f"{what}_index"].to_pylist(), table[name].to_pylist()
            return {int(n): _text(path, text) for n, text in zip(numbers, texts, strict=True)}
    raise FormatError(
        f"{path}: found columns {', '.join(table.column_names)}, wanted {what}_index and {what} or "
        "__index_level_0__"
    )


def _text(path: str, text: Any) -> str:
    if not isinstance(text, str):
        raise FormatError(f"{path}: found {_arguments.found(text)}, wanted a text")
    return text


def _number(path: str, line: Mapping[str, Any], key: str) -> int:
    value = line.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise FormatError(f"{path}: {key}: found {_arguments.found(value)}, wanted a number")
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, _PLAIN) for item in value)
    is_nan = isinstance(value, float) and math.isnan(value)
    return isinstance(value, _PLAIN) and not is_nan


# ---- parquet -------------------------------------------------------------------------------------


def parquet_damage(path: str, error: Exception) -> FormatError | None:
    """Returns what an exception of pyarrow says is wrong with a file; None: a shortage."""
    if isinstance(error, OSError) and error.errno is not None:
        return None
    damage = foreign(path, "parquet")
    return damage or FormatError(f"{path}: found no parquet that can be read: {error}")


def read_table(path: str, wanted: Any) -> Any:
    """Returns the columns of a parquet file whose name `wanted` takes, as an Arrow table."""
    parquet = need("pyarrow.parquet", "lerobot")
    arrow = need("pyarrow", "lerobot")
    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if wanted(name)]
            table = file.read(columns=names)
        return table.select([name for name in names if name in table.column_names])
    except (arrow.ArrowException, OSError) as error:
        damage = parquet_damage(path, error)
        if damage is None:
            raise
        raise damage from error
