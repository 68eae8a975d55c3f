/* load/load_link.h - a connection under load and its clients, over either protocol: a request goes
 * out, an answer that was checked or an error comes back. When to ask, and what to count, is for
 * load_run.c. */
#pragma once

#include "base/list.h"
#include "load/load_requests.h"
#include "net/grpc_client.h"
#include "net/http_exchange.h"
#include "net/loop.h"

struct load_link;

/* A client: one request under way at a time; or a stream on which watches are told. */
struct load_lane {
    struct load_link *link;
    struct load_request request; /* the owner's, while it is not busy */
    uint64_t intended_us;        /* the owner's: when it was meant to be sent */
    struct list idle;            /* the owner's */
    uint32_t watches;            /* the owner's: to be made, asked for, there */
    uint32_t watches_asked;
    uint32_t watches_made;
    bool is_busy;
    /* The rest is written by load_link.c only. */
    bool has_message;
    bool is_late; /* it was given up, and the end of its call is still to come */
    uint64_t deadline_us;
    const char *wrong; /* what is wrong with the message */
    struct load_answer answer;
    struct grpc_client_call call;
};

/* Never out of a function of this header. The lane is not busy any more, and may ask again in
 * them. */
struct load_link_events {
    void (*on_open)(struct load_link *link);
    void (*on_answer)(struct load_lane *lane, const struct load_answer *a);
    /* `kind` is static or borrowed, `text` borrowed. */
    void (*on_error)(struct load_lane *lane, const char *kind, struct slice text);
    void (*on_watch)(struct load_lane *lane, struct slice message);
    /* After the errors of what was under way. It may be dialled again. */
    void (*on_down)(struct load_link *link, bool was_open, const char *text);
};

struct load_link {
    const struct load_plan *plan;
    const struct url *server;
    struct loop *loop;
    struct grpc_client *grpc; /* NULL: HTTP */
    const struct load_link_events *events;
    void *context; /* the owner's */
    struct load_lane *lanes;
    uint32_t lane_count; /* 1 with HTTP */
    bool is_watching;
    bool is_open;
    bool is_dialling;
    uint64_t down_from_us; /* the owner's */
    uint64_t revision;     /* the highest that was told on this connection */
    struct grpc_client_conn *conn;
    struct http_exchange *exchange;
    struct buf headers; /* of HTTP requests */
};

/* The caller has set the first eight; makes the lanes. */
void load_link_init(struct load_link *link, uint32_t lane_count);
/* After the loop has ended, or before anything was dialled. */
void load_link_deinit(struct load_link *link);
/* It is neither open nor being dialled. on_open or on_down follows. */
void load_link_dial(struct load_link *link);
/* Send lane->request. False: the connection takes no more, on_down follows or has been told. */
bool load_lane_ask(struct load_lane *lane, uint64_t now_us);
/* One message on the lane's watch stream, which begins with the first. The same. */
bool load_lane_watch(struct load_lane *lane, struct slice message);
/* Give up what waits for too long: it is an error now. */
void load_link_expire(struct load_link *link, uint64_t now_us);
