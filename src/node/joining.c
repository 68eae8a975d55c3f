/* node/joining.c - a fresh member that joins a running cluster (rule C4): it dials the members that
 * it was given, asks to be let in, and is told so when a committed configuration has it as a
 * learner. Only when its identity says so on disk does it take part; its log is empty then, and the
 * leader sends it everything.
 *
 * A crash before that leaves a fresh directory, that asks again and is let in again; a crash after
 * it leaves a member. */
#include "node/joining.h"

#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define JOIN_ASK_MS  250
#define JOIN_TELL_MS 5000

static void ask(struct node *n, struct uuid to)
{
    struct join_ask question = {.priority = n->options.priority};
    snprintf(question.name, sizeof(question.name), "%s", n->name);
    snprintf(question.url, sizeof(question.url), "%s", n->own_url);
    struct buf body = {0};
    join_ask_encode(&question, &body);
    peers_send_note(n->peers, to, PEER_NOTE_JOIN_ASK, buf_slice(&body));
    buf_deinit(&body);
}

static void dial(struct node *n)
{
    const char *urls[LIMIT_MEMBERS + 1];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->join_count && count < LIMIT_MEMBERS; i++) {
        urls[count++] = n->join_urls[i];
    }
    if (n->joining.leader_url[0] != '\0') {
        urls[count++] = n->joining.leader_url;
    }
    peers_set_urls(n->peers, urls, count);
}

static void on_join_timer(struct timer *t)
{
    struct node *n = t->context;
    if (!n->joining.active || n->dead || n->stopped) {
        return;
    }
    struct peer_view views[LIMIT_MEMBERS];
    uint32_t count = peers_view(n->peers, views, LIMIT_MEMBERS);
    for (uint32_t i = 0; i < count; i++) {
        if (views[i].up) {
            ask(n, views[i].hello.incarnation);
        }
    }
    uint64_t now_ms = node_now(n);
    if (now_ms - n->joining.told_ms >= JOIN_TELL_MS) {
        n->joining.told_ms = now_ms;
        char text[1024];
        node_founding_text(n, text, sizeof(text));
        log_info("%s", text);
    }
    n->loop->ops->timer_start(n->loop, t, now_ms + JOIN_ASK_MS);
}

void node_joining_begin(struct node *n)
{
    n->joining = (struct join_state){.active = true, .told_ms = node_now(n)};
    n->joining.timer = (struct timer){.fire = on_join_timer, .context = n};
    n->loop->ops->timer_start(n->loop, &n->joining.timer, node_now(n) + JOIN_ASK_MS);
}

bool node_joining_on_hello(struct node *n, const struct peer_hello *hello)
{
    struct join_state *j = &n->joining;
    if (hello->phase != FOUNDING_FOUNDED) {
        snprintf(j->text, sizeof(j->text), "%s is no member of a cluster yet", hello->name);
        return false;
    }
    if (uuid_is_zero(j->cluster)) {
        j->cluster = hello->roster.cluster;
    } else if (!uuid_equal(j->cluster, hello->roster.cluster)) {
        node_fail(n, 2, "--join names members of two clusters; %s is of another one than the rest",
                  hello->name);
        return false;
    }
    ask(n, hello->incarnation);
    return true;
}

/* --- let in ----------------------------------------------------------------------------------- */

static void become_member(struct node *n)
{
    n->joining.active = false;
    n->loop->ops->timer_stop(n->loop, &n->joining.timer);
    char cluster[UUID_TEXT_SIZE];
    uuid_format(n->identity.roster.cluster, cluster);
    log_info("joined cluster=%s index=%" PRIu64, cluster, n->identity.joined_index);
    struct raft_restored restored = {.first = 1, .tail_first = 1};
    node_start_raft(n, &restored);
    node_members_dial(n);
    node_update_hello(n);
}

static void run_save(struct work *w)
{
    struct identity_save *save = w->context;
    save->status = record_save(save->disk, IDENTITY_RECORD, buf_slice(&save->content));
}

static void done_save(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, save.work);
    n->save.in_flight = false;
    if (n->dead || n->stopped) {
        return; /* it takes part from its next start on, if that was saved */
    }
    if (n->save.status != STATUS_OK) {
        node_fail(n, 1, "cannot write the data directory: %s", status_text(n->save.status));
        return;
    }
    n->identity = n->save.identity;
    become_member(n);
}

static void take_acceptance(struct node *n, const struct join_reply *reply)
{
    const struct roster_member *self = roster_find(&reply->members, n->identity.incarnation);
    if (n->save.in_flight || self == NULL || strcmp(self->name, n->name) != 0 ||
        !uuid_equal(reply->founders.cluster, n->joining.cluster)) {
        return;
    }
    n->save.identity = n->identity;
    n->save.identity.phase = FOUNDING_FOUNDED;
    n->save.identity.roster = reply->founders;
    n->save.identity.joined = reply->members;
    n->save.identity.joined_index = reply->index;
    n->save.disk = n->disk;
    n->save.in_flight = true;
    n->save.work = (struct work){.run = run_save, .done = done_save, .context = &n->save};
    buf_clear(&n->save.content);
    identity_encode(&n->save.identity, &n->save.content);
    n->loop->ops->submit(n->loop, &n->save.work);
}

void node_joining_on_reply(struct node *n, struct slice body)
{
    struct join_reply reply;
    if (!n->joining.active || join_reply_decode(body, &reply) != STATUS_OK) {
        return;
    }
    switch (reply.verdict) {
    case JOIN_ACCEPTED:
        take_acceptance(n, &reply);
        break;
    case JOIN_ASK_LEADER:
        if (strcmp(reply.url, n->joining.leader_url) != 0) {
            snprintf(n->joining.leader_url, sizeof(n->joining.leader_url), "%s", reply.url);
            dial(n);
        }
        break;
    case JOIN_WAIT:
        snprintf(n->joining.text, sizeof(n->joining.text), "%s", reply.text);
        break;
    case JOIN_REFUSED:
        node_fail(n, 2, "%s", reply.text);
        break;
    }
}

void node_joining_text(const struct node *n, char *text, size_t size)
{
    const char *why = n->joining.text;
    snprintf(text, size, "joining a cluster%s%s", why[0] != '\0' ? ": " : "", why);
}
