#include "loader/mixture.h"

#include <string.h>

#include "core/error.h"
#include "core/params.h"

#define MAX_MEMBERS 65536
#define MAX_CYCLE   (INT64_C(1) << 40)

#define MAX_POSITIONS (INT64_C(1) << 62)

/* Numbers that keep the draws of cycles and of members apart from others under the same seed. */
#define CYCLE_SALT  UINT64_C(0xa5b1c7d9e3f20468)
#define MEMBER_SALT UINT64_C(0x6c62272e07bb0142)

rbc_status rbc__mixture_member_at(const rbc_mixture_member *members, int32_t index,
                                  rbc_mixture_member *out, rbc_error *err) {
    *out = (rbc_mixture_member)RBC_MIXTURE_MEMBER_INIT;
    return rbc__params_read_item(members, index, out, sizeof *out, "members", err);
}

static rbc_status check_member(const rbc_mixture_params *params, int32_t index, int64_t *cycle,
                               rbc_error *err) {
    rbc_mixture_member member;
    RBC__TRY(rbc__mixture_member_at(params->members, index, &member, err));
    if (member.name == NULL || member.selection == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "members[%d].%s is NULL", index,
                         member.name == NULL ? "name" : "selection");
    }
    for (int32_t i = 0; i < index; ++i) {
        rbc_mixture_member other;
        RBC__TRY(rbc__mixture_member_at(params->members, i, &other, err));
        if (strcmp(other.name, member.name) == 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "members[%d] and members[%d] are both named '%s'", i, index,
                             member.name);
        }
    }
    if (member.weight < 1 || member.weight > MAX_CYCLE - *cycle) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "dataset '%s' has weight %lld; wanted at least 1, and at most %lld of all "
                         "together",
                         member.name, (long long)member.weight, (long long)MAX_CYCLE);
    }
    *cycle += member.weight;
    if (member.num_clock < 0 || (member.num_clock > 0 && member.clock == NULL) ||
        member.num_require < 0 || (member.num_require > 0 && member.require == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "dataset '%s': num_clock is %d, clock is %s; num_require is %d, require "
                         "is %s",
                         member.name, member.num_clock, member.clock == NULL ? "NULL" : "set",
                         member.num_require, member.require == NULL ? "NULL" : "set");
    }
    return RBC_OK;
}

rbc_status rbc__mixture_check(const rbc_mixture_params *params, rbc_error *err) {
    if (params->num_members < 1 || params->num_members > MAX_MEMBERS || params->members == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "num_members is %d, members is %s; wanted 1 to %d", params->num_members,
                         params->members == NULL ? "NULL" : "set", MAX_MEMBERS);
    }
    int64_t cycle = 0;
    for (int32_t i = 0; i < params->num_members; ++i) {
        RBC__TRY(check_member(params, i, &cycle, err));
    }
    if (params->epoch < RBC_EPOCH_FIRST || params->epoch > RBC_EPOCH_SAMPLES) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "epoch is %d; wanted one of rbc_epoch",
                         params->epoch);
    }
    if (params->epoch == RBC_EPOCH_SAMPLES && params->epoch_samples < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "epoch_samples is %lld; wanted at least 1",
                         (long long)params->epoch_samples);
    }
    return RBC_OK;
}

static int64_t cycle_of(const rbc__mixture *mixture) {
    return mixture->begins[mixture->num_members];
}

static int64_t weight_of(const rbc__mixture *mixture, int32_t member) {
    return mixture->begins[member + 1] - mixture->begins[member];
}

static rbc_status count(const rbc__mixture *mixture, int64_t cycles, int64_t *out, rbc_error *err) {
    if (cycles > MAX_POSITIONS / cycle_of(mixture)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "an epoch of the mixture has %lld cycles of %lld samples; at most %lld "
                         "samples are possible",
                         (long long)cycles, (long long)cycle_of(mixture), (long long)MAX_POSITIONS);
    }
    *out = cycles * cycle_of(mixture);
    return RBC_OK;
}

rbc_status rbc__mixture_first(const rbc__mixture *mixture, int64_t *out, rbc_error *err) {
    int64_t cycles = INT64_MAX;
    for (int32_t i = 0; i < mixture->num_members; ++i) {
        const int64_t own = mixture->sizes[i] / weight_of(mixture, i);
        cycles = own < cycles ? own : cycles;
    }
    return count(mixture, cycles > 1 ? cycles : 1, out, err);
}

rbc_status rbc__mixture_last(const rbc__mixture *mixture, int64_t *out, rbc_error *err) {
    int64_t cycles = 1;
    for (int32_t i = 0; i < mixture->num_members; ++i) {
        const int64_t own = (mixture->sizes[i] - 1) / weight_of(mixture, i) + 1;
        cycles = own > cycles ? own : cycles;
    }
    return count(mixture, cycles, out, err);
}

/* Its epochs are those of its only dataset. */
static bool is_dataset(const rbc__mixture *mixture) {
    return mixture->num_members == 1 && mixture->num_samples == mixture->sizes[0];
}

int64_t rbc__mixture_num_epochs(const rbc__mixture *mixture) {
    return is_dataset(mixture) ? INT64_MAX : MAX_POSITIONS / mixture->num_samples;
}

/* The member whose share slot `slot` lies in. */
static int32_t member_at(const rbc__mixture *mixture, int64_t slot) {
    int32_t low = 0;
    int32_t high = mixture->num_members;
    while (high - low > 1) {
        const int32_t middle = low + (high - low) / 2;
        *(slot < mixture->begins[middle] ? &high : &low) = middle;
    }
    return low;
}

void rbc__mixture_find(const rbc__mixture *mixture, rbc__mixture_cursor *cursor, int64_t epoch,
                       int64_t position, rbc__mixture_sample *out) {
    const int64_t at = position < mixture->num_samples ? position : position % mixture->num_samples;
    if (is_dataset(mixture)) {
        *out = (rbc__mixture_sample){.epoch = epoch, .position = at};
        return;
    }
    const int64_t length = mixture->num_members > 1 ? cycle_of(mixture) : 1;
    const int64_t every = epoch * mixture->num_samples + at;
    const int64_t cycle = every / length;
    int64_t slot = every % length;
    if (mixture->shuffle) {
        if (!cursor->is_set || cursor->cycle != cycle) {
            rbc__permutation_init(&cursor->permutation, (uint64_t)length,
                                  mixture->seed ^ CYCLE_SALT, (uint64_t)cycle);
            cursor->cycle = cycle;
            cursor->is_set = true;
        }
        slot = (int64_t)rbc__permutation_at(&cursor->permutation, (uint64_t)slot);
    }
    const int32_t member = member_at(mixture, slot);
    const int64_t number = mixture->num_members > 1
                               ? cycle * weight_of(mixture, member) + slot - mixture->begins[member]
                               : cycle;
    *out = (rbc__mixture_sample){.member = member,
                                 .epoch = number / mixture->sizes[member],
                                 .position = number % mixture->sizes[member]};
}

uint64_t rbc__mixture_seed(uint64_t seed, int32_t member) {
    return member == 0 ? seed : rbc__permutation_hash(seed, MEMBER_SALT, (uint64_t)member);
}
