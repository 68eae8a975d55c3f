#include "api/etcd_queue.h"

#include "api/etcd_access.h"
#include "api/rest.h"
#include "base/check.h"
#include "base/mem.h"
#include "kv/kv_txn.h"

#include <inttypes.h>
#include <stdio.h>

/* etcd's own: of a lease for who brings none. */
#define LEASE_TTL_S 60u

enum stage {
    STAGE_GRANT,    /* a lease is written */
    STAGE_ENTER,    /* the key is written */
    STAGE_UPDATE,   /* the value of a key that was there is written */
    STAGE_CATCH_UP, /* this member's store is behind the leader's, which has the key */
    STAGE_WAIT,     /* for the one before it */
    STAGE_CONFIRM,  /* has its turn, if its key is still there */
    STAGE_FAILED,   /* and is told so in the next turn */
    STAGE_LEAVE,    /* the key is deleted */
};

struct etcd_contender {
    struct node *node; /* outlives the api */
    struct api *api;   /* NULL: abandoned, and nobody is told */
    void (*done)(void *context, const struct etcd_turn *turn);
    void *context;
    enum stage stage;
    struct node_write write;
    struct node_read read;
    struct kv_watch watch;
    struct buf prefix; /* NAME/ */
    struct buf key;
    struct buf value;
    struct buf encoded;
    struct buf answer;
    struct buf before; /* the key of the one before it */
    uint64_t lease;
    uint64_t key_revision; /* 0 = its key is not known to be there */
    uint64_t auth_stamp;   /* of users and roles as they were when it came */
    struct timer later;    /* tells what failed before `start` returned */
    enum etcd_error error;
};

static void free_contender(struct etcd_contender *c)
{
    struct buf *const bufs[] = {&c->prefix,  &c->key,    &c->value,
                                &c->encoded, &c->answer, &c->before};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_deinit(bufs[i]);
    }
    mem_free(c);
}

static void tell(struct etcd_contender *c, const struct etcd_turn *turn)
{
    if (c->api != NULL) {
        c->api = NULL;
        c->done(c->context, turn);
    }
}

static void write_command(struct etcd_contender *c, enum stage stage,
                          const struct kv_command *command);

/* --- leaving ---------------------------------------------------------------------------------- */

static struct kv_txn *txn_of_own_key(const struct etcd_contender *c, uint64_t create_revision)
{
    struct kv_txn *txn = kv_txn_create();
    *kv_txn_add_compare(txn) =
        (struct kv_compare){.span = {.kind = KV_SPAN_KEY, .key = buf_slice(&c->key)},
                            .target = KV_COMPARE_CREATE,
                            .relation = KV_EQUAL,
                            .number = (int64_t)create_revision};
    return txn;
}

static void write_txn(struct etcd_contender *c, enum stage stage, struct kv_txn *txn)
{
    buf_clear(&c->encoded);
    kv_txn_encode(txn, &c->encoded);
    kv_txn_destroy(txn);
    const struct kv_command command = {.op = KV_TXN, .txn = buf_slice(&c->encoded)};
    write_command(c, stage, &command);
}

/* If that fails too, the lease takes the key along. */
static void leave(struct etcd_contender *c)
{
    if (c->key_revision == 0) {
        free_contender(c);
        return;
    }
    struct kv_txn *txn = txn_of_own_key(c, c->key_revision);
    struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_DELETE);
    op->deletes.span = (struct kv_span){.kind = KV_SPAN_KEY, .key = buf_slice(&c->key)};
    write_txn(c, STAGE_LEAVE, txn);
}

static void fail(struct etcd_contender *c, enum etcd_error error)
{
    const struct etcd_turn turn = {.error = error};
    tell(c, &turn);
    leave(c);
}

static void on_later(struct timer *t)
{
    struct etcd_contender *c = t->context;
    fail(c, c->error);
}

static void fail_later(struct etcd_contender *c, enum etcd_error error)
{
    struct loop *loop = c->api->options.loop;
    c->stage = STAGE_FAILED;
    c->error = error;
    c->later = (struct timer){.fire = on_later, .context = c};
    loop->ops->timer_start(loop, &c->later, loop->ops->now_ms(loop));
}

/* --- its turn --------------------------------------------------------------------------------- */

static void succeed(struct etcd_contender *c, uint64_t revision)
{
    const struct etcd_turn turn = {.has_turn = true,
                                   .key = buf_slice(&c->key),
                                   .lease = c->lease,
                                   .key_revision = c->key_revision,
                                   .revision = revision};
    tell(c, &turn);
    free_contender(c);
}

static void on_confirmed(struct node_read *r)
{
    struct etcd_contender *c = r->context;
    struct kv_item item;
    struct kv_stats stats;
    if (r->status != STATUS_OK) {
        fail(c, etcd_error_of(r->status));
        return;
    }
    if (kv_get(node_kv(c->node), buf_slice(&c->key), 0, &item) != STATUS_OK ||
        item.create_revision != c->key_revision) {
        c->key_revision = 0;
        fail(c, ETCD_SESSION_EXPIRED);
        return;
    }
    kv_stats(node_kv(c->node), &stats);
    succeed(c, stats.revision);
}

static void confirm(struct etcd_contender *c)
{
    c->stage = STAGE_CONFIRM;
    c->read =
        (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_confirmed, .context = c};
    node_read_start(c->node, &c->read);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void look(struct etcd_contender *c);

static void on_events(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    struct etcd_contender *c = w->context;
    (void)events;
    (void)count;
    kv_watch_cancel(w);
    look(c);
}

static void on_end(struct kv_watch *w, enum status why)
{
    struct etcd_contender *c = w->context;
    if (why == STATUS_COMPACTED) {
        look(c); /* another state took the store's place */
    } else {
        fail(c, ETCD_STOPPED);
    }
}

static bool take_before(void *context, const struct kv_item *item)
{
    struct etcd_contender *c = context;
    buf_append_slice(&c->before, item->key);
    return true;
}

static void find_before(struct etcd_contender *c)
{
    struct buf end = {0};
    struct kv_range_result result;
    struct kv_range range = {.limit = 1,
                             .order = KV_SORT_DESCEND,
                             .target = KV_SORT_CREATE,
                             .keys_only = true,
                             .max_create_revision = c->key_revision - 1};
    kv_prefix_end(buf_slice(&c->prefix), &end);
    range.span = (struct kv_span){
        .kind = KV_SPAN_RANGE, .key = buf_slice(&c->prefix), .end = buf_slice(&end)};
    buf_clear(&c->before);
    CHECK(kv_range_read(node_kv(c->node), &range, take_before, c, &result) == STATUS_OK);
    buf_deinit(&end);
}

/* Who is before it now? */
static void look(struct etcd_contender *c)
{
    find_before(c);
    if (c->before.size == 0) {
        confirm(c);
        return;
    }
    c->stage = STAGE_WAIT;
    c->watch = (struct kv_watch){.span = {.kind = KV_SPAN_KEY, .key = buf_slice(&c->before)},
                                 .no_puts = true,
                                 .on_events = on_events,
                                 .on_end = on_end,
                                 .context = c};
    enum status s = node_watch_start(c->node, &c->watch);
    if (s != STATUS_OK) {
        fail(c, etcd_error_of(s));
    }
}

static void on_caught_up(struct node_read *r)
{
    struct etcd_contender *c = r->context;
    if (r->status == STATUS_OK) {
        look(c);
    } else {
        fail(c, etcd_error_of(r->status));
    }
}

/* The leader has applied the key; this member may be behind. */
static void catch_up(struct etcd_contender *c)
{
    c->stage = STAGE_CATCH_UP;
    c->read = (struct node_read){.consistency = NODE_SESSION,
                                 .min_revision = c->write.result.revision,
                                 .done = on_caught_up,
                                 .context = c};
    node_read_start(c->node, &c->read);
}

/* --- coming ----------------------------------------------------------------------------------- */

/* Who is the oldest under the prefix, as the transaction saw it? */
static void add_owner(struct etcd_contender *c, struct kv_txn_ops *ops, struct slice end)
{
    struct kv_txn_op *op = kv_txn_add_op(ops, KV_TXN_RANGE);
    op->range =
        (struct kv_range){.span = {.kind = KV_SPAN_RANGE, .key = buf_slice(&c->prefix), .end = end},
                          .limit = 1,
                          .order = KV_SORT_ASCEND,
                          .target = KV_SORT_CREATE,
                          .keys_only = true};
}

static void enter(struct etcd_contender *c)
{
    struct buf end = {0};
    char id[24];
    snprintf(id, sizeof(id), "%" PRIx64, c->lease);
    buf_append_slice(&c->key, buf_slice(&c->prefix));
    buf_append_str(&c->key, id);
    kv_prefix_end(buf_slice(&c->prefix), &end);
    struct kv_txn *txn = txn_of_own_key(c, 0);
    struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_PUT);
    op->put = (struct kv_txn_put){
        .key = buf_slice(&c->key), .value = buf_slice(&c->value), .lease = c->lease};
    add_owner(c, &txn->success, buf_slice(&end));
    op = kv_txn_add_op(&txn->failure, KV_TXN_RANGE);
    op->range.span = (struct kv_span){.kind = KV_SPAN_KEY, .key = buf_slice(&c->key)};
    add_owner(c, &txn->failure, buf_slice(&end));
    if (kv_txn_check(txn) == KV_TXN_SOUND) {
        write_txn(c, STAGE_ENTER, txn);
    } else {
        kv_txn_destroy(txn);
        fail_later(c, ETCD_REQUEST_TOO_LARGE);
    }
    buf_deinit(&end);
}

static void update(struct etcd_contender *c)
{
    struct kv_txn *txn = txn_of_own_key(c, c->key_revision);
    struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_PUT);
    op->put = (struct kv_txn_put){
        .key = buf_slice(&c->key), .value = buf_slice(&c->value), .lease = c->lease};
    write_txn(c, STAGE_UPDATE, txn);
}

static void on_entered(struct etcd_contender *c)
{
    struct kv_answer answer;
    struct kv_answer_op first;
    struct kv_answer_op owner;
    struct kv_item item;
    bool is_other = false;
    if (!kv_answer_begin(buf_slice(&c->answer), &answer) || !kv_answer_next(&answer, &first) ||
        !kv_answer_next(&answer, &owner)) {
        fail(c, ETCD_TIMED_OUT);
        return;
    }
    c->key_revision = c->write.result.revision;
    if (!answer.succeeded && kv_answer_item(&first.items, &item)) {
        c->key_revision = item.create_revision;
        is_other = !slice_equal(item.value, buf_slice(&c->value));
    }
    if (c->api == NULL) {
        leave(c);
    } else if (is_other) {
        update(c);
    } else if (kv_answer_item(&owner.items, &item) && item.create_revision == c->key_revision) {
        succeed(c, c->write.result.revision);
    } else {
        catch_up(c);
    }
}

static void on_updated(struct etcd_contender *c)
{
    if (c->write.result.succeeded) {
        catch_up(c);
    } else { /* its key went */
        c->key_revision = 0;
        fail(c, ETCD_SESSION_EXPIRED);
    }
}

static void on_written(struct node_write *write)
{
    struct etcd_contender *c = write->context;
    if (c->stage == STAGE_LEAVE) {
        free_contender(c);
    } else if (write->status != STATUS_OK) {
        fail(c, etcd_error_of(write->status));
    } else if (c->stage == STAGE_ENTER) {
        on_entered(c);
    } else if (c->api == NULL) {
        leave(c);
    } else if (c->stage == STAGE_GRANT) {
        enter(c);
    } else {
        on_updated(c);
    }
}

static void write_command(struct etcd_contender *c, enum stage stage,
                          const struct kv_command *command)
{
    c->stage = stage;
    buf_clear(&c->answer);
    c->write = (struct node_write){.ack = NODE_ACK_QUORUM,
                                   .forward = true,
                                   .answer = &c->answer,
                                   .done = on_written,
                                   .context = c};
    struct kv_command stamped = *command;
    stamped.auth_revision = stage == STAGE_LEAVE ? kv_auth_stamp(node_kv(c->node)) : c->auth_stamp;
    enum status s = node_write_start(c->node, &c->write, &stamped);
    if (s == STATUS_OK) {
        return;
    }
    if (stage == STAGE_LEAVE) {
        free_contender(c);
    } else {
        fail_later(c, etcd_error_of(s));
    }
}

bool etcd_may_queue(struct etcd_call *call, struct slice name, uint64_t lease)
{
    struct buf prefix = {0};
    struct buf end = {0};
    struct buf key = {0};
    buf_append_slice(&prefix, name);
    buf_append_str(&prefix, "/");
    kv_prefix_end(buf_slice(&prefix), &end);
    buf_append_slice(&key, buf_slice(&prefix));
    buf_printf(&key, "%" PRIx64, lease);
    const struct kv_span all = {
        .kind = KV_SPAN_RANGE, .key = buf_slice(&prefix), .end = buf_slice(&end)};
    const struct kv_span own = {.kind = KV_SPAN_KEY, .key = buf_slice(&key)};
    bool may = etcd_may(call, KV_PERMIT_READ, &all) &&
               etcd_may(call, KV_PERMIT_WRITE, lease != 0 ? &own : &all) &&
               (lease == 0 || etcd_may_lease(call, KV_PERMIT_WRITE, lease));
    buf_deinit(&prefix);
    buf_deinit(&end);
    buf_deinit(&key);
    return may;
}

struct etcd_contender *
etcd_contender_start(struct api *api, struct slice name, uint64_t lease, struct slice value,
                     void (*done)(void *context, const struct etcd_turn *turn), void *context)
{
    struct etcd_contender *c = mem_calloc(1, sizeof(*c));
    c->node = api->options.node;
    c->api = api;
    c->done = done;
    c->context = context;
    c->lease = lease;
    c->auth_stamp = kv_auth_stamp(node_kv(c->node));
    buf_append_slice(&c->prefix, name);
    buf_append_str(&c->prefix, "/");
    buf_append_slice(&c->value, value);
    if (lease != 0) {
        enter(c);
        return c;
    }
    c->lease = api_new_lease(api);
    const struct kv_command command = {
        .op = KV_LEASE_GRANT, .lease = c->lease, .ttl_s = LEASE_TTL_S};
    write_command(c, STAGE_GRANT, &command);
    return c;
}

void etcd_contender_abandon(struct etcd_contender *c)
{
    struct loop *loop = c->api->options.loop;
    c->api = NULL;
    switch (c->stage) {
    case STAGE_CATCH_UP:
    case STAGE_CONFIRM:
        node_read_cancel(&c->read);
        break;
    case STAGE_WAIT:
        kv_watch_cancel(&c->watch);
        break;
    case STAGE_FAILED:
        loop->ops->timer_stop(loop, &c->later);
        break;
    default:
        return; /* a write is under way, and leaves when it is done */
    }
    leave(c);
}
