#include "net/http_ask.h"

void http_ask_write(const struct http_call *call, const struct url *server, struct buf *out)
{
    bool is_ipv6 = strchr(server->host, ':') != NULL;
    buf_printf(
        out, is_ipv6 ? "%s %s HTTP/1.1\r\nHost: [%s]:%u\r\n" : "%s %s HTTP/1.1\r\nHost: %s:%u\r\n",
        call->method, call->target, server->host, (unsigned)server->port);
    if (call->body.data != NULL) {
        buf_printf(out, "Content-Length: %zu\r\n", call->body.size);
    }
    if (call->headers != NULL) {
        buf_append_str(out, call->headers);
    }
    buf_append_str(out, "\r\n");
    buf_append_slice(out, call->body);
}

void http_ask_begin(const struct http_call *call, struct http_parser *parser)
{
    http_parser_reset(parser);
    http_parser_limit_body(parser, call->answer_bytes_max);
    if (strcmp(call->method, "HEAD") == 0) {
        http_parser_expect_no_body(parser);
    }
}

static bool goes_to_sink(const struct http_call *call, const struct http_parser *parser)
{
    return call->sink != NULL && http_parser_head(parser)->http_status / 100 == 2;
}

/* Hand on what has come of the body; false: no more is wanted. */
static bool drain_body(const struct http_call *call, struct http_parser *parser)
{
    struct slice piece = http_parser_body(parser);
    if (!goes_to_sink(call, parser) || piece.size == 0) {
        return true;
    }
    bool more = call->sink->take(call->sink->context, piece);
    http_parser_drop_body(parser);
    return more;
}

enum status http_ask_read(const struct http_call *call, struct http_parser *parser,
                          struct slice bytes, struct slice *rest)
{
    for (;;) {
        size_t used;
        enum http_parsed parsed = http_parser_feed(parser, bytes, &used);
        bytes = slice_of(bytes.data + used, bytes.size - used);
        *rest = bytes;
        switch (parsed) {
        case HTTP_PARSED_PART:
            return drain_body(call, parser) ? STATUS_BUSY : STATUS_IO;
        case HTTP_PARSED_HEAD:
            if (goes_to_sink(call, parser)) {
                http_parser_limit_body(parser, UINT64_MAX);
            }
            break;
        case HTTP_PARSED_WHOLE:
            if (http_parser_head(parser)->http_status / 100 != 1) {
                return drain_body(call, parser) ? STATUS_OK : STATUS_IO;
            }
            http_ask_begin(call, parser); /* 100 Continue: the answer is still to come */
            break;
        case HTTP_PARSED_BAD:
            return http_parser_trouble(parser).http_status == 413 ? STATUS_TOO_LARGE
                                                                  : STATUS_CORRUPT;
        }
    }
}

enum status http_ask_end(struct http_parser *parser)
{
    return http_parser_end(parser) == HTTP_PARSED_WHOLE ? STATUS_OK : STATUS_CLOSED;
}

struct http_reply http_ask_reply(const struct http_parser *parser)
{
    const struct http_head *head = http_parser_head(parser);
    return (struct http_reply){.http_status = head->http_status,
                               .headers = head->headers,
                               .header_count = head->header_count,
                               .body = http_parser_body(parser),
                               .is_last = !head->keep_alive};
}
