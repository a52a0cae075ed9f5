"""Draws what each step of rc.Image does with one frame of a dataset.

Usage: python examples/augmentations.py DATASET STREAM OUT.png [--episode N] [--step N]
"""

from __future__ import annotations

import argparse

from PIL import Image as Picture
from PIL import ImageDraw

import robocache as rc

SIZE = (160, 160)
COLUMNS = 5
STEPS = {
    "stored": rc.Image(SIZE),
    "crop=('random', 0.5)": rc.Image(SIZE, crop=("random", 0.5)),
    "crop=.., aspect=(0.5, 2)": rc.Image(SIZE, crop=("random", 0.4), aspect=(0.5, 2.0)),
    "flip": rc.Image(SIZE, flip=1.0),
    "orient='rotate_90'": rc.Image(SIZE, orient="rotate_90"),
    "brightness 0.5": rc.Image(SIZE, brightness=(0.5, 0.5)),
    "brightness 1.5": rc.Image(SIZE, brightness=(1.5, 1.5)),
    "contrast 0.4": rc.Image(SIZE, contrast=(0.4, 0.4)),
    "contrast 1.8": rc.Image(SIZE, contrast=(1.8, 1.8)),
    "saturation 0": rc.Image(SIZE, saturation=(0.0, 0.0)),
    "saturation 2": rc.Image(SIZE, saturation=(2.0, 2.0)),
    "hue 0.2": rc.Image(SIZE, hue=(0.2, 0.2)),
    "hue -0.2": rc.Image(SIZE, hue=(-0.2, -0.2)),
    "nearest, 24 x 24": rc.Image((24, 24), filter="nearest"),
    "bilinear, 24 x 24": rc.Image((24, 24)),
}
ALL = rc.Image(
    SIZE,
    crop=("random", (0.6, 1.0)),
    flip=0.5,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.05,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("stream")
    parser.add_argument("out")
    parser.add_argument("--episode", type=int, default=0)
    parser.add_argument("--step", type=int, default=0)
    arguments = parser.parse_args()
    pixels = rc.open(arguments.dataset).episodes[arguments.episode][arguments.stream].values
    frame = pixels[arguments.step]
    cells = [(name, image(frame, key=3)) for name, image in STEPS.items()]
    cells += [(f"all, key {key}", ALL(frame, key=key)) for key in range(COLUMNS)]
    wide, high = SIZE[1] + 8, SIZE[0] + 22
    sheet = Picture.new("RGB", (COLUMNS * wide + 8, len(cells) // COLUMNS * high + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (name, made) in enumerate(cells):
        x, y = 8 + i % COLUMNS * wide, 8 + i // COLUMNS * high
        picture = Picture.fromarray(made).resize(SIZE, Picture.Resampling.NEAREST)
        sheet.paste(picture, (x, y + 14))
        draw.text((x, y), name, fill="black")
    sheet.quantize(256).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
