"""A loader against a model of it: random steps, each compared with what the model says.

`python -m tests.python.loader_model --steps 1000000` takes as many steps as one likes and prints
how many there were of each kind. A failure names the seed of its run, which `--seed N --steps 100`
repeats.
"""

from __future__ import annotations

import argparse
import collections
import gc
import json
import os
import random
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

import robocache as rc
from tests.python.children import in_child

LENGTHS = {"numbered": (1, 4, 2, 9, 5), "other": (3, 1, 7)}  # of the datasets' episodes
STEPS_A_RUN = 100
SHARE = ("batch_size", "rank", "world_size")
# The thread sanitizer has no threads in children of processes that had some.
CAN_FORK = "libtsan" not in os.environ.get("LD_PRELOAD", "")
PATIENCE_SECONDS = 60


class Model:
    """Where a loader stands and what it delivers, given the order of each epoch."""

    def __init__(self, order, batch_size, rank, world_size):
        self.order = order
        self.share(batch_size, rank, world_size)
        self.load((0, 0))

    def share(self, batch_size, rank, world_size):
        self.size, self.rank, self.world = batch_size, rank, world_size

    def is_over(self):
        return self.position == len(self.order(self.epoch))

    def load(self, state):
        self.epoch, self.position = state
        if self.is_over():
            self.epoch, self.position = self.epoch + 1, 0
        self.is_fresh = True

    def iterate(self):
        if not self.is_fresh:
            self.load((self.epoch + 1, 0))

    def next(self):
        self.is_fresh = False
        order = self.order(self.epoch)
        first = self.position + self.rank * self.size
        rows = order[first : first + self.size]
        after = self.position + self.world * self.size
        self.position = min(after, len(order)) if rows else len(order)
        return rows


def num_threads():
    return len(os.listdir("/proc/self/task"))


def await_threads(count):
    """Waits until there are no more: the kernel forgets a thread a moment after it was joined."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while num_threads() > count:
        assert time.monotonic() < deadline, f"{num_threads()} threads, {count} wanted"
        time.sleep(0.0001)


def write_datasets(folder: Path) -> dict[str, rc.Dataset]:
    """Writes and opens episodes whose actions say which step of which dataset they are."""
    features = {"action": rc.Feature("int64", (3,)), "language_instruction": rc.Feature("str")}
    for number, (name, lengths) in enumerate(LENGTHS.items()):
        with rc.RldsWriter(folder, name, features) as writer:
            for episode, steps in enumerate(lengths):
                action = [(number, episode, step) for step in range(steps)]
                text = [f"episode {episode}"] * steps
                writer.add_episode({"action": action, "language_instruction": text})
    return {name: rc.open(folder / name, control_rate_hz=10, progress=False) for name in LENGTHS}


def samples_of(name):
    """All samples of a dataset, as `rows_of()` has them, in order."""
    number = list(LENGTHS).index(name)
    return [(number, e, s) for e, steps in enumerate(LENGTHS[name]) for s in range(steps)]


def rows_of(batch):
    """The rows of a batch, after a look at whether its fields belong together."""
    numbers = batch["dataset_index"].tolist() if "dataset_index" in batch else None
    names = ("episode_index", "step_index")
    indices = [batch[name].tolist() for name in names]
    rows = list(zip(numbers or [0] * len(indices[0]), *indices, strict=True))
    assert batch["action"][:, 0].tolist() == [list(row) for row in rows]
    assert batch["task"] == [f"episode {episode}" for _, episode, _ in rows]
    if numbers is not None:
        assert batch["dataset"] == [list(LENGTHS)[number] for number in numbers]
    return rows


class Run:
    """One loader and its model, and the steps that are taken with both."""

    def __init__(self, datasets, seed):
        self.random = random.Random(seed)
        self.datasets = datasets
        self.dataset, self.num_samples = datasets["numbered"], len(samples_of("numbered"))
        self.cycle = {}
        if self.random.random() < 0.3:
            self.mix()
        self.options = {
            "shuffle": self.random.random() < 0.7,
            "seed": seed,
            "remainder": "uneven",
            **self.share(),
        }
        self.orders = {}
        self.model = Model(self.order, **{name: self.options[name] for name in SHARE})
        self.fails = False
        self.make()
        self.states = [self.state()]
        self.held = []

    def mix(self):
        """Takes a mixture of the datasets."""
        self.cycle = {name: self.random.choice([1, 1, 2, 5]) for name in LENGTHS}
        epoch = self.random.choice(["first", "last", self.random.randint(1, 60)])
        pairs = {name: (self.datasets[name], weight) for name, weight in self.cycle.items()}
        self.dataset = rc.mix(pairs, epoch=epoch)
        sizes = [(len(samples_of(name)), weight) for name, weight in self.cycle.items()]
        cycles = {
            "first": max(1, min(size // weight for size, weight in sizes)),
            "last": max(-(-size // weight) for size, weight in sizes),
        }
        length = sum(self.cycle.values())
        self.num_samples = cycles[epoch] * length if epoch in cycles else epoch

    def share(self):
        world = self.random.choice([1, 1, 2, 3, 5])
        share = (self.random.choice([1, 2, 3, 7, 30]), self.random.randrange(world), world)
        return dict(zip(SHARE, share, strict=True))

    def make(self, **options):
        """Makes a loader, with other threads and slots each time, which must not matter."""
        self.threads_before = num_threads()
        asarray = np.asarray
        np.asarray = self.asarray
        try:
            warnings.simplefilter("ignore")  # that this rank has no batches
            self.loader = rc.DataLoader(
                self.dataset,
                streams=["action"],
                array="numpy",
                num_threads=self.random.choice([1, 2, 4]),
                num_slots=self.random.choice([0, 1, 2]),
                **{**self.options, **options},
            )
        finally:
            np.asarray = asarray
        self.iterator = None

    def asarray(self, array):
        if self.fails:
            raise MemoryError
        return np.array(array)

    def order(self, epoch):
        if epoch not in self.orders:
            whole = {"rank": 0, "world_size": 1, "batch_size": 1}
            options = {**self.options, **whole}
            with rc.DataLoader(
                self.dataset, streams=["action"], array="numpy", **options
            ) as loader:
                state = loader.state_dict()
                loader.load_state_dict({**state, "epoch": epoch})
                self.orders[epoch] = [rows_of(batch)[0] for batch in loader]
            self.check_order(epoch)
        return self.orders[epoch]

    def check_order(self, epoch):
        """All samples, or, of a mixture, the right share of them in each whole cycle."""
        order = self.orders[epoch]
        assert len(order) == self.num_samples
        if not self.cycle:
            assert sorted(order) == samples_of("numbered")
            return
        length = sum(self.cycle.values())
        first = -epoch * self.num_samples % length
        for begin in range(first, len(order) - length + 1, length):
            of_cycle = collections.Counter(row[0] for row in order[begin : begin + length])
            assert [of_cycle[number] for number in range(len(LENGTHS))] == [*self.cycle.values()]
        assert set(order) <= {row for name in LENGTHS for row in samples_of(name)}

    def state(self):
        state = json.loads(json.dumps(self.loader.state_dict()))
        assert (state["epoch"], state["position"]) == (self.model.epoch, self.model.position)
        return state

    # ---- steps

    def begin(self):
        self.iterator = iter(self.loader)
        self.model.iterate()

    def next(self):
        if self.iterator is None:
            self.begin()
        batch = next(self.iterator, None)
        assert ([] if batch is None else rows_of(batch)) == self.model.next()
        return batch

    def leave(self):
        self.iterator = None

    def hold(self):
        batch = self.next()
        if batch is not None:
            self.held.append((batch, rows_of(batch)))
        if len(self.held) > 4 or batch is None:
            kept, rows = self.held.pop(0) if self.held else ({}, None)
            assert rows is None or rows_of(kept) == rows

    def save(self):
        self.states.append(self.state())

    def load(self):
        state = self.random.choice(self.states)
        self.loader.load_state_dict(state)
        self.model.load((state["epoch"], state["position"]))
        self.iterator = None

    def fail(self):
        """Arrays cannot be made: the batch comes with the next call."""
        if self.iterator is None:
            self.begin()
        self.fails = True
        try:
            assert next(self.iterator, None) is None
            assert self.model.next() == []
        except MemoryError:
            pass
        self.fails = False
        self.state()

    def look(self):
        stats = self.loader.stats()
        assert stats["samples_skipped"] == 0 == len(self.loader.skipped)
        assert 0 <= stats["slots_in_use"] <= stats["slots"] <= stats["slots_peak"]
        assert self.loader.num_samples == self.num_samples

    def close(self):
        """A closed loader says so; another goes on where it stood."""
        state = self.state()
        self.loader.close()
        for call in (self.loader.state_dict, self.loader.stats, lambda: iter(self.loader)):
            self.refuses(call, "the loader is closed")
        self.resume(state)

    def drop(self):
        """The threads end with the last reference."""
        state = self.state()
        self.loader = self.iterator = None
        await_threads(self.threads_before)
        self.resume(state)

    def resume(self, state):
        self.make()
        self.loader.load_state_dict(state)
        self.model.load((state["epoch"], state["position"]))

    def reshape(self):
        """Another share goes on where this one stood."""
        state, share = self.state(), self.share()
        self.options.update(share)
        self.model.share(**share)
        self.loader.close()
        self.resume(state)

    def refuses(self, call, words):
        try:
            call()
        except rc.Error as error:
            assert words in str(error)  # noqa: PT017 - this module runs without pytest too
        else:
            raise AssertionError(f"nothing said '{words}'")

    def threads(self):
        """Several consumers: each batch goes to one of them, those that meet are refused."""
        if self.iterator is None:
            self.begin()
        iterator, got = self.iterator, []

        def consume():
            for _ in range(3):
                try:
                    batch = next(iterator, None)
                except rc.Error as error:
                    assert "used by another thread" in str(error)  # noqa: PT017
                else:
                    got.append([] if batch is None else rows_of(batch))

        consumers = [threading.Thread(target=consume) for _ in range(3)]
        for consumer in consumers:
            consumer.start()
        for consumer in consumers:
            consumer.join()
        assert sorted(got) == sorted(self.model.next() for _ in got)
        self.state()

    def fork(self):
        """A child reads the dataset and iterates anew; an iteration under way refuses."""
        in_child(self.load_in_child)

    def load_in_child(self):
        state, under_way = self.state(), self.iterator
        if self.model.is_over():
            under_way = None
        self.model.iterate()
        for batch in self.loader:
            assert rows_of(batch) == self.model.next()
        assert self.model.next() == []
        if under_way is not None:
            self.refuses(lambda: list(under_way), "make a loader after fork()")
        self.loader.close()
        self.resume(state)
        self.next()
        for name, lengths in LENGTHS.items():
            index = self.random.randrange(len(lengths))
            values = self.datasets[name].episodes[index]["action"].values
            assert len(values) == lengths[index]
        assert len(self.datasets["numbered"].where("num_steps > 3").episodes) == 3
        self.orders.clear()
        self.order(0)
        for batch, rows in self.held:
            assert rows_of(batch) == rows


STEPS = {
    Run.next: 60,
    Run.begin: 6,
    Run.leave: 6,
    Run.hold: 10,
    Run.save: 6,
    Run.load: 6,
    Run.fail: 4,
    Run.look: 4,
    Run.close: 1,
    Run.drop: 1,
    Run.reshape: 2,
    Run.threads: 1,
    Run.fork: 0.5 if CAN_FORK else 0,
}


def check(datasets: dict[str, rc.Dataset], seed: int, steps: int) -> collections.Counter[str]:
    """Takes `steps` steps in runs of their own seeds; returns how often each was taken."""
    counts: collections.Counter[str] = collections.Counter()
    while steps > 0:
        run, done = Run(datasets, seed), []
        try:
            for step in run.random.choices(
                *zip(*STEPS.items(), strict=True), k=min(steps, STEPS_A_RUN)
            ):
                done.append(step.__name__)
                step(run)
        except Exception as error:
            raise AssertionError(f"run {seed}, {run.options}: {' '.join(done)}") from error
        run.loader.close()  # it makes arrays with a method of the run, which has it
        counts.update(done)
        counts["mixed"] += bool(run.cycle)
        steps -= len(done)
        seed += 1
    return counts


def main() -> None:
    """Runs the steps asked for and prints their counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first run of 100 steps")
    arguments = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts = check(write_datasets(Path(folder)), arguments.seed, arguments.steps)
        runs_mixed = counts.pop("mixed")
        gc.collect()
    seconds = round(time.monotonic() - begin)
    told = {"steps": sum(counts.values()), "seconds": seconds, "mixed_runs": runs_mixed}
    print(json.dumps({**told, "counts": counts}))


if __name__ == "__main__":
    main()
