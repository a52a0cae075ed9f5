"""What lies in catalogs beside layouts."""

from __future__ import annotations

import struct
import zlib

from tests.python.wire_bytes import varint


def metadata() -> dict[str, bytes]:
    """Make groups of metadata (see src/catalog/metadata.h), as fuzz/metadata.c reads them."""
    texts = [b'{"id":1}', b"", b'{"id":3,"path":"a/b"}']
    group = b"".join(varint(len(text)) + text for text in texts)
    packed = varint(len(group)) + zlib.compress(group)
    return {
        "group": b"\4" + group,
        "past": b"\6" + group,
        "packed": b"\5" + packed,
        "cut": b"\5" + packed[:-4],
        "none": b"\0",
    }


def changes() -> dict[str, bytes]:
    """Make changes of a catalog, as fuzz/catalog.c reads them."""
    inputs = {
        "none": b"",
        "byte": b"\0" + b"\x64\0\0" + b"\x01\x0d",
        "header": b"\0" + b"\x10\0\0" + b"\x04\x01\0\x01\x01",
        "cut": b"\1" + b"\0\x60\0",
    }
    for column in (1, 14, 18, 19, 23, 28, 30, 36, 47, 48, 49):
        inputs[f"integer_{column}"] = bytes([2, column, 0, 0]) + struct.pack("<q", 1 << 40)
        inputs[f"blob_{column}"] = bytes([2, column, 1, 1, 5]) + b"\xff\x00\x80\x7f\x01"
    for definition in (0, 1, 5, 10, 14):
        inputs[f"definition_{definition}"] = bytes([3, definition])
    return inputs


def kept_statistics() -> dict[str, bytes]:
    """Statistics as their files have them, behind the header."""
    head = varint(1) + b"x" + b"\0\1" + varint(2)  # float32, two channels
    counts = varint(4) + varint(1) + varint(0)  # samples, episodes, skipped
    empty = bytes(4) + bytes(8 * 5) + varint(0)
    full = varint(3) + varint(1) + bytes(2) + struct.pack("<5d", 2.0, 2.0, 1.0, 3.0, 0.0)
    full += varint(2) + struct.pack("<d", 1.0) + varint(1) + struct.pack("<d", 3.0) + varint(2)
    problem = varint(4) + b"gone"
    scalar = varint(0) + b"\4\0"  # uint8, without extents or quantiles
    return {
        "two_channels": head + b"\1\0" + counts + varint(0) + full + empty,
        "image": head[:2] + b"\4\1" + varint(1) + b"\1\1" + counts + problem + full,
        "scalar": scalar + b"\0\0" + counts + varint(0) + full[:44] + varint(0),
        "no_channels": varint(0) + b"\1\6\xb0" + bytes(9) + b"\4\1\0",
    }
