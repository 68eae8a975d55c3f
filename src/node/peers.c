#include "node/peers_internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#include <sodium.h>

#include <stdio.h>
#include <string.h>

/* How long the end that did not dial the losing link waits for the other one to close it. */
#define CONTEST_MS     1000
#define BULK_PAUSE_MS  1000
/* Between two lines on hellos that were refused: they may be a flood where there is no secret. */
#define REFUSED_LOG_MS 1000

static const struct link_events link_table;

static uint64_t now_ms(const struct peers *p)
{
    return p->loop->ops->now_ms(p->loop);
}

/* --- the table of members --------------------------------------------------------------------- */

struct peer *peers_find(const struct peers *p, struct uuid incarnation)
{
    for (uint32_t i = 0; i < p->peer_count; i++) {
        if (uuid_equal(p->table[i]->hello.incarnation, incarnation)) {
            return p->table[i];
        }
    }
    return NULL;
}

bool peer_is_up(const struct peer *peer)
{
    return peer->dialled != NULL || peer->accepted != NULL;
}

static void free_peer(struct peer *peer)
{
    struct peers *p = peer->peers;
    p->loop->ops->timer_stop(p->loop, &peer->contest);
    p->loop->ops->timer_stop(p->loop, &peer->bulk_timer);
    peer_faults_forget(peer);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        peer_queue_deinit(&peer->queues[lane]);
    }
    mem_free(peer);
}

/* Make room: the one without a link that was heard the longest ago goes. One that is announced is
 * waited for (on_raft_ended), and its owner was not told yet that it is down. */
static bool evict(struct peers *p)
{
    uint32_t oldest = p->peer_count;
    for (uint32_t i = 0; i < p->peer_count; i++) {
        const struct peer *peer = p->table[i];
        bool gone = !peer_is_up(peer) && !peer->announced && peer->bulk_attempt == NULL;
        if (gone && (oldest == p->peer_count || peer->heard_ms < p->table[oldest]->heard_ms)) {
            oldest = i;
        }
    }
    if (oldest == p->peer_count) {
        return false;
    }
    free_peer(p->table[oldest]);
    p->table[oldest] = p->table[--p->peer_count];
    return true;
}

static void on_contest(struct timer *t);
static void on_bulk_timer(struct timer *t);

/* NULL: the table is full of members with links. */
static struct peer *find_or_add(struct peers *p, const struct peer_hello *hello)
{
    struct peer *peer = peers_find(p, hello->incarnation);
    if (peer != NULL || (p->peer_count == LIMIT_PEERS_KNOWN && !evict(p))) {
        return peer;
    }
    peer = mem_calloc(1, sizeof(*peer));
    peer->peers = p;
    peer->hello = *hello;
    peer->contest = (struct timer){.fire = on_contest, .context = peer};
    peer->bulk_timer = (struct timer){.fire = on_bulk_timer, .context = peer};
    peer->delay_timer = (struct timer){.fire = peer_on_delay, .context = peer};
    p->table[p->peer_count++] = peer;
    return peer;
}

/* --- links come and go ------------------------------------------------------------------------ */

struct link_setup peers_link_setup(struct peers *p)
{
    return (struct link_setup){
        .loop = p->loop,
        .secret_key = p->keyed ? p->secret_key : NULL,
        .events = &link_table,
        .context = p,
    };
}

struct link *peers_dial_link(struct peers *p, const char *url, enum link_lane lane)
{
    struct link_setup setup = peers_link_setup(p);
    struct link *l = link_dial(&setup, url, lane, ++p->dial_number);
    list_push_back(&p->links, &l->node);
    return l;
}

/* Out of the list and of whoever points to it. */
static void detach(struct link *l)
{
    struct peers *p = l->context;
    list_remove(&l->node);
    for (uint32_t i = 0; i < p->peer_count; i++) {
        struct peer *peer = p->table[i];
        struct link **slots[] = {&peer->dialled, &peer->accepted, &peer->sending, &peer->bulk,
                                 &peer->bulk_attempt};
        for (size_t k = 0; k < sizeof(slots) / sizeof(slots[0]); k++) {
            if (*slots[k] == l) {
                *slots[k] = NULL;
            }
        }
    }
}

void peers_drop_link(struct link *l, enum frame_bye why)
{
    detach(l);
    link_close(l, why);
}

/* Between the two, the link dialled by the lower incarnation is kept. */
static struct link *preferred(const struct peer *peer)
{
    if (peer->dialled == NULL || peer->accepted == NULL) {
        return peer->dialled != NULL ? peer->dialled : peer->accepted;
    }
    bool ours = uuid_compare(peer->peers->hello.incarnation, peer->hello.incarnation) < 0;
    return ours ? peer->dialled : peer->accepted;
}

static void maybe_dial_bulk(struct peer *peer)
{
    struct peers *p = peer->peers;
    bool founded = p->hello.phase == FOUNDING_FOUNDED && peer->hello.phase == FOUNDING_FOUNDED;
    if (!founded || peer->sending == NULL || !peer->sending->dialled || peer->bulk != NULL ||
        peer->bulk_attempt != NULL || peer->bulk_timer.slot != 0) {
        return;
    }
    peer->bulk_attempt = peers_dial_link(p, peer->sending->url, LANE_BULK);
}

static void on_bulk_timer(struct timer *t)
{
    maybe_dial_bulk(t->context);
}

/* Two raft links are up when both sides dialled at once. The end that dialled the losing one closes
 * it, for it alone knows that the winner is up at its side; the other end waits for that. When
 * nothing comes, the other side does not hold the winner any more (it lost it in silence, and that
 * is why it dialled): then the loser stays. So never are both closed. */
static void settle(struct peer *peer)
{
    struct peers *p = peer->peers;
    struct link *keep = preferred(peer);
    if (peer->dialled != NULL && peer->accepted != NULL) {
        if (keep == peer->accepted) {
            peers_drop_link(peer->dialled, BYE_DUPLICATE);
        } else if (peer->contest.slot == 0) {
            p->loop->ops->timer_start(p->loop, &peer->contest, now_ms(p) + CONTEST_MS);
        }
    } else {
        p->loop->ops->timer_stop(p->loop, &peer->contest);
    }
    if (peer->sending != keep) {
        peer->sending = keep;
        peer_queue_restart(&peer->queues[LANE_RAFT]);
    }
    if (keep != NULL) {
        peer_flush(peer, LANE_RAFT);
        maybe_dial_bulk(peer);
    }
}

/* No raft link is left. */
static void go_down(struct peer *peer)
{
    struct peers *p = peer->peers;
    if (peer->bulk != NULL) {
        peers_drop_link(peer->bulk, 0);
    }
    if (peer->bulk_attempt != NULL) {
        peers_drop_link(peer->bulk_attempt, 0);
    }
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        peer_queue_deinit(&peer->queues[lane]);
    }
    peer_faults_forget(peer);
    peer->sending = NULL;
    p->loop->ops->timer_stop(p->loop, &peer->contest);
    if (peer->announced) {
        peer->announced = false;
        p->events->on_down(p->context, peer->hello.incarnation);
    }
}

static void drop_raft_links(struct peer *peer, enum frame_bye why)
{
    if (peer->dialled != NULL) {
        peers_drop_link(peer->dialled, why);
    }
    if (peer->accepted != NULL) {
        peers_drop_link(peer->accepted, why);
    }
    go_down(peer);
}

void peers_report_lost(struct peer *peer)
{
    struct peers *p = peer->peers;
    log_info("%s is gone: a new connection was not answered", peer->hello.name);
    p->events->on_lost(p->context, peer->hello.incarnation);
}

/* No raft link is left, and the member did not say that it keeps another one. */
static void on_last_ended(struct peer *peer, enum link_end why)
{
    bool announced = peer->announced;
    if (announced) {
        log_info("connection with %s ended: %s", peer->hello.name, link_end_text(why));
    }
    go_down(peer);
    peer->lost_pending = announced && why != LINK_REFUSED;
    if (peer->lost_pending) {
        dial_again(peer);
    }
}

/* A raft link that was up ended by itself. */
static void on_raft_ended(struct peer *peer, enum link_end why)
{
    struct peers *p = peer->peers;
    if (peer_is_up(peer)) {
        settle(peer);
    } else if (why == LINK_DUPLICATE && peer->announced) {
        /* The other side has a better one up, and its hello on that is still on its way to us. */
        p->loop->ops->timer_start(p->loop, &peer->contest, now_ms(p) + CONTEST_MS);
    } else {
        on_last_ended(peer, why);
    }
}

static void on_contest(struct timer *t)
{
    struct peer *peer = t->context;
    if (peer->dialled != NULL && peer->accepted != NULL) {
        peers_drop_link(peer->dialled, BYE_DUPLICATE);
        settle(peer);
    } else if (!peer_is_up(peer)) {
        on_last_ended(peer, LINK_DUPLICATE);
    }
}

static struct peer *find_bulk_attempt(const struct peers *p, const struct link *l)
{
    for (uint32_t i = 0; i < p->peer_count; i++) {
        if (p->table[i]->bulk_attempt == l) {
            return p->table[i];
        }
    }
    return NULL;
}

void peers_on_link_end(struct link *l, enum link_end why)
{
    struct peers *p = l->context;
    struct peer *peer = l->peer;
    struct peer_dial *d = l->dial;
    bool was_attempt = d != NULL && d->attempt == l;
    if (l->lane == LANE_BULK && l->dialled && l->peer == NULL) {
        peer = find_bulk_attempt(p, l);
    }
    detach(l);
    peers_count_end(p, l, why);
    if (d != NULL && why != LINK_DUPLICATE && (was_attempt || why == LINK_REFUSED)) {
        dial_set_trouble(d, l, why);
    }
    if (was_attempt) {
        dial_on_failed(d, why);
        return;
    }
    if (peer != NULL && l->lane == LANE_RAFT) {
        if (why == LINK_REFUSED) {
            dial_member_slowly(peer);
        }
        on_raft_ended(peer, why);
    } else if (peer != NULL && peer_is_up(peer)) {
        peer_queue_restart(&peer->queues[LANE_BULK]);
        p->loop->ops->timer_start(p->loop, &peer->bulk_timer, now_ms(p) + BULK_PAUSE_MS);
    }
}

/* --- hellos ----------------------------------------------------------------------------------- */

static void send_hello(struct link *l)
{
    struct peers *p = l->context;
    struct peer_hello *hello = &p->hello;
    memcpy(hello->dialled, l->url, sizeof(hello->dialled));
    buf_clear(&p->scratch);
    wire_encode_hello(hello, &p->scratch);
    hello->dialled[0] = 0;
    link_send(l, &(struct frame){.type = FRAME_HELLO,
                                 .flags = FRAME_FIRST | FRAME_LAST,
                                 .payload = buf_slice(&p->scratch)});
}

static void refuse(struct link *l, const char *why)
{
    struct peers *p = l->context;
    struct peer_dial *d = l->dial;
    p->counters.refused_hellos++;
    if (peers_may_warn(p, &p->refused_ms, REFUSED_LOG_MS)) {
        log_warn("refused a link with %s: %s", l->hello.name, why);
    }
    if (d != NULL) {
        snprintf(d->trouble, sizeof(d->trouble), "%s", why);
        if (d->attempt == l) {
            d->attempt = NULL;
        }
        dial_slowly(d);
    }
    if (l->peer != NULL) {
        dial_member_slowly(l->peer);
    }
    peers_drop_link(l, BYE_REFUSED);
}

static void on_self(struct link *l)
{
    if (l->dial != NULL) {
        dial_on_self(l->dial);
    }
    peers_drop_link(l, 0);
}

static void on_bulk_hello(struct link *l)
{
    struct peers *p = l->context;
    struct peer *peer = peers_find(p, l->hello.incarnation);
    if (peer == NULL || !peer->announced || !uuid_equal(peer->hello.boot, l->hello.boot)) {
        peers_drop_link(l, 0);
        return;
    }
    if (peer->bulk_attempt == l) {
        peer->bulk_attempt = NULL;
    }
    if (peer->bulk != NULL) {
        peers_drop_link(peer->bulk, BYE_DUPLICATE);
    }
    l->peer = peer;
    peer->bulk = l;
    peer_queue_restart(&peer->queues[LANE_BULK]);
    peer_flush(peer, LANE_BULK);
}

/* While there are two links, each hello comes on both; the older one on the slower link must not
 * hide what is known already, as that link may go before the newer one comes on it, too. In one
 * life both only grow. */
static bool is_older(const struct peer_hello *h, const struct peer_hello *than)
{
    return uuid_equal(h->boot, than->boot) && (h->phase < than->phase || h->term < than->term);
}

/* Ask the owner, with the link in place so that it may answer on it. False: the link is gone. */
static bool announce(struct link *l)
{
    struct peers *p = l->context;
    struct peer *peer = l->peer;
    if (peer->announced && is_older(&l->hello, &peer->hello)) {
        return true;
    }
    peer->hello = l->hello;
    const char *url = dial_url_of(p, peer->hello.incarnation);
    snprintf(peer->hello.reached, sizeof(peer->hello.reached), "%s", url != NULL ? url : "");
    snprintf(peer->hello.local_host, sizeof(peer->hello.local_host), "%s", l->conn->local_host);
    peer->heard_ms = now_ms(p);
    peer->lost_pending = false;
    if (p->events->on_hello(p->context, &peer->hello)) {
        peer->announced = true;
        return true;
    }
    refuse(l, "another cluster, or a member that it does not know");
    if (!peer_is_up(peer)) {
        go_down(peer);
    } else {
        settle(peer);
    }
    return false;
}

/* False: it was older than the one that is there. */
static bool put_in_place(struct peer *peer, struct link *l)
{
    struct link **slot = l->dialled ? &peer->dialled : &peer->accepted;
    if (*slot != NULL) {
        /* The same side dialled twice: its later dial is the one that it wants. */
        if (l->number < (*slot)->number) {
            peers_drop_link(l, BYE_DUPLICATE);
            return false;
        }
        peers_drop_link(*slot, BYE_DUPLICATE);
    }
    *slot = l;
    l->peer = peer;
    if (peer->sending == NULL) {
        peer->sending = l;
    }
    return true;
}

static void on_raft_hello(struct link *l)
{
    struct peers *p = l->context;
    if (l->dial != NULL) {
        dial_on_answered(l->dial, l->hello.incarnation);
    }
    struct peer *peer = find_or_add(p, &l->hello);
    if (peer == NULL) {
        refuse(l, "too many members");
        return;
    }
    if ((peer_is_up(peer) || peer->announced) && !uuid_equal(peer->hello.boot, l->hello.boot)) {
        /* It was started anew; what is left of its former life only looks alive, and what waits was
         * meant for that. */
        drop_raft_links(peer, 0);
    }
    if (!put_in_place(peer, l)) {
        return;
    }
    bool was_announced = peer->announced;
    if (announce(l)) {
        if (!was_announced) {
            log_info("connected with %s", peer->hello.name);
        }
        dial_on_linked(peer);
        settle(peer);
    }
}

static void on_link_hello(struct link *l, bool first)
{
    struct peers *p = l->context;
    if (!first) {
        if (l->peer != NULL && l->lane == LANE_RAFT && !peer_is_cut(l->peer) && announce(l)) {
            maybe_dial_bulk(l->peer);
        }
        return;
    }
    if (uuid_equal(l->hello.boot, p->hello.boot)) {
        on_self(l);
    } else if (uuid_equal(l->hello.incarnation, p->hello.incarnation)) {
        refuse(l, "another process uses this member's identity (a copied data directory?)");
    } else if (l->lane == LANE_BULK) {
        on_bulk_hello(l);
    } else {
        on_raft_hello(l);
    }
}

void peers_set_hello(struct peers *p, const struct peer_hello *hello)
{
    struct buf before = {0};
    if (p->has_hello) {
        wire_encode_hello(&p->hello, &before);
    }
    p->hello = *hello;
    p->hello.dialled[0] = 0;
    buf_clear(&p->scratch);
    wire_encode_hello(&p->hello, &p->scratch);
    bool changed = p->has_hello && !slice_equal(buf_slice(&before), buf_slice(&p->scratch));
    buf_deinit(&before);
    p->has_hello = true;
    for (struct list *at = p->links.next; changed && at != &p->links; at = at->next) {
        struct link *l = CONTAINER_OF(at, struct link, node);
        bool is_cut = l->peer != NULL && peer_is_cut(l->peer);
        if ((l->state == LINK_GREETING || l->state == LINK_UP) && !is_cut) {
            send_hello(l);
        }
    }
    for (uint32_t i = 0; changed && i < p->peer_count; i++) {
        maybe_dial_bulk(p->table[i]); /* from now on this member may have one */
    }
    dial_all(p);
}

void peers_greet_again(struct peer *peer)
{
    if (peer->sending != NULL) {
        send_hello(peer->sending);
        if (announce(peer->sending)) {
            maybe_dial_bulk(peer);
        }
    }
}

/* --- what arrives ----------------------------------------------------------------------------- */

static void cut_bad(struct link *l)
{
    struct peers *p = l->context;
    struct peer *peer = l->peer;
    p->counters.bad_frames++;
    log_warn("cut the link with %s: damaged or misdirected message", peer->hello.name);
    enum link_lane lane = l->lane;
    peers_drop_link(l, 0);
    if (lane == LANE_RAFT) {
        on_raft_ended(peer, LINK_BAD_FRAME);
    }
}

static void on_raft_message(struct link *l, struct slice bytes)
{
    struct peers *p = l->context;
    struct uuid from = l->peer->hello.incarnation;
    const struct raft_message *m = &p->decoder.message;
    /* Rule E11: from the member that this link is with, and for this one. */
    if (wire_decode_message(&p->decoder, bytes) != STATUS_OK || m->from != uuid_short(from) ||
        m->to != uuid_short(p->hello.incarnation)) {
        cut_bad(l);
        return;
    }
    p->events->on_message(p->context, from, m);
}

static void on_link_message(struct link *l, uint8_t type, struct slice message)
{
    struct peers *p = l->context;
    struct peer *peer = l->peer;
    if (peer == NULL || peer_faults_deafen(peer)) {
        return;
    }
    peer->heard_ms = now_ms(p);
    peer->unsent = 0;
    if (type == FRAME_RAFT) {
        on_raft_message(l, message);
        return;
    }
    if (type != FRAME_NOTE) {
        struct uuid from = peer->hello.incarnation;
        if (p->events->on_snapshot != NULL &&
            !p->events->on_snapshot(p->context, from, type, message)) {
            cut_bad(l);
        }
        return;
    }
    if (message.size == 0) {
        cut_bad(l);
        return;
    }
    p->events->on_note(p->context, peer->hello.incarnation, (enum peer_note)message.data[0],
                       slice_of(message.data + 1, message.size - 1));
}

/* --- the outside ------------------------------------------------------------------------------ */

static const struct link_events link_table = {
    .on_greeting = send_hello,
    .on_hello = on_link_hello,
    .on_message = on_link_message,
    .on_drain = peers_on_drain,
    .on_end = peers_on_link_end,
};

struct peers *peers_create(const struct peers_options *options)
{
    CHECK(sodium_init() >= 0);
    struct peers *p = mem_calloc(1, sizeof(*p));
    p->loop = options->loop;
    p->events = options->events;
    p->context = options->context;
    p->keyed = options->secret.size > 0;
    if (p->keyed) {
        frame_secret_key(options->secret, p->secret_key);
    }
    list_init(&p->links);
    p->later = (struct timer){.fire = peers_on_later, .context = p};
    peers_watch_silence(p);
    return p;
}

void peers_close(struct peers *p)
{
    p->is_closed = true;
    for (uint32_t i = 0; i < p->peer_count; i++) {
        p->loop->ops->timer_stop(p->loop, &p->table[i]->contest);
        p->loop->ops->timer_stop(p->loop, &p->table[i]->bulk_timer);
        peer_faults_forget(p->table[i]);
    }
    p->loop->ops->timer_stop(p->loop, &p->tick);
    p->loop->ops->timer_stop(p->loop, &p->later);
    while (p->dial_count > 0) {
        dial_destroy(p->dials[p->dial_count - 1]);
    }
    while (!list_is_empty(&p->links)) {
        peers_drop_link(CONTAINER_OF(p->links.next, struct link, node), 0);
    }
}

void peers_destroy(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    peers_close(p);
    for (uint32_t i = 0; i < p->peer_count; i++) {
        free_peer(p->table[i]);
    }
    mem_free(p->faults);
    buf_deinit(&p->scratch);
    wire_decoder_deinit(&p->decoder);
    sodium_memzero(p->secret_key, sizeof(p->secret_key));
    mem_free(p);
}

const struct peer_hello *peers_hello(const struct peers *p, struct uuid id)
{
    const struct peer *peer = peers_find(p, id);
    return peer != NULL && peer->announced && peer_is_up(peer) ? &peer->hello : NULL;
}

bool peers_is_up(const struct peers *p, struct uuid id)
{
    return peers_hello(p, id) != NULL;
}

uint64_t peers_unsent_bytes(const struct peers *p)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->peer_count; i++) {
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            bytes += peer_queue_bytes(&p->table[i]->queues[lane]);
        }
    }
    return bytes;
}

bool peers_find_id(const struct peers *p, node_id id, struct uuid *incarnation)
{
    for (uint32_t i = 0; i < p->peer_count; i++) {
        const struct peer *peer = p->table[i];
        if (peer->announced && uuid_short(peer->hello.incarnation) == id) {
            *incarnation = peer->hello.incarnation;
            return true;
        }
    }
    return false;
}

void peers_cut(struct peers *p, struct uuid id)
{
    struct peer *peer = peers_find(p, id);
    if (peer != NULL && peer_is_up(peer)) {
        drop_raft_links(peer, BYE_REFUSED);
    }
}

uint64_t peers_silence_ms(const struct peers *p, struct uuid id)
{
    const struct peer *peer = peers_find(p, id);
    if (peer == NULL) {
        return UINT64_MAX;
    }
    uint64_t heard_ms = peer->heard_ms;
    const struct link *links[] = {peer->dialled, peer->accepted, peer->bulk};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        /* Pings still come over a link that is cut by a fault. */
        if (links[i] != NULL && links[i]->heard_ms > heard_ms && !peer_is_cut(peer)) {
            heard_ms = links[i]->heard_ms;
        }
    }
    return now_ms(p) - heard_ms;
}

static void view_peer(const struct peer *peer, struct peer_view *v)
{
    v->hello = peer->hello;
    v->up = peer->announced && peer_is_up(peer);
}

uint32_t peers_view(const struct peers *p, struct peer_view *views, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->dial_count && count < max; i++) {
        const struct peer_dial *d = p->dials[i];
        if (d->is_self) {
            continue;
        }
        struct peer_view *v = &views[count++];
        *v = (struct peer_view){0};
        snprintf(v->url, sizeof(v->url), "%s", d->url);
        const struct peer *peer = peers_find(p, d->incarnation);
        if (peer != NULL) {
            view_peer(peer, v);
        }
        if (!v->up) {
            snprintf(v->trouble, sizeof(v->trouble), "%s", d->trouble);
        }
    }
    for (uint32_t i = 0; i < p->peer_count && count < max; i++) {
        const struct peer *peer = p->table[i];
        if (peer_is_up(peer) && dial_url_of(p, peer->hello.incarnation) == NULL) {
            struct peer_view *v = &views[count++];
            *v = (struct peer_view){0};
            snprintf(v->url, sizeof(v->url), "%s", peer->hello.advertise);
            view_peer(peer, v);
        }
    }
    return count;
}

struct peers_counters peers_counters(const struct peers *p)
{
    return p->counters;
}
