/* Docstrings of the functions, with the signatures that inspect.signature() reads.
 * Shared within python/src/module. */
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
    "    target_times: [B, T] or [T], same dtype, in any order; or a list.\n"
    "    mode: 'linear', 'hold' (last sample at or before the target), 'nearest', 'cubic', "
    "'slerp'\n"
    "        (quaternions, unit output), 'angle' (radians), or over the interval since the "
    "previous "
    "target\n"
    "        'mean', 'max', 'min'.\n"
    "    outside: what is written where `valid` is false: 'hold' (beyond the ends the end "
    "sample),\n"
    "        'nan', 'zero' or 'extrapolate' (linear only).\n"
    "    lengths: samples that exist in each row, [B] integers of any kind, or a list.\n"
    "    channels: modes of some channels, such as\n"
    "        [(slice(0, 3), 'linear'), (slice(3, 7), 'slerp'), (7, 'hold')]; the rest have "
    "`mode`.\n"
    "    max_gap: a target between samples further apart, or held for longer behind the last, is\n"
    "        not valid; in the unit of the times. Not of 'mean', 'max' and 'min'.\n"
    "    tolerance: likewise where the sample used ('hold': the one before, else the nearer) is\n"
    "        further away. Beyond the ends only what is within a tolerance that is given is "
    "valid;\n"
    "        'hold' is never valid before the first sample, and without limits for ever behind "
    "it.\n"
    "    nan_missing: NaN values count as absent samples.\n"
    "    check_times: on CUDA too, look at the stamps first, as the CPU always does; the call then "
    "waits.\n"
    "    return_valid: also return a bool mask [B, T]; for 'mean', 'max' and 'min' whether the\n"
    "        interval holds a sample.\n"
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
    "    grid_size: cells along x, y and z; one number or three, of any kind (NumPy, tensors).\n"
    "    voxel_size: extent of a cell; likewise.\n"
    "    origin: lower corner of cell (0, 0, 0); by default the grid is centred on zero.\n"
    "    features: [N, F] or [B, N, F], for modes 'sum', 'mean', 'max' and 'min'.\n"
    "    mode: 'occupancy' (uint8), 'count' (int32), 'sum', 'mean', 'max' or 'min' of features.\n"
    "    lengths: points that exist in each row, [B] integers of any kind, or a list.\n"
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

PyDoc_STRVAR(
    doc_voxelize_sparse,
    "voxelize_sparse($module, points, voxel_size=None, origin=None, *, grid_size=None, "
    "features=None, mode=None, preset='robocache', upper=None, scale=None, max_points=None, "
    "max_voxels=None, lengths=None, outputs=None, backend=None)\n--\n\n"
    "Finds the cells that hold points, and reduces the features of each.\n\n"
    "Args:\n"
    "    points: [N, 3] or [B, N, 3]; float32, float64, float16 or bfloat16.\n"
    "    voxel_size: extent of a cell; one number or three. Preset 'kaolin' uses none.\n"
    "    origin: lower corner of cell (0, 0, 0); see preset for the default.\n"
    "    grid_size: cells along x, y and z, or None: no bounds.\n"
    "    features: [N, F] or [B, N, F].\n"
    "    mode: 'sum', 'mean' (default), 'max' or 'min' of features; 'count' without.\n"
    "    preset: whose conventions to follow: 'robocache', 'mmcv', 'spconv', 'open3d_voxelize',\n"
    "        'open3d_down_sample' or 'kaolin'; robocache/voxelize.h says each in full.\n"
    "    upper: upper corner of the bounds, for 'open3d_voxelize'.\n"
    "    scale: extent of the grid, for 'kaolin'; by default that of the cloud.\n"
    "    max_points: kept in each voxel, the first in point order; by default all.\n"
    "    max_voxels: M, rows of the outputs; by default N.\n"
    "    lengths: points that exist in each row, [B] integers of any kind, or a list.\n"
    "    outputs: names of those wanted beside coordinates and num_voxels; by default counts,\n"
    "        features, point_to_voxel and dropped.\n"
    "    backend: None (by where the points are), 'cpu' or 'cuda'.\n\n"
    "Returns:\n"
    "    A dict of tensors, with a leading B where points have one; rows past num_voxels are\n"
    "    padding: coordinates int32 [M, 3] (-1), num_voxels int32 [1], counts int32 [M] (0),\n"
    "    features [M, F] (0), voxels [M, max_points, F] (0), point_indices int32\n"
    "    [M, max_points] (-1), point_to_voxel int32 [N] (-1: none), point_coordinates int32\n"
    "    [N, 3] (-1: none), dropped int64 [1], origins float64 [3].\n\n"
    "Raises:\n"
    "    As voxelize_point_cloud().");

PyDoc_STRVAR(
    doc_depth_to_points,
    "depth_to_points($module, depth, intrinsics, pose=None, *, depth_scale=None, min_depth=0.0, "
    "max_depth=1e30, pixel_offset=0.0, compact=False, backend=None)\n--\n\n"
    "Turns depth images into points.\n\n"
    "Args:\n"
    "    depth: [H, W], [B, H, W] or [B, T, H, W]; uint16, float32 or float64. A trailing axis of\n"
    "        one, as image batches have it, is the channel: [H, W, 1] is one image, not H of "
    "them.\n"
    "    intrinsics: [3, 3], or one for each image. A list, or an array of another kind, is\n"
    "        copied beside the image.\n"
    "    pose: camera to world, [4, 4] or [3, 4], likewise.\n"
    "    depth_scale: metres for one unit of the image; by default 0.001 for integers, else 1.\n"
    "    min_depth, max_depth: pixels at or below the first, or above the second, are invalid.\n"
    "    pixel_offset: 0 puts the centre of the first pixel at (0, 0), 0.5 its corner.\n"
    "    compact: valid points first, and their number.\n"
    "    backend: None (by where the image is), 'cpu' or 'cuda'.\n\n"
    "Returns:\n"
    "    float32 [H, W, 3], invalid ones NaN; with compact ([H * W, 3], lengths int32 [1]). With "
    "the\n"
    "    axes before them that depth has.\n\n"
    "Raises:\n"
    "    As voxelize_point_cloud().");

PyDoc_STRVAR(
    doc_voxelize_depth,
    "voxelize_depth($module, depth, intrinsics, grid_size, voxel_size, origin=None, *, pose=None, "
    "features=None, mode='occupancy', depth_scale=None, min_depth=0.0, max_depth=1e30, "
    "pixel_offset=0.0, return_counts=False, return_dropped=False, backend=None, out=None)\n--\n\n"
    "Reduces the points of depth images into a dense grid.\n\n"
    "Args:\n"
    "    depth, intrinsics, pose, depth_scale, min_depth, max_depth, pixel_offset: as in\n"
    "        depth_to_points(). Invalid pixels count as dropped.\n"
    "    features: [H, W, F], with the axes before them that depth has.\n"
    "    The rest: as in voxelize_point_cloud().\n\n"
    "Returns:\n"
    "    As voxelize_point_cloud().\n\n"
    "Raises:\n"
    "    As voxelize_point_cloud().");

PyDoc_STRVAR(doc_set_num_threads,
             "set_num_threads($module, num_threads, /)\n--\n\n"
             "Sets how many threads an operation on the CPU may use, the caller's included.\n\n"
             "0 means $ROBOCACHE_NUM_THREADS, or all cores where that is not set.");

PyDoc_STRVAR(doc_get_num_threads, "get_num_threads($module)\n--\n\n"
                                  "Returns how many threads an operation on the CPU may use.");

PyDoc_STRVAR(
    doc_set_image_limits,
    "set_image_limits($module, *, max_pixels=None, max_scans=None, max_scan_pixels=None)\n--\n\n"
    "Sets what one image may ask for, in this process; None: what it is by default.\n\n"
    "An image beyond is damaged, see `on_error`, before memory is had or time spent for it.\n\n"
    "Args:\n"
    "    max_pixels: height times width, 2**28 by default.\n"
    "    max_scans: of a JPEG, 64 by default and at most 500; encoders make about ten. A\n"
    "        progressive JPEG goes over all of its pixels once a scan.\n"
    "    max_scan_pixels: pixels times scans of a JPEG, 2**31 by default, which take a second or "
    "two.\n\n"
    "Raises InvalidArgumentError: a limit below 1, or more than 500 scans.");

PyDoc_STRVAR(doc_get_image_limits, "get_image_limits($module)\n--\n\n"
                                   "Returns the limits of set_image_limits(), a dict.");

PyDoc_STRVAR(
    doc_set_cpu_features,
    "set_cpu_features($module, features, /)\n--\n\n"
    "Sets which instruction sets operations on the CPU may use.\n\n"
    "features: names from 'avx2', 'avx512' and 'neon' (() is the baseline), or None for all\n"
    "that the processor has. Results are the same bits whatever is chosen; this is for\n"
    "tests and measurements.\n\n"
    "Raises InvalidArgumentError: a name is none of these.");

PyDoc_STRVAR(
    doc_create_plan,
    "create_plan($module, function, *args, **kwargs)\n--\n\n"
    "Binds an operation to its tensors; the result is called without arguments.\n\n"
    "Arguments are read and outputs allocated once, here, where the operation also runs for the\n"
    "first time. Each call of the plan reads what the tensors hold then, on the framework's\n"
    "current stream, writes the same outputs again and returns them. The tensors are kept alive;\n"
    "they must not be resized, nor be given other memory. A call that meets another of the same\n"
    "plan raises InvalidArgumentError: they share outputs and scratch memory.\n\n"
    "Args:\n"
    "    function: resample_trajectories, fuse_streams or voxelize_point_cloud.\n"
    "    args, kwargs: as that function takes them.\n\n"
    "Returns:\n"
    "    An object with __call__() that returns what `function` does.\n\n"
    "Raises:\n"
    "    As the function; InvalidArgumentError for backend 'pytorch' and for tensors that require "
    "a\n"
    "    gradient; ArgumentTypeError for arrays that cannot be written, such as JAX's.");

PyDoc_STRVAR(doc_native_info,
             "native_info($module)\n--\n\n"
             "Returns version, compiler, CPU features in use, number of threads, and\n"
             "whether there are CUDA kernels.");

#endif
