#include "kv/kv_leases.h"

#include "base/check.h"
#include "base/limits.h"

#include <string.h>

#define NUMBER_BYTES 8u

/* A number as it stands in a tree, and for an attached key that key behind it. */
struct index_key {
    size_t size;
    uint8_t bytes[NUMBER_BYTES + LIMIT_KEY_BYTES + 1]; /* also the smallest behind a key */
};

static void set_number(struct index_key *k, uint64_t number)
{
    for (unsigned i = 0; i < NUMBER_BYTES; i++) {
        k->bytes[i] = (uint8_t)(number >> (8 * (NUMBER_BYTES - 1 - i)));
    }
    k->size = NUMBER_BYTES;
}

static void set_key(struct index_key *k, uint64_t id, struct slice key)
{
    CHECK_CMP(key.size, <=, sizeof(k->bytes) - NUMBER_BYTES);
    set_number(k, id);
    if (key.size > 0) {
        memcpy(k->bytes + k->size, key.data, key.size);
    }
    k->size += key.size;
}

static struct slice slice_of_index(const struct index_key *k)
{
    return slice_of(k->bytes, k->size);
}

void leases_init(struct leases *t, struct slab *slab)
{
    *t = (struct leases){.slab = slab};
    btree_init(&t->by_id, slab);
    btree_init(&t->by_grant, slab);
    btree_init(&t->keys, slab);
}

void leases_deinit(struct leases *t)
{
    btree_deinit(&t->by_id);
    btree_deinit(&t->by_grant);
    btree_deinit(&t->keys);
    *t = (struct leases){0};
}

void leases_move(struct leases *t, struct slab *slab)
{
    t->slab = slab;
    t->by_id.slab = slab;
    t->by_grant.slab = slab;
    t->keys.slab = slab;
}

/* --- leases ----------------------------------------------------------------------------------- */

static struct btree_entry *find_number(const struct btree *tree, uint64_t number)
{
    struct index_key k;
    set_number(&k, number);
    return btree_find(tree, slice_of_index(&k));
}

static struct lease *lease_of(const struct btree_entry *e)
{
    return e != NULL ? e->payload : NULL;
}

struct lease *leases_find(const struct leases *t, uint64_t id)
{
    return lease_of(find_number(&t->by_id, id));
}

struct lease *leases_find_grant(const struct leases *t, uint64_t grant)
{
    return lease_of(find_number(&t->by_grant, grant));
}

static const struct lease *seek_number(const struct btree *tree, uint64_t number)
{
    struct index_key k;
    set_number(&k, number);
    return lease_of(btree_at(btree_seek(tree, slice_of_index(&k))));
}

const struct lease *leases_seek(const struct leases *t, uint64_t id)
{
    return seek_number(&t->by_id, id);
}

const struct lease *leases_seek_grant(const struct leases *t, uint64_t grant)
{
    return seek_number(&t->by_grant, grant);
}

static void insert_number(struct btree *tree, uint64_t number, struct lease *lease)
{
    struct index_key k;
    set_number(&k, number);
    struct btree_entry *e = btree_insert(tree, slice_of_index(&k));
    CHECK(e->payload == NULL);
    e->payload = lease;
}

void leases_load(struct leases *t, const struct lease *shape)
{
    CHECK(shape->id != 0 && shape->grant != 0);
    struct lease *lease = slab_alloc(t->slab, sizeof(*lease));
    *lease = *shape;
    insert_number(&t->by_id, lease->id, lease);
    insert_number(&t->by_grant, lease->grant, lease);
    t->changes++;
    t->bytes += LEASES_OVERHEAD;
    digest_add(&t->sum, digest_lease(lease));
}

void leases_grant(struct leases *t, const struct lease *shape)
{
    struct lease numbered = *shape;
    numbered.grant = ++t->grants;
    leases_load(t, &numbered);
}

void leases_remove(struct leases *t, struct lease *lease)
{
    CHECK(lease->keys == 0 && !lease->is_emptied);
    btree_remove(&t->by_id, find_number(&t->by_id, lease->id));
    btree_remove(&t->by_grant, find_number(&t->by_grant, lease->grant));
    t->changes++;
    t->bytes -= LEASES_OVERHEAD;
    digest_subtract(&t->sum, digest_lease(lease));
    slab_free(t->slab, lease, sizeof(*lease));
}

void leases_sweep(struct leases *t)
{
    while (t->emptied != NULL) {
        struct lease *lease = t->emptied;
        t->emptied = lease->next_emptied;
        lease->is_emptied = false;
        lease->next_emptied = NULL;
        if (lease->keys == 0) {
            leases_remove(t, lease);
        }
    }
}

/* --- attached keys ---------------------------------------------------------------------------- */

void leases_attach(struct leases *t, uint64_t id, struct slice key)
{
    struct lease *lease = leases_find(t, id);
    if (lease == NULL) {
        return;
    }
    struct index_key k;
    set_key(&k, id, key);
    struct btree_entry *e = btree_insert(&t->keys, slice_of_index(&k));
    CHECK(e->payload == NULL);
    e->payload = lease;
    lease->keys++;
    t->bytes += LEASES_KEY_OVERHEAD + key.size;
}

void leases_detach(struct leases *t, uint64_t id, struct slice key)
{
    struct index_key k;
    set_key(&k, id, key);
    struct btree_entry *e = btree_find(&t->keys, slice_of_index(&k));
    if (e == NULL) {
        return;
    }
    struct lease *lease = e->payload;
    btree_remove(&t->keys, e);
    lease->keys--;
    t->bytes -= LEASES_KEY_OVERHEAD + key.size;
    if (lease->keys == 0 && lease->is_private && !lease->is_emptied) {
        lease->is_emptied = true;
        lease->next_emptied = t->emptied;
        t->emptied = lease;
    }
}

bool leases_seek_key(const struct leases *t, uint64_t id, struct slice from, struct slice *key)
{
    struct index_key k;
    set_key(&k, id, from);
    const struct btree_entry *e = btree_at(btree_seek(&t->keys, slice_of_index(&k)));
    if (e == NULL || memcmp(e->key, k.bytes, NUMBER_BYTES) != 0) {
        return false;
    }
    *key = slice_of(e->key + NUMBER_BYTES, e->key_size - NUMBER_BYTES);
    return true;
}

/* --- */

struct kv_digest leases_digest(const struct leases *t)
{
    struct kv_digest sum = t->sum;
    if (t->grants > 0) {
        digest_add(&sum, digest_grants(t->grants));
    }
    return sum;
}

static uint64_t check_lease(const struct leases *t, const struct lease *lease)
{
    CHECK(lease->id != 0 && lease->ttl_s >= 1 && lease->ttl_s <= LIMIT_LEASE_TTL_S);
    CHECK(lease->grant >= 1 && lease->grant <= t->grants);
    CHECK(leases_find(t, lease->id) == lease && leases_find_grant(t, lease->grant) == lease);
    CHECK(!lease->is_private || lease->keys > 0);
    CHECK(!lease->is_emptied);
    return sizeof(*lease) + 2 * btree_entry_size(NUMBER_BYTES);
}

uint64_t leases_check(const struct leases *t)
{
    uint64_t slab_bytes = t->by_id.node_bytes + t->by_grant.node_bytes + t->keys.node_bytes;
    uint64_t bytes = 0;
    uint64_t attached = 0;
    struct kv_digest sum = {0};
    btree_check(&t->by_id);
    btree_check(&t->by_grant);
    btree_check(&t->keys);
    struct btree_place at = btree_seek(&t->by_id, slice_of(NULL, 0));
    for (; btree_at(at) != NULL; at = btree_next(at)) {
        const struct lease *lease = btree_at(at)->payload;
        slab_bytes += check_lease(t, lease);
        bytes += LEASES_OVERHEAD;
        attached += lease->keys;
        digest_add(&sum, digest_lease(lease));
    }
    for (at = btree_seek(&t->keys, slice_of(NULL, 0)); btree_at(at) != NULL; at = btree_next(at)) {
        slab_bytes += btree_entry_size(btree_at(at)->key_size);
        bytes += LEASES_KEY_OVERHEAD + btree_at(at)->key_size - NUMBER_BYTES;
    }
    CHECK(t->emptied == NULL);
    CHECK_CMP(t->by_id.count, ==, t->by_grant.count);
    CHECK_CMP(t->by_id.count, <=, LIMIT_LEASES);
    CHECK_CMP(attached, ==, t->keys.count);
    CHECK_CMP(bytes, ==, t->bytes);
    CHECK(sum.half[0] == t->sum.half[0] && sum.half[1] == t->sum.half[1]);
    return slab_bytes;
}
