#include "base/log.h"
#include "net/tls_loop_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define RECORD_HANDSHAKE 0x16 /* the first byte of TLS */
#define WARN_EVERY_MS    1000

/* --- it fails --------------------------------------------------------------------------------- */

/* Strangers make these lines: one in a second. */
static void warn_of_failure(struct tls_conn *c, const char *trouble)
{
    struct tls_loop *l = tls_home(c);
    uint64_t now = tls_now_ms(l);
    if (l->warned_ms != 0 && now < l->warned_ms + WARN_EVERY_MS) {
        l->unwarned++;
        return;
    }
    log_warn("a connection was refused remote=%s unlogged=%" PRIu64 ": %s", c->base.remote,
             l->unwarned, trouble);
    l->warned_ms = now;
    l->unwarned = 0;
}

/* The handshake is not done and will not be. `trouble` lives as long as the conn. */
void tls_fail_handshake(struct tls_conn *c, uint64_t *counter, const char *trouble, bool flush)
{
    ++*counter;
    c->tls.trouble = trouble;
    c->why = STATUS_UNREACHABLE;
    if (c->is_accepted) {
        warn_of_failure(c, trouble);
    }
    tls_part(c, flush);
}

static void on_deadline(struct timer *t)
{
    struct tls_conn *c = t->context;
    struct tls_counters *n = &tls_home(c)->counters;
    tls_fail_handshake(c, c->is_accepted ? &n->late : &n->dials_broken,
                       "the TLS handshake was not done in time", false);
}

void tls_start_deadline(struct tls_conn *c)
{
    struct tls_loop *l = tls_home(c);
    c->deadline = (struct timer){.fire = on_deadline, .context = c};
    l->inner->ops->timer_start(l->inner, &c->deadline, tls_now_ms(l) + LIMIT_TLS_HANDSHAKE_MS);
}

/* --- it goes on ---------------------------------------------------------------------------- */

static void on_done(struct tls_conn *c)
{
    struct tls_loop *l = tls_home(c);
    tls_leave_lists(c);
    c->stage = STAGE_OPEN;
    c->tls = *tls_session_peer(c->session);
    if (c->is_accepted) {
        l->counters.accepted++;
        c->is_told = true;
        l->on_accept(l->accept_context, &c->base);
    } else {
        c->base.events->on_open(&c->base);
    }
    if (c->stage != STAGE_OPEN) {
        return;
    }
    if (c->plain.size > 0) {
        tls_mark_dirty(c); /* written while it dialled */
    }
    c->inner->loop->ops->conn_pause(c->inner, c->is_paused);
    tls_resume(c);
}

/* With what has come so far. */
void tls_step_handshake(struct tls_conn *c)
{
    struct tls_loop *l = tls_home(c);
    struct slice in = buf_slice(&c->in);
    enum status status = tls_session_handshake(c->session, &in, &l->out);
    tls_send_out(c);
    buf_consume(&c->in, c->in.size - in.size);
    if (status == STATUS_OK) {
        on_done(c);
    } else if (status == STATUS_BUSY) {
        c->inner->loop->ops->conn_pause(c->inner, false);
    } else {
        bool is_denied = status == STATUS_DENIED;
        struct tls_counters *n = &l->counters;
        uint64_t *counter = c->is_accepted ? (is_denied ? &n->denied : &n->broken)
                                           : (is_denied ? &n->dials_denied : &n->dials_broken);
        tls_fail_handshake(c, counter, tls_session_trouble(c->session), true);
    }
}

/* One that was accepted and has bytes: it is its turn. */
void tls_take_turn(struct tls_conn *c)
{
    struct tls_loop *l = tls_home(c);
    l->turn_handshakes++;
    if (c->stage == STAGE_SNIFFING) {
        c->checked = tls_reloads(l->tls);
        c->session = tls_session_accept(l->tls);
        c->stage = STAGE_HANDSHAKE;
    }
    tls_step_handshake(c);
}

static void refuse_plain(struct tls_conn *c)
{
    static const char body[] = "{\"error\":\"This port speaks TLS only: use https\"}";
    char head[160];
    snprintf(head, sizeof(head),
             "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
             "Connection: close\r\nContent-Length: %zu\r\n\r\n",
             sizeof(body) - 1);
    c->inner->loop->ops->conn_write(c->inner, slice_str(head));
    c->inner->loop->ops->conn_write(c->inner, slice_str(body));
    tls_fail_handshake(c, &tls_home(c)->counters.plain, "it does not speak TLS", true);
}

void tls_collect(struct tls_conn *c, struct slice data)
{
    struct tls_loop *l = tls_home(c);
    if (c->stage == STAGE_SNIFFING && c->in.size == 0 && data.data[0] != RECORD_HANDSHAKE) {
        refuse_plain(c);
        return;
    }
    buf_append_slice(&c->in, data);
    if (!c->is_accepted) {
        tls_step_handshake(c);
    } else if (!list_is_empty(&c->ready)) {
        if (c->in.size >= LIMIT_TLS_HANDSHAKE_BYTES) {
            c->inner->loop->ops->conn_pause(c->inner, true);
        }
    } else if (list_is_empty(&l->ready) && l->turn_handshakes < LIMIT_TLS_HANDSHAKES_TURN) {
        tls_take_turn(c);
    } else {
        /* Who has been answered has done some work, too, and goes before a flood of hellos. */
        if (c->stage == STAGE_HANDSHAKE) {
            list_push_front(&l->ready, &c->ready);
        } else {
            list_push_back(&l->ready, &c->ready);
        }
        tls_turn_again(l);
    }
}
