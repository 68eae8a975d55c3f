/* api/watch_encoding.h - whose is which slot of an event's encodings (kv/kv_watch.h). */
#pragma once

#include "kv/kv_watch.h"

enum watch_encoding {
    WATCH_ENCODING_ETCD,          /* a protobuf Event */
    WATCH_ENCODING_ETCD_PREVIOUS, /* the same with prev_kv */
    WATCH_ENCODING_SSE,           /* GET /watch: all of a revision, as text */
};

_Static_assert(WATCH_ENCODING_SSE < KV_EVENT_ENCODINGS, "each has a slot");
