"""Datasets, their episodes and streams."""

from __future__ import annotations

import os
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from . import _arguments, _core, _views
from ._cached import cached_property
from ._table import make_table
from ._told import Told
from .episode import Episode, Episodes, Stream, StreamInfo, parse_metadata, position_of, positions
from .errors import (
    ArgumentTypeError,
    NotFoundError,
    UnsupportedError,
)
from .formats.segments import open_segments

if TYPE_CHECKING:
    from .statistics import StatisticsTable

__all__ = ["Dataset", "Episode", "Episodes", "Split", "Stream", "StreamInfo", "Tasks"]

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Split:
    """A part of a dataset that its files name, such as "train"."""

    name: str
    num_episodes: int
    num_steps: int


class _Named(dict[str, _Item]):
    """Items of a dataset by their names; for a missing one, an error that lists all."""

    def __init__(self, kind: str, items: Iterable[tuple[str, _Item]]) -> None:
        super().__init__(items)
        self._kind = kind

    def __getitem__(self, name: str) -> _Item:
        name = _arguments.string(self._kind, name)
        if name not in self:
            raise NotFoundError(
                f"{self._kind} {name!r}: not in the dataset, which has {', '.join(self)}"
            )
        return super().__getitem__(name)


class Tasks(Sequence[str]):
    """The distinct task texts of a whole dataset."""

    def __init__(self, native: _core.Dataset, count: int) -> None:
        self._native = native
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[i] for i in positions("tasks", index, self._count)]
        return self._native.task(position_of("tasks", index, self._count))[0]

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(self._count))

    def __reduce__(self) -> tuple[Any, ...]:
        raise UnsupportedError("tasks: are not pickled or copied apart from their dataset")

    def num_episodes(self, index: int) -> int:
        """Returns how many episodes of the dataset have task `index`."""
        return self._native.task(position_of("tasks", index, self._count))[1]


@dataclass(frozen=True)
class Contents:
    """What the episodes of a dataset, or of a view of it, amount to.

    Attributes:
        num_bytes: of the files; in a view, of its episodes' records, 0 where episodes are none.
        num_files: that hold them; in a view the parts of the dataset that its episodes are of.
        splits: those that hold any of them.
        num_tasks: distinct tasks.
        tasks: the first of those, with how many episodes have each.
    """

    num_bytes: int
    num_files: int
    splits: Mapping[str, Split]
    num_tasks: int
    tasks: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class FileProblem:
    """A file that is not what the catalog was made of.

    Attributes:
        kind: "missing", "changed" or "unreadable".
        path: of the file.
        message: names the file, what was found and what was wanted.
    """

    kind: str
    path: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Verification:
    """What :meth:`Dataset.verify` found.

    Attributes:
        num_files: looked at.
        num_bytes: that those have which could be opened.
        num_unsized: files of which the catalog knows no size: that they open is all.
        problems: of files that are missing, changed or unreadable.
    """

    num_files: int
    num_bytes: int
    num_unsized: int
    problems: Sequence[FileProblem]


class Dataset:
    """Episodes of a dataset: all of them, or those that split() and where() have chosen.

    Iterating gives its episodes, a subscript one of them, and a slice a view. Never changed, it may
    be shared; pickled, it is opened again by its path, and is an error where the data changed.
    """

    def __init__(
        self,
        native: _core.Dataset,
        selection: _core.Selection,
        opened: Mapping[str, Any],
        chosen: str = "",
        told: Told | None = None,
    ) -> None:
        self._native = native
        self._selection = selection
        self._opened = opened
        self._chosen = chosen
        self._told = told or Told()
        self.notes: list[str] = list(self._told.notes)
        """What the format says of the dataset: images stored upside down, what is not read."""
        info = native.info()
        self.name: str = info["name"]
        self.version: str = info["version"]
        self.format: str = info["format"]
        """"rlds" and such."""
        self.path: str = info["path"]
        """The folder in which paths of its files begin, that of the file where it is one."""
        self.catalog_path: str = info["catalog_path"]
        self.control_rate_hz: float | None = info["control_rate_hz"] or None
        """Steps a second of data without time stamps; None where that is unknown."""
        self.num_bytes: int = info["num_bytes"]
        """Size of the whole dataset's files, as far as the format tells it."""
        self.num_files: int = info["num_files"]
        self.tasks = Tasks(native, info["num_tasks"])
        """Task texts of the whole dataset."""
        self._info = info

    @cached_property
    def streams(self) -> Mapping[str, StreamInfo]:
        """What is recorded, by the dataset's own names."""
        streams = []
        for index in range(self._info["num_streams"]):
            fields = self._native.stream(index)
            fields["rate_hz"] = fields["rate_hz"] or None
            streams.append(StreamInfo(index=index, **fields))
        return _Named("stream", ((info.name, info) for info in streams))

    @cached_property
    def splits(self) -> Mapping[str, Split]:
        """Parts of the whole dataset that its files name."""
        found = (self._native.split(index) for index in range(self._info["num_splits"]))
        splits = [(name, Split(name, episodes, steps)) for name, episodes, steps in found]
        everything = self._native.select(None, None)
        for name, ids in self._told.splits.items():
            split = Split(name, len(ids), everything.take(ids).num_steps())
            splits.append((name, split))
        return _Named("split", splits)

    def _positions(self, split: str) -> list[int]:
        """Returns which of the episodes chosen are in a split that episodes name themselves."""
        wanted = set(self._told.splits[split])
        return [i for i in range(len(self)) if self._selection.id(i) in wanted]

    @property
    def episodes(self) -> Episodes:
        """The episodes chosen, in the dataset's order."""
        return Episodes(self)

    @property
    def num_steps(self) -> int:
        """Steps of the episodes chosen, those left out by :meth:`steps` not counted."""
        return self._selection.num_steps()

    @property
    def skipped(self) -> list[str]:
        """Damaged records left out of the catalog (on_error="skip"), as error messages."""
        return [self._native.skipped(index) for index in range(self._info["num_skipped"])]

    def contents(self, max_tasks: int = 10) -> Contents:
        """Returns what the episodes chosen amount to; a view's are counted in the catalog."""
        if not self._chosen:
            tasks = [
                (self.tasks[i], self.tasks.num_episodes(i))
                for i in range(min(len(self.tasks), max_tasks))
            ]
            return Contents(self.num_bytes, self.num_files, self.splits, len(self.tasks), tasks)
        num_bytes, num_files, counts, found = self._selection.counts()
        splits = {
            name: Split(name, episodes, steps)
            for name, (episodes, steps) in zip(self.splits, counts, strict=False)
            if episodes
        }
        for name in self._told.splits:
            positions = self._positions(name)
            if positions:
                steps = self._selection.take(positions).num_steps()
                splits[name] = Split(name, len(positions), steps)
        return Contents(num_bytes, num_files, splits, len(found), found[:max_tasks])

    def verify(self) -> Verification:
        """Looks at every file of the whole dataset that the catalog names, and returns what it saw.

        Opening looks at the files that are a part of the dataset each, and at no other. A part's
        file is held to its size, to its time of change when the dataset was opened, and to a
        digest of its first and last 4 KiB; column files to a digest of all of them; every other
        file to its size, where the format told it.
        """
        num_files, num_bytes, num_unsized, found = self._native.verify()
        problems = [FileProblem(*problem) for problem in found]
        return Verification(num_files, num_bytes, num_unsized, problems)

    def where(self, expression: str) -> Dataset:
        """Returns the episodes for which an SQL expression holds; a warning where there is none.

        Args:
            expression: over the columns id, split, task, num_steps, bytes, file and record,
                ``task MATCH 'word'`` for full-text search, and ``metadata.KEY`` for what the
                metadata of an episode says, NULL where it has no such key.

        Raises:
            InvalidArgumentError: SQLite does not take the expression, in its own words, or no
                episode has a key.
        """
        expression = _arguments.string("where", expression)
        view = self._view(self._selection.refine(None, expression), f"where {expression}")
        return _warn_of_none(self, view)

    def split(self, name: str) -> Dataset:
        """Returns the episodes of a split; a warning where there is none.

        Raises:
            NotFoundError: the dataset has no such split.
        """
        name = _arguments.string("split", name)
        if name in self._told.splits:
            view = self._view(self._selection.take(self._positions(name)), f"split {name}")
            return _warn_of_none(self, view)
        return _warn_of_none(self, self._view(self._selection.refine(name, None), f"split {name}"))

    def take(self, indices: Iterable[int]) -> Dataset:
        """Returns the episodes at `indices` of this view, in that order."""
        size = len(self._selection)
        items = _arguments.items("indices", indices, "indices of episodes")
        positions = [position_of("indices", index, size) for index in items]
        return self._view(self._selection.take(positions), f"{len(positions)} taken")

    def segments(self, name: str) -> Dataset:
        """Returns spans of steps that the dataset tells apart within its episodes, as episodes.

        CALVIN has "language": each span that was given an instruction, which is its task. Of a
        view, those that lie within the view's episodes. They are a dataset in all else: split(),
        where() and loaders take them, and a window ends where its segment does. They are indexed
        at the first call, into a catalog of their own beside the dataset's.

        Raises:
            NotFoundError: the dataset has no segments of that name.
        """
        from .opening import open as open_dataset

        name = _arguments.string("segments", name)
        if len(self) and self._selection.ranges(0) is not None:
            raise UnsupportedError(
                f"segments {name!r}: found a view with steps left out, wanted one of whole "
                "episodes: take steps() of the segments"
            )
        return open_segments(self, name, self._opened, open_dataset)

    def sample(self, n: int, seed: int = 0) -> Dataset:
        """Returns `n` episodes drawn at random without replacement, in the dataset's order.

        Which they are depends on the episodes and the seed alone; those of a smaller `n` are among
        those of a larger.
        """
        return self._view(self._selection.take(_views.sample(self, n, seed)), f"{n} drawn")

    @overload
    def split_random(
        self, fractions: Mapping[str, float], seed: int = 0, by: str = "episode"
    ) -> dict[str, Dataset]: ...
    @overload
    def split_random(
        self, fractions: Iterable[float], seed: int = 0, by: str = "episode"
    ) -> list[Dataset]: ...
    def split_random(
        self, fractions: Mapping[str, float] | Iterable[float], seed: int = 0, by: str = "episode"
    ) -> dict[str, Dataset] | list[Dataset]:
        """Returns the episodes divided at random: as many views as fractions, none in two of them.

        Which episode goes where depends on the episodes and the seed alone. Fractions are met to
        within an episode, or to within those that stay together.

        Args:
            fractions: of the episodes, ``[0.9, 0.1]`` or ``{"train": 0.9, "val": 0.1}``. What they
                leave of 1 is in none.
            seed: 0 or more.
            by: what stays together: "episode", each for itself; "task", those of one text; or a key
                of the episodes' metadata, those of one value, such as a scene or a person.

        Raises:
            NotFoundError: an episode has no such metadata.
        """
        shares = dict(fractions) if isinstance(fractions, Mapping) else list(fractions)
        names = list(shares) if isinstance(shares, dict) else range(len(shares))
        parts = _views.split_random(self, shares, seed, by)
        views = [
            _warn_of_none(self, self._view(self._selection.take(part), f"part {name}"))
            for name, part in zip(names, parts, strict=True)
        ]
        return dict(zip(shares, views, strict=True)) if isinstance(shares, dict) else views

    def steps(
        self,
        keep: Callable[[Episode], Any]
        | Mapping[Any, Iterable[Sequence[int]]]
        | str
        | os.PathLike[str],
        *,
        num_threads: int = 0,
    ) -> Dataset:
        """Returns the same without the steps that are not kept.

        A step that is not kept is no sample of a loader and is not counted in
        :meth:`statistics`; windows of the samples beside it reach into it all the same, and
        :class:`Episode` has it. On a clock of another rate, a tick belongs to the last step before
        it. Episodes of which nothing is kept are left out. A view of the view keeps what both do.

        Args:
            keep: a function that gets an :class:`Episode` and returns bool [num_steps], called once
                for each, from several threads; or ranges ``{id: [(first, end), ...]}``, where
                `end` is not in the range, and episodes that are not named are left out; or the path
                of a JSON file of such. Instead of ids it may have names as DROID's lists of ranges
                do: ``"<recording_folderpath>--<file_path>"`` of the episodes' metadata.
            num_threads: that call the function; 0 means all cores.
        """
        selection = self._selection.keep_steps(*_views.kept_steps(self, keep, num_threads))
        view = self._view(selection, f"{selection.num_steps()} of {self.num_steps} steps")
        return _warn_of_none(self, view)

    def statistics(
        self,
        streams: Iterable[str] | None = None,
        *,
        images: int = 0,
        num_threads: int = 0,
        on_error: str = "raise",
        keep: bool = True,
        progress: bool | Callable[[int, int, int, int], object] | None = None,
    ) -> StatisticsTable:
        """Returns what the values of streams are like, see docs/statistics.md.

        They are computed once, in parallel and in bounded memory, and kept beside the catalog: the
        second time they are there at once.

        Args:
            streams: their names; None: all of numbers, and of images where `images` is not 0.
            images: as many are decoded of each stream of images, evenly spaced over the steps;
                0: streams of images are an error.
            num_threads: 0 means all cores. What is found does not depend on it.
            on_error: what damaged data does: "raise", or "skip" to leave the rest of the episode
                out, see :attr:`robocache.statistics.Statistics.num_skipped`.
            keep: False neither takes what was kept nor keeps anything.
            progress: True draws a progress bar on stderr, None does where stderr is a terminal; or
                a function of episodes read, all episodes, images decoded, all images, called
                before each few MB; returning False stops.

        Raises:
            UnsupportedError: a stream is text, or its shape is not declared.
            CancelledError: `progress` returned False.
        """
        from .statistics import StatisticsTable, compute

        if streams is None:
            has_images = _arguments.integer("images", images, 0) > 0
            names = [
                name
                for name, info in self.streams.items()
                if info.unsupported is None
                and (
                    has_images
                    if info.kind == "image"
                    else info.kind == "numeric" and -1 not in info.shape
                )
            ]
        elif isinstance(streams, str):
            raise ArgumentTypeError(f"streams: found {streams!r}, wanted a list of names")
        else:
            names = [self.streams[_arguments.string("streams", name)].name for name in streams]
        found = compute(
            self._selection,
            names,
            images=images,
            num_threads=num_threads,
            on_error=on_error,
            keep=keep,
            progress=progress,
            title=self.name,
        )
        return StatisticsTable(zip(names, found, strict=True), self.name, self.num_steps, len(self))

    def _metadata_of(self, position: int) -> dict[str, Any]:
        """Returns the metadata of an episode without opening it."""
        text = self._selection.metadata(position)
        return parse_metadata(text, self.catalog_path, self._selection.id(position))

    def _view(self, selection: _core.Selection, how: str) -> Dataset:
        chosen = f"{self._chosen}, {how}" if self._chosen else how
        return Dataset(self._native, selection, self._opened, chosen, self._told)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Episode | Dataset:
        if isinstance(index, slice):
            taken = list(positions("dataset", index, len(self)))
            return self._view(self._selection.take(taken), f"{len(taken)} taken")
        if not hasattr(index, "__index__") and not isinstance(index, float):
            raise ArgumentTypeError(
                f"dataset: found {_arguments.found(index)}, wanted the position of an episode or a "
                "slice; take() chooses several, and streams are of an episode: dataset[0]['action']"
            )
        return Episode(self, position_of("dataset", index, len(self)))

    def __copy__(self) -> Dataset:
        return self

    def __deepcopy__(self, memo: Any) -> Dataset:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        ids = None
        if self._chosen:
            ids = array("q", map(self._selection.id, range(len(self)))).tobytes()
        kept = None
        if len(self) and self._selection.ranges(0) is not None:
            ranges = [self._selection.ranges(index) or [] for index in range(len(self))]
            kept = (
                array("q", map(len, ranges)).tobytes(),
                array("q", (bound for each in ranges for pair in each for bound in pair)).tobytes(),
            )
        from .opening import open_again

        fingerprint = self._selection.fingerprint()
        return open_again, (self._opened, self._chosen, ids, fingerprint, kept)

    @cached_property
    def _maxima(self) -> dict[str, int]:
        return {}

    def _most_rows(self, stream: str) -> int:
        """Returns the greatest number of rows that a step of the episodes has, found once."""
        if stream not in self._maxima:
            lengths = (episode[stream].row_lengths for episode in self)
            self._maxima[stream] = max((int(each.max(initial=0)) for each in lengths), default=0)
        return self._maxima[stream]

    def _reopen(self) -> Dataset:
        """Returns the same opened anew, for a process that is not the one it was opened in."""
        function, arguments = self.__reduce__()
        return cast(Dataset, function(*arguments))

    def __len__(self) -> int:
        return len(self._selection)

    def __repr__(self) -> str:
        version = f" {self.version}" if self.version else ""
        chosen = f" ({self._chosen})" if self._chosen else ""
        return (
            f"<Dataset {self.name!r}{version}{chosen}: {len(self)} episodes, "
            f"{self.num_steps} steps>"
        )

    def __str__(self) -> str:
        return self.table()

    def table(self, rates_hz: Mapping[str, float] | None = None) -> str:
        """Returns what ``print`` shows of the dataset, with other rates of some streams."""
        return "\n".join(make_table(self, rates_hz or {}))


def _warn_of_none(dataset: Dataset, view: Dataset) -> Dataset:
    if len(view) == 0 and len(dataset) > 0:
        warnings.warn(f"{view.path}: {view._chosen}: no episode", stacklevel=3)
    return view
