"""Formats on the command line: those that come along, and those that a module registers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from robocache import cli
from tests.python.test_calvin import write_split

MODULE = """
import numpy as np
import robocache as rc

def index(path, dataset):
    dataset.control_rate_hz = 10
    dataset.stream("state", dtype="float32", shape=(2,))
    dataset.part("state.bin", read=read)

def read(part):
    part.episodes(num_steps=[30], streams={"state": rc.Rows(offset=[0])})

rc.register_format(NAME, probe=lambda path: path.endswith(NAME), index=index)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / f"data of {tmp_path.name}"
    folder.mkdir()
    np.arange(60, dtype=np.float32).tofile(folder / "state.bin")
    (tmp_path / "my_formats.py").write_text(MODULE.replace("NAME", repr(tmp_path.name)))
    return folder


def run_all(path: Path, picture: Path, *options: object) -> None:
    """Each command that opens a dataset."""
    for command in (
        ["index", path],
        ["info", path],
        ["view", path, "-o", picture],
        ["bench", path, "--seconds", 0.1, "--threads", 1, "--no-images"],
    ):
        arguments = [str(argument) for argument in (*command, *options, "--json")]
        assert cli.main(arguments) == 0, command


def test_formats_that_come_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    write_split(tmp_path / "training", [(3, 20)])
    run_all(tmp_path, tmp_path / "sheet.png")
    assert "calvin" in capsys.readouterr().out


def test_formats_of_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    options = ["--import", folder.parent / "my_formats.py"]
    with pytest.raises(rc.errors.UnsupportedError, match="no format knows"):
        rc.open(folder)
    # registered again, the module says so, as it does in Python
    assert cli.main(["info", str(folder), *map(str, options), *map(str, options)]) == 1
    assert "there is one of that name" in capsys.readouterr().err
    run_all(folder, folder.parent / "sheet.png", "--format", folder.parent.name)


def test_formats_of_a_module(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = ["info", folder, "--import", "my_formats", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "robocache", *map(str, command)],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["format"] == folder.parent.name


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("no_such_module_at_all", "ModuleNotFoundError: No module named"),
        ("missing.py", "FileNotFoundError"),
        ("broken.py", "SyntaxError"),
        ("raises.py", "KeyError: 'gone'"),
    ],
)
def test_modules_that_cannot_be_imported(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    Path("broken.py").write_text("def")
    Path("raises.py").write_text("raise KeyError('gone')")
    assert cli.main(["info", str(folder), "--import", module]) == 1
    error = capsys.readouterr().err
    assert f"--import {module}: {said}" in error
    assert error.count("\n") == 1
