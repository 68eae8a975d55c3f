/* Three whole members (links, log, store, HTTP upgrade and all) in one world of virtual time, from
 * one seed: killed, cut off, frozen, their power lost. What they acknowledged must be there.
 *
 *   MEMBER_SEEDS=1000 MEMBER_SEED=7   how many, from which; a failure prints its seed */
#include "fake_disk.h"
#include "fake_world.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"
#include "node/node.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMBERS     3
#define PORT        4000
#define ELECTION_MS 200
#define WRITES_MAX  400
#define KEY_SIZE    32
#define SETTLE_MS   20000

static const char *const hosts[MEMBERS] = {"a", "b", "c"};
static const char *const urls[MEMBERS] = {"http://a:4000", "http://b:4000", "http://c:4000"};
static const char *const names[MEMBERS] = {"node-1", "node-2", "node-3"};

struct member {
    struct fake_disk *disk;
    struct loop *loop;
    struct http_server *http;
    struct node *node;
    const char *fatal; /* what on_fatal said; owned */
    int fatal_code;
    bool frozen;
};

struct attempt {
    struct node_write write;
    char key[KEY_SIZE];
    bool pending;
    bool acknowledged;
    uint64_t revision;
};

struct question {
    struct node_read read;
    struct cluster *cluster;
    uint64_t revision_before; /* the highest acknowledged when it was asked */
    bool pending;
};

struct cluster {
    struct fake_world *world;
    struct member members[MEMBERS];
    struct slice secret;
    struct attempt writes[WRITES_MAX];
    uint32_t write_count;
    uint64_t acknowledged_revision;
    uint32_t acknowledged_count;
    struct question question;
    uint32_t answered_reads;
};

static void on_fatal(void *context, int exit_code, const char *why)
{
    struct member *m = context;
    m->fatal_code = exit_code;
    m->fatal = mem_strdup(why);
}

static void on_request(void *context, struct http_request *r)
{
    (void)context;
    http_answer(r, 404, "text/plain", NULL, slice_str(""));
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    (void)http_status;
    buf_append_str(body, reason);
}

static void common_headers(void *context, const struct http_request *r, struct buf *headers)
{
    (void)context;
    (void)r;
    (void)headers;
}

static bool wants_upgrade(void *context, const struct http_request *r, struct slice protocol)
{
    (void)context;
    (void)r;
    return slice_equal(protocol, slice_str("conclave-peer/1"));
}

static void on_upgrade(void *context, const struct http_request *r, struct slice protocol,
                       struct conn *conn, struct slice rest)
{
    (void)r;
    (void)protocol;
    struct member *m = context;
    node_take_peer(m->node, conn, rest);
}

static uint64_t body_bytes_max(void *context, const struct http_request *r)
{
    (void)context;
    (void)r;
    return 0;
}

static void on_accept(void *context, struct conn *c)
{
    struct member *m = context;
    http_server_accept(m->http, c);
}

static void on_turn(void *context)
{
    struct member *m = context;
    node_turn(m->node);
}

static void start(struct cluster *c, int i)
{
    struct member *m = &c->members[i];
    m->loop = fake_process_create(c->world, hosts[i]);
    struct node_options options = {
        .name = names[i],
        .data_dir = names[i],
        .listen_host = hosts[i],
        .listen_port = PORT,
        .peers = urls,
        .peer_count = 0,
        .secret = c->secret,
        .heartbeat_ms = ELECTION_MS / 10,
        .election_timeout_ms = ELECTION_MS,
        .request_timeout_ms = 2000,
        .history_ms = 600000,
        .history_bytes = 64u << 20,
        .quota_bytes = 1u << 30,
        .value_bytes_max = 1u << 20,
        .on_fatal = on_fatal,
        .context = m,
    };
    const char *others[MEMBERS];
    for (int j = 0; j < MEMBERS; j++) {
        if (j != i) {
            others[options.peer_count++] = urls[j];
        }
    }
    options.peers = others;
    char *detail = NULL;
    enum status s = node_open(&options, m->loop, fake_disk_as_disk(m->disk), &m->node, &detail);
    if (s != STATUS_OK) {
        fail_msg("%s cannot open: %s, %s", names[i], status_name(s), detail != NULL ? detail : "");
    }
    mem_free(detail);
    const struct http_handler handler = {.on_request = on_request,
                                         .on_bad = on_bad,
                                         .common_headers = common_headers,
                                         .wants_upgrade = wants_upgrade,
                                         .on_upgrade = on_upgrade,
                                         .body_bytes_max = body_bytes_max,
                                         .context = m};
    m->http = http_server_create(m->loop, &handler, NULL);
    uint16_t bound;
    assert_int_equal(m->loop->ops->listen(m->loop, hosts[i], PORT, &bound, on_accept, m),
                     STATUS_OK);
    m->loop->ops->on_turn(m->loop, on_turn, m);
}

static void forget_requests_of(struct cluster *c, const struct node *n)
{
    for (uint32_t w = 0; w < c->write_count; w++) {
        if (c->writes[w].pending && c->writes[w].write.node == n) {
            node_write_cancel(&c->writes[w].write);
            c->writes[w].pending = false;
        }
    }
    if (c->question.pending && c->question.read.node == n) {
        node_read_cancel(&c->question.read);
        c->question.pending = false;
    }
}

/* kill -9, and perhaps the power goes too. */
static void stop(struct cluster *c, int i, bool power_loss)
{
    struct member *m = &c->members[i];
    forget_requests_of(c, m->node);
    fake_disk_halt_at(m->disk, fake_disk_calls(m->disk) + 1);
    fake_process_kill(m->loop);
    http_server_destroy(m->http);
    node_destroy(m->node);
    m->node = NULL;
    m->frozen = false;
    if (power_loss) {
        fake_disk_power_loss(m->disk,
                             (struct fake_loss){.kind = FAKE_LOSS_RANDOM, .destroys = true});
    } else {
        fake_disk_restart(m->disk);
    }
}

static struct cluster *create(uint64_t seed)
{
    struct cluster *c = mem_calloc(1, sizeof(*c));
    struct fake_options options = {.seed = seed,
                                   .delay_ms_max = seed % 3 == 0 ? 0 : 3,
                                   .piece_bytes_max = seed % 2 == 0 ? 0 : 700};
    c->world = fake_world_create(&options);
    c->secret = seed % 4 == 0 ? slice_of(NULL, 0) : slice_str("the secret of this cluster");
    for (int i = 0; i < MEMBERS; i++) {
        struct fake_disk_options disk = {.seed = seed * 10 + (uint64_t)i,
                                         .sector_bytes = seed % 2 == 0 ? 512 : 4096};
        c->members[i].disk = fake_disk_create(&disk);
    }
    return c;
}

static void destroy(struct cluster *c)
{
    for (int i = 0; i < MEMBERS; i++) {
        if (c->members[i].node != NULL) {
            stop(c, i, false);
        }
    }
    fake_world_destroy(c->world);
    for (int i = 0; i < MEMBERS; i++) {
        fake_disk_destroy(c->members[i].disk);
    }
    mem_free(c);
}

static int find_leader(const struct cluster *c)
{
    int found = -1;
    uint64_t term = 0;
    for (int i = 0; i < MEMBERS; i++) {
        struct node_status status;
        if (c->members[i].node == NULL) {
            continue;
        }
        node_status_get(c->members[i].node, &status);
        if (status.role != NULL && strcmp(status.role, "leader") == 0 && status.term >= term) {
            found = i;
            term = status.term;
        }
    }
    return found;
}

static void on_written(struct node_write *w)
{
    struct attempt *a = CONTAINER_OF(w, struct attempt, write);
    struct cluster *c = w->context;
    a->pending = false;
    if (w->status == STATUS_OK) {
        a->acknowledged = true;
        a->revision = w->result.revision;
        c->acknowledged_count++;
        if (a->revision > c->acknowledged_revision) {
            c->acknowledged_revision = a->revision;
        }
    }
}

static void write_something(struct cluster *c, int i)
{
    if (c->write_count == WRITES_MAX || c->members[i].node == NULL) {
        return;
    }
    struct attempt *a = &c->writes[c->write_count++];
    snprintf(a->key, sizeof(a->key), "key-%" PRIu32, c->write_count);
    a->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written, .context = c};
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str(a->key), .value = slice_str(a->key)};
    a->pending = node_write_start(c->members[i].node, &a->write, &command) == STATUS_OK;
}

static void on_read(struct node_read *r)
{
    struct question *q = CONTAINER_OF(r, struct question, read);
    q->pending = false;
    if (r->status == STATUS_OK) {
        struct kv_stats stats;
        kv_stats(node_kv(r->context), &stats);
        assert_true(stats.revision >= q->revision_before);
        q->cluster->answered_reads++;
    }
}

static void read_something(struct cluster *c, int i)
{
    struct question *q = &c->question;
    if (q->pending || c->members[i].node == NULL) {
        return;
    }
    q->cluster = c;
    q->pending = true;
    q->revision_before = c->acknowledged_revision;
    q->read = (struct node_read){
        .consistency = NODE_LINEARIZABLE, .done = on_read, .context = c->members[i].node};
    node_read_start(c->members[i].node, &q->read);
}

static void expect_no_fatal(const struct cluster *c)
{
    for (int i = 0; i < MEMBERS; i++) {
        if (c->members[i].fatal != NULL) {
            fail_msg("%s: exit %d: %s", names[i], c->members[i].fatal_code, c->members[i].fatal);
        }
    }
}

static void trouble(struct cluster *c, struct rng *r)
{
    int i = (int)rng_below(r, MEMBERS);
    int j = (i + 1) % MEMBERS;
    struct member *m = &c->members[i];
    switch (rng_below(r, 8)) {
    case 0:
    case 1:
        if (m->node != NULL) {
            stop(c, i, rng_chance(r, 1, 2));
        } else {
            start(c, i);
        }
        break;
    case 2:
        fake_world_cut(c->world, hosts[i], hosts[j], true);
        break;
    case 3:
    case 4:
        fake_world_cut(c->world, hosts[i], hosts[j], false);
        fake_world_cut(c->world, hosts[j], hosts[i], false);
        break;
    case 5:
        fake_world_reset(c->world, hosts[i], hosts[j]);
        break;
    default:
        if (m->node != NULL) {
            m->frozen = !m->frozen;
            fake_process_freeze(m->loop, m->frozen);
        }
        break;
    }
}

static void heal(struct cluster *c)
{
    for (int i = 0; i < MEMBERS; i++) {
        for (int j = 0; j < MEMBERS; j++) {
            fake_world_cut(c->world, hosts[i], hosts[j], false);
        }
        if (c->members[i].node == NULL) {
            start(c, i);
        }
        if (c->members[i].frozen) {
            fake_process_freeze(c->members[i].loop, false);
            c->members[i].frozen = false;
        }
    }
}

static bool is_settled(const struct cluster *c)
{
    int leader = find_leader(c);
    if (leader < 0) {
        return false;
    }
    struct node_status first;
    node_status_get(c->members[leader].node, &first);
    for (int i = 0; i < MEMBERS; i++) {
        struct node_status status;
        node_status_get(c->members[i].node, &status);
        if (status.term != first.term || status.applied_index != first.last_index ||
            status.leader[0] == '\0') {
            return false;
        }
    }
    return true;
}

static void settle(struct cluster *c)
{
    for (uint64_t waited = 0; waited < SETTLE_MS && !is_settled(c); waited += 50) {
        fake_world_run(c->world, 50);
        expect_no_fatal(c);
    }
    assert_true(is_settled(c));
}

/* Every acknowledged write is on every member, at the revision that was answered (row F6). */
static void expect_everything_acknowledged(const struct cluster *c)
{
    for (int i = 0; i < MEMBERS; i++) {
        const struct kv *kv = node_kv(c->members[i].node);
        kv_check(kv);
        for (uint32_t w = 0; w < c->write_count; w++) {
            const struct attempt *a = &c->writes[w];
            struct kv_item item;
            if (a->acknowledged) {
                assert_int_equal(kv_get(kv, slice_str(a->key), 0, &item), STATUS_OK);
                assert_int_equal(item.revision, a->revision);
                assert_true(slice_equal(item.value, slice_str(a->key)));
            }
        }
    }
}

static void expect_equal_states(const struct cluster *c)
{
    struct kv_stats first;
    kv_stats(node_kv(c->members[0].node), &first);
    for (int i = 1; i < MEMBERS; i++) {
        struct kv_stats stats;
        kv_stats(node_kv(c->members[i].node), &stats);
        assert_int_equal(stats.revision, first.revision);
        assert_int_equal(stats.keys, first.keys);
        assert_int_equal(stats.live_bytes, first.live_bytes);
    }
}

static uint32_t run_story(uint64_t seed)
{
    struct cluster *c = create(seed);
    struct rng r;
    rng_init(&r, seed);
    for (int i = 0; i < MEMBERS; i++) {
        start(c, i);
        fake_world_run(c->world, rng_below(&r, 3000));
    }
    settle(c);
    for (int step = 0; step < 300; step++) {
        fake_world_run(c->world, rng_below(&r, 40));
        expect_no_fatal(c);
        int leader = find_leader(c);
        write_something(c, leader >= 0 ? leader : (int)rng_below(&r, MEMBERS));
        read_something(c, (int)rng_below(&r, MEMBERS));
        if (rng_chance(&r, 1, 12)) {
            trouble(c, &r);
        }
    }
    heal(c);
    settle(c);
    fake_world_run(c->world, 3000);
    settle(c);
    expect_everything_acknowledged(c);
    expect_equal_states(c);
    for (int i = 0; i < MEMBERS; i++) {
        stop(c, i, true);
    }
    heal(c);
    settle(c);
    expect_everything_acknowledged(c);
    uint32_t acknowledged = c->acknowledged_count;
    destroy(c);
    return acknowledged;
}

static uint64_t setting(const char *name, uint64_t standard)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : standard;
}

static void row_f6_what_was_acknowledged_survives_kills_cuts_and_power_losses(void **state)
{
    (void)state;
    uint64_t first = setting("MEMBER_SEED", 1);
    uint64_t count = setting("MEMBER_SEEDS", 100);
    uint64_t acknowledged = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("MEMBER_SEED=%" PRIu64 "\r", seed);
        fflush(stdout);
        acknowledged += run_story(seed);
    }
    /* A silent cluster would lose nothing. */
    assert_true(acknowledged > count * 30);
}

static void rule_g5_a_minority_of_a_founded_cluster_takes_no_write(void **state)
{
    (void)state;
    struct cluster *c = create(2);
    for (int i = 0; i < MEMBERS; i++) {
        start(c, i);
    }
    settle(c);
    stop(c, 1, false);
    stop(c, 2, false);
    fake_world_run(c->world, 5 * ELECTION_MS);
    struct node_write w = {.ack = NODE_ACK_QUORUM, .done = on_written, .context = c};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_not_equal(node_write_start(c->members[0].node, &w, &command), STATUS_OK);
    assert_int_equal(find_leader(c), -1);
    destroy(c);
}

static void row_b10_a_member_that_stops_hands_leadership_over_first(void **state)
{
    (void)state;
    struct cluster *c = create(5);
    for (int i = 0; i < MEMBERS; i++) {
        start(c, i);
    }
    settle(c);
    int old = find_leader(c);
    uint64_t before = fake_world_now(c->world);
    node_shutdown(c->members[old].node, NULL, NULL);
    while (find_leader(c) == old || find_leader(c) < 0) {
        fake_world_run(c->world, 1);
        assert_true(fake_world_now(c->world) - before < ELECTION_MS / 2);
    }
    settle(c);
    destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_g5_a_minority_of_a_founded_cluster_takes_no_write),
        cmocka_unit_test(row_b10_a_member_that_stops_hands_leadership_over_first),
        cmocka_unit_test(row_f6_what_was_acknowledged_survives_kills_cuts_and_power_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
