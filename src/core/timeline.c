#include "core/timeline.h"

#include "core/monotonic.h"

static void mark(rbc__timeline *timeline, int32_t stage, int64_t now_ns) {
    const int at = atomic_load_explicit(&timeline->num_marks, memory_order_relaxed);
    if (at < RBC__TIMELINE_MARKS) {
        rbc__timeline_mark *next = &timeline->marks[at];
        atomic_store_explicit(&next->begin_ns, now_ns, memory_order_relaxed);
        atomic_store_explicit(&next->stage, stage, memory_order_relaxed);
        atomic_store_explicit(&timeline->num_marks, at + 1, memory_order_release);
    }
}

static int64_t leave(rbc__timeline *timeline) {
    const int64_t now_ns = rbc__now_ns();
    if (timeline->stage != RBC__STAGE_NONE) {
        timeline->spent_ns[timeline->stage] += now_ns - timeline->since_ns;
    }
    timeline->since_ns = now_ns;
    return now_ns;
}

void rbc__timeline_init(rbc__timeline *timeline) {
    *timeline = (rbc__timeline){.stage = RBC__STAGE_NONE};
}

int64_t rbc__timeline_begin(rbc__timeline *timeline, int32_t stage) {
    timeline->stage = RBC__STAGE_NONE;
    atomic_store_explicit(&timeline->num_marks, 0, memory_order_relaxed);
    return rbc__timeline_enter(timeline, stage);
}

int64_t rbc__timeline_enter(rbc__timeline *timeline, int32_t stage) {
    const int64_t now_ns = leave(timeline);
    timeline->stage = stage;
    if (stage != RBC__STAGE_NONE) {
        mark(timeline, stage, now_ns);
    }
    return now_ns;
}

void rbc__timeline_divide(const rbc__timeline *timeline, int64_t from_ns, int64_t to_ns,
                          int64_t *parts_ns) {
    int64_t end_ns = to_ns;
    const int count = atomic_load_explicit(&timeline->num_marks, memory_order_acquire);
    for (int i = count - 1; i >= 0 && end_ns > from_ns; --i) {
        const rbc__timeline_mark *at = &timeline->marks[i];
        const int64_t begin_ns = atomic_load_explicit(&at->begin_ns, memory_order_relaxed);
        const int64_t first_ns = begin_ns > from_ns ? begin_ns : from_ns;
        if (end_ns > first_ns) {
            parts_ns[atomic_load_explicit(&at->stage, memory_order_relaxed)] += end_ns - first_ns;
            end_ns = first_ns;
        }
    }
    if (end_ns > from_ns) {
        parts_ns[RBC_STAGE_QUEUE] += end_ns - from_ns;
    }
}

int32_t rbc__timeline_now(const rbc__timeline *timeline) {
    const int count = atomic_load_explicit(&timeline->num_marks, memory_order_acquire);
    return count == 0
               ? RBC_STAGE_QUEUE
               : atomic_load_explicit(&timeline->marks[count - 1].stage, memory_order_relaxed);
}
