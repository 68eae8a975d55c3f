/* Who takes part: configurations that come into force, are rolled back, and are changed.
 *
 *               change of voters                 committed               committed
 *     {1 2 3} --------------------> {1 2 4}/{1 2 3} --------> {1 2 4} ------------> next change
 *        \                              joint: two majorities                          ^
 *         \____ change of learners or annex: one entry, the voters stay _______________/
 *
 * Every change of the voters is joint (rule C2), so that no two majorities of consecutive
 * configurations can miss each other, however many members change at once (rule C4b). The leader
 * that finds a joint configuration committed proposes what follows it, whoever began it (rule
 * C9). */
#include "raft/raft_config.h"
#include "raft/raft_internal.h"

#include <string.h>

/* --- in force --------------------------------------------------------------------------------- */

static const struct config_item *newest(const struct raft *r)
{
    return config_log_last(&r->configs);
}

/* Members that stay keep what is known of them; a leader begins with the others at the last entry,
 * so that something is sent at once. */
static void add_members(struct raft *r, struct member *kept, uint32_t kept_count,
                        const node_id *ids, uint32_t count)
{
    const struct progress_bounds bounds = {.messages_max = r->options.inflight_messages_max,
                                           .bytes_max = r->options.inflight_bytes_max,
                                           .patience_ms = r->options.heartbeat_ms};
    CHECK_CMP(count, <=, LIMIT_MEMBERS);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(ids[i] != 0);
        if (member_find(r, ids[i]) != NULL) {
            continue;
        }
        struct member *m = &r->members[r->member_count++];
        *m = (struct member){.id = ids[i], .current_ms = UINT64_MAX};
        for (uint32_t k = 0; k < kept_count; k++) {
            if (kept[k].id == ids[i]) {
                *m = kept[k];
                kept[k].id = 0;
            }
        }
        if (m->progress.inflight.slots != NULL) {
            continue;
        }
        progress_init(&m->progress, bounds);
        if (r->role == RAFT_LEADER) {
            progress_reset(&m->progress, r->log.last, r->now_ms);
        }
    }
}

/* The newest configuration of the log decides from now on (rule C2). */
static void activate(struct raft *r)
{
    struct member kept[RAFT_MEMBERS_MAX];
    uint32_t count = r->member_count;
    memcpy(kept, r->members, sizeof(kept));
    r->member_count = 0;
    r->config = newest(r)->config;
    add_members(r, kept, count, r->config.voters, r->config.voter_count);
    add_members(r, kept, count, r->config.outgoing, r->config.outgoing_count);
    add_members(r, kept, count, r->config.learners, r->config.learner_count);
    for (uint32_t i = 0; i < count; i++) {
        if (kept[i].id != 0) {
            progress_deinit(&kept[i].progress);
        }
    }
    lease_void(r); /* rule Q6: another quorum decides */
}

void membership_init(struct raft *r, const struct raft_restored *restored)
{
    struct raft_config_view base = {.id = {.index = restored->config_index},
                                    .config = &restored->config,
                                    .annex = restored->annex};
    (void)!raft_log_term(&r->log, base.id.index, &base.id.term);
    config_log_reset(&r->configs, &base);
    for (raft_index i = raft_log_tail_first(&r->log); i <= r->log.last; i++) {
        const struct raft_entry *entry = raft_entry_at(r, i);
        if (entry->type == RAFT_ENTRY_CONFIG && i > base.id.index) {
            config_log_append(&r->configs, (struct entry_id){.term = entry->term, .index = i},
                              entry->payload);
        }
    }
    config_log_prune(&r->configs, r->applied);
    activate(r);
}

void membership_deinit(struct raft *r)
{
    for (uint32_t i = 0; i < r->member_count; i++) {
        progress_deinit(&r->members[i].progress);
    }
    config_log_deinit(&r->configs);
}

void membership_on_append(struct raft *r, const struct raft_entry *entry)
{
    config_log_append(&r->configs, raft_log_last(&r->log), entry->payload);
    activate(r);
    outbox_event(r, RAFT_EVENT_CONFIG, r->log.last, r->config.outgoing_count > 0);
}

void membership_on_truncate(struct raft *r, raft_index from)
{
    raft_index dropped = newest(r)->id.index;
    if (config_log_truncate(&r->configs, from)) {
        activate(r);
        outbox_event(r, RAFT_EVENT_CONFIG_ROLLED_BACK, newest(r)->id.index, dropped);
    }
}

void membership_on_discard(struct raft *r, const struct raft_config_view *base)
{
    config_log_reset(&r->configs, base);
    activate(r);
    outbox_event(r, RAFT_EVENT_CONFIG, base->id.index, r->config.outgoing_count > 0);
}

void membership_on_commit(struct raft *r, raft_index from, raft_index to)
{
    for (uint32_t i = 0; i < r->configs.count; i++) {
        const struct config_item *item = &r->configs.items[i];
        if (item->id.index >= from && item->id.index <= to) {
            outbox_event(r, RAFT_EVENT_CONFIG_COMMITTED, item->id.index,
                         item->config.outgoing_count > 0);
        }
    }
}

bool membership_is_settled(const struct raft *r)
{
    return newest(r)->id.index <= r->commit && r->config.outgoing_count == 0;
}

/* Rule E14: while the entry that takes its vote away is not committed, a voter still campaigns,
 * though it may not count itself: it may be the only one that holds what is committed. So does a
 * learner whose vote a candidate needs, by a configuration that is not known here, and cannot have:
 * the newer log may be here alone. It hands over as soon as it is established (rule C5). */
bool membership_may_lead(const struct raft *r)
{
    if (r->barred || r->config.voter_count == 0) {
        return false;
    }
    if (r->election.wanted && config_has_learner(&r->config, r->options.self)) {
        return true;
    }
    const struct config_log *log = &r->configs;
    const struct config_item *committed = config_log_at(log, r->commit);
    CHECK(committed != NULL);
    for (uint32_t i = (uint32_t)(committed - log->items); i < log->count; i++) {
        if (config_has_voter(&log->items[i].config, r->options.self)) {
            return true;
        }
    }
    return false;
}

/* --- changes ---------------------------------------------------------------------------------- */

static bool has_same_voters(const struct raft_config *a, const struct raft_config *b)
{
    if (a->voter_count != b->voter_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->voter_count; i++) {
        if (!ids_contain(b->voters, b->voter_count, a->voters[i])) {
            return false;
        }
    }
    return true;
}

static bool is_heard(const struct raft *r, node_id id)
{
    const struct member *m = member_find(r, id);
    return id == r->options.self ||
           (m != NULL && m->progress.last_ack_ms != 0 &&
            r->now_ms < m->progress.acked_sent_ms + r->options.election_timeout_ms);
}

bool member_is_current(const struct raft *r, const struct member *m)
{
    return is_heard(r, m->id) && !m->progress.recovering &&
           m->progress.match + LIMIT_PROMOTE_LAG_ENTRIES >= r->log.last;
}

/* Rule C4: whoever begins to vote is there and has nearly everything; and those who shall decide
 * are enough to decide, or nobody could ever take the change back. */
static enum status check_voters(const struct raft *r, const struct raft_config *next)
{
    uint32_t heard = 0;
    for (uint32_t i = 0; i < next->voter_count; i++) {
        node_id id = next->voters[i];
        const struct member *m = member_find(r, id);
        heard += is_heard(r, id) && (m == NULL || !m->progress.recovering);
        if (!config_has_voter(&r->config, id) &&
            (!config_has_learner(&r->config, id) || !member_is_current(r, member_find(r, id)))) {
            return STATUS_BEHIND;
        }
    }
    return 2 * heard > next->voter_count ? STATUS_OK : STATUS_NO_QUORUM;
}

enum status membership_change(struct raft *r, const struct raft_config *config, struct slice annex)
{
    if (r->role != RAFT_LEADER) {
        return STATUS_NOT_LEADER;
    }
    if (config->outgoing_count > 0 || !raft_config_is_sound(config) ||
        annex.size > LIMIT_CONFIG_ANNEX_BYTES) {
        return STATUS_INVALID;
    }
    /* Rule C1. */
    if (!leader_is_established(r) || !membership_is_settled(r) || r->transfer.target != 0) {
        return STATUS_BUSY;
    }
    struct raft_config next = *config;
    if (!has_same_voters(config, &r->config)) {
        enum status s = check_voters(r, config);
        if (s != STATUS_OK) {
            return s;
        }
        next.outgoing_count = r->config.voter_count;
        memcpy(next.outgoing, r->config.voters, sizeof(next.outgoing));
    }
    struct blob *payload = raft_config_encode(&next, annex);
    enum status s = leader_append_config(r, payload, false);
    blob_unref(payload);
    return s;
}

/* Rule C9. True when it was time. */
static bool leave_joint(struct raft *r)
{
    const struct config_item *item = newest(r);
    if (item->config.outgoing_count == 0 || item->id.index > r->commit ||
        !leader_is_established(r) || r->transfer.target != 0) {
        return false;
    }
    struct raft_config next = item->config;
    next.outgoing_count = 0;
    struct blob *payload = raft_config_encode(&next, item->annex);
    enum status s = leader_append_config(r, payload, true);
    CHECK(s == STATUS_OK);
    blob_unref(payload);
    return true;
}

bool membership_turn(struct raft *r)
{
    if (leave_joint(r)) {
        return true;
    }
    bool removed = leader_is_established(r) && membership_is_settled(r) &&
                   !config_has_voter(&r->config, r->options.self);
    if ((removed || r->barred) && !r->transfer.final) { /* rules C5, P15b */
        transfer_away(r);
    }
    return false;
}

void membership_bar(struct raft *r, bool barred)
{
    r->barred = barred;
    if (barred && (r->role == RAFT_PRECANDIDATE || r->role == RAFT_CANDIDATE)) {
        become_follower(r, r->term, 0);
    }
}

/* --- views ------------------------------------------------------------------------------------ */

static void show(const struct raft *r, const struct config_item *item,
                 struct raft_config_view *view)
{
    *view = (struct raft_config_view){.id = item->id,
                                      .committed = item->id.index <= r->commit,
                                      .config = &item->config,
                                      .annex = item->annex};
}

const struct raft_config *raft_active_config(const struct raft *r)
{
    return &r->config;
}

void raft_config_view(const struct raft *r, struct raft_config_view *view)
{
    show(r, newest(r), view);
}

bool raft_config_at(const struct raft *r, raft_index index, struct raft_config_view *view)
{
    const struct config_item *item = config_log_at(&r->configs, index);
    if (item == NULL) {
        return false;
    }
    show(r, item, view);
    return true;
}
