"""Rows of LeRobot's parquet files as NumPy arrays: numbers, stamps and texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ...errors import FormatError
from ..builtin import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .info import Feature

__all__ = ["Strings", "on_grid", "range_of", "values_of"]

_ULPS = 2
"""A float32 stamp may be rounded twice: where it was divided, and where it was stored."""


def values_of(where: str, column: Any, feature: Feature) -> NDArray[Any]:
    """Returns a numeric column as [N, *shape] of the feature's dtype.

    Raises:
        FormatError: rows are missing, of another length, or of numbers that the dtype cannot hold.
    """
    import numpy as np

    array = _combined(column)
    values = _flat(where, array)
    shape = (len(array), *feature.shape)
    if values.size != int(np.prod(shape)):
        raise FormatError(
            f"{where}: found rows of shape {list(values.shape[1:])}, wanted {list(feature.shape)}"
        )
    return _as_dtype(where, values.reshape(shape), np.dtype(feature.dtype))


def integers_of(where: str, column: Any) -> NDArray[Any]:
    """Returns a column of one integer a row as int64 [N]."""
    import numpy as np

    values = _flat(where, _combined(column))
    return _as_dtype(where, values.reshape(len(column)), np.dtype(np.int64))


def _combined(column: Any) -> Any:
    arrow = need("pyarrow", "lerobot")
    array = column.combine_chunks() if isinstance(column, arrow.ChunkedArray) else column
    while isinstance(array, arrow.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else arrow.array([], array.type)
    return array.storage if isinstance(array.type, arrow.BaseExtensionType) else array


def _flat(where: str, array: Any) -> NDArray[Any]:
    """Returns the numbers of a column, lists of one length as further axes."""
    types = need("pyarrow", "lerobot").types
    if array.null_count:
        row = next(i for i, value in enumerate(array) if not value.is_valid)
        raise FormatError(f"{where}: row {row}: found no value")
    kind = array.type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _flat(where, array.flatten())
        if types.is_fixed_size_list(kind):
            width = kind.list_size
        else:
            lengths = array.value_lengths().to_numpy(zero_copy_only=False)
            width = int(lengths[0]) if len(lengths) else 0
            if (lengths != width).any():
                row = int((lengths != width).argmax())
                raise FormatError(
                    f"{where}: row {row}: found {lengths[row]} values, wanted {width} as in row 0"
                )
        return inner.reshape(len(array), width, *inner.shape[1:])
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise FormatError(f"{where}: found {kind}, wanted numbers")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _as_dtype(where: str, values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    if values.dtype == dtype:
        return values
    with_numbers = values.astype(dtype)
    if dtype.kind == "f" and values.dtype.kind == "f":
        return with_numbers
    same = with_numbers == values
    if not same.all():
        row = int((~same).reshape(len(values), -1).any(axis=1).argmax())
        raise FormatError(
            f"{where}: row {row}: found {values[row]} of {values.dtype}, wanted {dtype}"
        )
    return with_numbers


# ---- stamps --------------------------------------------------------------------------------------


def on_grid(
    seconds: NDArray[Any], frames: NDArray[Any], fps: float, rate: Fraction
) -> tuple[NDArray[Any], bool]:
    """Returns the stamps of an episode's rows in nanoseconds.

    LeRobot stores frame_index / fps as float32, which is off by 30 us after ten minutes. Where all
    stamps agree with that to float32 precision they are the grid, exactly; else they are kept.

    Args:
        seconds: as stored, float32 or float64 [T].
        frames: frame_index [T].
        fps: as info.json has it.
        rate: the fraction that it means.

    Returns:
        int64 [T], and whether they are the grid.
    """
    import numpy as np

    stored = seconds.astype(np.float64)
    nominal = frames.astype(np.float64) / fps
    ulp = np.spacing(np.maximum(np.abs(stored), np.abs(nominal)).astype(np.float32))
    if (np.abs(stored - nominal) <= _ULPS * ulp.astype(np.float64)).all():
        return grid_ns(frames, rate), True
    return np.rint(stored * 1e9).astype(np.int64), False


def grid_ns(frames: NDArray[Any], rate: Fraction) -> NDArray[Any]:
    """Returns frame / rate in nanoseconds, rounded once."""
    import numpy as np

    above, below = rate.denominator * 1_000_000_000, rate.numerator
    if len(frames) == 0 or (frames.min() >= 0 and frames.max() < (2**62) // (2 * above)):
        return (2 * frames.astype(np.int64) * above + below) // (2 * below)
    exact = [(2 * int(frame) * above + below) // (2 * below) for frame in frames]
    return np.array(exact, np.int64)


# ---- texts ---------------------------------------------------------------------------------------


class Strings:
    """The texts that the streams of a part point to, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Returns the number of a text, a new one of a new text."""
        found = self._numbers.setdefault(text, len(self.texts))
        if found == len(self.texts):
            self.texts.append(text)
        return found

    def of_numbers(
        self, where: str, numbers: NDArray[Any], texts: Mapping[int, str]
    ) -> NDArray[Any]:
        """Returns int32 [N], the text of each number."""
        import numpy as np

        known, inverse = np.unique(numbers, return_inverse=True)
        for number in known.tolist():
            if number not in texts:
                row = int((numbers == number).argmax())
                raise FormatError(
                    f"{where}: row {row}: found {number}, wanted the number of one of the "
                    f"{len(texts)} texts"
                )
        mine = np.array([self.number(texts[number]) for number in known.tolist()], np.int32)
        return mine[inverse] if len(mine) else np.zeros(0, np.int32)

    def of_column(self, where: str, column: Any) -> NDArray[Any]:
        """Returns int32 [N] of a column of texts, or of what is told as JSON; -1: none."""
        import numpy as np

        array = _combined(column)
        types = need("pyarrow", "lerobot").types
        if types.is_string(array.type) or types.is_large_string(array.type):
            encoded = array.dictionary_encode()
            texts = encoded.dictionary.to_pylist()
            mine = np.array([self.number(text) for text in texts], np.int32)
            indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            found = mine[np.maximum(indices, 0)] if len(mine) else np.zeros(len(indices), np.int32)
            return np.where(indices < 0, -1, found).astype(np.int32)
        if types.is_list(array.type) and types.is_string(array.type.value_type):
            lengths = array.value_lengths().fill_null(1)
            if len(array) and (lengths.to_numpy(zero_copy_only=False) == 1).all():
                return self.of_column(where, array.flatten())
        return np.array([self._json(value) for value in array.to_pylist()], np.int32)

    def _json(self, value: Any) -> int:
        if value is None or value == []:
            return -1
        return self.number(json.dumps(value, default=str, ensure_ascii=False))


# ---- rows of episodes ----------------------------------------------------------------------------


def range_of(
    runs: Mapping[int, list[tuple[int, int]]],
    indices: NDArray[Any] | None,
    episode: int,
    length: int | None,
    rows: tuple[int, int] | None,
) -> tuple[int, int]:
    """Returns which rows of a file, [first, end), are an episode's.

    Args:
        runs: the ranges of the file's rows that have each episode's number.
        indices: the column `index`, where there is one.
        episode: its number.
        length: that the table of episodes says.
        rows: of the dataset that it says.

    Raises:
        FormatError: none fit; says what was found and wanted.
    """
    if rows is not None and length is not None and rows[1] - rows[0] != length:
        raise FormatError(
            f"found dataset rows {rows[0]} to {rows[1]}, wanted length {length} of them"
        )
    found = runs.get(episode, [])
    if rows is not None and indices is not None:
        for first, end in found:
            begin = first + int(rows[0] - indices[first]) if first < end else first
            stop = begin + rows[1] - rows[0]
            fits = first <= begin < stop <= end
            if fits and (indices[begin], indices[stop - 1] + 1) == rows:
                return begin, stop
        at = ", ".join(f"{indices[first]} to {indices[end - 1] + 1}" for first, end in found)
        raise FormatError(
            f"found {f'its rows at index {at}' if found else 'no row of it'}, wanted index "
            f"{rows[0]} to {rows[1]}"
        )
    if len(found) != 1:
        raise FormatError(f"found its rows in {len(found)} places, wanted one")
    first, end = found[0]
    if length is not None and end - first != length:
        raise FormatError(f"found {end - first} rows, wanted {length}")
    if first == end:
        raise FormatError("found no rows")
    return first, end


def runs_of(
    numbers: NDArray[Any], indices: NDArray[Any] | None
) -> dict[int, list[tuple[int, int]]]:
    """Returns the ranges of rows of one episode that follow each other, by its number.

    Args:
        numbers: episode_index [N].
        indices: the column `index`, which goes up by one in a range; None: it need not.
    """
    import numpy as np

    runs: dict[int, list[tuple[int, int]]] = {}
    if len(numbers) == 0:
        return runs
    is_new = np.diff(numbers) != 0
    if indices is not None:
        is_new |= np.diff(indices) != 1
    begins = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    ends = np.append(begins[1:], len(numbers))
    for number, first, end in zip(
        numbers[begins].tolist(), begins.tolist(), ends.tolist(), strict=True
    ):
        runs.setdefault(number, []).append((first, end))
    return runs
