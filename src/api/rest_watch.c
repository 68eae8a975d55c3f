/* rest_watch.c - GET /watch: what happens to keys, as server-sent events, one a revision.
 *
 * A reader gets what its connection takes: a slow one is paused, and goes on from the history when
 * it reads again. One that has lost the history is told all there is (resync) and goes on from
 * there, so that nobody is ever stranded:
 *
 *     following --(compacted)--> resync-begin, resync ..., resync-end --> following
 *
 * Every id is a revision up to which the reader was told everything; Last-Event-ID brings it back.
 */
#include "api/audit.h"
#include "api/json_value.h"
#include "api/rest.h"
#include "api/watch_encoding.h"

#include "base/check.h"
#include "base/mem.h"

#define TYPE_EVENTS "text/event-stream"
#define HEADERS     "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
#define PROGRESS_MS 10000
#define TICK_MS     1000
#define RESYNC_KEYS 1000 /* of one event; STREAM_PIECE_BYTES may end it before */

struct watchers {
    struct api *api;
    struct list list; /* of watcher */
    uint32_t count;
    struct timer timer; /* runs while there are any */
};

struct watcher {
    struct call call;
    struct list link;
    struct kv_watch watch;
    struct node_leader_guard guard;
    bool is_guarded;
    uint64_t from; /* the first revision that was asked for; 0 = none in particular */
    uint64_t spoken_ms;
    uint64_t auth_stamp; /* when it was last looked at whether he may */
    /* All there is, as of the cursor's revision. */
    bool resyncs;
    struct kv_cursor cursor;
    struct buf key; /* where the span begins and ends */
    struct buf end;
};

static uint64_t now_ms(const struct api *api)
{
    struct loop *loop = api->options.loop;
    return loop->ops->now_ms(loop);
}

static void destroy_watcher(struct call *c)
{
    struct watcher *s = CONTAINER_OF(c, struct watcher, call);
    struct watchers *all = c->api->watchers;
    kv_watch_cancel(&s->watch);
    if (s->is_guarded) {
        node_leader_guard_cancel(&s->guard);
    }
    if (s->resyncs) {
        kv_cursor_deinit(&s->cursor);
    }
    list_remove(&s->link);
    if (--all->count == 0) {
        struct loop *loop = c->api->options.loop;
        loop->ops->timer_stop(loop, &all->timer);
    }
    buf_deinit(&s->key);
    buf_deinit(&s->end);
    mem_free(s);
}

/* --- events as text --------------------------------------------------------------------------- */

/* A value may have line breaks, between its tokens: each line is one of `data`, and a reader puts
 * them together again. */
static void append_data(struct buf *out, struct slice json)
{
    buf_append_str(out, "data: ");
    for (size_t i = 0; i < json.size; i++) {
        uint8_t byte = json.data[i];
        bool is_pair = byte == '\r' && i + 1 < json.size && json.data[i + 1] == '\n';
        if ((byte == '\n' || byte == '\r') && !is_pair) {
            buf_append_str(out, "\ndata: ");
        } else if (!is_pair) {
            buf_append_byte(out, byte);
        }
    }
    buf_append_str(out, "\n\n");
}

/* The fields of a key, but for its revision. */
static void print_item(struct json_writer *w, const struct kv_item *item)
{
    json_field_string(w, "key", item->key);
    json_field_value(w, item->value);
    json_field_u64(w, "createRevision", item->create_revision);
    json_field_u64(w, "version", item->version);
}

static void print_event(struct json_writer *w, const struct kv_event *e)
{
    json_open_object(w);
    json_field_text(w, "type", e->is_delete ? "delete" : "put");
    if (e->is_delete) {
        json_field_string(w, "key", e->item.key);
    } else {
        print_item(w, &e->item);
    }
    json_close_object(w);
}

/* Events of one revision. */
static void print_change(struct buf *text, struct kv_event *const *events, uint32_t count)
{
    struct buf json = {0};
    struct json_writer w = {.out = &json};
    json_open_object(&w);
    json_field_u64(&w, "revision", events[0]->revision);
    json_write_name(&w, "events");
    json_open_array(&w);
    for (uint32_t i = 0; i < count; i++) {
        print_event(&w, events[i]);
    }
    json_close_array(&w);
    json_close_object(&w);
    buf_append_str(text, "id: ");
    buf_append_u64(text, events[0]->revision);
    buf_append_str(text, "\nevent: change\n");
    append_data(text, buf_slice(&json));
    buf_deinit(&json);
}

/* An event of which the revision is all. */
static void send_mark(struct watcher *s, const char *type, uint64_t revision, bool with_id)
{
    struct buf text = {0};
    if (with_id) {
        buf_append_str(&text, "id: ");
        buf_append_u64(&text, revision);
        buf_append_byte(&text, '\n');
    }
    buf_printf(&text, "event: %s\ndata: {\"revision\":", type);
    buf_append_u64(&text, revision);
    buf_append_str(&text, "}\n\n");
    http_answer_chunk(s->call.http, buf_slice(&text));
    buf_deinit(&text);
    s->spoken_ms = now_ms(s->call.api);
}

/* With an id, unless that would bring back what was not asked for. */
static void send_progress(struct watcher *s, uint64_t revision)
{
    send_mark(s, "progress", revision, revision + 1 >= s->from);
}

/* --- following -------------------------------------------------------------------------------- */

static void send_change(struct watcher *s, struct kv_event *const *events, uint32_t count)
{
    struct buf text = {0};
    if (count < events[0]->place_count) { /* part of a revision: which part is this reader's own */
        print_change(&text, events, count);
        http_answer_chunk(s->call.http, buf_slice(&text));
    } else {
        struct blob **shared = &events[0]->encoded[WATCH_ENCODING_SSE];
        if (*shared == NULL) {
            print_change(&text, events, count);
            *shared = blob_copy(buf_slice(&text));
        }
        http_answer_chunk_shared(s->call.http, *shared);
    }
    buf_deinit(&text);
}

static void on_events(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    struct watcher *s = w->context;
    for (uint32_t first = 0; first < count;) {
        uint32_t next = first + 1;
        while (next < count && events[next]->revision == events[first]->revision) {
            next++;
        }
        send_change(s, events + first, next - first);
        first = next;
    }
    s->spoken_ms = now_ms(s->call.api);
    if (!http_answer_wants_more(s->call.http)) {
        kv_watch_pause(w);
    }
}

static void end_stream(struct watcher *s)
{
    struct http_request *r = s->call.http;
    call_end(&s->call);
    http_answer_end(r);
}

/* Here nothing would be told for who knows how long: elsewhere perhaps it is. */
static void on_no_leader(struct node_leader_guard *g)
{
    end_stream(CONTAINER_OF(g, struct watcher, guard));
}

static void begin_resync(struct watcher *s);
static void go_on_resync(struct watcher *s);

static void on_end(struct kv_watch *w, enum status why)
{
    struct watcher *s = w->context;
    if (why == STATUS_COMPACTED) {
        begin_resync(s);
        go_on_resync(s);
    } else {
        end_stream(s);
    }
}

static enum status follow(struct watcher *s, uint64_t start)
{
    bool is_key = s->watch.span.kind == KV_SPAN_KEY;
    enum kv_span_kind kind = s->end.size > 0 ? KV_SPAN_RANGE : KV_SPAN_FROM;
    s->watch = (struct kv_watch){.span = {.kind = is_key ? KV_SPAN_KEY : kind,
                                          .key = buf_slice(&s->key),
                                          .end = buf_slice(&s->end)},
                                 .start_revision = start,
                                 .on_events = on_events,
                                 .on_end = on_end,
                                 .context = s};
    return node_watch_start(s->call.api->options.node, &s->watch);
}

/* --- all there is ----------------------------------------------------------------------------- */

/* NOT_FOUND: there are no more keys. */
static enum status print_keys(struct watcher *s, struct json_writer *w)
{
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < RESYNC_KEYS && w->out->size < STREAM_PIECE_BYTES; n++) {
        struct kv_item item;
        status = kv_cursor_next(&s->cursor, &item);
        if (status != STATUS_OK) {
            break;
        }
        json_open_object(w);
        print_item(w, &item);
        json_field_u64(w, "revision", item.revision);
        json_close_object(w);
    }
    return status;
}

static enum status send_keys(struct watcher *s)
{
    struct buf json = {0};
    struct json_writer w = {.out = &json};
    json_open_object(&w);
    json_field_u64(&w, "revision", s->cursor.revision);
    json_write_name(&w, "keys");
    json_open_array(&w);
    size_t empty = json.size;
    enum status status = print_keys(s, &w);
    if (json.size > empty) {
        json_close_array(&w);
        json_close_object(&w);
        struct buf text = {0};
        buf_append_str(&text, "event: resync\n");
        append_data(&text, buf_slice(&json));
        http_answer_chunk(s->call.http, buf_slice(&text));
        buf_deinit(&text);
        s->spoken_ms = now_ms(s->call.api);
    }
    buf_deinit(&json);
    return status;
}

static void end_resync(struct watcher *s)
{
    uint64_t revision = s->cursor.revision;
    kv_cursor_deinit(&s->cursor);
    s->resyncs = false;
    send_mark(s, "resync-end", revision, true);
    if (follow(s, revision + 1) != STATUS_OK) {
        end_stream(s);
    }
}

/* As far as the connection takes it. */
static void go_on_resync(struct watcher *s)
{
    while (http_answer_wants_more(s->call.http)) {
        enum status status = send_keys(s);
        if (status == STATUS_NOT_FOUND) {
            end_resync(s);
            return;
        }
        if (status != STATUS_OK) { /* the reader was so slow that this, too, was compacted */
            kv_cursor_deinit(&s->cursor);
            begin_resync(s);
        }
    }
}

static void begin_resync(struct watcher *s)
{
    const struct kv *kv = node_kv(s->call.api->options.node);
    struct buf end = {0};
    if (s->watch.span.kind == KV_SPAN_KEY) {
        buf_append_slice(&end, buf_slice(&s->key));
        buf_append_byte(&end, 0);
    } else {
        buf_append_slice(&end, buf_slice(&s->end));
    }
    enum status now = kv_cursor_init(&s->cursor, kv, buf_slice(&s->key), buf_slice(&end), 0);
    CHECK(now == STATUS_OK);
    buf_deinit(&end);
    s->resyncs = true;
    send_mark(s, "resync-begin", s->cursor.revision, false);
}

static void on_writable(struct http_request *r)
{
    struct watcher *s = CONTAINER_OF(r->user, struct watcher, call);
    if (s->resyncs) {
        go_on_resync(s);
    } else {
        kv_watch_resume(&s->watch);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

/* May he who asks read all of the span, by users and roles as they are? */
static enum auth_verdict may_watch(struct watcher *s)
{
    struct api *api = s->call.api;
    bool is_key = s->watch.span.kind == KV_SPAN_KEY;
    const struct kv_span span = {.kind = is_key            ? KV_SPAN_KEY
                                         : s->end.size > 0 ? KV_SPAN_RANGE
                                                           : KV_SPAN_FROM,
                                 .key = buf_slice(&s->key),
                                 .end = buf_slice(&s->end)};
    s->auth_stamp = kv_auth_stamp(node_kv(api->options.node));
    return auth_may(api, &s->call.caller, KV_PERMIT_READ, &span);
}

/* It is asked again when users and roles have changed. */
static enum auth_verdict may_go_on(struct watcher *s)
{
    bool is_known = s->auth_stamp == kv_auth_stamp(node_kv(s->call.api->options.node));
    return is_known ? AUTH_ALLOWED : may_watch(s);
}

/* He comes back and is told why. */
static void end_denied(struct watcher *s, enum auth_verdict verdict)
{
    struct http_request *r = s->call.http;
    auth_count_refused(s->call.api, verdict);
    audit_expect(s->call.api, r, &s->call.caller);
    if (r->note != NULL) {
        audit_http(r, 403);
    }
    end_stream(s);
}

static void start_timer(struct watchers *all)
{
    struct loop *loop = all->api->options.loop;
    loop->ops->timer_start(loop, &all->timer, loop->ops->now_ms(loop) + TICK_MS);
}

/* One that does not read gets none, and is closed by LIMIT_HTTP_WRITE_STALL_MS. */
static void on_tick(struct timer *t)
{
    struct watchers *all = t->context;
    uint64_t now = now_ms(all->api);
    start_timer(all);
    for (struct list *at = all->list.next; at != &all->list;) {
        struct watcher *s = CONTAINER_OF(at, struct watcher, link);
        at = at->next;
        enum auth_verdict verdict = may_go_on(s);
        if (verdict != AUTH_ALLOWED) {
            end_denied(s, verdict);
        } else if (s->resyncs) {
            go_on_resync(s);
        } else if (now - s->spoken_ms >= PROGRESS_MS && kv_watch_is_in_step(&s->watch) &&
                   http_answer_unsent(s->call.http) == 0) {
            send_progress(s, kv_watch_told(&s->watch));
        }
    }
}

/* --- the request ------------------------------------------------------------------------------ */

static bool is_key_size(struct slice text)
{
    return text.size > 0 && text.size <= LIMIT_KEY_BYTES;
}

/* False: answered. */
static bool parse_span(struct watcher *s, struct http_request *r, struct query *q)
{
    struct slice prefix = query_value(q, "prefix");
    struct slice key = query_value(q, "key");
    bool is_ok = true;
    if (query_has(q, "key") && (query_has(q, "prefix") || !is_key_size(key))) {
        (void)query_refuse(q, "key", "must be a key of up to 4096 bytes, and without prefix");
        is_ok = false;
    } else if (prefix.size > LIMIT_KEY_BYTES) {
        (void)query_refuse(q, "prefix", "too long");
        is_ok = false;
    }
    if (!is_ok || query_number(q, "from", 1, &s->from) != STATUS_OK) {
        answer_bad_query(s->call.api, r, q);
        return false;
    }
    bool is_key = query_has(q, "key");
    s->watch.span.kind = is_key ? KV_SPAN_KEY : KV_SPAN_RANGE;
    buf_append_slice(&s->key, is_key ? key : prefix);
    if (!is_key) {
        kv_prefix_end(prefix, &s->end);
    }
    struct slice last = http_header_find(r, "Last-Event-ID");
    uint64_t number;
    if (last.data != NULL && number_parse(last, &number) && number < UINT64_MAX) {
        s->from = number + 1;
    }
    return true;
}

static void answer_refused(struct api *api, struct http_request *r, enum status why)
{
    if (why == STATUS_CLOSED) {
        answer_error_reason(api, r, 503, "Not ready", "this member is stopping");
    } else if (why == STATUS_NOT_LEADER) {
        answer_later(api, r, "No leader", "this member knows none; ask another", 1);
    } else {
        answer_later(api, r, "Too many streams",
                     "as many watches as this member takes are open; ask another", 5);
    }
}

static void begin_stream(struct watcher *s)
{
    struct http_request *r = s->call.http;
    http_answer_begin(r, 200, TYPE_EVENTS, HEADERS);
    http_answer_chunk(r, slice_str("retry: 1000\n\n"));
    r->on_writable = on_writable;
    if (s->from == 0) { /* so that it can come back also if nothing happens */
        send_progress(s, api_revision(s->call.api));
    }
}

void rest_watch(struct api *api, struct http_request *r, struct query *q)
{
    if (r->method == HTTP_HEAD) {
        http_answer_begin(r, 200, TYPE_EVENTS, HEADERS);
        http_answer_end(r);
        return;
    }
    struct watchers *all = api->watchers;
    if (all->count >= LIMIT_LIVE_STREAMS) {
        answer_refused(api, r, STATUS_OVERLOADED);
        return;
    }
    struct watcher *s = mem_calloc(1, sizeof(*s));
    list_push_back(&all->list, &s->link);
    if (all->count++ == 0) {
        start_timer(all);
    }
    call_begin(&s->call, api, r, destroy_watcher);
    s->spoken_ms = now_ms(api);
    if (!parse_span(s, r, q) || !rest_allows(api, r, may_watch(s))) {
        return;
    }
    s->guard.lost = on_no_leader;
    s->is_guarded = node_leader_guard_start(api->options.node, &s->guard);
    enum status status = s->is_guarded ? follow(s, s->from) : STATUS_NOT_LEADER;
    if (status != STATUS_OK) {
        answer_refused(api, r, status);
        return;
    }
    begin_stream(s);
}

struct watchers *watchers_create(struct api *api)
{
    struct watchers *all = mem_calloc(1, sizeof(*all));
    all->api = api;
    all->timer = (struct timer){.fire = on_tick, .context = all};
    list_init(&all->list);
    return all;
}

void watchers_destroy(struct watchers *all)
{
    mem_free(all);
}
