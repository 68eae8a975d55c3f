/* test/unit/raft/world.h - several pure cores in virtual time, with a network and disks that fail.
 *
 * One thread, one seed, one queue of what is due. The scenarios drive it by hand, the random
 * schedules by chance; both run under the same checks: raft/invariants.h after every step, and
 * world_check.h over all members. A violation prints what world_set_replay was told and aborts.
 *
 * The disk (world_disk.c) is a list of durable entries, a durable (term, vote) and a snapshot. A
 * persist reaches it when its completion is due; a crash before that applies any part of it: the
 * hard state or not, and a prefix of its entries. The host here is deliberately plain: it applies
 * in order, in pages, answers loads from the disk, takes a snapshot every so many entries and
 * streams it in one piece (world_snapshot.c). The state machine is the hash of all that was
 * applied, so a snapshot is a number.
 *
 * Each member has a clock of its own: time and deadlines of a core are in its milliseconds. */
#pragma once

#include "base/rng.h"
#include "raft/invariants.h"
#include "raft/raft.h"

#include <stdio.h>

#define WORLD_NODES_MAX 9

struct world_entry {
    struct raft_entry entry; /* holds a reference */
    uint64_t chain;          /* hash of this entry and all before it */
};

struct world_snapshot {
    struct entry_id id; /* index 0 = none */
    uint64_t chain;     /* the state */
    struct raft_config config;
    raft_index config_index;
};

struct world_disk {
    raft_term term;
    node_id vote;
    uint32_t lease_promise_ms;
    raft_index commit; /* the floor told with a persist */
    struct world_snapshot snapshot;
    struct entry_id base; /* the entry before the first one */
    uint64_t base_chain;
    struct world_entry *entries;
    uint32_t count;
    uint32_t capacity;
    bool recovering;       /* rule P4 */
    raft_index lost_from;  /* what it held before, until it is whole again */
    raft_term *lost_terms; /* owned */
    uint32_t lost_count;
};

struct world_node {
    struct raft *raft; /* NULL = not running */
    struct raft_options options;
    struct raft_config config; /* the founding one; later ones are in the log */
    struct raft_preference preference;
    struct world_disk disk;
    bool writing;
    struct raft_persist persist;
    uint64_t disk_due_ms; /* UINT64_MAX while it hangs */
    bool disk_hangs;
    uint64_t disk_delay_min_ms;
    uint64_t disk_delay_max_ms;
    bool loading;
    uint64_t load_due_ms;
    raft_index load_first;
    raft_index load_last;
    uint32_t load_bytes_max;
    raft_index applied;
    raft_index apply_to;
    uint64_t state;               /* the hash of all that is applied */
    struct world_snapshot taking; /* being written; durable when due */
    uint64_t taking_due_ms;
    struct world_snapshot staged; /* came from a leader; not the state yet */
    uint64_t clock_permille;      /* the rate of its clock; 1000 = exact */
    bool paused;                  /* a stopped process: gets its messages and ticks later */
    bool dirty;
    uint64_t deadline_ms;
    uint32_t boots;
    struct raft_snapshot snapshot;
};

enum world_link { WORLD_LINK_OPEN, WORLD_LINK_CUT, WORLD_LINK_HELD };

struct world_message {
    uint64_t due_ms;
    uint64_t number;
    bool held;
    struct raft_message m; /* entries: owned copy */
};

/* A snapshot on its way. */
struct world_transfer {
    uint64_t due_ms;
    node_id from;
    node_id to;
    raft_term term;
    uint32_t boots; /* of the sender */
    bool is_copy;   /* of one that has arrived; nobody is told how it went */
    bool held;
    struct world_snapshot snapshot;
};

struct world;
/* What a scenario prints. */
struct world_observer {
    void *context;
    void (*on_event)(void *context, node_id id, const struct raft_event *event);
    void (*on_message)(void *context, const struct raft_message *m, bool lost);
    void (*on_read)(void *context, node_id id, const struct raft_read *read);
    void (*on_apply)(void *context, node_id id, raft_index index, const struct raft_entry *entry);
    void (*on_host)(void *context, node_id id, const char *what, raft_index index);
};

struct world_checker;

struct world {
    uint64_t now_ms;
    struct rng rng;
    uint32_t node_count;
    struct world_node nodes[WORLD_NODES_MAX + 1]; /* by id, from 1 */
    enum world_link links[WORLD_NODES_MAX + 1][WORLD_NODES_MAX + 1];
    /* Of the network, in percent and ms. */
    uint32_t loss;
    uint32_t duplicates;
    uint64_t delay_min_ms;
    uint64_t delay_max_ms;
    /* Of the host. */
    uint32_t turn_now;   /* per cent: a turn after each input, else when all of this ms are in */
    uint32_t page;       /* entries applied a turn; 0 = all */
    uint32_t load_fails; /* per cent */
    uint64_t load_delay_ms;
    uint32_t snapshot_every; /* entries; 0 = never */
    uint32_t snapshot_slack; /* entries at most that stay in the log before a snapshot */
    uint64_t transfer_min_ms;
    uint64_t transfer_max_ms;
    struct world_transfer *transfers; /* owned */
    uint32_t transfer_count;
    uint32_t transfer_capacity;
    uint32_t installs;
    uint32_t installs_kept;         /* the log went on behind them */
    struct world_message *messages; /* a binary heap by (due, number); owned */
    uint32_t message_count;
    uint32_t message_capacity;
    uint64_t message_number;
    uint64_t payload_number;
    uint64_t hash;   /* of all that happened */
    uint64_t events; /* how many inputs were stepped */
    uint32_t restarts_with_partial_write;
    struct world_observer observer;
    struct world_checker *checker;
};

void world_init(struct world *w, uint64_t seed);
void world_deinit(struct world *w);
/* What to print when a check fails; borrowed. */
void world_set_replay(const char *text);
_Noreturn void world_fail(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Member `id` = node_count + 1 with an empty disk; not yet running. */
struct world_node *world_add(struct world *w, const struct raft_options *options,
                             const struct raft_config *config);
/* Put an entry on the disk of a member that is not running. */
void world_preload(struct world *w, node_id id, const struct raft_entry *entry);
void world_start(struct world *w, node_id id);
/* Without warning: the outstanding write reaches the disk in part, by chance. */
void world_crash(struct world *w, node_id id);
bool world_is_up(const struct world *w, node_id id);

/* This member, which is not running, lost its entries from `from` on, though they were durable
 * (rule P4); what was on its way to the process is gone. */
void world_lose(struct world *w, node_id id, raft_index from);

enum status world_input(struct world *w, node_id id, const struct raft_input *input);
/* One command with a payload that no other has; `size` >= 8 bytes. */
enum status world_propose(struct world *w, node_id id, uint32_t size);
enum status world_read(struct world *w, node_id id);
enum status world_change(struct world *w, node_id id, const struct raft_config *config);
/* Let a message arrive that nobody sent. */
void world_deliver(struct world *w, const struct raft_message *m);
void world_run(struct world *w, uint64_t duration_ms);
void world_flush(struct world *w);
/* Open, cut or hold the direction; what was held arrives when it is opened, is lost when cut. */
void world_set_link(struct world *w, node_id from, node_id to, enum world_link state);
void world_set_all_links(struct world *w, enum world_link state);
void world_set_disk(struct world *w, node_id id, uint64_t delay_ms, bool hangs);
void world_pause(struct world *w, node_id id, bool paused);

/* Take a snapshot of what is applied, and drop entries before `first` (0 = as many as may go). */
void world_take_snapshot(struct world *w, node_id id, raft_index first);
/* Give a member the newest snapshot of another one, as if it had been streamed just now. */
enum status world_install(struct world *w, node_id from, node_id to);
/* What the clock of this member shows now. */
uint64_t world_clock_ms(const struct world *w, node_id id);

/* The leader of the highest term, 0 = none. */
node_id world_leader(const struct world *w);
/* Everything running (of the core, by id, when there is one) that the leader's configuration names
 * has committed, applied and synced one and the same log and follows that leader, which is a voter
 * of a configuration that is not joint. */
bool world_is_converged(const struct world *w, const bool *core);
bool world_config_names(const struct raft_config *config, node_id id);

/* --- world_disk.c ----------------------------------------------------------------------------- */

/* The entry of the disk, or NULL. */
const struct world_entry *world_disk_entry(const struct world_disk *disk, raft_index index);
raft_index world_disk_last(const struct world_disk *disk);
/* The hash of the log up to here. Requires: base.index <= index <= last. */
uint64_t world_disk_chain(const struct world_disk *disk, raft_index index);
/* It holds this entry, or did before its loss. */
bool world_disk_had(const struct world_disk *disk, struct entry_id id);
void world_disk_add(struct world_disk *disk, const struct raft_entry *entry);
void world_disk_cut(struct world_disk *disk, raft_index from);
void world_disk_compact(struct world_disk *disk, raft_index first);
void world_disk_lose(struct world_disk *disk, raft_index from);
/* The snapshot is the newest state; what the log has behind it stays if it fits (rule S4). */
void world_disk_install(struct world_disk *disk, const struct world_snapshot *s, bool discard);
void world_disk_deinit(struct world_disk *disk);
/* What of a persist reaches the disk. */
struct world_write {
    bool hard_state;
    bool install;
    bool recovered;
    uint32_t count; /* of the entries */
};
void world_disk_write(struct world *w, node_id id, struct world_write what);

/* --- world_snapshot.c ------------------------------------------------------------------------- */

/* A leader asks its host for it. */
void world_stream_snapshot(struct world *w, const struct raft_message *m);
/* The next time at which something here is due. */
uint64_t world_transfers_due(const struct world *w);
void world_run_transfer(struct world *w);
void world_hold_transfers(struct world *w, node_id from, node_id to, enum world_link state);
void world_maybe_take_snapshot(struct world *w, node_id id);
void world_finish_snapshot(struct world *w, node_id id);
void world_restore(struct world *w, node_id id, struct entry_id restore);
