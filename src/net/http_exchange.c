#include "net/http_exchange.h"

#include "base/check.h"
#include "base/mem.h"
#include "net/http_ask.h"

struct http_exchange {
    struct conn *conn;
    const struct http_exchange_events *events;
    void *context;
    struct url server;
    struct http_parser *parser;
    struct buf out;
    struct http_call call; /* while is_busy; only what reading the answer needs of it */
    struct timer deadline; /* runs while is_busy */
    enum status why;       /* if we know better than the loop; OK = we do not */
    const char *text;      /* static; why it ends */
    bool is_open;          /* connected */
    bool is_busy;
    bool is_last;   /* no further request is taken */
    bool is_closed; /* conn_close was called */
};

/* --- the end ---------------------------------------------------------------------------------- */

/* Only the first reason is one: the others follow from it. */
static void note_why(struct http_exchange *x, enum status why, const char *text)
{
    if (x->text == NULL) {
        x->why = why;
        x->text = text;
    }
}

static void break_off(struct http_exchange *x, enum status why, const char *text)
{
    note_why(x, why, text);
    if (!x->is_closed) {
        x->is_closed = true;
        x->conn->loop->ops->conn_close(x->conn, false);
    }
}

static void on_close(struct conn *conn, enum status why)
{
    struct http_exchange *x = conn->context;
    x->is_closed = true;
    conn->loop->ops->timer_stop(conn->loop, &x->deadline);
    note_why(x, why, why == STATUS_UNREACHABLE ? "cannot connect" : "cut off");
    x->events->on_close(x, x->why, x->text);
    http_parser_destroy(x->parser);
    buf_deinit(&x->out);
    mem_free(x);
}

static void on_deadline(struct timer *t)
{
    struct http_exchange *x = t->context;
    if (x->is_open) {
        break_off(x, STATUS_TIMEOUT, "no answer in time");
    } else {
        break_off(x, STATUS_UNREACHABLE, "no connection in time");
    }
}

static void start_deadline(struct http_exchange *x)
{
    const struct loop_ops *ops = x->conn->loop->ops;
    ops->timer_start(x->conn->loop, &x->deadline, ops->now_ms(x->conn->loop) + x->call.timeout_ms);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void finish(struct http_exchange *x, bool is_last)
{
    x->is_busy = false;
    x->is_last = is_last || !http_parser_head(x->parser)->keep_alive;
    x->conn->loop->ops->timer_stop(x->conn->loop, &x->deadline);
    const struct http_reply reply = http_ask_reply(x->parser);
    x->events->on_reply(x, &reply);
    if (x->is_last) {
        break_off(x, STATUS_CLOSED, "the server wants no more requests");
    }
}

static const char *text_of(const struct http_exchange *x, enum status trouble)
{
    switch (trouble) {
    case STATUS_TOO_LARGE:
        return "the answer is too long";
    case STATUS_IO:
        return "no more of the answer was wanted";
    default:
        return http_parser_trouble(x->parser).reason;
    }
}

static void on_data(struct conn *conn, struct slice data)
{
    struct http_exchange *x = conn->context;
    if (!x->is_busy) {
        break_off(x, STATUS_CLOSED, "the server spoke without being asked");
        return;
    }
    struct slice rest;
    enum status status = http_ask_read(&x->call, x->parser, data, &rest);
    if (x->is_closed) {
        return; /* by the sink */
    }
    if (status == STATUS_OK) {
        finish(x, rest.size > 0);
    } else if (status != STATUS_BUSY) {
        break_off(x, status, text_of(x, status));
    } else if (x->call.sink != NULL) {
        start_deadline(x);
    }
}

static void on_end(struct conn *conn)
{
    struct http_exchange *x = conn->context;
    if (x->is_busy && http_ask_end(x->parser) == STATUS_OK) {
        finish(x, true);
    } else {
        break_off(x, STATUS_CLOSED,
                  x->is_busy ? "cut off before the answer was whole" : "closed by the server");
    }
}

static void on_open(struct conn *conn)
{
    struct http_exchange *x = conn->context;
    x->is_open = true;
    if (x->events->on_open != NULL) {
        x->events->on_open(x);
    }
}

static const struct conn_events conn_events = {
    .on_open = on_open, .on_data = on_data, .on_end = on_end, .on_close = on_close};

/* --- what the caller wants -------------------------------------------------------------------- */

struct http_exchange *http_exchange_open(struct loop *loop, const struct url *server,
                                         const struct http_exchange_events *events, void *context)
{
    struct http_exchange *x = mem_calloc(1, sizeof(*x));
    x->events = events;
    x->context = context;
    x->server = *server;
    x->parser = http_parser_create(HTTP_KIND_RESPONSE);
    x->deadline = (struct timer){.fire = on_deadline, .context = x};
    x->conn = url_dial(loop, server, "http/1.1", &conn_events, x);
    return x;
}

void *http_exchange_context(const struct http_exchange *x)
{
    return x->context;
}

bool http_exchange_is_busy(const struct http_exchange *x)
{
    return x->is_busy;
}

enum status http_exchange_ask(struct http_exchange *x, const struct http_call *call)
{
    CHECK(call->timeout_ms > 0);
    if (x->is_closed || x->is_last) {
        return STATUS_CLOSED;
    }
    if (x->is_busy) {
        return STATUS_BUSY;
    }
    x->is_busy = true;
    x->call = (struct http_call){.method = call->method,
                                 .timeout_ms = call->timeout_ms,
                                 .answer_bytes_max = call->answer_bytes_max,
                                 .sink = call->sink};
    buf_clear(&x->out);
    http_ask_write(call, &x->server, &x->out);
    http_ask_begin(&x->call, x->parser);
    x->conn->loop->ops->conn_write(x->conn, buf_slice(&x->out));
    start_deadline(x);
    return STATUS_OK;
}

void http_exchange_close(struct http_exchange *x)
{
    break_off(x, STATUS_CLOSED, "closed here");
}
