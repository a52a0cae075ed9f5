"""What `.zarray` (version 2) and `zarr.json` (version 3) say of an array, who is a stranger."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass
from typing import Any

from ...errors import FormatError, UnsupportedError
from .store import Store

__all__ = ["ZarrArray", "read_array"]

MAX_CHUNKS = 1 << 24

_V2_DTYPE = re.compile(r"[<>|=][biuf][1248]")
_V3_DTYPES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
_IMAGES = {"imagecodecs_jpegxl": "jxl", "imagecodecs_jpeg": "jpeg", "imagecodecs_png": "png"}
_PLAIN = {"zlib", "gzip", "bz2", "zstd", "blosc", "fletcher32"}


@dataclass(frozen=True)
class ZarrArray:
    """An array, as its metadata has it.

    Attributes:
        key: of the array in its store.
        shape, dtype: the dtype with its byte order.
        chunks: shape of what is packed as a whole.
        shards: shape of what lies at a key, where that is several chunks; else None.
        fill: value of what is absent.
        order: axes as they are stored, the outermost first; None: C order.
        steps: how a chunk is packed, as Part.packing() takes it.
        image: "jxl", "jpeg" or "png" where a chunk is packed as an image; `steps` are then empty.
        prefix, separator: a chunk's key is the prefix and its numbers, apart by the separator.
        index_at_end, index_is_checked: of a shard, where its table of chunks lies, and whether its
            CRC comes behind it.
    """

    key: str
    shape: tuple[int, ...]
    dtype: Any
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    fill: Any
    order: tuple[int, ...] | None
    steps: tuple[str, ...]
    image: str | None
    prefix: str
    separator: str
    index_at_end: bool = True
    index_is_checked: bool = True

    @property
    def stored(self) -> tuple[int, ...]:
        """Shape of what lies at a key."""
        return self.chunks if self.shards is None else self.shards

    @property
    def row_bytes(self) -> int:
        """Of what is at one index along the first axis."""
        return math.prod(self.shape[1:]) * int(self.dtype.itemsize)


def read_array(store: Store, key: str) -> ZarrArray:
    """Returns what the metadata of the array at `key` says.

    Raises:
        FormatError: it is damaged; names the key of the store and the member.
        UnsupportedError: names the codec, dtype or grid that is not read.
    """
    found = store.json(f"{key}/.zarray")
    if found is not None:
        what = store.what(f"{key}/.zarray")
        array = _read_v2(what, key, found)
    else:
        found = store.json(f"{key}/zarr.json")
        what = store.what(f"{key}/zarr.json")
        if found is None:
            raise FormatError(f"{store.what(key)}: found no array")
        array = _read_v3(what, key, found)
    grid = math.prod(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
    if grid > MAX_CHUNKS:
        raise UnsupportedError(f"{what}: found {grid} chunks, at most {MAX_CHUNKS} are read")
    return array


def _extents(what: str, value: Any, least: int) -> tuple[int, ...]:
    is_list = isinstance(value, list) and len(value) <= 32
    if not is_list or not all(type(n) is int and least <= n < 2**62 for n in value):
        raise FormatError(f"{what}: found {value!r:.80}, wanted extents of {least} or more")
    if math.prod(max(n, 1) for n in value) >= 2**62:
        raise FormatError(f"{what}: found {value!r:.80}, wanted fewer elements than 2^62")
    return tuple(value)


def _same_axes(what: str, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    if len(shape) != len(other):
        raise FormatError(f"{what}: found {len(other)} axes, wanted {len(shape)} as of the shape")


def _fill(what: str, value: Any, dtype: Any) -> Any:
    """Returns the fill value as a scalar of the dtype; None: zeros."""
    import numpy

    if value is None:
        return numpy.zeros((), dtype)[()]
    try:
        if isinstance(value, str) and dtype.kind == "f":
            if value.startswith("0x"):
                bits = int(value, 16).to_bytes(dtype.itemsize, "big")
                return numpy.frombuffer(bits, dtype.newbyteorder(">"))[0].astype(dtype)
            if value in ("NaN", "Infinity", "-Infinity"):
                return numpy.array(float(value.replace("Infinity", "inf")), dtype)[()]
        if isinstance(value, str):  # version 2 writes what JSON cannot have so
            return numpy.frombuffer(base64.b64decode(value, validate=True), dtype)[0]
        if isinstance(value, (bool, int, float)) and _can_be(value, dtype):
            with numpy.errstate(over="ignore"):
                return numpy.array(value).astype(dtype)[()]
    except (ValueError, OverflowError, IndexError):
        pass
    raise FormatError(f"{what}: fill_value: found {value!r:.60}, wanted one of {dtype}")


def _can_be(value: float, dtype: Any) -> bool:
    """Whether a number is one of the dtype, rounded where that has floats."""
    import numpy

    if dtype.kind == "f":
        return True
    if dtype.kind == "b":
        return value in (0, 1)
    limits = numpy.iinfo(dtype)
    return int(value) == value and limits.min <= value <= limits.max


def _mapping(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{what}: found {value!r:.60}, wanted an object")
    return value


# ---- version 2 ----------------------------------------------------------------------------------


def _read_v2(what: str, key: str, found: dict[str, Any]) -> ZarrArray:
    import numpy

    if found.get("zarr_format") != 2:
        raise FormatError(f"{what}: zarr_format: found {found.get('zarr_format')!r:.40}, wanted 2")
    shape = _extents(f"{what}: shape", found.get("shape"), 0)
    chunks = _extents(f"{what}: chunks", found.get("chunks"), 1)
    _same_axes(f"{what}: chunks", shape, chunks)
    text = found.get("dtype")
    if not isinstance(text, str) or not _V2_DTYPE.fullmatch(text) or text[1:] in ("f1", "b2", "b4"):
        raise UnsupportedError(f"{what}: dtype: found {text!r:.60}; plain numbers are read")
    try:
        dtype = numpy.dtype(text)
    except TypeError:
        raise UnsupportedError(f"{what}: dtype: found {text!r}; plain numbers are read") from None
    order = found.get("order", "C")
    if order not in ("C", "F"):
        raise FormatError(f"{what}: order: found {order!r:.40}, wanted 'C' or 'F'")
    separator = found.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise FormatError(f"{what}: dimension_separator: found {separator!r:.40}")
    filters = found.get("filters") or []
    if not isinstance(filters, list):
        raise FormatError(f"{what}: filters: found {filters!r:.60}, wanted a list")
    codecs = [*filters] if found.get("compressor") is None else [*filters, found["compressor"]]
    image, steps = None, []
    for codec in codecs:
        table = _mapping(f"{what}: codec", codec)
        name = str(table.get("id"))
        if name in _IMAGES and len(codecs) == 1:
            image = _IMAGES[name]
        else:
            steps.append(_numcodecs_step(what, name, table))
    return ZarrArray(
        key=key,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=None,
        fill=_fill(what, found.get("fill_value"), dtype),
        order=tuple(range(len(shape)))[::-1] if order == "F" and len(shape) > 1 else None,
        steps=tuple(steps),
        image=image,
        prefix=f"{key}/",
        separator=separator,
    )


def _numcodecs_step(what: str, name: str, table: dict[str, Any]) -> str:
    """Returns the step of a packing that undoes a codec of numcodecs."""
    if name in _PLAIN:
        return name
    if name == "lz4":
        return "lz4_block:4"
    if name == "crc32c" and table.get("location", "end") == "end":
        return "crc32c"
    size = table.get("elementsize", 4)
    if name == "shuffle" and type(size) is int and 1 <= size <= 255:
        return f"shuffle:{size}"
    raise UnsupportedError(
        f"{what}: codec {name!r:.60}: is not read; blosc, zstd, lz4, gzip, zlib, bz2, shuffle, "
        "fletcher32, crc32c and, alone, imagecodecs_jpegxl, _jpeg and _png are"
    )


# ---- version 3 ----------------------------------------------------------------------------------


@dataclass
class _Codecs:
    """What a chain of codecs comes to."""

    order: tuple[int, ...] | None = None
    big_endian: bool = False
    steps: tuple[str, ...] = ()
    image: str | None = None
    inner: tuple[int, ...] | None = None  # chunks of a shard
    index_at_end: bool = True
    index_is_checked: bool = False


def _read_v3(what: str, key: str, found: dict[str, Any]) -> ZarrArray:
    import numpy

    if found.get("zarr_format") != 3 or found.get("node_type") != "array":
        raise FormatError(f"{what}: found no array of version 3")
    shape = _extents(f"{what}: shape", found.get("shape"), 0)
    grid = _mapping(f"{what}: chunk_grid", found.get("chunk_grid"))
    if grid.get("name") != "regular":
        raise UnsupportedError(f"{what}: chunk_grid: found {grid.get('name')!r:.40}, not 'regular'")
    chunk_shape = _configuration(what, grid).get("chunk_shape")
    outer = _extents(f"{what}: chunk_shape", chunk_shape, 1)
    _same_axes(f"{what}: chunk_shape", shape, outer)
    text = found.get("data_type")
    if not isinstance(text, str) or not _V3_DTYPES.fullmatch(text):
        raise UnsupportedError(f"{what}: data_type: found {text!r:.60}; plain numbers are read")
    if found.get("storage_transformers"):
        raise UnsupportedError(f"{what}: storage_transformers: found some, none are read")
    codecs = _read_codecs(what, found.get("codecs"), outer)
    dtype = numpy.dtype(text).newbyteorder(">" if codecs.big_endian else "<")
    encoding = _mapping(f"{what}: chunk_key_encoding", found.get("chunk_key_encoding"))
    name = encoding.get("name")
    separator = _configuration(what, encoding).get("separator", "/" if name == "default" else ".")
    if name not in ("default", "v2") or separator not in (".", "/"):
        raise UnsupportedError(f"{what}: chunk_key_encoding: found {name!r:.40} {separator!r:.40}")
    return ZarrArray(
        key=key,
        shape=shape,
        dtype=dtype,
        chunks=codecs.inner or outer,
        shards=outer if codecs.inner else None,
        fill=_fill(what, found.get("fill_value"), dtype),
        order=codecs.order,
        steps=codecs.steps,
        image=codecs.image,
        prefix=f"{key}/c{separator}" if name == "default" else f"{key}/",
        separator=separator,
        index_at_end=codecs.index_at_end,
        index_is_checked=codecs.index_is_checked,
    )


def _configuration(what: str, table: dict[str, Any]) -> dict[str, Any]:
    return _mapping(f"{what}: configuration", table.get("configuration", {}))


def _read_codecs(
    what: str, codecs: Any, shape: tuple[int, ...], *, inside: bool = False
) -> _Codecs:
    """Returns what codecs of chunks of that shape come to, in the order in which they pack."""
    found, steps = _Codecs(), []
    if not isinstance(codecs, list) or not 1 <= len(codecs) <= 16:
        raise FormatError(f"{what}: codecs: found {codecs!r:.60}, wanted a list")
    for codec in codecs:
        table = {"name": codec} if isinstance(codec, str) else _mapping(f"{what}: codecs", codec)
        name, options = str(table.get("name")), _configuration(what, table)
        if name in ("bytes", "endian"):
            found.big_endian = options.get("endian", "little") == "big"
        elif name == "transpose":
            found.order = _transposed(what, options.get("order"), found.order, len(shape))
        elif name == "sharding_indexed" and not inside:
            if len(codecs) > 1:
                raise UnsupportedError(f"{what}: codec 'sharding_indexed': is read alone")
            _read_sharding(what, options, shape, found)
            return found
        elif name.removeprefix("numcodecs.") in _IMAGES:
            found.image = _IMAGES[name.removeprefix("numcodecs.")]
        elif name in ("gzip", "zstd", "blosc", "crc32c"):
            steps.append(name)
        elif name.startswith("numcodecs."):
            steps.append(_numcodecs_step(what, name.removeprefix("numcodecs."), options))
        else:
            raise UnsupportedError(
                f"{what}: codec {name!r:.60}: is not read; bytes, transpose, sharding_indexed, "
                "gzip, zstd, blosc, crc32c and those of numcodecs are"
            )
    if found.image is not None and steps:
        raise UnsupportedError(f"{what}: codecs: an image that is packed again is not read")
    found.steps = tuple(steps)
    return found


def _transposed(what: str, order: Any, before: Any, ndim: int) -> tuple[int, ...]:
    if order in ("C", "F"):  # as the first drafts had it
        order = list(range(ndim)) if order == "C" else list(range(ndim))[::-1]
    if not isinstance(order, list) or not all(type(axis) is int for axis in order):
        raise FormatError(f"{what}: transpose: found {order!r:.60}, wanted axes")
    if sorted(order) != list(range(ndim)):
        raise FormatError(f"{what}: transpose: found {order!r:.60}, wanted each of {ndim} axes")
    return tuple(before[axis] if before else axis for axis in order)


def _read_sharding(
    what: str, options: dict[str, Any], shape: tuple[int, ...], found: _Codecs
) -> None:
    inner = _extents(f"{what}: sharding_indexed: chunk_shape", options.get("chunk_shape"), 1)
    _same_axes(f"{what}: sharding_indexed: chunk_shape", shape, inner)
    if any(outer % each for outer, each in zip(shape, inner, strict=True)):
        raise FormatError(f"{what}: found shards of {shape}, wanted a multiple of {inner}")
    if math.prod(shape) // math.prod(inner) > MAX_CHUNKS:
        raise UnsupportedError(f"{what}: more than {MAX_CHUNKS} chunks of a shard are not read")
    chunk = _read_codecs(what, options.get("codecs"), inner, inside=True)
    index = _read_codecs(what, options.get("index_codecs"), inner, inside=True)
    if index.big_endian or index.order or index.image or index.steps not in ((), ("crc32c",)):
        raise UnsupportedError(f"{what}: index_codecs: bytes, little-endian, and crc32c are read")
    location = options.get("index_location", "end")
    if location not in ("start", "end"):
        raise FormatError(f"{what}: index_location: found {location!r:.40}")
    found.order, found.big_endian, found.steps = chunk.order, chunk.big_endian, chunk.steps
    found.image, found.inner = chunk.image, inner
    found.index_at_end, found.index_is_checked = location == "end", index.steps == ("crc32c",)
