/* wal/posix_disk.c - files of one directory, through the POSIX calls.
 *
 * Every descriptor is close-on-exec; modes are 0700 and 0600. Writes go through the page cache and
 * count only after fdatasync; macOS needs F_FULLFSYNC for the same promise. Where Linux and the
 * file system allow, write_durably goes around the page cache, by a second descriptor (O_DIRECT)
 * and with RWF_DSYNC: one call instead of two, and no dirty page for anybody to look for. What the
 * page cache has of these blocks the kernel throws away then, so that reads by the first descriptor
 * see what was written. */
#include "wal/disk.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define DIR_MODE           0700
#define FILE_MODE          0600
#define WRITE_VECTORS_MAX  1024 /* IOV_MAX of Linux and macOS */
#define PID_TEXT_SIZE      24
#define PROC_PATH_SIZE     32
#define NAMES_CAPACITY_MIN 16
#define DIRECT_BYTES_MAX   (512u * KIB) /* a batch with its heads; longer ones by two calls */

struct posix_disk {
    struct disk base;
    char *path;  /* owned */
    int dir_fd;  /* the directory itself */
    int lock_fd; /* -1 until lock */
};

struct posix_file {
    struct disk_file base;
    int fd;
    char *name; /* owned, for log lines */
    /* For write_durably, from its first call on. */
    enum { DIRECT_UNTRIED, DIRECT_OPEN, DIRECT_REFUSED } direct;
    int direct_fd;
    uint8_t *memory; /* owned: room for DIRECT_BYTES_MAX at a multiple of DISK_BLOCK_BYTES */
};

static struct posix_disk *disk_of(struct disk *d)
{
    return (struct posix_disk *)d;
}

static struct posix_file *file_of(struct disk_file *f)
{
    return (struct posix_file *)f;
}

static enum status status_of_errno(int error)
{
    switch (error) {
    case ENOENT:
        return STATUS_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    default:
        return STATUS_IO;
    }
}

/* Say what failed where, once, and translate errno. */
static enum status failed(const char *what, const char *directory, const char *name)
{
    int error = errno;
    log_error("disk error call=%s file=%s/%s error=%s", what, directory, name, strerror(error));
    return status_of_errno(error);
}

static enum status file_failed(const char *what, const struct posix_file *f)
{
    return failed(what, disk_of(f->base.disk)->path, f->name);
}

static int sync_fd(int fd)
{
#ifdef __APPLE__
    return fcntl(fd, F_FULLFSYNC);
#else
    return fdatasync(fd);
#endif
}

static enum status posix_sync(struct disk_file *f)
{
    /* One try only: after a failure the kernel may have marked the pages clean (rule P11). */
    return sync_fd(file_of(f)->fd) == 0 ? STATUS_OK : file_failed("fdatasync", file_of(f));
}

/* Only the first close can tell of an error: through the other nothing waits to be written. */
static void close_direct(struct posix_file *f)
{
    if (f->direct == DIRECT_OPEN) {
        (void)close(f->direct_fd);
        mem_free(f->memory);
    }
    f->direct = DIRECT_REFUSED;
}

static enum status posix_close(struct disk_file *f)
{
    struct posix_file *file = file_of(f);
    close_direct(file);
    enum status status = close(file->fd) == 0 ? STATUS_OK : file_failed("close", file);
    mem_free(file->name);
    mem_free(file);
    return status;
}

/* A process before us may have died between a write and its sync, or after a sync that failed: then
 * the page cache shows bytes that the medium lacks. Write back what is dirty, forget what is clean:
 * what is read from now on is what a power loss would leave. */
static enum status settle(struct posix_file *file)
{
    enum status status = posix_sync(&file->base);
#ifdef POSIX_FADV_DONTNEED
    if (status == STATUS_OK) {
        (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
    }
#endif
    return status;
}

static enum status posix_open(struct disk *d, const char *name, bool create,
                              struct disk_file **result)
{
    struct posix_disk *disk = disk_of(d);
    int fd = -1;
    do {
        fd = openat(disk->dir_fd, name, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return errno == ENOENT ? STATUS_NOT_FOUND : failed("open", disk->path, name);
    }
    struct posix_file *file = mem_calloc(1, sizeof *file);
    file->base.disk = d;
    file->fd = fd;
    file->name = mem_strdup(name);
    enum status status = settle(file);
    if (status != STATUS_OK) {
        (void)posix_close(&file->base);
        return status;
    }
    *result = &file->base;
    return STATUS_OK;
}

static enum status posix_size(struct disk_file *f, uint64_t *size)
{
    struct stat info;
    if (fstat(file_of(f)->fd, &info) != 0) {
        return file_failed("fstat", file_of(f));
    }
    *size = (uint64_t)info.st_size;
    return STATUS_OK;
}

static enum status posix_read(struct disk_file *f, uint64_t offset, void *data, size_t size,
                              size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t n =
            pread(file_of(f)->fd, (uint8_t *)data + *got, size - *got, (off_t)(offset + *got));
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return file_failed("pread", file_of(f));
        }
        *got += n > 0 ? (size_t)n : 0;
    }
    return STATUS_OK;
}

/* Write the vectors fully, however short the kernel's writes are. Changes `vectors`. */
static enum status write_vectors(struct posix_file *f, uint64_t offset, struct iovec *vectors,
                                 size_t count)
{
    while (count > 0) {
        ssize_t n = pwritev(f->fd, vectors, (int)count, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return file_failed("pwritev", f);
        }
        offset += (uint64_t)n;
        size_t written = (size_t)n;
        while (count > 0 && written >= vectors->iov_len) {
            written -= vectors->iov_len;
            vectors++;
            count--;
        }
        if (count > 0) {
            vectors->iov_base = (uint8_t *)vectors->iov_base + written;
            vectors->iov_len -= written;
        }
    }
    return STATUS_OK;
}

static enum status posix_write(struct disk_file *f, uint64_t offset, const struct slice *parts,
                               size_t count)
{
    struct iovec vectors[WRITE_VECTORS_MAX];
    enum status status = STATUS_OK;
    size_t next = 0;
    while (status == STATUS_OK && next < count) {
        size_t used = 0;
        uint64_t bytes = 0;
        while (next < count && used < WRITE_VECTORS_MAX) {
            const struct slice *part = &parts[next++];
            if (part->size > 0) {
                vectors[used++] =
                    (struct iovec){.iov_base = (void *)part->data, .iov_len = part->size};
                bytes += part->size;
            }
        }
        status = write_vectors(file_of(f), offset, vectors, used);
        offset += bytes;
    }
    return status;
}

#if defined(O_DIRECT) && defined(RWF_DSYNC)
/* By the descriptor: the file may have been renamed since it was opened. */
static bool open_direct(struct posix_file *f)
{
    if (f->direct == DIRECT_UNTRIED) {
        char path[PROC_PATH_SIZE];
        snprintf(path, sizeof path, "/proc/self/fd/%d", f->fd);
        f->direct_fd = open(path, O_WRONLY | O_CLOEXEC | O_DIRECT);
        f->direct = f->direct_fd >= 0 ? DIRECT_OPEN : DIRECT_REFUSED;
        f->memory =
            f->direct == DIRECT_OPEN ? mem_alloc(DIRECT_BYTES_MAX + DISK_BLOCK_BYTES) : NULL;
    }
    return f->direct == DIRECT_OPEN;
}

/* The parts in a row, at a multiple of DISK_BLOCK_BYTES. */
static uint8_t *join_parts(struct posix_file *f, const struct slice *parts, size_t count)
{
    uint8_t *begin = f->memory + (DISK_BLOCK_BYTES - (uintptr_t)f->memory % DISK_BLOCK_BYTES);
    uint8_t *end = begin;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > 0) {
            memcpy(end, parts[i].data, parts[i].size);
            end += parts[i].size;
        }
    }
    return begin;
}

/* OK; INVALID: not in this way, and nothing was written; else as `write`. */
static enum status write_direct(struct posix_file *f, uint64_t offset, const struct slice *parts,
                                size_t count)
{
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += parts[i].size;
    }
    if (size > DIRECT_BYTES_MAX || (offset | size) % DISK_BLOCK_BYTES != 0 || !open_direct(f)) {
        return STATUS_INVALID;
    }
    struct iovec left = {.iov_base = join_parts(f, parts, count), .iov_len = size};
    while (left.iov_len > 0) {
        ssize_t n = pwritev2(f->direct_fd, &left, 1, (off_t)offset, RWF_DSYNC);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EINVAL || errno == EOPNOTSUPP) && left.iov_len == size) {
            close_direct(f);
            return STATUS_INVALID;
        }
        if (n < 0) {
            return file_failed("pwritev2", f);
        }
        offset += (uint64_t)n;
        left.iov_base = (uint8_t *)left.iov_base + n;
        left.iov_len -= (size_t)n;
    }
    return STATUS_OK;
}
#else
static enum status write_direct(struct posix_file *f, uint64_t offset, const struct slice *parts,
                                size_t count)
{
    (void)f;
    (void)offset;
    (void)parts;
    (void)count;
    return STATUS_INVALID;
}
#endif

static enum status posix_write_durably(struct disk_file *f, uint64_t offset,
                                       const struct slice *parts, size_t count)
{
    enum status status = write_direct(file_of(f), offset, parts, count);
    if (status == STATUS_INVALID) {
        status = posix_write(f, offset, parts, count);
        status = status == STATUS_OK ? posix_sync(f) : status;
    }
    return status;
}

static enum status posix_truncate(struct disk_file *f, uint64_t size)
{
    int result = 0;
    do {
        result = ftruncate(file_of(f)->fd, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? STATUS_OK : file_failed("ftruncate", file_of(f));
}

static enum status posix_rename(struct disk *d, const char *from, const char *to)
{
    struct posix_disk *disk = disk_of(d);
    return renameat(disk->dir_fd, from, disk->dir_fd, to) == 0 ? STATUS_OK
                                                               : failed("rename", disk->path, from);
}

static enum status posix_unlink(struct disk *d, const char *name)
{
    struct posix_disk *disk = disk_of(d);
    if (unlinkat(disk->dir_fd, name, 0) == 0) {
        return STATUS_OK;
    }
    return errno == ENOENT ? STATUS_NOT_FOUND : failed("unlink", disk->path, name);
}

static int sync_dir_fd(int fd)
{
#ifdef __APPLE__
    return fcntl(fd, F_FULLFSYNC);
#else
    return fsync(fd);
#endif
}

static enum status posix_sync_dir(struct disk *d)
{
    struct posix_disk *disk = disk_of(d);
    return sync_dir_fd(disk->dir_fd) == 0 ? STATUS_OK : failed("fsync", disk->path, ".");
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The names in an open directory, without "." and ".."; *names and each of them are owned. */
static size_t read_names(DIR *directory, char ***names)
{
    size_t count = 0;
    size_t capacity = 0;
    *names = NULL;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (count == capacity) {
            capacity = capacity > 0 ? capacity * 2 : NAMES_CAPACITY_MIN;
            *names = mem_realloc(*names, capacity * sizeof **names);
        }
        (*names)[count++] = mem_strdup(entry->d_name);
    }
    return count;
}

static enum status posix_list(struct disk *d, void (*each)(void *context, const char *name),
                              void *context)
{
    struct posix_disk *disk = disk_of(d);
    DIR *directory = opendir(disk->path);
    if (directory == NULL) {
        return failed("opendir", disk->path, ".");
    }
    char **names = NULL;
    errno = 0;
    size_t count = read_names(directory, &names);
    enum status status = errno == 0 ? STATUS_OK : failed("readdir", disk->path, ".");
    (void)closedir(directory);
    if (count > 0) {
        qsort(names, count, sizeof *names, compare_names);
    }
    for (size_t i = 0; i < count; i++) {
        if (status == STATUS_OK) {
            each(context, names[i]);
        }
        mem_free(names[i]);
    }
    mem_free(names);
    return status;
}

static enum status posix_free_bytes(struct disk *d, uint64_t *bytes)
{
    struct statvfs info;
    if (fstatvfs(disk_of(d)->dir_fd, &info) != 0) {
        return failed("fstatvfs", disk_of(d)->path, ".");
    }
    *bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return STATUS_OK;
}

/* The lock is on the open file, so that it ends with the process, however that ends. The number in
 * the file is for people. */
static enum status posix_lock(struct disk *d)
{
    struct posix_disk *disk = disk_of(d);
    CHECK(disk->lock_fd < 0);
    int fd = openat(disk->dir_fd, DISK_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (fd < 0) {
        return failed("open", disk->path, DISK_LOCK_FILE);
    }
    char pid[PID_TEXT_SIZE] = "";
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool is_busy = errno == EWOULDBLOCK;
        enum status status = is_busy ? STATUS_BUSY : failed("flock", disk->path, DISK_LOCK_FILE);
        if (is_busy && pread(fd, pid, sizeof pid - 1, 0) >= 0) {
            pid[strcspn(pid, "\n")] = '\0';
            log_error("data directory is in use path=%s pid=%s", disk->path, pid);
        }
        (void)close(fd);
        return status;
    }
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)size, 0) != size) {
        enum status status = failed("write", disk->path, DISK_LOCK_FILE);
        (void)close(fd);
        return status;
    }
    disk->lock_fd = fd;
    return STATUS_OK;
}

static void posix_destroy(struct disk *d)
{
    struct posix_disk *disk = disk_of(d);
    if (disk->lock_fd >= 0) {
        (void)close(disk->lock_fd);
    }
    (void)close(disk->dir_fd);
    mem_free(disk->path);
    mem_free(disk);
}

static const struct disk_ops posix_disk_ops = {
    .open = posix_open,
    .close = posix_close,
    .size = posix_size,
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .write_durably = posix_write_durably,
    .truncate = posix_truncate,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .free_bytes = posix_free_bytes,
    .lock = posix_lock,
    .destroy = posix_destroy,
};

/* Sync the directory that holds the entry `path`. */
static int sync_parent(const char *path)
{
    char *copy = mem_strdup(path);
    char *slash = strrchr(copy, '/');
    const char *parent = ".";
    if (slash == copy) {
        parent = "/";
    } else if (slash != NULL) {
        *slash = '\0';
        parent = copy;
    }
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd >= 0 ? sync_dir_fd(fd) : -1;
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    mem_free(copy);
    errno = error;
    return result;
}

/* Make the directory and what is missing above it; all the entries on the way are durable, also
 * those that a process before us made and did not live to sync. 0 or -1 and errno. */
static int make_directories(const char *path)
{
    char *copy = mem_strdup(path);
    int result = 0;
    for (char *at = copy + 1; result == 0; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char kept = *at;
        *at = '\0';
        bool is_new = mkdir(copy, DIR_MODE) == 0;
        result = is_new || errno == EEXIST || errno == EISDIR ? 0 : -1;
        /* A directory above that we may not open was not made by us. */
        if (result == 0 && sync_parent(copy) != 0 && (is_new || errno != EACCES)) {
            result = -1;
        }
        *at = kept;
        if (kept == '\0') {
            break;
        }
    }
    int error = errno;
    mem_free(copy);
    errno = error;
    return result;
}

enum status posix_disk_create(const char *path, struct disk **disk, char **detail)
{
    CHECK(path[0] != '\0');
    /* Without trailing slashes, so that each step of the path is named once. */
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    char *copy = mem_strndup(path, size);
    int fd = -1;
    const char *what = "create";
    int result = make_directories(copy);
    if (result == 0) {
        what = "open";
        fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0) {
        enum status status = status_of_errno(errno);
        if (detail != NULL) {
            *detail =
                mem_printf("cannot %s the data directory %s: %s", what, copy, strerror(errno));
        }
        mem_free(copy);
        return status == STATUS_NOT_FOUND ? STATUS_IO : status;
    }
    struct posix_disk *d = mem_calloc(1, sizeof *d);
    d->base.ops = &posix_disk_ops;
    d->path = copy;
    d->dir_fd = fd;
    d->lock_fd = -1;
    *disk = &d->base;
    return STATUS_OK;
}
