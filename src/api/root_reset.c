#include "api/root_reset.h"

#include "api/audit.h"
#include "api/auth.h"
#include "api/auth_password.h"
#include "api/rest.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <sodium.h>

#define FLAG     "--reset-root-password-file"
#define TOLD     "reset the password of root"
#define AGAIN_MS 1000

struct root_reset {
    struct api *api;
    struct buf password; /* empty: it is done */
    struct timer timer;
    struct node_read read;
    struct node_write write;
    struct password_job *job;
    bool reads;
    bool writes;
    bool tried; /* to write it: what is found set then was set here, or may have been */
};

static void forget_password(struct root_reset *r)
{
    if (r->password.size > 0) {
        sodium_memzero(r->password.data, r->password.size);
    }
    buf_deinit(&r->password);
}

static void try_later(struct root_reset *r)
{
    struct loop *loop = r->api->options.loop;
    loop->ops->timer_start(loop, &r->timer, loop->ops->now_ms(loop) + AGAIN_MS);
}

static void tell_done(struct root_reset *r)
{
    forget_password(r);
    audit_tell(r->api, TOLD, true);
    log_warn("THE PASSWORD OF root WAS RESET (" FLAG "), and its tokens have ended; start without "
             "that flag from now on");
}

static void on_written(struct node_write *w)
{
    struct root_reset *r = w->context;
    r->writes = false;
    if (w->status == STATUS_OK) {
        tell_done(r);
        return;
    }
    log_warn(FLAG ": not yet, trying again: %s", status_text(w->status));
    try_later(r); /* which finds it set if it was */
}

static void on_hashed(void *context, bool is_right, struct slice hash)
{
    struct root_reset *r = context;
    r->job = NULL;
    if (!is_right) {
        try_later(r); /* no memory for it now */
        return;
    }
    const struct kv_auth_change change = {
        .kind = KV_AUTH_USER_PASSWORD, .user = slice_str(KV_AUTH_ROOT), .password = hash};
    struct node *node = r->api->options.node;
    struct buf bytes = {0};
    kv_auth_encode(&change, &bytes);
    const struct kv_command command = {
        .op = KV_AUTH, .auth = buf_slice(&bytes), .auth_revision = kv_auth_stamp(node_kv(node))};
    r->write = (struct node_write){
        .ack = NODE_ACK_QUORUM, .forward = true, .done = on_written, .context = r};
    r->writes = node_write_start(node, &r->write, &command) == STATUS_OK;
    buf_deinit(&bytes);
    r->tried |= r->writes;
    if (!r->writes) {
        try_later(r);
    }
}

static void on_compared(void *context, bool is_right, struct slice hash)
{
    struct root_reset *r = context;
    (void)hash;
    r->job = NULL;
    if (is_right && r->tried) {
        tell_done(r);
        return;
    }
    if (is_right) {
        log_warn(FLAG ": root has that password already; start without that flag from now on");
        forget_password(r);
        return;
    }
    r->job = password_hash_start(auth_passwords(r->api), buf_slice(&r->password), on_hashed, r);
    if (r->job == NULL) {
        try_later(r);
    }
}

static void refuse(struct root_reset *r, const char *why)
{
    log_error(FLAG ": nothing was reset: %s", why);
    audit_tell(r->api, TOLD, false);
    forget_password(r);
}

static void on_read(struct node_read *read)
{
    struct root_reset *r = read->context;
    const struct kv *kv = node_kv(r->api->options.node);
    struct kv_auth_user root;
    r->reads = false;
    if (read->status != STATUS_OK) {
        try_later(r); /* no leader yet */
    } else if (!kv_auth_is_enabled(kv)) {
        refuse(r, "users are not asked for passwords here: auth is off");
    } else if (!kv_auth_user_get(kv, slice_str(KV_AUTH_ROOT), &root) || root.no_password) {
        refuse(r, "root has no password, and enters by a certificate with the common name root "
                  "(at members with --tls-ca)");
    } else {
        r->job = password_check_start(auth_passwords(r->api), root.password,
                                      buf_slice(&r->password), on_compared, r);
        if (r->job == NULL) {
            try_later(r);
        }
    }
}

static void on_timer(struct timer *t)
{
    struct root_reset *r = t->context;
    r->read = (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_read, .context = r};
    r->reads = true;
    node_read_start(r->api->options.node, &r->read);
}

struct root_reset *root_reset_start(struct api *api, struct slice password)
{
    struct root_reset *r = mem_calloc(1, sizeof(*r));
    r->api = api;
    r->timer = (struct timer){.fire = on_timer, .context = r};
    buf_append_slice(&r->password, password);
    log_warn(FLAG ": the password of root will be reset as soon as a leader is known");
    try_later(r);
    return r;
}

void root_reset_destroy(struct root_reset *r)
{
    if (r == NULL) {
        return;
    }
    r->api->options.loop->ops->timer_stop(r->api->options.loop, &r->timer);
    if (r->reads) {
        node_read_cancel(&r->read);
    }
    if (r->writes) {
        node_write_cancel(&r->write);
    }
    if (r->job != NULL) {
        password_cancel(r->job);
    }
    forget_password(r);
    mem_free(r);
}
