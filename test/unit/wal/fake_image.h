/* fake_image.h - what a file of fake_disk.h holds. Copies share their bytes, so that a disk can be
 * cloned at every step of a simulation: whoever changes an image first gets bytes of its own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct image_bytes {
    size_t owners; /* images */
    size_t capacity;
    uint8_t data[];
};

/* Zeroed it is empty. */
struct image {
    struct image_bytes *bytes; /* NULL = none yet */
    size_t size;
};

void image_drop(struct image *image);
/* What it grows by is zero. */
void image_resize(struct image *image, size_t size);
/* Its bytes, to be changed; it must have some. */
uint8_t *image_own(struct image *image);
/* `to` is dropped first. */
void image_copy(struct image *to, const struct image *from);
/* What is beyond its end is left out. */
void image_write(struct image *image, uint64_t offset, const void *data, size_t size);
