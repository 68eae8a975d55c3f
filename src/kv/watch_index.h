/* kv/watch_index.h - from a key to the watches whose spans have it.
 *
 * Watches of single keys hang in a B+tree by key; those of ranges in a treap by (key, end) whose
 * nodes know the farthest end below them, so that a look-up costs O(log n) and what it finds,
 * however many there are. Watches of one and the same span share a node.
 *
 * It borrows the watches and copies their keys. Only kv_watch.c and tests use it. */
#pragma once

#include "base/rng.h"
#include "kv/btree.h"
#include "kv/kv_watch.h"
#include "kv/slab.h"

struct watch_index {
    struct slab slab;        /* of the tree of keys */
    struct btree keys;       /* the payload is a watch_node */
    struct watch_node *root; /* of the ranges */
    struct rng rng;          /* the shape of the treap; seen by nobody */
};

void watch_index_init(struct watch_index *x);
/* No watch is left. */
void watch_index_deinit(struct watch_index *x);

/* By w->span; sets w->node and w->node_link. */
void watch_index_add(struct watch_index *x, struct kv_watch *w);
void watch_index_remove(struct watch_index *x, struct kv_watch *w);

typedef void watch_hit(void *context, struct kv_watch *w);
/* `hit` is called for each watch that has the key, in no order; it must not change the index. */
void watch_index_find(const struct watch_index *x, struct slice key, watch_hit *hit, void *context);

/* Aborts when an invariant is broken; O(n), for tests. */
void watch_index_check(const struct watch_index *x);
