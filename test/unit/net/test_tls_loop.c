/* TLS around a loop: who gets in, who does not and is told why, and that a connection under it is
 * like any other. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "tls_world.h"

#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void expect_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, text);
    }
}

/* --- who gets in ------------------------------------------------------------------------------ */

static void bytes_cross_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 65536};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct tls_world w;
        tls_world_start(&w, TLS_CLIENT_REQUIRE, "node", "ca");
        w.piece = pieces[i];
        tls_world_dial(&w, "node");
        tls_side_say(&w.client, "written before it is open, "); /* and sent when it is */
        tls_world_run(&w);
        assert_string_equal(w.log, "Oo");
        tls_side_say(&w.client, "and after");
        tls_side_say(&w.server, "an answer");
        tls_world_run(&w);
        assert_true(tls_side_has(&w.server, "written before it is open, and after"));
        assert_true(tls_side_has(&w.client, "an answer"));
        assert_int_equal(tls_side_count(&w.server).accepted, 1);
        assert_int_equal(tls_side_count(&w.server).under_way, 0);
        assert_null(memmem(w.client.below->sent.data, w.client.below->sent.size, "written", 7));
        tls_world_finish(&w);
    }
}

static void the_certificate_says_who_is_there(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *peer_name;
        bool is_member;
    } table[] = {{"node", "node", true}, {"alice", "alice", false}, {NULL, NULL, false}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct tls_world w;
        tls_world_start(&w, TLS_CLIENT_OPTIONAL, table[i].name, "ca");
        tls_world_connect(&w, "127.0.0.1");
        const struct conn_tls *who = w.server.conn->tls;
        assert_true((who->peer_name == NULL) == (table[i].peer_name == NULL));
        if (who->peer_name != NULL) {
            assert_string_equal(who->peer_name, table[i].peer_name);
        }
        assert_int_equal(who->is_member, table[i].is_member);
        assert_string_equal(w.client.conn->tls->peer_name, "node");
        tls_world_finish(&w);
    }
}

static void who_is_not_asked_shows_nothing(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, "stranger", "ca");
    tls_world_connect(&w, "node");
    assert_null(w.server.conn->tls->peer_name);
    assert_false(w.server.conn->tls->is_member);
    tls_world_finish(&w);
}

/* --- who does not ----------------------------------------------------------------------------- */

static void bad_certificates_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name; /* what the client shows */
        const char *ca;   /* what it believes */
        const char *host; /* whom it dials */
        const char *trouble;
        const char *reason;
    } table[] = {
        {NULL, "ca", "node", "wants a certificate", "certificate required"},
        {"stranger", "ca", "node", "this side's certificate, CN=stranger (/tmp/", "unknown ca"},
        {"node", "other-ca", "node", "the other side's certificate, CN=node",
         "unable to get local issuer certificate"},
        {"node", "ca", "127.0.0.2", "CN=node, is not for 127.0.0.2", "it is for node, 127.0.0.1"},
        {"node", "ca", "elsewhere", "CN=node, is not for elsewhere", "it is for node, 127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct tls_world w;
        tls_world_start(&w, TLS_CLIENT_REQUIRE, table[i].name, table[i].ca);
        tls_world_connect(&w, table[i].host);
        assert_null(w.client.conn);
        assert_int_equal(w.client.why, STATUS_UNREACHABLE);
        expect_text(w.client.trouble, table[i].trouble);
        expect_text(w.client.trouble, table[i].reason);
        struct tls_counters n = tls_side_count(&w.server);
        assert_int_equal(n.denied, 1);
        assert_int_equal(n.accepted, 0);
        assert_null(w.server.conn); /* its owner never heard of it */
        assert_int_equal(tls_side_count(&w.client).dials_denied, 1);
        tls_world_finish(&w);
    }
}

static void sleep_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void a_certificate_that_has_run_out_is_refused(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_REQUIRE, "node", "ca");
    tls_files_renew(&w.files, "node", "ca", true, 1);
    char *detail = NULL;
    assert_int_equal(tls_refresh(w.client.tls, &detail), STATUS_OK);
    sleep_ms(1200);
    tls_world_connect(&w, "node");
    assert_null(w.client.conn);
    expect_text(w.client.trouble, "CN=node");
    expect_text(w.client.trouble, "expired");
    assert_int_equal(tls_side_count(&w.server).denied, 1);
    tls_world_finish(&w);
}

/* What the server says to `bytes` on a new connection. */
static struct fake_conn *say_raw(struct tls_world *w, const char *bytes)
{
    struct fake_conn *c = fake_loop_accept(&w->server.fake);
    fake_conn_feed(c, slice_str(bytes));
    return c;
}

static void who_speaks_without_tls_is_told(void **state)
{
    (void)state;
    static const char *const table[] = {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n", "x"};
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    for (uint32_t i = 0; i < 3; i++) {
        struct fake_conn *c = say_raw(&w, table[i]);
        static const char begin[] = "HTTP/1.1 400 ";
        static const char end[] = "\r\n\r\n{\"error\":\"This port speaks TLS only: use https\"}";
        assert_memory_equal(c->sent.data, begin, sizeof(begin) - 1);
        assert_memory_equal(c->sent.data + c->sent.size - (sizeof(end) - 1), end, sizeof(end) - 1);
        assert_true(c->is_closed && c->was_flushed);
        assert_int_equal(tls_side_count(&w.server).plain, i + 1);
    }
    tls_world_finish(&w);
}

static void noise_in_the_handshake_ends_it(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    struct fake_conn *c = say_raw(&w, "\x16\x03\x01\x01\x01not a hello");
    fake_loop_turn(&w.server.fake);
    assert_false(c->is_closed); /* it could still become one */
    char noise[300];
    memset(noise, 'x', sizeof(noise));
    fake_conn_feed(c, slice_of(noise, sizeof(noise)));
    fake_loop_turn(&w.server.fake);
    assert_true(c->is_closed);
    assert_int_equal(tls_side_count(&w.server).broken, 1);
    tls_world_finish(&w);
}

static void a_server_without_tls_is_found_out(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_dial(&w, "node");
    fake_conn_feed(w.client.below, slice_str("HTTP/1.1 400 Bad Request\r\n\r\n"));
    fake_loop_turn(&w.client.fake);
    assert_int_equal(w.client.why, STATUS_UNREACHABLE);
    expect_text(w.client.trouble, "does not speak TLS");
    tls_world_finish(&w);
}

/* --- handshakes are bounded ------------------------------------------------------------------- */

static void a_slow_handshake_is_broken_off(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    struct fake_conn *silent = fake_loop_accept(&w.server.fake);
    struct fake_conn *slow = say_raw(&w, "\x16\x03\x01");
    tls_world_dial(&w, "node"); /* nobody answers */
    fake_loop_pass(&w.server.fake, LIMIT_TLS_HANDSHAKE_MS - 1000, 1000);
    fake_conn_feed(slow, slice_str("\x01")); /* to dribble does not help */
    assert_false(silent->is_closed || slow->is_closed);
    fake_loop_pass(&w.server.fake, 2000, 1000);
    assert_true(silent->is_closed && slow->is_closed && !slow->was_flushed);
    assert_int_equal(tls_side_count(&w.server).late, 3);
    fake_loop_pass(&w.client.fake, LIMIT_TLS_HANDSHAKE_MS + 1000, 1000);
    assert_null(w.client.conn);
    expect_text(w.client.trouble, "in time");
    tls_world_finish(&w);
}

static void of_too_many_handshakes_the_oldest_goes(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    struct fake_conn *oldest = fake_loop_accept(&w.server.fake);
    struct fake_conn *next = fake_loop_accept(&w.server.fake);
    for (uint32_t i = 2; i < LIMIT_TLS_HANDSHAKES; i++) {
        fake_loop_accept(&w.server.fake);
    }
    assert_false(oldest->is_closed);
    tls_world_dial(&w, "node");
    assert_true(oldest->is_closed);
    assert_false(next->is_closed);
    struct tls_counters n = tls_side_count(&w.server);
    assert_int_equal(n.under_way, LIMIT_TLS_HANDSHAKES);
    assert_int_equal(n.crowded_out, 1);
    tls_world_run(&w); /* the one that goes on gets in */
    assert_non_null(w.server.conn);
    assert_int_equal(tls_side_count(&w.server).under_way, LIMIT_TLS_HANDSHAKES - 1);
    tls_world_finish(&w);
}

static void a_turn_has_so_many_handshakes(void **state)
{
    (void)state;
    enum { COUNT = 3 * LIMIT_TLS_HANDSHAKES_TURN + 1 };
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    struct fake_conn *conns[COUNT];
    tls_world_dial(&w, "node");
    for (uint32_t i = 0; i < COUNT; i++) {
        conns[i] = fake_loop_accept(&w.server.fake);
        fake_conn_feed(conns[i], buf_slice(&w.client.below->sent)); /* a hello */
    }
    for (uint32_t turn = 1; turn <= 4; turn++) {
        uint32_t answered = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            answered += conns[i]->sent.size > 0;
        }
        uint32_t expected = turn * LIMIT_TLS_HANDSHAKES_TURN;
        assert_int_equal(answered, expected < COUNT ? expected : COUNT);
        fake_loop_turn(&w.server.fake);
        if (turn == 1) {
            fake_loop_turn(&w.server.fake); /* the timer was started in the turn before */
        }
    }
    tls_world_finish(&w);
}

static void who_has_been_answered_goes_before_new_ones(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_dial(&w, "node");
    struct buf hello = {0};
    buf_append_slice(&hello, buf_slice(&w.client.below->sent));
    fake_conn_feed(w.server.below, buf_slice(&hello));
    fake_conn_feed(w.client.below, buf_slice(&w.server.below->sent));
    size_t at = hello.size; /* behind it is what ends the handshake */
    fake_loop_turn(&w.server.fake);
    for (uint32_t i = 0; i < 4 * LIMIT_TLS_HANDSHAKES_TURN; i++) {
        fake_conn_feed(fake_loop_accept(&w.server.fake), buf_slice(&hello));
    }
    fake_conn_feed(w.server.below,
                   slice_of(w.client.below->sent.data + at, w.client.below->sent.size - at));
    assert_null(w.server.conn);
    fake_loop_turn(&w.server.fake);
    fake_loop_turn(&w.server.fake);
    assert_non_null(w.server.conn);
    assert_true(tls_side_count(&w.server).under_way >= LIMIT_TLS_HANDSHAKES_TURN);
    buf_deinit(&hello);
    tls_world_finish(&w);
}

static void what_waits_for_its_turn_is_bounded(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_dial(&w, "node");
    struct fake_conn *c = NULL;
    for (uint32_t i = 0; i <= LIMIT_TLS_HANDSHAKES_TURN; i++) {
        c = fake_loop_accept(&w.server.fake);
        fake_conn_feed(c, buf_slice(&w.client.below->sent));
    }
    char noise[4096] = {0};
    for (uint32_t i = 0; i < 2 * LIMIT_TLS_HANDSHAKE_BYTES / sizeof(noise); i++) {
        fake_conn_feed(c, slice_of(noise, sizeof(noise)));
    }
    assert_true(c->is_paused);
    assert_true(c->held.size >= LIMIT_TLS_HANDSHAKE_BYTES - sizeof(noise)); /* in the kernel */
    tls_world_finish(&w);
}

/* --- a client that is none of ours ------------------------------------------------------------ */

/* What it has to say goes to the server, and what that answers comes back. */
static void carry_raw(struct tls_world *w, SSL *ssl, struct fake_conn *c, size_t *carried)
{
    char bytes[4096];
    int size;
    while ((size = BIO_read(SSL_get_wbio(ssl), bytes, sizeof(bytes))) > 0) {
        fake_conn_feed(c, slice_of(bytes, (size_t)size));
    }
    fake_loop_turn(&w->server.fake);
    size = (int)(c->sent.size - *carried);
    assert_int_equal(BIO_write(SSL_get_rbio(ssl), c->sent.data + *carried, size), size);
    *carried = c->sent.size;
}

static void who_asks_for_new_keys_and_reads_nothing_is_cut(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    struct fake_conn *c = fake_loop_accept(&w.server.fake);
    size_t carried = 0;
    for (int i = 0; i < 3; i++) {
        SSL_do_handshake(ssl);
        carry_raw(&w, ssl, c, &carried);
    }
    assert_true(SSL_is_init_finished(ssl));
    uint32_t asked[2] = {0, 0}; /* by one that reads, and one that does not */
    for (int is_stuck = 0; is_stuck < 2; is_stuck++) {
        c->is_stuck = is_stuck == 1;
        while (asked[is_stuck] < 2000 && !c->is_closed) {
            asked[is_stuck]++;
            assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
            assert_int_equal(SSL_do_handshake(ssl), 1);
            size_t lost = 0;
            carry_raw(&w, ssl, c, is_stuck == 1 ? &lost : &carried);
        }
    }
    assert_int_equal(asked[0], 2000);
    assert_true(c->is_closed && asked[1] < 1000);
    assert_true(c->sent.size - carried < 2 * LIMIT_TLS_PROTOCOL_BYTES);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    tls_world_finish(&w);
}

/* --- like any other connection ---------------------------------------------------------------- */

static void an_end_is_no_cut_and_writing_goes_on(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    tls_side_say(&w.client, "a question");
    w.client.loop->ops->conn_close(w.client.conn, true);
    tls_world_run(&w);
    assert_true(w.client.below->was_flushed);
    assert_string_equal(w.log, "OoeC");
    assert_true(tls_side_has(&w.server, "a question"));
    size_t before = w.server.below->sent.size;
    tls_side_say(&w.server, "an answer");
    fake_loop_turn(&w.server.fake);
    assert_true(w.server.below->sent.size > before + 9);
    fake_conn_end(w.server.below); /* the FIN says nothing new */
    w.server.loop->ops->conn_close(w.server.conn, true);
    fake_loop_turn(&w.server.fake);
    assert_string_equal(w.log, "OoeCc");
    assert_int_equal(tls_side_count(&w.server).cut, 0);
    tls_world_finish(&w);
}

static void a_fin_alone_is_a_cut(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    fake_conn_end(w.server.below);
    fake_loop_turn(&w.server.fake);
    assert_string_equal(w.log, "Ooc");
    assert_int_equal(w.server.why, STATUS_CLOSED);
    assert_int_equal(tls_side_count(&w.server).cut, 1);
    tls_world_finish(&w);
}

static void a_cut_is_judged_after_what_came_before_it(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    w.server.loop->ops->conn_pause(w.server.conn, true);
    tls_side_say(&w.client, "late");
    tls_world_run(&w);
    w.server.below->is_paused = false; /* as if it had been on its way */
    fake_loop_turn(&w.server.fake);
    fake_conn_end(w.server.below);
    fake_loop_turn(&w.server.fake);
    assert_string_equal(w.log, "Oo");
    w.server.loop->ops->conn_pause(w.server.conn, false);
    assert_true(tls_side_has(&w.server, "")); /* never inside a call */
    fake_loop_turn(&w.server.fake);
    fake_loop_turn(&w.server.fake);
    assert_true(tls_side_has(&w.server, "late"));
    assert_string_equal(w.log, "Ooc");
    tls_world_finish(&w);
}

static void damage_on_the_way_ends_it(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    tls_side_say(&w.client, "a question");
    fake_loop_turn(&w.client.fake);
    w.client.below->sent.data[w.client.below->sent.size - 1] ^= 1;
    tls_world_run(&w);
    assert_true(tls_side_has(&w.server, ""));
    assert_null(w.server.conn);
    assert_int_equal(tls_side_count(&w.server).cut, 1);
    tls_world_finish(&w);
}

static void a_reset_is_passed_on(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    w.client.loop->ops->conn_close(w.client.conn, false);
    assert_true(w.client.below->is_closed && !w.client.below->was_flushed);
    tls_side_say(&w.client, "into the void");
    fake_conn_reset(w.server.below);
    fake_loop_turn(&w.client.fake);
    assert_string_equal(w.log, "OocC");
    tls_world_finish(&w);
}

static void unsent_is_what_its_owner_wrote_and_a_drain_follows(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    const struct loop_ops *ops = w.server.loop->ops;
    assert_int_equal(ops->conn_unsent(w.server.conn), 0);
    w.server.below->is_stuck = true;
    static uint8_t much[300000];
    size_t written = 0;
    for (uint32_t i = 0; i < 7; i++) {
        ops->conn_write(w.server.conn, slice_of(much, 1000 + 40000 * i));
        written += 1000 + 40000 * i;
        size_t unsent = ops->conn_unsent(w.server.conn);
        assert_true(unsent <= written && unsent + 7 >= written); /* but for a byte by rounding */
        fake_loop_turn(&w.server.fake);
    }
    assert_string_equal(w.log, "Oo");
    w.server.below->is_stuck = false;
    fake_loop_turn(&w.server.fake);
    assert_string_equal(w.log, "Ood");
    assert_int_equal(ops->conn_unsent(w.server.conn), 0);
    tls_world_run(&w);
    assert_int_equal(w.client.got.size, written);
    tls_world_finish(&w);
}

static uint32_t released;

static void release(void *owner)
{
    (void)owner;
    released++;
}

static void much_crosses_both_ways_with_pauses(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    const struct loop_ops *ops = w.server.loop->ops;
    static uint8_t bytes[100003];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    }
    struct buf expected = {0};
    released = 0;
    for (uint32_t i = 0; i < 40; i++) {
        buf_append(&expected, bytes, sizeof(bytes));
        ops->conn_write_owned(w.server.conn, slice_of(bytes, 100), release, NULL);
        ops->conn_write(w.server.conn, slice_of(bytes + 100, sizeof(bytes) - 100));
        ops->conn_write(w.client.conn, slice_of(bytes, 50000));
        ops->conn_write_owned(w.client.conn, slice_of(bytes + 50000, sizeof(bytes) - 50000),
                              release, NULL);
        ops->conn_pause(w.client.conn, i % 3 == 1);
        ops->conn_pause(w.server.conn, i % 4 == 2);
        tls_world_run(&w);
    }
    ops->conn_pause(w.client.conn, false);
    ops->conn_pause(w.server.conn, false);
    tls_world_run(&w);
    assert_int_equal(released, 80);
    assert_true(slice_equal(buf_slice(&w.client.got), buf_slice(&expected)));
    assert_true(slice_equal(buf_slice(&w.server.got), buf_slice(&expected)));
    buf_deinit(&expected);
    tls_world_finish(&w);
}

static void both_ends_may_close_at_once(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_NONE, NULL, "ca");
    tls_world_connect(&w, "node");
    w.client.is_ended_too = true;
    tls_side_say(&w.server, "bye");
    w.server.loop->ops->conn_close(w.server.conn, true);
    tls_world_run(&w);
    assert_true(tls_side_has(&w.client, "bye"));
    assert_string_equal(w.log, "OocEC");
    tls_world_finish(&w);
}

/* --- files ------------------------------------------------------------------------------------ */

static void new_files_are_for_new_connections(void **state)
{
    (void)state;
    struct tls_world w;
    tls_world_start(&w, TLS_CLIENT_REQUIRE, "node", "ca");
    char *detail = NULL;
    assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_BUSY);
    tls_world_connect(&w, "node");
    struct conn *old = w.server.conn;
    tls_files_renew(&w.files, "node", "other-ca", true, 0); /* key and certificate */
    assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_OK);
    assert_int_equal(tls_reloads(w.server.tls), 1);
    tls_side_say(&w.client, "still here");
    tls_world_run(&w);
    assert_true(tls_side_has(&w.server, "still here"));
    old->loop->ops->conn_close(old, false);
    fake_loop_turn(&w.server.fake);
    fake_conn_reset(w.client.below);
    tls_world_connect(&w, "node"); /* this client does not believe the other CA */
    assert_null(w.client.conn);
    expect_text(w.client.trouble, "CN=node");
    tls_world_finish(&w);
}

static void spoil(struct tls_files *f, const char *name)
{
    FILE *out = fopen(tls_files_path(f, name), "we");
    assert_non_null(out);
    fputs("nonsense", out);
    fclose(out);
}

static void bad_files_keep_the_old_ones(void **state)
{
    (void)state;
    static const char *const files[] = {"node.crt", "node.key", "ca.crt"};
    for (uint32_t i = 0; i < 3; i++) {
        struct tls_world w;
        tls_world_start(&w, TLS_CLIENT_REQUIRE, "node", "ca");
        spoil(&w.files, files[i]);
        char *detail = NULL;
        assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_INVALID);
        expect_text(detail, files[i]);
        mem_free(detail);
        assert_int_equal(tls_refresh(w.server.tls, &detail), STATUS_BUSY); /* said once */
        assert_int_equal(tls_reload_failures(w.server.tls), 1);
        tls_world_connect(&w, "node");
        assert_non_null(w.server.conn);
        tls_world_finish(&w);
    }
}

static void files_are_checked_at_the_start(void **state)
{
    (void)state;
    struct tls_files f;
    tls_files_make(&f);
    static const struct {
        const char *cert;
        const char *key;
        const char *ca;
        const char *why;
    } table[] = {
        {"nowhere.crt", "node.key", "ca.crt", "nowhere.crt cannot be read: No such file"},
        {"node.crt", "nowhere.key", "ca.crt", "nowhere.key cannot be read: No such file"},
        {"node.crt", "alice.key", "ca.crt", "alice.key is not the key of the certificate in"},
        {"node.key", "node.key", "ca.crt", "node.key is no PEM file with certificates"},
        {"node.crt", "node.crt", "ca.crt", "node.crt is no PEM file with a private key"},
        {"node.crt", "node.key", "node.key", "node.key is no PEM file with certificates"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct tls_options o = {.cert = tls_files_path(&f, table[i].cert),
                                      .key = tls_files_path(&f, table[i].key),
                                      .ca = tls_files_path(&f, table[i].ca)};
        struct tls *tls = NULL;
        char *detail = NULL;
        assert_int_equal(tls_create(&o, &tls, &detail), STATUS_INVALID);
        expect_text(detail, table[i].why);
        mem_free(detail);
    }
    tls_files_renew(&f, "node", "ca", true, -5); /* ran out */
    assert_null(tls_files_load(&f, "node", "ca", TLS_CLIENT_NONE));
    tls_files_remove(&f);
}

static void files_are_told_with_subject_and_end(void **state)
{
    (void)state;
    struct tls_files f;
    tls_files_make(&f);
    struct tls *tls = tls_files_load(&f, "node", "ca", TLS_CLIENT_NONE);
    struct tls_certificate list[TLS_CERTIFICATES_MAX];
    assert_int_equal(tls_certificates(tls, list), 2);
    assert_string_equal(list[0].subject, "CN=node");
    assert_string_equal(list[1].subject, "CN=ca");
    expect_text(list[0].file, "/node.crt");
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    int64_t left_s = list[0].expires_s - (int64_t)now.tv_sec;
    assert_true(left_s > 29 * 86400 && left_s <= 30 * 86400);
    tls_destroy(tls);
    tls_files_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_cross_in_pieces_of_any_size),
        cmocka_unit_test(the_certificate_says_who_is_there),
        cmocka_unit_test(who_is_not_asked_shows_nothing),
        cmocka_unit_test(bad_certificates_are_refused_by_name),
        cmocka_unit_test(a_certificate_that_has_run_out_is_refused),
        cmocka_unit_test(who_speaks_without_tls_is_told),
        cmocka_unit_test(noise_in_the_handshake_ends_it),
        cmocka_unit_test(a_server_without_tls_is_found_out),
        cmocka_unit_test(a_slow_handshake_is_broken_off),
        cmocka_unit_test(of_too_many_handshakes_the_oldest_goes),
        cmocka_unit_test(a_turn_has_so_many_handshakes),
        cmocka_unit_test(who_has_been_answered_goes_before_new_ones),
        cmocka_unit_test(what_waits_for_its_turn_is_bounded),
        cmocka_unit_test(who_asks_for_new_keys_and_reads_nothing_is_cut),
        cmocka_unit_test(an_end_is_no_cut_and_writing_goes_on),
        cmocka_unit_test(a_fin_alone_is_a_cut),
        cmocka_unit_test(a_cut_is_judged_after_what_came_before_it),
        cmocka_unit_test(damage_on_the_way_ends_it),
        cmocka_unit_test(a_reset_is_passed_on),
        cmocka_unit_test(unsent_is_what_its_owner_wrote_and_a_drain_follows),
        cmocka_unit_test(much_crosses_both_ways_with_pauses),
        cmocka_unit_test(both_ends_may_close_at_once),
        cmocka_unit_test(new_files_are_for_new_connections),
        cmocka_unit_test(bad_files_keep_the_old_ones),
        cmocka_unit_test(files_are_checked_at_the_start),
        cmocka_unit_test(files_are_told_with_subject_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
