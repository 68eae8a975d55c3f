/* gate_slower.c - a store that sums a block with every command, for nothing: linked into a second
 * program with the same work, which tools/gate.py must refuse, or it would refuse nothing. */
#include "base/crc32c.h"
#include "kv/kv.h"

#define WASTE_BYTES (64u << 10)

void __real_kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                              struct buf *answer);
void __wrap_kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                              struct buf *answer);

static const char block[WASTE_BYTES];

void __wrap_kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                              struct buf *answer)
{
    static volatile uint32_t sum;
    sum = crc32c(sum, block, sizeof(block));
    __real_kv_apply_answered(kv, c, result, answer);
}
