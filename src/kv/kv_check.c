/* kv/kv_check.c - every invariant of a store, for tests. */
#include "base/check.h"
#include "kv/kv_auth_table.h"
#include "kv/kv_state.h"

/* Sums over all versions in the tree, to hold against the counters and the history. */
struct tally {
    uint64_t keys;
    uint64_t leased_keys;
    uint64_t live_bytes;
    uint64_t slab_bytes;
    uint64_t changes;     /* versions that must be in the history */
    uint64_t changes_sum; /* order-free, of their identities */
};

static uint64_t identity_of(const struct btree_entry *e, const struct version *v)
{
    uint64_t x = (uint64_t)(uintptr_t)v * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)e;
    return (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
}

/* `v` and the version that it superseded. */
static void check_pair(const struct version *v, const struct version *older)
{
    CHECK_CMP(older->revision, <, v->revision);
    CHECK(!v->is_tombstone || !older->is_tombstone);
    if (v->is_tombstone) {
        return;
    }
    struct version_fields f;
    version_read(v, &f);
    if (older->is_tombstone) {
        CHECK_CMP(f.version, ==, 1);
        return;
    }
    struct version_fields g;
    version_read(older, &g);
    CHECK_CMP(f.version, ==, g.version + 1);
    CHECK_CMP(f.create_revision, ==, g.create_revision);
}

static void check_version(const struct kv *kv, const struct btree_entry *e, const struct version *v,
                          struct tally *tally)
{
    bool is_freed_up_to_floor = kv->history.head == kv->history.floor;
    CHECK(v->revision > 1 && v->revision <= kv->revision);
    tally->slab_bytes += version_size(v);
    if (v->revision >= kv->compact_revision) {
        tally->changes++;
        tally->changes_sum += identity_of(e, v);
    } else if (is_freed_up_to_floor) {
        CHECK(v->older == NULL);
        CHECK(!v->is_tombstone || e->payload != v);
    }
    if (v->older != NULL) {
        check_pair(v, v->older);
        return;
    }
    /* Only compaction cuts a chain anywhere but at the put that made the key. */
    CHECK(v->revision <= kv->compact_revision || (!v->is_tombstone && !v->is_update));
}

/* A live key with a lease is attached to it; as both are as many, nothing else is. */
static void check_lease_of(const struct kv *kv, const struct btree_entry *e, struct tally *tally)
{
    struct version_fields f;
    version_read(e->payload, &f);
    struct slice key = btree_entry_key(e);
    struct slice attached;
    if (f.lease == 0) {
        return;
    }
    tally->leased_keys++;
    CHECK(leases_seek_key(&kv->leases, f.lease, key, &attached) && slice_equal(attached, key));
}

static void check_entry(const struct kv *kv, const struct btree_entry *e, struct tally *tally)
{
    const struct version *newest = e->payload;
    CHECK(newest != NULL);
    tally->slab_bytes += btree_entry_size(e->key_size);
    if (!newest->is_tombstone) {
        tally->keys++;
        tally->live_bytes += history_live_bytes(e->key_size, newest->value_size);
        check_lease_of(kv, e, tally);
    }
    for (const struct version *v = newest; v != NULL; v = v->older) {
        check_version(kv, e, v, tally);
    }
}

static void check_documents(const struct kv *kv)
{
    const struct documents *d = &kv->documents;
    uint64_t bytes = 0;
    struct kv_digest sum = {0};
    uint64_t last_revision = 1;
    uint64_t last_time_ms = 0;
    for (uint64_t i = 0; i < d->count; i++) {
        const struct document *document = documents_at(d, i);
        CHECK_CMP(document->revision, >, last_revision);
        CHECK_CMP(document->time_ms, >=, last_time_ms);
        CHECK_CMP(document->hash, ==, digest_value(document_content(document)));
        last_revision = document->revision;
        last_time_ms = document->time_ms;
        bytes += DOCUMENTS_OVERHEAD + document->size;
        digest_add(&sum, digest_document(document, document->hash));
    }
    CHECK_CMP(last_revision, <=, kv->revision);
    CHECK_CMP(last_time_ms, <=, kv->time_ms);
    CHECK_CMP(bytes, ==, d->bytes);
    CHECK(sum.half[0] == d->sum.half[0] && sum.half[1] == d->sum.half[1]);
}

/* Each revision above the last compaction was made, by changes of keys or by a document. */
static void check_revisions(const struct kv *kv)
{
    uint64_t compacted = kv->compact_revision > 1 ? kv->compact_revision : 1;
    uint64_t made = kv->documents.count - documents_up_to(&kv->documents, compacted);
    uint64_t last_revision = compacted;
    for (uint64_t n = kv->next_change; n < kv->history.tail; n++) {
        uint64_t revision = history_at(&kv->history, n).version->revision;
        uint64_t documents = documents_up_to(&kv->documents, revision);
        CHECK(documents == 0 || documents_at(&kv->documents, documents - 1)->revision != revision);
        made += revision > last_revision ? 1 : 0;
        last_revision = revision;
    }
    CHECK_CMP(made, ==, kv->revision - compacted);
}

static void check_history(const struct kv *kv, const struct tally *tally)
{
    const struct history *h = &kv->history;
    uint64_t cost = 0;
    uint64_t changes_sum = 0;
    uint64_t last_revision = 0;
    uint64_t last_time_ms = 0;
    CHECK(h->head <= h->floor && h->floor <= h->tail);
    CHECK(kv->next_change >= h->floor && kv->next_change <= h->tail);
    CHECK(kv->next_change == h->tail ||
          history_at(h, kv->next_change).version->revision > kv->compact_revision);
    for (uint64_t n = h->head; n < h->tail; n++) {
        const struct change c = history_at(h, n);
        CHECK_CMP(c.version->revision, >=, last_revision);
        CHECK_CMP(c.time_ms, >=, last_time_ms);
        CHECK((c.version->revision >= kv->compact_revision) == (n >= h->floor));
        last_revision = c.version->revision;
        last_time_ms = c.time_ms;
        if (n >= h->floor) {
            cost += history_cost(&c);
            changes_sum += identity_of(c.entry, c.version);
        }
    }
    CHECK_CMP(last_revision, <=, kv->revision);
    CHECK_CMP(last_time_ms, <=, kv->time_ms);
    CHECK_CMP(h->tail - h->floor, ==, tally->changes);
    CHECK_CMP(changes_sum, ==, tally->changes_sum);
    CHECK_CMP(cost, ==, history_bytes(h));
}

void kv_check(const struct kv *kv)
{
    btree_check(&kv->tree);
    struct tally tally = {.slab_bytes = kv->tree.node_bytes + history_slab_bytes(&kv->history) +
                                        documents_slab_bytes(&kv->documents) +
                                        leases_check(&kv->leases) +
                                        retry_table_check(&kv->retries, kv->time_ms)};
    struct btree_place at = btree_seek(&kv->tree, slice_of(NULL, 0));
    for (; btree_at(at) != NULL; at = btree_next(at)) {
        check_entry(kv, btree_at(at), &tally);
    }
    CHECK(kv->revision >= 1 && kv->compact_revision <= kv->revision);
    CHECK_CMP(tally.keys, ==, kv->keys);
    CHECK_CMP(tally.leased_keys, ==, kv->leased_keys);
    CHECK_CMP(tally.leased_keys, ==, kv->leases.keys.count);
    CHECK_CMP(tally.live_bytes, ==, kv->live_bytes);
    CHECK_CMP(tally.slab_bytes, ==, kv->slab.used_bytes);
    CHECK_CMP(kv->slab.used_bytes, <=, kv->slab.held_bytes);
    check_history(kv, &tally);
    check_documents(kv);
    check_revisions(kv);
    auth_check(kv->auth);
}
