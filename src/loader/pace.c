#include "loader/pace.h"

/* Of what is measured, about the last so many count. */
static const double IMAGES_KEPT = 8.0;

static const double TIMES_FASTER = 2.0;
static const int64_t FEW_AHEAD = 2;

/* A core that is slower than it was counts little, one that is faster a half. */
static const double FASTER_KEPT = 2.0;

static const double RANGES_BELIEVED = 64.0;
static const double LEAST_BELIEVED = 0.125;

bool rbc__pace_is_on_host(double image_ns, double batch_ns, int64_t num_images, int64_t distance) {
    if (image_ns <= 0.0) {
        return batch_ns > 0.0 && distance >= FEW_AHEAD;
    }
    return (double)num_images * image_ns * TIMES_FASTER <= (double)distance * batch_ns;
}

bool rbc__pace_deal(rbc__pace *pace, int64_t num_images, int64_t distance) {
    const double image_ns = atomic_load_explicit(&pace->image_ns, memory_order_relaxed);
    const double least =
        atomic_load_explicit(&pace->measured_ns, memory_order_relaxed) * LEAST_BELIEVED;
    if (rbc__pace_is_on_host(image_ns, pace->batch_ns, num_images, distance)) {
        return true;
    }
    if (distance >= FEW_AHEAD && image_ns > least) {
        atomic_store_explicit(&pace->image_ns, image_ns - image_ns / RANGES_BELIEVED,
                              memory_order_relaxed);
    }
    return false;
}

static double follow(double known, double found, double kept) {
    return known > 0.0 ? known + (found - known) / kept : found;
}

void rbc__pace_returned(rbc__pace *pace, int64_t now_ns) {
    pace->returned_ns = now_ns;
}

/* The longest is left out, a pause to save a model, say. The others count in full: a loop that queues
 * many steps at a time waits long for its device in between. */
static double mean_of_batches(const rbc__pace *pace) {
    const int64_t count = pace->num_own < RBC__PACE_BATCHES ? pace->num_own : RBC__PACE_BATCHES;
    int64_t sum = 0;
    int64_t longest = 0;
    for (int64_t i = 0; i < count; ++i) {
        sum += pace->own_ns[i];
        longest = pace->own_ns[i] > longest ? pace->own_ns[i] : longest;
    }
    return count == 1 ? (double)sum : (double)(sum - longest) / (double)(count - 1);
}

void rbc__pace_asked(rbc__pace *pace, int64_t now_ns) {
    if (pace->returned_ns > 0 && now_ns > pace->returned_ns) {
        pace->own_ns[pace->num_own++ % RBC__PACE_BATCHES] = now_ns - pace->returned_ns;
        pace->batch_ns = mean_of_batches(pace);
    }
    pace->returned_ns = 0;
}

void rbc__pace_worked(rbc__pace *pace, int64_t num_images, int64_t ns) {
    if (num_images > 0 && ns > 0) {
        const double found = (double)ns / (double)num_images;
        const double before = atomic_load_explicit(&pace->measured_ns, memory_order_relaxed);
        const double now = follow(before, found, found < before ? FASTER_KEPT : IMAGES_KEPT);
        atomic_store_explicit(&pace->measured_ns, now, memory_order_relaxed);
        atomic_store_explicit(&pace->image_ns, now, memory_order_relaxed);
    }
}
