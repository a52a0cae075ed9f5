#include "loader/pace.h"

/* Of what is measured the last so many count about as much as all before. */
static const double MEMORY = 8.0;

/* A worker decodes one by itself where nobody has for so long, so that it is known how long it takes. */
static const int64_t STALE_NS = INT64_C(1000000000);

static void follow(_Atomic double *estimate, double found) {
    const double known = atomic_load_explicit(estimate, memory_order_relaxed);
    atomic_store_explicit(estimate, known > 0.0 ? known + (found - known) / MEMORY : found,
                          memory_order_relaxed);
}

int64_t rbc__pace_share(rbc__pace *pace, int64_t count, int64_t now_ns) {
    const double device = atomic_load_explicit(&pace->device_ns, memory_order_relaxed);
    const double host = atomic_load_explicit(&pace->host_ns, memory_order_relaxed);
    if (!pace->is_shared || device <= 0.0 || count < 2) {
        return 0;
    }
    const double queued =
        (double)(atomic_load_explicit(&pace->num_queued, memory_order_relaxed) + count);
    const bool is_stale =
        host <= 0.0 ||
        now_ns - atomic_load_explicit(&pace->measured_ns, memory_order_relaxed) > STALE_NS;
    const double share = host > 0.0 ? queued * device / (host + device) : 0.0;
    const int64_t own = share < (double)(count - 1) ? (int64_t)share : count - 1;
    return own == 0 && is_stale ? 1 : own;
}

void rbc__pace_begin(rbc__pace *pace, int64_t count) {
    atomic_fetch_add_explicit(&pace->num_queued, count, memory_order_relaxed);
}

void rbc__pace_end(rbc__pace *pace, int64_t count, int64_t begin_ns, int64_t now_ns) {
    if (count == 0) {
        return;
    }
    const int64_t before = atomic_exchange_explicit(&pace->done_ns, now_ns, memory_order_relaxed);
    const int64_t from_ns = before > begin_ns ? before : begin_ns;
    atomic_fetch_sub_explicit(&pace->num_queued, count, memory_order_relaxed);
    if (now_ns > from_ns) {
        follow(&pace->device_ns, (double)(now_ns - from_ns) / (double)count);
    }
}

void rbc__pace_worked(rbc__pace *pace, int64_t count, int64_t begin_ns, int64_t now_ns) {
    if (count > 0 && now_ns > begin_ns) {
        follow(&pace->host_ns, (double)(now_ns - begin_ns) / (double)count);
        atomic_store_explicit(&pace->measured_ns, now_ns, memory_order_relaxed);
    }
}
