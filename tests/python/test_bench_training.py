"""bench/training.py and scaling.py run from end to end without a GPU, so that they do with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def run(script, folder, *arguments):
    """Returns what a script of bench/ writes with --tiny."""
    command = [sys.executable, BENCH / script, "--tiny", "--json", folder / "found.json"]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text())


@pytest.mark.slow
def test_each_feed_is_measured(tmp_path):
    feeds = ["resident", "robocache-gpu", "robocache-host", "torch"]
    found = run(
        "training.py", tmp_path, "--steps", "6", "--rounds", "1", "--feeds", ",".join(feeds)
    )
    assert found["equal"] == feeds[1:]
    assert found["resume"].startswith("a resumed run: 20 batches and losses the same")
    wanted = [name for feed in feeds[1:] for name in ("resident", feed)]
    assert [row["feed"] for row in found["rows"]] == [*wanted, "resident"]
    for row in found["rows"]:
        assert 1 <= row["steps"] <= 6
        assert row["frames_per_second"] > 0
        assert row["ratio"] > 0
        assert 0 <= row["wait"] <= 1
        assert row["step_ms"][0] <= row["step_ms"][1]


@pytest.mark.slow
def test_ranks_are_measured_and_share_each_sample(tmp_path):
    """bench/scaling.py starts two ranks, which compare what they are given with what one is."""
    whats = ["host, numbers", "device, pictures", "training"]
    found = run(
        "scaling.py", tmp_path, "--ranks", "2", "--seconds", "0.2", "--what", ";".join(whats)
    )
    assert found["cores_a_rank"] >= 1
    (ranks,) = found["runs"]
    assert (ranks["world_size"], ranks["backend"]) == (2, "gloo")
    assert ranks["order"] == (
        "uneven: 403 of 403 samples, each once, in order; "
        "drop: 402 of 403 samples, each once, in order"
    )
    assert [row["what"] for row in ranks["rows"]] == whats
    for row in ranks["rows"]:
        assert len(row["ranks"]) == 2
        assert row["frames_per_second"] > 0
        assert all(each["threads"] == each["cores"] >= 1 for each in row["ranks"])
