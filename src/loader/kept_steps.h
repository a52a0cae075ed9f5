/* Which ticks are samples where a selection keeps some steps only. */
#ifndef RBC_LOADER_KEPT_STEPS_H
#define RBC_LOADER_KEPT_STEPS_H

#include "catalog/dataset.h"
#include "loader/clock.h"

/* Leaves those ticks of the clock as samples that lie in steps that are kept: from a step's time until
 * that of the next. Where ticks are not steps and steps have stamps, reads the stamps of the first
 * stream that has one a step: UNSUPPORTED where there is none. Errors of the catalog and the
 * files. */
rbc_status rbc__keep_steps(rbc__clock *clock, const rbc_selection *selection, rbc_error *err);

#endif
