/* Control rates of published datasets, which their files do not tell. */
#ifndef RBC_IO_TFRECORD_CONTROL_RATES_H
#define RBC_IO_TFRECORD_CONTROL_RATES_H

/* Steps a second of the Open X-Embodiment dataset `name`, or 0 when it is not in the table. Values
 * are those of the collection's own dataset overview (column "Control Frequency"); datasets for
 * which published sources disagree are left out. */
double rbc__control_rate(const char *name);

#endif
