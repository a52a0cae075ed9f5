"""Parquet files as LeRobot lays them out: data/file-000.parquet, a row a step, many episodes each.

Their numbers are packed page by page, so they are copied into columns, a row group at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import robocache as rc


def probe(path: str) -> bool:
    return any(Path(path).glob("data/*.parquet"))


def values_of(column: Any) -> Any:
    """Returns a column as [N, ...]; a list column has rows of one length."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type):
        return values_of(array.flatten()).reshape(len(array), -1)
    return array.to_numpy(zero_copy_only=False)


def names_of(table: Any) -> list[str]:
    """Returns the columns that are streams; one says which rows are whose."""
    return [name for name in table.schema.names if name != "episode_index"]


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.control_rate_hz = 30
    files = sorted(Path(path).glob("data/*.parquet"))
    head = next(pq.ParquetFile(files[0]).iter_batches(batch_size=1))
    for name in names_of(head):
        values = values_of(head[name])
        dataset.stream(name, dtype=values.dtype.name, shape=values.shape[1:])
    for each in files:
        dataset.part(f"data/{each.name}", read=read)


def read(part: rc.Part) -> None:
    file = pq.ParquetFile(Path(part.folder) / part.path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        ends = np.flatnonzero(np.diff(values_of(table["episode_index"]), append=-1)) + 1
        part.episodes(
            num_steps=np.diff(ends, prepend=0),
            streams={name: rc.Column(values_of(table[name])) for name in names_of(table)},
        )
