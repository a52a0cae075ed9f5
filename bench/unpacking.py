"""The rate at which libdeflate alone unpacks blocks: what reading deflated data cannot beat."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import tempfile
from collections.abc import Sequence

__all__ = ["UNPACK_RATE", "unpacked_alone"]

UNPACK_RATE = "build/release/bench/unpack_rate"  # cmake --build --preset release --target it


def unpacked_alone(
    program: str, blocks: Sequence[tuple[bytes, int]], kind: str, seconds: float, threads: int
) -> tuple[float, float]:
    """Returns the blocks a second that so many threads unpack in turn, each into one buffer, and
    those a second of processor time.

    Args:
        program: of bench/loader/unpack_rate.c.
        blocks: packed bytes, and how many they unpack to.
        kind: "zlib" or "deflate".
    """
    with tempfile.NamedTemporaryFile(suffix=".blocks") as file:
        for packed, unpacked_bytes in blocks:
            file.write(struct.pack("<II", unpacked_bytes, len(packed)) + packed)
        file.flush()
        options = [file.name, str(threads), str(seconds), kind]
        done = subprocess.run([os.path.abspath(program), *options], check=True, capture_output=True)
    found = json.loads(done.stdout)
    return found["blocks_per_s"], found["blocks_per_cpu_s"]
