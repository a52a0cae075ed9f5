"""Copies of datasets and loaders: in this process, in spawned ones and in torch's workers."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import re
import shutil

import pytest
import torch
import torch.utils.data

import robocache as rc
from robocache.datasets import BridgeDataLoader
from tests.python import small_dataset
from tests.python.children import in_child

COPIES = pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))]
)


def make(dataset, **options):
    defaults = {"streams": ["action"], "shuffle": True, "seed": 1, "num_threads": 2}
    return rc.DataLoader(dataset, **{"batch_size": 64, **defaults, **options})


def samples(batch):
    return list(zip(batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True))


def epoch(loader):
    return [samples(batch) for batch in loader]


@COPIES
def test_datasets(bridge, duplicate):
    for dataset in (bridge, bridge.split("train"), bridge.take([7, 3, 3]), bridge.take([])):
        again = duplicate(dataset)
        assert repr(again) == repr(dataset)
        assert [episode.id for episode in again] == [episode.id for episode in dataset]


def test_a_pickle_of_a_dataset_is_opened_from_any_folder(bridge_copy, tmp_path, monkeypatch):
    monkeypatch.chdir(bridge_copy.parent)
    dataset = rc.open(bridge_copy.name, catalog=tmp_path / "c.sqlite", jpeg_dct="fast")
    pickled = pickle.dumps(dataset)
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(pickled)
    assert again.catalog_path == dataset.catalog_path
    image = "observation/image_0"
    assert (again[0][image].values == dataset[0][image].values).all()


def test_a_pickle_of_other_data_is_refused(tmp_path):
    path = small_dataset.write(tmp_path, images=False, clouds=False)
    dataset = rc.open(path, control_rate_hz=10)
    pickled = [pickle.dumps(dataset), pickle.dumps(dataset.take([3, 0]))]
    shutil.rmtree(path)
    with rc.RldsWriter(tmp_path, "small", {"action": rc.Feature()}) as writer:
        writer.add_episode({"action": [1.0, 2.0]})
    for item in pickled:
        with pytest.raises(rc.Error, match="not those that it had when it was pickled"):
            pickle.loads(item)


@COPIES
def test_episodes_and_streams(bridge, duplicate):
    episode = bridge.split("val")[3]
    again = duplicate(episode)
    assert (again.id, again.index) == (episode.id, 3)
    assert (duplicate(episode["action"]).values == episode["action"].values).all()


@COPIES
@pytest.mark.parametrize("taken", [0, 3, 8])
def test_a_copy_of_a_loader_starts_where_it_stands(bridge, duplicate, taken):
    reference = make(bridge)
    epochs = [epoch(reference) for _ in range(3)]
    loader = make(bridge)
    epoch(loader)
    iterator = iter(loader)
    for _ in range(taken):
        next(iterator)
    again = duplicate(loader)
    rest = epochs[1][taken:] or epochs[2]
    assert epoch(again) == rest
    assert [samples(batch) for batch in iterator] == epochs[1][taken:]


@COPIES
def test_loaders_by_name(bridge_copy, duplicate):
    loader = BridgeDataLoader(bridge_copy, 64, images=False, num_threads=1)
    iterator = iter(loader)
    next(iterator)
    again = duplicate(loader)
    assert epoch(again) == [samples(batch) for batch in iterator]


@COPIES
def test_tasks_go_with_their_dataset(bridge, duplicate):
    with pytest.raises(rc.Error, match="tasks: are not pickled or copied"):
        duplicate(bridge.tasks)
    assert list(duplicate(bridge).tasks) == list(bridge.tasks)


def test_a_copy_has_the_parameters_of_the_first(bridge):
    windows = {"action": [rc.Window(range(3), name="a", channels=[(slice(0, 3), "linear")])]}
    loader = make(
        bridge, streams=windows, array="numpy", batch_size=5, rate_hz=10, drop_last=True, seed=2**63
    )
    windows.clear()
    again = pickle.loads(pickle.dumps(loader))
    told = [re.sub(r"; [^;]* in use", "", repr(each)) for each in (again, loader)]
    assert told[0] == told[1]
    first, second = next(iter(loader)), next(iter(again))
    assert (first["a"] == second["a"]).all()


def test_a_closed_loader_is_not_copied(bridge):
    loader = make(bridge)
    loader.close()
    with pytest.raises(rc.Error, match="closed"):
        pickle.dumps(loader)


def _read_all(loader, queue):
    queue.put(epoch(loader))


def test_a_spawned_process(bridge):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_read_all, args=(make(bridge), queue))
    process.start()
    assert queue.get(timeout=120) == epoch(make(bridge))
    process.join()


@pytest.mark.forks
def test_a_forked_process_iterates_anew(bridge):
    loader = make(bridge, num_threads=1)
    first, *rest = epoch(make(bridge))
    assert samples(next(iter(loader))) == first

    def iterate():
        loader.set_epoch(0)
        assert epoch(loader) == [first, *rest]

    in_child(iterate)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    ("start", "num_workers", "epochs"),
    [
        pytest.param("fork", 1, 2, marks=pytest.mark.forks),
        pytest.param("fork", 3, 2, marks=pytest.mark.forks),
        ("spawn", 2, 1),
    ],
)
def test_workers_of_torch_share_the_batches(bridge, start, num_workers, epochs):
    loader = make(bridge)
    loaded = torch.utils.data.DataLoader(
        loader, batch_size=None, num_workers=num_workers, multiprocessing_context=start
    )
    assert len(loaded) == 8
    reference = make(bridge)
    for number in range(epochs):
        loader.set_epoch(number)
        assert [samples(batch) for batch in loaded] == epoch(reference)


class _Made(torch.utils.data.IterableDataset):
    """A loader that is made in the worker, in one rank of two."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        return iter(make(self.dataset, rank=1, world_size=2))


@pytest.mark.forks
def test_a_loader_made_in_a_worker_of_a_rank(bridge):
    loaded = torch.utils.data.DataLoader(_Made(bridge), batch_size=None, num_workers=2)
    got = [samples(batch) for batch in loaded]
    assert got == epoch(make(bridge, rank=1, world_size=2))


@pytest.mark.forks
def test_workers_go_on_where_a_loader_stands(bridge):
    wanted = epoch(make(bridge))
    for taken in (2, 3):
        loader = make(bridge)
        iterator = iter(loader)
        for _ in range(taken):
            next(iterator)
        loaded = torch.utils.data.DataLoader(
            copy.copy(loader), batch_size=None, num_workers=2, multiprocessing_context="fork"
        )
        assert [samples(batch) for batch in loaded] == wanted[taken:]
