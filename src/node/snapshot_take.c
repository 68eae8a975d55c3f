/* node/snapshot_take.c - rule S0: when a snapshot is taken; rule S1: of exactly one applied index;
 * rule S2: and relied upon once it was read back.
 *
 *   idle -> walking -> verifying -> finishing -> idle        (discarding: on failure, or aborted)
 *
 * walking: every turn takes a small step of the store's walk into `filling`; whole chunks go to the
 * log thread, one at a time, so that a write of the log waits for one chunk at most, and while
 * there are writes, half of the time for none. */
#include "base/check.h"
#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>

/* Of one turn: about a tenth of a millisecond. */
#define STEP_BYTES       (64u * KIB)
/* After a failure (rule S8), and before the next one in a member that writes without a pause. */
#define FAILURE_PAUSE_MS 10000
/* The threshold is up to so many 64ths higher, by chance; a leader waits these longer. */
#define JITTER_64THS     8
#define LEADER_64THS     16

/* --- on the log thread ------------------------------------------------------------------------ */

static enum status write_chunk(struct snapshot_take *t)
{
    if (t->writer == NULL) {
        enum status s =
            snapshot_writer_create(t->disk, t->cluster, t->id, buf_slice(&t->meta), &t->writer);
        if (s != STATUS_OK) {
            return s;
        }
    }
    size_t left = t->writing.size - t->written;
    size_t size = left < SNAPSHOT_CHUNK_BYTES ? left : SNAPSHOT_CHUNK_BYTES;
    enum status s = snapshot_writer_add(t->writer, slice_of(t->writing.data + t->written, size));
    t->written += size;
    return s;
}

static void close_file(struct snapshot_take *t)
{
    snapshot_writer_destroy(t->writer);
    t->writer = NULL;
}

static void run_take(struct work *w)
{
    struct snapshot_take *t = w->context;
    uint64_t begun_us = t->loop->ops->now_us(t->loop);
    t->status = STATUS_OK;
    switch (t->phase) {
    case TAKE_WALKING:
        t->status = write_chunk(t);
        break;
    case TAKE_VERIFYING:
        t->status = snapshot_writer_verify(t->writer, &t->verified);
        break;
    case TAKE_FINISHING:
        t->status = snapshot_writer_finish(t->writer, true);
        if (t->status == STATUS_OK) {
            close_file(t);
        }
        break;
    case TAKE_DISCARDING:
        close_file(t);
        break;
    case TAKE_IDLE:
        break;
    }
    t->took_us = t->loop->ops->now_us(t->loop) - begun_us;
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void done_take(struct work *w);

static void submit(struct node *n, enum take_phase phase)
{
    struct snapshot_take *t = &n->snapshots.take;
    CHECK(!t->in_flight);
    t->phase = phase;
    t->loop = n->loop;
    t->in_flight = true;
    t->work = (struct work){.run = run_take, .done = done_take, .context = t};
    n->loop->ops->submit(n->loop, &t->work);
}

static void end_walk(struct snapshot_take *t)
{
    kv_export_end(t->export);
    t->export = NULL;
    t->walked = true;
}

static void discard(struct node *n)
{
    end_walk(&n->snapshots.take);
    submit(n, TAKE_DISCARDING);
}

static void fail(struct node *n, enum status why)
{
    struct snapshot_take *t = &n->snapshots.take;
    log_warn("a snapshot at index=%" PRIu64 " could not be written: %s; the log is kept and the "
             "next try is in %d s",
             t->id.index, status_text(why), FAILURE_PAUSE_MS / 1000);
    t->again_ms = node_now(n) + FAILURE_PAUSE_MS;
    discard(n);
    node_backup_on_take_failed(n, why);
}

static void complete(struct node *n)
{
    struct snapshot_take *t = &n->snapshots.take;
    t->phase = TAKE_IDLE;
    n->snapshots.taken++;
    n->snapshots.account.snapshot_bytes = t->log_bytes;
    n->snapshots.account.snapshot_written = t->log_written;
    log_info("snapshot taken index=%" PRIu64 " term=%" PRIu64 " in_ms=%" PRIu64, t->id.index,
             t->id.term, node_now(n) - t->begun_ms);
    node_snapshot_add(n, t->id);
}

static void on_pause_end(struct timer *timer)
{
    (void)timer; /* and a turn follows */
}

/* While clients write, the log thread is theirs for as long as a chunk took. */
static void pause_for_writes(struct node *n)
{
    struct snapshot_take *t = &n->snapshots.take;
    if (t->took_us >= 500 && (n->write.in_flight || n->write_count > 0)) {
        t->pause.fire = on_pause_end;
        n->loop->ops->timer_start(n->loop, &t->pause, node_now(n) + (t->took_us + 500) / 1000);
    }
}

static void done_take(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, snapshots.take.work);
    struct snapshot_take *t = &n->snapshots.take;
    t->in_flight = false;
    if (n->dead) {
        return;
    }
    if (t->phase == TAKE_DISCARDING) {
        t->phase = TAKE_IDLE;
        return;
    }
    if (t->aborted) {
        discard(n);
        return;
    }
    if (t->status != STATUS_OK) {
        fail(n, t->status);
        return;
    }
    if (t->phase == TAKE_FINISHING) {
        complete(n);
    } else {
        pause_for_writes(n);
    }
}

void node_take_draw(struct node *n)
{
    uint8_t random;
    n->loop->ops->random(n->loop, &random, sizeof(random));
    n->snapshots.take.jitter = random % (JITTER_64THS + 1);
}

static bool encode_meta(struct node *n, struct snapshot_take *t)
{
    struct raft_config_view view;
    if (!raft_config_at(n->raft, n->applied, &view)) {
        return false;
    }
    struct kv_stats stats;
    kv_stats(n->kv, &stats);
    t->revision = stats.revision;
    const struct snapshot_meta meta = {.config_index = view.id.index,
                                       .revision = stats.revision,
                                       .config = *view.config,
                                       .annex = view.annex};
    buf_clear(&t->meta);
    snapshot_meta_encode(&meta, &t->meta);
    return true;
}

static void begin(struct node *n)
{
    struct snapshot_take *t = &n->snapshots.take;
    t->id = (struct snapshot_id){.index = n->applied, .term = n->applied_term};
    if (!encode_meta(n, t)) {
        return;
    }
    t->export = kv_export_begin(n->kv);
    CHECK(t->export != NULL);
    t->aborted = false;
    t->walked = false;
    t->verified = false;
    t->written = 0;
    buf_clear(&t->writing);
    buf_clear(&t->filling);
    t->disk = n->disk;
    t->cluster = n->identity.roster.cluster;
    t->log_bytes = n->snapshots.account.bytes;
    t->log_written = n->write.written_bytes;
    t->begun_ms = node_now(n);
    node_take_draw(n);
    t->phase = TAKE_WALKING;
    log_debug("snapshot begins index=%" PRIu64, t->id.index);
}

/* Rule S0: bytes first, entries second; not all members at once, and the leader last. Of small
 * batches the log takes much more on the disk than their entries have: that counts, too. */
static bool is_due(const struct node *n)
{
    const struct snapshots *s = &n->snapshots;
    uint64_t entries = n->applied - s->newest.index;
    if (entries == 0) {
        return false;
    }
    if (s->take.asked > s->newest.index) {
        return true;
    }
    uint64_t wait_64ths = 64 + s->take.jitter + (node_is_leader(n) ? LEADER_64THS : 0);
    uint64_t bytes = s->account.bytes - s->account.snapshot_bytes;
    uint64_t written = n->write.written_bytes - s->account.snapshot_written;
    return bytes * 64 >= n->options.snapshot_log_bytes * wait_64ths ||
           written / LIMIT_SNAPSHOT_LOG_TIMES * 64 >= n->options.snapshot_log_bytes * wait_64ths ||
           entries * 64 >= n->options.snapshot_log_entries * wait_64ths;
}

/* One at a time; the ones before the last go first, or they would gather. */
static bool may_begin(const struct node *n)
{
    const struct snapshot_take *t = &n->snapshots.take;
    return t->phase == TAKE_IDLE && !t->in_flight && !n->shutting_down &&
           node_now(n) >= t->again_ms && !n->snapshots.compaction.files_wanted &&
           !node_arrival_is_active(n) && !n->agreement.is_quarantined;
}

/* One small step of the walk; false: the log thread has to catch up first. */
static bool walk(struct snapshot_take *t)
{
    if (t->walked || t->filling.size >= SNAPSHOT_CHUNK_BYTES) {
        return false;
    }
    size_t room = SNAPSHOT_CHUNK_BYTES - t->filling.size;
    if (!kv_export_step(t->export, &t->filling, room < STEP_BYTES ? room : STEP_BYTES)) {
        end_walk(t);
    }
    return true;
}

static void hand_over(struct node *n)
{
    struct snapshot_take *t = &n->snapshots.take;
    if (t->written < t->writing.size) {
        submit(n, TAKE_WALKING);
        return;
    }
    if (t->walked && t->filling.size == 0) {
        submit(n, TAKE_VERIFYING);
        return;
    }
    if (t->walked || t->filling.size >= SNAPSHOT_CHUNK_BYTES) {
        struct buf empty = t->writing;
        t->writing = t->filling;
        t->filling = empty;
        buf_clear(&t->filling);
        t->written = 0;
        submit(n, TAKE_WALKING);
    }
}

void node_take_on_turn(struct node *n)
{
    struct snapshot_take *t = &n->snapshots.take;
    if (is_due(n) && may_begin(n)) {
        begin(n);
    }
    if (t->aborted) {
        return;
    }
    bool may_work = !t->in_flight && t->pause.slot == 0;
    if (t->phase == TAKE_WALKING) {
        n->turn_wanted |= walk(t);
        if (may_work) {
            hand_over(n);
        }
    } else if (t->phase == TAKE_VERIFYING && may_work) {
        submit(n, t->verified ? TAKE_FINISHING : TAKE_VERIFYING);
    }
}

void node_take_ask(struct node *n, raft_index index)
{
    struct snapshot_take *t = &n->snapshots.take;
    t->asked = index > t->asked ? index : t->asked;
    t->again_ms = 0;
    n->turn_wanted = true;
}

void node_take_abort(struct node *n)
{
    struct snapshot_take *t = &n->snapshots.take;
    if (t->phase == TAKE_IDLE || t->phase == TAKE_DISCARDING) {
        return;
    }
    end_walk(t);
    t->aborted = true;
    if (!t->in_flight) {
        discard(n);
    }
}

void node_take_destroy(struct node *n)
{
    struct snapshot_take *t = &n->snapshots.take;
    n->loop->ops->timer_stop(n->loop, &t->pause);
    kv_export_end(t->export);
    close_file(t);
    buf_deinit(&t->meta);
    buf_deinit(&t->filling);
    buf_deinit(&t->writing);
}
