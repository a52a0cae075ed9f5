"""Batches whose JPEGs a device decodes, against those of the host: checks for loader.py."""

from __future__ import annotations

import ctypes
import gc
import io
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def encode(image: Any, kind: str) -> bytes:
    """Return a frame in one of the ways that files hold them."""
    options: dict[str, dict[str, Any]] = {
        "plain": {"quality": 90},
        "no subsampling": {"quality": 80, "subsampling": 0},
        "half": {"quality": 70, "subsampling": 1},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 2},
    }
    buffer = io.BytesIO()
    if kind == "png":
        image.save(buffer, "PNG")
    elif kind == "grey":
        image.convert("L").save(buffer, "JPEG")
    elif kind == "cmyk":
        image.convert("CMYK").save(buffer, "JPEG")
    elif kind == "other size":
        image.resize((40, 48)).save(buffer, "JPEG")
    else:
        image.save(buffer, "JPEG", **options.get(kind, {}))
    data = buffer.getvalue()
    if kind == "cut short":
        return data[:-60]
    if kind == "bad bits":
        middle = len(data) - 150
        return data[:middle] + bytes(range(120, 160)) + data[middle + 40 :]
    return b"no image at all" if kind == "none" else data


GOOD = ("plain", "no subsampling", "half", "progressive", "restarts", "png", "grey")
DAMAGED = ("cut short", "cmyk", "none", "bad bits")


def open_frames(
    folder: Path,
    kinds: tuple[str, ...],
    wrist: str = "plain",
    steps: tuple[int, ...] = (19, 1, 23, 9),
    size: tuple[int, int] = (24, 32),
) -> Any:
    """Return a dataset whose frames are of these kinds, one after the other."""
    import robocache as rc

    folder.mkdir()
    rng = np.random.default_rng(5)
    (height, width), total = size, sum(steps)
    frames = rng.integers(0, 256, (2, total, height // 4, width // 4, 3), dtype=np.uint8)
    streams = {}
    for name, images, ways in (("image", frames[0], kinds), ("wrist", frames[1], (wrist,))):
        encoded = [
            encode(Image.fromarray(frame).resize((width, height)), ways[i % len(ways)])
            for i, frame in enumerate(images)
        ]
        sizes = np.array([len(each) for each in encoded])
        (folder / f"{name}.bin").write_bytes(b"".join(encoded))
        streams[name] = (np.cumsum(sizes) - sizes, sizes)
    actions = rng.normal(size=(total, 3)).astype(np.float32)

    wide = actions[:, :2].astype(np.float64)

    def read(part: rc.Part) -> None:
        sources: dict[str, Any] = {"action": rc.Column(actions), "wide": rc.Column(wide)}
        for name, (offset, length) in streams.items():
            blob = part.blobs(f"{name}.bin")
            sources[name] = rc.Pieces(offset=offset, bytes=length, blob=blob)
        part.episodes(num_steps=steps, streams=sources)

    def index(path: str, dataset: rc.Indexer) -> None:
        del path
        for name in streams:
            dataset.stream(name, kind="image", shape=(height, width, 3))
        dataset.stream("action", dtype="float32", shape=(3,))
        dataset.stream("wide", dtype="float64", shape=(2,))
        dataset.part("all", read=read, stamp=1)

    rc.register_format(str(folder), probe=lambda path: path == str(folder), index=index)
    return rc.open(str(folder), format=str(folder), progress=False, control_rate_hz=10.0)


def windows() -> dict[str, Any]:
    """Return windows of all ways to have images."""
    import robocache as rc

    jittered = rc.Image(size=(16, 20), crop=("random", 0.8), flip=0.5, contrast=0.4, hue=0.1)
    first = rc.Image(size=(28, 28), mean=0.5, std=0.2, dtype="bfloat16", channels="first")
    return {
        "image": [
            rc.Window(range(-1, 1), name="jittered", image=jittered, outside="zero"),
            rc.Window(0, name="first", image=first, squeeze=True),
            rc.Window(range(2), name="floats", image=rc.Image(dtype="float32"), outside="nan"),
        ],
        "wrist": rc.Window([-3, 0], name="stored"),
        "action": rc.Window(range(4)),
    }


def deliver(
    dataset: Any, stream: Any, streams: Any = None, **options: Any
) -> tuple[list[Any], Any]:
    """Return what an epoch delivers, errors as their messages, and the loader."""
    import robocache as rc

    given = {"batch_size": 8, "seed": 3, **options}
    loader = rc.DataLoader(dataset, streams=streams or windows(), **given)
    found: list[Any] = []
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            break
        except rc.Error as error:
            found.append(str(error))
            continue
        if loader._device >= 0:
            copies = {name: stream.copy(value) for name, value in batch.tensors.items()}
            found.append({**copies, **batch.text})
        else:
            found.append(dict(batch))
        del batch
    stream.synchronize()
    return found, loader


def same_bits(a: Any, b: Any) -> Any:
    """Return where tensors have the same bytes."""
    import torch

    return a.contiguous().view(torch.uint8) == b.contiguous().view(torch.uint8)


def compare(
    wanted: list[Any], found: list[Any], same: Callable[[Any, Any], Any] = same_bits
) -> None:
    """Check that two epochs are the same, bit for bit or as `same` has it."""
    import torch

    assert len(wanted) == len(found)
    for a, b in zip(wanted, found, strict=True):
        if isinstance(a, str) or isinstance(b, str):
            assert a == b
            continue
        assert a.keys() == b.keys()
        for name, value in a.items():
            if not torch.is_tensor(value):
                assert value == b[name], name
                continue
            other = b[name]
            assert (value.shape, value.dtype) == (other.shape, other.dtype), name
            assert bool(same(value, other).all()), (name, value, other)


def check_pixels(folder: Path, stream: Any) -> None:
    """All kinds of files and windows, whoever decodes."""
    dataset = open_frames(folder / "sound", GOOD)
    for threads, options in ((1, {}), (3, {"shuffle": True, "num_slots": 1})):
        wanted, _ = deliver(dataset, stream, num_threads=threads, **options)
        for jpeg in ("cpu", "cuda", "auto", None):
            found, loader = deliver(
                dataset, stream, num_threads=threads, device="cuda", jpeg=jpeg, **options
            )
            compare(wanted, found)
            stats = loader.stats()
            if jpeg == "cuda":
                on_host = sum(kind in ("progressive", "png") for kind in GOOD)
                share = stats["images_on_device"] / stats["images_decoded"]
                assert 1 - on_host / len(GOOD) < share < 1, share
            assert (stats["images_on_device"] > 0) == (jpeg != "cpu")
            assert stats["device_bytes"] > 0
            assert stats["pinned_bytes"] > 0


def check_damage(folder: Path, stream: Any) -> None:
    """What is damaged is told, left out or masked as on the host."""
    import robocache as rc

    dataset = open_frames(folder / "damaged", (*GOOD, *DAMAGED, "other size"))
    for on_error in ("raise", "skip", "mask"):
        options = {"on_error": on_error, "num_threads": 2, "shuffle": True}
        wanted, on_host = deliver(dataset, stream, **options)
        for jpeg in ("cuda", "auto"):
            found, on_device = deliver(dataset, stream, device="cuda", jpeg=jpeg, **options)
            compare(wanted, found)
            assert sorted(on_host.skipped) == sorted(on_device.skipped)
        assert any(isinstance(each, str) for each in wanted) == (on_error == "raise")
        assert (len(on_host.skipped) > 10) == (on_error != "raise")
    skipped = set()
    for batch_size, given in itertools.product((1, 30), (None, "cpu", "cuda", "auto")):
        options = {"device": "cuda", "jpeg": given} if given is not None else {}
        _, loader = deliver(
            dataset,
            stream,
            {"image": rc.Window(range(-1, 2))},
            batch_size=batch_size,
            on_error="skip",
            **options,
        )
        skipped.add(tuple(sorted(loader.skipped)))
    assert len(skipped) == 1, "an error depends on who shares a range of rows"


def check_mixtures(folder: Path, stream: Any) -> None:
    """A dataset whose frames a device decodes, one of PNG, and one without."""
    import robocache as rc

    parts = {
        "jpeg": (open_frames(folder / "jpeg", ("plain",)), 3),
        "png": (open_frames(folder / "png", ("png", "progressive")), 2),
        "blind": (open_frames(folder / "blind", ("plain",)), 1),
    }
    image = rc.Image(size=(16, 16), crop=("random", 0.9), dtype="float32", channels="first")
    source = {"jpeg": "image", "png": "image", "blind": None}
    streams = {"picture": rc.Window(range(2), source=source, image=image, outside="nan")}
    streams["actions"] = rc.Window(range(3), source="action")
    wanted, _ = deliver(rc.mix(parts), stream, streams, shuffle=True, num_threads=3)
    for jpeg in ("cuda", "auto"):
        found, loader = deliver(
            rc.mix(parts), stream, streams, shuffle=True, num_threads=3, device="cuda", jpeg=jpeg
        )
        compare(wanted, found)
        assert loader.stats()["images_on_device"] > 0


def check_large_frames(folder: Path, stream: Any) -> None:
    """What goes to the device at once is bounded, and one frame may be larger than that."""
    import robocache as rc

    dataset = open_frames(folder / "large", ("plain",), "plain", (5,), (1504, 1600))
    streams = {"image": rc.Window(0, squeeze=True)}
    wanted, _ = deliver(dataset, stream, streams, num_threads=1)
    found, loader = deliver(dataset, stream, streams, num_threads=1, device="cuda", jpeg="cuda")
    compare(wanted, found)
    assert loader.stats()["pinned_bytes"] < 120 << 20


def check_fixed_addresses(folder: Path, stream: Any) -> None:
    """With slots="fixed" every batch lies where the first did, and the next call overwrites it."""
    import robocache as rc

    dataset = open_frames(folder / "fixed", GOOD)
    options: dict[str, Any] = {"num_threads": 3, "shuffle": True, "num_slots": 2}
    wanted, _ = deliver(dataset, stream, **options)
    for jpeg in ("cpu", "cuda", "auto"):
        placed = {"device": "cuda", "jpeg": jpeg, "slots": "fixed"}
        found, _ = deliver(dataset, stream, **placed, **options)
        compare(wanted, found)
        loader = rc.DataLoader(dataset, 8, streams=windows(), seed=3, **placed, **options)
        held = [{n: t.data_ptr() for n, t in batch.tensors.items()} for batch in loader]
        assert all(addresses == held[0] for addresses in held)


def check_slow_loop(folder: Path, stream: Any) -> None:
    """A loop that finds all slots full is left the device: cores decode with jpeg="auto", too."""
    import time

    import robocache as rc

    del stream
    dataset = open_frames(folder / "slow", ("plain",))
    streams = {"image": rc.Window(0)}
    loader = rc.DataLoader(dataset, streams=streams, num_threads=2, num_slots=3, device="cuda")
    left = len(loader)
    for _ in loader:
        left -= 1
        while (stats := loader.stats())["batches_ready"] < min(3, left) or (
            stats["threads_idle"] < 2
        ):
            time.sleep(0.001)
    stats = loader.stats()
    assert stats["core_image_ns"] > 0
    assert stats["loop_batch_ns"] > 0
    assert 0 < stats["images_on_device"] < stats["images_decoded"]


def check_places(folder: Path, stream: Any) -> None:
    """Where JPEGs cannot be decoded is said."""
    import pytest

    import robocache as rc

    del stream
    dataset = open_frames(folder / "places", ("plain",))
    with pytest.raises(
        rc.errors.InvalidArgumentError, match="jpeg: 'cuda' found with device 'cpu'"
    ):
        rc.DataLoader(dataset, jpeg="cuda")
    with pytest.raises(rc.Error, match="jpeg: found 'gpu', wanted one of 'auto', 'cpu', 'cuda'"):
        rc.DataLoader(dataset, jpeg="gpu")
    with pytest.raises(rc.errors.InvalidArgumentError, match="slots: 'fixed' found with device"):
        rc.DataLoader(dataset, slots="fixed")
    with pytest.raises(rc.errors.InvalidArgumentError, match="threads feed the device"):
        rc.DataLoader(dataset, device="cuda", memory_bytes=1 << 20)
    for jpeg in ("auto", "cpu", None):
        assert rc.DataLoader(dataset, jpeg=jpeg).stats()["images_on_device"] == 0


def random_windows(rng: np.random.Generator) -> dict[str, Any]:
    """Return some windows of images, drawn."""
    import robocache as rc

    def image() -> Any:
        options: dict[str, Any] = {}
        if rng.random() < 0.8:
            options["size"] = tuple(int(n) for n in rng.integers(1, 40, 2))
            options["crop"] = ("random", float(rng.uniform(0.3, 1)))
        if rng.random() < 0.5:
            options |= {"flip": 0.5, "brightness": 0.3, "saturation": 0.4}
        if rng.random() < 0.4:
            options |= {"contrast": 0.5, "hue": 0.2}
        options["dtype"] = str(rng.choice(["uint8", "float32", "bfloat16", "float16"]))
        options["channels"] = str(rng.choice(["first", "last"]))
        return rc.Image(**options)

    def window(name: str) -> Any:
        first = int(rng.integers(-3, 2))
        ticks = range(first, first + int(rng.integers(1, 4)))
        made = image() if rng.random() < 0.8 else None
        is_float = made is not None and made.dtype != "uint8"
        outside = str(rng.choice(["hold", "zero", "nan"] if is_float else ["hold", "zero"]))
        return rc.Window(ticks, name=name, image=made, outside=outside)

    count = int(rng.integers(1, 4))
    streams: dict[str, Any] = {"image": [window(f"image {i}") for i in range(count)]}
    if rng.random() < 0.6:
        streams["wrist"] = [window("wrist")]
    streams["action"] = rc.Window(range(2))
    return streams


def check_random(folder: Path, stream: Any) -> None:
    """Configurations that nobody has thought of: ROBOCACHE_CONFIGURATIONS of them."""
    datasets = [
        open_frames(folder / "random sound", ("plain", "half", "grey", "no subsampling")),
        open_frames(folder / "random mixed", GOOD),
        open_frames(folder / "random damaged", (*GOOD, *GOOD, *DAMAGED)),
    ]
    seed = int(os.environ.get("ROBOCACHE_SEED", "1"))
    for number in range(int(os.environ.get("ROBOCACHE_CONFIGURATIONS", "6"))):
        rng = np.random.default_rng((seed, number))
        dataset = datasets[rng.integers(len(datasets))]
        streams = random_windows(rng)
        options = {
            "batch_size": int(rng.integers(1, 40)),
            "shuffle": bool(rng.integers(2)),
            "seed": int(rng.integers(100)),
            "drop_last": bool(rng.integers(2)),
            "on_error": str(rng.choice(["raise", "skip", "mask"])),
            "jpeg_dct": str(rng.choice(["accurate", "fast"])),
        }
        placed = {
            "num_threads": int(rng.integers(1, 9)),
            "num_slots": int(rng.integers(0, 5)),
            "jpeg": str(rng.choice(["cuda", "auto"])),
            "slots": [None, "fixed"][rng.integers(2)],
        }
        wanted, _ = deliver(dataset, stream, streams, num_threads=1, **options)
        try:
            found, _ = deliver(dataset, stream, streams, device="cuda", **placed, **options)
            compare(wanted, found)
        except BaseException:
            print(f"configuration {number} of seed {seed}: {options} {placed} {streams}")
            raise


def counters(stream: Any) -> Any:
    """Return what the stand-in is told and tells: see host_device.h."""
    return (ctypes.c_int * 4).in_dll(stream._driver, "rbc_host_device")


def check_failures(folder: Path, stream: Any) -> None:
    """Whatever the device fails at is raised, and no batch is lost for it."""
    import robocache as rc

    dataset = open_frames(folder / "failures", ("plain", "png"))
    options: dict[str, Any] = {"num_threads": 2, "batch_size": 20}
    wanted, _ = deliver(dataset, stream, **options)
    stats = counters(stream)
    num_raised = 0
    for on_error, first in (("raise", 0), ("skip", 9)):
        for calls in range(first, 140, 19):
            stats[1] = calls  # the one after so many fails
            found: list[Any] = []
            try:
                found, _ = deliver(
                    dataset, stream, device="cuda", jpeg="cuda", on_error=on_error, **options
                )
            except rc.Error:
                num_raised += 1  # making the loader
                continue
            finally:
                stats[1] = -1
            errors = [each for each in found if isinstance(each, str)]
            num_raised += len(errors)
            assert all("CUDA_ERROR_OUT_OF_MEMORY" in each for each in errors)
            compare(wanted, [each for each in found if not isinstance(each, str)])
    assert num_raised > 5


def check_captures(folder: Path, stream: Any) -> None:
    """While some thread captures, loaders do nothing that a capture forbids."""
    import robocache as rc

    dataset = open_frames(folder / "captures", GOOD)
    for jpeg in ("cuda", "auto"):
        loader = rc.DataLoader(dataset, 4, streams=windows(), device="cuda", jpeg=jpeg)
        batches = iter(loader)
        next(batches)
        stats = counters(stream)
        stats[2], stats[3] = 1, 0
        try:
            for _ in batches:
                pass
            loader.close()
            del batches, loader
            gc.collect()
            assert stats[3] == 0
        finally:
            stats[2] = 0


def check_stops(folder: Path, stream: Any) -> None:
    """Loops that break, loaders that are closed or seek with images under way, two at a time."""
    import robocache as rc

    dataset = open_frames(folder / "stops", (*GOOD, *DAMAGED))
    options: dict[str, Any] = {"num_threads": 3, "on_error": "skip", "shuffle": True}
    wanted, _ = deliver(dataset, stream, **options)
    for count in range(6):
        loaders = [
            rc.DataLoader(dataset, 8, streams=windows(), seed=3, device="cuda", **options)
            for _ in range(2)
        ]
        iterators = [iter(loader) for loader in loaders]
        for _ in range(count):
            held = [next(iterator) for iterator in iterators]
            del held
        loaders[0].close()
        loaders[1].load_state_dict(loaders[1].state_dict())
        found = [
            {**{n: stream.copy(v) for n, v in batch.tensors.items()}, **batch.text}
            for batch in loaders[1]
        ]
        stream.synchronize()
        compare(wanted[count:], found)


CHECKS = (
    check_pixels,
    check_damage,
    check_mixtures,
    check_large_frames,
    check_fixed_addresses,
    check_slow_loop,
    check_places,
    check_random,
)

# Those that tell the stand-in what to do.
STAND_IN_CHECKS = (check_failures, check_captures, check_stops)
