#include "kv/kv_retry.h"

#include "base/check.h"
#include "base/limits.h"

/* So the bytes are the tighter limit for long keys, and the count for short ones. */
_Static_assert((uint64_t)LIMIT_RETRY_KEYS *(RETRY_OVERHEAD + LIMIT_RETRY_KEY_BYTES) >
                   LIMIT_RETRY_BYTES,
               "a limit that cannot be reached is none");

void retry_table_init(struct retry_table *t, struct slab *slab)
{
    *t = (struct retry_table){.slab = slab};
    btree_init(&t->index, slab);
}

void retry_table_deinit(struct retry_table *t)
{
    btree_deinit(&t->index);
    *t = (struct retry_table){0};
}

struct slice retry_key(const struct retry *r)
{
    return btree_entry_key(r->entry);
}

bool retry_is_kept(enum status status)
{
    return status == STATUS_OK || status == STATUS_CONFLICT || status == STATUS_NOT_FOUND;
}

enum retry_answer retry_answer_of(enum status status)
{
    if (status == STATUS_OK) {
        return RETRY_ANSWER_OK;
    }
    CHECK(retry_is_kept(status));
    return status == STATUS_CONFLICT ? RETRY_ANSWER_CONFLICT : RETRY_ANSWER_NOT_FOUND;
}

static bool is_expired(const struct retry *r, uint64_t now_ms)
{
    CHECK_CMP(r->time_ms, <=, now_ms);
    return now_ms - r->time_ms > RETRY_KEPT_MS;
}

static uint64_t cost_of(size_t key_size)
{
    return RETRY_OVERHEAD + key_size;
}

const struct retry *retry_table_find(const struct retry_table *t, struct slice key, uint64_t now_ms)
{
    const struct btree_entry *e = btree_find(&t->index, key);
    const struct retry *r = e != NULL ? e->payload : NULL;
    return r != NULL && !is_expired(r, now_ms) ? r : NULL;
}

bool retry_table_is_full(const struct retry_table *t, struct slice key)
{
    return t->count >= LIMIT_RETRY_KEYS || t->bytes + cost_of(key.size) > LIMIT_RETRY_BYTES;
}

const struct retry *retry_table_add(struct retry_table *t, struct slice key, const struct retry *r)
{
    CHECK(key.size >= 1 && key.size <= LIMIT_RETRY_KEY_BYTES);
    CHECK(!retry_table_is_full(t, key));
    CHECK(t->last == NULL || t->last->time_ms <= r->time_ms);
    struct retry *kept = slab_alloc(t->slab, sizeof(*kept));
    *kept = *r;
    kept->next = NULL;
    kept->entry = btree_insert(&t->index, key);
    kept->entry->payload = kept;
    if (t->last != NULL) {
        t->last->next = kept;
    } else {
        t->first = kept;
    }
    t->last = kept;
    t->head = t->head != NULL ? t->head : kept;
    t->count++;
    t->bytes += cost_of(key.size);
    digest_add(&t->sum, digest_retry(kept));
    return kept;
}

void retry_table_forget(struct retry_table *t)
{
    CHECK(t->head != NULL && t->count > 0);
    t->count--;
    t->bytes -= cost_of(t->head->entry->key_size);
    digest_subtract(&t->sum, digest_retry(t->head));
    t->head = t->head->next;
}

void retry_table_forget_all(struct retry_table *t)
{
    t->head = NULL;
    t->count = 0;
    t->bytes = 0;
    t->sum = (struct kv_digest){0};
    while (retry_table_free(t, LIMIT_RETRY_KEYS)) {
    }
}

bool retry_table_is_due(const struct retry_table *t, uint64_t now_ms)
{
    return t->head != NULL && is_expired(t->head, now_ms);
}

bool retry_table_free(struct retry_table *t, unsigned budget)
{
    for (; budget > 0 && t->first != t->head; budget--) {
        struct retry *r = t->first;
        CHECK(r != NULL);
        t->first = r->next;
        t->last = t->first != NULL ? t->last : NULL;
        if (r->entry->payload == r) {
            btree_remove(&t->index, r->entry);
        }
        slab_free(t->slab, r, sizeof(*r));
    }
    return t->first != t->head;
}

uint64_t retry_table_check(const struct retry_table *t, uint64_t now_ms)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t keys = 0;
    uint64_t slab_bytes = t->index.node_bytes;
    bool is_kept = false;
    const struct retry *before = NULL;
    btree_check(&t->index);
    for (const struct retry *r = t->first; r != NULL; r = r->next) {
        is_kept = is_kept || r == t->head;
        count += is_kept;
        bytes += is_kept ? cost_of(r->entry->key_size) : 0;
        slab_bytes += sizeof(*r);
        CHECK(is_kept || is_expired(r, now_ms));
        CHECK(before == NULL || before->time_ms <= r->time_ms);
        if (r->entry->payload == r) {
            keys++;
            slab_bytes += btree_entry_size(r->entry->key_size);
        }
        before = r;
    }
    CHECK(before == t->last);
    CHECK_CMP(count, ==, t->count);
    CHECK_CMP(bytes, ==, t->bytes);
    CHECK_CMP(keys, ==, t->index.count);
    CHECK_CMP(t->count, <=, LIMIT_RETRY_KEYS);
    CHECK_CMP(t->bytes, <=, LIMIT_RETRY_BYTES);
    return slab_bytes;
}
