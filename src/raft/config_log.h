/* raft/config_log.h - which configuration holds at which index (rule C3).
 *
 *     base {1 2 3}      joint {1 2 4}/{1 2 3} at 40      {1 2 4} at 41
 *     |-----------------|--------------------------------|----------------->  in force from here on
 *
 * A configuration is in force from its append on, on leader and follower alike, and no longer once
 * its entry is cut from the log: then the one before it is, wherever that one stands: in the log,
 * in a snapshot, or in the founding roster. So the history begins with a base that nothing can cut,
 * and goes on with every configuration of the log behind it.
 *
 * Knows indexes only: neither commit nor roles. A struct raft owns one. */
#pragma once

#include "raft/raft.h"

struct config_item {
    struct entry_id id;
    struct raft_config config;
    struct slice annex; /* inside `bytes` */
    struct blob *bytes; /* a reference; NULL without an annex */
};

struct config_log {
    struct config_item *items; /* ascending; never empty once there is a base; owned */
    uint32_t count;
    uint32_t capacity;
};

/* Forget everything; begin with this one (a restart, or a snapshot that was installed). The annex
 * is copied; `committed` is not looked at. A zero-initialised log may be reset. */
void config_log_reset(struct config_log *log, const struct raft_config_view *base);
void config_log_deinit(struct config_log *log);

/* The entry `id` is a configuration; its payload is shared. Requires: above the last one, and
 * raft_config_decode takes it. */
void config_log_append(struct config_log *log, struct entry_id id, struct blob *payload);
/* Entries from `from` on are void. False: none of them was a configuration. Requires: above the
 * base. */
bool config_log_truncate(struct config_log *log, raft_index from);
/* Nobody will ask for an index below `index` again. The newest at or before it becomes the base. */
void config_log_prune(struct config_log *log, raft_index index);

/* The one in force at the end of the log. */
const struct config_item *config_log_last(const struct config_log *log);
/* The newest at or before `index`; NULL when that is before the base. */
const struct config_item *config_log_at(const struct config_log *log, raft_index index);
/* No room for one more behind the base: the host applies too slowly. */
bool config_log_is_full(const struct config_log *log);
