/* node/peer_silence.c - links that hear nothing, and pings on those that say nothing. */
#include "node/peers_internal.h"

/* A look for silent links may be late by so much, to share a turn with something else. */
#define TICK_SLACK_MS 200

static uint64_t now_ms(const struct peers *p)
{
    return p->loop->ops->now_ms(p->loop);
}

static struct link *find_silent(const struct peers *p)
{
    for (struct list *at = p->links.next; at != &p->links; at = at->next) {
        struct link *l = CONTAINER_OF(at, struct link, node);
        if (l->state == LINK_UP && now_ms(p) - l->heard_ms > LIMIT_PEER_SILENCE_MS) {
            return l;
        }
    }
    return NULL;
}

static void set_tick(struct peers *p)
{
    p->ticked_ms = now_ms(p);
    p->loop->ops->timer_start(p->loop, &p->tick, p->ticked_ms + LIMIT_PEER_PING_MS + TICK_SLACK_MS);
}

/* One for bulk is there to be used some day, and nobody judges a member by it. */
static uint64_t ping_ms(const struct link *l)
{
    return l->lane == LANE_BULK ? (uint64_t)LIMIT_PEER_PING_MS * 2 : LIMIT_PEER_PING_MS;
}

/* A link that hears nothing for long is dead without having ended: dial anew. When this process
 * itself was stopped, its clock jumped and what came meanwhile was not read yet: no judgement then.
 *  */
static void look_for_silence(struct peers *p)
{
    uint64_t now = now_ms(p);
    bool late = now - p->ticked_ms > 2 * LIMIT_PEER_PING_MS;
    set_tick(p);
    struct link *silent;
    while (!late && (silent = find_silent(p)) != NULL) {
        link_close(silent, 0);
        peers_on_link_end(silent, LINK_SILENT);
    }
    for (struct list *at = p->links.next; at != &p->links; at = at->next) {
        struct link *l = CONTAINER_OF(at, struct link, node);
        if (l->state == LINK_UP && now - l->spoke_ms >= ping_ms(l)) {
            link_send(l, &(struct frame){.type = FRAME_PING, .flags = FRAME_FIRST | FRAME_LAST});
        }
    }
}

static void on_tick(struct timer *t)
{
    look_for_silence(t->context);
}

void peers_on_turn(struct peers *p)
{
    if (!p->is_closed && now_ms(p) - p->ticked_ms >= LIMIT_PEER_PING_MS) {
        look_for_silence(p);
    }
}

void peers_watch_silence(struct peers *p)
{
    p->tick = (struct timer){.fire = on_tick, .context = p};
    set_tick(p);
}
