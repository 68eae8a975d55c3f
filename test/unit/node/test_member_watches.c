/* Watches at whole members (I15, M38): each is told every change once and in order, whatever
 * becomes of leaders and links, also when a snapshot takes the place of the state; and who asked is
 * told that there is no leader. */
#include "member_snapshots.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Values are value-<i>, one after the other: what is told next is known. */
struct follower {
    struct kv_watch watch;
    int next;
    uint64_t revision;
    enum status ended;
    unsigned ends;
};

static void on_events(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    struct follower *f = w->context;
    for (uint32_t i = 0; i < count; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value-%d", f->next++);
        assert_true(slice_equal(events[i]->item.value, slice_str(value)));
        assert_true(events[i]->revision > f->revision);
        f->revision = events[i]->revision;
    }
}

static void on_end(struct kv_watch *w, enum status why)
{
    struct follower *f = w->context;
    f->ended = why;
    f->ends++;
}

static struct follower *follow(struct cluster *c, int i, uint64_t start)
{
    struct follower *f = mem_calloc(1, sizeof(*f));
    f->watch = (struct kv_watch){.span = {.kind = KV_SPAN_FROM, .key = slice_str("key-")},
                                 .start_revision = start,
                                 .on_events = on_events,
                                 .on_end = on_end,
                                 .context = f};
    assert_int_equal(node_watch_start(c->members[i].node, &f->watch), STATUS_OK);
    return f;
}

static void unfollow(struct follower *f)
{
    kv_watch_cancel(&f->watch);
    mem_free(f);
}

static void run_until_told(struct cluster *c, const struct follower *f, int next)
{
    for (int waited = 0; f->next < next; waited += 10) {
        assert_true(waited < 60000);
        fake_world_run(c->world, 10);
        cluster_expect_no_fatal(c);
    }
    assert_int_equal(f->next, next);
}

static void rule_i15_members_tell_every_change_through_a_change_of_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(1, 3);
    int old = cluster_find_leader(c);
    struct follower *a = follow(c, (old + 1) % 3, 0);
    struct follower *b = follow(c, (old + 2) % 3, 0);
    snapshots_put_numbered(c, 0, 20, 5);
    member_stop(c, old, false);
    snapshots_put_numbered(c, 20, 40, 5);
    run_until_told(c, a, 40);
    run_until_told(c, b, 40);
    struct follower *late = follow(c, (old + 1) % 3, 2);
    run_until_told(c, late, 40);
    struct node_metrics m = {0};
    node_metrics_get(c->members[(old + 1) % 3].node, &m);
    assert_int_equal(m.watches.watches, 2);
    assert_int_equal(m.watches.slow, 0);
    assert_int_equal(m.watches.events, 80);
    unfollow(a);
    unfollow(b);
    unfollow(late);
    cluster_destroy(c);
}

static void rule_m38_a_snapshot_that_is_installed_skips_nothing(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(2, 3, 50);
    int away = (cluster_find_leader(c) + 1) % 3;
    struct follower *f = follow(c, away, 0);
    struct follower *paused = follow(c, away, 0);
    snapshots_put_numbered(c, 0, 10, 5);
    run_until_told(c, f, 10);
    kv_watch_pause(&paused->watch);
    int told = paused->next;
    member_freeze(c, away, true);
    snapshots_put_numbered(c, 10, 600, 5);
    fake_world_run(c->world, 2000);
    member_freeze(c, away, false);
    run_until_told(c, f, 600);
    assert_true(trouble_metrics(c, away).snapshots_installed > 0);
    assert_int_equal(paused->next, told);
    kv_watch_resume(&paused->watch);
    snapshots_put_numbered(c, 600, 601, 5);
    run_until_told(c, paused, 601);
    unfollow(f);
    unfollow(paused);
    cluster_destroy(c);
}

static void a_member_that_stops_ends_its_watches(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(3, 3);
    struct node *n = c->members[0].node;
    struct follower *f = follow(c, 0, 0);
    node_shutdown(n, NULL, NULL);
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->ended, STATUS_CLOSED);
    assert_int_equal(node_watch_start(n, &f->watch), STATUS_CLOSED);
    unfollow(f);
    cluster_destroy(c);
}

static void on_lost(struct node_leader_guard *g)
{
    (*(unsigned *)g->context)++;
}

static void who_asked_is_told_that_there_is_no_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(4, 3);
    int leader = cluster_find_leader(c);
    int left = (leader + 1) % 3;
    struct node *n = c->members[left].node;
    unsigned told = 0;
    unsigned cancelled = 0;
    struct node_leader_guard guard = {.lost = on_lost, .context = &told};
    struct node_leader_guard other = {.lost = on_lost, .context = &cancelled};
    assert_true(node_leader_guard_start(n, &guard));
    assert_true(node_leader_guard_start(n, &other));
    member_stop(c, leader, false);
    fake_world_run(c->world, 10 * ELECTION_MS);
    assert_true(cluster_find_leader(c) >= 0);
    assert_int_equal(told, 0);
    for (int i = 0; i < 3; i++) {
        if (i != left && c->members[i].node != NULL) {
            member_stop(c, i, false);
        }
    }
    node_leader_guard_cancel(&other);
    fake_world_run(c->world, ELECTION_MS);
    assert_int_equal(told, 0);
    fake_world_run(c->world, 10 * ELECTION_MS);
    assert_int_equal(told, 1);
    assert_int_equal(cancelled, 0);
    assert_false(node_leader_guard_start(n, &guard));
    cluster_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_i15_members_tell_every_change_through_a_change_of_leader),
        cmocka_unit_test(rule_m38_a_snapshot_that_is_installed_skips_nothing),
        cmocka_unit_test(a_member_that_stops_ends_its_watches),
        cmocka_unit_test(who_asked_is_told_that_there_is_no_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
