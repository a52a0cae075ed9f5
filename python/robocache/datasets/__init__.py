"""Loaders by the name of the dataset, thin over :class:`robocache.DataLoader`.

With ``use_robocache=False`` the same batches come from plain PyTorch, for comparison.
"""

from __future__ import annotations

from .calvin import CalvinDataLoader
from .lerobot import LeRobotDataLoader, LeRobotDataset, LeRobotMetadata
from .robomimic import RobomimicDataLoader
from .rtx import BridgeDataLoader, RTXDataLoader

__all__ = [
    "BridgeDataLoader",
    "CalvinDataLoader",
    "LeRobotDataLoader",
    "LeRobotDataset",
    "LeRobotMetadata",
    "RTXDataLoader",
    "RobomimicDataLoader",
]
