/* member_world.h - whole members (links, log, store, HTTP upgrade and all) in one world of virtual
 * time, from one seed. Shared by the tests of node/ that need more than one file of it. */
#pragma once

#include "fake_disk.h"
#include "fake_world.h"

#include "node/node.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBERS_MAX        7
#define ELECTION_MS        200
#define REQUEST_TIMEOUT_MS 2000

/* Of member i. */
extern const char *const member_hosts[MEMBERS_MAX];
extern const char *const member_names[MEMBERS_MAX];

enum member_way { MEMBER_FOUNDS, MEMBER_JOINS, MEMBER_ALONE };

struct member {
    enum member_way way; /* of the founders, by --join, or a cluster of its own */
    uint32_t priority;
    const char *alias; /* its name; NULL = that of its number */
    bool is_gone;      /* removed: nobody waits for it any more */
    struct fake_disk *disk;
    struct loop *loop;
    struct http_server *http;
    struct node *node; /* NULL = stopped */
    char *fatal;       /* what on_fatal said; owned */
    int fatal_code;
    bool frozen;
};

struct cluster {
    struct fake_world *world;
    int count;
    struct member members[MEMBERS_MAX];
    int founders;  /* the first of them */
    int join_only; /* whom those that join are told of; -1 = all others */
    struct slice secret;
    enum node_election_policy policy;
    /* Of members started from now on. */
    bool lease_reads;
    uint64_t quota_bytes;
    uint64_t history_ms;
    uint64_t history_bytes;
    uint64_t snapshot_log_bytes;
    uint64_t snapshot_log_entries;
    uint64_t segment_bytes; /* the first one, too */
    /* The requests of a member that is about to end must be cancelled. May be NULL. */
    void (*on_stop)(void *context, const struct node *n);
    void *context;
};

/* Nobody runs yet. */
struct cluster *cluster_create(uint64_t seed, int count);
/* All run, one leads, all have the same. */
struct cluster *cluster_settled(uint64_t seed, int count);
void cluster_destroy(struct cluster *c);
/* One more, with an empty disk, not started; its number. */
int cluster_add(struct cluster *c, enum member_way way);
void member_start(struct cluster *c, int i);
/* Try to open its data directory under that name, and leave at once. */
enum status member_try_open(struct cluster *c, int i, const char *name);
/* The same under its own name; *why, which may be NULL, is a new string of what it said. */
enum status member_refusal(struct cluster *c, int i, char **why);
/* kill -9, and perhaps the power goes too. */
void member_stop(struct cluster *c, int i, bool power_loss);
/* Its data directory as it is now, to put back later: rule C7. Requires: stopped. */
struct fake_disk *member_copy_disk(struct cluster *c, int i);
/* Owns the copy from here on. */
void member_put_back(struct cluster *c, int i, struct fake_disk *copy);
/* Its disk is another one, an empty one. Requires: stopped. */
void member_wipe(struct cluster *c, int i);
void member_freeze(struct cluster *c, int i, bool frozen);

/* Who says that it leads, of the highest term; -1 = nobody. */
int cluster_find_leader(const struct cluster *c);
void cluster_expect_no_fatal(const struct cluster *c);
/* Nothing is cut, stopped or frozen any more. */
void cluster_heal(struct cluster *c);
/* Run until all agree who leads and have applied everything; fails when that takes too long. */
void cluster_settle(struct cluster *c);
