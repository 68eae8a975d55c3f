#include "model.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct past {
    uint64_t revision;
    uint64_t create_revision;
    uint64_t version;
    uint64_t value_hash;
    bool is_there;
};

struct key_past {
    struct past *pasts; /* by revision */
    uint32_t count;
    uint32_t capacity;
};

struct made_document {
    uint64_t revision;
    uint64_t time_ms;
    uint64_t content_hash;
};

struct model {
    struct key_past keys[SIM_KEYS_MAX];
    struct made_document *documents; /* by revision */
    uint32_t document_count;
    uint32_t document_capacity;
    uint64_t time_ms;
    uint64_t revision;
    uint64_t compacted;
};

void model_key(uint32_t i, char key[MODEL_KEY_BYTES])
{
    snprintf(key, MODEL_KEY_BYTES, "k%05u", i % 100000);
}

static uint32_t key_number(struct slice key)
{
    char text[MODEL_KEY_BYTES] = {0};
    CHECK(key.size == 6 && key.data[0] == 'k');
    memcpy(text, key.data + 1, 5);
    uint32_t number = (uint32_t)strtoul(text, NULL, 10);
    CHECK(number < SIM_KEYS_MAX);
    return number;
}

static uint64_t hash_of(struct slice value)
{
    return (uint64_t)value.size << 32 | crc32c(1, value.data, value.size);
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
        mem_free(m->keys[i].pasts);
    }
    mem_free(m->documents);
    mem_free(m);
}

static struct past *newest(struct key_past *k)
{
    return k->count > 0 ? &k->pasts[k->count - 1] : NULL;
}

static bool condition_holds(const struct kv_command *c, const struct past *past)
{
    bool is_there = past != NULL && past->is_there;
    switch (c->condition) {
    case KV_IF_REVISION:
        return is_there && past->revision == c->condition_revision;
    case KV_IF_EXISTS:
        return is_there;
    case KV_IF_ABSENT:
        return !is_there;
    default:
        return true;
    }
}

static void change(struct model *m, const struct kv_command *c, struct kv_result *result)
{
    struct key_past *k = &m->keys[key_number(c->key)];
    struct past *old = newest(k);
    bool was_there = old != NULL && old->is_there;
    if (!condition_holds(c, old)) {
        result->status = STATUS_CONFLICT;
        return;
    }
    if (c->op == KV_DELETE && !was_there) {
        result->status = STATUS_NOT_FOUND;
        return;
    }
    struct past past = {.revision = ++m->revision, .is_there = c->op == KV_PUT};
    if (past.is_there) {
        past.create_revision = was_there ? old->create_revision : past.revision;
        past.version = was_there ? old->version + 1 : 1;
        past.value_hash = hash_of(c->value);
        result->create_revision = past.create_revision;
        result->version = past.version;
    }
    if (k->count == k->capacity) {
        k->capacity = k->capacity * 2 + 16;
        k->pasts = mem_realloc(k->pasts, k->capacity * sizeof(*k->pasts));
    }
    k->pasts[k->count++] = past;
}

static void add_document(struct model *m, const struct kv_command *c, struct kv_result *result)
{
    if (m->document_count == m->document_capacity) {
        m->document_capacity = m->document_capacity * 2 + 16;
        m->documents = mem_realloc(m->documents, m->document_capacity * sizeof(*m->documents));
    }
    m->documents[m->document_count++] = (struct made_document){
        .revision = ++m->revision, .time_ms = m->time_ms, .content_hash = hash_of(c->value)};
    result->time_ms = m->time_ms;
}

void model_see_time(struct model *m, uint64_t time_ms)
{
    m->time_ms = time_ms > m->time_ms ? time_ms : m->time_ms;
}

void model_apply(struct model *m, const struct kv_command *c, struct kv_result *result)
{
    *result = (struct kv_result){.status = STATUS_OK};
    if (c->op == KV_DOCUMENT) {
        add_document(m, c, result);
    } else if (c->op != KV_COMPACT) {
        change(m, c, result);
    } else if (c->revision <= m->compacted) {
        result->status = STATUS_COMPACTED;
    } else if (c->revision > m->revision) {
        result->status = STATUS_FUTURE;
    } else {
        m->compacted = c->revision;
    }
    result->revision = m->revision;
}

uint64_t model_revision(const struct model *m)
{
    return m->revision;
}

uint64_t model_compacted(const struct model *m)
{
    return m->compacted;
}

static const struct past *past_at(const struct key_past *k, uint64_t revision)
{
    uint32_t i = k->count;
    while (i > 0 && k->pasts[i - 1].revision > revision) {
        i--;
    }
    return i > 0 && k->pasts[i - 1].is_there ? &k->pasts[i - 1] : NULL;
}

bool model_agrees(const struct model *m, struct slice key, uint64_t revision,
                  const struct kv_item *item)
{
    const struct past *past = past_at(&m->keys[key_number(key)], revision);
    if (past == NULL || item == NULL) {
        return past == NULL && item == NULL;
    }
    return past->revision == item->revision && past->create_revision == item->create_revision &&
           past->version == item->version && past->value_hash == hash_of(item->value);
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
            d.time_ms != made->time_ms || hash_of(d.content) != made->content_hash) {
            return false;
        }
    }
    struct kv_document more;
    return !kv_document_at(kv, *count, &more);
}

uint32_t model_count(const struct model *m, uint64_t revision)
{
    uint32_t count = 0;
    for (int i = 0; i < SIM_KEYS_MAX; i++) {
        count += past_at(&m->keys[i], revision) != NULL;
    }
    return count;
}
