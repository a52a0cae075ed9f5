"""LeRobot itself reads what we write, and we what it writes.

$ROBOCACHE_LEROBOT_PYTHON names the interpreters of environments that have LeRobot, separated by
colons; without it the tests are skipped. bench/results/lerobot_peers.json has what was found.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

PYTHONS = [python for python in os.environ.get("ROBOCACHE_LEROBOT_PYTHON", "").split(":") if python]
RESULT = Path(__file__).parents[2] / "bench/results/lerobot_peers.json"


@pytest.mark.slow
@pytest.mark.skipif(not PYTHONS, reason="ROBOCACHE_LEROBOT_PYTHON is not set")
@pytest.mark.parametrize("python", PYTHONS)
def test_lerobot_reads_what_we_write_and_we_what_it_writes(tmp_path: Path, python: str) -> None:
    from bench.lerobot_proof import prove

    assert len(prove(python, tmp_path)["cases"]) == 4


def test_the_recorded_proof_is_of_both_releases() -> None:
    results = json.loads(RESULT.read_text())
    assert {each["lerobot"] for each in results} == {"0.4.4", "0.6.1"}
    for each in results:
        for case in each["cases"]:
            keys = ("written_by_lerobot", "same_items", "read_by_lerobot")
            items = None if case["codec"] == "hevc" else 53
            assert [case[key] for key in keys] == [53, items, 53]
