/* client/event_stream.h - server-sent events out of the bytes of a stream, in pieces of any size.
 *
 * What GET /watch and GET /events send. Only lines that end with LF are asked for: ours do. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>

struct stream_event {
    struct slice type; /* empty = none was named */
    struct slice id;   /* empty = it has none */
    struct slice data; /* its lines, with LF between them */
};

/* Zero-initialised, then the first block is set. */
struct event_stream {
    /* False: no more is wanted. The event is borrowed during the call. */
    bool (*on_event)(void *context, const struct stream_event *e);
    void *context;

    struct buf line;
    struct buf type;
    struct buf id;
    struct buf data;
    bool has_data;
};

/* False: on_event said so, or an event is longer than LIMIT_CLIENT_ANSWER_BYTES. */
bool event_stream_take(struct event_stream *s, struct slice piece);
/* Forget what has come of an event; another stream begins. */
void event_stream_reset(struct event_stream *s);
void event_stream_deinit(struct event_stream *s);
