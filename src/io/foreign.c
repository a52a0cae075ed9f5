#define _GNU_SOURCE

#include "io/foreign.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define AGAIN "download the file again"

/* How files of other kinds begin. */
static const struct {
    const char *magic;
    size_t magic_bytes;
    const char *what;
} kinds[] = {
#define KIND(magic, what) {magic, sizeof(magic) - 1, what}
    KIND("/annex/objects/", "is a git-annex pointer, not the data: run 'git annex get' in the "
                            "clone"),
    KIND("\x1f\x8b", "is compressed with gzip: unpack it with 'gunzip'"),
    KIND("\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it with 'unzstd'"),
    KIND("\xfd"
         "7zXZ",
         "is compressed with xz: unpack it with 'unxz'"),
    KIND("BZh", "is compressed with bzip2: unpack it with 'bunzip2'"),
    KIND("PK\x03\x04", "is a zip archive: unpack it with 'unzip'"),
    KIND("\0\0\0\0\0\0\0\0\0\0\0\0", "begins with zeros, as an unfinished download does: " AGAIN),
#undef KIND
};

static const char lfs_version[] = "version https://git-lfs.github.com/spec/";

static void describe_lfs(const uint8_t *bytes, size_t num_bytes, char *out, size_t out_bytes) {
    char text[RBC__FOREIGN_PEEK_BYTES + 1];
    unsigned long long size = 0;
    (void)snprintf(text, sizeof text, "%.*s", (int)num_bytes, (const char *)bytes);
    const char *line = strstr(text, "\nsize ");
    if (line && sscanf(line, "\nsize %19llu", &size) == 1) {
        (void)snprintf(out, out_bytes,
                       "is a Git LFS pointer to %llu bytes, not the data: run 'git lfs pull' in "
                       "the clone",
                       size);
    } else {
        (void)snprintf(out, out_bytes,
                       "is a Git LFS pointer, not the data: run 'git lfs pull' in the clone");
    }
}

/* Where the text of a page begins: behind a byte order mark and white space. */
static size_t skip_blank(const uint8_t *bytes, size_t num_bytes) {
    size_t at = num_bytes >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < num_bytes && strchr(" \t\r\n", bytes[at]) && bytes[at] != '\0') {
        ++at;
    }
    return at;
}

static bool begins_with(const uint8_t *bytes, size_t num_bytes, const char *word) {
    return num_bytes >= strlen(word) && strncasecmp((const char *)bytes, word, strlen(word)) == 0;
}

static bool is_text(const uint8_t *bytes, size_t num_bytes) {
    for (size_t i = 0; i < num_bytes; ++i) {
        if ((bytes[i] < ' ' || bytes[i] > '~') && bytes[i] != '\n' && bytes[i] != '\r' &&
            bytes[i] != '\t') {
            return false;
        }
    }
    return num_bytes >= 4; /* fewer may be the beginning of a number */
}

bool rbc__foreign_describe(const uint8_t *bytes, size_t num_bytes, bool text_is_foreign, char *out,
                           size_t out_bytes) {
    if (num_bytes > RBC__FOREIGN_PEEK_BYTES) {
        num_bytes = RBC__FOREIGN_PEEK_BYTES;
    }
    if (num_bytes == 0) {
        (void)snprintf(out, out_bytes, "is empty: " AGAIN);
        return true;
    }
    if (begins_with(bytes, num_bytes, lfs_version)) {
        describe_lfs(bytes, num_bytes, out, out_bytes);
        return true;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i) {
        if (num_bytes >= kinds[i].magic_bytes &&
            memcmp(bytes, kinds[i].magic, kinds[i].magic_bytes) == 0) {
            (void)snprintf(out, out_bytes, "%s", kinds[i].what);
            return true;
        }
    }
    const size_t at = skip_blank(bytes, num_bytes);
    const bool is_page = begins_with(bytes + at, num_bytes - at, "<!doctype html") ||
                         begins_with(bytes + at, num_bytes - at, "<html");
    if (is_page || begins_with(bytes + at, num_bytes - at, "<?xml") ||
        begins_with(bytes + at, num_bytes - at, "<error>")) {
        (void)snprintf(out, out_bytes, "is an %s, most likely a server's error message: " AGAIN,
                       is_page ? "HTML page" : "XML document");
        return true;
    }
    if (text_is_foreign && is_text(bytes, num_bytes)) {
        size_t shown = 0;
        while (at + shown < num_bytes && shown < 60 && bytes[at + shown] >= ' ') {
            ++shown;
        }
        (void)snprintf(out, out_bytes, "is text that begins '%.*s': " AGAIN, (int)shown,
                       (const char *)bytes + at);
        return true;
    }
    return false;
}
