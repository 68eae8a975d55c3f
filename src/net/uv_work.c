#include "net/uv_internal.h"

#include "base/check.h"

#include <sys/eventfd.h>
#include <unistd.h>

static struct work *next_work(struct work_thread *t, bool *quit)
{
    uv_mutex_lock(&t->mutex);
    struct list *link = list_pop_front(&t->queued);
    *quit = t->quit;
    uv_mutex_unlock(&t->mutex);
    return link != NULL ? CONTAINER_OF(link, struct work, link) : NULL;
}

static void note_finished(struct work_thread *t, struct work *w)
{
    uv_mutex_lock(&t->mutex);
    list_push_back(&t->finished, &w->link);
    uv_mutex_unlock(&t->mutex);
    const uint64_t one = 1;
    CHECK(write(t->finished_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

/* Each side lets go of the mutex before it wakes the other, which wants it first thing; and the
 * thread sleeps on a semaphore, because a mutex that was waited for at a condition counts as
 * contended, and the next unlock calls the kernel. */
static void run_thread(void *context)
{
    struct work_thread *t = context;
    for (bool quit = false; !quit;) {
        uv_sem_wait(&t->wake);
        struct work *w;
        while ((w = next_work(t, &quit)) != NULL) {
            w->run(w);
            note_finished(t, w);
        }
    }
}

static void finish(struct work_thread *t, struct work *w)
{
    CHECK(t->outstanding > 0);
    t->outstanding--;
    w->done(w);
}

static void on_finished(uv_poll_t *handle, int error, int events)
{
    (void)error;
    (void)events;
    struct work_thread *t = handle->data;
    uv_turn_begin(t->loop);
    uint64_t count;
    CHECK(read(t->finished_fd, &count, sizeof(count)) == (ssize_t)sizeof(count));
    struct list finished;
    list_init(&finished);
    uv_mutex_lock(&t->mutex);
    list_splice_back(&finished, &t->finished);
    uv_mutex_unlock(&t->mutex);
    struct list *link;
    while ((link = list_pop_front(&finished)) != NULL) {
        finish(t, CONTAINER_OF(link, struct work, link));
    }
}

/* An eventfd and not uv_async_t: that one marks itself as being sent for as long as the sender
 * writes, and a loop that the write has woken on the sender's processor spins until it is done. */
static void thread_init(struct real_loop *l, struct work_thread *t)
{
    t->loop = l;
    list_init(&t->submitted);
    list_init(&t->queued);
    list_init(&t->finished);
    CHECK(uv_mutex_init(&t->mutex) == 0);
    CHECK(uv_sem_init(&t->wake, 0) == 0);
    t->finished_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(t->finished_fd >= 0);
    CHECK(uv_poll_init(&l->uv, &t->has_finished, t->finished_fd) == 0);
    CHECK(uv_poll_start(&t->has_finished, UV_READABLE, on_finished) == 0);
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
    uv_sem_post(&t->wake);
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
        uv_sem_post(&t->wake);
        CHECK(uv_thread_join(&t->thread) == 0);
    }
    uv_close((uv_handle_t *)&t->has_finished, NULL);
}

static void thread_deinit(struct work_thread *t)
{
    (void)close(t->finished_fd);
    uv_sem_destroy(&t->wake);
    uv_mutex_destroy(&t->mutex);
}

void uv_work_init(struct real_loop *l)
{
    thread_init(l, &l->log_thread);
    thread_init(l, &l->slow_thread);
    uv_short_init(l);
}

void uv_work_submit(struct loop *loop, struct work *w)
{
    thread_submit(&real_loop_of(loop)->log_thread, w);
}

void uv_work_submit_slow(struct loop *loop, struct work *w)
{
    thread_submit(&real_loop_of(loop)->slow_thread, w);
}

/* The only work there is, and short: NULL otherwise. */
static struct work *take_short(struct work_thread *t)
{
    if (t->outstanding != 1 || list_is_empty(&t->submitted)) {
        return NULL;
    }
    struct work *w = CONTAINER_OF(t->submitted.next, struct work, link);
    if (w->late == NULL) {
        return NULL;
    }
    list_remove(&w->link);
    return w;
}

struct work *uv_work_hand_over(struct real_loop *l)
{
    struct work *w = take_short(&l->log_thread);
    thread_hand_over(&l->log_thread);
    thread_hand_over(&l->slow_thread);
    return w;
}

void uv_work_done_here(struct real_loop *l)
{
    struct work *w = uv_short_take(l);
    if (w != NULL) {
        finish(&l->log_thread, w);
    }
}

bool uv_work_is_pending(const struct real_loop *l)
{
    return l->log_thread.outstanding > 0 || l->slow_thread.outstanding > 0;
}

void uv_work_close(struct real_loop *l)
{
    thread_end(&l->log_thread);
    thread_end(&l->slow_thread);
    uv_short_end(l);
}

void uv_work_deinit(struct real_loop *l)
{
    thread_deinit(&l->log_thread);
    thread_deinit(&l->slow_thread);
}
