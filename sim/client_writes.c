/* client_writes.c - writes of clients, and what their answers prove: I10 to I12, K1, P12. */
#include "answer_text.h"
#include "base/mem.h"
#include "client_request.h"
#include "configs.h"
#include "coverage.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <string.h>

/* Who answers for a write. */
static int taker_of(const struct request *r)
{
    return r->write.leader[0] != '\0' ? r->write.leader[5] - '1' : r->member; /* "node-3" */
}

/* What it writes tells it from all others. */
static bool has_number(const struct request *r)
{
    return r->kind != REQUEST_delete && r->kind != REQUEST_grant && r->kind != REQUEST_revoke;
}

/* All but what it writes. */
static void fill_command(const struct request *r, const char *key, struct kv_command *command)
{
    *command = (struct kv_command){.op = KV_PUT, .key = slice_str(key)};
    switch (r->kind) {
    case REQUEST_put_if_absent:
        command->condition = KV_IF_ABSENT;
        break;
    case REQUEST_put_if_exists:
        command->condition = KV_IF_EXISTS;
        break;
    case REQUEST_swap:
        command->condition = r->swap_revision != 0 ? KV_IF_REVISION : KV_IF_ABSENT;
        command->condition_revision = r->swap_revision;
        break;
    case REQUEST_delete:
        command->op = KV_DELETE;
        break;
    case REQUEST_document:
        *command = (struct kv_command){.op = KV_DOCUMENT};
        break;
    case REQUEST_txn:
        *command = (struct kv_command){.op = KV_TXN};
        break;
    case REQUEST_grant:
    case REQUEST_revoke:
    case REQUEST_put_lease:
    case REQUEST_put_ttl:
        request_lease_command(r, command);
        break;
    default:
        break;
    }
}

/* It is answered for an entry that does what it asked. */
static void check_is_own(const struct request *r)
{
    struct kv_command asked;
    struct kv_command done;
    const struct known_entry *e = truth.committed[r->write.index].entry;
    char name[MODEL_KEY_BYTES];
    model_key(r->key, name);
    fill_command(r, name, &asked);
    if (kv_command_decode(slice_of(e->payload, e->size), &done) != STATUS_OK ||
        done.op != asked.op || done.lease != asked.lease || done.ttl_s != asked.ttl_s ||
        !slice_equal(done.key, asked.key)) {
        verdict_fail("I12", "member %d acknowledges something else at %" PRIu64, r->member,
                     r->write.index);
    }
}

/* I12: the answer to a transaction, field by field. */
static void check_answer(const struct request *r)
{
    const struct committed_entry *c = &truth.committed[r->write.index];
    struct buf text = {0};
    if (!answer_text_of(buf_slice(&r->answer), &text) ||
        !slice_equal(buf_slice(&text), slice_str(c->answer))) {
        buf_append_byte(&text, '\0');
        verdict_fail("I12", "member %d answers transaction %" PRIu64 " with %s; it is %s",
                     r->member, r->write.index, (const char *)text.data, c->answer);
    }
    buf_deinit(&text);
    if (r->write.leader[0] != '\0') {
        coverage_hit(MARK_TXN_ANSWERED_FROM_AFAR);
    }
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
    check_is_own(r);
    /* That not all have it is no matter of the store. */
    enum status told = w->status == STATUS_NOT_CONFIRMED ? STATUS_OK : w->result.status;
    if (must->status != told || must->revision != w->result.revision ||
        must->version != w->result.version || must->create_revision != w->result.create_revision ||
        must->time_ms != w->result.time_ms || must->lease != w->result.lease ||
        must->succeeded != w->result.succeeded) {
        verdict_fail("I12",
                     "member %d answers entry %" PRIu64 " with revision %" PRIu64 " (%s), it "
                     "made %" PRIu64 " (%s)",
                     r->member, w->index, w->result.revision, status_name(w->result.status),
                     must->revision, status_name(must->status));
    }
    if (r->kind == REQUEST_txn && must->status == STATUS_OK) {
        check_answer(r);
    }
    const struct attempt *a = &truth.attempts[r->attempt];
    if (w->result.replayed) {
        coverage_hit(MARK_WRITE_REPLAYED);
        if (!a->is_keyed || a->committed_at >= w->index) {
            verdict_fail("I11", "entry %" PRIu64 " is answered as one that was applied before",
                         w->index);
        }
        request_see_revision(r, w->result.revision, true);
        return;
    }
    if ((has_number(r) || a->is_keyed) && a->committed_at != w->index) {
        verdict_fail("I12", "member %d acknowledges another's write at %" PRIu64, r->member,
                     w->index);
    }
    if (w->result.revision < r->floor) {
        verdict_fail("I12", "a write is told revision %" PRIu64 ", %" PRIu64 " was told before it",
                     w->result.revision, r->floor);
    }
    request_see_revision(r, w->result.revision, true);
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

static bool makes_room(const struct request *r)
{
    return r->kind == REQUEST_delete || r->kind == REQUEST_revoke ||
           (r->kind == REQUEST_txn && !plan_has_put(truth.attempts[r->attempt].plan->txn));
}

/* Rule P12: refused for want of room are writes that take some, and only when there is none. */
static void check_no_space(const struct request *r)
{
    const struct truth_member *m = &truth.members[taker_of(r)];
    coverage_hit(MARK_WRITE_REFUSED_NO_SPACE);
    if (makes_room(r) || (!m->was_full && !m->may_fail)) {
        verdict_fail("P12", "member %d refuses a %s for want of room", truth_index(m),
                     makes_room(r) ? "delete" : "write, and has room");
    }
}

/* Applied, and changed nothing. */
static void mark_refusal(const struct request *r)
{
    enum status s = r->write.status;
    if (r->kind == REQUEST_txn) {
        coverage_hit(MARK_TXN_REFUSED);
    } else if (s == STATUS_NO_LEASE) {
        coverage_hit(MARK_WRITE_WITHOUT_LEASE);
    } else {
        coverage_hit(s == STATUS_CONFLICT ? MARK_CONDITION_FAILED : MARK_DELETED_NOTHING);
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
        if (w->ack == NODE_ACK_LEADER && r->kind != REQUEST_txn) {
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
    case STATUS_NO_LEASE:
    case STATUS_COMPACTED:
    case STATUS_FUTURE:
        mark_refusal(r);
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
            request_try_again(r);
            return;
        }
        break;
    default: /* superseded, or refused by the leader that was asked */
        if (w->status == STATUS_NO_SPACE) {
            check_no_space(r);
        }
        coverage_hit(MARK_WRITE_SUPERSEDED);
        truth_attempt_ended(r->attempt, ATTEMPT_REFUSED);
        request_try_again(r);
        return;
    }
    request_finish(r);
}

/* The number, and random bytes behind it. */
static void fill_value(const struct request *r, struct buf *value)
{
    size_t bytes = r->all->schedule->knobs[KNOB_value_bytes];
    bytes = (bytes > TRUTH_VALUE_MIN ? bytes + 3 : TRUTH_VALUE_MIN) / 4 * 4;
    plan_value(r->attempt, bytes, buf_reserve(value, bytes));
    value->size = bytes;
}

static void number_attempt(struct request *r)
{
    const struct clients *c = r->all;
    if (r->has_attempt) {
        return;
    }
    r->attempt = truth_attempt();
    r->has_attempt = (r->flags & REQUEST_KEYED) != 0;
    truth.attempts[r->attempt].is_keyed = r->has_attempt;
    if (r->kind == REQUEST_txn) {
        const struct plan_numbers numbers = {
            .seed = request_seed(r), .attempt = r->attempt, .revision = c->floor + 1};
        struct plan *plan = mem_calloc(1, sizeof(*plan));
        plan_make(plan, c->schedule->knobs, &numbers);
        truth.attempts[r->attempt].plan = plan;
    }
}

void request_ask_write(struct request *r, struct node *n)
{
    char key[MODEL_KEY_BYTES];
    char retry_key[TRUTH_KEY_BYTES];
    struct buf bytes = {0};
    struct kv_command command;
    model_key(r->key, key);
    fill_command(r, key, &command);
    number_attempt(r);
    if (r->has_attempt) {
        truth_retry_key(r->attempt, retry_key);
        command.retry_key = slice_str(retry_key);
        command.retry_hash[0] = r->attempt;
    }
    if (r->kind == REQUEST_txn) {
        kv_txn_encode(truth.attempts[r->attempt].plan->txn, &bytes);
        command.txn = buf_slice(&bytes);
    } else if (has_number(r)) {
        fill_value(r, &bytes);
        command.value = buf_slice(&bytes);
    }
    buf_clear(&r->answer);
    r->write = (struct node_write){.done = on_written,
                                   .forward = (r->flags & REQUEST_FORWARD) != 0,
                                   .answer = r->kind == REQUEST_txn ? &r->answer : NULL,
                                   .ack = r->flags & REQUEST_ACK_LEADER ? NODE_ACK_LEADER
                                          : r->flags & REQUEST_ACK_ALL  ? NODE_ACK_ALL
                                                                        : NODE_ACK_QUORUM};
    r->state = STATE_ASKED;
    r->voters = voters_now();
    verdict_trace("client %" PRIu32 ": asks member %d for write %" PRIu32 "%s", r->client,
                  r->member, r->attempt, r->has_attempt ? ", keyed" : "");
    enum status s = node_write_start(n, &r->write, &command);
    buf_deinit(&bytes);
    if (s == STATUS_NO_SPACE) {
        check_no_space(r);
    }
    if (s != STATUS_OK) {
        truth_attempt_ended(r->attempt, ATTEMPT_REFUSED);
        request_try_again(r);
    }
}
