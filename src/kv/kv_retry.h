/* kv/kv_retry.h - what was answered to commands with an `Idempotency-Key` (rule K2b).
 *
 * Answers stand in the order in which they were given, which is the order in which they expire,
 * because log time never goes back. A tree finds the last one of a key.
 *
 *      forgotten       kept, oldest first
 *   ---------------|------------------------|
 *   first         head                    last
 *
 * What is kept is a function of the commands alone. What has expired is forgotten a few with every
 * command, and until then it counts and is not found. Memory follows in steps of its own
 * (retry_table_free), which an export may hold back. */
#pragma once

#include "kv/btree.h"
#include "kv/kv.h"
#include "kv/kv_digest.h"
#include "kv/slab.h"

#include <stdbool.h>
#include <stdint.h>

/* What an answer counts beside its key: itself, its entry and its share of the tree. */
#define RETRY_OVERHEAD 192

/* What a kept answer's status is in images and in the digest: statuses have no fixed numbers. */
enum retry_answer {
    RETRY_ANSWER_OK = 0,
    RETRY_ANSWER_CONFLICT = 1,
    RETRY_ANSWER_NOT_FOUND = 2,
};
enum retry_answer retry_answer_of(enum status status);
/* Has it a number there? All others are not kept. */
bool retry_is_kept(enum status status);

struct retry {
    struct retry *next;        /* the next younger one */
    struct btree_entry *entry; /* has the key; its payload is the youngest of that key */
    uint64_t time_ms;          /* of the log, when it was given */
    uint64_t hash[2];
    uint64_t origin;
    enum status status;
    uint64_t revision;
    uint64_t create_revision;
    uint64_t version;
};

struct retry_table {
    struct slab *slab; /* borrowed; outlives the table */
    struct btree index;
    struct retry *first;
    struct retry *head; /* NULL: none is kept */
    struct retry *last;
    uint64_t count; /* kept */
    uint64_t bytes; /* that these count */
    struct kv_digest sum;
};

void retry_table_init(struct retry_table *t, struct slab *slab);
/* Forget everything; the slab's owner frees the memory. */
void retry_table_deinit(struct retry_table *t);

struct slice retry_key(const struct retry *r);
/* The unexpired answer to this key, or NULL. */
const struct retry *retry_table_find(const struct retry_table *t, struct slice key,
                                     uint64_t now_ms);
/* Is there no room for one more with such a key? */
bool retry_table_is_full(const struct retry_table *t, struct slice key);
/* Keep `r`, whose key is `key`: `next` and `entry` are set here, and time_ms is not below that of
 * the one before. There is room. Returns what is kept. */
const struct retry *retry_table_add(struct retry_table *t, struct slice key, const struct retry *r);
/* Forget the oldest, which there must be and which has expired. */
void retry_table_forget(struct retry_table *t);
/* Forget and free all, expired or not. */
void retry_table_forget_all(struct retry_table *t);
/* Has the oldest expired? */
bool retry_table_is_due(const struct retry_table *t, uint64_t now_ms);
/* Free up to `budget` forgotten ones; true when there are more. */
bool retry_table_free(struct retry_table *t, unsigned budget);
/* Aborts when an invariant is broken. Returns what the table takes from the slab. */
uint64_t retry_table_check(const struct retry_table *t, uint64_t now_ms);
