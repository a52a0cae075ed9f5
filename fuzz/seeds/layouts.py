"""Layouts of episodes, and the arrays, tracks and blobs that they point to."""

from __future__ import annotations

from tests.python.wire_bytes import varint, zigzag

Shape = tuple[int, ...]
Runs = tuple[bytes, ...]


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
