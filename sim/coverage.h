/* coverage.h - marks: rare events that a campaign must have met (I21). A campaign in which one was
 * never hit has not tested what it seems to. */
#pragma once

#include "raft/raft.h"

#include <stdint.h>

/* X(name). Each RAFT_EVENT_x has a mark of its own besides these. */
#define MARK_TABLE(X)                                                                              \
    X(ESTABLISHED_LEADER)                                                                          \
    X(TWO_LEADERS_AT_ONCE)                                                                         \
    X(TRUNCATED_ON_DISK)                                                                           \
    X(SEVERAL_TERMS_IN_LOG)                                                                        \
    X(OLD_TERM_COMMITTED)                                                                          \
    X(NEW_SEGMENT)                                                                                 \
    X(SNAPSHOT_TAKEN)                                                                              \
    X(INSTALL_DISCARDED)                                                                           \
    X(INSTALL_KEPT)                                                                                \
    X(TRANSFER_BEGUN)                                                                              \
    X(TRANSFER_RESUMED)                                                                            \
    X(RESTARTED_FROM_SNAPSHOT)                                                                     \
    X(LOG_COMPACTED)                                                                               \
    X(MEMBER_JOINED)                                                                               \
    X(JOINT_COMMITTED)                                                                             \
    X(CLUSTER_GREW)                                                                                \
    X(CLUSTER_SHRANK)                                                                              \
    X(VOTER_REPLACED)                                                                              \
    X(LEADER_REMOVED)                                                                              \
    X(LEADER_STOPPED_IN_JOINT)                                                                     \
    X(REMOVED_MEMBER_ENDED)                                                                        \
    X(REMOVED_MEMBER_REFUSED)                                                                      \
    X(CHANGE_REFUSED)                                                                              \
    X(LOADED_FROM_DISK)                                                                            \
    X(WINDOW_FULL)                                                                                 \
    X(TIMEOUT_NOW_LOST)                                                                            \
    X(TIMEOUT_NOW_SENT)                                                                            \
    X(VOTE_BY_TRANSFER)                                                                            \
    X(RECOVERED_UNACKNOWLEDGED)                                                                    \
    X(TORN_TAIL)                                                                                   \
    X(DAMAGE_REFUSED)                                                                              \
    X(LOG_SALVAGED)                                                                                \
    X(SNAPSHOT_ROTTED)                                                                             \
    X(SALVAGED_WITHOUT_SNAPSHOT)                                                                   \
    X(LOG_REPAIRED)                                                                                \
    X(ROT_HARMLESS)                                                                                \
    X(CRASH_IN_WRITE)                                                                              \
    X(CRASH_IN_RECOVERY)                                                                           \
    X(POWER_LOST_WRITES)                                                                           \
    X(DISK_CALL_FAILED)                                                                            \
    X(SPACE_RAN_OUT)                                                                               \
    X(STATE_QUARANTINED)                                                                           \
    X(STATE_MADE_ANEW)                                                                             \
    X(LEADER_OUT_OF_SPACE)                                                                         \
    X(FOLLOWER_OUT_OF_SPACE)                                                                       \
    X(SPACE_CAME_BACK)                                                                             \
    X(WRITE_REFUSED_NO_SPACE)                                                                      \
    X(STARTED_WITHOUT_SPACE)                                                                       \
    X(STALL_TOLD)                                                                                  \
    X(BYTE_CHANGED_UNDER_WAY)                                                                      \
    X(PARTITIONED)                                                                                 \
    X(CLOCK_CHANGED)                                                                               \
    X(WIPED_MEMBER_KEPT_OUT)                                                                       \
    X(WRITE_ACKNOWLEDGED)                                                                          \
    X(WRITE_BY_ACK_LEADER)                                                                         \
    X(WRITE_BY_ACK_ALL)                                                                            \
    X(WRITE_NOT_CONFIRMED_BY_ALL)                                                                  \
    X(WRITE_UNKNOWN)                                                                               \
    X(WRITE_FORWARDED)                                                                             \
    X(COMMITTED_AGAIN)                                                                             \
    X(WRITE_REPLAYED)                                                                              \
    X(WRITE_SUPERSEDED)                                                                            \
    X(WRITE_ABANDONED)                                                                             \
    X(CONDITION_FAILED)                                                                            \
    X(DELETED_NOTHING)                                                                             \
    X(READ_ON_LEADER)                                                                              \
    X(READ_ON_FOLLOWER)                                                                            \
    X(READ_LOST_LEADER)                                                                            \
    X(READ_NOT_CONFIRMED)                                                                          \
    X(SESSION_READ)                                                                                \
    X(SESSION_WAITED)                                                                              \
    X(STALE_READ)                                                                                  \
    X(OLD_REVISION_READ)                                                                           \
    X(OLD_REVISION_COMPACTED)                                                                      \
    X(RANGE_READ)                                                                                  \
    X(DOCUMENTS_READ)                                                                              \
    X(DOCUMENTS_IN_SNAPSHOT)                                                                       \
    X(RANGE_READ_IN_PART)                                                                          \
    X(READ_REFUSED)                                                                                \
    X(TXN_READ)                                                                                    \
    X(TXN_NESTED)                                                                                  \
    X(TXN_FAILED_COMPARE)                                                                          \
    X(TXN_OF_SEVERAL_CHANGES)                                                                      \
    X(TXN_REFUSED)                                                                                 \
    X(TXN_ANSWERED_FROM_AFAR)                                                                      \
    X(LEASE_GRANTED_AGAIN)                                                                         \
    X(LEASE_EXPIRED)                                                                               \
    X(LEASE_EXPIRED_WITH_KEYS)                                                                     \
    X(LEASE_EXPIRED_IN_ANOTHER_TERM)                                                               \
    X(LEASE_EXPIRED_AFTER_KEEP_ALIVE)                                                              \
    X(LEASE_REVOKED)                                                                               \
    X(LEASE_WENT_WITH_ITS_KEY)                                                                     \
    X(LEASE_KEPT_ALIVE)                                                                            \
    X(LEASE_KEPT_ALIVE_FROM_AFAR)                                                                  \
    X(LEASE_NOT_THERE)                                                                             \
    X(KEEP_ALIVE_NOT_CONFIRMED)                                                                    \
    X(STALE_EXPIRY)                                                                                \
    X(WRITE_WITHOUT_LEASE)                                                                         \
    X(WATCH_CAUGHT_UP)                                                                             \
    X(WATCH_OVER_INSTALL)                                                                          \
    X(WATCH_COMPACTED)                                                                             \
    X(WATCH_PAUSED)                                                                                \
    X(WATCH_WENT_ELSEWHERE)                                                                        \
    X(WATCH_CHANGED_BY_ANOTHER)                                                                    \
    X(WATCH_OF_THE_FUTURE)                                                                         \
    X(WATCH_TOLD_SEVERAL_AT_ONCE)                                                                  \
    X(COMPACTED)                                                                                   \
    X(STEPPED_DOWN)                                                                                \
    X(SHUT_DOWN)                                                                                   \
    X(FOUNDED_UNDER_FAULTS)                                                                        \
    X(LIVE_WITH_DEAD_MINORITY)                                                                     \
    X(LIVE_WITH_ONE_WAY_MINORITY)

enum mark {
#define MARK_ENUM(name) MARK_##name,
    MARK_TABLE(MARK_ENUM)
#undef MARK_ENUM
#define MARK_EVENT_ENUM(name, a, b) MARK_RAFT_##name,
        RAFT_EVENT_TABLE(MARK_EVENT_ENUM)
#undef MARK_EVENT_ENUM
            MARK_COUNT
};

struct coverage {
    uint64_t counts[MARK_COUNT];
};

/* Where marks are counted from now on. */
void coverage_begin(struct coverage *c);
void coverage_hit(enum mark m);
void coverage_hit_event(enum raft_event_kind kind);
void coverage_add(struct coverage *to, const struct coverage *from);
/* All marks with their counts; returns how many were not hit that so many schedules must hit: below
 * 3,000 a missing one is chance. `only_missed`: just those. */
uint32_t coverage_print(const struct coverage *c, uint64_t seeds, bool only_missed);
