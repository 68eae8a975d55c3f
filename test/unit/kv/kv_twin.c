#include "kv_twin.h"

#include "base/mem.h"
#include "kv/kv_documents.h"
#include "kv/kv_history.h"

#include <string.h>

void twin_init(struct twin *t)
{
    *t = (struct twin){.revision = 1};
}

void twin_deinit(struct twin *t)
{
    for (size_t i = 0; i < t->count; i++) {
        mem_free((void *)(uintptr_t)t->changes[i].key.data);
        mem_free((void *)(uintptr_t)t->changes[i].value.data);
    }
    mem_free(t->changes);
    for (size_t i = 0; i < t->document_count; i++) {
        mem_free((void *)(uintptr_t)t->documents[i].content.data);
    }
    mem_free(t->documents);
    for (size_t i = 0; i < t->retry_count; i++) {
        mem_free((void *)(uintptr_t)t->retries[i].key.data);
    }
    mem_free(t->retries);
}

static struct slice copy(struct slice s)
{
    return slice_of(mem_strndup((const char *)s.data, s.size), s.size);
}

const struct twin_change *twin_find(const struct twin *t, struct slice key, uint64_t revision)
{
    for (size_t i = t->count; i-- > 0;) {
        if (t->changes[i].revision <= revision && slice_equal(t->changes[i].key, key)) {
            return &t->changes[i];
        }
    }
    return NULL;
}

static bool condition_holds(const struct kv_command *c, const struct twin_change *now)
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

static void change(struct twin *t, const struct kv_command *c, const struct twin_change *now,
                   struct kv_result *result)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity > 0 ? 2 * t->capacity : 64;
        struct twin_change *old = t->changes;
        size_t now_at = now != NULL ? (size_t)(now - old) : 0;
        t->changes = mem_realloc(t->changes, t->capacity * sizeof(*t->changes));
        now = now != NULL ? &t->changes[now_at] : NULL;
    }
    t->revision++;
    struct twin_change *new = &t->changes[t->count++];
    *new = (struct twin_change){.key = copy(c->key),
                                .revision = t->revision,
                                .is_delete = c->op == KV_DELETE,
                                .time_ms = t->time_ms};
    if (c->op == KV_PUT) {
        new->value = copy(c->value);
        new->lease = c->lease;
        new->create_revision = now != NULL ? now->create_revision : t->revision;
        new->version = now != NULL ? now->version + 1 : 1;
        result->create_revision = new->create_revision;
        result->version = new->version;
    }
}

static enum status compact(struct twin *t, uint64_t revision)
{
    if (revision <= t->compact_revision) {
        return STATUS_COMPACTED;
    }
    if (revision > t->revision) {
        return STATUS_FUTURE;
    }
    t->compact_revision = revision;
    return STATUS_OK;
}

static void add_document(struct twin *t, const struct kv_command *c, struct kv_result *result)
{
    t->documents = mem_realloc(t->documents, (t->document_count + 1) * sizeof(*t->documents));
    t->documents[t->document_count++] = (struct twin_document){
        .content = copy(c->value), .revision = ++t->revision, .time_ms = t->time_ms};
    result->time_ms = t->time_ms;
}

static void apply_once(struct twin *t, const struct kv_command *c, struct kv_result *result)
{
    *result = (struct kv_result){.status = STATUS_OK};
    if (c->op == KV_COMPACT) {
        result->status = compact(t, c->revision);
    } else if (c->op == KV_DOCUMENT) {
        add_document(t, c, result);
    } else {
        const struct twin_change *now = twin_find(t, c->key, UINT64_MAX);
        now = now != NULL && !now->is_delete ? now : NULL;
        if (!condition_holds(c, now)) {
            result->status = STATUS_CONFLICT;
        } else if (c->op == KV_DELETE && now == NULL) {
            result->status = STATUS_NOT_FOUND;
        } else {
            change(t, c, now, result);
        }
    }
    result->revision = t->revision;
}

static const struct twin_retry *find_retry(const struct twin *t, struct slice key)
{
    for (size_t i = t->retry_count; i-- > 0;) {
        if (slice_equal(t->retries[i].key, key) &&
            t->time_ms - t->retries[i].time_ms <= RETRY_KEPT_MS) {
            return &t->retries[i];
        }
    }
    return NULL;
}

static void keep_retry(struct twin *t, const struct kv_command *c, const struct kv_result *result)
{
    t->retries = mem_realloc(t->retries, (t->retry_count + 1) * sizeof(*t->retries));
    struct twin_retry *new = &t->retries[t->retry_count++];
    *new = (struct twin_retry){.key = copy(c->retry_key),
                               .hash = {c->retry_hash[0], c->retry_hash[1]},
                               .time_ms = t->time_ms,
                               .result = *result};
    new->result.replayed = true;
}

void twin_apply(struct twin *t, const struct kv_command *c, struct kv_result *result)
{
    t->time_ms = c->time_ms > t->time_ms ? c->time_ms : t->time_ms;
    for (unsigned i = 0; i < 4 && t->retry_first < t->retry_count &&
                         t->time_ms - t->retries[t->retry_first].time_ms > RETRY_KEPT_MS;
         i++) {
        t->retry_first++;
    }
    const struct twin_retry *first = c->retry_key.size > 0 ? find_retry(t, c->retry_key) : NULL;
    if (first != NULL && memcmp(first->hash, c->retry_hash, sizeof(first->hash)) != 0) {
        *result = (struct kv_result){.status = STATUS_MISMATCH, .revision = t->revision};
        return;
    }
    if (first != NULL) {
        *result = first->result;
        return;
    }
    apply_once(t, c, result);
    if (c->retry_key.size > 0) {
        result->retry_origin = c->retry_origin;
        keep_retry(t, c, result);
    }
}

enum status twin_get(const struct twin *t, struct slice key, uint64_t revision,
                     const struct twin_change **found)
{
    revision = revision > 0 ? revision : t->revision;
    if (revision > t->revision) {
        return STATUS_FUTURE;
    }
    if (revision < t->compact_revision) {
        return STATUS_COMPACTED;
    }
    *found = twin_find(t, key, revision);
    return *found != NULL && !(*found)->is_delete ? STATUS_OK : STATUS_NOT_FOUND;
}

const struct twin_change *twin_next(const struct twin *t, struct slice from, uint64_t revision)
{
    const struct twin_change *best = NULL;
    for (size_t i = 0; i < t->count; i++) {
        const struct twin_change *c = &t->changes[i];
        if (c->revision <= revision && slice_compare(c->key, from) >= 0 &&
            (best == NULL || slice_compare(c->key, best->key) < 0) &&
            !twin_find(t, c->key, revision)->is_delete) {
            best = c;
        }
    }
    return best != NULL ? twin_find(t, best->key, revision) : NULL;
}

/* Is this change the present state of its key? */
static bool is_live(const struct twin *t, const struct twin_change *c)
{
    return !c->is_delete && twin_find(t, c->key, UINT64_MAX) == c;
}

uint64_t twin_keys(const struct twin *t)
{
    uint64_t keys = 0;
    for (size_t i = 0; i < t->count; i++) {
        keys += is_live(t, &t->changes[i]);
    }
    return keys;
}

uint64_t twin_live_bytes(const struct twin *t)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct twin_change *c = &t->changes[i];
        bytes += is_live(t, c) ? HISTORY_LIVE_OVERHEAD + c->key.size + c->value.size : 0;
    }
    for (size_t i = 0; i < t->document_count; i++) {
        bytes += DOCUMENTS_OVERHEAD + t->documents[i].content.size;
    }
    return bytes;
}

uint64_t twin_history_bytes(const struct twin *t, uint64_t from_revision)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct twin_change *c = &t->changes[i];
        if (c->revision < from_revision) {
            continue;
        }
        bytes += HISTORY_CHANGE_OVERHEAD;
        const struct twin_change *before = twin_find(t, c->key, c->revision - 1);
        if (before == NULL || before->is_delete) {
            continue;
        }
        bytes += before->value.size +
                 (c->is_delete ? HISTORY_LIVE_OVERHEAD + c->key.size : HISTORY_VERSION_OVERHEAD);
    }
    return bytes;
}

uint64_t twin_time_of(const struct twin *t, uint64_t revision)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->changes[i].revision == revision) {
            return t->changes[i].time_ms;
        }
    }
    return 0;
}
