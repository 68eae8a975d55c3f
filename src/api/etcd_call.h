/* api/etcd_call.h - one call of the etcd v3 API, however it came: as gRPC, or as JSON to the
 * gateway.
 *
 * A service is a file with a table of its methods (struct etcd_service), listed in
 * etcd_services.c. A handler sees protobuf-c structs only. It embeds struct etcd_call as the first
 * member of its own:
 *
 *     struct range_call { struct etcd_call call; struct node_read read; bool waits; };
 *
 *     static void start_range(struct etcd_call *call)       // .start, .call_size = sizeof(...)
 *     {
 *         const Etcdserverpb__RangeRequest *request = (const void *)call->request;
 *         ...
 *         call->destroy = destroy_range;                     // only if there is something to undo
 *     }
 *
 * One request, one answer: `start` is called with call->request, and answers at once or later, by
 * etcd_answer or etcd_fail. One request, many answers: any number of etcd_reply, then etcd_finish.
 * Many requests (.client_streams): `start` is called with call->request NULL and sets on_message
 * and, if it wants to know, on_half_close.
 *
 * Whatever ends the call - etcd_answer, etcd_finish, etcd_fail, the client's going away, its
 * deadline, the end of the api - calls `destroy` once. After that, and so after each of those three
 * functions, the call and what its arena gave must not be touched any more. */
#pragma once

#include "api/etcd_error.h"
#include "api/proto/etcd_rpc.pb-c.h"
#include "base/arena.h"
#include "base/blob.h"
#include "base/list.h"
#include "base/slice.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What clients take this for: they choose the newest ways that it knows. */
#define ETCD_SERVER_VERSION  "3.5.16"
#define ETCD_CLUSTER_VERSION "3.5.0"

struct api;
struct audit_note;
struct etcd_call;
struct grpc_stream;
struct http_request;

/* --- the table of methods --------------------------------------------------------------------- */

#define ETCD_ROUTES_MAX 3

/* Who may call it while auth is on (etcd_access.h). What says nothing is for root. */
enum etcd_access {
    ETCD_FOR_ROOT,
    ETCD_FOR_ADMIN, /* auth.h has these two offices */
    ETCD_FOR_BACKUP,
    ETCD_FOR_PERMITTED, /* the handler asks whether he is */
    ETCD_FOR_USERS,     /* whoever has said who he is */
    ETCD_FOR_ALL,
};

struct etcd_method {
    const char *path; /* of gRPC: "/etcdserverpb.KV/Range" */
    const char
        *routes[ETCD_ROUTES_MAX]; /* of the gateway, behind "/v3": "/kv/range"; always POST */
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    bool client_streams;
    bool server_streams;
    enum etcd_access access;
    bool reads;       /* changes nothing: only a refusal is for the audit log */
    size_t call_size; /* of the handler's struct, whose first member is the call; it is zeroed */
    void (*start)(struct etcd_call *call);
};

struct etcd_service {
    const struct etcd_method *methods;
    size_t count;
};
/* One a file, by name: etcd_kv.c has etcd_kv_service. */
extern const struct etcd_service etcd_auth_service;
extern const struct etcd_service etcd_cluster_service;
extern const struct etcd_service etcd_election_service;
extern const struct etcd_service etcd_kv_service;
/* Before any call. */
void etcd_reads_init(struct api *api);
extern const struct etcd_service etcd_lease_service;
extern const struct etcd_service etcd_lock_service;
extern const struct etcd_service etcd_maintenance_service;
extern const struct etcd_service etcd_watch_service;

/* NULL: there is none. `path` is that of gRPC; `is_service_known`: of another method. */
const struct etcd_method *etcd_method_of_path(struct slice path, bool *is_service_known);
/* `route` is what is behind "/v3" in the gateway's path. */
const struct etcd_method *etcd_method_of_route(struct slice route);

/* --- a call ----------------------------------------------------------------------------------- */

struct etcd_call {
    struct api *api; /* borrowed, with node and loop in api->options */
    const struct etcd_method *method;
    /* Of method->request; valid as long as the call. NULL when client_streams. */
    const ProtobufCMessage *request;
    /* Goes with the call. For what a handler builds and a long request needs; a long stream must
     * not take from it with each message. */
    struct arena arena;

    /* The handler's, all NULL at first. */
    /* One more request of the stream, valid during the call only. */
    void (*on_message)(struct etcd_call *call, const ProtobufCMessage *message);
    /* The client sends no more. NULL: then the stream is finished. */
    void (*on_half_close)(struct etcd_call *call);
    /* etcd_wants_more was false, and is true again. */
    void (*on_writable)(struct etcd_call *call);
    /* It has ended: cancel what waits, free what is not in the arena. Not the struct itself. */
    void (*destroy)(struct etcd_call *call);

    /* The frame's own. */
    struct list link;          /* of api->etcd_calls */
    size_t request_bytes;      /* gRPC: as they came; packed anew they are no more */
    struct grpc_stream *grpc;  /* one of these two is there */
    struct http_request *http; /* of the gateway */
    struct slice rest;         /* gateway, client_streams: what was not read yet of the body */
    uint32_t messages;         /* likewise: that were read */
    struct audit_note *note;   /* for the audit log; NULL: it is not told */
    unsigned entered;          /* the frame is inside of it, and frees it afterwards */
    bool ended;                /* nothing more is called, and it goes soon */
    bool held;                 /* etcd_hold_messages */
    bool begun;                /* gateway: the head of a streamed answer has left */
    bool half_closed;          /* the handler was told, or the stream finished */
};

/* --- answers ---------------------------------------------------------------------------------- */

/* The whole answer to a call without server_streams. `message` is of method->response, and is
 * packed before this returns: it may borrow from the store. */
void etcd_answer(struct etcd_call *call, const ProtobufCMessage *message);
/* One answer of a stream. The call lives on: when the connection broke, `destroy` is called later,
 * not inside this. */
void etcd_reply(struct etcd_call *call, const ProtobufCMessage *message);
/* The same, from packed pieces that together are one message of method->response, such as a head
 * and events that were encoded once for many watches. gRPC copies `head` and refers to `shared` as
 * long as it needs it; the gateway makes JSON of both. */
void etcd_reply_shared(struct etcd_call *call, struct slice head, struct blob *shared);
/* An answer as protobuf. Borrowed until the next answer is packed. */
struct slice etcd_pack(struct api *api, const ProtobufCMessage *message);
/* The stream ends well. */
void etcd_finish(struct etcd_call *call);
void etcd_fail(struct etcd_call *call, enum etcd_error error);
/* A text of our own; copied. */
void etcd_fail_text(struct etcd_call *call, enum grpc_code code, const char *text);

/* --- flow ------------------------------------------------------------------------------------- */

/* False: a stream stops producing until on_writable. */
bool etcd_wants_more(const struct etcd_call *call);
/* No on_message (nor on_half_close) until it is released: for one that answers each message before
 * it takes the next. A release may call on_message before it returns, and whatever that
 * leads to. */
void etcd_hold_messages(struct etcd_call *call, bool held);

/* --- what the client told besides ------------------------------------------------------------- */

/* Metadata of that name in lower case; the gateway's headers are `Grpc-Metadata-NAME`. data == NULL
 * when there is none. Borrowed as long as the call. */
struct slice etcd_metadata(const struct etcd_call *call, const char *name);
/* Of Authenticate: metadata `token`, or `authorization`; the gateway's header `Authorization`. */
struct slice etcd_token(const struct etcd_call *call);
/* How it came; NULL: the client is gone. */
const struct conn *etcd_conn(const struct etcd_call *call);
/* Does the request take more than `size` bytes as protobuf, whichever way it came? */
bool etcd_request_exceeds(const struct etcd_call *call, size_t size);
/* `hasleader: true`: the call is to end with NO_LEADER when this member has none. */
bool etcd_requires_leader(const struct etcd_call *call);

/* --- what answers carry ----------------------------------------------------------------------- */

/* cluster_id, member_id and raft_term of now, and the revision given. Initialises it. */
void etcd_header_at(struct api *api, uint64_t revision, Etcdserverpb__ResponseHeader *header);
/* With the store's revision of now. */
void etcd_header(struct api *api, Etcdserverpb__ResponseHeader *header);
