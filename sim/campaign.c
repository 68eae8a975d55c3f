#include "campaign.h"

#include "base/check.h"
#include "base/mem.h"
#include "story.h"
#include "watch_memory.h"

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX    64
/* Time of the processor that one schedule may take. */
#define SECONDS_MAX 120
/* What a worker does not give back to the kernel. */
#define KEPT_BYTES  (256 << 20)

/* What a worker tells; shared memory. */
struct worker {
    pid_t pid;
    uint64_t seeds_done;
    uint64_t stories;
    uint64_t events;
    uint64_t hash;
    struct verdict verdict; /* of the schedule that it runs */
    struct coverage coverage;
};

static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static uint64_t real_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_signal(int number)
{
    verdict_fail(number == SIGVTALRM ? "HANG" : "CRASH", "signal %d", number);
}

/* Of its own work: whoever is stopped for a while, or has little of the machine, does not hang. */
static void limit_seconds(time_t seconds)
{
    const struct itimerval limit = {.it_value = {.tv_sec = seconds}};
    CHECK(setitimer(ITIMER_VIRTUAL, &limit, NULL) == 0);
}

static void watch_signals(void)
{
    signal(SIGVTALRM, on_signal);
    signal(SIGSEGV, on_signal);
    signal(SIGABRT, on_signal);
}

/* A process that died without a word. */
static void note_death(struct verdict *v, int status)
{
    if (!v->failed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        v->failed = true;
        snprintf(v->id, sizeof(v->id), "DIED");
        snprintf(v->text, sizeof(v->text), "the process ended with status %d", status);
    }
}

/* --- one worker ------------------------------------------------------------------------------- */

uint64_t campaign_play(const struct schedule *s, uint64_t number, struct verdict *v)
{
    int64_t before = watch_memory_blocks();
    verdict_begin(v, number, false);
    limit_seconds(SECONDS_MAX);
    story_run(s, v);
    limit_seconds(0);
    int64_t left = watch_memory_blocks() - before;
    static bool is_warm; /* the first story makes a buffer that stays */
    if (is_warm && v->leaks == 0 && left > 0) {
        verdict_fail("I19", "%" PRId64 " blocks of memory are left when everybody is gone", left);
    }
    is_warm = true;
    return v->hash;
}

/* Asking the kernel for the same memory again in every story takes a fifth of the time. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_TOP_PAD, 1 << 20);
}

static uint64_t run_number(const struct campaign_options *o, uint64_t number, struct verdict *v,
                           uint64_t *stories)
{
    if (o->play != NULL) {
        return o->play(o->context, number, v, stories);
    }
    struct schedule s;
    schedule_draw(&s, number);
    uint64_t hash = campaign_play(&s, number, v);
    schedule_deinit(&s);
    *stories += 1;
    return hash;
}

static void work(const struct campaign_options *o, struct worker *w, uint32_t number)
{
    watch_signals();
    keep_memory();
    coverage_begin(&w->coverage);
    for (uint64_t i = number; i < o->seeds; i += o->jobs) {
        uint64_t seed = o->first_seed + i;
        uint64_t hash = run_number(o, seed, &w->verdict, &w->stories);
        w->events += w->verdict.events;
        w->hash += hash * (2 * seed + 1);
        uint64_t again = 0;
        if ((o->twice || seed % 100 == 0) && run_number(o, seed, &w->verdict, &again) != hash) {
            verdict_fail("HASH", "the same seed went another way the second time");
        }
        w->seeds_done++;
    }
}

/* --- all of them ------------------------------------------------------------------------------ */

static void show_progress(const struct campaign_options *o, const struct worker *workers,
                          uint64_t begun_ms, bool is_end)
{
    uint64_t done = 0;
    uint64_t events = 0;
    for (uint32_t i = 0; i < o->jobs; i++) {
        done += workers[i].seeds_done;
        events += workers[i].events;
    }
    double seconds = (double)(real_ms() - begun_ms + 1) / 1000;
    if (!o->quiet && (is_end || isatty(STDOUT_FILENO))) {
        printf("\r%" PRIu64 " of %" PRIu64 " %s, %.0f a second, %.0f events each%s", done, o->seeds,
               o->play != NULL ? "crash points" : "schedules", (double)done / seconds,
               done > 0 ? (double)events / (double)done : 0.0, is_end ? "\n" : "   ");
        fflush(stdout);
    }
}

static void stop_others(const struct campaign_options *o, struct worker *workers)
{
    for (uint32_t i = 0; i < o->jobs; i++) {
        if (workers[i].pid > 0) {
            kill(workers[i].pid, SIGKILL);
        }
    }
}

static void wait_for_all(const struct campaign_options *o, struct worker *workers,
                         uint64_t begun_ms)
{
    uint32_t running = o->jobs;
    bool is_stopped = false;
    while (running > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            usleep(20000);
            show_progress(o, workers, begun_ms, false);
            continue;
        }
        for (uint32_t i = 0; i < o->jobs; i++) {
            if (workers[i].pid == pid) {
                workers[i].pid = 0;
                running--;
                if (!is_stopped) { /* else it was told to end */
                    note_death(&workers[i].verdict, status);
                }
                if (workers[i].verdict.failed) {
                    is_stopped = true;
                    stop_others(o, workers);
                }
            }
        }
    }
}

static void gather(const struct campaign_options *o, const struct worker *workers,
                   struct campaign_result *result)
{
    for (uint32_t i = 0; i < o->jobs; i++) {
        const struct worker *w = &workers[i];
        result->seeds_done += w->seeds_done;
        result->stories += w->stories;
        result->events += w->events;
        result->hash += w->hash;
        coverage_add(&result->coverage, &w->coverage);
        if (w->verdict.failed &&
            (!result->failure.failed || w->verdict.seed < result->failure.seed)) {
            result->failure = w->verdict;
        }
    }
}

void campaign_run(const struct campaign_options *o, struct campaign_result *result)
{
    CHECK(o->jobs >= 1 && o->jobs <= JOBS_MAX);
    *result = (struct campaign_result){0};
    struct worker *workers = shared(o->jobs * sizeof(*workers));
    uint64_t begun_ms = real_ms();
    fflush(stdout);
    for (uint32_t i = 0; i < o->jobs; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            work(o, &workers[i], i);
            _exit(0);
        }
        workers[i].pid = pid;
    }
    wait_for_all(o, workers, begun_ms);
    show_progress(o, workers, begun_ms, true);
    result->ms = real_ms() - begun_ms;
    gather(o, workers, result);
    munmap(workers, o->jobs * sizeof(*workers));
}

void campaign_run_one(const struct schedule *s, bool trace, struct verdict *v)
{
    struct verdict *told = shared(sizeof(*told));
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        watch_signals();
        verdict_begin(told, s->seed, trace);
        limit_seconds(SECONDS_MAX);
        story_run(s, told);
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    note_death(told, status);
    *v = *told;
    munmap(told, sizeof(*told));
}
