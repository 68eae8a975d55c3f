#include "base/check.h"
#include "base/mem.h"
#include "model_state.h"

void model_key(uint32_t i, char key[MODEL_KEY_BYTES])
{
    key[0] = 'k';
    for (int at = MODEL_KEY_BYTES - 2; at > 0; at--) {
        key[at] = (char)('0' + i % 10);
        i /= 10;
    }
    key[MODEL_KEY_BYTES - 1] = '\0';
}

uint32_t model_key_number(struct slice key)
{
    uint32_t number = 0;
    CHECK(key.size == 6 && key.data[0] == 'k');
    for (size_t i = 1; i < key.size; i++) {
        CHECK(key.data[i] >= '0' && key.data[i] <= '9');
        number = number * 10 + (key.data[i] - '0');
    }
    CHECK(number < SIM_KEYS_MAX);
    return number;
}

struct model *model_create(void)
{
    struct model *m = mem_calloc(1, sizeof(*m));
    m->revision = 1;
    return m;
}

void model_destroy(struct model *m)
{
    for (int i = 0; i < SIM_KEYS_MAX; i++) {
        mem_free(m->keys[i].items);
    }
    mem_free(m->changes);
    mem_free(m->documents);
    mem_free(m->leases);
    mem_free(m);
}

/* --- changes ---------------------------------------------------------------------------------- */

const struct model_item *model_now(const struct model *m, uint32_t key)
{
    const struct key_past *k = &m->keys[key];
    return k->count > 0 && k->items[k->count - 1].is_there ? &k->items[k->count - 1] : NULL;
}

static void change(struct model *m, uint32_t key, const struct model_item *item)
{
    struct key_past *k = &m->keys[key];
    if (k->count == k->capacity) {
        k->capacity = k->capacity * 2 + 16;
        k->items = mem_realloc(k->items, k->capacity * sizeof(*k->items));
    }
    k->items[k->count++] = *item;
    if (m->change_count == m->change_capacity) {
        m->change_capacity = m->change_capacity * 2 + 64;
        m->changes = mem_realloc(m->changes, m->change_capacity * sizeof(*m->changes));
    }
    m->changes[m->change_count++] = (struct model_change){.key = key, .item = *item};
    m->revision = item->revision;
}

void model_put(struct model *m, uint32_t key, uint64_t revision, struct slice value, uint64_t lease)
{
    const struct model_item *old = model_now(m, key);
    const struct model_item made = {.revision = revision,
                                    .create_revision =
                                        old != NULL ? old->create_revision : revision,
                                    .version = old != NULL ? old->version + 1 : 1,
                                    .lease = lease,
                                    .value = value,
                                    .is_there = true};
    change(m, key, &made);
}

void model_delete(struct model *m, uint32_t key, uint64_t revision)
{
    change(m, key, &(struct model_item){.revision = revision});
}

/* --- commands --------------------------------------------------------------------------------- */

static bool condition_holds(const struct kv_command *c, const struct model_item *now)
{
    switch (c->condition) {
    case KV_IF_REVISION:
        return now != NULL && now->revision == c->condition_revision;
    case KV_IF_EXISTS:
        return now != NULL;
    case KV_IF_ABSENT:
        return now == NULL;
    default:
        return true;
    }
}

static void apply_to_key(struct model *m, const struct kv_command *c, struct kv_result *result)
{
    uint32_t key = model_key_number(c->key);
    if (!condition_holds(c, model_now(m, key))) {
        result->status = STATUS_CONFLICT;
        return;
    }
    if (c->op == KV_DELETE) {
        if (model_now(m, key) == NULL) {
            result->status = STATUS_NOT_FOUND;
        } else {
            model_delete(m, key, m->revision + 1);
        }
        return;
    }
    uint64_t lease = c->lease;
    if (c->op == KV_PUT_TTL) {
        lease = model_free_lease(m, lease);
        model_grant(m, lease, c->ttl_s, true);
        result->lease = lease;
    } else if (lease != 0 && model_lease_of(m, lease) == NULL) {
        result->status = STATUS_NO_LEASE;
        return;
    }
    model_put(m, key, m->revision + 1, c->value, lease);
    result->create_revision = model_now(m, key)->create_revision;
    result->version = model_now(m, key)->version;
}

static void add_document(struct model *m, const struct kv_command *c, struct kv_result *result)
{
    if (m->document_count == m->document_capacity) {
        m->document_capacity = m->document_capacity * 2 + 16;
        m->documents = mem_realloc(m->documents, m->document_capacity * sizeof(*m->documents));
    }
    m->documents[m->document_count++] = (struct made_document){
        .revision = ++m->revision, .time_ms = m->time_ms, .content = c->value};
    result->time_ms = m->time_ms;
}

static void compact(struct model *m, const struct kv_command *c, struct kv_result *result)
{
    if (c->revision <= m->compacted) {
        result->status = STATUS_COMPACTED;
    } else if (c->revision > m->revision) {
        result->status = STATUS_FUTURE;
    } else {
        m->compacted = c->revision;
    }
}

void model_see_time(struct model *m, uint64_t time_ms)
{
    m->time_ms = time_ms > m->time_ms ? time_ms : m->time_ms;
}

void model_apply(struct model *m, const struct kv_command *c, const struct kv_txn *txn,
                 struct kv_result *result, struct buf *answer)
{
    *result = (struct kv_result){.status = STATUS_OK};
    switch (c->op) {
    case KV_PUT:
    case KV_PUT_TTL:
    case KV_DELETE:
        apply_to_key(m, c, result);
        break;
    case KV_COMPACT:
        compact(m, c, result);
        break;
    case KV_TXN:
        model_txn(m, txn, result, answer);
        break;
    case KV_DOCUMENT:
        add_document(m, c, result);
        break;
    case KV_LEASE_GRANT:
    case KV_LEASE_REVOKE:
    case KV_LEASE_EXPIRE:
        model_lease_command(m, c, result);
        break;
    case KV_AUTH: /* in no schedule */
        break;
    }
    model_sweep(m);
    result->revision = m->revision;
}

/* --- what was --------------------------------------------------------------------------------- */

uint64_t model_revision(const struct model *m)
{
    return m->revision;
}

uint64_t model_compacted(const struct model *m)
{
    return m->compacted;
}

const struct model_item *model_get(const struct model *m, uint32_t key, uint64_t revision)
{
    const struct key_past *k = &m->keys[key];
    uint32_t i = k->count;
    while (i > 0 && k->items[i - 1].revision > revision) {
        i--;
    }
    return i > 0 && k->items[i - 1].is_there ? &k->items[i - 1] : NULL;
}

bool model_agrees(const struct model *m, struct slice key, uint64_t revision,
                  const struct kv_item *item)
{
    const struct model_item *must = model_get(m, model_key_number(key), revision);
    if (must == NULL || item == NULL) {
        return must == NULL && item == NULL;
    }
    return must->revision == item->revision && must->create_revision == item->create_revision &&
           must->version == item->version && must->lease == item->lease &&
           slice_equal(must->value, item->value);
}

bool model_has_documents(const struct model *m, const struct kv *kv, uint64_t revision,
                         uint64_t *count)
{
    for (*count = 0; *count < m->document_count; (*count)++) {
        const struct made_document *made = &m->documents[*count];
        struct kv_document d;
        if (made->revision > revision) {
            break;
        }
        if (!kv_document_at(kv, *count, &d) || d.revision != made->revision ||
            d.time_ms != made->time_ms || !slice_equal(d.content, made->content)) {
            return false;
        }
    }
    struct kv_document more;
    return !kv_document_at(kv, *count, &more);
}

uint32_t model_count(const struct model *m, uint64_t revision)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SIM_KEYS_MAX; i++) {
        count += model_get(m, i, revision) != NULL;
    }
    return count;
}

uint32_t model_change_count(const struct model *m)
{
    return m->change_count;
}

const struct model_change *model_change(const struct model *m, uint32_t number)
{
    return &m->changes[number];
}

uint32_t model_changes_from(const struct model *m, uint64_t revision)
{
    uint32_t low = 0;
    uint32_t high = m->change_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->changes[middle].item.revision < revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
