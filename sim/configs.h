/* configs.h - who belongs to the cluster, as it really is: the configuration that is committed, and
 * those that may still come to be (I9). */
#pragma once

#include "raft/raft.h"
#include "truth.h"

#include <stdbool.h>
#include <stdint.h>

/* Sets of members by number, as bits. */
bool configs_hold(uint32_t members);
/* The same of all that take part, learners too: what may be a voter in a moment. */
bool configs_hold_with_learners(uint32_t members);
/* A committed configuration does not count it, and one before did. */
bool configs_is_removed(const struct truth_member *m);
/* In either half of a joint configuration. */
bool configs_decides(const struct raft_config *config, node_id id);
/* It votes in the committed one. */
bool configs_votes(const struct truth_member *m);
/* In any part of it; of the committed one. */
bool configs_counts(const struct raft_config *config, node_id id);
/* The roster of the founders is in force (rule G5). */
void configs_found(const struct raft_config *config);
/* I9: an entry with a configuration is committed. */
void configs_on_commit(uint64_t index, struct slice payload);
/* I9: of what a log holds, at most one configuration is not committed. */
void configs_check_log(const struct truth_member *m);
