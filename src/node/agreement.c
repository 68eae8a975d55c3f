/* node/agreement.c - rules P15, P15b: members that applied the same entries have the same state, or
 * one of them is not to be believed.
 *
 * At every applied index that is a multiple of DIGEST_EVERY each member tells its digest to its
 * leader, which compares those of one index. One that differs from a majority is told so, and is
 * quarantined: its log and its vote are as good as ever, its state is not. It serves no reads, does
 * not lead, and does not answer writes by what they did to its state. Without a majority of equals
 * nobody knows who is right, and a person is told. */
#include "base/codec.h"
#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>

static void keep(struct digest_ring *ring, struct state_digest d)
{
    ring->kept[ring->next] = d;
    ring->next = (ring->next + 1) % DIGESTS_KEPT;
}

static const struct kv_digest *find(const struct digest_ring *ring, raft_index index)
{
    for (uint32_t i = 0; ring != NULL && i < DIGESTS_KEPT; i++) {
        if (ring->kept[i].index == index) {
            return &ring->kept[i].digest;
        }
    }
    return NULL;
}

static bool is_equal(const struct kv_digest *a, const struct kv_digest *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

static bool is_member(const struct node *n, struct uuid incarnation)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        if (uuid_equal(n->members.members[i].incarnation, incarnation)) {
            return true;
        }
    }
    return false;
}

/* Its ring, or one of somebody who is no member any more; NULL when there is neither. */
static struct digest_ring *ring_of(struct node *n, struct uuid member)
{
    struct digest_ring *free_one = NULL;
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        struct digest_ring *ring = &n->agreement.others[i];
        if (uuid_equal(ring->member, member)) {
            return ring;
        }
        if (!is_member(n, ring->member)) {
            free_one = ring;
        }
    }
    if (free_one != NULL) {
        *free_one = (struct digest_ring){.member = member};
    }
    return free_one;
}

static const struct kv_digest *told_by(const struct node *n, struct uuid member, raft_index index)
{
    if (uuid_equal(member, n->identity.incarnation)) {
        return find(&n->agreement.own, index);
    }
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        if (uuid_equal(n->agreement.others[i].member, member)) {
            return find(&n->agreement.others[i], index);
        }
    }
    return NULL;
}

static uint32_t count_voters_with(const struct node *n, raft_index index, const struct kv_digest *d)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->members.count; i++) {
        struct uuid member = n->members.members[i].incarnation;
        const struct kv_digest *other = told_by(n, member, index);
        count +=
            other != NULL && is_equal(other, d) && membership_votes(&n->config, uuid_short(member));
    }
    return count;
}

/* What a majority of the voters has at `index`; NULL = not known, or nobody has. */
static const struct kv_digest *find_majority(const struct node *n, raft_index index, bool *differ)
{
    const struct kv_digest *majority = NULL;
    const struct kv_digest *first = NULL;
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct kv_digest *d = told_by(n, n->members.members[i].incarnation, index);
        if (d == NULL) {
            continue;
        }
        first = first != NULL ? first : d;
        *differ |= !is_equal(d, first);
        if (count_voters_with(n, index, d) >= n->config.voter_count / 2 + 1) {
            majority = d;
        }
    }
    return majority;
}

static void put_digest(struct buf *out, raft_index index, const struct kv_digest *d)
{
    buf_clear(out);
    put_u64(out, index);
    put_u64(out, d->half[0]);
    put_u64(out, d->half[1]);
}

static bool get_digest(struct slice body, struct state_digest *d)
{
    struct reader in = reader_of(body);
    d->index = get_u64(&in);
    d->digest.half[0] = get_u64(&in);
    d->digest.half[1] = get_u64(&in);
    return reader_done(&in) && d->index > 0 && d->index % DIGEST_EVERY == 0;
}

static void bar(struct node *n, bool barred)
{
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_BARRED};
    input.barred = barred;
    node_step(n, &input);
}

static void quarantine(struct node *n, raft_index index, const struct kv_digest *right)
{
    n->agreement.is_quarantined = true;
    n->agreement.odd = (struct state_digest){.index = index, .digest = *right};
    n->figures.digest_mismatches++;
    log_error("the state of this member differs from that of a majority at index=%" PRIu64
              ": it is quarantined, and serves no reads",
              index);
    bar(n, true);
    node_take_abort(n);
    node_reads_fail_all(n);
    node_writes_fail_all(n); /* their outcome would be told from this state */
    n->turn_wanted = true;
}

void node_quarantine_end(struct node *n)
{
    if (!n->agreement.is_quarantined) {
        return;
    }
    n->agreement.is_quarantined = false;
    n->agreement.own = (struct digest_ring){0}; /* of the state that went */
    bar(n, n->damage[0] != '\0');
    log_info("this member serves again");
}

/* As leader: what is known of `index`. */
static void judge(struct node *n, raft_index index)
{
    bool differ = false;
    const struct kv_digest *majority = find_majority(n, index, &differ);
    if (!differ) {
        return;
    }
    if (n->agreement.alarmed < index) {
        n->agreement.alarmed = index;
        n->figures.digest_mismatches++;
        log_error("members have different states at index=%" PRIu64 "%s", index,
                  majority == NULL ? ": it is not known yet which is right" : "");
    }
    for (uint32_t i = 0; majority != NULL && i < n->members.count; i++) {
        const struct roster_member *m = &n->members.members[i];
        const struct kv_digest *d = told_by(n, m->incarnation, index);
        if (d == NULL || is_equal(d, majority)) {
            continue;
        }
        if (!uuid_equal(m->incarnation, n->identity.incarnation)) {
            put_digest(&n->scratch, index, majority);
            peers_send_note(n->peers, m->incarnation, PEER_NOTE_ODD, buf_slice(&n->scratch));
        } else if (!n->agreement.is_quarantined) {
            quarantine(n, index, majority);
            return; /* who does not lead does not judge */
        }
    }
}

void node_digest_on_applied(struct node *n)
{
    struct state_digest d = {.index = n->applied, .digest = kv_digest(n->kv)};
    if (n->agreement.is_quarantined) {
        return; /* it is known to be wrong */
    }
    keep(&n->agreement.own, d);
    const struct roster_member *leader = node_member_by_id(n, raft_leader(n->raft));
    if (node_is_leader(n)) {
        judge(n, d.index);
    } else if (leader != NULL) {
        put_digest(&n->scratch, d.index, &d.digest);
        peers_send_note(n->peers, leader->incarnation, PEER_NOTE_DIGEST, buf_slice(&n->scratch));
    }
}

void node_digest_on_told(struct node *n, struct uuid from, struct slice body)
{
    struct state_digest d;
    if (n->raft == NULL || !node_is_leader(n) || !is_member(n, from) || !get_digest(body, &d)) {
        return;
    }
    struct digest_ring *ring = ring_of(n, from);
    if (ring != NULL && find(ring, d.index) == NULL) {
        keep(ring, d);
        judge(n, d.index);
    }
}

/* The leader speaks for a majority. What it means is looked up here: a word of long ago, from
 * before a reload, says nothing of the state now. */
void node_digest_on_odd(struct node *n, struct uuid from, struct slice body)
{
    struct state_digest d;
    if (n->raft == NULL || raft_leader(n->raft) != uuid_short(from) || !get_digest(body, &d)) {
        return;
    }
    const struct kv_digest *own = find(&n->agreement.own, d.index);
    if (own != NULL && !is_equal(own, &d.digest) && !n->agreement.is_quarantined) {
        quarantine(n, d.index, &d.digest);
    }
}
