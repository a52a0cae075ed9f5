/* The tables of stbl: sizes, positions, times and key flags of the samples of a track. */
#include <inttypes.h>
#include <stdlib.h>

#include "formats/mp4/tables.h"

/* The tables, and where each of them is read. */
typedef struct sample_tables {
    rbc__mp4_builder *builder;
    rbc__box stbl, sizes, chunks, runs, durations, shifts, keys;
    uint32_t num_samples, num_chunks, num_runs, num_durations, num_shifts, num_keys;
    uint32_t even_bytes;  /* of every sample; 0: each has its own */
    unsigned size_bits;   /* of an entry of the table of sizes */
    uint64_t chunk_bytes; /* of an entry of the table of chunks: 4 or 8 */
    uint32_t duration_at, duration_left, shift_at, shift_left, key_at;
    int64_t dts;
} sample_tables;

static rbc_status find_sizes(sample_tables *t, rbc_error *err) {
    RBC__TRY(rbc__box_find(&t->stbl, RBC__BOX_TYPE('s', 't', 's', 'z'), &t->sizes, err));
    t->size_bits = 32;
    if (t->sizes.data == NULL) {
        rbc__box compact;
        RBC__TRY(rbc__box_get(&t->stbl, RBC__BOX_TYPE('s', 't', 'z', '2'), &compact, err));
        RBC__TRY(rbc__box_need(&compact, 12, err));
        t->sizes = compact;
        t->size_bits = compact.data[7];
        if (t->size_bits != 4 && t->size_bits != 8 && t->size_bits != 16) {
            return rbc__box_fail(&t->sizes, 7, err, "found sizes of %u bits, wanted 4, 8 or 16",
                                 t->size_bits);
        }
    } else {
        RBC__TRY(rbc__box_need(&t->sizes, 12, err));
        t->even_bytes = rbc__load_be32(t->sizes.data + 4);
    }
    t->num_samples = rbc__load_be32(t->sizes.data + 8);
    const uint64_t room = t->even_bytes > 0 ? t->builder->file_bytes / t->even_bytes
                                            : (t->sizes.bytes - 12) * 8 / t->size_bits;
    return t->num_samples <= room
               ? RBC_OK
               : rbc__box_fail(&t->sizes, 8, err,
                               "found %" PRIu32 " samples, wanted at most %" PRIu64
                               ", for which %s",
                               t->num_samples, room,
                               t->even_bytes > 0 ? "the file has bytes" : "it has sizes");
}

static rbc_status find_tables(sample_tables *t, rbc_error *err) {
    const rbc__box *stbl = &t->stbl;
    RBC__TRY(find_sizes(t, err));
    RBC__TRY(rbc__box_find(stbl, RBC__BOX_TYPE('c', 'o', '6', '4'), &t->chunks, err));
    t->chunk_bytes = t->chunks.data != NULL ? 8 : 4;
    if (t->chunks.data == NULL) {
        RBC__TRY(rbc__box_get(stbl, RBC__BOX_TYPE('s', 't', 'c', 'o'), &t->chunks, err));
    }
    RBC__TRY(rbc__box_table(&t->chunks, 8, t->chunk_bytes, &t->num_chunks, err));
    RBC__TRY(rbc__box_get(stbl, RBC__BOX_TYPE('s', 't', 's', 'c'), &t->runs, err));
    RBC__TRY(rbc__box_table(&t->runs, 8, 12, &t->num_runs, err));
    RBC__TRY(rbc__box_get(stbl, RBC__BOX_TYPE('s', 't', 't', 's'), &t->durations, err));
    RBC__TRY(rbc__box_table(&t->durations, 8, 8, &t->num_durations, err));
    RBC__TRY(rbc__box_find(stbl, RBC__BOX_TYPE('c', 't', 't', 's'), &t->shifts, err));
    if (t->shifts.data != NULL) {
        RBC__TRY(rbc__box_table(&t->shifts, 8, 8, &t->num_shifts, err));
    }
    RBC__TRY(rbc__box_find(stbl, RBC__BOX_TYPE('s', 't', 's', 's'), &t->keys, err));
    if (t->keys.data != NULL) {
        RBC__TRY(rbc__box_table(&t->keys, 8, 4, &t->num_keys, err));
    }
    return RBC_OK;
}

static uint64_t size_of(const sample_tables *t, uint32_t sample) {
    const uint8_t *sizes = t->sizes.data + 12;
    switch (t->even_bytes > 0 ? 0 : t->size_bits) {
    case 0:
        return t->even_bytes;
    case 4:
        return sample % 2 == 0 ? sizes[sample / 2] >> 4 : sizes[sample / 2] & 15;
    case 8:
        return sizes[sample];
    case 16:
        return rbc__load_be16(sizes + (uint64_t)sample * 2);
    default:
        return rbc__load_be32(sizes + (uint64_t)sample * 4);
    }
}

/* Goes to the next entry of a table of (count, value) that is for one sample at least; false behind
 * the last. */
static bool next_run(const rbc__box *table, uint32_t num_entries, uint32_t *at, uint32_t *left) {
    while (*left == 0 && *at < num_entries) {
        *left = rbc__load_be32(table->data + 8 + (uint64_t)*at * 8);
        ++*at;
    }
    return *left > 0;
}

static uint32_t run_value(const rbc__box *table, uint32_t at) {
    return rbc__load_be32(table->data + 12 + (uint64_t)(at - 1) * 8);
}

/* When the sample is composed. */
static rbc_status next_time(sample_tables *t, uint32_t sample, int64_t *pts, rbc_error *err) {
    int64_t shift = 0;
    if (!next_run(&t->durations, t->num_durations, &t->duration_at, &t->duration_left)) {
        return rbc__box_fail(&t->durations, 0, err,
                             "found times of %" PRIu32 " samples, wanted those of %" PRIu32, sample,
                             t->num_samples);
    }
    if (t->shifts.data != NULL) {
        if (!next_run(&t->shifts, t->num_shifts, &t->shift_at, &t->shift_left)) {
            return rbc__box_fail(&t->shifts, 0, err,
                                 "found times of %" PRIu32 " samples, wanted those of %" PRIu32,
                                 sample, t->num_samples);
        }
        --t->shift_left;
        /* Version 0 has them unsigned, but writers put negative ones there, too. */
        shift = (int32_t)run_value(&t->shifts, t->shift_at);
    }
    --t->duration_left;
    if (__builtin_add_overflow(t->dts, shift, pts) ||
        __builtin_add_overflow(t->dts, (int64_t)run_value(&t->durations, t->duration_at),
                               &t->dts)) {
        return rbc__box_fail(&t->durations, 0, err, "sample %" PRIu32 " is shown when no time is",
                             sample);
    }
    return RBC_OK;
}

static rbc_status is_key(sample_tables *t, uint32_t sample, bool *out, rbc_error *err) {
    if (t->keys.data == NULL) { /* all are */
        *out = true;
        return RBC_OK;
    }
    *out = false;
    if (t->key_at < t->num_keys) {
        const uint32_t number = rbc__load_be32(t->keys.data + 8 + (uint64_t)t->key_at * 4);
        if (number <= sample) {
            return rbc__box_fail(&t->keys, 8 + (uint64_t)t->key_at * 4, err,
                                 "found key sample %" PRIu32 ", wanted numbers that go up from 1",
                                 number);
        }
        *out = number == sample + 1;
        t->key_at += *out;
    }
    return RBC_OK;
}

/* The samples of a chunk, one behind the other. */
static rbc_status read_chunk(sample_tables *t, uint32_t chunk, uint32_t count, uint32_t *sample,
                             rbc_error *err) {
    const uint8_t *entry = t->chunks.data + 8 + chunk * t->chunk_bytes;
    uint64_t offset = t->chunk_bytes == 8 ? rbc__load_be64(entry) : rbc__load_be32(entry);
    for (uint32_t i = 0; i < count; ++i, ++*sample) {
        int64_t pts = 0;
        bool key = false;
        if (*sample == t->num_samples) {
            return rbc__box_fail(&t->runs, 0, err,
                                 "found more samples in chunks, wanted the %" PRIu32
                                 " that have sizes",
                                 t->num_samples);
        }
        const uint64_t bytes = size_of(t, *sample);
        RBC__TRY(next_time(t, *sample, &pts, err));
        RBC__TRY(is_key(t, *sample, &key, err));
        RBC__TRY(rbc__mp4_add_packet(t->builder, &t->chunks, offset, bytes, pts, key, err));
        offset += bytes;
    }
    return RBC_OK;
}

/* Which chunks a run of stsc is of, and how many samples each has. */
static rbc_status read_run(sample_tables *t, uint32_t run, uint32_t *sample, rbc_error *err) {
    const uint64_t at = 8 + (uint64_t)run * 12;
    const uint8_t *entry = t->runs.data + at;
    const uint32_t first = rbc__load_be32(entry);
    const uint32_t count = rbc__load_be32(entry + 4);
    const uint32_t description = rbc__load_be32(entry + 8);
    const bool is_last = run + 1 == t->num_runs;
    const uint32_t end = is_last ? t->num_chunks + 1 : rbc__load_be32(entry + 12);
    if (first < 1 || end < first || end > t->num_chunks + UINT64_C(1) || (run == 0 && first != 1)) {
        return rbc__box_fail(t->runs.data != NULL ? &t->runs : &t->stbl, at, err,
                             "entry %" PRIu32 " is of chunks %" PRIu32 " to before %" PRIu32
                             ", wanted within the %" PRIu32 " there are, from 1 on",
                             run, first, end, t->num_chunks);
    }
    if (description != 1) {
        return rbc__box_refuse(&t->runs, at + 8, err,
                               "chunks from %" PRIu32 " on have sample description %" PRIu32
                               ", wanted the first for all",
                               first, description);
    }
    for (uint32_t chunk = first - 1; chunk < end - 1 && *sample < t->num_samples; ++chunk) {
        RBC__TRY(read_chunk(t, chunk, count, sample, err));
    }
    return RBC_OK;
}

rbc_status rbc__mp4_read_samples(rbc__mp4_builder *builder, const rbc__box *stbl, rbc_error *err) {
    sample_tables t = {.builder = builder, .stbl = *stbl};
    uint32_t sample = 0;
    RBC__TRY(find_tables(&t, err));
    for (uint32_t run = 0; run < t.num_runs; ++run) {
        RBC__TRY(read_run(&t, run, &sample, err));
    }
    if (sample < t.num_samples) {
        return rbc__box_fail(&t.runs, 0, err,
                             "found %" PRIu32 " samples in chunks, wanted the %" PRIu32
                             " that have sizes",
                             sample, t.num_samples);
    }
    builder->next_dts = t.dts;
    return RBC_OK;
}
