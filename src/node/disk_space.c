/* node/disk_space.c - when the disk is full (rule P12).
 *
 *   plenty -- the next segment can't be made --> short -- little room left --> no space
 *      ^                                           |                             |
 *      +--------------- it could be made ----------+-----------------------------+
 *
 * Short of space, a member works on in the segment that it has. With no space a leader refuses
 * writes, lets deletes and compactions pass, which make room, and tries once to hand leadership to
 * a member that may have more (also when it gets it later; only once, for when all are full
 * somebody must lead, and each new term takes of the room). A batch for which there is no room at
 * all waits; nothing of it is written, so nothing is acknowledged, and the core is told at once
 * that the disk hangs (rule E8). Every second it is tried again, so that the member goes on by
 * itself when there is room. */
#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>

#define RETRY_MS 1000

static void retry_later(struct node *n)
{
    if (n->space_timer.slot == 0) {
        n->loop->ops->timer_start(n->loop, &n->space_timer, node_now(n) + RETRY_MS);
    }
}

/* Others may have room. A lone voter has nobody to ask: it would only step down, and with the log
 * full nobody could vote it back. */
static void maybe_hand_over(struct node *n)
{
    bool has_others = raft_active_config(n->raft)->voter_count > 1;
    if (n->no_space && !n->space_hand_over_tried && node_is_leader(n) && has_others) {
        n->space_hand_over_tried = true;
        node_step(n, &(struct raft_input){.now_ms = node_now(n), .kind = RAFT_INPUT_TRANSFER});
    }
}

static void enter_no_space(struct node *n)
{
    n->no_space = true;
    log_warn("no space for the log: writes are refused, deletes pass room_bytes=%" PRIu64,
             n->write.room_bytes);
    maybe_hand_over(n);
}

void node_space_on_written(struct node *n)
{
    if (n->is_short_of_space && !n->no_space && n->write.room_bytes < LIMIT_LOG_RESERVE_BYTES) {
        enter_no_space(n);
    }
}

void node_space_on_full(struct node *n)
{
    n->is_short_of_space = true;
    n->write.room_bytes = 0;
    if (!n->no_space) {
        enter_no_space(n);
    }
    node_tell_stall(n);
    retry_later(n);
}

void node_space_on_prepared(struct node *n, bool found_none)
{
    if (!found_none) {
        n->prepare_wanted = n->prepare.wants_more;
        if (!n->prepare.wants_more && n->is_short_of_space) {
            log_info("there is space for the log again");
            n->is_short_of_space = false;
            n->no_space = false;
            n->space_hand_over_tried = false;
        }
        return;
    }
    if (!n->is_short_of_space) {
        log_warn("the disk is full: the next log segment cannot be made");
    }
    n->prepare_wanted = false;
    n->is_short_of_space = true;
    node_space_on_written(n);
    retry_later(n);
}

void node_on_space_timer(struct timer *t)
{
    struct node *n = t->context;
    if (n->write.waits_for_space) {
        node_write_log_again(n);
    } else if (n->is_short_of_space) {
        n->prepare_wanted = true; /* the turn that follows begins it */
    }
    maybe_hand_over(n);
    if (n->is_short_of_space) {
        retry_later(n);
    }
}
