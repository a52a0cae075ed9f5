"""Reads the parts of a LeRobot dataset: which rows and frames are whose."""

from __future__ import annotations

import itertools
import operator
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...errors import FormatError, NotFoundError
from ..sources import Column, Frames, Pieces
from .rows import Strings, integers_of, on_grid, range_of, runs_of, values_of
from .tables import Episode, numbered_texts, read_table
from .video import Match, Shown, match_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..part import Part
    from . import Source
    from .info import Feature

__all__ = ["STAMPS", "Reader"]

STAMPS = "timestamp_ns"

_NUMBERS = ("episode_index", "frame_index", "index", "task_index", "subtask_index")


@dataclass
class _Found:
    """An episode whose rows and frames were found."""

    episode: Episode
    first: int
    end: int
    index: int | None  # LeRobot's number of the first row
    stamps_ns: NDArray[Any]
    matches: dict[str, Match]
    notes: list[str]


class Reader:
    """What one part is read by."""

    def __init__(self, source: Source, part: Part) -> None:
        self._source = source
        self._info = source.info
        self._tables = source.tables
        self._part = part
        self._strings = Strings()
        self._videos: dict[str, Shown | FormatError] = {}
        self._calls: list[dict[str, Any]] = []
        self._refused: list[tuple[int, str]] = []
        self._subtasks: Mapping[int, str] | None = None

    def refuse(self, episode: Episode, error: FormatError) -> None:
        """Leaves an episode out, or raises, as the dataset is opened."""
        self._refused.append((episode.index, f"episode {episode.index}: {error}"))

    def finish(self) -> None:
        """Hands over what was found: the texts first, which all episodes point to."""
        for number, message in self._refused:
            self._part.skip(number, message)
        if self._strings.texts:
            self._part.strings(self._strings.texts)
        for call in self._calls:
            self._part.episodes(**call)

    def add(self, file: str, episodes: Sequence[Episode], listed: Collection[int]) -> None:
        """Adds episodes of a parquet file.

        Args:
            file: relative to the dataset.
            episodes: those wanted.
            listed: numbers of all that the file should have.

        Raises:
            FormatError: the file is damaged as a whole.
        """
        path = os.path.join(self._info.root, file)
        blob = self._part.blobs(_escaped(file), sizes=[os.path.getsize(path)])
        table = read_table(path, self._wanted().__contains__)
        for name in self._wanted():
            if name not in table.column_names and name not in ("index", "frame_index"):
                raise FormatError(
                    f"{path}: found columns {', '.join(table.column_names)}, wanted {name!r} too"
                )
        numbers = {
            name: integers_of(f"{path}: {name}", table[name])
            for name in _NUMBERS
            if name in table.column_names
        }
        index = numbers.get("index") if self._info.major == 3 else None
        runs = runs_of(numbers["episode_index"], index)
        found: list[_Found] = []
        for episode in episodes:
            try:
                found.append(self._find(path, table, numbers, runs, episode))
            except FormatError as error:
                self.refuse(episode, error)
        self._tell_unowned(path, runs, found, listed)
        if found:
            pictures = {
                feature.name: self._pictures(file, blob, feature.name)
                for feature in self._source.images
            }
            self._add_found(path, table, numbers, pictures, found)

    def _wanted(self) -> dict[str, None]:
        """Returns the columns to read, in order."""
        names = ["episode_index", "timestamp", "frame_index", "index"]
        names += [feature.name for feature in (*self._source.numeric, *self._source.texts)]
        return dict.fromkeys(names)

    def _find(
        self,
        path: str,
        table: Any,
        numbers: Mapping[str, NDArray[Any]],
        runs: Mapping[int, list[tuple[int, int]]],
        episode: Episode,
    ) -> _Found:
        import numpy as np

        index = numbers.get("index")
        try:
            first, end = range_of(runs, index, episode.index, episode.length, episode.rows)
        except FormatError as error:
            raise FormatError(f"{path}: {error} ({self._tables.episodes_path})") from None
        frames = numbers.get("frame_index", np.arange(len(table)) - first)[first:end]
        seconds = table["timestamp"].slice(first, end - first).to_numpy().astype(np.float64)
        where = f"{path}: timestamp: row "
        if not np.isfinite(seconds).all():
            row = first + int((~np.isfinite(seconds)).argmax())
            raise FormatError(f"{where}{row}: found {seconds[row - first]}, wanted seconds")
        stamps, is_grid = on_grid(seconds, frames, self._info.fps, self._info.rate)
        back = np.flatnonzero(np.diff(stamps) < 0)
        if len(back):
            row = int(back[0]) + 1
            raise FormatError(
                f"{where}{first + row}: frame {row} found at {seconds[row]:.6f} s, behind one at "
                f"{seconds[row - 1]:.6f} s"
            )
        number = None if index is None else int(index[first])
        found = _Found(episode, first, end, number, stamps, {}, [])
        if not is_grid:
            found.notes.append(f"stamps are kept: they are not frame_index / {self._info.fps:g}")
        for camera in self._source.videos:
            found.matches[camera.name] = self._match(found, camera)
        return found

    def _match(self, found: _Found, feature: Feature) -> Match:
        """Finds the frames of an episode's rows."""
        episode = found.episode
        camera = feature.name
        clip = episode.clips[camera]
        try:
            path = self._tables.find_video(camera, clip)
        except FormatError as error:
            raise FormatError(f"{camera}: {error}") from None
        video = self._videos.get(path)
        if video is None:
            try:
                video = self._open(path, feature)
            except FormatError as error:
                video = error
            self._videos[path] = video
        if isinstance(video, FormatError):
            raise FormatError(f"{camera}: {video}")
        count = found.end - found.first
        first = self._tables.first_frame(camera, episode, count, len(video.times_ns))
        try:
            match = match_frames(video, found.stamps_ns, clip.from_s, first, float(self._info.rate))
        except FormatError as error:
            raise FormatError(f"{camera}: {os.path.join(self._info.root, path)}: {error}") from None
        if match.note:
            found.notes.append(f"{camera}: {match.note}")
        return match

    def _open(self, path: str, camera: Feature) -> Shown:
        """Adds a video to the part, and checks that its pictures are those of the stream."""
        video = self._part.mp4(path)
        if (video.height, video.width) != camera.shape[:2]:
            raise FormatError(
                f"{os.path.join(self._info.root, path)}: found pictures of {video.width} x "
                f"{video.height}, wanted {camera.shape[1]} x {camera.shape[0]} (meta/info.json)"
            )
        return Shown(video, video.times_ns)

    def _tell_unowned(
        self,
        path: str,
        runs: Mapping[int, list[tuple[int, int]]],
        found: Sequence[_Found],
        listed: Collection[int],
    ) -> None:
        """Warns of rows that no episode owns; they are left out."""
        rows = sum(
            end - first
            for number, ranges in runs.items()
            if number not in listed
            for first, end in ranges
        )
        for each in found:
            ranges = runs[each.episode.index]
            rows += sum(end - first for first, end in ranges) - (each.end - each.first)
        if rows:
            warnings.warn(
                f"{path}: {rows} rows belong to no episode of {self._tables.episodes_path} and are "
                "left out",
                RuntimeWarning,
                stacklevel=2,
            )

    def _pictures(self, file: str, blob: int, name: str) -> Pieces:
        """Finds the pictures in a column, a row each."""
        path = os.path.join(self._info.root, file)
        try:
            pieces = self._part.parquet(file, column=f"{name}.bytes", blob=blob)
        except NotFoundError as error:
            raise FormatError(str(error)) from None
        empty = pieces.bytes == 0
        if empty.any():
            raise FormatError(
                f"{path}: {name}: row {int(empty.argmax())}: found no bytes of a picture"
            )
        return pieces

    # ---- handing over ----------------------------------------------------------------------------

    def _add_found(
        self,
        path: str,
        table: Any,
        numbers: Mapping[str, NDArray[Any]],
        pictures: Mapping[str, Pieces],
        found: Sequence[_Found],
    ) -> None:
        columns: dict[str, NDArray[Any]] = {}
        annotated: dict[str, NDArray[Any]] = {}
        for feature in self._source.numeric:
            values = values_of(f"{path}: {feature.name}", table[feature.name], feature)
            is_stream = feature.name not in self._source.annotations
            (columns if is_stream else annotated)[feature.name] = values
        for feature in self._source.texts:
            columns[feature.name] = self._strings.of_column(
                f"{path}: {feature.name}", table[feature.name]
            )
        self._add_texts(path, columns, {**columns, **annotated, **numbers})
        for each in self._source.slices:
            whole = columns[each.feature].reshape(len(table), -1)
            columns[each.name] = whole[:, each.start : each.end]
        begin = 0
        for at in range(1, len(found) + 1):
            if at == len(found) or not _joins(found[begin], found[at]):
                self._add_call(columns, pictures, found[begin:at])
                begin = at

    def _add_texts(
        self, path: str, columns: dict[str, NDArray[Any]], numbers: Mapping[str, NDArray[Any]]
    ) -> None:
        """Adds the texts that columns of numbers mean."""
        source, tasks = self._source, self._tables.tasks
        if source.has_task:
            columns["task"] = self._texts(path, "task_index", numbers["task_index"], tasks)
        if source.has_subtask:
            if self._subtasks is None:
                self._subtasks = numbered_texts(source.subtasks_path, "subtask")
            columns["subtask"] = self._texts(
                path, "subtask_index", numbers["subtask_index"], self._subtasks
            )
        for name, column in source.modality.annotations.items():
            if column in source.annotations.values():
                columns[name] = self._texts(path, column, numbers[column].reshape(-1), tasks)
            else:
                columns[name] = columns[column]

    def _texts(
        self, path: str, column: str, numbers: NDArray[Any], texts: Mapping[int, str]
    ) -> NDArray[Any]:
        return self._strings.of_numbers(f"{path}: {column}", numbers, texts)

    def _add_call(
        self,
        columns: Mapping[str, NDArray[Any]],
        pictures: Mapping[str, Pieces],
        found: Sequence[_Found],
    ) -> None:
        import numpy as np

        ranges = [(each.first, each.end) for each in found]
        streams: dict[str, Any] = {
            name: Column(_rows(values, ranges)) for name, values in columns.items()
        }
        stamps = [each.stamps_ns for each in found]
        streams[STAMPS] = Column(np.concatenate(stamps))
        for camera in self._source.videos:
            matches = [each.matches[camera.name] for each in found]
            streams[camera.name] = _frames(matches)
        for name, pieces in pictures.items():
            streams[name] = _pieces(pieces, ranges)
        for name, feature in self._source.modality.videos.items():
            if feature in streams:
                streams[name] = streams[feature]
        self._calls.append(
            {
                "num_steps": [end - first for first, end in ranges],
                "record": [each.episode.index for each in found],
                "tasks": [self._task(columns, each) for each in found],
                "metadata": [self._metadata(each) for each in found],
                "streams": streams,
            }
        )

    def _task(self, columns: Mapping[str, NDArray[Any]], found: _Found) -> str | None:
        """Returns what the first row of an episode was told to do."""
        if self._source.has_task:
            return self._strings.texts[int(columns["task"][found.first])]
        listed = found.episode.metadata.get("tasks")
        return listed[0] if isinstance(listed, list) and listed else None

    def _metadata(self, found: _Found) -> dict[str, Any]:
        metadata: dict[str, Any] = {"episode_index": found.episode.index}
        if found.index is not None:
            metadata["dataset_from_index"] = found.index
        metadata.update(found.episode.metadata)
        metadata.update(self._source.common)
        if found.notes:
            metadata["notes"] = found.notes
        return metadata


def _frames(matches: Sequence[Match]) -> Any:
    """Returns the sources of episodes, of which only a single one may have several runs."""
    if len(matches) == 1:
        return list(matches[0].sources())
    return Frames(operator.index(matches[0].track), [match.runs[0][0] for match in matches])


def _pieces(pieces: Pieces, ranges: Sequence[tuple[int, int]]) -> Pieces:
    """Returns those of the rows of the ranges."""
    return replace(
        pieces,
        offset=_rows(pieces.offset, ranges),
        bytes=_rows(pieces.bytes, ranges),
        blob=_rows(pieces.blob, ranges),
        block=_rows(pieces.block, ranges),
    )


def _joins(first: _Found, other: _Found) -> bool:
    """Whether two episodes can be added in one call: all their frames are of the same videos."""
    return all(
        match.track == other.matches[name].track
        and len(match.runs) == len(other.matches[name].runs) == 1
        for name, match in first.matches.items()
    )


def _rows(values: NDArray[Any], ranges: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """Returns the rows of the ranges, one behind the other; no copy where they are neighbours."""
    import numpy as np

    if all(a[1] == b[0] for a, b in itertools.pairwise(ranges)):
        return np.ascontiguousarray(values[ranges[0][0] : ranges[-1][1]])
    return np.concatenate([values[first:end] for first, end in ranges])


def _escaped(path: str) -> str:
    return path.replace("{", "{{").replace("}", "}}")
