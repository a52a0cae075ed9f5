"""Settings: an argument, else the environment, else a default."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from robocache import cli, config
from tests.python import flat_dataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for setting in config.SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


@pytest.fixture
def dataset(tmp_path):
    return flat_dataset.make(tmp_path / "numbers", [20], {"x": np.zeros((20, 1), np.float32)})


def make(dataset, **options):
    return rc.DataLoader(dataset, 5, streams={"x": rc.Window(0)}, array="numpy", **options)


def test_every_variable_that_is_read_is_in_the_table():
    known = {setting.variable for setting in config.SETTINGS}
    found = set()
    for source in [*(ROOT / "src").rglob("*.[ch]"), *(ROOT / "python/src").rglob("*.[ch]")]:
        found |= set(re.findall(r'getenv\("(ROBOCACHE_\w+)"', source.read_text()))
    assert found == {"ROBOCACHE_CACHE", "ROBOCACHE_FFMPEG", "ROBOCACHE_NUM_THREADS"}
    for source in (ROOT / "python/robocache").rglob("*.py"):
        if source.name != "config.py":
            found |= set(re.findall(r'["\'](ROBOCACHE_\w+)["\']', source.read_text()))
    assert found <= known


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("cache_folder", "/somewhere", "/somewhere"),
        ("loader_threads", "3", 3),
        ("loader_threads", "", None),
        ("loader_threads", "0", "from 1 to 1024"),
        ("loader_threads", "1025", "from 1 to 1024"),
        ("loader_threads", "2.5", "a whole number"),
        ("loader_threads", "many", "'many'"),
        ("loader_memory_bytes", "1000000", 1000000),
        ("loader_memory_bytes", "1e6", "wanted a whole number from 1$"),
        ("loader_memory_bytes", "-1", "from 1"),
        ("watch_seconds", "0.5", 0.5),
        ("watch_seconds", "0", 0),
        ("device_memory", "driver", "driver"),
        ("device_memory", "Torch", "'torch' or 'driver'"),
        ("watch_seconds", "nan", "seconds, from 0 to 86400"),
        ("watch_seconds", "-1", "seconds, from 0"),
    ],
)
def test_what_a_variable_says(monkeypatch, name, text, wanted):
    (setting,) = (each for each in config.SETTINGS if each.name == name)
    monkeypatch.setenv(setting.variable, text)
    (described,) = (each for each in config.describe_settings() if each["name"] == name)
    if isinstance(wanted, str) and wanted != text:
        with pytest.raises(rc.Error, match=wanted) as caught:
            config.value(name)
        assert str(caught.value).startswith(f"${setting.variable}: found {text!r}, wanted ")
        assert described["problem"] == str(caught.value)
        assert described["source"] == "environment"
    else:
        assert config.value(name) == wanted
        assert described["value"] == wanted
        assert described["problem"] is None
        assert described["source"] == ("default" if wanted is None else "environment")


def test_arguments_outrank_the_environment_and_that_the_default(dataset, monkeypatch):
    assert make(dataset).stats()["threads"] == len(os.sched_getaffinity(0))
    monkeypatch.setenv("ROBOCACHE_LOADER_THREADS", "3")
    monkeypatch.setenv("ROBOCACHE_LOADER_MEMORY_BYTES", "50000000")
    loader = make(dataset)
    assert loader.stats()["threads"] == 3
    assert "3 threads" in repr(loader)
    assert loader.stats()["memory_bytes"] == 50000000
    loader = make(dataset, num_threads=1, memory_bytes=60000000)
    assert loader.stats()["threads"] == 1
    assert loader.stats()["memory_bytes"] == 60000000
    monkeypatch.setenv("ROBOCACHE_LOADER_THREADS", "many")
    with pytest.raises(rc.Error, match=r"\$ROBOCACHE_LOADER_THREADS: found 'many'"):
        make(dataset)
    assert make(dataset, num_threads=1).stats()["threads"] == 1


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_threads_of_operations_are_those_of_the_table():
    code = "import robocache as rc; print(rc.get_num_threads(), rc.config.value('num_threads'))"
    assert run(code, ROBOCACHE_NUM_THREADS="3").stdout.split() == ["3", "3"]


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"ROBOCACHE_CACHE": "/own", "XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "/xdg/robocache"),
        ({"XDG_CACHE_HOME": "xdg", "HOME": "/home/me"}, "/home/me/.cache/robocache"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/robocache"),
    ],
)
def test_the_cache_folder(monkeypatch, environment, wanted):
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    assert config.cache_folder() == wanted


def test_a_line_is_drawn_where_the_environment_asks(tmp_path):
    folder = tmp_path / "numbers"
    flat_dataset.make(folder, [20], {"x": np.zeros((20, 1), np.float32)})
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
import robocache as rc
from tests.python import flat_dataset
import numpy as np, pathlib
dataset = flat_dataset.make(
    pathlib.Path({str(tmp_path)!r}) / "again", [20], {{"x": np.zeros((20, 1), np.float32)}})
loader = rc.DataLoader(dataset, 5, streams={{"x": rc.Window(0)}}, array="numpy")
for _ in range(2):
    for _ in loader:
        time.sleep(0.01)
"""
    lines = run(code, ROBOCACHE_WATCH_SECONDS="0.001").stderr.splitlines()
    assert lines
    assert all(line.startswith("robocache: epoch ") for line in lines)
    assert run(code.replace("again", "once more")).stderr == ""


def test_doctor_tells_what_holds_and_warns_of_the_rest(monkeypatch, capsys):
    monkeypatch.setenv("ROBOCACHE_LOADER_THREADS", "3")
    monkeypatch.setenv("ROBOCACHE_WATCH_SECONDS", "often")
    monkeypatch.setenv("ROBOCACHE_LOADER_THREAD", "4")
    monkeypatch.setenv("ROBOCACHE_TEST_DATA", "/data")
    assert cli.main(["doctor"]) == 0
    told = capsys.readouterr()
    lines = [line.split() for line in told.out.splitlines()]
    assert ["loader_threads", "3", "($ROBOCACHE_LOADER_THREADS)"] in lines
    assert "watch_seconds        wrong: $ROBOCACHE_WATCH_SECONDS: found 'often'" in told.out
    assert "all cores (default; $ROBOCACHE_NUM_THREADS is not set)" in told.out
    assert told.err == (
        "robocache doctor: warning: $ROBOCACHE_LOADER_THREAD is set, and nothing reads it: did you "
        "mean $ROBOCACHE_LOADER_THREADS?\n"
    )
