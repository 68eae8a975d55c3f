/* raft/quorum.h - majorities, of a plain or a joint configuration.
 *
 * One question answers all that Raft asks of a majority: which value do enough voters reach? Of
 * match indexes it is the commit index, of vote flags (0 or 1) the result of an election, of the
 * acknowledged rounds whether a read is confirmed, of send times how long the quorum was silent.
 *
 * Joint: each half is counted separately and the smaller result holds (rule E12). A majority of the
 * union would let two disjoint sets decide. Learners never count. Pure functions. */
#pragma once

#include "raft/raft.h"

typedef uint64_t (*quorum_value_cb)(const void *context, node_id id);

/* The highest value v such that in every active half a majority of the voters has value >= v. A
 * configuration without voters has no quorum: 0. */
uint64_t quorum_value(const struct raft_config *config, const void *context,
                      quorum_value_cb value_of);

bool ids_contain(const node_id *ids, uint32_t count, node_id id);
bool config_has_voter(const struct raft_config *config, node_id id);
bool config_has_learner(const struct raft_config *config, node_id id);
/* `id` alone decides everything. */
bool config_is_lone_voter(const struct raft_config *config, node_id id);
/* 0 = preferred to all; all that are not named are alike, at `count`. */
uint32_t preference_place(const struct raft_preference *preference, node_id id);
/* The place of `id` among all voters other than `without`: preferred ones first, then by ascending
 * id (rules E6b, E10). */
struct voter_pair {
    node_id id;
    node_id without;
};
uint32_t config_voter_rank(const struct raft_config *config,
                           const struct raft_preference *preference, struct voter_pair who);
