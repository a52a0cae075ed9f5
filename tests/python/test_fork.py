"""Children made by fork() while threads of their parent are in the middle of things."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import robocache as rc
from tests.python.children import in_child

pytestmark = pytest.mark.forks


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Episodes enough that loaders keep on opening them."""
    folder = tmp_path_factory.mktemp("many")
    with rc.RldsWriter(folder, "many", {"action": rc.Feature("int64", ())}) as writer:
        for index in range(3000):
            writer.add_episode({"action": [index]})
    return rc.open(folder / "many", control_rate_hz=10, progress=False)


def test_a_child_reads_selects_and_loads(dataset):
    shared = dataset.episodes[7]
    ended = threading.Event()

    def read():
        index = 0
        while not ended.is_set():
            index = (index + 17) % len(dataset)
            assert dataset.episodes[index]["action"].values.tolist() == [index]
            assert shared["action"].values.tolist() == [7]

    def select():
        while not ended.is_set():
            assert len(dataset.where("record < 10")) == 10

    def reopen():
        while not ended.is_set():
            assert len(rc.open(dataset.path, control_rate_hz=10, progress=False)) == 3000

    def work():
        assert shared["action"].values.tolist() == [7]
        assert dataset.episodes[5]["action"].values.tolist() == [5]
        assert len(dataset.where("record < 20")) == 20
        again = rc.open(dataset.path, control_rate_hz=10, progress=False)
        for each in (dataset, again):
            loader = rc.DataLoader(each, 100, array="numpy", num_threads=2)
            seen = np.concatenate([batch["action"][:, 0] for batch in loader])
            assert seen.tolist() == list(range(3000))

    threads = [threading.Thread(target=target) for target in (read, read, select, reopen)]
    for thread in threads:
        thread.start()
    try:
        with rc.DataLoader(dataset, 10, shuffle=True, array="numpy", num_threads=4) as loader:
            for number in range(20):
                batches = iter(loader)
                for _ in range(number % 5):
                    next(batches)
                in_child(work)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
