"""LeRobot datasets of small numbers, written by pyarrow and json as their documentation says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FPS = 10
STATE_WIDTH = 3


@dataclass
class Made:
    """What a dataset holds: of each episode its columns, and its task texts."""

    root: Path
    episodes: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def write_info(self, **changes: Any) -> None:
        self.info.update(changes)
        (self.root / "meta").mkdir(parents=True, exist_ok=True)
        (self.root / "meta/info.json").write_text(json.dumps(self.info))


def columns_of(episode: int, length: int, first: int, task: Any = 0, fps: float = FPS) -> Any:
    """Returns the columns of an episode whose values tell episode and frame."""
    frames = np.arange(length)
    state = (1000 * episode + frames)[:, None] + np.arange(STATE_WIDTH) / 10
    return {
        "observation.state": state.astype(np.float32),
        "action": np.stack([-state[:, 0], state[:, 1]], axis=1),
        "next.done": frames == length - 1,
        "timestamp": (frames / fps).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(length, episode),
        "index": first + frames,
        "task_index": np.broadcast_to(np.asarray(task), length).copy(),
    }


FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [STATE_WIDTH], "names": None},
    "action": {"dtype": "float64", "shape": [2], "names": ["x", "y"]},
    "next.done": {"dtype": "bool", "shape": [1], "names": None},
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}


def as_table(columns: Mapping[str, Any]) -> Any:
    """Returns an Arrow table; columns of two axes as lists of one size."""
    import pyarrow as pa

    arrays = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).ravel())
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def write_parquet(path: Path, tables: Sequence[Any], **options: Any) -> None:
    """Writes tables as row groups of one file."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, tables[0].schema, **options) as writer:
        for table in tables:
            writer.write_table(table)


def make(
    root: Path,
    version: str,
    lengths: Sequence[int],
    *,
    files: Sequence[int] | None = None,
    tasks: Sequence[str] = ("pick up the cup",),
    features: Mapping[str, Any] | None = None,
    more: Any = None,
    clips: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    fps: float = FPS,
) -> Made:
    """Writes a dataset.

    Args:
        root: folder that it becomes.
        version: "v2.0", "v2.1" or "v3.0".
        lengths: frames of each episode.
        files: v3.0: number of the parquet file of each episode, by default 0.
        tasks: texts; the step's number modulo how many there are is its task.
        features: further features of info.json.
        more: function of episode and length that returns their columns.
        clips: v3.0: of each camera (number of the video, from_timestamp) of each episode.
        fps: frames a second.
    """
    made = Made(root, tasks=list(tasks))
    first = 0
    for episode, length in enumerate(lengths):
        task = np.arange(length) % len(tasks)
        columns = columns_of(episode, length, first, task, fps)
        columns.update(more(episode, length) if more else {})
        made.episodes.append(columns)
        first += length
    made.info = {
        "codebase_version": version,
        "robot_type": "arm",
        "fps": fps,
        "total_episodes": len(lengths),
        "total_frames": int(sum(lengths)),
        "total_tasks": len(tasks),
        "splits": {"train": f"0:{len(lengths)}"},
        "features": {**FEATURES, **(features or {})},
    }
    made.write_info()
    (_make_v3 if version == "v3.0" else _make_v2)(made, lengths, files, clips)
    return made


def _make_v2(made: Made, lengths: Sequence[int], _files: Any, _clips: Any) -> None:
    meta = made.root / "meta"
    for episode, columns in enumerate(made.episodes):
        path = made.root / f"data/chunk-{episode // 1000:03}/episode_{episode:06}.parquet"
        write_parquet(path, [as_table(columns)])
    (meta / "episodes.jsonl").write_text(
        "".join(
            json.dumps({"episode_index": e, "tasks": made.tasks, "length": length}) + "\n"
            for e, length in enumerate(lengths)
        )
    )
    (meta / "tasks.jsonl").write_text(
        "".join(json.dumps({"task_index": i, "task": t}) + "\n" for i, t in enumerate(made.tasks))
    )


def episode_rows(
    lengths: Sequence[int], files: Sequence[int], tasks: Sequence[str], clips: Any
) -> dict[str, list[Any]]:
    """Returns the table of episodes of v3.0, by column."""
    ends = np.cumsum(lengths).tolist()
    rows: dict[str, list[Any]] = {
        "episode_index": list(range(len(lengths))),
        "tasks": [list(tasks)] * len(lengths),
        "length": list(lengths),
        "data/chunk_index": [0] * len(lengths),
        "data/file_index": list(files),
        "dataset_from_index": [end - length for end, length in zip(ends, lengths, strict=True)],
        "dataset_to_index": ends,
        "success": [e % 2 == 0 for e in range(len(lengths))],
        "stats/action/count": [[length] for length in lengths],
        "meta/episodes/chunk_index": [0] * len(lengths),
        "meta/episodes/file_index": [0] * len(lengths),
    }
    for camera, places in (clips or {}).items():
        rows[f"videos/{camera}/chunk_index"] = [0] * len(lengths)
        rows[f"videos/{camera}/file_index"] = [number for number, _ in places]
        rows[f"videos/{camera}/from_timestamp"] = [float(start) for _, start in places]
        rows[f"videos/{camera}/to_timestamp"] = [
            start + length / FPS for (_, start), length in zip(places, lengths, strict=True)
        ]
    return rows


def _make_v3(made: Made, lengths: Sequence[int], files: Any, clips: Any) -> None:
    files = list(files or [0] * len(lengths))
    for file in sorted(set(files)):
        path = made.root / f"data/chunk-000/file-{file:03}.parquet"
        mine = [c for c, number in zip(made.episodes, files, strict=True) if number == file]
        write_parquet(path, [as_table(columns) for columns in mine], compression="snappy")
    write_episodes(made.root, episode_rows(lengths, files, made.tasks, clips))
    write_tasks(made.root, made.tasks)


def write_episodes(root: Path, rows: Mapping[str, list[Any]]) -> None:
    import pyarrow as pa

    write_parquet(root / "meta/episodes/chunk-000/file-000.parquet", [pa.table(dict(rows))])


def write_tasks(root: Path, tasks: Sequence[str], spelling: str = "task") -> None:
    import pyarrow as pa

    table = pa.table({"task_index": list(range(len(tasks))), spelling: list(tasks)})
    write_parquet(root / "meta/tasks.parquet", [table])
