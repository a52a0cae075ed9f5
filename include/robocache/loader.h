/* Batches of samples, in order.
 *
 * Worker threads fetch, decode and align samples straight into batch slots; batches are delivered
 * in order. A sample is a tick of the clock in an episode. */
#ifndef ROBOCACHE_LOADER_H
#define ROBOCACHE_LOADER_H

#include <robocache/dataset.h>
#include <robocache/jpeg.h>
#include <robocache/window.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rbc_loader rbc_loader;
typedef struct rbc_batch rbc_batch;

/* The positions of an epoch's order are dealt out in batches: row i of batch k of rank r is at
 * position base + (k * world_size + r) * batch_size + i, where base is the position that the epoch
 * was begun at, so that the ranks share out the batches of a run with one rank, and any others can
 * go on where these stopped. What becomes of a last round that is not full: */
typedef enum rbc_remainder {
    /* Every sample once: some ranks have one batch more, and one of them may be smaller. */
    RBC_REMAINDER_UNEVEN = 0,
    /* Ranks have equally many batches of equally many rows: the samples of the last round are dealt
     * out evenly and fewer than world_size are left out; with drop_last, the round is. */
    RBC_REMAINDER_DROP = 1,
    /* The same, but filled up, to full batches with drop_last, with the first samples once more. */
    RBC_REMAINDER_REPEAT = 2,
} rbc_remainder;

/* What is packed, chunks of an array or groups of pictures, is unpacked as a whole: see
 * rbc_loader_memory for how often. */
typedef enum rbc_shuffle {
    RBC_SHUFFLE_NONE = 0,
    RBC_SHUFFLE_GLOBAL = 1, /* over all samples */
    RBC_SHUFFLE_BLOCKS = 2, /* groups of segments of a few blocks each are in random order, and the
                               samples of a group among each other, so that each block is unpacked
                               about once. What is not packed is shuffled globally */
} rbc_shuffle;

/* Where the JPEGs of batches are decoded, and images made of them: pixels are the same. What a device
 * does not decode (see rbc_jpeg_info.on_cpu, and other codecs) is decoded on the CPU and copied. */
typedef enum rbc_jpeg_on {
    RBC_JPEG_ON_AUTO =
        0, /* batches on a device: by the workers as long as that keeps the loader ahead,
                             by the device as far as it does not; on the CPU: there */
    RBC_JPEG_ON_CPU = 1,
    RBC_JPEG_ON_CUDA = 2, /* by the batches' device, which is one of CUDA */
} rbc_jpeg_on;

/* Where the memory that a loader has on a device comes from, such as a framework's allocator. The
 * functions are called from any thread, some while a loader is made and some until its last batch is
 * gone, with the device's context current; they may call whatever they like but the loader's own next,
 * seek and destroy. */
typedef struct rbc_device_allocator {
    size_t struct_size;
    /* At least `bytes`, of an address that is a multiple of 256, which the loader uses on streams of its
     * own once what is queued on `stream` by then is done; `stream` is the same at every call for a
     * device of the process. OUT_OF_MEMORY, DEVICE. */
    rbc_status (*allocate)(void *user, int32_t device_id, uint64_t bytes, void *stream, void **out,
                           rbc_error *err);
    /* Nothing uses the memory any more, on any stream. */
    void (*free)(void *user, int32_t device_id, void *memory);
    void *user;
} rbc_device_allocator;
#define RBC_DEVICE_ALLOCATOR_INIT {.struct_size = sizeof(rbc_device_allocator)}

/* Where the numbers of batches are resampled, scaled and put into their fields. Which samples are taken
 * and where there is a value is found on the CPU. Samples that are delivered as they are stored are
 * copied. Clouds, images and text are not meant. */
typedef enum rbc_align_on {
    RBC_ALIGN_ON_CPU = 0,
    RBC_ALIGN_ON_CUDA = 1, /* by the batches' device, which is one of CUDA */
} rbc_align_on;

typedef struct rbc_loader_params {
    size_t struct_size;
    const rbc_window *windows;
    int32_t num_windows;
    int32_t batch_size;
    double rate_hz;  /* the clock; 0: the dataset's control rate */
    int32_t shuffle; /* an rbc_shuffle */
    uint64_t seed;
    int32_t drop_last;   /* leave out a last batch that is not full */
    int32_t num_threads; /* workers; 0: all cores */
    int32_t num_slots;   /* batches prepared ahead; 0: num_threads + 2, fewer, but at least 3,
                            where those would take more than 512 MiB */
    rbc_on_error on_error;
    int32_t rank, world_size;
    rbc_remainder remainder;
    rbc_jpeg_dct jpeg_dct;
    int64_t snap_ns;            /* moments no further apart than this are one, see above */
    int32_t part, num_parts;    /* of the rank's batches only number part, part + num_parts, ... are
                                   delivered: where processes share out what a rank reads */
    const char *const *clock;   /* [num_clock] streams that the clock is taken from, see above */
    const char *const *require; /* [num_require] streams: only the ticks at which all windows of
                                   these are valid are samples, by their modes and limits */
    int32_t num_clock, num_require;
    int64_t memory_bytes; /* that batches prepared ahead, unpacked blocks, episodes at hand and what
                             is fetched ahead may take together; 0: slots, and 512 MiB for the rest.
                             Batches that are held count on top */
    /* Heard while making the loader reads, on the calling thread; not 0: it ends with CANCELLED
     * within 0.1 s, whatever the store does. NULL: nothing is heard. */
    rbc_interrupt_fn interrupt;
    void *interrupt_user;
    DLDevice device; /* of batches: the CPU, or a CUDA device, see rbc_batch_order() */
    rbc_jpeg_on jpeg;
    /* Not 0, of a device: the tensors of every batch have the same addresses there, so that a graph
     * captured once reads each. rbc_batch_order() copies a batch to them, as work of the first stream
     * that it is given and behind what all streams had that the batch before was ordered for. From then on
     * tensors of earlier batches are those of this one. */
    int32_t fixed_slots;
    const rbc_device_allocator *device_allocator; /* of batches on a device, and of what is made
                                                     there; copied. NULL: the driver's */
    rbc_align_on align;
} rbc_loader_params;

#define RBC_LOADER_PARAMS_INIT                                                                     \
    {.struct_size = sizeof(rbc_loader_params),                                                     \
     .windows = NULL,                                                                              \
     .num_windows = 0,                                                                             \
     .batch_size = 1,                                                                              \
     .rate_hz = 0.0,                                                                               \
     .shuffle = 0,                                                                                 \
     .seed = 0,                                                                                    \
     .drop_last = 0,                                                                               \
     .num_threads = 0,                                                                             \
     .num_slots = 0,                                                                               \
     .on_error = RBC_ON_ERROR_RAISE,                                                               \
     .rank = 0,                                                                                    \
     .world_size = 1,                                                                              \
     .remainder = RBC_REMAINDER_UNEVEN,                                                            \
     .jpeg_dct = RBC_JPEG_DCT_DEFAULT,                                                             \
     .snap_ns = 1000,                                                                              \
     .part = 0,                                                                                    \
     .num_parts = 1,                                                                               \
     .clock = NULL,                                                                                \
     .require = NULL,                                                                              \
     .num_clock = 0,                                                                               \
     .num_require = 0,                                                                             \
     .memory_bytes = 0,                                                                            \
     .interrupt = NULL,                                                                            \
     .interrupt_user = NULL,                                                                       \
     .device = {kDLCPU, 0},                                                                        \
     .jpeg = RBC_JPEG_ON_AUTO,                                                                     \
     .fixed_slots = 0,                                                                             \
     .device_allocator = NULL,                                                                     \
     .align = RBC_ALIGN_ON_CPU}

/* Several datasets in exact proportions. A cycle of the mixture holds `weight` samples of each member;
 * cycles follow each other, across epochs, each in a random order of its own where shuffled. Each
 * member gives its samples in its own order, all of them before any again, and counts its own
 * epochs. Which sample is where follows from the seed and the position alone. */
typedef struct rbc_mixture_member {
    size_t struct_size;
    const char *name; /* in the batches, and for messages; each another */
    const rbc_selection *selection;
    int64_t weight;
    /* What it makes of the fields of a batch, [num_windows], under the same names as the others, in
     * the same shapes and dtypes. One with a name and no stream (NULL): the dataset has nothing for
     * it, and its rows hold zeros there, no text, is_pad and valid false. */
    const rbc_window *windows;
    int32_t num_windows;
    double rate_hz; /* its clock, as those of a loader's params */
    const char *const *clock;
    const char *const *require;
    int32_t num_clock, num_require;
} rbc_mixture_member;

#define RBC_MIXTURE_MEMBER_INIT                                                                    \
    {.struct_size = sizeof(rbc_mixture_member),                                                    \
     .name = NULL,                                                                                 \
     .selection = NULL,                                                                            \
     .weight = 1,                                                                                  \
     .windows = NULL,                                                                              \
     .num_windows = 0,                                                                             \
     .rate_hz = 0.0,                                                                               \
     .clock = NULL,                                                                                \
     .require = NULL,                                                                              \
     .num_clock = 0,                                                                               \
     .num_require = 0}

/* How long an epoch of a mixture lasts. */
typedef enum rbc_epoch {
    RBC_EPOCH_FIRST = 0, /* as many whole cycles as the member that runs out first has samples for,
                              but one at least: no sample comes twice */
    RBC_EPOCH_LAST = 1,  /* until each member has given as many samples as it has */
    RBC_EPOCH_SAMPLES = 2, /* so many samples */
} rbc_epoch;

typedef struct rbc_mixture_params {
    size_t struct_size;
    const rbc_mixture_member *members; /* [num_members] */
    int32_t num_members;
    int32_t epoch; /* an rbc_epoch */
    int64_t epoch_samples;
} rbc_mixture_params;

#define RBC_MIXTURE_PARAMS_INIT                                                                    \
    {.struct_size = sizeof(rbc_mixture_params),                                                    \
     .members = NULL,                                                                              \
     .num_members = 0,                                                                             \
     .epoch = RBC_EPOCH_FIRST,                                                                     \
     .epoch_samples = 0}

/* The loader keeps the selection. INVALID_ARGUMENT naming the parameter, window or stream (also
 * where the control rate is unknown and rate_hz is 0), NOT_FOUND for a stream that is not there,
 * UNSUPPORTED for one that cannot be batched, FORMAT or IO where the first images of a stream of
 * undeclared shape cannot be read, OUT_OF_MEMORY. */
RBC_API rbc_status rbc_loader_create(const rbc_selection *selection,
                                     const rbc_loader_params *params, rbc_loader **out,
                                     rbc_error *err);
/* The same of a mixture; what members say themselves of windows, rate, clock and require is not looked
 * at in `params`. Batches have two fields more: "dataset" (text [B]) and "dataset_index" ([B] int64,
 * the member's number). INVALID_ARGUMENT besides where the fields of two members differ, or a member
 * has no sample. */
RBC_API rbc_status rbc_loader_create_mixture(const rbc_mixture_params *mixture,
                                             const rbc_loader_params *params, rbc_loader **out,
                                             rbc_error *err);
/* Stops the threads, and waits for them for 0.1 s at most: one that hangs in a read ends when that
 * returns. Batches still held stay valid. */
RBC_API void rbc_loader_destroy(rbc_loader **loader);

RBC_API int64_t rbc_loader_num_samples(const rbc_loader *loader); /* of all ranks, one epoch */

/* A dataset that a loader draws from: one, or the members of its mixture. */
typedef struct rbc_loader_member {
    size_t struct_size;
    int64_t num_samples;                     /* of an epoch of its own */
    int64_t segment_samples, group_segments; /* of RBC_SHUFFLE_BLOCKS; 1: a global shuffle */
} rbc_loader_member;
#define RBC_LOADER_MEMBER_INIT {.struct_size = sizeof(rbc_loader_member)}
/* NOT_FOUND past the last, INVALID_ARGUMENT on a bad struct_size. */
RBC_API rbc_status rbc_loader_get_member(const rbc_loader *loader, int32_t index,
                                         rbc_loader_member *out, rbc_error *err);
/* Of this rank, or of its part, in one epoch. */
RBC_API int64_t rbc_loader_num_batches(const rbc_loader *loader);
/* Batches an epoch of the rank, or part, that has most. A round is one batch of each that still has
 * one; an epoch is over, for every rank, after this many. */
RBC_API int64_t rbc_loader_num_rounds(const rbc_loader *loader);

/* Batches of this rank, or part, that are still to come in the epoch under way. */
RBC_API int64_t rbc_loader_batches_left(const rbc_loader *loader);

/* Begins epoch `epoch` at `position`, from 0 to rbc_loader_num_samples(): the samples from there on
 * are dealt out in batches, of which this rank's first is next, or RBC_END where it has none. Work
 * in flight is dropped, unless that epoch is the one after an epoch that was delivered to its end:
 * once a loader has gone on so, it begins the first batches of an epoch before the last of the one
 * before it are delivered. What sample k of an epoch is depends on the selection, the seed and the
 * epoch alone. */
RBC_API rbc_status rbc_loader_seek(rbc_loader *loader, int64_t epoch, int64_t position,
                                   rbc_error *err);

/* Where the loader stands: the epoch, and how many of its samples all ranks together have been
 * given before the round of what rbc_loader_next() returns next; once it has returned RBC_END, or no
 * round is left, the epoch's end, which is rbc_loader_num_samples(). Ranks that have made equally
 * many calls of rbc_loader_next() in an epoch stand at the same position, and rbc_loader_seek()
 * goes on there with any rank, world size, batch size and remainder. Parts do not keep step: a part
 * goes on only as the same part of as many, with the same batch size. In a child made by fork(),
 * where it stood then. */
RBC_API void rbc_loader_tell(const rbc_loader *loader, int64_t *epoch, int64_t *position);

/* The next batch in order, of epoch 0 where rbc_loader_seek() was never called. With on_error skip
 * rows that fail are left out of their batch, which may become empty. RBC_END after the epoch's
 * last; RBC_TIMEOUT after `timeout_ns` (negative: wait for ever). With on_error raise, the error of
 * a sample is returned when its batch is due, and the batch after it is next.
 * A shortage is no fault of a sample: without memory, without a free file descriptor, or where the
 * system fails to read (EMFILE, ENFILE, ENOMEM, EIO, EINTR and their like), nothing is left out,
 * the error is returned whatever on_error says, and the same batch is tried again by the next call.
 * The caller owns one reference to the batch. */
RBC_API rbc_status rbc_loader_next(rbc_loader *loader, int64_t timeout_ns, rbc_batch **out,
                                   rbc_error *err);

/* ---- A batch ---- */

typedef enum rbc_field_kind {
    RBC_FIELD_TENSOR = 0,
    RBC_FIELD_TEXT = 1, /* [B] or [B, W] strings, read by rbc_batch_text() */
} rbc_field_kind;

/* Fields: for each window `name`, `name_is_pad` and `name_valid` ([B, W] bool), for point clouds
 * `name_lengths` ([B, W] int64); then "episode_index" (in the selection), "episode_id" (in the
 * dataset), "step_index", "time_ns" ([B] int64) and "task" (text [B]). The tensor's memory belongs
 * to the batch. */
typedef struct rbc_field {
    const char *name;
    rbc_field_kind kind;
    DLTensor tensor; /* for text: shape only, data NULL */
} rbc_field;

/* What rbc_loader_tell() said before this batch. */
RBC_API int64_t rbc_batch_position(const rbc_batch *batch);
RBC_API int32_t rbc_batch_num_fields(const rbc_batch *batch);
RBC_API const rbc_field *rbc_batch_field(const rbc_batch *batch, int32_t index);
RBC_API const char *rbc_batch_text(const rbc_batch *batch, int32_t field, int64_t element,
                                   uint64_t *num_bytes);
/* References may be taken and dropped from any thread; with the last one the slot goes back. */
RBC_API void rbc_batch_retain(rbc_batch *batch);
RBC_API void rbc_batch_release(rbc_batch **batch);
/* Of a batch on a CUDA device, before work that uses its tensors is queued on `stream`: that work
 * comes after the batch is there, and its memory is written again only once all that was queued on the
 * stream is done that was when the last reference went. For each such stream; nobody waits on the
 * host. One thread at a time; does nothing on the CPU. UNSUPPORTED: the stream is being captured;
 * OUT_OF_MEMORY, DEVICE. */
RBC_API rbc_status rbc_batch_order(rbc_batch *batch, void *stream, rbc_error *err);

/* ---- What a loader does, and what it holds ---- */

typedef struct rbc_loader_stats {
    int64_t batches_delivered;
    int64_t samples_delivered;
    int64_t samples_skipped; /* on_error skip: a batch is smaller by the rows it lost */
    int64_t images_decoded;
    int64_t bytes_read;
    int64_t slots;        /* allocated now; more than num_slots + 2: batches are being held */
    int64_t slots_in_use; /* being filled, ready or held; the others wait to be filled again */
    int64_t slots_peak;   /* most that were allocated at a time */
    int64_t slot_bytes;   /* of one slot */
    int64_t wait_ns;      /* the consumer waited for a batch */
    int64_t fetch_ns, decode_ns, align_ns; /* summed over workers */
} rbc_loader_stats;
RBC_API void rbc_loader_get_stats(const rbc_loader *loader, rbc_loader_stats *out);

/* What rows go through on their way into a batch, and a batch on its way to the consumer. */
typedef enum rbc_stage {
    RBC_STAGE_QUEUE = 0,  /* rows wait for a thread: until the first takes them, and once fetched */
    RBC_STAGE_ORDER = 1,  /* which samples, of which episodes, and where they lie */
    RBC_STAGE_READ = 2,   /* reads are waited for, also those of other rows for a shared block */
    RBC_STAGE_UNPACK = 3, /* blocks are unpacked */
    RBC_STAGE_DECODE = 4, /* images and frames are decoded, and made what was asked for */
    RBC_STAGE_ALIGN = 5,  /* numbers are resampled, all is put in place */
    RBC_STAGE_DELIVER = 6, /* the batch is there and the consumer takes it */
} rbc_stage;
#define RBC_NUM_STAGES 7
#define RBC_MAX_STAGES 16 /* that later versions may have */

/* "queue", "order", ...; NULL where there is no such stage. */
RBC_API const char *rbc_stage_name(rbc_stage stage);

/* What a device does for the batches of a loader. */
typedef enum rbc_gpu_work {
    RBC_GPU_COPY = 0,   /* copies to it: streams that it decodes, what is made on the host */
    RBC_GPU_DECODE = 1, /* JPEGs are decoded */
    RBC_GPU_IMAGE = 2,  /* images are made of them */
    RBC_GPU_GRID = 3,   /* points and depth images become grids */
    RBC_GPU_ALIGN = 4,  /* numbers are resampled */
} rbc_gpu_work;
#define RBC_NUM_GPU_WORKS 5
#define RBC_MAX_GPU_WORKS 16 /* that later versions may have */

/* "copy", "decode", ...; NULL where there is no such work. */
RBC_API const char *rbc_gpu_work_name(rbc_gpu_work work);

/* Where the time goes. Arrays are by rbc_stage; what a stage has not is 0. */
typedef struct rbc_loader_stages {
    size_t struct_size;
    int64_t busy_ns[RBC_MAX_STAGES]; /* in each stage, summed over ranges of rows: threads */
    /* How long rbc_loader_next() waited, by the stage that the batch it waited for was in: that
     * of its range of rows that was ready next. They add up to rbc_loader_stats.wait_ns. */
    int64_t wait_ns[RBC_MAX_STAGES];
    int64_t bytes[RBC_MAX_STAGES]; /* read, unpacked, decoded and delivered: what came out */
    int64_t idle_ns;               /* workers had nothing to do, summed: the consumer is slower */
    /* ---- now ---- */
    int32_t waits_for; /* stage of the batch that rbc_loader_next() waits for; -1: it does not */
    int64_t batches_begun;  /* and not delivered */
    int64_t batches_ready;  /* of them, in order, those that need no more than to be taken */
    int64_t ranges_fetched; /* ranges of rows that wait for a worker */
    int32_t num_threads;    /* workers */
    int32_t num_idle;       /* of them, those that have nothing to do */
    int32_t num_fetchers;   /* threads that only fetch; 0 where reading takes no time to speak of */
    int32_t num_idle_fetchers;
    /* ---- decoding on a device, see rbc_jpeg_on ---- */
    int64_t images_on_device; /* of rbc_loader_stats.images_decoded */
    int64_t core_image_ns;    /* that a core is believed to take for one; 0: not measured yet */
    int64_t loop_batch_ns;    /* between a batch and the call for the next, likewise */
    /* By rbc_gpu_work: from when the device began it to when it was done, by its own clock, as far as that
     * has been waited for. Of each worker, which the device does side by side: their sum may be more than
     * the time that passed, and what others do there is part of it. Of the ranges of a worker one of
     * 17 is timed behind the first 64, and counted 17 times. */
    int64_t gpu_ns[RBC_MAX_GPU_WORKS];
} rbc_loader_stages;
#define RBC_LOADER_STAGES_INIT {.struct_size = sizeof(rbc_loader_stages)}
/* From any thread, also while another waits in rbc_loader_next(). INVALID_ARGUMENT on a bad
 * struct_size. All 0 in a child made by fork(). */
RBC_API rbc_status rbc_loader_get_stages(rbc_loader *loader, rbc_loader_stages *out,
                                         rbc_error *err);

/* What a loader holds in memory, and what it unpacks. */
typedef struct rbc_loader_memory {
    size_t struct_size;
    int64_t bound_bytes;   /* params.memory_bytes, or what stands for 0 */
    int64_t slot_bytes;    /* of all slots, those of batches that are held too */
    int64_t episode_bytes; /* layouts, stamps and small streams of episodes at hand */
    int64_t num_episodes;  /* at hand */
    int64_t block_bytes;   /* blocks that are unpacked, and tables of arrays */
    int64_t block_peak_bytes;
    int64_t fetched_bytes; /* fetched ahead; 0 where reading takes no time to speak of */
    int64_t fetched_peak_bytes;
    int64_t blocks_read;    /* and unpacked */
    int64_t blocks_found;   /* were wanted and there */
    int64_t unpack_ns;      /* summed over workers */
    int64_t samples_masked; /* on_error mask */
    /* How often each block is to be unpacked in an epoch, shuffled so; 0: nothing is packed. */
    double unpack_factor_global, unpack_factor_blocks;
    int64_t segment_samples, group_segments; /* of RBC_SHUFFLE_BLOCKS; 1: a global shuffle */
    int32_t is_split;      /* threads of their own fetch, since reading takes its time */
    int64_t decoder_bytes; /* decoders of video, about; part of what blocks may take */
    int64_t decoder_peak_bytes;
    int64_t num_decoders;     /* that have been opened */
    int64_t pictures_decoded; /* of video, those that were only needed for others too */
    int64_t device_bytes;     /* of slots and of workers that decode there, beside the bound */
    int64_t pinned_bytes; /* of the host: slot_bytes, where batches are on a device, and workers' */
} rbc_loader_memory;
#define RBC_LOADER_MEMORY_INIT {.struct_size = sizeof(rbc_loader_memory)}
/* INVALID_ARGUMENT on a bad struct_size. All 0 in a child made by fork(). */
RBC_API rbc_status rbc_loader_get_memory(const rbc_loader *loader, rbc_loader_memory *out,
                                         rbc_error *err);
/* What was found when the loader was made that is no error but hardly meant, copied to `message`;
 * `index` counts from 0. NOT_FOUND past the last. */
RBC_API rbc_status rbc_loader_warning(const rbc_loader *loader, int64_t index, char *message,
                                      uint64_t message_bytes, rbc_error *err);
/* Message `index` in [0, samples_skipped) of the samples left out, copied to `message`; the list
 * keeps the first 1,000. NOT_FOUND past it. */
RBC_API rbc_status rbc_loader_skipped(const rbc_loader *loader, int64_t index, char *message,
                                      uint64_t message_bytes, rbc_error *err);

#ifdef __cplusplus
}
#endif
#endif
