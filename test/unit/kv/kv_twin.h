/* The store's twin: every change ever made, in an array, searched from end to end. Too slow for
 * anything but being obviously right. It never forgets; compaction is a number. */
#pragma once

#include "base/status.h"
#include "kv/kv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct twin_change {
    struct slice key;   /* owned */
    struct slice value; /* owned */
    bool is_delete;
    uint64_t revision;
    uint64_t create_revision;
    uint64_t version;
    uint64_t lease;
    uint64_t time_ms;
};

struct twin_document {
    struct slice content; /* owned */
    uint64_t revision;
    uint64_t time_ms;
};

struct twin_retry {
    struct slice key; /* owned */
    uint64_t hash[2];
    uint64_t time_ms;
    struct kv_result result;
};

struct twin {
    struct twin_change *changes; /* owned */
    size_t count;
    size_t capacity;
    struct twin_document *documents; /* owned */
    size_t document_count;
    uint64_t revision;
    uint64_t compact_revision;
    uint64_t time_ms;           /* the highest of all commands */
    struct twin_retry *retries; /* owned; every answer ever given to a command with a retry key */
    size_t retry_count;
    size_t retry_first; /* before this one they are forgotten */
};

void twin_init(struct twin *t);
void twin_deinit(struct twin *t);
void twin_apply(struct twin *t, const struct kv_command *c, struct kv_result *result);
/* The change that `key` stood at as of `revision`, a delete too; NULL when there was none. */
const struct twin_change *twin_find(const struct twin *t, struct slice key, uint64_t revision);
enum status twin_get(const struct twin *t, struct slice key, uint64_t revision,
                     const struct twin_change **found);
/* The first key >= `from` that was there at `revision`; NULL when there was none. */
const struct twin_change *twin_next(const struct twin *t, struct slice from, uint64_t revision);
uint64_t twin_keys(const struct twin *t);
uint64_t twin_live_bytes(const struct twin *t);
/* What a compaction at the store's revision leaves, and what history costs if it starts there. */
uint64_t twin_history_bytes(const struct twin *t, uint64_t from_revision);
/* When the change that made `revision` was made; times do not go back. */
uint64_t twin_time_of(const struct twin *t, uint64_t revision);
