"""Loaders that align numbers on a device: those of the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cuda import aligning
from tests.gpu.test_loader import Copies


@pytest.mark.filterwarnings("ignore:.*lies outside of the clock")
@pytest.mark.parametrize("check", aligning.CHECKS, ids=lambda check: str(check.__name__))
def test_aligning(tmp_path: Path, check: Any) -> None:
    check(tmp_path, Copies())
