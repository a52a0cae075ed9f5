#include "loader/future.h"

#include "core/error.h"

/* Sets what is drawn here apart from what is drawn of images by the same key. */
#define SALT INT64_C(0x667574757265)

rbc_status rbc__future_check(const rbc_future *future, const char *stream, rbc_error *err) {
    if (future->first > future->last) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': future from %d to %d; the first must not be behind the last",
                         stream, future->first, future->last);
    }
    if (future->share != RBC_IMAGE_SHARE_WINDOW && future->share != RBC_IMAGE_SHARE_SAMPLE) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': future shared as %d; wanted window or sample", stream,
                         future->share);
    }
    return RBC_OK;
}

bool rbc__future_draw(const rbc_future *future, uint64_t key, int64_t tick, int64_t num_ticks,
                      int64_t *out) {
    const int64_t first = future->first > -tick ? future->first : -tick;
    const int64_t end = num_ticks - tick; /* ticks ahead of the sample that the episode has */
    const int64_t last = future->last < end - 1 ? future->last : end - 1;
    if (first > last) {
        *out = future->first > last ? num_ticks - 1 : 0;
        return false;
    }
    const uint64_t drawn =
        rbc_image_key(key, future->first, future->last, SALT, RBC_IMAGE_SHARE_SAMPLE, NULL, 0);
    const uint64_t count = (uint64_t)(last - first) + 1;
    *out = tick + first + (int64_t)(((unsigned __int128)drawn * count) >> 64);
    return true;
}
