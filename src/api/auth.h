/* api/auth.h - who asks, and may he: one door for gRPC, its gateway and REST.
 *
 * Off (the default): everybody may all, and nothing here costs more than a look whether it is off.
 * On: the state that this member has applied decides (kv/kv_auth.h). A check and what it allows
 * belong into one call of the loop: a command carries kv_auth_stamp of then, so that applying it
 * elsewhere, later, refuses when users or roles have changed since; a read is checked when it is
 * done, not when it is asked for. */
#pragma once

#include "api/auth_guesses.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/status.h"
#include "kv/kv_auth.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api;
struct auth_door;
struct password_job;
struct passwords;

struct auth_door *auth_door_create(struct api *api);
void auth_door_destroy(struct auth_door *d);
/* For what hashes passwords. Borrowed. */
struct passwords *auth_passwords(struct api *api);

struct auth_caller {
    size_t name_size; /* 0 = nobody, or auth is off */
    char name[LIMIT_AUTH_NAME_BYTES];
};

enum auth_verdict {
    AUTH_ALLOWED,
    AUTH_NOBODY,    /* he must say who he is */
    AUTH_BAD_TOKEN, /* false, over, of a user who is gone or has another password since */
    AUTH_DENIED,
};

/* Whose token this is. An empty one is nobody's, which is ALLOWED here: it depends on what he
 * wants. While auth is off any token is nobody's. Else BAD_TOKEN. */
enum auth_verdict auth_of_token(struct api *api, struct slice token, struct auth_caller *caller);

/* The same for a request that came by `conn` (NULL: it is gone, or does not count): without a token
 * the name in the certificate that was shown there asks, whether there is such a user or not. */
enum auth_verdict auth_of_request(struct api *api, struct slice token, const struct conn *conn,
                                  struct auth_caller *caller);

/* The token in what a header says: `Bearer TOKEN`, or the token alone. */
struct slice auth_bearer(struct slice header);

/* Who runs a cluster need not be root, who alone makes users and roles: these are roles by name,
 * made and granted like others, that permit no keys (docs/decisions/0019-roles-by-name.md). */
#define AUTH_ROLE_ADMIN  "conclave:admin"
#define AUTH_ROLE_BACKUP "conclave:backup"

enum auth_office {
    AUTH_ROOT,   /* the role root; it has the others, too */
    AUTH_ADMIN,  /* members, leadership, compaction, faults: AUTH_ROLE_ADMIN */
    AUTH_BACKUP, /* what shows all that is stored: AUTH_ROLE_BACKUP */
};

/* Each is ALLOWED while auth is off, and else NOBODY, DENIED or ALLOWED. */
enum auth_verdict auth_may_act(struct api *api, const struct auth_caller *caller,
                               enum auth_office office);
enum auth_verdict auth_may(struct api *api, const struct auth_caller *caller,
                           enum kv_permission permission, const struct kv_span *span);
enum auth_verdict auth_may_lease(struct api *api, const struct auth_caller *caller,
                                 enum kv_permission permission, uint64_t lease);
enum auth_verdict auth_may_txn(struct api *api, const struct auth_caller *caller,
                               const struct kv_txn *txn);

/* Append a token for a user who has shown his password. Auth is on. */
void auth_token_append(struct api *api, struct slice user, struct buf *out);

/* --- by password ------------------------------------------------------------------------------ */

/* Embedded in the caller's request; zero-initialised, then the first block is set. */
struct auth_login {
    /* Called once, on the loop, never inside auth_login_start. */
    void (*done)(struct auth_login *l);
    void *context;

    /* True: it is this user's password, and still was when it was checked. A wrong one and a user
     * that is not there take the same time. */
    bool is_right;
    struct auth_caller caller;
    uint32_t wait_ms; /* BUSY: how long to wait */

    /* Its own. */
    struct api *api;
    struct password_job *job;
    struct guess_address from;
    uint8_t known_as[32]; /* its place among those that are believed */
    uint64_t since;
};

/* `conn`: how it came, or NULL. OK: `done` will be called. OVERLOADED: too many wait. INVALID: no
 * such name or password can be. BUSY: too many were wrong (auth_guesses.h). */
enum status MUST_CHECK auth_login_start(struct api *api, struct auth_login *l,
                                        const struct conn *conn, struct slice name,
                                        struct slice password);
/* Counts as a wrong one: who goes before he hears guesses no faster. */
void auth_login_cancel(struct auth_login *l);
/* Were they right within the last minute, and is nothing different since? Then *caller is set, and
 * no hash needs to be made: for clients that send their password with every request. False, too,
 * for who must wait. */
bool auth_is_known(struct api *api, const struct conn *conn, struct slice name,
                   struct slice password, struct auth_caller *caller);

/* --- what was refused ------------------------------------------------------------------------- */

/* Counts a verdict that is not ALLOWED. */
void auth_count_refused(struct api *api, enum auth_verdict verdict);
/* For /metrics. */
void auth_print_metrics(const struct api *api, struct buf *out);
