/* Every door to what is stored and to what runs the cluster, and whom it lets in while users are
 * asked who they are: one table for REST, one for the etcd API, which must have each of its
 * methods. */
#include "etcd_asserts.h"

#include "api/auth.h"
#include "base/check.h"
#include "kv/kv_auth.h"

#include <string.h>

/* Who asks. Eve has no role; Karl may read and write what begins with `k`. */
enum { NOBODY = 1, EVE = 2, KARL = 4, ADMIN = 8, BACKUP = 16 };
#define USERS (EVE | KARL | ADMIN | BACKUP)
#define ALL   (NOBODY | USERS)
#define ROOT  0 /* none of them */

static const struct {
    int bit;
    const char *name;
    const char *role;
} askers[] = {
    {NOBODY, NULL, NULL},
    {EVE, "eve", NULL},
    {KARL, "karl", "k"},
    {ADMIN, "ada", AUTH_ROLE_ADMIN},
    {BACKUP, "bob", AUTH_ROLE_BACKUP},
};
#define ASKERS (sizeof(askers) / sizeof(askers[0]))

struct door {
    const char *method;
    const char *target;
    const char *body;
    int open_to; /* and to root */
};

/* --- who there is ----------------------------------------------------------------------------- */

static void change(struct kv_auth_change c)
{
    struct buf bytes = {0};
    struct kv_result result;
    kv_auth_encode(&c, &bytes);
    const struct kv_command command = {.op = KV_AUTH, .auth = buf_slice(&bytes)};
    kv_apply(fake_node.kv, &command, &result);
    buf_deinit(&bytes);
    CHECK(result.status == STATUS_OK);
}

static void add_user(const char *name, const char *role)
{
    change((struct kv_auth_change){
        .kind = KV_AUTH_USER_ADD, .user = slice_str(name), .no_password = true});
    if (role != NULL) {
        change((struct kv_auth_change){
            .kind = KV_AUTH_USER_GRANT, .user = slice_str(name), .role = slice_str(role)});
    }
}

static void switch_on(void)
{
    static const char *const roles[] = {"k", AUTH_ROLE_ADMIN, AUTH_ROLE_BACKUP};
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        change((struct kv_auth_change){.kind = KV_AUTH_ROLE_ADD, .role = slice_str(roles[i])});
    }
    change((struct kv_auth_change){.kind = KV_AUTH_ROLE_PERMIT,
                                   .role = slice_str("k"),
                                   .permission = KV_PERMIT_BOTH,
                                   .key = slice_str("k"),
                                   .range_end = slice_str("l")});
    for (size_t i = 0; i < ASKERS; i++) {
        if (askers[i].name != NULL) {
            add_user(askers[i].name, askers[i].role);
        }
    }
    add_user("root", "root");
    change((struct kv_auth_change){.kind = KV_AUTH_ENABLE, .token_key = {5}});
}

static int setup(void **state)
{
    int result = etcd_setup(state);
    store("k", slice_str("1"));
    store("hidden", slice_str("1"));
    switch_on();
    return result;
}

/* --- asking ----------------------------------------------------------------------------------- */

static const char *token_of(const char *user)
{
    static char header[512];
    struct buf token = {0};
    if (user == NULL) {
        return NULL;
    }
    auth_token_append(fake_api, slice_str(user), &token);
    snprintf(header, sizeof(header), "Authorization: Bearer %.*s\n", (int)token.size,
             (const char *)token.data);
    buf_deinit(&token);
    return header;
}

static bool says(const struct asked *a, const char *text)
{
    return a->body.size > 0 && memmem(a->body.data, a->body.size, text, strlen(text)) != NULL;
}

static bool is_let_in(const struct door *d, const char *user)
{
    struct asked *a = ask(d->method, d->target, token_of(user), body_of(d->body));
    fake_pass(1);
    fake_turn();
    fake_turn();
    bool is_refused = says(a, "Unauthorized") || says(a, "Forbidden") ||
                      says(a, "permission denied") || says(a, "user name is empty");
    CHECK(is_refused || (a->status != 401 && a->status != 403) || says(a, "not enabled"));
    if (!a->done) {
        hang_up(a);
    }
    forget(a);
    return !is_refused;
}

static void check_door(const struct door *d)
{
    for (size_t i = 0; i < ASKERS; i++) {
        bool is_open = (d->open_to & askers[i].bit) != 0;
        if (is_let_in(d, askers[i].name) != is_open) {
            fail_msg("%s %s is %s to %s", d->method, d->target, is_open ? "closed" : "open",
                     askers[i].name != NULL ? askers[i].name : "nobody");
        }
    }
}

/* --- REST ------------------------------------------------------------------------------------- */

static void every_path_is_for_whom_it_should_be(void **state)
{
    (void)state;
    static const struct door doors[] = {
        {"GET", "/key/k", NULL, KARL},
        {"GET", "/key/hidden", NULL, ROOT},
        {"HEAD", "/key/k", NULL, KARL},
        {"PUT", "/key/k", "1", KARL},
        {"PUT", "/key/k?ttl=30s", "1", KARL},
        {"PUT", "/key/hidden", "1", ROOT},
        {"DELETE", "/key/k", NULL, KARL},
        {"DELETE", "/key/hidden", NULL, ROOT},
        {"GET", "/keys", NULL, ROOT},
        {"GET", "/keys?prefix=k&values=true", NULL, KARL},
        {"GET", "/keys?prefix=s", NULL, ROOT},
        {"GET", "/watch?prefix=k", NULL, KARL},
        {"GET", "/watch", NULL, ROOT},
        {"POST", "/txn", "{\"then\":[{\"put\":{\"key\":\"k\",\"value\":1}}]}", KARL},
        {"POST", "/txn", "{\"then\":[{\"put\":{\"key\":\"hidden\",\"value\":1}}]}", ROOT},
        {"POST", "/write", "{\"content\":\"d\"}", ROOT},
        {"GET", "/read", NULL, ROOT},
        {"GET", "/snapshot", NULL, BACKUP},
        {"GET", "/log", NULL, BACKUP},
        {"GET", "/replication", NULL, ADMIN},
        {"GET", "/members", NULL, ADMIN},
        {"POST", "/members", "{\"name\":\"n\",\"url\":\"http://127.0.0.1:4009\"}", ADMIN},
        {"POST", "/members/node-2/promote", NULL, ADMIN},
        {"POST", "/members/node-2/replace", "{\"url\":\"http://127.0.0.1:4009\"}", ADMIN},
        {"DELETE", "/members/node-2", NULL, ADMIN},
        {"POST", "/step-down", NULL, ADMIN},
        {"POST", "/election", NULL, ADMIN},
        {"GET", "/faults", NULL, ADMIN},
        {"POST", "/faults", "{}", ADMIN},
        {"DELETE", "/faults", NULL, ADMIN},
        {"GET", "/", NULL, ALL},
        {"GET", "/status", NULL, ALL},
        {"GET", "/cluster", NULL, ALL},
        {"GET", "/leader", NULL, ALL},
        {"GET", "/metrics", NULL, ALL},
        {"GET", "/live", NULL, ALL},
        {"GET", "/events", NULL, ALL},
        {"GET", "/dispatch/key/hidden", NULL, ALL},
        {"GET", "/livez", NULL, ALL},
        {"GET", "/readyz", NULL, ALL},
        {"GET", "/health", NULL, ALL},
        {"GET", "/version", NULL, ALL},
        {"GET", "/ping", NULL, ALL},
    };
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        check_door(&doors[i]);
    }
}

static void what_everybody_may_see_names_no_key(void **state)
{
    (void)state;
    static const char *const open[] = {"/",        "/status", "/cluster", "/leader",
                                       "/metrics", "/live",   "/events",  "/health"};
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        struct asked *a = ask("GET", open[i], NULL, slice_of(NULL, 0));
        fake_pass(1100);
        fake_turn();
        if (says(a, "hidden")) {
            fail_msg("%s: %.*s", open[i], (int)a->body.size, (const char *)a->body.data);
        }
        if (!a->done) {
            hang_up(a);
        }
        forget(a);
    }
    struct asked *a = ask("GET", "/status", NULL, slice_of(NULL, 0));
    assert_true(says(a, "\"totalKeys\":2,\"keys\":[],\"keysTruncated\":true"));
    forget(a);
}

/* --- the etcd API ----------------------------------------------------------------------------- */

#define K      "{\"key\":\"aw==\"}" /* k */
#define SECRET "{\"key\":\"c2VjcmV0\"}"
#define V3(route, body, open_to)                                                                   \
    {                                                                                              \
        "POST", "/v3" route, body, open_to                                                         \
    }

static const struct door etcd_doors[] = {
    V3("/kv/range", K, KARL),
    V3("/kv/range", SECRET, ROOT),
    V3("/kv/put", K, KARL),
    V3("/kv/put", SECRET, ROOT),
    V3("/kv/deleterange", K, KARL),
    V3("/kv/deleterange", SECRET, ROOT),
    V3("/kv/txn", "{\"success\":[{\"requestPut\":" K "}]}", KARL),
    V3("/kv/txn", "{\"failure\":[{\"requestRange\":" SECRET "}]}", ROOT),
    V3("/kv/compaction", "{\"revision\":2}", ADMIN),
    V3("/watch", "{\"create_request\":" K "}", KARL),
    V3("/watch", "{\"create_request\":" SECRET "}", ROOT),
    V3("/lease/grant", "{\"TTL\":60}", USERS),
    V3("/lease/revoke", "{\"ID\":1}", USERS),
    V3("/lease/keepalive", "{\"ID\":1}", USERS),
    V3("/lease/timetolive", "{\"ID\":1}", USERS),
    V3("/lease/leases", "{}", USERS),
    V3("/lock/lock", "{\"name\":\"aw==\",\"lease\":1}", KARL),
    V3("/lock/lock", "{\"name\":\"c2VjcmV0\",\"lease\":1}", ROOT),
    V3("/lock/unlock", SECRET, ROOT),
    V3("/election/campaign", "{\"name\":\"c2VjcmV0\",\"lease\":1}", ROOT),
    V3("/election/proclaim", "{\"leader\":{\"name\":\"aw==\",\"key\":\"c2VjcmV0\"}}", ROOT),
    V3("/election/leader", "{\"name\":\"c2VjcmV0\"}", ROOT),
    V3("/election/observe", "{\"name\":\"c2VjcmV0\"}", ROOT),
    V3("/election/resign", "{\"leader\":{\"name\":\"aw==\",\"key\":\"c2VjcmV0\"}}", ROOT),
    V3("/cluster/member/list", "{}", ALL),
    V3("/cluster/member/add", "{\"peerURLs\":[\"http://127.0.0.1:4009\"]}", ADMIN),
    V3("/cluster/member/remove", "{\"ID\":2}", ADMIN),
    V3("/cluster/member/update", "{\"ID\":2}", ADMIN),
    V3("/cluster/member/promote", "{\"ID\":2}", ADMIN),
    V3("/maintenance/status", "{}", ALL),
    V3("/maintenance/alarm", "{}", ADMIN),
    V3("/maintenance/defragment", "{}", ADMIN),
    V3("/maintenance/hash", "{}", ADMIN),
    V3("/maintenance/hashkv", "{}", ADMIN),
    V3("/maintenance/transfer-leadership", "{\"targetID\":2}", ADMIN),
    V3("/maintenance/downgrade", "{}", ADMIN),
    V3("/maintenance/snapshot", "{}", BACKUP),
    V3("/auth/authenticate", "{\"name\":\"eve\",\"password\":\"x\"}", ALL),
    V3("/auth/enable", "{}", ROOT),
    V3("/auth/disable", "{}", ROOT),
    V3("/auth/status", "{}", ROOT),
    V3("/auth/user/add", "{\"name\":\"u\",\"password\":\"x\"}", ROOT),
    V3("/auth/user/get", "{\"name\":\"karl\"}", KARL),
    V3("/auth/user/list", "{}", ROOT),
    V3("/auth/user/delete", "{\"name\":\"eve\"}", ROOT),
    V3("/auth/user/changepw", "{\"name\":\"eve\",\"password\":\"x\"}", ROOT),
    V3("/auth/user/grant", "{\"user\":\"eve\",\"role\":\"root\"}", ROOT),
    V3("/auth/user/revoke", "{\"name\":\"karl\",\"role\":\"k\"}", ROOT),
    V3("/auth/role/add", "{\"name\":\"s\"}", ROOT),
    V3("/auth/role/get", "{\"role\":\"k\"}", KARL),
    V3("/auth/role/list", "{}", ROOT),
    V3("/auth/role/delete", "{\"role\":\"k\"}", ROOT),
    V3("/auth/role/grant", "{\"name\":\"k\",\"perm\":" K "}", ROOT),
    V3("/auth/role/revoke", "{\"role\":\"k\",\"key\":\"aw==\"}", ROOT),
};
#define ETCD_DOORS (sizeof(etcd_doors) / sizeof(etcd_doors[0]))

static void every_call_is_for_whom_it_should_be(void **state)
{
    (void)state;
    for (size_t i = 0; i < ETCD_DOORS; i++) {
        check_door(&etcd_doors[i]);
    }
}

static void no_call_is_missing_here(void **state)
{
    (void)state;
    static const struct etcd_service *const services[] = {
        &etcd_auth_service,  &etcd_cluster_service, &etcd_election_service,    &etcd_kv_service,
        &etcd_lease_service, &etcd_lock_service,    &etcd_maintenance_service, &etcd_watch_service,
    };
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        for (size_t k = 0; k < services[i]->count; k++) {
            const struct etcd_method *m = &services[i]->methods[k];
            bool is_here = false;
            for (size_t d = 0; d < ETCD_DOORS; d++) {
                is_here =
                    is_here || strcmp(etcd_doors[d].target + strlen("/v3"), m->routes[0]) == 0;
            }
            if (!is_here) {
                fail_msg("%s is not among the doors", m->path);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_path_is_for_whom_it_should_be, setup, fake_teardown),
        cmocka_unit_test_setup_teardown(what_everybody_may_see_names_no_key, setup, fake_teardown),
        cmocka_unit_test_setup_teardown(every_call_is_for_whom_it_should_be, setup, fake_teardown),
        cmocka_unit_test(no_call_is_missing_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
