/* Control rates: of datasets that tell it, and of published ones whose files do not. */
#ifndef RBC_FORMATS_RLDS_CONTROL_RATES_H
#define RBC_FORMATS_RLDS_CONTROL_RATES_H

#include <robocache/robocache.h>

/* Steps a second of the Open X-Embodiment dataset `name`, or 0 when it is not in the table. Values
 * are those of the collection's own dataset overview (column "Control Frequency"); datasets for
 * which published sources disagree are left out. */
double rbc__control_rate(const char *name);

/* In metadata.json: steps a second, where the writer was told. */
#define RBC__CONTROL_RATE_KEY "control_rate_hz"

/* What metadata.json in `folder` says of it, 0 where it says nothing. IO where the file cannot be
 * read. */
rbc_status rbc__stored_control_rate(const char *folder, double *rate_hz, rbc_error *err);

#endif
