#include "load/load_link.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>

#define US_PER_MS        1000u
#define ANSWER_BYTES_MAX (4u * MIB)
#define KIND_WRONG       "wrong answer"
#define KIND_LOST        "connection lost"
#define KIND_LATE        "no answer in time"
#define WATCH_PATH       "/etcdserverpb.Watch/Watch"

static const char *const code_names[] = {
    "OK",
    "CANCELED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

static void finish(struct load_lane *lane)
{
    lane->is_busy = false;
    lane->deadline_us = 0;
}

static void fail(struct load_lane *lane, const char *kind, struct slice text)
{
    finish(lane);
    lane->link->events->on_error(lane, kind, text);
}

/* An answer is here, and `wrong` with it (NULL: nothing is). */
static void settle(struct load_lane *lane, const char *wrong)
{
    struct load_link *link = lane->link;
    if (wrong != NULL) {
        fail(lane, KIND_WRONG, slice_str(wrong));
        return;
    }
    finish(lane);
    link->revision =
        lane->answer.revision > link->revision ? lane->answer.revision : link->revision;
    link->events->on_answer(lane, &lane->answer);
}

/* --- gRPC ------------------------------------------------------------------------------------- */

static void on_message(struct grpc_client_call *call, struct slice message)
{
    struct load_lane *lane = call->context;
    const struct load_link *link = lane->link;
    if (link->is_watching) {
        link->events->on_watch(lane, message);
        return;
    }
    if (!lane->is_busy) {
        return; /* given up */
    }
    lane->has_message = true;
    lane->wrong = load_check_message(link->plan, &lane->request, message, &lane->answer);
    if (lane->request.ask == LOAD_ASK_KEEPALIVE) {
        settle(lane, lane->wrong);
    }
}

static void on_end(struct grpc_client_call *call, const struct grpc_client_end *end)
{
    struct load_lane *lane = call->context;
    if (lane->is_late) {
        lane->is_late = false;
        fail(lane, KIND_LATE, slice_str("the request was given up"));
    } else if (!lane->is_busy) {
        if (lane->link->is_watching) {
            fail(lane, "watch ended", end->text);
        }
    } else if (end->code != GRPC_OK) {
        fail(lane, end->is_answer ? code_names[end->code] : KIND_LOST, end->text);
    } else if (lane->request.ask == LOAD_ASK_KEEPALIVE) {
        fail(lane, "stream ended", end->text);
    } else {
        settle(lane, lane->has_message ? lane->wrong : "it has no message");
    }
}

static void on_grpc_open(struct grpc_client_conn *c)
{
    struct load_link *link = grpc_client_context(c);
    link->is_dialling = false;
    link->is_open = true;
    link->events->on_open(link);
}

static void go_down(struct load_link *link, const char *text)
{
    bool was_open = !link->is_dialling;
    link->is_open = false;
    link->is_dialling = false;
    link->conn = NULL;
    link->exchange = NULL;
    link->revision = 0;
    link->events->on_down(link, was_open, text);
}

static void on_grpc_close(struct grpc_client_conn *c, enum status why, const char *text)
{
    go_down(grpc_client_context(c), text != NULL && text[0] != '\0' ? text : status_text(why));
}

static const struct grpc_client_events grpc_events = {.on_open = on_grpc_open,
                                                      .on_close = on_grpc_close};

static enum status ask_grpc(struct load_lane *lane)
{
    struct load_link *link = lane->link;
    struct slice message = buf_slice(&lane->request.body);
    lane->has_message = false;
    lane->call.token = link->plan->token;
    if (lane->request.ask != LOAD_ASK_KEEPALIVE) {
        return grpc_client_begin(link->conn, &lane->call, lane->request.path, message);
    }
    enum status status = STATUS_OK;
    if (lane->call.conn == NULL) {
        status = grpc_client_begin_stream(link->conn, &lane->call, lane->request.path);
    }
    return status == STATUS_OK ? grpc_client_send(&lane->call, message) : status;
}

bool load_lane_watch(struct load_lane *lane, struct slice message)
{
    enum status status = STATUS_OK;
    if (lane->call.conn == NULL) {
        lane->call.token = lane->link->plan->token;
        status = grpc_client_begin_stream(lane->link->conn, &lane->call, WATCH_PATH);
    }
    return status == STATUS_OK && grpc_client_send(&lane->call, message) == STATUS_OK;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static void on_http_open(struct http_exchange *x)
{
    struct load_link *link = http_exchange_context(x);
    link->is_dialling = false;
    link->is_open = true;
    link->events->on_open(link);
}

static void on_reply(struct http_exchange *x, const struct http_reply *reply)
{
    struct load_link *link = http_exchange_context(x);
    struct load_lane *lane = &link->lanes[0];
    bool is_read =
        lane->request.ask == LOAD_ASK_RANGE || lane->request.ask == LOAD_ASK_SERIALIZABLE;
    if (reply->http_status / 100 != 2 && !(is_read && reply->http_status == 404)) {
        char kind[16];
        snprintf(kind, sizeof(kind), "HTTP %d", reply->http_status);
        fail(lane, kind, reply->body);
        return;
    }
    settle(lane, load_check_reply(link->plan, &lane->request, reply, &lane->answer));
}

static void on_http_close(struct http_exchange *x, enum status why, const char *text)
{
    struct load_link *link = http_exchange_context(x);
    struct load_lane *lane = &link->lanes[0];
    link->is_open = false;
    const char *words = text != NULL && text[0] != '\0' ? text : status_text(why);
    if (lane->is_busy) {
        fail(lane, why == STATUS_TIMEOUT ? KIND_LATE : KIND_LOST, slice_str(words));
    }
    go_down(link, words);
}

static const struct http_exchange_events http_events = {
    .on_open = on_http_open, .on_reply = on_reply, .on_close = on_http_close};

/* Further header lines, zero-terminated; NULL: none. */
static const char *http_headers(struct load_link *link)
{
    if (link->plan->token == NULL) {
        return NULL;
    }
    buf_clear(&link->headers);
    buf_printf(&link->headers, "Authorization: Bearer %s\r\n", link->plan->token);
    buf_append_byte(&link->headers, 0);
    return (const char *)link->headers.data;
}

static enum status ask_http(struct load_lane *lane)
{
    const struct load_request *r = &lane->request;
    const struct http_call call = {
        .method = r->method,
        .target = (const char *)r->target.data,
        .headers = http_headers(lane->link),
        .body = buf_slice(&r->body),
        .timeout_ms = (uint32_t)(lane->link->plan->timeout_us / US_PER_MS),
        .answer_bytes_max = ANSWER_BYTES_MAX,
    };
    return http_exchange_ask(lane->link->exchange, &call);
}

/* ---------------------------------------------------------------------------------------------- */

void load_link_init(struct load_link *link, uint32_t lane_count)
{
    link->lane_count = lane_count;
    link->lanes = mem_calloc(lane_count, sizeof(*link->lanes));
    for (uint32_t i = 0; i < lane_count; i++) {
        struct load_lane *lane = &link->lanes[i];
        lane->link = link;
        lane->call =
            (struct grpc_client_call){.on_message = on_message, .on_end = on_end, .context = lane};
        list_init(&lane->idle);
    }
}

void load_link_deinit(struct load_link *link)
{
    for (uint32_t i = 0; i < link->lane_count; i++) {
        load_request_deinit(&link->lanes[i].request);
        grpc_client_call_deinit(&link->lanes[i].call);
    }
    mem_free(link->lanes);
    buf_deinit(&link->headers);
}

void load_link_dial(struct load_link *link)
{
    CHECK(!link->is_open && !link->is_dialling);
    link->is_dialling = true;
    if (link->grpc != NULL) {
        link->conn = grpc_client_connect(link->grpc, link->server, &grpc_events, link);
    } else {
        link->exchange = http_exchange_open(link->loop, link->server, &http_events, link);
    }
}

bool load_lane_ask(struct load_lane *lane, uint64_t now_us)
{
    struct load_link *link = lane->link;
    CHECK(!lane->is_busy && link->is_open);
    lane->request.floor = link->revision;
    enum status status = link->grpc != NULL ? ask_grpc(lane) : ask_http(lane);
    if (status != STATUS_OK) {
        link->is_open = false;
        return false;
    }
    lane->is_busy = true;
    lane->deadline_us = now_us + link->plan->timeout_us;
    return true;
}

/* HTTP has a timeout of its own, with each request. */
void load_link_expire(struct load_link *link, uint64_t now_us)
{
    for (uint32_t i = 0; link->grpc != NULL && i < link->lane_count; i++) {
        struct load_lane *lane = &link->lanes[i];
        if (lane->is_busy && !lane->is_late && now_us >= lane->deadline_us) {
            lane->is_late = true;
            grpc_client_cancel(&lane->call);
        }
    }
}
