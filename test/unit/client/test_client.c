/* The client against scripted servers: what is followed, what is repeated, and what never is. */
#include "client/client.h"

#include "base/check.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- a scripted server ------------------------------------------------------------------------ */

enum { ANSWER, CUT, CUT_HALF, CUT_IN_BODY, SILENT };

/* What the server does with one connection. */
struct scripted {
    int action;
    int http_status;
    const char *body; /* may hold one %s: the script's leader_url */
};

#define REQUESTS_MAX 64

struct script {
    const struct scripted *steps; /* the last one is repeated */
    size_t step_count;
    const char *leader_url;
    int fd;
    char url[64];
    pthread_t thread;
    atomic_uint request_count;
    char requests[REQUESTS_MAX][128]; /* first lines; read after script_stop */
    int held[REQUESTS_MAX];
    size_t held_count;
};

/* Read head and body; the first line into `line`. */
static void read_request(int fd, char *line, size_t size)
{
    char text[8192];
    size_t got = 0;
    size_t wanted = SIZE_MAX;
    while (got < wanted && got < sizeof(text) - 1) {
        ssize_t n = recv(fd, text + got, sizeof(text) - 1 - got, 0);
        if (n <= 0) {
            break;
        }
        got += (size_t)n;
        text[got] = '\0';
        char *end = strstr(text, "\r\n\r\n");
        if (end != NULL) {
            char *length = strcasestr(text, "Content-Length:");
            wanted =
                (size_t)(end + 4 - text) + (length != NULL ? strtoul(length + 15, NULL, 10) : 0);
        }
    }
    text[got] = '\0';
    text[strcspn(text, "\r")] = '\0';
    snprintf(line, size, "%.100s", text);
}

static void send_text(int fd, const char *text)
{
    ssize_t ignored = send(fd, text, strlen(text), MSG_NOSIGNAL);
    (void)ignored;
}

static void send_answer(int fd, const struct script *s, const struct scripted *step)
{
    char body[512];
    char head[256];
    const char *at = strstr(step->body, "%s");
    int before = at != NULL ? (int)(at - step->body) : (int)strlen(step->body);
    snprintf(body, sizeof(body), "%.*s%s%s", before, step->body, at != NULL ? s->leader_url : "",
             at != NULL ? at + 2 : "");
    snprintf(head, sizeof(head),
             "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", step->http_status,
             strlen(body));
    send_text(fd, head);
    send_text(fd, body);
}

static void *serve(void *context)
{
    struct script *s = context;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        unsigned i = atomic_load(&s->request_count);
        CHECK(i < REQUESTS_MAX);
        read_request(fd, s->requests[i], sizeof(s->requests[i]));
        atomic_store(&s->request_count, i + 1);
        const struct scripted *step = &s->steps[i < s->step_count ? i : s->step_count - 1];
        if (step->action == SILENT) {
            s->held[s->held_count++] = fd;
            continue;
        }
        if (step->action == CUT_HALF) {
            send_text(fd, "HTTP/1.1 200 OK\r\nContent-Le");
        } else if (step->action == CUT_IN_BODY) {
            send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel");
        } else if (step->action == ANSWER) {
            send_answer(fd, s, step);
        }
        close(fd);
    }
}

static int bind_somewhere(char *url, size_t size)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    CHECK(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&a, &length) == 0);
    snprintf(url, size, "http://127.0.0.1:%u", ntohs(a.sin_port));
    return fd;
}

static void script_start(struct script *s, const struct scripted *steps, size_t count)
{
    const char *leader_url = s->leader_url;
    *s = (struct script){.steps = steps, .step_count = count, .leader_url = leader_url};
    s->fd = bind_somewhere(s->url, sizeof(s->url));
    CHECK(listen(s->fd, 16) == 0);
    CHECK(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static void script_stop(struct script *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (size_t i = 0; i < s->held_count; i++) {
        close(s->held[i]);
    }
}

/* How many requests began with these words; after script_stop. */
static unsigned count_requests(const struct script *s, const char *words)
{
    unsigned count = 0;
    for (unsigned i = 0; i < s->request_count; i++) {
        count += strncmp(s->requests[i], words, strlen(words)) == 0 ? 1 : 0;
    }
    return count;
}

#define SCRIPT(s, ...)                                                                             \
    static const struct scripted steps_##s[] = {__VA_ARGS__};                                      \
    script_start(&s, steps_##s, sizeof(steps_##s) / sizeof(steps_##s[0]))

#define OK_BODY    "{\"success\":true,\"revision\":2}"
#define NOT_LEADER "{\"error\":\"Not the leader\",\"leaderUrl\":\"%s\"}"
#define LEADERLESS "{\"error\":\"Not the leader\",\"leaderId\":\"Unknown\"}"
#define NO_QUORUM  "{\"error\":\"No quorum\"}"
#define GO_ON                                                                                      \
    {                                                                                              \
        ANSWER, 200, OK_BODY                                                                       \
    }
#define LEADER_SAYS                                                                                \
    {                                                                                              \
        ANSWER, 200, "{\"leaderId\":\"x\",\"leaderUrl\":\"%s\"}"                                   \
    }
#define OTHER_LEADS                                                                                \
    {                                                                                              \
        ANSWER, 503, "{\"leaderId\":\"x\",\"leaderUrl\":\"%s\"}"                                   \
    }

static const struct client_request write_request = {
    .method = "PUT",
    .target = "/key/a",
    .body = {.data = (const uint8_t *)"1", .size = 1},
    .is_write = true};
static const struct client_request read_request_ = {.method = "GET", .target = "/key/a"};

static enum status call(const struct client_request *r, uint32_t timeout_ms, const char *first,
                        const char *second)
{
    const char *endpoints[] = {first, second};
    const struct client_options options = {
        .endpoints = endpoints, .endpoint_count = second != NULL ? 2 : 1, .timeout_ms = timeout_ms};
    struct client *c = client_create(&options);
    struct client_answer a = {0};
    enum status status = client_call(c, r, &a);
    char *why = client_explain(status, r, &a);
    assert_true(strlen(why) > 0);
    mem_free(why);
    client_answer_deinit(&a);
    client_destroy(c);
    return status;
}

/* --- following -------------------------------------------------------------------------------- */

static void a_refused_write_goes_to_the_leader_that_the_answer_names(void **state)
{
    (void)state;
    struct script leader = {0};
    SCRIPT(leader, GO_ON);
    struct script follower = {.leader_url = leader.url};
    SCRIPT(follower, {ANSWER, 503, NOT_LEADER});
    assert_int_equal(call(&write_request, 5000, follower.url, NULL), STATUS_OK);
    script_stop(&leader);
    script_stop(&follower);
    assert_int_equal(count_requests(&leader, "PUT /key/a"), 1);
    assert_int_equal(count_requests(&follower, "PUT /key/a"), 1);
}

static void step_down_follows_the_leader_as_well(void **state)
{
    (void)state;
    struct script leader = {0};
    SCRIPT(leader, GO_ON);
    struct script follower = {.leader_url = leader.url};
    SCRIPT(follower, {ANSWER, 400, "{\"error\":\"Not currently leader\",\"leaderUrl\":\"%s\"}"});
    const struct client_request r = {.method = "POST", .target = "/step-down", .is_write = true};
    assert_int_equal(call(&r, 5000, follower.url, NULL), STATUS_OK);
    script_stop(&leader);
    script_stop(&follower);
}

static void a_leader_that_cannot_be_reached_is_sought_among_the_given_endpoints(void **state)
{
    (void)state;
    char nowhere[64];
    int unused = bind_somewhere(nowhere, sizeof(nowhere));
    struct script follower = {.leader_url = nowhere};
    SCRIPT(follower, OTHER_LEADS);
    /* The same member, under the address that works from here. */
    struct script leader = {.leader_url = nowhere};
    SCRIPT(leader, LEADER_SAYS, GO_ON);
    assert_int_equal(call(&write_request, 5000, follower.url, leader.url), STATUS_OK);
    script_stop(&leader);
    script_stop(&follower);
    close(unused);
    assert_int_equal(count_requests(&leader, "PUT"), 1);
}

static void the_leader_is_asked_where_it_answered_not_where_it_advertises(void **state)
{
    (void)state;
    char nowhere[64];
    int unused = bind_somewhere(nowhere, sizeof(nowhere));
    struct script follower = {.leader_url = nowhere};
    SCRIPT(follower, {ANSWER, 503, "{\"leaderId\":null,\"leaderUrl\":null}"}, {ANSWER, 500, "{}"});
    struct script leader = {.leader_url = nowhere};
    SCRIPT(leader, LEADER_SAYS, GO_ON);
    assert_int_equal(call(&write_request, 5000, follower.url, leader.url), STATUS_OK);
    script_stop(&leader);
    script_stop(&follower);
    close(unused);
    assert_int_equal(count_requests(&follower, "PUT"), 0);
}

static void a_write_is_not_lost_in_a_frozen_follower(void **state)
{
    (void)state;
    struct script frozen = {0};
    SCRIPT(frozen, {.action = SILENT});
    struct script leader = {.leader_url = ""};
    SCRIPT(leader, LEADER_SAYS, GO_ON);
    assert_int_equal(call(&write_request, 20000, frozen.url, leader.url), STATUS_OK);
    script_stop(&leader);
    script_stop(&frozen);
    assert_int_equal(count_requests(&frozen, "PUT"), 0);
    assert_int_equal(count_requests(&leader, "PUT"), 1);
}

static void a_write_waits_for_the_next_leader_when_the_one_named_is_frozen(void **state)
{
    (void)state;
    struct script frozen = {0};
    SCRIPT(frozen, {.action = SILENT});
    struct script next = {.leader_url = frozen.url};
    SCRIPT(next, OTHER_LEADS, LEADER_SAYS, GO_ON);
    char nowhere[64];
    int unused = bind_somewhere(nowhere, sizeof(nowhere));
    assert_int_equal(call(&write_request, 20000, nowhere, next.url), STATUS_OK);
    script_stop(&next);
    script_stop(&frozen);
    close(unused);
    assert_int_equal(count_requests(&frozen, "PUT"), 0);
    assert_int_equal(count_requests(&frozen, "GET /leader"), 1);
    assert_int_equal(count_requests(&next, "PUT"), 1);
}

static void a_write_that_found_no_leader_in_time_was_never_sent(void **state)
{
    (void)state;
    struct script a = {.leader_url = ""};
    SCRIPT(a, OTHER_LEADS);
    assert_int_equal(call(&write_request, 1000, a.url, a.url), STATUS_NOT_LEADER);
    script_stop(&a);
    assert_int_equal(count_requests(&a, "PUT"), 0);
}

static void a_leader_url_that_is_no_address_is_not_followed(void **state)
{
    (void)state;
    struct script follower = {.leader_url = "file:///etc/passwd"};
    SCRIPT(follower, {ANSWER, 503, NOT_LEADER});
    assert_int_equal(call(&write_request, 1000, follower.url, NULL), STATUS_NOT_LEADER);
    script_stop(&follower);
}

/* --- repeating -------------------------------------------------------------------------------- */

static void a_refused_connection_moves_on_to_the_next_endpoint(void **state)
{
    (void)state;
    char nowhere[64];
    int unused = bind_somewhere(nowhere, sizeof(nowhere));
    struct script member = {0};
    SCRIPT(member, GO_ON);
    assert_int_equal(call(&read_request_, 5000, nowhere, member.url), STATUS_OK);
    assert_int_equal(call(&write_request, 5000, nowhere, member.url), STATUS_OK);
    script_stop(&member);
    assert_int_equal(call(&read_request_, 60000, nowhere, NULL), STATUS_UNREACHABLE);
    assert_int_equal(call(&write_request, 60000, nowhere, nowhere), STATUS_UNREACHABLE);
    close(unused);
}

static void a_write_that_was_definitely_not_done_is_repeated(void **state)
{
    (void)state;
    struct script member = {0};
    SCRIPT(member, {ANSWER, 503, LEADERLESS}, {ANSWER, 503, NO_QUORUM},
           {ANSWER, 429, "{\"error\":\"overloaded\"}"}, GO_ON);
    assert_int_equal(call(&write_request, 20000, member.url, NULL), STATUS_OK);
    script_stop(&member);
    assert_int_equal(count_requests(&member, "PUT"), 4);
}

static void at_the_deadline_the_last_answer_counts(void **state)
{
    (void)state;
    struct script member = {0};
    SCRIPT(member, {ANSWER, 503, NO_QUORUM});
    assert_int_equal(call(&write_request, 1000, member.url, NULL), STATUS_NO_QUORUM);
    assert_int_equal(call(&read_request_, 1000, member.url, NULL), STATUS_NO_QUORUM);
    script_stop(&member);
    assert_true(count_requests(&member, "PUT") > 1);
}

static void a_read_is_repeated_after_anything(void **state)
{
    (void)state;
    struct script broken = {0};
    SCRIPT(broken, {.action = CUT}, {.action = CUT_HALF});
    struct script good = {0};
    SCRIPT(good, {.action = CUT}, GO_ON);
    assert_int_equal(call(&read_request_, 20000, broken.url, good.url), STATUS_OK);
    script_stop(&broken);
    script_stop(&good);
}

static bool count_bytes(void *context, struct slice piece)
{
    *(size_t *)context += piece.size;
    return true;
}

/* The sink has a part already: to send it all again would make nonsense of it. */
static void a_stream_is_repeated_until_it_begins_and_not_after(void **state)
{
    (void)state;
    size_t bytes = 0;
    const struct http_sink sink = {.take = count_bytes, .context = &bytes};
    const struct client_request r = {.method = "GET", .target = "/snapshot", .sink = &sink};
    struct script s = {0};
    SCRIPT(s, {ANSWER, 503, "{\"error\":\"Busy\"}"}, {CUT_HALF, 0, NULL}, GO_ON);
    assert_int_equal(call(&r, 5000, s.url, NULL), STATUS_OK);
    script_stop(&s);
    assert_int_equal(bytes, strlen(OK_BODY));
    struct script broken = {0};
    SCRIPT(broken, {CUT_IN_BODY, 0, NULL}, GO_ON);
    assert_int_equal(call(&r, 5000, broken.url, NULL), STATUS_TIMEOUT);
    script_stop(&broken);
    assert_int_equal(broken.request_count, 1);
}

static void a_read_at_a_frozen_member_goes_to_another(void **state)
{
    (void)state;
    struct script frozen = {0};
    SCRIPT(frozen, {.action = SILENT});
    struct script good = {0};
    SCRIPT(good, GO_ON);
    assert_int_equal(call(&read_request_, 3000, frozen.url, good.url), STATUS_OK);
    assert_int_equal(call(&read_request_, 100, frozen.url, NULL), STATUS_TIMEOUT);
    script_stop(&frozen);
    script_stop(&good);
}

/* --- never repeated --------------------------------------------------------------------------- */

/* A write to one endpoint that behaves like this has an unknown outcome and was sent exactly
 * once. */
static void assert_unknown_and_sent_once(const struct scripted *step)
{
    struct script member = {0};
    script_start(&member, step, 1);
    assert_int_equal(call(&write_request, 300, member.url, NULL), STATUS_UNKNOWN);
    script_stop(&member);
    assert_int_equal(count_requests(&member, "PUT"), 1);
}

static void rule_k1_k3_a_write_of_unknown_outcome_is_never_sent_again(void **state)
{
    (void)state;
    static const struct scripted steps[] = {
        {.action = CUT},
        {.action = CUT_HALF},
        {.action = SILENT},
        {ANSWER, 504, "{\"error\":\"Outcome unknown\"}"},
        {ANSWER, 504, "gateway timeout"},
        {ANSWER, 502, "bad gateway"},
        {ANSWER, 500, "{\"error\":\"boom\"}"},
        {ANSWER, 503, "<html>a proxy, which does not know</html>"},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_unknown_and_sent_once(&steps[i]);
    }
}

static void rule_k3_a_write_cut_off_is_not_sent_to_another_endpoint_either(void **state)
{
    (void)state;
    struct script leader = {0};
    leader.leader_url = "";
    SCRIPT(leader, LEADER_SAYS, {.action = CUT});
    struct script other = {0};
    SCRIPT(other, GO_ON);
    assert_int_equal(call(&write_request, 2000, leader.url, other.url), STATUS_UNKNOWN);
    script_stop(&leader);
    script_stop(&other);
    assert_int_equal(count_requests(&leader, "PUT"), 1);
    assert_int_equal(other.request_count, 0);
}

/* --- answers ---------------------------------------------------------------------------------- */

struct answer_case {
    int http_status;
    const char *body;
    enum status expected;
};

static void answers_become_statuses_and_are_not_repeated(void **state)
{
    (void)state;
    static const struct answer_case cases[] = {
        {200, OK_BODY, STATUS_OK},
        {404, "{\"error\":\"Key not found\",\"key\":\"a\"}", STATUS_NOT_FOUND},
        {404, "{\"error\":\"Not found\"}", STATUS_UNSUPPORTED},
        {400, "{\"error\":\"Invalid JSON\"}", STATUS_INVALID},
        {403, "{\"error\":\"no\"}", STATUS_DENIED},
        {409, "{}", STATUS_CONFLICT},
        {410, "{\"error\":\"Compacted\"}", STATUS_COMPACTED},
        {412, "{}", STATUS_CONFLICT},
        {413, "{}", STATUS_TOO_LARGE},
        {507, "{\"error\":\"Out of space\"}", STATUS_NO_SPACE},
        {504, "{\"error\":\"Not confirmed by all\",\"missing\":[\"node-3\"]}",
         STATUS_NOT_CONFIRMED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct scripted step = {ANSWER, cases[i].http_status, cases[i].body};
        struct script member = {0};
        script_start(&member, &step, 1);
        enum status status = call(&write_request, 5000, member.url, NULL);
        script_stop(&member);
        if (status != cases[i].expected) {
            fail_msg("%d %s: %s", cases[i].http_status, cases[i].body, status_name(status));
        }
        assert_int_equal(member.request_count, 1);
    }
}

static void who_is_missing_is_told_when_not_all_confirmed(void **state)
{
    (void)state;
    struct script member = {0};
    SCRIPT(member, {ANSWER, 504,
                    "{\"error\":\"Not confirmed by all\",\"missing\":[\"node-2\",\"node-3\"]}"});
    struct client_answer a = {0};
    enum status status = client_ask(member.url, &write_request, 5000, &a);
    char *why = client_explain(status, &write_request, &a);
    assert_non_null(strstr(why, "missing: node-2, node-3"));
    mem_free(why);
    client_answer_deinit(&a);
    script_stop(&member);
}

static void keys_are_percent_encoded(void **state)
{
    (void)state;
    struct buf out = {0};
    client_append_encoded(&out, slice_str("a b/c%?#\xc3\xa5+~.-_"), true);
    assert_true(slice_equal(buf_slice(&out), slice_str("a%20b/c%25%3F%23%C3%A5%2B~.-_")));
    buf_clear(&out);
    client_append_encoded(&out, slice_str("a/b"), false);
    assert_true(slice_equal(buf_slice(&out), slice_str("a%2Fb")));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_write_goes_to_the_leader_that_the_answer_names),
        cmocka_unit_test(step_down_follows_the_leader_as_well),
        cmocka_unit_test(a_leader_that_cannot_be_reached_is_sought_among_the_given_endpoints),
        cmocka_unit_test(the_leader_is_asked_where_it_answered_not_where_it_advertises),
        cmocka_unit_test(a_write_is_not_lost_in_a_frozen_follower),
        cmocka_unit_test(a_write_waits_for_the_next_leader_when_the_one_named_is_frozen),
        cmocka_unit_test(a_write_that_found_no_leader_in_time_was_never_sent),
        cmocka_unit_test(a_leader_url_that_is_no_address_is_not_followed),
        cmocka_unit_test(a_refused_connection_moves_on_to_the_next_endpoint),
        cmocka_unit_test(a_write_that_was_definitely_not_done_is_repeated),
        cmocka_unit_test(at_the_deadline_the_last_answer_counts),
        cmocka_unit_test(a_read_is_repeated_after_anything),
        cmocka_unit_test(a_stream_is_repeated_until_it_begins_and_not_after),
        cmocka_unit_test(a_read_at_a_frozen_member_goes_to_another),
        cmocka_unit_test(rule_k1_k3_a_write_of_unknown_outcome_is_never_sent_again),
        cmocka_unit_test(rule_k3_a_write_cut_off_is_not_sent_to_another_endpoint_either),
        cmocka_unit_test(answers_become_statuses_and_are_not_repeated),
        cmocka_unit_test(who_is_missing_is_told_when_not_all_confirmed),
        cmocka_unit_test(keys_are_percent_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
