/* answer_text.h - answers to transactions and ranges as text, field by field: two that are equal
 * are the same text, and a person can see where two differ. */
#pragma once

#include "base/buf.h"
#include "kv/kv_txn.h"
#include "model.h"

void answer_text_begin(struct buf *text, bool succeeded);
void answer_text_op(struct buf *text, enum kv_txn_kind kind, uint64_t revision, uint64_t count,
                    bool more);
void answer_text_item(struct buf *text, const struct kv_item *item);
void answer_text_end(struct buf *text);
/* Of the bytes that a transaction was answered with. False: they are none. */
bool answer_text_of(struct slice bytes, struct buf *text);
/* Of a read of a range on its own. */
enum status answer_text_range(const struct kv *kv, const struct kv_range *range, struct buf *text);
