"""Streams that cannot be read, or not batched, do not spoil the others."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest

import robocache as rc
from robocache import cli
from robocache.suggest import suggest_windows

STEPS = 6
REASON = "its tensors are encoded in a way that RoboCache does not know"


@pytest.fixture
def dataset(tmp_path):
    """One sound stream beside one that no reader here can read."""
    features = {
        "action": rc.Feature("float32", (2,)),
        "packed": rc.Feature("float32", (3,)),
    }
    with rc.RldsWriter(tmp_path, "mixed", features) as writer:
        for _ in range(2):
            steps = np.arange(STEPS, dtype=np.float32)
            writer.add_episode({"action": np.stack([steps, -steps], 1), "packed": np.ones((6, 3))})
    path = tmp_path / "mixed" / "1.0.0" / "features.json"
    text = json.loads(path.read_text())
    steps = text["featuresDict"]["features"]["steps"]["sequence"]["feature"]
    steps["featuresDict"]["features"]["packed"]["tensor"]["encoding"] = "brotli"
    path.write_text(json.dumps(text))
    return rc.open(tmp_path / "mixed", progress=False, control_rate_hz=10)


@pytest.fixture
def cameras(tmp_path):
    """Three cameras of undeclared size: one whose images vary, one without images, one sound."""
    rng = np.random.default_rng(0)
    cameras = ("alike", "mixed", "none")
    features = {name: rc.Feature("uint8", (-1, -1, 3), encoding="png") for name in cameras}

    def images(height, width):
        return list(rng.integers(0, 256, (3, height, width, 3)).astype(np.uint8))

    with rc.RldsWriter(tmp_path, "cameras", features) as writer:
        for height, width in ((8, 9), (16, 12)):
            writer.add_episode(
                {"alike": images(4, 5), "mixed": images(height, width), "none": [b""] * 3}
            )
    return rc.open(tmp_path / "cameras", progress=False, control_rate_hz=10)


def one_warning(call):
    """The call's result and the text of the one warning that it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return result, str(caught[0].message)


def test_it_is_listed_with_the_reason(dataset, capsys):
    assert dataset.streams["action"].unsupported is None
    assert dataset.streams["packed"].unsupported == REASON
    assert re.search(rf"packed .*cannot be read: {REASON}\n", str(dataset) + "\n")
    assert f"'packed': cannot be read: {REASON}" in repr(dataset.episodes[0]["packed"])
    assert "action" in repr(dataset.episodes[0]["action"])
    arguments = ["info", dataset.path, "--control-rate-hz", "10", "--json"]
    assert cli.main(arguments) == 0
    streams = {stream["name"]: stream for stream in json.loads(capsys.readouterr().out)["streams"]}
    assert streams["packed"]["unsupported"] == REASON
    assert streams["action"]["unsupported"] is None


def test_the_default_loader_leaves_it_out_with_one_warning(dataset):
    loader, warning = one_warning(lambda: rc.DataLoader(dataset, batch_size=4, array="numpy"))
    assert f"streams are left out: 'packed': {REASON}" in warning
    batch = next(iter(loader))
    assert batch["action"].shape == (4, 1, 2)
    assert "packed" not in batch


def test_who_names_it_is_told_why(dataset):
    with pytest.raises(rc.Error, match=f"stream 'packed' cannot be read: {REASON}"):
        rc.DataLoader(dataset, streams=["action", "packed"])
    with pytest.raises(rc.Error, match=f"stream 'packed' cannot be read: {REASON}"):
        _ = dataset.episodes[0]["packed"].values


def test_suggested_windows_and_pictures_leave_it_out(dataset, tmp_path):
    windows, warning = one_warning(lambda: suggest_windows(dataset))
    assert list(windows) == ["action"]
    assert REASON in warning
    pytest.importorskip("matplotlib")
    from robocache.view import save_contact_sheet

    with pytest.warns(UserWarning, match=REASON):
        drawn = save_contact_sheet(dataset, 0, tmp_path / "sheet.png")
    assert drawn["signals"] == ["action"]
    assert drawn["left_out"] == {"packed": REASON}


def test_images_of_several_sizes_are_left_out(cameras):
    loader, warning = one_warning(lambda: rc.DataLoader(cameras, batch_size=2, array="numpy"))
    assert "'mixed': its images vary in size: 8 x 9, 16 x 12" in warning
    assert next(iter(loader))["alike"].shape == (2, 1, 4, 5, 3)
    first = cameras.take([0])  # of one size there
    assert "mixed" in next(iter(one_warning(lambda: rc.DataLoader(first, array="numpy"))[0]))


def test_a_picture_names_images_of_several_sizes(tmp_path):
    pytest.importorskip("matplotlib")
    from robocache.view import save_contact_sheet

    sizes = [(8, 9), (8, 9), (6, 7)]
    images = [np.full((height, width, 3), 99, np.uint8) for height, width in sizes]
    features = {
        "camera": rc.Feature("uint8", (-1, -1, 3), encoding="png"),
        "x": rc.Feature("float32"),
    }
    with rc.RldsWriter(tmp_path, "sizes", features, control_rate_hz=10) as writer:
        writer.add_episode({"camera": images, "x": [1.0, 2.0, 3.0]})
    dataset = rc.open(tmp_path / "sizes", progress=False)
    with pytest.warns(UserWarning, match="'camera': its images vary in size: 6 x 7, 8 x 9"):
        drawn = save_contact_sheet(dataset, 0, tmp_path / "sheet.png")
    assert drawn["left_out"] == {"camera": "its images vary in size: 6 x 7, 8 x 9"}
    assert drawn["signals"] == ["x"]


def test_a_stream_without_any_image_is_left_out(cameras):
    _, warning = one_warning(lambda: suggest_windows(cameras))
    assert "'none': its first 8 episodes hold no image that would tell the size" in warning


def test_images_of_several_sizes_say_what_to_do(cameras):
    loader = rc.DataLoader(cameras, batch_size=6, streams=["mixed"], array="numpy")
    with pytest.raises(rc.Error) as caught:
        next(iter(loader))
    text = str(caught.value)
    assert "'mixed'" in text or "mixed:" in text
    assert "PNG of 16 x 12 pixels where the first image has 8 x 9: no size is declared" in text
    assert "read them one at a time, or leave the stream out" in text
    assert "is declared" not in text.replace("no size is declared", "")
    stream = cameras.episodes[1]["mixed"]
    assert [stream.read(step, 1).shape for step in range(3)] == [(1, 16, 12, 3)] * 3
