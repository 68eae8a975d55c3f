/* etcd_cluster.c - who takes part (rules C1 to C9), as etcd's clients ask for it.
 *
 * What a member of ours has one of - a port for everything - is both its peer URL and its client
 * URL. Members here have names from the beginning, and MemberAdd knows only a URL: whoever is added
 * so is called HOST-PORT of it (member_name). */
#include "api/etcd_call.h"

#include "api/rest.h"
#include "base/mem.h"
#include "net/url.h"

#include <ctype.h>
#include <stdio.h>

/* An invited member has no incarnation yet, from which ids are made: until it comes, its id is made
 * from its name (FNV-1a), so that it can be removed. */
static uint64_t id_of(const struct node_membership_item *item)
{
    if (!uuid_is_zero(item->member.incarnation)) {
        return item->member.id;
    }
    uint64_t id = 0xcbf29ce484222325u;
    for (const char *c = item->member.name; *c != '\0'; c++) {
        id = (id ^ (uint8_t)*c) * 0x100000001b3u;
    }
    return id != 0 ? id : 1;
}

/* --- lists ------------------------------------------------------------------------------------ */

static char **one_text(struct arena *arena, const char *text)
{
    char **list = arena_alloc(arena, sizeof(*list));
    list[0] = arena_text(arena, slice_str(text));
    return list;
}

static Etcdserverpb__Member *make_member(struct arena *arena,
                                         const struct node_membership_item *item)
{
    Etcdserverpb__Member *m = arena_alloc(arena, sizeof(*m));
    etcdserverpb__member__init(m);
    m->id = id_of(item);
    m->n_peerurls = 1;
    m->peerurls = one_text(arena, item->member.url);
    m->islearner = item->learner;
    if (!uuid_is_zero(
            item->member.incarnation)) { /* clients take one without a name for unstarted */
        m->name = arena_text(arena, slice_str(item->member.name));
        m->n_clienturls = 1;
        m->clienturls = m->peerurls;
    }
    return m;
}

/* All members in the call's arena; `named` (NULL = nobody) is told too. */
static Etcdserverpb__Member **make_members(struct etcd_call *call, size_t *count, const char *name,
                                           Etcdserverpb__Member **named)
{
    struct node_membership *m = arena_calloc(&call->arena, 1, sizeof(*m));
    node_membership_get(call->api->options.node, m);
    Etcdserverpb__Member **members = arena_calloc(&call->arena, m->count, sizeof(members[0]));
    for (uint32_t i = 0; i < m->count; i++) {
        members[i] = make_member(&call->arena, &m->items[i]);
        if (name != NULL && strcmp(name, m->items[i].member.name) == 0) {
            *named = members[i];
        }
    }
    *count = m->count;
    return members;
}

struct list_call {
    struct etcd_call call;
    struct node_read read;
    bool waits;
};

static void answer_list(struct etcd_call *call)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__MemberListResponse response = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    etcd_header(call->api, &header);
    response.header = &header;
    response.members = make_members(call, &response.n_members, NULL, NULL);
    etcd_answer(call, &response.base);
}

static void on_list_read(struct node_read *r)
{
    struct list_call *l = r->context;
    l->waits = false;
    if (r->status == STATUS_OK) {
        answer_list(&l->call);
    } else {
        etcd_fail(&l->call, etcd_error_of(r->status));
    }
}

static void destroy_list(struct etcd_call *call)
{
    struct list_call *l = CONTAINER_OF(call, struct list_call, call);
    if (l->waits) {
        node_read_cancel(&l->read);
    }
}

static void start_list(struct etcd_call *call)
{
    struct list_call *l = CONTAINER_OF(call, struct list_call, call);
    const Etcdserverpb__MemberListRequest *request = (const void *)call->request;
    if (!request->linearizable) {
        answer_list(call);
        return;
    }
    call->destroy = destroy_list;
    l->read.consistency = NODE_LINEARIZABLE;
    l->read.done = on_list_read;
    l->read.context = l;
    l->waits = true;
    node_read_start(call->api->options.node, &l->read);
}

/* --- changes ---------------------------------------------------------------------------------- */

struct change_call {
    struct etcd_call call;
    struct node_change change;
    bool waits;
};

static void answer_added(struct change_call *c, Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__MemberAddResponse response = ETCDSERVERPB__MEMBER_ADD_RESPONSE__INIT;
    response.header = header;
    response.members =
        make_members(&c->call, &response.n_members, c->change.name, &response.member);
    etcd_answer(&c->call, &response.base);
}

static void answer_removed(struct change_call *c, Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__MemberRemoveResponse response = ETCDSERVERPB__MEMBER_REMOVE_RESPONSE__INIT;
    response.header = header;
    response.members = make_members(&c->call, &response.n_members, NULL, NULL);
    etcd_answer(&c->call, &response.base);
}

static void answer_promoted(struct change_call *c, Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__MemberPromoteResponse response = ETCDSERVERPB__MEMBER_PROMOTE_RESPONSE__INIT;
    response.header = header;
    response.members = make_members(&c->call, &response.n_members, NULL, NULL);
    etcd_answer(&c->call, &response.base);
}

static enum etcd_error change_error(const struct change_call *c, enum status status)
{
    bool adds = c->change.kind == NODE_CHANGE_ADD;
    switch (status) {
    case STATUS_NOT_FOUND:
        return ETCD_MEMBER_NOT_FOUND;
    case STATUS_CONFLICT:
        return adds ? ETCD_PEER_URL_EXISTS : ETCD_NOT_LEARNER;
    case STATUS_INVALID:
        return adds ? ETCD_BAD_MEMBER_URLS : ETCD_NOT_ENOUGH_STARTED;
    case STATUS_BEHIND:
        return ETCD_LEARNER_NOT_READY;
    case STATUS_NO_QUORUM:
        return ETCD_UNHEALTHY;
    case STATUS_NOT_LEADER: /* changes are made at the leader */
        return ETCD_NOT_LEADER;
    case STATUS_BUSY:
        return ETCD_TOO_MANY_REQUESTS;
    default:
        return etcd_error_of(status);
    }
}

static void answer_change(struct change_call *c, enum status status)
{
    if (status != STATUS_OK) {
        etcd_fail(&c->call, change_error(c, status));
        return;
    }
    Etcdserverpb__ResponseHeader header;
    etcd_header(c->call.api, &header);
    switch (c->change.kind) {
    case NODE_CHANGE_ADD:
        answer_added(c, &header);
        return;
    case NODE_CHANGE_PROMOTE:
        answer_promoted(c, &header);
        return;
    default:
        answer_removed(c, &header);
    }
}

static void on_changed(struct node_change *change)
{
    struct change_call *c = change->context;
    c->waits = false;
    answer_change(c, change->status);
}

static void destroy_change(struct etcd_call *call)
{
    struct change_call *c = CONTAINER_OF(call, struct change_call, call);
    if (c->waits) {
        node_change_cancel(&c->change);
    }
}

static void begin_change(struct change_call *c, enum node_change_kind kind)
{
    c->call.destroy = destroy_change;
    c->change.kind = kind;
    c->change.done = on_changed;
    c->change.context = c;
    enum status status = node_change_start(c->call.api->options.node, &c->change);
    c->waits = status == STATUS_OK;
    if (status != STATUS_OK) {
        answer_change(c, status);
    }
}

/* HOST-PORT, with what names may not have made '-'. False: it is no URL of a member. */
static bool member_name(const char *text, char name[LIMIT_NAME_BYTES + 1])
{
    struct url url;
    if (url_parse(text, &url, NULL) != STATUS_OK) {
        return false;
    }
    int size = snprintf(name, LIMIT_NAME_BYTES + 1, "%s-%u", url.host, url.port);
    for (char *c = name; *c != '\0'; c++) {
        bool is_fine = isalnum((unsigned char)*c) || *c == '.' || *c == '_' || *c == '-';
        *c = is_fine && !(c == name && *c == '.') ? *c : '-';
    }
    return size <= LIMIT_NAME_BYTES;
}

static void start_add(struct etcd_call *call)
{
    struct change_call *c = CONTAINER_OF(call, struct change_call, call);
    const Etcdserverpb__MemberAddRequest *request = (const void *)call->request;
    if (request->n_peerurls != 1 || strlen(request->peerurls[0]) >= sizeof(c->change.url) ||
        !member_name(request->peerurls[0], c->change.name)) {
        etcd_fail(call, ETCD_BAD_MEMBER_URLS);
        return;
    }
    snprintf(c->change.url, sizeof(c->change.url), "%s", request->peerurls[0]);
    c->change.learner = request->islearner;
    begin_change(c, NODE_CHANGE_ADD);
}

/* NULL: there is no such member. Borrowed from the arena. */
static const struct node_membership_item *find_member(struct etcd_call *call, uint64_t id)
{
    struct node_membership *m = arena_calloc(&call->arena, 1, sizeof(*m));
    node_membership_get(call->api->options.node, m);
    for (uint32_t i = 0; i < m->count; i++) {
        if (id_of(&m->items[i]) == id) {
            return &m->items[i];
        }
    }
    return NULL;
}

static void change_member(struct etcd_call *call, uint64_t id, enum node_change_kind kind)
{
    struct change_call *c = CONTAINER_OF(call, struct change_call, call);
    const struct node_membership_item *item = find_member(call, id);
    if (item == NULL) {
        etcd_fail(call, ETCD_MEMBER_NOT_FOUND);
        return;
    }
    snprintf(c->change.name, sizeof(c->change.name), "%s", item->member.name);
    begin_change(c, kind);
}

static void start_remove(struct etcd_call *call)
{
    const Etcdserverpb__MemberRemoveRequest *request = (const void *)call->request;
    change_member(call, request->id, NODE_CHANGE_REMOVE);
}

static void start_promote(struct etcd_call *call)
{
    const Etcdserverpb__MemberPromoteRequest *request = (const void *)call->request;
    change_member(call, request->id, NODE_CHANGE_PROMOTE);
}

/* Where a member is, it tells by itself (--advertise): nobody else can set it. */
static void start_update(struct etcd_call *call)
{
    const Etcdserverpb__MemberUpdateRequest *request = (const void *)call->request;
    const struct node_membership_item *item = find_member(call, request->id);
    if (item == NULL) {
        etcd_fail(call, ETCD_MEMBER_NOT_FOUND);
        return;
    }
    if (request->n_peerurls != 1 || strcmp(request->peerurls[0], item->member.url) != 0) {
        etcd_fail_text(call, GRPC_UNIMPLEMENTED,
                       "a member tells its URL by itself: start it with another --advertise");
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__MemberUpdateResponse response = ETCDSERVERPB__MEMBER_UPDATE_RESPONSE__INIT;
    etcd_header(call->api, &header);
    response.header = &header;
    response.members = make_members(call, &response.n_members, NULL, NULL);
    etcd_answer(call, &response.base);
}

/* --- the table -------------------------------------------------------------------------------- */

static const struct etcd_method methods[] = {
    {.path = "/etcdserverpb.Cluster/MemberList",
     .routes = {"/cluster/member/list"},
     .request = &etcdserverpb__member_list_request__descriptor,
     .response = &etcdserverpb__member_list_response__descriptor,
     .access = ETCD_FOR_ALL, /* clients look for members before they log in */
     .reads = true,
     .call_size = sizeof(struct list_call),
     .start = start_list},
    {.path = "/etcdserverpb.Cluster/MemberAdd",
     .routes = {"/cluster/member/add"},
     .request = &etcdserverpb__member_add_request__descriptor,
     .response = &etcdserverpb__member_add_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct change_call),
     .start = start_add},
    {.path = "/etcdserverpb.Cluster/MemberRemove",
     .routes = {"/cluster/member/remove"},
     .request = &etcdserverpb__member_remove_request__descriptor,
     .response = &etcdserverpb__member_remove_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct change_call),
     .start = start_remove},
    {.path = "/etcdserverpb.Cluster/MemberUpdate",
     .routes = {"/cluster/member/update"},
     .request = &etcdserverpb__member_update_request__descriptor,
     .response = &etcdserverpb__member_update_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct etcd_call),
     .start = start_update},
    {.path = "/etcdserverpb.Cluster/MemberPromote",
     .routes = {"/cluster/member/promote"},
     .request = &etcdserverpb__member_promote_request__descriptor,
     .response = &etcdserverpb__member_promote_response__descriptor,
     .access = ETCD_FOR_ADMIN,
     .call_size = sizeof(struct change_call),
     .start = start_promote},
};

const struct etcd_service etcd_cluster_service = {methods, sizeof(methods) / sizeof(methods[0])};
