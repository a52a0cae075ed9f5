#include "store/objects.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

/* ---- in the cache -------------------------------------------------------------------------------
 */

/* A parsed object stands before the bytes that it points into. */
static rbc_status parse_array(void *user, const uint8_t *encoded, size_t bytes, uint8_t **out,
                              size_t *out_bytes, rbc_error *err) {
    (void)user;
    rbc__array_object *object = malloc(sizeof *object + bytes);
    if (object == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for an array");
    }
    memcpy(object + 1, encoded, bytes);
    const rbc_status status =
        rbc__array_object_decode((const uint8_t *)(object + 1), bytes, object, err);
    if (status != RBC_OK) {
        free(object);
        return status;
    }
    *out = (uint8_t *)object;
    *out_bytes = sizeof *object + bytes;
    return RBC_OK;
}

static rbc_status parse_track(void *user, const uint8_t *encoded, size_t bytes, uint8_t **out,
                              size_t *out_bytes, rbc_error *err) {
    (void)user;
    rbc__track_object *object = malloc(sizeof *object + bytes);
    if (object == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a track");
    }
    memcpy(object + 1, encoded, bytes);
    const rbc_status status =
        rbc__track_object_decode((const uint8_t *)(object + 1), bytes, object, err);
    if (status != RBC_OK) {
        free(object);
        return status;
    }
    *out = (uint8_t *)object;
    *out_bytes = sizeof *object + bytes;
    return RBC_OK;
}

static rbc_status parse_strings(void *user, const uint8_t *encoded, size_t bytes, uint8_t **out,
                                size_t *out_bytes, rbc_error *err) {
    (void)user;
    rbc__strings *object = malloc(sizeof *object + bytes);
    if (object == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the texts of a part");
    }
    memcpy(object + 1, encoded, bytes);
    const rbc_status status =
        rbc__strings_decode((const uint8_t *)(object + 1), bytes, object, err);
    if (status != RBC_OK) {
        free(object);
        return status;
    }
    *out = (uint8_t *)object;
    *out_bytes = sizeof *object + bytes;
    return RBC_OK;
}

static const char *name_of(rbc__container kind) {
    return kind == RBC__IN_ARRAY ? "array" : kind == RBC__IN_TRACK ? "track" : "list of texts";
}

static rbc_status load(const rbc__objects *objects, rbc__block_cache *cache, rbc__cached_block *pin,
                       uint32_t claim, int64_t part, rbc__container kind, uint32_t number,
                       rbc_error *err) {
    uint8_t *data = NULL;
    size_t bytes = 0;
    rbc_error problem;
    if (objects->load(objects->user, part, kind, number, &data, &bytes, &problem) != RBC_OK) {
        rbc__block_fail(cache, pin, claim, &problem);
        return rbc__pass_on(&problem, err);
    }
    rbc__block_hand_in(cache, pin, claim, data, bytes);
    return RBC_OK;
}

static rbc_status get(const rbc__objects *objects, rbc__block_cache *cache, int64_t part,
                      rbc__container kind, uint32_t number, const void **out,
                      rbc__cached_block **pin, rbc_error *err) {
    const rbc__block_key key = {part, (uint64_t)kind << 32 | number, 0, RBC__KEY_OBJECT,
                                objects->user};
    const uint8_t *data = NULL;
    size_t bytes;
    bool again = true;
    RBC__TRY(rbc__block_pin(cache, &key, pin, err));
    rbc_status status = RBC_OK;
    for (int i = 0; i < 2 && again && status == RBC_OK; ++i) {
        const uint32_t claim = rbc__block_claim(cache, *pin, NULL);
        if (claim != 0) {
            status = load(objects, cache, *pin, claim, part, kind, number, err);
        }
        if (status == RBC_OK) {
            status = rbc__block_get(cache, *pin,
                                    kind == RBC__IN_ARRAY   ? parse_array
                                    : kind == RBC__IN_TRACK ? parse_track
                                                            : parse_strings,
                                    NULL, NULL, NULL, &data, &bytes, &again, err);
        }
    }
    if (status == RBC_OK && again) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                           "%s %u of part %lld could not be read from the catalog", name_of(kind),
                           number, (long long)part);
    }
    if (status != RBC_OK) {
        rbc__block_unpin(cache, *pin);
        *pin = NULL;
    }
    *out = data;
    return status;
}

rbc_status rbc__objects_array(const rbc__objects *objects, rbc__block_cache *cache, int64_t part,
                              uint32_t number, const rbc__array_object **out,
                              rbc__cached_block **pin, rbc_error *err) {
    const void *object = NULL;
    RBC__TRY(get(objects, cache, part, RBC__IN_ARRAY, number, &object, pin, err));
    *out = object;
    return RBC_OK;
}

rbc_status rbc__objects_strings(const rbc__objects *objects, rbc__block_cache *cache, int64_t part,
                                const rbc__strings **out, rbc__cached_block **pin, rbc_error *err) {
    const void *object = NULL;
    RBC__TRY(get(objects, cache, part, RBC__IN_LAYOUT, 0, &object, pin, err));
    *out = object;
    return RBC_OK;
}

rbc_status rbc__objects_track(const rbc__objects *objects, rbc__block_cache *cache, int64_t part,
                              uint32_t number, const rbc__track_object **out,
                              rbc__cached_block **pin, rbc_error *err) {
    const void *object = NULL;
    RBC__TRY(get(objects, cache, part, RBC__IN_TRACK, number, &object, pin, err));
    *out = object;
    return RBC_OK;
}
