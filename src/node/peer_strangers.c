/* node/peer_strangers.c - connections of whom nothing is known yet, and what is told of those that
 * turn out to be nobody's.
 *
 * Whoever reaches the port may begin a link, and needs no secret for that. So that nobody keeps a
 * member outside by holding all the places there are, a newcomer always gets one: that of the
 * stranger who has been there the longest, or of his own host, if that has many. A member is up
 * within a round trip or two. */
#include "node/peers_internal.h"

#include "base/log.h"

#include <string.h>

/* Strangers that try again and again are counted always and logged this often. */
#define WARN_PAUSE_MS 5000

bool peers_may_warn(const struct peers *p, uint64_t *warned_ms, uint64_t pause_ms)
{
    uint64_t now = p->loop->ops->now_ms(p->loop);
    bool may = *warned_ms == 0 || now - *warned_ms >= pause_ms;
    *warned_ms = may ? now : *warned_ms;
    return may;
}

void peers_count_end(struct peers *p, const struct link *l, enum link_end why)
{
    switch (why) {
    case LINK_BAD_FRAME:
        p->counters.bad_frames++;
        break;
    case LINK_BAD_SECRET:
    case LINK_SECRET_HERE:
    case LINK_SECRET_THERE:
        p->counters.bad_secrets++;
        break;
    case LINK_BAD_VERSION:
        p->counters.bad_versions++;
        break;
    case LINK_SILENT:
    case LINK_NOT_MEMBER:
        p->counters.strangers += !l->dialled && l->peer == NULL ? 1 : 0;
        return;
    default:
        return;
    }
    if (l->dial == NULL && peers_may_warn(p, &p->warned_ms, WARN_PAUSE_MS)) {
        log_warn("refused a link from %s: %s", l->conn->remote, link_end_text(why));
    }
}

/* The address without its port. */
static struct slice host_of(const struct conn *c)
{
    const char *colon = strrchr(c->remote, ':');
    return slice_of(c->remote, colon != NULL ? (size_t)(colon - c->remote) : strlen(c->remote));
}

/* Who goes for a newcomer from `host`; NULL: there is room. The list is in the order of arrival. */
static struct link *find_leaver(const struct peers *p, struct slice host)
{
    struct link *oldest = NULL;
    struct link *oldest_of_host = NULL;
    uint32_t count = 0;
    uint32_t count_of_host = 0;
    for (struct list *at = p->links.next; at != &p->links; at = at->next) {
        struct link *l = CONTAINER_OF(at, struct link, node);
        if (l->dialled || l->state == LINK_UP) {
            continue;
        }
        bool is_of_host = slice_equal(host_of(l->conn), host);
        oldest = oldest == NULL ? l : oldest;
        oldest_of_host = oldest_of_host == NULL && is_of_host ? l : oldest_of_host;
        count++;
        count_of_host += is_of_host ? 1 : 0;
    }
    if (count < LIMIT_PEER_CONNECTIONS) {
        return NULL;
    }
    return count_of_host > LIMIT_PEER_CONNECTIONS_HOST ? oldest_of_host : oldest;
}

void peers_accept(struct peers *p, struct conn *c, struct slice rest)
{
    struct link *leaver = find_leaver(p, host_of(c));
    if (leaver != NULL) {
        p->counters.strangers++;
        if (peers_may_warn(p, &p->warned_ms, WARN_PAUSE_MS)) {
            log_warn("many connections at /peer are of no member: the oldest is reset remote=%s",
                     leaver->conn->remote);
        }
        list_remove(&leaver->node);
        link_reset(leaver);
    }
    struct link_setup setup = peers_link_setup(p);
    struct link *l = link_accept(&setup, c);
    list_push_back(&p->links, &l->node);
    if (p->is_closed || !p->has_hello) {
        peers_drop_link(l, 0);
        return;
    }
    link_feed(l, rest);
}
