/* snapshot_kit.h - snapshots of a state that can be told from its index, for tests of several
 * programs. */
#pragma once

#include "fake_disk.h"
#include "wal/snapshot_file.h"

#include <stdbool.h>
#include <stdint.h>

struct uuid kit_cluster(void);
/* Write snapshot `id`, of `chunks` chunks of about `chunk_bytes`. */
enum status kit_write(struct disk *disk, struct snapshot_id id, uint32_t chunks,
                      uint32_t chunk_bytes, bool verify);
/* NULL when snapshot `id` is there and is what kit_write made of it; else what is wrong. */
const char *kit_wrong(struct disk *disk, struct snapshot_id id, uint32_t chunks,
                      uint32_t chunk_bytes);
