/* node/snapshot_send.c - rules S6, S7: a leader streams its newest snapshot to followers that need
 * entries which its log has no more.
 *
 *   none -> waiting -> describing -> open -> none
 *
 * The follower steers: it says from where, and what it has on its disk; no more than
 * LIMIT_SNAPSHOT_WINDOW_BYTES are under way beyond that. So a slow link or a slow disk is never
 * ahead of itself, and after a broken link the follower says where to go on. Pieces travel on the
 * bulk link only: heartbeats never wait behind them. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/frame.h"
#include "node/node_internal.h"

#include <inttypes.h>

#define READ_BYTES     (3 * SNAPSHOT_PIECE_BYTES)
#define OFFER_AGAIN_MS 500
/* Nothing was heard of the follower for so long: the core tries again. */
#define SILENCE_MS     5000
#define AGAIN_MS       1000

static bool has_file(const struct snapshot_transfer *t)
{
    return t->state == TRANSFER_DESCRIBING || t->state == TRANSFER_OPEN || t->in_flight;
}

raft_index node_transfers_pinned(const struct node *n)
{
    raft_index oldest = UINT64_MAX;
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        const struct snapshot_transfer *t = &n->snapshots.transfers[i];
        if (has_file(t) && t->id.index < oldest) {
            oldest = t->id.index;
        }
    }
    return oldest;
}

static void release(struct snapshot_transfer *t)
{
    mem_free(t->bytes);
    t->bytes = NULL;
}

/* The slot is free once its work is back. */
static void forget(struct snapshot_transfer *t)
{
    CHECK(t->state != TRANSFER_NONE);
    t->state = TRANSFER_NONE;
    t->node->snapshots.transfer_count--;
    if (!t->in_flight) {
        release(t);
    }
}

static void end(struct node *n, struct snapshot_transfer *t, bool ok)
{
    t->again_ms = ok ? 0 : node_now(n) + AGAIN_MS;
    forget(t);
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_SNAPSHOT_SENT};
    input.sent.member = t->member;
    input.sent.ok = ok;
    node_step(n, &input);
    n->turn_wanted = true;
}

/* --- beginning -------------------------------------------------------------------------------- */

/* Its former place, so that a pause after a failure is kept, or any that is free. */
static struct snapshot_transfer *find_place(struct node *n, node_id member)
{
    struct snapshot_transfer *free_one = NULL;
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        struct snapshot_transfer *t = &n->snapshots.transfers[i];
        if (t->state != TRANSFER_NONE && t->member == member) {
            return t;
        }
        if (t->state == TRANSFER_NONE && !t->in_flight &&
            (free_one == NULL || t->member == member)) {
            free_one = t;
        }
    }
    return free_one;
}

void node_transfer_start(struct node *n, node_id member)
{
    const struct roster_member *m = node_member_by_id(n, member);
    struct snapshot_transfer *t = find_place(n, member);
    CHECK(t != NULL);
    if (m == NULL || t->state != TRANSFER_NONE) {
        return;
    }
    uint64_t again_ms = t->member == member ? t->again_ms : 0;
    *t = (struct snapshot_transfer){
        .node = n,
        .state = TRANSFER_WAITING,
        .member = member,
        .to = m->incarnation,
        .term = raft_term_now(n->raft),
        .again_ms = again_ms,
    };
    n->snapshots.transfer_count++;
    n->turn_wanted = true;
}

static void run_transfer(struct work *w)
{
    struct snapshot_transfer *t = w->context;
    if (t->describes) {
        t->status = snapshot_file_describe(t->disk, t->id, &t->file);
    } else {
        t->status = snapshot_file_read(t->disk, t->id, t->read_at, t->bytes, READ_BYTES, &t->size);
    }
}

static void done_transfer(struct work *w);

static void submit(struct node *n, struct snapshot_transfer *t)
{
    t->disk = n->disk;
    t->describes = t->state == TRANSFER_DESCRIBING;
    t->in_flight = true;
    t->work = (struct work){.run = run_transfer, .done = done_transfer, .context = t};
    n->loop->ops->submit(n->loop, &t->work);
}

static void offer(struct node *n, struct snapshot_transfer *t)
{
    const struct snapshot_offer o = {.term = t->term, .file = t->file};
    buf_clear(&n->scratch);
    snapshot_offer_encode(&o, &n->scratch);
    t->offered_ms = node_now(n);
    /* Without a link it is said again later. */
    peers_send_snapshot(n->peers, t->to, FRAME_SNAPSHOT_OFFER, buf_slice(&n->scratch));
}

static uint32_t count_open(const struct node *n)
{
    uint32_t count = 0;
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        count += has_file(&n->snapshots.transfers[i]);
    }
    return count;
}

/* All followers get the same file as long as the log goes on behind it. */
static struct snapshot_id choose_file(const struct node *n)
{
    const struct snapshots *s = &n->snapshots;
    raft_index pinned = node_transfers_pinned(n);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ids[i].index == pinned && pinned + 1 >= raft_first(n->raft)) {
            return s->ids[i];
        }
    }
    return s->newest;
}

static void maybe_begin(struct node *n, struct snapshot_transfer *t)
{
    bool has_one = n->snapshots.newest.index > 0 &&
                   n->snapshots.newest.index + 1 >= raft_first(n->raft); /* one may be lost */
    if (node_now(n) < t->again_ms || !has_one || count_open(n) >= LIMIT_SNAPSHOT_TRANSFERS ||
        !peers_is_up(n->peers, t->to)) {
        return;
    }
    t->id = choose_file(n);
    t->state = TRANSFER_DESCRIBING;
    submit(n, t);
}

/* --- streaming -------------------------------------------------------------------------------- */

static bool is_current(const struct node *n, const struct snapshot_transfer *t)
{
    struct raft_progress_view view;
    return node_is_leader(n) && raft_term_now(n->raft) == t->term &&
           raft_progress_of(n->raft, t->member, &view) && view.needs_snapshot;
}

static void read_on(struct node *n, struct snapshot_transfer *t)
{
    if (t->in_flight || t->heard_ms == 0 || node_now(n) < t->again_ms ||
        t->sent >= t->file.size_bytes ||
        t->sent + READ_BYTES > t->got + LIMIT_SNAPSHOT_WINDOW_BYTES) {
        return;
    }
    if (t->bytes == NULL) {
        t->bytes = mem_alloc(READ_BYTES);
    }
    t->read_at = t->sent;
    submit(n, t);
}

/* False: there is no bulk link now; it is dialled again. */
static bool send_pieces(struct node *n, const struct snapshot_transfer *t)
{
    for (size_t at = 0; at < t->size; at += SNAPSHOT_PIECE_BYTES) {
        size_t left = t->size - at;
        const struct snapshot_piece piece = {
            .tag = snapshot_tag_of(&t->file),
            .offset = t->read_at + at,
            .bytes =
                slice_of(t->bytes + at, left < SNAPSHOT_PIECE_BYTES ? left : SNAPSHOT_PIECE_BYTES),
        };
        buf_clear(&n->scratch);
        snapshot_piece_encode(&piece, &n->scratch);
        if (!peers_send_snapshot(n->peers, t->to, FRAME_SNAPSHOT_PIECE, buf_slice(&n->scratch))) {
            return false;
        }
    }
    return true;
}

static void on_described(struct node *n, struct snapshot_transfer *t)
{
    t->state = TRANSFER_OPEN;
    t->got = 0;
    t->sent = 0;
    t->heard_ms = 0;
    t->opened_ms = node_now(n);
    const struct roster_member *m = node_member_by_id(n, t->member);
    log_info("sending a snapshot to %s index=%" PRIu64 " bytes=%" PRIu64,
             m != NULL ? m->name : "unknown", t->id.index, t->file.size_bytes);
    offer(n, t);
}

static void on_read(struct node *n, struct snapshot_transfer *t)
{
    if (t->sent != t->read_at) {
        return; /* meanwhile the follower asked for another place */
    }
    if (t->size == 0) {
        t->status = STATUS_CORRUPT; /* shorter than it was */
    } else if (send_pieces(n, t)) {
        t->sent += t->size;
    } else {
        t->again_ms = node_now(n) + OFFER_AGAIN_MS;
    }
}

static void done_transfer(struct work *w)
{
    struct snapshot_transfer *t = w->context;
    struct node *n = t->node;
    t->in_flight = false;
    if (n->dead) {
        return;
    }
    if (t->state == TRANSFER_NONE) {
        release(t);
        return;
    }
    if (t->status == STATUS_OK && t->state == TRANSFER_DESCRIBING) {
        on_described(n, t);
    } else if (t->status == STATUS_OK) {
        on_read(n, t);
    }
    if (t->status != STATUS_OK) {
        log_warn("the snapshot of index=%" PRIu64 " could not be read: %s", t->id.index,
                 status_text(t->status));
        node_scrub_suspect(n);
        end(n, t, false);
    }
}

/* --- what the follower says ------------------------------------------------------------------- */

static struct snapshot_transfer *find_open(struct node *n, struct uuid from,
                                           struct snapshot_tag tag)
{
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        struct snapshot_transfer *t = &n->snapshots.transfers[i];
        if (t->state == TRANSFER_OPEN && uuid_equal(t->to, from) &&
            snapshot_tag_equal(snapshot_tag_of(&t->file), tag)) {
            return t;
        }
    }
    return NULL;
}

void node_transfer_on_want(struct node *n, struct uuid from, const struct snapshot_want *want)
{
    struct snapshot_transfer *t = find_open(n, from, want->tag);
    if (t == NULL || want->offset > t->file.size_bytes) {
        return;
    }
    t->heard_ms = node_now(n);
    switch (want->answer) {
    case SNAPSHOT_FROM:
        if (want->offset !=
            t->sent) { /* else nothing is lost, and what it has not written counts */
            t->got = want->offset;
            t->sent = want->offset;
        }
        break;
    case SNAPSHOT_GOT:
        t->got = want->offset > t->got && want->offset <= t->sent ? want->offset : t->got;
        break;
    case SNAPSHOT_HELD:
        t->got = t->file.size_bytes;
        t->sent = t->got;
        break;
    case SNAPSHOT_DONE:
        n->snapshots.sent++;
        end(n, t, true);
        return;
    case SNAPSHOT_REFUSED:
        if (t->sent == t->file.size_bytes) {
            node_scrub_suspect(n); /* it had all of it, and did not like it */
        }
        end(n, t, false);
        return;
    }
    read_on(n, t);
}

/* --- the turn --------------------------------------------------------------------------------- */

static void look_at(struct node *n, struct snapshot_transfer *t)
{
    if (!is_current(n, t)) {
        forget(t); /* the core wants it no more (rule S7) */
        return;
    }
    if (t->state == TRANSFER_WAITING) {
        maybe_begin(n, t);
        return;
    }
    if (t->state != TRANSFER_OPEN) {
        return;
    }
    uint64_t now_ms = node_now(n);
    uint64_t heard_ms = t->heard_ms > t->opened_ms ? t->heard_ms : t->opened_ms;
    if (!peers_is_up(n->peers, t->to) || now_ms - heard_ms > SILENCE_MS) {
        end(n, t, false); /* what has arrived stays there, and the next try goes on behind it */
        return;
    }
    if (now_ms - heard_ms >= OFFER_AGAIN_MS && now_ms - t->offered_ms >= OFFER_AGAIN_MS) {
        offer(n, t);
    }
    read_on(n, t);
}

void node_transfers_on_turn(struct node *n)
{
    for (size_t i = 0; i < TRANSFERS_MAX && n->snapshots.transfer_count > 0; i++) {
        if (n->snapshots.transfers[i].state != TRANSFER_NONE) {
            look_at(n, &n->snapshots.transfers[i]);
        }
    }
}

void node_transfers_end_old(struct node *n, raft_index index)
{
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        struct snapshot_transfer *t = &n->snapshots.transfers[i];
        if (t->state > TRANSFER_WAITING && t->id.index <= index) {
            end(n, t, false);
        }
    }
}

void node_transfers_destroy(struct node *n)
{
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        release(&n->snapshots.transfers[i]);
    }
}
