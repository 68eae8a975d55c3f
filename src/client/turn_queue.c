#include "client/turn_queue.h"

#include "base/check.h"
#include "client/event_stream.h"
#include "client/gateway.h"

#include <inttypes.h>
#include <poll.h>

/* A member that lives says something every ten seconds. */
#define SILENCE_MS 15000
#define PAUSE_MS   100

bool turn_queue_is_cancelled(const struct turn_queue *q)
{
    struct pollfd p = {.fd = q->cancel_fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

static void pause_a_little(const struct turn_queue *q)
{
    struct pollfd p = {.fd = q->cancel_fd, .events = POLLIN};
    (void)poll(&p, 1, PAUSE_MS);
}

/* What another member, or the same one later, would say too. */
static bool is_final(enum status status)
{
    return status == STATUS_INVALID || status == STATUS_DENIED || status == STATUS_UNSUPPORTED ||
           status == STATUS_TOO_LARGE || status == STATUS_CONFLICT || status == STATUS_CORRUPT;
}

/* --- looking ---------------------------------------------------------------------------------- */

/* The newest two of those under NAME/ that are not newer than the own key: that one itself, and the
 * one before it. */
static json_t *body_of_look(const struct turn_queue *q)
{
    struct buf end = {0};
    buf_append_slice(&end, q->name);
    json_t *body = json_object();
    buf_append_byte(&end, '/');
    json_object_set_new(body, "key", gateway_bytes(buf_slice(&end)));
    end.data[end.size - 1]++;
    json_object_set_new(body, "range_end", gateway_bytes(buf_slice(&end)));
    json_object_set_new(body, "limit", json_integer(2));
    json_object_set_new(body, "sort_target", json_string("CREATE"));
    json_object_set_new(body, "sort_order", json_string("DESCEND"));
    json_object_set_new(body, "max_create_revision", gateway_number(q->fence));
    json_object_set_new(body, "keys_only", json_true());
    buf_deinit(&end);
    return body;
}

static enum status take_look(struct turn_queue *q, const json_t *json)
{
    const json_t *items = json_object_get(json, "kvs");
    const json_t *before = json_array_get(items, 1);
    q->seen = gateway_read_number(json_object_get(json, "header"), "revision");
    if (gateway_read_number(json_array_get(items, 0), "create_revision") != q->fence) {
        return STATUS_CONFLICT;
    }
    q->has_turn = before == NULL;
    buf_clear(&q->before);
    return gateway_read_bytes(before, "key", &q->before) ? STATUS_OK : STATUS_CORRUPT;
}

/* A linearizable read: who has its turn by this still had its key when it was asked. */
static enum status look(struct turn_queue *q, struct client_answer *a)
{
    enum status status = gateway_call(q->client, "/v3/kv/range", body_of_look(q), q->cancel_fd, a);
    return status == STATUS_OK ? take_look(q, a->json) : status;
}

/* --- entering --------------------------------------------------------------------------------- */

/* Puts the key unless it is there: a second one of the same kind finds what the first one did. */
static json_t *body_of_enter(const struct turn_queue *q)
{
    json_t *key = gateway_bytes(buf_slice(&q->key));
    json_t *body =
        json_pack("{s:[{s:O,s:s,s:s,s:s}],s:[{s:{s:O,s:o,s:o}}],s:[{s:{s:O,s:b}}]}", "compare",
                  "key", key, "target", "CREATE", "result", "EQUAL", "create_revision", "0",
                  "success", "request_put", "key", key, "value", gateway_bytes(q->value), "lease",
                  gateway_number(q->lease), "failure", "request_range", "key", key, "keys_only", 1);
    CHECK(body != NULL);
    json_decref(key);
    return body;
}

static uint64_t fence_of(const json_t *json)
{
    const json_t *response = json_array_get(json_object_get(json, "responses"), 0);
    const json_t *found = json_object_get(response, "response_range");
    if (found == NULL) {
        return gateway_read_number(json_object_get(json, "header"), "revision");
    }
    return gateway_read_number(json_array_get(json_object_get(found, "kvs"), 0), "create_revision");
}

enum status turn_queue_enter(struct turn_queue *q, struct client_answer *a)
{
    q->client = client_create(q->options);
    buf_append_slice(&q->key, q->name);
    buf_printf(&q->key, "/%" PRIx64, q->lease);
    enum status status = gateway_call(q->client, "/v3/kv/txn", body_of_enter(q), q->cancel_fd, a);
    if (status == STATUS_UNSUPPORTED &&
        strcmp(a->error, "etcdserver: requested lease not found") == 0) {
        return STATUS_CONFLICT;
    }
    if (status != STATUS_OK) {
        return status;
    }
    q->fence = fence_of(a->json);
    return q->fence == 0 ? STATUS_CORRUPT : look(q, a);
}

/* --- waiting ---------------------------------------------------------------------------------- */

struct change_watch {
    struct event_stream stream;
    bool is_heard;
    bool has_changed;
};

/* Whatever it is: who looks again sees what it means. */
static bool on_event(void *context, const struct stream_event *e)
{
    struct change_watch *w = context;
    w->has_changed =
        slice_equal(e->type, slice_str("change")) || slice_has_prefix(e->type, slice_str("resync"));
    return !w->has_changed;
}

static bool take_piece(void *context, struct slice piece)
{
    struct change_watch *w = context;
    w->is_heard = true;
    return event_stream_take(&w->stream, piece);
}

/* Until the key before has changed since it was seen, or the stream ends; at one member. */
static enum status watch_at(const struct turn_queue *q, const char *url, struct change_watch *w,
                            struct client_answer *a)
{
    struct buf target = {0};
    buf_append_str(&target, "/watch?key=");
    client_append_encoded(&target, buf_slice(&q->before), true);
    buf_printf(&target, "&from=%" PRIu64, q->seen + 1);
    buf_append_byte(&target, 0);
    const struct http_sink sink = {.take = take_piece, .context = w};
    const struct client_request request = {.method = "GET",
                                           .target = (const char *)target.data,
                                           .sink = &sink,
                                           .cancel_fd = q->cancel_fd};
    *w = (struct change_watch){.stream = {.on_event = on_event, .context = w}};
    enum status status = client_ask(url, &request, SILENCE_MS, a);
    event_stream_deinit(&w->stream);
    buf_deinit(&target);
    return status;
}

/* At one member after the other, until the key before has changed. */
static enum status await_change(struct turn_queue *q, struct client_answer *a)
{
    uint32_t count = q->options->endpoint_count;
    for (uint32_t at = 0; !turn_queue_is_cancelled(q); at = (at + 1) % count) {
        struct change_watch w;
        enum status status = watch_at(q, q->options->endpoints[at], &w, a);
        if (w.has_changed) {
            return STATUS_OK;
        }
        if (is_final(status)) {
            return status;
        }
        if (!w.is_heard || at + 1 == count) {
            pause_a_little(q);
        }
    }
    return STATUS_IO;
}

enum status turn_queue_wait(struct turn_queue *q, struct client_answer *a)
{
    while (!q->has_turn) {
        enum status status = await_change(q, a);
        if (status == STATUS_OK) {
            status = look(q, a);
        }
        if (is_final(status)) {
            return status;
        }
        if (!q->has_turn && turn_queue_is_cancelled(q)) {
            return STATUS_IO;
        }
        if (status != STATUS_OK) {
            pause_a_little(q);
        }
    }
    return STATUS_OK;
}

void turn_queue_deinit(struct turn_queue *q)
{
    if (q->client != NULL) {
        client_destroy(q->client);
    }
    buf_deinit(&q->key);
    buf_deinit(&q->before);
}
