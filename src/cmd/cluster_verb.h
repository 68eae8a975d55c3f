/* cmd/cluster_verb.h - what the verbs of `conclave cluster` share. One file for the long ones (run,
 * demo), cluster.c for the short ones. */
#pragma once

#include "cluster/manager.h"
#include "cmd/verb.h"

#include <signal.h>

/* The first rows of every table of flags below `cluster`. A cluster keeps its number of members and
 * its ports in its directory; given again, they must be the same. */
enum { CLUSTER_DIR, CLUSTER_NODES, CLUSTER_BASE_PORT, CLUSTER_ROWS };
#define CLUSTER_ROWS_TABLE                                                                         \
    [CLUSTER_DIR] = {.name = "dir",                                                                \
                     .type = OPTION_TEXT,                                                          \
                     .unit = "DIR",                                                                \
                     .meaning = "where the cluster's data, logs and pid files are",                \
                     .fallback = MANAGER_DIR_DEFAULT},                                             \
    [CLUSTER_NODES] = {.name = "nodes",                                                            \
                       .type = OPTION_INTEGER,                                                     \
                       .unit = "N",                                                                \
                       .meaning = "how many members; if not given, 3",                             \
                       .min = 1,                                                                   \
                       .max = LIMIT_MEMBERS},                                                      \
    [CLUSTER_BASE_PORT] = {.name = "base-port",                                                    \
                           .type = OPTION_INTEGER,                                                 \
                           .unit = "PORT",                                                         \
                           .meaning = "port of node-1; if not given, 4001",                        \
                           .min = 1,                                                               \
                           .max = 65535}

/* `run` and `start` have one more; `add` and `remove`, which ask for a user, two. */
enum { CLUSTER_FAULTS = CLUSTER_ROWS, CLUSTER_START_ROWS };
enum { CLUSTER_USER = CLUSTER_ROWS, CLUSTER_CHANGE_ROWS = CLUSTER_USER + 2 };

/* The cluster of --dir, made if it need be or not. An
 * exit code; what is wrong was said. */
int cluster_make(const struct options *o, struct manager **m);
int cluster_find(const struct options *o, struct manager **m);
/* Say *detail on stderr, free it, and give the status's exit code. */
int cluster_complain(const struct options *o, enum status status, char *detail);

/* " --dir X" when it is not the default, else "": for commands shown to people. A new string. */
char *cluster_dir_flag(const struct options *o);
/* From now on SIGINT, SIGTERM and SIGHUP set cluster_interrupted and do nothing else. */
void cluster_catch_signals(void);
extern volatile sig_atomic_t cluster_interrupted;

/* The cluster and the member that the first argument names. An exit code, as above. */
int cluster_find_member(struct options *o, struct manager **m, uint32_t *i);
int cluster_run(struct options *o);
int cluster_add(struct options *o);
int cluster_remove(struct options *o);
int cluster_demo(struct options *o);
