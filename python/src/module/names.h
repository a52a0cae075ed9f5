/* Python names the module compares or looks up, interned once in the module's state.
 * Shared within python/src/module. */
#ifndef RBC_PYTHON_NAMES_H
#define RBC_PYTHON_NAMES_H

#define ALL_NAMES(X)                                                                               \
    /* parameters */                                                                               \
    X(data)                                                                                        \
    X(source_times)                                                                                \
    X(target_times)                                                                                \
    X(streams)                                                                                     \
    X(vision)                                                                                      \
    X(vision_times)                                                                                \
    X(proprio)                                                                                     \
    X(proprio_times)                                                                               \
    X(force)                                                                                       \
    X(grad_out)                                                                                    \
    X(grad_values)                                                                                 \
    X(force_times)                                                                                 \
    X(points)                                                                                      \
    X(grid_size)                                                                                   \
    X(voxel_size)                                                                                  \
    X(origin)                                                                                      \
    X(features)                                                                                    \
    X(resample_trajectories)                                                                       \
    X(fuse_multimodal)                                                                             \
    X(fuse_streams)                                                                                \
    X(voxelize_point_cloud)                                                                        \
    X(voxelize_sparse)                                                                             \
    X(voxelize_depth)                                                                              \
    X(depth_to_points)                                                                             \
    X(mode)                                                                                        \
    X(modes)                                                                                       \
    X(outside)                                                                                     \
    X(lengths)                                                                                     \
    X(channels)                                                                                    \
    X(max_gap)                                                                                     \
    X(tolerance)                                                                                   \
    X(nan_missing)                                                                                 \
    X(check_times)                                                                                 \
    X(return_valid)                                                                                \
    X(return_dt)                                                                                   \
    X(return_counts)                                                                               \
    X(return_dropped)                                                                              \
    X(max_points)                                                                                  \
    X(max_voxels)                                                                                  \
    X(preset)                                                                                      \
    X(upper)                                                                                       \
    X(scale)                                                                                       \
    X(outputs)                                                                                     \
    X(depth)                                                                                       \
    X(intrinsics)                                                                                  \
    X(pose)                                                                                        \
    X(depth_scale)                                                                                 \
    X(min_depth)                                                                                   \
    X(max_depth)                                                                                   \
    X(pixel_offset)                                                                                \
    X(compact)                                                                                     \
    X(max_pixels)                                                                                  \
    X(max_scans)                                                                                   \
    X(max_scan_pixels)                                                                             \
    X(backend)                                                                                     \
    X(out)                                                                                         \
    /* values of modes, policies and backends */                                                   \
    X(linear)                                                                                      \
    X(hold)                                                                                        \
    X(nearest)                                                                                     \
    X(cubic)                                                                                       \
    X(slerp)                                                                                       \
    X(angle)                                                                                       \
    X(mean)                                                                                        \
    X(max)                                                                                         \
    X(min)                                                                                         \
    X(sum)                                                                                         \
    X(count)                                                                                       \
    X(occupancy)                                                                                   \
    X(nan)                                                                                         \
    X(zero)                                                                                        \
    X(extrapolate)                                                                                 \
    X(cpu)                                                                                         \
    X(cuda)                                                                                        \
    X(pytorch)                                                                                     \
    X(robocache)                                                                                   \
    X(mmcv)                                                                                        \
    X(spconv)                                                                                      \
    X(open3d_voxelize)                                                                             \
    X(open3d_down_sample)                                                                          \
    X(kaolin)                                                                                      \
    X(coordinates)                                                                                 \
    X(num_voxels)                                                                                  \
    X(counts)                                                                                      \
    X(voxels)                                                                                      \
    X(point_indices)                                                                               \
    X(point_to_voxel)                                                                              \
    X(point_coordinates)                                                                           \
    X(dropped)                                                                                     \
    X(origins)                                                                                     \
    X(raise)                                                                                       \
    X(mask)                                                                                        \
    X(skip)                                                                                        \
    X(uneven)                                                                                      \
    X(drop)                                                                                        \
    X(repeat)                                                                                      \
    X(accurate)                                                                                    \
    X(fast)                                                                                        \
    /* attributes */                                                                               \
    X(__array_struct__)                                                                            \
    X(__dlpack__)                                                                                  \
    X(__dlpack_c_exchange_api__)                                                                   \
    X(__module__)                                                                                  \
    X(dtype)                                                                                       \
    X(name)                                                                                        \
    X(errno)                                                                                       \
    X(_current_level)                                                                              \
    X(requires_grad)                                                                               \
    X(is_neg)                                                                                      \
    X(is_grad_enabled)

typedef enum name_id {
#define X(name) NAME_##name,
    ALL_NAMES(X)
#undef X
        NUM_NAMES
} name_id;

#endif
