/* Users, roles and permissions in the replicated state (kv/kv_auth.h): etcd's outcomes, what is
 * permitted against a twin that tries key by key, images and digests, and commands that carry the
 * auth revision of who let them in. */
#include "kv_fixture.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/kv_auth.h"
#include "kv/kv_image.h"
#include "kv/kv_txn.h"
#include "kv_copy.h"
#include "kv_seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct kv_result apply(struct kv *kv, struct kv_command c)
{
    struct kv_result result;
    struct buf bytes = {0};
    struct kv_command decoded;
    c.auth_revision = c.auth_revision == 0 ? kv_auth_stamp(kv) : c.auth_revision;
    kv_command_encode(&c, &bytes); /* as it would come from the log */
    assert_int_equal(kv_command_decode(buf_slice(&bytes), &decoded), STATUS_OK);
    kv_apply(kv, &decoded, &result);
    buf_deinit(&bytes);
    return result;
}

static enum kv_auth_outcome change(struct kv *kv, struct kv_auth_change c)
{
    struct buf bytes = {0};
    kv_auth_encode(&c, &bytes);
    struct kv_result r = apply(kv, (struct kv_command){.op = KV_AUTH, .auth = buf_slice(&bytes)});
    buf_deinit(&bytes);
    enum status wanted = r.version == KV_AUTH_DONE   ? STATUS_OK
                         : r.version == KV_AUTH_FULL ? STATUS_OVERLOADED
                                                     : STATUS_CONFLICT;
    assert_int_equal(r.status, wanted);
    return (enum kv_auth_outcome)r.version;
}

static enum kv_auth_outcome user(struct kv *kv, enum kv_auth_kind kind, const char *name)
{
    return change(kv, (struct kv_auth_change){
                          .kind = kind, .user = slice_str(name), .password = slice_str("hash")});
}

static enum kv_auth_outcome role(struct kv *kv, enum kv_auth_kind kind, const char *name)
{
    return change(kv, (struct kv_auth_change){.kind = kind, .role = slice_str(name)});
}

static enum kv_auth_outcome grant(struct kv *kv, const char *name, const char *role_name)
{
    return change(kv, (struct kv_auth_change){.kind = KV_AUTH_USER_GRANT,
                                              .user = slice_str(name),
                                              .role = slice_str(role_name)});
}

static enum kv_auth_outcome revoke(struct kv *kv, const char *name, const char *role_name)
{
    return change(kv, (struct kv_auth_change){.kind = KV_AUTH_USER_REVOKE,
                                              .user = slice_str(name),
                                              .role = slice_str(role_name)});
}

static enum kv_auth_outcome permit(struct kv *kv, const char *role_name, enum kv_permission p,
                                   struct slice key, struct slice end)
{
    return change(kv, (struct kv_auth_change){.kind = KV_AUTH_ROLE_PERMIT,
                                              .role = slice_str(role_name),
                                              .permission = p,
                                              .key = key,
                                              .range_end = end});
}

static enum kv_auth_outcome withdraw(struct kv *kv, const char *role_name, struct slice key,
                                     struct slice end)
{
    return change(kv, (struct kv_auth_change){.kind = KV_AUTH_ROLE_WITHDRAW,
                                              .role = slice_str(role_name),
                                              .key = key,
                                              .range_end = end});
}

static enum kv_auth_outcome enable(struct kv *kv)
{
    struct kv_auth_change c = {.kind = KV_AUTH_ENABLE};
    memset(c.token_key, 7, sizeof(c.token_key));
    return change(kv, c);
}

static void enable_with_root(struct kv *kv)
{
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "root"), KV_AUTH_DONE);
    assert_int_equal(grant(kv, "root", "root"), KV_AUTH_DONE);
    assert_int_equal(enable(kv), KV_AUTH_DONE);
}

static bool may(const struct kv *kv, const char *name, enum kv_permission p, const char *key,
                const char *end)
{
    struct kv_span span = kv_span_of(slice_str(key), slice_str(end));
    return kv_auth_may(kv, slice_str(name), p, &span);
}

static const struct slice nothing = {.data = NULL, .size = 0};
static const struct slice to_the_end = {.data = (const uint8_t *)"", .size = 1};

/* --- outcomes --------------------------------------------------------------------------------- */

static void it_is_off_at_first_and_enabling_needs_root(void **state)
{
    struct kv *kv = *state;
    assert_false(kv_auth_is_enabled(kv));
    assert_int_equal(kv_auth_revision(kv), 1);
    assert_int_equal(kv_auth_stamp(kv), 0);
    assert_null(kv_auth_token_key(kv));
    assert_int_equal(enable(kv), KV_AUTH_NO_ROOT_USER);
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "root"), KV_AUTH_DONE);
    assert_int_equal(enable(kv), KV_AUTH_NO_ROOT_ROLE);
    assert_int_equal(grant(kv, "root", "root"), KV_AUTH_DONE); /* a role that nobody made */
    assert_int_equal(kv_auth_revision(kv), 3);
    assert_int_equal(enable(kv), KV_AUTH_DONE);
    assert_true(kv_auth_is_enabled(kv));
    assert_int_equal(kv_auth_revision(kv), 3); /* as etcd has it */
    assert_int_equal(kv_auth_stamp(kv), 3);
    assert_int_equal(kv_auth_token_key(kv)[31], 7);
}

static void switching_off_forgets_the_key_and_keeps_users(void **state)
{
    struct kv *kv = *state;
    enable_with_root(kv);
    assert_int_equal(change(kv, (struct kv_auth_change){.kind = KV_AUTH_DISABLE}), KV_AUTH_DONE);
    assert_null(kv_auth_token_key(kv));
    assert_int_equal(kv_auth_revision(kv), 4);
    assert_int_equal(change(kv, (struct kv_auth_change){.kind = KV_AUTH_DISABLE}), KV_AUTH_DONE);
    assert_int_equal(kv_auth_revision(kv), 4);
    struct kv_auth_user root;
    assert_true(kv_auth_user_get(kv, slice_str("root"), &root));
    assert_int_equal(enable(kv), KV_AUTH_DONE);
}

static void changes_that_do_not_fit_say_why_and_change_nothing(void **state)
{
    struct kv *kv = *state;
    enable_with_root(kv);
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_DONE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    uint64_t revision = kv_auth_revision(kv);
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_USER_EXISTS);
    assert_int_equal(user(kv, KV_AUTH_USER_DELETE, "bob"), KV_AUTH_NO_USER);
    assert_int_equal(user(kv, KV_AUTH_USER_PASSWORD, "bob"), KV_AUTH_NO_USER);
    assert_int_equal(user(kv, KV_AUTH_USER_DELETE, "root"), KV_AUTH_MISMANAGED);
    assert_int_equal(grant(kv, "bob", "r"), KV_AUTH_NO_USER);
    assert_int_equal(grant(kv, "alice", "s"), KV_AUTH_NO_ROLE);
    assert_int_equal(grant(kv, "root", "root"), KV_AUTH_DONE); /* he has it: nothing */
    assert_int_equal(revoke(kv, "alice", "r"), KV_AUTH_NOT_GRANTED);
    assert_int_equal(revoke(kv, "bob", "r"), KV_AUTH_NO_USER);
    assert_int_equal(revoke(kv, "root", "root"), KV_AUTH_MISMANAGED);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_ROLE_EXISTS);
    assert_int_equal(role(kv, KV_AUTH_ROLE_DELETE, "s"), KV_AUTH_NO_ROLE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_DELETE, "root"), KV_AUTH_MISMANAGED);
    assert_int_equal(permit(kv, "s", KV_PERMIT_READ, slice_str("k"), nothing), KV_AUTH_NO_ROLE);
    assert_int_equal(withdraw(kv, "s", slice_str("k"), nothing), KV_AUTH_NO_ROLE);
    assert_int_equal(withdraw(kv, "r", slice_str("k"), nothing), KV_AUTH_NOT_PERMITTED);
    assert_int_equal(kv_auth_revision(kv), revision);
}

static void a_role_that_goes_leaves_its_users(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_DONE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_BOTH, slice_str("k"), nothing), KV_AUTH_DONE);
    assert_int_equal(grant(kv, "alice", "r"), KV_AUTH_DONE);
    assert_true(may(kv, "alice", KV_PERMIT_WRITE, "k", ""));
    assert_int_equal(role(kv, KV_AUTH_ROLE_DELETE, "r"), KV_AUTH_DONE);
    assert_false(kv_auth_user_has_role(kv, slice_str("alice"), slice_str("r")));
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_false(may(kv, "alice", KV_PERMIT_WRITE, "k", ""));
}

static void a_new_password_is_noted_with_its_revision(void **state)
{
    struct kv *kv = *state;
    struct kv_auth_user u;
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_DONE);
    assert_true(kv_auth_user_get(kv, slice_str("alice"), &u));
    assert_int_equal(u.since, 2);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(change(kv, (struct kv_auth_change){.kind = KV_AUTH_USER_PASSWORD,
                                                        .user = slice_str("alice"),
                                                        .password = slice_str("other")}),
                     KV_AUTH_DONE);
    assert_true(kv_auth_user_get(kv, slice_str("alice"), &u));
    assert_int_equal(u.since, 4);
    assert_true(slice_equal(u.password, slice_str("other")));
    /* A user without one stays so. */
    assert_int_equal(change(kv, (struct kv_auth_change){.kind = KV_AUTH_USER_ADD,
                                                        .user = slice_str("cert"),
                                                        .no_password = true}),
                     KV_AUTH_DONE);
    assert_int_equal(user(kv, KV_AUTH_USER_PASSWORD, "cert"), KV_AUTH_DONE);
    assert_true(kv_auth_user_get(kv, slice_str("cert"), &u));
    assert_true(u.no_password);
    assert_int_equal(u.password.size, 0);
}

static void a_permission_of_the_same_span_takes_the_place_of_the_other(void **state)
{
    struct kv *kv = *state;
    struct kv_auth_role r;
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_READ, slice_str("b"), nothing), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_READ, slice_str("a"), slice_str("c")), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_READ, slice_str("a"), nothing), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_WRITE, slice_str("a"), slice_str("c")),
                     KV_AUTH_DONE);
    assert_true(kv_auth_role_get(kv, slice_str("r"), &r));
    assert_int_equal(r.permissions, 3);
    struct kv_auth_permission p = kv_auth_role_permission(kv, slice_str("r"), 1);
    assert_int_equal(p.permission, KV_PERMIT_WRITE);
    assert_true(slice_equal(p.range_end, slice_str("c")));
    assert_int_equal(withdraw(kv, "r", slice_str("a"), nothing), KV_AUTH_DONE);
    assert_true(kv_auth_role_get(kv, slice_str("r"), &r));
    assert_int_equal(r.permissions, 2);
}

static void the_bounds_hold(void **state)
{
    struct kv *kv = *state;
    struct buf key = {0};
    memset(buf_reserve(&key, LIMIT_KEY_BYTES), 'k', LIMIT_KEY_BYTES);
    key.size = LIMIT_KEY_BYTES;
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    enum kv_auth_outcome outcome = KV_AUTH_DONE;
    uint64_t made = 0;
    for (; outcome == KV_AUTH_DONE; made++) {
        memcpy(key.data, &made, sizeof(made));
        outcome = permit(kv, "r", KV_PERMIT_READ, buf_slice(&key), nothing);
    }
    assert_int_equal(outcome, KV_AUTH_FULL);
    assert_int_equal(made, LIMIT_AUTH_BYTES / (LIMIT_KEY_BYTES + 64) + 1);
    uint64_t revision = kv_auth_revision(kv);
    key.data[0]++;
    assert_int_equal(permit(kv, "r", KV_PERMIT_READ, buf_slice(&key), nothing), KV_AUTH_FULL);
    assert_int_equal(kv_auth_revision(kv), revision);
    assert_int_equal(role(kv, KV_AUTH_ROLE_DELETE, "r"), KV_AUTH_DONE);
    buf_deinit(&key);
}

/* --- what is permitted ------------------------------------------------------------------------ */

static void permissions_of_all_roles_are_one(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_DONE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "s"), KV_AUTH_DONE);
    assert_int_equal(grant(kv, "alice", "r"), KV_AUTH_DONE);
    assert_int_equal(grant(kv, "alice", "s"), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_READ, slice_str("a"), slice_str("c")), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "s", KV_PERMIT_BOTH, slice_str("c"), slice_str("e")), KV_AUTH_DONE);
    assert_true(may(kv, "alice", KV_PERMIT_READ, "a", "e"));
    assert_true(may(kv, "alice", KV_PERMIT_READ, "b", "d"));
    assert_false(may(kv, "alice", KV_PERMIT_READ, "a", "f"));
    assert_false(may(kv, "alice", KV_PERMIT_WRITE, "b", "d"));
    assert_true(may(kv, "alice", KV_PERMIT_WRITE, "c", "d"));
    assert_true(may(kv, "alice", KV_PERMIT_READ, "bzzz", ""));
    assert_false(may(kv, "alice", KV_PERMIT_READ, "e", ""));
    assert_false(may(kv, "bob", KV_PERMIT_READ, "a", ""));
    struct kv_span all = kv_span_of(slice_str("a"), to_the_end);
    assert_false(kv_auth_may(kv, slice_str("alice"), KV_PERMIT_READ, &all));
    assert_int_equal(permit(kv, "s", KV_PERMIT_READ, slice_str("d"), to_the_end), KV_AUTH_DONE);
    assert_true(kv_auth_may(kv, slice_str("alice"), KV_PERMIT_READ, &all));
    /* From the very first key on. */
    struct kv_span everything = {.kind = KV_SPAN_RANGE, .end = slice_str("z")};
    assert_false(kv_auth_may(kv, slice_str("alice"), KV_PERMIT_READ, &everything));
    assert_int_equal(permit(kv, "s", KV_PERMIT_READ, to_the_end, slice_str("a")), KV_AUTH_DONE);
    assert_true(kv_auth_may(kv, slice_str("alice"), KV_PERMIT_READ, &everything));
}

static void the_role_root_may_all(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_DONE);
    assert_false(kv_auth_is_root(kv, slice_str("alice")));
    assert_int_equal(grant(kv, "alice", "root"), KV_AUTH_DONE);
    assert_true(kv_auth_is_root(kv, slice_str("alice")));
    assert_true(may(kv, "alice", KV_PERMIT_WRITE, "any", ""));
    struct kv_span all = kv_span_of(to_the_end, to_the_end);
    assert_true(kv_auth_may(kv, slice_str("alice"), KV_PERMIT_WRITE, &all));
}

static void a_lease_is_whose_may_write_all_of_its_keys(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_DONE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(grant(kv, "alice", "r"), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_BOTH, slice_str("a"), nothing), KV_AUTH_DONE);
    assert_int_equal(
        apply(kv, (struct kv_command){.op = KV_LEASE_GRANT, .lease = 5, .ttl_s = 60}).status,
        STATUS_OK);
    assert_true(kv_auth_may_lease(kv, slice_str("alice"), KV_PERMIT_WRITE, 5));
    assert_true(kv_auth_may_lease(kv, slice_str("alice"), KV_PERMIT_WRITE, 6));
    apply(kv, (struct kv_command){.op = KV_PUT, .key = slice_str("a"), .lease = 5});
    assert_true(kv_auth_may_lease(kv, slice_str("alice"), KV_PERMIT_WRITE, 5));
    apply(kv, (struct kv_command){.op = KV_PUT, .key = slice_str("b"), .lease = 5});
    assert_false(kv_auth_may_lease(kv, slice_str("alice"), KV_PERMIT_WRITE, 5));
    assert_false(kv_auth_may_lease(kv, slice_str("bob"), KV_PERMIT_WRITE, 6));
    /* Nor may he attach one of his own keys to it. */
    struct kv_txn *txn = kv_txn_create();
    struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_PUT);
    op->put.key = slice_str("a");
    assert_true(kv_auth_may_txn(kv, slice_str("alice"), txn));
    op->put.lease = 5;
    assert_false(kv_auth_may_txn(kv, slice_str("alice"), txn));
    kv_txn_destroy(txn);
}

static void a_transaction_needs_what_any_of_its_paths_needs(void **state)
{
    struct kv *kv = *state;
    const struct slice alice = slice_str("alice");
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "alice"), KV_AUTH_DONE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(grant(kv, "alice", "r"), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_WRITE, slice_str("w"), nothing), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_READ, slice_str("r"), nothing), KV_AUTH_DONE);
    struct kv_txn *txn = kv_txn_create();
    struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_NESTED);
    struct kv_txn *inner = op->nested = kv_txn_create();
    kv_txn_add_compare(inner)->span = kv_span_of(slice_str("r"), nothing);
    op = kv_txn_add_op(&inner->failure, KV_TXN_PUT);
    op->put.key = slice_str("w");
    assert_true(kv_auth_may_txn(kv, alice, txn));
    op->put.previous = true; /* tells what was there */
    assert_false(kv_auth_may_txn(kv, alice, txn));
    op->put.previous = false;
    inner->compares[0].span = kv_span_of(slice_str("w"), nothing);
    assert_false(kv_auth_may_txn(kv, alice, txn));
    inner->compares[0].span = kv_span_of(slice_str("r"), nothing);
    op = kv_txn_add_op(&inner->success, KV_TXN_DELETE);
    op->deletes.span = kv_span_of(slice_str("w"), nothing);
    assert_true(kv_auth_may_txn(kv, alice, txn));
    op->deletes.previous = true;
    assert_false(kv_auth_may_txn(kv, alice, txn));
    op->deletes = (struct kv_txn_delete){.span = kv_span_of(slice_str("r"), nothing)};
    assert_false(kv_auth_may_txn(kv, alice, txn));
    kv_txn_destroy(txn);
}

/* --- commands that were let in under another revision ----------------------------------------- */

static void expect_refused(struct kv *kv, struct kv_command c, uint64_t auth_revision)
{
    struct kv_result r;
    struct kv_digest before = kv_digest(kv);
    c.auth_revision = auth_revision;
    kv_apply(kv, &c, &r);
    assert_int_equal(r.status, STATUS_AUTH_OLD);
    assert_true(is_same_digest(kv_digest(kv), before));
}

static void a_command_let_in_by_other_users_and_roles_is_refused(void **state)
{
    struct kv *kv = *state;
    const struct kv_command put = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    const struct kv_command keyed = {
        .op = KV_PUT, .key = slice_str("k"), .retry_key = slice_str("once")};
    struct kv_result r;
    assert_int_equal(apply(kv, put).status, STATUS_OK);
    enable_with_root(kv);
    uint64_t revision = kv_auth_revision(kv);
    expect_refused(kv, put, 0); /* by a member that has not heard that auth is on */
    expect_refused(kv, put, revision - 1);
    expect_refused(kv, put, revision + 1);
    expect_refused(kv, keyed, revision - 1);
    assert_int_equal(apply(kv, keyed).status, STATUS_OK);
    expect_refused(kv, keyed, revision - 1); /* not even told what it did */
    expect_refused(kv, (struct kv_command){.op = KV_COMPACT, .revision = 2}, revision - 1);
    expect_refused(kv, (struct kv_command){.op = KV_DOCUMENT, .value = slice_str("d")}, 0);
    /* The node's own. */
    kv_apply(kv, &(struct kv_command){.op = KV_COMPACT, .revision = 2}, &r);
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(apply(kv, put).status, STATUS_OK);
    assert_int_equal(change(kv, (struct kv_auth_change){.kind = KV_AUTH_DISABLE}), KV_AUTH_DONE);
    assert_int_equal(apply(kv, put).status, STATUS_OK);
    kv_apply(kv, &(struct kv_command){.op = KV_DELETE, .key = slice_str("k"), .auth_revision = 2},
             &r);
    assert_int_equal(r.status, STATUS_OK); /* off: whoever let it in */
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void bytes_that_no_encoder_writes_are_corrupt(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct kv_auth_change c = {.kind = KV_AUTH_ROLE_PERMIT,
                               .role = slice_str("r"),
                               .permission = KV_PERMIT_BOTH,
                               .key = slice_str("a"),
                               .range_end = slice_str("b")};
    kv_auth_encode(&c, &bytes);
    assert_int_equal(kv_auth_decode(buf_slice(&bytes), &c), STATUS_OK);
    assert_true(slice_equal(c.range_end, slice_str("b")));
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(kv_auth_decode(slice_of(bytes.data, size), &c), STATUS_CORRUPT);
    }
    buf_append_byte(&bytes, 0);
    assert_int_equal(kv_auth_decode(buf_slice(&bytes), &c), STATUS_CORRUPT);
    buf_deinit(&bytes);
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        {"\0", 1},              /* no such kind */
        {"\x0c\1r", 3},         /* likewise */
        {"\4\0", 2},            /* no name */
        {"\4\x81\0r", 4},       /* a length in two bytes */
        {"\3\1u\2\0", 5},       /* a flag that is none */
        {"\3\1u\1\1h", 6},      /* a password of one that has none */
        {"\x0a\1r\3\1k\0", 7},  /* a permission that is none */
        {"\x0a\1r\0\0\0", 6},   /* of no key */
        {"\x0a\1r\0\1b\1a", 8}, /* of swapped ends */
        {"\x0a\1r\0\1b\1b", 8}, /* of nothing */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(kv_auth_decode(slice_of(bad[i].bytes, bad[i].size), &c), STATUS_CORRUPT);
    }
}

static void without_auth_commands_images_and_digests_are_as_before(void **state)
{
    struct kv *kv = *state;
    struct buf bytes = {0};
    const struct kv_command put = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    apply(kv, put);
    kv_command_encode(&put, &bytes);
    assert_int_equal(bytes.data[1], KV_PUT);
    buf_clear(&bytes);
    export_all(kv, &bytes);
    assert_int_equal(bytes.data[8], 1); /* the plain format */
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(role(kv, KV_AUTH_ROLE_DELETE, "r"), KV_AUTH_DONE);
    buf_clear(&bytes);
    export_all(kv, &bytes);
    assert_int_equal(bytes.data[8], 4);
    buf_deinit(&bytes);
}

/* --- against a twin --------------------------------------------------------------------------- */

#define NAMES 3
#define ENDS  6
/* `ends` are all that spans begin and end with; a key at each and right behind each is in every
 * part that they cut the keys into. */
static const char *const names[NAMES] = {"root", "a", "b"};
static const char *const ends[ENDS] = {"a", "b", "ba", "bb", "c", "d"};

struct twin {
    bool is_enabled;
    uint64_t revision;
    bool users[NAMES];
    bool has[NAMES][NAMES]; /* user, role */
    bool roles[NAMES];
    /* 0 = none, else 1 + permission; the last two ends are "one key" and "to the last". */
    uint8_t permitted[NAMES][ENDS][ENDS + 2];
};

static struct slice end_of(size_t number)
{
    return number < ENDS ? slice_str(ends[number]) : number == ENDS ? nothing : to_the_end;
}

/* A key among 2 * ENDS of them. */
static struct slice probe_of(size_t number)
{
    return slice_of(ends[number / 2], strlen(ends[number / 2]) + number % 2);
}

static bool twin_may_key(const struct twin *t, size_t who, enum kv_permission p, struct slice key)
{
    for (size_t r = 0; r < NAMES; r++) {
        for (size_t i = 0; i < ENDS * (ENDS + 2) && t->users[who] && t->has[who][r]; i++) {
            uint8_t has = t->permitted[r][i / (ENDS + 2)][i % (ENDS + 2)];
            struct kv_span span =
                kv_span_of(slice_str(ends[i / (ENDS + 2)]), end_of(i % (ENDS + 2)));
            if ((has == 1 + p || has == 1 + KV_PERMIT_BOTH) && kv_span_contains(&span, key)) {
                return true;
            }
        }
    }
    return false;
}

static bool twin_may(const struct twin *t, size_t who, enum kv_permission p,
                     const struct kv_span *span)
{
    if (!t->users[who]) {
        return false;
    }
    if (t->has[who][0]) {
        return true;
    }
    for (size_t i = 0; i < 2 * ENDS; i++) {
        if (kv_span_contains(span, probe_of(i)) && !twin_may_key(t, who, p, probe_of(i))) {
            return false;
        }
    }
    return true;
}

static enum kv_auth_outcome twin_users(struct twin *t, enum kv_auth_kind kind, size_t who,
                                       size_t what)
{
    if (kind == KV_AUTH_USER_ADD) {
        if (t->users[who]) {
            return KV_AUTH_USER_EXISTS;
        }
        t->users[who] = true;
        memset(t->has[who], 0, sizeof(t->has[who]));
        t->revision++;
        return KV_AUTH_DONE;
    }
    bool takes_root =
        who == 0 && (kind == KV_AUTH_USER_DELETE || (kind == KV_AUTH_USER_REVOKE && what == 0));
    if (t->is_enabled && takes_root) {
        return KV_AUTH_MISMANAGED;
    }
    if (!t->users[who]) {
        return KV_AUTH_NO_USER;
    }
    if (kind == KV_AUTH_USER_GRANT && what != 0 && !t->roles[what]) {
        return KV_AUTH_NO_ROLE;
    }
    if (kind == KV_AUTH_USER_GRANT && t->has[who][what]) {
        return KV_AUTH_DONE;
    }
    if (kind == KV_AUTH_USER_REVOKE && !t->has[who][what]) {
        return KV_AUTH_NOT_GRANTED;
    }
    t->users[who] = kind != KV_AUTH_USER_DELETE;
    if (kind == KV_AUTH_USER_GRANT || kind == KV_AUTH_USER_REVOKE) {
        t->has[who][what] = kind == KV_AUTH_USER_GRANT;
    }
    t->revision++;
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome twin_roles(struct twin *t, enum kv_auth_kind kind, size_t what)
{
    if (kind == KV_AUTH_ROLE_ADD && t->roles[what]) {
        return KV_AUTH_ROLE_EXISTS;
    }
    if (kind == KV_AUTH_ROLE_DELETE && t->is_enabled && what == 0) {
        return KV_AUTH_MISMANAGED;
    }
    if (kind == KV_AUTH_ROLE_DELETE && !t->roles[what]) {
        return KV_AUTH_NO_ROLE;
    }
    t->roles[what] = kind == KV_AUTH_ROLE_ADD;
    memset(t->permitted[what], 0, sizeof(t->permitted[what]));
    for (size_t who = 0; who < NAMES && kind == KV_AUTH_ROLE_DELETE; who++) {
        t->has[who][what] = false;
    }
    t->revision++;
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome twin_switch(struct twin *t, bool on)
{
    if (on && !t->is_enabled && !t->users[0]) {
        return KV_AUTH_NO_ROOT_USER;
    }
    if (on && !t->is_enabled && !t->has[0][0]) {
        return KV_AUTH_NO_ROOT_ROLE;
    }
    t->revision += t->is_enabled && !on ? 1 : 0;
    t->is_enabled = on;
    return KV_AUTH_DONE;
}

static void random_permission(struct kv *kv, struct twin *t, struct rng *rng)
{
    size_t what = (size_t)rng_below(rng, NAMES);
    size_t from = (size_t)rng_below(rng, ENDS);
    size_t to = (size_t)rng_below(rng, ENDS + 2);
    enum kv_permission p = (enum kv_permission)rng_below(rng, 3);
    uint8_t *at = &t->permitted[what][from][to];
    bool takes = rng_chance(rng, 1, 3);
    if (!kv_auth_span_is_sound(slice_str(ends[from]), end_of(to))) {
        return;
    }
    enum kv_auth_outcome wanted = !t->roles[what]     ? KV_AUTH_NO_ROLE
                                  : takes && *at == 0 ? KV_AUTH_NOT_PERMITTED
                                                      : KV_AUTH_DONE;
    enum kv_auth_outcome outcome =
        takes ? withdraw(kv, names[what], slice_str(ends[from]), end_of(to))
              : permit(kv, names[what], p, slice_str(ends[from]), end_of(to));
    assert_int_equal(outcome, wanted);
    if (wanted == KV_AUTH_DONE) {
        *at = takes ? 0 : (uint8_t)(1 + p);
        t->revision++;
    }
}

static void random_change(struct kv *kv, struct twin *t, struct rng *rng)
{
    size_t who = (size_t)rng_below(rng, NAMES);
    size_t what = (size_t)rng_below(rng, NAMES);
    switch (rng_below(rng, 12)) {
    case 0:
        assert_int_equal(enable(kv), twin_switch(t, true));
        break;
    case 1:
        assert_int_equal(change(kv, (struct kv_auth_change){.kind = KV_AUTH_DISABLE}),
                         twin_switch(t, false));
        break;
    case 2:
    case 3:
        assert_int_equal(user(kv, KV_AUTH_USER_ADD, names[who]),
                         twin_users(t, KV_AUTH_USER_ADD, who, what));
        break;
    case 4:
        assert_int_equal(user(kv, KV_AUTH_USER_DELETE, names[who]),
                         twin_users(t, KV_AUTH_USER_DELETE, who, what));
        break;
    case 5:
        assert_int_equal(grant(kv, names[who], names[what]),
                         twin_users(t, KV_AUTH_USER_GRANT, who, what));
        break;
    case 6:
        assert_int_equal(revoke(kv, names[who], names[what]),
                         twin_users(t, KV_AUTH_USER_REVOKE, who, what));
        break;
    case 7:
        assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, names[what]),
                         twin_roles(t, KV_AUTH_ROLE_ADD, what));
        break;
    case 8:
        assert_int_equal(role(kv, KV_AUTH_ROLE_DELETE, names[what]),
                         twin_roles(t, KV_AUTH_ROLE_DELETE, what));
        break;
    default:
        random_permission(kv, t, rng);
        break;
    }
}

static void compare_with_twin(const struct kv *kv, const struct twin *t)
{
    assert_int_equal(kv_auth_is_enabled(kv), t->is_enabled);
    assert_int_equal(kv_auth_revision(kv), t->revision);
    for (size_t who = 0; who < NAMES; who++) {
        for (size_t i = 0; i < ENDS * (ENDS + 2); i++) {
            struct slice key = slice_str(ends[i / (ENDS + 2)]);
            struct slice end = end_of(i % (ENDS + 2));
            struct kv_span span = kv_span_of(key, end);
            bool is_sound = kv_auth_span_is_sound(key, end);
            for (unsigned p = KV_PERMIT_READ; is_sound && p <= KV_PERMIT_WRITE; p++) {
                assert_int_equal(
                    kv_auth_may(kv, slice_str(names[who]), (enum kv_permission)p, &span),
                    twin_may(t, who, (enum kv_permission)p, &span));
            }
        }
    }
}

/* Through an image and back, and changed over with it. */
static void copy_and_swap(struct kv *kv, struct rng *rng)
{
    struct buf image = {0};
    struct buf again = {0};
    struct kv_export *e = kv_export_begin(kv);
    export_rest(e, rng, &image);
    kv_export_end(e);
    struct kv *copy = import_all(buf_slice(&image), rng);
    assert_true(is_same_digest(kv_digest(copy), kv_digest(kv)));
    assert_true(is_same_digest(digest_anew_of(copy, 1), kv_digest(kv)));
    export_all(copy, &again);
    assert_true(slice_equal(buf_slice(&image), buf_slice(&again)));
    kv_swap(kv, copy);
    kv_destroy(copy);
    buf_deinit(&image);
    buf_deinit(&again);
}

static void run_against_twin(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    struct kv *kv = kv_create();
    struct twin t = {.revision = 1};
    for (unsigned step = 0; step < 400; step++) {
        random_change(kv, &t, &rng);
        if (rng_chance(&rng, 1, 8)) {
            kv_check(kv);
            compare_with_twin(kv, &t);
        }
        if (rng_chance(&rng, 1, 40)) {
            copy_and_swap(kv, &rng);
        }
    }
    kv_destroy(kv);
}

static void permissions_are_those_of_a_twin_that_tries_every_key(void **state)
{
    (void)state;
    run_seeds("auth", 30, run_against_twin);
}

/* --- images ----------------------------------------------------------------------------------- */

static void an_image_is_of_the_moment_at_which_it_was_begun(void **state)
{
    struct kv *kv = *state;
    struct rng rng;
    rng_init(&rng, 3);
    struct buf image = {0};
    enable_with_root(kv);
    struct kv_digest digest = kv_digest(kv);
    struct kv_export *e = kv_export_begin(kv);
    assert_int_equal(user(kv, KV_AUTH_USER_ADD, "later"), KV_AUTH_DONE);
    assert_int_equal(change(kv, (struct kv_auth_change){.kind = KV_AUTH_DISABLE}), KV_AUTH_DONE);
    export_rest(e, &rng, &image);
    kv_export_end(e);
    struct kv *copy = import_all(buf_slice(&image), &rng);
    assert_true(is_same_digest(kv_digest(copy), digest));
    assert_true(kv_auth_is_enabled(copy));
    assert_memory_equal(kv_auth_token_key(copy), "\7\7\7\7", 4);
    /* As a backup that becomes a new cluster it has the same users. */
    kv_raise_revision(copy, 100);
    kv_check(copy);
    assert_true(kv_auth_is_root(copy, slice_str("root")));
    kv_destroy(copy);
    buf_deinit(&image);
}

static void a_changed_image_is_not_taken(void **state)
{
    struct kv *kv = *state;
    struct buf image = {0};
    enable_with_root(kv);
    assert_int_equal(role(kv, KV_AUTH_ROLE_ADD, "r"), KV_AUTH_DONE);
    assert_int_equal(permit(kv, "r", KV_PERMIT_READ, slice_str("a"), slice_str("b")), KV_AUTH_DONE);
    export_all(kv, &image);
    for (size_t at = 8; at < image.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            image.data[at] ^= (uint8_t)(1u << bit);
            struct kv_import *i = kv_import_begin();
            struct kv *made = NULL;
            enum status s = kv_import_add(i, buf_slice(&image));
            assert_int_not_equal(kv_import_finish(i, &made), STATUS_OK);
            assert_true(s == STATUS_OK || s == STATUS_CORRUPT || s == STATUS_UNSUPPORTED);
            image.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    buf_deinit(&image);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_off_at_first_and_enabling_needs_root),
        TEST(switching_off_forgets_the_key_and_keeps_users),
        TEST(changes_that_do_not_fit_say_why_and_change_nothing),
        TEST(a_role_that_goes_leaves_its_users),
        TEST(a_new_password_is_noted_with_its_revision),
        TEST(a_permission_of_the_same_span_takes_the_place_of_the_other),
        TEST(the_bounds_hold),
        TEST(permissions_of_all_roles_are_one),
        TEST(the_role_root_may_all),
        TEST(a_lease_is_whose_may_write_all_of_its_keys),
        TEST(a_transaction_needs_what_any_of_its_paths_needs),
        TEST(a_command_let_in_by_other_users_and_roles_is_refused),
        cmocka_unit_test(bytes_that_no_encoder_writes_are_corrupt),
        TEST(without_auth_commands_images_and_digests_are_as_before),
        cmocka_unit_test(permissions_are_those_of_a_twin_that_tries_every_key),
        TEST(an_image_is_of_the_moment_at_which_it_was_begun),
        TEST(a_changed_image_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
