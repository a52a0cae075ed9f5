"""A wheel carries FFmpeg under the LGPL alone."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "ffmpeg.sh"
SYSTEMS = "libavcodec.so.59"


def test_a_library_under_the_gpl_is_refused(tmp_path):
    try:
        library = ctypes.CDLL(SYSTEMS)
    except OSError as error:
        pytest.skip(str(error))
    library.avcodec_license.restype = ctypes.c_char_p
    licence = library.avcodec_license().decode()
    if not licence.startswith("GPL"):
        pytest.skip(f"{SYSTEMS} is under {licence}")
    maps = Path("/proc/self/maps").read_text().split()
    path = next(each for each in maps if SYSTEMS in each)
    shutil.copy(path, tmp_path / "libavcodec-robocache.so.59")
    (tmp_path / "built").touch()  # so that none is built
    ended = subprocess.run([TOOL, tmp_path], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"libavcodec-robocache.so.59 is under {licence}: wanted the LGPL" in ended.stderr
