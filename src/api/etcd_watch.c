/* etcd_watch.c - many watches on one stream, as etcd's clients ask for them (invariant I15).
 *
 * An event is encoded once for all who are told it in a turn; an answer is a head of its own and
 * those bytes. A client that does not read has all of its watches paused: they go on from the
 * history when it reads again. */
#include "api/audit.h"
#include "api/etcd_call.h"

#include "api/etcd_access.h"
#include "api/etcd_item.h"
#include "api/rest.h"
#include "api/watch_encoding.h"
#include "base/check.h"
#include "base/mem.h"

/* etcd's own: a watch that has nothing to tell says so every ten minutes, if it is asked to. */
#define PROGRESS_MS     (10u * 60u * 1000u)
/* Of an answer with `fragment`: etcd's limit of a request. */
#define FRAGMENT_BYTES  (1536u * KIB)
/* The field of a WatchResponse that has an event, with its wire type: 11, bytes. */
#define EVENTS_TAG      0x5au
#define VARINT_SIZE_MAX 10

struct watch_stream {
    struct etcd_call call;
    struct list watches;
    uint32_t watch_count;
    int64_t next_id;
    bool has_chosen; /* ids of the client's choice, which new ones must not meet */
    struct node_leader_guard guard;
    bool is_guarded;
    bool is_paused;
    bool owes_progress; /* as soon as all are in step */
    struct timer progress;
    struct auth_caller caller; /* who asks for the watches */
};

struct stream_watch {
    struct kv_watch watch;
    struct watch_stream *stream;
    struct list link;
    int64_t id;
    uint64_t auth_stamp; /* when it was last looked at whether he may */
    bool fragments;
    bool tells_progress;
    bool was_told; /* something, since the last tick of the progress timer */
};

static struct stream_watch *watch_of(struct list *link)
{
    return CONTAINER_OF(link, struct stream_watch, link);
}

static void forget(struct stream_watch *w)
{
    kv_watch_cancel(&w->watch);
    list_remove(&w->link);
    w->stream->watch_count--;
    mem_free(w);
}

static void destroy_stream(struct etcd_call *call)
{
    struct watch_stream *s = CONTAINER_OF(call, struct watch_stream, call);
    struct loop *loop = call->api->options.loop;
    while (!list_is_empty(&s->watches)) {
        forget(watch_of(s->watches.next));
    }
    if (s->is_guarded) {
        node_leader_guard_cancel(&s->guard);
    }
    loop->ops->timer_stop(loop, &s->progress);
}

static const struct kv_watch_hub *hub_of(const struct watch_stream *s)
{
    return node_watch_hub(s->call.api->options.node);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void reply(struct watch_stream *s, uint64_t revision, Etcdserverpb__WatchResponse *response)
{
    Etcdserverpb__ResponseHeader header;
    etcd_header_at(s->call.api, revision, &header);
    response->header = &header;
    etcd_reply(&s->call, &response->base);
    response->header = NULL;
}

static void reply_progress(struct watch_stream *s, int64_t id)
{
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    response.watch_id = id;
    reply(s, kv_watch_hub_told(hub_of(s)), &response);
}

/* Of a watch that did not come to be. */
static void reply_refused(struct watch_stream *s, const char *reason)
{
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    response.watch_id = -1;
    response.created = true;
    response.canceled = true;
    response.cancel_reason = (char *)reason;
    reply(s, api_revision(s->call.api), &response);
}

/* --- events ----------------------------------------------------------------------------------- */

/* The bytes of one event as a field of a WatchResponse. */
static struct blob *encode_event(const struct kv_event *e, bool with_previous)
{
    Mvccpb__Event event = MVCCPB__EVENT__INIT;
    Mvccpb__KeyValue kv;
    Mvccpb__KeyValue previous;
    uint8_t head[1 + VARINT_SIZE_MAX] = {EVENTS_TAG};
    size_t head_size = 1;
    event.type = e->is_delete ? MVCCPB__EVENT__EVENT_TYPE__DELETE : MVCCPB__EVENT__EVENT_TYPE__PUT;
    etcd_item_fill(&e->item, &kv);
    event.kv = &kv;
    if (with_previous && e->has_previous) {
        etcd_item_fill(&e->previous, &previous);
        event.prev_kv = &previous;
    }
    size_t size = mvccpb__event__get_packed_size(&event);
    for (size_t left = size;; left >>= 7) {
        head[head_size++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        if (left <= 0x7f) {
            break;
        }
    }
    struct blob *blob = blob_create(head_size + size);
    memcpy(blob->data, head, head_size);
    mvccpb__event__pack(&event, blob->data + head_size);
    return blob;
}

static struct blob *encoded_event(const struct stream_watch *w, struct kv_event *e)
{
    enum watch_encoding which =
        w->watch.wants_previous ? WATCH_ENCODING_ETCD_PREVIOUS : WATCH_ENCODING_ETCD;
    if (e->encoded[which] == NULL) {
        e->encoded[which] = encode_event(e, w->watch.wants_previous);
    }
    return e->encoded[which];
}

/* One answer with events [0, count). `is_part`: others of the same revisions follow. */
static void reply_events(struct stream_watch *w, struct kv_event *const *events, uint32_t count,
                         uint64_t revision, bool is_part)
{
    struct watch_stream *s = w->stream;
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    struct buf joined = {0};
    etcd_header_at(s->call.api, revision, &header);
    response.header = &header;
    response.watch_id = w->id;
    response.fragment = is_part;
    struct blob *shared = blob_ref(encoded_event(w, events[0]));
    if (count > 1) {
        for (uint32_t i = 0; i < count; i++) {
            buf_append_slice(&joined, blob_slice(encoded_event(w, events[i])));
        }
        blob_unref(shared);
        shared = blob_copy(buf_slice(&joined));
        buf_deinit(&joined);
    }
    etcd_reply_shared(&s->call, etcd_pack(s->call.api, &response.base), shared);
    blob_unref(shared);
}

/* How many of the events fit in one answer; at least one. */
static uint32_t count_fitting(const struct stream_watch *w, struct kv_event *const *events,
                              uint32_t count)
{
    size_t bytes = 0;
    if (!w->fragments) {
        return count;
    }
    for (uint32_t i = 0; i < count; i++) {
        bytes += blob_slice(encoded_event(w, events[i])).size;
        if (bytes > FRAGMENT_BYTES) {
            return i > 0 ? i : 1;
        }
    }
    return count;
}

/* Those that are in step go to the end of the list, so that the first that is not is found at once
 * the next time: each of many watches asks this when it comes in step. */
static bool all_in_step(struct watch_stream *s)
{
    for (uint32_t left = s->watch_count; left > 0; left--) {
        struct stream_watch *w = watch_of(s->watches.next);
        if (!kv_watch_is_in_step(&w->watch)) {
            return false;
        }
        list_remove(&w->link);
        list_push_back(&s->watches, &w->link);
    }
    return true;
}

/* Whenever one may have been the last that was behind. */
static void pay_progress(struct watch_stream *s)
{
    if (s->owes_progress && all_in_step(s)) {
        s->owes_progress = false;
        reply_progress(s, -1);
    }
}

static void pause_all(struct watch_stream *s)
{
    s->is_paused = true;
    for (struct list *at = s->watches.next; at != &s->watches; at = at->next) {
        kv_watch_pause(&watch_of(at)->watch);
    }
}

/* May he still read it, by users and roles as they are? Unlike etcd, which asks once. */
static enum auth_verdict may_go_on(struct stream_watch *w)
{
    struct api *api = w->stream->call.api;
    uint64_t stamp = kv_auth_stamp(node_kv(api->options.node));
    if (w->auth_stamp == stamp) {
        return AUTH_ALLOWED;
    }
    w->auth_stamp = stamp;
    return auth_may(api, &w->stream->caller, KV_PERMIT_READ, &w->watch.span);
}

static void end_denied(struct stream_watch *w, enum auth_verdict verdict)
{
    struct watch_stream *s = w->stream;
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    auth_count_refused(s->call.api, verdict);
    audit_denied(&s->call, NULL);
    response.watch_id = w->id;
    response.canceled = true;
    response.cancel_reason = (char *)etcd_reason_of_verdict(verdict);
    forget(w);
    reply(s, api_revision(s->call.api), &response);
    pay_progress(s);
}

static void on_events(struct kv_watch *watch, struct kv_event *const *events, uint32_t count)
{
    struct stream_watch *w = CONTAINER_OF(watch, struct stream_watch, watch);
    struct watch_stream *s = w->stream;
    enum auth_verdict verdict = may_go_on(w);
    if (verdict != AUTH_ALLOWED) {
        end_denied(w, verdict);
        return;
    }
    uint64_t revision = events[count - 1]->revision;
    w->was_told = true;
    while (count > 0) {
        uint32_t fitting = count_fitting(w, events, count);
        reply_events(w, events, fitting, revision, fitting < count);
        events += fitting;
        count -= fitting;
    }
    if (!etcd_wants_more(&s->call)) {
        pause_all(s);
    }
}

static void on_end(struct kv_watch *watch, enum status why)
{
    struct stream_watch *w = CONTAINER_OF(watch, struct stream_watch, watch);
    struct watch_stream *s = w->stream;
    if (why != STATUS_COMPACTED) {
        etcd_fail(&s->call, ETCD_STOPPED);
        return;
    }
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    response.watch_id = w->id;
    response.canceled = true;
    response.compact_revision = (int64_t)watch->compact_revision;
    forget(w);
    reply(s, api_revision(s->call.api), &response);
    pay_progress(s);
}

static void on_writable(struct etcd_call *call)
{
    struct watch_stream *s = CONTAINER_OF(call, struct watch_stream, call);
    s->is_paused = false;
    for (struct list *at = s->watches.next; at != &s->watches; at = at->next) {
        kv_watch_resume(&watch_of(at)->watch);
    }
    pay_progress(s);
}

/* --- progress --------------------------------------------------------------------------------- */

static void on_in_step(struct kv_watch *watch)
{
    pay_progress(CONTAINER_OF(watch, struct stream_watch, watch)->stream);
}

static void start_progress_timer(struct watch_stream *s)
{
    struct loop *loop = s->call.api->options.loop;
    if (s->progress.slot == 0) {
        loop->ops->timer_start(loop, &s->progress, loop->ops->now_ms(loop) + PROGRESS_MS);
    }
}

static void on_progress_timer(struct timer *t)
{
    struct watch_stream *s = t->context;
    for (struct list *at = s->watches.next; at != &s->watches; at = at->next) {
        struct stream_watch *w = watch_of(at);
        if (w->tells_progress && !w->was_told && kv_watch_is_in_step(&w->watch)) {
            reply_progress(s, w->id);
        }
        w->was_told = false;
    }
    start_progress_timer(s);
}

/* --- requests --------------------------------------------------------------------------------- */

static struct stream_watch *find_watch(const struct watch_stream *s, int64_t id)
{
    for (struct list *at = s->watches.next; at != &s->watches; at = at->next) {
        if (watch_of(at)->id == id) {
            return watch_of(at);
        }
    }
    return NULL;
}

static int64_t new_id(struct watch_stream *s)
{
    while (s->has_chosen && find_watch(s, s->next_id) != NULL) {
        s->next_id++;
    }
    return s->next_id++;
}

static struct slice slice_of_binary(ProtobufCBinaryData data)
{
    return slice_of(data.data, data.len);
}

/* An empty key stands for the lowest one. */
static struct kv_span span_of(const Etcdserverpb__WatchCreateRequest *request)
{
    static const uint8_t lowest = 0;
    struct slice key = slice_of_binary(request->key);
    return kv_span_of(key.size > 0 ? key : slice_of(&lowest, 1),
                      slice_of_binary(request->range_end));
}

static void take_filters(const Etcdserverpb__WatchCreateRequest *request, struct kv_watch *watch)
{
    for (size_t i = 0; i < request->n_filters; i++) {
        watch->no_puts =
            watch->no_puts ||
            request->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
        watch->no_deletes =
            watch->no_deletes ||
            request->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    }
}

/* What etcd says of a watch that cannot be; NULL: it can. */
static const char *refusal(const struct watch_stream *s,
                           const Etcdserverpb__WatchCreateRequest *request,
                           const struct kv_span *span)
{
    if (span->kind == KV_SPAN_RANGE && slice_compare(span->key, span->end) >= 0) {
        return "mvcc: watcher range is empty";
    }
    if (request->watch_id != 0 && find_watch(s, request->watch_id) != NULL) {
        return "mvcc: duplicate watch ID provided on the WatchStream";
    }
    return NULL;
}

static struct stream_watch *make_watch(struct watch_stream *s,
                                       const Etcdserverpb__WatchCreateRequest *request)
{
    struct stream_watch *w = mem_calloc(1, sizeof(*w));
    w->stream = s;
    w->fragments = request->fragment;
    w->tells_progress = request->progress_notify;
    w->watch.span = span_of(request);
    w->watch.start_revision = request->start_revision > 0 ? (uint64_t)request->start_revision : 0;
    w->watch.wants_previous = request->prev_kv;
    w->watch.on_events = on_events;
    w->watch.on_in_step = on_in_step;
    w->watch.on_end = on_end;
    take_filters(request, &w->watch);
    return w;
}

static void create_watch(struct watch_stream *s, const Etcdserverpb__WatchCreateRequest *request)
{
    struct kv_span span = span_of(request);
    const char *why = refusal(s, request, &span);
    if (why != NULL) {
        reply_refused(s, why);
        return;
    }
    enum auth_verdict verdict = etcd_verdict(&s->call, KV_PERMIT_READ, &span);
    if (verdict != AUTH_ALLOWED) {
        auth_count_refused(s->call.api, verdict);
        audit_denied(&s->call, &request->base);
        reply_refused(s, etcd_reason_of_verdict(verdict));
        return;
    }
    if (s->caller.name_size == 0) {
        etcd_caller(&s->call, &s->caller);
    }
    struct stream_watch *w = make_watch(s, request);
    w->auth_stamp = kv_auth_stamp(node_kv(s->call.api->options.node));
    enum status status = node_watch_start(s->call.api->options.node, &w->watch);
    if (status != STATUS_OK) {
        mem_free(w);
        bool is_too_long = status == STATUS_INVALID; /* a key */
        reply_refused(
            s, etcd_error_text(is_too_long ? ETCD_REQUEST_TOO_LARGE : etcd_error_of(status)));
        return;
    }
    s->has_chosen = s->has_chosen || request->watch_id != 0;
    w->id = request->watch_id != 0 ? request->watch_id : new_id(s);
    list_push_back(&s->watches, &w->link);
    s->watch_count++;
    if (s->is_paused) {
        kv_watch_pause(&w->watch);
    }
    if (w->tells_progress) {
        start_progress_timer(s);
    }
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    response.watch_id = w->id;
    response.created = true;
    reply(s, api_revision(s->call.api), &response);
}

static void cancel_watch(struct watch_stream *s, int64_t id)
{
    struct stream_watch *w = find_watch(s, id);
    if (w == NULL) {
        return;
    }
    forget(w);
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    response.watch_id = id;
    response.canceled = true;
    reply(s, api_revision(s->call.api), &response);
    pay_progress(s);
}

static void on_message(struct etcd_call *call, const ProtobufCMessage *message)
{
    struct watch_stream *s = CONTAINER_OF(call, struct watch_stream, call);
    const Etcdserverpb__WatchRequest *request = (const void *)message;
    switch (request->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        create_watch(s, request->create_request);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        cancel_watch(s, request->cancel_request->watch_id);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        s->owes_progress = true;
        pay_progress(s);
        break;
    default:
        break; /* of a newer version: etcd passes over it, too */
    }
}

/* The stream lives on: a client of the gateway says all of its requests at once. */
static void on_half_close(struct etcd_call *call)
{
    (void)call;
}

static void on_leader_lost(struct node_leader_guard *guard)
{
    struct watch_stream *s = guard->context;
    s->is_guarded = false;
    etcd_fail(&s->call, ETCD_NO_LEADER);
}

static void start_watch(struct etcd_call *call)
{
    struct watch_stream *s = CONTAINER_OF(call, struct watch_stream, call);
    call->destroy = destroy_stream;
    call->on_message = on_message;
    call->on_half_close = on_half_close;
    call->on_writable = on_writable;
    list_init(&s->watches);
    s->progress = (struct timer){.fire = on_progress_timer, .context = s};
    if (!etcd_requires_leader(call)) {
        return;
    }
    s->guard = (struct node_leader_guard){.lost = on_leader_lost, .context = s};
    s->is_guarded = node_leader_guard_start(call->api->options.node, &s->guard);
    if (!s->is_guarded) {
        etcd_fail(call, ETCD_NO_LEADER);
    }
}

static const struct etcd_method methods[] = {
    {.path = "/etcdserverpb.Watch/Watch",
     .routes = {"/watch"},
     .request = &etcdserverpb__watch_request__descriptor,
     .response = &etcdserverpb__watch_response__descriptor,
     .client_streams = true,
     .server_streams = true,
     .access = ETCD_FOR_PERMITTED,
     .reads = true,
     .call_size = sizeof(struct watch_stream),
     .start = start_watch},
};
const struct etcd_service etcd_watch_service = {methods, sizeof(methods) / sizeof(methods[0])};
