/* Three whole members that take a snapshot every few entries, in one world of virtual time, from
 * one seed: killed, cut off, frozen, their power lost, at any moment of taking, sending and taking
 * in. What they acknowledged must be there, and their states must be the same.
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

#define WRITES_MAX 3000
#define STEPS      250
#define KEYS       40
#define VALUE_SIZE 5000

struct story;

struct attempt {
    struct node_write write;
    struct story *story;
    uint32_t key;
    uint32_t number;
    bool pending;
};

/* What is known of a key: the last write that was acknowledged, and where it stood. */
struct known {
    uint64_t revision;
    uint32_t number;
};

struct story {
    struct cluster *c;
    struct attempt writes[WRITES_MAX];
    uint32_t write_count;
    uint32_t acknowledged_count;
    struct known known[KEYS];
    uint64_t taken;
    uint64_t installed;
};

static void count_snapshots(struct story *s, const struct node *n)
{
    struct node_metrics m;
    node_metrics_get(n, &m);
    s->taken += m.snapshots_taken;
    s->installed += m.snapshots_installed;
}

static void forget_requests(void *context, const struct node *n)
{
    struct story *s = context;
    count_snapshots(s, n);
    for (uint32_t w = 0; w < s->write_count; w++) {
        if (s->writes[w].pending && s->writes[w].write.node == n) {
            node_write_cancel(&s->writes[w].write);
            s->writes[w].pending = false;
        }
    }
}

static void on_written(struct node_write *w)
{
    struct attempt *a = CONTAINER_OF(w, struct attempt, write);
    struct story *s = a->story;
    struct known *known = &s->known[a->key];
    a->pending = false;
    if (w->status == STATUS_OK) {
        s->acknowledged_count++;
        if (w->result.revision > known->revision) {
            *known = (struct known){.revision = w->result.revision, .number = a->number};
        }
    }
}

static void make_value(uint32_t number, size_t size, uint8_t *value)
{
    struct rng r;
    rng_init(&r, number);
    for (size_t i = 0; i < size; i++) {
        value[i] = (uint8_t)rng_next(&r);
    }
}

static size_t value_size(uint32_t number)
{
    return number % 8 == 0 ? VALUE_SIZE : 20;
}

static void write_something(struct story *s, int i, struct rng *r)
{
    if (s->write_count == WRITES_MAX || s->c->members[i].node == NULL) {
        return;
    }
    struct attempt *a = &s->writes[s->write_count++];
    *a =
        (struct attempt){.story = s, .key = (uint32_t)rng_below(r, KEYS), .number = s->write_count};
    char key[16];
    uint8_t value[VALUE_SIZE];
    snprintf(key, sizeof(key), "key-%" PRIu32, a->key);
    size_t size = value_size(a->number);
    make_value(a->number, size, value);
    a->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written};
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str(key), .value = slice_of(value, size)};
    a->pending = node_write_start(s->c->members[i].node, &a->write, &command) == STATUS_OK;
}

static void trouble(struct story *s, struct rng *r)
{
    int i = (int)rng_below(r, (uint64_t)s->c->count);
    int j = (i + 1) % s->c->count;
    struct member *m = &s->c->members[i];
    switch (rng_below(r, 8)) {
    case 0:
    case 1:
    case 2:
        if (m->node != NULL) {
            member_stop(s->c, i, rng_chance(r, 1, 2));
        } else {
            member_start(s->c, i);
        }
        break;
    case 3:
        fake_world_cut(s->c->world, member_hosts[i], member_hosts[j], true);
        break;
    case 4:
    case 5:
        fake_world_cut(s->c->world, member_hosts[i], member_hosts[j], false);
        fake_world_cut(s->c->world, member_hosts[j], member_hosts[i], false);
        break;
    case 6:
        fake_world_reset(s->c->world, member_hosts[i], member_hosts[j]);
        break;
    default:
        if (m->node != NULL) {
            member_freeze(s->c, i, !m->frozen);
        }
        break;
    }
}

/* A key holds the last write that was acknowledged, or one that came later. */
static void expect_everything_acknowledged(const struct story *s)
{
    for (int i = 0; i < s->c->count; i++) {
        const struct kv *kv = node_kv(s->c->members[i].node);
        kv_check(kv);
        for (uint32_t k = 0; k < KEYS; k++) {
            const struct known *known = &s->known[k];
            char key[16];
            struct kv_item item;
            if (known->revision == 0) {
                continue;
            }
            snprintf(key, sizeof(key), "key-%" PRIu32, k);
            assert_int_equal(kv_get(kv, slice_str(key), 0, &item), STATUS_OK);
            assert_true(item.revision >= known->revision);
            if (item.revision == known->revision) {
                uint8_t value[VALUE_SIZE];
                size_t size = value_size(known->number);
                make_value(known->number, size, value);
                assert_true(slice_equal(item.value, slice_of(value, size)));
            }
        }
    }
}

static void expect_equal_states(const struct story *s)
{
    struct kv_digest first = kv_digest(node_kv(s->c->members[0].node));
    for (int i = 1; i < s->c->count; i++) {
        struct kv_digest digest = kv_digest(node_kv(s->c->members[i].node));
        assert_memory_equal(&digest, &first, sizeof(digest));
    }
}

static struct story *story_create(uint64_t seed, struct rng *r)
{
    struct story *s = mem_calloc(1, sizeof(*s));
    s->c = cluster_create(seed, 3);
    s->c->on_stop = forget_requests;
    s->c->context = s;
    s->c->snapshot_log_entries = rng_between(r, 1, 50);
    s->c->segment_bytes = 64u * 1024u;
    s->c->history_bytes = rng_chance(r, 1, 2) ? 20000 : 64u << 20;
    return s;
}

static void run_steps(struct story *s, struct rng *r)
{
    for (int step = 0; step < STEPS; step++) {
        fake_world_run(s->c->world, rng_below(r, 60));
        cluster_expect_no_fatal(s->c);
        int leader = cluster_find_leader(s->c);
        int i = leader >= 0 ? leader : (int)rng_below(r, (uint64_t)s->c->count);
        for (uint64_t burst = rng_below(r, 12); burst > 0; burst--) {
            write_something(s, i, r);
        }
        if (rng_chance(r, 1, 12)) {
            trouble(s, r);
        }
    }
}

static void settle(struct story *s)
{
    cluster_heal(s->c);
    cluster_settle(s->c);
    fake_world_run(s->c->world, 3000);
    cluster_settle(s->c);
    expect_everything_acknowledged(s);
    expect_equal_states(s);
}

static void run_story(uint64_t seed, uint64_t *acknowledged, uint64_t *taken, uint64_t *installed)
{
    struct rng r;
    rng_init(&r, seed);
    struct story *s = story_create(seed, &r);
    for (int i = 0; i < s->c->count; i++) {
        member_start(s->c, i);
    }
    cluster_settle(s->c);
    run_steps(s, &r);
    settle(s);
    for (int i = 0; i < s->c->count; i++) {
        member_stop(s->c, i, true);
    }
    settle(s);
    for (int i = 0; i < s->c->count; i++) {
        count_snapshots(s, s->c->members[i].node);
    }
    *acknowledged += s->acknowledged_count;
    *taken += s->taken;
    *installed += s->installed;
    cluster_destroy(s->c);
    mem_free(s);
}

static uint64_t setting(const char *name, uint64_t standard)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : standard;
}

static void rule_s4_what_was_acknowledged_survives_whatever_happens_to_snapshots(void **state)
{
    (void)state;
    uint64_t first = setting("MEMBER_SEED", 1);
    uint64_t count = setting("MEMBER_SEEDS", 60);
    uint64_t acknowledged = 0;
    uint64_t taken = 0;
    uint64_t installed = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("MEMBER_SEED=%" PRIu64 "\r", seed);
        fflush(stdout);
        run_story(seed, &acknowledged, &taken, &installed);
    }
    print_message("\nacknowledged %" PRIu64 ", snapshots taken %" PRIu64 ", installed %" PRIu64
                  "\n",
                  acknowledged, taken, installed);
    /* A story in which nothing happens proves nothing. */
    assert_true(acknowledged > count * 200);
    assert_true(taken > count * 20);
    assert_true(count < 20 || installed > count / 4);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_s4_what_was_acknowledged_survives_whatever_happens_to_snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
