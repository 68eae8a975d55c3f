#include "fake_disk.h"

#include "base/check.h"
#include "base/mem.h"
#include "fake_image.h"

#include <string.h>

#define PAGE_BYTES     4096u
#define NAME_BYTES     64u
#define FREE_BYTES     (UINT64_C(1) << 40)
#define DESTROY_CHANCE 2u

/* One write, whose sectors may be lost one by one, or a new size when data == NULL. */
struct change {
    uint64_t offset;
    size_t size;
    uint8_t *data;
};

struct inode {
    struct image cache;
    struct image durable;
    struct change *changes;
    size_t change_count;
    size_t change_capacity;
    bool shows_lost; /* the cache has what a failed sync dropped */
    unsigned handles;
};

struct entry {
    char name[NAME_BYTES];
    struct inode *inode;
};

struct directory {
    struct entry *entries;
    size_t count;
    size_t capacity;
};

/* `from` vanishes and `to` appears; either may be empty. */
struct dir_change {
    char from[NAME_BYTES];
    char to[NAME_BYTES];
    struct inode *inode;
};

struct fake_disk {
    struct disk base;
    size_t sector_bytes;
    struct rng rng;
    uint64_t calls;
    uint64_t halt_at;
    struct fake_fault fault;
    bool has_failed;
    struct fake_disk_stats stats;
    uint64_t capacity; /* 0 = no bound */
    bool locked;

    struct directory cache;
    struct directory durable;
    struct dir_change *dir_changes;
    size_t dir_change_count;
    size_t dir_change_capacity;
    struct inode **inodes;
    size_t inode_count;
    size_t inode_capacity;
};

struct fake_file {
    struct disk_file base;
    struct inode *inode;
};

static const struct disk_ops fake_ops;

static struct fake_disk *fake_of(struct disk *d)
{
    return (struct fake_disk *)d;
}

static struct inode *inode_of(struct disk_file *f)
{
    return ((struct fake_file *)f)->inode;
}

/* `array` with room for one more element of `size` bytes. */
static void *with_room(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity * 2 + 8;
    return mem_realloc(array, *capacity * size);
}

/* What does not fit is lost: its size change did not arrive. */
static void image_apply(struct image *image, const struct change *change)
{
    if (change->data == NULL) {
        image_resize(image, change->size);
    } else {
        image_write(image, change->offset, change->data, change->size);
    }
}

/* Inodes. */

static struct inode *inode_create(struct fake_disk *f)
{
    struct inode *inode = mem_calloc(1, sizeof *inode);
    f->inodes = with_room(f->inodes, f->inode_count, &f->inode_capacity, sizeof(struct inode *));
    f->inodes[f->inode_count++] = inode;
    return inode;
}

static void forget_changes(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        mem_free(inode->changes[i].data);
    }
    inode->change_count = 0;
}

static void inode_destroy(struct inode *inode)
{
    forget_changes(inode);
    mem_free(inode->changes);
    image_drop(&inode->cache);
    image_drop(&inode->durable);
    mem_free(inode);
}

/* Takes `data` over. */
static void add_change(struct inode *inode, uint64_t offset, uint8_t *data, size_t size)
{
    inode->changes = with_room(inode->changes, inode->change_count, &inode->change_capacity,
                               sizeof *inode->changes);
    struct change *change = &inode->changes[inode->change_count++];
    *change = (struct change){.offset = offset, .size = size, .data = data};
    image_apply(&inode->cache, change);
}

/* The part of a change that is in its sector number `at`; size 0 when there is none. */
static struct change sector_of(const struct fake_disk *f, const struct change *change, size_t at)
{
    if (change->data == NULL) {
        return at == 0 ? *change : (struct change){0};
    }
    uint64_t first = change->offset / f->sector_bytes * f->sector_bytes;
    uint64_t from = at == 0 ? change->offset : first + at * f->sector_bytes;
    uint64_t to = first + (at + 1) * f->sector_bytes;
    uint64_t end = change->offset + change->size;
    to = to < end ? to : end;
    if (from >= to) {
        return (struct change){0};
    }
    return (struct change){.offset = from,
                           .size = (size_t)(to - from),
                           .data = change->data + (from - change->offset)};
}

static size_t count_sectors(const struct fake_disk *f, const struct change *change)
{
    if (change->data == NULL || change->size == 0) {
        return change->data == NULL ? 1 : 0;
    }
    uint64_t last = (change->offset + change->size - 1) / f->sector_bytes;
    return (size_t)(last - change->offset / f->sector_bytes) + 1;
}

static void promote(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        image_apply(&inode->durable, &inode->changes[i]);
    }
    forget_changes(inode);
}

/* Directories. */

static struct entry *find_entry(struct directory *d, const char *name)
{
    for (size_t i = 0; i < d->count; i++) {
        if (strcmp(d->entries[i].name, name) == 0) {
            return &d->entries[i];
        }
    }
    return NULL;
}

static void remove_name(struct directory *d, const char *name)
{
    struct entry *entry = find_entry(d, name);
    if (entry != NULL) {
        *entry = d->entries[--d->count];
    }
}

static void set_name(struct directory *d, const char *name, struct inode *inode)
{
    struct entry *entry = find_entry(d, name);
    if (entry == NULL) {
        CHECK_CMP(strlen(name), <, NAME_BYTES);
        d->entries = with_room(d->entries, d->count, &d->capacity, sizeof *d->entries);
        entry = &d->entries[d->count++];
        *entry = (struct entry){.inode = inode};
        memcpy(entry->name, name, strlen(name));
    }
    entry->inode = inode;
}

static void directory_copy(struct directory *to, const struct directory *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        to->entries = with_room(to->entries, to->count, &to->capacity, sizeof *to->entries);
        to->entries[to->count++] = from->entries[i];
    }
}

static void apply_dir_change(struct directory *d, const struct dir_change *change)
{
    if (change->from[0] != '\0') {
        remove_name(d, change->from);
    }
    if (change->to[0] != '\0') {
        set_name(d, change->to, change->inode);
    }
}

static void add_dir_change(struct fake_disk *f, const char *from, const char *to,
                           struct inode *inode)
{
    f->dir_changes = with_room(f->dir_changes, f->dir_change_count, &f->dir_change_capacity,
                               sizeof *f->dir_changes);
    struct dir_change *change = &f->dir_changes[f->dir_change_count++];
    *change = (struct dir_change){.inode = inode};
    memcpy(change->from, from, strlen(from));
    memcpy(change->to, to, strlen(to));
    apply_dir_change(&f->cache, change);
}

static void drop_nameless(struct fake_disk *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->inode_count; i++) {
        bool has_name = false;
        for (size_t k = 0; k < f->durable.count; k++) {
            has_name = has_name || f->durable.entries[k].inode == f->inodes[i];
        }
        if (has_name) {
            f->inodes[kept++] = f->inodes[i];
        } else {
            inode_destroy(f->inodes[i]);
        }
    }
    f->inode_count = kept;
}

/* Faults. */

/* Counts the call; OK when it is to be carried out. */
static enum status enter(struct fake_disk *f)
{
    f->calls++;
    if (f->halt_at != 0 && f->calls >= f->halt_at) {
        return STATUS_IO;
    }
    if (f->fault.call != 0 && f->calls == f->fault.call) {
        f->has_failed = true;
        return f->fault.status;
    }
    return STATUS_OK;
}

/* The call that enter refused is the one fault, and not the stopped disk. */
static bool is_fault(const struct fake_disk *f)
{
    return f->calls == f->fault.call && (f->halt_at == 0 || f->calls < f->halt_at);
}

/* The calls of struct disk_ops. */

static enum status fake_open(struct disk *d, const char *name, bool create, struct disk_file **file)
{
    struct fake_disk *f = fake_of(d);
    enum status status = enter(f);
    if (status != STATUS_OK) {
        return status;
    }
    struct entry *entry = find_entry(&f->cache, name);
    if (entry == NULL && !create) {
        return STATUS_NOT_FOUND;
    }
    struct inode *inode = entry != NULL ? entry->inode : inode_create(f);
    if (entry == NULL) {
        add_dir_change(f, "", name, inode);
    }
    promote(inode);
    if (inode->shows_lost) {
        inode->shows_lost = false;
        image_copy(&inode->cache, &inode->durable);
    }
    inode->handles++;
    struct fake_file *result = mem_calloc(1, sizeof *result);
    result->base.disk = d;
    result->inode = inode;
    *file = &result->base;
    return STATUS_OK;
}

static enum status fake_close(struct disk_file *file)
{
    CHECK_CMP(inode_of(file)->handles, >, 0);
    inode_of(file)->handles--;
    mem_free(file);
    return STATUS_OK;
}

static enum status fake_size(struct disk_file *file, uint64_t *size)
{
    enum status status = enter(fake_of(file->disk));
    *size = inode_of(file)->cache.size;
    return status;
}

static enum status fake_read(struct disk_file *file, uint64_t offset, void *data, size_t size,
                             size_t *got)
{
    *got = 0;
    enum status status = enter(fake_of(file->disk));
    const struct image *image = &inode_of(file)->cache;
    if (status != STATUS_OK || offset >= image->size) {
        return status;
    }
    size_t left = image->size - (size_t)offset;
    *got = size < left ? size : left;
    memcpy(data, image->bytes->data + offset, *got);
    return STATUS_OK;
}

/* Takes `data` over. */
static void write_bytes(struct inode *inode, uint64_t offset, uint8_t *data, size_t size)
{
    if (offset + size > inode->cache.size) {
        add_change(inode, 0, NULL, (size_t)offset + size);
    }
    add_change(inode, offset, data, size);
}

/* How far a write up to `end` comes. */
static uint64_t end_within(const struct fake_disk *f, const struct inode *inode, uint64_t end)
{
    uint64_t used = fake_disk_used_bytes(f);
    uint64_t most = inode->cache.size + (used < f->capacity ? f->capacity - used : 0);
    return f->capacity == 0 || end < most ? end : most;
}

static enum status fake_write(struct disk_file *file, uint64_t offset, const struct slice *parts,
                              size_t count)
{
    struct fake_disk *f = fake_of(file->disk);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += parts[i].size;
    }
    uint8_t *bytes = mem_alloc(size + 1);
    size_t filled = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > 0) {
            memcpy(bytes + filled, parts[i].data, parts[i].size);
            filled += parts[i].size;
        }
    }
    enum status status = enter(f);
    if (status == STATUS_OK || is_fault(f)) {
        size = status == STATUS_OK ? size : (size_t)rng_below(&f->rng, size + 1);
        uint64_t end = end_within(f, inode_of(file), offset + size);
        if (end < offset + size) {
            status = status == STATUS_OK ? STATUS_NO_SPACE : status;
            size = end > offset ? (size_t)(end - offset) : 0;
        }
        write_bytes(inode_of(file), offset, bytes, size);
        f->stats.writes++;
        f->stats.written_bytes += size;
    } else {
        mem_free(bytes);
    }
    return status;
}

static void fail_sync(struct fake_disk *f, struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        size_t count = count_sectors(f, &inode->changes[i]);
        for (size_t k = 0; k < count; k++) {
            if (rng_chance(&f->rng, 1, 2)) {
                struct change sector = sector_of(f, &inode->changes[i], k);
                image_apply(&inode->durable, &sector);
            }
        }
    }
    forget_changes(inode);
    inode->shows_lost = f->fault.shows_lost_pages;
    if (!inode->shows_lost) {
        image_copy(&inode->cache, &inode->durable);
    }
}

static enum status fake_sync(struct disk_file *file)
{
    struct fake_disk *f = fake_of(file->disk);
    enum status status = enter(f);
    if (status == STATUS_OK) {
        promote(inode_of(file));
        f->stats.syncs++;
    } else if (is_fault(f)) {
        fail_sync(f, inode_of(file));
    }
    return status;
}

static enum status fake_truncate(struct disk_file *file, uint64_t size)
{
    enum status status = enter(fake_of(file->disk));
    if (status == STATUS_OK) {
        add_change(inode_of(file), 0, NULL, (size_t)size);
    }
    return status;
}

static enum status fake_rename(struct disk *d, const char *from, const char *to)
{
    struct fake_disk *f = fake_of(d);
    enum status status = enter(f);
    if (status != STATUS_OK) {
        return status;
    }
    struct entry *entry = find_entry(&f->cache, from);
    if (entry == NULL) {
        return STATUS_NOT_FOUND;
    }
    add_dir_change(f, from, to, entry->inode);
    return STATUS_OK;
}

static enum status fake_unlink(struct disk *d, const char *name)
{
    struct fake_disk *f = fake_of(d);
    enum status status = enter(f);
    if (status != STATUS_OK) {
        return status;
    }
    if (find_entry(&f->cache, name) == NULL) {
        return STATUS_NOT_FOUND;
    }
    add_dir_change(f, name, "", NULL);
    return STATUS_OK;
}

static enum status fake_sync_dir(struct disk *d)
{
    struct fake_disk *f = fake_of(d);
    enum status status = enter(f);
    if (status == STATUS_OK) {
        directory_copy(&f->durable, &f->cache);
        f->dir_change_count = 0;
        f->stats.dir_syncs++;
    }
    return status;
}

static enum status fake_list(struct disk *d, void (*each)(void *context, const char *name),
                             void *context)
{
    struct fake_disk *f = fake_of(d);
    enum status status = enter(f);
    if (status != STATUS_OK) {
        return status;
    }
    /* Byte order, by picking the smallest name above the last one. */
    const char *last = "";
    for (size_t done = 0; done < f->cache.count; done++) {
        const char *next = NULL;
        for (size_t i = 0; i < f->cache.count; i++) {
            const char *name = f->cache.entries[i].name;
            if (strcmp(name, last) > 0 && (next == NULL || strcmp(name, next) < 0)) {
                next = name;
            }
        }
        each(context, next);
        last = next;
    }
    return STATUS_OK;
}

static enum status fake_free_bytes(struct disk *d, uint64_t *bytes)
{
    const struct fake_disk *f = fake_of(d);
    *bytes = f->capacity == 0 ? FREE_BYTES : f->capacity - fake_disk_used_bytes(f);
    return enter(fake_of(d));
}

static enum status fake_lock(struct disk *d)
{
    struct fake_disk *f = fake_of(d);
    enum status status = enter(f);
    if (status == STATUS_OK && f->locked) {
        return STATUS_BUSY;
    }
    f->locked = true;
    return status;
}

static void fake_destroy(struct disk *d)
{
    fake_disk_destroy(fake_of(d));
}

static const struct disk_ops fake_ops = {
    .open = fake_open,
    .close = fake_close,
    .size = fake_size,
    .read = fake_read,
    .write = fake_write,
    .sync = fake_sync,
    .truncate = fake_truncate,
    .rename = fake_rename,
    .unlink = fake_unlink,
    .sync_dir = fake_sync_dir,
    .list = fake_list,
    .free_bytes = fake_free_bytes,
    .lock = fake_lock,
    .destroy = fake_destroy,
};

/* The test's side. */

struct fake_disk *fake_disk_create(const struct fake_disk_options *options)
{
    CHECK(options->sector_bytes == 512 || options->sector_bytes == PAGE_BYTES);
    struct fake_disk *f = mem_calloc(1, sizeof *f);
    f->base.ops = &fake_ops;
    f->sector_bytes = options->sector_bytes;
    rng_init(&f->rng, options->seed);
    return f;
}

struct fake_disk *fake_disk_clone(const struct fake_disk *f)
{
    struct fake_disk *clone = mem_calloc(1, sizeof *clone);
    clone->base.ops = &fake_ops;
    clone->sector_bytes = f->sector_bytes;
    clone->rng = f->rng;
    for (size_t i = 0; i < f->durable.count; i++) {
        struct inode *inode = inode_create(clone);
        image_copy(&inode->durable, &f->durable.entries[i].inode->durable);
        image_copy(&inode->cache, &inode->durable);
        set_name(&clone->durable, f->durable.entries[i].name, inode);
    }
    directory_copy(&clone->cache, &clone->durable);
    return clone;
}

void fake_disk_destroy(struct fake_disk *f)
{
    for (size_t i = 0; i < f->inode_count; i++) {
        CHECK_CMP(f->inodes[i]->handles, ==, 0);
        inode_destroy(f->inodes[i]);
    }
    mem_free(f->inodes);
    mem_free(f->dir_changes);
    mem_free(f->cache.entries);
    mem_free(f->durable.entries);
    mem_free(f);
}

struct disk *fake_disk_as_disk(struct fake_disk *f)
{
    return &f->base;
}

void fake_disk_set_capacity(struct fake_disk *f, uint64_t bytes)
{
    f->capacity = bytes;
}

uint64_t fake_disk_calls(const struct fake_disk *f)
{
    return f->calls;
}

void fake_disk_halt_at(struct fake_disk *f, uint64_t call)
{
    f->halt_at = call;
}

void fake_disk_fail_at(struct fake_disk *f, struct fake_fault fault)
{
    f->fault = fault;
    f->has_failed = false;
}

bool fake_disk_has_failed(const struct fake_disk *f)
{
    return f->has_failed;
}

struct fake_disk_stats fake_disk_stats(const struct fake_disk *f)
{
    return f->stats;
}

size_t fake_disk_pending(const struct fake_disk *f)
{
    size_t count = f->dir_change_count;
    for (size_t i = 0; i < f->inode_count; i++) {
        for (size_t k = 0; k < f->inodes[i]->change_count; k++) {
            count += count_sectors(f, &f->inodes[i]->changes[k]);
        }
    }
    return count;
}

/* Whether pending change number `at` arrives. */
static bool arrives(struct fake_disk *f, const struct fake_loss *loss, size_t at)
{
    switch (loss->kind) {
    case FAKE_LOSS_NONE:
        return true;
    case FAKE_LOSS_ALL:
        return false;
    case FAKE_LOSS_ONE:
        return at != loss->which;
    case FAKE_LOSS_RANDOM:
    default:
        return rng_chance(&f->rng, 1, 2);
    }
}

/* The page around a pending write is garbage, with the durable sectors in it. */
static void destroy_page(struct fake_disk *f, struct inode *inode, uint64_t offset)
{
    uint64_t page = offset / PAGE_BYTES * PAGE_BYTES;
    for (uint64_t i = page; i < page + PAGE_BYTES && i < inode->durable.size; i++) {
        image_own(&inode->durable)[i] = (uint8_t)rng_next(&f->rng);
    }
}

static void lose_from(struct fake_disk *f, struct inode *inode, const struct fake_loss *loss,
                      size_t *at)
{
    bool had_changes = inode->change_count > 0 || inode->shows_lost;
    for (size_t i = 0; i < inode->change_count; i++) {
        size_t count = count_sectors(f, &inode->changes[i]);
        for (size_t k = 0; k < count; k++) {
            if (arrives(f, loss, (*at)++)) {
                struct change sector = sector_of(f, &inode->changes[i], k);
                image_apply(&inode->durable, &sector);
            }
        }
    }
    for (size_t i = 0; loss->destroys && i < inode->change_count; i++) {
        size_t count = inode->changes[i].data != NULL ? count_sectors(f, &inode->changes[i]) : 0;
        for (size_t k = 0; k < count; k++) {
            if (rng_chance(&f->rng, 1, DESTROY_CHANCE)) {
                destroy_page(f, inode, sector_of(f, &inode->changes[i], k).offset);
            }
        }
    }
    forget_changes(inode);
    if (had_changes) {
        inode->shows_lost = false;
        image_copy(&inode->cache, &inode->durable);
    }
}

void fake_disk_power_loss(struct fake_disk *f, struct fake_loss loss)
{
    size_t at = 0;
    for (size_t i = 0; i < f->dir_change_count; i++) {
        if (arrives(f, &loss, at++)) {
            apply_dir_change(&f->durable, &f->dir_changes[i]);
        }
    }
    f->dir_change_count = 0;
    for (size_t i = 0; i < f->inode_count; i++) {
        CHECK_CMP(f->inodes[i]->handles, ==, 0);
        lose_from(f, f->inodes[i], &loss, &at);
    }
    drop_nameless(f);
    directory_copy(&f->cache, &f->durable);
    fake_disk_restart(f);
}

uint64_t fake_disk_used_bytes(const struct fake_disk *f)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->cache.count; i++) {
        bytes += f->cache.entries[i].inode->cache.size;
    }
    return bytes;
}

void fake_disk_restart(struct fake_disk *f)
{
    for (size_t i = 0; i < f->inode_count; i++) {
        CHECK_CMP(f->inodes[i]->handles, ==, 0);
    }
    f->halt_at = 0;
    f->fault = (struct fake_fault){0};
    f->locked = false;
}

static struct inode *existing(struct fake_disk *f, const char *name)
{
    CHECK_CMP(fake_disk_pending(f), ==, 0);
    struct entry *entry = find_entry(&f->durable, name);
    CHECK(entry != NULL);
    return entry->inode;
}

uint64_t fake_disk_file_size(struct fake_disk *f, const char *name)
{
    return existing(f, name)->durable.size;
}

bool fake_disk_has_file(struct fake_disk *f, const char *name)
{
    return find_entry(&f->cache, name) != NULL;
}

uint8_t fake_disk_byte(struct fake_disk *f, const char *name, uint64_t offset)
{
    const struct inode *inode = existing(f, name);
    CHECK_CMP(offset, <, inode->durable.size);
    return inode->durable.bytes->data[offset];
}

void fake_disk_flip(struct fake_disk *f, const char *name, uint64_t offset, uint8_t mask)
{
    uint8_t byte = fake_disk_byte(f, name, offset) ^ mask;
    fake_disk_overwrite(f, name, offset, slice_of(&byte, 1));
}

void fake_disk_fill(struct fake_disk *f, const char *name, uint64_t offset, size_t size,
                    uint8_t byte)
{
    for (size_t i = 0; i < size; i++) {
        fake_disk_overwrite(f, name, offset + i, slice_of(&byte, 1));
    }
}

void fake_disk_overwrite(struct fake_disk *f, const char *name, uint64_t offset, struct slice bytes)
{
    struct inode *inode = existing(f, name);
    CHECK_CMP(offset + bytes.size, <=, inode->durable.size);
    image_write(&inode->durable, offset, bytes.data, bytes.size);
    image_write(&inode->cache, offset, bytes.data, bytes.size);
}

void fake_disk_resize(struct fake_disk *f, const char *name, uint64_t size)
{
    struct inode *inode = existing(f, name);
    image_resize(&inode->durable, (size_t)size);
    image_resize(&inode->cache, (size_t)size);
}

void fake_disk_remove(struct fake_disk *f, const char *name)
{
    (void)existing(f, name);
    remove_name(&f->durable, name);
    remove_name(&f->cache, name);
    drop_nameless(f);
}

void fake_disk_swap(struct fake_disk *f, const char *left, const char *right)
{
    struct inode *left_inode = existing(f, left);
    struct inode *right_inode = existing(f, right);
    set_name(&f->durable, left, right_inode);
    set_name(&f->durable, right, left_inode);
    directory_copy(&f->cache, &f->durable);
}

void fake_disk_copy_from(struct fake_disk *f, struct fake_disk *other, const char *name)
{
    CHECK_CMP(fake_disk_pending(f), ==, 0);
    struct inode *inode = inode_create(f);
    image_copy(&inode->durable, &existing(other, name)->durable);
    image_copy(&inode->cache, &inode->durable);
    set_name(&f->durable, name, inode);
    directory_copy(&f->cache, &f->durable);
    drop_nameless(f);
}
