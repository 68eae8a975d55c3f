/* node/figures.c - what a member counts of itself, for /metrics. */
#include "node/node_internal.h"

#define FIRST_BUCKET_US 10

void node_histogram_add(struct node_histogram *h, uint64_t us)
{
    uint32_t bucket = 0;
    for (uint64_t bound = FIRST_BUCKET_US; us >= bound && bucket + 1 < NODE_HISTOGRAM_BUCKETS;
         bound *= 2) {
        bucket++;
    }
    h->counts[bucket]++;
    h->sum_us += us;
    h->count++;
}

void node_count_event(struct node *n, const struct raft_event *e)
{
    struct node_metrics *m = &n->figures;
    switch (e->kind) {
    case RAFT_EVENT_ROLE:
        m->elections_won += (enum raft_role)e->a == RAFT_LEADER ? 1 : 0;
        break;
    case RAFT_EVENT_LEADER:
        m->leader_changes += e->a != 0 ? 1 : 0;
        break;
    case RAFT_EVENT_ELECTION_TIMEOUT:
        m->elections_timeout++;
        break;
    case RAFT_EVENT_LEADER_LOST:
        m->elections_lost_leader++;
        break;
    case RAFT_EVENT_QUORUM_LOST:
        m->quorum_lost++;
        break;
    default:
        break;
    }
}

void node_count_message(struct node *n, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_TIMEOUT_NOW:
        n->figures.elections_transfer += raft_role(n->raft) == RAFT_FOLLOWER ? 0 : 1;
        break;
    case RAFT_MSG_APPEND_REPLY:
    case RAFT_MSG_HEARTBEAT_REPLY: {
        uint64_t now_ms = node_now(n);
        if (node_is_leader(n) && m->term == raft_term_now(n->raft) && m->sent_ms <= now_ms) {
            node_histogram_add(&n->figures.peer_round, (now_ms - m->sent_ms) * 1000);
        }
        break;
    }
    default:
        break;
    }
}

void node_metrics_get(const struct node *n, struct node_metrics *m)
{
    *m = n->figures;
    m->writes_waiting = n->write_count;
    m->reads_waiting = n->read_count;
    m->lease_asks_waiting = n->leases.ask_count;
    m->log_room_bytes = n->write.room_bytes;
    m->log_disk_bytes = n->write.disk_bytes;
    m->log_written_bytes = n->write.written_bytes;
    m->peer_unsent_bytes = peers_unsent_bytes(n->peers);
    struct peers_counters links = peers_counters(n->peers);
    m->fault_drops = links.fault_drops;
    m->peer_bad_frames = links.bad_frames;
    m->peer_bad_secrets = links.bad_secrets;
    m->peer_bad_versions = links.bad_versions;
    m->peer_refused_hellos = links.refused_hellos;
    m->peer_strangers = links.strangers;
    m->snapshots_taken = n->snapshots.taken;
    m->snapshots_sent = n->snapshots.sent;
    m->snapshots_installed = n->snapshots.installed;
    m->snapshot_index = n->snapshots.newest.index;
    kv_watch_hub_stats(n->watches, &m->watches);
    if (n->raft != NULL) {
        struct raft_figures figures = raft_figures(n->raft);
        m->uncommitted_bytes = figures.uncommitted_bytes;
        m->uncommitted_entries = figures.uncommitted_entries;
        m->log_tail_bytes = figures.tail_bytes;
        raft_index commit = raft_commit(n->raft);
        m->apply_backlog = commit > n->applied ? commit - n->applied : 0;
    }
}
