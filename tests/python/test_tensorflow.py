"""TensorFlow's own parse of the same TFRecords is what we must deliver, for every step."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import robocache as rc

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)


def collect(folder: Path, output: Path, *shards: str) -> list[dict[str, np.ndarray]]:
    """Runs TensorFlow in its own process; returns the streams of every record of the shards."""
    script = Path(__file__).with_name("tensorflow_parse.py")
    subprocess.run(
        [sys.executable, str(script), str(folder), str(output), *shards],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        timeout=240,
    )
    return [dict(np.load(path)) for path in sorted(output.glob("*.npz"))]


def check_episode(episode: rc.Episode, wanted: dict[str, np.ndarray]) -> int:
    """Compares all streams with TensorFlow's; returns how many there were."""
    assert set(episode) == {name for name in wanted if not name.startswith("metadata:")}
    for name, stream in episode.items():
        values = wanted[name]
        if stream.info.kind == "text":
            assert stream.values == [text.decode() for text in values.tolist()], name
            continue
        got = stream.values
        assert got.dtype == values.dtype, name
        assert got.shape == values.shape, name
        np.testing.assert_array_equal(got, values, err_msg=name)
    return len(episode)


@pytest.mark.slow
def test_every_step_of_every_stream(bridge_copy, tmp_path):
    bridge = rc.open(bridge_copy, progress=False, jpeg_dct="fast")
    for split in ("train", "val"):
        output = tmp_path / split
        output.mkdir()
        shards = sorted(path.name for path in bridge_copy.glob(f"*-{split}.tfrecord-*"))
        parsed = collect(bridge_copy, output, *shards)
        episodes = bridge.split(split).episodes
        assert len(episodes) == len(parsed) == 25
        for episode, wanted in zip(episodes, parsed, strict=True):
            assert check_episode(episode, wanted) == 13
            metadata = json.loads(str(wanted["metadata:"]))
            found = {
                key.removeprefix("episode_metadata/"): value
                for key, value in episode.metadata.items()
            }
            assert {key: found.get(key) for key in metadata} == metadata


@pytest.mark.slow
def test_what_we_write_is_what_tensorflow_reads(tmp_path):
    rng = np.random.default_rng(0)
    features = {
        "action": rc.Feature("float32", (7,)),
        "observation/count": rc.Feature("int64"),
        "observation/flags": rc.Feature("bool", (2,)),
        "observation/bytes": rc.Feature("uint8", (3, 2)),
        "instruction": rc.Feature("str"),
        "observation/image": rc.Feature("uint8", (8, 9, 3), encoding="png"),
    }
    episodes = []
    with rc.RldsWriter(
        tmp_path, "toy", features, metadata={"file_path": rc.Feature("str")}
    ) as writer:
        for index, num_steps in enumerate((3, 1, 5)):
            steps = {
                "action": rng.normal(size=(num_steps, 7)).astype(np.float32),
                "observation/count": rng.integers(-(2**62), 2**62, num_steps),
                "observation/flags": rng.integers(0, 2, (num_steps, 2)).astype(bool),
                "observation/bytes": rng.integers(0, 256, (num_steps, 3, 2)).astype(np.uint8),
                "instruction": [f"take nuts, step {i}: ä" for i in range(num_steps)],
                "observation/image": list(
                    rng.integers(0, 256, (num_steps, 8, 9, 3)).astype(np.uint8)
                ),
            }
            writer.add_episode(steps, {"file_path": f"episode {index}"})
            episodes.append(steps)
    output = tmp_path / "parsed"
    output.mkdir()
    folder = tmp_path / "toy" / "1.0.0"
    shards = sorted(path.name for path in folder.glob("*.tfrecord-*"))
    parsed = collect(folder, output, *shards)
    dataset = rc.open(folder, progress=False, control_rate_hz=10)
    assert len(dataset) == len(parsed) == 3
    for episode, wanted, steps in zip(dataset.episodes, parsed, episodes, strict=True):
        assert check_episode(episode, wanted) == len(features)
        for name, values in steps.items():
            np.testing.assert_array_equal(np.array(episode[name].values), np.array(values))
