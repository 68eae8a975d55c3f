/* cmd/lock_verbs.c - hold a lock, or lead an election, for as long as a command runs or until a
 * signal: `lock` and `elect` are the same but for the value of the key and the words.
 *
 * One thread decides. What may happen while it waits are things to read: signals, the end of the
 * lease (client/lease_session.h, whose thread keeps it alive) and the end of the user's patience.
 *
 *     grant a lease -> enter -> wait for the turn -> hold: run the command -> revoke the lease
 *                        |________________|_____________|
 *                         lost, or a signal: never told as done */
#include "base/check.h"
#include "base/mem.h"
#include "client/json_text.h"
#include "client/lease_session.h"
#include "client/turn_queue.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURN_TTL = CLIENT_ROWS, TURN_WAIT, TURN_VALUE, TURN_ROWS };

#define TURN_OPTION_ROWS                                                                           \
    CLIENT_OPTION_ROWS_WITH("give up when a request is not answered in this time", "5s"),          \
        [TURN_TTL] = {.name = "ttl",                                                               \
                      .type = OPTION_DURATION,                                                     \
                      .unit = "DURATION",                                                          \
                      .meaning = "when this program dies, the next one has its turn after it",     \
                      .fallback = "10s",                                                           \
                      .min = 1000,                                                                 \
                      .max = 86400000},                                                            \
        [TURN_WAIT] = {.name = "wait",                                                             \
                       .type = OPTION_DURATION,                                                    \
                       .unit = "DURATION",                                                         \
                       .meaning = "give up when the turn has not come; 0s = do not wait",          \
                       .max = 86400000}

static const struct option lock_rows[] = {TURN_OPTION_ROWS};
static const struct option elect_rows[] = {
    TURN_OPTION_ROWS,
    [TURN_VALUE] = {.name = "value",
                    .type = OPTION_TEXT,
                    .unit = "TEXT",
                    .meaning = "what the others read as the leader; if not given, HOST:PID"},
};

/* After SIGTERM, for a command that has lost its lock. */
#define COMMAND_PATIENCE_MS 5000
/* Of a lease in a key, with the slash before it. */
#define LEASE_HEX_BYTES     17
/* What shells say of a command that cannot be run. */
#define EXIT_NOT_RUN        127

struct turn_words {
    const char *prefix; /* of the command's environment */
    const char *what;
};
static const struct turn_words lock_words = {"CONCLAVE_LOCK", "lock"};
static const struct turn_words elect_words = {"CONCLAVE_ELECTION", "election"};

struct turn {
    const struct options *options;
    const struct turn_words *words;
    const char *name;
    char *const *command; /* NULL = none */
    struct lease_session *lease;
    struct turn_queue queue;
    sigset_t mask_before;
    uint64_t began_ms;
    int signal_fd;   /* what a person may send */
    int patience_fd; /* a timer: --wait has passed */
    int wake_fd;     /* any of them, or the lease is lost */
};

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0;
}

static bool is_lost(const struct turn *t)
{
    return is_readable(lease_session_lost_fd(t->lease), 0);
}

/* --- what wakes it ---------------------------------------------------------------------------- */

/* What a person may send, and with_children the end of a command. */
static sigset_t signals_of(bool with_children)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (with_children) {
        sigaddset(&set, SIGCHLD);
    }
    return set;
}

/* Blocked for all threads, so that only signal_fd tells of them. One that is ignored, as under
 * nohup, stays so; but an end of a command that is ignored would leave nothing to wait for. */
static void take_signals(struct turn *t)
{
    const struct sigaction fallback = {.sa_handler = SIG_DFL};
    const sigset_t blocked = signals_of(true);
    const sigset_t told = signals_of(false);
    sigaction(SIGCHLD, &fallback, NULL);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, &t->mask_before) == 0);
    t->signal_fd = signalfd(-1, &told, SFD_NONBLOCK | SFD_CLOEXEC);
    t->patience_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    t->wake_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(t->signal_fd >= 0 && t->patience_fd >= 0 && t->wake_fd > 0);
}

static void add_to_wake(struct turn *t, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(epoll_ctl(t->wake_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* From the beginning of the verb on; at least a moment, for 0 would be never. */
static void start_patience(struct turn *t)
{
    if (!options_is_given(t->options, TURN_WAIT)) {
        return;
    }
    uint64_t end_ms = t->began_ms + options_number(t->options, TURN_WAIT);
    uint64_t now = client_now_ms();
    uint64_t left_ms = end_ms > now ? end_ms - now : 0;
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(left_ms / 1000),
                     .tv_nsec = (long)(left_ms % 1000) * 1000000 + (left_ms == 0)}};
    CHECK(timerfd_settime(t->patience_fd, 0, &at, NULL) == 0);
}

static void close_wakes(struct turn *t)
{
    close(t->signal_fd);
    close(t->patience_fd);
    close(t->wake_fd);
}

/* --- saying what happened --------------------------------------------------------------------- */

static int judge(const struct turn *t, enum status status, const struct client_answer *a)
{
    static const struct client_request request = {.method = "POST"};
    return client_verb_judge(t->options, status, &request, a);
}

static int tell_lost(const struct turn *t, const char *what)
{
    if (lease_session_is_gone(t->lease)) {
        verb_complain(t->options, "%s is lost: its lease has expired or was revoked", what);
    } else {
        verb_complain(t->options,
                      "%s is lost: no member has answered the keep-alives of its lease for %" PRIu32
                      " s",
                      what, lease_session_ttl_s(t->lease));
    }
    return status_exit_code(STATUS_CONFLICT);
}

/* The turn did not come. */
static int tell_why_not(const struct turn *t, enum status status, const struct client_answer *a)
{
    if (status == STATUS_CONFLICT || is_lost(t)) {
        return tell_lost(t, "the place in the queue");
    }
    if (is_readable(t->signal_fd, 0)) {
        return status_exit_code(STATUS_CONFLICT);
    }
    if (is_readable(t->patience_fd, 0)) {
        struct buf held_by = {0};
        output_append_safe(&held_by, buf_slice(&t->queue.before));
        verb_complain(t->options, "gave up: %.*s is before this one in the queue",
                      (int)held_by.size, (const char *)held_by.data);
        buf_deinit(&held_by);
        return status_exit_code(STATUS_CONFLICT);
    }
    return judge(t, status, a);
}

static void print_turn(const struct turn *t)
{
    struct buf key = {0};
    struct buf line = {0};
    bool is_json = client_verb_format(t->options) == OUTPUT_JSON;
    if (is_json) {
        CHECK(json_text_quote(buf_slice(&t->queue.key), &key) == STATUS_OK);
        buf_printf(&line,
                   "{\"key\":%.*s,\"fence\":%" PRIu64 ",\"lease\":\"%" PRIx64 "\",\"ttl\":%" PRIu32
                   "}\n",
                   (int)key.size, (const char *)key.data, t->queue.fence, t->queue.lease,
                   lease_session_ttl_s(t->lease));
    } else if (client_verb_format(t->options) == OUTPUT_RAW) {
        buf_printf(&line, "%.*s\t%" PRIu64 "\n", (int)t->queue.key.size,
                   (const char *)t->queue.key.data, t->queue.fence);
    } else {
        output_append_safe(&key, buf_slice(&t->queue.key));
        buf_printf(&line, "%-8s KEY\n%-8" PRIu64 " %.*s\n", "FENCE", t->queue.fence, (int)key.size,
                   (const char *)key.data);
    }
    fwrite(line.data, 1, line.size, stdout);
    fflush(stdout);
    buf_deinit(&line);
    buf_deinit(&key);
}

/* --- the command ------------------------------------------------------------------------------ */

extern char **environ;

static bool is_ours(const char *variable, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(variable, prefix, size) == 0 && (strncmp(variable + size, "_KEY=", 5) == 0 ||
                                                    strncmp(variable + size, "_FENCE=", 7) == 0);
}

/* Our own environment, with the key and the fence at its begin. The array and the first two are
 * new. */
static char **environment_of(const struct turn *t)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **all = mem_calloc(count + 3, sizeof(*all));
    all[0] = mem_printf("%s_KEY=%.*s", t->words->prefix, (int)t->queue.key.size,
                        (const char *)t->queue.key.data);
    all[1] = mem_printf("%s_FENCE=%" PRIu64, t->words->prefix, t->queue.fence);
    size_t used = 2;
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(environ[i], t->words->prefix)) {
            all[used++] = environ[i];
        }
    }
    return all;
}

/* Runs in the child, between fork and exec: only calls that are safe there. A command without the
 * one that holds its lock must not go on. */
static _Noreturn void become(const struct turn *t, char **environment, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(EXIT_NOT_RUN); /* it ended before the line above took effect */
    }
    sigprocmask(SIG_SETMASK, &t->mask_before, NULL);
    environ = environment;
    execvp(t->command[0], t->command);
    static const char words[] = "conclave: the command cannot be run\n";
    ssize_t ignored = write(STDERR_FILENO, words, sizeof(words) - 1);
    (void)ignored;
    _exit(EXIT_NOT_RUN);
}

/* -1: there is no process to be had. */
static pid_t start_command(const struct turn *t)
{
    const sigset_t told = signals_of(true);
    CHECK(signalfd(t->signal_fd, &told, 0) == t->signal_fd);
    char **environment = environment_of(t);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(t, environment, parent);
    }
    mem_free(environment[0]);
    mem_free(environment[1]);
    mem_free(environment);
    return pid;
}

/* What a terminal sends, it has sent to the command too. */
static void pass_signals_on(const struct turn *t, pid_t pid)
{
    struct signalfd_siginfo info;
    while (read(t->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL) {
            kill(pid, (int)info.ssi_signo);
        }
    }
}

static int exit_code_of(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* The command has no right to go on. */
static int stop_command(const struct turn *t, pid_t pid)
{
    char *what = mem_printf("the %s \"%s\"", t->words->what, t->name);
    int code = tell_lost(t, what);
    mem_free(what);
    kill(pid, SIGTERM);
    kill(pid, SIGCONT); /* one that is stopped cannot end */
    uint64_t end_ms = client_now_ms() + COMMAND_PATIENCE_MS;
    int wait_status = 0;
    while (waitpid(pid, &wait_status, WNOHANG) == 0) {
        uint64_t now = client_now_ms();
        if (now >= end_ms) {
            kill(pid, SIGKILL);
            while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
            }
            return code;
        }
        (void)is_readable(t->signal_fd, (int)(end_ms - now));
        pass_signals_on(t, pid);
    }
    return code;
}

/* Until it ends; its exit code. */
static int run_command(const struct turn *t)
{
    pid_t pid = start_command(t);
    if (pid < 0) {
        verb_complain(t->options, "cannot run %s: %s", t->command[0], strerror(errno));
        return EXIT_VERDICT;
    }
    int wait_status = 0;
    while (waitpid(pid, &wait_status, WNOHANG) == 0) {
        if (is_lost(t)) {
            return stop_command(t, pid);
        }
        (void)is_readable(t->wake_fd, -1);
        pass_signals_on(t, pid);
    }
    return exit_code_of(wait_status);
}

/* --- the turn --------------------------------------------------------------------------------- */

static int hold(const struct turn *t)
{
    if (t->command != NULL) {
        return run_command(t);
    }
    print_turn(t);
    while (!is_readable(t->signal_fd, 0) && !is_lost(t)) {
        (void)is_readable(t->wake_fd, -1);
    }
    if (!is_lost(t)) {
        return EXIT_DONE;
    }
    char *what = mem_printf("the %s \"%s\"", t->words->what, t->name);
    int code = tell_lost(t, what);
    mem_free(what);
    return code;
}

static int wait_and_hold(struct turn *t)
{
    struct client_answer a = {0};
    enum status status = turn_queue_enter(&t->queue, &a);
    if (status == STATUS_OK && !t->queue.has_turn) {
        start_patience(t);
        status = turn_queue_wait(&t->queue, &a);
    }
    bool has_turn = status == STATUS_OK && !is_lost(t) && !is_readable(t->signal_fd, 0);
    int code = has_turn ? EXIT_DONE : tell_why_not(t, status, &a);
    client_answer_deinit(&a);
    CHECK(epoll_ctl(t->wake_fd, EPOLL_CTL_DEL, t->patience_fd, NULL) == 0);
    return has_turn ? hold(t) : code;
}

static void release(struct turn *t)
{
    uint32_t ttl_s = lease_session_ttl_s(t->lease);
    struct client_answer a = {0};
    if (lease_session_close(t->lease, !is_lost(t), &a) != STATUS_OK) {
        verb_complain(t->options,
                      "nobody could be told; the next one waits until the lease has expired, at "
                      "most %" PRIu32 " s",
                      ttl_s);
    }
    client_answer_deinit(&a);
}

static int take_turn(struct turn *t, struct slice value)
{
    const struct options *o = t->options;
    struct client_options options = {.timeout_ms = (uint32_t)options_number(o, CLIENT_TIMEOUT)};
    options.endpoints = client_verb_endpoints(o, &options.endpoint_count);
    uint32_t ttl_s = (uint32_t)((options_number(o, TURN_TTL) + 999) / 1000);
    struct client_answer a = {0};
    enum status status = lease_session_open(&options, ttl_s, &t->lease, &a);
    int code = status != STATUS_OK ? judge(t, status, &a) : EXIT_DONE;
    client_answer_deinit(&a);
    if (code != EXIT_DONE) {
        return code;
    }
    add_to_wake(t, t->signal_fd);
    add_to_wake(t, t->patience_fd);
    add_to_wake(t, lease_session_lost_fd(t->lease));
    t->queue = (struct turn_queue){.options = &options,
                                   .name = slice_str(t->name),
                                   .value = value,
                                   .lease = lease_session_id(t->lease),
                                   .cancel_fd = t->wake_fd};
    code = wait_and_hold(t);
    turn_queue_deinit(&t->queue);
    release(t);
    return code;
}

static int run_turn(struct options *o, const struct turn_words *words, struct slice value)
{
    struct buf quoted = {0};
    const char *name = o->arguments[0];
    bool is_name = name[0] != '\0' && strlen(name) + LEASE_HEX_BYTES <= LIMIT_KEY_BYTES &&
                   json_text_quote(slice_str(name), &quoted) == STATUS_OK;
    buf_deinit(&quoted);
    if (!is_name) {
        return verb_refuse(o, "a name is 1 to %d bytes of UTF-8",
                           LIMIT_KEY_BYTES - LEASE_HEX_BYTES);
    }
    struct turn t = {.options = o,
                     .words = words,
                     .name = name,
                     .command = o->argument_count > 1 ? o->arguments + 1 : NULL,
                     .began_ms = client_now_ms()};
    take_signals(&t);
    int code = take_turn(&t, value);
    close_wakes(&t);
    return code;
}

static int run_lock(struct options *o)
{
    return run_turn(o, &lock_words, slice_of(NULL, 0));
}

static int run_elect(struct options *o)
{
    char host[256] = "";
    (void)gethostname(host, sizeof(host) - 1);
    const char *given = options_text(o, TURN_VALUE);
    char *value = given != NULL ? mem_strdup(given) : mem_printf("%s:%ld", host, (long)getpid());
    int code = run_turn(o, &elect_words, slice_str(value));
    mem_free(value);
    return code;
}

#define TURN_DETAILS                                                                               \
    "The order is that of the keys NAME/LEASE, as etcd's clients keep it too, so that they and\n"  \
    "this stand in one queue. It goes on while members die, as long as a majority answers\n"       \
    "within --ttl.\n\n"                                                                            \
    "With a command: it runs while the turn lasts, with the key and the fence in its "             \
    "environment\n"                                                                                \
    "(the fence is a number that the next one's exceeds: what refuses a lower one is safe even\n"  \
    "from a holder that has not noticed yet), and gets the signals that come. When the turn is\n"  \
    "lost it gets SIGTERM, and SIGKILL after 5 s. Without: prints key and fence, and holds "       \
    "until\n"                                                                                      \
    "Ctrl-C or SIGTERM.\n\n"                                                                       \
    "Exit code: the command's (128 and the signal's number when one killed it; 127: it could "     \
    "not\n"                                                                                        \
    "be run); without a command 0. 4: the turn did not come in time, a signal came before it, "    \
    "or\n"                                                                                         \
    "it was lost.\n"

const struct verb verb_lock = {
    .name = "lock",
    .arguments = "NAME [-- COMMAND ARGUMENT...]",
    .summary = "hold a lock while a command runs",
    .details = "One at a time holds the lock NAME; the others wait for their turn.\n" TURN_DETAILS,
    .examples = "  conclave lock backup -- ./backup.sh\n"
                "  conclave lock backup --wait 0s -- ./backup.sh  # 4 if somebody has it\n"
                "  conclave lock deploy -- sh -c 'echo $CONCLAVE_LOCK_KEY $CONCLAVE_LOCK_FENCE'\n"
                "  conclave lock backup                            # until Ctrl-C\n",
    .options = lock_rows,
    .option_count = sizeof(lock_rows) / sizeof(lock_rows[0]),
    .arguments_min = 1,
    .arguments_max = LIMIT_COMMAND_WORDS,
    .prepare = client_verb_prepare,
    .run = run_lock,
};

const struct verb verb_elect = {
    .name = "elect",
    .arguments = "NAME [-- COMMAND ARGUMENT...]",
    .summary = "lead an election while a command runs",
    .details =
        "One at a time leads under NAME; the others stand by. The oldest key under NAME/ is\n"
        "the leader's, and its value says who that is.\n" TURN_DETAILS,
    .examples = "  conclave elect worker -- ./worker\n"
                "  conclave elect worker --value host-1:8080       # until Ctrl-C\n"
                "  conclave elect worker -- sh -c 'echo $CONCLAVE_ELECTION_KEY "
                "$CONCLAVE_ELECTION_FENCE'\n",
    .options = elect_rows,
    .option_count = sizeof(elect_rows) / sizeof(elect_rows[0]),
    .arguments_min = 1,
    .arguments_max = LIMIT_COMMAND_WORDS,
    .prepare = client_verb_prepare,
    .run = run_elect,
};
