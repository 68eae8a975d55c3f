#include "api/auth.h"

#include "api/auth_password.h"
#include "api/auth_token.h"
#include "api/metric_text.h"
#include "api/rest.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#define KNOWN_MS 60000u

/* A keyed hash of name, password and the hash that it was compared with: when the user's password
 * changes, this is another. */
struct known {
    uint8_t hash[sizeof(((struct auth_login *)NULL)->known_as)];
    uint64_t until_ms;
};

/* Why somebody was not let in, for /metrics. */
enum refusal {
    REFUSED_NOBODY,
    REFUSED_TOKEN,
    REFUSED_PASSWORD,
    REFUSED_PERMISSION,
    REFUSED_SLOWED,
    REFUSED_OVERLOADED,
    REFUSALS,
};

struct auth_door {
    struct passwords *passwords;
    struct guesses *guesses;
    uint64_t refused[REFUSALS];
    bool told_of_plain; /* a password came unencrypted, and the log has it */
    uint8_t known_key[crypto_generichash_KEYBYTES]; /* of this process; random */
    struct known known[LIMIT_AUTH_KNOWN];
    unsigned next_known; /* the oldest */
};

struct auth_door *auth_door_create(struct api *api)
{
    struct auth_door *d = mem_calloc(1, sizeof(*d));
    d->passwords = passwords_create(api->options.loop);
    d->guesses = guesses_create();
    randombytes_buf(d->known_key, sizeof(d->known_key));
    return d;
}

void auth_door_destroy(struct auth_door *d)
{
    passwords_destroy(d->passwords);
    guesses_destroy(d->guesses);
    sodium_memzero(d, sizeof(*d));
    mem_free(d);
}

struct passwords *auth_passwords(struct api *api)
{
    return api->auth->passwords;
}

static const struct kv *store_of(const struct api *api)
{
    return node_kv(api->options.node);
}

static struct slice name_of(const struct auth_caller *caller)
{
    return slice_of(caller->name, caller->name_size);
}

static void set_caller(struct auth_caller *caller, struct slice name)
{
    CHECK_CMP(name.size, <=, sizeof(caller->name));
    memcpy(caller->name, name.data, name.size);
    caller->name_size = name.size;
}

/* --- tokens ----------------------------------------------------------------------------------- */

struct slice auth_bearer(struct slice header)
{
    static const char scheme[] = "Bearer ";
    size_t size = sizeof(scheme) - 1;
    if (header.size > size && strncasecmp((const char *)header.data, scheme, size) == 0) {
        return slice_trim(slice_of(header.data + size, header.size - size));
    }
    return slice_trim(header);
}

enum auth_verdict auth_of_token(struct api *api, struct slice text, struct auth_caller *caller)
{
    const struct kv *kv = store_of(api);
    const uint8_t *key = kv_auth_token_key(kv);
    struct loop *loop = api->options.loop;
    struct token token;
    struct kv_auth_user user;
    caller->name_size = 0;
    if (key == NULL || text.size == 0) {
        return AUTH_ALLOWED;
    }
    if (!token_read(key, node_cluster(api->options.node), text, loop->ops->wall_ms(loop), &token)) {
        return AUTH_BAD_TOKEN;
    }
    struct slice name = slice_of(token.user, token.user_size);
    if (!kv_auth_user_get(kv, name, &user) || token.revision < user.since) {
        return AUTH_BAD_TOKEN;
    }
    set_caller(caller, name);
    return AUTH_ALLOWED;
}

enum auth_verdict auth_of_request(struct api *api, struct slice token, const struct conn *conn,
                                  struct auth_caller *caller)
{
    enum auth_verdict v = auth_of_token(api, token, caller);
    bool has_name = conn != NULL && conn->tls != NULL && conn->tls->peer_name != NULL;
    if (has_name && token.size == 0 && kv_auth_is_enabled(store_of(api))) {
        set_caller(caller, slice_str(conn->tls->peer_name));
    }
    return v;
}

void auth_token_append(struct api *api, struct slice user, struct buf *out)
{
    const struct kv *kv = store_of(api);
    struct loop *loop = api->options.loop;
    CHECK(kv_auth_is_enabled(kv));
    token_append(kv_auth_token_key(kv), node_cluster(api->options.node), user, kv_auth_revision(kv),
                 loop->ops->wall_ms(loop), out);
}

/* --- may he? ---------------------------------------------------------------------------------- */

/* False: *verdict is the answer already. */
static bool must_ask(const struct api *api, const struct auth_caller *caller,
                     enum auth_verdict *verdict)
{
    *verdict = AUTH_ALLOWED;
    if (!kv_auth_is_enabled(store_of(api))) {
        return false;
    }
    *verdict = AUTH_NOBODY;
    return caller->name_size > 0;
}

static enum auth_verdict verdict_of(bool may)
{
    return may ? AUTH_ALLOWED : AUTH_DENIED;
}

enum auth_verdict auth_may_act(struct api *api, const struct auth_caller *caller,
                               enum auth_office office)
{
    static const char *const roles[] = {[AUTH_ROOT] = KV_AUTH_ROOT,
                                        [AUTH_ADMIN] = AUTH_ROLE_ADMIN,
                                        [AUTH_BACKUP] = AUTH_ROLE_BACKUP};
    enum auth_verdict v;
    if (!must_ask(api, caller, &v)) {
        return v;
    }
    const struct kv *kv = store_of(api);
    struct slice name = name_of(caller);
    return verdict_of(kv_auth_is_root(kv, name) ||
                      kv_auth_user_has_role(kv, name, slice_str(roles[office])));
}

enum auth_verdict auth_may(struct api *api, const struct auth_caller *caller,
                           enum kv_permission permission, const struct kv_span *span)
{
    enum auth_verdict v;
    return must_ask(api, caller, &v)
               ? verdict_of(kv_auth_may(store_of(api), name_of(caller), permission, span))
               : v;
}

enum auth_verdict auth_may_lease(struct api *api, const struct auth_caller *caller,
                                 enum kv_permission permission, uint64_t lease)
{
    enum auth_verdict v;
    return must_ask(api, caller, &v)
               ? verdict_of(kv_auth_may_lease(store_of(api), name_of(caller), permission, lease))
               : v;
}

enum auth_verdict auth_may_txn(struct api *api, const struct auth_caller *caller,
                               const struct kv_txn *txn)
{
    enum auth_verdict v;
    return must_ask(api, caller, &v)
               ? verdict_of(kv_auth_may_txn(store_of(api), name_of(caller), txn))
               : v;
}

/* --- by password ------------------------------------------------------------------------------ */

static void hash_known(const struct auth_door *d, const struct kv_auth_user *user,
                       struct slice password, uint8_t hash[sizeof(((struct known *)NULL)->hash)])
{
    const struct slice parts[] = {user->name, password, user->password};
    crypto_generichash_state state;
    crypto_generichash_init(&state, d->known_key, sizeof(d->known_key),
                            sizeof(((struct known *)NULL)->hash));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t size = parts[i].size;
        crypto_generichash_update(&state, (const uint8_t *)&size, sizeof(size));
        crypto_generichash_update(&state, parts[i].data, parts[i].size);
    }
    crypto_generichash_final(&state, hash, sizeof(((struct known *)NULL)->hash));
}

static struct guess guess_of(struct api *api, struct slice name, struct guess_address from)
{
    struct loop *loop = api->options.loop;
    return (struct guess){.user = name, .from = from, .now_ms = loop->ops->now_ms(loop)};
}

static struct guess_address address_of(const struct conn *conn)
{
    return guess_address_of(conn != NULL ? conn->remote : NULL);
}

bool auth_is_known(struct api *api, const struct conn *conn, struct slice name,
                   struct slice password, struct auth_caller *caller)
{
    const struct auth_door *d = api->auth;
    struct loop *loop = api->options.loop;
    struct kv_auth_user user;
    const struct guess guess = guess_of(api, name, address_of(conn));
    if (guess_wait_known_ms(d->guesses, &guess) > 0 ||
        !kv_auth_user_get(store_of(api), name, &user)) {
        return false;
    }
    uint8_t hash[sizeof(d->known[0].hash)];
    hash_known(d, &user, password, hash);
    for (size_t i = 0; i < LIMIT_AUTH_KNOWN; i++) {
        const struct known *k = &d->known[i];
        if (sodium_memcmp(k->hash, hash, sizeof(hash)) == 0 &&
            loop->ops->now_ms(loop) < k->until_ms) {
            set_caller(caller, name);
            return true;
        }
    }
    return false;
}

static void remember(struct auth_login *l)
{
    struct auth_door *d = l->api->auth;
    struct loop *loop = l->api->options.loop;
    struct known *k = &d->known[d->next_known];
    memcpy(k->hash, l->known_as, sizeof(k->hash));
    k->until_ms = loop->ops->now_ms(loop) + KNOWN_MS;
    d->next_known = (d->next_known + 1) % LIMIT_AUTH_KNOWN;
}

static void end_guess(struct auth_login *l, enum guess_outcome outcome)
{
    const struct guess guess = guess_of(l->api, name_of(&l->caller), l->from);
    guess_end(l->api->auth->guesses, &guess, outcome);
    l->api->auth->refused[REFUSED_PASSWORD] += outcome == GUESS_WRONG;
}

static void on_checked(void *context, bool is_right, struct slice hash)
{
    struct auth_login *l = context;
    struct kv_auth_user user;
    (void)hash;
    l->job = NULL;
    l->is_right = is_right && l->since > 0 &&
                  kv_auth_user_get(store_of(l->api), name_of(&l->caller), &user) &&
                  user.since == l->since;
    end_guess(l, l->is_right ? GUESS_RIGHT : GUESS_WRONG);
    if (l->is_right) {
        remember(l);
    }
    l->done(l);
}

/* Once: clients that do this do it all the time. */
static void tell_of_plain(struct auth_door *d, const struct auth_login *l, const struct conn *conn)
{
    if (!d->told_of_plain && conn != NULL && conn->tls == NULL && !l->from.is_loopback) {
        d->told_of_plain = true;
        log_warn("a password came unencrypted, for everybody on the way to read; give members "
                 "certificates (--tls-cert) remote=%s",
                 conn->remote);
    }
}

static enum status start_check(struct api *api, struct auth_login *l, struct slice password)
{
    struct kv_auth_user user = {0};
    l->since = 0;
    if (kv_auth_user_get(store_of(api), name_of(&l->caller), &user) && user.password.size > 0) {
        l->since = user.since;
        hash_known(api->auth, &user, password, l->known_as);
    }
    l->job =
        password_check_start(api->auth->passwords, l->since > 0 ? user.password : slice_of(NULL, 0),
                             password, on_checked, l);
    if (l->job == NULL) {
        end_guess(l, GUESS_UNKNOWN);
        api->auth->refused[REFUSED_OVERLOADED]++;
        return STATUS_OVERLOADED;
    }
    return STATUS_OK;
}

enum status auth_login_start(struct api *api, struct auth_login *l, const struct conn *conn,
                             struct slice name, struct slice password)
{
    struct auth_door *d = api->auth;
    l->api = api;
    l->from = address_of(conn);
    tell_of_plain(d, l, conn);
    if (name.size < 1 || name.size > LIMIT_AUTH_NAME_BYTES ||
        password.size > LIMIT_PASSWORD_BYTES) {
        return STATUS_INVALID;
    }
    set_caller(&l->caller, name);
    const struct guess guess = guess_of(api, name, l->from);
    l->wait_ms = guess_begin(d->guesses, &guess);
    if (l->wait_ms > 0) {
        d->refused[REFUSED_SLOWED]++;
        return STATUS_BUSY;
    }
    return start_check(api, l, password);
}

void auth_login_cancel(struct auth_login *l)
{
    if (l->job != NULL) {
        password_cancel(l->job);
        l->job = NULL;
        end_guess(l, GUESS_WRONG);
    }
}

/* --- what was refused ------------------------------------------------------------------------- */

void auth_count_refused(struct api *api, enum auth_verdict verdict)
{
    static const enum refusal refusals[] = {[AUTH_NOBODY] = REFUSED_NOBODY,
                                            [AUTH_BAD_TOKEN] = REFUSED_TOKEN,
                                            [AUTH_DENIED] = REFUSED_PERMISSION};
    api->auth->refused[refusals[verdict]]++;
}

void auth_print_metrics(const struct api *api, struct buf *out)
{
    static const char name[] = "conclave_auth_refused_total";
    static const char *const reasons[REFUSALS] = {
        [REFUSED_NOBODY] = "nobody",     [REFUSED_TOKEN] = "token",
        [REFUSED_PASSWORD] = "password", [REFUSED_PERMISSION] = "permission",
        [REFUSED_SLOWED] = "slowed",     [REFUSED_OVERLOADED] = "overloaded"};
    metric_head(out, name, "Requests and passwords that were refused, by reason.", "counter");
    for (size_t i = 0; i < REFUSALS; i++) {
        buf_printf(out, "%s{reason=\"%s\"} %" PRIu64 "\n", name, reasons[i], api->auth->refused[i]);
    }
}
