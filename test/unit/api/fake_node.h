/* fake_node.h - node/node.h without a cluster, replaced at link time. */
#pragma once

#include "base/buf.h"
#include "node/node.h"

/* How the node behaves; the test sets it. After fake_node_init: a leader that says yes to
 * everything. */
struct node {
    struct kv *kv;
    struct kv_watch_hub *watches;
    struct node_leader_guard *guard;
    struct node_status status;
    enum status write_start;   /* of node_write_start */
    enum status write_outcome; /* OK: what kv says */
    uint64_t overload_bytes;   /* node_is_overloaded, from here on */
    uint64_t lease_ttl_min;
    enum status lease_start;
    enum status lease_outcome; /* OK: what kv says, and a second of it has passed */
    struct node_lease_ask *lease_ask;
    enum status read_outcome;
    bool reads_wait; /* until fake_turn; otherwise at once */
    enum status survey_start;
    enum status step_down_start;
    enum status step_down_outcome;
    uint64_t write_ahead; /* so many revisions is the leader ahead that a write went to */
    struct list writes;
    struct node_read *read;
    struct node_survey *survey;
    struct node_step_down *step_down;
    struct node_read last_read; /* as it was started */
    enum node_ack last_ack;
    bool last_forward;
    const char *forwarded_to; /* the leader that a write says it went to; NULL = none */
    uint32_t campaigns;
    uint32_t cancels;
    uint32_t missing_count;
    const char *missing[LIMIT_MEMBERS];
    uint32_t survey_count;
    struct node_survey_item survey_items[LIMIT_MEMBERS];
    struct node_check checks[NODE_CHECKS_MAX];
    uint32_t check_count;
    bool live;
    struct conn *peer; /* given to node_take_peer */
    struct node_membership membership;
    enum status change_start;
    enum status change_outcome;
    const char *change_why; /* NULL = nothing to say */
    struct node_change *change;
    enum status backup_start;
    enum status backup_outcome;
    struct slice backup_bytes; /* handed out in pieces of FAKE_PIECE_BYTES */
    uint64_t backup_fails_at;  /* this offset cannot be read; 0 = none */
    struct node_backup *backup;
    bool backup_wanted; /* a piece */
    struct node_metrics metrics;
    enum status replication_outcome;
    struct node_replication replication;
    enum status log_start;
    enum status log_outcome;
    uint64_t log_oldest;
    uint64_t log_newest;
    const struct node_log_entry *log_entries; /* what is answered, whatever was asked */
    uint32_t log_count;
    struct node_log_read *log_read;
    struct node_log_read last_log_read; /* as it was started */
    uint32_t load_count;
    struct node_load_item loads[LIMIT_MEMBERS];
    struct node_load own_load;
    struct fault_set faults;
};

#define FAKE_PIECE_BYTES 10

extern struct node fake_node;

void fake_node_init(void);
void fake_node_deinit(void);
/* The node answers what waits. */
void fake_turn(void);
