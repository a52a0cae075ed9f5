"""The process that looks into HDF5 files (:mod:`.child`), as its parent sees it."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ... import _causes
from ...errors import FormatError, IoError, UnsupportedError

__all__ = ["Reader", "readers"]

CPU_S = 60.0  # of work that one episode may take: beyond it libhdf5 is taken to find no end
_SILENCE_S = 600.0
_TICK_S = 0.1
_MOST_HEAD = 1 << 30

Message = tuple[dict[str, Any], list[Any]]
"""A table and the arrays that came with it."""

_START = (
    "import sys; sys.path[:] = sys.argv[1:]; import h5py; "
    "from robocache.formats.hdf5.child import main; main()"
)

Heard = Callable[[], object]
"""Called a few times a second while something is waited for; raises to stop it."""


class Reader:
    """One such process, started when first asked and started anew after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Mapping[str, Any], heard: Heard) -> Iterator[Message]:
        """Yields the messages that answer a request, with their arrays; the last has "end".

        Raises:
            FormatError: the process died of the file, or was silent for too long.
            UnsupportedError: h5py is not installed.
        """
        process = self._running()
        path = request["file"]
        is_whole = False
        try:
            try:
                _send(process, json.dumps({**request, "cpu_s": CPU_S}).encode() + b"\n")
            except BrokenPipeError:
                raise self._died(process, path) from None
            while not is_whole:
                message, arrays = self._message(process, path, heard)
                is_whole = "end" in message
                yield message, arrays
        finally:
            if not is_whole:
                self.close()

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        if not sys.executable:
            raise UnsupportedError(
                "HDF5 files are read by a Python process of their own: sys.executable is not set"
            )
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "HDF5_USE_FILE_LOCKING": "FALSE"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, *map(os.path.abspath, sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for this process to tell it
            )
        except OSError as error:
            raise IoError(f"{sys.executable}: {error.strerror or error}") from error
        return self._process

    def _message(self, process: subprocess.Popen[bytes], path: str, heard: Heard) -> Message:
        import numpy

        (size,) = struct.unpack("<Q", self._bytes(process, path, 8, heard))
        if size > _MOST_HEAD:
            raise self._died(process, path)
        head = json.loads(bytes(self._bytes(process, path, size, heard)))
        if "why" in head:  # may hold names that are no UTF-8
            head["why"] = head["why"].encode("utf-8", "backslashreplace").decode()
        arrays = []
        for dtype, shape in head.pop("arrays"):
            array = numpy.empty(shape, numpy.dtype(dtype))
            content = self._bytes(process, path, array.nbytes, heard)
            arrays.append(numpy.frombuffer(content, array.dtype).reshape(shape))
        return head, arrays

    def _bytes(
        self, process: subprocess.Popen[bytes], path: str, count: int, heard: Heard
    ) -> bytearray:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        content = bytearray(count)
        view, at = memoryview(content), 0
        deadline = time.monotonic() + _SILENCE_S
        while at < count:
            ready, _, _ = select.select([pipe], [], [], _TICK_S)
            if not ready:
                heard()
                if time.monotonic() > deadline:
                    self.close()
                    raise FormatError(f"{path}: libhdf5 was silent for {_SILENCE_S:g} s")
                continue
            got = os.readv(pipe, [view[at:]])
            if got == 0:
                raise self._died(process, path)
            at += got
            deadline = time.monotonic() + _SILENCE_S
        return content

    def _died(self, process: subprocess.Popen[bytes], path: str) -> FormatError | IoError:
        code = process.wait()
        self._process = None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        if code > 0:  # Python ended it, and it tells of files that it cannot read
            need_h5py()
            return IoError(
                f"{path}: the Python process that reads HDF5 files, {sys.executable}, ended with "
                f"exit code {code}"
            )
        if code == -signal.SIGXCPU:
            return FormatError(f"{path}: libhdf5 found no end in {CPU_S:g} s: it is damaged")
        how = signal.Signals(-code).name if code < 0 else "it ended"
        return FormatError(
            f"{path}: libhdf5 crashed ({how}) in the process that reads it: the file is damaged"
        )


def _send(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Writes all of a line: a signal may cut a write to a pipe short."""
    assert process.stdin is not None
    left = memoryview(line)
    while left:
        left = left[process.stdin.write(left) :]


def need_h5py() -> None:
    """Raises UnsupportedError where h5py is not installed."""
    from ..builtin import need

    need("h5py", "hdf5")


class _Pool:
    """Readers that are not in use, of one call of open(); ended with it."""

    def __init__(self) -> None:
        self._idle: list[Reader] = []
        self._lock = threading.Lock()
        self._is_open = True

    def take(self) -> Reader:
        with self._lock:
            return self._idle.pop() if self._idle else Reader()

    def give(self, reader: Reader) -> None:
        with self._lock:
            if self._is_open:
                self._idle.append(reader)
                return
        reader.close()

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()


def readers(opening: _causes.Opening) -> _Pool:
    """Returns a pool that ends with a call of open()."""
    pool = _Pool()
    opening.at_end.append(pool.close)
    return pool
