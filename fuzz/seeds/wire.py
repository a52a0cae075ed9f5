"""Numbers and records as files have them."""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    """Encode a varint; negative numbers take ten bytes, as int64 fields do."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """Encode a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def crc32c(data: bytes) -> int:
    """Compute CRC-32C, masked as TFRecord stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(payload: bytes) -> bytes:
    """Frame a payload as a TFRecord."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        (length, struct.pack("<I", crc32c(length)), payload, struct.pack("<I", crc32c(payload)))
    )


def zigzag(value: int) -> bytes:
    """Encode a difference (see src/layout/layout_code.h)."""
    return varint(value << 1 ^ value >> 63)
