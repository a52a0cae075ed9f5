"""Where a loader's time goes, and how that is told."""

import gc
import io
import itertools
import json
import re
import subprocess
import sys
import threading
import time
import types
import urllib.error
import urllib.request
import warnings

import numpy as np
import pytest

import robocache as rc
from robocache import observability
from robocache.observability import gpus, line
from tests.python import flat_dataset, small_dataset

STAGES = observability.STAGES
GPU_WORKS = observability.GPU_WORKS


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


# ---- snapshots and rates -------------------------------------------------------------------------


def test_a_snapshot_says_where_the_loader_stands(dataset):
    loader = make(dataset)
    first = observability.snapshot(loader)
    assert json.loads(json.dumps(first)) == first
    assert (first["epoch"], first["position"], first["num_samples"]) == (0, 0, 100)
    assert (first["rank"], first["world_size"], first["waits_for"]) == (0, 1, None)
    next(iter(loader))
    second = observability.snapshot(loader)
    assert (second["position"], second["batches_delivered"]) == (10, 1)
    assert second["time_ns"] > first["time_ns"]


def made_up(**figures):
    names = ["batches_delivered", "samples_delivered", "images_decoded", "images_on_device"]
    names += ["bytes_read", "wait_ns"]
    stages = [f"{kind}_{stage}_ns" for kind in ("wait", "stage") for stage in STAGES]
    stages += [f"gpu_{work}_ns" for work in GPU_WORKS]
    return dict.fromkeys([*names, *stages, "time_ns", "outside_ns", "idle_ns"], 0) | figures


SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({}, {"samples_delivered": 50, "outside_ns": 2 * SECOND}, {"samples_per_s": 25}),
        ({}, {"outside_ns": 2 * SECOND}, {"outside_share": 1, "held_up_by": None}),
        (
            {"wait_ns": SECOND, "wait_read_ns": SECOND},
            {"wait_ns": 2 * SECOND, "wait_read_ns": 1.75 * SECOND, "wait_align_ns": 0.25 * SECOND},
            {"wait_share": 0.5, "held_up_by": "read"},
        ),
        ({}, {"wait_ns": 0.08 * SECOND, "wait_read_ns": 0.08 * SECOND}, {"held_up_by": None}),
        ({}, {"stage_deliver_ns": SECOND, "idle_ns": 4 * SECOND}, {"deliver_share": 0.5}),
        ({}, {"idle_ns": 4 * SECOND}, {"idle_threads": 2}),
        ({"bytes_read": 90}, {"bytes_read": 20}, {"bytes_per_s": 10}),  # it began anew
    ],
)
def test_rates(before, after, wanted):
    found = observability.rates(
        made_up(time_ns=5 * SECOND, **before), made_up(time_ns=7 * SECOND, **after)
    )
    assert found["seconds"] == pytest.approx(2)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_rates_of_threads():
    after = made_up(time_ns=SECOND, stage_decode_ns=3 * SECOND, stage_queue_ns=9 * SECOND)
    threads = observability.rates(made_up(), after)["busy_threads"]
    assert threads == {"order": 0, "read": 0, "unpack": 0, "decode": pytest.approx(3), "align": 0}


# ---- the live line -------------------------------------------------------------------------------


class Lines(io.StringIO):
    """What is written, and an event for each line or drawing."""

    def __init__(self, *, is_terminal=False):
        super().__init__()
        self.is_terminal = is_terminal
        self.drawn = threading.Semaphore(0)

    def isatty(self):
        return self.is_terminal

    def flush(self):
        self.drawn.release()


def test_a_line_is_drawn_until_it_is_closed(dataset):
    file = Lines()
    loader = make(dataset)
    with observability.watch(loader, 0.001, file):
        for _ in loader:
            assert file.drawn.acquire(timeout=60)
    text = file.getvalue()
    assert text.endswith("\n")
    for drawing in text.splitlines():
        assert re.fullmatch(
            r"robocache: epoch 0, sample \d+ of 100 \| [\d,]+ samples/s, [\d.]+ \w+/s \| "
            r"waited \d+%(: .*)? \| \d of \d batches ready",
            drawing,
        ), drawing
    assert "sample 100 of 100" in text
    before = file.getvalue()
    time.sleep(0.02)
    assert file.getvalue() == before


def test_on_a_terminal_the_line_is_drawn_over(dataset):
    file = Lines(is_terminal=True)
    loader = make(dataset)
    with observability.watch(loader, 0.001, file):
        for _ in range(3):
            assert file.drawn.acquire(timeout=60)
    text = file.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.count("\r") >= 3
    assert all(len(drawing) < 80 for drawing in text.rstrip("\n").split("\r"))


def test_the_line_ends_with_the_loader(dataset):
    for end in ("closed", "gone"):
        file = Lines(is_terminal=True)
        loader = make(dataset)
        watch = observability.watch(loader, 0.001, file)
        assert file.drawn.acquire(timeout=60)
        if end == "closed":
            loader.close()
        else:
            del loader
            gc.collect()
        watch._thread.join(timeout=60)
        assert not watch._thread.is_alive()
        assert file.getvalue().endswith("\n")
        watch.close()
        watch.close()


def test_a_program_that_watches_ends(tmp_path):
    path = str(small_dataset.write(tmp_path, images=False, clouds=False))
    code = """
import robocache as rc, sys
loader = rc.DataLoader(rc.open(sys.argv[1], control_rate_hz=10), 10, array="numpy")
rc.observability.watch(loader, 0.001)
for _ in loader: pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("interval", [0, -1, "soon", float("nan")])
def test_intervals_that_are_none(dataset, interval):
    with pytest.raises(rc.Error, match="interval_s"):
        observability.watch(make(dataset), interval)


def test_waits_in_words():
    change = {
        "wait_share": 0.316,
        "wait_shares": {"read": 0.066, "decode": 0.25, "align": 0.001, "queue": 0},
    }
    assert observability.format_waits(change) == "32%: decode 25%, read 7%"
    assert observability.format_waits({"wait_share": 0.0, "wait_shares": {"read": 0.0}}) == "0%"


def test_the_line_says_what_is_waited_for_now(dataset):
    now = {**observability.snapshot(make(dataset)), "waits_for": "read"}
    assert "| waited 0%, now for read |" in line.format_line(now, now)
    later = now | {
        "time_ns": now["time_ns"] + SECOND,
        "images_decoded": now["images_decoded"] + 200,
        "images_on_device": 150,
    }
    assert "200 images/s (75% on the GPU)" in line.format_line(now, later)
    assert "on the GPU:" not in line.format_line(now, later)
    later |= {"gpu_decode_ns": 0.31 * SECOND, "gpu_copy_ns": 0.04 * SECOND}
    shares = {"copy": 0.04, "decode": 0.31, "image": 0, "grid": 0, "align": 0}
    assert observability.rates(now, later)["gpu_shares"] == pytest.approx(shares)
    assert "| on the GPU: decode 31%, copy 4%" in line.format_line(now, later)


# ---- Prometheus ----------------------------------------------------------------------------------

SAMPLE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\} (\S+)')


def parse(text):
    """Returns {(name, labels): value}, of text in Prometheus' format and nothing else."""
    found, kinds = {}, {}
    for row in text.splitlines():
        if row.startswith("# TYPE "):
            _, _, name, kind = row.split()
            assert kind in ("counter", "gauge")
            assert name.endswith("_total") == (kind == "counter")
            assert name not in kinds
            kinds[name] = kind
        elif not row.startswith("# HELP "):
            name, labels, value = SAMPLE.fullmatch(row).groups()
            assert name in kinds
            key = (name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))))
            assert key not in found
            found[key] = float(value)
    return found


def test_prometheus_text_has_what_stats_has(dataset):
    loader = make(dataset)
    for _ in loader:
        pass
    text = observability.prometheus_text(loader)
    assert text.endswith("\n")
    stats, found = loader.stats(), parse(text)

    def value(name, **labels):
        return found[f"robocache_{name}", tuple(sorted({"loader": "0", **labels}.items()))]

    assert value("samples_total") == stats["samples_delivered"] == 100
    assert value("position") == value("samples") == 100
    assert value("outside_seconds_total") == pytest.approx(stats["outside_ns"] * 1e-9)
    for stage in STAGES:
        waited = value("wait_seconds_total", stage=stage)
        assert waited == pytest.approx(stats[f"wait_{stage}_ns"] * 1e-9)
        assert value("stage_bytes_total", stage=stage) == stats[f"stage_{stage}_bytes"]
    for work in GPU_WORKS:
        assert value("device_seconds_total", work=work) == stats[f"gpu_{work}_ns"] == 0
    assert value("memory_bytes", of="slots") == stats["slots_bytes"]
    assert value("threads") == 2


def test_several_loaders_have_names(dataset):
    train, closed = make(dataset), make(dataset)
    closed.close()
    text = observability.prometheus_text({'a "quoted"\n\\name': train, "closed": closed})
    names = {dict(labels).get("loader") for _, labels in parse(text)}
    assert names == {'a \\"quoted\\"\\n\\\\name'}
    assert observability.prometheus_text({}) == ""


def test_loaders_may_come_and_go_while_metrics_are_told(dataset):
    """As those of a mapping do that the training loop adds to while another thread serves it."""
    train = make(dataset)
    loaders = {}

    class Adding:
        def stats(self):
            loaders["late"] = train
            return train.stats()

        def __getattr__(self, name):
            return getattr(train, name)

    loaders |= {"first": Adding(), "last": train}
    names = {dict(labels)["loader"] for _, labels in parse(observability.prometheus_text(loaders))}
    assert names == {"first", "last"}
    assert "late" in observability.prometheus_text(loaders)


def test_metrics_are_served_until_closed(dataset):
    loaders = {"train": make(dataset)}
    with observability.serve_metrics(loaders) as server:
        address = f"http://127.0.0.1:{server.port}/metrics"
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            found = parse(answer.read().decode())
        assert ("robocache_samples_total", (("loader", "train"),)) in found
        loaders["test"] = make(dataset)
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b'loader="test"' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=60)
        with pytest.raises(rc.errors.IoError, match="cannot be served: Address already in use"):
            observability.serve_metrics(loaders, server.port)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=60)
    with pytest.raises(rc.Error, match="port"):
        observability.serve_metrics(loaders, 70000)


# ---- GPUs and NVTX, with stand-ins ---------------------------------------------------------------


class Nvml(types.ModuleType):
    """Three GPUs, of which the last is lost, and one that this process may not ask about."""

    class NVMLError(Exception):
        pass

    def __init__(self):
        super().__init__("pynvml")
        self.num_inits = 0

    def nvmlInit(self):  # noqa: N802
        self.num_inits += 1

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 4

    def nvmlDeviceGetHandleByIndex(self, number):  # noqa: N802
        if number == 3:
            raise self.NVMLError("no permission")
        return number

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return f"GPU-{handle}{handle}-00"

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return b"pretended" if handle else "pretended"

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return types.SimpleNamespace(used=handle + 1, total=100)

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802
        if handle == 2:
            raise self.NVMLError("lost")
        return types.SimpleNamespace(gpu=50 + handle)


@pytest.fixture
def nvml(monkeypatch):
    gpus._nvml.cache_clear()
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield nvml
    gpus._nvml.cache_clear()


@pytest.mark.parametrize(
    ("visible", "wanted"),
    [
        (None, [0, 1]),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("2", []),
        ("", []),
        ("GPU-11", [1]),
        ("MIG-1", []),
        ("7", []),
    ],
)
def test_figures_are_of_the_gpus_that_are_visible(nvml, monkeypatch, visible, wanted):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = observability.gpu_figures()
    assert [each["gpu"] for each in found] == wanted
    for each in found:
        assert each["name"] == "pretended"
        assert each["busy"] == pytest.approx(0.5 + each["gpu"] / 100)
        assert each["memory_bytes"] == each["gpu"] + 1
    assert nvml.num_inits == 1
    observability.gpu_figures()
    assert nvml.num_inits == 1


def test_gpus_are_shown(dataset, nvml):
    loader = make(dataset)
    now = observability.snapshot(loader)
    assert line.format_line(now, now).endswith("| GPU 0 50% | GPU 1 51%")
    found = parse(observability.prometheus_text(loader))
    assert found["robocache_gpu_busy_ratio", (("gpu", "1"),)] == 0.51
    assert found["robocache_gpu_memory_bytes", (("gpu", "0"),)] == 1
    assert "gpu" not in observability.prometheus_text(loader, gpus=False)


@pytest.mark.parametrize("has_driver", [True, False])
def test_the_lack_of_nvml_is_told_once(monkeypatch, tmp_path, has_driver):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(gpus, "_DRIVER", str(tmp_path) if has_driver else str(tmp_path / "none"))
    gpus._nvml.cache_clear()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert observability.gpu_figures() == []
        assert observability.gpu_figures() == []
    gpus._nvml.cache_clear()
    assert ["pynvml is not installed" in str(each.message) for each in told] == [True] * has_driver


def test_nvml_that_fails_is_told(monkeypatch, tmp_path, nvml):
    def fail():
        raise nvml.NVMLError("no driver")

    monkeypatch.setattr(gpus, "_DRIVER", str(tmp_path))
    nvml.nvmlInit = fail
    with pytest.warns(UserWarning, match="NVML: no driver"):
        assert observability.gpu_figures() == []


@pytest.fixture
def ranges(monkeypatch):
    """A stand-in for the package nvtx, which writes down what it is told."""
    told = []
    module = types.ModuleType("nvtx")
    module.push_range = told.append
    module.pop_range = lambda: told.append("pop")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "nvtx", module)
    return told


def test_ranges_are_around_waiting_and_working(ranges):
    assert list(observability.annotate([1, 2], "train")) == [1, 2]
    waits, steps = ["train: next", "pop"], ["train: step", "pop"]
    assert ranges == [*waits, *steps, *waits, *steps, *waits]


def test_a_break_and_an_error_end_the_ranges(ranges):
    for _ in observability.annotate([1, 2]):
        break
    gc.collect()
    assert ranges == ["robocache: next", "pop", "robocache: step", "pop"]

    def failing():
        yield 1
        raise ValueError("broken")

    ranges.clear()
    with pytest.raises(ValueError, match="broken"):
        list(observability.annotate(failing()))
    assert ranges.count("pop") == len(ranges) / 2 == 3


def test_ranges_are_torchs_where_it_has_them(monkeypatch, ranges):
    told = []
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(
        nvtx=types.SimpleNamespace(
            mark=lambda name: None,
            range_push=told.append,
            range_pop=lambda: told.append("pop"),
        )
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert list(observability.annotate([1])) == [1]
    assert len(told) == 6
    assert ranges == []

    def mark(name):
        raise RuntimeError("NVTX functions not installed")

    torch.cuda.nvtx.mark = mark
    assert list(observability.annotate([1])) == [1]
    assert len(ranges) == 6


def test_without_nvtx_the_batches_come_as_they_are(monkeypatch, ranges):
    monkeypatch.setitem(sys.modules, "nvtx", None)
    with pytest.warns(UserWarning, match="no NVTX ranges"):
        assert list(observability.annotate([1, 2])) == [1, 2]
