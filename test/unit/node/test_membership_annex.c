/* Memberships: their edits, their bytes, and who is heard. Pure. */
#include "node/joining.h"
#include "node/membership_annex.h"
#include "node/peers.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct uuid disk_of(int n)
{
    struct uuid id = {{(uint8_t)n, (uint8_t)(n >> 8), 7}};
    id.bytes[15] = (uint8_t)n;
    return id;
}

static node_id id_of(int n)
{
    return uuid_short(disk_of(n));
}

/* a, b, c ... with the disks 1, 2, 3 ... */
static struct roster founders(uint32_t count)
{
    struct roster r = {.cluster = disk_of(200), .count = count};
    for (uint32_t i = 0; i < count; i++) {
        struct roster_member *m = &r.members[i];
        snprintf(m->name, sizeof(m->name), "%c", 'a' + (int)i);
        snprintf(m->url, sizeof(m->url), "http://%c:1", 'a' + (int)i);
        m->incarnation = disk_of((int)i + 1);
    }
    return r;
}

static struct membership_edit founded(uint32_t count)
{
    struct roster r = founders(count);
    struct membership m;
    struct raft_config config;
    struct membership_edit e;
    membership_found(&r, &m, &config);
    assert_true(membership_fits(&m, &config));
    membership_edit_begin(&e, &m, &config);
    return e;
}

/* What the log holds while the change is joint. */
static struct raft_config joint_of(const struct raft_config *before, const struct raft_config *next)
{
    struct raft_config joint = *next;
    joint.outgoing_count = before->voter_count;
    memcpy(joint.outgoing, before->voters, sizeof(joint.outgoing));
    return joint;
}

static void expect_comes_back(const struct membership *m)
{
    struct buf bytes = {0};
    struct membership back;
    membership_encode(m, &bytes);
    assert_int_equal(membership_decode(buf_slice(&bytes), &back), STATUS_OK);
    struct buf again = {0};
    membership_encode(&back, &again);
    assert_true(slice_equal(buf_slice(&bytes), buf_slice(&again)));
    buf_deinit(&bytes);
    buf_deinit(&again);
}

/* The edit is done and committed: the next one begins. */
static void commit(struct membership_edit *e)
{
    assert_true(membership_fits(&e->members, &e->config));
    expect_comes_back(&e->members);
    struct membership_edit next;
    membership_edit_begin(&next, &e->members, &e->config);
    *e = next;
}

static void rule_g5_the_founders_are_the_first_membership(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    assert_int_equal(e.config.voter_count, 3);
    assert_string_equal(membership_find_id(&e.members, id_of(2))->name, "b");
    assert_string_equal(membership_find_name(&e.members, "c")->url, "http://c:1");
    assert_null(membership_find_name(&e.members, "d"));
    expect_comes_back(&e.members);
}

static void rule_c4_who_joins_learns_first_and_votes_after(void **state)
{
    (void)state;
    struct membership_edit e = founded(1);
    assert_int_equal(membership_invite(&e, "b", "http://b:1", false), STATUS_OK);
    assert_int_equal(membership_invite(&e, "b", "http://b:1", false), STATUS_CONFLICT);
    commit(&e);
    assert_int_equal(membership_promote(&e, "b"), STATUS_BEHIND);
    assert_int_equal(membership_join(&e, "b", "", disk_of(2), 5), STATUS_OK);
    commit(&e);
    assert_true(membership_learns(&e.config, id_of(2)));
    assert_string_equal(membership_find(&e.members, disk_of(2))->url, "http://b:1");
    assert_int_equal(membership_find(&e.members, disk_of(2))->priority, 5);
    /* By itself, and under another address than the invitation said. */
    assert_int_equal(membership_join(&e, "c", "http://c:9", disk_of(3), 0), STATUS_OK);
    commit(&e);
    struct raft_config before = e.config;
    assert_int_equal(membership_promote(&e, "b"), STATUS_OK);
    assert_int_equal(membership_promote(&e, "c"), STATUS_OK);
    assert_int_equal(membership_promote(&e, "c"), STATUS_CONFLICT);
    struct raft_config joint = joint_of(&before, &e.config);
    assert_true(membership_fits(&e.members, &joint));
    commit(&e);
    assert_int_equal(e.config.voter_count, 3);
    assert_int_equal(e.config.learner_count, 0);
}

static void a_learner_that_is_to_stay_one_is_promoted_by_hand_only(void **state)
{
    (void)state;
    struct membership_edit e = founded(1);
    assert_int_equal(membership_invite(&e, "b", "http://b:1", true), STATUS_OK);
    assert_int_equal(membership_join(&e, "b", "http://b:1", disk_of(2), 0), STATUS_OK);
    assert_true(membership_find_name(&e.members, "b")->stays_learner);
    assert_int_equal(membership_promote(&e, "b"), STATUS_OK);
    assert_false(membership_find_name(&e.members, "b")->stays_learner);
}

static void rule_c6_who_is_removed_leaves_with_the_joint_change_and_never_comes_back(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    struct raft_config before = e.config;
    assert_int_equal(membership_remove(&e, "b"), STATUS_OK);
    struct raft_config joint = joint_of(&before, &e.config);
    assert_true(membership_fits(&e.members, &joint));
    assert_string_equal(membership_find_id(&e.members, id_of(2))->name, "b");
    assert_false(membership_is_removed(&e.members, &joint, disk_of(2)));
    assert_true(membership_is_removed(&e.members, &e.config, disk_of(2)));
    commit(&e);
    assert_null(membership_find_id(&e.members, id_of(2)));
    assert_true(membership_is_removed(&e.members, &e.config, disk_of(2)));
    assert_int_equal(membership_join(&e, "b", "", disk_of(2), 0), STATUS_CONFLICT);
    assert_int_equal(membership_join(&e, "b", "", disk_of(9), 0), STATUS_OK);
    commit(&e);
}

static void rule_c8_absent_members_and_last_voters_are_errors(void **state)
{
    (void)state;
    struct membership_edit e = founded(1);
    assert_int_equal(membership_remove(&e, "x"), STATUS_NOT_FOUND);
    assert_int_equal(membership_promote(&e, "x"), STATUS_NOT_FOUND);
    assert_int_equal(membership_replace(&e, "x", ""), STATUS_NOT_FOUND);
    assert_int_equal(membership_promote(&e, "a"), STATUS_CONFLICT);
    assert_int_equal(membership_remove(&e, "a"), STATUS_INVALID);
}

static void invitations_and_learners_are_removed_without_a_joint_change(void **state)
{
    (void)state;
    struct membership_edit e = founded(1);
    assert_int_equal(membership_invite(&e, "b", "http://b:1", false), STATUS_OK);
    assert_int_equal(membership_remove(&e, "b"), STATUS_OK);
    assert_int_equal(e.members.count, 1);
    assert_int_equal(e.members.removed_count, 0);
    assert_int_equal(membership_join(&e, "b", "http://b:1", disk_of(2), 0), STATUS_OK);
    assert_int_equal(membership_remove(&e, "b"), STATUS_OK);
    commit(&e);
    assert_int_equal(e.config.learner_count, 0);
    assert_true(membership_is_removed(&e.members, &e.config, disk_of(2)));
}

static void rule_c7_another_disk_takes_a_name_only_after_a_replacement(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    assert_int_equal(membership_join(&e, "b", "http://b:2", disk_of(9), 0), STATUS_CONFLICT);
    e = founded(3);
    assert_int_equal(membership_replace(&e, "b", "http://b:2"), STATUS_OK);
    commit(&e);
    assert_true(membership_votes(&e.config, id_of(2))); /* until the other one has caught up */
    assert_true(membership_find(&e.members, disk_of(2))->replaced);
    assert_int_equal(membership_join(&e, "b", "", disk_of(9), 0), STATUS_OK);
    commit(&e);
    assert_string_equal(membership_find(&e.members, disk_of(9))->url, "http://b:2");
    struct raft_config before = e.config;
    assert_int_equal(membership_promote(&e, "b"), STATUS_OK);
    struct raft_config joint = joint_of(&before, &e.config);
    assert_true(membership_fits(&e.members, &joint));
    assert_int_equal(e.config.voter_count, 3);
    commit(&e);
    assert_true(membership_votes(&e.config, id_of(9)));
    assert_true(membership_is_removed(&e.members, &e.config, disk_of(2)));
    assert_int_equal(e.members.count, 3);
}

static void rule_c7_a_successor_that_is_lost_too_is_replaced_again(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    assert_int_equal(membership_replace(&e, "b", ""), STATUS_OK);
    assert_int_equal(membership_replace(&e, "b", "http://b:3"), STATUS_OK);
    assert_int_equal(membership_join(&e, "b", "", disk_of(9), 0), STATUS_OK);
    commit(&e);
    assert_int_equal(membership_replace(&e, "b", ""), STATUS_OK);
    commit(&e);
    assert_int_equal(e.config.learner_count, 0);
    assert_true(membership_is_removed(&e.members, &e.config, disk_of(9)));
    assert_int_equal(membership_join(&e, "b", "", disk_of(10), 0), STATUS_OK);
    commit(&e);
    assert_int_equal(membership_remove(&e, "b"), STATUS_OK); /* both places */
    commit(&e);
    assert_null(membership_find_name(&e.members, "b"));
    assert_int_equal(e.config.voter_count, 2);
}

static void no_more_members_than_a_configuration_can_have(void **state)
{
    (void)state;
    struct membership_edit e = founded(LIMIT_MEMBERS);
    assert_int_equal(membership_invite(&e, "x", "http://x:1", false), STATUS_INVALID);
    assert_int_equal(membership_join(&e, "x", "", disk_of(99), 0), STATUS_INVALID);
    assert_int_equal(membership_replace(&e, "b", ""), STATUS_INVALID);
    assert_int_equal(membership_remove(&e, "c"), STATUS_OK);
    commit(&e);
    assert_int_equal(membership_replace(&e, "b", ""), STATUS_OK);
}

static void rule_c6_the_longest_removed_are_forgotten_first(void **state)
{
    (void)state;
    struct membership_edit e = founded(1);
    for (int i = 0; i < LIMIT_REMOVED + 3; i++) {
        assert_int_equal(membership_join(&e, "b", "", disk_of(300 + i), 0), STATUS_OK);
        assert_int_equal(membership_remove(&e, "b"), STATUS_OK);
        commit(&e);
    }
    assert_int_equal(e.members.removed_count, LIMIT_REMOVED);
    assert_false(membership_is_removed(&e.members, &e.config, disk_of(302)));
    assert_true(membership_is_removed(&e.members, &e.config, disk_of(303)));
}

/* One that is not ours, by one byte or one end. */
static void broken_bytes_are_refused_or_are_another_membership(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    assert_int_equal(membership_replace(&e, "b", ""), STATUS_OK);
    assert_int_equal(membership_invite(&e, "x", "http://x:1", true), STATUS_OK);
    assert_int_equal(membership_remove(&e, "c"), STATUS_OK);
    struct buf bytes = {0};
    struct membership m;
    membership_encode(&e.members, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_not_equal(membership_decode(slice_of(bytes.data, size), &m), STATUS_OK);
    }
    for (size_t at = 0; at < bytes.size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[at] ^= (uint8_t)(1 << bit);
            if (membership_decode(buf_slice(&bytes), &m) == STATUS_OK) {
                expect_comes_back(&m);
            }
            bytes.data[at] ^= (uint8_t)(1 << bit);
        }
    }
    bytes.data[0]++;
    assert_int_equal(membership_decode(buf_slice(&bytes), &m), STATUS_UNSUPPORTED);
    buf_deinit(&bytes);
}

static void a_membership_that_its_configuration_does_not_fit_is_told(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    struct raft_config config = e.config;
    config.voter_count = 2;
    assert_false(membership_fits(&e.members, &config));
    config = e.config;
    config.voters[1] = id_of(77);
    assert_false(membership_fits(&e.members, &config));
    config = e.config;
    config.learners[config.learner_count++] = id_of(77);
    assert_false(membership_fits(&e.members, &config));
}

/* Random edits keep everything that the encoder and the core rely on. */
static void random_edits_keep_membership_and_configuration_together(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 7);
    struct membership_edit e = founded(3);
    int disk = 1000;
    uint32_t done = 0;
    for (int step = 0; step < 20000; step++) {
        struct membership_edit next = e;
        char name[2] = {(char)('a' + (int)rng_below(&r, 6)), 0};
        enum status s = STATUS_OK;
        switch (rng_below(&r, 5)) {
        case 0:
            s = membership_invite(&next, name, "http://h:1", rng_chance(&r, 1, 3));
            break;
        case 1:
            s = membership_join(&next, name, "", disk_of(disk++), 0);
            break;
        case 2:
            s = membership_remove(&next, name);
            break;
        case 3:
            s = membership_promote(&next, name);
            break;
        default:
            s = membership_replace(&next, name, "");
        }
        if (s == STATUS_OK) {
            struct raft_config joint = joint_of(&e.config, &next.config);
            bool same = memcmp(&e.config.voters, &next.config.voters, sizeof(joint.voters)) == 0;
            assert_true(membership_fits(&next.members, same ? &next.config : &joint));
            commit(&next);
            assert_true(next.config.voter_count > 0);
            e = next;
            done++;
        }
    }
    assert_true(done > 2000);
}

/* --- rule E11 --------------------------------------------------------------------------------- */

static struct peer_hello hello_of(const char *name, int disk, enum founding_phase phase)
{
    struct peer_hello h = {.incarnation = disk_of(disk), .phase = phase};
    snprintf(h.name, sizeof(h.name), "%s", name);
    if (phase != FOUNDING_FRESH) {
        h.roster = founders(3);
    }
    return h;
}

static enum hello_verdict judge(const struct membership_edit *e, const struct peer_hello *h)
{
    struct roster r = founders(3);
    return membership_judge_hello(&r, &e->members, &e->config, h);
}

static void rule_e11_a_member_tells_its_own_from_strangers(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    struct peer_hello h = hello_of("b", 2, FOUNDING_FOUNDED);
    assert_int_equal(judge(&e, &h), HELLO_WELCOME);
    h = hello_of("b", 2, FOUNDING_PROMISED); /* it will learn from us that it is founded */
    assert_int_equal(judge(&e, &h), HELLO_WELCOME);
    h.roster.members[2].incarnation = disk_of(50);
    assert_int_equal(judge(&e, &h), HELLO_STRANGER);
    h = hello_of("b", 2, FOUNDING_FRESH);
    assert_int_equal(judge(&e, &h), HELLO_FORGOT);
    h = hello_of("b", 9, FOUNDING_FRESH); /* wiped; our hello tells it why */
    assert_int_equal(judge(&e, &h), HELLO_STRANGER);
    h = hello_of("b", 2, FOUNDING_FOUNDED);
    h.roster.cluster = disk_of(201);
    assert_int_equal(judge(&e, &h), HELLO_OTHER_CLUSTER);
    h = hello_of("c", 2, FOUNDING_FOUNDED);
    assert_int_equal(judge(&e, &h), HELLO_OTHER_NAME);
}

static void rule_e11_a_member_that_our_configuration_does_not_name_is_heard(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    struct peer_hello h =
        hello_of("d", 4, FOUNDING_FOUNDED); /* let in by one that we do not have */
    assert_int_equal(judge(&e, &h), HELLO_WELCOME);
}

static void rule_c7_a_fresh_directory_joins_until_it_votes(void **state)
{
    (void)state;
    struct membership_edit e = founded(3);
    struct peer_hello h = hello_of("d", 4, FOUNDING_FRESH);
    assert_int_equal(judge(&e, &h), HELLO_STRANGER);
    h.joins = true;
    assert_int_equal(judge(&e, &h), HELLO_JOINS);
    assert_int_equal(membership_join(&e, "d", "", disk_of(4), 0), STATUS_OK);
    assert_int_equal(judge(&e, &h), HELLO_JOINS); /* it was let in, and does not know it yet */
    assert_int_equal(membership_promote(&e, "d"), STATUS_OK);
    assert_int_equal(judge(&e, &h), HELLO_FORGOT);
}

/* --- the notes of joining --------------------------------------------------------------------- */

static void expect_reply_comes_back(const struct join_reply *reply)
{
    struct buf bytes = {0};
    struct join_reply back;
    join_reply_encode(reply, &bytes);
    assert_int_equal(join_reply_decode(buf_slice(&bytes), &back), STATUS_OK);
    assert_int_equal(back.verdict, reply->verdict);
    assert_string_equal(back.text, reply->text);
    assert_string_equal(back.url, reply->url);
    assert_int_equal(back.index, reply->index);
    assert_true(roster_equal(&back.members, &reply->members));
    assert_true(roster_equal(&back.founders, &reply->founders));
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(join_reply_decode(slice_of(bytes.data, size), &back), STATUS_CORRUPT);
    }
    buf_deinit(&bytes);
}

static void questions_and_answers_of_joining_come_back(void **state)
{
    (void)state;
    struct join_ask ask = {.name = "d", .url = "http://d:1", .priority = 3};
    struct join_ask back;
    struct buf bytes = {0};
    join_ask_encode(&ask, &bytes);
    assert_int_equal(join_ask_decode(buf_slice(&bytes), &back), STATUS_OK);
    assert_string_equal(back.name, "d");
    assert_string_equal(back.url, "http://d:1");
    assert_int_equal(back.priority, 3);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(join_ask_decode(slice_of(bytes.data, size), &back), STATUS_CORRUPT);
    }
    buf_deinit(&bytes);
    struct join_reply accepted = {
        .verdict = JOIN_ACCEPTED, .index = 9, .founders = founders(2), .members = founders(4)};
    expect_reply_comes_back(&accepted);
    expect_reply_comes_back(&(struct join_reply){.verdict = JOIN_ASK_LEADER, .url = "http://a:1"});
    expect_reply_comes_back(&(struct join_reply){.verdict = JOIN_WAIT, .text = "for a leader"});
    expect_reply_comes_back(&(struct join_reply){.verdict = JOIN_REFUSED, .text = "no"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_g5_the_founders_are_the_first_membership),
        cmocka_unit_test(rule_c4_who_joins_learns_first_and_votes_after),
        cmocka_unit_test(a_learner_that_is_to_stay_one_is_promoted_by_hand_only),
        cmocka_unit_test(rule_c6_who_is_removed_leaves_with_the_joint_change_and_never_comes_back),
        cmocka_unit_test(rule_c8_absent_members_and_last_voters_are_errors),
        cmocka_unit_test(invitations_and_learners_are_removed_without_a_joint_change),
        cmocka_unit_test(rule_c7_another_disk_takes_a_name_only_after_a_replacement),
        cmocka_unit_test(rule_c7_a_successor_that_is_lost_too_is_replaced_again),
        cmocka_unit_test(no_more_members_than_a_configuration_can_have),
        cmocka_unit_test(rule_c6_the_longest_removed_are_forgotten_first),
        cmocka_unit_test(broken_bytes_are_refused_or_are_another_membership),
        cmocka_unit_test(a_membership_that_its_configuration_does_not_fit_is_told),
        cmocka_unit_test(random_edits_keep_membership_and_configuration_together),
        cmocka_unit_test(rule_e11_a_member_tells_its_own_from_strangers),
        cmocka_unit_test(rule_e11_a_member_that_our_configuration_does_not_name_is_heard),
        cmocka_unit_test(rule_c7_a_fresh_directory_joins_until_it_votes),
        cmocka_unit_test(questions_and_answers_of_joining_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
