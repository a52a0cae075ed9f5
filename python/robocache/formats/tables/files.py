"""Arrays in files: NumPy's `.npy` and `.npz`, raw numbers, and columns of CSV."""

from __future__ import annotations

import csv
import math
import os
import re
import zipfile
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ... import _core
from ...errors import FormatError, InvalidArgumentError, IoError, UnsupportedError
from .. import there
from ..damage import pass_shortage
from ..foreign import foreign
from ..npy_header import read_npy_header
from ..sources import Column, Rows

if TYPE_CHECKING:
    from ..part import Part

__all__ = ["Wanted", "find_array"]

_COLUMN_BYTES = 4096
_MAX_CSV_BYTES = 1 << 32
_FLAGS = {"0": False, "1": True, "false": False, "true": True}
_NUMBER = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


@dataclass(frozen=True)
class Wanted:
    """What a mapping says of an array.

    Attributes:
        path: of the file, below the episode's folder.
        member: name of the array in an .npz.
        columns: of CSV by name or number, of an array by number along its last axis; None: all.
        is_scalar: there is one column, which is no axis of the samples.
        dtype: of raw numbers, with their byte order; of what CSV is made into, float64 by default.
        shape: of a sample of raw numbers.
        offset: of raw numbers, bytes before the first.
        is_single: the whole array is one sample.
    """

    path: str
    member: str | None = None
    columns: tuple[str | int, ...] | None = None
    is_scalar: bool = False
    dtype: str | None = None
    shape: tuple[int, ...] = ()
    offset: int = 0
    is_single: bool = False


@dataclass(frozen=True)
class Zipped:
    """How a member lies in its archive.

    Attributes:
        header: bytes of the archive's header before it, which has its CRC.
        unpacked_bytes: of the member.
        is_deflated: else it lies as it is.
    """

    header: int
    unpacked_bytes: int
    is_deflated: bool


@dataclass(frozen=True)
class Array:
    """An array that was found, [samples, *shape]; its values are not read yet.

    Attributes:
        file: its path; `name` is that below the dataset's folder.
        dtype: with its byte order.
        offset, num_bytes: where what holds it lies in the file: itself, or its member of an .npz.
        header: bytes before the values there.
        full: its shape before columns were chosen.
        zipped: of a member of an archive, else None.
        is_fortran: the first axis goes fastest.
    """

    file: str
    name: str
    wanted: Wanted
    dtype: Any
    count: int
    shape: tuple[int, ...]
    offset: int = 0
    num_bytes: int = 0
    header: int = 0
    full: tuple[int, ...] = ()
    zipped: Zipped | None = None
    is_fortran: bool = False
    is_csv: bool = False

    @property
    def is_in_place(self) -> bool:
        """Whether its samples are read where they lie."""
        return not self.is_csv and self.wanted.columns is None and not self.is_fortran

    @property
    def what(self) -> str:
        """What messages call it."""
        member = self.wanted.member
        return self.file if member is None else f"{self.file}: member '{member}.npy'"

    def values(self) -> Any:
        """Returns it in native byte order, [samples, *shape]."""
        import numpy

        if self.is_csv:
            return _read_csv(self.file, self.wanted, self.dtype)
        before = self.zipped.header if self.zipped is not None else 0
        with open(self.file, "rb") as file:
            file.seek(self.offset - before)
            data = file.read(before + self.num_bytes)
        if self.zipped is not None:
            try:
                data = _core.unpack([("zip", 0, 0)], data, self.zipped.unpacked_bytes)
            except FormatError as error:
                raise FormatError(f"{self.what}: byte {self.offset}: {error}") from None
        size = math.prod(self.full) * self.dtype.itemsize
        if len(data) < self.header + size:
            raise FormatError(f"{self.what}: found {len(data)} bytes, wanted {self.header + size}")
        flat = numpy.frombuffer(data, self.dtype, math.prod(self.full), self.header)
        found = flat.reshape(self.full, order="F" if self.is_fortran else "C")
        if self.wanted.columns is not None:
            found = found[..., numpy.array(self.wanted.columns)]
            found = found[..., 0] if self.wanted.is_scalar else found
        return numpy.ascontiguousarray(found, self.dtype.newbyteorder("="))

    def source(self, part: Part) -> Rows | Column:
        """Tells the part of the file, and returns where the samples of one episode are."""
        if not self.is_in_place:
            return Column(self.values(), count=[self.count])
        size = os.path.getsize(self.file)
        blob = part.blobs(_escaped(self.name), sizes=[size])
        if self.zipped is None or not self.zipped.is_deflated:
            return Rows(offset=[self.offset + self.header], blob=blob, count=[self.count])
        block = part.block(
            offset=self.offset - self.zipped.header,
            bytes=self.zipped.header + self.num_bytes,
            unpacked_bytes=self.zipped.unpacked_bytes,
            blob=blob,
            packing=part.packing(["zip"]),
        )
        return Rows(offset=[self.header], block=block, count=[self.count])


def find_array(root: str, folder: str, wanted: Wanted) -> Array:
    """Returns the array that is wanted, by what its file says of it.

    Args:
        root: the dataset's folder.
        folder: of the episode, below it.
        wanted: which array of which file.

    Raises:
        FormatError: it is cut off or none; UnsupportedError: it holds no plain numbers.
        InvalidArgumentError: the mapping asks for what it does not have.
        IoError: it cannot be read.
    """
    name = os.path.normpath(os.path.join(folder, wanted.path))
    path = os.path.join(root, name)
    try:
        if not there.is_file(path):
            raise IoError(f"{path}: is not there, or no file")
        if wanted.member is not None:
            array = _find_member(path, name, wanted)
        elif wanted.dtype is not None and not path.endswith((".csv", ".tsv")):
            array = _find_raw(path, name, wanted)
        else:
            with open(path, "rb") as file:
                is_npy = file.read(6) == b"\x93NUMPY"
            array = _find_npy(path, name, wanted) if is_npy else _find_csv(path, name, wanted)
    except OSError as error:
        if isinstance(error, IoError):
            raise
        raise IoError(f"{path}: {error.strerror or error}") from error
    if array.shape and 0 in array.shape:
        raise FormatError(f"{array.what}: found samples of shape {array.shape}, which are empty")
    num_bytes = math.prod(array.shape) * array.dtype.itemsize
    if not array.is_in_place and num_bytes > _COLUMN_BYTES:
        raise UnsupportedError(
            f"{array.what}: samples of {num_bytes} bytes that do not lie in one piece (columns, "
            f"CSV, Fortran order); at most {_COLUMN_BYTES} are copied"
        )
    return array


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _plain(what: str, dtype: Any) -> Any:
    if not _NUMBER.fullmatch(dtype.str):
        raise UnsupportedError(f"{what}: found the dtype {dtype}; plain numbers are read")
    return dtype


def _find_npy(path: str, name: str, wanted: Wanted) -> Array:
    with open(path, "rb") as file:
        shape, is_fortran, dtype = read_npy_header(file, path)
        header = file.tell()
    size = os.path.getsize(path)
    return _whole(Array(path, name, wanted, dtype, 0, (), 0, size, header), shape, is_fortran, size)


def _find_member(path: str, name: str, wanted: Wanted) -> Array:
    import numpy

    member = f"{wanted.member}.npy"
    names, *numbers = _core.zip_members(path, f"{member}\0".encode())
    texts = names.decode("utf-8", "surrogateescape").split("\0")[:-1]
    if member not in texts:
        raise FormatError(f"{path}: found no member '{member}'")
    at = texts.index(member)
    before, offset, packed, unpacked, method = (
        int(numpy.frombuffer(each, numpy.int64)[at]) for each in numbers
    )
    what = f"{path}: member '{member}'"
    if method not in (0, 8):
        raise UnsupportedError(f"{what}: is packed by zip's method {method}")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            shape, is_fortran, dtype = read_npy_header(stream, what)
            header = stream.tell()
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        pass_shortage(error)
        raise FormatError(f"{what}: {error}") from None
    zipped = Zipped(offset - before, unpacked, method != 0)
    array = Array(path, name, wanted, dtype, 0, (), offset, packed, header, zipped=zipped)
    return _whole(array, shape, is_fortran, unpacked)


def _whole(array: Array, shape: tuple[int, ...], is_fortran: bool, size: int) -> Array:
    """Returns the array with what its header says, of which `size` bytes are there."""
    wanted, what = array.wanted, array.what
    dtype = _plain(what, array.dtype)
    if wanted.is_single:
        shape = (1, *shape)
    if not shape:
        raise FormatError(f"{what}: found a single number, wanted one a sample, or single = true")
    needed = array.header + math.prod(shape) * dtype.itemsize
    if needed > size:
        raise FormatError(f"{what}: found {size} bytes, wanted {needed} of an array {shape}")
    sample = shape[1:]
    if wanted.columns is not None:
        if not sample:
            raise InvalidArgumentError(f"{what}: columns: found an array {shape}, wanted two axes")
        for column in wanted.columns:
            if not isinstance(column, int) or not 0 <= column < sample[-1]:
                raise InvalidArgumentError(
                    f"{what}: columns: found {column!r}, wanted 0 to {sample[-1] - 1}"
                )
        sample = sample[:-1] if wanted.is_scalar else (*sample[:-1], len(wanted.columns))
    is_fortran = is_fortran and sum(extent > 1 for extent in shape) > 1
    return replace(array, count=shape[0], shape=sample, full=shape, is_fortran=is_fortran)


def _find_raw(path: str, name: str, wanted: Wanted) -> Array:
    import numpy

    if not _NUMBER.fullmatch(wanted.dtype or ""):
        raise InvalidArgumentError(
            f"{path}: dtype: found {wanted.dtype!r}, wanted numbers as NumPy names them, '<f4'"
        )
    dtype = numpy.dtype(wanted.dtype)
    size = os.path.getsize(path)
    sample = math.prod(wanted.shape) * dtype.itemsize
    if wanted.offset > size or (size - wanted.offset) % sample:
        raise FormatError(
            f"{path}: found {size} bytes, wanted {wanted.offset} and a multiple of {sample}"
        )
    count = (size - wanted.offset) // sample
    if wanted.columns is not None:
        raise InvalidArgumentError(f"{path}: columns: are of CSV and NumPy arrays")
    full = (count, *wanted.shape)
    num_bytes = size - wanted.offset
    return Array(
        path, name, wanted, dtype, count, wanted.shape, wanted.offset, num_bytes, full=full
    )


# ---- CSV ----------------------------------------------------------------------------------------


def _open_csv(path: str) -> Any:
    return open(path, encoding="utf-8-sig", newline="")


def _header(path: str, reader: Any, wanted: Wanted) -> tuple[list[int], int]:
    """Returns the numbers of the wanted columns and how many there are; the header is read."""
    damage = foreign(path, "a table with a header", is_text=True)
    if damage is not None:
        raise damage
    try:
        names = [name.strip() for name in next(reader)]
    except StopIteration:  # a byte order mark alone
        raise FormatError(f"{path}: found no line, wanted a table with a header") from None
    columns = wanted.columns if wanted.columns is not None else tuple(range(len(names)))
    numbers = []
    for column in columns:
        if isinstance(column, int) and 0 <= column < len(names):
            numbers.append(column)
        elif isinstance(column, str) and names.count(column) == 1:
            numbers.append(names.index(column))
        else:
            raise InvalidArgumentError(
                f"{path}: columns: found {column!r}, wanted one of {', '.join(names)}"
            )
    return numbers, len(names)


def _find_csv(path: str, name: str, wanted: Wanted) -> Array:
    import numpy

    dtype = numpy.dtype(wanted.dtype or "float64")
    if dtype.str not in ("|b1",) and not _NUMBER.fullmatch(dtype.str):
        raise InvalidArgumentError(f"{path}: dtype: found {wanted.dtype!r}, wanted numbers")
    if os.path.getsize(path) > _MAX_CSV_BYTES:
        raise UnsupportedError(f"{path}: CSV of more than {_MAX_CSV_BYTES} bytes")
    if wanted.is_single:
        raise InvalidArgumentError(f"{path}: single: is of NumPy arrays")
    try:
        with _open_csv(path) as file:
            reader = csv.reader(file, delimiter=_delimiter(path))
            numbers, _ = _header(path, reader, wanted)
            count = sum(1 for row in reader if row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: {error}") from None
    shape = () if wanted.is_scalar else (len(numbers),)
    return Array(path, name, wanted, dtype, count, shape, is_csv=True)


def _delimiter(path: str) -> str:
    return "\t" if path.endswith(".tsv") else ","


def _read_csv(path: str, wanted: Wanted, dtype: Any) -> Any:
    import numpy

    cells: list[list[str]] = []
    lines: list[int] = []
    try:
        with _open_csv(path) as file:
            reader = csv.reader(file, delimiter=_delimiter(path))
            numbers, width = _header(path, reader, wanted)
            for row in reader:
                if not row:
                    continue
                if len(row) != width:
                    raise FormatError(
                        f"{path}: line {reader.line_num}: found {len(row)} cells, wanted {width}"
                    )
                cells.append([row[number] for number in numbers])
                lines.append(reader.line_num)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: {error}") from None
    found = numpy.empty((len(cells), len(numbers)), dtype)
    for at, row in enumerate(cells):
        for column, cell in enumerate(row):
            try:
                found[at, column] = _number(cell, dtype)
            except (ValueError, OverflowError, KeyError):
                raise FormatError(
                    f"{path}: line {lines[at]}, column {numbers[column]}: found {cell!r:.60}, "
                    f"wanted {dtype}"
                ) from None
    return found[:, 0].copy() if wanted.is_scalar else found


def _number(cell: str, dtype: Any) -> Any:
    """Returns a number; an empty cell is NaN where there is one."""
    if dtype.kind == "f":
        return float(cell) if cell.strip() else math.nan
    if dtype.kind == "b":
        return _FLAGS[cell.strip().lower()]
    try:
        return int(cell)
    except ValueError:
        number = float(cell)
        if not number.is_integer():
            raise
        return int(number)
