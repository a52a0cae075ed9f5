#include "store/store.h"

#include <stdlib.h>

#include "core/error.h"

void rbc__read_fail(rbc__read *read, const rbc_error *err) {
    read->status = err->status;
    read->error = malloc(sizeof *read->error);
    if (read->error != NULL) {
        *read->error = *err;
    }
}
