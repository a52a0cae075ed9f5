"""What importing the package costs and brings along, and what it says of the installation."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import textwrap

import robocache as rc
from tests.python import small_dataset

PUBLIC_FUNCTIONS = (
    rc.resample_trajectories,
    rc.fuse_streams,
    rc.fuse_multimodal,
    rc.voxelize_point_cloud,
)


def run(code: str, **environment: str) -> str:
    """Runs Python code in a new process that finds the same robocache; returns what it prints."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_import_brings_neither_torch_nor_numpy():
    code = """
        import sys, robocache
        print(sorted({"torch", "numpy", "PIL", "matplotlib"} & set(sys.modules)))
    """
    assert run(code).strip() == "[]"


def test_loader_classes_do_not_import_numpy():
    code = """
        import sys, robocache
        robocache.DataLoader, robocache.Window, robocache.open
        print(sorted({"torch", "numpy"} & set(sys.modules)))
    """
    assert run(code).strip() == "[]"


def test_a_loader_waits_for_torch_that_another_thread_imports(tmp_path):
    """As far as it looks into it, that is: here is a torch whose import takes until it waits."""
    folder = tmp_path / "torch" / "utils"
    folder.mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    (folder / "data.py").write_text(
        "import abc, __main__\n"
        "__main__.begun.set()\n"
        "__main__.waiting.wait(1)\n"
        "class IterableDataset(abc.ABC): pass\n"
        "def get_worker_info(): return None\n"
    )
    small_dataset.write(tmp_path)
    code = """
        import sys, threading, robocache
        dataset = robocache.open(sys.path[0] + "/small", control_rate_hz=10, progress=False)
        loader = robocache.DataLoader(dataset, 2, array="numpy")
        begun, waiting = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: __import__("torch.utils.data"))
        thread.start()
        begun.wait()
        print(len(loader) == len(robocache.DataLoader(dataset, 2, array="numpy")))
    """
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    assert run(code.replace("sys.path[0]", repr(str(tmp_path))), PYTHONPATH=path).strip() == "True"


def test_numpy_calls_do_not_import_torch():
    code = """
        import sys, numpy, robocache
        robocache.resample_trajectories(
            numpy.zeros((2, 3), "f4"), numpy.arange(2.0), numpy.arange(4.0))
        print("torch" in sys.modules)
    """
    assert run(code).strip() == "False"


def test_check_installation_is_json_and_imports_nothing():
    code = """
        import json, sys, robocache
        found = robocache.check_installation()
        assert not {"torch", "numpy"} & set(sys.modules)
        print(json.dumps(found))
    """
    found = json.loads(run(code))
    assert found["native"]["available"] is True
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["robocache"])
    assert found["robocache"] == rc.__version__
    assert found["packages"]["numpy"]
    assert found["native"]["num_threads"] >= 1
    assert found["cuda"]["available"] or found["cuda"]["reason"]
    assert {"jpeg", "png", "jxl"} <= set(found["codecs"])
    assert {"rlds", "calvin", "hdf5", "lerobot", "tables", "zarr"} <= set(found["formats"])
    assert re.match(r"\d+\.\d+", found["native"]["libjpeg_turbo"])


def test_number_of_threads_comes_from_the_environment():
    code = "import robocache; print(robocache.get_num_threads())"
    assert run(code, ROBOCACHE_NUM_THREADS="3").strip() == "3"


def test_wrong_number_of_threads_in_the_environment_is_an_error():
    code = """
        import robocache
        try:
            robocache.get_num_threads()
        except robocache.Error as error:
            print(error)
    """
    assert "ROBOCACHE_NUM_THREADS: found 'many'" in run(code, ROBOCACHE_NUM_THREADS="many")


def test_set_num_threads():
    before = rc.get_num_threads()
    rc.set_num_threads(2)
    assert rc.get_num_threads() == 2
    rc.set_num_threads(before)


def test_functions_have_signatures_and_documentation():
    for function in PUBLIC_FUNCTIONS:
        parameters = inspect.signature(function).parameters
        assert "backend" in parameters
        assert "Raises:" in (function.__doc__ or "")


def test_without_native_module_warns_and_serves_the_reference():
    code = """
        import sys, warnings
        sys.modules["robocache._core"] = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import robocache
        print(len(caught), "native module cannot load" in str(caught[0].message))
        import torch
        data = torch.tensor([[0.0], [1.0]])
        times = torch.tensor([0.0, 1.0])
        print(robocache.resample_trajectories(data, times, torch.tensor([0.5])).item())
        try:
            robocache.open("nowhere")
        except robocache.Error as error:
            print("open needs the native module" in str(error))
        try:
            robocache.resample_trajectories(data, times, times, backend="cpu")
        except NotImplementedError as error:
            print("'cpu' needs the native module" in str(error))
        print(robocache.check_installation()["native"]["available"])
    """
    assert run(code).split("\n")[:5] == ["1 True", "0.5", "True", "True", "False"]


def test_what_needs_torch_says_so_where_there_is_none(tmp_path):
    small_dataset.write(tmp_path)
    code = f"""
        import sys
        sys.modules["torch"] = None
        import numpy as np, robocache as rc
        from robocache.datasets import LeRobotDataset, RTXDataLoader
        path = {str(tmp_path / "small")!r}
        values, times = np.zeros((1, 2, 3), "f4"), np.zeros((1, 2))
        for call in (
            lambda: rc.resample_trajectories(values, times, times, backend="pytorch"),
            lambda: rc.decode_jpeg([b"?"], backend="pytorch"),
            lambda: RTXDataLoader(path, 4, use_robocache=False, rate_hz=10),
            lambda: RTXDataLoader(path, 4, False, streams={{"action": rc.Window(0)}}),
            lambda: LeRobotDataset(path),
            lambda: rc.DataLoader(rc.open(path, control_rate_hz=10), 4, array="torch"),
        ):
            try:
                call()
                print("no error")
            except rc.errors.UnsupportedError as error:
                print("needs PyTorch" in str(error), error)
    """
    told = run(code).splitlines()
    assert [line.split()[0] for line in told] == ["True", "True", "False", "True", "True", "True"]
    assert "takes no rate_hz" in told[2]
