"""decode_jpeg on the host: pixels, arguments, and what is said of damage."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import robocache as rc

Image = pytest.importorskip("PIL.Image")
features = pytest.importorskip("PIL.features")


def encode(height: int, width: int, mode: str = "RGB", seed: int = 0, **options: Any) -> bytes:
    """Encode gradients and noise with Pillow."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = 1 if mode == "L" else 4 if mode == "CMYK" else 3
    smooth = np.stack([3 * x + 2 * y + 60 * c for c in range(channels)], -1)
    pixels = ((smooth + rng.integers(0, 30, smooth.shape)) % 256).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if mode == "L" else pixels, mode).save(
        file, "JPEG", **{"quality": 85, **options}
    )
    return file.getvalue()


def _segments(data: bytes) -> tuple[dict[int, bytes], bytes]:
    """The marker segments of a JPEG of one scan, and what is behind that scan's header."""
    found, at = {}, 2
    while True:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found[data[at + 1]] = found.get(data[at + 1], b"") + data[at:end]
        if data[at + 1] == 0xDA:
            return found, data[end:-2]
        at = end


def encode_apart(
    height: int, width: int, sampling: tuple[int, int] = (2, 2), seed: int = 0, **options: Any
) -> bytes:
    """Encode three components in a scan each: they are grey JPEGs, put together."""
    v, h = sampling
    sizes = [(height, width)] + 2 * [(-(-height // v), -(-width // h))]
    frame = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    out = b"\xff\xd8\xff\xc0\x00\x11\x08" + frame + bytes((3, 1, 16 * h + v, 0, 2, 17, 0, 3, 17, 0))
    tables = b""
    for number, size in enumerate(sizes):
        found, coded = _segments(encode(*size, "L", 10 * seed + number, **options))
        out += found[0xDB] if number == 0 else b""
        out += found.get(0xDD, b"")
        out += found[0xC4] if found[0xC4] != tables else b""
        tables = found[0xC4]
        out += b"\xff\xda\x00\x08\x01" + bytes((number + 1, 0, 0, 63, 0)) + coded
    return out + b"\xff\xd9"


APART: list[dict[str, Any]] = [
    {"sampling": sampling, **options}
    for sampling in ((1, 1), (1, 2), (2, 1), (2, 2), (4, 1))
    for options in ({}, {"optimize": True}, {"restart_marker_rows": 1})
]


def pillow(data: bytes, mode: str | None = None) -> np.ndarray:
    """Return the pixels as Pillow decodes them."""
    image = Image.open(io.BytesIO(data))
    pixels = np.asarray(image.convert(mode) if mode and image.mode != mode else image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


KINDS = {
    "444": {"subsampling": 0},
    "422": {"subsampling": 1},
    "420": {"subsampling": 2},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "coarse": {"quality": 3},
    "fine": {"quality": 100, "subsampling": 0},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 64)])
def test_pixels_are_pillows(kind: str, size: tuple[int, int]) -> None:
    data = encode(*size, **KINDS[kind])
    decoded = rc.decode_jpeg([data])
    assert np.array_equal(np.asarray(decoded[0]), pillow(data))


@pytest.mark.parametrize("options", APART)
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 64)])
def test_components_may_be_scanned_apart(options: dict[str, Any], size: tuple[int, int]) -> None:
    data = encode_apart(*size, **options)
    assert np.array_equal(np.asarray(rc.decode_jpeg([data])[0]), pillow(data))


def test_one_size_is_one_array_and_several_are_a_list() -> None:
    same = [encode(20, 30, seed=i) for i in range(3)]
    one = rc.decode_jpeg(same)
    assert tuple(one.shape) == (3, 20, 30, 3)
    several = rc.decode_jpeg([*same, encode(8, 9), encode(20, 30, "L")])
    assert isinstance(several, list)
    assert [tuple(a.shape) for a in several] == [(20, 30, 3)] * 3 + [(8, 9, 3), (20, 30, 1)]
    for data, pixels in zip(same, several, strict=False):
        assert np.array_equal(np.asarray(pixels), pillow(data))
    assert tuple(rc.decode_jpeg([]).shape) == (0, 0, 0, 3)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_channels_are_converted(channels: int, mode: str) -> None:
    for data in (encode(21, 13), encode(21, 13, "L")):
        (pixels,) = rc.decode_jpeg([data], channels=channels)
        assert tuple(pixels.shape) == (21, 13, channels)
        if channels == 3 or Image.open(io.BytesIO(data)).mode == "L":
            assert np.array_equal(np.asarray(pixels), pillow(data, mode))


def test_a_tensor_with_offsets_is_divided() -> None:
    images = [encode(16, 16, seed=i) for i in range(4)]
    data = np.frombuffer(b"junk" + b"".join(images), np.uint8)
    offsets = 4 + np.cumsum([0, *map(len, images)])
    for given in (offsets, offsets.astype(np.int32), offsets.tolist()):
        decoded = rc.decode_jpeg((data, given))
        assert isinstance(decoded, np.ndarray)
        assert np.array_equal(decoded, np.stack([pillow(image) for image in images]))
    with pytest.raises(rc.errors.InvalidArgumentError, match=r"offsets: found 4 to 3 for image 0"):
        rc.decode_jpeg((data, [4, 3]))
    with pytest.raises(rc.errors.InvalidArgumentError, match=r"within \[0, "):
        rc.decode_jpeg((data, [0, data.size + 1]))


def test_outputs_may_be_given() -> None:
    images = [bytearray(encode(10, 12, seed=i)) for i in range(2)]
    out = np.zeros((2, 10, 12, 3), np.uint8)
    assert rc.decode_jpeg(images, out=out) is out
    assert np.array_equal(out[1], pillow(bytes(images[1])))
    each = [np.zeros((10, 12, 3), np.uint8) for _ in images]
    assert rc.decode_jpeg(images, out=each) is each
    assert np.array_equal(np.stack(each), out)
    with pytest.raises(rc.errors.InvalidArgumentError, match=r"image 0 is \[10, 12, 3\]"):
        rc.decode_jpeg(images, out=np.zeros((2, 10, 13, 3), np.uint8))
    frozen = np.zeros_like(out)
    frozen.flags.writeable = False
    with pytest.raises(rc.errors.InvalidArgumentError, match="read-only"):
        rc.decode_jpeg(images, out=frozen)


def test_a_list_of_outputs_may_change_while_it_is_read() -> None:
    class Empties:
        def __init__(self) -> None:
            self.array = np.zeros((8, 8, 3), np.uint8)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

        def __dlpack__(self, **arguments: Any) -> Any:
            outs.clear()
            return self.array.__dlpack__(**arguments)

    kept = [Empties(), Empties()]
    outs = list(kept)
    image = encode(8, 8)
    rc.decode_jpeg([image, image], out=outs, backend="cpu")
    for out in kept:
        np.testing.assert_array_equal(out.array, rc.decode_jpeg([image])[0])


def test_damage_is_raised_or_masked() -> None:
    good = encode(24, 24)
    cut = good[: len(good) // 2]
    other = encode(24, 25)
    images = [good, cut, b"", b"GIF89a", other, good]
    with pytest.raises(rc.errors.FormatError, match=r"^image 1: .*damaged JPEG"):
        rc.decode_jpeg(images, size=(24, 24))
    pixels, valid = rc.decode_jpeg(images, size=(24, 24), on_error="mask")
    assert valid.tolist() == [True, False, False, False, False, True]
    assert np.array_equal(np.asarray(pixels[0]), pillow(good))
    assert not np.asarray(pixels)[1:5].any()
    with pytest.raises(rc.errors.FormatError, match="image 0: found 0 bytes that do not begin"):
        rc.decode_jpeg([b""])
    with pytest.raises(rc.errors.FormatError, match=r"image 0: JPEG of 24x25 pixels; wanted 24x24"):
        rc.decode_jpeg([other], size=(24, 24))
    with pytest.raises(rc.errors.UnsupportedError, match=r"image 1: .*4 components"):
        rc.decode_jpeg([good, encode(8, 8, "CMYK")])


def test_tables_of_another_image_are_not_used() -> None:
    """A stream without Huffman tables is decoded with the standard ones, whatever came before."""
    whole = encode(32, 32)
    bare = whole
    while (at := bare.find(b"\xff\xc4")) >= 0:
        bare = bare[:at] + bare[at + 2 + int.from_bytes(bare[at + 2 : at + 4], "big") :]
    other = encode(32, 32, optimize=True, quality=30)
    for order in ([bare, whole], [other, bare], [other] * 40 + [bare]):
        decoded = rc.decode_jpeg(order)
        index = order.index(bare)
        assert np.array_equal(np.asarray(decoded[index]), pillow(whole))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 2}, "channels: found 2"),
        ({"jpeg_dct": "slow"}, "jpeg_dct: found 'slow'"),
        ({"on_error": "skip"}, "on_error: found 'skip'"),
        ({"backend": "tpu"}, "backend: found 'tpu'"),
        ({"size": (0, 4)}, "size: found"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rc.errors.InvalidArgumentError, match=message):
        rc.decode_jpeg([encode(4, 4)], **arguments)


def test_types_are_checked() -> None:
    with pytest.raises(rc.errors.ArgumentTypeError, match="images: found"):
        rc.decode_jpeg(encode(4, 4))
    with pytest.raises(rc.errors.ArgumentTypeError, match=r"images: found .* at \[1\]"):
        rc.decode_jpeg([encode(4, 4), "text"])


def test_the_fast_dct_is_another_and_the_reference_agrees() -> None:
    data = [encode(40, 56, seed=i, quality=92) for i in range(3)]
    accurate = np.asarray(rc.decode_jpeg(data))
    fast = np.asarray(rc.decode_jpeg(data, jpeg_dct="fast"))
    assert (accurate != fast).any()
    assert np.abs(accurate.astype(int) - fast).max() < 12
    pytest.importorskip("torch")
    assert np.array_equal(np.asarray(rc.decode_jpeg(data, backend="pytorch")), accurate)
    pixels, valid = rc.decode_jpeg([data[0], b"none"], backend="pytorch", on_error="mask")
    assert valid.tolist() == [True, False]
    assert np.array_equal(np.asarray(pixels[0]), accurate[0])


@pytest.mark.parametrize("num_threads", [1, 3])
def test_threads_change_nothing(num_threads: int) -> None:
    data = [encode(30 + i % 5, 40, seed=i) for i in range(60)]
    before = rc.get_num_threads()
    try:
        rc.set_num_threads(num_threads)
        decoded = rc.decode_jpeg(data)
    finally:
        rc.set_num_threads(before)
    for image, pixels in zip(data, decoded, strict=True):
        assert np.array_equal(np.asarray(pixels), pillow(image))
