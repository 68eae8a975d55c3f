/* node/log_compaction.c - rule S2: what a verified snapshot covers leaves the log, but for what
 * members that lag still need; and old snapshots leave the disk.
 *
 * The core is told first, so that it asks for nothing that is going away; then the log is cut, a
 * segment at a time, then old files go. A member that is linked and lags holds back the log, up to
 * LIMIT_LOG_KEPT_TIMES the distance between two snapshots; one that is away does not. */
#include "base/check.h"
#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <string.h>

/* What is kept behind a snapshot for members that are away for a moment: a part of the distance
 * between two snapshots. */
#define SLACK_PART 8

#define KEPT_SNAPSHOTS 2
#define PAUSE_MS       500

/* --- how long the log is ---------------------------------------------------------------------- */

static uint64_t kept_bytes(const struct node *n)
{
    return n->options.snapshot_log_bytes * LIMIT_LOG_KEPT_TIMES;
}

void node_log_account(struct node *n, raft_index index, uint64_t bytes)
{
    struct log_account *a = &n->snapshots.account;
    a->bytes += bytes;
    uint64_t last = a->mark_count > 0 ? a->marks[a->mark_count - 1].bytes : 0;
    if (a->bytes - last < kept_bytes(n) / (LOG_MARKS / 2)) {
        return;
    }
    if (a->mark_count == LOG_MARKS) {
        memmove(&a->marks[0], &a->marks[1], (LOG_MARKS - 1) * sizeof(a->marks[0]));
        a->mark_count--;
    }
    a->marks[a->mark_count++] = (struct log_mark){.index = index, .bytes = a->bytes};
}

void node_log_account_reset(struct node *n, raft_index index)
{
    n->snapshots.account = (struct log_account){
        .snapshot_written = n->write.written_bytes, /* 0 at a start */
        .mark_count = 1,
        .marks = {{.index = index}},
    };
}

/* The first entry with at most `bytes` of entries from it to the newest one applied, as far as the
 * marks tell. */
static raft_index first_within(const struct node *n, uint64_t bytes)
{
    const struct log_account *a = &n->snapshots.account;
    raft_index first = 1;
    for (uint32_t i = 0; i < a->mark_count && a->bytes - a->marks[i].bytes > bytes; i++) {
        first = a->marks[i].index + 1;
    }
    return first;
}

static raft_index first_of_last(const struct node *n, uint64_t entries)
{
    return n->applied > entries ? n->applied - entries + 1 : 1;
}

/* --- where the log may be cut ----------------------------------------------------------------- */

static raft_index least(raft_index a, raft_index b)
{
    return a < b ? a : b;
}

static raft_index most(raft_index a, raft_index b)
{
    return a > b ? a : b;
}

/* What a leader's followers still need of the log: those that are linked, and do not get a snapshot
 * anyway. */
static raft_index needed_by(const struct node *n, const node_id *ids, uint32_t count)
{
    raft_index first = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_progress_view view;
        const struct roster_member *m = node_member_by_id(n, ids[i]);
        if (ids[i] != n->self && m != NULL && peers_is_up(n->peers, m->incarnation) &&
            raft_progress_of(n->raft, ids[i], &view) && !view.needs_snapshot) {
            first = least(first, view.match + 1);
        }
    }
    return first;
}

static raft_index needed_by_followers(const struct node *n)
{
    if (!node_is_leader(n)) {
        return UINT64_MAX;
    }
    const struct raft_config *c = raft_active_config(n->raft);
    raft_index voters = needed_by(n, c->voters, c->voter_count);
    raft_index outgoing = needed_by(n, c->outgoing, c->outgoing_count);
    raft_index learners = needed_by(n, c->learners, c->learner_count);
    return least(voters, least(outgoing, learners));
}

static raft_index first_to_keep(const struct node *n)
{
    const struct node_options *o = &n->options;
    raft_index covered = n->snapshots.newest.index + 1;
    raft_index slack = most(first_within(n, o->snapshot_log_bytes / SLACK_PART),
                            first_of_last(n, o->snapshot_log_entries / SLACK_PART));
    /* What is sent now must be followed by the log, or it would be sent in vain. */
    raft_index pinned = node_transfers_pinned(n);
    raft_index wanted = least(needed_by_followers(n), pinned == UINT64_MAX ? pinned : pinned + 1);
    raft_index floor = most(first_within(n, kept_bytes(n)),
                            first_of_last(n, o->snapshot_log_entries * LIMIT_LOG_KEPT_TIMES));
    return least(covered, most(least(slack, wanted), floor));
}

/* --- cutting ---------------------------------------------------------------------------------- */

static void run_compaction(struct work *w)
{
    struct log_compaction *c = w->context;
    if (c->step == COMPACTION_LOG) {
        c->status = wal_compact(c->wal, c->first, &c->more);
        return;
    }
    c->status = snapshot_remove_old(c->disk, c->cluster, c->keep, (struct snapshot_id){0});
    if (c->status == STATUS_OK) {
        c->status = snapshot_list(c->disk, c->cluster, c->entries, &c->count);
    }
}

static void take_list(struct node *n)
{
    const struct log_compaction *c = &n->snapshots.compaction;
    struct snapshots *s = &n->snapshots;
    s->count = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->entries[i].sound && c->entries[i].id.index <= s->newest.index) {
            s->ids[s->count++] = c->entries[i].id;
        }
    }
}

static void done_compaction(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, snapshots.compaction.work);
    struct log_compaction *c = &n->snapshots.compaction;
    c->in_flight = false;
    if (n->dead) {
        return;
    }
    if (c->step == COMPACTION_LOG) {
        /* The snapshot that has it may have been lost meanwhile. */
        bool is_covered = c->first <= n->snapshots.newest.index + 1;
        c->wanted = c->status == STATUS_OK && c->more && is_covered;
        if (c->status == STATUS_CORRUPT || c->status == STATUS_NO_SPACE) {
            log_warn("the log is not cut behind the snapshot of index=%" PRIu64 ": %s",
                     n->snapshots.newest.index, status_text(c->status));
            node_take_ask(n, n->applied);
        } else if (c->status != STATUS_OK) {
            node_fail(n, 1, "cannot cut the log behind a snapshot: %s", status_text(c->status));
        } else if (!c->more) {
            log_debug("the log begins at index=%" PRIu64 " or before", c->first);
        }
        return;
    }
    if (c->status != STATUS_OK) {
        /* They are in nobody's way but the disk's; the next snapshot tries again. */
        log_warn("old snapshots could not be removed: %s", status_text(c->status));
        return;
    }
    take_list(n);
}

static void submit(struct node *n, enum compaction_step step)
{
    struct log_compaction *c = &n->snapshots.compaction;
    c->step = step;
    c->wal = n->wal;
    c->disk = n->disk;
    c->cluster = n->identity.roster.cluster;
    c->in_flight = true;
    c->work = (struct work){.run = run_compaction, .done = done_compaction, .context = c};
    n->loop->ops->submit(n->loop, &c->work);
}

static uint32_t files_to_keep(const struct node *n)
{
    const struct snapshots *s = &n->snapshots;
    raft_index pinned = node_snapshots_pinned(n);
    uint32_t keep = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        keep += s->ids[i].index >= pinned;
    }
    return keep > KEPT_SNAPSHOTS ? keep : KEPT_SNAPSHOTS;
}

static void maybe_cut(struct node *n)
{
    const struct snapshots *s = &n->snapshots;
    struct log_compaction *c = &n->snapshots.compaction;
    if (node_now(n) < c->again_ms) {
        return; /* a log that is cut with every entry that a follower takes would do little else */
    }
    raft_index first = first_to_keep(n);
    if (first <= raft_first(n->raft)) {
        return;
    }
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_COMPACTED};
    input.compact.id = (struct entry_id){.term = s->newest.term, .index = s->newest.index};
    input.compact.first = first;
    node_step(n, &input);
    c->first = first;
    c->wanted = true;
    c->again_ms = node_now(n) + PAUSE_MS;
    submit(n, COMPACTION_LOG);
}

void node_compaction_on_turn(struct node *n)
{
    struct log_compaction *c = &n->snapshots.compaction;
    if (c->in_flight || n->snapshots.newest.index == 0 || node_arrival_is_active(n)) {
        return;
    }
    if (c->wanted) {
        submit(n, COMPACTION_LOG);
    } else if (c->files_wanted && n->snapshots.take.phase == TAKE_IDLE) {
        /* Not while one is written: leftovers of writers go too. */
        c->files_wanted = false;
        c->keep = files_to_keep(n);
        submit(n, COMPACTION_FILES);
    } else {
        maybe_cut(n);
    }
}
