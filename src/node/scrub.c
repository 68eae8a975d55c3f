/* node/scrub.c - rule P13: what nobody asks for is read again, so that rot is found while others
 * still have what it destroys.
 *
 *   rests -> the closed segments of the log -> the snapshots -> the state in memory -> rests
 *
 * A step every STEP_MS, of at most a MiB of the log or of a snapshot's state, and none while a
 * write is under way; but none is put off for longer than PUT_OFF_MS, so that a round ends under
 * any load: after an hour for each 60 MiB at the worst, and usually in two minutes. Rule S2 bounds
 * the log. Then it rests.
 *
 * A damaged snapshot costs nothing as long as this process runs, which has the state in memory: it
 * is set aside, and another one is taken (node_snapshot_lost). The newest is read first. Followers
 * that find one damaged do not wait for the next round (node_scrub_suspect).
 *
 * The state is summed again from the bytes in memory. That takes many steps, and says something
 * only when nothing was applied meanwhile; else it is left to the next round (and to
 * agreement.c). */
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#define REST_MS        (10u * 60u * 1000u)
#define STEP_MS        2000
#define PUT_OFF_MS     60000
#define RETRY_MS       20
#define MEMORY_STEP_MS 20
#define TRUST_MS       10000
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

static void begin_snapshots(struct node *n, uint64_t pause_ms)
{
    n->scrub.snapshot = (struct snapshot_id){0};
    begin_phase(n, SCRUB_SNAPSHOTS, pause_ms);
}

static void forget_detail(struct scrub *s)
{
    mem_free(s->detail);
    s->detail = NULL;
}

/* A write goes first, but not for ever. */
static bool is_put_off(struct node *n)
{
    struct scrub *s = &n->scrub;
    bool waits = !s->is_suspicion && n->write.in_flight && node_now(n) < s->due_ms + PUT_OFF_MS;
    if (waits) {
        n->loop->ops->timer_start(n->loop, &s->timer, node_now(n) + RETRY_MS);
    }
    return waits;
}

static void submit(struct node *n, void (*run)(struct work *), void (*done)(struct work *))
{
    struct scrub *s = &n->scrub;
    s->in_flight = true;
    s->work = (struct work){.run = run, .done = done, .context = s};
    n->loop->ops->submit(n->loop, &s->work);
}

/* --- the log ---------------------------------------------------------------------------------- */

static void run_log(struct work *w)
{
    struct scrub *s = w->context;
    s->status = wal_scrub(s->wal, &s->done, &s->detail);
}

static void done_log(struct work *w)
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
        begin_snapshots(n, STEP_MS);
    } else {
        begin_phase(n, SCRUB_LOG, STEP_MS);
    }
    forget_detail(s);
}

static void step_log(struct node *n)
{
    if (!is_put_off(n)) {
        n->scrub.wal = n->wal;
        submit(n, run_log, done_log);
    }
}

/* --- the snapshots ---------------------------------------------------------------------------- */

static void close_snapshot(struct scrub *s)
{
    snapshot_reader_destroy(s->reader);
    s->reader = NULL;
}

static void run_snapshot(struct work *w)
{
    struct scrub *s = w->context;
    s->done = false;
    s->status = STATUS_OK;
    if (s->reader == NULL) {
        s->status = snapshot_reader_open(s->disk, s->cluster, s->snapshot, &s->reader, &s->detail);
    }
    if (s->status == STATUS_OK) {
        s->status = snapshot_reader_check(s->reader, &s->done, &s->detail);
    }
    if (s->status != STATUS_OK || s->done) {
        close_snapshot(s);
    }
    if (s->status == STATUS_CORRUPT &&
        snapshot_set_aside(s->disk, s->snapshot.index) == STATUS_IO) {
        s->status = STATUS_IO;
    }
}

static void done_snapshot(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, scrub.work);
    struct scrub *s = &n->scrub;
    s->in_flight = false;
    if (n->dead) {
        return;
    }
    if (s->status == STATUS_CORRUPT || s->status == STATUS_NOT_FOUND) {
        s->has_found = true;
        node_snapshot_lost(n, s->snapshot, s->detail != NULL ? s->detail : "the file is missing");
    } else if (s->status != STATUS_OK) {
        node_fail(n, 1, "cannot read a snapshot: %s", status_text(s->status));
    }
    begin_phase(n, SCRUB_SNAPSHOTS, s->is_suspicion ? MEMORY_STEP_MS : STEP_MS);
    forget_detail(s);
}

/* The one before that which was read last; false when there is none. */
static bool choose_snapshot(struct node *n)
{
    const struct snapshots *known = &n->snapshots;
    struct scrub *s = &n->scrub;
    for (uint32_t i = known->count; i > 0; i--) {
        if (s->snapshot.index == 0 || known->ids[i - 1].index < s->snapshot.index) {
            s->snapshot = known->ids[i - 1];
            return true;
        }
    }
    return false;
}

/* Who was suspected without reason is trusted for a while, or suspicions would be all there is;
 * but rot that was found may come again at once, and followers wait for what it destroyed. */
static void end_suspicion(struct node *n)
{
    struct scrub *s = &n->scrub;
    s->is_suspicion = false;
    s->trusted_until_ms = s->has_found ? 0 : node_now(n) + TRUST_MS;
}

static void step_snapshots(struct node *n)
{
    struct scrub *s = &n->scrub;
    if (is_put_off(n)) {
        return;
    }
    if (s->reader == NULL && !choose_snapshot(n)) {
        begin_phase(n, s->is_suspicion ? SCRUB_LOG : SCRUB_MEMORY, MEMORY_STEP_MS);
        if (s->is_suspicion) {
            end_suspicion(n);
        }
        return;
    }
    s->disk = n->disk;
    s->cluster = n->identity.roster.cluster;
    submit(n, run_snapshot, done_snapshot);
}

void node_scrub_suspect(struct node *n)
{
    struct scrub *s = &n->scrub;
    if (s->is_suspicion || s->in_flight || node_now(n) < s->trusted_until_ms) {
        return; /* a follower that is refused again says so again */
    }
    s->is_suspicion = true;
    s->has_found = false;
    kv_digest_scan_deinit(&s->scan); /* of a round that begins anew */
    close_snapshot(s);
    begin_snapshots(n, 0);
}

/* --- the state in memory ---------------------------------------------------------------------- */

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

/* --- the timer -------------------------------------------------------------------------------- */

static void on_timer(struct timer *t)
{
    struct node *n = t->context;
    if (n->dead || n->stopped || n->raft == NULL || n->scrub.in_flight) {
        return;
    }
    if (n->scrub.phase == SCRUB_MEMORY) {
        step_memory(n);
    } else if (n->scrub.phase == SCRUB_SNAPSHOTS) {
        step_snapshots(n);
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
    close_snapshot(&n->scrub);
    mem_free(n->scrub.detail);
}
