/* net/uv_short.c - short work that the loop does itself, and the thread that watches it do so.
 *
 * To wake a thread and to be woken by it takes a processor that was asleep longer than many a
 * write. But a loop that hangs in one sees no timer: so somebody else looks at the clock. That
 * thread is made with the first short work, and sleeps while there is none. */
#include "net/uv_internal.h"

#include "base/check.h"

#define WATCH_MS 1000

/* One look: the work that has kept the loop for too long is told of it. With the mutex, which it
 * lets go of meanwhile: the loop may be back at any moment, and does not wait for this. */
static void look(struct short_work *s)
{
    struct work *w = s->running;
    uint64_t age_ms =
        w != NULL ? s->loop->base.ops->now_us(&s->loop->base) / 1000 - s->since_ms : 0;
    if (age_ms >= WATCH_MS) {
        void (*late)(struct work * w, uint64_t age_ms) = w->late;
        uv_mutex_unlock(&s->mutex);
        late(w, age_ms);
        uv_mutex_lock(&s->mutex);
    }
}

static void watch(void *context)
{
    struct short_work *s = context;
    uv_mutex_lock(&s->mutex);
    while (!s->quit) {
        if (!s->is_watched) {
            uv_cond_wait(&s->wake, &s->mutex);
            continue;
        }
        uint64_t runs = s->runs;
        (void)uv_cond_timedwait(&s->wake, &s->mutex, WATCH_MS * UINT64_C(1000000));
        look(s);
        s->is_watched = s->running != NULL || s->runs != runs;
    }
    uv_mutex_unlock(&s->mutex);
}

static void begin(struct short_work *s, struct work *w, uint64_t now_ms)
{
    uv_mutex_lock(&s->mutex);
    bool sleeps = !s->is_watched;
    s->is_watched = true;
    s->running = w;
    s->since_ms = now_ms;
    s->runs++;
    uv_mutex_unlock(&s->mutex);
    if (sleeps) {
        uv_cond_signal(&s->wake);
    }
    if (!s->is_started) {
        s->is_started = true;
        CHECK(uv_thread_create(&s->thread, watch, s) == 0);
    }
}

void uv_short_run(struct real_loop *l, struct work *w)
{
    struct short_work *s = &l->short_work;
    uint64_t from_us = l->base.ops->now_us(&l->base);
    begin(s, w, from_us / 1000);
    w->run(w);
    uv_mutex_lock(&s->mutex);
    s->running = NULL;
    uv_mutex_unlock(&s->mutex);
    l->window_idle_ns += (l->base.ops->now_us(&l->base) - from_us) * 1000; /* it waited */
    CHECK(s->ran == NULL);
    s->ran = w;
    uv_turn_again(l);
}

struct work *uv_short_take(struct real_loop *l)
{
    struct work *w = l->short_work.ran;
    l->short_work.ran = NULL;
    return w;
}

void uv_short_init(struct real_loop *l)
{
    struct short_work *s = &l->short_work;
    s->loop = l;
    CHECK(uv_mutex_init(&s->mutex) == 0);
    CHECK(uv_cond_init(&s->wake) == 0);
}

void uv_short_end(struct real_loop *l)
{
    struct short_work *s = &l->short_work;
    if (s->is_started) {
        uv_mutex_lock(&s->mutex);
        s->quit = true;
        uv_mutex_unlock(&s->mutex);
        uv_cond_signal(&s->wake);
        CHECK(uv_thread_join(&s->thread) == 0);
    }
    uv_cond_destroy(&s->wake);
    uv_mutex_destroy(&s->mutex);
}
