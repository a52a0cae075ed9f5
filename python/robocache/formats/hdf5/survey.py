"""What an HDF5 file holds, as :mod:`.layouts` recognises it."""

from __future__ import annotations

import math
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
    series_of,
    texts_of,
    to_bytes,
    why,
)
from .storage import filters_of, layout_of

__all__ = ["survey", "type_of"]

MOST_OBJECTS = 4_000
MOST_DEPTH = 32
FEW = 16  # groups that are numbered alike and are all looked at


def survey(file: File) -> dict[str, Any]:
    """Returns what a file holds; of many groups that are numbered alike the first with anything."""
    nodes: list[dict[str, Any]] = []
    try:
        visit(file, file.id, b"/", "/", nodes, [], False)
    except DamageError as error:
        nodes.append({"path": "/", "kind": "problem", "why": str(error)})
    return {"nodes": nodes}


def visit(
    file: File,
    start: Any,
    name: bytes,
    path: str,
    nodes: list[dict[str, Any]],
    above: list[Any],
    is_within: bool,
) -> None:
    """Adds an object and what lies below it.

    Args:
        file: that it lies in.
        start: group that the name begins at.
        name: of the object there.
        path: what messages call it.
        nodes: what is added to.
        above: the groups that it lies in.
        is_within: it is one of many that are numbered alike or lies in one: all of it is wanted.
    """
    if len(nodes) >= MOST_OBJECTS or len(above) > MOST_DEPTH:
        nodes.append({"path": path, "kind": "problem", "why": "is more than is looked at"})
        return
    try:
        found = file.open(start, name)
        if isinstance(found, h5py.h5d.DatasetID):
            nodes.append({"path": path, "kind": "dataset", **describe(Dataset(found), path)})
            return
        if not isinstance(found, h5py.h5g.GroupID):
            nodes.append({"path": path, "kind": "other"})
            return
        info = h5py.h5o.get_info(found)
        if (info.fileno, info.addr) in above:
            nodes.append({"path": path, "kind": "problem", "why": "is a link to what it lies in"})
            return
        below = names_of(found)
        node: dict[str, Any] = {"path": path, "kind": "group", "attributes": attributes(found)}
    except UNREADABLE as error:
        nodes.append({"path": path, "kind": "problem", "why": why(error)})
        return
    texts = [each.decode("utf-8", "surrogateescape") for each in below]
    node["series"] = series_of(texts)
    nodes.append(node)
    above = [*above, (info.fileno, info.addr)]
    prefix = path.rstrip("/")
    many: set[str] = set()
    for names in node["series"].values():
        if is_within or len(names) <= FEW or not _is_group(found, names[0]):
            continue
        many.update(names)
        for first in names[:8]:
            begin = len(nodes)
            visit(file, found, to_bytes(first), f"{prefix}/{first}", nodes, above, True)
            if any((each.get("shape") or [0])[0] > 1 for each in nodes[begin:]):
                break
    for each in texts:
        if each not in many:
            visit(file, found, to_bytes(each), f"{prefix}/{each}", nodes, above, is_within)


def _is_group(group: Any, name: str) -> bool:
    try:
        return isinstance(h5py.h5o.open(group, to_bytes(name)), h5py.h5g.GroupID)
    except UNREADABLE:
        return True  # and what it is told of when it is looked at


def describe(dataset: Dataset, path: str) -> dict[str, Any]:
    """Returns shape, dtype and, where they would be, what stands against reading it."""
    shape = dataset.shape
    node: dict[str, Any] = {"attributes": attributes(dataset.id)}
    if shape is None:
        return {**node, "shape": None, "why": "holds nothing (a null dataspace)"}
    node["shape"], count = list(shape), math.prod(shape)
    node["filters"] = [name for _, name, _ in filters_of(dataset)]
    node["layout"] = layout_of(dataset)
    try:
        dtype = dataset.dtype
    except UNREADABLE as error:
        return {**node, "why": f"its type is none of NumPy's ({why(error)})"}
    node.update(type_of(dtype))
    if len(shape) in (1, 2) and count and "why" not in node:
        node["begins"] = first_bytes(dataset, dtype).hex()
    if node.get("type") == "text" and count == 1:
        node["value"] = texts_of(dataset, path)[0]
    return node


def type_of(dtype: Any) -> dict[str, Any]:
    """Returns "type" ("numeric", "text", "compound") and "dtype", or "why" it is none."""
    if dtype.names is not None:
        fields = {}
        for name in dtype.names:
            field, offset = dtype.fields[name][:2]
            fields[name] = {**_scalar(field), "offset": offset, "item": dtype.itemsize}
        return {"type": "compound", "fields": fields}
    if h5py.check_string_dtype(dtype) is not None:
        return {"type": "text", "dtype": dtype.str if dtype.kind == "S" else "O"}
    if h5py.check_ref_dtype(dtype) is not None:
        return {"why": "holds references to objects"}
    if h5py.check_vlen_dtype(dtype) is not None:
        return {"why": "holds sequences of varying length"}
    return _scalar(dtype)


def _scalar(dtype: Any) -> dict[str, Any]:
    base, shape = dtype.base, list(dtype.shape)
    if base.kind == "V" and base.names is None:
        return {"why": "holds opaque bytes"}
    if base.kind in "biuf" and base.itemsize <= 8 and base.names is None:
        return {"type": "numeric", "dtype": base.str, "inner": shape}
    if h5py.check_string_dtype(base) is not None:
        return {"why": "holds text within a compound or an array"}
    return {"why": f"holds {base}"}


def first_bytes(dataset: Dataset, dtype: Any) -> bytes:
    """Returns the first bytes of a row of bytes, which tell a JPEG; none of other rows."""
    shape = dataset.extents
    if dtype.kind == "S" and dtype.itemsize >= 16 and len(shape) == 1:
        selected: tuple[Any, ...] = (0,)
    elif dtype == np.uint8 and len(shape) == 2 and shape[1] >= 16:
        selected = (0, slice(0, 16))
    else:
        return b""
    try:
        check_own(dataset, "")
        value = dataset.values[selected]
    except UNREADABLE:
        return b""
    return bytes(value)[:16]
