/* Decodes an image as its header has it, as grey, RGB and RGBA, and says what must hold. */
#ifndef RBC_FUZZ_IMAGE_H
#define RBC_FUZZ_IMAGE_H

#include "fuzz.h"

void fuzz_image(const uint8_t *data, size_t size);

#endif
