#include "formats/rlds/measure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/rlds/tensor_proto.h"
#include "io/endian.h"
#include "layout/values.h"

/* An index of the samples of a list of varints is worth its bytes where the samples are large. */
#define INDEX_SAMPLE_BYTES 64

/* What a run of even samples takes in a layout, about. */
#define RUN_BYTES 8

void rbc__measure_begin(rbc__measure *measure) {
    measure->runs.size = 0;
    measure->tables.size = 0;
}

void rbc__measure_free(rbc__measure *measure) {
    rbc__bytes_free(&measure->runs);
    rbc__bytes_free(&measure->tables);
    rbc__bytes_free(&measure->entry_spans);
}

void rbc__measure_describe(const rbc__leaf *leaf, rbc__layout_stream *out) {
    const uint64_t elements = leaf->elements > 0 ? (uint64_t)leaf->elements : 0;
    *out = (rbc__layout_stream){.dtype = (uint8_t)leaf->dtype};
    if (leaf->kind != RBC_STREAM_NUMERIC) {
        out->dtype = RBC__U8;
        out->encoding = leaf->kind == RBC_STREAM_TEXT ? RBC__ENCODING_TEXT : RBC__ENCODING_IMAGE;
    } else if (leaf->list == RBC__LIST_INT64) {
        out->encoding = RBC__ENCODING_VARINT;
        out->sample_bytes = elements;
    } else {
        out->dtype = leaf->list == RBC__LIST_FLOAT ? RBC__F32 : (uint8_t)leaf->dtype;
        out->sample_bytes = elements * (uint64_t)rbc__dtype_bytes((rbc__dtype)out->dtype);
    }
}

static rbc_status wrong_kind(const rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                             rbc__list_kind found, rbc_error *err) {
    return rbc__wire_fail(&measure->payload, offset, err,
                          "stream '%s' is stored as %s, features.json wants %s", leaf->name,
                          rbc__list_kind_name(found), rbc__list_kind_name(leaf->list));
}

/* A run in the blob of `count` samples that begins at `offset`. */
static rbc__measured_run run_of(const rbc__leaf *leaf, uint32_t id, uint64_t count,
                                uint64_t offset) {
    rbc__layout_stream stream;
    rbc__measure_describe(leaf, &stream);
    return (rbc__measured_run){.run = {.id = id,
                                       .encoding = stream.encoding,
                                       .dtype = stream.dtype,
                                       .packing = leaf->is_zlib ? 1 : 0,
                                       .count = count,
                                       .offset = offset,
                                       .sample_bytes = stream.sample_bytes,
                                       .stride = stream.sample_bytes}};
}

static void add_run(rbc__measure *measure, const rbc__measured_run *run) {
    rbc__bytes_append(&measure->runs, run, sizeof *run);
}

void rbc__measure_nothing(rbc__measure *measure, uint32_t id, uint64_t samples) {
    const rbc__measured_run run = {
        .run = {.id = id, .container = RBC__IN_LAYOUT, .count = samples, .dtype = RBC__U8}};
    add_run(measure, &run);
}

/* ---- bytes entries ----------------------------------------------------------------------------
 */

typedef struct entries {
    uint64_t count;
    uint64_t start;  /* of the first one's header */
    uint64_t end;    /* of the last one */
    uint64_t groups; /* of such as follow each other and are alike in size */
    uint64_t bytes;  /* of the last one */
    bool follow;     /* each directly behind the one before, headers in their shortest form */
} entries;

static void add_entry(rbc__measure *measure, entries *all, uint64_t start, uint64_t offset,
                      uint64_t bytes) {
    if (all->count == 0) {
        *all = (entries){.start = start, .end = start, .follow = true};
    }
    const bool follows = start == all->end && offset - start == 1 + rbc__varint_size(bytes);
    all->groups += all->count == 0 || !follows || bytes != all->bytes;
    all->follow = all->follow && follows;
    all->end = offset + bytes;
    all->bytes = bytes;
    ++all->count;
    rbc__bytes_append(&measure->entry_spans, &offset, sizeof offset);
    rbc__bytes_append(&measure->entry_spans, &bytes, sizeof bytes);
}

/* A run for each group. */
static void add_groups(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                       const entries *all) {
    const uint8_t *span = measure->entry_spans.data;
    rbc__measured_run group = {0};
    for (uint64_t i = 0; i < all->count; i++, span += 16) {
        const uint64_t offset = rbc__load_u64(span);
        const uint64_t bytes = rbc__load_u64(span + 8);
        const uint64_t header = 1 + rbc__varint_size(bytes);
        const rbc__run *run = &group.run;
        if (run->count > 0 && bytes == run->sample_bytes &&
            offset == run->offset + run->count * run->stride) {
            ++group.run.count;
            continue;
        }
        if (run->count > 0) {
            add_run(measure, &group);
        }
        group = run_of(leaf, id, 1, offset);
        group.run.sample_bytes = bytes;
        group.run.stride = bytes + header;
    }
    add_run(measure, &group);
}

static void add_table(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                      const entries *all) {
    const uint8_t *span = measure->entry_spans.data;
    rbc__measured_run table = run_of(leaf, id, all->count, all->start);
    const unsigned width = rbc__layout_width(all->end - all->start);
    table.run.form = all->follow ? RBC__FORM_FRAMED : RBC__FORM_SPANS;
    table.run.width = (uint8_t)width;
    table.table_at = measure->tables.size;
    for (uint64_t i = 0; i < all->count; i++, span += 16) {
        const uint64_t offset = rbc__load_u64(span) - all->start;
        const uint64_t bytes = rbc__load_u64(span + 8);
        if (all->follow) {
            rbc__bytes_fixed(&measure->tables, offset + bytes, width);
        } else {
            rbc__bytes_fixed(&measure->tables, offset, width);
            rbc__bytes_fixed(&measure->tables, bytes, width);
        }
    }
    add_run(measure, &table);
}

static rbc_status add_entries(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                              const entries *all, rbc_error *err) {
    RBC__TRY(rbc__bytes_check(&measure->entry_spans, err));
    const uint64_t width = rbc__layout_width(all->end - all->start);
    if (all->count == 0) {
        return RBC_OK;
    }
    if (all->groups == 1 || all->groups * RUN_BYTES <= all->count * width * (all->follow ? 1 : 2)) {
        add_groups(measure, leaf, id, all);
    } else {
        add_table(measure, leaf, id, all);
    }
    return RBC_OK;
}

static rbc_status measure_entries(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                                  rbc__list *list, uint64_t *samples, rbc_error *err) {
    entries all = {0};
    rbc__chunk chunk;
    bool more;
    const bool has_size = leaf->storage == RBC__STORED_BYTES && !leaf->is_zlib;
    const uint64_t want =
        has_size ? (uint64_t)leaf->elements * (uint64_t)rbc__dtype_bytes(leaf->dtype) : 0;
    measure->entry_spans.size = 0;
    for (;;) {
        RBC__TRY(rbc__list_next(list, &chunk, &more, err));
        if (!more) {
            break;
        }
        if (has_size && chunk.bytes != want) {
            return rbc__wire_fail(&measure->payload, chunk.start, err,
                                  "sample %" PRIu64 " of stream '%s' has %" PRIu64
                                  " bytes, features.json wants %" PRIu64,
                                  all.count, leaf->name, chunk.bytes, want);
        }
        add_entry(measure, &all, chunk.start, chunk.offset, chunk.bytes);
    }
    *samples = all.count;
    /* what has no elements is added once the steps are counted */
    return leaf->elements == 0 ? RBC_OK : add_entries(measure, leaf, id, &all, err);
}

/* ---- numbers ----------------------------------------------------------------------------------
 */

static rbc_status whole_samples(const rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                                uint64_t values, uint64_t *samples, rbc_error *err) {
    const uint64_t elements = (uint64_t)leaf->elements;
    *samples = elements > 0 ? values / elements : 0;
    if (*samples * elements != values) {
        return rbc__wire_fail(&measure->payload, offset, err,
                              "stream '%s' has %" PRIu64 " values, features.json wants %" PRId64
                              " a sample",
                              leaf->name, values, leaf->elements);
    }
    return RBC_OK;
}

static void index_varints(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                          uint64_t samples, const rbc__chunk *chunk) {
    const unsigned width = rbc__layout_width(chunk->bytes);
    const uint64_t end = chunk->offset + chunk->bytes;
    uint64_t at = chunk->offset;
    uint64_t value;
    rbc__measured_run table = run_of(leaf, id, samples, chunk->offset);
    table.run.form = RBC__FORM_ENDS;
    table.run.width = (uint8_t)width;
    table.table_at = measure->tables.size;
    for (uint64_t sample = 0; sample < samples; ++sample) {
        for (int64_t i = 0; i < leaf->elements; ++i) {
            (void)rbc__varint_read(measure->payload.data, end, &at, &value);
        }
        rbc__bytes_fixed(&measure->tables, at - chunk->offset, width);
    }
    add_run(measure, &table);
}

/* Varints of several sizes, in one block that is unpacked to int64. */
static void pack_varints(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                         uint64_t samples, uint64_t values, const rbc__chunk *chunk) {
    rbc__measured_run packed = run_of(leaf, id, samples, chunk->offset);
    packed.run.encoding = RBC__ENCODING_PLAIN;
    packed.run.dtype = RBC__I64;
    packed.run.bytes = chunk->bytes;
    packed.run.sample_bytes = packed.run.stride = 8 * (values / samples);
    packed.num_varints = values;
    add_run(measure, &packed);
}

/* Values that lie scattered are copied: no writer known makes such lists. */
static rbc_status copy_values(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                              uint64_t offset, uint64_t bytes, uint64_t samples, uint64_t values,
                              rbc_error *err) {
    const bool is_int = leaf->list == RBC__LIST_INT64;
    const uint64_t size = is_int ? 8 : 4;
    rbc__list list;
    RBC__TRY(rbc__list_open(&measure->payload, offset, bytes, &list, err));
    void *copy = malloc((size_t)(values * size));
    if (copy == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "stream '%s': %" PRIu64 " values",
                         leaf->name, values);
    }
    const rbc_status status = is_int ? rbc__list_ints(&list, copy, values, err)
                                     : rbc__list_floats(&list, copy, values, err);
    rbc__measured_run run = run_of(leaf, id, samples, 0);
    run.run.container = RBC__IN_LAYOUT;
    run.run.encoding = RBC__ENCODING_PLAIN;
    run.run.dtype = is_int ? RBC__I64 : RBC__F32;
    run.run.sample_bytes = run.run.stride = size * (values / samples);
    run.table_at = measure->tables.size;
    if (status == RBC_OK) {
        rbc__bytes_append(&measure->tables, copy, (size_t)(values * size));
        add_run(measure, &run);
    }
    free(copy);
    return status;
}

static rbc_status measure_numbers(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                                  uint64_t offset, uint64_t bytes, rbc__list *list,
                                  uint64_t *samples, rbc_error *err) {
    rbc__chunk chunk;
    rbc__chunk first = {0};
    bool more;
    uint64_t chunks = 0;
    uint64_t values = 0;
    uint32_t stride = 4;
    for (;; ++chunks) {
        RBC__TRY(rbc__list_next(list, &chunk, &more, err));
        if (!more) {
            break;
        }
        uint64_t found = chunk.bytes / 4;
        if (list->kind == RBC__LIST_INT64) {
            RBC__TRY(rbc__varints_measure(&measure->payload, chunk.offset, chunk.bytes, &found,
                                          &stride, err));
        }
        first = chunks == 0 ? chunk : first;
        values += found;
    }
    RBC__TRY(whole_samples(measure, leaf, offset, values, samples, err));
    if (values == 0) {
        return RBC_OK;
    }
    if (chunks == 1 && (list->kind == RBC__LIST_FLOAT || stride > 0)) {
        rbc__measured_run even = run_of(leaf, id, *samples, first.offset);
        even.run.sample_bytes = even.run.stride = first.bytes / *samples;
        add_run(measure, &even);
    } else if (chunks == 1 && first.bytes / *samples >= INDEX_SAMPLE_BYTES) {
        index_varints(measure, leaf, id, *samples, &first);
    } else if (chunks == 1) {
        pack_varints(measure, leaf, id, *samples, values, &first);
    } else {
        return copy_values(measure, leaf, id, offset, bytes, *samples, values, err);
    }
    return RBC_OK;
}

/* ---- a TensorProto ----------------------------------------------------------------------------
 */

static rbc_status measure_tensor(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                                 rbc__list *list, uint64_t *samples, rbc_error *err) {
    rbc__chunk chunk;
    rbc__chunk second;
    bool more;
    RBC__TRY(rbc__list_next(list, &chunk, &more, err));
    if (!more) {
        return RBC_OK;
    }
    RBC__TRY(rbc__list_next(list, &second, &more, err));
    if (more) {
        return rbc__wire_fail(&measure->payload, second.start, err,
                              "stream '%s' has more than one bytes entry, one TensorProto was "
                              "expected",
                              leaf->name);
    }
    rbc__tensor_proto tensor;
    RBC__TRY(rbc__tensor_proto_parse(&measure->payload, chunk.offset, chunk.bytes, &tensor, err));
    const bool is_string = leaf->kind != RBC_STREAM_NUMERIC;
    int64_t elements = 1;
    for (int32_t i = 1; i < tensor.ndim; ++i) {
        elements *= tensor.shape[i];
    }
    if (tensor.is_string != is_string || (!is_string && tensor.dtype != leaf->dtype) ||
        tensor.ndim < 1 || elements != leaf->elements) {
        return rbc__wire_fail(&measure->payload, chunk.offset, err,
                              "stream '%s' has a tensor of %d dimensions, %s, %" PRId64
                              " elements a sample; in the first record of the dataset it is %s and "
                              "%" PRId64 " elements",
                              leaf->name, tensor.ndim,
                              tensor.is_string ? "string" : rbc__dtype_name(tensor.dtype), elements,
                              is_string ? "string" : rbc__dtype_name(leaf->dtype), leaf->elements);
    }
    if (!is_string) {
        *samples = (uint64_t)tensor.shape[0];
        if (tensor.bytes > 0) {
            const rbc__measured_run even = run_of(leaf, id, *samples, tensor.offset);
            add_run(measure, &even);
        }
        return RBC_OK;
    }
    entries all = {0};
    rbc__wire_field string;
    measure->entry_spans.size = 0;
    for (;;) {
        RBC__TRY(rbc__tensor_proto_next_string(&tensor.message, &string, &more, err));
        if (!more) {
            *samples = all.count;
            return add_entries(measure, leaf, id, &all, err);
        }
        add_entry(measure, &all, string.start, string.offset, string.bytes);
    }
}

rbc_status rbc__measure_values(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                               uint64_t offset, uint64_t bytes, uint64_t *samples, rbc_error *err) {
    rbc__list list;
    *samples = 0;
    RBC__TRY(rbc__list_open(&measure->payload, offset, bytes, &list, err));
    if (list.kind == RBC__LIST_NONE) {
        return RBC_OK;
    }
    if (list.kind != leaf->list) {
        return wrong_kind(measure, leaf, offset, list.kind, err);
    }
    if (leaf->storage == RBC__STORED_TENSOR) {
        return measure_tensor(measure, leaf, id, &list, samples, err);
    }
    return leaf->list == RBC__LIST_BYTES
               ? measure_entries(measure, leaf, id, &list, samples, err)
               : measure_numbers(measure, leaf, id, offset, bytes, &list, samples, err);
}

rbc_status rbc__measure_rows(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                             bool is_fixed, uint64_t offset, uint64_t bytes, uint64_t *row_count,
                             uint64_t *total, rbc_error *err) {
    const size_t runs_before = measure->runs.size;
    rbc__list list;
    rbc__chunk chunk;
    bool more;
    rbc__leaf rows = *leaf;
    rows.elements = 1;
    rows.list = RBC__LIST_INT64;
    rows.storage = RBC__STORED_LIST;
    rows.kind = RBC_STREAM_NUMERIC;
    rows.dtype = RBC__I64;
    rows.is_zlib = false;
    *total = 0;
    RBC__TRY(rbc__measure_values(measure, &rows, id, offset, bytes, row_count, err));
    if (is_fixed) {
        measure->runs.size = runs_before;
    }
    RBC__TRY(rbc__list_open(&measure->payload, offset, bytes, &list, err));
    for (;;) {
        RBC__TRY(rbc__list_next(&list, &chunk, &more, err));
        if (!more) {
            return RBC_OK;
        }
        uint64_t at = chunk.offset;
        while (at < chunk.offset + chunk.bytes) {
            uint64_t length = 0;
            const uint64_t start = at;
            (void)rbc__varint_read(measure->payload.data, chunk.offset + chunk.bytes, &at, &length);
            if (length > INT64_MAX / 2 || *total + length > INT64_MAX / 2) {
                return rbc__wire_fail(&measure->payload, start, err,
                                      "stream '%s' has a row of length %" PRId64, leaf->name,
                                      (int64_t)length);
            }
            if (leaf->rows >= 0 && length != (uint64_t)leaf->rows) {
                return rbc__wire_fail(&measure->payload, start, err,
                                      "stream '%s' has a row of length %" PRIu64
                                      ", features.json wants %" PRId64,
                                      leaf->name, length, leaf->rows);
            }
            *total += length;
        }
    }
}

rbc_status rbc__measure_metadata(rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                                 uint64_t bytes, rbc_error *err) {
    rbc__list list;
    rbc__chunk chunk;
    bool more = false;
    uint64_t values = 0;
    RBC__TRY(rbc__list_open(&measure->payload, offset, bytes, &list, err));
    if (list.kind != RBC__LIST_NONE && list.kind != leaf->list) {
        return wrong_kind(measure, leaf, offset, list.kind, err);
    }
    do {
        uint64_t found = 1;
        uint32_t stride;
        RBC__TRY(rbc__list_next(&list, &chunk, &more, err));
        if (more && list.kind == RBC__LIST_FLOAT) {
            found = chunk.bytes / 4;
        } else if (more && list.kind == RBC__LIST_INT64) {
            RBC__TRY(rbc__varints_measure(&measure->payload, chunk.offset, chunk.bytes, &found,
                                          &stride, err));
        }
        values += more ? found : 0;
    } while (more);
    const bool is_fixed =
        !leaf->is_sequence && leaf->elements >= 0 && leaf->storage == RBC__STORED_LIST;
    if (is_fixed && values != (uint64_t)leaf->elements) {
        return rbc__wire_fail(&measure->payload, offset, err,
                              "'%s' has %" PRIu64 " values, features.json wants %" PRId64,
                              leaf->key, values, leaf->elements);
    }
    return RBC_OK;
}

/* ---- the layout -------------------------------------------------------------------------------
 */

static int compare_runs(const void *a, const void *b) {
    const rbc__run *left = &((const rbc__measured_run *)a)->run;
    const rbc__run *right = &((const rbc__measured_run *)b)->run;
    if (left->container != right->container) {
        return left->container < right->container ? -1 : 1;
    }
    if (left->offset != right->offset) {
        return left->offset < right->offset ? -1 : 1;
    }
    return left->id < right->id ? -1 : left->id > right->id;
}

rbc_status rbc__measure_finish(rbc__measure *measure, rbc__layout_writer *writer, rbc_error *err) {
    RBC__TRY(rbc__bytes_check(&measure->runs, err));
    RBC__TRY(rbc__bytes_check(&measure->tables, err));
    const size_t count = measure->runs.size / sizeof(rbc__measured_run);
    rbc__measured_run *runs = (rbc__measured_run *)(void *)measure->runs.data;
    if (count > 1) {
        qsort(runs, count, sizeof *runs, compare_runs);
    }
    const rbc__packing zlib = {1, {{RBC__PACKING_ZLIB, 0}}};
    const rbc__packing varints = {1, {{RBC__PACKING_VARINT, 0}}};
    uint8_t zlib_number = 0;
    uint8_t varints_number = 0;
    bool has_zlib = false;
    bool has_varints = false;
    for (size_t i = 0; i < count; ++i) {
        rbc__run *run = &runs[i].run;
        run->offset += run->container == RBC__IN_BLOB ? measure->payload.base : 0;
        if (run->form != RBC__FORM_EVEN || run->container == RBC__IN_LAYOUT) {
            run->table = measure->tables.data + runs[i].table_at;
        }
        if (run->packing != 0) {
            zlib_number = has_zlib ? zlib_number : rbc__layout_add_packing(writer, &zlib);
            has_zlib = true;
            run->packing = (uint8_t)(zlib_number + 1);
        }
        if (runs[i].num_varints > 0) {
            varints_number =
                has_varints ? varints_number : rbc__layout_add_packing(writer, &varints);
            has_varints = true;
            run->number = rbc__layout_add_block(
                writer, &(rbc__block){.packing = varints_number,
                                      .offset = run->offset,
                                      .packed_bytes = run->bytes,
                                      .unpacked_bytes = 8 * runs[i].num_varints});
            run->container = RBC__IN_BLOCK;
            run->offset = 0;
        }
        rbc__layout_add_run(writer, run);
    }
    return RBC_OK;
}
