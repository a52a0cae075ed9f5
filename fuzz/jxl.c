/* Fuzzes images that begin as JPEG XL does, and the same bytes as a chunk of frames. */
#include "image.h"

#include <string.h>

#include "codec/jxl.h"

enum { ROOM = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t frames[ROOM];
    rbc_error err;
    size_t bytes;
    if (size < 2 || !(data[0] == 0xFF || data[0] == 0) || size > 4096) {
        return 0;
    }
    fuzz_image(data, size);
    const rbc_status status = rbc__jxl_frames(data, size, frames, ROOM, &bytes, &err);
    fuzz_require(bytes <= ROOM);
    fuzz_drain(frames, bytes);
    if (status != RBC_OK && status != RBC_END) {
        fuzz_require(status == RBC_ERROR_FORMAT || status == RBC_ERROR_UNSUPPORTED);
        fuzz_require(strlen(err.message) > 0);
    }
    return 0;
}
