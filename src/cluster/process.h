/* cluster/process.h - one background process with a pid file, which is never mistaken for another.
 *
 * A pid alone may have been given to a stranger since; so the file also holds when the process
 * started and in which boot of the machine, and a process counts as ours only if all three agree.
 * (Where the system does not tell, off Linux, the pid alone has to do.) */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;        /* 0 = none */
    uint64_t started; /* clock ticks since boot; 0 = not known */
    bool is_reaped;   /* it was a child of ours and has ended, as wait_status says */
    int wait_status;
};

enum process_state { PROCESS_GONE, PROCESS_RUNNING, PROCESS_PAUSED };

struct process_options {
    const char *program;    /* path of the binary */
    char *const *arguments; /* argv, NULL at the end */
    const char *log_path;   /* stdout and stderr are appended to it */
    const char *pid_path;   /* written when it runs */
    bool dies_with_parent;  /* gets SIGTERM when its parent ends, however it ends (Linux) */
};

/* Start it in a session and process group of its own, with stdin from /dev/null. IO: errno says
 * why. A program that cannot be run ends at once with code 127. */
enum status MUST_CHECK process_start(const struct process_options *options, struct process *p);
/* Write a pid file for this process itself. */
enum status MUST_CHECK process_save_self(const char *pid_path);
/* What the pid file names, if that process still lives; pid 0 otherwise. */
struct process process_load(const char *pid_path);
/* A zombie counts as gone. */
enum process_state process_state_of(const struct process *p);
/* Send a signal, but never to another process that has its pid by now. False: it is gone. */
bool process_signal(const struct process *p, int signal_number);
/* Take the exit status of a child that has ended, without waiting. */
void process_reap(struct process *p);
/* Wait until it is gone; reaps it if it is a child. False: it still lives after `timeout_ms`. */
bool process_wait(struct process *p, uint32_t timeout_ms);
/* SIGTERM (and SIGCONT, for a paused one cannot end), then SIGKILL after `patience_ms`. True: it
 * ended without SIGKILL. */
bool process_stop(struct process *p, uint32_t patience_ms);
