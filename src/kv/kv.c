#include "kv/kv.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_auth_table.h"
#include "kv/kv_image.h"
#include "kv/kv_state.h"

#include <string.h>

#define REVISION_EMPTY        1u
/* Changes freed along with every command. Most commands make one, so that what compaction has
 * condemned goes away under load even if nobody calls kv_compact_step. */
#define FREED_PER_COMMAND     4u
/* Expired answers forgotten along with every command, which adds one at most. */
#define FORGOTTEN_PER_COMMAND 4u
/* Compaction is due when a limit is exceeded by an eighth (age) or exceeded (bytes, and then an
 * eighth more goes), so that it comes in pieces worth a log entry. */
#define COMPACTION_SLACK      8u

struct kv *kv_create(void)
{
    struct kv *kv = mem_calloc(1, sizeof(*kv));
    slab_init(&kv->slab);
    btree_init(&kv->tree, &kv->slab);
    history_init(&kv->history, &kv->slab);
    documents_init(&kv->documents, &kv->slab);
    leases_init(&kv->leases, &kv->slab);
    retry_table_init(&kv->retries, &kv->slab);
    kv->auth = auth_create();
    kv->revision = REVISION_EMPTY;
    return kv;
}

void kv_destroy(struct kv *kv)
{
    if (kv == NULL) {
        return;
    }
    CHECK(!kv->is_held);
    auth_destroy(kv->auth);
    retry_table_deinit(&kv->retries);
    leases_deinit(&kv->leases);
    documents_deinit(&kv->documents);
    history_deinit(&kv->history);
    btree_deinit(&kv->tree);
    slab_deinit(&kv->slab);
    mem_free(kv);
}

/* --- commands --------------------------------------------------------------------------------- */

const struct version *kv_current_of(const struct btree_entry *e)
{
    return e != NULL ? version_at(e->payload, UINT64_MAX) : NULL;
}

static bool condition_holds(const struct kv_command *c, const struct version *current)
{
    switch (c->condition) {
    case KV_ALWAYS:
        return true;
    case KV_IF_REVISION:
        return current != NULL && current->revision == c->condition_revision;
    case KV_IF_EXISTS:
        return current != NULL;
    case KV_IF_ABSENT:
        return current == NULL;
    }
    check_failed(__FILE__, __LINE__, "a condition that kv_command_decode lets through");
}

static void refuse_condition(const struct version *current, struct kv_result *result)
{
    result->status = STATUS_CONFLICT;
    result->key_revision = current != NULL ? current->revision : KV_NO_KEY;
}

static uint64_t lease_of(const struct version *v)
{
    struct version_fields f = {0};
    if (v != NULL && v->has_lease) {
        version_read(v, &f);
    }
    return f.lease;
}

/* A key that had the lease `old` has `new` from now on; 0 = none. */
static void move_lease(struct kv *kv, struct slice key, uint64_t old, uint64_t new)
{
    if (old == new) {
        return;
    }
    if (old != 0) {
        leases_detach(&kv->leases, old, key);
        kv->leased_keys--;
    }
    if (new != 0) {
        leases_attach(&kv->leases, new, key);
        kv->leased_keys++;
    }
}

/* `made` is now the newest of `e`, in place of `current`, if that is not NULL. */
static void record_change(struct kv *kv, struct btree_entry *e, struct version *made,
                          const struct version *current)
{
    struct slice key = btree_entry_key(e);
    struct kv_digest superseded = {0};
    if (current != NULL) {
        superseded = digest_version(key, current, current->value_hash);
        digest_subtract(&kv->live_sum, superseded);
        kv->live_bytes -= history_live_bytes(key.size, current->value_size);
        kv->keys--;
    }
    struct kv_digest digest = digest_version(key, made, made->value_hash);
    if (!made->is_tombstone) {
        digest_add(&kv->live_sum, digest);
        kv->live_bytes += history_live_bytes(key.size, made->value_size);
        kv->keys++;
    }
    move_lease(kv, key, lease_of(current), lease_of(made));
    e->payload = made;
    kv->revision = made->revision;
    const struct change change = {.entry = e, .version = made, .time_ms = kv->time_ms};
    history_append(&kv->history, &change, digest_change(digest, superseded, kv->time_ms));
}

void kv_change_put(struct kv *kv, struct btree_entry *e, uint64_t revision, uint64_t lease,
                   struct slice value, struct version_fields *f)
{
    const struct version *current = kv_current_of(e);
    *f = (struct version_fields){.revision = revision,
                                 .create_revision = revision,
                                 .version = 1,
                                 .lease = lease,
                                 .value = value};
    if (current != NULL) {
        struct version_fields old;
        version_read(current, &old);
        f->create_revision = old.create_revision;
        f->version = old.version + 1;
    }
    record_change(kv, e, version_create(&kv->slab, f, e->payload), current);
}

void kv_change_delete(struct kv *kv, struct btree_entry *e, uint64_t revision)
{
    const struct version *current = kv_current_of(e);
    CHECK(current != NULL);
    record_change(kv, e, version_create_tombstone(&kv->slab, revision, e->payload), current);
}

void kv_load_version(struct kv *kv, struct btree_entry *e, const struct version_fields *f)
{
    CHECK(e->payload == NULL);
    struct version *v = version_create(&kv->slab, f, NULL);
    e->payload = v;
    digest_add(&kv->live_sum, digest_version(btree_entry_key(e), v, v->value_hash));
    kv->live_bytes += history_live_bytes(e->key_size, v->value_size);
    kv->keys++;
    move_lease(kv, btree_entry_key(e), 0, f->lease);
}

/* From `id` on, and after the highest that etcd's clients can name from the lowest. */
static uint64_t free_lease_id(const struct kv *kv, uint64_t id)
{
    while (id == 0 || leases_find(&kv->leases, id) != NULL) {
        id = id < INT64_MAX ? id + 1 : 1;
    }
    return id;
}

/* Grant the lease of a KV_PUT_TTL. When there are as many as may be, a key may still get another
 * one in place of the one that goes with it. */
static enum status grant_private(struct kv *kv, const struct kv_command *c,
                                 const struct version *current, uint64_t *id)
{
    CHECK(c->ttl_s >= 1 && c->ttl_s <= LIMIT_LEASE_TTL_S);
    const struct lease *old = leases_find(&kv->leases, lease_of(current));
    bool replaces = old != NULL && old->is_private && old->keys == 1;
    if (kv->leases.by_id.count >= LIMIT_LEASES && !replaces) {
        return STATUS_OVERLOADED;
    }
    *id = free_lease_id(kv, c->lease);
    const struct lease shape = {.id = *id, .ttl_s = c->ttl_s, .is_private = true};
    leases_grant(&kv->leases, &shape);
    return STATUS_OK;
}

static void apply_put(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    CHECK_CMP(c->value.size, <=, LIMIT_VALUE_BYTES_MAX);
    struct btree_entry *e = NULL;
    uint64_t lease = c->lease;
    if (c->condition != KV_ALWAYS || c->op == KV_PUT_TTL) {
        e = btree_find(&kv->tree, c->key);
        if (!condition_holds(c, kv_current_of(e))) {
            refuse_condition(kv_current_of(e), result);
            return;
        }
    }
    if (c->op == KV_PUT_TTL) {
        result->status = grant_private(kv, c, kv_current_of(e), &lease);
        result->lease = lease;
    } else if (lease != 0 && leases_find(&kv->leases, lease) == NULL) {
        result->status = STATUS_NO_LEASE;
    }
    if (result->status != STATUS_OK) {
        return;
    }
    e = e != NULL ? e : btree_insert(&kv->tree, c->key);
    struct version_fields f;
    kv_change_put(kv, e, kv->revision + 1, lease, c->value, &f);
    result->create_revision = f.create_revision;
    result->version = f.version;
}

static void apply_delete(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    struct btree_entry *e = btree_find(&kv->tree, c->key);
    const struct version *current = kv_current_of(e);
    if (!condition_holds(c, current)) {
        refuse_condition(current, result);
        return;
    }
    if (current == NULL) {
        result->status = STATUS_NOT_FOUND;
        return;
    }
    kv_change_delete(kv, e, kv->revision + 1);
}

static void apply_compact(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    if (c->revision <= kv->compact_revision) {
        result->status = STATUS_COMPACTED;
        return;
    }
    if (c->revision > kv->revision) {
        result->status = STATUS_FUTURE;
        return;
    }
    kv->compact_revision = c->revision;
    kv->next_change = history_find_revision(&kv->history, c->revision + 1);
    history_raise_floor(&kv->history, history_find_revision(&kv->history, c->revision));
}

static void apply_document(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    CHECK_CMP(c->value.size, <=, LIMIT_VALUE_BYTES_MAX);
    documents_append(&kv->documents, ++kv->revision, kv->time_ms, c->value);
    result->time_ms = kv->time_ms;
}

static void apply_auth(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    struct kv_auth_change change;
    CHECK(kv_auth_decode(c->auth, &change) == STATUS_OK);
    result->version = auth_apply(kv->auth, &change);
    if (result->version != KV_AUTH_DONE) {
        result->status = result->version == KV_AUTH_FULL ? STATUS_OVERLOADED : STATUS_CONFLICT;
    }
}

/* Whoever let it pass did so by users and roles as they are. */
static bool is_let_in(const struct kv *kv, const struct kv_command *c)
{
    bool is_own = c->auth_revision == 0 && (c->op == KV_COMPACT || c->op == KV_LEASE_EXPIRE);
    return is_own || !kv->auth->is_enabled || c->auth_revision == kv->auth->revision;
}

/* What the command does, were it not for its retry key. */
static void apply_op(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                     struct buf *answer)
{
    if (c->op == KV_PUT || c->op == KV_PUT_TTL || c->op == KV_DELETE) {
        CHECK(c->key.size >= 1 && c->key.size <= LIMIT_KEY_BYTES);
    }
    switch (c->op) {
    case KV_PUT:
    case KV_PUT_TTL:
        apply_put(kv, c, result);
        break;
    case KV_DELETE:
        apply_delete(kv, c, result);
        break;
    case KV_COMPACT:
        apply_compact(kv, c, result);
        break;
    case KV_DOCUMENT:
        apply_document(kv, c, result);
        break;
    case KV_TXN:
        kv_txn_apply(kv, c, result, answer);
        break;
    case KV_LEASE_GRANT:
    case KV_LEASE_REVOKE:
    case KV_LEASE_EXPIRE:
        kv_lease_apply(kv, c, result);
        break;
    case KV_AUTH:
        apply_auth(kv, c, result);
        break;
    default:
        check_failed(__FILE__, __LINE__, "an operation that kv_command_decode lets through");
    }
    leases_sweep(&kv->leases);
    result->revision = kv->revision;
}

/* What the first one was answered. */
static void replay(const struct kv *kv, const struct kv_command *c, const struct retry *first,
                   struct kv_result *result)
{
    *result = (struct kv_result){.status = first->status,
                                 .revision = first->revision,
                                 .create_revision = first->create_revision,
                                 .version = first->version,
                                 .replayed = true,
                                 .retry_origin = first->origin};
    if (first->status == STATUS_CONFLICT) {
        refuse_condition(kv_current_of(btree_find(&kv->tree, c->key)), result);
    }
    uint64_t count = documents_up_to(&kv->documents, first->revision);
    if (c->op == KV_DOCUMENT && count > 0) {
        result->time_ms = documents_at(&kv->documents, count - 1)->time_ms;
    }
}

/* Rule K2b. */
static void apply_keyed(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    CHECK(kv_op_may_retry(c->op) && c->retry_key.size <= LIMIT_RETRY_KEY_BYTES);
    const struct retry *first = retry_table_find(&kv->retries, c->retry_key, kv->time_ms);
    result->revision = kv->revision;
    if (first != NULL && memcmp(first->hash, c->retry_hash, sizeof(first->hash)) != 0) {
        result->status = STATUS_MISMATCH;
        return;
    }
    if (first != NULL) {
        replay(kv, c, first, result);
        return;
    }
    if (retry_table_is_full(&kv->retries, c->retry_key)) {
        result->status = STATUS_OVERLOADED;
        return;
    }
    apply_op(kv, c, result, NULL);
    if (!retry_is_kept(result->status)) {
        return;
    }
    result->retry_origin = c->retry_origin;
    const struct retry answer = {.time_ms = kv->time_ms,
                                 .hash = {c->retry_hash[0], c->retry_hash[1]},
                                 .origin = c->retry_origin,
                                 .status = result->status,
                                 .revision = result->revision,
                                 .create_revision = result->create_revision,
                                 .version = result->version};
    retry_table_add(&kv->retries, c->retry_key, &answer);
}

static void forget_expired(struct kv *kv)
{
    for (unsigned i = 0; i < FORGOTTEN_PER_COMMAND && retry_table_is_due(&kv->retries, kv->time_ms);
         i++) {
        retry_table_forget(&kv->retries);
    }
}

void kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                       struct buf *answer)
{
    *result = (struct kv_result){.status = STATUS_OK};
    kv->time_ms = c->time_ms > kv->time_ms ? c->time_ms : kv->time_ms;
    kv->applied++;
    forget_expired(kv);
    if (!is_let_in(kv, c)) {
        *result = (struct kv_result){.status = STATUS_AUTH_OLD, .revision = kv->revision};
    } else if (c->retry_key.size > 0) {
        apply_keyed(kv, c, result);
    } else {
        apply_op(kv, c, result, answer);
    }
    kv_compact_step(kv, FREED_PER_COMMAND);
}

void kv_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    kv_apply_answered(kv, c, result, NULL);
}

/* --- compaction ------------------------------------------------------------------------------- */

/* A change below the floor: what it superseded can be seen by nobody any more, and neither can the
 * whole key if it was deleted and did not come back. A tombstone with newer versions before it
 * waits until the next of them is below the floor and frees what it superseded. */
static void free_change(struct kv *kv, const struct change *change)
{
    struct version *v = change->version;
    if (v->older != NULL) {
        CHECK(v->older->older == NULL);
        version_free(&kv->slab, v->older);
        v->older = NULL;
    }
    if (v->is_tombstone && change->entry->payload == v) {
        version_free(&kv->slab, v);
        btree_remove(&kv->tree, change->entry);
    }
}

bool kv_compact_step(struct kv *kv, unsigned budget)
{
    struct history *h = &kv->history;
    uint64_t end = kv->is_held && kv->held_change < h->floor ? kv->held_change : h->floor;
    for (unsigned n = 0; n < budget && h->head < end; n++) {
        const struct change change = history_at(h, h->head);
        free_change(kv, &change);
        history_drop_head(h);
    }
    bool more_retries = !kv->is_held && retry_table_free(&kv->retries, budget);
    return h->head < end || more_retries;
}

void kv_raise_revision(struct kv *kv, uint64_t by)
{
    CHECK(!kv->is_held);
    CHECK_CMP(by, >, 0);
    CHECK_CMP(by, <=, UINT64_MAX - kv->revision);
    kv->revision += by;
    kv->compact_revision = kv->revision;
    history_raise_floor(&kv->history, kv->history.tail);
    kv->next_change = kv->history.tail;
    retry_table_forget_all(&kv->retries);
    kv->applied++;
    kv->replaced++;
}

/* Compaction at R keeps the change that made R, because R was current until the one after it. So by
 * age R is the last revision that was made age_ms ago or before. */
static uint64_t due_by_age(const struct kv *kv, uint64_t now_ms, uint64_t age_ms)
{
    const struct history *h = &kv->history;
    uint64_t slack_ms = age_ms / COMPACTION_SLACK;
    if (kv->next_change == h->tail || now_ms < age_ms || now_ms - age_ms < slack_ms ||
        history_at(h, kv->next_change).time_ms > now_ms - age_ms - slack_ms) {
        return 0;
    }
    return history_at(h, history_find_time(h, now_ms - age_ms) - 1).version->revision;
}

/* By bytes R is the first revision from which on they suffice, or else the last one. Where that is
 * reached in the middle of a revision, it is the next one. */
static uint64_t due_by_bytes(const struct kv *kv, uint64_t bytes)
{
    const struct history *h = &kv->history;
    if (history_bytes(h) <= bytes) {
        return 0;
    }
    uint64_t number = history_find_bytes(h, bytes - bytes / COMPACTION_SLACK);
    if (number == h->tail) {
        return kv->revision;
    }
    uint64_t revision = history_at(h, number).version->revision;
    bool is_inside = number > h->floor && history_at(h, number - 1).version->revision == revision;
    return is_inside && revision < kv->revision ? revision + 1 : revision;
}

uint64_t kv_compaction_due(const struct kv *kv, uint64_t now_ms, uint64_t age_ms, uint64_t bytes)
{
    uint64_t by_age = due_by_age(kv, now_ms, age_ms);
    uint64_t by_bytes = due_by_bytes(kv, bytes);
    uint64_t revision = by_age > by_bytes ? by_age : by_bytes;
    return revision > kv->compact_revision ? revision : 0;
}

/* --- statistics ------------------------------------------------------------------------------- */

void kv_stats(const struct kv *kv, struct kv_stats *stats)
{
    *stats = (struct kv_stats){
        .retry_keys = kv->retries.count,
        .keys = kv->keys,
        .revision = kv->revision,
        .compact_revision = kv->compact_revision,
        .documents = kv->documents.count,
        .leases = kv->leases.by_id.count,
        .live_bytes = kv->live_bytes + kv->documents.bytes + kv->leases.bytes,
        .history_bytes = history_bytes(&kv->history),
        .memory_bytes = kv->slab.held_bytes + history_other_bytes(&kv->history) +
                        documents_other_bytes(&kv->documents),
    };
}
