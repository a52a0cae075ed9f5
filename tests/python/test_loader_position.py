"""Where a loader stands: after exceptions, on every rank, and in a resumed run."""

from __future__ import annotations

import gc
import itertools
import json
import os
import queue
import signal
import sys
import threading

import numpy as np
import pytest

import robocache as rc
from tests.python.loader_model import await_threads, num_threads

pytestmark = pytest.mark.filterwarnings("ignore:.*has no batch")

LENGTHS = (1, 2, 3, 5, 7)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Episodes of 1, 2, 3, 5 and 7 steps, with images that take a while to decode."""
    folder = tmp_path_factory.mktemp("lengths")
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    features = {
        "action": rc.Feature("float32", (2,)),
        "image": rc.Feature("uint8", noise.shape, encoding="png"),
    }
    with rc.RldsWriter(folder, "lengths", features) as writer:
        for steps in LENGTHS:
            writer.add_episode({"action": np.zeros((steps, 2)), "image": [noise] * steps})
    return rc.open(folder / "lengths", control_rate_hz=10, progress=False)


def make(dataset, batch_size=1, **options):
    arguments = {"streams": ["action"], "num_threads": 1, "array": "numpy", "shuffle": True}
    return rc.DataLoader(dataset, batch_size, **{**arguments, **options})


def make_slow(dataset):
    """One batch is made at a time, and is waited for."""
    return make(dataset, streams={"image": rc.Window([0, 1, 2])}, num_slots=1)


def samples(batch):
    return list(zip(batch["episode_index"].tolist(), batch["step_index"].tolist(), strict=True))


class InterruptError(Exception):
    """What the signal handlers of these tests raise."""


@pytest.fixture
def handle():
    """Installs a handler of SIGUSR1 until the test ends."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


def raise_interrupt(*_):
    raise InterruptError


@pytest.fixture
def alarm_while_waiting():
    """Has SIGUSR1 sent once, when the main thread next waits without the GIL, for a batch."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    wanted = queue.SimpleQueue()

    def send():
        while wanted.get():
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    yield lambda: wanted.put(True)
    wanted.put(False)
    thread.join()
    sys.setswitchinterval(interval)


def test_a_batch_comes_after_an_exception_of_a_handler(dataset, handle, alarm_while_waiting):
    loader = make_slow(dataset)
    delivered, interrupted = [], 0
    iterator = iter(loader)
    handle(raise_interrupt)
    alarm_while_waiting()
    while interrupted < 5:
        try:
            for batch in iterator:
                delivered.append(samples(batch))
            iterator = iter(loader)
        except InterruptError:
            interrupted += 1
            if interrupted < 5:
                alarm_while_waiting()
        position = loader.state_dict()["position"]
        assert loader.epoch * len(loader) + position == len(delivered)
    delivered += [samples(batch) for batch in iterator]
    reference = make(dataset)
    assert delivered == [samples(b) for _ in range(loader.epoch + 1) for b in reference]


def test_a_batch_comes_after_an_exception_while_it_is_handed_out(dataset, monkeypatch):
    expected = [samples(batch) for batch in make(dataset)]
    calls = itertools.count()

    def asarray(*arguments):
        if next(calls) % 20 == 2:
            raise MemoryError
        return np.array(*arguments)

    monkeypatch.setattr(np, "asarray", asarray)
    loader = make(dataset)
    monkeypatch.undo()
    iterator = iter(loader)
    failed, delivered = 0, []
    while len(delivered) < len(expected):
        try:
            delivered.append(samples(next(iterator)))
        except MemoryError:
            failed += 1
        assert loader.state_dict()["position"] == len(delivered)
    assert delivered == expected
    assert failed > 0
    assert loader.stats()["batches_delivered"] == len(expected)


def forever(loader):
    """Batches of one epoch after the other."""
    return itertools.chain.from_iterable(itertools.repeat(loader))


def test_a_handler_may_close_the_loader(dataset, handle, alarm_while_waiting):
    loader = make_slow(dataset)
    handle(lambda *_: loader.close())
    alarm_while_waiting()
    with pytest.raises(rc.Error, match="the loader is closed"):
        list(forever(loader))
    handle(signal.SIG_IGN)
    with pytest.raises(rc.Error, match="the loader is closed"):
        iter(loader)


def test_a_handler_may_take_a_batch(dataset, handle, alarm_while_waiting):
    """It is the next one; whoever waited gets the one after it."""
    loader, reference = make_slow(dataset), make(dataset)
    taken, iterator = [], iter(loader)

    def take(*_):
        taken.append(samples(next(iterator)))

    handle(take)
    alarm_while_waiting()
    while not taken:
        delivered = []
        for _ in range(len(loader) - 1):
            delivered.append(samples(next(iterator)))
            if taken:
                break
        position = loader.state_dict()["position"]
        assert position == len(delivered) + len(taken)
        expected = [samples(batch) for batch in reference]
        assert sorted(delivered + taken) == sorted(expected[:position])
        assert [samples(batch) for batch in iterator] == expected[position:]
        iterator = iter(loader)


def test_a_handler_may_load_a_state(dataset, handle, alarm_while_waiting):
    loader = make_slow(dataset)
    state = loader.state_dict()
    handle(lambda *_: loader.load_state_dict(state))
    alarm_while_waiting()
    with pytest.raises(rc.Error, match="has begun another epoch"):
        list(forever(loader))
    assert loader.state_dict() == state
    assert sum(1 for _ in loader) == sum(LENGTHS)


def test_threads_take_turns_without_losing_a_batch(dataset):
    """Those that come while another waits are refused; what they did not get is not counted."""
    loader = make_slow(dataset)
    expected = [samples(batch) for batch in make(dataset)]
    iterator, delivered, refused = iter(loader), [], []

    def consume():
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except rc.Error as error:
                refused.append(str(error))
            else:
                delivered.append(samples(batch))

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(delivered) == sorted(expected)
    assert set(refused) <= {"the loader is being used by another thread"}


def test_another_thread_may_close_and_look(dataset):
    """A call that waits ends, and says that the loader is closed; the state is read meanwhile."""
    loader = make_slow(dataset)
    errors, waiting = [], threading.Event()

    def consume():
        waiting.set()
        try:
            while True:
                list(loader)
        except rc.Error as error:
            errors.append(str(error))

    thread = threading.Thread(target=consume)
    thread.start()
    waiting.wait()
    for _ in range(100):
        assert 0 <= loader.state_dict()["position"] <= sum(LENGTHS)
        assert loader.stats()["batches_delivered"] >= 0
    loader.close()
    thread.join(60)
    assert errors == ["the loader is closed"]


def test_another_thread_sees_one_state_or_the_other(dataset, monkeypatch):
    """While a state is loaded, and a batch that could not be handed out is given up for it."""

    def fail(_):
        raise MemoryError

    monkeypatch.setattr(np, "asarray", fail)
    loader = make(dataset)
    monkeypatch.undo()
    states = [{**loader.state_dict(), "epoch": epoch, "position": 3 * epoch} for epoch in (1, 4)]
    told, ended = [], threading.Event()

    def look():
        while not ended.is_set():
            told.append(loader.state_dict())

    thread = threading.Thread(target=look)
    loader.load_state_dict(states[0])
    thread.start()
    for round_ in range(300):
        with pytest.raises(MemoryError):
            next(iter(loader))
        loader.load_state_dict(states[(round_ + 1) % 2])
    ended.set()
    thread.join()
    # where it stands, or one further while the batch is being made into arrays
    assert {(s["epoch"], s["position"] - 3 * s["epoch"]) for s in told} <= set(
        itertools.product((1, 4), (0, 1))
    )


@pytest.mark.parametrize("ending", ["break", "exhausted", "exception", "iterator kept"])
def test_the_last_reference_ends_the_threads(dataset, ending):
    before = num_threads()
    gc.disable()
    try:
        for _ in range(20):
            loader = make(dataset, num_threads=3)
            iterator = iter(loader)
            assert num_threads() > before
            try:
                for _ in iterator:
                    if ending == "break":
                        break
                    if ending == "exception":
                        raise InterruptError
            except InterruptError:
                pass
            if ending == "iterator kept":
                del loader
                assert num_threads() > before
            loader = iterator = None
            await_threads(before)
    finally:
        gc.enable()


def stepwise(loaders, epochs):
    """What each rank of a synchronous run gets in each step, with the states before that step.

    A step is one call of next() on every rank: a rank whose epoch is over waits for the others.
    """
    for _ in range(epochs):
        iterators = [iter(loader) for loader in loaders]
        while True:
            states = [json.loads(json.dumps(loader.state_dict())) for loader in loaders]
            epoch = loaders[0].epoch
            got = [next(iterator, None) for iterator in iterators]
            if all(batch is None for batch in got):
                break
            yield states, [(epoch, [] if b is None else samples(b)) for b in got]
        ended = [json.loads(json.dumps(loader.state_dict())) for loader in loaders]
        assert len({(state["epoch"], state["position"]) for state in ended}) == 1


SELECTIONS = [[], [0], [1], [0, 1], [3], [1, 3], [4], [2, 3], [4, 2], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("remainder", ["uneven", "drop", "repeat"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_all_ranks_resume_in_the_same_epoch(dataset, world_size, remainder):
    """At every position, from the states of all ranks and from the state of any one of them."""
    for chosen, batch_size, drop_last in itertools.product(SELECTIONS, (1, 2, 3), (False, True)):
        view = dataset.take(chosen)

        def ranks(view=view, batch_size=batch_size, drop_last=drop_last):
            return [
                make(
                    view,
                    batch_size,
                    rank=rank,
                    world_size=world_size,
                    remainder=remainder,
                    drop_last=drop_last,
                )
                for rank in range(world_size)
            ]

        whole = list(stepwise(ranks(), epochs=2))
        steps = [got for _, got in whole]
        if remainder == "uneven" and not drop_last:
            for number in range(2):
                seen = [
                    s for got in steps for epoch, pairs in got if epoch == number for s in pairs
                ]
                assert len(seen) == len(set(seen)) == sum(LENGTHS[i] for i in chosen)
        for index, (states, _) in enumerate(whole):
            donor = index % (world_size + 1)
            resumed = ranks()
            for rank, loader in enumerate(resumed):
                loader.load_state_dict(states[rank if donor == world_size else donor])
            assert len({loader.epoch for loader in resumed}) == 1
            rest = steps[index:]
            again = [got for _, got in stepwise(resumed, epochs=2)]
            assert again[: len(rest)] == rest


@pytest.mark.parametrize("worlds", [(1, 2), (2, 1), (2, 3), (4, 2), (3, 1), (2, 4), (5, 5)])
def test_others_go_on_as_one_rank_would(dataset, worlds):
    """At every position, with another world and batch size: the order of one rank of one batch."""
    for chosen, sizes in itertools.product(SELECTIONS[1:], [(1, 2), (2, 3), (3, 1), (4, 4)]):
        view = dataset.take(chosen)
        alone = [s for batch in make(view, 100) for s in samples(batch)]
        first, second = (
            [
                make(view, size, rank=rank, world_size=world, remainder="uneven")
                for rank in range(world)
            ]
            for size, world in zip(sizes, worlds, strict=True)
        )
        seen = []
        for index, (states, got) in enumerate(stepwise(first, epochs=1)):
            for loader in second:
                loader.load_state_dict(states[index % worlds[0]])
            rest = [s for _, each in stepwise(second, epochs=1) for _, pairs in each for s in pairs]
            assert seen + rest == alone
            assert states[0]["position"] == len(seen)
            seen += [s for _, pairs in got for s in pairs]
        assert seen == alone


def test_what_ranks_leave_out_is_left_out_by_all(dataset):
    """Where fewer samples are left than there are ranks, the next epoch begins on each of them."""
    one = make(dataset)
    iterator = iter(one)
    for _ in range(sum(LENGTHS) - 2):
        next(iterator)
    for rank in range(3):
        loader = make(dataset, rank=rank, world_size=3)
        loader.load_state_dict(one.state_dict())
        assert (loader.epoch, loader.state_dict()["position"]) == (1, 0)
        loader = make(dataset, rank=rank, world_size=3, remainder="repeat")
        loader.load_state_dict(one.state_dict())
        assert loader.epoch == 0
        assert len(list(loader)) == 1
