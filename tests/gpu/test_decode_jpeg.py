"""decode_jpeg on a device gives the pixels and the refusals of the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.python.test_decode_jpeg import KINDS, encode


def both(images: Any, **options: Any) -> tuple[Any, list[bool]]:
    """Decode on the host and on the device, and compare."""
    wanted, wanted_valid = rc.decode_jpeg(images, on_error="mask", backend="cpu", **options)
    found, found_valid = rc.decode_jpeg(images, on_error="mask", backend="cuda", **options)
    assert found_valid.tolist() == wanted_valid.tolist()
    for a, b in zip(wanted, found, strict=True):
        assert b.is_cuda
        assert torch.equal(a, b.cpu())
    return found, found_valid.tolist()


@pytest.mark.parametrize("jpeg_dct", ["accurate", "fast"])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_unlike_images_in_one_batch(jpeg_dct: str, channels: int | None) -> None:
    rng = np.random.default_rng(0)
    images = [
        encode(*map(int, rng.integers(1, 120, 2)), "L" if i % 7 == 0 else "RGB", i, **options)
        for i in range(20)
        for options in KINDS.values()
    ]
    _, valid = both(images, jpeg_dct=jpeg_dct, channels=channels)
    assert all(valid)


@pytest.mark.parametrize("count", [3, 12])  # few bundles, and more than multiprocessors
def test_large_images_are_joined(count: int) -> None:
    both([encode(900 + i, 1100 - i, quality=95, seed=i, **KINDS["420"]) for i in range(count)])


def test_damaged_streams_are_refused_alike() -> None:
    rng = np.random.default_rng(1)
    images = []
    for i in range(600):
        data = bytearray(encode(40, 48, seed=i % 20, **list(KINDS.values())[i % 8]))
        for at in rng.integers(len(data) // 3, len(data), 1 + i % 3):
            data[at] = int(rng.integers(256))
        images.append(bytes(data))
    _, valid = both(images, size=(40, 48))
    assert any(valid)
    assert not all(valid)


def test_raise_names_the_image() -> None:
    good = encode(32, 32)
    damaged = good[:-40] + good[-2:]
    with pytest.raises(rc.errors.FormatError, match=r"^image 1: .*damaged JPEG"):
        rc.decode_jpeg([good, damaged], backend="cuda")
    assert tuple(rc.decode_jpeg([good] * 2, backend="cuda").shape) == (2, 32, 32, 3)


def test_streams_may_lie_on_the_device() -> None:
    images = [encode(24, 24, seed=i) for i in range(5)]
    data = torch.frombuffer(bytearray(b"".join(images)), dtype=torch.uint8)
    offsets = torch.tensor([0, *map(len, images)]).cumsum(0)
    on_host = rc.decode_jpeg((data, offsets))
    assert torch.equal(rc.decode_jpeg((data.cuda(), offsets)).cpu(), on_host)
    assert torch.equal(rc.decode_jpeg((data.pin_memory(), offsets), backend="cuda").cpu(), on_host)


def test_a_captured_call_decodes_again() -> None:
    images = [encode(64, 48, seed=i) for i in range(4)]
    wanted = rc.decode_jpeg(images)
    out = torch.zeros_like(wanted, device="cuda")
    rc.decode_jpeg(images, out=out, on_error="mask")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        _, valid = rc.decode_jpeg(images, out=out, on_error="mask")
        with pytest.raises(rc.errors.UnsupportedError, match="captured"):
            rc.decode_jpeg(images, out=out)
    for _ in range(3):
        out.zero_()
        rc.decode_jpeg([encode(64, 48, seed=9)] * 4, backend="cuda")
        graph.replay()
        assert torch.equal(out.cpu(), wanted)
        assert valid.all()
