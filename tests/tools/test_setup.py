"""The set-up stops where a package cannot be installed, and remembers only what it installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "setup.sh"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one group, `needed`, whose Python does what `.venv/install` says for pip."""
    for folder in ("tools", "requirements", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "tools")
    (tmp_path / "requirements/needed.txt").write_text("wanted==1\n")
    python = tmp_path / ".venv/bin/python"
    python.write_text('#!/bin/sh\ncase "$*" in *install*) . .venv/install ;; esac\n')
    python.chmod(0o755)
    return tmp_path


def set_up(project: Path, install: str) -> subprocess.CompletedProcess[str]:
    (project / ".venv/install").write_text(install)
    command = [str(project / "tools/setup.sh"), "needed"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("said", ["ERROR: No matching distribution found for wanted==1", "killed"])
def test_a_package_that_cannot_be_installed_stops_the_set_up(project: Path, said: str) -> None:
    run = set_up(project, f"echo '{said}'; exit 1\n")
    assert run.returncode == 1
    assert "pip could not install requirements/needed.txt" in run.stderr
    assert not (project / ".venv/.setup-needed").exists()


def test_what_is_installed_is_not_installed_again(project: Path) -> None:
    assert set_up(project, "echo Successfully installed wanted\n").returncode == 0
    assert set_up(project, "exit 1\n").returncode == 0
