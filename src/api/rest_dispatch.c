/* rest_dispatch.c - GET /dispatch: a client is sent to the member that has the fewest. */
#include "api/rest.h"

#define DISPATCH_PATH "/dispatch"

static void send_to(struct http_request *r, const char *url)
{
    struct slice rest = path_and_query(r, strlen(DISPATCH_PATH));
    struct buf headers = {0};
    buf_append_str(&headers, "Location: ");
    buf_append_str(&headers, url);
    if (rest.size == 0 || rest.data[0] != '/') {
        buf_append_byte(&headers, '/');
    }
    buf_append_slice(&headers, rest);
    buf_append_str(&headers, "\r\n");
    buf_append_byte(&headers, 0);
    answer_bytes(r, 307, NULL, (const char *)headers.data, slice_of(NULL, 0));
    buf_deinit(&headers);
}

void rest_dispatch(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct loop *loop = api->options.loop;
    struct node_load_item items[LIMIT_MEMBERS];
    uint32_t count = node_loads_get(api->options.node, items);
    const struct node_load_item *chosen =
        dispatch_choose(&api->dispatcher, items, count, loop->ops->now_ms(loop));
    http_request_end_connection(r); /* row E6: who was sent away does not stay */
    if (chosen == NULL) {
        answer_bytes(r, 503, TYPE_TEXT, "Retry-After: 1\r\n",
                     slice_str("No worker nodes available."));
        return;
    }
    send_to(r, chosen->member.url);
}
