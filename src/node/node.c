/* node/node.c - the turn of a member, and its birth and end. */
#include "node/node.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Old changes freed in one turn, about half a microsecond each: a compaction of any size never
 * holds up the next request. */
#define COMPACTION_STEP 200

/* Not the turn's time: a process that was stopped in the middle of one must not count a lease, or a
 * promise of one, by a clock reading from before (rules Q6, Q6b). */
uint64_t node_now(const struct node *n)
{
    return n->loop->ops->now_us(n->loop) / 1000;
}

void node_fail(struct node *n, int exit_code, const char *format, ...)
{
    if (n->dead) {
        return;
    }
    n->dead = true;
    char why[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    n->options.on_fatal(n->options.context, exit_code, why);
}

void node_step(struct node *n, const struct raft_input *input)
{
    enum status ignored = raft_step(n->raft, input);
    (void)ignored;
}

const struct roster_member *node_member_by_id(const struct node *n, node_id id)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        if (uuid_short(n->members.members[i].incarnation) == id) {
            return &n->members.members[i];
        }
    }
    return NULL;
}

bool node_is_leader(const struct node *n)
{
    return n->raft != NULL && raft_role(n->raft) == RAFT_LEADER;
}

/* Those of `voters` that are linked and could answer: founded (rule G5). */
static bool half_lacks_quorum(const struct node *n, const node_id *voters, uint32_t count)
{
    uint32_t reachable = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct roster_member *m = node_member_by_id(n, voters[i]);
        const struct peer_hello *hello = m != NULL ? peers_hello(n->peers, m->incarnation) : NULL;
        reachable += voters[i] == n->self || (hello != NULL && hello->phase == FOUNDING_FOUNDED);
    }
    return count > 0 && reachable < count / 2 + 1;
}

static bool is_without_quorum(const struct node *n)
{
    return half_lacks_quorum(n, n->config.voters, n->config.voter_count) ||
           half_lacks_quorum(n, n->config.outgoing, n->config.outgoing_count);
}

bool node_lacks_quorum(const struct node *n)
{
    return node_is_leader(n) && is_without_quorum(n);
}

static bool somebody_leads(const struct node *n)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct peer_hello *hello = peers_hello(n->peers, n->members.members[i].incarnation);
        if (hello != NULL && hello->leads) {
            return true;
        }
    }
    return false;
}

/* After founding, or when all were started anew: to wait for a leader would be in vain. */
static void tell_gathered(struct node *n)
{
    if (raft_leader(n->raft) == 0 && !is_without_quorum(n) && !somebody_leads(n)) {
        node_step(n, &(struct raft_input){.now_ms = node_now(n), .kind = RAFT_INPUT_GATHERED});
    }
}

/* --- the turn --------------------------------------------------------------------------------- */

static void send_messages(struct node *n, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->message_count; i++) {
        const struct raft_message *m = &out->messages[i];
        const struct roster_member *to = node_member_by_id(n, m->to);
        struct uuid linked;
        if (m->type == RAFT_MSG_SNAPSHOT) {
            node_transfer_start(n, m->to);
        } else if (to != NULL) {
            peers_send(n->peers, to->incarnation, m);
        } else if (peers_find_id(n->peers, m->to, &linked)) {
            /* Ours may be the older configuration (rules E11, E13). */
            peers_send(n->peers, linked, m);
        }
    }
}

static uint64_t entry_bytes(const struct raft_entry *entry)
{
    return blob_slice(entry->payload).size + NODE_ENTRY_OVERHEAD;
}

static void apply_entry(struct node *n, raft_index index, const struct raft_entry *entry)
{
    struct kv_result result = {.status = STATUS_OK};
    if (entry->type == RAFT_ENTRY_COMMAND) {
        struct kv_command command;
        enum status s = kv_command_decode(blob_slice(entry->payload), &command);
        if (s != STATUS_OK) {
            node_fail(n, 1, "entry %" PRIu64 " is committed and cannot be read: %s", index,
                      status_text(s));
            return;
        }
        if (command.op == KV_COMPACT) {
            node_watches_before_compaction(n);
            entry = raft_entry_at(n->raft, index); /* who was told may have stepped the core */
        }
        kv_apply_answered(n->kv, &command, &result, node_writes_answer_at(n, index, entry->term));
    }
    n->applied_term = entry->term;
    node_log_account(n, index, entry_bytes(entry));
    node_writes_on_applied(n, index, entry->term, &result);
}

/* Rule R10: in order, once, no further than what is committed and durable here. */
static void apply_committed(struct node *n, raft_index to)
{
    if (n->applied >= to) {
        return;
    }
    n->applying_us = n->loop->ops->now_us(n->loop);
    while (n->applied < to && !n->dead) {
        const struct raft_entry *entry = raft_entry_at(n->raft, n->applied + 1);
        CHECK(entry != NULL);
        apply_entry(n, n->applied + 1, entry);
        n->applied++;
        if (n->applied % DIGEST_EVERY == 0) {
            node_digest_on_applied(n);
        }
    }
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_APPLIED};
    input.index = n->applied;
    node_step(n, &input);
}

static void set_request_timer(struct node *n)
{
    n->turn_wanted = n->turn_wanted && !n->stopped; /* it takes no more turns */
    const uint64_t deadlines[] = {node_writes_deadline(n),        node_reads_deadline(n),
                                  node_surveys_deadline(n),       node_leadership_deadline(n),
                                  node_changes_deadline(n),       node_forwards_deadline(n),
                                  node_log_reads_deadline(n),     node_lease_asks_deadline(n),
                                  node_leader_guards_deadline(n), node_loads_deadline(n)};
    uint64_t earliest = n->turn_wanted ? node_now(n) : UINT64_MAX;
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        earliest = deadlines[i] < earliest ? deadlines[i] : earliest;
    }
    if (earliest == UINT64_MAX) {
        n->loop->ops->timer_stop(n->loop, &n->request_timer);
    } else if (n->request_timer.slot == 0 || n->request_timer.at_ms != earliest) {
        n->loop->ops->timer_start(n->loop, &n->request_timer, earliest);
    }
}

/* The order of a turn. Every message of `out` may leave at once: the core holds back what must wait
 * for the disk (raft.h), so "send, then write" here is safe and lets followers work in parallel
 * (R8). */
static void turn_raft(struct node *n)
{
    tell_gathered(n);
    node_reads_ask(n);
    node_check_stall(n);
    node_promote_on_turn(n);
    node_tell_wish(n);
    struct raft_output out;
    raft_turn(n->raft, node_now(n), &out);
    n->turn_wanted = false;
    bool aborted = false;
    for (uint32_t i = 0; i < out.event_count; i++) {
        node_count_event(n, &out.events[i]);
        aborted |= node_tell_event(n, &out.events[i]);
    }
    send_messages(n, &out);
    if (out.has_persist) {
        node_write_log(n, &out.persist);
    }
    if (out.load.wanted) {
        node_load_log(n, out.load.first, out.load.last, out.load.bytes_max);
    }
    for (uint32_t i = 0; i < out.read_count; i++) {
        node_reads_on_answer(n, &out.reads[i]);
    }
    n->raft_timer.context = n;
    if (out.deadline_ms == UINT64_MAX) {
        n->loop->ops->timer_stop(n->loop, &n->raft_timer);
    } else if (n->raft_timer.slot == 0 || n->raft_timer.at_ms != out.deadline_ms) {
        n->loop->ops->timer_start(n->loop, &n->raft_timer, out.deadline_ms);
    }
    raft_index applied_before = n->applied;
    raft_index apply_to = out.apply_to; /* what follows steps the core: `out` is void */
    if (out.restore.index != 0) {
        node_snapshots_restore(n, out.restore);
    }
    apply_committed(n, apply_to);
    if (n->dead) {
        return;
    }
    node_members_on_turn(n);
    if (n->dead) {
        return;
    }
    node_changes_on_turn(n);
    node_writes_on_turn(n);
    node_reads_on_turn(n);
    node_leases_on_turn(n);
    node_catch_up_on_turn(n);
    node_leadership_on_turn(n, aborted);
    node_watches_on_turn(n);
    if (n->applied > applied_before) {
        node_maybe_compact(n);
    }
    n->turn_wanted |= kv_compact_step(n->kv, COMPACTION_STEP);
    node_maybe_prepare_log(n);
    node_snapshots_on_turn(n);
    node_rebuild_on_turn(n);
    node_update_hello(n);
    node_loads_on_turn(n);
    node_damage_on_turn(n);
    if (n->applied >= raft_commit(n->raft)) {
        n->caught_up_ms = node_now(n);
    }
}

void node_turn(struct node *n)
{
    if (n->dead) {
        return;
    }
    peers_on_turn(n->peers);
    if (n->founding != NULL && !n->stopped) {
        node_forming_turn(n);
    }
    if (n->raft != NULL && !n->stopped && !n->dead) {
        turn_raft(n);
    }
    if (!n->dead) {
        set_request_timer(n);
    }
}

static void on_raft_timer(struct timer *t)
{
    struct node *n = t->context;
    node_step(n, &(struct raft_input){.now_ms = node_now(n), .kind = RAFT_INPUT_TICK});
}

static void expire_requests(struct node *n, uint64_t now_ms)
{
    node_writes_expire(n, now_ms);
    node_forwards_expire(n, now_ms);
    node_reads_expire(n, now_ms);
    node_surveys_expire(n, now_ms);
    node_leadership_expire(n, now_ms);
    node_changes_expire(n, now_ms);
    node_log_reads_expire(n, now_ms);
    node_lease_asks_expire(n, now_ms);
    node_leader_guards_expire(n, now_ms);
}

static void on_request_timer(struct timer *t)
{
    struct node *n = t->context;
    expire_requests(n, node_now(n));
}

void node_answer_all(struct node *n)
{
    n->shutting_down = true; /* what a client asks next is refused */
    n->stopped = true;
    node_watches_close(n);
    expire_requests(n, UINT64_MAX);
}

/* --- birth and end ---------------------------------------------------------------------------- */

void node_start_raft(struct node *n, const struct raft_restored *restored)
{
    uint64_t seed;
    n->loop->ops->random(n->loop, &seed, sizeof(seed));
    struct raft_options options = {
        .self = n->self,
        .election_timeout_ms = n->options.election_timeout_ms,
        .heartbeat_ms = n->options.heartbeat_ms,
        .seed = seed,
        .lease_reads = n->options.lease_reads,
    };
    struct raft_restored with_config = *restored;
    if (restored->config.voter_count == 0) {
        struct membership founding;
        membership_found(&n->identity.roster, &founding, &with_config.config);
    }
    n->raft = raft_create(&options, &with_config, node_now(n));
    node_members_on_turn(n);
    node_scrub_start(n);
    node_snapshots_start(n);
}

static char **copy_urls(const char *const *urls, uint32_t count)
{
    if (count == 0) {
        return NULL;
    }
    char **copies = mem_calloc(count, sizeof(*copies));
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = mem_strdup(urls[i]);
    }
    return copies;
}

static void free_urls(char **urls, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        mem_free(urls[i]);
    }
    mem_free(urls);
}

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void take_options(struct node *n, const struct node_options *options)
{
    n->options = *options;
    if (options->snapshot_log_bytes == 0) {
        n->options.snapshot_log_bytes = LIMIT_SNAPSHOT_LOG_BYTES;
    }
    if (options->snapshot_log_entries == 0) {
        n->options.snapshot_log_entries = LIMIT_SNAPSHOT_LOG_ENTRIES;
    }
    n->name = mem_strdup(options->name);
    n->peer_count = options->peer_count;
    n->peer_urls = copy_urls(options->peers, options->peer_count);
    n->join_count = options->join_count;
    n->join_urls = copy_urls(options->join, options->join_count);
    if (options->advertise != NULL) {
        n->advertise = mem_strdup(options->advertise);
    } else if (!is_wildcard(options->listen_host)) {
        node_set_own_url(n, options->listen_host);
        n->advertise = mem_strdup(n->own_url);
    }
    if (n->advertise != NULL) {
        snprintf(n->own_url, sizeof(n->own_url), "%s", n->advertise);
        n->own_url_is_sure = true;
    }
    if (options->secret.size > 0) {
        n->secret = mem_alloc(options->secret.size);
        memcpy(n->secret, options->secret.data, options->secret.size);
        n->options.secret = slice_of(n->secret, options->secret.size);
    }
}

static void init_lists(struct node *n)
{
    struct list *const lists[] = {
        &n->writes,        &n->writes_durable, &n->writes_all,    &n->reads_new, &n->reads_asked,
        &n->reads_indexed, &n->reads_session,  &n->reads_refused, &n->surveys,   &n->step_downs,
        &n->changes,       &n->forwards_out,   &n->forwards_in};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        list_init(lists[i]);
    }
    node_leases_init(n);
}

static void init_timers(struct node *n)
{
    n->raft_timer = (struct timer){.fire = on_raft_timer, .context = n};
    n->request_timer = (struct timer){.fire = on_request_timer, .context = n};
    n->compaction_timer = (struct timer){.fire = node_on_compaction_timer, .context = n};
    n->seal_timer = (struct timer){.fire = node_on_seal_timer, .context = n};
    n->space_timer = (struct timer){.fire = node_on_space_timer, .context = n};
    n->damage_timer = (struct timer){.fire = node_on_damage_timer, .context = n};
    n->write.hold_timer = (struct timer){.fire = node_on_hold_timer, .context = n};
}

/* Once founded, the roster counts and not --peers (contract); a difference is worth a word. */
static void warn_of_other_peers(const struct node *n)
{
    for (uint32_t i = 0; i < n->peer_count; i++) {
        bool known = strcmp(n->peer_urls[i], n->own_url) == 0;
        for (uint32_t j = 0; j < n->members.count && !known; j++) {
            known = strcmp(n->peer_urls[i], n->members.members[j].url) == 0;
        }
        if (!known) {
            log_warn("--peers is ignored, the cluster is founded: %s is no member of it",
                     n->peer_urls[i]);
        }
    }
    if (n->peer_count > 0 && n->peer_count + 1 != n->members.count) {
        log_warn("--peers is ignored, the cluster is founded: it names %" PRIu32
                 " other members, the cluster has %" PRIu32,
                 n->peer_count, n->members.count - 1);
    }
}

static void start_links(struct node *n)
{
    struct peers_options options = {
        .loop = n->loop, .secret = n->options.secret, .events = &node_peer_events, .context = n};
    n->peers = peers_create(&options);
    node_update_hello(n);
    if (n->raft != NULL) {
        warn_of_other_peers(n);
        node_members_dial(n);
    } else if (n->joining.active) {
        peers_set_urls(n->peers, (const char *const *)n->join_urls, n->join_count);
    } else {
        peers_set_urls(n->peers, (const char *const *)n->peer_urls, n->peer_count);
    }
}

/* By whatever way it was told, unless it is a member already. */
static enum status begin(struct node *n, char **detail)
{
    if (n->dead) {
        *detail = mem_strdup("the members in its log cannot be read; a newer version wrote them?");
        return STATUS_CORRUPT;
    }
    if (n->raft != NULL) {
        return STATUS_OK;
    }
    if (n->join_count == 0) {
        node_forming_begin(n);
        return STATUS_OK;
    }
    if (n->identity.phase != FOUNDING_FRESH) {
        *detail = mem_strdup("this data directory has promised to found a cluster: start it with "
                             "--peers as before, or use an empty one with --join");
        return STATUS_INVALID;
    }
    node_joining_begin(n);
    return STATUS_OK;
}

enum status node_open(const struct node_options *options, struct loop *loop, struct disk *disk,
                      struct node **node, char **detail)
{
    struct node *n = mem_calloc(1, sizeof(*n));
    n->loop = loop;
    n->disk = disk;
    n->write.sync_ms = 1;
    init_lists(n);
    init_timers(n);
    take_options(n, options);
    uint8_t random[16];
    loop->ops->random(loop, random, sizeof(random));
    n->boot = uuid_from_random(random);
    /* Answers to a former life of this member must not be taken for answers to this one. */
    n->forward_number = uuid_short(n->boot) >> 1;
    n->survey_number = n->forward_number;
    n->leases.ask_number = n->forward_number;
    n->started_ms = node_now(n);
    n->kv = kv_create();

    enum status s = node_load_identity(n, detail);
    if (s == STATUS_OK) {
        s = node_recover(n, detail);
    }
    if (s == STATUS_OK) {
        s = begin(n, detail);
    }
    if (s != STATUS_OK) {
        n->dead = true; /* what was refused is not written to, not even a seal */
        node_destroy(n);
        return s;
    }
    node_watches_begin(n);
    start_links(n);
    *node = n;
    return STATUS_OK;
}

static void stop_timers(struct node *n)
{
    struct timer *const timers[] = {&n->raft_timer,      &n->request_timer,  &n->compaction_timer,
                                    &n->founding_timer,  &n->shutdown_timer, &n->seal_timer,
                                    &n->joining.timer,   &n->space_timer,    &n->damage_timer,
                                    &n->write.hold_timer};
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        n->loop->ops->timer_stop(n->loop, timers[i]);
    }
}

/* The log thread has ended with the loop. A seal at rest tells rot from a torn tail (rule P3). */
static void close_log(struct node *n)
{
    if (n->wal != NULL && !n->dead && !n->write.in_flight && wal_seal(n->wal) != STATUS_OK) {
        log_warn("the log could not be sealed; the next start checks its end with more doubt");
    }
    wal_close(n->wal);
}

void node_destroy(struct node *n)
{
    if (n == NULL) {
        return;
    }
    stop_timers(n);
    node_scrub_destroy(n);
    node_rebuild_destroy(n);
    node_forwards_destroy(n);
    node_leases_destroy(n);
    node_log_reads_destroy(n);
    node_watches_destroy(n);
    if (n->peers != NULL) {
        peers_destroy(n->peers);
    }
    if (n->founding != NULL) {
        founding_destroy(n->founding);
    }
    if (n->raft != NULL) {
        raft_destroy(n->raft);
    }
    node_snapshots_destroy(n);
    kv_destroy(n->kv);
    close_log(n);
    free_urls(n->peer_urls, n->peer_count);
    free_urls(n->join_urls, n->join_count);
    mem_free(n->faults);
    mem_free(n->write.entries);
    mem_free(n->load.entries);
    mem_free(n->name);
    mem_free(n->advertise);
    if (n->secret != NULL) {
        explicit_bzero(n->secret, n->options.secret.size);
    }
    mem_free(n->secret);
    buf_deinit(&n->scratch);
    buf_deinit(&n->save.content);
    mem_free(n);
}
