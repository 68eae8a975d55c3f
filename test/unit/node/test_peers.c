/* The links of members: how they come up, who may not come in, and bytes that are not what was
 * sent. */
#include "peer_pair.h"

#include "base/mem.h"
#include "node/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct pair pair;

/* --- links come up ---------------------------------------------------------------------------- */

static void members_link_and_talk_with_and_without_a_secret(void **state)
{
    (void)state;
    const char *const secrets[] = {"", "a secret of some length, longer than a key of 64 bytes is, "
                                       "since people paste what they like"};
    for (size_t i = 0; i < 2; i++) {
        pair_open(&pair, &pair_quiet, secrets[i], secrets[i]);
        member_dial(&pair.a, &pair.b);
        fake_world_run(pair.world, 100);
        assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
        assert_string_equal(pair.a.last_hello.name, "node-b");
        assert_string_equal(pair.a.last_hello.reached, "http://b:4000");
        assert_string_equal(pair.a.last_hello.dialled, "");
        assert_string_equal(pair.b.last_hello.dialled, "http://b:4000");
        assert_string_equal(pair.b.last_hello.reached, "");
        member_send_beat(&pair.a, &pair.b, 1);
        member_send_beat(&pair.b, &pair.a, 2);
        peers_send_note(pair.a.peers, pair.b.hello.incarnation, PEER_NOTE_SURVEY_ASK,
                        slice_str("question"));
        fake_world_run(pair.world, 100);
        assert_int_equal(pair.b.taken_count, 1);
        assert_int_equal(pair.a.taken_count, 1);
        assert_int_equal(pair.b.notes, 1);
        assert_true(peers_silence_ms(pair.b.peers, pair.a.hello.incarnation) < 200);
        pair_close(&pair);
    }
}

/* These loops do not encrypt, and their members were told a URL of when the cluster did. */
static void urls_of_another_time_are_dialled_as_the_loop_speaks(void **state)
{
    (void)state;
    pair_open(&pair, &pair_quiet, "s", "s");
    const char *const urls[] = {"https://b:4000", "http://b:4000"};
    peers_set_urls(pair.a.peers, urls, 2);
    peers_set_urls(pair.a.peers, urls, 2); /* it is one URL, and stays it */
    fake_world_run(pair.world, 100);
    assert_true(member_is_up(&pair.a, &pair.b));
    assert_string_equal(pair.a.last_hello.reached, "http://b:4000");
    assert_int_equal(fake_world_dials(pair.world), 1);
    pair_close(&pair);
}

/* Whatever the interleaving: one connection is left, nobody was ever told of an end, and nothing is
 * dialled afterwards. */
static void two_links_that_cross_become_one_and_stay_one(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct fake_options options = {
            .seed = seed, .delay_ms_max = seed % 7 * 5, .piece_bytes_max = seed % 3 == 0 ? 20 : 0};
        pair_open(&pair, &options, seed & 1 ? "s" : "", seed & 1 ? "s" : "");
        if (seed & 2) {
            member_dial(&pair.a, &pair.b);
            fake_world_run(pair.world, seed % 40);
            member_dial(&pair.b, &pair.a);
        } else {
            member_dial(&pair.b, &pair.a);
            fake_world_run(pair.world, seed % 40);
            member_dial(&pair.a, &pair.b);
        }
        for (uint64_t i = 0; i < 300; i++) {
            fake_world_run(pair.world, 10);
            member_send_beat(&pair.a, &pair.b, i);
            member_send_beat(&pair.b, &pair.a, i);
        }
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
        assert_int_equal(pair.a.downs + pair.b.downs + pair.a.losts + pair.b.losts, 0);
        assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
        assert_true(pair.a.taken_count > 200 && pair.b.taken_count > 200);
        uint32_t dials = fake_world_dials(pair.world);
        assert_true(dials <= 3);
        fake_world_run(pair.world, 10000);
        assert_int_equal(fake_world_dials(pair.world), dials);
        assert_int_equal(peers_counters(pair.a.peers).bad_frames, 0);
        assert_int_equal(peers_counters(pair.b.peers).bad_frames, 0);
        pair_close(&pair);
    }
}

/* The hello on the slower of two links is older than what was heard on the other one, and its link
 * may go before the newer one comes on it, too. */
static void an_old_hello_on_a_second_link_does_not_count(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct fake_options options = {.seed = seed, .delay_ms_max = 40};
        pair_open(&pair, &options, "", "");
        struct member *m = seed & 1 ? &pair.a : &pair.b;
        struct member *other = seed & 1 ? &pair.b : &pair.a;
        member_dial(seed & 2 ? m : other, seed & 2 ? other : m);
        fake_world_run(pair.world, seed % 100);
        member_dial(seed & 2 ? other : m, seed & 2 ? m : other);
        fake_world_run(pair.world, seed / 4 % 100);
        m->hello.term = 3;
        peers_set_hello(m->peers, &m->hello);
        fake_world_run(pair.world, 3000);
        const struct peer_hello *heard = peers_hello(other->peers, m->hello.incarnation);
        assert_non_null(heard);
        assert_int_equal(heard->term, 3);
        pair_close(&pair);
    }
}

static void an_url_that_is_the_member_itself_is_dropped_for_good(void **state)
{
    (void)state;
    pair_open(&pair, &pair_quiet, "", "");
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
    pair_close(&pair);
}

static void a_copied_data_directory_is_refused_with_words(void **state)
{
    (void)state;
    pair_open(&pair, &pair_quiet, "", "");
    pair.b.hello.incarnation = pair.a.hello.incarnation;
    peers_set_hello(pair.b.peers, &pair.b.hello);
    member_dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 100);
    assert_int_equal(pair.a.hellos + pair.b.hellos, 0);
    assert_non_null(strstr(member_trouble(&pair.a), "copied data directory"));
    pair_close(&pair);
}

static void a_hello_goes_out_again_only_when_it_changes(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
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
    pair_close(&pair);
}

static void rule_e11_a_refused_member_is_cut_told_and_dialled_slowly(void **state)
{
    (void)state;
    pair_open(&pair, &pair_quiet, "", "");
    pair.b.refuses = true;
    member_dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 100);
    assert_false(member_is_up(&pair.b, &pair.a));
    assert_false(member_is_up(&pair.a, &pair.b));
    assert_string_equal(member_trouble(&pair.a),
                        "it belongs to another cluster or does not know this member");
    assert_int_equal(pair.b.downs, 0);
    assert_int_equal(pair.a.losts, 0);
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 10000);
    assert_in_range(fake_world_dials(pair.world) - dials, 3, 6);
    assert_true(peers_counters(pair.b.peers).refused_hellos >= 3);
    pair.b.refuses = false;
    fake_world_run(pair.world, 3000);
    assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
    pair_close(&pair);
}

/* The link that is left was dialled by the other side, which refuses it and does not dial again: a
 * member that lost the end of its log knows nothing of who joined last. */
static void rule_e11_who_is_refused_on_an_accepted_link_dials(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    fake_world_run(pair.world, 1000);
    peers_set_urls(pair.a.peers, NULL, 0);
    pair.a.refuses = true;
    pair.b.hello.term++;
    peers_set_hello(pair.b.peers, &pair.b.hello);
    fake_world_run(pair.world, 100);
    assert_false(member_is_up(&pair.a, &pair.b) || member_is_up(&pair.b, &pair.a));
    pair.a.refuses = false;
    fake_world_run(pair.world, 3000);
    assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
    pair_close(&pair);
}

/* --- who may not come in ---------------------------------------------------------------------- */

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
        pair_open(&pair, &pair_quiet, cases[i].a, cases[i].b);
        member_dial(&pair.a, &pair.b);
        fake_world_run(pair.world, 200);
        assert_string_equal(member_trouble(&pair.a), cases[i].trouble);
        assert_int_equal(pair.a.hellos + pair.b.hellos, 0);
        assert_true(peers_counters(pair.a.peers).bad_secrets > 0);
        assert_true(peers_counters(pair.b.peers).bad_secrets > 0);
        pair_close(&pair);
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
    pair_open(&pair, &pair_quiet, "", "");
    struct flip f = {.from = pair.b.loop, .at = answer_bytes() + 4, .mask = 3};
    fake_world_tamper(pair.world, flip_byte, &f);
    member_dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 8);
    assert_string_equal(member_trouble(&pair.a),
                        "wrong protocol version (it speaks peer protocol 2, this one 1)");
    assert_int_equal(peers_counters(pair.a.peers).bad_versions, 1);
    pair_close(&pair);
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
        pair_open(&pair, &pair_quiet, "", "");
        pair.b.door = DOOR_ANSWERS;
        pair.b.answer = cases[i].answer;
        member_dial(&pair.a, &pair.b);
        fake_world_run(pair.world, 60);
        assert_string_equal(member_trouble(&pair.a), cases[i].trouble);
        pair_close(&pair);
    }
}

static void who_accepts_and_says_nothing_is_given_up_in_time(void **state)
{
    (void)state;
    pair_open(&pair, &pair_quiet, "", "");
    pair.b.door = DOOR_SILENT;
    member_dial(&pair.a, &pair.b);
    fake_world_run(pair.world, LIMIT_PEER_HANDSHAKE_MS - 500);
    assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
    fake_world_run(pair.world, 600);
    assert_string_equal(member_trouble(&pair.a), "no answer");
    pair_close(&pair);
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
    pair_open(&pair, &pair_quiet, "", "");
    struct loop *outside = fake_process_create(pair.world, "outside");
    for (int i = 0; i < LIMIT_PEER_CONNECTIONS + 40; i++) {
        outside->ops->dial(outside, "a", PAIR_PORT, &stranger, NULL);
    }
    fake_world_run(pair.world, 100);
    assert_int_equal(fake_world_conns(pair.world, "a", "outside"), LIMIT_PEER_CONNECTIONS);
    fake_world_run(pair.world, LIMIT_PEER_HANDSHAKE_MS);
    assert_int_equal(fake_world_conns(pair.world, "a", "outside"), 0);
    pair_close(&pair);
}

/* A whole opening, and then the first piece of a message of which the rest may never come. */
static void piecemeal_data(struct conn *c, struct slice data)
{
    bool *sent = c->context;
    if (*sent || data.size < OPENING_BYTES) {
        return;
    }
    *sent = true;
    uint8_t opening[OPENING_BYTES];
    struct frame_opening o = {.version = FRAME_VERSION, .dialler = true};
    opening_encode(&o, opening);
    struct frame_seal seal = {0};
    struct frame piece = {.type = FRAME_HELLO,
                          .flags = FRAME_FIRST,
                          .stream = 1,
                          .payload = slice_str("the first piece of a hello")};
    struct buf b = {0};
    buf_append(&b, opening, sizeof(opening));
    frame_write(&seal, &piece, &b);
    c->loop->ops->conn_write(c, buf_slice(&b));
    buf_deinit(&b);
}

static void rule_o1_who_has_not_said_hello_cannot_make_us_keep_pieces(void **state)
{
    (void)state;
    static const struct conn_events piecemeal = {
        .on_open = stranger_open, .on_data = piecemeal_data, .on_close = stranger_close};
    pair_open(&pair, &pair_quiet, "", "");
    struct loop *outside = fake_process_create(pair.world, "outside");
    bool sent = false;
    outside->ops->dial(outside, "a", PAIR_PORT, &piecemeal, &sent);
    fake_world_run(pair.world, 100);
    assert_true(sent);
    assert_int_equal(peers_counters(pair.a.peers).bad_frames, 1);
    assert_int_equal(fake_world_conns(pair.world, "a", "outside"), 0);
    pair_close(&pair);
}

/* --- bytes that are not what was sent --------------------------------------------------------- */

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
    member_dial(&p->a, &p->b);
    fake_world_run(p->world, 60);
    for (uint64_t i = 1; i <= BEATS; i++) {
        member_send_beat(&p->a, &p->b, i);
        fake_world_run(p->world, 20);
    }
    /* A length that was damaged in an opening may leave a side waiting: for the deadline. */
    fake_world_run(p->world, LIMIT_PEER_HANDSHAKE_MS + 2500);
    fake_world_tamper(p->world, NULL, NULL);
    assert_true(member_is_up(&p->a, &p->b) && member_is_up(&p->b, &p->a));
    member_send_beat(&p->a, &p->b, BEATS + 1);
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
                pair_open(&pair, &(struct fake_options){.seed = at}, secrets[keyed],
                          secrets[keyed]);
                struct flip f = {.from = side == 0 ? pair.a.loop : pair.b.loop,
                                 .at = at,
                                 .mask = (uint8_t)(1u << (at % 8))};
                talk(&pair, flip_byte, &f);
                bool done = f.done;
                pair_close(&pair);
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
                pair_open(&pair, &(struct fake_options){.seed = pieces}, secret, secret);
                struct mischief_maker m = {
                    .kind = (enum mischief)kind, .from = pair.a.loop, .countdown = pieces};
                talk(&pair, make_mischief, &m);
                assert_true(m.done);
                assert_int_equal(peers_counters(pair.b.peers).bad_frames, 1);
                buf_deinit(&m.kept);
                buf_deinit(&m.theirs);
                pair_close(&pair);
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
    pair_open(&pair, &pair_quiet, "secret", "secret");
    recorder = (struct recorder){.from = pair.a.loop};
    fake_world_tamper(pair.world, record, &recorder);
    member_dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 100);
    member_send_beat(&pair.a, &pair.b, 1);
    fake_world_run(pair.world, 100);
    assert_int_equal(pair.b.taken_count, 1);
    fake_world_tamper(pair.world, NULL, NULL);
    struct loop *outside = fake_process_create(pair.world, "outside");
    outside->ops->dial(outside, "b", PAIR_PORT, &player, NULL);
    fake_world_run(pair.world, 100);
    assert_int_equal(pair.b.taken_count, 1);
    assert_int_equal(pair.b.hellos, 1);
    assert_int_equal(peers_counters(pair.b.peers).bad_secrets, 1);
    buf_deinit(&recorder.bytes);
    pair_close(&pair);
}

/* A member that is linked says that it is another one: by name, by disk, by life. */
static void rule_e11_a_member_does_not_become_another_in_mid_link(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 3; wrong++) {
        pair_open_linked(&pair, &pair_quiet, "secret");
        struct peer_hello hello = pair.a.hello;
        if (wrong == 0) {
            snprintf(hello.name, sizeof(hello.name), "other");
        } else {
            (wrong == 1 ? &hello.incarnation : &hello.boot)->bytes[0] ^= 0x80;
        }
        uint32_t hellos = pair.b.hellos;
        peers_set_hello(pair.a.peers, &hello);
        fake_world_run(pair.world, 5);
        assert_int_equal(peers_counters(pair.b.peers).bad_frames, 1);
        assert_int_equal(pair.b.hellos, hellos);
        pair_close(&pair);
    }
}

static void rule_e11_a_message_for_another_member_or_from_one_ends_the_link(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        pair_open_linked(&pair, &pair_quiet, "");
        struct raft_message m = member_beat(&pair.a, &pair.b, 1);
        *(wrong == 0 ? &m.to : &m.from) = 999;
        peers_send(pair.a.peers, pair.b.hello.incarnation, &m);
        fake_world_run(pair.world, 100);
        assert_int_equal(pair.b.taken_count, 0);
        assert_int_equal(peers_counters(pair.b.peers).bad_frames, 1);
        assert_true(member_is_up(&pair.a, &pair.b));
        pair_close(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_link_and_talk_with_and_without_a_secret),
        cmocka_unit_test(urls_of_another_time_are_dialled_as_the_loop_speaks),
        cmocka_unit_test(two_links_that_cross_become_one_and_stay_one),
        cmocka_unit_test(an_old_hello_on_a_second_link_does_not_count),
        cmocka_unit_test(an_url_that_is_the_member_itself_is_dropped_for_good),
        cmocka_unit_test(a_copied_data_directory_is_refused_with_words),
        cmocka_unit_test(a_hello_goes_out_again_only_when_it_changes),
        cmocka_unit_test(rule_e11_a_refused_member_is_cut_told_and_dialled_slowly),
        cmocka_unit_test(rule_e11_who_is_refused_on_an_accepted_link_dials),
        cmocka_unit_test(secrets_that_differ_are_named_at_both_ends),
        cmocka_unit_test(another_protocol_version_is_named),
        cmocka_unit_test(what_is_no_member_is_named),
        cmocka_unit_test(who_accepts_and_says_nothing_is_given_up_in_time),
        cmocka_unit_test(rule_o1_strangers_are_bounded_and_go_when_their_time_is_up),
        cmocka_unit_test(rule_o1_who_has_not_said_hello_cannot_make_us_keep_pieces),
        cmocka_unit_test(a_bit_flipped_anywhere_in_an_exchange_is_never_taken_for_a_message),
        cmocka_unit_test(replayed_reflected_cut_lost_and_swapped_frames_end_the_link_and_count),
        cmocka_unit_test(a_recorded_link_played_back_is_refused_by_its_secret),
        cmocka_unit_test(rule_e11_a_member_does_not_become_another_in_mid_link),
        cmocka_unit_test(rule_e11_a_message_for_another_member_or_from_one_ends_the_link),
    };
    return cmocka_run_group_tests(tests, quieten_log, NULL);
}
