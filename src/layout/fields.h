/* Fields of a record: where the numbers of a sample lie in what is stored of it, as in a point of a
 * point cloud. */
#ifndef RBC_LAYOUT_FIELDS_H
#define RBC_LAYOUT_FIELDS_H

#include "core/tensor.h"
#include "layout/values.h"

#define RBC__MAX_FIELDS      32
#define RBC__MAX_FIELD_BYTES 65536 /* where the last ends at most */

typedef struct rbc__field {
    uint32_t offset; /* in the record */
    uint8_t dtype;   /* rbc__dtype, not bool */
    bool is_swapped; /* big-endian */
} rbc__field;

typedef struct rbc__fields {
    uint32_t
        count; /* of them: as many as a sample has elements, in their order; 0: there are none */
    rbc__field items[RBC__MAX_FIELDS];
} rbc__fields;

/* Bytes from the beginning of a record to the end of its last field. */
uint64_t rbc__fields_extent(const rbc__fields *fields);
/* INVALID_ARGUMENT names the field that cannot be. */
rbc_status rbc__fields_check(const rbc__fields *fields, rbc_error *err);
/* "0 float32, 4 >uint16" into `buffer`, cut where it is too short; for catalogs and messages. */
#define RBC__FIELDS_TEXT_BYTES 640
char *rbc__fields_text(const rbc__fields *fields, char *buffer, size_t bytes);

/* `count` records, `stride` apart from `src` on, the last at least rbc__fields_extent() long, to
 * float32 or float64 `dst` [count, fields->count]. Values are those stored, rounded once where the
 * dtype cannot hold them, after `map` where that is not NULL; float32 that stays float32 keeps its
 * bits. */
void rbc__fields_read(const rbc__fields *fields, const uint8_t *src, uint64_t stride,
                      uint64_t count, const rbc__value_map *map, rbc__dtype dtype, void *dst);

#endif
