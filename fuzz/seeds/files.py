"""Files that samples and tables are read from."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
import zlib
from pathlib import Path

from tests.python import mp4_boxes as mp4
from tests.python.wire_bytes import varint


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
    root = Path(__file__).parents[2]
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
