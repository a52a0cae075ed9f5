"""bench/training.py runs from end to end without a GPU, so that it does where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench/training.py"


@pytest.mark.slow
def test_each_feed_is_measured(tmp_path):
    feeds = ["resident", "robocache-gpu", "robocache-host", "torch"]
    command = [sys.executable, BENCH, "--tiny", "--steps", "12", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--feeds", ",".join(feeds), "--json", tmp_path / "found.json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "robocache-gpu, robocache-host, torch deliver is equal" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["resume"].startswith("a resumed run: 20 batches and losses the same")
    assert [row["feed"] for row in found["rows"]] == feeds
    for row in found["rows"]:
        assert 1 <= row["steps"] <= 12
        assert row["frames_per_second"] > 0
        assert 0 <= row["wait"] <= 1
        assert row["step_ms"][0] <= row["step_ms"][1]
