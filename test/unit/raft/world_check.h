/* test/unit/raft/world_check.h - what must hold over all members (consensus.md B.2).
 *
 *   I1   one leader a term            I6   what is applied is the same everywhere, in order, once
 *   I1b  one vote a term and member   I7   what is committed is durable on a quorum
 *   I2   terms never fall             I8   a leader's match is durable at the follower
 *   I3   log matching                 I12  a read's index covers what was applied before it began
 *   I5   leaders hold what is committed   I14  so does one that is read under a lease
 *   I16  a snapshot is the state at its   I18  a message claims only what is durable
 *        index
 *   I9   quorums of consecutive configurations intersect, at most one is not committed; and rules
 *        C1 to C3: each core decides by the newest configuration of its log
 *
 * The truth is the simulated disks, never what the cores believe. */
#pragma once

#include "world.h"

struct world_checker *checker_create(void);
void checker_destroy(struct world_checker *c);

uint64_t checker_chain(uint64_t previous, const struct raft_entry *entry);
void checker_on_start(struct world *w, node_id id);
void checker_on_step(struct world *w, node_id id);
void checker_on_written(struct world *w, node_id id, raft_index first);
void checker_on_send(struct world *w, const struct raft_message *m);
void checker_on_apply(struct world *w, node_id id, raft_index index,
                      const struct raft_entry *entry);
void checker_on_snapshot(struct world *w, node_id id, const struct world_snapshot *s);
/* The disk is about to say that nothing is missing any more (rule P4). */
void checker_on_recovered(struct world *w, node_id id);
void checker_on_restore(struct world *w, node_id id, uint64_t chain);
/* A read begins at a member; returns its token. */
uint64_t checker_on_read(struct world *w, node_id id);
void checker_on_read_done(struct world *w, const struct raft_read *read);
uint64_t checker_lease_reads(const struct world *w);
raft_index checker_committed(const struct world *w);
/* The newest configuration that was applied anywhere, and its index; NULL = the founding one. */
const struct raft_config *checker_config(const struct world *w, raft_index *index);
uint64_t checker_reads_answered(const struct world *w);
/* Reads that were neither answered nor failed. */
uint64_t checker_reads_open(const struct world *w);
