#include "fake_image.h"

#include "base/mem.h"

#include <string.h>

void image_drop(struct image *image)
{
    if (image->bytes != NULL && --image->bytes->owners == 0) {
        mem_free(image->bytes);
    }
    *image = (struct image){0};
}

/* Files grow by small appends: with half as much again most of them move nothing. */
static size_t capacity_for(const struct image *image, size_t size)
{
    size_t half_more = image->size + image->size / 2;
    return image->bytes != NULL && size > image->size && size < half_more ? half_more : size;
}

static struct image_bytes *copy_of(const struct image_bytes *old, size_t kept, size_t capacity)
{
    struct image_bytes *bytes = mem_alloc(sizeof *bytes + capacity);
    memcpy(bytes->data, old->data, kept);
    bytes->capacity = capacity;
    return bytes;
}

void image_resize(struct image *image, size_t size)
{
    struct image_bytes *old = image->bytes;
    size_t kept = size < image->size ? size : image->size;
    if (old != NULL && old->owners > 1) {
        image->bytes = copy_of(old, kept, capacity_for(image, size));
        old->owners--;
    } else if (old == NULL || size > old->capacity) {
        size_t capacity = capacity_for(image, size);
        image->bytes = mem_realloc(old, sizeof *old + capacity);
        image->bytes->capacity = capacity;
    }
    image->bytes->owners = 1;
    memset(image->bytes->data + kept, 0, size - kept);
    image->size = size;
}

uint8_t *image_own(struct image *image)
{
    if (image->bytes->owners > 1) {
        image_resize(image, image->size);
    }
    return image->bytes->data;
}

void image_copy(struct image *to, const struct image *from)
{
    image_drop(to);
    *to = *from;
    if (to->bytes != NULL) {
        to->bytes->owners++;
    }
}

void image_write(struct image *image, uint64_t offset, const void *data, size_t size)
{
    if (offset < image->size) {
        size_t room = image->size - (size_t)offset;
        memcpy(image_own(image) + offset, data, size < room ? size : room);
    }
}
