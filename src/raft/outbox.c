/* What leaves a turn. Every message that carries the current term waits here until term and vote
 * are durable; what else it claims was made sure of by whoever made it. */
#include "raft/raft_internal.h"

struct raft_message message_to(const struct raft *r, enum raft_message_type type, node_id to)
{
    CHECK(to != 0 && to != r->options.self);
    return (struct raft_message){.type = type, .from = r->options.self, .to = to, .term = r->term};
}

void outbox_send_now(struct raft *r, const struct raft_message *m)
{
    struct outbox *out = &r->out;
    out->messages = array_reserve(out->messages, &out->message_capacity, out->message_count + 1,
                                  sizeof(*out->messages));
    out->messages[out->message_count++] = *m;
}

/* A newer message of one kind to one member replaces the older one. */
static struct raft_message *held_slot(struct outbox *out, const struct raft_message *m)
{
    for (uint32_t i = 0; i < out->held_count; i++) {
        if (out->held[i].type == m->type && out->held[i].to == m->to) {
            return &out->held[i];
        }
    }
    if (out->held_count == LIMIT_RAFT_HELD) {
        return NULL;
    }
    out->held =
        array_reserve(out->held, &out->held_capacity, out->held_count + 1, sizeof(*out->held));
    return &out->held[out->held_count++];
}

void outbox_send(struct raft *r, const struct raft_message *m)
{
    CHECK_CMP(m->term, ==, r->term);
    if (raft_hard_state_is_durable(r)) {
        outbox_send_now(r, m);
        return;
    }
    struct raft_message *slot = held_slot(&r->out, m);
    if (slot != NULL) {
        CHECK_CMP(m->entry_count, ==, 0);
        *slot = *m;
    }
}

void outbox_release_held(struct raft *r)
{
    CHECK(raft_hard_state_is_durable(r));
    for (uint32_t i = 0; i < r->out.held_count; i++) {
        CHECK_CMP(r->out.held[i].term, ==, r->term);
        outbox_send_now(r, &r->out.held[i]);
    }
    r->out.held_count = 0;
}

void outbox_drop_held(struct raft *r)
{
    r->out.held_count = 0;
}

void outbox_read(struct raft *r, const struct raft_read *read)
{
    struct outbox *out = &r->out;
    out->reads =
        array_reserve(out->reads, &out->read_capacity, out->read_count + 1, sizeof(*out->reads));
    out->reads[out->read_count++] = *read;
}

void outbox_event(struct raft *r, enum raft_event_kind kind, uint64_t a, uint64_t b)
{
    struct outbox *out = &r->out;
    if (out->event_count == LIMIT_RAFT_EVENTS) {
        return;
    }
    out->events = array_reserve(out->events, &out->event_capacity, out->event_count + 1,
                                sizeof(*out->events));
    out->events[out->event_count++] = (struct raft_event){.kind = kind, .a = a, .b = b};
}

void outbox_begin(struct raft *r)
{
    struct outbox *out = &r->out;
    if (!out->taken) {
        return;
    }
    out->taken = false;
    out->message_count = 0;
    out->read_count = 0;
    out->event_count = 0;
    leader_release_loaded(r);
}

void outbox_deinit(struct outbox *out)
{
    mem_free(out->messages);
    mem_free(out->held);
    mem_free(out->reads);
    mem_free(out->events);
    *out = (struct outbox){0};
}
