#include "net/grpc_head.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#define ENTRIES_AT_FIRST 8

/* One header of a block, pseudo-headers too. */
struct head_entry {
    nghttp2_rcbuf *name;
    nghttp2_rcbuf *value;
    unsigned pseudo; /* its bit in http2_head.pseudo_set; 0: it is a regular one */
};

static struct slice bytes_of(nghttp2_rcbuf *buf)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(buf);
    return slice_of(v.base, v.len);
}

static bool text_is(struct slice s, const char *text)
{
    return slice_equal(s, slice_str(text));
}

/* --- heads ------------------------------------------------------------------------------------ */

struct grpc_head *grpc_head_ref(struct grpc_head *head)
{
    CHECK(head != NULL);
    head->refs++;
    return head;
}

void grpc_head_unref(struct grpc_head *head)
{
    if (head == NULL || --head->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < head->entry_count; i++) {
        nghttp2_rcbuf_decref(head->entries[i].name);
        nghttp2_rcbuf_decref(head->entries[i].value);
    }
    mem_free(head->entries);
    mem_free(head->headers);
    mem_free(head);
}

static void make_room(struct grpc_head *head)
{
    if (head->entry_count == head->capacity) {
        head->capacity = head->capacity > 0 ? 2 * head->capacity : ENTRIES_AT_FIRST;
        head->entries = mem_realloc(head->entries, head->capacity * sizeof(*head->entries));
        head->headers = mem_realloc(head->headers, head->capacity * sizeof(*head->headers));
    }
}

static void append(struct grpc_head *head, const struct head_entry *entry)
{
    struct slice name = bytes_of(entry->name);
    struct slice value = bytes_of(entry->value);
    size_t bytes = head->bytes + name.size + value.size;
    if (head->is_too_long || bytes > LIMIT_HEADERS_BYTES ||
        head->header_count == LIMIT_HEADERS_COUNT) {
        head->is_too_long = true;
        return;
    }
    make_room(head);
    nghttp2_rcbuf_incref(entry->name);
    nghttp2_rcbuf_incref(entry->value);
    head->entries[head->entry_count++] = *entry;
    if (entry->pseudo == 0 || text_is(name, ":authority")) {
        head->headers[head->header_count++] = (struct http_header){.name = name, .value = value};
        head->bytes = bytes;
    } else if (text_is(name, ":path")) {
        head->path = value;
        head->bytes += value.size;
    } else if (text_is(name, ":method")) {
        head->is_post = text_is(value, "POST");
    }
}

static bool is_grpc_type(struct slice type)
{
    struct slice own = slice_str("application/grpc");
    return slice_has_prefix(type, own) &&
           (type.size == own.size || type.data[own.size] == '+' || type.data[own.size] == ';');
}

static struct slice find(const struct grpc_head *head, const char *name)
{
    for (uint32_t i = 0; i < head->header_count; i++) {
        if (text_is(head->headers[i].name, name)) {
            return head->headers[i].value;
        }
    }
    return slice_of(NULL, 0);
}

/* --- reading ---------------------------------------------------------------------------------- */

void grpc_head_reader_deinit(struct grpc_head_reader *r)
{
    grpc_head_unref(r->last);
    grpc_head_unref(r->made);
    *r = (struct grpc_head_reader){0};
}

void grpc_head_reader_begin(struct grpc_head_reader *r, bool is_trailer)
{
    grpc_head_unref(r->made); /* of a block that was malformed */
    r->made = NULL;
    r->at = 0;
    http2_head_begin(&r->check, is_trailer);
}

/* The entry of the table that it was, or another with the same bytes. */
static bool is_same(nghttp2_rcbuf *a, nghttp2_rcbuf *b)
{
    return a == b || slice_equal(bytes_of(a), bytes_of(b));
}

/* The same header in the same place of the last block, which was sound; or NULL. */
static const struct head_entry *find_known(const struct grpc_head_reader *r, nghttp2_rcbuf *name,
                                           nghttp2_rcbuf *value)
{
    if (r->check.is_trailer || r->last == NULL || r->at >= r->last->entry_count) {
        return NULL;
    }
    const struct head_entry *e = &r->last->entries[r->at];
    return is_same(e->name, name) && is_same(e->value, value) ? e : NULL;
}

/* A head of its own, with what was the same so far. */
static void part_ways(struct grpc_head_reader *r)
{
    r->made = mem_calloc(1, sizeof(*r->made));
    r->made->refs = 1;
    for (uint32_t i = 0; i < r->at; i++) {
        append(r->made, &r->last->entries[i]);
    }
}

/* Its value is sound; its place may not be, when what came before was another. */
static bool take_known(struct http2_head *check, unsigned pseudo)
{
    if (pseudo == 0) {
        check->has_regular = true;
        return true;
    }
    bool is_first = (check->pseudo_set & pseudo) == 0;
    check->pseudo_set |= pseudo;
    return is_first && !check->has_regular;
}

bool grpc_head_reader_take(struct grpc_head_reader *r, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
    const struct head_entry *known = find_known(r, name, value);
    unsigned before = r->check.pseudo_set;
    if (!(known != NULL ? take_known(&r->check, known->pseudo)
                        : http2_head_take(&r->check, bytes_of(name), bytes_of(value)))) {
        return false;
    }
    if (r->check.is_trailer) {
        return true;
    }
    if (known == NULL && r->made == NULL) {
        part_ways(r);
    }
    if (r->made != NULL) {
        append(r->made, &(struct head_entry){name, value, r->check.pseudo_set & ~before});
    }
    r->at++;
    return true;
}

struct grpc_head *grpc_head_reader_end(struct grpc_head_reader *r)
{
    if (r->made == NULL && r->last != NULL && r->at < r->last->entry_count) {
        part_ways(r); /* it is the beginning of the last one */
    }
    struct grpc_head *head = r->made != NULL ? r->made : grpc_head_ref(r->last);
    if (r->made == NULL) {
        return head;
    }
    r->made = NULL;
    head->is_grpc = is_grpc_type(find(head, "content-type"));
    head->timeout = find(head, "grpc-timeout");
    if (!head->is_too_long) {
        grpc_head_unref(r->last);
        r->last = grpc_head_ref(head);
    }
    return head;
}
