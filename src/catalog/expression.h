/* What stands in an expression: how much work it is to compile it, which cannot be interrupted, and
 * what it says of metadata.
 * Shared within src/catalog. */
#ifndef RBC_CATALOG_EXPRESSION_H
#define RBC_CATALOG_EXPRESSION_H

#include <stddef.h>

#define RBC__EXPRESSION_MAX_TOKENS 4096

/* Words, signs and values of an SQL expression, comments apart. The values of a list behind IN count
 * nothing up to the first that is not a plain number, with a sign perhaps, or text: they take time
 * in proportion, where that of anything else grows with its square. */
size_t rbc__expression_count(const char *text);

/* The expression with a call metadata(id, 'KEY', 'MORE') for each metadata.KEY.MORE in it, where KEY
 * is a word, or anything in quotes; malloc'ed, NULL: out of memory. */
char *rbc__expression_with_calls(const char *text);

#endif
