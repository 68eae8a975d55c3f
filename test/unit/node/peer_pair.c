#include "peer_pair.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PORT PAIR_PORT

struct door {
    struct member *member;
    struct buf in;
};

static void door_close(struct conn *c, enum status why)
{
    (void)why;
    struct door *d = c->context;
    buf_deinit(&d->in);
    mem_free(d);
}

static void door_data(struct conn *c, struct slice data)
{
    struct door *d = c->context;
    struct member *m = d->member;
    buf_append_slice(&d->in, data);
    const uint8_t *end = memmem(d->in.data, d->in.size, "\r\n\r\n", 4);
    if (end == NULL || m->door == DOOR_SILENT) {
        return;
    }
    if (m->door == DOOR_ANSWERS) {
        m->loop->ops->conn_write(c, slice_str(m->answer));
        return;
    }
    m->loop->ops->conn_write(c, slice_str("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade"
                                          "\r\nUpgrade: conclave-peer/1\r\n\r\n"));
    size_t head = (size_t)(end + 4 - d->in.data);
    peers_accept(m->peers, c, slice_of(d->in.data + head, d->in.size - head));
    buf_deinit(&d->in);
    mem_free(d);
}

static const struct conn_events door_events = {.on_data = door_data, .on_close = door_close};

static void on_accept(void *context, struct conn *c)
{
    struct door *d = mem_calloc(1, sizeof(*d));
    d->member = context;
    c->events = &door_events;
    c->context = d;
}

static bool on_hello(void *context, const struct peer_hello *hello)
{
    struct member *m = context;
    m->hellos++;
    m->last_hello = *hello;
    return !m->refuses;
}

static void on_message(void *context, struct uuid from, const struct raft_message *message)
{
    struct member *m = context;
    assert_true(message->from == uuid_short(from));
    assert_true(m->taken_count < PAIR_TAKEN_MAX);
    m->taken[m->taken_count++] = message->round;
    for (uint32_t i = 0; i < message->entry_count; i++) {
        m->taken_bytes += blob_slice(message->entries[i].payload).size;
    }
}

static void on_note(void *context, struct uuid from, enum peer_note kind, struct slice body)
{
    struct member *m = context;
    (void)from;
    assert_int_equal(kind, PEER_NOTE_SURVEY_ASK);
    assert_true(slice_equal(body, slice_str("question")));
    m->notes++;
}

static void on_down(void *context, struct uuid peer)
{
    struct member *m = context;
    (void)peer;
    m->downs++;
}

static void on_lost(void *context, struct uuid peer)
{
    struct member *m = context;
    (void)peer;
    m->losts++;
}

static void on_dropped(void *context, struct uuid peer)
{
    struct member *m = context;
    (void)peer;
    m->drops++;
}

static const struct peers_events events = {
    .on_hello = on_hello,
    .on_message = on_message,
    .on_note = on_note,
    .on_down = on_down,
    .on_lost = on_lost,
    .on_dropped = on_dropped,
};

void member_boot(struct member *m, struct fake_world *w, const char *host, uint8_t disk,
                 const char *secret)
{
    *m = (struct member){.world = w, .alive = true};
    snprintf(m->host, sizeof(m->host), "%s", host);
    snprintf(m->url, sizeof(m->url), "http://%s:%u", m->host, PORT);
    m->loop = fake_process_create(w, host);
    uint16_t bound;
    assert_int_equal(m->loop->ops->listen(m->loop, host, PORT, &bound, on_accept, m), STATUS_OK);
    struct peers_options options = {
        .loop = m->loop, .secret = slice_str(secret), .events = &events, .context = m};
    m->peers = peers_create(&options);
    m->hello = (struct peer_hello){.incarnation = {{disk, 1}}, .founders = 2};
    m->loop->ops->random(m->loop, m->hello.boot.bytes, sizeof(m->hello.boot.bytes));
    snprintf(m->hello.name, sizeof(m->hello.name), "node-%s", host);
    peers_set_hello(m->peers, &m->hello);
}

void member_kill(struct member *m)
{
    peers_destroy(m->peers);
    fake_process_kill(m->loop);
    m->alive = false;
}

void member_dial(struct member *m, const struct member *other)
{
    const char *urls[] = {other->url};
    peers_set_urls(m->peers, urls, 1);
}

struct raft_message member_beat(const struct member *from, const struct member *to, uint64_t round)
{
    return (struct raft_message){
        .type = RAFT_MSG_HEARTBEAT,
        .from = uuid_short(from->hello.incarnation),
        .to = uuid_short(to->hello.incarnation),
        .term = 1,
        .round = round,
    };
}

void member_send_beat(struct member *from, const struct member *to, uint64_t round)
{
    struct raft_message m = member_beat(from, to, round);
    peers_send(from->peers, to->hello.incarnation, &m);
}

void member_send_append(struct member *from, const struct member *to, uint64_t round, size_t size,
                        bool bulk)
{
    struct blob *payload = blob_create(size);
    memset(payload->data, 'x', size);
    struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_COMMAND, .payload = payload};
    struct raft_message m = member_beat(from, to, round);
    m.type = RAFT_MSG_APPEND;
    m.entries = &entry;
    m.entry_count = 1;
    m.bulk = bulk;
    peers_send(from->peers, to->hello.incarnation, &m);
    blob_unref(payload);
}

bool member_is_up(const struct member *m, const struct member *other)
{
    return peers_is_up(m->peers, other->hello.incarnation);
}

const char *member_trouble(const struct member *m)
{
    static struct peer_view view;
    assert_int_equal(peers_view(m->peers, &view, 1), 1);
    return view.trouble;
}

void pair_open(struct pair *p, const struct fake_options *options, const char *secret_a,
               const char *secret_b)
{
    p->world = fake_world_create(options);
    member_boot(&p->a, p->world, "a", 10, secret_a);
    member_boot(&p->b, p->world, "b", 20, secret_b);
}

void pair_close(struct pair *p)
{
    if (p->a.alive) {
        peers_destroy(p->a.peers);
    }
    if (p->b.alive) {
        peers_destroy(p->b.peers);
    }
    fake_world_destroy(p->world);
}

const struct fake_options pair_quiet = {.seed = 1, .delay_ms_max = 2};

void pair_open_linked(struct pair *p, const struct fake_options *options, const char *secret)
{
    pair_open(p, options, secret, secret);
    member_dial(&p->a, &p->b);
    member_dial(&p->b, &p->a);
    fake_world_run(p->world, 2000);
    assert_true(member_is_up(&p->a, &p->b) && member_is_up(&p->b, &p->a));
}

int quieten_log(void **state)
{
    (void)state;
    log_init(&(struct log_options){.level = LOG_ERROR});
    return 0;
}
