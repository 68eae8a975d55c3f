#include "uv_story.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define GUARD_MS 20000

void story_tell(struct story *s, char letter)
{
    assert_true(s->size < LOG_MAX - 1);
    s->log[s->size++] = letter;
}

static void on_guard(struct timer *t)
{
    (void)t;
    CHECK(0 && "the test hangs");
}

static void count_turn(void *context)
{
    ((struct story *)context)->turns++;
}

void story_stop(struct story *s)
{
    s->loop->ops->stop(s->loop);
}

void story_begin(struct story *s)
{
    memset(s, 0, sizeof(*s));
    s->loop = uv_loop_create();
    s->loop->ops->on_turn(s->loop, count_turn, s);
    s->guard = (struct timer){.fire = on_guard};
    s->loop->ops->timer_start(s->loop, &s->guard, s->loop->ops->now_ms(s->loop) + GUARD_MS);
}

void story_run(struct story *s)
{
    uv_loop_run(s->loop);
    uv_loop_destroy(s->loop);
    buf_deinit(&s->received);
}
