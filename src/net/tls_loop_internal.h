/* net/tls_loop_internal.h - what tls_loop.c (the loop around the other one), tls_handshake.c
 * (connections on their way up) and tls_conn.c (open ones) share. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "net/tls_loop.h"
#include "net/tls_session.h"

struct tls_loop {
    struct loop base; /* first */
    struct loop *inner;
    struct tls *tls;
    void (*on_accept)(void *context, struct conn *c);
    void *accept_context;
    void (*hook)(void *context);
    void *hook_context;
    struct list under_way; /* accepted ones whose handshake is not done, the oldest first */
    struct list ready;     /* of these, who wait for the processor */
    struct list dirty;     /* conns with something to encrypt */
    struct list resumed;   /* conns that may go on with what came while they were paused */
    struct timer again;    /* another turn is needed */
    uint32_t turn_handshakes;
    uint32_t conn_count;
    uint64_t warned_ms;
    uint64_t unwarned; /* since then */
    struct tls_counters counters;
    struct buf out; /* encrypted, during a call */
    uint8_t plain[TLS_RECORD_BYTES];
};

enum stage {
    STAGE_DIALLING,  /* TCP */
    STAGE_SNIFFING,  /* accepted, and nothing has come */
    STAGE_HANDSHAKE, /* there is a session from here on */
    STAGE_OPEN,
    STAGE_CLOSING /* conn_close of the inner one was called */
};

struct tls_conn {
    struct conn base; /* first */
    struct conn *inner;
    struct tls_session *session;
    struct conn_tls tls;
    enum stage stage;
    enum status why; /* for on_close, if we know better than the inner loop */
    struct list under_way;
    struct list ready;
    struct list dirty;
    struct list resumed;
    struct timer deadline;   /* of the handshake */
    struct buf in;           /* encrypted, that nobody could look at yet */
    struct buf plain;        /* written, not encrypted yet */
    uint64_t sealed;         /* plain bytes encrypted since the kernel had taken everything, */
    uint64_t sealed_cipher;  /* and how many they became */
    uint64_t checked;        /* tls_reloads() of when the other side was last believed */
    uint32_t protocol_bytes; /* the same, of what was written by protocol alone */
    bool is_accepted;
    bool is_told;   /* its owner knows it: on_accept or dial */
    bool is_paused; /* by its owner */
    bool has_ended; /* the other side has said that nothing follows */
    bool has_fin;   /* and that was TCP */
    bool has_read;  /* something was handed to its owner */
    bool owes_drain;
};

static inline struct tls_loop *tls_loop_of(const struct loop *l)
{
    return (struct tls_loop *)(void *)(uintptr_t)l;
}

static inline struct tls_conn *tls_conn_of(const struct conn *c)
{
    return (struct tls_conn *)(void *)(uintptr_t)c;
}

static inline struct tls_loop *tls_home(const struct tls_conn *c)
{
    return tls_loop_of(c->base.loop);
}

static inline uint64_t tls_now_ms(const struct tls_loop *l)
{
    return l->inner->ops->now_ms(l->inner);
}

/* --- tls_loop.c ------------------------------------------------------------------------------- */

/* Another turn comes without waiting for the outside. */
void tls_turn_again(struct tls_loop *l);
/* The same, which encrypts what this one has written. */
void tls_mark_dirty(struct tls_conn *c);

/* --- tls_handshake.c -------------------------------------------------------------------------- */

/* The handshake is not done and will not be. `trouble` lives as long as the conn. */
void tls_fail_handshake(struct tls_conn *c, uint64_t *counter, const char *trouble, bool flush);
void tls_start_deadline(struct tls_conn *c);
/* With what has come so far. */
void tls_step_handshake(struct tls_conn *c);
/* One that was accepted and has bytes: it is its turn. */
void tls_take_turn(struct tls_conn *c);
/* Bytes of one that is not open yet. */
void tls_collect(struct tls_conn *c, struct slice data);

/* --- tls_conn.c ------------------------------------------------------------------------------- */

/* No timer and no list has it any more. */
void tls_leave_lists(struct tls_conn *c);
/* From here on the inner connection only goes away; its on_close frees this one. */
void tls_part(struct tls_conn *c, bool flush);
/* What is encrypted goes to the inner connection. */
void tls_send_out(struct tls_conn *c);
/* Encrypt what was written. */
void tls_seal(struct tls_conn *c);
void tls_on_drain(struct tls_conn *c);
/* Until nothing is left of `in`, or its owner wants no more for now: the rest is kept. */
void tls_read_plain(struct tls_conn *c, struct slice in);
/* The same with what was kept. */
void tls_resume(struct tls_conn *c);
void tls_conn_write(struct conn *conn, struct slice bytes);
void tls_conn_write_owned(struct conn *conn, struct slice bytes, void (*release)(void *owner),
                          void *owner);
size_t tls_conn_unsent(const struct conn *conn);
size_t tls_conn_kept(const struct conn *conn);
void tls_conn_pause(struct conn *conn, bool paused);
void tls_conn_close(struct conn *conn, bool flush);
