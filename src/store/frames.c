/* From the packets of a group of pictures to its frames. */
#include <stdlib.h>

#include "core/error.h"
#include "store/wants.h"

static rbc_status find_packets(const rbc__wanted_block *block, const uint8_t *packed,
                               rbc__video_packet *packets, rbc_error *err) {
    for (int64_t i = 0; i < block->group.num_packets; ++i) {
        rbc__track_packet packet;
        RBC__TRY(rbc__track_packet_at(&block->track->track, block->group.first_packet + i, &packet,
                                      err));
        packets[i] = (rbc__video_packet){.data = packed + ((uint64_t)packet.offset - block->offset),
                                         .bytes = (size_t)packet.bytes,
                                         .pts = packet.pts};
    }
    return RBC_OK;
}

static rbc_status find_frames(const rbc__wanted_block *block, uint8_t *dst,
                              rbc__video_frame *frames, rbc_error *err) {
    const int64_t frame_bytes = (int64_t)block->unpacked_bytes / block->group.num_frames;
    for (int64_t i = 0; i < block->group.num_frames; ++i) {
        rbc__track_frame frame;
        RBC__TRY(
            rbc__track_frame_at(&block->track->track, block->group.first_frame + i, &frame, err));
        frames[i] = (rbc__video_frame){.packet = frame.packet - block->group.first_packet,
                                       .pts = frame.pts,
                                       .dst = dst + i * frame_bytes};
    }
    return RBC_OK;
}

rbc_status rbc__wanted_frames(const rbc__request *request, const rbc__wanted_block *block,
                              const uint8_t *packed, uint8_t *dst, const atomic_bool *cancel,
                              rbc_error *err) {
    const size_t num_packets = (size_t)block->group.num_packets;
    const size_t num_frames = (size_t)block->group.num_frames;
    rbc__video_packet *packets = calloc(num_packets + 1, sizeof *packets);
    rbc__video_frame *frames = calloc(num_frames + 1, sizeof *frames);
    rbc_status status = packets != NULL && frames != NULL
                            ? find_packets(block, packed, packets, err)
                            : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                                        "no memory for a group of %zu packets", num_packets);
    if (status == RBC_OK) {
        status = find_frames(block, dst, frames, err);
    }
    if (status == RBC_OK) {
        const rbc__video_group group = {.packets = packets,
                                        .num_packets = block->group.num_packets,
                                        .frames = frames,
                                        .num_frames = block->group.num_frames,
                                        .first_packet = block->group.first_packet,
                                        .shape = block->shape,
                                        .cancel = cancel};
        status = rbc__video_pool_decode(request->params.videos, block->track->codec,
                                        &block->track->video, &group, err);
    }
    free(packets);
    free(frames);
    return status;
}
