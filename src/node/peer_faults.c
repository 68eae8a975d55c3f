/* Faults that an experiment asked for (fault_set.h): whole messages are lost or late before they
 * become frames, so that the frames of a link stay without a gap. To the core it is a network that
 * loses messages, which it must bear; nobody tells it. */
#include "node/peers_internal.h"

#include "base/mem.h"

static uint64_t now_ms(const struct peers *p)
{
    return p->loop->ops->now_ms(p->loop);
}

static struct fault fault_of(const struct peer *peer)
{
    return fault_set_of(&peer->peers->faults->set, peer->hello.name);
}

bool peer_is_cut(const struct peer *peer)
{
    return peer->peers->faults != NULL && fault_of(peer).is_cut;
}

bool peer_faults_deafen(struct peer *peer)
{
    bool is_cut = peer_is_cut(peer);
    peer->peers->counters.fault_drops += is_cut ? 1 : 0;
    return is_cut;
}

/* --- what goes out ---------------------------------------------------------------------------- */

static void wait_for_head(struct peer *peer)
{
    struct peers *p = peer->peers;
    uint64_t due_ms = delay_line_due_ms(&peer->delayed);
    if (due_ms != UINT64_MAX) {
        p->loop->ops->timer_start(p->loop, &peer->delay_timer, due_ms);
    } else {
        p->loop->ops->timer_stop(p->loop, &peer->delay_timer);
    }
}

/* Behind what waits already, whatever its own delay: messages keep their order. */
static bool delay(struct peer *peer, const struct outgoing *m, uint32_t delay_ms)
{
    bool is_first = delay_line_due_ms(&peer->delayed) == UINT64_MAX;
    if (!delay_line_push(&peer->delayed, now_ms(peer->peers) + delay_ms, m)) {
        return false;
    }
    if (is_first) {
        wait_for_head(peer);
    }
    return true;
}

bool peer_faults_take(struct peer *peer, const struct outgoing *m)
{
    struct peers *p = peer->peers;
    struct fault f = fault_of(peer);
    bool is_lost = f.is_cut || (f.drop > 0 && rng_below(&p->faults->rng, FAULT_DROP_ALL) < f.drop);
    bool waits = f.delay_ms > 0 || delay_line_due_ms(&peer->delayed) != UINT64_MAX;
    if (!is_lost && !waits) {
        return false;
    }
    if (is_lost || !delay(peer, m, f.delay_ms)) {
        p->counters.fault_drops++;
    }
    return true;
}

/* Send what is due by then. */
static void release(struct peer *peer, uint64_t until_ms)
{
    bool is_cut = peer_is_cut(peer);
    while (delay_line_due_ms(&peer->delayed) <= until_ms) {
        struct outgoing m = delay_line_head(&peer->delayed);
        if (is_cut) {
            peer->peers->counters.fault_drops++;
        } else {
            (void)peer_send_now(peer, &m);
        }
        delay_line_pop(&peer->delayed);
    }
    wait_for_head(peer);
}

void peer_on_delay(struct timer *t)
{
    struct peer *peer = t->context;
    release(peer, now_ms(peer->peers));
}

void peer_faults_forget(struct peer *peer)
{
    struct peers *p = peer->peers;
    p->loop->ops->timer_stop(p->loop, &peer->delay_timer);
    delay_line_deinit(&peer->delayed);
}

/* --- beginning and end ------------------------------------------------------------------------ */

static void replace(struct peers *p, const struct fault_set *faults)
{
    if (fault_set_is_empty(faults)) {
        mem_free(p->faults);
        p->faults = NULL;
        return;
    }
    if (p->faults == NULL) {
        uint64_t seed;
        p->faults = mem_calloc(1, sizeof(*p->faults));
        p->loop->ops->random(p->loop, &seed, sizeof(seed));
        rng_init(&p->faults->rng, seed);
    }
    p->faults->set = *faults;
}

/* What waits goes by the new faults: at once, or no later than what is sent now. */
static void hurry(struct peer *peer)
{
    uint32_t delay_ms = peer->peers->faults != NULL ? fault_of(peer).delay_ms : 0;
    delay_line_hurry(&peer->delayed, now_ms(peer->peers) + delay_ms);
    release(peer, now_ms(peer->peers));
}

void peers_set_faults(struct peers *p, const struct fault_set *faults)
{
    bool was_cut[LIMIT_PEERS_KNOWN];
    for (uint32_t i = 0; i < p->peer_count; i++) {
        was_cut[i] = peer_is_cut(p->table[i]);
    }
    replace(p, faults);
    for (uint32_t i = 0; i < p->peer_count; i++) {
        struct peer *peer = p->table[i];
        hurry(peer);
        if (was_cut[i] && !peer_is_cut(peer)) {
            peers_greet_again(peer);
        }
    }
}
