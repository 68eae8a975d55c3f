#include "snapshot_kit.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct uuid kit_cluster(void)
{
    struct uuid cluster;
    memset(cluster.bytes, 0x77, sizeof cluster.bytes);
    return cluster;
}

/* Half of it compresses. */
static void fill_chunk(uint8_t *bytes, uint32_t size, struct snapshot_id id, uint32_t chunk)
{
    struct rng rng;
    rng_init(&rng, id.index * 1000 + id.term * 100 + chunk);
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = i % 2 == 0 ? (uint8_t)chunk : (uint8_t)rng_next(&rng);
    }
}

static uint32_t chunk_size(uint32_t chunk_bytes, uint32_t chunk)
{
    return chunk_bytes - chunk % 3;
}

static int meta_of(struct snapshot_id id, char meta[64])
{
    return snprintf(meta, 64, "members at %u", (unsigned)id.index);
}

enum status kit_write(struct disk *disk, struct snapshot_id id, uint32_t chunks,
                      uint32_t chunk_bytes, bool verify)
{
    char meta[64];
    size_t size = (size_t)meta_of(id, meta);
    struct snapshot_writer *w = NULL;
    enum status status = snapshot_writer_create(disk, kit_cluster(), id, slice_of(meta, size), &w);
    uint8_t *bytes = mem_alloc(chunk_bytes);
    for (uint32_t i = 0; status == STATUS_OK && i < chunks; i++) {
        fill_chunk(bytes, chunk_size(chunk_bytes, i), id, i);
        status = snapshot_writer_add(w, slice_of(bytes, chunk_size(chunk_bytes, i)));
    }
    if (status == STATUS_OK) {
        status = snapshot_writer_finish(w, verify);
    }
    snapshot_writer_destroy(w);
    mem_free(bytes);
    return status;
}

static const char *wrong_state(struct snapshot_reader *r, struct snapshot_id id, uint32_t chunks,
                               uint32_t chunk_bytes)
{
    uint8_t *bytes = mem_alloc(chunk_bytes);
    const char *wrong = NULL;
    struct slice state;
    for (uint32_t i = 0; wrong == NULL && i < chunks; i++) {
        if (snapshot_reader_next(r, &state) != STATUS_OK) {
            wrong = "a chunk is refused";
            break;
        }
        fill_chunk(bytes, chunk_size(chunk_bytes, i), id, i);
        if (!slice_equal(state, slice_of(bytes, chunk_size(chunk_bytes, i)))) {
            wrong = "a chunk is another one";
        }
    }
    if (wrong == NULL && snapshot_reader_next(r, &state) != STATUS_NOT_FOUND) {
        wrong = "the end is none";
    }
    mem_free(bytes);
    return wrong;
}

const char *kit_wrong(struct disk *disk, struct snapshot_id id, uint32_t chunks,
                      uint32_t chunk_bytes)
{
    char meta[64];
    size_t size = (size_t)meta_of(id, meta);
    struct snapshot_reader *r = NULL;
    if (snapshot_reader_open(disk, kit_cluster(), id, &r, NULL) != STATUS_OK) {
        return "it cannot be opened";
    }
    const char *wrong = NULL;
    if (!slice_equal(snapshot_reader_meta(r), slice_of(meta, size))) {
        wrong = "meta is another one";
    }
    if (wrong == NULL) {
        wrong = wrong_state(r, id, chunks, chunk_bytes);
    }
    snapshot_reader_destroy(r);
    return wrong;
}
