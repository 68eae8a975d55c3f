/* member_world.c - whole members in one world: started, stopped, settled. */
#include "member_world.h"

#include "base/check.h"
#include "base/mem.h"
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PORT      4000
#define SETTLE_MS 20000

const char *const member_hosts[MEMBERS_MAX] = {"a", "b", "c", "d", "e", "f", "g"};
static const char *const urls[MEMBERS_MAX] = {"http://a:4000", "http://b:4000", "http://c:4000",
                                              "http://d:4000", "http://e:4000", "http://f:4000",
                                              "http://g:4000"};
const char *const member_names[MEMBERS_MAX] = {"node-1", "node-2", "node-3", "node-4",
                                               "node-5", "node-6", "node-7"};

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

static struct fake_disk *create_disk(uint64_t seed)
{
    struct fake_disk_options options = {.seed = seed, .sector_bytes = seed % 2 == 0 ? 512 : 4096};
    return fake_disk_create(&options);
}

/* Whom it is told of: the founders of each other, who joins of everybody or of one. */
static uint32_t list_others(const struct cluster *c, int i, const char *others[MEMBERS_MAX])
{
    const struct member *m = &c->members[i];
    uint32_t count = 0;
    for (int j = 0; j < c->count; j++) {
        bool wanted =
            m->way == MEMBER_FOUNDS ? j < c->founders : (c->join_only < 0 || c->join_only == j);
        if (j != i && wanted && m->way != MEMBER_ALONE) {
            others[count++] = urls[j];
        }
    }
    return count;
}

/* Its directory, under that name. */
static enum status open_node(struct cluster *c, int i, const char *name, char **detail)
{
    struct member *m = &c->members[i];
    m->loop = fake_process_create(c->world, member_hosts[i]);
    struct node_options options = {
        .name = name,
        .data_dir = member_names[i],
        .listen_host = member_hosts[i],
        .listen_port = PORT,
        .election_policy = c->policy,
        .priority = m->priority,
        .lease_reads = c->lease_reads,
        .secret = c->secret,
        .heartbeat_ms = ELECTION_MS / 10,
        .election_timeout_ms = ELECTION_MS,
        .request_timeout_ms = REQUEST_TIMEOUT_MS,
        .history_ms = c->history_ms,
        .history_bytes = c->history_bytes,
        .quota_bytes = c->quota_bytes,
        .value_bytes_max = 1u << 20,
        .snapshot_log_bytes = c->snapshot_log_bytes,
        .snapshot_log_entries = c->snapshot_log_entries,
        .first_segment_bytes = c->segment_bytes,
        .segment_bytes = c->segment_bytes,
        .on_fatal = on_fatal,
        .context = m,
    };
    const char *others[MEMBERS_MAX];
    uint32_t other_count = list_others(c, i, others);
    if (m->way == MEMBER_JOINS) {
        options.join = others;
        options.join_count = other_count;
    } else {
        options.peers = others;
        options.peer_count = other_count;
    }
    return node_open(&options, m->loop, fake_disk_as_disk(m->disk), &m->node, detail);
}

static enum status try_open(struct cluster *c, int i, const char *name, char **why)
{
    char *detail = NULL;
    enum status s = open_node(c, i, name, &detail);
    fake_process_kill(c->members[i].loop);
    if (s == STATUS_OK) {
        node_destroy(c->members[i].node);
        c->members[i].node = NULL;
    }
    if (why != NULL) {
        *why = detail;
    } else {
        mem_free(detail);
    }
    fake_disk_restart(c->members[i].disk);
    return s;
}

enum status member_try_open(struct cluster *c, int i, const char *name)
{
    return try_open(c, i, name, NULL);
}

enum status member_refusal(struct cluster *c, int i, char **why)
{
    return try_open(c, i, member_names[i], why);
}

void member_start(struct cluster *c, int i)
{
    struct member *m = &c->members[i];
    mem_free(m->fatal);
    m->fatal = NULL;
    m->fatal_code = 0;
    char *detail = NULL;
    enum status s = open_node(c, i, m->alias != NULL ? m->alias : member_names[i], &detail);
    if (s != STATUS_OK) {
        fail_msg("%s cannot open: %s, %s", member_names[i], status_name(s),
                 detail != NULL ? detail : "");
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
    assert_int_equal(m->loop->ops->listen(m->loop, member_hosts[i], PORT, &bound, on_accept, m),
                     STATUS_OK);
    m->loop->ops->on_turn(m->loop, on_turn, m);
}

void member_stop(struct cluster *c, int i, bool power_loss)
{
    struct member *m = &c->members[i];
    if (c->on_stop != NULL) {
        c->on_stop(c->context, m->node);
    }
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

void member_wipe(struct cluster *c, int i)
{
    struct member *m = &c->members[i];
    CHECK(m->node == NULL);
    fake_disk_destroy(m->disk);
    m->disk = create_disk(rng_next(fake_world_rng(c->world)));
}

struct fake_disk *member_copy_disk(struct cluster *c, int i)
{
    CHECK(c->members[i].node == NULL);
    return fake_disk_clone(c->members[i].disk);
}

void member_put_back(struct cluster *c, int i, struct fake_disk *copy)
{
    struct member *m = &c->members[i];
    CHECK(m->node == NULL);
    fake_disk_destroy(m->disk);
    m->disk = copy;
}

void member_freeze(struct cluster *c, int i, bool frozen)
{
    fake_process_freeze(c->members[i].loop, frozen);
    c->members[i].frozen = frozen;
}

struct cluster *cluster_create(uint64_t seed, int count)
{
    CHECK(count >= 1 && count <= MEMBERS_MAX);
    struct cluster *c = mem_calloc(1, sizeof(*c));
    c->count = count;
    c->founders = count;
    c->join_only = -1;
    c->quota_bytes = 1u << 30;
    c->history_ms = 600000;
    c->history_bytes = 64u << 20;
    struct fake_options options = {.seed = seed,
                                   .delay_ms_max = seed % 3 == 0 ? 0 : 3,
                                   .piece_bytes_max = seed % 2 == 0 ? 0 : 700};
    c->world = fake_world_create(&options);
    c->secret = seed % 4 == 0 ? slice_of(NULL, 0) : slice_str("the secret of this cluster");
    for (int i = 0; i < c->count; i++) {
        c->members[i].disk = create_disk(seed * 10 + (uint64_t)i);
    }
    return c;
}

int cluster_add(struct cluster *c, enum member_way way)
{
    CHECK_CMP(c->count, <, MEMBERS_MAX);
    int i = c->count++;
    c->members[i].way = way;
    c->members[i].disk = create_disk(rng_next(fake_world_rng(c->world)));
    return i;
}

void cluster_destroy(struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        if (c->members[i].node != NULL) {
            member_stop(c, i, false);
        }
    }
    fake_world_destroy(c->world);
    for (int i = 0; i < c->count; i++) {
        fake_disk_destroy(c->members[i].disk);
        mem_free(c->members[i].fatal);
    }
    mem_free(c);
}

int cluster_find_leader(const struct cluster *c)
{
    int found = -1;
    uint64_t term = 0;
    for (int i = 0; i < c->count; i++) {
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

void cluster_expect_no_fatal(const struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        if (c->members[i].fatal != NULL && !c->members[i].is_gone) {
            fail_msg("%s: exit %d: %s", member_names[i], c->members[i].fatal_code,
                     c->members[i].fatal);
        }
    }
}

void cluster_heal(struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        for (int j = 0; j < c->count; j++) {
            fake_world_cut(c->world, member_hosts[i], member_hosts[j], false);
        }
        if (c->members[i].node == NULL && !c->members[i].is_gone) {
            member_start(c, i);
        }
        if (c->members[i].frozen) {
            member_freeze(c, i, false);
        }
    }
}

static bool is_settled(const struct cluster *c)
{
    int leader = cluster_find_leader(c);
    if (leader < 0) {
        return false;
    }
    struct node_status first;
    node_status_get(c->members[leader].node, &first);
    for (int i = 0; i < c->count; i++) {
        struct node_status status;
        if (c->members[i].is_gone) {
            continue;
        }
        node_status_get(c->members[i].node, &status);
        if (status.term != first.term || status.applied_index != first.last_index ||
            status.leader[0] == '\0') {
            return false;
        }
    }
    return true;
}

void cluster_settle(struct cluster *c)
{
    for (uint64_t waited = 0; waited < SETTLE_MS && !is_settled(c); waited += 50) {
        fake_world_run(c->world, 50);
        cluster_expect_no_fatal(c);
    }
    assert_true(is_settled(c));
}

struct cluster *cluster_settled(uint64_t seed, int count)
{
    struct cluster *c = cluster_create(seed, count);
    for (int i = 0; i < count; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    return c;
}
