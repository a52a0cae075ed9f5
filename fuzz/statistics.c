/* Fuzzes statistics as they are kept in files: what is read, is what is written of it and read again.
 * The input is what stands behind the header. */
#include "fuzz.h"

#include <isa-l/crc64.h>
#include <string.h>

#include "statistics/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const rbc__statistics_key key = {1, 2};
    rbc__bytes file = {0};
    rbc__bytes again = {0};
    rbc_statistics *found;
    rbc_error err;
    rbc__bytes_append(&file, "RBCSTAT1", 8);
    rbc__bytes_fixed(&file, key.low, 8);
    rbc__bytes_fixed(&file, key.high, 8);
    rbc__bytes_fixed(&file, crc64_ecma_refl(0, data, size), 8);
    rbc__bytes_append(&file, data, size);
    if (rbc__bytes_check(&file, NULL) == RBC_OK &&
        rbc__statistics_decode(file.data, file.size, &key, "fuzz", &found, &err) == RBC_OK) {
        rbc_statistics_info info;
        rbc_statistics_get_info(found, &info);
        for (int64_t c = 0; c < info.num_channels; ++c) {
            rbc_statistics_channel channel;
            double value;
            fuzz_require(rbc_statistics_channel_get(found, c, &channel, &err) == RBC_OK);
            for (int eighth = 0; eighth <= 8; ++eighth) {
                fuzz_require(rbc_statistics_quantile(found, c, eighth / 8.0, &value, &err) ==
                             RBC_OK);
            }
        }
        rbc_statistics *read = NULL;
        rbc__statistics_encode(found, &key, &again);
        fuzz_require(rbc__bytes_check(&again, NULL) == RBC_OK &&
                     rbc__statistics_decode(again.data, again.size, &key, "again", &read, &err) ==
                         RBC_OK);
        rbc_statistics_destroy(&read);
        const rbc_statistics *parts[2] = {found, found};
        if (rbc_statistics_merge(parts, 2, &read, &err) == RBC_OK) {
            rbc_statistics_destroy(&read);
        }
        rbc_statistics_destroy(&found);
    }
    rbc__bytes_free(&file);
    rbc__bytes_free(&again);
    return 0;
}
