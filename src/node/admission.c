/* node/admission.c - answers a member that asks to be let in (rules C4, C7). Only the leader
 * decides; whoever else is asked tells where the leader is. Nothing is remembered of who asked: it
 * asks again until the configuration that has it is committed. */
#include "node/joining.h"

#include "node/node_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static __attribute__((format(printf, 3, 4))) void
say(struct join_reply *reply, enum join_verdict verdict, const char *format, ...)
{
    reply->verdict = verdict;
    va_list args;
    va_start(args, format);
    vsnprintf(reply->text, sizeof(reply->text), format, args);
    va_end(args);
}

static void name_leader(const struct node *n, struct join_reply *reply)
{
    struct node_status status;
    node_status_get(n, &status);
    if (status.leader_url[0] == '\0') {
        say(reply, JOIN_WAIT, "the cluster has no leader");
        return;
    }
    reply->verdict = JOIN_ASK_LEADER;
    snprintf(reply->url, sizeof(reply->url), "%s", status.leader_url);
}

static void let_in(const struct node *n, struct join_reply *reply)
{
    reply->verdict = JOIN_ACCEPTED;
    reply->index = n->config_id.index;
    reply->founders = n->identity.roster;
    reply->members = (struct roster){.cluster = n->membership.cluster};
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        /* Of a name that has two places the one that stays: a roster has each name once. */
        if (!uuid_is_zero(p->incarnation) && membership_find_name(&n->membership, p->name) == p) {
            struct roster_member *m = &reply->members.members[reply->members.count++];
            const struct roster_member *known = roster_find(&n->members, p->incarnation);
            m->incarnation = p->incarnation;
            snprintf(m->name, sizeof(m->name), "%s", p->name);
            snprintf(m->url, sizeof(m->url), "%s", known != NULL ? known->url : p->url);
        }
    }
}

/* It is in the configuration already, and that is committed. */
static void answer_member(const struct node *n, struct uuid from, struct join_reply *reply)
{
    if (!membership_learns(&n->config, uuid_short(from))) {
        say(reply, JOIN_REFUSED,
            "this data directory is an old copy: its member votes already. Remove it from the "
            "cluster, or replace it, and start with an empty --data and --join");
    } else {
        let_in(n, reply);
    }
}

static void refuse_edit(const struct node *n, const struct join_ask *ask, enum status s,
                        struct join_reply *reply)
{
    const struct membership_place *place = membership_find_name(&n->membership, ask->name);
    if (s == STATUS_INVALID) {
        say(reply, JOIN_REFUSED, "the cluster is full: it has %d members", LIMIT_MEMBERS);
    } else if (place == NULL || uuid_is_zero(place->incarnation)) {
        say(reply, JOIN_REFUSED,
            "this data directory was removed from the cluster; start with an empty --data");
    } else {
        say(reply, JOIN_REFUSED,
            "the cluster has a member named %s with another data directory. If that one is lost, "
            "say \"conclave member replace %s\", then start this one with --join again; else give "
            "it another --name",
            ask->name, ask->name);
    }
}

static void propose(struct node *n, struct uuid from, const struct join_ask *ask,
                    struct join_reply *reply)
{
    struct membership_edit e;
    if (membership_is_joint(&n->config)) {
        say(reply, JOIN_WAIT, "another change of the members is under way");
        return;
    }
    if (node_is_taken_url(n, ask->name, ask->url)) {
        say(reply, JOIN_REFUSED, "another member has the URL %s; give this one its own --advertise",
            ask->url);
        return;
    }
    membership_edit_begin(&e, &n->membership, &n->config);
    enum status s = membership_join(&e, ask->name, ask->url, from, ask->priority);
    if (s != STATUS_OK) {
        refuse_edit(n, ask, s, reply);
        return;
    }
    s = node_propose_members(n, &e);
    say(reply, JOIN_WAIT, "%s",
        s == STATUS_OK     ? "the cluster agrees on the new member"
        : s == STATUS_BUSY ? "another change of the members is under way"
                           : status_text(s));
}

void node_admission_on_ask(struct node *n, struct uuid from, struct slice body)
{
    struct join_ask ask;
    if (n->raft == NULL || n->retiring || join_ask_decode(body, &ask) != STATUS_OK) {
        return;
    }
    struct join_reply reply = {0};
    if (!node_is_leader(n)) {
        name_leader(n, &reply);
    } else if (!n->config_is_committed) {
        /* It may be undone: neither a place in it nor the lack of one says anything yet. */
        say(&reply, JOIN_WAIT, "the cluster agrees on a change of its members");
    } else if (membership_find(&n->membership, from) != NULL) {
        answer_member(n, from, &reply);
    } else {
        propose(n, from, &ask, &reply);
    }
    struct buf out = {0};
    join_reply_encode(&reply, &out);
    peers_send_note(n->peers, from, PEER_NOTE_JOIN_REPLY, buf_slice(&out));
    buf_deinit(&out);
}
