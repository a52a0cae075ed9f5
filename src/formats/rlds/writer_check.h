/* Whether an episode is one that the reader will take. */
#ifndef RBC_FORMATS_RLDS_WRITER_CHECK_H
#define RBC_FORMATS_RLDS_WRITER_CHECK_H

#include "codec/codec.h"
#include "formats/rlds/writer_episode.h"
#include "io/source.h"

/* What checking images needs; zero-initialise, release with rbc__writer_checker_free(). */
typedef struct rbc__writer_checker {
    rbc__decoder *decoder;
    rbc__scratch pixels;
} rbc__writer_checker;

void rbc__writer_checker_free(rbc__writer_checker *checker);

/* Finds for each stream the one with its stamps. INVALID_ARGUMENT, naming both, where what is
 * called so cannot hold them. */
rbc_status rbc__writer_find_stamps(rbc__writer_feature *features, int32_t count, rbc_error *err);

/* Dtypes, shapes and numbers of samples, UTF-8, images (decoded once), and stamps: as many as
 * samples, step by step, and none before the one before it. INVALID_ARGUMENT, naming stream, sample
 * or step, what was found and what was wanted; OUT_OF_MEMORY. */
rbc_status rbc__writer_check(rbc__writer_checker *checker, const rbc__writer_feature *features,
                             int32_t count, int64_t num_steps, const rbc_rlds_data *streams,
                             int32_t num_streams, const rbc_rlds_data *metadata, rbc_error *err);

#endif
