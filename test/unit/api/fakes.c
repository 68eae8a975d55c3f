#include "fakes.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>
#include <strings.h>

struct api *fake_api;
uint32_t fake_chunks_room;
uint64_t fake_waited_ms;
struct conn *fake_conn;
uint64_t fake_spent_ms;
struct loop_unsent fake_unsent = {.bytes_max = LIMIT_UNSENT_BYTES};

/* --- the loop: a clock ------------------------------------------------------------------------ */

static uint64_t clock_ms;
static struct timer *running[FAKE_TIMERS_MAX];
static uint64_t chance;

static uint64_t now_ms(struct loop *l)
{
    (void)l;
    return clock_ms;
}

static uint64_t now_us(struct loop *l)
{
    return 1000 * (now_ms(l) + fake_spent_ms);
}

static void timer_stop(struct loop *l, struct timer *t)
{
    (void)l;
    for (size_t i = 0; i < FAKE_TIMERS_MAX; i++) {
        running[i] = running[i] == t ? NULL : running[i];
    }
}

static void timer_start(struct loop *l, struct timer *t, uint64_t at_ms)
{
    timer_stop(l, t);
    t->at_ms = at_ms;
    size_t i = 0;
    while (running[i] != NULL) {
        CHECK(++i < FAKE_TIMERS_MAX);
    }
    running[i] = t;
}

static struct timer *next_timer(void)
{
    struct timer *next = NULL;
    for (size_t i = 0; i < FAKE_TIMERS_MAX; i++) {
        if (running[i] != NULL && (next == NULL || running[i]->at_ms < next->at_ms)) {
            next = running[i];
        }
    }
    return next;
}

static void random_bytes(struct loop *l, void *bytes, size_t size)
{
    (void)l;
    chance++;
    memset(bytes, 0, size);
    memcpy(bytes, &chance, size < sizeof(chance) ? size : sizeof(chance));
}

/* Slow work is done when time passes. */
static struct list works;

static void submit_slow(struct loop *l, struct work *w)
{
    (void)l;
    list_push_back(&works, &w->link);
}

static void do_works(void)
{
    struct list *link;
    while ((link = list_pop_front(&works)) != NULL) {
        struct work *w = CONTAINER_OF(link, struct work, link);
        w->run(w);
        w->done(w);
    }
}

static const struct loop_ops fake_ops = {.now_ms = now_ms,
                                         .now_us = now_us,
                                         .wall_ms = now_ms,
                                         .random = random_bytes,
                                         .submit_slow = submit_slow,
                                         .timer_start = timer_start,
                                         .timer_stop = timer_stop};
static struct loop fake_loop = {.ops = &fake_ops, .unsent = &fake_unsent};

/* --- the HTTP server -------------------------------------------------------------------------- */

struct http_server {
    uint64_t requests;
};

static struct http_server fake_server;

uint32_t http_server_connections(const struct http_server *s)
{
    (void)s;
    return 7;
}

uint64_t http_server_closed_for_room(const struct http_server *s)
{
    (void)s;
    return 3;
}

uint64_t http_server_closed_for_memory(const struct http_server *s)
{
    (void)s;
    return 4;
}

uint32_t http_server_clients(const struct http_server *s)
{
    (void)s;
    return 5;
}

struct http_refusals http_server_refusals(const struct http_server *s)
{
    (void)s;
    return (struct http_refusals){.connections = 3, .bodies = 4};
}

uint64_t http_server_requests(const struct http_server *s)
{
    return s->requests;
}

/* --- the gRPC server -------------------------------------------------------------------------- */

struct grpc_server {
    uint64_t requests;
};

static struct grpc_server fake_grpc;

uint32_t grpc_server_connections(const struct grpc_server *g)
{
    (void)g;
    return 3;
}

uint32_t grpc_server_streams(const struct grpc_server *g)
{
    (void)g;
    return 11;
}

uint64_t grpc_server_requests(const struct grpc_server *g)
{
    return g->requests;
}

/* --- requests --------------------------------------------------------------------------------- */

struct slice http_header_find(const struct http_request *r, const char *name)
{
    for (uint32_t i = 0; i < r->header_count; i++) {
        struct slice given = r->headers[i].name;
        if (given.size == strlen(name) &&
            strncasecmp((const char *)given.data, name, given.size) == 0) {
            return r->headers[i].value;
        }
    }
    return slice_of(NULL, 0);
}

const char *http_status_text(int http_status)
{
    return http_status == 413 ? "Content Too Large" : "Status";
}

static struct asked *asked_of(const struct http_request *r)
{
    return (struct asked *)(void *)((char *)(uintptr_t)r - offsetof(struct asked, http));
}

static void note_head(struct asked *a, int http_status, const char *content_type,
                      const char *headers)
{
    CHECK(!a->done && !a->begun);
    a->status = http_status;
    buf_append_str(&a->type, content_type != NULL ? content_type : "");
    buf_append_str(&a->extra, headers != NULL ? headers : "");
}

void http_answer(struct http_request *r, int http_status, const char *content_type,
                 const char *headers, struct slice body)
{
    struct asked *a = asked_of(r);
    note_head(a, http_status, content_type, headers);
    buf_append_slice(&a->body, body);
    a->done = true;
}

void http_answer_begin(struct http_request *r, int http_status, const char *content_type,
                       const char *headers)
{
    note_head(asked_of(r), http_status, content_type, headers);
    asked_of(r)->begun = true;
}

void http_answer_chunk(struct http_request *r, struct slice bytes)
{
    struct asked *a = asked_of(r);
    CHECK(a->begun && !a->done);
    buf_append_slice(&a->body, bytes);
    a->chunks++;
}

void http_answer_chunk_shared(struct http_request *r, struct blob *bytes)
{
    http_answer_chunk(r, blob_slice(bytes));
    asked_of(r)->shared = bytes->data;
}

size_t http_answer_unsent(const struct http_request *r)
{
    return asked_of(r)->unsent;
}

bool http_answer_wants_more(const struct http_request *r)
{
    return asked_of(r)->chunks < fake_chunks_room;
}

void http_answer_end(struct http_request *r)
{
    CHECK(!asked_of(r)->done);
    asked_of(r)->done = true;
}

void http_request_end_connection(struct http_request *r)
{
    asked_of(r)->ends_connection = true;
}

void http_answer_abort(struct http_request *r)
{
    asked_of(r)->done = true;
    asked_of(r)->aborted = true;
}

/* --- the test's side -------------------------------------------------------------------------- */

static double utilisation(const struct loop *loop)
{
    CHECK(loop == &fake_loop);
    return 0.25;
}

static void restart(struct api_options options)
{
    fake_unsent.bytes = 0;
    fake_spent_ms = 0;
    if (fake_api != NULL) {
        api_destroy(fake_api);
    }
    options.loop = &fake_loop;
    options.node = &fake_node;
    options.request_timeout_ms = FAKE_TIMEOUT_MS;
    options.value_bytes_max = LIMIT_VALUE_BYTES_DEFAULT;
    options.loop_utilisation = utilisation;
    fake_api = api_create(&options);
    api_set_servers(fake_api, &fake_server, &fake_grpc);
}

void fake_restart(const char *cors_origin, enum node_ack ack)
{
    restart((struct api_options){.ack = ack, .cors_origin = cors_origin});
}

void fake_restart_for_hosts(const char *allowed_hosts)
{
    restart((struct api_options){.ack = NODE_ACK_QUORUM,
                                 .knows_hosts = true,
                                 .allowed_hosts = allowed_hosts,
                                 .advertise = "http://db.example.org:4000"});
}

void fake_restart_on_follower(enum api_on_follower on_follower)
{
    restart((struct api_options){.ack = NODE_ACK_QUORUM, .on_follower = on_follower});
}

void fake_restart_with_faults(void)
{
    restart((struct api_options){.ack = NODE_ACK_QUORUM, .enable_faults = true});
}

void fake_restart_with_root_password(const char *password)
{
    restart((struct api_options){.ack = NODE_ACK_QUORUM, .root_password = slice_str(password)});
}

void fake_restart_with_audit(struct line_file *audit)
{
    restart((struct api_options){.ack = NODE_ACK_QUORUM, .audit = audit});
}

void fake_restart_with_root_reset(struct line_file *audit, const char *password)
{
    restart((struct api_options){
        .ack = NODE_ACK_QUORUM, .audit = audit, .root_password = slice_str(password)});
}

void fake_restart_with_certificates(bool of_clients)
{
    restart((struct api_options){.ack = NODE_ACK_QUORUM,
                                 .peers_show_certificates = true,
                                 .clients_show_certificates = of_clients});
}

int fake_setup(void **state)
{
    (void)state;
    fake_node_init();
    fake_chunks_room = UINT32_MAX;
    fake_waited_ms = 0;
    fake_conn = NULL;
    clock_ms = 1000000;
    chance = 0;
    list_init(&works);
    fake_restart(NULL, NODE_ACK_QUORUM);
    return 0;
}

int fake_teardown(void **state)
{
    (void)state;
    api_destroy(fake_api);
    fake_api = NULL;
    do_works();
    CHECK(next_timer() == NULL);
    fake_node_deinit();
    return 0;
}

void fake_become_follower(const char *leader)
{
    struct node_status *s = &fake_node.status;
    s->role = "follower";
    snprintf(s->leader, sizeof(s->leader), "%s", leader);
    snprintf(s->leader_url, sizeof(s->leader_url), "%s",
             leader[0] != '\0' ? "http://127.0.0.1:4002" : "");
    fake_node.write_start = STATUS_NOT_LEADER;
}

static enum http_method method_of(const char *name)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};
    for (int i = 0; i < HTTP_OTHER; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum http_method)i;
        }
    }
    return HTTP_OTHER;
}

static void add_headers(struct asked *a, const char *text)
{
    a->http.headers = a->headers;
    while (text != NULL && *text != '\0') {
        const char *colon = strstr(text, ": ");
        const char *end = strchr(text, '\n');
        CHECK(colon != NULL && end != NULL && a->http.header_count < FAKE_HEADERS_MAX);
        struct http_header *h = &a->headers[a->http.header_count++];
        h->name = slice_of(text, (size_t)(colon - text));
        h->value = slice_of(colon + 2, (size_t)(end - colon - 2));
        text = end + 1;
    }
}

struct asked *ask(const char *method, const char *target, const char *headers, struct slice body)
{
    struct asked *a = mem_calloc(1, sizeof(*a));
    const char *mark = strchr(target, '?');
    size_t path_size = mark != NULL ? (size_t)(mark - target) : strlen(target);
    a->http.method = method_of(method);
    a->http.method_name = slice_str(method);
    a->http.target = slice_str(target);
    a->http.path = slice_of(target, path_size);
    a->http.query = mark != NULL ? slice_str(mark + 1) : slice_of(NULL, 0);
    a->http.body = body;
    a->http.conn = fake_conn;
    a->http.arrived_ms = clock_ms - fake_waited_ms;
    add_headers(a, headers);
    const struct http_handler *handler = api_handler(fake_api);
    handler->on_request(handler->context, &a->http);
    return a;
}

void hang_up(struct asked *a)
{
    CHECK(!a->done && a->http.on_gone != NULL);
    a->http.on_gone(&a->http);
}

void forget(struct asked *a)
{
    /* A finished request is nobody's any more. */
    CHECK(!a->done || (a->http.user == NULL && a->http.on_gone == NULL));
    buf_deinit(&a->type);
    buf_deinit(&a->extra);
    buf_deinit(&a->body);
    mem_free(a);
}

void fake_writable(struct asked *a)
{
    fake_chunks_room++;
    a->http.on_writable(&a->http);
}

void fake_second(uint64_t requests, uint64_t grpc_requests)
{
    fake_server.requests += requests;
    fake_grpc.requests += grpc_requests;
    fake_pass(1000);
}

void fake_pass(uint64_t ms)
{
    uint64_t end_ms = clock_ms + ms;
    struct timer *t;
    do_works();
    while ((t = next_timer()) != NULL && t->at_ms <= end_ms) {
        clock_ms = t->at_ms;
        timer_stop(&fake_loop, t);
        t->fire(t);
        fake_turn();
    }
    clock_ms = end_ms;
}

void common_headers_of(const struct asked *a, struct buf *out)
{
    const struct http_handler *handler = api_handler(fake_api);
    handler->common_headers(handler->context, a != NULL ? &a->http : NULL, out);
    buf_append_byte(out, 0);
}

void store(const char *key, struct slice value)
{
    struct kv_command c = {.op = KV_PUT, .key = slice_str(key), .value = value};
    struct kv_result result;
    kv_apply(fake_node.kv, &c, &result);
    CHECK(result.status == STATUS_OK);
}
