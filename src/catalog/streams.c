/* What a dataset says of its streams. */
#include <string.h>

#include "catalog/dataset.h"
#include "catalog/dataset_state.h"
#include "core/error.h"
#include "core/fork.h"

/* Samples a second between the first stamp and the last of episode 0; 0 where that says nothing. */
static double measure_rate(rbc_dataset *dataset, int32_t stream) {
    rbc_episode *episode;
    if (dataset->catalog->num_episodes == 0 ||
        rbc_episode_open(dataset, 0, &episode, NULL) != RBC_OK) {
        return 0.0;
    }
    double rate = 0.0;
    int64_t samples;
    int64_t first;
    int64_t last;
    if (rbc_episode_count(episode, stream, &samples, NULL, NULL) == RBC_OK && samples > 1 &&
        rbc_episode_times(episode, stream, 0, 1, &first, NULL) == RBC_OK &&
        rbc_episode_times(episode, stream, samples - 1, 1, &last, NULL) == RBC_OK && last > first) {
        /* Stamps of many digits are subtracted before they are rounded. */
        rate = (double)(samples - 1) * 1e9 / (double)((uint64_t)last - (uint64_t)first);
    }
    rbc_episode_close(&episode);
    return rate;
}

static double stream_rate(rbc_dataset *dataset, int32_t stream) {
    if (dataset->schema->streams[stream].times < 0) {
        return dataset->control_rate_hz;
    }
    pthread_mutex_lock(&dataset->lock);
    double rate = dataset->stream_rates[stream];
    pthread_mutex_unlock(&dataset->lock);
    if (rate < 0.0) {
        rate = measure_rate(dataset, stream);
        pthread_mutex_lock(&dataset->lock);
        dataset->stream_rates[stream] = rate;
        pthread_mutex_unlock(&dataset->lock);
    }
    return rate;
}

rbc_status rbc_dataset_stream(const rbc_dataset *dataset, int32_t index, rbc_stream_info *out,
                              rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__schema *schema = dataset->schema;
    if (index < 0 || index >= schema->num_streams) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no stream %d: '%s' has %d", index,
                         dataset->root, schema->num_streams);
    }
    const rbc__stream_schema *stream = &schema->streams[index];
    *out = (rbc_stream_info){
        .name = stream->name,
        .kind = stream->kind,
        .dtype = rbc__dtype_to_dlpack(stream->dtype),
        .ndim = stream->ndim,
        .encoding = stream->encoding,
        .times = stream->times >= 0 ? schema->streams[stream->times].name : NULL,
        .is_ragged = stream->is_ragged,
        .unsupported = stream->unsupported,
        .unit = stream->unit,
        .scale = stream->has_map ? stream->map.scale : 1.0,
        .offset = stream->has_map ? stream->map.offset : 0.0,
        /* what is measured is kept, and shows in no other answer */
        .rate_hz = stream_rate((rbc_dataset *)(uintptr_t)dataset, index),
    };
    memcpy(out->shape, stream->shape, sizeof out->shape);
    return RBC_OK;
}

rbc_status rbc_dataset_find_stream(const rbc_dataset *dataset, const char *name, int32_t *index,
                                   rbc_error *err) {
    const rbc__schema *schema = dataset->schema;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        if (strcmp(schema->streams[i].name, name) == 0) {
            *index = i;
            return RBC_OK;
        }
    }
    char names[640] = "";
    size_t length = 0;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const size_t more = strlen(schema->streams[i].name) + 2;
        if (length + more + 4 > sizeof names) {
            memcpy(names + length, ", ...", 6);
            break;
        }
        memcpy(names + length, i > 0 ? ", " : "", i > 0 ? 2 : 0);
        length += i > 0 ? 2 : 0;
        memcpy(names + length, schema->streams[i].name, more - 1);
        length += more - 2;
    }
    return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no stream '%s' in '%s'; there are %s", name,
                     dataset->root, names);
}
