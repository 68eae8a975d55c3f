/* kv/kv_auth_table.h - users, roles and permissions of a store; only for the files of kv/.
 *
 * Few and small beside the keys, so that plain sorted arrays hold them, each user and role in an
 * allocation of its own. What they count is bounded by LIMIT_AUTH_BYTES. Each user and role is
 * bytes in one way only, which an image holds and the digest is over. */
#pragma once

#include "base/buf.h"
#include "kv/kv_auth.h"
#include "kv/kv_digest.h"

#include <stdbool.h>
#include <stdint.h>

/* What each user, role, permission and role of a user counts beside its bytes. */
#define AUTH_OVERHEAD 64u

/* The beginning of users and roles. */
struct auth_item {
    struct buf name;
    uint64_t bytes;          /* that it counts */
    struct kv_digest digest; /* as it stands in the sum */
};

struct auth_items {
    struct auth_item **at; /* by name; owned */
    size_t count;
    size_t capacity;
};

struct auth_permission {
    enum kv_permission permission;
    struct buf key;
    struct buf range_end;
};

struct auth_role {
    struct auth_item item;
    struct auth_permission *permissions; /* by key and end; owned */
    size_t count;
    size_t capacity;
};

/* [start, end); with `is_open` to the last key. */
struct auth_interval {
    struct buf start;
    struct buf end;
    bool is_open;
};

struct auth_intervals {
    struct auth_interval *at; /* ascending, with gaps in between; owned */
    size_t count;
};

struct auth_user {
    struct auth_item item;
    struct buf password;
    bool no_password;
    uint64_t since;
    struct buf *roles; /* names, ascending; owned */
    size_t count;
    size_t capacity;
    /* What the roles permit together, to read and to write; made when it is asked for and
     * `permitted_at` is another auth revision than that of now. */
    struct auth_intervals permitted[2];
    uint64_t permitted_at;
};

struct auth {
    bool is_enabled;
    uint64_t revision;
    uint8_t token_key[KV_AUTH_KEY_BYTES]; /* zero while it is off */
    struct auth_items users;
    struct auth_items roles;
    uint64_t bytes;
    struct kv_digest sum; /* of users and roles */
};

struct auth *auth_create(void);
void auth_destroy(struct auth *a);
/* Was it never changed? Then it is in no image and no digest. */
bool auth_is_pristine(const struct auth *a);

/* Place of the first item not before `name`; *found says whether it is that. */
size_t auth_place(const struct auth_items *items, struct slice name, bool *found);
struct auth_user *auth_user_find(const struct auth *a, struct slice name);
struct auth_role *auth_role_find(const struct auth *a, struct slice name);
/* The same in a user's roles and a role's permissions. */
size_t auth_user_role_place(const struct auth_user *u, struct slice role, bool *found);
size_t auth_permission_place(const struct auth_role *r, struct slice key, struct slice range_end,
                             bool *found);

/* Of a name that is not there, and of one that is. */
struct auth_user *auth_user_add(struct auth *a, struct slice name);
struct auth_role *auth_role_add(struct auth *a, struct slice name);
void auth_user_remove(struct auth *a, struct auth_user *u);
void auth_role_remove(struct auth *a, struct auth_role *r);
void auth_user_insert_role(struct auth_user *u, size_t place, struct slice role);
void auth_user_remove_role(struct auth_user *u, size_t place);
void auth_role_insert(struct auth_role *r, size_t place, const struct auth_permission *permission);
void auth_role_withdraw(struct auth_role *r, size_t place);
/* To be called after each change of the item: count and sum anew. */
void auth_user_changed(struct auth *a, struct auth_user *u);
void auth_role_changed(struct auth *a, struct auth_role *r);

/* Append the bytes. */
void auth_put_head(const struct auth *a, struct buf *out);
void auth_put_user(const struct auth_user *u, struct buf *out);
void auth_put_role(const struct auth_role *r, struct buf *out);
/* From bytes that nobody vouches for: the head once, then users and roles, each after those before
 * it. False: not such ones. */
bool auth_load_head(struct auth *a, struct slice bytes);
bool auth_load_user(struct auth *a, struct slice bytes);
bool auth_load_role(struct auth *a, struct slice bytes);

struct kv_digest auth_digest(const struct auth *a);
/* Add to `sum` the digests, made anew, of up to `budget` items from number *at on, which moves; the
 * last one comes with the head. True = that was all. */
bool auth_digest_anew(const struct auth *a, uint64_t *at, uint64_t budget, struct kv_digest *sum);
/* Aborts when an invariant is broken. */
void auth_check(const struct auth *a);
void auth_intervals_clear(struct auth_intervals *intervals);

/* Apply a change; *revision of the store's keys is none of its business. */
enum kv_auth_outcome auth_apply(struct auth *a, const struct kv_auth_change *change);
