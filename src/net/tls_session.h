/* net/tls_session.h - one side of one TLS connection, over memory: encrypted bytes in and out,
 * plain bytes in and out. Knows no sockets and no loop; who drives it moves the bytes and bounds
 * the time.
 *
 * `in` is what came and was not looked at yet; it is advanced over what was used. `out` gets what
 * must be sent, appended, also when a function fails (an alert tells the other side why). */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "net/loop.h"
#include "net/tls.h"

struct tls_session;

/* Plain bytes of one record. */
#define TLS_RECORD_BYTES 16384u

struct tls_session *tls_session_accept(struct tls *t);
/* `host` is whom the certificate must be for, a name or an address; `protocol` is offered (ALPN):
 * "http/1.1", "h2" or LOOP_PEER_PROTOCOL. */
struct tls_session *tls_session_dial(struct tls *t, const char *host, const char *protocol);
void tls_session_destroy(struct tls_session *s);

/* OK: done. BUSY: more is needed from the other side. DENIED: one side does not believe the
 * other's certificate. CORRUPT: anything else that went wrong; after either, tls_session_trouble
 * says what. */
enum status MUST_CHECK tls_session_handshake(struct tls_session *s, struct slice *in,
                                             struct buf *out);
/* At most `room` plain bytes. OK: *size of them, more than 0. BUSY: no more for now, and `in` is
 * empty. CLOSED: the other side has said that nothing follows. DENIED, CORRUPT as above. */
enum status MUST_CHECK tls_session_read(struct tls_session *s, struct slice *in, uint8_t *bytes,
                                        size_t room, size_t *size, struct buf *out);
/* All of it, in records of up to TLS_RECORD_BYTES. CORRUPT: the session has failed before. */
enum status MUST_CHECK tls_session_write(struct tls_session *s, struct slice bytes,
                                         struct buf *out);
/* Say that nothing follows. Reading may go on. */
void tls_session_end(struct tls_session *s, struct buf *out);

/* After the handshake: is what the other side has shown revoked, by what was read from the files
 * since? tls_session_trouble says so, then. Anything else that may have changed does not count. */
bool tls_session_is_revoked(struct tls_session *s, struct tls *t);

/* Who is there, after the handshake; borrowed for the session's life. */
const struct conn_tls *tls_session_peer(const struct tls_session *s);
/* Why it failed, in words that name the certificate; empty = it has not. */
const char *tls_session_trouble(const struct tls_session *s);
