/* kv/kv_leases.h - the leases of a store, and which keys are attached to which.
 *
 * Three trees over the same things: leases by id, leases by grant number, and one entry for each
 * attached key, which is the lease's id and the key behind it, so that the keys of a lease stand
 * together in their order. Numbers are big-endian there. All of it is in the slab.
 *
 * What is attached follows from the live versions of the keys; it is kept here to be found. */
#pragma once

#include "kv/btree.h"
#include "kv/kv.h"
#include "kv/kv_digest.h"
#include "kv/slab.h"

#include <stdbool.h>
#include <stdint.h>

/* What a lease and an attached key count beside the key's bytes (kv_stats). */
#define LEASES_OVERHEAD     64
#define LEASES_KEY_OVERHEAD 32

struct lease {
    uint64_t id;
    uint64_t ttl_s;
    uint64_t grant;
    uint64_t keys;              /* attached */
    struct lease *next_emptied; /* while it is in the list of those */
    bool is_private;            /* goes with its last key */
    bool is_emptied;            /* is in the list */
};

struct leases {
    struct slab *slab; /* borrowed; outlives the table */
    struct btree by_id;
    struct btree by_grant;
    struct btree keys;
    uint64_t grants;  /* ever made */
    uint64_t changes; /* leases that came or went; not part of the state */
    uint64_t bytes;   /* that leases and attached keys count */
    /* Private leases that lost their last key in the command that is being applied. Some may have
     * got another one since. */
    struct lease *emptied;
    struct kv_digest sum; /* of the leases, without `grants` */
};

void leases_init(struct leases *t, struct slab *slab);
/* Forget everything; the slab's owner frees the memory. */
void leases_deinit(struct leases *t);
/* The slab that all of it is in has another address. */
void leases_move(struct leases *t, struct slab *slab);

/* NULL: there is none. */
struct lease *leases_find(const struct leases *t, uint64_t id);
struct lease *leases_find_grant(const struct leases *t, uint64_t grant);
/* The first with an id, or a grant number, from this one on, or NULL. */
const struct lease *leases_seek(const struct leases *t, uint64_t id);
const struct lease *leases_seek_grant(const struct leases *t, uint64_t grant);
/* `shape` has id, ttl_s and is_private, of which id there is none. The next grant number is its. */
void leases_grant(struct leases *t, const struct lease *shape);
/* The same with its own grant number, which no other has. */
void leases_load(struct leases *t, const struct lease *shape);
/* Without keys. */
void leases_remove(struct leases *t, struct lease *lease);
/* Remove the private ones that were emptied and have no key now. */
void leases_sweep(struct leases *t);

/* Both do nothing when there is no such lease: a version of the past may name one that is gone. */
void leases_attach(struct leases *t, uint64_t id, struct slice key);
void leases_detach(struct leases *t, uint64_t id, struct slice key);
/* The lease's first key from `from` on, borrowed until the table changes; false = none. */
bool leases_seek_key(const struct leases *t, uint64_t id, struct slice from, struct slice *key);

/* Over the leases and how many were granted; zero if none ever was. */
struct kv_digest leases_digest(const struct leases *t);
/* Aborts when an invariant is broken. Returns what the table takes from the slab. */
uint64_t leases_check(const struct leases *t);
