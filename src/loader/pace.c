#include "loader/pace.h"

enum {
    MORE = RBC__PACE_ALL / 8, /* who is behind catches up within a few batches */
    LESS = RBC__PACE_ALL / 64,
    FEW_READY = 4, /* less than one slot in so many */
};

void rbc__pace_init(rbc__pace *pace, bool is_shared) {
    pace->is_shared = is_shared;
    atomic_init(&pace->share, RBC__PACE_ALL);
    atomic_init(&pace->dealt, 0);
}

bool rbc__pace_deal(rbc__pace *pace) {
    if (!pace->is_shared) {
        return true;
    }
    const unsigned share = rbc__pace_share(pace);
    const unsigned before = atomic_fetch_add_explicit(&pace->dealt, share, memory_order_relaxed);
    return before % RBC__PACE_ALL + share >= RBC__PACE_ALL;
}

unsigned rbc__pace_taken(unsigned share, bool was_awaited, int64_t num_ready, int64_t num_slots) {
    if (!was_awaited && num_ready > 0 && num_ready * FEW_READY >= num_slots) {
        return share;
    }
    return share + MORE < RBC__PACE_ALL ? share + MORE : RBC__PACE_ALL;
}

unsigned rbc__pace_full(unsigned share) {
    return share > LESS ? share - LESS : 0;
}
