/* node/rebuild.c - rule P15b: a quarantined member makes its state anew from what it knows to be
 * right, its log.
 *
 *   a snapshot of before the digest that was odd, or nothing -> its log, entry by entry
 *   -> at that index, the digest of the majority or none of this counts -> all that is applied
 *
 * The second store is built on the log thread, in steps, and changes places with the first when
 * it has caught up. What follows from an equal state by equal entries is equal: the member is
 * believed again. If the digest is odd once more, an older snapshot is tried. When none is left
 * from which the log goes on, the member stays as it is, and is tried again later; a snapshot of
 * the leader's would end it, too. */
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#include <inttypes.h>

#define STEP_BYTES (256u * KIB)
#define AGAIN_MS   60000

/* --- on the log thread ------------------------------------------------------------------------ */

static enum status read_base(struct rebuild *b)
{
    enum status s = STATUS_OK;
    if (b->base.index == 0) {
        b->kv = kv_create();
        return STATUS_OK;
    }
    if (b->reader == NULL) {
        s = snapshot_reader_open(b->disk, b->cluster, b->base, &b->reader, NULL);
        if (s != STATUS_OK) {
            return s;
        }
        b->import = kv_import_begin();
    }
    struct slice chunk;
    s = snapshot_reader_next(b->reader, &chunk);
    if (s == STATUS_OK) {
        return kv_import_add(b->import, chunk);
    }
    if (s == STATUS_NOT_FOUND) {
        struct kv_import *import = b->import;
        b->import = NULL;
        s = kv_import_finish(import, &b->kv);
    }
    return s;
}

static bool is_right(const struct rebuild *b)
{
    struct kv_digest d = kv_digest(b->kv);
    return d.half[0] == b->expected.half[0] && d.half[1] == b->expected.half[1];
}

static bool apply_one(void *context, const struct wal_entry *e)
{
    struct rebuild *b = context;
    if (e->type == RAFT_ENTRY_COMMAND) {
        struct kv_command command;
        struct kv_result ignored;
        b->apply_status = kv_command_decode(e->payload, &command);
        if (b->apply_status != STATUS_OK) {
            return false;
        }
        kv_apply(b->kv, &command, &ignored);
    }
    b->at = e->index;
    if (b->at == b->check_index && !is_right(b)) {
        b->apply_status = STATUS_CONFLICT;
        return false;
    }
    return true;
}

static void run_rebuild(struct work *w)
{
    struct rebuild *b = w->context;
    struct wal_state state;
    if (b->frees) {
        kv_destroy(b->kv);
        b->kv = NULL;
        return;
    }
    if (b->kv == NULL) {
        b->status = read_base(b);
        return;
    }
    wal_state(b->wal, &state);
    if (b->at + 1 < state.first) {
        b->status = STATUS_COMPACTED; /* meanwhile */
        return;
    }
    b->apply_status = STATUS_OK;
    b->status = wal_read(b->wal, b->at + 1, b->target, STEP_BYTES, apply_one, b);
    b->status = b->status == STATUS_OK ? b->apply_status : b->status;
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void release(struct rebuild *b)
{
    snapshot_reader_destroy(b->reader);
    b->reader = NULL;
    if (b->import != NULL) {
        kv_import_abort(b->import);
        b->import = NULL;
    }
    if (b->kv != NULL) {
        kv_destroy(b->kv);
        b->kv = NULL;
    }
    b->is_active = false;
}

static void done_rebuild(struct work *w);

static void submit(struct node *n)
{
    struct rebuild *b = &n->rebuild;
    b->target = n->applied;
    b->in_flight = true;
    b->work = (struct work){.run = run_rebuild, .done = done_rebuild, .context = b};
    n->loop->ops->submit(n->loop, &b->work);
}

static void take_over(struct node *n)
{
    struct rebuild *b = &n->rebuild;
    node_take_abort(n); /* nobody walks over the store that goes */
    kv_swap(n->kv, b->kv);
    node_leases_stop(n);
    log_info("the state was made anew up to index=%" PRIu64 ", and agrees with the others", b->at);
    b->below = 0;
    b->frees = true;
    submit(n);
    node_quarantine_end(n);
}

static void give_up(struct node *n)
{
    struct rebuild *b = &n->rebuild;
    log_error("the state cannot be made anew from snapshot=%" PRIu64 " and the log after it: %s",
              b->base.index,
              b->status == STATUS_CONFLICT ? "it differs again" : status_text(b->status));
    release(b);
    b->below = b->base.index; /* it may have been taken of what was wrong already */
    b->again_ms = b->below == 0 ? node_now(n) + AGAIN_MS : 0;
    n->turn_wanted = true;
}

static void done_rebuild(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, rebuild.work);
    struct rebuild *b = &n->rebuild;
    b->in_flight = false;
    if (n->dead) {
        return;
    }
    if (b->frees) {
        b->frees = false;
        release(b);
    } else if (!n->agreement.is_quarantined) {
        release(b); /* a snapshot came meanwhile */
    } else if (b->status != STATUS_OK) {
        give_up(n);
    } else if (b->kv != NULL && b->at >= b->check_index && b->at == n->applied) {
        take_over(n);
    } else {
        submit(n);
    }
}

void node_rebuild_on_turn(struct node *n)
{
    struct rebuild *b = &n->rebuild;
    if (!n->agreement.is_quarantined || b->is_active || node_now(n) < b->again_ms) {
        return;
    }
    const struct snapshots *known = &n->snapshots;
    b->is_active = true;
    b->base = (struct snapshot_id){0};
    for (uint32_t i = 0; i < known->count; i++) {
        raft_index index = known->ids[i].index;
        if (index < n->agreement.odd.index && (b->below == 0 || index < b->below)) {
            b->base = known->ids[i];
        }
    }
    b->at = b->base.index;
    b->check_index = n->agreement.odd.index;
    b->expected = n->agreement.odd.digest;
    b->disk = n->disk;
    b->wal = n->wal;
    b->cluster = n->identity.roster.cluster;
    submit(n);
}

void node_rebuild_destroy(struct node *n)
{
    release(&n->rebuild);
}
