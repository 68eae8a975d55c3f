/* floor_grpc.c - a door with nghttp2, told to do no more than what gRPC needs, and with nothing
 * behind it. */
#include "floor.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#define NV(n, v)                                                                                   \
    {                                                                                              \
        .name = (uint8_t *)(n), .value = (uint8_t *)(v), .namelen = sizeof(n) - 1,                 \
        .valuelen = sizeof(v) - 1,                                                                 \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                      \
    }

struct call {
    unsigned owed; /* messages */
    bool has_begun;
    bool has_ended;
};

static void check(int result)
{
    if (result < 0) {
        floor_fail(nghttp2_strerror(result));
    }
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *context)
{
    static const nghttp2_nv trailers[] = {NV("grpc-status", "0")};
    struct call *call = source->ptr;
    (void)context;
    if (call->owed == 0 && !call->has_ended) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (length < floor_message.size) {
        floor_fail("the client's window is full");
    }
    size_t size = call->owed > 0 ? floor_message.size : 0;
    memcpy(bytes, floor_next_message(), size);
    call->owed -= call->owed > 0 ? 1 : 0;
    if (call->has_ended && call->owed == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        check(nghttp2_submit_trailer(session, id, trailers, 1));
    }
    return (ssize_t)size;
}

static void go_on(nghttp2_session *session, int32_t id, struct call *call)
{
    static const nghttp2_nv head[] = {NV(":status", "200"), NV("content-type", "application/grpc")};
    const nghttp2_data_provider source = {.source = {.ptr = call}, .read_callback = read_answer};
    if (call->has_begun) {
        (void)nghttp2_session_resume_data(session, id); /* it may not wait: then it goes on */
    } else {
        call->has_begun = true;
        check(nghttp2_submit_response(session, id, head, 2, &source));
    }
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)context;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                                calloc(1, sizeof(struct call)));
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)context;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_DATA && call != NULL) {
        call->owed += frame->hd.length > 0 ? 1 : 0;
        call->has_ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        go_on(session, frame->hd.stream_id, call);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *context)
{
    (void)error;
    (void)context;
    free(nghttp2_session_get_stream_user_data(session, id));
    return 0;
}

static void *open_session(void)
{
    static nghttp2_session_callbacks *callbacks;
    static nghttp2_option *option;
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, FLOOR_WINDOW},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_session *session;
    if (callbacks == NULL) {
        check(nghttp2_session_callbacks_new(&callbacks));
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        check(nghttp2_option_new(&option));
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_http_messaging(option, 1);
    }
    check(nghttp2_session_server_new2(&session, callbacks, NULL, option));
    check(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 3));
    check(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, FLOOR_WINDOW));
    return session;
}

static void take(void *session, const uint8_t *data, size_t size)
{
    const uint8_t *bytes;
    ssize_t length;
    check((int)nghttp2_session_mem_recv(session, data, size));
    while ((length = nghttp2_session_mem_send(session, &bytes)) > 0) {
        floor_send(bytes, (size_t)length);
    }
    check((int)length);
}

static void close_session(void *session)
{
    nghttp2_session_del(session);
}

const struct floor_door floor_grpc = {.open = open_session, .take = take, .close = close_session};
