#include "net/client_memory.h"

#include "base/limits.h"
#include "base/log.h"

#include <inttypes.h>

#define LOG_PAUSE_MS 5000

/* What all heavy ones keep, and how many they are; those that keep little any more leave. */
static uint64_t count_all(struct client_memory *m, uint64_t *count)
{
    uint64_t total = 0;
    struct list *link = m->heavy.next;
    *count = 0;
    while (link != &m->heavy) {
        struct client_share *share = CONTAINER_OF(link, struct client_share, link);
        link = link->next;
        share->bytes = share->count(share);
        if (share->bytes < LIMIT_CLIENT_SMALL_BYTES) {
            list_remove(&share->link);
        } else {
            total += share->bytes;
            ++*count;
        }
    }
    return total;
}

/* Those that keep no less than the mean, the longest heavy first. How much is left. */
static uint64_t drop_largest(struct client_memory *m, uint64_t total, uint64_t *count,
                             uint64_t wanted)
{
    uint64_t mean = total / *count;
    struct list *link = m->heavy.next;
    while (link != &m->heavy && total > wanted) {
        struct client_share *share = CONTAINER_OF(link, struct client_share, link);
        link = link->next;
        if (share->bytes >= mean) {
            total -= share->bytes;
            --*count;
            m->dropped++;
            list_remove(&share->link);
            share->drop(share);
        }
    }
    return total;
}

static void on_look(struct timer *t)
{
    struct client_memory *m = t->context;
    uint64_t count;
    m->grown = 0;
    uint64_t total = count_all(m, &count);
    if (total <= m->bytes_max) {
        return;
    }
    uint64_t before = m->dropped;
    uint64_t kept = total;
    while (kept > m->bytes_max / 4 * 3 && count > 0) {
        kept = drop_largest(m, kept, &count, m->bytes_max / 4 * 3);
    }
    uint64_t now = m->loop->ops->now_ms(m->loop);
    if (m->logged_ms == 0 || now - m->logged_ms >= LOG_PAUSE_MS) {
        m->logged_ms = now;
        log_warn("clients make this member keep more than --max-client-bytes: the largest "
                 "connections are reset bytes=%" PRIu64 " reset=%" PRIu64,
                 total, m->dropped - before);
    }
}

void client_memory_init(struct client_memory *m, struct loop *loop, uint64_t bytes_max)
{
    *m = (struct client_memory){.loop = loop, .bytes_max = bytes_max};
    list_init(&m->heavy);
    m->look = (struct timer){.fire = on_look, .context = m};
}

void client_memory_deinit(struct client_memory *m)
{
    m->loop->ops->timer_stop(m->loop, &m->look);
}

void client_share_begin(struct client_share *share, size_t (*count)(const struct client_share *),
                        void (*drop)(struct client_share *))
{
    *share = (struct client_share){.count = count, .drop = drop};
    list_init(&share->link);
}

void client_share_end(struct client_share *share)
{
    list_remove(&share->link);
}

void client_share_grew(struct client_memory *m, struct client_share *share, uint64_t bytes)
{
    if (m == NULL) {
        return;
    }
    if (list_is_empty(&share->link)) {
        list_push_back(&m->heavy, &share->link);
    }
    m->grown += bytes;
    uint64_t now = m->loop->ops->now_ms(m->loop);
    uint64_t due = now + (client_memory_is_pressed(m) ? 0 : LIMIT_CLIENT_LOOK_MS);
    if (m->look.slot == 0 || m->look.at_ms > due) {
        m->loop->ops->timer_start(m->loop, &m->look, due);
    }
}
