"""Writes the seed inputs of the fuzz targets: small, made up, one for each way of storing samples.

Those of the targets "jpeg", "jxl" and "video" are not among them: they are by encoders.

Usage: python fuzz/make_corpus.py [FOLDER]    (default: the folder `corpus` beside this file)
"""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import sys
import zipfile
import zlib
from pathlib import Path

Shape = tuple[int, ...]
Runs = tuple[bytes, ...]


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


def feature(key: str, kind: int, values: bytes) -> bytes:
    """Encode a map entry whose list message of `kind` (1 bytes, 2 float, 3 int64) is `values`."""
    return field(1, field(1, key.encode()) + field(2, field(kind, values)))


def floats(key: str, *values: float) -> bytes:
    """Encode a packed float_list."""
    return feature(key, 2, field(1, struct.pack(f"<{len(values)}f", *values)))


def ints(key: str, *values: int) -> bytes:
    """Encode a packed int64_list."""
    return feature(key, 3, field(1, b"".join(varint(v) for v in values)))


def strings(key: str, *values: bytes) -> bytes:
    """Encode a bytes_list."""
    return feature(key, 1, b"".join(field(1, v) for v in values))


def tensor(key: str, dtype: int, shape: Shape, content: bytes) -> bytes:
    """Encode a bytes_list of one entry, a TensorProto whose data field is `content`."""
    dims = b"".join(field(2, varint(1 << 3) + varint(extent)) for extent in shape)
    return strings(key, varint(1 << 3) + varint(dtype) + field(2, dims) + content)


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


def full_example(steps: int) -> bytes:
    """Encode an Example with every feature that the target's features.json declares."""
    rows = [i % 3 for i in range(steps)]
    total = sum(rows)
    return field(
        1,
        b"".join(
            (
                floats("steps/f", *[0.5 * i for i in range(2 * steps)]),
                floats("steps/d", *[float(i) for i in range(steps)]),
                floats("steps/h", *[float(i) for i in range(steps)]),
                ints("steps/b", *[i % 2 for i in range(steps)]),
                ints("steps/i", *[-i * 300 for i in range(steps)]),
                ints("steps/i_time_ns", *[1_700_000_000_000_000_000 + i for i in range(steps)]),
                ints("steps/u", *[i * 7 % 256 for i in range(70 * steps)]),
                ints("steps/s", *[i - 2 for i in range(steps)]),
                strings("steps/r", *[struct.pack("<2i", i, -i) for i in range(steps)]),
                strings(
                    "steps/z", *[zlib.compress(struct.pack("<2h", i, i)) for i in range(steps)]
                ),
                strings("steps/p", *[b"\x89PNG" + b"x" * i for i in range(steps)]),
                strings("steps/lang", *[b"pick" if i else b"" for i in range(steps)]),
                floats("steps/c/ragged_flat_values", *[0.0] * (3 * total)),
                ints("steps/c/ragged_row_lengths_0", *rows),
                ints("steps/c_time_ns/ragged_flat_values", *range(total)),
                ints("steps/c_time_ns/ragged_row_lengths_0", *rows),
                ints("steps/x/ragged_flat_values", *[1] * (2 * steps)),
                ints("steps/x/ragged_row_lengths_0", *[2] * steps),
                strings("steps/g/ragged_flat_values", *[b"\xff\xd8\xff"] * total),
                ints("steps/g/ragged_row_lengths_0", *rows),
                strings("m", b"a/b"),
                floats("n", 1.0, 2.0, float("nan"), 4.0),
                ints("k", 0, 1, 1),
                ints("steps/undeclared", 1),
            )
        ),
    )


def odd_examples() -> dict[str, bytes]:
    """Encode Examples that store their samples in unusual ways."""
    two = struct.pack("<2f", 1.0, 2.0)
    unpacked = b"".join(varint(1 << 3 | 5) + two[i : i + 4] for i in (0, 4))
    return {
        "unpacked": field(1, feature("steps/f", 2, unpacked)),
        "pieces": field(1, feature("steps/f", 2, field(1, two[:4]) + field(1, two[4:]))),
        "padded_varints": field(1, feature("steps/i", 3, field(1, b"\x81\x80\x00\x05"))),
        "spread_entries": field(
            1, feature("steps/p", 1, field(1, b"a") + field(9, b"?") + field(1, b"bc"))
        ),
        "padded_entry": field(1, feature("steps/lang", 1, b"\x0a\x81\x80\x00a" + field(1, b"b"))),
        "two_kinds": field(
            1,
            field(
                1,
                field(1, b"steps/d") + field(2, field(3, field(1, b"\x01")) + field(2, unpacked)),
            ),
        ),
        "twice": field(1, floats("steps/d", 1.0) + floats("steps/d", 1.0, 2.0)),
        "no_steps": field(1, floats("steps/f") + strings("m", b"x")),
        "huge_length": field(1, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        "bad_text": field(1, strings("steps/lang", b"\xff\xfe")),
    }


def dlimp_example() -> bytes:
    """Encode an Example of serialized tensors."""
    images = field(8, b"\xff\xd8\xff1") + field(8, b"\xff\xd8\xff22")
    return field(
        1,
        b"".join(
            (
                tensor("obs/images0", 7, (2,), images),
                tensor("obs/state", 1, (2, 3), field(4, struct.pack("<6f", *range(6)))),
                tensor("dones", 10, (2,), field(4, b"\x00\x01")),
                tensor("lang", 7, (), field(8, b"open the drawer")),
                strings("note", b"plain"),
                ints("count", 7),
            )
        ),
    )


def zigzag(value: int) -> bytes:
    """Encode a difference (see src/layout/layout_code.h)."""
    return varint(value << 1 ^ value >> 63)


BLOB, BLOCK, ARRAY, TRACK, INSIDE = range(5)
EVEN, ENDS, FRAMED, SPANS = range(4)


def run(
    stream: int,
    container: int = BLOB,
    form: int = EVEN,
    *,
    number: int | None = None,
    count: int | None = None,
    offset: int = 0,
    encoding: tuple[int, int] | None = None,
    packing: int | None = None,
    size: int | None = None,
    gap: int | None = None,
    rest: bytes = b"",
) -> bytes:
    """Encode a run (see src/layout/layout.h); `rest` is its width and table, or its own bytes."""
    optional = (encoding, packing, size, gap)
    more = sum(1 << i for i, value in enumerate(optional) if value is not None)
    flags = form | container << 2
    flags |= (count is not None) << 5 | (number is not None) << 6 | bool(more) << 7
    out = varint(stream) + bytes([flags]) + (bytes([more]) if more else b"")
    out += zigzag(number) if number is not None else b""
    out += varint(count) if count is not None else b""
    out += zigzag(offset) if container != INSIDE else b""
    out += bytes(encoding) if encoding is not None else b""
    out += bytes([packing]) if packing is not None else b""
    out += b"".join(varint(value) for value in (size, gap) if value is not None)
    return out + rest


def layout(steps: int, *runs: bytes, packings: Runs = (), blocks: Runs = ()) -> bytes:
    """Encode a layout; what packings and blocks there are stands before the runs."""
    out = bytes([0x82 if packings or blocks else 2]) + varint(steps)
    if packings or blocks:
        out += varint(len(packings)) + varint(len(blocks))
    return out + varint(len(runs)) + b"".join((*packings, *blocks, *runs))


def layouts(text: int, floats: int, integers: int) -> dict[str, bytes]:
    """Encode layouts of streams with those numbers."""
    zlib_step = b"\1" + varint(2) + varint(0)
    varint_step = b"\1" + varint(18) + varint(0)
    block = varint(0) + b"\0" + zigzag(4) + varint(20) + varint(40)
    return {
        "even": layout(3, run(floats, offset=5), run(integers)),
        "gap": layout(3, run(text, offset=2, size=4, gap=2)),
        "ends": layout(3, run(integers, BLOB, ENDS, rest=b"\1\1\3\6")),
        "framed": layout(2, run(text, BLOB, FRAMED, rest=b"\1\5\x09")),
        "spans": layout(2, run(text, BLOB, SPANS, rest=b"\2\6\0\3\0\0\0\4\0")),
        "pieces": layout(4, run(text, count=1, size=9), run(text, count=3, offset=2, size=4)),
        "blobs": layout(2, run(floats, number=3), run(integers, number=-2, offset=7)),
        "packed": layout(2, run(floats, packing=1, size=18, gap=2), packings=(zlib_step,)),
        "block": layout(
            5,
            run(integers, BLOCK, encoding=(0, 8), size=8),
            packings=(varint_step,),
            blocks=(block,),
        ),
        "inside": layout(2, run(integers, INSIDE, encoding=(0, 8), size=8, rest=bytes(16))),
        "array": layout(9, run(floats, ARRAY, number=2, offset=100)),
        "track": layout(9, run(text, TRACK, encoding=(8, 4), offset=3)),
        "empty": layout(0),
    }


def int_table(columns: list[tuple[int, int, int]], rows: list[list[int]]) -> bytes:
    """Encode a table (see src/layout/int_table.h): base, step and width of each column."""
    header = b"".join(
        varint(base << 1 ^ base >> 63) + varint(step << 1 ^ step >> 63) + bytes([width])
        for base, step, width in columns
    )
    return header + b"".join(
        ((value - base - step * number) % (1 << 64)).to_bytes(width, "little")
        for number, row in enumerate(rows)
        for value, (base, step, width) in zip(row, columns, strict=True)
    )


def array(
    shape: Shape,
    chunk_shape: Shape,
    *,
    element_bytes: int = 1,
    order: bytes = b"",
    fill: bytes = b"",
    chunks: bytes,
) -> bytes:
    """Encode an array (see src/layout/array.h)."""
    flags = len(shape) | bool(order) << 4 | bool(fill) << 5
    extents = b"".join(varint(a) + varint(b) for a, b in zip(shape, chunk_shape, strict=True))
    return bytes([1, flags]) + varint(element_bytes) + b"\2" + extents + order + fill + chunks


def arrays() -> dict[str, bytes]:
    """Encode arrays in one chunk and in many, in C order and others, with fill values."""
    wide = [(1, 0, 1), (2000, 0, 2), (0, 0, 1), (0, 0, 1)]
    rows = [[1 + i % 3, 2000 + 300 * i, i % 7 * 30, i % 2] for i in range(24)]
    even = [(0, 0, 0), (512, 24, 0), (24, 0, 0), (0, 0, 0)]
    absent = [(0, 0, 0)] * 4
    return {
        "whole": array((50, 7), (50, 7), element_bytes=4, chunks=int_table(even, [])),
        "even": array((50, 6), (1, 6), element_bytes=4, chunks=int_table(even, [])),
        "gathered": array((9, 8, 3), (3, 2, 2), chunks=int_table(wide, rows)),
        "filled": array(
            (9, 8, 3),
            (3, 2, 2),
            element_bytes=2,
            fill=b"\1\2",
            chunks=int_table(wide, rows),
        ),
        "turned": array(
            (9, 8, 3),
            (3, 2, 2),
            element_bytes=3,
            order=b"\2\0\1",
            chunks=int_table(wide, rows),
        ),
        "absent": array((1 << 60, 2), (5, 1), chunks=int_table(absent, [])),
        "empty": array((0, 3), (5, 1), chunks=int_table(absent, [])),
        "eight_axes": array((2,) * 8, (2,) * 7 + (1,), chunks=int_table(wide, rows[:2])),
    }


def blobs() -> dict[str, bytes]:
    """Encode names of files (see src/layout/blobs.h): one, many, with sizes and braces."""

    def group(pattern: str, first: int, count: int, sizes: bytes = b"\0") -> bytes:
        name = pattern.encode()
        return varint(len(name)) + name + varint(first) + varint(count) + sizes

    return {
        "one": group("train/chunk.bin", 0, 1),
        "many": group("data/episode_{:06}.parquet", 7, 1000),
        "sizes": group("{}.h5", 0, 3, b"\2\1\0\2\0\3\0"),
        "braces": group("a{{b}}/{}/c.{:03}", 1, 20),
        "groups": group("x", 0, 1) + group("y/{}", 0, 2) + group("z", 0, 0) + group("w", 3, 1),
        "outside": group("a/../b", 0, 1),
        "root": group("/etc/x", 0, 1),
    }


def npys() -> dict[str, bytes]:
    """Make .npy files of the three versions of the format."""

    def npy(version: int, descr: str, shape: str, values: int, order: str = "False") -> bytes:
        text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
        header = text.encode() + b" " * 8 + b"\n"
        length = struct.pack("<H" if version == 1 else "<I", len(header))
        return b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(values)

    return {
        "scalar": npy(1, "'<f8'", "()", 8),
        "vector": npy(1, "'<f4'", "(5,)", 20),
        "matrix": npy(2, "'>i2'", "(3, 4)", 24),
        "fortran": npy(3, "'|u1'", "(3, 2, 2)", 12, "True"),
        "long": npy(1, '"<i8"', "(2L, 1L)", 16),
        "empty": npy(1, "'|b1'", "(0, 7)", 0),
        "records": npy(1, "[('a', '<f4')]", "(1,)", 4),
        "objects": npy(1, "'|O'", "(1,)", 8),
        "cut": npy(1, "'<f4'", "(50,)", 20),
    }


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


def track(
    counts: tuple[int, int, int],
    groups: list[list[int]],
    frames: list[int],
    packets: list[list[int]],
) -> bytes:
    """Encode a track (see src/layout/track.h); a table without rows has columns of width 0."""
    head = b"\1" + b"".join(varint(count) for count in counts) + varint(1) + varint(15360)
    group_columns = [(0, 0, 1)] * 3 if groups else [(0, 2, 0), (0, 0, 0), (0, 0, 0)]
    packet_columns = [(0, 0, 1), (48, 0, 2), (1, 0, 2), (0, 0, 2)]
    if not packets:
        packet_columns = [(0, 0, 0), (48, 1000, 0), (1000, 0, 0), (0, 512, 0)]
    return (
        head
        + int_table(group_columns, groups)
        + int_table([(0, 0, 1) if frames else (0, 1, 0)], [[frame] for frame in frames])
        + int_table(packet_columns, packets)
    )


def track_object(
    track: bytes, codec: bytes = b"raw", extradata: bytes = b"", blocks: int = 3
) -> bytes:
    """Encode a track as a catalog holds it: codec, packings and blocks before it."""
    video = varint(len(codec)) + codec + varint(7) + b"yuv420p" + varint(640) + varint(480)
    colours = bytes([1, 2])  # matrix, range
    packings = varint(2) + varint(0) + varint(1) + varint(6) + varint(0)
    columns = [(1, 16, 0), (0, 5000, 0), (4000, 0, 0), (8000, 0, 0)]
    return (
        video
        + colours
        + varint(len(extradata))
        + extradata
        + packings
        + varint(blocks)
        + int_table(columns, [])
        + track
    )


def tracks() -> dict[str, bytes]:
    """Encode tracks with closed and open groups, hidden packets and packets in blocks."""
    order = [2, 0, 1, 5, 3, 4, 8, 6, 7]
    plain = [[0, 48 + 900 * i, 900 - i, 512 * pts] for i, pts in enumerate(order)]
    blocks = [[i % 3 << 2 | 2, 48, 900, 512 * pts] for i, pts in enumerate(order)]
    hidden = [[int(i == 4), *row[1:]] for i, row in enumerate(plain)]
    frames = sorted(range(9), key=order.__getitem__)
    made = {
        "empty": track((0, 0, 0), [], [], []),
        "even": track((10, 5, 10), [], [], []),
        "open": track((9, 2, 9), [[0, 0, 3], [6, 2, 0]], frames, plain),
        "closed": track((9, 1, 9), [[0, 0, 0]], frames, plain),
        "blocks": track((9, 1, 9), [[0, 0, 0]], frames, blocks),
        "hidden": track((9, 1, 8), [[0, 0, 0]], [f for f in frames if f != 4], hidden),
    }
    objects = {name: track_object(payload) for name, payload in made.items()}
    objects["h264"] = track_object(made["open"], b"h264", bytes(range(32)), 0)
    return objects


def features_json() -> dict[str, object]:
    """Make a features.json with every kind of leaf."""

    def leaf(kind: str, **content: object) -> dict[str, object]:
        return {"pythonClassName": "x", kind: content, "description": "d"}

    shape = {"dimensions": ["2", "-1"]}
    steps = {
        "tensor": leaf("tensor", shape=shape, dtype="float32", encoding="none"),
        "scalar": leaf("tensor", shape={}, dtype="bool", encoding="bytes"),
        "image": leaf("image", shape={"dimensions": ["4", "4", "3"]}, encodingFormat="jpeg"),
        "text": leaf("text"),
        "label": leaf("classLabel", numClasses="3"),
        "box": leaf("boundingBox"),
        "video": leaf("video"),
        "deep": leaf("sequence", length="-1", feature=leaf("sequence", feature=leaf("text"))),
        "dict": leaf("featuresDict", features={"a": leaf("text"), "a_time_ns": leaf("text")}),
    }
    return leaf(
        "featuresDict",
        features={
            "steps": leaf("sequence", length="-1", feature=leaf("featuresDict", features=steps)),
            "episode_metadata": leaf("featuresDict", features={"path": leaf("text")}),
        },
    )


def dataset_info_json() -> dict[str, object]:
    """Make a dataset_info.json with two splits."""
    return {
        "name": "toy",
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": "train",
                "numBytes": "12",
                "shardLengths": ["1", 2],
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            },
            {"name": "val", "filepathTemplate": "{SPLIT}/{SHARD_INDEX}-{NUM_SHARDS}"},
        ],
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


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Encode a chunk of a PNG."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(color: int, depth: int, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """Encode 5 x 4 pixels, each row of another filter; `extra` are the chunks before the data."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for row, column, row_step, column_step in passes:
        width = len(range(column, 5, column_step))
        for line in range(row, 4, row_step) if width else ():
            count = (width * samples * depth + 7) // 8
            rows += bytes([line % 5]) + bytes((line * 37 + i * 11) % 256 for i in range(count))
    header = struct.pack(">IIBBBBB", 5, 4, depth, color, 0, 0, interlaced)
    data = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            png_chunk(b"IHDR", header),
            extra,
            png_chunk(b"IDAT", data[:9]),
            png_chunk(b"IDAT", data[9:]),
            png_chunk(b"IEND", b""),
        )
    )


def pngs() -> dict[str, bytes]:
    """Make PNGs of every colour type, some interlaced, with a palette and transparency."""
    palette = png_chunk(b"PLTE", bytes(range(96)) * 8)
    alpha = png_chunk(b"tRNS", bytes(range(200)))
    made = {
        f"{name}_{depth}{'_interlaced' * interlaced}": png(color, depth, interlaced=interlaced)
        for name, color, depths in (
            ("grey", 0, (1, 2, 4, 8, 16)),
            ("rgb", 2, (8, 16)),
            ("grey_alpha", 4, (8,)),
            ("rgb_alpha", 6, (16,)),
        )
        for depth in depths
        for interlaced in (False, True)
    }
    made["palette"] = png(3, 8, extra=palette)
    made["palette_alpha"] = png(3, 8, extra=palette + alpha, interlaced=True)
    made["rgb_key"] = png(2, 8, extra=png_chunk(b"tRNS", bytes(6)))
    made["text"] = png(0, 8, extra=png_chunk(b"tEXt", b"a\0b"))
    made["cut"] = made["rgb_8"][:-20]
    made["wide"] = made["grey_8"][:16] + b"\x7f\xff\xff\xff" + made["grey_8"][20:]
    return made


def packings() -> dict[str, bytes]:
    """One small block of each name that the tests of packings have."""
    root = Path(__file__).parent.parent
    header = (root / "src/packing/packing.h").read_text()
    kinds = {k.lower(): int(v) for k, v in re.findall(r"RBC__PACKING_(\w+) = (\d+)", header)}
    made: dict[str, bytes] = {}
    rest = (root / "tests/packing/vectors.bin").read_bytes()
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, _, unpacked, packed, *steps = line.decode().split()
        block, rest = rest[: int(packed)], rest[int(packed) :]
        if name in made or int(unpacked) < 7 or int(packed) > 600:
            continue
        made[name] = bytes([len(steps)]) + struct.pack("<H", int(unpacked))
        for step in steps:
            kind, _, parameter = step.partition(":")
            width, groups = int(parameter or 0) & 0xFFFF, int(parameter or 0) >> 16
            made[name] += bytes([kinds[kind], width | min(groups, 3) << 6])
        made[name] += block
    # With the CRC behind the data, and a chunk that was packed before an archive took it.
    at = 3 + 2
    piped = made["zip_deflated"]
    made["zip_piped"] = piped[: at + 6] + b"\x08" + piped[at + 7 :]
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("0.0"), made["zlib"][at:])
            end = archive.start_dir
        chain = bytes([2]) + made["zlib"][1:5] + bytes([kinds["zip"], 0])
        made["zip_of_zlib"] = chain + file.getvalue()[:end]
    return made


def wholes() -> dict[str, bytes]:
    """Files that are compressed as a whole."""
    text = b"one record after the other, " * 4
    one, stored = gzip.compress(text, mtime=0), gzip.compress(text, 0, mtime=0)
    return {
        "gzip": one,
        "gzip_empty": gzip.compress(b"", mtime=0),
        "gzip_members": one + stored + gzip.compress(b"", mtime=0),
        "gzip_padded": one + bytes(64),
        "gzip_named": b"\x1f\x8b\x08\x1c" + one[4:10] + b"\2\0xxname\0text\0" + one[10:],
        "gzip_cut": one[:-6],
        "gzip_wrong": one[:-8] + bytes(4) + one[-4:],
        "gzip_followed": one + b"PAR1",
        "zlib": zlib.compress(text),
        "zlib_stored": zlib.compress(text, 0),
        "zlib_cut": zlib.compress(text)[:-3],
    }


def zips() -> dict[str, bytes]:
    """Zip archives: as they are written, with fields of 8 bytes, and with what others put there."""

    def archive(
        method: int, comment: bytes = b"", names: tuple[str, ...] = ("a.npy", "b")
    ) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as file:
            for name in names:
                file.writestr(zipfile.ZipInfo(name), name.encode() * 20, method)
            file.comment = comment
        return buffer.getvalue()

    wide = archive(0, names=("a",))
    entry = wide.index(b"PK\x01\x02")
    end = wide.index(b"PK\x05\x06")
    extra = struct.pack("<HHQQQ", 1, 24, 20, 20, 0)
    entry_bytes = wide[entry : entry + 20] + b"\xff" * 8 + wide[entry + 28 : entry + 30]
    entry_bytes += struct.pack("<H", len(extra)) + wide[entry + 32 : entry + 42] + b"\xff" * 4
    entry_bytes += b"a" + extra
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, len(entry_bytes), entry)
    locator = struct.pack("<IIQI", 0x07064B50, 0, entry + len(entry_bytes), 1)
    last = wide[end : end + 8] + b"\xff" * 12 + b"\0\0"
    stored = archive(0)
    return {
        "stored": stored,
        "deflated": archive(8),
        "comment": archive(8, b"PK\x05\x06" * 9),
        "none": archive(0, names=()),
        "cut": stored[:-1],
        "encrypted": stored.replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
        ),
        "zip64": wide[:entry] + entry_bytes + end64 + locator + last,
    }


def thrift(fields: dict[int, int | bool | dict[int, object]]) -> bytes:
    """Encode a struct of i32, bool and structs in Thrift's compact protocol."""
    out, last = bytearray(), 0
    for number, value in fields.items():
        kind = 12 if isinstance(value, dict) else 5
        if isinstance(value, bool):
            kind = 1 if value else 2
        out.append((number - last) << 4 | kind)
        last = number
        if isinstance(value, dict):
            out += thrift(value)  # type: ignore[arg-type]
        elif kind == 5:
            out += varint(value * 2)
    return bytes(out) + b"\0"


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


def parquets() -> dict[str, bytes]:
    """Make pages of a column: plain and by a dictionary, of versions 1 and 2, packed or not."""
    texts = (b"one", b"", b"three")
    plain = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    levels = b"\x08\x01"  # four times 1, as a run
    absent = b"\x03\x2d"  # eight packed, of which 1, 0, 1, 1 are the first four

    def page(kind: int, body: bytes, packed: bytes, fields: dict[int, object]) -> bytes:
        header = {1: kind, 2: len(body), 3: len(packed), (5, 6, 7, 8)[kind]: fields}
        return thrift(header) + packed  # type: ignore[arg-type]

    first = page(0, plain, plain, {1: 3, 2: 0, 3: 3, 4: 3})
    body = struct.pack("<I", len(absent)) + absent + plain
    with_levels = page(0, body, body, {1: 4, 2: 0, 3: 3, 4: 3})
    dictionary = page(2, plain, plain, {1: 3, 2: 0})
    numbers = struct.pack("<I", len(levels)) + levels + b"\x02\x03\x24\x00"
    numbered = page(0, numbers, numbers, {1: 4, 2: 8, 3: 3, 4: 3})
    second = page(
        3, absent + plain, absent + plain, {1: 4, 2: 1, 3: 4, 4: 0, 5: len(absent), 6: 0, 7: False}
    )
    packed = gzip.compress(plain, mtime=0)
    return {
        "plain": b"\0\3" + first,
        "levels": b"\1\4" + with_levels,
        "dictionary": b"\1\4" + dictionary + numbered,
        "second": b"\1\4" + second,
        "gzip": b"\x0c\3" + page(0, plain, packed, {1: 3, 2: 0, 3: 3, 4: 3}),
        "snappy": b"\4\3"
        + page(0, plain, varint(len(plain)) + b"\x4c" + plain, {1: 3, 2: 0, 3: 3, 4: 3}),
    }


def mp4s() -> dict[str, bytes]:
    """Build MP4 files with each form of their tables, and of the heads of codecs."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.python import mp4_boxes as mp4

    samples = [bytes([i]) * (3 + i % 5) for i in range(9)]
    descriptor = b"\x03\x1b\0\0\0\x04\x13\x20\x11" + bytes(11) + b"\x05\x04\0\0\1\xb0\x06\1\2"
    colour = mp4.box("colr", b"nclx", mp4.ints("H", 1, 1, 1), b"\x80")
    heads = {
        "avc1": mp4.box("avcC", bytes.fromhex("0164000affe100056764000aac01000468ee3cb0fdf8f800")),
        "hev1": mp4.box("hvcC", bytes(16) + b"\xfd\xf8" + bytes(5)),
        "av01": mp4.box("av1C", b"\x81\x00\x0c\x00"),
        "mp4v": mp4.full("esds", descriptor),
        "vp09": b"",
    }
    some = {"shifts": [40, 80, 0, 0, 40, 40, 80, 0, 40], "keys": [1, 5]}
    edits = mp4.edit_list([(100, -1), (80, 20), (900, 100)])
    return {
        "short": mp4.movie(samples, chunks=[4, 4, 1], **some),
        "long": mp4.movie(
            samples, chunks=[2, 7], long=True, edits=mp4.edit_list([(9000, 40)], long=True), **some
        ),
        "edits": mp4.movie(samples, edits=edits, tables_first=True, sizes="8"),
        "sizes4": mp4.movie(samples, sizes="4", chunks=[1] * 9),
        "sizes16": mp4.movie(samples, sizes="16", shifts=[-20] * 9),
        "even": mp4.movie([bytes(4)] * 9, sizes="even"),
        "fragments": mp4.fragmented([samples[:4], samples[4:]], shifts=[40, -20] + [0] * 7),
        **{
            f"head_{kind}": mp4.movie(samples[:2], description=mp4.entry(kind, head, colour))
            for kind, head in heads.items()
        },
    }


def main() -> None:
    """Write all inputs."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "corpus"
    inputs: dict[str, bytes] = {}
    for steps in (0, 1, 4):
        inputs[f"example/steps_{steps}"] = b"\0" + full_example(steps)
    for name, payload in odd_examples().items():
        inputs[f"example/{name}"] = b"\0" + payload
    inputs["example/dlimp"] = b"\1" + dlimp_example()
    file = record(full_example(1)) + record(b"") + record(full_example(2))
    inputs["example/file"] = b"\2" + file
    inputs["example/file_cut"] = b"\2" + file[:-9]
    # streams are in the order of their names
    for name, payload in layouts(text=9, floats=4, integers=7).items():
        body = bytes(range(64))
        inputs[f"example/layout_{name}"] = b"\3" + bytes([len(payload)]) + payload + body
    for name, payload in layouts(text=0, floats=2, integers=3).items():
        inputs[f"layout/{name}"] = payload
    for name, payload in arrays().items():
        inputs[f"array/{name}"] = b"\x12" + payload
        # as an object it has a packing of its own, shuffle and zlib, with number 0
        chain = varint(2) + varint(12) + varint(4) + varint(2) + varint(0)
        inputs[f"objects/{name}"] = chain + payload[:3] + b"\0" + payload[4:]
    for name, payload in blobs().items():
        inputs[f"blobs/{name}"] = payload
    for name, payload in mp4s().items():
        inputs[f"mp4/{name}"] = payload
    for name, payload in npys().items():
        inputs[f"npy/{name}"] = payload
    for name, payload in metadata().items():
        inputs[f"metadata/{name}"] = payload
    for name, payload in tracks().items():
        inputs[f"track/{name}"] = payload
    inputs["features/features"] = json.dumps(features_json()).encode()
    inputs["features/empty"] = b'{"featuresDict":{}}'
    inputs["dataset_info/info"] = json.dumps(dataset_info_json()).encode()
    inputs["dataset_info/empty"] = b"{}"
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 123456\n"
    inputs["foreign/lfs"] = b"\x7f" + lfs
    inputs["foreign/page"] = b"\xff" + b"  <!DOCTYPE html><html>"
    inputs["foreign/gzip"] = b"\x20" + b"\x1f\x8b\x08\x00"
    inputs["foreign/text"] = b"\xff" + b"Not Found"
    for name, payload in kept_statistics().items():
        inputs[f"statistics/{name}"] = payload
    inputs["summary/stamped"] = b"\x05\x80\x90\xab\x0c\x14\x09\x02\x08"
    inputs["summary/longest"] = b"\x7f" + b"\xff" * 9 + b"\x01" + b"\xff" * 9 + b"\x01"
    inputs["records/bgr8"] = b"\1\2\x92" + bytes(range(2 * (6 + 2)))  # rows of two, padded
    inputs["records/big_mono16"] = b"\1\x95\x12" + bytes(range(8))
    inputs["records/points"] = b"\0\3\4" + bytes([0, 0, 0, 4, 0, 0, 8, 0, 1]) + bytes(range(64))
    for name, payload in pngs().items():
        inputs[f"png/{name}"] = payload
    for name, payload in packings().items():
        inputs[f"packing/{name}"] = payload
    for name, payload in parquets().items():
        inputs[f"parquet/{name}"] = payload
    for name, payload in wholes().items():
        inputs[f"whole/{name}"] = payload
    for name, payload in zips().items():
        inputs[f"zip/{name}"] = payload
    for name, payload in changes().items():
        inputs[f"catalog/{name}"] = payload
    for name, content in inputs.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
