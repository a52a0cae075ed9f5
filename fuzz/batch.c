/* Fuzzes what an indexer says of episodes: whatever its numbers are, it is refused, or the layouts
 * that come of it are parsed and lie within what was declared. An input is numbers, a byte each:
 * small ones stand for themselves, the others for large and negative ones. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "formats/batch.h"

enum { NUM_STREAMS = 5, MAX_SOURCES = 8, MAX_INTS = 24, FILE_BYTES = 200 };

static char names[NUM_STREAMS][8] = {"image", "state", "time", "cloud", "text"};
static rbc__stream_schema streams[NUM_STREAMS] = {
    {.name = names[0],
     .kind = RBC_STREAM_IMAGE,
     .dtype = RBC__U8,
     .ndim = 3,
     .shape = {2, 3, 3},
     .times = 2,
     .stored = {0, RBC__ENCODING_IMAGE, RBC__U8}},
    {.name = names[1],
     .dtype = RBC__F32,
     .ndim = 1,
     .shape = {2},
     .times = -1,
     .stored = {8, RBC__ENCODING_PLAIN, RBC__F32}},
    {.name = names[2],
     .dtype = RBC__I64,
     .times = -1,
     .stored = {8, RBC__ENCODING_PLAIN, RBC__I64}},
    {.name = names[3],
     .dtype = RBC__U16,
     .times = -1,
     .is_ragged = true,
     .stored = {0, RBC__ENCODING_VARINT, RBC__U16}},
    {.name = names[4],
     .kind = RBC_STREAM_TEXT,
     .dtype = RBC__U8,
     .times = -1,
     .stored = {0, RBC__ENCODING_TEXT, RBC__U8}},
};
static const rbc__schema schema = {.streams = streams, .num_streams = NUM_STREAMS};

typedef struct input {
    const uint8_t *data;
    size_t left;
    int64_t numbers[1024]; /* what arrays point into */
    size_t used;
} input;

static unsigned byte_of(input *in) {
    if (in->left == 0) {
        return 0;
    }
    --in->left;
    return *in->data++;
}

static int64_t number_of(input *in) {
    static const int64_t rare[] = {-1,        -2,         INT64_MIN,       INT64_MAX, INT64_MAX - 1,
                                   INT32_MAX, UINT32_MAX, RBC__COLUMN_BLOB};
    const unsigned byte = byte_of(in);
    return byte < 240 ? (int64_t)byte : rare[byte & 7];
}

/* None, one for all, or so many. */
static rbc__ints ints_of(input *in, int64_t count) {
    const unsigned kind = byte_of(in) & 3;
    const int64_t wanted = kind == 1 ? 1 : kind == 2 ? count : (int64_t)(byte_of(in) & 7);
    if (kind == 0 || wanted < 0 || wanted > MAX_INTS || in->used + MAX_INTS > 1024) {
        return (rbc__ints){NULL, 0};
    }
    const rbc__ints ints = {&in->numbers[in->used], kind == 1 ? RBC__INTS_ALL : wanted};
    for (int64_t i = 0; i < wanted; ++i) {
        in->numbers[in->used++] = number_of(in);
    }
    in->used += wanted == 0;
    return ints;
}

static rbc_status take_episode(void *user, const rbc__episode_entry *entry, rbc_error *err) {
    rbc__layout *layout;
    rbc__layout_stream stored[NUM_STREAMS];
    (void)user;
    (void)err;
    for (int i = 0; i < NUM_STREAMS; ++i) {
        stored[i] = streams[i].stored;
    }
    fuzz_require(rbc__layout_parse(stored, NUM_STREAMS, entry->layout, entry->layout_bytes,
                                   entry->offset > 0 ? (uint64_t)entry->offset : 0, "", &layout,
                                   NULL) == RBC_OK);
    fuzz_require((int64_t)layout->num_steps == entry->num_steps && entry->num_spans == 1);
    for (uint32_t i = 0; i < layout->num_runs; ++i) {
        const rbc__run *run = &layout->runs[i];
        fuzz_require(run->container != RBC__IN_BLOB || run->number != 0 ||
                     run->offset + run->bytes <= FILE_BYTES);
    }
    fuzz_drain(entry->spans, sizeof *entry->spans);
    free(layout);
    return RBC_OK;
}

static rbc_status take_blobs(void *user, const rbc__blob_group *group, rbc_error *err) {
    (void)user;
    return rbc__blob_group_check(group, err);
}

/* Packets of a track lie in the file or in what a block of it holds. */
static void check_track(const uint8_t *data, size_t bytes) {
    rbc__track_object track;
    fuzz_require(rbc__track_object_decode(data, bytes, &track, NULL) == RBC_OK);
    for (int64_t i = 0; i < track.track.num_packets; ++i) {
        rbc__track_packet packet;
        rbc__block block = {.unpacked_bytes = FILE_BYTES};
        fuzz_require(rbc__track_packet_at(&track.track, i, &packet, NULL) == RBC_OK);
        if (packet.in_block) {
            fuzz_require(rbc__track_object_block(&track, packet.number, &block, NULL) == RBC_OK);
        }
        fuzz_require((!packet.in_block && packet.number != 0) ||
                     (uint64_t)(packet.offset + packet.bytes) <= block.unpacked_bytes);
    }
}

static rbc_status take_object(void *user, rbc__container kind, const uint8_t *data, size_t bytes,
                              rbc_error *err) {
    (void)user;
    (void)err;
    fuzz_drain(data, bytes);
    if (kind == RBC__IN_TRACK) {
        check_track(data, bytes);
    }
    return RBC_OK;
}

static rbc_status take_column(void *user, const void *data, size_t bytes, uint64_t *offset,
                              rbc_error *err) {
    uint64_t *size = user;
    (void)err;
    fuzz_drain(data, bytes);
    *offset = *size;
    *size += bytes;
    return RBC_OK;
}

static void add_objects(input *in, rbc__batch_writer *writer) {
    int64_t number;
    int64_t sizes[4] = {number_of(in), number_of(in), number_of(in), number_of(in)};
    const unsigned what = byte_of(in);
    const rbc__blob_group group = {"blob {}", number_of(in), what & 3, what & 4 ? sizes : NULL};
    (void)rbc__batch_add_blobs(writer, &group, &number, NULL);
    const rbc__packing packing = {1, {{byte_of(in) & 31, byte_of(in) & 7}}};
    (void)rbc__batch_add_packing(writer, &packing, &number, NULL);
    const int64_t count = what >> 3 & 7;
    const rbc__batch_blocks blocks = {
        count,    ints_of(in, count), ints_of(in, count), ints_of(in, count), ints_of(in, count),
        what >> 6};
    if (blocks.blob.length == count && blocks.offset.length == count &&
        blocks.packed_bytes.length == count && blocks.unpacked_bytes.length == count) {
        (void)rbc__batch_add_blocks(writer, &blocks, &number, NULL);
    }
    const rbc__array_chunk chunks[] = {
        {(uint32_t)number_of(in), byte_of(in) & 1, number_of(in), number_of(in)},
        {(uint32_t)number_of(in), byte_of(in) & 1, number_of(in), number_of(in)}};
    const rbc__array_description array = {
        .ndim = 2,
        .shape = {number_of(in), 2},
        .chunk_shape = {number_of(in), 2},
        .element_bytes = 4,
        .packing = byte_of(in) & 1,
        .chunks = chunks,
    };
    rbc__array_description counted = array;
    const rbc__bytes object = {0};
    if (rbc__array_num_chunks(&array, &counted.num_chunks, NULL) == RBC_OK &&
        counted.num_chunks >= 1 && counted.num_chunks <= 2) {
        (void)rbc__batch_add_array(writer, &counted, &object, &number, NULL);
    }
}

static void add_track(input *in, rbc__batch_writer *writer) {
    rbc__track_packet packets[8] = {0};
    int64_t number;
    const int64_t count = byte_of(in) & 7;
    for (int64_t i = 0; i < count; ++i) {
        const unsigned what = byte_of(in);
        packets[i] = (rbc__track_packet){.number = (uint32_t)number_of(in),
                                         .in_block = (what & 1) != 0,
                                         .is_key = (what & 2) != 0,
                                         .is_shown = (what & 4) != 0,
                                         .offset = number_of(in),
                                         .bytes = number_of(in),
                                         .pts = number_of(in)};
    }
    const rbc__track_description track = {
        .video = {.codec = "raw", .pixel_format = "", .width = (int32_t)number_of(in)},
        .time_base = {1, 90000},
        .packets = packets,
        .num_packets = count};
    (void)rbc__batch_add_track(writer, &track, &number, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t values[64] = {0};
    input in = {.data = data, .left = size};
    uint64_t column = 0;
    const rbc__index_sink sink = {.episode = take_episode,
                                  .blobs = take_blobs,
                                  .object = take_object,
                                  .column = take_column,
                                  .user = &column};
    rbc__batch_writer *writer;
    fuzz_require(rbc__batch_writer_create(&schema, FILE_BYTES, &sink, &writer, NULL) == RBC_OK);
    add_objects(&in, writer);
    const int64_t episodes = byte_of(&in) & 3;
    rbc__batch_source sources[MAX_SOURCES];
    rbc__batch batch = {.num_episodes = episodes,
                        .num_steps = ints_of(&in, episodes),
                        .record = ints_of(&in, episodes),
                        .offset = ints_of(&in, episodes),
                        .bytes = ints_of(&in, episodes),
                        .sources = sources};
    const rbc__batch_row_lengths rows = {3, ints_of(&in, (int64_t)(byte_of(&in) & 15))};
    const rbc__batch_stamps stamps = {2, ints_of(&in, episodes), ints_of(&in, episodes)};
    batch.row_lengths = &rows;
    batch.num_row_lengths = rows.samples.data != NULL;
    batch.stamps = &stamps;
    batch.num_stamps = stamps.first_ns.data != NULL;
    for (; batch.num_sources < MAX_SOURCES && in.left > 0; ++batch.num_sources) {
        rbc__batch_source *source = &sources[batch.num_sources];
        const unsigned what = byte_of(&in);
        const int64_t samples = byte_of(&in) & 15;
        *source = (rbc__batch_source){.stream = (int32_t)(what % 6),
                                      .kind = (rbc__batch_kind)(what / 6 % RBC__BATCH_NUM_KINDS),
                                      .number = what / 128,
                                      .packing = what / 64 % 3,
                                      .values = values,
                                      .num_values = samples};
        const unsigned how = source->kind == RBC__BATCH_PIECES ? byte_of(&in) : 0;
        source->has_encoding = (how & 0x80) != 0;
        source->encoding = how & 15;
        source->stored = how >> 4 & 7;
        const int64_t each = source->kind == RBC__BATCH_PIECES ? samples : episodes;
        source->count = ints_of(&in, episodes);
        source->offset = ints_of(&in, each);
        source->bytes = ints_of(&in, each);
        source->blob = ints_of(&in, each);
        source->block = ints_of(&in, each);
        source->stride = ints_of(&in, each);
        if (source->kind == RBC__BATCH_ARRAY || source->kind == RBC__BATCH_ROWS) {
            source->episode = ints_of(&in, episodes);
            if (source->episode.length == RBC__INTS_ALL) {
                source->episode = (rbc__ints){NULL, 0};
            }
        }
    }
    (void)rbc__batch_add_episodes(writer, &batch, NULL);
    add_track(&in, writer);
    (void)rbc__batch_add_episodes(writer, &batch, NULL);
    rbc__batch_writer_destroy(&writer);
    return 0;
}
