#include "loader/sampler.h"

#include "core/error.h"

#define MAX_SAMPLES (INT64_C(1) << 62)

static rbc_status check_params(int64_t num_samples, const rbc_loader_params *params,
                               rbc_error *err) {
    if (num_samples > MAX_SAMPLES) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "the selection has %lld samples on this clock; at most %lld are possible",
                         (long long)num_samples, (long long)MAX_SAMPLES);
    }
    if (params->batch_size < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "batch_size is %d; wanted at least 1",
                         params->batch_size);
    }
    if (params->world_size < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "world_size is %d; wanted at least 1",
                         params->world_size);
    }
    if (params->rank < 0 || params->rank >= params->world_size) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "rank is %d; wanted at least 0 and below world_size, which is %d",
                         params->rank, params->world_size);
    }
    if (params->remainder != RBC_REMAINDER_UNEVEN && params->remainder != RBC_REMAINDER_DROP &&
        params->remainder != RBC_REMAINDER_REPEAT) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "remainder is %d; wanted one of rbc_remainder", (int)params->remainder);
    }
    if (params->shuffle < RBC_SHUFFLE_NONE || params->shuffle > RBC_SHUFFLE_BLOCKS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "shuffle is %d; wanted one of rbc_shuffle", params->shuffle);
    }
    if (params->num_parts < 1 || params->part < 0 || params->part >= params->num_parts) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "part is %d of %d; wanted at least 0 and below num_parts, which is at "
                         "least 1",
                         params->part, params->num_parts);
    }
    return RBC_OK;
}

/* The ranks take full rounds of world_size batches and, of what is left, `rows` rows each. */
static void finish_even(rbc__sampler *s, int64_t rounds, int64_t rows) {
    s->rank_batches = rounds + (rows > 0 ? 1 : 0);
    s->num_rounds = s->rank_batches;
    s->last_rows = rows > 0 ? rows : s->batch_size;
    s->last_position =
        s->base + (s->rank_batches - 1) * s->world_size * s->batch_size + s->rank * s->last_rows;
}

static void deal_out(rbc__sampler *s) {
    const int64_t batch = s->batch_size;
    const int64_t world = s->world_size;
    const int64_t left = s->num_samples - s->base;
    const int64_t full = left / batch;
    if (s->remainder == RBC_REMAINDER_UNEVEN) {
        const int64_t total = full + (!s->drop_last && left % batch > 0 ? 1 : 0);
        s->rank_batches = total / world + (s->rank < total % world ? 1 : 0);
        s->num_rounds = total / world + (total % world > 0 ? 1 : 0);
        const int64_t last = (s->rank_batches - 1) * world + s->rank;
        s->last_position = s->base + last * batch;
        s->last_rows = last < full ? batch : left - full * batch;
        return;
    }
    const bool repeat = s->remainder == RBC_REMAINDER_REPEAT;
    if (s->drop_last) {
        finish_even(s, full / world, repeat && full % world > 0 ? batch : 0);
        return;
    }
    const int64_t rounds = full / world;
    const int64_t rest = left - rounds * world * batch;
    finish_even(s, rounds, rest / world + (repeat && rest % world > 0 ? 1 : 0));
}

rbc_status rbc__sampler_init(rbc__sampler *out, int64_t num_samples,
                             const rbc_loader_params *params, rbc_error *err) {
    RBC__TRY(check_params(num_samples, params, err));
    *out = (rbc__sampler){.num_samples = num_samples,
                          .batch_size = params->batch_size,
                          .remainder = params->remainder,
                          .drop_last = params->drop_last != 0,
                          .rank = params->rank,
                          .world_size = params->world_size,
                          .part = params->part,
                          .num_parts = params->num_parts};
    rbc__sampler_begin(out, 0);
    return RBC_OK;
}

void rbc__sampler_begin(rbc__sampler *sampler, int64_t base) {
    const int64_t num_parts = sampler->num_parts;
    sampler->base = base;
    deal_out(sampler);
    sampler->num_batches = (sampler->rank_batches - sampler->part + num_parts - 1) / num_parts;
    sampler->num_rounds = (sampler->num_rounds + num_parts - 1) / num_parts;
}

int64_t rbc__sampler_round(const rbc__sampler *sampler, int64_t index) {
    return index < sampler->num_rounds
               ? sampler->base +
                     index * sampler->num_parts * sampler->world_size * sampler->batch_size
               : sampler->num_samples;
}

void rbc__sampler_batch(const rbc__sampler *sampler, int64_t index, int64_t *position,
                        int64_t *rows) {
    const int64_t number = index * sampler->num_parts + sampler->part;
    if (number == sampler->rank_batches - 1) {
        *position = sampler->last_position;
        *rows = sampler->last_rows;
        return;
    }
    *position =
        sampler->base + (number * sampler->world_size + sampler->rank) * sampler->batch_size;
    *rows = sampler->batch_size;
}

void rbc__order_begin(rbc__order *order, int64_t epoch) {
    order->epoch = (uint64_t)epoch;
    rbc__permutation_init(&order->permutation,
                          (uint64_t)(order->num_samples / order->segment_samples), order->seed,
                          (uint64_t)epoch);
}

/* The image of `at` among `size`, permuted in a way that group `group` has to itself. */
static int64_t permuted(const rbc__order *order, int64_t group, int64_t at, int64_t size) {
    rbc__permutation inside;
    const uint64_t key = rbc__permutation_hash(order->seed, order->epoch, (uint64_t)group);
    rbc__permutation_init(&inside, (uint64_t)size, key, order->epoch);
    return (int64_t)rbc__permutation_at(&inside, (uint64_t)at);
}

static int64_t sample_by_blocks(const rbc__order *order, int64_t position) {
    const int64_t length = order->segment_samples;
    const int64_t whole = order->num_samples / length * length; /* samples in segments */
    const int64_t per_group = order->group_segments * length;
    const int64_t group = position / per_group;
    if (position >= whole) {
        return whole + permuted(order, INT64_MAX, position - whole, order->num_samples - whole);
    }
    const int64_t left = whole - group * per_group;
    const int64_t k =
        permuted(order, group, position % per_group, left < per_group ? left : per_group);
    const int64_t slot = group * order->group_segments + k / length;
    const int64_t segment = (int64_t)rbc__permutation_at(&order->permutation, (uint64_t)slot);
    return segment * length + k % length;
}

int64_t rbc__order_sample(const rbc__order *order, int64_t position) {
    const int64_t index = position < order->num_samples ? position : position % order->num_samples;
    if (!order->shuffle) {
        return index;
    }
    return order->segment_samples > 1
               ? sample_by_blocks(order, index)
               : (int64_t)rbc__permutation_at(&order->permutation, (uint64_t)index);
}
