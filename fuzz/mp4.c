/* Fuzzes the tables of MP4 files: packets lie within the file, frames are counted, and what is read
 * can be kept as a track. An input is a file. */
#include "fuzz.h"

#include <string.h>

#include "formats/mp4/mp4.h"
#include "io/bytes.h"

static void check_video(const rbc__mp4_video *video, uint64_t file_bytes) {
    int64_t frames = 0;
    rbc__bytes encoded = {0};
    fuzz_require(video->num_packets > 0 && video->packets[0].is_key);
    fuzz_require(video->params.width > 0 && video->params.height > 0);
    fuzz_require(video->time_base.numerator > 0 && video->time_base.denominator > 0);
    fuzz_require(strlen(video->params.codec) > 0 && strlen(video->params.pixel_format) < 16);
    fuzz_drain(video->params.extradata, video->params.extradata_bytes);
    for (int64_t i = 0; i < video->num_packets; ++i) {
        const rbc__track_packet *packet = &video->packets[i];
        fuzz_require(packet->offset >= 0 && packet->bytes > 0 &&
                     (uint64_t)packet->offset <= file_bytes &&
                     (uint64_t)packet->bytes <= file_bytes - (uint64_t)packet->offset);
        fuzz_require(packet->pts != INT64_MIN);
        frames += packet->is_shown;
    }
    fuzz_require(frames == video->num_frames);
    if (video->num_packets < 1000) {
        fuzz_require(rbc__track_encode(video->packets, video->num_packets, video->time_base,
                                       &encoded, NULL) == RBC_OK);
    }
    rbc__bytes_free(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__source *source;
    rbc__mp4_video video;
    rbc_error err;
    uint8_t *bytes = malloc(size + 1);
    fuzz_require(bytes != NULL);
    uint8_t *at = bytes + 1; /* ends where the file does */
    if (size > 0) {
        memcpy(at, data, size);
    }
    fuzz_require(rbc__source_from_memory(at, size, "input", &source, NULL) == RBC_OK);
    if (rbc__mp4_read(source, 0, &video, &err) == RBC_OK) {
        check_video(&video, size);
        rbc__mp4_free(&video);
    } else {
        fuzz_require(err.status == RBC_ERROR_FORMAT || err.status == RBC_ERROR_UNSUPPORTED);
        fuzz_require(strncmp(err.message, "input: byte ", 12) == 0);
    }
    rbc__source_close(&source);
    free(bytes);
    return 0;
}
