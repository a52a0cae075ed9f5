/* What episodes of a batch point to: blobs, packings, blocks, arrays and tracks of the part. */
#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "formats/batch_state.h"
#include "layout/object.h"

#define MAX_BLOCK_BYTES (INT64_C(1) << 34) /* that a layout takes */

void *rbc__batch_more(rbc__bytes *list, size_t element_bytes) {
    static const uint8_t zeros[256];
    rbc__bytes_append(list, zeros, element_bytes);
    return list->failed ? NULL : list->data + list->size - element_bytes;
}

/* ---- blobs --------------------------------------------------------------------------------------
 */

rbc_status rbc__batch_add_blobs(rbc__batch_writer *writer, const rbc__blob_group *group,
                                int64_t *first, rbc_error *err) {
    if (group->count < 0 || group->count >= RBC__COLUMN_BLOB - writer->num_blobs) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "blobs '%s': count: found %" PRId64 " after %" PRId64
                         " others, wanted fewer than 2^31",
                         group->pattern, group->count, writer->num_blobs);
    }
    rbc_error problem;
    if (rbc__blob_group_check(group, &problem) != RBC_OK) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s", problem.message);
    }
    if (group->sizes != NULL) {
        const int64_t unknown = -1;
        while (writer->blob_sizes.size < (size_t)writer->num_blobs * sizeof unknown &&
               !writer->blob_sizes.failed) {
            rbc__bytes_append(&writer->blob_sizes, &unknown, sizeof unknown);
        }
        rbc__bytes_append(&writer->blob_sizes, group->sizes,
                          (size_t)group->count * sizeof *group->sizes);
        RBC__TRY(rbc__bytes_check(&writer->blob_sizes, err));
    }
    if (group->count > 0) {
        RBC__TRY(writer->sink->blobs(writer->sink->user, group, err));
    }
    *first = writer->num_blobs + 1;
    writer->num_blobs += group->count;
    return RBC_OK;
}

rbc_status rbc__batch_blob_bytes(const rbc__batch_writer *writer, int64_t number, int64_t *bytes,
                                 const char *what, rbc_error *err) {
    const int64_t *sizes = (const int64_t *)(const void *)writer->blob_sizes.data;
    *bytes = INT64_MAX;
    if (number == 0 && writer->file_bytes >= 0) {
        *bytes = writer->file_bytes;
        return RBC_OK;
    }
    if (number < 1 || number > writer->num_blobs) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: found blob %" PRId64 ", wanted %s%" PRId64 ", those of the part",
                         what, number,
                         writer->file_bytes >= 0  ? "0 to "
                         : writer->num_blobs == 0 ? "none: the part is no file, and has "
                                                  : "1 to ",
                         writer->num_blobs);
    }
    if ((size_t)number * sizeof *sizes <= writer->blob_sizes.size && sizes[number - 1] >= 0) {
        *bytes = sizes[number - 1];
    }
    return RBC_OK;
}

rbc_status rbc__batch_check_range(int64_t offset, int64_t bytes, int64_t limit, const char *what,
                                  rbc_error *err) {
    if (offset < 0 || bytes < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: found %" PRId64 " bytes from byte %" PRId64 " on, wanted 0 or more",
                         what, bytes, offset);
    }
    if (offset > limit || bytes > limit - offset) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: found %" PRId64 " bytes from byte %" PRId64
                         " on, wanted within %" PRId64 " bytes",
                         what, bytes, offset, limit);
    }
    return RBC_OK;
}

/* ---- packings and blocks ------------------------------------------------------------------------
 */

static int64_t num_packings(const rbc__batch_writer *writer) {
    return (int64_t)(writer->packings.size / sizeof(rbc__batch_used_packing));
}

static rbc__batch_used_packing *packing_at(const rbc__batch_writer *writer, int64_t number) {
    return (rbc__batch_used_packing *)(void *)writer->packings.data + number;
}

rbc_status rbc__batch_add_packing(rbc__batch_writer *writer, const rbc__packing *packing,
                                  int64_t *number, rbc_error *err) {
    RBC__TRY(rbc__packing_check(packing, err));
    for (int64_t i = 0; i < num_packings(writer); ++i) {
        const rbc__packing *known = &packing_at(writer, i)->packing;
        if (known->num_steps == packing->num_steps &&
            memcmp(known->steps, packing->steps, packing->num_steps * sizeof *packing->steps) ==
                0) {
            *number = i;
            return RBC_OK;
        }
    }
    if (num_packings(writer) == UINT8_MAX) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "packing: found more than %d of them in one part", UINT8_MAX);
    }
    rbc__batch_used_packing *added = rbc__batch_more(&writer->packings, sizeof *added);
    RBC__TRY(rbc__bytes_check(&writer->packings, err));
    added->packing = *packing;
    *number = num_packings(writer) - 1;
    return RBC_OK;
}

rbc_status rbc__batch_packing(const rbc__batch_writer *writer, int64_t number,
                              const rbc__packing **out, rbc_error *err) {
    if (number < 0 || number >= num_packings(writer)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "packing: found number %" PRId64 ", wanted 0 to %" PRId64, number,
                         num_packings(writer) - 1);
    }
    *out = &packing_at(writer, number)->packing;
    return RBC_OK;
}

rbc_status rbc__batch_layout_packing(rbc__batch_writer *writer, int64_t packing, uint8_t *number,
                                     rbc_error *err) {
    const rbc__packing *known = NULL;
    RBC__TRY(rbc__batch_packing(writer, packing, &known, err));
    rbc__batch_used_packing *used = packing_at(writer, packing);
    if (used->episode != writer->episode) {
        used->episode = writer->episode;
        used->number = rbc__layout_add_packing(&writer->layout, known);
    }
    *number = used->number;
    return RBC_OK;
}

static rbc_status check_block(const rbc__batch_writer *writer, const rbc__packing *packing,
                              int64_t blob, int64_t offset, int64_t packed_bytes,
                              int64_t unpacked_bytes, rbc_error *err) {
    int64_t blob_bytes;
    RBC__TRY(rbc__batch_blob_bytes(writer, blob, &blob_bytes, "blob", err));
    RBC__TRY(rbc__batch_check_range(offset, packed_bytes, blob_bytes, "packed bytes", err));
    if (unpacked_bytes < 0 || unpacked_bytes > MAX_BLOCK_BYTES ||
        (packing->num_steps == 0 && unpacked_bytes != packed_bytes)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "unpacked_bytes: found %" PRId64 ", wanted %s%" PRId64, unpacked_bytes,
                         packing->num_steps == 0 ? "what it has packed, " : "0 to ",
                         packing->num_steps == 0 ? packed_bytes : MAX_BLOCK_BYTES);
    }
    rbc_error problem;
    if (rbc__packing_check_growth(packing, (size_t)packed_bytes, (size_t)unpacked_bytes,
                                  &problem) != RBC_OK) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s", problem.message);
    }
    return RBC_OK;
}

static int64_t num_blocks(const rbc__batch_writer *writer) {
    return (int64_t)(writer->blocks.size / sizeof(rbc__batch_block));
}

static rbc__batch_block *block_at(const rbc__batch_writer *writer, int64_t number) {
    return (rbc__batch_block *)(void *)writer->blocks.data + number;
}

rbc_status rbc__batch_add_blocks(rbc__batch_writer *writer, const rbc__batch_blocks *blocks,
                                 int64_t *first, rbc_error *err) {
    const rbc__packing *packing = NULL;
    const int64_t before = num_blocks(writer);
    RBC__TRY(rbc__batch_packing(writer, blocks->packing, &packing, err));
    if (blocks->count < 0 || blocks->count > INT32_MAX - before) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "found %" PRId64 " blocks after %" PRId64
                         " others, wanted fewer than 2^31",
                         blocks->count, before);
    }
    rbc_status status = RBC_OK;
    for (int64_t i = 0; i < blocks->count && status == RBC_OK; ++i) {
        const int64_t blob = rbc__ints_at(&blocks->blob, i, 0);
        const int64_t offset = rbc__ints_at(&blocks->offset, i, 0);
        const int64_t packed = rbc__ints_at(&blocks->packed_bytes, i, 0);
        const int64_t unpacked = rbc__ints_at(&blocks->unpacked_bytes, i, 0);
        status = check_block(writer, packing, blob, offset, packed, unpacked, err);
        if (status != RBC_OK) {
            status = rbc__fail_within(err, status, "block %" PRId64, i);
            break;
        }
        const rbc__batch_block block = {.block = {.blob = (uint32_t)blob,
                                                  .packing = (uint8_t)blocks->packing,
                                                  .offset = (uint64_t)offset,
                                                  .packed_bytes = (uint64_t)packed,
                                                  .unpacked_bytes = (uint64_t)unpacked}};
        rbc__bytes_append(&writer->blocks, &block, sizeof block);
        status = rbc__bytes_check(&writer->blocks, err);
    }
    if (status != RBC_OK) {
        writer->blocks.size = (size_t)before * sizeof(rbc__batch_block);
    }
    *first = before;
    return status;
}

rbc_status rbc__batch_layout_block(rbc__batch_writer *writer, int64_t block, uint32_t *number,
                                   rbc_error *err) {
    if (block < 0 || block >= num_blocks(writer)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "block: found %" PRId64 ", wanted the number of one of %" PRId64
                         " blocks, or -1",
                         block, num_blocks(writer));
    }
    rbc__batch_block *used = block_at(writer, block);
    if (used->episode != writer->episode) {
        rbc__block added = used->block;
        RBC__TRY(rbc__batch_layout_packing(writer, used->block.packing, &added.packing, err));
        used->episode = writer->episode;
        used->number = rbc__layout_add_block(&writer->layout, &added);
    }
    *number = used->number;
    return RBC_OK;
}

/* ---- arrays and tracks --------------------------------------------------------------------------
 */

static rbc_status check_chunks(const rbc__batch_writer *writer, const rbc__array_description *array,
                               const rbc__packing *packing, int64_t chunk_bytes, rbc_error *err) {
    for (int64_t i = 0; i < array->num_chunks; ++i) {
        const rbc__array_chunk *chunk = &array->chunks[i];
        int64_t blob_bytes;
        rbc_status status = RBC_OK;
        if (chunk->bytes == 0) {
            continue;
        }
        status = rbc__batch_blob_bytes(writer, chunk->blob, &blob_bytes, "blob", err);
        if (status == RBC_OK) {
            status =
                rbc__batch_check_range(chunk->offset, chunk->bytes, blob_bytes, "offsets", err);
        }
        if (status == RBC_OK && packing->num_steps < 32 &&
            chunk->skipped >> packing->num_steps != 0) {
            status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                               "skipped: found %#" PRIx32 ", wanted bits of the %" PRIu32
                               " steps of the packing",
                               chunk->skipped, packing->num_steps);
        }
        if (status == RBC_OK && packing->num_steps == 0 && chunk->bytes != chunk_bytes) {
            status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                               "sizes: found %" PRId64 ", wanted the %" PRId64
                               " bytes of a chunk that is not packed",
                               chunk->bytes, chunk_bytes);
        }
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "chunk %" PRId64, i);
        }
    }
    return RBC_OK;
}

rbc_status rbc__batch_add_array(rbc__batch_writer *writer, const rbc__array_description *array,
                                const rbc__bytes *object, int64_t *number, rbc_error *err) {
    const rbc__packing *packing = NULL;
    int64_t num_chunks;
    RBC__TRY(rbc__batch_packing(writer, array->packing, &packing, err));
    RBC__TRY(rbc__array_num_chunks(array, &num_chunks, err));
    int64_t row_elements = 1; /* products are within int64 by now */
    int64_t chunk_elements = 1;
    for (int32_t i = 0; i < array->ndim; ++i) {
        row_elements *= i > 0 ? array->shape[i] : 1;
        chunk_elements *= array->chunk_shape[i];
    }
    const int64_t row_bytes = row_elements * array->element_bytes;
    const int64_t chunk_bytes = chunk_elements * array->element_bytes;
    RBC__TRY(check_chunks(writer, array, packing, chunk_bytes, err));
    rbc__batch_array added = {.num_rows = array->shape[0], .row_bytes = row_bytes};
    added.is_contiguous = num_chunks == 1 && packing->num_steps == 0 && array->order == NULL &&
                          array->chunks[0].bytes > 0 && chunk_bytes == row_bytes * array->shape[0];
    if (added.is_contiguous) {
        added.blob = array->chunks[0].blob;
        added.offset = array->chunks[0].offset;
    } else {
        RBC__TRY(writer->sink->object(writer->sink->user, RBC__IN_ARRAY, object->data, object->size,
                                      err));
        added.number = writer->num_objects[RBC__IN_ARRAY]++;
    }
    rbc__bytes_append(&writer->arrays, &added, sizeof added);
    *number = (int64_t)(writer->arrays.size / sizeof added) - 1;
    return rbc__bytes_check(&writer->arrays, err);
}

/* Where a packet lies, checked. */
static rbc_status check_packet(const rbc__batch_writer *writer, const rbc__track_packet *packet,
                               rbc_error *err) {
    int64_t limit;
    if (packet->in_block && packet->number >= num_blocks(writer)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "block: found %" PRIu32 ", wanted the number of one of %" PRId64
                         " blocks, or -1",
                         packet->number, num_blocks(writer));
    }
    if (packet->in_block) {
        limit = (int64_t)block_at(writer, packet->number)->block.unpacked_bytes;
    } else {
        RBC__TRY(rbc__batch_blob_bytes(writer, packet->number, &limit, "blob", err));
    }
    return rbc__batch_check_range(packet->offset, packet->bytes, limit, "offset and bytes", err);
}

/* A track with blocks and packings of its own. */
typedef struct own_blocks {
    rbc__bytes packets;  /* rbc__track_packet, whose blocks are numbered in the track */
    rbc__bytes blocks;   /* rbc__block */
    rbc__bytes packings; /* rbc__packing */
    int64_t frames;
} own_blocks;

static rbc_status own_packing(const rbc__batch_writer *writer, uint8_t packing, own_blocks *own,
                              uint8_t *number, rbc_error *err) {
    const rbc__packing *wanted = &packing_at(writer, packing)->packing;
    const size_t count = own->packings.size / sizeof *wanted;
    for (size_t i = 0; i < count; ++i) {
        if (memcmp((rbc__packing *)(void *)own->packings.data + i, wanted, sizeof *wanted) == 0) {
            *number = (uint8_t)i;
            return RBC_OK;
        }
    }
    if (count == RBC__TRACK_MAX_PACKINGS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "block: found packets in blocks of more than %d packings",
                         RBC__TRACK_MAX_PACKINGS);
    }
    rbc__bytes_append(&own->packings, wanted, sizeof *wanted);
    *number = (uint8_t)count;
    return RBC_OK;
}

static rbc_status own_packet(rbc__batch_writer *writer, const rbc__track_packet *packet,
                             own_blocks *own, rbc_error *err) {
    rbc__track_packet added = *packet;
    RBC__TRY(check_packet(writer, packet, err));
    if (packet->in_block) {
        rbc__batch_block *used = block_at(writer, packet->number);
        if (used->episode != writer->episode) {
            rbc__block block = used->block;
            RBC__TRY(own_packing(writer, used->block.packing, own, &block.packing, err));
            used->episode = writer->episode;
            used->number = (uint32_t)(own->blocks.size / sizeof block);
            rbc__bytes_append(&own->blocks, &block, sizeof block);
        }
        added.number = used->number;
    }
    own->frames += packet->is_shown;
    rbc__bytes_append(&own->packets, &added, sizeof added);
    return RBC_OK;
}

static rbc_status write_track(rbc__batch_writer *writer, const rbc__track_description *track,
                              own_blocks *own, rbc__bytes *object, rbc_error *err) {
    ++writer->episode; /* blocks get numbers of the track, as of a layout */
    for (int64_t i = 0; i < track->num_packets; ++i) {
        const rbc_status status = own_packet(writer, &track->packets[i], own, err);
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "packet %" PRId64, i);
        }
    }
    RBC__TRY(rbc__bytes_check(&own->packets, err));
    RBC__TRY(rbc__bytes_check(&own->blocks, err));
    RBC__TRY(rbc__bytes_check(&own->packings, err));
    rbc__track_description written = *track;
    written.packets = (const rbc__track_packet *)(void *)own->packets.data;
    written.blocks = (const rbc__block *)(void *)own->blocks.data;
    written.num_blocks = (uint32_t)(own->blocks.size / sizeof *written.blocks);
    written.packings = (const rbc__packing *)(void *)own->packings.data;
    written.num_packings = (uint32_t)(own->packings.size / sizeof *written.packings);
    RBC__TRY(rbc__track_object_encode(&written, object, err));
    return writer->sink->object(writer->sink->user, RBC__IN_TRACK, object->data, object->size, err);
}

rbc_status rbc__batch_add_track(rbc__batch_writer *writer, const rbc__track_description *track,
                                int64_t *number, rbc_error *err) {
    own_blocks own = {0};
    rbc__bytes object = {0};
    const rbc_status status = write_track(writer, track, &own, &object, err);
    rbc__bytes_free(&object);
    rbc__bytes_free(&own.packets);
    rbc__bytes_free(&own.blocks);
    rbc__bytes_free(&own.packings);
    RBC__TRY(status);
    *number = writer->num_objects[RBC__IN_TRACK]++;
    rbc__bytes_append(&writer->frames, &own.frames, sizeof own.frames);
    return rbc__bytes_check(&writer->frames, err);
}

rbc_status rbc__batch_set_strings(rbc__batch_writer *writer, const char *const *texts,
                                  int64_t num_texts, rbc_error *err) {
    rbc__bytes object = {0};
    if (writer->num_strings >= 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "strings: found them set already, to %" PRId64 " texts",
                         writer->num_strings);
    }
    rbc__strings_encode(texts, (uint64_t)num_texts, &object);
    rbc_status status = rbc__bytes_check(&object, err);
    if (status == RBC_OK) {
        status =
            writer->sink->object(writer->sink->user, RBC__IN_LAYOUT, object.data, object.size, err);
    }
    rbc__bytes_free(&object);
    RBC__TRY(status);
    writer->num_strings = num_texts;
    return RBC_OK;
}
