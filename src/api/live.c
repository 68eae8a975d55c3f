/* live.c - GET /live: a page that goes on for as long as it is open (rows E9, E10).
 *
 * The page first, then once a second a chunk `<script>update([ids],{state})</script>`, which the
 * browser runs as it comes. All pages of a tick get the same bytes. */
#include "api/feed.h"

#include "base/mem.h"

#include <stdio.h>

struct live_page {
    struct call call;
    struct list link; /* feed->pages */
    struct list turn; /* feed->slots[] */
    char id[FEED_ID_BYTES + 1];
    uint64_t late_since;
};

static void note_session(struct feed_sessions *s, const char *id)
{
    if (s->count < FEED_IDS_TOLD) {
        snprintf(s->ids[s->count], sizeof(s->ids[0]), "%s", id);
    }
    s->count++;
}

static void destroy_page(struct call *c)
{
    struct live_page *p = CONTAINER_OF(c, struct live_page, call);
    struct feed *f = c->api->feed;
    list_remove(&p->link);
    list_remove(&p->turn);
    f->page_count--;
    note_session(&f->ended, p->id);
    feed_leave(f);
    mem_free(p);
}

/* --- the update ------------------------------------------------------------------------------- */

/* JSON as it may stand in a script of a page: no string of it can end the script. U+2028 and U+2029
 * are ends of lines to older browsers. */
static void append_for_script(struct buf *out, struct slice json)
{
    for (size_t i = 0; i < json.size; i++) {
        uint8_t c = json.data[i];
        bool is_separator = c == 0xe2 && i + 2 < json.size && json.data[i + 1] == 0x80 &&
                            (json.data[i + 2] & 0xfe) == 0xa8;
        if (c == '<' || c == '>' || c == '&') {
            buf_printf(out, "\\u%04x", c);
        } else if (is_separator) {
            buf_printf(out, "\\u%04x", 0x2000u + (json.data[i + 2] & 0x3fu));
            i += 2;
        } else {
            buf_append_byte(out, c);
        }
    }
}

/* The newest first, so that one that has just come is among those that are listed. */
static void print_sessions(const struct feed *f, struct json_writer *w)
{
    uint32_t listed = 0;
    json_open_array(w);
    for (const struct list *link = f->pages.prev; link != &f->pages && listed < FEED_LIVE_IDS;
         link = link->prev) {
        json_write_string(w, slice_str(CONTAINER_OF(link, const struct live_page, link)->id));
        listed++;
    }
    json_close_array(w);
}

static void print_news(const struct feed *f, struct json_writer *w)
{
    uint32_t listed = 0;
    json_write_name(w, "events");
    json_open_array(w);
    for (uint64_t n = f->next_number; n-- > 1 && listed < FEED_LIVE_EVENTS;) {
        const struct feed_event *e = &f->events[n % FEED_EVENTS];
        if (e->number != n) {
            break;
        }
        if (e->is_news) {
            json_write_raw(w, e->data);
            listed++;
        }
    }
    json_close_array(w);
}

static struct blob *render_update(struct feed *f)
{
    struct buf json = {0};
    struct json_writer w = {.out = &json};
    print_sessions(f, &w);
    json_open_object(&w);
    feed_print_state(f, &w);
    print_news(f, &w);
    json_close_object(&w);
    struct buf text = {0};
    buf_append_str(&text, "<script>update(");
    append_for_script(&text, buf_slice(&json));
    buf_append_str(&text, ");</script>\n");
    struct blob *update = blob_copy(buf_slice(&text));
    buf_deinit(&text);
    buf_deinit(&json);
    return update;
}

void live_serve(struct feed *f)
{
    struct list *slot = &f->slots[f->ticks % FEED_SLOTS];
    if (list_is_empty(slot)) {
        return;
    }
    struct blob *update = render_update(f);
    for (struct list *link = slot->next; link != slot;) {
        struct live_page *p = CONTAINER_OF(link, struct live_page, turn);
        link = link->next;
        if (feed_may_write(f, &p->call, &p->late_since)) {
            http_answer_chunk_shared(p->call.http, update);
        }
    }
    blob_unref(update);
}

void live_end_all(struct feed *f)
{
    while (!list_is_empty(&f->pages)) {
        struct live_page *p = CONTAINER_OF(f->pages.next, struct live_page, link);
        struct http_request *r = p->call.http;
        call_end(&p->call);
        http_answer_end(r);
    }
}

/* --- the request ------------------------------------------------------------------------------ */

#define HEADERS                                                                                    \
    "Cache-Control: no-cache\r\n"                                                                  \
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "                     \
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'\r\n"

static bool is_taken(const struct feed *f, const char *id)
{
    for (const struct list *link = f->pages.next; link != &f->pages; link = link->next) {
        if (memcmp(CONTAINER_OF(link, const struct live_page, link)->id, id, FEED_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static void open_page(struct feed *f, struct http_request *r)
{
    struct live_page *p = mem_calloc(1, sizeof(*p));
    do {
        feed_make_id(f, p->id);
    } while (is_taken(f, p->id));
    call_begin(&p->call, f->api, r, destroy_page);
    list_push_back(&f->pages, &p->link);
    list_push_back(&f->slots[f->next_slot++ % FEED_SLOTS], &p->turn);
    f->page_count++;
    note_session(&f->began, p->id);

    struct buf page = {0};
    buf_append_str(&page, live_page_head);
    buf_append_str(&page, p->id);
    buf_append_str(&page, live_page_tail);
    http_answer_begin(r, 200, TYPE_HTML, HEADERS);
    http_answer_chunk(r, buf_slice(&page));
    buf_deinit(&page);
}

void rest_live(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    if (r->method == HTTP_HEAD) {
        http_answer_begin(r, 200, TYPE_HTML, HEADERS);
        http_answer_end(r);
    } else if (feed_join(api->feed, r)) {
        open_page(api->feed, r);
    }
}
