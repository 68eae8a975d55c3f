#include "net/grpc_client_internal.h"

#include "base/check.h"
#include "base/limits.h"
#include "net/grpc_text.h"
#include "net/http_header.h"
#include "net/http2_nv.h"

#include <string.h>

#define NO_CODE       (-1)
#define HTTP_OK       200
#define KEPT_IN_BYTES (16u * KIB) /* for the next message; a longer buffer is given back */

/* --- the end of a call ------------------------------------------------------------------------ */

static void drop_partial(struct grpc_client_call *call)
{
    call->conn->partial_bytes -= call->in.size;
    buf_clear(&call->in);
    if (call->in.capacity > KEPT_IN_BYTES) {
        buf_deinit(&call->in);
    }
}

static void end_call(struct grpc_client_call *call, enum grpc_code code, bool is_answer)
{
    struct grpc_client_conn *c = call->conn;
    list_remove(&call->link);
    c->call_count--;
    drop_partial(call);
    call->conn = NULL;
    const struct grpc_client_end end = {
        .code = code, .text = buf_slice(&call->text), .is_answer = is_answer};
    call->on_end(call, &end);
}

static void say(struct grpc_client_call *call, const char *text)
{
    buf_clear(&call->text);
    buf_append_str(&call->text, text);
}

/* What a status of HTTP means that came without one of gRPC, as gRPC has it. */
static enum grpc_code code_of_http(int http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

/* The same of a stream that was reset. */
static enum grpc_code code_of_reset(uint32_t error_code)
{
    switch (error_code) {
    case NGHTTP2_REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return GRPC_CANCELED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

static bool is_other_http(const struct grpc_client_call *call)
{
    return call->http_status != 0 && call->http_status != HTTP_OK;
}

void grpc_client_call_closed(struct grpc_client_call *call, uint32_t error_code)
{
    if (call->is_cancelled) {
        end_call(call, (enum grpc_code)call->code, false);
    } else if (call->code == GRPC_OK && call->in.size > 0) {
        say(call, "the last message is cut off");
        end_call(call, GRPC_INTERNAL, false);
    } else if (call->code != NO_CODE) {
        end_call(call,
                 call->code > GRPC_UNAUTHENTICATED ? GRPC_UNKNOWN : (enum grpc_code)call->code,
                 true);
    } else if (is_other_http(call)) {
        buf_clear(&call->text);
        buf_printf(&call->text, "HTTP status %d", call->http_status);
        end_call(call, code_of_http(call->http_status), false);
    } else if (error_code != NGHTTP2_NO_ERROR) {
        buf_clear(&call->text);
        buf_printf(&call->text, "the stream was reset: %s", nghttp2_http2_strerror(error_code));
        end_call(call, code_of_reset(error_code), false);
    } else {
        say(call, "the stream ended without a status");
        end_call(call, GRPC_INTERNAL, false);
    }
}

void grpc_client_call_lost(struct grpc_client_call *call, enum grpc_code code, struct slice text)
{
    if (!call->is_cancelled) {
        call->code = (int32_t)code;
        buf_clear(&call->text);
        buf_append_slice(&call->text, text);
    }
    end_call(call, (enum grpc_code)call->code, false);
}

/* Nothing more is told, and it ends as we say. */
static void give_up(struct grpc_client_call *call, enum grpc_code code, const char *text)
{
    struct grpc_client_conn *c = call->conn;
    call->is_cancelled = true;
    call->code = (int32_t)code;
    say(call, text);
    CHECK(nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL) !=
          NGHTTP2_ERR_NOMEM);
    grpc_client_touch(c);
}

void grpc_client_cancel(struct grpc_client_call *call)
{
    if (call->conn != NULL && !call->conn->is_closed && !call->is_cancelled) {
        give_up(call, GRPC_CANCELED, "cancelled here");
    }
}

/* --- what comes ------------------------------------------------------------------------------- */

/* A number without a sign of at most 9 digits; -1: it is none. */
static int32_t parse_number(struct slice text)
{
    int32_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || i == 9) {
            return -1;
        }
        value = 10 * value + (text.data[i] - '0');
    }
    return text.size > 0 ? value : -1;
}

static void take_text(struct grpc_client_call *call, struct slice value)
{
    if (value.size > LIMIT_GRPC_CLIENT_TEXT_BYTES) {
        value.size = LIMIT_GRPC_CLIENT_TEXT_BYTES;
    }
    buf_clear(&call->text);
    if (http_percent_decode(value, &call->text) != STATUS_OK) {
        buf_append_slice(&call->text, value);
    }
}

void grpc_client_call_header(struct grpc_client_call *call, struct slice name, struct slice value)
{
    if (call->is_cancelled) {
        return;
    }
    if (slice_equal(name, slice_str(":status"))) {
        call->http_status = parse_number(value);
    } else if (slice_equal(name, slice_str("grpc-status"))) {
        int32_t code = parse_number(value);
        call->code = code >= 0 ? code : GRPC_UNKNOWN;
    } else if (slice_equal(name, slice_str("grpc-message"))) {
        take_text(call, value);
    }
}

/* How long the message is whose prefix begins at `at`, with its prefix. 0: it is refused. */
static size_t measure(struct grpc_client_call *call, const uint8_t *at)
{
    uint32_t size = grpc_prefix_size(at);
    if (at[0] != 0) {
        give_up(call, GRPC_INTERNAL, "a message is compressed, which was not asked for");
        return 0;
    }
    if (size > LIMIT_GRPC_CLIENT_MESSAGE_BYTES) {
        give_up(call, GRPC_RESOURCE_EXHAUSTED, "a message is too large");
        return 0;
    }
    return GRPC_PREFIX_BYTES + size;
}

static void tell(struct grpc_client_call *call, struct slice message)
{
    if (call->on_message != NULL) {
        call->on_message(
            call, slice_of(message.data + GRPC_PREFIX_BYTES, message.size - GRPC_PREFIX_BYTES));
    }
}

/* Copy what `in` lacks of `size` bytes; what is left. */
static struct slice gather(struct grpc_client_call *call, struct slice data, size_t size)
{
    size_t missing = size > call->in.size ? size - call->in.size : 0;
    size_t count = missing < data.size ? missing : data.size;
    buf_append(&call->in, data.data, count);
    call->conn->partial_bytes += count;
    return slice_of(data.data + count, data.size - count);
}

/* Go on with a message that came in part; what is left after it. */
static struct slice take_partial(struct grpc_client_call *call, struct slice data)
{
    data = gather(call, data, GRPC_PREFIX_BYTES);
    if (call->in.size < GRPC_PREFIX_BYTES) {
        return data;
    }
    size_t size = measure(call, call->in.data);
    if (size == 0) {
        return data;
    }
    data = gather(call, data, size);
    if (call->in.size == size) {
        tell(call, buf_slice(&call->in));
        drop_partial(call);
    } else if (call->conn->partial_bytes > LIMIT_GRPC_CLIENT_PARTIAL_BYTES) {
        give_up(call, GRPC_RESOURCE_EXHAUSTED, "too much waits for the rest of its message");
    }
    return data;
}

/* Tell a message that is whole in `data`, without copying it; what is left after it. */
static struct slice take_whole(struct grpc_client_call *call, struct slice data, size_t size)
{
    tell(call, slice_of(data.data, size));
    return slice_of(data.data + size, data.size - size);
}

void grpc_client_call_data(struct grpc_client_call *call, struct slice data)
{
    while (data.size > 0 && !call->is_cancelled && !call->conn->is_closed && !is_other_http(call)) {
        size_t size = 0;
        if (call->in.size == 0 && data.size >= GRPC_PREFIX_BYTES) {
            size = measure(call, data.data);
            if (size == 0) {
                return;
            }
        }
        data =
            size > 0 && size <= data.size ? take_whole(call, data, size) : take_partial(call, data);
    }
}

/* --- what goes -------------------------------------------------------------------------------- */

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t length,
                        uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)source;
    (void)context;
    struct grpc_client_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    size_t left = call->out.size - call->out_at;
    size_t count = left < length ? left : length;
    if (count == 0 && !call->is_ending) {
        call->is_waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (count > 0) {
        memcpy(bytes, call->out.data + call->out_at, count);
        call->out_at += count;
    }
    if (call->out_at == call->out.size) {
        buf_clear(&call->out);
        call->out_at = 0;
        call->is_sent = call->is_ending;
        *flags |= call->is_ending ? NGHTTP2_DATA_FLAG_EOF : NGHTTP2_DATA_FLAG_NONE;
    }
    return (ssize_t)count;
}

static void append_message(struct grpc_client_call *call, struct slice message)
{
    CHECK(message.size <= UINT32_MAX);
    if (call->out_at > call->out.size / 2) { /* so that it does not grow without an end */
        buf_consume(&call->out, call->out_at);
        call->out_at = 0;
    }
    grpc_prefix_append((uint32_t)message.size, &call->out);
    buf_append_slice(&call->out, message);
}

static void resume(struct grpc_client_call *call)
{
    if (call->is_waiting) {
        call->is_waiting = false;
        CHECK(nghttp2_session_resume_data(call->conn->session, call->id) != NGHTTP2_ERR_NOMEM);
    }
    grpc_client_touch(call->conn);
}

static void submit(struct grpc_client_conn *c, struct grpc_client_call *call, const char *path)
{
    const nghttp2_nv headers[] = {
        HTTP2_NV(":method", "POST"),
        http2_nv(":scheme", slice_str(c->conn->tls != NULL ? "https" : "http"),
                 NGHTTP2_NV_FLAG_NONE),
        http2_nv(":path", slice_str(path), NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        http2_nv(":authority", buf_slice(&c->authority), NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        HTTP2_NV("te", "trailers"),
        HTTP2_NV("content-type", "application/grpc"),
        http2_nv("authorization", slice_str(call->token != NULL ? call->token : ""), 0),
    };
    const size_t count = sizeof(headers) / sizeof(headers[0]) - (call->token == NULL);
    const nghttp2_data_provider source = {.read_callback = read_out};
    call->id = nghttp2_submit_request(c->session, NULL, headers, count, &source, call);
    CHECK(call->id > 0); /* it was asked whether there is a number left */
    grpc_client_touch(c);
}

static enum status begin(struct grpc_client_conn *c, struct grpc_client_call *call)
{
    CHECK(call->conn == NULL && call->on_end != NULL);
    if (c->is_closed || nghttp2_session_check_request_allowed(c->session) == 0) {
        return STATUS_CLOSED;
    }
    if (c->call_count >= LIMIT_GRPC_CLIENT_CALLS) {
        return STATUS_OVERLOADED;
    }
    call->conn = c;
    list_push_back(&c->calls, &call->link);
    c->call_count++;
    call->http_status = 0;
    call->code = NO_CODE;
    call->is_ending = false;
    call->is_sent = false;
    call->is_waiting = false;
    call->is_cancelled = false;
    call->out_at = 0;
    buf_clear(&call->out);
    buf_clear(&call->text);
    return STATUS_OK;
}

enum status grpc_client_begin(struct grpc_client_conn *c, struct grpc_client_call *call,
                              const char *path, struct slice message)
{
    enum status status = begin(c, call);
    if (status == STATUS_OK) {
        append_message(call, message);
        call->is_ending = true;
        submit(c, call, path);
    }
    return status;
}

enum status grpc_client_begin_stream(struct grpc_client_conn *c, struct grpc_client_call *call,
                                     const char *path)
{
    enum status status = begin(c, call);
    if (status == STATUS_OK) {
        submit(c, call, path);
    }
    return status;
}

static bool takes_messages(const struct grpc_client_call *call)
{
    return call->conn != NULL && !call->conn->is_closed && !call->is_ending && !call->is_cancelled;
}

enum status grpc_client_send(struct grpc_client_call *call, struct slice message)
{
    if (!takes_messages(call)) {
        return STATUS_CLOSED;
    }
    size_t unsent = call->out.size - call->out_at;
    if (unsent > 0 && unsent + message.size > LIMIT_GRPC_CLIENT_UNSENT_BYTES) {
        return STATUS_OVERLOADED;
    }
    append_message(call, message);
    resume(call);
    return STATUS_OK;
}

void grpc_client_half_close(struct grpc_client_call *call)
{
    if (takes_messages(call)) {
        call->is_ending = true;
        resume(call);
    }
}

void grpc_client_call_deinit(struct grpc_client_call *call)
{
    CHECK(call->conn == NULL);
    buf_deinit(&call->out);
    buf_deinit(&call->in);
    buf_deinit(&call->text);
}
