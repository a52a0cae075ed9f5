#include "catalog/part_index.h"

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

static rbc_status append(rbc__part_index *index, const void *data, size_t bytes, size_t *at,
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

rbc_status rbc__part_index_add_episode(rbc__part_index *index, const rbc__episode_entry *entry,
                                       rbc_error *err) {
    if (entry->num_steps < 0 || entry->offset < -1 || entry->bytes < 0 ||
        index->num_episodes >= RBC__MAX_PART_EPISODES) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "record %lld at offset %lld: %lld steps in %lld bytes, episode %lld of "
                         "its part, cannot be catalogued",
                         (long long)entry->record, (long long)entry->offset,
                         (long long)entry->num_steps, (long long)entry->bytes,
                         (long long)index->num_episodes);
    }
    RBC__TRY(grow((void **)&index->episodes, index->num_episodes, &index->episodes_room,
                  sizeof *index->episodes, err));
    rbc__part_index_episode *episode = &index->episodes[index->num_episodes];
    episode->entry = *entry;
    episode->entry.task = NULL;
    episode->entry.layout = NULL;
    episode->entry.metadata = NULL;
    episode->has_metadata = entry->metadata != NULL;
    episode->entry.spans = NULL;
    RBC__TRY(append(index, entry->task, strlen(entry->task) + 1, &episode->task_at, err));
    if (episode->has_metadata) {
        RBC__TRY(append(index, entry->metadata, strlen(entry->metadata) + 1, &episode->metadata_at,
                        err));
    }
    RBC__TRY(append(index, entry->layout, entry->layout_bytes, &episode->layout_at, err));
    RBC__TRY(append(index, entry->spans, (size_t)entry->num_spans * sizeof *entry->spans,
                    &episode->spans_at, err));
    ++index->num_episodes;
    return RBC_OK;
}

rbc_status rbc__part_index_add_skip(rbc__part_index *index, int64_t record, const char *message,
                                    rbc_error *err) {
    RBC__TRY(grow((void **)&index->skips, index->num_skips, &index->skips_room,
                  sizeof *index->skips, err));
    rbc__part_index_skip *skip = &index->skips[index->num_skips];
    skip->record = record;
    RBC__TRY(append(index, message, strlen(message) + 1, &skip->message_at, err));
    ++index->num_skips;
    return RBC_OK;
}

rbc_status rbc__part_index_add_blobs(rbc__part_index *index, const rbc__blob_group *group,
                                     rbc_error *err) {
    RBC__TRY(rbc__blob_group_check(group, err));
    rbc__blob_group_encode(group, &index->blobs);
    return rbc__bytes_check(&index->blobs, err);
}

rbc_status rbc__part_index_add_object(rbc__part_index *index, rbc__container kind,
                                      const uint8_t *data, size_t bytes, rbc_error *err) {
    uint32_t *count = kind == RBC__IN_ARRAY   ? &index->num_arrays
                      : kind == RBC__IN_TRACK ? &index->num_tracks
                                              : &index->num_strings;
    const rbc__part_index_object object = {(int32_t)kind, (*count)++, bytes};
    rbc__bytes_append(&index->objects, &object, sizeof object);
    rbc__bytes_append(&index->objects, data, bytes);
    return rbc__bytes_check(&index->objects, err);
}

rbc_status rbc__part_index_add_column(rbc__part_index *index, const void *data, size_t bytes,
                                      uint64_t *offset, rbc_error *err) {
    *offset = index->column.size;
    rbc__bytes_append(&index->column, data, bytes);
    return rbc__bytes_check(&index->column, err);
}

rbc_status rbc__part_index_set_told(rbc__part_index *index, const char *json, rbc_error *err) {
    index->told.size = 0;
    rbc__bytes_append(&index->told, json, strlen(json));
    return rbc__bytes_check(&index->told, err);
}

void rbc__part_index_free(rbc__part_index *index) {
    free(index->episodes);
    free(index->skips);
    free(index->bytes);
    free(index->unpacked);
    rbc__bytes_free(&index->blobs);
    rbc__bytes_free(&index->objects);
    rbc__bytes_free(&index->told);
    rbc__bytes_free(&index->column);
    *index = (rbc__part_index){0};
}
