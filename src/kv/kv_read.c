/* kv/kv_read.c - the reads of kv.h: one key, the walk over a range, documents. */
#include "base/check.h"
#include "kv/kv_state.h"

/* How many keys ahead a walk asks the memory for an entry, and then for what that points to. */
#define PREFETCH_ENTRY   8u
#define PREFETCH_VERSION 4u

enum status kv_resolve_revision(const struct kv *kv, uint64_t *revision)
{
    if (*revision == 0) {
        *revision = kv->revision;
    }
    if (*revision > kv->revision) {
        return STATUS_FUTURE;
    }
    return *revision < kv->compact_revision ? STATUS_COMPACTED : STATUS_OK;
}

void kv_fill_item(const struct btree_entry *e, const struct version *v, struct kv_item *item)
{
    struct version_fields f;
    version_read(v, &f);
    *item = (struct kv_item){.key = btree_entry_key(e),
                             .value = f.value,
                             .create_revision = f.create_revision,
                             .revision = f.revision,
                             .version = f.version,
                             .lease = f.lease};
}

enum status kv_get(const struct kv *kv, struct slice key, uint64_t revision, struct kv_item *item)
{
    enum status status = kv_resolve_revision(kv, &revision);
    if (status != STATUS_OK) {
        return status;
    }
    const struct btree_entry *e = btree_find(&kv->tree, key);
    const struct version *v = e != NULL ? version_at(e->payload, revision) : NULL;
    if (v == NULL) {
        return STATUS_NOT_FOUND;
    }
    kv_fill_item(e, v, item);
    return STATUS_OK;
}

/* --- cursor ----------------------------------------------------------------------------------- */

enum status kv_cursor_init(struct kv_cursor *c, const struct kv *kv, struct slice from,
                           struct slice end, uint64_t revision)
{
    *c = (struct kv_cursor){.kv = kv};
    enum status status = kv_resolve_revision(kv, &revision);
    if (status != STATUS_OK) {
        c->done = true;
        return status;
    }
    c->revision = revision;
    c->has_end = end.size > 0;
    buf_append_slice(&c->end, end);
    kv_cursor_seek(c, from);
    return STATUS_OK;
}

void kv_cursor_deinit(struct kv_cursor *c)
{
    buf_deinit(&c->next);
    buf_deinit(&c->end);
    *c = (struct kv_cursor){.done = true};
}

static void set_place(struct kv_cursor *c, struct btree_place place)
{
    c->leaf = place.leaf;
    c->slot = place.slot;
    c->tree_changes = c->kv->tree.changes;
}

void kv_cursor_seek(struct kv_cursor *c, struct slice key)
{
    CHECK(slice_compare(key, buf_slice(&c->next)) >= 0);
    buf_clear(&c->next);
    buf_append_slice(&c->next, key);
    set_place(c, btree_seek(&c->kv->tree, key));
}

/* Where to go on, found again by key if the tree has changed since. */
static struct btree_place find_place(const struct kv_cursor *c)
{
    if (c->tree_changes != c->kv->tree.changes) {
        return btree_seek(&c->kv->tree, buf_slice(&c->next));
    }
    return (struct btree_place){.leaf = c->leaf, .slot = c->slot};
}

/* The entry there, or NULL when it is beyond the range. */
static const struct btree_entry *entry_in_range(const struct kv_cursor *c, struct btree_place place)
{
    const struct btree_entry *e = btree_at(place);
    if (e == NULL || (c->has_end && slice_compare(btree_entry_key(e), buf_slice(&c->end)) >= 0)) {
        return NULL;
    }
    return e;
}

/* The next key is the smallest one greater than this: the same with a zero byte behind it. */
static void pass_key(struct kv_cursor *c, struct slice key)
{
    buf_clear(&c->next);
    buf_append_slice(&c->next, key);
    buf_append_byte(&c->next, 0);
}

/* A key is one cache miss and its version another; both are asked for before the walk is there. */
void kv_prefetch_ahead(struct btree_place place)
{
    const struct btree_entry *near = btree_peek(place, PREFETCH_VERSION);
    if (near != NULL) {
        __builtin_prefetch(near->payload);
    }
    __builtin_prefetch(btree_peek(place, PREFETCH_ENTRY));
}

enum status kv_cursor_next(struct kv_cursor *c, struct kv_item *item)
{
    if (c->done) {
        return STATUS_NOT_FOUND;
    }
    if (c->revision < c->kv->compact_revision) {
        return STATUS_COMPACTED;
    }
    struct btree_place place = find_place(c);
    for (const struct btree_entry *e; (e = entry_in_range(c, place)) != NULL;) {
        const struct version *v = version_at(e->payload, c->revision);
        place = btree_next(place);
        kv_prefetch_ahead(place);
        if (v != NULL) {
            kv_fill_item(e, v, item);
            pass_key(c, item->key);
            set_place(c, place);
            return STATUS_OK;
        }
    }
    c->done = true;
    return STATUS_NOT_FOUND;
}

void kv_prefix_end(struct slice prefix, struct buf *end)
{
    buf_clear(end);
    size_t size = prefix.size;
    while (size > 0 && prefix.data[size - 1] == 0xff) {
        size--;
    }
    buf_append(end, prefix.data, size);
    if (size > 0) {
        end->data[size - 1]++;
    }
}

/* --- documents -------------------------------------------------------------------------------- */

enum status kv_document_count(const struct kv *kv, uint64_t revision, uint64_t *count)
{
    *count = documents_up_to(&kv->documents, revision > 0 ? revision : kv->revision);
    return revision > kv->revision ? STATUS_FUTURE : STATUS_OK;
}

bool kv_document_at(const struct kv *kv, uint64_t number, struct kv_document *document)
{
    if (number >= kv->documents.count) {
        return false;
    }
    const struct document *d = documents_at(&kv->documents, number);
    *document = (struct kv_document){
        .revision = d->revision, .time_ms = d->time_ms, .content = document_content(d)};
    return true;
}
