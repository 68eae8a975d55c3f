#include "api/rest.h"

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

void stream_begin(struct stream *s, const char *headers)
{
    struct http_request *r = s->call.http;
    if (loop_is_crowded(s->call.api->options.loop)) {
        answer_status(s->call.api, r, STATUS_OVERLOADED);
        return;
    }
    http_answer_begin(r, 200, TYPE_JSON, headers);
    if (r->method == HTTP_HEAD) {
        call_end(&s->call);
        http_answer_end(r);
        return;
    }
    r->on_writable = go_on;
    go_on(r);
}
