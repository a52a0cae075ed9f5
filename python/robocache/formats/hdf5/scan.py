"""Where the samples of every episode of an HDF5 file lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from .file import (
    UNREADABLE,
    DamageError,
    Dataset,
    File,
    attributes,
    check_own,
    names_of,
    path_of,
    plain,
    series_of,
    texts_of,
    to_bytes,
    why,
)
from .storage import NotInPlaceError, lies
from .survey import MOST_DEPTH, type_of

__all__ = ["Scan"]

MOST_VALUES = 64 << 20  # bytes of one dataset that become a column
SAMPLE_BYTES = 4096  # of a column
SMALL_FILE = 64 << 20  # all of whose numbers may become columns
SMALL_ITEMS = 256  # of a dataset that becomes metadata


def values_of(dataset: Dataset, path: str, rows: int, field: str | None) -> Any:
    """Returns the first rows of a dataset, or of one of its fields, in this machine's order."""
    check_own(dataset, path)
    whole = dataset.values
    selected = whole.fields(field)[:rows] if field is not None else whole[:rows]
    array = np.asarray(selected)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


class Scan:
    """Goes through the episodes of a file.

    Args:
        file: that is open.
        request: what :mod:`.part` asks for: the group that the episodes lie in ("base"), what
            their names begin with ("series", null: the group is the episode), the dataset that has
            a row a step ("steps"), streams ("leaves") and what else is known ("others").
    """

    def __init__(self, file: File, request: Mapping[str, Any]) -> None:
        self.file = file
        self.base: str = request["base"]
        self.series: str | None = request["series"]
        self.leaves: list[dict[str, Any]] = request["leaves"]
        self.steps: str = request["steps"]
        self.columns: bool | None = True if file.bytes[""] <= SMALL_FILE else None
        self.known = {leaf["path"] for leaf in self.leaves} | set(request["others"])

    def messages(self) -> Iterator[tuple[dict[str, Any], list[Any]]]:
        """Yields what is said of all episodes, then each of them, with its arrays."""
        group = (
            self.file.open(self.file.id, to_bytes(self.base)) if self.base != "/" else self.file.id
        )
        if self.base == "/":
            group = h5py.h5g.open(self.file.id, b"/")
        if not isinstance(group, h5py.h5g.GroupID):
            raise DamageError(f"{self.base}: is no group")
        names = [""]
        if self.series is not None:
            texts = [each.decode("utf-8", "surrogateescape") for each in names_of(group)]
            names = series_of(texts).get(self.series, [])
            if not names:
                raise DamageError(f"{self.base}: has no group {self.series}N, N a number")
        head = {"attributes": attributes(group), "masks": self.masks(), "names": names}
        if self.base != "/":
            head["root"] = attributes(h5py.h5g.open(self.file.id, b"/"))
        yield head, []
        for name in names:
            try:
                message, arrays = self.episode(group, name, len(names))
            except UNREADABLE as error:
                message, arrays = {"episode": name, "why": why(error)}, []
            yield message, arrays

    def masks(self) -> dict[str, list[str]]:
        """Returns the names of the groups that each dataset in /mask lists."""
        found: dict[str, list[str]] = {}
        if self.series is None or not self.file.id.links.exists(b"mask"):
            return found
        group = self.file.open(self.file.id, b"mask")
        if isinstance(group, h5py.h5g.GroupID):
            for name in sorted(names_of(group)):
                path = "/mask/" + name.decode("utf-8", "replace")
                names = self.file.open(group, name)
                if isinstance(names, h5py.h5d.DatasetID) and names.shape is not None:
                    found[path[6:]] = texts_of(Dataset(names), path)
        return found

    def episode(self, base: Any, name: str, episodes: int) -> tuple[dict[str, Any], list[Any]]:
        """Returns where the samples of one episode lie, of so many of the file."""
        group = self.file.open(base, to_bytes(name)) if name else base
        if not isinstance(group, h5py.h5g.GroupID):
            raise DamageError(f"{path_of(group)}: is no group")
        message: dict[str, Any] = {"episode": name, "attributes": attributes(group) if name else {}}
        if message["attributes"].get("num_samples") == 0 and not names_of(group):
            return {**message, "steps": 0}, []
        datasets = {self.steps: self.dataset(group, self.steps)}
        steps = datasets[self.steps].extents[0]
        if steps == 0:
            return {**message, "steps": 0}, []
        for leaf in self.leaves:
            if leaf["path"] not in datasets:
                datasets[leaf["path"]] = self.dataset(group, leaf["path"])
        if self.columns is None:
            self.columns = self.is_worth_copying(datasets, episodes)
        message["steps"] = steps
        arrays: list[Any] = []
        described = []
        for leaf in self.leaves:
            each, more = self.leaf(leaf, datasets[leaf["path"]], steps)
            described.append({**each, "arrays": [len(arrays), len(arrays) + len(more)]})
            arrays += more
        message["leaves"] = described
        message["small"], message["extra"] = self.others(group)
        return message, arrays

    def dataset(self, group: Any, path: str) -> Dataset:
        """Opens a dataset that has rows."""
        found = self.file.open(group, to_bytes(path))
        dataset = Dataset(found) if isinstance(found, h5py.h5d.DatasetID) else None
        if dataset is None or dataset.shape is None:
            raise DamageError(f"{path_of(group)}/{path}: is no dataset with values")
        if not dataset.shape:
            raise DamageError(f"{dataset.path}: found one value, wanted rows")
        return dataset

    def is_worth_copying(self, datasets: Mapping[str, Dataset], episodes: int) -> bool:
        """Whether small numbers, as many as the first episode has, take a tenth of the file."""
        numbers = 0
        for leaf in self.leaves:
            rows, *sample = datasets[leaf["path"]].extents
            bytes_ = math.prod(sample) * datasets[leaf["path"]].dtype.itemsize
            if leaf["kind"] == "numeric" and bytes_ <= SAMPLE_BYTES:
                numbers += rows * bytes_
        return bool(numbers * episodes * 10 <= self.file.bytes[""])

    def leaf(
        self, leaf: Mapping[str, Any], dataset: Dataset, steps: int
    ) -> tuple[dict[str, Any], list[Any]]:
        """Returns where the samples of one stream lie in one episode."""
        path, shape = dataset.path, dataset.extents
        rows = shape[0]
        if rows not in (steps, steps + 1):
            wanted = f"{steps}, as {self.steps} has"
            raise DamageError(f"{path}: found {rows} rows, wanted {wanted}")
        dtype = dataset.dtype
        if leaf["kind"] == "text":
            return {"at": "texts", "texts": texts_of(dataset, path)[:steps]}, []
        if leaf["kind"] == "encoded":
            return self.encoded(leaf, dataset, path)
        field = leaf["field"]
        inner = dtype if field is None else self.field(dtype, field, path)
        found = (inner.base.str, [*shape[1:], *inner.shape])
        native = (np.dtype(leaf["dtype"]).newbyteorder("="), leaf["shape"])
        if (inner.base.newbyteorder("="), found[1]) != native:
            raise DamageError(
                f"{path}: found {inner.base.newbyteorder('=').name} {found[1]}, "
                f"wanted {native[0].name} {leaf['shape']}, as the first episode has"
            )
        sample_bytes = inner.itemsize * math.prod(shape[1:])
        is_small = leaf["kind"] == "numeric" and sample_bytes <= SAMPLE_BYTES
        is_small = is_small and sample_bytes * steps <= MOST_VALUES
        is_swapped = inner.base.str[0] != leaf["dtype"][0] and inner.base.itemsize > 1
        try:
            described, arrays = lies(self.file, dataset, path)
        except NotInPlaceError:
            if not is_small:
                raise
            return {"at": "values"}, [values_of(dataset, path, steps, field)]
        is_cut = field is not None and described["at"] != "contiguous"
        is_packed = self.columns and self.is_packed(dataset, described)
        if is_small and (is_swapped or is_cut or is_packed):
            return {"at": "values"}, [values_of(dataset, path, steps, field)]
        if is_swapped:
            raise DamageError(f"{path}: found byte order {inner.base.str}, wanted {leaf['dtype']}")
        if is_cut:
            raise DamageError(
                f"{path}: field {field!r}: lies in chunks, in samples too large to copy"
            )
        if field is not None:
            described["offset"] += dtype.fields[field][1]
            described["stride"] = dtype.itemsize
        return {**described, "shape": list(shape), "dtype": dtype.str}, arrays

    @staticmethod
    def field(dtype: Any, field: str, path: str) -> Any:
        """Returns the dtype of a field of a compound."""
        if dtype.names is None or field not in dtype.names:
            raise DamageError(f"{path}: has no field {field!r}")
        return dtype.fields[field][0]

    @staticmethod
    def is_packed(dataset: Dataset, described: Mapping[str, Any]) -> bool:
        """Whether rows would have to be unpacked, or gathered from several chunks."""
        if described["at"] != "chunks":
            return False
        is_cut = tuple(described["chunk"][1:]) != dataset.extents[1:]
        return is_cut or bool(described["filters"])

    def encoded(
        self, leaf: Mapping[str, Any], dataset: Dataset, path: str
    ) -> tuple[dict[str, Any], list[Any]]:
        """Returns where rows of bytes lie, each an image and zeros behind it."""
        dtype, shape = dataset.dtype, dataset.extents
        width = dtype.itemsize if len(shape) == 1 else shape[1]
        if dtype.itemsize * math.prod(shape[1:]) != width or width == 0:
            raise DamageError(f"{path}: found {dtype} {shape}, wanted rows of bytes")
        described, arrays = lies(self.file, dataset, path)
        if described["at"] == "chunks" and list(described["chunk"][1:]) != list(shape[1:]):
            raise DamageError(f"{path}: its rows are cut into chunks {described['chunk']}")
        lengths = self.lengths(leaf, dataset, path, width)
        return {**described, "width": width, "rows": shape[0]}, [*arrays, lengths]

    def lengths(self, leaf: Mapping[str, Any], dataset: Dataset, path: str, width: int) -> Any:
        """Returns the bytes of each row: the whole width, or what the dataset of lengths says where
        one of its rows, which have no names, fits this camera's images.
        """
        rows = dataset.extents[0]
        full = np.full(rows, width, np.int64)
        if leaf.get("lengths") is None:
            return full
        table = self.file.open(self.file.id, to_bytes(leaf["lengths"]))
        said = np.atleast_2d(Dataset(table).values[()])
        if said.ndim != 2 or said.shape[1] != rows or said.dtype.kind not in "iuf":
            return full
        looked_at = sorted({0, rows // 2, rows - 1})
        images = [bytes(dataset.values[row]) for row in looked_at]
        for candidate in said.astype(np.int64):
            if (
                (candidate > 0).all()
                and (candidate <= width).all()
                and all(
                    _ends(image.ljust(width, b"\0"), int(candidate[row]))
                    for row, image in zip(looked_at, images, strict=True)
                )
            ):
                return candidate
        return full

    def others(self, group: Any) -> tuple[dict[str, Any], list[str]]:
        """Returns small datasets that are no streams, and paths of all else."""
        small: dict[str, Any] = {}
        extra: list[str] = []
        self.look(group, "", small, extra, set())
        return small, extra

    def look(
        self, group: Any, prefix: str, small: dict[str, Any], extra: list[str], seen: set[Any]
    ) -> None:
        """Looks at what lies in a group, each group once."""
        info = h5py.h5o.get_info(group)
        if (info.fileno, info.addr) in seen or prefix.count("/") > MOST_DEPTH:
            return
        seen.add((info.fileno, info.addr))
        for name in names_of(group):
            path = prefix + name.decode("utf-8", "surrogateescape")
            if path in self.known:
                continue
            try:
                found = self.file.open(group, name)
                if isinstance(found, h5py.h5g.GroupID):
                    self.look(found, path + "/", small, extra, seen)
                elif not self.keep_small(found, path, small):
                    extra.append(path)
            except UNREADABLE:
                extra.append(path)

    @staticmethod
    def keep_small(found: Any, path: str, small: dict[str, Any]) -> bool:
        """Reads a dataset of few values, and returns whether it is one."""
        dataset = Dataset(found) if isinstance(found, h5py.h5d.DatasetID) else None
        if dataset is None or dataset.shape is None:
            return False
        kind = type_of(dataset.dtype).get("type")
        if math.prod(dataset.shape) > SMALL_ITEMS or kind not in ("text", "numeric"):
            return False
        if kind == "text":
            texts = texts_of(dataset, path)
            small[path] = texts[0] if dataset.shape == () else texts
        else:
            check_own(dataset, path)
            small[path] = plain(dataset.values[()])
        return True


def _ends(image: bytes, length: int) -> bool:
    """Whether a row holds an image of just that length."""
    return image[length - 2 : length] in (b"\xff\xd9", b"\x60\x82") and not any(image[length:])
