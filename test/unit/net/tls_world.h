/* Two sides that speak TLS over loops without a kernel: what one sends is carried to the other in
 * pieces, until nobody has anything to say. What happened is in `log`, a letter each; the client's
 * in capitals: o(pen), e(nd), d(rain), c(losed). */
#pragma once

#include "fake_loop.h"
#include "net/tls_loop.h"
#include "tls_files.h"

struct tls_side {
    struct fake_loop fake;
    struct loop *loop;
    struct tls *tls;
    struct fake_conn *below; /* what the TLS stands on */
    struct conn *conn;       /* NULL: its owner has none */
    size_t carried;          /* of below->sent */
    struct buf got;
    enum status why;
    char trouble[512];
    bool is_ended_too; /* answers the other side's end with its own */
};

struct tls_world {
    struct tls_files files;
    struct tls_side client;
    struct tls_side server;
    char log[64];
    size_t logged;
    size_t piece;         /* bytes that travel at a time */
    const char *protocol; /* of dials */
};

/* The server shows "node" and believes "ca"; the client shows `name` (NULL = nothing), believes
 * `ca`. */
void tls_world_start(struct tls_world *w, enum tls_client_auth client_auth, const char *name,
                     const char *ca);
/* The same with options of any kind, whose files are named without folder and ending. */
void tls_world_start_with(struct tls_world *w, const struct tls_options *server,
                          const struct tls_options *client);
/* The world's files, for what is made before tls_world_start_with or changed while it runs. */
void tls_world_begin(struct tls_world *w);
void tls_world_finish(struct tls_world *w);
/* The client dials `host`; it is connected, and nothing has travelled yet. */
void tls_world_dial(struct tls_world *w, const char *host);
/* Until nothing travels any more. */
void tls_world_run(struct tls_world *w);
/* Both. */
void tls_world_connect(struct tls_world *w, const char *host);
void tls_side_say(struct tls_side *s, const char *text);
bool tls_side_has(const struct tls_side *s, const char *text);
struct tls_counters tls_side_count(const struct tls_side *s);
