#include "api/etcd_access.h"

#include "api/rest.h"

enum etcd_error etcd_error_of_verdict(enum auth_verdict verdict)
{
    switch (verdict) {
    case AUTH_NOBODY:
        return ETCD_USER_EMPTY;
    case AUTH_BAD_TOKEN:
        return ETCD_BAD_TOKEN;
    default:
        return ETCD_PERMISSION_DENIED;
    }
}

const char *etcd_reason_of_verdict(enum auth_verdict verdict)
{
    switch (verdict) {
    case AUTH_NOBODY:
        return "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
    case AUTH_BAD_TOKEN:
        return "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
    default:
        return "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    }
}

/* *caller is who asks, and may be nobody. */
static enum auth_verdict identify(const struct etcd_call *call, struct auth_caller *caller)
{
    caller->name_size = 0;
    if (!kv_auth_is_enabled(node_kv(call->api->options.node))) {
        return AUTH_ALLOWED; /* whatever he says */
    }
    return auth_of_request(call->api, auth_bearer(etcd_token(call)), etcd_conn(call), caller);
}

void etcd_caller(const struct etcd_call *call, struct auth_caller *caller)
{
    (void)identify(call, caller);
}

static bool conclude(struct etcd_call *call, enum auth_verdict verdict)
{
    if (verdict != AUTH_ALLOWED) {
        auth_count_refused(call->api, verdict);
        etcd_fail(call, etcd_error_of_verdict(verdict));
    }
    return verdict == AUTH_ALLOWED;
}

enum auth_verdict etcd_verdict(const struct etcd_call *call, enum kv_permission permission,
                               const struct kv_span *span)
{
    struct auth_caller caller;
    enum auth_verdict v = identify(call, &caller);
    return v == AUTH_ALLOWED ? auth_may(call->api, &caller, permission, span) : v;
}

bool etcd_may(struct etcd_call *call, enum kv_permission permission, const struct kv_span *span)
{
    return conclude(call, etcd_verdict(call, permission, span));
}

bool etcd_may_act(struct etcd_call *call, enum auth_office office)
{
    struct auth_caller caller;
    enum auth_verdict v = identify(call, &caller);
    return conclude(call, v == AUTH_ALLOWED ? auth_may_act(call->api, &caller, office) : v);
}

/* Whoever has said who he is, if auth is on. */
static bool is_user(struct etcd_call *call)
{
    struct auth_caller caller;
    enum auth_verdict v = identify(call, &caller);
    bool is_on = kv_auth_is_enabled(node_kv(call->api->options.node));
    return conclude(call, v == AUTH_ALLOWED && is_on && caller.name_size == 0 ? AUTH_NOBODY : v);
}

bool etcd_may_call(struct etcd_call *call)
{
    switch (call->method->access) {
    case ETCD_FOR_ROOT:
        return etcd_may_act(call, AUTH_ROOT);
    case ETCD_FOR_ADMIN:
        return etcd_may_act(call, AUTH_ADMIN);
    case ETCD_FOR_BACKUP:
        return etcd_may_act(call, AUTH_BACKUP);
    case ETCD_FOR_USERS:
        return is_user(call);
    case ETCD_FOR_PERMITTED:
    case ETCD_FOR_ALL:
        break;
    }
    return true;
}

bool etcd_may_lease(struct etcd_call *call, enum kv_permission permission, uint64_t lease)
{
    struct auth_caller caller;
    enum auth_verdict v = identify(call, &caller);
    return conclude(call,
                    v == AUTH_ALLOWED ? auth_may_lease(call->api, &caller, permission, lease) : v);
}

bool etcd_may_txn(struct etcd_call *call, const struct kv_txn *txn)
{
    struct auth_caller caller;
    enum auth_verdict v = identify(call, &caller);
    return conclude(call, v == AUTH_ALLOWED ? auth_may_txn(call->api, &caller, txn) : v);
}

enum status etcd_write_start(struct etcd_call *call, struct node_write *w,
                             const struct kv_command *command)
{
    struct kv_command stamped = *command;
    struct node *node = call->api->options.node;
    stamped.auth_revision = kv_auth_stamp(node_kv(node));
    w->forward = true;
    return node_write_start(node, w, &stamped);
}
