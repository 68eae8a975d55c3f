/* Leases, each rule by name. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_lease.h"
#include "kv/kv_txn.h"
#include "kv_copy.h"
#include "kv_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct kv_result apply(struct kv *kv, struct kv_command c)
{
    struct kv_result r;
    kv_apply(kv, &c, &r);
    return r;
}

static struct kv_result put(struct kv *kv, const char *key, uint64_t lease)
{
    return apply(kv,
                 (struct kv_command){
                     .op = KV_PUT, .key = slice_str(key), .value = slice_str("v"), .lease = lease});
}

static struct kv_result put_ttl(struct kv *kv, const char *key, uint64_t id, uint64_t ttl_s)
{
    return apply(kv, (struct kv_command){.op = KV_PUT_TTL,
                                         .key = slice_str(key),
                                         .value = slice_str("v"),
                                         .lease = id,
                                         .ttl_s = ttl_s});
}

static struct kv_result erase(struct kv *kv, const char *key)
{
    return apply(kv, (struct kv_command){.op = KV_DELETE, .key = slice_str(key)});
}

static struct kv_result grant(struct kv *kv, uint64_t id)
{
    return apply(kv, (struct kv_command){.op = KV_LEASE_GRANT, .lease = id, .ttl_s = 60});
}

static struct kv_result revoke(struct kv *kv, uint64_t id)
{
    return apply(kv, (struct kv_command){.op = KV_LEASE_REVOKE, .lease = id});
}

static bool has(const struct kv *kv, uint64_t id)
{
    struct kv_lease lease;
    return kv_lease_get(kv, id, &lease);
}

static bool has_key(const struct kv *kv, const char *key)
{
    struct kv_item item;
    return kv_get(kv, slice_str(key), 0, &item) == STATUS_OK;
}

static struct kv_lease lease_of(const struct kv *kv, uint64_t id)
{
    struct kv_lease lease;
    assert_true(kv_lease_get(kv, id, &lease));
    return lease;
}

static uint64_t lease_id_of(const struct kv *kv, const char *key)
{
    struct kv_item item;
    assert_int_equal(kv_get(kv, slice_str(key), 0, &item), STATUS_OK);
    return item.lease;
}

static struct kv_stats stats_of(const struct kv *kv)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s;
}

static struct kv *copy_of(struct kv *kv)
{
    struct rng rng;
    struct buf image = {0};
    rng_init(&rng, 1);
    export_all(kv, &image);
    struct kv *copy = import_all(buf_slice(&image), &rng);
    buf_deinit(&image);
    return copy;
}

static uint8_t image_format(struct kv *kv)
{
    struct buf image = {0};
    export_all(kv, &image);
    uint8_t format = image.data[8];
    buf_deinit(&image);
    return format;
}

/* --- grant and revoke ------------------------------------------------------------------------- */

static void a_lease_is_granted_once_and_makes_no_revision(void **state)
{
    struct kv *kv = *state;
    struct kv_result r = grant(kv, 7);
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(r.lease, 7);
    assert_int_equal(r.revision, 1);
    assert_int_equal(grant(kv, 7).status, STATUS_CONFLICT);
    assert_int_equal(lease_of(kv, 7).ttl_s, 60);
    assert_int_equal(lease_of(kv, 7).grant, 1);
    assert_int_equal(stats_of(kv).leases, 1);
    assert_int_equal(revoke(kv, 7).status, STATUS_OK);
    assert_int_equal(revoke(kv, 7).status, STATUS_NO_LEASE);
    assert_false(has(kv, 7));
    assert_int_equal(grant(kv, 7).status, STATUS_OK);
    assert_int_equal(lease_of(kv, 7).grant, 2);
}

static void an_unknown_lease_is_refused_and_nothing_is_put(void **state)
{
    struct kv *kv = *state;
    struct kv_result r = put(kv, "k", 7);
    assert_int_equal(r.status, STATUS_NO_LEASE);
    assert_int_equal(r.revision, 1);
    assert_false(has_key(kv, "k"));
}

static void a_refused_put_is_not_kept_for_its_retry_key(void **state)
{
    struct kv *kv = *state;
    const struct kv_command c = {
        .op = KV_PUT, .key = slice_str("k"), .lease = 7, .retry_key = slice_str("r")};
    assert_int_equal(apply(kv, c).status, STATUS_NO_LEASE);
    grant(kv, 7);
    assert_int_equal(apply(kv, c).status, STATUS_OK);
    assert_true(apply(kv, c).replayed);
}

static void revoke_deletes_its_keys_in_one_revision_in_key_order(void **state)
{
    struct kv *kv = *state;
    grant(kv, 7);
    grant(kv, 8);
    put(kv, "b", 7);
    put(kv, "a", 7);
    put(kv, "c", 8);
    put(kv, "d", 0);
    struct kv_result r = revoke(kv, 7);
    assert_int_equal(r.revision, 6);
    assert_false(has_key(kv, "a") || has_key(kv, "b"));
    assert_true(has_key(kv, "c") && has_key(kv, "d"));
    struct buf image = {0};
    export_all(kv, &image);
    static const char changes[] = "\x03\x01"
                                  "a\x01\x00"
                                  "\x03\x01"
                                  "b\x00\x00";
    assert_non_null(memmem(image.data, image.size, changes, sizeof(changes) - 1));
    buf_deinit(&image);
}

static void a_put_moves_or_detaches_and_a_delete_detaches(void **state)
{
    struct kv *kv = *state;
    grant(kv, 7);
    grant(kv, 8);
    put(kv, "k", 7);
    assert_int_equal(lease_of(kv, 7).keys, 1);
    put(kv, "k", 7);
    assert_int_equal(lease_of(kv, 7).keys, 1);
    put(kv, "k", 8);
    assert_int_equal(lease_of(kv, 7).keys, 0);
    assert_int_equal(lease_of(kv, 8).keys, 1);
    put(kv, "k", 0);
    assert_int_equal(lease_of(kv, 8).keys, 0);
    put(kv, "k", 8);
    erase(kv, "k");
    assert_int_equal(lease_of(kv, 8).keys, 0);
    assert_true(has(kv, 7) && has(kv, 8));
    put(kv, "k", 0);
    revoke(kv, 7);
    revoke(kv, 8);
    assert_true(has_key(kv, "k"));
}

static void keys_of_a_lease_stand_in_their_order(void **state)
{
    struct kv *kv = *state;
    static const char *const keys[] = {"a", "a/b", "b"};
    char longest[LIMIT_KEY_BYTES + 1];
    memset(longest, 'z', LIMIT_KEY_BYTES);
    longest[LIMIT_KEY_BYTES] = '\0';
    grant(kv, 255);
    grant(kv, 256);
    put(kv, "b", 255);
    put(kv, "a/b", 255);
    put(kv, "other", 256);
    put(kv, "a", 255);
    put(kv, longest, 255);
    struct slice key = {0};
    for (size_t i = 0; i < 3; i++) {
        assert_true(kv_lease_next_key(kv, 255, key, &key));
        assert_true(slice_equal(key, slice_str(keys[i])));
    }
    assert_true(kv_lease_next_key(kv, 255, key, &key));
    assert_int_equal(key.size, LIMIT_KEY_BYTES);
    assert_false(kv_lease_next_key(kv, 255, key, &key));
}

static void who_remembers_leases_sees_what_changed(void **state)
{
    struct kv *kv = *state;
    struct kv *other = kv_create();
    uint64_t changes = kv_lease_changes(kv);
    put(kv, "k", 0);
    assert_int_equal(kv_lease_changes(kv), changes);
    grant(kv, 7);
    assert_true(kv_lease_changes(kv) > changes);
    changes = kv_lease_changes(kv);
    revoke(kv, 7);
    assert_true(kv_lease_changes(kv) > changes);
    changes = kv_lease_changes(kv);
    kv_swap(kv, other);
    assert_true(kv_lease_changes(kv) > changes);
    grant(kv, 9);
    put(kv, "k", 9);
    kv_check(kv);
    kv_destroy(other);
}

static void leases_count_for_the_quota(void **state)
{
    struct kv *kv = *state;
    grant(kv, 7);
    assert_int_equal(stats_of(kv).live_bytes, 64);
    put(kv, "key", 7);
    assert_int_equal(stats_of(kv).live_bytes, 64 + 64 + 3 + 1 + 32 + 3);
    revoke(kv, 7);
    assert_int_equal(stats_of(kv).live_bytes, 0);
}

/* --- expiry ----------------------------------------------------------------------------------- */

static void rule_t3_an_expiry_of_an_older_grant_is_ignored(void **state)
{
    struct kv *kv = *state;
    struct buf expiry = {0};
    grant(kv, 7);
    put(kv, "old", 7);
    kv_expiry_add(&expiry, 7, lease_of(kv, 7).grant);
    revoke(kv, 7);
    grant(kv, 7);
    put(kv, "new", 7);
    const struct kv_command c = {.op = KV_LEASE_EXPIRE, .expiry = buf_slice(&expiry)};
    struct kv_result r = apply(kv, c);
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(r.revision, 4);
    assert_true(has(kv, 7) && has_key(kv, "new"));
    buf_clear(&expiry);
    kv_expiry_add(&expiry, 7, lease_of(kv, 7).grant);
    apply(kv, (struct kv_command){.op = KV_LEASE_EXPIRE, .expiry = buf_slice(&expiry)});
    assert_false(has(kv, 7) || has_key(kv, "new"));
    buf_deinit(&expiry);
}

static void rule_t3_a_batch_takes_one_revision_for_each_lease_with_keys(void **state)
{
    struct kv *kv = *state;
    struct buf expiry = {0};
    for (uint64_t id = 1; id <= 3; id++) {
        char key[8];
        grant(kv, id);
        for (unsigned i = 0; i < 2 && id != 2; i++) {
            snprintf(key, sizeof(key), "%u/%u", (unsigned)id, i);
            put(kv, key, id);
        }
        kv_expiry_add(&expiry, id, id);
    }
    put_ttl(kv, "private", 4, 5);
    kv_expiry_add(&expiry, 4, 4);
    kv_expiry_add(&expiry, 4, 4); /* the second is stale */
    uint64_t before = stats_of(kv).revision;
    struct kv_result r =
        apply(kv, (struct kv_command){.op = KV_LEASE_EXPIRE, .expiry = buf_slice(&expiry)});
    assert_int_equal(r.revision, before + 3);
    assert_int_equal(kv_lease_count(kv), 0);
    assert_int_equal(stats_of(kv).keys, 0);
    buf_deinit(&expiry);
}

/* --- leases of their own ---------------------------------------------------------------------- */

static void a_put_with_a_ttl_makes_a_lease_that_goes_with_its_key(void **state)
{
    struct kv *kv = *state;
    struct kv_result r = put_ttl(kv, "k", 7, 30);
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(r.lease, 7);
    assert_int_equal(r.revision, 2);
    assert_int_equal(r.version, 1);
    assert_int_equal(lease_id_of(kv, "k"), 7);
    assert_int_equal(lease_of(kv, 7).ttl_s, 30);
    assert_true(lease_of(kv, 7).is_private);
    erase(kv, "k");
    assert_false(has(kv, 7));
    put_ttl(kv, "k", 7, 30);
    put(kv, "k", 0);
    assert_false(has(kv, 7));
    put_ttl(kv, "k", 7, 30);
    revoke(kv, 7);
    assert_false(has_key(kv, "k"));
}

/* Its time begins anew: who keeps deadlines sees another grant. */
static void a_second_put_with_a_ttl_replaces_the_lease(void **state)
{
    struct kv *kv = *state;
    put_ttl(kv, "k", 7, 30);
    struct kv_result r = put_ttl(kv, "k", 7, 60);
    assert_int_equal(r.lease, 8);
    assert_false(has(kv, 7));
    assert_int_equal(lease_of(kv, 8).grant, 2);
    assert_int_equal(lease_of(kv, 8).ttl_s, 60);
}

static void an_id_that_is_taken_makes_way_for_the_next_free_one(void **state)
{
    struct kv *kv = *state;
    grant(kv, 7);
    grant(kv, 8);
    assert_int_equal(put_ttl(kv, "a", 7, 30).lease, 9);
    grant(kv, INT64_MAX);
    assert_int_equal(put_ttl(kv, "b", INT64_MAX, 30).lease, 1);
}

static void a_private_lease_that_got_another_key_lives_on(void **state)
{
    struct kv *kv = *state;
    put_ttl(kv, "a", 7, 30);
    put(kv, "b", 7);
    erase(kv, "a");
    assert_true(has(kv, 7));
    /* emptied and filled by one transaction */
    struct kv_txn *txn = kv_txn_create();
    struct buf bytes = {0};
    kv_txn_add_op(&txn->success, KV_TXN_DELETE)->deletes.span.key = slice_str("b");
    struct kv_txn_put *p = &kv_txn_add_op(&txn->success, KV_TXN_PUT)->put;
    p->key = slice_str("c");
    p->lease = 7;
    kv_txn_encode(txn, &bytes);
    kv_txn_destroy(txn);
    const struct kv_command c = {.op = KV_TXN, .txn = buf_slice(&bytes)};
    assert_int_equal(apply(kv, c).status, STATUS_OK);
    buf_deinit(&bytes);
    assert_int_equal(lease_of(kv, 7).keys, 1);
    erase(kv, "c");
    assert_false(has(kv, 7));
}

static void rule_k2b_a_put_with_a_ttl_has_conditions_and_retries(void **state)
{
    struct kv *kv = *state;
    struct kv_command c = {.op = KV_PUT_TTL,
                           .condition = KV_IF_EXISTS,
                           .key = slice_str("k"),
                           .value = slice_str("v"),
                           .lease = 7,
                           .ttl_s = 5};
    assert_int_equal(apply(kv, c).status, STATUS_CONFLICT);
    assert_int_equal(kv_lease_count(kv), 0);
    c.condition = KV_IF_ABSENT;
    c.retry_key = slice_str("r");
    assert_int_equal(apply(kv, c).status, STATUS_OK);
    struct kv_result again = apply(kv, c);
    assert_true(again.replayed);
    assert_int_equal(again.status, STATUS_OK);
    assert_int_equal(again.revision, 2);
    assert_int_equal(kv_lease_count(kv), 1);
}

/* --- bounds ----------------------------------------------------------------------------------- */

static void when_there_are_too_many_no_more_are_granted(void **state)
{
    struct kv *kv = *state;
    put_ttl(kv, "k", 1, 30);
    for (uint64_t id = 2; id <= LIMIT_LEASES; id++) {
        assert_int_equal(grant(kv, id).status, STATUS_OK);
    }
    assert_int_equal(grant(kv, LIMIT_LEASES + 1).status, STATUS_OVERLOADED);
    assert_int_equal(put_ttl(kv, "other", LIMIT_LEASES + 1, 30).status, STATUS_OVERLOADED);
    assert_false(has_key(kv, "other"));
    /* in place of the one that goes */
    assert_int_equal(put_ttl(kv, "k", LIMIT_LEASES + 1, 30).status, STATUS_OK);
    assert_int_equal(kv_lease_count(kv), LIMIT_LEASES);
    kv_destroy(copy_of(kv));
}

static void a_lease_with_100000_keys_ends_in_one_revision(void **state)
{
    struct kv *kv = *state;
    char key[16];
    grant(kv, 7);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        put(kv, key, 7);
    }
    struct kv *copy = copy_of(kv);
    assert_int_equal(lease_of(copy, 7).keys, 100000);
    assert_int_equal(revoke(kv, 7).revision, 100002);
    assert_int_equal(revoke(copy, 7).revision, 100002);
    assert_int_equal(stats_of(kv).keys, 0);
    assert_true(is_same_digest(kv_digest(kv), kv_digest(copy)));
    kv_destroy(copy);
    copy = copy_of(kv);
    assert_int_equal(stats_of(copy).revision, 100002);
    kv_destroy(copy);
}

/* --- commands, images and digests ------------------------------------------------------------- */

static void lease_commands_come_back_as_they_went(void **state)
{
    (void)state;
    struct buf expiry = {0};
    kv_expiry_add(&expiry, 1, UINT64_MAX);
    const struct kv_command commands[] = {
        {.op = KV_LEASE_GRANT, .lease = UINT64_MAX, .ttl_s = LIMIT_LEASE_TTL_S},
        {.op = KV_LEASE_REVOKE, .time_ms = 5, .lease = 300},
        {.op = KV_LEASE_EXPIRE, .expiry = buf_slice(&expiry)},
        {.op = KV_PUT_TTL,
         .condition = KV_IF_ABSENT,
         .key = slice_str("k"),
         .value = slice_str("v"),
         .lease = 300,
         .ttl_s = 1,
         .retry_key = slice_str("r")},
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct buf bytes = {0};
        struct kv_command back;
        kv_command_encode(&commands[i], &bytes);
        assert_int_equal(kv_command_decode(buf_slice(&bytes), &back), STATUS_OK);
        assert_int_equal(back.op, commands[i].op);
        assert_int_equal(back.condition, commands[i].condition);
        assert_int_equal(back.lease, commands[i].lease);
        assert_int_equal(back.ttl_s, commands[i].ttl_s);
        assert_true(slice_equal(back.expiry, commands[i].expiry));
        assert_true(slice_equal(back.value, commands[i].value));
        assert_true(slice_equal(back.retry_key, commands[i].retry_key));
        for (size_t size = 0; size < bytes.size; size++) {
            assert_int_equal(kv_command_decode(slice_of(bytes.data, size), &back), STATUS_CORRUPT);
        }
        buf_deinit(&bytes);
    }
    buf_deinit(&expiry);
}

static void commands_of_leases_that_are_none_are_corrupt(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
#define CASE(bytes) {bytes, sizeof(bytes) - 1}
        CASE("\x01\x05\x00\x00\x01"),                         /* id 0 */
        CASE("\x01\x05\x00\x01\x00"),                         /* no time to live */
        CASE("\x01\x05\x00\x01\x81\xb4\xc4\xc3\x21"),         /* too long a one */
        CASE("\x01\x06\x00\x00"),                             /* id 0 */
        CASE("\x01\x86\x00\x01"),                             /* a retry key */
        CASE("\x01\x07\x00\x00"),                             /* none */
        CASE("\x01\x07\x00\x08\x00\x00\x00\x00\x00\x00\x00"), /* half of one */
        CASE("\x01\x08\x00\x00\x01k\x00\x01\x00"),            /* id 0 */
        CASE("\x01\x0a\x00"),                                 /* no operation */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kv_command ignored;
        assert_int_equal(kv_command_decode(slice_of(cases[i].bytes, cases[i].size), &ignored),
                         STATUS_CORRUPT);
    }
}

static void an_image_without_leases_is_what_an_older_version_reads(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", 0);
    assert_int_equal(image_format(kv), 1);
    grant(kv, 7);
    assert_int_equal(image_format(kv), 3);
    revoke(kv, 7); /* grant numbers are not used again */
    struct kv *copy = copy_of(kv);
    assert_int_equal(image_format(copy), 3);
    grant(copy, 7);
    assert_int_equal(lease_of(copy, 7).grant, 2);
    kv_destroy(copy);
}

static void leases_outlive_a_raised_revision(void **state)
{
    struct kv *kv = *state;
    grant(kv, 7);
    put(kv, "k", 7);
    kv_raise_revision(kv, 1000);
    struct kv *copy = copy_of(kv);
    assert_int_equal(lease_of(copy, 7).keys, 1);
    assert_int_equal(revoke(copy, 7).revision, 1003);
    assert_false(has_key(copy, "k"));
    kv_check(copy);
    kv_destroy(copy);
}

static struct kv *kv_with(uint64_t id, uint64_t ttl_s, bool is_private, bool extra)
{
    struct kv *kv = kv_create();
    if (extra) {
        grant(kv, 99);
        revoke(kv, 99);
    }
    if (is_private) {
        put_ttl(kv, "k", id, ttl_s);
    } else {
        apply(kv, (struct kv_command){.op = KV_LEASE_GRANT, .lease = id, .ttl_s = ttl_s});
        put(kv, "k", id);
    }
    return kv;
}

static void rule_p15b_leases_that_differ_are_told_by_the_digest(void **state)
{
    (void)state;
    struct kv *base = kv_with(1, 10, false, false);
    struct kv *others[] = {kv_with(2, 10, false, false), kv_with(1, 11, false, false),
                           kv_with(1, 10, true, false), kv_with(1, 10, false, true)};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(is_same_digest(kv_digest(base), kv_digest(others[i])));
        assert_true(is_same_digest(kv_digest(others[i]), digest_anew_of(others[i], 1)));
        kv_destroy(others[i]);
    }
    kv_destroy(base);
}

/* Every image with one bit flipped is refused, or at least harmless. */
static void damaged_images_with_leases_break_nothing(void **state)
{
    struct kv *kv = *state;
    grant(kv, 7);
    put(kv, "a", 7);
    put_ttl(kv, "b", 300, 10);
    apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = 3});
    struct buf image = {0};
    export_all(kv, &image);
    for (size_t bit = 0; bit < 8 * image.size; bit++) {
        struct kv *none;
        image.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct kv_import *i = kv_import_begin();
        (void)!kv_import_add(i, buf_slice(&image));
        assert_int_equal(kv_import_finish(i, &none), STATUS_CORRUPT);
        image.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_deinit(&image);
}

/* `items` between the head of a store at revision 9, time 100, 5 grants, and an end. */
static enum status import_items(const char *items, size_t size)
{
    struct buf image = {0};
    buf_append_str(&image, "CNCLVIMG");
    buf_append(&image, (const uint8_t[]){3, 0, 0, 0, 9, 0, 100, 5}, 8);
    buf_append(&image, items, size);
    struct kv_import *i = kv_import_begin();
    enum status status = kv_import_add(i, buf_slice(&image));
    kv_import_abort(i);
    buf_deinit(&image);
    return status;
}

/* kind 7, grant since the one before, id, ttl, private */
#define LEASE(grant, id, ttl, private) "\x07" grant id ttl private
#define PUT(key, revision, time)       "\x02\x01" key revision time "\x00\x01v"

static void an_image_with_leases_or_revisions_that_cannot_be_is_corrupt(void **state)
{
    (void)state;
    static const struct {
        const char *items;
        size_t size;
        enum status status;
    } cases[] = {
#undef CASE
#define CASE(items, status) {items, sizeof(items) - 1, status}
        CASE(LEASE("\x02", "\x05", "\x05", "\x01") LEASE("\x03", "\x01", "\x01", "\x00"),
             STATUS_OK),
        CASE(LEASE("\x00", "\x05", "\x05", "\x00"), STATUS_CORRUPT),
        CASE(LEASE("\x02", "\x00", "\x05", "\x00"), STATUS_CORRUPT),
        CASE(LEASE("\x02", "\x05", "\x00", "\x00"), STATUS_CORRUPT),
        CASE(LEASE("\x06", "\x05", "\x05", "\x00"), STATUS_CORRUPT), /* never granted */
        CASE(LEASE("\x02", "\x05", "\x05", "\x02"), STATUS_CORRUPT),
        CASE(LEASE("\x02", "\x05", "\x05", "\x00") LEASE("\x01", "\x05", "\x01", "\x00"),
             STATUS_CORRUPT),
        CASE(LEASE("\x02", "\x05", "\x05", "\x00") LEASE("\x04", "\x01", "\x01", "\x00"),
             STATUS_CORRUPT),
        CASE(LEASE("\x02", "\x05", "\x05", "\x00") LEASE("\x00", "\x01", "\x01", "\x00"),
             STATUS_CORRUPT),
        CASE(PUT("k", "\x02", "\x00") LEASE("\x02", "\x05", "\x05", "\x00"), STATUS_CORRUPT),
        CASE(PUT("k", "\x02", "\x05") PUT("l", "\x00", "\x00"), STATUS_OK),
        CASE(PUT("k", "\x02", "\x05") PUT("l", "\x00", "\x01"), STATUS_CORRUPT),
        CASE(PUT("k", "\x02", "\x05") PUT("k", "\x00", "\x00"), STATUS_CORRUPT),
        CASE(PUT("k", "\x00", "\x00"), STATUS_CORRUPT),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum status status = import_items(cases[i].items, cases[i].size);
        if (status != cases[i].status) {
            fail_msg("case %zu: %s", i, status_name(status));
        }
    }
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(a_lease_is_granted_once_and_makes_no_revision),
        KV_TEST(an_unknown_lease_is_refused_and_nothing_is_put),
        KV_TEST(a_refused_put_is_not_kept_for_its_retry_key),
        KV_TEST(revoke_deletes_its_keys_in_one_revision_in_key_order),
        KV_TEST(a_put_moves_or_detaches_and_a_delete_detaches),
        KV_TEST(keys_of_a_lease_stand_in_their_order),
        KV_TEST(who_remembers_leases_sees_what_changed),
        KV_TEST(leases_count_for_the_quota),
        KV_TEST(rule_t3_an_expiry_of_an_older_grant_is_ignored),
        KV_TEST(rule_t3_a_batch_takes_one_revision_for_each_lease_with_keys),
        KV_TEST(a_put_with_a_ttl_makes_a_lease_that_goes_with_its_key),
        KV_TEST(a_second_put_with_a_ttl_replaces_the_lease),
        KV_TEST(an_id_that_is_taken_makes_way_for_the_next_free_one),
        KV_TEST(a_private_lease_that_got_another_key_lives_on),
        KV_TEST(rule_k2b_a_put_with_a_ttl_has_conditions_and_retries),
        KV_TEST(when_there_are_too_many_no_more_are_granted),
        KV_TEST(a_lease_with_100000_keys_ends_in_one_revision),
        KV_TEST(lease_commands_come_back_as_they_went),
        KV_TEST(commands_of_leases_that_are_none_are_corrupt),
        KV_TEST(an_image_without_leases_is_what_an_older_version_reads),
        KV_TEST(leases_outlive_a_raised_revision),
        KV_TEST(rule_p15b_leases_that_differ_are_told_by_the_digest),
        KV_TEST(damaged_images_with_leases_break_nothing),
        KV_TEST(an_image_with_leases_or_revisions_that_cannot_be_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
