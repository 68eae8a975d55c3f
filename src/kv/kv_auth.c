#include "kv/kv_auth.h"

#include "base/check.h"
#include "base/limits.h"
#include "kv/kv_auth_table.h"
#include "kv/kv_state.h"

#include <string.h>

/* --- changes ---------------------------------------------------------------------------------- */

static bool is_root_name(struct slice name)
{
    return slice_equal(name, slice_str(KV_AUTH_ROOT));
}

static bool user_has(const struct auth_user *u, struct slice role)
{
    bool found;
    auth_user_role_place(u, role, &found);
    return found;
}

static bool has_room(const struct auth *a, size_t bytes)
{
    return a->bytes + AUTH_OVERHEAD + bytes <= LIMIT_AUTH_BYTES;
}

static enum kv_auth_outcome enable(struct auth *a, const struct kv_auth_change *c)
{
    if (a->is_enabled) {
        return KV_AUTH_DONE;
    }
    const struct auth_user *root = auth_user_find(a, slice_str(KV_AUTH_ROOT));
    if (root == NULL) {
        return KV_AUTH_NO_ROOT_USER;
    }
    if (!user_has(root, slice_str(KV_AUTH_ROOT))) {
        return KV_AUTH_NO_ROOT_ROLE;
    }
    a->is_enabled = true;
    memcpy(a->token_key, c->token_key, sizeof(a->token_key));
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome disable(struct auth *a)
{
    if (a->is_enabled) {
        a->is_enabled = false;
        memset(a->token_key, 0, sizeof(a->token_key));
        a->revision++;
    }
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome user_add(struct auth *a, const struct kv_auth_change *c)
{
    if (auth_user_find(a, c->user) != NULL) {
        return KV_AUTH_USER_EXISTS;
    }
    if (!has_room(a, c->user.size + c->password.size)) {
        return KV_AUTH_FULL;
    }
    struct auth_user *u = auth_user_add(a, c->user);
    u->no_password = c->no_password;
    buf_append_slice(&u->password, c->password);
    u->since = ++a->revision;
    auth_user_changed(a, u);
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome user_delete(struct auth *a, const struct kv_auth_change *c)
{
    if (a->is_enabled && is_root_name(c->user)) {
        return KV_AUTH_MISMANAGED;
    }
    struct auth_user *u = auth_user_find(a, c->user);
    if (u == NULL) {
        return KV_AUTH_NO_USER;
    }
    auth_user_remove(a, u);
    a->revision++;
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome user_password(struct auth *a, const struct kv_auth_change *c)
{
    struct auth_user *u = auth_user_find(a, c->user);
    if (u == NULL) {
        return KV_AUTH_NO_USER;
    }
    if (!u->no_password && !has_room(a, c->password.size)) {
        return KV_AUTH_FULL;
    }
    u->since = ++a->revision;
    if (!u->no_password) {
        buf_clear(&u->password);
        buf_append_slice(&u->password, c->password);
    }
    auth_user_changed(a, u);
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome user_grant(struct auth *a, const struct kv_auth_change *c)
{
    struct auth_user *u = auth_user_find(a, c->user);
    if (u == NULL) {
        return KV_AUTH_NO_USER;
    }
    if (!is_root_name(c->role) && auth_role_find(a, c->role) == NULL) {
        return KV_AUTH_NO_ROLE;
    }
    bool found;
    size_t place = auth_user_role_place(u, c->role, &found);
    if (found) {
        return KV_AUTH_DONE;
    }
    if (!has_room(a, c->role.size)) {
        return KV_AUTH_FULL;
    }
    auth_user_insert_role(u, place, c->role);
    a->revision++;
    auth_user_changed(a, u);
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome user_revoke(struct auth *a, const struct kv_auth_change *c)
{
    if (a->is_enabled && is_root_name(c->user) && is_root_name(c->role)) {
        return KV_AUTH_MISMANAGED;
    }
    struct auth_user *u = auth_user_find(a, c->user);
    if (u == NULL) {
        return KV_AUTH_NO_USER;
    }
    bool found;
    size_t place = auth_user_role_place(u, c->role, &found);
    if (!found) {
        return KV_AUTH_NOT_GRANTED;
    }
    auth_user_remove_role(u, place);
    a->revision++;
    auth_user_changed(a, u);
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome role_add(struct auth *a, const struct kv_auth_change *c)
{
    if (auth_role_find(a, c->role) != NULL) {
        return KV_AUTH_ROLE_EXISTS;
    }
    if (!has_room(a, c->role.size)) {
        return KV_AUTH_FULL;
    }
    auth_role_changed(a, auth_role_add(a, c->role));
    a->revision++;
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome role_delete(struct auth *a, const struct kv_auth_change *c)
{
    if (a->is_enabled && is_root_name(c->role)) {
        return KV_AUTH_MISMANAGED;
    }
    struct auth_role *r = auth_role_find(a, c->role);
    if (r == NULL) {
        return KV_AUTH_NO_ROLE;
    }
    for (size_t i = 0; i < a->users.count; i++) {
        struct auth_user *u = (struct auth_user *)a->users.at[i];
        bool found;
        size_t place = auth_user_role_place(u, c->role, &found);
        if (found) {
            auth_user_remove_role(u, place);
            auth_user_changed(a, u);
        }
    }
    auth_role_remove(a, r);
    a->revision++;
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome role_permit(struct auth *a, const struct kv_auth_change *c)
{
    struct auth_role *r = auth_role_find(a, c->role);
    if (r == NULL) {
        return KV_AUTH_NO_ROLE;
    }
    bool found;
    size_t place = auth_permission_place(r, c->key, c->range_end, &found);
    if (found) {
        r->permissions[place].permission = c->permission;
    } else if (!has_room(a, c->key.size + c->range_end.size)) {
        return KV_AUTH_FULL;
    } else {
        struct auth_permission p = {.permission = c->permission};
        buf_append_slice(&p.key, c->key);
        buf_append_slice(&p.range_end, c->range_end);
        auth_role_insert(r, place, &p);
    }
    a->revision++;
    auth_role_changed(a, r);
    return KV_AUTH_DONE;
}

static enum kv_auth_outcome role_withdraw(struct auth *a, const struct kv_auth_change *c)
{
    struct auth_role *r = auth_role_find(a, c->role);
    if (r == NULL) {
        return KV_AUTH_NO_ROLE;
    }
    bool found;
    size_t place = auth_permission_place(r, c->key, c->range_end, &found);
    if (!found) {
        return KV_AUTH_NOT_PERMITTED;
    }
    auth_role_withdraw(r, place);
    a->revision++;
    auth_role_changed(a, r);
    return KV_AUTH_DONE;
}

enum kv_auth_outcome auth_apply(struct auth *a, const struct kv_auth_change *c)
{
    switch (c->kind) {
    case KV_AUTH_ENABLE:
        return enable(a, c);
    case KV_AUTH_DISABLE:
        return disable(a);
    case KV_AUTH_USER_ADD:
        return user_add(a, c);
    case KV_AUTH_USER_DELETE:
        return user_delete(a, c);
    case KV_AUTH_USER_PASSWORD:
        return user_password(a, c);
    case KV_AUTH_USER_GRANT:
        return user_grant(a, c);
    case KV_AUTH_USER_REVOKE:
        return user_revoke(a, c);
    case KV_AUTH_ROLE_ADD:
        return role_add(a, c);
    case KV_AUTH_ROLE_DELETE:
        return role_delete(a, c);
    case KV_AUTH_ROLE_PERMIT:
        return role_permit(a, c);
    case KV_AUTH_ROLE_WITHDRAW:
        return role_withdraw(a, c);
    }
    check_failed(__FILE__, __LINE__, "a change that kv_auth_decode lets through");
}

/* --- reading ---------------------------------------------------------------------------------- */

bool kv_auth_is_enabled(const struct kv *kv)
{
    return kv->auth->is_enabled;
}

uint64_t kv_auth_revision(const struct kv *kv)
{
    return kv->auth->revision;
}

uint64_t kv_auth_stamp(const struct kv *kv)
{
    return kv->auth->is_enabled ? kv->auth->revision : 0;
}

const uint8_t *kv_auth_token_key(const struct kv *kv)
{
    return kv->auth->is_enabled ? kv->auth->token_key : NULL;
}

static void tell_user(const struct auth_user *u, struct kv_auth_user *user)
{
    *user = (struct kv_auth_user){.name = buf_slice(&u->item.name),
                                  .password = buf_slice(&u->password),
                                  .no_password = u->no_password,
                                  .since = u->since,
                                  .roles = u->count};
}

bool kv_auth_user_get(const struct kv *kv, struct slice name, struct kv_auth_user *user)
{
    const struct auth_user *u = auth_user_find(kv->auth, name);
    if (u != NULL) {
        tell_user(u, user);
    }
    return u != NULL;
}

/* The first one behind `after`, or NULL. */
static const struct auth_item *behind(const struct auth_items *items, struct slice after)
{
    bool found;
    size_t place = auth_place(items, after, &found);
    place += found ? 1 : 0;
    return place < items->count ? items->at[place] : NULL;
}

bool kv_auth_user_next(const struct kv *kv, struct slice after, struct kv_auth_user *user)
{
    const struct auth_item *item = behind(&kv->auth->users, after);
    if (item != NULL) {
        tell_user((const struct auth_user *)item, user);
    }
    return item != NULL;
}

struct slice kv_auth_user_role(const struct kv *kv, struct slice user, size_t number)
{
    const struct auth_user *u = auth_user_find(kv->auth, user);
    CHECK(u != NULL && number < u->count);
    return buf_slice(&u->roles[number]);
}

bool kv_auth_user_has_role(const struct kv *kv, struct slice user, struct slice role)
{
    const struct auth_user *u = auth_user_find(kv->auth, user);
    return u != NULL && user_has(u, role);
}

static void tell_role(const struct auth_role *r, struct kv_auth_role *role)
{
    *role = (struct kv_auth_role){.name = buf_slice(&r->item.name), .permissions = r->count};
}

bool kv_auth_role_get(const struct kv *kv, struct slice name, struct kv_auth_role *role)
{
    const struct auth_role *r = auth_role_find(kv->auth, name);
    if (r != NULL) {
        tell_role(r, role);
    }
    return r != NULL;
}

bool kv_auth_role_next(const struct kv *kv, struct slice after, struct kv_auth_role *role)
{
    const struct auth_item *item = behind(&kv->auth->roles, after);
    if (item != NULL) {
        tell_role((const struct auth_role *)item, role);
    }
    return item != NULL;
}

struct kv_auth_permission kv_auth_role_permission(const struct kv *kv, struct slice role,
                                                  size_t number)
{
    const struct auth_role *r = auth_role_find(kv->auth, role);
    CHECK(r != NULL && number < r->count);
    const struct auth_permission *p = &r->permissions[number];
    return (struct kv_auth_permission){.permission = p->permission,
                                       .key = buf_slice(&p->key),
                                       .range_end = buf_slice(&p->range_end)};
}
