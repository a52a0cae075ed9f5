"""rc.Image against torchvision's v2 transforms, one thread each, in pairs, by processor time.

Usage: python bench/image.py [--pairs N] [--seconds S] [--json FILE]

Needs an environment of its own with torch and torchvision. Each chain goes image by image, as a
dataset's transform does; torchvision gets [C, H, W] in the memory format that it is quicker with.
Checked first: each step, with what is drawn fixed, gives the same within one level.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from host import spread
from loading import machine
from torchvision.transforms import v2

import robocache as rc

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SOURCES = {"256x256": (256, 256), "480x640": (480, 640), "720x1280": (720, 1280)}
SIZE = (224, 224)
IMAGES = 16


def pictures(height: int, width: int) -> np.ndarray:
    """Smooth pictures with edges and some noise, [IMAGES, height, width, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / rng.uniform(9, 60, (IMAGES, 3, 1, 1)) + y / rng.uniform(9, 60, (3, 1, 1)))
    blocks = rng.integers(-40, 40, (IMAGES, 3, height // 32 + 1, width // 32 + 1))
    blocks = blocks.repeat(32, 2).repeat(32, 3)[..., :height, :width]
    noise = rng.integers(-6, 7, (IMAGES, 3, height, width))
    pixels = np.clip(128 + 80 * waves + blocks + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def normalised() -> list[Any]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]


def chains() -> dict[str, tuple[rc.Image, Any]]:
    """Ours and theirs."""
    jitter = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
    ours = {"mean": MEAN, "std": STD, "channels": "first"}
    crop = {"crop": ("random", (0.8, 1.0)), "aspect": (0.9, 1.1), "flip": 0.5}
    cut = [
        v2.RandomResizedCrop(SIZE, scale=(0.8, 1.0), ratio=(0.9, 1.1), antialias=True),
        v2.RandomHorizontalFlip(0.5),
    ]
    return {
        "resize": (rc.Image(SIZE, channels="first"), v2.Resize(SIZE, antialias=True)),
        "resize, normalise": (
            rc.Image(SIZE, **ours),
            v2.Compose([v2.Resize(SIZE, antialias=True), *normalised()]),
        ),
        "crop, flip, normalise": (
            rc.Image(SIZE, **crop, **ours),
            v2.Compose([*cut, *normalised()]),
        ),
        "crop, flip, jitter, normalise": (
            rc.Image(SIZE, **crop, **jitter, **ours),
            v2.Compose([*cut, v2.ColorJitter(**jitter), *normalised()]),
        ),
        "crop, flip, jitter with hue, normalise": (
            rc.Image(SIZE, **crop, **jitter, hue=0.05, **ours),
            v2.Compose([*cut, v2.ColorJitter(**jitter, hue=0.05), *normalised()]),
        ),
    }


def check(pixels: np.ndarray) -> None:
    """Each step alone gives what theirs does, within one level: they truncate where we round."""
    functional = v2.functional
    steps: list[tuple[rc.Image, Callable[[Any], Any]]] = [
        (rc.Image(SIZE), lambda one: functional.resize(one, SIZE, antialias=True)),
        (rc.Image(flip=1.0), functional.horizontal_flip),
        (rc.Image(brightness=(1.1, 1.1)), lambda one: functional.adjust_brightness(one, 1.1)),
        (rc.Image(contrast=(0.8, 0.8)), lambda one: functional.adjust_contrast(one, 0.8)),
        (rc.Image(saturation=(1.2, 1.2)), lambda one: functional.adjust_saturation(one, 1.2)),
        (rc.Image(hue=(0.04, 0.04)), lambda one: functional.adjust_hue(one, 0.04)),
    ]
    for one in pixels:
        for image, theirs in steps:
            made = theirs(torch.from_numpy(one).permute(2, 0, 1)).permute(1, 2, 0).numpy()
            assert np.abs(image(one).astype(int) - made.astype(int)).max() <= 1, image
        image = rc.Image(mean=MEAN, std=STD, channels="first")
        made = v2.Compose(normalised())(torch.from_numpy(one).permute(2, 0, 1)).numpy()
        np.testing.assert_allclose(image(one), made, rtol=0, atol=1e-6)


def rate(run: Callable[[int], Any], seconds: float) -> float:
    """Images a second of processor time, which other work on the machine changes little."""
    done = 0
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        for i in range(IMAGES):
            run(i)
        done += IMAGES
    return done / (time.thread_time() - begin)


def compare(pixels: np.ndarray, ours: rc.Image, theirs: Any, options: Any) -> dict[str, Any]:
    own = [torch.from_numpy(one) for one in pixels]
    strided = [one.permute(2, 0, 1) for one in own]  # channels last in memory
    planar = [one.contiguous() for one in strided]
    keys = iter(range(1 << 60))

    def run_ours(i: int) -> Any:
        return ours(own[i], key=next(keys))

    quicker = max((planar, strided), key=lambda images: rate(lambda i: theirs(images[i]), 0.5))
    rate(run_ours, 0.2)
    pairs = [
        (rate(run_ours, options.seconds), rate(lambda i: theirs(quicker[i]), options.seconds))
        for _ in range(options.pairs)
    ]
    return {
        "robocache_images_per_s": spread([pair[0] for pair in pairs]),
        "torchvision_images_per_s": spread([pair[1] for pair in pairs]),
        "torchvision_memory": "planes" if quicker is planar else "channels last",
        "ratio": spread([pair[0] / pair[1] for pair in pairs]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rc.set_num_threads(1)
    rows = []
    for source, extent in SOURCES.items():
        pixels = pictures(*extent)
        check(pixels)
        print(f"{source}: each step is theirs, within a level")
        for name, (ours, theirs) in chains().items():
            row = {"source": source, "chain": name, **compare(pixels, ours, theirs, options)}
            rows.append(row)
            print(
                f"{source:9} {name:40} {row['robocache_images_per_s']['median']:8.0f} "
                f"{row['torchvision_images_per_s']['median']:8.0f} images/s  ratio "
                f"{row['ratio']['median']:.2f} ({row['ratio']['min']:.2f} to "
                f"{row['ratio']['max']:.2f})",
                flush=True,
            )
    if options.json:
        result = {
            "date": datetime.date.today().isoformat(),
            "machine": machine(1),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "versions": {
                "python": platform.python_version(),
                "robocache": rc.__version__,
                "torch": torch.__version__,
                "torchvision": torchvision.__version__,
            },
            "size": SIZE,
            "pairs": options.pairs,
            "rows": rows,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
