#include "net/uv_internal.h"

#include "base/check.h"

/* Whoever is woken wants the mutex first thing: so each side lets go of it before it wakes the
 * other. */
static void run_thread(void *context)
{
    struct work_thread *t = context;
    uv_mutex_lock(&t->mutex);
    for (;;) {
        struct list *link = list_pop_front(&t->queued);
        if (link == NULL) {
            if (t->quit) {
                break;
            }
            uv_cond_wait(&t->wake, &t->mutex);
            continue;
        }
        struct work *w = CONTAINER_OF(link, struct work, link);
        uv_mutex_unlock(&t->mutex);
        w->run(w);
        uv_mutex_lock(&t->mutex);
        list_push_back(&t->finished, &w->link);
        uv_mutex_unlock(&t->mutex);
        uv_async_send(&t->has_finished);
        uv_mutex_lock(&t->mutex);
    }
    uv_mutex_unlock(&t->mutex);
}

static void on_finished(uv_async_t *handle)
{
    struct work_thread *t = handle->data;
    uv_turn_begin(t->loop);
    struct list finished;
    list_init(&finished);
    uv_mutex_lock(&t->mutex);
    list_splice_back(&finished, &t->finished);
    uv_mutex_unlock(&t->mutex);
    struct list *link;
    while ((link = list_pop_front(&finished)) != NULL) {
        struct work *w = CONTAINER_OF(link, struct work, link);
        CHECK(t->outstanding > 0);
        t->outstanding--;
        w->done(w);
    }
}

static void thread_init(struct real_loop *l, struct work_thread *t)
{
    t->loop = l;
    list_init(&t->submitted);
    list_init(&t->queued);
    list_init(&t->finished);
    CHECK(uv_mutex_init(&t->mutex) == 0);
    CHECK(uv_cond_init(&t->wake) == 0);
    CHECK(uv_async_init(&l->uv, &t->has_finished, on_finished) == 0);
    t->has_finished.data = t;
}

static void thread_submit(struct work_thread *t, struct work *w)
{
    CHECK(!t->loop->is_gone);
    t->outstanding++;
    list_push_back(&t->submitted, &w->link);
    uv_turn_begin(t->loop);
}

/* Give the thread what the turn submitted. */
static void thread_hand_over(struct work_thread *t)
{
    if (list_is_empty(&t->submitted)) {
        return;
    }
    uv_mutex_lock(&t->mutex);
    list_splice_back(&t->queued, &t->submitted);
    uv_mutex_unlock(&t->mutex);
    uv_cond_signal(&t->wake);
    if (!t->is_started) {
        t->is_started = true;
        CHECK(uv_thread_create(&t->thread, run_thread, t) == 0);
    }
}

/* It has nothing left to do, and sends no word of it any more. */
static void thread_end(struct work_thread *t)
{
    if (t->is_started) {
        uv_mutex_lock(&t->mutex);
        t->quit = true;
        uv_mutex_unlock(&t->mutex);
        uv_cond_signal(&t->wake);
        CHECK(uv_thread_join(&t->thread) == 0);
    }
    uv_close((uv_handle_t *)&t->has_finished, NULL);
}

static void thread_deinit(struct work_thread *t)
{
    uv_cond_destroy(&t->wake);
    uv_mutex_destroy(&t->mutex);
}

void uv_work_init(struct real_loop *l)
{
    thread_init(l, &l->log_thread);
    thread_init(l, &l->slow_thread);
}

void uv_work_submit(struct loop *loop, struct work *w)
{
    thread_submit(&real_loop_of(loop)->log_thread, w);
}

void uv_work_submit_slow(struct loop *loop, struct work *w)
{
    thread_submit(&real_loop_of(loop)->slow_thread, w);
}

void uv_work_hand_over(struct real_loop *l)
{
    thread_hand_over(&l->log_thread);
    thread_hand_over(&l->slow_thread);
}

bool uv_work_is_pending(const struct real_loop *l)
{
    return l->log_thread.outstanding > 0 || l->slow_thread.outstanding > 0;
}

void uv_work_close(struct real_loop *l)
{
    thread_end(&l->log_thread);
    thread_end(&l->slow_thread);
}

void uv_work_deinit(struct real_loop *l)
{
    thread_deinit(&l->log_thread);
    thread_deinit(&l->slow_thread);
}
