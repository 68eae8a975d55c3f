/* node/write_queue.c - client writes from their proposal to their answer.
 *
 *   writes           proposed, in order of index; left when that index is applied
 *   writes_durable   the same for NODE_ACK_LEADER; left when this member has synced it
 *   writes_all       applied, NODE_ACK_ALL: left when every voter has synced it
 *
 * Three outcomes only (rule K1). A write whose index is applied with another term was superseded:
 * it is known never to be committed, so that its client may try again (rule K5). Before that,
 * whatever happens to leadership, its outcome is unknown. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "kv/kv_txn.h"
#include "node/node_internal.h"

#include <stdio.h>
#include <string.h>

static struct node_write *write_of(struct list *link)
{
    return CONTAINER_OF(link, struct node_write, link);
}

static void finish(struct node_write *w, enum status status)
{
    list_remove(&w->link);
    if (w->node != NULL) {
        w->node->write_count--;
        w->node = NULL;
    }
    w->status = status;
    w->done(w);
}

/* Keep a list in order of index. Only after a lost and regained leadership is the place not the
 * end. */
static void insert_by_index(struct list *head, struct node_write *w)
{
    struct list *at = head->prev;
    while (at != head && write_of(at)->index > w->index) {
        at = at->prev;
    }
    list_push_back(at->next, &w->link);
}

bool node_is_too_large(const struct node *n, const struct kv_command *c)
{
    return c->value.size > n->options.value_bytes_max || c->txn.size > n->options.value_bytes_max;
}

/* If it takes room at all. */
static bool lacks_room(const struct node *n, const struct kv_command *c)
{
    struct kv_stats stats;
    kv_stats(n->kv, &stats);
    return n->no_space ||
           stats.live_bytes + c->key.size + c->value.size + c->txn.size > n->options.quota_bytes;
}

static bool txn_puts(const struct kv_txn *txn);

static bool ops_put(const struct kv_txn_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        const struct kv_txn_op *op = &ops->at[i];
        if (op->kind == KV_TXN_PUT || (op->kind == KV_TXN_NESTED && txn_puts(op->nested))) {
            return true;
        }
    }
    return false;
}

static bool txn_puts(const struct kv_txn *txn) /* at most LIMIT_TXN_DEPTH deep */
{
    return ops_put(&txn->success) || ops_put(&txn->failure);
}

/* What makes room passes. */
static bool takes_room(const struct kv_command *c)
{
    if (c->op == KV_TXN) {
        struct kv_txn *txn;
        bool takes = kv_txn_decode(c->txn, &txn) != STATUS_OK;
        if (!takes) {
            takes = txn_puts(txn);
            kv_txn_destroy(txn);
        }
        return takes;
    }
    return c->op != KV_DELETE && c->op != KV_COMPACT && c->op != KV_LEASE_REVOKE;
}

bool node_is_new_command(const struct kv_command *c)
{
    switch (c->op) {
    case KV_PUT:
        return c->lease != 0; /* it took any */
    case KV_DELETE:
    case KV_COMPACT:
    case KV_DOCUMENT:
        return false;
    case KV_TXN:
    case KV_LEASE_GRANT:
    case KV_LEASE_REVOKE:
    case KV_LEASE_EXPIRE:
    case KV_PUT_TTL:
    case KV_AUTH:
        break;
    }
    return true;
}

static bool is_known_everywhere(const struct node *n)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        if (!node_loads_knows_leases(n, n->members.members[i].incarnation)) {
            return false;
        }
    }
    return true;
}

/* The oldest proposal has waited for a good part of its time: what is behind it will wait for
 * longer. */
static bool is_slow(const struct node *n)
{
    if (list_is_empty(&n->writes)) {
        return false;
    }
    const struct node_write *oldest = write_of(n->writes.next);
    uint64_t patience_ms = n->options.request_timeout_ms / LIMIT_PATIENT_WRITE_PART;
    return n->loop->ops->now_us(n->loop) >= oldest->started_us + 1000 * patience_ms;
}

bool node_is_overloaded(const struct node *n, uint64_t bytes)
{
    if (n->raft == NULL || !node_is_leader(n)) {
        return false;
    }
    if (n->write_count >= LIMIT_WAITING_REQUESTS || bytes <= LIMIT_PATIENT_WRITE_BYTES) {
        return n->write_count >= LIMIT_WAITING_REQUESTS;
    }
    uint64_t waits = raft_figures(n->raft).uncommitted_bytes;
    return is_slow(n) || (waits > 0 && waits + bytes > LIMIT_UNCOMMITTED_BYTES);
}

static enum status refuse(const struct node *n, const struct kv_command *c)
{
    if (n->shutting_down || !node_is_leader(n)) {
        return STATUS_NOT_LEADER;
    }
    if (raft_is_transferring(n->raft) || n->agreement.is_quarantined) {
        return STATUS_BUSY;
    }
    if (node_lacks_quorum(n)) {
        return STATUS_NO_QUORUM;
    }
    if (node_is_too_large(n, c)) {
        return STATUS_TOO_LARGE;
    }
    if (node_is_overloaded(n, c->value.size + c->txn.size)) {
        return STATUS_OVERLOADED;
    }
    if (node_is_new_command(c) && !is_known_everywhere(n)) {
        return STATUS_UNSUPPORTED;
    }
    return lacks_room(n, c) && takes_room(c) ? STATUS_NO_SPACE : STATUS_OK;
}

static enum status append_at(struct node *n, uint64_t now_ms, const struct kv_command *command,
                             struct entry_id *id)
{
    buf_clear(&n->scratch);
    kv_command_encode(command, &n->scratch);
    struct raft_entry entry = {.type = RAFT_ENTRY_COMMAND,
                               .payload = blob_copy(buf_slice(&n->scratch))};
    struct raft_input input = {.now_ms = now_ms, .kind = RAFT_INPUT_PROPOSE};
    input.propose.entries = &entry;
    input.propose.count = 1;
    enum status s = raft_step(n->raft, &input);
    blob_unref(entry.payload);
    if (s == STATUS_OK) {
        *id = raft_last(n->raft);
        n->turn_wanted = true;
    }
    return s;
}

enum status node_propose(struct node *n, const struct kv_command *command, struct entry_id *id)
{
    return append_at(n, node_now(n), command, id);
}

static enum status propose(struct node *n, struct node_write *w, const struct kv_command *command)
{
    struct kv_command timed = *command;
    timed.time_ms = n->loop->ops->wall_ms(n->loop);
    timed.retry_origin = n->self;
    uint64_t now_us = n->loop->ops->now_us(n->loop);
    struct entry_id id;
    enum status s = append_at(n, now_us / 1000, &timed, &id);
    if (s != STATUS_OK) {
        return s;
    }
    w->index = id.index;
    w->term = id.term;
    w->node = n;
    w->started_us = now_us;
    w->deadline_ms = now_us / 1000 + n->options.request_timeout_ms;
    n->write_count++;
    n->ack_all_index = w->ack == NODE_ACK_ALL ? w->index : n->ack_all_index;
    bool goes_early = w->ack == NODE_ACK_LEADER && w->answer == NULL; /* before it is applied */
    insert_by_index(goes_early ? &n->writes_durable : &n->writes, w);
    return STATUS_OK;
}

enum status node_write_start(struct node *n, struct node_write *w, const struct kv_command *command)
{
    if (command->op == KV_LEASE_EXPIRE) {
        return STATUS_INVALID;
    }
    w->forward_number = 0;
    w->leader[0] = '\0';
    enum status s = refuse(n, command);
    if (s == STATUS_NOT_LEADER && w->forward && !n->shutting_down) {
        return node_forward_start(n, w, command);
    }
    if (s == STATUS_OK) {
        s = propose(n, w, command);
    }
    n->figures.proposals += s == STATUS_OK ? 1 : 0;
    n->figures.proposals_refused += s == STATUS_OK ? 0 : 1;
    return s;
}

void node_write_cancel(struct node_write *w)
{
    if (w->node == NULL) {
        return;
    }
    w->node->write_count--;
    w->node = NULL;
    list_remove(&w->link);
}

struct buf *node_writes_answer_at(const struct node *n, raft_index index, raft_term term)
{
    const struct list *at = n->writes.next;
    for (; at != &n->writes; at = at->next) {
        const struct node_write *w = CONTAINER_OF(at, struct node_write, link);
        if (w->index > index) {
            return NULL;
        }
        if (w->index == index && w->term == term) {
            return w->answer;
        }
    }
    return NULL;
}

void node_writes_on_applied(struct node *n, raft_index index, raft_term term,
                            const struct kv_result *result)
{
    while (!list_is_empty(&n->writes)) {
        struct node_write *w = write_of(n->writes.next);
        if (w->index > index) {
            return;
        }
        CHECK_CMP(w->index, ==, index);
        if (w->term != term) {
            finish(w, STATUS_NOT_LEADER);
            continue;
        }
        w->result = *result;
        node_histogram_add(&n->figures.commit, n->applying_us - w->started_us);
        if (w->ack == NODE_ACK_ALL && result->status == STATUS_OK) {
            list_remove(&w->link);
            list_push_back(&n->writes_all, &w->link);
        } else {
            finish(w, result->status);
        }
    }
}

void node_writes_on_restored(struct node *n, raft_index index)
{
    while (!list_is_empty(&n->writes) && write_of(n->writes.next)->index <= index) {
        finish(write_of(n->writes.next), STATUS_UNKNOWN);
    }
}

static raft_index match_of_each(const struct node *n, const node_id *ids, uint32_t count)
{
    raft_index least = raft_durable(n->raft);
    for (uint32_t i = 0; i < count; i++) {
        struct raft_progress_view view;
        if (ids[i] != n->self) {
            if (!raft_progress_of(n->raft, ids[i], &view)) {
                return 0;
            }
            least = view.match < least ? view.match : least;
        }
    }
    return least;
}

/* The highest index that every voter is known to have synced, as this leader knows it. Who is being
 * removed is one until that is committed: it may be undone. */
static raft_index match_of_all(const struct node *n)
{
    const struct raft_config *c = raft_active_config(n->raft);
    raft_index incoming = match_of_each(n, c->voters, c->voter_count);
    raft_index outgoing = match_of_each(n, c->outgoing, c->outgoing_count);
    return incoming < outgoing ? incoming : outgoing;
}

static void finish_durable(struct node *n)
{
    raft_index durable = raft_durable(n->raft);
    while (!list_is_empty(&n->writes_durable)) {
        struct node_write *w = write_of(n->writes_durable.next);
        raft_term term;
        if (!raft_term_at(n->raft, w->index, &term) || term != w->term) {
            finish(w, STATUS_UNKNOWN); /* dropped from our log; another member may still bring it */
        } else if (w->index <= durable) {
            finish(w, STATUS_OK);
        } else {
            return;
        }
    }
}

void node_writes_on_turn(struct node *n)
{
    finish_durable(n);
    if (list_is_empty(&n->writes_all) || !node_is_leader(n)) {
        return;
    }
    raft_index all = match_of_all(n);
    while (!list_is_empty(&n->writes_all) && write_of(n->writes_all.next)->index <= all) {
        finish(write_of(n->writes_all.next), STATUS_OK);
    }
}

static void name_missing(const struct node *n, struct node_write *w)
{
    w->missing_count = 0;
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct roster_member *m = &n->members.members[i];
        node_id id = uuid_short(m->incarnation);
        struct raft_progress_view view;
        if (id == n->self || !membership_decides(&n->config, id)) {
            continue;
        }
        if (!node_is_leader(n) || !raft_progress_of(n->raft, id, &view) || view.match < w->index) {
            snprintf(w->missing[w->missing_count++], sizeof(w->missing[0]), "%s", m->name);
        }
    }
}

void node_writes_expire(struct node *n, uint64_t now_ms)
{
    struct list *const unknown[] = {&n->writes, &n->writes_durable};
    for (size_t i = 0; i < 2; i++) {
        while (!list_is_empty(unknown[i]) && write_of(unknown[i]->next)->deadline_ms <= now_ms) {
            finish(write_of(unknown[i]->next), STATUS_UNKNOWN);
        }
    }
    while (!list_is_empty(&n->writes_all) && write_of(n->writes_all.next)->deadline_ms <= now_ms) {
        struct node_write *w = write_of(n->writes_all.next);
        name_missing(n, w);
        finish(w, STATUS_NOT_CONFIRMED);
    }
}

void node_writes_fail_all(struct node *n)
{
    node_writes_expire(n, UINT64_MAX);
    node_forwards_expire(n, UINT64_MAX);
}

uint64_t node_writes_deadline(const struct node *n)
{
    const struct list *const lists[] = {&n->writes, &n->writes_durable, &n->writes_all};
    uint64_t earliest = UINT64_MAX;
    for (size_t i = 0; i < 3; i++) {
        if (!list_is_empty(lists[i])) {
            uint64_t deadline_ms = write_of(lists[i]->next)->deadline_ms;
            earliest = deadline_ms < earliest ? deadline_ms : earliest;
        }
    }
    return earliest;
}
