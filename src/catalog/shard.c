#include "catalog/shard.h"

#include <stdlib.h>
#include <string.h>

#include "catalog/key.h"
#include "core/error.h"

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
}

/* Room for one element more. */
static rbc_status grow(void **array, int64_t count, int64_t *room, size_t element_bytes,
                       rbc_error *err) {
    if (count < *room) {
        return RBC_OK;
    }
    const int64_t wanted = *room == 0 ? 64 : *room * 2;
    void *grown = realloc(*array, (size_t)wanted * element_bytes);
    if (grown == NULL) {
        return out_of_memory(err);
    }
    *array = grown;
    *room = wanted;
    return RBC_OK;
}

static rbc_status append(rbc__shard *shard, const void *data, size_t bytes, size_t *at,
                         rbc_error *err) {
    if (bytes > SIZE_MAX / 4 - shard->num_bytes) {
        return out_of_memory(err);
    }
    if (shard->num_bytes + bytes > shard->bytes_room) {
        const size_t wanted = 2 * (shard->num_bytes + bytes) + 4096;
        uint8_t *grown = realloc(shard->bytes, wanted);
        if (grown == NULL) {
            return out_of_memory(err);
        }
        shard->bytes = grown;
        shard->bytes_room = wanted;
    }
    *at = shard->num_bytes;
    if (bytes > 0) {
        memcpy(shard->bytes + shard->num_bytes, data, bytes);
    }
    shard->num_bytes += bytes;
    return RBC_OK;
}

rbc_status rbc__shard_add_episode(rbc__shard *shard, const rbc__episode_record *record,
                                  rbc_error *err) {
    if (record->num_steps < 0 || record->offset > INT64_MAX || record->bytes > INT64_MAX ||
        shard->num_episodes >= RBC__MAX_FILE_EPISODES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "record %lld at offset %llu: %lld steps in %llu bytes, episode %lld of "
                         "its file, cannot be catalogued",
                         (long long)record->record, (unsigned long long)record->offset,
                         (long long)record->num_steps, (unsigned long long)record->bytes,
                         (long long)shard->num_episodes);
    }
    RBC__TRY(grow((void **)&shard->episodes, shard->num_episodes, &shard->episodes_room,
                  sizeof *shard->episodes, err));
    rbc__shard_episode *episode = &shard->episodes[shard->num_episodes];
    episode->record = *record;
    episode->record.task = NULL;
    episode->record.layout = NULL;
    episode->record.spans = NULL;
    RBC__TRY(append(shard, record->task, strlen(record->task) + 1, &episode->task_at, err));
    RBC__TRY(append(shard, record->layout, record->layout_bytes, &episode->layout_at, err));
    RBC__TRY(append(shard, record->spans, (size_t)record->num_spans * sizeof *record->spans,
                    &episode->spans_at, err));
    ++shard->num_episodes;
    return RBC_OK;
}

rbc_status rbc__shard_add_skip(rbc__shard *shard, int64_t record, const char *message,
                               rbc_error *err) {
    RBC__TRY(grow((void **)&shard->skips, shard->num_skips, &shard->skips_room,
                  sizeof *shard->skips, err));
    rbc__shard_skip *skip = &shard->skips[shard->num_skips];
    skip->record = record;
    RBC__TRY(append(shard, message, strlen(message) + 1, &skip->message_at, err));
    ++shard->num_skips;
    return RBC_OK;
}

void rbc__shard_free(rbc__shard *shard) {
    free(shard->episodes);
    free(shard->skips);
    free(shard->bytes);
    *shard = (rbc__shard){0};
}
