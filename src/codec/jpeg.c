/* JPEG by libjpeg-turbo: the TurboJPEG functions that its releases 2 and 3 share.
 *
 * Upsampling is smooth and the DCT accurate, as the library does by default, so that pixels are
 * those that everyone else sees; TensorFlow's image functions use the fast DCT. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "codec/decoder.h"
#include "codec/jpeg_batch.h"
#include "codec/jpeg_header.h"
#include "codec/jpeg_markers.h"
#include "core/error.h"

const char *rbc__turbojpeg_version(void) {
    return RBC_TURBOJPEG_VERSION;
}

static bool matches(const uint8_t *bytes, uint64_t num_bytes) {
    return num_bytes >= 3 && bytes[0] == 0xFF && bytes[1] == RBC__JPEG_SOI && bytes[2] == 0xFF;
}

static bool is_frame_header(uint8_t marker) {
    return marker >= RBC__JPEG_SOF0 && marker <= RBC__JPEG_SOF15 && marker != RBC__JPEG_DHT &&
           marker != RBC__JPEG_JPG && marker != RBC__JPEG_DAC;
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
        if (marker == 0 || marker == RBC__JPEG_TEM || marker == RBC__JPEG_SOS ||
            (marker >= RBC__JPEG_RST0 && marker <= RBC__JPEG_EOI)) {
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
    while (end - at >= 4 && at[0] == 0xFF && at[1] != 0 && at[1] != RBC__JPEG_TEM &&
           !(at[1] >= RBC__JPEG_RST0 && at[1] <= RBC__JPEG_EOI)) {
        const uint64_t length = read_u16(at + 2);
        if (length < 2 || length > (uint64_t)(end - at - 2)) {
            break;
        }
        if (at[1] == RBC__JPEG_SOS) {
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
        marker == RBC__JPEG_SOF0 || marker == RBC__JPEG_SOF1 || marker == RBC__JPEG_SOF9;
    const uint8_t *scan = is_sequential ? find_scan(frame, end) : NULL;
    if (scan != NULL && scan[0] == frame[5]) {
        return 1;
    }
    int64_t count = 0;
    for (const uint8_t *at = frame;
         (at = memchr(at, 0xFF, (size_t)(end - at))) != NULL && end - at >= 2; ++at) {
        count += at[1] == RBC__JPEG_SOS;
    }
    return count > 0 ? count : 1;
}

rbc_status rbc__jpeg_check(const uint8_t *bytes, uint64_t num_bytes, const char *name,
                           rbc__image_shape *out, rbc_error *err) {
    const uint8_t *frame;
    RBC__TRY(find_frame(bytes, num_bytes, name, &frame, err));
    RBC__TRY(read_frame(frame, name, out, err));
    return rbc__image_check_scans(out, count_scans(frame, bytes + num_bytes), name, err);
}

rbc_status rbc__jpeg_check_header(const rbc__jpeg_header *header, rbc__image_shape *out,
                                  rbc_error *err) {
    *out = (rbc__image_shape){
        .height = header->height,
        .width = header->width,
        .channels = header->num_components,
        .bits = 8,
    };
    RBC__TRY(rbc__image_check_limits(out, "JPEG", NULL, err));
    return rbc__image_check_scans(out, 1, NULL, err);
}

/* Where the image ends; NULL where that is not to be told from a scan cut short: then the first
 * marker of an end may be where the library wanted a restart. */
static const uint8_t *find_end(const uint8_t *bytes, uint64_t num_bytes, const uint8_t *frame) {
    rbc__jpeg_header header = {0};
    const bool is_read = rbc__jpeg_header_read(bytes, num_bytes, &header, NULL) == RBC_OK;
    const bool is_plain = is_read && header.is_plain;
    const bool has_restarts = header.has_restarts;
    const uint32_t end = header.end;
    rbc__jpeg_header_free(&header);
    if (is_plain || !is_read || has_restarts) {
        return is_plain ? bytes + end : NULL;
    }
    const uint8_t *at = frame; /* thumbnails, which have an end of their own, lie before it */
    while (at + 1 < bytes + num_bytes && !(at[0] == 0xFF && at[1] == RBC__JPEG_EOI)) {
        ++at;
    }
    return at + 1 < bytes + num_bytes ? at : NULL;
}

/* Some cameras pad the end of the scan with zeros; the library warns of them after all pixels are
 * decoded. Any other bytes before the end of the image mean that the scan is damaged. */
static bool is_zero_padding(const char *warning, const uint8_t *bytes, uint64_t num_bytes) {
    unsigned extraneous = 0;
    unsigned marker = 0;
    const uint8_t *frame;
    if (sscanf(warning, "Corrupt JPEG data: %u extraneous bytes before marker 0x%x", &extraneous,
               &marker) != 2 ||
        marker != RBC__JPEG_EOI || find_frame(bytes, num_bytes, NULL, &frame, NULL) != RBC_OK) {
        return false;
    }
    const uint8_t *end = find_end(bytes, num_bytes, frame);
    if (end == NULL || extraneous > (uint64_t)(end - frame)) {
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

/* A handle that knows no tables of another image, unless this one brings all it needs: the library
 * would decode with those it saw last. */
static rbc_status prepare(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                          const char *name, rbc_error *err) {
    if (decoder->jpeg != NULL && !rbc__jpeg_has_tables(bytes, num_bytes)) {
        tjDestroy(decoder->jpeg);
        decoder->jpeg = NULL;
    }
    if (decoder->jpeg == NULL) {
        decoder->jpeg = tjInitDecompress();
        if (decoder->jpeg == NULL) {
            return rbc__image_fail(err, RBC_ERROR_OUT_OF_MEMORY, name, "JPEG decoder: %s",
                                   tjGetErrorStr2(NULL));
        }
    }
    return RBC_OK;
}

static rbc_status decode(rbc__decoder *decoder, const uint8_t *bytes, uint64_t num_bytes,
                         const char *name, const rbc__image_shape *want, void *dst,
                         int64_t row_stride_bytes, rbc_error *err) {
    rbc__image_shape found;
    RBC__TRY(rbc__jpeg_check(bytes, num_bytes, name, &found, err));
    RBC__TRY(rbc__image_check_wanted(&found, want, row_stride_bytes, "JPEG", name, err));
    if (row_stride_bytes > INT_MAX) {
        return rbc__image_fail(err, RBC_ERROR_INVALID_ARGUMENT, name,
                               "row stride of %lld bytes, wanted at most %d for a JPEG",
                               (long long)row_stride_bytes, INT_MAX);
    }
    RBC__TRY(prepare(decoder, bytes, num_bytes, name, err));
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
