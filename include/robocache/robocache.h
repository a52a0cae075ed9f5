/* RoboCache: aligned batches from robot datasets.
 *
 * The C interface of the library: everything Python can do, without Python. Tensors are DLPack's
 * DLTensor; times are int64 nanoseconds unless a tensor of float seconds is passed. This header has
 * all of it; the ones it includes have a subject each.
 *
 * Conventions that hold for every function here
 *  - Functions that can fail return rbc_status and take `rbc_error *err` last. `err` may be NULL.
 *    On RBC_OK it is left untouched; otherwise it holds the status and a message that names the
 *    argument, file, byte offset, stream or shape, what was found and what was wanted.
 *  - `create`/`open` functions write a handle through their out-parameter on success and NULL on
 *    failure. `destroy`/`close` take the address of the handle, release it and set it to NULL;
 *    passing the address of NULL is allowed.
 *  - Parameter structs begin with `struct_size` and have an initialiser macro; use it, so that a
 *    program compiled today runs with a later library. A struct_size that is zero or larger than
 *    the library knows is RBC_ERROR_INVALID_ARGUMENT. C++ has the macros, too: since
 *    C++20, and before by an extension of GCC and Clang.
 *  - Strings are UTF-8 and NUL-terminated. Strings returned are borrowed from the object asked and
 *    live as long as it does.
 *  - Handles may be used from any thread. A context, dataset or selection may be used from several
 *    threads at once; a loader has one consumer thread at a time.
 *  - In a child made by fork() contexts, datasets, selections and episodes work, whatever other
 *    threads of the parent were doing; loaders refuse, since their threads are not there. fork()
 *    waits for a call that reads an episode or a catalog to end.
 */
#ifndef ROBOCACHE_ROBOCACHE_H
#define ROBOCACHE_ROBOCACHE_H

#include <robocache/base.h>
#include <robocache/dataset.h>
#include <robocache/image.h>
#include <robocache/jpeg.h>
#include <robocache/loader.h>
#include <robocache/resample.h>
#include <robocache/rlds_writer.h>
#include <robocache/statistics.h>
#include <robocache/version.h>
#include <robocache/voxelize.h>
#include <robocache/window.h>

#endif
