"""Where the packets of a video lie, as the tables of an MP4 file say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def boxes(data: bytes, path: str = "") -> dict[str, bytes]:
    """Returns the boxes in a box by their types."""
    found, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        found[data[at + 4 : at + 8].decode()] = data[at + 8 : at + size]
        at += size
    first, _, rest = path.partition("/")
    return boxes(found[first], rest) if first else found


def table(box: bytes, columns: int, head: int = 8) -> Any:
    """Returns the rows of big-endian numbers in a box, behind its head."""
    return np.frombuffer(box[head:], ">i4").astype(np.int64).reshape(-1, columns)


def packets(path: Path) -> dict[str, Any]:
    """Returns what Part.track() takes."""
    moov = boxes(path.read_bytes())["moov"]
    media = boxes(moov, "trak/mdia")
    tables = boxes(moov, "trak/mdia/minf/stbl")
    sizes = table(tables["stsz"], 1, head=12)[:, 0]
    chunks = table(tables["stco"], 1)[:, 0]
    runs = table(tables["stsc"], 3)  # from which chunk on how many packets each
    per_chunk = np.repeat(runs[:, 1], np.diff(runs[:, 0], append=len(chunks) + 1))
    begins = np.cumsum(sizes) - sizes
    chunk = np.repeat(np.arange(len(chunks)), per_chunk)
    first = np.cumsum(per_chunk) - per_chunk
    durations, shifts = (np.repeat(*table(tables[name], 2)[:, ::-1].T) for name in ("stts", "ctts"))
    pts = np.cumsum(durations) - durations + shifts
    shown_from = table(boxes(moov, "trak/edts")["elst"], 3)[0, 1]
    return {
        "offset": chunks[chunk] + begins - begins[first][chunk],
        "bytes": sizes,
        "pts": pts,
        "key": np.isin(np.arange(len(sizes)) + 1, table(tables["stss"], 1)),
        "shown": pts >= shown_from,
        "time_base": (1, int(table(media["mdhd"], 1, head=0)[3, 0])),
        "codec": tables["stsd"][12:16].decode().strip(),
    }
