/* Chunks of arrays whose pixels are the frames of one JPEG XL image. */
#include "codec/jxl.h"

#include "packing/method.h"

rbc_status rbc__undo_jxl(rbc__undoing *undoing, rbc_error *err) {
    rbc_error found;
    const rbc_status status = rbc__jxl_frames(undoing->in, undoing->in_bytes, undoing->out,
                                              undoing->out_capacity, &undoing->out_bytes, &found);
    return status == RBC_OK || status == RBC_END
               ? status
               : rbc__undoing_fail(undoing, err,
                                   status == RBC_ERROR_UNSUPPORTED ? RBC_ERROR_FORMAT : status,
                                   "%s", found.message);
}
