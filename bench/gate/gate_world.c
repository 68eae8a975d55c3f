/* gate_world.c - members put together and founded. */
#include "gate_world.h"

#include "api/api.h"
#include "base/check.h"
#include "base/mem.h"
#include "kv/kv.h"

#include <stdio.h>
#include <string.h>

#define SEED            4
#define FOUNDING_MS     20000
#define SEGMENT_BYTES   (1u << 20)
#define HISTORY_MS      600000
#define HISTORY_BYTES   (64u << 20)
#define VALUE_BYTES_MAX (1536u << 10)
#define SECTOR_BYTES    4096

static const char *const hosts[GATE_MEMBERS] = {"a", "b", "c"};
static const char *const names[GATE_MEMBERS] = {"node-1", "node-2", "node-3"};
static const char *const urls[GATE_MEMBERS] = {"http://a:4000", "http://b:4000", "http://c:4000"};

static void on_fatal(void *context, int exit_code, const char *why)
{
    (void)context;
    fprintf(stderr, "gate: a member ends with %d: %s\n", exit_code, why);
    CHECK(!"a member goes on");
}

static void on_accept(void *context, struct conn *c)
{
    struct gate_member *m = context;
    http_server_accept(m->http, c);
}

static void on_http2(void *context, struct conn *c, struct slice first)
{
    struct gate_member *m = context;
    grpc_server_accept(m->grpc, c, first);
}

static uint32_t count_http2(const void *context)
{
    const struct gate_member *m = context;
    return grpc_server_connections(m->grpc);
}

static void on_turn(void *context)
{
    struct gate_member *m = context;
    api_tell_load(m->api);
    node_turn(m->node);
    grpc_server_turn(m->grpc);
}

static void open_doors(struct gate_member *m)
{
    m->api = api_create(&(struct api_options){.loop = m->loop,
                                              .node = m->node,
                                              .ack = NODE_ACK_QUORUM,
                                              .request_timeout_ms = 2000,
                                              .value_bytes_max = VALUE_BYTES_MAX});
    m->http = http_server_create(m->loop, api_handler(m->api), NULL);
    m->grpc = grpc_server_create(m->loop, api_grpc_handler(m->api), NULL);
    http_server_on_http2(m->http, on_http2, count_http2, NULL, m);
    api_set_servers(m->api, m->http, m->grpc);
    m->loop->ops->on_turn(m->loop, on_turn, m);
}

static void start_member(struct gate_world *w, uint32_t i)
{
    struct gate_member *m = &w->members[i];
    m->disk = fake_disk_create(
        &(struct fake_disk_options){.seed = SEED + i, .sector_bytes = SECTOR_BYTES});
    m->loop = fake_process_create(w->world, hosts[i]);
    const char *others[GATE_MEMBERS - 1];
    for (uint32_t j = 0; j + 1 < GATE_MEMBERS; j++) {
        others[j] = urls[(i + 1 + j) % GATE_MEMBERS];
    }
    const struct node_options options = {
        .name = names[i],
        .data_dir = names[i],
        .listen_host = hosts[i],
        .listen_port = GATE_PORT,
        .peers = others,
        .peer_count = GATE_MEMBERS - 1,
        .heartbeat_ms = 50,
        .election_timeout_ms = 500,
        .request_timeout_ms = 2000,
        .history_ms = HISTORY_MS,
        .history_bytes = HISTORY_BYTES,
        .quota_bytes = 1u << 30,
        .value_bytes_max = VALUE_BYTES_MAX,
        .first_segment_bytes = SEGMENT_BYTES,
        .segment_bytes = SEGMENT_BYTES,
        .on_fatal = on_fatal,
        .context = m,
    };
    char *detail = NULL;
    CHECK(node_open(&options, m->loop, fake_disk_as_disk(m->disk), &m->node, &detail) == STATUS_OK);
    mem_free(detail);
    open_doors(m);
    uint16_t bound;
    CHECK(m->loop->ops->listen(m->loop, hosts[i], GATE_PORT, &bound, on_accept, m) == STATUS_OK);
}

static bool find_leader(struct gate_world *w)
{
    for (uint32_t i = 0; i < GATE_MEMBERS; i++) {
        struct node_status status;
        node_status_get(w->members[i].node, &status);
        if (status.role != NULL && strcmp(status.role, "leader") == 0 &&
            status.commit_index == status.last_index) {
            w->leader = i;
            return true;
        }
    }
    return false;
}

struct gate_world *gate_world_create(void)
{
    struct gate_world *w = mem_calloc(1, sizeof(*w));
    w->world = fake_world_create(&(struct fake_options){.seed = SEED, .coalesce_percent = 100});
    for (uint32_t i = 0; i < GATE_MEMBERS; i++) {
        start_member(w, i);
    }
    w->client = fake_process_create(w->world, "client");
    for (uint32_t i = 0; i < GATE_MEMBERS; i++) {
        fake_world_slow(w->world, "client", hosts[i], 1);
        fake_world_slow(w->world, hosts[i], "client", 1);
    }
    for (uint32_t ms = 0; !find_leader(w); ms++) {
        CHECK_CMP(ms, <, FOUNDING_MS);
        fake_world_run(w->world, 1);
    }
    return w;
}

void gate_world_destroy(struct gate_world *w)
{
    for (uint32_t i = 0; i < GATE_MEMBERS; i++) {
        struct gate_member *m = &w->members[i];
        api_set_servers(m->api, NULL, NULL);
        fake_process_kill(m->loop);
        http_server_destroy(m->http);
        grpc_server_destroy(m->grpc);
        api_destroy(m->api);
        node_destroy(m->node);
    }
    fake_process_kill(w->client);
    fake_world_destroy(w->world);
    for (uint32_t i = 0; i < GATE_MEMBERS; i++) {
        fake_disk_destroy(w->members[i].disk);
    }
    mem_free(w);
}

const char *gate_world_leader(const struct gate_world *w)
{
    return hosts[w->leader];
}

uint64_t gate_world_revision(const struct gate_world *w)
{
    struct kv_stats stats;
    kv_stats(node_kv(w->members[w->leader].node), &stats);
    return stats.revision;
}
