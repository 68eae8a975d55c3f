/* load/load_probe_disk.c - what a sync and a stream of writes cost in a directory, and what kind of
 * disk that is. The appends go where bytes were before, as the log's do. */
#include "load/load_probe.h"

#include "base/mem.h"
#include "base/rng.h"
#include "load/load_histogram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#define CHUNK_BYTES (1u * MIB)
/* Names to try; those before are what probes left that were killed. */
#define NAMES_MAX   100

static int sync_fd(int fd)
{
#ifdef __APPLE__
    return fcntl(fd, F_FULLFSYNC);
#else
    return fdatasync(fd);
#endif
}

/* --- the file --------------------------------------------------------------------------------- */

static enum status fail(const struct load_disk_probe *p, const char *what, struct buf *why)
{
    buf_printf(why, "cannot %s %s: %s", what, p->path, strerror(errno));
    return STATUS_IO;
}

enum status load_probe_disk_begin(struct load_disk_probe *p, const char *directory, struct buf *why)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        int size = snprintf(p->path, sizeof(p->path), "%s/.conclave-check.%ld", directory,
                            (long)getpid() + i);
        if (size < 0 || (size_t)size >= sizeof(p->path)) {
            buf_append_str(why, "the name of the directory is too long");
            return STATUS_IO;
        }
        p->fd = open(p->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (p->fd >= 0) {
            return STATUS_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return fail(p, "make", why);
}

bool load_probe_disk_end(struct load_disk_probe *p)
{
    close(p->fd);
    p->fd = -1;
    return unlink(p->path) == 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool write_at(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, data, size, (off_t)offset);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            errno = done == 0 ? EIO : errno;
            return false;
        }
        data += done;
        offset += (uint64_t)done;
        size -= (size_t)done;
    }
    return true;
}

/* Bytes that no disk or file system can make smaller. */
static uint8_t *make_chunk(void)
{
    struct rng random;
    rng_init(&random, (uint64_t)getpid());
    uint8_t *chunk = mem_alloc(CHUNK_BYTES);
    for (size_t i = 0; i < CHUNK_BYTES; i += sizeof(uint64_t)) {
        uint64_t bits = rng_next(&random);
        memcpy(chunk + i, &bits, sizeof(bits));
    }
    return chunk;
}

static bool fill(const struct load_disk_probe *p, const uint8_t *chunk,
                 const volatile sig_atomic_t *ended, struct load_disk *disk)
{
    uint64_t begun_us = load_probe_now_us();
    for (uint64_t at = 0; at < LOAD_PROBE_FILE_BYTES && !*ended; at += CHUNK_BYTES) {
        if (!write_at(p->fd, chunk, CHUNK_BYTES, at)) {
            return false;
        }
    }
    if (*ended) {
        return true;
    }
    if (sync_fd(p->fd) != 0) {
        return false;
    }
    disk->fill_us = load_probe_now_us() - begun_us;
    return true;
}

static bool append(const struct load_disk_probe *p, const uint8_t *chunk, uint32_t run_ms,
                   const volatile sig_atomic_t *ended, struct load_histogram *syncs)
{
    uint64_t end_us = load_probe_now_us() + (uint64_t)run_ms * 1000;
    uint64_t at = 0;
    for (uint64_t begun_us = load_probe_now_us(); begun_us < end_us && !*ended;) {
        const uint8_t *bytes = chunk + at % CHUNK_BYTES;
        if (!write_at(p->fd, bytes, LOAD_PROBE_APPEND_BYTES, at) || sync_fd(p->fd) != 0) {
            return false;
        }
        uint64_t done_us = load_probe_now_us();
        load_histogram_add(syncs, done_us - begun_us);
        begun_us = done_us;
        at = (at + LOAD_PROBE_APPEND_BYTES) % LOAD_PROBE_FILE_BYTES;
    }
    return true;
}

enum status load_probe_disk_run(struct load_disk_probe *p, uint32_t run_ms,
                                const volatile sig_atomic_t *ended, struct load_disk *disk,
                                struct buf *why)
{
    *disk = (struct load_disk){0};
    struct load_histogram *syncs = mem_calloc(1, sizeof(struct load_histogram));
    uint8_t *chunk = make_chunk();
    bool is_done = fill(p, chunk, ended, disk) && append(p, chunk, run_ms, ended, syncs);
    enum status status = is_done ? STATUS_OK : fail(p, "write", why);
    disk->syncs = load_delays_of(syncs);
    mem_free(chunk);
    mem_free(syncs);
    return status;
}

/* --- what it is ------------------------------------------------------------------------------- */

enum status load_probe_space(const char *directory, uint64_t *free_bytes)
{
    struct statvfs s;
    if (statvfs(directory, &s) != 0) {
        return STATUS_IO;
    }
    *free_bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_frsize;
    return STATUS_OK;
}

struct load_file_system load_file_system_of(uint64_t type)
{
    static const struct {
        uint64_t type;
        struct load_file_system is;
    } known[] = {
        {0xEF53, {MEDIUM_LOCAL, "ext4"}},         {0x58465342, {MEDIUM_LOCAL, "xfs"}},
        {0x9123683E, {MEDIUM_LOCAL, "btrfs"}},    {0x2FC12FC1, {MEDIUM_LOCAL, "zfs"}},
        {0xF2F52010, {MEDIUM_LOCAL, "f2fs"}},     {0xCA451A4E, {MEDIUM_LOCAL, "bcachefs"}},
        {0x3153464A, {MEDIUM_LOCAL, "jfs"}},      {0x4D44, {MEDIUM_WEAK, "vfat"}},
        {0x2011BAB0, {MEDIUM_WEAK, "exfat"}},     {0x794C7630, {MEDIUM_LAYER, "overlay"}},
        {0x65735546, {MEDIUM_PASSED, "fuse"}},    {0x01021997, {MEDIUM_PASSED, "9p"}},
        {0x786F4256, {MEDIUM_PASSED, "vboxsf"}},  {0x6969, {MEDIUM_NETWORK, "nfs"}},
        {0xFF534D42, {MEDIUM_NETWORK, "cifs"}},   {0xFE534D42, {MEDIUM_NETWORK, "smb"}},
        {0x517B, {MEDIUM_NETWORK, "smb"}},        {0x00C36400, {MEDIUM_NETWORK, "ceph"}},
        {0x0BD00BD0, {MEDIUM_NETWORK, "lustre"}}, {0x01161970, {MEDIUM_NETWORK, "gfs2"}},
        {0x01021994, {MEDIUM_MEMORY, "tmpfs"}},   {0x858458F6, {MEDIUM_MEMORY, "ramfs"}},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].type == type) {
            return known[i].is;
        }
    }
    struct load_file_system fs = {.medium = MEDIUM_UNKNOWN};
    snprintf(fs.name, sizeof(fs.name), "of the type 0x%llx", (unsigned long long)type);
    return fs;
}

void load_probe_file_system(const char *directory, struct load_file_system *fs)
{
#ifdef __linux__
    struct statfs s;
    if (statfs(directory, &s) == 0) {
        *fs = load_file_system_of((uint32_t)s.f_type);
        return;
    }
#else
    (void)directory;
#endif
    *fs = (struct load_file_system){.medium = MEDIUM_UNKNOWN, .name = "cannot be asked here"};
}
