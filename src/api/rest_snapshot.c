/* rest_snapshot.c - GET /snapshot: a verified backup of the whole state, streamed
 * (wal/snapshot_file.h has its bytes). A backup that broke off is never taken for a whole one:
 * the stream is cut. */
#include "api/rest.h"

#include "api/audit.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

/* One is sent at a time. A reader that takes nothing is given up after LIMIT_HTTP_WRITE_STALL_MS,
 * and one that does takes seconds. */
#define RETRY_AFTER_S 5

struct snapshot_call {
    struct call call;
    struct node_backup backup;
    bool started; /* node_backup_start said yes */
    bool begun;   /* the head of the answer has left */
    bool asked;   /* for a piece that has not come */
};

static void destroy_snapshot(struct call *c)
{
    struct snapshot_call *s = CONTAINER_OF(c, struct snapshot_call, call);
    if (s->started) {
        node_backup_end(&s->backup);
    }
    mem_free(s);
}

static void ask_next(struct snapshot_call *s)
{
    if (!s->asked && http_answer_wants_more(s->call.http)) {
        s->asked = true;
        node_backup_next(&s->backup);
    }
}

static void on_writable(struct http_request *r)
{
    ask_next(CONTAINER_OF(r->user, struct snapshot_call, call));
}

static void on_piece(struct node_backup *b, enum status status, struct slice bytes)
{
    struct snapshot_call *s = b->context;
    struct http_request *r = s->call.http;
    s->asked = false;
    if (status != STATUS_OK) {
        call_end(&s->call);
        http_answer_abort(r);
    } else if (bytes.size == 0) {
        call_end(&s->call);
        http_answer_end(r);
    } else {
        http_answer_chunk(r, bytes);
        ask_next(s);
    }
}

static void on_ready(struct node_backup *b)
{
    struct snapshot_call *s = b->context;
    if (b->status != STATUS_OK) {
        enum status status = b->status;
        if (status == STATUS_BUSY) {
            answer_later(s->call.api, s->call.http, "Busy",
                         "another snapshot is being taken, or sent; ask another member, or again",
                         RETRY_AFTER_S);
        } else if (status == STATUS_CLOSED) {
            answer_error_reason(s->call.api, s->call.http, 503, "Not ready",
                                "this member is founding, joining or stopping");
        } else {
            answer_status(s->call.api, s->call.http, status);
        }
        return;
    }
    char headers[256];
    snprintf(headers, sizeof(headers),
             "Conclave-Snapshot-Bytes: %" PRIu64 "\r\nConclave-Snapshot-Index: %" PRIu64
             "\r\nConclave-Snapshot-Revision: %" PRIu64 "\r\n",
             b->size_bytes, b->index, b->revision);
    s->begun = true;
    s->call.http->on_writable = on_writable;
    if (s->call.http->note != NULL) {
        audit_http(s->call.http, 200);
    }
    http_answer_begin(s->call.http, 200, "application/octet-stream", headers);
    ask_next(s);
}

void rest_snapshot(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct snapshot_call *s = mem_calloc(1, sizeof(*s));
    call_begin(&s->call, api, r, destroy_snapshot);
    s->backup.ready = on_ready;
    s->backup.piece = on_piece;
    s->backup.context = s;
    enum status status = node_backup_start(api->options.node, &s->backup);
    s->started = status == STATUS_OK;
    if (status != STATUS_OK) {
        s->backup.status = status;
        on_ready(&s->backup);
    }
}
