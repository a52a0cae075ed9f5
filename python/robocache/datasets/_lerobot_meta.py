"""What LeRobot's metadata object tells of a dataset, under its names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..dataset import Dataset
from ..formats.lerobot.info import Info, load_json, load_lines
from ..formats.lerobot.tables import Tables
from ..opening import open as open_dataset

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["LeRobotMetadata"]

Stats = dict[str, dict[str, "NDArray[numpy.float64]"]]


@dataclass(frozen=True)
class Rows:
    """Of each episode of a view LeRobot's number, that of its first frame, and its frames."""

    numbers: list[int]
    firsts: list[int]
    lengths: list[int]


class LeRobotMetadata:
    """Names and numbers of a LeRobot dataset, as its own metadata object has them.

    Attributes:
        root: folder of the dataset.
        fps: frames a second.
        features: as info.json has them, shapes as tuples.
        info: all of info.json.
        robot_type: as it says, or None.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.root: str = dataset.path
        self._info = Info(self.root)
        self.info: dict[str, Any] = self._info.raw
        self.fps: float = self._info.fps
        self.robot_type: str | None = self.info.get("robot_type")
        self.features: dict[str, dict[str, Any]] = {
            name: {**feature, "shape": tuple(feature.get("shape", (1,)))}
            for name, feature in self.info["features"].items()
        }

    @classmethod
    def of(cls, path: str | os.PathLike[str], **open_options: Any) -> LeRobotMetadata:
        """Returns that of the dataset in a folder, which robocache.open() opens."""
        return cls(open_dataset(path, **open_options))

    @property
    def total_episodes(self) -> int:
        """Episodes that there are."""
        return len(self._dataset.episodes)

    @property
    def total_frames(self) -> int:
        """Frames that there are."""
        return self._dataset.num_steps

    @property
    def total_tasks(self) -> int:
        """Tasks that the table lists."""
        return len(self.tasks)

    @property
    def image_keys(self) -> list[str]:
        """Features stored as images."""
        return [name for name, feature in self.features.items() if feature["dtype"] == "image"]

    @property
    def video_keys(self) -> list[str]:
        """Features stored as videos."""
        return [name for name, feature in self.features.items() if feature["dtype"] == "video"]

    @property
    def camera_keys(self) -> list[str]:
        """Features that are pictures, however they are stored."""
        return [n for n, f in self.features.items() if f["dtype"] in ("image", "video")]

    @property
    def depth_keys(self) -> list[str]:
        """Features that are depth maps."""
        return [name for name, feature in self._info.features.items() if feature.is_depth]

    @property
    def names(self) -> dict[str, Any]:
        """Names of the channels of each feature."""
        return {name: feature.get("names") for name, feature in self.features.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each feature."""
        return {name: feature["shape"] for name, feature in self.features.items()}

    @cached_property
    def tasks(self) -> Mapping[int, str]:
        """Texts of tasks by their numbers."""
        return Tables(self._info).tasks

    @cached_property
    def stats(self) -> Stats | None:
        """What meta/stats.json says of each feature; of version 2.1 the same, joined from that of
        the episodes that there are. None where there is none. See :meth:`check_stats`.
        """
        path = os.path.join(self.root, "meta", "stats.json")
        if os.path.exists(path):
            return _as_arrays(load_json(path))
        path = os.path.join(self.root, "meta", "episodes_stats.jsonl")
        if not os.path.exists(path):
            return None
        from .._lerobot_stats import add_stats

        numbers = set(self._rows.numbers)
        joined: Stats = {}
        for line in load_lines(path):
            if line.get("episode_index") in numbers:
                for name, stats in _as_arrays(line.get("stats", {})).items():
                    joined[name] = add_stats(joined.get(name), stats)
        return joined

    def check_stats(self, *, tolerance: float = 1e-3) -> list[str]:
        """Compares the stored statistics with the values of all episodes that there are.

        Args:
            tolerance: of mean and std, as a share of the range of values.

        Returns:
            A message for each number of a numeric feature that is another; what is stored of
            pictures and quantiles is an estimate, and not looked at.
        """
        import numpy as np

        problems: list[str] = []
        for name, stored in (self.stats or {}).items():
            info = self._dataset.streams.get(name)
            if info is None or info.kind != "numeric":
                continue
            rows = [np.asarray(e[name].values, np.float64) for e in self._dataset]
            values = np.concatenate(rows).reshape(sum(map(len, rows)), -1)
            span = np.ptp(values, axis=0)
            found = {"min": values.min(0), "max": values.max(0), "count": np.array([len(values)])}
            found |= {"mean": values.mean(0), "std": values.std(0)}
            for key, wanted in found.items():
                if key not in stored:
                    continue
                given = np.ravel(stored[key])
                near = 1e-6 * (1 + np.abs(wanted))
                if key in ("mean", "std"):
                    near = near + tolerance * span
                if given.shape != wanted.shape or (np.abs(given - wanted) > near).any():
                    at = (
                        0
                        if given.shape != wanted.shape
                        else int((abs(given - wanted) > near).argmax())
                    )
                    shown = given[at] if given.shape == wanted.shape else list(given.shape)
                    problems.append(
                        f"{name}: {key}: found {shown} stored, the values have {wanted[at]}"
                        f" (channel {at})"
                    )
        return problems

    def rows(self, dataset: Dataset) -> Rows:
        """Goes through the episodes of a view once."""
        found = Rows([], [], [])
        at = 0
        for episode in dataset:
            found.numbers.append(int(episode.metadata["episode_index"]))
            found.firsts.append(int(episode.metadata.get("dataset_from_index", at)))
            found.lengths.append(episode.num_steps)
            at += episode.num_steps
        return found

    @cached_property
    def _rows(self) -> Rows:
        return self.rows(self._dataset)


def _as_arrays(stats: Mapping[str, Any]) -> Stats:
    import numpy as np

    return {
        name: {key: np.atleast_1d(np.array(value, np.float64)) for key, value in each.items()}
        for name, each in stats.items()
        if isinstance(each, dict)
    }
