#include "cpu/voxelize_sort.h"

#include <string.h>

#define DIGIT_BITS 8
#define NUM_DIGITS (1 << DIGIT_BITS)

/* One stable pass over a digit of one axis. */
static void pass(const rbc__voxel *from, rbc__voxel *to, int64_t n, int axis, int32_t least,
                 int shift) {
    int64_t begins[NUM_DIGITS + 1] = {0};
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t key = (uint32_t)from[i].at[axis] - (uint32_t)least;
        ++begins[(key >> shift & (NUM_DIGITS - 1)) + 1];
    }
    for (int d = 0; d < NUM_DIGITS; ++d) {
        begins[d + 1] += begins[d];
    }
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t key = (uint32_t)from[i].at[axis] - (uint32_t)least;
        to[begins[key >> shift & (NUM_DIGITS - 1)]++] = from[i];
    }
}

rbc__voxel *rbc__voxels_sort(rbc__voxel *voxels, rbc__voxel *spare, int64_t n, bool z_first) {
    for (int k = 0; k < 3; ++k) {
        const int axis = z_first ? k : 2 - k;
        int32_t least = INT32_MAX, greatest = INT32_MIN;
        for (int64_t i = 0; i < n; ++i) {
            const int32_t at = voxels[i].at[axis];
            least = at < least ? at : least;
            greatest = at > greatest ? at : greatest;
        }
        const uint32_t range = n > 0 ? (uint32_t)greatest - (uint32_t)least : 0;
        for (int shift = 0; shift < 32 && range >> shift != 0; shift += DIGIT_BITS) {
            pass(voxels, spare, n, axis, least, shift);
            rbc__voxel *const sorted = spare;
            spare = voxels;
            voxels = sorted;
        }
    }
    return voxels;
}
