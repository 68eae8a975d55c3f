/* node/survey.c - asking every member at once how it is; who is silent for half a second is
 * offline. */
#include "base/codec.h"
#include "node/node_internal.h"

#include <stdio.h>
#include <string.h>

#define SURVEY_MS         500
#define SURVEY_ROLE_BYTES 16

static struct node_survey *survey_of(struct list *link)
{
    return CONTAINER_OF(link, struct node_survey, link);
}

static void finish(struct node_survey *s)
{
    list_remove(&s->link);
    s->node->survey_count--;
    s->node = NULL;
    s->done(s);
}

static const char *const role_names[] = {"leader", "follower", "candidate", "learner",
                                         "quarantined"};

/* Roles travel as text; only those that we know become static strings. */
static const char *known_role(struct slice text)
{
    for (size_t i = 0; i < sizeof(role_names) / sizeof(role_names[0]); i++) {
        if (slice_equal(text, slice_str(role_names[i]))) {
            return role_names[i];
        }
    }
    return NULL;
}

static void fill_self(const struct node *n, struct node_survey_item *item)
{
    struct node_status status;
    node_status_get(n, &status);
    struct kv_stats stats;
    kv_stats(n->kv, &stats);
    item->member = status.members[0];
    item->online = true;
    item->role = status.role;
    item->term = status.term;
    snprintf(item->leader, sizeof(item->leader), "%s", status.leader);
    item->applied_index = status.applied_index;
    item->revision = stats.revision;
    item->last_contact_ms = 0;
}

enum status node_survey_start(struct node *n, struct node_survey *s)
{
    if (n->survey_count >= LIMIT_SURVEYS) {
        return STATUS_OVERLOADED;
    }
    struct node_status status;
    node_status_get(n, &status);
    s->node = n;
    n->survey_count++;
    s->number = ++n->survey_number;
    s->deadline_ms = node_now(n) + SURVEY_MS;
    s->count = status.member_count;
    struct buf body = {0};
    put_u64(&body, s->number);
    for (uint32_t i = 0; i < s->count; i++) {
        s->items[i] = (struct node_survey_item){.member = status.members[i]};
        if (i == 0) {
            fill_self(n, &s->items[0]);
            continue;
        }
        s->items[i].last_contact_ms = peers_silence_ms(n->peers, status.members[i].incarnation);
        peers_send_note(n->peers, status.members[i].incarnation, PEER_NOTE_SURVEY_ASK,
                        buf_slice(&body));
    }
    buf_deinit(&body);
    list_push_back(&n->surveys, &s->link);
    /* Nobody to wait for: answered by the timer at once, never inside this call. */
    bool anybody = false;
    for (uint32_t i = 1; i < s->count; i++) {
        anybody |= peers_is_up(n->peers, s->items[i].member.incarnation);
    }
    if (!anybody) {
        s->deadline_ms = node_now(n);
    }
    return STATUS_OK;
}

void node_survey_cancel(struct node_survey *s)
{
    if (s->node != NULL) {
        s->node->survey_count--;
        s->node = NULL;
        list_remove(&s->link);
    }
}

void node_survey_on_ask(struct node *n, struct uuid from, struct slice body)
{
    struct reader in = reader_of(body);
    uint64_t number = get_u64(&in);
    if (!reader_done(&in)) {
        return;
    }
    struct node_survey_item self = {0};
    fill_self(n, &self);
    struct buf out = {0};
    put_u64(&out, number);
    put_bytes(&out, slice_str(self.role != NULL ? self.role : ""));
    put_u64(&out, self.term);
    put_bytes(&out, slice_str(self.leader));
    put_u64(&out, self.applied_index);
    put_u64(&out, self.revision);
    peers_send_note(n->peers, from, PEER_NOTE_SURVEY_REPLY, buf_slice(&out));
    buf_deinit(&out);
}

static bool all_answered(const struct node *n, const struct node_survey *s)
{
    for (uint32_t i = 1; i < s->count; i++) {
        const struct node_survey_item *item = &s->items[i];
        if (!item->online && peers_is_up(n->peers, item->member.incarnation)) {
            return false;
        }
    }
    return true;
}

static void take_reply(struct node_survey_item *item, struct reader in)
{
    struct slice role = get_bytes(&in);
    uint64_t term = get_u64(&in);
    struct slice leader = get_bytes(&in);
    uint64_t applied = get_u64(&in);
    uint64_t revision = get_u64(&in);
    if (!reader_done(&in) || role.size > SURVEY_ROLE_BYTES || leader.size > LIMIT_NAME_BYTES) {
        return;
    }
    item->online = true;
    item->role = known_role(role);
    item->term = term;
    memcpy(item->leader, leader.size > 0 ? leader.data : (const uint8_t *)"", leader.size);
    item->leader[leader.size] = '\0';
    item->applied_index = applied;
    item->revision = revision;
    item->last_contact_ms = 0;
}

void node_survey_on_reply(struct node *n, struct uuid from, struct slice body)
{
    struct reader in = reader_of(body);
    uint64_t number = get_u64(&in);
    for (struct list *at = n->surveys.next; at != &n->surveys; at = at->next) {
        struct node_survey *s = survey_of(at);
        if (s->number != number) {
            continue;
        }
        for (uint32_t i = 1; i < s->count; i++) {
            if (uuid_equal(s->items[i].member.incarnation, from)) {
                take_reply(&s->items[i], in);
            }
        }
        if (all_answered(n, s)) {
            finish(s);
        }
        return;
    }
}

void node_surveys_expire(struct node *n, uint64_t now_ms)
{
    struct list late; /* apart, since a `done` may cancel any other */
    list_init(&late);
    for (struct list *at = n->surveys.next, *next; at != &n->surveys; at = next) {
        next = at->next;
        if (survey_of(at)->deadline_ms <= now_ms) {
            list_remove(at);
            list_push_back(&late, at);
        }
    }
    while (!list_is_empty(&late)) {
        finish(survey_of(late.next));
    }
}

uint64_t node_surveys_deadline(const struct node *n)
{
    uint64_t earliest = UINT64_MAX;
    for (struct list *at = n->surveys.next; at != &n->surveys; at = at->next) {
        uint64_t deadline_ms = survey_of(at)->deadline_ms;
        earliest = deadline_ms < earliest ? deadline_ms : earliest;
    }
    return earliest;
}
