#include "net/http_internal.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define SPARE_EXCHANGES_MAX   256 /* kept for the next requests; beyond: freed */
#define STEPS_A_LOOK          4   /* at the clock, of going on; and are made in any turn */
#define DEFAULT(value, other) ((value) != 0 ? (value) : (other))

static void on_data(struct conn *conn, struct slice data);
static void on_drain(struct conn *conn);
static void on_end(struct conn *conn);
static void on_close(struct conn *conn, enum status why);

static const struct conn_events events = {
    .on_data = on_data,
    .on_drain = on_drain,
    .on_end = on_end,
    .on_close = on_close,
};

uint64_t http_now(const struct http_server *s)
{
    return s->loop->ops->now_ms(s->loop);
}

/* --- exchanges -------------------------------------------------------------------------------- */

static struct exchange *acquire_exchange(struct http_server *s)
{
    struct list *link = list_pop_front(&s->spare);
    struct exchange *e;
    if (link != NULL) {
        s->spare_count--;
        e = exchange_of(link);
    } else {
        e = mem_calloc(1, sizeof(*e));
        list_init(&e->link);
        e->parser = http_parser_create(HTTP_KIND_REQUEST);
        e->server = s;
    }
    return e;
}

static void free_exchange(struct exchange *e)
{
    http_share_release(e);
    list_remove(&e->link);
    http_parser_destroy(e->parser);
    exchange_drop_kept(e);
    mem_free(e);
}

void exchange_release(struct exchange *e)
{
    struct http_server *s = e->server;
    if (s->spare_count >= SPARE_EXCHANGES_MAX) {
        free_exchange(e);
        return;
    }
    http_share_release(e);
    list_remove(&e->link);
    http_parser_reset(e->parser);
    exchange_drop_kept(e);
    e->request = (struct http_request){0};
    e->connection = NULL;
    e->stage = ANSWER_NONE;
    e->keep_alive = false;
    e->is_last_wanted = false;
    e->is_http_1_0 = false;
    e->is_chunked = false;
    e->wants_continue = false;
    list_push_front(&s->spare, &e->link);
    s->spare_count++;
}

/* The client went away. A handler that does not listen for that will still answer. */
static void lose_client(struct exchange *e)
{
    list_remove(&e->link);
    e->connection = NULL;
    e->request.conn = NULL;
    exchange_drop_kept(e);
    if (e->stage == ANSWER_DONE) {
        exchange_release(e);
    } else if (e->request.on_gone != NULL) {
        e->request.on_gone(&e->request);
        exchange_release(e);
    } else {
        list_push_back(&e->server->orphans, &e->link);
    }
}

static void append_exchange(struct http_connection *c, struct exchange *e)
{
    list_push_back(&c->exchanges, &e->link);
    c->in_progress++;
    c->body_bytes += e->request.body.size;
}

/* --- the head of a request -------------------------------------------------------------------- */

/* `Expect: 100-continue` from a client that waits with its body. False: it expects something
 * else. */
static bool heed_expectation(struct exchange *e, bool body_has_begun)
{
    struct slice expect = http_header_find(&e->request, "expect");
    if (expect.data == NULL || e->is_http_1_0) {
        return true;
    }
    if (!http_text_equal(expect, "100-continue")) {
        return false;
    }
    e->wants_continue = http_parser_head(e->parser)->has_body && !body_has_begun;
    return true;
}

static void maybe_send_continue(struct http_connection *c)
{
    struct exchange *e = c->reading;
    if (e != NULL && e->wants_continue && list_is_empty(&c->exchanges) &&
        http_parser_body(e->parser).size == 0) {
        struct slice text = slice_str("HTTP/1.1 100 Continue\r\n\r\n");
        e->wants_continue = false;
        c->conn->loop->ops->conn_write(c->conn, text);
        c->flow.written += text.size;
    }
}

static void count_client(struct http_connection *c, bool is_client)
{
    if (c->is_client != is_client) {
        c->is_client = is_client;
        c->server->client_count += is_client ? 1 : UINT32_MAX;
    }
}

static void forget_connection(struct http_connection *c)
{
    struct http_server *s = c->server;
    count_client(c, false);
    list_remove(&c->link);
    list_remove(&c->ready);
    list_remove(&c->beyond);
    client_share_end(&c->share);
    buf_deinit(&c->stash);
    s->connection_count--;
    mem_free(c);
}

/* True: the connection has gone to another owner, and `c` is no more. */
static bool hand_over(struct http_connection *c, struct slice rest)
{
    struct exchange *e = c->reading;
    const struct http_handler *h = &c->server->handler;
    const struct http_head *head = http_parser_head(e->parser);
    if (head->upgrade.size == 0 || head->has_body || e->is_http_1_0 || h->wants_upgrade == NULL ||
        !list_is_empty(&c->exchanges) ||
        !h->wants_upgrade(h->context, &e->request, head->upgrade)) {
        return false;
    }
    struct conn *conn = c->conn;
    struct buf *text = &c->server->scratch;
    buf_clear(text);
    buf_append_str(text, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ");
    buf_append_slice(text, head->upgrade);
    buf_append_str(text, "\r\n\r\n");
    conn->loop->ops->conn_write(conn, buf_slice(text));
    conn->events = NULL;
    conn->context = NULL;
    e->connection = NULL;
    forget_connection(c);
    h->on_upgrade(h->context, &e->request, head->upgrade, conn, rest);
    exchange_release(e);
    return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void begin_reading(struct http_connection *c)
{
    c->reading = acquire_exchange(c->server);
    c->reading->connection = c;
    c->started_ms = http_now(c->server);
}

static void drop_reading(struct http_connection *c)
{
    if (c->reading != NULL) {
        struct exchange *e = c->reading;
        c->reading = NULL;
        exchange_release(e);
    }
}

/* All places were taken when it came. */
static bool is_beyond(const struct http_connection *c)
{
    return !list_is_empty(&c->beyond);
}

/* True: `c` is no more. */
static bool on_head(struct http_connection *c, struct slice rest)
{
    struct exchange *e = c->reading;
    const struct http_handler *h = &c->server->handler;
    if (!exchange_describe(e)) {
        http_connection_refuse(c, 400, "Invalid URL");
        return false;
    }
    if (hand_over(c, rest)) {
        return true;
    }
    if (is_beyond(c) && !(h->is_vital != NULL && h->is_vital(h->context, &e->request))) {
        http_connection_refuse(c, 503, "Too many connections");
        return false;
    }
    e->keep_alive = e->keep_alive && !is_beyond(c);
    if (!http_share_admit(c, e)) {
        return false;
    }
    if (!heed_expectation(e, rest.size > 0)) {
        http_connection_refuse(c, 417, "Expectation failed");
    }
    return false;
}

static bool is_safe(const struct exchange *e)
{
    enum http_method m = e->request.method;
    return m == HTTP_GET || m == HTTP_HEAD || m == HTTP_OPTIONS;
}

/* Pipelined requests may run at once when all only read, and here also when all only write, since
 * the log keeps their order. A read after a write must see it (RFC 9112, 9.3.2). */
static bool must_wait(const struct http_connection *c, const struct exchange *e)
{
    return !list_is_empty(&c->exchanges) && is_safe(exchange_of(c->exchanges.prev)) != is_safe(e);
}

static void tell_handler(struct exchange *e)
{
    struct http_server *s = e->server;
    s->request_count++;
    s->handler.on_request(s->handler.context, &e->request);
}

static void on_whole(struct http_connection *c)
{
    struct exchange *e = c->reading;
    struct http_server *s = c->server;
    c->reading = NULL;
    e->request.body = http_parser_body(e->parser);
    e->request.arrived_ms = c->came_ms;
    e->keep_alive = e->keep_alive && !(s->is_draining && http_now(s) >= s->last_call_ms);
    c->is_last = !e->keep_alive;
    bool waits = must_wait(c, e);
    append_exchange(c, e);
    count_client(c, true);
    if (waits) {
        c->held = e;
    } else {
        tell_handler(e);
    }
}

static bool has_too_much_in_progress(struct http_connection *c)
{
    if (c->in_progress >= LIMIT_PIPELINED || c->held != NULL ||
        c->body_bytes >= LIMIT_PIPELINED_BODY_BYTES ||
        client_memory_is_pressed(c->server->options.memory)) {
        return true;
    }
    return unsent_is_full(&c->flow, c->conn, LIMIT_CONN_UNSENT_BYTES);
}

/* Nothing of its own will wake it, if only that of all is too much. */
static void wake_when_looked_at(struct http_connection *c)
{
    if (client_memory_is_pressed(c->server->options.memory)) {
        http_connection_wake(c);
    }
}

static void pause(struct http_connection *c, struct slice rest)
{
    buf_append_slice(&c->stash, rest);
    wake_when_looked_at(c);
    if (!c->is_paused) {
        c->is_paused = true;
        c->conn->loop->ops->conn_pause(c->conn, true);
    }
}

/* Of the request that is being read, a piece has come; the last one is not worth a note. */
static void note_body(struct http_connection *c)
{
    if (http_parser_body(c->reading->parser).size >= LIMIT_CLIENT_SMALL_BYTES) {
        client_share_grew(c->server->options.memory, &c->share, LIMIT_READ_BYTES);
    }
}

/* Of the request that is being read, a piece or the last one has come. False: there is no room for
 * it, and it is refused. */
static bool take_in_body(struct http_connection *c)
{
    if (http_share_charge(c->reading, http_parser_body(c->reading->parser).size)) {
        return true;
    }
    http_connection_refuse(c, 429, "Too many large requests");
    return false;
}

/* One step of the parser. False: stop, for now or because `c` is no more. */
static bool read_some(struct http_connection *c, struct slice *data)
{
    size_t used;
    enum http_parsed parsed = http_parser_feed(c->reading->parser, *data, &used);
    *data = slice_of(data->data + used, data->size - used);
    switch (parsed) {
    case HTTP_PARSED_PART:
        if (http_parser_is_fresh(c->reading->parser)) {
            drop_reading(c); /* nothing but an empty line between two requests */
        } else if (take_in_body(c)) {
            maybe_send_continue(c);
            note_body(c);
            http_sweep_by(c->server, c->started_ms + c->server->options.request_ms);
        }
        return false;
    case HTTP_PARSED_HEAD:
        return !on_head(c, *data);
    case HTTP_PARSED_WHOLE:
        if (!take_in_body(c)) {
            return false;
        }
        c->unread = data->size;
        on_whole(c);
        c->unread = 0;
        return true;
    case HTTP_PARSED_BAD:
        break;
    }
    struct http_trouble trouble = http_parser_trouble(c->reading->parser);
    http_connection_refuse(c, trouble.http_status, trouble.reason);
    return false;
}

static void read_requests(struct http_connection *c, struct slice data)
{
    while (!c->is_closed && !c->is_last && (c->reading != NULL || data.size > 0)) {
        if (c->reading == NULL) {
            if (has_too_much_in_progress(c)) {
                pause(c, data);
                return;
            }
            begin_reading(c);
        }
        if (!read_some(c, &data)) {
            return;
        }
    }
    if (!c->is_closed && c->is_last && data.size > 0) {
        pause(c, slice_of(NULL, 0)); /* what follows the last request is nobody's */
    }
}

static void hand_over_http2(struct http_connection *c, struct slice first)
{
    struct http_server *s = c->server;
    struct conn *conn = c->conn;
    struct buf stash = c->stash;
    c->stash = (struct buf){0};
    drop_reading(c);
    conn->events = NULL;
    conn->context = NULL;
    forget_connection(c);
    s->take_http2(s->http2_context, conn, first);
    buf_deinit(&stash);
}

/* Whether the connection begins with the preface of HTTP/2, which is no request: HTTP/1 knows no
 * method PRI. */
static void look_for_preface(struct http_connection *c, struct slice data)
{
    if (c->stash.size > 0) {
        buf_append_slice(&c->stash, data);
        data = buf_slice(&c->stash);
    }
    struct slice preface = slice_str("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    if (slice_has_prefix(data, preface) && is_beyond(c)) {
        http_connection_abort(c);
    } else if (slice_has_prefix(data, preface)) {
        hand_over_http2(c, data);
    } else if (!slice_has_prefix(preface, data)) {
        struct buf stash = c->stash;
        c->stash = (struct buf){0};
        c->is_fresh = false;
        read_requests(c, data);
        buf_deinit(&stash);
    } else if (c->stash.size == 0) {
        buf_append_slice(&c->stash, data);
        begin_reading(c); /* the rest must come as soon as that of a request */
        http_sweep_by(c->server, c->started_ms + c->server->options.request_ms);
    }
}

static void on_data(struct conn *conn, struct slice data)
{
    struct http_connection *c = conn->context;
    if (c->is_fresh && !c->is_closed) {
        c->came_ms = http_now(c->server);
        look_for_preface(c, data);
        return;
    }
    if (c->is_paused) {
        buf_append_slice(&c->stash, data); /* was on its way when we paused */
        return;
    }
    c->came_ms = http_now(c->server);
    read_requests(c, data);
}

static void on_end(struct conn *conn)
{
    struct http_connection *c = conn->context;
    c->has_ended = true;
    drop_reading(c);
    if (c->in_progress == 0) {
        http_connection_finish(c);
    }
}

static void on_close(struct conn *conn, enum status why)
{
    (void)why;
    struct http_connection *c = conn->context;
    CHECK(c != NULL);
    drop_reading(c);
    struct list lost;
    list_init(&lost);
    if (c->held != NULL) {
        list_remove(&c->held->link);
        exchange_release(c->held);
    }
    list_splice_back(&lost, &c->exchanges);
    forget_connection(c);
    while (!list_is_empty(&lost)) {
        lose_client(exchange_of(lost.next));
    }
}

/* --- going on --------------------------------------------------------------------------------- */

static void read_on(struct http_connection *c)
{
    if (!c->is_paused || c->is_last || c->is_closed) {
        return;
    }
    if (has_too_much_in_progress(c)) {
        wake_when_looked_at(c);
        return;
    }
    struct buf stash = c->stash;
    c->stash = (struct buf){0};
    c->is_paused = false;
    c->started_ms = http_now(c->server); /* the wait was ours */
    c->conn->loop->ops->conn_pause(c->conn, false);
    if (stash.size > 0) {
        read_requests(c, buf_slice(&stash));
    }
    buf_deinit(&stash);
}

static void go_on(struct http_connection *c)
{
    struct exchange *e = list_is_empty(&c->exchanges) ? NULL : exchange_of(c->exchanges.next);
    bool produces = e != NULL && e != c->held && e->stage != ANSWER_DONE;
    if (c->is_starved && produces && !c->is_closed && http_answer_wants_more(&e->request)) {
        c->is_starved = false;
        if (e->request.on_writable != NULL) {
            e->request.on_writable(&e->request);
        }
    }
    read_on(c);
}

static void on_drain(struct conn *conn)
{
    go_on(conn->context);
}

static void on_go_on(struct timer *t)
{
    struct http_server *s = t->context;
    struct list now;
    list_init(&now);
    list_splice_back(&now, &s->ready);
    struct list *link;
    for (uint32_t i = 1; (link = list_pop_front(&now)) != NULL; i++) {
        go_on(CONTAINER_OF(link, struct http_connection, ready));
        if (i % STEPS_A_LOOK == 0 && !list_is_empty(&now) && loop_turn_is_long(s->loop)) {
            list_splice_back(&now, &s->ready); /* who has come meanwhile goes behind */
            list_splice_back(&s->ready, &now);
            s->loop->ops->timer_start(s->loop, t, http_now(s));
            return;
        }
    }
}

void http_connection_wake(struct http_connection *c)
{
    struct http_server *s = c->server;
    if (list_is_empty(&c->ready)) {
        list_push_back(&s->ready, &c->ready);
    }
    if (s->go_on.slot == 0) {
        s->loop->ops->timer_start(s->loop, &s->go_on, http_now(s));
    }
}

/* All before it are answered. */
static void maybe_tell_held(struct http_connection *c)
{
    if (c->held != NULL && c->exchanges.next == &c->held->link) {
        struct exchange *e = c->held;
        c->held = NULL;
        tell_handler(e);
    }
}

void http_connection_advance(struct http_connection *c)
{
    while (!list_is_empty(&c->exchanges)) {
        struct exchange *e = exchange_of(c->exchanges.next);
        if (e->stage != ANSWER_DONE) {
            break;
        }
        bool keep_alive = e->keep_alive;
        c->in_progress--;
        c->body_bytes -= e->request.body.size;
        exchange_release(e);
        if (!keep_alive) {
            http_connection_finish(c);
            return;
        }
        if (!list_is_empty(&c->exchanges)) {
            exchange_take_turn(exchange_of(c->exchanges.next));
        }
    }
    maybe_tell_held(c);
    maybe_send_continue(c);
    if (c->is_paused) {
        http_connection_wake(c);
    }
    uint64_t now = http_now(c->server);
    http_sweep_by(c->server, now + http_sweep_idle_grain_ms(c->server));
    if (c->in_progress == 0) {
        c->idle_from_ms = now;
        if (c->has_ended) {
            http_connection_finish(c);
        }
    }
}

/* --- the end of a connection ------------------------------------------------------------------ */

static void close_connection(struct http_connection *c, bool flush)
{
    if (!c->is_closed) {
        c->is_closed = true;
        count_client(c, false);
        c->conn->loop->ops->conn_close(c->conn, flush);
    }
}

void http_connection_finish(struct http_connection *c)
{
    close_connection(c, true);
}

void http_connection_abort(struct http_connection *c)
{
    close_connection(c, false);
}

static struct http_connection *connection_of_share(const struct client_share *share)
{
    return (struct http_connection *)((uintptr_t)share - offsetof(struct http_connection, share));
}

static size_t count_share(const struct client_share *share)
{
    const struct http_connection *c = connection_of_share(share);
    size_t reading = c->reading != NULL ? http_parser_body(c->reading->parser).size : 0;
    return c->conn->loop->ops->conn_kept(c->conn) + c->stash.size + reading +
           (size_t)(c->body_bytes + c->kept_bytes);
}

static void drop_share(struct client_share *share)
{
    struct http_connection *c = connection_of_share(share);
    http_connection_abort(c);
    c->conn->loop->ops->conn_close(c->conn, false); /* also when it was being closed */
}

void http_connection_refuse(struct http_connection *c, int http_status, const char *reason)
{
    if (c->reading == NULL) {
        begin_reading(c);
    }
    struct exchange *e = c->reading;
    c->reading = NULL;
    c->is_last = true;
    e->keep_alive = false;
    append_exchange(c, e);
    exchange_answer_bad(e, http_status, reason);
}

/* --- the server ------------------------------------------------------------------------------- */

struct http_server *http_server_create(struct loop *loop, const struct http_handler *handler,
                                       const struct http_options *options)
{
    struct http_server *s = mem_calloc(1, sizeof(*s));
    s->loop = loop;
    s->handler = *handler;
    if (options != NULL) {
        s->options = *options;
    }
    s->options.idle_ms = DEFAULT(s->options.idle_ms, LIMIT_HTTP_IDLE_MS);
    s->options.request_ms = DEFAULT(s->options.request_ms, LIMIT_HTTP_REQUEST_MS);
    s->options.connections_max = DEFAULT(s->options.connections_max, LIMIT_CONNECTIONS);
    s->options.bodies_max = DEFAULT(s->options.bodies_max, LIMIT_BODIES_BYTES);
    list_init(&s->connections);
    list_init(&s->ready);
    list_init(&s->beyond);
    list_init(&s->orphans);
    list_init(&s->spare);
    s->go_on = (struct timer){.fire = on_go_on, .context = s};
    http_sweep_init(s);
    return s;
}

void http_server_on_http2(struct http_server *s,
                          void (*take)(void *context, struct conn *c, struct slice first),
                          uint32_t (*count)(const void *context), bool (*make_room)(void *context),
                          void *context)
{
    s->take_http2 = take;
    s->count_http2 = count;
    s->make_room_http2 = make_room;
    s->http2_context = context;
}

void http_server_accept(struct http_server *s, struct conn *conn)
{
    struct http_connection *c = mem_calloc(1, sizeof(*c));
    enum http_place place = http_find_place(s);
    list_init(&c->ready);
    list_init(&c->beyond);
    list_init(&c->exchanges);
    c->server = s;
    c->conn = conn;
    c->is_fresh = s->take_http2 != NULL;
    c->idle_from_ms = http_now(s);
    conn->events = &events;
    conn->context = c;
    client_share_begin(&c->share, count_share, drop_share);
    list_push_back(&s->connections, &c->link);
    s->connection_count++;
    http_sweep_by(s, c->idle_from_ms + s->options.idle_ms);
    s->refusals.connections += place != HTTP_PLACE_FREE ? 1 : 0;
    if (place == HTTP_PLACE_BEYOND) {
        list_push_back(&s->beyond, &c->beyond);
    } else if (place == HTTP_PLACE_NONE) {
        http_connection_abort(c);
    }
}

void http_server_announce_end(struct http_server *s)
{
    s->is_ending = true;
}

void http_server_drain(struct http_server *s)
{
    s->is_ending = true;
    s->is_draining = true;
    s->options.idle_ms = LIMIT_HTTP_DRAIN_IDLE_MS;
    s->options.request_ms = LIMIT_HTTP_DRAIN_REQUEST_MS;
    uint64_t now = http_now(s);
    for (struct list *link = s->connections.next; link != &s->connections; link = link->next) {
        CONTAINER_OF(link, struct http_connection, link)->idle_from_ms = now;
    }
    s->last_call_ms = now + LIMIT_HTTP_DRAIN_IDLE_MS;
    http_sweep_by(s, now);
}

static void ignore_close(struct conn *conn, enum status why)
{
    (void)conn;
    (void)why;
}

void http_server_destroy(struct http_server *s)
{
    static const struct conn_events nobody = {.on_close = ignore_close};
    s->loop->ops->timer_stop(s->loop, &s->go_on);
    while (!list_is_empty(&s->connections)) {
        struct http_connection *c = CONTAINER_OF(s->connections.next, struct http_connection, link);
        struct conn *conn = c->conn;
        http_connection_abort(c);
        on_close(conn, STATUS_CLOSED);
        conn->events = &nobody;
        conn->context = NULL;
    }
    s->loop->ops->timer_stop(s->loop, &s->sweep);
    while (!list_is_empty(&s->orphans)) {
        free_exchange(exchange_of(s->orphans.next));
    }
    while (!list_is_empty(&s->spare)) {
        free_exchange(exchange_of(s->spare.next));
    }
    buf_deinit(&s->scratch);
    mem_free(s);
}

uint32_t http_server_connections(const struct http_server *s)
{
    return s->connection_count;
}

uint64_t http_server_closed_for_room(const struct http_server *s)
{
    return s->closed_for_room;
}

uint64_t http_server_closed_for_memory(const struct http_server *s)
{
    return s->options.memory != NULL ? s->options.memory->dropped : 0;
}

uint32_t http_server_clients(const struct http_server *s)
{
    return s->client_count;
}

uint64_t http_server_requests(const struct http_server *s)
{
    return s->request_count;
}

struct http_refusals http_server_refusals(const struct http_server *s)
{
    return s->refusals;
}
