/* etcd_election.c - elections among clients (etcd_queue.h): whose key is the oldest leads. */
#include "api/etcd_call.h"

#include "api/etcd_access.h"
#include "api/etcd_item.h"
#include "api/etcd_queue.h"
#include "api/proto/etcd_election.pb-c.h"
#include "api/rest.h"
#include "kv/kv_txn.h"

static struct slice slice_of_binary(ProtobufCBinaryData data)
{
    return slice_of(data.data, data.len);
}

static ProtobufCBinaryData binary_of(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.size, .data = (uint8_t *)s.data};
}

/* --- campaign --------------------------------------------------------------------------------- */

struct campaign_call {
    struct etcd_call call;
    struct etcd_contender *contender; /* NULL: it does not wait */
};

static void destroy_campaign(struct etcd_call *call)
{
    struct campaign_call *c = CONTAINER_OF(call, struct campaign_call, call);
    if (c->contender != NULL) {
        etcd_contender_abandon(c->contender);
    }
}

static void on_turn(void *context, const struct etcd_turn *turn)
{
    struct campaign_call *c = context;
    const V3electionpb__CampaignRequest *request = (const void *)c->call.request;
    c->contender = NULL;
    if (!turn->has_turn) {
        etcd_fail(&c->call, turn->error);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    V3electionpb__LeaderKey leader = V3ELECTIONPB__LEADER_KEY__INIT;
    V3electionpb__CampaignResponse response = V3ELECTIONPB__CAMPAIGN_RESPONSE__INIT;
    etcd_header_at(c->call.api, turn->revision, &header);
    response.header = &header;
    leader.name = request->name;
    leader.key = binary_of(turn->key);
    leader.rev = (int64_t)turn->key_revision;
    leader.lease = (int64_t)turn->lease;
    response.leader = &leader;
    etcd_answer(&c->call, &response.base);
}

static void start_campaign(struct etcd_call *call)
{
    struct campaign_call *c = CONTAINER_OF(call, struct campaign_call, call);
    const V3electionpb__CampaignRequest *request = (const void *)call->request;
    if (!etcd_may_queue(call, slice_of_binary(request->name), (uint64_t)request->lease)) {
        return;
    }
    call->destroy = destroy_campaign;
    c->contender =
        etcd_contender_start(call->api, slice_of_binary(request->name), (uint64_t)request->lease,
                             slice_of_binary(request->value), on_turn, c);
}

/* --- what a leader does ----------------------------------------------------------------------- */

/* Proclaim and Resign: a write of the leader's own key, as long as that is there. */
struct leader_write {
    struct etcd_call call;
    struct node_write write;
    struct buf encoded;
    bool waits;
};

static void destroy_leader_write(struct etcd_call *call)
{
    struct leader_write *l = CONTAINER_OF(call, struct leader_write, call);
    if (l->waits) {
        node_write_cancel(&l->write);
    }
    buf_deinit(&l->encoded);
}

static struct kv_txn *begin_txn(const V3electionpb__LeaderKey *leader)
{
    struct kv_txn *txn = kv_txn_create();
    *kv_txn_add_compare(txn) =
        (struct kv_compare){.span = {.kind = KV_SPAN_KEY, .key = slice_of_binary(leader->key)},
                            .target = KV_COMPARE_CREATE,
                            .relation = KV_EQUAL,
                            .number = leader->rev};
    return txn;
}

/* Takes the transaction over. */
static void start_txn(struct leader_write *l, struct kv_txn *txn,
                      void (*done)(struct node_write *write))
{
    enum kv_txn_fault fault = kv_txn_check(txn);
    bool is_allowed = fault != KV_TXN_SOUND || etcd_may_txn(&l->call, txn);
    if (!is_allowed) {
        kv_txn_destroy(txn);
        return;
    }
    if (fault == KV_TXN_SOUND) {
        kv_txn_encode(txn, &l->encoded);
    }
    kv_txn_destroy(txn);
    if (fault != KV_TXN_SOUND) {
        etcd_fail(&l->call, fault == KV_TXN_NO_KEY ? ETCD_EMPTY_KEY : ETCD_REQUEST_TOO_LARGE);
        return;
    }
    const struct kv_command command = {.op = KV_TXN, .txn = buf_slice(&l->encoded)};
    l->call.destroy = destroy_leader_write;
    l->write = (struct node_write){.ack = NODE_ACK_QUORUM, .done = done, .context = l};
    enum status s = etcd_write_start(&l->call, &l->write, &command);
    l->waits = s == STATUS_OK;
    if (s != STATUS_OK) {
        etcd_fail(&l->call, etcd_error_of(s));
    }
}

static void on_proclaimed(struct node_write *write)
{
    struct leader_write *l = write->context;
    l->waits = false;
    if (write->status != STATUS_OK) {
        etcd_fail(&l->call, etcd_error_of(write->status));
    } else if (!write->result.succeeded) {
        etcd_fail(&l->call, ETCD_ELECTION_NOT_LEADER);
    } else {
        Etcdserverpb__ResponseHeader header;
        V3electionpb__ProclaimResponse response = V3ELECTIONPB__PROCLAIM_RESPONSE__INIT;
        etcd_header_at(l->call.api, write->result.revision, &header);
        response.header = &header;
        etcd_answer(&l->call, &response.base);
    }
}

static void start_proclaim(struct etcd_call *call)
{
    const V3electionpb__ProclaimRequest *request = (const void *)call->request;
    if (request->leader == NULL) {
        etcd_fail(call, ETCD_ELECTION_LEADER_MISSING);
        return;
    }
    struct kv_txn *txn = begin_txn(request->leader);
    struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_PUT);
    op->put = (struct kv_txn_put){.key = slice_of_binary(request->leader->key),
                                  .value = slice_of_binary(request->value),
                                  .lease = (uint64_t)request->leader->lease};
    start_txn(CONTAINER_OF(call, struct leader_write, call), txn, on_proclaimed);
}

static void on_resigned(struct node_write *write)
{
    struct leader_write *l = write->context;
    l->waits = false;
    if (write->status != STATUS_OK) {
        etcd_fail(&l->call, etcd_error_of(write->status));
        return;
    }
    Etcdserverpb__ResponseHeader header;
    V3electionpb__ResignResponse response = V3ELECTIONPB__RESIGN_RESPONSE__INIT;
    etcd_header_at(l->call.api, write->result.revision, &header);
    response.header = &header;
    etcd_answer(&l->call, &response.base);
}

static void start_resign(struct etcd_call *call)
{
    const V3electionpb__ResignRequest *request = (const void *)call->request;
    if (request->leader == NULL) {
        etcd_fail(call, ETCD_ELECTION_LEADER_MISSING);
        return;
    }
    struct kv_txn *txn = begin_txn(request->leader);
    struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_DELETE);
    op->deletes.span =
        (struct kv_span){.kind = KV_SPAN_KEY, .key = slice_of_binary(request->leader->key)};
    start_txn(CONTAINER_OF(call, struct leader_write, call), txn, on_resigned);
}

/* --- who leads -------------------------------------------------------------------------------- */

/* The prefix of a name's keys, and where it ends. */
struct name_span {
    struct buf prefix;
    struct buf end;
    struct kv_span span;
};

static void name_span_init(struct name_span *n, ProtobufCBinaryData name)
{
    buf_append_slice(&n->prefix, slice_of_binary(name));
    buf_append_str(&n->prefix, "/");
    kv_prefix_end(buf_slice(&n->prefix), &n->end);
    n->span = (struct kv_span){
        .kind = KV_SPAN_RANGE, .key = buf_slice(&n->prefix), .end = buf_slice(&n->end)};
}

static void name_span_deinit(struct name_span *n)
{
    buf_deinit(&n->prefix);
    buf_deinit(&n->end);
}

static bool take_item(void *context, const struct kv_item *item)
{
    *(struct kv_item *)context = *item;
    return true;
}

/* The oldest key of the name, borrowed from the store. False: nobody leads. */
static bool find_leader(struct api *api, const struct name_span *n, struct kv_item *leader)
{
    struct kv_range_result result;
    const struct kv_range range = {
        .span = n->span, .limit = 1, .order = KV_SORT_ASCEND, .target = KV_SORT_CREATE};
    return kv_range_read(node_kv(api->options.node), &range, take_item, leader, &result) ==
               STATUS_OK &&
           result.told > 0;
}

static void fill_response(struct api *api, uint64_t revision, const struct kv_item *item,
                          Etcdserverpb__ResponseHeader *header, Mvccpb__KeyValue *kv,
                          V3electionpb__LeaderResponse *response)
{
    v3electionpb__leader_response__init(response);
    etcd_header_at(api, revision, header);
    etcd_item_fill(item, kv);
    response->header = header;
    response->kv = kv;
}

struct leader_call {
    struct etcd_call call;
    struct node_read read;
    bool waits;
};

static void destroy_leader(struct etcd_call *call)
{
    struct leader_call *l = CONTAINER_OF(call, struct leader_call, call);
    if (l->waits) {
        node_read_cancel(&l->read);
    }
}

static void on_leader_read(struct node_read *r)
{
    struct leader_call *l = r->context;
    const V3electionpb__LeaderRequest *request = (const void *)l->call.request;
    struct name_span span = {0};
    struct kv_item item;
    l->waits = false;
    if (r->status != STATUS_OK) {
        etcd_fail(&l->call, etcd_error_of(r->status));
        return;
    }
    name_span_init(&span, request->name);
    if (!etcd_may(&l->call, KV_PERMIT_READ, &span.span)) {
        name_span_deinit(&span);
        return;
    }
    if (find_leader(l->call.api, &span, &item)) {
        Etcdserverpb__ResponseHeader header;
        Mvccpb__KeyValue kv;
        V3electionpb__LeaderResponse response;
        fill_response(l->call.api, api_revision(l->call.api), &item, &header, &kv, &response);
        etcd_answer(&l->call, &response.base);
    } else {
        etcd_fail(&l->call, ETCD_ELECTION_NO_LEADER);
    }
    name_span_deinit(&span);
}

static void start_leader(struct etcd_call *call)
{
    struct leader_call *l = CONTAINER_OF(call, struct leader_call, call);
    call->destroy = destroy_leader;
    l->read =
        (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_leader_read, .context = l};
    l->waits = true;
    node_read_start(call->api->options.node, &l->read);
}

/* --- observe ---------------------------------------------------------------------------------- */

struct observe_call {
    struct etcd_call call;
    struct node_read read;
    struct kv_watch watch;
    struct name_span span;
    struct buf leader;      /* whose proclamations are told; empty = nobody leads */
    uint64_t told_revision; /* what was told is of this revision, or before */
    bool waits;             /* for the read */
};

static void destroy_observe(struct etcd_call *call)
{
    struct observe_call *o = CONTAINER_OF(call, struct observe_call, call);
    if (o->waits) {
        node_read_cancel(&o->read);
    }
    kv_watch_cancel(&o->watch);
    name_span_deinit(&o->span);
    buf_deinit(&o->leader);
}

static void tell_leader(struct observe_call *o, uint64_t revision, const struct kv_item *item)
{
    Etcdserverpb__ResponseHeader header;
    Mvccpb__KeyValue kv;
    V3electionpb__LeaderResponse response;
    fill_response(o->call.api, revision, item, &header, &kv, &response);
    etcd_reply(&o->call, &response.base);
}

/* Tell who leads now, and so leave out what happened until now. */
static void look(struct observe_call *o)
{
    struct kv_item item;
    buf_clear(&o->leader);
    o->told_revision = api_revision(o->call.api);
    if (find_leader(o->call.api, &o->span, &item)) {
        buf_append_slice(&o->leader, item.key);
        tell_leader(o, o->told_revision, &item);
    }
}

/* A leader's proclamations are told one by one; when it has gone, or there was none, whoever leads
 * now. */
static void on_events(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    struct observe_call *o = w->context;
    for (uint32_t i = 0; i < count; i++) {
        const struct kv_event *e = events[i];
        bool is_leader = slice_equal(e->item.key, buf_slice(&o->leader));
        if (e->revision <= o->told_revision) {
            continue;
        }
        if (is_leader && !e->is_delete) {
            tell_leader(o, e->revision, &e->item);
        } else if (is_leader || o->leader.size == 0) {
            look(o);
        }
    }
    if (!etcd_wants_more(&o->call)) {
        kv_watch_pause(w);
    }
}

static void start_following(struct observe_call *o);

static void on_end(struct kv_watch *w, enum status why)
{
    struct observe_call *o = w->context;
    if (why == STATUS_COMPACTED) {
        start_following(o);
    } else {
        etcd_fail(&o->call, ETCD_STOPPED);
    }
}

static void start_following(struct observe_call *o)
{
    look(o);
    o->watch = (struct kv_watch){
        .span = o->span.span, .on_events = on_events, .on_end = on_end, .context = o};
    enum status s = node_watch_start(o->call.api->options.node, &o->watch);
    if (s != STATUS_OK) {
        etcd_fail(&o->call, etcd_error_of(s));
    }
}

static void on_observe_read(struct node_read *r)
{
    struct observe_call *o = r->context;
    o->waits = false;
    if (r->status == STATUS_OK) {
        if (etcd_may(&o->call, KV_PERMIT_READ, &o->span.span)) {
            start_following(o);
        }
    } else {
        etcd_fail(&o->call, etcd_error_of(r->status));
    }
}

static void on_writable(struct etcd_call *call)
{
    kv_watch_resume(&CONTAINER_OF(call, struct observe_call, call)->watch);
}

static void start_observe(struct etcd_call *call)
{
    struct observe_call *o = CONTAINER_OF(call, struct observe_call, call);
    const V3electionpb__LeaderRequest *request = (const void *)call->request;
    call->destroy = destroy_observe;
    call->on_writable = on_writable;
    name_span_init(&o->span, request->name);
    o->read =
        (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_observe_read, .context = o};
    o->waits = true;
    node_read_start(call->api->options.node, &o->read);
}

static const struct etcd_method methods[] = {
    {.path = "/v3electionpb.Election/Campaign",
     .routes = {"/election/campaign"},
     .request = &v3electionpb__campaign_request__descriptor,
     .response = &v3electionpb__campaign_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct campaign_call),
     .start = start_campaign},
    {.path = "/v3electionpb.Election/Proclaim",
     .routes = {"/election/proclaim"},
     .request = &v3electionpb__proclaim_request__descriptor,
     .response = &v3electionpb__proclaim_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct leader_write),
     .start = start_proclaim},
    {.path = "/v3electionpb.Election/Leader",
     .routes = {"/election/leader"},
     .request = &v3electionpb__leader_request__descriptor,
     .response = &v3electionpb__leader_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .reads = true,
     .call_size = sizeof(struct leader_call),
     .start = start_leader},
    {.path = "/v3electionpb.Election/Observe",
     .routes = {"/election/observe"},
     .request = &v3electionpb__leader_request__descriptor,
     .response = &v3electionpb__leader_response__descriptor,
     .server_streams = true,
     .access = ETCD_FOR_PERMITTED,
     .reads = true,
     .call_size = sizeof(struct observe_call),
     .start = start_observe},
    {.path = "/v3electionpb.Election/Resign",
     .routes = {"/election/resign"},
     .request = &v3electionpb__resign_request__descriptor,
     .response = &v3electionpb__resign_response__descriptor,
     .access = ETCD_FOR_PERMITTED,
     .call_size = sizeof(struct leader_write),
     .start = start_resign},
};
const struct etcd_service etcd_election_service = {methods, sizeof(methods) / sizeof(methods[0])};
