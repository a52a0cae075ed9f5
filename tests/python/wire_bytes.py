"""Bytes as protocol buffers and TFRecords have them: numbers, fields, records with checksums."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path


def varint(value: int) -> bytes:
    """Encodes a number; negative ones take ten bytes, as int64 fields do."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Encodes a difference, small ones of either sign in a byte."""
    return varint(value << 1 ^ value >> 63)


def field(number: int, payload: bytes) -> bytes:
    """Encodes a field that has a length: a message, a text, packed numbers."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def masked_crc(data: bytes) -> bytes:
    """Returns the CRC-32C of data as TFRecords store it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(payload: bytes) -> bytes:
    """Frames a payload."""
    length = struct.pack("<Q", len(payload))
    return length + masked_crc(length) + payload + masked_crc(payload)


def replace_in_record(path: Path, changes: Mapping[bytes, bytes]) -> None:
    """Replaces bytes of the first record of a file by as many others, and its checksum."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    payload = content[12 : 12 + length]
    for old, new in changes.items():
        assert payload.count(old) == 1
        assert len(old) == len(new)
        payload = payload.replace(old, new)
    path.write_bytes(record(payload) + content[16 + length :])
