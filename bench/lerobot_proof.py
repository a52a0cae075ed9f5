"""Proves that LeRobot reads what RoboCache writes, and RoboCache what LeRobot writes.

    python bench/lerobot_proof.py OUT.json PYTHON...

Each PYTHON is the interpreter of an environment with another version of LeRobot. A picture tells
its number, and every value is compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import robocache as rc

PEER = Path(__file__).parent / "loader/lerobot_peer.py"
HEIGHT, WIDTH, BLOCK = 96, 128, 32
LENGTHS = (7, 12, 5, 9, 20)
FPS = 10
CODECS = ("av1", "h264", "hevc")
TOP, SIDE = "observation.images.top", "observation.images.side"
DELTAS = {TOP: [-0.1, 0.0], "observation.state": [-0.2, 0.0], "action": [0.0, 0.1, 0.5]}
FEATURES: dict[str, dict[str, Any]] = {
    "observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "z"]},
    "action": {"dtype": "float32", "shape": (2,), "names": ["a", "b"]},
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    TOP: {"dtype": "video", "shape": (HEIGHT, WIDTH, 3)},
    SIDE: {"dtype": "image", "shape": (HEIGHT, WIDTH, 3)},
}


def picture(number: int) -> Any:
    bits = np.array([number >> bit & 1 for bit in range(12)], np.uint8) * 255
    blocks = bits.reshape(HEIGHT // BLOCK, WIDTH // BLOCK)
    return np.kron(blocks, np.ones((BLOCK, BLOCK), np.uint8))[..., None].repeat(3, -1)


def numbers_of(green: Any) -> Any:
    """Returns the numbers of pictures by their green channel [..., H, W], from 0 to 1."""
    shape = green.shape[:-2]
    blocks = green.reshape(*shape, HEIGHT // BLOCK, BLOCK, WIDTH // BLOCK, BLOCK)
    bits = blocks.mean((-3, -1)).reshape(*shape, 12) > 0.5
    return (bits << np.arange(12)).sum(-1)


def wanted(episode: int, first: int) -> dict[str, Any]:
    """Returns the columns of an episode whose first frame has a number."""
    frames = np.arange(LENGTHS[episode])
    numbers = first + frames
    state = np.stack([np.full(len(frames), episode), frames, numbers], 1)
    return {
        "observation.state": state.astype(np.float32),
        "action": np.stack([-frames, numbers / 7], 1).astype(np.float32),
        "next.reward": (frames / 3).astype(np.float32),
    }


def run(python: str, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, *arguments],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-4000:])
    return done.stdout


def version_of(python: str) -> str:
    code = "import importlib.metadata as m; print(m.version('lerobot'))"
    return run(python, "-c", code).strip()


def prove_written_by_lerobot(python: str, folder: Path, codec: str, files: str) -> int:
    """Returns how many frames LeRobot wrote and RoboCache read as they were."""
    run(python, str(PEER), "write", str(folder), codec, files)
    dataset = rc.open(folder, progress=False)
    assert len(dataset) == len(LENGTHS)
    videos = list(folder.glob(f"videos/{TOP}/*/*.mp4"))
    assert len(videos) == (len(LENGTHS) if files == "each" else 1), videos
    first = 0
    for episode in dataset:
        for name, values in wanted(episode.index, first).items():
            np.testing.assert_array_equal(episode[name].values, values, strict=True)
        numbers = first + np.arange(episode.num_steps)
        for name, shift in ((TOP, 0), (SIDE, 2000)):
            found = numbers_of(episode[name].values[..., 1] / 255)
            np.testing.assert_array_equal(found, numbers + shift)
        assert episode.task == ("pick", "place")[episode.index % 2]
        first += episode.num_steps
    return first


def prove_read_by_lerobot(python: str, folder: Path, codec: str, files: str) -> int:
    """Returns how many frames RoboCache wrote and LeRobot read as they were."""
    limits = {"data_file_bytes": 1, "video_file_bytes": 1} if files == "each" else {}
    options = {"tune": "zerolatency"} if codec == "h264" and files == "each" else None
    columns = []
    with rc.LeRobotWriter(
        folder, FEATURES, fps=FPS, codec=codec, options=options, **limits
    ) as writer:
        for episode, length in enumerate(LENGTHS):
            first = sum(LENGTHS[:episode])
            columns.append(wanted(episode, first))
            pictures = [picture(number) for number in range(first, first + length)]
            shifted = [picture(number + 2000) for number in range(first, first + length)]
            steps = {**columns[-1], TOP: pictures, SIDE: shifted}
            writer.add_episode(steps, ("pick", "place")[episode % 2])
    out = folder.with_suffix(".npz")
    run(python, str(PEER), "read", str(folder), str(out), "null")
    items = np.load(out)
    for name in columns[0]:
        values = np.concatenate([each[name] for each in columns])
        np.testing.assert_array_equal(items[name], values, strict=True)
    numbers = np.arange(sum(LENGTHS))
    np.testing.assert_array_equal(numbers_of(items[TOP][:, 1]), numbers)
    np.testing.assert_array_equal(numbers_of(items[SIDE][:, 1]), numbers + 2000)
    np.testing.assert_array_equal(items["index"], numbers)
    tasks = [("pick", "place")[e % 2] for e, n in enumerate(LENGTHS) for _ in range(n)]
    assert items["task"].tolist() == tasks
    assert items["stats/action/mean"].shape == (2,)
    return len(numbers)


def prove_same_items(python: str, folder: Path) -> int:
    """Returns how many items of LeRobot's class are those of ours, windows and all."""
    out = folder.with_suffix(".items.npz")
    run(python, str(PEER), "read", str(folder), str(out), json.dumps(DELTAS))
    theirs = np.load(out)
    ours = rc.datasets.LeRobotDataset(folder, delta_timestamps=DELTAS)
    keys = [key for key in theirs if not key.startswith("stats/")]
    for i, item in enumerate(ours):
        assert sorted(item) == sorted(keys)
        for key in keys:
            if key == "task":
                assert item[key] == theirs[key][i]
            elif key == TOP:  # decoded and made RGB by other libraries
                assert np.abs(item[key].numpy() - theirs[key][i]).max() < 4 / 255
            else:
                np.testing.assert_array_equal(item[key].numpy(), theirs[key][i], strict=True)
    assert ours.meta.check_stats() == []
    return len(ours)


def prove(python: str, folder: Path) -> dict[str, Any]:
    """Returns which frames went which way; raises where one is not as it was."""
    found: dict[str, Any] = {"lerobot": version_of(python), "cases": []}
    for codec, files in [*((codec, "one") for codec in CODECS), ("h264", "each")]:
        name = f"{codec}_{files}"
        found["cases"].append(
            {
                "codec": codec,
                "files": files,
                "written_by_lerobot": prove_written_by_lerobot(
                    python, folder / f"theirs_{name}", codec, files
                ),
                # of HEVC that it wrote LeRobot itself finds wrong frames in windows, and says so
                "same_items": None
                if codec == "hevc"
                else prove_same_items(python, folder / f"theirs_{name}"),
                "read_by_lerobot": prove_read_by_lerobot(
                    python, folder / f"ours_{name}", codec, files
                ),
            }
        )
    return found


def main() -> None:
    results = []
    for python in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as folder:
            results.append(prove(python, Path(folder)))
            print(results[-1])
    Path(sys.argv[1]).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
