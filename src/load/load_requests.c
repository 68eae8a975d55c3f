#include "load/load_requests.h"

#include "base/check.h"
#include "base/mem.h"
#include "load/load_proto.h"

#include <stdio.h>

/* Values begin anywhere in so many bytes of chance. */
#define POOL_BYTES        (64u * KIB)
#define LEASE_TTL_S       600
/* Digits of a time in a watched value, behind the quote that begins it. */
#define WATCH_TIME_DIGITS 20

/* Not the chance that draws keys. */
#define SEED_OFFSET 2

static const char *const paths[] = {
    [LOAD_ASK_PUT] = "/etcdserverpb.KV/Put",
    [LOAD_ASK_RANGE] = "/etcdserverpb.KV/Range",
    [LOAD_ASK_SERIALIZABLE] = "/etcdserverpb.KV/Range",
    [LOAD_ASK_TXN] = "/etcdserverpb.KV/Txn",
    [LOAD_ASK_GRANT] = "/etcdserverpb.Lease/LeaseGrant",
    [LOAD_ASK_KEEPALIVE] = "/etcdserverpb.Lease/LeaseKeepAlive",
};

void load_request_deinit(struct load_request *r)
{
    buf_deinit(&r->target);
    buf_deinit(&r->body);
    buf_deinit(&r->key);
}

void load_maker_init(struct load_maker *m, const struct load_plan *plan)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    *m = (struct load_maker){.plan = plan};
    load_keys_init(&m->keys, plan);
    rng_init(&m->rng, plan->seed + SEED_OFFSET);
    for (size_t i = 0; i < POOL_BYTES + plan->value_bytes; i++) {
        buf_append_byte(&m->pool, (uint8_t)letters[rng_below(&m->rng, sizeof(letters) - 1)]);
    }
    if (plan->operation == LOAD_KEEPALIVE) {
        m->leases = mem_calloc(plan->leases, sizeof(*m->leases));
    }
}

void load_maker_deinit(struct load_maker *m)
{
    buf_deinit(&m->pool);
    buf_deinit(&m->inner);
    buf_deinit(&m->outer);
    mem_free(m->leases);
}

/* --- making ----------------------------------------------------------------------------------- */

/* A JSON string, so that the same bytes go over both protocols. `now_us` 0: without a time. */
static void append_value(struct load_maker *m, uint64_t now_us, struct buf *out)
{
    size_t inside = m->plan->value_bytes - 2;
    buf_append_byte(out, '"');
    if (now_us != 0) {
        buf_printf(out, "%0*" PRIu64, WATCH_TIME_DIGITS, now_us);
        inside -= WATCH_TIME_DIGITS;
    }
    buf_append(out, m->pool.data + rng_below(&m->rng, POOL_BYTES), inside);
    buf_append_byte(out, '"');
}

static void begin(struct load_request *r, enum load_ask ask, const char *method)
{
    r->ask = ask;
    r->path = paths[ask];
    r->method = method;
    r->puts = 0;
    buf_clear(&r->target);
    buf_clear(&r->body);
    buf_clear(&r->key);
}

static void set_target(struct load_request *r, const char *query)
{
    buf_append_str(&r->target, "/key/");
    buf_append_slice(&r->target, buf_slice(&r->key));
    buf_append(&r->target, query, strlen(query) + 1);
}

/* The fields of a PutRequest. */
static void append_put(struct load_maker *m, struct slice key, uint64_t now_us, struct buf *out)
{
    load_proto_put_bytes(out, 1, key);
    put_varint(out, 2u << 3 | 2u);
    put_varint(out, m->plan->value_bytes);
    append_value(m, now_us, out);
}

static void make_put(struct load_maker *m, struct load_request *r, uint64_t now_us)
{
    begin(r, LOAD_ASK_PUT, "PUT");
    load_keys_spell(m->plan, load_keys_next(&m->keys), &r->key);
    if (m->plan->protocol == LOAD_HTTP) {
        set_target(r, "");
        append_value(m, now_us, &r->body);
    } else {
        append_put(m, buf_slice(&r->key), now_us, &r->body);
    }
}

static void make_read(struct load_maker *m, struct load_request *r, bool is_serializable)
{
    begin(r, is_serializable ? LOAD_ASK_SERIALIZABLE : LOAD_ASK_RANGE, "GET");
    load_keys_spell(m->plan, load_keys_next(&m->keys), &r->key);
    if (m->plan->protocol == LOAD_HTTP) {
        set_target(r, is_serializable ? "?consistency=stale" : "");
        return;
    }
    load_proto_put_bytes(&r->body, 1, buf_slice(&r->key));
    if (is_serializable) {
        load_proto_put_number(&r->body, 7, 1);
    }
}

/* TxnRequest.success = RequestOp{request_put}. */
static void append_txn_put(struct load_maker *m, uint64_t key, struct load_request *r)
{
    buf_clear(&r->key);
    load_keys_spell(m->plan, key, &r->key);
    if (m->plan->protocol == LOAD_HTTP) {
        buf_append_str(&r->body, r->puts > 0 ? ",{\"put\":\"" : "{\"put\":\"");
        buf_append_slice(&r->body, buf_slice(&r->key));
        buf_append_str(&r->body, "\",\"value\":");
        append_value(m, 0, &r->body);
        buf_append_byte(&r->body, '}');
    } else {
        buf_clear(&m->inner);
        buf_clear(&m->outer);
        append_put(m, buf_slice(&r->key), 0, &m->inner);
        load_proto_put_bytes(&m->outer, 2, buf_slice(&m->inner));
        load_proto_put_bytes(&r->body, 2, buf_slice(&m->outer));
    }
    r->puts++;
}

static void make_txn(struct load_maker *m, struct load_request *r, uint64_t first, uint64_t count)
{
    begin(r, LOAD_ASK_TXN, "POST");
    bool is_http = m->plan->protocol == LOAD_HTTP;
    if (is_http) {
        buf_append(&r->target, "/txn", sizeof("/txn"));
        buf_append_str(&r->body, "{\"then\":[");
    }
    for (uint64_t i = 0; i < count; i++) {
        append_txn_put(m, (first + i) % m->plan->keys, r);
    }
    if (is_http) {
        buf_append_str(&r->body, "]}");
    }
}

static void make_keepalive(struct load_maker *m, struct load_request *r)
{
    begin(r, LOAD_ASK_KEEPALIVE, NULL);
    CHECK(m->lease_count > 0);
    r->lease = m->leases[m->lease_next++ % m->lease_count];
    load_proto_put_number(&r->body, 1, r->lease);
}

static enum load_operation draw_operation(struct load_maker *m)
{
    const uint32_t *mix = m->plan->mix;
    uint64_t sum = 0;
    for (int i = 0; i < LOAD_SIMPLE; i++) {
        sum += mix[i];
    }
    uint64_t at = rng_below(&m->rng, sum);
    int operation = 0;
    while (at >= mix[operation]) {
        at -= mix[operation++];
    }
    return (enum load_operation)operation;
}

void load_make(struct load_maker *m, struct load_request *r, uint64_t now_us)
{
    if (m->plan->operation == LOAD_WATCH) {
        make_put(m, r, now_us);
        return;
    }
    if (m->plan->operation == LOAD_KEEPALIVE) {
        make_keepalive(m, r);
        return;
    }
    switch (draw_operation(m)) {
    case LOAD_PUT:
        make_put(m, r, 0);
        break;
    case LOAD_TXN:
        make_txn(m, r, load_keys_next(&m->keys), m->plan->txn_ops);
        break;
    case LOAD_SERIALIZABLE:
        make_read(m, r, true);
        break;
    default:
        make_read(m, r, false);
    }
}

bool load_make_prefill(struct load_maker *m, struct load_request *r)
{
    uint64_t left = m->plan->keys - m->prefilled;
    if (left == 0) {
        return false;
    }
    uint64_t fitting = LOAD_PREFILL_BYTES / (m->plan->key_bytes + m->plan->value_bytes);
    uint64_t count = left < LOAD_PREFILL_PUTS ? left : LOAD_PREFILL_PUTS;
    count = fitting < 1 ? 1 : count < fitting ? count : fitting;
    make_txn(m, r, m->prefilled, count);
    m->prefilled += count;
    return true;
}

void load_make_grant(struct load_request *r)
{
    begin(r, LOAD_ASK_GRANT, NULL);
    load_proto_put_number(&r->body, 1, LEASE_TTL_S);
}

void load_make_watch(const struct load_plan *plan, struct buf *message)
{
    struct buf create = {0};
    struct buf end = {0};
    struct slice prefix = slice_str(plan->prefix);
    buf_append_slice(&end, prefix);
    end.data[end.size -
             1]++; /* the first one behind all that begin so: the verb allows ASCII only */
    load_proto_put_bytes(&create, 1, prefix);
    load_proto_put_bytes(&create, 2, buf_slice(&end));
    load_proto_put_bytes(message, 1, buf_slice(&create));
    buf_deinit(&create);
    buf_deinit(&end);
}
