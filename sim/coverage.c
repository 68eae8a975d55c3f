#include "coverage.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const mark_names[MARK_COUNT] = {
#define MARK_NAME(name) #name,
    MARK_TABLE(MARK_NAME)
#undef MARK_NAME
#define MARK_EVENT_NAME(name, a, b) "raft " #name,
        RAFT_EVENT_TABLE(MARK_EVENT_NAME)
#undef MARK_EVENT_NAME
};

/* In so many schedules a mark that is not rare is met with certainty, and one that is. */
#define SEEDS_FOR_MARKS      3000
#define SEEDS_FOR_RARE_MARKS 30000

/* Waits for what is not built yet: an event that nothing emits cannot be missed. */
static bool is_expected(enum mark m, uint64_t seeds)
{
    switch (m) {
    case MARK_INSTALL_KEPT: /* four times in ten thousand */
    case MARK_STALE_EXPIRY:
        return seeds >= SEEDS_FOR_RARE_MARKS;
    case MARK_RAFT_CONFIG:
    case MARK_RAFT_CONFIG_ROLLED_BACK:
    case MARK_RAFT_CONFIG_COMMITTED:
    case MARK_RAFT_INSTALLED:
    case MARK_RAFT_SNAPSHOT_NEEDED:
    case MARK_RAFT_RECOVERED:
    case MARK_RAFT_PREFERRED:
    case MARK_RAFT_AMNESIA: /* a disk that loses what it synced is no fault of the model */
    case MARK_RAFT_DROPPED: /* members that keep to the protocol send nothing impossible */
        return false;
    default:
        return seeds >= SEEDS_FOR_MARKS;
    }
}

static struct coverage unread;
static struct coverage *current = &unread;

void coverage_begin(struct coverage *c)
{
    current = c;
}

void coverage_hit(enum mark m)
{
    current->counts[m]++;
}

void coverage_hit_event(enum raft_event_kind kind)
{
    current->counts[MARK_RAFT_ROLE + (int)kind]++;
}

void coverage_add(struct coverage *to, const struct coverage *from)
{
    for (int i = 0; i < MARK_COUNT; i++) {
        to->counts[i] += from->counts[i];
    }
}

uint32_t coverage_print(const struct coverage *c, uint64_t seeds, bool only_missed)
{
    uint32_t missed = 0;
    for (int i = 0; i < MARK_COUNT; i++) {
        bool is_missed = c->counts[i] == 0 && is_expected((enum mark)i, seeds);
        missed += is_missed;
        if (is_missed || !only_missed) {
            printf("  %-32s %12" PRIu64 "%s\n", mark_names[i], c->counts[i],
                   is_missed ? "  NEVER" : "");
        }
    }
    return missed;
}
