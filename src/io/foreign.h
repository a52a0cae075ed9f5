/* What a file is that is not what its path says: a pointer, a server's error page, an archive. */
#ifndef RBC_IO_FOREIGN_H
#define RBC_IO_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RBC__FOREIGN_PEEK_BYTES 256 /* of a file's beginning are enough */

/* Writes what the file that begins with `bytes` is and what to do about it, as the end of a
 * sentence: "is a Git LFS pointer ...: run 'git lfs pull'". False where it is not known. Plain text
 * is named too where `text_is_foreign`. */
bool rbc__foreign_describe(const uint8_t *bytes, size_t num_bytes, bool text_is_foreign, char *out,
                           size_t out_bytes);

#endif
