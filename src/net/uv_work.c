#include "net/uv_internal.h"

#include "base/check.h"

static void run_thread(void *context)
{
    struct log_thread *t = context;
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
        uv_async_send(&t->has_finished);
    }
    uv_mutex_unlock(&t->mutex);
}

static void on_finished(uv_async_t *handle)
{
    struct real_loop *l = handle->data;
    struct log_thread *t = &l->log_thread;
    uv_turn_begin(l);
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

void uv_work_init(struct real_loop *l)
{
    struct log_thread *t = &l->log_thread;
    list_init(&t->queued);
    list_init(&t->finished);
    CHECK(uv_mutex_init(&t->mutex) == 0);
    CHECK(uv_cond_init(&t->wake) == 0);
    CHECK(uv_async_init(&l->uv, &t->has_finished, on_finished) == 0);
    t->has_finished.data = l;
}

void uv_work_submit(struct loop *loop, struct work *w)
{
    struct real_loop *l = real_loop_of(loop);
    struct log_thread *t = &l->log_thread;
    CHECK(!l->is_gone);
    t->outstanding++;
    uv_mutex_lock(&t->mutex);
    list_push_back(&t->queued, &w->link);
    uv_cond_signal(&t->wake);
    uv_mutex_unlock(&t->mutex);
    if (!t->is_started) {
        t->is_started = true;
        CHECK(uv_thread_create(&t->thread, run_thread, t) == 0);
    }
}

void uv_work_deinit(struct real_loop *l)
{
    struct log_thread *t = &l->log_thread;
    if (t->is_started) {
        uv_mutex_lock(&t->mutex);
        t->quit = true;
        uv_cond_signal(&t->wake);
        uv_mutex_unlock(&t->mutex);
        CHECK(uv_thread_join(&t->thread) == 0);
    }
    uv_cond_destroy(&t->wake);
    uv_mutex_destroy(&t->mutex);
}
