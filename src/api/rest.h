/* api/rest.h - what the files of this room share: the api itself, a request that waits, answers.
 *
 * A handler gets a request whose path and method match and whose query parameters are known. It
 * either answers at once (answer_*) or makes a struct call that lives until the node has said its
 * word or the client is gone. */
#pragma once

#include "api/api.h"
#include "api/auth.h"
#include "api/dispatch.h"
#include "api/json_writer.h"
#include "api/query.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "net/grpc.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a value in a log line; the rest is cut. */
#define LOGGED_BYTES 1024

#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_HTML "text/html; charset=utf-8"

struct feed;
struct root_reset;
struct watchers;

/* Headers of every answer that stay the same for long, and what they were made of. */
struct steady_headers {
    struct buf text;
    uint64_t term;
    struct uuid cluster;
};

/* The header that etcd's answers begin with, as protobuf, and what it says: the same until the
 * store's next revision (etcd_grpc.c). */
struct packed_header {
    uint64_t cluster;
    uint64_t member;
    uint64_t revision;
    uint64_t term;
    size_t size; /* 0 = none was packed yet */
    uint8_t bytes[64];
};

struct api {
    struct api_options options;
    char *cors_origin; /* owned; NULL = no CORS headers */
    struct http_handler handler;
    const struct http_server *http; /* borrowed, may be NULL */
    const struct grpc_server *grpc; /* the same */
    struct auth_door *auth;         /* owned */
    struct root_reset *root_reset;  /* owned; NULL = none is wanted */
    uint64_t peers_refused;         /* for want of a member's certificate */
    uint64_t peers_refused_ms;      /* when that was logged */
    struct auth_caller caller;      /* of the request being handed to its handler */
    struct list calls;              /* requests that wait */
    struct list etcd_calls;         /* of the etcd v3 API (etcd_call.h) */
    struct pool etcd_memory;        /* of their structs and arenas */
    struct list etcd_reads;         /* that wait for the next turn (etcd_kv.c) */
    struct list etcd_key_reads;     /* the same, of one key each: they go first */
    struct timer etcd_reads_timer;  /* the next turn, while etcd_reads_wait */
    bool etcd_reads_wait;           /* a long answer was made in this one */
    bool etcd_keys_were_long;       /* so that the others go first in the next one */
    struct grpc_handler grpc_handler;
    struct buf packed; /* the protobuf answer in the making */
    struct packed_header packed_header;
    struct buf out; /* the answer in the making */
    struct steady_headers steady;
    /* What the answer in the making tells of, when that may be more than this member has. */
    uint64_t told_revision;
    struct node_status status; /* scratch of api_status */
    struct timer load_timer;
    uint64_t load_requests; /* count at load_at_ms */
    uint64_t load_at_ms;
    double requests_per_second;
    struct feed *feed;         /* of /live and /events */
    struct watchers *watchers; /* of /watch */
    struct dispatcher dispatcher;
};

/* The member's state now. Borrowed until the next call of this. */
const struct node_status *api_status(struct api *api);
uint64_t api_revision(const struct api *api);
/* Open connections of clients, of HTTP/1 and gRPC. */
uint32_t api_connections(const struct api *api);
/* An id for a lease, by chance: positive in 64 bits with a sign, as etcd's are. */
uint64_t api_new_lease(struct api *api);

/* --- a request that waits (answer.c) ---------------------------------------------------------- */

/* First member of a handler's own struct. Ends when its request is answered (any answer_*), or when
 * the client is gone. */
struct call {
    struct api *api;
    struct http_request *http;
    struct list link;
    struct auth_caller caller; /* who asks: api->caller when it began */
    /* Give up whatever is awaited and free the whole struct. */
    void (*destroy)(struct call *c);
};

void call_begin(struct call *c, struct api *api, struct http_request *http,
                void (*destroy)(struct call *c));
/* Destroy the call; its request stays unanswered. For streams, and for what this room shares. */
void call_end(struct call *c);

/* --- who asks, while auth is on (rest_auth.c) ------------------------------------------------- */

/* A web page of another site made the browser send this. */
bool api_is_foreign(const struct api *api, const struct http_request *r);

typedef void rest_go_on(struct api *api, struct http_request *r, const void *route);
/* Find out by its headers who sends the request, and go on with api->caller being that, or nobody;
 * perhaps later. If he is not who he says, answers 401 (429 when too many passwords wait,
 * or too many were wrong). */
void rest_identify(struct api *api, struct http_request *r, rest_go_on *go_on, const void *route);
/* True when it is ALLOWED; else answers 401 or 403. */
bool rest_allows(struct api *api, struct http_request *r, enum auth_verdict verdict);

/* --- answers (answer.c) ----------------------------------------------------------------------- */

/* Every answer ends the call that waited for it: nothing of its struct may be used afterwards, and
 * `body` may not be part of it. */
void answer_bytes(struct http_request *r, int http_status, const char *content_type,
                  const char *headers, struct slice body);

/* A JSON object in api->out, begun, with names as --json-case says for this request. One answer is
 * made at a time. */
struct json_writer answer_begin(struct api *api, const struct http_request *r);
/* End the object and send it. `headers` as in http_answer. */
void answer_send(struct http_request *r, int http_status, const char *headers,
                 struct json_writer *w);

/* `{"error":` + error + `}`, or with one more field. */
void answer_error(struct api *api, struct http_request *r, int http_status, const char *error);
void answer_error_reason(struct api *api, struct http_request *r, int http_status,
                         const char *error, const char *reason);
/* 503 for what will pass: a client is told when to ask again. */
void answer_later(struct api *api, struct http_request *r, const char *error, const char *reason,
                  uint32_t seconds);
/* The header of an answer that tells of a key at `revision`: "ETag: \"12\"\r\n". */
#define ETAG_HEADER_BYTES 40
void etag_header(uint64_t revision, char header[ETAG_HEADER_BYTES]);
/* 404 of rows A8 and A10. */
void answer_key_not_found(struct api *api, struct http_request *r, struct slice key);
/* 400 for what query_* refused. */
void answer_bad_query(struct api *api, struct http_request *r, const struct query *q);
/* Begun with error, currentRole, leaderId (or "Unknown") and leaderUrl if known. */
struct json_writer answer_begin_not_leader(struct api *api, const struct http_request *r,
                                           const char *error);
/* Of the member with that id, by what this one knows; "Unknown" for one that is gone. */
const char *api_member_name(struct api *api, uint64_t id);
/* Path and query as they came, without the first `skip` bytes: what a Location goes on with. The
 * target itself may be http://host/path. */
struct slice path_and_query(const struct http_request *r, size_t skip);
/* A plain failure by its status. */
void answer_status(struct api *api, struct http_request *r, enum status status);

/* --- answers of any length (stream.c) --------------------------------------------------------- */

/* Printed as fast as the client reads: a piece of about STREAM_PIECE_BYTES (and one value) at a
 * time, and none while the connection is full. First member of a handler's own struct; zeroed, then
 * `print` is set. */
#define STREAM_PIECE_BYTES (32u * KIB)
struct stream {
    struct call call;
    struct json_writer writer; /* into `piece` */
    struct buf piece;
    /* Print until the piece has STREAM_PIECE_BYTES. OK: there is more to print; NOT_FOUND: that was
     * the end; anything else: the answer can't go on, and is cut off for the client to see. */
    enum status (*print)(struct stream *s);
};
/* `call` is begun. Nothing is printed yet; the writer may be used from here on. */
void stream_init(struct stream *s, enum status (*print)(struct stream *s));
/* Answer 200 with what was printed and what `print` will print. The stream may be gone when this
 * returns. `headers` as in http_answer. */
void stream_begin(struct stream *s, const char *headers);
/* For the call's `destroy`. */
void stream_deinit(struct stream *s);

/* --- documents (rest_documents.c) ------------------------------------------------------------- */

/* What a client knows a document by: its revision in hexadecimal, so that ids sort by age. */
#define DOCUMENT_ID_SIZE 17
void document_id_print(uint64_t revision, char id[DOCUMENT_ID_SIZE]);
/* The fields of a document, without the object around them. */
void document_print(struct json_writer *w, uint64_t revision, struct slice content,
                    uint64_t time_ms);

/* --- reads: ?consistency= and ?revision= (consistency.c) -------------------------------------- */

/* Set what the parameters say in *read and *revision (0 = now). False: answered with the reason. */
bool read_params_parse(struct api *api, struct http_request *r, struct query *q,
                       struct node_read *read, uint64_t *revision);
/* A read that did not come to be: NOT_LEADER, NO_QUORUM, BEHIND ... */
void answer_read_failed(struct api *api, struct http_request *r, enum status status);
/* COMPACTED or FUTURE. */
void answer_bad_revision(struct api *api, struct http_request *r, enum status status);

/* --- writes (write_answer.c) ------------------------------------------------------------------ */

/* `?ack=`, or what this member was told to take. False: answered 400. */
bool write_ack_parse(struct api *api, struct http_request *r, struct query *q, enum node_ack *ack);
/* Who leads, if anybody: `error` and what helps, or the way there, as --on-follower says. */
void answer_not_leader(struct api *api, struct http_request *r, int http_status, const char *error);
/* Any write that did not come to be or is not known to have, but for what its kind says of its key
 * (NOT_FOUND, CONFLICT). */
void answer_write_failed(struct api *api, struct http_request *r, const struct node_write *write,
                         enum status status);

/* --- keys (key_path.c) ------------------------------------------------------------------------ */

/* The key of a path that begins with "/key/", decoded, appended to `key`. False: answered 400. */
bool key_of_path(struct api *api, struct http_request *r, struct buf *key);

/* --- GET /watch (rest_watch.c) ---------------------------------------------------------------- */

struct watchers *watchers_create(struct api *api);
/* All streams must be gone. */
void watchers_destroy(struct watchers *all);

/* --- members, for /cluster, /live and /events (rest_status.c) --------------------------------- */

/* Whoever leads the highest term of those surveyed, or NULL. */
const struct node_survey_item *survey_leader(const struct node_survey_item *items, uint32_t count);
/* The fields of a member. `leader`: of the same survey, for the lag; NULL = unknown. */
void survey_print_member(struct json_writer *w, const struct node_survey_item *item,
                         const struct node_survey_item *leader);
/* The fields of `load`, without the object around them. */
void print_load(struct json_writer *w, const struct api *api);

/* --- handlers, by file ------------------------------------------------------------------------ */

#define REST_HANDLER(name) void name(struct api *api, struct http_request *r, struct query *q)

REST_HANDLER(rest_key_get);
REST_HANDLER(rest_key_put);
REST_HANDLER(rest_key_delete);
REST_HANDLER(rest_keys);
REST_HANDLER(rest_write);
REST_HANDLER(rest_txn);
REST_HANDLER(rest_read);
REST_HANDLER(rest_status);
REST_HANDLER(rest_cluster);
REST_HANDLER(rest_leader);
REST_HANDLER(rest_ping);
REST_HANDLER(rest_version);
REST_HANDLER(rest_step_down);
REST_HANDLER(rest_election);
REST_HANDLER(rest_members_get);
REST_HANDLER(rest_members_add);
REST_HANDLER(rest_member_remove);
REST_HANDLER(rest_member_change);
REST_HANDLER(rest_snapshot);
REST_HANDLER(rest_replication);
REST_HANDLER(rest_log);
REST_HANDLER(rest_faults_get);
REST_HANDLER(rest_faults_set);
REST_HANDLER(rest_faults_clear);
REST_HANDLER(rest_metrics);
REST_HANDLER(rest_live);
REST_HANDLER(rest_events);
REST_HANDLER(rest_watch);
REST_HANDLER(rest_dispatch);
REST_HANDLER(rest_root);
REST_HANDLER(etcd_gateway);
REST_HANDLER(probe_livez);
REST_HANDLER(probe_readyz);
REST_HANDLER(probe_health);
