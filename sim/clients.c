#include "clients.h"

#include "base/check.h"
#include "base/mem.h"
#include "configs.h"
#include "coverage.h"
#include "odd_state.h"
#include "requests.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TRIES_MAX 5

enum request_state { STATE_WAITS, STATE_POSTED, STATE_ASKED, STATE_DONE };

struct request {
    struct clients *all;
    uint32_t client;
    enum request_kind kind;
    uint32_t key;
    uint32_t flags;
    enum request_state state;
    bool must_succeed; /* one of clients_finish */
    int only_member;   /* -1 = whichever */
    uint32_t tries;
    uint64_t again_ms; /* WAITS: when */
    uint64_t begun_ms;
    int member; /* asked */
    uint64_t floor;
    uint64_t swap_revision; /* swap: what the read before it saw */
    bool has_read;
    uint32_t attempt;
    bool has_attempt; /* keyed: the same one in every try */
    uint32_t voters;  /* bits of those that voted when it was asked */
    struct node_write write;
    struct node_read read;
};

struct client {
    struct request *busy; /* closed loop */
    uint32_t *queue;      /* requests that wait for their turn, by number; owned */
    uint32_t queue_count;
    uint32_t queue_next;
    int leader; /* as it believes */
    uint64_t session;
};

struct clients {
    const struct schedule *schedule;
    struct sim_members *members;
    struct client clients[SIM_CLIENTS_MAX];
    struct request *requests; /* owned; they stay where they are */
    uint32_t count;
    uint32_t capacity;
    uint32_t first_open; /* all before it are done */
    uint64_t floor;      /* the highest revision that anybody was told of */
    uint32_t core;       /* bits of members that may be asked */
};

/* --- the end of a request --------------------------------------------------------------------- */

static void start_next(struct clients *c, struct client *client);

static void finish(struct request *r)
{
    r->state = STATE_DONE;
    struct client *client = &r->all->clients[r->client];
    if (client->busy == r) {
        client->busy = NULL;
    }
}

static bool is_write(const struct request *r)
{
    return r->kind == REQUEST_document ||
           (r->kind <= REQUEST_delete && (r->kind != REQUEST_swap || r->has_read));
}

/* Nothing was done: ask again, perhaps somebody else. */
static void try_again(struct request *r)
{
    struct clients *c = r->all;
    struct client *client = &c->clients[r->client];
    if (++r->tries > TRIES_MAX && !r->must_succeed) {
        finish(r);
        return;
    }
    struct node_status status;
    client->leader = (r->member + 1) % (int)c->members->count;
    const struct sim_member *m = &c->members->items[r->member];
    if (m->node != NULL) {
        node_status_get(m->node, &status);
        if (status.leader[0] != '\0' && strcmp(status.leader, status.name) != 0) {
            client->leader = status.leader[5] - '1'; /* "node-3" */
        }
    }
    r->state = STATE_WAITS;
    /* Ever slower, and not all at the same moment: who must succeed must not be what keeps the
     * cluster busy. */
    uint64_t wait_ms = c->schedule->knobs[KNOB_election_ms] / 5 + 1;
    if (r->must_succeed) {
        wait_ms <<= r->tries < 5 ? r->tries : 5;
        wait_ms += wait_ms * (r->client % 8) / 8;
    }
    r->again_ms = fake_world_now(c->members->world) + wait_ms;
}

static void see_revision(struct request *r, uint64_t revision, bool for_all)
{
    struct client *client = &r->all->clients[r->client];
    client->session = revision > client->session ? revision : client->session;
    if (for_all && revision > r->all->floor) {
        r->all->floor = revision;
    }
}

/* --- writes ----------------------------------------------------------------------------------- */

/* Who answers for a write. */
static int taker_of(const struct request *r)
{
    return r->write.leader[0] != '\0' ? r->write.leader[5] - '1' : r->member; /* "node-3" */
}

/* I10: what is acknowledged is committed, and was answered as the log says. */
static void check_acknowledged(struct request *r)
{
    const struct node_write *w = &r->write;
    if (w->index > truth.committed_last || truth.committed[w->index].entry->term != w->term) {
        verdict_fail("I10",
                     "member %d acknowledges entry %" PRIu64 " of term %" PRIu64
                     ", which is not committed",
                     r->member, w->index, w->term);
    }
    const struct truth_member *taker = &truth.members[taker_of(r)];
    bool is_late = w->leader[0] != '\0'; /* perhaps, and said when it was odd */
    if (taker->is_odd || (is_late && taker->was_odd)) {
        return; /* that it answers wrong things is known */
    }
    const struct kv_result *must = &truth.committed[w->index].result;
    /* That not all have it is no matter of the store. */
    enum status told = w->status == STATUS_NOT_CONFIRMED ? STATUS_OK : w->result.status;
    if (must->status != told || must->revision != w->result.revision ||
        must->version != w->result.version || must->create_revision != w->result.create_revision ||
        must->time_ms != w->result.time_ms) {
        verdict_fail("I12",
                     "member %d answers entry %" PRIu64 " with revision %" PRIu64 " (%s), it "
                     "made %" PRIu64 " (%s)",
                     r->member, w->index, w->result.revision, status_name(w->result.status),
                     must->revision, status_name(must->status));
    }
    const struct attempt *a = &truth.attempts[r->attempt];
    if (w->result.replayed) {
        coverage_hit(MARK_WRITE_REPLAYED);
        if (!a->is_keyed || a->committed_at >= w->index) {
            verdict_fail("I11", "entry %" PRIu64 " is answered as one that was applied before",
                         w->index);
        }
        see_revision(r, w->result.revision, true);
        return;
    }
    if ((r->kind != REQUEST_delete || a->is_keyed) && a->committed_at != w->index) {
        verdict_fail("I12", "member %d acknowledges another's write at %" PRIu64, r->member,
                     w->index);
    }
    if (w->result.revision < r->floor) {
        verdict_fail("I12", "a write is told revision %" PRIu64 ", %" PRIu64 " was told before it",
                     w->result.revision, r->floor);
    }
    see_revision(r, w->result.revision, true);
}

static void check_ack_leader(const struct request *r)
{
    struct entry_id id = {.term = r->write.term, .index = r->write.index};
    const struct truth_member *taker = &truth.members[taker_of(r)];
    /* An answer that was long under way speaks of a moment that is past: its entry may have been
     * replaced since, which is what ack=leader says. */
    bool is_late = r->write.leader[0] != '\0';
    if (!is_late && !taker->is_stranger && !taker->is_damaged && !truth_disk_has(taker, id)) {
        verdict_fail("I10", "member %d acknowledges entry %" PRIu64 " and has not synced it",
                     r->member, id.index);
    }
    coverage_hit(MARK_WRITE_BY_ACK_LEADER);
}

/* As whoever answers has it: one that is about to go does not count. */
static bool is_voter(const struct truth_member *at, const struct truth_member *m)
{
    const struct raft_config *c = at->raft != NULL ? raft_active_config(at->raft) : &truth.config;
    return configs_decides(c, m->id) && configs_counts(&truth.config, m->id);
}

static uint32_t voters_now(void)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < truth.member_count; i++) {
        bits |= configs_votes(&truth.members[i]) ? 1u << i : 0;
    }
    return bits;
}

/* While the answer of a forwarded write was under way, others may have become voters. */
static void check_ack_all(const struct request *r)
{
    struct entry_id id = {.term = r->write.term, .index = r->write.index};
    uint32_t owing = r->write.leader[0] != '\0' ? r->voters : UINT32_MAX;
    for (uint32_t i = 0; i < truth.member_count; i++) {
        const struct truth_member *m = &truth.members[i];
        if ((owing >> i & 1) != 0 && !m->is_stranger && !m->is_damaged &&
            is_voter(&truth.members[taker_of(r)], m) && !truth_disk_has(m, id)) {
            verdict_fail("I10",
                         "a write is acknowledged by all, and member %" PRIu32
                         " does not have entry %" PRIu64,
                         i, id.index);
        }
    }
    coverage_hit(MARK_WRITE_BY_ACK_ALL);
}

/* Rule P12: refused for want of room are writes that take some, and only when there is none. */
static void check_no_space(const struct request *r)
{
    const struct truth_member *m = &truth.members[taker_of(r)];
    coverage_hit(MARK_WRITE_REFUSED_NO_SPACE);
    if (r->kind == REQUEST_delete || (!m->was_full && !m->may_fail)) {
        verdict_fail("P12", "member %d refuses a %s for want of room", truth_index(m),
                     r->kind == REQUEST_delete ? "delete" : "write, and has room");
    }
}

static void on_written(struct node_write *w)
{
    struct request *r = CONTAINER_OF(w, struct request, write);
    verdict_trace("client %" PRIu32 ": write %" PRIu32 " at member %d: %s, entry %" PRIu64,
                  r->client, r->attempt, r->member, status_name(w->status), w->index);
    if (w->leader[0] != '\0') {
        coverage_hit(MARK_WRITE_FORWARDED);
    }
    switch (w->status) {
    case STATUS_OK:
        if (w->ack == NODE_ACK_LEADER) {
            check_ack_leader(r);
            truth_attempt_ended(r->attempt, ATTEMPT_UNKNOWN);
            break;
        }
        coverage_hit(MARK_WRITE_ACKNOWLEDGED);
        check_acknowledged(r);
        if (w->ack == NODE_ACK_ALL) {
            check_ack_all(r);
        }
        truth_attempt_ended(r->attempt, ATTEMPT_OK);
        break;
    case STATUS_CONFLICT:
    case STATUS_NOT_FOUND:
        coverage_hit(w->status == STATUS_CONFLICT ? MARK_CONDITION_FAILED : MARK_DELETED_NOTHING);
        check_acknowledged(r);
        truth_attempt_ended(r->attempt, ATTEMPT_OK);
        break;
    case STATUS_NOT_CONFIRMED:
        coverage_hit(MARK_WRITE_NOT_CONFIRMED_BY_ALL);
        check_acknowledged(r);
        truth_attempt_ended(r->attempt, ATTEMPT_OK);
        break;
    case STATUS_UNKNOWN:
        coverage_hit(MARK_WRITE_UNKNOWN);
        truth_attempt_ended(r->attempt, ATTEMPT_UNKNOWN);
        if (r->must_succeed || r->flags & REQUEST_KEYED) {
            try_again(r);
            return;
        }
        break;
    default: /* superseded, or refused by the leader that was asked */
        if (w->status == STATUS_NO_SPACE) {
            check_no_space(r);
        }
        coverage_hit(MARK_WRITE_SUPERSEDED);
        truth_attempt_ended(r->attempt, ATTEMPT_REFUSED);
        try_again(r);
        return;
    }
    finish(r);
}

static void fill_value(const struct request *r, struct buf *value)
{
    uint64_t number = r->attempt;
    size_t least = r->all->schedule->knobs[KNOB_value_bytes];
    uint8_t *bytes = buf_reserve(value, least + TRUTH_VALUE_MIN);
    memcpy(bytes, &number, TRUTH_VALUE_MIN);
    value->size = TRUTH_VALUE_MIN;
    while (value->size < least) {
        number = number * 0x5851f42d4c957f2d + 0x14057b7ef767814f; /* nothing to compress */
        memcpy(bytes + value->size, (const uint8_t *)&number + 4, 4);
        value->size += 4;
    }
}

static void ask_write(struct request *r, struct node *n)
{
    char key[MODEL_KEY_BYTES];
    model_key(r->key, key);
    struct buf value = {0};
    struct kv_command command = {.op = KV_PUT, .key = slice_str(key)};
    switch (r->kind) {
    case REQUEST_put_if_absent:
        command.condition = KV_IF_ABSENT;
        break;
    case REQUEST_put_if_exists:
        command.condition = KV_IF_EXISTS;
        break;
    case REQUEST_swap:
        command.condition = r->swap_revision != 0 ? KV_IF_REVISION : KV_IF_ABSENT;
        command.condition_revision = r->swap_revision;
        break;
    case REQUEST_delete:
        command.op = KV_DELETE;
        break;
    case REQUEST_document:
        command.op = KV_DOCUMENT;
        break;
    default:
        break;
    }
    if (!r->has_attempt) {
        r->attempt = truth_attempt();
        r->has_attempt = (r->flags & REQUEST_KEYED) != 0;
        truth.attempts[r->attempt].is_keyed = r->has_attempt;
    }
    char retry_key[TRUTH_KEY_BYTES];
    if (r->has_attempt) {
        truth_retry_key(r->attempt, retry_key);
        command.retry_key = slice_str(retry_key);
        command.retry_hash[0] = r->attempt;
    }
    if (command.op != KV_DELETE) {
        fill_value(r, &value);
        command.value = buf_slice(&value);
    }
    r->write = (struct node_write){.done = on_written,
                                   .forward = (r->flags & REQUEST_FORWARD) != 0,
                                   .ack = r->flags & REQUEST_ACK_LEADER ? NODE_ACK_LEADER
                                          : r->flags & REQUEST_ACK_ALL  ? NODE_ACK_ALL
                                                                        : NODE_ACK_QUORUM};
    r->state = STATE_ASKED;
    r->voters = voters_now();
    verdict_trace("client %" PRIu32 ": asks member %d for write %" PRIu32 "%s", r->client,
                  r->member, r->attempt, r->has_attempt ? ", keyed" : "");
    enum status s = node_write_start(n, &r->write, &command);
    buf_deinit(&value);
    if (s == STATUS_NO_SPACE) {
        check_no_space(r);
    }
    if (s != STATUS_OK) {
        truth_attempt_ended(r->attempt, ATTEMPT_REFUSED);
        try_again(r);
    }
}

/* --- reads ------------------------------------------------------------------------------------ */

static void check_item(const struct request *r, const struct kv *kv, uint64_t at, uint64_t revision)
{
    char key[MODEL_KEY_BYTES];
    struct kv_item item;
    model_key(r->key, key);
    enum status s = kv_get(kv, slice_str(key), at, &item);
    if (s == STATUS_COMPACTED) {
        coverage_hit(MARK_OLD_REVISION_COMPACTED);
        if (at >= model_compacted(truth.model)) {
            verdict_fail("I12", "member %d: revision %" PRIu64 " is not compacted", r->member, at);
        }
    } else if (s == STATUS_FUTURE ||
               !model_agrees(truth.model, slice_str(key), at != 0 ? at : revision,
                             s == STATUS_OK ? &item : NULL)) {
        verdict_fail("I12", "member %d: %s at revision %" PRIu64 " is not what was written",
                     r->member, key, at != 0 ? at : revision);
    } else if (at != 0) {
        coverage_hit(MARK_OLD_REVISION_READ);
    }
}

static void check_range(const struct request *r, const struct kv *kv, uint64_t revision)
{
    struct kv_cursor cursor;
    struct kv_item item;
    uint32_t count = 0;
    bool is_good = true;
    enum status s = kv_cursor_init(&cursor, kv, slice_of(NULL, 0), slice_of(NULL, 0), 0);
    while (s == STATUS_OK && (s = kv_cursor_next(&cursor, &item)) == STATUS_OK) {
        is_good = is_good && model_agrees(truth.model, item.key, revision, &item);
        count++;
    }
    kv_cursor_deinit(&cursor);
    if (!is_good || s != STATUS_NOT_FOUND || count != model_count(truth.model, revision)) {
        verdict_fail("I12", "member %d: all keys at revision %" PRIu64 " are not what was written",
                     r->member, revision);
    }
    coverage_hit(MARK_RANGE_READ);
    uint64_t documents;
    if (!model_has_documents(truth.model, kv, revision, &documents)) {
        verdict_fail("I12", "member %d: documents at revision %" PRIu64 " are not what was written",
                     r->member, revision);
    }
    if (documents > 0) {
        coverage_hit(MARK_DOCUMENTS_READ);
    }
}

static void check_answer(struct request *r)
{
    if (truth.members[r->member].is_odd) {
        odd_state_on_answer(r->member);
        return;
    }
    const struct kv *kv = node_kv(r->all->members->items[r->member].node);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    verdict_trace("client %" PRIu32 ": reads revision %" PRIu64 " at member %d", r->client,
                  stats.revision, r->member);
    if (stats.revision > model_revision(truth.model)) {
        verdict_fail("I6", "member %d is at revision %" PRIu64 ", committed is %" PRIu64, r->member,
                     stats.revision, model_revision(truth.model));
    }
    if (r->read.consistency == NODE_LINEARIZABLE && stats.revision < r->floor) {
        verdict_fail("I12",
                     "member %d answers from revision %" PRIu64 ", %" PRIu64
                     " was told before it was asked",
                     r->member, stats.revision, r->floor);
    }
    if (r->read.consistency == NODE_SESSION && stats.revision < r->read.min_revision) {
        verdict_fail("I13", "member %d answers a session of %" PRIu64 " from revision %" PRIu64,
                     r->member, r->read.min_revision, stats.revision);
    }
    uint64_t old = 0;
    if (r->kind == REQUEST_get_old) {
        old = 1 + (r->flags >> REQUEST_MARK_SHIFT) * 7919 % stats.revision;
    }
    if (r->kind == REQUEST_range) {
        check_range(r, kv, stats.revision);
    } else {
        check_item(r, kv, old, stats.revision);
    }
    see_revision(r, stats.revision, r->read.consistency == NODE_LINEARIZABLE);
}

static void mark_read(const struct request *r, enum status s)
{
    const struct raft *raft = truth.members[r->member].raft;
    if (s == STATUS_NOT_LEADER) {
        coverage_hit(MARK_READ_LOST_LEADER);
    } else if (s == STATUS_NO_QUORUM) {
        coverage_hit(MARK_READ_NOT_CONFIRMED);
    } else if (s != STATUS_OK) {
        return;
    } else if (r->read.consistency == NODE_STALE) {
        coverage_hit(MARK_STALE_READ);
    } else if (r->read.consistency == NODE_SESSION) {
        coverage_hit(MARK_SESSION_READ);
        if (fake_world_now(r->all->members->world) > r->begun_ms) {
            coverage_hit(MARK_SESSION_WAITED);
        }
    } else {
        bool leads = raft != NULL && raft_role(raft) == RAFT_LEADER;
        coverage_hit(leads ? MARK_READ_ON_LEADER : MARK_READ_ON_FOLLOWER);
    }
}

static void post(struct request *r);

static void on_read(struct node_read *read)
{
    struct request *r = CONTAINER_OF(read, struct request, read);
    mark_read(r, read->status);
    if (read->status != STATUS_OK) {
        try_again(r);
        return;
    }
    check_answer(r);
    if (r->kind == REQUEST_swap) {
        char key[MODEL_KEY_BYTES];
        struct kv_item item;
        model_key(r->key, key);
        const struct kv *kv = node_kv(r->all->members->items[r->member].node);
        r->swap_revision = kv_get(kv, slice_str(key), 0, &item) == STATUS_OK ? item.revision : 0;
        r->has_read = true;
        r->state = STATE_WAITS;
        r->again_ms = fake_world_now(r->all->members->world);
        return;
    }
    finish(r);
}

static void ask_read(struct request *r, struct node *n)
{
    enum node_consistency consistency = NODE_LINEARIZABLE;
    if (r->kind == REQUEST_get_session) {
        consistency = NODE_SESSION;
    } else if (r->kind == REQUEST_get_stale || r->kind == REQUEST_get_old) {
        consistency = NODE_STALE;
    }
    r->read = (struct node_read){.consistency = consistency,
                                 .min_revision = r->all->clients[r->client].session,
                                 .done = on_read};
    r->state = STATE_ASKED;
    node_read_start(n, &r->read);
}

/* --- from item to question -------------------------------------------------------------------- */

/* On the loop of the member. */
static void ask(void *context)
{
    struct request *r = context;
    struct node *n = r->all->members->items[r->member].node;
    if (r->state != STATE_POSTED) {
        return; /* it was given up meanwhile */
    }
    CHECK(n != NULL);
    r->floor = r->all->floor;
    if (is_write(r)) {
        ask_write(r, n);
    } else {
        ask_read(r, n);
    }
}

static int choose_member(const struct request *r)
{
    const struct clients *c = r->all;
    int count = (int)c->members->count;
    int first = c->clients[r->client].leader;
    if (r->only_member >= 0) {
        first = r->only_member;
    } else if (r->flags & REQUEST_ANYWHERE || (!is_write(r) && r->tries == 0 && r->key % 2 == 0)) {
        first = (int)((r->flags >> REQUEST_MARK_SHIFT) + r->client) % count;
    }
    for (int i = 0; i < count; i++) {
        int member = (first + i) % count;
        if ((c->core >> member & 1) != 0 && c->members->items[member].node != NULL) {
            return member;
        }
    }
    return -1;
}

static void post(struct request *r)
{
    struct clients *c = r->all;
    r->member = choose_member(r);
    if (r->member < 0) {
        r->member = 0;
        try_again(r);
        return;
    }
    r->state = STATE_POSTED;
    r->begun_ms = fake_world_now(c->members->world);
    fake_process_post(c->members->items[r->member].loop, ask, r);
}

static struct request *new_request(struct clients *c, uint32_t client)
{
    CHECK_CMP(c->count, <, c->capacity);
    struct request *r = &c->requests[c->count++];
    *r = (struct request){.all = c, .client = client, .only_member = -1, .state = STATE_WAITS};
    return r;
}

static void start_next(struct clients *c, struct client *client)
{
    if (client->busy == NULL && client->queue_next < client->queue_count) {
        client->busy = &c->requests[client->queue[client->queue_next++]];
        post(client->busy);
    }
}

void clients_take(struct clients *c, const struct item *item)
{
    CHECK(item->a < SIM_CLIENTS_MAX && item->b < REQUEST_COUNT);
    struct client *client = &c->clients[item->a];
    struct request *r = new_request(c, item->a);
    r->kind = (enum request_kind)item->b;
    r->key = item->c % SIM_KEYS_MAX;
    r->flags = item->d;
    if (item->d & REQUEST_OPEN_LOOP) {
        post(r);
    } else {
        r->again_ms = UINT64_MAX; /* in its turn */
        client->queue[client->queue_count++] = (uint32_t)(r - c->requests);
        start_next(c, client);
    }
}

static void give_up(struct request *r)
{
    if (r->state == STATE_ASKED && is_write(r)) {
        node_write_cancel(&r->write);
        truth_attempt_ended(r->attempt, ATTEMPT_UNKNOWN);
    } else if (r->state == STATE_ASKED) {
        node_read_cancel(&r->read);
    }
    if (r->must_succeed ||
        (is_write(r) && (r->flags & (REQUEST_KEYED | REQUEST_ABANDONED)) == REQUEST_KEYED)) {
        try_again(r);
    } else {
        finish(r);
    }
}

void clients_tend(struct clients *c)
{
    uint64_t now_ms = fake_world_now(c->members->world);
    uint64_t patience_ms = 3ull * c->schedule->knobs[KNOB_request_ms];
    while (c->first_open < c->count && c->requests[c->first_open].state == STATE_DONE) {
        c->first_open++;
    }
    for (uint32_t i = c->first_open; i < c->count; i++) {
        struct request *r = &c->requests[i];
        if (r->only_member >= 0 && configs_is_removed(&truth.members[r->only_member])) {
            r->must_succeed = false; /* whoever is no member need not answer */
        }
        if (r->state == STATE_WAITS && r->again_ms <= now_ms) {
            post(r);
        } else if (r->state == STATE_ASKED && (r->flags & REQUEST_ABANDONED) != 0) {
            coverage_hit(MARK_WRITE_ABANDONED);
            give_up(r);
        } else if ((r->state == STATE_POSTED || r->state == STATE_ASKED) &&
                   now_ms - r->begun_ms > patience_ms) {
            give_up(r);
        }
    }
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        start_next(c, &c->clients[i]);
    }
}

void clients_on_stop(struct clients *c, int member)
{
    for (uint32_t i = c->first_open; i < c->count; i++) {
        struct request *r = &c->requests[i];
        if ((r->state == STATE_POSTED || r->state == STATE_ASKED) && r->member == member) {
            give_up(r);
        }
    }
}

void clients_finish(struct clients *c, uint32_t core)
{
    c->core = core;
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) { /* what was not begun stays so */
        struct client *client = &c->clients[i];
        while (client->queue_next < client->queue_count) {
            c->requests[client->queue[client->queue_next++]].state = STATE_DONE;
        }
    }
    for (uint32_t i = 0; i < c->schedule->knobs[KNOB_clients]; i++) {
        struct request *r = new_request(c, i);
        r->kind = REQUEST_put;
        r->key = i % SIM_KEYS_MAX;
        r->must_succeed = true;
    }
    for (int i = 0; i < (int)c->members->count; i++) {
        if ((core >> i & 1) != 0) {
            struct request *r = new_request(c, 0);
            r->kind = REQUEST_get;
            r->only_member = i;
            r->must_succeed = true;
        }
    }
}

bool clients_are_done(const struct clients *c)
{
    for (uint32_t i = c->first_open; i < c->count; i++) {
        if (c->requests[i].state != STATE_DONE) {
            return false;
        }
    }
    return true;
}

void clients_explain(const struct clients *c, char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = c->first_open; i < c->count; i++) {
        const struct request *r = &c->requests[i];
        if (r->state != STATE_DONE) {
            snprintf(text, size,
                     "request %" PRIu32 " of client %" PRIu32 " (kind %d, state %d) at "
                     "member %d, tried %" PRIu32 " times",
                     i, r->client, (int)r->kind, (int)r->state, r->member, r->tries);
            return;
        }
    }
}

struct clients *clients_create(const struct schedule *s, struct sim_members *members)
{
    struct clients *c = mem_calloc(1, sizeof(*c));
    c->schedule = s;
    c->members = members;
    c->core = UINT32_MAX;
    c->capacity = s->item_count + 2 * (SIM_CLIENTS_MAX + SIM_MEMBERS_MAX);
    c->requests = mem_calloc(c->capacity, sizeof(*c->requests));
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        c->clients[i].queue = mem_calloc(s->item_count + 1, sizeof(uint32_t));
    }
    return c;
}

void clients_destroy(struct clients *c)
{
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        mem_free(c->clients[i].queue);
    }
    mem_free(c->requests);
    mem_free(c);
}
