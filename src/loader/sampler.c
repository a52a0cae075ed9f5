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
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "batch_size is %d; it must be at least 1",
                         params->batch_size);
    }
    if (params->world_size < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "world_size is %d; it must be at least 1",
                         params->world_size);
    }
    if (params->rank < 0 || params->rank >= params->world_size) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "rank is %d; it must be at least 0 and below world_size, which is %d",
                         params->rank, params->world_size);
    }
    if (params->remainder != RBC_REMAINDER_UNEVEN && params->remainder != RBC_REMAINDER_DROP &&
        params->remainder != RBC_REMAINDER_REPEAT) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "remainder is %d; it must be one of rbc_remainder",
                         (int)params->remainder);
    }
    return RBC_OK;
}

/* The ranks take full rounds of world_size batches and, of what is left, `rows` rows each. */
static void finish_even(rbc__sampler *s, int64_t rounds, int64_t rows) {
    s->num_batches = rounds + (rows > 0 ? 1 : 0);
    s->num_rounds = s->num_batches;
    s->last_rows = rows > 0 ? rows : s->batch_size;
    s->last_position =
        (s->num_batches - 1) * s->world_size * s->batch_size + s->rank * s->last_rows;
}

rbc_status rbc__sampler_init(rbc__sampler *out, int64_t num_samples,
                             const rbc_loader_params *params, rbc_error *err) {
    RBC__TRY(check_params(num_samples, params, err));
    *out = (rbc__sampler){.num_samples = num_samples,
                          .batch_size = params->batch_size,
                          .rank = params->rank,
                          .world_size = params->world_size,
                          .shuffle = params->shuffle != 0,
                          .seed = params->seed};
    const bool drop_last = params->drop_last != 0;
    const int64_t batch = out->batch_size;
    const int64_t world = out->world_size;
    const int64_t full = num_samples / batch;
    const int64_t total = full + (!drop_last && num_samples % batch > 0 ? 1 : 0);
    if (params->remainder == RBC_REMAINDER_UNEVEN) {
        out->num_batches = total / world + (out->rank < total % world ? 1 : 0);
        out->num_rounds = total / world + (total % world > 0 ? 1 : 0);
        const int64_t last = (out->num_batches - 1) * world + out->rank;
        out->last_position = last * batch;
        out->last_rows = last < full ? batch : num_samples - full * batch;
        return RBC_OK;
    }
    const bool repeat = params->remainder == RBC_REMAINDER_REPEAT;
    if (drop_last) {
        finish_even(out, full / world, repeat && full % world > 0 ? batch : 0);
        return RBC_OK;
    }
    const int64_t rounds = full / world;
    const int64_t rest = num_samples - rounds * world * batch;
    finish_even(out, rounds, rest / world + (repeat && rest % world > 0 ? 1 : 0));
    return RBC_OK;
}

void rbc__sampler_batch(const rbc__sampler *sampler, int64_t index, int64_t *position,
                        int64_t *rows) {
    if (index == sampler->num_batches - 1) {
        *position = sampler->last_position;
        *rows = sampler->last_rows;
        return;
    }
    *position = (index * sampler->world_size + sampler->rank) * sampler->batch_size;
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
