#include <errno.h>
#include <limits.h>
#include <lzf.h>

#include "packing/method.h"

static unsigned cut(size_t bytes) {
    return bytes > UINT_MAX ? UINT_MAX : (unsigned)bytes;
}

rbc_status rbc__undo_lzf(rbc__undoing *undoing, rbc_error *err) {
    if (undoing->in_bytes == 0 || undoing->in_bytes > UINT_MAX) {
        return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "has %zu bytes, wanted 1 to %u",
                                 undoing->in_bytes, UINT_MAX);
    }
    errno = 0;
    undoing->out_bytes = lzf_decompress(undoing->in, (unsigned)undoing->in_bytes, undoing->out,
                                        cut(undoing->out_capacity));
    if (undoing->out_bytes > 0) {
        return RBC_OK;
    }
    return errno == E2BIG
               ? RBC_END
               : rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                                   "%zu bytes are damaged or cut short", undoing->in_bytes);
}
