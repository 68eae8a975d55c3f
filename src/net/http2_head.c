#include "net/http2_head.h"

#include <nghttp2/nghttp2.h>

enum pseudo_header {
    PSEUDO_METHOD,
    PSEUDO_SCHEME,
    PSEUDO_PATH,
    PSEUDO_AUTHORITY,
    PSEUDO_COUNT,
};

#define BIT(pseudo) (1u << (pseudo))
#define NEEDED      (BIT(PSEUDO_METHOD) | BIT(PSEUDO_SCHEME) | BIT(PSEUDO_PATH))

void http2_head_begin(struct http2_head *head, bool is_trailer)
{
    *head = (struct http2_head){.is_trailer = is_trailer};
}

static bool text_is(struct slice s, const char *text)
{
    return slice_equal(s, slice_str(text));
}

static bool is_pseudo_value(enum pseudo_header pseudo, struct slice value)
{
    switch (pseudo) {
    case PSEUDO_METHOD:
        return nghttp2_check_method(value.data, value.size) != 0;
    case PSEUDO_PATH:
        return slice_has_prefix(value, slice_str("/")) &&
               nghttp2_check_path(value.data, value.size) != 0;
    case PSEUDO_SCHEME:
        return value.size > 0 && nghttp2_check_header_value(value.data, value.size) != 0;
    default:
        return nghttp2_check_header_value(value.data, value.size) != 0;
    }
}

static bool take_pseudo(struct http2_head *head, struct slice name, struct slice value)
{
    static const char *const names[PSEUDO_COUNT] = {":method", ":scheme", ":path", ":authority"};
    if (head->is_trailer || head->has_regular) {
        return false;
    }
    for (unsigned i = 0; i < PSEUDO_COUNT; i++) {
        if (text_is(name, names[i])) {
            bool is_first = (head->pseudo_set & BIT(i)) == 0;
            head->pseudo_set |= BIT(i);
            return is_first && is_pseudo_value((enum pseudo_header)i, value);
        }
    }
    return false;
}

/* What is about a connection of HTTP/1 has no meaning here, and hides what the sender took for its
 * request. */
static bool is_of_a_connection(struct slice name, struct slice value)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (text_is(name, names[i])) {
            return true;
        }
    }
    return text_is(name, "te") && !text_is(value, "trailers");
}

bool http2_head_take(struct http2_head *head, struct slice name, struct slice value)
{
    if (name.size > 0 && name.data[0] == ':') {
        return take_pseudo(head, name, value);
    }
    head->has_regular = true;
    return nghttp2_check_header_name(name.data, name.size) != 0 && /* upper case is refused too */
           nghttp2_check_header_value(value.data, value.size) != 0 &&
           !is_of_a_connection(name, value);
}

bool http2_head_is_whole(const struct http2_head *head, bool ends_stream)
{
    return head->is_trailer ? ends_stream : (head->pseudo_set & NEEDED) == NEEDED;
}
