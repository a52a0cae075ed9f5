#define _POSIX_C_SOURCE 200809L

#include "fake.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <spng.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <turbojpeg.h>

#include "core/error.h"
#include "core/hash.h"

struct rbc_dataset {
    fake_params params;
    rbc__schema schema;
    rbc__stream_schema streams[FAKE_NUM_STREAMS];
    rbc__layout_stream stored[FAKE_NUM_STREAMS];
    rbc__store store;
    rbc__block_cache *blocks;
    rbc__objects objects;
    pthread_mutex_t lock;
    struct file *files; /* [num_episodes]; made when they are first asked for */
};

struct rbc_selection {
    atomic_int references;
    rbc_dataset dataset;
    int64_t *ids, *steps, *start_ns, *end_ns;
};

struct rbc__cursor {
    rbc_dataset *dataset;
    char task[32];
};

/* One file an episode: its streams behind each other, FAKE_STATE first. */
typedef struct file {
    rbc__bytes data, layout;
} file;

static atomic_llong num_calls; /* of stores */
static atomic_llong num_open;

int64_t fake_num_open(void) {
    return atomic_load(&num_open);
}

static uint64_t hash(int64_t episode, int64_t stream, int64_t sample, int64_t element) {
    uint64_t x = (uint64_t)episode * 1000003 + (uint64_t)stream * 10007;
    return rbc__mix64((x + (uint64_t)sample) * RBC__GOLDEN + (uint64_t)element);
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
        const rbc__encoding encoding = rows[i].kind == RBC_STREAM_NUMERIC ? RBC__ENCODING_PLAIN
                                       : rows[i].kind == RBC_STREAM_IMAGE ? RBC__ENCODING_IMAGE
                                                                          : RBC__ENCODING_TEXT;
        stream->stored = (rbc__layout_stream){(uint64_t)fake_sample_bytes(i), (uint8_t)encoding,
                                              (uint8_t)dtype_of(i)};
        dataset->stored[i] = stream->stored;
    }
    rbc__schema schema = {.control_rate_hz = dataset->params.control_rate_hz,
                          .streams = dataset->streams,
                          .num_streams = FAKE_NUM_STREAMS};
    rbc__schema_set_reference(&schema);
    return schema;
}

/* ---- files ---- */

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

/* Each sixth ends too soon where they are to be damaged. */
static void *encode_jpeg(const fake_params *params, int64_t episode, int32_t stream, int64_t sample,
                         size_t *bytes) {
    uint8_t pixels[FAKE_IMAGE_BYTES];
    unsigned char *buffer = NULL;
    unsigned long size = 0;
    fake_pixels(episode, stream, sample, pixels);
    tjhandle jpeg = tjInitCompress();
    tjCompress2(jpeg, pixels, FAKE_IMAGE_WIDTH, 0, FAKE_IMAGE_HEIGHT, TJPF_RGB, &buffer, &size,
                TJSAMP_420, 90, 0);
    tjDestroy(jpeg);
    *bytes = params->damages_images && sample % 6 == 1 ? size - 12 : size;
    void *encoded = malloc(size);
    memcpy(encoded, buffer, size);
    tjFree(buffer);
    return encoded;
}

static int64_t count_of(const rbc_dataset *dataset, int64_t episode, int32_t stream) {
    int64_t points = 0;
    if (stream != FAKE_CLOUD) {
        return dataset->streams[stream].is_ragged ? fake_num_stamps(episode)
                                                  : fake_num_steps(episode);
    }
    for (int64_t i = 0; i < fake_num_steps(episode); ++i) {
        points += fake_num_points(episode, i);
    }
    return points;
}

static void put_numbers(const rbc_dataset *dataset, int64_t episode, int32_t stream,
                        rbc__layout_writer *writer, file *out) {
    const int64_t count = count_of(dataset, episode, stream);
    void *values = fake_values(episode, stream, count);
    const rbc__run run = {.id = (uint32_t)stream,
                          .dtype = (uint8_t)dtype_of(stream),
                          .count = (uint64_t)count,
                          .offset = out->data.size,
                          .sample_bytes = (uint64_t)fake_sample_bytes(stream)};
    if (stream == FAKE_IMU_TIME && episode == dataset->params.unsorted_episode) {
        ((int64_t *)values)[5] = ((int64_t *)values)[0] - 1;
    }
    if (count > 0) {
        rbc__layout_add_run(writer, &run);
        rbc__bytes_append(&out->data, values, (size_t)(count * fake_sample_bytes(stream)));
    }
    free(values);
}

/* `count` images from `begin` on are packed together. */
static void put_block(const rbc_dataset *dataset, int32_t stream, uint64_t count, size_t begin,
                      const rbc__bytes *ends, rbc__layout_writer *writer, const file *out) {
    const rbc__packing packing = {1, {{RBC__PACKING_SHUFFLE, 1}}}; /* the same bytes */
    const rbc__block block = {.packing = rbc__layout_add_packing(writer, &packing),
                              .offset = begin,
                              .packed_bytes = out->data.size - begin,
                              .unpacked_bytes = out->data.size - begin};
    const rbc__run run = {.id = (uint32_t)stream,
                          .container = RBC__IN_BLOCK,
                          .form = RBC__FORM_ENDS,
                          .width = 4,
                          .encoding = dataset->stored[stream].encoding,
                          .dtype = dataset->stored[stream].dtype,
                          .number = rbc__layout_add_block(writer, &block),
                          .count = count,
                          .bytes = out->data.size - begin,
                          .table = ends->data};
    rbc__layout_add_run(writer, &run);
}

/* Images and notes: a table of where each lies. */
static void put_samples(const rbc_dataset *dataset, int64_t episode, int32_t stream,
                        rbc__layout_writer *writer, file *out) {
    const bool is_packed = dataset->params.is_packed && stream == FAKE_IMAGE;
    const int64_t count = count_of(dataset, episode, stream);
    size_t begin = out->data.size;
    rbc__bytes ends = {0};
    for (int64_t i = 0; i < count; ++i) {
        char note[64] = "";
        size_t bytes = 0;
        void *encoded = NULL;
        if (stream == FAKE_NOTE) {
            fake_note(episode, i, note, sizeof note);
            bytes = strlen(note);
        } else if (!fake_image_is_empty(stream, i)) {
            encoded = dataset->params.is_jpeg && stream == FAKE_IMAGE
                          ? encode_jpeg(&dataset->params, episode, stream, i, &bytes)
                          : encode(episode, stream, i, &bytes);
        }
        rbc__bytes_append(&out->data, encoded != NULL ? encoded : note, bytes);
        rbc__bytes_fixed(&ends, out->data.size - begin, 4);
        free(encoded);
        if (is_packed && (i % FAKE_BLOCK_IMAGES == FAKE_BLOCK_IMAGES - 1 || i == count - 1)) {
            put_block(dataset, stream, ends.size / 4, begin, &ends, writer, out);
            begin = out->data.size;
            ends.size = 0;
        }
    }
    const rbc__run run = {.id = (uint32_t)stream,
                          .form = RBC__FORM_ENDS,
                          .width = 4,
                          .encoding = dataset->stored[stream].encoding,
                          .dtype = dataset->stored[stream].dtype,
                          .count = (uint64_t)count,
                          .offset = begin,
                          .bytes = out->data.size - begin,
                          .table = ends.data};
    if (count > 0 && !is_packed) {
        rbc__layout_add_run(writer, &run);
    }
    rbc__bytes_free(&ends);
}

static void put_points(int64_t episode, rbc__layout_writer *writer, file *out) {
    const rbc__run run = {.id = FAKE_NUM_STREAMS + FAKE_CLOUD,
                          .dtype = RBC__I64,
                          .count = (uint64_t)fake_num_steps(episode),
                          .offset = out->data.size,
                          .sample_bytes = 8};
    for (int64_t i = 0; i < fake_num_steps(episode); ++i) {
        const int64_t points = fake_num_points(episode, i);
        rbc__bytes_append(&out->data, &points, sizeof points);
    }
    if (run.count > 0) {
        rbc__layout_add_run(writer, &run);
    }
}

static const file *file_of(rbc_dataset *dataset, int64_t episode) {
    file *out = &dataset->files[episode];
    pthread_mutex_lock(&dataset->lock);
    if (out->layout.size == 0) {
        rbc__layout_writer writer = {.streams = dataset->stored, .num_streams = FAKE_NUM_STREAMS};
        rbc__layout_begin(&writer, (uint64_t)fake_num_steps(episode), 0);
        for (int32_t i = 0; i < FAKE_NUM_STREAMS; ++i) {
            if (dataset->streams[i].kind == RBC_STREAM_NUMERIC) {
                put_numbers(dataset, episode, i, &writer, out);
            } else if (i != FAKE_CAMERA || dataset->params.has_stamps) {
                put_samples(dataset, episode, i, &writer, out);
            }
        }
        put_points(episode, &writer, out);
        rbc__layout_end(&writer, &out->layout, NULL);
        rbc__layout_writer_free(&writer);
    }
    pthread_mutex_unlock(&dataset->lock);
    return out;
}

static rbc_status read_one(rbc_dataset *dataset, rbc__read *read, rbc_error *err) {
    const fake_params *params = &dataset->params;
    const int64_t episode = rbc__blob_part(read->blob);
    const file *from = file_of(dataset, episode);
    const uint64_t state_bytes =
        (uint64_t)(fake_num_steps(episode) * fake_sample_bytes(FAKE_STATE));
    const uint64_t failing_at = (uint64_t)(params->failing_step * fake_sample_bytes(FAKE_STATE));
    if (params->failing_step >= 0 && episode % 3 == 0 && failing_at < state_bytes &&
        read->offset <= failing_at && failing_at < read->offset + read->bytes) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "fake file: byte 99: stream 'state' is damaged");
    }
    memcpy(read->dst, from->data.data + read->offset, (size_t)read->bytes);
    return RBC_OK;
}

/* Whether this call is one of those that fail. */
static bool is_short(const fake_params *params, int *code) {
    static const int codes[] = {EMFILE, ENFILE, ENOMEM, EIO, EINTR, ETIMEDOUT};
    if (params->short_every == 0) {
        return false;
    }
    const uint64_t bits = hash(0, -2, atomic_fetch_add(&num_calls, 1), 0);
    *code = codes[(bits >> 32) % (sizeof codes / sizeof *codes)];
    return bits % (uint64_t)params->short_every == 0;
}

static bool is_cancelled(const atomic_bool *cancel) {
    return cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed);
}

/* Remote, all reads take their time together; else each its own. */
static void read_fake(rbc__store *store, rbc__read *reads, size_t count,
                      const atomic_bool *cancel) {
    rbc_dataset *dataset =
        (rbc_dataset *)(void *)((char *)store - offsetof(struct rbc_dataset, store));
    const fake_params *params = &dataset->params;
    const int64_t waits = params->is_remote ? 1 : (int64_t)count;
    for (int64_t i = 0; i < waits * params->read_us && !is_cancelled(cancel); i += 1000) {
        const int64_t left = waits * params->read_us - i;
        nanosleep(&(struct timespec){.tv_nsec = (long)(left < 1000 ? left : 1000) * 1000}, NULL);
    }
    const bool may_hang =
        params->until_hang == NULL || atomic_fetch_sub(params->until_hang, 1) == 1;
    while (may_hang && params->hangs != NULL &&
           atomic_load(params->hangs)) { /* whatever is cancelled */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    int code = 0;
    const bool fails = is_short(params, &code);
    for (size_t i = 0; i < count; ++i) {
        rbc_error problem;
        reads[i].status = is_cancelled(cancel) ? rbc__fail(&problem, RBC_ERROR_CANCELLED, "stopped")
                          : fails              ? rbc__fail_errno(&problem, code, "fake file")
                                               : read_one(dataset, &reads[i], &problem);
        if (reads[i].status != RBC_OK) {
            rbc__read_fail(&reads[i], &problem);
        }
    }
}

static const char *name_fake(rbc__store *store, int64_t blob, char *buffer, size_t bytes) {
    (void)store;
    (void)blob;
    snprintf(buffer, bytes, "fake file");
    return buffer;
}

static void destroy_fake(rbc__store *store) {
    (void)store;
}

static const rbc__store_ops store_ops = {read_fake, name_fake, destroy_fake};

rbc_selection *fake_create(const fake_params *params) {
    rbc_selection *s = calloc(1, sizeof *s);
    const size_t bytes = (size_t)(params->num_episodes + 1) * sizeof(int64_t);
    atomic_store(&s->references, 1);
    s->dataset.params = *params;
    s->dataset.schema = make_schema(&s->dataset);
    s->dataset.store = (rbc__store){&store_ops, params->is_remote};
    s->dataset.files = calloc((size_t)params->num_episodes + 1, sizeof *s->dataset.files);
    pthread_mutex_init(&s->dataset.lock, NULL);
    rbc__block_cache_create(1 << 20, &s->dataset.blocks, NULL);
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

/* ---- dataset, selection, cursor ---- */

const rbc__schema *rbc__dataset_schema(const rbc_dataset *dataset) {
    return &dataset->schema;
}

rbc__request_params rbc__dataset_requests(const rbc_dataset *dataset) {
    union {
        const rbc_dataset *in;
        rbc_dataset *out;
    } own = {.in = dataset};
    return (rbc__request_params){.store = &own.out->store,
                                 .cache = dataset->blocks,
                                 .objects = &dataset->objects,
                                 .schema = &dataset->schema};
}

rbc_status rbc__dataset_parse_layout(const rbc_dataset *dataset, const rbc__episode_row *row,
                                     rbc__layout **out, rbc_error *err) {
    if (row->entry.record == dataset->params.failing_episode) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "fake file: byte 77: record is damaged");
    }
    return rbc__layout_parse(dataset->stored, FAKE_NUM_STREAMS, row->entry.layout,
                             row->entry.layout_bytes, 0, "fake file", out, err);
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

bool rbc__dataset_recall(rbc_dataset *dataset, const char *question, int64_t **values,
                         int64_t *count) {
    (void)dataset;
    (void)question;
    (void)values;
    (void)count;
    return false;
}

void rbc__dataset_remember(rbc_dataset *dataset, const char *question, const int64_t *values,
                           int64_t count) {
    (void)dataset;
    (void)question;
    (void)values;
    (void)count;
}

uint64_t rbc__selection_fingerprint(const rbc_selection *selection) {
    (void)selection;
    return 1;
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

const rbc_step_range *rbc_selection_ranges(const rbc_selection *selection, int64_t position,
                                           int64_t *count) {
    (void)selection;
    (void)position;
    *count = 0;
    return NULL;
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
    for (int64_t i = 0; i < selection->dataset.params.num_episodes; ++i) {
        rbc__bytes_free(&selection->dataset.files[i].data);
        rbc__bytes_free(&selection->dataset.files[i].layout);
    }
    free(selection->dataset.files);
    rbc__block_cache_destroy(&selection->dataset.blocks);
    pthread_mutex_destroy(&selection->dataset.lock);
    free(selection->ids);
    free(selection->steps);
    free(selection->start_ns);
    free(selection->end_ns);
    free(selection);
}

rbc_status rbc__cursor_take(rbc_dataset *dataset, rbc__cursor **out, rbc_error *err) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a cursor");
    }
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
    (void)err;
    const int64_t episode = (id - 1000) / 3;
    const file *of = file_of(cursor->dataset, episode);
    *out = (rbc__episode_row){.id = id,
                              .part = episode,
                              .task = episode % 4 - 1,
                              .entry = {.record = episode,
                                        .num_steps = fake_num_steps(episode),
                                        .task = "",
                                        .layout = of->layout.data,
                                        .layout_bytes = of->layout.size}};
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
