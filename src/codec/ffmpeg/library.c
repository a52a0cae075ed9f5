#define _GNU_SOURCE /* dladdr */

#include "codec/ffmpeg/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ffmpeg/installed.h"
#include "core/error.h"

#define TEXT_OF(value) #value
#define TEXT(value)    TEXT_OF(value)
#define AVCODEC        "libavcodec.so." TEXT(LIBAVCODEC_VERSION_MAJOR)
#define AVUTIL         "libavutil.so." TEXT(LIBAVUTIL_VERSION_MAJOR)
/* As tools/ffmpeg.sh builds them for a wheel: names that no other library of the process has. */
#define OWN_AVCODEC "libavcodec-robocache.so." TEXT(LIBAVCODEC_VERSION_MAJOR)
#define OWN_AVUTIL  "libavutil-robocache.so." TEXT(LIBAVUTIL_VERSION_MAJOR)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static rbc__ffmpeg library;
static rbc_error load_error;

/* Both libraries, where they were found. */
typedef struct libraries {
    void *avutil, *avcodec;
    bool is_own; /* built for RoboCache: nobody else uses them */
} libraries;

static void *open_library(const char *folder, const char *name) {
    char path[PATH_MAX];
    const char *const slash = folder[0] != '\0' ? "/" : "";
    const int length = snprintf(path, sizeof path, "%s%s%s", folder, slash, name);
    return length >= 0 && length < PATH_MAX ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

/* Opens both in a folder; a folder of "" is the system's. */
static bool open_in(const char *folder, bool is_own, libraries *out) {
    out->is_own = is_own;
    out->avutil = open_library(folder, is_own ? OWN_AVUTIL : AVUTIL);
    out->avcodec =
        out->avutil != NULL ? open_library(folder, is_own ? OWN_AVCODEC : AVCODEC) : NULL;
    return out->avcodec != NULL;
}

/* The folder that is asked for; else that beside this library, as in a wheel; else the system's. */
static bool open_libraries(libraries *out) {
    const char *asked = getenv("ROBOCACHE_FFMPEG");
    Dl_info info;
    char folder[PATH_MAX];
    if (asked != NULL && asked[0] != '\0') {
        return open_in(asked, true, out) || open_in(asked, false, out);
    }
    if (dladdr((const void *)&once, &info) != 0 && info.dli_fname != NULL) {
        const char *slash = strrchr(info.dli_fname, '/');
        const int length = slash != NULL ? (int)(slash - info.dli_fname) : 0;
        const int needed = snprintf(folder, sizeof folder, "%.*s/ffmpeg", length, info.dli_fname);
        if (slash != NULL && needed < PATH_MAX && open_in(folder, true, out)) {
            return true;
        }
    }
    return open_in("", false, out);
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
    libraries found;
    if (!open_libraries(&found)) {
        const char *why = dlerror();
        (void)rbc__fail(
            &load_error, RBC_ERROR_UNSUPPORTED,
            "decoding video needs FFmpeg's %s and %s, which Debian 12 has in the package "
            "libavcodec" TEXT(LIBAVCODEC_VERSION_MAJOR) ": %s",
            AVCODEC, AVUTIL, why != NULL ? why : "they cannot be loaded");
        return;
    }
    void *const avutil = found.avutil;
    void *const avcodec = found.avcodec;
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
    check_version(AVCODEC, library.avcodec_version(), LIBAVCODEC_VERSION_MAJOR);
    check_version(AVUTIL, library.avutil_version(), LIBAVUTIL_VERSION_MAJOR);
    if (found.is_own) { /* nobody else's messages */
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
    *out = NULL;
    if (load_error.status != RBC_OK) {
        if (err != NULL) {
            *err = load_error;
        }
        return load_error.status;
    }
    *out = &library;
    return RBC_OK;
}

rbc_status rbc__ffmpeg_fail(const rbc__ffmpeg *from, int code, rbc_error *err, const char *what) {
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (code == AVERROR(ENOMEM)) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for decoding video");
    }
    (void)from->av_strerror(code, text, sizeof text);
    return rbc__fail(err, RBC_ERROR_FORMAT, "%s: %s", what, text);
}

rbc_status rbc__ffmpeg_find(rbc__ffmpeg_installed *out, rbc_error *err) {
    const rbc__ffmpeg *found;
    RBC__TRY(rbc__ffmpeg_get(&found, err));
    const unsigned version = found->avcodec_version();
    *out = (rbc__ffmpeg_installed){
        .path = found->path,
        .licence = found->avcodec_license(),
        .version = {(int)(version >> 16), (int)(version >> 8 & 255), (int)(version & 255)}};
    return RBC_OK;
}
