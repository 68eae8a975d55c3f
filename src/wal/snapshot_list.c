/* wal/snapshot_list.c - which snapshots are there, and which of them may go (rule S2). */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/snapshot_format.h"

#include <string.h>

/* Files of a directory that have to do with snapshots. */
struct names {
    uint64_t *snapshots; /* rising */
    size_t snapshot_count;
    uint64_t *temporaries;
    size_t temporary_count;
    uint64_t *parts;
    size_t part_count;
    uint64_t *damaged;
    size_t damaged_count;
    bool has_progress;
};

static void push(uint64_t **array, size_t *count, uint64_t index)
{
    *array = mem_realloc(*array, (*count + 1) * sizeof **array);
    size_t at = (*count)++;
    for (; at > 0 && (*array)[at - 1] > index; at--) {
        (*array)[at] = (*array)[at - 1];
    }
    (*array)[at] = index;
}

static void note_name(void *context, const char *name)
{
    struct names *names = context;
    uint64_t index = 0;
    if (snapshot_name_parse(name, SNAPSHOT_SUFFIX, &index)) {
        push(&names->snapshots, &names->snapshot_count, index);
    } else if (snapshot_name_parse(name, SNAPSHOT_TEMPORARY_SUFFIX, &index)) {
        push(&names->temporaries, &names->temporary_count, index);
    } else if (snapshot_name_parse(name, SNAPSHOT_PART_SUFFIX, &index)) {
        push(&names->parts, &names->part_count, index);
    } else if (snapshot_name_parse(name, SNAPSHOT_DAMAGED_SUFFIX, &index)) {
        push(&names->damaged, &names->damaged_count, index);
    } else if (strcmp(name, SNAPSHOT_PROGRESS_FILE) == 0) {
        names->has_progress = true;
    }
}

static void names_deinit(struct names *names)
{
    mem_free(names->snapshots);
    mem_free(names->temporaries);
    mem_free(names->parts);
    mem_free(names->damaged);
}

/* Header, meta and footer of one file. OK also when it is damaged. */
static enum status look_at(struct disk *disk, struct uuid cluster, uint64_t index,
                           struct snapshot_entry *entry)
{
    *entry = (struct snapshot_entry){.id = {.index = index}};
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(index, SNAPSHOT_SUFFIX, name);
    struct snapshot_reader *r = NULL;
    enum status status = snapshot_reader_open_file(disk, name, &r, NULL);
    if (status == STATUS_OK) {
        struct snapshot_file file = snapshot_reader_file(r);
        entry->sound =
            file.id.index == index && (uuid_is_zero(cluster) || uuid_equal(cluster, file.cluster));
        entry->id.term = entry->sound ? file.id.term : 0;
        entry->size_bytes = file.size_bytes;
        snapshot_reader_destroy(r);
    }
    return status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED ? STATUS_OK : status;
}

enum status snapshot_list(struct disk *disk, struct uuid cluster,
                          struct snapshot_entry entries[SNAPSHOTS_MAX], uint32_t *count)
{
    struct names names = {0};
    *count = 0;
    enum status status = disk->ops->list(disk, note_name, &names);
    size_t first = names.snapshot_count > SNAPSHOTS_MAX ? names.snapshot_count - SNAPSHOTS_MAX : 0;
    for (size_t i = first; status == STATUS_OK && i < names.snapshot_count; i++) {
        status = look_at(disk, cluster, names.snapshots[i], &entries[*count]);
        ++*count;
    }
    names_deinit(&names);
    return status;
}

static enum status remove_file(struct disk *disk, uint64_t index, const char *suffix)
{
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(index, suffix, name);
    return disk->ops->unlink(disk, name);
}

/* Index of the oldest one that is kept; 0 when there are no `keep` sound ones. *newest: of the
 * newest sound one, 0 = none. */
static enum status find_oldest_kept(struct disk *disk, struct uuid cluster, uint32_t keep,
                                    const struct names *names, uint64_t *oldest, uint64_t *newest)
{
    *oldest = 0;
    *newest = 0;
    uint32_t found = 0;
    for (size_t i = names->snapshot_count; i > 0 && found < keep; i--) {
        struct snapshot_entry entry;
        enum status status = look_at(disk, cluster, names->snapshots[i - 1], &entry);
        if (status != STATUS_OK) {
            return status;
        }
        found += entry.sound;
        *newest = entry.sound && *newest == 0 ? entry.id.index : *newest;
        *oldest = found == keep ? entry.id.index : 0;
    }
    return STATUS_OK;
}

static enum status remove_named(struct disk *disk, const struct names *names, uint64_t oldest,
                                uint64_t newest, uint64_t pinned)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < names->snapshot_count; i++) {
        uint64_t index = names->snapshots[i];
        if (index < oldest && index != pinned) {
            status = remove_file(disk, index, SNAPSHOT_SUFFIX);
        }
    }
    for (size_t i = 0; status == STATUS_OK && i < names->temporary_count; i++) {
        status = remove_file(disk, names->temporaries[i], SNAPSHOT_TEMPORARY_SUFFIX);
    }
    /* A part of a newer one may still be completed. */
    bool has_newer = false;
    for (size_t i = 0; status == STATUS_OK && i < names->part_count; i++) {
        has_newer = has_newer || names->parts[i] > newest;
        if (names->parts[i] <= newest) {
            status = remove_file(disk, names->parts[i], SNAPSHOT_PART_SUFFIX);
        }
    }
    if (status == STATUS_OK && names->has_progress && !has_newer) {
        status = disk->ops->unlink(disk, SNAPSHOT_PROGRESS_FILE);
    }
    return status;
}

enum status snapshot_remove_old(struct disk *disk, struct uuid cluster, uint32_t keep,
                                struct snapshot_id pinned)
{
    CHECK_CMP(keep, >, 0);
    struct names names = {0};
    uint64_t oldest = 0;
    uint64_t newest = 0;
    /* The name of the one that is kept may still be in memory only. */
    enum status status = disk->ops->sync_dir(disk);
    if (status == STATUS_OK) {
        status = disk->ops->list(disk, note_name, &names);
    }
    if (status == STATUS_OK) {
        status = find_oldest_kept(disk, cluster, keep, &names, &oldest, &newest);
    }
    if (status == STATUS_OK) {
        status = remove_named(disk, &names, oldest, newest, pinned.index);
    }
    names_deinit(&names);
    return status == STATUS_OK ? disk->ops->sync_dir(disk) : status;
}

enum status snapshot_set_aside(struct disk *disk, uint64_t index)
{
    struct names names = {0};
    enum status status = disk->ops->list(disk, note_name, &names);
    for (size_t i = 0; status == STATUS_OK && i + LIMIT_DAMAGED_SNAPSHOTS <= names.damaged_count;
         i++) {
        status = remove_file(disk, names.damaged[i], SNAPSHOT_DAMAGED_SUFFIX);
    }
    names_deinit(&names);
    if (status == STATUS_OK) {
        char name[SNAPSHOT_NAME_SIZE];
        char aside[SNAPSHOT_NAME_SIZE];
        snapshot_name(index, SNAPSHOT_SUFFIX, name);
        snapshot_name(index, SNAPSHOT_DAMAGED_SUFFIX, aside);
        status = disk->ops->rename(disk, name, aside);
    }
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? disk->ops->sync_dir(disk) : status;
}
