/* node/snapshots.c - which snapshots are there, and the turn of everything that has to do with
 * them. */
#include "node/snapshots.h"

#include "base/check.h"
#include "base/log.h"
#include "node/frame.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <string.h>

/* What depends on time alone (offers said again, a log that may be cut further) is looked at so
 * often, by whatever turn there is. */
#define TICK_MS 500

static void on_timer(struct timer *t)
{
    struct node *n = t->context;
    n->loop->ops->timer_start(n->loop, t, node_now(n) + TICK_MS); /* and a turn follows */
}

/* This turn does for the one that the timer would wake the loop for. */
static void put_off(struct node *n)
{
    struct timer *t = &n->snapshots.timer;
    uint64_t now_ms = n->loop->ops->now_ms(n->loop);
    if (t->slot != 0 && t->at_ms < now_ms + TICK_MS / 2) {
        n->loop->ops->timer_start(n->loop, t, now_ms + TICK_MS);
    }
}

void node_snapshots_start(struct node *n)
{
    struct timer *t = &n->snapshots.timer;
    node_take_draw(n);
    *t = (struct timer){.fire = on_timer, .context = n};
    n->loop->ops->timer_start(n->loop, t, node_now(n) + TICK_MS);
}

void node_snapshots_on_turn(struct node *n)
{
    put_off(n);
    node_arrival_on_turn(n);
    node_take_on_turn(n);
    node_compaction_on_turn(n);
    node_transfers_on_turn(n);
    node_backup_on_turn(n);
}

bool node_snapshots_on_frame(struct node *n, struct uuid from, uint8_t type, struct slice body)
{
    bool takes_part = n->raft != NULL && !n->dead && !n->stopped;
    struct snapshot_offer offer;
    struct snapshot_want want;
    struct snapshot_piece piece;
    if (type == FRAME_SNAPSHOT_OFFER) {
        if (snapshot_offer_decode(body, &offer) != STATUS_OK) {
            return false;
        }
        if (takes_part) {
            node_arrival_on_offer(n, from, &offer);
        }
    } else if (type == FRAME_SNAPSHOT_WANT) {
        if (snapshot_want_decode(body, &want) != STATUS_OK) {
            return false;
        }
        if (takes_part) {
            node_transfer_on_want(n, from, &want);
        }
    } else if (snapshot_piece_decode(body, &piece) != STATUS_OK) {
        return false;
    } else if (takes_part) {
        node_arrival_on_piece(n, from, &piece);
    }
    return true;
}

void node_snapshots_restore(struct node *n, struct entry_id id)
{
    node_arrival_restore(n, id);
    node_quarantine_end(n);
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_APPLIED};
    input.index = n->applied;
    node_step(n, &input);
    node_writes_on_restored(n, n->applied);
}

void node_snapshots_destroy(struct node *n)
{
    n->loop->ops->timer_stop(n->loop, &n->snapshots.timer);
    node_take_destroy(n);
    node_transfers_destroy(n);
    node_arrival_destroy(n);
    node_backup_destroy(n);
}

raft_index node_snapshots_pinned(const struct node *n)
{
    raft_index transfers = node_transfers_pinned(n);
    raft_index backup = node_backup_pinned(n);
    return transfers < backup ? transfers : backup;
}

/* Rule S7 pins what is being read; LIMIT_SNAPSHOTS_KEPT bounds what that costs. */
static void make_room(struct node *n)
{
    struct snapshots *s = &n->snapshots;
    if (s->count < LIMIT_SNAPSHOTS_KEPT) {
        return;
    }
    raft_index old = s->ids[s->count - LIMIT_SNAPSHOTS_KEPT].index;
    node_transfers_end_old(n, old);
    node_backup_end_old(n, old);
}

void node_snapshot_add(struct node *n, struct snapshot_id id)
{
    struct snapshots *s = &n->snapshots;
    CHECK_CMP(id.index, >, s->newest.index);
    make_room(n);
    if (s->count == SNAPSHOTS_MAX) {
        memmove(&s->ids[0], &s->ids[1], (SNAPSHOTS_MAX - 1) * sizeof(s->ids[0]));
        s->count--;
    }
    s->ids[s->count++] = id;
    s->newest = id;
    s->compaction.files_wanted = true;
    s->compaction.again_ms = 0;
    n->turn_wanted = true;
}

static bool forget_id(struct snapshots *s, raft_index index)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ids[i].index == index) {
            s->count--;
            memmove(&s->ids[i], &s->ids[i + 1], (s->count - i) * sizeof(s->ids[0]));
            return true;
        }
    }
    return false;
}

void node_snapshot_lost(struct node *n, struct snapshot_id id, const char *what)
{
    struct snapshots *s = &n->snapshots;
    if (!forget_id(s, id.index)) {
        return;
    }
    n->figures.damage_found++;
    log_error("the snapshot of index=%" PRIu64 " is damaged: %s; it is set aside as *.damaged, "
              "and another one is taken",
              id.index, what);
    s->newest = s->count > 0 ? s->ids[s->count - 1] : (struct snapshot_id){0};
    /* What is not cut yet may be all that is left of it. */
    s->compaction.wanted = s->compaction.wanted && s->compaction.first <= s->newest.index + 1;
    s->compaction.files_wanted = s->compaction.files_wanted && s->count > 0;
    node_transfers_end_old(n, id.index);
    node_backup_end_old(n, id.index);
    node_take_ask(n, n->applied);
}
