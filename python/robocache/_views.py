"""Which episodes and steps a view has: drawn at random, divided, or without some steps."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from . import _arguments
from .errors import (
    ArgumentTypeError,
    FormatError,
    InvalidArgumentError,
    IoError,
    NotFoundError,
)

if TYPE_CHECKING:
    from .dataset import Dataset
    from .episode import Episode

Ranges = list[tuple[int, int]]

_MASK = 2**64 - 1


# ---- at random ----


def _mixed(value: int) -> int:
    """Returns 64 bits that depend on every one of value's."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31


def _order_of(seed: int, key: int | str) -> int:
    """Returns where something comes in the random order of a seed, whatever is beside it."""
    if isinstance(key, str):
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(digest, "little")
    return _mixed(_mixed(seed) ^ key)


def sample(dataset: Dataset, count: int, seed: int) -> list[int]:
    """Returns the positions of `count` episodes, drawn without replacement, in their order."""
    size = len(dataset)
    count = _arguments.integer("n", count, 0, size)
    seed = _arguments.integer("seed", seed, 0)
    ids = [dataset._selection.id(position) for position in range(size)]
    drawn = sorted(range(size), key=lambda position: (_order_of(seed, ids[position]), position))
    return sorted(drawn[:count])


def _checked_fractions(fractions: Any) -> list[float]:
    values = fractions.values() if isinstance(fractions, Mapping) else fractions
    wanted = "fractions of the episodes, or a dict of them"
    found = [
        _arguments.at_least_zero("fractions", each)
        for each in _arguments.items("fractions", values, wanted)
    ]
    if not found or not 0 < sum(found) <= 1 + 1e-9:
        raise InvalidArgumentError(
            f"fractions: found {found}, whose sum is {sum(found):g}; wanted more than 0 to 1"
        )
    return found


def _groups(dataset: Dataset, by: str) -> list[int | str]:
    """Returns for each episode what those that stay together have in common."""
    size = len(dataset)
    if by == "episode":
        return [dataset._selection.id(position) for position in range(size)]
    if by == "task":
        return [episode.task for episode in dataset]
    keys: list[int | str] = []
    for position in range(size):
        metadata = dataset._metadata_of(position)
        if by not in metadata:
            raise NotFoundError(
                f"by: found {by!r}, but the metadata of episode "
                f"{dataset._selection.id(position)} has {', '.join(metadata) or 'nothing'}; "
                "wanted one of these, 'episode' or 'task'"
            )
        keys.append(json.dumps(metadata[by], sort_keys=True))
    return keys


def split_random(dataset: Dataset, fractions: Any, seed: int, by: str) -> list[list[int]]:
    """Returns the positions of the episodes of each fraction, in their order."""
    shares = _checked_fractions(fractions)
    seed = _arguments.integer("seed", seed, 0)
    members: dict[int | str, list[int]] = {}
    for position, key in enumerate(_groups(dataset, _arguments.string("by", by))):
        members.setdefault(key, []).append(position)
    parts: list[list[int]] = [[] for _ in shares]
    ends = [sum(shares[: i + 1]) for i in range(len(shares))]
    if ends[-1] > 1 - 1e-9:
        ends[-1] = 2.0
    done = 0
    for key in sorted(members, key=lambda key: (_order_of(seed, key), str(key))):
        middle = (done + len(members[key]) / 2) / len(dataset)
        done += len(members[key])
        part = next((i for i, end in enumerate(ends) if middle < end), None)
        if part is not None:
            parts[part] += members[key]
    return [sorted(part) for part in parts]


# ---- steps ----


def _ranges_of_mask(mask: Any, episode: Episode) -> Ranges:
    import numpy

    kept = numpy.asarray(mask)
    if (kept.dtype != bool and kept.size) or kept.shape != (episode.num_steps,):
        raise InvalidArgumentError(
            f"steps: episode {episode.id}: found {kept.dtype} {list(kept.shape)}, wanted bool "
            f"[{episode.num_steps}], whether to keep each step"
        )
    framed = numpy.concatenate(([0], kept.astype("i1"), [0]))
    edges = numpy.flatnonzero(numpy.diff(framed))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _by_function(
    dataset: Dataset, keep: Callable[[Episode], Any], num_threads: int
) -> list[Ranges]:
    def look_at(position: int) -> Ranges:
        episode = dataset.episodes[position]
        return _ranges_of_mask(keep(episode), episode)

    threads = num_threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(look_at, range(len(dataset)), chunksize=1))


def _merged(found: Any, what: str) -> Ranges:
    """Returns ranges in order, those that touch or overlap as one."""
    ranges: Ranges = []
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        raise ArgumentTypeError(f"{what}: found {found!r}, wanted (first, end) pairs")
    pairs = []
    for each in found:
        if not isinstance(each, Sequence) or len(each) != 2:
            raise InvalidArgumentError(f"{what}: found {each!r}, wanted a pair (first, end)")
        first, end = (_arguments.integer(what, bound, 0) for bound in each)
        if end < first:
            raise InvalidArgumentError(f"{what}: found {each!r}, which ends before it begins")
        pairs.append((first, end))
    for first, end in sorted(pairs):
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], end))
        elif end > first:
            ranges.append((first, end))
    return ranges


def _droid_key(metadata: Mapping[str, Any]) -> str | None:
    """Returns how DROID's lists of ranges name an episode."""
    folder, file = metadata.get("recording_folderpath"), metadata.get("file_path")
    return f"{folder}--{file}" if isinstance(folder, str) and isinstance(file, str) else None


def _by_table(dataset: Dataset, table: Mapping[Any, Any]) -> list[Ranges]:
    ids = [dataset._selection.id(position) for position in range(len(dataset))]
    if all(not isinstance(key, str) or (key.isascii() and key.isdigit()) for key in table):
        named = {_arguments.integer("steps", int(key), 0): found for key, found in table.items()}
        whole = dataset._info["num_episodes"]
        for key in named:
            if key >= whole:
                raise NotFoundError(f"steps: no episode {key}, the dataset has {whole}")
        return [_merged(named.get(each, ()), f"steps of episode {each}") for each in ids]
    keys = [_droid_key(dataset._metadata_of(position)) for position in range(len(dataset))]
    if not any(key in table for key in keys):
        shown = next((key for key in keys if key is not None), None)
        raise NotFoundError(
            f"steps: ranges of {next(iter(table))!r} found, but no episode is of that name: wanted "
            f"ids, or '<recording_folderpath>--<file_path>' of their metadata, here {shown!r}"
        )
    return [
        _merged(table.get(key, ()), f"steps of {key!r}")  # None is in no table
        for key in keys
    ]


def _read_table(path: str) -> Mapping[Any, Any]:
    try:
        with open(path, "rb") as file:
            table = json.load(file)
    except OSError as error:
        raise IoError(f"steps: {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: found no JSON: {error}") from None
    if not isinstance(table, dict):
        raise FormatError(f"{path}: found {_arguments.found(table)}, wanted an object of ranges")
    return table


def kept_steps(dataset: Dataset, keep: Any, num_threads: int) -> tuple[bytes, bytes]:
    """Returns which steps stay, as the native selection takes them."""
    import numpy

    num_threads = _arguments.integer("num_threads", num_threads, 0, 1024)
    if isinstance(keep, (str, os.PathLike)):
        keep = _read_table(_arguments.path("steps", keep))
    if isinstance(keep, Mapping):
        ranges = _by_table(dataset, keep)
    elif callable(keep):
        ranges = _by_function(dataset, keep, num_threads)
    else:
        raise ArgumentTypeError(
            f"steps: found {_arguments.found(keep)}, wanted a function of an episode, a dict of "
            "ranges or the path of a JSON file of them"
        )
    counts = numpy.array([len(each) for each in ranges], numpy.int64)
    bounds = numpy.array([pair for each in ranges for pair in each], numpy.int64)
    return counts.tobytes(), bounds.tobytes()
