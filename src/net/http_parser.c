#include "net/http_parser.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <llhttp.h>
#include <string.h>

#define METHOD_BYTES_MAX   32
#define VERSION_BYTES      10 /* " HTTP/1.1\r" without the line feed */
#define HEADERS_AT_FIRST   16
#define KEPT_BYTES_MAX     (16u * KIB)
#define FIRST_LINE_BYTES   (LIMIT_URL_LINE_BYTES + METHOD_BYTES_MAX + VERSION_BYTES + 2)
#define FRAMING_PER_BYTE   8 /* "1\r\nx\r\n": six bytes of framing for one of body */
#define CHUNKED_NAME_BYTES 7

enum stage { STAGE_HEAD, STAGE_BODY, STAGE_DONE, STAGE_BAD };

struct http_parser {
    llhttp_t llhttp;
    enum http_kind kind;
    enum stage stage;
    bool is_complete; /* llhttp saw the end of the message */
    bool in_value;    /* the last span belonged to a header's value */
    bool no_body;
    struct buf gathered;    /* the head, line by line; never moves once it is parsed */
    size_t line_start;      /* of the line that is being gathered */
    size_t first_line_size; /* with its line end; 0 = not complete */
    struct http_header *headers;
    uint32_t header_capacity;
    struct http_head head;
    struct buf body;
    uint64_t body_bytes_max;
    uint64_t framing_bytes; /* of the body: chunk sizes, extensions, trailers */
    uint8_t last_byte;      /* of the body, with its framing */
    struct http_trouble trouble;
};

static int on_name(llhttp_t *l, const char *at, size_t size);
static int on_value(llhttp_t *l, const char *at, size_t size);
static int on_head_complete(llhttp_t *l);
static int on_body(llhttp_t *l, const char *at, size_t size);
static int on_complete(llhttp_t *l);

static const llhttp_settings_t settings = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

struct http_parser *http_parser_create(enum http_kind kind)
{
    struct http_parser *p = mem_calloc(1, sizeof(*p));
    p->kind = kind;
    http_parser_reset(p);
    return p;
}

void http_parser_destroy(struct http_parser *p)
{
    buf_deinit(&p->gathered);
    buf_deinit(&p->body);
    mem_free(p->headers);
    mem_free(p);
}

static void clear(struct buf *b)
{
    if (b->capacity > KEPT_BYTES_MAX) {
        buf_deinit(b);
    }
    buf_clear(b);
}

void http_parser_reset(struct http_parser *p)
{
    llhttp_init(&p->llhttp, p->kind == HTTP_KIND_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    p->llhttp.data = p;
    p->stage = STAGE_HEAD;
    p->is_complete = false;
    p->in_value = false;
    p->no_body = false;
    clear(&p->gathered);
    clear(&p->body);
    p->line_start = 0;
    p->first_line_size = 0;
    p->head = (struct http_head){0};
    p->body_bytes_max = 0;
    p->framing_bytes = 0;
}

bool http_parser_is_fresh(const struct http_parser *p)
{
    return p->stage == STAGE_HEAD && p->gathered.size == 0;
}

void http_parser_limit_body(struct http_parser *p, uint64_t bytes_max)
{
    p->body_bytes_max = bytes_max;
}

void http_parser_expect_no_body(struct http_parser *p)
{
    p->no_body = true;
}

const struct http_head *http_parser_head(const struct http_parser *p)
{
    return &p->head;
}

struct slice http_parser_body(const struct http_parser *p)
{
    return buf_slice(&p->body);
}

void http_parser_drop_body(struct http_parser *p)
{
    buf_clear(&p->body);
    p->framing_bytes = 0;
}

struct http_trouble http_parser_trouble(const struct http_parser *p)
{
    return p->trouble;
}

static enum http_parsed fail(struct http_parser *p, int http_status, const char *reason)
{
    p->stage = STAGE_BAD;
    p->trouble = (struct http_trouble){.http_status = http_status, .reason = reason};
    return HTTP_PARSED_BAD;
}

/* --- the head, line by line ------------------------------------------------------------------- */

static bool is_token_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Control bytes, spaces and a fragment have no place in a target. Bytes above 0x7f have: curl sends
 * /key/ü as it was typed. */
static bool is_target(struct slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] <= ' ' || s.data[i] == 0x7f || s.data[i] == '#') {
            return false;
        }
    }
    return s.size > 0;
}

/* The version at the end of a request line: 0 and 1 for HTTP/1.0 and 1.1, -1 for another version,
 * -2 for none. */
static int minor_version(struct slice version)
{
    const uint8_t *v = version.data;
    if (version.size != 8 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' ||
        v[6] != '.' || v[7] < '0' || v[7] > '9') {
        return -2;
    }
    return v[5] == '1' && v[7] <= '1' ? v[7] - '0' : -1;
}

static enum http_parsed parse_request_line(struct http_parser *p)
{
    const uint8_t *line = p->gathered.data;
    size_t size = p->first_line_size - 2;
    size_t method_size = 0;
    while (method_size < size && is_token_byte(line[method_size])) {
        method_size++;
    }
    if (method_size == 0 || method_size == size || line[method_size] != ' ') {
        return fail(p, 400, "Invalid method");
    }
    if (method_size > METHOD_BYTES_MAX) {
        return fail(p, 400, "Method too long");
    }
    const uint8_t *rest = line + method_size + 1;
    size_t rest_size = size - method_size - 1;
    const uint8_t *space = memchr(rest, ' ', rest_size);
    if (space == NULL) {
        return fail(p, 400, "No HTTP version");
    }
    size_t target_size = (size_t)(space - rest);
    int minor = minor_version(slice_of(space + 1, rest_size - target_size - 1));
    if (minor < 0) {
        return minor == -1 ? fail(p, 505, "HTTP version not supported")
                           : fail(p, 400, "Invalid request line");
    }
    if (target_size > LIMIT_URL_LINE_BYTES) {
        return fail(p, 414, "URL too long");
    }
    if (!is_target(slice_of(rest, target_size))) {
        return fail(p, 400, "Invalid URL");
    }
    p->head.is_http_1_0 = minor == 0;
    return HTTP_PARSED_PART;
}

/* A method is short; what does not begin with one (a TLS hello, noise) is refused before it has
 * sent a whole line. */
static enum http_parsed check_method_so_far(struct http_parser *p)
{
    const struct buf *g = &p->gathered;
    for (size_t i = 0; i < g->size; i++) {
        if (g->data[i] == ' ' && i > 0) {
            return HTTP_PARSED_PART;
        }
        if (!is_token_byte(g->data[i]) && g->data[i] != '\r') {
            return fail(p, 400, "Invalid method");
        }
        if (i >= METHOD_BYTES_MAX) {
            return fail(p, 400, "Method too long");
        }
    }
    return HTTP_PARSED_PART;
}

static enum http_parsed check_sizes(struct http_parser *p)
{
    if (p->first_line_size == 0) {
        if (p->gathered.size > FIRST_LINE_BYTES) {
            return p->kind == HTTP_KIND_REQUEST ? fail(p, 414, "URL too long")
                                                : fail(p, 400, "Status line too long");
        }
        return p->kind == HTTP_KIND_REQUEST ? check_method_so_far(p) : HTTP_PARSED_PART;
    }
    if (p->gathered.size - p->first_line_size > LIMIT_HEADERS_BYTES) {
        return fail(p, 431, "Headers too large");
    }
    return HTTP_PARSED_PART;
}

static enum http_parsed parse_head(struct http_parser *p);

/* A line end has been gathered. */
static enum http_parsed end_line(struct http_parser *p)
{
    struct buf *g = &p->gathered;
    size_t start = p->line_start;
    size_t size = g->size - start;
    if (size < 2 || g->data[g->size - 2] != '\r') {
        return fail(p, 400, "Line feed without carriage return");
    }
    p->line_start = g->size;
    if (start == 0) {
        if (size == 2) {
            buf_clear(g);
            p->line_start = 0;
            return HTTP_PARSED_PART; /* some clients send one after a body */
        }
        p->first_line_size = size;
        if (p->kind == HTTP_KIND_REQUEST) {
            return parse_request_line(p);
        }
        return size > 7 && memcmp(g->data, "HTTP/1.", 7) == 0 ? HTTP_PARSED_PART
                                                              : fail(p, 400, "Not HTTP/1");
    }
    if (g->data[start] == ' ' || g->data[start] == '\t') {
        return fail(p, 400, "Folded header");
    }
    if (g->data[start] == ':') {
        return fail(p, 400, "Header without a name");
    }
    return size == 2 ? parse_head(p) : HTTP_PARSED_PART;
}

static enum http_parsed gather_head(struct http_parser *p, struct slice bytes, size_t *used)
{
    while (*used < bytes.size) {
        const uint8_t *at = bytes.data + *used;
        size_t left = bytes.size - *used;
        const uint8_t *end = memchr(at, '\n', left);
        size_t take = end != NULL ? (size_t)(end - at) + 1 : left;
        buf_append(&p->gathered, at, take);
        *used += take;
        enum http_parsed parsed = end != NULL ? end_line(p) : HTTP_PARSED_PART;
        if (parsed == HTTP_PARSED_PART) {
            parsed = check_sizes(p);
        }
        if (parsed != HTTP_PARSED_PART) {
            return parsed;
        }
    }
    return HTTP_PARSED_PART;
}

/* --- the head, parsed ------------------------------------------------------------------------- */

static int on_name(llhttp_t *l, const char *at, size_t size)
{
    struct http_parser *p = l->data;
    if (p->stage != STAGE_HEAD) {
        return 0; /* a trailer; counted as framing, otherwise ignored */
    }
    struct http_head *h = &p->head;
    if (!p->in_value && h->header_count > 0) {
        p->headers[h->header_count - 1].name.size += size;
        return 0;
    }
    if (h->header_count == LIMIT_HEADERS_COUNT) {
        fail(p, 431, "Too many headers");
        return -1;
    }
    if (h->header_count == p->header_capacity) {
        p->header_capacity = p->header_capacity > 0 ? 2 * p->header_capacity : HEADERS_AT_FIRST;
        p->headers = mem_realloc(p->headers, p->header_capacity * sizeof(struct http_header));
    }
    p->headers[h->header_count++] = (struct http_header){.name = slice_of(at, size)};
    p->in_value = false;
    return 0;
}

static int on_value(llhttp_t *l, const char *at, size_t size)
{
    struct http_parser *p = l->data;
    if (p->stage != STAGE_HEAD || p->head.header_count == 0) {
        return 0;
    }
    struct slice *value = &p->headers[p->head.header_count - 1].value;
    if (value->data == NULL) {
        *value = slice_of(at, 0);
    }
    value->size = (size_t)((const uint8_t *)at - value->data) + size;
    p->in_value = true;
    return 0;
}

static struct slice trim_end(struct slice s)
{
    while (s.size > 0 && (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t')) {
        s.size--;
    }
    return s;
}

static bool is_host_byte(uint8_t c)
{
    switch (c) {
    case ',':
    case '/':
    case '?':
    case '#':
    case '@':
    case '\\':
    case '"':
    case '<':
    case '>':
        return false;
    default:
        return c > ' ' && c < 0x7f;
    }
}

static bool is_host(struct slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (!is_host_byte(s.data[i])) {
            return false;
        }
    }
    return true;
}

/* The rules that decide where a message ends and whom it is for. llhttp knows most of them; they
 * stand here so that they hold with every release of it. */
static enum http_parsed check_headers(struct http_parser *p)
{
    uint32_t hosts = 0;
    uint32_t lengths = 0;
    uint32_t codings = 0;
    for (uint32_t i = 0; i < p->head.header_count; i++) {
        struct http_header *h = &p->headers[i];
        h->value = trim_end(h->value);
        if (http_text_equal(h->name, "host")) {
            hosts++;
            if (!is_host(h->value)) {
                return fail(p, 400, "Invalid Host");
            }
        } else if (http_text_equal(h->name, "content-length")) {
            lengths++;
        } else if (http_text_equal(h->name, "transfer-encoding")) {
            codings++;
            if (!http_text_equal(h->value, "chunked")) {
                return fail(p, 501, "Transfer-Encoding not supported");
            }
        }
    }
    if (lengths > 1 || codings > 1 || lengths + codings > 1) {
        return fail(p, 400, "Ambiguous length");
    }
    if (p->kind == HTTP_KIND_REQUEST) {
        if (hosts > 1 || (hosts == 0 && !p->head.is_http_1_0)) {
            return fail(p, 400, hosts == 0 ? "No Host" : "Several Hosts");
        }
        if (codings > 0 && p->head.is_http_1_0) {
            return fail(p, 400, "Transfer-Encoding in HTTP/1.0");
        }
    }
    return HTTP_PARSED_PART;
}

/* Responses that have no body whatever their headers say; a request's status is 0. */
static bool says_no_body(int http_status)
{
    return http_status / 100 == 1 || http_status == 204 || http_status == 304;
}

static int on_head_complete(llhttp_t *l)
{
    struct http_parser *p = l->data;
    if (check_headers(p) == HTTP_PARSED_BAD) {
        return -1;
    }
    struct http_head *h = &p->head;
    h->headers = p->headers;
    h->is_chunked = (l->flags & F_CHUNKED) != 0;
    h->content_length = (l->flags & F_CONTENT_LENGTH) != 0 ? l->content_length : 0;
    h->has_body = h->is_chunked || h->content_length > 0;
    h->keep_alive = llhttp_should_keep_alive(l) != 0;
    if (llhttp_get_upgrade(l) != 0) {
        h->upgrade = http_headers_find(h->headers, h->header_count, "upgrade");
    }
    if (p->kind == HTTP_KIND_RESPONSE) {
        h->http_status = llhttp_get_status_code(l);
        h->is_http_1_0 = llhttp_get_http_major(l) == 1 && llhttp_get_http_minor(l) == 0;
    }
    return p->no_body || says_no_body(h->http_status) ? 1 : 0;
}

static int on_body(llhttp_t *l, const char *at, size_t size)
{
    struct http_parser *p = l->data;
    if (size > p->body_bytes_max - p->body.size) {
        fail(p, 413, "Body too large");
        return -1;
    }
    buf_append(&p->body, at, size);
    return 0;
}

static int on_complete(llhttp_t *l)
{
    struct http_parser *p = l->data;
    p->is_complete = true;
    return HPE_PAUSED;
}

static enum http_parsed refused_by_llhttp(struct http_parser *p, llhttp_errno_t why)
{
    if (p->stage == STAGE_BAD) {
        return HTTP_PARSED_BAD; /* one of the callbacks said why */
    }
    const char *reason = llhttp_get_error_reason(&p->llhttp);
    return fail(p, why == HPE_INVALID_VERSION ? 505 : 400,
                reason != NULL && *reason != '\0' ? reason : "Malformed message");
}

static bool goes_on(llhttp_errno_t e)
{
    return e == HPE_OK || e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE;
}

/* The first line that llhttp gets to see: its method decides nothing here, its version does. */
static llhttp_errno_t start_llhttp(struct http_parser *p)
{
    static const char http_1_0[] = "POST / HTTP/1.0\r\n";
    static const char http_1_1[] = "POST / HTTP/1.1\r\n";
    if (p->kind == HTTP_KIND_RESPONSE) {
        return llhttp_execute(&p->llhttp, (const char *)p->gathered.data, p->first_line_size);
    }
    return llhttp_execute(&p->llhttp, p->head.is_http_1_0 ? http_1_0 : http_1_1,
                          sizeof(http_1_1) - 1);
}

static enum http_parsed parse_head(struct http_parser *p)
{
    const uint8_t *line = p->gathered.data;
    if (p->kind == HTTP_KIND_REQUEST) {
        size_t method_size =
            (size_t)((const uint8_t *)memchr(line, ' ', p->first_line_size) - line);
        p->head.method = slice_of(line, method_size);
        p->head.target = slice_of(line + method_size + 1,
                                  p->first_line_size - method_size - 1 - VERSION_BYTES - 1);
    }
    llhttp_errno_t e = start_llhttp(p);
    if (e == HPE_OK) {
        e = llhttp_execute(&p->llhttp, (const char *)line + p->first_line_size,
                           p->gathered.size - p->first_line_size);
    }
    if (!goes_on(e) || p->stage == STAGE_BAD) {
        return refused_by_llhttp(p, e);
    }
    p->stage = STAGE_BODY;
    return HTTP_PARSED_HEAD;
}

/* --- the body --------------------------------------------------------------------------------- */

/* Some releases of llhttp take a bare line feed for the empty line that ends the trailers. */
static bool ends_well(const struct http_parser *p, struct slice read)
{
    uint8_t before = read.size >= 2 ? read.data[read.size - 2] : p->last_byte;
    return !p->head.is_chunked || before == '\r';
}

static enum http_parsed read_body(struct http_parser *p, struct slice bytes, size_t *used)
{
    if (!p->is_complete && p->head.content_length > p->body_bytes_max) {
        return fail(p, 413, "Body too large");
    }
    if (!p->is_complete && bytes.size > 0) {
        size_t body_before = p->body.size;
        llhttp_errno_t e = llhttp_execute(&p->llhttp, (const char *)bytes.data, bytes.size);
        if (!goes_on(e) || p->stage == STAGE_BAD) {
            return refused_by_llhttp(p, e);
        }
        *used = e == HPE_OK ? bytes.size
                            : (size_t)(llhttp_get_error_pos(&p->llhttp) - (const char *)bytes.data);
        CHECK_CMP(*used, <=, bytes.size);
        p->framing_bytes += *used - (p->body.size - body_before);
        if (p->framing_bytes > LIMIT_HEADERS_BYTES + FRAMING_PER_BYTE * (uint64_t)p->body.size) {
            return fail(p, 413, "Chunk extensions or trailers too large");
        }
        if (p->is_complete && !ends_well(p, slice_of(bytes.data, *used))) {
            return fail(p, 400, "Line feed without carriage return");
        }
        p->last_byte = *used > 0 ? bytes.data[*used - 1] : p->last_byte;
    }
    if (!p->is_complete) {
        return HTTP_PARSED_PART;
    }
    p->stage = STAGE_DONE;
    return HTTP_PARSED_WHOLE;
}

enum http_parsed http_parser_feed(struct http_parser *p, struct slice bytes, size_t *used)
{
    *used = 0;
    switch (p->stage) {
    case STAGE_HEAD:
        return gather_head(p, bytes, used);
    case STAGE_BODY:
        return read_body(p, bytes, used);
    case STAGE_DONE:
        return HTTP_PARSED_WHOLE;
    case STAGE_BAD:
        break;
    }
    return HTTP_PARSED_BAD;
}

enum http_parsed http_parser_end(struct http_parser *p)
{
    if (p->stage == STAGE_BODY) {
        llhttp_finish(&p->llhttp); /* calls on_complete if the end is where it may be */
        p->stage = p->is_complete ? STAGE_DONE : STAGE_BODY;
    }
    return p->stage == STAGE_DONE ? HTTP_PARSED_WHOLE : fail(p, 400, "Cut off");
}
