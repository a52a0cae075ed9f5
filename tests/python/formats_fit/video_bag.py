"""MCAP files in which a camera's messages are packets of a video (foxglove's CompressedVideo).

A packet is a range of a chunk, which is packed as a whole; a group of pictures may lie in several.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader

import robocache as rc

from .mcap_messages import messages

PACKINGS = {"": [], "lz4": ["lz4_frame"], "zstd": ["zstd"]}
KEY, SHAPE = b"K", (12, 16, 3)  # what a frame id begins with, and the size of a picture


def probe(path: str) -> bool:
    return any(Path(path).glob("*.mcap"))


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.stream(
        "camera", kind="image", shape=SHAPE, encoding="frame", times="camera/time_ns", ragged=True
    )
    dataset.stream("camera/time_ns", dtype="int64", ragged=True)
    for file in sorted(Path(path).glob("*.mcap")):
        dataset.part(file.name, read=read)


def locate(data: bytes) -> tuple[int, bool, int, int]:
    """Returns the stamp of a message, whether it is a key packet, and where the packet lies."""
    seconds, nanoseconds, name = struct.unpack_from("<iII", data, 4)
    at = 4 + (12 + name + 3) // 4 * 4
    (size,) = struct.unpack_from("<I", data, at)
    return seconds * 10**9 + nanoseconds, data[16:17] == KEY, at + 4, size


def read(part: rc.Part) -> None:
    packets: list[tuple[Any, ...]] = []
    with (Path(part.folder) / part.path).open("rb") as file:
        summary = make_reader(file).get_summary()
        for chunk in sorted(summary.chunk_indexes, key=lambda chunk: chunk.chunk_start_offset):
            block = part.block(
                offset=chunk.chunk_start_offset + 49 + len(chunk.compression),
                bytes=chunk.compressed_size,
                unpacked_bytes=chunk.uncompressed_size,
                packing=part.packing(PACKINGS[chunk.compression]),
            )
            for _, offset, data in messages(file, chunk):
                stamp, key, at, size = locate(data)
                packets.append((block, offset + at, size, stamp, key))
    blocks, offsets, sizes, stamps, keys = zip(*packets, strict=True)
    track = part.track(
        block=blocks, offset=offsets, bytes=sizes, pts=stamps, key=keys, time_base=(1, 10**9)
    )
    count = [len(stamps)]
    part.episodes(
        num_steps=[0],
        streams={
            "camera": rc.Frames(track, first=[0], count=count),
            "camera/time_ns": rc.Column(np.sort(stamps), count=count),
        },
    )
