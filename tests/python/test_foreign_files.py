"""R3: a clone without its large files, a server's page: named as what they are, in each format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import robocache as rc

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><body>404</body></html>"

Data = Callable[[str], Path]


def copy(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def rlds(folder: Path, data: Data) -> Path:
    return copy(data("rlds_bridge/bridge_dataset/1.0.0"), folder / "bridge_dataset" / "1.0.0")


def lerobot(folder: Path, data: Data) -> Path:
    return copy(data("lerobot_v30_g1"), folder / "g1")


def hdf5(folder: Path, data: Data) -> Path:
    return copy(data("hdf5_isaaclab"), folder / "lab")


def calvin(folder: Path, data: Data) -> Path:
    training = folder / "task" / "training"
    training.mkdir(parents=True)
    for number, step in enumerate(sorted(data("calvin_frames").glob("*.npz"))):
        shutil.copy(step, training / f"episode_{number:07}.npz")
    np.save(training / "ep_start_end_ids.npy", np.array([[0, 1]]))
    return folder / "task"


def zarr(folder: Path, data: Data) -> Path:
    group = folder / "x.zarr"
    arrays = {"data/action": np.zeros((4, 2)), "meta/episode_ends": np.array([4])}
    for name, array in arrays.items():
        (group / name).mkdir(parents=True)
        (group / name / ".".join("0" * array.ndim)).write_bytes(array.tobytes())
        header = {
            "zarr_format": 2,
            "shape": array.shape,
            "chunks": array.shape,
            "order": "C",
            "dtype": array.dtype.str,
            "compressor": None,
            "filters": None,
            "fill_value": 0,
        }
        (group / name / ".zarray").write_text(json.dumps(header))
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    return group


def tables(folder: Path, data: Data) -> Path:
    logs = folder / "logs"
    logs.mkdir()
    np.save(logs / "action.npy", np.zeros((4, 2)))
    np.savez(logs / "more.npz", force=np.zeros((4, 3)))
    (logs / "pose.csv").write_text("x,y\n" + "1,2\n" * 4)
    mapping = 'format = "tables"\nrate_hz = 10\n[streams]\naction = "action.npy"\n'
    mapping += 'force = { path = "more.npz", member = "force" }\npose = "pose.csv"\n'
    (logs / "robocache.toml").write_text(mapping)
    return logs


FILES = [
    (rlds, "features.json"),
    (rlds, "dataset_info.json"),
    (rlds, "bridge_dataset-train.tfrecord-00000-of-00001"),
    (lerobot, "meta/info.json"),
    (lerobot, "meta/tasks.parquet"),
    (lerobot, "meta/episodes/chunk-000/file-000.parquet"),
    (lerobot, "data/chunk-000/file-000.parquet"),
    (lerobot, "videos/observation.images.cam_high/chunk-000/file-000.mp4"),
    (hdf5, "dataset.hdf5"),
    (calvin, "training/ep_start_end_ids.npy"),
    (calvin, "training/episode_0000001.npz"),
    (zarr, "data/action/.zarray"),
    (tables, "action.npy"),
    (tables, "more.npz"),
    (tables, "pose.csv"),
]


@pytest.mark.parametrize(("make", "file"), FILES, ids=lambda each: getattr(each, "__name__", each))
def test_it_is_named_as_what_it_is_r3(
    make: Callable[[Path, Data], Path], file: str, tmp_path: Path, test_data: Data
) -> None:
    path = make(tmp_path, test_data)
    if make in (hdf5, lerobot):
        pytest.importorskip("h5py" if make is hdf5 else "pyarrow")
    for content, what in (
        (POINTER, "is a Git LFS pointer to 12345 bytes, not the data: run 'git lfs pull'"),
        (PAGE, "is an HTML page, most likely a server's error message: download the file again"),
    ):
        (path / file).write_bytes(content)
        with pytest.raises(rc.errors.FormatError) as raised:
            rc.open(path, progress=False)
        assert what in str(raised.value)
        assert str(raised.value).count(str(path / file)) == 1  # names it, and once
