#include "api/feed.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* In ticks. */
#define SURVEY_EVERY 10
#define LOAD_EVERY   50

/* --- small things ----------------------------------------------------------------------------- */

void feed_make_id(struct feed *f, char id[FEED_ID_BYTES + 1])
{
    struct loop *loop = f->api->options.loop;
    uint8_t bytes[FEED_ID_BYTES / 2];
    loop->ops->random(loop, bytes, sizeof(bytes));
    for (size_t i = 0; i < FEED_ID_BYTES; i++) {
        id[i] = "0123456789abcdef"[bytes[i / 2] >> (i % 2 * 4) & 15];
    }
    id[FEED_ID_BYTES] = '\0';
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool feed_may_write(struct feed *f, struct call *c, uint64_t *late_since)
{
    struct http_request *r = c->http;
    if (http_answer_unsent(r) == 0) {
        *late_since = 0;
        return true;
    }
    if (*late_since == 0) {
        *late_since = f->ticks + 1;
    } else if (f->ticks + 1 - *late_since >= LIMIT_LIVE_LATE_MS / FEED_TICK_MS) {
        call_end(c);
        http_answer_abort(r);
    }
    return false;
}

/* Of the clients of a member as it told; UINT64_MAX = not known. */
static uint64_t connections_at(const struct node_load_item *loads, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (loads[i].member.id == id && loads[i].age_ms != UINT64_MAX) {
            return loads[i].load.connections;
        }
    }
    return UINT64_MAX;
}

void feed_print_state(struct feed *f, struct json_writer *w)
{
    const struct node_survey_item *leader = survey_leader(f->members, f->member_count);
    const struct node_status *s = api_status(f->api);
    struct node_load_item loads[LIMIT_MEMBERS];
    uint32_t load_count = node_loads_get(f->api->options.node, loads);
    json_field_text(w, "id", s->name);
    json_field_text_or_null(w, "role", s->role);
    json_field_u64(w, "term", s->term);
    json_field_text_or_null(w, "leaderId", s->leader);
    json_write_name(w, "members");
    json_open_array(w);
    for (uint32_t i = 0; i < f->member_count; i++) {
        const struct node_survey_item *item = &f->members[i];
        json_open_object(w);
        survey_print_member(w, item, leader);
        json_field_u64_or_null(w, "connections",
                               connections_at(loads, load_count, item->member.id));
        json_close_object(w);
    }
    json_close_array(w);
    json_field_u64(w, "sessions", f->page_count);
    print_load(w, f->api);
}

/* --- events ----------------------------------------------------------------------------------- */

/* An event in the making: `{"type":...,"time":...` and the fields to come. */
struct making {
    struct buf json;
    struct json_writer writer;
    const char *type;
};

static struct json_writer *begin_event(struct feed *f, struct making *m, const char *type)
{
    struct loop *loop = f->api->options.loop;
    *m = (struct making){.type = type};
    m->writer.out = &m->json;
    json_open_object(&m->writer);
    json_field_text(&m->writer, "type", type);
    json_field_u64(&m->writer, "time", loop->ops->wall_ms(loop));
    return &m->writer;
}

static void end_event(struct feed *f, struct making *m, bool is_news)
{
    json_close_object(&m->writer);
    struct buf text = {0};
    buf_printf(&text, "id: %s-", f->life);
    buf_append_u64(&text, f->next_number);
    buf_printf(&text, "\nevent: %s\ndata: ", m->type);
    size_t data_at = text.size;
    buf_append_slice(&text, buf_slice(&m->json));
    buf_append_str(&text, "\n\n");

    struct feed_event *e = &f->events[f->next_number % FEED_EVENTS];
    blob_unref(e->text);
    e->number = f->next_number++;
    e->text = blob_copy(buf_slice(&text));
    e->data = slice_of(e->text->data + data_at, m->json.size);
    e->is_news = is_news;
    buf_deinit(&text);
    buf_deinit(&m->json);
}

static void tell_role(struct feed *f, const char *id, const char *role, const char *was,
                      uint64_t term)
{
    struct making m;
    struct json_writer *w = begin_event(f, &m, "role");
    json_field_text(w, "id", id);
    json_field_text_or_null(w, "role", role);
    json_field_text_or_null(w, "was", was);
    json_field_u64(w, "term", term);
    end_event(f, &m, true);
}

static void tell_member(struct feed *f, const struct node_survey_item *item, const char *change)
{
    struct making m;
    struct json_writer *w = begin_event(f, &m, "member");
    json_field_text(w, "id", item->member.name);
    json_field_text(w, "url", item->member.url);
    json_field_text(w, "change", change);
    end_event(f, &m, true);
}

/* --- this member ------------------------------------------------------------------------------ */

static void elections_of(const struct feed *f, uint64_t counts[FEED_ELECTIONS])
{
    struct node_metrics metrics;
    node_metrics_get(f->api->options.node, &metrics);
    counts[0] = metrics.elections_transfer;
    counts[1] = metrics.elections_lost_leader;
    counts[2] = metrics.elections_timeout;
}

/* Of what is counted at once, the first is the reason for the others. */
static void observe_elections(struct feed *f, const struct node_status *s)
{
    static const char *const causes[FEED_ELECTIONS] = {
        "leadership was handed over", "the leader's connection ended", "no word from the leader"};
    uint64_t counts[FEED_ELECTIONS];
    const char *cause = NULL;
    elections_of(f, counts);
    for (size_t i = FEED_ELECTIONS; i-- > 0;) {
        cause = counts[i] > f->elections[i] ? causes[i] : cause;
        f->elections[i] = counts[i];
    }
    if (cause != NULL) {
        struct making m;
        struct json_writer *w = begin_event(f, &m, "election");
        json_field_text(w, "id", s->name);
        json_field_text(w, "cause", cause);
        json_field_u64(w, "term", s->term);
        end_event(f, &m, true);
    }
}

static void remember_self(struct feed *f, const struct node_status *s)
{
    f->role = s->role;
    f->term = s->term;
    memcpy(f->leader, s->leader, sizeof(f->leader));
}

static void observe_self(struct feed *f, const struct node_status *s)
{
    observe_elections(f, s);
    if (!is_same_text(s->role, f->role)) {
        tell_role(f, s->name, s->role, f->role, s->term);
    }
    if (strcmp(s->leader, f->leader) != 0 || (s->leader[0] != '\0' && s->term != f->term)) {
        struct making m;
        struct json_writer *w = begin_event(f, &m, "leader");
        json_field_text_or_null(w, "leaderId", s->leader);
        json_field_text_or_null(w, "leaderUrl", s->leader_url);
        json_field_text_or_null(w, "was", f->leader);
        json_field_u64(w, "term", s->term);
        end_event(f, &m, true);
    }
    remember_self(f, s);
}

static void print_ids(struct json_writer *w, const char *name, const struct feed_sessions *s)
{
    json_write_name(w, name);
    json_open_array(w);
    for (uint32_t i = 0; i < s->count && i < FEED_IDS_TOLD; i++) {
        json_write_string(w, slice_str(s->ids[i]));
    }
    json_close_array(w);
}

static void observe_sessions(struct feed *f)
{
    if (f->began.count == 0 && f->ended.count == 0) {
        return;
    }
    struct making m;
    struct json_writer *w = begin_event(f, &m, "sessions");
    json_field_u64(w, "sessions", f->page_count);
    json_field_u64(w, "began", f->began.count);
    print_ids(w, "beganIds", &f->began);
    json_field_u64(w, "ended", f->ended.count);
    print_ids(w, "endedIds", &f->ended);
    end_event(f, &m, false);
    f->began.count = 0;
    f->ended.count = 0;
}

static uint32_t connections_of(const struct feed *f)
{
    return api_connections(f->api);
}

static uint64_t requests_of(const struct feed *f)
{
    return (uint64_t)(f->api->requests_per_second + 0.5);
}

/* Told when it is another; a member at rest has nothing to say. */
static void observe_load(struct feed *f)
{
    uint32_t connections = connections_of(f);
    uint64_t requests = requests_of(f);
    if (connections == f->connections && requests == f->requests) {
        return;
    }
    f->connections = connections;
    f->requests = requests;
    struct making m;
    struct json_writer *w = begin_event(f, &m, "load");
    json_field_u64(w, "sessions", f->page_count);
    print_load(w, f->api);
    end_event(f, &m, false);
}

/* --- all members ------------------------------------------------------------------------------ */

static const struct node_survey_item *find_member(const struct node_survey_item *items,
                                                  uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(items[i].member.name, name) == 0) {
            return &items[i];
        }
    }
    return NULL;
}

static void compare_member(struct feed *f, const struct node_survey_item *now)
{
    const struct node_survey_item *was = find_member(f->members, f->member_count, now->member.name);
    if (was == NULL) {
        tell_member(f, now, "joined");
        return;
    }
    if (now->online != was->online) {
        tell_member(f, now, now->online ? "online" : "offline");
    }
    if (!now->member.self && now->online && !is_same_text(now->role, was->role)) {
        tell_role(f, now->member.name, now->role, was->role, now->term);
    }
}

static void on_surveyed(struct node_survey *s)
{
    struct feed *f = s->context;
    f->surveys = false;
    for (uint32_t i = 0; f->member_count > 0 && i < s->count; i++) {
        compare_member(f, &s->items[i]);
    }
    for (uint32_t i = 0; i < f->member_count; i++) {
        if (find_member(s->items, s->count, f->members[i].member.name) == NULL) {
            tell_member(f, &f->members[i], "left");
        }
    }
    f->member_count = s->count;
    memcpy(f->members, s->items, s->count * sizeof(s->items[0]));
}

/* When too many are under way, the next second will do. */
static void start_survey(struct feed *f)
{
    if (!f->surveys) {
        f->survey = (struct node_survey){.done = on_surveyed, .context = f};
        f->surveys = node_survey_start(f->api->options.node, &f->survey) == STATUS_OK;
    }
}

/* --- ticks ------------------------------------------------------------------------------------ */

static void start_timer(struct feed *f)
{
    struct loop *loop = f->api->options.loop;
    loop->ops->timer_start(loop, &f->timer, loop->ops->now_ms(loop) + FEED_TICK_MS);
}

static void on_tick(struct timer *t)
{
    struct feed *f = t->context;
    const struct node_status *s = api_status(f->api);
    if (s->shutting_down) {
        live_end_all(f);
        events_end_all(f);
        return;
    }
    start_timer(f);
    observe_self(f, s);
    observe_sessions(f);
    if (f->ticks % SURVEY_EVERY == 0) {
        start_survey(f);
    }
    if (f->ticks % LOAD_EVERY == LOAD_EVERY - 1) {
        observe_load(f);
    }
    f->ticks++;
    events_serve(f);
    live_serve(f);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Somebody watches again: what happened meanwhile is nobody's event. */
static void wake(struct feed *f)
{
    remember_self(f, api_status(f->api));
    elections_of(f, f->elections);
    f->connections = connections_of(f);
    f->requests = requests_of(f);
    feed_make_id(f, f->life);
    f->member_count = 0;
    f->ticks = 0;
    start_survey(f);
    start_timer(f);
}

bool feed_join(struct feed *f, struct http_request *r)
{
    if (api_status(f->api)->shutting_down) {
        answer_error_reason(f->api, r, 503, "Not ready", "this member is stopping");
        return false;
    }
    if (f->streams >= LIMIT_LIVE_STREAMS) {
        answer_later(f->api, r, "Too many streams",
                     "as many pages and listeners as this member takes are open; ask another", 5);
        return false;
    }
    if (f->streams++ == 0) {
        wake(f);
    }
    return true;
}

void feed_leave(struct feed *f)
{
    struct loop *loop = f->api->options.loop;
    if (--f->streams > 0) {
        return;
    }
    loop->ops->timer_stop(loop, &f->timer);
    f->began.count = 0;
    f->ended.count = 0;
    if (f->surveys) {
        node_survey_cancel(&f->survey);
        f->surveys = false;
    }
}

struct feed *feed_create(struct api *api)
{
    struct feed *f = mem_calloc(1, sizeof(*f));
    f->api = api;
    f->next_number = 1;
    f->timer = (struct timer){.fire = on_tick, .context = f};
    list_init(&f->pages);
    list_init(&f->listeners);
    for (size_t i = 0; i < FEED_SLOTS; i++) {
        list_init(&f->slots[i]);
    }
    return f;
}

void feed_destroy(struct feed *f)
{
    for (size_t i = 0; i < FEED_EVENTS; i++) {
        blob_unref(f->events[i].text);
    }
    mem_free(f);
}
