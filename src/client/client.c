#include "client/client.h"

#include "base/check.h"
#include "base/mem.h"
#include "client/identity.h"
#include "client/json_text.h"
#include "net/http_client.h"
#include "net/url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* How long a member may take to say whether it leads. */
#define LOCATE_MS        400
/* Between rounds over all endpoints; doubled each time. */
#define BACKOFF_FIRST_MS 20
#define BACKOFF_LAST_MS  200
/* leaderUrl is followed this often without a pause. */
#define HOPS_MAX         3

struct client {
    char *endpoints[LIMIT_MEMBERS];
    uint32_t endpoint_count;
    uint32_t timeout_ms;
    uint32_t cursor;                 /* the endpoint to ask next */
    char leader[LIMIT_URL_BYTES];    /* who leads, as far as is known; empty = unknown */
    char dead_hint[LIMIT_URL_BYTES]; /* a leaderUrl that could not be reached in this round */
};

/* The state of one client_call. */
struct call {
    const struct client_request *request;
    struct client_answer *answer;
    uint64_t deadline_ms;
    uint32_t tried;   /* endpoints in this round */
    uint32_t refused; /* of them, those that took no connection */
    uint32_t hops;
    uint32_t backoff_ms;
    bool heard; /* somebody answered, in whatever round */
};

struct client *client_create(const struct client_options *options)
{
    CHECK(options->endpoint_count > 0 && options->endpoint_count <= LIMIT_MEMBERS);
    struct client *c = mem_calloc(1, sizeof(*c));
    c->endpoint_count = options->endpoint_count;
    c->timeout_ms = options->timeout_ms;
    for (uint32_t i = 0; i < options->endpoint_count; i++) {
        c->endpoints[i] = mem_strdup(options->endpoints[i]);
    }
    return c;
}

void client_destroy(struct client *c)
{
    for (uint32_t i = 0; i < c->endpoint_count; i++) {
        mem_free(c->endpoints[i]);
    }
    mem_free(c);
}

/* --- going round ------------------------------------------------------------------------------ */

static uint32_t left_ms(const struct call *call)
{
    uint64_t now = client_now_ms();
    return now < call->deadline_ms ? (uint32_t)(call->deadline_ms - now) : 0;
}

/* A read leaves time for the next endpoint; a write is sent once, so it may take all there is. */
static uint32_t attempt_ms(const struct client *c, const struct call *call)
{
    uint32_t left = left_ms(call);
    return call->request->is_write || c->endpoint_count == 1 ? left : left / 2 + 1;
}

static bool is_definitely_not_done(enum status s)
{
    return s == STATUS_NOT_LEADER || s == STATUS_NO_QUORUM || s == STATUS_BEHIND ||
           s == STATUS_OVERLOADED || s == STATUS_UNREACHABLE;
}

static bool is_transport(enum status s)
{
    return s == STATUS_CLOSED || s == STATUS_TIMEOUT;
}

/* Remember the leader that an answer names. True when it is worth a try right now: it is another
 * than was asked, and could be reached as far as is known. */
static bool note_leader(struct client *c, const struct client_answer *a)
{
    const char *url = client_answer_string(a, "leaderUrl");
    struct url parsed;
    if (url == NULL || strlen(url) >= LIMIT_URL_BYTES ||
        url_parse(url, &parsed, NULL) != STATUS_OK || strcmp(url, a->url) == 0 ||
        strcmp(url, c->dead_hint) == 0) {
        return false;
    }
    snprintf(c->leader, sizeof(c->leader), "%s", url);
    return true;
}

static void pause_a_little(struct call *call)
{
    uint32_t left = left_ms(call);
    client_sleep_ms(call->backoff_ms < left ? call->backoff_ms : left);
    uint32_t doubled = call->backoff_ms * 2;
    call->backoff_ms = doubled < BACKOFF_LAST_MS ? doubled : BACKOFF_LAST_MS;
}

/* Move on to the next endpoint; a round without success ends with a pause. False when every
 * endpoint of this round refused the connection and nobody was ever heard: there is nobody to wait
 * for. */
static bool move_on(struct client *c, struct call *call)
{
    c->leader[0] = '\0';
    c->cursor = (c->cursor + 1) % c->endpoint_count;
    if (++call->tried < c->endpoint_count) {
        return true;
    }
    if (call->refused == call->tried && !call->heard) {
        return false;
    }
    call->tried = 0;
    call->refused = 0;
    call->hops = 0;
    c->dead_hint[0] = '\0';
    pause_a_little(call);
    return true;
}

/* Where to go after an attempt that did not settle it. False: nowhere. */
static bool choose_next(struct client *c, struct call *call, enum status status, bool was_hint)
{
    if (status == STATUS_NOT_LEADER && call->hops < HOPS_MAX && note_leader(c, call->answer)) {
        call->hops++;
        return true;
    }
    if (status == STATUS_UNREACHABLE && was_hint) {
        snprintf(c->dead_hint, sizeof(c->dead_hint), "%s", c->leader);
        c->leader[0] = '\0';
        return true; /* the endpoint at the cursor has not been tried in its place yet */
    }
    if (status == STATUS_UNREACHABLE) {
        call->refused++;
    }
    return move_on(c, call);
}

/* Reads, and writes where only one endpoint is given: ask, follow, go round. */
static enum status call_any(struct client *c, struct call *call)
{
    const struct client_request *r = call->request;
    enum status last = STATUS_TIMEOUT;
    for (;;) {
        bool was_hint = r->is_write && c->leader[0] != '\0';
        const char *url = was_hint ? c->leader : c->endpoints[c->cursor];
        enum status status = client_ask(url, r, attempt_ms(c, call), call->answer);
        call->heard = call->heard || call->answer->http_status != 0;
        if (status != STATUS_UNREACHABLE || !call->heard) {
            last = status;
        }
        bool may_repeat = is_definitely_not_done(status) || (!r->is_write && is_transport(status));
        may_repeat = may_repeat && !call->answer->is_sunk;
        if (!may_repeat || left_ms(call) == 0 || !choose_next(c, call, status, was_hint) ||
            left_ms(call) == 0) {
            return last;
        }
    }
}

/* --- a write, with several endpoints ---------------------------------------------------------- */

/* A write goes only to a member that says by itself, just now, that it leads. A frozen one takes
 * connections and says nothing, while the others still name it: a write sent there would have an
 * unknown outcome, and needs not be sent at all. The leader is taken at the address where it
 * answered, which need not be the one it advertises. */
static enum status ask_whether_it_leads(struct client *c, struct call *call, const char *url,
                                        struct client_answer *a)
{
    const struct client_request who = {.method = "GET", .target = "/leader"};
    uint32_t left = left_ms(call);
    enum status status = client_ask(url, &who, left < LOCATE_MS ? left : LOCATE_MS, a);
    if (status == STATUS_OK) {
        snprintf(c->leader, sizeof(c->leader), "%s", a->url);
    }
    return status;
}

/* Ask one endpoint, and whom it names. */
static enum status locate_by(struct client *c, struct call *call, const char *url)
{
    struct client_answer a = {0};
    enum status status = ask_whether_it_leads(c, call, url, &a);
    if (status != STATUS_OK && a.http_status != 0 && note_leader(c, &a)) {
        char named[LIMIT_URL_BYTES];
        memcpy(named, c->leader, sizeof(named));
        c->leader[0] = '\0';
        if (ask_whether_it_leads(c, call, named, &a) == STATUS_OK) {
            status = STATUS_OK;
        } else {
            memcpy(c->dead_hint, named, sizeof(named));
        }
    }
    client_answer_deinit(&a);
    return status;
}

/* OK: c->leader says that it leads. NOT_LEADER: nobody did until the deadline. UNREACHABLE: no
 * endpoint took a connection. */
static enum status locate_leader(struct client *c, struct call *call)
{
    while (left_ms(call) > 0) {
        bool is_anyone_there = false;
        c->dead_hint[0] = '\0';
        for (uint32_t i = 0; i < c->endpoint_count && left_ms(call) > 0; i++) {
            enum status status = locate_by(c, call, c->endpoints[i]);
            if (status == STATUS_OK) {
                return STATUS_OK;
            }
            is_anyone_there = is_anyone_there || status != STATUS_UNREACHABLE;
        }
        if (!is_anyone_there && !call->heard) {
            return STATUS_UNREACHABLE;
        }
        pause_a_little(call);
    }
    return STATUS_NOT_LEADER;
}

static enum status call_leader(struct client *c, struct call *call)
{
    enum status last = STATUS_NOT_LEADER;
    while (left_ms(call) > 0) {
        if (c->leader[0] == '\0') {
            enum status found = locate_leader(c, call);
            if (found != STATUS_OK) {
                return call->heard ? last : found;
            }
        }
        enum status status = client_ask(c->leader, call->request, left_ms(call), call->answer);
        call->heard = call->heard || call->answer->http_status != 0;
        if (status != STATUS_UNREACHABLE) {
            last = status;
        }
        if (!is_definitely_not_done(status)) {
            return status;
        }
        c->leader[0] = '\0';
        pause_a_little(call);
    }
    return last;
}

/* --- calling ---------------------------------------------------------------------------------- */

enum status client_call(struct client *c, const struct client_request *r, struct client_answer *a)
{
    struct call call = {.request = r,
                        .answer = a,
                        .deadline_ms = client_now_ms() + c->timeout_ms,
                        .backoff_ms = BACKOFF_FIRST_MS};
    c->dead_hint[0] = '\0';
    enum status status =
        r->is_write && c->endpoint_count > 1 ? call_leader(c, &call) : call_any(c, &call);
    if (is_transport(status)) {
        return r->is_write ? STATUS_UNKNOWN : STATUS_TIMEOUT;
    }
    return status;
}

/* --- one attempt ------------------------------------------------------------------------------ */

static bool error_is(const struct client_answer *a, const char *text)
{
    return strcmp(a->error, text) == 0;
}

/* 503 and 504 are the answers on which repeating a write depends: they count only in the words that
 * Conclave uses, for a proxy in between may say 503 when it does not know. */
static enum status classify_unavailable(const struct client_answer *a, bool is_write)
{
    bool is_ours = client_answer_string(a, "error") != NULL;
    if (a->http_status == 504) {
        if (error_is(a, "Not confirmed by all")) {
            return STATUS_NOT_CONFIRMED;
        }
        return is_write ? STATUS_UNKNOWN : STATUS_TIMEOUT;
    }
    if (!is_ours) {
        return is_write ? STATUS_UNKNOWN : STATUS_NO_QUORUM;
    }
    if (error_is(a, "Not the leader")) {
        return STATUS_NOT_LEADER;
    }
    if (error_is(a, "Busy")) {
        return STATUS_OVERLOADED;
    }
    return error_is(a, "Behind") ? STATUS_BEHIND : STATUS_NO_QUORUM;
}

static enum status classify(const struct client_answer *a, bool is_write)
{
    int http = a->http_status;
    if (http >= 200 && http <= 299) {
        return STATUS_OK;
    }
    switch (http) {
    case 400:
        return error_is(a, "Not currently leader") ? STATUS_NOT_LEADER : STATUS_INVALID;
    case 401:
    case 403:
        return STATUS_DENIED;
    case 404:
        return error_is(a, "Key not found") ? STATUS_NOT_FOUND : STATUS_UNSUPPORTED;
    case 409:
    case 412:
        return STATUS_CONFLICT;
    case 410:
        return STATUS_COMPACTED;
    case 413:
    case 414:
    case 431:
        return STATUS_TOO_LARGE;
    case 429:
        return STATUS_OVERLOADED;
    case 503:
    case 504:
        return classify_unavailable(a, is_write);
    case 507:
        return STATUS_NO_SPACE;
    default:
        return is_write ? STATUS_UNKNOWN : STATUS_IO;
    }
}

/* Copy a header's value; empty when it is missing or does not fit. */
static void copy_header(const struct http_reply *reply, const char *name, char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = 0; i < reply->header_count; i++) {
        const struct http_header *h = &reply->headers[i];
        if (h->name.size == strlen(name) && h->value.size < size &&
            strncasecmp((const char *)h->name.data, name, h->name.size) == 0) {
            snprintf(text, size, "%.*s", (int)h->value.size, (const char *)h->value.data);
            return;
        }
    }
}

/* What every answer of a member carries. */
static void read_headers(struct client_answer *a, const struct http_reply *reply)
{
    char digits[24];
    copy_header(reply, "Conclave-Revision", digits, sizeof(digits));
    a->revision = strtoull(digits, NULL, 10);
    copy_header(reply, "Conclave-Node", a->node, sizeof(a->node));
}

static void read_answer(struct client_answer *a)
{
    a->json = json_loadb((const char *)a->body.data, a->body.size,
                         JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    const char *error = client_answer_string(a, "error");
    snprintf(a->error, sizeof(a->error), "%s", error != NULL ? error : "");
}

/* Between the caller's sink and the connection: notes that something came. */
struct watched_sink {
    const struct http_sink *sink;
    struct client_answer *answer;
};

static bool take_and_note(void *context, struct slice piece)
{
    struct watched_sink *w = context;
    w->answer->is_sunk = true;
    return w->sink->take(w->sink->context, piece);
}

/* Who asks, and what else the request has. A new string. */
static char *headers_of(const struct client_request *r)
{
    const char *own = r->headers != NULL ? r->headers : "";
    return r->token != NULL ? mem_printf("Authorization: Bearer %s\r\n%s", r->token, own)
                            : mem_printf("%s%s", identity_header(), own);
}

/* A new connection for every request: an old one may have been closed by the other side meanwhile,
 * and a write that met this would have an unknown outcome for nothing. */
static enum status exchange(const struct url *server, const struct client_request *r,
                            uint32_t timeout_ms, struct client_answer *a)
{
    struct http_client *connection = http_client_create(server);
    struct watched_sink watched = {.sink = r->sink, .answer = a};
    const struct http_sink sink = {.take = take_and_note, .context = &watched};
    char *headers = headers_of(r);
    const struct http_call call = {.method = r->method,
                                   .target = r->target,
                                   .headers = headers,
                                   .body = r->body,
                                   .timeout_ms = timeout_ms > 0 ? timeout_ms : 1,
                                   .answer_bytes_max = LIMIT_CLIENT_ANSWER_BYTES,
                                   .sink = r->sink != NULL ? &sink : NULL,
                                   .cancel_fd = r->cancel_fd};
    struct http_reply reply;
    enum status status = http_client_call(connection, &call, &reply);
    if (status == STATUS_OK) {
        a->http_status = reply.http_status;
        read_headers(a, &reply);
        buf_append_slice(&a->body, reply.body);
    } else if (status != STATUS_UNREACHABLE && status != STATUS_TIMEOUT && status != STATUS_IO) {
        status = STATUS_CLOSED; /* sent, and no answer that can be understood */
    }
    if (status != STATUS_OK) {
        snprintf(a->error, sizeof(a->error), "%s", http_client_trouble(connection));
    }
    http_client_destroy(connection);
    mem_free(headers);
    return status;
}

enum status client_ask(const char *url, const struct client_request *r, uint32_t timeout_ms,
                       struct client_answer *a)
{
    client_answer_deinit(a);
    snprintf(a->url, sizeof(a->url), "%s", url);
    struct url parsed;
    if (url_parse(url, &parsed, NULL) != STATUS_OK) {
        snprintf(a->error, sizeof(a->error), "%.200s is no address of the form http://host:port",
                 url);
        return STATUS_INVALID;
    }
    enum status status = exchange(&parsed, r, timeout_ms, a);
    if (status != STATUS_OK) {
        return status;
    }
    read_answer(a);
    return classify(a, r->is_write);
}

/* --- answers ---------------------------------------------------------------------------------- */

void client_answer_deinit(struct client_answer *a)
{
    buf_deinit(&a->body);
    json_decref(a->json);
    *a = (struct client_answer){0};
}

/* "leaderUrl" as a member with --json-case snake writes it. A new string. */
static char *snake_of(const char *name)
{
    struct buf twin = {0};
    for (; *name != '\0'; name++) {
        bool is_capital = isupper((unsigned char)*name) != 0;
        if (is_capital) {
            buf_append_byte(&twin, '_');
        }
        buf_append_byte(&twin, (uint8_t)(is_capital ? tolower((unsigned char)*name) : *name));
    }
    char *text = mem_strndup((const char *)twin.data, twin.size);
    buf_deinit(&twin);
    return text;
}

const char *client_answer_string(const struct client_answer *a, const char *name)
{
    const json_t *value = json_object_get(a->json, name);
    if (value != NULL) {
        return json_string_value(value);
    }
    char *twin = snake_of(name);
    const char *text = json_string_value(json_object_get(a->json, twin));
    mem_free(twin);
    return text;
}

struct slice client_answer_text(const struct client_answer *a)
{
    return buf_slice(&a->body);
}

static char *explain_unknown(const struct client_answer *a)
{
    return mem_printf(
        "the outcome is unknown: %s was asked, and %s. The change may have been made or "
        "not, and it was not sent again. Read before you repeat it.",
        a->url,
        a->http_status != 0 ? "answered that it cannot tell"
                            : "the connection ended without an answer");
}

static char *explain_unconfirmed(const struct client_answer *a)
{
    struct buf missing = {0};
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(a->json, "missing"), i, name)
    {
        const char *text = json_string_value(name);
        buf_printf(&missing, "%s%s", i > 0 ? ", " : "", text != NULL ? text : "?");
    }
    char *why = mem_printf("written on a majority, but not confirmed by all in time; missing: %.*s",
                           (int)missing.size, (const char *)missing.data);
    buf_deinit(&missing);
    return why;
}

static char *explain_conflict(const struct client_answer *a)
{
    const json_t *revision = json_object_get(a->json, "revision");
    if (json_is_number(revision)) {
        return mem_printf(
            "the condition does not hold, nothing was written: the key is at revision %.0f",
            json_number_value(revision));
    }
    if (json_is_null(revision)) {
        return mem_strdup("the condition does not hold, nothing was written: there is no such key");
    }
    return mem_printf("%s; nothing was written",
                      a->error[0] != '\0' ? a->error : "the condition does not hold");
}

/* The answer's own words: "Invalid key: a key is UTF-8 (http://...)". */
static char *explain_answer(enum status status, const struct client_answer *a)
{
    const char *reason = client_answer_string(a, "reason");
    return mem_printf("%s%s%s (%s)", a->error[0] != '\0' ? a->error : status_text(status),
                      reason != NULL ? ": " : "", reason != NULL ? reason : "", a->url);
}

/* The gateway has etcd's own words, and only an outdated token is 401 there. */
bool client_is_unidentified(const struct client_answer *a)
{
    return a->http_status == 401 || error_is(a, "etcdserver: user name is empty") ||
           error_is(a, "etcdserver: authentication failed, invalid user ID or password");
}

static char *explain_unidentified(const struct client_answer *a)
{
    if (identity_name() == NULL) {
        return mem_printf("this cluster asks for a user: --user NAME (or CONCLAVE_USER), and the "
                          "password in CONCLAVE_PASSWORD or --password-file FILE (%s)",
                          a->url);
    }
    return mem_printf("%s is no user of this cluster, or has another password (%s)",
                      identity_name(), a->url);
}

char *client_explain(enum status status, const struct client_request *r,
                     const struct client_answer *a)
{
    if (client_is_unidentified(a)) {
        return explain_unidentified(a);
    }
    const char *nothing = r->is_write ? "; nothing was written" : "";
    switch (status) {
    case STATUS_UNKNOWN:
        return explain_unknown(a);
    case STATUS_NOT_CONFIRMED:
        return explain_unconfirmed(a);
    case STATUS_NOT_FOUND: {
        const char *key = client_answer_string(a, "key");
        return mem_printf("key not found: %.200s", key != NULL ? key : "?");
    }
    case STATUS_NOT_LEADER:
        return mem_printf("no leader was found in time%s", nothing);
    case STATUS_NO_QUORUM:
        return mem_printf("no majority answers%s (%s: %s)", nothing, a->url,
                          a->error[0] != '\0' ? a->error : "unavailable");
    case STATUS_CONFLICT:
        return explain_conflict(a);
    case STATUS_TIMEOUT:
        return mem_printf(a->is_sunk ? "the answer of %s broke off"
                                     : "no answer in time; %s was asked last",
                          a->url);
    case STATUS_OVERLOADED:
        if (a->http_status == 503) {
            return explain_answer(status, a);
        }
        return mem_printf("%s%s", status_text(status), nothing);
    case STATUS_NO_SPACE:
        return mem_printf("%s%s", status_text(status), nothing);
    default:
        return explain_answer(status, a);
    }
}

/* --- tools ------------------------------------------------------------------------------------ */

void client_append_encoded(struct buf *out, struct slice bytes, bool keep_slash)
{
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || (c != 0 && strchr("-._~", c) != NULL) ||
                        (c == '/' && keep_slash);
        if (is_plain) {
            buf_append_byte(out, c);
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

uint64_t client_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void client_sleep_ms(uint32_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}
