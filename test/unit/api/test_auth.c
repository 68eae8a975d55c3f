/* Who asks, and may he (api/auth.h): tokens, passwords, and the door of REST. */
#include "rest_asserts.h"

#include "api/auth.h"
#include "api/auth_token.h"
#include "base/check.h"
#include "base/mem.h"

#include <sodium.h>
#include <stdio.h>

#define NOBODY                                                                                     \
    "{\"error\":\"Unauthorized\",\"reason\":\"say who you are: Authorization: Basic or Bearer\"}"
#define BAD_TOKEN                                                                                  \
    "{\"error\":\"Unauthorized\",\"reason\":\"the token is not valid, or not any more\"}"
#define BAD_PASSWORD "{\"error\":\"Unauthorized\",\"reason\":\"no such user, or another password\"}"
#define DENIED       "{\"error\":\"Forbidden\",\"reason\":\"no role of this user permits it\"}"
#define MINUTE_MS    60000u

/* --- tokens ----------------------------------------------------------------------------------- */

static const uint8_t token_key[TOKEN_KEY_BYTES] = {1, 2, 3};
static const struct uuid cluster = {.bytes = {9}};

static void a_token_says_whose_it_is_until_its_time_is_over(void **state)
{
    (void)state;
    struct buf text = {0};
    struct token t;
    token_append(token_key, cluster, slice_str("alice"), 7, 1000000, &text);
    assert_true(token_read(token_key, cluster, buf_slice(&text), 1000000, &t));
    assert_int_equal(t.revision, 7);
    assert_true(slice_equal(slice_of(t.user, t.user_size), slice_str("alice")));
    assert_true(token_read(token_key, cluster, buf_slice(&text), 999999 + TOKEN_LIFE_MS, &t));
    assert_false(token_read(token_key, cluster, buf_slice(&text), 1000000 + TOKEN_LIFE_MS, &t));
    /* This member's clock may be behind the other's, but not by any time. */
    assert_true(token_read(token_key, cluster, buf_slice(&text), 1000001 - TOKEN_SKEW_MS, &t));
    assert_false(token_read(token_key, cluster, buf_slice(&text), 1000000 - TOKEN_SKEW_MS, &t));
    buf_deinit(&text);
}

static void a_token_that_was_not_made_so_is_none(void **state)
{
    (void)state;
    struct buf text = {0};
    struct token t;
    const uint8_t other_key[TOKEN_KEY_BYTES] = {1, 2, 4};
    const struct uuid other_cluster = {.bytes = {8}};
    token_append(token_key, cluster, slice_str("alice"), 7, 1000, &text);
    assert_false(token_read(other_key, cluster, buf_slice(&text), 1000, &t));
    assert_false(token_read(token_key, other_cluster, buf_slice(&text), 1000, &t));
    for (size_t i = 0; i < text.size; i++) {
        assert_false(token_read(token_key, cluster, slice_of(text.data, i), 1000, &t));
        uint8_t was = text.data[i];
        text.data[i] = was == 'A' ? 'B' : 'A';
        assert_false(token_read(token_key, cluster, buf_slice(&text), 1000, &t));
        text.data[i] = '=';
        assert_false(token_read(token_key, cluster, buf_slice(&text), 1000, &t));
        text.data[i] = was;
    }
    buf_append_str(&text, "AAAA");
    assert_false(token_read(token_key, cluster, buf_slice(&text), 1000, &t));
    buf_deinit(&text);
}

/* --- users ------------------------------------------------------------------------------------ */

static void change(struct kv_auth_change c)
{
    struct buf bytes = {0};
    struct kv_result result;
    kv_auth_encode(&c, &bytes);
    const struct kv_command command = {
        .op = KV_AUTH, .auth = buf_slice(&bytes), .auth_revision = kv_auth_stamp(fake_node.kv)};
    kv_apply(fake_node.kv, &command, &result);
    buf_deinit(&bytes);
    CHECK(result.status == STATUS_OK);
}

/* As etcd_auth.c would, but with the cheapest hash. */
static struct slice hash_of(const char *password)
{
    static char hash[crypto_pwhash_STRBYTES];
    CHECK(crypto_pwhash_str_alg(hash, password, strlen(password), 1, crypto_pwhash_MEMLIMIT_MIN,
                                crypto_pwhash_ALG_ARGON2ID13) == 0);
    return slice_str(hash);
}

static void add_user(const char *name, const char *password, const char *role)
{
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_ADD, .user = slice_str(name), .password = hash_of(password)});
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_GRANT, .user = slice_str(name), .role = slice_str(role)});
}

static void permit(const char *role, enum kv_permission permission, const char *key,
                   const char *end)
{
    change((struct kv_auth_change){.kind = KV_AUTH_ROLE_PERMIT,
                                   .role = slice_str(role),
                                   .permission = permission,
                                   .key = slice_str(key),
                                   .range_end = slice_str(end)});
}

/* root:pw may all, alice:wonder may read [a, b) and write [w, x), reads and writes of [rw, rx). */
static void switch_on(void)
{
    change((struct kv_auth_change){.kind = KV_AUTH_ROLE_ADD, .role = slice_str("r")});
    permit("r", KV_PERMIT_READ, "a", "b");
    permit("r", KV_PERMIT_WRITE, "w", "x");
    permit("r", KV_PERMIT_BOTH, "rw", "rx");
    add_user("root", "pw", "root");
    add_user("alice", "wonder", "r");
    change((struct kv_auth_change){.kind = KV_AUTH_ENABLE, .token_key = {5}});
}

static char header[512];

static const char *basic(const char *pair)
{
    char text[256];
    sodium_bin2base64(text, sizeof(text), (const uint8_t *)pair, strlen(pair),
                      sodium_base64_VARIANT_ORIGINAL);
    snprintf(header, sizeof(header), "Authorization: Basic %s\n", text);
    return header;
}

static const char *bearer(const char *user)
{
    struct buf token = {0};
    auth_token_append(fake_api, slice_str(user), &token);
    snprintf(header, sizeof(header), "Authorization: Bearer %.*s\n", (int)token.size,
             (const char *)token.data);
    buf_deinit(&token);
    return header;
}

/* Ask, let passwords be checked and the node take its turn, expect only the status. */
static void expect(const char *method, const char *target, const char *headers, const char *body,
                   int status)
{
    struct asked *a = ask(method, target, headers, body_of(body));
    fake_pass(1);
    fake_turn();
    if (!a->done || a->status != status) {
        fail_msg("%s %s: %d, %d instead of %d: %.*s", method, target, a->done, a->status, status,
                 (int)a->body.size, (const char *)a->body.data);
    }
    forget(a);
}

/* --- the door --------------------------------------------------------------------------------- */

static void nobody_is_asked_while_it_is_off(void **state)
{
    (void)state;
    struct auth_caller caller;
    assert_int_equal(auth_of_token(fake_api, slice_str("anything"), &caller), AUTH_ALLOWED);
    assert_int_equal(caller.name_size, 0);
    assert_int_equal(auth_may_act(fake_api, &caller, AUTH_ADMIN), AUTH_ALLOWED);
    expect("PUT", "/key/k", "Authorization: Basic nonsense\n", "1", 200);
    expect("GET", "/key/k", NULL, NULL, 200);
    expect("GET", "/members", NULL, NULL, 200);
}

static void a_certificate_asks_where_no_token_does(void **state)
{
    (void)state;
    struct auth_caller caller;
    struct conn_tls tls = {.peer_name = "alice"};
    struct conn conn = {.tls = &tls};
    struct slice none = slice_of(NULL, 0);
    assert_int_equal(auth_of_request(fake_api, none, &conn, &caller), AUTH_ALLOWED);
    assert_int_equal(caller.name_size, 0); /* auth is off */
    switch_on();
    assert_int_equal(auth_of_request(fake_api, none, &conn, &caller), AUTH_ALLOWED);
    assert_memory_equal(caller.name, "alice", 5);
    struct buf token = {0};
    auth_token_append(fake_api, slice_str("root"), &token); /* goes before it */
    assert_int_equal(auth_of_request(fake_api, buf_slice(&token), &conn, &caller), AUTH_ALLOWED);
    assert_memory_equal(caller.name, "root", 4);
    buf_deinit(&token);
    assert_int_equal(auth_of_request(fake_api, slice_str("bad"), &conn, &caller), AUTH_BAD_TOKEN);
    assert_int_equal(caller.name_size, 0);
    tls.peer_name = "nobody of ours";
    assert_int_equal(auth_of_request(fake_api, none, &conn, &caller), AUTH_ALLOWED);
    assert_int_equal(auth_may_act(fake_api, &caller, AUTH_ADMIN), AUTH_DENIED);
    tls.peer_name = NULL;
    assert_int_equal(auth_of_request(fake_api, none, &conn, &caller), AUTH_ALLOWED);
    assert_int_equal(caller.name_size, 0);
    conn.tls = NULL;
    assert_int_equal(auth_of_request(fake_api, none, &conn, &caller), AUTH_ALLOWED);
    assert_int_equal(caller.name_size, 0);
}

static void a_token_ends_with_the_password_the_user_or_auth(void **state)
{
    (void)state;
    struct auth_caller caller;
    struct buf token = {0};
    switch_on();
    auth_token_append(fake_api, slice_str("alice"), &token);
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_ALLOWED);
    assert_int_equal(caller.name_size, 5);
    /* Not with changes that are none of it. */
    change((struct kv_auth_change){.kind = KV_AUTH_ROLE_ADD, .role = slice_str("other")});
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_ALLOWED);
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_PASSWORD, .user = slice_str("alice"), .password = hash_of("land")});
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_BAD_TOKEN);
    assert_int_equal(caller.name_size, 0);
    buf_clear(&token);
    auth_token_append(fake_api, slice_str("alice"), &token);
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_ALLOWED);
    change((struct kv_auth_change){.kind = KV_AUTH_USER_DELETE, .user = slice_str("alice")});
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_BAD_TOKEN);
    buf_clear(&token);
    auth_token_append(fake_api, slice_str("root"), &token);
    change((struct kv_auth_change){.kind = KV_AUTH_DISABLE});
    change((struct kv_auth_change){.kind = KV_AUTH_ENABLE, .token_key = {6}});
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_BAD_TOKEN);
    buf_clear(&token);
    auth_token_append(fake_api, slice_str("root"), &token);
    fake_pass(30 * MINUTE_MS);
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_BAD_TOKEN);
    buf_deinit(&token);
}

static uint32_t logins_done;

static void note_login(struct auth_login *l)
{
    (void)l;
    logins_done++;
}

static bool log_in(const char *name, const char *password)
{
    struct auth_login l = {.done = note_login};
    uint32_t before = logins_done;
    assert_int_equal(auth_login_start(fake_api, &l, NULL, slice_str(name), slice_str(password)),
                     STATUS_OK);
    assert_int_equal(logins_done, before);
    fake_pass(1);
    assert_int_equal(logins_done, before + 1);
    return l.is_right;
}

static void only_the_right_password_logs_in(void **state)
{
    (void)state;
    switch_on();
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_ADD, .user = slice_str("cert"), .no_password = true});
    assert_true(log_in("alice", "wonder"));
    assert_false(log_in("alice", "wonderland"));
    assert_false(log_in("alice", ""));
    assert_false(log_in("bob", "wonder"));
    assert_false(log_in("cert", ""));
    struct auth_login l = {.done = note_login};
    assert_int_equal(auth_login_start(fake_api, &l, NULL, slice_str(""), slice_str("pw")),
                     STATUS_INVALID);
}

static void a_password_that_changes_while_it_is_checked_is_wrong(void **state)
{
    (void)state;
    switch_on();
    struct auth_login l = {.done = note_login};
    assert_int_equal(auth_login_start(fake_api, &l, NULL, slice_str("alice"), slice_str("wonder")),
                     STATUS_OK);
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_PASSWORD, .user = slice_str("alice"), .password = hash_of("wonder")});
    fake_pass(1);
    assert_false(l.is_right);
}

static void too_many_passwords_at_once_are_refused(void **state)
{
    (void)state;
    switch_on();
    static struct auth_login logins[LIMIT_PASSWORDS + 1];
    memset(logins, 0, sizeof(logins));
    logins_done = 0;
    for (size_t i = 0; i <= LIMIT_PASSWORDS; i++) {
        struct conn conn = {.remote = "10.0.0.1:1"};
        conn.remote[7] = (char)('1' + i % 3); /* one address may have half of them */
        logins[i].done = note_login;
        enum status s =
            auth_login_start(fake_api, &logins[i], &conn, slice_str("nobody"), slice_str("x"));
        assert_int_equal(s, i < LIMIT_PASSWORDS ? STATUS_OK : STATUS_OVERLOADED);
    }
    struct asked *a = ask("GET", "/key/a", basic("alice:wonder"), slice_of(NULL, 0));
    assert_answered(a, 429, "{\"error\":\"overloaded\"}");
    forget(a);
    for (size_t i = 1; i < LIMIT_PASSWORDS; i++) {
        auth_login_cancel(&logins[i]);
    }
    fake_pass(1);
    assert_int_equal(logins_done, 1); /* who was cancelled hears nothing */
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 404);
}

/* --- REST ------------------------------------------------------------------------------------- */

static void keys_need_the_permission_of_their_span(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    store("w", slice_str("1"));
    switch_on();
    static const struct {
        const char *method;
        const char *target;
        int status;
    } rows[] = {
        {"GET", "/key/a", 200},          {"GET", "/key/aa", 404},
        {"GET", "/key/w", 403},          {"PUT", "/key/a", 403},
        {"PUT", "/key/w", 200},          {"DELETE", "/key/a", 403},
        {"DELETE", "/key/w", 200},       {"GET", "/keys?prefix=a", 200},
        {"GET", "/keys?prefix=ab", 200}, {"GET", "/keys?prefix=w", 403},
        {"GET", "/keys", 403},           {"GET", "/keys?prefix=a&after=z", 200},
        {"GET", "/read", 403},           {"POST", "/step-down", 403},
        {"GET", "/members", 403},        {"GET", "/status", 200},
        {"GET", "/cluster", 200},        {"GET", "/metrics", 200},
        {"GET", "/health", 200},         {"GET", "/version", 200},
        {"GET", "/ping", 200},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool puts = rows[i].method[0] == 'P';
        expect(rows[i].method, rows[i].target, bearer("alice"), puts ? "1" : NULL, rows[i].status);
        expect(rows[i].method, rows[i].target, basic("alice:wonder"), puts ? "1" : NULL,
               strcmp(rows[i].target, "/key/w") == 0 && rows[i].method[0] == 'D' ? 404
                                                                                 : rows[i].status);
    }
}

static void a_condition_tells_of_the_key_and_needs_to_read_it(void **state)
{
    (void)state;
    switch_on();
    char headers[600];
    snprintf(headers, sizeof(headers), "%sIf-None-Match: *\n", bearer("alice"));
    expect("PUT", "/key/w", headers, "1", 403);
    expect("PUT", "/key/rw", headers, "1", 200);
    expect("PUT", "/key/rw", headers, "1", 412);
}

static void root_may_all(void **state)
{
    (void)state;
    switch_on();
    expect("PUT", "/key/k", basic("root:pw"), "1", 200);
    expect("GET", "/key/k", bearer("root"), NULL, 200);
    expect("GET", "/keys", bearer("root"), NULL, 200);
    expect("POST", "/write", bearer("root"), "{\"content\":\"d\"}", 200);
    expect("GET", "/read", bearer("root"), NULL, 200);
    expect("GET", "/members", bearer("root"), NULL, 200);
}

static void who_does_not_say_who_he_is_is_told_how(void **state)
{
    (void)state;
    switch_on();
    static const char *const roots[][2] = {
        {"GET", "/key/a"},
        {"PUT", "/key/a"},
        {"DELETE", "/key/a"},
        {"GET", "/keys"},
        {"POST", "/write"},
        {"GET", "/read"},
        {"POST", "/step-down"},
        {"POST", "/election"},
        {"GET", "/members"},
        {"POST", "/members"},
        {"DELETE", "/members/node-2"},
        {"GET", "/snapshot"},
        {"GET", "/replication"},
        {"GET", "/log"},
        {"GET", "/faults"},
        {"POST", "/faults"},
        {"DELETE", "/faults"},
    };
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        const char *body = roots[i][0][0] == 'P' ? "1" : NULL;
        struct asked *a = ask(roots[i][0], roots[i][1], NULL, body_of(body));
        fake_turn();
        assert_answered(a, 401, NOBODY);
        assert_non_null(memmem(a->extra.data, a->extra.size, "WWW-Authenticate: Basic", 23));
        forget(a);
    }
    check((struct expect){"GET", "/key/a", "Authorization: Bearer abc\n", NULL, 401, BAD_TOKEN});
    check((struct expect){"GET", "/key/a", "Authorization: Basic ?\n", NULL, 401,
                          "{\"error\":\"Unauthorized\",\"reason\":\"Basic takes NAME:PASSWORD in "
                          "base64\"}"});
    struct asked *a = ask("GET", "/key/a", basic("alice:wrong"), slice_of(NULL, 0));
    assert_false(a->done);
    fake_pass(1);
    assert_answered(a, 401, BAD_PASSWORD);
    forget(a);
    check((struct expect){"GET", "/key/k", bearer("alice"), NULL, 403, DENIED});
}

static void a_password_that_was_right_a_moment_ago_is_not_hashed_again(void **state)
{
    (void)state;
    switch_on();
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 404);
    struct asked *a = ask("GET", "/key/a", basic("alice:wonder"), slice_of(NULL, 0));
    assert_int_equal(a->status, 404);
    forget(a);
    a = ask("GET", "/key/a", basic("alice:wonder2"), slice_of(NULL, 0));
    assert_false(a->done);
    hang_up(a); /* while its password is being checked */
    forget(a);
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_PASSWORD, .user = slice_str("alice"), .password = hash_of("land")});
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 401);
    expect("GET", "/key/a", basic("alice:land"), NULL, 404);
    fake_pass(MINUTE_MS);
    a = ask("GET", "/key/a", basic("alice:land"), slice_of(NULL, 0));
    assert_false(a->done);
    fake_pass(1);
    assert_int_equal(a->status, 404);
    forget(a);
}

static void wrong_passwords_are_slowed_and_others_are_not(void **state)
{
    (void)state;
    struct conn conn = {.remote = "10.0.0.1:1"};
    struct conn other = {.remote = "10.0.0.2:1"};
    switch_on();
    fake_conn = &other;
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 404);
    fake_conn = &conn;
    for (int i = 0; i < 5; i++) {
        expect("GET", "/key/a", basic("alice:wrong"), NULL, 401);
        expect("GET", "/key/a", basic("nobody:wrong"), NULL, 401); /* looks the same */
    }
    const char *const names[] = {"alice:wonder", "nobody:wrong"};
    for (size_t i = 0; i < 2; i++) {
        struct asked *a = ask("GET", "/key/a", basic(names[i]), slice_of(NULL, 0));
        assert_true(a->done); /* nothing was hashed, nor compared with what is known */
        assert_int_equal(a->status, 429);
        assert_non_null(memmem(a->extra.data, a->extra.size, "Retry-After: 1\r\n", 16));
        forget(a);
    }
    expect("GET", "/key/a", bearer("alice"), NULL, 404); /* a token is no guess */
    expect("GET", "/key/k", basic("root:pw"), NULL, 404);
    fake_conn = &other;
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 404);
    fake_conn = &conn;
    fake_pass(1000);
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 404);
}

static void a_page_of_another_site_cannot_use_what_the_browser_has(void **state)
{
    (void)state;
    char headers[600];
    struct conn_tls tls = {.peer_name = "root"};
    struct conn conn = {.tls = &tls};
    switch_on();
    snprintf(headers, sizeof(headers), "%sHost: a:1\nOrigin: https://evil\n", basic("root:pw"));
    expect("POST", "/write", headers, "{\"content\":\"d\"}", 401);
    expect("PUT", "/key/k", headers, "1", 401);
    fake_conn = &conn;
    expect("PUT", "/key/k", "Host: a:1\nOrigin: https://evil\n", "1", 401);
    snprintf(headers, sizeof(headers), "%sHost: a:1\nOrigin: https://a:1\n", basic("root:pw"));
    expect("PUT", "/key/k", headers, "1", 200);
    snprintf(headers, sizeof(headers), "%sHost: a:1\nOrigin: https://evil\n", bearer("root"));
    expect("PUT", "/key/k", headers, "1", 200);
    fake_restart("https://evil", NODE_ACK_QUORUM); /* which is then none */
    snprintf(headers, sizeof(headers), "%sHost: a:1\nOrigin: https://evil\n", basic("root:pw"));
    expect("PUT", "/key/k", headers, "1", 200);
}

static void who_hangs_up_has_guessed_all_the_same(void **state)
{
    (void)state;
    switch_on();
    for (int i = 0; i < 5; i++) {
        struct asked *a = ask("GET", "/key/a", basic("alice:wrong"), slice_of(NULL, 0));
        assert_false(a->done);
        hang_up(a);
        forget(a);
        fake_pass(1);
    }
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 429);
}

static void assert_metric(const char *line)
{
    struct asked *a = ask("GET", "/metrics", NULL, slice_of(NULL, 0));
    if (memmem(a->body.data, a->body.size, line, strlen(line)) == NULL) {
        fail_msg("no %s", line);
    }
    forget(a);
}

static void what_was_refused_is_counted(void **state)
{
    (void)state;
    switch_on();
    expect("GET", "/key/a", NULL, NULL, 401);
    expect("GET", "/key/a", "Authorization: Bearer x\n", NULL, 401);
    expect("GET", "/key/z", bearer("alice"), NULL, 403);
    expect("POST", "/v3/kv/range", NULL, "{\"key\":\"YQ==\"}", 400);
    for (int i = 0; i < 7; i++) {
        expect("GET", "/key/a", basic("alice:wrong"), NULL, i < 5 ? 401 : 429);
    }
    assert_metric("conclave_auth_refused_total{reason=\"nobody\"} 2\n");
    assert_metric("conclave_auth_refused_total{reason=\"token\"} 1\n");
    assert_metric("conclave_auth_refused_total{reason=\"permission\"} 1\n");
    assert_metric("conclave_auth_refused_total{reason=\"password\"} 5\n");
    assert_metric("conclave_auth_refused_total{reason=\"slowed\"} 2\n");
    assert_metric("conclave_auth_refused_total{reason=\"overloaded\"} 0\n");
}

/* Time for a few attempts at resetting root's password. */
static void let_reset(void)
{
    for (int i = 0; i < 5; i++) {
        fake_pass(1100);
        fake_turn();
    }
}

static void who_lost_root_s_password_sets_it_at_a_start(void **state)
{
    (void)state;
    struct auth_caller caller;
    struct buf token = {0};
    switch_on();
    auth_token_append(fake_api, slice_str("root"), &token);
    fake_restart_with_root_password("found");
    expect("GET", "/key/k", basic("root:pw"), NULL, 404); /* not before a leader is known */
    fake_node.read_outcome = STATUS_NOT_LEADER;
    uint64_t before = kv_auth_revision(fake_node.kv);
    let_reset();
    assert_int_equal(kv_auth_revision(fake_node.kv), before);
    fake_node.read_outcome = STATUS_OK;
    let_reset();
    assert_int_equal(kv_auth_revision(fake_node.kv), before + 1);
    assert_true(fake_node.last_forward);
    expect("GET", "/key/k", basic("root:pw"), NULL, 401);
    expect("GET", "/key/k", basic("root:found"), NULL, 404);
    expect("GET", "/key/a", basic("alice:wonder"), NULL, 404);
    assert_int_equal(auth_of_token(fake_api, buf_slice(&token), &caller), AUTH_BAD_TOKEN);
    buf_deinit(&token);
    /* A flag that stays does nothing more. */
    fake_restart_with_root_password("found");
    let_reset();
    assert_int_equal(kv_auth_revision(fake_node.kv), before + 1);
    /* Its end while it waits, and while it hashes. */
    fake_restart_with_root_password("other");
    fake_pass(1001);
    fake_turn();
    fake_restart_with_root_password("other");
}

static void nothing_is_reset_that_is_not_asked_for(void **state)
{
    (void)state;
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_ADD, .user = slice_str("root"), .no_password = true});
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_GRANT, .user = slice_str("root"), .role = slice_str("root")});
    uint64_t before = kv_auth_revision(fake_node.kv);
    fake_restart_with_root_password("found"); /* auth is off */
    let_reset();
    change((struct kv_auth_change){.kind = KV_AUTH_ENABLE, .token_key = {5}});
    fake_restart_with_root_password("found"); /* root enters by a certificate */
    let_reset();
    assert_int_equal(kv_auth_revision(fake_node.kv), before);
}

static void a_read_is_checked_when_it_is_done(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    switch_on();
    fake_node.reads_wait = true;
    struct asked *a = ask("GET", "/key/a", bearer("alice"), slice_of(NULL, 0));
    assert_false(a->done);
    change((struct kv_auth_change){.kind = KV_AUTH_ROLE_DELETE, .role = slice_str("r")});
    fake_turn();
    assert_answered(a, 403, DENIED);
    forget(a);
}

static void a_transaction_needs_what_any_of_its_operations_needs(void **state)
{
    (void)state;
    switch_on();
    static const struct {
        const char *body;
        int status;
    } rows[] = {
        {"{\"then\":[{\"put\":\"w\",\"value\":1},{\"get\":\"a\"}]}", 200},
        {"{\"then\":[{\"get\":\"w\"}]}", 403},
        {"{\"else\":[{\"put\":\"a\",\"value\":1}]}", 403},
        {"{\"compare\":[{\"key\":\"w\",\"revision\":0}],\"then\":[{\"put\":\"w\",\"value\":1}]}",
         403},
        {"{\"compare\":[{\"key\":\"rw\",\"revision\":0}],\"then\":[{\"put\":\"rw\",\"value\":1}]}",
         200},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect("POST", "/txn", bearer("alice"), rows[i].body, rows[i].status);
        expect("POST", "/txn", NULL, rows[i].body, 401);
    }
}

static void a_watch_ends_when_its_permission_does(void **state)
{
    (void)state;
    struct asked *open_before = ask("GET", "/watch?key=a", NULL, slice_of(NULL, 0));
    assert_true(open_before->begun && !open_before->done);
    switch_on();
    expect("GET", "/watch?key=a", NULL, NULL, 401);
    expect("GET", "/watch", bearer("alice"), NULL, 403);
    expect("GET", "/watch?prefix=w", bearer("alice"), NULL, 403);
    expect("GET", "/watch?key=w", bearer("alice"), NULL, 403);
    struct asked *key = ask("GET", "/watch?key=a", bearer("alice"), slice_of(NULL, 0));
    struct asked *prefix = ask("GET", "/watch?prefix=ab", bearer("alice"), slice_of(NULL, 0));
    struct asked *all = ask("GET", "/watch", bearer("root"), slice_of(NULL, 0));
    fake_pass(1000);
    assert_true(open_before->done);
    assert_true(key->begun && !key->done && prefix->begun && !prefix->done);
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_REVOKE, .user = slice_str("alice"), .role = slice_str("r")});
    fake_pass(1000);
    assert_true(key->done && prefix->done);
    assert_true(all->begun && !all->done);
    hang_up(all);
    forget(open_before);
    forget(key);
    forget(prefix);
    forget(all);
}

static void a_write_carries_the_revision_under_which_it_was_allowed(void **state)
{
    (void)state;
    switch_on();
    fake_node.write_outcome = STATUS_AUTH_OLD; /* other users and roles when it is applied */
    struct asked *a = ask("PUT", "/key/w", bearer("alice"), slice_str("1"));
    fake_turn();
    assert_answered(a, 503, "{\"error\":\"revision of auth store is old\"}");
    forget(a);
}

static void switched_off_again_everything_is_as_before(void **state)
{
    (void)state;
    switch_on();
    expect("PUT", "/key/k", NULL, "1", 401);
    change((struct kv_auth_change){.kind = KV_AUTH_DISABLE});
    expect("PUT", "/key/k", NULL, "1", 200);
    expect("GET", "/key/k", NULL, NULL, 200);
    expect("GET", "/members", NULL, NULL, 200);
}

static void a_check_that_outlives_the_api_is_forgotten(void **state)
{
    (void)state;
    switch_on();
    struct asked *a = ask("GET", "/key/a", basic("alice:wonder"), slice_of(NULL, 0));
    assert_false(a->done);
    a->http.on_gone(&a->http);
    forget(a); /* the teardown destroys the api, and then the work is done */
}

int main(void)
{
    CHECK(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_says_whose_it_is_until_its_time_is_over),
        cmocka_unit_test(a_token_that_was_not_made_so_is_none),
        REST_TEST(nobody_is_asked_while_it_is_off),
        REST_TEST(a_certificate_asks_where_no_token_does),
        REST_TEST(a_token_ends_with_the_password_the_user_or_auth),
        REST_TEST(only_the_right_password_logs_in),
        REST_TEST(a_password_that_changes_while_it_is_checked_is_wrong),
        REST_TEST(too_many_passwords_at_once_are_refused),
        REST_TEST(keys_need_the_permission_of_their_span),
        REST_TEST(a_condition_tells_of_the_key_and_needs_to_read_it),
        REST_TEST(root_may_all),
        REST_TEST(who_does_not_say_who_he_is_is_told_how),
        REST_TEST(a_password_that_was_right_a_moment_ago_is_not_hashed_again),
        REST_TEST(wrong_passwords_are_slowed_and_others_are_not),
        REST_TEST(a_page_of_another_site_cannot_use_what_the_browser_has),
        REST_TEST(who_hangs_up_has_guessed_all_the_same),
        REST_TEST(what_was_refused_is_counted),
        REST_TEST(who_lost_root_s_password_sets_it_at_a_start),
        REST_TEST(nothing_is_reset_that_is_not_asked_for),
        REST_TEST(a_read_is_checked_when_it_is_done),
        REST_TEST(a_transaction_needs_what_any_of_its_operations_needs),
        REST_TEST(a_watch_ends_when_its_permission_does),
        REST_TEST(a_write_carries_the_revision_under_which_it_was_allowed),
        REST_TEST(switched_off_again_everything_is_as_before),
        REST_TEST(a_check_that_outlives_the_api_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
