"""Frames of video that the loader decodes, against FFmpeg's own rate on the same files.

In order: FFmpeg's program decodes the file on one thread, alone and with swscale's RGB, and a
loader of one thread delivers its frames. At random: windows of two frames, at groups of 2, 30 and
250 pictures. Each needs its groups decoded from their beginning to the last frame that is wanted;
what the decoder allows is that many pictures at FFmpeg's rate in order. Rates are frames a second
of processor time, which other work on the machine changes little; contenders take turns. Frames are
compared with PyAV's before anything is timed.

    python bench/video.py FILE.mp4 --json bench/results/video.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from host import machine, spread

import robocache as rc

GROUPS = (2, 30, 250)
WINDOW = range(2)
EPISODES = 40
ENCODERS = {
    "av1": ("libsvtav1", {"preset": "10", "crf": "30"}),
    "h264": ("libx264", {"preset": "fast", "crf": "23", "bf": "2"}),
}
SWSCALE = "scale=flags=bilinear+accurate_rnd+full_chroma_int,format=rgb24"


def encode(source: Path, to: Path, codec: str, group: int, frames: int) -> Path:
    """Encodes the first frames of a video again, with a key picture every `group`."""
    name, options = ENCODERS[codec]
    with av.open(str(source)) as given, av.open(str(to), "w") as out:
        stream = out.add_stream(name, rate=30, options={**options, "g": str(group)})
        size = given.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, "yuv420p"
        for number, frame in enumerate(given.decode(video=0)):
            if number == frames:
                break
            frame.pts, frame.time_base = number, Fraction(1, 30)
            frame.pict_type = 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return to


def open_file(file: Path) -> rc.Dataset:
    """Opens a file as a dataset of EPISODES episodes, links to it: few rows share a group then."""
    for number in range(1, EPISODES):
        file.with_name(f"{number}.mp4").hardlink_to(file)

    def index(path: str, dataset: rc.Indexer) -> None:
        video = rc.read_mp4(file)
        dataset.control_rate_hz = 30
        shape = (video.height, video.width, 3)
        dataset.stream("camera", kind="image", shape=shape, encoding="frame")
        for name in sorted(path.name for path in file.parent.glob("*.mp4")):
            dataset.part(name, read=read)

    def read(part: rc.Part) -> None:
        video = part.mp4(0)
        part.episodes(num_steps=[len(video)], streams={"camera": rc.Frames(video, first=[0])})

    rc.register_format("one video", probe=lambda _: False, index=index, replace=True)
    return rc.open(file.parent, format="one video", progress=False)


def decodes_needed(file: Path) -> float:
    """Returns how many pictures a window of two frames needs decoded, on average over all."""
    with av.open(str(file)) as container:
        packets = [(p.pts, p.is_keyframe) for p in container.demux(video=0) if p.pts is not None]
    group, key = [], -1
    for at, (_, is_key) in enumerate(packets):
        key = at if is_key else key
        group.append(key)
    shown = sorted(range(len(packets)), key=lambda at: packets[at][0])
    needed = 0
    for first, second in zip(shown, [*shown[1:], shown[-1]], strict=True):
        last: dict[int, int] = {}
        for at in (first, second):
            last[group[at]] = max(last.get(group[at], 0), at)
        needed += sum(at - key + 1 for key, at in last.items())
    return needed / len(shown)


def ffmpeg_rate(file: Path, frames: int, *arguments: str) -> float:
    """Returns frames a second of processor time of the program `ffmpeg`, on one thread."""
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(file), "-an", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "-vsync", "0", "-f", "null", "-"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return frames / (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def loader_rate(dataset: rc.Dataset, seconds: float, *, at_random: bool) -> float:
    """Returns frames a second of processor time of a loader of one thread."""
    loader = rc.DataLoader(
        dataset,
        batch_size=16,
        shuffle=at_random,
        num_threads=1,
        memory_bytes=1 << 28,
        streams={"camera": rc.Window(WINDOW if at_random else 0)},
        array="numpy",
    )
    frames, start, wall = 0, time.process_time(), time.monotonic()
    while time.monotonic() - wall < seconds:
        for batch in loader:
            frames += batch["camera"].shape[0] * (len(WINDOW) if at_random else 1)
            if at_random and time.monotonic() - wall > seconds:
                break
    return frames / (time.process_time() - start)


def check(file: Path, dataset: rc.Dataset) -> int:
    """Every 50th frame is PyAV's, within what interpolated chroma differs from swscale's."""
    camera = dataset.episodes[0]["camera"]
    checked = 0
    with av.open(str(file)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 50 == 0:
                theirs = frame.to_ndarray(format="rgb24").astype(np.int16)
                difference = np.abs(camera.read(number, 1)[0] - theirs)
                assert difference.mean() < 3, f"frame {number} differs by {difference.mean()}"
                checked += 1
    return checked


def measure(name: str, file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns a row for a file."""
    dataset = open_file(file)
    frames = dataset.episodes[0].num_steps
    found: dict[str, list[float]] = {}
    check(file, dataset)
    for _ in range(arguments.rounds):
        for contender, rate in {
            "ffmpeg decodes": lambda: ffmpeg_rate(file, frames),
            "ffmpeg decodes to rgb24": lambda: ffmpeg_rate(file, frames, "-vf", SWSCALE),
            "robocache in order": lambda: loader_rate(dataset, arguments.seconds, at_random=False),
            "robocache at random": lambda: loader_rate(dataset, arguments.seconds, at_random=True),
        }.items():
            found.setdefault(contender, []).append(rate())
    needed = decodes_needed(file)
    alone, scaled = found["ffmpeg decodes"], found["ffmpeg decodes to rgb24"]
    ordered, drawn = found["robocache in order"], found["robocache at random"]
    return {
        "row": name,
        "frames": frames,
        "frames_per_cpu_s": {key: spread(values) for key, values in found.items()},
        "in_order_over_decoding": spread([a / b for a, b in zip(ordered, alone, strict=True)]),
        "in_order_over_decoding_to_rgb": spread(
            [a / b for a, b in zip(ordered, scaled, strict=True)]
        ),
        "decodes_a_window_of_two": needed,
        "at_random_over_what_the_decoder_allows": spread(
            [a * needed / len(WINDOW) / b for a, b in zip(drawn, alone, strict=True)]
        ),
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="a video, encoded again for each kind of groups")
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for codec in ENCODERS:
            for group in GROUPS:
                to = Path(folder, f"{codec}-{group}")
                to.mkdir()
                file = encode(arguments.file, to / "a.mp4", codec, group, arguments.frames)
                rows.append(measure(f"{codec}, groups of {group}", file, arguments))
                row = rows[-1]
                print(
                    row["row"],
                    *(
                        f"{key} {value['median']:.0f}"
                        for key, value in row["frames_per_cpu_s"].items()
                    ),
                    *(
                        f"{key} {row[key]['median']:.2f}"
                        for key in row
                        if key.startswith(("in_order", "at_random"))
                    ),
                    sep=", ",
                    flush=True,
                )
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    result = {
        "machine": machine(),
        "ffmpeg": ffmpeg.stdout.split("\n")[0],
        "decoders": rc.check_installation()["video"],
        "threads": 1,
        "rows": rows,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
