/* sim.c - the deterministic simulator: whole members over a simulated disk, network and clock,
 * driven by simulated clients; one thread, one seed, one story (docs/TESTING.md).
 *
 *   sim [--seeds N] [--first SEED] [--jobs N] [--quiet] [--twice]   a campaign
 *   sim --seed SEED [--trace]                                       one story
 *   sim --replay FILE... [--trace]                                  saved ones
 *   sim --crash-points FILE... [--jobs N] [--quiet]                 every crash point of saved ones
 *   sim --replay FILE --crash MEMBER.CALL.LOSS [--trace]            one of them
 *   sim --save SEED                                                 its schedule, to stdout
 *   sim --shrink SEED|FILE [--out FILE]                             make a failing one small
 *
 * Exit 0: all went well. 1: an invariant broke, or a mark was never hit (I21). 2: usage. */
#include "base/log.h"
#include "base/mem.h"
#include "campaign.h"
#include "crash_points.h"
#include "schedule.h"
#include "shrink.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHRINK_RUNS_MAX 3000

static void tell_failure(const struct verdict *v, const char *program, const char *what)
{
    printf("FAILED %s at %" PRIu64 " ms, %s: %s\n", v->id, v->at_ms, what, v->text);
    printf("replay: %s %s --trace\n", program, what);
    printf("shrink: %s --shrink %s --out failure.schedule\n", program,
           strchr(what, ' ') != NULL ? strchr(what, ' ') + 1 : what);
}

static int run_campaign(const struct campaign_options *o, const char *program)
{
    struct campaign_result result;
    campaign_run(o, &result);
    if (result.failure.failed) {
        char what[64];
        snprintf(what, sizeof(what), "--seed %" PRIu64, result.failure.seed);
        tell_failure(&result.failure, program, what);
        return 1;
    }
    uint32_t missed = coverage_print(&result.coverage, o->seeds, o->quiet);
    printf("sim: %" PRIu64 " schedules passed, %" PRIu32 " marks missed, hash %016" PRIx64 "\n",
           result.seeds_done, missed, result.hash);
    return missed > 0 ? 1 : 0;
}

static bool load(struct schedule *s, const char *path)
{
    FILE *in = fopen(path, "r");
    uint32_t line = 0;
    enum status status = in != NULL ? schedule_load(s, in, &line) : STATUS_NOT_FOUND;
    if (in != NULL) {
        fclose(in);
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "sim: %s: %s in line %" PRIu32 "\n", path, status_text(status), line);
    }
    return status == STATUS_OK;
}

static int run_one(struct schedule *s, bool trace, const char *program, const char *what)
{
    struct verdict v;
    campaign_run_one(s, trace, &v);
    if (v.failed) {
        tell_failure(&v, program, what);
    } else {
        printf("%s: passed, %" PRIu64 " events, hash %016" PRIx64 "\n", what, v.events, v.hash);
    }
    schedule_deinit(s);
    return v.failed ? 1 : 0;
}

static bool set_crash(struct schedule *s, const char *crash)
{
    uint32_t member;
    uint32_t call;
    uint32_t loss;
    if (crash == NULL) {
        return true;
    }
    if (sscanf(crash, "%" SCNu32 ".%" SCNu32 ".%" SCNu32, &member, &call, &loss) != 3) {
        fprintf(stderr, "sim: --crash MEMBER.CALL.LOSS, not %s\n", crash);
        return false;
    }
    crash_points_set(s, member, call, loss);
    return true;
}

static int replay_files(char **paths, int count, const char *crash, bool trace, const char *program)
{
    int failed = 0;
    for (int i = 0; i < count; i++) {
        struct schedule s;
        char what[512];
        snprintf(what, sizeof(what), "--replay %s%s%s", paths[i], crash != NULL ? " --crash " : "",
                 crash != NULL ? crash : "");
        if (!load(&s, paths[i]) || !set_crash(&s, crash)) {
            return 2;
        }
        failed |= run_one(&s, trace, program, what);
    }
    return failed;
}

/* Of each member; the states that passed, or -1. */
static int64_t crash_members(const struct schedule *s, const char *path,
                             const struct campaign_options *o, const char *program)
{
    int64_t states = 0;
    for (uint32_t i = 0; i < s->knobs[KNOB_members] + s->knobs[KNOB_spares]; i++) {
        struct crash_points_result r;
        char what[512];
        crash_points_run(s, i, o->jobs, o->quiet, &r);
        if (r.failure.failed) {
            snprintf(what, sizeof(what), "--replay %s --crash %" PRIu32 ".%" PRIu32 ".%" PRIu32,
                     path, r.member, r.call, r.loss);
            tell_failure(&r.failure, program, what);
            return -1;
        }
        printf("%s: member %" PRIu32 ": %" PRIu64 " calls to its disk, %" PRIu64 " states passed\n",
               path, i, r.calls, r.states);
        states += (int64_t)r.states;
    }
    return states;
}

static int crash_files(char **paths, int count, const struct campaign_options *o,
                       const char *program)
{
    int64_t states = 0;
    for (int i = 0; i < count; i++) {
        struct schedule s;
        if (!load(&s, paths[i])) {
            return 2;
        }
        int64_t passed = crash_members(&s, paths[i], o, program);
        schedule_deinit(&s);
        if (passed < 0) {
            return 1;
        }
        states += passed;
    }
    if (count == 0) {
        fprintf(stderr, "sim: --crash-points needs schedules\n");
        return 2;
    }
    printf("sim: crash points of %d workloads, %" PRId64 " states passed\n", count, states);
    return 0;
}

static bool is_number(const char *text)
{
    return strspn(text, "0123456789") == strlen(text);
}

static int shrink_one(const char *what, const char *out_path)
{
    struct schedule s;
    struct verdict v;
    if (is_number(what)) {
        schedule_draw(&s, strtoull(what, NULL, 10));
    } else if (!load(&s, what)) {
        return 2;
    }
    campaign_run_one(&s, false, &v);
    if (!v.failed) {
        printf("%s does not fail\n", what);
        schedule_deinit(&s);
        return 2;
    }
    printf("%s fails: %s: %s; %" PRIu32 " items\n", what, v.id, v.text, s.item_count);
    shrink(&s, v.id, SHRINK_RUNS_MAX);
    campaign_run_one(&s, false, &v);
    printf("%s: %s\n", v.id, v.text);
    FILE *out = out_path != NULL ? fopen(out_path, "w") : stdout;
    if (out != NULL) {
        fprintf(out, "# %s: %.100s\n", v.id, v.text);
        schedule_save(&s, out);
    }
    if (out != NULL && out != stdout) {
        fclose(out);
        printf("saved: %s\n", out_path);
    }
    schedule_deinit(&s);
    return 0;
}

enum choice {
    SEEDS = 1,
    FIRST,
    JOBS,
    QUIET,
    TWICE,
    SEED,
    TRACE,
    REPLAY,
    CRASH_POINTS,
    CRASH,
    SAVE,
    SHRINK,
    OUT
};

static const struct option options[] = {
    {"seeds", required_argument, NULL, SEEDS}, {"first", required_argument, NULL, FIRST},
    {"jobs", required_argument, NULL, JOBS},   {"quiet", no_argument, NULL, QUIET},
    {"twice", no_argument, NULL, TWICE},       {"seed", required_argument, NULL, SEED},
    {"trace", no_argument, NULL, TRACE},       {"replay", no_argument, NULL, REPLAY},
    {"save", required_argument, NULL, SAVE},   {"shrink", required_argument, NULL, SHRINK},
    {"out", required_argument, NULL, OUT},     {"crash-points", no_argument, NULL, CRASH_POINTS},
    {"crash", required_argument, NULL, CRASH}, {0},
};

struct arguments {
    struct campaign_options campaign;
    const char *seed;
    const char *save;
    const char *shrink;
    const char *out;
    const char *crash;
    bool trace;
    bool replay;
    bool crash_points;
};

static bool parse(struct arguments *a, int argc, char **argv)
{
    int choice;
    while ((choice = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (choice) {
        case SEEDS:
            a->campaign.seeds = strtoull(optarg, NULL, 10);
            break;
        case FIRST:
            a->campaign.first_seed = strtoull(optarg, NULL, 10);
            break;
        case JOBS:
            a->campaign.jobs = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case QUIET:
            a->campaign.quiet = true;
            break;
        case TWICE:
            a->campaign.twice = true;
            break;
        case SEED:
            a->seed = optarg;
            break;
        case TRACE:
            a->trace = true;
            break;
        case REPLAY:
            a->replay = true;
            break;
        case CRASH_POINTS:
            a->crash_points = true;
            break;
        case CRASH:
            a->crash = optarg;
            break;
        case SAVE:
            a->save = optarg;
            break;
        case SHRINK:
            a->shrink = optarg;
            break;
        case OUT:
            a->out = optarg;
            break;
        default:
            return false;
        }
    }
    return a->campaign.jobs >= 1 && a->campaign.jobs <= 64;
}

int main(int argc, char **argv)
{
    struct arguments a = {.campaign = {.first_seed = 1,
                                       .seeds = 1000,
                                       .jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)}};
    log_init(&(struct log_options){.level = getenv("SIM_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "sim"});
    if (!parse(&a, argc, argv)) {
        fprintf(stderr, "sim: see the head of sim/sim.c for its options\n");
        return 2;
    }
    if (a.shrink != NULL) {
        return shrink_one(a.shrink, a.out);
    }
    if (a.replay) {
        return replay_files(argv + optind, argc - optind, a.crash, a.trace, argv[0]);
    }
    if (a.crash_points) {
        return crash_files(argv + optind, argc - optind, &a.campaign, argv[0]);
    }
    struct schedule s;
    if (a.save != NULL) {
        schedule_draw(&s, strtoull(a.save, NULL, 10));
        schedule_save(&s, stdout);
        schedule_deinit(&s);
        return 0;
    }
    if (a.seed != NULL) {
        char what[64];
        snprintf(what, sizeof(what), "--seed %s", a.seed);
        schedule_draw(&s, strtoull(a.seed, NULL, 10));
        return run_one(&s, a.trace, argv[0], what);
    }
    return run_campaign(&a.campaign, argv[0]);
}
