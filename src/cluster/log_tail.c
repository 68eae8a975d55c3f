#include "cluster/log_tail.h"

#include "base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool log_tail_open(struct log_tail *t, const char *path, bool from_start)
{
    *t = (struct log_tail){.fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600)};
    return t->fd >= 0 && lseek(t->fd, 0, from_start ? SEEK_SET : SEEK_END) >= 0;
}

void log_tail_close(struct log_tail *t)
{
    if (t->fd >= 0) {
        close(t->fd);
    }
    buf_deinit(&t->pending);
    t->fd = -1;
}

static void give_lines(struct log_tail *t, void (*each)(void *context, struct slice line),
                       void *context)
{
    size_t start = 0;
    for (;;) {
        const uint8_t *from = t->pending.data + start;
        size_t left = t->pending.size - start;
        const uint8_t *end = left > 0 ? memchr(from, '\n', left) : NULL;
        if (end == NULL && left < LIMIT_LOG_LINE_BYTES) {
            break;
        }
        size_t size = end != NULL ? (size_t)(end - from) : left;
        each(context, slice_of(from, size));
        start += size + (end != NULL ? 1 : 0);
    }
    buf_consume(&t->pending, start);
}

void log_tail_poll(struct log_tail *t, void (*each)(void *context, struct slice line),
                   void *context)
{
    ssize_t got;
    while ((got = read(t->fd, buf_reserve(&t->pending, 4096), 4096)) > 0) {
        t->pending.size += (size_t)got;
        give_lines(t, each, context);
    }
}
