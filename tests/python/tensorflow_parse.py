"""Parses TFRecords with TensorFlow: python tensorflow_parse.py DATASET OUTPUT SHARD...

Writes one OUTPUT/NNNNN.npz a record: every stream of the steps by name with the dtype and shape
that features.json declares, images decoded, and the metadata as JSON under "metadata:".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def leaves(node, prefix=""):
    """Yields (name, leaf) of a features.json."""
    if "featuresDict" in node:
        for key, child in node["featuresDict"]["features"].items():
            yield from leaves(child, f"{prefix}{key}/")
    elif "sequence" in node:
        yield from leaves(node["sequence"]["feature"], prefix)
    else:
        yield prefix.rstrip("/"), node


def parse(leaf, feature):
    """Returns the stream's values, [T, ...]."""
    if "image" in leaf:
        return np.stack([tf.io.decode_image(item).numpy() for item in feature.bytes_list.value])
    if "text" in leaf or leaf.get("tensor", {}).get("dtype") == "string":
        return np.array(feature.bytes_list.value, object).astype("S")
    dtype = leaf["tensor"]["dtype"]
    shape = [int(d) for d in leaf["tensor"].get("shape", {}).get("dimensions", [])]
    flat = feature.float_list.value if dtype.startswith("float") else feature.int64_list.value
    return np.array(flat, dtype).reshape(-1, *shape)


def plain(leaf, feature):
    """Returns one metadata value as JSON holds it."""
    values = parse(leaf, feature).reshape(-1).tolist()
    value = values[0] if len(values) == 1 else values
    return value.decode() if isinstance(value, bytes) else value


def main(dataset, output, *shards):
    """Writes what the module's docstring says."""
    schema = dict(leaves(json.loads((Path(dataset) / "features.json").read_text())))
    number = 0
    for shard in shards:
        for record in tf.data.TFRecordDataset(str(Path(dataset) / shard)):
            example = tf.train.Example.FromString(record.numpy())
            features = example.features.feature
            arrays, metadata = {}, {}
            for name, leaf in schema.items():
                if name.startswith("steps/"):
                    arrays[name.removeprefix("steps/")] = parse(leaf, features[name])
                elif name in features:
                    metadata[name.removeprefix("episode_metadata/")] = plain(leaf, features[name])
            arrays["metadata:"] = np.array(json.dumps(metadata))
            np.savez(Path(output) / f"{number:05}.npz", **arrays)
            number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
