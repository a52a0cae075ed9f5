"""Frames of LeRobot's videos: each row has its own, whatever its file, codec and start."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import lerobot_sets as sets
from tests.python import numbered_video as video

pytest.importorskip("pyarrow")
av = pytest.importorskip("av")

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
LENGTHS = (7, 12, 5, 9)
PLACES = {FRONT: (0, 0, 1, 1), WRIST: (0, 1, 1, 2)}
FEATURE = {
    "dtype": "video",
    "shape": [video.HEIGHT, video.WIDTH, 3],
    "names": ["height", "width", "channels"],
    "info": {"video.codec": "h264", "video.is_depth_map": False},
}


def numbers(camera: str, episode: int, length: int) -> list[int]:
    """Returns what the pictures of an episode tell."""
    begin = 100 * (episode + 1) + (2000 if camera == WRIST else 0)
    return list(range(begin, begin + length))


def make_v3(
    root: Path,
    *,
    codec: str = "h264",
    drift: float = 0.0,
    places: dict[str, Sequence[int]] = PLACES,
    before: int = 0,
    write: Callable[..., None] = video.write,
) -> sets.Made:
    """Writes a set of several videos a camera; `before` frames in each are no episode's."""
    clips: dict[str, list[tuple[int, float]]] = {}
    for camera, files in places.items():
        contents: dict[int, list[int]] = {}
        for episode, (file, length) in enumerate(zip(files, LENGTHS, strict=True)):
            frames = contents.setdefault(file, [4095] * before)
            start = len(frames) / sets.FPS
            clips.setdefault(camera, []).append((file, start + drift * episode))
            frames += numbers(camera, episode, length)
        for file, frames in contents.items():
            write(root / f"videos/{camera}/chunk-000/file-{file:03}.mp4", frames, codec)
    features = dict.fromkeys(places, FEATURE)
    return sets.make(root, "v3.0", LENGTHS, files=[0, 0, 1, 1], features=features, clips=clips)


def make_v2(root: Path, write: Callable[..., None] = video.write, **options: Any) -> sets.Made:
    for camera in PLACES:
        for episode, length in enumerate(LENGTHS):
            path = root / f"videos/chunk-000/{camera}/episode_{episode:06}.mp4"
            write(path, numbers(camera, episode, length), **options)
    return sets.make(root, "v2.1", LENGTHS, features=dict.fromkeys(PLACES, FEATURE))


def check(dataset: rc.Dataset, episodes: Sequence[int] = range(4), cameras: Any = PLACES) -> None:
    """Episodes and batches of windows, in order and shuffled, hold the right frames."""
    assert [e.metadata["episode_index"] for e in dataset] == list(episodes)
    for episode, number in zip(dataset, episodes, strict=True):
        for camera in cameras:
            found = video.numbers_of(episode[camera].values).tolist()
            assert found == numbers(camera, number, LENGTHS[number]), (camera, number)
    streams = {camera: rc.Window(range(-1, 2)) for camera in cameras}
    for shuffle in (False, True, "blocks"):
        loader = rc.DataLoader(
            dataset, batch_size=4, streams=streams, shuffle=shuffle, array="numpy"
        )
        seen = 0
        for batch in loader:
            for camera in cameras:
                found = video.numbers_of(batch[camera])
                for row, (e, k) in enumerate(
                    zip(batch["episode_index"], batch["step_index"], strict=True)
                ):
                    whole = numbers(camera, episodes[e], LENGTHS[episodes[e]])
                    wanted = [whole[min(max(k + i, 0), len(whole) - 1)] for i in (-1, 0, 1)]
                    assert found[row].tolist() == wanted
                    pad = [not 0 <= k + i < len(whole) for i in (-1, 0, 1)]
                    assert batch[f"{camera}_is_pad"][row].tolist() == pad  # L8: LeRobot's name
            seen += len(batch["step_index"])
        assert seen == sum(LENGTHS[number] for number in episodes)


def opened(path: Path, **options: Any) -> rc.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return rc.open(path, progress=False, **options)


# ---- the right frame ----------------------------------------------------------------------------


@pytest.mark.parametrize("codec", video.CODECS)
def test_l4_l9_each_camera_has_its_own_file_and_start(tmp_path: Path, codec: str) -> None:
    dataset = opened(make_v3(tmp_path / "set", codec=codec).root)
    check(dataset)
    assert all("notes" not in episode.metadata for episode in dataset)


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_a_video_an_episode(tmp_path: Path, codec: str) -> None:
    check(opened(make_v2(tmp_path / "set", codec=codec).root))


@pytest.mark.parametrize("drift", [1e-9, 0.03, -0.03, 0.2])
def test_l1_starts_that_drift(tmp_path: Path, drift: float) -> None:
    """Where the episodes of a video are as many frames as it has, frames are told by number."""
    places = {FRONT: (0, 0, 0, 0)}
    dataset = opened(make_v3(tmp_path / "set", drift=drift, places=places).root)
    check(dataset, cameras=places)
    if drift == 0.2:  # by six frames at last
        assert "frame 0 is shown at 2.400000 s" in dataset[3].metadata["notes"][0]


def test_l1_starts_in_a_video_with_frames_of_no_episode(tmp_path: Path) -> None:
    dataset = opened(make_v3(tmp_path / "set", drift=0.01, before=5).root)
    check(dataset)


def test_l2_real_stamps_find_their_frames(tmp_path: Path) -> None:
    """A video of a varying rate, of whose frames a row has every second one."""
    times = np.cumsum([0, 90, 130, 70, 110, 95, 120, 80, 105, 99, 131, 60])
    path = tmp_path / f"set/videos/chunk-000/{FRONT}/episode_000000.mp4"
    video.write(path, range(100, 112), "h264", pts=times.tolist(), group=4)
    made = sets.make(
        tmp_path / "set",
        "v2.1",
        [6],
        features={FRONT: FEATURE},
        more=lambda e, n: {"timestamp": (times[::2] / 1000).astype(np.float32)},
    )
    dataset = opened(made.root)
    assert video.numbers_of(dataset[0][FRONT].values).tolist() == list(range(100, 112, 2))
    np.testing.assert_array_equal(
        dataset[0][FRONT].times_ns,
        np.rint((times[::2] / 1000).astype(np.float32).astype(np.float64) * 1e9),
    )


def test_l2_rows_past_the_end_are_told(tmp_path: Path) -> None:
    path = tmp_path / f"set/videos/chunk-000/{FRONT}/episode_000000.mp4"
    video.write(path, range(5), "h264")
    made = sets.make(tmp_path / "set", "v2.1", [7], features={FRONT: FEATURE})
    message = (
        r"episode 0: observation.images.front: .*episode_000000.mp4: row 5: found no frame at "
        r"0.500000 s, the nearest of 5 is shown at 0.400000 s"
    )
    with pytest.raises(rc.errors.FormatError, match=message):
        opened(made.root)
    assert len(opened(made.root, on_error="skip")) == 0


def test_l5_a_subset_of_episodes_with_windows(tmp_path: Path) -> None:
    dataset = opened(make_v3(tmp_path / "set").root)
    check(dataset.take([3, 1]), (3, 1))
    check(dataset.where("num_steps < 9"), (0, 2))


def test_l11_a_key_frame_cut_off_by_an_edit_list(tmp_path: Path) -> None:
    def write(path: Path, frames: Sequence[int], codec: str) -> None:
        video.write(path, [4000, 4001, *frames], codec)
        video.cut_by_edit(path, 2)

    check(opened(make_v3(tmp_path / "set", write=write).root))


def test_stored_codec_is_believed_rather_than_info(tmp_path: Path) -> None:
    made = make_v2(tmp_path / "set", codec="mpeg4")
    assert made.info["features"][FRONT]["info"]["video.codec"] == "h264"
    check(opened(made.root))


def test_videos_under_other_names(tmp_path: Path) -> None:
    made = make_v3(tmp_path / "set")
    for path in made.root.glob("videos/*/chunk-000/*.mp4"):
        path.rename(path.with_name(path.name.replace("file-", "file_")))
    check(opened(made.root))


def test_frames_of_real_sets_are_those_of_pyav(
    tmp_path: Path, test_data: Callable[[str], Path]
) -> None:
    """The first, last and border frames of each episode; tests of videos compare all of a file."""
    camera = "observation.images.cam_high"
    source = test_data("lerobot_v30_g1")
    dataset = rc.open(source, catalog=tmp_path / "c", progress=False)
    path = next(source.glob("videos/*/*/*.mp4"))
    with av.open(str(path)) as file:
        wanted = {}
        ends = np.cumsum([e.num_steps for e in dataset])
        near = {0, *(ends - 1).tolist(), *(ends[:-1]).tolist()}
        for number, frame in enumerate(file.decode(video=0)):
            if number in near:
                wanted[number] = frame.to_ndarray(format="rgb24")
    first = 0
    for episode in dataset:
        last = episode.num_steps - 1
        for k in (0, last):
            ours = episode[camera].read(k, 1)[0].astype(int)
            assert np.abs(ours - wanted[first + k]).mean() < 2
        first += episode.num_steps


# ---- GR00T --------------------------------------------------------------------------------------


def test_cameras_of_modality(tmp_path: Path) -> None:
    made = make_v2(tmp_path / "set")
    modality = {"video": {"ego": {"original_key": FRONT}, "wrist": {}, FRONT: {}}}
    (made.root / "meta/modality.json").write_text(json.dumps(modality))
    dataset = opened(made.root)
    for episode in dataset:
        np.testing.assert_array_equal(episode["video.ego"].values, episode[FRONT].values)
        np.testing.assert_array_equal(episode["video.wrist"].values, episode[WRIST].values)


# ---- depth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_log", [True, False])
def test_l10_depth_video_has_its_unit(tmp_path: Path, use_log: bool) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4096, (7, video.HEIGHT, video.WIDTH), np.uint16)
    path = tmp_path / "set/videos/chunk-000/depth/episode_000000.mp4"
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as file:
        options = {"x265-params": "lossless=1:log-level=none"}
        stream = file.add_stream("libx265", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = video.WIDTH, video.HEIGHT, "gray12le"
        for each in codes:
            frame = av.VideoFrame(video.WIDTH, video.HEIGHT, "gray12le")
            rows = np.zeros((video.HEIGHT, frame.planes[0].line_size // 2), np.uint16)
            rows[:, : video.WIDTH] = each
            frame.planes[0].update(rows.tobytes())
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    info = {"is_depth_map": True, "video.depth_min": 0.01, "video.depth_max": 10.0}
    info |= {"video.shift": 3.5, "video.use_log": use_log}
    feature = {"dtype": "video", "shape": [video.HEIGHT, video.WIDTH, 1], "info": info}
    made = sets.make(tmp_path / "set", "v2.1", [7], features={"depth": feature})
    dataset = opened(made.root)
    np.testing.assert_array_equal(dataset[0]["depth"].values[..., 0], codes, strict=True)
    stream = dataset.streams["depth"]
    if use_log:
        assert (stream.unit, stream.scale, stream.offset) == ("log m 0.01 10 3.5", 1, 0)
    else:
        assert (stream.unit, stream.offset) == ("m", 0.01)
        assert stream.scale == pytest.approx(9.99 / 4095)


# ---- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "found neither this file nor another"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "episode_000001.mp4"),
        (lambda path: video.write(path, range(5)), "found no frame at"),
        (lambda path: path.write_bytes(b""), "episode_000001.mp4"),
    ],
)
def test_damage_of_a_video_is_told_or_skipped(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    made = make_v2(tmp_path / "set")
    damage(made.root / f"videos/chunk-000/{WRIST}/episode_000001.mp4")
    with pytest.raises(rc.Error, match=f"episode 1: {WRIST}: .*{message}"):
        opened(made.root)
    dataset = opened(made.root, on_error="skip")
    check(dataset, (0, 2, 3))
    assert len(dataset.skipped) == 1


def test_pictures_of_another_size_are_told(tmp_path: Path) -> None:
    made = make_v2(tmp_path / "set")
    feature = {**FEATURE, "shape": [video.HEIGHT, 2 * video.WIDTH, 3]}
    made.write_info(features={**made.info["features"], FRONT: feature})
    with pytest.raises(rc.errors.FormatError, match="found pictures of 64 x 48, wanted 128 x 48"):
        opened(made.root)


def test_a_camera_without_videos_is_left_out_and_told(tmp_path: Path) -> None:
    made = make_v2(tmp_path / "set")
    shutil.rmtree(made.root / f"videos/chunk-000/{WRIST}")
    with pytest.warns(RuntimeWarning, match="wrist' is no stream: there is no folder of that name"):
        dataset = rc.open(made.root, progress=False)
    check(dataset, cameras=(FRONT,))


def test_a_video_that_is_replaced_is_told(tmp_path: Path) -> None:
    made = make_v3(tmp_path / "set", places={FRONT: (0, 0, 1, 1)})
    dataset = opened(made.root)
    path = made.root / f"videos/{FRONT}/chunk-000/file-001.mp4"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(rc.Error, match=r"file-001.mp4"):
        dataset[2][FRONT].read(0, 1)
    check(opened(made.root), cameras=(FRONT,))  # indexed anew


# ---- bounds -------------------------------------------------------------------------------------


def test_l6_many_files_keep_few_descriptors_and_little_memory(tmp_path: Path) -> None:
    """Of a bench with 20,000 files, what a test can look at: descriptors do not grow with files."""
    import os

    root = tmp_path / "set"
    count = 300
    first = root / f"videos/chunk-000/{FRONT}/episode_000000.mp4"
    video.write(first, range(4), group=2)
    for number in range(1, count):
        os.link(first, first.with_name(f"episode_{number:06}.mp4"))
    made = sets.make(root, "v2.1", [4] * count, features={FRONT: FEATURE})
    loader = rc.DataLoader(
        opened(made.root), batch_size=4, shuffle=True, streams=[FRONT], array="numpy"
    )
    most = 0
    for batch in loader:
        assert video.numbers_of(batch[FRONT][:, 0]).tolist() == batch["step_index"].tolist()
        most = max(most, len(os.listdir("/proc/self/fd")))
    stats = loader.stats()
    used = sum(stats[f"{name}_bytes"] for name in ("slots", "episode", "block", "fetched"))
    assert used <= stats["memory_bytes"]
    import resource

    assert most < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4 + 100
