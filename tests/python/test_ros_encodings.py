"""Images and point clouds as ROS messages have them, declared through the sink of a format."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

RNG = np.random.default_rng(5)
STEPS, HEIGHT, WIDTH = 7, 5, 6

# ---- images -------------------------------------------------------------------------------------

# stored name -> dtype as stored, channels stored, from stored channels to those delivered
IMAGES: dict[str, tuple[str, int, list[int]]] = {
    "mono8": ("u1", 1, [0]),
    "bayer_rggb8": ("u1", 1, [0]),
    "rgb8": ("u1", 3, [0, 1, 2]),
    "bgr8": ("u1", 3, [2, 1, 0]),
    "bgra8": ("u1", 4, [2, 1, 0]),
    "rgba8": ("u1", 4, [0, 1, 2, 3]),
    "16UC1": ("<u2", 1, [0]),
    ">16UC1": (">u2", 1, [0]),
    ">bgr16": (">u2", 3, [2, 1, 0]),
}


def padded(image: Any, padding: int) -> bytes:
    rows = [row.tobytes() + b"\xaa" * padding for row in image]
    return b"".join(rows)


def open_images(
    folder: Path, stored: str, shape: tuple[int, int, int], messages: list[bytes], **more: Any
) -> rc.Dataset:
    """One episode; the odd ones of the messages lie in a block, the even ones in the file."""
    odd = b"".join(messages[1::2])
    packed = zlib.compress(odd)
    (folder / "data.bin").write_bytes(packed + b"".join(messages[::2]))
    dtype = "uint16" if "16" in stored else "uint8"

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        declared = {"kind": "image", "shape": shape, "dtype": dtype, "encoding": "ros_image"}
        dataset.stream("camera", **{**declared, "stored": stored, **more})
        dataset.part("data.bin", read=read)

    def read(part: rc.Part) -> None:
        block = part.block(
            offset=0,
            bytes=len(packed),
            unpacked_bytes=len(odd),
            packing=part.packing(["zlib"]),
        )
        ends = [len(packed), 0]  # in the file, in the block
        offsets = []
        for number, message in enumerate(messages):
            offsets.append(ends[number % 2])
            ends[number % 2] += len(message)
        pieces = rc.Pieces(
            offset=offsets,
            bytes=[len(message) for message in messages],
            block=[block if number % 2 else -1 for number in range(len(messages))],
        )
        part.episodes(num_steps=[len(messages)], streams={"camera": pieces})

    rc.register_format("ros images", probe=lambda path: False, index=index, replace=True)
    return rc.open(folder, format="ros images", progress=False)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("stored", IMAGES)
def test_images_are_delivered_as_they_are_meant(tmp_path: Path, stored: str, padding: int) -> None:
    dtype, channels, order = IMAGES[stored]
    images = RNG.integers(0, 256, (STEPS, HEIGHT, WIDTH, channels * 2), np.uint8)
    images = images.view(dtype)[..., :channels]
    wanted = images[..., order].astype(images.dtype.newbyteorder("="))
    messages = [padded(image, padding) for image in images]
    dataset = open_images(tmp_path, stored, (HEIGHT, WIDTH, len(order)), messages)
    np.testing.assert_array_equal(dataset[0]["camera"].values, wanted, strict=True)
    loader = rc.DataLoader(
        dataset,
        batch_size=3,
        shuffle=True,
        streams={"camera": rc.Window([-1, 0, 0])},
        array="numpy",
    )
    seen = 0
    for batch in loader:
        for row, step in enumerate(batch["step_index"]):
            expected = wanted[[max(step - 1, 0), step, step]]
            np.testing.assert_array_equal(batch["camera"][row], expected, strict=True)
            seen += 1
    assert seen == STEPS


def test_files_mix_encodings(tmp_path: Path) -> None:
    """Two streams see the same bytes differently, and a stream has several encodings."""
    from io import BytesIO

    from PIL import Image

    pixels = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    png = BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    raw = pixels.tobytes()
    (tmp_path / "data.bin").write_bytes(raw + png.getvalue())

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        for name, stored in (("red first", "rgb8"), ("blue first", "bgr8")):
            shape = (HEIGHT, WIDTH, 3)
            dataset.stream(name, kind="image", shape=shape, encoding="ros_image", stored=stored)
        dataset.part("data.bin", read=read)

    def read(part: rc.Part) -> None:
        def piece(**more: Any) -> rc.Pieces:
            return rc.Pieces(**{"offset": [0], "bytes": len(raw), "count": [1], **more})

        encoded = piece(offset=[len(raw)], bytes=len(png.getvalue()), encoding="image")
        part.episodes(
            num_steps=[3],
            streams={
                "red first": [piece(), piece(stored="bgr8"), encoded],
                "blue first": [encoded, piece(stored="rgb8"), piece()],
            },
        )

    rc.register_format("mixed images", probe=lambda path: False, index=index, replace=True)
    dataset = rc.open(tmp_path, format="mixed images", progress=False)
    turned = pixels[..., ::-1]
    wanted = {"red first": [pixels, turned, pixels], "blue first": [pixels, pixels, turned]}
    batch = next(iter(rc.DataLoader(dataset, batch_size=3, array="numpy")))
    for name, values in wanted.items():
        np.testing.assert_array_equal(dataset[0][name].values, values)
        np.testing.assert_array_equal(batch[name][:, 0], values)


def test_messages_of_another_size_are_damage(tmp_path: Path) -> None:
    image = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    messages = [image.tobytes()] * 4
    messages[2] = messages[2][:-1]
    dataset = open_images(tmp_path, "bgr8", image.shape, messages)
    said = (
        r"data\.bin: byte \d+: sample 2: camera: found 89 bytes of bgr8 pixels, wanted 5 rows of "
        r"one size, at least 18 bytes"
    )
    with pytest.raises(rc.errors.FormatError, match=rf"episode 0, step 2: .*{said}"):
        list(rc.DataLoader(dataset, batch_size=4, array="numpy"))
    with pytest.raises(rc.errors.FormatError, match=r"stream 'camera', sample 2: found 89 bytes"):
        _ = dataset[0]["camera"].values
    masked = next(iter(rc.DataLoader(dataset, batch_size=4, on_error="mask", array="numpy")))
    assert masked["camera_valid"][:, 0].tolist() == [True, True, False, True]


# ---- clouds -------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[list[tuple[int, str]], int]] = {
    "x y z": ([(0, "f4"), (4, "f4"), (8, "f4")], 12),
    "with room between": ([(0, "f4"), (4, "f4"), (8, "f4"), (16, "f4")], 32),
    "every dtype": ([(1, "u1"), (2, "i2"), (4, "u4"), (8, "f8"), (16, "i1")], 20),
    "big-endian": ([(0, ">f4"), (4, ">u2"), (6, ">f8")], 15),
}


def write_clouds(folder: Path, fields: list[tuple[int, str]], step: int) -> tuple[Any, Any, Any]:
    """Writes points of messages; returns lengths, begins, and values [points, fields]."""
    record = np.dtype(
        {
            "names": [str(i) for i in range(len(fields))],
            "formats": [dtype for _, dtype in fields],
            "offsets": [offset for offset, _ in fields],
            "itemsize": step,
        }
    )
    lengths = RNG.integers(0, 300, STEPS)
    lengths[2] = 0
    points = np.zeros(lengths.sum(), record)
    for name in record.names:
        points[name] = RNG.integers(0, 100, len(points))
    if record["0"].kind == "f":
        points["0"][::5] = np.nan  # what no one has seen
    begins, data = [], b""
    for message in np.split(points, lengths.cumsum()[:-1]):
        data += bytes(int(RNG.integers(1, 9)))  # the header of each
        begins.append(len(data))
        data += message.tobytes()
    (folder / "data.bin").write_bytes(data)
    values = np.stack([points[name].astype("f4") for name in record.names], -1)
    return lengths, np.array(begins), values


@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize("case", FIELDS)
def test_clouds_are_float32(tmp_path: Path, case: str, in_block: bool) -> None:
    fields, step = FIELDS[case]
    lengths, begins, wanted = write_clouds(tmp_path, fields, step)
    size = (tmp_path / "data.bin").stat().st_size
    if in_block:
        (tmp_path / "data.bin").write_bytes(zlib.compress((tmp_path / "data.bin").read_bytes()))
    packed = (tmp_path / "data.bin").stat().st_size

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream(
            "points",
            dtype="float32",
            shape=(len(fields),),
            encoding="cloud",
            fields=fields,
            ragged=True,
        )
        dataset.part("data.bin", read=read)

    def read(part: rc.Part) -> None:
        block = -1
        if in_block:
            packing = part.packing(["zlib"])
            block = part.block(offset=0, bytes=packed, unpacked_bytes=size, packing=packing)
        rows = rc.Rows(
            offset=begins,
            stride=step,
            count=lengths,
            block=block,
            episode=np.repeat([0, 1], [3, STEPS - 3]),
        )
        part.episodes(
            num_steps=[3, STEPS - 3], streams={"points": rows}, row_lengths={"points": lengths}
        )

    rc.register_format("clouds", probe=lambda path: False, index=index, replace=True)
    dataset = rc.open(tmp_path, format="clouds", progress=False)
    split = lengths[:3].sum()
    for episode, values in zip(dataset, (wanted[:split], wanted[split:]), strict=True):
        np.testing.assert_array_equal(episode["points"].values, values, strict=True)
    clouds = np.split(wanted, lengths.cumsum()[:-1])
    loader = rc.DataLoader(
        dataset,
        batch_size=2,
        shuffle=True,
        streams={"points": rc.Window(0, max_points=300, squeeze=True)},
        array="numpy",
    )
    seen = 0
    for batch in loader:
        for row, (e, step_index) in enumerate(
            zip(batch["episode_index"], batch["step_index"], strict=True)
        ):
            cloud = clouds[3 * e + step_index]
            assert batch["points_lengths"][row] == len(cloud)
            np.testing.assert_array_equal(batch["points"][row, : len(cloud)], cloud)
            assert not batch["points"][row, len(cloud) :].any()
            seen += 1
    assert seen == STEPS


# ---- what cannot be -----------------------------------------------------------------------------

ROS = {"kind": "image", "shape": (2, 3, 3), "encoding": "ros_image", "stored": "rgb8"}
CLOUD = {"dtype": "float32", "shape": (1,), "encoding": "cloud", "fields": [(0, "f4")]}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no encoding of ROS's": ({**ROS, "stored": "yuv422"}, "'yuv422' are not known: mono8, rgb8"),
    "none said": ({**ROS, "stored": None}, "stored: is missing, such as 'bgr8'"),
    "a dtype": ({**ROS, "stored": "uint8"}, "'uint8' are not known"),
    "channels": ({**ROS, "shape": (2, 3, 1)}, "found samples of encoding 'ros_image', rgb8"),
    "bits": ({**ROS, "dtype": "uint16"}, r"can become images of uint16 \[2, 3, 3\]"),
    "no size": ({**ROS, "shape": (2, None, 3)}, "wanted all extents"),
    "no fields": ({**CLOUD, "fields": ()}, "fields: found 0, wanted one or more"),
    "fields of others": ({**CLOUD, "encoding": "plain"}, "fields: found 1, wanted"),
    "too few fields": ({**CLOUD, "shape": (2,)}, r"of shape \(1,\): one a field"),
    "integers": ({**CLOUD, "dtype": "int32"}, "wanted numbers of float32"),
    "a field of bool": ({**CLOUD, "fields": [(0, "bool")]}, "field 0: found bool"),
    "a field far away": ({**CLOUD, "fields": [(65533, "f4")]}, "begins at 65533"),
    "a field of text": ({**CLOUD, "fields": [(0, "U3")]}, "fields: found 'str96'"),
    "a field that is none": ({**CLOUD, "fields": [0]}, "wanted a list of"),
    "33 fields": ({**CLOUD, "shape": (33,), "fields": [(0, "f4")] * 33}, "found 33 of them"),
    "stored": ({**CLOUD, "stored": "float32"}, "wanted it of each field"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_declared(tmp_path: Path, case: str) -> None:
    declared, message = WRONG[case]

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("x", **declared)

    rc.register_format("wrong", probe=lambda path: False, index=index, replace=True)
    with pytest.raises(rc.Error, match=message):
        rc.open(tmp_path, format="wrong", progress=False)


SOURCES: dict[str, tuple[Any, str]] = {
    "pixels of others": (
        rc.Pieces(offset=[0], bytes=18, stored="mono16"),
        "found samples of encoding 'ros_image', mono16",
    ),
    "no such pixels": (rc.Pieces(offset=[0], bytes=18, stored="x"), "'x' are not known"),
    "no such encoding": (rc.Pieces(offset=[0], bytes=18, encoding="jpeg"), "found 'jpeg'"),
    "rows": (rc.Rows(offset=[0]), "found Rows for encoding 'ros_image', wanted samples of one"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_sources_that_do_not_fit(tmp_path: Path, case: str) -> None:
    source, message = SOURCES[case]
    (tmp_path / "data.bin").write_bytes(bytes(100))

    def index(path: str, dataset: rc.Indexer) -> None:
        dataset.control_rate_hz = 10
        dataset.stream("x", **ROS)
        dataset.part("data.bin", read=read)

    def read(part: rc.Part) -> None:
        part.episodes(num_steps=[1], streams={"x": source})

    rc.register_format("wrong", probe=lambda path: False, index=index, replace=True)
    with pytest.raises(rc.Error, match=message):
        rc.open(tmp_path, format="wrong", progress=False)
