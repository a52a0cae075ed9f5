"""Writes npy_vectors.bin, .npy files that NumPy wrote, for npy.c beside this file.

usage: python tests/layout/make_npy_vectors.py     (with numpy alone)

A file is a line, "NAME DTYPE IS_SWAPPED IS_FORTRAN BYTES NDIM EXTENT...", and its bytes. Element i
as it lies in the file is i * 7 % 100, or whether that is odd. DTYPE is "-" where it is none of
RoboCache's.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np

DTYPES = ["f2", "f4", "f8", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "b1"]
Order = Literal["C", "F"]
ORDERS: list[Order] = ["C", "F"]
SHAPES: list[tuple[int, ...]] = [(), (0,), (5,), (3, 4), (2, 1, 3), (4, 0, 2), (30,)]
OTHERS = ["c8", "c16", "U3", "S5", "M8[ns]", "m8[s]", "V4"]


def content(array: np.ndarray, version: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


def vector(name: str, array: np.ndarray, version: tuple[int, int], dtype: str) -> bytes:
    swapped = array.dtype.byteorder == ">"
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    data = content(array, version)
    shape = " ".join(str(extent) for extent in array.shape)
    line = f"{name} {dtype} {swapped:d} {fortran:d} {len(data)} {array.ndim} {shape}"
    return line.rstrip().encode() + b"\n" + data


def numbers(shape: tuple[int, ...], dtype: np.dtype, order: Order) -> np.ndarray:
    flat = np.arange(int(np.prod(shape))) * 7 % 100
    if dtype == np.bool_:
        flat = flat % 2
    return flat.astype(dtype).reshape(shape, order=order)


def main() -> None:
    """Write all vectors."""
    out = b""
    for name in DTYPES:
        for byte_order in "<>":
            dtype = np.dtype(byte_order + name)
            for number, shape in enumerate(SHAPES):
                for order in ORDERS:
                    array = numbers(shape, dtype, order)
                    version = (1 + (number + ord(order)) % 3, 0)
                    out += vector(f"{name}-{number}{order}", array, version, dtype.name)
    for name in OTHERS:
        out += vector(name, np.zeros(2, name), (1, 0), "-")
    out += vector("objects", np.array([1, "a"], object), (1, 0), "-")
    out += vector("records", np.zeros(2, [("a", "<f4"), ("b", "<i8")]), (1, 0), "-")
    out += vector("named", np.zeros(2, [("\u00e9", "<f4")]), (3, 0), "-")
    (Path(__file__).parent / "npy_vectors.bin").write_bytes(out)


if __name__ == "__main__":
    main()
