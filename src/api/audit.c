#include "api/audit.h"

#include "api/audit_targets.h"
#include "api/etcd_access.h"
#include "api/metric_text.h"
#include "api/rest.h"
#include "base/line_file.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BODY_BYTES 256u /* of one that is shown */

struct audit_note {
    struct api *api;
    struct auth_caller caller;
    const char *door;
    bool is_claim; /* he only said so */
    bool shows_body;
    struct buf targets; /* as JSON, with commas; empty = none */
    char remote[sizeof(((struct conn *)NULL)->remote)];
};

bool audit_is_on(const struct api *api)
{
    return api->options.audit != NULL;
}

/* --- notes ------------------------------------------------------------------------------------ */

static struct audit_note *make_note(struct api *api, const char *door, const struct conn *conn,
                                    const struct auth_caller *caller)
{
    struct audit_note *n = mem_calloc(1, sizeof(*n));
    n->api = api;
    n->door = door;
    n->caller = *caller;
    snprintf(n->remote, sizeof(n->remote), "%s", conn != NULL ? conn->remote : "");
    return n;
}

static void free_note(struct audit_note *n)
{
    buf_deinit(&n->targets);
    mem_free(n);
}

void audit_expect(struct api *api, struct http_request *r, const struct auth_caller *caller)
{
    if (audit_is_on(api) && r->note == NULL) {
        r->note = make_note(api, "rest", r->conn, caller);
    }
}

void audit_expect_claim(struct api *api, struct http_request *r, struct slice name)
{
    struct auth_caller claim = {0};
    if (name.size > 0 && name.size <= sizeof(claim.name)) {
        memcpy(claim.name, name.data, name.size);
        claim.name_size = name.size;
    }
    audit_expect(api, r, &claim);
    if (r->note != NULL) {
        ((struct audit_note *)r->note)->is_claim = true;
    }
}

void audit_show_body(struct http_request *r)
{
    if (r->note != NULL) {
        ((struct audit_note *)r->note)->shows_body = true;
    }
}

void audit_show_txn(struct http_request *r, const struct kv_txn *txn)
{
    if (r->note != NULL) {
        struct json_writer w = {.out = &((struct audit_note *)r->note)->targets};
        audit_print_txn(&w, txn);
    }
}

/* --- lines ------------------------------------------------------------------------------------ */

static struct json_writer begin_line(struct api *api, struct buf *line)
{
    struct loop *loop = api->options.loop;
    struct json_writer w = {.out = line};
    json_open_object(&w);
    json_field_u64(&w, "time", loop->ops->wall_ms(loop));
    json_field_text(&w, "member", node_name(api->options.node));
    return w;
}

/* Lines that were lost are told of by the first one that is not. */
static void tell_of_lost(struct api *api)
{
    struct line_file *file = api->options.audit;
    struct line_file_counts counts = line_file_counts(file);
    uint64_t lost = counts.lost - counts.told;
    if (lost > 0) {
        struct buf line = {0};
        struct json_writer w = begin_line(api, &line);
        json_field_u64(&w, "lost", lost);
        json_close_object(&w);
        bool is_told = line_file_add(file, buf_slice(&line));
        line_file_told(file, is_told ? lost : 1); /* a line that is lost itself told nothing */
        buf_deinit(&line);
    }
}

static void end_line(struct api *api, struct json_writer *w, const char *outcome)
{
    json_field_text(w, "outcome", outcome);
    json_field_u64(w, "revision", api_revision(api));
    json_close_object(w);
    tell_of_lost(api);
    (void)line_file_add(api->options.audit, buf_slice(w->out)); /* or it is counted */
    buf_deinit(w->out);
}

static void print_who(struct json_writer *w, const struct audit_note *n)
{
    struct slice name = slice_of(n->caller.name, n->caller.name_size);
    json_field_text(w, "door", n->door);
    json_field_text(w, "from", n->remote);
    json_write_name(w, "user");
    if (name.size > 0 && !n->is_claim) {
        json_write_string(w, name);
    } else {
        json_write_null(w);
    }
    if (name.size > 0 && n->is_claim) {
        json_field_string(w, "claims", name);
    }
}

static void print_targets(struct json_writer *w, struct slice targets)
{
    if (targets.size > 0) {
        json_write_name(w, "targets");
        json_open_array(w);
        json_write_raw(w, targets);
        json_close_array(w);
    }
}

void audit_http(struct http_request *r, int http_status)
{
    struct audit_note *n = r->note;
    struct buf line = {0};
    r->note = NULL;
    struct json_writer w = begin_line(n->api, &line);
    print_who(&w, n);
    struct buf what = {0};
    buf_append_slice(&what, r->method_name);
    buf_append_byte(&what, ' ');
    buf_append_slice(&what, r->path);
    json_field_string(&w, "request", buf_slice(&what));
    buf_deinit(&what);
    print_targets(&w, buf_slice(&n->targets));
    if (n->shows_body && r->body.size > 0) {
        json_field_string(
            &w, "body",
            slice_of(r->body.data, r->body.size < BODY_BYTES ? r->body.size : BODY_BYTES));
    }
    bool is_denied = http_status == 401 || http_status == 403;
    if (http_status > 0) {
        json_field_u64(&w, "code", (uint64_t)http_status);
    }
    const char *answered = http_status < 400 ? "done" : (is_denied ? "denied" : "failed");
    end_line(n->api, &w, http_status == 0 ? "gone" : answered);
    free_note(n);
}

/* --- the etcd API ----------------------------------------------------------------------------- */

static struct audit_note *note_of_call(const struct etcd_call *call)
{
    struct auth_caller caller;
    etcd_caller(call, &caller);
    return make_note(call->api, call->grpc != NULL ? "grpc" : "gateway", etcd_conn(call), &caller);
}

void audit_begin_call(struct etcd_call *call)
{
    if (audit_is_on(call->api) && !call->method->reads) {
        call->note = note_of_call(call);
    }
}

/* `about`: its request, or NULL. */
static void tell_call(const struct etcd_call *call, const struct audit_note *n,
                      const ProtobufCMessage *about, const char *outcome, int code)
{
    struct buf line = {0};
    struct buf targets = {0};
    struct json_writer w = begin_line(call->api, &line);
    print_who(&w, n);
    json_field_text(&w, "request", call->method->path);
    if (about != NULL) {
        struct json_writer t = {.out = &targets};
        audit_print_message(&t, about);
    }
    print_targets(&w, buf_slice(&targets));
    buf_deinit(&targets);
    if (code >= 0) {
        json_field_u64(&w, "code", (uint64_t)code);
    }
    end_line(call->api, &w, outcome);
}

static bool is_denial(enum grpc_code code, const char *text)
{
    return code == GRPC_PERMISSION_DENIED || code == GRPC_UNAUTHENTICATED ||
           text == etcd_error_text(ETCD_USER_EMPTY) || text == etcd_error_text(ETCD_AUTH_FAILED);
}

void audit_end_call(struct etcd_call *call, enum grpc_code code, const char *text)
{
    bool is_denied = code != GRPC_OK && is_denial(code, text);
    if (audit_is_on(call->api) && call->note == NULL && is_denied) {
        call->note = note_of_call(call);
    }
    if (call->note != NULL) {
        const char *outcome = is_denied ? "denied" : "failed";
        tell_call(call, call->note, call->request, code == GRPC_OK ? "done" : outcome, (int)code);
        free_note(call->note);
        call->note = NULL;
    }
}

void audit_lose_call(struct etcd_call *call)
{
    tell_call(call, call->note, call->request, "gone", -1);
    free_note(call->note);
    call->note = NULL;
}

void audit_denied(struct etcd_call *call, const ProtobufCMessage *about)
{
    if (audit_is_on(call->api)) {
        struct audit_note *n = note_of_call(call);
        tell_call(call, n, about, "denied", GRPC_PERMISSION_DENIED);
        free_note(n);
    }
}

/* --- what nobody asked ------------------------------------------------------------------------ */

void audit_tell(struct api *api, const char *what, bool is_done)
{
    if (audit_is_on(api)) {
        struct buf line = {0};
        struct json_writer w = begin_line(api, &line);
        json_field_text(&w, "door", "start");
        json_field_text(&w, "request", what);
        end_line(api, &w, is_done ? "done" : "failed");
    }
}

void audit_print_metrics(const struct api *api, struct buf *out)
{
    if (audit_is_on(api)) {
        struct line_file_counts counts = line_file_counts(api->options.audit);
        metric_head(out, "conclave_audit_lines_total", "Lines for the audit log.", "counter");
        buf_printf(out, "conclave_audit_lines_total %" PRIu64 "\n", counts.added);
        metric_head(out, "conclave_audit_lost_total", "Lines that could not be written in time.",
                    "counter");
        buf_printf(out, "conclave_audit_lost_total %" PRIu64 "\n", counts.lost);
    }
}
