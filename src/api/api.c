#include "api/api.h"

#include "api/audit.h"
#include "api/etcd_frame.h"
#include "api/feed.h"
#include "api/host.h"
#include "api/rest.h"
#include "api/root_reset.h"
#include "api/session.h"
#include "base/log.h"
#include "base/mem.h"

#include <strings.h>

#define PEER_PROTOCOL    "conclave-peer/1"
#define PEER_LOG_MS      1000 /* between two lines that strangers make */
#define LOAD_INTERVAL_MS 1000
/* For bodies that are not values. */
#define SMALL_BODY_BYTES (64u * KIB)

/* --- the table of paths ----------------------------------------------------------------------- */

enum route_flags {
    ROUTE_PREFIX = 1, /* the path goes on behind it */
    ROUTE_ADMIN = 2,  /* closed to web pages of other origins */
    ROUTE_FREE = 4,   /* whatever parameters: they are another's */
    /* Who may while auth is on: everybody; whom the handler finds permitted; whose role is for
     * backups; without these, whose role is for administering (ROUTE_ADMIN), or root alone. */
    ROUTE_OPEN = 8,
    ROUTE_CALLER = 16,
    ROUTE_BACKUP = 32,
    ROUTE_VITAL = 64, /* answered when all connections are taken, too */
};

struct route {
    enum http_method method;
    struct slice path;
    void (*handle)(struct api *api, struct http_request *r, struct query *q);
    unsigned flags;
    const char *params[QUERY_PARAMS_MAX];
};

#define PATH(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

/* A GET also answers HEAD. Paths are compared as sent: nothing is decoded or normalised. */
static const struct route routes[] = {
    {HTTP_GET,
     PATH("/key/"),
     rest_key_get,
     ROUTE_PREFIX | ROUTE_CALLER,
     {"consistency", "token", "max-lag", "revision"}},
    {HTTP_PUT, PATH("/key/"), rest_key_put, ROUTE_PREFIX | ROUTE_CALLER, {"ack", "ttl"}},
    {HTTP_DELETE, PATH("/key/"), rest_key_delete, ROUTE_PREFIX | ROUTE_CALLER, {"ack"}},
    {HTTP_GET,
     PATH("/keys"),
     rest_keys,
     ROUTE_CALLER,
     {"prefix", "limit", "after", "delimiter", "values", "consistency", "token", "max-lag",
      "revision"}},
    {HTTP_POST, PATH("/write"), rest_write, 0, {"ack"}},
    {HTTP_GET,
     PATH("/read"),
     rest_read,
     0,
     {"limit", "before", "consistency", "token", "max-lag", "revision"}},
    {HTTP_POST, PATH("/txn"), rest_txn, ROUTE_ADMIN | ROUTE_CALLER, {"ack"}},
    {HTTP_GET, PATH("/status"), rest_status, ROUTE_OPEN | ROUTE_VITAL, {NULL}},
    {HTTP_GET, PATH("/cluster"), rest_cluster, ROUTE_OPEN, {NULL}},
    {HTTP_GET, PATH("/leader"), rest_leader, ROUTE_OPEN | ROUTE_VITAL, {NULL}},
    {HTTP_POST, PATH("/step-down"), rest_step_down, ROUTE_ADMIN, {NULL}},
    {HTTP_POST, PATH("/election"), rest_election, ROUTE_ADMIN, {NULL}},
    {HTTP_GET, PATH("/members"), rest_members_get, ROUTE_ADMIN, {NULL}},
    {HTTP_POST, PATH("/members"), rest_members_add, ROUTE_ADMIN, {NULL}},
    {HTTP_POST, PATH("/members/"), rest_member_change, ROUTE_PREFIX | ROUTE_ADMIN, {NULL}},
    {HTTP_DELETE, PATH("/members/"), rest_member_remove, ROUTE_PREFIX | ROUTE_ADMIN, {NULL}},
    {HTTP_GET, PATH("/snapshot"), rest_snapshot, ROUTE_ADMIN | ROUTE_BACKUP, {NULL}},
    {HTTP_GET, PATH("/replication"), rest_replication, ROUTE_ADMIN, {NULL}},
    {HTTP_GET,
     PATH("/log"),
     rest_log,
     ROUTE_ADMIN | ROUTE_BACKUP,
     {"from", "limit", "consistency", "token", "max-lag"}},
    {HTTP_GET, PATH("/faults"), rest_faults_get, ROUTE_ADMIN, {NULL}},
    {HTTP_POST, PATH("/faults"), rest_faults_set, ROUTE_ADMIN, {NULL}},
    {HTTP_DELETE, PATH("/faults"), rest_faults_clear, ROUTE_ADMIN, {NULL}},
    {HTTP_GET, PATH("/metrics"), rest_metrics, ROUTE_OPEN | ROUTE_VITAL, {NULL}},
    {HTTP_GET, PATH("/live"), rest_live, ROUTE_OPEN, {NULL}},
    {HTTP_GET, PATH("/events"), rest_events, ROUTE_OPEN, {NULL}},
    {HTTP_GET, PATH("/watch"), rest_watch, ROUTE_CALLER, {"prefix", "key", "from"}},
    {HTTP_GET, PATH("/dispatch"), rest_dispatch, ROUTE_FREE | ROUTE_OPEN, {NULL}},
    {HTTP_GET, PATH("/dispatch/"), rest_dispatch, ROUTE_PREFIX | ROUTE_FREE | ROUTE_OPEN, {NULL}},
    {HTTP_POST,
     PATH("/v3/"),
     etcd_gateway,
     ROUTE_PREFIX | ROUTE_ADMIN | ROUTE_FREE | ROUTE_OPEN,
     {NULL}},
    {HTTP_POST,
     PATH("/v3beta/"),
     etcd_gateway,
     ROUTE_PREFIX | ROUTE_ADMIN | ROUTE_FREE | ROUTE_OPEN,
     {NULL}},
    {HTTP_POST,
     PATH("/v3alpha/"),
     etcd_gateway,
     ROUTE_PREFIX | ROUTE_ADMIN | ROUTE_FREE | ROUTE_OPEN,
     {NULL}},
    {HTTP_GET, PATH("/livez"), probe_livez, ROUTE_OPEN | ROUTE_VITAL, {NULL}},
    {HTTP_GET, PATH("/readyz"), probe_readyz, ROUTE_OPEN | ROUTE_VITAL, {"verbose"}},
    {HTTP_GET, PATH("/health"), probe_health, ROUTE_OPEN | ROUTE_VITAL, {NULL}},
    {HTTP_GET, PATH("/version"), rest_version, ROUTE_OPEN, {NULL}},
    {HTTP_GET, PATH("/ping"), rest_ping, ROUTE_OPEN | ROUTE_VITAL, {NULL}},
    {HTTP_GET, PATH("/"), rest_root, ROUTE_OPEN, {NULL}},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

static bool route_has_path(const struct route *route, struct slice path)
{
    return (route->flags & ROUTE_PREFIX) != 0 ? slice_has_prefix(path, route->path)
                                              : slice_equal(path, route->path);
}

static const struct route *find_route(const struct http_request *r)
{
    enum http_method method = r->method == HTTP_HEAD ? HTTP_GET : r->method;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (routes[i].method == method && route_has_path(&routes[i], r->path)) {
            return &routes[i];
        }
    }
    return NULL;
}

static bool is_admin_path(struct slice path)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if ((routes[i].flags & ROUTE_ADMIN) != 0 && route_has_path(&routes[i], path)) {
            return true;
        }
    }
    return false;
}

/* --- origins ---------------------------------------------------------------------------------- */

/* Is `origin` "http://" or "https://" and this request's own Host? */
static bool is_own_origin(const struct http_request *r, struct slice origin)
{
    struct slice host = http_header_find(r, "Host");
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen(schemes[i]);
        if (host.size > 0 && origin.size == size + host.size &&
            slice_has_prefix(origin, slice_str(schemes[i])) &&
            strncasecmp((const char *)origin.data + size, (const char *)host.data, host.size) ==
                0) {
            return true;
        }
    }
    return false;
}

/* Named by --cors-origin; "*" names nobody. */
static bool is_listed_origin(const struct api *api, struct slice origin)
{
    return api->cors_origin != NULL && strcmp(api->cors_origin, "*") != 0 &&
           slice_equal(origin, slice_str(api->cors_origin));
}

/* Defect 6 of the first systems: such a page could depose the leader. curl and programs send no
 * Origin. */
bool api_is_foreign(const struct api *api, const struct http_request *r)
{
    struct slice origin = http_header_find(r, "Origin");
    return origin.data != NULL && !is_own_origin(r, origin) && !is_listed_origin(api, origin);
}

/* Rule K6: its client may have given up, and nothing was proposed yet. A read does no harm. */
static bool is_overdue(const struct api *api, const struct http_request *r)
{
    struct loop *loop = api->options.loop;
    uint32_t timeout_ms = api->options.request_timeout_ms;
    bool reads = r->method == HTTP_GET || r->method == HTTP_HEAD;
    return !reads && timeout_ms > 0 && loop->ops->now_ms(loop) - r->arrived_ms >= timeout_ms;
}

/* --- what the HTTP server calls --------------------------------------------------------------- */

static enum auth_verdict may_route(struct api *api, const struct route *route)
{
    enum auth_office office = AUTH_ROOT;
    if ((route->flags & (ROUTE_OPEN | ROUTE_CALLER)) != 0) {
        return AUTH_ALLOWED;
    }
    if ((route->flags & ROUTE_BACKUP) != 0) {
        office = AUTH_BACKUP;
    } else if ((route->flags & ROUTE_ADMIN) != 0) {
        office = AUTH_ADMIN;
    }
    return auth_may_act(api, &api->caller, office);
}

/* What the audit log tells, whatever becomes of it. Calls of the etcd API tell of themselves. */
static void expect_audit(struct api *api, struct http_request *r, const struct route *route)
{
    bool reads = r->method == HTTP_GET || r->method == HTTP_HEAD;
    if (route->handle == etcd_gateway || (reads && (route->flags & ROUTE_BACKUP) == 0)) {
        return;
    }
    audit_expect(api, r, &api->caller);
    if ((route->flags & (ROUTE_ADMIN | ROUTE_CALLER)) == ROUTE_ADMIN) {
        audit_show_body(r);
    }
}

/* `r` has its route, and api->caller is who sent it. */
static void hand_over(struct api *api, struct http_request *r, const void *found)
{
    const struct route *route = found;
    if (api->options.audit != NULL) {
        expect_audit(api, r, route);
    }
    if (!rest_allows(api, r, may_route(api, route))) {
        return;
    }
    struct query q;
    bool is_free = (route->flags & ROUTE_FREE) != 0;
    if (query_parse(&q, is_free ? slice_of(NULL, 0) : r->query, route->params) == STATUS_OK) {
        route->handle(api, r, &q);
    } else {
        answer_bad_query(api, r, &q);
    }
    query_deinit(&q);
}

static bool is_open_to_all(const struct api *api)
{
    return api->cors_origin != NULL && strcmp(api->cors_origin, "*") == 0;
}

/* Answers a web page of another site that the browser should not have let through to here, or that
 * it takes for one of ours. False: it may be heard. */
static bool refuses_page(struct api *api, struct http_request *r, unsigned route_flags)
{
    if ((route_flags & ROUTE_ADMIN) != 0 && api_is_foreign(api, r)) {
        audit_expect(api, r, &api->caller);
        answer_error_reason(api, r, 403, "Foreign origin",
                            "a web page of another origin may not administer");
        return true;
    }
    /* A form can be sent to anywhere without asking first. */
    bool reads = r->method == HTTP_GET || r->method == HTTP_HEAD;
    if (!reads && !is_open_to_all(api) && api_is_foreign(api, r)) {
        audit_expect(api, r, &api->caller);
        answer_error_reason(api, r, 403, "Foreign origin",
                            "--cors-origin does not name the origin of this web page");
        return true;
    }
    return false;
}

static bool is_for_us(const struct api *api, const struct http_request *r)
{
    const struct api_options *o = &api->options;
    return !o->knows_hosts ||
           host_is_known(http_header_find(r, "Host"), o->advertise, o->allowed_hosts);
}

static void on_request(void *context, struct http_request *r)
{
    struct api *api = context;
    if (!is_for_us(api, r)) {
        answer_error_reason(api, r, 403, "Unknown host",
                            "Host is not a name of this member: see --allowed-hosts");
        return;
    }
    if (r->method == HTTP_OPTIONS) {
        answer_bytes(r, 200, TYPE_JSON, NULL, slice_of(NULL, 0));
        return;
    }
    const struct route *route = find_route(r);
    if (route == NULL) {
        answer_error(api, r, 404, "Not found");
        return;
    }
    if (refuses_page(api, r, route->flags)) {
        return;
    }
    if (is_overdue(api, r)) {
        answer_error_reason(api, r, 503, "Waited too long",
                            "requests before it on its connection took all of its time");
        return;
    }
    if ((route->flags & ROUTE_OPEN) == 0 && kv_auth_is_enabled(node_kv(api->options.node))) {
        rest_identify(api, r, hand_over, route);
    } else {
        hand_over(api, r, route);
    }
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    struct json_writer w = {.out = body};
    json_open_object(&w);
    bool is_overload = http_status == status_http(STATUS_OVERLOADED); /* as handlers say it */
    json_field_text(&w, "error",
                    is_overload ? status_text(STATUS_OVERLOADED) : http_status_text(http_status));
    json_field_text(&w, "reason", reason);
    json_close_object(&w);
}

static void cors_headers(const struct api *api, const struct http_request *r, struct buf *headers)
{
    if (api->cors_origin == NULL) {
        return;
    }
    bool is_admin = r != NULL && is_admin_path(r->path);
    if (!is_admin || is_listed_origin(api, http_header_find(r, "Origin"))) {
        buf_append_str(headers, "Access-Control-Allow-Origin: ");
        buf_append_str(headers, api->cors_origin);
        buf_append_str(headers, "\r\n");
    }
    bool asks_who = kv_auth_is_enabled(node_kv(api->options.node));
    buf_append_str(headers, "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
                            "Access-Control-Allow-Headers: Content-Type");
    buf_append_str(headers, asks_who ? ", Authorization\r\n" : "\r\n");
}

/* What no answer changes: all between the two revisions of the headers below. */
static struct slice steady_headers(struct api *api)
{
    const struct node *node = api->options.node;
    struct steady_headers *h = &api->steady;
    uint64_t term = node_term(node);
    struct uuid cluster = node_cluster(node);
    if (h->text.size > 0 && h->term == term && uuid_equal(h->cluster, cluster)) {
        return buf_slice(&h->text);
    }
    h->term = term;
    h->cluster = cluster;
    buf_clear(&h->text);
    buf_append_str(&h->text, "\r\nConclave-Term: ");
    buf_append_u64(&h->text, term);
    buf_append_str(&h->text, "\r\nConclave-Node: ");
    buf_append_str(&h->text, node_name(node));
    buf_append_str(&h->text, "\r\nConclave-Session: ");
    session_begin(cluster, &h->text);
    return buf_slice(&h->text);
}

static void common_headers(void *context, const struct http_request *r, struct buf *headers)
{
    struct api *api = context;
    uint64_t revision = api_revision(api);
    buf_append_str(headers, "Conclave-Revision: ");
    buf_append_u64(headers, revision);
    buf_append_slice(headers, steady_headers(api));
    buf_append_u64(headers, revision > api->told_revision ? revision : api->told_revision);
    buf_append_str(headers, "\r\n");
    cors_headers(api, r, headers);
}

/* Certificates of clients are signed by the same CA, and are good for nothing here. */
static bool is_peer(struct api *api, const struct conn *c)
{
    if (!api->options.peers_show_certificates || (c->tls != NULL && c->tls->is_member)) {
        return true;
    }
    api->peers_refused++;
    uint64_t now_ms = api->options.loop->ops->now_ms(api->options.loop);
    if (api->peers_refused == 1 || now_ms >= api->peers_refused_ms + PEER_LOG_MS) {
        const char *name = c->tls != NULL ? c->tls->peer_name : NULL;
        log_warn("refused as a member: no certificate of one was shown (extended key usage "
                 "serverAuth), but that of %s remote=%s",
                 name != NULL ? name : "nobody", c->remote);
        api->peers_refused_ms = now_ms;
    }
    return false;
}

static bool wants_upgrade(void *context, const struct http_request *r, struct slice protocol)
{
    return r->method == HTTP_GET && slice_equal(r->path, slice_str("/peer")) &&
           slice_equal(protocol, slice_str(PEER_PROTOCOL)) && is_peer(context, r->conn);
}

static void on_upgrade(void *context, const struct http_request *r, struct slice protocol,
                       struct conn *conn, struct slice rest)
{
    (void)r;
    (void)protocol;
    struct api *api = context;
    node_take_peer(api->options.node, conn, rest);
}

/* Who watches over this member hears from it whatever clients do. */
static uint64_t body_bytes_max(void *context, const struct http_request *r)
{
    const struct api *api = context;
    bool has_values =
        slice_equal(r->path, slice_str("/write")) || slice_equal(r->path, slice_str("/txn"));
    if (r->method == HTTP_POST && has_values) {
        return api->options.value_bytes_max + SMALL_BODY_BYTES; /* with what is around them */
    }
    if (r->method == HTTP_POST && slice_has_prefix(r->path, slice_str("/v3"))) {
        return LIMIT_ETCD_JSON_BYTES;
    }
    return r->method == HTTP_PUT ? api->options.value_bytes_max : SMALL_BODY_BYTES;
}

static bool is_overloaded(void *context, const struct http_request *r, uint64_t body_bytes)
{
    const struct api *api = context;
    return r->method == HTTP_PUT && node_is_overloaded(api->options.node, body_bytes);
}

static bool is_vital(void *context, const struct http_request *r)
{
    (void)context;
    const struct route *route = find_route(r);
    return route != NULL && (route->flags & ROUTE_VITAL) != 0;
}

/* --- load ------------------------------------------------------------------------------------- */

static void start_load_timer(struct api *api)
{
    struct loop *loop = api->options.loop;
    loop->ops->timer_start(loop, &api->load_timer, loop_about(loop, LOAD_INTERVAL_MS));
}

/* Since the start; a message of a gRPC stream is one. */
static uint64_t count_requests(const struct api *api)
{
    return (api->http != NULL ? http_server_requests(api->http) : 0) +
           (api->grpc != NULL ? grpc_server_requests(api->grpc) : 0);
}

/* Connections of gRPC are there for calls: all of them count. */
static uint32_t count_clients(const struct api *api)
{
    return (api->http != NULL ? http_server_clients(api->http) : 0) +
           (api->grpc != NULL ? grpc_server_connections(api->grpc) : 0);
}

uint32_t api_connections(const struct api *api)
{
    return (api->http != NULL ? http_server_connections(api->http) : 0) +
           (api->grpc != NULL ? grpc_server_connections(api->grpc) : 0);
}

static void sample_load(struct timer *t)
{
    struct api *api = t->context;
    struct loop *loop = api->options.loop;
    uint64_t now_ms = loop->ops->now_ms(loop);
    uint64_t requests = count_requests(api);
    if (now_ms > api->load_at_ms && requests >= api->load_requests) {
        api->requests_per_second =
            (double)(requests - api->load_requests) * 1000 / (double)(now_ms - api->load_at_ms);
    }
    api->load_requests = requests;
    api->load_at_ms = now_ms;
    start_load_timer(api);
}

void api_tell_load(struct api *api)
{
    const struct api_options *o = &api->options;
    double utilisation = o->loop_utilisation != NULL ? o->loop_utilisation(o->loop) : 0;
    const struct node_load load = {
        .connections = count_clients(api),
        .requests_per_second = (uint32_t)(api->requests_per_second + 0.5),
        .loop_permille = utilisation < 1 ? (uint16_t)(utilisation * 1000) : 1000,
    };
    node_set_load(o->node, &load);
}

/* --- life ------------------------------------------------------------------------------------- */

const struct node_status *api_status(struct api *api)
{
    node_status_get(api->options.node, &api->status);
    return &api->status;
}

uint64_t api_revision(const struct api *api)
{
    struct kv_stats stats;
    kv_stats(node_kv(api->options.node), &stats);
    return stats.revision;
}

uint64_t api_new_lease(struct api *api)
{
    struct loop *loop = api->options.loop;
    uint64_t id;
    loop->ops->random(loop, &id, sizeof(id));
    return (id & INT64_MAX) | 1;
}

struct api *api_create(const struct api_options *options)
{
    struct api *api = mem_calloc(1, sizeof(*api));
    api->options = *options;
    const char *origin = options->cors_origin != NULL ? options->cors_origin : "*";
    api->cors_origin = strcmp(origin, "none") != 0 ? mem_strdup(origin) : NULL;
    api->options.cors_origin = NULL;
    api->handler = (struct http_handler){.on_request = on_request,
                                         .on_bad = on_bad,
                                         .common_headers = common_headers,
                                         .wants_upgrade = wants_upgrade,
                                         .on_upgrade = on_upgrade,
                                         .body_bytes_max = body_bytes_max,
                                         .is_overloaded = is_overloaded,
                                         .is_vital = is_vital,
                                         .context = api};
    api->auth = auth_door_create(api);
    list_init(&api->calls);
    list_init(&api->etcd_calls);
    etcd_reads_init(api);
    api->load_timer = (struct timer){.fire = sample_load, .context = api};
    api->load_at_ms = options->loop->ops->now_ms(options->loop);
    start_load_timer(api);
    api->feed = feed_create(api);
    api->watchers = watchers_create(api);
    if (options->root_password.size > 0) {
        api->root_reset = root_reset_start(api, options->root_password);
    }
    return api;
}

const struct http_handler *api_handler(struct api *api)
{
    return &api->handler;
}

void api_set_servers(struct api *api, const struct http_server *http,
                     const struct grpc_server *grpc)
{
    api->http = http;
    api->grpc = grpc;
    api->load_requests = count_requests(api);
}

void api_destroy(struct api *api)
{
    while (!list_is_empty(&api->calls)) {
        struct call *c = CONTAINER_OF(api->calls.next, struct call, link);
        list_remove(&c->link);
        c->destroy(c);
    }
    while (!list_is_empty(&api->etcd_calls)) {
        etcd_call_end(CONTAINER_OF(api->etcd_calls.next, struct etcd_call, link));
    }
    root_reset_destroy(api->root_reset);
    auth_door_destroy(api->auth);
    feed_destroy(api->feed);
    watchers_destroy(api->watchers);
    api->options.loop->ops->timer_stop(api->options.loop, &api->load_timer);
    api->options.loop->ops->timer_stop(api->options.loop, &api->etcd_reads_timer);
    buf_deinit(&api->out);
    buf_deinit(&api->steady.text);
    buf_deinit(&api->packed);
    pool_deinit(&api->etcd_memory);
    mem_free(api->cors_origin);
    mem_free(api);
}
