#include "net/uv_internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define NS_PER_US       1000u
#define NS_PER_MS       1000000u
#define NS_PER_S        1000000000u
#define UTILISATION_NS  NS_PER_S
#define IPV6_TEXT_BYTES 46

struct real_listener {
    uv_tcp_t tcp;
    struct list link;
    struct real_loop *loop;
    void (*on_accept)(void *context, struct conn *c);
    void *context;
};

struct real_signal {
    uv_signal_t handle;
    struct list link;
    struct real_loop *loop;
    void (*hook)(void *context, int signal_number);
    void *context;
};

/* --- time ------------------------------------------------------------------------------------- */

static uint64_t read_clock_ns(clockid_t clock)
{
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t now_ms(struct loop *loop)
{
    struct real_loop *l = real_loop_of(loop);
    return l->in_turn ? l->now_ms : read_clock_ns(MONOTONIC_CLOCK) / NS_PER_MS;
}

static uint64_t now_us(struct loop *loop)
{
    (void)loop;
    return read_clock_ns(MONOTONIC_CLOCK) / NS_PER_US;
}

static uint64_t wall_ms(struct loop *loop)
{
    (void)loop;
    return read_clock_ns(CLOCK_REALTIME) / NS_PER_MS;
}

static void fill_random(struct loop *loop, void *bytes, size_t size)
{
    (void)loop;
    CHECK(uv_random(NULL, NULL, bytes, size, 0, NULL) == 0);
}

static void timer_start(struct loop *loop, struct timer *t, uint64_t at_ms)
{
    timer_heap_start(&real_loop_of(loop)->timers, t, at_ms);
}

static void timer_stop(struct loop *loop, struct timer *t)
{
    timer_heap_stop(&real_loop_of(loop)->timers, t);
}

/* --- turns ------------------------------------------------------------------------------------ */

static void measure_wait(struct real_loop *l, uint64_t now_ns)
{
    l->window_idle_ns += now_ns - l->poll_from_ns;
    uint64_t window_ns = now_ns - l->window_from_ns;
    if (window_ns >= UTILISATION_NS) {
        l->utilisation = 1.0 - (double)l->window_idle_ns / (double)window_ns;
        l->window_from_ns = now_ns;
        l->window_idle_ns = 0;
    }
}

void uv_turn_begin(struct real_loop *l)
{
    if (l->in_turn) {
        return;
    }
    l->in_turn = true;
    uint64_t now_ns = read_clock_ns(MONOTONIC_CLOCK);
    l->now_ms = now_ns / NS_PER_MS;
    l->turn_reads = 0;
    l->is_long = false;
    measure_wait(l, now_ns);
}

static void on_again(uv_idle_t *handle)
{
    struct real_loop *l = handle->data;
    uv_idle_stop(handle);
    uv_turn_begin(l);
    uv_work_done_here(l);
    uv_conn_drain_all(l);
    uv_conn_resume_late(l);
}

void uv_turn_again(struct real_loop *l)
{
    CHECK(uv_idle_start(&l->again, on_again) == 0);
}

static void on_alarm(uv_timer_t *handle)
{
    struct real_loop *l = handle->data;
    l->alarm_ms = 0;
    uv_turn_begin(l);
    timer_heap_fire(&l->timers, l->now_ms);
}

static void set_alarm(struct real_loop *l, uint64_t now)
{
    struct timer *first = timer_heap_first(&l->timers);
    if (first == NULL) {
        if (l->alarm_ms != 0) {
            uv_timer_stop(&l->alarm);
            l->alarm_ms = 0;
        }
        return;
    }
    uint64_t at_ms = first->at_ms > 0 ? first->at_ms : 1;
    if (l->alarm_ms != at_ms) {
        uv_timer_start(&l->alarm, on_alarm, at_ms > now ? at_ms - now : 0, 0);
        l->alarm_ms = at_ms;
    }
}

static void empty_loop(struct real_loop *l);
static void maybe_close_loop(struct real_loop *l);

/* Everything that one wake-up delivered has been handled. The order matters: the hook sees the
 * whole turn, and what it writes leaves together with what was written before, while the threads
 * begin with their work; but work that keeps the loop comes after it. */
static void on_end_of_turn(uv_prepare_t *handle)
{
    struct real_loop *l = handle->data;
    if (!l->in_turn && !l->is_stopping) {
        uv_update_time(&l->uv);
        return;
    }
    if (l->hook != NULL) {
        l->hook(l->hook_context);
    }
    struct work *here = uv_work_hand_over(l);
    uv_conn_flush_all(l);
    if (here != NULL) {
        uv_short_run(l, here);
    }
    if (l->is_stopping) {
        empty_loop(l);
        maybe_close_loop(l);
    }
    l->in_turn = false;
    l->poll_from_ns = read_clock_ns(MONOTONIC_CLOCK);
    uv_update_time(
        &l->uv); /* the turn took time, and libuv waits relative to its own idea of now */
    if (!l->is_gone) {
        set_alarm(l, l->poll_from_ns / NS_PER_MS);
    }
}

static void on_turn(struct loop *loop, void (*hook)(void *context), void *context)
{
    struct real_loop *l = real_loop_of(loop);
    l->hook = hook;
    l->hook_context = context;
}

uint32_t uv_loop_accepted_max(const struct loop *loop)
{
    return ((const struct real_loop *)(const void *)loop)->accepted_max;
}

double uv_loop_utilisation(const struct loop *loop)
{
    return ((const struct real_loop *)(const void *)loop)->utilisation;
}

/* --- listening -------------------------------------------------------------------------------- */

void uv_write_address(const struct sockaddr_storage *address, char *text, size_t size,
                      bool with_port)
{
    char host[IPV6_TEXT_BYTES] = "";
    unsigned port = 0;
    bool is_ipv6 = address->ss_family == AF_INET6;
    if (is_ipv6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)address;
        uv_ip6_name(a, host, sizeof(host));
        port = ntohs(a->sin6_port);
    } else if (address->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)address;
        uv_ip4_name(a, host, sizeof(host));
        port = ntohs(a->sin_port);
    }
    if (with_port) {
        snprintf(text, size, is_ipv6 ? "[%s]:%u" : "%s:%u", host, port);
    } else {
        snprintf(text, size, "%s", host);
    }
}

/* Clients never take the last descriptors: a log that can't open its next file, or a member that
 * can't dial the others, would be theirs to stop. False: there is no room for one more. */
static bool count_accepted(struct real_loop *l, struct real_conn *c)
{
    c->is_accepted = true;
    l->accepted++;
    if (l->accepted <= l->accepted_max) {
        return true;
    }
    if (!l->is_full) {
        l->is_full = true;
        log_warn("connections are reset: the limit on open files leaves no more accepted=%u",
                 (unsigned)l->accepted_max);
    }
    return false;
}

void uv_uncount_accepted(struct real_loop *l)
{
    CHECK(l->accepted > 0);
    l->accepted--;
    l->is_full = l->is_full && l->accepted > l->accepted_max / 2; /* once for each flood */
}

static void take_accepted(struct real_listener *listener, struct real_conn *c)
{
    struct real_loop *l = listener->loop;
    c->stage = CONN_OPEN;
    if (!count_accepted(l, c)) {
        uv_conn_destroy(c, STATUS_OVERLOADED);
        return;
    }
    uv_conn_opened(c);
    listener->on_accept(listener->context, &c->base);
    CHECK(c->base.events != NULL);
    uv_conn_start_reading(c);
}

static void on_connection(uv_stream_t *stream, int error)
{
    struct real_listener *listener = stream->data;
    struct real_loop *l = listener->loop;
    uv_turn_begin(l);
    if (error != 0) {
        /* Out of file descriptors: libuv has taken the connection and closed it, so that the queue
         * does not wake us for ever. */
        log_warn("cannot accept error=%s", uv_err_name(error));
        return;
    }
    struct real_conn *c = uv_conn_create(l);
    if (uv_accept(stream, (uv_stream_t *)&c->tcp) != 0) {
        uv_conn_destroy(c, STATUS_CLOSED);
        return;
    }
    take_accepted(listener, c);
}

/* Those that the kernel has queued, as libuv would take them in the next turn. */
static void accept_queued(struct real_listener *listener)
{
    uv_os_fd_t listening;
    CHECK(uv_fileno((const uv_handle_t *)&listener->tcp, &listening) == 0);
    for (uint32_t i = 0; i <= LIMIT_ACCEPT_BACKLOG; i++) {
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR)) {
            continue;
        }
        if (fd < 0) {
            return;
        }
        struct real_conn *c = uv_conn_create(listener->loop);
        CHECK(uv_tcp_open(&c->tcp, fd) == 0);
        take_accepted(listener, c);
    }
}

static enum status resolve_here(struct real_loop *l, const char *host, uint16_t port,
                                struct sockaddr_storage *address)
{
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0 ||
        uv_ip6_addr(host, port, (struct sockaddr_in6 *)address) == 0) {
        return STATUS_OK;
    }
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    uv_getaddrinfo_t resolver; /* without a callback it waits; a member listens only once */
    if (uv_getaddrinfo(&l->uv, &resolver, NULL, host, service, &hints) != 0) {
        return STATUS_UNREACHABLE;
    }
    memcpy(address, resolver.addrinfo->ai_addr, resolver.addrinfo->ai_addrlen);
    uv_freeaddrinfo(resolver.addrinfo);
    return STATUS_OK;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct real_listener *listener = handle->data;
    struct real_loop *l = listener->loop;
    mem_free(listener);
    uv_handle_closed(l);
}

static void close_listener(struct real_listener *listener)
{
    list_remove(&listener->link);
    uv_close((uv_handle_t *)&listener->tcp, on_listener_closed);
}

static uint16_t find_bound_port(const uv_tcp_t *tcp)
{
    struct sockaddr_storage address = {0};
    int size = sizeof(address);
    CHECK(uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &size) == 0);
    return ntohs(address.ss_family == AF_INET6
                     ? ((struct sockaddr_in6 *)(void *)&address)->sin6_port
                     : ((struct sockaddr_in *)(void *)&address)->sin_port);
}

static enum status start_listening(struct loop *loop, const char *host, uint16_t port,
                                   uint16_t *bound_port,
                                   void (*on_accept)(void *context, struct conn *c), void *context)
{
    struct real_loop *l = real_loop_of(loop);
    struct sockaddr_storage address;
    enum status status = resolve_here(l, host, port, &address);
    if (status != STATUS_OK) {
        return status;
    }
    struct real_listener *listener = mem_calloc(1, sizeof(*listener));
    listener->loop = l;
    listener->on_accept = on_accept;
    listener->context = context;
    CHECK(uv_tcp_init(&l->uv, &listener->tcp) == 0);
    listener->tcp.data = listener;
    list_push_back(&l->listeners, &listener->link);
    l->open_handles++;
    int error = uv_tcp_bind(&listener->tcp, (struct sockaddr *)&address, 0);
    if (error == 0) {
        error = uv_listen((uv_stream_t *)&listener->tcp, LIMIT_ACCEPT_BACKLOG, on_connection);
    }
    if (error != 0) {
        close_listener(listener);
        return error == UV_EADDRINUSE ? STATUS_BUSY
               : error == UV_EACCES   ? STATUS_DENIED
                                      : STATUS_UNREACHABLE;
    }
    if (bound_port != NULL) {
        *bound_port = find_bound_port(&listener->tcp);
    }
    return STATUS_OK;
}

static void close_listeners(struct real_loop *l)
{
    while (!list_is_empty(&l->listeners)) {
        close_listener(CONTAINER_OF(l->listeners.next, struct real_listener, link));
    }
}

static void stop_listening(struct loop *loop)
{
    struct real_loop *l = real_loop_of(loop);
    uv_turn_begin(l);
    for (struct list *link = l->listeners.next; link != &l->listeners; link = link->next) {
        accept_queued(CONTAINER_OF(link, struct real_listener, link));
    }
    close_listeners(l);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct real_signal *s = handle->data;
    uv_turn_begin(s->loop);
    s->hook(s->context, signal_number);
}

static void on_signal_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void uv_loop_on_signal(struct loop *loop, int signal_number,
                       void (*hook)(void *context, int signal_number), void *context)
{
    struct real_loop *l = real_loop_of(loop);
    struct real_signal *s = mem_calloc(1, sizeof(*s));
    s->loop = l;
    s->hook = hook;
    s->context = context;
    s->handle.data = s;
    list_push_back(&l->signals, &s->link);
    CHECK(uv_signal_init(&l->uv, &s->handle) == 0);
    s->handle.data = s;
    CHECK(uv_signal_start(&s->handle, on_signal, signal_number) == 0);
}

/* The process is about to end; a second signal must not make it end otherwise (row F8). */
static void close_signals(struct real_loop *l)
{
    struct list *link;
    while ((link = list_pop_front(&l->signals)) != NULL) {
        struct real_signal *s = CONTAINER_OF(link, struct real_signal, link);
        int signal_number = s->handle.signum;
        uv_close((uv_handle_t *)&s->handle, on_signal_closed);
        signal(signal_number, SIG_IGN);
    }
}

/* --- stopping --------------------------------------------------------------------------------- */

static void stop(struct loop *loop)
{
    struct real_loop *l = real_loop_of(loop);
    l->is_stopping = true;
    if (!l->is_gone) {
        uv_turn_again(l);
    }
}

static void empty_loop(struct real_loop *l)
{
    close_listeners(l);
    uv_conn_close_all(l);
    uv_dial_cancel_all(l);
}

/* The handles of the loop itself go last: work may be outstanding, and its `done` may submit
 * more. */
static void maybe_close_loop(struct real_loop *l)
{
    if (l->is_gone || l->open_handles > 0 || uv_work_is_pending(l)) {
        return;
    }
    l->is_gone = true;
    close_signals(l);
    uv_work_close(l);
    uv_fine_timer_close(l);
    uv_close((uv_handle_t *)&l->again, NULL);
    uv_close((uv_handle_t *)&l->alarm, NULL);
    uv_close((uv_handle_t *)&l->end_of_turn, NULL);
}

void uv_handle_closed(struct real_loop *l)
{
    CHECK(l->open_handles > 0);
    l->open_handles--;
}

/* --- the loop --------------------------------------------------------------------------------- */

static const struct loop_ops ops = {
    .now_ms = now_ms,
    .now_us = now_us,
    .wall_ms = wall_ms,
    .random = fill_random,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .fine_timer_start = uv_fine_timer_start,
    .submit = uv_work_submit,
    .submit_slow = uv_work_submit_slow,
    .dial = uv_dial,
    .listen = start_listening,
    .listen_stop = stop_listening,
    .conn_write = uv_conn_write,
    .conn_write_owned = uv_conn_write_owned,
    .conn_unsent = uv_conn_unsent,
    .conn_kept = uv_conn_kept,
    .conn_pause = uv_conn_pause,
    .conn_close = uv_conn_close,
    .on_turn = on_turn,
    .stop = stop,
};

/* Ten thousand streams need ten thousand descriptors, and the default soft limit is often 1024. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static uint32_t find_accepted_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > UINT32_MAX) {
        return UINT32_MAX;
    }
    rlim_t half = limit.rlim_cur / 2;
    return (uint32_t)(limit.rlim_cur - (half < LIMIT_FILES_KEPT ? half : LIMIT_FILES_KEPT));
}

struct loop *uv_loop_create(void)
{
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    struct real_loop *l = mem_calloc(1, sizeof(*l));
    l->base.ops = &ops;
    l->unsent.bytes_max = LIMIT_UNSENT_BYTES;
    l->base.unsent = &l->unsent;
    l->accepted_max = find_accepted_max();
    list_init(&l->conns);
    list_init(&l->dirty);
    list_init(&l->drained);
    list_init(&l->late);
    list_init(&l->listeners);
    list_init(&l->signals);
    list_init(&l->resolvers);
    list_init(&l->spare_outboxes);
    CHECK(uv_loop_init(&l->uv) == 0);
    l->uv.data = l;
    CHECK(uv_prepare_init(&l->uv, &l->end_of_turn) == 0);
    CHECK(uv_timer_init(&l->uv, &l->alarm) == 0);
    CHECK(uv_idle_init(&l->uv, &l->again) == 0);
    l->end_of_turn.data = l;
    l->alarm.data = l;
    l->again.data = l;
    uv_work_init(l);
    CHECK(uv_prepare_start(&l->end_of_turn, on_end_of_turn) == 0);
    l->poll_from_ns = read_clock_ns(MONOTONIC_CLOCK);
    l->window_from_ns = l->poll_from_ns;
    return &l->base;
}

void uv_loop_run(struct loop *loop)
{
    struct real_loop *l = real_loop_of(loop);
    if (timer_heap_first(&l->timers) != NULL) {
        uv_turn_again(l); /* timers were started before: let a turn's end set the alarm */
    }
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void uv_loop_destroy(struct loop *loop)
{
    struct real_loop *l = real_loop_of(loop);
    if (!l->is_gone) {
        stop(loop);
        uv_run(&l->uv, UV_RUN_DEFAULT);
    }
    uv_work_deinit(l);
    CHECK(uv_loop_close(&l->uv) == 0);
    timer_heap_deinit(&l->timers);
    uv_conn_forget_spare(l);
    mem_free(l);
}
