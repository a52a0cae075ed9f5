"""TFRecords and tf.train.Example in pure Python and NumPy, for the plain PyTorch path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy

from ..errors import FormatError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_record(path: str, offset: int, length: int) -> bytes:
    """Returns the payload of a record, which begins at `offset`; its CRC is not checked."""
    with open(path, "rb") as file:
        file.seek(offset)
        payload = file.read(length)
    if len(payload) < length:
        raise FormatError(f"{path}: byte {offset}: the record is truncated")
    return payload


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Yields (number, wire type, value) of a message; bytes as a view."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _BYTES:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
            value, at = data[at : at + size], at + size
        else:
            raise FormatError(f"protobuf wire type {wire} found")
        yield number, wire, value


def _float_list(data: memoryview) -> Any:
    chunks = [bytes(value) for number, _, value in _fields(data) if number == 1]
    return numpy.frombuffer(b"".join(chunks), "<f4")


def _int64_list(data: memoryview) -> Any:
    values: list[int] = []
    for number, wire, value in _fields(data):
        if number != 1:
            continue
        if wire == _VARINT:
            values.append(value)
            continue
        at = 0
        while at < len(value):
            item, at = _varint(value, at)
            values.append(item)
    return numpy.array(values, numpy.uint64).astype(numpy.int64)


def parse_example(payload: bytes) -> dict[str, Any]:
    """Returns a tf.train.Example's features: list[bytes], float32 [n] or int64 [n] by key."""
    features: dict[str, Any] = {}
    for number, _, message in _fields(memoryview(payload)):
        if number != 1:
            continue
        for _, _, entry in _fields(message):
            key, value = "", memoryview(b"")
            for field, _, content in _fields(entry):
                if field == 1:
                    key = bytes(content).decode()
                elif field == 2:
                    value = content
            for kind, _, items in _fields(value):
                if kind == 1:
                    features[key] = [bytes(item) for field, _, item in _fields(items) if field == 1]
                else:
                    features[key] = _float_list(items) if kind == 2 else _int64_list(items)
    return features
