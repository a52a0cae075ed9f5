"""MCAP files of ROS 2 messages, an episode each: every topic is a stream on its own clock.

Messages are ranges of chunks, which hold those of all topics and are packed as a whole. Where a
message is heavy it stays there; numbers are copied into columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader

import robocache as rc

from .mcap_messages import locate, messages

PACKINGS = {"": [], "lz4": ["lz4_frame"], "zstd": ["zstd"]}
NUMBERS_IN_COLUMNS = True  # or where they lie, for which each wants its whole chunk


def probe(path: str) -> bool:
    return any(Path(path).glob("*.mcap"))


def index(path: str, dataset: rc.Indexer) -> None:
    files = sorted(Path(path).glob("*.mcap"))
    for topic, (schema, data) in sorted(topics(files[0]).items()):
        is_image, shape = schema.endswith("Image"), locate(schema, data)[2]
        dataset.stream(
            topic,
            **{"kind": "image", "encoding": "pixels"} if is_image else {"dtype": "float64"},
            shape=shape,
            times=topic + "/time_ns",
            ragged=True,
        )
        dataset.stream(topic + "/time_ns", dtype="int64", ragged=True)
    for each in files:
        dataset.part(each.name, read=read)


def topics(path: Path) -> dict[str, tuple[str, bytes]]:
    """Returns schema and first message of each topic."""
    found: dict[str, tuple[str, bytes]] = {}
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            found.setdefault(channel.topic.strip("/"), (schema.name, message.data))
    return found


def read(part: rc.Part) -> None:
    found: dict[str, list[tuple[Any, ...]]] = {}
    with (Path(part.folder) / part.path).open("rb") as file:
        summary = make_reader(file).get_summary()
        for chunk in sorted(summary.chunk_indexes, key=lambda chunk: chunk.chunk_start_offset):
            block = part.block(
                offset=chunk.chunk_start_offset + 49 + len(chunk.compression),
                bytes=chunk.compressed_size,
                unpacked_bytes=chunk.uncompressed_size,
                packing=part.packing(PACKINGS[chunk.compression]),
            )
            for number, offset, data in messages(file, chunk):
                channel = summary.channels[number]
                schema = summary.schemas[channel.schema_id].name
                stamp, at, _ = locate(schema, data)
                place = (stamp, block, offset + at, data[at:], schema.endswith("Image"))
                found.setdefault(channel.topic.strip("/"), []).append(place)
    streams: dict[str, Any] = {}
    for topic, places in found.items():
        stamps, blocks, offsets, values, (is_image, *_) = zip(*places, strict=True)
        count = [len(stamps)]
        streams[topic + "/time_ns"] = rc.Column(np.array(stamps), count=count)
        if is_image or not NUMBERS_IN_COLUMNS:
            size = len(values[0])
            streams[topic] = rc.Pieces(offset=offsets, bytes=size, block=blocks, count=count)
        else:
            numbers = np.frombuffer(b"".join(values)).reshape(len(values), -1)
            streams[topic] = rc.Column(numbers, count=count)
    part.episodes(num_steps=[0], streams=streams)
