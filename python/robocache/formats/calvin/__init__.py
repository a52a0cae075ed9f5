"""CALVIN: an archive of arrays a step, `training/episode_0000123.npz`, though it is no episode.

`ep_start_end_ids.npy` says which steps are an episode, the last one too. Small arrays are copied
into columns while indexing; images and depth are read where they lie in their archives.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from ... import _core
from ...errors import Error, FormatError, UnsupportedError
from .. import there
from ..damage import is_damage, is_shortage, pass_shortage
from ..npy_header import read_npy_header
from ..sources import Column, Pieces
from .language import Annotation, find_annotations, read_annotations

if TYPE_CHECKING:
    from ..indexer import Indexer
    from ..part import Part

__all__ = ["LANGUAGE", "SPANS", "index", "index_segments", "parse_spans", "step_files"]

SPANS = "ep_start_end_ids.npy"
LANGUAGE = "language"  # stream of the instruction at each step

_STEP = re.compile(r"(.*?)([0-9]{1,18})\.npz")
_SPLITS = ("training", "validation")
_COLUMN_BYTES = 4096
_PART_STEPS = 2048  # episodes are gathered to so many
_SLICE_STEPS = 1024
_MOST_NAMES = 100_000
_MOST_SPANS_BYTES = 1 << 30
_DTYPES = frozenset(
    f"{kind}{bits}" for kind in ("uint", "int", "float") for bits in (8, 16, 32, 64)
) - {"float8"} | {"bool"}


def _split_folders(path: str) -> list[str]:
    """Returns the folders below `path` that hold a split; "" is `path` itself."""
    return [each for each in (*_SPLITS, "") if there.is_file(os.path.join(path, each, SPANS))]


def step_files(path: str) -> dict[str, tuple[str, int]]:
    """Returns of each split what its steps' files are named before the number, and its digits."""
    splits = [_Split(path, folder) for folder in _split_folders(path)]
    return {split.name: (os.path.join(split.path, split.prefix), split.digits) for split in splits}


@dataclass(frozen=True)
class _Key:
    """An array that each step has."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_image(self) -> bool:
        return self.dtype in ("uint8", "uint16") and len(self.shape) == 3

    @property
    def is_column(self) -> bool:
        num_bytes = math.prod(self.shape) * _itemsize(self.dtype)
        return not self.is_image and num_bytes <= _COLUMN_BYTES


def _itemsize(dtype: str) -> int:
    bits = re.sub("[a-z]", "", dtype)
    return int(bits) // 8 if bits else 1


class _Split:
    """A folder of steps and what is said of them."""

    def __init__(self, path: str, folder: str) -> None:
        self.root = path
        self.folder = folder
        self.name = folder or os.path.basename(path.rstrip("/")) or "train"
        self.path = os.path.join(path, folder)
        self.prefix, self.digits = self._name_of_steps()

    def _name_of_steps(self) -> tuple[str, int]:
        """Returns what precedes the number in names of files, and its digits.

        They are those of the first file, but where that is none of the first episode's, and one of
        the next names is.
        """
        found: tuple[str, int] | None = None
        with os.scandir(self.path) as entries:
            for entry in itertools.islice(entries, _MOST_NAMES):
                match = _STEP.fullmatch(entry.name)
                if match is None or (match[1], len(match[2])) == found:
                    continue
                name = match[1], len(match[2])
                step = max(self.spans[0][0], 0) if self.spans else 0
                if there.is_file(os.path.join(self.path, f"{name[0]}{step:0{name[1]}}.npz")):
                    return name
                found = found or name
        if found is None:
            raise FormatError(f"{self.path}: found no file like episode_0000123.npz, a step each")
        return found

    def name_of(self, step: int) -> str:
        """Returns the path of a step's file below the dataset's folder."""
        return os.path.join(self.folder, f"{self.prefix}{step:0{self.digits}}.npz")

    @property
    def pattern(self) -> str:
        """Names of the steps' files as :meth:`Part.blobs` takes them."""
        begin = os.path.join(self.folder, self.prefix).replace("{", "{{").replace("}", "}}")
        return f"{begin}{{:0{self.digits}}}.npz"

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """First and last step of each episode, as the file has them."""
        file = os.path.join(self.path, SPANS)
        with open(file, "rb") as stream:
            return parse_spans(stream.read(_MOST_SPANS_BYTES), file)

    @cached_property
    def annotations_file(self) -> str | None:
        return find_annotations(self.path)


def parse_spans(data: bytes, what: str) -> list[tuple[int, int]]:
    """Returns first and last step of each episode, as a NumPy file [episodes, 2] has them.

    Args:
        data: the file.
        what: begins the message of the FormatError that is raised where it is none.
    """
    import numpy

    stream = io.BytesIO(data)
    shape, is_fortran, dtype = read_npy_header(stream, what)
    if dtype.kind not in "iu" or len(shape) != 2 or shape[1] != 2:
        raise FormatError(f"{what}: found {dtype} {shape}, wanted integers [episodes, 2]")
    begin, wanted = stream.tell(), shape[0] * 2 * dtype.itemsize
    if wanted != len(data) - begin:
        raise FormatError(
            f"{what}: byte {begin}: found {len(data) - begin} bytes, wanted {wanted} of "
            f"{dtype} {shape}"
        )
    found = numpy.frombuffer(data, dtype, offset=begin)
    spans = found.reshape(shape, order="F" if is_fortran else "C").tolist()
    return [(first, last) for first, last in spans]


def index(path: str, dataset: Indexer) -> None:
    """Declares streams and parts: parts are runs of episodes, of a few thousand steps."""
    splits, keys = _declare(path, dataset)
    if any(split.annotations_file for split in splits):
        dataset.stream(LANGUAGE, kind="text", encoding="string")
    for split in splits:
        texts = _Texts(split) if split.annotations_file else None
        problems = _overlaps(split.spans)
        for rows in _runs_of_rows(split.spans):
            _declare_part(
                dataset,
                split,
                keys,
                [
                    _Episode(row, *split.spans[row], problem=problems.get(row, ""))
                    for row in range(*rows)
                ],
                texts,
            )


def index_segments(path: str, dataset: Indexer) -> None:
    """Declares the same streams, but a span that has an instruction is an episode."""
    splits, keys = _declare(path, dataset)
    dataset.name += " language"
    for split in splits:
        if split.annotations_file is None:
            continue
        annotations = read_annotations(split.annotations_file)
        spans = [(each.first, each.last) for each in annotations]
        episodes = [
            _Episode(row, each.first, each.last, each) for row, each in enumerate(annotations)
        ]
        for first, last in _runs_of_rows(spans):
            _declare_part(dataset, split, keys, episodes[first:last], None)


def _declare(path: str, dataset: Indexer) -> tuple[list[_Split], list[_Key]]:
    dataset.control_rate_hz = 30.0
    folders = _split_folders(path)
    if not folders:
        raise FormatError(
            f"{path}: found steps of CALVIN but no {SPANS}, which says which steps are an episode"
        )
    splits = [_Split(path, folder) for folder in folders]
    keys = _find_keys(splits)
    for key in keys:
        kind, encoding = (
            ("image", "npy") if key.is_image else ("numeric", "plain" if key.is_column else "npy")
        )
        dataset.stream(key.name, kind=kind, encoding=encoding, dtype=key.dtype, shape=key.shape)
    return splits, keys


# ---- what a step holds --------------------------------------------------------------------------


def _find_keys(splits: Sequence[_Split]) -> list[_Key]:
    """Returns the arrays of the first step that there is, by their headers."""
    problem: Exception | None = None
    for split in splits:
        for first, _ in split.spans[:16]:
            try:
                return list(_read_keys(os.path.join(split.root, split.name_of(max(first, 0)))))
            except (OSError, Error) as error:
                if isinstance(error, OSError) and is_shortage(error):
                    raise
                problem = problem or error
    if isinstance(problem, Error):
        raise problem
    raise FormatError(f"{splits[0].path}: no step of an episode can be read: {problem}")


def _read_keys(file: str) -> Iterator[_Key]:
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name, extension = os.path.splitext(member.filename)
                if extension != ".npy":
                    continue
                try:
                    with archive.open(member) as stream:
                        shape, _, dtype = read_npy_header(stream, f"{file}: {member.filename}")
                except UnsupportedError:  # records
                    continue
                if dtype.name in _DTYPES and len(shape) <= 7:
                    yield _Key(name, dtype.name, shape)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        pass_shortage(error)
        raise FormatError(f"{file}: {error}") from None


# ---- episodes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Episode:
    row: int
    first: int
    last: int
    annotation: Annotation | None = None
    problem: str = ""

    @property
    def num_steps(self) -> int:
        return self.last + 1 - self.first


def _overlaps(spans: Sequence[tuple[int, int]]) -> dict[int, str]:
    """Returns of rows whose steps an earlier row has, in the order of steps, what is wrong."""
    problems = {}
    end, owner = -1, -1
    for first, last, row in sorted((first, last, row) for row, (first, last) in enumerate(spans)):
        if 0 <= first <= end and first <= last:
            problems[row] = f"its steps {first} to {last} overlap with those of row {owner}"
        elif last >= first >= 0:
            end, owner = last, row
    return problems


def _runs_of_rows(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Returns ranges of rows that make a part."""
    begin, steps = 0, 0
    for row, (first, last) in enumerate(spans):
        steps += min(max(last + 1 - first, 1), _PART_STEPS)
        if steps >= _PART_STEPS or row + 1 == len(spans):
            yield begin, row + 1
            begin, steps = row + 1, 0


def _declare_part(
    dataset: Indexer,
    split: _Split,
    keys: Sequence[_Key],
    episodes: Sequence[_Episode],
    texts: _Texts | None,
) -> None:
    known: list[Any] = [keys, [(each.first, each.last, each.annotation) for each in episodes]]
    files = [split.name_of(step) for each in episodes for step in {each.first, each.last}]
    for file in [os.path.join(split.root, name) for name in files] + (
        [split.annotations_file] if texts and split.annotations_file else []
    ):
        try:
            info = os.stat(file)
            known.append((info.st_size, info.st_mtime_ns))
        except OSError:
            known.append(None)
    digest = hashlib.blake2b(repr(known).encode(), digest_size=8).digest()
    name = f"{split.folder or '.'}: rows {episodes[0].row} to {episodes[-1].row}"
    dataset.part(
        name,
        split=split.name,
        stamp=int.from_bytes(digest, "little", signed=True),
        read=partial(_read, split=split, keys=keys, episodes=episodes, texts=texts),
    )


def _read(
    part: Part,
    split: _Split,
    keys: Sequence[_Key],
    episodes: Sequence[_Episode],
    texts: _Texts | None,
) -> None:
    import numpy

    packing = part.packing(["zip"])
    if texts is not None:
        texts.declare(part, len(split.spans))
    bytes_done = 0
    for episode in episodes:
        try:
            steps = _read_steps(part, split, keys, episode, bytes_done)
        except Error as error:
            if not is_damage(error):
                raise
            what = "ep_start_end_ids" if episode.annotation is None else "annotation"
            part.skip(episode.row, f"{split.path}: {what}: row {episode.row}: {error}")
            continue
        bytes_done += int(steps.file_bytes.sum())
        blob = part.blobs(
            split.pattern, first=episode.first, count=episode.num_steps, sizes=steps.file_bytes
        )
        streams: dict[str, Any] = {
            key.name: Column(steps.values[key.name])
            if key.is_column
            else Pieces(
                offset=steps.located[key.name][0],
                bytes=steps.located[key.name][1],
                blob=blob + numpy.arange(episode.num_steps),
                packing=packing,
            )
            for key in keys
        }
        if texts is not None:
            streams[LANGUAGE] = Column(texts.numbers(episode.first, episode.last))
        told: dict[str, Any] = {"first_step": episode.first, "last_step": episode.last}
        if episode.annotation is not None:
            told["task"] = episode.annotation.task
        part.episodes(
            num_steps=[episode.num_steps],
            record=[episode.row],
            tasks=None if episode.annotation is None else [episode.annotation.text],
            metadata=[told],
            streams=streams,
        )


class _Steps:
    """What the archives of a run of steps hold, as the native reader fills it."""

    def __init__(self, split: _Split, keys: Sequence[_Key], first: int, count: int) -> None:
        import numpy

        self.values = {
            key.name: numpy.empty((count, *key.shape), key.dtype) for key in keys if key.is_column
        }
        self.located = {
            key.name: numpy.empty((2, count), numpy.int64) for key in keys if not key.is_column
        }
        self.file_bytes = numpy.empty(count, numpy.int64)
        _core.npz_read_steps(
            os.path.join(split.path, split.prefix),
            ".npz",
            split.digits,
            first,
            count,
            [
                (key.name, self.values[key.name], None, None)
                if key.is_column
                else (key.name, None, *self.located[key.name])
                for key in keys
            ],
            self.file_bytes,
        )


def _read_steps(
    part: Part, split: _Split, keys: Sequence[_Key], episode: _Episode, bytes_done: int
) -> Any:
    """Returns what all steps of an episode hold, read by several threads where they are many."""
    import numpy

    if episode.problem:
        raise FormatError(episode.problem)
    if not 0 <= episode.first <= episode.last:
        raise FormatError(f"found steps {episode.first} to {episode.last}, wanted the last behind")
    for step in (episode.first, episode.last):  # before memory is had for all between
        if not there.exists(os.path.join(split.root, split.name_of(step))):
            raise FormatError(f"{split.name_of(step)}: is not there")
    if episode.num_steps <= _SLICE_STEPS:
        return _Steps(split, keys, episode.first, episode.num_steps)
    begins = range(episode.first, episode.last + 1, _SLICE_STEPS)
    found: list[_Steps] = []
    threads = min(os.cpu_count() or 1, len(begins))
    with ThreadPoolExecutor(threads) as pool:
        slices = (
            pool.submit(_Steps, split, keys, begin, min(_SLICE_STEPS, episode.last + 1 - begin))
            for begin in begins
        )
        ahead = []
        try:
            for future in slices:  # no more of them wait than there are threads
                ahead.append(future)
                if len(ahead) > threads:
                    found.append(ahead.pop(0).result())
                    bytes_done += int(found[-1].file_bytes.sum())
                    part.progress(bytes_done)
            found += [future.result() for future in ahead]
        finally:
            for future in ahead:
                future.cancel()
    joined = found[0]
    for name in joined.values:
        joined.values[name] = numpy.concatenate([each.values[name] for each in found])
    for name in joined.located:
        joined.located[name] = numpy.concatenate([each.located[name] for each in found], axis=1)
    joined.file_bytes = numpy.concatenate([each.file_bytes for each in found])
    return joined


# ---- instructions -------------------------------------------------------------------------------


class _Texts:
    """The instruction at each step of a split; where several speak of it, the one begun last."""

    def __init__(self, split: _Split) -> None:
        self._file = split.annotations_file or ""

    @cached_property
    def _annotations(self) -> list[Annotation] | Error:
        try:
            return sorted(read_annotations(self._file), key=lambda each: (each.first, -each.last))
        except Error as error:
            return error

    @cached_property
    def _firsts(self) -> Any:
        import numpy

        found = self._annotations
        firsts = [] if isinstance(found, Error) else [each.first for each in found]
        return numpy.array(firsts, numpy.int64)

    @cached_property
    def _texts(self) -> dict[str, int]:
        """Numbers of the distinct texts."""
        found = self._annotations
        texts = dict.fromkeys(each.text for each in (() if isinstance(found, Error) else found))
        return {text: number for number, text in enumerate(texts)}

    def declare(self, part: Part, record: int) -> None:
        """Tells the part of the texts; what is wrong with their file stands as record `record`."""
        found = self._annotations
        if isinstance(found, Error):
            part.skip(record, str(found))
        part.strings(list(self._texts))

    def numbers(self, first: int, last: int) -> Any:
        """Returns int32 [last + 1 - first] of the texts, -1 where there is none."""
        import numpy

        numbers = numpy.full(last + 1 - first, -1, numpy.int32)
        found = self._annotations
        if not isinstance(found, Error):
            for each in found[: int(numpy.searchsorted(self._firsts, last, side="right"))]:
                if each.last >= first:
                    begin = max(each.first - first, 0)
                    numbers[begin : each.last + 1 - first] = self._texts[each.text]
        return numbers
