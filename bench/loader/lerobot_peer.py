"""LeRobot's side of the proof that both read what the other writes; runs in LeRobot's environment.

    read FOLDER OUT.npz DELTAS                       each item, as LeRobot gives it
    write FOLDER CODEC FILES                         pictures that tell their numbers
    rate                                             shuffled batches of 32, as lines of input ask

Called by bench/lerobot_proof.py and bench/lerobot_loading.py. FILES is "one" for all episodes in a
file, or "each". It uses nothing of RoboCache.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

try:
    from lerobot.datasets import LeRobotDataset
except ImportError:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

HEIGHT, WIDTH, BLOCK = 96, 128, 32
LENGTHS = (7, 12, 5, 9, 20)
FPS = 10
LIMITS = ("data_files_size_in_mb", "video_files_size_in_mb")


def picture(number: int) -> Any:
    """A white block for each bit of the number, the first in the corner."""
    bits = np.array([number >> bit & 1 for bit in range(12)], np.uint8) * 255
    blocks = bits.reshape(HEIGHT // BLOCK, WIDTH // BLOCK)
    return np.kron(blocks, np.ones((BLOCK, BLOCK), np.uint8))[..., None].repeat(3, -1)


def read(folder: str, out: str, deltas: str) -> None:
    dataset = LeRobotDataset("local/set", root=folder, delta_timestamps=json.loads(deltas))
    items: dict[str, list[Any]] = {}
    for i in range(len(dataset)):
        for key, value in dataset[i].items():
            items.setdefault(key, []).append(value if isinstance(value, str) else value.numpy())
    stats = {f"stats/{k}/{s}": v for k, each in dataset.meta.stats.items() for s, v in each.items()}
    np.savez(out, **{key: np.stack(value) for key, value in items.items()}, **stats)


def write(folder: str, codec: str, files: str) -> None:
    features = {
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "z"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["a", "b"]},
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
        "observation.images.top": {
            "dtype": "video",
            "shape": (HEIGHT, WIDTH, 3),
            "names": ["height", "width", "channels"],
        },
        "observation.images.side": {
            "dtype": "image",
            "shape": (HEIGHT, WIDTH, 3),
            "names": ["height", "width", "channels"],
        },
    }
    options: dict[str, Any] = {}
    if codec != "av1":
        try:
            from lerobot.configs import RGBEncoderConfig

            options["rgb_encoder"] = RGBEncoderConfig(vcodec=codec, g=6)
        except ImportError:
            options["vcodec"] = codec
    dataset = LeRobotDataset.create(
        "local/set", fps=FPS, features=features, root=folder, use_videos=True, **options
    )
    if files == "each":
        for key in LIMITS:
            if isinstance(dataset.meta.info, dict):
                dataset.meta.info[key] = 0
            else:
                setattr(dataset.meta.info, key, 0)
    number = 0
    for episode, length in enumerate(LENGTHS):
        for k in range(length):
            dataset.add_frame(
                {
                    "observation.state": np.array([episode, k, number], np.float32),
                    "action": np.array([-k, number / 7], np.float32),
                    "next.reward": np.array([k / 3], np.float32),
                    "observation.images.top": picture(number),
                    "observation.images.side": picture(number + 2000),
                    "task": ("pick", "place")[episode % 2],
                }
            )
            number += 1
        dataset.save_episode()
    dataset.finalize()
    path = Path(folder, "meta/info.json")  # LeRobot does not read limits of 0 again
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, **dict.fromkeys(LIMITS, 100)}))


def rate(asked: dict[str, Any], dataset: LeRobotDataset) -> dict[str, float]:
    """Returns frames, and the seconds that they took after the first batch."""
    camera = dataset.meta.camera_keys[0]
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=32, shuffle=True, num_workers=asked["workers"]
    )
    frames, first, begin = 0, 0, 0.0
    for number, batch in enumerate(loader):
        now = time.monotonic()
        frames += len(batch["index"]) * len(asked["deltas"][camera])
        if number == 0:
            begin, first = now, frames
        elif now - begin > asked["seconds"] and number >= asked["batches"]:
            break
    return {"frames": frames - first, "wall_s": now - begin}


def answer() -> None:
    """Answers each line of the input, what to measure, with a line."""
    datasets: dict[tuple[str, ...], LeRobotDataset] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        key = (asked["folder"], asked["backend"], asked["dtype"])
        if key not in datasets:
            datasets[key] = LeRobotDataset(
                "local/set",
                root=asked["folder"],
                delta_timestamps=asked["deltas"],
                video_backend=asked["backend"],
                return_uint8=asked["dtype"] == "uint8",
            )
        print("found", json.dumps(rate(asked, datasets[key])), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(*sys.argv[2:5])
    elif sys.argv[1] == "rate":
        answer()
    else:
        write(*sys.argv[2:5])
