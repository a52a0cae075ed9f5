/* JPEG by libjpeg-turbo: the TurboJPEG functions that its releases 2 and 3 share.
 *
 * Upsampling is smooth and the DCT accurate, as the library does by default, so that pixels are
 * those that everyone else sees; TensorFlow's image functions use the fast DCT. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "codec/decoder.h"
#include "core/error.h"

#define MARKER_SOF0 0xC0
#define MARKER_SOF1 0xC1
#define MARKER_SOF9 0xC9 /* arithmetic coding */
#define MARKER_DHT  0xC4
#define MARKER_JPG  0xC8
#define MARKER_DAC  0xCC
#define MARKER_RST0 0xD0
#define MARKER_SOI  0xD8
#define MARKER_EOI  0xD9
#define MARKER_SOS  0xDA
#define MARKER_TEM  0x01

const char *rbc__turbojpeg_version(void) {
    return RBC_TURBOJPEG_VERSION;
}

static bool matches(const uint8_t *bytes, uint64_t num_bytes) {
    return num_bytes >= 3 && bytes[0] == 0xFF && bytes[1] == MARKER_SOI && bytes[2] == 0xFF;
}

static bool is_frame_header(uint8_t marker) {
    return marker >= MARKER_SOF0 && marker <= 0xCF && marker != MARKER_DHT &&
           marker != MARKER_JPG && marker != MARKER_DAC;
}

static uint64_t read_u16(const uint8_t *bytes) {
    return (uint64_t)bytes[0] << 8 | bytes[1];
}

/* Walks the marker segments up to the frame header, which alone says the size: cheaper than having
 * the library parse the tables before it twice. */
static rbc_status find_frame(const uint8_t *bytes, uint64_t num_bytes, const char *name,
                             const uint8_t **frame, rbc_error *err) {
    uint64_t at = 2;
    while (num_bytes - at >= 4) {
        if (bytes[at] != 0xFF) {
            return rbc__image_fail(err, RBC_ERROR_FORMAT, name,
                                   "damaged JPEG: no marker at its byte %llu",
                                   (unsigned long long)at);
        }
        const uint8_t marker = bytes[at + 1];
        if (marker == 0xFF) { /* fill byte */
            ++at;
            continue;
        }
        if (marker == 0 || marker == MARKER_TEM || marker == MARKER_SOS ||
            (marker >= MARKER_RST0 && marker <= MARKER_EOI)) {
            return rbc__image_fail(err, RBC_ERROR_FORMAT, name,
                                   "damaged JPEG: marker 0x%02x at its byte %llu, before any frame "
                                   "header",
                                   marker, (unsigned long long)at);
        }
        const uint64_t length = read_u16(bytes + at + 2);
        if (length < 2 || length > num_bytes - at - 2) {
            break;
        }
        if (is_frame_header(marker)) {
            if (length < 8 || length < 8 + 3 * (uint64_t)bytes[at + 9]) {
                break;
            }
            *frame = bytes + at + 4;
            return RBC_OK;
        }
        at += 2 + length;
    }
    return rbc__image_fail(err, RBC_ERROR_FORMAT, name,
                           "truncated JPEG: no frame header in its %llu bytes",
                           (unsigned long long)num_bytes);
}

static rbc_status read_frame(const uint8_t *frame, const char *name, rbc__image_shape *out,
                             rbc_error *err) {
    const int precision = frame[0];
    const int components = frame[5];
    if (precision != 8 || (components != 1 && components != 3)) {
        return rbc__image_fail(err, RBC_ERROR_UNSUPPORTED, name,
                               "JPEG of %d bits and %d components%s; 8 bits and 1 (grey) or 3 "
                               "(colour) are supported",
                               precision, components, components == 4 ? " (CMYK or YCCK)" : "");
    }
    *out = (rbc__image_shape){
        .height = (int64_t)read_u16(frame + 1),
        .width = (int64_t)read_u16(frame + 3),
        .channels = components,
        .bits = 8,
    };
    return rbc__image_check_limits(out, "JPEG", name, err);
}

static rbc_status probe(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                        const char *name, rbc__image_shape *out, rbc_error *err) {
    (void)decoder;
    const uint8_t *frame;
    RBC__TRY(find_frame(bytes, num_bytes, name, &frame, err));
    return read_frame(frame, name, out, err);
}

/* The header of the first scan; NULL where the segments before it are not in order. */
static const uint8_t *find_scan(const uint8_t *frame, const uint8_t *end) {
    const uint8_t *at = frame - 4;
    while (end - at >= 4 && at[0] == 0xFF && at[1] != 0 && at[1] != MARKER_TEM &&
           !(at[1] >= MARKER_RST0 && at[1] <= MARKER_EOI)) {
        const uint64_t length = read_u16(at + 2);
        if (length < 2 || length > (uint64_t)(end - at - 2)) {
            break;
        }
        if (at[1] == MARKER_SOS) {
            return length > 2 ? at + 4 : NULL;
        }
        at += 2 + length;
    }
    return NULL;
}

/* How often the decoder goes over the pixels. A sequential image whose first scan has all
 * components has no other; of the rest everything that could be taken for the header of a scan
 * counts. */
static int64_t count_scans(const uint8_t *frame, const uint8_t *end) {
    const uint8_t marker = frame[-3];
    const bool is_sequential =
        marker == MARKER_SOF0 || marker == MARKER_SOF1 || marker == MARKER_SOF9;
    const uint8_t *scan = is_sequential ? find_scan(frame, end) : NULL;
    if (scan != NULL && scan[0] == frame[5]) {
        return 1;
    }
    int64_t count = 0;
    for (const uint8_t *at = frame;
         (at = memchr(at, 0xFF, (size_t)(end - at))) != NULL && end - at >= 2; ++at) {
        count += at[1] == MARKER_SOS;
    }
    return count > 0 ? count : 1;
}

/* Some cameras pad the end of the scan with zeros; the library warns of them after all pixels are
 * decoded. Any other bytes before the end of the image mean that the scan is damaged. */
static bool is_zero_padding(const char *warning, const uint8_t *bytes, uint64_t num_bytes) {
    unsigned extraneous = 0;
    unsigned marker = 0;
    const uint8_t *frame;
    if (sscanf(warning, "Corrupt JPEG data: %u extraneous bytes before marker 0x%x", &extraneous,
               &marker) != 2 ||
        marker != MARKER_EOI || find_frame(bytes, num_bytes, NULL, &frame, NULL) != RBC_OK) {
        return false;
    }
    const uint8_t *end = frame; /* thumbnails, which have an end of their own, lie before it */
    while (end + 1 < bytes + num_bytes && !(end[0] == 0xFF && end[1] == MARKER_EOI)) {
        ++end;
    }
    if (end + 1 >= bytes + num_bytes || extraneous > (uint64_t)(end - frame)) {
        return false;
    }
    for (const uint8_t *padding = end - extraneous; padding < end; ++padding) {
        if (*padding != 0) {
            return false;
        }
    }
    return true;
}

/* The interface has no code for it, so that the words tell: the library's and TurboJPEG's own. */
static bool is_out_of_memory(const char *problem) {
    return strstr(problem, "Insufficient memory") != NULL ||
           strstr(problem, "Memory allocation failure") != NULL;
}

static rbc_status decode(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                         const char *name, const rbc__image_shape *want, void *dst,
                         int64_t row_stride_bytes, rbc_error *err) {
    rbc__image_shape found;
    const uint8_t *frame;
    RBC__TRY(find_frame(bytes, num_bytes, name, &frame, err));
    RBC__TRY(read_frame(frame, name, &found, err));
    RBC__TRY(rbc__image_check_wanted(&found, want, "JPEG", name, err));
    RBC__TRY(rbc__image_check_scans(&found, count_scans(frame, bytes + num_bytes), name, err));
    if (row_stride_bytes < want->width * want->channels || row_stride_bytes > INT_MAX) {
        return rbc__image_fail(
            err, RBC_ERROR_INVALID_ARGUMENT, name, "row stride of %lld bytes for rows of %lld",
            (long long)row_stride_bytes, (long long)(want->width * want->channels));
    }
    if (decoder->jpeg == NULL) {
        decoder->jpeg = tjInitDecompress();
        if (decoder->jpeg == NULL) {
            return rbc__image_fail(err, RBC_ERROR_OUT_OF_MEMORY, name, "JPEG decoder: %s",
                                   tjGetErrorStr2(NULL));
        }
    }
    const int pixel_format = want->channels == 1 ? TJPF_GRAY : TJPF_RGB;
    /* The library's own limit of scans, over what was counted above. */
    const int flags =
        TJFLAG_LIMITSCANS | (decoder->jpeg_dct == RBC_JPEG_DCT_FAST ? TJFLAG_FASTDCT : 0);
    if (tjDecompress2(decoder->jpeg, bytes, (unsigned long)num_bytes, dst, (int)want->width,
                      (int)row_stride_bytes, (int)want->height, pixel_format, flags) == 0) {
        return RBC_OK;
    }
    const char *problem = tjGetErrorStr2(decoder->jpeg);
    if (tjGetErrorCode(decoder->jpeg) == TJERR_WARNING &&
        is_zero_padding(problem, bytes, num_bytes)) {
        return RBC_OK;
    }
    if (is_out_of_memory(problem)) {
        return rbc__image_fail(err, RBC_ERROR_OUT_OF_MEMORY, name, "JPEG decoder: %s", problem);
    }
    return rbc__image_fail(err, RBC_ERROR_FORMAT, name, "damaged JPEG: %s", problem);
}

const rbc__codec rbc__jpeg_codec = {
    .name = "jpeg",
    .matches = matches,
    .probe = probe,
    .decode = decode,
};
