"""Short of descriptors, threads or memory: a clear error or less of them in use, and no damage."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import robocache as rc


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
