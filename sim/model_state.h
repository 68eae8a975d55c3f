/* model_state.h - inside of the model: model.c has keys and what was, model_txn.c transactions,
 * model_lease.c leases. */
#pragma once

#include "model.h"
#include "schedule.h"

struct key_past {
    struct model_item *items; /* by revision */
    uint32_t count;
    uint32_t capacity;
};

struct made_document {
    uint64_t revision;
    uint64_t time_ms;
    struct slice content;
};

struct model {
    struct key_past keys[SIM_KEYS_MAX];
    struct model_change *changes; /* by revision, and in the order in which they were made */
    uint32_t change_count;
    uint32_t change_capacity;
    struct made_document *documents; /* by revision */
    uint32_t document_count;
    uint32_t document_capacity;
    struct model_lease *leases;
    uint32_t lease_count;
    uint32_t lease_capacity;
    uint64_t grants;
    uint64_t time_ms;
    uint64_t revision;
    uint64_t compacted;
};

/* As it is now; NULL = it is not there. */
const struct model_item *model_now(const struct model *m, uint32_t key);
/* One change of the key, at `revision`, which is the store's or the next one. */
void model_put(struct model *m, uint32_t key, uint64_t revision, struct slice value,
               uint64_t lease);
void model_delete(struct model *m, uint32_t key, uint64_t revision);

void model_txn(struct model *m, const struct kv_txn *txn, struct kv_result *result,
               struct buf *answer);

void model_grant(struct model *m, uint64_t id, uint64_t ttl_s, bool is_private);
/* The first id from this one on that no lease has. */
uint64_t model_free_lease(const struct model *m, uint64_t id);
void model_lease_command(struct model *m, const struct kv_command *c, struct kv_result *result);
/* Private leases go with their last key. */
void model_sweep(struct model *m);
