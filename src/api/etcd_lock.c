/* etcd_lock.c - locks that the server waits for (etcd_queue.h). */
#include "api/etcd_call.h"

#include "api/etcd_access.h"
#include "api/etcd_queue.h"
#include "api/proto/etcd_lock.pb-c.h"
#include "api/rest.h"

struct lock_call {
    struct etcd_call call;
    struct etcd_contender *contender; /* NULL: it does not wait */
};

static void destroy_lock(struct etcd_call *call)
{
    struct lock_call *l = CONTAINER_OF(call, struct lock_call, call);
    if (l->contender != NULL) {
        etcd_contender_abandon(l->contender);
    }
}

static void on_turn(void *context, const struct etcd_turn *turn)
{
    struct lock_call *l = context;
    l->contender = NULL;
    if (!turn->has_turn) {
        etcd_fail(&l->call, turn->error);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    V3lockpb__LockResponse response = V3LOCKPB__LOCK_RESPONSE__INIT;
    etcd_header_at(l->call.api, turn->revision, &header);
    response.header = &header;
    response.key = (ProtobufCBinaryData){.len = turn->key.size, .data = (uint8_t *)turn->key.data};
    etcd_answer(&l->call, &response.base);
}

static void start_lock(struct etcd_call *call)
{
    struct lock_call *l = CONTAINER_OF(call, struct lock_call, call);
    const V3lockpb__LockRequest *request = (const void *)call->request;
    struct slice name = slice_of(request->name.data, request->name.len);
    if (!etcd_may_queue(call, name, (uint64_t)request->lease)) {
        return;
    }
    call->destroy = destroy_lock;
    l->contender = etcd_contender_start(call->api, name, (uint64_t)request->lease,
                                        slice_of(NULL, 0), on_turn, l);
}

/* --- unlock ----------------------------------------------------------------------------------- */

struct unlock_call {
    struct etcd_call call;
    struct node_write write;
    bool waits;
};

static void destroy_unlock(struct etcd_call *call)
{
    struct unlock_call *u = CONTAINER_OF(call, struct unlock_call, call);
    if (u->waits) {
        node_write_cancel(&u->write);
    }
}

/* A key that is not there is unlocked. */
static void answer_unlock(struct unlock_call *u, enum status status)
{
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        etcd_fail(&u->call, etcd_error_of(status));
        return;
    }
    Etcdserverpb__ResponseHeader header;
    V3lockpb__UnlockResponse response = V3LOCKPB__UNLOCK_RESPONSE__INIT;
    etcd_header_at(u->call.api, u->write.result.revision, &header);
    response.header = &header;
    etcd_answer(&u->call, &response.base);
}

static void on_unlocked(struct node_write *write)
{
    struct unlock_call *u = write->context;
    u->waits = false;
    answer_unlock(u, write->status);
}

static void start_unlock(struct etcd_call *call)
{
    struct unlock_call *u = CONTAINER_OF(call, struct unlock_call, call);
    const V3lockpb__UnlockRequest *request = (const void *)call->request;
    const struct kv_command command = {.op = KV_DELETE,
                                       .key = slice_of(request->key.data, request->key.len)};
    if (command.key.size == 0 || command.key.size > LIMIT_KEY_BYTES) {
        etcd_fail(call, command.key.size == 0 ? ETCD_EMPTY_KEY : ETCD_REQUEST_TOO_LARGE);
        return;
    }
    const struct kv_span span = {.kind = KV_SPAN_KEY, .key = command.key};
    if (!etcd_may(call, KV_PERMIT_WRITE, &span)) {
        return;
    }
    call->destroy = destroy_unlock;
    u->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_unlocked, .context = u};
    enum status s = etcd_write_start(call, &u->write, &command);
    u->waits = s == STATUS_OK;
    if (s != STATUS_OK) {
        answer_unlock(u, s);
    }
}

static const struct etcd_method methods[] = {
    {.path = "/v3lockpb.Lock/Lock",
     .routes = {"/lock/lock"},
     .request = &v3lockpb__lock_request__descriptor,
     .response = &v3lockpb__lock_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct lock_call),
     .start = start_lock},
    {.path = "/v3lockpb.Lock/Unlock",
     .routes = {"/lock/unlock"},
     .request = &v3lockpb__unlock_request__descriptor,
     .response = &v3lockpb__unlock_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct unlock_call),
     .start = start_unlock},
};
const struct etcd_service etcd_lock_service = {methods, sizeof(methods) / sizeof(methods[0])};
