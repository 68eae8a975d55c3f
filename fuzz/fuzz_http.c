/* HTTP/1: the same bytes parse to the same messages, whether they come at once or in pieces. */
#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "net/http_parser.h"

#define BODY_MAX (64u * KIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(struct buf *story, struct slice s)
{
    buf_append_slice(story, s);
    buf_append_byte(story, '|');
}

static void note_message(struct buf *story, struct http_parser *p)
{
    const struct http_head *head = http_parser_head(p);
    note(story, head->method);
    note(story, head->target);
    for (uint32_t i = 0; i < head->header_count; i++) {
        note(story, head->headers[i].name);
        note(story, head->headers[i].value);
    }
    note(story, http_parser_body(p));
}

/* Parse everything, `piece` bytes at a time, and write down what came of it. */
static void tell(struct slice bytes, size_t piece, enum http_kind kind, struct buf *story)
{
    struct http_parser *p = http_parser_create(kind);
    http_parser_limit_body(p, BODY_MAX);
    size_t at = 0;
    while (at < bytes.size) {
        size_t left = bytes.size - at;
        size_t used = 0;
        enum http_parsed parsed =
            http_parser_feed(p, slice_of(bytes.data + at, left < piece ? left : piece), &used);
        CHECK_CMP(used, <=, left);
        CHECK(used > 0 || parsed != HTTP_PARSED_PART);
        at += used;
        if (parsed == HTTP_PARSED_HEAD) {
            http_parser_limit_body(p, BODY_MAX);
        } else if (parsed == HTTP_PARSED_WHOLE) {
            note_message(story, p);
            http_parser_reset(p);
            http_parser_limit_body(p, BODY_MAX);
        } else if (parsed == HTTP_PARSED_BAD) {
            int http_status = http_parser_trouble(p).http_status;
            CHECK(http_status >= 400 && http_status <= 599);
            break;
        }
    }
    /* Whether what is incomplete is already known to be bad may depend on the pieces. */
    if (!http_parser_is_fresh(p)) {
        note(story, slice_str("rest"));
    }
    http_parser_destroy(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    enum http_kind kind = (data[0] & 1) != 0 ? HTTP_KIND_RESPONSE : HTTP_KIND_REQUEST;
    size_t piece = (size_t)(data[0] >> 1) + 1;
    struct slice bytes = slice_of(data + 1, size - 1);
    struct buf whole = {0};
    struct buf pieces = {0};
    tell(bytes, bytes.size, kind, &whole);
    tell(bytes, piece, kind, &pieces);
    CHECK(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}
