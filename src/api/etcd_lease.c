/* etcd_lease.c - leases (rules T1 to T3), as etcd's clients ask for them.
 *
 * Grants and revokes are writes, which any member hands to the leader; what is left of a lease only
 * the leader's clock knows (node.h). */
#include "api/etcd_call.h"

#include "api/etcd_access.h"
#include "api/rest.h"
#include "kv/kv_lease.h"

/* --- grant and revoke ------------------------------------------------------------------------- */

struct lease_write {
    struct etcd_call call;
    struct node_write write;
    struct kv_command command;
    bool waits;
    struct node_read catch_up; /* of this member with what it is about to answer */
    bool catches_up;
};

static void destroy_write(struct etcd_call *call)
{
    struct lease_write *l = CONTAINER_OF(call, struct lease_write, call);
    if (l->waits) {
        node_write_cancel(&l->write);
    }
    if (l->catches_up) {
        node_read_cancel(&l->catch_up);
    }
}

static void answer_granted(struct lease_write *l)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseGrantResponse response = ETCDSERVERPB__LEASE_GRANT_RESPONSE__INIT;
    etcd_header_at(l->call.api, l->write.result.revision, &header);
    response.header = &header;
    response.id = (int64_t)l->command.lease;
    response.ttl = (int64_t)l->command.ttl_s;
    etcd_answer(&l->call, &response.base);
}

static void answer_revoked(struct lease_write *l)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseRevokeResponse response = ETCDSERVERPB__LEASE_REVOKE_RESPONSE__INIT;
    etcd_header_at(l->call.api, l->write.result.revision, &header);
    response.header = &header;
    etcd_answer(&l->call, &response.base);
}

static void answer_done(struct lease_write *l)
{
    if (l->command.op == KV_LEASE_GRANT) {
        answer_granted(l);
    } else {
        answer_revoked(l);
    }
}

/* Also when it did not come to that in time: it was written. */
static void on_caught_up(struct node_read *r)
{
    struct lease_write *l = r->context;
    l->catches_up = false;
    answer_done(l);
}

/* What was handed to the leader may be applied here a moment later, and who asks this member next
 * is to find it. */
static void answer_when_seen(struct lease_write *l)
{
    struct kv_lease lease;
    bool is_here = kv_lease_get(node_kv(l->call.api->options.node), l->command.lease, &lease);
    if (is_here == (l->command.op == KV_LEASE_GRANT)) {
        answer_done(l);
        return;
    }
    l->catch_up =
        (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_caught_up, .context = l};
    l->catches_up = true;
    node_read_start(l->call.api->options.node, &l->catch_up);
}

static void answer_write(struct lease_write *l, enum status status)
{
    if (status == STATUS_CONFLICT) {
        etcd_fail(&l->call, ETCD_LEASE_EXISTS);
    } else if (status != STATUS_OK) {
        etcd_fail(&l->call, etcd_error_of(status));
    } else {
        answer_when_seen(l);
    }
}

static void on_written(struct node_write *write)
{
    struct lease_write *l = write->context;
    l->waits = false;
    answer_write(l, write->status);
}

static void start_write(struct lease_write *l)
{
    l->call.destroy = destroy_write;
    l->write.ack = NODE_ACK_QUORUM;
    l->write.done = on_written;
    l->write.context = l;
    enum status s = etcd_write_start(&l->call, &l->write, &l->command);
    l->waits = s == STATUS_OK;
    if (s != STATUS_OK) {
        answer_write(l, s);
    }
}

static void start_grant(struct etcd_call *call)
{
    struct lease_write *l = CONTAINER_OF(call, struct lease_write, call);
    const Etcdserverpb__LeaseGrantRequest *request = (const void *)call->request;
    uint64_t least = node_lease_ttl_min(call->api->options.node);
    if (request->ttl > (int64_t)LIMIT_LEASE_TTL_S) {
        etcd_fail(call, ETCD_TTL_TOO_LARGE);
        return;
    }
    l->command.op = KV_LEASE_GRANT;
    l->command.lease = request->id != 0 ? (uint64_t)request->id : api_new_lease(call->api);
    l->command.ttl_s = request->ttl < (int64_t)least ? least : (uint64_t)request->ttl;
    start_write(l);
}

static void start_revoke(struct etcd_call *call)
{
    struct lease_write *l = CONTAINER_OF(call, struct lease_write, call);
    const Etcdserverpb__LeaseRevokeRequest *request = (const void *)call->request;
    if (request->id == 0) {
        etcd_fail(call, ETCD_LEASE_NOT_FOUND);
        return;
    }
    l->command.op = KV_LEASE_REVOKE;
    l->command.lease = (uint64_t)request->id;
    if (etcd_may_lease(call, KV_PERMIT_WRITE, l->command.lease)) {
        start_write(l);
    }
}

/* --- keep-alive ------------------------------------------------------------------------------- */

/* One after the other: a stream's answers are in the order of its requests. */
struct keep_alive {
    struct etcd_call call;
    struct node_lease_ask ask;
    bool waits;
};

static void destroy_keep_alive(struct etcd_call *call)
{
    struct keep_alive *k = CONTAINER_OF(call, struct keep_alive, call);
    if (k->waits) {
        node_lease_cancel(&k->ask);
    }
}

/* TTL 0 tells that the lease is gone. */
static void answer_keep_alive(struct keep_alive *k, enum status status)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseKeepAliveResponse response = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    if (status != STATUS_OK && status != STATUS_NO_LEASE) {
        etcd_fail(&k->call, etcd_error_of(status));
        return;
    }
    etcd_header(k->call.api, &header);
    response.header = &header;
    response.id = (int64_t)k->ask.id;
    response.ttl = status == STATUS_OK ? (int64_t)k->ask.ttl_s : 0;
    etcd_reply(&k->call, &response.base);
}

static void on_kept_alive(struct node_lease_ask *ask)
{
    struct keep_alive *k = ask->context;
    bool lives = ask->status == STATUS_OK || ask->status == STATUS_NO_LEASE;
    k->waits = false;
    answer_keep_alive(k, ask->status);
    if (lives) {
        etcd_hold_messages(&k->call, false);
    }
}

static void on_keep_alive(struct etcd_call *call, const ProtobufCMessage *message)
{
    struct keep_alive *k = CONTAINER_OF(call, struct keep_alive, call);
    const Etcdserverpb__LeaseKeepAliveRequest *request = (const void *)message;
    k->ask = (struct node_lease_ask){.question = NODE_LEASE_KEEP_ALIVE,
                                     .id = (uint64_t)request->id,
                                     .done = on_kept_alive,
                                     .context = k};
    enum status s = node_lease_start(call->api->options.node, &k->ask);
    k->waits = s == STATUS_OK;
    if (s == STATUS_OK) {
        etcd_hold_messages(call, true);
    } else {
        answer_keep_alive(k, s);
    }
}

static void start_keep_alive(struct etcd_call *call)
{
    call->destroy = destroy_keep_alive;
    call->on_message = on_keep_alive;
}

/* --- what there is ---------------------------------------------------------------------------- */

struct lease_look {
    struct etcd_call call;
    struct node_lease_ask ask;
    struct node_read read;
    bool asks;
    bool reads;
};

static void destroy_look(struct etcd_call *call)
{
    struct lease_look *l = CONTAINER_OF(call, struct lease_look, call);
    if (l->asks) {
        node_lease_cancel(&l->ask);
    }
    if (l->reads) {
        node_read_cancel(&l->read);
    }
}

static void start_look_read(struct lease_look *l, void (*done)(struct node_read *r))
{
    l->read = (struct node_read){.consistency = NODE_LINEARIZABLE, .done = done, .context = l};
    l->reads = true;
    node_read_start(l->call.api->options.node, &l->read);
}

/* False: they are too long for one answer. */
static bool list_keys(struct etcd_call *call, uint64_t id, ProtobufCBinaryData **list,
                      size_t *count)
{
    const struct kv *kv = node_kv(call->api->options.node);
    struct kv_lease lease;
    struct slice key = slice_of(NULL, 0);
    size_t bytes = 0;
    *count = 0;
    if (!kv_lease_get(kv, id, &lease) || lease.keys == 0) {
        return true;
    }
    if (lease.keys > LIMIT_TXN_ANSWER_BYTES / sizeof(ProtobufCBinaryData)) {
        return false;
    }
    ProtobufCBinaryData *keys = arena_calloc(&call->arena, lease.keys, sizeof(keys[0]));
    while (*count < lease.keys && kv_lease_next_key(kv, id, key, &key)) {
        keys[(*count)++] = (ProtobufCBinaryData){.len = key.size, .data = (uint8_t *)key.data};
        bytes += sizeof(keys[0]) + key.size;
        if (bytes > LIMIT_TXN_ANSWER_BYTES) {
            return false;
        }
    }
    *list = keys;
    return true;
}

/* TTL -1 tells that the lease is gone. */
static void answer_time_to_live(struct lease_look *l, bool with_keys)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseTimeToLiveResponse response =
        ETCDSERVERPB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    bool lives = l->ask.status == STATUS_OK;
    etcd_header(l->call.api, &header);
    response.header = &header;
    response.id = (int64_t)l->ask.id;
    response.ttl = lives ? (int64_t)l->ask.remaining_s : -1;
    response.grantedttl = lives ? (int64_t)l->ask.ttl_s : 0;
    if (lives && with_keys && !list_keys(&l->call, l->ask.id, &response.keys, &response.n_keys)) {
        etcd_fail_text(&l->call, GRPC_RESOURCE_EXHAUSTED, "the answer is too long");
        return;
    }
    etcd_answer(&l->call, &response.base);
}

static void on_keys_read(struct node_read *r)
{
    struct lease_look *l = r->context;
    l->reads = false;
    if (r->status == STATUS_OK) {
        if (etcd_may_lease(&l->call, KV_PERMIT_READ, l->ask.id)) {
            answer_time_to_live(l, true);
        }
    } else {
        etcd_fail(&l->call, etcd_error_of(r->status));
    }
}

static void answer_asked(struct lease_look *l, enum status status)
{
    const Etcdserverpb__LeaseTimeToLiveRequest *request = (const void *)l->call.request;
    if (status != STATUS_OK && status != STATUS_NO_LEASE) {
        etcd_fail(&l->call, etcd_error_of(status));
    } else if (status == STATUS_OK && request->keys) {
        start_look_read(l, on_keys_read); /* this member may be behind the leader that was asked */
    } else {
        answer_time_to_live(l, false);
    }
}

static void on_asked(struct node_lease_ask *ask)
{
    struct lease_look *l = ask->context;
    l->asks = false;
    answer_asked(l, ask->status);
}

static void start_time_to_live(struct etcd_call *call)
{
    struct lease_look *l = CONTAINER_OF(call, struct lease_look, call);
    const Etcdserverpb__LeaseTimeToLiveRequest *request = (const void *)call->request;
    call->destroy = destroy_look;
    l->ask = (struct node_lease_ask){.question = NODE_LEASE_REMAINING,
                                     .id = (uint64_t)request->id,
                                     .done = on_asked,
                                     .context = l};
    enum status s = node_lease_start(call->api->options.node, &l->ask);
    l->asks = s == STATUS_OK;
    if (s != STATUS_OK) {
        answer_asked(l, s);
    }
}

static void answer_leases(struct etcd_call *call)
{
    const struct kv *kv = node_kv(call->api->options.node);
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__LeaseLeasesResponse response = ETCDSERVERPB__LEASE_LEASES_RESPONSE__INIT;
    size_t count = kv_lease_count(kv);
    struct kv_lease lease = {0};
    etcd_header(call->api, &header);
    response.header = &header;
    response.leases = arena_calloc(&call->arena, count, sizeof(response.leases[0]));
    Etcdserverpb__LeaseStatus *each = arena_calloc(&call->arena, count, sizeof(*each));
    for (; response.n_leases < count && kv_lease_next(kv, lease.id, &lease); each++) {
        etcdserverpb__lease_status__init(each);
        each->id = (int64_t)lease.id;
        response.leases[response.n_leases++] = each;
    }
    etcd_answer(call, &response.base);
}

static void on_leases_read(struct node_read *r)
{
    struct lease_look *l = r->context;
    l->reads = false;
    if (r->status == STATUS_OK) {
        answer_leases(&l->call);
    } else {
        etcd_fail(&l->call, etcd_error_of(r->status));
    }
}

static void start_leases(struct etcd_call *call)
{
    call->destroy = destroy_look;
    start_look_read(CONTAINER_OF(call, struct lease_look, call), on_leases_read);
}

static const struct etcd_method methods[] = {
    {.path = "/etcdserverpb.Lease/LeaseGrant",
     .routes = {"/lease/grant"},
     .request = &etcdserverpb__lease_grant_request__descriptor,
     .response = &etcdserverpb__lease_grant_response__descriptor,
     .access = ETCD_FOR_USERS,
     .call_size = sizeof(struct lease_write),
     .start = start_grant},
    {.path = "/etcdserverpb.Lease/LeaseRevoke",
     .routes = {"/lease/revoke", "/kv/lease/revoke"},
     .request = &etcdserverpb__lease_revoke_request__descriptor,
     .response = &etcdserverpb__lease_revoke_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct lease_write),
     .start = start_revoke},
    {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
     .routes = {"/lease/keepalive"},
     .request = &etcdserverpb__lease_keep_alive_request__descriptor,
     .response = &etcdserverpb__lease_keep_alive_response__descriptor,
     .client_streams = true,
     .server_streams = true,
     .access = ETCD_FOR_USERS,
     .reads = true,
     .call_size = sizeof(struct keep_alive),
     .start = start_keep_alive},
    {.path = "/etcdserverpb.Lease/LeaseTimeToLive",
     .routes = {"/lease/timetolive", "/kv/lease/timetolive"},
     .request = &etcdserverpb__lease_time_to_live_request__descriptor,
     .response = &etcdserverpb__lease_time_to_live_response__descriptor,
     .access = ETCD_FOR_USERS,
     .reads = true,
     .call_size = sizeof(struct lease_look),
     .start = start_time_to_live},
    {.path = "/etcdserverpb.Lease/LeaseLeases",
     .routes = {"/lease/leases", "/kv/lease/leases"},
     .request = &etcdserverpb__lease_leases_request__descriptor,
     .response = &etcdserverpb__lease_leases_response__descriptor,
     .access = ETCD_FOR_USERS,
     .reads = true,
     .call_size = sizeof(struct lease_look),
     .start = start_leases},
};
const struct etcd_service etcd_lease_service = {methods, sizeof(methods) / sizeof(methods[0])};
