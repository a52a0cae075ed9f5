"""The code in the documentation runs as it stands."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc

DOCS = Path(__file__).resolve().parents[2] / "docs"


def run_page(page: Path, **given: Any) -> dict[str, Any]:
    text = page.read_text()
    names: dict[str, Any] = dict(given)
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        code = "\n" * text.count("\n", 0, block.start(1)) + block.group(1)
        exec(compile(code, str(page), "exec"), names)
    return names


@pytest.fixture
def with_bridge(bridge_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a folder that is the current one and holds bridge_dataset/1.0.0."""
    shutil.copytree(bridge_path, tmp_path / "bridge_dataset" / "1.0.0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBOCACHE_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.usefixtures("with_bridge")
@pytest.mark.parametrize("page", [DOCS.parent / "README.md", DOCS / "index.md"])
def test_the_first_pages_run(page: Path) -> None:
    names = run_page(page)
    assert len(names["ds"]) == 50
    assert names["batch"]["action" if page.parent == DOCS else "actions"].shape == (58, 16, 7)


@pytest.mark.usefixtures("with_bridge")
def test_the_page_on_rlds_runs() -> None:
    names = run_page(DOCS / "rlds.md")
    assert names["batch"]["actions"].shape == (32, 16, 7)
    assert names["batch"]["observation/image_0"].shape == (32, 1, 64, 64, 3)
    assert next(iter(names["loader"]))["observation/state"].shape == (32, 2, 7)


def test_the_page_on_alignment_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    times = np.arange(5) * 100_000_000
    pose = np.tile(np.array([0, 0, 0, 0, 0, 0, 1, 1], np.float32), (1, 5, 1))
    found: list[Any] = []
    call = rc.resample_trajectories
    monkeypatch.setattr(rc, "resample_trajectories", lambda *a, **k: found.append(call(*a, **k)))
    run_page(DOCS / "alignment.md", rc=rc, pose=pose, times=times[None], ticks=times[None, 1:])
    np.testing.assert_array_equal(found[0], pose[:, 1:])


def test_the_page_on_data_runs(with_bridge: Path) -> None:
    names = run_page(DOCS / "data.md")
    assert names["ds"].streams["observation/state"].rate_hz == 5
    assert names["mine"].streams["observation/force"].rate_hz == pytest.approx(250, rel=0.01)
    assert len(names["mine"]) == 1


def test_the_page_on_windows_runs(with_bridge: Path) -> None:
    assert run_page(DOCS / "windows.md")["ds"].name == "bridge_dataset"


def test_the_page_on_mixtures_runs(with_bridge: Path) -> None:
    assert run_page(DOCS / "mixtures.md")["mix"].names == ["bridge", "mine"]


def test_the_page_on_views_runs(with_bridge: Path) -> None:
    names = run_page(DOCS / "views.md")
    assert 0 < len(names["levers"]) < len(names["ds"])


def test_the_page_on_statistics_runs(with_bridge: Path) -> None:
    names = run_page(DOCS / "statistics.md")
    assert names["st"].count.tolist() == [250] * 7
    assert json.loads((with_bridge / "stats.json").read_text())["action"]["count"] == [250]


def test_the_page_on_open_x_runs(with_bridge: Path) -> None:
    names = run_page(DOCS / "oxe.md")
    assert names["found"]["action"].shape == (9, 7)


def test_the_page_on_video_runs(
    test_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = test_data("lerobot_v30_g1") / "videos" / "observation.images.cam_high" / "chunk-000"
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "top").symlink_to(videos)
    monkeypatch.chdir(tmp_path)
    video = run_page(DOCS / "video.md")["video"]
    assert (video.codec, video.pixel_format) == ("av1", "yuv420p")
    assert (video.width, video.height, len(video)) == (640, 480, 788)
    assert (video.pts[:3].tolist(), video.time_base) == ([0, 512, 1024], (1, 15360))
    assert video.times_ns[:3].tolist() == [0, 33333333, 66666667]


def image_bytes(pixels: Any, kind: str) -> bytes:
    out = io.BytesIO()
    pytest.importorskip("PIL.Image").fromarray(pixels).save(out, kind)
    return out.getvalue()


def test_the_page_on_formats_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    states = [rng.random((steps, 7), np.float32) for steps in (9, 4)]
    pixels = [rng.integers(0, 256, (len(s), 48, 64, 3), np.uint8) for s in states]
    for number, state in enumerate(states):
        folder = tmp_path / "kitchen" / f"episode {number}"
        folder.mkdir(parents=True)
        np.save(folder / "state.npy", state)
        np.save(folder / "action.npy", state[:, :4] + 1)
        (folder / "task.txt").write_text(f"task {number}")
        for step, image in enumerate(pixels[number]):
            (folder / f"image_{step:04}.png").write_bytes(image_bytes(image, "png"))
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "shard-0.tar", "w") as tar:
        for episode, step in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]:
            npy = io.BytesIO()
            np.save(npy, np.array([episode, step], float))
            files = {
                "jpg": image_bytes(pixels[0][step], "jpeg"),
                "action.npy": npy.getvalue(),
                "json": json.dumps({"instruction": f"do {episode}"}).encode(),
            }
            if (episode, step) == (1, 1):
                del files["jpg"]
            for kind, data in files.items():
                member = tarfile.TarInfo(f"ep{episode}-{step:04}.{kind}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    names = run_page(DOCS / "adding-a-format.md")
    kitchen, tars = names["kitchen"], names["tars"]
    for episode, state, images in zip(kitchen, states, pixels, strict=True):
        np.testing.assert_array_equal(episode["observation/state"].values, state)
        np.testing.assert_array_equal(episode["observation/image"].values, images)
        np.testing.assert_array_equal(episode["action"].values, state[:, :4] + 1)
    assert kitchen[1].task == "task 1"
    np.save(tmp_path / "kitchen/episode 1/action.npy", states[1][:, :4] + 2)  # which was copied
    np.testing.assert_array_equal(
        names["rc"].open("kitchen")[1]["action"].values, states[1][:, :4] + 2
    )
    assert sum(len(batch["action"]) for batch in names["loader"]) == 13
    assert [(episode.num_steps, episode.task) for episode in tars] == [(2, "do 0"), (1, "do 2")]
    assert tars[1]["action"].values.tolist() == [[2, 0]]
    assert tars[0]["image"].values.shape == (2, 48, 64, 3)
    assert "record 1: ep1-0000: a step lacks its image" in tars.skipped[0]


def test_the_page_on_lerobot_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("av", "pyarrow", "torch"):
        pytest.importorskip(module)
    from tests.python import lerobot_sets as sets
    from tests.python import numbered_video as video

    monkeypatch.chdir(tmp_path)
    camera = "observation.images.front"
    feature = {"dtype": "video", "shape": [video.HEIGHT, video.WIDTH, 3]}
    video.write(tmp_path / f"my_set/videos/{camera}/chunk-000/file-000.mp4", range(30))
    clips = {camera: [(0, 0.0), (0, 2.0)]}
    sets.make(Path("my_set"), "v3.0", [20, 10], features={camera: feature}, clips=clips)
    names = run_page(DOCS / "lerobot.md")
    assert names["batch"][camera].shape == (8, 2, 3, video.HEIGHT, video.WIDTH)
    assert names["items"].meta.total_episodes == 2
    assert len(names["item"]["action"]) == 16


def test_the_page_on_images_runs(with_bridge: Path) -> None:
    names = run_page(DOCS / "images.md")
    assert names["batch"]["image"].shape == (8, 3, 224, 224)
    assert names["policy_input"].dtype == np.float32


def test_the_page_on_voxels_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_page(DOCS / "voxels.md")
    assert names["batch"]["cloud"].shape == (8, 2, 32, 32, 16, 3)
    assert names["batch"]["depth"].shape == (8, 64, 64, 64)
    assert names["batch"]["depth"].any()


@pytest.mark.usefixtures("with_bridge")
def test_the_page_on_observability_runs() -> None:
    names = run_page(DOCS / "observability.md")
    assert names["stats"]["samples_delivered"] == names["loader"].num_samples
    assert "held_up_by" in names["change"]
    assert 'robocache_samples_total{loader="train"}' in names["text"]


def documented(page: str, title: str) -> list[list[str]]:
    """Returns the cells of the first table under a title, without its head."""
    text = (DOCS / page).read_text().split(f"## {title}\n", 1)[1]
    rows = re.search(r"^\|.*?(?=^[^|]|\Z)", text, re.DOTALL | re.MULTILINE)
    assert rows is not None
    lines = rows.group().strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_metrics_are_documented() -> None:
    from robocache.observability import STAGES
    from robocache.observability.prometheus import GPU_METRICS, LOADER_METRICS

    metrics = [*LOADER_METRICS, *GPU_METRICS]
    assert documented("observability.md", "Prometheus") == [
        [f"`robocache_{each.name}`", each.kind, each.meaning] for each in metrics
    ]
    assert [row[0] for row in documented("observability.md", "The stages")] == [
        f"`{stage}`" for stage in STAGES
    ]


def test_settings_are_documented() -> None:
    from robocache.config import SETTINGS

    run_page(DOCS / "settings.md")
    assert documented("settings.md", "The table") == [
        [
            f"`{each.name}`",
            f"`{each.variable}`",
            each.kind,
            each.argument or "none",
            each.default,
            each.meaning,
        ]
        for each in SETTINGS
    ]


def test_the_page_on_jpeg_runs() -> None:
    pytest.importorskip("PIL")
    names = run_page(DOCS / "jpeg.md")
    assert tuple(names["images"].shape) == (9, 48, 64, 3)
    assert tuple(names["grey"].shape) == (8, 48, 64, 1)
    assert names["valid"].tolist() == [True] * 8 + [False]
