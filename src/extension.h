/* What the Python extension module uses of the library beyond robocache.h: the one header through
 * which it sees anything internal.
 *
 * codec/ffmpeg/installed.h which of its decoders there are
 * core/tensor.h            dtypes as an enum and by name, checks and extents of DLTensors
 * core/error.h             rbc__fail() and its like, for callbacks of the library
 * core/fork.h              rbc__forks_hold(), rbc__forks_release(): no fork while a file is open;
 *                          rbc__forks_let(), rbc__forks_hold_again() around Python's lock
 * codec/codec.h            rbc__turbojpeg_version(): which libjpeg-turbo decodes
 * catalog/dataset.h        rbc__selection_count(), _counts(), _fingerprint(): what repr() and
 *                          pickling say of a selection; rbc__dataset_open_with()
 *                          rbc__cursor_take(), _metadata(), _give()
 * formats/batch.h          rbc__batch_writer: episodes that an indexer in Python describes;
 *                          rbc__stream_check() of the streams that it declares
 * formats/npz/steps.h      rbc__npz_read_steps(): archives of arrays, one a step
 * io/foreign.h             what a file is that is not what its path says
 * io/zip.h                 the directory of a zip archive
 * packing/packing.h        rbc__unpack(): what indexers in Python unpack themselves
 * formats/mp4/mp4.h        rbc__mp4_read(): the tables of a video's file
 * io/source.h              rbc__source_open(), _close()
 * formats/parquet/pages.h  rbc__parquet_scan(): where the byte strings of a column lie
 * layout/npy.h             rbc__npy_read_header(): of a NumPy file
 * layout/object.h          rbc__array_object_encode()
 * layout/schema.h          what such an indexer declares, rbc__schema_free()
 * cuda/runtime/capture.h   rbc__cuda_capture: the launches of a plan, and their replay
 * cuda/runtime/device.h    rbc__cuda_has_kernels(), rbc__cuda_is_current()
 *
 * Whatever else those headers declare is not for it. Interface of src. */
#ifndef RBC_EXTENSION_H
#define RBC_EXTENSION_H

#include "catalog/dataset.h"
#include "codec/codec.h"
#include "codec/ffmpeg/installed.h"
#include "core/error.h"
#include "core/fork.h"
#include "core/tensor.h"
#include "cuda/runtime/capture.h"
#include "cuda/runtime/device.h"
#include "formats/batch.h"
#include "formats/mp4/mp4.h"
#include "formats/npz/steps.h"
#include "formats/parquet/pages.h"
#include "io/foreign.h"
#include "io/zip.h"
#include "layout/npy.h"
#include "layout/object.h"
#include "packing/packing.h"

#endif
