"""Where messages lie in the chunks of an MCAP file, and values in messages.

Fields of a message are aligned to their size from byte 4 on, as CDR has it.
"""

from __future__ import annotations

import struct
from typing import Any

from mcap.records import ChunkIndex
from mcap.stream_reader import StreamReader, get_chunk_data_stream

MESSAGE = struct.Struct("<BQHIQQ")  # opcode 5, length, channel, sequence, times


def messages(file: Any, chunk: ChunkIndex) -> Any:
    """Yields channel, offset and data of the messages in a chunk."""
    file.seek(chunk.chunk_start_offset)
    record = next(StreamReader(file, skip_magic=True, emit_chunks=True).records)
    stream, size = get_chunk_data_stream(record)
    data, at = stream.read(size), 0
    while at < size:
        opcode, length = struct.unpack_from("<BQ", data, at)
        if opcode == 5:
            begin = at + MESSAGE.size
            yield MESSAGE.unpack_from(data, at)[2], begin, data[begin : at + 9 + length]
        at += 9 + length


def locate(schema: str, data: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Returns the header's stamp, where the values begin, and their shape."""
    seconds, nanoseconds, name = struct.unpack_from("<iII", data, 4)
    at = 12 + name  # from byte 4 on, as all that is aligned
    shape: tuple[int, ...]
    if schema.endswith("Image"):
        height, width, encoding = struct.unpack_from("<III", data, 4 + at + -at % 4)
        at += -at % 4 + 12 + encoding + 1  # up to `step`, and the length of the data
        at, shape = at + -at % 4 + 8, (height, width, 3)
    else:
        at += -at % 8
        shape = ((len(data) - 4 - at) // 8,)
    return seconds * 10**9 + nanoseconds, 4 + at, shape
