/* model.h - the store as a deliberately simple twin: what every command that is committed must
 * answer, and what every key must have been at every revision. Grows in the order of the log. */
#pragma once

#include "base/buf.h"
#include "kv/kv_txn.h"

#include <stdbool.h>
#include <stdint.h>

struct model;

struct model *model_create(void);
void model_destroy(struct model *m);
/* Log time goes on with every command, also with one that is not applied again. */
void model_see_time(struct model *m, uint64_t time_ms);
/* What the command says is borrowed for ever. Of a KV_TXN, `txn` is what its client asked for. The
 * answer to one that is OK is put into `answer` as text (answer_text.h). */
void model_apply(struct model *m, const struct kv_command *command, const struct kv_txn *txn,
                 struct kv_result *result, struct buf *answer);
uint64_t model_revision(const struct model *m);
uint64_t model_compacted(const struct model *m);

/* --- what was --------------------------------------------------------------------------------- */

/* A key, as one change made it. */
struct model_item {
    uint64_t revision;
    uint64_t create_revision;
    uint64_t version;
    uint64_t lease;
    struct slice value;
    bool is_there;
};

/* The key as of a revision, or NULL when it is not there. */
const struct model_item *model_get(const struct model *m, uint32_t key, uint64_t revision);
/* The key at `revision`: is `item` (NULL = it is not there) what it must be? */
bool model_agrees(const struct model *m, struct slice key, uint64_t revision,
                  const struct kv_item *item);
/* Are the documents of a store, which is at `revision`, what they must be? *count: how many. */
bool model_has_documents(const struct model *m, const struct kv *kv, uint64_t revision,
                         uint64_t *count);
/* How many keys are there at `revision`. */
uint32_t model_count(const struct model *m, uint64_t revision);

/* All changes of keys that ever were, in their order: from 0 on. */
struct model_change {
    uint32_t key;
    struct model_item item; /* not there: it was deleted at that revision */
};
uint32_t model_change_count(const struct model *m);
const struct model_change *model_change(const struct model *m, uint32_t number);
/* The first one of this revision or a later one. */
uint32_t model_changes_from(const struct model *m, uint64_t revision);

/* What a transaction that only reads answers at a revision, or what it is refused for. Compaction
 * is that of the one who answers. */
enum status model_read(const struct model *m, const struct kv_txn *txn, uint64_t revision,
                       uint64_t compacted, struct buf *answer);

/* --- leases ----------------------------------------------------------------------------------- */

struct model_lease {
    uint64_t id;
    uint64_t grant;
    uint64_t ttl_s;
    bool is_private;
};
/* Those that are there, in no order; NULL = there are not so many. */
const struct model_lease *model_lease(const struct model *m, uint32_t number);
/* NULL = none has this id. */
const struct model_lease *model_lease_of(const struct model *m, uint64_t id);
/* How many were ever granted. */
uint64_t model_grants(const struct model *m);
/* Over all leases and how many keys each has; and the same of a store. */
uint64_t model_lease_hash(const struct model *m);
uint64_t model_lease_hash_of(const struct kv *kv);

/* --- names of keys ---------------------------------------------------------------------------- */

/* Name of key number `i`. */
#define MODEL_KEY_BYTES 7
void model_key(uint32_t i, char key[MODEL_KEY_BYTES]);
/* Its number. Fails for any other name. */
uint32_t model_key_number(struct slice key);
