/* Which ticks are samples where streams are required. */
#ifndef RBC_LOADER_REQUIRE_H
#define RBC_LOADER_REQUIRE_H

#include "loader/batch_spec.h"
#include "loader/clock.h"
#include "loader/reference.h"
#include "store/request.h"

/* Leaves those ticks of the clock as samples at which every window of the required streams would be
 * valid at the tick itself: by its mode and limits, and, for images, where there is one. Reads the
 * stamps of these streams in every episode of the selection, or takes what was found for a loader of
 * the same selection, clock and windows before. `params` are the loader's own; the clock is taken from
 * `reference`.
 *
 * With on_error SKIP the ticks of an episode that cannot be read stay, to be left out and listed
 * when they are due. `watch` hears interrupts, or is NULL. INVALID_ARGUMENT for a stream that no window
 * takes; errors of the catalog, the files and the reader. */
rbc_status rbc__require(rbc__clock *clock, const rbc__batch_spec_params *params,
                        const rbc__reference *reference, const rbc_selection *selection,
                        const char *const *names, int32_t num_names, rbc_on_error on_error,
                        rbc__request_watch *watch, rbc_error *err);

#endif
