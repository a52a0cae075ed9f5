"""Pixels of images are those of Pillow, or of TensorFlow where that is asked for."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

import robocache as rc

PIL = pytest.importorskip("PIL.Image")


def pillow(encoded):
    """Pillow's pixels."""
    return np.asarray(PIL.open(io.BytesIO(encoded)))


def picture(rng, height, width):
    """A picture with edges and noise, [height, width, 3]."""
    blocks = rng.integers(0, 256, (height // 7 + 1, width // 9 + 1, 3))
    pixels = np.kron(blocks, np.ones((7, 9, 1), int))[:height, :width]
    return np.clip(pixels + rng.integers(-20, 20, pixels.shape), 0, 255).astype(np.uint8)


def encode(pixels, **options):
    """The pixels as JPEG bytes."""
    buffer = io.BytesIO()
    PIL.fromarray(pixels).save(buffer, "jpeg", **options)
    return buffer.getvalue()


def write(folder, images):
    """One episode of one step for each image; returns where the dataset lies."""
    features = {"image": rc.Feature("uint8", (-1, -1, 3), encoding="jpeg")}
    with rc.RldsWriter(folder, "pictures", features) as writer:
        for image in images:
            writer.add_episode({"image": [image]})
    return folder / "pictures"


def test_jpeg_pixels_are_pillows(tmp_path):
    rng = np.random.default_rng(0)
    sizes = [(84, 117), (83, 116), (16, 16), (1, 1), (17, 33), (8, 1), (1, 9)]
    images = [
        encode(picture(rng, *size), quality=quality, subsampling=subsampling, progressive=scans)
        for size, quality, subsampling, scans in itertools.product(
            sizes, (20, 75, 95, 100), (0, 1, 2), (False, True)
        )
    ]
    dataset = rc.open(write(tmp_path, images), progress=False, control_rate_hz=1)
    for episode, image in zip(dataset.episodes, images, strict=True):
        np.testing.assert_array_equal(episode["image"].values[0], pillow(image))


def test_jpegs_of_bridge_are_pillows(bridge):
    for episode in itertools.islice(bridge.episodes, 0, None, 7):
        stream = episode["observation/image_0"]
        wanted = np.stack([pillow(stream.raw(step)) for step in range(len(stream))])
        np.testing.assert_array_equal(stream.values, wanted)
        loader = rc.DataLoader(
            bridge.take([episode.id]),
            batch_size=len(stream),
            streams=["observation/image_0"],
            array="numpy",
        )
        np.testing.assert_array_equal(next(iter(loader))["observation/image_0"][:, 0], wanted)


def test_jpeg_dct_of_the_dataset_and_of_the_loader(tmp_path):
    image = encode(picture(np.random.default_rng(1), 48, 64), quality=60)
    path = write(tmp_path, [image])
    opened = {
        dct: rc.open(path, progress=False, control_rate_hz=1, jpeg_dct=dct)
        for dct in ("accurate", "fast")
    }
    pixels = {dct: dataset.episodes[0]["image"].values[0] for dct, dataset in opened.items()}
    np.testing.assert_array_equal(pixels["accurate"], pillow(image))
    assert not np.array_equal(pixels["accurate"], pixels["fast"])
    for dct, dataset in opened.items():
        for asked, expected in ((None, dct), ("accurate", "accurate"), ("fast", "fast")):
            loader = rc.DataLoader(dataset, streams=["image"], array="numpy", jpeg_dct=asked)
            np.testing.assert_array_equal(next(iter(loader))["image"][0, 0], pixels[expected])
    with pytest.raises(rc.Error, match=r"jpeg_dct: .*'slow'.*accurate.*fast"):
        rc.open(path, progress=False, control_rate_hz=1, jpeg_dct="slow")
    with pytest.raises(rc.Error, match=r"jpeg_dct: .*'slow'.*accurate.*fast"):
        rc.DataLoader(opened["fast"], streams=["image"], jpeg_dct="slow")
