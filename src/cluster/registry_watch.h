/* cluster/registry_watch.h - what a member does with the registry, in a thread of its own, because
 * a shared file may hang and a member may not. docs/decisions/0011-registry.md has the rules.
 *
 * While it is no member: look for members that FILE lists, and say whether to join them, to found,
 * or to give up. Once it is one: keep its own entry in FILE and the claim beside it, whatever
 * happens to them. The loop thread tells what the member is and asks what to do; neither waits. */
#pragma once

#include "base/limits.h"
#include "cluster/registry.h"

#include <stdbool.h>
#include <stdint.h>

struct registry_watch;

struct registry_watch_options {
    const char *path;         /* FILE; borrowed, like name */
    const char *name;         /* of this member */
    uint32_t attempts;        /* in vain, before it founds; >= 1 */
    uint64_t started_wall_ms; /* joinedAt */
    /* Randomness for the cluster's UUID, should it found. */
    struct uuid cluster_candidate;
};

/* What the loop thread knows of the member. */
struct registry_self {
    struct uuid incarnation;
    bool is_member;
    char url[LIMIT_URL_BYTES];
    uint16_t port;
    struct registry_claim founder; /* of its cluster; name empty: no member, or not known yet */
};

enum registry_verdict_kind { REGISTRY_FOUND, REGISTRY_JOIN, REGISTRY_REFUSE };
struct registry_verdict {
    enum registry_verdict_kind kind;
    struct uuid cluster; /* FOUND: the claim is made; this directory founds that cluster */
    uint32_t url_count;  /* JOIN: members that answered */
    char urls[LIMIT_MEMBERS][LIMIT_URL_BYTES];
    char text[1024]; /* REFUSE: exit 2 with these words */
};

/* Nothing is looked at before the first registry_watch_tell. */
struct registry_watch *registry_watch_start(const struct registry_watch_options *options);
void registry_watch_tell(struct registry_watch *w, const struct registry_self *self);
/* True: there is a new verdict, told once. JOIN may come again with others. */
bool registry_watch_ask(struct registry_watch *w, struct registry_verdict *verdict);
/* Ends the thread. One that hangs in a file is left behind after a second. */
void registry_watch_stop(struct registry_watch *w);
