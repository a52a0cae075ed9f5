/* Fuzzes the words of an expression: nothing behind its end is read, a token has a byte at least, and
 * what SQLite leaves out counts nothing. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "catalog/expression.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1); /* its very size, so that the sanitizers see its end */
    fuzz_require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    const size_t length = strlen(text);
    const size_t count = rbc__expression_count(text);
    fuzz_require(count <= length);
    static const char before[] = "id /* ' */ IN (1, -2, 'x, (') -- \"\n"; /* id, IN and ) */
    char *longer = malloc(sizeof before + length);
    fuzz_require(longer != NULL);
    memcpy(longer, before, sizeof before - 1);
    memcpy(longer + sizeof before - 1, text, length + 1);
    fuzz_require(rbc__expression_count(longer) == count + 3);
    free(longer);
    /* what is written as calls is done: nothing is found in it again */
    char *calls = rbc__expression_with_calls(text);
    fuzz_require(calls != NULL);
    char *again = rbc__expression_with_calls(calls);
    fuzz_require(again != NULL && strcmp(calls, again) == 0);
    free(again);
    free(calls);
    free(text);
    return 0;
}
