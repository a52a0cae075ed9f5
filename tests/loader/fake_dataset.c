#include "fake_dataset.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static atomic_llong num_open;

int64_t fake_num_open(void) {
    return atomic_load(&num_open);
}

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
                                       .dtype = fake_dtype(i),
                                       .ndim = rows[i].ndim,
                                       .encoding = NULL,
                                       .times = exists ? rows[i].times : -1,
                                       .is_ragged = rows[i].is_ragged};
        memcpy(stream->shape, rows[i].shape, sizeof rows[i].shape);
        const rbc__encoding encoding = rows[i].kind == RBC_STREAM_NUMERIC ? RBC__ENCODING_PLAIN
                                       : rows[i].kind == RBC_STREAM_IMAGE ? RBC__ENCODING_IMAGE
                                                                          : RBC__ENCODING_TEXT;
        stream->stored = (rbc__layout_stream){(uint64_t)fake_sample_bytes(i), (uint8_t)encoding,
                                              (uint8_t)fake_dtype(i)};
        dataset->stored[i] = stream->stored;
    }
    rbc__schema schema = {.control_rate_hz = dataset->params.control_rate_hz,
                          .streams = dataset->streams,
                          .num_streams = FAKE_NUM_STREAMS};
    rbc__schema_set_reference(&schema);
    return schema;
}
rbc_selection *fake_create(const fake_params *params) {
    rbc_selection *s = calloc(1, sizeof *s);
    const size_t bytes = (size_t)(params->num_episodes + 1) * sizeof(int64_t);
    atomic_store(&s->references, 1);
    s->dataset.params = *params;
    s->dataset.schema = make_schema(&s->dataset);
    s->dataset.store = (rbc__store){&fake_store_ops, params->is_remote};
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
    const fake_file *of = fake_file_of(cursor->dataset, episode);
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
