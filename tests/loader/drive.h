/* Loaders of fake datasets, and what comes out of them. */
#ifndef RBC_TESTS_LOADER_DRIVE_H
#define RBC_TESTS_LOADER_DRIVE_H

#include "fake.h"
#include "fields.h"

#define MAX_BATCHES 1024

typedef struct setup {
    fake_params fake;
    rbc_window windows[9];
    rbc_loader_params params;
} setup;

void set_window(rbc_window *window, const char *stream, const int32_t *ticks, int32_t count);

/* States, actions, images, a cloud, its grids and text; 20 episodes; shuffled batches of 20 rows, each
 * in four units that different workers may fill. The same memory each time. */
setup *make_setup(void);

/* The test fails where it cannot be made. */
rbc_loader *open_loader(const setup *s);

uint64_t digest_of(const rbc_batch *batch);

/* Digests of the batches from here to the end of the epoch; the number of them. */
int64_t drain(rbc_loader *loader, uint64_t *digests);

/* Position before batch `index` of an epoch that was begun at 0; its end, past the last. */
int64_t position_of(const rbc_loader *loader, const setup *s, int64_t index);

/* Threads of this process while there is no loader. Starts one first: with it a sanitizer starts its
 * own. */
int num_threads_at_rest(void);
/* Waits until there are no more than `before`: the last steps of a thread that has told that it ends
 * are its own. */
void await_threads(int before);

#endif
