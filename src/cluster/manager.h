/* cluster/manager.h - several members on this machine, as `conclave cluster` runs them.
 *
 * Everything is in one directory, so that any later command finds it:
 *
 *   cluster.json   how many founded it, from which port, who there is now
 *   secret         what the members prove to each other (random, mode 0600)
 *   lock           held while members are started or stopped
 *   run.pid        the `run` that watches over them, if one does
 *   node-1/        data of a member;  node-1.log  what it says;  node-1.pid  its process
 *
 * The manager starts, finds and signals members; it says nothing itself. Reasons come back as new
 * strings in *detail, for a person. */
#pragma once

#include "base/limits.h"
#include "base/status.h"
#include "cluster/process.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define MANAGER_NODES_DEFAULT     3
#define MANAGER_BASE_PORT_DEFAULT 4001
#define MANAGER_DIR_DEFAULT       "./.conclave"
/* SIGKILL follows SIGTERM after this: a member needs 5 s at most. */
#define MANAGER_STOP_MS           6000
#define MANAGER_FORM_MS           20000

struct manager_member {
    uint32_t number; /* of node-1: 1; never given to another member */
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    uint16_t port;
    struct process process;
};

struct manager {
    char *dir;
    char *program;
    bool dies_with_parent; /* members that are started end with this process */
    uint16_t base_port;
    uint32_t founders;  /* node-1 to this one are told of each other; later ones join */
    uint32_t next;      /* number of the next member to be added */
    bool enable_faults; /* members are started with --enable-faults (contract, /faults) */
    uint32_t count;
    struct manager_member members[LIMIT_MEMBERS];
    int lock_fd; /* -1 = not held */
};

struct manager_options {
    const char *dir;
    const char *program; /* NULL = this program */
    uint32_t nodes;      /* 0 = what the directory says, else MANAGER_NODES_DEFAULT */
    uint16_t base_port;  /* 0 = likewise */
};

/* The cluster of a directory, made (empty, nothing started) when there is none. INVALID: the
 * directory holds another number of members or other ports than asked for. IO. */
enum status MUST_CHECK manager_create(const struct manager_options *options, struct manager **m,
                                      char **detail);
/* The same, but NOT_FOUND where there is none. */
enum status MUST_CHECK manager_open(const struct manager_options *options, struct manager **m,
                                    char **detail);
/* Nothing is stopped. */
void manager_destroy(struct manager *m);

/* One command at a time starts and stops members; waits up to a few seconds. BUSY. */
enum status MUST_CHECK manager_lock(struct manager *m, char **detail);
void manager_unlock(struct manager *m);

/* Look at the pid files anew; returns how many members live. */
uint32_t manager_refresh(struct manager *m);
/* BUSY: *detail names a port of a member that is not running and that somebody has taken. */
enum status MUST_CHECK manager_check_ports(const struct manager *m, char **detail);
enum status MUST_CHECK manager_start_member(struct manager *m, uint32_t i, char **detail);
/* From now on members are started with or without --enable-faults, also by later commands. IO. */
enum status MUST_CHECK manager_set_faults(struct manager *m, bool enabled, char **detail);
/* Start all that do not run. */
enum status MUST_CHECK manager_start(struct manager *m, char **detail);
/* Stop all: followers first, side by side, the leader last. True: every one ended without SIGKILL
 * and, as far as is known, with exit code 0. */
bool manager_stop(struct manager *m);

/* The member that says it leads, or -1. Asks those that run, a third of a second each at most. */
int manager_leader(const struct manager *m);
/* Wait until one leads. NOT_FOUND: a member ended meanwhile, and *detail says which. TIMEOUT;
 * CLOSED when *stop became true, where stop may be NULL. */
enum status MUST_CHECK manager_await_leader(struct manager *m, uint32_t timeout_ms,
                                            const volatile sig_atomic_t *stop, int *leader,
                                            char **detail);
/* The member of that name, or whoever leads for "leader". NOT_FOUND: *detail says who there is. */
enum status MUST_CHECK manager_find(struct manager *m, const char *name, uint32_t *i,
                                    char **detail);

/* A further member, which joins when it is started; *i is its place. INVALID: there are as many as
 * there may be; BUSY: its port is taken; IO. */
enum status MUST_CHECK manager_add(struct manager *m, uint32_t *i, char **detail);
/* Forget a member, which left the cluster: its number and its data stay unused. IO. */
enum status MUST_CHECK manager_forget(struct manager *m, uint32_t i, char **detail);

/* "DIR/node-1.log": a new string. */
char *manager_log_path(const struct manager *m, uint32_t i);
char *manager_run_pid_path(const struct manager *m);
/* A run of free ports for `count` members, chosen at random; 0 = none was found. */
uint16_t manager_find_ports(uint32_t count);
