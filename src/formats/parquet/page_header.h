/* The header before each page of a parquet column: a struct in Thrift's compact protocol. */
#ifndef RBC_FORMATS_PARQUET_PAGE_HEADER_H
#define RBC_FORMATS_PARQUET_PAGE_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include <robocache/robocache.h>

typedef enum rbc__parquet_page_type {
    RBC__PARQUET_DATA_PAGE = 0,
    RBC__PARQUET_INDEX_PAGE = 1,
    RBC__PARQUET_DICTIONARY_PAGE = 2,
    RBC__PARQUET_DATA_PAGE_V2 = 3,
} rbc__parquet_page_type;

typedef enum rbc__parquet_encoding {
    RBC__PARQUET_PLAIN = 0,
    RBC__PARQUET_PLAIN_DICTIONARY = 2, /* means RLE_DICTIONARY in data, PLAIN in dictionaries */
    RBC__PARQUET_RLE = 3,
    RBC__PARQUET_RLE_DICTIONARY = 8,
} rbc__parquet_encoding;

/* Numbers are as they are written, at least 0. */
typedef struct rbc__parquet_page_header {
    int32_t type;                               /* rbc__parquet_page_type */
    int32_t unpacked_bytes, packed_bytes;       /* of the page, the header left out */
    int32_t num_values;                         /* those that are absent as well */
    int32_t encoding;                           /* rbc__parquet_encoding */
    int32_t level_encoding;                     /* of definition levels, version 1 */
    int32_t definition_bytes, repetition_bytes; /* of the levels, version 2 */
    bool is_compressed;                         /* version 2; else true */
} rbc__parquet_page_header;

/* Parses a header that begins at `data`; `*header_bytes` is what it takes. FORMAT, with the byte in
 * it: cut short, or not as Thrift or parquet have it. */
rbc_status rbc__parquet_page_header_read(const uint8_t *data, size_t bytes,
                                         rbc__parquet_page_header *out, size_t *header_bytes,
                                         rbc_error *err);

#endif
