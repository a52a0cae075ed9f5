"""HDF5 files as the process that reads them has them open: objects, links, attributes and text."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

__all__ = [
    "UNREADABLE",
    "DamageError",
    "Dataset",
    "File",
    "attributes",
    "check_own",
    "names_of",
    "path_of",
    "plain",
    "series_of",
    "texts_of",
    "to_bytes",
    "why",
]

MOST_NAMES = 1_000_000  # of one group
MOST_TEXT = 64 << 20  # bytes of one dataset
ATTRIBUTE_BYTES = 1 << 20

_SERIES = re.compile(r"(.*?)(\d+)$")


class DamageError(Exception):
    """What is wrong with an object of a file; names it."""


UNREADABLE = (DamageError, OSError, ValueError, RuntimeError, KeyError, TypeError, OverflowError)
"""What h5py raises of damaged files."""


def plain(value: Any) -> Any:
    """Returns what JSON can hold of a value; numbers that are not finite become None."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.bytes_):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray) and value.size <= 4096 and value.dtype.names is None:
        return [plain(item) for item in value] if value.ndim else plain(value[()])
    if isinstance(value, h5py.Empty):
        return None
    return f"({type(value).__name__})"


def attributes(identifier: Any) -> dict[str, Any]:
    """Returns the attributes of a group or dataset; of those that cannot be read, why."""
    is_dataset = isinstance(identifier, h5py.h5d.DatasetID)
    values = (h5py.Dataset if is_dataset else h5py.Group)(identifier).attrs
    found: dict[str, Any] = {}
    for index in range(h5py.h5a.get_num_attrs(identifier)):
        name = f"attribute {index}"
        try:
            attribute = h5py.h5a.open(identifier, index=index)
            name = attribute.name.decode("utf-8", "replace")
            bytes_ = attribute.get_storage_size()
            if bytes_ > ATTRIBUTE_BYTES:
                found[name] = f"({bytes_} bytes)"
            else:
                found[name] = plain(values[attribute.name])
        except UNREADABLE as error:
            found[name] = f"(cannot be read: {why(error)})"
    return found


def names_of(group: Any) -> list[bytes]:
    """Returns the names in a group; raises DamageError where they are too many."""
    count = group.get_num_objs()
    if count > MOST_NAMES:
        raise DamageError(f"group {path_of(group)!r}: found {count} names, wanted {MOST_NAMES}")
    return list(group)


def path_of(identifier: Any) -> str:
    """Returns what messages call an object."""
    name = h5py.h5i.get_name(identifier)
    return "?" if name is None else name.decode("utf-8", "replace")


class Dataset:
    """A dataset that is open, and what is asked of it more than once, which libhdf5 is slow to say.

    Attributes:
        id: h5py's.
        shape: None where there is nothing in it (a null dataspace).
        plist: how it was created.
    """

    def __init__(self, identifier: Any) -> None:
        self.id = identifier
        self.shape: tuple[int, ...] | None = identifier.shape
        self.plist = identifier.get_create_plist()

    @functools.cached_property
    def dtype(self) -> Any:
        """Of its elements, as NumPy has it."""
        return self.id.dtype

    @property
    def extents(self) -> tuple[int, ...]:
        """Its shape, where it has one."""
        assert self.shape is not None
        return self.shape

    @property
    def path(self) -> str:
        """What messages call it."""
        return path_of(self.id)

    @property
    def values(self) -> Any:
        """What is indexed to read it."""
        return h5py.Dataset(self.id)


@functools.cache
def _access() -> Any:
    """Returns how files are opened: without a lock, and closed with all that is open in them.

    h5py.File, which makes it anew for each file and asks much else, takes twice as long.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    slots, lines, _, preemption = access.get_cache()
    access.set_cache(slots, lines, 1 << 22, preemption)
    access.set_file_locking(False, ignore_when_disabled=False)
    return access


class File:
    """An open file, and where its objects may lie: in files below `root`."""

    def __init__(self, path: str, root: str) -> None:
        self.path = path
        self.bytes = {"": os.path.getsize(path)}
        self._root = root
        name, flags = os.fsencode(path), h5py.h5f.ACC_RDONLY
        try:
            self.id = h5py.h5f.open(name, flags, _access())
        except OSError as error:
            if "already open for" not in str(error):
                raise
            try:  # by a writer that lets others read meanwhile
                self.id = h5py.h5f.open(name, flags | h5py.h5f.ACC_SWMR_READ, _access())
            except OSError:
                raise DamageError(
                    f"{error}: a program is writing to it, or ended without closing it; "
                    f"h5clear -s {os.path.basename(path)} says that it is whole"
                ) from None

    def close(self) -> None:
        """Closes the file."""
        self.id.close()

    @functools.cached_property
    def root(self) -> str:
        """The folder below which everything has to lie."""
        return os.path.realpath(self._root)

    @functools.cached_property
    def own(self) -> str:
        """The file itself, however links name it."""
        return os.path.realpath(self.path)

    def open(self, start: Any, name: bytes) -> Any:
        """Opens an object, or raises DamageError that says why not."""
        is_linked = self._check_links(start, name)
        try:
            found = h5py.h5o.open(start, name)
        except UNREADABLE as error:
            told = self._link(start, name) or why(error)
            raise DamageError(f"{_below(start, name)}: {told}") from None
        if is_linked:
            self.blob(found, _below(start, name))
        return found

    def _check_links(self, start: Any, name: bytes) -> bool:
        """Returns whether a link on the way may lead to another file; raises DamageError where it
        leads to what is no file below the root.
        """
        begin = b"/" if name.startswith(b"/") else b""
        parts = name.strip(b"/").split(b"/")
        is_linked = False
        for count in range(1, len(parts) + 1):
            path = begin + b"/".join(parts[:count])
            try:
                kind = start.links.get_info(path).type
                is_linked = is_linked or kind != h5py.h5l.TYPE_HARD
                if kind != h5py.h5l.TYPE_EXTERNAL:
                    continue
                target = os.fsdecode(start.links.get_val(path)[0])
            except UNREADABLE:
                return True  # opening tells why
            real = os.path.realpath(os.path.join(os.path.dirname(self.path), target))
            if os.path.exists(real):
                at = _below(start, name)
                if not os.path.isfile(real):
                    raise DamageError(f"{at}: links to {real!r}, which is no file")
                self.below(target, at)
        return is_linked

    def _link(self, start: Any, name: bytes) -> str | None:
        """Returns what a link that leads nowhere says."""
        try:
            kind = start.links.get_info(name).type
            if kind == h5py.h5l.TYPE_EXTERNAL:
                file, path = start.links.get_val(name)
                return f"links to {path.decode()!r} in {file.decode()!r}, which is not there"
            if kind == h5py.h5l.TYPE_SOFT:
                return f"links to {start.links.get_val(name).decode()!r}, which is not there"
        except UNREADABLE:
            pass
        return None

    def blob(self, found: Any, at: str) -> str:
        """Returns the file, relative to the root, that an object lies in; "" for this one."""
        name = os.fsdecode(h5py.h5f.get_name(found))
        if name == self.path:
            return ""
        return self.below(name, at)

    def below(self, name: str, at: str) -> str:
        """Returns a file relative to the root; raises DamageError where it does not lie there."""
        real = os.path.realpath(os.path.join(os.path.dirname(self.path), name))
        if real == self.own:
            return ""
        if not real.startswith(self.root.rstrip("/") + "/"):
            raise DamageError(f"{at}: lies in {real!r}, wanted a file below {self.root!r}")
        blob = os.path.relpath(real, self.root)
        if blob not in self.bytes:
            try:
                self.bytes[blob] = os.path.getsize(real)
            except OSError as error:
                raise DamageError(f"{at}: lies in {real!r}: {error.strerror}") from None
        return blob


def _below(start: Any, name: bytes) -> str:
    """Returns what messages call what has a name in a group."""
    shown = name.decode("utf-8", "replace")
    return shown if shown.startswith("/") else f"{path_of(start).rstrip('/')}/{shown}"


def why(error: BaseException) -> str:
    """Returns what an exception says, on one line."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return re.sub(r"\s+", " ", text)[:300]


def to_bytes(name: str) -> bytes:
    """Returns the name of a link as HDF5 has it."""
    return name.encode("utf-8", "surrogateescape")


def natural(name: str) -> tuple[Any, ...]:
    """Sorts names with numbers at their end by the numbers."""
    match = _SERIES.match(name)
    return (match[1], int(match[2]), name) if match else (name, -1, name)


def series_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the names that end in numbers by what stands before those, sorted by number."""
    found: dict[str, list[str]] = {}
    for name in names:
        match = _SERIES.match(name)
        if match:
            found.setdefault(match[1], []).append(name)
    return {prefix: sorted(each, key=natural) for prefix, each in found.items()}


def check_own(dataset: Dataset, path: str) -> None:
    """Raises DamageError where reading values would open other files."""
    plist = dataset.plist
    if plist.get_external_count() or plist.get_layout() == h5py.h5d.VIRTUAL:
        raise DamageError(f"{path}: its values lie in other files")


def texts_of(dataset: Dataset, path: str) -> list[str]:
    """Returns the strings of a dataset, one after the other."""
    check_own(dataset, path)
    if math.prod(dataset.extents) * max(dataset.dtype.itemsize, 8) > MOST_TEXT:
        raise DamageError(f"{path}: holds more than {MOST_TEXT} bytes of text")
    values = np.asarray(dataset.values[()]).reshape(-1)
    texts = [
        bytes(value).split(b"\0")[0].decode() if isinstance(value, bytes) else str(value)
        for value in values.tolist()
    ]
    if sum(map(len, texts)) > MOST_TEXT:
        raise DamageError(f"{path}: holds more than {MOST_TEXT} bytes of text")
    return texts
