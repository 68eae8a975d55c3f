/* metrics.c - GET /metrics: the figures of this member as Prometheus text. */
#include "api/audit.h"
#include "api/metric_text.h"
#include "api/rest.h"

#include "base/mem.h"

#include <inttypes.h>

/* One figure of struct node_metrics. */
struct figure {
    const char *name;
    const char *help;
    bool is_counter;
    size_t offset;
};

#define GAUGE(field, name, help)                                                                   \
    {                                                                                              \
        "conclave_" name, help, false, offsetof(struct node_metrics, field)                        \
    }
#define COUNTER(field, name, help)                                                                 \
    {                                                                                              \
        "conclave_" name "_total", help, true, offsetof(struct node_metrics, field)                \
    }

static const struct figure figures[] = {
    GAUGE(writes_waiting, "writes_waiting", "Writes that wait for their outcome."),
    GAUGE(reads_waiting, "reads_waiting", "Reads that wait to be confirmed or applied."),
    GAUGE(lease_asks_waiting, "lease_asks_waiting",
          "Keep-alives, and questions how long a lease has, that wait for their answers."),
    GAUGE(uncommitted_bytes, "uncommitted_bytes", "Payload bytes proposed and not committed."),
    GAUGE(uncommitted_entries, "uncommitted_entries", "Entries proposed and not committed."),
    GAUGE(log_tail_bytes, "log_tail_bytes", "Payload bytes of the log kept in memory."),
    GAUGE(apply_backlog, "apply_backlog_entries", "Entries committed and not applied."),
    GAUGE(peer_unsent_bytes, "peer_unsent_bytes", "Bytes that wait to be sent to other members."),
    GAUGE(log_disk_bytes, "log_disk_bytes", "Bytes that the log takes on disk."),
    COUNTER(log_written_bytes, "log_written_bytes", "Bytes of records written to the log."),
    GAUGE(log_room_bytes, "log_room_bytes", "Bytes that the log can take without new space."),
    GAUGE(snapshot_index, "snapshot_index", "Log index of the newest snapshot."),
    GAUGE(watches.watches, "watches", "Watches of clients."),
    GAUGE(watches.slow, "watches_slow", "Of these, paused or behind."),
    COUNTER(watches.events, "watch_events", "Events told to watches."),
    COUNTER(proposals, "proposals", "Writes taken into the log as leader."),
    COUNTER(proposals_refused, "proposals_refused", "Writes refused before the log."),
    COUNTER(reads, "reads", "Reads begun."),
    COUNTER(elections_won, "elections_won", "Elections that this member won."),
    COUNTER(leader_changes, "leader_changes", "Times that this member learned of another leader."),
    COUNTER(quorum_lost, "quorum_lost",
            "Times that this leader stepped down for want of a quorum."),
    COUNTER(fault_drops, "fault_drops", "Messages lost, both ways, because /faults says so."),
    COUNTER(peer_bad_frames, "peer_bad_frames",
            "Links of members that ended with a frame that was damaged, forged or out of place."),
    COUNTER(peer_bad_secrets, "peer_bad_secrets",
            "Links refused because the other side does not have the cluster's secret."),
    COUNTER(peer_bad_versions, "peer_bad_versions",
            "Links refused because the other side speaks another protocol."),
    COUNTER(peer_refused_hellos, "peer_refused_hellos",
            "Links refused as of another cluster, of no member, or of a copied one."),
    COUNTER(peer_strangers, "peer_strangers",
            "Connections at /peer that did not prove in time to be of a member."),
    COUNTER(stalls, "disk_stalls", "Times that a write to the log hung."),
    COUNTER(snapshots_taken, "snapshots_taken", "Snapshots written."),
    COUNTER(snapshots_sent, "snapshots_sent", "Snapshots sent whole to another member."),
    COUNTER(snapshots_installed, "snapshots_installed",
            "Snapshots taken over from another member."),
    COUNTER(scrub_rounds, "scrub_rounds",
            "Times that all closed segments were read and found sound."),
    COUNTER(damage_found, "damage_found", "Times that damage was found on disk."),
    COUNTER(digest_mismatches, "digest_mismatches", "Times that members' states differed."),
};

void metric_head(struct buf *out, const char *name, const char *help, const char *type)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_value(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static void print_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    metric_head(out, name, help, "gauge");
    print_value(out, name, value);
}

static void print_histogram(struct buf *out, const char *name, const char *help,
                            const struct node_histogram *h)
{
    metric_head(out, name, help, "histogram");
    uint64_t below = 0;
    for (uint32_t i = 0; i + 1 < NODE_HISTOGRAM_BUCKETS; i++) {
        below += h->counts[i];
        buf_printf(out, "%s_bucket{le=\"%.5f\"} %" PRIu64 "\n", name,
                   (double)(UINT64_C(10) << i) / 1e6, below);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n", name,
               h->count, name, (double)h->sum_us / 1e6, name, h->count);
}

static void print_elections(struct buf *out, const struct node_metrics *m)
{
    static const char name[] = "conclave_elections_total";
    metric_head(out, name, "Elections that this member began, by cause.", "counter");
    buf_printf(out, "%s{cause=\"timeout\"} %" PRIu64 "\n", name, m->elections_timeout);
    buf_printf(out, "%s{cause=\"leader_lost\"} %" PRIu64 "\n", name, m->elections_lost_leader);
    buf_printf(out, "%s{cause=\"transfer\"} %" PRIu64 "\n", name, m->elections_transfer);
}

static void print_refusals(struct buf *out, struct http_refusals r)
{
    static const char name[] = "conclave_http_refused_total";
    metric_head(out, name, "Connections beyond the limit, and bodies that were not read.",
                "counter");
    buf_printf(out, "%s{what=\"connection\"} %" PRIu64 "\n", name, r.connections);
    buf_printf(out, "%s{what=\"body\"} %" PRIu64 "\n", name, r.bodies);
}

static void print_servers(struct buf *out, const struct api *api)
{
    if (api->http != NULL) {
        print_gauge(out, "conclave_http_connections", "Open connections of clients of HTTP/1.",
                    http_server_connections(api->http));
        metric_head(out, "conclave_connections_closed_for_room_total",
                    "Connections of clients that asked for nothing, reset for new ones.",
                    "counter");
        print_value(out, "conclave_connections_closed_for_room_total",
                    http_server_closed_for_room(api->http));
        metric_head(out, "conclave_connections_closed_for_memory_total",
                    "Connections of clients that made this member keep the most, reset.",
                    "counter");
        print_value(out, "conclave_connections_closed_for_memory_total",
                    http_server_closed_for_memory(api->http));
        metric_head(out, "conclave_http_requests_total", "Requests of HTTP/1 since the start.",
                    "counter");
        print_value(out, "conclave_http_requests_total", http_server_requests(api->http));
        print_refusals(out, http_server_refusals(api->http));
    }
    if (api->grpc != NULL) {
        print_gauge(out, "conclave_grpc_connections", "Open connections of clients of gRPC.",
                    grpc_server_connections(api->grpc));
        print_gauge(out, "conclave_grpc_streams", "Calls of gRPC that are not finished.",
                    grpc_server_streams(api->grpc));
        metric_head(out, "conclave_grpc_requests_total",
                    "Messages of clients in calls of gRPC since the start.", "counter");
        print_value(out, "conclave_grpc_requests_total", grpc_server_requests(api->grpc));
    }
}

static void print_state(struct buf *out, struct api *api)
{
    const struct node_status *s = api_status(api);
    struct kv_stats stats;
    kv_stats(node_kv(api->options.node), &stats);
    bool leads = s->role != NULL && strcmp(s->role, "leader") == 0;
    print_gauge(out, "conclave_is_leader", "1 on the leader.", leads ? 1 : 0);
    print_gauge(out, "conclave_has_leader", "1 when a leader is known.", s->leader[0] != '\0');
    print_gauge(out, "conclave_term", "The term that this member is in.", s->term);
    print_gauge(out, "conclave_commit_index", "Highest index known to be committed.",
                s->commit_index);
    print_gauge(out, "conclave_applied_index", "Highest index applied.", s->applied_index);
    print_gauge(out, "conclave_revision", "Revision of the store.", stats.revision);
    print_gauge(out, "conclave_keys", "Live keys.", stats.keys);
    print_gauge(out, "conclave_documents", "Documents.", stats.documents);
    print_gauge(out, "conclave_live_bytes",
                "Bytes of live keys, values and documents: what the quota measures.",
                stats.live_bytes);
    print_gauge(out, "conclave_history_bytes", "Bytes that compaction would free.",
                stats.history_bytes);
    print_gauge(out, "conclave_store_memory_bytes", "Memory that the store holds.",
                stats.memory_bytes);
    print_gauge(out, "conclave_retry_keys", "Idempotency keys that are remembered.",
                stats.retry_keys);
    print_gauge(out, "conclave_recovering", "1 while this member regains what its disk lost.",
                s->recovering);
    print_gauge(out, "conclave_out_of_space", "1 while writes are refused for want of disk space.",
                s->no_space);
    print_gauge(out, "conclave_faults_set", "1 while faults are played (POST /faults).", s->faults);
    print_servers(out, api);
}

void rest_metrics(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct buf out = {0};
    struct node_metrics *m = mem_calloc(1, sizeof(*m));
    node_metrics_get(api->options.node, m);
    print_state(&out, api);
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        const struct figure *f = &figures[i];
        metric_head(&out, f->name, f->help, f->is_counter ? "counter" : "gauge");
        print_value(&out, f->name, *(const uint64_t *)(const void *)((const char *)m + f->offset));
    }
    print_elections(&out, m);
    print_histogram(&out, "conclave_log_sync_seconds", "One write and sync of the log.",
                    &m->log_sync);
    print_histogram(&out, "conclave_peer_round_seconds",
                    "From the leader's message to a voter's answer.", &m->peer_round);
    print_histogram(&out, "conclave_commit_seconds", "From a proposal to its application.",
                    &m->commit);
    mem_free(m);
    metric_head(&out, "conclave_peers_refused_total",
                "Connections at /peer whose certificate was none of a member's.", "counter");
    print_value(&out, "conclave_peers_refused_total", api->peers_refused);
    auth_print_metrics(api, &out);
    audit_print_metrics(api, &out);
    if (api->options.more_metrics != NULL) {
        api->options.more_metrics(api->options.more_context, &out);
    }
    answer_bytes(r, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, buf_slice(&out));
    buf_deinit(&out);
}
