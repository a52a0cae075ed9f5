#include "loader/blocks.h"

#include <math.h>
#include <stdlib.h>

#include "core/error.h"

#define MEASURED_EPISODES 4

/* A segment is at most so many blocks long: of those that straddle its ends, one is unpacked twice.
 */
#define SEGMENT_BLOCKS 16

/* A group is of so many segments, where it has room for them: what is near in a batch comes from so
 * many places. */
#define GROUP_SEGMENTS 8

/* Blocks of a stream in one episode. */
typedef struct tally {
    double samples, blocks, bytes;
} tally;

static void count_blocks(const rbc__layout *layout, const rbc__run *run, uint32_t *last,
                         tally *sum) {
    const rbc__block *block = &layout->blocks[run->number];
    sum->samples += (double)run->count;
    if (*last != run->number + 1) {
        *last = run->number + 1;
        sum->blocks += 1.0;
        sum->bytes += (double)block->unpacked_bytes;
    }
}

/* What is damaged is passed over; a shortage is not. */
static rbc_status pass_over(const rbc_error *problem, rbc_error *err) {
    return rbc__is_shortage(problem) ? rbc__pass_on(problem, err) : RBC_OK;
}

static rbc_status count_array(rbc__rows *rows, const rbc__place *place, const rbc__run *run,
                              tally *sum, rbc_error *err) {
    const rbc__request_params *requests = &rows->params.requests;
    const rbc__array_object *object;
    rbc__cached_block *pin;
    rbc_error problem;
    if (rbc__objects_array(requests->objects, requests->cache, place->part, run->number, &object,
                           &pin, &problem) != RBC_OK) {
        return pass_over(&problem, err);
    }
    if (object->packing.num_steps > 0) {
        const double chunks = (double)run->count / (double)object->array.chunk_shape[0];
        sum->samples += (double)run->count;
        sum->blocks += chunks < 1.0 ? 1.0 : chunks;
        sum->bytes += (double)run->count * (double)object->array.row_bytes;
    }
    rbc__block_unpin(requests->cache, pin);
    return RBC_OK;
}

static rbc_status count_track(rbc__rows *rows, const rbc__place *place, const rbc__run *run,
                              const rbc__stream_schema *schema, tally *sum, rbc_error *err) {
    const rbc__request_params *requests = &rows->params.requests;
    const rbc__track_object *object;
    rbc__cached_block *pin;
    rbc_error problem;
    if (rbc__objects_track(requests->objects, requests->cache, place->part, run->number, &object,
                           &pin, &problem) != RBC_OK) {
        return pass_over(&problem, err);
    }
    double frame_bytes = (double)rbc__dtype_bytes(schema->dtype);
    for (int32_t i = 0; i < schema->ndim; ++i) {
        frame_bytes *= (double)(schema->shape[i] > 0 ? schema->shape[i] : 1);
    }
    const double frames = (double)object->track.num_frames;
    sum->samples += (double)run->count;
    sum->blocks +=
        (double)run->count * (double)object->track.num_groups / (frames > 0 ? frames : 1);
    sum->bytes += (double)run->count * frame_bytes;
    rbc__block_unpin(requests->cache, pin);
    return RBC_OK;
}

static rbc_status count_stream(rbc__rows *rows, const rbc__loaded_episode *episode,
                               const rbc__used_stream *used, tally *sum, rbc_error *err) {
    const rbc__layout *layout = episode->layout;
    uint32_t last = 0;
    for (uint32_t i = layout->first_run[used->stream]; i < layout->first_run[used->stream + 1];
         ++i) {
        const rbc__run *run = &layout->runs[i];
        if (run->container == RBC__IN_BLOCK) {
            count_blocks(layout, run, &last, sum);
        } else if (run->container == RBC__IN_ARRAY) {
            RBC__TRY(count_array(rows, &episode->place, run, sum, err));
        } else if (run->container == RBC__IN_TRACK) {
            RBC__TRY(count_track(rows, &episode->place, run, used->schema, sum, err));
        }
    }
    return RBC_OK;
}

rbc_status rbc__packed_measure(rbc__rows *rows, rbc__maker *maker, rbc__packed *out,
                               rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__clock *clock = rows->params.clock;
    double ticks = 0.0;
    double bytes = 0.0;
    *out = (rbc__packed){0};
    for (int64_t e = 0; e < clock->from.num_episodes && e < MEASURED_EPISODES; ++e) {
        const int64_t num_ticks = rbc__clock_num_ticks(clock, e);
        rbc_error problem;
        if (num_ticks == 0) {
            continue;
        }
        if (rbc__rows_open(rows, maker, e, &problem) != RBC_OK) {
            RBC__TRY(pass_over(&problem, err));
            continue;
        }
        ticks += (double)num_ticks;
        for (int32_t i = 0; i < spec->num_used; ++i) {
            /* what is held as a whole is unpacked once an episode */
            const rbc__loaded_episode *episode = rows->rows[0].episode;
            tally sum = {0};
            RBC__TRY(count_stream(rows, episode, &spec->used[i], &sum, err));
            if (sum.blocks == 0.0 || episode->streams[i].values != NULL) {
                continue;
            }
            const double per_block = (double)num_ticks / sum.blocks;
            bytes += sum.bytes;
            out->block_samples = per_block > out->block_samples ? per_block : out->block_samples;
        }
    }
    rbc__rows_end(rows);
    out->bytes_per_sample = ticks > 0.0 ? bytes / ticks : 0.0;
    return RBC_OK;
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
