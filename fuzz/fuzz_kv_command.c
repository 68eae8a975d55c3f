/* Commands of the store: what decodes is exactly what the encoder writes, can be applied to a store
 * that has something of everything, leaves it sound, and answers what can be read. */
#include "base/buf.h"
#include "base/check.h"
#include "kv/kv_lease.h"
#include "kv/kv_txn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kv *make_store(void)
{
    static const struct kv_command commands[] = {
        {.op = KV_LEASE_GRANT, .lease = 1, .ttl_s = 10},
        {.op = KV_PUT, .key = {(const uint8_t *)"a", 1}, .lease = 1},
        {.op = KV_PUT_TTL, .key = {(const uint8_t *)"b", 1}, .lease = 2, .ttl_s = 10},
        {.op = KV_PUT, .key = {(const uint8_t *)"c", 1}},
        {.op = KV_DELETE, .key = {(const uint8_t *)"c", 1}},
        {.op = KV_COMPACT, .revision = 3},
    };
    struct kv *kv = kv_create();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct kv_result result;
        kv_apply(kv, &commands[i], &result);
        CHECK(result.status == STATUS_OK);
    }
    return kv;
}

static void read_answer(struct kv_answer *answer)
{
    struct kv_answer_op op;
    while (kv_answer_next(answer, &op)) {
        struct kv_item item;
        while (kv_answer_item(&op.items, &item)) {
            CHECK(item.key.size > 0);
        }
        if (op.kind == KV_TXN_NESTED) {
            read_answer(&op.nested);
        }
    }
    CHECK(!answer->bad);
}

static void apply(const struct kv_command *command)
{
    struct kv *kv = make_store();
    struct buf bytes = {0};
    struct kv_result result;
    struct kv_answer answer;
    kv_apply_answered(kv, command, &result, &bytes);
    kv_check(kv);
    if (command->op == KV_TXN && result.status == STATUS_OK && !result.answer_cut) {
        CHECK(kv_answer_begin(buf_slice(&bytes), &answer));
        read_answer(&answer);
    }
    buf_deinit(&bytes);
    kv_destroy(kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct kv_command command;
    struct kv_answer answer;
    if (kv_command_decode(bytes, &command) == STATUS_OK) {
        struct buf again = {0};
        kv_command_encode(&command, &again);
        CHECK(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
        apply(&command);
    } else if (kv_answer_begin(bytes, &answer)) {
        struct kv_answer_op op;
        while (kv_answer_next(&answer, &op)) {
        }
    }
    return 0;
}
