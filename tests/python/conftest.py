"""Fixtures of the Python tests: real data where there is some, and datasets opened from it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import robocache as rc
from tests.python.loader_model import CAN_FORK


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the tests that fork where that is not possible."""
    for item in items:
        if not CAN_FORK and item.get_closest_marker("forks"):
            item.add_marker(pytest.mark.skip(reason="the thread sanitizer is loaded"))


def _test_data(folder: str) -> Path:
    root = os.environ.get("ROBOCACHE_TEST_DATA")
    if not root:
        pytest.skip("ROBOCACHE_TEST_DATA is not set")
    path = Path(root).resolve() / folder
    if not path.exists():
        pytest.skip(f"{path} does not exist")
    return path


@pytest.fixture(scope="session")
def test_data() -> Callable[[str], Path]:
    """Finds a folder of real data, or skips."""
    return _test_data


@pytest.fixture(scope="session")
def bridge_path() -> Path:
    """BridgeData V2 in RLDS: 2 x 25 episodes of 10 steps."""
    return _test_data("rlds_bridge/bridge_dataset/1.0.0")


@pytest.fixture(scope="session")
def bridge_copy(bridge_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a folder that can be written; tests must not change its files."""
    copy = tmp_path_factory.mktemp("bridge") / "bridge_dataset" / "1.0.0"
    shutil.copytree(bridge_path, copy, ignore=shutil.ignore_patterns(".robocache*"))
    for path in copy.iterdir():
        path.chmod(0o644)
    return copy


@pytest.fixture(scope="session")
def bridge(bridge_copy: Path) -> rc.Dataset:
    """The dataset, opened."""
    return rc.open(bridge_copy, progress=False)
