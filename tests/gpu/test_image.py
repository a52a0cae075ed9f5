"""rc.Image on a device gives the bits of the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robocache as rc

CHAINS: dict[str, dict[str, Any]] = {
    "resized": {"size": (224, 224)},
    "bicubic": {"size": (96, 130), "filter": "bicubic"},
    "nearest": {"size": (50, 61), "filter": "nearest"},
    "cut": {"crop": ("random", (31, 45))},
    "training": {
        "size": (224, 224),
        "crop": ("random", (0.5, 1.0)),
        "aspect": (0.7, 1.4),
        "flip": 0.5,
        "brightness": 0.3,
        "contrast": 0.4,
        "saturation": 0.5,
        "hue": 0.1,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "dtype": "bfloat16",
        "channels": "first",
    },
    "turned": {
        "size": (40, 33),
        "orient": "rotate_90",
        "dtype": "float16",
        "crop": ("center", 0.7),
    },
    "columns first": {"size": (20, 90)},
}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("shape", [(5, 120, 97, 3), (2, 480, 640, 3), (1, 3, 5, 3)])
def test_chains(chain: str, shape: tuple[int, ...]) -> None:
    if chain == "cut" and shape[1] < 31:
        pytest.skip("the crop does not lie in the image")
    image = rc.Image(**CHAINS[chain])
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))
    keys = list(range(shape[0]))
    wanted = image(pixels, key=keys)
    found = image(pixels.cuda(), key=keys)
    assert found.is_cuda
    assert torch.equal(found.cpu(), wanted)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels(channels: int) -> None:
    image = rc.Image(size=(64, 48), crop=("random", 0.8), contrast=0.5, flip=0.5)
    shape = (7, 81, 90, channels)
    pixels = torch.from_numpy(np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8))
    found = image(pixels.cuda(), key=range(7))
    assert torch.equal(found.cpu(), image(pixels, key=range(7)))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_depth(dtype: str) -> None:
    image = rc.Image(size=(60, 44), crop=("random", 0.6), flip=0.5, orient="transpose")
    depth = torch.from_numpy(
        np.random.default_rng(3).integers(0, 2**16, (6, 90, 70, 1)).astype(dtype)
    )
    found = image(depth.cuda(), key=range(6))
    assert torch.equal(found.cpu(), image(depth, key=range(6)))


def test_random_chains() -> None:
    rng = np.random.default_rng(4)
    for trial in range(300):
        height, width = (int(side) for side in rng.integers(1, 200, 2))
        shape = (int(rng.integers(1, 5)), height, width, 3)
        image = rc.Image(
            size=tuple(int(side) for side in rng.integers(1, 150, 2)),
            crop=("random", (float(rng.uniform(0.05, 0.9)), 1.0)),
            filter=str(rng.choice(["bilinear", "bicubic", "nearest"])),
            flip=0.5,
            brightness=float(rng.uniform(0, 1)),
            contrast=float(rng.choice([0.0, 0.8])),
            saturation=float(rng.uniform(0, 1)),
            hue=float(rng.choice([0.0, 0.5])),
            dtype=str(rng.choice(["uint8", "float32", "bfloat16"])),
            channels=str(rng.choice(["first", "last"])),
        )
        pixels = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
        keys = [trial * 10 + i for i in range(shape[0])]
        assert torch.equal(image(pixels.cuda(), key=keys).cpu(), image(pixels, key=keys)), trial


def test_a_captured_call_makes_what_its_input_holds() -> None:
    image = rc.Image(size=(64, 64), contrast=0.5, dtype="float32")
    pixels = torch.randint(0, 256, (4, 80, 90, 3), dtype=torch.uint8, device="cuda")
    image(pixels, key=7)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = image(pixels, key=7)
    for _ in range(3):
        pixels.copy_(torch.randint(0, 256, (4, 80, 90, 3), dtype=torch.uint8))
        graph.replay()
        assert torch.equal(made.cpu(), image(pixels.cpu(), key=7))
