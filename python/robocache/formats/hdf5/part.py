"""What one HDF5 file holds, told to its part."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import FormatError
from ..foreign import foreign
from ..sources import ArrayRows, Column, Pieces, Rows
from . import layouts
from .beside import Beside

if TYPE_CHECKING:
    from ..part import Part
    from .process import Reader

__all__ = ["PartIndex", "check_kind"]

_FILL_CHUNK_BYTES = 1 << 16
_TASKS = ("language_instruction", "instruction", "task_description", "language", "lang", "task")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # bytes that one has at least; else it is twice as large, and so on
_FILTERS = {
    1: "zlib",
    3: "fletcher32",
    307: "bz2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4_hdf5",
    32015: "zstd",
}


def _has_signature(path: str) -> bool:
    """Says whether a file is HDF5's behind a block of its user's, of whatever."""
    at = _USER_BLOCK
    with open(path, "rb") as file:
        while file.seek(at) == at and (found := file.read(len(_SIGNATURE))):
            if found == _SIGNATURE:
                return True
            at *= 2
    return False


def check_kind(path: str) -> None:
    """Raises FormatError where a file is something else altogether, and says what."""
    error = foreign(path, "an HDF5 file")
    if error is not None and not _has_signature(path):
        raise error


class PartIndex:
    """Tells a part what its file holds."""

    def __init__(self, part: Part, plan: layouts.Plan) -> None:
        self._part = part
        self._plan = plan
        self._path = os.path.join(part.folder, part.path)
        self._bytes = 0
        self._done = 0
        self._blobs = {"": 0}
        self._packings: dict[Any, int | None] = {}
        self._skipped = False
        self._texts: dict[str, int] = {}
        self._late: list[dict[str, Any]] = []  # episodes, until all texts are known
        self._notes: dict[str, list[str]] = {}  # names of the episodes of which something is said

    def read(self, reader: Reader) -> None:
        """Adds all episodes of the file."""
        check_kind(self._path)
        plan = self._plan
        self._bytes = os.path.getsize(self._path)
        request = {
            "do": "scan",
            "file": self._path,
            "root": self._part.folder,
            "base": plan.base,
            "series": plan.series,
            "steps": plan.steps,
            "leaves": [_request(leaf) for leaf in plan.leaves],
            "others": plan.others,
        }
        head: dict[str, Any] | None = None
        number = 0
        for message, arrays in reader.ask(request, lambda: self._part.progress(self._done)):
            if "end" in message:
                if "why" in message:
                    raise FormatError(f"{self._path}: {message['why']}")
            elif head is None:
                head = message
                self._begin(head)
            else:
                self._add(number, message, arrays)
                number += 1
                self._done = self._bytes * number // max(len(head["names"]), 1)
                self._part.progress(self._done)
        self._finish()

    def _begin(self, head: Mapping[str, Any]) -> None:
        """Takes what the file says of all its episodes."""
        root = {**head.get("root", {}), **head["attributes"]}
        self._beside = Beside(self._path)
        self._shared = {key: layouts.parsed(value) for key, value in root.items()}
        self._shared.update(self._beside.shared)
        rate = layouts.rate_of(root) or self._beside.rate_hz
        wanted = None if self._plan.has_declared_rate else self._plan.rate_hz
        if rate is not None and wanted is not None and rate != wanted:
            raise FormatError(
                f"{self._path}: found a control rate of {rate:g} Hz, the first file has {wanted:g}"
            )
        self._gaps = _gaps(head["names"], self._plan.series)
        self._masks: dict[str, list[str]] = {}
        if head["masks"] and not self._plan.has_masks:
            self._note("has masks, which are no splits: the first file has none")
        known = set(head["names"])
        for mask, names in head["masks"].items():
            absent = [name for name in names if name not in known]
            if absent:
                self._note(f"/mask/{mask} names absent episodes: {', '.join(absent[:8])}")
            for name in names:
                self._masks.setdefault(name, []).append(mask)
        self._steps = 0

    def _add(self, number: int, message: Mapping[str, Any], arrays: list[Any]) -> None:
        """Adds an episode, or tells why it cannot be."""
        name = message["episode"]
        if "why" in message:
            self._part.skip(number, f"{self._path}: {message['why']}")
            self._skipped = True
            return
        steps = message["steps"]
        if steps == 0:
            self._note("has no steps and is left out", name)
            return
        self._steps += steps
        said = message["attributes"].get("num_samples")
        if said is not None and said != steps:
            self._note(f"num_samples says {said}, there are {steps} steps", name)
        if message["extra"]:
            extra = ", ".join(message["extra"][:8])
            self._note(f"has what is no stream and is not read: {extra}", name)
        sources = {}
        for leaf, described in zip(self._plan.leaves, message["leaves"], strict=True):
            first, end = described["arrays"]
            sources[leaf.stream] = self._source(leaf, described, arrays[first:end], steps)
        metadata = {**self._shared, **message["small"], **message["attributes"]}
        if name:
            metadata["episode"] = layouts.shown(name)
            metadata.update(self._beside.episode(int(name[len(self._plan.series or "") :])))
        if name in self._masks:
            metadata["mask"] = sorted(self._masks[name])
        episode = {
            "num_steps": [steps],
            "streams": sources,
            "record": [number],
            "tasks": [self._task(message, metadata)],
            "metadata": [metadata],
        }
        self._late.append(episode)
        if not any(leaf.kind == "text" for leaf in self._plan.leaves) and len(self._late) > 1:
            self._part.episodes(**self._late.pop(0))

    def _note(self, text: str, episode: str | None = None) -> None:
        names = [] if episode is None else [layouts.shown(episode)]
        self._notes.setdefault(layouts.shown(text), []).extend(names)

    def _finish(self) -> None:
        total = self._shared.get("total")
        is_stale = isinstance(total, int) and total != self._steps and not self._skipped
        if self._plan.series is not None and is_stale:
            self._note(f"total says {total} steps, the episodes have {self._steps}")
        notes = [_about(note, names) for note, names in self._notes.items()]
        if notes:
            message = f"{self._path}: {'; '.join(notes)}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        for note in notes + self._gaps:
            self._part.note(note)
        if self._texts:
            self._part.strings(list(self._texts))
        for episode in self._late:
            self._part.episodes(**episode)

    def _task(self, message: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
        """Returns what the file says that the robot was told, in the places known for it."""
        declared = self._plan.task
        if declared is not None:
            value = metadata.get(declared, declared)
            return value if isinstance(value, str) else json.dumps(value)
        if self._beside.task is not None:
            return self._beside.task
        for each in (metadata, metadata.get("ep_meta"), metadata.get("problem_info")):
            table = layouts.parsed(each)
            if not isinstance(table, Mapping):
                continue
            for key, value in table.items():
                if key.rpartition("/")[2] in _TASKS and isinstance(value, str) and value:
                    return value
                if key == "language_instruction" and isinstance(value, list) and value:
                    return "".join(map(str, value))
        return None

    # ---- where samples lie --------------------------------------------------------------------

    def _source(
        self, leaf: layouts.Leaf, described: Mapping[str, Any], arrays: list[Any], steps: int
    ) -> Any:
        import numpy

        at = described["at"]
        if at == "values":
            return Column(arrays[0])
        if at == "texts":
            numbers = [
                self._texts.setdefault(text, len(self._texts)) for text in described["texts"]
            ]
            return Column(numpy.array(numbers, numpy.int32))
        if leaf.kind == "encoded":
            return self._images(described, arrays, steps)
        if at == "contiguous":
            stride = described.get("stride")
            return Rows([described["offset"]], blob=self._blob(described["blob"]), stride=stride)
        shape, dtype = described["shape"], numpy.dtype(described["dtype"])
        fill = numpy.frombuffer(bytes.fromhex(described["fill"]), dtype)[0]
        if at == "nowhere":
            row = max(dtype.itemsize * int(numpy.prod(shape[1:], dtype=numpy.int64)), 1)
            rows = min(max(_FILL_CHUNK_BYTES // row, 1), max(shape[0], 1))
            count = -(-shape[0] // rows)
            chunk = [rows, *(max(extent, 1) for extent in shape[1:])]
            nothing = numpy.zeros(count, numpy.int64)
            array = self._part.array(
                shape=shape, dtype=dtype, chunks=chunk, offsets=nothing, sizes=nothing, fill=fill
            )
        else:
            array = self._part.array(
                shape=shape,
                dtype=dtype,
                chunks=described["chunk"],
                offsets=arrays[0],
                sizes=arrays[1],
                skipped=arrays[2] if len(arrays) > 2 else None,
                packing=self._packing(described["filters"], dtype.itemsize, 0),
                fill=fill,
                blob=self._blob(described["blob"]),
            )
        return ArrayRows(array, first=[0])

    def _images(self, described: Mapping[str, Any], arrays: list[Any], steps: int) -> Any:
        """Returns pieces of rows that hold an image each."""
        import numpy

        row = numpy.arange(steps)
        width, lengths = described["width"], arrays[-1][:steps]
        if described["at"] == "nowhere":
            return Pieces(offset=0, bytes=numpy.zeros(steps, numpy.int64))
        blob = self._blob(described["blob"])
        if described["at"] == "contiguous":
            return Pieces(offset=described["offset"] + row * width, bytes=lengths, blob=blob)
        offsets, sizes = arrays[0], arrays[1]
        skipped = arrays[2] if len(arrays) > 3 else numpy.zeros(len(offsets), numpy.int64)
        rows = described["chunk"][0]
        chunk, at = row // rows, row % rows * width
        lengths = numpy.where(sizes[chunk] > 0, lengths, 0)
        if not described["filters"]:
            return Pieces(offset=offsets[chunk] + at, bytes=lengths, blob=blob)
        blocks = numpy.full(len(offsets), -1, numpy.int64)
        for mask in sorted(set(skipped.tolist())):
            chosen = (skipped == mask) & (sizes > 0)
            blocks[chosen] = self._part.block(
                offset=offsets[chosen],
                bytes=sizes[chosen],
                unpacked_bytes=rows * width,
                blob=blob,
                packing=self._packing(described["filters"], 1, mask),
            )
        return Pieces(offset=at, bytes=lengths, block=blocks[chunk])

    def _blob(self, path: str) -> int:
        """Returns the number of the file that a dataset lies in."""
        if path not in self._blobs:
            size = os.path.getsize(os.path.join(self._part.folder, path))
            name = path.replace("{", "{{").replace("}", "}}")
            self._blobs[path] = self._part.blobs(name, sizes=[size])
        return self._blobs[path]

    def _packing(self, filters: Iterable[Any], item: int, mask: int) -> int | None:
        """Returns the number of the packing of filters, those in the mask left out."""
        key = json.dumps([filters, item, mask])
        if key not in self._packings:
            steps = [
                _step(code, values, item)
                for bit, (code, values) in enumerate(filters)
                if not mask >> bit & 1
            ]
            self._packings[key] = self._part.packing(steps) if steps else None
        return self._packings[key]


def _gaps(names: list[str], series: str | None) -> list[str]:
    """Returns what to say of numbers that are not there."""
    numbers = [int(name[len(series) :]) for name in names] if series is not None else [0]
    if len(numbers) == numbers[-1] - numbers[0] + 1:
        return []
    numbered = f"{numbers[0]} to {numbers[-1]}, with gaps"
    return [f"{len(numbers)} episodes are numbered {numbered}; metadata has the name of each"]


def _about(note: str, episodes: list[str]) -> str:
    if len(episodes) > 2:
        return f"{episodes[0]} and {len(episodes) - 1} others: {note}"
    return f"{' and '.join(episodes)}: {note}" if episodes else note


def _request(leaf: layouts.Leaf) -> dict[str, Any]:
    """Returns what the reading process is told of a stream."""
    return {
        "path": leaf.path,
        "kind": leaf.kind,
        "dtype": leaf.dtype,
        "shape": list(leaf.shape),
        "field": leaf.field,
        "lengths": leaf.lengths,
    }


def _step(code: int, values: list[int], item: int) -> tuple[Any, ...]:
    """Returns the step of a packing that a filter is."""
    if code == 2:
        return "shuffle", values[0] if values else item
    if code == 32008:  # version, version, bytes of an element, elements of a block, compression
        element = values[2] if len(values) > 2 else item
        compression = values[4] if len(values) > 4 else 0
        names = {0: "bitshuffle", 2: "bitshuffle_lz4", 3: "bitshuffle_zstd"}
        if compression not in names:
            raise FormatError(f"filter bitshuffle: compression {compression} is not known")
        block = values[3] if len(values) > 3 and compression == 0 else 0
        return (names[compression], element, block) if block else (names[compression], element)
    return (_FILTERS[code],)
