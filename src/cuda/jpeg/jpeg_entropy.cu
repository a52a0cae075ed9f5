/* Entropy decoding: strands are decoded from a guess until their ends agree, counted, and decoded
 * once more to where their blocks lie. */
#include "cuda/common/scan.cuh"
#include "cuda/jpeg/huffman.cuh"
#include "cuda/jpeg/zigzag.cuh"

/* What a block that works on strands of one scan keeps at hand. */
typedef struct scan_at_hand {
    __align__(16) jpeg_scan scan;
    __align__(16) jpeg_table tables[JPEG_SCAN_TABLES]; /* copied 16 bytes at a time */
} scan_at_hand;

INLINE void fetch_scan(const jpeg_launch *p, uint32_t number, scan_at_hand *out) {
    const uint32_t *scan = (const uint32_t *)&p->scans[number];
    for (uint32_t i = threadIdx.x; i < sizeof(jpeg_scan) / 4; i += blockDim.x) {
        ((uint32_t *)&out->scan)[i] = scan[i];
    }
    const uint4 *tables = (const uint4 *)&p->tables[p->scans[number].first_table];
    const uint32_t bundles = p->scans[number].num_tables * (uint32_t)(sizeof(jpeg_table) / 16);
    for (uint32_t i = threadIdx.x; i < bundles; i += blockDim.x) {
        ((uint4 *)out->tables)[i] = tables[i];
    }
    __syncthreads();
}

INLINE huffman_strand strand_of(const jpeg_launch *p, const jpeg_segment *segment,
                                const scan_at_hand *hand, uint32_t strand) {
    huffman_strand s;
    const uint32_t end = (strand - segment->first_strand + 1) * JPEG_STRAND_BITS;
    s.words = p->words + (uint64_t)segment->first_strand * JPEG_STRAND_WORDS;
    s.is_spread = false;
    s.scan = &hand->scan;
    s.tables = hand->tables;
    s.end = end < segment->num_bits ? end : segment->num_bits;
    return s;
}

/* The words of a bundle's strands, and some behind them; then, of the write pass, what sinks keep.
 */
extern __shared__ __align__(16) uint32_t bundle_words[];

/* Copies them, one word left out behind each strand: so threads that are equally far in their
 * strands read from different banks. */
INLINE void fetch_words(const jpeg_launch *p, uint32_t first, uint32_t strands) {
    const uint32_t *words = p->words + (uint64_t)first * JPEG_STRAND_WORDS;
    const uint32_t count = strands * JPEG_STRAND_WORDS + JPEG_READ_AHEAD;
    for (uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
        bundle_words[i + i / JPEG_STRAND_WORDS] = words[i];
    }
}

/* As strand_of(), of words fetched from strand `first` on. Bits are counted from where the segment
 * begins, which may be before that: the address is then outside, and what is read is not. */
INLINE huffman_strand fetched_strand(const jpeg_launch *p, const jpeg_segment *segment,
                                     const scan_at_hand *hand, uint32_t first, uint32_t strand) {
    huffman_strand s = strand_of(p, segment, hand, strand);
    s.words = bundle_words + (int32_t)(segment->first_strand - first) * (JPEG_STRAND_WORDS + 1);
    s.is_spread = true;
    return s;
}

INLINE jpeg_state start_of(const jpeg_segment *segment, uint32_t strand) {
    jpeg_state state;
    state.bit = (strand - segment->first_strand) * JPEG_STRAND_BITS;
    state.place = 0;
    return state;
}

INLINE bool is_same(jpeg_state a, jpeg_state b) {
    return a.bit == b.bit && a.place == b.place;
}

/* Deals out flows anew: the first threads get what those that `flows` brought, in their order;
 * returns whether this one got any. `all` becomes their number. */
INLINE bool deal(bool flows, uint32_t *flow, uint32_t *all) {
    enum { WARPS = JPEG_BUNDLE_STRANDS / 32 };
    __shared__ uint32_t in_warp[WARPS];
    __shared__ uint32_t dealt[JPEG_BUNDLE_STRANDS];
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t flowing = __ballot_sync(~0u, flows);
    if (lane == 0) {
        in_warp[warp] = (uint32_t)__popc(flowing);
    }
    __syncthreads();
    uint32_t at = (uint32_t)__popc(flowing & ((1u << lane) - 1));
    *all = 0;
#pragma unroll
    for (uint32_t i = 0; i < WARPS; ++i) {
        at += i < warp ? in_warp[i] : 0;
        *all += in_warp[i];
    }
    if (flows) {
        dealt[at] = *flow;
    }
    __syncthreads();
    *flow = dealt[threadIdx.x];
    return threadIdx.x < *all;
}

/* A block a bundle, a thread a strand. Each thread begins as if a block of the image began with its
 * strand, and goes on into the strands after it until one ends as it did when last decoded. The
 * thread of the first strand began right; what it ends in agreement with is right from there on. So
 * when all have stopped all ends are right, but where the bundle begins within a segment. Flows are
 * dealt out anew each round, so that those left fill few warps. */
extern "C" __global__ void __launch_bounds__(JPEG_BUNDLE_STRANDS)
    rbc__jpeg_strand_cuda(const jpeg_launch p) {
    __shared__ scan_at_hand hand;
    __shared__ jpeg_state states[JPEG_BUNDLE_STRANDS];
    __shared__ uint32_t counts[JPEG_BUNDLE_STRANDS];
    launch_await();
    const jpeg_bundle bundle = p.bundles[blockIdx.x];
    const uint32_t first = bundle.first - bundle.lead, count = bundle.lead + bundle.count;
    fetch_words(&p, first, count);
    fetch_scan(&p, bundle.scan, &hand);
    uint32_t flow = threadIdx.x; /* the strand that it comes to */
    uint32_t all = count;
    bool flows = flow < all;
    const uint32_t owner = p.owners[first];
    const bool is_of_one = owner == p.owners[first + count - 1];
    jpeg_segment segment = p.segments[owner];
    jpeg_state state;
    for (bool is_first = true; all != 0; is_first = false) {
        if (flows && !is_of_one) {
            segment = p.segments[p.owners[first + flow]];
        }
        if (flows) {
            state = is_first ? start_of(&segment, first + flow) : states[flow - 1];
        }
        __syncthreads(); /* another may change that state */
        if (flows) {
            const huffman_strand strand = fetched_strand(&p, &segment, &hand, first, first + flow);
            counts[flow] = huffman_decode(&strand, &state, 0);
            const bool is_new = is_first || !is_same(states[flow], state);
            states[flow] = state;
            ++flow;
            flows =
                is_new && flow < count && first + flow < segment.first_strand + segment.num_strands;
        }
        flows = deal(flows, &flow, &all);
    }
    if (threadIdx.x >= bundle.lead && threadIdx.x < count) {
        p.states[first + threadIdx.x] = states[threadIdx.x];
        p.counts[first + threadIdx.x] = counts[threadIdx.x];
    }
    if (threadIdx.x == 0 && bundle.lead != 0) {
        p.entered[blockIdx.x] = states[bundle.lead - 1];
    }
}

/* A block a segment of several bundles: a thread enters each bundle with the state at the end of
 * the one before and goes on until ends agree, until no bundle is entered otherwise than before. */
extern "C" __global__ void __launch_bounds__(JPEG_JOIN_THREADS)
    rbc__jpeg_join_cuda(const jpeg_launch p) {
    __shared__ scan_at_hand hand;
    launch_await();
    const jpeg_segment segment = p.segments[p.joined[blockIdx.x]];
    fetch_scan(&p, segment.scan, &hand);
    jpeg_state *entered = p.entered + segment.first_bundle;
    bool changed = true;
    while (__syncthreads_or(changed)) {
        changed = false;
        for (uint32_t from = 1; from < segment.num_bundles; from += JPEG_JOIN_THREADS) {
            const uint32_t bundle = from + threadIdx.x;
            const uint32_t first = segment.first_strand + bundle * JPEG_JOINED_STRANDS;
            bool enters = bundle < segment.num_bundles;
            jpeg_state state = start_of(&segment, segment.first_strand);
            if (enters) {
                state = p.states[first - 1];
                enters = !is_same(state, entered[bundle]);
            }
            __syncthreads();
            if (enters) {
                entered[bundle] = state;
                changed = true;
                const uint32_t last = segment.first_strand + segment.num_strands;
                for (uint32_t i = first; enters && i < last && i < first + JPEG_JOINED_STRANDS;
                     ++i) {
                    const huffman_strand strand = strand_of(&p, &segment, &hand, i);
                    p.counts[i] = huffman_decode(&strand, &state, 0);
                    enters = !is_same(p.states[i], state);
                    p.states[i] = state;
                }
            }
            __syncthreads();
        }
    }
}

/* A warp a segment: counts become those of the strands before. */
extern "C" __global__ void __launch_bounds__(JPEG_OFFSET_THREADS)
    rbc__jpeg_offset_cuda(const jpeg_launch p) {
    launch_await();
    const uint32_t number = blockIdx.x * (JPEG_OFFSET_THREADS / 32) + threadIdx.x / 32;
    if (number >= p.num_segments) {
        return;
    }
    const jpeg_segment segment = p.segments[number];
    const uint32_t lane = threadIdx.x % 32;
    uint32_t before = 0;
    uint32_t *all = p.counts + segment.first_strand;
    for (uint32_t from = 0; from < segment.num_strands; from += 32 * JPEG_OFFSET_STRANDS) {
        const uint32_t first = from + JPEG_OFFSET_STRANDS * lane;
        uint32_t counts[JPEG_OFFSET_STRANDS], own = 0, total;
#pragma unroll
        for (uint32_t i = 0; i < JPEG_OFFSET_STRANDS; ++i) {
            counts[i] = first + i < segment.num_strands ? all[first + i] : 0;
            own += counts[i];
        }
        uint32_t at = before + warp_sum_before(own, &total);
#pragma unroll
        for (uint32_t i = 0; i < JPEG_OFFSET_STRANDS; ++i) {
            if (first + i < segment.num_strands) {
                all[first + i] = at;
            }
            at += counts[i];
        }
        before += total;
    }
}

/* A block a bundle, a thread a strand: coefficients go to their blocks. */
extern "C" __global__ void __launch_bounds__(JPEG_BUNDLE_STRANDS)
    rbc__jpeg_write_cuda(const jpeg_launch p) {
    __shared__ scan_at_hand hand;
    __shared__ uint8_t places[JPEG_BLOCK];
    launch_await();
    const jpeg_bundle bundle = p.bundles[blockIdx.x];
    if (threadIdx.x < JPEG_BLOCK) {
        places[threadIdx.x] = zigzag[threadIdx.x];
    }
    fetch_words(&p, bundle.first, bundle.count);
    uint4 *kept = (uint4 *)(bundle_words + JPEG_BUNDLE_WORDS(bundle.count));
    for (uint32_t i = threadIdx.x; p.keeps_rows && i < 8 * bundle.count; i += JPEG_BUNDLE_STRANDS) {
        kept[i] = make_uint4(0, 0, 0, 0);
    }
    fetch_scan(&p, bundle.scan, &hand);
    if (threadIdx.x >= bundle.count) {
        return;
    }
    const uint32_t own = bundle.first + threadIdx.x;
    const jpeg_segment segment = p.segments[p.owners[own]];
    const uint32_t before = p.counts[own];
    if (before >= segment.num_blocks) {
        return;
    }
    const huffman_strand strand = fetched_strand(&p, &segment, &hand, bundle.first, own);
    huffman_sink sink;
    sink.block =
        p.coefficients + (hand.scan.first_block + segment.first_block + before) * JPEG_BLOCK;
    sink.blocks = segment.num_blocks - before;
    sink.flags = 0;
    sink.end = 0;
    sink.places = places;
    sink.kept = p.keeps_rows ? (int16_t *)(kept + threadIdx.x) : 0;
    sink.kept_stride = 8 * bundle.count;
    sink.rows = 0;
    jpeg_state state = own == segment.first_strand ? start_of(&segment, own) : p.states[own - 1];
    sink.keeps = p.keeps_rows && state.place % JPEG_BLOCK == 0;
    (void)huffman_decode(&strand, &state, &sink);
    jpeg_found *found = &p.found[hand.scan.image];
    if (sink.end != 0) {
        sink.flags |= huffman_end(sink.end, segment.num_bits);
        atomicAdd(&found->segments, 1);
    }
    if (sink.flags != 0) {
        atomicOr(&found->flags, sink.flags);
    }
}

/* A block a segment, a thread an MCU: DC becomes the sum of the differences up to it. */
extern "C" __global__ void __launch_bounds__(JPEG_DC_THREADS)
    rbc__jpeg_dc_cuda(const jpeg_launch p) {
    enum { WARPS = JPEG_DC_THREADS / 32 };
    __shared__ uint32_t warp_sums[JPEG_COMPONENTS][WARPS];
    __shared__ uint32_t all_sums[JPEG_COMPONENTS];
    launch_await();
    const jpeg_segment segment = p.segments[blockIdx.x];
    const jpeg_scan scan = p.scans[segment.scan];
    const uint32_t num_mcus = segment.num_blocks / scan.mcu_blocks;
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int16_t *first = p.coefficients + (scan.first_block + segment.first_block) * JPEG_BLOCK;
    uint32_t before[JPEG_COMPONENTS] = {0, 0, 0};
    const uint64_t stride = (uint64_t)scan.mcu_blocks * JPEG_BLOCK;
    mcu_dc next = {{0}};
    if (threadIdx.x < num_mcus) {
        next = dc_load(&scan, first + threadIdx.x * stride);
    }
    for (uint32_t from = 0; from < num_mcus; from += JPEG_DC_THREADS) {
        const bool in_range = from + threadIdx.x < num_mcus;
        int16_t *mcu = first + (from + threadIdx.x) * stride;
        mcu_dc dc = next;
        if (from + JPEG_DC_THREADS + threadIdx.x < num_mcus) {
            next = dc_load(&scan, mcu + JPEG_DC_THREADS * stride); /* while these are summed */
        }
        uint32_t own[JPEG_COMPONENTS] = {0, 0, 0}, sums[JPEG_COMPONENTS];
        mcu_dc alone = dc;
        dc_add_up(&scan, &alone, own);
#pragma unroll
        for (int i = 0; i < JPEG_COMPONENTS; ++i) {
            sums[i] = own[i];
            for (uint32_t step = 1; step < 32; step *= 2) {
                const uint32_t other = __shfl_up_sync(~0u, sums[i], step);
                sums[i] += lane >= step ? other : 0;
            }
            if (lane == 31) {
                warp_sums[i][warp] = sums[i];
            }
        }
        __syncthreads();
        if (warp < JPEG_COMPONENTS) {
            const uint32_t mine = lane < WARPS ? warp_sums[warp][lane] : 0;
            uint32_t sum = mine;
            for (uint32_t step = 1; step < 32; step *= 2) {
                const uint32_t other = __shfl_up_sync(~0u, sum, step);
                sum += lane >= step ? other : 0;
            }
            if (lane < WARPS) {
                warp_sums[warp][lane] = sum - mine;
            }
            if (lane == 31) {
                all_sums[warp] = sum;
            }
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < JPEG_COMPONENTS; ++i) {
            sums[i] += before[i] + warp_sums[i][warp] - own[i];
            before[i] += all_sums[i];
        }
        __syncthreads();
        dc_add_up(&scan, &dc, sums);
        if (in_range) {
            dc_store(&scan, &dc, mcu);
        }
    }
}
