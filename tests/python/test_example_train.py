"""examples/train_act.py learns from a small set, and says how."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from tests.python import numbered_video as video

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/train_act.py"


@pytest.mark.slow
def test_a_policy_is_trained(tmp_path: Path) -> None:
    for module in ("av", "pyarrow", "torch"):
        pytest.importorskip(module)
    features = {
        "observation.state": {"dtype": "float32", "shape": (2,)},
        "observation.images.top": {"dtype": "video", "shape": (video.HEIGHT, video.WIDTH, 3)},
        "action": {"dtype": "float32", "shape": (2,)},
    }
    with rc.LeRobotWriter(tmp_path / "set", features, fps=10, codec="h264") as writer:
        for first in (0, 40):
            numbers = np.arange(first, first + 40)
            state = np.stack([np.sin(numbers / 9), np.cos(numbers / 9)], 1)
            pictures = np.stack([video.picture(number) for number in numbers])
            steps = {"observation.state": state, "action": state / 2}
            writer.add_episode({**steps, "observation.images.top": pictures}, "turn")
    result = subprocess.run(
        [sys.executable, EXAMPLE, tmp_path / "set", "--seconds", "4", "--batch-size", "8"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert result.returncode == 0, result.stderr
    found = re.search(r"(\d+) steps, .* loss ([0-9.]+) to ([0-9.]+)", result.stdout)
    assert found is not None, result.stdout
    assert int(found[1]) >= 1
    assert all(np.isfinite(float(loss)) for loss in found.groups()[1:])
