#include "loader/blocks.h"

#include <math.h>
#include <stdlib.h>

#include "core/error.h"

/* So many episodes are looked at; more, where they are so short that they share blocks, until there
 * are so many blocks. */
#define MEASURED_EPISODES     4
#define MAX_MEASURED_EPISODES 64
#define MEASURED_BLOCKS       16

/* A segment is at most so many blocks long: of those that straddle its ends, one is unpacked twice.
 */
#define SEGMENT_BLOCKS 16

/* A group is of so many segments, where it has room for them: what is near in a batch comes from so
 * many places. */
#define GROUP_SEGMENTS 8

/* Blocks of a stream in the episodes that were looked at. */
typedef struct tally {
    double blocks;
    int64_t last_blob; /* the block that the run before ended in */
    uint64_t last_offset;
    bool has_last;
    bool is_cut; /* into blocks that episodes may share */
} tally;

/* What is found out of one episode. */
typedef struct measuring {
    rbc__rows *rows;
    const rbc__loaded_episode *episode;
    uint8_t *is_counted; /* [num_blocks] of the layout: whether `bytes` has it */
    double bytes;        /* of all streams: those that lie in one block share it */
} measuring;

static void count_block(measuring *m, const rbc__run *run, tally *sum) {
    const rbc__block *block = &m->episode->layout->blocks[run->number];
    const int64_t blob = rbc__blob_id(m->episode->parsed.part, block->blob);
    const bool is_last =
        sum->has_last && sum->last_blob == blob && sum->last_offset == block->offset;
    sum->is_cut = true;
    if (!is_last) {
        sum->blocks += 1.0;
        m->bytes += m->is_counted[run->number] ? 0.0 : (double)block->unpacked_bytes;
    }
    m->is_counted[run->number] = 1;
    sum->last_blob = blob;
    sum->last_offset = block->offset;
    sum->has_last = true;
}

/* What is damaged is passed over; a shortage is not. */
static rbc_status pass_over(const rbc_error *problem, rbc_error *err) {
    return rbc__is_shortage(problem) ? rbc__pass_on(problem, err) : RBC_OK;
}

static rbc_status count_array(measuring *m, const rbc__run *run, tally *sum, rbc_error *err) {
    const rbc__request_params *requests = &m->rows->params.requests;
    const rbc__array_object *object;
    rbc__cached_block *pin;
    rbc_error problem;
    if (rbc__objects_array(requests->objects, requests->cache, m->episode->parsed.part, run->number,
                           &object, &pin, &problem) != RBC_OK) {
        return pass_over(&problem, err);
    }
    if (object->packing.num_steps > 0 && object->array.shape[0] > 0) {
        const int64_t rows = object->array.shape[0];
        const int64_t of_chunk = object->array.chunk_shape[0];
        sum->blocks += (double)run->count / (double)(of_chunk < rows ? of_chunk : rows);
        m->bytes += (double)run->count * (double)object->array.row_bytes;
    }
    rbc__block_unpin(requests->cache, pin);
    return RBC_OK;
}

static rbc_status count_track(measuring *m, const rbc__run *run, const rbc__stream_schema *schema,
                              tally *sum, rbc_error *err) {
    const rbc__request_params *requests = &m->rows->params.requests;
    const rbc__track_object *object;
    rbc__cached_block *pin;
    rbc_error problem;
    if (rbc__objects_track(requests->objects, requests->cache, m->episode->parsed.part, run->number,
                           &object, &pin, &problem) != RBC_OK) {
        return pass_over(&problem, err);
    }
    double frame_bytes = (double)rbc__dtype_bytes(schema->dtype);
    for (int32_t i = 0; i < schema->ndim; ++i) {
        frame_bytes *= (double)(schema->shape[i] > 0 ? schema->shape[i] : 1);
    }
    const double frames = (double)object->track.num_frames;
    sum->blocks +=
        (double)run->count * (double)object->track.num_groups / (frames > 0 ? frames : 1);
    m->bytes += (double)run->count * frame_bytes;
    rbc__block_unpin(requests->cache, pin);
    return RBC_OK;
}

static rbc_status count_stream(measuring *m, const rbc__used_stream *used, tally *sum,
                               rbc_error *err) {
    const rbc__layout *layout = m->episode->layout;
    for (uint32_t i = layout->first_run[used->stream]; i < layout->first_run[used->stream + 1];
         ++i) {
        const rbc__run *run = &layout->runs[i];
        if (run->container == RBC__IN_BLOCK) {
            count_block(m, run, sum);
        } else if (run->container == RBC__IN_ARRAY) {
            RBC__TRY(count_array(m, run, sum, err));
        } else if (run->container == RBC__IN_TRACK) {
            RBC__TRY(count_track(m, run, used->schema, sum, err));
        }
    }
    return RBC_OK;
}

static rbc_status count_episode(measuring *m, const rbc__batch_spec *spec, tally *sums,
                                rbc_error *err) {
    rbc_status status = RBC_OK;
    m->episode = m->rows->rows[0].episode;
    m->is_counted = calloc((size_t)m->episode->layout->num_blocks + 1, 1);
    if (m->is_counted == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to count blocks");
    }
    for (int32_t i = 0; status == RBC_OK && i < spec->num_used; ++i) {
        /* what is held as a whole is unpacked once an episode */
        if (m->episode->streams[i].values == NULL) {
            status = count_stream(m, &spec->used[i], &sums[i], err);
        }
    }
    free(m->is_counted);
    return status;
}

/* Whether another episode tells more. */
static bool is_enough(const tally *sums, int32_t num_used, int64_t num_measured) {
    bool is_short = false;
    for (int32_t i = 0; i < num_used; ++i) {
        is_short = is_short || (sums[i].is_cut && sums[i].blocks < MEASURED_BLOCKS);
    }
    return num_measured >= (is_short ? MAX_MEASURED_EPISODES : MEASURED_EPISODES);
}

rbc_status rbc__packed_measure(rbc__rows *rows, rbc__maker *maker, rbc__packed *out,
                               rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__clock *clock = rows->params.clock;
    measuring m = {.rows = rows};
    double ticks = 0.0;
    *out = (rbc__packed){0};
    tally *sums = calloc((size_t)spec->num_used + 1, sizeof *sums);
    if (sums == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to count blocks");
    }
    rbc_status status = RBC_OK;
    for (int64_t e = 0;
         status == RBC_OK && e < clock->from.num_episodes && !is_enough(sums, spec->num_used, e);
         ++e) {
        const int64_t num_ticks = rbc__clock_num_ticks(clock, e);
        rbc_error problem;
        if (num_ticks == 0) {
            continue;
        }
        if (rbc__rows_open(rows, maker, e, &problem) != RBC_OK) {
            status = pass_over(&problem, err);
            continue;
        }
        ticks += (double)num_ticks;
        status = count_episode(&m, spec, sums, err);
    }
    for (int32_t i = 0; i < spec->num_used; ++i) {
        const double per_block = sums[i].blocks > 0.0 ? ticks / sums[i].blocks : 0.0;
        out->block_samples = per_block > out->block_samples ? per_block : out->block_samples;
    }
    free(sums);
    rbc__rows_end(rows);
    out->bytes_per_sample = ticks > 0.0 ? m.bytes / ticks : 0.0;
    return status;
}

void rbc__packed_divide(const rbc__packed *packed, int64_t group_bytes, int64_t *segment_samples,
                        int64_t *group_segments) {
    *segment_samples = *group_segments = 1;
    if (packed->block_samples <= 1.0 || packed->bytes_per_sample <= 0.0) {
        return;
    }
    const double room = (double)group_bytes / packed->bytes_per_sample;
    double segment = room / GROUP_SEGMENTS;
    if (segment > SEGMENT_BLOCKS * packed->block_samples) {
        segment = SEGMENT_BLOCKS * packed->block_samples;
    }
    segment = ceil(segment / packed->block_samples) * packed->block_samples;
    *segment_samples = (int64_t)ceil(segment);
    const double segments = room / segment;
    *group_segments = segments < 1.0 ? 1 : segments > 4096.0 ? 4096 : (int64_t)segments;
}

double rbc__packed_factor_global(const rbc__packed *packed, int64_t num_samples,
                                 int64_t cache_bytes) {
    const double all = packed->bytes_per_sample * (double)num_samples;
    if (all <= 0.0 || packed->block_samples <= 0.0) {
        return 0.0;
    }
    const double held = (double)cache_bytes / all;
    const double factor = packed->block_samples * (1.0 - (held < 1.0 ? held : 1.0));
    return factor > 1.0 ? factor : 1.0;
}

double rbc__packed_factor_blocks(const rbc__packed *packed, int64_t num_samples,
                                 int64_t segment_samples, int64_t group_segments,
                                 int64_t cache_bytes) {
    if (packed->block_samples <= 1.0 || segment_samples <= 1) {
        return packed->block_samples > 0.0 ? 1.0 : 0.0;
    }
    /* a group is shuffled as a whole, and borders of segments fall anywhere in blocks */
    const int64_t group_samples = segment_samples * group_segments;
    const double inside = rbc__packed_factor_global(
        packed, group_samples < num_samples ? group_samples : num_samples, cache_bytes);
    const double borders = 1.0 + (packed->block_samples - 1.0) / (double)segment_samples;
    return inside > borders ? inside : borders;
}
