/* kv/kv_answer.h - the bytes of an answer to a transaction: who writes them and who reads them
 * (kv_txn.h). docs/PROTOCOL.md has them as a table.
 *
 *   answer: succeeded u8 | operations u32 | op ...
 *   op:     kind u8 | size u32 of what follows | revision u64 | count u64 | more u8 | items u32
 *           | item ..., or of a nested transaction its answer
 *   item:   key bytes | value bytes | create revision, revision, version, lease varints */
#pragma once

#define ANSWER_OPS_AT     1u /* in an answer */
#define ANSWER_HEAD_BYTES 5u
#define ANSWER_SIZE_AT    1u /* in an operation */
#define ANSWER_BODY_AT    5u
#define ANSWER_COUNT_AT   13u
#define ANSWER_MORE_AT    21u
#define ANSWER_ITEMS_AT   22u
#define ANSWER_OP_BYTES   26u
