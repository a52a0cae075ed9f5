"""Mixtures: exact proportions, one order on every rank, and what datasets make of a field."""

from __future__ import annotations

import collections
import copy
import itertools
import json
import pickle

import numpy as np
import pytest
import torch

import robocache as rc

LENGTHS = {"left": (4, 7, 2, 9), "right": (5, 1, 6)}
SAMPLES = {name: sum(lengths) for name, lengths in LENGTHS.items()}


def image(value, shape):
    return np.full(shape, value, np.uint8)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Two datasets with other names, sizes and rates; values say which step they are of."""
    folder = tmp_path_factory.mktemp("mixture")
    left = {
        "action": rc.Feature("float32", (3,)),
        "observation/image": rc.Feature("uint8", (8, 12, 3), encoding="png"),
        "observation/state": rc.Feature("float32", (2,)),
        "language_instruction": rc.Feature("str"),
    }
    right = {
        "motion": rc.Feature("float32", (3,)),
        "camera": rc.Feature("uint8", (6, 6, 3), encoding="png"),
        "arm": rc.Feature("float32", (1,)),
        "hand": rc.Feature("float32", (1,)),
        "wide": rc.Feature("float64", (5,)),
    }
    with rc.RldsWriter(folder, "left", left, control_rate_hz=10) as writer:
        for episode, steps in enumerate(LENGTHS["left"]):
            numbers = np.arange(steps)[:, None] + 100.0 * episode
            writer.add_episode(
                {
                    "action": numbers + np.array([0.0, 0.25, 0.5]),
                    "observation/image": [image(step, (8, 12, 3)) for step in range(steps)],
                    "observation/state": numbers + np.array([0.0, 0.75]),
                    "language_instruction": [f"left {episode}"] * steps,
                }
            )
    with rc.RldsWriter(folder, "right", right, control_rate_hz=5) as writer:
        for episode, steps in enumerate(LENGTHS["right"]):
            numbers = -(np.arange(steps)[:, None] + 100.0 * episode) - 1000.0
            writer.add_episode(
                {
                    "motion": numbers + np.array([0.0, 0.25, 0.5]),
                    "camera": [image(200 - step, (6, 6, 3)) for step in range(steps)],
                    "arm": numbers,
                    "hand": numbers + 0.75,
                    "wide": np.repeat(numbers, 5, axis=1),
                }
            )
    return {name: rc.open(folder / name, progress=False) for name in LENGTHS}


def mixed(datasets, left=3, right=2, **options):
    return rc.mix(
        {"left": (datasets["left"], left), "right": (datasets["right"], right)}, **options
    )


ACTION = {"action": rc.Window(0, source={"left": "action", "right": "motion"}, squeeze=True)}


def make(mixture, batch_size=5, **options):
    given = {"streams": ACTION, "num_threads": 2, "array": "numpy", "shuffle": True, "seed": 3}
    return rc.DataLoader(mixture, batch_size, **{**given, **options})


def samples(batches):
    return [
        sample
        for batch in batches
        for sample in zip(
            batch["dataset_index"].tolist(),
            batch["episode_index"].tolist(),
            batch["step_index"].tolist(),
            strict=True,
        )
    ]


# ---- weights


@pytest.mark.parametrize(
    ("weights", "cycle", "error"),
    [
        ((4, 1), (4, 1), 0),
        ((4.0, 1), (4, 1), 0),
        ((20, 10), (20, 10), 0),  # whole numbers stay as they are
        ((0.7, 0.3), (7, 3), 0),
        ((1 / 3, 2 / 3), (1, 2), 0),
        ((0.5, 0.25, 0.25), (2, 1, 1), 0),
        ((2**0.5, 1), (38390, 27146), 1 / 2**17),
        ((1e-4, 1), (1, 10000), 0),
    ],
)
def test_weights(datasets, weights, cycle, error):
    mixture = rc.mix({f"d{i}": (datasets["left"], weight) for i, weight in enumerate(weights)})
    assert tuple(mixture.cycle.values()) == cycle
    assert mixture.error <= error + 1e-12
    shares = np.array(weights) / sum(weights)
    assert abs(np.array(list(mixture.proportions.values())) - shares).max() <= error + 1e-12
    assert ("off by" in repr(mixture)) == (mixture.error > 1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "datasets: none found"),
        ([1], r"datasets: found \[1\], wanted a dict of names"),
        ({"a": 3}, r"datasets\['a'\]: found 3, wanted what robocache.open gives"),
        ({"a": ("left", 0)}, r"datasets\['a'\]: weight: found 0, wanted more than 0"),
        ({"a": ("left", -1.5)}, "weight: found -1.5, wanted more than 0"),
        ({"a": ("left", float("nan"))}, "weight: found nan"),
        ({"a": ("left", "much")}, "weight: found 'much', wanted a number"),
        ({"a": ("left", 1e-7), "b": ("left", 1)}, "which is not one sample of 65,536"),
        ({"": ("left", 1)}, "datasets: found '', wanted a name"),
        ({3: ("left", 1)}, "datasets: found 3, wanted"),
    ],
)
def test_weights_that_cannot_be(datasets, given, message):
    if isinstance(given, dict):
        given = {
            name: (datasets[pair[0]], pair[1]) if isinstance(pair, tuple) else pair
            for name, pair in given.items()
        }
    with pytest.raises(rc.Error, match=message):
        rc.mix(given)


@pytest.mark.parametrize("epoch", ["middle", 0, 1.5, None])
def test_epochs_that_cannot_be(datasets, epoch):
    with pytest.raises(rc.Error, match="epoch: found"):
        mixed(datasets, epoch=epoch)


# ---- which sample when


@pytest.mark.parametrize("shuffle", [False, True, "blocks"])
@pytest.mark.parametrize(
    ("weights", "epoch", "wanted"),
    [
        ((3, 2), "first", 5 * 6),  # 12 samples of right: 6 cycles
        ((3, 2), "last", 5 * 8),  # 22 samples of left: 8 cycles
        ((3, 2), 17, 17),
        ((1, 30), "first", 31),  # not one whole cycle without a sample twice
        ((0.25, 0.75), "last", 4 * 22),
    ],
)
def test_proportions_are_exact_in_every_cycle(datasets, shuffle, weights, epoch, wanted):
    mixture = mixed(datasets, *weights, epoch=epoch)
    loader = make(mixture, 4, shuffle=shuffle)
    assert loader.num_samples == wanted
    seen = [sample for _ in range(6) for sample in samples(loader)]
    assert len(seen) == 6 * wanted
    length = sum(mixture.cycle.values())
    for at in range(0, len(seen) - length + 1, length):
        counts = collections.Counter(member for member, _, _ in seen[at : at + length])
        assert [counts[0], counts[1]] == list(mixture.cycle.values())
    whole = seen[: len(seen) // length * length]
    for member, name in enumerate(LENGTHS):
        own = [sample for sample in whole if sample[0] == member]
        every = [(member, e, s) for e, steps in enumerate(LENGTHS[name]) for s in range(steps)]
        counts = collections.Counter(own)
        assert set(counts) <= set(every)
        # All of a dataset's samples come before any comes again.
        assert max(counts.values()) - min(counts[each] for each in every) <= 1
        if not shuffle:
            assert own == list(itertools.islice(itertools.cycle(every), len(own)))


def test_epochs_and_seeds_differ(datasets):
    loader = make(mixed(datasets))
    first, second = samples(loader), samples(loader)
    assert first != second
    assert first != samples(make(mixed(datasets), seed=4))
    assert first == samples(make(mixed(datasets), num_threads=1, num_slots=1))
    # Two that are one dataset do not go in step.
    twins = rc.mix({"a": datasets["left"], "b": datasets["left"]})
    order = samples(make(twins, streams=["action"]))
    assert [each[1:] for each in order if each[0] == 0] != [
        each[1:] for each in order if each[0] == 1
    ]


@pytest.mark.parametrize("epoch", ["first", "last", 23])
def test_others_go_on_as_one_rank_would(datasets, epoch):
    """At every position, with other world and batch sizes: as one rank goes through."""
    mixture = mixed(datasets, epoch=epoch)
    loader = make(mixture, 1)
    orders = [samples(loader) for _ in range(3)]
    for (world, size), (other, batch) in itertools.product([(1, 3), (3, 2)], [(2, 4), (1, 1)]):
        ranks = [
            make(mixture, size, rank=rank, world_size=world, remainder="uneven")
            for rank in range(world)
        ]
        resumed = [
            make(mixture, batch, rank=rank, world_size=other, remainder="uneven")
            for rank in range(other)
        ]
        for number in range(2):
            seen = []
            iterators = [iter(each) for each in ranks]
            while len(seen) < len(orders[number]):
                state = json.loads(json.dumps(ranks[len(seen) % world].state_dict()))
                assert (state["epoch"], state["position"]) == (number, len(seen))
                rest = []
                for each in resumed:
                    each.load_state_dict(state)
                for turn in itertools.zip_longest(*resumed):
                    rest += samples(batch for batch in turn if batch is not None)
                assert seen + rest == orders[number]
                turn = [next(iterator, None) for iterator in iterators]
                seen += samples(batch for batch in turn if batch is not None)
            for iterator in iterators:
                assert next(iterator, None) is None


def test_a_mixture_of_one_is_the_dataset(datasets):
    alone = rc.DataLoader(datasets["left"], 5, streams=["action"], shuffle=True, seed=3)
    for weight in (1, 7):
        one = make(rc.mix({"only": (datasets["left"], weight)}), streams=["action"])
        for _ in range(2):
            wanted = [
                pair
                for batch in alone
                for pair in zip(
                    batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True
                )
            ]
            assert [each[1:] for each in samples(one)] == wanted
        alone.set_epoch(0)


def test_states_of_other_mixtures_are_refused(datasets):
    state = make(mixed(datasets)).state_dict()
    make(mixed(datasets), 7, world_size=2, rank=1, drop_last=True).load_state_dict(state)
    swapped = rc.mix({"right": (datasets["right"], 2), "left": (datasets["left"], 3)})
    for other, key in (
        (make(mixed(datasets, 2, 3)), "fingerprint"),
        (make(swapped), "fingerprint"),
        (make(mixed(datasets, epoch="last")), "mixture"),
        (make(mixed(datasets), seed=9), "seed"),
        (make(mixed(datasets), rate_hz={"right": 7}), "num_samples|rate_hz"),
        (
            make(mixed(datasets), streams={"action": rc.Window(1, source=ACTION["action"].source)}),
            "windows",
        ),
    ):
        with pytest.raises(ValueError, match=f"state: ({key})"):
            other.load_state_dict(state)


@pytest.mark.parametrize("duplicate", [copy.copy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_go_on_where_the_first_stands(datasets, duplicate):
    loader = make(mixed(datasets))
    iterator = iter(loader)
    next(iterator)
    again = duplicate(loader)
    assert samples(again) == samples(iterator)


@pytest.mark.forks
def test_workers_of_torch_share_the_batches(datasets):
    loaded = torch.utils.data.DataLoader(
        make(mixed(datasets)), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    assert samples(loaded) == samples(make(mixed(datasets)))


# ---- what is in the batches


def test_rows_are_those_of_their_datasets(datasets):
    state = {"left": "observation/state", "right": ["arm", "hand"]}
    streams = {
        **ACTION,
        "state": rc.Window(range(-1, 1), source=state),
        "image": rc.Window(
            0,
            source={"left": "observation/image", "right": "camera"},
            image=rc.Image(size=(4, 4)),
            squeeze=True,
        ),
        "text": rc.Window(0, source={"left": "language_instruction", "right": None}),
        "extra": rc.Window(range(2), source={"left": None, "right": "wide"}),
    }
    for batch in make(mixed(datasets, epoch="last"), streams=streams):
        for i, (member, episode, step) in enumerate(samples([batch])):
            name = batch["dataset"][i]
            assert name == list(LENGTHS)[member]
            own = datasets[name].episodes[episode]
            action = own["action" if name == "left" else "motion"].values
            assert (batch["action"][i] == action[step]).all()
            before = max(step - 1, 0)
            if name == "left":
                assert (batch["state"][i] == own["observation/state"].values[[before, step]]).all()
                assert batch["image"][i].tolist() == image(step, (4, 4, 3)).tolist()
                assert batch["text"][i] == [f"left {episode}"]
                assert batch["task"][i] == f"left {episode}"
                assert not batch["extra"][i].any()
                assert not batch["extra_valid"][i].any()
                assert not batch["extra_is_pad"][i].any()
            else:
                both = np.concatenate([own["arm"].values, own["hand"].values], axis=1)
                assert (batch["state"][i] == both[[before, step]]).all()
                assert batch["image"][i].tolist() == image(200 - step, (4, 4, 3)).tolist()
                assert batch["text"][i] == [""]
                assert batch["text_valid"][i].tolist() == [False]
                assert batch["extra"][i, 0].tolist() == own["wide"].values[step].tolist()
                assert batch["extra_valid"][i].all()
        assert batch["dataset_index"].dtype == np.int64


def test_rates_are_each_datasets_own_or_common(datasets):
    own = make(mixed(datasets))
    common = make(mixed(datasets), rate_hz=10)
    either = make(mixed(datasets), rate_hz={"right": 10})
    assert [size for size, _, _ in own._native.members()] == [22, 12]
    assert [size for size, _, _ in common._native.members()] == [22, 21]
    assert [size for size, _, _ in either._native.members()] == [22, 21]
    assert "10, 5 Hz" in repr(own)
    assert "10 Hz" in repr(common)


def test_normalised_by_each_datasets_own_statistics(datasets):
    streams = {"action": rc.Window(0, source=ACTION["action"].source, normalize="min_max")}
    loader = make(mixed(datasets, epoch="last"), streams=streams)
    for batch in loader:
        assert np.abs(batch["action"]).max() <= 1.0
        for i, name in enumerate(batch["dataset"]):
            own = datasets[name].episodes[int(batch["episode_index"][i])]
            values = own["action" if name == "left" else "motion"].values
            back = loader.denormalize("action", batch["action"][i], dataset=name)
            assert np.allclose(back, values[int(batch["step_index"][i])], atol=1e-3)
            index = int(batch["dataset_index"][i])
            assert (loader.denormalize("action", batch["action"][i], dataset=index) == back).all()
    for wrong in (None, "middle"):
        with pytest.raises(ValueError, match="wanted one of the mixture: 'left', 'right'"):
            loader.denormalize("action", batch["action"], dataset=wrong)


def test_scales_and_offsets_of_each_dataset(datasets):
    window = rc.Window(
        0,
        source=ACTION["action"].source,
        scale={"right": [1, 1, -1]},
        offset={"left": 5.0, "right": None},
        clock_offset={"right": 0.2},
        squeeze=True,
    )
    for batch in make(mixed(datasets), streams={"action": window}):
        for i, name in enumerate(batch["dataset"]):
            own = datasets[name].episodes[int(batch["episode_index"][i])]
            step = int(batch["step_index"][i])
            if name == "left":
                assert np.allclose(batch["action"][i], own["action"].values[step] + 5.0)
            else:  # a step late
                values = own["motion"].values[max(step - 1, 0)] * [1, 1, -1]
                assert np.allclose(batch["action"][i], values)


@pytest.mark.parametrize("pad_to", [3, 5])
def test_vectors_are_padded(datasets, pad_to):
    source = {"left": "action", "right": ["arm", "hand"]}
    streams = {"action": rc.Window(range(2), source=source, pad_to=pad_to, outside="zero")}
    for batch in make(mixed(datasets), streams=streams):
        assert batch["action"].shape[1:] == (2, pad_to)
        for i, name in enumerate(batch["dataset"]):
            own = datasets[name].episodes[int(batch["episode_index"][i])]
            step = int(batch["step_index"][i])
            parts = [own[stream].values[step] for stream in np.atleast_1d(source[name])]
            values = np.concatenate(parts)
            assert batch["action"][i, 0].tolist() == [*values, *[0.0] * (pad_to - len(values))]
    with pytest.raises(
        rc.Error, match="pad_to is 2; the vector that begins with it has 3 elements"
    ):
        make(mixed(datasets), streams={"action": rc.Window(0, source=source, pad_to=2)})
    alone = rc.DataLoader(datasets["left"], streams={"action": rc.Window(0, pad_to=4)})
    assert next(iter(alone))["action"].shape == (1, 1, 4)


def test_the_way_back_of_what_is_padded(datasets):
    """With what it is padded with, which stays as it is, or without."""
    source = {"left": "action", "right": ["arm", "hand"]}
    streams = {"action": rc.Window(0, source=source, pad_to=5, normalize="min_max", squeeze=True)}
    loader = make(mixed(datasets), streams=streams)
    batch = next(iter(loader))
    for i, name in enumerate(batch["dataset"]):
        own = datasets[name].episodes[int(batch["episode_index"][i])]
        step = int(batch["step_index"][i])
        values = np.concatenate(
            [own[stream].values[step] for stream in np.atleast_1d(source[name])]
        )
        row = batch["action"][i]
        row[len(values) :] = 7  # what a model predicts there
        found = loader.denormalize("action", row, dataset=name)
        assert np.allclose(found[: len(values)], values, atol=1e-3)
        assert (found[len(values) :] == 7).all()
        short = loader.denormalize("action", row[: len(values)], dataset=name)
        assert (short == found[: len(values)]).all()
        tensors = loader.denormalize("action", torch.from_numpy(row), dataset=name)
        assert torch.equal(tensors, torch.from_numpy(found))
    with pytest.raises(rc.Error, match=r"wanted \[\.\.\., 3\], or 5 with what it is padded"):
        loader.denormalize("action", np.zeros(4), dataset="left")


def test_a_warning_of_what_is_constant_names_the_dataset(datasets):
    one_step = rc.mix({"left": datasets["left"].steps({0: [(0, 1)]}), "right": datasets["right"]})
    streams = {"a": rc.Window(0, source=ACTION["action"].source, normalize="mean_std")}
    with pytest.warns(UserWarning, match="^dataset 'left': streams.*: channels 0, 1, 2 have one"):
        make(one_step, streams=streams)


def test_required_windows(datasets):
    streams = {
        **ACTION,
        "extra": rc.Window(0, source={"left": None, "right": "wide"}, tolerance=0.01),
    }
    given = {"rate_hz": {"left": None, "right": 10}, "streams": streams}
    sizes = [size for size, _, _ in make(mixed(datasets), **given)._native.members()]
    required = make(mixed(datasets), **given, require=["extra"])
    assert sizes == [22, 21]
    assert [size for size, _, _ in required._native.members()] == [22, 12]
    by_name = make(mixed(datasets), **given, require={"right": ["wide"]})
    assert [size for size, _, _ in by_name._native.members()] == [22, 12]


SOURCES = {"left": "action", "right": "motion"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": None}, "streams: None found with a mixture"),
        ({"streams": ["action"]}, "^dataset 'right': stream 'action': not in the dataset"),
        (
            {"streams": {"a": rc.Window(source={**SOURCES, "left": ["action", "x"]})}},
            "^dataset 'left': stream 'x': not in the dataset",
        ),
        ({"require": {"right": ["x"]}}, "^dataset 'right': stream 'x': not in the dataset"),
        ({"clock": {"right": ["x"]}}, "^dataset 'right': stream 'x': not in the dataset"),
        (
            {"streams": {"a": rc.Window(source=SOURCES, normalize={"mean": [0], "std": [1, 2]})}},
            "^dataset 'left': streams",
        ),
        (
            {"streams": {"a": rc.Window(source={"left": "action"})}},
            r"streams\['a'\]: source: nothing found for dataset 'right'",
        ),
        (
            {"streams": {"a": rc.Window(source={**SOURCES, "up": "x"})}},
            "source: found 'up', wanted names of the mixture's datasets: 'left', 'right'",
        ),
        (
            {"streams": {"a": rc.Window(source={"left": None, "right": None})}},
            "window 'a': no dataset of the mixture has a stream for it",
        ),
        (
            {"streams": {"a": rc.Window(source={"left": "observation/image", "right": "camera"})}},
            r"uint8 of shape \[1, 8, 12, 3\] a sample in dataset 'left' .* in 'right': .* image=",
        ),
        (
            {"streams": {"a": rc.Window(source={"left": "action", "right": ["arm", "hand"]})}},
            r"float32 of shape \[1, 3\] a sample in dataset 'left' .* in 'right': .* pad_to=",
        ),
        (
            {"streams": {"a": rc.Window(source={"left": "action", "right": "wide"})}},
            "float64 of shape",
        ),
        (
            {"streams": {"dataset": rc.Window(source=SOURCES)}},
            "two fields of the batch are named 'dataset'",
        ),
        ({"rate_hz": {"up": 3}}, "rate_hz: found 'up', wanted names of the mixture's datasets"),
        ({"rate_hz": {"left": 0}}, "rate_hz: found 0, wanted positive|rate_hz: 0 found"),
        ({"clock": {"left": []}}, "clock: no stream found"),
        ({"require": ["nothing"]}, "stream 'nothing': not in the dataset"),
    ],
)
def test_what_does_not_fit_is_refused(datasets, options, message):
    with pytest.raises(rc.Error, match=message):
        make(mixed(datasets), **options)


def test_an_empty_dataset_is_refused(datasets):
    empty = {"left": datasets["left"], "right": datasets["right"].where("num_steps > 100")}
    with pytest.raises(rc.Error, match="dataset 'right' has no sample"):
        make(rc.mix(empty))


def test_dicts_are_for_mixtures(datasets):
    window = rc.Window(source={"left": "action"})
    with pytest.raises(rc.Error, match="source: found a dict, which is for the datasets of a mix"):
        rc.DataLoader(datasets["left"], streams={"action": window})
    loader = rc.DataLoader(datasets["left"], streams=["action"])
    assert "dataset" not in next(iter(loader))
