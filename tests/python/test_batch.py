"""What a batch can do, what its fields mean, and datasets as sequences of episodes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import robocache as rc
from tests.python import small_dataset

CLOUD = "observation/cloud"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = small_dataset.write(tmp_path_factory.mktemp("small"))
    return rc.open(path, control_rate_hz=10)


def first(dataset, windows, **options):
    return next(iter(rc.DataLoader(dataset, 8, streams=windows, num_threads=1, **options)))


def test_a_batch_goes_to_a_device_as_a_whole(small):
    batch = first(small, ["action"])
    assert isinstance(batch, rc.Batch)
    assert isinstance(batch, dict)
    assert isinstance(batch["task"], list)
    moved = {name: value.to("meta") for name, value in batch.items()}
    for other in (moved, batch.to("meta"), batch.to(device="meta", non_blocking=True)):
        assert list(other) == list(batch)
        assert other["action"].device.type == "meta"
        assert other["task"] == batch["task"] == ["open the drawer"] * 8
    assert isinstance(batch.to(torch.float64), rc.Batch)


@pytest.fixture
def pinned_here(monkeypatch):
    """Lets a machine without a device pin memory: what was asked for is listed."""
    empty, asked = torch.empty, []

    def pin(*args, pin_memory=False, **kwargs):
        made = empty(*args, **kwargs)
        if pin_memory:
            asked.append(made.data_ptr())
        return made

    monkeypatch.setattr(torch, "empty", pin)
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: tensor.data_ptr() in asked)
    return asked


def test_pinning_keeps_text(small, pinned_here):
    batch = first(small, ["action"])
    pinned = batch.pin_memory()
    assert pinned["task"] == batch["task"]
    assert torch.equal(pinned["action"], batch["action"])
    assert pinned["action"].data_ptr() in pinned_here


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor(3.5),
        torch.zeros(0, 4),
        torch.arange(12).reshape(3, 4).t(),
        torch.arange(60)[::7],
        torch.tensor([True, False]),
        torch.linspace(-2, 2, 9).to(torch.bfloat16).reshape(3, 3),
        torch.full((5, 2), float("nan")),
    ],
    ids=lambda value: f"{value.dtype}{list(value.shape)}",
)
def test_pinned_tensors_are_copies(value, pinned_here):
    pinned = rc.Batch(value=value).pin_memory()["value"]
    assert pinned.data_ptr() in pinned_here
    assert (pinned.dtype, pinned.shape) == (value.dtype, value.shape)
    assert torch.equal(torch.nan_to_num(pinned), torch.nan_to_num(value))
    assert rc.Batch(value=pinned).pin_memory()["value"] is pinned  # they are there already


def test_pinning_leaves_the_cores_to_the_loader(small, pinned_here, monkeypatch):
    def spread(*_):
        raise AssertionError("torch copies on all cores")

    monkeypatch.setattr(torch.Tensor, "copy_", spread)
    monkeypatch.setattr(torch.Tensor, "clone", spread)
    first(small, ["action"]).pin_memory()


def test_only_memory_of_the_host_is_pinned(small):
    with pytest.raises((RuntimeError, NotImplementedError)):
        first(small, ["action"]).to("meta").pin_memory()


def test_a_batch_is_shown_by_its_fields(small):
    batch = first(small, ["action"])
    action, *_ = batch["action"].shape
    lines = repr(batch).splitlines()
    assert len(lines) == 1 + len(batch)
    assert lines[1].split(maxsplit=1) == ["action", f"float32 {list(batch['action'].shape)}"]
    assert lines[-1].split(maxsplit=1) == ["task", f"{action} texts>"]
    assert repr(batch.to("meta")).splitlines()[1].endswith("] on meta")
    assert repr(rc.Batch()) == "<Batch>"


def test_a_field_that_is_not_there_names_those_that_are(small):
    batch = first(small, ["action"])
    with pytest.raises(
        rc.errors.NotFoundError, match=r"'action_pad', it has action, action_is_pad"
    ):
        batch["action_pad"]
    assert batch.get("action_pad") is None


def test_text_is_told_apart(small):
    batch = first(small, ["action", "language_instruction"])
    assert list(batch.text) == ["language_instruction", "task"]
    assert set(batch.tensors) == set(batch) - set(batch.text)
    assert all(isinstance(value, torch.Tensor) for value in batch.tensors.values())


def test_copies_of_a_batch(small):
    batch = first(small, ["action"])
    for again in (copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert isinstance(again, rc.Batch)
        assert isinstance(again["task"], type(batch["task"]))
        assert torch.equal(again["action"], batch["action"])


def test_arrays_of_numpy_stay_where_they_are(small):
    batch = first(small, ["action"], array="numpy")
    for call in (batch.pin_memory, lambda: batch.to("cuda")):
        with pytest.raises(rc.errors.UnsupportedError, match=r"batch\['action'\]: ndarray has no"):
            call()


def test_episode_index_is_that_of_the_view(small):
    view = small.take([3, 1])
    batches = list(rc.DataLoader(view, 4, streams=["action"], shuffle=True))
    rows = {
        (index, identity)
        for batch in batches
        for index, identity in zip(
            batch["episode_index"].tolist(), batch["episode_id"].tolist(), strict=True
        )
    }
    assert rows == {(0, 3), (1, 1)}
    for index, identity in rows:
        assert view.episodes[index].id == identity
        assert view.episodes[index].index == index
    assert [episode.id for episode in small.where("id = 3")] == [3]


@pytest.mark.parametrize("array", ["numpy", "torch"])
def test_a_window_of_one_tick_can_drop_its_axis(small, array):
    names = ["action", "observation/image", "language_instruction", CLOUD]
    options = {"max_points": 40, "outside": "zero"}
    wide, narrow = (
        first(
            small,
            {
                name: rc.Window(-1, squeeze=squeeze, **(options if name == CLOUD else {}))
                for name in names
            },
            array=array,
        )
        for squeeze in (False, True)
    )
    assert narrow["action"].shape == (8, 3)
    assert narrow[CLOUD].shape == (8, 40, 3)
    assert narrow[CLOUD + "_lengths"].shape == narrow["action_is_pad"].shape == (8,)
    assert list(narrow) == list(wide)
    for name, value in narrow.items():
        if wide[name][0] is None or isinstance(wide[name][0], list):
            assert [[text] for text in value] == wide[name]
        elif name == "task" or wide[name].ndim == 1:
            assert list(value) == list(wide[name])
        else:
            np.testing.assert_array_equal(np.asarray(value), np.asarray(wide[name])[:, 0])


def test_only_one_tick_can_be_squeezed():
    assert rc.Window(seconds=0.1, squeeze=True).squeeze
    for wrong in ({"ticks": range(2)}, {"seconds": [0.0, 0.1]}):
        with pytest.raises(rc.Error, match="squeeze: found with 2 ticks, wanted 1"):
            rc.Window(**wrong, squeeze=True)


@pytest.mark.parametrize(("chosen", "most"), [([0, 1, 2, 3], 34), ([1], 32)])
def test_clouds_are_padded_to_the_most_points_of_the_selection(small, chosen, most):
    view = small.take(chosen)
    batch = first(view, {CLOUD: rc.Window(0)})
    assert batch[CLOUD].shape == (8, 1, most, 3)
    lengths = [step for episode in view for step in episode[CLOUD].row_lengths.tolist()]
    assert max(lengths) == most
    assert batch[CLOUD + "_lengths"][:, 0].tolist() == lengths[:8]


def test_clouds_without_points_have_room_for_one(tmp_path):
    features = {"cloud": rc.Feature("float32", (3,), ragged=True)}
    with rc.RldsWriter(tmp_path, "empty", features) as writer:
        writer.add_episode({"cloud": [np.zeros((0, 3), np.float32)] * 2})
    dataset = rc.open(tmp_path / "empty", control_rate_hz=10)
    batch = first(dataset, {"cloud": rc.Window(0)})
    assert batch["cloud"].shape == (2, 1, 1, 3)
    assert batch["cloud_lengths"].tolist() == [[0], [0]]


def test_a_dataset_iterates_and_subscripts(small):
    assert [episode.id for episode in small] == [0, 1, 2, 3]
    assert small[-1].id == small[np.int64(3)].id == 3
    view = small[1:][::-2]
    assert isinstance(view, rc.Dataset)
    assert [episode.id for episode in view] == [3, 1]
    assert [view[i].index for i in range(len(view))] == [0, 1]
    with pytest.raises(IndexError, match="dataset: index 4 found, wanted 0 to 3"):
        small[4]
    for index in ("action", [0, 1], None):
        with pytest.raises(
            TypeError, match=r"dataset: found .*, wanted the position of an episode"
        ):
            small[index]
    assert repr(small.episodes) == f"<Episodes of {small!r}>"


def test_iterating_does_not_take_a_damaged_episode_for_the_end(small, monkeypatch):
    def refuse(*_):
        raise rc.errors.NotFoundError("a file is gone")

    monkeypatch.setattr("robocache.episode.Episode.__init__", refuse)
    for episodes in (small, small.episodes):
        with pytest.raises(rc.Error, match="a file is gone"):
            list(episodes)


def test_a_stream_is_an_array(small):
    episode = small[2]
    for name in ("action", "observation/image", "observation/force", CLOUD):
        array = np.asarray(episode[name])
        np.testing.assert_array_equal(array, episode[name].values)
        assert array.dtype == np.dtype(episode[name].info.dtype)
    assert np.asarray(episode["action"], np.float64).dtype == np.float64
    assert np.asarray(episode["language_instruction"]).tolist() == ["open the drawer"] * 14
    assert np.mean(episode["action"], axis=0).shape == (3,)
    with pytest.raises(rc.Error, match="stream 'action': copy=False"):
        np.array(episode["action"], copy=False)


def test_repr_of_a_loader(small):
    loader = rc.DataLoader(
        small, 16, streams=["action"], shuffle=True, seed=5, num_threads=1, rank=1, world_size=2
    )
    next(iter(loader))
    text = repr(loader)
    for part in (
        "<DataLoader of <Dataset 'small' 1.0.0: 4 episodes, 54 steps>: ",
        "54 samples in 2 batches of 16",
        "10 Hz",
        "shuffled by seed 5",
        "rank 1 of 2, remainder 'drop'",
        "1 threads",
        "epoch 0, sample 32>",
    ):
        assert part in text
    loader.close()
    assert "the loader is closed" in repr(loader)
