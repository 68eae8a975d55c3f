/* wal_model.h - what a log must hold, in the simplest form, and the steps that tests drive both
 * with.
 *
 * The model remembers what was acknowledged and, when a step failed or was cut short, the one step
 * that may or may not have happened. wal_model_check compares a freshly opened log with it. */
#pragma once

#include "fake_disk.h"
#include "wal/wal.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_ENTRIES_MAX 512

struct model_entry {
    uint64_t term;
    uint64_t salt; /* the payload is made from it */
    uint32_t size;
};

struct model_log {
    struct model_entry entries[MODEL_ENTRIES_MAX]; /* [index - 1] */
    uint64_t gone;      /* entries up to here are void; of the last of them the term is known */
    uint64_t compacted; /* entries before this may have been removed */
    uint64_t snapshot;  /* index of the newest one; its term is the entry's */
    uint64_t last;
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
};

struct wal_model {
    struct model_log acked;
    struct model_log maybe;
    bool has_maybe;
    /* The open log need not know of the newest snapshot yet. */
    bool snapshot_is_news;
    uint64_t salt;
};

enum step_kind {
    STEP_APPEND,
    STEP_SEAL,
    STEP_PREPARE,
    STEP_REOPEN,
    STEP_SNAPSHOT, /* of entry `snapshot`, which is committed from then on */
    /* A snapshot at `snapshot` with snapshot_term comes from elsewhere; then as STEP_APPEND. */
    STEP_INSTALL,
    STEP_COMPACT, /* all that the newest snapshot allows; older snapshots go, too */
    STEP_SCRUB,   /* all of it */
};

struct step {
    enum step_kind kind;
    /* For STEP_APPEND: term > 0 gives a new hard state; count entries of `size` bytes in the term
     * in force; commit > 0 a new commit index. */
    uint64_t term;
    uint64_t vote;
    uint64_t truncate_from;
    uint32_t count;
    uint32_t size;
    uint64_t commit;
    uint64_t snapshot;
    uint64_t snapshot_term;
};

/* The log that tests open: small segments, and an id that forged files do not have. */
struct wal_options wal_model_options(struct fake_disk *f);
/* Carry out one step. Not OK: the model holds it as a maybe. STEP_REOPEN closes and opens *w. */
enum status wal_model_step(struct wal_model *m, struct wal **w, struct fake_disk *f,
                           const struct step *step);
/* The log was opened: it knows of every snapshot. */
void wal_model_opened(struct wal_model *m);
/* NULL when the log holds what the model allows, which the model then takes for the truth; else
 * what is wrong, static storage. */
const char *wal_model_check(struct wal_model *m, struct wal *w);
/* Open, compare, close the log of a disk that crashed. NULL or what is wrong; static storage. */
const char *wal_model_reopen_check(struct wal_model *m, struct fake_disk *f);
