/* The Cluster service: members by their ids, and changes of who takes part. */
#include "etcd_asserts.h"

#define MEMBER_1                                                                                   \
    "{\"ID\":\"11\",\"name\":\"node-1\",\"peerURLs\":[\"http://a:1\"],"                            \
    "\"clientURLs\":[\"http://a:1\"]}"
#define MEMBER_2                                                                                   \
    "{\"ID\":\"12\",\"name\":\"node-2\",\"peerURLs\":[\"http://a:2\"],"                            \
    "\"clientURLs\":[\"http://a:2\"],\"isLearner\":true}"
/* Invited, and has not come: no name, and an id made of the one that it will have. */
#define MEMBER_3                                                                                   \
    "{\"ID\":\"16580672837705252576\",\"peerURLs\":[\"http://a:3\"],\"isLearner\":true}"
#define MEMBERS "\"members\":[" MEMBER_1 "," MEMBER_2 "," MEMBER_3 "]"

static void add_member(const char *name, const char *url, uint64_t id, bool learner)
{
    struct node_membership *m = &fake_node.membership;
    struct node_membership_item *item = &m->items[m->count++];
    snprintf(item->member.name, sizeof(item->member.name), "%s", name);
    snprintf(item->member.url, sizeof(item->member.url), "%s", url);
    item->member.id = id;
    item->member.incarnation.bytes[0] = (uint8_t)id;
    item->voter = !learner;
    item->learner = learner;
}

static int setup(void **state)
{
    etcd_setup(state);
    add_member("node-1", "http://a:1", 11, false);
    add_member("node-2", "http://a:2", 12, true);
    add_member("a-3", "http://a:3", 0, true);
    return 0;
}

static void members_are_listed_with_both_of_their_urls(void **state)
{
    (void)state;
    post("/cluster/member/list", "{}", 200, "{" HEADER_AT("1") "," MEMBERS "}");
    post("/cluster/member/list", "{\"linearizable\":true}", 200,
         "{" HEADER_AT("1") "," MEMBERS "}");
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
    fake_node.read_outcome = STATUS_NO_QUORUM;
    post("/cluster/member/list", "{\"linearizable\":true}", 503,
         ETCD_ERROR_TEXT("14", "etcdserver: no leader"));
}

static void who_is_added_is_called_after_its_url(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *name;
    } rows[] = {
        {"http://a:3", "a-3"},
        {"http://node.example.org:4001", "node.example.org-4001"},
        {"http://[::1]:4001", "--1-4001"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"peerURLs\":[\"%s\"],\"isLearner\":true}", rows[i].url);
        struct asked *a = ask("POST", "/v3/cluster/member/add", NULL, slice_str(body));
        assert_non_null(fake_node.change);
        assert_int_equal(fake_node.change->kind, NODE_CHANGE_ADD);
        assert_string_equal(fake_node.change->name, rows[i].name);
        assert_string_equal(fake_node.change->url, rows[i].url);
        assert_true(fake_node.change->learner);
        fake_turn();
        assert_int_equal(a->status, 200);
        forget(a);
    }
    post("/cluster/member/add", "{\"peerURLs\":[\"http://a:3\"]}", 200,
         "{" HEADER_AT("1") ",\"member\":" MEMBER_3 "," MEMBERS "}");
}

static void urls_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{}",
        "{\"peerURLs\":[\"bad\"]}",
        "{\"peerURLs\":[\"http://a:1\",\"http://b:1\"]}",
        "{\"peerURLs\":[\"\"]}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        post("/cluster/member/add", bodies[i], 400,
             ETCD_ERROR_TEXT("3", "etcdserver: given member URLs are invalid"));
    }
    assert_null(fake_node.change);
}

static void members_are_removed_and_promoted_by_their_ids(void **state)
{
    (void)state;
    struct asked *a = ask("POST", "/v3/cluster/member/remove", NULL,
                          slice_str("{\"ID\":\"16580672837705252576\"}"));
    assert_string_equal(fake_node.change->name, "a-3");
    assert_int_equal(fake_node.change->kind, NODE_CHANGE_REMOVE);
    fake_turn();
    assert_answered(a, 200, "{" HEADER_AT("1") "," MEMBERS "}");
    forget(a);
    a = ask("POST", "/v3/cluster/member/promote", NULL, slice_str("{\"ID\":\"12\"}"));
    assert_string_equal(fake_node.change->name, "node-2");
    assert_int_equal(fake_node.change->kind, NODE_CHANGE_PROMOTE);
    fake_turn();
    assert_answered(a, 200, "{" HEADER_AT("1") "," MEMBERS "}");
    forget(a);
    static const char gone[] = ETCD_ERROR_TEXT("5", "etcdserver: member not found");
    post("/cluster/member/remove", "{\"ID\":\"5\"}", 404, gone);
    post("/cluster/member/promote", "{}", 404, gone);
    post("/cluster/member/update", "{\"ID\":\"5\"}", 404, gone);
}

static void a_member_tells_its_url_by_itself(void **state)
{
    (void)state;
    post("/cluster/member/update", "{\"ID\":\"11\",\"peerURLs\":[\"http://a:1\"]}", 200,
         "{" HEADER_AT("1") "," MEMBERS "}");
    post("/cluster/member/update", "{\"ID\":\"11\",\"peerURLs\":[\"http://b:1\"]}", 501,
         ETCD_ERROR_TEXT("12",
                         "a member tells its URL by itself: start it with another --advertise"));
}

static void refusals_have_etcd_s_codes_and_texts(void **state)
{
    (void)state;
    static const char add[] = "{\"peerURLs\":[\"http://a:3\"]}";
    static const char id[] = "{\"ID\":\"12\"}";
    static const struct {
        enum status status;
        const char *route;
        const char *body;
        int http_status;
        const char *answer;
    } rows[] = {
        {STATUS_CONFLICT, "/cluster/member/add", add, 400,
         ETCD_ERROR_TEXT("9", "etcdserver: Peer URLs already exists")},
        {STATUS_INVALID, "/cluster/member/add", add, 400,
         ETCD_ERROR_TEXT("3", "etcdserver: given member URLs are invalid")},
        {STATUS_BUSY, "/cluster/member/add", add, 429,
         ETCD_ERROR_TEXT("8", "etcdserver: too many requests")},
        {STATUS_NO_QUORUM, "/cluster/member/remove", id, 503,
         ETCD_ERROR_TEXT("14", "etcdserver: unhealthy cluster")},
        {STATUS_INVALID, "/cluster/member/remove", id, 400,
         ETCD_ERROR_TEXT("9",
                         "etcdserver: re-configuration failed due to not enough started members")},
        {STATUS_UNKNOWN, "/cluster/member/remove", id, 503,
         ETCD_ERROR_TEXT("14", "etcdserver: request timed out")},
        {STATUS_NOT_FOUND, "/cluster/member/remove", id, 404,
         ETCD_ERROR_TEXT("5", "etcdserver: member not found")},
        {STATUS_CONFLICT, "/cluster/member/promote", id, 400,
         ETCD_ERROR_TEXT("9", "etcdserver: can only promote a learner member")},
        {STATUS_BEHIND, "/cluster/member/promote", id, 400,
         ETCD_ERROR_TEXT(
             "9", "etcdserver: can only promote a learner member which is in sync with leader")},
        {STATUS_NOT_LEADER, "/cluster/member/promote", id, 400,
         ETCD_ERROR_TEXT("9", "etcdserver: not leader")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.change_start = STATUS_OK;
        fake_node.change_outcome = rows[i].status;
        post(rows[i].route, rows[i].body, rows[i].http_status, rows[i].answer);
        fake_node.change_start = rows[i].status; /* at once */
        post(rows[i].route, rows[i].body, rows[i].http_status, rows[i].answer);
    }
}

static void a_client_that_goes_away_gives_up_its_change(void **state)
{
    (void)state;
    Etcdserverpb__MemberRemoveRequest request = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    request.id = 12;
    struct called *c = call_rpc("/etcdserverpb.Cluster/MemberRemove", &request.base);
    call_reset(c);
    assert_null(fake_node.change);
    assert_int_equal(fake_node.cancels, 1);
    call_forget(c);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(members_are_listed_with_both_of_their_urls),
        CASE(who_is_added_is_called_after_its_url),
        CASE(urls_that_are_none_are_refused),
        CASE(members_are_removed_and_promoted_by_their_ids),
        CASE(a_member_tells_its_url_by_itself),
        CASE(refusals_have_etcd_s_codes_and_texts),
        CASE(a_client_that_goes_away_gives_up_its_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
