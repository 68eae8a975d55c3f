/* node/peer_events.c - what the links with other members tell this one, and what it says of itself
 * on them. */
#include "base/log.h"
#include "node/node_internal.h"

#include <stdio.h>
#include <string.h>

void node_update_hello(struct node *n)
{
    struct peer_hello *h = &n->hello;
    raft_term term = n->raft != NULL ? raft_term_now(n->raft) : 0;
    bool leads = node_is_leader(n);
    if (n->hello_told && h->term == term && h->leads == leads && h->phase == n->identity.phase) {
        return;
    }
    n->hello_told = true;
    snprintf(h->name, sizeof(h->name), "%s", n->name);
    h->incarnation = n->identity.incarnation;
    h->boot = n->boot;
    h->boots = n->boots_told;
    h->phase = n->identity.phase;
    h->roster = n->identity.roster;
    h->founders = n->peer_count + 1;
    h->joins = n->joining.active;
    h->priority = n->options.priority;
    h->term = term;
    h->leads = leads;
    snprintf(h->advertise, sizeof(h->advertise), "%s", n->advertise != NULL ? n->advertise : "");
    peers_set_hello(n->peers, h);
}

/* Rule E6b: nobody leads us any more, or not over there. */
static void tell_leader_lost(struct node *n, node_id leader)
{
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_LEADER_LOST};
    input.lost.leader = leader;
    input.lost.term = raft_term_now(n->raft);
    input.lost.sync_ms = n->write.sync_ms;
    node_step(n, &input);
}

void node_set_own_url(struct node *n, const char *host)
{
    bool is_ipv6 = strchr(host, ':') != NULL;
    snprintf(n->own_url, sizeof(n->own_url), is_ipv6 ? "%s://[%s]:%u" : "%s://%s:%u",
             n->options.speaks_tls ? "https" : "http", host, n->options.listen_port);
}

/* Contract, --advertise: what the others dialled goes before an address of ours. */
static void learn_own_url(struct node *n, const struct peer_hello *hello)
{
    if (n->own_url_is_sure) {
        return;
    }
    if (hello->dialled[0] != '\0') {
        snprintf(n->own_url, sizeof(n->own_url), "%s", hello->dialled);
        n->own_url_is_sure = true;
    } else if (n->own_url[0] == '\0' && hello->local_host[0] != '\0') {
        node_set_own_url(n, hello->local_host);
    }
}

static void learn_url(struct node *n, const struct peer_hello *hello)
{
    learn_own_url(n, hello);
    const char *newest = hello->advertise[0] != '\0' ? hello->advertise : hello->reached;
    for (uint32_t i = 0; i < n->members.count; i++) {
        struct roster_member *m = &n->members.members[i];
        if (uuid_equal(m->incarnation, hello->incarnation) && newest[0] != '\0') {
            snprintf(m->url, sizeof(m->url), "%s", newest);
        }
    }
}

static bool on_hello(void *context, const struct peer_hello *hello)
{
    struct node *n = context;
    if (n->dead) {
        return false;
    }
    if (n->raft == NULL) {
        learn_url(n, hello);
        if (n->joining.active) {
            return node_joining_on_hello(n, hello);
        }
        if (hello->joins) {
            return false; /* there is no cluster to join yet */
        }
        founding_on_hello(n->founding, hello);
        return true;
    }
    if (!node_members_on_hello(n, hello)) {
        return false;
    }
    learn_url(n, hello);
    node_catch_up_on_link(n, hello->incarnation, true, hello->leads);
    node_id id = uuid_short(hello->incarnation);
    if (raft_leader(n->raft) == id && !hello->leads && hello->term >= raft_term_now(n->raft)) {
        tell_leader_lost(n, id);
    }
    return true;
}

static void on_message(void *context, struct uuid from, const struct raft_message *message)
{
    struct node *n = context;
    /* Rule E11: from another than it says, or for another than us. */
    if (n->raft == NULL || n->dead || message->from != uuid_short(from) || message->to != n->self) {
        return;
    }
    node_remember_term(n, from, message);
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_MESSAGE};
    input.message = message;
    node_step(n, &input);
    node_count_message(n, message);
    if (message->type == RAFT_MSG_APPEND || message->type == RAFT_MSG_HEARTBEAT) {
        if (raft_leader(n->raft) == message->from) {
            n->leader_contact_ms = input.now_ms;
            if (message->type == RAFT_MSG_HEARTBEAT) {
                node_catch_up_on_heartbeat(n);
            }
        }
    }
}

static void on_note(void *context, struct uuid from, enum peer_note kind, struct slice body)
{
    struct node *n = context;
    if (n->dead) {
        return;
    }
    switch (kind) {
    case PEER_NOTE_PROMISE_ASK:
    case PEER_NOTE_PROMISE:
        if (n->founding != NULL) {
            founding_on_note(n->founding, from, kind, body);
        }
        break;
    case PEER_NOTE_SURVEY_ASK:
        node_survey_on_ask(n, from, body);
        break;
    case PEER_NOTE_SURVEY_REPLY:
        node_survey_on_reply(n, from, body);
        break;
    case PEER_NOTE_FORWARD_ASK:
        node_forward_on_ask(n, from, body);
        break;
    case PEER_NOTE_FORWARD_REPLY:
        node_forward_on_reply(n, from, body);
        break;
    case PEER_NOTE_JOIN_ASK:
        node_admission_on_ask(n, from, body);
        break;
    case PEER_NOTE_JOIN_REPLY:
        node_joining_on_reply(n, body);
        break;
    case PEER_NOTE_REMOVED:
        node_members_on_removed(n, body);
        break;
    case PEER_NOTE_OLD_COPY:
        node_on_accused(n, body);
        break;
    case PEER_NOTE_DIGEST:
        node_digest_on_told(n, from, body);
        break;
    case PEER_NOTE_ODD:
        node_digest_on_odd(n, from, body);
        break;
    case PEER_NOTE_LOAD:
        node_loads_on_load(n, from, body);
        break;
    case PEER_NOTE_VIEW:
        node_loads_on_view(n, from, body);
        break;
    case PEER_NOTE_LEASE_ASK:
        node_lease_on_ask(n, from, body);
        break;
    case PEER_NOTE_LEASE_REPLY:
        node_lease_on_reply(n, from, body);
        break;
    }
}

static bool on_snapshot(void *context, struct uuid from, uint8_t type, struct slice body)
{
    return node_snapshots_on_frame(context, from, type, body);
}

static void tell_unreachable(struct node *n, struct uuid peer)
{
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_UNREACHABLE};
    input.target = uuid_short(peer);
    node_step(n, &input);
}

static void on_down(void *context, struct uuid peer)
{
    struct node *n = context;
    if (n->founding != NULL) {
        founding_on_down(n->founding, peer);
    } else if (n->raft != NULL) {
        node_catch_up_on_link(n, peer, false, false);
        node_forward_on_down(n, peer);
        node_lease_on_down(n, peer);
        node_loads_on_down(n, peer);
        /* It may be back, started anew, before a leader at rest has anything to say, and waits one
         * heartbeat for that (rule E6b). Questions of a follower may still be answered. */
        if (node_is_leader(n) && !n->dead) {
            tell_unreachable(n, peer);
            n->turn_wanted = true;
        }
    }
}

static void on_lost(void *context, struct uuid peer)
{
    struct node *n = context;
    if (n->raft != NULL && !n->dead && raft_leader(n->raft) == uuid_short(peer)) {
        tell_leader_lost(n, uuid_short(peer));
    }
}

static void on_dropped(void *context, struct uuid peer)
{
    struct node *n = context;
    if (n->raft == NULL || n->dead) {
        return;
    }
    tell_unreachable(n, peer);
}

const struct peers_events node_peer_events = {
    .on_hello = on_hello,
    .on_message = on_message,
    .on_note = on_note,
    .on_snapshot = on_snapshot,
    .on_down = on_down,
    .on_lost = on_lost,
    .on_dropped = on_dropped,
};

void node_take_peer(struct node *n, struct conn *c, struct slice rest)
{
    peers_accept(n->peers, c, rest);
}
