#include "grpc_client_world.h"

#include "base/check.h"
#include "base/mem.h"
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PREFACE_BYTES      24
#define FRAME_HEADER_BYTES 9
#define HEADERS_FRAME      1

/* --- our own server --------------------------------------------------------------------------- */

static struct http_server *http;
static struct grpc_server *grpc;

static void echo(struct grpc_stream *s, struct slice message)
{
    grpc_send(s, message);
}

static void finish_well(struct grpc_stream *s)
{
    grpc_finish(s, GRPC_OK, NULL);
}

static void finish_early(struct grpc_stream *s, struct slice message)
{
    grpc_send(s, message);
    grpc_finish(s, GRPC_OK, NULL);
}

static void echo_token(struct grpc_stream *s, struct slice message)
{
    (void)message;
    grpc_send(s, http_headers_find(s->headers, s->header_count, "authorization"));
    grpc_finish(s, GRPC_OK, NULL);
}

static void on_stream(void *context, struct grpc_stream *s)
{
    (void)context;
    if (slice_has_prefix(s->path, slice_str("/echo/"))) {
        s->on_message = echo;
        s->on_half_close = finish_well;
    } else if (slice_has_prefix(s->path, slice_str("/early/"))) {
        s->on_message = finish_early;
    } else if (slice_has_prefix(s->path, slice_str("/token/"))) {
        s->on_message = echo_token;
    } else if (slice_has_prefix(s->path, slice_str("/refuse/"))) {
        grpc_finish(s, GRPC_NOT_FOUND, REFUSAL_TEXT);
    } else if (!slice_has_prefix(s->path, slice_str("/wait/"))) {
        grpc_finish_unknown(s, false);
    }
}

static void on_http2(void *context, struct conn *c, struct slice first)
{
    (void)context;
    grpc_server_accept(grpc, c, first);
}

static void on_accept(void *context, struct conn *c)
{
    (void)context;
    http_server_accept(http, c);
}

void client_story_drain(struct client_story *s)
{
    (void)s;
    grpc_server_announce_end(grpc);
    grpc_server_drain(grpc);
}

uint32_t client_story_served(void)
{
    return grpc_server_streams(grpc);
}

/* --- the server by hand ----------------------------------------------------------------------- */

static uint32_t count_calls(struct slice bytes)
{
    uint32_t count = 0;
    for (size_t at = PREFACE_BYTES; at + FRAME_HEADER_BYTES <= bytes.size;) {
        const uint8_t *head = bytes.data + at;
        count += head[3] == HEADERS_FRAME;
        at += FRAME_HEADER_BYTES + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
    }
    return count;
}

static void hand_on_data(struct conn *c, struct slice data)
{
    struct hand_server *h = c->context;
    if (h->chunk_count++ > 0) {
        return;
    }
    h->call_count = count_calls(data);
    c->loop->ops->conn_write(c, h->answer);
    if (h->resets || h->closes) {
        c->loop->ops->conn_close(c, !h->resets);
    }
}

static void hand_on_close(struct conn *c, enum status why)
{
    (void)why;
    ((struct hand_server *)c->context)->conn = NULL;
}

static const struct conn_events hand_events = {.on_data = hand_on_data, .on_close = hand_on_close};

static void hand_accept(void *context, struct conn *c)
{
    struct hand_server *h = context;
    h->conn = c;
    c->events = &hand_events;
    c->context = h;
}

/* --- the client ------------------------------------------------------------------------------- */

static void note_message(struct grpc_client_call *call, struct slice message)
{
    struct told_call *t = (struct told_call *)(void *)call;
    t->message_count++;
    buf_clear(&t->last);
    buf_append_slice(&t->last, message);
    if (t->story->on_message != NULL) {
        t->story->on_message(t, message);
    }
}

static void note_end(struct grpc_client_call *call, const struct grpc_client_end *end)
{
    struct told_call *t = (struct told_call *)(void *)call;
    struct client_story *s = t->story;
    t->end_count++;
    t->code = end->code;
    t->is_answer = end->is_answer;
    snprintf(t->text, sizeof(t->text), "%.*s", (int)end->text.size, (const char *)end->text.data);
    s->ended++;
    if (s->on_end != NULL) {
        s->on_end(t);
    }
    if (s->stop_after > 0 && s->ended == s->stop_after) {
        grpc_client_close(s->conn);
    }
}

static struct told_call *next_call(struct client_story *s)
{
    CHECK(s->begun < TOLD_CALLS_MAX);
    struct told_call *t = &s->calls[s->begun++];
    t->story = s;
    t->call.on_message = note_message;
    t->call.on_end = note_end;
    return t;
}

struct told_call *client_story_call(struct client_story *s, const char *path, const char *message)
{
    struct told_call *t = next_call(s);
    assert_int_equal(grpc_client_begin(s->conn, &t->call, path, slice_str(message)), STATUS_OK);
    return t;
}

struct told_call *client_story_stream(struct client_story *s, const char *path)
{
    struct told_call *t = next_call(s);
    assert_int_equal(grpc_client_begin_stream(s->conn, &t->call, path), STATUS_OK);
    return t;
}

static void note_open(struct grpc_client_conn *c)
{
    struct client_story *s = grpc_client_context(c);
    s->opened++;
    if (s->on_open != NULL) {
        s->on_open(s);
    }
}

static void note_close(struct grpc_client_conn *c, enum status why, const char *text)
{
    struct client_story *s = grpc_client_context(c);
    assert_int_equal(grpc_client_calls(c), 0);
    s->closed++;
    s->why = why;
    snprintf(s->why_text, sizeof(s->why_text), "%s", text);
    s->story.loop->ops->on_turn(s->story.loop, NULL, NULL);
    http_server_destroy(http);
    grpc_server_destroy(grpc);
    story_stop(&s->story);
}

static void on_turn(void *context)
{
    struct client_story *s = context;
    grpc_server_turn(grpc);
    grpc_client_turn(s->client);
}

static void begin(struct client_story *s, void (*accept)(void *context, struct conn *c),
                  void *context)
{
    memset(s, 0, sizeof(*s));
    story_begin(&s->story);
    struct loop *loop = s->story.loop;
    http = http_server_create(loop, &(struct http_handler){0}, NULL);
    grpc = grpc_server_create(loop, &(struct grpc_handler){.on_stream = on_stream}, NULL);
    http_server_on_http2(http, on_http2, NULL, NULL, NULL);
    loop->ops->on_turn(loop, on_turn, s);
    assert_int_equal(loop->ops->listen(loop, "127.0.0.1", 0, &s->story.port, accept, context),
                     STATUS_OK);
    s->client = grpc_client_create(loop);
}

void client_story_begin(struct client_story *s)
{
    begin(s, on_accept, NULL);
}

void client_story_begin_by_hand(struct client_story *s, const struct hand_server *hand)
{
    begin(s, hand_accept, &s->hand);
    s->hand = *hand;
}

void client_story_run(struct client_story *s)
{
    static const struct grpc_client_events events = {.on_open = note_open, .on_close = note_close};
    struct url server = {.host = "127.0.0.1", .port = s->story.port};
    s->conn = grpc_client_connect(s->client, &server, &events, s);
    assert_int_equal(grpc_client_connections(s->client), 1);
    story_run(&s->story);
    assert_int_equal(s->closed, 1);
    assert_int_equal(grpc_client_connections(s->client), 0);
    grpc_client_destroy(s->client);
    for (uint32_t i = 0; i < s->begun; i++) {
        assert_true(s->calls[i].end_count > 0);
    }
}

void client_story_free(struct client_story *s)
{
    for (uint32_t i = 0; i < s->begun; i++) {
        grpc_client_call_deinit(&s->calls[i].call);
        buf_deinit(&s->calls[i].last);
    }
}
