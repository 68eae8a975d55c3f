/* chaos/disk_shim.c - a disk that stalls, fails, fills up and loses power, under a real process.
 *
 * Preloaded (LD_PRELOAD) into one `conclave server`, it stands between the process and libc for the
 * files directly in one directory, and leaves everything else alone. Faults are set by another
 * process through a shared page (struct control); disk_faults.py is that process.
 *
 * Power loss: the files themselves always have the newest bytes, as a page cache does. Whatever is
 * changed and not yet synced is first noted in a journal with what was there before, and what a
 * sync makes durable is noted too; after a kill -9 disk_faults.py undoes what no sync covered. So a
 * kill alone loses nothing, and a kill with a restore is a power loss. Names are as volatile as
 * data: a file that was made, renamed or removed is so for sure only after a sync of the directory.
 *
 * It covers the calls of wal/posix_disk.c and their kin, not mmap, writev or io_uring; the counters
 * let a test see that it is in the way at all. */
#undef _FILE_OFFSET_BITS /* both open and open64 are defined here */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX       4096
#define DIRTY_MAX     256
#define VECTORS_MAX   1024
#define JOURNAL_MAGIC 0x4c4e524aU /* "JRNL" */
#define STALL_STEP_US 1000
#define ALWAYS        (-1) /* of an error count */

/* The page that disk_faults.py writes; each field 8 bytes, in this order there too. */
struct control {
    _Atomic int64_t stall_sync; /* 1: syncs hang until it is 0 again */
    _Atomic int64_t sync_delay_us;
    _Atomic int64_t sync_errors; /* so many of the next calls fail with EIO; ALWAYS */
    _Atomic int64_t write_errors;
    _Atomic int64_t read_errors;
    _Atomic int64_t free_bytes; /* what files may still grow by; below 0: no limit */
    _Atomic int64_t syncs;      /* counters from here on: calls seen, and faults given */
    _Atomic int64_t writes;
    _Atomic int64_t reads;
    _Atomic int64_t faults;
};

enum journal_kind {
    JOURNAL_WRITE = 1,    /* old bytes at an offset, and the old size */
    JOURNAL_TRUNCATE = 2, /* the old size, and the bytes behind the new one */
    JOURNAL_CREATE = 3,
    JOURNAL_RENAME = 4, /* held: what had the new name before, or nothing */
    JOURNAL_UNLINK = 5,
    JOURNAL_SYNC_BEGIN = 6, /* inode 0: the directory */
    JOURNAL_SYNC_DONE = 7,
};

/* Followed by name, other name and bytes. */
struct journal_head {
    uint32_t magic;
    uint32_t kind;
    uint64_t inode;
    uint64_t offset;
    uint64_t old_size;
    uint64_t held;    /* number of the link that keeps an inode alive; 0: none */
    uint64_t sync;    /* pairs BEGIN with DONE */
    uint32_t size;    /* of what was overwritten */
    uint32_t is_zero; /* it was all zeros, and does not follow */
    uint32_t name_size;
    uint32_t other_size;
};

enum fd_kind { FD_OTHER, FD_FILE, FD_DIRECTORY };

struct dirty {
    uint64_t inode; /* 0: the directory */
    uint64_t last;  /* number of its newest journal record */
    bool is_gone;   /* has no name any more: forgotten with the directory's next sync */
};

static struct {
    int (*open)(const char *, int, ...);
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    ssize_t (*pread)(int, void *, size_t, off_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwritev)(int, const struct iovec *, int, off_t);
    ssize_t (*pwritev2)(int, const struct iovec *, int, off_t, int);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*ftruncate)(int, off_t);
    int (*fallocate)(int, int, off_t, off_t);
    int (*renameat)(int, const char *, int, const char *);
    int (*unlinkat)(int, const char *, int);
    int (*fstatvfs)(int, struct statvfs *);
} real;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct control *control; /* NULL: not asked for, everything passes */
static const char *directory;
static const char *held_prefix;
static int journal_fd = -1;
static bool journal_is_inherited; /* has records of a process before: may not be emptied */
static uint64_t journal_number;
static uint64_t held_first = 1;
static uint64_t held_next = 1;
static struct dirty dirty[DIRTY_MAX];
static size_t dirty_count;
static _Atomic unsigned char fd_kinds[FDS_MAX];

/* A bug of the shim or a full test disk: nothing that the test says afterwards would be true. */
static void die(const char *what)
{
    fprintf(stderr, "disk_shim: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void *find(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) {
        die(name);
    }
    return symbol;
}

static void find_real(void)
{
    real.open = (int (*)(const char *, int, ...))find("open");
    real.openat = (int (*)(int, const char *, int, ...))find("openat");
    real.close = (int (*)(int))find("close");
    real.pread = (ssize_t(*)(int, void *, size_t, off_t))find("pread");
    real.pwrite = (ssize_t(*)(int, const void *, size_t, off_t))find("pwrite");
    real.write = (ssize_t(*)(int, const void *, size_t))find("write");
    real.pwritev = (ssize_t(*)(int, const struct iovec *, int, off_t))find("pwritev");
    real.pwritev2 = (ssize_t(*)(int, const struct iovec *, int, off_t, int))find("pwritev2");
    real.fsync = (int (*)(int))find("fsync");
    real.fdatasync = (int (*)(int))find("fdatasync");
    real.ftruncate = (int (*)(int, off_t))find("ftruncate");
    real.fallocate = (int (*)(int, int, off_t, off_t))find("fallocate");
    real.renameat = (int (*)(int, const char *, int, const char *))find("renameat");
    real.unlinkat = (int (*)(int, const char *, int))find("unlinkat");
    real.fstatvfs = (int (*)(int, struct statvfs *))find("fstatvfs");
}

static void start(void)
{
    find_real();
    const char *control_path = getenv("CHAOS_DISK_CONTROL");
    const char *journal_path = getenv("CHAOS_DISK_JOURNAL");
    directory = getenv("CHAOS_DISK_DIRECTORY");
    held_prefix = getenv("CHAOS_DISK_HELD");
    if (control_path == NULL || journal_path == NULL || directory == NULL || held_prefix == NULL) {
        return;
    }
    int fd = real.open(control_path, O_RDWR | O_CLOEXEC);
    void *page = fd >= 0
                     ? mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                     : MAP_FAILED;
    if (page == MAP_FAILED) {
        die("cannot map the control page");
    }
    (void)real.close(fd);
    journal_fd = real.open(journal_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat info;
    if (journal_fd < 0 || fstat(journal_fd, &info) != 0) {
        die("cannot open the journal");
    }
    journal_is_inherited = info.st_size > 0;
    held_first = held_next = (uint64_t)getpid() << 24 | 1;
    control = page;
}

/* False: this process is not to be disturbed. */
static bool is_on(void)
{
    (void)pthread_once(&once, start);
    return control != NULL;
}

static enum fd_kind kind_of(int fd)
{
    return is_on() && fd >= 0 && fd < FDS_MAX ? (enum fd_kind)fd_kinds[fd] : FD_OTHER;
}

/* One of the next calls is to fail. */
static bool takes_error(_Atomic int64_t *count)
{
    int64_t left = atomic_load(count);
    while (left > 0 && !atomic_compare_exchange_weak(count, &left, left - 1)) {
    }
    if (left == 0) {
        return false;
    }
    atomic_fetch_add(&control->faults, 1);
    errno = EIO;
    return true;
}

/* --- the journal ---------------------------------------------------------------------------- */

static void append(const void *data, size_t size)
{
    if (size > 0 && real.write(journal_fd, data, size) != (ssize_t)size) {
        die("cannot write the journal");
    }
}

static struct dirty *find_dirty(uint64_t inode)
{
    for (size_t i = 0; i < dirty_count; i++) {
        if (dirty[i].inode == inode) {
            return &dirty[i];
        }
    }
    return NULL;
}

static void mark_dirty(uint64_t inode, bool is_gone)
{
    struct dirty *d = find_dirty(inode);
    if (d == NULL) {
        if (dirty_count == DIRTY_MAX) {
            die("too many unsynced files");
        }
        d = &dirty[dirty_count++];
        *d = (struct dirty){.inode = inode};
    }
    d->last = journal_number;
    d->is_gone = d->is_gone || is_gone;
}

/* `inode` is what the record makes unsynced, 0 for the directory. */
static void note(struct journal_head head, const char *name, const char *other, const void *bytes)
{
    head.magic = JOURNAL_MAGIC;
    head.name_size = name != NULL ? (uint32_t)strlen(name) : 0;
    head.other_size = other != NULL ? (uint32_t)strlen(other) : 0;
    journal_number++;
    append(&head, sizeof head);
    append(name, head.name_size);
    append(other, head.other_size);
    append(bytes, head.is_zero ? 0 : head.size);
}

static bool all_zero(const unsigned char *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* What stands in [offset, offset + size) of the file, as far as it reaches. */
static void note_old_bytes(int fd, enum journal_kind kind, uint64_t offset, uint64_t size)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        die("fstat");
    }
    uint64_t old_size = (uint64_t)info.st_size;
    uint64_t covered = offset >= old_size ? 0 : old_size - offset;
    covered = covered < size ? covered : size;
    unsigned char *bytes = malloc(covered + 1);
    if (bytes == NULL || covered > UINT32_MAX ||
        real.pread(fd, bytes, covered, (off_t)offset) != (ssize_t)covered) {
        die("cannot read what is overwritten");
    }
    struct journal_head head = {.kind = kind,
                                .inode = info.st_ino,
                                .offset = offset,
                                .old_size = old_size,
                                .size = (uint32_t)covered,
                                .is_zero = all_zero(bytes, covered)};
    note(head, NULL, NULL, bytes);
    mark_dirty(info.st_ino, false);
    free(bytes);
}

static void held_path(uint64_t number, char *path, size_t size)
{
    snprintf(path, size, "%s%llu", held_prefix, (unsigned long long)number);
}

/* Keep the inode of `name` alive under another name; its number, or 0 when there is none. */
static uint64_t hold(int dir_fd, const char *name)
{
    char path[PATH_MAX];
    held_path(held_next, path, sizeof path);
    if (linkat(dir_fd, name, AT_FDCWD, path, 0) == 0) {
        return held_next++;
    }
    if (errno != ENOENT) {
        die("cannot hold a file");
    }
    return 0;
}

/* Nothing is unsynced: nothing can be lost, and the journal may start anew. */
static void forget_all(void)
{
    if (dirty_count > 0 || journal_is_inherited) {
        return;
    }
    if (real.ftruncate(journal_fd, 0) != 0) {
        die("cannot empty the journal");
    }
    for (; held_first < held_next; held_first++) {
        char path[PATH_MAX];
        held_path(held_first, path, sizeof path);
        (void)real.unlinkat(AT_FDCWD, path, 0);
    }
}

static void settle(uint64_t inode, uint64_t up_to)
{
    size_t kept = 0;
    for (size_t i = 0; i < dirty_count; i++) {
        bool is_done =
            dirty[i].last <= up_to && (dirty[i].inode == inode || (inode == 0 && dirty[i].is_gone));
        if (!is_done) {
            dirty[kept++] = dirty[i];
        }
    }
    dirty_count = kept;
    forget_all();
}

static int sync_file(int fd, enum fd_kind kind, int (*sync)(int))
{
    atomic_fetch_add(&control->syncs, 1);
    struct stat info;
    if (fstat(fd, &info) != 0) {
        die("fstat");
    }
    uint64_t inode = kind == FD_DIRECTORY ? 0 : (uint64_t)info.st_ino;
    (void)pthread_mutex_lock(&lock);
    note((struct journal_head){.kind = JOURNAL_SYNC_BEGIN,
                               .inode = inode,
                               .sync = journal_number + 1},
         NULL, NULL, NULL);
    uint64_t up_to = journal_number;
    (void)pthread_mutex_unlock(&lock);
    bool was_stalled = false;
    while (atomic_load(&control->stall_sync) != 0) {
        was_stalled = true;
        (void)usleep(STALL_STEP_US);
    }
    if (was_stalled) {
        atomic_fetch_add(&control->faults, 1);
    }
    int64_t delay_us = atomic_load(&control->sync_delay_us);
    if (delay_us > 0) {
        (void)usleep((useconds_t)delay_us);
    }
    if (takes_error(&control->sync_errors)) {
        return -1;
    }
    int result = sync(fd);
    if (result == 0) {
        (void)pthread_mutex_lock(&lock);
        note((struct journal_head){.kind = JOURNAL_SYNC_DONE, .inode = inode, .sync = up_to}, NULL,
             NULL, NULL);
        settle(inode, up_to);
        (void)pthread_mutex_unlock(&lock);
    }
    return result;
}

/* --- room ----------------------------------------------------------------------------------- */

static void give_back(uint64_t bytes)
{
    if (atomic_load(&control->free_bytes) >= 0) {
        atomic_fetch_add(&control->free_bytes, (int64_t)bytes);
    }
}

/* How many of `size` bytes at `offset` find room, paid for; the room counts growth only. */
static uint64_t take_room(int fd, uint64_t offset, uint64_t size)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        die("fstat");
    }
    int64_t room = atomic_load(&control->free_bytes);
    uint64_t old_size = (uint64_t)info.st_size;
    uint64_t end = offset + size;
    if (room < 0 || end <= old_size) {
        return size;
    }
    uint64_t growth = end - old_size;
    uint64_t granted = growth < (uint64_t)room ? growth : (uint64_t)room;
    atomic_fetch_sub(&control->free_bytes, (int64_t)granted);
    if (granted == growth) {
        return size;
    }
    atomic_fetch_add(&control->faults, 1);
    uint64_t missing = growth - granted;
    return missing < size ? size - missing : 0;
}

/* --- the calls ------------------------------------------------------------------------------ */

static void track(int fd)
{
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0 || fd >= FDS_MAX) {
        return;
    }
    path[size] = '\0';
    size_t length = strlen(directory);
    enum fd_kind kind = FD_OTHER;
    if (strncmp(path, directory, length) == 0) {
        if (path[length] == '\0') {
            kind = FD_DIRECTORY;
        } else if (path[length] == '/' && strchr(path + length + 1, '/') == NULL) {
            kind = FD_FILE;
        }
    }
    fd_kinds[fd] = (unsigned char)kind;
}

/* The name in our directory that (dir_fd, path) means, or NULL. */
static const char *name_of(int dir_fd, const char *path)
{
    if (kind_of(dir_fd) == FD_DIRECTORY && strchr(path, '/') == NULL) {
        return path;
    }
    size_t length = strlen(directory);
    if (strncmp(path, directory, length) == 0 && path[length] == '/' &&
        strchr(path + length + 1, '/') == NULL) {
        return path + length + 1;
    }
    return NULL;
}

static int do_open(int dir_fd, const char *path, int flags, mode_t mode)
{
    if (!is_on()) {
        return real.openat(dir_fd, path, flags, mode);
    }
    const char *name = name_of(dir_fd, path);
    (void)pthread_mutex_lock(&lock);
    if (name != NULL && (flags & O_CREAT) != 0 && faccessat(dir_fd, path, F_OK, 0) != 0) {
        note((struct journal_head){.kind = JOURNAL_CREATE}, name, NULL, NULL);
        mark_dirty(0, false);
    }
    if ((flags & O_DIRECT) != 0) { /* what is overwritten is read through it, at any offset */
        flags = (flags & ~(O_DIRECT | O_ACCMODE)) | O_RDWR;
    }
    int fd = real.openat(dir_fd, path, flags, mode);
    if (fd >= 0) {
        track(fd);
    }
    (void)pthread_mutex_unlock(&lock);
    return fd;
}

static int do_close(int fd)
{
    if (kind_of(fd) != FD_OTHER) {
        fd_kinds[fd] = FD_OTHER;
    }
    return real.close(fd);
}

static ssize_t do_pread(int fd, void *data, size_t size, off_t offset)
{
    if (kind_of(fd) == FD_FILE) {
        atomic_fetch_add(&control->reads, 1);
        if (takes_error(&control->read_errors)) {
            return -1;
        }
    }
    return real.pread(fd, data, size, offset);
}

/* The first `size` bytes of the vectors; how many vectors that are. */
static int cut_vectors(struct iovec *cut, const struct iovec *vectors, int count, uint64_t size)
{
    int used = 0;
    while (used < count && size > 0) {
        cut[used] = vectors[used];
        if (cut[used].iov_len > size) {
            cut[used].iov_len = size;
        }
        size -= cut[used++].iov_len;
    }
    return used;
}

static ssize_t do_pwritev(int fd, const struct iovec *vectors, int count, off_t offset)
{
    if (kind_of(fd) != FD_FILE) {
        return real.pwritev(fd, vectors, count, offset);
    }
    atomic_fetch_add(&control->writes, 1);
    if (takes_error(&control->write_errors)) {
        return -1;
    }
    uint64_t size = 0;
    for (int i = 0; i < count; i++) {
        size += vectors[i].iov_len;
    }
    struct iovec cut[VECTORS_MAX];
    if (count > VECTORS_MAX) {
        errno = EINVAL;
        return -1;
    }
    (void)pthread_mutex_lock(&lock);
    uint64_t room = take_room(fd, (uint64_t)offset, size);
    ssize_t written = -1;
    if (room == 0 && size > 0) {
        errno = ENOSPC;
    } else {
        note_old_bytes(fd, JOURNAL_WRITE, (uint64_t)offset, room);
        written = real.pwritev(fd, cut, cut_vectors(cut, vectors, count, room), offset);
    }
    (void)pthread_mutex_unlock(&lock);
    return written;
}

/* Durable when it returns: a write, and a sync that may hang or fail as any other. */
static ssize_t do_pwritev2(int fd, const struct iovec *vectors, int count, off_t offset, int flags)
{
    if (kind_of(fd) != FD_FILE) {
        return real.pwritev2(fd, vectors, count, offset, flags);
    }
    ssize_t written = do_pwritev(fd, vectors, count, offset);
    bool is_durable =
        written < 0 || (flags & RWF_DSYNC) == 0 || sync_file(fd, FD_FILE, real.fdatasync) == 0;
    return is_durable ? written : -1;
}

static ssize_t do_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (kind_of(fd) != FD_FILE) {
        return real.pwrite(fd, data, size, offset);
    }
    struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return do_pwritev(fd, &vector, 1, offset);
}

static int do_ftruncate(int fd, off_t size)
{
    struct stat info;
    if (kind_of(fd) != FD_FILE || fstat(fd, &info) != 0) {
        return real.ftruncate(fd, size);
    }
    if (takes_error(&control->write_errors)) {
        return -1;
    }
    (void)pthread_mutex_lock(&lock);
    uint64_t removed = info.st_size > size ? (uint64_t)(info.st_size - size) : 0;
    note_old_bytes(fd, JOURNAL_TRUNCATE, (uint64_t)size, removed);
    int result = real.ftruncate(fd, size);
    if (result == 0) {
        give_back(removed);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

static int do_fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (kind_of(fd) != FD_FILE) {
        return real.fallocate(fd, mode, offset, size);
    }
    (void)pthread_mutex_lock(&lock);
    int result = -1;
    if (take_room(fd, (uint64_t)offset, (uint64_t)size) < (uint64_t)size) {
        errno = ENOSPC;
    } else {
        note_old_bytes(fd, JOURNAL_TRUNCATE, (uint64_t)offset, 0);
        result = real.fallocate(fd, mode, offset, size);
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

static int do_rename(int from_fd, const char *from, int to_fd, const char *to)
{
    const char *from_name = is_on() ? name_of(from_fd, from) : NULL;
    const char *to_name = is_on() ? name_of(to_fd, to) : NULL;
    struct stat info;
    if (from_name == NULL || to_name == NULL || fstatat(from_fd, from, &info, 0) != 0) {
        return real.renameat(from_fd, from, to_fd, to);
    }
    (void)pthread_mutex_lock(&lock);
    struct stat replaced;
    bool replaces = fstatat(to_fd, to, &replaced, 0) == 0;
    uint64_t held = replaces ? hold(to_fd, to) : 0;
    note((struct journal_head){.kind = JOURNAL_RENAME, .inode = info.st_ino, .held = held},
         from_name, to_name, NULL);
    mark_dirty(0, false);
    int result = real.renameat(from_fd, from, to_fd, to);
    if (result == 0 && replaces) {
        give_back((uint64_t)replaced.st_size);
        if (find_dirty(replaced.st_ino) != NULL) {
            mark_dirty(replaced.st_ino, true);
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

static int do_unlink(int dir_fd, const char *path, int flags)
{
    const char *name = is_on() ? name_of(dir_fd, path) : NULL;
    struct stat info;
    if (name == NULL || fstatat(dir_fd, path, &info, 0) != 0) {
        return real.unlinkat(dir_fd, path, flags);
    }
    (void)pthread_mutex_lock(&lock);
    uint64_t held = hold(dir_fd, path);
    note((struct journal_head){.kind = JOURNAL_UNLINK, .held = held}, name, NULL, NULL);
    mark_dirty(0, false);
    int result = real.unlinkat(dir_fd, path, flags);
    if (result == 0) {
        give_back((uint64_t)info.st_size);
        if (find_dirty(info.st_ino) != NULL) {
            mark_dirty(info.st_ino, true);
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return result;
}

static int do_fstatvfs(int fd, struct statvfs *info)
{
    int result = real.fstatvfs(fd, info);
    if (result == 0 && kind_of(fd) != FD_OTHER) {
        int64_t room = atomic_load(&control->free_bytes);
        if (room >= 0) {
            info->f_bavail = info->f_bfree = (fsblkcnt_t)((uint64_t)room / info->f_frsize);
        }
    }
    return result;
}

/* --- the names that libc has for them ------------------------------------------------------- */

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define DEFINE_OPEN(NAME)                                                                          \
    int NAME(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        (void)is_on();                                                                             \
        return do_open(AT_FDCWD, path, flags, mode);                                               \
    }
#define DEFINE_OPENAT(NAME)                                                                        \
    int NAME(int dir_fd, const char *path, int flags, ...)                                         \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        (void)is_on();                                                                             \
        return do_open(dir_fd, path, flags, mode);                                                 \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int close(int fd)
{
    (void)is_on();
    return do_close(fd);
}

/* Where both names take the same types. NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define ALSO_AS(NAME, OF) extern __typeof__(OF) NAME __attribute__((alias(#OF)))

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    (void)is_on();
    return do_pread(fd, data, size, offset);
}
ALSO_AS(pread64, pread);

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    (void)is_on();
    return do_pwrite(fd, data, size, offset);
}
ALSO_AS(pwrite64, pwrite);

ssize_t pwritev(int fd, const struct iovec *vectors, int count, off_t offset)
{
    (void)is_on();
    return do_pwritev(fd, vectors, count, offset);
}
ALSO_AS(pwritev64, pwritev);

ssize_t pwritev2(int fd, const struct iovec *vectors, int count, off_t offset, int flags)
{
    (void)is_on();
    return do_pwritev2(fd, vectors, count, offset, flags);
}
ALSO_AS(pwritev64v2, pwritev2);

ssize_t write(int fd, const void *data, size_t size)
{
    if (kind_of(fd) != FD_FILE) {
        return real.write(fd, data, size);
    }
    ssize_t written = do_pwrite(fd, data, size, lseek(fd, 0, SEEK_CUR));
    if (written > 0) {
        (void)lseek(fd, written, SEEK_CUR);
    }
    return written;
}

int fsync(int fd)
{
    enum fd_kind kind = kind_of(fd);
    return kind == FD_OTHER ? real.fsync(fd) : sync_file(fd, kind, real.fsync);
}

int fdatasync(int fd)
{
    enum fd_kind kind = kind_of(fd);
    return kind == FD_OTHER ? real.fdatasync(fd) : sync_file(fd, kind, real.fdatasync);
}

int ftruncate(int fd, off_t size)
{
    (void)is_on();
    return do_ftruncate(fd, size);
}
ALSO_AS(ftruncate64, ftruncate);

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    (void)is_on();
    return do_fallocate(fd, mode, offset, size);
}
ALSO_AS(fallocate64, fallocate);

int posix_fallocate(int fd, off_t offset, off_t size)
{
    (void)is_on();
    return do_fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
}
ALSO_AS(posix_fallocate64, posix_fallocate);

int rename(const char *from, const char *to)
{
    (void)is_on();
    return do_rename(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    (void)is_on();
    return do_rename(from_fd, from, to_fd, to);
}

int unlink(const char *path)
{
    (void)is_on();
    return do_unlink(AT_FDCWD, path, 0);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
    (void)is_on();
    return do_unlink(dir_fd, path, flags);
}

int fstatvfs(int fd, struct statvfs *info)
{
    (void)is_on();
    return do_fstatvfs(fd, info);
}

int fstatvfs64(int fd, struct statvfs64 *info)
{
    (void)is_on();
    return do_fstatvfs(fd, (struct statvfs *)info);
}
