"""Batches: contents, order, and ending in every way."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
import torch

import robocache as rc
from tests.python.bridge_loader import epoch, make, same, samples
from tests.python.interrupts import interrupting
from tests.python.loader_model import await_threads, num_threads
from tests.python.wire_bytes import masked_crc


def test_contents_of_batches(bridge):
    loader = make(bridge)
    assert len(loader) == 8
    assert loader.num_samples == 500
    batches = epoch(loader)
    assert [len(batch["task"]) for batch in batches] == [64] * 7 + [52]
    by_id = {episode.id: episode for episode in bridge.episodes}
    for batch in batches:
        assert batch["observation/state"].shape[1:] == (2, 7)
        assert batch["actions"].shape[1:] == (16, 7)
        assert batch["actions"].dtype == np.float32
        for row, (index, step) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            episode = by_id[int(index)]
            assert batch["task"][row] == episode.task
            assert batch["time_ns"][row] == step * 200_000_000
            action = episode["action"].values
            wanted = np.minimum(np.arange(step, step + 16), 9)
            np.testing.assert_array_equal(batch["actions"][row], action[wanted])
            np.testing.assert_array_equal(
                batch["actions_is_pad"][row], np.arange(step, step + 16) > 9
            )
            state = episode["observation/state"].values
            np.testing.assert_array_equal(
                batch["observation/state"][row], state[[max(step - 1, 0), step]]
            )
            np.testing.assert_array_equal(
                batch["observation/state_is_pad"][row], [step == 0, False]
            )
    assert samples(batches) == [
        (episode.id, step) for episode in bridge.episodes for step in range(10)
    ]


def await_ready(loader):
    """Waits until a batch is ready that nobody has asked for."""
    while loader.stats()["batches_ready"] == 0:
        time.sleep(0.01)


@pytest.mark.parametrize("options", [{}, {"batch_size": 300}, {"rank": 1, "world_size": 3}])
def test_the_next_epoch_is_begun_before_one_ends(bridge, options):
    given = {"batch_size": 48, "shuffle": True, "seed": 5, **options}
    loader, other = make(bridge, **given), make(bridge, **given)
    wanted = []
    for number in range(6):
        other.set_epoch(number)
        wanted.append(epoch(other))

    def check(batches, number):
        for found, expected in zip(batches, wanted[number], strict=True):
            same(found, expected)

    check(epoch(loader), 0)
    assert loader.stats()["batches_begun"] == 0  # nobody has gone on yet
    check(epoch(loader), 1)
    await_ready(loader)
    assert (loader.epoch, loader.state_dict()["position"]) == (1, 500)
    check(epoch(loader), 2)
    await_ready(loader)
    state = loader.state_dict()
    loader.set_epoch(5)
    check(epoch(loader), 5)
    await_ready(loader)
    loader.load_state_dict(state)
    check(epoch(loader), 3)
    iterator = iter(loader)
    same(next(iterator), wanted[4][0])
    loader.set_epoch(5)
    check(epoch(loader), 5)


def test_images(bridge):
    loader = make(bridge, streams={"observation/image_0": rc.Window(range(-1, 1))})
    batch = next(iter(loader))
    frames = batch["observation/image_0"]
    assert frames.dtype == np.uint8
    image = bridge.episodes[0]["observation/image_0"].values
    np.testing.assert_array_equal(frames[3], image[[2, 3]])


def test_script_of_the_design(bridge):
    train = bridge.split("train")
    loader = rc.DataLoader(
        train,
        batch_size=64,
        rate_hz=5,
        streams={
            "observation/image_0": rc.Window(range(-1, 1), mode="hold"),
            "observation/state": rc.Window(range(-1, 1), mode="linear"),
            "action": rc.Window(range(16), mode="hold", name="actions"),
        },
        shuffle=True,
        seed=0,
        num_threads=2,
        device="cpu",
        drop_last=False,
        on_error="raise",
        rank=None,
        world_size=None,
    )
    assert len(loader) == 4
    for batch in loader:
        assert isinstance(batch["actions"], torch.Tensor)
        assert batch["actions"].shape[1:] == (16, 7)
        assert batch["actions_is_pad"].dtype == torch.bool
        assert batch["actions_valid"].shape == batch["actions"].shape[:2]
        assert batch["time_ns"].dtype == torch.int64
        assert isinstance(batch["task"], list)
    assert set(loader.stats()) >= {"batches_delivered", "slots", "wait_ns"}


def test_text_windows(bridge):
    loader = make(bridge, streams={"language_instruction": rc.Window(range(2))}, batch_size=5)
    batch = next(iter(loader))
    task = bridge.episodes[0].task
    assert batch["language_instruction"] == [[task, task]] * 5


def test_seconds_and_delta_timestamps(bridge):
    by_seconds = make(bridge, streams={"action": rc.Window(seconds=[0.0, 0.2, 0.4])})
    by_ticks = make(bridge, streams={"action": rc.Window([0, 1, 2])})
    same(next(iter(by_seconds)), next(iter(by_ticks)))
    loader = make(bridge, streams=None, delta_timestamps={"observation.state": [-0.2, 0.0]})
    batch = next(iter(loader))
    assert batch["observation.state"].shape == (64, 2, 7)


def test_off_the_grid_is_interpolated(bridge):
    loader = make(bridge, streams={"observation/state": rc.Window(seconds=0.05, mode="linear")})
    batch = next(iter(loader))
    state = bridge.episodes[0]["observation/state"].values
    np.testing.assert_allclose(
        batch["observation/state"][2, 0], state[2] + 0.25 * (state[3] - state[2]), rtol=1e-5
    )


def test_faster_clock(bridge):
    loader = make(bridge, rate_hz=10, streams={"observation/state": rc.Window(mode="linear")})
    assert loader.num_samples == 50 * 19
    batch = next(iter(loader))
    state = bridge.episodes[0]["observation/state"].values
    np.testing.assert_allclose(batch["observation/state"][:19:2, 0], state, rtol=1e-6)


def test_names_list_and_default_streams(bridge):
    batch = next(iter(make(bridge, streams=["action", "is_first"], batch_size=3)))
    assert batch["action"].shape == (3, 1, 7)
    assert batch["is_first"].tolist() == [[True], [False], [False]]
    everything = next(iter(make(bridge, streams=None, batch_size=2)))
    assert {"action", "observation/image_0", "observation/state"} <= everything.keys()


def test_order_does_not_depend_on_threads(bridge):
    reference = epoch(make(bridge, shuffle=True, seed=7, num_threads=1))
    for count in (2, 7):
        batches = epoch(make(bridge, shuffle=True, seed=7, num_threads=count))
        for a, b in zip(reference, batches, strict=True):
            same(a, b)


def test_order_depends_on_seed_and_epoch(bridge):
    loader = make(bridge, shuffle=True, seed=1)
    first, second = samples(epoch(loader)), samples(epoch(loader))
    other = samples(epoch(make(bridge, shuffle=True, seed=2)))
    assert sorted(first) == sorted(second) == sorted(other)
    assert first != second
    assert first != other
    assert loader.epoch == 1


def test_without_shuffling_samples_come_as_they_lie_r2(bridge):
    loader = make(bridge, batch_size=7, shuffle=False)
    wanted = [(i, step) for i, each in enumerate(bridge) for step in range(each.num_steps)]
    assert samples(epoch(loader)) == samples(epoch(loader)) == wanted


def test_break_then_the_next_epoch(bridge):
    loader = make(bridge, shuffle=True, seed=9)
    for batch in loader:
        first = samples([batch])
        break
    second = samples(epoch(loader))
    reference = make(bridge, shuffle=True, seed=9)
    assert samples(epoch(reference))[:64] == first
    assert samples(epoch(reference)) == second


def test_iterators_cannot_be_used_in_turns(bridge):
    loader = make(bridge)
    old = iter(loader)
    next(old)
    new = iter(loader)
    next(new)
    with pytest.raises(rc.Error, match="another epoch"):
        next(old)


def test_exhausted_iterator_stays_exhausted(bridge):
    iterator = iter(make(bridge, batch_size=500))
    next(iterator)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


@pytest.mark.parametrize("array", ["numpy", "torch"])
def test_tensors_keep_their_batch_and_give_it_back(bridge, array):
    loader = make(bridge, array=array, batch_size=8, num_slots=2, num_threads=1)
    iterator = iter(loader)
    held = [next(iterator)["actions"] for _ in range(20)]
    copies = [np.asarray(item).copy() for item in held]
    peak = loader.stats()["slots_peak"]
    assert peak >= 20
    for item, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(np.asarray(item), copy)
    del held, item
    gc.collect()
    for _ in iterator:
        pass
    assert loader.stats()["slots_in_use"] <= 4
    assert loader.stats()["slots_peak"] <= peak + 3


def test_batches_outlive_their_loader(bridge):
    loader = make(bridge, array="torch")
    batch = next(iter(loader))
    wanted = {name: value.clone() for name, value in batch.items() if name != "task"}
    del loader
    gc.collect()
    for name, value in wanted.items():
        assert torch.equal(batch[name], value)
    loader = make(bridge)
    iterator = iter(loader)
    batch = next(iterator)
    loader.close()
    assert batch["actions"].shape == (64, 16, 7)
    with pytest.raises(rc.Error, match="closed"):
        next(iterator)


def test_arrays_can_be_written(bridge):
    batch = next(iter(make(bridge)))
    batch["actions"] += 1
    assert batch["actions"].flags.writeable


def test_loader_is_collected(bridge):
    loader = make(bridge)
    iterator = iter(loader)
    next(iterator)
    reference = weakref.ref(loader)
    del loader, iterator
    gc.collect()
    assert reference() is None


def test_context_manager(bridge):
    with make(bridge) as loader:
        next(iter(loader))
    with pytest.raises(rc.Error, match="closed"):
        len(loader)


def test_no_threads_are_left(bridge):
    before = num_threads()
    for _ in range(10):
        loader = make(bridge, num_threads=3)
        next(iter(loader))
        loader.close()
    await_threads(before)


def test_wrong_arguments(bridge):
    with pytest.raises(KeyError, match="nothing"):
        make(bridge, streams={"nothing": rc.Window()})
    with pytest.raises(ValueError, match="batch_size"):
        make(bridge, batch_size=0)
    with pytest.raises(ValueError, match="observation/image_0"):
        make(bridge, streams={"observation/image_0": rc.Window(mode="linear")})
    with pytest.raises(TypeError, match="wanted a Window"):
        make(bridge, streams={"action": 3})
    with pytest.raises(ValueError, match="mode: found 'smooth'"):
        make(bridge, streams={"action": rc.Window(mode="smooth")})
    with pytest.raises(TypeError, match="dataset"):
        make("path")
    with pytest.raises(ValueError, match="device: found 'cuda' without torch's tensors"):
        make(bridge, device="cuda")
    with pytest.raises(ValueError, match="device: found 'tpu', wanted 'cpu', 'cuda' or 'cuda:N'"):
        make(bridge, device="tpu")
    with pytest.raises(ValueError, match="ticks and seconds"):
        rc.Window(0, seconds=0)
    with pytest.raises(TypeError, match="ticks"):
        rc.Window([0.5])
    with pytest.raises(ValueError, match="array: found 'tensorflow', wanted one of"):
        make(bridge, array="tensorflow")
    with pytest.raises(ValueError, match="rank"):
        make(bridge, rank=2, world_size=2)


def test_empty_selection(bridge):
    loader = make(bridge.where("num_steps > 1000"))
    assert len(loader) == 0
    assert list(loader) == []


def test_another_thread_cannot_join_in(bridge):
    loader = make(bridge, batch_size=4)
    iterator = iter(loader)
    failures = []

    def consume():
        try:
            for _ in range(50):
                next(iterator)
        except rc.Error as error:
            if "another thread" not in str(error):
                failures.append(error)
        except StopIteration:
            pass

    threads = [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures


def run(code, *arguments, timeout=120):
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_interpreter_ends_in_mid_epoch(bridge_copy):
    code = """
        import sys, robocache as rc
        loader = rc.DataLoader(rc.open(sys.argv[1]), 4, num_threads=3, array=sys.argv[2])
        iterator = iter(loader)
        batch = next(iterator)
        print(len(batch["task"]))
    """
    for array in ("numpy", "torch"):
        result = run(code, bridge_copy, array)
        assert (result.returncode, result.stdout, result.stderr) == (0, "4\n", "")


def test_interrupt_ends_the_wait(bridge_copy):
    code = """
        import os, signal, sys, threading, time, robocache as rc
        loader = rc.DataLoader(rc.open(sys.argv[1]), 4, array="numpy", num_threads=1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            while True:
                for batch in loader:
                    pass
        except KeyboardInterrupt:
            print("interrupted")
        print(len(next(iter(loader))["task"]))
    """
    result = run(code, bridge_copy)
    assert result.stdout == "interrupted\n4\n", result.stderr


def test_fork_in_mid_epoch(bridge_copy):
    code = """
        import os, sys, robocache as rc
        dataset = rc.open(sys.argv[1])
        loader = rc.DataLoader(dataset, 4, array="numpy", num_threads=2)
        iterator = iter(loader)
        batch = next(iterator)
        child = os.fork()
        if child == 0:
            try:
                next(iterator)
            except rc.Error as error:
                code = 7 if "fork" in str(error) else 8
            del iterator, loader, batch
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), sum(1 for _ in iterator))
    """
    result = run(code, bridge_copy)
    assert result.stdout == "7 124\n", result.stderr


def test_exception_of_a_signal_handler_comes_through(bridge):
    loader = make(bridge, batch_size=4)

    def consume():
        while True:
            for _ in loader:
                pass

    with interrupting(consume, TimeoutError), pytest.raises(TimeoutError):
        consume()
    assert len(next(iter(loader))["task"]) == 4


def damaged_dataset(bridge_path, tmp_path):
    """The bytes of a JPEG are damaged and the record's CRC made right again."""
    folder = tmp_path / "1.0.0"
    folder.mkdir()
    for path in bridge_path.iterdir():
        if path.is_file() and not path.name.startswith("."):
            (folder / path.name).write_bytes(path.read_bytes())
    shard = next(folder.glob("*train*"))
    content = bytearray(shard.read_bytes())
    length = int.from_bytes(content[:8], "little")
    start = content.index(b"\xff\xd8\xff", 12, 12 + length)
    content[start + 2 : start + 40] = bytes(38)
    content[12 + length : 16 + length] = masked_crc(content[12 : 12 + length])
    shard.write_bytes(content)
    return rc.open(folder, progress=False).split("train")


def test_damaged_image_is_raised_or_skipped(bridge_path, tmp_path):
    dataset = damaged_dataset(bridge_path, tmp_path)
    shard = next((tmp_path / "1.0.0").glob("*train*"))
    images = {n: rc.Window() for n, info in dataset.streams.items() if info.kind == "image"}
    loader = make(dataset, streams=images, batch_size=50)
    iterator = iter(loader)
    with pytest.raises(rc.errors.FormatError, match=shard.name):
        next(iterator)
    assert len(list(iterator)) == 4
    loader = make(dataset, streams=images, batch_size=50, on_error="skip")
    batches = epoch(loader)
    assert sum(len(batch["task"]) for batch in batches) < 250
    assert len(loader.skipped) == loader.stats()["samples_skipped"] >= 1
    assert shard.name in loader.skipped[0]
    kept = epoch(make(dataset, streams=images, batch_size=50, on_error="mask"))
    assert sum(len(batch["task"]) for batch in kept) == 250
    whole = {key(b, i): {n: b[n][i] for n in images} for b in batches for i in rows_of(b)}
    num_masked = 0
    for batch in kept:
        for i in rows_of(batch):
            expected = whole.get(key(batch, i))
            num_masked += expected is None
            for name in images:
                if expected is not None:
                    np.testing.assert_array_equal(batch[name][i], expected[name])
                else:
                    assert not batch[f"{name}_valid"][i].any()
                    assert not batch[f"{name}_is_pad"][i].any()
                    assert not batch[name][i].any()
    assert num_masked == len(loader.skipped)


def rows_of(batch):
    return range(len(batch["task"]))


def key(batch, i):
    return int(batch["episode_id"][i]), int(batch["step_index"][i])


def test_masked_rows_are_counted_and_listed(bridge_path, tmp_path):
    dataset = damaged_dataset(bridge_path, tmp_path)
    images = {n: rc.Window() for n, info in dataset.streams.items() if info.kind == "image"}
    loader = make(dataset, streams=images, batch_size=50, on_error="mask")
    epoch(loader)
    assert loader.stats()["samples_masked"] == len(loader.skipped) >= 1
    assert loader.stats()["samples_skipped"] == 0


def test_what_is_not_packed_is_shuffled_globally_by_blocks_too(bridge):
    def order(shuffle):
        loader = make(bridge, shuffle=shuffle, seed=4, batch_size=64)
        return [key(batch, i) for batch in loader for i in rows_of(batch)]

    assert order("blocks") == order(True)
    assert order(True) != sorted(order(True))
    stats = make(bridge, shuffle="blocks").stats()
    assert stats["unpack_factor_global"] == stats["unpack_factor_blocks"] == 0
    assert stats["segment_samples"] == stats["group_segments"] == 1
    with pytest.raises(rc.errors.InvalidArgumentError, match="'blocks'"):
        make(bridge, shuffle="block")


def test_memory_is_bounded(bridge):
    loader = make(bridge, batch_size=64, memory_bytes=1 << 24)
    for _ in range(3):
        for _ in loader:
            stats = loader.stats()
            used = sum(stats[f"{n}_bytes"] for n in ("slots", "episode", "block", "fetched"))
            assert 0 < used <= stats["memory_bytes"] == 1 << 24
    assert "of 16.8 MB of memory in use" in repr(loader)
    with pytest.raises(rc.errors.InvalidArgumentError, match="memory_bytes is 1000"):
        make(bridge, batch_size=64, memory_bytes=1000)


def test_slerp_over_two_quaternions(tmp_path):
    """As resample_trajectories() has it: quaternion by quaternion."""
    rng = np.random.default_rng(3)
    poses = rng.normal(size=(6, 2, 4))
    poses = (poses / np.linalg.norm(poses, axis=2, keepdims=True)).reshape(6, 8)
    with rc.RldsWriter(tmp_path, "arms", {"pose": rc.Feature("float32", (8,))}) as writer:
        writer.add_episode({"pose": poses.astype(np.float32)}, split="train")
    dataset = rc.open(tmp_path / "arms" / "1.0.0", control_rate_hz=10, progress=False)
    loader = make(
        dataset, rate_hz=20, batch_size=11, streams={"pose": rc.Window(mode="slerp")}, num_threads=1
    )
    (batch,) = epoch(loader)
    wanted = rc.resample_trajectories(
        poses.astype(np.float32)[None],
        np.arange(6) * 100_000_000,
        np.arange(11) * 50_000_000,
        mode="slerp",
    )
    np.testing.assert_array_equal(batch["pose"].reshape(11, 8), wanted[0])
