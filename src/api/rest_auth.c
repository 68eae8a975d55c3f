/* rest_auth.c - who sends a request of REST while auth is on: `Authorization: Bearer TOKEN` with a
 * token of Authenticate, or `Basic` with name and password (auth.h). */
#include "api/audit.h"
#include "api/auth.h"
#include "api/rest.h"
#include "base/mem.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BASIC      "Basic "
/* NAME:PASSWORD */
#define PAIR_BYTES (LIMIT_AUTH_NAME_BYTES + 1u + LIMIT_PASSWORD_BYTES)

static const char challenge[] = "WWW-Authenticate: Basic realm=\"conclave\", charset=\"UTF-8\"\r\n"
                                "WWW-Authenticate: Bearer realm=\"conclave\"\r\n";

/* A request whose password is being checked. */
struct identifying {
    struct call call;
    struct auth_login login;
    bool waits;
    rest_go_on *go_on;
    const void *route;
};

static void answer_unauthorized(struct api *api, struct http_request *r, const char *reason)
{
    audit_expect_claim(api, r, slice_of(NULL, 0));
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", "Unauthorized");
    json_field_text(&w, "reason", reason);
    answer_send(r, 401, challenge, &w);
}

bool rest_allows(struct api *api, struct http_request *r, enum auth_verdict verdict)
{
    if (verdict == AUTH_ALLOWED) {
        return true;
    }
    auth_count_refused(api, verdict);
    switch (verdict) {
    case AUTH_ALLOWED:
        break;
    case AUTH_NOBODY:
        answer_unauthorized(api, r, "say who you are: Authorization: Basic or Bearer");
        break;
    case AUTH_BAD_TOKEN:
        answer_unauthorized(api, r, "the token is not valid, or not any more");
        break;
    case AUTH_DENIED:
        audit_expect(api, r, r->user != NULL ? &((struct call *)r->user)->caller : &api->caller);
        answer_error_reason(api, r, 403, "Forbidden", "no role of this user permits it");
        break;
    }
    return false;
}

static void destroy(struct call *c)
{
    struct identifying *i = CONTAINER_OF(c, struct identifying, call);
    if (i->waits) {
        auth_login_cancel(&i->login);
    }
    mem_free(i);
}

static void go_on_as(struct api *api, struct http_request *r, const struct auth_caller *caller,
                     rest_go_on *go_on, const void *route)
{
    api->caller = *caller;
    go_on(api, r, route);
    api->caller.name_size = 0;
}

static void on_checked(struct auth_login *l)
{
    struct identifying *i = l->context;
    struct api *api = i->call.api;
    struct http_request *r = i->call.http;
    i->waits = false;
    if (!l->is_right) {
        audit_expect_claim(api, r, slice_of(l->caller.name, l->caller.name_size));
        answer_unauthorized(api, r, "no such user, or another password");
        return;
    }
    const struct auth_caller caller = l->caller;
    rest_go_on *go_on = i->go_on;
    const void *route = i->route;
    call_end(&i->call); /* the request goes on as if it had just come */
    go_on_as(api, r, &caller, go_on, route);
}

static void answer_wait(struct api *api, struct http_request *r, uint32_t wait_ms)
{
    char headers[40];
    snprintf(headers, sizeof(headers), "Retry-After: %" PRIu32 "\r\n", (wait_ms + 999) / 1000);
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", "Too many wrong passwords");
    json_field_u64(&w, "retryAfterMs", wait_ms);
    answer_send(r, 429, headers, &w);
}

static void check_password(struct api *api, struct http_request *r, struct slice name,
                           struct slice password, rest_go_on *go_on, const void *route)
{
    struct auth_caller caller;
    if (auth_is_known(api, r->conn, name, password, &caller)) {
        go_on_as(api, r, &caller, go_on, route);
        return;
    }
    struct identifying *i = mem_calloc(1, sizeof(*i));
    call_begin(&i->call, api, r, destroy);
    i->go_on = go_on;
    i->route = route;
    i->login.done = on_checked;
    i->login.context = i;
    enum status s = auth_login_start(api, &i->login, r->conn, name, password);
    i->waits = s == STATUS_OK;
    if (s == STATUS_INVALID) {
        answer_unauthorized(api, r, "no such user, or another password");
    } else if (s == STATUS_BUSY) {
        audit_expect_claim(api, r, name);
        answer_wait(api, r, i->login.wait_ms);
    } else if (s != STATUS_OK) {
        answer_status(api, r, s);
    }
}

static void identify_basic(struct api *api, struct http_request *r, struct slice text,
                           rest_go_on *go_on, const void *route)
{
    uint8_t pair[PAIR_BYTES];
    size_t size = 0;
    const char *end = NULL;
    text = slice_trim(text);
    bool is_base64 = sodium_base642bin(pair, sizeof(pair), (const char *)text.data, text.size, NULL,
                                       &size, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
                     end == (const char *)text.data + text.size;
    const uint8_t *colon = is_base64 ? memchr(pair, ':', size) : NULL;
    if (colon == NULL) {
        answer_unauthorized(api, r, "Basic takes NAME:PASSWORD in base64");
    } else {
        size_t name_size = (size_t)(colon - pair);
        check_password(api, r, slice_of(pair, name_size), slice_of(colon + 1, size - name_size - 1),
                       go_on, route);
    }
    sodium_memzero(pair, sizeof(pair));
}

void rest_identify(struct api *api, struct http_request *r, rest_go_on *go_on, const void *route)
{
    struct slice header = http_header_find(r, "Authorization");
    size_t size = sizeof(BASIC) - 1;
    /* A browser sends what was typed into it, and shows the certificate, for pages of other sites,
     * too. A token is sent by who has it. */
    bool is_foreign = api_is_foreign(api, r);
    if (header.size >= size && strncasecmp((const char *)header.data, BASIC, size) == 0) {
        if (is_foreign) {
            answer_unauthorized(api, r, "a web page of another origin shows a token, as Bearer");
            return;
        }
        identify_basic(api, r, slice_of(header.data + size, header.size - size), go_on, route);
        return;
    }
    struct auth_caller caller;
    const struct conn *conn = is_foreign ? NULL : r->conn;
    if (rest_allows(api, r, auth_of_request(api, auth_bearer(header), conn, &caller))) {
        go_on_as(api, r, &caller, go_on, route);
    }
}
