/* node/event_lines.c - the core's typed events as lines for a person (rows A2, A3), and the little
 * that a member does because of one. */
#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>

static void tell_role(struct node *n, enum raft_role role, raft_term term)
{
    if (role == RAFT_LEADER) {
        log_info("👑 Became LEADER for term %" PRIu64, term);
        n->compaction_index = 0;
        n->compaction_timer.context = n;
        n->loop->ops->timer_start(n->loop, &n->compaction_timer,
                                  loop_about(n->loop, NODE_COMPACTION_CHECK_MS));
    } else {
        log_info("role=%s term=%" PRIu64, raft_role_name(role), term);
        n->loop->ops->timer_stop(n->loop, &n->compaction_timer);
    }
}

static const char *member_name(const struct node *n, node_id id)
{
    const struct roster_member *m = node_member_by_id(n, id);
    return m != NULL ? m->name : "unknown";
}

static void tell_leader(struct node *n, node_id leader, raft_term term)
{
    if (n->told_leader == n->self && leader != n->self) {
        log_info("Stepping down to follower, term %" PRIu64, term);
    }
    n->told_leader = leader;
    if (leader == 0) {
        log_info("no leader known term=%" PRIu64, term);
    } else if (leader != n->self) {
        n->leader_contact_ms = node_now(n);
        log_info("following %s term=%" PRIu64, member_name(n, leader), term);
    }
}

bool node_tell_event(struct node *n, const struct raft_event *e)
{
    switch (e->kind) {
    case RAFT_EVENT_ROLE:
        tell_role(n, (enum raft_role)e->a, e->b);
        break;
    case RAFT_EVENT_LEADER:
        tell_leader(n, e->a, e->b);
        break;
    case RAFT_EVENT_ELECTION_TIMEOUT:
        log_info("Election timeout! Starting election... term=%" PRIu64 " silent_ms=%" PRIu64, e->a,
                 e->b);
        break;
    case RAFT_EVENT_LEADER_LOST:
        log_info("connection to leader %s ended and was refused term=%" PRIu64,
                 member_name(n, e->a), e->b);
        break;
    case RAFT_EVENT_VOTE_GRANTED:
        if (e->a != n->self) {
            log_info("Waiting for %s to become leader term=%" PRIu64, member_name(n, e->a), e->b);
        }
        break;
    case RAFT_EVENT_QUORUM_LOST:
        log_warn("no majority answered, giving up leadership term=%" PRIu64 " silent_ms=%" PRIu64,
                 e->a, e->b);
        break;
    case RAFT_EVENT_TRUNCATED:
        log_info("dropped uncommitted entries from=%" PRIu64 " to=%" PRIu64, e->a, e->b);
        break;
    case RAFT_EVENT_TRANSFER_STARTED:
        log_info("handing leadership over to %s term=%" PRIu64, member_name(n, e->a), e->b);
        break;
    case RAFT_EVENT_AMNESIA:
        node_fail(n, 1,
                  "the log ends at entry %" PRIu64
                  ", and this member had acknowledged entry %" PRIu64
                  ": %s was put back from an older copy, or its disk lost what it had synced. Do "
                  "not start this member from it again",
                  e->b, e->a, n->options.data_dir);
        break;
    case RAFT_EVENT_RECOVERED:
        log_info("what the log had lost is here again: votes and acknowledgements count "
                 "last=%" PRIu64 " term=%" PRIu64,
                 e->a, e->b);
        break;
    case RAFT_EVENT_CONFIG_ROLLED_BACK:
        log_info("a change of the members was undone index=%" PRIu64, e->b);
        break;
    case RAFT_EVENT_PREFERRED:
        log_info("%s is preferred and has caught up term=%" PRIu64, member_name(n, e->a), e->b);
        break;
    case RAFT_EVENT_TRANSFER_ABORTED:
        log_info("hand-over to %s was given up term=%" PRIu64, member_name(n, e->a), e->b);
        return true;
    default:
        log_debug("raft %s a=%" PRIu64 " b=%" PRIu64, raft_event_name(e->kind), e->a, e->b);
        break;
    }
    return false;
}
