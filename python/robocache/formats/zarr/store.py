"""Where the keys of a Zarr store lie: files of a folder, or members of a zip archive."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import _core
from ...errors import FormatError, IoError, UnsupportedError
from .. import there

if TYPE_CHECKING:
    from ..part import Part

__all__ = ["Located", "Run", "Store", "open_store"]

Run = tuple[str, str, int]
"""Keys that differ in one number: what precedes it, what follows, and how many from 0 on."""

_MAX_JSON_BYTES = 1 << 24
_MAX_DEPTH = 16
METADATA = (".zarray", ".zgroup", "zarr.json")


class Located:
    """Files or members [n]: `sizes` is -1 where there is none.

    Attributes:
        blobs: numbers of blobs of the part.
        offsets: of the bytes in them.
        sizes: of the bytes there.
        headers: bytes of the header that an archive has before them; 0 in a folder.
        methods: how each is packed besides, as zip has it: 0 or 8.
    """

    def __init__(self, count: int) -> None:
        import numpy

        self.blobs = numpy.zeros(count, numpy.int64)
        self.offsets = numpy.zeros(count, numpy.int64)
        self.sizes = numpy.full(count, -1, numpy.int64)
        self.headers = numpy.zeros(count, numpy.int64)
        self.methods = numpy.zeros(count, numpy.int64)


class Store:
    """Keys and what lies at them; a folder or an archive."""

    path: str

    def what(self, key: str) -> str:
        """Returns what messages call a key."""
        raise NotImplementedError

    def read(self, key: str, max_bytes: int) -> bytes | None:
        """Returns what lies there, None where nothing does."""
        raise NotImplementedError

    def names(self, folder: str) -> list[str]:
        """Returns the names of what lies directly in a folder, sorted."""
        raise NotImplementedError

    def stamp(self, folder: str) -> object:
        """Returns what changes when chunks of an array are written, at little cost."""
        raise NotImplementedError

    def locate(self, part: Part, runs: Iterable[Run], count: int) -> Located:
        """Returns where `count` keys lie, those of the runs one behind the other."""
        raise NotImplementedError

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        """Returns a byte range of the blob that what is at a key lies in."""
        raise NotImplementedError

    def _read_file(self, path: str, key: str, offset: int, size: int) -> bytes:
        try:
            with open(path, "rb", opener=_open_regular) as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise _io_error(path, error) from error
        if len(data) != size:
            raise FormatError(
                f"{self.what(key)}: byte {offset}: found {len(data)} bytes, wanted {size}"
            )
        return data

    def json(self, key: str) -> Any:
        """Returns an object of JSON, None where nothing lies there."""
        data = self.read(key, _MAX_JSON_BYTES)
        if data is None:
            return None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            what = _core.describe_foreign(data, False)
            problem = f"found no JSON: {error}" if what is None else f"the file {what}"
            raise FormatError(f"{self.what(key)}: {problem}") from None
        if not isinstance(found, dict):
            raise FormatError(f"{self.what(key)}: found no object of JSON")
        return found

    def arrays(self, folder: str, depth: int = 0) -> Iterator[str]:
        """Yields the arrays below a group, by their keys, in the order of their names."""
        if depth > _MAX_DEPTH:
            raise FormatError(f"{self.what(folder)}: found groups nested {depth} deep")
        for name in self.names(folder):
            key = f"{folder}/{name}" if folder else name
            kind = self.kind(key)
            if kind == "array":
                yield key
            elif kind == "group":
                yield from self.arrays(key, depth + 1)

    def kind(self, key: str) -> str | None:
        """Returns "array", "group", or None for neither."""
        if self.read(f"{key}/.zarray".lstrip("/"), _MAX_JSON_BYTES) is not None:
            return "array"
        if self.read(f"{key}/.zgroup".lstrip("/"), _MAX_JSON_BYTES) is not None:
            return "group"
        found = self.json(f"{key}/zarr.json".lstrip("/"))
        if found is None:
            return None
        node = found.get("node_type")
        if node not in ("array", "group"):
            raise FormatError(
                f"{self.what(f'{key}/zarr.json')}: node_type: found {node!r:.40}, wanted 'array' "
                "or 'group'"
            )
        return str(node)


def open_store(path: str) -> Store:
    """Returns the store at a path; of an archive the folder in it that is the outermost group."""
    return _Archive(path) if there.is_file(path) else _Folder(path)


class _Folder(Store):
    def __init__(self, path: str) -> None:
        self.path = path

    def what(self, key: str) -> str:
        return os.path.join(self.path, key)

    def read(self, key: str, max_bytes: int) -> bytes | None:
        path = self.what(key)
        try:
            with open(path, "rb", opener=_open_regular) as file:
                data = file.read(max_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise _io_error(path, error) from error
        if len(data) > max_bytes:
            raise FormatError(f"{path}: found more than {max_bytes} bytes")
        return data

    def names(self, folder: str) -> list[str]:
        path = self.what(folder)
        try:
            with os.scandir(path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except OSError as error:
            raise _io_error(path, error) from error

    def stamp(self, folder: str) -> object:
        stamps = []
        for name in ("", ".zarray", "zarr.json", "c"):
            try:
                info = os.stat(os.path.join(self.path, folder, name))
            except OSError:
                continue
            stamps.append((name, info.st_mtime_ns, info.st_size if name else 0))
        return stamps

    def locate(self, part: Part, runs: Iterable[Run], count: int) -> Located:
        import numpy

        located = Located(count)
        at = 0
        for begin_key, end_key, numbers in runs:
            prefix, suffix = os.path.join(self.path, begin_key), end_key
            sizes = located.sizes[at : at + numbers]
            for number in range(numbers):
                try:
                    info = os.stat(f"{prefix}{number}{suffix}")
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    raise _io_error(f"{prefix}{number}{suffix}", error) from error
                if stat.S_ISREG(info.st_mode):
                    sizes[number] = info.st_size
            # Blobs are runs of files that are there: those that are not are no part of the data.
            there = numpy.concatenate([[False], sizes >= 0, [False]])
            begins, ends = numpy.flatnonzero(numpy.diff(there)).reshape(-1, 2).T.tolist() or (
                (),
                (),
            )
            for begin, end in zip(begins, ends, strict=True):
                first = part.blobs(
                    f"{_escaped(begin_key)}{{}}{_escaped(end_key)}",
                    first=begin,
                    count=end - begin,
                    sizes=sizes[begin:end],
                )
                located.blobs[at + begin : at + end] = first + numpy.arange(end - begin)
            part.progress(0)
            at += numbers
        return located

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        return self._read_file(self.what(key), key, offset, size)


class _Member(NamedTuple):
    """What the directory of an archive says of a member."""

    header: int
    offset: int
    packed: int
    unpacked: int
    method: int


class _Archive(Store):
    def __init__(self, path: str) -> None:
        self.path = path
        self._metadata = self._members(METADATA)
        groups = [key for key in self._metadata if key.endswith((".zgroup", "zarr.json"))]
        root = min(groups, key=lambda key: (key.count("/"), key), default="")
        self._root = root.rpartition("/")[0]
        self._all: dict[str, _Member] | None = None

    def _members(self, suffixes: tuple[str, ...]) -> dict[str, _Member]:
        """Returns those whose names end so, the last of a name."""
        import numpy

        joined = "".join(f"{suffix}\0" for suffix in suffixes).encode()
        names, *numbers = _core.zip_members(self.path, joined)
        columns = [numpy.frombuffer(each, numpy.int64).tolist() for each in numbers]
        texts = names.decode("utf-8", "surrogateescape").split("\0")[:-1]
        return dict(zip(texts, map(_Member, *columns), strict=True))

    def _find(self, key: str) -> _Member | None:
        name = f"{self._root}/{key}" if self._root else key
        members = self._metadata if key.endswith(METADATA) else self.members
        return members.get(name)

    @property
    def members(self) -> dict[str, _Member]:
        """All of them; read when chunks are wanted."""
        if self._all is None:
            self._all = self._members(())
        return self._all

    def what(self, key: str) -> str:
        return (
            f"{self.path}: member '{self._root}/{key}'"
            if self._root
            else (f"{self.path}: member '{key}'")
        )

    def read(self, key: str, max_bytes: int) -> bytes | None:
        found = self._find(key)
        if found is None:
            return None
        self._check_method(key, found.method)
        if found.packed > max_bytes or found.unpacked > max_bytes:
            raise FormatError(f"{self.what(key)}: found more than {max_bytes} bytes")
        data = self.read_range(key, found.header, found.offset - found.header + found.packed)
        try:
            return _core.unpack([("zip", 0, 0)], data, found.unpacked)
        except FormatError as error:
            raise FormatError(f"{self.what(key)}: {error}") from None

    def _check_method(self, key: str, method: int) -> None:
        if method not in (0, 8):
            raise UnsupportedError(
                f"{self.what(key)}: is packed by zip's method {method}; stored and "
                "deflated are read"
            )

    def names(self, folder: str) -> list[str]:
        prefix = "/".join(name for name in (self._root, folder) if name)
        prefix = f"{prefix}/" if prefix else ""
        below = (key[len(prefix) :] for key in self._metadata if key.startswith(prefix))
        return sorted({name.partition("/")[0] for name in below if "/" in name})

    def stamp(self, folder: str) -> object:
        return None  # the archive is the part's own file

    def locate(self, part: Part, runs: Iterable[Run], count: int) -> Located:
        located = Located(count)
        at = 0
        for begin_key, suffix, numbers in runs:
            prefix = f"{self._root}/{begin_key}" if self._root else begin_key
            for number in range(numbers):
                found = self.members.get(f"{prefix}{number}{suffix}")
                if found is not None:
                    self._check_method(f"{prefix}{number}{suffix}", found.method)
                    located.offsets[at + number] = found.offset
                    located.sizes[at + number] = found.packed
                    located.headers[at + number] = found.offset - found.header
                    located.methods[at + number] = found.method
            part.progress(0)
            at += numbers
        return located

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        return self._read_file(self.path, key, offset, size)


def _open_regular(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe, and nothing that is none of data."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(path)
    return descriptor


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _io_error(path: str, error: OSError) -> IoError:
    told = IoError(f"{path}: {error.strerror or error}")
    told.errno = error.errno
    return told
