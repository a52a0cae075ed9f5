"""Where a loader's time goes, and how that is told."""

import itertools
import threading
import time

import numpy as np
import pytest

import robocache as rc
from tests.python import flat_dataset

STAGES = ("queue", "order", "read", "unpack", "decode", "align", "deliver")


def waits(stats):
    return {stage: stats[f"wait_{stage}_ns"] for stage in STAGES}


def told(stats):
    return stats["outside_ns"] + stats["wait_ns"] + stats["stage_deliver_ns"]


@pytest.fixture
def dataset(tmp_path):
    x = np.arange(300, dtype=np.float32).reshape(100, 3)
    return flat_dataset.make(tmp_path / "numbers", [25] * 4, {"x": x})


def make(dataset, **options):
    options = {"batch_size": 10, "rate_hz": 10, "array": "numpy", "num_threads": 2, **options}
    return rc.DataLoader(dataset, streams={"x": rc.Window(0)}, **options)


def test_the_consumers_time_adds_up(dataset):
    loader = make(dataset)
    assert told(loader.stats()) == 0
    iterator = iter(loader)
    assert told(loader.stats()) == 0  # its time begins with its first call
    before_first = time.monotonic_ns()
    next(iterator)
    after_first = time.monotonic_ns()
    for _ in range(8):
        next(iterator)
        time.sleep(0.002)
    before_last = time.monotonic_ns()
    next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    after_last = time.monotonic_ns()
    stats = loader.stats()
    assert before_last - after_first <= told(stats) <= after_last - before_first
    assert stats["outside_ns"] >= 8 * 2_000_000
    assert stats["wait_ns"] == sum(waits(stats).values())
    assert told(loader.stats()) == told(stats)  # and ends with its last


def test_a_break_ends_the_time_that_is_told(dataset):
    loader = make(dataset)
    for _ in loader:
        break
    stats = loader.stats()
    time.sleep(0.01)
    assert told(loader.stats()) == told(stats)
    for _ in loader:
        pass
    assert told(loader.stats()) > told(stats)


def test_time_between_calls_is_told_while_it_passes(dataset):
    loader = make(dataset)
    iterator = iter(loader)
    next(iterator)
    before = loader.stats()
    time.sleep(0.01)
    after = loader.stats()
    assert after["outside_ns"] - before["outside_ns"] >= 10_000_000
    assert after["wait_ns"] == before["wait_ns"]
    del iterator


def test_counters_never_decrease_while_another_thread_loads(dataset):
    loader = make(dataset)
    is_over = threading.Event()
    seen = []

    def look():
        while not is_over.is_set():
            seen.append(loader.stats())

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(20):
        for _ in loader:
            pass
    is_over.set()
    thread.join()
    seen.append(loader.stats())
    names = [name for name in seen[0] if name.startswith(("stage_", "wait_"))]
    assert len(names) == 3 * len(STAGES) + 1
    for earlier, later in itertools.pairwise(seen):
        for name in (*names, "outside_ns", "idle_ns"):
            assert earlier[name] <= later[name], name
        assert later["wait_ns"] == sum(waits(later).values())


def test_stages_and_queues_are_told(dataset):
    with make(dataset, num_slots=2) as loader:
        next(iter(loader))
        while loader.stats()["batches_ready"] < 2:
            pass
        stats = loader.stats()
        assert loader.waits_for is None
        assert all(isinstance(value, (int, float)) for value in stats.values())
        assert (stats["threads"], stats["fetchers"]) == (2, 0)
        assert stats["batches_begun"] == 2
        assert stats["stage_read_bytes"] == stats["bytes_read"]
        assert stats["stage_deliver_bytes"] == 10 * (3 * 4 + 2 + 4 * 8)
        assert stats["stage_order_ns"] > 0
        assert stats["stage_align_ns"] > 0
        assert stats["stage_decode_ns"] == 0
