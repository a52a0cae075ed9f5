#define _POSIX_C_SOURCE 200809L

#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void fill_text(uint8_t *at, size_t num_bytes) {
    for (size_t i = 0; i < num_bytes; ++i) {
        at[i] = (uint8_t)(i % 13 * 17 + i / 600);
    }
}

void fill_noise(uint8_t *at, size_t num_bytes) {
    uint32_t state = 1;
    for (size_t i = 0; i < num_bytes; ++i) {
        state = state * UINT32_C(1103515245) + 12345;
        at[i] = (uint8_t)(state >> 16);
    }
}

static rbc__packing parse_steps(char *steps) {
    rbc__packing packing = {0};
    char *rest = NULL;
    for (char *step = strtok_r(steps, " ", &rest); step != NULL;
         step = strtok_r(NULL, " ", &rest)) {
        char *parameter = strchr(step, ':');
        if (parameter != NULL) {
            *parameter++ = '\0';
        }
        rbc_error err = {0};
        rbc__packing_kind kind;
        if (rbc__packing_find(step, &kind, &err) != RBC_OK) {
            fail_msg("%s", err.message);
        }
        packing.steps[packing.num_steps++] = (rbc__packing_step){
            kind, parameter != NULL ? (uint32_t)strtoul(parameter, NULL, 10) : 0};
    }
    return packing;
}

static bool read_one(FILE *file, vector *out) {
    char line[512];
    char data[16];
    int steps = 0;
    if (fgets(line, sizeof line, file) == NULL) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    assert_int_equal(sscanf(line, "%63s %15s %zu %zu %n", out->name, data, &out->unpacked_bytes,
                            &out->packed_bytes, &steps),
                     4);
    out->packing = parse_steps(line + steps);
    out->packed = malloc(out->packed_bytes);
    out->unpacked = malloc(out->unpacked_bytes);
    assert_int_equal(fread(out->packed, 1, out->packed_bytes, file), out->packed_bytes);
    assert_true(strcmp(data, "text") == 0 || strcmp(data, "noise") == 0);
    (data[0] == 't' ? fill_text : fill_noise)(out->unpacked, out->unpacked_bytes);
    return true;
}

vectors vectors_load(void) {
    FILE *file = fopen(RBC_SOURCE_DIR "/tests/packing/vectors.bin", "rb");
    assert_non_null(file);
    vectors loaded = {calloc(1000, sizeof(vector)), 0};
    assert_non_null(loaded.items);
    while (loaded.count < 1000 && read_one(file, &loaded.items[loaded.count])) {
        ++loaded.count;
    }
    assert_in_range(loaded.count, 30, 999);
    fclose(file);
    return loaded;
}

void vectors_free(vectors *loaded) {
    for (size_t i = 0; i < loaded->count; ++i) {
        free(loaded->items[i].packed);
        free(loaded->items[i].unpacked);
    }
    free(loaded->items);
}
