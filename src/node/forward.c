/* node/forward.c - a write that came to a follower, taken by the leader (rule R15).
 *
 * One hop: who is asked and does not lead refuses. Sent once: it is never repeated, so that it
 * needs no tag to be applied at most once, and when the link ends before the answer its outcome
 * is unknown (rule K1). A refusal of the leader is a refusal: nothing was written.
 *
 * What a reply says of transactions and leases comes last and only when there is something to say:
 * an older member asks for neither. */
#include "base/codec.h"
#include "base/mem.h"
#include "node/node_internal.h"

#include <stdio.h>
#include <string.h>

/* Outcomes on the wire: places in this list, which only grows. */
static const enum status wire_statuses[] = {
    STATUS_OK,        STATUS_NOT_FOUND,     STATUS_CONFLICT, STATUS_MISMATCH,   STATUS_NOT_LEADER,
    STATUS_UNKNOWN,   STATUS_NO_QUORUM,     STATUS_BUSY,     STATUS_OVERLOADED, STATUS_NO_SPACE,
    STATUS_TOO_LARGE, STATUS_NOT_CONFIRMED, STATUS_NO_LEASE, STATUS_COMPACTED,  STATUS_FUTURE,
    STATUS_INVALID,   STATUS_UNSUPPORTED,   STATUS_AUTH_OLD,
};
#define WIRE_STATUS_COUNT (sizeof(wire_statuses) / sizeof(wire_statuses[0]))

/* In the byte of the acknowledgement. */
enum { ASK_ACK_MASK = 3, ASK_WANTS_ANSWER = 4, ASK_ALL = 7 };

/* Of a reply about a transaction. */
enum { REPLY_SUCCEEDED = 1, REPLY_ANSWER_CUT = 2, REPLY_FLAGS_ALL = 3 };

/* A reply beyond goes behind what else is long: LIMIT_FORWARDS such ones fit among the urgent
 * ones. */
#define SHORT_NOTE_BYTES 256

/* What another member asked of us. */
struct forwarded {
    struct node_write write;
    struct buf answer;
    struct list link;
    struct node *node;
    struct uuid from;
    uint64_t number; /* the asker's */
};

static struct node_write *write_of(struct list *link)
{
    return CONTAINER_OF(link, struct node_write, link);
}

uint8_t node_wire_status(enum status status)
{
    for (size_t i = 0; i < WIRE_STATUS_COUNT; i++) {
        if (wire_statuses[i] == status) {
            return (uint8_t)i;
        }
    }
    return node_wire_status(STATUS_UNKNOWN);
}

enum status node_status_of_wire(uint8_t code)
{
    return code < WIRE_STATUS_COUNT ? wire_statuses[code] : STATUS_UNKNOWN;
}

/* --- the asker -------------------------------------------------------------------------------- */

static void finish(struct node_write *w, enum status status)
{
    list_remove(&w->link);
    w->node->write_count--;
    w->node = NULL;
    w->status = status;
    w->done(w);
}

enum status node_forward_start(struct node *n, struct node_write *w,
                               const struct kv_command *command)
{
    const struct roster_member *leader = NULL;
    if (n->raft != NULL && raft_leader(n->raft) != n->self) {
        leader = node_member_by_id(n, raft_leader(n->raft));
    }
    if (leader == NULL) {
        return STATUS_NOT_LEADER;
    }
    if (n->write_count >= LIMIT_WAITING_REQUESTS) {
        return STATUS_OVERLOADED;
    }
    if (node_is_too_large(n, command)) {
        return STATUS_TOO_LARGE;
    }
    bool is_new = w->answer != NULL || command->op == KV_COMPACT || node_is_new_command(command);
    if (is_new && !node_loads_knows_leases(n, leader->incarnation)) {
        return STATUS_UNSUPPORTED; /* it would not answer */
    }
    buf_clear(&n->scratch);
    put_u64(&n->scratch, n->forward_number + 1);
    put_u8(&n->scratch, (uint8_t)(w->ack | (w->answer != NULL ? ASK_WANTS_ANSWER : 0)));
    kv_command_encode(command, &n->scratch);
    if (!peers_send_long_note(n->peers, leader->incarnation, PEER_NOTE_FORWARD_ASK,
                              buf_slice(&n->scratch))) {
        return STATUS_NOT_LEADER;
    }
    w->forward_number = ++n->forward_number;
    w->forwarded_to = leader->incarnation;
    snprintf(w->leader, sizeof(w->leader), "%s", leader->name);
    w->node = n;
    w->deadline_ms = node_now(n) + n->options.request_timeout_ms;
    n->write_count++;
    n->turn_wanted = true;
    list_push_back(&n->forwards_out, &w->link);
    return STATUS_OK;
}

static void take_missing(struct node_write *w, struct reader *in)
{
    uint64_t count = get_varint(in);
    w->missing_count = 0;
    for (uint64_t i = 0; i < count && reader_ok(in) && i < LIMIT_MEMBERS; i++) {
        get_name(in, w->missing[w->missing_count++]);
    }
}

static void take_answer(struct node_write *w, struct reader *in)
{
    w->result.lease = get_u64(in);
    uint8_t flags = get_u8(in);
    struct slice answer = get_bytes(in);
    in->bad |= flags > REPLY_FLAGS_ALL;
    w->result.succeeded = (flags & REPLY_SUCCEEDED) != 0;
    w->result.answer_cut = (flags & REPLY_ANSWER_CUT) != 0;
    if (reader_done(in) && w->answer != NULL) {
        buf_append_slice(w->answer, answer);
    }
}

/* False: not what a leader of this version writes; the outcome stays unknown. */
static bool take_reply(struct node_write *w, struct reader *in, enum status *status)
{
    uint8_t code = get_u8(in);
    w->result.revision = get_u64(in);
    uint64_t key_or_create_revision = get_u64(in);
    w->result.version = get_u64(in);
    w->result.replayed = get_u8(in) != 0;
    w->result.retry_origin = get_u64(in);
    w->index = get_u64(in);
    w->term = get_u64(in);
    take_missing(w, in);
    w->result.time_ms = reader_left(in) > 0 ? get_u64(in) : 0;
    if (reader_left(in) > 0) {
        take_answer(w, in);
    }
    if (!reader_done(in)) {
        return false;
    }
    *status = node_status_of_wire(code);
    w->result.status = *status;
    w->result.create_revision = *status == STATUS_CONFLICT ? 0 : key_or_create_revision;
    w->result.key_revision = *status == STATUS_CONFLICT ? key_or_create_revision : 0;
    return true;
}

void node_forward_on_reply(struct node *n, struct uuid from, struct slice body)
{
    struct reader in = reader_of(body);
    uint64_t number = get_u64(&in);
    for (struct list *at = n->forwards_out.next; at != &n->forwards_out; at = at->next) {
        struct node_write *w = write_of(at);
        if (w->forward_number == number && uuid_equal(w->forwarded_to, from)) {
            enum status status;
            finish(w, take_reply(w, &in, &status) ? status : STATUS_UNKNOWN);
            return;
        }
    }
}

static void forget(struct forwarded *f)
{
    list_remove(&f->link);
    f->node->forwards_in_count--;
    buf_deinit(&f->answer);
    mem_free(f);
}

/* Its process may be gone, and the next one counts anew: an answer must not reach that. */
static void forget_asked_by(struct node *n, struct uuid peer)
{
    for (struct list *at = n->forwards_in.next, *next; at != &n->forwards_in; at = next) {
        next = at->next;
        struct forwarded *f = CONTAINER_OF(at, struct forwarded, link);
        if (uuid_equal(f->from, peer)) {
            node_write_cancel(&f->write);
            forget(f);
        }
    }
}

void node_forward_on_down(struct node *n, struct uuid peer)
{
    forget_asked_by(n, peer);
    struct list lost; /* apart, since a `done` may begin or cancel others */
    list_init(&lost);
    for (struct list *at = n->forwards_out.next, *next; at != &n->forwards_out; at = next) {
        next = at->next;
        if (uuid_equal(write_of(at)->forwarded_to, peer)) {
            list_remove(at);
            list_push_back(&lost, at);
        }
    }
    while (!list_is_empty(&lost)) {
        finish(write_of(lost.next), STATUS_UNKNOWN);
    }
}

void node_forwards_expire(struct node *n, uint64_t now_ms)
{
    while (!list_is_empty(&n->forwards_out) &&
           write_of(n->forwards_out.next)->deadline_ms <= now_ms) {
        finish(write_of(n->forwards_out.next), STATUS_UNKNOWN);
    }
}

uint64_t node_forwards_deadline(const struct node *n)
{
    return list_is_empty(&n->forwards_out) ? UINT64_MAX
                                           : write_of(n->forwards_out.next)->deadline_ms;
}

/* --- the leader ------------------------------------------------------------------------------- */

static void put_answer(struct buf *body, const struct kv_result *r, struct slice answer)
{
    put_u64(body, r->lease);
    put_u8(body, (uint8_t)((r->succeeded ? REPLY_SUCCEEDED : 0) |
                           (r->answer_cut ? REPLY_ANSWER_CUT : 0)));
    put_bytes(body, answer);
}

static bool send_reply(struct node *n, struct uuid to, uint64_t number, const struct node_write *w,
                       struct slice answer)
{
    struct buf body = {0};
    put_u64(&body, number);
    put_u8(&body, node_wire_status(w->status));
    put_u64(&body, w->result.revision);
    put_u64(&body,
            w->status == STATUS_CONFLICT ? w->result.key_revision : w->result.create_revision);
    put_u64(&body, w->result.version);
    put_u8(&body, w->result.replayed ? 1 : 0);
    put_u64(&body, w->result.retry_origin);
    put_u64(&body, w->index);
    put_u64(&body, w->term);
    put_varint(&body, w->missing_count);
    for (uint32_t i = 0; i < w->missing_count; i++) {
        put_name(&body, w->missing[i]);
    }
    const struct kv_result *r = &w->result;
    bool has_answer = r->lease != 0 || r->succeeded || r->answer_cut || answer.size > 0;
    if (r->time_ms != 0 || has_answer) {
        put_u64(&body, r->time_ms); /* of a document */
    }
    if (has_answer) {
        put_answer(&body, r, answer);
    }
    bool sent = true;
    if (body.size <= SHORT_NOTE_BYTES) {
        peers_send_note(n->peers, to, PEER_NOTE_FORWARD_REPLY, buf_slice(&body));
    } else {
        sent = peers_send_long_note(n->peers, to, PEER_NOTE_FORWARD_REPLY, buf_slice(&body));
    }
    buf_deinit(&body);
    return sent;
}

static void reply(struct node *n, struct uuid to, uint64_t number, struct node_write *w)
{
    struct slice answer = w->answer != NULL ? buf_slice(w->answer) : (struct slice){0};
    if (!send_reply(n, to, number, w, answer)) {
        w->result.answer_cut = true; /* too much waits for that link */
        send_reply(n, to, number, w, (struct slice){0});
    }
}

static void on_written(struct node_write *w)
{
    struct forwarded *f = w->context;
    reply(f->node, f->from, f->number, w);
    forget(f);
}

static enum status start(struct node *n, struct forwarded *f, const struct kv_command *command)
{
    if (n->raft == NULL || n->stopped) {
        return STATUS_NOT_LEADER;
    }
    if (n->forwards_in_count > LIMIT_FORWARDS) {
        return STATUS_OVERLOADED;
    }
    return node_write_start(n, &f->write, command);
}

void node_forward_on_ask(struct node *n, struct uuid from, struct slice body)
{
    struct reader in = reader_of(body);
    uint64_t number = get_u64(&in);
    uint8_t flags = get_u8(&in);
    uint8_t ack = flags & ASK_ACK_MASK;
    struct kv_command command;
    struct slice bytes = get_raw(&in, reader_left(&in));
    if (!reader_ok(&in) || flags > ASK_ALL || ack > NODE_ACK_ALL ||
        kv_command_decode(bytes, &command) != STATUS_OK || command.op == KV_LEASE_EXPIRE) {
        return; /* never from a member of this version: the asker's deadline tells its client */
    }
    struct forwarded *f = mem_calloc(1, sizeof(*f));
    *f = (struct forwarded){.node = n, .from = from, .number = number};
    f->write = (struct node_write){.ack = (enum node_ack)ack, .done = on_written, .context = f};
    f->write.answer = (flags & ASK_WANTS_ANSWER) != 0 ? &f->answer : NULL;
    list_push_back(&n->forwards_in, &f->link);
    n->forwards_in_count++;
    f->write.status = start(n, f, &command);
    if (f->write.status != STATUS_OK) {
        reply(n, from, number, &f->write);
        forget(f);
    }
}

void node_forwards_destroy(struct node *n)
{
    while (!list_is_empty(&n->forwards_in)) {
        struct forwarded *f = CONTAINER_OF(n->forwards_in.next, struct forwarded, link);
        node_write_cancel(&f->write);
        forget(f);
    }
}
