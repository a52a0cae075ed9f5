/* Varints, as protobuf writes integers, to int64 each. */
#include <string.h>

#include "io/bytes.h"
#include "packing/method.h"

rbc_status rbc__undo_varint(rbc__undoing *undoing, rbc_error *err) {
    uint64_t at = 0;
    size_t done = 0;
    while (at < undoing->in_bytes) {
        uint64_t value;
        const uint64_t start = at;
        if (!rbc__varint_read(undoing->in, undoing->in_bytes, &at, &value)) {
            return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "no varint at byte %llu",
                                     (unsigned long long)start);
        }
        if (undoing->out_capacity - done < sizeof value) {
            return RBC_END;
        }
        memcpy(undoing->out + done, &value, sizeof value);
        done += sizeof value;
    }
    undoing->out_bytes = done;
    return RBC_OK;
}
