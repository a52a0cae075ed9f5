#define _GNU_SOURCE /* dladdr */

#include "codec/ffmpeg/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

#define TEXT_OF(value) #value
#define TEXT(value)    TEXT_OF(value)
#define AVCODEC_NAME   "libavcodec.so." TEXT(LIBAVCODEC_VERSION_MAJOR)
#define AVUTIL_NAME    "libavutil.so." TEXT(LIBAVUTIL_VERSION_MAJOR)
/* As tools/ffmpeg.sh builds them for a wheel: names that no other library of the process has. */
#define OWN_AVCODEC_NAME "libavcodec-robocache.so." TEXT(LIBAVCODEC_VERSION_MAJOR)
#define OWN_AVUTIL_NAME  "libavutil-robocache.so." TEXT(LIBAVUTIL_VERSION_MAJOR)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static rbc__ffmpeg library;
static rbc_error load_error;

/* Opens `name` in the folder "ffmpeg" beside this library; NULL where it is not there. */
static void *open_own(const char *name) {
    Dl_info info;
    char path[512];
    if (dladdr((const void *)&once, &info) == 0 || info.dli_fname == NULL) {
        return NULL;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const int length = slash != NULL ? (int)(slash - info.dli_fname) : 0;
    const int size = snprintf(path, sizeof path, "%.*s/ffmpeg/%s", length, info.dli_fname, name);
    return slash != NULL && size > 0 && (size_t)size < sizeof path
               ? dlopen(path, RTLD_NOW | RTLD_LOCAL)
               : NULL;
}

static void *find(void *handle, const char *name, const char *symbol) {
    void *address = dlsym(handle, symbol);
    if (address == NULL && load_error.status == RBC_OK) {
        (void)rbc__fail(&load_error, RBC_ERROR_UNSUPPORTED,
                        "decoding video needs FFmpeg: %s has no %s", name, symbol);
    }
    return address;
}

static void check_version(const char *name, unsigned found, unsigned wanted) {
    if (load_error.status == RBC_OK && found >> 16 != wanted) {
        (void)rbc__fail(&load_error, RBC_ERROR_UNSUPPORTED,
                        "decoding video needs FFmpeg: %s is of version %u, wanted %u", name,
                        found >> 16, wanted);
    }
}

static void load(void) {
    void *avutil = open_own(OWN_AVUTIL_NAME);
    void *avcodec = avutil != NULL ? open_own(OWN_AVCODEC_NAME) : NULL;
    const bool is_own = avcodec != NULL;
    if (!is_own) {
        avutil = dlopen(AVUTIL_NAME, RTLD_NOW | RTLD_LOCAL);
        avcodec = avutil != NULL ? dlopen(AVCODEC_NAME, RTLD_NOW | RTLD_LOCAL) : NULL;
    }
    if (avcodec == NULL) {
        const char *why = dlerror();
        (void)rbc__fail(&load_error, RBC_ERROR_UNSUPPORTED,
                        "decoding video needs FFmpeg's %s and %s, of Debian 12's package "
                        "libavcodec" TEXT(LIBAVCODEC_VERSION_MAJOR) ", say: %s",
                        AVCODEC_NAME, AVUTIL_NAME, why != NULL ? why : "they cannot be loaded");
        return;
    }
#define X(from, result, name, parameters)                                                          \
    {                                                                                              \
        void *address = find(from, #from, #name);                                                  \
        memcpy(&library.name, &address, sizeof address);                                           \
    }
#include "codec/ffmpeg/symbols.def"
#undef X
    if (load_error.status != RBC_OK) {
        return;
    }
    check_version(AVCODEC_NAME, library.avcodec_version(), LIBAVCODEC_VERSION_MAJOR);
    check_version(AVUTIL_NAME, library.avutil_version(), LIBAVUTIL_VERSION_MAJOR);
    if (is_own) { /* nobody else's messages */
        library.av_log_set_level(AV_LOG_QUIET);
    }
    Dl_info info;
    void *symbol = NULL;
    memcpy(&symbol, &library.avcodec_version, sizeof symbol);
    if (dladdr(symbol, &info) != 0 && info.dli_fname != NULL) {
        (void)snprintf(library.path, sizeof library.path, "%s", info.dli_fname);
    }
}

rbc_status rbc__ffmpeg_get(const rbc__ffmpeg **out, rbc_error *err) {
    (void)pthread_once(&once, load);
    *out = load_error.status == RBC_OK ? &library : NULL;
    return load_error.status == RBC_OK ? RBC_OK : rbc__pass_on(&load_error, err);
}

rbc_status rbc__ffmpeg_fail(const rbc__ffmpeg *from, int code, rbc_error *err, const char *what) {
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (code == AVERROR(ENOMEM)) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for decoding video");
    }
    (void)from->av_strerror(code, text, sizeof text);
    return rbc__fail(err, RBC_ERROR_FORMAT, "%s: %s", what, text);
}
