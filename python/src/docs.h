/* Docstrings of the functions, with the signatures that inspect.signature() reads. */
#ifndef RBC_PYTHON_DOCS_H
#define RBC_PYTHON_DOCS_H

#include <Python.h>

PyDoc_STRVAR(
    doc_resample_trajectories,
    "resample_trajectories($module, data, source_times, target_times, *, mode='linear', "
    "outside='hold', lengths=None, channels=None, max_gap=None, tolerance=None, "
    "nan_missing=False, check_times=False, return_valid=False, return_dt=False, backend=None, "
    "out=None)\n--\n\n"
    "Puts samples on another clock.\n\n"
    "Args:\n"
    "    data: values [B, S, D] or [S, D]. Float16, bfloat16, float32 or float64; with modes\n"
    "        'hold', 'nearest', 'max' and 'min' also uint8, int8, int16, int32, int64 and bool.\n"
    "        torch, NumPy, CuPy or JAX; the others must be of the same kind.\n"
    "    source_times: stamps [B, S], or [S] for all rows, non-decreasing: int64 nanoseconds,\n"
    "        float64 or float32 seconds. Of equal stamps the last counts.\n"
    "    target_times: [B, T] or [T], same dtype, in any order.\n"
    "    mode: 'linear', 'hold' (last sample at or before the target), 'nearest', 'cubic', "
    "'slerp'\n"
    "        (unit quaternions), 'angle' (radians), or over the interval since the previous "
    "target\n"
    "        'mean', 'max', 'min'.\n"
    "    outside: what is written where no sample is valid: 'hold', 'nan', 'zero' or\n"
    "        'extrapolate' (linear only).\n"
    "    lengths: samples that exist in each row, [B] int32 or int64, or a list.\n"
    "    channels: modes of some channels, such as\n"
    "        [(slice(0, 3), 'linear'), (slice(3, 7), 'slerp'), (7, 'hold')]; the rest have "
    "`mode`.\n"
    "    max_gap: samples further apart are not interpolated; in the unit of the times.\n"
    "    tolerance: largest distance to the sample used; in the unit of the times.\n"
    "    nan_missing: NaN values count as absent samples.\n"
    "    check_times: on CUDA, check the order of the stamps, which waits for the device.\n"
    "    return_valid: also return a bool mask [B, T].\n"
    "    return_dt: also return target minus stamp of the sample used, [B, T], dtype of the "
    "times.\n"
    "    backend: None (by where the data is), 'cpu', 'cuda' or 'pytorch' (reference).\n"
    "    out: array to write to, [B, T, D] of data's dtype.\n\n"
    "Returns:\n"
    "    [B, T, D] ([T, D] for [S, D]) of data's kind, dtype and device; with return_valid or\n"
    "    return_dt a tuple of it and those.\n\n"
    "Raises:\n"
    "    InvalidArgumentError: a shape, dtype or value is wrong, or stamps decrease.\n"
    "    ArgumentTypeError: an argument is no tensor or of another kind than data.\n"
    "    UnsupportedError: no backend of this build can do it.");

PyDoc_STRVAR(
    doc_fuse_streams,
    "fuse_streams($module, streams, target_times, *, modes=None, outside=None, lengths=None, "
    "channels=None, max_gap=None, tolerance=None, nan_missing=False, check_times=False, "
    "return_valid=False, backend=None, out=None)\n--\n\n"
    "Puts any number of streams on one clock, side by side, in one pass.\n\n"
    "Args:\n"
    "    streams: [(values [B, S_i, D_i] or [S_i, D_i], times [B, S_i] or [S_i]), ...], all of "
    "one\n"
    "        kind and dtype, see resample_trajectories().\n"
    "    target_times: [B, T] or [T].\n"
    "    modes, outside, max_gap, tolerance: one for all, or a list with one (or None) a stream.\n"
    "    lengths, channels: lists with one element (or None) a stream.\n"
    "    nan_missing, check_times, backend: as in resample_trajectories().\n"
    "    return_valid: also return a bool mask [B, T, N].\n"
    "    out: array to write to, [B, T, sum(D_i)].\n\n"
    "Returns:\n"
    "    [B, T, sum(D_i)], or (that, valid).\n\n"
    "Raises:\n"
    "    As resample_trajectories().");

PyDoc_STRVAR(
    doc_fuse_multimodal,
    "fuse_multimodal($module, vision, vision_times, proprio, proprio_times, force, force_times, "
    "target_times, *, mode='linear', modes=None, outside=None, lengths=None, channels=None, "
    "max_gap=None, tolerance=None, nan_missing=False, check_times=False, return_valid=False, "
    "backend=None, out=None)\n--\n\n"
    "Puts vision features, proprioception and force on one clock, side by side.\n\n"
    "Args:\n"
    "    vision, proprio, force: values [B, S_i, D_i] or [S_i, D_i].\n"
    "    vision_times, proprio_times, force_times: stamps [B, S_i] or [S_i].\n"
    "    target_times: [B, T] or [T].\n"
    "    mode: of all streams where `modes`, a list of three, does not say otherwise.\n"
    "    The rest: as in fuse_streams().\n\n"
    "Returns:\n"
    "    [B, T, D_vision + D_proprio + D_force], or (that, valid [B, T, 3]).\n\n"
    "Raises:\n"
    "    As resample_trajectories().");

PyDoc_STRVAR(
    doc_voxelize_point_cloud,
    "voxelize_point_cloud($module, points, grid_size, voxel_size, origin=None, *, features=None, "
    "mode='occupancy', lengths=None, return_counts=False, return_dropped=False, backend=None, "
    "out=None)\n--\n\n"
    "Reduces points into a dense grid.\n\n"
    "A point is in cell floor((p - origin) / voxel_size), computed in the points' own type. "
    "Points\n"
    "outside the grid and those not finite are dropped.\n\n"
    "Args:\n"
    "    points: [N, 3] or [B, N, 3]; float32, float64, float16 or bfloat16.\n"
    "    grid_size: cells along x, y and z; one number or three.\n"
    "    voxel_size: extent of a cell; one number or three.\n"
    "    origin: lower corner of cell (0, 0, 0); by default the grid is centred on zero.\n"
    "    features: [N, F] or [B, N, F], for modes 'sum', 'mean', 'max' and 'min'.\n"
    "    mode: 'occupancy' (uint8), 'count' (int32), 'sum', 'mean', 'max' or 'min' of features.\n"
    "    lengths: points that exist in each row, [B] int32 or int64, or a list.\n"
    "    return_counts: also return points a cell, int32 [.., X, Y, Z].\n"
    "    return_dropped: also return dropped points a row, int64 [B] ([1] without a batch).\n"
    "    backend: None (by where the points are), 'cpu', 'cuda' or 'pytorch' (reference).\n"
    "    out: array to write to.\n\n"
    "Returns:\n"
    "    [X, Y, Z], with a leading B where points have one and a trailing F with features; empty\n"
    "    cells are 0. A tuple of it and the others asked for.\n\n"
    "Raises:\n"
    "    InvalidArgumentError: a shape, dtype or value is wrong.\n"
    "    ArgumentTypeError: an argument is no tensor or of another kind than points.\n"
    "    UnsupportedError: no backend of this build can do it.");

PyDoc_STRVAR(doc_resample_backward,
             "resample_backward($module, grad_out, grad_values, source_times, target_times, *, "
             "mode='linear', outside='hold', lengths=None, channels=None, max_gap=None, "
             "tolerance=None)\n--\n\n"
             "The adjoint of resample_trajectories with respect to the values.\n\n"
             "grad_out: [B, T, D] or [T, D], float32 or float64, gradient of the output\n"
             "grad_values: [B, S, D] or [S, D], same dtype, overwritten\n\n"
             "Modes linear, hold, nearest, cubic, angle and mean; for robocache.torch.\n\n"
             "Raises UnsupportedError: another mode.");

PyDoc_STRVAR(doc_set_num_threads,
             "set_num_threads($module, num_threads, /)\n--\n\n"
             "Sets how many threads an operation on the CPU may use, the caller's included.\n\n"
             "0 means $ROBOCACHE_NUM_THREADS, or all cores where that is not set.");

PyDoc_STRVAR(doc_get_num_threads, "get_num_threads($module)\n--\n\n"
                                  "Returns how many threads an operation on the CPU may use.");

PyDoc_STRVAR(
    doc_set_cpu_features,
    "set_cpu_features($module, features, /)\n--\n\n"
    "Sets which instruction sets operations on the CPU may use.\n\n"
    "features: names from 'avx2', 'avx512' and 'neon' (() is the baseline), or None for all\n"
    "that the processor has. Results are the same bits whatever is chosen; this is for\n"
    "tests and measurements.\n\n"
    "Raises InvalidArgumentError: a name is none of these.");

PyDoc_STRVAR(doc_native_info, "native_info($module)\n--\n\n"
                              "Returns version, CPU features in use and number of threads.");

#endif
