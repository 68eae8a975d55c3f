/* model.h - the store as a deliberately simple twin: what every command that is committed must
 * answer, and what every key must have been at every revision. Grows in the order of the log. */
#pragma once

#include "kv/kv.h"

#include <stdbool.h>
#include <stdint.h>

struct model;

struct model *model_create(void);
void model_destroy(struct model *m);
/* Log time goes on with every command, also with one that is not applied again. */
void model_see_time(struct model *m, uint64_t time_ms);
void model_apply(struct model *m, const struct kv_command *command, struct kv_result *result);
uint64_t model_revision(const struct model *m);
uint64_t model_compacted(const struct model *m);
/* The key at `revision`: is `item` (NULL = it is not there) what it must be? */
bool model_agrees(const struct model *m, struct slice key, uint64_t revision,
                  const struct kv_item *item);
/* Are the documents of a store, which is at `revision`, what they must be? *count: how many. */
bool model_has_documents(const struct model *m, const struct kv *kv, uint64_t revision,
                         uint64_t *count);
/* Keys that are there at `revision`, in byte order: calls `each` until it says false. */
uint32_t model_count(const struct model *m, uint64_t revision);

/* Name of key number `i`. */
#define MODEL_KEY_BYTES 8
void model_key(uint32_t i, char key[MODEL_KEY_BYTES]);
