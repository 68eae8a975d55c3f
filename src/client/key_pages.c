#include "client/key_pages.h"

#include "client/json_text.h"

#include <inttypes.h>

#define PAGE_KEYS             1000
#define PAGE_KEYS_WITH_VALUES 50

void key_pages_init(struct key_pages *p, struct client *c, const struct key_pages_options *options)
{
    *p = (struct key_pages){.client = c, .options = *options};
}

void key_pages_deinit(struct key_pages *p)
{
    buf_deinit(&p->after);
}

bool key_pages_has_more(const struct key_pages *p)
{
    return !p->is_begun || p->after.size > 0;
}

static void append_parameter(struct buf *target, const char *name, struct slice value)
{
    buf_printf(target, "&%s=", name);
    client_append_encoded(target, value, true);
}

static void make_target(const struct key_pages *p, struct buf *target)
{
    const struct key_pages_options *o = &p->options;
    buf_printf(target, "/keys?limit=%d", o->values ? PAGE_KEYS_WITH_VALUES : PAGE_KEYS);
    if (o->prefix[0] != '\0') {
        append_parameter(target, "prefix", slice_str(o->prefix));
    }
    if (o->values) {
        buf_append_str(target, "&values=true");
    }
    if (o->delimiter != NULL) {
        append_parameter(target, "delimiter", slice_str(o->delimiter));
    }
    if (o->consistency != NULL) {
        append_parameter(target, "consistency", slice_str(o->consistency));
    }
    if (p->after.size > 0) {
        append_parameter(target, "after", buf_slice(&p->after));
    }
    if (p->revision > 0) {
        buf_printf(target, "&revision=%" PRIu64, p->revision);
    }
    buf_append_byte(target, 0);
}

static void note_next(struct key_pages *p, const struct client_answer *a)
{
    struct slice more;
    struct slice next;
    buf_clear(&p->after);
    if (json_text_member(client_answer_text(a), "more", &more) &&
        slice_equal(more, slice_str("true")) &&
        json_text_member(client_answer_text(a), "next", &next) &&
        json_text_decode(next, &p->after) == STATUS_OK) {
        p->revision = p->revision > 0 ? p->revision : a->revision;
    }
}

enum status key_pages_fetch(struct key_pages *p, struct client_request *r, struct client_answer *a,
                            struct slice *items)
{
    struct buf target = {0};
    make_target(p, &target);
    *r = (struct client_request){.method = "GET", .target = (const char *)target.data};
    enum status status = client_call(p->client, r, a);
    r->target = NULL; /* it goes now, and explaining needs it not */
    buf_deinit(&target);
    p->is_begun = true;
    if (status != STATUS_OK) {
        buf_clear(&p->after);
        return status;
    }
    if (!json_is_array(json_object_get(a->json, "keys")) ||
        !json_text_member(client_answer_text(a), "keys", items)) {
        buf_clear(&p->after);
        return STATUS_CORRUPT;
    }
    note_next(p, a);
    return STATUS_OK;
}
