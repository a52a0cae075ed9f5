#define _GNU_SOURCE

#include "statistics/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/location.h"
#include "core/error.h"
#include "core/fork.h"
#include "io/write.h"

/* Counted up where what is counted, or how it is stored, changes. */
#define VERSION 1

/* No file is larger: it holds some bytes a value that stands for others. */
#define MAX_BYTES ((off_t)1 << 30)

/* ---- keys ---- */

static void mix(rbc__statistics_key *key, uint64_t value) {
    key->low = (key->low ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    key->low ^= key->low >> 29;
    key->high = (key->high + value) * UINT64_C(0xd6e8feb86659fd93);
    key->high ^= key->high >> 32;
}

static void mix_text(rbc__statistics_key *key, const char *text) {
    for (; *text != '\0'; ++text) {
        mix(key, (uint8_t)*text);
    }
    mix(key, UINT64_MAX);
}

static void mix_double(rbc__statistics_key *key, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    mix(key, bits);
}

rbc__statistics_key rbc__statistics_key_of(const rbc_selection *selection, int32_t stream,
                                           int64_t num_images) {
    const rbc_dataset *dataset = rbc_selection_dataset(selection);
    const rbc__catalog *catalog = rbc__dataset_catalog(dataset);
    const rbc__schema *schema = rbc__dataset_schema(dataset);
    const rbc__stream_schema *described = &schema->streams[stream];
    rbc__statistics_key key = {.low = UINT64_C(0x243f6a8885a308d3),
                               .high = UINT64_C(0x13198a2e03707344)};
    mix(&key, VERSION);
    for (int64_t i = 0; i < catalog->num_parts; ++i) {
        const rbc__catalog_part *part = &catalog->parts[i];
        mix(&key, (uint64_t)part->bytes);
        mix(&key, (uint64_t)part->identity.mtime_ns);
        mix(&key, (uint64_t)part->num_steps);
        mix(&key, (uint64_t)part->column_digest);
        mix(&key, (uint64_t)schema->parts[i].stamp);
        mix_text(&key, schema->parts[i].path);
    }
    mix(&key, rbc__selection_fingerprint(selection));
    mix_text(&key, described->name);
    mix(&key, (uint64_t)described->dtype);
    mix_double(&key, described->has_map ? described->map.scale : 1);
    mix_double(&key, described->has_map ? described->map.offset : 0);
    mix(&key, (uint64_t)num_images);
    mix(&key, num_images > 0 ? (uint64_t)rbc__dataset_jpeg_dct(dataset) : 0);
    return key;
}

/* ---- files ---- */

static bool folder_beside(const char *catalog_path, char **out) {
    char *folder = strdup(catalog_path);
    char *slash = folder != NULL ? strrchr(folder, '/') : NULL;
    if (slash != NULL) {
        *(slash > folder ? slash : slash + 1) = '\0';
    }
    const bool is_read_only = folder == NULL || rbc__location_is_read_only(folder);
    free(folder);
    *out = NULL;
    return !is_read_only && asprintf(out, "%s.statistics", catalog_path) >= 0;
}

static bool folder_in_cache(const char *catalog_path, char **out) {
    char *path;
    *out = NULL;
    if (rbc__location_in_cache(catalog_path, NULL, &path, NULL) != RBC_OK) {
        return false;
    }
    const bool made = asprintf(out, "%s.statistics", path) >= 0;
    free(path);
    return made;
}

static char *path_in(const char *folder, const rbc__statistics_key *key, const char *ending) {
    char *path;
    return asprintf(&path, "%s/%016" PRIx64 "%016" PRIx64 "%s", folder, key->high, key->low,
                    ending) >= 0
               ? path
               : NULL;
}

static uint8_t *load(const char *path, size_t *bytes) {
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat info;
    uint8_t *data = NULL;
    if (file < 0) {
        return NULL;
    }
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= MAX_BYTES) {
        data = malloc((size_t)info.st_size + 1);
        *bytes = 0;
        while (data != NULL && *bytes < (size_t)info.st_size) {
            const ssize_t got = read(file, data + *bytes, (size_t)info.st_size - *bytes);
            if (got <= 0) {
                break;
            }
            *bytes += (size_t)got;
        }
    }
    close(file);
    return data;
}

static rbc_statistics *find_in(char *folder, const rbc__statistics_key *key) {
    rbc_statistics *found = NULL;
    size_t bytes = 0;
    char *path = folder != NULL ? path_in(folder, key, "") : NULL;
    uint8_t *data = path != NULL ? load(path, &bytes) : NULL;
    if (data != NULL) {
        (void)rbc__statistics_decode(data, bytes, key, path, &found, NULL);
    }
    free(data);
    free(path);
    free(folder);
    return found;
}

rbc_statistics *rbc__statistics_find(const rbc_selection *selection,
                                     const rbc__statistics_key *key) {
    RBC__HOLD_FORKS();
    const char *catalog = rbc__dataset_catalog(rbc_selection_dataset(selection))->path;
    char *folder;
    if (asprintf(&folder, "%s.statistics", catalog) < 0) {
        return NULL;
    }
    rbc_statistics *found = find_in(folder, key);
    return found == NULL && folder_in_cache(catalog, &folder) ? find_in(folder, key) : found;
}

static bool write_draft(const char *draft, const rbc__bytes *data) {
    const int to = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    const bool written = to >= 0 && rbc__write_all(to, data->data, data->size);
    return to >= 0 && close(to) == 0 && written;
}

static bool keep_in(char *folder, const rbc__statistics_key *key, const rbc__bytes *data) {
    char ending[48];
    (void)snprintf(ending, sizeof ending, ".%ld-%p", (long)getpid(), (const void *)data);
    char *path = path_in(folder, key, "");
    char *draft = path_in(folder, key, ending);
    bool kept = path != NULL && draft != NULL && (mkdir(folder, 0777) == 0 || errno == EEXIST);
    if (kept) {
        kept = write_draft(draft, data) && rename(draft, path) == 0;
        if (!kept) {
            unlink(draft);
        }
    }
    free(path);
    free(draft);
    free(folder);
    return kept;
}

bool rbc__statistics_keep(const rbc_selection *selection, const rbc__statistics_key *key,
                          const rbc_statistics *statistics) {
    RBC__HOLD_FORKS();
    const char *catalog = rbc__dataset_catalog(rbc_selection_dataset(selection))->path;
    rbc__bytes data = {0};
    char *folder;
    rbc__statistics_encode(statistics, key, &data);
    bool kept = rbc__bytes_check(&data, NULL) == RBC_OK && folder_beside(catalog, &folder) &&
                keep_in(folder, key, &data);
    if (!kept && rbc__bytes_check(&data, NULL) == RBC_OK) {
        kept = folder_in_cache(catalog, &folder) && keep_in(folder, key, &data);
    }
    rbc__bytes_free(&data);
    return kept;
}
