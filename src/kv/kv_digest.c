#include "kv/kv_digest.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv_state.h"

#include <sodium.h>

/* What is hashed is told apart by the last byte of the key. */
enum domain {
    DOMAIN_VALUE = 1,
    DOMAIN_VERSION,
    DOMAIN_CHANGE,
    DOMAIN_RETRY,
    DOMAIN_STORE,
};
_Static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_siphashx24_KEYBYTES == 16,
               "both take the same keys");

/* A version's hash of so many bytes of value counts as one more step of a scan. */
#define SCAN_STEP_BYTES 4096u

static const uint8_t *key_of(enum domain domain)
{
    static const uint8_t keys[][16] = {
        [DOMAIN_VALUE] = "conclave digest\1",  [DOMAIN_VERSION] = "conclave digest\2",
        [DOMAIN_CHANGE] = "conclave digest\3", [DOMAIN_RETRY] = "conclave digest\4",
        [DOMAIN_STORE] = "conclave digest\5",
    };
    return keys[domain];
}

static struct kv_digest hash(enum domain domain, const uint8_t *bytes, size_t size)
{
    uint8_t out[crypto_shorthash_siphashx24_BYTES];
    crypto_shorthash_siphashx24(out, bytes, size, key_of(domain));
    return (struct kv_digest){.half = {load_u64(out), load_u64(out + 8)}};
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
    static const uint8_t nothing[1] = {0};
    uint8_t out[crypto_shorthash_siphash24_BYTES];
    crypto_shorthash_siphash24(out, value.size > 0 ? value.data : nothing, value.size,
                               key_of(DOMAIN_VALUE));
    return load_u64(out);
}

struct kv_digest digest_version(struct slice key, const struct version *v, uint64_t value_hash)
{
    uint8_t bytes[6 * 8 + LIMIT_KEY_BYTES];
    CHECK_CMP(key.size, <=, LIMIT_KEY_BYTES);
    struct version_fields f = {.revision = v->revision};
    if (!v->is_tombstone) {
        version_read(v, &f);
    }
    store_u64(bytes, f.revision);
    store_u64(bytes + 8, f.create_revision);
    store_u64(bytes + 16, f.version);
    store_u64(bytes + 24, f.lease);
    store_u64(bytes + 32, (uint64_t)f.value.size << 1 | v->is_tombstone);
    store_u64(bytes + 40, value_hash);
    memcpy(bytes + 48, key.data, key.size);
    return hash(DOMAIN_VERSION, bytes, 48 + key.size);
}

struct kv_digest digest_change(struct kv_digest made, struct kv_digest superseded, uint64_t time_ms)
{
    uint8_t bytes[5 * 8];
    store_u64(bytes, made.half[0]);
    store_u64(bytes + 8, made.half[1]);
    store_u64(bytes + 16, superseded.half[0]);
    store_u64(bytes + 24, superseded.half[1]);
    store_u64(bytes + 32, time_ms);
    return hash(DOMAIN_CHANGE, bytes, sizeof(bytes));
}

struct kv_digest digest_retry(const struct retry *r)
{
    uint8_t bytes[8 * 8 + LIMIT_RETRY_KEY_BYTES];
    struct slice key = retry_key(r);
    const uint64_t numbers[] = {r->time_ms,          r->hash[0],  r->hash[1],         r->origin,
                                (uint64_t)r->status, r->revision, r->create_revision, r->version};
    for (size_t i = 0; i < 8; i++) {
        store_u64(bytes + 8 * i, numbers[i]);
    }
    memcpy(bytes + 64, key.data, key.size);
    return hash(DOMAIN_RETRY, bytes, 64 + key.size);
}

/* Revisions and log time. */
static struct kv_digest digest_store(const struct kv *kv)
{
    uint8_t bytes[3 * 8];
    store_u64(bytes, kv->revision);
    store_u64(bytes + 8, kv->compact_revision);
    store_u64(bytes + 16, kv->time_ms);
    return hash(DOMAIN_STORE, bytes, sizeof(bytes));
}

struct kv_digest kv_digest(const struct kv *kv)
{
    struct kv_digest sum = digest_store(kv);
    digest_add(&sum, kv->live_sum);
    digest_add(&sum, history_digest(&kv->history));
    digest_add(&sum, kv->retries.sum);
    return sum;
}

/* --- anew ------------------------------------------------------------------------------------- */

enum phase {
    SCAN_BEGIN,
    SCAN_LIVE,
    SCAN_HISTORY,
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

/* All at once: there are at most LIMIT_RETRY_KEYS, about a hundred nanoseconds each. */
static void scan_retries(const struct kv *kv, struct kv_digest_scan *scan)
{
    for (const struct retry *r = kv->retries.head; r != NULL; r = r->next) {
        digest_add(&scan->sum, digest_retry(r));
    }
}

bool kv_digest_step(const struct kv *kv, struct kv_digest_scan *scan, unsigned budget,
                    struct kv_digest *digest)
{
    if (scan->phase == SCAN_BEGIN) {
        scan->changes = kv->applied;
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
        scan->phase = scan_history(kv, scan, budget) ? SCAN_RETRIES : SCAN_HISTORY;
        return false;
    case SCAN_RETRIES:
        scan_retries(kv, scan);
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
