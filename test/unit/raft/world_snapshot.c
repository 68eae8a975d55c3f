/* What the hosts of the world do with snapshots: take, stream, lose, install, restore. */
#include "world.h"

#include "world_check.h"

#include "base/check.h"
#include "base/mem.h"

#include <inttypes.h>

static void tell(struct world *w, node_id id, const char *what, raft_index index)
{
    if (w->observer.on_host != NULL) {
        w->observer.on_host(w->observer.context, id, what, index);
    }
}

/* --- taken here ------------------------------------------------------------------------------- */

static struct world_snapshot capture(struct world *w, node_id id)
{
    const struct world_node *n = &w->nodes[id];
    struct world_snapshot s = {.id = {.index = n->applied}, .chain = n->state};
    if (!raft_term_at(n->raft, n->applied, &s.id.term)) {
        world_fail(w, "R12: n%" PRIu64 " does not know the term of what it applied", id);
    }
    struct raft_config_view view;
    if (!raft_config_at(n->raft, n->applied, &view)) {
        world_fail(w, "S1: n%" PRIu64 " does not know the configuration at %" PRIu64, id,
                   n->applied);
    }
    s.config = *view.config;
    s.config_index = view.id.index;
    checker_on_snapshot(w, id, &s);
    return s;
}

static void become_newest(struct world *w, node_id id, const struct world_snapshot *s,
                          raft_index first)
{
    struct world_node *n = &w->nodes[id];
    if (s->id.index <= n->disk.snapshot.id.index) {
        return;
    }
    n->disk.snapshot = *s;
    world_disk_compact(&n->disk, first);
    tell(w, id, "snapshot", s->id.index);
    (void)!world_input(w, id,
                       &(struct raft_input){.kind = RAFT_INPUT_COMPACTED,
                                            .compact = {.id = s->id, .first = first}});
}

void world_maybe_take_snapshot(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    if (w->snapshot_every == 0 || n->taking.id.index != 0 || n->staged.id.index != 0 ||
        n->applied < n->disk.snapshot.id.index + w->snapshot_every) {
        return;
    }
    n->taking = capture(w, id);
    n->taking_due_ms = w->now_ms + rng_below(&w->rng, 10);
}

void world_finish_snapshot(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    struct world_snapshot s = n->taking;
    n->taking = (struct world_snapshot){0};
    n->taking_due_ms = UINT64_MAX;
    if (n->staged.id.index != 0) {
        return; /* rule S5 */
    }
    uint64_t slack = rng_between(&w->rng, 0, w->snapshot_slack);
    become_newest(w, id, &s, s.id.index + 1 > slack ? s.id.index + 1 - slack : 1);
}

void world_take_snapshot(struct world *w, node_id id, raft_index first)
{
    struct world_snapshot s = capture(w, id);
    become_newest(w, id, &s, first != 0 ? first : s.id.index + 1);
}

/* --- on its way ------------------------------------------------------------------------------- */

static void add_transfer(struct world *w, const struct world_transfer *t)
{
    if (w->transfer_count == w->transfer_capacity) {
        w->transfer_capacity = w->transfer_capacity == 0 ? 16 : 2 * w->transfer_capacity;
        w->transfers = mem_realloc(w->transfers, w->transfer_capacity * sizeof(*w->transfers));
    }
    w->transfers[w->transfer_count++] = *t;
}

void world_stream_snapshot(struct world *w, const struct raft_message *m)
{
    const struct world_disk *disk = &w->nodes[m->from].disk;
    if (m->last.index != disk->snapshot.id.index || m->last.term != disk->snapshot.id.term) {
        world_fail(w, "S7: n%" PRIu64 " asks for snapshot %" PRIu64 ", the newest is %" PRIu64,
                   m->from, m->last.index, disk->snapshot.id.index);
    }
    for (uint32_t i = 0; i < w->transfer_count; i++) {
        struct world_transfer *t = &w->transfers[i];
        if (!t->is_copy && t->from == m->from && t->to == m->to) {
            *t = w->transfers[--w->transfer_count]; /* the host begins anew */
            i--;
        }
    }
    struct world_transfer t = {
        .due_ms = w->now_ms + rng_between(&w->rng, w->transfer_min_ms, w->transfer_max_ms),
        .from = m->from,
        .to = m->to,
        .term = m->term,
        .boots = w->nodes[m->from].boots,
        .snapshot = disk->snapshot};
    t.held = w->links[m->from][m->to] == WORLD_LINK_HELD;
    t.due_ms = t.held ? UINT64_MAX : t.due_ms;
    add_transfer(w, &t);
}

void world_hold_transfers(struct world *w, node_id from, node_id to, enum world_link state)
{
    for (uint32_t i = 0; i < w->transfer_count; i++) {
        struct world_transfer *t = &w->transfers[i];
        if (t->held && t->from == from && t->to == to && state != WORLD_LINK_HELD) {
            t->held = false;
            t->due_ms = w->now_ms;
        }
    }
}

uint64_t world_transfers_due(const struct world *w)
{
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < w->transfer_count; i++) {
        due = w->transfers[i].due_ms < due ? w->transfers[i].due_ms : due;
    }
    return due;
}

static enum status install(struct world *w, const struct world_transfer *t)
{
    struct world_node *n = &w->nodes[t->to];
    raft_index committed = raft_commit(n->raft);
    struct raft_input input = {.kind = RAFT_INPUT_INSTALL,
                               .install = {.id = t->snapshot.id,
                                           .term = t->term,
                                           .config_index = t->snapshot.config_index,
                                           .config = &t->snapshot.config}};
    struct world_snapshot before = n->staged;
    n->staged = t->snapshot; /* the turn may write it at once */
    enum status s = world_input(w, t->to, &input);
    tell(w, t->to, s == STATUS_OK ? "install" : status_name(s), t->snapshot.id.index);
    if (s == STATUS_OK && t->snapshot.id.index <= committed) {
        world_fail(w, "S3: n%" PRIu64 " takes in %" PRIu64 ", %" PRIu64 " is committed", t->to,
                   t->snapshot.id.index, committed);
    }
    if (s != STATUS_OK) {
        n->staged = before;
        return s;
    }
    w->installs++;
    return s;
}

enum status world_install(struct world *w, node_id from, node_id to)
{
    const struct world_disk *disk = &w->nodes[from].disk;
    CHECK(disk->snapshot.id.index != 0);
    return install(w, &(struct world_transfer){
                          .from = from, .to = to, .term = disk->term, .snapshot = disk->snapshot});
}

/* One that is due arrives or is lost; its sender hears of it, and perhaps it arrives once more. */
void world_run_transfer(struct world *w)
{
    uint32_t at = 0;
    while (w->transfers[at].due_ms > w->now_ms) {
        at++;
    }
    struct world_transfer t = w->transfers[at];
    w->transfers[at] = w->transfers[--w->transfer_count];
    struct world_node *n = &w->nodes[t.to];
    if (n->raft != NULL && n->paused) {
        t.due_ms = w->now_ms + 1;
        add_transfer(w, &t);
        return;
    }
    bool arrives = n->raft != NULL && w->links[t.from][t.to] == WORLD_LINK_OPEN &&
                   !rng_chance(&w->rng, w->loss, 100);
    if (arrives) {
        (void)!install(w, &t);
    }
    struct world_node *sender = &w->nodes[t.from];
    if (!t.is_copy && sender->raft != NULL && sender->boots == t.boots) {
        (void)!world_input(w, t.from,
                           &(struct raft_input){.kind = RAFT_INPUT_SNAPSHOT_SENT,
                                                .sent = {.member = t.to, .ok = arrives}});
    }
    if (rng_chance(&w->rng, w->duplicates, 100)) {
        t.is_copy = true;
        t.due_ms = w->now_ms + rng_between(&w->rng, 0, 10 * w->transfer_max_ms);
        add_transfer(w, &t);
    }
}

/* --- taken in --------------------------------------------------------------------------------- */

void world_restore(struct world *w, node_id id, struct entry_id restore)
{
    struct world_node *n = &w->nodes[id];
    if (restore.index != n->staged.id.index || restore.index != n->disk.snapshot.id.index) {
        world_fail(w, "S3: n%" PRIu64 " restores %" PRIu64 " before it is on disk", id,
                   restore.index);
    }
    if (restore.index <= n->applied) {
        world_fail(w, "S3: n%" PRIu64 " goes back from %" PRIu64 " to %" PRIu64, id, n->applied,
                   restore.index);
    }
    w->installs_kept += world_disk_last(&n->disk) > restore.index;
    n->applied = restore.index;
    n->state = n->staged.chain;
    n->staged = (struct world_snapshot){0};
    checker_on_restore(w, id, n->state);
    tell(w, id, "restore", restore.index);
    struct raft_input applied = {
        .now_ms = world_clock_ms(w, id), .kind = RAFT_INPUT_APPLIED, .index = n->applied};
    (void)!raft_step(n->raft, &applied);
}
