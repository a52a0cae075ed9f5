/* Datasets as dlimp writes them, without a features.json that tells the layout: each array or list
 * of images of an episode is one bytes entry holding a serialized TensorProto. */
#ifndef RBC_FORMATS_RLDS_DLIMP_H
#define RBC_FORMATS_RLDS_DLIMP_H

#include "formats/rlds/features.h"
#include "io/source.h"

/* Derives the leaves from the first record of `source`: tensors with at least one dimension are
 * streams, named by their keys; everything else is metadata. FORMAT when no stream is there. */
rbc_status rbc__dlimp_leaves(rbc__source *source, rbc__leaves *out, rbc_error *err);

#endif
