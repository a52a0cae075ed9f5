/* What the voxelizations share: parameters of the grid, and dense outputs. */
#ifndef RBC_PYTHON_GRID_H
#define RBC_PYTHON_GRID_H

#include "tensors/tensor.h"

/* Modes of `mode`; NULL leaves *reduce. */
bool parse_reduce(module_state *state, PyObject *object, rbc_voxel_reduce *reduce);

/* Arguments of a dense grid, borrowed; NULL where not given. */
typedef struct grid_args {
    PyObject *grid_size, *voxel_size, *origin, *mode, *return_counts, *return_dropped, *out;
} grid_args;

/* Dense outputs; zero-initialise, release with grid_release(). */
typedef struct grid_outputs {
    rbc_voxelize_params params;
    tensor out, counts, dropped;
    bool has_counts, has_dropped;
} grid_outputs;

bool grid_read(module_state *state, const grid_args *args, grid_outputs *grid);
/* Checks that there are features where the mode reduces some, and none elsewhere. */
bool grid_check_features(module_state *state, const grid_outputs *grid, const tensor *features);
/* Allocates the outputs beside `like`, or takes `out`. `outer` are the axes before the grid's, at
 * most two; `features` is NULL without. */
bool grid_create(module_state *state, const tensor *like, int32_t num_outer, const int64_t *outer,
                 const tensor *features, PyObject *out, grid_outputs *grid);
/* The grid, or a tuple of it, the counts and the dropped points, as asked for. */
PyObject *grid_pack(module_state *state, grid_outputs *grid);
/* As tensor_keep(), for all outputs. */
bool grid_keep(grid_outputs *grid);
void grid_release(grid_outputs *grid);

#endif
