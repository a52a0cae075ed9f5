#include "loader/pace.h"

/* Of what is measured, about the last so many count. A loop that waits for its device once in a while
 * is as slow on average. */
static const double IMAGES_KEPT = 8.0;
static const double BATCHES_KEPT = 16.0;

/* A pause, to save a model say, counts as no more than so many batches. */
static const double MOST_BATCHES = 4.0;

static const double TIMES_FASTER = 2.0;
static const int64_t FEW_AHEAD = 2;

bool rbc__pace_is_on_host(double image_ns, double batch_ns, int64_t num_images, int64_t distance) {
    if (image_ns <= 0.0) {
        return batch_ns > 0.0 && distance >= FEW_AHEAD;
    }
    return (double)num_images * image_ns * TIMES_FASTER <= (double)distance * batch_ns;
}

static double follow(double known, double found, double kept) {
    return known > 0.0 ? known + (found - known) / kept : found;
}

void rbc__pace_returned(rbc__pace *pace, int64_t now_ns) {
    pace->returned_ns = now_ns;
}

void rbc__pace_asked(rbc__pace *pace, int64_t now_ns) {
    if (pace->returned_ns > 0 && now_ns > pace->returned_ns) {
        const double own = (double)(now_ns - pace->returned_ns);
        const double most = pace->batch_ns * MOST_BATCHES;
        pace->batch_ns =
            follow(pace->batch_ns, most > 0.0 && own > most ? most : own, BATCHES_KEPT);
    }
    pace->returned_ns = 0;
}

void rbc__pace_worked(rbc__pace *pace, int64_t num_images, int64_t ns) {
    if (num_images > 0 && ns > 0) {
        const double known = atomic_load_explicit(&pace->image_ns, memory_order_relaxed);
        atomic_store_explicit(&pace->image_ns,
                              follow(known, (double)ns / (double)num_images, IMAGES_KEPT),
                              memory_order_relaxed);
    }
}
