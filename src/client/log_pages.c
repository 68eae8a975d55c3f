#include "client/log_pages.h"

#include "client/json_text.h"

#include <inttypes.h>

#define PAGE_ENTRIES LIMIT_LOG_READ_ENTRIES
/* Numbers of an answer are doubles, which are exact up to here. */
#define NUMBER_MAX   9007199254740992.0

void log_pages_init(struct log_pages *p, struct client *c, const struct log_pages_options *options)
{
    *p = (struct log_pages){
        .client = c, .options = *options, .next = options->from, .left = options->limit};
}

bool log_pages_has_more(const struct log_pages *p)
{
    return p->left > 0;
}

static enum status ask(struct log_pages *p, uint64_t limit, struct client_request *r,
                       struct client_answer *a)
{
    struct buf target = {0};
    buf_printf(&target, "/log?limit=%" PRIu64, limit);
    if (p->next > 0) {
        buf_printf(&target, "&from=%" PRIu64, p->next);
    }
    if (p->options.consistency != NULL) {
        buf_printf(&target, "&consistency=%s", p->options.consistency);
    }
    buf_append_byte(&target, 0);
    *r = (struct client_request){.method = "GET", .target = (const char *)target.data};
    enum status status = client_call(p->client, r, a);
    r->target = NULL; /* it goes now, and explaining needs it not */
    buf_deinit(&target);
    if (status == STATUS_OK && !json_is_array(json_object_get(a->json, "entries"))) {
        status = STATUS_CORRUPT;
    }
    return status;
}

static uint64_t number_of(const struct client_answer *a, const char *name)
{
    double number = json_number_value(json_object_get(a->json, name));
    return number >= 1 && number <= NUMBER_MAX ? (uint64_t)number : 0;
}

/* More than a page from the end: the end is asked for first. */
static enum status find_begin(struct log_pages *p, struct client_request *r,
                              struct client_answer *a)
{
    enum status status = ask(p, 1, r, a);
    if (status == STATUS_OK) {
        uint64_t oldest = number_of(a, "oldest");
        uint64_t newest = number_of(a, "newest");
        uint64_t begin = newest >= p->left ? newest - p->left + 1 : 1;
        p->next = begin > oldest ? begin : oldest;
    }
    return status;
}

enum status log_pages_fetch(struct log_pages *p, struct client_request *r, struct client_answer *a,
                            struct slice *entries)
{
    enum status status = STATUS_OK;
    if (p->next == 0 && p->left > PAGE_ENTRIES) {
        status = find_begin(p, r, a);
    }
    if (status == STATUS_OK) {
        status = ask(p, p->left < PAGE_ENTRIES ? p->left : PAGE_ENTRIES, r, a);
    }
    uint64_t next = status == STATUS_OK ? number_of(a, "next") : 0;
    uint64_t count = json_array_size(json_object_get(a->json, "entries"));
    bool more = json_is_true(json_object_get(a->json, "more")) && count > 0 && next > p->next;
    if (status == STATUS_OK && !json_text_member(client_answer_text(a), "entries", entries)) {
        status = STATUS_CORRUPT;
    }
    p->left = status == STATUS_OK && more && count < p->left ? p->left - count : 0;
    p->next = next;
    return status;
}
