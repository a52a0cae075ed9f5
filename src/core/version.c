#include "robocache/robocache.h"

const char *rbc_version(void) {
    return RBC_VERSION_STRING;
}
