"""The process that looks into HDF5 files, and what it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import robocache as rc

h5py = pytest.importorskip("h5py", reason="the process reads by h5py")

from robocache.formats.hdf5 import process
from tests.python.hdf5_files import write_demos


class CutShort:
    """A pipe that takes few bytes at a time, as one may where signals come."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    def write(self, data: Any) -> Any:
        return self.pipe.write(data[:7])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipe, name)


def test_requests_arrive_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "demo.hdf5"
    write_demos(path, {0: 5})
    running = process.Reader._running

    def cut_short(reader: Any) -> Any:
        found = running(reader)
        if not isinstance(found.stdin, CutShort):
            found.stdin = CutShort(found.stdin)
        return found

    monkeypatch.setattr(process, "_SILENCE_S", 20.0)  # of one that waits for the rest
    monkeypatch.setattr(process.Reader, "_running", cut_short)
    assert len(rc.open(path, progress=False)) == 1
