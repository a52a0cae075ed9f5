"""Makes an RLDS dataset of any size from one shard: the other shards are links to it.

    python bench/synthetic.py OUT --episodes 1000000 --shards 1000 --steps 40
    python bench/synthetic.py OUT --episodes 20000 --shards 100 --steps 40 --image-side 256

The first is a catalog of a million episodes whose files take little room; the second passes for 50
gigabytes and takes half a gigabyte. Sixteen distinct episodes are repeated within the shard.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import jpeg_frames
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.python.wire_bytes import field, record

DISTINCT = 16
TASKS = ["open the drawer", "close the drawer", "pick up the cup", "put the cup on the shelf"]


def entry(name: str, kind: int, values: bytes) -> bytes:
    """One feature of the Example: kind 1 bytes_list, 2 float_list, 3 int64_list."""
    return field(1, field(1, name.encode()) + field(2, field(kind, values)))


def floats(rng: np.random.Generator, count: int) -> bytes:
    return field(1, rng.standard_normal(count).astype("<f4").tobytes())


def picture(rng: np.random.Generator, side: int) -> bytes:
    return jpeg_frames.scene(rng, side, side // 8, quality=90)


def episode(number: int, steps: int, side: int) -> bytes:
    rng = np.random.default_rng(number)
    flags = bytes([1]) + bytes(steps - 1)
    task = TASKS[number % len(TASKS)].encode()
    features = [
        entry("steps/action", 2, floats(rng, 7 * steps)),
        entry("steps/observation/state", 2, floats(rng, 7 * steps)),
        entry("steps/is_first", 3, field(1, flags)),
        entry("steps/language_instruction", 1, field(1, task) * steps),
    ]
    if side > 0:
        images = b"".join(field(1, picture(rng, side)) for _ in range(steps))
        features.append(entry("steps/observation/image", 1, images))
    return record(field(1, b"".join(features)))


def tensor(shape: list[int], dtype: str) -> dict[str, object]:
    return {
        "pythonClassName": "tensorflow_datasets.core.features.tensor_feature.Tensor",
        "tensor": {"shape": {"dimensions": [str(n) for n in shape]}, "dtype": dtype},
    }


def features_of(side: int) -> dict[str, object]:
    observation: dict[str, object] = {"state": tensor([7], "float32")}
    if side > 0:
        observation["image"] = {
            "pythonClassName": "tensorflow_datasets.core.features.image_feature.Image",
            "image": {
                "shape": {"dimensions": [str(side), str(side), "3"]},
                "dtype": "uint8",
                "encodingFormat": "jpeg",
            },
        }
    step = {
        "action": tensor([7], "float32"),
        "is_first": tensor([], "bool"),
        "language_instruction": {
            "pythonClassName": "tensorflow_datasets.core.features.text_feature.Text",
            "text": {},
        },
        "observation": folder(observation),
    }
    steps = {
        "pythonClassName": "tensorflow_datasets.core.features.dataset_feature.Dataset",
        "sequence": {"feature": folder(step), "length": "-1"},
    }
    return folder({"steps": steps})


def folder(features: dict[str, object]) -> dict[str, object]:
    return {
        "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }


def make(out: Path, episodes: int, shards: int, steps: int, side: int) -> None:
    if episodes % shards != 0:
        raise SystemExit(f"{episodes} episodes do not divide evenly into {shards} shards")
    out.mkdir(parents=True, exist_ok=True)
    records = [episode(number, steps, side) for number in range(DISTINCT)]
    first = out / f"synthetic-train.tfrecord-00000-of-{shards:05d}"
    with first.open("wb") as file:
        for number in range(episodes // shards):
            file.write(records[number % DISTINCT])
    for shard in range(1, shards):
        link = out / f"synthetic-train.tfrecord-{shard:05d}-of-{shards:05d}"
        link.unlink(missing_ok=True)
        link.symlink_to(first.name)
    info = {
        "name": "synthetic",
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": "train",
                "numBytes": str(first.stat().st_size * shards),
                "shardLengths": [str(episodes // shards)] * shards,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        ],
    }
    (out / "dataset_info.json").write_text(json.dumps(info))
    (out / "features.json").write_text(json.dumps(features_of(side)))
    size = first.stat().st_size
    print(f"{out}: {episodes} episodes, {size * shards / 1e9:.1f} GB, {size / 1e6:.1f} MB on disk")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--episodes", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--image-side", type=int, default=0, help="0: no images")
    arguments = parser.parse_args()
    make(
        Path(os.path.abspath(arguments.out)),
        arguments.episodes,
        arguments.shards,
        arguments.steps,
        arguments.image_side,
    )


if __name__ == "__main__":
    main()
