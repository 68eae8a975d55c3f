/* fake_node.c - a member without Raft: writes go to a real store when the test says "turn". */
#include "fake_node.h"

#include "kv/kv_lease.h"

#include "base/check.h"

#include <stdio.h>

struct node fake_node;

static void add_member(const char *name, const char *url, bool self)
{
    struct node_member *m = &fake_node.status.members[fake_node.status.member_count++];
    *m = (struct node_member){.id = fake_node.status.member_count, .self = self};
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->url, sizeof(m->url), "%s", url);
}

void fake_node_init(void)
{
    struct node_status *s = &fake_node.status;
    memset(&fake_node, 0, sizeof(fake_node));
    fake_node.kv = kv_create();
    fake_node.watches = kv_watch_hub_create(fake_node.kv);
    fake_node.live = true;
    list_init(&fake_node.writes);
    s->name = "node-1";
    s->role = "leader";
    s->term = 3;
    s->commit_index = 12;
    s->applied_index = 11;
    s->uptime_ms = 5000;
    memset(s->cluster.bytes, 0xab, sizeof(s->cluster.bytes));
    snprintf(s->leader, sizeof(s->leader), "node-1");
    snprintf(s->leader_url, sizeof(s->leader_url), "http://127.0.0.1:4001");
    add_member("node-1", "http://127.0.0.1:4001", true);
    add_member("node-2", "http://127.0.0.1:4002", false);
    add_member("node-3", "http://127.0.0.1:4003", false);
}

void fake_node_deinit(void)
{
    kv_watch_hub_close(fake_node.watches);
    kv_watch_hub_destroy(fake_node.watches);
    kv_destroy(fake_node.kv);
}

bool node_leader_guard_start(struct node *n, struct node_leader_guard *g)
{
    n->guard = g;
    return n->status.leader[0] != '\0';
}

void node_leader_guard_cancel(struct node_leader_guard *g)
{
    fake_node.guard = fake_node.guard == g ? NULL : fake_node.guard;
}

const struct kv_watch_hub *node_watch_hub(const struct node *n)
{
    return n->watches;
}

enum status node_watch_start(struct node *n, struct kv_watch *w)
{
    return kv_watch_start(n->watches, w);
}

bool node_is_overloaded(const struct node *n, uint64_t bytes)
{
    (void)n;
    return bytes >= fake_node.overload_bytes;
}

enum status node_write_start(struct node *n, struct node_write *w, const struct kv_command *command)
{
    n->last_ack = w->ack;
    n->last_forward = w->forward;
    snprintf(w->leader, sizeof(w->leader), "%s", n->forwarded_to != NULL ? n->forwarded_to : "");
    if (n->write_start != STATUS_OK) {
        return n->write_start;
    }
    struct kv_command timed = *command;
    timed.retry_origin = n->status.members[0].id;
    kv_apply_answered(n->kv, &timed, &w->result, w->answer);
    w->result.revision += n->write_ahead;
    w->index = 41;
    w->term = n->status.term;
    w->status = n->write_outcome != STATUS_OK ? n->write_outcome : w->result.status;
    w->missing_count = n->missing_count;
    for (uint32_t i = 0; i < w->missing_count; i++) {
        snprintf(w->missing[i], sizeof(w->missing[i]), "%s", n->missing[i]);
    }
    list_push_back(&n->writes, &w->link);
    return STATUS_OK;
}

void node_write_cancel(struct node_write *w)
{
    CHECK(!list_is_empty(&w->link)); /* it still waits */
    list_remove(&w->link);
    fake_node.cancels++;
}

enum status node_lease_start(struct node *n, struct node_lease_ask *a)
{
    n->lease_ask = n->lease_start == STATUS_OK ? a : NULL;
    return n->lease_start;
}

void node_lease_cancel(struct node_lease_ask *a)
{
    CHECK(fake_node.lease_ask == a);
    fake_node.lease_ask = NULL;
    fake_node.cancels++;
}

static void turn_lease(struct node *n)
{
    struct node_lease_ask *a = n->lease_ask;
    struct kv_lease lease;
    n->lease_ask = NULL;
    if (a == NULL) {
        return;
    }
    a->status = n->lease_outcome;
    if (a->status == STATUS_OK && !kv_lease_get(n->kv, a->id, &lease)) {
        a->status = STATUS_NO_LEASE;
    }
    if (a->status == STATUS_OK) {
        a->ttl_s = lease.ttl_s;
        a->remaining_s = lease.ttl_s - 1;
    }
    a->done(a);
}

uint64_t node_lease_ttl_min(const struct node *n)
{
    return n->lease_ttl_min;
}

void node_read_start(struct node *n, struct node_read *r)
{
    n->last_read = *r;
    r->status = n->read_outcome;
    if (n->reads_wait) {
        n->read = r;
    } else {
        r->done(r);
    }
}

void node_read_cancel(struct node_read *r)
{
    CHECK(fake_node.read == r);
    fake_node.read = NULL;
    fake_node.cancels++;
}

const struct kv *node_kv(const struct node *n)
{
    return n->kv;
}

void node_status_get(const struct node *n, struct node_status *status)
{
    *status = n->status;
}

const char *node_name(const struct node *n)
{
    return n->status.name;
}

uint64_t node_own_id(const struct node *n)
{
    return n->status.id;
}

struct uuid node_cluster(const struct node *n)
{
    return n->status.cluster;
}

const char *node_role(const struct node *n)
{
    return n->status.role;
}

uint64_t node_term(const struct node *n)
{
    return n->status.term;
}

bool node_knows_leader(const struct node *n)
{
    return n->status.leader[0] != '\0';
}

void node_founding_text(const struct node *n, char *text, size_t size)
{
    snprintf(text, size, "%s", n->status.founding ? "waiting for node-3" : "");
}

enum status node_survey_start(struct node *n, struct node_survey *s)
{
    if (n->survey_start == STATUS_OK) {
        n->survey = s;
    }
    return n->survey_start;
}

void node_survey_cancel(struct node_survey *s)
{
    CHECK(fake_node.survey == s);
    fake_node.survey = NULL;
    fake_node.cancels++;
}

enum status node_step_down_start(struct node *n, struct node_step_down *d)
{
    if (n->step_down_start == STATUS_OK) {
        n->step_down = d;
    }
    return n->step_down_start;
}

void node_step_down_cancel(struct node_step_down *d)
{
    CHECK(fake_node.step_down == d);
    fake_node.step_down = NULL;
    fake_node.cancels++;
}

void node_campaign(struct node *n)
{
    n->campaigns++;
}

bool node_is_live(const struct node *n, char *why, size_t size)
{
    snprintf(why, size, "%s", n->live ? "" : "the loop hangs");
    return n->live;
}

uint32_t node_ready_checks(const struct node *n, struct node_check checks[NODE_CHECKS_MAX])
{
    memcpy(checks, n->checks, sizeof(n->checks));
    return n->check_count;
}

void node_take_peer(struct node *n, struct conn *c, struct slice rest)
{
    (void)rest;
    n->peer = c;
    if (c->loop != NULL) {
        c->loop->ops->conn_close(c, false);
    }
}

void node_faults_set(struct node *n, const struct fault_set *faults)
{
    n->faults = *faults;
}

void node_faults_get(const struct node *n, struct fault_set *faults)
{
    *faults = n->faults;
}

void node_membership_get(const struct node *n, struct node_membership *m)
{
    *m = n->membership;
}

enum status node_change_start(struct node *n, struct node_change *c)
{
    if (n->change_why != NULL) {
        snprintf(c->why, sizeof(c->why), "%s", n->change_why);
    }
    if (n->change_start == STATUS_OK) {
        n->change = c;
    }
    return n->change_start;
}

void node_change_cancel(struct node_change *c)
{
    CHECK(fake_node.change == c);
    fake_node.change = NULL;
    fake_node.cancels++;
}

enum status node_backup_start(struct node *n, struct node_backup *b)
{
    if (n->backup_start == STATUS_OK) {
        n->backup = b;
        b->size_bytes = n->backup_bytes.size;
        b->index = 11;
        b->revision = 5;
    }
    return n->backup_start;
}

void node_backup_next(struct node_backup *b)
{
    CHECK(fake_node.backup == b && !fake_node.backup_wanted);
    fake_node.backup_wanted = true;
}

void node_backup_end(struct node_backup *b)
{
    CHECK(fake_node.backup == b);
    fake_node.backup = NULL;
    fake_node.backup_wanted = false;
    fake_node.cancels++;
}

void node_metrics_get(const struct node *n, struct node_metrics *m)
{
    *m = n->metrics;
}

enum status node_replication_get(const struct node *n, struct node_replication *r)
{
    *r = n->replication;
    return n->replication_outcome;
}

enum status node_log_read_start(struct node *n, struct node_log_read *r)
{
    n->last_log_read = *r;
    r->oldest = n->log_oldest;
    r->newest = n->log_newest;
    if (n->log_start == STATUS_OK) {
        n->log_read = r;
    }
    return n->log_start;
}

void node_log_read_cancel(struct node_log_read *r)
{
    CHECK(fake_node.log_read == r);
    fake_node.log_read = NULL;
    fake_node.cancels++;
}

static void turn_log(struct node *n)
{
    struct node_log_read *r = n->log_read;
    n->log_read = NULL;
    if (r != NULL) {
        r->status = n->log_outcome;
        r->entries = n->log_entries;
        r->count = n->log_count;
        r->done(r);
    }
}

static void hand_out_piece(struct node *n, struct node_backup *b)
{
    uint64_t left = n->backup_bytes.size - b->offset;
    uint64_t size = left < FAKE_PIECE_BYTES ? left : FAKE_PIECE_BYTES;
    struct slice piece = slice_of(n->backup_bytes.data + b->offset, size);
    n->backup_wanted = false;
    if (n->backup_fails_at != 0 && b->offset + size >= n->backup_fails_at) {
        b->piece(b, STATUS_IO, slice_of(NULL, 0));
        return;
    }
    b->offset += size;
    b->piece(b, STATUS_OK, piece);
}

static void turn_backup(struct node *n)
{
    if (n->backup == NULL) {
        return;
    }
    if (n->backup_wanted) {
        hand_out_piece(n, n->backup);
    } else if (n->backup->offset == 0) {
        n->backup->status = n->backup_outcome;
        n->backup->ready(n->backup);
    }
}

static void turn_change(struct node *n)
{
    struct node_change *change = n->change;
    n->change = NULL;
    if (change != NULL) {
        change->status = n->change_outcome;
        change->done(change);
    }
}

void fake_turn(void)
{
    struct node *n = &fake_node;
    turn_backup(n);
    turn_change(n);
    turn_log(n);
    turn_lease(n);
    struct node_read *read = n->read;
    struct node_survey *survey = n->survey;
    struct node_step_down *step_down = n->step_down;
    n->read = NULL;
    n->survey = NULL;
    n->step_down = NULL;
    struct list *link;
    while ((link = list_pop_front(&n->writes)) != NULL) {
        struct node_write *w = CONTAINER_OF(link, struct node_write, link);
        w->done(w);
    }
    if (read != NULL) {
        read->done(read);
    }
    if (survey != NULL) {
        survey->count = n->survey_count;
        memcpy(survey->items, n->survey_items, sizeof(n->survey_items));
        survey->done(survey);
    }
    if (step_down != NULL) {
        step_down->status = n->step_down_outcome;
        step_down->done(step_down);
    }
}

void node_set_load(struct node *n, const struct node_load *load)
{
    n->own_load = *load;
}

uint32_t node_loads_get(const struct node *n, struct node_load_item items[LIMIT_MEMBERS])
{
    memcpy(items, n->loads, n->load_count * sizeof(items[0]));
    return n->load_count;
}
