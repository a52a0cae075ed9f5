/* Stages 7 to 9, cut by what is made: images (make_images.c), grids (make_grids.c), numbers
 * (make_numbers.c, make_there.c), and the rest of a row (make.c). Each adds jobs for a window of a row, and has them
 * done once all are known. `row` is a number among the rows, `w` the window's. Shared within src/loader. */
#ifndef RBC_LOADER_MAKE_H
#define RBC_LOADER_MAKE_H

#include "loader/rows.h"

/* Jobs that are searched for one that makes the same: neighbours share theirs. */
#define RBC__SAME_JOBS 64

rbc_status rbc__no_job_memory(rbc_error *err);
const char *rbc__rows_blob_name(const rbc__rows *rows, int64_t blob, char *buffer, size_t bytes);

/* ---- images ---- */

/* Says where frames go, which are decoded when the request is finished. */
void rbc__put_frames(rbc__rows *rows, rbc_batch *batch);
/* What has to be decoded, or made of images stored as numbers. */
rbc_status rbc__add_images(rbc__rows *rows, int64_t row, int32_t w, rbc_error *err);
rbc_status rbc__add_pixels(rbc__rows *rows, int64_t row, int32_t w, rbc_error *err);
/* Fields of streams that the dataset lacks, where they are made on the batch's device. */
rbc_status rbc__add_absent(rbc__rows *rows, int64_t row, rbc_error *err);
/* Element `dst` of a window, of which there is none. */
rbc_status rbc__add_nothing(rbc__rows *rows, int64_t row, int32_t w, uint8_t *dst, rbc_error *err);
/* Image `i` of a window, encoded, or, `is_pixels`, as it is. */
rbc_status rbc__add_image(rbc__rows *rows, int64_t row, int32_t w, int64_t i,
                          const rbc__sample *sample, bool is_pixels, uint8_t *dst, rbc_error *err);
/* An earlier job of sample `pick` of the window's stream into the same pixels, or -1. */
int64_t rbc__same_image(const rbc__rows *rows, int32_t w, int64_t pick, const rbc__sample *sample,
                        bool is_there, uint64_t key);
void rbc__decode_images(rbc__rows *rows, rbc__maker *maker);
/* Notes that a target of a row failed for want of the image that a job decodes. */
void rbc__fail_image(rbc__rows *rows, int64_t row, int32_t window, int64_t target,
                     const rbc__decode_job *job);
/* Nothing at all targets of a window, on the batch's device; `row` is that of the batch. */
rbc_status rbc__mask_there(rbc__rows *rows, const rbc__window_spec *window, int64_t row,
                           rbc__maker *maker, rbc_error *err);

/* ---- grids ---- */

rbc_status rbc__add_grids(rbc__rows *rows, int64_t row, int32_t w, rbc_error *err);
void rbc__make_grids(rbc__rows *rows, rbc__maker *maker);

/* ---- numbers ---- */

rbc_status rbc__add_numbers(rbc__rows *rows, int64_t row, int32_t w, rbc_error *err);
void rbc__align_numbers(rbc__rows *rows, rbc__maker *maker);
/* Queues the making of the numbers that are made on the batch's device, once their masks are there: images
 * and grids are waited for in any case, and that is the wait for these, too. */
void rbc__align_there(rbc__rows *rows, rbc__maker *maker);
/* Returns once they are made. */
void rbc__await_there(rbc__rows *rows, rbc__maker *maker);

#endif
