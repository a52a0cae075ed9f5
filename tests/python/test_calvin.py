"""CALVIN: every value is NumPy's, whatever the archives are like."""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python.calvin_sets import (
    RNG,
    SMALL,
    Write,
    annotate,
    check,
    deflated,
    npy,
    opened,
    step_arrays,
    stored,
    write_split,
)
from tests.python.test_docs import DOCS, run_page

# ---- what is there ------------------------------------------------------------------------------


def test_genuine_frames(tmp_path: Path, test_data: Callable[[str], Path]) -> None:
    for file in test_data("calvin_frames").glob("*.npz"):
        shutil.copyfile(file, tmp_path / file.name)
    np.save(tmp_path / "ep_start_end_ids.npy", np.array([[358482, 358482], [359423, 359423]]))
    dataset = opened(tmp_path)
    assert dataset.format == "calvin"
    assert dataset.control_rate_hz == 30
    assert len(dataset) == dataset.num_steps == 2
    for episode in dataset:
        with np.load(tmp_path / f"episode_{episode.metadata['first_step']:07}.npz") as step:
            assert set(step.files) == set(dataset.streams)
            for name in step.files:
                np.testing.assert_array_equal(episode[name].values[0], step[name], strict=True)
    assert dataset.streams["scene_obs"].dtype == "float64"
    assert dataset.streams["rgb_tactile"].shape == (160, 120, 6)
    assert dataset.streams["depth_static"].kind == "numeric"


def test_genuine_frames_are_drawn(tmp_path: Path, test_data: Callable[[str], Path]) -> None:
    """Depth in grey, and the two pictures of tactile sensors side by side."""
    pytest.importorskip("matplotlib")
    from robocache.view import save_contact_sheet

    for number, file in enumerate(sorted(test_data("calvin_frames").glob("*.npz"))):
        shutil.copyfile(file, tmp_path / f"episode_{number:07}.npz")
    np.save(tmp_path / "ep_start_end_ids.npy", np.array([[0, 1]]))
    drawn = save_contact_sheet(opened(tmp_path), 0, tmp_path / "sheet.png")
    names = ("static", "gripper", "tactile")
    assert set(drawn["images"]) == {f"{kind}_{name}" for kind in ("rgb", "depth") for name in names}
    assert set(drawn["signals"]) == {"actions", "rel_actions", "robot_obs", "scene_obs"}


def test_indexing_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    write_split(tmp_path / "training", [(0, 3), (5, 9)])
    with pytest.raises(rc.errors.CancelledError):
        rc.open(tmp_path, progress=lambda *_: False)
    assert opened(tmp_path).num_steps == 9


def in_another_order(path: Path, arrays: dict[str, Any]) -> None:
    names = list(arrays)
    RNG.shuffle(names)
    np.savez_compressed(path, **{name: arrays[name] for name in names})


def packed_by_turns(path: Path, arrays: dict[str, Any]) -> None:
    """Each member deflated or stored, as it comes, with others that are none and a comment."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            method = zipfile.ZIP_DEFLATED if RNG.random() < 0.5 else zipfile.ZIP_STORED
            archive.writestr(f"{name}.npy", npy(array), method)
        archive.writestr("notes.txt", b"not an array")
        archive.comment = b"a comment" * int(RNG.integers(600))


def zip64(path: Path, arrays: dict[str, Any]) -> None:
    """All sizes and offsets in fields for archives beyond 4 GiB."""
    entries, headers = b"", b""
    for name, array in arrays.items():
        data, member = npy(array), f"{name}.npy".encode()
        sizes = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        common = struct.pack("<HHHHHIII", 45, 0, 0, 0, 0, zlib.crc32(data), 2**32 - 1, 2**32 - 1)
        extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(headers))
        entries += struct.pack("<IH", 0x02014B50, 45) + common
        entries += struct.pack("<HHHHHII", len(member), len(extra), 0, 0, 0, 0, 2**32 - 1)
        entries += member + extra
        headers += struct.pack("<I", 0x04034B50) + common
        headers += struct.pack("<HH", len(member), len(sizes)) + member + sizes + data
    count, end = len(arrays), len(headers) + len(entries)
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, 0, 0)
    end64 = end64[:40] + struct.pack("<QQ", len(entries), len(headers))
    locator = struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    last = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, *[2**16 - 1] * 2, *[2**32 - 1] * 2, 0)
    path.write_bytes(headers + entries + end64 + locator + last)
    with np.load(path) as again:
        assert set(again.files) == set(arrays)


def big_endian(path: Path, arrays: dict[str, Any]) -> None:
    swapped = {name: a.astype(a.dtype.newbyteorder(">")) for name, a in arrays.items()}
    np.savez(path, **swapped)


@pytest.mark.parametrize(
    "write", [deflated, stored, in_another_order, packed_by_turns, zip64, big_endian]
)
def test_every_way_of_packing(tmp_path: Path, write: Write) -> None:
    steps = write_split(tmp_path / "training", [(0, 6), (10, 12), (20, 20)], write=write)
    dataset = opened(tmp_path)
    assert [episode.num_steps for episode in dataset] == [7, 3, 1]
    check(dataset, steps)
    assert dataset.verify().problems == []


def test_splits_prefix_and_digits(tmp_path: Path) -> None:
    """Each split's own, from its first file."""
    training = write_split(tmp_path / "training", [(98, 102), (5, 9)], "frame {{}}_{:02}.npz")
    validation = write_split(tmp_path / "validation", [(3, 4)], "{:04}.npz")
    dataset = opened(tmp_path)
    assert list(dataset.splits) == ["training", "validation"]
    check(dataset.split("training"), training)
    check(dataset.split("validation"), validation)
    alone = opened(tmp_path / "validation")
    assert list(alone.splits) == ["validation"]
    check(alone, validation)


def test_other_archives_beside_the_steps(tmp_path: Path) -> None:
    """Names are those that the first episode has, whichever the system lists first."""
    steps = write_split(tmp_path / "training", [(10, 12)])
    for name in ("statistics_1", "a_0000010x", *(f"other_{i}" for i in range(40))):
        np.savez(tmp_path / f"training/{name}.npz", x=np.zeros(3))
    check(opened(tmp_path), steps)


def test_many_steps_in_several_threads(tmp_path: Path) -> None:
    steps = write_split(tmp_path / "training", [(0, 9)], write=stored)
    for step in range(10, 5000):
        os.link(
            tmp_path / f"training/episode_{step % 10:07}.npz",
            tmp_path / f"training/episode_{step:07}.npz",
        )
        steps[step] = steps[step % 10]
    np.save(tmp_path / "training/ep_start_end_ids.npy", np.array([[0, 2999], [3000, 4999]]))
    dataset = opened(tmp_path)
    for episode in dataset:
        first = episode.metadata["first_step"]
        wanted = np.stack([steps[first + i]["scene_obs"] for i in range(episode.num_steps)])
        np.testing.assert_array_equal(episode["scene_obs"].values, wanted)
        np.testing.assert_array_equal(
            episode["rgb_static"].read(1500, 1)[0], steps[first + 1500]["rgb_static"]
        )


# ---- promises -----------------------------------------------------------------------------------


def test_c1_numbers_are_in_columns_and_no_archive_is_opened_for_them(tmp_path: Path) -> None:
    """mdt_policy 6, hulc 17: one file a step keeps a GPU waiting; a preload kills training."""
    steps = write_split(tmp_path / "training", [(0, 11)])
    opened(tmp_path)
    for step in range(1, 11):  # of the first and the last opening sees that they are the same
        (tmp_path / f"training/episode_{step:07}.npz").unlink()
    dataset = opened(tmp_path)
    for name in SMALL:
        wanted = np.stack([steps[step][name] for step in range(12)])
        np.testing.assert_array_equal(dataset[0][name].values, wanted)
    with pytest.raises(rc.errors.IoError, match=r"episode_0000001\.npz"):
        dataset[0]["rgb_static"].read(1, 1)


def test_c2_the_ids_decide_what_an_episode_is(tmp_path: Path) -> None:
    """mees/calvin 40, 23: validation frames in training/, files named episodes that are steps."""
    steps = write_split(tmp_path / "training", [(0, 4), (8, 9)])
    for stranger in (5, 6, 7, 100):
        deflated(tmp_path / f"training/episode_{stranger:07}.npz", step_arrays())
    dataset = opened(tmp_path)
    assert [e.num_steps for e in dataset] == [5, 2]
    check(dataset, steps)


def test_c2_opens_without_annotations(tmp_path: Path) -> None:
    """mees/calvin 121."""
    steps = write_split(tmp_path / "training", [(0, 4)])
    dataset = opened(tmp_path)
    assert "language" not in dataset.streams
    check(dataset, steps)
    assert len(dataset.segments("language")) == 0


# ---- by name ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [False, True])
def test_the_loader_by_name_gives_what_plain_pytorch_does(tmp_path: Path, language: bool) -> None:
    pytest.importorskip("torch")
    write_split(tmp_path / "training", [(0, 19), (30, 36)])
    annotate(tmp_path / "training", [(2, 9), (30, 33)])
    options: dict[str, Any] = {"shuffle": False, "language": language, "action_horizon": 4}
    ours = rc.datasets.CalvinDataLoader(tmp_path, 5, **options)
    plain = rc.datasets.CalvinDataLoader(tmp_path, 5, use_robocache=False, **options)
    assert len(ours) == len(plain) > 1
    for a, b in zip(ours, plain, strict=True):
        assert set(a) == set(b) >= {"rgb_static", "rgb_gripper", "robot_obs", "actions"}
        assert list(a["task"]) == list(b["task"])
        assert all((a[name] == b[name]).all() for name in a if name != "task")
    without = rc.datasets.CalvinDataLoader(tmp_path, 5, images=False)
    assert "rgb_static" not in next(iter(without))


def test_the_page_on_calvin_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(tmp_path / "task_D_D/training", [(0, 19), (30, 36)])
    annotate(tmp_path / "task_D_D/training", [(2, 9), (30, 33)])
    monkeypatch.chdir(tmp_path)
    names = run_page(DOCS / "calvin.md")
    assert [episode.task for episode in names["drawer"]] == ["open the drawer"]
