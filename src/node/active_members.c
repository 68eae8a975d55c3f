/* node/active_members.c - follows the configuration in force: whom the links are kept with, who
 * is heard (rule E11), who is told that it was removed (rule C6), who is preferred (rule E10). */
#include "node/membership_annex.h"

#include "base/codec.h"
#include "base/log.h"
#include "node/node_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- the configuration in force --------------------------------------------------------------- */

/* Its log does not name this member yet: what let it in tells more. */
static bool is_before_joining(const struct node *n)
{
    return n->config_id.index < n->identity.joined_index;
}

/* The members of the configuration, as the membership has them. */
static void list_members(const struct node *n, struct roster *r)
{
    if (is_before_joining(n)) {
        *r = n->identity.joined;
        return;
    }
    *r = (struct roster){.cluster = n->membership.cluster};
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        if (!uuid_is_zero(p->incarnation) &&
            membership_counts(&n->config, uuid_short(p->incarnation))) {
            struct roster_member *m = &r->members[r->count++];
            m->incarnation = p->incarnation;
            snprintf(m->name, sizeof(m->name), "%s", p->name);
            snprintf(m->url, sizeof(m->url), "%s", p->url);
        }
    }
}

/* What was learned of those that stay is kept. */
static void update_roster(struct node *n)
{
    struct roster next;
    struct catch_up catch_ups[LIMIT_MEMBERS] = {{0}};
    list_members(n, &next);
    for (uint32_t i = 0; i < next.count; i++) {
        struct roster_member *m = &next.members[i];
        const struct roster_member *before = roster_find(&n->members, m->incarnation);
        if (before != NULL) {
            memcpy(m->url, before->url, sizeof(m->url));
            catch_ups[i] = n->catch_ups[before - n->members.members];
        } else if (n->peers != NULL) {
            catch_ups[i].is_up = peers_is_up(n->peers, m->incarnation);
        }
    }
    n->members = next;
    memcpy(n->catch_ups, catch_ups, sizeof(n->catch_ups));
}

void node_members_dial(struct node *n)
{
    const char *urls[LIMIT_MEMBERS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct roster_member *m = &n->members.members[i];
        if (!uuid_equal(m->incarnation, n->identity.incarnation) && m->url[0] != '\0') {
            urls[count++] = m->url;
        }
    }
    peers_set_urls(n->peers, urls, count);
}

static bool read_membership(struct node *n, const struct raft_config_view *view)
{
    n->config = *view->config;
    if (view->annex.size == 0) {
        struct raft_config founding;
        membership_found(&n->identity.roster, &n->membership, &founding);
        return membership_fits(&n->membership, &n->config);
    }
    return membership_decode(view->annex, &n->membership) == STATUS_OK &&
           uuid_equal(n->membership.cluster, n->identity.roster.cluster) &&
           membership_fits(&n->membership, &n->config);
}

static void tell_members(const struct node *n)
{
    if (n->config_id.index == 0) {
        return;
    }
    log_info("members index=%" PRIu64 " voters=%" PRIu32 " learners=%" PRIu32 "%s",
             n->config_id.index, n->config.voter_count, n->config.learner_count,
             membership_is_joint(&n->config) ? " joint" : "");
}

static void take_over(struct node *n, const struct raft_config_view *view)
{
    n->config_id = view->id;
    n->config_is_known = true;
    if (!read_membership(n, view)) {
        node_fail(n, 1, "the members in entry %" PRIu64 " cannot be read", view->id.index);
        return;
    }
    tell_members(n);
    update_roster(n);
    node_members_rank(n);
    if (n->peers != NULL) {
        node_members_dial(n);
    }
}

/* --- rule C6: who was removed ----------------------------------------------------------------- */

static bool was_removed(const struct node *n, struct uuid incarnation)
{
    for (uint32_t i = 0; i < n->removed_count; i++) {
        if (uuid_equal(n->removed[i], incarnation)) {
            return true;
        }
    }
    return false;
}

static void tell_removed(struct node *n, struct uuid peer)
{
    struct buf body = {0};
    put_u64(&body, n->removed_index);
    peers_send_note(n->peers, peer, PEER_NOTE_REMOVED, buf_slice(&body));
    buf_deinit(&body);
}

/* A leader that was removed is left alone until it has handed over (rule C5). */
static void tell_linked(struct node *n)
{
    if (!n->removed_untold || n->peers == NULL) {
        return;
    }
    n->removed_untold = false;
    for (uint32_t i = 0; i < n->removed_count; i++) {
        struct uuid peer = n->removed[i];
        if (uuid_equal(peer, n->identity.incarnation) || !peers_is_up(n->peers, peer)) {
            continue;
        }
        if (raft_leader(n->raft) == uuid_short(peer)) {
            n->removed_untold = true;
            continue;
        }
        tell_removed(n, peer);
        peers_cut(n->peers, peer);
    }
}

/* Only what is committed can not be undone. */
static void take_committed(struct node *n)
{
    n->config_is_committed = true;
    if (membership_is_joint(&n->config)) {
        return;
    }
    n->removed_count = n->membership.removed_count;
    memcpy(n->removed, n->membership.removed, sizeof(n->removed));
    n->removed_index = n->config_id.index;
    n->removed_untold = n->removed_count > 0;
    n->self_removed = was_removed(n, n->identity.incarnation);
}

void node_members_on_turn(struct node *n)
{
    struct raft_config_view view;
    raft_config_view(n->raft, &view);
    bool changed = !n->config_is_known || view.id.index != n->config_id.index ||
                   view.id.term != n->config_id.term;
    if (changed) {
        n->config_is_committed = false;
        take_over(n, &view);
    }
    if (view.committed && !n->config_is_committed && !n->dead) {
        take_committed(n);
    }
    tell_linked(n);
    if (n->self_removed && !node_is_leader(n)) {
        node_retire(n, IDENTITY_REMOVED, n->removed_index);
    }
}

void node_members_on_removed(struct node *n, struct slice body)
{
    struct reader in = reader_of(body);
    raft_index index = get_u64(&in);
    if (!reader_done(&in) || index == 0 || (n->raft == NULL && !n->joining.active)) {
        return;
    }
    /* It leads and knows: it ends when it has handed over. Or it knows better: what is removed once
     * never comes back. */
    bool knows_better = n->raft != NULL && n->config_is_committed && n->config_id.index >= index &&
                        membership_counts(&n->config, n->self);
    if (!knows_better && !(n->self_removed && node_is_leader(n))) {
        node_retire(n, IDENTITY_REMOVED, index);
    }
}

/* --- the end of a directory ------------------------------------------------------------------- */

static void run_retire(struct work *w)
{
    struct identity_save *save = w->context;
    save->status = record_save(save->disk, IDENTITY_RECORD, buf_slice(&save->content));
}

static void done_retire(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, save.work);
    n->save.in_flight = false;
    n->identity = n->save.identity;
    char words[1024];
    node_words_of_end(n, words, sizeof(words));
    node_answer_all(n); /* the clients of a leader that was removed, first of all */
    if (n->save.status == STATUS_NO_SPACE) {
        log_warn("this end cannot be written down, and is told again to the next start: %s",
                 status_text(n->save.status));
    } else if (n->save.status != STATUS_OK) {
        node_fail(n, 1, "cannot write the data directory: %s. It was to say: %s",
                  status_text(n->save.status), words); /* rule P11 */
        return;
    }
    node_fail(n, n->identity.end == IDENTITY_REMOVED ? 2 : 1, "%s", words);
}

void node_retire(struct node *n, enum identity_end why, raft_index index)
{
    if (n->retiring || n->save.in_flight || n->dead) {
        return;
    }
    n->retiring = true;
    n->save.identity = n->identity;
    n->save.identity.end = why;
    n->save.identity.end_index = index;
    n->save.disk = n->disk;
    n->save.in_flight = true;
    n->save.work = (struct work){.run = run_retire, .done = done_retire, .context = &n->save};
    buf_clear(&n->save.content);
    identity_encode(&n->save.identity, &n->save.content);
    n->loop->ops->submit(n->loop, &n->save.work);
}

/* --- rule E11: who is heard ------------------------------------------------------------------- */

bool node_members_on_hello(struct node *n, const struct peer_hello *hello)
{
    if (was_removed(n, hello->incarnation)) {
        if (raft_leader(n->raft) == uuid_short(hello->incarnation)) {
            return true; /* it hands over (rule C5) */
        }
        tell_removed(n, hello->incarnation);
        return false;
    }
    enum hello_verdict verdict =
        membership_judge_hello(&n->identity.roster, &n->membership, &n->config, hello);
    bool is_old = verdict == HELLO_FORGOT
                      ? hello->joins
                      : verdict == HELLO_WELCOME && !node_remember_hello(n, hello);
    if (is_old) {
        node_accuse(n, hello);
        return false;
    }
    return verdict == HELLO_WELCOME || verdict == HELLO_JOINS;
}

/* --- rule E10: who is preferred --------------------------------------------------------------- */

/* <0, 0, >0, with runs of digits as numbers: node-2 before node-10. */
static int compare_natural(const char *a, const char *b)
{
    const char *x = a;
    const char *y = b;
    while (*x != '\0' && *y != '\0') {
        if (isdigit((unsigned char)*x) && isdigit((unsigned char)*y)) {
            x += strspn(x, "0");
            y += strspn(y, "0");
            size_t x_size = strspn(x, "0123456789");
            size_t y_size = strspn(y, "0123456789");
            int by_value = x_size != y_size ? (x_size < y_size ? -1 : 1) : memcmp(x, y, x_size);
            if (by_value != 0) {
                return by_value;
            }
            x += x_size;
            y += y_size;
        } else if (*x != *y) {
            return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
        } else {
            x++;
            y++;
        }
    }
    int by_rest = (*x != '\0') - (*y != '\0');
    return by_rest != 0 ? by_rest : strcmp(a, b);
}

struct ranked {
    const char *name;
    node_id id;
    uint32_t priority;
};

static uint32_t priority_of(const struct node *n, const struct membership_place *p)
{
    if (uuid_equal(p->incarnation, n->identity.incarnation)) {
        return n->options.priority;
    }
    const struct acquaintance *a = node_acquaintance(n, p->incarnation);
    return a != NULL ? a->priority : p->priority;
}

static bool is_before(const struct node *n, const struct ranked *a, const struct ranked *b)
{
    switch (n->options.election_policy) {
    case NODE_POLICY_HIGHEST_ID:
        return compare_natural(a->name, b->name) > 0;
    case NODE_POLICY_PRIORITY:
        if (a->priority != b->priority) {
            return a->priority > b->priority;
        }
        return compare_natural(a->name, b->name) < 0;
    case NODE_POLICY_LOWEST_ID:
    case NODE_POLICY_NONE:
        break;
    }
    return compare_natural(a->name, b->name) < 0;
}

/* By priority, those without one are alike and last. */
static bool is_ranked(const struct node *n, const struct membership_place *p)
{
    return !uuid_is_zero(p->incarnation) &&
           membership_votes(&n->config, uuid_short(p->incarnation)) &&
           (n->options.election_policy != NODE_POLICY_PRIORITY || priority_of(n, p) > 0);
}

/* Row C8: an election that begins with the favourite is no surprise to who reads the log. */
static void tell_ranks(struct node *n, const struct ranked *order, uint32_t count)
{
    struct told_rank told = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        told.place = order[i].id == n->self ? i + 1 : told.place;
    }
    told.first = count > 0 ? order[0].id : 0;
    bool is_news = told.first != n->told_rank.first || told.place != n->told_rank.place ||
                   told.count != n->told_rank.count;
    n->told_rank = told;
    if (!is_news || told.place == 0) {
        return;
    }
    if (told.place == 1) {
        log_info("Self-initiating elections: first of %" PRIu32 " by the election policy",
                 told.count);
    } else {
        log_info("%s stands for election first; this member is number %" PRIu32 " of %" PRIu32,
                 order[0].name, told.place, told.count);
    }
}

void node_members_rank(struct node *n)
{
    enum node_election_policy policy = n->options.election_policy;
    if (n->raft == NULL || policy == NODE_POLICY_NONE) {
        return;
    }
    struct ranked order[LIMIT_MEMBERS];
    struct raft_preference preference = {.hand_back = policy == NODE_POLICY_HIGHEST_ID ||
                                                      policy == NODE_POLICY_PRIORITY};
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        if (!is_ranked(n, p)) {
            continue;
        }
        struct ranked next = {p->name, uuid_short(p->incarnation), priority_of(n, p)};
        uint32_t at = preference.count++;
        for (; at > 0 && is_before(n, &next, &order[at - 1]); at--) {
            order[at] = order[at - 1];
        }
        order[at] = next;
    }
    for (uint32_t i = 0; i < preference.count; i++) {
        preference.order[i] = order[i].id;
    }
    raft_set_preference(n->raft, &preference);
    n->turn_wanted = true; /* the deadline of an election may be another */
    tell_ranks(n, order, preference.count);
}
