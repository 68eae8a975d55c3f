/* kv/kv_import.c - an image into a store (kv_image.h).
 *
 * Nothing in the bytes is believed: every item must be one that an export of some store could have
 * written after those before it, so that the store built keeps its invariants whatever comes; and
 * memory grows by what has come, not by what it promises. */
#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_auth_table.h"
#include "kv/kv_image.h"
#include "kv/kv_image_format.h"
#include "kv/kv_state.h"

enum phase {
    IMPORT_HEAD,
    IMPORT_ITEMS,
    IMPORT_DONE,
};

struct kv_import {
    struct kv *kv; /* owned */
    enum phase phase;
    enum status status; /* of all so far */
    struct buf rest;    /* the beginning of an item that has not come whole */
    uint32_t format;
    unsigned last_place; /* of its kind among the kinds */
    uint64_t last_grant;
    uint64_t document; /* number of the first that may stand behind the last change */
    uint64_t revision;
    uint64_t time_ms;
    struct kv_digest digest; /* that the image promises */
};

struct kv_import *kv_import_begin(void)
{
    struct kv_import *i = mem_calloc(1, sizeof(*i));
    i->kv = kv_create();
    return i;
}

void kv_import_abort(struct kv_import *i)
{
    if (i == NULL) {
        return;
    }
    kv_destroy(i->kv);
    buf_deinit(&i->rest);
    mem_free(i);
}

/* --- reading what may not have come yet ------------------------------------------------------- */

/* A reader that tells bytes that are wrong from bytes that are missing. */
struct feed {
    struct reader r;
    bool is_short; /* more must come before this can be read */
    bool is_wrong;
};

static bool feed_ok(const struct feed *f)
{
    return !f->is_short && !f->is_wrong;
}

static bool has(struct feed *f, uint64_t size)
{
    f->is_short = f->is_short || (!f->is_wrong && reader_left(&f->r) < size);
    return feed_ok(f);
}

static uint8_t take_u8(struct feed *f)
{
    return has(f, 1) ? get_u8(&f->r) : 0;
}

static uint64_t take_u64(struct feed *f)
{
    return has(f, 8) ? get_u64(&f->r) : 0;
}

/* In its shortest form only, so that equal states are equal images. */
static uint64_t take_varint(struct feed *f)
{
    size_t size = 0;
    size_t left = reader_left(&f->r);
    if (!feed_ok(f)) {
        return 0;
    }
    if (left > 0 && f->r.at[0] < 0x80) {
        return get_u8(&f->r); /* as most are */
    }
    while (size < left && size < VARINT_BYTES_MAX && (f->r.at[size] & 0x80) != 0) {
        size++;
    }
    if (size < VARINT_BYTES_MAX && !has(f, size + 1)) {
        return 0;
    }
    uint64_t v = get_varint(&f->r);
    f->is_wrong = f->is_wrong || !reader_ok(&f->r) || varint_size(v) != size + 1;
    return feed_ok(f) ? v : 0;
}

static struct slice take_bytes(struct feed *f, size_t min, size_t max)
{
    uint64_t size = take_varint(f);
    f->is_wrong = f->is_wrong || (feed_ok(f) && (size < min || size > max));
    return has(f, size) ? get_raw(&f->r, (size_t)size) : slice_of(NULL, 0);
}

static struct slice take_key(struct feed *f)
{
    return take_bytes(f, 1, LIMIT_KEY_BYTES);
}

/* --- items ------------------------------------------------------------------------------------ */

/* Each reads one item and returns OK when it was whole and is in the store; CORRUPT; BUSY when more
 * must come, and nothing was done. */

static enum status outcome_of(const struct feed *f)
{
    if (f->is_wrong) {
        return STATUS_CORRUPT;
    }
    return f->is_short ? STATUS_BUSY : STATUS_OK;
}

static enum status import_head(struct kv_import *i, struct feed *f)
{
    size_t there = reader_left(&f->r);
    there = there < IMAGE_MAGIC_SIZE ? there : IMAGE_MAGIC_SIZE;
    if (memcmp(f->r.at, IMAGE_MAGIC, there) != 0) {
        return STATUS_CORRUPT;
    }
    if (!has(f, IMAGE_MAGIC_SIZE + 4)) {
        return STATUS_BUSY;
    }
    get_raw(&f->r, IMAGE_MAGIC_SIZE);
    i->format = get_u32(&f->r);
    if (i->format < IMAGE_FORMAT_PLAIN || i->format > IMAGE_FORMAT_AUTH) {
        return i->format > IMAGE_FORMAT_AUTH ? STATUS_UNSUPPORTED : STATUS_CORRUPT;
    }
    uint64_t revision = take_varint(f);
    uint64_t compact_revision = take_varint(f);
    uint64_t time_ms = take_varint(f);
    bool has_leases = i->format >= IMAGE_FORMAT_LEASES;
    uint64_t grants = has_leases ? take_varint(f) : 0;
    if (!feed_ok(f)) {
        return outcome_of(f);
    }
    if (revision < i->kv->revision || compact_revision > revision ||
        (i->format == IMAGE_FORMAT_LEASES && grants == 0)) {
        return STATUS_CORRUPT;
    }
    i->kv->leases.grants = grants;
    i->revision = revision;
    i->time_ms = time_ms;
    i->kv->compact_revision = compact_revision;
    i->phase = IMPORT_ITEMS;
    return STATUS_OK;
}

static enum status import_lease(struct kv_import *i, struct feed *f)
{
    struct leases *leases = &i->kv->leases;
    uint64_t since = take_varint(f);
    struct lease l = {.id = take_varint(f)};
    l.ttl_s = take_varint(f);
    uint8_t is_private = take_u8(f);
    if (!feed_ok(f)) {
        return outcome_of(f);
    }
    l.grant = i->last_grant + since;
    l.is_private = is_private == 1;
    bool fits = since > 0 && since <= leases->grants - i->last_grant && l.id != 0 && l.ttl_s >= 1 &&
                l.ttl_s <= LIMIT_LEASE_TTL_S && is_private <= 1;
    if (!fits || leases->by_id.count == LIMIT_LEASES || leases_find(leases, l.id) != NULL) {
        return STATUS_CORRUPT;
    }
    i->last_grant = l.grant;
    leases_load(leases, &l);
    return STATUS_OK;
}

/* The head, a user or a role. */
static enum status import_auth(struct kv_import *i, struct feed *f, uint8_t item)
{
    struct auth *auth = i->kv->auth;
    struct slice bytes = take_bytes(f, 0, LIMIT_AUTH_BYTES);
    if (!feed_ok(f)) {
        return outcome_of(f);
    }
    if (auth_is_pristine(auth) != (item == IMAGE_AUTH)) {
        return STATUS_CORRUPT;
    }
    bool is_sound = item == IMAGE_AUTH        ? auth_load_head(auth, bytes)
                    : item == IMAGE_AUTH_USER ? auth_load_user(auth, bytes)
                                              : auth_load_role(auth, bytes);
    return is_sound ? STATUS_OK : STATUS_CORRUPT;
}

static enum status import_base(struct kv_import *i, struct feed *f)
{
    struct slice key = take_key(f);
    struct version_fields v = {.revision = take_varint(f)};
    v.version = take_varint(f);
    uint64_t since_create = take_varint(f);
    v.lease = take_varint(f);
    v.value = take_bytes(f, 0, LIMIT_VALUE_BYTES_MAX);
    if (!feed_ok(f)) {
        return outcome_of(f);
    }
    v.create_revision = v.revision - since_create;
    bool fits = v.revision > 1 && v.revision < i->kv->compact_revision &&
                since_create < v.revision - 1 && v.version >= 1 && v.version - 1 <= since_create &&
                (v.version == 1) == (since_create == 0);
    struct btree_entry *e = fits ? btree_append(&i->kv->tree, key) : NULL;
    if (e == NULL) {
        return STATUS_CORRUPT;
    }
    kv_load_version(i->kv, e, &v);
    return STATUS_OK;
}

static enum status import_document(struct kv_import *i, struct feed *f)
{
    uint64_t since_revision = take_varint(f);
    uint64_t since_ms = take_varint(f);
    struct slice content = take_bytes(f, 0, LIMIT_VALUE_BYTES_MAX);
    if (!feed_ok(f)) {
        return outcome_of(f);
    }
    struct documents *documents = &i->kv->documents;
    const struct document *last = documents_last(documents);
    uint64_t last_revision = last != NULL ? last->revision : 1;
    uint64_t last_ms = last != NULL ? last->time_ms : 0;
    since_revision -= last != NULL ? 0 : 1;
    if (since_revision == 0 || since_revision > i->revision - last_revision ||
        since_ms > i->time_ms - last_ms) {
        return STATUS_CORRUPT;
    }
    documents_append(documents, last_revision + since_revision, last_ms + since_ms, content);
    return STATUS_OK;
}

/* The first revision from `revision` on that no document made. Asked with revisions that ascend. */
static uint64_t pass_documents(struct kv_import *i, uint64_t revision)
{
    const struct documents *documents = &i->kv->documents;
    while (i->document < documents->count &&
           documents_at(documents, i->document)->revision <= revision) {
        revision += documents_at(documents, i->document)->revision == revision ? 1 : 0;
        i->document++;
    }
    return revision;
}

/* The revision of the next change is that of the last, or the one after it, documents passed; the
 * first is the one that the floor keeps, unless no change made that (kv_raise_revision, a document,
 * or an empty store). */
static bool follows(struct kv_import *i, uint64_t revision)
{
    const struct kv *kv = i->kv;
    if (kv->history.tail > 0) {
        return revision == kv->revision || revision == pass_documents(i, kv->revision + 1);
    }
    uint64_t floor = kv->compact_revision > 1 ? kv->compact_revision : 1;
    uint64_t next = pass_documents(i, floor);
    if (next == floor && revision == floor && floor > 1) {
        return true;
    }
    return revision == (next > floor ? next : pass_documents(i, floor + 1));
}

/* A revision changes no key twice, and was made at one time. */
static bool fits_revision(const struct kv *kv, const struct btree_entry *e, uint64_t revision,
                          uint64_t since_ms)
{
    if (kv->history.tail == 0 || revision > kv->revision) {
        return true;
    }
    const struct version *newest = e != NULL ? e->payload : NULL;
    return since_ms == 0 && (newest == NULL || newest->revision < revision);
}

/* Keys that were put in their order are a large part of many histories. */
static struct btree_entry *insert_key(struct kv *kv, struct slice key)
{
    struct btree_entry *e = btree_append(&kv->tree, key);
    return e != NULL ? e : btree_insert(&kv->tree, key);
}

static enum status import_change(struct kv_import *i, struct feed *f, bool is_put)
{
    struct kv *kv = i->kv;
    struct slice key = take_key(f);
    uint64_t since_revision = take_varint(f);
    uint64_t since_ms = take_varint(f);
    uint64_t lease = is_put ? take_varint(f) : 0;
    struct slice value = is_put ? take_bytes(f, 0, LIMIT_VALUE_BYTES_MAX) : slice_of(NULL, 0);
    if (!feed_ok(f)) {
        return outcome_of(f);
    }
    uint64_t last_revision = kv->history.tail > 0 ? kv->revision : 0;
    if (since_revision > i->revision - last_revision || since_ms > i->time_ms - kv->time_ms ||
        !follows(i, last_revision + since_revision)) {
        return STATUS_CORRUPT;
    }
    uint64_t revision = last_revision + since_revision;
    struct btree_entry *e = is_put ? insert_key(kv, key) : btree_find(&kv->tree, key);
    if (!fits_revision(kv, e, revision, since_ms) || (!is_put && kv_current_of(e) == NULL)) {
        return STATUS_CORRUPT; /* an entry that was just made goes with the store */
    }
    if (!is_put) {
        kv->time_ms += since_ms;
        kv_change_delete(kv, e, revision);
        return STATUS_OK;
    }
    struct version_fields made;
    kv->time_ms += since_ms;
    kv_change_put(kv, e, revision, lease, value, &made);
    return STATUS_OK;
}

static enum status import_retry(struct kv_import *i, struct feed *f)
{
    static const enum status statuses[] = {
        [RETRY_ANSWER_OK] = STATUS_OK,
        [RETRY_ANSWER_CONFLICT] = STATUS_CONFLICT,
        [RETRY_ANSWER_NOT_FOUND] = STATUS_NOT_FOUND,
    };
    struct slice key = take_bytes(f, 1, LIMIT_RETRY_KEY_BYTES);
    struct retry r = {.time_ms = take_varint(f)};
    r.hash[0] = take_u64(f);
    r.hash[1] = take_u64(f);
    r.origin = take_varint(f);
    uint8_t answer = take_u8(f);
    r.revision = take_varint(f);
    r.create_revision = take_varint(f);
    r.version = take_varint(f);
    if (!feed_ok(f)) {
        return outcome_of(f);
    }
    const struct retry *before = i->kv->retries.last;
    if (answer > RETRY_ANSWER_NOT_FOUND || r.time_ms > i->time_ms ||
        (before != NULL && before->time_ms > r.time_ms) ||
        retry_table_is_full(&i->kv->retries, key)) {
        return STATUS_CORRUPT;
    }
    r.status = statuses[answer];
    retry_table_add(&i->kv->retries, key, &r);
    return STATUS_OK;
}

static enum status import_end(struct kv_import *i, struct feed *f)
{
    i->digest.half[0] = take_u64(f);
    i->digest.half[1] = take_u64(f);
    if (feed_ok(f)) {
        i->phase = IMPORT_DONE;
    }
    return outcome_of(f);
}

/* There is at least one byte. */
static enum status import_item(struct kv_import *i, struct feed *f)
{
    static const uint8_t places[] = {
        [IMAGE_LEASE] = 1, [IMAGE_AUTH] = 2,     [IMAGE_AUTH_USER] = 3, [IMAGE_AUTH_ROLE] = 4,
        [IMAGE_BASE] = 5,  [IMAGE_DOCUMENT] = 6, [IMAGE_PUT] = 7,       [IMAGE_DELETE] = 7,
        [IMAGE_RETRY] = 8, [IMAGE_END] = 9,
    };
    uint8_t item = take_u8(f);
    if (item >= sizeof(places) || places[item] == 0 || places[item] < i->last_place) {
        return STATUS_CORRUPT;
    }
    i->last_place = places[item];
    switch (item) {
    case IMAGE_LEASE:
        return import_lease(i, f);
    case IMAGE_AUTH:
    case IMAGE_AUTH_USER:
    case IMAGE_AUTH_ROLE:
        return import_auth(i, f, item);
    case IMAGE_BASE:
        return import_base(i, f);
    case IMAGE_DOCUMENT:
        return import_document(i, f);
    case IMAGE_PUT:
    case IMAGE_DELETE:
        return import_change(i, f, item == IMAGE_PUT);
    case IMAGE_RETRY:
        return import_retry(i, f);
    default:
        return import_end(i, f);
    }
}

/* --- */

/* Import the whole items of `bytes`; *used is how much they took. */
static enum status import_bytes(struct kv_import *i, struct slice bytes, size_t *used)
{
    *used = 0;
    while (*used < bytes.size) {
        if (i->phase == IMPORT_DONE) {
            return STATUS_CORRUPT;
        }
        struct feed f = {.r = reader_of(slice_of(bytes.data + *used, bytes.size - *used))};
        enum status status = i->phase == IMPORT_HEAD ? import_head(i, &f) : import_item(i, &f);
        if (status != STATUS_OK) {
            return status == STATUS_BUSY ? STATUS_OK : status;
        }
        *used = bytes.size - reader_left(&f.r);
    }
    return STATUS_OK;
}

enum status kv_import_add(struct kv_import *i, struct slice bytes)
{
    size_t used;
    if (i->status != STATUS_OK || bytes.size == 0) {
        return i->status;
    }
    if (i->rest.size > 0) {
        buf_append_slice(&i->rest, bytes);
        i->status = import_bytes(i, buf_slice(&i->rest), &used);
        buf_consume(&i->rest, used);
    } else {
        i->status = import_bytes(i, bytes, &used);
        buf_append(&i->rest, bytes.data + used, bytes.size - used);
    }
    return i->status;
}

/* Each live key with a lease is attached to one, and no private one is without a key. */
static bool are_leases_sound(struct kv *kv)
{
    struct leases *leases = &kv->leases;
    struct btree_place at = btree_seek(&leases->by_id, slice_of(NULL, 0));
    for (; btree_at(at) != NULL; at = btree_next(at)) {
        const struct lease *l = btree_at(at)->payload;
        if (l->is_private && l->keys == 0) {
            return false;
        }
    }
    leases_sweep(leases);
    return kv->leased_keys == leases->keys.count;
}

static uint32_t format_of(const struct kv *kv)
{
    uint32_t format = kv->documents.count > 0 ? IMAGE_FORMAT_DOCUMENTS : IMAGE_FORMAT_PLAIN;
    format = kv->leases.grants > 0 ? IMAGE_FORMAT_LEASES : format;
    return auth_is_pristine(kv->auth) ? format : IMAGE_FORMAT_AUTH;
}

/* Is what was built the store that the head speaks of? */
static bool is_complete(struct kv_import *i)
{
    struct kv *kv = i->kv;
    if (i->status != STATUS_OK || i->phase != IMPORT_DONE) {
        return false;
    }
    if (kv->history.tail == 0) {
        kv->revision = kv->compact_revision > 1 ? kv->compact_revision : 1;
    }
    kv->revision = pass_documents(i, kv->revision + 1) - 1;
    if (i->document < kv->documents.count || format_of(kv) != i->format || !are_leases_sound(kv)) {
        return false;
    }
    kv->time_ms = i->time_ms;
    kv->next_change = history_find_revision(&kv->history, kv->compact_revision + 1);
    /* Sound whatever came; only that it is the store of the image is for the digest to say. */
    DCHECK((kv_check(kv), true));
    struct kv_digest digest = kv_digest(kv);
    return kv->revision == i->revision && digest.half[0] == i->digest.half[0] &&
           digest.half[1] == i->digest.half[1];
}

enum status kv_import_finish(struct kv_import *i, struct kv **kv)
{
    *kv = NULL;
    if (is_complete(i)) {
        *kv = i->kv;
        i->kv = NULL;
    }
    kv_import_abort(i);
    return *kv != NULL ? STATUS_OK : STATUS_CORRUPT;
}
