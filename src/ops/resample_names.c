#include "ops/resample_names.h"

#include <stdio.h>

#define NAMES(index)                                                                               \
    {"sources[" index "].values", "sources[" index "].times", "sources[" index "].lengths",        \
     "sources[" index "].channels", "sources[" index "]."}

void rbc__resample_names_set(rbc__resample_names *n, bool is_fuse, int32_t index) {
    static const char *const one[5] = {"values", "source_times", "lengths", "channels", ""};
    static const char *const several[][5] = {NAMES("0"), NAMES("1"), NAMES("2"), NAMES("3"),
                                             NAMES("4"), NAMES("5"), NAMES("6"), NAMES("7")};
    static const char *const suffixes[5] = {"values", "times", "lengths", "channels", ""};
    const char *const *found = one;
    const char *formatted[5];
    if (is_fuse && index < (int32_t)(sizeof several / sizeof *several)) {
        found = several[index];
    } else if (is_fuse) {
        for (int i = 0; i < 5; ++i) {
            snprintf(n->text[i], sizeof n->text[i], "sources[%d].%s", (int)index, suffixes[i]);
            formatted[i] = n->text[i];
        }
        found = formatted;
    }
    n->values = found[0];
    n->times = found[1];
    n->lengths = found[2];
    n->channels = found[3];
    n->prefix = found[4];
}
