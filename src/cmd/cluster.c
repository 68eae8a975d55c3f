/* cmd/cluster.c - several members on this machine: the short verbs and the table of all. */
#include "base/mem.h"
#include "client/client.h"
#include "cluster/log_tail.h"
#include "cmd/client_verb.h"
#include "cmd/cluster_verb.h"
#include "cmd/member_table.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLLOW_MS  100
#define RUN_END_MS 20000

volatile sig_atomic_t cluster_interrupted = 0;

/* --- shared ----------------------------------------------------------------------------------- */

static void on_signal(int signal_number)
{
    (void)signal_number;
    cluster_interrupted = 1;
}

void cluster_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

int cluster_complain(const struct options *o, enum status status, char *detail)
{
    verb_complain(o, "%s", detail != NULL ? detail : status_text(status));
    mem_free(detail);
    return status_exit_code(status);
}

static struct manager_options wanted_cluster(const struct options *o)
{
    return (struct manager_options){
        .dir = options_text(o, CLUSTER_DIR),
        .nodes = (uint32_t)options_number(o, CLUSTER_NODES),
        .base_port = (uint16_t)options_number(o, CLUSTER_BASE_PORT),
    };
}

int cluster_make(const struct options *o, struct manager **m)
{
    const struct manager_options options = wanted_cluster(o);
    char *detail = NULL;
    enum status status = manager_create(&options, m, &detail);
    return status == STATUS_OK ? EXIT_DONE : cluster_complain(o, status, detail);
}

int cluster_find(const struct options *o, struct manager **m)
{
    const struct manager_options options = wanted_cluster(o);
    char *detail = NULL;
    enum status status = manager_open(&options, m, &detail);
    if (status == STATUS_NOT_FOUND) {
        cluster_complain(o, status, detail);
        return EXIT_VERDICT;
    }
    return status == STATUS_OK ? EXIT_DONE : cluster_complain(o, status, detail);
}

char *cluster_dir_flag(const struct options *o)
{
    return options_is_given(o, CLUSTER_DIR) ? mem_printf(" --dir %s", options_text(o, CLUSTER_DIR))
                                            : mem_strdup("");
}

static const char *state_text(const struct process *p)
{
    switch (process_state_of(p)) {
    case PROCESS_RUNNING:
        return "running";
    case PROCESS_PAUSED:
        return "paused";
    default:
        return "stopped";
    }
}

/* --- status ----------------------------------------------------------------------------------- */

/* GET /cluster from the first member that answers; the answer's json is NULL when none does. */
static void ask_members(const struct manager *m, struct client_answer *a)
{
    const struct client_request request = {.method = "GET", .target = "/cluster"};
    for (uint32_t i = 0; i < m->count; i++) {
        if (process_state_of(&m->members[i].process) == PROCESS_RUNNING &&
            client_ask(m->members[i].url, &request, 1500, a) == STATUS_OK) {
            return;
        }
    }
    client_answer_deinit(a);
}

static void print_members(const struct manager *m, const json_t *answer)
{
    static const char *const heading[] = {"NAME", "URL", "ROLE", "TERM", "LAG", "PID", "STATE"};
    struct table t = {0};
    table_add(&t, heading, 7);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct manager_member *member = &m->members[i];
        bool is_alive = process_state_of(&member->process) != PROCESS_GONE;
        const json_t *entry = member_table_find(answer, member->name);
        struct member_texts texts = {0};
        if (entry != NULL) {
            member_table_texts(entry, &texts);
        }
        char pid[24];
        snprintf(pid, sizeof(pid), "%ld", (long)member->process.pid);
        const char *const cells[] = {member->name,
                                     member->url,
                                     texts.role,
                                     texts.term[0] != '\0' ? texts.term : NULL,
                                     texts.lag[0] != '\0' ? texts.lag : NULL,
                                     is_alive ? pid : NULL,
                                     state_text(&member->process)};
        table_add(&t, cells, 7);
    }
    table_print(&t, stdout);
}

static int show_status(const struct options *o, const struct manager *m)
{
    struct client_answer a = {0};
    ask_members(m, &a);
    print_members(m, a.json);
    int code = EXIT_DONE;
    for (uint32_t i = 0; i < m->count; i++) {
        if (process_state_of(&m->members[i].process) != PROCESS_RUNNING) {
            code = EXIT_VERDICT;
        }
    }
    if (member_table_summary(a.json).leader == NULL) {
        verb_complain(o, "no member leads");
        code = EXIT_VERDICT;
    }
    client_answer_deinit(&a);
    return code;
}

static int run_status(struct options *o)
{
    struct manager *m;
    int code = cluster_find(o, &m);
    if (code == EXIT_DONE) {
        code = show_status(o, m);
        manager_destroy(m);
    }
    return code;
}

/* --- start and stop --------------------------------------------------------------------------- */

/* The last lines of a member that ended: they say why. */
static void show_last_words(const struct manager *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (process_state_of(&m->members[i].process) != PROCESS_GONE) {
            continue;
        }
        char *path = manager_log_path(m, i);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            char text[1024];
            fseek(file, 0, SEEK_END);
            long size = ftell(file);
            fseek(file, size > 1000 ? size - 1000 : 0, SEEK_SET);
            size_t got = fread(text, 1, sizeof(text) - 1, file);
            text[got] = '\0';
            const char *start = size > 1000 && strchr(text, '\n') ? strchr(text, '\n') + 1 : text;
            fprintf(stderr, "--- the end of %s:\n%s", path, start);
            fclose(file);
        }
        mem_free(path);
    }
}

static int start_locked(struct options *o, struct manager *m)
{
    char *detail = NULL;
    if (manager_refresh(m) == m->count) {
        verb_complain(o, "the cluster in %s runs already", m->dir);
        if (options_is_on(o, CLUSTER_FAULTS) && !m->enable_faults) {
            return verb_refuse(o, "--enable-faults counts when members start; stop them first");
        }
        return show_status(o, m);
    }
    enum status status = manager_check_ports(m, &detail);
    if (status == STATUS_OK) {
        status = manager_set_faults(m, options_is_on(o, CLUSTER_FAULTS), &detail);
    }
    if (status == STATUS_OK) {
        status = manager_start(m, &detail);
    }
    int leader;
    if (status == STATUS_OK) {
        fprintf(stderr, "Starting %u members in %s ...\n", m->count, m->dir);
        status = manager_await_leader(m, MANAGER_FORM_MS, &cluster_interrupted, &leader, &detail);
    }
    if (status == STATUS_OK) {
        char *dir = cluster_dir_flag(o);
        int code = show_status(o, m);
        static const char *const next[] = {"status", "logs node-1", "kill leader", "restart node-1",
                                           "stop"};
        fprintf(stderr, "They run in the background. What to do with them:\n");
        for (size_t i = 0; i < sizeof(next) / sizeof(next[0]); i++) {
            fprintf(stderr, "  %s cluster %s%s\n", verb_program(), next[i], dir);
        }
        mem_free(dir);
        return code;
    }
    if (status == STATUS_NOT_FOUND) {
        show_last_words(m);
    }
    if (status != STATUS_BUSY) {
        manager_stop(m);
    }
    cluster_complain(o, status, detail);
    return status == STATUS_BUSY ? EXIT_USAGE : EXIT_VERDICT;
}

static int run_start(struct options *o)
{
    struct manager *m;
    char *detail = NULL;
    cluster_catch_signals();
    int code = cluster_make(o, &m);
    if (code != EXIT_DONE) {
        return code;
    }
    enum status status = manager_lock(m, &detail);
    code = status == STATUS_OK ? start_locked(o, m) : cluster_complain(o, status, detail);
    manager_destroy(m);
    return code;
}

/* `run` stops its members itself; ask it, and wait. */
static void stop_watcher(const struct manager *m)
{
    char *path = manager_run_pid_path(m);
    struct process watcher = process_load(path);
    if (process_signal(&watcher, SIGTERM)) {
        process_wait(&watcher, RUN_END_MS);
    }
    unlink(path);
    mem_free(path);
}

static int stop_locked(const struct options *o, struct manager *m)
{
    if (manager_stop(m)) {
        return EXIT_DONE;
    }
    verb_complain(o, "a member did not stop within %d s, or not cleanly", MANAGER_STOP_MS / 1000);
    return EXIT_VERDICT;
}

static int run_stop(struct options *o)
{
    struct manager *m;
    char *detail = NULL;
    int code = cluster_find(o, &m);
    if (code != EXIT_DONE) {
        return code;
    }
    uint32_t living = manager_refresh(m);
    stop_watcher(m);
    enum status status = manager_lock(m, &detail);
    code = status == STATUS_OK ? stop_locked(o, m) : cluster_complain(o, status, detail);
    if (status == STATUS_OK && living > 0) {
        fprintf(stderr, "%u member%s stopped.\n", living, living == 1 ? "" : "s");
    } else if (status == STATUS_OK) {
        fprintf(stderr, "No member was running.\n");
    }
    manager_destroy(m);
    return code;
}

/* --- one member ------------------------------------------------------------------------------- */

int cluster_find_member(struct options *o, struct manager **m, uint32_t *i)
{
    int code = cluster_find(o, m);
    if (code != EXIT_DONE) {
        return code;
    }
    char *detail = NULL;
    enum status status = manager_find(*m, o->arguments[0], i, &detail);
    if (status == STATUS_OK) {
        return EXIT_DONE;
    }
    manager_destroy(*m);
    cluster_complain(o, status, detail);
    return status == STATUS_NOT_LEADER ? status_exit_code(status) : EXIT_USAGE;
}

static int signal_member(struct options *o, int signal_number, const char *done)
{
    struct manager *m;
    uint32_t i;
    int code = cluster_find_member(o, &m, &i);
    if (code != EXIT_DONE) {
        return code;
    }
    struct manager_member *member = &m->members[i];
    if (!process_signal(&member->process, signal_number)) {
        verb_complain(o, "%s does not run", member->name);
        code = EXIT_VERDICT;
    } else if (signal_number == SIGKILL && !process_wait(&member->process, MANAGER_STOP_MS)) {
        verb_complain(o, "%s does not end", member->name);
        code = EXIT_VERDICT;
    } else {
        fprintf(stderr, "%s %s\n", member->name, done);
    }
    manager_destroy(m);
    return code;
}

static int run_kill(struct options *o)
{
    return signal_member(o, SIGKILL, "was killed (-9). Bring it back with `cluster restart`.");
}

static int run_pause(struct options *o)
{
    return signal_member(o, SIGSTOP, "is frozen. Wake it with `cluster resume`.");
}

static int run_resume(struct options *o)
{
    return signal_member(o, SIGCONT, "goes on.");
}

static int restart_locked(struct options *o, struct manager *m, uint32_t i)
{
    struct manager_member *member = &m->members[i];
    char *detail = NULL;
    process_stop(&member->process, MANAGER_STOP_MS);
    enum status status = manager_check_ports(m, &detail);
    if (status == STATUS_OK) {
        status = manager_start_member(m, i, &detail);
    }
    if (status != STATUS_OK) {
        return cluster_complain(o, status, detail);
    }
    fprintf(stderr, "%s starts, pid %ld\n", member->name, (long)member->process.pid);
    return EXIT_DONE;
}

static int run_restart(struct options *o)
{
    struct manager *m;
    uint32_t i;
    char *detail = NULL;
    int code = cluster_find_member(o, &m, &i);
    if (code != EXIT_DONE) {
        return code;
    }
    enum status status = manager_lock(m, &detail);
    code = status == STATUS_OK ? restart_locked(o, m, i) : cluster_complain(o, status, detail);
    manager_destroy(m);
    return code;
}

enum { LOGS_FOLLOW = CLUSTER_ROWS, LOGS_ROWS };

static void print_line(void *context, struct slice line)
{
    (void)context;
    fwrite(line.data, 1, line.size, stdout);
    putchar('\n');
}

static int run_logs(struct options *o)
{
    struct manager *m;
    uint32_t i;
    int code = cluster_find_member(o, &m, &i);
    if (code != EXIT_DONE) {
        return code;
    }
    char *path = manager_log_path(m, i);
    struct log_tail tail;
    if (!log_tail_open(&tail, path, true)) {
        verb_complain(o, "%s cannot be read", path);
        code = EXIT_VERDICT;
    } else {
        if (options_is_on(o, LOGS_FOLLOW)) {
            cluster_catch_signals();
        }
        do {
            log_tail_poll(&tail, print_line, NULL);
            fflush(stdout);
            if (options_is_on(o, LOGS_FOLLOW) && cluster_interrupted == 0) {
                client_sleep_ms(FOLLOW_MS);
            }
        } while (options_is_on(o, LOGS_FOLLOW) && cluster_interrupted == 0 && !ferror(stdout));
    }
    log_tail_close(&tail);
    mem_free(path);
    manager_destroy(m);
    return code;
}

/* --- the table -------------------------------------------------------------------------------- */

static const struct option cluster_rows[] = {CLUSTER_ROWS_TABLE};
static const struct option start_rows[] = {
    CLUSTER_ROWS_TABLE,
    [CLUSTER_FAULTS] = {.name = "enable-faults",
                        .type = OPTION_BOOL,
                        .meaning = "start them with --enable-faults, for `conclave chaos "
                                   "--simulate`",
                        .fallback = "false"},
};
static const struct option change_rows[] = {
    CLUSTER_ROWS_TABLE,
    CLIENT_USER_ROWS(CLUSTER_USER),
};
static const struct option logs_rows[] = {
    CLUSTER_ROWS_TABLE,
    [LOGS_FOLLOW] = {.name = "follow",
                     .letter = 'f',
                     .type = OPTION_BOOL,
                     .meaning = "go on with what is added, until Ctrl-C",
                     .fallback = "false"},
};

#define CLUSTER_OPTIONS .options = cluster_rows, .option_count = CLUSTER_ROWS
#define START_OPTIONS   .options = start_rows, .option_count = CLUSTER_START_ROWS
#define CHANGE_OPTIONS                                                                             \
    .options = change_rows, .option_count = CLUSTER_CHANGE_ROWS, .prepare = prepare_change
#define NODE_ARGUMENT .arguments = "NODE", .arguments_min = 1, .arguments_max = 1

static int prepare_change(struct options *o)
{
    return client_verb_identify(o, CLUSTER_USER);
}

static const struct verb verbs[] = {
    {.name = "run",
     .summary = "start all members and watch over them, in the foreground",
     .details = "Shows the logs of all members; Ctrl-C stops them, followers first.\n",
     .examples = "  conclave cluster run\n  conclave cluster run --nodes 5 --base-port 5001 --dir "
                 "./five\n",
     START_OPTIONS,
     .run = cluster_run},
    {.name = "start",
     .summary = "start all members in the background",
     .details = "Members that run already go on. Exit code 0 once one of them leads.\n",
     .examples = "  conclave cluster start\n  conclave cluster start --enable-faults\n",
     START_OPTIONS,
     .run = run_start},
    {.name = "stop",
     .summary = "stop all members, the leader last; their data stays",
     .examples = "  conclave cluster stop\n",
     CLUSTER_OPTIONS,
     .run = run_stop},
    {.name = "status",
     .summary = "show the members and their processes",
     .details = "Exit code 0: all run and one leads; 1: not so.\n",
     .examples = "  conclave cluster status\n",
     CLUSTER_OPTIONS,
     .run = run_status},
    {.name = "demo",
     .summary = "play the story: form, write, lose the leader, lose nothing",
     .details = "In a temporary directory and on free ports, so that it meets no other cluster.\n"
                "On a terminal it waits for Enter between the steps.\n",
     .examples =
         "  conclave cluster demo\n  conclave cluster demo </dev/null   # straight through\n",
     .run = cluster_demo},
    {.name = "kill",
     NODE_ARGUMENT,
     .summary = "kill a member with -9, as a crash would",
     .examples = "  conclave cluster kill leader\n",
     CLUSTER_OPTIONS,
     .run = run_kill},
    {.name = "pause",
     NODE_ARGUMENT,
     .summary = "freeze a member",
     .examples = "  conclave cluster pause node-2\n",
     CLUSTER_OPTIONS,
     .run = run_pause},
    {.name = "resume",
     NODE_ARGUMENT,
     .summary = "wake a frozen member",
     .examples = "  conclave cluster resume node-2\n",
     CLUSTER_OPTIONS,
     .run = run_resume},
    {.name = "restart",
     NODE_ARGUMENT,
     .summary = "stop a member if it runs, and start it",
     .examples = "  conclave cluster restart node-1\n",
     CLUSTER_OPTIONS,
     .run = run_restart},
    {.name = "add",
     .summary = "one more member, which joins while the others work",
     .details = "Returns once it has received everything and votes.\n",
     .examples = "  conclave cluster add\n",
     CHANGE_OPTIONS,
     .run = cluster_add},
    {.name = "remove",
     NODE_ARGUMENT,
     .summary = "take a member out for good",
     .examples = "  conclave cluster remove node-4\n",
     CHANGE_OPTIONS,
     .run = cluster_remove},
    {.name = "logs",
     NODE_ARGUMENT,
     .summary = "print what a member has logged",
     .examples = "  conclave cluster logs node-1\n  conclave cluster logs leader -f\n",
     .options = logs_rows,
     .option_count = LOGS_ROWS,
     .run = run_logs},
};

const struct verb verb_cluster = {
    .name = "cluster",
    .summary = "run several members on this machine",
    .details =
        "Members are node-1, node-2 ... on ports from --base-port, each a process of its own.\n"
        "NODE is a member's name, or leader. A cluster is made with --nodes members; `add` and\n"
        "`remove` change that while it works.\n",
    .children = verbs,
    .child_count = sizeof(verbs) / sizeof(verbs[0]),
};
