#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <spng.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <turbojpeg.h>

#include "core/error.h"
#include "fake_dataset.h"

static atomic_llong num_calls; /* of stores */

/* malloc'ed. */
static void *encode(int64_t episode, int32_t stream, int64_t sample, size_t *bytes) {
    uint8_t pixels[FAKE_IMAGE_BYTES];
    fake_pixels(episode, stream, sample, pixels);
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {.width = FAKE_IMAGE_WIDTH,
                               .height = FAKE_IMAGE_HEIGHT,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    spng_set_ihdr(png, &header);
    spng_encode_image(png, pixels, FAKE_IMAGE_BYTES, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    int failure = 0;
    void *encoded = spng_get_png_buffer(png, bytes, &failure);
    spng_ctx_free(png);
    return encoded;
}

/* Each sixth ends too soon where they are to be damaged. */
static void *encode_jpeg(const fake_params *params, int64_t episode, int32_t stream, int64_t sample,
                         size_t *bytes) {
    uint8_t pixels[FAKE_IMAGE_BYTES];
    unsigned char *buffer = NULL;
    unsigned long size = 0;
    fake_pixels(episode, stream, sample, pixels);
    tjhandle jpeg = tjInitCompress();
    tjCompress2(jpeg, pixels, FAKE_IMAGE_WIDTH, 0, FAKE_IMAGE_HEIGHT, TJPF_RGB, &buffer, &size,
                TJSAMP_420, 90, 0);
    tjDestroy(jpeg);
    *bytes = params->damages_images && sample % 6 == 1 ? size - 12 : size;
    void *encoded = malloc(size);
    memcpy(encoded, buffer, size);
    tjFree(buffer);
    return encoded;
}

static int64_t count_of(const rbc_dataset *dataset, int64_t episode, int32_t stream) {
    int64_t points = 0;
    if (stream != FAKE_CLOUD) {
        return dataset->streams[stream].is_ragged ? fake_num_stamps(episode)
                                                  : fake_num_steps(episode);
    }
    for (int64_t i = 0; i < fake_num_steps(episode); ++i) {
        points += fake_num_points(episode, i);
    }
    return points;
}

static void put_numbers(const rbc_dataset *dataset, int64_t episode, int32_t stream,
                        rbc__layout_writer *writer, fake_file *out) {
    const int64_t count = count_of(dataset, episode, stream);
    void *values = fake_values(episode, stream, count);
    const rbc__run run = {.id = (uint32_t)stream,
                          .dtype = (uint8_t)fake_dtype(stream),
                          .count = (uint64_t)count,
                          .offset = out->data.size,
                          .sample_bytes = (uint64_t)fake_sample_bytes(stream)};
    if (stream == FAKE_IMU_TIME && episode == dataset->params.unsorted_episode) {
        ((int64_t *)values)[5] = ((int64_t *)values)[0] - 1;
    }
    if (count > 0) {
        rbc__layout_add_run(writer, &run);
        rbc__bytes_append(&out->data, values, (size_t)(count * fake_sample_bytes(stream)));
    }
    free(values);
}

/* `count` images from `begin` on are packed together. */
static void put_block(const rbc_dataset *dataset, int32_t stream, uint64_t count, size_t begin,
                      const rbc__bytes *ends, rbc__layout_writer *writer, const fake_file *out) {
    const rbc__packing packing = {1, {{RBC__PACKING_SHUFFLE, 1}}}; /* the same bytes */
    const rbc__block block = {.packing = rbc__layout_add_packing(writer, &packing),
                              .offset = begin,
                              .packed_bytes = out->data.size - begin,
                              .unpacked_bytes = out->data.size - begin};
    const rbc__run run = {.id = (uint32_t)stream,
                          .container = RBC__IN_BLOCK,
                          .form = RBC__FORM_ENDS,
                          .width = 4,
                          .encoding = dataset->stored[stream].encoding,
                          .dtype = dataset->stored[stream].dtype,
                          .number = rbc__layout_add_block(writer, &block),
                          .count = count,
                          .bytes = out->data.size - begin,
                          .table = ends->data};
    rbc__layout_add_run(writer, &run);
}

/* Images and notes: a table of where each lies. */
static void put_samples(const rbc_dataset *dataset, int64_t episode, int32_t stream,
                        rbc__layout_writer *writer, fake_file *out) {
    const bool is_packed = dataset->params.is_packed && stream == FAKE_IMAGE;
    const int64_t count = count_of(dataset, episode, stream);
    size_t begin = out->data.size;
    rbc__bytes ends = {0};
    for (int64_t i = 0; i < count; ++i) {
        char note[64] = "";
        size_t bytes = 0;
        void *encoded = NULL;
        if (stream == FAKE_NOTE) {
            fake_note(episode, i, note, sizeof note);
            bytes = strlen(note);
        } else if (!fake_image_is_empty(stream, i)) {
            encoded = dataset->params.is_jpeg && stream == FAKE_IMAGE
                          ? encode_jpeg(&dataset->params, episode, stream, i, &bytes)
                          : encode(episode, stream, i, &bytes);
        }
        rbc__bytes_append(&out->data, encoded != NULL ? encoded : note, bytes);
        rbc__bytes_fixed(&ends, out->data.size - begin, 4);
        free(encoded);
        if (is_packed && (i % FAKE_BLOCK_IMAGES == FAKE_BLOCK_IMAGES - 1 || i == count - 1)) {
            put_block(dataset, stream, ends.size / 4, begin, &ends, writer, out);
            begin = out->data.size;
            ends.size = 0;
        }
    }
    const rbc__run run = {.id = (uint32_t)stream,
                          .form = RBC__FORM_ENDS,
                          .width = 4,
                          .encoding = dataset->stored[stream].encoding,
                          .dtype = dataset->stored[stream].dtype,
                          .count = (uint64_t)count,
                          .offset = begin,
                          .bytes = out->data.size - begin,
                          .table = ends.data};
    if (count > 0 && !is_packed) {
        rbc__layout_add_run(writer, &run);
    }
    rbc__bytes_free(&ends);
}

static void put_points(int64_t episode, rbc__layout_writer *writer, fake_file *out) {
    const rbc__run run = {.id = FAKE_NUM_STREAMS + FAKE_CLOUD,
                          .dtype = RBC__I64,
                          .count = (uint64_t)fake_num_steps(episode),
                          .offset = out->data.size,
                          .sample_bytes = 8};
    for (int64_t i = 0; i < fake_num_steps(episode); ++i) {
        const int64_t points = fake_num_points(episode, i);
        rbc__bytes_append(&out->data, &points, sizeof points);
    }
    if (run.count > 0) {
        rbc__layout_add_run(writer, &run);
    }
}

const fake_file *fake_file_of(rbc_dataset *dataset, int64_t episode) {
    fake_file *out = &dataset->files[episode];
    pthread_mutex_lock(&dataset->lock);
    if (out->layout.size == 0) {
        rbc__layout_writer writer = {.streams = dataset->stored, .num_streams = FAKE_NUM_STREAMS};
        rbc__layout_begin(&writer, (uint64_t)fake_num_steps(episode), 0);
        for (int32_t i = 0; i < FAKE_NUM_STREAMS; ++i) {
            if (dataset->streams[i].kind == RBC_STREAM_NUMERIC) {
                put_numbers(dataset, episode, i, &writer, out);
            } else if (i != FAKE_CAMERA || dataset->params.has_stamps) {
                put_samples(dataset, episode, i, &writer, out);
            }
        }
        put_points(episode, &writer, out);
        rbc__layout_end(&writer, &out->layout, NULL);
        rbc__layout_writer_free(&writer);
    }
    pthread_mutex_unlock(&dataset->lock);
    return out;
}

static rbc_status read_one(rbc_dataset *dataset, rbc__read *read, rbc_error *err) {
    const fake_params *params = &dataset->params;
    const int64_t episode = rbc__blob_part(read->blob);
    const fake_file *from = fake_file_of(dataset, episode);
    const uint64_t state_bytes =
        (uint64_t)(fake_num_steps(episode) * fake_sample_bytes(FAKE_STATE));
    const uint64_t failing_at = (uint64_t)(params->failing_step * fake_sample_bytes(FAKE_STATE));
    if (params->failing_step >= 0 && episode % 3 == 0 && failing_at < state_bytes &&
        read->offset <= failing_at && failing_at < read->offset + read->bytes) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "fake file: byte 99: stream 'state' is damaged");
    }
    memcpy(read->dst, from->data.data + read->offset, (size_t)read->bytes);
    return RBC_OK;
}

/* Whether this call is one of those that fail. */
static bool is_short(const fake_params *params, int *code) {
    static const int codes[] = {EMFILE, ENFILE, ENOMEM, EIO, EINTR, ETIMEDOUT};
    if (params->short_every == 0) {
        return false;
    }
    const uint64_t bits = fake_hash(0, -2, atomic_fetch_add(&num_calls, 1), 0);
    *code = codes[(bits >> 32) % (sizeof codes / sizeof *codes)];
    return bits % (uint64_t)params->short_every == 0;
}

static bool is_cancelled(const atomic_bool *cancel) {
    return cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed);
}

/* Remote, all reads take their time together; else each its own. */
static void read_fake(rbc__store *store, rbc__read *reads, size_t count,
                      const atomic_bool *cancel) {
    rbc_dataset *dataset =
        (rbc_dataset *)(void *)((char *)store - offsetof(struct rbc_dataset, store));
    const fake_params *params = &dataset->params;
    const int64_t waits = params->is_remote ? 1 : (int64_t)count;
    for (int64_t i = 0; i < waits * params->read_us && !is_cancelled(cancel); i += 1000) {
        const int64_t left = waits * params->read_us - i;
        nanosleep(&(struct timespec){.tv_nsec = (long)(left < 1000 ? left : 1000) * 1000}, NULL);
    }
    const bool may_hang =
        params->until_hang == NULL || atomic_fetch_sub(params->until_hang, 1) == 1;
    while (may_hang && params->hangs != NULL &&
           atomic_load(params->hangs)) { /* whatever is cancelled */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    int code = 0;
    const bool fails = is_short(params, &code);
    for (size_t i = 0; i < count; ++i) {
        rbc_error problem;
        reads[i].status = is_cancelled(cancel) ? rbc__fail(&problem, RBC_ERROR_CANCELLED, "stopped")
                          : fails              ? rbc__fail_errno(&problem, code, "fake file")
                                               : read_one(dataset, &reads[i], &problem);
        if (reads[i].status != RBC_OK) {
            rbc__read_fail(&reads[i], &problem);
        }
    }
}

static const char *name_fake(rbc__store *store, int64_t blob, char *buffer, size_t bytes) {
    (void)store;
    (void)blob;
    snprintf(buffer, bytes, "fake file");
    return buffer;
}

static void destroy_fake(rbc__store *store) {
    (void)store;
}

const rbc__store_ops fake_store_ops = {read_fake, name_fake, destroy_fake};
