"""decode_jpeg on a device gives the pixels and the refusals of the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc
from tests.python.test_decode_jpeg import APART, KINDS, encode, encode_apart


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


@pytest.mark.parametrize("jpeg_dct", ["accurate", "fast"])
@pytest.mark.parametrize("channels", [None, 1])
def test_components_may_be_scanned_apart(jpeg_dct: str, channels: int | None) -> None:
    rng = np.random.default_rng(3)
    images = [
        encode_apart(*map(int, rng.integers(1, 400, 2)), seed=i, **options)
        for i in range(8)
        for options in APART
    ]
    _, valid = both(images, jpeg_dct=jpeg_dct, channels=channels)
    assert all(valid)


def damaged(images: list[bytes], rng: np.random.Generator) -> list[bytes]:
    """Change one to three bytes of each, behind the first third."""
    out = []
    for i, image in enumerate(images):
        data = bytearray(image)
        for at in rng.integers(len(data) // 3, len(data), 1 + i % 3):
            data[at] = int(rng.integers(256))
        out.append(bytes(data))
    return out


def test_damaged_streams_are_refused_alike() -> None:
    kinds = list(KINDS.values())
    images = [encode(40, 48, seed=i % 20, **kinds[i % 8]) for i in range(600)]
    images += [encode_apart(40, 48, seed=i, **APART[i % 15]) for i in range(300)]
    _, valid = both(damaged(images, np.random.default_rng(1)), size=(40, 48))
    assert any(valid)
    assert not all(valid)


def test_raise_names_the_image() -> None:
    good = encode(32, 32)
    damaged = good[:-40] + good[-2:]
    with pytest.raises(rc.errors.FormatError, match=r"^image 1: .*damaged JPEG"):
        rc.decode_jpeg([good, damaged], backend="cuda")
    assert tuple(rc.decode_jpeg([good] * 2, backend="cuda").shape) == (2, 32, 32, 3)


def lay(images: list[bytes], skew: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Streams one behind the other from byte `skew` on, and their offsets."""
    data = torch.frombuffer(bytearray(bytes(skew) + b"".join(images)), dtype=torch.uint8)
    return data, torch.tensor([skew, *map(len, images)]).cumsum(0)


def test_streams_may_lie_on_the_device() -> None:
    data, offsets = lay([encode(24, 24, seed=i) for i in range(5)])
    on_host = rc.decode_jpeg((data, offsets))
    assert torch.equal(rc.decode_jpeg((data.cuda(), offsets)).cpu(), on_host)
    assert torch.equal(rc.decode_jpeg((data.cuda(), offsets.tolist())).cpu(), on_host)
    assert torch.equal(rc.decode_jpeg((data.pin_memory(), offsets), backend="cuda").cpu(), on_host)
    assert torch.equal(rc.decode_jpeg((data.cuda(), offsets), backend="cpu"), on_host)


def of_all_kinds() -> list[bytes]:
    """Streams that stay on the device, and such as must come to the host."""
    images = [
        encode(*size, "L" if i % 7 == 0 else "RGB", i, **options)
        for i, size in enumerate([(1, 1), (40, 48), (130, 90), (300, 500)])
        for options in KINDS.values()
    ]
    images += [encode_apart(40 + 70 * i, 48, seed=i, **APART[i]) for i in range(15)]
    note = b"\xff\xfe\x75\x32" + bytes(30000)
    images += [image[:2] + note + image[2:] for image in images[:4]]
    each = images[1]
    return [*images, b"", b"?", each[:2], each[:-2], each[:-1], each[:-2] + b"\xff" + each[-2:]]


@pytest.mark.parametrize("skew", [0, 1, 7, 15])
def test_streams_on_the_device_are_as_on_the_host(skew: int) -> None:
    images = of_all_kinds()
    images += damaged(images[:-6], np.random.default_rng(skew))
    data, offsets = lay(images, skew)
    wanted, wanted_valid = rc.decode_jpeg(images, channels=3, on_error="mask", backend="cpu")
    found, valid = rc.decode_jpeg((data.cuda(), offsets), channels=3, on_error="mask")
    assert valid.tolist() == wanted_valid.tolist()
    for a, b in zip(wanted, found, strict=True):
        assert torch.equal(a, b.cpu())


def test_a_tensor_on_the_device_may_end_anywhere() -> None:
    images = [encode(33, 41, seed=i) for i in range(6)]
    wanted = rc.decode_jpeg(images)
    for skew in range(6):
        data, offsets = lay(images, skew)
        whole = torch.full((len(data) + 64,), 255, dtype=torch.uint8, device="cuda")
        whole[17 : 17 + len(data)] = data.cuda()
        part = whole[17 : 17 + len(data)]
        assert torch.equal(rc.decode_jpeg((part, offsets)).cpu(), wanted)


def test_streams_on_the_device_are_waited_for() -> None:
    images = [encode(64, 64, seed=i) for i in range(8)]
    data, offsets = lay(images)
    late = torch.zeros(len(data), dtype=torch.uint8, device="cuda")
    stream = torch.cuda.Stream()
    source = data.pin_memory()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late.copy_(source, non_blocking=True)
        found, valid = rc.decode_jpeg((late, offsets), on_error="mask")
        late.zero_()
    stream.synchronize()
    assert valid.all()
    assert torch.equal(found.cpu(), rc.decode_jpeg(images))


def test_streams_on_the_device_name_the_damaged_image() -> None:
    good = encode(32, 32)
    data, offsets = lay([good, good[:-40] + good[-2:], b"GIF"])
    for first, message in ((0, r"^image 1: .*damaged JPEG"), (2, r"^image 0: .*begin as a JPEG")):
        with pytest.raises(rc.errors.FormatError, match=message):
            rc.decode_jpeg((data.cuda(), offsets[first:]))
    with pytest.raises(rc.errors.FormatError, match=r"32x32 pixels; wanted 16x16"):
        rc.decode_jpeg((data.cuda(), offsets[:2]), size=(16, 16))


def test_streams_on_the_device_are_not_read_in_a_capture() -> None:
    data, offsets = lay([encode(32, 32)])
    there, out = data.cuda(), torch.empty(1, 32, 32, 3, dtype=torch.uint8, device="cuda")
    rc.decode_jpeg((there, offsets), out=out)
    graph = torch.cuda.CUDAGraph()
    with (
        torch.cuda.graph(graph),
        pytest.raises(rc.errors.UnsupportedError, match=r"headers of JPEGs .* captured"),
    ):
        rc.decode_jpeg((there, offsets), out=out, on_error="mask")


def test_copies_of_calls_do_not_meet() -> None:
    """Calls queued behind a busy device, with copies that overlap what is before them."""
    batches = [[encode(96, 80, seed=8 * k + i) for i in range(8)] for k in range(12)]
    wanted = [rc.decode_jpeg(batch) for batch in batches]
    torch.cuda._sleep(50_000_000)
    found = [rc.decode_jpeg(b, backend="cuda", on_error="mask") for b in batches]
    for a, (b, valid) in zip(wanted, found, strict=True):
        assert valid.all()
        assert torch.equal(a, b.cpu())


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
