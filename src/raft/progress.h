/* raft/progress.h - what the leader believes about one member.
 *
 * Pure bookkeeping: from which index to send, and whether now; never sends. Three states:
 *
 *   probing      where the logs agree is not known (or something was lost). One append at a time;
 *                `next` stays where it is until an answer comes.
 *   replicating  `next` runs ahead of `match` (rule R7), bounded by a window of messages and bytes.
 *   snapshot     what it needs next is no longer in the log (rules S6, S7): heartbeats, and nothing
 *                else, until it has a snapshot. Such a member is probing, too: `next` stands still.
 *
 *            accepted                              rejected, unreachable
 *   probing ----------> replicating   replicating -----------------------> probing
 *   any ---- next < first ----> snapshot ---- match >= first - 1, tried ----> probing
 *
 * Invariants (invariants.c): match < next; the window's bytes are the sum of its slots; its last
 * indexes ascend and lie above match. Lives inside struct raft; only leader code calls it. */
#pragma once

#include "raft/raft.h"

/* An append that was sent. */
struct inflight_slot {
    raft_index last; /* of its entries; next - 1: it had none */
    uint64_t bytes;
    uint64_t sent_ms;
    bool bulk; /* by the slow lane */
};

struct inflight {
    struct inflight_slot *slots; /* a ring; owned */
    uint32_t head;
    uint32_t count;
    uint32_t capacity;
    uint64_t bytes;
    uint64_t bytes_max;
};

struct progress {
    /* Verified and durable there. Never falls within a term (rule R4), unless the member says
     * itself that it lost a part (rule P4). */
    raft_index match;
    raft_index next; /* the first index to send */
    bool probing;
    bool probe_sent;            /* a probe is out; wait for its answer, or for a heartbeat's */
    struct inflight_slot probe; /* that probe */
    bool snapshot;              /* the host streams one to it */
    raft_index snapshot_index;  /* that one's */
    uint64_t snapshot_retry_ms; /* the next one not before */
    bool recovering;            /* it lost a part of its log and counts in no quorum (rule P4) */
    raft_index commit_told;     /* what it can know of the commit index from what was sent (R14) */
    uint64_t commit_due_ms;     /* when it must be told the rest at the latest; 0 = not set */
    bool waits;                 /* as its last answer said: both */
    uint32_t rest_ms;
    uint64_t acked_round;   /* the highest confirmation round it answered (rule Q2) */
    uint64_t acked_sent_ms; /* when the newest message that it answered had left (rule E7) */
    uint64_t last_ack_ms;   /* when an answer last arrived, 0 = never */
    uint64_t nudged_ms;     /* when an empty append last asked whether a window was lost */
    uint64_t patience_ms;   /* what is not answered for so long may be lost */
    raft_index bulk_last;   /* the last entry that left by the slow lane */
    struct inflight inflight;
};

struct progress_bounds {
    uint32_t messages_max;
    uint64_t bytes_max;
    uint64_t patience_ms;
};

/* An append whose previous index was `probe` was refused; `next` is where to look instead. */
struct progress_refusal {
    raft_index probe;
    raft_index next;
};

void progress_init(struct progress *p, struct progress_bounds bounds);
void progress_deinit(struct progress *p);
/* A new leadership: probe from `next`, nothing is known. The silence is counted from `now_ms`. */
void progress_reset(struct progress *p, raft_index next, uint64_t now_ms);

/* Nothing with entries may be sent now. */
bool progress_is_paused(const struct progress *p);
/* Entries are on their way by the slow lane. Those after them must not overtake them there: they
 * would be refused, and both would be sent again, as fast as the network goes. */
bool progress_is_bulk(const struct progress *p);
/* An append left that starts at `next`. */
void progress_on_sent(struct progress *p, const struct inflight_slot *sent);
/* It holds everything up to `match` durably. True when that is news. */
bool progress_on_match(struct progress *p, raft_index match);
/* An append of this leadership was accepted: where the logs agree is known. */
void progress_on_accept(struct progress *p);
/* False when that is old news and was ignored (rule R4). */
bool progress_on_refusal(struct progress *p, const struct progress_refusal *refusal);
/* Messages to it were lost. Probe from what is certain, but not before it answers a heartbeat that
 * leaves from now on: else every probe that the host drops would call for the next one. */
void progress_on_unreachable(struct progress *p, uint64_t now_ms);
/* The host was asked to stream the snapshot that ends at `index`. */
void progress_on_snapshot(struct progress *p, raft_index index);
/* Streaming it ended. */
void progress_on_snapshot_sent(struct progress *p, bool ok, uint64_t now_ms);
/* The log begins at `first`: when what the member holds reaches it, no snapshot is needed, whatever
 * one it was that it got (rule S7). */
void progress_on_log_first(struct progress *p, raft_index first);
/* It lost a part of its log: believe its `match`, and nothing that it said before. */
void progress_on_loss(struct progress *p, raft_index match);
/* The answer to a heartbeat that left at `sent_ms` shows that a probe of before was lost: it may be
 * repeated. False when no such probe is out. */
bool progress_retry_probe(struct progress *p, uint64_t sent_ms);
/* Something was sent a patience ago and not answered: worth an empty append that finds out (rule
 * R7), at most one per patience. Notes that it was sent. */
bool progress_take_nudge(struct progress *p, uint64_t now_ms);
