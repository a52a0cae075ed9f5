"""Videos in MP4 files, where frames lie as the tables of the file say, and arrays beside them.

videos/<camera>.mp4 have the frames of all episodes, one behind the other, as LeRobot joins them;
actions.npy has a row a frame, and episode_ends.npy says where episodes end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc

from .mp4_tables import boxes, packets


def probe(path: str) -> bool:
    return any(Path(path).glob("videos/*.mp4"))


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.control_rate_hz = 30
    for file in sorted(Path(path).glob("videos/*.mp4")):
        entry = boxes(boxes(file.read_bytes())["moov"], "trak/mdia/minf/stbl")["stsd"]
        width, height = np.frombuffer(entry[40:44], ">u2").tolist()
        dataset.stream(file.stem, kind="image", shape=(height, width, 3), encoding="frame")
    actions = np.load(Path(path, "actions.npy"), mmap_mode="r")
    dataset.stream("action", dtype=actions.dtype.name, shape=actions.shape[1:])
    dataset.part("actions.npy", read=read)


def read(part: rc.Part) -> None:
    ends = np.load(Path(part.folder, "episode_ends.npy"))
    begins = np.concatenate([[0], ends[:-1]])
    actions = np.load(Path(part.folder, part.path), mmap_mode="r")
    row_bytes = actions.dtype.itemsize * actions.shape[1]
    streams: dict[str, Any] = {"action": rc.Rows(offset=actions.offset + begins * row_bytes)}
    for file in sorted(Path(part.folder).glob("videos/*.mp4")):
        track = part.track(blob=part.blobs(f"videos/{file.name}"), **packets(file))
        streams[file.stem] = rc.Frames(track, first=begins)
    part.episodes(num_steps=ends - begins, streams=streams)
