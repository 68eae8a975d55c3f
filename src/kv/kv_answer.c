#include "kv/kv_answer.h"

#include "base/codec.h"
#include "kv/kv_txn.h"

static struct slice rest_of(const struct reader *r)
{
    return slice_of(r->at, reader_left(r));
}

bool kv_answer_begin(struct slice bytes, struct kv_answer *answer)
{
    struct reader r = reader_of(bytes);
    uint8_t succeeded = get_u8(&r);
    *answer = (struct kv_answer){.succeeded = succeeded == 1, .left = get_u32(&r)};
    answer->rest = rest_of(&r);
    answer->bad =
        !reader_ok(&r) || succeeded > 1 || (answer->left == 0) != (answer->rest.size == 0);
    return !answer->bad;
}

static bool get_item(struct reader *r, struct kv_item *item)
{
    item->key = get_bytes(r);
    item->value = get_bytes(r);
    item->create_revision = get_varint(r);
    item->revision = get_varint(r);
    item->version = get_varint(r);
    item->lease = get_varint(r);
    return reader_ok(r);
}

static bool are_items(const struct kv_answer_items *items)
{
    struct reader r = reader_of(items->rest);
    struct kv_item item;
    for (uint64_t i = 0; i < items->left; i++) {
        if (!get_item(&r, &item)) {
            return false;
        }
    }
    return reader_done(&r);
}

static bool get_op(struct reader *r, struct kv_answer_op *op)
{
    op->kind = (enum kv_txn_kind)get_u8(r);
    uint32_t size = get_u32(r);
    if (op->kind < KV_TXN_RANGE || op->kind > KV_TXN_NESTED || size > reader_left(r)) {
        return false;
    }
    struct reader body = reader_of(get_raw(r, size));
    op->revision = get_u64(&body);
    op->count = get_u64(&body);
    uint8_t more = get_u8(&body);
    op->more = more == 1;
    op->items.left = get_u32(&body);
    if (!reader_ok(&body) || more > 1) {
        return false;
    }
    if (op->kind == KV_TXN_NESTED) {
        return op->items.left == 0 && kv_answer_begin(rest_of(&body), &op->nested);
    }
    op->items.rest = rest_of(&body);
    return are_items(&op->items);
}

bool kv_answer_next(struct kv_answer *answer, struct kv_answer_op *op)
{
    *op = (struct kv_answer_op){0};
    if (answer->bad || answer->left == 0) {
        return false;
    }
    struct reader r = reader_of(answer->rest);
    bool is_good = get_op(&r, op);
    answer->rest = rest_of(&r);
    answer->left--;
    answer->bad = !is_good || (answer->left == 0) != (answer->rest.size == 0);
    return !answer->bad;
}

bool kv_answer_item(struct kv_answer_items *items, struct kv_item *item)
{
    *item = (struct kv_item){0};
    if (items->left == 0) {
        return false;
    }
    struct reader r = reader_of(items->rest);
    items->left--;
    bool is_good = get_item(&r, item);
    items->rest = rest_of(&r);
    return is_good;
}
