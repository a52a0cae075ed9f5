"""Runs the parsers of strangers' files that are Python on mutated inputs.

What they read is a value, or one of robocache's errors; anything else that is raised is a fault,
and ends the run with the input and its traceback. Prints how many inputs ran, and adds a row to
--json, as tools/fuzz.sh does for the targets in C.

    python fuzz/parsers.py TARGET [--runs 10000000] [--seed 0] [--json FILE]

Targets: zarr (`.zarray` and `zarr.json`), calvin_ids (`ep_start_end_ids.npy`), calvin_pickle
(`auto_lang_ann.npy`), told (what a catalog keeps of the parts of HDF5 files).
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc
from robocache._told import Told, read_told, remembered
from robocache.formats.calvin import parse_spans
from robocache.formats.calvin.language import parse_annotations
from robocache.formats.hdf5 import layouts
from robocache.formats.zarr.metadata import read_array
from robocache.formats.zarr.store import Store

NUMBERS = (0, 1, -1, 2, 31, 255, 2**31 - 1, 2**32, 2**62, 2**63 - 1, 2**64, -(2**63), 1e308, 0.5)
TEXTS = ("", "C", "F", "bytes", "zstd", "\0", "é", "NaN", "-Infinity", "0x7fc00000", ">f4", "|b1")

Parser = Callable[[bytes], object]


# ---- the parsers --------------------------------------------------------------------------------


class One(Store):
    """A store of one object, under each key that ends so."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.data = b""

    def what(self, key: str) -> str:
        """Returns the key."""
        return key

    def read(self, key: str, max_bytes: int) -> bytes | None:
        """Returns the object."""
        return self.data if key.endswith(self._name) else None


_STORES = [One(".zarray"), One("zarr.json")]


def parse_zarr(data: bytes) -> object:
    """Reads the metadata of an array, of the version that it seems to be of."""
    store = _STORES[b"zarr_format" in data and b'"node_type"' in data]
    store.data = data
    return read_array(store, "a")


class Catalog:
    """A catalog of one part, of three episodes, which told something."""

    def __init__(self, text: str) -> None:
        self._text = text

    def told(self, index: int) -> tuple[str, str, int] | None:
        """Returns what the part told."""
        return (self._text, "part", 0) if index == 0 else None

    def info(self) -> dict[str, Any]:
        """Returns what is said of the catalog."""
        return {"num_episodes": 3, "catalog_path": "catalog"}


def parse_told(data: bytes) -> object:
    """Reads what an HDF5 file told a catalog: plan, notes and splits."""
    text = data.decode("utf-8", "backslashreplace")
    found = remembered(text) or {}
    plan = layouts.Plan.from_json(found.get("plan"))
    return plan, read_told(Catalog(text), Told([], "mask"))  # type: ignore[arg-type]


PARSERS: dict[str, Parser] = {
    "zarr": parse_zarr,
    "calvin_ids": lambda data: parse_spans(data, "ids"),
    "calvin_pickle": lambda data: parse_annotations(data, "annotations"),
    "told": parse_told,
}


# ---- seeds --------------------------------------------------------------------------------------


def zarr_seeds() -> list[bytes]:
    """Returns metadata of both versions, sharded and of images."""
    v2 = {
        "zarr_format": 2,
        "shape": [100, 96, 96, 3],
        "chunks": [10, 96, 96, 3],
        "dtype": "<f4",
        "order": "C",
        "fill_value": 0.0,
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
        "filters": [{"id": "shuffle", "elementsize": 4}],
        "dimension_separator": ".",
    }
    chain = [
        {"name": "transpose", "configuration": {"order": [1, 0]}},
        {"name": "bytes", "configuration": {"endian": "big"}},
        {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
    ]
    v3: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [100, 8],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [20, 8]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN",
        "codecs": chain,
    }
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    options = {"chunk_shape": [5, 4], "codecs": chain, "index_codecs": index}
    sharded = {**v3, "codecs": [{"name": "sharding_indexed", "configuration": options}]}
    image = {**v2, "dtype": "|u1", "compressor": {"id": "imagecodecs_jpegxl"}, "filters": None}
    return [json.dumps(each).encode() for each in (v2, image, v3, sharded)]


def npy(array: Any) -> bytes:
    """Returns a NumPy file."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def pickle_seeds() -> list[bytes]:
    """Returns annotations in every protocol that NumPy writes."""
    said = {
        "language": {"ann": ["push it", "é"], "task": ["a", "b"], "emb": np.zeros((2, 1, 3), "f4")},
        "info": {"indx": [(1, 5), (np.int64(7), 9)], "episodes": []},
    }
    arrays = {
        "language": {"ann": np.array(["x", "y"], object)},
        "info": {"indx": np.array([[1, 5], [7, 9]])},
    }
    empty = {
        "language": {"ann": [], "task": []},
        "info": {"indx": np.zeros((0, 2), ">i4"), "episodes": np.zeros((2, 0))},
    }
    header = npy(np.array(None, object))
    header = header[: header.index(b"\n") + 1]
    wrapped = [np.array(each, object).reshape(()) for each in (said, arrays, empty)]
    return [header + pickle.dumps(each, p) for each in wrapped for p in (2, 3, 4, 5)]


def told_seeds() -> list[bytes]:
    """Returns what the part of an HDF5 file tells."""
    leaf = layouts.Leaf("obs/image", "obs/image", "image", "|u1", (8, 8, 3), None, None, {"a": 1})
    plan = layouts.Plan(
        "numbered groups", "/data", "demo_", "actions", (leaf,), ("x",), 20.0, ("a note",), True
    )
    told = {"notes": ["a"], "splits": {"train": [[0, 3]]}, "remembered": {"plan": plan.to_json()}}
    return [json.dumps(told).encode()]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "zarr": zarr_seeds,
    "calvin_ids": lambda: [npy(np.arange(8).reshape(4, 2)), npy(np.zeros((3, 2), ">i4"))],
    "calvin_pickle": pickle_seeds,
    "told": told_seeds,
}


# ---- mutations ----------------------------------------------------------------------------------


def change_json(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """Returns a value with one of its members, at any depth, changed or left out."""
    if depth > 0 and rng.random() < 0.3:
        kind = rng.randrange(6)
        if kind < 2:
            return rng.choice(NUMBERS)
        if kind < 4:
            return rng.choice(TEXTS)
        return rng.choice((None, True, [], {}, [value], {"name": value}, [[[[]]]]))
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: change_json(value[key], rng, depth + 1)}
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:at] + value[at : at + 1] * rng.randrange(3) + value[at + 1 :]
        return [*value[:at], change_json(value[at], rng, depth + 1), *value[at + 1 :]]
    return rng.choice((*NUMBERS, *TEXTS))


def change_bytes(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Returns the bytes cut off, changed, or put together with another input's."""
    kind = rng.randrange(8)
    if kind == 0:
        return data[: rng.randrange(len(data) + 1)]
    if kind == 1:
        return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        if kind < 5:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 5:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice((0, 1, 255, 2**31, 2**32 - 1, 2**63, 2**64 - 1)) % 256**size
            changed[at : at + size] = number.to_bytes(size, "little")
        elif kind == 6:
            del changed[at : at + rng.randrange(1, 9)]
        else:
            begin = rng.randrange(len(data))
            changed[at:at] = data[begin : begin + rng.randrange(1, 17)]
    return bytes(changed)


def mutate(seeds: list[bytes], rng: random.Random) -> bytes:
    """Returns one of the seeds, changed."""
    data = rng.choice(seeds)
    if data[:1] == b"{" and rng.random() < 0.7:
        value = json.loads(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            value = change_json(value, rng)
        return json.dumps(value).encode()
    return change_bytes(data, rng.choice(seeds), rng)


def run(target: str, runs: int, seed: int) -> dict[str, int]:
    """Runs so many inputs; returns how many were read and how many refused."""
    parse, seeds, rng = PARSERS[target], SEEDS[target](), random.Random(seed)
    for each in seeds:
        parse(each)
    warnings.simplefilter("ignore")  # of NumPy, over headers
    counts = {"read": 0, "refused": 0}
    for _ in range(runs):
        data = mutate(seeds, rng)
        try:
            parse(data)
            counts["read"] += 1
        except (rc.errors.FormatError, rc.errors.UnsupportedError):
            counts["refused"] += 1
        except BaseException:
            print(f"{target}: {data!r}", file=sys.stderr)
            raise
    return counts


def main() -> None:
    """Prints what ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=PARSERS)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    commit = subprocess.run(
        ["git", "show", "-s", "--format=%H %cs"], capture_output=True, text=True, check=True
    ).stdout.split()
    began = time.monotonic()
    counts = run(arguments.target, arguments.runs, arguments.seed)
    row = {
        "target": f"parsers.py {arguments.target}",
        "runs": arguments.runs,
        "seconds": round(time.monotonic() - began),
        "findings": 0,
        **counts,
        "seed": arguments.seed,
        "commit": commit[0][:12],
        "commit_date": commit[1],
        "python": sys.version.split()[0],
    }
    print(json.dumps(row))
    if arguments.json:
        rows = [*json.loads(arguments.json.read_text())["rows"], row]
        lines = ",\n".join("  " + json.dumps(each) for each in rows)
        arguments.json.write_text('{\n "rows": [\n' + lines + "\n ]\n}\n")


if __name__ == "__main__":
    main()
