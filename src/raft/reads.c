/* Linearizable reads by ReadIndex (thesis 6.4).
 *
 * A leader that has committed an entry of its term (rule Q1) notes its commit index, asks a quorum
 * "am I still the leader?", and answers when they say yes. Rounds are numbered by the leader
 * itself:
 *
 *     reads    a b |      c d e           | f
 *     rounds       |--- round 7 (a b) --->|--- round 8 (c d e) --->|
 *
 * An answer to round 7 confirms only what came before round 7 was sent (rule Q2). Never are rounds
 * keyed by what a caller sends: etcd answered stale reads for years because a retried request could
 * be confirmed by the answers to its first try.
 *
 * A follower asks its leader. Its questions are numbered from a random beginning, so that an answer
 * to a question from before a restart answers nothing. */
#include "raft/raft_internal.h"

#include <string.h>

void reads_init(struct raft *r)
{
    r->reads.question_number = rng_next(&r->rng) >> 2;
}

void reads_deinit(struct reads *reads)
{
    mem_free(reads->waiting.items);
    mem_free(reads->confirming.items);
    mem_free(reads->questions);
    *reads = (struct reads){0};
}

static bool is_full(const struct raft *r)
{
    const struct reads *q = &r->reads;
    return q->waiting.count + q->confirming.count + q->question_count >= LIMIT_RAFT_READS;
}

static void add_request(struct read_list *list, struct read_request request)
{
    list->items =
        array_reserve(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = request;
}

enum status reads_add(struct raft *r, uint64_t token)
{
    struct reads *q = &r->reads;
    if (r->leader == 0) {
        return STATUS_NOT_LEADER;
    }
    if (is_full(r)) {
        return STATUS_OVERLOADED;
    }
    if (r->role == RAFT_LEADER) {
        add_request(&q->waiting, (struct read_request){.from = r->options.self, .token = token});
        return STATUS_OK;
    }
    q->questions = array_reserve(q->questions, &q->question_capacity, q->question_count + 1,
                                 sizeof(*q->questions));
    q->questions[q->question_count++] = (struct read_question){.token = token};
    return STATUS_OK;
}

static void answer_member(struct raft *r, struct read_request to, enum status status,
                          raft_index index)
{
    struct raft_message m = message_to(r, RAFT_MSG_READ_REPLY, to.from);
    m.round = to.token;
    m.reject = status != STATUS_OK;
    m.match = index;
    outbox_send(r, &m);
    if (r->role == RAFT_LEADER) {
        leader_hurry_commit(r, to.from);
    }
}

static void answer(struct raft *r, struct read_request to, enum status status, raft_index index)
{
    if (to.from != r->options.self) {
        answer_member(r, to, status, index);
        return;
    }
    outbox_read(r, &(struct raft_read){.token = to.token, .status = status, .index = index});
}

static void answer_all(struct raft *r, struct read_list *list, enum status status, raft_index index)
{
    for (uint32_t i = 0; i < list->count; i++) {
        answer(r, list->items[i], status, index);
    }
    list->count = 0;
}

void reads_on_question(struct raft *r, const struct raft_message *m)
{
    struct read_request request = {.from = m->from, .token = m->round};
    if (r->role != RAFT_LEADER || m->term != r->term || is_full(r)) {
        answer_member(r, request, STATUS_NOT_LEADER, 0);
        return;
    }
    add_request(&r->reads.waiting, request);
}

/* Answer the `count` oldest questions. */
static void answer_questions(struct raft *r, uint32_t count, enum status status, raft_index index)
{
    struct reads *q = &r->reads;
    CHECK_CMP(count, <=, q->question_count);
    for (uint32_t i = 0; i < count; i++) {
        outbox_read(r, &(struct raft_read){
                           .token = q->questions[i].token, .status = status, .index = index});
    }
    q->question_count -= count;
    if (count > 0 && q->question_count > 0) {
        memmove(q->questions, q->questions + count, q->question_count * sizeof(*q->questions));
    }
}

/* An answer to a question serves all that were asked before it as well. */
void reads_on_answer(struct raft *r, const struct raft_message *m)
{
    const struct reads *q = &r->reads;
    if (m->from != r->leader || q->question_count == 0 || m->round < q->questions[0].number) {
        return;
    }
    uint32_t count = 0;
    bool is_asked = false;
    while (count < q->question_count && q->questions[count].number != 0 &&
           q->questions[count].number <= m->round) {
        is_asked = is_asked || q->questions[count].number == m->round;
        count++;
    }
    if (is_asked) {
        answer_questions(r, count, m->reject ? STATUS_NOT_LEADER : STATUS_OK,
                         m->reject ? 0 : m->match);
    }
}

void reads_fail_all(struct raft *r)
{
    struct reads *q = &r->reads;
    q->round_open = false;
    answer_all(r, &q->confirming, STATUS_NOT_LEADER, 0);
    answer_all(r, &q->waiting, STATUS_NOT_LEADER, 0);
    answer_questions(r, q->question_count, STATUS_NOT_LEADER, 0);
}

void reads_on_unreachable(struct raft *r, node_id id)
{
    if (id == r->leader) {
        answer_questions(r, r->reads.question_count, STATUS_NOT_LEADER, 0);
    }
}

/* A lost question or answer must not keep its place for ever. */
void reads_on_time(struct raft *r)
{
    const struct reads *q = &r->reads;
    uint32_t late = 0;
    while (late < q->question_count && q->questions[late].number != 0 &&
           q->questions[late].deadline_ms <= r->now_ms) {
        late++;
    }
    answer_questions(r, late, STATUS_NOT_LEADER, 0);
}

uint64_t reads_deadline(const struct raft *r)
{
    const struct reads *q = &r->reads;
    return q->question_count > 0 ? q->questions[0].deadline_ms : UINT64_MAX;
}

static uint64_t confirmed_round_of(const void *context, node_id id)
{
    const struct raft *r = context;
    if (id == r->options.self) {
        return r->reads.round;
    }
    const struct member *m = member_find(r, id);
    return m != NULL ? m->progress.acked_round : 0;
}

/* Voters only, and the configuration as it is now (rule Q3). */
static void maybe_finish_round(struct raft *r)
{
    struct reads *q = &r->reads;
    if (q->round_open && quorum_value(&r->config, r, confirmed_round_of) >= q->round) {
        q->round_open = false;
        answer_all(r, &q->confirming, STATUS_OK, q->round_index);
    }
}

static void begin_round(struct raft *r)
{
    struct reads *q = &r->reads;
    CHECK_CMP(q->confirming.count, ==, 0);
    struct read_list empty = q->confirming;
    q->confirming = q->waiting;
    q->waiting = empty;
    q->round++;
    q->round_open = true;
    q->round_index = r->commit;
}

/* One round at a time: reads that come meanwhile share the next one. Lost messages are made good by
 * the heartbeats, which carry the open round's number. */
void reads_leader_turn(struct raft *r)
{
    struct reads *q = &r->reads;
    maybe_finish_round(r);
    if (lease_is_valid(r, r->now_ms)) {
        answer_all(r, &q->waiting, STATUS_OK, r->commit);
    }
    if (q->round_open || q->waiting.count == 0 || !leader_is_established(r) ||
        r->transfer.stalled) {
        return;
    }
    begin_round(r);
    leader_broadcast_heartbeat(r);
    maybe_finish_round(r); /* a lone voter confirms itself */
}

void reads_follower_turn(struct raft *r)
{
    struct reads *q = &r->reads;
    uint32_t first = q->question_count;
    while (first > 0 && q->questions[first - 1].number == 0) {
        first--;
    }
    if (first == q->question_count) {
        return;
    }
    CHECK(r->leader != 0 && r->leader != r->options.self);
    q->question_number++;
    for (uint32_t i = first; i < q->question_count; i++) {
        q->questions[i].number = q->question_number;
        q->questions[i].deadline_ms = r->now_ms + r->options.election_timeout_ms;
    }
    struct raft_message m = message_to(r, RAFT_MSG_READ, r->leader);
    m.round = q->question_number;
    outbox_send(r, &m);
}
