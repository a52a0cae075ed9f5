"""The tf.data pipeline that the loader is measured against.

The usual shape of an RLDS training pipeline (Octo, OpenVLA): shards interleaved, records parsed,
episodes chunked into windows, flattened, shuffled in a buffer, decoded, batched, prefetched. As
TFDS does, the parse takes every feature that features.json declares; ``--needed-only`` names just
the ones used, which hand-tuned pipelines do. Prints one JSON line with samples per second;
``--check FILE`` writes the windows of one pass in file order instead, for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

STATE_WINDOW = (-1, 0)
IMAGE_WINDOW = (-1, 0)
ACTION_WINDOW = tuple(range(16))
SHUFFLE_BUFFER = 10_000


def windows(length: tf.Tensor, offsets: tuple[int, ...]) -> tf.Tensor:
    """Indices [T, W] of each step's window, held at the episode's ends."""
    index = tf.range(length)[:, None] + tf.constant(offsets)[None, :]
    return tf.clip_by_value(index, 0, length - 1)


def declared_features(path: Path) -> dict[str, Any]:
    """Every feature of features.json as tf.train.Example holds it."""
    found: dict[str, Any] = {}

    def walk(node: dict[str, Any], key: str) -> None:
        if "featuresDict" in node:
            for name, child in node["featuresDict"]["features"].items():
                walk(child, f"{key}/{name}" if key else name)
        elif "sequence" in node:
            walk(node["sequence"]["feature"], key)
        elif "tensor" in node:
            is_float = node["tensor"]["dtype"].startswith("float")
            found[key] = tf.io.VarLenFeature(tf.float32 if is_float else tf.int64)
        else:
            found[key] = tf.io.VarLenFeature(tf.string)

    walk(json.loads((path / "features.json").read_text()), "")
    return found


def needed_features(images: bool) -> dict[str, Any]:
    """Only the features that the windows are made of."""
    keys: dict[str, Any] = {
        "steps/observation/state": tf.io.VarLenFeature(tf.float32),
        "steps/action": tf.io.VarLenFeature(tf.float32),
    }
    if images:
        keys["steps/observation/image_0"] = tf.io.VarLenFeature(tf.string)
    return keys


def episode(record: tf.Tensor, keys: dict[str, Any], images: bool) -> dict[str, tf.Tensor]:
    """The windows of all steps of one serialized episode."""
    parsed = tf.io.parse_single_example(record, keys)
    state = tf.reshape(tf.sparse.to_dense(parsed["steps/observation/state"]), [-1, 7])
    action = tf.reshape(tf.sparse.to_dense(parsed["steps/action"]), [-1, 7])
    length = tf.shape(state)[0]
    action_index = tf.range(length)[:, None] + tf.constant(ACTION_WINDOW)[None, :]
    result = {
        "state": tf.gather(state, windows(length, STATE_WINDOW)),
        "actions": tf.gather(action, windows(length, ACTION_WINDOW)),
        "actions_is_pad": action_index >= length,
    }
    if images:
        encoded = tf.sparse.to_dense(parsed["steps/observation/image_0"], default_value="")
        result["image"] = tf.gather(encoded, windows(length, IMAGE_WINDOW))
    return result


def decode(sample: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The sample with its JPEGs decoded."""
    sample = dict(sample)
    sample["image"] = tf.map_fn(
        lambda data: tf.ensure_shape(
            tf.io.decode_image(data, channels=3, expand_animations=False), [None, None, 3]
        ),
        sample["image"],
        fn_output_signature=tf.uint8,
    )
    return sample


def pipeline(
    files: list[str], keys: dict[str, Any], *, batch: int, threads: int, images: bool, shuffle: bool
) -> tf.data.Dataset:
    """The dataset of batches; endless and shuffled, or one pass in order."""
    shards = tf.data.Dataset.from_tensor_slices(files)

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        return episode(record, keys, images)

    if shuffle:
        shards = shards.repeat().shuffle(len(files))
        records = shards.interleave(
            tf.data.TFRecordDataset, cycle_length=2, num_parallel_calls=threads, deterministic=False
        )
        steps = records.map(parse, num_parallel_calls=threads, deterministic=False)
        samples = steps.unbatch().shuffle(SHUFFLE_BUFFER)
    else:
        samples = tf.data.TFRecordDataset(files).map(parse).unbatch()
    if images:
        samples = samples.map(decode, num_parallel_calls=threads, deterministic=not shuffle)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return samples.batch(batch).prefetch(tf.data.AUTOTUNE).with_options(options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="version folder of an RLDS dataset")
    parser.add_argument("--images", action="store_true")
    parser.add_argument("--needed-only", action="store_true")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--check", type=Path, help="write one ordered pass as .npz and stop")
    arguments = parser.parse_args()
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    files = sorted(str(file) for file in arguments.path.glob("*.tfrecord-*"))
    images = arguments.images
    keys = needed_features(images) if arguments.needed_only else declared_features(arguments.path)
    if arguments.check is not None:
        batches = list(
            pipeline(
                files, keys, batch=arguments.batch, threads=1, images=images, shuffle=False
            ).as_numpy_iterator()
        )
        np.savez(
            arguments.check, **{k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
        )
        return
    iterator = iter(
        pipeline(
            files,
            keys,
            batch=arguments.batch,
            threads=arguments.threads,
            images=images,
            shuffle=True,
        )
    )
    warm = time.perf_counter()
    while time.perf_counter() - warm < 2.0:
        next(iterator)
    samples = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < arguments.seconds:
        samples += int(next(iterator)["state"].shape[0])
    print(json.dumps({"program": "tf.data", "samples_per_s": samples / elapsed}))


if __name__ == "__main__":
    main()
