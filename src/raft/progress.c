#include "raft/progress.h"

#include "base/check.h"
#include "base/mem.h"

static void inflight_clear(struct inflight *w)
{
    w->head = 0;
    w->count = 0;
    w->bytes = 0;
}

static bool inflight_is_full(const struct inflight *w)
{
    return w->count == w->capacity || w->bytes >= w->bytes_max;
}

static void inflight_add(struct inflight *w, const struct inflight_slot *slot)
{
    CHECK_CMP(w->count, <, w->capacity);
    w->slots[(w->head + w->count) % w->capacity] = *slot;
    w->count++;
    w->bytes += slot->bytes;
}

static void inflight_free_up_to(struct inflight *w, raft_index match)
{
    while (w->count > 0 && w->slots[w->head].last <= match) {
        CHECK_CMP(w->bytes, >=, w->slots[w->head].bytes);
        w->bytes -= w->slots[w->head].bytes;
        w->head = (w->head + 1) % w->capacity;
        w->count--;
    }
}

void progress_init(struct progress *p, struct progress_bounds bounds)
{
    CHECK_CMP(bounds.messages_max, >, 0);
    *p = (struct progress){.next = 1, .probing = true};
    p->inflight.capacity = bounds.messages_max;
    p->inflight.bytes_max = bounds.bytes_max;
    p->patience_ms = bounds.patience_ms;
    p->inflight.slots = mem_calloc(bounds.messages_max, sizeof(*p->inflight.slots));
}

void progress_deinit(struct progress *p)
{
    mem_free(p->inflight.slots);
    *p = (struct progress){0};
}

void progress_reset(struct progress *p, raft_index next, uint64_t now_ms)
{
    CHECK_CMP(next, >, 0);
    struct inflight window = p->inflight;
    uint64_t patience_ms = p->patience_ms;
    inflight_clear(&window);
    *p = (struct progress){.next = next,
                           .probing = true,
                           .acked_sent_ms = now_ms,
                           .patience_ms = patience_ms,
                           .inflight = window};
}

bool progress_is_paused(const struct progress *p)
{
    return p->probing ? p->probe_sent : inflight_is_full(&p->inflight);
}

bool progress_is_bulk(const struct progress *p)
{
    return p->bulk_last > p->match;
}

void progress_on_sent(struct progress *p, const struct inflight_slot *sent)
{
    CHECK_CMP(sent->last + 1, >=, p->next);
    if (sent->bulk) {
        p->bulk_last = sent->last;
    }
    if (p->probing) {
        p->probe_sent = true;
        p->probe = *sent;
    } else if (sent->last >= p->next) {
        inflight_add(&p->inflight, sent);
        p->next = sent->last + 1;
    }
}

bool progress_on_match(struct progress *p, raft_index match)
{
    if (match <= p->match) {
        return false;
    }
    p->match = match;
    if (p->next <= match) {
        p->next = match + 1;
    }
    inflight_free_up_to(&p->inflight, match);
    return true;
}

/* The probe's entries count as sent: most likely they have arrived and are being synced. If they
 * were lost after all, the next append is refused, or a nudge is. */
void progress_on_accept(struct progress *p)
{
    if (!p->probing || p->snapshot || p->match + 1 < p->next) {
        return;
    }
    p->probing = false;
    if (p->probe_sent && p->probe.last > p->match) {
        inflight_add(&p->inflight, &p->probe);
        p->next = p->probe.last + 1;
    }
    p->probe_sent = false;
}

static void to_probe(struct progress *p)
{
    inflight_clear(&p->inflight);
    p->bulk_last = 0;
    if (!p->probing) {
        p->probing = true;
        p->next = p->match + 1;
    }
    p->probe_sent = false;
}

/* No probe before a heartbeat that leaves from now on is answered. */
static void hold_probe(struct progress *p, uint64_t now_ms)
{
    p->probe_sent = true;
    p->probe = (struct inflight_slot){.last = p->next - 1, .sent_ms = now_ms};
}

bool progress_on_refusal(struct progress *p, const struct progress_refusal *refusal)
{
    if (refusal->probe <= p->match || p->snapshot) {
        return false;
    }
    if (!p->probing) {
        to_probe(p);
        return true;
    }
    if (refusal->probe + 1 != p->next) {
        return false;
    }
    raft_index lower = refusal->next < refusal->probe ? refusal->next : refusal->probe;
    p->next = lower > p->match ? lower : p->match + 1;
    p->probe_sent = false;
    return true;
}

void progress_on_unreachable(struct progress *p, uint64_t now_ms)
{
    p->snapshot = false;
    to_probe(p);
    hold_probe(p, now_ms);
}

void progress_on_snapshot(struct progress *p, raft_index index)
{
    CHECK(!p->snapshot);
    to_probe(p);
    p->probe_sent = true;
    p->snapshot = true;
    p->snapshot_index = index;
}

/* When it was sent, its answer is on the way, or will come with a heartbeat's. */
void progress_on_snapshot_sent(struct progress *p, bool ok, uint64_t now_ms)
{
    if (!p->snapshot) {
        return;
    }
    p->snapshot = false;
    p->probe_sent = false;
    p->snapshot_retry_ms = now_ms + p->patience_ms;
    if (ok) {
        p->next = p->snapshot_index > p->match ? p->snapshot_index + 1 : p->match + 1;
        hold_probe(p, now_ms);
    }
}

void progress_on_log_first(struct progress *p, raft_index first)
{
    if (p->snapshot && p->match + 1 >= first) {
        p->snapshot = false;
        p->probe_sent = false;
        p->next = p->match + 1;
    }
}

void progress_on_loss(struct progress *p, raft_index match)
{
    p->match = match < p->match ? match : p->match;
    if (!p->snapshot) {
        p->probing = false; /* look again from what it says */
        to_probe(p);
    }
}

bool progress_retry_probe(struct progress *p, uint64_t sent_ms)
{
    if (!p->probing || !p->probe_sent || p->snapshot || sent_ms < p->probe.sent_ms) {
        return false;
    }
    p->probe_sent = false;
    return true;
}

bool progress_take_nudge(struct progress *p, uint64_t now_ms)
{
    const struct inflight *w = &p->inflight;
    if (p->probing || w->count == 0 || now_ms < w->slots[w->head].sent_ms + p->patience_ms ||
        now_ms < p->nudged_ms + p->patience_ms) {
        return false;
    }
    p->nudged_ms = now_ms;
    return true;
}
