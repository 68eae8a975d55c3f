/* node/log_writer.c - hands the log thread its work: one write at a time, reads of old entries, and
 * the next segment made ready. The loop never waits for a disk, but for a lone small write. */
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The core must stay able to lead when one write is slow; past this age it is told (rule E8), past
 * the hard limit the process ends (rule P17). */
#define STALL_ELECTION_TIMEOUTS 2
#define STALL_HARD_LIMIT_MS     60000

/* After so many writes in a row that were alone, small and fast, the next such one need not go to
 * the log thread (net/loop.h, struct work). A write was alone when the disk had rested before it
 * for a quarter of what the last one took: with company, one follows the other. */
#define LONE_WRITES      16
#define LONE_REST_PART   4
#define LONE_BYTES_MAX   (16u * KIB)
#define LONE_SYNC_US_MAX 1000

/* A log that rests for so long is sealed. */
#define SEAL_IDLE_MS 2000

/* --- writing ---------------------------------------------------------------------------------- */

static void run_write(struct work *w)
{
    struct log_write *write = w->context;
    uint64_t begun_us = write->loop->ops->now_us(write->loop);
    write->status = wal_append(write->wal, &write->batch);
    if (write->status == STATUS_OK && write->recovered) {
        write->status = wal_recovered(write->wal); /* rule P4: behind what was lost */
    }
    write->sync_us = write->loop->ops->now_us(write->loop) - begun_us;
    write->wants_prepare = write->status == STATUS_OK && wal_wants_prepare(write->wal);
    write->room_bytes = wal_room_bytes(write->wal);
    write->disk_bytes = wal_disk_bytes(write->wal);
    write->written_bytes = wal_written_bytes(write->wal);
}

/* The loop itself hangs in this write. Others see a leader that is silent, and elect another one;
 * what is left to do here is to say so, at 1, 2, 4 ... seconds, and to end (rule P17). */
static void late_write(struct work *w, uint64_t age_ms)
{
    (void)w;
    uint64_t age_s = age_ms / 1000;
    if (age_ms > STALL_HARD_LIMIT_MS) {
        log_error("the disk has not answered for %d s", STALL_HARD_LIMIT_MS / 1000);
        _exit(1);
    }
    if ((age_s & (age_s - 1)) == 0) {
        log_warn("the disk does not answer, nor does this member age_ms=%" PRIu64, age_ms);
    }
}

/* May the loop do this write itself? */
static bool is_lone(struct node *n, const struct raft_persist *p)
{
    struct log_write *write = &n->write;
    uint64_t rested_us = n->loop->ops->now_us(n->loop) - write->done_us;
    bool is_small = p->count == 1 && blob_slice(p->entries[0].payload).size <= LONE_BYTES_MAX;
    bool is_alone = is_small && write->sync_us <= LONE_SYNC_US_MAX &&
                    rested_us >= write->sync_us / LONE_REST_PART;
    write->lone = !is_alone ? 0 : write->lone < LONE_WRITES ? write->lone + 1 : LONE_WRITES;
    bool is_plain = !p->hard_state && p->install.index == 0 && !p->recovered;
    return write->lone == LONE_WRITES && is_plain && !n->prepare_wanted && !n->is_short_of_space &&
           n->faults == NULL;
}

static void done_write(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, write.work);
    struct log_write *write = &n->write;
    if (write->work.late != NULL) {
        node_check_stall(n); /* no turn had a chance to see it */
        if (n->dead) {
            return;
        }
    }
    write->done_us = n->loop->ops->now_us(n->loop);
    if (write->status == STATUS_NO_SPACE) {
        write->waits_for_space = true;
        node_space_on_full(n);
        return;
    }
    write->in_flight = false;
    if (write->status != STATUS_OK) {
        /* Rule P11: nobody knows what the disk holds now. */
        node_fail(n, 1,
                  "cannot write the log: %s; stopping, so that nothing unsynced is acknowledged",
                  status_text(write->status));
        return;
    }
    node_histogram_add(&n->figures.log_sync, write->sync_us + write->held_ms * UINT64_C(1000));
    uint64_t now_ms = node_now(n);
    uint64_t took_ms = now_ms - write->started_ms;
    write->sync_ms = (uint32_t)((write->sync_ms * 7 + took_ms) / 8);
    if (write->sync_ms == 0) {
        write->sync_ms = 1;
    }
    if (write->stall_told) {
        log_warn("the disk answered again took_ms=%" PRIu64, took_ms);
    }
    node_step(n, &(struct raft_input){.now_ms = now_ms, .kind = RAFT_INPUT_PERSISTED});
    n->prepare_wanted = write->wants_prepare && !n->is_short_of_space;
    node_space_on_written(n);
    n->written_ms = now_ms;
    if (n->seal_timer.slot == 0) {
        n->loop->ops->timer_start(n->loop, &n->seal_timer, n->written_ms + SEAL_IDLE_MS);
    }
}

/* A fault that plays a slow disk holds the write back here, so that the log thread, and with it the
 * end of the process, is free. What else goes to the disk meanwhile overtakes it, as it overtakes
 * a write that waits for space. */
static void submit_write(struct node *n)
{
    struct log_write *write = &n->write;
    write->held_ms = n->faults != NULL ? n->faults->disk_delay_ms : 0;
    if (write->held_ms > 0) {
        n->loop->ops->timer_start(n->loop, &write->hold_timer, write->started_ms + write->held_ms);
    } else {
        n->loop->ops->submit(n->loop, &write->work);
    }
}

void node_on_hold_timer(struct timer *t)
{
    struct node *n = t->context;
    n->loop->ops->submit(n->loop, &n->write.work);
}

void node_write_log_hurry(struct node *n)
{
    if (n->write.hold_timer.slot != 0) {
        n->loop->ops->timer_stop(n->loop, &n->write.hold_timer);
        submit_write(n);
    }
}

void node_write_log(struct node *n, const struct raft_persist *p)
{
    struct log_write *write = &n->write;
    CHECK(!write->in_flight);
    if (p->count > write->capacity) {
        write->capacity = p->count;
        write->entries = mem_realloc(write->entries, p->count * sizeof(*write->entries));
    }
    for (uint32_t i = 0; i < p->count; i++) {
        write->entries[i] = (struct wal_entry){.index = p->first + i,
                                               .term = p->entries[i].term,
                                               .type = (uint8_t)p->entries[i].type,
                                               .payload = blob_slice(p->entries[i].payload)};
    }
    write->batch = (struct wal_batch){
        .hard_state = p->hard_state,
        .term = p->term,
        .vote = p->vote,
        .lease_promise_ms = p->lease_promise_ms,
        .install_index = p->install.index,
        .install_term = p->install.term,
        .discard = p->discard,
        .truncate_from = p->truncate_from,
        .entries = write->entries,
        .count = p->count,
        .commit = p->commit,
    };
    write->recovered = p->recovered;
    write->wal = n->wal;
    write->loop = n->loop;
    write->in_flight = true;
    write->stall_told = false;
    write->started_ms = node_now(n);
    write->work = (struct work){.run = run_write,
                                .done = done_write,
                                .late = is_lone(n, p) ? late_write : NULL,
                                .context = write};
    submit_write(n);
}

void node_write_log_again(struct node *n)
{
    if (n->write.waits_for_space) {
        n->write.waits_for_space = false;
        n->write.work.late = NULL;
        n->write.started_ms = node_now(n); /* how long there was no room says nothing of the disk */
        n->loop->ops->submit(n->loop, &n->write.work);
    }
}

void node_tell_stall(struct node *n)
{
    if (!n->write.stall_told) {
        n->write.stall_told = true;
        node_step(n, &(struct raft_input){.now_ms = node_now(n), .kind = RAFT_INPUT_STALLED});
    }
}

void node_check_stall(struct node *n)
{
    if (!n->write.in_flight || n->write.waits_for_space) {
        return;
    }
    uint64_t age_ms = node_now(n) - n->write.started_ms;
    if (age_ms > STALL_HARD_LIMIT_MS) {
        node_fail(n, 1, "the disk has not answered for %d s", STALL_HARD_LIMIT_MS / 1000);
    } else if (age_ms > STALL_ELECTION_TIMEOUTS * n->options.election_timeout_ms &&
               !n->write.stall_told) {
        n->figures.stalls++;
        log_warn("the disk does not answer age_ms=%" PRIu64, age_ms);
        node_tell_stall(n);
    }
}

/* --- reading back ----------------------------------------------------------------------------- */

static bool take_loaded(void *context, const struct wal_entry *e)
{
    struct log_load *load = context;
    if (load->count == load->capacity) {
        load->capacity = load->capacity > 0 ? load->capacity * 2 : 64;
        load->entries = mem_realloc(load->entries, load->capacity * sizeof(*load->entries));
    }
    load->entries[load->count++] = (struct raft_entry){
        .term = e->term, .type = (enum raft_entry_type)e->type, .payload = blob_copy(e->payload)};
    return true;
}

static void run_load(struct work *w)
{
    struct log_load *load = w->context;
    load->status = wal_read(load->wal, load->first, load->last, load->bytes_max, take_loaded, load);
}

static void done_load(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, load.work);
    struct log_load *load = &n->load;
    load->in_flight = false;
    if (load->status == STATUS_CORRUPT) {
        char what[DAMAGE_TEXT_SIZE];
        snprintf(what, sizeof(what), "entries from %" PRIu64 " on cannot be read back",
                 load->first + load->count);
        node_on_damage(n, what);
    }
    if (load->status != STATUS_OK && load->status != STATUS_CORRUPT) {
        node_fail(n, 1, "cannot read the log at entry %" PRIu64 ": %s", load->first,
                  status_text(load->status));
    } else {
        /* What was read before the damage is sound; the core asks again for the rest. */
        struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_LOADED};
        input.loaded.first = load->first;
        input.loaded.entries = load->entries;
        input.loaded.count = load->count;
        node_step(n, &input);
    }
    for (uint32_t i = 0; i < load->count; i++) {
        blob_unref(load->entries[i].payload);
    }
    load->count = 0;
}

void node_load_log(struct node *n, raft_index first, raft_index last, uint64_t bytes_max)
{
    struct log_load *load = &n->load;
    CHECK(!load->in_flight);
    load->wal = n->wal;
    load->first = first;
    load->last = last;
    load->bytes_max = bytes_max;
    load->in_flight = true;
    load->work = (struct work){.run = run_load, .done = done_load, .context = load};
    n->loop->ops->submit(n->loop, &load->work);
}

/* --- the next segment ------------------------------------------------------------------------- */

static void run_prepare(struct work *w)
{
    struct log_prepare *prepare = w->context;
    prepare->status = wal_prepare(prepare->wal);
    prepare->wants_more = prepare->status == STATUS_OK && wal_wants_prepare(prepare->wal);
    prepare->room_bytes = wal_room_bytes(prepare->wal);
    prepare->disk_bytes = wal_disk_bytes(prepare->wal);
}

static void done_prepare(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, prepare.work);
    n->prepare.in_flight = false;
    n->write.room_bytes = n->prepare.room_bytes;
    n->write.disk_bytes = n->prepare.disk_bytes;
    if (n->prepare.status == STATUS_OK || n->prepare.status == STATUS_NO_SPACE) {
        node_space_on_prepared(n, n->prepare.status == STATUS_NO_SPACE);
    } else {
        node_fail(n, 1, "cannot make the next log segment: %s", status_text(n->prepare.status));
    }
}

/* In small steps, one at a time, between the writes: a write waits for one step at most, and under
 * full load the segment is ready before it is needed. */
void node_maybe_prepare_log(struct node *n)
{
    if (!n->prepare_wanted || n->prepare.in_flight) {
        return;
    }
    n->prepare.wal = n->wal;
    n->prepare.in_flight = true;
    n->prepare.work =
        (struct work){.run = run_prepare, .done = done_prepare, .context = &n->prepare};
    n->loop->ops->submit(n->loop, &n->prepare.work);
}

/* --- the seal --------------------------------------------------------------------------------- */

static void run_seal(struct work *w)
{
    struct log_seal *seal = w->context;
    seal->status = wal_seal(seal->wal);
}

static void done_seal(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, seal.work);
    n->seal.in_flight = false;
    mem_trim(); /* the log rests, and so does this member */
    if (n->seal.status != STATUS_OK) {
        node_fail(n, 1, "cannot write the log: %s", status_text(n->seal.status));
    }
}

void node_on_seal_timer(struct timer *t)
{
    struct node *n = t->context;
    uint64_t rested_ms = n->written_ms + SEAL_IDLE_MS;
    if (n->write.in_flight || n->seal.in_flight || node_now(n) < rested_ms) {
        uint64_t next_ms = rested_ms > node_now(n) ? rested_ms : node_now(n) + SEAL_IDLE_MS;
        n->loop->ops->timer_start(n->loop, t, next_ms);
        return;
    }
    n->seal.wal = n->wal;
    n->seal.in_flight = true;
    n->seal.work = (struct work){.run = run_seal, .done = done_seal, .context = &n->seal};
    n->loop->ops->submit(n->loop, &n->seal.work);
}
