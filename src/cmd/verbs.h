/* cmd/verbs.h - every verb's row, one file each; main.c lists them. */
#pragma once

#include "cmd/verb.h"

extern const struct verb verb_server;
extern const struct verb verb_cluster;
extern const struct verb verb_put;
extern const struct verb verb_get;
extern const struct verb verb_del;
extern const struct verb verb_ls;
extern const struct verb verb_log;
extern const struct verb verb_watch;
extern const struct verb verb_lock;
extern const struct verb verb_elect;
extern const struct verb verb_status;
extern const struct verb verb_shell;
extern const struct verb verb_monitor;
extern const struct verb verb_members;
extern const struct verb verb_member;
extern const struct verb verb_snapshot;
extern const struct verb verb_cert;
extern const struct verb verb_health;
extern const struct verb verb_step_down;
extern const struct verb verb_verify;
extern const struct verb verb_chaos;
extern const struct verb verb_bench;
extern const struct verb verb_version;
