"""Frames of video tracks: a group of pictures is decoded once for all who want its frames."""

from __future__ import annotations

import numpy as np
import pytest

import robocache as rc

SHAPE = (4, 6, 3)
GROUP = 5


def pictures(episode: int, frames: int) -> np.ndarray:
    rng = np.random.default_rng(episode)
    return rng.integers(0, 256, (frames, *SHAPE), dtype=np.uint8)


@pytest.fixture
def videos(tmp_path):
    """Two files of packets with gaps between them, of which the frames are not in order."""
    lengths = [23, 12]
    for episode, frames in enumerate(lengths):
        order = [k for g in range(0, frames, GROUP) for k in swapped(g, min(g + GROUP, frames))]
        with (tmp_path / f"{episode}.video").open("wb") as file:
            for k in order:
                file.write(bytes(7) + pictures(episode, frames)[k].tobytes())

    def index(path, dataset):
        dataset.control_rate_hz = 10.0
        dataset.stream("camera", kind="image", shape=SHAPE, encoding="frame")
        dataset.stream("action", dtype="float32", shape=(2,))
        for episode, frames in enumerate(lengths):
            dataset.part(f"{episode}.video", read=reader(frames))

    rc.register_format("videos", probe=lambda path: False, index=index, replace=True)
    return tmp_path, lengths


def swapped(begin: int, end: int) -> list[int]:
    """The key picture, then the others last to first."""
    return [begin, *range(end - 1, begin, -1)]


def reader(frames: int, codec: str = "raw"):
    def read(part):
        order = [k for g in range(0, frames, GROUP) for k in swapped(g, min(g + GROUP, frames))]
        size = int(np.prod(SHAPE))
        track = part.track(
            codec=codec,
            offset=7 + np.arange(frames) * (size + 7),
            bytes=size,
            pts=np.array(order) * 3000,
            key=[k % GROUP == 0 for k in order],
            time_base=(1, 90000),
        )
        part.episodes(
            num_steps=[frames],
            streams={
                "camera": rc.Frames(track, first=[0]),
                "action": rc.Column(np.arange(2 * frames, dtype=np.float32).reshape(-1, 2)),
            },
        )

    return read


def test_frames_are_those_of_the_track(videos) -> None:
    path, lengths = videos
    dataset = rc.open(path, format="videos", progress=False)
    for episode, frames in zip(dataset.episodes, lengths, strict=True):
        np.testing.assert_array_equal(episode["camera"].values, pictures(episode.id, frames))
    loader = rc.DataLoader(
        dataset,
        batch_size=7,
        shuffle=True,
        streams={"camera": rc.Window(range(-2, 2)), "action": rc.Window()},
        array="numpy",
    )
    seen = 0
    for batch in loader:
        for i in range(len(batch["task"])):
            episode, step = int(batch["episode_id"][i]), int(batch["step_index"][i])
            frames = lengths[episode]
            wanted = np.clip(np.arange(step - 2, step + 2), 0, frames - 1)
            np.testing.assert_array_equal(batch["camera"][i], pictures(episode, frames)[wanted])
            seen += 1
    assert seen == sum(lengths)


def test_a_group_is_decoded_once(videos) -> None:
    path, lengths = videos
    dataset = rc.open(path, format="videos", progress=False)
    loader = rc.DataLoader(
        dataset, batch_size=4, streams={"camera": rc.Window(range(-3, 1))}, array="numpy"
    )
    for _ in range(3):
        for _ in loader:
            pass
    groups = sum(-(-frames // GROUP) for frames in lengths)
    assert loader.stats()["blocks_read"] == groups
    assert loader.stats()["unpack_factor_global"] == 1


def test_what_cannot_be_decoded_is_named(tmp_path) -> None:
    (tmp_path / "0.video").write_bytes(bytes(1000))

    def index(path, dataset):
        dataset.control_rate_hz = 10.0
        dataset.stream("camera", kind="image", shape=SHAPE, encoding="frame")
        dataset.part("0.video", read=read)

    def read(part):
        track = part.track(codec="theora", offset=[0], bytes=[100], pts=[0], key=[True])
        part.episodes(num_steps=[1], streams={"camera": rc.Frames(track, first=[0])})

    rc.register_format("unknown video", probe=lambda path: False, index=index, replace=True)
    dataset = rc.open(tmp_path, format="unknown video", progress=False)
    with pytest.raises(rc.errors.UnsupportedError, match="'camera' is video of codec 'theora'"):
        _ = dataset.episodes[0]["camera"].values


def test_damaged_packets_name_file_and_stream(videos) -> None:
    path, _ = videos

    def index(path, dataset):
        dataset.control_rate_hz = 10.0
        dataset.stream("camera", kind="image", shape=(4, 6, 1), encoding="frame")
        dataset.part("0.video", read=read)

    def read(part):
        track = part.track(offset=[7], bytes=[72], pts=[0], key=[True])
        part.episodes(num_steps=[1], streams={"camera": rc.Frames(track, first=[0])})

    rc.register_format("lying video", probe=lambda path: False, index=index, replace=True)
    dataset = rc.open(path, format="lying video", progress=False)
    with pytest.raises(rc.errors.FormatError, match=r"0\.video.*byte 7.*has 72 bytes, wanted 24"):
        _ = dataset.episodes[0]["camera"].values
