/* etcd_kv.c - Range, Put, DeleteRange, Txn and Compact.
 *
 * Any member answers: reads are confirmed by the leader (node_read), writes are handed to it. What
 * a put or a delete of one key asks for beyond a command of its own (what was before, say) is a
 * transaction of one operation. */
#include "api/etcd_call.h"

#include "api/etcd_access.h"
#include "api/etcd_txn.h"
#include "api/rest.h"
#include "kv/kv_lease.h"

/* --- reads ------------------------------------------------------------------------------------ */

/* An answer that takes a while to make: the others are made in later turns. */
#define LONG_ANSWER_BYTES (1u * MIB)
#define LONG_ANSWER_KEYS  65536u

struct read_call {
    struct etcd_call call;
    struct node_read read;
    struct list link; /* of api->etcd_reads or etcd_key_reads */
    bool serializable;
    bool waits;
    struct kv_txn *txn; /* of Txn, owned; NULL: it is a Range */
};

/* What kv_range_read tells, in the call's arena. */
struct collected {
    struct arena *arena;
    Mvccpb__KeyValue **items;
    size_t count;
    size_t capacity;
    size_t bytes;
    size_t bytes_max;
};

static bool collect(void *context, const struct kv_item *item)
{
    struct collected *c = context;
    c->bytes += item->key.size + item->value.size + sizeof(Mvccpb__KeyValue);
    if (c->bytes > c->bytes_max) {
        return false;
    }
    if (c->count == c->capacity) {
        size_t capacity = c->capacity > 0 ? 2 * c->capacity : 16;
        Mvccpb__KeyValue **items = arena_alloc(c->arena, capacity * sizeof(items[0]));
        if (c->count > 0) {
            memcpy(items, c->items, c->count * sizeof(items[0]));
        }
        c->items = items;
        c->capacity = capacity;
    }
    c->items[c->count++] = etcd_item_of(c->arena, item);
    return true;
}

static void fail_too_long(struct etcd_call *call)
{
    etcd_fail_text(call, GRPC_RESOURCE_EXHAUSTED, "the answer is too long: ask with a limit");
}

/* Whoever asks next waits for as long as this turn has taken, and for the next turn at least: the
 * turns in between are for heartbeats and their answers. */
static void note_work(struct api *api, uint64_t bytes, uint64_t keys)
{
    struct loop *loop = api->options.loop;
    if (bytes >= LONG_ANSWER_BYTES || keys >= LONG_ANSWER_KEYS) {
        uint64_t from_ms = loop->ops->now_ms(loop);
        uint64_t now_ms = loop->ops->now_us(loop) / 1000;
        api->etcd_reads_wait = true;
        loop->ops->timer_start(loop, &api->etcd_reads_timer, now_ms + (now_ms - from_ms));
    }
}

/* So many bytes, while more answers than may wait to be taken. */
static bool is_too_much_now(const struct api *api, uint64_t bytes)
{
    return bytes > LIMIT_CROWDED_ANSWER_BYTES && loop_is_crowded(api->options.loop);
}

static void answer_range(struct read_call *c)
{
    const Etcdserverpb__RangeRequest *request = (const void *)c->call.request;
    struct kv_range range = etcd_range_of(request);
    bool is_crowded = loop_is_crowded(c->call.api->options.loop);
    struct collected found = {.arena = &c->call.arena,
                              .bytes_max =
                                  is_crowded ? LIMIT_CROWDED_ANSWER_BYTES : LIMIT_TXN_ANSWER_BYTES};
    struct kv_range_result result;
    if (!etcd_may(&c->call, KV_PERMIT_READ, &range.span)) {
        return;
    }
    enum status status =
        kv_range_read(node_kv(c->call.api->options.node), &range, collect, &found, &result);
    if (status != STATUS_OK) {
        etcd_fail(&c->call, etcd_error_of(status));
        return;
    }
    note_work(c->call.api, found.bytes, result.count);
    if (is_too_much_now(c->call.api, found.bytes)) {
        etcd_fail(&c->call, ETCD_TOO_MANY_REQUESTS);
        return;
    }
    if (result.cut) {
        fail_too_long(&c->call);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__RangeResponse response = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    etcd_header(c->call.api, &header);
    response.header = &header;
    response.kvs = found.items;
    response.n_kvs = found.count;
    response.more = result.more;
    response.count = (int64_t)result.count;
    etcd_answer(&c->call, &response.base);
}

/* `bytes` of the store at `revision`. */
static void answer_txn(struct etcd_call *call, struct slice bytes, uint64_t revision)
{
    Etcdserverpb__TxnResponse *response = etcd_txn_response_of(&call->arena, bytes);
    if (response == NULL) {
        etcd_fail_text(call, GRPC_INTERNAL, "the answer of the leader cannot be read");
        return;
    }
    Etcdserverpb__ResponseHeader header;
    etcd_header_at(call->api, revision, &header);
    response->header = &header;
    etcd_answer(call, &response->base);
}

static void answer_read_txn(struct read_call *c)
{
    struct buf answer = {0};
    if (!etcd_may_txn(&c->call, c->txn)) {
        return;
    }
    enum status status = kv_txn_read(node_kv(c->call.api->options.node), c->txn, &answer);
    bool is_cut = status == STATUS_TOO_LARGE;
    note_work(c->call.api, is_cut ? LONG_ANSWER_BYTES : answer.size, 0);
    if (status == STATUS_OK && is_too_much_now(c->call.api, answer.size)) {
        etcd_fail(&c->call, ETCD_TOO_MANY_REQUESTS);
    } else if (status == STATUS_OK) {
        answer_txn(&c->call, buf_slice(&answer), api_revision(c->call.api));
    } else if (status == STATUS_TOO_LARGE) {
        fail_too_long(&c->call);
    } else {
        etcd_fail(&c->call, etcd_error_of(status));
    }
    buf_deinit(&answer);
}

static void answer_read(struct read_call *c)
{
    if (c->txn != NULL) {
        answer_read_txn(c);
    } else {
        answer_range(c);
    }
}

static void start_read(struct read_call *c);

static bool is_of_one_key(const struct read_call *c)
{
    const Etcdserverpb__RangeRequest *request = (const void *)c->call.request;
    return c->txn == NULL && request->range_end.len == 0;
}

/* Its connection has taken what was told before. */
static void on_writable(struct etcd_call *call)
{
    struct read_call *c = CONTAINER_OF(call, struct read_call, call);
    call->on_writable = NULL;
    start_read(c);
}

/* Of a thousand that were confirmed together, each may be as long as LIMIT_TXN_ANSWER_BYTES: they
 * are made one a turn, and on one connection as it takes them. */
static void on_read(struct node_read *r)
{
    struct read_call *c = r->context;
    struct api *api = c->call.api;
    c->waits = false;
    if (r->status != STATUS_OK) {
        etcd_fail(&c->call, etcd_error_of(r->status));
    } else if (!etcd_wants_more(&c->call)) {
        c->call.on_writable = on_writable;
    } else if (api->etcd_reads_wait) {
        list_push_back(is_of_one_key(c) ? &api->etcd_key_reads : &api->etcd_reads, &c->link);
    } else {
        answer_read(c);
    }
}

/* Until one of them is long. */
static void answer_waiting(struct api *api, struct list *reads)
{
    struct list *first;
    while (!api->etcd_reads_wait && (first = list_pop_front(reads)) != NULL) {
        on_read(&CONTAINER_OF(first, struct read_call, link)->read);
    }
}

/* Who asks for a key does not wait for all who ask for many. A value may be long as well: then the
 * others have the next turn, so that neither keeps the other from its answers. */
static void on_next_turn(struct timer *t)
{
    struct api *api = t->context;
    bool others_first = api->etcd_keys_were_long;
    api->etcd_reads_wait = false;
    answer_waiting(api, others_first ? &api->etcd_reads : &api->etcd_key_reads);
    api->etcd_keys_were_long = !others_first && api->etcd_reads_wait;
    answer_waiting(api, others_first ? &api->etcd_key_reads : &api->etcd_reads);
}

void etcd_reads_init(struct api *api)
{
    list_init(&api->etcd_reads);
    list_init(&api->etcd_key_reads);
    api->etcd_reads_timer = (struct timer){.fire = on_next_turn, .context = api};
}

static void destroy_read(struct etcd_call *call)
{
    struct read_call *c = CONTAINER_OF(call, struct read_call, call);
    if (c->waits) {
        node_read_cancel(&c->read);
    }
    list_remove(&c->link);
    kv_txn_destroy(c->txn);
}

static void start_read(struct read_call *c)
{
    c->read = (struct node_read){.consistency = c->serializable ? NODE_STALE : NODE_LINEARIZABLE,
                                 .done = on_read,
                                 .context = c};
    c->waits = true;
    node_read_start(c->call.api->options.node, &c->read);
}

static void begin_read(struct read_call *c, bool serializable)
{
    c->call.destroy = destroy_read;
    c->serializable = serializable;
    list_init(&c->link);
    start_read(c);
}

static void start_range(struct etcd_call *call)
{
    const Etcdserverpb__RangeRequest *request = (const void *)call->request;
    if (request->key.len == 0) {
        etcd_fail(call, ETCD_EMPTY_KEY);
    } else if (request->key.len > LIMIT_KEY_BYTES || request->range_end.len > LIMIT_KEY_BYTES) {
        etcd_fail(call, ETCD_REQUEST_TOO_LARGE);
    } else if (!etcd_is_sort(request)) {
        etcd_fail(call, ETCD_BAD_SORT);
    } else {
        begin_read(CONTAINER_OF(call, struct read_call, call), request->serializable);
    }
}

/* --- writes ----------------------------------------------------------------------------------- */

struct write_call {
    struct etcd_call call;
    struct node_write write;
    struct buf answer; /* of a transaction */
    bool is_txn;
    bool waits;
    struct node_read catch_up; /* of this member with what it is about to answer */
    bool catches_up;
    void (*answer_with)(struct write_call *w); /* once it is done */
};

static void destroy_write(struct etcd_call *call)
{
    struct write_call *w = CONTAINER_OF(call, struct write_call, call);
    if (w->waits) {
        node_write_cancel(&w->write);
    }
    if (w->catches_up) {
        node_read_cancel(&w->catch_up);
    }
    buf_deinit(&w->answer);
}

/* A put whose key is not there, and whose lease is not there either: etcd's Put says the latter,
 * unlike a put in its Txn. As far as this member knows. */
static bool lacks_lease(const struct write_call *w)
{
    const Etcdserverpb__PutRequest *request = (const void *)w->call.request;
    struct kv_lease lease;
    return w->call.request->descriptor == &etcdserverpb__put_request__descriptor &&
           request->lease != 0 &&
           !kv_lease_get(node_kv(w->call.api->options.node), (uint64_t)request->lease, &lease);
}

static void fail_write(struct write_call *w, enum status status)
{
    switch (status) {
    case STATUS_NOT_FOUND: /* the value or the lease to keep */
        etcd_fail(&w->call, lacks_lease(w) ? ETCD_LEASE_NOT_FOUND : ETCD_KEY_NOT_FOUND);
        return;
    case STATUS_INVALID:
        etcd_fail(&w->call, ETCD_DUPLICATE_KEY);
        return;
    default:
        etcd_fail(&w->call, etcd_error_of(status));
    }
}

/* Also when it did not come to that in time: it was written. */
static void on_caught_up(struct node_read *r)
{
    struct write_call *w = r->context;
    w->catches_up = false;
    w->answer_with(w);
}

/* A client of etcd's finds what a member has acknowledged when it reads that member's own state
 * (serializable). A write that was handed to the leader may be applied here a moment later. */
static void answer_when_seen(struct write_call *w)
{
    if (w->write.result.revision <= api_revision(w->call.api)) {
        w->answer_with(w);
        return;
    }
    w->catch_up.consistency = NODE_SESSION;
    w->catch_up.min_revision = w->write.result.revision;
    w->catch_up.done = on_caught_up;
    w->catch_up.context = w;
    w->catches_up = true;
    node_read_start(w->call.api->options.node, &w->catch_up);
}

static void on_written(struct node_write *write)
{
    struct write_call *w = write->context;
    w->waits = false;
    bool was_nothing = write->status == STATUS_NOT_FOUND && !w->is_txn; /* a delete of nothing */
    if (write->status != STATUS_OK && !was_nothing) {
        fail_write(w, write->status);
    } else if (w->is_txn && write->result.answer_cut) {
        etcd_fail_text(&w->call, GRPC_RESOURCE_EXHAUSTED,
                       "it was done, and the answer is too long to be told");
    } else {
        answer_when_seen(w);
    }
}

static void begin_write(struct write_call *w, const struct kv_command *command,
                        void (*answer_with)(struct write_call *w))
{
    w->call.destroy = destroy_write;
    w->answer_with = answer_with;
    w->is_txn = command->op == KV_TXN;
    w->write.ack = NODE_ACK_QUORUM;
    w->write.answer = w->is_txn ? &w->answer : NULL;
    w->write.done = on_written;
    w->write.context = w;
    enum status status = etcd_write_start(&w->call, &w->write, command);
    w->waits = status == STATUS_OK;
    if (status != STATUS_OK) {
        fail_write(w, status);
    }
}

/* True: it has failed. */
static bool is_too_large(struct etcd_call *call)
{
    bool is_so = etcd_request_exceeds(call, LIMIT_ETCD_REQUEST_BYTES);
    if (is_so) {
        etcd_fail(call, ETCD_REQUEST_TOO_LARGE);
    }
    return is_so;
}

/* True: it has failed. */
static bool is_unsound(struct etcd_call *call, const struct kv_txn *txn)
{
    enum kv_txn_fault fault = kv_txn_check(txn);
    if (fault != KV_TXN_SOUND) {
        etcd_fail(call, etcd_error_of_fault(fault));
    }
    return fault != KV_TXN_SOUND;
}

/* It is sound. */
static void begin_txn(struct write_call *w, const struct kv_txn *txn,
                      void (*answer_with)(struct write_call *w))
{
    struct buf bytes = {0};
    if (!etcd_may_txn(&w->call, txn)) {
        return;
    }
    kv_txn_encode(txn, &bytes);
    const struct kv_command command = {.op = KV_TXN, .txn = buf_slice(&bytes)};
    begin_write(w, &command, answer_with);
    buf_deinit(&bytes);
}

/* A transaction of one operation; takes `txn`. */
static void begin_single(struct write_call *w, struct kv_txn *txn,
                         void (*answer_with)(struct write_call *w))
{
    if (!is_unsound(&w->call, txn)) {
        begin_txn(w, txn, answer_with);
    }
    kv_txn_destroy(txn);
}

static void fail_unreadable(struct write_call *w)
{
    etcd_fail_text(&w->call, GRPC_INTERNAL, "the answer of the leader cannot be read");
}

/* --- Put -------------------------------------------------------------------------------------- */

static void answer_put(struct write_call *w)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__PutResponse response = ETCDSERVERPB__PUT_RESPONSE__INIT;
    if (w->is_txn) {
        struct kv_answer_op op;
        if (!etcd_single_answer(buf_slice(&w->answer), KV_TXN_PUT, &op)) {
            fail_unreadable(w);
            return;
        }
        size_t count = 0;
        Mvccpb__KeyValue **before = etcd_items_of(&w->call.arena, op.items, &count);
        response.prev_kv = count > 0 ? before[0] : NULL;
    }
    etcd_header_at(w->call.api, w->write.result.revision, &header);
    response.header = &header;
    etcd_answer(&w->call, &response.base);
}

/* False: it has failed. */
static bool may_put(struct etcd_call *call, const struct kv_txn_put *put)
{
    const struct kv_span span = {.kind = KV_SPAN_KEY, .key = put->key};
    return etcd_may(call, KV_PERMIT_WRITE, &span) &&
           (put->lease == 0 || etcd_may_lease(call, KV_PERMIT_WRITE, put->lease));
}

static void start_put(struct etcd_call *call)
{
    struct write_call *w = CONTAINER_OF(call, struct write_call, call);
    const Etcdserverpb__PutRequest *request = (const void *)call->request;
    struct kv_txn_put put = etcd_put_of(request);
    if (is_too_large(call)) {
        return;
    }
    if (put.previous || put.ignore_value || put.ignore_lease) {
        struct kv_txn *txn = kv_txn_create();
        kv_txn_add_op(&txn->success, KV_TXN_PUT)->put = put;
        begin_single(w, txn, answer_put);
    } else if (put.key.size == 0) {
        etcd_fail(call, ETCD_EMPTY_KEY);
    } else if (put.key.size > LIMIT_KEY_BYTES) {
        etcd_fail(call, ETCD_REQUEST_TOO_LARGE);
    } else if (may_put(call, &put)) {
        const struct kv_command command = {
            .op = KV_PUT, .key = put.key, .value = put.value, .lease = put.lease};
        begin_write(w, &command, answer_put);
    }
}

/* --- DeleteRange ------------------------------------------------------------------------------ */

static void answer_delete(struct write_call *w)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__DeleteRangeResponse response = ETCDSERVERPB__DELETE_RANGE_RESPONSE__INIT;
    response.deleted = w->write.status == STATUS_OK ? 1 : 0;
    if (w->is_txn) {
        struct kv_answer_op op;
        if (!etcd_single_answer(buf_slice(&w->answer), KV_TXN_DELETE, &op)) {
            fail_unreadable(w);
            return;
        }
        response.deleted = (int64_t)op.count;
        response.prev_kvs = etcd_items_of(&w->call.arena, op.items, &response.n_prev_kvs);
    }
    etcd_header_at(w->call.api, w->write.result.revision, &header);
    response.header = &header;
    etcd_answer(&w->call, &response.base);
}

static void start_delete_range(struct etcd_call *call)
{
    struct write_call *w = CONTAINER_OF(call, struct write_call, call);
    const Etcdserverpb__DeleteRangeRequest *request = (const void *)call->request;
    struct slice key = slice_of(request->key.data, request->key.len);
    struct slice end = slice_of(request->range_end.data, request->range_end.len);
    if (is_too_large(call)) {
        return;
    }
    if (key.size == 0) {
        etcd_fail(call, ETCD_EMPTY_KEY);
    } else if (end.size == 0 && !request->prev_kv && key.size <= LIMIT_KEY_BYTES) {
        const struct kv_command command = {.op = KV_DELETE, .key = key};
        const struct kv_span span = {.kind = KV_SPAN_KEY, .key = key};
        if (etcd_may(call, KV_PERMIT_WRITE, &span)) {
            begin_write(w, &command, answer_delete);
        }
    } else {
        struct kv_txn *txn = kv_txn_create();
        kv_txn_add_op(&txn->success, KV_TXN_DELETE)->deletes =
            (struct kv_txn_delete){.span = kv_span_of(key, end), .previous = request->prev_kv};
        begin_single(w, txn, answer_delete);
    }
}

/* --- Txn -------------------------------------------------------------------------------------- */

/* It may become a read or a write. */
union txn_call {
    struct etcd_call call;
    struct read_call read;
    struct write_call write;
};

static void answer_written_txn(struct write_call *w)
{
    answer_txn(&w->call, buf_slice(&w->answer), w->write.result.revision);
}

/* Of a transaction that only reads: does no read ask for more? */
static bool is_serializable(const Etcdserverpb__TxnRequest *r);

static bool are_serializable(Etcdserverpb__RequestOp *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_range = ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        if (is_range ? !ops[i]->request_range->serializable
                     : !is_serializable(ops[i]->request_txn)) {
            return false;
        }
    }
    return true;
}

static bool is_serializable(const Etcdserverpb__TxnRequest *r)
{
    return are_serializable(r->success, r->n_success) && are_serializable(r->failure, r->n_failure);
}

static void start_txn(struct etcd_call *call)
{
    union txn_call *t = (union txn_call *)call;
    const Etcdserverpb__TxnRequest *request = (const void *)call->request;
    if (is_too_large(call)) {
        return;
    }
    struct kv_txn *txn = etcd_txn_of(request);
    if (txn == NULL) {
        etcd_fail(call, ETCD_KEY_NOT_FOUND);
        return;
    }
    if (is_unsound(call, txn)) {
        kv_txn_destroy(txn);
    } else if (kv_txn_writes(txn)) {
        begin_txn(&t->write, txn, answer_written_txn);
        kv_txn_destroy(txn);
    } else {
        t->read.txn = txn;
        begin_read(&t->read, is_serializable(request));
    }
}

/* --- Compact ---------------------------------------------------------------------------------- */

static void answer_compact(struct write_call *w)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__CompactionResponse response = ETCDSERVERPB__COMPACTION_RESPONSE__INIT;
    etcd_header_at(w->call.api, w->write.result.revision, &header);
    response.header = &header;
    etcd_answer(&w->call, &response.base);
}

/* What is compacted is gone for every reader at once, so `physical` has nothing to wait for. */
static void start_compact(struct etcd_call *call)
{
    struct write_call *w = CONTAINER_OF(call, struct write_call, call);
    const Etcdserverpb__CompactionRequest *request = (const void *)call->request;
    if (request->revision <= 0) {
        etcd_fail(call, ETCD_COMPACTED);
        return;
    }
    const struct kv_command command = {.op = KV_COMPACT, .revision = (uint64_t)request->revision};
    begin_write(w, &command, answer_compact);
}

/* --- the table -------------------------------------------------------------------------------- */

static const struct etcd_method methods[] = {
    {.path = "/etcdserverpb.KV/Range",
     .routes = {"/kv/range"},
     .request = &etcdserverpb__range_request__descriptor,
     .response = &etcdserverpb__range_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .reads = true,
     .call_size = sizeof(struct read_call),
     .start = start_range},
    {.path = "/etcdserverpb.KV/Put",
     .routes = {"/kv/put"},
     .request = &etcdserverpb__put_request__descriptor,
     .response = &etcdserverpb__put_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct write_call),
     .start = start_put},
    {.path = "/etcdserverpb.KV/DeleteRange",
     .routes = {"/kv/deleterange"},
     .request = &etcdserverpb__delete_range_request__descriptor,
     .response = &etcdserverpb__delete_range_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct write_call),
     .start = start_delete_range},
    {.path = "/etcdserverpb.KV/Txn",
     .routes = {"/kv/txn"},
     .request = &etcdserverpb__txn_request__descriptor,
     .response = &etcdserverpb__txn_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(union txn_call),
     .start = start_txn},
    {.path = "/etcdserverpb.KV/Compact",
     .routes = {"/kv/compaction"},
     .request = &etcdserverpb__compaction_request__descriptor,
     .response = &etcdserverpb__compaction_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct write_call),
     .start = start_compact},
};

const struct etcd_service etcd_kv_service = {methods, sizeof(methods) / sizeof(methods[0])};
