/* rest_documents.c - GET /read: the documents, newest first, however many, in bounded memory.
 *
 * Documents only grow in number and keep their numbers, so that the answer is of one revision
 * whatever is written while it goes out. Older ones than fit in it are asked for by `before`: */
#include "api/json_value.h"
#include "api/rest.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define PAGE_DEFAULT 1000
#define PAGE_MAX     100000

struct reading {
    struct stream stream;
    struct node_read read;
    uint64_t revision; /* 0 = now */
    uint64_t before;   /* only those of lower revisions; 0 = all */
    uint64_t limit;
    uint64_t next; /* one more than the number of the next one to print */
    uint64_t end;  /* that of the last one */
    bool waits;    /* for the read */
};

static void destroy_reading(struct call *c)
{
    struct reading *d = CONTAINER_OF(c, struct reading, stream.call);
    if (d->waits) {
        node_read_cancel(&d->read);
    }
    stream_deinit(&d->stream);
    mem_free(d);
}

/* --- a document ------------------------------------------------------------------------------- */

void document_id_print(uint64_t revision, char id[DOCUMENT_ID_SIZE])
{
    snprintf(id, DOCUMENT_ID_SIZE, "%016" PRIx64, revision);
}

static bool document_id_parse(struct slice text, uint64_t *revision)
{
    *revision = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) {
            return false;
        }
        *revision = *revision << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    return text.size == DOCUMENT_ID_SIZE - 1 && *revision > 1; /* which is the empty store's */
}

/* The content is the text of a JSON string, as it was sent. */
void document_print(struct json_writer *w, uint64_t revision, struct slice content,
                    uint64_t time_ms)
{
    char id[DOCUMENT_ID_SIZE];
    struct slice text;
    document_id_print(revision, id);
    json_field_text(w, "id", id);
    json_write_name(w, "content");
    if (json_text_check(content, &text) == STATUS_OK) {
        json_write_raw(w, text);
    } else {
        json_write_string(w, content);
    }
    json_field_u64(w, "createdAt", time_ms);
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum status print_piece(struct stream *stream)
{
    struct reading *d = CONTAINER_OF(stream, struct reading, stream);
    struct json_writer *w = &stream->writer;
    for (; d->next > d->end && stream->piece.size < STREAM_PIECE_BYTES; d->next--) {
        struct kv_document document;
        if (!kv_document_at(node_kv(stream->call.api->options.node), d->next - 1, &document)) {
            return STATUS_COMPACTED; /* this member's state became another one */
        }
        json_open_object(w);
        document_print(w, document.revision, document.content, document.time_ms);
        json_close_object(w);
    }
    if (d->next > d->end) {
        return STATUS_OK;
    }
    json_close_array(w);
    return STATUS_NOT_FOUND;
}

/* Which ones; OK, FUTURE. */
static enum status choose_documents(struct reading *d)
{
    const struct kv *kv = node_kv(d->stream.call.api->options.node);
    uint64_t older;
    enum status s = kv_document_count(kv, d->revision, &d->next);
    if (d->before > 0 && kv_document_count(kv, d->before - 1, &older) == STATUS_OK) {
        d->next = older < d->next ? older : d->next;
    }
    d->end = d->next > d->limit ? d->next - d->limit : 0;
    return s;
}

static void begin_answer(struct reading *d)
{
    char header[64];
    struct kv_document last;
    const struct kv *kv = node_kv(d->stream.call.api->options.node);
    const char *headers = NULL;
    if (d->end > 0 && kv_document_at(kv, d->end, &last)) {
        char id[DOCUMENT_ID_SIZE];
        document_id_print(last.revision, id);
        snprintf(header, sizeof(header), "Conclave-Next: %s\r\n", id);
        headers = header;
    }
    json_open_array(&d->stream.writer);
    stream_begin(&d->stream, headers);
}

/* --- the request ------------------------------------------------------------------------------ */

static void on_read(struct node_read *read)
{
    struct reading *d = read->context;
    struct call *call = &d->stream.call;
    d->waits = false;
    if (read->status != STATUS_OK) {
        answer_read_failed(call->api, call->http, read->status);
        return;
    }
    enum status s = choose_documents(d);
    if (s != STATUS_OK) {
        answer_bad_revision(call->api, call->http, s);
        return;
    }
    begin_answer(d);
}

static bool parse_page(struct reading *d, struct query *q)
{
    d->limit = PAGE_DEFAULT;
    if (query_number(q, "limit", 1, &d->limit) != STATUS_OK) {
        return false;
    }
    if (d->limit > PAGE_MAX) {
        (void)query_refuse(q, "limit", "must be at most 100000");
        return false;
    }
    if (query_has(q, "before") && !document_id_parse(query_value(q, "before"), &d->before)) {
        (void)query_refuse(q, "before", "must be the id of a document");
        return false;
    }
    return true;
}

void rest_read(struct api *api, struct http_request *r, struct query *q)
{
    struct reading *d = mem_calloc(1, sizeof(*d));
    call_begin(&d->stream.call, api, r, destroy_reading);
    stream_init(&d->stream, print_piece);
    d->stream.writer.snake = api->options.json_snake;
    if (!parse_page(d, q)) {
        answer_bad_query(api, r, q);
        return;
    }
    if (!read_params_parse(api, r, q, &d->read, &d->revision)) {
        return;
    }
    d->read.done = on_read;
    d->read.context = d;
    d->waits = true;
    node_read_start(api->options.node, &d->read);
}
