"""HDF5 files of layouts that nobody knows, by a mapping, and the draft of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomllib

import robocache as rc
from robocache.cli import main

h5py = pytest.importorskip("h5py")

from tests.python.hdf5_files import check_against_h5py, numbers, pixels


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with two files of runs, whose steps are commands."""
    for file in range(2):
        with h5py.File(tmp_path / f"part{file}.h5", "w") as opened:
            for run, steps in ((0, 5), (3, 8)):
                group = opened.create_group(f"recordings/run{run}")
                group.attrs["instruction"] = f"do {run}"
                group["commands"] = numbers(steps, 6, dtype="int16") + run
                group["cam/front"] = pixels(steps, 16, 16, 3)
                group["state"] = np.zeros(steps, [("q", "f8", (3,)), ("t", "i8")])
                group["config"] = numbers(3)
    return tmp_path


STREAMS = {
    "action": {"path": "commands", "scale": 0.5, "unit": "rad"},
    "observation/front": {"path": "cam/front", "kind": "image"},
    "q": "state/q",
}
MAPPING = {
    "format": "hdf5",
    "episodes": "/recordings/run*",
    "rate_hz": 20,
    "task": "instruction",
    "streams": STREAMS,
}


def test_a_mapping(runs: Path) -> None:
    dataset = rc.open(runs, mapping=MAPPING)
    assert len(dataset) == 4
    assert dataset.control_rate_hz == 20
    assert [episode.task for episode in dataset] == ["do 0", "do 3"] * 2
    action = dataset.streams["action"]
    assert (action.unit, action.scale, action.dtype) == ("rad", 0.5, "float32")
    np.testing.assert_array_equal(
        dataset[1]["action"].values, (numbers(8, 6, dtype="int16") + 3) * np.float32(0.5)
    )
    assert dataset.notes[0] == "not in the mapping, and not read: state/t"
    files = [(runs / f"part{f}.h5", f"recordings/run{r}") for f in (0, 1) for r in (0, 3)]
    without = {name: stream for name, stream in STREAMS.items() if name != "action"}
    dataset = rc.open(runs, mapping={**MAPPING, "streams": {**without, "commands": "commands"}})
    paths = {"observation/front": "cam/front", "q": "state/q"}
    check_against_h5py(dataset, files, "commands", paths)
    dataset = rc.open(runs, mapping={**MAPPING, "files": "part1*"})
    assert {episode.file for episode in dataset} == {"part1.h5"}


def test_an_episode_a_file(tmp_path: Path) -> None:
    for number in (2, 10):
        with h5py.File(tmp_path / f"log_{number}.h5", "w") as file:
            file["a/cmd"] = numbers(7, 2) + number
            file["a/pose"] = numbers(7, 3)
    mapping = {
        "format": "hdf5",
        "episodes": "/a",
        "task": "wave",
        "streams": {"cmd": "cmd", "pose": "pose"},
    }
    dataset = rc.open(tmp_path, mapping=mapping)
    check_against_h5py(dataset, [(tmp_path / f"log_{n}.h5", "a") for n in (2, 10)], "cmd")
    assert dataset[0].task == "wave"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"streams": {}}, "mapping: streams: are missing"),
        ({"episode": "/"}, "mapping: found 'episode', wanted one of 'format', 'files'"),
        ({"episodes": "/data/demo_*"}, "the file has no groups /data/demo_N"),
        ({"episodes": "/nowhere"}, "the file has no dataset /nowhere/commands"),
        ({"steps": "nothing"}, "have no dataset 'nothing' with rows"),
        ({"files": "*.bag"}, "no file found, wanted '*.bag'"),
        ({"streams": {"x": "commands2"}, "steps": "commands"}, "commands2 is not in the first"),
        ({"streams": {"x": {"path": "config"}}, "steps": "commands"}, "config has no row a step"),
        ({"streams": {"x": {"path": "commands", "kind": "text"}}}, "but commands is numeric"),
        ({"streams": {"x": {"path": "commands", "kinds": 1}}}, "found 'kinds', wanted one of"),
        ({"streams": {"x": {"path": "commands", "scale": "1"}}}, "scale: found '1', wanted a"),
    ],
)
def test_what_is_wrong_is_named(runs: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(rc.Error) as raised:
        rc.open(runs, mapping={**MAPPING, **change})
    assert says in str(raised.value)


def test_info_drafts_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(runs), "--no-progress"]) == 1
    told = capsys.readouterr()
    assert "no layout is known" in told.err
    assert "`robocache info` drafts one" in told.err
    table = tomllib.loads(told.out)
    assert table["episodes"] == "/recordings/run*"
    assert set(table["streams"]) == {"commands", "cam/front", "state/q", "state/t"}
    (runs / "robocache.toml").write_text(told.out)
    dataset = rc.open(runs, control_rate_hz=10)
    files = [(runs / f"part{f}.h5", f"recordings/run{r}") for f in (0, 1) for r in (0, 3)]
    check_against_h5py(dataset, files, "commands")
    assert main(["info", str(runs), "--no-progress", "--json"]) == 0
