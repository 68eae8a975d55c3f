/* net/uv_fine_timer.c - a timer of microseconds: libuv's own count in milliseconds, and a thread
 * that sleeps costs two switches and the slack of its sleep each time. A timerfd costs one system
 * call to set and wakes the loop itself. */
#include "net/uv_internal.h"

#include "base/check.h"

#include <sys/timerfd.h>
#include <unistd.h>

#define US_PER_S  1000000u
#define NS_PER_US 1000u

/* 0: none. What was due and has not been seen is forgotten. */
static void set_alarm(struct real_loop *l, uint64_t at_us)
{
    l->fine.at_us = at_us;
    const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_us / US_PER_S),
                                               .tv_nsec = (long)(at_us % US_PER_S * NS_PER_US)}};
    CHECK(timerfd_settime(l->fine.fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
}

static void on_due(uv_poll_t *handle, int status, int events)
{
    struct real_loop *l = handle->data;
    struct fine_timer *t = l->fine.timer;
    (void)events;
    CHECK(status == 0);
    uv_turn_begin(l);
    if (l->base.ops->now_us(&l->base) < l->fine.at_us) {
        return; /* it was moved after the kernel had said so */
    }
    l->fine.timer = NULL;
    t->fire(t);
    if (l->fine.timer == NULL) {
        set_alarm(l, 0); /* or it would be due for ever */
    }
}

static void make_alarm(struct real_loop *l)
{
    l->fine.is_made = true;
    l->fine.fd = timerfd_create(MONOTONIC_CLOCK, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(l->fine.fd >= 0);
    CHECK(uv_poll_init(&l->uv, &l->fine.poll, l->fine.fd) == 0);
    l->fine.poll.data = l;
    CHECK(uv_poll_start(&l->fine.poll, UV_READABLE, on_due) == 0);
}

void uv_fine_timer_start(struct loop *loop, struct fine_timer *t, uint64_t at_us)
{
    struct real_loop *l = real_loop_of(loop);
    CHECK(!l->is_gone);
    if (!l->fine.is_made) {
        make_alarm(l);
    }
    l->fine.timer = t;
    set_alarm(l, at_us > 0 ? at_us : 1); /* a time that has passed is due at once */
}

static void on_closed(uv_handle_t *handle)
{
    struct real_loop *l = handle->data;
    close(l->fine.fd);
}

void uv_fine_timer_close(struct real_loop *l)
{
    if (l->fine.is_made) {
        uv_close((uv_handle_t *)&l->fine.poll, on_closed);
    }
}
