/* Fuzzes summaries, steps and stamps of a file's episodes as a catalog holds them: what is read, is
 * what is written of it and read again. */
#include "fuzz.h"

#include "catalog/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *at = data;
    int64_t previous_ns = 0;
    rbc__summary_entry entry;
    while (rbc__summary_get(&at, data + size, previous_ns, &entry)) {
        uint8_t written[RBC__SUMMARY_MAX_BYTES];
        const uint8_t *again = written;
        rbc__summary_entry found;
        fuzz_require(entry.num_steps >= 0 && at <= data + size);
        const size_t bytes = rbc__summary_put(written, &entry, previous_ns);
        fuzz_require(bytes <= sizeof written &&
                     rbc__summary_get(&again, written + bytes, previous_ns, &found) &&
                     again == written + bytes && found.num_steps == entry.num_steps &&
                     found.start_ns == entry.start_ns && found.end_ns == entry.end_ns);
        previous_ns = entry.start_ns;
    }
    fuzz_require(at <= data + size);
    return 0;
}
