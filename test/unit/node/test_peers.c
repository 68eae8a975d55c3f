/* The links of members, over connections in memory and virtual time. */
#include "fake_world.h"

#include "base/log.h"
#include "base/mem.h"
#include "node/frame.h"
#include "node/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PORT      4000
#define TAKEN_MAX 4096

/* --- a member and its door ---------------------------------------------------------------------- */

enum door_kind { DOOR_UPGRADES, DOOR_SILENT, DOOR_ANSWERS };

struct member {
    struct fake_world *world;
    struct loop *loop;
    struct peers *peers;
    char host[16];
    char url[40];
    struct peer_hello hello;
    enum door_kind door;
    const char *answer; /* DOOR_ANSWERS */
    bool refuses;
    /* What it was told. */
    uint32_t hellos;
    uint32_t downs;
    uint32_t losts;
    uint32_t drops;
    struct peer_hello last_hello;
    uint32_t taken_count;
    uint64_t taken[TAKEN_MAX]; /* round of each message, in order of arrival */
    size_t taken_bytes;
    uint32_t notes;
    bool alive;
};

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
    assert_true(m->taken_count < TAKEN_MAX);
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

/* A process on a host; `disk` is the first byte of its incarnation, so that a test knows which of two
 * is the lower one. */
static void boot(struct member *m, struct fake_world *w, const char *host, uint8_t disk,
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

/* kill -9 */
static void kill_member(struct member *m)
{
    peers_destroy(m->peers);
    fake_process_kill(m->loop);
    m->alive = false;
}

static void dial(struct member *m, const struct member *other)
{
    const char *urls[] = {other->url};
    peers_set_urls(m->peers, urls, 1);
}

static struct raft_message beat(const struct member *from, const struct member *to, uint64_t round)
{
    return (struct raft_message){
        .type = RAFT_MSG_HEARTBEAT,
        .from = uuid_short(from->hello.incarnation),
        .to = uuid_short(to->hello.incarnation),
        .term = 1,
        .round = round,
    };
}

static void send_beat(struct member *from, const struct member *to, uint64_t round)
{
    struct raft_message m = beat(from, to, round);
    peers_send(from->peers, to->hello.incarnation, &m);
}

static void send_append(struct member *from, const struct member *to, uint64_t round, size_t size,
                        bool bulk)
{
    struct blob *payload = blob_create(size);
    memset(payload->data, 'x', size);
    struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_COMMAND, .payload = payload};
    struct raft_message m = beat(from, to, round);
    m.type = RAFT_MSG_APPEND;
    m.entries = &entry;
    m.entry_count = 1;
    m.bulk = bulk;
    peers_send(from->peers, to->hello.incarnation, &m);
    blob_unref(payload);
}

static bool is_up(const struct member *m, const struct member *other)
{
    return peers_is_up(m->peers, other->hello.incarnation);
}

static const char *trouble(const struct member *m)
{
    static struct peer_view view;
    assert_int_equal(peers_view(m->peers, &view, 1), 1);
    return view.trouble;
}

struct pair {
    struct fake_world *world;
    struct member a; /* the lower incarnation */
    struct member b;
};

static void open_pair(struct pair *p, const struct fake_options *options, const char *secret_a,
                      const char *secret_b)
{
    p->world = fake_world_create(options);
    boot(&p->a, p->world, "a", 10, secret_a);
    boot(&p->b, p->world, "b", 20, secret_b);
}

static void close_pair(struct pair *p)
{
    if (p->a.alive) {
        peers_destroy(p->a.peers);
    }
    if (p->b.alive) {
        peers_destroy(p->b.peers);
    }
    fake_world_destroy(p->world);
}

static const struct fake_options quiet = {.seed = 1, .delay_ms_max = 2};
static struct pair pair;

static void open_linked(struct pair *p, const struct fake_options *options, const char *secret)
{
    open_pair(p, options, secret, secret);
    dial(&p->a, &p->b);
    dial(&p->b, &p->a);
    fake_world_run(p->world, 2000);
    assert_true(is_up(&p->a, &p->b) && is_up(&p->b, &p->a));
}

/* --- links come up -------------------------------------------------------------------------------- */

static void members_link_and_talk_with_and_without_a_secret(void **state)
{
    (void)state;
    const char *const secrets[] = {"", "a secret of some length, longer than a key of 64 bytes is, "
                                       "since people paste what they like"};
    for (size_t i = 0; i < 2; i++) {
        open_pair(&pair, &quiet, secrets[i], secrets[i]);
        dial(&pair.a, &pair.b);
        fake_world_run(pair.world, 100);
        assert_true(is_up(&pair.a, &pair.b) && is_up(&pair.b, &pair.a));
        assert_string_equal(pair.a.last_hello.name, "node-b");
        assert_string_equal(pair.a.last_hello.reached, "http://b:4000");
        assert_string_equal(pair.a.last_hello.dialled, "");
        assert_string_equal(pair.b.last_hello.dialled, "http://b:4000");
        assert_string_equal(pair.b.last_hello.reached, "");
        send_beat(&pair.a, &pair.b, 1);
        send_beat(&pair.b, &pair.a, 2);
        peers_send_note(pair.a.peers, pair.b.hello.incarnation, PEER_NOTE_SURVEY_ASK,
                        slice_str("question"));
        fake_world_run(pair.world, 100);
        assert_int_equal(pair.b.taken_count, 1);
        assert_int_equal(pair.a.taken_count, 1);
        assert_int_equal(pair.b.notes, 1);
        assert_true(peers_silence_ms(pair.b.peers, pair.a.hello.incarnation) < 200);
        close_pair(&pair);
    }
}

/* Whatever the interleaving: one connection is left, nobody was ever told of an end, and nothing is
 * dialled afterwards. */
static void two_links_that_cross_become_one_and_stay_one(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct fake_options options = {
            .seed = seed, .delay_ms_max = seed % 7 * 5, .piece_bytes_max = seed % 3 == 0 ? 20 : 0};
        open_pair(&pair, &options, seed & 1 ? "s" : "", seed & 1 ? "s" : "");
        if (seed & 2) {
            dial(&pair.a, &pair.b);
            fake_world_run(pair.world, seed % 40);
            dial(&pair.b, &pair.a);
        } else {
            dial(&pair.b, &pair.a);
            fake_world_run(pair.world, seed % 40);
            dial(&pair.a, &pair.b);
        }
        for (uint64_t i = 0; i < 300; i++) {
            fake_world_run(pair.world, 10);
            send_beat(&pair.a, &pair.b, i);
            send_beat(&pair.b, &pair.a, i);
        }
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
        assert_int_equal(pair.a.downs + pair.b.downs + pair.a.losts + pair.b.losts, 0);
        assert_true(is_up(&pair.a, &pair.b) && is_up(&pair.b, &pair.a));
        assert_true(pair.a.taken_count > 200 && pair.b.taken_count > 200);
        uint32_t dials = fake_world_dials(pair.world);
        assert_true(dials <= 3);
        fake_world_run(pair.world, 10000);
        assert_int_equal(fake_world_dials(pair.world), dials);
        assert_int_equal(peers_counters(pair.a.peers).bad_frames, 0);
        assert_int_equal(peers_counters(pair.b.peers).bad_frames, 0);
        close_pair(&pair);
    }
}

static void an_url_that_is_the_member_itself_is_dropped_for_good(void **state)
{
    (void)state;
    open_pair(&pair, &quiet, "", "");
    const char *urls[] = {pair.a.url, pair.b.url};
    peers_set_urls(pair.a.peers, urls, 2);
    fake_world_run(pair.world, 3000);
    struct peer_view views[3];
    assert_int_equal(peers_view(pair.a.peers, views, 3), 1);
    assert_string_equal(views[0].url, pair.b.url);
    assert_int_equal(pair.a.hellos, 1);
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 5000);
    assert_int_equal(fake_world_dials(pair.world), dials);
    close_pair(&pair);
}

static void a_copied_data_directory_is_refused_with_words(void **state)
{
    (void)state;
    open_pair(&pair, &quiet, "", "");
    pair.b.hello.incarnation = pair.a.hello.incarnation;
    peers_set_hello(pair.b.peers, &pair.b.hello);
    dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 100);
    assert_int_equal(pair.a.hellos + pair.b.hellos, 0);
    assert_non_null(strstr(trouble(&pair.a), "copied data directory"));
    close_pair(&pair);
}

static void a_hello_goes_out_again_only_when_it_changes(void **state)
{
    (void)state;
    open_linked(&pair, &quiet, "");
    uint32_t before = pair.b.hellos;
    peers_set_hello(pair.a.peers, &pair.a.hello);
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.b.hellos, before);
    pair.a.hello.term = 5;
    pair.a.hello.leads = true;
    peers_set_hello(pair.a.peers, &pair.a.hello);
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.b.hellos, before + 1);
    assert_int_equal(pair.b.last_hello.term, 5);
    assert_true(pair.b.last_hello.leads);
    close_pair(&pair);
}

static void rule_e11_a_refused_member_is_cut_told_and_dialled_slowly(void **state)
{
    (void)state;
    open_pair(&pair, &quiet, "", "");
    pair.b.refuses = true;
    dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 100);
    assert_false(is_up(&pair.b, &pair.a));
    assert_false(is_up(&pair.a, &pair.b));
    assert_string_equal(trouble(&pair.a),
                        "it belongs to another cluster or does not know this member");
    assert_int_equal(pair.b.downs, 0);
    assert_int_equal(pair.a.losts, 0);
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 10000);
    assert_in_range(fake_world_dials(pair.world) - dials, 3, 6);
    assert_true(peers_counters(pair.b.peers).refused_hellos >= 3);
    pair.b.refuses = false;
    fake_world_run(pair.world, 3000);
    assert_true(is_up(&pair.a, &pair.b) && is_up(&pair.b, &pair.a));
    close_pair(&pair);
}

/* --- who may not come in -------------------------------------------------------------------------- */

static void secrets_that_differ_are_named_at_both_ends(void **state)
{
    (void)state;
    const struct {
        const char *a;
        const char *b;
        const char *trouble;
    } cases[] = {
        {"one", "two", "wrong secret"},
        {"one", "", "this side uses a cluster secret and the other one does not"},
        {"", "two", "the other side uses a cluster secret and this one does not"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_pair(&pair, &quiet, cases[i].a, cases[i].b);
        dial(&pair.a, &pair.b);
        fake_world_run(pair.world, 200);
        assert_string_equal(trouble(&pair.a), cases[i].trouble);
        assert_int_equal(pair.a.hellos + pair.b.hellos, 0);
        assert_true(peers_counters(pair.a.peers).bad_secrets > 0);
        assert_true(peers_counters(pair.b.peers).bad_secrets > 0);
        close_pair(&pair);
    }
}

/* Changes one byte of what one side sends. */
struct flip {
    struct loop *from;
    size_t at; /* in the stream of all bytes of that side */
    uint8_t mask;
    size_t seen;
    bool done;
};

static void flip_byte(void *context, struct loop *from, struct buf *piece)
{
    struct flip *f = context;
    if (from != f->from || f->done) {
        return;
    }
    if (f->at < f->seen + piece->size) {
        piece->data[f->at - f->seen] ^= f->mask;
        f->done = true;
    }
    f->seen += piece->size;
}

static size_t answer_bytes(void)
{
    return strlen("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade"
                  "\r\nUpgrade: conclave-peer/1\r\n\r\n");
}

static void another_protocol_version_is_named(void **state)
{
    (void)state;
    open_pair(&pair, &quiet, "", "");
    struct flip f = {.from = pair.b.loop, .at = answer_bytes() + 4, .mask = 3};
    fake_world_tamper(pair.world, flip_byte, &f);
    dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 8);
    assert_string_equal(trouble(&pair.a),
                        "wrong protocol version (it speaks peer protocol 2, this one 1)");
    assert_int_equal(peers_counters(pair.a.peers).bad_versions, 1);
    close_pair(&pair);
}

static void what_is_no_member_is_named(void **state)
{
    (void)state;
    static char endless[LIMIT_PEER_ANSWER_BYTES + 100];
    memset(endless, 'x', sizeof(endless) - 1);
    memcpy(endless, "HTTP/1.1 101 ", 13);
    const struct {
        const char *answer;
        const char *trouble;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
         "not a Conclave member (it answers HTTP 404)"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
         "not a Conclave member (it answers HTTP 101)"},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "not a Conclave member (it answers HTTP 101)"},
        {"HTTP/1.1 426 Upgrade Required\r\nupgrade:  conclave-peer/2 \r\n\r\n",
         "wrong protocol version (it speaks conclave-peer/2)"},
        {"220 smtp.example.org ESMTP\r\n", "not a Conclave member"},
        {endless, "not a Conclave member"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: conclave-peer/1\r\n\r\nHTTP is all I speak",
         "not a Conclave member"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_pair(&pair, &quiet, "", "");
        pair.b.door = DOOR_ANSWERS;
        pair.b.answer = cases[i].answer;
        dial(&pair.a, &pair.b);
        fake_world_run(pair.world, 60);
        assert_string_equal(trouble(&pair.a), cases[i].trouble);
        close_pair(&pair);
    }
}

static void who_accepts_and_says_nothing_is_given_up_in_time(void **state)
{
    (void)state;
    open_pair(&pair, &quiet, "", "");
    pair.b.door = DOOR_SILENT;
    dial(&pair.a, &pair.b);
    fake_world_run(pair.world, LIMIT_PEER_HANDSHAKE_MS - 500);
    assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
    fake_world_run(pair.world, 600);
    assert_string_equal(trouble(&pair.a), "no answer");
    close_pair(&pair);
}

static void stranger_close(struct conn *c, enum status why)
{
    (void)c;
    (void)why;
}

static void stranger_data(struct conn *c, struct slice data)
{
    (void)c;
    (void)data;
}

static void stranger_open(struct conn *c)
{
    c->loop->ops->conn_write(c, slice_str("GET /peer HTTP/1.1\r\n\r\n"));
}

static void rule_o1_strangers_are_bounded_and_go_when_their_time_is_up(void **state)
{
    (void)state;
    static const struct conn_events stranger = {
        .on_open = stranger_open, .on_data = stranger_data, .on_close = stranger_close};
    open_pair(&pair, &quiet, "", "");
    struct loop *outside = fake_process_create(pair.world, "outside");
    for (int i = 0; i < LIMIT_PEER_CONNECTIONS + 40; i++) {
        outside->ops->dial(outside, "a", PORT, &stranger, NULL);
    }
    fake_world_run(pair.world, 100);
    assert_int_equal(fake_world_conns(pair.world, "a", "outside"), LIMIT_PEER_CONNECTIONS);
    fake_world_run(pair.world, LIMIT_PEER_HANDSHAKE_MS);
    assert_int_equal(fake_world_conns(pair.world, "a", "outside"), 0);
    close_pair(&pair);
}

/* --- bytes that are not what was sent -------------------------------------------------------------- */

/* Rounds arrive ascending, each at most once, and none that was not sent. */
static void assert_honest(const struct member *m, uint64_t sent)
{
    for (uint32_t i = 0; i < m->taken_count; i++) {
        assert_true(m->taken[i] >= 1 && m->taken[i] <= sent);
        assert_true(i == 0 || m->taken[i] > m->taken[i - 1]);
    }
}

#define BEATS 6
/* Link, and send beats from a to b while a tamperer is at work; later all is well again. */
static void talk(struct pair *p,
                 void (*tamper)(void *context, struct loop *from, struct buf *piece), void *context)
{
    fake_world_tamper(p->world, tamper, context);
    dial(&p->a, &p->b);
    fake_world_run(p->world, 60);
    for (uint64_t i = 1; i <= BEATS; i++) {
        send_beat(&p->a, &p->b, i);
        fake_world_run(p->world, 20);
    }
    /* A length that was damaged in an opening may leave a side waiting: for the deadline. */
    fake_world_run(p->world, LIMIT_PEER_HANDSHAKE_MS + 2500);
    fake_world_tamper(p->world, NULL, NULL);
    assert_true(is_up(&p->a, &p->b) && is_up(&p->b, &p->a));
    send_beat(&p->a, &p->b, BEATS + 1);
    fake_world_run(p->world, 100);
    assert_honest(&p->b, BEATS + 1);
    assert_int_equal(p->b.taken[p->b.taken_count - 1], BEATS + 1);
}

static void a_bit_flipped_anywhere_in_an_exchange_is_never_taken_for_a_message(void **state)
{
    (void)state;
    const char *const secrets[] = {"", "secret"};
    for (size_t keyed = 0; keyed < 2; keyed++) {
        for (int side = 0; side < 2; side++) {
            for (size_t at = 0;; at++) {
                open_pair(&pair, &(struct fake_options){.seed = at}, secrets[keyed],
                          secrets[keyed]);
                struct flip f = {.from = side == 0 ? pair.a.loop : pair.b.loop,
                                 .at = at,
                                 .mask = (uint8_t)(1u << (at % 8))};
                talk(&pair, flip_byte, &f);
                bool done = f.done;
                close_pair(&pair);
                if (!done || at > 1000) {
                    assert_true(at > 200);
                    break;
                }
            }
        }
    }
}

enum mischief { REPLAY, REFLECT, TRUNCATE, SWALLOW, SWAP, GARBAGE };

struct mischief_maker {
    enum mischief kind;
    struct loop *from;
    uint32_t countdown; /* pieces of that side to let pass */
    struct buf kept;
    struct buf theirs; /* the last that the other side sent */
    bool done;
};

static void make_mischief(void *context, struct loop *from, struct buf *piece)
{
    struct mischief_maker *m = context;
    if (from != m->from) {
        buf_clear(&m->theirs);
        buf_append_slice(&m->theirs, buf_slice(piece));
        return;
    }
    if (m->kind == SWAP && m->kept.size > 0) {
        buf_append_slice(piece, buf_slice(&m->kept));
        buf_clear(&m->kept);
        return;
    }
    if (m->done || m->countdown-- > 0) {
        return;
    }
    m->done = true;
    switch (m->kind) {
    case REPLAY: {
        size_t size = piece->size;
        buf_reserve(piece, size);
        buf_append(piece, piece->data, size);
        break;
    }
    case REFLECT:
        buf_clear(piece);
        buf_append_slice(piece, buf_slice(&m->theirs));
        break;
    case TRUNCATE:
        piece->size /= 2;
        break;
    case SWALLOW:
        buf_clear(piece);
        break;
    case SWAP:
        buf_append_slice(&m->kept, buf_slice(piece));
        buf_clear(piece);
        break;
    case GARBAGE:
        memset(piece->data, 0xa5, piece->size);
        break;
    }
}

static void replayed_reflected_cut_lost_and_swapped_frames_end_the_link_and_count(void **state)
{
    (void)state;
    for (int kind = REPLAY; kind <= GARBAGE; kind++) {
        for (int keyed = 0; keyed < 2; keyed++) {
            /* a sends: GET, opening, hello, then a beat a piece. */
            for (uint32_t pieces = 3; pieces < 3 + BEATS - 1; pieces++) {
                const char *secret = keyed ? "secret" : "";
                open_pair(&pair, &(struct fake_options){.seed = pieces}, secret, secret);
                struct mischief_maker m = {
                    .kind = (enum mischief)kind, .from = pair.a.loop, .countdown = pieces};
                talk(&pair, make_mischief, &m);
                assert_true(m.done);
                assert_int_equal(peers_counters(pair.b.peers).bad_frames, 1);
                buf_deinit(&m.kept);
                buf_deinit(&m.theirs);
                close_pair(&pair);
            }
        }
    }
}

/* A recorded link is played back to a member that knows the secret. */
struct recorder {
    struct loop *from;
    struct buf bytes;
};

static void record(void *context, struct loop *from, struct buf *piece)
{
    struct recorder *r = context;
    if (from == r->from) {
        buf_append_slice(&r->bytes, buf_slice(piece));
    }
}

static struct recorder recorder;

static void replay_open(struct conn *c)
{
    c->loop->ops->conn_write(c, buf_slice(&recorder.bytes));
}

static void a_recorded_link_played_back_is_refused_by_its_secret(void **state)
{
    (void)state;
    static const struct conn_events player = {
        .on_open = replay_open, .on_data = stranger_data, .on_close = stranger_close};
    open_pair(&pair, &quiet, "secret", "secret");
    recorder = (struct recorder){.from = pair.a.loop};
    fake_world_tamper(pair.world, record, &recorder);
    dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 100);
    send_beat(&pair.a, &pair.b, 1);
    fake_world_run(pair.world, 100);
    assert_int_equal(pair.b.taken_count, 1);
    fake_world_tamper(pair.world, NULL, NULL);
    struct loop *outside = fake_process_create(pair.world, "outside");
    outside->ops->dial(outside, "b", PORT, &player, NULL);
    fake_world_run(pair.world, 100);
    assert_int_equal(pair.b.taken_count, 1);
    assert_int_equal(pair.b.hellos, 1);
    assert_int_equal(peers_counters(pair.b.peers).bad_secrets, 1);
    buf_deinit(&recorder.bytes);
    close_pair(&pair);
}

static void rule_e11_a_message_for_another_member_or_from_one_ends_the_link(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        open_linked(&pair, &quiet, "");
        struct raft_message m = beat(&pair.a, &pair.b, 1);
        *(wrong == 0 ? &m.to : &m.from) = 999;
        peers_send(pair.a.peers, pair.b.hello.incarnation, &m);
        fake_world_run(pair.world, 100);
        assert_int_equal(pair.b.taken_count, 0);
        assert_int_equal(peers_counters(pair.b.peers).bad_frames, 1);
        assert_true(is_up(&pair.a, &pair.b));
        close_pair(&pair);
    }
}

/* --- ends, and what they mean (rule E6b) ------------------------------------------------------------ */

static void rule_e6b_a_killed_member_is_lost_once_and_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 2}, "");
        kill_member(seed & 1 ? &pair.a : &pair.b);
        struct member *left = seed & 1 ? &pair.b : &pair.a;
        fake_world_run(pair.world, 20);
        assert_int_equal(left->downs, 1);
        assert_int_equal(left->losts, 1);
        fake_world_run(pair.world, 8000);
        assert_int_equal(left->downs, 1);
        assert_int_equal(left->losts, 1);
        assert_string_equal(trouble(left), "cannot connect");
        close_pair(&pair);
    }
}

static void rule_e6b_a_stopped_member_is_not_lost_but_goes_down_in_time(void **state)
{
    (void)state;
    open_linked(&pair, &quiet, "");
    fake_process_freeze(pair.b.loop, true);
    fake_world_run(pair.world, 2000);
    assert_int_equal(pair.a.downs, 0);
    fake_world_run(pair.world, 10000);
    assert_int_equal(pair.a.downs, 1);
    assert_int_equal(pair.a.losts, 0);
    fake_process_freeze(pair.b.loop, false);
    fake_world_run(pair.world, 5000);
    assert_true(is_up(&pair.a, &pair.b) && is_up(&pair.b, &pair.a));
    assert_int_equal(pair.a.losts + pair.b.losts, 0);
    assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
    close_pair(&pair);
}

static void rule_e6b_a_reset_with_a_member_that_lives_is_healed_without_a_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 3}, "s");
        for (int i = 0; i < 5; i++) {
            fake_world_reset(pair.world, "a", "b");
            fake_world_run(pair.world, 60);
            assert_true(is_up(&pair.a, &pair.b) && is_up(&pair.b, &pair.a));
        }
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        fake_world_run(pair.world, 3000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
        close_pair(&pair);
    }
}

/* One end of the connection is gone and the other does not know: the new one must win, whoever dialled
 * the old one. */
static void a_half_open_link_is_replaced(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 3}, "");
        bool a_forgets = (seed & 1) != 0;
        fake_world_forget(pair.world, a_forgets ? "a" : "b", a_forgets ? "b" : "a");
        fake_world_run(pair.world, 2500);
        assert_true(is_up(&pair.a, &pair.b) && is_up(&pair.b, &pair.a));
        pair.a.taken_count = 0;
        pair.b.taken_count = 0;
        send_beat(&pair.a, &pair.b, 1);
        send_beat(&pair.b, &pair.a, 1);
        fake_world_run(pair.world, 50);
        assert_int_equal(pair.a.taken_count, 1);
        assert_int_equal(pair.b.taken_count, 1);
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        close_pair(&pair);
    }
}

static void rule_e6b_another_incarnation_at_the_address_means_lost(void **state)
{
    (void)state;
    open_linked(&pair, &quiet, "");
    struct member old = pair.b;
    kill_member(&pair.b);
    static struct member other;
    boot(&other, pair.world, "b", 33, "");
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.a.downs, 1);
    assert_int_equal(pair.a.losts, 1);
    assert_true(is_up(&pair.a, &other));
    assert_false(is_up(&pair.a, &old));
    peers_destroy(other.peers);
    close_pair(&pair);
}

static void rule_e6b_the_same_member_started_anew_says_so_in_its_hello(void **state)
{
    (void)state;
    open_linked(&pair, &quiet, "");
    struct uuid before = pair.a.last_hello.boot;
    kill_member(&pair.b);
    static struct member again;
    boot(&again, pair.world, "b", 20, "");
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.a.downs, 1);
    assert_int_equal(pair.a.losts, 0);
    assert_true(is_up(&pair.a, &again));
    assert_false(uuid_equal(pair.a.last_hello.boot, before));
    peers_destroy(again.peers);
    close_pair(&pair);
}

static void rule_e6b_a_member_that_came_by_itself_is_dialled_where_it_says(void **state)
{
    (void)state;
    for (int says = 0; says < 2; says++) {
        open_pair(&pair, &quiet, "", "");
        if (says) {
            snprintf(pair.b.hello.advertise, sizeof(pair.b.hello.advertise), "%s", pair.b.url);
            peers_set_hello(pair.b.peers, &pair.b.hello);
        }
        dial(&pair.b, &pair.a);
        fake_world_run(pair.world, 100);
        assert_true(is_up(&pair.a, &pair.b));
        kill_member(&pair.b);
        fake_world_run(pair.world, 5000);
        assert_int_equal(pair.a.downs, 1);
        /* Nobody can be asked when no address is known: the timer decides. */
        assert_int_equal(pair.a.losts, says);
        close_pair(&pair);
    }
}

static void a_partition_is_no_loss_and_heals_soon_after_its_end(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 3}, "s");
        fake_world_cut(pair.world, "a", "b", true);
        fake_world_run(pair.world, 9000 + seed * 131);
        assert_int_equal(pair.a.downs + pair.b.downs, 2);
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        fake_world_cut(pair.world, "a", "b", false);
        fake_world_run(pair.world, 1500);
        assert_true(is_up(&pair.a, &pair.b) && is_up(&pair.b, &pair.a));
        fake_world_run(pair.world, 5000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
        close_pair(&pair);
    }
}

static void an_idle_link_stays_up(void **state)
{
    (void)state;
    open_linked(&pair, &quiet, "");
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 60000);
    assert_int_equal(pair.a.downs + pair.b.downs, 0);
    assert_int_equal(fake_world_dials(pair.world), dials);
    assert_true(peers_silence_ms(pair.a.peers, pair.b.hello.incarnation) < 1000);
    close_pair(&pair);
}

static void the_pause_between_dials_grows_to_a_second(void **state)
{
    (void)state;
    open_pair(&pair, &quiet, "", "");
    kill_member(&pair.b);
    dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 1000);
    assert_in_range(fake_world_dials(pair.world), 5, 9);
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 20000);
    assert_in_range(fake_world_dials(pair.world) - dials, 20, 40);
    close_pair(&pair);
}

/* --- a lot to say ----------------------------------------------------------------------------------- */

static const struct fake_options narrow = {
    .seed = 5, .delay_ms_max = 2, .kernel_bytes = 64 * 1024, .piece_bytes_max = 9000};

static void rule_o3_a_heartbeat_overtakes_a_long_message(void **state)
{
    (void)state;
    open_linked(&pair, &narrow, "secret");
    send_append(&pair.a, &pair.b, 1, 4 * MIB, false);
    send_append(&pair.a, &pair.b, 2, 10, false);
    fake_world_run(pair.world, 5);
    send_beat(&pair.a, &pair.b, 3);
    fake_world_run(pair.world, 60000);
    assert_int_equal(pair.b.taken_count, 3);
    assert_int_equal(pair.b.taken[0], 3);
    assert_int_equal(pair.b.taken[1], 1);
    assert_int_equal(pair.b.taken[2], 2);
    assert_int_equal(pair.b.taken_bytes, 4 * MIB + 10);
    close_pair(&pair);
}

static void rule_o1_what_waits_for_a_stopped_member_is_bounded_and_drops_are_told(void **state)
{
    (void)state;
    open_linked(&pair, &narrow, "");
    fake_process_freeze(pair.b.loop, true);
    for (uint64_t i = 0; i < 100; i++) {
        send_append(&pair.a, &pair.b, i, 256 * KIB, false);
    }
    assert_int_equal(pair.a.drops, 0); /* not from inside peers_send */
    fake_world_run(pair.world, 1);
    assert_int_equal(pair.a.drops, 1); /* once a turn */
    uint64_t dropped = peers_counters(pair.a.peers).dropped_messages;
    assert_in_range(dropped, 100 - LIMIT_PEER_UNSENT_BYTES / (256 * KIB) - 3,
                    100 - LIMIT_PEER_UNSENT_BYTES / (256 * KIB) + 3);
    /* A vote still finds room. */
    send_beat(&pair.a, &pair.b, 1000);
    assert_int_equal(peers_counters(pair.a.peers).dropped_messages, dropped);
    fake_process_freeze(pair.b.loop, false);
    fake_world_run(pair.world, 60000);
    assert_int_equal(pair.b.taken_count, 101 - dropped);
    close_pair(&pair);
}

static void a_message_without_a_link_is_dropped_and_told(void **state)
{
    (void)state;
    open_pair(&pair, &quiet, "", "");
    send_beat(&pair.a, &pair.b, 1);
    send_beat(&pair.a, &pair.b, 2);
    fake_world_run(pair.world, 1);
    assert_int_equal(pair.a.drops, 1);
    assert_int_equal(peers_counters(pair.a.peers).dropped_messages, 2);
    close_pair(&pair);
}

/* A link that broke in the middle of a long message: the next link starts clean. */
static void a_long_message_cut_in_the_middle_does_not_disturb_the_next_link(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct fake_options options = narrow;
        options.seed = seed;
        open_linked(&pair, &options, "s");
        send_append(&pair.a, &pair.b, 1, 2 * MIB, false);
        fake_world_run(pair.world, 5 + seed);
        fake_world_reset(pair.world, "a", "b");
        fake_world_run(pair.world, 100);
        send_append(&pair.a, &pair.b, 2, 2 * MIB, false);
        fake_world_run(pair.world, 20000);
        assert_int_equal(pair.b.taken[pair.b.taken_count - 1], 2);
        assert_int_equal(peers_counters(pair.b.peers).bad_frames, 0);
        close_pair(&pair);
    }
}

static struct roster founded_by(const struct pair *p)
{
    struct roster r = {.cluster = {{7}}, .count = 2};
    const struct member *members[] = {&p->a, &p->b};
    for (uint32_t i = 0; i < 2; i++) {
        memcpy(r.members[i].name, members[i]->hello.name, sizeof(r.members[i].name));
        snprintf(r.members[i].url, sizeof(r.members[i].url), "%s", members[i]->url);
        r.members[i].incarnation = members[i]->hello.incarnation;
    }
    return r;
}

static void founded_members_have_a_second_link_for_bulk(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fake_options options = narrow;
        options.seed = seed;
        open_pair(&pair, &options, "s", "s");
        struct roster r = founded_by(&pair);
        struct member *members[] = {&pair.a, &pair.b};
        for (int i = 0; i < 2; i++) {
            members[i]->hello.phase = FOUNDING_FOUNDED;
            members[i]->hello.roster = r;
            peers_set_hello(members[i]->peers, &members[i]->hello);
        }
        dial(&pair.a, &pair.b);
        dial(&pair.b, &pair.a);
        fake_world_run(pair.world, 4000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 2);
        /* From either side, whoever dialled. */
        struct member *from = members[seed % 2];
        struct member *to = members[1 - seed % 2];
        send_append(from, to, 1, MIB, true);
        fake_world_run(pair.world, 2);
        send_append(from, to, 2, 10, false);
        fake_world_run(pair.world, 30000);
        assert_int_equal(to->taken_count, 2);
        assert_int_equal(to->taken[0], 2);
        assert_int_equal(to->taken[1], 1);
        /* When it breaks it comes back. */
        fake_world_reset(pair.world, "a", "b");
        fake_world_run(pair.world, 4000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 2);
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        close_pair(&pair);
    }
}

static int quieten(void **state)
{
    (void)state;
    log_init(&(struct log_options){.level = LOG_ERROR});
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_link_and_talk_with_and_without_a_secret),
        cmocka_unit_test(two_links_that_cross_become_one_and_stay_one),
        cmocka_unit_test(an_url_that_is_the_member_itself_is_dropped_for_good),
        cmocka_unit_test(a_copied_data_directory_is_refused_with_words),
        cmocka_unit_test(a_hello_goes_out_again_only_when_it_changes),
        cmocka_unit_test(rule_e11_a_refused_member_is_cut_told_and_dialled_slowly),
        cmocka_unit_test(secrets_that_differ_are_named_at_both_ends),
        cmocka_unit_test(another_protocol_version_is_named),
        cmocka_unit_test(what_is_no_member_is_named),
        cmocka_unit_test(who_accepts_and_says_nothing_is_given_up_in_time),
        cmocka_unit_test(rule_o1_strangers_are_bounded_and_go_when_their_time_is_up),
        cmocka_unit_test(a_bit_flipped_anywhere_in_an_exchange_is_never_taken_for_a_message),
        cmocka_unit_test(replayed_reflected_cut_lost_and_swapped_frames_end_the_link_and_count),
        cmocka_unit_test(a_recorded_link_played_back_is_refused_by_its_secret),
        cmocka_unit_test(rule_e11_a_message_for_another_member_or_from_one_ends_the_link),
        cmocka_unit_test(rule_e6b_a_killed_member_is_lost_once_and_at_once),
        cmocka_unit_test(rule_e6b_a_stopped_member_is_not_lost_but_goes_down_in_time),
        cmocka_unit_test(rule_e6b_a_reset_with_a_member_that_lives_is_healed_without_a_loss),
        cmocka_unit_test(a_half_open_link_is_replaced),
        cmocka_unit_test(rule_e6b_another_incarnation_at_the_address_means_lost),
        cmocka_unit_test(rule_e6b_the_same_member_started_anew_says_so_in_its_hello),
        cmocka_unit_test(rule_e6b_a_member_that_came_by_itself_is_dialled_where_it_says),
        cmocka_unit_test(a_partition_is_no_loss_and_heals_soon_after_its_end),
        cmocka_unit_test(an_idle_link_stays_up),
        cmocka_unit_test(the_pause_between_dials_grows_to_a_second),
        cmocka_unit_test(rule_o3_a_heartbeat_overtakes_a_long_message),
        cmocka_unit_test(rule_o1_what_waits_for_a_stopped_member_is_bounded_and_drops_are_told),
        cmocka_unit_test(a_message_without_a_link_is_dropped_and_told),
        cmocka_unit_test(a_long_message_cut_in_the_middle_does_not_disturb_the_next_link),
        cmocka_unit_test(founded_members_have_a_second_link_for_bulk),
    };
    return cmocka_run_group_tests(tests, quieten, NULL);
}
