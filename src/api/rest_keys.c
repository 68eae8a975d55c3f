/* rest_keys.c - GET /keys: a listing of any length in bounded memory.
 *
 * The walk is of one revision and goes on as fast as the client reads (struct stream). With a
 * delimiter, keys that share what comes before it are one line, and the walk jumps over them:
 *
 *     prefix=a/ delimiter=/     a/b      -> {"key":"a/b", ...}
 *                               a/c/1    \
 *                               a/c/2    -> {"prefix":"a/c/"} */
#include "api/json_value.h"
#include "api/rest.h"

#include "base/mem.h"
#include "base/utf8.h"

#define PAGE_DEFAULT   1000
#define PAGE_KEYS_MAX  100000
#define DELIMITER_SIZE 64

struct listing {
    struct stream stream;
    struct node_read read;
    struct kv_cursor cursor;
    struct buf prefix;
    struct buf after;     /* exclusive; kept in step with the walk: the `next` of the answer */
    struct buf delimiter; /* empty = none */
    uint64_t revision;    /* 0 = now */
    uint64_t left;        /* lines that the page has room for */
    bool with_values;
    bool has_cursor;
    bool waits; /* for the read */
};

static void destroy_listing(struct call *c)
{
    struct listing *l = CONTAINER_OF(c, struct listing, stream.call);
    if (l->waits) {
        node_read_cancel(&l->read);
    }
    if (l->has_cursor) {
        kv_cursor_deinit(&l->cursor);
    }
    buf_deinit(&l->prefix);
    buf_deinit(&l->after);
    buf_deinit(&l->delimiter);
    stream_deinit(&l->stream);
    mem_free(l);
}

/* --- where to begin --------------------------------------------------------------------------- */

/* The size of what `key` has up to and with the first delimiter behind the prefix; 0 = it has none.
 * */
static size_t group_size(const struct listing *l, struct slice key)
{
    size_t skip = l->prefix.size;
    if (l->delimiter.size == 0 || key.size <= skip) {
        return 0;
    }
    const uint8_t *at =
        memmem(key.data + skip, key.size - skip, l->delimiter.data, l->delimiter.size);
    return at == NULL ? 0 : (size_t)(at - key.data) + l->delimiter.size;
}

/* The first key that may be listed: behind `after`, and behind the whole group that it is in. */
static void first_key(const struct listing *l, struct buf *from)
{
    struct slice after = buf_slice(&l->after);
    if (after.size == 0 || slice_compare(after, buf_slice(&l->prefix)) < 0) {
        buf_append_slice(from, buf_slice(&l->prefix));
        return;
    }
    size_t group = slice_has_prefix(after, buf_slice(&l->prefix)) ? group_size(l, after) : 0;
    if (group > 0) {
        kv_prefix_end(slice_of(after.data, group), from);
    } else {
        buf_append_slice(from, after);
        buf_append_byte(from, 0);
    }
}

static enum status open_cursor(struct listing *l)
{
    struct buf from = {0};
    struct buf end = {0};
    first_key(l, &from);
    kv_prefix_end(buf_slice(&l->prefix), &end);
    if (end.size > 0 && slice_compare(buf_slice(&from), buf_slice(&end)) > 0) {
        buf_clear(&from);
        buf_append_slice(&from, buf_slice(&end));
    }
    enum status s = kv_cursor_init(&l->cursor, node_kv(l->stream.call.api->options.node),
                                   buf_slice(&from), buf_slice(&end), l->revision);
    l->has_cursor = s == STATUS_OK;
    buf_deinit(&from);
    buf_deinit(&end);
    return s;
}

/* --- printing --------------------------------------------------------------------------------- */

static void print_key(struct listing *l, const struct kv_item *item)
{
    struct json_writer *w = &l->stream.writer;
    json_open_object(w);
    json_field_string(w, "key", item->key);
    json_field_u64(w, "revision", item->revision);
    if (l->with_values) {
        json_field_value(w, item->value);
    }
    json_close_object(w);
    buf_clear(&l->after);
    buf_append_slice(&l->after, item->key);
}

static void print_group(struct listing *l, struct slice group)
{
    json_open_object(&l->stream.writer);
    json_field_string(&l->stream.writer, "prefix", group);
    json_close_object(&l->stream.writer);
    buf_clear(&l->after);
    buf_append_slice(&l->after, group);
    struct buf behind = {0};
    kv_prefix_end(group, &behind);
    kv_cursor_seek(&l->cursor, buf_slice(&behind));
    buf_deinit(&behind);
}

static void print_end(struct listing *l, bool more)
{
    struct json_writer *w = &l->stream.writer;
    json_close_array(w);
    json_field_bool(w, "more", more);
    json_write_name(w, "next");
    if (more) {
        json_write_string(w, buf_slice(&l->after));
    } else {
        json_write_null(w);
    }
    json_close_object(w);
}

static enum status print_piece(struct stream *stream)
{
    struct listing *l = CONTAINER_OF(stream, struct listing, stream);
    while (stream->piece.size < STREAM_PIECE_BYTES) {
        struct kv_item item;
        enum status s = kv_cursor_next(&l->cursor, &item);
        if (s == STATUS_OK && l->left == 0) {
            print_end(l, true);
            return STATUS_NOT_FOUND;
        }
        size_t group = s == STATUS_OK ? group_size(l, item.key) : 0;
        if (s == STATUS_OK && group == 0) {
            print_key(l, &item);
        } else if (s == STATUS_OK) {
            print_group(l, slice_of(item.key.data, group));
        } else if (s == STATUS_NOT_FOUND) {
            print_end(l, false);
        }
        if (s != STATUS_OK) {
            return s;
        }
        l->left--;
    }
    return STATUS_OK;
}

static void begin_answer(struct listing *l)
{
    struct json_writer *w = &l->stream.writer;
    json_open_object(w);
    json_write_name(w, "keys");
    json_open_array(w);
    stream_begin(&l->stream, NULL);
}

/* --- the request ------------------------------------------------------------------------------ */

/* All keys with the prefix, whatever page is wanted. False: answered. */
static bool may_list(struct listing *l)
{
    struct call *c = &l->stream.call;
    struct buf end = {0};
    kv_prefix_end(buf_slice(&l->prefix), &end);
    const struct kv_span span = {.kind = end.size > 0 ? KV_SPAN_RANGE : KV_SPAN_FROM,
                                 .key = buf_slice(&l->prefix),
                                 .end = buf_slice(&end)};
    enum auth_verdict verdict = auth_may(c->api, &c->caller, KV_PERMIT_READ, &span);
    buf_deinit(&end);
    return rest_allows(c->api, c->http, verdict);
}

static void on_read(struct node_read *read)
{
    struct listing *l = read->context;
    l->waits = false;
    if (read->status != STATUS_OK) {
        answer_read_failed(l->stream.call.api, l->stream.call.http, read->status);
        return;
    }
    if (!may_list(l)) {
        return;
    }
    enum status s = open_cursor(l);
    if (s != STATUS_OK) {
        answer_bad_revision(l->stream.call.api, l->stream.call.http, s);
        return;
    }
    begin_answer(l);
}

static bool take_text(struct query *q, const char *name, size_t size_max, struct buf *text)
{
    struct slice value = query_value(q, name);
    if (value.size > size_max) {
        (void)query_refuse(q, name, "too long");
        return false;
    }
    buf_append_slice(text, value);
    return true;
}

static bool parse_listing(struct listing *l, struct query *q)
{
    l->left = PAGE_DEFAULT;
    struct slice delimiter = query_value(q, "delimiter");
    /* UTF-8 never ends with 0xff, so there is always a key behind a group. */
    if (query_has(q, "delimiter") && (delimiter.size == 0 || !utf8_is_valid(delimiter))) {
        (void)query_refuse(q, "delimiter", "must be UTF-8 and not empty");
        return false;
    }
    if (query_number(q, "limit", 1, &l->left) != STATUS_OK ||
        query_bool(q, "values", &l->with_values) != STATUS_OK) {
        return false;
    }
    if (l->left > PAGE_KEYS_MAX) {
        (void)query_refuse(q, "limit", "must be at most 100000");
        return false;
    }
    return take_text(q, "prefix", LIMIT_KEY_BYTES, &l->prefix) &&
           take_text(q, "after", LIMIT_KEY_BYTES, &l->after) &&
           take_text(q, "delimiter", DELIMITER_SIZE, &l->delimiter);
}

void rest_keys(struct api *api, struct http_request *r, struct query *q)
{
    struct listing *l = mem_calloc(1, sizeof(*l));
    call_begin(&l->stream.call, api, r, destroy_listing);
    stream_init(&l->stream, print_piece);
    if (!parse_listing(l, q)) {
        answer_bad_query(api, r, q);
        return;
    }
    if (!read_params_parse(api, r, q, &l->read, &l->revision)) {
        return;
    }
    l->read.done = on_read;
    l->read.context = l;
    l->waits = true;
    node_read_start(api->options.node, &l->read);
}
