/* fake_internal.h - what fake_world.c (time, processes, events) and fake_conn.c (connections)
 * share. */
#pragma once

#include "fake_world.h"

#include "base/buf.h"
#include "base/list.h"
#include "net/timer_heap.h"

#define FAKE_HOSTS_MAX    40
#define FAKE_KERNEL_BYTES (1024 * 1024)

struct fake_process {
    struct loop base;
    struct fake_world *world;
    struct list node;
    char host[64];
    uint32_t host_index;
    uint16_t port; /* 0 = does not listen */
    void (*on_accept)(void *context, struct conn *c);
    void *accept_context;
    void (*turn_hook)(void *context);
    void *turn_context;
    struct timer_heap timers; /* by this process's clock */
    struct list conns;
    struct rng random; /* what it gets from its operating system */
    struct rng net;    /* delays and sizes of what it sends */
    struct rng disk;   /* how long its work takes */
    uint64_t last_work_ms;
    uint64_t work_delay_ms; /* on top */
    uint32_t short_works;   /* what it was allowed to run on its loop; none does here */
    /* Its clock: local_ms at world_ms, and from there by `permille` of true time. */
    uint64_t clock_world_ms;
    uint64_t clock_local_ms;
    uint32_t permille;
    int64_t wall_offset_ms;
    uint32_t works_half_done; /* run, and not told yet */
    bool owes_turn;           /* events came, and the turn that they share has not ended */
    bool frozen;
    bool stalled;
    bool dead;
};

struct fake_conn {
    struct conn base;
    struct list node; /* of its process, or of the graveyard */
    struct fake_process *loop;
    struct fake_conn *other; /* NULL until it is connected */
    char host[64];
    uint16_t port;
    struct buf out;           /* what was written */
    size_t out_taken;         /* ... from its start, by the kernel */
    size_t under_way;         /* taken, and not arrived */
    uint64_t last_arrival_ms; /* of what this end sent */
    bool told_unsent;
    bool closing; /* conn_close was called */
    bool flushing;
    bool gone; /* on_close was called */
};

enum event_kind {
    EVENT_DIAL,
    EVENT_OPEN,
    EVENT_ACCEPT,
    EVENT_DATA,
    EVENT_FIN,
    EVENT_DRAIN,
    EVENT_CLOSE,
    EVENT_WORK,
    EVENT_DONE,
    EVENT_CALL
};

struct event {
    uint64_t at_ms;
    uint64_t order;
    enum event_kind kind;
    struct fake_conn *conn; /* to whom */
    struct work *work;
    void (*call)(void *context);
    void *call_context;
    struct fake_process *loop; /* whose process it is for; NULL = the network's */
    enum status why;
    struct buf data;
};

struct fake_world {
    struct fake_options options;
    struct rng rng;
    uint64_t now_ms;
    uint64_t order;
    struct event **heap; /* by (at_ms, order) */
    size_t heap_count;
    size_t heap_capacity;
    struct event **held; /* until something is healed */
    size_t held_count;
    size_t held_capacity;
    struct list loops;
    struct list graveyard; /* connections that are gone; events may still name them */
    uint32_t dials;
    uint64_t events_done;
    uint64_t hash;
    uint32_t host_count;
    char hosts[FAKE_HOSTS_MAX][64];
    bool cut[FAKE_HOSTS_MAX][FAKE_HOSTS_MAX]; /* from, to */
    uint64_t slow_ms[FAKE_HOSTS_MAX][FAKE_HOSTS_MAX];
    void (*tamper)(void *context, struct loop *from, struct buf *piece);
    void *tamper_context;
    void (*on_enter)(void *context, struct loop *process);
    void *enter_context;
};

static inline struct fake_process *fake_of_loop(struct loop *l)
{
    return (struct fake_process *)l;
}

static inline struct fake_conn *fake_of_conn(const struct conn *c)
{
    return (struct fake_conn *)(uintptr_t)c;
}

/* --- fake_world.c */
struct event *fake_schedule(struct fake_world *w, enum event_kind kind, struct fake_conn *conn,
                            uint64_t at_ms);
uint64_t fake_delay(struct fake_process *l);
uint32_t fake_host(struct fake_world *w, const char *host);
bool fake_is_cut(struct fake_world *w, const char *from, const char *to);

/* --- fake_conn.c */
struct conn *fake_op_dial(struct loop *base, const char *host, uint16_t port,
                          const struct conn_events *events, void *context);
void fake_op_write(struct conn *base, struct slice bytes);
void fake_op_write_owned(struct conn *base, struct slice bytes, void (*release)(void *owner),
                         void *owner);
size_t fake_op_unsent(const struct conn *base);
void fake_op_pause(struct conn *base, bool paused);
void fake_op_close(struct conn *base, bool flush);
/* Everything that was written in this turn goes to the kernel. */
void fake_conns_flush(struct fake_process *l);
void fake_conn_deliver(struct fake_world *w, struct event *e);
/* The bytes of `e` have left the kernel's buffers: room for more. */
void fake_conn_arrived(struct event *e);
void fake_conns_kill(struct fake_process *l);
void fake_conns_destroy(struct fake_world *w);
