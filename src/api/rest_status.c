/* rest_status.c - who this member is and who the others are: /status, /cluster, /leader, /version,
 * /ping. */
#include "api/etcd_call.h"
#include "api/rest.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>

#define STATUS_KEYS_MAX 1000

/* "state" is the role in capitals, as one of the older names for it. */
static void field_state(struct json_writer *w, const char *role)
{
    char state[32] = "FOUNDING";
    if (role != NULL) {
        size_t size = 0;
        for (; role[size] != '\0' && size + 1 < sizeof(state); size++) {
            state[size] = (char)toupper((unsigned char)role[size]);
        }
        state[size] = '\0';
    }
    json_field_text(w, "state", state);
}

/* --- GET /status ------------------------------------------------------------------------------ */

/* Everybody may ask for the status. So while users are asked who they are it names no keys, which
 * not everybody may read. */
static void field_keys(struct json_writer *w, const struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    uint32_t named_max = kv_auth_is_enabled(kv) ? 0 : STATUS_KEYS_MAX;
    json_field_u64(w, "totalKeys", stats.keys);
    json_write_name(w, "keys");
    json_open_array(w);
    struct kv_cursor cursor;
    struct slice all = slice_of(NULL, 0);
    struct kv_item item;
    uint32_t count = 0;
    if (kv_cursor_init(&cursor, kv, all, all, 0) == STATUS_OK) {
        while (count < named_max && kv_cursor_next(&cursor, &item) == STATUS_OK) {
            json_write_string(w, item.key);
            count++;
        }
        kv_cursor_deinit(&cursor);
    }
    json_close_array(w);
    json_field_bool(w, "keysTruncated", count < stats.keys);
    json_field_u64(w, "revision", stats.revision);
}

void print_load(struct json_writer *w, const struct api *api)
{
    const struct api_options *o = &api->options;
    json_field_u64(w, "connections", api_connections(api));
    json_write_name(w, "requestsPerSecond");
    json_write_decimal(w, api->requests_per_second);
    json_write_name(w, "loopUtilisation");
    json_write_decimal(w, o->loop_utilisation != NULL ? o->loop_utilisation(o->loop) : 0);
}

static void field_peers(struct json_writer *w, const struct node_status *s)
{
    json_write_name(w, "peers");
    json_open_array(w);
    for (uint32_t i = 0; i < s->member_count; i++) {
        if (!s->members[i].self) {
            json_open_object(w);
            json_field_text(w, "id", s->members[i].name);
            json_field_text(w, "url", s->members[i].url);
            json_close_object(w);
        }
    }
    json_close_array(w);
}

static void field_founding(struct json_writer *w, const struct api *api)
{
    char text[512] = "";
    node_founding_text(api->options.node, text, sizeof(text));
    json_field_text(w, "founding", text);
}

/* Told only when so, like all that is no good news. */
static void field_insecure(struct json_writer *w, const struct api *api)
{
    if (api->options.is_insecure) {
        json_field_bool(w, "insecure", true);
    }
}

static void field_trouble(struct json_writer *w, const struct api *api, const struct node_status *s)
{
    field_insecure(w, api);
    if (s->joining) {
        json_field_bool(w, "joining", true);
    }
    if (s->recovering) {
        json_field_bool(w, "recovering", true);
    }
    if (s->no_space) {
        json_field_bool(w, "outOfSpace", true);
    }
    if (s->faults) {
        json_field_bool(w, "faults", true);
    }
}

void rest_status(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    const struct node_status *s = api_status(api);
    char cluster[UUID_TEXT_SIZE] = "";
    if (!s->founding) {
        uuid_format(s->cluster, cluster);
    }
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "nodeId", s->name);
    json_field_text(&w, "id", s->name);
    json_field_text_or_null(&w, "role", s->role);
    field_state(&w, s->role);
    json_field_text_or_null(&w, "clusterId", cluster);
    json_field_u64(&w, "term", s->term);
    json_field_text_or_null(&w, "leaderId", s->leader);
    json_field_text_or_null(&w, "leaderUrl", s->leader_url);
    field_keys(&w, node_kv(api->options.node));
    json_field_u64(&w, "commitIndex", s->commit_index);
    json_field_u64(&w, "appliedIndex", s->applied_index);
    json_write_name(&w, "load");
    json_open_object(&w);
    print_load(&w, api);
    json_close_object(&w);
    field_peers(&w, s);
    json_field_u64(&w, "uptimeMs", s->uptime_ms);
    json_field_text(&w, "version", CONCLAVE_VERSION);
    if (s->founding) {
        field_founding(&w, api);
    }
    field_trouble(&w, api, s);
    answer_send(r, 200, NULL, &w);
}

/* --- GET /cluster ----------------------------------------------------------------------------- */

struct cluster_call {
    struct call call;
    struct node_survey survey;
    bool waits;
};

static void destroy_cluster(struct call *c)
{
    struct cluster_call *cluster = CONTAINER_OF(c, struct cluster_call, call);
    if (cluster->waits) {
        node_survey_cancel(&cluster->survey);
    }
    mem_free(cluster);
}

/* The port of "http://host:4001", or UINT64_MAX. */
static uint64_t port_of(const char *url)
{
    const char *colon = strrchr(url, ':');
    uint64_t port = UINT64_MAX;
    if (colon == NULL ||
        !number_parse(slice_of(colon + 1, strspn(colon + 1, "0123456789")), &port)) {
        return UINT64_MAX;
    }
    return port;
}

/* Whoever leads the highest term; two may say that they lead until the older one hears of it. */
const struct node_survey_item *survey_leader(const struct node_survey_item *items, uint32_t count)
{
    const struct node_survey_item *leader = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct node_survey_item *item = &items[i];
        if (item->online && item->role != NULL && strcmp(item->role, "leader") == 0 &&
            (leader == NULL || item->term > leader->term)) {
            leader = item;
        }
    }
    return leader;
}

/* Entries that the leader has applied and this one has not; UINT64_MAX = unknown. The two were
 * asked at different moments, so a follower may even seem to be ahead. */
static uint64_t lag_of(const struct node_survey_item *item, const struct node_survey_item *leader)
{
    if (leader == NULL || !item->online) {
        return UINT64_MAX;
    }
    return leader->applied_index > item->applied_index ? leader->applied_index - item->applied_index
                                                       : 0;
}

void survey_print_member(struct json_writer *w, const struct node_survey_item *item,
                         const struct node_survey_item *leader)
{
    json_field_text(w, "id", item->member.name);
    json_field_text(w, "url", item->member.url);
    json_field_u64_or_null(w, "port", port_of(item->member.url));
    if (item->online) {
        json_field_text_or_null(w, "role", item->role);
        field_state(w, item->role);
        json_field_u64(w, "term", item->term);
        json_field_text_or_null(w, "leaderId", item->leader);
    } else {
        json_field_text_or_null(w, "role", NULL);
        json_field_text(w, "state", "OFFLINE");
        json_field_u64_or_null(w, "term", UINT64_MAX);
        json_field_text_or_null(w, "leaderId", NULL);
    }
    json_field_bool(w, "online", item->online);
    json_field_u64_or_null(w, "lagEntries", lag_of(item, leader));
    json_field_u64_or_null(w, "lastContactMs", item->last_contact_ms);
    if (!item->online) {
        json_field_text(w, "error", "no answer");
    }
}

static void print_member(struct json_writer *w, const struct node_survey_item *item,
                         const struct node_survey_item *leader)
{
    json_open_object(w);
    survey_print_member(w, item, leader);
    json_close_object(w);
}

static void on_surveyed(struct node_survey *s)
{
    struct cluster_call *c = s->context;
    c->waits = false;
    const struct node_survey_item *leader = survey_leader(s->items, s->count);
    uint64_t term = 0;
    struct json_writer w = answer_begin(c->call.api, c->call.http);
    json_write_name(&w, "cluster");
    json_open_array(&w);
    for (uint32_t i = 0; i < s->count; i++) {
        print_member(&w, &s->items[i], leader);
        if (s->items[i].online && s->items[i].term > term) {
            term = s->items[i].term;
        }
    }
    json_close_array(&w);
    json_write_name(&w, "leader");
    if (leader != NULL) {
        print_member(&w, leader, leader);
    } else {
        json_write_null(&w);
    }
    json_field_u64(&w, "term", term);
    field_insecure(&w, c->call.api);
    answer_send(c->call.http, 200, NULL, &w);
}

void rest_cluster(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct cluster_call *c = mem_calloc(1, sizeof(*c));
    call_begin(&c->call, api, r, destroy_cluster);
    c->survey.done = on_surveyed;
    c->survey.context = c;
    enum status status = node_survey_start(api->options.node, &c->survey);
    c->waits = status == STATUS_OK;
    if (status != STATUS_OK) {
        answer_status(api, r, status);
    }
}

/* --- small ones ------------------------------------------------------------------------------- */

void rest_leader(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    const struct node_status *s = api_status(api);
    bool leads = s->role != NULL && strcmp(s->role, "leader") == 0;
    struct json_writer w = answer_begin(api, r);
    json_field_text_or_null(&w, "leaderId", s->leader);
    json_field_text_or_null(&w, "leaderUrl", s->leader_url);
    json_field_u64(&w, "term", s->term);
    answer_send(r, leads ? 200 : 503, NULL, &w);
}

void rest_version(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "name", "conclave");
    json_field_text(&w, "version", CONCLAVE_VERSION);
    json_field_text(&w, "etcdserver", ETCD_SERVER_VERSION);
    json_field_text(&w, "etcdcluster", ETCD_CLUSTER_VERSION);
    answer_send(r, 200, NULL, &w);
}

void rest_ping(struct api *api, struct http_request *r, struct query *q)
{
    (void)api;
    (void)q;
    answer_bytes(r, 200, TYPE_TEXT, NULL, slice_str("pong"));
}
