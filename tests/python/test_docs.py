"""The code in the documentation runs as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_on_data_runs(
    bridge_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bridge_path, tmp_path / "bridge_dataset" / "1.0.0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path / "cache"))
    page = (DOCS / "data.md").read_text()
    names: dict[str, Any] = {}
    for block in re.finditer(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        first_line = page.count("\n", 0, block.start(1))
        code = "\n" * first_line + block.group(1)
        exec(compile(code, str(DOCS / "data.md"), "exec"), names)
    assert names["ds"].streams["observation/state"].rate_hz == 5
    assert names["mine"].streams["observation/force"].rate_hz == pytest.approx(250, rel=0.01)
    assert len(names["mine"]) == 1


def test_the_page_on_jpeg_runs() -> None:
    pytest.importorskip("PIL")
    page = (DOCS / "jpeg.md").read_text()
    names: dict[str, Any] = {}
    for block in re.finditer(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block.group(1), str(DOCS / "jpeg.md"), "exec"), names)
    assert tuple(names["images"].shape) == (9, 48, 64, 3)
    assert tuple(names["grey"].shape) == (8, 48, 64, 1)
    assert names["valid"].tolist() == [True] * 8 + [False]
