/* events.c - GET /events: what happens in the cluster as server-sent events.
 *
 * A listener keeps only the number of the event that it gets next. One that is too late for it, or
 * that has just come, gets `state`: how things stand, with the id of the newest event. */
#include "api/feed.h"

#include "base/mem.h"

#include <string.h>

#define TYPE_EVENTS     "text/event-stream"
/* A comment, so that a proxy, and a listener's own timeout, see that the stream lives. */
#define HEARTBEAT_TICKS (10000 / FEED_TICK_MS)

struct listener {
    struct call call;
    struct list link;   /* feed->listeners */
    uint64_t next;      /* the event to send */
    bool needs_state;   /* before it */
    uint64_t spoken_at; /* tick of the last word */
    uint64_t late_since;
};

static void destroy_listener(struct call *c)
{
    struct listener *l = CONTAINER_OF(c, struct listener, call);
    list_remove(&l->link);
    feed_leave(c->api->feed);
    mem_free(l);
}

/* --- handing out ------------------------------------------------------------------------------ */

static bool is_kept(const struct feed *f, uint64_t number)
{
    return number > 0 && f->events[number % FEED_EVENTS].number == number;
}

static struct blob *render_state(struct feed *f)
{
    struct loop *loop = f->api->options.loop;
    struct buf text = {0};
    struct json_writer w = {.out = &text};
    buf_printf(&text, "id: %s-", f->life);
    buf_append_u64(&text, f->next_number - 1);
    buf_append_str(&text, "\nevent: state\ndata: ");
    json_open_object(&w);
    json_field_text(&w, "type", "state");
    json_field_u64(&w, "time", loop->ops->wall_ms(loop));
    feed_print_state(f, &w);
    json_close_object(&w);
    buf_append_str(&text, "\n\n");
    struct blob *state = blob_copy(buf_slice(&text));
    buf_deinit(&text);
    return state;
}

/* `state` is rendered when the first listener of this tick needs it. */
static void serve_one(struct feed *f, struct listener *l, struct blob **state)
{
    struct http_request *r = l->call.http;
    if (l->needs_state) {
        *state = *state != NULL ? *state : render_state(f);
        http_answer_chunk_shared(r, *state);
        l->needs_state = false;
        l->next = f->next_number;
    }
    for (; l->next < f->next_number; l->next++) {
        http_answer_chunk_shared(r, f->events[l->next % FEED_EVENTS].text);
    }
    l->spoken_at = f->ticks;
}

static void maybe_serve(struct feed *f, struct listener *l, struct blob **state)
{
    l->needs_state = l->needs_state || (l->next < f->next_number && !is_kept(f, l->next));
    if (l->needs_state && f->member_count == 0 && f->surveys) {
        return; /* the members are being asked for the first time */
    }
    bool has_news = l->needs_state || l->next < f->next_number;
    bool is_due = f->ticks - l->spoken_at >= HEARTBEAT_TICKS;
    if ((!has_news && !is_due) || !feed_may_write(f, &l->call, &l->late_since)) {
        return;
    }
    if (!has_news) {
        http_answer_chunk(l->call.http, slice_str(": heartbeat\n\n"));
    }
    serve_one(f, l, state);
}

void events_serve(struct feed *f)
{
    struct blob *state = NULL;
    for (struct list *link = f->listeners.next; link != &f->listeners;) {
        struct listener *l = CONTAINER_OF(link, struct listener, link);
        link = link->next;
        maybe_serve(f, l, &state);
    }
    blob_unref(state);
}

void events_end_all(struct feed *f)
{
    while (!list_is_empty(&f->listeners)) {
        struct listener *l = CONTAINER_OF(f->listeners.next, struct listener, link);
        struct http_request *r = l->call.http;
        call_end(&l->call);
        http_answer_end(r);
    }
}

/* --- the request ------------------------------------------------------------------------------ */

#define HEADERS "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"

/* Where a listener that was here before goes on; 0 when that is not known any more. */
static uint64_t resume_at(const struct feed *f, const struct http_request *r)
{
    struct slice last = http_header_find(r, "Last-Event-ID");
    size_t skip = FEED_ID_BYTES + 1;
    uint64_t number;
    if (last.size <= skip || memcmp(last.data, f->life, FEED_ID_BYTES) != 0 ||
        last.data[FEED_ID_BYTES] != '-' ||
        !number_parse(slice_of(last.data + skip, last.size - skip), &number)) {
        return 0;
    }
    bool is_there =
        number < f->next_number && (number + 1 == f->next_number || is_kept(f, number + 1));
    return is_there ? number + 1 : 0;
}

void rest_events(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    if (r->method == HTTP_HEAD) {
        http_answer_begin(r, 200, TYPE_EVENTS, HEADERS);
        http_answer_end(r);
        return;
    }
    struct feed *f = api->feed;
    if (!feed_join(f, r)) {
        return;
    }
    struct listener *l = mem_calloc(1, sizeof(*l));
    call_begin(&l->call, api, r, destroy_listener);
    list_push_back(&f->listeners, &l->link);
    l->next = resume_at(f, r);
    l->needs_state = l->next == 0;
    l->spoken_at = f->ticks;
    http_answer_begin(r, 200, TYPE_EVENTS, HEADERS);
    http_answer_chunk(r, slice_str("retry: 2000\n\n"));
}
