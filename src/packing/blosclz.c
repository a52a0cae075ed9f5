/* BloscLZ, the codec that Blosc has of its own. */
#include "packing/stream.h"

/* A first byte below 32 is a run of so many bytes and one that follow it as they are. Else its
 * upper 3 bits are a length and its lower 5 the upper bits of a distance, of bytes that are
 * repeated. */
enum {
    LITERALS = 32,
    LONG_LENGTH = 7,     /* more of it follows, bytes that are added up to one below 255 */
    LEAST_LENGTH = 2,    /* is added */
    FAR = 31 << 8 | 255, /* a distance of 16 bits follows, big-endian, which is added */
};

typedef struct state {
    const uint8_t *in, *in_end;
    uint8_t *out, *out_begin, *out_end;
} state;

/* False: there is none. */
static bool next(state *at, unsigned *out) {
    if (at->in == at->in_end) {
        return false;
    }
    *out = *at->in++;
    return true;
}

static bool read_length(state *at, size_t *length) {
    unsigned more = 255;
    while (more == 255) {
        if (!next(at, &more)) {
            return false;
        }
        *length += more;
    }
    return true;
}

static bool read_distance(state *at, unsigned upper, size_t *distance) {
    unsigned low;
    if (!next(at, &low)) {
        return false;
    }
    *distance = upper << 8 | low;
    if (*distance == FAR) {
        unsigned far_high;
        unsigned far_low;
        if (!next(at, &far_high) || !next(at, &far_low)) {
            return false;
        }
        *distance += far_high << 8 | far_low;
    }
    ++*distance;
    return true;
}

/* Copies of a few bytes more, where there is room for them, take one load and one store. */
static bool copy_literals(state *at, size_t count) {
    const size_t in_left = (size_t)(at->in_end - at->in);
    const size_t out_left = (size_t)(at->out_end - at->out);
    if (count > in_left || count > out_left) {
        return false;
    }
    if (in_left >= LITERALS && out_left >= LITERALS) {
        memcpy(at->out, at->in, LITERALS);
    } else {
        memcpy(at->out, at->in, count);
    }
    at->in += count;
    at->out += count;
    return true;
}

/* What is repeated may reach into what it gives. */
static bool repeat(state *at, size_t distance, size_t length) {
    enum { PIECE = 16 };
    const size_t out_left = (size_t)(at->out_end - at->out);
    if (distance > (size_t)(at->out - at->out_begin) || length > out_left) {
        return false;
    }
    const uint8_t *from = at->out - distance;
    if (distance == 1) {
        memset(at->out, *from, length);
    } else if (distance >= PIECE && out_left - length >= PIECE) {
        for (size_t done = 0; done < length; done += PIECE) {
            memcpy(at->out + done, from + done, PIECE);
        }
    } else {
        /* What is there already doubles with each copy. */
        for (size_t done = 0; done < length;) {
            const size_t left = length - done;
            const size_t part = distance + done < left ? distance + done : left;
            memcpy(at->out + done, from, part);
            done += part;
        }
    }
    at->out += length;
    return true;
}

static bool undo(state *at) {
    unsigned control;
    bool is_first = true; /* which are literals whatever it says */
    while (next(at, &control)) {
        control = is_first ? control % LITERALS : control;
        is_first = false;
        if (control < LITERALS) {
            if (!copy_literals(at, control + 1)) {
                return false;
            }
            continue;
        }
        size_t length = control >> 5;
        size_t distance = 0;
        if ((length == LONG_LENGTH && !read_length(at, &length)) ||
            !read_distance(at, control % LITERALS, &distance) ||
            !repeat(at, distance, length + LEAST_LENGTH)) {
            return false;
        }
    }
    return at->out == at->out_end;
}

rbc_status rbc__stream_blosclz(rbc__undoing *undoing, const rbc__stream *stream, rbc_error *err) {
    state at = {undoing->in + stream->begin, undoing->in + stream->end, stream->out, stream->out,
                stream->out + stream->out_bytes};
    return undo(&at) ? RBC_OK : rbc__stream_fail(undoing, stream, err);
}
