#include "robocache/version.h"

const char *rbc_version(void);

const char *rbc_version(void) {
    return RBC_VERSION_STRING;
}
