#define _POSIX_C_SOURCE 200809L

#include "fake.h"

#include <errno.h>
#include <math.h>
#include <spng.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/error.h"

struct rbc_dataset {
    fake_params params;
    rbc__schema schema;
    rbc__stream_schema streams[FAKE_NUM_STREAMS];
};

struct rbc_selection {
    atomic_int references;
    rbc_dataset dataset;
    int64_t *ids, *steps, *start_ns, *end_ns;
};

struct rbc__cursor {
    const rbc_dataset *dataset;
    char task[32];
};

/* One file an episode: its encoded images behind each other. */
struct rbc__parsed_episode {
    const rbc_dataset *dataset;
    int64_t number;
};

#define MAX_SOURCES 4096

struct rbc__source {
    int64_t episode;
};

static rbc__source sources[MAX_SOURCES];

static atomic_llong num_state_reads;
static atomic_llong num_open;
static atomic_llong num_located;

int64_t fake_num_open(void) {
    return atomic_load(&num_open);
}

int64_t fake_num_located(void) {
    return atomic_load(&num_located);
}

static uint64_t hash(int64_t episode, int64_t stream, int64_t sample, int64_t element) {
    uint64_t x = (uint64_t)episode * 1000003 + (uint64_t)stream * 10007;
    x = (x + (uint64_t)sample) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)element;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static double unit(uint64_t bits) {
    return (double)(bits >> 11) * 0x1p-53 * 2.0 - 1.0;
}

int64_t fake_num_steps(int64_t episode) {
    return episode % 7 == 3 ? 0 : 5 + episode * 13 % 37;
}

int64_t fake_id(int64_t episode) {
    return 1000 + 3 * episode;
}

int64_t fake_num_stamps(int64_t episode) {
    return fake_num_steps(episode) * 7 + 1;
}

int64_t *fake_stamps(int64_t episode) {
    const int64_t count = fake_num_stamps(episode);
    int64_t *times = malloc((size_t)count * sizeof *times);
    int64_t now = INT64_C(1700000000000000000) + episode * 1000000007;
    for (int64_t i = 0; i < count; ++i) {
        times[i] = now;
        const uint64_t bits = hash(episode, -1, i, 0);
        now += bits % 8 == 0 ? 0 : (int64_t)(bits % 57142857);
    }
    return times;
}

static int64_t num_elements(int32_t stream) {
    static const int64_t counts[FAKE_NUM_STREAMS] = {7, 4, 1, 3, 1, 5, 0, 0, 3, 0};
    return counts[stream];
}

static rbc__dtype dtype_of(int32_t stream) {
    static const rbc__dtype dtypes[FAKE_NUM_STREAMS] = {RBC__F32, RBC__F64, RBC__I64, RBC__F32,
                                                        RBC__I64, RBC__F64, RBC__U8,  RBC__U8,
                                                        RBC__F32, RBC__U8};
    return dtypes[stream];
}

int64_t fake_sample_bytes(int32_t stream) {
    return num_elements(stream) * rbc__dtype_bytes(dtype_of(stream));
}

static void put_value(int64_t episode, int32_t stream, int64_t sample, int64_t element, void *dst) {
    const uint64_t bits = hash(episode, stream, sample, element);
    if (dtype_of(stream) == RBC__I64) {
        const int64_t value = (int64_t)bits;
        memcpy(dst, &value, sizeof value);
    } else if (dtype_of(stream) == RBC__F64) {
        double value = unit(bits);
        if (stream == FAKE_POSE && element < 4) {
            double norm = 0.0;
            for (int64_t i = 0; i < 4; ++i) {
                norm += pow(unit(hash(episode, stream, sample, i)), 2.0);
            }
            value /= sqrt(norm);
        }
        memcpy(dst, &value, sizeof value);
    } else {
        const float value = (float)unit(bits);
        memcpy(dst, &value, sizeof value);
    }
}

void *fake_values(int64_t episode, int32_t stream, int64_t count) {
    if (stream == FAKE_IMU_TIME) {
        return fake_stamps(episode);
    }
    const int64_t elements = num_elements(stream);
    const int64_t bytes = rbc__dtype_bytes(dtype_of(stream));
    char *values = malloc((size_t)(count * elements * bytes) + 1);
    for (int64_t i = 0; i < count * elements; ++i) {
        put_value(episode, stream, i / elements, i % elements, values + i * bytes);
    }
    return values;
}

int64_t fake_num_points(int64_t episode, int64_t step) {
    return (int64_t)(hash(episode, FAKE_CLOUD, step, -1) % (FAKE_MAX_POINTS + 1));
}

bool fake_image_is_empty(int32_t stream, int64_t sample) {
    return stream == FAKE_IMAGE && sample % 5 == 4;
}

void fake_pixels(int64_t episode, int32_t stream, int64_t sample, uint8_t *dst) {
    for (int64_t i = 0; i < FAKE_IMAGE_BYTES; ++i) {
        dst[i] = fake_image_is_empty(stream, sample)
                     ? 0
                     : (uint8_t)hash(episode, stream, sample, i / 3 * 3 + i % 2);
    }
}

void fake_note(int64_t episode, int64_t step, char *dst, size_t bytes) {
    dst[0] = '\0';
    if (step % 4 != 0) {
        snprintf(dst, bytes, "episode %lld, step %lld", (long long)episode, (long long)step);
    }
}

/* ---- schema ---- */

static rbc__schema make_schema(rbc_dataset *dataset) {
    static const struct {
        const char *name;
        rbc_stream_kind kind;
        int32_t ndim;
        int64_t shape[3];
        int32_t times;
        bool is_ragged;
    } rows[FAKE_NUM_STREAMS] = {
        {"state", RBC_STREAM_NUMERIC, 1, {7}, -1, false},
        {"action", RBC_STREAM_NUMERIC, 2, {2, 2}, -1, false},
        {"count", RBC_STREAM_NUMERIC, 0, {0}, -1, false},
        {"imu", RBC_STREAM_NUMERIC, 1, {3}, FAKE_IMU_TIME, true},
        {"imu_time_ns", RBC_STREAM_NUMERIC, 0, {0}, -1, true},
        {"pose", RBC_STREAM_NUMERIC, 1, {5}, FAKE_IMU_TIME, true},
        {"image", RBC_STREAM_IMAGE, 3, {FAKE_IMAGE_HEIGHT, FAKE_IMAGE_WIDTH, 3}, -1, false},
        {"camera", RBC_STREAM_IMAGE, 3, {-1, -1, 3}, FAKE_IMU_TIME, true},
        {"cloud", RBC_STREAM_NUMERIC, 1, {3}, -1, true},
        {"note", RBC_STREAM_TEXT, 0, {0}, -1, false},
    };
    for (int32_t i = 0; i < FAKE_NUM_STREAMS; ++i) {
        rbc__stream_schema *stream = &dataset->streams[i];
        const bool exists = dataset->params.has_stamps || rows[i].times < 0;
        char *name = calloc(1, 32);
        snprintf(name, 32, "%s%s", exists ? "" : "absent_", rows[i].name);
        *stream = (rbc__stream_schema){.name = name,
                                       .kind = rows[i].kind,
                                       .dtype = dtype_of(i),
                                       .ndim = rows[i].ndim,
                                       .encoding = NULL,
                                       .times = exists ? rows[i].times : -1,
                                       .is_ragged = rows[i].is_ragged};
        memcpy(stream->shape, rows[i].shape, sizeof rows[i].shape);
    }
    rbc__schema schema = {.control_rate_hz = dataset->params.control_rate_hz,
                          .streams = dataset->streams,
                          .num_streams = FAKE_NUM_STREAMS};
    rbc__schema_set_reference(&schema);
    return schema;
}

rbc_selection *fake_create(const fake_params *params) {
    for (int64_t i = 1; i < MAX_SOURCES && sources[i].episode == 0; ++i) {
        sources[i].episode = i;
    }
    rbc_selection *s = calloc(1, sizeof *s);
    const size_t bytes = (size_t)(params->num_episodes + 1) * sizeof(int64_t);
    atomic_store(&s->references, 1);
    s->dataset.params = *params;
    s->dataset.schema = make_schema(&s->dataset);
    s->ids = malloc(bytes);
    s->steps = malloc(bytes);
    s->start_ns = malloc(bytes);
    s->end_ns = malloc(bytes);
    for (int64_t i = 0; i < params->num_episodes; ++i) {
        s->ids[i] = fake_id(i);
        s->steps[i] = fake_num_steps(i);
        s->start_ns[i] = 0;
        s->end_ns[i] = -1;
        if (params->has_stamps) {
            int64_t *stamps = fake_stamps(i);
            s->start_ns[i] = stamps[0];
            s->end_ns[i] = stamps[fake_num_stamps(i) - 1];
            free(stamps);
        }
    }
    return s;
}

/* ---- reader ---- */

static rbc_status fake_episode_open(const rbc__reader *reader, rbc__source *source,
                                    const rbc__episode_entry *entry, rbc__parsed_episode **out,
                                    rbc_error *err) {
    const rbc_dataset *dataset = (const rbc_dataset *)(const void *)reader;
    (void)source;
    if (entry->record == dataset->params.failing_episode) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "fake file: byte 77: record is damaged");
    }
    *out = calloc(1, sizeof **out);
    (*out)->dataset = dataset;
    (*out)->number = entry->record;
    atomic_fetch_add(&num_open, 1);
    return RBC_OK;
}

static void fake_episode_close(rbc__parsed_episode **episode) {
    free(*episode);
    *episode = NULL;
    atomic_fetch_sub(&num_open, 1);
}

static int64_t count_of(const rbc__parsed_episode *episode, int32_t stream) {
    return episode->dataset->streams[stream].is_ragged && stream != FAKE_CLOUD
               ? fake_num_stamps(episode->number)
               : fake_num_steps(episode->number);
}

static rbc_status fake_count(rbc__parsed_episode *episode, int32_t stream, int64_t *num_samples,
                             int64_t *row_lengths, rbc_error *err) {
    (void)err;
    *num_samples = count_of(episode, stream);
    if (stream == FAKE_CLOUD) {
        const int64_t steps = *num_samples;
        *num_samples = 0;
        for (int64_t i = 0; i < steps; ++i) {
            const int64_t points = fake_num_points(episode->number, i);
            *num_samples += points;
            if (row_lengths != NULL) {
                row_lengths[i] = points;
            }
        }
    }
    return RBC_OK;
}

static rbc_status fake_read(rbc__parsed_episode *episode, int32_t stream, int64_t first,
                            int64_t count, void *dst, rbc__scratch *scratch, rbc_error *err) {
    (void)scratch;
    const fake_params *params = &episode->dataset->params;
    if (params->read_us > 0) {
        nanosleep(&(struct timespec){.tv_nsec = (long)params->read_us * 1000}, NULL);
    }
    if (stream == FAKE_STATE && params->short_every > 0) {
        static const int codes[] = {EMFILE, ENFILE, ENOMEM, EIO, EINTR};
        const long long number = atomic_fetch_add(&num_state_reads, 1);
        if (number % params->short_every == 0) {
            return rbc__fail_errno(err, codes[number / params->short_every % 5], "fake file");
        }
    }
    if (stream == FAKE_STATE && params->failing_step >= first &&
        params->failing_step < first + count && episode->number % 3 == 0) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "fake file: byte 99: stream 'state' is damaged");
    }
    if (stream == FAKE_IMU_TIME) {
        int64_t *stamps = fake_stamps(episode->number);
        if (episode->number == params->unsorted_episode) {
            stamps[5] = stamps[0] - 1;
        }
        memcpy(dst, stamps + first, (size_t)count * sizeof *stamps);
        free(stamps);
        return RBC_OK;
    }
    const int64_t elements = num_elements(stream);
    const int64_t bytes = rbc__dtype_bytes(dtype_of(stream));
    for (int64_t i = 0; i < count * elements; ++i) {
        put_value(episode->number, stream, first + i / elements, i % elements,
                  (char *)dst + i * bytes);
    }
    return RBC_OK;
}

/* malloc'ed. */
static void *encode(int64_t episode, int32_t stream, int64_t sample, size_t *bytes) {
    uint8_t pixels[FAKE_IMAGE_BYTES];
    fake_pixels(episode, stream, sample, pixels);
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {.width = FAKE_IMAGE_WIDTH,
                               .height = FAKE_IMAGE_HEIGHT,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    spng_set_ihdr(png, &header);
    spng_encode_image(png, pixels, FAKE_IMAGE_BYTES, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    int failure = 0;
    void *encoded = spng_get_png_buffer(png, bytes, &failure);
    spng_ctx_free(png);
    return encoded;
}

/* The offset says which sample it is; see rbc__source_view() below. */
static rbc_status fake_locate(rbc__parsed_episode *episode, int32_t stream, int64_t sample,
                              uint64_t *offset, uint64_t *bytes, rbc_error *err) {
    (void)err;
    if (stream == FAKE_NOTE) {
        char note[64];
        fake_note(episode->number, sample, note, sizeof note);
        *bytes = strlen(note);
    } else {
        atomic_fetch_add(&num_located, 1);
        size_t encoded_bytes = 0;
        free(encode(episode->number, stream, sample, &encoded_bytes));
        *bytes = fake_image_is_empty(stream, sample) ? 0 : encoded_bytes;
    }
    *offset = ((uint64_t)sample * FAKE_NUM_STREAMS + (uint64_t)stream) << 20;
    return RBC_OK;
}

static const rbc__format fake_ops = {.format = "fake",
                                     .episode_open = fake_episode_open,
                                     .episode_close = fake_episode_close,
                                     .count = fake_count,
                                     .read = fake_read,
                                     .locate = fake_locate};

/* ---- sources ---- */

rbc_status rbc__scratch_reserve(rbc__scratch *scratch, size_t bytes, rbc_error *err) {
    (void)err;
    if (scratch->bytes < bytes) {
        free(scratch->data);
        scratch->data = malloc(bytes);
        scratch->bytes = bytes;
    }
    return RBC_OK;
}

void rbc__scratch_free(rbc__scratch *scratch) {
    free(scratch->data);
    *scratch = (rbc__scratch){0};
}

const char *rbc__source_path(const rbc__source *source) {
    (void)source;
    return "fake file";
}

rbc_status rbc__source_view(rbc__source *source, uint64_t offset, uint64_t bytes,
                            rbc__scratch *scratch, const uint8_t **out, rbc_error *err) {
    const int32_t stream = (int32_t)((offset >> 20) % FAKE_NUM_STREAMS);
    const int64_t sample = (int64_t)((offset >> 20) / FAKE_NUM_STREAMS);
    RBC__TRY(rbc__scratch_reserve(scratch, bytes + 64, err));
    if (stream == FAKE_NOTE) {
        fake_note(source->episode, sample, (char *)scratch->data, 64);
    } else {
        size_t encoded_bytes = 0;
        void *encoded = encode(source->episode, stream, sample, &encoded_bytes);
        memcpy(scratch->data, encoded, encoded_bytes);
        free(encoded);
    }
    *out = scratch->data;
    return RBC_OK;
}

/* ---- dataset, selection, cursor ---- */

const rbc__schema *rbc__dataset_schema(const rbc_dataset *dataset) {
    return &dataset->schema;
}

const rbc__format *rbc__dataset_format(const rbc_dataset *dataset) {
    (void)dataset;
    return &fake_ops;
}

const rbc__reader *rbc__dataset_reader(const rbc_dataset *dataset) {
    return (const rbc__reader *)(const void *)dataset;
}

double rbc__dataset_control_rate(const rbc_dataset *dataset) {
    return dataset->params.control_rate_hz;
}

rbc_jpeg_dct rbc__dataset_jpeg_dct(const rbc_dataset *dataset) {
    (void)dataset;
    return RBC_JPEG_DCT_ACCURATE;
}

void rbc_dataset_get_info(const rbc_dataset *dataset, rbc_dataset_info *out) {
    (void)dataset;
    *out = (rbc_dataset_info){.name = "fake", .path = "/fake"};
}

rbc_status rbc__dataset_source(rbc_dataset *dataset, int64_t file, rbc__source **out,
                               rbc_error *err) {
    (void)dataset;
    (void)err;
    *out = &sources[file]; /* of MAX_SOURCES */
    return RBC_OK;
}

const int64_t *rbc__selection_ids(const rbc_selection *selection) {
    return selection->ids;
}

const int64_t *rbc__selection_steps(const rbc_selection *selection) {
    return selection->steps;
}

const int64_t *rbc__selection_start_ns(const rbc_selection *selection) {
    return selection->start_ns;
}

const int64_t *rbc__selection_end_ns(const rbc_selection *selection) {
    return selection->end_ns;
}

rbc_status rbc__selection_load_spans(const rbc_selection *selection, int32_t times,
                                     int64_t *first_ns, int64_t *last_ns, rbc_error *err) {
    if (times != FAKE_IMU_TIME) {
        return rbc__fail(err, RBC_ERROR_INTERNAL, "stream %d has no stamps in it", times);
    }
    for (int64_t i = 0; i < selection->dataset.params.num_episodes; ++i) {
        int64_t *stamps = fake_stamps(i);
        first_ns[i] = stamps[0];
        last_ns[i] = stamps[fake_num_stamps(i) - 1];
        free(stamps);
    }
    return RBC_OK;
}

int64_t rbc_selection_size(const rbc_selection *selection) {
    return selection->dataset.params.num_episodes;
}

rbc_dataset *rbc_selection_dataset(const rbc_selection *selection) {
    union {
        const rbc_dataset *in;
        rbc_dataset *out;
    } dataset = {.in = &selection->dataset};
    return dataset.out;
}

rbc_selection *rbc__selection_retain(const rbc_selection *selection) {
    union {
        const rbc_selection *in;
        rbc_selection *out;
    } retained = {.in = selection};
    atomic_fetch_add(&retained.out->references, 1);
    return retained.out;
}

void rbc_selection_destroy(rbc_selection **out) {
    rbc_selection *selection = *out;
    *out = NULL;
    if (selection == NULL || atomic_fetch_sub(&selection->references, 1) > 1) {
        return;
    }
    for (int32_t i = 0; i < FAKE_NUM_STREAMS; ++i) {
        free(selection->dataset.streams[i].name);
    }
    free(selection->ids);
    free(selection->steps);
    free(selection->start_ns);
    free(selection->end_ns);
    free(selection);
}

rbc_status rbc__cursor_take(rbc_dataset *dataset, rbc__cursor **out, rbc_error *err) {
    (void)err;
    *out = calloc(1, sizeof **out);
    (*out)->dataset = dataset;
    atomic_fetch_add(&num_open, 1);
    return RBC_OK;
}

void rbc__cursor_give(rbc__cursor **cursor) {
    if (*cursor != NULL) {
        free(*cursor);
        *cursor = NULL;
        atomic_fetch_sub(&num_open, 1);
    }
}

rbc_status rbc__cursor_episode(rbc__cursor *cursor, int64_t id, rbc__episode_row *out,
                               rbc_error *err) {
    (void)cursor;
    (void)err;
    const int64_t episode = (id - 1000) / 3;
    *out = (rbc__episode_row){
        .id = id,
        .file = episode,
        .task = episode % 4 - 1,
        .entry = {.record = episode, .num_steps = fake_num_steps(episode), .task = ""}};
    return RBC_OK;
}

rbc_status rbc__cursor_task(rbc__cursor *cursor, int64_t task, const char **text, rbc_error *err) {
    (void)err;
    cursor->task[0] = '\0';
    if (task >= 0) {
        snprintf(cursor->task, sizeof cursor->task, "task %lld", (long long)task);
    }
    *text = cursor->task;
    return RBC_OK;
}
