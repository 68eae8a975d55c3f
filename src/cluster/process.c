#include "cluster/process.h"

#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define POLL_MS 10

/* --- who is it -------------------------------------------------------------------------------- */

#ifdef __linux__
/* Start time and state letter from /proc/PID/stat; false when there is no such process. */
static bool look_up(pid_t pid, uint64_t *started, char *state)
{
    char path[64];
    char line[1024];
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t size = fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    line[size] = '\0';
    /* "PID (name, which may hold anything) S ppid ...": fields are counted behind the last ')'. */
    const char *at = strrchr(line, ')');
    if (at == NULL || at[1] != ' ') {
        return false;
    }
    *state = at[2];
    for (int field = 2; field < 22; field++) {
        at = strchr(at + 1, ' ');
        if (at == NULL) {
            return false;
        }
    }
    return sscanf(at, "%" SCNu64, started) == 1;
}

static void boot_id(char text[40])
{
    text[0] = '\0';
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file != NULL) {
        if (fscanf(file, "%39s", text) != 1) {
            text[0] = '\0';
        }
        fclose(file);
    }
    if (text[0] == '\0') {
        snprintf(text, 40, "-");
    }
}
#else
static bool look_up(pid_t pid, uint64_t *started, char *state)
{
    *started = 0;
    *state = 'S';
    return kill(pid, 0) == 0 || errno == EPERM;
}

static void boot_id(char text[40])
{
    snprintf(text, 40, "-");
}
#endif

enum process_state process_state_of(const struct process *p)
{
    uint64_t started;
    char state;
    if (p->pid <= 0 || p->is_reaped || !look_up(p->pid, &started, &state) ||
        started != p->started || state == 'Z' || state == 'X') {
        return PROCESS_GONE;
    }
    return state == 'T' ? PROCESS_PAUSED : PROCESS_RUNNING;
}

/* --- pid files -------------------------------------------------------------------------------- */

static enum status save(const char *path, const struct process *p)
{
    char boot[40];
    boot_id(boot);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return STATUS_IO;
    }
    fprintf(file, "%ld %" PRIu64 " %s\n", (long)p->pid, p->started, boot);
    return fclose(file) == 0 ? STATUS_OK : STATUS_IO;
}

enum status process_save_self(const char *pid_path)
{
    struct process self = {.pid = getpid()};
    char state;
    return look_up(self.pid, &self.started, &state) ? save(pid_path, &self) : STATUS_IO;
}

struct process process_load(const char *pid_path)
{
    long pid = 0;
    struct process p = {0};
    char boot[40];
    char saved_boot[40];
    boot_id(boot);
    FILE *file = fopen(pid_path, "re");
    if (file == NULL) {
        return p;
    }
    bool is_read = fscanf(file, "%ld %" SCNu64 " %39s", &pid, &p.started, saved_boot) == 3;
    fclose(file);
    p.pid = (pid_t)pid;
    if (!is_read || strcmp(boot, saved_boot) != 0 || process_state_of(&p) == PROCESS_GONE) {
        return (struct process){0};
    }
    return p;
}

/* --- life ------------------------------------------------------------------------------------- */

/* Runs in the child, between fork and exec: only calls that are safe there. */
static _Noreturn void become(const struct process_options *options, pid_t parent)
{
    setsid();
#ifdef __linux__
    if (options->dies_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) {
            _exit(0); /* it ended before the line above took effect */
        }
    }
#else
    (void)parent;
#endif
    int log = open(options->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0) {
        _exit(127);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(options->program, options->arguments);
    static const char words[] = "conclave: the program cannot be run\n";
    ssize_t ignored = write(STDERR_FILENO, words, sizeof(words) - 1);
    (void)ignored;
    _exit(127);
}

enum status process_start(const struct process_options *options, struct process *p)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        return STATUS_IO;
    }
    if (pid == 0) {
        become(options, parent);
    }
    char state;
    *p = (struct process){.pid = pid};
    if (!look_up(pid, &p->started, &state)) {
        p->started = 0;
    }
    return save(options->pid_path, p);
}

bool process_signal(const struct process *p, int signal_number)
{
    return process_state_of(p) != PROCESS_GONE && kill(p->pid, signal_number) == 0;
}

void process_reap(struct process *p)
{
    int wait_status;
    if (p->pid > 0 && !p->is_reaped && waitpid(p->pid, &wait_status, WNOHANG) == p->pid) {
        p->is_reaped = true;
        p->wait_status = wait_status;
    }
}

bool process_wait(struct process *p, uint32_t timeout_ms)
{
    uint64_t deadline_ms = client_now_ms() + timeout_ms;
    for (;;) {
        process_reap(p);
        if (process_state_of(p) == PROCESS_GONE) {
            return true;
        }
        if (client_now_ms() >= deadline_ms) {
            return false;
        }
        client_sleep_ms(POLL_MS);
    }
}

bool process_stop(struct process *p, uint32_t patience_ms)
{
    if (!process_signal(p, SIGTERM)) {
        return true;
    }
    process_signal(p, SIGCONT);
    if (process_wait(p, patience_ms)) {
        return true;
    }
    process_signal(p, SIGKILL);
    process_wait(p, patience_ms);
    return false;
}
