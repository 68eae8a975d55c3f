/* Crashes of a log at every call of the disk, and random lives of a log with every fault of
 * fake_disk.h. What must hold after each: the log opens (rule P5), holds all that was acknowledged
 * and nothing invented, and goes on. CONCLAVE_WAL_SEEDS=n runs n random lives instead of the
 * few. */
#include "base/check.h"
#include "base/rng.h"
#include "fake_disk.h"
#include "wal_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS_DEFAULT     200
#define PENDING_TRIED_MAX 24
#define RANDOM_LOSSES     6

static const struct step story_founding[] = {
    {.kind = STEP_APPEND, .term = 1, .vote = 7},
    {.kind = STEP_APPEND, .count = 1, .size = 20},
    {.kind = STEP_APPEND, .count = 3, .size = 300, .commit = 1},
    {.kind = STEP_SEAL},
    {.kind = STEP_REOPEN},
    {.kind = STEP_APPEND, .term = 2, .vote = 9, .count = 2, .size = 10, .commit = 4},
};

/* A batch of several blocks: parts of it arrive alone. */
static const struct step story_large_batches[] = {
    {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = 5},
    {.kind = STEP_APPEND, .count = 5, .size = 2500},
    {.kind = STEP_APPEND, .count = 2, .size = 3000, .commit = 6},
};

/* Term changes with a suffix replaced, shortened, and replaced again. */
static const struct step story_truncations[] = {
    {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 5, .size = 50},
    {.kind = STEP_APPEND, .term = 2, .vote = 2, .truncate_from = 3, .count = 2, .size = 60},
    {.kind = STEP_APPEND, .term = 3, .vote = 0, .truncate_from = 4},
    {.kind = STEP_APPEND, .count = 3, .size = 40, .commit = 3},
    {.kind = STEP_REOPEN},
    {.kind = STEP_APPEND, .term = 5, .vote = 5, .truncate_from = 5, .count = 1, .size = 70},
};

/* Over the ends of two segments: one prepared in time, one not, one too small for its record. */
static const struct step story_segments[] = {
    {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 2, .size = 6000},
    {.kind = STEP_PREPARE},
    {.kind = STEP_APPEND, .count = 2, .size = 6000},
    {.kind = STEP_APPEND, .count = 1, .size = 9000},
    {.kind = STEP_APPEND, .term = 2, .vote = 2, .truncate_from = 2, .count = 2, .size = 9000},
    {.kind = STEP_APPEND, .count = 1, .size = 50000, .commit = 3},
    {.kind = STEP_SEAL},
};

/* Snapshots, and segments that go because of them and are used again. */
static const struct step story_compaction[] = {
    {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 3, .size = 7000},
    {.kind = STEP_APPEND, .count = 3, .size = 7000},
    {.kind = STEP_APPEND, .count = 3, .size = 7000},
    {.kind = STEP_SNAPSHOT, .snapshot = 8},
    {.kind = STEP_COMPACT},
    {.kind = STEP_APPEND, .term = 2, .vote = 1, .truncate_from = 9, .count = 3, .size = 7000},
    {.kind = STEP_PREPARE},
    {.kind = STEP_APPEND, .count = 2, .size = 7000},
    {.kind = STEP_SNAPSHOT, .snapshot = 12},
    {.kind = STEP_COMPACT},
    {.kind = STEP_APPEND, .count = 1, .size = 30000},
    {.kind = STEP_REOPEN},
    {.kind = STEP_APPEND, .count = 1, .size = 30000, .commit = 14},
    {.kind = STEP_SCRUB},
    {.kind = STEP_SEAL},
};

/* Snapshots from elsewhere: ahead of the log, in it, and in contradiction to it. */
static const struct step story_installs[] = {
    {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 4, .size = 100},
    {.kind = STEP_INSTALL, .snapshot = 9, .snapshot_term = 1, .count = 2, .size = 50},
    {.kind = STEP_APPEND, .count = 3, .size = 9000},
    {.kind = STEP_INSTALL, .snapshot = 12, .snapshot_term = 1},
    {.kind = STEP_COMPACT},
    {.kind = STEP_APPEND, .term = 2, .vote = 1},
    {.kind = STEP_INSTALL, .snapshot = 13, .snapshot_term = 2, .term = 3, .vote = 2},
    {.kind = STEP_COMPACT},
    {.kind = STEP_APPEND, .count = 2, .size = 40},
    {.kind = STEP_REOPEN},
    {.kind = STEP_APPEND, .truncate_from = 15, .count = 1, .size = 40},
};

struct crash {
    const struct step *steps;
    size_t step_count;
    struct fake_disk_options disk;
    uint64_t call;
};

/* Run the story on a new disk until it ends or the disk stops. */
static struct fake_disk *run_story(const struct crash *c, struct wal_model *m)
{
    struct fake_disk *f = fake_disk_create(&c->disk);
    fake_disk_halt_at(f, c->call);
    *m = (struct wal_model){0};
    struct wal_options options = wal_model_options(f);
    struct wal *w = NULL;
    char *detail = NULL;
    enum status status = wal_open(&options, &w, &detail);
    assert_null(detail);
    for (size_t i = 0; status == STATUS_OK && i < c->step_count; i++) {
        status = wal_model_step(m, &w, f, &c->steps[i]);
    }
    assert_true(status == STATUS_OK || (c->call != 0 && status == STATUS_IO));
    wal_close(w);
    return f;
}

/* The log opens, is right, takes more, and is right again. */
static const char *survives(struct wal_model *m, struct fake_disk *f)
{
    const char *wrong = wal_model_reopen_check(m, f);
    if (wrong != NULL) {
        return wrong;
    }
    struct wal_options options = wal_model_options(f);
    struct wal *w = NULL;
    char *detail = NULL;
    if (wal_open(&options, &w, &detail) != STATUS_OK) {
        return "the second open fails";
    }
    const struct step more[] = {
        {.kind = STEP_APPEND, .term = m->acked.term + 1, .vote = 3, .count = 1, .size = 100},
        {.kind = STEP_APPEND, .count = 1, .size = 5000},
    };
    for (size_t i = 0; i < 2; i++) {
        if (wal_model_step(m, &w, f, &more[i]) != STATUS_OK) {
            wal_close(w);
            return "an append after recovery fails";
        }
    }
    wal_close(w);
    fake_disk_power_loss(f, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    return wal_model_reopen_check(m, f);
}

static void crash_once(const struct crash *c, const struct fake_loss *loss)
{
    struct wal_model m;
    struct fake_disk *f = run_story(c, &m);
    fake_disk_power_loss(f, *loss);
    const char *wrong = survives(&m, f);
    if (wrong != NULL) {
        fail_msg("crash at call %" PRIu64 ", loss %d/%zu destroys %d, sector %zu, seed %" PRIu64
                 ": %s",
                 c->call, (int)loss->kind, loss->which, loss->destroys, c->disk.sector_bytes,
                 c->disk.seed, wrong);
    }
    fake_disk_destroy(f);
}

/* Killed, so that nothing is lost yet. The next process relies on what it reads, and perhaps goes
 * on from there; then power is lost. */
static void kill_then_power_loss(const struct crash *c, bool goes_on)
{
    struct wal_model m;
    struct fake_disk *f = run_story(c, &m);
    fake_disk_restart(f);
    const char *wrong = goes_on ? survives(&m, f) : wal_model_reopen_check(&m, f);
    if (wrong == NULL) {
        fake_disk_power_loss(f, (struct fake_loss){.kind = FAKE_LOSS_ALL});
        wrong = survives(&m, f);
    }
    if (wrong != NULL) {
        fail_msg("kill at call %" PRIu64 ", then power loss: %s", c->call, wrong);
    }
    fake_disk_destroy(f);
}

static void crash_everywhere(const struct step *steps, size_t step_count, size_t sector_bytes)
{
    struct crash c = {.steps = steps,
                      .step_count = step_count,
                      .disk = {.seed = 1, .sector_bytes = sector_bytes}};
    struct wal_model m;
    struct fake_disk *f = run_story(&c, &m);
    uint64_t calls = fake_disk_calls(f);
    fake_disk_destroy(f);
    for (c.call = 1; c.call <= calls + 1; c.call++) {
        f = run_story(&c, &m);
        size_t pending = fake_disk_pending(f);
        fake_disk_destroy(f);
        kill_then_power_loss(&c, false);
        kill_then_power_loss(&c, true);
        crash_once(&c, &(struct fake_loss){.kind = FAKE_LOSS_NONE});
        crash_once(&c, &(struct fake_loss){.kind = FAKE_LOSS_ALL});
        size_t stride = pending / PENDING_TRIED_MAX + 1;
        for (size_t which = 0; which < pending; which += stride) {
            crash_once(&c, &(struct fake_loss){.kind = FAKE_LOSS_ONE, .which = which});
        }
        for (unsigned i = 0; pending > 0 && i < RANDOM_LOSSES; i++) {
            struct crash random = c;
            random.disk.seed = c.call * 100 + i;
            crash_once(&random,
                       &(struct fake_loss){.kind = FAKE_LOSS_RANDOM, .destroys = i % 2 == 1});
        }
    }
}

#define CRASH_TEST(story)                                                                          \
    static void rule_p5_p9_crash_at_every_call_of_##story(void **state)                            \
    {                                                                                              \
        (void)state;                                                                               \
        crash_everywhere(story, sizeof story / sizeof story[0], 4096);                             \
        crash_everywhere(story, sizeof story / sizeof story[0], 512);                              \
    }

CRASH_TEST(story_founding)
CRASH_TEST(story_large_batches)
CRASH_TEST(story_truncations)
CRASH_TEST(story_segments)
CRASH_TEST(story_compaction)
CRASH_TEST(story_installs)

/* Random lives. */

struct life {
    struct rng rng;
    struct fake_disk *disk;
    struct wal_model model;
    struct wal *wal;
};

static struct step draw_append(struct life *l)
{
    struct rng *r = &l->rng;
    const struct model_log *log = &l->model.acked;
    struct step step = {.kind = STEP_APPEND};
    if (log->term == 0 || rng_chance(r, 1, 4)) {
        step.term = log->term + 1 + rng_below(r, 2);
        step.vote = rng_below(r, 4);
    }
    uint64_t kept = log->last;
    if (log->last > log->commit && step.term > 0 && rng_chance(r, 1, 2)) {
        step.truncate_from = rng_between(r, log->commit + 1, log->last);
        kept = step.truncate_from - 1;
    }
    if (kept + 8 < MODEL_ENTRIES_MAX - 8) {
        step.count = (uint32_t)rng_below(r, 6);
    }
    step.size = (uint32_t)(rng_chance(r, 1, 8) ? rng_below(r, 12000) : rng_below(r, 300));
    if (rng_chance(r, 1, 3)) {
        step.commit = rng_between(r, log->commit < kept ? log->commit : kept, kept);
    }
    return step;
}

static struct step draw_snapshot(struct life *l)
{
    const struct model_log *log = &l->model.acked;
    if (log->commit <= log->snapshot) {
        return (struct step){.kind = STEP_SEAL};
    }
    return (struct step){.kind = STEP_SNAPSHOT,
                         .snapshot = rng_between(&l->rng, log->snapshot + 1, log->commit)};
}

static struct step draw_install(struct life *l)
{
    const struct model_log *log = &l->model.acked;
    uint64_t first = (log->commit > log->snapshot ? log->commit : log->snapshot) + 1;
    uint64_t last = log->last + 3;
    if (log->term == 0 || first > last || last > MODEL_ENTRIES_MAX / 2) {
        return (struct step){.kind = STEP_SEAL};
    }
    struct step step = {.kind = STEP_INSTALL, .snapshot = rng_between(&l->rng, first, last)};
    bool is_in_log = step.snapshot <= log->last;
    step.snapshot_term =
        is_in_log && rng_chance(&l->rng, 2, 3) ? log->entries[step.snapshot - 1].term : log->term;
    step.count = (uint32_t)rng_below(&l->rng, 3);
    step.size = 70;
    return step;
}

static struct step draw_step(struct life *l)
{
    switch (rng_below(&l->rng, 18)) {
    case 4:
    case 5:
        return draw_snapshot(l);
    case 6:
        return draw_install(l);
    case 7:
    case 8:
        return (struct step){.kind = STEP_COMPACT};
    case 9:
        return (struct step){.kind = STEP_SCRUB};
    case 0:
        return (struct step){.kind = STEP_SEAL};
    case 1:
    case 2:
        return (struct step){.kind = STEP_PREPARE};
    case 3:
        return (struct step){.kind = STEP_REOPEN};
    default:
        return draw_append(l);
    }
}

/* Plan a stop or a fault for some call soon. */
static void draw_trouble(struct life *l)
{
    uint64_t call = fake_disk_calls(l->disk) + 1 + rng_below(&l->rng, 60);
    if (rng_chance(&l->rng, 1, 2)) {
        fake_disk_halt_at(l->disk, call);
        return;
    }
    fake_disk_fail_at(
        l->disk,
        (struct fake_fault){.call = call,
                            .status = rng_chance(&l->rng, 1, 4) ? STATUS_NO_SPACE : STATUS_IO,
                            .shows_lost_pages = rng_chance(&l->rng, 1, 2)});
}

static void restart(struct life *l)
{
    if (rng_chance(&l->rng, 1, 3)) {
        fake_disk_restart(l->disk);
        return;
    }
    static const enum fake_loss_kind kinds[] = {FAKE_LOSS_NONE, FAKE_LOSS_ALL, FAKE_LOSS_RANDOM};
    fake_disk_power_loss(l->disk, (struct fake_loss){.kind = kinds[rng_below(&l->rng, 3)],
                                                     .destroys = rng_chance(&l->rng, 1, 2)});
}

/* Open; some of the openings are cut short, too. NULL or what is wrong. */
static const char *open_again(struct life *l)
{
    struct wal_options options = wal_model_options(l->disk);
    for (unsigned interruptions = (unsigned)rng_below(&l->rng, 3);; interruptions--) {
        if (interruptions > 0) {
            fake_disk_halt_at(l->disk, fake_disk_calls(l->disk) + 1 + rng_below(&l->rng, 20));
        }
        char *detail = NULL;
        enum status status = wal_open(&options, &l->wal, &detail);
        if (status != STATUS_OK && (interruptions == 0 || status != STATUS_IO)) {
            static char text[200];
            snprintf(text, sizeof text, "open says %s (%s)", status_name(status),
                     detail != NULL ? detail : "");
            return text;
        }
        if (interruptions == 0 || status == STATUS_OK) {
            fake_disk_halt_at(l->disk, 0);
            wal_model_opened(&l->model);
            return wal_model_check(&l->model, l->wal);
        }
        restart(l);
    }
}

static const char *live(struct life *l)
{
    const char *wrong = open_again(l);
    for (unsigned crashes = 0; wrong == NULL && crashes < 6; crashes++) {
        if (rng_chance(&l->rng, 5, 6)) {
            draw_trouble(l);
        }
        enum status status = STATUS_OK;
        for (unsigned i = 0; status == STATUS_OK && i < 25; i++) {
            struct step step = draw_step(l);
            status = wal_model_step(&l->model, &l->wal, l->disk, &step);
        }
        wal_close(l->wal);
        l->wal = NULL;
        restart(l);
        wrong = open_again(l);
    }
    return wrong;
}

static void rule_p9_p11_p14_random_lives_lose_nothing(void **state)
{
    (void)state;
    const char *text = getenv("CONCLAVE_WAL_SEEDS");
    uint64_t seeds = text != NULL ? strtoull(text, NULL, 10) : SEEDS_DEFAULT;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct life l = {0};
        rng_init(&l.rng, seed);
        l.disk = fake_disk_create(&(struct fake_disk_options){
            .seed = seed, .sector_bytes = rng_chance(&l.rng, 1, 2) ? 512 : 4096});
        const char *wrong = live(&l);
        if (wrong != NULL) {
            fail_msg("seed %" PRIu64 ": %s", seed, wrong);
        }
        wal_close(l.wal);
        fake_disk_destroy(l.disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p5_p9_crash_at_every_call_of_story_founding),
        cmocka_unit_test(rule_p5_p9_crash_at_every_call_of_story_large_batches),
        cmocka_unit_test(rule_p5_p9_crash_at_every_call_of_story_truncations),
        cmocka_unit_test(rule_p5_p9_crash_at_every_call_of_story_segments),
        cmocka_unit_test(rule_p5_p9_crash_at_every_call_of_story_compaction),
        cmocka_unit_test(rule_p5_p9_crash_at_every_call_of_story_installs),
        cmocka_unit_test(rule_p9_p11_p14_random_lives_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
