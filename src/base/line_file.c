#include "base/line_file.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_MS 1000
#define STOP_MS  1000

struct line_file {
    char *path;
    char *old_path;
    uint64_t bytes_max;
    struct line_file_counts counts; /* the adding thread's own */

    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows, up to the blank line */
    pthread_cond_t changed;
    struct buf added;
    bool is_stopping;
    bool has_ended;

    struct buf batch; /* the writing thread's own, as what follows */
    bool is_in_trouble;
};

/* --- the thread ------------------------------------------------------------------------------- */

static bool write_whole(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        ssize_t wrote = write(fd, bytes.data, bytes.size);
        if (wrote < 0 && errno != EINTR) {
            return false;
        }
        size_t taken = wrote > 0 ? (size_t)wrote : 0;
        bytes = slice_of(bytes.data + taken, bytes.size - taken);
    }
    return true;
}

static int open_end(const struct line_file *f, uint64_t *size_bytes)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat about;
    *size_bytes = fd >= 0 && fstat(fd, &about) == 0 ? (uint64_t)about.st_size : 0;
    return fd;
}

static bool write_file(const struct line_file *f, struct slice bytes)
{
    uint64_t size;
    int fd = open_end(f, &size);
    if (fd >= 0 && size > 0 && size + bytes.size > f->bytes_max) {
        close(fd);
        if (rename(f->path, f->old_path) != 0) {
            return false; /* else it had no bound */
        }
        fd = open_end(f, &size);
    }
    if (fd < 0) {
        return false;
    }
    bool is_written = write_whole(fd, bytes);
    int error = errno;
    if (!is_written && ftruncate(fd, (off_t)size) != 0) {
        log_warn("a part of a line stays in %s: %s", f->path, strerror(errno));
    }
    close(fd);
    errno = error;
    return is_written;
}

static bool write_batch(struct line_file *f)
{
    struct slice bytes = buf_slice(&f->batch);
    bool is_written =
        strcmp(f->path, "-") == 0 ? write_whole(STDOUT_FILENO, bytes) : write_file(f, bytes);
    if (!is_written && !f->is_in_trouble) {
        log_error("%s cannot be written; trying again every second: %s", f->path, strerror(errno));
    } else if (is_written && f->is_in_trouble) {
        log_info("%s is written again", f->path);
    }
    f->is_in_trouble = !is_written;
    return is_written;
}

/* Requires: the mutex is held. Until something changed, or for so long. */
static void wait_ms(struct line_file *f, long ms)
{
    struct timespec until;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&f->changed, &f->mutex, &until);
}

static void *run(void *context)
{
    struct line_file *f = context;
    bool gives_up = false;
    pthread_mutex_lock(&f->mutex);
    while (!gives_up && (f->added.size > 0 || !f->is_stopping)) {
        if (f->added.size == 0) {
            pthread_cond_wait(&f->changed, &f->mutex);
            continue;
        }
        const struct buf batch = f->added;
        f->added = f->batch;
        f->batch = batch;
        pthread_mutex_unlock(&f->mutex);
        bool is_written = write_batch(f);
        pthread_mutex_lock(&f->mutex);
        while (!is_written && !(gives_up = f->is_stopping)) {
            wait_ms(f, AGAIN_MS);
            pthread_mutex_unlock(&f->mutex);
            is_written = write_batch(f);
            pthread_mutex_lock(&f->mutex);
        }
        buf_clear(&f->batch);
    }
    f->has_ended = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* --- who adds --------------------------------------------------------------------------------- */

static void destroy(struct line_file *f)
{
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
    buf_deinit(&f->added);
    buf_deinit(&f->batch);
    mem_free(f->path);
    mem_free(f->old_path);
    mem_free(f);
}

/* Better said before the start than by a file that is missing later. */
static enum status check_place(const struct line_file *f, char **detail)
{
    uint64_t size;
    struct stat about;
    const char *why = NULL;
    if (strcmp(f->path, "-") == 0) {
        return STATUS_OK;
    }
    if (stat(f->path, &about) == 0 && !S_ISREG(about.st_mode)) {
        why = S_ISDIR(about.st_mode) ? "is a directory" : "is no plain file";
    } else {
        int fd = open_end(f, &size);
        why = fd < 0 ? strerror(errno) : NULL;
        if (fd >= 0) {
            close(fd);
        }
    }
    if (why != NULL && detail != NULL) {
        *detail = mem_printf("%s: %s", f->path, why);
    }
    return why == NULL ? STATUS_OK : STATUS_INVALID;
}

enum status line_file_open(const char *path, uint64_t bytes_max, struct line_file **file,
                           char **detail)
{
    struct line_file *f = mem_calloc(1, sizeof(*f));
    pthread_condattr_t monotonic;
    f->path = mem_printf("%s", path);
    f->old_path = mem_printf("%s.1", path);
    f->bytes_max = bytes_max;
    CHECK(pthread_mutex_init(&f->mutex, NULL) == 0 && pthread_condattr_init(&monotonic) == 0 &&
          pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
          pthread_cond_init(&f->changed, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
    enum status status = check_place(f, detail);
    if (status != STATUS_OK) {
        destroy(f);
        return status;
    }
    CHECK(pthread_create(&f->thread, NULL, run, f) == 0);
    *file = f;
    return STATUS_OK;
}

bool line_file_add(struct line_file *f, struct slice line)
{
    pthread_mutex_lock(&f->mutex);
    bool has_room = f->added.size + line.size < LIMIT_LINE_FILE_BYTES;
    if (has_room && f->added.size == 0) {
        pthread_cond_broadcast(&f->changed); /* else it knows, or is trying */
    }
    if (has_room) {
        buf_append_slice(&f->added, line);
        buf_append_byte(&f->added, '\n');
    }
    pthread_mutex_unlock(&f->mutex);
    f->counts.added += has_room;
    f->counts.lost += !has_room;
    return has_room;
}

struct line_file_counts line_file_counts(const struct line_file *f)
{
    return f->counts;
}

void line_file_told(struct line_file *f, uint64_t count)
{
    f->counts.told += count;
}

void line_file_close(struct line_file *f)
{
    if (f == NULL) {
        return;
    }
    pthread_mutex_lock(&f->mutex);
    f->is_stopping = true;
    pthread_cond_broadcast(&f->changed);
    for (int i = 0; i < 10 && !f->has_ended; i++) {
        wait_ms(f, STOP_MS / 10);
    }
    bool has_ended = f->has_ended;
    pthread_mutex_unlock(&f->mutex);
    if (!has_ended) {
        log_warn("%s does not answer; not waiting for it", f->path);
        return; /* its thread still uses the memory */
    }
    pthread_join(f->thread, NULL);
    destroy(f);
}
