/* cmd/chaos_members.h - the members that `conclave chaos --simulate` takes down and up, by what
 * they offer themselves: /faults (row D11).
 *
 * DOWN is cut off from all other members, both ways. Clients still reach it, and it must answer
 * them truthfully. Says nothing itself; reasons come back as new strings in *detail. */
#pragma once

#include "base/limits.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct chaos_member {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES]; /* where it answered */
    bool is_down;
};

struct chaos_members {
    struct chaos_member members[LIMIT_MEMBERS]; /* by name */
    uint32_t count;
};

/* Who there is, by any of the endpoints, and whether all let themselves be taken down. DENIED: one
 * was started without --enable-faults; UNREACHABLE: one, or all, do not answer; INVALID: there is
 * only one; else what a member said. */
enum status MUST_CHECK chaos_members_find(const char *const *endpoints, uint32_t endpoint_count,
                                          uint32_t timeout_ms, struct chaos_members *m,
                                          char **detail);
uint32_t chaos_members_up(const struct chaos_members *m);
bool chaos_members_have_majority(const struct chaos_members *m);
/* Cut member i off, or let it back; is_down changes when it said yes. */
enum status MUST_CHECK chaos_members_set(struct chaos_members *m, uint32_t i, bool is_down,
                                         uint32_t timeout_ms, char **detail);
