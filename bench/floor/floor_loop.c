/* floor_loop.c - read, hand over, write: libuv and the kernel. */
#include "floor.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#define BACKLOG 4096

struct client {
    uv_tcp_t tcp; /* first */
    void *kept;
    bool speaks_http2;
};

static const struct floor_door *used_door;
static char read_buffer[256 * 1024];

static void on_closed(uv_handle_t *handle)
{
    struct client *c = (struct client *)(void *)handle;
    used_door->close(c->kept);
    free(c);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(read_buffer, sizeof(read_buffer));
}

/* The generator asks once by HTTP/1 whether anybody is there. */
static void refuse(uv_stream_t *stream)
{
    static char answer[] =
        "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    uv_buf_t out = uv_buf_init(answer, sizeof(answer) - 1);
    (void)uv_try_write(stream, &out, 1);
    uv_close((uv_handle_t *)stream, on_closed);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct client *c = (struct client *)(void *)stream;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    c->speaks_http2 = c->speaks_http2 || buffer->base[0] == 'P';
    if (!c->speaks_http2) {
        refuse(stream);
        return;
    }
    floor_out.size = 0;
    used_door->take(c->kept, (const uint8_t *)buffer->base, (size_t)size);
    uv_buf_t out = uv_buf_init((char *)floor_out.bytes, (unsigned)floor_out.size);
    if (floor_out.size > 0 && uv_try_write(stream, &out, 1) != (int)floor_out.size) {
        floor_fail("a client does not read its answers");
    }
}

static void on_connection(uv_stream_t *listener, int error)
{
    struct client *c = calloc(1, sizeof(*c));
    if (error != 0 || c == NULL || uv_tcp_init(listener->loop, &c->tcp) != 0 ||
        uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        floor_fail("a connection cannot be accepted");
    }
    uv_tcp_nodelay(&c->tcp, 1);
    c->kept = used_door->open();
    uv_read_start((uv_stream_t *)&c->tcp, lend_buffer, on_read);
}

void floor_serve(const struct floor_door *door, int port)
{
    uv_tcp_t listener;
    struct sockaddr_in address;
    used_door = door;
    signal(SIGPIPE, SIG_IGN);
    uv_tcp_init(uv_default_loop(), &listener);
    uv_ip4_addr("127.0.0.1", port, &address);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection) != 0) {
        floor_fail("the port cannot be had");
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
