"""JSON files that lie beside HDF5 files and speak of them: ManiSkill's and RoboTwin's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ...errors import FormatError

__all__ = ["Beside"]

_MOST_BYTES = 256 << 20


class Beside:
    """What such files say.

    Attributes:
        rate_hz: the control rate; None where they do not say it.
        shared: metadata of all episodes of the file.
        task: what the robot was told; None where they do not say it.
    """

    def __init__(self, path: str) -> None:
        stem = os.path.splitext(path)[0]
        folder, name = os.path.split(stem)
        table = _read(stem + ".json")
        self.shared: dict[str, Any] = {}
        self._episodes: dict[int, Mapping[str, Any]] = {}
        episodes = table.get("episodes")
        if isinstance(episodes, list) and isinstance(table.get("env_info"), Mapping):
            self.shared = {key: value for key, value in table.items() if key != "episodes"}
            for episode in episodes:
                if isinstance(episode, Mapping) and isinstance(episode.get("episode_id"), int):
                    self._episodes[episode["episode_id"]] = episode
        self.rate_hz = _rate(self.shared.get("env_info"))
        said = _read(os.path.join(os.path.dirname(folder), "instructions", f"{name}.json"))
        self.task: str | None = None
        if said:
            self.shared["instructions"] = said
            seen = said.get("seen")
            if isinstance(seen, list) and seen and isinstance(seen[0], str):
                self.task = seen[0]

    def episode(self, number: int) -> Mapping[str, Any]:
        """Returns the metadata of the episode of that number."""
        return self._episodes.get(number, {})


def _rate(info: Any) -> float | None:
    at = info
    for key in ("env_kwargs", "sim_config"):
        at = at.get(key) if isinstance(at, Mapping) else None
        rate = at.get("control_freq") if isinstance(at, Mapping) else None
        if isinstance(rate, (int, float)) and 0 < rate < 1e9:
            return float(rate)
    return None


def _read(path: str) -> dict[str, Any]:
    """Returns the table that a file holds; none where there is no such file."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if len(content) > _MOST_BYTES:
        raise FormatError(f"{path}: found more than {_MOST_BYTES} bytes")
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: is no JSON: {error}") from None
    return table if isinstance(table, dict) else {}
