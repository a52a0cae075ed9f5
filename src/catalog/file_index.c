#include "catalog/file_index.h"

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

static rbc_status append(rbc__file_index *index, const void *data, size_t bytes, size_t *at,
                         rbc_error *err) {
    if (bytes > SIZE_MAX / 4 - index->num_bytes) {
        return out_of_memory(err);
    }
    if (index->num_bytes + bytes > index->bytes_room) {
        const size_t wanted = 2 * (index->num_bytes + bytes) + 4096;
        uint8_t *grown = realloc(index->bytes, wanted);
        if (grown == NULL) {
            return out_of_memory(err);
        }
        index->bytes = grown;
        index->bytes_room = wanted;
    }
    *at = index->num_bytes;
    if (bytes > 0) {
        memcpy(index->bytes + index->num_bytes, data, bytes);
    }
    index->num_bytes += bytes;
    return RBC_OK;
}

rbc_status rbc__file_index_add_episode(rbc__file_index *index, const rbc__episode_entry *entry,
                                       rbc_error *err) {
    if (entry->num_steps < 0 || entry->offset > INT64_MAX || entry->bytes > INT64_MAX ||
        index->num_episodes >= RBC__MAX_FILE_EPISODES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "record %lld at offset %llu: %lld steps in %llu bytes, episode %lld of "
                         "its file, cannot be catalogued",
                         (long long)entry->record, (unsigned long long)entry->offset,
                         (long long)entry->num_steps, (unsigned long long)entry->bytes,
                         (long long)index->num_episodes);
    }
    RBC__TRY(grow((void **)&index->episodes, index->num_episodes, &index->episodes_room,
                  sizeof *index->episodes, err));
    rbc__file_index_episode *episode = &index->episodes[index->num_episodes];
    episode->entry = *entry;
    episode->entry.task = NULL;
    episode->entry.layout = NULL;
    episode->entry.spans = NULL;
    RBC__TRY(append(index, entry->task, strlen(entry->task) + 1, &episode->task_at, err));
    RBC__TRY(append(index, entry->layout, entry->layout_bytes, &episode->layout_at, err));
    RBC__TRY(append(index, entry->spans, (size_t)entry->num_spans * sizeof *entry->spans,
                    &episode->spans_at, err));
    ++index->num_episodes;
    return RBC_OK;
}

rbc_status rbc__file_index_add_skip(rbc__file_index *index, int64_t record, const char *message,
                                    rbc_error *err) {
    RBC__TRY(grow((void **)&index->skips, index->num_skips, &index->skips_room,
                  sizeof *index->skips, err));
    rbc__file_index_skip *skip = &index->skips[index->num_skips];
    skip->record = record;
    RBC__TRY(append(index, message, strlen(message) + 1, &skip->message_at, err));
    ++index->num_skips;
    return RBC_OK;
}

void rbc__file_index_free(rbc__file_index *index) {
    free(index->episodes);
    free(index->skips);
    free(index->bytes);
    *index = (rbc__file_index){0};
}
