#include "api/rest.h"

#include "api/audit.h"
#include "base/limits.h"

void stream_init(struct stream *s, enum status (*print)(struct stream *s))
{
    s->print = print;
    s->writer.out = &s->piece;
}

void stream_deinit(struct stream *s)
{
    buf_deinit(&s->piece);
}

static void go_on(struct http_request *r)
{
    struct stream *s = CONTAINER_OF(r->user, struct stream, call);
    while (http_answer_wants_more(r)) {
        enum status status = s->print(s);
        http_answer_chunk(r, buf_slice(&s->piece));
        buf_clear(&s->piece);
        if (status == STATUS_OK) {
            continue;
        }
        call_end(&s->call);
        if (status == STATUS_NOT_FOUND) {
            http_answer_end(r);
        } else {
            http_answer_abort(r);
        }
        return;
    }
}

/* Print all of it, if it is short: while too many answers wait to be sent, no others are made. */
static bool print_short(struct stream *s)
{
    return s->print(s) == STATUS_NOT_FOUND && s->piece.size <= LIMIT_CROWDED_ANSWER_BYTES;
}

void stream_begin(struct stream *s, const char *headers)
{
    struct http_request *r = s->call.http;
    struct api *api = s->call.api;
    bool is_printed = r->method != HTTP_HEAD && loop_is_crowded(api->options.loop);
    if (is_printed && !print_short(s)) {
        call_end(&s->call);
        answer_status(api, r, STATUS_OVERLOADED);
        return;
    }
    if (r->note != NULL) {
        audit_http(r, 200);
    }
    http_answer_begin(r, 200, TYPE_JSON, headers);
    if (is_printed) {
        http_answer_chunk(r, buf_slice(&s->piece));
    }
    if (is_printed || r->method == HTTP_HEAD) {
        call_end(&s->call);
        http_answer_end(r);
        return;
    }
    r->on_writable = go_on;
    go_on(r);
}
