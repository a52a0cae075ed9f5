#include "formats/rlds/measure.h"

#include <inttypes.h>

#include "core/error.h"
#include "formats/rlds/tensor_proto.h"
#include "io/endian.h"

/* An index of the samples of a list of varints is worth its bytes where the samples are large. */
#define INDEX_SAMPLE_BYTES 64

void rbc__measure_free(rbc__measure *measure) {
    rbc__bytes_free(&measure->tables);
    rbc__bytes_free(&measure->entry_spans);
}

static rbc_status wrong_kind(const rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                             rbc__list_kind found, rbc_error *err) {
    return rbc__wire_fail(&measure->payload, offset, err,
                          "stream '%s' is stored as %s, features.json wants %s", leaf->name,
                          rbc__list_kind_name(found), rbc__list_kind_name(leaf->list));
}

static unsigned width_of(uint64_t value) {
    unsigned width = 1;
    for (; width < 8 && value >> (8 * width) != 0; ++width) {
    }
    return width;
}

/* ---- bytes entries ----------------------------------------------------------------------------
 */

typedef struct entries {
    uint64_t count;
    uint64_t start;       /* of the first one's header */
    uint64_t end;         /* of the last one */
    uint64_t entry_bytes; /* of the first one */
    bool alike;           /* in size */
    bool follow;          /* each directly behind the one before, headers in their shortest form */
} entries;

static void add_entry(rbc__measure *measure, entries *run, uint64_t start, uint64_t offset,
                      uint64_t bytes) {
    if (run->count == 0) {
        *run = (entries){
            .start = start, .end = start, .entry_bytes = bytes, .alike = true, .follow = true};
    }
    run->alike = run->alike && bytes == run->entry_bytes;
    run->follow = run->follow && start == run->end && offset - start == 1 + rbc__varint_size(bytes);
    run->end = offset + bytes;
    ++run->count;
    rbc__bytes_append(&measure->entry_spans, &offset, sizeof offset);
    rbc__bytes_append(&measure->entry_spans, &bytes, sizeof bytes);
}

/* The table goes behind those of the features before. */
static void write_table(rbc__measure *measure, const entries *run, rbc__layout_span *out) {
    const uint8_t *span = measure->entry_spans.data;
    const unsigned width = width_of(run->end - run->start);
    out->parameter = (uint8_t)width;
    out->table_at = measure->tables.size;
    for (uint64_t i = 0; i < run->count; i++, span += 16) {
        const uint64_t offset = rbc__load_u64(span) - run->start;
        const uint64_t bytes = rbc__load_u64(span + 8);
        if (out->form == RBC__FORM_INDEX) {
            rbc__bytes_fixed(&measure->tables, offset + bytes, width);
        } else {
            rbc__bytes_fixed(&measure->tables, offset, width);
            rbc__bytes_fixed(&measure->tables, bytes, width);
        }
    }
}

static rbc_status describe_entries(rbc__measure *measure, const entries *run, bool may_walk,
                                   rbc__layout_span *out, rbc_error *err) {
    RBC__TRY(rbc__bytes_check(&measure->entry_spans, err));
    out->samples = run->count;
    if (run->count == 0) {
        return RBC_OK;
    }
    if (may_walk && !(run->follow && run->alike)) {
        out->form = RBC__FORM_WALK;
        return RBC_OK;
    }
    out->offset = run->start;
    out->bytes = run->end - run->start;
    if (run->follow && run->alike) {
        out->form = RBC__FORM_ENTRIES;
        out->entry_bytes = run->entry_bytes;
        return RBC_OK;
    }
    out->form = run->follow ? RBC__FORM_INDEX : RBC__FORM_SPANS;
    write_table(measure, run, out);
    return rbc__bytes_check(&measure->tables, err);
}

static rbc_status measure_entries(rbc__measure *measure, const rbc__leaf *leaf, rbc__list *list,
                                  rbc__layout_span *out, rbc_error *err) {
    entries run = {0};
    rbc__chunk chunk;
    bool more;
    const uint64_t want = leaf->storage == RBC__STORED_BYTES
                              ? (uint64_t)leaf->elements * (uint64_t)rbc__dtype_bytes(leaf->dtype)
                              : 0;
    measure->entry_spans.size = 0;
    for (;;) {
        RBC__TRY(rbc__list_next(list, &chunk, &more, err));
        if (!more) {
            break;
        }
        if (leaf->storage == RBC__STORED_BYTES && chunk.bytes != want) {
            return rbc__wire_fail(&measure->payload, chunk.start, err,
                                  "sample %" PRIu64 " of stream '%s' has %" PRIu64
                                  " bytes, features.json wants %" PRIu64,
                                  run.count, leaf->name, chunk.bytes, want);
        }
        add_entry(measure, &run, chunk.start, chunk.offset, chunk.bytes);
    }
    return describe_entries(measure, &run, leaf->kind == RBC_STREAM_TEXT, out, err);
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

static rbc_status index_varints(rbc__measure *measure, const rbc__leaf *leaf,
                                const rbc__chunk *chunk, rbc__layout_span *out, rbc_error *err) {
    const unsigned width = width_of(chunk->bytes);
    const uint64_t end = chunk->offset + chunk->bytes;
    uint64_t at = chunk->offset;
    uint64_t value;
    out->form = RBC__FORM_INDEX;
    out->parameter = (uint8_t)width;
    out->offset = chunk->offset;
    out->bytes = chunk->bytes;
    out->table_at = measure->tables.size;
    for (uint64_t sample = 0; sample < out->samples; ++sample) {
        for (int64_t i = 0; i < leaf->elements; ++i) {
            (void)rbc__varint_read(measure->payload.data, end, &at, &value);
        }
        rbc__bytes_fixed(&measure->tables, at - chunk->offset, width);
    }
    return rbc__bytes_check(&measure->tables, err);
}

static rbc_status measure_numbers(rbc__measure *measure, const rbc__leaf *leaf, rbc__list *list,
                                  rbc__layout_span *out, rbc_error *err) {
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
    RBC__TRY(whole_samples(measure, leaf, out->offset, values, &out->samples, err));
    if (values == 0) {
        out->form = RBC__FORM_NONE;
    } else if (chunks == 1 && list->kind == RBC__LIST_FLOAT) {
        out->form = RBC__FORM_VALUES;
        out->parameter = RBC__F32;
    } else if (chunks == 1 && stride > 0) {
        out->form = RBC__FORM_VARINTS;
        out->parameter = (uint8_t)stride;
    } else if (chunks == 1 && first.bytes / out->samples >= INDEX_SAMPLE_BYTES) {
        return index_varints(measure, leaf, &first, out, err);
    } else {
        out->form = RBC__FORM_WALK;
    }
    if (out->form != RBC__FORM_WALK) {
        out->offset = first.offset;
        out->bytes = first.bytes;
    }
    return RBC_OK;
}

/* ---- a TensorProto ----------------------------------------------------------------------------
 */

static rbc_status measure_tensor(rbc__measure *measure, const rbc__leaf *leaf, rbc__list *list,
                                 rbc__layout_span *out, rbc_error *err) {
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
        out->samples = (uint64_t)tensor.shape[0];
        out->form = tensor.bytes > 0 ? RBC__FORM_VALUES : RBC__FORM_NONE;
        out->parameter = (uint8_t)tensor.dtype;
        out->offset = tensor.offset;
        out->bytes = tensor.bytes;
        return RBC_OK;
    }
    entries run = {0};
    rbc__wire_field string;
    measure->entry_spans.size = 0;
    for (;;) {
        RBC__TRY(rbc__tensor_proto_next_string(&tensor.message, &string, &more, err));
        if (!more) {
            return describe_entries(measure, &run, false, out, err);
        }
        add_entry(measure, &run, string.start, string.offset, string.bytes);
    }
}

rbc_status rbc__measure_values(rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                               uint64_t bytes, rbc__layout_span *out, rbc_error *err) {
    rbc__list list;
    *out = (rbc__layout_span){.id = out->id, .offset = offset, .bytes = bytes};
    RBC__TRY(rbc__list_open(&measure->payload, offset, bytes, &list, err));
    if (list.kind == RBC__LIST_NONE) {
        return RBC_OK;
    }
    if (list.kind != leaf->list) {
        return wrong_kind(measure, leaf, offset, list.kind, err);
    }
    if (leaf->storage == RBC__STORED_TENSOR) {
        return measure_tensor(measure, leaf, &list, out, err);
    }
    return leaf->list == RBC__LIST_BYTES ? measure_entries(measure, leaf, &list, out, err)
                                         : measure_numbers(measure, leaf, &list, out, err);
}

rbc_status rbc__measure_rows(rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                             uint64_t bytes, rbc__layout_span *out, uint64_t *total,
                             rbc_error *err) {
    rbc__list list;
    rbc__chunk chunk;
    bool more;
    rbc__leaf rows = *leaf;
    rows.elements = 1;
    rows.list = RBC__LIST_INT64;
    rows.storage = RBC__STORED_LIST;
    rows.kind = RBC_STREAM_NUMERIC;
    *total = 0;
    RBC__TRY(rbc__measure_values(measure, &rows, offset, bytes, out, err));
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
                                 uint64_t bytes, rbc__layout_span *out, rbc_error *err) {
    rbc__list list;
    rbc__chunk chunk;
    bool more = false;
    uint64_t values = 0;
    *out =
        (rbc__layout_span){.id = out->id, .form = RBC__FORM_WALK, .offset = offset, .bytes = bytes};
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
