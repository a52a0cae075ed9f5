"""rc.Image on arrays: Pillow's resizing, and the arithmetic that its header says."""

from __future__ import annotations

import colorsys
import copy
import itertools
import pickle
from dataclasses import fields

import numpy as np
import pytest

import robocache as rc
from tests.python import image_reference as reference

PIL = pytest.importorskip("PIL.Image", minversion=None)
Version = pytest.importorskip("PIL").__version__
needs_pillow_13 = pytest.mark.skipif(
    int(Version.split(".")[0]) < 13, reason=f"Pillow {Version} resizes tall images otherwise"
)

FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3}
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@pytest.fixture(params=[0, 1, 2**64 - 1], ids=["baseline", "avx2", "all"])
def isa(request):
    """Kernels of one instruction set at most."""
    rc.set_cpu_features({0: [], 1: ["avx2"]}.get(request.param))
    yield
    rc.set_cpu_features(None)


def pillow(pixels, size, box, name):
    """Resizes by Pillow."""
    channels = pixels.shape[-1]
    if pixels.dtype == np.uint8:
        picture = PIL.fromarray(pixels[..., 0] if channels == 1 else pixels, MODES[channels])
    else:
        picture = PIL.fromarray(pixels[..., 0])
    default = "bilinear" if pixels.dtype == np.uint8 else "nearest"
    made = picture.resize(size[::-1], FILTERS[name or default], box=box)
    return np.asarray(made).reshape(*size, channels).astype(pixels.dtype)


def picture(rng, height, width, channels=3, dtype=np.uint8):
    if dtype == np.float32:
        return rng.normal(size=(height, width, channels)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def test_sizes_up_and_down_are_pillows(isa):
    rng = np.random.default_rng(7)
    for _ in range(150):
        longest = int(rng.choice([6, 40, 200, 1000], p=[0.4, 0.35, 0.2, 0.05]))
        height, width, high, wide = (int(n) for n in rng.integers(1, longest + 1, 4))
        pixels = picture(rng, height, width, int(rng.integers(1, 5)))
        name = str(rng.choice(list(FILTERS)))
        box = None
        if rng.random() < 0.5:
            x, y = (np.sort(rng.choice(n + 1, 2, replace=False)) for n in (width, height))
            box = (int(x[0]), int(y[0]), int(x[1]), int(y[1]))
        left, top, right, bottom = box or (0, 0, width, height)
        if (bottom - top, right - left) == (high, wide):
            continue
        if height > high and height - high > 2 * (width - wide) and int(Version.split(".")[0]) < 13:
            continue
        made = rc.Image((high, wide), crop=box, filter=name)(pixels)
        wanted = pillow(pixels, (high, wide), box, name)
        np.testing.assert_array_equal(made, wanted, f"{pixels.shape} {name} {box}")


@needs_pillow_13
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("channels", MODES)
def test_usual_sizes_are_pillows(name, channels):
    rng = np.random.default_rng(channels)
    for (height, width), size in itertools.product(
        [(480, 640), (256, 256), (720, 1280), (84, 84), (1000, 999)], [(224, 224), (96, 128)]
    ):
        pixels = picture(rng, height, width, channels)
        made = rc.Image(size, filter=name)(pixels)
        np.testing.assert_array_equal(made, pillow(pixels, size, None, name))


def an_image(rng, dtype):
    """Any parameters that go with images of at least 8 x 8 pixels."""
    ranges = {}
    is_depth = dtype != np.uint8
    kind = rng.integers(5)
    if kind == 0:
        ranges["crop"] = (str(rng.choice(["center", "random"])), 0.7)
    elif kind == 1:
        ranges["crop"] = ("random", (0.2, 1.0))
        ranges["aspect"] = (0.5, 2.0)
    elif kind == 2:
        ranges["crop"] = (str(rng.choice(["center", "random"])), (7, 5))
    elif kind == 3:
        ranges["crop"] = (1, 2, 7, 8)
    if kind < 2 or rng.random() < 0.7:
        ranges["size"] = tuple(int(n) for n in rng.integers(1, 40, 2))
    for name in () if is_depth else ("brightness", "contrast", "saturation"):
        if rng.random() < 0.5:
            ranges[name] = float(rng.uniform(0, 3))
    if not is_depth and rng.random() < 0.5:
        ranges["hue"] = float(rng.uniform(0, 0.5))
    if not is_depth and rng.random() < 0.5:
        ranges["mean"], ranges["std"] = 0.4, float(rng.uniform(0.1, 2))
    return rc.Image(
        orient=rng.choice([None, "rotate_90", "rotate_180", "rotate_270", "transpose"]),
        flip=0.5,
        filter="nearest" if is_depth else str(rng.choice(list(FILTERS))),
        channels=str(rng.choice(["last", "first"])),
        **ranges,
    )


@needs_pillow_13
def test_all_steps_are_those_of_the_reference(isa):
    rng = np.random.default_rng(3)
    for _ in range(300):
        dtype = rng.choice([np.uint8, np.uint8, np.uint8, np.uint16, np.float32])
        channels = int(rng.integers(1, 5)) if dtype == np.uint8 else 1
        pixels = picture(rng, *(int(n) for n in rng.integers(8, 70, 2)), channels, dtype)
        image, key = an_image(rng, dtype), int(rng.integers(0, 2**63))
        made = image(pixels, key=key)
        wanted = reference.make(pixels, image, key, pillow)
        assert made.dtype == wanted.dtype
        np.testing.assert_array_equal(made, wanted, f"{image} {pixels.shape} {key}")


def test_keys_are_a_table():
    table = {
        (0, 0, 0, 0, None, 0, "sample"): 0xCBD37AD29B93B094,
        (7, 3, 12, 34, "image", 0, "window"): 0x9CC893F3ECC60D92,
        (7, 3, 12, 34, "image", 1, "frame"): 0xE165D65997628C00,
        (2**64 - 1, 2**40, 10**6, 10**4, "observation/image_0", 5, "window"): 0x846B6A7FDCFD17AC,
    }
    for (seed, epoch, episode, step, name, frame, share), wanted in table.items():
        made = rc.image_key(seed, epoch, episode, step, name=name, frame=frame, share=share)
        own_name = None if share == "sample" else name
        own_frame = frame if share == "frame" else 0
        assert made == wanted == reference.key(seed, epoch, episode, step, own_name, own_frame)


def test_what_is_drawn_is_evenly_drawn():
    keys = [rc.image_key(0, epoch, 5, 9, name="image") for epoch in range(4000)]
    for counter in range(9):
        numbers = np.array([reference.uniform(key, counter) for key in keys])
        assert abs(numbers.mean() - 0.5) < 0.03
        assert abs(numbers.std() - 12**-0.5) < 0.02
    pairs = np.array([[reference.uniform(key, counter) for counter in range(9)] for key in keys])
    assert np.abs(np.corrcoef(pairs.T) - np.eye(9)).max() < 0.08


@pytest.mark.parametrize(
    "orient",
    [
        "rotate_90",
        "rotate_180",
        "rotate_270",
        "flip_horizontal",
        "flip_vertical",
        "transpose",
        "transverse",
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_orientations(orient, dtype):
    pixels = picture(np.random.default_rng(0), 5, 9, 1, dtype)
    made = rc.Image(orient=orient)(pixels)
    np.testing.assert_array_equal(made, reference.orient(pixels, orient))
    transposed = getattr(
        PIL.Transpose,
        orient.replace("flip_horizontal", "flip_left_right")
        .replace("flip_vertical", "flip_top_bottom")
        .upper(),
    )
    if dtype == np.uint8:
        np.testing.assert_array_equal(
            made[..., 0], np.asarray(PIL.fromarray(pixels[..., 0]).transpose(transposed))
        )


@pytest.mark.parametrize(
    ("crop", "aspect", "shape", "wanted"),
    [
        (("center", 1.0), None, (48, 64), (0, 0, 64, 48)),
        (("center", 0.25), None, (48, 64), (16, 12, 48, 36)),
        (("center", 1.0), 1.0, (48, 64), (8, 0, 56, 48)),  # the largest square
        (("center", 0.5), 1.0, (48, 64), (12, 4, 51, 43)),
        (("center", (10, 20)), None, (48, 64), (22, 19, 42, 29)),
        ((3, 4, 13, 24), None, (48, 64), (3, 4, 13, 24)),
    ],
)
def test_crops(crop, aspect, shape, wanted):
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape)
    left, top, right, bottom = wanted
    image = rc.Image((bottom - top, right - left), crop=crop, aspect=aspect)
    np.testing.assert_array_equal(image(pixels), pixels[top:bottom, left:right])


def test_random_crops_reach_every_position():
    pixels = np.arange(40, dtype=np.uint16).reshape(5, 8)
    image = rc.Image(crop=("random", (3, 4)))
    corners = {int(image(pixels, key=key)[0, 0]) for key in range(500)}
    assert corners == {8 * top + left for top in range(3) for left in range(5)}


def test_colours_are_torchvisions_within_a_level():
    pixels = picture(np.random.default_rng(1), 40, 50)
    values = pixels.astype(np.float64)
    grey = values @ [0.2989, 0.587, 0.114]
    for factor in (0.0, 0.4, 1.0, 1.7):
        cases = {
            "brightness": factor * values,
            "contrast": grey.mean() + factor * (values - grey.mean()),
            "saturation": grey[..., None] + factor * (values - grey[..., None]),
        }
        for name, wanted in cases.items():
            made = rc.Image(**{name: (factor, factor)})(pixels)
            assert np.abs(made - np.clip(wanted, 0, 255)).max() < 1.01, name
    for turn in (-0.5, -0.1, 0.0, 0.25, 0.5):
        made = rc.Image(hue=(turn, turn))(pixels)
        for old, new in zip(values.reshape(-1, 3)[:300], made.reshape(-1, 3)[:300], strict=True):
            h, s, v = colorsys.rgb_to_hsv(*(old / 255))
            assert np.abs(255 * np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) - new).max() < 1


def test_no_change_is_none():
    pixels = picture(np.random.default_rng(2), 33, 47, 4)
    image = rc.Image(brightness=(1, 1), contrast=(1, 1), saturation=(1, 1), hue=(0, 0))
    np.testing.assert_array_equal(image(pixels), pixels)
    one = (1, 1 + 1e-9)  # goes through the colours
    image = rc.Image(brightness=one, contrast=one, saturation=one, hue=(0, 1e-9))
    np.testing.assert_array_equal(image(pixels, key=1), pixels)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_normalising_is_torchs(dtype, channels):
    torch = pytest.importorskip("torch")
    pixels = torch.from_numpy(picture(np.random.default_rng(4), 16, 48))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for given in ({}, {"mean": mean, "std": std}):
        made = rc.Image(dtype=getattr(torch, dtype), channels=channels, **given)(pixels)
        wanted = pixels.float().div(255)
        if given:
            wanted = wanted.sub(torch.tensor(mean)).div(torch.tensor(std))
        wanted = wanted.to(getattr(torch, dtype))
        wanted = wanted.permute(2, 0, 1) if channels == "first" else wanted
        assert made.dtype == wanted.dtype
        assert torch.equal(made, wanted)


def test_arrays_come_back_as_they_came():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    pixels = picture(rng, 12, 15)
    image = rc.Image((6, 5), channels="first")
    one = image(pixels)
    assert one.shape == (3, 6, 5)
    stack = np.stack([[pixels, pixels[::-1]]] * 2)
    np.testing.assert_array_equal(image(stack)[1, 0], one)
    assert image(stack).shape == (2, 2, 3, 6, 5)
    assert rc.Image((6, 5), channels="first")(pixels[..., 0]).shape == (6, 5)
    made = image(torch.from_numpy(pixels))
    assert isinstance(made, torch.Tensor)
    np.testing.assert_array_equal(made.numpy(), one)
    np.testing.assert_array_equal(image(np.asfortranarray(pixels)), one)
    assert image(np.zeros((0, 12, 15, 3), np.uint8)).shape == (0, 3, 6, 5)


def test_each_image_may_have_its_key():
    pixels = picture(np.random.default_rng(6), 30, 30)
    image = rc.Image((9, 9), crop=("random", 0.5), flip=0.5, brightness=0.5)
    made = image(np.stack([pixels] * 4), key=[1, 2, 1, 3])
    np.testing.assert_array_equal(made[0], made[2])
    np.testing.assert_array_equal(made[1], image(pixels, key=2))
    assert not np.array_equal(made[0], made[1])


def test_images_are_copied():
    image = rc.Image((9, 9), crop=("random", 0.5), mean=(0.1, 0.2, 0.3), std=1, dtype="float16")
    assert pickle.loads(pickle.dumps(image)) == image
    assert copy.deepcopy(rc.Window(0, image=image)).image == image
    assert hash(image) == hash(rc.Image(**{f.name: getattr(image, f.name) for f in fields(image)}))


def test_inference_draws_nothing():
    image = rc.Image(
        (9, 9),
        crop=("random", (0.8, 1.0)),
        aspect=(0.5, 2),
        flip=0.5,
        hue=0.1,
        brightness=0.3,
        contrast=(1.2, 1.2),
        mean=0.5,
        std=0.5,
    )
    assert image.is_random
    fixed = image.for_inference()
    assert not fixed.is_random
    assert fixed.crop == ("center", (0.9, 0.9))
    assert fixed.aspect == (1.0, 1.0)
    assert fixed.contrast == (1.2, 1.2)
    assert (fixed.flip, fixed.mean) == (0.0, (0.5,))
    assert rc.Image(crop=("random", (7, 8))).for_inference().crop == ("center", (7, 8))
    assert fixed.for_inference() == fixed
    fixed(picture(np.random.default_rng(0), 20, 20))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 224}, "size: found 224, wanted .height, width."),
        ({"size": (0, 5)}, "size: found 0, wanted 1 to 65535"),
        ({"crop": "center"}, "crop: found 'center', wanted .*amount"),
        ({"crop": ("middle", 0.5)}, "crop: found 'middle', wanted one of 'center', 'random'"),
        ({"crop": ("center", 1.5)}, "crop: found 1.5, wanted 0 to 1"),
        ({"crop": ("center", 0.0)}, "crop: found a share of 0"),
        ({"crop": (5, 0, 5, 3)}, "wanted left < right"),
        ({"aspect": 1.0}, "aspect found without a crop by area"),
        ({"aspect": 1.0, "crop": ("center", (3, 3))}, "aspect found without a crop by area"),
        ({"flip": 1.5}, "flip: found 1.5, wanted 0 to 1"),
        ({"brightness": -0.1}, "brightness: found -0.1, wanted 0 to 3"),
        ({"contrast": (2, 1)}, "contrast: found 2 to 1, wanted the lower one first"),
        ({"saturation": (0, 5)}, "saturation: found 5, wanted 0 to 4"),
        ({"hue": 0.6}, "hue: found 0.6, wanted 0 to 0.5"),
        ({"mean": "x"}, "mean: found 'x'"),
        ({"std": 0}, "std: found 0, wanted more than 0"),
        ({"mean": (0, 0), "std": (1, 1, 1)}, "mean of 2 values and std of 3"),
        ({"dtype": "int32"}, "dtype: found 'int32', wanted one of"),
        ({"channels": 3}, "channels: found 3, wanted a string"),
        ({"orient": "upside down"}, "orient: found 'upside down', wanted one of 'rotate_90'"),
        ({"filter": "lanczos"}, "filter: found 'lanczos', wanted one of"),
        ({"share": "batch"}, "share: found 'batch', wanted one of"),
    ],
)
def test_arguments_are_checked(arguments, says):
    with pytest.raises(rc.Error, match=says):
        rc.Image(**arguments)


@pytest.mark.parametrize(
    ("image", "shape", "dtype", "says"),
    [
        ({}, (4,), np.uint8, "images: found .*wanted an array"),
        ({}, (4, 5, 5), np.uint8, "images have 5 channels; wanted 1 to 4"),
        ({}, (4, 5, 3), np.int32, "images are int32 of 3 channels; wanted uint8"),
        ({}, (4, 5, 3), np.uint16, "images are uint16 of 3 channels"),
        ({"crop": (0, 0, 6, 4)}, (4, 5, 3), np.uint8, "reaches 4 x 6 pixels.*image of 4 x 5"),
        ({"crop": ("center", (5, 5))}, (4, 5, 3), np.uint8, "reaches 5 x 5 pixels"),
        ({"crop": ("center", 0.5)}, (4, 5, 3), np.uint8, "size is to be given"),
        ({"crop": (0, 0, 5, 4), "orient": "transpose"}, (4, 5, 3), np.uint8, "image of 5 x 4"),
        ({"mean": (0, 0)}, (4, 5, 3), np.uint8, "mean has 2 values and images 3 channels"),
        ({"mean": 0, "dtype": "uint8"}, (4, 5, 3), np.uint8, "mean and std with dtype uint8"),
        ({"brightness": 0.5}, (4, 5), np.uint16, "uint16, of which brightness.*cannot be had"),
        ({"mean": 0.5}, (4, 5), np.float32, "float32, of which mean and std cannot be had"),
        ({"dtype": "float16"}, (4, 5), np.float32, "of which another dtype cannot be had"),
        ({"filter": "bilinear"}, (4, 5), np.uint16, "of which filter bilinear or bicubic"),
        ({}, (0, 5, 3), np.uint8, "an image of 0 x 5 pixels"),
        ({}, (1, 65536), np.uint16, "an image of 1 x 65536 pixels; wanted sides of 1 to 65535"),
        ({"dtype": "bfloat16"}, (4, 5, 3), np.uint8, "NumPy has no bfloat16"),
    ],
)
def test_images_are_checked(image, shape, dtype, says):
    with pytest.raises(rc.Error, match=says):
        rc.Image(**image)(np.zeros(shape, dtype), key=0)


def test_a_key_is_asked_for():
    pixels = np.zeros((2, 4, 5, 3), np.uint8)
    with pytest.raises(rc.Error, match="key: found None where something is drawn"):
        rc.Image(flip=0.5)(pixels)
    with pytest.raises(rc.Error, match="key: 3 found for 2 images"):
        rc.Image(flip=0.5)(pixels, key=[1, 2, 3])
    with pytest.raises(rc.Error, match="key: found -1"):
        rc.Image(flip=0.5)(pixels, key=-1)
