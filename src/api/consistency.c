#include "api/rest.h"

#include "api/session.h"

static bool refuse(struct api *api, struct http_request *r, struct query *q, const char *name,
                   const char *why)
{
    (void)query_refuse(q, name, why);
    answer_bad_query(api, r, q);
    return false;
}

static bool parse_mode(struct query *q, enum node_consistency *mode)
{
    if (!query_has(q, "consistency") || query_is(q, "consistency", "linearizable")) {
        *mode = NODE_LINEARIZABLE;
    } else if (query_is(q, "consistency", "session")) {
        *mode = NODE_SESSION;
    } else if (query_is(q, "consistency", "stale")) {
        *mode = NODE_STALE;
    } else {
        return false;
    }
    return true;
}

/* The token's revision; false: answered. */
static bool parse_token(struct api *api, struct http_request *r, struct query *q,
                        uint64_t *min_revision)
{
    enum status s =
        session_parse(query_value(q, "token"), node_cluster(api->options.node), min_revision);
    if (s == STATUS_CONFLICT) {
        answer_error_reason(api, r, 409, "Foreign session token",
                            "the token is of another cluster");
        return false;
    }
    return s == STATUS_OK || refuse(api, r, q, "token", "not a Conclave-Session");
}

bool read_params_parse(struct api *api, struct http_request *r, struct query *q,
                       struct node_read *read, uint64_t *revision)
{
    if (!parse_mode(q, &read->consistency)) {
        return refuse(api, r, q, "consistency", "must be linearizable, session or stale");
    }
    bool is_session = read->consistency == NODE_SESSION;
    if (query_has(q, "token") != is_session) {
        return refuse(api, r, q, "token", "belongs to consistency=session, which needs it");
    }
    if (query_has(q, "max-lag") && read->consistency != NODE_STALE) {
        return refuse(api, r, q, "max-lag", "belongs to consistency=stale");
    }
    *revision = 0;
    if (query_number(q, "max-lag", 1, &read->max_lag_ms) != STATUS_OK ||
        query_number(q, "revision", 1, revision) != STATUS_OK) {
        answer_bad_query(api, r, q);
        return false;
    }
    return !is_session || parse_token(api, r, q, &read->min_revision);
}

void answer_read_failed(struct api *api, struct http_request *r, enum status status)
{
    if (status != STATUS_NOT_LEADER) {
        answer_status(api, r, status);
        return;
    }
    struct json_writer w = answer_begin_not_leader(api, r, "No leader");
    json_field_text(&w, "hint", "consistency=stale reads this member's own copy");
    answer_send(r, 503, NULL, &w);
}

void answer_bad_revision(struct api *api, struct http_request *r, enum status status)
{
    struct kv_stats stats;
    kv_stats(node_kv(api->options.node), &stats);
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", status_text(status));
    if (status == STATUS_COMPACTED) {
        json_field_u64(&w, "oldest", stats.compact_revision);
    } else {
        json_field_u64(&w, "newest", stats.revision);
    }
    answer_send(r, status_http(status), NULL, &w);
}
