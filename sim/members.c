#include "members.h"

#include "base/mem.h"
#include "configs.h"
#include "crash_points.h"
#include "coverage.h"
#include "net/http.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PORT          4000
/* Whoever exits is started again by its supervisor. */
#define SUPERVISOR_MS 50
/* Nobody tells the supervisor of one that was removed. */
#define RETIRED_MS    400

const char *const sim_hosts[SIM_MEMBERS_MAX] = {"a", "b", "c", "d", "e", "f", "g"};
static const char *const urls[SIM_MEMBERS_MAX] = {"http://a:4000", "http://b:4000", "http://c:4000",
                                                  "http://d:4000", "http://e:4000", "http://f:4000",
                                                  "http://g:4000"};
static const char *const names[SIM_MEMBERS_MAX] = {"node-1", "node-2", "node-3", "node-4",
                                                   "node-5", "node-6", "node-7"};

/* --- one process ------------------------------------------------------------------------------ */

static void on_fatal(void *context, int exit_code, const char *why)
{
    struct sim_member *m = context;
    m->is_fatal = true;
    m->fatal_code = exit_code;
    snprintf(m->fatal_why, sizeof(m->fatal_why), "%s", why);
}

static void on_request(void *context, struct http_request *r)
{
    (void)context;
    http_answer(r, 404, "text/plain", NULL, slice_str(""));
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    (void)http_status;
    buf_append_str(body, reason);
}

static void common_headers(void *context, const struct http_request *r, struct buf *headers)
{
    (void)context;
    (void)r;
    (void)headers;
}

static bool wants_upgrade(void *context, const struct http_request *r, struct slice protocol)
{
    (void)context;
    (void)r;
    return slice_equal(protocol, slice_str("conclave-peer/1"));
}

static void on_upgrade(void *context, const struct http_request *r, struct slice protocol,
                       struct conn *conn, struct slice rest)
{
    (void)r;
    (void)protocol;
    struct sim_member *m = context;
    node_take_peer(m->node, conn, rest);
}

static uint64_t body_bytes_max(void *context, const struct http_request *r)
{
    (void)context;
    (void)r;
    return 0;
}

static void on_accept(void *context, struct conn *c)
{
    struct sim_member *m = context;
    http_server_accept(m->http, c);
}

static struct sim_members *all;

static void on_turn(void *context)
{
    struct sim_member *m = context;
    truth_enter((int)(m - all->items));
    verdict_clock(fake_world_now(all->world));
    node_turn(m->node);
}

static struct fake_disk *create_disk(const struct schedule *s, uint32_t i, uint32_t generation)
{
    struct fake_disk_options options = {.seed = s->seed * 1000 + i * 31 + generation * 7 + 1,
                                        .sector_bytes = s->knobs[KNOB_sector_bytes]};
    return fake_disk_create(&options);
}

/* Who takes them seldom keeps a longer log. */
static uint32_t snapshot_entries(const uint32_t *k, uint32_t i)
{
    return k[KNOB_snapshot_entries] * (1 + k[KNOB_snapshot_spread] * ((i + k[KNOB_core]) % 3));
}

static enum status open_node(struct sim_members *all_members, int i, char **detail)
{
    struct sim_member *m = &all_members->items[i];
    const uint32_t *k = all_members->schedule->knobs;
    struct node_options options = {
        .name = names[i],
        .data_dir = names[i],
        .listen_host = sim_hosts[i],
        .listen_port = PORT,
        .secret = slice_str(k[KNOB_has_secret] ? "the secret of this cluster" : ""),
        .heartbeat_ms = k[KNOB_heartbeat_ms],
        .election_timeout_ms = k[KNOB_election_ms],
        .request_timeout_ms = k[KNOB_request_ms],
        .history_ms = k[KNOB_history_ms],
        .history_bytes = k[KNOB_history_bytes],
        .quota_bytes = 1u << 30,
        .value_bytes_max = 1u << 20,
        .first_segment_bytes = k[KNOB_first_segment_bytes],
        .segment_bytes = k[KNOB_segment_bytes],
        .snapshot_log_entries = snapshot_entries(k, (uint32_t)i),
        .election_policy = (enum node_election_policy)k[KNOB_policy],
        .priority = ((uint32_t)i * 5 + k[KNOB_core]) % 4,
        .lease_reads = k[KNOB_lease_reads] != 0,
        .on_fatal = on_fatal,
        .context = m,
    };
    const char *others[SIM_MEMBERS_MAX];
    uint32_t other_count = 0;
    for (int j = 0; j < (int)(m->joins ? all_members->count : all_members->founders); j++) {
        if (j != i) {
            others[other_count++] = urls[j];
        }
    }
    if (m->joins) {
        options.join = others;
        options.join_count = other_count;
    } else {
        options.peers = others;
        options.peer_count = other_count;
    }
    return node_open(&options, m->loop, fake_disk_as_disk(m->disk), &m->node, detail);
}

static void listen_and_serve(struct sim_member *m, int i)
{
    const struct http_handler handler = {.on_request = on_request,
                                         .on_bad = on_bad,
                                         .common_headers = common_headers,
                                         .wants_upgrade = wants_upgrade,
                                         .on_upgrade = on_upgrade,
                                         .body_bytes_max = body_bytes_max,
                                         .context = m};
    m->http = http_server_create(m->loop, &handler, NULL);
    uint16_t bound;
    enum status s = m->loop->ops->listen(m->loop, sim_hosts[i], PORT, &bound, on_accept, m);
    (void)s; /* of a port of its own host */
    m->loop->ops->on_turn(m->loop, on_turn, m);
}

/* --- the table of processes ------------------------------------------------------------------- */

/* Its disk refused the call of the crash point. */
static bool is_at_crash_point(const struct sim_members *all_members, int i)
{
    const struct sim_member *m = &all_members->items[i];
    return m->has_crash_point &&
           fake_disk_calls(m->disk) >= all_members->schedule->knobs[KNOB_crash_call];
}

static void arm_crash_point(struct sim_members *all_members, int i)
{
    struct sim_member *m = &all_members->items[i];
    const uint32_t *k = all_members->schedule->knobs;
    m->has_crash_point = (uint32_t)i == k[KNOB_crash_member] && !all_members->has_crashed &&
                         fake_disk_calls(m->disk) < k[KNOB_crash_call];
    if (m->has_crash_point) {
        fake_disk_halt_at(m->disk, k[KNOB_crash_call]);
        truth.members[i].may_fail = true;
    }
}

static void lose_at_crash_point(struct sim_members *all_members, int i)
{
    struct sim_member *m = &all_members->items[i];
    uint32_t code = all_members->schedule->knobs[KNOB_crash_loss];
    struct fake_loss loss = {.kind = FAKE_LOSS_ONE, .which = code - CRASH_LOSES_ONE};
    if (code < CRASH_LOSES_ONE) {
        loss.kind = code == CRASH_LOSES_ALL ? FAKE_LOSS_ALL : FAKE_LOSS_NONE;
    }
    all_members->has_crashed = true;
    all_members->unsynced = fake_disk_pending(m->disk);
    fake_disk_power_loss(m->disk, loss);
}

static void end_process(struct sim_members *all_members, int i, enum sim_death death)
{
    struct sim_member *m = &all_members->items[i];
    if (death == DEATH_CRASH_POINT) {
        lose_at_crash_point(all_members, i);
    } else if (death == DEATH_POWER || death == DEATH_POWER_DESTROYS) {
        if (fake_disk_pending(m->disk) > 0) {
            coverage_hit(MARK_POWER_LOST_WRITES);
        }
        fake_disk_power_loss(m->disk,
                             (struct fake_loss){.kind = FAKE_LOSS_RANDOM,
                                                .destroys = death == DEATH_POWER_DESTROYS});
    } else {
        fake_disk_restart(m->disk);
    }
    truth_on_stop(i);
    truth.members[i].disk = m->disk;
}

/* A start that failed: a crash that was arranged, or damage that it found. */
static void on_refused(struct sim_members *all_members, int i, enum status s, const char *detail)
{
    struct sim_member *m = &all_members->items[i];
    struct truth_member *t = &truth.members[i];
    verdict_trace("member %d does not start: %s", i, detail != NULL ? detail : status_name(s));
    fake_process_kill(m->loop);
    bool lacks_space = t->is_full && s == STATUS_NO_SPACE;
    bool was_hurt = m->has_crash_point ? is_at_crash_point(all_members, i) : t->may_fail;
    if ((was_hurt && s != STATUS_CORRUPT) || lacks_space) {
        coverage_hit(lacks_space ? MARK_STARTED_WITHOUT_SPACE : MARK_CRASH_IN_RECOVERY);
        end_process(all_members, i,
                    m->has_crash_point ? DEATH_CRASH_POINT
                    : m->crash_power   ? DEATH_POWER
                                       : DEATH_KILL);
        m->back_ms = fake_world_now(all_members->world) + SUPERVISOR_MS;
        return;
    }
    if (s == STATUS_CONFLICT && (configs_is_removed(t) || (t->is_stranger && m->joins))) {
        coverage_hit(MARK_REMOVED_MEMBER_REFUSED);
        end_process(all_members, i, DEATH_KILL);
        m->back_ms = fake_world_now(all_members->world) + RETIRED_MS;
        return;
    }
    /* Rule P4: who is not alone starts without its snapshots, too. It may believe that it is: the
     * one founder, or the last of those that it still knows of. */
    const uint32_t *knobs = all_members->schedule->knobs;
    bool is_never_alone = all_members->founders > 1 && knobs[KNOB_churn] == 0;
    if (!t->is_damaged || (!t->may_refuse && is_never_alone)) {
        verdict_fail("I17", "member %d does not start: %s", i,
                     detail != NULL ? detail : status_name(s));
    }
    coverage_hit(MARK_DAMAGE_REFUSED);
    m->lost_for_good = true;
    end_process(all_members, i, DEATH_KILL);
}

void members_start(struct sim_members *all_members, int i)
{
    struct sim_member *m = &all_members->items[i];
    m->back_ms = 0;
    m->thawed_ms = 0;
    m->is_fatal = false;
    m->shutting_down = false;
    if (m->lost_for_good && truth.members[i].is_damaged) {
        return;
    }
    m->starts++;
    verdict_trace("member %d starts", i);
    m->loop = fake_process_create(all_members->world, sim_hosts[i]);
    truth_enter(i);
    truth_on_start(i, m->loop);
    truth.members[i].disk = m->disk;
    if (m->crash_calls > 0) {
        fake_disk_halt_at(m->disk, fake_disk_calls(m->disk) + m->crash_calls);
        truth.members[i].may_fail = true;
        m->crash_calls = 0;
    }
    arm_crash_point(all_members, i);
    char *detail = NULL;
    enum status s = open_node(all_members, i, &detail);
    if (s != STATUS_OK) {
        m->node = NULL;
        on_refused(all_members, i, s, detail);
    } else {
        if (truth.members[i].is_damaged) {
            coverage_hit(MARK_ROT_HARMLESS);
        }
        truth.members[i].kv = node_kv(m->node);
        listen_and_serve(m, i);
    }
    mem_free(detail);
}

void members_stop(struct sim_members *all_members, int i, enum sim_death death)
{
    struct sim_member *m = &all_members->items[i];
    if (m->node == NULL) {
        return;
    }
    const struct raft *r = truth.members[i].raft;
    if (r != NULL && raft_role(r) == RAFT_LEADER && raft_active_config(r)->outgoing_count > 0) {
        coverage_hit(MARK_LEADER_STOPPED_IN_JOINT);
    }
    verdict_trace("member %d ends (%s)", i,
                  death == DEATH_KILL      ? "killed"
                  : death == DEATH_ORDERLY ? "in order"
                                           : "power loss");
    all_members->on_stop(all_members->context, i);
    if (death != DEATH_ORDERLY) {
        fake_disk_halt_at(m->disk, fake_disk_calls(m->disk) + 1);
    }
    all_members->leaks += fake_process_owes_work(m->loop);
    fake_process_kill(m->loop);
    http_server_destroy(m->http);
    truth_enter(i);
    node_destroy(m->node);
    m->node = NULL;
    end_process(all_members, i, death);
}

void members_freeze(struct sim_members *all_members, int i, bool frozen)
{
    struct sim_member *m = &all_members->items[i];
    fake_process_freeze(m->loop, frozen);
    m->thawed_ms = 0;
}

void members_wipe(struct sim_members *all_members, int i)
{
    struct sim_member *m = &all_members->items[i];
    fake_disk_destroy(m->disk);
    m->disk = create_disk(all_members->schedule, (uint32_t)i,
                          (uint32_t)fake_world_now(all_members->world));
    m->lost_for_good = false; /* what is found out on the new disk counts for that */
    truth_on_wipe(i);
    truth.members[i].disk = m->disk;
}

void members_admit(struct sim_members *all_members, int i)
{
    struct sim_member *m = &all_members->items[i];
    members_stop(all_members, i, DEATH_KILL);
    if (m->starts > 0) {
        members_wipe(all_members, i);
    }
    truth.members[i].is_stranger = true;
    m->joins = true;
    m->back_ms = fake_world_now(all_members->world) + 1;
}

bool members_is_born(const struct sim_members *all_members, int i)
{
    return i < (int)all_members->founders || all_members->items[i].joins;
}

/* A learner may be refused by a leader that is about to replace it. */
static bool may_exit(const struct sim_member *m, const struct truth_member *t)
{
    return (t->may_fail && !m->has_crash_point) || t->is_damaged || t->is_stranger ||
           (m->fatal_code == 2 && (configs_is_removed(t) || (m->joins && !configs_votes(t))));
}

/* An exit must have a reason that the story gave it. */
static void exit_fatal(struct sim_members *all_members, int i)
{
    struct sim_member *m = &all_members->items[i];
    const struct truth_member *t = &truth.members[i];
    if (!may_exit(m, t)) {
        verdict_fail("EXIT", "member %d exits with %d: %s", i, m->fatal_code, m->fatal_why);
    }
    verdict_trace("member %d exits with %d: %s", i, m->fatal_code, m->fatal_why);
    if (t->is_stranger) {
        coverage_hit(MARK_WIPED_MEMBER_KEPT_OUT);
    } else if (m->fatal_code == 2 && configs_is_removed(t)) {
        coverage_hit(MARK_REMOVED_MEMBER_ENDED);
    } else if (t->may_fail) {
        coverage_hit(MARK_CRASH_IN_WRITE);
    }
    bool power = m->crash_power;
    m->crash_power = false;
    members_stop(all_members, i, power ? DEATH_POWER_DESTROYS : DEATH_KILL);
    if (!t->is_stranger || m->joins) {
        m->back_ms = m->back_ms != 0 ? m->back_ms : fake_world_now(all_members->world) + 1;
        m->back_ms += SUPERVISOR_MS;
    }
}

void members_tend(struct sim_members *all_members)
{
    uint64_t now_ms = fake_world_now(all_members->world);
    for (int i = 0; i < (int)all_members->count; i++) {
        struct sim_member *m = &all_members->items[i];
        if (m->node != NULL && is_at_crash_point(all_members, i)) {
            members_stop(all_members, i, DEATH_CRASH_POINT);
            m->back_ms = now_ms + SUPERVISOR_MS;
        }
        if (m->node != NULL && m->is_fatal) {
            exit_fatal(all_members, i);
        }
        if (m->node != NULL && m->thawed_ms != 0 && m->thawed_ms <= now_ms) {
            members_freeze(all_members, i, false);
        }
        if (m->node != NULL && m->shutting_down && m->back_ms <= now_ms) {
            members_stop(all_members, i, DEATH_ORDERLY);
        }
        if (m->node == NULL && m->back_ms != 0 && m->back_ms <= now_ms) {
            members_start(all_members, i);
        }
    }
}

int members_leader(const struct sim_members *m)
{
    int found = -1;
    raft_term term = 0;
    for (int i = 0; i < (int)m->count; i++) {
        const struct raft *r = truth.members[i].raft;
        if (r != NULL && raft_role(r) == RAFT_LEADER && raft_term_now(r) >= term) {
            found = i;
            term = raft_term_now(r);
        }
    }
    return found;
}

bool members_are_founded(const struct sim_members *m)
{
    for (uint32_t i = 0; i < m->founders; i++) {
        if (truth.members[i].id == 0 && !truth.members[i].is_stranger) {
            return false;
        }
    }
    return true;
}

static void on_enter(void *context, struct loop *process)
{
    struct sim_members *m = context;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->items[i].loop == process) {
            truth_enter((int)i);
        }
    }
}

void members_open(struct sim_members *m, const struct schedule *s, struct fake_world *world)
{
    m->schedule = s;
    m->world = world;
    fake_world_on_enter(world, on_enter, m);
    m->founders = s->knobs[KNOB_members];
    m->count = m->founders + s->knobs[KNOB_spares];
    all = m;
    for (uint32_t i = 0; i < m->count; i++) {
        m->items[i].disk = create_disk(s, i, 0);
    }
}

void members_close(struct sim_members *m)
{
    for (int i = 0; i < (int)m->count; i++) {
        members_stop(m, i, DEATH_KILL);
    }
    fake_world_destroy(m->world);
    for (uint32_t i = 0; i < m->count; i++) {
        fake_disk_destroy(m->items[i].disk);
    }
}
