#include "loader/device_numbers.h"

#include "core/error.h"

/* Of what is copied at once, unless one item takes more. */
enum { MOST_BYTES = 8 << 20 };

static rbc_status make(const rbc__backend *device, int32_t device_id, rbc__pipe *pipe,
                       rbc_context *context, rbc__align_items *list, rbc_error *err) {
    rbc__pipe_memory memory;
    const int64_t bytes = device->align_bytes(list);
    RBC__TRY(device->pipe->reserve(pipe, 0, bytes, &memory, err));
    list->device = memory.device;
    return device->align(context, list, device_id, device->pipe->stream(pipe), err);
}

rbc_status rbc__device_align(const rbc__backend *device, int32_t device_id, rbc__pipe *pipe,
                             rbc_context *context, const rbc__align_item *items, int64_t count,
                             rbc_error *err) {
    for (int64_t first = 0; first < count;) {
        rbc__align_items list = {.items = items + first, .count = count - first, .pipe = pipe};
        while (list.count > 1 && device->align_bytes(&list) > MOST_BYTES) {
            list.count = (list.count + 1) / 2;
        }
        RBC__TRY(make(device, device_id, pipe, context, &list, err));
        first += list.count;
        RBC__TRY(first < count ? device->pipe->wait(pipe, err) : RBC_OK);
    }
    return RBC_OK;
}
