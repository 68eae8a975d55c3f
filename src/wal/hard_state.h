/* wal/hard_state.h - term, vote and lease promise, in the file `hardstate`: two slots that
 * alternate, two copies in each (rules P6, P6b). What is read back is exactly what was last saved,
 * or an unsaved newer state that nobody was told of, or CORRUPT; never (0,0).
 *
 *   block 0  slot 0, copy 1     Even versions go to slot 0, odd ones to slot 1. A torn write spoils
 *   block 1  slot 0, copy 2     one slot, whose state nobody was told of; the other slot still has
 *   block 2  slot 1, copy 1     the state before. Rot spoils one copy; the other copy still has it.
 *   block 3  slot 1, copy 2
 */
#pragma once

#include "base/status.h"
#include "base/uuid.h"
#include "wal/disk.h"

#include <stdbool.h>
#include <stdint.h>

#define HARD_STATE_FILE "hardstate"

struct hard_state {
    struct disk_file *file; /* owned */
    struct uuid log_id;
    /* Of the state below: 1, 2, 3 ... */
    uint64_t version;
    uint64_t term;
    uint64_t vote;
    /* Number of the newest log record that was synced when this was written: a log that ends before
     * it has lost something (rule P3's "evidence"). */
    uint64_t record_number;
    uint32_t lease_promise_ms; /* rule Q6b */
};

/* Read the newest good copy. NOT_FOUND when there is no file; CORRUPT; UNSUPPORTED; IO. */
enum status MUST_CHECK hard_state_open(struct hard_state *h, struct disk *disk, struct uuid log_id,
                                       char **detail);
/* Make the file, durably, with term 0 and no vote. IO, NO_SPACE. */
enum status MUST_CHECK hard_state_create(struct hard_state *h, struct disk *disk,
                                         struct uuid log_id);
/* Write the fields as the next version and sync. The caller fails stop on an error. */
enum status MUST_CHECK hard_state_save(struct hard_state *h);
/* Closes the file; fine when it never opened. */
void hard_state_close(struct hard_state *h);
