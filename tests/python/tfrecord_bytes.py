"""TFRecords by their bytes: framed, and changed so that their checksums are right."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path


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
    """Returns the CRC-32C of data as it is stored."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(payload: bytes) -> bytes:
    """Returns a record."""
    length = struct.pack("<Q", len(payload))
    return length + masked_crc(length) + payload + masked_crc(payload)


def replace(path: Path, changes: Mapping[bytes, bytes]) -> None:
    """Replaces bytes of the first record of a file by as many others."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    payload = content[12 : 12 + length]
    for old, new in changes.items():
        assert payload.count(old) == 1
        assert len(old) == len(new)
        payload = payload.replace(old, new)
    path.write_bytes(framed(payload) + content[16 + length :])
