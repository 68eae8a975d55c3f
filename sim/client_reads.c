/* client_reads.c - reads of clients, and what their answers prove: I12 to I14. */
#include "answer_text.h"
#include "base/check.h"
#include "client_request.h"
#include "coverage.h"
#include "odd_state.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <string.h>

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

/* Ranges and transactions that only read. */
static void check_plan(const struct request *r, const struct kv *kv, const struct kv_stats *stats)
{
    struct plan plan = {0};
    struct buf has = {0};
    struct buf must = {0};
    const struct plan_numbers numbers = {.seed = request_seed(r),
                                         .revision = r->floor + 1,
                                         .only_reads = true,
                                         .one_range = r->kind == REQUEST_range_read};
    plan_make(&plan, r->all->schedule->knobs, &numbers);
    enum status expected =
        model_read(truth.model, plan.txn, stats->revision, stats->compact_revision, &must);
    enum status s;
    if (numbers.one_range) {
        s = answer_text_range(kv, &plan.txn->success.at[0].range, &has);
    } else {
        struct buf bytes = {0};
        s = kv_txn_read(kv, plan.txn, &bytes);
        if (s == STATUS_OK && !answer_text_of(buf_slice(&bytes), &has)) {
            s = STATUS_CORRUPT;
        }
        buf_deinit(&bytes);
    }
    if (s != expected || !slice_equal(buf_slice(&has), buf_slice(&must))) {
        buf_append_byte(&has, '\0');
        buf_append_byte(&must, '\0');
        verdict_fail("I12", "member %d reads %s (%s); it is %s (%s)", r->member,
                     (const char *)has.data, status_name(s), (const char *)must.data,
                     status_name(expected));
    }
    coverage_hit(s != STATUS_OK      ? MARK_READ_REFUSED
                 : numbers.one_range ? MARK_RANGE_READ_IN_PART
                                     : MARK_TXN_READ);
    buf_deinit(&has);
    buf_deinit(&must);
    plan_deinit(&plan);
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
        old = 1 + request_mark(r) * 7919 % stats.revision;
    }
    if (r->kind == REQUEST_range) {
        check_range(r, kv, stats.revision);
    } else if (r->kind == REQUEST_txn_read || r->kind == REQUEST_range_read) {
        check_plan(r, kv, &stats);
    } else {
        check_item(r, kv, old, stats.revision);
    }
    request_see_revision(r, stats.revision, r->read.consistency == NODE_LINEARIZABLE);
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

static void on_read(struct node_read *read)
{
    struct request *r = CONTAINER_OF(read, struct request, read);
    mark_read(r, read->status);
    if (read->status != STATUS_OK) {
        request_try_again(r);
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
    request_finish(r);
}

void request_ask_read(struct request *r, struct node *n)
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
