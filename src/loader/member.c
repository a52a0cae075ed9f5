#define _POSIX_C_SOURCE 200809L

#include "loader/member.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/params.h"
#include "loader/kept_steps.h"
#include "loader/require.h"

/* Episodes at hand. */
#define CACHE_EPISODES 512

/* Blocks that are unpacked more often than so are worth telling. */
#define WORTH_A_NOTE 3.0

static bool has_stamps(const rbc__schema *schema) {
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        if (schema->streams[i].times >= 0) {
            return true;
        }
    }
    return false;
}

/* The clock's rate and that of steps without stamps. */
static rbc_status choose_rates(const rbc__member *member, double asked_hz, double *rate_hz,
                               double *control_hz, rbc_error *err) {
    *control_hz = rbc__dataset_control_rate(member->dataset);
    *rate_hz = asked_hz;
    if (*rate_hz == 0.0) {
        if (*control_hz <= 0.0) {
            rbc_dataset_info info;
            rbc_dataset_get_info(member->dataset, &info);
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "the control rate of dataset '%s' (%s) is unknown: set rate_hz",
                             info.name, info.path);
        }
        *rate_hz = *control_hz;
    }
    if (*control_hz <= 0.0 && !has_stamps(rbc__dataset_schema(member->dataset))) {
        *control_hz = *rate_hz;
    }
    return RBC_OK;
}

static rbc_status prepare_clock(rbc__member *member, const rbc_mixture_member *from,
                                int64_t snap_ns, rbc_error *err) {
    const rbc_selection *selection = member->selection;
    rbc__reference *reference = &member->reference;
    rbc__clock_params clock = {.snap_ns = snap_ns,
                               .num_episodes = rbc_selection_size(selection),
                               .steps = rbc__selection_steps(selection),
                               .steps_start_ns = rbc__selection_start_ns(selection),
                               .steps_end_ns = rbc__selection_end_ns(selection)};
    RBC__TRY(choose_rates(member, from->rate_hz, &clock.rate_hz, &clock.control_rate_hz, err));
    RBC__TRY(rbc__reference_init(reference, selection, from->clock, from->num_clock,
                                 clock.control_rate_hz > 0.0, err));
    clock.start_ns = reference->start_ns != NULL ? reference->start_ns : clock.steps_start_ns;
    clock.end_ns = reference->end_ns != NULL ? reference->end_ns : clock.steps_end_ns;
    clock.is_on_steps = reference->is_on_steps;
    clock.is_named = reference->is_named;
    RBC__TRY(rbc__clock_init(&member->clock, &clock, err));
    return rbc__keep_steps(&member->clock, selection, err);
}

static rbc_status no_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a dataset of a loader");
}

/* The windows of streams that the dataset has, and the names of the others. */
static rbc_status copy_windows(rbc__member *member, const rbc_mixture_member *from,
                               rbc_error *err) {
    const size_t count = from->num_windows > 0 ? (size_t)from->num_windows : 0;
    member->num_windows = from->num_windows;
    if (count == 0 || from->windows == NULL) { /* rbc__batch_spec_create() judges that */
        return RBC_OK;
    }
    member->num_windows = 0;
    member->windows = calloc(count, sizeof *member->windows);
    member->absent = calloc(count, sizeof *member->absent);
    if (member->windows == NULL || member->absent == NULL) {
        return no_memory(err);
    }
    for (int32_t i = 0; i < from->num_windows; ++i) {
        rbc_window window;
        RBC__TRY(rbc__window_at(from->windows, i, &window, err));
        window.struct_size = sizeof window;
        if (member->name != NULL && window.stream == NULL && window.name != NULL) {
            member->absent[member->num_absent++] = window.name;
        } else {
            member->windows[member->num_windows++] = window;
        }
    }
    return RBC_OK;
}

static rbc__order order_of(const rbc__member *member, const rbc_loader_params *params) {
    return (rbc__order){.num_samples = rbc__clock_num_samples(&member->clock),
                        .shuffle = params->shuffle != RBC_SHUFFLE_NONE,
                        .segment_samples = 1,
                        .group_segments = 1,
                        .seed = params->seed};
}

rbc_status rbc__member_prepare(rbc__member *member, const rbc_mixture_member *from,
                               const rbc_loader_params *params, rbc__request_watch *watch,
                               rbc_error *err) {
    rbc_dataset_info info;
    rbc_jpeg_dct jpeg_dct;
    if (from->name != NULL) {
        member->name = strdup(from->name);
        if (member->name == NULL) {
            return no_memory(err);
        }
    }
    member->selection = rbc__selection_retain(from->selection);
    member->dataset = rbc_selection_dataset(from->selection);
    RBC__TRY(copy_windows(member, from, err));
    RBC__TRY(rbc__jpeg_dct_choose(params->jpeg_dct, rbc__dataset_jpeg_dct(member->dataset),
                                  &jpeg_dct, err));
    RBC__TRY(prepare_clock(member, from, params->snap_ns, err));
    rbc_dataset_get_info(member->dataset, &info);
    const rbc__batch_spec_params spec = {.dataset_name = info.name,
                                         .schema = rbc__dataset_schema(member->dataset),
                                         .windows = member->windows,
                                         .num_windows = member->num_windows,
                                         .batch_size = params->batch_size,
                                         .clock = &member->clock,
                                         .jpeg_dct = jpeg_dct};
    RBC__TRY(rbc__batch_spec_create(&spec, &member->spec, err));
    RBC__TRY(rbc__reference_check(&member->reference, &member->clock, member->spec, &member->notes,
                                  err));
    if (from->num_require > 0) {
        RBC__TRY(rbc__require(&member->clock, &spec, &member->reference, member->selection,
                              from->require, from->num_require, params->on_error, watch, err));
    }
    member->rows_params.order = order_of(member, params);
    return RBC_OK;
}

rbc_status rbc__member_open(rbc__member *member, const rbc__request_params *requests,
                            int64_t max_episode_bytes, rbc_error *err) {
    rbc__rows_params *params = &member->rows_params;
    RBC__TRY(rbc__episodes_create(member->spec, member->selection, CACHE_EPISODES,
                                  max_episode_bytes, &member->episodes, err));
    params->requests = rbc__dataset_requests(member->dataset);
    params->requests.cache = requests->cache;
    params->requests.videos = requests->videos;
    params->requests.watch = requests->watch;
    params->spec = member->spec;
    params->clock = &member->clock;
    params->episodes = member->episodes;
    params->name = member->name;
    return RBC_OK;
}

static rbc_status find_image_shapes(rbc__member *member, rbc__rows *rows, rbc__maker *maker,
                                    rbc_error *err) {
    rbc__batch_spec *spec = member->spec;
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        rbc__image_shape *image = &spec->windows[i].image;
        const rbc__used_stream *used = &spec->used[spec->windows[i].stream_at];
        if (!rbc__window_needs_shape(&spec->windows[i], used)) {
            continue;
        }
        rbc__image_shape found;
        RBC__TRY(rbc__rows_image_shape(rows, maker, spec->windows[i].stream_at, &found, err));
        image->is_first = image->height < 0 || image->width < 0;
        image->height = image->height >= 0 ? image->height : found.height;
        image->width = image->width >= 0 ? image->width : found.width;
        image->channels = image->channels >= 0 ? image->channels : found.channels;
    }
    return RBC_OK;
}

/* How the selection is packed, and what follows for its order. */
static rbc_status divide_blocks(rbc__member *member, rbc__rows *rows, rbc__maker *maker,
                                const rbc_loader_params *params, int64_t cache_bytes,
                                rbc_error *err) {
    const rbc__packed *packed = &member->packed;
    rbc__order *order = &member->rows_params.order;
    member->cache_bytes = cache_bytes;
    RBC__TRY(rbc__packed_measure(rows, maker, &member->packed, err));
    rbc__packed_divide(packed, RBC__GROUP_BYTES, &member->segment_samples, &member->group_segments);
    if (params->shuffle == RBC_SHUFFLE_BLOCKS) {
        order->segment_samples = member->segment_samples;
        order->group_segments = member->group_segments;
    }
    const int64_t num_samples = order->num_samples;
    const double global = rbc__packed_factor_global(packed, num_samples, cache_bytes);
    const double by_blocks = rbc__packed_factor_blocks(packed, num_samples, member->segment_samples,
                                                       member->group_segments, cache_bytes);
    member->rows_params.requests.keeps_pictures =
        params->shuffle != RBC_SHUFFLE_GLOBAL || global <= 1.0;
    if (params->shuffle == RBC_SHUFFLE_GLOBAL && global > WORTH_A_NOTE) {
        rbc__notes_add(&member->notes,
                       "shuffled globally, each packed block, which serves %.0f samples, is to be "
                       "unpacked %.1f times an epoch; shuffle by blocks: %.2f times",
                       packed->block_samples, global, by_blocks);
    } else if (params->shuffle == RBC_SHUFFLE_BLOCKS && by_blocks > WORTH_A_NOTE) {
        const double group_bytes = packed->bytes_per_sample * (double)member->segment_samples *
                                   (double)member->group_segments;
        rbc__notes_add(&member->notes,
                       "shuffled by blocks, each packed block, which serves %.0f samples, is to be "
                       "unpacked %.1f times an epoch: those that are shuffled together take %.0f "
                       "bytes, of which %lld can be held; memory_bytes of %.0f would do",
                       packed->block_samples, by_blocks, group_bytes, (long long)cache_bytes,
                       4.0 * group_bytes);
    }
    return RBC_OK;
}

rbc_status rbc__member_look(rbc__member *member, rbc__maker *maker, const rbc_loader_params *params,
                            int64_t cache_bytes, rbc_error *err) {
    rbc__rows *rows = NULL;
    RBC__TRY(rbc__rows_create(&member->rows_params, 1, NULL, &rows, err));
    rbc_status status = find_image_shapes(member, rows, maker, err);
    if (status == RBC_OK) {
        status = divide_blocks(member, rows, maker, params, cache_bytes, err);
    }
    rbc__rows_destroy(&rows);
    RBC__TRY(status);
    return rbc__batch_fields_add(member->spec, member->windows, member->name != NULL, err);
}

void rbc__member_free(rbc__member *member) {
    rbc__episodes_destroy(&member->episodes);
    rbc__batch_spec_destroy(&member->spec);
    rbc__clock_free(&member->clock);
    rbc__reference_free(&member->reference);
    rbc__notes_free(&member->notes);
    rbc_selection_destroy(&member->selection);
    free(member->windows);
    free(member->absent);
    free(member->name);
}
