/* write_answer.c - what all writes share: how far they must have come, and why they did not. */
#include "api/rest.h"

bool write_ack_parse(struct api *api, struct http_request *r, struct query *q, enum node_ack *ack)
{
    if (query_is(q, "ack", "leader")) {
        *ack = NODE_ACK_LEADER;
    } else if (query_is(q, "ack", "quorum")) {
        *ack = NODE_ACK_QUORUM;
    } else if (query_is(q, "ack", "all")) {
        *ack = NODE_ACK_ALL;
    } else if (query_has(q, "ack")) {
        (void)query_refuse(q, "ack", "must be leader, quorum or all");
        answer_bad_query(api, r, q);
        return false;
    } else {
        *ack = api->options.ack;
    }
    return true;
}

static void answer_not_confirmed(struct api *api, struct http_request *r,
                                 const struct node_write *write)
{
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", status_text(STATUS_NOT_CONFIRMED));
    json_field_text(&w, "durability", "quorum");
    json_write_name(&w, "missing");
    json_open_array(&w);
    for (uint32_t i = 0; i < write->missing_count; i++) {
        json_write_string(&w, slice_str(write->missing[i]));
    }
    json_close_array(&w);
    json_field_u64(&w, "revision", write->result.revision);
    answer_send(r, 504, NULL, &w);
}

/* 307: the client sends the same request again, to the leader. */
static void answer_redirect(struct api *api, struct http_request *r, const char *leader_url,
                            const char *error)
{
    struct buf headers = {0};
    buf_append_str(&headers, "Location: ");
    buf_append_str(&headers, leader_url);
    buf_append_slice(&headers, path_and_query(r, 0));
    buf_append_str(&headers, "\r\n");
    buf_append_byte(&headers, 0);
    struct json_writer w = answer_begin_not_leader(api, r, error);
    answer_send(r, 307, (const char *)headers.data, &w);
    buf_deinit(&headers);
}

void answer_not_leader(struct api *api, struct http_request *r, int http_status, const char *error)
{
    const struct node_status *s = api_status(api);
    if (api->options.on_follower == API_REDIRECT && s->leader_url[0] != '\0' &&
        strcmp(s->leader, s->name) != 0) {
        answer_redirect(api, r, s->leader_url, error);
        return;
    }
    struct json_writer w = answer_begin_not_leader(api, r, error);
    answer_send(r, http_status, NULL, &w);
}

void answer_write_failed(struct api *api, struct http_request *r, const struct node_write *write,
                         enum status status)
{
    struct json_writer w;
    switch (status) {
    case STATUS_NOT_CONFIRMED:
        answer_not_confirmed(api, r, write);
        break;
    case STATUS_NOT_LEADER:
        answer_not_leader(api, r, status_http(status), status_text(status));
        break;
    case STATUS_MISMATCH:
        answer_error_reason(api, r, 422, "Idempotency-Key reused",
                            "this key was used for another request within the last ten minutes");
        break;
    case STATUS_BUSY:
        w = answer_begin_not_leader(api, r, "Leadership is being handed over");
        answer_send(r, 503, NULL, &w);
        break;
    default:
        answer_status(api, r, status);
        break;
    }
}
