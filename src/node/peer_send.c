/* From a message to frames on a connection, in the order of rule O3, within the bounds of rule O1.
 *  */
#include "base/check.h"
#include "node/peers_internal.h"

#include <string.h>

static uint64_t now_ms(const struct peers *p)
{
    return p->loop->ops->now_ms(p->loop);
}

static struct link *lane_link(const struct peer *peer, enum link_lane lane)
{
    return lane == LANE_BULK ? peer->bulk : peer->sending;
}

void peer_flush(struct peer *peer, enum link_lane lane)
{
    struct link *l = lane_link(peer, lane);
    struct peer_queue *q = &peer->queues[lane];
    struct frame f;
    while (l != NULL && peer_queue_next(q, &f) && link_unsent(l) < LIMIT_PEER_CONN_BYTES) {
        link_send(l, &f);
        peer_queue_pop(q, &f);
    }
}

void peers_on_drain(struct link *l)
{
    if (l->peer != NULL && lane_link(l->peer, l->lane) == l) {
        peer_flush(l->peer, l->lane);
    }
}

/* Told in a turn of its own: the caller of peers_send may be in the middle of a list that the
 * answer would change. */
static void note_dropped(struct peers *p, struct uuid to)
{
    p->counters.dropped_messages++;
    for (uint32_t i = 0; i < p->dropped_count; i++) {
        if (uuid_equal(p->dropped[i], to)) {
            return;
        }
    }
    if (p->dropped_count < LIMIT_PEERS_KNOWN) {
        p->dropped[p->dropped_count++] = to;
    }
    p->loop->ops->timer_start(p->loop, &p->later, now_ms(p));
}

void peers_on_later(struct timer *t)
{
    struct peers *p = t->context;
    uint32_t count = p->dropped_count;
    struct uuid dropped[LIMIT_PEERS_KNOWN];
    memcpy(dropped, p->dropped, sizeof(dropped));
    p->dropped_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        p->events->on_dropped(p->context, dropped[i]);
    }
}

/* Straight to the connection when nothing waits before it. */
static bool send_on(struct peer *peer, enum link_lane lane, const struct outgoing *m)
{
    struct peer_queue *q = &peer->queues[lane];
    struct link *l = lane_link(peer, lane);
    if (l != NULL && m->message.size <= FRAME_PAYLOAD_MAX && peer_queue_bytes(q) == 0 &&
        link_unsent(l) < LIMIT_PEER_CONN_BYTES) {
        link_send(l, &(struct frame){.type = m->type,
                                     .flags = FRAME_FIRST | FRAME_LAST,
                                     .payload = m->message});
        return true;
    }
    if (peer_queue_push(q, m->type, m->is_urgent, m->message)) {
        peer_flush(peer, lane);
        return true;
    }
    return false;
}

bool peer_send_now(struct peer *peer, const struct outgoing *m)
{
    if (m->type == FRAME_SNAPSHOT_PIECE && peer->bulk == NULL) {
        return false;
    }
    enum link_lane lane = m->is_bulk && peer->bulk != NULL ? LANE_BULK : LANE_RAFT;
    bool is_taken = send_on(peer, lane, m);
    if (!is_taken && (m->type == FRAME_RAFT || m->type == FRAME_NOTE)) {
        peer->unsent++;
        note_dropped(peer->peers, peer->hello.incarnation);
    }
    return is_taken;
}

static bool send_to(struct peer *peer, const struct outgoing *m)
{
    return (peer->peers->faults != NULL && peer_faults_take(peer, m)) || peer_send_now(peer, m);
}

static void forget_large_scratch(struct peers *p)
{
    if (p->scratch.capacity > 4 * LIMIT_PEER_CONN_BYTES) {
        buf_deinit(&p->scratch);
    }
}

void peers_send(struct peers *p, struct uuid to, const struct raft_message *m)
{
    struct peer *peer = peers_find(p, to);
    if (peer == NULL || !peer->announced) {
        note_dropped(p, to);
        return;
    }
    buf_clear(&p->scratch);
    wire_encode_message(m, &p->scratch);
    (void)send_to(peer, &(struct outgoing){.type = FRAME_RAFT,
                                           .is_urgent = m->type != RAFT_MSG_APPEND,
                                           .is_bulk = m->bulk,
                                           .message = buf_slice(&p->scratch)});
    forget_large_scratch(p);
}

void peers_send_note(struct peers *p, struct uuid to, enum peer_note kind, struct slice body)
{
    struct peer *peer = peers_find(p, to);
    CHECK_CMP(body.size, <, FRAME_PAYLOAD_MAX);
    if (peer == NULL || (peer->sending == NULL && !peer->announced)) {
        return;
    }
    buf_clear(&p->scratch);
    buf_append_byte(&p->scratch, (uint8_t)kind);
    buf_append_slice(&p->scratch, body);
    (void)send_to(peer, &(struct outgoing){.type = FRAME_NOTE,
                                           .is_urgent = true,
                                           .message = buf_slice(&p->scratch)});
}

bool peers_send_long_note(struct peers *p, struct uuid to, enum peer_note kind, struct slice body)
{
    struct peer *peer = peers_find(p, to);
    if (peer == NULL || !peer->announced || peer->sending == NULL) {
        return false;
    }
    buf_clear(&p->scratch);
    buf_append_byte(&p->scratch, (uint8_t)kind);
    buf_append_slice(&p->scratch, body);
    bool taken =
        send_to(peer, &(struct outgoing){.type = FRAME_NOTE, .message = buf_slice(&p->scratch)});
    forget_large_scratch(p);
    return taken;
}

bool peers_send_snapshot(struct peers *p, struct uuid to, uint8_t type, struct slice body)
{
    struct peer *peer = peers_find(p, to);
    CHECK_CMP(body.size, <=, FRAME_PAYLOAD_MAX);
    bool is_piece = type == FRAME_SNAPSHOT_PIECE;
    if (peer == NULL || !peer->announced || (is_piece && peer->bulk == NULL)) {
        return false;
    }
    return send_to(
        peer,
        &(struct outgoing){.type = type, .is_urgent = !is_piece, .is_bulk = true, .message = body});
}
