#include "net/http_client.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/http_ask.h"
#include "net/http_parser.h"
#include "net/tls_client.h"
#include "net/tls_session.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct http_client {
    struct url server;
    int fd;        /* -1: not connected */
    int cancel_fd; /* of the call that runs; -1 = none */
    struct http_parser *parser;
    struct buf out;
    struct tls_session *tls; /* of this connection; NULL: it is not encrypted */
    struct buf sealed;       /* encrypted, to be sent */
    struct buf cipher;       /* the same, that came and was not looked at */
    char trouble[256];
    bool has_heard; /* something of an answer */
    uint8_t in[LIMIT_READ_BYTES];
};

struct http_client *http_client_create(const struct url *server)
{
    struct http_client *c = mem_calloc(1, sizeof(*c));
    c->server = *server;
    c->fd = -1;
    c->parser = http_parser_create(HTTP_KIND_RESPONSE);
    return c;
}

static void disconnect(struct http_client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    tls_session_destroy(c->tls);
    c->tls = NULL;
    buf_clear(&c->cipher);
    buf_clear(&c->sealed);
}

void http_client_destroy(struct http_client *c)
{
    disconnect(c);
    http_parser_destroy(c->parser);
    buf_deinit(&c->out);
    buf_deinit(&c->sealed);
    buf_deinit(&c->cipher);
    mem_free(c);
}

const char *http_client_trouble(const struct http_client *c)
{
    return c->trouble;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until the socket is ready for `what`, has failed, or the time is up. IO: cancelled. */
static enum status wait_for(const struct http_client *c, int fd, short what, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = now_ms();
        if (now >= deadline_ms) {
            return STATUS_TIMEOUT;
        }
        struct pollfd p[] = {{.fd = fd, .events = what}, {.fd = c->cancel_fd, .events = POLLIN}};
        int ready = poll(p, 2, (int)(deadline_ms - now));
        if (ready > 0) {
            return p[1].revents != 0 ? STATUS_IO : STATUS_OK;
        }
        if (ready < 0 && errno != EINTR) {
            return STATUS_CLOSED;
        }
    }
}

/* --- connecting ------------------------------------------------------------------------------- */

static enum status connect_to(struct http_client *c, const struct addrinfo *a, uint64_t deadline_ms)
{
    int fd = socket(a->ai_family, SOCK_STREAM, 0);
    if (fd < 0) {
        return STATUS_UNREACHABLE;
    }
    int error = 0;
    socklen_t size = sizeof(error);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 &&
        (connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
         (errno == EINPROGRESS && wait_for(c, fd, POLLOUT, deadline_ms) == STATUS_OK &&
          getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0))) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        c->fd = fd;
        return STATUS_OK;
    }
    close(fd);
    return STATUS_UNREACHABLE;
}

static enum status connect_to_server(struct http_client *c, uint64_t deadline_ms)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)c->server.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses;
    if (getaddrinfo(c->server.host, port, &hints, &addresses) != 0) {
        return STATUS_UNREACHABLE;
    }
    enum status status = STATUS_UNREACHABLE;
    for (struct addrinfo *a = addresses; a != NULL && status != STATUS_OK; a = a->ai_next) {
        status = connect_to(c, a, deadline_ms);
    }
    freeaddrinfo(addresses);
    return status;
}

/* A kept connection that the server has closed is readable: to find that out before anything is
 * sent saves the caller from an unknown outcome. */
static void drop_if_stale(struct http_client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    if (c->fd >= 0 && poll(&p, 1, 0) != 0) {
        disconnect(c);
    }
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* CLOSED is not the end: a server that refuses a long body may have answered before it cut us
 * off. */
static enum status send_bytes(struct http_client *c, const struct buf *out, uint64_t deadline_ms)
{
    size_t sent = 0;
    while (sent < out->size) {
        ssize_t n = send(c->fd, out->data + sent, out->size - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            /* The answer may come before the server has taken everything. */
            enum status status = wait_for(c, c->fd, POLLOUT | POLLIN, deadline_ms);
            struct pollfd p = {.fd = c->fd, .events = POLLIN};
            if (status != STATUS_OK || poll(&p, 1, 0) > 0) {
                return status == STATUS_OK ? STATUS_CLOSED : status;
            }
        } else if (errno != EINTR) {
            return STATUS_CLOSED;
        }
    }
    return STATUS_OK;
}

/* What comes next, into c->in. OK: *size > 0, or 0 for the other side's FIN. */
static enum status receive_bytes(struct http_client *c, uint64_t deadline_ms, size_t *size)
{
    for (;;) {
        ssize_t n = recv(c->fd, c->in, sizeof(c->in), 0);
        if (n >= 0) {
            *size = (size_t)n;
            return STATUS_OK;
        }
        if (errno == EAGAIN) {
            enum status status = wait_for(c, c->fd, POLLIN, deadline_ms);
            if (status != STATUS_OK) {
                return status;
            }
        } else if (errno != EINTR) {
            return STATUS_CLOSED;
        }
    }
}

/* --- TLS -------------------------------------------------------------------------------------- */

static void note_trouble(struct http_client *c, const char *text)
{
    snprintf(c->trouble, sizeof(c->trouble), "%s", text);
}

static enum status send_sealed(struct http_client *c, uint64_t deadline_ms)
{
    enum status status = send_bytes(c, &c->sealed, deadline_ms);
    buf_clear(&c->sealed);
    return status;
}

/* More encrypted bytes. CLOSED: none follow. */
static enum status receive_cipher(struct http_client *c, uint64_t deadline_ms)
{
    size_t size = 0;
    enum status status = receive_bytes(c, deadline_ms, &size);
    buf_append(&c->cipher, c->in, size);
    return status == STATUS_OK && size == 0 ? STATUS_CLOSED : status;
}

static enum status shake_hands(struct http_client *c, uint64_t deadline_ms)
{
    c->tls = tls_client_dial(c->server.host, "http/1.1");
    for (;;) {
        struct slice in = buf_slice(&c->cipher);
        enum status status = tls_session_handshake(c->tls, &in, &c->sealed);
        buf_consume(&c->cipher, c->cipher.size - in.size);
        enum status sent = send_sealed(c, deadline_ms);
        if (status == STATUS_OK) {
            return sent;
        }
        if (status != STATUS_BUSY) {
            note_trouble(c, tls_session_trouble(c->tls));
            return STATUS_UNREACHABLE;
        }
        if (receive_cipher(c, deadline_ms) != STATUS_OK) {
            note_trouble(c, "the other side breaks the TLS handshake off, or does not go on");
            return STATUS_UNREACHABLE;
        }
    }
}

/* Like receive_bytes, decrypted. A FIN without the word for it is a cut: CLOSED. UNREACHABLE: this
 * side's certificate was refused, which the server may say only now. */
static enum status receive_plain(struct http_client *c, uint64_t deadline_ms, size_t *size)
{
    for (;;) {
        struct slice in = buf_slice(&c->cipher);
        enum status status = tls_session_read(c->tls, &in, c->in, sizeof(c->in), size, &c->sealed);
        buf_consume(&c->cipher, c->cipher.size - in.size);
        if (status == STATUS_BUSY) {
            status = send_sealed(c, deadline_ms);
            status = status == STATUS_OK ? receive_cipher(c, deadline_ms) : status;
            if (status != STATUS_OK) {
                return status;
            }
        } else if (status == STATUS_OK || status == STATUS_CLOSED) {
            return STATUS_OK;
        } else {
            note_trouble(c, tls_session_trouble(c->tls));
            return status == STATUS_DENIED && !c->has_heard ? STATUS_UNREACHABLE : STATUS_CLOSED;
        }
    }
}

/* --- one call --------------------------------------------------------------------------------- */

static enum status send_request(struct http_client *c, uint64_t deadline_ms)
{
    if (c->tls == NULL) {
        return send_bytes(c, &c->out, deadline_ms);
    }
    return tls_session_write(c->tls, buf_slice(&c->out), &c->sealed) == STATUS_OK
               ? send_sealed(c, deadline_ms)
               : STATUS_CLOSED;
}

static enum status receive_reply(struct http_client *c, const struct http_call *call,
                                 uint64_t deadline_ms)
{
    for (;;) {
        size_t size = 0;
        enum status status = c->tls == NULL ? receive_bytes(c, deadline_ms, &size)
                                            : receive_plain(c, deadline_ms, &size);
        if (status != STATUS_OK) {
            return status;
        }
        if (size == 0) {
            return http_ask_end(c->parser);
        }
        c->has_heard = true;
        struct slice rest;
        status = http_ask_read(call, c->parser, slice_of(c->in, size), &rest);
        if (status != STATUS_BUSY) {
            return status;
        }
        deadline_ms = call->sink != NULL ? now_ms() + call->timeout_ms : deadline_ms;
    }
}

static enum status open_connection(struct http_client *c, uint64_t deadline_ms)
{
    enum status status = connect_to_server(c, deadline_ms);
    if (status == STATUS_OK && c->server.is_tls) {
        status = shake_hands(c, deadline_ms);
    }
    if (status != STATUS_OK) {
        disconnect(c);
    }
    return status == STATUS_OK ? STATUS_OK : STATUS_UNREACHABLE;
}

enum status http_client_call(struct http_client *c, const struct http_call *call,
                             struct http_reply *reply)
{
    CHECK(call->timeout_ms > 0);
    uint64_t deadline_ms = now_ms() + call->timeout_ms;
    *reply = (struct http_reply){0};
    c->trouble[0] = '\0';
    c->has_heard = false;
    c->cancel_fd = call->cancel_fd > 0 ? call->cancel_fd : -1;
    drop_if_stale(c);
    if (c->fd < 0) {
        enum status connected = open_connection(c, deadline_ms);
        if (connected != STATUS_OK) {
            return connected;
        }
    }
    buf_clear(&c->out);
    http_ask_write(call, &c->server, &c->out);
    http_ask_begin(call, c->parser);
    enum status sent = send_request(c, deadline_ms);
    enum status status = sent;
    if (sent == STATUS_OK || sent == STATUS_CLOSED) {
        status = receive_reply(c, call, deadline_ms);
    }
    if (status != STATUS_OK || sent != STATUS_OK || !http_parser_head(c->parser)->keep_alive) {
        disconnect(c);
    }
    if (status == STATUS_OK) {
        *reply = http_ask_reply(c->parser);
    }
    return status;
}
