"""HDF5 files of known layouts are opened by one call and hold what h5py reads of them."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import sqlite3
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

h5py = pytest.importorskip("h5py")

from tests.python.hdf5_files import (
    check_against_h5py,
    episodes_of,
    numbers,
    pixels,
    write_demos,
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path_factory.mktemp("cache")))


def demos(path: Path) -> list[tuple[Path, str]]:
    return [(path, group) for group in episodes_of(path)]


# ---- layouts ------------------------------------------------------------------------------------


def test_isaac_lab(test_data: Any, tmp_path: Path) -> None:
    for file in Path(test_data("hdf5_isaaclab")).glob("*.hdf5"):
        (tmp_path / file.name).symlink_to(file)
    with pytest.warns(RuntimeWarning, match="total says 3901 steps, the episodes have 2163"):
        dataset = rc.open(tmp_path)
    files = [tmp_path / "dataset.hdf5", tmp_path / "generated_dataset_small_failed.hdf5"]
    check_against_h5py(dataset, [each for file in files for each in demos(file)])
    assert (len(dataset), dataset.num_steps) == (26, 5899)
    assert [episode.metadata["episode"] for episode in dataset[:4]] == [
        "demo_0",
        "demo_1",
        "demo_2",
        "demo_6",
    ]
    first = dataset[0].metadata
    assert first["success"] is True
    assert first["env_args"]["env_name"] == "Isaac-Stack-Cube-Franka-IK-Rel-v0"
    assert len(first["initial_state/articulation/robot/joint_position"][0]) == 9
    notes = " ".join(dataset.notes)
    assert "10 episodes are numbered 0 to 16, with gaps; metadata has" in notes
    assert "total says 3901 steps" in notes
    assert dataset.control_rate_hz is None
    with pytest.raises(rc.Error, match="rate_hz"):
        rc.DataLoader(dataset, batch_size=2)


ROBOSUITE = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}})


@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "gzip"}])
def test_robomimic(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "low_dim.hdf5"
    write_demos(path, {10: 9, 2: 30, 0: 12}, attributes={"env_args": ROBOSUITE}, **options)
    with h5py.File(path, "a") as file:
        for name in file["data"]:
            file["data"][name].attrs["model_file"] = "<mujoco/>"
    dataset = rc.open(path)
    assert dataset.control_rate_hz == 20
    assert [e.metadata["episode"] for e in dataset] == ["demo_0", "demo_2", "demo_10"]
    assert dataset[0].metadata["model_file"] == "<mujoco/>"
    assert dataset.streams["obs/front_image"].kind == "image"
    assert dataset.streams["dones"].dtype == "bool"
    check_against_h5py(dataset, demos(path))


def test_libero_images_are_said_to_be_upside_down_h3(tmp_path: Path) -> None:
    path = tmp_path / "KITCHEN_SCENE1_demo.hdf5"
    problem = json.dumps({"language_instruction": "open the drawer"})
    attributes = {
        "env_args": ROBOSUITE,
        "problem_info": problem,
        "bddl_file_name": "kitchen.bddl",
        "macros_image_convention": "opengl",
    }
    write_demos(path, {0: 5, 1: 6}, attributes=attributes)
    dataset = rc.open(path)
    said = "images are stored upside down (macros_image_convention is 'opengl')"
    assert any(note.startswith(said) and "obs/front_image" in note for note in dataset.notes)
    assert said in str(dataset)
    assert [episode.task for episode in dataset] == ["open the drawer"] * 2
    check_against_h5py(dataset, demos(path))  # delivered as stored
    assert 'rc.Image(orient="flip_vertical") turns them' in str(dataset)
    window = rc.Window(0, image=rc.Image(orient="flip_vertical"))
    loader = rc.DataLoader(dataset, 11, streams={"obs/front_image": window}, array="numpy")
    stored = np.concatenate([episode["obs/front_image"].values for episode in dataset])
    np.testing.assert_array_equal(next(iter(loader))["obs/front_image"][:, 0], stored[:, ::-1])
    with h5py.File(path, "a") as file:
        file["data"].attrs["macros_image_convention"] = "opencv"
    assert not rc.open(path).notes


def test_maniskill(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.rgbd.pd_joint_pos.h5"
    with h5py.File(path, "w") as file:
        for number, steps in ((0, 6), (1, 9), (11, 4)):
            group = file.create_group(f"traj_{number}")
            group["actions"] = numbers(steps, 8)
            group["terminated"] = np.zeros(steps, bool)
            group["success"] = np.arange(steps) > 2
            group["env_states/actors/cube"] = numbers(steps + 1, 13)
            camera = group.create_group("obs/sensor_data/base_camera")
            shape = (steps + 1, 16, 16)
            camera.create_dataset("rgb", data=pixels(*shape, 3), compression="gzip", chunks=True)
            camera.create_dataset("depth", data=numbers(*shape, 1, dtype="uint16"))
    about = {
        "env_info": {"env_id": "PickCube-v1", "env_kwargs": {"sim_config": {"control_freq": 25}}},
        "episodes": [
            {"episode_id": 0, "success": True, "control_mode": "pd_joint_pos"},
            {"episode_id": 11, "success": False, "control_mode": "pd_joint_pos"},
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(about))
    dataset = rc.open(path)
    files = [(path, f"traj_{n}") for n in (0, 1, 11)]
    check_against_h5py(dataset, files)
    assert dataset.control_rate_hz == 25
    assert dataset[2].metadata["episode_id"] == 11
    assert dataset[2].metadata["success"] is False
    assert dataset[1].metadata["env_info"]["env_id"] == "PickCube-v1"
    assert dataset.streams["obs/sensor_data/base_camera/depth"].dtype == "uint16"
    assert any("a row more than there are actions" in note for note in dataset.notes)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_aloha(tmp_path: Path, compress: bool, chunk: int | None) -> None:
    image = pytest.importorskip("PIL.Image")
    import io

    cameras = ("cam_high", "cam_left_wrist", "cam_low")
    frames: dict[tuple[int, str], list[bytes]] = {}
    paths = []
    for number, steps in ((0, 5), (1, 8), (10, 3)):
        path = tmp_path / f"episode_{number}.hdf5"
        paths.append(path)
        with h5py.File(path, "w") as file:
            file.attrs["sim"] = False
            file.attrs["compress"] = compress
            file["action"] = numbers(steps, 14)
            file["observations/qpos"] = numbers(steps, 14, dtype="float64")
            file["observations/qvel"] = numbers(steps, 14)
            lengths = np.zeros((3, steps))
            for c, camera in enumerate(cameras):
                raw = pixels(steps, 24, 32, 3)
                if not compress:
                    file[f"observations/images/{camera}"] = raw
                    continue
                encoded = []
                for frame in raw:
                    buffer = io.BytesIO()
                    image.fromarray(frame).save(buffer, "JPEG", quality=50)
                    encoded.append(buffer.getvalue())
                frames[number, camera] = encoded
                width = max(map(len, encoded)) + 40
                padded = [np.frombuffer(each.ljust(width, b"\0"), np.uint8) for each in encoded]
                file.create_dataset(
                    f"observations/images/{camera}",
                    data=np.stack(padded),
                    chunks=None if chunk is None else (chunk, width),
                    compression=None if chunk != 3 else "gzip",
                )
                lengths[[2, 0, 1][c]] = [len(each) for each in encoded]  # in an order of its own
            if compress:
                file["compress_len"] = lengths
    dataset = rc.open(tmp_path, control_rate_hz=50)
    assert [episode.file for episode in dataset] == [path.name for path in paths]
    assert dataset.streams["observations/images/cam_low"].kind == "image"
    assert dataset[0].metadata["compress"] is compress
    if not compress:
        check_against_h5py(dataset, [(path, "/") for path in paths], "action")
        return
    for episode, number in zip(dataset, (0, 1, 10), strict=True):
        for camera in cameras:
            stream = episode[f"observations/images/{camera}"]
            jpegs = frames[number, camera]
            assert [stream.raw(i) for i in range(len(stream))] == jpegs
            decoded = [np.asarray(image.open(io.BytesIO(each))) for each in jpegs]
            np.testing.assert_array_equal(stream.values, np.stack(decoded))
    loader = rc.DataLoader(dataset, batch_size=4, shuffle=True, array="numpy")
    assert sum(len(batch["action"]) for batch in loader) == 16


def test_robotwin(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    import io

    (tmp_path / "data").mkdir()
    (tmp_path / "instructions").mkdir()
    wanted = []
    for number in range(2):
        jpegs = []
        for frame in pixels(6, 24, 32, 3):
            buffer = io.BytesIO()
            image.fromarray(frame).save(buffer, "JPEG")
            jpegs.append(buffer.getvalue())
        with h5py.File(tmp_path / f"data/episode{number}.hdf5", "w") as file:
            width = max(map(len, jpegs))
            file.create_dataset("observation/head_camera/rgb", data=jpegs, dtype=f"S{width}")
            file["joint_action/vector"] = numbers(6, 14, dtype="float64")
            file["joint_action/left_gripper"] = numbers(6, dtype="float64")
            file["endpose/left_endpose"] = numbers(6, 7, dtype="float64")
            file["pointcloud"] = np.zeros((6, 0))
        wanted.append([np.asarray(image.open(io.BytesIO(each))) for each in jpegs])
        text = json.dumps({"seen": [f"task {number}", "do it"], "unseen": ["other"]})
        (tmp_path / f"instructions/episode{number}.json").write_text(text)
    dataset = rc.open(tmp_path, control_rate_hz=25)
    assert len(dataset) == 2
    for episode, frames in zip(dataset, wanted, strict=True):
        np.testing.assert_array_equal(
            episode["observation/head_camera/rgb"].values, np.stack(frames)
        )
    assert [episode.task for episode in dataset] == ["task 0", "task 1"]
    assert dataset[1].metadata["instructions"]["unseen"] == ["other"]
    paths = [(tmp_path / f"data/episode{n}.hdf5", "/") for n in range(2)]
    with h5py.File(paths[0][0]) as file:
        np.testing.assert_array_equal(
            dataset[0]["joint_action/vector"].values, file["joint_action/vector"][()]
        )


def test_many_files_open_at_once_the_second_time(tmp_path: Path) -> None:
    for number in range(40):
        with h5py.File(tmp_path / f"episode_{number}.hdf5", "w") as file:
            file["action"] = numbers(5, 2) + number
    assert len(rc.open(tmp_path)) == 40
    from robocache.formats.hdf5 import process

    def never(self: Any, *arguments: Any) -> Any:
        raise AssertionError("the files are looked into again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.Reader, "ask", never)
        dataset = rc.open(tmp_path)
        assert dataset[39]["action"].values[0, 0] == 39
    with h5py.File(tmp_path / "episode_7.hdf5", "a") as file:
        file["action"][:] = -1
    assert rc.open(tmp_path)[7]["action"].values[0, 0] == -1


def test_masks_are_splits(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {n: 5 + n for n in range(6)}, image=None)
    masks = {
        "train": [b"demo_5", b"demo_0", b"demo_2"],
        "valid": [b"demo_1", b"demo_4"],
        "20_percent": [b"demo_2"],
    }
    with h5py.File(path, "a") as file:
        for name, names in masks.items():
            file[f"mask/{name}"] = names
    for dataset in (rc.open(path), rc.open(path), pickle.loads(pickle.dumps(rc.open(path)))):
        assert {s.name: s.num_episodes for s in dataset.splits.values()} == {
            "all": 6,
            "train": 3,
            "valid": 2,
            "20_percent": 1,
        }
        assert dataset.splits["train"].num_steps == 5 + 7 + 10
        assert "train 3, valid 2" in str(dataset)
        train = dataset.split("train")
        assert [e.metadata["episode"] for e in train] == ["demo_0", "demo_2", "demo_5"]
        assert {n: s.num_episodes for n, s in train.contents().splits.items()} == {
            "all": 3,
            "train": 3,
            "20_percent": 1,
        }
        assert [e.id for e in train.split("20_percent")] == [2]
        with pytest.warns(UserWarning, match="no episode"):
            assert len(train.split("valid")) == 0
        assert dataset[2].metadata["mask"] == ["20_percent", "train"]
        with pytest.raises(rc.errors.NotFoundError, match="no split 'test'"):
            dataset.split("test")
    again = pickle.loads(pickle.dumps(train))
    assert [e.id for e in again] == [0, 2, 5]


@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "gzip"}])
@pytest.mark.parametrize("workers", [0, 2])
def test_robomimic_loader_and_its_plain_path(
    tmp_path: Path, options: dict[str, Any], workers: int
) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 9, 1: 12, 2: 7}, attributes={"env_args": ROBOSUITE}, **options)
    with h5py.File(path, "a") as file:
        file["mask/train"] = [b"demo_0", b"demo_2"]
    given = {"split": "train", "shuffle": False, "action_horizon": 4, "num_threads": workers}
    ours = rc.datasets.RobomimicDataLoader(path, 5, **given)
    plain = rc.datasets.RobomimicDataLoader(path, 5, use_robocache=False, **given)
    assert set(ours.streams) == {"actions", "obs/eef_pos", "obs/front_image"}
    count = 0
    for a, b in zip(ours, plain, strict=True):
        assert a.keys() == b.keys()
        for name, values in a.items():
            if isinstance(values, list):
                assert values == b[name]
            else:
                np.testing.assert_array_equal(values.numpy(), b[name].numpy(), err_msg=name)
        count += len(a["task"])
    assert count == 16
    without = rc.datasets.RobomimicDataLoader(path, 5, images=False)
    assert set(without.streams) == {"actions", "obs/eef_pos"}


def test_the_page_on_hdf5_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from tests.python.test_docs import DOCS, run_page

    path = tmp_path / "drawer_demo.hdf5"
    write_demos(path, {0: 20, 1: 30}, image=None, attributes={"env_args": ROBOSUITE})
    with h5py.File(path, "a") as file:
        for number, steps in ((0, 20), (1, 30)):
            demo = file[f"data/demo_{number}"]
            demo["obs/image"] = pixels(steps, 32, 32, 3)
            demo["obs/wrench"] = numbers(steps, 6)
        file["mask/train"] = [b"demo_1"]
    monkeypatch.chdir(tmp_path)
    names = run_page(DOCS / "hdf5.md")
    assert names["ds"].streams["observation/torque"].unit == "N"
    assert set(names["plain"].streams) == set(names["loader"].streams)


def test_large_metadata_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, dict.fromkeys(range(70), 2), image=None)
    with h5py.File(path, "a") as file:
        for number in range(70):
            file[f"data/demo_{number}"].attrs["model_file"] = f"<body {number}/>" * (number * 60)
    for number, episode in enumerate(rc.open(path)):
        assert episode.metadata["model_file"] == f"<body {number}/>" * (number * 60)


# ---- what is left out is said -------------------------------------------------------------------


def test_notes(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 8, 1: 9, 2: 7}, image=None)
    with h5py.File(path, "a") as file:
        data = file["data"]
        data["demo_0"]["links"] = np.array([data.ref] * 8, h5py.ref_dtype)
        data["demo_0"].create_dataset("sequences", (8,), h5py.vlen_dtype("i4"))
        data["demo_0"]["complex"] = np.zeros(8, "complex64")
        data["demo_0"]["table"] = numbers(300, 2)
        data["demo_2"]["new"] = numbers(7, 100)
        data["demo_1"].attrs["num_samples"] = 10
        empty = data.create_group("demo_5")
        for name in ("actions", "rewards", "dones", "obs/eef_pos"):
            empty.create_dataset(name, shape=(0, *data["demo_0"][name].shape[1:]), dtype="f4")
        file["mask/train"] = [b"demo_0", b"demo_9"]
    with pytest.warns(RuntimeWarning) as warned:
        dataset = rc.open(path)
    said = " ".join(str(each.message) for each in warned)
    assert str(path) in said
    for what in (
        "demo_5: has no steps and is left out",
        "demo_1: num_samples says 10, there are 9 steps",
        "demo_2: has what is no stream and is not read: new",
        "/mask/train names absent episodes: demo_9",
    ):
        assert what in said
        assert any(f"demo.hdf5: {what}" in note for note in dataset.notes)
    note = next(note for note in dataset.notes if note.startswith("not read: "))
    for what in (
        "links (holds references",
        "sequences (holds sequences",
        "complex (holds complex64",
    ):
        assert what in note
    assert "table ([300, 2] has not 8 rows)" in note
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rc.open(path).notes == dataset.notes


@pytest.mark.parametrize("given", [True, False])
def test_a_catalog_that_travels_has_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    """Elsewhere, by a user who has no cache and no h5py: streams, notes and splits are there."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    path = home / "demo.hdf5"
    write_demos(path, {0: 8, 2: 9, 5: 7}, image=None, attributes={"note": "kept"})
    with h5py.File(path, "a") as file:
        file["data"].attrs["total"] = 5
        file["mask/train"] = [b"demo_0", b"demo_5"]
    catalog = home / "demo.sqlite" if given else None
    with pytest.warns(RuntimeWarning, match="total says 5 steps"):
        made = rc.open(path, catalog=catalog)
    shutil.copytree(home, away)  # times of change are others, and so are inodes
    (away / path.name).touch()
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "h5py.py").write_text("raise ImportError('blocked')")
    monkeypatch.syspath_prepend(str(blocked))
    monkeypatch.delitem(sys.modules, "h5py")
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path / "nothing"))
    found = rc.open(away / path.name, catalog=None if catalog is None else away / "demo.sqlite")
    assert found.notes == made.notes
    assert any("total says 5 steps" in note for note in found.notes)
    assert any("numbered 0 to 5, with gaps" in note for note in found.notes)
    assert [e.metadata["episode"] for e in found.split("train")] == ["demo_0", "demo_5"]
    assert found.splits["train"].num_steps == 15
    assert not (tmp_path / "nothing").exists()
    with (away / path.name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(rc.errors.UnsupportedError, match="h5py is needed"):
        rc.open(away / path.name)


def test_notes_follow_the_files_that_they_are_of(tmp_path: Path) -> None:
    for number in range(3):
        write_demos(tmp_path / f"{number}.hdf5", {0: 5, 3 + number: 5}, image=None)
    assert [note.partition(",")[0] for note in rc.open(tmp_path).notes] == [
        f"{number}.hdf5: 2 episodes are numbered 0 to {3 + number}" for number in range(3)
    ]
    write_demos(tmp_path / "1.hdf5", {0: 5, 1: 5}, image=None)
    (tmp_path / "2.hdf5").unlink()
    for _ in range(2):
        assert [note.partition(":")[0] for note in rc.open(tmp_path).notes] == ["0.hdf5"]


@pytest.mark.parametrize(
    "change",
    [
        {"plan": None},
        {"plan": {"layout": "x"}},
        {"plan": {"leaves": [{"stream": 5}]}},
        {"version": 0},
        {"file": "../x"},
        {"plan": 2**70},
    ],
)
def test_what_a_strangers_catalog_remembers_is_checked(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path, catalog = tmp_path / "demo.hdf5", tmp_path / "catalog.sqlite"
    write_demos(path, {0: 8}, image=None)
    wanted = list(rc.open(path, catalog=catalog).streams)
    with contextlib.closing(sqlite3.connect(catalog)) as db:
        (text,) = db.execute("SELECT data FROM told").fetchone()
        told = json.loads(text)
        told["remembered"].update(change)
        db.execute("UPDATE told SET data = ?", (json.dumps(told),))
        db.commit()
    assert list(rc.open(path, catalog=catalog).streams) == wanted


@pytest.mark.parametrize(
    "runs", [[[0, 4]], [[-1, 1]], [[1, 1], [0, 1]], [[0, 0]], [[0, 2**70]], [["a", 1]], [5], [[1]]]
)
def test_splits_that_cannot_be_are_damage_of_the_catalog(tmp_path: Path, runs: Any) -> None:
    path, catalog = tmp_path / "demo.hdf5", tmp_path / "catalog.sqlite"
    write_demos(path, {0: 8, 1: 8, 2: 8}, image=None)
    with h5py.File(path, "a") as file:
        file["mask/train"] = [b"demo_0", b"demo_1"]
    assert len(rc.open(path, catalog=catalog).split("train")) == 2
    with contextlib.closing(sqlite3.connect(catalog)) as db:
        (text,) = db.execute("SELECT data FROM told").fetchone()
        told = {**json.loads(text), "splits": {"train": runs}}
        db.execute("UPDATE told SET data = ?", (json.dumps(told),))
        db.commit()
    with pytest.raises(rc.errors.FormatError, match=r"catalog\.sqlite'.*split 'train'"):
        rc.open(path, catalog=catalog)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "wanted an HDF5 file, but the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is an HTML page"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"\x89HDF\r\n\x1a\n" + bytes(88), "bad byte number in an address"),
        (b"\x89HDF\r\n\x1a\n", "x.hdf5"),
        (b"some text", "is text that begins 'some text'"),
    ],
)
def test_files_that_are_no_hdf5_h5(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.hdf5"
    path.write_bytes(content)
    with pytest.raises(rc.errors.FormatError) as raised:
        rc.open(path)
    assert says in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("begin", [bytes(512), b"MATLAB 7.3 MAT-file".ljust(2048), b"<html>" * 99])
def test_what_users_put_before_the_file_is_no_damage(tmp_path: Path, begin: bytes) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w", userblock_size=512 if len(begin) <= 512 else 2048) as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = np.arange(6.0).reshape(3, 2)
    with path.open("r+b") as raw:
        raw.write(begin)
    dataset = rc.open(path, control_rate_hz=10)
    np.testing.assert_array_equal(dataset[0]["actions"].values, np.arange(6.0).reshape(3, 2))


def test_a_file_without_demos_says_what_was_looked_for_h5(tmp_path: Path) -> None:
    path = tmp_path / "empty.hdf5"
    with h5py.File(path, "w"):
        pass
    with pytest.raises(rc.errors.FormatError) as raised:
        rc.open(path)
    for what in (str(path), "/data/demo_N", "it holds no group and no dataset", "mapping"):
        assert what in str(raised.value)
    with h5py.File(path, "a") as file:
        file["weights/layer_0"] = numbers(3, 3)
    with pytest.raises(rc.errors.FormatError, match="it holds /weights, /weights/layer_0"):
        rc.open(path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(rc.errors.NotFoundError, match="no file found"):
        rc.open(tmp_path / "nothing", format="hdf5")


def test_a_demo_unlike_the_first_is_an_error_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 8, 1: 9, 2: 7, 3: 6, 4: 5}, image=None)
    with h5py.File(path, "a") as file:
        data = file["data"]
        del data["demo_1"]["rewards"]
        del data["demo_2"]["actions"]
        data["demo_2"]["actions"] = numbers(7, 6)
        del data["demo_3"]["obs/eef_pos"]
        data["demo_3"]["obs/eef_pos"] = numbers(4, 3)
    with pytest.raises(rc.errors.FormatError, match="/data/demo_1/rewards"):
        rc.open(path)
    dataset = rc.open(path, on_error="skip")
    assert [episode.metadata["episode"] for episode in dataset] == ["demo_0", "demo_4"]
    said = "\n".join(dataset.skipped)
    assert "/data/demo_1/rewards" in said
    assert "/data/demo_2/actions: found float32 [6], wanted float32 [7]" in said
    assert "/data/demo_3/obs/eef_pos: found 4 rows, wanted 6, as actions has" in said


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 8}, image=None)
    import importlib

    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "h5py.py").write_text("raise ImportError('blocked')")
    monkeypatch.syspath_prepend(str(blocked))
    monkeypatch.delitem(sys.modules, "h5py")
    importlib.invalidate_caches()
    with pytest.raises(rc.errors.UnsupportedError, match=r"pip install 'robocache\[hdf5\]'"):
        rc.open(path)
