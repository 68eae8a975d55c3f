/* node/scrub.c - rule P13: what nobody asks for is read again, so that rot is found while others
 * still have what it destroys.
 *
 *   rests -> the closed segments of the log -> the state in memory -> rests
 *
 * A step every STEP_MS, of at most a MiB of the log, and none while a write is under way; but none
 * is put off for longer than PUT_OFF_MS, so that a round ends under any load: after an hour for
 * each 60 MiB of log at the worst, which rule S2 bounds, and usually in two minutes. Then it
 * rests.
 *
 * The state is summed again from the bytes in memory. That takes many steps, and says something only
 * when nothing was applied meanwhile; else it is left to the next round (and to agreement.c). */
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#define REST_MS        (10u * 60u * 1000u)
#define STEP_MS        2000
#define PUT_OFF_MS     60000
#define RETRY_MS       20
#define MEMORY_STEP_MS 20
/* About a millisecond. */
#define MEMORY_BUDGET  2000

static void begin_phase(struct node *n, enum scrub_phase phase, uint64_t pause_ms)
{
    struct scrub *s = &n->scrub;
    s->phase = phase;
    s->due_ms = node_now(n) + pause_ms;
    n->loop->ops->timer_start(n->loop, &s->timer, s->due_ms);
}

static void rest(struct node *n)
{
    kv_digest_scan_deinit(&n->scrub.scan);
    n->figures.scrub_rounds++;
    begin_phase(n, SCRUB_RESTS, REST_MS);
}

static void run_scrub(struct work *w)
{
    struct scrub *s = w->context;
    s->status = wal_scrub(s->wal, &s->done, &s->detail);
}

static void done_scrub(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, scrub.work);
    struct scrub *s = &n->scrub;
    s->in_flight = false;
    if (n->dead) {
        return;
    }
    if (s->status == STATUS_CORRUPT) {
        node_on_damage(n, s->detail != NULL ? s->detail : "the log");
    } else if (s->status != STATUS_OK) {
        node_fail(n, 1, "cannot read the log: %s", status_text(s->status));
    } else if (s->done) {
        begin_phase(n, SCRUB_MEMORY, MEMORY_STEP_MS);
    } else {
        begin_phase(n, SCRUB_LOG, STEP_MS);
    }
    mem_free(s->detail);
    s->detail = NULL;
}

static void step_log(struct node *n)
{
    struct scrub *s = &n->scrub;
    if (n->write.in_flight && node_now(n) < s->due_ms + PUT_OFF_MS) {
        n->loop->ops->timer_start(n->loop, &s->timer, node_now(n) + RETRY_MS);
        return;
    }
    s->wal = n->wal;
    s->in_flight = true;
    s->work = (struct work){.run = run_scrub, .done = done_scrub, .context = s};
    n->loop->ops->submit(n->loop, &s->work);
}

static void step_memory(struct node *n)
{
    struct scrub *s = &n->scrub;
    struct kv_digest anew;
    if (!kv_digest_step(n->kv, &s->scan, MEMORY_BUDGET, &anew)) {
        begin_phase(n, SCRUB_MEMORY, MEMORY_STEP_MS);
        return;
    }
    struct kv_digest kept = kv_digest(n->kv);
    if (!s->scan.stale && (anew.half[0] != kept.half[0] || anew.half[1] != kept.half[1])) {
        node_on_damage(n, "the state in memory is not what was written to it");
    }
    rest(n);
}

static void on_timer(struct timer *t)
{
    struct node *n = t->context;
    if (n->dead || n->stopped || n->raft == NULL || n->scrub.in_flight) {
        return;
    }
    if (n->scrub.phase == SCRUB_MEMORY) {
        step_memory(n);
    } else {
        n->scrub.phase = SCRUB_LOG;
        step_log(n);
    }
}

void node_scrub_start(struct node *n)
{
    n->scrub.timer = (struct timer){.fire = on_timer, .context = n};
    begin_phase(n, SCRUB_RESTS, REST_MS);
}

void node_scrub_destroy(struct node *n)
{
    n->loop->ops->timer_stop(n->loop, &n->scrub.timer);
    kv_digest_scan_deinit(&n->scrub.scan);
    mem_free(n->scrub.detail);
}
