/* Up to seven whole members from one seed: they join, are removed, lose their disks and are
 * replaced, while others are killed and cut off and lose their power. What was acknowledged must be
 * on all that are members at the end, and no directory may be taken for an older copy of itself.
 *
 *   CHURN_SEEDS=1000 CHURN_SEED=7   how many, from which; a failure prints its seed */
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

#define WRITES_MAX  600
#define STEPS       400
#define HEALING_MS  15000
#define CHANGE_OF_N 8

struct attempt {
    struct node_write write;
    char key[32];
    bool pending;
    bool acknowledged;
    uint64_t revision;
};

struct story {
    struct cluster *c;
    struct rng rng;
    struct attempt writes[WRITES_MAX];
    uint32_t write_count;
    uint32_t acknowledged_count;
    struct node_change change;
    bool changing;
    uint32_t changed_count;
    bool is_lost[MEMBERS_MAX]; /* replaced; its disk goes when it is started again */
    uint32_t joined_count;
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
    if (s->changing && s->change.node == n) {
        node_change_cancel(&s->change);
        s->changing = false;
    }
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
    }
}

static bool runs(const struct story *s, int i)
{
    return s->c->members[i].node != NULL && s->c->members[i].fatal == NULL;
}

static void write_something(struct story *s)
{
    int leader = cluster_find_leader(s->c);
    if (s->write_count == WRITES_MAX || leader < 0 || !runs(s, leader)) {
        return;
    }
    struct attempt *a = &s->writes[s->write_count++];
    snprintf(a->key, sizeof(a->key), "key-%" PRIu32, s->write_count);
    a->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written, .context = s};
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str(a->key), .value = slice_str(a->key)};
    a->pending = node_write_start(s->c->members[leader].node, &a->write, &command) == STATUS_OK;
}

/* The only reason for which a member may end is that it was removed. */
static void reap(struct story *s)
{
    for (int i = 0; i < s->c->count; i++) {
        struct member *m = &s->c->members[i];
        if (m->node == NULL || m->fatal == NULL) {
            continue;
        }
        if (m->fatal_code != 2 || strstr(m->fatal, "was removed") == NULL) {
            fail_msg("%s: exit %d: %s", member_names[i], m->fatal_code, m->fatal);
        }
        member_stop(s->c, i, rng_chance(&s->rng, 1, 2));
        m->is_gone = true;
    }
}

/* --- members come and go ---------------------------------------------------------------------- */

static int number_of(const char *name)
{
    return name[strlen(name) - 1] - '1';
}

static void on_changed(struct node_change *change)
{
    struct story *s = change->context;
    s->changing = false;
    if (change->status != STATUS_OK) {
        return;
    }
    s->changed_count++;
    int i = number_of(change->name);
    if (change->kind == NODE_CHANGE_REPLACE) {
        s->is_lost[i] = true;
    }
}

static void change_something(struct story *s, enum node_change_kind kind, int i)
{
    int leader = cluster_find_leader(s->c);
    if (s->changing || leader < 0 || !runs(s, leader)) {
        return;
    }
    s->change = (struct node_change){.kind = kind, .done = on_changed, .context = s};
    snprintf(s->change.name, sizeof(s->change.name), "%s", member_names[i]);
    s->changing = node_change_start(s->c->members[leader].node, &s->change) == STATUS_OK;
}

/* The voters as the leader has them, and whether one of them is being replaced. 0: not known, or
 * just changing. */
static uint32_t count_voters(const struct story *s, bool *replacing)
{
    static struct node_membership m;
    int leader = cluster_find_leader(s->c);
    uint32_t voters = 0;
    *replacing = false;
    if (leader < 0 || !runs(s, leader)) {
        return 0;
    }
    node_membership_get(s->c->members[leader].node, &m);
    for (uint32_t k = 0; k < m.count; k++) {
        voters += m.items[k].voter;
        *replacing |= m.items[k].replaced;
    }
    return m.committed && !m.joint && !s->changing ? voters : 0;
}

/* One lost disk at a time, and only where a majority is left without it: more nobody survives. */
static bool may_lose_a_disk(const struct story *s)
{
    bool replacing;
    uint32_t voters = count_voters(s, &replacing);
    for (int i = 0; i < s->c->count; i++) {
        if (s->is_lost[i]) {
            return false;
        }
    }
    return voters >= 3 && !replacing;
}

static bool may_remove(const struct story *s)
{
    bool replacing;
    uint32_t voters = count_voters(s, &replacing);
    return voters >= 2 && !replacing;
}

/* A disk that is empty joins. */
static void come_anew(struct story *s, int i)
{
    struct member *m = &s->c->members[i];
    if (m->node != NULL) {
        member_stop(s->c, i, true);
    }
    member_wipe(s->c, i);
    m->way = MEMBER_JOINS;
    m->is_gone = false;
    s->is_lost[i] = false;
    member_start(s->c, i);
    s->joined_count++;
}

static void join_or_come_back(struct story *s, int i)
{
    bool replacing;
    if (s->is_lost[i] && count_voters(s, &replacing) != 2) {
        come_anew(s, i);
    } else if (s->c->members[i].is_gone) {
        come_anew(s, i);
    } else if (s->c->count < MEMBERS_MAX) {
        int added = cluster_add(s->c, MEMBER_JOINS);
        member_start(s->c, added);
        s->joined_count++;
    }
}

static void churn(struct story *s)
{
    int i = (int)rng_below(&s->rng, (uint64_t)s->c->count);
    switch (rng_below(&s->rng, 5)) {
    case 0:
    case 1:
        join_or_come_back(s, i);
        break;
    case 2:
        if (may_remove(s)) {
            change_something(s, NODE_CHANGE_REMOVE, i);
        }
        break;
    case 3:
        if (may_lose_a_disk(s)) {
            change_something(s, NODE_CHANGE_REPLACE, i);
        }
        break;
    default:
        change_something(s, NODE_CHANGE_PROMOTE, i);
        break;
    }
}

static void trouble(struct story *s)
{
    struct cluster *c = s->c;
    int i = (int)rng_below(&s->rng, (uint64_t)c->count);
    int j = (int)rng_below(&s->rng, (uint64_t)c->count);
    switch (rng_below(&s->rng, 6)) {
    case 0:
    case 1:
        if (c->members[i].node != NULL) {
            member_stop(c, i, rng_chance(&s->rng, 1, 2));
        } else if (!c->members[i].is_gone) {
            member_start(c, i);
        }
        break;
    case 2:
        if (i != j) {
            fake_world_cut(c->world, member_hosts[i], member_hosts[j], true);
        }
        break;
    case 3:
        if (i != j) {
            fake_world_reset(c->world, member_hosts[i], member_hosts[j]);
        }
        break;
    default:
        for (int k = 0; k < c->count; k++) {
            fake_world_cut(c->world, member_hosts[i], member_hosts[k], false);
            if (c->members[k].node == NULL && !c->members[k].is_gone) {
                member_start(c, k);
            }
        }
        break;
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static void heal(struct story *s)
{
    for (int ms = 0; ms < HEALING_MS; ms += 50) {
        cluster_heal(s->c);
        fake_world_run(s->c->world, 50);
        reap(s);
        for (int i = 0; i < s->c->count; i++) {
            if (s->is_lost[i]) {
                join_or_come_back(s, i);
            }
        }
    }
    cluster_settle(s->c);
}

/* Who runs is a voter and has everything; all agree on who that is. */
static void expect_everything_acknowledged(const struct story *s)
{
    uint32_t running = 0;
    for (int i = 0; i < s->c->count; i++) {
        running += !s->c->members[i].is_gone;
    }
    for (int i = 0; i < s->c->count; i++) {
        if (s->c->members[i].is_gone) {
            continue;
        }
        static struct node_membership m;
        node_membership_get(s->c->members[i].node, &m);
        assert_true(m.committed);
        assert_false(m.joint);
        uint32_t voters = 0;
        for (uint32_t k = 0; k < m.count; k++) {
            /* One may be expected for ever: of a replacement that nobody knew to be committed. */
            voters += m.items[k].voter;
            assert_true(m.items[k].voter || uuid_is_zero(m.items[k].member.incarnation));
        }
        assert_int_equal(voters, running);
        const struct kv *kv = node_kv(s->c->members[i].node);
        kv_check(kv);
        for (uint32_t w = 0; w < s->write_count; w++) {
            const struct attempt *a = &s->writes[w];
            struct kv_item item;
            if (a->acknowledged) {
                assert_int_equal(kv_get(kv, slice_str(a->key), 0, &item), STATUS_OK);
                assert_int_equal(item.revision, a->revision);
            }
        }
    }
}

static struct story *begin(uint64_t seed)
{
    struct story *s = mem_calloc(1, sizeof(*s));
    rng_init(&s->rng, seed);
    s->c = cluster_settled(seed, 1 + (int)rng_below(&s->rng, 4));
    s->c->on_stop = forget_requests;
    s->c->context = s;
    return s;
}

static void run_story(uint64_t seed, uint32_t *acknowledged, uint32_t *changed)
{
    struct story *s = begin(seed);
    for (int step = 0; step < STEPS; step++) {
        fake_world_run(s->c->world, rng_below(&s->rng, 40));
        reap(s);
        write_something(s);
        if (rng_chance(&s->rng, 1, CHANGE_OF_N)) {
            churn(s);
        }
        if (rng_chance(&s->rng, 1, 15)) {
            trouble(s);
        }
    }
    heal(s);
    expect_everything_acknowledged(s);
    for (int i = 0; i < s->c->count; i++) {
        if (!s->c->members[i].is_gone) {
            member_stop(s->c, i, true);
        }
    }
    heal(s);
    expect_everything_acknowledged(s);
    *acknowledged += s->acknowledged_count;
    *changed += s->changed_count + s->joined_count;
    cluster_destroy(s->c);
    mem_free(s);
}

static uint64_t setting(const char *name, uint64_t standard)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : standard;
}

static void rule_c2_what_was_acknowledged_survives_members_that_come_and_go(void **state)
{
    (void)state;
    uint64_t first = setting("CHURN_SEED", 1);
    uint64_t count = setting("CHURN_SEEDS", 25);
    uint32_t acknowledged = 0;
    uint32_t changed = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("CHURN_SEED=%" PRIu64 "\r", seed);
        fflush(stdout);
        run_story(seed, &acknowledged, &changed);
    }
    print_message("acknowledged=%" PRIu32 " changes=%" PRIu32 "\n", acknowledged, changed);
    /* A silent cluster would lose nothing, and one that refuses changes neither. */
    assert_true(acknowledged > count * 20);
    assert_true(changed > count * 4);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_c2_what_was_acknowledged_survives_members_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
