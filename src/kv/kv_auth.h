/* kv/kv_auth.h - who may read and write what: users, roles and their permissions, as part of the
 * replicated state.
 *
 * Off at first: nobody is asked who he is. Users, roles and permissions may be made beforehand;
 * enabling needs a user `root` with the role `root`, which may all. Every change but enabling takes
 * the next auth revision (1 at first); the store's revision and its history know nothing of it.
 *
 * Who decides at a door decides by the state that his member has applied, and a command is applied
 * later. So the command carries the auth revision of that decision, and is refused, unapplied, when
 * another one holds by then (STATUS_AUTH_OLD): the two never disagree.
 *
 *   door: kv_auth_may -> command.auth_revision = kv_auth_stamp -> log -> kv_apply compares
 *
 * Passwords are here as the text of their hash alone, made and compared elsewhere. */
#pragma once

#include "base/buf.h"
#include "kv/kv.h"
#include "kv/kv_range.h"

struct kv_txn;

#define KV_AUTH_ROOT          "root" /* the user and the role */
#define KV_AUTH_KEY_BYTES     32
#define KV_AUTH_REVISION_NONE 1u /* before the first change */

/* Their numbers are those of etcd's messages and of the log. */
enum kv_permission {
    KV_PERMIT_READ = 0,
    KV_PERMIT_WRITE = 1,
    KV_PERMIT_BOTH = 2,
};

/* --- changes ---------------------------------------------------------------------------------- */

/* Numbers in the log. */
enum kv_auth_kind {
    KV_AUTH_ENABLE = 1, /* `token_key`; nothing when it is on */
    KV_AUTH_DISABLE,    /* nothing when it is off; users and roles stay */
    KV_AUTH_USER_ADD,   /* `user`, `password`, `no_password` */
    KV_AUTH_USER_DELETE,
    KV_AUTH_USER_PASSWORD, /* `user`, `password`; of a user without one only the revision changes */
    KV_AUTH_USER_GRANT,    /* `user`, `role`; nothing when he has it */
    KV_AUTH_USER_REVOKE,
    KV_AUTH_ROLE_ADD,
    KV_AUTH_ROLE_DELETE,  /* and no user has it any more */
    KV_AUTH_ROLE_PERMIT,  /* `role`, `permission`, `key`, `range_end`; in place of one like it */
    KV_AUTH_ROLE_WITHDRAW /* `role`, `key`, `range_end` */
};

struct kv_auth_change {
    enum kv_auth_kind kind;
    struct slice user; /* names: 1 to LIMIT_AUTH_NAME_BYTES; all slices are borrowed */
    struct slice role;
    struct slice password; /* the text of its hash, at most LIMIT_AUTH_HASH_BYTES; none: empty */
    bool no_password;      /* nobody can log in as this user by a password */
    enum kv_permission permission;
    struct slice key;                     /* 1 to LIMIT_KEY_BYTES */
    struct slice range_end;               /* as kv_span_of; at most LIMIT_KEY_BYTES */
    uint8_t token_key[KV_AUTH_KEY_BYTES]; /* random; KV_AUTH_ENABLE only */
};

/* May a permission be for this? An empty key or an end not behind it: no. */
bool kv_auth_span_is_sound(struct slice key, struct slice range_end);

/* Append the bytes for a command's `auth`; only the fields of its kind. Requires the bounds
 * above. */
void kv_auth_encode(const struct kv_auth_change *change, struct buf *out);
/* CORRUPT for anything that kv_auth_encode does not write; slices borrow from `bytes`. */
enum status MUST_CHECK kv_auth_decode(struct slice bytes, struct kv_auth_change *change);

/* What became of it; in kv_result.version. All but DONE have changed nothing, and the status is
 * CONFLICT, or OVERLOADED for FULL. Numbers on the wire between members. */
enum kv_auth_outcome {
    KV_AUTH_DONE = 0,
    KV_AUTH_USER_EXISTS = 1,
    KV_AUTH_NO_USER = 2,
    KV_AUTH_ROLE_EXISTS = 3,
    KV_AUTH_NO_ROLE = 4,
    KV_AUTH_NOT_GRANTED = 5,   /* the user does not have the role */
    KV_AUTH_NOT_PERMITTED = 6, /* the role does not have the permission */
    KV_AUTH_NO_ROOT_USER = 7,
    KV_AUTH_NO_ROOT_ROLE = 8, /* the user root does not have it */
    KV_AUTH_MISMANAGED = 9,   /* takes root away while auth is on */
    KV_AUTH_FULL = 10,        /* LIMIT_AUTH_BYTES */
};

/* --- reading ---------------------------------------------------------------------------------- */

bool kv_auth_is_enabled(const struct kv *kv);
uint64_t kv_auth_revision(const struct kv *kv);
/* For kv_command.auth_revision: the revision while auth is on, else 0. */
uint64_t kv_auth_stamp(const struct kv *kv);
/* KV_AUTH_KEY_BYTES; NULL while auth is off. */
const uint8_t *kv_auth_token_key(const struct kv *kv);

struct kv_auth_user {
    struct slice name; /* borrowed, like all here, until the next kv_apply */
    struct slice password;
    bool no_password;
    uint64_t since; /* the auth revision that made the user or his password */
    size_t roles;
};
/* False: there is none. */
bool kv_auth_user_get(const struct kv *kv, struct slice name, struct kv_auth_user *user);
/* The first one behind `after` (empty = of all), by name; `after` may be that of the last one. */
bool kv_auth_user_next(const struct kv *kv, struct slice after, struct kv_auth_user *user);
/* Role number `number` of a user that is there, by name; below `roles`. */
struct slice kv_auth_user_role(const struct kv *kv, struct slice user, size_t number);
bool kv_auth_user_has_role(const struct kv *kv, struct slice user, struct slice role);

struct kv_auth_role {
    struct slice name;
    size_t permissions;
};
bool kv_auth_role_get(const struct kv *kv, struct slice name, struct kv_auth_role *role);
bool kv_auth_role_next(const struct kv *kv, struct slice after, struct kv_auth_role *role);
struct kv_auth_permission {
    enum kv_permission permission;
    struct slice key;
    struct slice range_end;
};
/* By key, then by end; `number` below `permissions`. */
struct kv_auth_permission kv_auth_role_permission(const struct kv *kv, struct slice role,
                                                  size_t number);

/* --- may he? ---------------------------------------------------------------------------------- */

/* Whatever is asked of a user that is not there is not allowed. These do not ask whether auth is
 * on. */
bool kv_auth_is_root(const struct kv *kv, struct slice user);
/* KV_PERMIT_READ or KV_PERMIT_WRITE: is all of the span within what the user's roles together
 * permit? An empty one counts as its first key. */
bool kv_auth_may(const struct kv *kv, struct slice user, enum kv_permission permission,
                 const struct kv_span *span);
/* The same of every key that is attached to a lease; true when there is no such lease. */
bool kv_auth_may_lease(const struct kv *kv, struct slice user, enum kv_permission permission,
                       uint64_t lease);
/* The same of everything that a sound transaction compares, reads, tells and writes on any path. A
 * put with a lease needs to write all that hang on that. */
bool kv_auth_may_txn(const struct kv *kv, struct slice user, const struct kv_txn *txn);
