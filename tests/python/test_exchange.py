"""Tensors of every framework in, the same kind out, without copies, leaks or surprises."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time

import ml_dtypes
import numpy as np
import pytest
import torch

import robocache as rc


class DLPackOnly:
    """An array of a framework that has __dlpack__ and nothing else."""

    def __init__(self, array, legacy=False):
        self.array = array
        self.legacy = legacy

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **arguments):
        if self.legacy:
            if "max_version" in arguments:
                raise TypeError("unexpected keyword argument 'max_version'")
            return self.array.__dlpack__()
        return self.array.__dlpack__(**arguments)


def linear(data, times, targets, **options):
    return rc.resample_trajectories(data, times, targets, **options)


@pytest.fixture
def arrays():
    data = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    times = np.array([0.0, 1.0, 2.0, 3.0])
    targets = np.array([0.5, 1.0, 2.25])
    return data, times, targets


def expected(data):
    """What linear() gives for the times of the fixture."""
    first = (data[:, 0] + data[:, 1]) / 2
    last = data[:, 2] * 0.75 + data[:, 3] * 0.25
    return np.stack([first, data[:, 1], last], 1)


def test_numpy_gives_numpy(arrays):
    result = linear(*arrays)
    assert type(result) is np.ndarray
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(arrays[0]))


def test_torch_gives_torch(arrays):
    result = linear(*map(torch.from_numpy, arrays))
    assert type(result) is torch.Tensor
    assert result.dtype == torch.float32
    assert result.device.type == "cpu"
    np.testing.assert_allclose(result.numpy(), expected(arrays[0]))


def test_read_only_arrays_are_taken(arrays):
    for array in arrays:
        array.flags.writeable = False
    np.testing.assert_allclose(linear(*arrays), expected(arrays[0]))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_strides_are_taken_without_a_copy(arrays, kind):
    data, times, targets = arrays
    wide = np.zeros((2, 8, 6), np.float32)
    wide[:, ::2, ::2] = data
    views = [wide[:, ::2, ::2], np.repeat(times, 2)[::2], targets]
    if kind == "torch":
        whole = torch.from_numpy(wide)
        views = [whole[:, ::2, ::2], *map(torch.from_numpy, views[1:])]
    np.testing.assert_allclose(np.asarray(linear(*views)), expected(data))


def test_transposed_and_reversed_arrays(arrays):
    data, times, targets = arrays
    reversed_channels = np.ascontiguousarray(data[..., ::-1])[..., ::-1]
    transposed = np.ascontiguousarray(data.transpose(2, 0, 1)).transpose(1, 2, 0)
    for view in (reversed_channels, transposed):
        np.testing.assert_allclose(linear(view, times, targets), expected(data))


def test_negated_views_are_refused():
    z = torch.complex(torch.ones(1, 5, 3), torch.ones(1, 5, 3))
    times, targets = torch.arange(5.0), torch.tensor([1.0])
    with pytest.raises(rc.Error, match=r"data: .*negated view.*resolve_neg"):
        rc.resample_trajectories(z.conj().imag, times, targets)
    with pytest.raises(rc.Error, match="negated view"):
        rc.resample_trajectories(z.conj().imag[:, :1, :1], times[:1], targets)
    resolved = rc.resample_trajectories(z.conj().imag.resolve_neg(), times, targets)
    assert torch.equal(resolved, -torch.ones(1, 1, 3))
    assert torch.equal(rc.resample_trajectories(z.imag, times, targets), torch.ones(1, 1, 3))


def test_bfloat16_of_torch(arrays):
    data, times, targets = map(torch.from_numpy, arrays)
    result = linear(data.bfloat16(), times, targets)
    assert result.dtype == torch.bfloat16
    np.testing.assert_allclose(result.float().numpy(), expected(arrays[0]), rtol=2**-8)


def test_bfloat16_of_numpy(arrays):
    data, times, targets = arrays
    result = linear(data.astype(ml_dtypes.bfloat16), times, targets)
    assert result.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(result.astype(np.float32), expected(data), rtol=2**-8)


def test_float16_and_float64(arrays):
    data, times, targets = arrays
    for dtype in (np.float16, np.float64):
        result = linear(data.astype(dtype), times, targets)
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected(data), rtol=2**-10)


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0)])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_empty_extents(shape, kind):
    result = linear(kind(np.zeros(shape, np.float32)), kind(np.arange(4.0)), kind(np.arange(5.0)))
    assert tuple(result.shape) == (shape[0], 5, shape[2])


def test_no_targets_and_no_samples(arrays):
    data, times, _ = arrays
    assert linear(data, times, np.zeros(0)).shape == (2, 0, 3)
    nothing = linear(data[:, :0], times[:0], np.zeros(2))
    np.testing.assert_array_equal(nothing, np.zeros((2, 2, 3)))


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_with_dlpack_alone(arrays, legacy):
    data, times, targets = (DLPackOnly(array, legacy) for array in arrays)
    out = DLPackOnly(np.zeros((2, 3, 3), np.float32), legacy)
    assert linear(data, times, targets, out=out) is out
    np.testing.assert_allclose(out.array, expected(arrays[0]))


class Strange:
    """A tensor that exports what it is told, and counts how often it is freed."""

    def __init__(self, shape, strides=None, *, ndim=None, dtype=(2, 32), name=b"dltensor"):
        class Managed(ctypes.Structure):
            _fields_ = [
                ("data", ctypes.c_void_p),
                ("device", ctypes.c_int32 * 2),
                ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8),
                ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64),
                ("context", ctypes.c_void_p),
                ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
            ]

        def numbers(values):
            return None if values is None else (ctypes.c_int64 * len(values))(*values)

        self.freed = 0
        self.kept = None  # a capsule that is exported again and again
        self.memory = np.zeros(4096, np.float64)
        self.managed = Managed(
            self.memory.ctypes.data,
            (1, 0),
            len(shape) if ndim is None else ndim,
            *dtype,
            1,
            numbers(shape),
            numbers(strides),
            0,
            None,
            type(Managed().deleter)(self.free),
        )
        self.name = name

    def free(self, _):
        self.freed += 1

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **_):
        if self.kept is not None:
            return self.kept
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), self.name, None)


def test_memory_of_a_capsule_is_freed_once():
    values, times = Strange((1, 4, 3)), Strange((4,), dtype=(0, 64))
    out = Strange((1, 4, 3))
    assert rc.resample_trajectories(values, times, times, mode="hold", out=out) is out
    assert (values.freed, times.freed, out.freed) == (1, 2, 1)
    plan = rc.Plan(rc.resample_trajectories, values, times, times, mode="hold", out=out)
    plan()
    assert (values.freed, times.freed, out.freed) == (1, 2, 1)
    del plan
    assert (values.freed, times.freed, out.freed) == (2, 4, 2)


def test_a_capsule_is_used_once():
    times = Strange((4,), dtype=(0, 64))
    values, out = Strange((1, 4, 3)), Strange((1, 4, 3))
    values.kept = values.__dlpack__()
    rc.resample_trajectories(values, times, times, mode="hold", out=out)
    with pytest.raises(rc.errors.ArgumentTypeError, match=r"data: .* used before"):
        rc.resample_trajectories(values, times, times, mode="hold", out=out)
    assert values.freed == 1


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"shape": (1, -4000000, 4)}, "extent 1 is -4000000"),
        ({"shape": (1, 4, -4)}, "extent 2 is -4"),
        ({"shape": (1, 4, 4), "ndim": -1}, "-1 dimensions"),
        ({"shape": (1, 4, 4), "ndim": 2**31 - 1}, "at most 64"),
        ({"shape": (2**40, 2**40, 4)}, "2\\^63"),
        ({"shape": (1, 4, 4), "dtype": (2, 24)}, "float24"),
        ({"shape": (1, 4, 4), "name": b"used_dltensor"}, "used before"),
        ({"shape": (1, 4, 4), "name": b"tensor"}, "wanted a DLPack capsule"),
    ],
)
def test_tensors_that_lie_are_refused(lie, message):
    stamps, honest = Strange((4,), dtype=(0, 64)), Strange((1, 4, 4))
    points = Strange((4, 3))
    calls = [
        lambda t: rc.resample_trajectories(t, stamps, stamps, mode="slerp", out=honest),
        lambda t: rc.resample_trajectories(honest, t, stamps, out=honest),
        lambda t: rc.resample_trajectories(honest, stamps, t, out=honest),
        lambda t: rc.resample_trajectories(honest, stamps, stamps, out=t),
        lambda t: rc.fuse_streams(
            [(honest, stamps), (t, stamps)] * 9, stamps, modes=["slerp"] * 18
        ),
        lambda t: rc.fuse_streams([(honest, t)], stamps),
        lambda t: rc.voxelize_point_cloud(t, 4, 0.5, out=honest),
        lambda t: rc.voxelize_point_cloud(points, 4, 0.5, features=t, mode="mean", out=honest),
        lambda t: rc.voxelize_sparse(t, 0.5),
        lambda t: rc.voxelize_sparse(points, 0.5, features=t, mode="mean"),
        lambda t: rc.depth_to_points(t, honest),
        lambda t: rc.voxelize_depth(t, honest, 4, 0.5),
    ]
    for call in calls:
        with pytest.raises(rc.Error, match=message):
            call(Strange(**lie))


def test_out_that_overlaps_itself(arrays):
    data, times, targets = arrays
    memory = np.zeros(64, np.float32)
    for strides in [(0, 12, 4), (32, 12, 4), (36, 12, 0), (36, 8, 4)]:
        out = np.lib.stride_tricks.as_strided(memory, (2, 3, 3), strides)
        with pytest.raises(rc.errors.InvalidArgumentError, match=r"out .* overlaps itself"):
            rc.resample_trajectories(data, times, targets, out=out)


def test_tensors_that_do_not_export_themselves(arrays):
    class Refuses(DLPackOnly):
        def __dlpack__(self, **arguments):
            raise BufferError("not today")

    with pytest.raises(rc.errors.ArgumentTypeError, match=r"data: .*not today") as caught:
        linear(Refuses(arrays[0]), *arrays[1:])
    assert isinstance(caught.value.__cause__, BufferError)


@pytest.mark.parametrize("option", ["max_gap", "tolerance"])
def test_lists_of_options_may_change_while_they_are_read(arrays, option):
    class Empties:
        def __float__(self):
            limits.clear()
            return -1.0

    limits = []
    limits += [Empties(), None]
    data, times, targets = arrays
    with pytest.raises(rc.errors.InvalidArgumentError, match=rf"{option}: found .*Empties"):
        rc.fuse_streams([(data, times), (data, times)], targets, **{option: limits})


def test_lists_of_other_options_may_change_while_they_are_read(arrays):
    class Empties:
        def __array__(self, *_, **__):
            channels.clear()
            return np.array([4, 4])

    channels = []
    channels += [[(slice(0, 2), "linear"), (2, "hold")], [(slice(0, 3), "hold")]]
    data, times, targets = arrays
    result = rc.fuse_streams(
        [(data, times), (data, times)], targets, lengths=[Empties(), None], channels=channels
    )
    assert not channels
    np.testing.assert_array_equal(result[..., :2], expected(data)[..., :2])
    np.testing.assert_array_equal(result[..., 2:], data[:, [0, 1, 2]][..., [2, 0, 1, 2]])


def test_jax_arrays_are_not_written(arrays):
    class Array(DLPackOnly):
        __module__ = "jaxlib"

    data, times, targets = map(Array, arrays)
    with pytest.raises(ValueError, match="out: the array is read-only"):
        linear(data, times, targets, out=Array(np.zeros((2, 3, 3), np.float32)))


def test_allocation_for_an_unknown_framework_says_to_give_out(arrays):
    with pytest.raises(rc.errors.UnsupportedError, match="pass out="):
        linear(*map(DLPackOnly, arrays))


def test_mixed_frameworks_are_an_error(arrays):
    data, times, targets = arrays
    with pytest.raises(TypeError, match=r"source_times: found .*ndarray.*wanted .*torch"):
        linear(torch.from_numpy(data), times, torch.from_numpy(targets))
    with pytest.raises(TypeError, match="target_times"):
        linear(data, times, torch.from_numpy(targets))


def test_lists_are_no_tensors(arrays):
    with pytest.raises(rc.Error, match=r"data: found <class 'list'>, wanted a tensor"):
        linear(arrays[0].tolist(), *arrays[1:])


@pytest.mark.parametrize("dtype", [np.complex64, ">f4", "U3", object, "datetime64[ns]"])
def test_other_dtypes_of_numpy_are_named(arrays, dtype):
    data = np.zeros((2, 4, 3), dtype)
    with pytest.raises(rc.Error, match="data: "):
        linear(data, *arrays[1:])


def test_raw_uint16_is_not_taken_for_bfloat16(arrays):
    with pytest.raises(rc.Error):
        linear(arrays[0].astype(np.uint16), *arrays[1:])


def test_odd_byte_strides_are_an_error(arrays):
    record = np.zeros((2, 4), np.dtype([("flag", "u1"), ("value", "<f4", 3)]))
    with pytest.raises(rc.Error, match="data: "):
        linear(record["value"], *arrays[1:])


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_out_is_written_and_returned(arrays, kind):
    data, times, targets = (kind(array) for array in arrays)
    out = kind(np.full((2, 3, 3), -1, np.float32))
    assert linear(data, times, targets, out=out) is out
    np.testing.assert_allclose(np.asarray(out), expected(arrays[0]))


def test_out_with_strides(arrays):
    wide = np.full((2, 3, 6), -1, np.float32)
    linear(*arrays, out=wide[..., ::2])
    np.testing.assert_allclose(wide[..., ::2], expected(arrays[0]))
    assert (wide[..., 1::2] == -1).all()


def test_wrong_out_is_refused(arrays):
    with pytest.raises(ValueError, match=r"out: shape \[2, 3, 4\] found, \[2, 3, 3\] wanted"):
        linear(*arrays, out=np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ValueError, match="out: dtype float64 found, float32 wanted"):
        linear(*arrays, out=np.zeros((2, 3, 3)))
    read_only = np.zeros((2, 3, 3), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="out: the array is read-only"):
        linear(*arrays, out=read_only)
    with pytest.raises(TypeError, match="out: found"):
        linear(*arrays, out=torch.zeros(2, 3, 3))


def test_without_a_batch_axis(arrays):
    data, times, targets = arrays
    values, valid, dt = linear(
        data[0], times, targets, return_valid=True, return_dt=True, tolerance=0.3
    )
    np.testing.assert_allclose(values, expected(data)[0])
    np.testing.assert_array_equal(valid, [False, True, True])
    np.testing.assert_allclose(dt, [0.5, 0, 0.25])


def test_masks_are_of_the_same_kind(arrays):
    for kind in (np.asarray, torch.from_numpy):
        values, valid, dt = linear(*map(kind, arrays), return_valid=True, return_dt=True)
        assert type(values) is type(valid) is type(dt) is type(kind(arrays[0]))
        assert "bool" in str(valid.dtype)
        assert "float64" in str(dt.dtype)


def test_lengths_as_list_and_as_array(arrays):
    by_list = linear(*arrays, lengths=[4, 2])
    by_array = linear(*arrays, lengths=np.array([4, 2], np.int32))
    np.testing.assert_array_equal(by_list, by_array)
    assert (by_list[1, 2] == arrays[0][1, 1]).all()


def test_gradients_flow_through_the_reference():
    data = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    times = torch.arange(5, dtype=torch.float64)
    targets = torch.tensor([0.25, 3.5], dtype=torch.float64)
    linear(data, times, targets).sum().backward()
    assert data.grad is not None
    np.testing.assert_allclose(data.grad[0, :, 0], [0.75, 0.25, 0, 0.5, 0.5])
    with torch.no_grad():
        assert not linear(data, times, targets).requires_grad


def test_keywords_and_positions(arrays):
    data, times, targets = arrays
    by_name = rc.resample_trajectories(target_times=targets, data=data, source_times=times)
    np.testing.assert_array_equal(by_name, linear(data, times, targets))
    built = "".join(["mo", "de"])  # not interned
    np.testing.assert_array_equal(
        linear(data, times, targets, **{built: "".join(["ho", "ld"])}),
        linear(data, times, targets, mode="hold"),
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "needs argument 'data'"),
        ((1, 2, 3, 4), {}, "at most 3 positional arguments, 4 given"),
        ((1,), {"data": 2}, "multiple values for argument 'data'"),
        ((1, 2, 3), {"modus": "hold"}, "unexpected keyword argument 'modus'"),
    ],
)
def test_wrong_calls_are_type_errors(args, kwargs, message):
    with pytest.raises(TypeError, match=message) as caught:
        rc.resample_trajectories(*args, **kwargs)
    assert isinstance(caught.value, rc.Error)


def test_unknown_choices_list_those_there_are(arrays):
    with pytest.raises(ValueError, match=r"mode: found 'lineal', wanted one of 'linear', 'hold'"):
        linear(*arrays, mode="lineal")
    with pytest.raises(ValueError, match="backend: found 'gpu', wanted one of 'cpu', 'cuda'"):
        linear(*arrays, backend="gpu")
    with pytest.raises(ValueError, match="outside: found 'clamp'"):
        linear(*arrays, outside="clamp")


def test_cuda_for_host_tensors_is_an_error_that_says_why(arrays):
    with pytest.raises(rc.Error, match="backend: 'cuda' found, but data is not on a CUDA device"):
        linear(*arrays, backend="cuda")


def test_references_are_given_back(arrays):
    data, times, targets = map(torch.from_numpy, arrays)
    for objects in ((data, times, targets), arrays):
        before = [sys.getrefcount(item) for item in objects]
        for _ in range(100):
            linear(*objects, return_valid=True)
            with pytest.raises(rc.Error):
                linear(*objects, mode="none")
            with pytest.raises(rc.Error):
                linear(objects[0], objects[1], objects[1][:0].reshape(0, 1, 1))
        assert [sys.getrefcount(item) for item in objects] == before


def test_memory_does_not_grow(arrays):
    resource = pytest.importorskip("resource")
    data = np.zeros((8, 256, 64), np.float32)
    times = np.arange(256.0)

    def work():
        for _ in range(50):
            linear(data, times, times)
            linear(*map(torch.from_numpy, (data, times, times)))

    for _ in range(7):  # a sanitizer holds back the first 256 MB that are freed
        work()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(4):
        work()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # of 200 MB made


def test_other_threads_run_during_work():
    """The counting thread gets on within a call, and only there: nothing else yields to it."""
    data = np.zeros((64, 2048, 256), np.float32)
    times = np.arange(2048.0)
    out = np.empty_like(data)
    counted = 0
    done = threading.Event()

    def count():
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0)

    thread = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    thread.start()
    try:
        sys.setswitchinterval(1000)
        progress = 0
        for _ in range(1000):
            before = counted
            linear(data, times, times, out=out)
            progress = counted - before
            if progress:
                break
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
    assert progress


def test_calls_from_several_threads(arrays):
    wanted = expected(arrays[0])
    failures = []

    def work():
        for _ in range(300):
            if not np.allclose(linear(*arrays), wanted):
                failures.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        rc.set_num_threads(1)
        rc.set_num_threads(0)
    for thread in threads:
        thread.join()
    assert not failures
