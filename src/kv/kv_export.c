/* kv/kv_export.c - a store into an image (kv_image.h).
 *
 * The moment is kept by numbers: what was made after it has a higher number than the export's last
 * change, and what it needs is at or behind the floor of the moment, below which it keeps
 * kv_compact_step from freeing anything. So the walk over the keys takes, of each, the newest
 * version from before the floor; those versions are never freed meanwhile, and neither is any from
 * the floor on nor its key. */
#include "base/check.h"
#include "base/codec.h"
#include "base/mem.h"
#include "kv/kv_auth_table.h"
#include "kv/kv_image.h"
#include "kv/kv_image_format.h"
#include "kv/kv_state.h"

/* Versions and keys passed without writing anything, in one step. */
#define SKIPPED_MAX     512u
/* How many changes or keys ahead memory is asked for. */
#define PREFETCH_NEAR   4u
#define PREFETCH_FAR    8u
#define CACHE_LINE      64u
#define PREFETCH_LINES  5u
/* An item without its key and value. */
#define ITEM_HEAD_BYTES 96u

enum phase {
    EXPORT_HEAD,
    EXPORT_COPIED,
    EXPORT_BASE,
    EXPORT_DOCUMENTS,
    EXPORT_CHANGES,
    EXPORT_RETRIES,
    EXPORT_END,
    EXPORT_DONE,
};

struct kv_export {
    struct kv *kv;
    enum phase phase;
    /* The moment. */
    uint64_t revision;
    uint64_t compact_revision;
    uint64_t time_ms;
    struct kv_digest digest;
    uint64_t change_end;
    uint64_t document_end;
    uint64_t grants;
    bool has_auth;
    /* Items of leases, users and roles: they come and go, and there are not too many to copy. */
    struct buf copied;
    size_t copied_at;          /* so much of it was written */
    const struct retry *retry; /* the next one */
    uint64_t retries_left;
    /* Where the walk over the keys is: at a place in the tree that `next` finds again, or within
     * the versions of an entry, if `version` is not NULL. */
    struct buf next;
    struct btree_place place;
    uint64_t tree_changes;
    bool is_last; /* there is none behind e->entry */
    const struct btree_entry *entry;
    const struct version *version;
    uint64_t document; /* the next one */
    uint64_t change;   /* likewise */
    /* Of the last change or document. */
    uint64_t last_revision;
    uint64_t last_time_ms;
};

/* In the order of their grants, in which they stand in memory, as a rule. */
static void put_leases(const struct leases *t, struct buf *out)
{
    uint64_t last = 0;
    struct btree_place at = btree_seek(&t->by_grant, slice_of(NULL, 0));
    for (; btree_at(at) != NULL; at = btree_next(at)) {
        const struct lease *l = btree_at(at)->payload;
        put_u8(out, IMAGE_LEASE);
        put_varint(out, l->grant - last);
        put_varint(out, l->id);
        put_varint(out, l->ttl_s);
        put_u8(out, l->is_private);
        last = l->grant;
    }
}

static void put_auth(const struct auth *a, struct buf *out)
{
    struct buf item = {0};
    if (auth_is_pristine(a)) {
        return;
    }
    auth_put_head(a, &item);
    put_u8(out, IMAGE_AUTH);
    put_bytes(out, buf_slice(&item));
    for (size_t i = 0; i < a->users.count; i++) {
        buf_clear(&item);
        auth_put_user((const struct auth_user *)a->users.at[i], &item);
        put_u8(out, IMAGE_AUTH_USER);
        put_bytes(out, buf_slice(&item));
    }
    for (size_t i = 0; i < a->roles.count; i++) {
        buf_clear(&item);
        auth_put_role((const struct auth_role *)a->roles.at[i], &item);
        put_u8(out, IMAGE_AUTH_ROLE);
        put_bytes(out, buf_slice(&item));
    }
    buf_deinit(&item);
}

struct kv_export *kv_export_begin(struct kv *kv)
{
    if (kv->is_held) {
        return NULL;
    }
    struct kv_export *e = mem_calloc(1, sizeof(*e));
    *e = (struct kv_export){.kv = kv,
                            .revision = kv->revision,
                            .compact_revision = kv->compact_revision,
                            .time_ms = kv->time_ms,
                            .digest = kv_digest(kv),
                            .change = kv->history.floor,
                            .change_end = kv->history.tail,
                            .document_end = kv->documents.count,
                            .grants = kv->leases.grants,
                            .has_auth = !auth_is_pristine(kv->auth),
                            .retry = kv->retries.head,
                            .retries_left = kv->retries.count};
    put_leases(&kv->leases, &e->copied);
    put_auth(kv->auth, &e->copied);
    kv->is_held = true;
    kv->held_change = kv->history.floor;
    e->place = btree_seek(&kv->tree, slice_of(NULL, 0));
    e->tree_changes = kv->tree.changes;
    return e;
}

void kv_export_end(struct kv_export *e)
{
    if (e == NULL) {
        return;
    }
    e->kv->is_held = false;
    buf_deinit(&e->next);
    buf_deinit(&e->copied);
    mem_free(e);
}

static void put_head(const struct kv_export *e, struct buf *out)
{
    buf_append(out, IMAGE_MAGIC, IMAGE_MAGIC_SIZE);
    uint32_t format = e->document_end > 0 ? IMAGE_FORMAT_DOCUMENTS : IMAGE_FORMAT_PLAIN;
    format = e->grants > 0 ? IMAGE_FORMAT_LEASES : format;
    format = e->has_auth ? IMAGE_FORMAT_AUTH : format;
    put_u32(out, format);
    put_varint(out, e->revision);
    put_varint(out, e->compact_revision);
    put_varint(out, e->time_ms);
    if (format >= IMAGE_FORMAT_LEASES) {
        put_varint(out, e->grants);
    }
}

/* True when all of them are written. */
static bool export_copied(struct kv_export *e, struct buf *out, size_t end)
{
    size_t left = e->copied.size - e->copied_at;
    size_t size = left < end - out->size ? left : end - out->size;
    if (left == 0) {
        return true;
    }
    buf_append(out, e->copied.data + e->copied_at, size);
    e->copied_at += size;
    return size == left;
}

/* --- keys ------------------------------------------------------------------------------------- */

/* The next entry of the walk, which goes on behind it; NULL at the end. */
static const struct btree_entry *take_entry(struct kv_export *e)
{
    if (!e->is_last && e->tree_changes != e->kv->tree.changes) {
        e->place = btree_seek(&e->kv->tree, buf_slice(&e->next));
        e->tree_changes = e->kv->tree.changes;
    }
    const struct btree_entry *entry = e->is_last ? NULL : btree_at(e->place);
    if (entry == NULL) {
        return NULL;
    }
    e->place = btree_next(e->place);
    const struct btree_entry *near = btree_peek(e->place, PREFETCH_NEAR);
    for (unsigned i = 0; near != NULL && i < PREFETCH_LINES; i++) {
        __builtin_prefetch((const char *)near->payload + (size_t)i * CACHE_LINE);
    }
    __builtin_prefetch(btree_peek(e->place, PREFETCH_FAR));
    return entry;
}

/* The tree may change until the next step: remember where to go on. If it has changed before this
 * step and the place was not found again, no entry was taken, and `next` still holds. */
static void keep_place(struct kv_export *e)
{
    if (e->tree_changes != e->kv->tree.changes) {
        return;
    }
    const struct btree_entry *entry = e->is_last ? NULL : btree_at(e->place);
    buf_clear(&e->next);
    e->is_last = e->is_last || entry == NULL;
    if (!e->is_last) {
        buf_append_slice(&e->next, btree_entry_key(entry));
    }
}

static void put_base(const struct btree_entry *entry, const struct version *v, struct buf *out)
{
    struct version_fields f;
    version_read(v, &f);
    buf_reserve(out, ITEM_HEAD_BYTES + entry->key_size + f.value.size);
    put_u8(out, IMAGE_BASE);
    put_bytes(out, btree_entry_key(entry));
    put_varint(out, f.revision);
    put_varint(out, f.version);
    put_varint(out, f.revision - f.create_revision);
    put_varint(out, f.lease);
    put_bytes(out, f.value);
}

/* Visit a version of e->entry: pass it if it was made from the floor on, and else it is the newest
 * from before, and the last to be visited. An entry with e->version left to visit has a change from
 * the floor on, so that both are still there at the next step. */
static void visit(struct kv_export *e, const struct version *v, struct buf *out)
{
    if (v->revision >= e->compact_revision) {
        e->version = v->older;
        return;
    }
    if (!v->is_tombstone) {
        put_base(e->entry, v, out);
    }
    e->version = NULL;
}

/* True when all keys were visited. */
static bool export_base(struct kv_export *e, struct buf *out, size_t end)
{
    if (e->compact_revision == 0) {
        return true; /* all that there is was made by the changes */
    }
    for (unsigned skipped = 0; out->size < end && skipped < SKIPPED_MAX; skipped++) {
        if (e->version == NULL) {
            e->entry = take_entry(e);
            if (e->entry == NULL) {
                return true;
            }
        }
        size_t before = out->size;
        visit(e, e->version != NULL ? e->version : e->entry->payload, out);
        skipped = out->size > before ? 0 : skipped;
    }
    return false;
}

/* --- documents, changes and answers ----------------------------------------------------------- */

static bool export_documents(struct kv_export *e, struct buf *out, size_t end)
{
    for (; e->document < e->document_end && out->size < end; e->document++) {
        const struct document *d = documents_at(&e->kv->documents, e->document);
        buf_reserve(out, ITEM_HEAD_BYTES + d->size);
        put_u8(out, IMAGE_DOCUMENT);
        put_varint(out, d->revision - e->last_revision);
        put_varint(out, d->time_ms - e->last_time_ms);
        put_bytes(out, document_content(d));
        e->last_revision = d->revision;
        e->last_time_ms = d->time_ms;
    }
    return e->document == e->document_end;
}

static void prefetch_change(const struct kv_export *e)
{
    const struct history *h = &e->kv->history;
    if (e->change + PREFETCH_FAR >= e->change_end) {
        return;
    }
    const struct change far = history_at(h, e->change + PREFETCH_FAR);
    __builtin_prefetch(far.entry);
    for (unsigned i = 0; i < PREFETCH_LINES; i++) {
        __builtin_prefetch((const char *)far.version + (size_t)i * CACHE_LINE);
    }
}

static void put_change(struct kv_export *e, const struct change *c, struct buf *out)
{
    const struct version *v = c->version;
    buf_reserve(out, ITEM_HEAD_BYTES + c->entry->key_size + v->value_size);
    put_u8(out, v->is_tombstone ? IMAGE_DELETE : IMAGE_PUT);
    put_bytes(out, btree_entry_key(c->entry));
    put_varint(out, v->revision - e->last_revision);
    put_varint(out, c->time_ms - e->last_time_ms);
    if (!v->is_tombstone) {
        struct version_fields f;
        version_read(v, &f);
        put_varint(out, f.lease);
        put_bytes(out, f.value);
    }
    e->last_revision = v->revision;
    e->last_time_ms = c->time_ms;
}

static bool export_changes(struct kv_export *e, struct buf *out, size_t end)
{
    for (; e->change < e->change_end && out->size < end; e->change++) {
        prefetch_change(e);
        const struct change c = history_at(&e->kv->history, e->change);
        put_change(e, &c, out);
    }
    return e->change == e->change_end;
}

static bool export_retries(struct kv_export *e, struct buf *out, size_t end)
{
    for (; e->retries_left > 0 && out->size < end; e->retries_left--) {
        const struct retry *r = e->retry;
        put_u8(out, IMAGE_RETRY);
        put_bytes(out, retry_key(r));
        put_varint(out, r->time_ms);
        put_u64(out, r->hash[0]);
        put_u64(out, r->hash[1]);
        put_varint(out, r->origin);
        put_u8(out, (uint8_t)retry_answer_of(r->status));
        put_varint(out, r->revision);
        put_varint(out, r->create_revision);
        put_varint(out, r->version);
        e->retry = r->next;
    }
    return e->retries_left == 0;
}

/* --- */

bool kv_export_step(struct kv_export *e, struct buf *out, size_t bytes)
{
    size_t end = out->size + (bytes > 0 ? bytes : 1);
    switch (e->phase) {
    case EXPORT_HEAD:
        put_head(e, out);
        e->phase = EXPORT_COPIED;
        break;
    case EXPORT_COPIED:
        e->phase = export_copied(e, out, end) ? EXPORT_BASE : EXPORT_COPIED;
        break;
    case EXPORT_BASE:
        e->phase = export_base(e, out, end) ? EXPORT_DOCUMENTS : EXPORT_BASE;
        keep_place(e);
        break;
    case EXPORT_DOCUMENTS:
        if (export_documents(e, out, end)) {
            e->phase = EXPORT_CHANGES;
            e->last_revision = 0;
            e->last_time_ms = 0;
        }
        break;
    case EXPORT_CHANGES:
        e->phase = export_changes(e, out, end) ? EXPORT_RETRIES : EXPORT_CHANGES;
        break;
    case EXPORT_RETRIES:
        e->phase = export_retries(e, out, end) ? EXPORT_END : EXPORT_RETRIES;
        break;
    case EXPORT_END:
        put_u8(out, IMAGE_END);
        put_u64(out, e->digest.half[0]);
        put_u64(out, e->digest.half[1]);
        e->phase = EXPORT_DONE;
        break;
    case EXPORT_DONE:
        break;
    }
    return e->phase != EXPORT_DONE;
}
