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
        (s->rank_batches - 1) * s->world_size * s->batch_size + s->rank * s->last_rows;
}

static void deal_out(rbc__sampler *s, rbc_remainder remainder, bool drop_last) {
    const int64_t batch = s->batch_size;
    const int64_t world = s->world_size;
    const int64_t full = s->num_samples / batch;
    if (remainder == RBC_REMAINDER_UNEVEN) {
        const int64_t total = full + (!drop_last && s->num_samples % batch > 0 ? 1 : 0);
        s->rank_batches = total / world + (s->rank < total % world ? 1 : 0);
        s->num_rounds = total / world + (total % world > 0 ? 1 : 0);
        const int64_t last = (s->rank_batches - 1) * world + s->rank;
        s->last_position = last * batch;
        s->last_rows = last < full ? batch : s->num_samples - full * batch;
        return;
    }
    const bool repeat = remainder == RBC_REMAINDER_REPEAT;
    if (drop_last) {
        finish_even(s, full / world, repeat && full % world > 0 ? batch : 0);
        return;
    }
    const int64_t rounds = full / world;
    const int64_t rest = s->num_samples - rounds * world * batch;
    finish_even(s, rounds, rest / world + (repeat && rest % world > 0 ? 1 : 0));
}

rbc_status rbc__sampler_init(rbc__sampler *out, int64_t num_samples,
                             const rbc_loader_params *params, rbc_error *err) {
    RBC__TRY(check_params(num_samples, params, err));
    *out = (rbc__sampler){.num_samples = num_samples,
                          .batch_size = params->batch_size,
                          .rank = params->rank,
                          .world_size = params->world_size,
                          .part = params->part,
                          .num_parts = params->num_parts,
                          .shuffle = params->shuffle != 0,
                          .seed = params->seed};
    deal_out(out, params->remainder, params->drop_last != 0);
    out->num_batches = (out->rank_batches - out->part + out->num_parts - 1) / out->num_parts;
    out->num_rounds = (out->num_rounds + out->num_parts - 1) / out->num_parts;
    return RBC_OK;
}

void rbc__sampler_batch(const rbc__sampler *sampler, int64_t index, int64_t *position,
                        int64_t *rows) {
    const int64_t number = index * sampler->num_parts + sampler->part;
    if (number == sampler->rank_batches - 1) {
        *position = sampler->last_position;
        *rows = sampler->last_rows;
        return;
    }
    *position = (number * sampler->world_size + sampler->rank) * sampler->batch_size;
    *rows = sampler->batch_size;
}

void rbc__sampler_order(const rbc__sampler *sampler, int64_t epoch, rbc__order *out) {
    out->num_samples = sampler->num_samples;
    out->shuffle = sampler->shuffle;
    rbc__permutation_init(&out->permutation, (uint64_t)sampler->num_samples, sampler->seed,
                          (uint64_t)epoch);
}

int64_t rbc__order_sample(const rbc__order *order, int64_t position) {
    const int64_t index = position < order->num_samples ? position : position % order->num_samples;
    return order->shuffle ? (int64_t)rbc__permutation_at(&order->permutation, (uint64_t)index)
                          : index;
}
