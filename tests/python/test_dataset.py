"""Opening datasets and looking into them."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import sqlite3
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

import robocache as rc
from robocache import errors
from robocache._progress import ProgressBar, format_bytes, format_duration
from tests.python import small_dataset
from tests.python.interrupts import interrupting
from tests.python.wire_bytes import varint


def test_bridge_at_a_glance(bridge):
    assert len(bridge.episodes) == 50
    assert bridge.num_steps == 500
    assert bridge.format == "rlds"
    assert bridge.control_rate_hz == 5
    assert {name: split.num_episodes for name, split in bridge.splits.items()} == {
        "train": 25,
        "val": 25,
    }
    state = bridge.streams["observation/state"]
    assert (state.kind, state.dtype, state.shape, state.rate_hz) == ("numeric", "float32", (7,), 5)
    image = bridge.streams["observation/image_0"]
    assert (image.kind, image.dtype, image.encoding) == ("image", "uint8", "jpeg")
    assert bridge.streams["language_instruction"].kind == "text"


def test_table(bridge):
    text = str(bridge)
    assert "bridge_dataset 1.0.0  (rlds, 2 files" in text
    assert "episodes  50  (splits: train 25, val 25)" in text
    assert any(
        line.split()[:3] == ["observation/state", "float32", "[7]"] and "5 Hz" in line
        for line in text.splitlines()
    )
    assert "50 episodes, 500 steps" in repr(bridge)


def test_episode(bridge):
    episode = bridge.episodes[3]
    assert episode.num_steps == 10
    assert episode.duration_ns == 9 * 200_000_000
    assert isinstance(episode.task, str)
    assert isinstance(episode.metadata, dict)
    assert "episode_metadata/file_path" in episode.metadata or "file_path" in episode.metadata
    assert set(episode) == set(bridge.streams)
    assert episode.split in bridge.splits


def test_streams_of_an_episode(bridge):
    episode = bridge.episodes[0]
    state = episode["observation/state"]
    assert state.values.shape == (10, 7)
    assert state.values.dtype == np.float32
    np.testing.assert_array_equal(state.times_ns, np.arange(10) * 200_000_000)
    np.testing.assert_array_equal(state.row_lengths, np.ones(10))
    np.testing.assert_array_equal(state.read(3, 2), state.values[3:5])
    image = episode["observation/image_0"]
    pixels = image.values
    assert pixels.shape[0] == 10
    assert pixels.shape[3] == 3
    assert pixels.dtype == np.uint8
    assert image.raw(0)[:2] == b"\xff\xd8"
    text = episode["language_instruction"].values
    assert text == [text[0]] * 10
    assert len(state) == 10


def test_errors_of_reading_name_the_stream(bridge):
    episode = bridge.episodes[0]
    with pytest.raises(KeyError, match="not in the dataset, which has action, ") as caught:
        episode["nothing"]
    assert isinstance(caught.value, rc.Error)
    with pytest.raises(rc.Error, match="observation/state"):
        episode["observation/state"].read(5, 6)
    with pytest.raises(rc.Error, match=r"'observation/state': is numeric, .* read\(\) gives"):
        episode["observation/state"].raw(0)
    with pytest.raises(IndexError, match=r"'observation/image_0': sample 10 found, .* has 10"):
        episode["observation/image_0"].raw(10)


def test_episodes_are_a_sequence(bridge):
    episodes = bridge.episodes
    assert episodes[-1].id == episodes[49].id
    assert [episode.id for episode in episodes[1:4]] == [episodes[i].id for i in (1, 2, 3)]
    assert sum(1 for _ in episodes) == 50
    with pytest.raises(IndexError, match="episodes: index 50 found, wanted 0 to 49"):
        episodes[50]


def test_views(bridge):
    train = bridge.split("train")
    assert len(train) == 25
    assert {episode.split for episode in train.episodes} == {"train"}
    short = train.where("num_steps >= 10 AND id < 5")
    assert 0 < len(short) <= 5
    assert "split train, where num_steps >= 10 AND id < 5" in repr(short)
    assert len(train.take([3, 1, -1])) == 3
    assert train.take([3]).episodes[0].id == train.episodes[3].id
    assert len(bridge.where("num_steps > 10")) == 0


def test_full_text_search(bridge):
    words = [task.split()[0] for task in bridge.tasks if task]
    found = bridge.where(f"task MATCH '{words[0]}'")
    assert 0 < len(found) <= 50
    assert all(words[0] in episode.task for episode in found.episodes)


@pytest.mark.parametrize(
    "expression", ["nonsense = 1", "1; DROP TABLE episodes", "1) OR (1", "", "id IN (SELECT 1"]
)
def test_wrong_expressions(bridge, expression):
    with pytest.raises(ValueError, match="where") as caught:
        bridge.where(expression)
    assert isinstance(caught.value, rc.Error)


def test_unknown_split(bridge):
    with pytest.raises(LookupError, match="test"):
        bridge.split("test")


def test_tasks(bridge):
    assert len(bridge.tasks) == len(set(bridge.tasks))
    assert sum(bridge.tasks.num_episodes(i) for i in range(len(bridge.tasks))) <= 50
    with pytest.raises(IndexError):
        bridge.tasks[len(bridge.tasks)]


def test_values_outlive_everything(bridge_copy):
    values = rc.open(bridge_copy, progress=False).episodes[7]["action"].values
    again = rc.open(bridge_copy, progress=False).episodes[7]["action"].values
    np.testing.assert_array_equal(values, again)


def test_missing_folder(tmp_path):
    with pytest.raises(rc.Error, match="nowhere"):
        rc.open(tmp_path / "nowhere", progress=False)


def test_folder_that_is_no_dataset(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(rc.Error, match=str(tmp_path)):
        rc.open(tmp_path, progress=False)


def test_damaged_record_is_raised_or_skipped(bridge_path, tmp_path):
    folder = tmp_path / "1.0.0"
    shutil.copytree(bridge_path, folder, ignore=shutil.ignore_patterns(".robocache*"))
    shard = next(folder.glob("*train*"))
    shard.chmod(0o644)
    with open(shard, "r+b") as file:
        file.seek(200_000)
        byte = file.read(1)
        file.seek(200_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(rc.errors.FormatError, match=shard.name) as caught:
        rc.open(folder, progress=False)
    assert re.search(r": byte \d+: ", str(caught.value))
    dataset = rc.open(folder, progress=False, on_error="skip")
    assert len(dataset) == 49
    assert len(dataset.skipped) == 1
    assert shard.name in dataset.skipped[0]
    assert "skipped   1 damaged records" in str(dataset)


def test_progress_callable(bridge_path, tmp_path):
    calls = []
    rc.open(bridge_path, catalog=tmp_path / "c.sqlite", progress=lambda *a: calls.append(a))
    assert calls
    assert calls[-1][0] <= calls[-1][1] == 2
    assert all(len(call) == 5 for call in calls)


def test_progress_can_stop_and_indexing_goes_on_later(bridge_path, tmp_path):
    catalog = tmp_path / "c.sqlite"
    with pytest.raises(rc.errors.CancelledError):
        rc.open(bridge_path, catalog=catalog, progress=lambda *_: False)
    assert len(rc.open(bridge_path, catalog=catalog, progress=False)) == 50


def test_exception_in_progress_comes_through(bridge_path, tmp_path):
    def explode(*_):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        rc.open(bridge_path, catalog=tmp_path / "c.sqlite", progress=explode)


def test_catalog_goes_to_a_cache_folder_when_asked(bridge_path, tmp_path, monkeypatch):
    catalog = tmp_path / "elsewhere" / "bridge.sqlite"
    catalog.parent.mkdir()
    dataset = rc.open(bridge_path, catalog=catalog, progress=False)
    assert os.path.samefile(dataset.catalog_path, catalog)


def test_a_catalog_of_somebody_else_beside_the_data_is_passed_over(
    bridge_path, tmp_path, monkeypatch
):
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / "bridge_dataset"
    shutil.copytree(bridge_path, copy, ignore=shutil.ignore_patterns(".robocache*"))
    found = copy / ".robocache.sqlite"
    with sqlite3.connect(found) as other:
        other.execute("CREATE TABLE savings (sum)")
    before = found.read_bytes()
    with pytest.warns(RuntimeWarning, match=re.escape(str(found))):
        dataset = rc.open(copy)
    assert dataset.catalog_path.startswith(str(tmp_path / "cache"))
    assert len(dataset.episodes) == 50
    with pytest.raises(errors.FormatError, match="not a catalog"):
        rc.open(copy, catalog=found, rebuild=True)
    assert found.read_bytes() == before


def test_a_catalog_of_an_earlier_version_is_made_anew_and_says_so(bridge_path, tmp_path):
    catalog = tmp_path / "catalog.sqlite"
    rc.open(bridge_path, catalog=catalog)
    with sqlite3.connect(catalog) as ours:
        ours.execute("PRAGMA user_version = 3")
    with pytest.warns(RuntimeWarning, match=r"version 3, .* made anew$"):
        assert len(rc.open(bridge_path, catalog=catalog).episodes) == 50
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rc.open(bridge_path, catalog=catalog)


def test_a_catalog_of_another_dataset_is_refused(bridge_path, tmp_path):
    catalog = tmp_path / "catalog.sqlite"
    rc.open(small_dataset.write(tmp_path), catalog=catalog, control_rate_hz=10)
    with pytest.raises(errors.InvalidArgumentError, match=r"'small'.*'bridge_dataset'"):
        rc.open(bridge_path, catalog=catalog)
    assert len(rc.open(bridge_path, catalog=catalog, rebuild=True).episodes) == 50


def metadata_group(text: bytes) -> bytes:
    """Metadata of 64 episodes as a catalog holds it (src/catalog/metadata.h), all the same."""
    group = (varint(len(text)) + text) * 64
    return varint(len(group)) + zlib.compress(group)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"not JSON", "Expecting value"),
        (b'{"a": 1}, 2', "Extra data"),
        (b"[1, 2]", r"found \[1, 2\], wanted a JSON object"),
        (b'{"a": "\xff"}', "Invalid"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_metadata_that_is_none_is_a_format_error(bridge_path, tmp_path, text, part):
    catalog = tmp_path / "catalog.sqlite"
    rc.open(bridge_path, catalog=catalog)
    with sqlite3.connect(catalog) as edited:
        edited.execute("UPDATE metadata SET data = ?", (metadata_group(text),))
    dataset = rc.open(bridge_path, catalog=catalog)
    with pytest.raises(errors.FormatError, match=rf"catalog.sqlite'.*episode 3: .*{part}"):
        dataset.episodes[3]


@pytest.mark.parametrize("damage", ["UPDATE layouts SET data = x'00'", "DELETE FROM layouts",
                                    "DELETE FROM summaries", "DELETE FROM tasks",
                                    "UPDATE episodes SET steps = 1 << 62",
                                    "UPDATE episodes SET task = 999"])  # fmt: skip
def test_a_damaged_catalog_is_a_format_error(bridge_path, tmp_path, damage):
    catalog = tmp_path / "catalog.sqlite"
    rc.open(bridge_path, catalog=catalog)
    with sqlite3.connect(catalog) as edited:
        edited.execute(damage)
    with pytest.raises(errors.FormatError, match="catalog"):  # noqa: PT012
        dataset = rc.open(bridge_path, catalog=catalog)
        list(dataset.tasks)
        dataset.episodes[3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("features.json", "features.json: 5000 features, wanted at most 4096"),
        ("dataset_info.json", "dataset_info.json: 5000 splits, wanted at most 4096"),
    ],
)
def test_metadata_without_end_is_refused(tmp_path, name, message):
    """Each is compared with all others, which takes time with the square of their number."""
    path = small_dataset.write(tmp_path) / name
    content = json.loads(path.read_text())
    if name == "features.json":
        leaf = {"tensor": {"shape": {}, "dtype": "float32"}}
        content["featuresDict"]["features"] = {f"x{i}": leaf for i in range(5000)}
    else:
        (split, *_) = content["splits"]
        content["splits"] = [{**split, "name": f"s{i}"} for i in range(5000)]
    path.write_text(json.dumps(content))
    with pytest.raises(errors.FormatError, match=message):
        rc.open(path.parent, progress=False)


def test_a_file_that_is_written_to_is_an_error_or_left_out(bridge_path, tmp_path):
    copy = tmp_path / "1.0.0"
    shutil.copytree(bridge_path, copy, ignore=shutil.ignore_patterns(".robocache*"))
    dataset = rc.open(copy, catalog=tmp_path / "c.sqlite", progress=False)
    assert len(dataset.episodes[0]["action"].values) == 10
    (changed,) = copy.glob("*-train.tfrecord-*")
    changed.chmod(0o644)
    with changed.open("r+b") as file:
        file.write(file.read(1))
    time.sleep(0.05)
    options = {"streams": ["action"], "array": "numpy"}
    with pytest.raises(errors.IoError, match=f"{changed.name}.*written to"):
        list(rc.DataLoader(dataset, 50, **options))
    loader = rc.DataLoader(dataset, 50, on_error="skip", **options)
    assert sum(len(batch["task"]) for batch in loader) == 250
    assert loader.stats()["samples_skipped"] == 250
    assert all(changed.name in message for message in loader.skipped)


def test_ctrl_c_ends_an_expression(bridge):
    """Forty times 20 million comparisons in each episode, a minute and more together."""
    slow = " OR ".join(["trim(hex(zeroblob(8000)), id || printf('%.*c', 1300, 'x') || '0')"] * 40)
    with interrupting(rc.Dataset.where, KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        bridge.where(slow)


def test_second_open_leaves_the_catalog(bridge_path, tmp_path):
    catalog = tmp_path / "c.sqlite"
    rc.open(bridge_path, catalog=catalog, progress=False)
    before = catalog.stat()
    assert len(rc.open(bridge_path, catalog=catalog, progress=False)) == 50
    after = catalog.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_unknown_control_rate(bridge_path, tmp_path):
    with pytest.raises(ValueError, match=r"control_rate_hz: -1 found, wanted positive"):
        rc.open(bridge_path, catalog=tmp_path / "c.sqlite", control_rate_hz=-1)


def test_progress_bar_draws_one_line():
    class Screen:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    screen = Screen()
    bar = ProgressBar("bridge", screen)
    bar(0, 0, 0, 0, 0)
    assert screen.text == ""
    for done in range(3):
        bar(done, 2, done * 500_000, 1_000_000, done * 25)
    bar.close()
    assert "\n" not in screen.text[:-1]
    last = screen.text.rstrip().split("\r")[-1]
    assert re.search(r"bridge \[#+\] 100%", last)
    assert "2/2 files, 50 episodes" in last


@pytest.mark.parametrize("columns", [120, 80, 60, 40, 20, 5, 0])
def test_progress_bar_fits_the_terminal(columns, monkeypatch):
    class Screen(io.StringIO):
        def fileno(self):
            return 2

    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    screen = Screen()
    bar = ProgressBar("a_dataset_with_a_long_name", screen)
    for done in range(5):
        bar(done, 4, done * 1_000_000_000, 4_000_000_000, done * 1000)
    bar.close()
    lines = screen.getvalue().rstrip("\n").split("\r")[1:]
    assert len(lines) == 5
    assert all(len(line) < (columns or 80) for line in lines)
    assert max(map(len, lines)) > (columns or 80) // 2
    assert "0 B/s" not in screen.getvalue()
    assert "%" in lines[-1]
    if columns == 120:
        assert "4/4 files, 4000 episodes" in lines[-1]


def test_formatting():
    assert [format_bytes(n) for n in (0, 999, 1000, 2_500_000, 7e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.5 MB",
        "7.0 TB",
    ]
    assert [format_duration(s) for s in (0.4, 59, 61, 3700)] == [
        "0 s",
        "59 s",
        "1 min 01 s",
        "1 h 01 min",
    ]


def test_two_threads_read_one_episode(bridge):
    import threading

    episode = bridge.episodes[0]
    wanted = {name: episode[name].values for name in ("action", "observation/image_0")}
    failures = []

    def work(name):
        for _ in range(30):
            if not np.array_equal(episode[name].values, wanted[name]):
                failures.append(name)

    threads = [threading.Thread(target=work, args=(n,)) for n in itertools.chain(wanted, wanted)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    "stamps", [[-(2**63), 2**63 - 1], [-(2**63), 0], [-1, 2**63 - 1], [2**63 - 2, 2**63 - 1]]
)
def test_stamps_at_the_ends_of_int64(tmp_path, stamps):
    features = {
        "force": rc.Feature("float32", (2,), ragged=True),
        "force_time_ns": rc.Feature("int64", ragged=True),
    }
    with rc.RldsWriter(tmp_path, "ends", features) as writer:
        steps = {"force": np.ones((2, 1, 2)), "force_time_ns": np.array(stamps)[:, None]}
        writer.add_episode(steps, split="train")
    dataset = rc.open(tmp_path / "ends" / "1.0.0")
    apart = stamps[1] - stamps[0]
    assert dataset.episodes[0].duration_ns == min(apart, 2**63 - 1)
    assert dataset.episodes[0]["force"].times_ns.tolist() == stamps
    assert dataset.streams["force"].rate_hz == pytest.approx(1e9 / apart)
    if apart < 2**63:
        assert len(rc.DataLoader(dataset, batch_size=1, rate_hz=1, streams=["force"])) > 0
    else:
        with pytest.raises(rc.errors.FormatError, match=f"from {stamps[0]} to {stamps[1]} ns"):
            rc.DataLoader(dataset, batch_size=1, rate_hz=1, streams=["force"])


@pytest.mark.timeout(60)
def test_a_pipe_is_not_waited_for(tmp_path):
    """Whichever format its name is of."""
    for name in ("pipe", "pipe.hdf5", "pipe.zip", "pipe.zarr.zip"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(rc.Error, match=name):
            rc.open(tmp_path / name, progress=False)


@pytest.mark.parametrize("path", ["https://host/bridge/1.0.0", "s3://bucket/x", "gs://bucket/x"])
def test_a_url_is_no_path(path):
    with pytest.raises(rc.errors.UnsupportedError, match=f"path: found the URL '{path}'"):
        rc.open(path)


def test_an_empty_path_is_not_the_current_folder(bridge_path, monkeypatch):
    monkeypatch.chdir(bridge_path)
    with pytest.raises(rc.errors.InvalidArgumentError, match="path: found '', wanted a path"):
        rc.open("")


def test_files_that_cannot_be_read_or_written_are_named(bridge, tmp_path):
    gone = tmp_path / "gone" / "file.json"
    for call in (
        lambda: bridge.steps(gone),
        lambda: bridge.statistics(["action"]).to_lerobot(gone),
        lambda: bridge.statistics(["action"]).to_openvla(gone),
    ):
        with pytest.raises(rc.errors.IoError, match=rf"{gone}: No such file"):
            call()


def test_a_record_that_lacks_a_feature_is_named_and_others_load_r5(tmp_path):
    """Of the metadata, too, of which all else than the one record has every key."""

    def write(name, keys, count):
        metadata = {key: rc.Feature("str") for key in keys}
        features = {"action": rc.Feature("float32", (2,))}
        with rc.RldsWriter(
            tmp_path, name, features, metadata=metadata, control_rate_hz=5
        ) as writer:
            for _ in range(count):
                writer.add_episode({"action": np.zeros((3, 2))}, metadata=dict.fromkeys(keys, "a"))
        (shard,) = (tmp_path / name).glob("*/*.tfrecord*")
        return shard

    whole, lacking = write("whole", "xy", 2), write("lacking", "x", 1)
    begin = whole.stat().st_size
    whole.write_bytes(whole.read_bytes() + lacking.read_bytes())
    info = whole.parent / "dataset_info.json"
    table = json.loads(info.read_text())
    table["splits"][0]["shardLengths"] = ["3"]
    info.write_text(json.dumps(table))
    message = rf"{whole.name}: byte {begin + 12}: .* no feature 'episode_metadata/y'"
    with pytest.raises(rc.errors.FormatError, match=message):
        rc.open(whole.parent, progress=False)
    dataset = rc.open(whole.parent, on_error="skip", progress=False)
    assert (len(dataset), len(dataset.skipped)) == (2, 1)


@pytest.mark.parametrize("how", ["removed", "replaced", "made anew"])
def test_an_open_dataset_goes_on_with_its_catalog(bridge_copy, tmp_path, how):
    """Whatever lies at its path by then, also for connections that are made later."""
    path = tmp_path / "bridge_dataset" / "1.0.0"
    shutil.copytree(bridge_copy, path, ignore=shutil.ignore_patterns(".robocache*"))
    path.chmod(0o755)
    dataset = rc.open(path, progress=False)
    wanted = [episode.task for episode in dataset]
    dataset = rc.open(path, progress=False)
    catalog = Path(dataset.catalog_path)
    if how == "made anew":
        rc.open(path, progress=False, rebuild=True)
    else:
        catalog.unlink()
    if how == "replaced":
        catalog.write_bytes(b"another")
    loader = rc.DataLoader(dataset, 8, shuffle=True, streams=["action"], num_threads=4)
    assert sum(len(batch["action"]) for batch in loader) == 500
    assert [episode.task for episode in dataset] == wanted
    assert len(dataset.where("num_steps >= 10")) == 50
    assert len(dataset.tasks[:]) == 4
    assert dataset.contents().num_tasks == 4
    assert not dataset.verify().problems
    assert dataset.statistics(["reward"])["reward"].count == 500
