/* What the Python extension module uses of the library beyond robocache.h: the one header through
 * which it sees anything internal.
 *
 * core/tensor.h            dtypes as an enum and by name, checks and extents of DLTensors
 * core/fork.h              rbc__forks_hold(), rbc__forks_release(): no fork while a file is open
 * codec/codec.h            rbc__turbojpeg_version(): which libjpeg-turbo decodes
 * catalog/dataset.h        rbc__selection_count(), _counts(), _fingerprint(): what repr() and
 *                          pickling say of a selection
 * cuda/runtime/capture.h   rbc__cuda_capture: the launches of a plan, and their replay
 * cuda/runtime/device.h    rbc__cuda_has_kernels(), rbc__cuda_is_current()
 *
 * Whatever else those headers declare is not for it. Interface of src. */
#ifndef RBC_EXTENSION_H
#define RBC_EXTENSION_H

#include "catalog/dataset.h"
#include "codec/codec.h"
#include "core/fork.h"
#include "core/tensor.h"
#include "cuda/runtime/capture.h"
#include "cuda/runtime/device.h"

#endif
