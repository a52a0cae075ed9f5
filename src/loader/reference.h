/* The streams that the clock of an episode is taken from, and what does not fit that clock. */
#ifndef RBC_LOADER_REFERENCE_H
#define RBC_LOADER_REFERENCE_H

#include "catalog/dataset.h"
#include "loader/batch_spec.h"
#include "loader/clock.h"

/* Warnings: texts that a loader is made with. */
typedef struct rbc__notes {
    char **texts;
    int64_t count;
} rbc__notes;

/* As printf; what there is no memory for is left out. */
void rbc__notes_add(rbc__notes *notes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void rbc__notes_free(rbc__notes *notes);

/* The reference streams: those named, by default those of rbc__schema_set_reference(). Where none
 * of these is the action's or has one sample a step, but streams without stamps lie on the steps,
 * and the steps' rate is known, the clock is that of the steps. */
typedef struct rbc__reference {
    const rbc_selection *selection;
    bool *is_of; /* [num_streams]: the clock is taken from the stamps of the stream */
    bool is_on_steps, is_named;
    int64_t *start_ns, *end_ns; /* [episodes], where streams are named; else NULL */
} rbc__reference;

/* `names` [num_names]; none: the default. NOT_FOUND for a stream that is not there,
 * INVALID_ARGUMENT where some have stamps and some lie on the steps, errors of the catalog. */
rbc_status rbc__reference_init(rbc__reference *out, const rbc_selection *selection,
                               const char *const *names, int32_t num_names, bool has_control,
                               rbc_error *err);
void rbc__reference_free(rbc__reference *reference);

/* INVALID_ARGUMENT, naming the streams, when the epoch has more than ten times the ticks that its
 * steps say, or, where their rate is unknown, that the longest of the reference streams has. Notes
 * single episodes of which that is true, and streams of the spec that lie outside of the clock. */
rbc_status rbc__reference_check(const rbc__reference *reference, const rbc__clock *clock,
                                const rbc__batch_spec *spec, rbc__notes *notes, rbc_error *err);

#endif
