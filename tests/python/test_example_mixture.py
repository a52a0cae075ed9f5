"""examples/train_mixture.py learns from two small datasets, in exact proportion."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/train_mixture.py"


def test_it_learns():
    command = [sys.executable, EXAMPLE, "--seconds", "1.5", "--episodes", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(
        r"(\d+) steps, (\d+) of 'wide', (\d+) of 'apart', loss ([\d.]+) to ([\d.]+)", done.stdout
    )
    assert found is not None, done.stdout
    steps, wide, apart = map(int, found.group(1, 2, 3))
    assert wide + apart == 64 * steps
    assert wide == 3 * apart  # 64 is a multiple of the cycle
    assert float(found.group(5)) < float(found.group(4)) or steps < 20
