/* Reads the metadata of episodes from a catalog. The group that was read last is kept, unless it is
 * large: episodes that are asked for in order unpack each group once. Shared within src/catalog. */
#ifndef RBC_CATALOG_METADATA_READER_H
#define RBC_CATALOG_METADATA_READER_H

#include <sqlite3.h>

#include <robocache/robocache.h>

/* Zero: nothing is kept. */
typedef struct rbc__metadata_reader {
    int64_t first; /* key of the group's first episode */
    uint8_t *group;
    uint64_t bytes;
} rbc__metadata_reader;

/* The JSON text of an episode, by rbc__episode_key; "{}" for none. It ends with no NUL and lasts up
 * to the next call. `db` is the same in all calls. FORMAT: it is damaged. */
rbc_status rbc__metadata_read(rbc__metadata_reader *reader, sqlite3 *db, int64_t key,
                              const char **json, size_t *json_bytes, rbc_error *err);
void rbc__metadata_forget(rbc__metadata_reader *reader);

#endif
