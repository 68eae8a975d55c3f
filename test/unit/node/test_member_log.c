/* What members tell of their logs (rows C10, D7): entries read back for clients, and how far the
 * others are. */
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

#define SEGMENT_BYTES (64u * 1024u)
#define TEXT_SIZE     (64u * 1024u)

static struct cluster *settled(uint64_t seed, int count, uint64_t snapshot_entries)
{
    struct cluster *c = cluster_create(seed, count);
    c->snapshot_log_entries = snapshot_entries;
    c->segment_bytes = SEGMENT_BYTES;
    for (int i = 0; i < count; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    return c;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void on_written(struct node_write *w)
{
    *(bool *)w->context = true;
}

static void do_command(struct cluster *c, const struct kv_command *command)
{
    bool done = false;
    struct node_write w = {.ack = NODE_ACK_QUORUM, .done = on_written, .context = &done};
    struct node *leader = c->members[cluster_find_leader(c)].node;
    assert_int_equal(node_write_start(leader, &w, command), STATUS_OK);
    while (!done) {
        fake_world_run(c->world, 1);
        cluster_expect_no_fatal(c);
    }
    assert_int_equal(w.status, STATUS_OK);
}

static void put_sized(struct cluster *c, int number, size_t size)
{
    char key[32];
    char *value = mem_calloc(1, size + 1);
    memset(value, 'v', size);
    snprintf(key, sizeof(key), "key-%d", number);
    const struct kv_command command = {
        .op = KV_PUT, .time_ms = 1000, .key = slice_str(key), .value = slice_str(value)};
    do_command(c, &command);
    mem_free(value);
}

static void put_some(struct cluster *c, int count)
{
    for (int i = 0; i < count; i++) {
        put_sized(c, i, 10);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A reading, and its entries as text. */
struct reading {
    struct node_log_read read;
    uint32_t answers;
    char *text;
    size_t size;
};

static void on_entries(struct node_log_read *r)
{
    struct reading *t = r->context;
    t->answers++;
    t->size = 0;
    for (uint32_t i = 0; r->status == STATUS_OK && i < r->count; i++) {
        const struct node_log_entry *e = &r->entries[i];
        t->size += (size_t)snprintf(
            t->text + t->size, TEXT_SIZE - t->size, "%" PRIu64 " %" PRIu64 " %s %.*s=%zu\n",
            e->index, e->term, e->type, (int)e->command.key.size,
            e->command.key.size > 0 ? (const char *)e->command.key.data : "",
            e->command.value.size);
        assert_true(t->size < TEXT_SIZE);
    }
}

static struct reading *reading_create(uint64_t from, uint32_t limit)
{
    struct reading *t = mem_calloc(1, sizeof(*t));
    t->text = mem_calloc(1, TEXT_SIZE);
    t->read =
        (struct node_log_read){.from = from, .limit = limit, .done = on_entries, .context = t};
    return t;
}

static void reading_destroy(struct reading *t)
{
    mem_free(t->text);
    mem_free(t);
}

/* OK: answered within a moment, never inside the call. */
static enum status read_log(struct cluster *c, int i, struct reading *t)
{
    t->answers = 0;
    enum status s = node_log_read_start(c->members[i].node, &t->read);
    if (s != STATUS_OK) {
        return s;
    }
    assert_int_equal(t->answers, 0);
    for (int waited = 0; t->answers == 0; waited++) {
        assert_true(waited < 1000);
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t->answers, 1);
    return t->read.status;
}

static void row_d7_the_log_is_the_same_on_every_member(void **state)
{
    (void)state;
    struct cluster *c = settled(1, 3, 0);
    put_some(c, 5);
    const struct kv_command deletion = {.op = KV_DELETE, .key = slice_str("key-3")};
    do_command(c, &deletion);
    cluster_settle(c);
    struct reading *first = reading_create(1, 100);
    assert_int_equal(read_log(c, 0, first), STATUS_OK);
    assert_int_equal(first->read.newest, first->read.count);
    assert_non_null(strstr(first->text, "1 1 noop =0\n"));
    assert_non_null(strstr(first->text, " write key-4=10\n"));
    assert_non_null(strstr(first->text, " delete key-3=0\n"));
    for (int i = 1; i < 3; i++) {
        struct reading *other = reading_create(0, 1000);
        assert_int_equal(read_log(c, i, other), STATUS_OK);
        assert_string_equal(other->text, first->text);
        reading_destroy(other);
    }
    reading_destroy(first);
    cluster_destroy(c);
}

static void row_d7_a_part_of_the_log_is_what_was_asked_for(void **state)
{
    (void)state;
    struct cluster *c = settled(2, 1, 0);
    put_some(c, 9); /* behind the entry of the leader */
    static const struct {
        uint64_t from;
        uint32_t limit;
        enum status status;
        uint32_t count;
        const char *begins;
    } rows[] = {
        {0, 1, STATUS_OK, 1, "10 1 write key-8="},
        {0, 3, STATUS_OK, 3, "8 1 write key-6="},
        {0, 10, STATUS_OK, 10, "1 1 noop ="},
        {0, 1000, STATUS_OK, 10, "1 1 noop ="},
        {1, 1, STATUS_OK, 1, "1 1 noop ="},
        {4, 2, STATUS_OK, 2, "4 1 write key-2="},
        {10, 5, STATUS_OK, 1, "10 1 write key-8="},
        {11, 5, STATUS_OK, 0, ""},
        {12, 5, STATUS_FUTURE, 0, NULL},
        {UINT64_MAX, 1000, STATUS_FUTURE, 0, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reading *t = reading_create(rows[i].from, rows[i].limit);
        assert_int_equal(read_log(c, 0, t), rows[i].status);
        assert_int_equal(t->read.oldest, 1);
        assert_int_equal(t->read.newest, 10);
        assert_int_equal(t->read.count, rows[i].count);
        if (rows[i].begins != NULL) {
            assert_int_equal(strncmp(t->text, rows[i].begins, strlen(rows[i].begins)), 0);
        }
        reading_destroy(t);
    }
    cluster_destroy(c);
}

static void rule_o1_one_answer_holds_so_many_bytes_or_one_entry(void **state)
{
    (void)state;
    struct cluster *c = settled(3, 1, 0);
    for (int i = 0; i < 4; i++) {
        put_sized(c, i, LIMIT_LOG_READ_BYTES / 3);
    }
    put_sized(c, 4, 2 * LIMIT_LOG_READ_BYTES);
    put_sized(c, 5, 1);
    static const uint32_t counts[] = {3, 2, 1, 1}; /* 1..3, 4..5, 6, 7 */
    uint64_t from = 1;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct reading *t = reading_create(from, LIMIT_LOG_READ_ENTRIES);
        assert_int_equal(read_log(c, 0, t), STATUS_OK);
        assert_int_equal(t->read.count, counts[i]);
        from += t->read.count;
        reading_destroy(t);
    }
    cluster_destroy(c);
}

static void what_a_snapshot_replaced_is_said_to_be_gone(void **state)
{
    (void)state;
    struct cluster *c = settled(4, 3, 40);
    put_some(c, 400);
    cluster_settle(c);
    for (int i = 0; i < 3; i++) {
        struct reading *t = reading_create(1, 10);
        assert_int_equal(read_log(c, i, t), STATUS_COMPACTED);
        uint64_t oldest = t->read.oldest;
        assert_true(oldest > 1 && oldest <= t->read.newest);
        t->read.from = oldest - 1;
        assert_int_equal(read_log(c, i, t), STATUS_COMPACTED);
        t->read.from = oldest;
        assert_int_equal(read_log(c, i, t), STATUS_OK);
        assert_int_equal(t->read.count,
                         t->read.newest - oldest + 1 < 10 ? t->read.newest - oldest + 1 : 10);
        t->read.from = 0;
        t->read.limit = LIMIT_LOG_READ_ENTRIES;
        assert_int_equal(read_log(c, i, t), STATUS_OK);
        assert_int_equal(t->read.count, t->read.newest - oldest + 1);
        reading_destroy(t);
    }
    cluster_destroy(c);
}

static void row_d7_only_what_is_committed_is_told(void **state)
{
    (void)state;
    struct cluster *c = settled(5, 3, 0);
    int leader = cluster_find_leader(c);
    struct reading *before = reading_create(0, 1);
    assert_int_equal(read_log(c, leader, before), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        if (i != leader) {
            member_freeze(c, i, true);
        }
    }
    bool done = false;
    struct node_write w = {.ack = NODE_ACK_QUORUM, .done = on_written, .context = &done};
    const struct kv_command command = {
        .op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_equal(node_write_start(c->members[leader].node, &w, &command), STATUS_OK);
    fake_world_run(c->world, 20);
    struct reading *after = reading_create(0, 1);
    assert_int_equal(read_log(c, leader, after), STATUS_OK);
    assert_string_equal(after->text, before->text);
    struct node_replication view;
    assert_int_equal(node_replication_get(c->members[leader].node, &view), STATUS_OK);
    assert_int_equal(view.last_index, before->read.newest + 1);
    assert_int_equal(view.commit_index, before->read.newest);
    node_write_cancel(&w);
    reading_destroy(before);
    reading_destroy(after);
    cluster_destroy(c);
}

static void rule_o1_a_disk_that_hangs_holds_up_so_many_readings(void **state)
{
    (void)state;
    struct cluster *c = settled(6, 1, 0);
    struct node *n = c->members[0].node;
    struct reading *all[LIMIT_LOG_READS];
    fake_process_stall(c->members[0].loop, true);
    for (size_t i = 0; i < LIMIT_LOG_READS; i++) {
        all[i] = reading_create(0, 10);
        assert_int_equal(node_log_read_start(n, &all[i]->read), STATUS_OK);
    }
    struct reading *more = reading_create(0, 10);
    assert_int_equal(node_log_read_start(n, &more->read), STATUS_OVERLOADED);
    node_log_read_cancel(&all[0]->read); /* its place is taken until the disk is back */
    assert_int_equal(node_log_read_start(n, &more->read), STATUS_OVERLOADED);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS + 100);
    assert_int_equal(all[0]->answers, 0);
    for (size_t i = 1; i < LIMIT_LOG_READS; i++) {
        assert_int_equal(all[i]->answers, 1);
        assert_int_equal(all[i]->read.status, STATUS_TIMEOUT);
    }
    fake_process_stall(c->members[0].loop, false);
    fake_world_run(c->world, 100);
    for (size_t i = 0; i < LIMIT_LOG_READS; i++) {
        assert_int_equal(all[i]->answers, i == 0 ? 0 : 1);
        assert_int_equal(read_log(c, 0, all[i]), STATUS_OK);
        reading_destroy(all[i]);
    }
    reading_destroy(more);
    cluster_destroy(c);
}

static void a_member_that_is_killed_forgets_who_reads_its_log(void **state)
{
    (void)state;
    struct cluster *c = settled(7, 1, 0);
    struct reading *t = reading_create(0, 10);
    fake_process_stall(c->members[0].loop, true);
    assert_int_equal(node_log_read_start(c->members[0].node, &t->read), STATUS_OK);
    member_stop(c, 0, false);
    assert_null(t->read.node);
    reading_destroy(t);
    member_start(c, 0);
    cluster_settle(c);
    cluster_destroy(c);
}

/* --- how far the others are ------------------------------------------------------------------- */

static const struct node_replica *replica_of(const struct node_replication *view, const char *name)
{
    for (uint32_t i = 0; i < view->count; i++) {
        if (strcmp(view->replicas[i].name, name) == 0) {
            return &view->replicas[i];
        }
    }
    fail_msg("%s is not shown", name);
    return NULL;
}

static struct node_replication look(const struct cluster *c, int leader)
{
    struct node_replication view;
    assert_int_equal(node_replication_get(c->members[leader].node, &view), STATUS_OK);
    assert_int_equal(view.count, c->count - 1);
    return view;
}

/* What it lacks is kept for it, however often it could not be reached. */
static void row_c10_what_a_member_lacks_is_a_queue_that_loses_nothing(void **state)
{
    (void)state;
    struct cluster *c = settled(8, 3, 0);
    int leader = cluster_find_leader(c);
    int away = (leader + 1) % 3;
    struct node_replication view = look(c, leader);
    assert_int_equal(replica_of(&view, member_names[away])->backlog, 0);
    assert_int_equal(replica_of(&view, member_names[away])->attempts, 0);
    assert_string_equal(replica_of(&view, member_names[away])->state, "replicate");
    member_stop(c, away, false);
    put_some(c, 7);
    fake_world_run(c->world, 20000);
    view = look(c, leader);
    const struct node_replica *r = replica_of(&view, member_names[away]);
    assert_int_equal(r->backlog, 7);
    assert_int_equal(r->match, view.last_index - 7);
    assert_int_equal(r->next, r->match + 1);
    assert_true(r->attempts > 10);
    assert_string_equal(r->last_error, "cannot connect");
    assert_string_equal(r->state, "probe");
    assert_int_equal(replica_of(&view, member_names[3 - leader - away])->backlog, 0);
    member_start(c, away);
    cluster_settle(c);
    fake_world_run(c->world, 1000);
    view = look(c, leader);
    r = replica_of(&view, member_names[away]);
    assert_int_equal(r->backlog, 0);
    assert_int_equal(r->attempts, 0);
    assert_string_equal(r->last_error, "");
    assert_string_equal(r->state, "replicate");
    cluster_destroy(c);
}

static void row_c10_a_follower_does_not_know_it(void **state)
{
    (void)state;
    struct cluster *c = settled(9, 3, 0);
    struct node_replication view;
    int follower = (cluster_find_leader(c) + 1) % 3;
    assert_int_equal(node_replication_get(c->members[follower].node, &view), STATUS_NOT_LEADER);
    cluster_destroy(c);
}

/* Whoever dialled: attempts before the last link are not counted to the next trouble. */
static void row_c10_attempts_count_from_the_last_success(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 20; seed++) {
        struct cluster *c = settled(seed, 3, 0);
        int leader = cluster_find_leader(c);
        int away = (leader + 1) % 3;
        for (int round = 0; round < 3; round++) {
            member_stop(c, away, false);
            fake_world_run(c->world, 10000);
            struct node_replication view = look(c, leader);
            assert_true(replica_of(&view, member_names[away])->attempts >= 10);
            assert_true(replica_of(&view, member_names[away])->attempts <= 30);
            member_start(c, away);
            cluster_settle(c);
            view = look(c, leader);
            assert_int_equal(replica_of(&view, member_names[away])->attempts, 0);
        }
        cluster_destroy(c);
    }
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_d7_the_log_is_the_same_on_every_member),
        cmocka_unit_test(row_d7_a_part_of_the_log_is_what_was_asked_for),
        cmocka_unit_test(rule_o1_one_answer_holds_so_many_bytes_or_one_entry),
        cmocka_unit_test(what_a_snapshot_replaced_is_said_to_be_gone),
        cmocka_unit_test(row_d7_only_what_is_committed_is_told),
        cmocka_unit_test(rule_o1_a_disk_that_hangs_holds_up_so_many_readings),
        cmocka_unit_test(a_member_that_is_killed_forgets_who_reads_its_log),
        cmocka_unit_test(row_c10_what_a_member_lacks_is_a_queue_that_loses_nothing),
        cmocka_unit_test(row_c10_a_follower_does_not_know_it),
        cmocka_unit_test(row_c10_attempts_count_from_the_last_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
