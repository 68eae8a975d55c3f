#include "world.h"

#include "world_check.h"

#include "base/check.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- failure ---------------------------------------------------------------------------------- */

static const char *replay_text = "";

static void on_abort(int number)
{
    (void)number;
    ssize_t written = write(STDERR_FILENO, replay_text, strlen(replay_text));
    (void)written;
}

void world_set_replay(const char *text)
{
    replay_text = text;
    signal(SIGABRT, on_abort);
}

void world_fail(const struct world *w, const char *format, ...)
{
    fprintf(stderr, "[%" PRIu64 "] violated: ", w->now_ms);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* --- life ------------------------------------------------------------------------------------- */

void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.turn_now = 100,
                        .delay_min_ms = 1,
                        .delay_max_ms = 1,
                        .load_delay_ms = 1,
                        .transfer_min_ms = 5,
                        .transfer_max_ms = 5};
    rng_init(&w->rng, seed);
    w->checker = checker_create();
}

static void free_entries(const struct raft_message *m)
{
    for (uint32_t i = 0; i < m->entry_count; i++) {
        blob_unref(m->entries[i].payload);
    }
    mem_free((void *)m->entries);
}

void world_deinit(struct world *w)
{
    for (node_id id = 1; id <= w->node_count; id++) {
        raft_destroy(w->nodes[id].raft);
        world_disk_deinit(&w->nodes[id].disk);
    }
    for (uint32_t i = 0; i < w->message_count; i++) {
        free_entries(&w->messages[i].m);
    }
    mem_free(w->messages);
    mem_free(w->transfers);
    checker_destroy(w->checker);
}

struct world_node *world_add(struct world *w, const struct raft_options *options,
                             const struct raft_config *config)
{
    CHECK_CMP(w->node_count, <, WORLD_NODES_MAX);
    struct world_node *n = &w->nodes[++w->node_count];
    *n = (struct world_node){.options = *options, .config = *config, .disk_due_ms = UINT64_MAX};
    n->options.self = w->node_count;
    n->disk_delay_min_ms = 1;
    n->disk_delay_max_ms = 1;
    n->taking_due_ms = UINT64_MAX;
    n->clock_permille = 1000;
    return n;
}

static void mix(struct world *w, uint64_t value)
{
    w->hash = (w->hash ^ value) * 0x100000001b3u;
    w->hash ^= w->hash >> 29;
}

/* --- disk ------------------------------------------------------------------------------------- */

void world_preload(struct world *w, node_id id, const struct raft_entry *entry)
{
    struct world_node *n = &w->nodes[id];
    CHECK(n->raft == NULL);
    world_disk_add(&n->disk, entry);
    checker_on_written(w, id, world_disk_last(&n->disk));
}

static void begin_write(struct world *w, node_id id, const struct raft_persist *persist)
{
    struct world_node *n = &w->nodes[id];
    if (n->writing) {
        world_fail(w, "n%" PRIu64 " has two persists outstanding", id);
    }
    n->writing = true;
    n->persist = *persist;
    n->disk_due_ms = UINT64_MAX;
    if (!n->disk_hangs) {
        n->disk_due_ms =
            w->now_ms + rng_between(&w->rng, n->disk_delay_min_ms, n->disk_delay_max_ms);
    }
}

static void finish_write(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    world_disk_write(
        w, id,
        (struct world_write){
            .hard_state = true, .install = true, .recovered = true, .count = n->persist.count});
    n->writing = false;
    n->disk_due_ms = UINT64_MAX;
    (void)!world_input(w, id, &(struct raft_input){.kind = RAFT_INPUT_PERSISTED});
}

void world_set_disk(struct world *w, node_id id, uint64_t delay_ms, bool hangs)
{
    struct world_node *n = &w->nodes[id];
    n->disk_delay_min_ms = delay_ms;
    n->disk_delay_max_ms = delay_ms;
    if (n->disk_hangs && !hangs && n->writing) {
        n->disk_due_ms = w->now_ms + delay_ms;
    }
    if (!n->disk_hangs && hangs && n->writing) {
        n->disk_due_ms = UINT64_MAX;
    }
    n->disk_hangs = hangs;
}

/* --- processes -------------------------------------------------------------------------------- */

bool world_is_up(const struct world *w, node_id id)
{
    return w->nodes[id].raft != NULL;
}

static uint32_t collect_runs(const struct world_disk *disk, struct entry_id *runs)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < disk->count; i++) {
        raft_term term = disk->entries[i].entry.term;
        if (count == 0 || runs[count - 1].term != term) {
            runs[count++] = (struct entry_id){.term = term, .index = disk->base.index + 1 + i};
        }
    }
    return count;
}

/* The newest configuration at or before what is applied, as a recovery finds it. */
static void find_config(const struct world_node *n, struct raft_restored *restored)
{
    const struct world_snapshot *newest = &n->disk.snapshot;
    restored->config = newest->id.index != 0 ? newest->config : n->config;
    restored->config_index = newest->config_index;
    for (raft_index i = restored->applied; i > newest->id.index; i--) {
        const struct raft_entry *entry = &world_disk_entry(&n->disk, i)->entry;
        if (entry->type == RAFT_ENTRY_CONFIG) {
            enum status s =
                raft_config_decode(blob_slice(entry->payload), &restored->config, &restored->annex);
            CHECK(s == STATUS_OK);
            restored->config_index = i;
            return;
        }
    }
}

void world_start(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    CHECK(n->raft == NULL);
    const struct world_disk *disk = &n->disk;
    raft_index last = world_disk_last(disk);
    if (disk->commit > last) {
        world_fail(w, "n%" PRIu64 " lost entries below its commit floor", id);
    }
    struct entry_id *runs = mem_calloc(disk->count + 1u, sizeof(*runs));
    struct raft_entry *tail = mem_calloc(disk->count + 1u, sizeof(*tail));
    raft_index covered = disk->snapshot.id.index;
    raft_index commit = disk->commit > covered ? disk->commit : covered;
    struct raft_restored restored = {.term = disk->term,
                                     .vote = disk->vote,
                                     .snapshot = disk->snapshot.id,
                                     .first = disk->base.index + 1,
                                     .base_term = disk->base.term,
                                     .lease_promise_ms = disk->lease_promise_ms,
                                     .recovering = disk->recovering,
                                     .commit = commit,
                                     .applied = rng_between(&w->rng, covered, commit),
                                     .last = last,
                                     .runs = runs};
    find_config(n, &restored);
    restored.run_count = collect_runs(disk, runs);
    restored.tail_first = rng_between(&w->rng, restored.first, restored.applied + 1);
    for (raft_index i = restored.tail_first; i <= last; i++) {
        tail[i - restored.tail_first] = world_disk_entry(disk, i)->entry;
    }
    restored.tail = tail;
    n->options.seed = rng_next(&w->rng);
    n->raft = raft_create(&n->options, &restored, world_clock_ms(w, id));
    raft_set_preference(n->raft, &n->preference);
    mem_free(runs);
    mem_free(tail);
    n->applied = restored.applied;
    n->apply_to = restored.applied;
    n->state = world_disk_chain(disk, restored.applied);
    n->writing = false;
    n->loading = false;
    n->paused = false;
    n->dirty = true;
    n->boots++;
    n->snapshot = (struct raft_snapshot){0};
    checker_on_start(w, id);
}

/* A snapshot that came, and was not installed, may be found, and is the newest state then (S4). */
static void find_staged(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    if (n->staged.id.index != 0 && rng_chance(&w->rng, 1, 2)) {
        const struct world_entry *e = world_disk_entry(&n->disk, n->staged.id.index);
        bool fits = e != NULL && e->entry.term == n->staged.id.term;
        world_disk_install(&n->disk, &n->staged, !fits);
    }
    n->staged = (struct world_snapshot){0};
    n->taking = (struct world_snapshot){0};
    n->taking_due_ms = UINT64_MAX;
}

void world_crash(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    CHECK(n->raft != NULL);
    if (n->writing) {
        world_disk_write(w, id,
                         (struct world_write){
                             .hard_state = rng_chance(&w->rng, 1, 2),
                             .install = n->persist.install.index != 0 && rng_chance(&w->rng, 1, 2),
                             .recovered = n->persist.recovered && rng_chance(&w->rng, 1, 2),
                             .count = (uint32_t)rng_between(&w->rng, 0, n->persist.count)});
        w->restarts_with_partial_write++;
    }
    find_staged(w, id);
    raft_destroy(n->raft);
    n->raft = NULL;
    n->writing = false;
    n->loading = false;
    n->dirty = false;
    n->disk_due_ms = UINT64_MAX;
}

static void drop_messages_to(struct world *w, node_id id);

void world_lose(struct world *w, node_id id, raft_index from)
{
    CHECK(w->nodes[id].raft == NULL);
    world_disk_lose(&w->nodes[id].disk, from);
    drop_messages_to(w, id);
}

/* --- network ---------------------------------------------------------------------------------- */

static bool is_before(const struct world_message *a, const struct world_message *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->number < b->number;
}

static void swap_messages(struct world *w, uint32_t a, uint32_t b)
{
    struct world_message t = w->messages[a];
    w->messages[a] = w->messages[b];
    w->messages[b] = t;
}

static void sift_up(struct world *w, uint32_t at)
{
    while (at > 0 && is_before(&w->messages[at], &w->messages[(at - 1) / 2])) {
        swap_messages(w, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct world *w, uint32_t at)
{
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < w->message_count && is_before(&w->messages[child], &w->messages[least])) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        swap_messages(w, at, least);
        at = least;
    }
}

static void enqueue(struct world *w, const struct raft_message *m, uint64_t delay_ms, bool held)
{
    if (w->message_count == w->message_capacity) {
        w->message_capacity = w->message_capacity == 0 ? 256 : w->message_capacity * 2;
        w->messages = mem_realloc(w->messages, w->message_capacity * sizeof(*w->messages));
    }
    struct world_message *slot = &w->messages[w->message_count++];
    *slot = (struct world_message){.due_ms = held ? UINT64_MAX : w->now_ms + delay_ms,
                                   .number = w->message_number++,
                                   .held = held,
                                   .m = *m};
    if (m->entry_count > 0) {
        struct raft_entry *copy = mem_calloc(m->entry_count, sizeof(*copy));
        for (uint32_t i = 0; i < m->entry_count; i++) {
            copy[i] = m->entries[i];
            if (copy[i].payload != NULL) {
                blob_ref(copy[i].payload);
            }
        }
        slot->m.entries = copy;
    }
    sift_up(w, w->message_count - 1);
}

static void send_message(struct world *w, const struct raft_message *m)
{
    checker_on_send(w, m);
    if (m->type == RAFT_MSG_SNAPSHOT) {
        world_stream_snapshot(w, m);
    }
    mix(w, m->type ^ m->to << 8 ^ m->term << 16 ^ m->match << 32);
    enum world_link link = w->links[m->from][m->to];
    bool lost =
        link == WORLD_LINK_CUT || rng_chance(&w->rng, w->loss, 100) || m->to > w->node_count;
    if (w->observer.on_message != NULL) {
        w->observer.on_message(w->observer.context, m, lost);
    }
    if (lost || m->type == RAFT_MSG_SNAPSHOT) {
        return;
    }
    bool held = link == WORLD_LINK_HELD;
    enqueue(w, m, rng_between(&w->rng, w->delay_min_ms, w->delay_max_ms), held);
    if (!held && rng_chance(&w->rng, w->duplicates, 100)) {
        enqueue(w, m, rng_between(&w->rng, w->delay_min_ms, 10 * w->delay_max_ms), false);
    }
}

static struct world_message pop_message(struct world *w)
{
    struct world_message first = w->messages[0];
    w->messages[0] = w->messages[--w->message_count];
    sift_down(w, 0);
    return first;
}

static void rebuild_heap(struct world *w)
{
    for (uint32_t i = w->message_count; i-- > 0;) {
        sift_down(w, i);
    }
}

void world_set_link(struct world *w, node_id from, node_id to, enum world_link state)
{
    w->links[from][to] = state;
    world_hold_transfers(w, from, to, state);
    if (state == WORLD_LINK_HELD) {
        return;
    }
    for (uint32_t i = 0; i < w->message_count;) {
        struct world_message *slot = &w->messages[i];
        if (slot->held && slot->m.from == from && slot->m.to == to) {
            if (state == WORLD_LINK_CUT) {
                free_entries(&slot->m);
                *slot = w->messages[--w->message_count];
                continue;
            }
            slot->held = false;
            slot->due_ms = w->now_ms;
        }
        i++;
    }
    rebuild_heap(w);
}

void world_set_all_links(struct world *w, enum world_link state)
{
    for (node_id a = 1; a <= w->node_count; a++) {
        for (node_id b = 1; b <= w->node_count; b++) {
            world_set_link(w, a, b, state);
        }
    }
}

/* What is on its way to a process that is no more. */
static void drop_messages_to(struct world *w, node_id id)
{
    for (uint32_t i = 0; i < w->message_count;) {
        if (w->messages[i].m.to == id) {
            free_entries(&w->messages[i].m);
            w->messages[i] = w->messages[--w->message_count];
        } else {
            i++;
        }
    }
    rebuild_heap(w);
}

/* --- clocks ----------------------------------------------------------------------------------- */

uint64_t world_clock_ms(const struct world *w, node_id id)
{
    return w->now_ms * w->nodes[id].clock_permille / 1000;
}

/* The first moment at which its clock shows that. */
static uint64_t world_time_of(const struct world_node *n, uint64_t clock_ms)
{
    return clock_ms == UINT64_MAX ? UINT64_MAX
                                  : (clock_ms * 1000 + n->clock_permille - 1) / n->clock_permille;
}

/* --- turns ------------------------------------------------------------------------------------ */

static void apply(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    raft_index upto = n->apply_to;
    if (w->page > 0 && upto > n->applied + w->page) {
        upto = n->applied + w->page;
    }
    if (upto == n->applied) {
        return;
    }
    while (n->applied < upto) {
        const struct raft_entry *entry = raft_entry_at(n->raft, n->applied + 1);
        if (entry == NULL) {
            world_fail(w, "n%" PRIu64 " cannot apply %" PRIu64 ": not in memory", id,
                       n->applied + 1);
        }
        n->applied++;
        n->state = checker_chain(n->state, entry);
        checker_on_apply(w, id, n->applied, entry);
        if (w->observer.on_apply != NULL) {
            w->observer.on_apply(w->observer.context, id, n->applied, entry);
        }
    }
    struct raft_input applied = {
        .now_ms = world_clock_ms(w, id), .kind = RAFT_INPUT_APPLIED, .index = n->applied};
    (void)!raft_step(n->raft, &applied);
    if (n->applied < n->apply_to) {
        n->deadline_ms = w->now_ms + 1;
    }
    world_maybe_take_snapshot(w, id);
}

static void take_output(struct world *w, node_id id, const struct raft_output *out)
{
    struct world_node *n = &w->nodes[id];
    for (uint32_t i = 0; i < out->event_count; i++) {
        const struct raft_event *event = &out->events[i];
        mix(w, w->now_ms ^ id << 32 ^ (uint64_t)event->kind << 40);
        mix(w, event->a);
        mix(w, event->b);
        if (w->observer.on_event != NULL) {
            w->observer.on_event(w->observer.context, id, event);
        }
    }
    for (uint32_t i = 0; i < out->message_count; i++) {
        send_message(w, &out->messages[i]);
    }
    for (uint32_t i = 0; i < out->read_count; i++) {
        checker_on_read_done(w, &out->reads[i]);
        if (w->observer.on_read != NULL) {
            w->observer.on_read(w->observer.context, id, &out->reads[i]);
        }
    }
    if (out->has_persist) {
        begin_write(w, id, &out->persist);
    }
    if (out->load.wanted) {
        if (n->loading) {
            world_fail(w, "n%" PRIu64 " has two loads outstanding", id);
        }
        n->loading = true;
        n->load_due_ms = w->now_ms + w->load_delay_ms;
        n->load_first = out->load.first;
        n->load_last = out->load.last;
        n->load_bytes_max = out->load.bytes_max;
    }
    if (out->deadline_ms <= world_clock_ms(w, id)) {
        world_fail(w, "n%" PRIu64 " would spin: its deadline has passed already", id);
    }
    n->deadline_ms = world_time_of(n, out->deadline_ms);
    if (out->restore.index != 0) {
        world_restore(w, id, out->restore);
    }
    if (out->apply_to < n->apply_to && n->staged.id.index == 0) {
        world_fail(w, "n%" PRIu64 " takes back what it let apply", id);
    }
    n->apply_to = out->apply_to;
    apply(w, id);
}

static void turn(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    struct raft_output out;
    n->dirty = false;
    raft_turn(n->raft, world_clock_ms(w, id), &out);
    raft_check_invariants(n->raft, &n->snapshot);
    checker_on_step(w, id);
    take_output(w, id, &out);
}

enum status world_input(struct world *w, node_id id, const struct raft_input *input)
{
    struct world_node *n = &w->nodes[id];
    CHECK(n->raft != NULL);
    struct raft_input timed = *input;
    timed.now_ms = world_clock_ms(w, id);
    enum status s = raft_step(n->raft, &timed);
    w->events++;
    raft_check_invariants(n->raft, &n->snapshot);
    checker_on_step(w, id);
    n->dirty = true;
    if (w->turn_now >= 100 || rng_chance(&w->rng, w->turn_now, 100)) {
        turn(w, id);
    }
    return s;
}

void world_flush(struct world *w)
{
    for (node_id id = 1; id <= w->node_count; id++) {
        if (w->nodes[id].raft != NULL && w->nodes[id].dirty && !w->nodes[id].paused) {
            turn(w, id);
        }
    }
}

enum status world_propose(struct world *w, node_id id, uint32_t size)
{
    CHECK_CMP(size, >=, sizeof(uint64_t));
    struct blob *payload = blob_create(size);
    memset(payload->data, 0, size);
    uint64_t number = ++w->payload_number;
    memcpy(payload->data, &number, sizeof(number));
    const struct raft_entry entry = {.type = RAFT_ENTRY_COMMAND, .payload = payload};
    enum status s = world_input(w, id,
                                &(struct raft_input){.kind = RAFT_INPUT_PROPOSE,
                                                     .propose = {.entries = &entry, .count = 1}});
    blob_unref(payload);
    return s;
}

enum status world_read(struct world *w, node_id id)
{
    uint64_t token = checker_on_read(w, id);
    enum status s =
        world_input(w, id, &(struct raft_input){.kind = RAFT_INPUT_READ, .token = token});
    if (s != STATUS_OK) {
        checker_on_read_done(w, &(struct raft_read){.token = token, .status = s});
    }
    return s;
}

/* The annex is what a host would put there: it must come back whole. */
enum status world_change(struct world *w, node_id id, const struct raft_config *config)
{
    char annex[32];
    snprintf(annex, sizeof(annex), "change %" PRIu64, ++w->payload_number);
    return world_input(
        w, id,
        &(struct raft_input){.kind = RAFT_INPUT_CHANGE, .change = {config, slice_str(annex)}});
}

void world_deliver(struct world *w, const struct raft_message *m)
{
    if (w->nodes[m->to].raft != NULL) {
        (void)!world_input(w, m->to,
                           &(struct raft_input){.kind = RAFT_INPUT_MESSAGE, .message = m});
    }
}

/* What the disk holds now: it may be more, less or other than what was asked for. */
static void finish_load(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    struct raft_entry entries[64];
    uint32_t count = 0;
    uint64_t bytes = 0;
    bool fails = rng_chance(&w->rng, w->load_fails, 100);
    while (!fails && count < 64 && bytes < n->load_bytes_max) {
        raft_index index = n->load_first + count;
        const struct world_entry *e = world_disk_entry(&n->disk, index);
        if (e == NULL || index > n->load_last) {
            break;
        }
        entries[count++] = e->entry;
        bytes += e->entry.payload != NULL ? e->entry.payload->size : 0;
    }
    n->loading = false;
    (void)!world_input(w, id,
                       &(struct raft_input){
                           .kind = RAFT_INPUT_LOADED,
                           .loaded = {.first = n->load_first, .entries = entries, .count = count}});
}

void world_pause(struct world *w, node_id id, bool paused)
{
    w->nodes[id].paused = paused;
}

/* --- time ------------------------------------------------------------------------------------- */

struct due {
    uint64_t at_ms;
    node_id node; /* 0 = a message or a snapshot */
    bool transfer;
};

static uint64_t node_due(const struct world_node *n)
{
    uint64_t due = n->deadline_ms;
    if (n->writing && n->disk_due_ms < due) {
        due = n->disk_due_ms;
    }
    if (n->loading && n->load_due_ms < due) {
        due = n->load_due_ms;
    }
    if (n->taking_due_ms < due) {
        due = n->taking_due_ms;
    }
    return due;
}

static struct due next_due(const struct world *w)
{
    struct due next = {.at_ms = UINT64_MAX};
    if (w->message_count > 0) {
        next.at_ms = w->messages[0].due_ms;
    }
    uint64_t transfer_ms = world_transfers_due(w);
    if (transfer_ms < next.at_ms) {
        next = (struct due){.at_ms = transfer_ms, .transfer = true};
    }
    for (node_id id = 1; id <= w->node_count; id++) {
        const struct world_node *n = &w->nodes[id];
        if (n->raft != NULL && !n->paused && node_due(n) < next.at_ms) {
            next = (struct due){.at_ms = node_due(n), .node = id};
        }
    }
    return next;
}

static void run_node(struct world *w, node_id id)
{
    struct world_node *n = &w->nodes[id];
    if (n->writing && n->disk_due_ms <= w->now_ms) {
        finish_write(w, id);
    } else if (n->loading && n->load_due_ms <= w->now_ms) {
        finish_load(w, id);
    } else if (n->taking_due_ms <= w->now_ms) {
        world_finish_snapshot(w, id);
    } else {
        n->deadline_ms = UINT64_MAX; /* until the turn says */
        (void)!world_input(w, id, &(struct raft_input){.kind = RAFT_INPUT_TICK});
    }
}

static void deliver_next(struct world *w)
{
    struct world_message slot = pop_message(w);
    struct world_node *n = &w->nodes[slot.m.to];
    if (n->paused) { /* in its socket buffer */
        slot.due_ms = w->now_ms + 1;
        w->messages[w->message_count++] = slot;
        sift_up(w, w->message_count - 1);
        return;
    }
    world_deliver(w, &slot.m);
    free_entries(&slot.m);
}

void world_run(struct world *w, uint64_t duration_ms)
{
    uint64_t end_ms = w->now_ms + duration_ms;
    for (;;) {
        struct due next = next_due(w);
        if (next.at_ms > w->now_ms || next.at_ms > end_ms) {
            world_flush(w);
            next = next_due(w);
        }
        if (next.at_ms > end_ms) {
            break;
        }
        w->now_ms = next.at_ms > w->now_ms ? next.at_ms : w->now_ms;
        if (next.transfer) {
            world_run_transfer(w);
        } else if (next.node == 0) {
            deliver_next(w);
        } else {
            run_node(w, next.node);
        }
    }
    w->now_ms = end_ms;
}

/* --- views ------------------------------------------------------------------------------------ */

node_id world_leader(const struct world *w)
{
    node_id leader = 0;
    raft_term term = 0;
    for (node_id id = 1; id <= w->node_count; id++) {
        const struct raft *r = w->nodes[id].raft;
        if (r != NULL && raft_role(r) == RAFT_LEADER && raft_term_now(r) > term) {
            leader = id;
            term = raft_term_now(r);
        }
    }
    return leader;
}

static bool names(const node_id *ids, uint32_t count, node_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool world_config_names(const struct raft_config *config, node_id id)
{
    return names(config->voters, config->voter_count, id) ||
           names(config->outgoing, config->outgoing_count, id) ||
           names(config->learners, config->learner_count, id);
}

bool world_is_converged(const struct world *w, const bool *core)
{
    node_id leader = world_leader(w);
    if (leader == 0 || (core != NULL && !core[leader]) ||
        !raft_leader_is_established(w->nodes[leader].raft)) {
        return false;
    }
    const struct raft_config *config = raft_active_config(w->nodes[leader].raft);
    if (config->outgoing_count > 0 || !names(config->voters, config->voter_count, leader)) {
        return false;
    }
    struct entry_id last = raft_last(w->nodes[leader].raft);
    for (node_id id = 1; id <= w->node_count; id++) {
        const struct world_node *n = &w->nodes[id];
        if (n->raft == NULL || (core != NULL && !core[id]) || !world_config_names(config, id)) {
            continue;
        }
        struct entry_id own = raft_last(n->raft);
        if (own.index != last.index || own.term != last.term || n->applied != last.index ||
            raft_durable(n->raft) != last.index || raft_leader(n->raft) != leader) {
            return false;
        }
    }
    return true;
}
