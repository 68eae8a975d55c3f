#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_loop_internal.h"

#define PLAIN_KEPT_BYTES   1024u        /* of a connection that has nothing to write */
#define SCRATCH_KEPT_BYTES (256u * KIB) /* of the loop */

/* --- going away ------------------------------------------------------------------------------- */

void tls_leave_lists(struct tls_conn *c)
{
    struct tls_loop *l = tls_home(c);
    if (!list_is_empty(&c->under_way)) {
        l->counters.under_way--;
    }
    list_remove(&c->under_way);
    list_remove(&c->ready);
    list_remove(&c->dirty);
    list_remove(&c->resumed);
    l->inner->ops->timer_stop(l->inner, &c->deadline);
}

/* From here on the inner connection only goes away; its on_close frees this one. */
void tls_part(struct tls_conn *c, bool flush)
{
    tls_leave_lists(c);
    c->stage = STAGE_CLOSING;
    c->inner->loop->ops->conn_close(c->inner, flush);
}

/* A connection that its owner has, and TLS ends. */
static void cut(struct tls_conn *c, enum status why)
{
    tls_home(c)->counters.cut++;
    c->why = why;
    tls_part(c, true);
}

/* New files may have revoked who is at the other side. True: it is cut off. */
static bool end_revoked(struct tls_conn *c)
{
    struct tls *tls = tls_home(c)->tls;
    if (c->checked == tls_reloads(tls)) {
        return false;
    }
    c->checked = tls_reloads(tls);
    if (!tls_session_is_revoked(c->session, tls)) {
        return false;
    }
    c->tls.trouble = tls_session_trouble(c->session);
    log_warn("a connection was ended remote=%s: %s", c->base.remote, c->tls.trouble);
    cut(c, STATUS_CLOSED);
    return true;
}

/* --- encrypting ------------------------------------------------------------------------------- */

void tls_send_out(struct tls_conn *c)
{
    struct buf *out = &tls_home(c)->out;
    if (out->size > 0) {
        c->inner->loop->ops->conn_write(c->inner, buf_slice(out));
    }
    buf_clear(out);
    if (out->capacity > SCRATCH_KEPT_BYTES) {
        buf_deinit(out);
    }
}

/* False: the session has failed, and reading will say so. */
static bool seal_bytes(struct tls_conn *c, struct slice bytes)
{
    struct buf *out = &tls_home(c)->out;
    if (tls_session_write(c->session, bytes, out) != STATUS_OK) {
        buf_clear(out);
        return false;
    }
    c->sealed += bytes.size;
    c->sealed_cipher += out->size;
    tls_send_out(c);
    return true;
}

void tls_seal(struct tls_conn *c)
{
    if (c->plain.size > 0 && !end_revoked(c) && !seal_bytes(c, buf_slice(&c->plain))) {
        cut(c, STATUS_CLOSED);
    }
    buf_clear(&c->plain);
    if (c->plain.capacity > PLAIN_KEPT_BYTES) {
        buf_deinit(&c->plain);
    }
}

/* Before it is open, what is written waits. */
static bool takes_writes(const struct tls_conn *c)
{
    return c->stage != STAGE_CLOSING;
}

void tls_conn_write(struct conn *conn, struct slice bytes)
{
    struct tls_conn *c = tls_conn_of(conn);
    if (!takes_writes(c) || bytes.size == 0) {
        return;
    }
    buf_append_slice(&c->plain, bytes);
    if (c->stage == STAGE_OPEN && c->plain.size >= LIMIT_TLS_PLAIN_BYTES) {
        tls_mark_dirty(c); /* so that another turn comes */
        tls_seal(c);
    } else if (c->stage == STAGE_OPEN) {
        tls_mark_dirty(c);
    }
}

void tls_conn_write_owned(struct conn *conn, struct slice bytes, void (*release)(void *owner),
                          void *owner)
{
    struct tls_conn *c = tls_conn_of(conn);
    if (c->stage == STAGE_OPEN && bytes.size > 0) {
        tls_mark_dirty(c);
        tls_seal(c);
        if (c->stage == STAGE_OPEN && !seal_bytes(c, bytes)) {
            cut(c, STATUS_CLOSED);
        }
    } else if (takes_writes(c)) {
        buf_append_slice(&c->plain, bytes);
    }
    if (release != NULL) {
        release(owner);
    }
}

/* Of the encrypted bytes that are unsent, the part that the owner wrote: he compares it with what
 * he has written. */
size_t tls_conn_unsent(const struct conn *conn)
{
    struct tls_conn *c = tls_conn_of(conn);
    if (!takes_writes(c)) {
        return 0;
    }
    size_t unsent = c->plain.size;
    size_t encrypted = c->stage == STAGE_OPEN ? c->inner->loop->ops->conn_unsent(c->inner) : 0;
    if (encrypted == 0) {
        c->sealed = 0;
        c->sealed_cipher = 0;
    } else if (encrypted < c->sealed_cipher) {
        unsent += (size_t)((double)encrypted * (double)c->sealed / (double)c->sealed_cipher);
    } else {
        unsent += (size_t)c->sealed;
    }
    c->owes_drain = c->owes_drain || unsent > 0;
    return unsent;
}

size_t tls_conn_kept(const struct conn *conn)
{
    const struct tls_conn *c = tls_conn_of(conn);
    return c->plain.capacity + c->in.capacity + c->inner->loop->ops->conn_kept(c->inner);
}

void tls_on_drain(struct tls_conn *c)
{
    c->protocol_bytes = 0;
    c->sealed = 0;
    c->sealed_cipher = 0;
    if (c->stage == STAGE_OPEN && c->owes_drain && c->plain.size == 0) {
        c->owes_drain = false;
        if (c->base.events->on_drain != NULL) {
            c->base.events->on_drain(&c->base);
        }
    }
}

void tls_conn_close(struct conn *conn, bool flush)
{
    struct tls_conn *c = tls_conn_of(conn);
    if (c->stage == STAGE_OPEN && flush) {
        tls_seal(c);
    }
    if (c->stage == STAGE_OPEN && flush) {
        tls_session_end(c->session, &tls_home(c)->out);
        tls_send_out(c);
        tls_part(c, true);
    } else {
        tls_part(c, flush && c->stage == STAGE_CLOSING);
    }
}

/* --- decrypting ------------------------------------------------------------------------------- */

/* What the protocol itself had to say. False: too much, as the other side does not listen. */
static bool send_protocol(struct tls_conn *c)
{
    size_t size = tls_home(c)->out.size;
    if (size == 0) {
        return true;
    }
    tls_send_out(c);
    c->protocol_bytes += (uint32_t)size;
    if (c->inner->loop->ops->conn_unsent(c->inner) == size) {
        c->protocol_bytes = (uint32_t)size; /* everything before it has been taken */
    }
    return c->protocol_bytes <= LIMIT_TLS_PROTOCOL_BYTES;
}

/* The other side has said that nothing follows. */
static void end_reading(struct tls_conn *c)
{
    c->has_ended = true;
    buf_deinit(&c->in);
    if (c->base.events->on_end != NULL) {
        c->base.events->on_end(&c->base);
    } else {
        tls_conn_close(&c->base, true);
    }
}

static void read_failed(struct tls_conn *c, enum status status)
{
    c->tls.trouble = tls_session_trouble(c->session);
    /* Who refuses this side's certificate has not listened to anything yet. */
    bool is_refused = status == STATUS_DENIED && !c->has_read;
    tls_home(c)->counters.dials_denied += is_refused && !c->is_accepted ? 1 : 0;
    cut(c, is_refused ? STATUS_UNREACHABLE : STATUS_CLOSED);
}

/* Until nothing is left of `in`, or its owner wants no more for now: the rest is kept. */
void tls_read_plain(struct tls_conn *c, struct slice in)
{
    struct tls_loop *l = tls_home(c);
    if (c->stage == STAGE_OPEN && end_revoked(c)) {
        return;
    }
    while (c->stage == STAGE_OPEN && !c->is_paused && !c->has_ended) {
        size_t size;
        enum status status =
            tls_session_read(c->session, &in, l->plain, sizeof(l->plain), &size, &l->out);
        if (!send_protocol(c)) {
            c->why = STATUS_CLOSED;
            tls_part(c, false);
        } else if (status == STATUS_OK) {
            c->has_read = true;
            c->base.events->on_data(&c->base, slice_of(l->plain, size));
        } else if (status == STATUS_BUSY) {
            break;
        } else if (status == STATUS_CLOSED) {
            end_reading(c);
        } else {
            read_failed(c, status);
        }
    }
    if (c->stage == STAGE_OPEN && c->is_paused && !c->has_ended) {
        buf_append_slice(&c->in, in);
    }
    /* A FIN, but not the word for it: somebody may have cut off what was to follow. */
    if (c->stage == STAGE_OPEN && c->has_fin && !c->has_ended && !c->is_paused) {
        cut(c, STATUS_CLOSED);
    }
}

void tls_resume(struct tls_conn *c)
{
    struct buf in = c->in;
    c->in = (struct buf){0};
    tls_read_plain(c, buf_slice(&in));
    buf_deinit(&in);
}

void tls_conn_pause(struct conn *conn, bool paused)
{
    struct tls_conn *c = tls_conn_of(conn);
    bool was_paused = c->is_paused;
    c->is_paused = paused;
    if (c->stage != STAGE_OPEN) {
        return;
    }
    c->inner->loop->ops->conn_pause(c->inner, paused);
    if (was_paused && !paused && (c->in.size > 0 || c->has_fin)) {
        list_remove(&c->resumed);
        list_push_back(&tls_home(c)->resumed, &c->resumed);
        tls_turn_again(tls_home(c));
    }
}
