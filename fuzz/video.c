/* Fuzzes what stands around FFmpeg's decoders, and these: whatever the packets of a group are, the
 * pictures that are delivered have the size that was wanted, and a failure says why. Without FFmpeg
 * nothing is decoded.
 *
 * An input is u8 codec, u8 kind of pixels, u16 bytes of extradata, these; then packets: u16 bytes,
 * i8 pts, u8 whether it is wanted, these. */
#include "fuzz.h"

#include <string.h>

#include "codec/video.h"

enum { WIDTH = 64, HEIGHT = 48, MAX_PACKETS = 32 };

typedef struct input {
    const uint8_t *data;
    size_t left;
} input;

static size_t take(input *in, size_t bytes, const uint8_t **out) {
    const size_t taken = bytes < in->left ? bytes : in->left;
    *out = in->data;
    in->data += taken;
    in->left -= taken;
    return taken;
}

static unsigned take_u8(input *in) {
    const uint8_t *at;
    return take(in, 1, &at) == 1 ? *at : 0;
}

static size_t take_u16(input *in) {
    const unsigned low = take_u8(in);
    return low | take_u8(in) << 8;
}

/* A copy that ends where the bytes do, so that the sanitizers see the end. */
static const uint8_t *own(const uint8_t *data, size_t bytes, uint8_t **memory) {
    *memory = malloc(bytes + 1);
    fuzz_require(*memory != NULL);
    memcpy(*memory + 1, data, bytes);
    return *memory + 1;
}

static void decode(const rbc__video_codec *codec, const rbc__video_params *params,
                   const rbc__video_group *group) {
    rbc__video_decoder *decoder;
    rbc_error err;
    rbc_status status = codec->open(params, &decoder, &err);
    if (status != RBC_OK) {
        fuzz_require(strlen(err.message) > 0);
        return;
    }
    /* The first frames, the others, which it may go on to, and all anew. */
    const int64_t half = group->num_frames / 2;
    const int64_t calls[][2] = {{0, half}, {half, group->num_frames}, {0, group->num_frames}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls && status == RBC_OK; ++i) {
        rbc__video_group part = *group;
        part.frames += calls[i][0];
        part.num_frames = calls[i][1] - calls[i][0];
        fuzz_require(codec->progress(decoder, &part) <= part.num_packets);
        int64_t num_packets = 0;
        status = part.num_frames > 0 ? codec->decode(decoder, &part, &num_packets, &err) : RBC_OK;
        fuzz_require(num_packets >= 0 && num_packets <= part.num_packets);
        fuzz_require(codec->bytes(decoder) > 0 || params->codec[0] == 'r');
    }
    codec->close(decoder);
    fuzz_require(status == RBC_OK || strlen(err.message) > 0);
    for (int64_t i = 0; i < group->num_frames && status == RBC_OK; ++i) {
        fuzz_drain(group->frames[i].dst, (uint64_t)rbc__video_frame_bytes(&group->shape));
    }
}

static int compare_frames(const void *a, const void *b) {
    const rbc__video_frame *left = a;
    const rbc__video_frame *right = b;
    if (left->pts != right->pts) {
        return left->pts < right->pts ? -1 : 1;
    }
    return left->packet < right->packet ? -1 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const codecs[] = {"h264", "hevc", "av1", "mpeg4", "vp9", "raw"};
    static const struct {
        int64_t channels;
        int32_t bits;
    } kinds[] = {{3, 8}, {1, 8}, {1, 16}, {3, 16}};
    input in = {.data = data, .left = size};
    uint8_t *memory[MAX_PACKETS + 1] = {NULL};
    rbc__video_packet packets[MAX_PACKETS];
    rbc__video_frame frames[MAX_PACKETS];
    const unsigned which = take_u8(&in) % (sizeof codecs / sizeof *codecs);
    const unsigned kind = take_u8(&in);
    const uint8_t *extradata;
    const size_t extradata_bytes = take(&in, take_u16(&in), &extradata);
    const rbc__video_params params = {.codec = codecs[which],
                                      .pixel_format = "",
                                      .extradata = own(extradata, extradata_bytes, &memory[0]),
                                      .extradata_bytes = extradata_bytes,
                                      .width = WIDTH,
                                      .height = HEIGHT,
                                      .matrix = (uint8_t)(kind >> 4),
                                      .range = (uint8_t)((kind >> 2 & 3) % 3)};
    rbc__video_group group = {.packets = packets,
                              .frames = frames,
                              .first_packet = kind >> 7,
                              .shape = {.height = HEIGHT,
                                        .width = WIDTH,
                                        .channels = kinds[kind & 3].channels,
                                        .bits = kinds[kind & 3].bits}};
    while (in.left >= 5 && group.num_packets < MAX_PACKETS) {
        const uint8_t *bytes;
        const size_t length = take_u16(&in);
        const int64_t pts = (int64_t)take_u8(&in) - 128;
        const bool is_wanted = take_u8(&in) % 2 == 1;
        const size_t num_bytes = take(&in, length > 0 ? length : 1, &bytes);
        const int64_t number = group.num_packets++;
        packets[number] = (rbc__video_packet){
            .data = own(bytes, num_bytes, &memory[number + 1]), .bytes = num_bytes, .pts = pts};
        if (is_wanted) {
            uint8_t *dst = malloc((size_t)rbc__video_frame_bytes(&group.shape));
            fuzz_require(dst != NULL);
            frames[group.num_frames++] =
                (rbc__video_frame){.packet = number, .pts = pts, .dst = dst};
        }
    }
    const rbc__video_codec *codec;
    fuzz_require(rbc__video_codec_find(codecs[which], &codec, NULL) == RBC_OK);
    if (group.num_frames > 0) {
        qsort(frames, (size_t)group.num_frames, sizeof *frames, compare_frames);
        decode(codec, &params, &group);
    }
    for (int64_t i = 0; i < group.num_frames; ++i) {
        free(frames[i].dst);
    }
    for (int64_t i = 0; i <= group.num_packets; ++i) {
        free(memory[i]);
    }
    return 0;
}
