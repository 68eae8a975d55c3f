/* kv/kv_range.h - reading many keys at once: what a range request and a transaction's reads share.
 *
 * A span says which keys; a range says which of those to tell, in what order and how many. The
 * count is always that of the whole span, whatever is told. Read-only; nothing is copied: items are
 * handed to a sink and borrow from the store. */
#pragma once

#include "kv/kv.h"

enum kv_span_kind {
    KV_SPAN_KEY = 0,   /* `key` alone, of 1 to LIMIT_KEY_BYTES */
    KV_SPAN_RANGE = 1, /* [key, end); none when key >= end */
    KV_SPAN_FROM = 2,  /* all from `key` on */
};

struct kv_span {
    enum kv_span_kind kind;
    struct slice key; /* borrowed; in a range it may be empty: from the first key on */
    struct slice end; /* borrowed; KV_SPAN_RANGE only */
};

/* The span of etcd's pair: `range_end` empty = one key, a single zero byte = from `key` on. */
struct kv_span kv_span_of(struct slice key, struct slice range_end);
bool kv_span_contains(const struct kv_span *span, struct slice key);

/* Their numbers are those of etcd's messages and of a transaction in the log. */
enum kv_sort_order {
    KV_SORT_NONE = 0, /* by key ascending; for a target other than the key: ascending */
    KV_SORT_ASCEND = 1,
    KV_SORT_DESCEND = 2,
};
enum kv_sort_target {
    KV_SORT_KEY = 0,
    KV_SORT_VERSION = 1,
    KV_SORT_CREATE = 2,
    KV_SORT_MOD = 3,
    KV_SORT_VALUE = 4,
};

struct kv_range {
    struct kv_span span;
    uint64_t revision; /* 0 = now */
    uint64_t limit;    /* 0 = all; applied after filters and sort */
    enum kv_sort_order order;
    enum kv_sort_target target;
    bool keys_only;  /* values are told as empty; sorting by them still works */
    bool count_only; /* no item is told, and `more` is false */
    /* Keys outside are not told; 0 = no bound. They are counted. */
    uint64_t min_mod_revision;
    uint64_t max_mod_revision;
    uint64_t min_create_revision;
    uint64_t max_create_revision;
};

struct kv_range_result {
    uint64_t count; /* keys in the span at that revision; when cut, none in particular */
    uint64_t told;
    bool more; /* the limit left some untold */
    bool cut;  /* the sink did not want all of them, and the walk ended there */
};

/* One item, borrowed until the next kv_apply. False: it was not taken, and no more are wanted. */
typedef bool kv_item_sink(void *context, const struct kv_item *item);

/* OK, COMPACTED, FUTURE (nothing told). Equal ones of a sort stand in key order. Costs a walk over
 * the span, about a tenth of a microsecond a key, also for the count alone, unless that is of all
 * keys now; memory only for a sort, 32 bytes for each item to tell. */
enum status MUST_CHECK kv_range_read(const struct kv *kv, const struct kv_range *range,
                                     kv_item_sink *sink, void *context,
                                     struct kv_range_result *result);
