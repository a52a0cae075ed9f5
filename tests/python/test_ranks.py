"""Ranks: equally many batches by default, found when an iteration begins, cores shared out."""

from __future__ import annotations

import multiprocessing
import os

import pytest
import torch
import torch.distributed

import robocache as rc
from tests.python.bridge_loader import samples


def make(dataset, **options):
    defaults = {"streams": ["action"], "shuffle": True, "seed": 3, "num_threads": 1}
    return rc.DataLoader(dataset, 64, **{**defaults, **options})


@pytest.fixture
def group(monkeypatch):
    """Sets what torch.distributed says: rank and world size, or None."""

    def initialise(rank, world_size):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world_size)

    return initialise


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_have_equally_many_batches_by_default(bridge, world_size, drop_last):
    loaders = [
        make(bridge, rank=rank, world_size=world_size, drop_last=drop_last)
        for rank in range(world_size)
    ]
    batches = [list(loader) for loader in loaders]
    assert len({len(loader) for loader in loaders}) == 1
    assert len({tuple(len(batch["task"]) for batch in each) for each in batches}) == 1
    taken = [sample for each in batches for sample in samples(each)]
    assert len(set(taken)) == len(taken)
    if not drop_last:
        assert len(taken) > 500 - world_size
    assert "remainder 'drop'" in repr(loaders[0])


def test_one_rank_loses_nothing(bridge):
    assert len(samples(make(bridge))) == 500


def _train(rank, loader, file, queue):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    steps = 0
    for batch in loader:
        torch.distributed.all_reduce(torch.tensor([float(len(batch["task"]))]))
        steps += 1
    queue.put((rank, loader.rank, loader.world_size, steps))
    torch.distributed.destroy_process_group()


def test_a_loader_made_before_the_process_group(bridge, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    loader = make(bridge.take(range(25)))  # 250 samples: 3 full batches and a part
    processes = [
        context.Process(target=_train, args=(rank, loader, tmp_path / "store", queue))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    found = sorted(queue.get(timeout=200) for _ in processes)
    for process in processes:
        process.join()
    assert found == [(0, 0, 2, 2), (1, 1, 2, 2)]


def test_ranks_are_read_when_an_iteration_begins(bridge, group):
    loader = make(bridge)
    assert len(loader) == 8
    group(1, 2)
    assert len(loader) == 4
    assert (loader.rank, loader.world_size) == (1, 2)
    wanted = make(bridge, rank=1, world_size=2)
    assert samples(loader) == samples(wanted)
    group(0, 2)
    assert samples(loader) == samples(make_second_epoch(bridge, rank=0, world_size=2))


def make_second_epoch(dataset, **options):
    loader = make(dataset, **options)
    loader.set_epoch(1)
    return loader


def test_a_position_moves_with_the_ranks(bridge, group):
    whole = list(make(bridge))
    for taken in (4, 3):
        first = make(bridge)
        iterator = iter(first)
        for _ in range(taken):
            next(iterator)
        loader = make(bridge)
        loader.load_state_dict(first.state_dict())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RANK", "1")
            patch.setenv("WORLD_SIZE", "2")
            assert samples([next(iter(loader))]) == samples([whole[taken + 1]])


def test_a_running_epoch_keeps_its_ranks(bridge, group):
    loader = make(bridge)
    iterator = iter(loader)
    next(iterator)
    group(1, 2)
    assert len(list(iterator)) == 7
    assert len(list(loader)) == 4


def test_a_world_size_without_a_rank_waits_for_torch(bridge, group, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    loader = make(bridge)
    assert len(loader) == 4
    with pytest.raises(ValueError, match=r"RANK, WORLD_SIZE: None, '2' found"):
        next(iter(loader))
    group(1, 2)
    assert samples(loader) == samples(make(bridge, rank=1, world_size=2))


def test_iter_takes_nothing(bridge):
    reference = make(bridge)
    epochs = [samples(reference) for _ in range(3)]
    loader = make(bridge)
    iter(loader)
    iter(loader)
    assert samples(loader) == epochs[0]
    iter(loader)
    iterator = iter(loader)
    next(iterator)
    assert samples(loader) == epochs[2]


def test_set_epoch(bridge):
    reference = make(bridge)
    epochs = [list(reference) for _ in range(4)]
    loader = make(bridge)
    loader.set_epoch(2)
    assert samples(loader) == samples(epochs[2])
    assert samples(loader) == samples(epochs[3])
    loader.set_epoch(3)
    assert samples(loader) == samples(epochs[3])
    iterator = iter(loader)
    loader.set_epoch(1)  # before a batch is taken
    next(iterator)
    loader.set_epoch(0)  # for the next iteration: this one goes on
    assert samples(iterator) == samples(epochs[1][1:])
    state = loader.state_dict()
    assert (state["epoch"], state["position"]) == (0, 0)
    assert samples(loader) == samples(epochs[0])


def test_set_epoch_leaves_the_position_of_a_state(bridge):
    loader = make(bridge)
    iterator = iter(loader)
    next(iterator)
    rest = samples(iterator)
    for epoch, wanted in ((0, rest), (1, samples(loader))):
        resumed = make(bridge)
        resumed.load_state_dict({**loader.state_dict(), "epoch": 0, "position": 64})
        resumed.set_epoch(epoch)
        assert samples(resumed) == wanted


CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("world_size", "environment", "ranks_of_host"),
    [
        (1, {}, 1),
        (1, {"LOCAL_WORLD_SIZE": "2"}, 2),  # both work on the same rows
        (1, {"SLURM_NTASKS_PER_NODE": "2"}, 1),
        (2, {}, 2),
        (64, {}, 64),
        (64, {"LOCAL_WORLD_SIZE": "2"}, 2),
        (64, {"SLURM_NTASKS_PER_NODE": "2"}, 2),
        (64, {"SLURM_NTASKS_PER_NODE": "2(x3)", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 2),
        (2, {"LOCAL_WORLD_SIZE": "0"}, 2),
        (1, {"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "SLURM_NTASKS_PER_NODE": "64"}, 2),
    ],
)
def test_ranks_of_a_host_share_its_cores(
    bridge, monkeypatch, world_size, environment, ranks_of_host
):
    for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE", "OMPI_COMM_WORLD_LOCAL_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    loader = make(bridge, num_threads=0, rank=0, world_size=world_size, drop_last=False)
    wanted = max(1, CORES // ranks_of_host)
    assert loader.stats()["threads"] == wanted
    assert f"{wanted} threads" in repr(loader)
    loader.close()
