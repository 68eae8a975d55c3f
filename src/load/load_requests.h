/* load/load_requests.h - what a client asks, as bytes of gRPC (etcd's v3 API) or of our HTTP, and
 * whether an answer is right. Knows nothing of connections. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "load/load_keys.h"
#include "load/load_plan.h"
#include "net/http_client.h"

/* Of the transactions that put all keys first. */
#define LOAD_PREFILL_PUTS  100
#define LOAD_PREFILL_BYTES (1u * MIB)

enum load_ask {
    LOAD_ASK_PUT,
    LOAD_ASK_RANGE,
    LOAD_ASK_SERIALIZABLE,
    LOAD_ASK_TXN,
    LOAD_ASK_GRANT,
    LOAD_ASK_KEEPALIVE,
};

/* One request of one client; its buffers are used again. Zero-initialised is empty. */
struct load_request {
    enum load_ask ask;
    const char *path;   /* gRPC: "/etcdserverpb.KV/Put" */
    const char *method; /* HTTP */
    struct buf target;  /* HTTP, zero-terminated */
    struct buf body;    /* the message of gRPC, the body of HTTP */
    struct buf key;     /* the one of a read, as it is spelled */
    uint32_t puts;      /* of a transaction */
    uint64_t lease;
    /* The highest revision that its connection had seen when it was sent; set by who sends it. */
    uint64_t floor;
};
void load_request_deinit(struct load_request *r);

/* Makes them, one after another, for all clients. */
struct load_maker {
    const struct load_plan *plan;
    struct load_keys keys;
    struct rng rng;   /* which operation, which bytes */
    struct buf pool;  /* values are cut out of it */
    struct buf inner; /* scratch */
    struct buf outer; /* scratch */
    uint64_t *leases; /* granted, lease_count of plan->leases */
    uint32_t lease_count;
    uint32_t lease_next;
    uint64_t prefilled; /* keys that were asked for */
};
void load_maker_init(struct load_maker *m, const struct load_plan *plan);
void load_maker_deinit(struct load_maker *m);

/* The next one that is measured. `now_us` is what a put for watchers says of itself. */
void load_make(struct load_maker *m, struct load_request *r, uint64_t now_us);
/* The next one of the transactions that put all keys; false: all are put. */
bool load_make_prefill(struct load_maker *m, struct load_request *r);
void load_make_grant(struct load_request *r);
/* The message that begins a watch on all keys of the plan. */
void load_make_watch(const struct load_plan *plan, struct buf *message);

struct load_answer {
    uint64_t revision; /* of the store, as the answer's header says */
    bool is_miss;      /* a read found no key, and none had to be there */
    uint64_t lease;    /* granted */
};

/* NULL: it is right, and *a is filled; otherwise what is wrong with it, static. */
const char *load_check_message(const struct load_plan *plan, const struct load_request *r,
                               struct slice message, struct load_answer *a);
/* The same of an HTTP answer whose code is 2xx, or 404 for a read. */
const char *load_check_reply(const struct load_plan *plan, const struct load_request *r,
                             const struct http_reply *reply, struct load_answer *a);

/* What came on a watch. */
struct load_watch_news {
    bool is_created;
    bool is_canceled;
    uint32_t events;
    uint64_t revision;
};
/* `tell` is called for each event with the time in its value; 0: there is none in it. */
const char *load_read_watch(struct slice message, struct load_watch_news *news,
                            void (*tell)(void *context, uint64_t put_us), void *context);
