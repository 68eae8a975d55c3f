/* Three whole members (links, log, store, HTTP upgrade and all) in one world of virtual time, from
 * one seed: killed, cut off, frozen, their power lost. What they acknowledged must be there.
 *
 *   MEMBER_SEEDS=1000 MEMBER_SEED=7   how many, from which; a failure prints its seed */
#include "member_world.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WRITES_MAX 400
#define KEY_SIZE   32

struct attempt {
    struct node_write write;
    char key[KEY_SIZE];
    bool pending;
    bool acknowledged;
    uint64_t revision;
};

struct question {
    struct node_read read;
    struct story *story;
    uint64_t revision_before; /* the highest acknowledged when it was asked */
    bool pending;
};

struct story {
    struct cluster *c;
    struct attempt writes[WRITES_MAX];
    uint32_t write_count;
    uint64_t acknowledged_revision;
    uint32_t acknowledged_count;
    struct question question;
    uint32_t answered_reads;
};

static void forget_requests(void *context, const struct node *n)
{
    struct story *s = context;
    for (uint32_t w = 0; w < s->write_count; w++) {
        if (s->writes[w].pending && s->writes[w].write.node == n) {
            node_write_cancel(&s->writes[w].write);
            s->writes[w].pending = false;
        }
    }
    if (s->question.pending && s->question.read.node == n) {
        node_read_cancel(&s->question.read);
        s->question.pending = false;
    }
}

static struct story *story_create(uint64_t seed)
{
    struct story *s = mem_calloc(1, sizeof(*s));
    s->c = cluster_create(seed, 3);
    s->c->on_stop = forget_requests;
    s->c->context = s;
    return s;
}

static void story_destroy(struct story *s)
{
    cluster_destroy(s->c);
    mem_free(s);
}

static void on_written(struct node_write *w)
{
    struct attempt *a = CONTAINER_OF(w, struct attempt, write);
    struct story *s = w->context;
    a->pending = false;
    if (w->status == STATUS_OK) {
        a->acknowledged = true;
        a->revision = w->result.revision;
        s->acknowledged_count++;
        if (a->revision > s->acknowledged_revision) {
            s->acknowledged_revision = a->revision;
        }
    }
}

static void write_something(struct story *s, int i)
{
    if (s->write_count == WRITES_MAX || s->c->members[i].node == NULL) {
        return;
    }
    struct attempt *a = &s->writes[s->write_count++];
    snprintf(a->key, sizeof(a->key), "key-%" PRIu32, s->write_count);
    a->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written, .context = s};
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str(a->key), .value = slice_str(a->key)};
    a->pending = node_write_start(s->c->members[i].node, &a->write, &command) == STATUS_OK;
}

static void on_read(struct node_read *r)
{
    struct question *q = CONTAINER_OF(r, struct question, read);
    q->pending = false;
    if (r->status == STATUS_OK) {
        struct kv_stats stats;
        kv_stats(node_kv(r->context), &stats);
        assert_true(stats.revision >= q->revision_before);
        q->story->answered_reads++;
    }
}

static void read_something(struct story *s, int i)
{
    struct question *q = &s->question;
    if (q->pending || s->c->members[i].node == NULL) {
        return;
    }
    q->story = s;
    q->pending = true;
    q->revision_before = s->acknowledged_revision;
    q->read = (struct node_read){
        .consistency = NODE_LINEARIZABLE, .done = on_read, .context = s->c->members[i].node};
    node_read_start(s->c->members[i].node, &q->read);
}

static void trouble(struct story *s, struct rng *r)
{
    int i = (int)rng_below(r, (uint64_t)s->c->count);
    int j = (i + 1) % s->c->count;
    struct member *m = &s->c->members[i];
    switch (rng_below(r, 8)) {
    case 0:
    case 1:
        if (m->node != NULL) {
            member_stop(s->c, i, rng_chance(r, 1, 2));
        } else {
            member_start(s->c, i);
        }
        break;
    case 2:
        fake_world_cut(s->c->world, member_hosts[i], member_hosts[j], true);
        break;
    case 3:
    case 4:
        fake_world_cut(s->c->world, member_hosts[i], member_hosts[j], false);
        fake_world_cut(s->c->world, member_hosts[j], member_hosts[i], false);
        break;
    case 5:
        fake_world_reset(s->c->world, member_hosts[i], member_hosts[j]);
        break;
    default:
        if (m->node != NULL) {
            member_freeze(s->c, i, !m->frozen);
        }
        break;
    }
}

/* Every acknowledged write is on every member, at the revision that was answered (row F6). */
static void expect_everything_acknowledged(const struct story *s)
{
    for (int i = 0; i < s->c->count; i++) {
        const struct kv *kv = node_kv(s->c->members[i].node);
        kv_check(kv);
        for (uint32_t w = 0; w < s->write_count; w++) {
            const struct attempt *a = &s->writes[w];
            struct kv_item item;
            if (a->acknowledged) {
                assert_int_equal(kv_get(kv, slice_str(a->key), 0, &item), STATUS_OK);
                assert_int_equal(item.revision, a->revision);
                assert_true(slice_equal(item.value, slice_str(a->key)));
            }
        }
    }
}

static void expect_equal_states(const struct story *s)
{
    struct kv_stats first;
    kv_stats(node_kv(s->c->members[0].node), &first);
    for (int i = 1; i < s->c->count; i++) {
        struct kv_stats stats;
        kv_stats(node_kv(s->c->members[i].node), &stats);
        assert_int_equal(stats.revision, first.revision);
        assert_int_equal(stats.keys, first.keys);
        assert_int_equal(stats.live_bytes, first.live_bytes);
    }
}

static uint32_t run_story(uint64_t seed)
{
    struct story *s = story_create(seed);
    struct rng r;
    rng_init(&r, seed);
    for (int i = 0; i < s->c->count; i++) {
        member_start(s->c, i);
        fake_world_run(s->c->world, rng_below(&r, 3000));
    }
    cluster_settle(s->c);
    for (int step = 0; step < 300; step++) {
        fake_world_run(s->c->world, rng_below(&r, 40));
        cluster_expect_no_fatal(s->c);
        int leader = cluster_find_leader(s->c);
        write_something(s, leader >= 0 ? leader : (int)rng_below(&r, (uint64_t)s->c->count));
        read_something(s, (int)rng_below(&r, (uint64_t)s->c->count));
        if (rng_chance(&r, 1, 12)) {
            trouble(s, &r);
        }
    }
    cluster_heal(s->c);
    cluster_settle(s->c);
    fake_world_run(s->c->world, 3000);
    cluster_settle(s->c);
    expect_everything_acknowledged(s);
    expect_equal_states(s);
    for (int i = 0; i < s->c->count; i++) {
        member_stop(s->c, i, true);
    }
    cluster_heal(s->c);
    cluster_settle(s->c);
    expect_everything_acknowledged(s);
    uint32_t acknowledged = s->acknowledged_count;
    story_destroy(s);
    return acknowledged;
}

static uint64_t setting(const char *name, uint64_t standard)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : standard;
}

static void row_f6_what_was_acknowledged_survives_kills_cuts_and_power_losses(void **state)
{
    (void)state;
    uint64_t first = setting("MEMBER_SEED", 1);
    uint64_t count = setting("MEMBER_SEEDS", 100);
    uint64_t acknowledged = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("MEMBER_SEED=%" PRIu64 "\r", seed);
        fflush(stdout);
        acknowledged += run_story(seed);
    }
    /* A silent cluster would lose nothing. */
    assert_true(acknowledged > count * 30);
}

static void rule_g5_a_minority_of_a_founded_cluster_takes_no_write(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(2, 3);
    member_stop(c, 1, false);
    member_stop(c, 2, false);
    fake_world_run(c->world, 5 * ELECTION_MS);
    struct node_write w = {.ack = NODE_ACK_QUORUM};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_not_equal(node_write_start(c->members[0].node, &w, &command), STATUS_OK);
    assert_int_equal(cluster_find_leader(c), -1);
    cluster_destroy(c);
}

static void row_b10_a_member_that_stops_hands_leadership_over_first(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    uint64_t before = fake_world_now(c->world);
    node_shutdown(c->members[old].node, NULL, NULL);
    while (cluster_find_leader(c) == old || cluster_find_leader(c) < 0) {
        fake_world_run(c->world, 1);
        assert_true(fake_world_now(c->world) - before < ELECTION_MS / 2);
    }
    member_stop(c, old, false);
    member_start(c, old);
    cluster_settle(c);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_g5_a_minority_of_a_founded_cluster_takes_no_write),
        cmocka_unit_test(row_b10_a_member_that_stops_hands_leadership_over_first),
        cmocka_unit_test(row_f6_what_was_acknowledged_survives_kills_cuts_and_power_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
