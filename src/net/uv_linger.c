/* net/uv_linger.c - what follows our FIN.
 *
 * When a connection is gone and its client sends on, the answer to that is a reset, and a reset may
 * overtake an answer that the client has not read yet. So the other side's FIN is waited for, but
 * only while there is something to lose: as long as bytes of ours are not acknowledged, bytes of
 * theirs still come, or something came or went just now. A client that keeps its connection for
 * later, and does not look at it, is not waited for. */
#include "net/uv_internal.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

#define LOOK_AGAIN_MS 50

/* The kernel of the other side has every byte. Where ours does not tell: probably. */
static bool is_acknowledged(const struct real_conn *c)
{
#ifdef SIOCOUTQ
    uv_os_fd_t fd;
    int unacknowledged = 0;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0 ||
        ioctl(fd, SIOCOUTQ, &unacknowledged) != 0) {
        return true;
    }
    return unacknowledged <= 1; /* our FIN counts as one */
#else
    (void)c;
    return true;
#endif
}

static void look(struct real_conn *c)
{
    struct real_loop *l = loop_of_conn(c);
    uint64_t now = l->base.ops->now_ms(&l->base);
    uint64_t next = c->linger_until_ms;
    if (now >= c->linger_until_ms) {
        uv_conn_reset(c);
        return;
    }
    if (c->stage == CONN_LINGERING && c->discarded_bytes == 0) {
        uint64_t settled_ms = c->active_ms + LIMIT_CONN_SETTLED_MS;
        if (now >= settled_ms && is_acknowledged(c)) {
            uv_conn_destroy(c, STATUS_CLOSED);
            return;
        }
        uint64_t again = now >= settled_ms ? now + LOOK_AGAIN_MS : settled_ms;
        next = again < next ? again : next;
    }
    timer_heap_start(&l->timers, &c->linger, next);
}

static void on_linger(struct timer *t)
{
    look(t->context);
}

void uv_linger_expect(struct real_conn *c)
{
    struct real_loop *l = loop_of_conn(c);
    c->linger_until_ms = l->base.ops->now_ms(&l->base) + LIMIT_CONN_LINGER_MS;
    c->linger = (struct timer){.fire = on_linger, .context = c};
    timer_heap_start(&l->timers, &c->linger, c->linger_until_ms);
}

void uv_linger_start(struct real_conn *c)
{
    uv_os_fd_t fd;
    if (c->has_ended || uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
        uv_conn_destroy(c, STATUS_CLOSED);
        return;
    }
    c->stage = CONN_LINGERING;
    timer_heap_start(&loop_of_conn(c)->timers, &c->linger, 0); /* what has come is read first */
}
