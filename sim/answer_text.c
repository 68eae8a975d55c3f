#include "answer_text.h"

#include "base/crc32c.h"

#include <inttypes.h>

static const char *const kind_names[] = {"", "range", "put", "delete", "nested"};

void answer_text_begin(struct buf *text, bool succeeded)
{
    buf_append_str(text, succeeded ? "yes{" : "no{");
}

void answer_text_op(struct buf *text, enum kv_txn_kind kind, uint64_t revision, uint64_t count,
                    bool more)
{
    buf_printf(text, " %s@%" PRIu64 "#%" PRIu64 "%s", kind_names[kind], revision, count,
               more ? "+" : "");
}

void answer_text_item(struct buf *text, const struct kv_item *item)
{
    uint32_t crc = item->value.size > 0 ? crc32c(1, item->value.data, item->value.size) : 0;
    buf_append_byte(text, ' ');
    buf_append_slice(text, item->key);
    buf_printf(text, "=%" PRIx32 "(%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ")", crc,
               item->create_revision, item->revision, item->version, item->lease);
}

void answer_text_end(struct buf *text)
{
    buf_append_str(text, " }");
}

static bool add_ops(struct kv_answer *answer, struct buf *text)
{
    struct kv_answer_op op;
    answer_text_begin(text, answer->succeeded);
    while (kv_answer_next(answer, &op)) {
        struct kv_item item;
        answer_text_op(text, op.kind, op.revision, op.count, op.more);
        if (op.kind == KV_TXN_NESTED) {
            if (!add_ops(&op.nested, text)) {
                return false;
            }
            continue;
        }
        while (kv_answer_item(&op.items, &item)) {
            answer_text_item(text, &item);
        }
    }
    answer_text_end(text);
    return !answer->bad;
}

bool answer_text_of(struct slice bytes, struct buf *text)
{
    struct kv_answer answer;
    return kv_answer_begin(bytes, &answer) && add_ops(&answer, text);
}

static bool add_item(void *context, const struct kv_item *item)
{
    answer_text_item(context, item);
    return true;
}

enum status answer_text_range(const struct kv *kv, const struct kv_range *range, struct buf *text)
{
    struct kv_range_result result;
    struct buf items = {0};
    enum status s = kv_range_read(kv, range, add_item, &items, &result);
    if (s == STATUS_OK) {
        struct kv_stats stats;
        kv_stats(kv, &stats);
        answer_text_begin(text, true);
        answer_text_op(text, KV_TXN_RANGE, stats.revision, result.count, result.more);
        buf_append_slice(text, buf_slice(&items));
        answer_text_end(text);
    }
    buf_deinit(&items);
    return s;
}
