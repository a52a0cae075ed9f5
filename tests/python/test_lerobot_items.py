"""LeRobot's own names: items, and batches of them, with its keys, shapes and dtypes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robocache as rc
from tests.python import lerobot_sets as sets
from tests.python import numbered_video as video
from tests.python.test_lerobot_video import FEATURE, FRONT, LENGTHS, numbers

torch = pytest.importorskip("torch")
pytest.importorskip("pyarrow")
pytest.importorskip("av")

TASKS = ("pick up the cup", "put it down")
DELTAS = {FRONT: [-0.1, 0.0], "action": [0.0, 0.1, 0.2], "observation.state": [-0.3, 0.0]}


@pytest.fixture(scope="module", params=["v2.1", "v3.0"])
def made(request: Any, tmp_path_factory: pytest.TempPathFactory) -> sets.Made:
    root = tmp_path_factory.mktemp("set")
    clips = None
    if request.param == "v2.1":
        for episode, length in enumerate(LENGTHS):
            path = root / f"videos/chunk-000/{FRONT}/episode_{episode:06}.mp4"
            video.write(path, numbers(FRONT, episode, length))
    else:
        starts = np.cumsum([0, *LENGTHS[:-1]]) / sets.FPS
        clips = {FRONT: [(0, start) for start in starts]}
        every = [n for e, length in enumerate(LENGTHS) for n in numbers(FRONT, e, length)]
        video.write(root / f"videos/{FRONT}/chunk-000/file-000.mp4", every)
    return sets.make(
        root, request.param, LENGTHS, tasks=TASKS, features={FRONT: FEATURE}, clips=clips
    )


def wanted_item(made: sets.Made, episode: int, k: int, deltas: Any) -> dict[str, Any]:
    """Returns what an item holds, pictures by their numbers."""
    columns = made.episodes[episode]
    length = LENGTHS[episode]
    item: dict[str, Any] = {}
    shown = {**columns, FRONT: np.array(numbers(FRONT, episode, length))}
    for name in (FRONT, "observation.state", "action", "next.done"):
        steps = np.array([round(d * sets.FPS) + k for d in deltas.get(name, [0])])
        values = shown[name][steps.clip(0, length - 1)]
        item[name] = values if name in deltas else values[0]
        if name in deltas:
            item[f"{name}_is_pad"] = (steps < 0) | (steps >= length)
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        item[name] = columns[name][k]
    item["task"] = TASKS[k % 2]
    return item


def check_item(item: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert sorted(item) == sorted(wanted)
    for name, value in wanted.items():
        found = item[name]
        if name == "task":
            assert found == value
        elif name == FRONT:
            assert found.dtype == torch.float32
            assert found.shape[-3:] == (3, video.HEIGHT, video.WIDTH)
            assert 0 <= found.min() <= found.max() <= 1
            np.testing.assert_array_equal(video.numbers_of(found.movedim(-3, -1) * 255), value)
        else:
            is_number = np.asarray(value).dtype.kind
            kinds = {"f": torch.float32, "i": torch.int64, "b": torch.bool}
            assert found.dtype == kinds[is_number]
            np.testing.assert_array_equal(found, np.asarray(value).astype(found.numpy().dtype))


@pytest.mark.parametrize("deltas", [{}, DELTAS])
def test_items(made: sets.Made, deltas: dict[str, list[float]]) -> None:
    dataset = rc.datasets.LeRobotDataset(made.root, delta_timestamps=deltas or None)
    assert (len(dataset), dataset.num_episodes, dataset.fps) == (sum(LENGTHS), len(LENGTHS), 10)
    at = [(e, k) for e, length in enumerate(LENGTHS) for k in range(length)]
    for i, (episode, k) in enumerate(at):
        check_item(dataset[i], wanted_item(made, episode, k, deltas))
    check_item(dataset[-1], wanted_item(made, *at[-1], deltas))
    assert [item["index"].item() for item in dataset[3:6]] == [3, 4, 5]
    with pytest.raises(IndexError, match=r"index: 33 found, wanted 0 to 32"):
        dataset[33]
    again = pickle.loads(pickle.dumps(dataset))
    assert again[5]["index"] == 5


def test_l5_items_of_some_episodes(made: sets.Made) -> None:
    dataset = rc.datasets.LeRobotDataset(made.root, episodes=[2, 1], delta_timestamps=DELTAS)
    at = [(e, k) for e in (2, 1) for k in range(LENGTHS[e])]
    for i, (episode, k) in enumerate(at):
        check_item(dataset[i], wanted_item(made, episode, k, DELTAS))
    with pytest.raises(rc.errors.NotFoundError, match="episodes: 9 not found"):
        rc.datasets.LeRobotDataset(made.root, episodes=[9])


@pytest.mark.parametrize("deltas", [{}, DELTAS])
@pytest.mark.parametrize("shuffle", [False, True, "blocks"])
def test_batches_are_items_together(
    made: sets.Made, deltas: dict[str, list[float]], shuffle: bool | str
) -> None:
    loader = rc.datasets.LeRobotDataLoader(
        made.root, 5, delta_timestamps=deltas or None, shuffle=shuffle
    )
    seen = []
    for batch in loader:
        for row in range(len(batch["index"])):
            item = {name: values[row] for name, values in batch.items()}
            episode, k = int(item["episode_index"]), int(item["frame_index"])
            check_item(item, wanted_item(made, episode, k, deltas))
            seen.append(int(item["index"]))
    assert sorted(seen) == list(range(sum(LENGTHS)))
    assert (seen == sorted(seen)) == (shuffle is False)


@pytest.mark.forks
def test_batches_are_those_of_a_torch_loader_over_the_items(made: sets.Made) -> None:
    items = rc.datasets.LeRobotDataset(made.root, delta_timestamps=DELTAS)
    others = torch.utils.data.DataLoader(items, batch_size=4, num_workers=1)
    loader = rc.datasets.LeRobotDataLoader(made.root, 4, delta_timestamps=DELTAS, shuffle=False)
    assert len(loader) == len(others)
    for ours, theirs in zip(loader, others, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            if isinstance(value, list):
                assert list(ours[name]) == value
            else:
                assert ours[name].dtype == value.dtype
                assert torch.equal(ours[name], value)


def test_l8_masks_have_lerobots_name_and_mask_a_loss(made: sets.Made) -> None:
    loader = rc.datasets.LeRobotDataLoader(
        made.root, 33, delta_timestamps={"action": [0.0, 0.1, 0.2]}, shuffle=False
    )
    batch = next(iter(loader))
    assert [name for name in batch if "pad" in name] == ["action_is_pad"]
    loss = (batch["action"] ** 2).mean(-1)
    masked = loss[~batch["action_is_pad"]]
    assert len(masked) == sum(3 * length - 3 for length in LENGTHS)


def test_pictures_as_they_are(made: sets.Made) -> None:
    loader = rc.datasets.LeRobotDataLoader(made.root, 3, return_uint8=True, shuffle=False)
    batch = next(iter(loader))
    assert batch[FRONT].dtype == torch.uint8
    assert batch[FRONT].shape == (3, 3, video.HEIGHT, video.WIDTH)
    item = rc.datasets.LeRobotDataset(made.root, return_uint8=True)[0]
    assert torch.equal(item[FRONT], batch[FRONT][0])


def test_features_that_are_not_wanted_are_not_decoded(made: sets.Made) -> None:
    loader = rc.datasets.LeRobotDataLoader(made.root, 3, features=["action"], shuffle=False)
    batch = next(iter(loader))
    assert FRONT not in batch
    assert "action" in batch
    with pytest.raises(rc.errors.NotFoundError, match="features: 'x' not found"):
        rc.datasets.LeRobotDataLoader(made.root, features=["x"])


def test_image_transforms(made: sets.Made) -> None:
    dataset = rc.datasets.LeRobotDataset(made.root, image_transforms=lambda picture: 1 - picture)
    plain = rc.datasets.LeRobotDataset(made.root)
    assert torch.equal(dataset[4][FRONT], 1 - plain[4][FRONT])
    assert torch.equal(dataset[4]["action"], plain[4]["action"])


def test_seconds_that_are_no_frames(made: sets.Made) -> None:
    with pytest.raises(rc.errors.InvalidArgumentError, match=r"0.05 s found, wanted a multiple"):
        rc.datasets.LeRobotDataset(made.root, delta_timestamps={"action": [0.05]})
    with pytest.raises(rc.errors.NotFoundError, match="'actions' not found, features are"):
        rc.datasets.LeRobotDataset(made.root, delta_timestamps={"actions": [0.0]})


def test_a_loader_resumes(made: sets.Made) -> None:
    loader = rc.datasets.LeRobotDataLoader(made.root, 4, features=["action"])
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    wanted = next(batches)
    again = rc.datasets.LeRobotDataLoader(made.root, 4, features=["action"])
    again.load_state_dict(state)
    assert torch.equal(next(iter(again))["index"], wanted["index"])


def test_metadata(made: sets.Made) -> None:
    meta = rc.datasets.LeRobotDataset(made.root).meta
    assert (meta.fps, meta.robot_type, meta.total_episodes) == (10, "arm", 4)
    assert (meta.total_frames, meta.total_tasks) == (sum(LENGTHS), 2)
    assert meta.tasks == dict(enumerate(TASKS))
    assert meta.camera_keys == meta.video_keys == [FRONT]
    assert meta.shapes["observation.state"] == (3,)
    assert meta.stats is None


def test_statistics_are_taken_over_and_checked(tmp_path: Path, test_data: Any) -> None:
    for folder in ("lerobot_v21_g1", "lerobot_v30_g1"):
        dataset = rc.datasets.LeRobotDataset(
            test_data(folder), catalog=tmp_path / folder, on_error="skip", progress=False
        )
        stats = dataset.meta.stats
        assert stats is not None
        assert stats["action"]["mean"].shape == (26,)
        assert stats["action"]["count"] == [788]
        assert dataset.meta.check_stats() == []
        stats["action"]["max"][3] += 1
        assert len(dataset.meta.check_stats()) == 1
        assert "action: max: " in dataset.meta.check_stats()[0]


def test_l10_depths_are_metres_or_millimetres(tmp_path: Path) -> None:
    import io

    import pyarrow as pa
    from PIL import Image

    metres = np.linspace(0.3, 9.0, 6 * 8).reshape(6, 8)
    stored = (metres * 1000).round().astype(np.uint16)

    def png(_episode: int, length: int) -> dict[str, Any]:
        file = io.BytesIO()
        Image.fromarray(stored).save(file, "png")
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        return {"depth": pa.array([{"bytes": file.getvalue(), "path": ""}] * length, kind)}

    info = {"is_depth_map": True, "depth_unit": "mm"}
    feature = {"dtype": "image", "shape": [6, 8, 1], "names": None, "info": info}
    made = sets.make(tmp_path / "set", "v3.0", [2], features={"depth": feature}, more=png)
    for unit, scale in (("mm", 1000), ("m", 1)):
        dataset = rc.datasets.LeRobotDataset(made.root, depth_output_unit=unit)
        assert dataset[0]["depth"].shape == (1, 6, 8)
        np.testing.assert_allclose(dataset[0]["depth"][0], stored / 1000 * scale, rtol=1e-6)


def test_other_datasets_are_refused(bridge_copy: Path) -> None:
    with pytest.raises(rc.errors.UnsupportedError, match="is rlds, wanted a LeRobot dataset"):
        rc.datasets.LeRobotDataset(bridge_copy)
