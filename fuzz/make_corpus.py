"""Writes the seed inputs of the fuzz targets: small, made up, one for each way of storing samples.

Those of the targets "jpeg", "jxl" and "video" are not among them: they are by encoders.

Usage: python -m fuzz.make_corpus [FOLDER]    (default: the folder `corpus` beside this file)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fuzz.seeds.catalogs import changes, kept_statistics, metadata
from fuzz.seeds.files import mp4s, npys, packings, parquets, pngs, wholes, zips
from fuzz.seeds.layouts import arrays, blobs, layouts, tracks
from fuzz.seeds.rlds import (
    dataset_info_json,
    dlimp_example,
    features_json,
    full_example,
    odd_examples,
)
from tests.python.wire_bytes import record, varint


def main() -> None:
    """Write all inputs."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "corpus"
    inputs: dict[str, bytes] = {}
    for steps in (0, 1, 4):
        inputs[f"example/steps_{steps}"] = b"\0" + full_example(steps)
    for name, payload in odd_examples().items():
        inputs[f"example/{name}"] = b"\0" + payload
    inputs["example/dlimp"] = b"\1" + dlimp_example()
    file = record(full_example(1)) + record(b"") + record(full_example(2))
    inputs["example/file"] = b"\2" + file
    inputs["example/file_cut"] = b"\2" + file[:-9]
    # streams are in the order of their names
    for name, payload in layouts(text=9, floats=4, integers=7).items():
        body = bytes(range(64))
        inputs[f"example/layout_{name}"] = b"\3" + bytes([len(payload)]) + payload + body
    for name, payload in layouts(text=0, floats=2, integers=3).items():
        inputs[f"layout/{name}"] = payload
    for name, payload in arrays().items():
        inputs[f"array/{name}"] = b"\x12" + payload
        # as an object it has a packing of its own, shuffle and zlib, with number 0
        chain = varint(2) + varint(12) + varint(4) + varint(2) + varint(0)
        inputs[f"objects/{name}"] = chain + payload[:3] + b"\0" + payload[4:]
    inputs["features/features"] = json.dumps(features_json()).encode()
    inputs["features/empty"] = b'{"featuresDict":{}}'
    inputs["dataset_info/info"] = json.dumps(dataset_info_json()).encode()
    inputs["dataset_info/empty"] = b"{}"
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 123456\n"
    inputs["foreign/lfs"] = b"\x7f" + lfs
    inputs["foreign/page"] = b"\xff" + b"  <!DOCTYPE html><html>"
    inputs["foreign/gzip"] = b"\x20" + b"\x1f\x8b\x08\x00"
    inputs["foreign/text"] = b"\xff" + b"Not Found"
    inputs["summary/stamped"] = b"\x05\x80\x90\xab\x0c\x14\x09\x02\x08"
    inputs["summary/longest"] = b"\x7f" + b"\xff" * 9 + b"\x01" + b"\xff" * 9 + b"\x01"
    inputs["records/bgr8"] = b"\1\2\x92" + bytes(range(2 * (6 + 2)))  # rows of two, padded
    inputs["records/big_mono16"] = b"\1\x95\x12" + bytes(range(8))
    inputs["records/points"] = b"\0\3\4" + bytes([0, 0, 0, 4, 0, 0, 8, 0, 1]) + bytes(range(64))
    for target, made in (
        ("blobs", blobs()),
        ("mp4", mp4s()),
        ("npy", npys()),
        ("metadata", metadata()),
        ("track", tracks()),
        ("statistics", kept_statistics()),
        ("png", pngs()),
        ("packing", packings()),
        ("parquet", parquets()),
        ("whole", wholes()),
        ("zip", zips()),
        ("catalog", changes()),
    ):
        for name, payload in made.items():
            inputs[f"{target}/{name}"] = payload
    for name, content in inputs.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
