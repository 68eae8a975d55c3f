/* kv/btree.h - the ordered index: a B+tree of byte-string keys.
 *
 * A node has 64 slots. Its keys share their first `skip` bytes, and each slot holds inline the 8
 * bytes after those (the head), so that a search reads one array of numbers and then, as a rule,
 * the one key it was looking for:
 *
 *   node    count skip | prefix "/registry/po" | heads   "ds/a-123" "ds/a-207" "ds/b-001" ...
 *                                              | entries     |          |          |
 *                                              | children (above the leaves)
 *
 * Above the leaves, slot i holds the first entry below child i itself, not a copy of its key: so
 * separators cost no memory, and removing an entry puts its successor in its place up to the root.
 * Heads that are equal are told apart by the whole keys.
 *
 * Invariants (btree_check): keys ascend strictly; every leaf is at level 0; a node but the root has
 * at least BTREE_SLOTS_MIN slots, the last leaf at least one (it is filled by appending).
 *
 * The tree owns its nodes and entries, both from the slab; what an entry's payload points to is the
 * caller's. An entry's address is fixed as long as it is in the tree. Only kv/ calls it. */
#pragma once

#include "base/slice.h"
#include "kv/slab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A test build has tiny nodes, so that its trees are deep. */
#ifndef BTREE_SLOTS
#define BTREE_SLOTS     64
#define BTREE_SLOTS_MIN 16
#endif

struct btree_node;

/* Aligned to 4 only: a million of them are worth four bytes each. */
struct __attribute__((packed, aligned(4))) btree_entry {
    void *payload; /* NULL in a new entry */
    uint16_t key_size;
    uint8_t key[];
};

struct btree {
    struct slab *slab; /* borrowed; outlives the tree */
    struct btree_node *root;
    uint64_t count;
    uint64_t node_bytes;
    uint64_t changes; /* entries inserted and removed: a place found before the last is stale */
};

/* Between two changes of the tree: where an entry stands. `leaf` is NULL beyond either end. */
struct btree_place {
    const struct btree_node *leaf;
    unsigned slot;
};

void btree_init(struct btree *t, struct slab *slab);
/* Forget everything; the slab's owner frees the memory. */
void btree_deinit(struct btree *t);

struct slice btree_entry_key(const struct btree_entry *e);
/* What an entry with this key takes from the slab. */
size_t btree_entry_size(size_t key_size);

/* The entry of `key`, or NULL. */
struct btree_entry *btree_find(const struct btree *t, struct slice key);
/* The entry of `key`, made if there is none; it copies the key, of at most UINT16_MAX bytes. */
struct btree_entry *btree_insert(struct btree *t, struct slice key);
/* A new entry of `key`, if it is above all others: without a search. Else NULL. */
struct btree_entry *btree_append(struct btree *t, struct slice key);
/* Remove and free `e`, which is in the tree. */
void btree_remove(struct btree *t, struct btree_entry *e);

/* The first entry whose key is >= `key`. */
struct btree_place btree_seek(const struct btree *t, struct slice key);
struct btree_place btree_last(const struct btree *t);
/* Both need a place that is not beyond an end. */
struct btree_place btree_next(struct btree_place at);
struct btree_place btree_prev(struct btree_place at);
/* The entry there, or NULL beyond an end. */
struct btree_entry *btree_at(struct btree_place at);
/* The entry `ahead` places further, or NULL if that is not in the same leaf: to ask the memory for
 * what a walk will need soon. */
struct btree_entry *btree_peek(struct btree_place at, unsigned ahead);

/* Aborts when an invariant is broken; O(n). */
void btree_check(const struct btree *t);
