/* client/cluster_view.h - all members as one sees them from here, asked at the same time.
 *
 * Every address that is known (the given ones, and those that members named earlier) is asked in a
 * thread of its own, so that one that is dead or frozen costs a time-out and nothing more. What a
 * member says of itself counts before what others say of it; a member that nobody could ask is
 * offline, with the reason. When nobody answers any more, the members stay as they were known, all
 * of them offline. */
#pragma once

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBER_VIEW_UNKNOWN UINT64_MAX

struct member_view {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    bool is_online;
    char role[16];                     /* "founding" while it has none; "" when offline */
    char leader[LIMIT_NAME_BYTES + 1]; /* whom it follows; "" = nobody */
    uint64_t term;                     /* MEMBER_VIEW_UNKNOWN when offline */
    uint64_t lag_entries;              /* behind the leader, or MEMBER_VIEW_UNKNOWN */
    /* What it says of its load; has_load is false when it could not be asked from here. */
    bool has_load;
    uint64_t connections;
    double requests_per_second;
    double loop_utilisation; /* 0..1 */
    char reason[64];         /* why it is offline */
};

struct cluster_view {
    struct member_view members[LIMIT_MEMBERS];
    uint32_t count;
    uint64_t revision; /* the highest that a member told now; MEMBER_VIEW_UNKNOWN = none did */
    uint32_t answered; /* addresses that answered */
};

/* Ask once. `v` is zeroed before the first time and holds the answer of the last one; takes at most
 * about twice `timeout_ms`. At most LIMIT_MEMBERS endpoints. */
void cluster_view_refresh(struct cluster_view *v, const char *const *endpoints,
                          uint32_t endpoint_count, uint32_t timeout_ms);

/* The online leader of the highest term, or NULL. */
const struct member_view *cluster_view_leader(const struct cluster_view *v);
const struct member_view *cluster_view_find(const struct cluster_view *v, const char *name);
/* How many are online in that role. */
uint32_t cluster_view_in_role(const struct cluster_view *v, const char *role);
uint32_t cluster_view_online(const struct cluster_view *v);
