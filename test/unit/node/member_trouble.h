/* member_trouble.h - whole members with small log segments, and requests one by one; shared by the
 * tests of disk trouble. */
#pragma once

#include "member_moves.h"

/* Small, so that a log has many of them; a write takes a block of 4 KiB. */
#define TROUBLE_SEGMENT_BYTES (64u * 1024u)

/* Settled, with small segments. */
struct cluster *trouble_cluster(uint64_t seed, int count);
/* One request at member i, and wait for its answer; what node_write_start refuses is an answer,
 * too. UNKNOWN when it never comes. */
enum status trouble_write(struct cluster *c, int i, const struct kv_command *command);
enum status trouble_put(struct cluster *c, int i, const char *key, size_t value_bytes);
enum status trouble_delete(struct cluster *c, int i, const char *key);
/* TIMEOUT when it never comes. */
enum status trouble_read(struct cluster *c, int i, enum node_consistency consistency,
                         uint64_t max_lag_ms);
/* Any member but these two. */
int trouble_other(const struct cluster *c, int a, int b);
struct node_metrics trouble_metrics(const struct cluster *c, int i);

/* Run until a member leads that is not `old`; its number. */
int trouble_wait_for_leader_but(struct cluster *c, int old);

/* The files of the log of a member, oldest first; how many. Requires: the last test that asked is
 * done with the names. */
#define TROUBLE_FILES_MAX 256
struct trouble_files {
    uint32_t count;
    char names[TROUBLE_FILES_MAX][64];
};
void trouble_list_log(struct cluster *c, int i, struct trouble_files *files);
/* Stop it by a kill; all that was written arrives, and its files may be changed. */
void trouble_stop(struct cluster *c, int i);
