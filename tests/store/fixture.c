#include "fixture.h"

#include <libdeflate.h>

#include "core/error.h"

static rbc__stream_schema numbers(const char *name, rbc__dtype dtype, int32_t ndim, int64_t a,
                                  int64_t b, rbc__layout_stream stored) {
    return (rbc__stream_schema){.name = (char *)(uintptr_t)name,
                                .dtype = dtype,
                                .ndim = ndim,
                                .shape = {a, b, 1},
                                .encoding = (char *)(uintptr_t)"",
                                .times = -1,
                                .stored = stored};
}

static void fill_schema(fixture *f) {
    const rbc__stream_schema streams[NUM_STREAMS] = {
        [FLOATS] = numbers("floats", RBC__F32, 1, 3, 0,
                           (rbc__layout_stream){12, RBC__ENCODING_PLAIN, RBC__F32}),
        [DOUBLES] = numbers("doubles", RBC__F64, 1, 2, 0,
                            (rbc__layout_stream){8, RBC__ENCODING_PLAIN, RBC__F32}),
        [INTEGERS] = numbers("integers", RBC__I64, 0, 0, 0,
                             (rbc__layout_stream){1, RBC__ENCODING_VARINT, RBC__I64}),
        [SMALL] = numbers("small", RBC__U8, 0, 0, 0,
                          (rbc__layout_stream){1, RBC__ENCODING_VARINT, RBC__U8}),
        [SWAPPED] = numbers("swapped", RBC__I16, 1, 2, 0,
                            (rbc__layout_stream){4, RBC__ENCODING_SWAPPED, RBC__I16}),
        [NPY] =
            numbers("npy", RBC__F64, 2, 2, 2, (rbc__layout_stream){0, RBC__ENCODING_NPY, RBC__F64}),
        [TEXT] =
            numbers("text", RBC__U8, 0, 0, 0, (rbc__layout_stream){0, RBC__ENCODING_TEXT, RBC__U8}),
        [RAGGED] = numbers("ragged", RBC__F32, 0, 0, 0,
                           (rbc__layout_stream){4, RBC__ENCODING_PLAIN, RBC__F32}),
        [PIXELS] = numbers("pixels", RBC__U16, 3, 2, 3,
                           (rbc__layout_stream){12, RBC__ENCODING_PIXELS, RBC__U16}),
        [FRAMES] = numbers("frames", RBC__U8, 3, 4, 6,
                           (rbc__layout_stream){0, RBC__ENCODING_FRAME, RBC__U8}),
        [UNREADABLE] = numbers("unreadable", RBC__F32, 0, 0, 0,
                               (rbc__layout_stream){4, RBC__ENCODING_PLAIN, RBC__F32}),
    };
    memcpy(f->streams, streams, sizeof streams);
    f->streams[TEXT].kind = RBC_STREAM_TEXT;
    f->streams[PIXELS].kind = RBC_STREAM_IMAGE;
    f->streams[FRAMES].kind = RBC_STREAM_IMAGE;
    f->streams[FRAMES].shape[2] = 3;
    f->streams[RAGGED].is_ragged = true;
    f->streams[UNREADABLE].unsupported = "nobody can";
    f->schema = (rbc__schema){.streams = f->streams, .num_streams = NUM_STREAMS};
    for (int i = 0; i < NUM_STREAMS; ++i) {
        f->stored[i] = f->streams[i].stored;
    }
}

static rbc_status load_object(void *user, int64_t part, rbc__container kind, uint32_t number,
                              uint8_t **data, size_t *bytes, rbc_error *err) {
    const fixture *f = user;
    assert_int_equal(part, 0);
    assert_true(kind == RBC__IN_ARRAY || kind == RBC__IN_TRACK);
    const rbc__bytes *objects = kind == RBC__IN_ARRAY ? f->arrays : f->tracks;
    if (number >= (kind == RBC__IN_ARRAY ? f->num_arrays : f->num_tracks)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "there is no array %u", number);
    }
    *bytes = objects[number].size;
    *data = malloc(*bytes);
    assert_non_null(*data);
    memcpy(*data, objects[number].data, *bytes);
    return RBC_OK;
}

void make_request(fixture *f, bool is_split, bool keeps_pictures) {
    const rbc__request_params params = {.store = &f->store.base,
                                        .cache = f->cache,
                                        .objects = &f->objects,
                                        .schema = &f->schema,
                                        .videos = f->videos,
                                        .is_split = is_split,
                                        .keeps_pictures = keeps_pictures};
    rbc__request_destroy(&f->request);
    assert_int_equal(rbc__request_create(&params, &f->request, NULL), RBC_OK);
}

int make_fixture(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    *state = f;
    fill_schema(f);
    for (uint32_t i = 0; i < 2; ++i) {
        f->blobs[i] = malloc(BLOB_BYTES);
        assert_non_null(f->blobs[i]);
        for (uint32_t k = 0; k < BLOB_BYTES; ++k) {
            f->blobs[i][k] = (uint8_t)((k + i) * UINT32_C(2654435761) >> 24);
        }
        f->described[i] = (memory_blob){rbc__blob_id(0, i), i == 0 ? "first.bin" : "second.bin",
                                        f->blobs[i], BLOB_BYTES};
    }
    memory_store_init(&f->store, f->described, 2);
    assert_int_equal(rbc__block_cache_create(1 << 24, &f->cache, NULL), RBC_OK);
    f->objects = (rbc__objects){load_object, f};
    f->writer = (rbc__layout_writer){.streams = f->stored, .num_streams = NUM_STREAMS};
    assert_int_equal(rbc__video_pool_create(1 << 20, 1, &f->videos, NULL), RBC_OK);
    make_request(f, false, false);
    return 0;
}

int free_fixture(void **state) {
    fixture *f = *state;
    rbc__request_destroy(&f->request);
    rbc__block_cache_destroy(&f->cache);
    rbc__video_pool_destroy(&f->videos);
    rbc__layout_writer_free(&f->writer);
    for (uint32_t i = 0; i < f->num_arrays; ++i) {
        rbc__bytes_free(&f->arrays[i]);
    }
    for (uint32_t i = 0; i < f->num_tracks; ++i) {
        rbc__bytes_free(&f->tracks[i]);
    }
    free(f->layout);
    free(f->blobs[0]);
    free(f->blobs[1]);
    free(f);
    return 0;
}

uint64_t put_bytes(fixture *f, uint64_t at, const void *data, size_t bytes) {
    assert_true(at + bytes <= BLOB_BYTES);
    memcpy(f->blobs[0] + at, data, bytes);
    return at;
}

/* ---- layouts ---- */

void begin_layout(fixture *f, uint64_t num_steps) {
    rbc__layout_begin(&f->writer, num_steps, 0);
}

void add_even(fixture *f, uint32_t id, uint64_t count, uint64_t offset, uint64_t bytes,
              uint64_t stride) {
    const rbc__layout_stream stored =
        id < NUM_STREAMS ? f->stored[id] : (rbc__layout_stream){8, RBC__ENCODING_PLAIN, RBC__I64};
    const rbc__run run = {.id = id,
                          .encoding = stored.encoding,
                          .dtype = stored.dtype,
                          .count = count,
                          .offset = offset,
                          .sample_bytes = bytes,
                          .stride = stride};
    rbc__layout_add_run(&f->writer, &run);
}

void add_spans(fixture *f, uint32_t id, const uint64_t (*spans)[2], uint64_t count) {
    rbc__bytes table = {0};
    for (uint64_t i = 0; i < count; ++i) {
        rbc__bytes_fixed(&table, spans[i][0], 3);
        rbc__bytes_fixed(&table, spans[i][1], 3);
    }
    const rbc__run run = {.id = id,
                          .form = RBC__FORM_SPANS,
                          .width = 3,
                          .encoding = f->stored[id].encoding,
                          .dtype = f->stored[id].dtype,
                          .count = count,
                          .table = table.data};
    rbc__layout_add_run(&f->writer, &run);
    rbc__bytes_free(&table);
}

void end_layout(fixture *f) {
    rbc__bytes encoded = {0};
    rbc_error err;
    free(f->layout);
    assert_int_equal(rbc__layout_end(&f->writer, &encoded, NULL), RBC_OK);
    if (rbc__layout_parse(f->stored, NUM_STREAMS, encoded.data, encoded.size, 0, "first.bin",
                          &f->layout, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    rbc__bytes_free(&encoded);
    f->parsed = (rbc__parsed_episode){f->layout, 0, RECORD};
}

/* ---- requests ---- */

const rbc_error *run_request(fixture *f) {
    int32_t rank;
    rbc__request_read(f->request, NULL);
    rbc__request_finish(f->request, NULL);
    return rbc__request_failure(f->request, 0, &rank);
}

void must_run(fixture *f) {
    const rbc_error *problem = run_request(f);
    if (problem != NULL) {
        fail_msg("%s", problem->message);
    }
}

void read_values(fixture *f, int32_t stream, int64_t first, int64_t count, void *dst) {
    rbc_error err;
    rbc__request_begin(f->request);
    if (rbc__request_values(f->request, &f->parsed, stream, first, count, dst, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    must_run(f);
}

rbc_error fail_values(fixture *f, int32_t stream, int64_t first, int64_t count, void *dst) {
    rbc_error err;
    rbc__request_begin(f->request);
    if (rbc__request_values(f->request, &f->parsed, stream, first, count, dst, &err) != RBC_OK) {
        return err;
    }
    const rbc_error *problem = run_request(f);
    assert_non_null(problem);
    return *problem;
}

void check_sample(fixture *f, uint32_t want, uint64_t offset, uint64_t bytes) {
    rbc__sample sample;
    rbc__request_get(f->request, want, &sample);
    assert_int_equal(sample.blob, rbc__blob_id(0, 0));
    assert_int_equal(sample.offset, offset);
    assert_int_equal(sample.num_bytes, bytes);
    if (bytes > 0) {
        assert_non_null(sample.bytes);
        assert_memory_equal(sample.bytes, f->blobs[0] + offset, bytes);
    }
}

void assert_contains(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' does not contain '%s'", text, part);
    }
}

uint8_t *zlib_pack(const void *data, size_t bytes, size_t *packed_bytes) {
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    const size_t room = libdeflate_zlib_compress_bound(compressor, bytes);
    uint8_t *packed = malloc(room);
    assert_non_null(packed);
    *packed_bytes = libdeflate_zlib_compress(compressor, data, bytes, packed, room);
    libdeflate_free_compressor(compressor);
    assert_true(*packed_bytes > 0);
    return packed;
}
