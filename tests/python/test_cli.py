"""The command line, from outside: arguments in, output and exit codes back."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from robocache import cli, view
from tests.python import small_dataset

STEPS = sum(small_dataset.num_steps(i) for i in range(small_dataset.NUM_EPISODES))
RATE = ["--control-rate-hz", "10"]
# Interrupts itself when it has begun to load.
INTERRUPTED = """
import os, signal, sys, threading
import robocache
from robocache.cli import main

# Ignored by what a shell runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))

class Loader(robocache.DataLoader):
    def __iter__(self):
        if timer.ident is None:
            timer.start()
        return super().__iter__()

robocache.DataLoader = Loader
sys.exit(main())
"""


@pytest.fixture(scope="module")
def dataset_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset.write(tmp_path_factory.mktemp("small"))


def read_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert cli.main([str(argument) for argument in arguments]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return json.loads(output.out)


def test_index_says_what_it_found_and_the_same_again(
    dataset_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "catalog.sqlite"
    for _ in range(2):
        found = read_json(capsys, "index", dataset_path, "--catalog", catalog, "--json")
        assert found["episodes"] == small_dataset.NUM_EPISODES
        assert found["steps"] == STEPS
        assert found["catalog"] == str(catalog)
        assert found["catalog_bytes"] == catalog.stat().st_size
        assert found["skipped"] == []
    assert cli.main(["index", str(dataset_path), "--catalog", str(catalog)]) == 0
    text = capsys.readouterr().out
    assert f"small: {small_dataset.NUM_EPISODES} episodes, {STEPS} steps in 1 files" in text
    assert str(catalog) in text


def test_a_catalog_of_another_dataset_is_refused(
    dataset_path: Path, bridge_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "catalog.sqlite"
    assert cli.main(["index", str(dataset_path), "--catalog", str(catalog)]) == 0
    before = catalog.read_bytes()
    capsys.readouterr()
    for command in ("info", "index"):
        assert cli.main([command, str(bridge_path), "--catalog", str(catalog)]) == 1
        message = capsys.readouterr().err
        assert str(catalog) in message
        assert "that of dataset 'small' 1.0.0, wanted is 'bridge_dataset' 1.0.0" in message
    assert catalog.read_bytes() == before


def test_info_json_describes_every_stream(
    dataset_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read_json(capsys, "info", dataset_path, *RATE, "--json")
    assert (found["name"], found["version"], found["format"]) == ("small", "1.0.0", "rlds")
    assert found["control_rate_hz"] == 10
    assert found["splits"] == [
        {"name": "train", "num_episodes": small_dataset.NUM_EPISODES, "num_steps": STEPS}
    ]
    streams = {stream["name"]: stream for stream in found["streams"]}
    image = streams["observation/image"]
    assert (image["kind"], image["dtype"], image["shape"]) == ("image", "uint8", [24, 32, 3])
    force = streams["observation/force"]
    assert force["is_ragged"]
    assert force["times"] == "observation/force_time_ns"
    assert force["rate_hz"] == pytest.approx(50.0, rel=0.01)
    tasks = {item["task"]: item["episodes"] for item in found["tasks"]}
    assert tasks == {"open the drawer": 2, "close the drawer": 1, "wipe the table": 1}
    assert found["num_tasks"] == 3
    assert found["bytes"] > 0


def test_info_prints_a_table_with_tasks(
    dataset_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", str(dataset_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:1] == ["observation/state"] for line in lines)
    assert any(line.split() == ["2", "open", "the", "drawer"] for line in lines)


def test_where_and_split_choose_episodes(
    dataset_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = read_json(
        capsys, "info", dataset_path, "--split", "train", "--where", "task MATCH 'open'", "--json"
    )
    assert chosen["episodes"] == 2
    assert chosen["steps"] == small_dataset.num_steps(0) + small_dataset.num_steps(2)


def test_info_tells_of_the_chosen_episodes_alone(
    dataset_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = ["--where", "task MATCH 'open'"]
    chosen = read_json(capsys, "info", dataset_path, *RATE, *choice, "--json")
    everything = read_json(capsys, "info", dataset_path, *RATE, "--json")
    assert chosen["tasks"] == [{"task": "open the drawer", "episodes": 2}]
    assert chosen["num_tasks"] == 1
    steps = small_dataset.num_steps(0) + small_dataset.num_steps(2)
    assert chosen["splits"] == [{"name": "train", "num_episodes": 2, "num_steps": steps}]
    dataset = rc.open(dataset_path, progress=False)
    assert chosen["bytes"] == sum(dataset.episodes[i].num_bytes for i in (0, 2))
    assert chosen["bytes"] < everything["bytes"]
    assert (chosen["files"], everything["files"]) == (1, 1)
    assert chosen["clocks_measured_over_episodes"] == 2
    arguments = ["info", str(dataset_path), *RATE, "--where", "id < 0", "--json"]
    assert cli.main(arguments) == 0
    output = capsys.readouterr()
    none = json.loads(output.out)
    assert re.fullmatch(r"robocache info: warning: .*no episode\n", output.err)
    assert (none["episodes"], none["bytes"], none["files"]) == (0, 0, 0)
    assert (none["tasks"], none["splits"]) == ([], [])
    assert cli.main(["info", str(dataset_path), *choice]) == 0
    text = capsys.readouterr().out
    assert "close the drawer" not in text
    assert "tasks     1\n" in text


def test_info_measures_clocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    features = {"x": rc.Feature(), "x_time_ns": rc.Feature("int64"), "y": rc.Feature()}
    jitter_ns = 200_000
    with rc.RldsWriter(tmp_path, "clocks", features, control_rate_hz=50) as writer:
        for episode in range(3):
            stamps = np.arange(200) * 20_000_000 + rng.normal(0, jitter_ns, 200).astype(np.int64)
            stamps[100:] += episode * 500_000_000  # none, 500 ms, 1 s
            writer.add_episode({"x": np.zeros(200), "x_time_ns": stamps, "y": np.zeros(200)})
    path = tmp_path / "clocks"
    streams = {
        stream["name"]: stream for stream in read_json(capsys, "info", path, "--json")["streams"]
    }
    assert streams["y"]["clock"] is None
    clock = streams["x"]["clock"]
    assert clock["rate_hz"] == pytest.approx(50, rel=0.01)
    # A spacing is the difference of two stamps.
    assert clock["jitter_s"] == pytest.approx(jitter_ns * 1e-9 * np.sqrt(2), rel=0.1)
    assert clock["num_gaps"] == 2
    assert clock["longest_gap_s"] == pytest.approx(1.02, abs=0.002)
    assert clock["longest_gap_episode"] == 2
    assert clock["longest_gap_at_s"] == pytest.approx(99 * 0.02, abs=0.002)
    assert cli.main(["info", str(path), "--where", "id = 1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = re.compile(r"x +\S+ Hz +\d+ us +1  5\d\d ms \(episode 1, at 1\.9\d s\)")
    assert any(row.fullmatch(line) for line in lines)
    assert "measured over 1 of 1 episodes; a gap is more than twice the usual spacing" in lines


@pytest.mark.parametrize("images", [True, False])
def test_bench_measures_what_it_loads(
    dataset_path: Path, capsys: pytest.CaptureFixture[str], images: bool
) -> None:
    found = read_json(
        capsys,
        "bench",
        dataset_path,
        *RATE,
        *("--batch-size", 8, "--threads", 2, "--seconds", 0.2, "--json"),
        "--images" if images else "--no-images",
    )
    assert ("observation/image" in found["streams"]) is images
    assert "observation/force_time_ns" not in found["streams"]
    assert found["seconds"] >= 0.2
    assert found["samples_per_s"] == pytest.approx(found["samples"] / found["seconds"])
    assert found["frames_per_s"] == images * found["samples_per_s"]
    assert 0 <= found["wait_share"] <= 1
    assert sum(found["wait_shares"].values()) == pytest.approx(found["wait_share"])
    assert set(found["busy_threads"]) < set(found["wait_shares"])
    assert found["threads"] == 2


def test_view_writes_a_picture_of_everything(
    dataset_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "sheet.png"
    found = read_json(capsys, "view", dataset_path, *RATE, "--episode", 1, "-o", picture, "--json")
    assert found["episode"] == 1
    assert found["images"] == ["observation/image"]
    assert found["clouds"] == ["observation/cloud"]
    signals = {"action", "observation/state", "observation/force", "is_last"}
    assert set(found["signals"]) == signals
    assert found["ticks"] == small_dataset.num_steps(1)
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size[0] == 1200
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100


@pytest.fixture(scope="module")
def odd_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One episode of streams of every kind, with a gap in the stamps of two of them."""
    count = 30
    rng = np.random.default_rng(0)
    image_times = small_dataset.START_NS + np.arange(count) * 100_000_000
    image_times[20:] += 600_000_000
    force_times = [image_times[step] + np.arange(5) * 20_000_000 for step in range(10)]
    force_times += [[] for _ in range(count - 11)]
    force_times += [image_times[-1] + np.arange(5) * 20_000_000]
    streams = {
        "action": (rc.Feature("float32", (3,)), rng.normal(size=(count, 3))),
        "flag": (rc.Feature("bool"), np.arange(count) % 7 < 3),
        "flags": (rc.Feature("bool", (4,)), rng.random((count, 4)) > 0.5),
        "number": (rc.Feature("int64"), np.arange(count) // 9),
        "numbers": (rc.Feature("uint8", (2,)), rng.integers(0, 9, (count, 2))),
        "scalar": (rc.Feature("float32"), rng.normal(size=count)),
        "never": (rc.Feature("float32", (3,)), np.tile([1, 2.5, 3], (count, 1))),
        "never_flag": (rc.Feature("bool"), np.zeros(count, bool)),
        "wide": (rc.Feature("float32", (64,)), rng.normal(size=(count, 64))),
        "force": (
            rc.Feature("float32", (2,), ragged=True),
            [np.ones((len(t), 2)) * rng.normal() for t in force_times],
        ),
        "force_time_ns": (rc.Feature("int64", ragged=True), force_times),
        "image": (
            rc.Feature("uint8", (24, 32, 3), encoding="jpeg"),
            [small_dataset.jpeg(step) for step in range(count)],
        ),
        "image_time_ns": (rc.Feature("int64"), image_times),
        "broken": (
            rc.Feature("uint8", (24, 32, 3), encoding="jpeg"),
            [small_dataset.jpeg(step) for step in range(count)],
        ),
    }
    folder = tmp_path_factory.mktemp("odd")
    features = {name: feature for name, (feature, _) in streams.items()}
    with rc.RldsWriter(folder, "odd", features, control_rate_hz=10) as writer:
        writer.add_episode({name: values for name, (_, values) in streams.items()})
    path = folder / "odd" / "1.0.0"
    # Another size than the images have makes the stream one that cannot be decoded.
    json_path = path / "features.json"
    declared = json.loads(json_path.read_text())
    steps = declared["featuresDict"]["features"]["steps"]["sequence"]["feature"]
    image = steps["featuresDict"]["features"]["broken"]["image"]
    image["shape"]["dimensions"] = ["48", "32", "3"]
    json_path.write_text(json.dumps(declared))
    return path


def test_view_draws_every_kind_and_tells_of_the_rest(
    odd_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "sheet.png"
    found = read_json(capsys, "view", odd_path, "-o", picture, "--json")
    assert found["images"] == ["image"]
    assert found["signals"] == [
        *("force", "number", "numbers", "scalar", "flag", "flags", "action"),
    ]
    assert set(found["constants"]) == {"never", "never_flag"}
    assert set(found["left_out"]) == {"wide", "broken"}
    assert found["left_out"]["wide"] == "64 channels"
    assert "[48, 32, 3]" in found["left_out"]["broken"]
    assert found["gaps"] == {"force": 1, "image": 1}
    # Gaps are as long as one says, and then nothing is delivered in them.
    limited = tmp_path / "limited.png"
    options = ["--max-gap", "5", "--json"]
    assert read_json(capsys, "view", odd_path, "-o", limited, *options)["gaps"] == {}
    read_json(capsys, "view", odd_path, "-o", limited, "--max-gap", "0.5", "--json")
    assert limited.read_bytes() != picture.read_bytes()


def test_view_cuts_no_names(tmp_path: Path) -> None:
    """Nor do labels of several lines leave their rows."""
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    names = [
        "observation.images.left_wrist_camera_fisheye",
        "observation/state/joint_positions_of_the_right_arm_without_gripper",
        "withoutanythingthatdivideswordsinitsverylongname",
        "action",
    ]
    features = {name: rc.Feature("float32", (2,)) for name in names}
    features[names[0]] = rc.Feature("uint8", (16, 24, 3), encoding="png")
    values: dict[str, Any] = {name: np.random.default_rng(0).random((12, 2)) for name in names}
    values[names[0]] = np.zeros((12, 16, 24, 3), np.uint8)
    with rc.RldsWriter(tmp_path, "long", features, control_rate_hz=10) as writer:
        writer.add_episode(values)
    figure = view.contact_sheet(rc.open(tmp_path / "long", progress=False), 0)
    renderer = FigureCanvasAgg(figure).get_renderer()
    shown = ""
    rows = []
    for text in figure.findobj(Text):
        if text.get_text():
            extent = text.get_window_extent(renderer)
            assert extent.x0 >= 0, text.get_text()
            shown += text.get_text().replace("\n", "") + "\n"
            if text.axes is None and text.get_ha() == "right":
                rows.append(extent)
    assert all(name in shown for name in names)
    rows.sort(key=lambda extent: extent.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(rows))


def test_view_says_what_it_wrote(
    odd_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    for name, kind in (("sheet", "PNG"), ("sheet.svg", "SVG"), ("sheet.PNG", "PNG")):
        picture = tmp_path / name
        assert cli.main(["view", str(odd_path), "-o", str(picture)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"{picture}: {kind} of episode 0, 36 ticks at 10 Hz, 8 streams"
        assert "not drawn: wide: 64 channels" in lines[1:]
        assert picture.read_bytes().startswith(b"\x89PNG" if kind == "PNG" else b"<?xml")
    assert cli.main(["view", str(odd_path), "-o", str(tmp_path / "sheet.nonsense")]) == 1
    assert "sheet.nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["index", "info", "bench"])
def test_a_missing_dataset_is_one_line_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    missing = tmp_path / "nothing"
    assert cli.main([command, str(missing)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith(f"robocache {command}: ")
    assert str(missing) in output.err


def test_an_unknown_episode_or_split_is_an_error(
    dataset_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "sheet.png"
    arguments = ["view", str(dataset_path), *RATE, "-o", str(picture)]
    assert cli.main([*arguments, "--episode", "99"]) == 1
    assert "99" in capsys.readouterr().err
    assert cli.main([*arguments, "--split", "test"]) == 1
    assert "test" in capsys.readouterr().err
    assert not picture.exists()


def test_an_unknown_rate_asks_for_it(
    dataset_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = str(tmp_path / "no_rate.sqlite")
    assert cli.main(["bench", str(dataset_path), "--catalog", catalog, "--seconds", "0.1"]) == 1
    assert "rate_hz" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["info"], ["bench", "x", "--seconds", "-1"], ["view", "x"]],
)
def test_wrong_arguments_end_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: robocache" in capsys.readouterr().err


def test_the_catalog_of_another_dataset_is_refused(
    dataset_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with rc.RldsWriter(tmp_path, "other", {"x": rc.Feature()}) as writer:
        writer.add_episode({"x": [1.0]})
    catalog = tmp_path / "catalog.sqlite"
    assert cli.main(["index", str(tmp_path / "other"), "--catalog", str(catalog)]) == 0
    before = catalog.read_bytes()
    capsys.readouterr()
    for command in (["info"], ["index"], ["bench", *RATE, "--seconds", "0.1"]):
        assert cli.main([*command, str(dataset_path), "--catalog", str(catalog)]) == 1
        assert re.search("catalog.*'other'", capsys.readouterr().err)
    assert catalog.read_bytes() == before


def test_damaged_records_are_skipped_and_listed(
    dataset_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "small" / "1.0.0"
    shutil.copytree(dataset_path, copy, ignore=shutil.ignore_patterns(".robocache*"))
    shard = next(copy.glob("*.tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    assert cli.main(["index", str(copy)]) == 1
    assert shard.name in capsys.readouterr().err
    found = read_json(capsys, "index", copy, "--on-error", "skip", "--json")
    assert found["episodes"] == small_dataset.NUM_EPISODES - 1
    assert len(found["skipped"]) == 1
    assert shard.name in found["skipped"][0]


def test_doctor_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert read_json(capsys, "doctor", "--json") == rc.check_installation()
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("robocache ")
    assert rc.__version__ in text
    assert "cuda" in text
    assert "video" in text


def test_doctor_says_what_cannot_be_indexed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "h5py" else found(name)
    )
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "hdf5 (indexing needs h5py: pip install 'robocache[hdf5]'), lerobot" in text
    assert re.search(r"^h5py +not installed$", text, re.MULTILINE)


def test_it_runs_as_a_program_without_torch(dataset_path: Path) -> None:
    code = (
        "import sys; from robocache.cli import main; code = main(); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "info", str(dataset_path), "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert json.loads(result.stdout)["name"] == "small"
    assert result.stderr == ""


def test_a_reader_that_has_enough_is_no_error(dataset_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run(
        [sys.executable, "-m", "robocache", "info", str(dataset_path)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    os.close(write_end)
    assert (result.returncode, result.stderr) == (0, "")


def test_ctrl_c_ends_a_command_with_130(dataset_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, "bench", str(dataset_path), *RATE, "--seconds", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (output, errors) == ("", "robocache bench: interrupted\n")


def test_a_picture_that_cannot_be_written_is_named(
    dataset_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    for picture in (tmp_path / "missing" / "sheet.png", tmp_path / "sheet.nonsense"):
        assert cli.main(["view", str(dataset_path), *RATE, "-o", str(picture)]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"robocache view: {picture}: ")
        assert error.count("\n") == 1
