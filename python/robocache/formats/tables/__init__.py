"""Arrays and tables that a mapping declares: `.npy`, `.npz`, raw numbers, CSV and pictures.

See docs/tables.md for the mapping, `robocache.toml`.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import re
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentTypeError, Error, FormatError, InvalidArgumentError
from .. import there
from ..damage import is_damage
from ..sources import Column, Pieces
from .files import Array, Wanted, find_array

if TYPE_CHECKING:
    from ..indexer import Indexer
    from ..mapping import Mapping
    from ..part import Part

__all__ = ["index"]

_UNITS_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_FILE_KEYS = ("path", "member", "column", "columns", "dtype", "shape", "offset", "single")
_MAX_METADATA_BYTES = 1 << 20


@dataclass(frozen=True)
class _Times:
    """Stamps of a stream: numbers in a file, or a rate."""

    name: str  # of the stream that they are
    wanted: Wanted | None
    unit: str
    offset_ns: int
    rate_hz: float | None


@dataclass(frozen=True)
class _Stream:
    name: str
    wanted: Wanted
    kind: str | None
    pictures: str | None  # a pattern, "front/*.png"
    times: _Times | None
    unit: str
    scale: float
    value_offset: float


@dataclass(frozen=True)
class _Dataset:
    root: str
    streams: tuple[_Stream, ...]
    steps: str | None  # stream whose samples are the steps
    rate_hz: float | None
    task: str | None
    metadata: str | None

    @property
    def is_ragged(self) -> dict[str, bool]:
        """Whether each stream has a clock that is not that of the steps."""
        clock = next((each.times for each in self.streams if each.name == self.steps), None)
        return {
            each.name: each.times is not None and each.times is not clock for each in self.streams
        }


def index(path: str, dataset: Indexer) -> None:
    """Declares streams and a part an episode."""
    mapping = dataset.mapping
    if mapping is None:
        raise InvalidArgumentError(
            f"{path}: arrays and tables are read as a mapping says: wanted robocache.toml in the "
            "folder, or open(mapping=), see docs/tables.md"
        )
    if not there.is_folder(path):
        raise FormatError(f"{path}: found a file, wanted the folder that the mapping speaks of")
    declared = _read_mapping(path, mapping)
    dataset.control_rate_hz = declared.rate_hz
    folders = _find_folders(path, mapping)
    arrays = _find_arrays(declared, folders[0])
    stamps: dict[str, bool] = {}
    for stream in declared.streams:
        is_ragged = declared.is_ragged[stream.name]
        if stream.times is not None:
            stamps.setdefault(stream.times.name, is_ragged)
        _declare(dataset, stream, arrays[stream.name], is_ragged)
    for name, is_ragged in stamps.items():
        dataset.stream(name, dtype="int64", ragged=is_ragged, unit="ns")
    split = mapping.text("split", "train") or "train"
    for number, folder in enumerate(folders):
        dataset.part(
            folder or "/",
            split=split,
            stamp=_stamp(declared, folder),
            read=partial(_read, declared=declared, folder=folder, record=number, first=arrays),
        )


def _declare(dataset: Indexer, stream: _Stream, array: Array | None, is_ragged: bool) -> None:
    options: dict[str, Any] = {
        "times": None if stream.times is None else stream.times.name,
        "ragged": is_ragged,
        "unit": stream.unit,
        "scale": stream.scale,
        "offset": stream.value_offset,
    }
    if array is None:
        dataset.stream(stream.name, kind="image", **options)
        return
    kind = _kind(stream, array)
    dtype = array.dtype.newbyteorder("=").name
    is_swapped = array.is_in_place and array.dtype.str[0] == ">"
    encoding = "pixels" if kind == "image" else "swapped" if is_swapped else "plain"
    shape = array.shape
    if kind == "image":
        if is_swapped or len(shape) not in (2, 3) or not array.is_in_place:
            raise FormatError(f"{array.what}: found {array.dtype} {shape}, wanted pixels [H, W, C]")
        shape = (*shape, 1) if len(shape) == 2 else shape
    stored = None
    if kind == "numeric" and (stream.scale, stream.value_offset) != (1.0, 0.0):
        stored, dtype = dtype, dtype if dtype.startswith("float") else "float32"
    dataset.stream(
        stream.name,
        kind=kind,
        encoding=encoding,
        dtype=dtype,
        stored=stored,
        shape=shape,
        **options,
    )


def _kind(stream: _Stream, array: Array) -> str:
    looks_like_image = array.dtype.str == "|u1" and len(array.shape) == 3
    return stream.kind or (
        "image" if looks_like_image and array.shape[2] in (1, 3, 4) else "numeric"
    )


# ---- the mapping --------------------------------------------------------------------------------


def _read_mapping(path: str, mapping: Mapping) -> _Dataset:
    mapping.allow(
        ("format", "rate_hz", "episodes", "steps", "streams", "times", "task", "metadata", "split")
    )
    tables = mapping.tables("streams", "path")
    if not tables:
        raise InvalidArgumentError(f"{mapping.where}: streams: found none")
    shared = {
        name: _times(table, f"{name}_time_ns")
        for name, table in mapping.tables("times", "path").items()
    }
    streams: list[_Stream] = []
    for name, table in tables.items():
        streams.append(_read_stream(name, table, shared, streams))
    steps = mapping.text("steps")
    if steps is not None and steps not in tables:
        raise InvalidArgumentError(
            f"{mapping.what('steps')}: found {steps!r}, wanted one of {', '.join(tables)}"
        )
    rate_hz = mapping.positive("rate_hz")
    if steps is None and rate_hz is None and all(each.times for each in streams):
        raise InvalidArgumentError(
            f"{mapping.where}: wanted steps, the stream whose samples are the steps, or rate_hz, "
            "where all streams have clocks of their own"
        )
    return _Dataset(
        path, tuple(streams), steps, rate_hz, mapping.text("task"), mapping.text("metadata")
    )


def _read_stream(
    name: str, table: Mapping, shared: dict[str, _Times], others: list[_Stream]
) -> _Stream:
    table.allow((*_FILE_KEYS, "kind", "times", "rate_hz", "unit", "scale", "value_offset"))
    wanted = _wanted(table)
    times = None
    given = table.table.get("times")
    if isinstance(given, str):
        if given not in shared:
            raise InvalidArgumentError(
                f"{table.what('times')}: found {given!r}, wanted one of the mapping's times: "
                f"{', '.join(shared)}"
            )
        times = shared[given]
    elif given is not None:
        times = _times(table.inner("times"), f"{name}_time_ns")
    elif "rate_hz" in table:
        times = _Times(f"{name}_time_ns", None, "ns", 0, table.positive("rate_hz"))
    if times is not None and times.wanted is not None:  # streams of one table have one clock
        same = (each.times for each in others if each.times is not None)
        times = next((each for each in same if replace(each, name=times.name) == times), times)
    return _Stream(
        name,
        wanted,
        table.choice("kind", ("image", "numeric")),
        wanted.path if "*" in wanted.path else None,
        times,
        table.text("unit", "") or "",
        table.number("scale", 1.0),
        table.number("value_offset", 0.0),
    )


def _times(table: Mapping, name: str) -> _Times:
    table.allow((*_FILE_KEYS, "unit", "offset_s"))
    unit = table.choice("unit", tuple(_UNITS_NS))
    if unit is None:
        raise InvalidArgumentError(f"{table.what('unit')}: is missing, wanted s, ms, us or ns")
    offset_ns = round(table.number("offset_s", 0.0) * 1e9)
    return _Times(name, _wanted(table), unit, offset_ns, None)


def _wanted(table: Mapping) -> Wanted:
    path = table.text("path")
    if not path or os.path.isabs(path) or ".." in path.split("/"):
        raise InvalidArgumentError(
            f"{table.what('path')}: found {path!r}, wanted a path below the episode's folder"
        )
    columns = table.table.get("columns")
    is_scalar = "column" in table
    if is_scalar:
        columns = [table.table["column"]]
    if columns is not None:
        is_list = isinstance(columns, (list, tuple)) and columns
        if not is_list or not all(type(column) in (str, int) for column in columns):
            raise ArgumentTypeError(
                f"{table.what('columns')}: found {columns!r:.80}, wanted a list of names or numbers"
            )
    shape = table.table.get("shape", [])
    is_shape = isinstance(shape, (list, tuple)) and len(shape) <= 7
    if not is_shape or not all(type(n) is int and 1 <= n < 2**31 for n in shape):
        raise InvalidArgumentError(f"{table.what('shape')}: found {shape!r:.80}, wanted extents")
    offset = table.table.get("offset", 0)
    if type(offset) is not int or not 0 <= offset < 2**62:
        raise InvalidArgumentError(f"{table.what('offset')}: found {offset!r}, wanted bytes")
    single = table.table.get("single", False)
    if not isinstance(single, bool):
        raise ArgumentTypeError(f"{table.what('single')}: found {single!r}, wanted true or false")
    return Wanted(
        path,
        table.text("member"),
        None if columns is None else tuple(columns),
        is_scalar,
        table.text("dtype"),
        tuple(shape),
        offset,
        single,
    )


def _find_folders(path: str, mapping: Mapping) -> list[str]:
    """Returns the episodes' folders, in the order of the numbers in their names."""
    pattern = mapping.text("episodes")
    if pattern is None:
        return [""]
    if os.path.isabs(pattern) or ".." in pattern.split("/"):
        raise InvalidArgumentError(f"{mapping.what('episodes')}: found {pattern!r}, wanted folders")
    found = glob.glob(pattern, root_dir=path)
    folders = [each.rstrip("/") for each in found if there.is_folder(os.path.join(path, each))]
    if not folders:
        raise FormatError(
            f"{os.path.join(path, pattern)}: found no folder that would be an episode"
        )
    return sorted(folders, key=_by_numbers)


def _by_numbers(name: str) -> list[Any]:
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


# ---- an episode ---------------------------------------------------------------------------------


def _find_arrays(declared: _Dataset, folder: str) -> dict[str, Array | None]:
    return {
        each.name: None if each.pictures else find_array(declared.root, folder, each.wanted)
        for each in declared.streams
    }


def _find_pictures(declared: _Dataset, folder: str, stream: _Stream) -> list[str]:
    pattern = os.path.join(folder, stream.pictures or "")
    found = sorted(glob.glob(pattern, root_dir=declared.root), key=_by_numbers)
    if not found:
        raise FormatError(f"{os.path.join(declared.root, pattern)}: found no file")
    return found


def _stamp(declared: _Dataset, folder: str) -> int:
    """Returns what is another number when a file that an episode is made of changed."""
    paths = {each.wanted.path for each in declared.streams if not each.pictures}
    paths |= {os.path.dirname(each.pictures) for each in declared.streams if each.pictures}
    timed = [each.times.wanted for each in declared.streams if each.times]
    paths |= {wanted.path for wanted in timed if wanted}
    paths |= {declared.metadata} if declared.metadata else set()
    known = []
    for path in sorted(paths):
        try:
            info = os.stat(os.path.join(declared.root, folder, path))
        except OSError:
            known.append((path, 0, 0))
        else:
            known.append((path, info.st_size, info.st_mtime_ns))
    digest = hashlib.blake2b(repr(known).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _read(
    part: Part, declared: _Dataset, folder: str, record: int, first: dict[str, Array | None]
) -> None:
    try:
        _add_episode(part, declared, folder, record, first)
    except Error as error:
        if not is_damage(error):
            raise
        part.skip(record, str(error))


def _add_episode(
    part: Part, declared: _Dataset, folder: str, record: int, first: dict[str, Array | None]
) -> None:
    import numpy

    arrays = _find_arrays(declared, folder)
    streams: dict[str, Any] = {}
    counts: dict[str, int] = {}
    stamps: dict[str, Any] = {}
    for stream in declared.streams:
        array = arrays[stream.name]
        if array is None:
            streams[stream.name], counts[stream.name] = _pictures(part, declared, folder, stream)
        else:
            model = first[stream.name]
            if model is not None and (array.dtype, array.shape) != (model.dtype, model.shape):
                raise FormatError(
                    f"{array.what}: found {array.dtype} {array.shape}, wanted {model.dtype} "
                    f"{model.shape} as in the first episode"
                )
            streams[stream.name], counts[stream.name] = array.source(part), array.count
        if stream.times is not None and stream.times.name not in stamps:
            stamps[stream.times.name] = _read_times(declared, folder, stream, counts[stream.name])
    for stream in declared.streams:
        if stream.times is not None and counts[stream.name] != len(stamps[stream.times.name]):
            raise FormatError(
                f"{os.path.join(declared.root, folder, stream.wanted.path)}: stream "
                f"{stream.name!r}: found {counts[stream.name]} samples, wanted "
                f"{len(stamps[stream.times.name])}, as it has stamps"
            )
    num_steps = _count_steps(declared, folder, counts, stamps)
    for name, values in stamps.items():
        streams[name] = Column(values, count=[len(values)])
    part.episodes(
        num_steps=numpy.array([num_steps]),
        record=[record],
        tasks=None if declared.task is None else [declared.task],
        metadata=[_read_metadata(declared, folder)],
        streams=streams,
    )


def _count_steps(
    declared: _Dataset, folder: str, counts: dict[str, int], stamps: dict[str, Any]
) -> int:
    where = os.path.join(declared.root, folder)
    ragged = declared.is_ragged
    of_steps = {name: count for name, count in counts.items() if not ragged[name]}
    if len(set(of_steps.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in of_steps.items())
        raise FormatError(f"{where}: found {told} samples, wanted as many of each, one a step")
    if of_steps:
        num_steps = next(iter(of_steps.values()))
    else:
        spans = [(times[0], times[-1]) for times in stamps.values() if len(times)]
        first = min((begin for begin, _ in spans), default=0)
        last = max((end for _, end in spans), default=-1)
        num_steps = math.floor((int(last) - int(first)) * (declared.rate_hz or 0.0) / 1e9) + 1
    if num_steps < 1:
        raise FormatError(f"{where}: found no step")
    return num_steps


def _pictures(part: Part, declared: _Dataset, folder: str, stream: _Stream) -> tuple[Pieces, int]:
    """Returns files that are a picture each; blobs are runs of numbers where names have them."""
    import numpy

    names = _find_pictures(declared, folder, stream)
    sizes = numpy.array([os.path.getsize(os.path.join(declared.root, name)) for name in names])
    blobs = numpy.empty(len(names), numpy.int64)
    begin = 0
    while begin < len(names):
        pattern, number = _numbered(names[begin])
        end = begin + 1
        while (
            end < len(names)
            and number >= 0
            and _numbered(names[end])
            == (
                pattern,
                number + end - begin,
            )
        ):
            end += 1
        if number < 0:
            blobs[begin] = part.blobs(_escaped(names[begin]), sizes=sizes[begin:end])
        else:
            first = part.blobs(pattern, first=number, count=end - begin, sizes=sizes[begin:end])
            blobs[begin:end] = first + numpy.arange(end - begin)
        begin = end
    return Pieces(offset=0, bytes=sizes, blob=blobs, count=[len(names)]), len(names)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _numbered(name: str) -> tuple[str, int]:
    """Returns a pattern of the name as Part.blobs() takes it, and its last number, or -1."""
    folder, base = os.path.split(name)
    matches = list(re.finditer(r"[0-9]{1,18}", base))
    if not matches:
        return name, -1
    begin, end = matches[-1].span()
    digits = base[begin:end]
    is_padded = len(digits) > 1 and digits[0] == "0"
    number = f"{{:0{len(digits)}}}" if is_padded else "{}"
    before = os.path.join(folder, base[:begin])
    return f"{_escaped(before)}{number}{_escaped(base[end:])}", int(digits)


def _read_times(declared: _Dataset, folder: str, stream: _Stream, count: int) -> Any:
    """Returns stamps in nanoseconds, int64."""
    import numpy

    times = stream.times
    assert times is not None
    if times.wanted is None:
        periods = numpy.arange(count) / float(times.rate_hz or 1.0)
        return _nanoseconds(periods, "s")
    array = find_array(declared.root, folder, times.wanted)
    values = array.values()
    if values.ndim != 1:
        raise FormatError(f"{array.what}: times: found {values.shape}, wanted [samples]")
    if values.dtype.kind == "f" and not numpy.isfinite(values).all():
        at = int(numpy.flatnonzero(~numpy.isfinite(values))[0])
        raise FormatError(f"{array.what}: times: found {values[at]} at sample {at}")
    if (
        values.dtype.itemsize < 8
        and values.dtype.kind == "f"
        and abs(values).max(initial=0) > 2**16
    ):
        warnings.warn(
            f"{array.what}: times: {values.dtype} holds {float(values[0])} {times.unit} in steps "
            f"of {float(numpy.spacing(values[0])):g}",
            RuntimeWarning,
            stacklevel=2,
        )
    limit = 2**62 / _UNITS_NS[times.unit]
    if len(values) and max(abs(float(values.min())), abs(float(values.max()))) > limit:
        raise FormatError(f"{array.what}: times: found more than {limit:g} {times.unit}")
    stamps = _nanoseconds(values, times.unit) + times.offset_ns
    back = numpy.flatnonzero(numpy.diff(stamps) < 0)
    if len(back):
        at = int(back[0]) + 1
        raise FormatError(
            f"{array.what}: times: found {values[at]} at sample {at} behind {values[at - 1]}, "
            "wanted none that goes back"
        )
    return stamps


def _nanoseconds(values: Any, unit: str) -> Any:
    """Returns int64; floats are rounded once, whole units and their fractions apart."""
    import numpy

    scale = _UNITS_NS[unit]
    if values.dtype.kind in "iub":
        return values.astype(numpy.int64) * scale
    wide = values.astype(numpy.float64)
    whole = numpy.floor(wide)
    return whole.astype(numpy.int64) * scale + numpy.rint((wide - whole) * scale).astype(
        numpy.int64
    )


def _read_metadata(declared: _Dataset, folder: str) -> dict[str, Any]:
    told: dict[str, Any] = {"folder": folder} if folder else {}
    if declared.metadata is None:
        return told
    path = os.path.join(declared.root, folder, declared.metadata)
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_METADATA_BYTES + 1)
        found = (
            json.loads(data, parse_constant=lambda _: None)
            if len(data) <= _MAX_METADATA_BYTES
            else None
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path}: found no object of JSON of at most {_MAX_METADATA_BYTES} bytes")
    return {**found, **told}
