/* A set of strings. */
#ifndef RBC_CATALOG_TEXT_SET_H
#define RBC_CATALOG_TEXT_SET_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise; release with rbc__text_set_free(). */
typedef struct rbc__text_set {
    char **slots; /* NULL: free */
    size_t num_slots, num_texts;
} rbc__text_set;

/* Copies `text`. False when memory is out. */
bool rbc__text_set_add(rbc__text_set *set, const char *text);
bool rbc__text_set_has(const rbc__text_set *set, const char *text);
void rbc__text_set_free(rbc__text_set *set);

#endif
