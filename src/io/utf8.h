/* Whether bytes are text. */
#ifndef RBC_IO_UTF8_H
#define RBC_IO_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* False when `bytes` are not well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing
 * past U+10FFFF) or hold a zero byte; `*bad_at` is then the offset of the first such byte. */
bool rbc__utf8_check(const uint8_t *bytes, uint64_t num_bytes, uint64_t *bad_at);

#endif
