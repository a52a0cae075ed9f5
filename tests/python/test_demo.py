"""examples/demo.py, on a recording of the simulated arm and on datasets given to it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.python import small_dataset

pytest.importorskip("matplotlib")

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def run_demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


@pytest.mark.slow
def test_demo_on_a_recording_of_the_arm(tmp_path: Path) -> None:
    for module in ("mujoco", "PIL"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the simulated arm needs {module}")
    result = run_demo("-o", tmp_path, "--episodes", 1)
    assert result.returncode == 0, result.stderr
    for text in ("fusing", "voxelizing", "samples/s", "observation/joint_position"):
        assert text in result.stdout
    for name in ("contact_sheet.png", "voxels.png"):
        assert f"{tmp_path / name}" in result.stdout
        assert (tmp_path / name).stat().st_size > 20_000
    assert (tmp_path / "simulated_arm/1.0.0/features.json").exists()


@pytest.mark.slow
def test_demo_writes_a_lerobot_dataset_and_loads_it(tmp_path: Path) -> None:
    for module in ("mujoco", "PIL", "av", "pyarrow"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the simulated arm needs {module}")
    result = run_demo("-o", tmp_path, "--episodes", 1, "--format", "lerobot")
    assert result.returncode == 0, result.stderr
    for text in ("fusing", "samples/s", "observation.images.front", "observation.state"):
        assert text in result.stdout
    assert (tmp_path / "contact_sheet.png").stat().st_size > 20_000
    assert (tmp_path / "simulated_arm_lerobot/meta/info.json").exists()


@pytest.mark.parametrize(
    ("below", "clouds"), [("small/1.0.0", True), ("small", False), ("", False)]
)
def test_demo_on_a_dataset_leaves_nothing_in_it(tmp_path: Path, below: str, clouds: bool) -> None:
    dataset = small_dataset.write(tmp_path / "data", clouds=clouds)
    before = sorted(dataset.parent.parent.rglob("*"))
    output = tmp_path / "out"
    result = run_demo(tmp_path / "data" / below, "-o", output, "--rate-hz", 10)
    assert result.returncode == 0, result.stderr
    assert ("no point clouds" in result.stdout) is not clouds
    assert (output / "contact_sheet.png").exists()
    assert (output / "voxels.png").exists() is clouds
    assert sorted(dataset.parent.parent.rglob("*")) == before


def test_demo_on_data_of_unknown_rate_asks_for_it(tmp_path: Path) -> None:
    dataset = small_dataset.write(tmp_path / "data", clouds=False)
    result = run_demo(dataset, "-o", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.startswith("demo: ")
    assert "rate_hz" in result.stderr


def test_demo_on_nothing_says_so(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "missing", "-o", tmp_path / "out")
    assert result.returncode == 1
    assert f"{tmp_path / 'missing'}: not found" in result.stderr
