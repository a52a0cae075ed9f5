"""RLDS: examples as TFRecords hold them, and the JSON beside them."""

from __future__ import annotations

import struct
import zlib

from tests.python.wire_bytes import field, varint

Shape = tuple[int, ...]


def feature(key: str, kind: int, values: bytes) -> bytes:
    """Encode a map entry whose list message of `kind` (1 bytes, 2 float, 3 int64) is `values`."""
    return field(1, field(1, key.encode()) + field(2, field(kind, values)))


def floats(key: str, *values: float) -> bytes:
    """Encode a packed float_list."""
    return feature(key, 2, field(1, struct.pack(f"<{len(values)}f", *values)))


def ints(key: str, *values: int) -> bytes:
    """Encode a packed int64_list."""
    return feature(key, 3, field(1, b"".join(varint(v) for v in values)))


def strings(key: str, *values: bytes) -> bytes:
    """Encode a bytes_list."""
    return feature(key, 1, b"".join(field(1, v) for v in values))


def tensor(key: str, dtype: int, shape: Shape, content: bytes) -> bytes:
    """Encode a bytes_list of one entry, a TensorProto whose data field is `content`."""
    dims = b"".join(field(2, varint(1 << 3) + varint(extent)) for extent in shape)
    return strings(key, varint(1 << 3) + varint(dtype) + field(2, dims) + content)


def full_example(steps: int) -> bytes:
    """Encode an Example with every feature that the target's features.json declares."""
    rows = [i % 3 for i in range(steps)]
    total = sum(rows)
    return field(
        1,
        b"".join(
            (
                floats("steps/f", *[0.5 * i for i in range(2 * steps)]),
                floats("steps/d", *[float(i) for i in range(steps)]),
                floats("steps/h", *[float(i) for i in range(steps)]),
                ints("steps/b", *[i % 2 for i in range(steps)]),
                ints("steps/i", *[-i * 300 for i in range(steps)]),
                ints("steps/i_time_ns", *[1_700_000_000_000_000_000 + i for i in range(steps)]),
                ints("steps/u", *[i * 7 % 256 for i in range(70 * steps)]),
                ints("steps/s", *[i - 2 for i in range(steps)]),
                strings("steps/r", *[struct.pack("<2i", i, -i) for i in range(steps)]),
                strings(
                    "steps/z", *[zlib.compress(struct.pack("<2h", i, i)) for i in range(steps)]
                ),
                strings("steps/p", *[b"\x89PNG" + b"x" * i for i in range(steps)]),
                strings("steps/lang", *[b"pick" if i else b"" for i in range(steps)]),
                floats("steps/c/ragged_flat_values", *[0.0] * (3 * total)),
                ints("steps/c/ragged_row_lengths_0", *rows),
                ints("steps/c_time_ns/ragged_flat_values", *range(total)),
                ints("steps/c_time_ns/ragged_row_lengths_0", *rows),
                ints("steps/x/ragged_flat_values", *[1] * (2 * steps)),
                ints("steps/x/ragged_row_lengths_0", *[2] * steps),
                strings("steps/g/ragged_flat_values", *[b"\xff\xd8\xff"] * total),
                ints("steps/g/ragged_row_lengths_0", *rows),
                strings("m", b"a/b"),
                floats("n", 1.0, 2.0, float("nan"), 4.0),
                ints("k", 0, 1, 1),
                ints("steps/undeclared", 1),
            )
        ),
    )


def odd_examples() -> dict[str, bytes]:
    """Encode Examples that store their samples in unusual ways."""
    two = struct.pack("<2f", 1.0, 2.0)
    unpacked = b"".join(varint(1 << 3 | 5) + two[i : i + 4] for i in (0, 4))
    return {
        "unpacked": field(1, feature("steps/f", 2, unpacked)),
        "pieces": field(1, feature("steps/f", 2, field(1, two[:4]) + field(1, two[4:]))),
        "padded_varints": field(1, feature("steps/i", 3, field(1, b"\x81\x80\x00\x05"))),
        "spread_entries": field(
            1, feature("steps/p", 1, field(1, b"a") + field(9, b"?") + field(1, b"bc"))
        ),
        "padded_entry": field(1, feature("steps/lang", 1, b"\x0a\x81\x80\x00a" + field(1, b"b"))),
        "two_kinds": field(
            1,
            field(
                1,
                field(1, b"steps/d") + field(2, field(3, field(1, b"\x01")) + field(2, unpacked)),
            ),
        ),
        "twice": field(1, floats("steps/d", 1.0) + floats("steps/d", 1.0, 2.0)),
        "no_steps": field(1, floats("steps/f") + strings("m", b"x")),
        "huge_length": field(1, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        "bad_text": field(1, strings("steps/lang", b"\xff\xfe")),
    }


def dlimp_example() -> bytes:
    """Encode an Example of serialized tensors."""
    images = field(8, b"\xff\xd8\xff1") + field(8, b"\xff\xd8\xff22")
    return field(
        1,
        b"".join(
            (
                tensor("obs/images0", 7, (2,), images),
                tensor("obs/state", 1, (2, 3), field(4, struct.pack("<6f", *range(6)))),
                tensor("dones", 10, (2,), field(4, b"\x00\x01")),
                tensor("lang", 7, (), field(8, b"open the drawer")),
                strings("note", b"plain"),
                ints("count", 7),
            )
        ),
    )


def features_json() -> dict[str, object]:
    """Make a features.json with every kind of leaf."""

    def leaf(kind: str, **content: object) -> dict[str, object]:
        return {"pythonClassName": "x", kind: content, "description": "d"}

    shape = {"dimensions": ["2", "-1"]}
    steps = {
        "tensor": leaf("tensor", shape=shape, dtype="float32", encoding="none"),
        "scalar": leaf("tensor", shape={}, dtype="bool", encoding="bytes"),
        "image": leaf("image", shape={"dimensions": ["4", "4", "3"]}, encodingFormat="jpeg"),
        "text": leaf("text"),
        "label": leaf("classLabel", numClasses="3"),
        "box": leaf("boundingBox"),
        "video": leaf("video"),
        "deep": leaf("sequence", length="-1", feature=leaf("sequence", feature=leaf("text"))),
        "dict": leaf("featuresDict", features={"a": leaf("text"), "a_time_ns": leaf("text")}),
    }
    return leaf(
        "featuresDict",
        features={
            "steps": leaf("sequence", length="-1", feature=leaf("featuresDict", features=steps)),
            "episode_metadata": leaf("featuresDict", features={"path": leaf("text")}),
        },
    )


def dataset_info_json() -> dict[str, object]:
    """Make a dataset_info.json with two splits."""
    return {
        "name": "toy",
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": "train",
                "numBytes": "12",
                "shardLengths": ["1", 2],
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            },
            {"name": "val", "filepathTemplate": "{SPLIT}/{SHARD_INDEX}-{NUM_SHARDS}"},
        ],
    }
