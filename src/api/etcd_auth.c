/* etcd_auth.c - the service Auth: users, roles, permissions, and tokens for passwords.
 *
 * Changes are commands (kv/kv_auth.h), of root while auth is on; what is read is read
 * after a majority has confirmed the leader. Passwords are hashed and checked beside the loop. */
#include "api/auth_password.h"
#include "api/etcd_access.h"
#include "api/rest.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct auth_call {
    struct etcd_call call;
    struct node_read read;
    struct node_write write;
    struct auth_login login;
    struct password_job *hashing; /* NULL: none */
    bool reads;
    bool writes;
    bool logs_in;
    /* When the read is done. */
    void (*tell)(struct auth_call *a);
};

static void destroy(struct etcd_call *call)
{
    struct auth_call *a = CONTAINER_OF(call, struct auth_call, call);
    if (a->reads) {
        node_read_cancel(&a->read);
    }
    if (a->writes) {
        node_write_cancel(&a->write);
    }
    if (a->logs_in) {
        auth_login_cancel(&a->login);
    }
    if (a->hashing != NULL) {
        password_cancel(a->hashing);
    }
}

static struct auth_call *begin(struct etcd_call *call)
{
    call->destroy = destroy;
    return CONTAINER_OF(call, struct auth_call, call);
}

static const struct kv *store_of(const struct auth_call *a)
{
    return node_kv(a->call.api->options.node);
}

/* --- changes ---------------------------------------------------------------------------------- */

static enum etcd_error error_of_outcome(enum kv_auth_outcome outcome)
{
    switch (outcome) {
    case KV_AUTH_USER_EXISTS:
        return ETCD_USER_EXISTS;
    case KV_AUTH_NO_USER:
        return ETCD_USER_NOT_FOUND;
    case KV_AUTH_ROLE_EXISTS:
        return ETCD_ROLE_EXISTS;
    case KV_AUTH_NO_ROLE:
        return ETCD_ROLE_NOT_FOUND;
    case KV_AUTH_NOT_GRANTED:
        return ETCD_ROLE_NOT_GRANTED;
    case KV_AUTH_NOT_PERMITTED:
        return ETCD_PERMISSION_NOT_GRANTED;
    case KV_AUTH_NO_ROOT_USER:
        return ETCD_ROOT_USER_MISSING;
    case KV_AUTH_NO_ROOT_ROLE:
        return ETCD_ROOT_ROLE_MISSING;
    case KV_AUTH_MISMANAGED:
        return ETCD_BAD_AUTH_MANAGEMENT;
    case KV_AUTH_FULL:
    case KV_AUTH_DONE:
        break;
    }
    return ETCD_TOO_MANY_REQUESTS;
}

/* All answers to changes are a header and nothing else. */
static void answer_header(struct auth_call *a)
{
    const ProtobufCMessageDescriptor *type = a->call.method->response;
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, 1);
    CHECK(type->n_fields == 1 && field != NULL);
    ProtobufCMessage *answer = arena_alloc(&a->call.arena, type->sizeof_message);
    protobuf_c_message_init(type, answer);
    Etcdserverpb__ResponseHeader header;
    etcd_header(a->call.api, &header);
    Etcdserverpb__ResponseHeader *place = &header;
    memcpy((char *)answer + field->offset, &place, sizeof(place));
    etcd_answer(&a->call, answer);
}

/* Also when it did not come to that in time: it was changed. */
static void on_caught_up(struct node_read *read)
{
    struct auth_call *a = read->context;
    a->reads = false;
    answer_header(a);
}

/* Handed to the leader, it may be applied here a moment later: who asks this member next finds it
 * done. */
static void answer_when_seen(struct auth_call *a)
{
    a->read =
        (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_caught_up, .context = a};
    a->reads = true;
    node_read_start(a->call.api->options.node, &a->read);
}

static void on_changed(struct node_write *w)
{
    struct auth_call *a = w->context;
    a->writes = false;
    if (w->status == STATUS_OK) {
        answer_when_seen(a);
    } else if (w->status == STATUS_CONFLICT) {
        etcd_fail(&a->call, error_of_outcome((enum kv_auth_outcome)w->result.version));
    } else {
        etcd_fail(&a->call, etcd_error_of(w->status));
    }
}

static bool is_name(struct auth_call *a, const char *name, enum etcd_error if_empty)
{
    if (name[0] == '\0') {
        etcd_fail(&a->call, if_empty);
    } else if (strlen(name) > LIMIT_AUTH_NAME_BYTES) {
        etcd_fail_text(&a->call, GRPC_INVALID_ARGUMENT, "etcdserver: name is too long");
    } else {
        return true;
    }
    return false;
}

/* Whether the caller may was asked in this call of the loop. */
static void propose(struct auth_call *a, const struct kv_auth_change *change)
{
    struct buf bytes = {0};
    kv_auth_encode(change, &bytes);
    const struct kv_command command = {.op = KV_AUTH, .auth = buf_slice(&bytes)};
    a->write.ack = NODE_ACK_QUORUM;
    a->write.done = on_changed;
    a->write.context = a;
    enum status s = etcd_write_start(&a->call, &a->write, &command);
    buf_deinit(&bytes);
    a->writes = s == STATUS_OK;
    if (s != STATUS_OK) {
        etcd_fail(&a->call, etcd_error_of(s));
    }
}

static void change(struct auth_call *a, const struct kv_auth_change *change)
{
    if (etcd_may_act(&a->call, AUTH_ROOT)) {
        propose(a, change);
    }
}

/* Who switches auth on must be able to come in again. */
static bool may_root_come_in(struct etcd_call *call)
{
    struct kv_auth_user root;
    const struct api_options *o = &call->api->options;
    const struct kv *kv = node_kv(o->node);
    return kv_auth_is_enabled(kv) || !kv_auth_user_get(kv, slice_str(KV_AUTH_ROOT), &root) ||
           root.password.size > 0 || o->clients_show_certificates;
}

static void warn_of_members(const struct api *api)
{
    const struct api_options *o = &api->options;
    if (!o->has_secret && !o->peers_show_certificates && !kv_auth_is_enabled(node_kv(o->node))) {
        log_warn("users are asked who they are, but members are not: whoever reaches the port can "
                 "join and read everything; give them --cluster-secret-file, or certificates "
                 "(--tls-ca)");
    }
}

static void start_enable(struct etcd_call *call)
{
    if (!may_root_come_in(call)) {
        etcd_fail_text(call, GRPC_FAILED_PRECONDITION,
                       "etcdserver: root user has no password, and this member asks for no "
                       "certificates (--tls-ca): nobody could be root");
        return;
    }
    warn_of_members(call->api);
    struct kv_auth_change c = {.kind = KV_AUTH_ENABLE};
    struct loop *loop = call->api->options.loop;
    loop->ops->random(loop, c.token_key, sizeof(c.token_key));
    change(begin(call), &c);
}

static void start_disable(struct etcd_call *call)
{
    change(begin(call), &(struct kv_auth_change){.kind = KV_AUTH_DISABLE});
}

static void start_user_delete(struct etcd_call *call)
{
    const Etcdserverpb__AuthUserDeleteRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (is_name(a, r->name, ETCD_USER_NOT_FOUND)) {
        change(a,
               &(struct kv_auth_change){.kind = KV_AUTH_USER_DELETE, .user = slice_str(r->name)});
    }
}

static void start_user_grant(struct etcd_call *call)
{
    const Etcdserverpb__AuthUserGrantRoleRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (is_name(a, r->user, ETCD_USER_NOT_FOUND) && is_name(a, r->role, ETCD_ROLE_NOT_FOUND)) {
        change(a, &(struct kv_auth_change){.kind = KV_AUTH_USER_GRANT,
                                           .user = slice_str(r->user),
                                           .role = slice_str(r->role)});
    }
}

static void start_user_revoke(struct etcd_call *call)
{
    const Etcdserverpb__AuthUserRevokeRoleRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (is_name(a, r->name, ETCD_USER_NOT_FOUND) && is_name(a, r->role, ETCD_ROLE_NOT_GRANTED)) {
        change(a, &(struct kv_auth_change){.kind = KV_AUTH_USER_REVOKE,
                                           .user = slice_str(r->name),
                                           .role = slice_str(r->role)});
    }
}

static void start_role_add(struct etcd_call *call)
{
    const Etcdserverpb__AuthRoleAddRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (is_name(a, r->name, ETCD_ROLE_EMPTY)) {
        change(a, &(struct kv_auth_change){.kind = KV_AUTH_ROLE_ADD, .role = slice_str(r->name)});
    }
}

static void start_role_delete(struct etcd_call *call)
{
    const Etcdserverpb__AuthRoleDeleteRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (is_name(a, r->role, ETCD_ROLE_NOT_FOUND)) {
        change(a,
               &(struct kv_auth_change){.kind = KV_AUTH_ROLE_DELETE, .role = slice_str(r->role)});
    }
}

static struct slice slice_of_bytes(const ProtobufCBinaryData *bytes)
{
    return slice_of(bytes->data, bytes->len);
}

static void start_role_permit(struct etcd_call *call)
{
    const Etcdserverpb__AuthRoleGrantPermissionRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (r->perm == NULL) {
        etcd_fail(call, ETCD_PERMISSION_NOT_GIVEN);
        return;
    }
    struct kv_auth_change c = {.kind = KV_AUTH_ROLE_PERMIT,
                               .role = slice_str(r->name),
                               .permission = (enum kv_permission)r->perm->permtype,
                               .key = slice_of_bytes(&r->perm->key),
                               .range_end = slice_of_bytes(&r->perm->range_end)};
    if ((unsigned)r->perm->permtype > KV_PERMIT_BOTH ||
        !kv_auth_span_is_sound(c.key, c.range_end)) {
        etcd_fail(call, ETCD_BAD_AUTH_MANAGEMENT);
    } else if (is_name(a, r->name, ETCD_ROLE_NOT_FOUND)) {
        change(a, &c);
    }
}

static void start_role_withdraw(struct etcd_call *call)
{
    const Etcdserverpb__AuthRoleRevokePermissionRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    struct kv_auth_change c = {.kind = KV_AUTH_ROLE_WITHDRAW,
                               .role = slice_str(r->role),
                               .key = slice_of_bytes(&r->key),
                               .range_end = slice_of_bytes(&r->range_end)};
    struct kv_auth_role role;
    if (!is_name(a, r->role, ETCD_ROLE_NOT_FOUND)) {
        return;
    }
    if (kv_auth_span_is_sound(c.key, c.range_end)) {
        change(a, &c);
    } else if (etcd_may_act(call, AUTH_ROOT)) { /* none can be for that */
        bool is_there = kv_auth_role_get(store_of(a), c.role, &role);
        etcd_fail(call, is_there ? ETCD_PERMISSION_NOT_GRANTED : ETCD_ROLE_NOT_FOUND);
    }
}

/* --- passwords -------------------------------------------------------------------------------- */

static bool is_password(struct auth_call *a, const char *password)
{
    if (strlen(password) > LIMIT_PASSWORD_BYTES) {
        etcd_fail_text(&a->call, GRPC_INVALID_ARGUMENT, "etcdserver: password is too long");
        return false;
    }
    return true;
}

/* The request is a UserAdd or a UserChangePassword. */
static void on_hashed(void *context, bool is_right, struct slice hash)
{
    struct auth_call *a = context;
    a->hashing = NULL;
    if (!is_right) {
        etcd_fail(&a->call, ETCD_TOO_MANY_REQUESTS); /* no memory for it now */
        return;
    }
    struct kv_auth_change c = {.password = hash};
    if (a->call.method->request == &etcdserverpb__auth_user_add_request__descriptor) {
        const Etcdserverpb__AuthUserAddRequest *r = (const void *)a->call.request;
        c.kind = KV_AUTH_USER_ADD;
        c.user = slice_str(r->name);
    } else {
        const Etcdserverpb__AuthUserChangePasswordRequest *r = (const void *)a->call.request;
        c.kind = KV_AUTH_USER_PASSWORD;
        c.user = slice_str(r->name);
    }
    change(a, &c);
}

/* Of root: nobody else may keep a processor busy. */
static void hash(struct auth_call *a, const char *password)
{
    if (!is_password(a, password) || !etcd_may_act(&a->call, AUTH_ROOT)) {
        return;
    }
    a->hashing =
        password_hash_start(auth_passwords(a->call.api), slice_str(password), on_hashed, a);
    if (a->hashing == NULL) {
        etcd_fail(&a->call, ETCD_TOO_MANY_REQUESTS);
    }
}

/* Theirs are bcrypt's. */
static void refuse_hashed(struct auth_call *a)
{
    etcd_fail_text(&a->call, GRPC_INVALID_ARGUMENT,
                   "etcdserver: a hashed password is not taken: send the password");
}

static void start_user_add(struct etcd_call *call)
{
    const Etcdserverpb__AuthUserAddRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (!is_name(a, r->name, ETCD_USER_EMPTY)) {
        return;
    }
    if (r->options != NULL && r->options->no_password) {
        change(a, &(struct kv_auth_change){
                      .kind = KV_AUTH_USER_ADD, .user = slice_str(r->name), .no_password = true});
    } else if (r->hashedpassword[0] != '\0') {
        refuse_hashed(a);
    } else if (r->password[0] == '\0') { /* as in etcd: no password is his until it is changed */
        change(a, &(struct kv_auth_change){.kind = KV_AUTH_USER_ADD, .user = slice_str(r->name)});
    } else {
        hash(a, r->password);
    }
}

static void start_user_password(struct etcd_call *call)
{
    const Etcdserverpb__AuthUserChangePasswordRequest *r = (const void *)call->request;
    struct auth_call *a = begin(call);
    if (!is_name(a, r->name, ETCD_USER_NOT_FOUND)) {
        return;
    }
    if (r->hashedpassword[0] != '\0') {
        refuse_hashed(a);
    } else if (r->password[0] == '\0') { /* it could be root's, who would be locked out */
        etcd_fail_text(call, GRPC_INVALID_ARGUMENT, "etcdserver: password is empty");
    } else {
        hash(a, r->password);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

static void on_read(struct node_read *read)
{
    struct auth_call *a = read->context;
    a->reads = false;
    if (read->status == STATUS_OK) {
        a->tell(a);
    } else {
        etcd_fail(&a->call, etcd_error_of(read->status));
    }
}

static void read_first(struct etcd_call *call, void (*tell)(struct auth_call *a))
{
    struct auth_call *a = begin(call);
    a->tell = tell;
    a->read = (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_read, .context = a};
    a->reads = true;
    node_read_start(call->api->options.node, &a->read);
}

static void tell_status(struct auth_call *a)
{
    if (!etcd_may_act(&a->call, AUTH_ROOT)) {
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthStatusResponse answer = ETCDSERVERPB__AUTH_STATUS_RESPONSE__INIT;
    etcd_header(a->call.api, &header);
    answer.header = &header;
    answer.enabled = kv_auth_is_enabled(store_of(a));
    answer.authrevision = kv_auth_revision(store_of(a));
    etcd_answer(&a->call, &answer.base);
}

/* Root may, and for `own` everybody who has shown who he is. */
static bool may_look(struct auth_call *a, bool (*is_own)(struct auth_call *a, struct slice user))
{
    struct auth_caller caller;
    enum auth_verdict v = auth_of_request(a->call.api, auth_bearer(etcd_token(&a->call)),
                                          etcd_conn(&a->call), &caller);
    if (v == AUTH_ALLOWED && caller.name_size > 0 &&
        is_own(a, slice_of(caller.name, caller.name_size))) {
        return true;
    }
    return etcd_may_act(&a->call, AUTH_ROOT);
}

static bool is_own_name(struct auth_call *a, struct slice user)
{
    const Etcdserverpb__AuthUserGetRequest *r = (const void *)a->call.request;
    return slice_equal(user, slice_str(r->name));
}

static bool is_own_role(struct auth_call *a, struct slice user)
{
    const Etcdserverpb__AuthRoleGetRequest *r = (const void *)a->call.request;
    return kv_auth_user_has_role(store_of(a), user, slice_str(r->role));
}

static char *text_of(struct auth_call *a, struct slice s)
{
    return arena_text(&a->call.arena, s);
}

static void tell_user(struct auth_call *a)
{
    const Etcdserverpb__AuthUserGetRequest *r = (const void *)a->call.request;
    struct kv_auth_user user;
    if (!may_look(a, is_own_name)) {
        return;
    }
    if (!kv_auth_user_get(store_of(a), slice_str(r->name), &user)) {
        etcd_fail(&a->call, ETCD_USER_NOT_FOUND);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthUserGetResponse answer = ETCDSERVERPB__AUTH_USER_GET_RESPONSE__INIT;
    etcd_header(a->call.api, &header);
    answer.header = &header;
    answer.roles = arena_calloc(&a->call.arena, user.roles, sizeof(char *));
    for (; answer.n_roles < user.roles; answer.n_roles++) {
        answer.roles[answer.n_roles] =
            text_of(a, kv_auth_user_role(store_of(a), user.name, answer.n_roles));
    }
    etcd_answer(&a->call, &answer.base);
}

static void tell_users(struct auth_call *a)
{
    if (!etcd_may_act(&a->call, AUTH_ROOT)) {
        return;
    }
    struct kv_auth_user user = {0};
    size_t count = 0;
    while (kv_auth_user_next(store_of(a), user.name, &user)) {
        count++;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthUserListResponse answer = ETCDSERVERPB__AUTH_USER_LIST_RESPONSE__INIT;
    etcd_header(a->call.api, &header);
    answer.header = &header;
    answer.users = arena_calloc(&a->call.arena, count, sizeof(char *));
    user = (struct kv_auth_user){0};
    while (kv_auth_user_next(store_of(a), user.name, &user)) {
        answer.users[answer.n_users++] = text_of(a, user.name);
    }
    etcd_answer(&a->call, &answer.base);
}

static void tell_roles(struct auth_call *a)
{
    if (!etcd_may_act(&a->call, AUTH_ROOT)) {
        return;
    }
    struct kv_auth_role role = {0};
    size_t count = 0;
    while (kv_auth_role_next(store_of(a), role.name, &role)) {
        count++;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthRoleListResponse answer = ETCDSERVERPB__AUTH_ROLE_LIST_RESPONSE__INIT;
    etcd_header(a->call.api, &header);
    answer.header = &header;
    answer.roles = arena_calloc(&a->call.arena, count, sizeof(char *));
    role = (struct kv_auth_role){0};
    while (kv_auth_role_next(store_of(a), role.name, &role)) {
        answer.roles[answer.n_roles++] = text_of(a, role.name);
    }
    etcd_answer(&a->call, &answer.base);
}

static void set_permission(Authpb__Permission *to, const struct kv_auth_permission *p)
{
    authpb__permission__init(to);
    to->permtype = (Authpb__Permission__Type)p->permission;
    to->key.data = (uint8_t *)(uintptr_t)p->key.data;
    to->key.len = p->key.size;
    to->range_end.data = (uint8_t *)(uintptr_t)p->range_end.data;
    to->range_end.len = p->range_end.size;
}

/* What the role root is told to have: everything. */
static struct kv_auth_permission all_keys(void)
{
    return (struct kv_auth_permission){.permission = KV_PERMIT_BOTH, .range_end = slice_of("", 1)};
}

static void tell_role(struct auth_call *a)
{
    const Etcdserverpb__AuthRoleGetRequest *r = (const void *)a->call.request;
    struct kv_auth_role role;
    if (!may_look(a, is_own_role)) {
        return;
    }
    if (!kv_auth_role_get(store_of(a), slice_str(r->role), &role)) {
        etcd_fail(&a->call, ETCD_ROLE_NOT_FOUND);
        return;
    }
    bool is_root = slice_equal(role.name, slice_str(KV_AUTH_ROOT));
    size_t count = is_root ? 1 : role.permissions;
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthRoleGetResponse answer = ETCDSERVERPB__AUTH_ROLE_GET_RESPONSE__INIT;
    etcd_header(a->call.api, &header);
    answer.header = &header;
    Authpb__Permission *all = arena_calloc(&a->call.arena, count, sizeof(*all));
    answer.perm = arena_calloc(&a->call.arena, count, sizeof(*answer.perm));
    for (; answer.n_perm < count; answer.n_perm++) {
        struct kv_auth_permission p =
            is_root ? all_keys() : kv_auth_role_permission(store_of(a), role.name, answer.n_perm);
        set_permission(&all[answer.n_perm], &p);
        answer.perm[answer.n_perm] = &all[answer.n_perm];
    }
    etcd_answer(&a->call, &answer.base);
}

static void start_status(struct etcd_call *call)
{
    read_first(call, tell_status);
}

static void start_user_get(struct etcd_call *call)
{
    read_first(call, tell_user);
}

static void start_user_list(struct etcd_call *call)
{
    read_first(call, tell_users);
}

static void start_role_get(struct etcd_call *call)
{
    read_first(call, tell_role);
}

static void start_role_list(struct etcd_call *call)
{
    read_first(call, tell_roles);
}

/* --- logging in ------------------------------------------------------------------------------- */

static void on_logged_in(struct auth_login *l)
{
    struct auth_call *a = l->context;
    a->logs_in = false;
    if (!kv_auth_is_enabled(store_of(a))) {
        etcd_fail(&a->call, ETCD_AUTH_NOT_ENABLED);
        return;
    }
    if (!l->is_right) {
        etcd_fail(&a->call, ETCD_AUTH_FAILED);
        return;
    }
    struct buf token = {0};
    auth_token_append(a->call.api, slice_of(l->caller.name, l->caller.name_size), &token);
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthenticateResponse answer = ETCDSERVERPB__AUTHENTICATE_RESPONSE__INIT;
    etcd_header(a->call.api, &header);
    answer.header = &header;
    answer.token = text_of(a, buf_slice(&token));
    buf_deinit(&token);
    etcd_answer(&a->call, &answer.base);
}

static void log_in(struct auth_call *a)
{
    const Etcdserverpb__AuthenticateRequest *r = (const void *)a->call.request;
    if (!kv_auth_is_enabled(store_of(a))) {
        etcd_fail(&a->call, ETCD_AUTH_NOT_ENABLED);
        return;
    }
    a->login.done = on_logged_in;
    a->login.context = a;
    enum status s = auth_login_start(a->call.api, &a->login, etcd_conn(&a->call),
                                     slice_str(r->name), slice_str(r->password));
    a->logs_in = s == STATUS_OK;
    if (s == STATUS_BUSY) {
        char text[80];
        snprintf(text, sizeof(text),
                 "etcdserver: too many requests: wrong passwords, try again in %" PRIu32 " ms",
                 a->login.wait_ms);
        etcd_fail_text(&a->call, GRPC_RESOURCE_EXHAUSTED, text);
    } else if (s != STATUS_OK) {
        etcd_fail(&a->call, s == STATUS_INVALID ? ETCD_AUTH_FAILED : ETCD_TOO_MANY_REQUESTS);
    }
}

/* A user who was just made by way of another member is known here, too. */
static void start_authenticate(struct etcd_call *call)
{
    read_first(call, log_in);
}

/* --- the table -------------------------------------------------------------------------------- */

/* All ask by themselves: what changes something right before, what tells something right after a
 * majority has confirmed the leader. Who wants a token has none. */
/* NOLINTBEGIN(bugprone-macro-parentheses): texts that are put together */
#define AUTH_METHOD(name, route, lower_request, lower_response, handler)                           \
    {                                                                                              \
        .path = "/etcdserverpb.Auth/" name, .routes = {"/auth/" route},                            \
        .request = &etcdserverpb__##lower_request##__descriptor,                                   \
        .response = &etcdserverpb__##lower_response##__descriptor, .access = ETCD_FOR_PERMITTED,   \
        .call_size = sizeof(struct auth_call), .start = handler                                    \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct etcd_method methods[] = {
    AUTH_METHOD("AuthEnable", "enable", auth_enable_request, auth_enable_response, start_enable),
    AUTH_METHOD("AuthDisable", "disable", auth_disable_request, auth_disable_response,
                start_disable),
    AUTH_METHOD("AuthStatus", "status", auth_status_request, auth_status_response, start_status),
    AUTH_METHOD("Authenticate", "authenticate", authenticate_request, authenticate_response,
                start_authenticate),
    AUTH_METHOD("UserAdd", "user/add", auth_user_add_request, auth_user_add_response,
                start_user_add),
    AUTH_METHOD("UserGet", "user/get", auth_user_get_request, auth_user_get_response,
                start_user_get),
    AUTH_METHOD("UserList", "user/list", auth_user_list_request, auth_user_list_response,
                start_user_list),
    AUTH_METHOD("UserDelete", "user/delete", auth_user_delete_request, auth_user_delete_response,
                start_user_delete),
    AUTH_METHOD("UserChangePassword", "user/changepw", auth_user_change_password_request,
                auth_user_change_password_response, start_user_password),
    AUTH_METHOD("UserGrantRole", "user/grant", auth_user_grant_role_request,
                auth_user_grant_role_response, start_user_grant),
    AUTH_METHOD("UserRevokeRole", "user/revoke", auth_user_revoke_role_request,
                auth_user_revoke_role_response, start_user_revoke),
    AUTH_METHOD("RoleAdd", "role/add", auth_role_add_request, auth_role_add_response,
                start_role_add),
    AUTH_METHOD("RoleGet", "role/get", auth_role_get_request, auth_role_get_response,
                start_role_get),
    AUTH_METHOD("RoleList", "role/list", auth_role_list_request, auth_role_list_response,
                start_role_list),
    AUTH_METHOD("RoleDelete", "role/delete", auth_role_delete_request, auth_role_delete_response,
                start_role_delete),
    AUTH_METHOD("RoleGrantPermission", "role/grant", auth_role_grant_permission_request,
                auth_role_grant_permission_response, start_role_permit),
    AUTH_METHOD("RoleRevokePermission", "role/revoke", auth_role_revoke_permission_request,
                auth_role_revoke_permission_response, start_role_withdraw),
};
const struct etcd_service etcd_auth_service = {.methods = methods,
                                               .count = sizeof(methods) / sizeof(methods[0])};
