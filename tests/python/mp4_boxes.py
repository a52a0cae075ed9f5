"""MP4 files by hand: each table in each of its forms, around samples of raw pixels."""

from __future__ import annotations

import struct
from collections.abc import Sequence

HEIGHT, WIDTH = 2, 4
FRAME_BYTES = HEIGHT * WIDTH * 3
SCALE = 600  # units of the track's times a second; those of the movie are 1/1000 s


def box(kind: str, *content: bytes, long: bool = False) -> bytes:
    body = b"".join(content)
    if long:
        return struct.pack(">I4sQ", 1, kind.encode(), len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, kind.encode()) + body


def full(kind: str, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def ints(form: str, *values: int) -> bytes:
    return struct.pack(f">{len(values)}{form}", *values)


def runs(values: Sequence[int], form: str = "I") -> bytes:
    """Encode a table of (count, value), of which each is one sample but for equal neighbours."""
    rows: list[list[int]] = []
    for value in values:
        if rows and rows[-1][1] == value:
            rows[-1][0] += 1
        else:
            rows.append([1, value])
    return ints("I", len(rows)) + b"".join(struct.pack(f">I{form}", *row) for row in rows)


def entry(fourcc: str = "raw ", *inside: bytes, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Encode a sample description."""
    head = bytes(6) + ints("H", 1) + bytes(16) + ints("H", width, height)
    return box(fourcc, head, bytes(12), ints("H", 1), bytes(32), ints("H", 24, 0xFFFF), *inside)


def header(kind: str, scale: int, *, long: bool = False) -> bytes:
    """Encode mvhd or mdhd."""
    if long:
        return full(kind, ints("Q", 0, 0), ints("I", scale), ints("Q", 0), bytes(80), version=1)
    return full(kind, ints("I", 0, 0, scale, 0), bytes(80))


def track_header(number: int = 1, *, long: bool = False, matrix: Sequence[int] | None = None):
    one = 0x10000
    rows = ints("i", *(matrix or (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)))
    start = (
        ints("Q", 0, 0) + ints("I", number, 0) + ints("Q", 0)
        if long
        else ints("I", 0, 0, number, 0, 0)
    )
    return full(
        "tkhd", start, bytes(16), rows, ints("I", WIDTH << 16, HEIGHT << 16), version=int(long)
    )


def edit_list(
    edits: Sequence[tuple[int, int]], *, long: bool = False, rate: int = 0x10000
) -> bytes:
    """Encode elst: (duration in 1/1000 s, media time) each."""
    form = ">QqI" if long else ">IiI"
    rows = b"".join(struct.pack(form, duration, media, rate) for duration, media in edits)
    return box("edts", full("elst", ints("I", len(edits)), rows, version=int(long)))


def tables(
    samples: Sequence[bytes],
    chunk_offsets: Sequence[int],
    *,
    chunks: Sequence[int],
    sizes: str = "stsz",
    durations: Sequence[int] | None = None,
    shifts: Sequence[int] | None = None,
    keys: Sequence[int] | None = None,
    long: bool = False,
    description: bytes | None = None,
    description_index: int = 1,
) -> bytes:
    """Encode stbl. `chunks`: how many samples each has; `keys`: numbers from 1 on."""
    count = len(samples)
    lengths = [len(sample) for sample in samples]
    first = [
        [i + 1, n, description_index] for i, n in enumerate(chunks) if i == 0 or chunks[i - 1] != n
    ]
    parts = [
        full("stsd", ints("I", 1), description or entry()),
        full("stts", runs(durations or [20] * count)),
        full("stsc", ints("I", len(first)), *(ints("I", *row) for row in first)),
    ]
    if sizes == "even":
        parts.append(full("stsz", ints("I", lengths[0], count)))
    elif sizes == "stsz":
        parts.append(full("stsz", ints("I", 0, count, *lengths)))
    else:
        bits = int(sizes)
        if bits == 4:
            nibbles = [*lengths, 0]
            table = bytes(a << 4 | b for a, b in zip(nibbles[::2], nibbles[1::2], strict=False))
        else:
            table = ints({8: "B", 16: "H"}[bits], *lengths)
        parts.append(full("stz2", ints("I", bits, count), table))
    if long:
        parts.append(full("co64", ints("I", len(chunk_offsets)), ints("Q", *chunk_offsets)))
    else:
        parts.append(full("stco", ints("I", len(chunk_offsets)), ints("I", *chunk_offsets)))
    if shifts is not None:
        signed = min(shifts) < 0
        parts.append(full("ctts", runs(shifts, "i" if signed else "I"), version=int(signed)))
    if keys is not None:
        parts.append(full("stss", ints("I", len(keys), *keys)))
    return box("stbl", *parts)


def movie(
    samples: Sequence[bytes],
    *,
    chunks: Sequence[int] | None = None,
    edits: bytes = b"",
    long: bool = False,
    tables_first: bool = False,
    matrix: Sequence[int] | None = None,
    **of_tables,
) -> bytes:
    """Encode a file with one track of video; chunks lie apart."""
    chunks = chunks or [len(samples)]
    gap = b"\xee" * 5

    def moov(offsets: Sequence[int]) -> bytes:
        stbl = tables(samples, offsets, chunks=chunks, long=long, **of_tables)
        handler = full("hdlr", ints("I", 0), b"vide", bytes(13))
        mdia = box("mdia", header("mdhd", SCALE, long=long), handler, box("minf", stbl))
        trak = box("trak", track_header(long=long, matrix=matrix), edits, mdia)
        return box("moov", header("mvhd", 1000, long=long), trak)

    start = box("ftyp", b"isom", ints("I", 512), b"isom")
    if tables_first:
        start += moov([0] * len(chunks))
    data, offsets, at = b"", [], 0
    head = 16 if long else 8
    for count in chunks:
        data += gap
        offsets.append(len(start) + head + len(data))
        data += b"".join(samples[at : at + count])
        at += count
    if tables_first:
        start = start[: len(start) - len(moov(offsets))] + moov(offsets)
    mdat = box("mdat", data, long=long)
    return start + mdat if tables_first else start + mdat + moov(offsets)


def fragmented(
    groups: Sequence[Sequence[bytes]], *, shifts: Sequence[int] | None = None, flags: bool = True
) -> bytes:
    """Encode a file of fragments, a group of samples each, whose first is a key."""
    stbl = tables([], [], chunks=[], durations=[], sizes="stsz")
    handler = full("hdlr", ints("I", 0), b"vide", bytes(13))
    mdia = box("mdia", header("mdhd", SCALE), handler, box("minf", stbl))
    extends = box("mvex", full("trex", ints("I", 1, 1, 20, 0, 0x10000)))
    out = box("ftyp", b"isom", ints("I", 512), b"isom")
    out += box("moov", header("mvhd", 1000), box("trak", track_header(), mdia), extends)
    first = 0
    for group in groups:
        has = 0x205 | (0x800 if shifts else 0)
        rows = b"".join(
            ints("I", len(sample)) + (ints("i", shifts[first + i]) if shifts else b"")
            for i, sample in enumerate(group)
        )

        def moof(offset: int, group=group, has=has, rows=rows, first=first) -> bytes:
            run = full("trun", ints("I", len(group), offset, 0), rows, flags=has, version=1)
            traf = box(
                "traf",
                full("tfhd", ints("I", 1), flags=0x20000),
                full("tfdt", ints("Q", 20 * first), version=1),
                run,
            )
            return box("moof", full("mfhd", ints("I", 1)), traf)

        out += moof(len(moof(0)) + 8) + box("mdat", *group)
        first += len(group)
    return out
