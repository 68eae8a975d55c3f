/* Who changed what, when and from where (api/audit.h). */
#include "etcd_asserts.h"

#include "api/auth.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/line_file.h"
#include "kv/kv_auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4u * MIB)

static char path[64];
static struct line_file *file;
static struct conn conn = {.remote = "10.0.0.1:5000"};
static struct buf told; /* all lines, with a zero at the end */

static int setup(void **state)
{
    int result = etcd_setup(state);
    snprintf(path, sizeof(path), "/tmp/conclave-audit-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK(line_file_open(path, 1u << 20, &file, NULL) == STATUS_OK);
    fake_restart_with_audit(file);
    fake_conn = &conn;
    return result;
}

/* Ends the file; what it has is in `told`. */
static void read_lines(void)
{
    fake_restart(NULL, NODE_ACK_QUORUM);
    line_file_close(file);
    file = NULL;
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    told.size = fread(buf_reserve(&told, FILE_BYTES_MAX), 1, FILE_BYTES_MAX - 1, f);
    buf_append_byte(&told, 0);
    fclose(f);
}

static int teardown(void **state)
{
    if (file != NULL) {
        read_lines();
    }
    unlink(path);
    buf_deinit(&told);
    return fake_teardown(state);
}

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

static void add_user(const char *name, const char *role)
{
    char hash[crypto_pwhash_STRBYTES];
    CHECK(crypto_pwhash_str_alg(hash, "pass-word", 9, 1, crypto_pwhash_MEMLIMIT_MIN,
                                crypto_pwhash_ALG_ARGON2ID13) == 0);
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_ADD, .user = slice_str(name), .password = slice_str(hash)});
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_GRANT, .user = slice_str(name), .role = slice_str(role)});
}

/* root may all, alice read and write what begins with `k`; the password of both is "pass-word". */
static void switch_on(void)
{
    change((struct kv_auth_change){.kind = KV_AUTH_ROLE_ADD, .role = slice_str("r")});
    change((struct kv_auth_change){.kind = KV_AUTH_ROLE_PERMIT,
                                   .role = slice_str("r"),
                                   .permission = KV_PERMIT_BOTH,
                                   .key = slice_str("k"),
                                   .range_end = slice_str("l")});
    add_user("root", "root");
    add_user("alice", "r");
    change((struct kv_auth_change){.kind = KV_AUTH_ENABLE, .token_key = {5}});
}

static const char *bearer(const char *user)
{
    static char header[512];
    struct buf token = {0};
    auth_token_append(fake_api, slice_str(user), &token);
    snprintf(header, sizeof(header), "Authorization: Bearer %.*s\n", (int)token.size,
             (const char *)token.data);
    buf_deinit(&token);
    return header;
}

static void do_request(const char *method, const char *target, const char *headers,
                       const char *body)
{
    struct asked *a = ask(method, target, headers, body_of(body));
    fake_pass(1);
    fake_turn();
    fake_turn();
    if (!a->done) {
        hang_up(a);
    }
    forget(a);
}

static uint32_t count_of(const char *text)
{
    uint32_t count = 0;
    for (const char *at = (const char *)told.data; (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    return count;
}

static void assert_told(const char *text)
{
    if (count_of(text) != 1) {
        fail_msg("%u times instead of once: %s\nin\n%s", count_of(text), text,
                 (const char *)told.data);
    }
}

static void each_change_has_a_line_and_no_read_has(void **state)
{
    (void)state;
    do_request("PUT", "/key/k", NULL, "\"secret-value\"");
    do_request("GET", "/key/k", NULL, NULL);
    do_request("GET", "/keys", NULL, NULL);
    do_request("GET", "/status", NULL, NULL);
    do_request("DELETE", "/key/none", NULL, NULL);
    do_request("POST", "/txn", "X: y\n",
               "{\"compare\":[{\"key\":\"c\",\"version\":0,\"is\":\"=\"}],\"then\":[{\"put\":"
               "{\"key\":\"t1\",\"value\":\"secret-value\"}}],\"else\":[{\"delete\":{\"key\":"
               "\"t2\"}},{\"get\":{\"key\":\"t3\"}}]}");
    do_request("POST", "/step-down", NULL, "{\"to\":\"node-2\"}");
    do_request("GET", "/log", NULL, NULL);
    do_request("GET", "/snapshot", NULL, NULL);
    do_request("POST", "/v3/kv/put", NULL, "{\"key\":\"Zm9v\",\"value\":\"c2VjcmV0LXZhbHVl\"}");
    do_request("POST", "/v3/kv/put", NULL, "{\"key\":\"/w==\",\"value\":\"\"}");
    do_request("POST", "/v3/kv/range", NULL, "{\"key\":\"Zm9v\"}");
    do_request("POST", "/v3/kv/txn", NULL,
               "{\"compare\":[{\"key\":\"Y29tcGFyZWQ=\"}],\"success\":[{\"requestPut\":{\"key\":"
               "\"dDQ=\",\"value\":\"c2VjcmV0LXZhbHVl\"}},{\"requestDeleteRange\":{\"key\":"
               "\"dDU=\",\"range_end\":\"dDY=\"}}]}");
    do_request("POST", "/v3/cluster/member/remove", NULL, "{\"ID\":2}");
    read_lines();
    static const char where[] = "\"door\":\"rest\",\"from\":\"10.0.0.1:5000\",\"user\":null,";
    char line[256];
    snprintf(line, sizeof(line),
             "\"member\":\"node-1\",%s\"request\":\"PUT /key/k\",\"code\":200,\"outcome\":\"done\","
             "\"revision\":2}\n",
             where);
    assert_told(line);
    assert_told("\"request\":\"DELETE /key/none\",\"code\":404,\"outcome\":\"failed\"");
    assert_told("\"request\":\"POST /txn\",\"targets\":[{\"key\":\"t1\"},{\"key\":\"t2\"}],");
    assert_told("\"request\":\"POST /step-down\",\"body\":\"{\\\"to\\\":\\\"node-2\\\"}\",");
    assert_told("\"request\":\"GET /log\"");
    assert_told("\"request\":\"GET /snapshot\"");
    assert_told("\"door\":\"gateway\",\"from\":\"10.0.0.1:5000\",\"user\":null,\"request\":"
                "\"/etcdserverpb.KV/Put\",\"targets\":[{\"key\":\"foo\"}],\"code\":0,");
    assert_told("\"targets\":[{\"key_base64\":\"/w==\"}]");
    assert_told("\"targets\":[{\"key\":\"t4\"},{\"key\":\"t5\",\"range_end\":\"t6\"}]");
    assert_told("\"request\":\"/etcdserverpb.Cluster/MemberRemove\",\"targets\":[{\"ID\":\"2\"}]");
    assert_int_equal(count_of("secret-value"), 0);
    assert_int_equal(count_of("compared"), 0);
    assert_int_equal(count_of("\n"), 10);
}

static void refusals_have_lines_with_who_it_was_and_no_secrets(void **state)
{
    (void)state;
    char token[512];
    switch_on();
    do_request("GET", "/key/k", NULL, NULL);
    do_request("GET", "/key/z", bearer("alice"), NULL);
    do_request("PUT", "/key/k", bearer("alice"), "1");
    do_request("GET", "/keys", bearer("alice"), NULL);
    snprintf(token, sizeof(token), "%s", bearer("alice"));
    do_request("GET", "/key/k", "Authorization: Basic YWxpY2U6Z3Vlc3NlZA==\n", NULL); /* guessed */
    do_request("POST", "/v3/kv/range", bearer("alice"), "{\"key\":\"eg==\"}");
    do_request("POST", "/v3/watch", bearer("alice"), "{\"create_request\":{\"key\":\"eXk=\"}}");
    do_request("POST", "/v3/auth/authenticate", NULL,
               "{\"name\":\"alice\",\"password\":\"guessed\"}");
    do_request("POST", "/v3/auth/authenticate", NULL,
               "{\"name\":\"alice\",\"password\":\"pass-word\"}");
    do_request("POST", "/v3/auth/user/changepw", bearer("root"),
               "{\"name\":\"alice\",\"password\":\"pass-word\"}");
    do_request("POST", "/v3/auth/role/grant", bearer("root"),
               "{\"name\":\"r\",\"perm\":{\"permType\":\"READWRITE\",\"key\":\"YQ==\"}}");
    do_request("POST", "/members", "Origin: https://evil.example\n", "{}");
    read_lines();
    assert_told("\"user\":null,\"request\":\"GET /key/k\",\"code\":401,\"outcome\":\"denied\"");
    assert_told(
        "\"user\":\"alice\",\"request\":\"GET /key/z\",\"code\":403,\"outcome\":\"denied\"");
    assert_told("\"user\":\"alice\",\"request\":\"PUT /key/k\",\"code\":200,\"outcome\":\"done\"");
    assert_told("\"user\":\"alice\",\"request\":\"GET /keys\",\"code\":403");
    assert_told("\"user\":null,\"claims\":\"alice\",\"request\":\"GET /key/k\",\"code\":401");
    assert_told("\"user\":\"alice\",\"request\":\"/etcdserverpb.KV/Range\",\"targets\":"
                "[{\"key\":\"z\"}],\"code\":7,\"outcome\":\"denied\"");
    assert_told("\"user\":\"alice\",\"request\":\"/etcdserverpb.Watch/Watch\",\"targets\":"
                "[{\"key\":\"yy\"}],\"code\":7,\"outcome\":\"denied\"");
    assert_told(
        "Authenticate\",\"targets\":[{\"name\":\"alice\"}],\"code\":3,\"outcome\":\"denied\"");
    assert_told(
        "Authenticate\",\"targets\":[{\"name\":\"alice\"}],\"code\":0,\"outcome\":\"done\"");
    assert_told(
        "\"user\":\"root\",\"request\":\"/etcdserverpb.Auth/UserChangePassword\",\"targets\":"
        "[{\"name\":\"alice\"}],\"code\":0");
    assert_told("[{\"name\":\"r\"},{\"permType\":\"READWRITE\",\"key\":\"a\"}]");
    assert_told("\"request\":\"POST /members\",\"code\":403,\"outcome\":\"denied\"");
    assert_int_equal(count_of("pass-word"), 0);
    assert_int_equal(count_of("guessed"), 0);
    token[strlen(token) - 1] = '\0';
    assert_int_equal(count_of(strrchr(token, ' ') + 1), 0);
    assert_int_equal(count_of("\n"), 12);
}

static void who_hangs_up_is_told_all_the_same(void **state)
{
    (void)state;
    struct asked *a = ask("PUT", "/key/k", NULL, slice_str("1"));
    assert_false(a->done);
    hang_up(a);
    forget(a);
    a = ask("POST", "/v3/kv/put", NULL, slice_str("{\"key\":\"YQ==\"}"));
    assert_false(a->done);
    hang_up(a);
    forget(a);
    read_lines();
    assert_told("\"request\":\"PUT /key/k\",\"outcome\":\"gone\"");
    assert_told("Put\",\"targets\":[{\"key\":\"a\"}],\"outcome\":\"gone\"");
}

static void a_long_transaction_is_cut(void **state)
{
    (void)state;
    struct buf body = {0};
    buf_append_str(&body, "{\"success\":[");
    for (int i = 0; i < 100; i++) {
        buf_printf(&body, "%s{\"requestPut\":{\"key\":\"%c%c==\"}}", i > 0 ? "," : "", 'a' + i / 26,
                   "AQgw"[i % 4]);
    }
    buf_append_str(&body, "]}");
    buf_append_byte(&body, 0);
    do_request("POST", "/v3/kv/txn", NULL, (const char *)body.data);
    buf_deinit(&body);
    read_lines();
    assert_told("{\"cut\":true}],");
    assert_int_equal(count_of("\"key"), LIMIT_AUDIT_TARGETS - 1);
}

static void a_watch_that_may_not_go_on_is_told_of(void **state)
{
    (void)state;
    switch_on();
    struct asked *a = ask("GET", "/watch?key=k", bearer("alice"), slice_of(NULL, 0));
    fake_pass(1000);
    assert_true(a->begun && !a->done);
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_REVOKE, .user = slice_str("alice"), .role = slice_str("r")});
    fake_pass(1000);
    assert_true(a->done);
    forget(a);
    a = ask("GET", "/metrics", NULL, slice_of(NULL, 0));
    static const char counted[] = "conclave_auth_refused_total{reason=\"permission\"} 1\n";
    assert_non_null(memmem(a->body.data, a->body.size, counted, strlen(counted)));
    forget(a);
    read_lines();
    assert_told(
        "\"user\":\"alice\",\"request\":\"GET /watch\",\"code\":403,\"outcome\":\"denied\"");
}

static void lines_that_are_lost_are_told_of(void **state)
{
    (void)state;
    CHECK(unlink(path) == 0);
    CHECK(mkdir(path, 0700) == 0); /* nothing can be written there now */
    char target[4096] = "/key/";
    memset(target + 5, 'k', sizeof(target) - 6);
    while (line_file_counts(file).lost == 0) {
        do_request("PUT", target, NULL, "1");
    }
    struct asked *a = ask("GET", "/metrics", NULL, slice_of(NULL, 0));
    assert_non_null(memmem(a->body.data, a->body.size, "\nconclave_audit_lost_total 1\n", 29));
    forget(a);
    CHECK(rmdir(path) == 0);
    struct line_file_counts before = line_file_counts(file);
    while (line_file_counts(file).added < before.added + 2) {
        do_request("PUT", "/key/k", NULL, "1");
        usleep(1000); /* until it is written again */
    }
    fake_restart_with_audit(file); /* another life of the member, and the same file */
    do_request("PUT", "/key/k", NULL, "1");
    read_lines();
    assert_int_equal(count_of("\"member\":\"node-1\",\"lost\":"), 1);
}

static void a_reset_whose_outcome_was_unknown_is_told_of(void **state)
{
    (void)state;
    switch_on();
    fake_restart_with_root_reset(file, "found");
    fake_node.write_outcome = STATUS_UNKNOWN; /* it is applied all the same */
    uint64_t before = kv_auth_revision(fake_node.kv);
    for (int i = 0; i < 8; i++) {
        fake_pass(1100);
        fake_turn();
    }
    assert_int_equal(kv_auth_revision(fake_node.kv), before + 1);
    fake_restart_with_root_reset(file, "found"); /* was set before, and not by this start */
    for (int i = 0; i < 8; i++) {
        fake_pass(1100);
        fake_turn();
    }
    read_lines();
    assert_told("\"request\":\"reset the password of root\",\"outcome\":\"done\"");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(each_change_has_a_line_and_no_read_has),
        CASE(refusals_have_lines_with_who_it_was_and_no_secrets),
        CASE(who_hangs_up_is_told_all_the_same),
        CASE(a_long_transaction_is_cut),
        CASE(a_watch_that_may_not_go_on_is_told_of),
        CASE(lines_that_are_lost_are_told_of),
        CASE(a_reset_whose_outcome_was_unknown_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
