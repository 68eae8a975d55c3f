/* client/client.h - the client the verbs use: several endpoints, the leader found by itself, and
 * repeats only where they are safe.
 *
 * One blocking request at a time. The rules (consensus.md K1, K3):
 *   - An outcome is ok, definitely not done, or unknown. Nothing else is guessed.
 *   - A read may be repeated. A write is repeated only when it was definitely not done: the
 *     connection never came about, or the answer says so (503 "Not the leader", "No quorum", 429).
 *     One that was cut off after sending, or answered "Outcome unknown", is never sent again:
 *     STATUS_UNKNOWN.
 *   - Everything ends at one deadline a call.
 * An answer's leaderUrl is followed; where it cannot be reached, the given endpoints are tried in
 * turn. With several endpoints a write is sent only to a member that has just said that it
 * leads. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/status.h"
#include "net/http_client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

struct client_options {
    const char *const *endpoints; /* http://host:port; copied; at least one */
    uint32_t endpoint_count;      /* <= LIMIT_MEMBERS */
    uint32_t timeout_ms;          /* of a whole call */
};

struct client_request {
    const char *method;
    const char *target;  /* "/key/a%20b?ack=all" */
    const char *headers; /* further header lines, CRLF after each, or NULL */
    const char *token;   /* of Authenticate, or NULL: asks as the process does (identity.h) */
    struct slice body;
    bool is_write; /* changes something: never repeated when its outcome is unknown */
    /* NULL = none. Takes the body of a 2xx answer, however long (net/http_client.h); then the
     * timeout is that of a silence. An answer that broke off after its first piece is not asked for
     * again: TIMEOUT, or IO when the sink wanted no more. */
    const struct http_sink *sink;
    /* 0 = none. Readable: the caller wants no more, and the call ends with IO at once, or within
     * the pause before another attempt; UNREACHABLE if that was not connected yet. */
    int cancel_fd;
};

/* What came back last; zero-initialised is empty and valid, freed by client_answer_deinit. */
struct client_answer {
    int http_status;                 /* 0: nobody answered */
    uint64_t revision;               /* of the store, when it answered; 0 = not told */
    char node[LIMIT_NAME_BYTES + 1]; /* the member that answered; empty = not told */
    struct buf body;
    char url[LIMIT_URL_BYTES]; /* who was asked last */
    char error[256];           /* the answer's "error", or what the connection met; may be empty */
    json_t *json;              /* the body, when it is JSON; NULL otherwise */
    bool is_sunk;              /* the sink got something */
};
void client_answer_deinit(struct client_answer *a);
/* A string member of the answer, or NULL; "leaderUrl" is also found as "leader_url". Borrowed from
 * the answer. */
const char *client_answer_string(const struct client_answer *a, const char *name);
struct slice client_answer_text(const struct client_answer *a);

struct client *client_create(const struct client_options *options);
void client_destroy(struct client *c);

/* Do what the request says. OK: a 2xx answer. NOT_FOUND, CONFLICT, COMPACTED, INVALID, TOO_LARGE,
 * DENIED, NO_SPACE, UNSUPPORTED (the server does not know the request), IO: what the answer says,
 * not repeated. NOT_LEADER, NO_QUORUM, BEHIND, OVERLOADED: so until the deadline; nothing was done.
 * UNKNOWN, NOT_CONFIRMED: see above. TIMEOUT: a read got no answer. UNREACHABLE: no endpoint takes
 * connections. */
enum status MUST_CHECK client_call(struct client *c, const struct client_request *r,
                                   struct client_answer *a);

/* One request to one address, nothing followed or repeated; statuses as above, CLOSED when the
 * connection was cut, TIMEOUT after `timeout_ms`. */
enum status MUST_CHECK client_ask(const char *url, const struct client_request *r,
                                  uint32_t timeout_ms, struct client_answer *a);

/* An answer that says that nobody, or nobody who is known, asked: what to say to a person about it
 * is in client_explain. */
bool client_is_unidentified(const struct client_answer *a);

/* What went wrong in an answer that client_call or client_ask refused, for a person: a new string,
 * which says whether anything was written. */
char *client_explain(enum status status, const struct client_request *r,
                     const struct client_answer *a);

/* Append `bytes` percent-encoded; '/' stays when `keep_slash`. */
void client_append_encoded(struct buf *out, struct slice bytes, bool keep_slash);

uint64_t client_now_ms(void);
void client_sleep_ms(uint32_t ms);
