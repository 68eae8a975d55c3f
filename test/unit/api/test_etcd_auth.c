/* The Auth service, and who may call the others while auth is on. */
#include "etcd_asserts.h"
#include "etcd_streams.h"

#include "kv/kv_auth.h"

#define H               "{" HEADER_AT("1") "}"
#define FAIL(code, say) ETCD_ERROR_TEXT(code, "etcdserver: " say)

static char headers[600]; /* of who asks; empty = nobody */

/* Ask the gateway as `headers` say, let passwords be hashed and the node take its turns. */
static struct asked *call(const char *route, const char *body)
{
    char target[128];
    snprintf(target, sizeof(target), "/v3%s", route);
    struct asked *a = ask("POST", target, headers[0] != '\0' ? headers : NULL, body_of(body));
    fake_pass(1);
    fake_turn();
    fake_turn();
    return a;
}

static void expect(const char *route, const char *body, int status, const char *answer)
{
    struct asked *a = call(route, body);
    assert_answered(a, status, answer);
    forget(a);
}

static void done(const char *route, const char *body)
{
    struct asked *a = call(route, body);
    if (!a->done || a->status != 200) {
        fail_msg("%s %s: %d: %.*s", route, body, a->status, (int)a->body.size,
                 (const char *)a->body.data);
    }
    forget(a);
}

static void refused(const char *route, const char *body, int status, const char *answer)
{
    expect(route, body, status, answer);
}

static int setup(void **state)
{
    headers[0] = '\0';
    return etcd_setup(state);
}

/* Ask as this user from now on; his password is "pw". NULL: as nobody. */
static void become(const char *user)
{
    headers[0] = '\0';
    if (user == NULL) {
        return;
    }
    char body[200];
    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"password\":\"pw\"}", user);
    struct asked *a = call("/auth/authenticate", body);
    assert_int_equal(a->status, 200);
    buf_append_byte(&a->body, 0);
    char *token = strstr((char *)a->body.data, "\"token\":\"");
    assert_non_null(token);
    token += strlen("\"token\":\"");
    snprintf(headers, sizeof(headers), "Authorization: %.*s\n", (int)strcspn(token, "\""), token);
    forget(a);
}

/* "alice" may read and write [foo, fop), and write `w`. */
static void switch_on(void)
{
    done("/auth/user/add", "{\"name\":\"root\",\"password\":\"pw\"}");
    done("/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    done("/auth/user/add", "{\"name\":\"alice\",\"password\":\"pw\"}");
    done("/auth/role/add", "{\"name\":\"r\"}");
    done("/auth/user/grant", "{\"user\":\"alice\",\"role\":\"r\"}");
    done("/auth/role/grant", "{\"name\":\"r\",\"perm\":{\"permType\":\"READWRITE\",\"key\":"
                             "\"Zm9v\",\"range_end\":\"Zm9w\"}}");
    done("/auth/role/grant", "{\"name\":\"r\",\"perm\":{\"permType\":\"WRITE\",\"key\":\"dw==\"}}");
    done("/auth/enable", "{}");
}

/* --- the service ------------------------------------------------------------------------------ */

static void changes_answer_a_header_or_why_not(void **state)
{
    (void)state;
    static const struct {
        const char *route;
        const char *body;
        int status;
        const char *answer;
    } rows[] = {
        {"/auth/enable", "{}", 400, FAIL("9", "root user does not exist")},
        {"/auth/user/add", "{\"password\":\"pw\"}", 400, FAIL("3", "user name is empty")},
        {"/auth/user/add", "{\"name\":\"root\",\"password\":\"pw\"}", 200, H},
        {"/auth/user/add", "{\"name\":\"root\",\"password\":\"pw\"}", 400,
         FAIL("9", "user name already exists")},
        {"/auth/enable", "{}", 400, FAIL("9", "root user does not have root role")},
        {"/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}", 200, H},
        {"/auth/user/grant", "{\"user\":\"bob\",\"role\":\"root\"}", 400,
         FAIL("9", "user name not found")},
        {"/auth/user/grant", "{\"user\":\"root\",\"role\":\"r\"}", 400,
         FAIL("9", "role name not found")},
        {"/auth/user/add", "{\"name\":\"cert\",\"options\":{\"no_password\":true}}", 200, H},
        {"/auth/user/changepw", "{\"name\":\"bob\",\"password\":\"x\"}", 400,
         FAIL("9", "user name not found")},
        {"/auth/user/changepw", "{\"name\":\"root\",\"password\":\"x\"}", 200, H},
        {"/auth/user/delete", "{\"name\":\"bob\"}", 400, FAIL("9", "user name not found")},
        {"/auth/user/revoke", "{\"name\":\"cert\",\"role\":\"root\"}", 400,
         FAIL("9", "role is not granted to the user")},
        {"/auth/user/delete", "{\"name\":\"cert\"}", 200, H},
        {"/auth/role/add", "{}", 400, FAIL("3", "role name is empty")},
        {"/auth/role/add", "{\"name\":\"r\"}", 200, H},
        {"/auth/role/add", "{\"name\":\"r\"}", 400, FAIL("9", "role name already exists")},
        {"/auth/role/grant", "{\"name\":\"r\"}", 400, FAIL("3", "permission not given")},
        {"/auth/role/grant", "{\"name\":\"r\",\"perm\":{}}", 400,
         FAIL("3", "invalid auth management")},
        {"/auth/role/grant", "{\"name\":\"r\",\"perm\":{\"key\":\"Yg==\",\"range_end\":\"YQ==\"}}",
         400, FAIL("3", "invalid auth management")},
        {"/auth/role/grant", "{\"name\":\"s\",\"perm\":{\"key\":\"YQ==\"}}", 400,
         FAIL("9", "role name not found")},
        {"/auth/role/grant", "{\"name\":\"r\",\"perm\":{\"key\":\"YQ==\"}}", 200, H},
        {"/auth/role/revoke", "{\"role\":\"r\",\"key\":\"Yg==\"}", 400,
         FAIL("9", "permission is not granted to the role")},
        {"/auth/role/revoke", "{\"role\":\"r\"}", 400,
         FAIL("9", "permission is not granted to the role")},
        {"/auth/role/revoke", "{\"role\":\"s\"}", 400, FAIL("9", "role name not found")},
        {"/auth/role/revoke", "{\"role\":\"r\",\"key\":\"YQ==\"}", 200, H},
        {"/auth/role/delete", "{\"role\":\"r\"}", 200, H},
        {"/auth/role/delete", "{\"role\":\"r\"}", 400, FAIL("9", "role name not found")},
        {"/auth/status", "{}", 200, "{" HEADER_AT("1") ",\"authRevision\":\"10\"}"},
        {"/auth/enable", "{}", 200, H},
        {"/auth/status", "{}", 400, FAIL("3", "user name is empty")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect(rows[i].route, rows[i].body, rows[i].status, rows[i].answer);
    }
}

static void users_and_roles_are_told(void **state)
{
    (void)state;
    switch_on();
    refused("/auth/user/list", "{}", 400, FAIL("3", "user name is empty"));
    become("root");
    expect("/auth/user/list", "{}", 200, "{" HEADER_AT("1") ",\"users\":[\"alice\",\"root\"]}");
    expect("/auth/role/list", "{}", 200, "{" HEADER_AT("1") ",\"roles\":[\"r\"]}");
    expect("/auth/user/get", "{\"name\":\"alice\"}", 200, "{" HEADER_AT("1") ",\"roles\":[\"r\"]}");
    expect("/auth/user/get", "{\"name\":\"bob\"}", 400, FAIL("9", "user name not found"));
    expect(
        "/auth/role/get", "{\"role\":\"r\"}", 200,
        "{" HEADER_AT("1") ",\"perm\":[{\"permType\":\"READWRITE\",\"key\":\"Zm9v\","
                           "\"range_end\":\"Zm9w\"},{\"permType\":\"WRITE\",\"key\":\"dw==\"}]}");
    expect("/auth/role/get", "{\"role\":\"s\"}", 400, FAIL("9", "role name not found"));
    done("/auth/role/add", "{\"name\":\"root\"}");
    expect("/auth/role/get", "{\"role\":\"root\"}", 200,
           "{" HEADER_AT("1") ",\"perm\":[{\"permType\":\"READWRITE\",\"range_end\":\"AA==\"}]}");
    expect("/auth/status", "{}", 200,
           "{" HEADER_AT("1") ",\"enabled\":true,\"authRevision\":\"9\"}");
    become("alice");
    done("/auth/user/get", "{\"name\":\"alice\"}");
    done("/auth/role/get", "{\"role\":\"r\"}");
    refused("/auth/user/get", "{\"name\":\"root\"}", 403, FAIL("7", "permission denied"));
    refused("/auth/role/get", "{\"role\":\"root\"}", 403, FAIL("7", "permission denied"));
    refused("/auth/user/list", "{}", 403, FAIL("7", "permission denied"));
    refused("/auth/status", "{}", 403, FAIL("7", "permission denied"));
}

static void only_an_administrator_changes_anything(void **state)
{
    (void)state;
    switch_on();
    static const struct {
        const char *route;
        const char *body;
    } rows[] = {
        {"/auth/enable", "{}"},
        {"/auth/disable", "{}"},
        {"/auth/user/add", "{\"name\":\"u\",\"password\":\"x\"}"},
        {"/auth/user/add", "{\"name\":\"u\",\"options\":{\"no_password\":true}}"},
        {"/auth/user/changepw", "{\"name\":\"alice\",\"password\":\"x\"}"},
        {"/auth/user/delete", "{\"name\":\"alice\"}"},
        {"/auth/user/grant", "{\"user\":\"alice\",\"role\":\"root\"}"},
        {"/auth/user/revoke", "{\"name\":\"alice\",\"role\":\"r\"}"},
        {"/auth/role/add", "{\"name\":\"s\"}"},
        {"/auth/role/delete", "{\"role\":\"r\"}"},
        {"/auth/role/grant", "{\"name\":\"r\",\"perm\":{\"key\":\"YQ==\"}}"},
        {"/auth/role/revoke", "{\"role\":\"r\",\"key\":\"dw==\"}"},
    };
    uint64_t revision = kv_auth_revision(fake_node.kv);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        become(NULL);
        refused(rows[i].route, rows[i].body, 400, FAIL("3", "user name is empty"));
        become("alice");
        refused(rows[i].route, rows[i].body, 403, FAIL("7", "permission denied"));
    }
    assert_int_equal(kv_auth_revision(fake_node.kv), revision);
    become("root");
    refused("/auth/user/delete", "{\"name\":\"root\"}", 400, FAIL("3", "invalid auth management"));
    done("/auth/disable", "{}");
    become(NULL);
    done("/auth/user/delete", "{\"name\":\"root\"}");
}

static void a_wrong_password_gets_no_token(void **state)
{
    (void)state;
    refused("/auth/authenticate", "{\"name\":\"root\",\"password\":\"pw\"}", 400,
            FAIL("9", "authentication is not enabled"));
    switch_on();
    static const char *const bodies[] = {
        "{\"name\":\"root\",\"password\":\"other\"}",
        "{\"name\":\"root\"}",
        "{\"name\":\"nobody\",\"password\":\"pw\"}",
        "{\"password\":\"pw\"}",
        "{}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        refused("/auth/authenticate", bodies[i], 400,
                FAIL("3", "authentication failed, invalid user ID or password"));
    }
    snprintf(headers, sizeof(headers), "Authorization: nonsense\n");
    refused("/kv/range", "{\"key\":\"Zm9v\"}", 401, FAIL("16", "invalid auth token"));
}

static void root_is_not_locked_out_by_mistake(void **state)
{
    (void)state;
    done("/auth/user/add", "{\"name\":\"root\",\"options\":{\"no_password\":true}}");
    done("/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    static const char why[] = FAIL("9", "root user has no password, and this member asks for no "
                                        "certificates (--tls-ca): nobody could be root");
    refused("/auth/enable", "{}", 400, why);
    fake_restart_with_certificates(false); /* those of members let no client in */
    refused("/auth/enable", "{}", 400, why);
    done("/auth/user/delete", "{\"name\":\"root\"}");
    done("/auth/user/add", "{\"name\":\"root\"}"); /* an empty password lets nobody in */
    done("/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    refused("/auth/enable", "{}", 400, why);
    refused("/auth/user/changepw", "{\"name\":\"root\",\"hashedPassword\":\"aGFzaA==\"}", 400,
            FAIL("3", "a hashed password is not taken: send the password"));
    done("/auth/user/changepw", "{\"name\":\"root\",\"password\":\"pw\"}");
    done("/auth/user/add", "{\"name\":\"empty\"}");
    done("/auth/enable", "{}");
    refused("/auth/authenticate", "{\"name\":\"empty\",\"password\":\"\"}", 400,
            FAIL("3", "authentication failed, invalid user ID or password"));
    become("root");
    refused("/auth/user/changepw", "{\"name\":\"root\",\"password\":\"\"}", 400,
            FAIL("3", "password is empty"));
    static const char mistake[] = FAIL("3", "invalid auth management");
    refused("/auth/user/delete", "{\"name\":\"root\"}", 400, mistake);
    refused("/auth/user/revoke", "{\"name\":\"root\",\"role\":\"root\"}", 400, mistake);
    refused("/auth/role/delete", "{\"role\":\"root\"}", 400, mistake);
    become("root");
}

static void root_may_come_in_by_a_certificate(void **state)
{
    (void)state;
    done("/auth/user/add", "{\"name\":\"root\",\"options\":{\"no_password\":true}}");
    done("/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    fake_restart_with_certificates(true);
    done("/auth/enable", "{}");
}

static void who_guesses_is_slowed_and_told_for_how_long(void **state)
{
    (void)state;
    switch_on();
    for (int i = 0; i < 5; i++) {
        refused("/auth/authenticate", "{\"name\":\"alice\",\"password\":\"x\"}", 400,
                FAIL("3", "authentication failed, invalid user ID or password"));
    }
    refused("/auth/authenticate", "{\"name\":\"alice\",\"password\":\"pw\"}", 429,
            FAIL("8", "too many requests: wrong passwords, try again in 999 ms"));
    become("root");
}

static void who_goes_while_his_password_is_hashed_leaves_nothing_behind(void **state)
{
    (void)state;
    struct asked *a =
        ask("POST", "/v3/auth/user/add", NULL, slice_str("{\"name\":\"u\",\"password\":\"x\"}"));
    hang_up(a);
    forget(a);
    fake_pass(1);
    fake_turn();
    assert_int_equal(kv_auth_revision(fake_node.kv), 1);
}

/* --- keys and all else ------------------------------------------------------------------------ */

static void keys_need_the_permission_of_their_span(void **state)
{
    (void)state;
    switch_on();
    static const struct {
        const char *route;
        const char *body;
        bool is_allowed;
    } rows[] = {
        {"/kv/range", "{\"key\":\"Zm9v\"}", true},
        {"/kv/range", "{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\"}", true},
        {"/kv/range", "{\"key\":\"Zm9v\",\"range_end\":\"Zm9x\"}", false},
        {"/kv/range", "{\"key\":\"Zm9v\",\"range_end\":\"AA==\"}", false},
        {"/kv/range", "{\"key\":\"dw==\"}", false},
        {"/kv/put", "{\"key\":\"dw==\"}", true},
        {"/kv/put", "{\"key\":\"dw==\",\"prev_kv\":true}", false},
        {"/kv/put", "{\"key\":\"Zm9v\",\"prev_kv\":true}", true},
        {"/kv/put", "{\"key\":\"YQ==\"}", false},
        {"/kv/deleterange", "{\"key\":\"YQ==\"}", false},
        {"/kv/deleterange", "{\"key\":\"dw==\",\"prev_kv\":true}", false},
        {"/kv/deleterange", "{\"key\":\"dw==\"}", true},
        {"/kv/deleterange", "{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\"}", true},
        {"/kv/deleterange", "{\"key\":\"Zm9v\",\"range_end\":\"AA==\"}", false},
        {"/kv/txn", "{\"compare\":[{\"key\":\"dw==\"}]}", false},
        {"/kv/txn", "{\"failure\":[{\"request_range\":{\"key\":\"dw==\"}}]}", false},
        {"/kv/txn", "{\"success\":[{\"request_range\":{\"key\":\"Zm9v\"}}]}", true},
        {"/kv/txn", "{\"success\":[{\"request_put\":{\"key\":\"dw==\"}}]}", true},
        {"/kv/txn",
         "{\"success\":[{\"request_txn\":{\"failure\":[{\"request_put\":{\"key\":\"YQ==\"}}]}}]}",
         false},
        {"/kv/compaction", "{\"revision\":\"1\"}", false},
        {"/maintenance/hash", "{}", false},
        {"/maintenance/alarm", "{}", false},
        {"/maintenance/defragment", "{}", false},
        {"/maintenance/status", "{}", true},
        {"/cluster/member/list", "{}", true},
        {"/cluster/member/remove", "{\"ID\":\"1\"}", false},
        {"/lease/grant", "{\"TTL\":\"60\",\"ID\":\"5\"}", true},
        {"/lease/leases", "{}", true},
        {"/lease/revoke", "{\"ID\":\"5\"}", true},
        {"/lock/unlock", "{\"key\":\"Zm9v\"}", true},
        {"/lock/unlock", "{\"key\":\"YQ==\"}", false},
        {"/lock/lock", "{\"name\":\"YQ==\"}", false},
        {"/lock/lock", "{\"name\":\"Zm9v\"}", true},
        {"/election/campaign", "{\"name\":\"YQ==\"}", false},
        {"/election/leader", "{\"name\":\"YQ==\"}", false},
        {"/election/proclaim", "{\"leader\":{\"key\":\"YQ==\",\"rev\":\"1\"}}", false},
        {"/election/resign", "{\"leader\":{\"key\":\"YQ==\",\"rev\":\"1\"}}", false},
        {"/election/resign", "{\"leader\":{\"key\":\"Zm9v\",\"rev\":\"1\"}}", true},
    };
    become("alice");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].is_allowed) {
            done(rows[i].route, rows[i].body);
        } else {
            refused(rows[i].route, rows[i].body, 403, FAIL("7", "permission denied"));
        }
    }
    become(NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_open = i == 23 || i == 24;
        if (is_open) {
            done(rows[i].route, rows[i].body);
        } else {
            refused(rows[i].route, rows[i].body, 400, FAIL("3", "user name is empty"));
        }
    }
    become("root");
    done("/kv/range", "{\"key\":\"AA==\",\"range_end\":\"AA==\"}");
    done("/kv/compaction", "{\"revision\":\"2\"}");
}

static void a_lease_s_keys_must_all_be_writable_to_attach_one_more(void **state)
{
    (void)state;
    struct kv_result result;
    const struct kv_command grant = {.op = KV_LEASE_GRANT, .lease = 7, .ttl_s = 60};
    const struct kv_command put = {.op = KV_PUT, .key = slice_str("other"), .lease = 7};
    kv_apply(fake_node.kv, &grant, &result);
    switch_on();
    become("alice");
    done("/kv/put", "{\"key\":\"Zm9v\",\"lease\":\"7\"}");
    become("root");
    done("/auth/disable", "{}");
    kv_apply(fake_node.kv, &put, &result);
    assert_int_equal(result.status, STATUS_OK);
    done("/auth/enable", "{}");
    become("alice");
    refused("/kv/put", "{\"key\":\"Zm9v\",\"lease\":\"7\"}", 403, FAIL("7", "permission denied"));
    refused("/kv/txn", "{\"success\":[{\"request_put\":{\"key\":\"Zm9v\",\"lease\":\"7\"}}]}", 403,
            FAIL("7", "permission denied"));
    refused("/lease/revoke", "{\"ID\":\"7\"}", 403, FAIL("7", "permission denied"));
    refused("/lock/lock", "{\"name\":\"Zm9v\",\"lease\":\"7\"}", 403,
            FAIL("7", "permission denied"));
    become("root");
    done("/lease/revoke", "{\"ID\":\"7\"}");
}

/* A watch that is not allowed answers as one that could not be made, and its stream goes on. */
static void a_watch_needs_to_read_its_span(void **state)
{
    (void)state;
    switch_on();
    static const struct {
        const char *user;
        const char *reason;
    } rows[] = {
        {"alice", "rpc error: code = PermissionDenied desc = etcdserver: permission denied"},
        {NULL, "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"},
        {"root", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        become(rows[i].user);
        struct asked *a = ask("POST", "/v3/watch", headers[0] != '\0' ? headers : NULL,
                              slice_str("{\"create_request\":{\"key\":\"YQ==\"}}"));
        assert_true(a->begun && !a->done);
        buf_append_byte(&a->body, 0);
        const char *answer = (const char *)a->body.data;
        assert_non_null(strstr(answer, "\"created\":true"));
        assert_true(rows[i].reason == NULL ? strstr(answer, "cancel") == NULL
                                           : strstr(answer, rows[i].reason) != NULL);
        hang_up(a);
        forget(a);
    }
}

/* Its next event is not told; those of others are. */
static void a_watch_ends_when_its_permission_does(void **state)
{
    (void)state;
    struct asked *before =
        ask("POST", "/v3/watch", NULL, slice_str("{\"create_request\":{\"key\":\"Zm9v\"}}"));
    switch_on();
    become("alice");
    struct asked *a =
        ask("POST", "/v3/watch", headers, slice_str("{\"create_request\":{\"key\":\"Zm9v\"}}"));
    become("root");
    struct asked *all =
        ask("POST", "/v3/watch", headers, slice_str("{\"create_request\":{\"key\":\"Zm9v\"}}"));
    done("/auth/role/add", "{\"name\":\"other\"}"); /* none of theirs */
    done("/kv/put", "{\"key\":\"Zm9v\",\"value\":\"Zmlyc3Q=\"}");
    tell_watches();
    assert_null(memmem(before->body.data, before->body.size, "Zmlyc3Q=", 8));
    assert_non_null(memmem(before->body.data, before->body.size, "user name is empty", 18));
    assert_non_null(memmem(a->body.data, a->body.size, "Zmlyc3Q=", 8));
    done("/auth/user/delete", "{\"name\":\"alice\"}");
    done("/kv/put", "{\"key\":\"Zm9v\",\"value\":\"bGFzdA==\"}");
    tell_watches();
    assert_null(memmem(a->body.data, a->body.size, "bGFzdA==", 8));
    assert_non_null(memmem(a->body.data, a->body.size, "permission denied", 17));
    assert_non_null(memmem(all->body.data, all->body.size, "bGFzdA==", 8));
    struct asked *const streams[] = {before, a, all};
    for (size_t i = 0; i < 3; i++) {
        assert_false(streams[i]->done);
        hang_up(streams[i]);
        forget(streams[i]);
    }
}

static void what_was_let_in_by_others_says_so(void **state)
{
    (void)state;
    switch_on();
    become("alice");
    fake_node.write_outcome = STATUS_AUTH_OLD;
    refused("/kv/put", "{\"key\":\"Zm9v\"}", 400, FAIL("3", "revision of auth store is old"));
}

static void grpc_has_the_token_in_its_metadata(void **state)
{
    (void)state;
    switch_on();
    become("root");
    char token[600];
    snprintf(token, sizeof(token), "%s", headers + strlen("Authorization: "));
    token[strlen(token) - 1] = '\0';
    static const char *const rows[][2] = {{"token", NULL}, {"authorization", NULL}, {"token", "x"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool is_right = rows[i][1] == NULL;
        struct called *c = call_begin_rpc("/etcdserverpb.Auth/UserList", rows[i][0],
                                          is_right ? token : rows[i][1]);
        call_send_bytes(c, slice_of("", 0));
        fake_turn();
        assert_ended(c, is_right ? GRPC_OK : GRPC_UNAUTHENTICATED,
                     is_right ? "" : "etcdserver: invalid auth token");
        call_forget(c);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(changes_answer_a_header_or_why_not),
        TEST(users_and_roles_are_told),
        TEST(only_an_administrator_changes_anything),
        TEST(a_wrong_password_gets_no_token),
        TEST(root_is_not_locked_out_by_mistake),
        TEST(root_may_come_in_by_a_certificate),
        TEST(who_guesses_is_slowed_and_told_for_how_long),
        TEST(who_goes_while_his_password_is_hashed_leaves_nothing_behind),
        TEST(keys_need_the_permission_of_their_span),
        TEST(a_lease_s_keys_must_all_be_writable_to_attach_one_more),
        TEST(a_watch_needs_to_read_its_span),
        TEST(a_watch_ends_when_its_permission_does),
        TEST(what_was_let_in_by_others_says_so),
        TEST(grpc_has_the_token_in_its_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
