/* What a member answers is true, and it does answer: whole members in virtual time
 * (member_world.h), one behaviour a test. The long stories of chance are in test_member.c. */
#include "member_world.h"

#include "base/mem.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A request, and what became of it. */
struct writing {
    struct node_write write;
    struct cluster *cluster;
    uint32_t answers;
    uint64_t answered_ms;
};

struct reading {
    struct node_read read;
    uint32_t answers;
};

static int other_than(const struct cluster *c, int a, int b)
{
    for (int i = 0; i < c->count; i++) {
        if (i != a && i != b) {
            return i;
        }
    }
    return -1;
}

static void on_written(struct node_write *w)
{
    struct writing *t = w->context;
    t->answers++;
    t->answered_ms = fake_world_now(t->cluster->world);
}

static enum status put(struct cluster *c, int i, struct writing *t, enum node_ack ack)
{
    *t = (struct writing){.cluster = c};
    t->write = (struct node_write){.ack = ack, .done = on_written, .context = t};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("\"v\"")};
    return node_write_start(c->members[i].node, &t->write, &command);
}

static void on_read(struct node_read *r)
{
    struct reading *t = r->context;
    t->answers++;
}

static void ask(struct cluster *c, int i, struct reading *t, enum node_consistency consistency)
{
    t->answers = 0;
    t->read.consistency = consistency;
    t->read.done = on_read;
    t->read.context = t;
    node_read_start(c->members[i].node, &t->read);
}

static struct node_status status_of(const struct cluster *c, int i)
{
    struct node_status status;
    node_status_get(c->members[i].node, &status);
    return status;
}

static void cut_off(struct cluster *c, int i, bool cut)
{
    for (int j = 0; j < c->count; j++) {
        if (j != i) {
            fake_world_cut(c->world, member_hosts[i], member_hosts[j], cut);
        }
    }
}

/* --- requests made by answers ----------------------------------------------------------------- */

struct chain {
    struct cluster *cluster;
    struct node_write write;
    struct node_read read;
    uint32_t writes;
    uint32_t reads;
};

static void chain_write(struct chain *t);

static void on_chain_read(struct node_read *r)
{
    struct chain *t = r->context;
    assert_int_equal(r->status, STATUS_OK);
    t->reads++;
    chain_write(t);
}

static void on_chain_written(struct node_write *w)
{
    struct chain *t = w->context;
    assert_int_equal(w->status, STATUS_OK);
    t->writes++;
    t->read =
        (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_chain_read, .context = t};
    node_read_start(t->cluster->members[0].node, &t->read);
}

static void chain_write(struct chain *t)
{
    if (t->writes == 10) {
        return;
    }
    t->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_chain_written, .context = t};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_equal(node_write_start(t->cluster->members[0].node, &t->write, &command), STATUS_OK);
}

/* A pipelined GET waits for the PUT before it and begins inside its answer; on a member alone
 * nothing else would wake the loop. */
static void a_request_that_an_answer_begins_does_not_wait_for_the_next_event(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    fake_world_run(c->world, 5000);
    struct chain chain = {.cluster = c};
    chain_write(&chain);
    fake_world_run(c->world, 200);
    assert_int_equal(chain.writes, 10);
    assert_int_equal(chain.reads, 10);
    cluster_destroy(c);
}

/* --- ack -------------------------------------------------------------------------------------- */

static void ack_all_is_answered_when_every_member_has_synced_it(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    struct writing t;
    assert_int_equal(put(c, leader, &t, NODE_ACK_ALL), STATUS_OK);
    while (t.answers == 0) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t.write.status, STATUS_OK);
    assert_int_equal(t.write.result.revision, 2);
    for (int i = 0; i < 3; i++) {
        member_stop(c, i, true);
        member_start(c, i);
        assert_true(status_of(c, i).last_index >= t.write.index);
    }
    cluster_destroy(c);
}

static void ack_all_names_the_member_that_is_missing(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int away = other_than(c, leader, leader);
    member_freeze(c, away, true);
    struct writing t;
    assert_int_equal(put(c, leader, &t, NODE_ACK_ALL), STATUS_OK);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS - 100);
    assert_int_equal(t.answers, 0);
    fake_world_run(c->world, 101);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.write.status, STATUS_NOT_CONFIRMED);
    assert_int_equal(t.write.missing_count, 1);
    assert_string_equal(t.write.missing[0], member_names[away]);
    assert_int_equal(t.write.result.revision, 2);
    cluster_destroy(c);
}

static void ack_leader_is_synced_here_and_nothing_more(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    cut_off(c, leader, true);
    struct writing t;
    assert_int_equal(put(c, leader, &t, NODE_ACK_LEADER), STATUS_OK);
    assert_int_equal(t.answers, 0);
    while (t.answers == 0) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t.write.status, STATUS_OK);
    assert_true(status_of(c, leader).applied_index < t.write.index);
    member_stop(c, leader, true);
    member_start(c, leader);
    assert_true(status_of(c, leader).last_index >= t.write.index);
    cluster_destroy(c);
}

/* --- outcomes (rules K1, K5) ------------------------------------------------------------------ */

static void rule_k1_a_write_without_a_majority_is_unknown_at_its_deadline(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    cut_off(c, leader, true);
    struct writing t;
    uint64_t begun_ms = fake_world_now(c->world);
    assert_int_equal(put(c, leader, &t, NODE_ACK_QUORUM), STATUS_OK);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS + 10);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.write.status, STATUS_UNKNOWN);
    assert_int_equal(t.answered_ms - begun_ms, REQUEST_TIMEOUT_MS);
    cluster_destroy(c);
}

static void rule_k5_a_write_whose_place_was_taken_is_known_to_have_failed(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    cut_off(c, old, true);
    struct writing lost;
    struct writing taken;
    assert_int_equal(put(c, old, &lost, NODE_ACK_QUORUM), STATUS_OK);
    assert_int_equal(put(c, old, &taken, NODE_ACK_LEADER), STATUS_OK);
    while (cluster_find_leader(c) == old || cluster_find_leader(c) < 0) {
        fake_world_run(c->world, 10);
    }
    cut_off(c, old, false);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS / 2);
    assert_int_equal(lost.answers, 1);
    assert_int_equal(lost.write.status, STATUS_NOT_LEADER);
    assert_int_equal(taken.write.status, STATUS_OK); /* it was durable there when that was said */
    cluster_destroy(c);
}

static void a_write_to_a_leader_whose_links_are_down_is_refused_at_once(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    for (int i = 0; i < 3; i++) {
        if (i != leader) {
            member_stop(c, i, false);
        }
    }
    fake_world_run(c->world, 20);
    assert_true(status_of(c, leader).no_quorum);
    struct writing t;
    assert_int_equal(put(c, leader, &t, NODE_ACK_QUORUM), STATUS_NO_QUORUM);
    fake_world_run(c->world, 100);
    assert_int_equal(status_of(c, leader).last_index, 1);
    cluster_destroy(c);
}

static void a_write_beyond_the_quota_is_refused_and_a_delete_is_not(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 1);
    c->quota_bytes = 6;
    member_start(c, 0);
    cluster_settle(c);
    struct writing t;
    assert_int_equal(put(c, 0, &t, NODE_ACK_QUORUM), STATUS_OK);
    fake_world_run(c->world, 20);
    assert_int_equal(t.write.status, STATUS_OK);
    assert_int_equal(put(c, 0, &t, NODE_ACK_QUORUM), STATUS_NO_SPACE);
    const struct kv_command document = {.op = KV_DOCUMENT, .value = slice_str("\"\"")};
    assert_int_equal(node_write_start(c->members[0].node, &t.write, &document), STATUS_NO_SPACE);
    struct kv_command command = {.op = KV_DELETE, .key = slice_str("k")};
    t.write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written, .context = &t};
    assert_int_equal(node_write_start(c->members[0].node, &t.write, &command), STATUS_OK);
    fake_world_run(c->world, 20);
    assert_int_equal(put(c, 0, &t, NODE_ACK_QUORUM), STATUS_OK);
    fake_world_run(c->world, 20);
    cluster_destroy(c);
}

/* --- the disk --------------------------------------------------------------------------------- */

static void rule_p11_a_failed_write_ends_the_member_and_is_never_acknowledged(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    struct fake_disk *disk = c->members[0].disk;
    for (uint64_t call = 1; call <= 2; call++) { /* its write, its sync */
        uint64_t next = fake_disk_calls(disk) + call;
        fake_disk_fail_at(disk, (struct fake_fault){.call = next, .status = STATUS_IO});
        struct writing t;
        struct writing leader_only;
        assert_int_equal(put(c, 0, &t, NODE_ACK_QUORUM), STATUS_OK);
        assert_int_equal(put(c, 0, &leader_only, NODE_ACK_LEADER), STATUS_OK);
        fake_world_run(c->world, 100);
        assert_true(fake_disk_has_failed(disk));
        assert_int_equal(t.answers, 0);
        assert_int_equal(leader_only.answers, 0);
        assert_non_null(c->members[0].fatal);
        assert_int_equal(c->members[0].fatal_code, 1);
        member_stop(c, 0, true);
        member_start(c, 0);
        fake_world_run(c->world, 100);
    }
    cluster_destroy(c);
}

/* --- reads ------------------------------------------------------------------------------------ */

static void rule_q7_a_session_read_waits_for_the_revision_of_its_token(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int follower = other_than(c, leader, leader);
    fake_world_cut(c->world, member_hosts[leader], member_hosts[follower], true);
    struct writing t;
    assert_int_equal(put(c, leader, &t, NODE_ACK_QUORUM), STATUS_OK);
    struct reading first = {.read = {.min_revision = 2}};
    struct reading beyond = {.read = {.min_revision = 3}};
    ask(c, follower, &first, NODE_SESSION);
    ask(c, follower, &beyond, NODE_SESSION);
    fake_world_run(c->world, ELECTION_MS / 2);
    assert_int_equal(t.answers, 1);
    assert_int_equal(first.answers, 0);
    fake_world_cut(c->world, member_hosts[leader], member_hosts[follower], false);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS + 10);
    assert_int_equal(first.answers, 1);
    assert_int_equal(first.read.status, STATUS_OK);
    assert_int_equal(beyond.answers, 1);
    assert_int_equal(beyond.read.status, STATUS_BEHIND);
    cluster_destroy(c);
}

static void a_stale_read_with_a_bound_is_refused_when_the_leader_is_silent_for_longer(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int follower = other_than(c, leader, leader);
    struct reading t = {.read = {.max_lag_ms = ELECTION_MS}};
    ask(c, follower, &t, NODE_STALE);
    assert_int_equal(t.read.status, STATUS_OK);
    cut_off(c, follower, true);
    fake_world_run(c->world, 2 * ELECTION_MS);
    ask(c, follower, &t, NODE_STALE);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.read.status, STATUS_BEHIND);
    cluster_destroy(c);
}

static uint64_t silence_ms(const struct cluster *c, int i)
{
    struct node_status status;
    node_status_get(c->members[i].node, &status);
    return status.leader_contact_ms;
}

/* The leader is there, and says something seldom. */
static void a_stale_read_with_a_bound_asks_a_leader_at_rest(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int follower = other_than(c, leader, leader);
    fake_world_run(c->world, 1000);
    uint64_t lag_ms = ELECTION_MS / 5;
    for (int waited = 0; silence_ms(c, follower) <= lag_ms; waited++) {
        assert_true(waited < 1000);
        fake_world_run(c->world, 1);
    }
    struct reading t = {.read = {.max_lag_ms = lag_ms}};
    ask(c, follower, &t, NODE_STALE);
    fake_world_run(c->world, ELECTION_MS / 4);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.read.status, STATUS_OK);
    fake_world_run(c->world, ELECTION_MS);
    for (int i = 0; i < 2 * ELECTION_MS; i++) { /* from now on it is heard as often as ever */
        fake_world_run(c->world, 1);
        assert_true(silence_ms(c, follower) <= lag_ms);
    }
    cut_off(c, follower, true);
    fake_world_run(c->world, (int)lag_ms + 1);
    ask(c, follower, &t, NODE_STALE);
    fake_world_run(c->world, 2 * ELECTION_MS);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.read.status, STATUS_BEHIND);
    cluster_destroy(c);
}

/* --- the others ------------------------------------------------------------------------------- */

struct survey {
    struct node_survey survey;
    struct survey *cancels; /* when it is done */
    uint32_t answers;
};

static void on_surveyed(struct node_survey *s)
{
    struct survey *t = s->context;
    t->answers++;
    if (t->cancels != NULL) {
        node_survey_cancel(&t->cancels->survey);
    }
}

static void survey(struct cluster *c, int i, struct survey *t)
{
    t->survey.done = on_surveyed;
    t->survey.context = t;
    assert_int_equal(node_survey_start(c->members[i].node, &t->survey), STATUS_OK);
}

static void a_survey_tells_who_is_silent_within_half_a_second(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    member_freeze(c, 2, true);
    struct survey t = {0};
    survey(c, 0, &t);
    fake_world_run(c->world, 501);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.survey.count, 3);
    assert_string_equal(t.survey.items[0].member.name, "node-1");
    assert_true(t.survey.items[0].online);
    assert_true(t.survey.items[1].online);
    assert_string_equal(t.survey.items[2].member.name, "node-3");
    assert_false(t.survey.items[2].online);
    cluster_destroy(c);
}

static void rule_o1_surveys_beyond_the_bound_are_refused_and_the_bound_is_given_back(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    member_freeze(c, 2, true);
    struct survey *all = mem_calloc(LIMIT_SURVEYS + 1, sizeof(*all));
    for (uint32_t i = 0; i < LIMIT_SURVEYS; i++) {
        survey(c, 0, &all[i]);
    }
    struct node_survey *late = &all[LIMIT_SURVEYS].survey;
    late->done = on_surveyed;
    late->context = &all[LIMIT_SURVEYS];
    assert_int_equal(node_survey_start(c->members[0].node, late), STATUS_OVERLOADED);
    node_survey_cancel(&all[0].survey);
    assert_int_equal(node_survey_start(c->members[0].node, late), STATUS_OK);
    fake_world_run(c->world, 501);
    assert_int_equal(all[0].answers, 0);
    assert_int_equal(all[LIMIT_SURVEYS].answers, 1);
    survey(c, 0, &all[0]);
    fake_world_run(c->world, 501);
    assert_int_equal(all[0].answers, 1);
    mem_free(all);
    cluster_destroy(c);
}

static void a_survey_may_be_cancelled_by_the_answer_of_another(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    member_freeze(c, 2, true);
    struct survey second = {0};
    struct survey first = {.cancels = &second};
    struct survey third = {0};
    survey(c, 0, &first);
    survey(c, 0, &second);
    survey(c, 0, &third);
    fake_world_run(c->world, 501);
    assert_int_equal(first.answers, 1);
    assert_int_equal(second.answers, 0);
    assert_int_equal(third.answers, 1);
    cluster_destroy(c);
}

/* --- leadership ------------------------------------------------------------------------------- */

static void rule_e6b_the_end_of_the_leaders_process_is_found_before_the_timeout(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    uint64_t killed_ms = fake_world_now(c->world);
    member_stop(c, old, false);
    while (cluster_find_leader(c) < 0) {
        fake_world_run(c->world, 1);
        assert_true(fake_world_now(c->world) - killed_ms < ELECTION_MS / 2);
    }
    cluster_destroy(c);
}

static void rule_e6b_a_link_that_ends_and_comes_back_is_no_loss_of_the_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    uint64_t term = status_of(c, leader).term;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 3; i++) {
            if (i != leader) {
                fake_world_reset(c->world, member_hosts[leader], member_hosts[i]);
            }
        }
        for (int ms = 0; ms < 40; ms++) {
            fake_world_run(c->world, 1);
            for (int i = 0; i < 3; i++) {
                assert_string_equal(status_of(c, i).leader, member_names[leader]);
            }
        }
    }
    assert_int_equal(status_of(c, leader).term, term);
    cluster_destroy(c);
}

struct stepping {
    struct node_step_down step_down;
    uint32_t answers;
};

static void on_stepped_down(struct node_step_down *d)
{
    struct stepping *t = d->context;
    t->answers++;
}

static enum status step_down(struct cluster *c, int i, struct stepping *t)
{
    *t = (struct stepping){.step_down = {.done = on_stepped_down, .context = t}};
    return node_step_down_start(c->members[i].node, &t->step_down);
}

static void a_step_down_is_answered_when_another_member_leads(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    struct stepping t;
    assert_int_equal(step_down(c, other_than(c, old, old), &t), STATUS_NOT_LEADER);
    snprintf(t.step_down.to, sizeof(t.step_down.to), "%s", member_names[old]);
    assert_int_equal(node_step_down_start(c->members[old].node, &t.step_down), STATUS_CONFLICT);
    assert_int_equal(step_down(c, old, &t), STATUS_OK);
    struct writing w;
    assert_int_equal(put(c, old, &w, NODE_ACK_QUORUM), STATUS_BUSY);
    while (t.answers == 0) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t.step_down.status, STATUS_OK);
    assert_int_not_equal(cluster_find_leader(c), old);
    assert_string_not_equal(status_of(c, old).leader, "");
    assert_string_not_equal(status_of(c, old).leader, member_names[old]);
    cluster_destroy(c);
}

static void a_step_down_that_nobody_can_take_leaves_the_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    int away = other_than(c, old, old);
    member_freeze(c, away, true);
    struct stepping t = {.step_down = {.done = on_stepped_down, .context = &t}};
    snprintf(t.step_down.to, sizeof(t.step_down.to), "%s", member_names[away]);
    struct writing w;
    assert_int_equal(put(c, old, &w, NODE_ACK_QUORUM), STATUS_OK); /* the frozen one lacks it */
    assert_int_equal(node_step_down_start(c->members[old].node, &t.step_down), STATUS_OK);
    fake_world_run(c->world, ELECTION_MS + 10);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.step_down.status, STATUS_TIMEOUT);
    assert_int_equal(cluster_find_leader(c), old);
    cluster_destroy(c);
}

static void a_step_down_by_a_leader_that_is_deposed_does_not_say_that_it_leads(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    cut_off(c, old, true);
    struct writing w;
    assert_int_equal(put(c, old, &w, NODE_ACK_QUORUM), STATUS_OK);
    fake_world_run(c->world, ELECTION_MS / 2);
    struct stepping t;
    assert_int_equal(step_down(c, old, &t), STATUS_OK);
    fake_world_run(c->world, 3 * ELECTION_MS);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.step_down.status, STATUS_NO_QUORUM);
    cluster_destroy(c);
}

static void a_lone_member_steps_down_into_a_new_term(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    uint64_t term = status_of(c, 0).term;
    struct stepping t;
    assert_int_equal(step_down(c, 0, &t), STATUS_OK);
    fake_world_run(c->world, 50);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.step_down.status, STATUS_OK);
    assert_string_equal(status_of(c, 0).role, "leader");
    assert_true(status_of(c, 0).term > term);
    cluster_destroy(c);
}

static void on_finished(void *context)
{
    *(bool *)context = true;
}

static void row_f8_a_member_that_stops_takes_no_write_and_finishes_those_it_took(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    struct writing before;
    struct writing after;
    bool finished = false;
    assert_int_equal(put(c, 0, &before, NODE_ACK_QUORUM), STATUS_OK);
    node_shutdown(c->members[0].node, on_finished, &finished);
    assert_int_equal(put(c, 0, &after, NODE_ACK_QUORUM), STATUS_NOT_LEADER);
    fake_world_run(c->world, 200);
    assert_int_equal(before.answers, 1);
    assert_int_equal(before.write.status, STATUS_OK);
    assert_true(finished);
    cluster_destroy(c);
}

/* A connection may bring a request until the last answer has left. */
static void row_f8_a_member_that_has_stopped_still_answers(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    bool finished = false;
    node_shutdown(c->members[0].node, on_finished, &finished);
    while (!finished) {
        fake_world_run(c->world, 1);
    }
    struct reading linearizable = {0};
    struct reading session = {.read = {.min_revision = 99}};
    struct reading stale = {0};
    struct survey asked = {0};
    ask(c, 0, &linearizable, NODE_LINEARIZABLE);
    ask(c, 0, &session, NODE_SESSION);
    ask(c, 0, &stale, NODE_STALE);
    survey(c, 0, &asked);
    node_campaign(c->members[0].node);
    fake_world_run(c->world, 501);
    assert_int_equal(linearizable.answers, 1);
    assert_int_equal(linearizable.read.status, STATUS_NOT_LEADER);
    assert_int_equal(session.answers, 1);
    assert_int_equal(session.read.status, STATUS_NOT_LEADER);
    assert_int_equal(stale.read.status, STATUS_OK);
    assert_int_equal(asked.answers, 1);
    cluster_destroy(c);
}

/* The member that was asked for lacks an entry, so that the hand-over is still under way. */
static void row_b10_a_member_that_stops_during_a_step_down_waits_for_it(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    int target = other_than(c, old, old);
    member_freeze(c, target, true);
    struct writing w;
    assert_int_equal(put(c, old, &w, NODE_ACK_QUORUM), STATUS_OK);
    struct stepping t = {.step_down = {.done = on_stepped_down, .context = &t}};
    snprintf(t.step_down.to, sizeof(t.step_down.to), "%s", member_names[target]);
    assert_int_equal(node_step_down_start(c->members[old].node, &t.step_down), STATUS_OK);
    fake_world_run(c->world, 50);
    bool finished = false;
    member_freeze(c, target, false);
    node_shutdown(c->members[old].node, on_finished, &finished);
    while (!finished) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t.answers, 1);
    cluster_destroy(c);
}

/* --- founding --------------------------------------------------------------------------------- */

static bool founding_says(const struct cluster *c, int i, const char *words)
{
    char text[1024];
    node_founding_text(c->members[i].node, text, sizeof(text));
    return strstr(text, words) != NULL;
}

/* A promise that was made is told: whoever meets this member knows that R is out. */
static void rule_g1_a_member_that_has_promised_says_so(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    for (int ms = 0; !founding_says(c, 0, "promised to found"); ms++) {
        assert_true(ms < 5000);
        fake_world_run(c->world, 1);
    }
    member_stop(c, 2, false);
    member_wipe(c, 2);
    fake_world_run(c->world, 100);
    member_start(c, 2);
    fake_world_run(c->world, 1000);
    assert_true(status_of(c, 0).founding);
    assert_true(founding_says(
        c, 2,
        "node-1 (http://a:4000) has promised to found a cluster without this data directory"));
    cluster_destroy(c);
}

static void rule_g6_a_member_that_lost_its_directory_ends_and_the_others_go_on(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int lost = other_than(c, leader, leader);
    member_stop(c, lost, false);
    member_wipe(c, lost);
    member_start(c, lost);
    fake_world_run(c->world, 5000);
    assert_non_null(c->members[lost].fatal);
    assert_int_equal(c->members[lost].fatal_code, 2);
    assert_non_null(strstr(c->members[lost].fatal, "The other members go on"));
    struct writing t;
    assert_int_equal(put(c, cluster_find_leader(c), &t, NODE_ACK_QUORUM), STATUS_OK);
    fake_world_run(c->world, 50);
    assert_int_equal(t.write.status, STATUS_OK);
    cluster_destroy(c);
}

static void rule_g0_a_founding_member_whose_disk_fails_ends_and_promises_nothing(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    struct fake_disk *disk = c->members[1].disk;
    fake_disk_fail_at(disk,
                      (struct fake_fault){.call = fake_disk_calls(disk) + 1, .status = STATUS_IO});
    fake_world_run(c->world, 5000);
    assert_true(fake_disk_has_failed(disk));
    assert_int_equal(c->members[1].fatal_code, 1);
    assert_true(status_of(c, 0).founding);
    assert_true(status_of(c, 2).founding);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_an_answer_begins_does_not_wait_for_the_next_event),
        cmocka_unit_test(ack_all_is_answered_when_every_member_has_synced_it),
        cmocka_unit_test(ack_all_names_the_member_that_is_missing),
        cmocka_unit_test(ack_leader_is_synced_here_and_nothing_more),
        cmocka_unit_test(rule_k1_a_write_without_a_majority_is_unknown_at_its_deadline),
        cmocka_unit_test(rule_k5_a_write_whose_place_was_taken_is_known_to_have_failed),
        cmocka_unit_test(a_write_to_a_leader_whose_links_are_down_is_refused_at_once),
        cmocka_unit_test(a_write_beyond_the_quota_is_refused_and_a_delete_is_not),
        cmocka_unit_test(rule_p11_a_failed_write_ends_the_member_and_is_never_acknowledged),
        cmocka_unit_test(rule_q7_a_session_read_waits_for_the_revision_of_its_token),
        cmocka_unit_test(a_stale_read_with_a_bound_is_refused_when_the_leader_is_silent_for_longer),
        cmocka_unit_test(a_stale_read_with_a_bound_asks_a_leader_at_rest),
        cmocka_unit_test(a_survey_tells_who_is_silent_within_half_a_second),
        cmocka_unit_test(rule_o1_surveys_beyond_the_bound_are_refused_and_the_bound_is_given_back),
        cmocka_unit_test(a_survey_may_be_cancelled_by_the_answer_of_another),
        cmocka_unit_test(rule_e6b_the_end_of_the_leaders_process_is_found_before_the_timeout),
        cmocka_unit_test(rule_e6b_a_link_that_ends_and_comes_back_is_no_loss_of_the_leader),
        cmocka_unit_test(a_step_down_is_answered_when_another_member_leads),
        cmocka_unit_test(a_step_down_that_nobody_can_take_leaves_the_leader),
        cmocka_unit_test(a_step_down_by_a_leader_that_is_deposed_does_not_say_that_it_leads),
        cmocka_unit_test(a_lone_member_steps_down_into_a_new_term),
        cmocka_unit_test(row_f8_a_member_that_stops_takes_no_write_and_finishes_those_it_took),
        cmocka_unit_test(row_f8_a_member_that_has_stopped_still_answers),
        cmocka_unit_test(row_b10_a_member_that_stops_during_a_step_down_waits_for_it),
        cmocka_unit_test(rule_g1_a_member_that_has_promised_says_so),
        cmocka_unit_test(rule_g6_a_member_that_lost_its_directory_ends_and_the_others_go_on),
        cmocka_unit_test(rule_g0_a_founding_member_whose_disk_fails_ends_and_promises_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
