/* etcd_maintenance.c - status, alarms, hashes, backups and leadership, as etcd's clients ask. */
#include "api/etcd_call.h"

#include "api/rest.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/mem.h"

#include <sodium.h>
#include <stdio.h>

/* --- status ----------------------------------------------------------------------------------- */

static uint64_t leader_id(const struct node_status *s)
{
    for (uint32_t i = 0; i < s->member_count; i++) {
        if (s->leader[0] != '\0' && strcmp(s->members[i].name, s->leader) == 0) {
            return s->members[i].id;
        }
    }
    return 0;
}

static void start_status(struct etcd_call *call)
{
    static char no_leader[] = "etcdserver: no leader";
    char no_space[64];
    char *errors[2];
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__StatusResponse response = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    etcd_header(call->api, &header);
    const struct node_status *s = api_status(call->api);
    struct kv_stats stats;
    kv_stats(node_kv(call->api->options.node), &stats);
    response.header = &header;
    response.version = (char *)(uintptr_t)ETCD_SERVER_VERSION;
    response.dbsize = (int64_t)stats.memory_bytes;
    response.dbsizeinuse = (int64_t)(stats.live_bytes + stats.history_bytes);
    response.leader = leader_id(s);
    response.raftindex = s->commit_index;
    response.raftappliedindex = s->applied_index;
    response.raftterm = s->term;
    response.islearner = s->role != NULL && strcmp(s->role, "learner") == 0;
    response.errors = errors;
    if (response.leader == 0) {
        errors[response.n_errors++] = no_leader;
    }
    if (s->no_space) {
        snprintf(no_space, sizeof(no_space), "memberID:%llu alarm:NOSPACE ",
                 (unsigned long long)s->id);
        errors[response.n_errors++] = no_space;
    }
    etcd_answer(call, &response.base);
}

/* --- alarms ----------------------------------------------------------------------------------- */

/* NOSPACE is what the member sees now: it comes and goes by itself (rule P12), so that there is
 * nothing to deactivate, and none can be raised by hand. */
static void start_alarm(struct etcd_call *call)
{
    const Etcdserverpb__AlarmRequest *request = (const void *)call->request;
    if (request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE) {
        etcd_fail_text(call, GRPC_UNIMPLEMENTED, "alarms come and go by themselves");
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AlarmResponse response = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    Etcdserverpb__AlarmMember alarm = ETCDSERVERPB__ALARM_MEMBER__INIT;
    Etcdserverpb__AlarmMember *alarms[] = {&alarm};
    etcd_header(call->api, &header);
    const struct node_status *s = api_status(call->api);
    response.header = &header;
    response.alarms = alarms;
    alarm.memberid = s->id;
    alarm.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    bool is_asked = (request->memberid == 0 || request->memberid == s->id) &&
                    (request->alarm == ETCDSERVERPB__ALARM_TYPE__NONE ||
                     request->alarm == ETCDSERVERPB__ALARM_TYPE__NOSPACE);
    bool gets = request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET;
    response.n_alarms = gets && s->no_space && is_asked ? 1 : 0;
    etcd_answer(call, &response.base);
}

/* --- defragmentation -------------------------------------------------------------------------- */

/* The state is in memory, and what compaction frees is used again: there is nothing to do. */
static void start_defragment(struct etcd_call *call)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__DefragmentResponse response = ETCDSERVERPB__DEFRAGMENT_RESPONSE__INIT;
    etcd_header(call->api, &header);
    response.header = &header;
    etcd_answer(call, &response.base);
}

/* --- hashes ----------------------------------------------------------------------------------- */

/* Of everything that members must have alike (rule P15): equal at equal applied indexes. */
static void start_hash(struct etcd_call *call)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__HashResponse response = ETCDSERVERPB__HASH_RESPONSE__INIT;
    struct kv_digest digest = kv_digest(node_kv(call->api->options.node));
    uint8_t bytes[16];
    store_u64(bytes, digest.half[0]);
    store_u64(bytes + 8, digest.half[1]);
    etcd_header(call->api, &header);
    response.header = &header;
    response.hash = crc32c(0, bytes, sizeof(bytes));
    etcd_answer(call, &response.base);
}

/* Keys of one turn of the loop, about a millisecond. */
#define HASH_KEYS_PER_TURN 2000

struct hash_kv_call {
    struct etcd_call call;
    struct timer timer;
    struct kv_cursor cursor;
    uint64_t compact_revision;
    uint64_t revision;
    uint32_t hash;
};

static void destroy_hash_kv(struct etcd_call *call)
{
    struct hash_kv_call *h = CONTAINER_OF(call, struct hash_kv_call, call);
    struct loop *loop = call->api->options.loop;
    loop->ops->timer_stop(loop, &h->timer);
    kv_cursor_deinit(&h->cursor);
}

static void hash_item(struct hash_kv_call *h, const struct kv_item *item)
{
    uint8_t numbers[48];
    store_u64(numbers, item->key.size);
    store_u64(numbers + 8, item->value.size);
    store_u64(numbers + 16, item->create_revision);
    store_u64(numbers + 24, item->revision);
    store_u64(numbers + 32, item->version);
    store_u64(numbers + 40, item->lease);
    h->hash = crc32c(h->hash, numbers, sizeof(numbers));
    h->hash = crc32c(h->hash, item->key.data, item->key.size);
    h->hash = crc32c(h->hash, item->value.data, item->value.size);
}

static void answer_hash_kv(struct hash_kv_call *h)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__HashKVResponse response = ETCDSERVERPB__HASH_KVRESPONSE__INIT;
    etcd_header_at(h->call.api, h->revision, &header);
    response.header = &header;
    response.hash = h->hash;
    response.compact_revision = (int64_t)h->compact_revision;
    etcd_answer(&h->call, &response.base);
}

/* A walk over the keys as they were at the revision, some each turn of the loop. */
static void hash_more(struct timer *t)
{
    struct hash_kv_call *h = t->context;
    struct kv_item item;
    for (unsigned i = 0; i < HASH_KEYS_PER_TURN; i++) {
        enum status status = kv_cursor_next(&h->cursor, &item);
        if (status == STATUS_NOT_FOUND) {
            answer_hash_kv(h);
            return;
        }
        if (status != STATUS_OK) {
            etcd_fail(&h->call, etcd_error_of(status));
            return;
        }
        hash_item(h, &item);
    }
    struct loop *loop = h->call.api->options.loop;
    loop->ops->timer_start(loop, &h->timer, loop->ops->now_ms(loop));
}

static void start_hash_kv(struct etcd_call *call)
{
    struct hash_kv_call *h = CONTAINER_OF(call, struct hash_kv_call, call);
    const Etcdserverpb__HashKVRequest *request = (const void *)call->request;
    const struct kv *kv = node_kv(call->api->options.node);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    h->compact_revision = stats.compact_revision;
    h->revision = request->revision > 0 ? (uint64_t)request->revision : stats.revision;
    struct slice all = slice_of(NULL, 0);
    enum status status = kv_cursor_init(&h->cursor, kv, all, all, h->revision);
    if (status != STATUS_OK) {
        etcd_fail(call, etcd_error_of(status));
        return;
    }
    h->timer = (struct timer){.fire = hash_more, .context = h};
    call->destroy = destroy_hash_kv;
    hash_more(&h->timer);
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* Clients take a file for whole when it is 32 bytes longer than a multiple of this. */
#define SNAPSHOT_PAGE_BYTES 512

struct snapshot_call {
    struct etcd_call call;
    struct node_backup backup;
    bool started; /* node_backup_start said yes */
    bool asked;   /* for a piece that has not come */
    uint64_t sent;
    crypto_hash_sha256_state sum;
};

static void destroy_snapshot(struct etcd_call *call)
{
    struct snapshot_call *s = CONTAINER_OF(call, struct snapshot_call, call);
    if (s->started) {
        node_backup_end(&s->backup);
    }
}

static uint64_t padded(uint64_t size)
{
    return (size + SNAPSHOT_PAGE_BYTES - 1) / SNAPSHOT_PAGE_BYTES * SNAPSHOT_PAGE_BYTES;
}

static void send_blob(struct snapshot_call *s, struct slice bytes, uint64_t remaining)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__SnapshotResponse response = ETCDSERVERPB__SNAPSHOT_RESPONSE__INIT;
    etcd_header_at(s->call.api, s->backup.revision, &header);
    response.header = &header;
    response.remaining_bytes = remaining;
    response.blob.data = (uint8_t *)(uintptr_t)bytes.data;
    response.blob.len = bytes.size;
    etcd_reply(&s->call, &response.base);
}

static void send_piece(struct snapshot_call *s, struct slice bytes)
{
    crypto_hash_sha256_update(&s->sum, bytes.data, bytes.size);
    s->sent += bytes.size;
    send_blob(s, bytes, padded(s->backup.size_bytes) - s->sent);
}

/* Zeros up to the end of a page, and the sum of all. */
static void send_end(struct snapshot_call *s)
{
    static const uint8_t zeros[SNAPSHOT_PAGE_BYTES];
    uint8_t sum[crypto_hash_sha256_BYTES];
    if (padded(s->sent) > s->sent) {
        send_piece(s, slice_of(zeros, padded(s->sent) - s->sent));
    }
    crypto_hash_sha256_final(&s->sum, sum);
    send_blob(s, slice_of(sum, sizeof(sum)), 0);
    etcd_finish(&s->call);
}

static void ask_next(struct snapshot_call *s)
{
    if (!s->asked && etcd_wants_more(&s->call)) {
        s->asked = true;
        node_backup_next(&s->backup);
    }
}

static void on_snapshot_writable(struct etcd_call *call)
{
    ask_next(CONTAINER_OF(call, struct snapshot_call, call));
}

static void on_piece(struct node_backup *b, enum status status, struct slice bytes)
{
    struct snapshot_call *s = b->context;
    s->asked = false;
    if (status != STATUS_OK) {
        etcd_fail_text(&s->call, GRPC_INTERNAL, "the snapshot cannot be read");
    } else if (bytes.size == 0) {
        send_end(s);
    } else {
        send_piece(s, bytes);
        ask_next(s);
    }
}

static void on_ready(struct node_backup *b)
{
    struct snapshot_call *s = b->context;
    if (b->status == STATUS_BUSY) {
        etcd_fail(&s->call, ETCD_TOO_MANY_REQUESTS); /* one at a time */
    } else if (b->status != STATUS_OK) {
        etcd_fail(&s->call, etcd_error_of(b->status));
    } else {
        s->call.on_writable = on_snapshot_writable;
        ask_next(s);
    }
}

static void start_snapshot(struct etcd_call *call)
{
    struct snapshot_call *s = CONTAINER_OF(call, struct snapshot_call, call);
    call->destroy = destroy_snapshot;
    crypto_hash_sha256_init(&s->sum);
    s->backup.ready = on_ready;
    s->backup.piece = on_piece;
    s->backup.context = s;
    enum status status = node_backup_start(call->api->options.node, &s->backup);
    s->started = status == STATUS_OK;
    if (status != STATUS_OK) {
        s->backup.status = status;
        on_ready(&s->backup);
    }
}

/* --- leadership ------------------------------------------------------------------------------- */

struct move_call {
    struct etcd_call call;
    struct node_step_down step_down;
    bool waits;
};

static void answer_moved(struct etcd_call *call)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__MoveLeaderResponse response = ETCDSERVERPB__MOVE_LEADER_RESPONSE__INIT;
    etcd_header(call->api, &header);
    response.header = &header;
    etcd_answer(call, &response.base);
}

static void refuse_move(struct etcd_call *call, enum status status)
{
    switch (status) {
    case STATUS_NOT_LEADER:
        etcd_fail(call, ETCD_NOT_LEADER);
        return;
    case STATUS_NOT_FOUND:
        etcd_fail(call, ETCD_BAD_TRANSFEREE);
        return;
    case STATUS_CONFLICT: /* it is the target, and leads */
        answer_moved(call);
        return;
    case STATUS_NO_QUORUM:
        etcd_fail(call, ETCD_TIMED_OUT_LEADER);
        return;
    default:
        etcd_fail(call, etcd_error_of(status));
    }
}

static void on_moved(struct node_step_down *d)
{
    struct move_call *m = d->context;
    m->waits = false;
    if (d->status == STATUS_OK) {
        answer_moved(&m->call);
    } else {
        refuse_move(&m->call, d->status);
    }
}

static void destroy_move(struct etcd_call *call)
{
    struct move_call *m = CONTAINER_OF(call, struct move_call, call);
    if (m->waits) {
        node_step_down_cancel(&m->step_down);
    }
}

static void start_move(struct etcd_call *call)
{
    struct move_call *m = CONTAINER_OF(call, struct move_call, call);
    const Etcdserverpb__MoveLeaderRequest *request = (const void *)call->request;
    const struct node_status *s = api_status(call->api);
    if (leader_id(s) != s->id) {
        etcd_fail(call, ETCD_NOT_LEADER);
        return;
    }
    for (uint32_t i = 0; i < s->member_count; i++) {
        if (s->members[i].id == request->targetid) {
            snprintf(m->step_down.to, sizeof(m->step_down.to), "%s", s->members[i].name);
        }
    }
    if (m->step_down.to[0] == '\0') {
        etcd_fail(call, ETCD_BAD_TRANSFEREE);
        return;
    }
    call->destroy = destroy_move;
    m->step_down.done = on_moved;
    m->step_down.context = m;
    enum status status = node_step_down_start(call->api->options.node, &m->step_down);
    m->waits = status == STATUS_OK;
    if (status != STATUS_OK) {
        refuse_move(call, status);
    }
}

/* There is no older version to go back to in step. */
static void start_downgrade(struct etcd_call *call)
{
    const Etcdserverpb__DowngradeRequest *request = (const void *)call->request;
    bool cancels = request->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL;
    etcd_fail(call, cancels ? ETCD_NO_DOWNGRADE : ETCD_BAD_DOWNGRADE_VERSION);
}

/* --- the table -------------------------------------------------------------------------------- */

static const struct etcd_method methods[] = {
    {.path = "/etcdserverpb.Maintenance/Alarm",
     .routes = {"/maintenance/alarm"},
     .request = &etcdserverpb__alarm_request__descriptor,
     .response = &etcdserverpb__alarm_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct etcd_call),
     .start = start_alarm},
    {.path = "/etcdserverpb.Maintenance/Status",
     .routes = {"/maintenance/status"},
     .request = &etcdserverpb__status_request__descriptor,
     .response = &etcdserverpb__status_response__descriptor,
     .access = ETCD_FOR_ALL,
     .reads = true,
     .call_size = sizeof(struct etcd_call),
     .start = start_status},
    {.path = "/etcdserverpb.Maintenance/Defragment",
     .routes = {"/maintenance/defragment"},
     .request = &etcdserverpb__defragment_request__descriptor,
     .response = &etcdserverpb__defragment_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct etcd_call),
     .start = start_defragment},
    {.path = "/etcdserverpb.Maintenance/Hash",
     .routes = {"/maintenance/hash"},
     .request = &etcdserverpb__hash_request__descriptor,
     .response = &etcdserverpb__hash_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .reads = true,
     .call_size = sizeof(struct etcd_call),
     .start = start_hash},
    {.path = "/etcdserverpb.Maintenance/HashKV",
     .routes = {"/maintenance/hashkv"},
     .request = &etcdserverpb__hash_kvrequest__descriptor,
     .response = &etcdserverpb__hash_kvresponse__descriptor,
     .access = ETCD_FOR_ADMIN,
     .reads = true,
     .call_size = sizeof(struct hash_kv_call),
     .start = start_hash_kv},
    {.path = "/etcdserverpb.Maintenance/Snapshot",
     .routes = {"/maintenance/snapshot"},
     .request = &etcdserverpb__snapshot_request__descriptor,
     .response = &etcdserverpb__snapshot_response__descriptor,
     .server_streams = true,
     .access = ETCD_FOR_BACKUP,
     .call_size = sizeof(struct snapshot_call),
     .start = start_snapshot},
    {.path = "/etcdserverpb.Maintenance/MoveLeader",
     .routes = {"/maintenance/transfer-leadership"},
     .request = &etcdserverpb__move_leader_request__descriptor,
     .response = &etcdserverpb__move_leader_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct move_call),
     .start = start_move},
    {.path = "/etcdserverpb.Maintenance/Downgrade",
     .routes = {"/maintenance/downgrade"},
     .request = &etcdserverpb__downgrade_request__descriptor,
     .response = &etcdserverpb__downgrade_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct etcd_call),
     .start = start_downgrade},
};

const struct etcd_service etcd_maintenance_service = {methods,
                                                      sizeof(methods) / sizeof(methods[0])};
