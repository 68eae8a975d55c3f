#include "api/dispatch.h"

#include <stdbool.h>

static bool is_listed(const struct node_load_item *items, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].member.id == id) {
            return true;
        }
    }
    return false;
}

/* Its slot, or that of somebody who is no member any more. */
static struct dispatch_slot *slot_of(struct dispatcher *d, const struct node_load_item *items,
                                     uint32_t count, uint64_t id)
{
    struct dispatch_slot *free_one = &d->slots[0];
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        if (d->slots[i].id == id) {
            return &d->slots[i];
        }
        if (!is_listed(items, count, d->slots[i].id)) {
            free_one = &d->slots[i];
        }
    }
    *free_one = (struct dispatch_slot){.id = id};
    return free_one;
}

static void forget_old(struct dispatcher *d, uint64_t now_ms)
{
    uint64_t window = now_ms / DISPATCH_WINDOW_MS;
    if (window == d->window) {
        return;
    }
    bool is_next = window == d->window + 1;
    d->window = window;
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        d->slots[i].sent[1] = is_next ? d->slots[i].sent[0] : 0;
        d->slots[i].sent[0] = 0;
    }
}

static void take_arrivals(struct dispatch_slot *slot, uint32_t connections)
{
    uint32_t more = connections > slot->connections ? connections - slot->connections : 0;
    for (int i = 1; i >= 0; i--) {
        uint32_t arrived = more < slot->sent[i] ? more : slot->sent[i];
        slot->sent[i] -= arrived;
        more -= arrived;
    }
    slot->connections = connections;
}

static bool is_saturated(const struct node_load_item *item)
{
    return item->load.loop_permille >= DISPATCH_SATURATED_PERMILLE;
}

static uint64_t clients_of(const struct dispatch_slot *slot)
{
    return (uint64_t)slot->connections + slot->sent[0] + slot->sent[1];
}

const struct node_load_item *dispatch_choose(struct dispatcher *d,
                                             const struct node_load_item *items, uint32_t count,
                                             uint64_t now_ms)
{
    const struct node_load_item *best = NULL;
    struct dispatch_slot *best_slot = NULL;
    forget_old(d, now_ms);
    for (uint32_t i = 0; i < count; i++) {
        const struct node_load_item *item = &items[i];
        struct dispatch_slot *slot = slot_of(d, items, count, item->member.id);
        take_arrivals(slot, item->load.connections);
        if (!item->serves) {
            continue;
        }
        bool is_better = best == NULL;
        if (best != NULL && is_saturated(item) != is_saturated(best)) {
            is_better = is_saturated(best);
        } else if (best != NULL && clients_of(slot) != clients_of(best_slot)) {
            is_better = clients_of(slot) < clients_of(best_slot);
        } else if (best != NULL) {
            is_better = slot->turn < best_slot->turn;
        }
        if (is_better) {
            best = item;
            best_slot = slot;
        }
    }
    if (best != NULL) {
        best_slot->sent[0]++;
        best_slot->turn = ++d->turn;
    }
    return best;
}
