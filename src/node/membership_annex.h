/* node/membership_annex.h - who belongs to the cluster, as the log has it: rules C1 to C9 of
 * consensus.md.
 *
 * Plain data and its edits. A membership travels as the annex of the configuration (raft.h) that it
 * goes with: the configuration says who votes and who learns, by id; the membership says who that
 * is, who may still come, and who may never come again. Before the first entry of that kind the
 * founding roster is the membership (rule G5).
 *
 * While the configuration is joint, the membership is already the next one; whoever is only in the
 * outgoing half has a place that `leaves`. So one membership serves both halves of a change. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/uuid.h"
#include "node/roster.h"
#include "raft/raft.h"

#include <stdbool.h>
#include <stdint.h>

struct peer_hello;

struct membership_place {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    struct uuid incarnation; /* zero: invited, and has not come yet */
    uint32_t priority;
    bool stays_learner; /* nobody promotes it by itself */
    /* Its disk was given up. It votes until its successor, the other place of that name, has caught
     * up (rule C4b). */
    bool replaced;
    bool leaves; /* in the outgoing half only; gone when the joint configuration is left */
};

struct membership {
    struct uuid cluster;
    uint32_t count;
    /* By name; of two of the same name the one that is replaced or leaves is first. */
    struct membership_place places[LIMIT_MEMBERS];
    /* Rule C6: oldest first. Also those that leave. */
    uint32_t removed_count;
    struct uuid removed[LIMIT_REMOVED];
};

/* The founding configuration (rule G5). */
void membership_found(const struct roster *founders, struct membership *m,
                      struct raft_config *config);

void membership_encode(const struct membership *m, struct buf *out);
/* OK; CORRUPT for anything that membership_encode does not write; UNSUPPORTED: a newer format. */
enum status MUST_CHECK membership_decode(struct slice bytes, struct membership *m);
/* Every id of the configuration has its place, and every place with an incarnation its id. */
bool membership_fits(const struct membership *m, const struct raft_config *config);

/* NULL: no such place. By id: of an incarnation. */
const struct membership_place *membership_find(const struct membership *m, struct uuid incarnation);
const struct membership_place *membership_find_id(const struct membership *m, node_id id);
/* The place that the name has from now on: not one that is replaced or leaves. */
const struct membership_place *membership_find_name(const struct membership *m, const char *name);
/* Was removed, and no part of the configuration counts it any more. */
bool membership_is_removed(const struct membership *m, const struct raft_config *config,
                           struct uuid incarnation);

/* Of the newer half. */
bool membership_votes(const struct raft_config *config, node_id id);
/* In either half of a joint configuration. */
bool membership_decides(const struct raft_config *config, node_id id);
bool membership_learns(const struct raft_config *config, node_id id);
bool membership_is_joint(const struct raft_config *config);
/* In any part of it. */
bool membership_counts(const struct raft_config *config, node_id id);

/* --- edits ------------------------------------------------------------------------------------ */

/* The next membership and the configuration that goes with it, for RAFT_INPUT_CHANGE. Several edits
 * may be made on one; after one that failed it is good for nothing. */
struct membership_edit {
    struct membership members;
    struct raft_config config;
};
/* Requires: `config` is not joint. */
void membership_edit_begin(struct membership_edit *e, const struct membership *m,
                           const struct raft_config *config);

/* CONFLICT: the name is taken; INVALID: too many. */
enum status MUST_CHECK membership_invite(struct membership_edit *e, const char *name,
                                         const char *url, bool learner);
/* A new incarnation comes, invited or by itself, as a learner. CONFLICT: the name belongs to
 * another incarnation (rule C7), or the incarnation is known, or was removed; INVALID: too many. */
enum status MUST_CHECK membership_join(struct membership_edit *e, const char *name, const char *url,
                                       struct uuid incarnation, uint32_t priority);
/* Whatever it is. NOT_FOUND; INVALID: the last voter. */
enum status MUST_CHECK membership_remove(struct membership_edit *e, const char *name);
/* A learner becomes a voter, and takes the place of the one that it replaces. NOT_FOUND; CONFLICT:
 * it votes already; BEHIND: it has not come yet. */
enum status MUST_CHECK membership_promote(struct membership_edit *e, const char *name);
/* Rule C7: a new incarnation may come. An empty url = the same. NOT_FOUND; CONFLICT: nobody has
 * come under that name; INVALID: too many. */
enum status MUST_CHECK membership_replace(struct membership_edit *e, const char *name,
                                          const char *url);

/* --- who speaks to us (rule E11) -------------------------------------------------------------- */

enum hello_verdict {
    HELLO_WELCOME,
    HELLO_JOINS,         /* not a member yet, and may ask to be one */
    HELLO_OTHER_CLUSTER, /* dropped */
    HELLO_STRANGER,      /* not a member, and does not ask to be one */
    HELLO_FORGOT,        /* a member whose directory does not know of it: an old copy (rule C7) */
    HELLO_OTHER_NAME,    /* a member under another name */
};
/* What a founded member makes of a hello. One that this membership does not name is welcome when it
 * is of the same cluster: ours may be the older one. */
enum hello_verdict membership_judge_hello(const struct roster *founders, const struct membership *m,
                                          const struct raft_config *config,
                                          const struct peer_hello *hello);
