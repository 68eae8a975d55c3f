/* cmd/monitor.c - all members on one screen, looked at again and again.
 *
 * One thread looks at the cluster, which may take as long as a frozen member is waited for; the
 * other one draws, and answers keys and signals at once. */
#include "base/mem.h"
#include "client/client.h"
#include "client/cluster_view.h"
#include "cmd/client_verb.h"
#include "cmd/monitor_frame.h"
#include "cmd/screen.h"
#include "cmd/verbs.h"

#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MONITOR_INTERVAL = CLIENT_OUTPUT, MONITOR_ONCE, MONITOR_ROWS };

#define WAIT_MS       100
#define PLAIN_COLUMNS 100 /* where stdout is no terminal */

static const struct option rows[] = {
    CLIENT_CALL_ROWS("how long a member may take to answer", "1500ms"),
    [MONITOR_INTERVAL] = {.name = "interval",
                          .type = OPTION_DURATION,
                          .unit = "DURATION",
                          .meaning = "from one look at the members to the next",
                          .fallback = "1s",
                          .min = 100,
                          .max = 3600000},
    [MONITOR_ONCE] = {.name = "once",
                      .type = OPTION_BOOL,
                      .meaning = "print one frame and leave, as without a terminal"},
};

/* --- the thread that looks -------------------------------------------------------------------- */

struct watcher {
    const char *const *endpoints;
    uint32_t endpoint_count;
    uint32_t timeout_ms;
    uint32_t interval_ms;
    struct cluster_view own; /* the thread's */
    pthread_mutex_t mutex;   /* of what follows */
    struct cluster_view view;
    uint64_t looks; /* how many there were */
};

static void *watch(void *context)
{
    struct watcher *w = context;
    for (;;) {
        uint64_t begun_ms = client_now_ms();
        cluster_view_refresh(&w->own, w->endpoints, w->endpoint_count, w->timeout_ms);
        pthread_mutex_lock(&w->mutex);
        w->view = w->own;
        w->looks++;
        pthread_mutex_unlock(&w->mutex);
        uint64_t took_ms = client_now_ms() - begun_ms;
        if (took_ms < w->interval_ms) {
            client_sleep_ms((uint32_t)(w->interval_ms - took_ms));
        }
    }
    return NULL;
}

/* Signals are for the thread that draws. */
static bool start_watcher(struct watcher *w)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(&thread, NULL, watch, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started && pthread_detach(thread) == 0;
}

/* --- the thread that draws -------------------------------------------------------------------- */

static volatile sig_atomic_t is_told_to_end;

static void on_end_signal(int number)
{
    (void)number;
    is_told_to_end = 1;
}

/* Before the screen is opened: ncurses has handlers of its own for whoever has none. */
static void catch_end_signals(void)
{
    struct sigaction action = {.sa_handler = on_end_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static time_t wall_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static const char *asked_text(const struct options *o)
{
    return options_is_given(o, CLIENT_ENDPOINTS) ? options_text(o, CLIENT_ENDPOINTS)
                                                 : "127.0.0.1:4000 to :4003";
}

static bool is_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static void draw(const struct options *o, const struct monitor_log *log, struct canvas *f)
{
    uint32_t columns;
    struct monitor_look look = {.is_utf8 = is_utf8(),
                                .wall = wall_now(),
                                .asked = asked_text(o),
                                .footer = "q or Ctrl-C leaves"};
    screen_size(&columns, &look.rows);
    canvas_init(f, columns);
    monitor_frame_make(f, log, &look);
    screen_draw(f);
    canvas_deinit(f);
}

/* True when there was a look that `log` does not know yet. */
static bool take_news(struct watcher *w, uint64_t *looks, struct monitor_log *log)
{
    pthread_mutex_lock(&w->mutex);
    bool is_new = w->looks != *looks;
    if (is_new) {
        *looks = w->looks;
        monitor_log_note(log, &w->view, client_now_ms(), wall_now());
    }
    pthread_mutex_unlock(&w->mutex);
    return is_new;
}

static void watch_and_draw(const struct options *o, struct watcher *w)
{
    struct monitor_log *log = mem_calloc(1, sizeof(*log));
    struct canvas *f = mem_calloc(1, sizeof(*f));
    uint64_t looks = 0;
    time_t drawn = 0;
    enum screen_key key = SCREEN_NOTHING;
    while (is_told_to_end == 0 && key != SCREEN_QUIT) {
        bool is_new = take_news(w, &looks, log);
        bool is_due = is_new || key == SCREEN_RESIZED || wall_now() != drawn;
        if (is_due && looks > 0) {
            draw(o, log, f);
            drawn = wall_now();
        }
        key = screen_wait(WAIT_MS);
    }
    mem_free(f);
    mem_free(log);
}

/* The watcher is left behind at the end: it may be waiting for a frozen member, and whoever wants
 * to leave may not wait with it. So nothing that it uses is freed, and no handler of exit() runs
 * beside it. */
static void leave(int code)
{
    fflush(NULL);
    _exit(code);
}

static int run_on_terminal(struct options *o)
{
    catch_end_signals();
    if (!screen_open(output_has_color(stdout))) {
        return verb_refuse(o, "this terminal cannot be used (TERM); --once prints one frame");
    }
    struct watcher *w = mem_calloc(1, sizeof(*w));
    pthread_mutex_init(&w->mutex, NULL);
    w->endpoints = client_verb_endpoints(o, &w->endpoint_count);
    w->timeout_ms = (uint32_t)options_number(o, CLIENT_TIMEOUT);
    w->interval_ms = (uint32_t)options_number(o, MONITOR_INTERVAL);
    if (start_watcher(w)) {
        watch_and_draw(o, w);
        screen_close();
        leave(EXIT_DONE);
    }
    screen_close();
    mem_free(w);
    verb_complain(o, "the system has no thread left");
    return EXIT_VERDICT;
}

/* --- one frame -------------------------------------------------------------------------------- */

static int print_once(struct options *o)
{
    struct cluster_view *view = mem_calloc(1, sizeof(*view));
    struct monitor_log *log = mem_calloc(1, sizeof(*log));
    struct canvas *f = mem_calloc(1, sizeof(*f));
    uint32_t count;
    const char *const *endpoints = client_verb_endpoints(o, &count);
    cluster_view_refresh(view, endpoints, count, (uint32_t)options_number(o, CLIENT_TIMEOUT));
    int code = EXIT_DONE;
    if (view->answered == 0) {
        code = client_verb_unreachable(o);
    } else {
        const struct monitor_look look = {
            .is_utf8 = is_utf8(), .wall = wall_now(), .asked = asked_text(o)};
        monitor_log_note(log, view, client_now_ms(), look.wall);
        canvas_init(f, PLAIN_COLUMNS);
        monitor_frame_make(f, log, &look);
        canvas_print(f, output_has_color(stdout), stdout);
        canvas_deinit(f);
    }
    mem_free(f);
    mem_free(log);
    mem_free(view);
    return code;
}

static int run_monitor(struct options *o)
{
    setlocale(LC_CTYPE, "");
    if (options_is_on(o, MONITOR_ONCE) || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        return print_once(o);
    }
    return run_on_terminal(o);
}

const struct verb verb_monitor = {
    .name = "monitor",
    .summary = "watch all members on one screen",
    .details = "Shows who leads, every member's role, term, lag and load, how fast the store "
               "changes, and\n"
               "what happened while it ran. Members that die or freeze do not stop it. q or Ctrl-C "
               "leaves.\n"
               "Without a terminal, or with --once, it prints one frame; exit code 8 when nobody "
               "answers.\n",
    .examples = "  conclave monitor\n"
                "  conclave monitor --once --endpoints http://10.0.0.1:4000\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = client_verb_prepare,
    .run = run_monitor,
};
