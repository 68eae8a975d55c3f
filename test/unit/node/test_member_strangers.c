/* A member and somebody who speaks the protocol of members but is not what it says: another
 * cluster's member, one that forgot, one that came in another's place. */
#include "member_world.h"

#include "base/codec.h"
#include "base/log.h"
#include "kv/kv_lease.h"
#include "node/loads.h"
#include "node/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_MS   50
#define HIGH_TERM 1000

/* Takes the place of member `as`, which is stopped or frozen, and dials member `at`. */
struct stranger {
    struct cluster *cluster;
    int at;
    struct peers *peers;
    struct peer_hello hello;
    struct node_member target;
};

static bool on_hello(void *context, const struct peer_hello *hello)
{
    (void)context;
    (void)hello;
    return true;
}

static void on_message(void *context, struct uuid from, const struct raft_message *message)
{
    (void)context;
    (void)from;
    (void)message;
}

static void on_note(void *context, struct uuid from, enum peer_note kind, struct slice body)
{
    (void)context;
    (void)from;
    (void)kind;
    (void)body;
}

static void on_gone(void *context, struct uuid peer)
{
    (void)context;
    (void)peer;
}

static const struct peers_events stranger_events = {.on_hello = on_hello,
                                                    .on_message = on_message,
                                                    .on_note = on_note,
                                                    .on_down = on_gone,
                                                    .on_lost = on_gone,
                                                    .on_dropped = on_gone};

static struct node_status status_of(const struct cluster *c, int i)
{
    struct node_status status;
    node_status_get(c->members[i].node, &status);
    return status;
}

static int other_than(const struct cluster *c, int i)
{
    return i + 1 < c->count ? i + 1 : 0;
}

/* The hello that member `as` would send. */
static void take_identity(struct stranger *s, int as)
{
    struct node_status status = status_of(s->cluster, s->at);
    struct peer_hello *h = &s->hello;
    snprintf(h->name, sizeof(h->name), "%s", member_names[as]);
    memset(h->boot.bytes, 0x77, sizeof(h->boot.bytes));
    h->phase = FOUNDING_FOUNDED;
    h->founders = status.member_count;
    h->term = status.term;
    h->roster.cluster = status.cluster;
    h->roster.count = status.member_count;
    for (uint32_t i = 0; i < status.member_count; i++) {
        const struct node_member *m = &status.members[i];
        uint32_t place = (uint32_t)(m->name[strlen(m->name) - 1] - '1');
        struct roster_member *r = &h->roster.members[place];
        snprintf(r->name, sizeof(r->name), "%s", m->name);
        snprintf(r->url, sizeof(r->url), "%s", m->url);
        r->incarnation = m->incarnation;
    }
    h->incarnation = h->roster.members[as].incarnation;
    s->target = status.members[0];
}

static void come(struct stranger *s)
{
    struct cluster *c = s->cluster;
    struct peers_options options = {.loop = fake_process_create(c->world, "elsewhere"),
                                    .secret = c->secret,
                                    .events = &stranger_events,
                                    .context = s};
    s->peers = peers_create(&options);
    peers_set_hello(s->peers, &s->hello);
    const char *const urls[] = {s->target.url};
    peers_set_urls(s->peers, urls, 1);
    fake_world_run(c->world, WAIT_MS);
}

static bool is_linked(const struct stranger *s)
{
    return peers_is_up(s->peers, s->target.incarnation);
}

/* A vote request that would be heeded from a member: it passes stickiness. */
static void ask_for_vote(struct stranger *s)
{
    struct raft_message m = {.type = RAFT_MSG_VOTE,
                             .from = uuid_short(s->hello.incarnation),
                             .to = s->target.id,
                             .term = HIGH_TERM,
                             .transfer = true};
    peers_send(s->peers, s->target.incarnation, &m);
    fake_world_run(s->cluster->world, WAIT_MS);
}

/* Three members of which the last is stopped; the stranger has its name and will dial the first. */
static struct stranger begin(void)
{
    struct cluster *c = cluster_create(5, 3);
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    struct stranger s = {.cluster = c};
    take_identity(&s, 2);
    member_stop(c, 2, false);
    cluster_expect_no_fatal(c);
    return s;
}

static void end(struct stranger *s)
{
    peers_destroy(s->peers);
    cluster_destroy(s->cluster);
}

/* Shows that the others can fail. */
static void one_that_is_what_it_says_is_linked_and_heard(void **state)
{
    (void)state;
    struct stranger s = begin();
    come(&s);
    assert_true(is_linked(&s));
    ask_for_vote(&s);
    assert_true(status_of(s.cluster, 0).term >= HIGH_TERM);
    end(&s);
}

/* --- of an older version ---------------------------------------------------------------------- */

static void on_written(struct node_write *w)
{
    uint32_t *answers = w->context;
    (*answers)++;
}

static enum status write_at(struct cluster *c, int i, const struct kv_command *command)
{
    uint32_t answers = 0;
    struct node_write w = {
        .ack = NODE_ACK_QUORUM, .forward = true, .done = on_written, .context = &answers};
    enum status s = node_write_start(c->members[i].node, &w, command);
    for (int waited = 0; s == STATUS_OK && answers == 0; waited++) {
        assert_true(waited < 2 * REQUEST_TIMEOUT_MS);
        fake_world_run(c->world, 1);
    }
    return s == STATUS_OK ? w.status : s;
}

static void tell_load(struct stranger *s, bool knows_leases)
{
    struct buf body = {0};
    load_note_encode(&(struct load_note){.serves = true, .knows_leases = knows_leases}, &body);
    peers_send_note(s->peers, s->target.incarnation, PEER_NOTE_LOAD, buf_slice(&body));
    buf_deinit(&body);
    fake_world_run(s->cluster->world, WAIT_MS);
}

/* A lease would end it, or make another state there. */
static void what_a_linked_member_of_an_older_version_does_not_know_is_refused(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int old = other_than(c, leader);
    const int members[] = {leader, other_than(c, old)};
    struct stranger s = {.cluster = c, .at = leader};
    take_identity(&s, old);
    member_stop(c, old, false);
    struct kv_command grant = {.op = KV_LEASE_GRANT, .lease = 1, .ttl_s = 600};
    struct kv_command put = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_equal(write_at(c, leader, &grant), STATUS_OK); /* it is away: nothing is known */
    come(&s);
    assert_true(is_linked(&s));
    tell_load(&s, false);
    grant.lease = 2;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(write_at(c, members[i], &grant), STATUS_UNSUPPORTED);
        put.lease = 1;
        assert_int_equal(write_at(c, members[i], &put), STATUS_UNSUPPORTED);
        put.lease = 0;
        assert_int_equal(write_at(c, members[i], &put), STATUS_OK);
    }
    tell_load(&s, true);
    assert_int_equal(write_at(c, leader, &grant), STATUS_OK);
    end(&s);
}

static void expect_not_heard(struct stranger *s)
{
    come(s);
    ask_for_vote(s);
    fake_world_run(s->cluster->world, 5000);
    assert_false(is_linked(s));
    assert_true(status_of(s->cluster, 0).term < HIGH_TERM);
    cluster_expect_no_fatal(s->cluster);
    end(s);
}

static void rule_e11_a_member_of_another_cluster_is_not_heard(void **state)
{
    (void)state;
    struct stranger s = begin();
    s.hello.roster.cluster.bytes[0] ^= 1;
    expect_not_heard(&s);
}

static void rule_e11_a_member_with_another_disk_is_not_heard(void **state)
{
    (void)state;
    struct stranger s = begin();
    s.hello.incarnation.bytes[0] ^= 1;
    s.hello.roster.members[2].incarnation = s.hello.incarnation;
    expect_not_heard(&s);
}

static void rule_g5_a_member_that_forgot_what_it_promised_is_not_heard(void **state)
{
    (void)state;
    struct stranger s = begin();
    s.hello.phase = FOUNDING_FRESH;
    s.hello.roster = (struct roster){0};
    expect_not_heard(&s);
}

/* What member `at` said of itself. */
static struct peer_hello hello_of_target(const struct stranger *s)
{
    struct peer_view views[4];
    uint32_t count = peers_view(s->peers, views, 4);
    for (uint32_t i = 0; i < count; i++) {
        if (views[i].up) {
            return views[i].hello;
        }
    }
    fail_msg("no link");
    return (struct peer_hello){0};
}

static void say_old_copy(struct stranger *s, struct uuid boot, enum founding_phase phase)
{
    struct buf body = {0};
    put_uuid(&body, boot);
    put_u8(&body, (uint8_t)phase);
    peers_send_note(s->peers, s->target.incarnation, PEER_NOTE_OLD_COPY, buf_slice(&body));
    buf_deinit(&body);
    fake_world_run(s->cluster->world, WAIT_MS);
}

static void rule_c7_a_member_believes_only_what_is_said_of_its_present_hello(void **state)
{
    (void)state;
    struct stranger s = begin();
    come(&s);
    struct peer_hello target = hello_of_target(&s);
    struct uuid other = target.boot;
    other.bytes[0] ^= 1;
    say_old_copy(&s, other, FOUNDING_FOUNDED);     /* of a former life */
    say_old_copy(&s, target.boot, FOUNDING_FRESH); /* from before it was founded */
    cluster_expect_no_fatal(s.cluster);
    say_old_copy(&s, target.boot, FOUNDING_FOUNDED);
    assert_int_equal(s.cluster->members[0].fatal_code, 1);
    end(&s);
}

static void say_removed(struct stranger *s, uint64_t index)
{
    struct buf body = {0};
    put_u64(&body, index);
    peers_send_note(s->peers, s->target.incarnation, PEER_NOTE_REMOVED, buf_slice(&body));
    buf_deinit(&body);
    fake_world_run(s->cluster->world, WAIT_MS);
}

static void on_changed(struct node_change *c)
{
    (void)c;
}

static void rule_c6_a_member_that_knows_better_does_not_believe_that_it_was_removed(void **state)
{
    (void)state;
    struct stranger s = begin();
    struct node_change change = {.kind = NODE_CHANGE_ADD, .done = on_changed};
    snprintf(change.name, sizeof(change.name), "node-9");
    snprintf(change.url, sizeof(change.url), "http://x:1");
    while (cluster_find_leader(s.cluster) < 0) {
        fake_world_run(s.cluster->world, 1);
    }
    struct node *leader = s.cluster->members[cluster_find_leader(s.cluster)].node;
    assert_int_equal(node_change_start(leader, &change), STATUS_OK);
    fake_world_run(s.cluster->world, 10 * WAIT_MS);
    assert_int_equal(change.status, STATUS_OK);
    static struct node_membership m;
    node_membership_get(s.cluster->members[0].node, &m);
    assert_true(m.index > 0);
    come(&s);
    say_removed(&s, 0);
    say_removed(&s, m.index);
    cluster_expect_no_fatal(s.cluster);
    say_removed(&s, m.index + 1);
    assert_int_equal(s.cluster->members[0].fatal_code, 2);
    end(&s);
}

static void say_forward(struct stranger *s, uint8_t ack, const struct kv_command *command,
                        size_t cut_off)
{
    struct buf body = {0};
    put_u64(&body, 1);
    put_u8(&body, ack);
    kv_command_encode(command, &body);
    body.size -= cut_off;
    peers_send_note(s->peers, s->target.incarnation, PEER_NOTE_FORWARD_ASK, buf_slice(&body));
    buf_deinit(&body);
    fake_world_run(s->cluster->world, WAIT_MS);
}

static void rule_r15_a_leader_takes_only_what_a_member_can_hand_on(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int absent = other_than(c, leader);
    struct stranger s = {.cluster = c, .at = leader};
    take_identity(&s, absent);
    member_stop(c, absent, false);
    come(&s);
    assert_true(is_linked(&s));
    uint64_t applied = status_of(c, leader).applied_index;
    const struct kv_command put = {
        .op = KV_PUT, .key = slice_str("k"), .value = slice_str("\"v\"")};
    struct buf expiry = {0};
    kv_expiry_add(&expiry, 1, 1);
    const struct kv_command expire = {.op = KV_LEASE_EXPIRE, .expiry = buf_slice(&expiry)};
    say_forward(&s, NODE_ACK_ALL + 1, &put, 0);
    say_forward(&s, NODE_ACK_QUORUM + 8, &put, 0);
    say_forward(&s, NODE_ACK_QUORUM, &put, 2);
    say_forward(&s, NODE_ACK_QUORUM, &expire, 0);
    buf_deinit(&expiry);
    assert_int_equal(status_of(c, leader).applied_index, applied);
    say_forward(&s, NODE_ACK_QUORUM, &put, 0);
    assert_int_equal(status_of(c, leader).applied_index, applied + 1);
    cluster_expect_no_fatal(c);
    end(&s);
}

/* Rule E6b: what answers in the leader's name does not lead its term. */
static void rule_e6b_a_leader_that_came_back_without_its_office_is_lost_at_once(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    int leader = cluster_find_leader(c);
    struct stranger s = {.cluster = c, .at = other_than(c, leader)};
    take_identity(&s, leader);
    member_freeze(c, leader, true);
    assert_string_equal(status_of(c, s.at).leader, member_names[leader]);
    come(&s);
    assert_string_not_equal(status_of(c, s.at).leader, member_names[leader]);
    end(&s);
}

static void rule_e6b_a_leader_that_came_back_and_leads_is_not_lost(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    int leader = cluster_find_leader(c);
    struct stranger s = {.cluster = c, .at = other_than(c, leader)};
    take_identity(&s, leader);
    s.hello.leads = true;
    member_freeze(c, leader, true);
    come(&s);
    assert_true(is_linked(&s));
    assert_string_equal(status_of(c, s.at).leader, member_names[leader]);
    end(&s);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_what_it_says_is_linked_and_heard),
        cmocka_unit_test(what_a_linked_member_of_an_older_version_does_not_know_is_refused),
        cmocka_unit_test(rule_e11_a_member_of_another_cluster_is_not_heard),
        cmocka_unit_test(rule_e11_a_member_with_another_disk_is_not_heard),
        cmocka_unit_test(rule_g5_a_member_that_forgot_what_it_promised_is_not_heard),
        cmocka_unit_test(rule_c7_a_member_believes_only_what_is_said_of_its_present_hello),
        cmocka_unit_test(rule_c6_a_member_that_knows_better_does_not_believe_that_it_was_removed),
        cmocka_unit_test(rule_r15_a_leader_takes_only_what_a_member_can_hand_on),
        cmocka_unit_test(rule_e6b_a_leader_that_came_back_without_its_office_is_lost_at_once),
        cmocka_unit_test(rule_e6b_a_leader_that_came_back_and_leads_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
