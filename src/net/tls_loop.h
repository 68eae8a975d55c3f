/* net/tls_loop.h - a loop around another one: what it listens for and what dial_tls dials is
 * encrypted, and its owners see connections as any others. Timers, work and plain dials are the
 * inner loop's, and conns of those, too.
 *
 * An accepted connection is handed on when its handshake is done. Its first byte tells whether it
 * is TLS at all; who speaks HTTP without is told so, in plain HTTP. Handshakes are bounded in
 * number, in time, and in how many may take the processor in one turn (base/limits.h).
 *
 * Plain bytes that are written in one turn are encrypted at its end. A FIN without the word that
 * ends a TLS stream is no end but a cut: on_close, never on_end. */
#pragma once

#include "net/loop.h"
#include "net/tls.h"

/* Both must outlive it. */
struct loop *tls_loop_create(struct loop *inner, struct tls *tls);
/* After the inner loop has ended, or before anything was listened for or dialled. */
void tls_loop_destroy(struct loop *l);

struct loop *tls_loop_inner(const struct loop *l);

struct tls_counters {
    uint64_t accepted;     /* handshakes that were done */
    uint64_t denied;       /* ended by a certificate: theirs for us, or ours for them */
    uint64_t broken;       /* ended by anything else that was said, or by a cut */
    uint64_t plain;        /* spoke without TLS */
    uint64_t late;         /* not done in LIMIT_TLS_HANDSHAKE_MS */
    uint64_t crowded_out;  /* made room for newer ones, at LIMIT_TLS_HANDSHAKES */
    uint64_t dials_denied; /* of ours */
    uint64_t dials_broken;
    uint64_t cut;       /* open connections that ended without the word for it */
    uint32_t under_way; /* accepted ones whose handshake is not done */
};
struct tls_counters tls_loop_counters(const struct loop *l);
