/* Fuzzes the parser of .npy headers: the values lie within the bytes. An input is a .npy file. */
#include "fuzz.h"

#include <string.h>

#include "layout/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__npy npy;
    rbc__npy_header header;
    rbc_error err;
    if (rbc__npy_read_header(data, size, &header, &err) == RBC_OK) {
        fuzz_require(header.bytes <= size && header.ndim <= RBC__NPY_MAX_DIMS);
        fuzz_require(memchr(header.descr, 0, sizeof header.descr) != NULL);
    } else {
        fuzz_require(rbc__npy_parse(data, size, &npy, NULL) == err.status);
    }
    if (rbc__npy_parse(data, size, &npy, &err) != RBC_OK) {
        fuzz_require(err.status == RBC_ERROR_FORMAT || err.status == RBC_ERROR_UNSUPPORTED);
        fuzz_require(strlen(err.message) > 0);
        return 0;
    }
    fuzz_require(npy.dtype < RBC__NUM_DTYPES && npy.ndim >= 0 && npy.ndim <= RBC__NPY_MAX_DIMS);
    fuzz_require(npy.offset <= size && npy.bytes <= size - npy.offset);
    uint64_t elements = 1;
    for (int32_t i = 0; i < npy.ndim; ++i) {
        fuzz_require(npy.shape[i] >= 0);
        elements *= (uint64_t)npy.shape[i]; /* was checked to be within int64 */
    }
    fuzz_require(npy.bytes == elements * (uint64_t)rbc__dtype_bytes(npy.dtype));
    fuzz_drain(data + npy.offset, npy.bytes);
    const bool is_c_order = !npy.is_fortran || npy.ndim <= 1;
    fuzz_require((rbc__npy_check(&npy, npy.dtype, npy.ndim, npy.shape, NULL) == RBC_OK) ==
                 is_c_order);
    const rbc__dtype other = npy.dtype == RBC__F32 ? RBC__F64 : RBC__F32;
    fuzz_require(rbc__npy_check(&npy, other, npy.ndim, npy.shape, &err) == RBC_ERROR_FORMAT);
    fuzz_require(npy.ndim == 0 || rbc__npy_check(&npy, npy.dtype, npy.ndim - 1, npy.shape, &err) ==
                                      RBC_ERROR_FORMAT);
    return 0;
}
