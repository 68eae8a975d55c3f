#include "kv/kv_digest.h"

#include "base/check.h"
#include "kv/kv_auth_table.h"
#include "kv/kv_state.h"
#include "kv/siphash.h"

/* What is hashed is told apart by the second word of the key; the first spells "conclave". */
#define KEY_FIRST 0x6576616c636e6f63u
enum domain {
    DOMAIN_VALUE = 1,
    DOMAIN_VERSION,
    DOMAIN_CHANGE,
    DOMAIN_RETRY,
    DOMAIN_STORE,
    DOMAIN_DOCUMENT,
    DOMAIN_LEASE,
    DOMAIN_GRANTS,
    DOMAIN_AUTH,
};

#define ROUNDS         1u
#define CLOSING_ROUNDS 3u

/* A version's hash of so many bytes of value counts as one more step of a scan. */
#define SCAN_STEP_BYTES 4096u

SIPHASH_INLINE struct siphash begin(enum domain domain)
{
    const uint64_t key[2] = {KEY_FIRST, domain};
    return siphash_begin(key, ROUNDS, CLOSING_ROUNDS, domain != DOMAIN_VALUE);
}

SIPHASH_INLINE struct kv_digest finish(struct siphash *s, struct slice tail)
{
    struct kv_digest d;
    siphash_finish(s, tail, d.half);
    return d;
}

void digest_add(struct kv_digest *sum, struct kv_digest d)
{
    sum->half[0] += d.half[0];
    sum->half[1] += d.half[1];
}

void digest_subtract(struct kv_digest *sum, struct kv_digest d)
{
    sum->half[0] -= d.half[0];
    sum->half[1] -= d.half[1];
}

uint64_t digest_value(struct slice value)
{
    struct siphash s = begin(DOMAIN_VALUE);
    return finish(&s, value).half[0];
}

struct kv_digest digest_version(struct slice key, const struct version *v, uint64_t value_hash)
{
    struct version_fields f = {.revision = v->revision};
    if (!v->is_tombstone) {
        version_read(v, &f);
    }
    struct siphash s = begin(DOMAIN_VERSION);
    siphash_word(&s, f.revision);
    siphash_word(&s, f.create_revision);
    siphash_word(&s, f.version);
    siphash_word(&s, f.lease);
    siphash_word(&s, (uint64_t)f.value.size << 1 | v->is_tombstone);
    siphash_word(&s, value_hash);
    return finish(&s, key);
}

struct kv_digest digest_change(struct kv_digest made, struct kv_digest superseded, uint64_t time_ms)
{
    struct siphash s = begin(DOMAIN_CHANGE);
    siphash_word(&s, made.half[0]);
    siphash_word(&s, made.half[1]);
    siphash_word(&s, superseded.half[0]);
    siphash_word(&s, superseded.half[1]);
    siphash_word(&s, time_ms);
    return finish(&s, slice_of(NULL, 0));
}

struct kv_digest digest_retry(const struct retry *r)
{
    struct siphash s = begin(DOMAIN_RETRY);
    siphash_word(&s, r->time_ms);
    siphash_word(&s, r->hash[0]);
    siphash_word(&s, r->hash[1]);
    siphash_word(&s, r->origin);
    siphash_word(&s, (uint64_t)retry_answer_of(r->status));
    siphash_word(&s, r->revision);
    siphash_word(&s, r->create_revision);
    siphash_word(&s, r->version);
    return finish(&s, retry_key(r));
}

struct kv_digest digest_document(const struct document *d, uint64_t content_hash)
{
    struct siphash s = begin(DOMAIN_DOCUMENT);
    siphash_word(&s, d->revision);
    siphash_word(&s, d->time_ms);
    siphash_word(&s, d->size);
    siphash_word(&s, content_hash);
    return finish(&s, slice_of(NULL, 0));
}

struct kv_digest digest_lease(const struct lease *l)
{
    struct siphash s = begin(DOMAIN_LEASE);
    siphash_word(&s, l->id);
    siphash_word(&s, l->ttl_s);
    siphash_word(&s, l->grant);
    siphash_word(&s, l->is_private);
    return finish(&s, slice_of(NULL, 0));
}

struct kv_digest digest_grants(uint64_t grants)
{
    struct siphash s = begin(DOMAIN_GRANTS);
    siphash_word(&s, grants);
    return finish(&s, slice_of(NULL, 0));
}

struct kv_digest digest_auth(enum digest_auth_part part, struct slice bytes)
{
    struct siphash s = begin(DOMAIN_AUTH);
    siphash_word(&s, part);
    return finish(&s, bytes);
}

/* Revisions and log time. */
static struct kv_digest digest_store(const struct kv *kv)
{
    struct siphash s = begin(DOMAIN_STORE);
    siphash_word(&s, kv->revision);
    siphash_word(&s, kv->compact_revision);
    siphash_word(&s, kv->time_ms);
    return finish(&s, slice_of(NULL, 0));
}

struct kv_digest kv_digest(const struct kv *kv)
{
    struct kv_digest sum = digest_store(kv);
    digest_add(&sum, kv->live_sum);
    digest_add(&sum, history_digest(&kv->history));
    digest_add(&sum, kv->documents.sum);
    digest_add(&sum, leases_digest(&kv->leases));
    digest_add(&sum, auth_digest(kv->auth));
    digest_add(&sum, kv->retries.sum);
    return sum;
}

/* --- anew ------------------------------------------------------------------------------------- */

enum phase {
    SCAN_BEGIN,
    SCAN_LIVE,
    SCAN_HISTORY,
    SCAN_DOCUMENTS,
    SCAN_LEASES,
    SCAN_AUTH,
    SCAN_RETRIES,
    SCAN_END,
};

/* From the bytes themselves, not from what the version says that they are. */
static struct kv_digest digest_anew(const struct btree_entry *e, const struct version *v,
                                    uint64_t *work)
{
    struct version_fields f = {0};
    if (!v->is_tombstone) {
        version_read(v, &f);
    }
    *work += 1 + f.value.size / SCAN_STEP_BYTES;
    uint64_t value_hash = v->is_tombstone ? 0 : digest_value(f.value);
    return digest_version(btree_entry_key(e), v, value_hash);
}

/* True when all keys were visited. */
static bool scan_live(const struct kv *kv, struct kv_digest_scan *scan, uint64_t budget)
{
    struct btree_place at = btree_seek(&kv->tree, buf_slice(&scan->at));
    for (uint64_t work = 0; work < budget; at = btree_next(at)) {
        const struct btree_entry *e = btree_at(at);
        if (e == NULL) {
            return true;
        }
        const struct version *v = e->payload;
        work++;
        if (!v->is_tombstone) {
            digest_add(&scan->sum, digest_anew(e, v, &work));
        }
    }
    buf_clear(&scan->at);
    if (btree_at(at) != NULL) {
        buf_append_slice(&scan->at, btree_entry_key(btree_at(at)));
    }
    return btree_at(at) == NULL;
}

static bool scan_history(const struct kv *kv, struct kv_digest_scan *scan, uint64_t budget)
{
    const struct history *h = &kv->history;
    scan->number = scan->number > h->floor ? scan->number : h->floor;
    for (uint64_t work = 0; work < budget && scan->number < h->tail; scan->number++) {
        const struct change c = history_at(h, scan->number);
        const struct version *older = c.version->older;
        struct kv_digest superseded = {0};
        if (older != NULL && !older->is_tombstone) {
            superseded = digest_anew(c.entry, older, &work);
        }
        struct kv_digest made = digest_anew(c.entry, c.version, &work);
        digest_add(&scan->sum, digest_change(made, superseded, c.time_ms));
    }
    return scan->number == h->tail;
}

static bool scan_documents(const struct kv *kv, struct kv_digest_scan *scan, uint64_t budget)
{
    const struct documents *documents = &kv->documents;
    for (uint64_t work = 0; work < budget && scan->document < documents->count; scan->document++) {
        const struct document *d = documents_at(documents, scan->document);
        digest_add(&scan->sum, digest_document(d, digest_value(document_content(d))));
        work += 1 + d->size / SCAN_STEP_BYTES;
    }
    return scan->document == documents->count;
}

static bool scan_leases(const struct kv *kv, struct kv_digest_scan *scan, uint64_t budget)
{
    const struct lease *l = leases_seek(&kv->leases, scan->lease);
    for (; budget > 0 && l != NULL; budget--) {
        digest_add(&scan->sum, digest_lease(l));
        scan->lease = l->id + 1;
        l = scan->lease > 0 ? leases_seek(&kv->leases, scan->lease) : NULL;
    }
    if (l == NULL && kv->leases.grants > 0) {
        digest_add(&scan->sum, digest_grants(kv->leases.grants));
    }
    return l == NULL;
}

/* What is kept stays where it is until the next command. */
static bool scan_retries(struct kv_digest_scan *scan, uint64_t budget)
{
    for (; budget > 0 && scan->retry != NULL; budget--) {
        digest_add(&scan->sum, digest_retry(scan->retry));
        scan->retry = scan->retry->next;
    }
    return scan->retry == NULL;
}

bool kv_digest_step(const struct kv *kv, struct kv_digest_scan *scan, unsigned budget,
                    struct kv_digest *digest)
{
    if (scan->phase == SCAN_BEGIN) {
        scan->changes = kv->applied;
        scan->retry = kv->retries.head;
        scan->phase = SCAN_LIVE;
    }
    if (scan->changes != kv->applied) {
        scan->stale = true;
        return true;
    }
    switch ((enum phase)scan->phase) {
    case SCAN_LIVE:
        scan->phase = scan_live(kv, scan, budget) ? SCAN_HISTORY : SCAN_LIVE;
        return false;
    case SCAN_HISTORY:
        scan->phase = scan_history(kv, scan, budget) ? SCAN_DOCUMENTS : SCAN_HISTORY;
        return false;
    case SCAN_DOCUMENTS:
        scan->phase = scan_documents(kv, scan, budget) ? SCAN_LEASES : SCAN_DOCUMENTS;
        return false;
    case SCAN_LEASES:
        scan->phase = scan_leases(kv, scan, budget) ? SCAN_AUTH : SCAN_LEASES;
        return false;
    case SCAN_AUTH:
        if (auth_digest_anew(kv->auth, &scan->auth, budget, &scan->sum)) {
            scan->phase = SCAN_RETRIES;
        }
        return false;
    case SCAN_RETRIES:
        if (!scan_retries(scan, budget)) {
            return false;
        }
        digest_add(&scan->sum, digest_store(kv));
        scan->phase = SCAN_END;
        break;
    default:
        CHECK(scan->phase == SCAN_END);
        break;
    }
    *digest = scan->sum;
    return true;
}

void kv_digest_scan_deinit(struct kv_digest_scan *scan)
{
    buf_deinit(&scan->at);
    *scan = (struct kv_digest_scan){0};
}
