"""Short of descriptors, threads or memory: a clear error or less of them in use, and no damage."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

import robocache as rc
from tests.python import calvin_sets


@pytest.fixture(scope="module")
def many_files(tmp_path_factory):
    """500 episodes, each in a shard of its own."""
    folder = tmp_path_factory.mktemp("shards")
    features = {"action": rc.Feature("int64", ())}
    with rc.RldsWriter(folder, "shards", features, shard_bytes=1) as writer:
        for index in range(500):
            writer.add_episode({"action": np.array([index])})
    path = folder / "shards" / "1.0.0"
    rc.open(path, progress=False)
    return path


def run(code, *arguments):
    """Runs `code` in a process of its own, whose limits it may lower."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_descriptors_follow_the_limit(many_files):
    code = """
        import os, resource, sys
        import robocache as rc
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        dataset = rc.open(sys.argv[1], control_rate_hz=10, progress=False)
        loaders = [
            rc.DataLoader(view, 7, shuffle=True, array="numpy", num_threads=96)
            for view in (dataset, dataset.take(range(250)))
        ]
        seen, most = set(), 0
        for loader in loaders:
            for batch in loader:
                seen.update(batch["action"][:, 0].tolist())
                most = max(most, len(os.listdir("/proc/self/fd")))
        print(len(seen), most < 128)
    """
    assert run(code, many_files) == "500 True\n"


@pytest.mark.parametrize("name", ["training/ep_start_end_ids.npy", "training", "validation"])
def test_what_cannot_be_looked_at_is_not_left_out(tmp_path, monkeypatch, name):
    calvin_sets.write_split(tmp_path / "training", [(3, 5)])
    calvin_sets.write_split(tmp_path / "validation", [(7, 9)])
    failing = os.fspath(tmp_path / name)

    def refuse(real):
        def look(path=".", *arguments, **options):
            if isinstance(path, str) and path.startswith(failing):
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            return real(path, *arguments, **options)

        return look

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse(os.stat))
        with pytest.raises(rc.Error, match="Input/output error") as told:
            rc.open(tmp_path, control_rate_hz=30, progress=False)
        assert isinstance(told.value, OSError)
    assert len(rc.open(tmp_path, control_rate_hz=30, progress=False)) == 2


TABLE = {
    "format": "tables",
    "rate_hz": 10,
    "streams": {"x": {"path": "x.npz", "member": "a"}},
}


@pytest.mark.parametrize("mapping", [None, TABLE], ids=["calvin", "tables"])
def test_what_a_disk_does_not_give_is_no_damaged_archive(tmp_path, monkeypatch, mapping):
    def refuse(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    if mapping is None:
        calvin_sets.write_split(tmp_path / "training", [(3, 5)])
    else:
        np.savez(tmp_path / "x.npz", a=np.arange(6.0))
    options = {"control_rate_hz": None if mapping else 30, "mapping": mapping, "progress": False}
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "_EndRecData", refuse)  # zipfile says BadZipFile of it
        with pytest.raises(rc.Error, match="Input/output error") as told:
            rc.open(tmp_path, **options)
        assert isinstance(told.value, OSError)
    assert len(rc.open(tmp_path, **options)) == 1
