/* node/restore.c - the order of writes is the point: the identity that says "unfinished" is the
 * first thing in the directory, and the one that says "a member" the last. Whatever is between them
 * when a crash comes, nobody starts with it, neither as that member nor as a new one. */
#include "node/restore.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "kv/kv_image.h"
#include "node/membership_annex.h"
#include "node/node_internal.h"
#include "node/snapshot_wire.h"
#include "wal/snapshot_file.h"
#include "wal/wal.h"

#include <stdio.h>
#include <string.h>

/* The first entry of the new log is behind this one. */
#define FIRST_INDEX 1
#define FIRST_TERM  1

/* --- reading the backup ----------------------------------------------------------------------- */

static enum status open_backup(struct disk *disk, const char *name, struct backup_info *info,
                               struct snapshot_reader **reader, char **detail)
{
    enum status s = snapshot_reader_open_file(disk, name, reader, detail);
    if (s != STATUS_OK) {
        return s;
    }
    struct snapshot_meta meta;
    s = snapshot_meta_decode(snapshot_reader_meta(*reader), &meta);
    if (s != STATUS_OK) {
        *detail = mem_printf("%s: the description of the members cannot be read", name);
        return s;
    }
    *info = (struct backup_info){.cluster = snapshot_reader_cluster(*reader),
                                 .index = snapshot_reader_id(*reader).index,
                                 .revision = meta.revision,
                                 .state_bytes = snapshot_reader_state_bytes(*reader)};
    return STATUS_OK;
}

/* All chunks; into `import` unless it is NULL. */
static enum status read_chunks(struct snapshot_reader *reader, struct kv_import *import)
{
    struct slice chunk;
    enum status s;
    while ((s = snapshot_reader_next(reader, &chunk)) == STATUS_OK) {
        s = import != NULL ? kv_import_add(import, chunk) : STATUS_OK;
        if (s != STATUS_OK) {
            return s;
        }
    }
    return s == STATUS_NOT_FOUND ? STATUS_OK : s;
}

static void explain_damage(enum status s, const char *name, char **detail)
{
    if (s == STATUS_CORRUPT && *detail == NULL) {
        *detail = mem_printf("%s: its contents are damaged", name);
    }
}

enum status backup_check(struct disk *disk, const char *name, struct backup_info *info,
                         char **detail)
{
    struct snapshot_reader *reader = NULL;
    *detail = NULL;
    enum status s = open_backup(disk, name, info, &reader, detail);
    if (s == STATUS_OK) {
        s = read_chunks(reader, NULL);
    }
    explain_damage(s, name, detail);
    snapshot_reader_destroy(reader);
    return s;
}

static enum status load_backup(struct disk *disk, const char *name, struct backup_info *info,
                               struct kv **kv, char **detail)
{
    struct snapshot_reader *reader = NULL;
    enum status s = open_backup(disk, name, info, &reader, detail);
    if (s == STATUS_OK) {
        struct kv_import *import = kv_import_begin();
        s = read_chunks(reader, import);
        if (s == STATUS_OK) {
            s = kv_import_finish(import, kv);
        } else {
            kv_import_abort(import);
        }
    }
    explain_damage(s, name, detail);
    snapshot_reader_destroy(reader);
    return s;
}

/* --- the directory ---------------------------------------------------------------------------- */

/* What a directory may hold and still be empty: the lock, what a file system puts there, and what a
 * restoring left that was broken off before its first record had its name. */
static bool is_nothing(const char *name)
{
    static const char *const names[] = {DISK_LOCK_FILE, "lost+found", IDENTITY_RECORD ".tmp"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void note_name(void *context, const char *name)
{
    char **found = context;
    if (!is_nothing(name) && *found == NULL) {
        *found = mem_strdup(name);
    }
}

static enum status claim_directory(struct disk *to, char **detail)
{
    enum status s = to->ops->lock(to);
    if (s == STATUS_BUSY) {
        *detail = mem_strdup("the data directory is in use by another process");
    }
    char *found = NULL;
    if (s == STATUS_OK) {
        s = to->ops->list(to, note_name, &found);
    }
    if (s == STATUS_OK && found != NULL) {
        *detail = mem_printf("the data directory is not empty: it holds \"%s\"; a backup is "
                             "restored into an empty one",
                             found);
        s = STATUS_CONFLICT;
    }
    mem_free(found);
    return s;
}

static void identity_of(const struct restore_options *o, struct identity *id)
{
    *id = (struct identity){.incarnation = o->incarnation,
                            .log_id = o->log_id,
                            .phase = FOUNDING_FOUNDED,
                            .end = IDENTITY_UNFINISHED};
    snprintf(id->name, sizeof(id->name), "%s", o->name);
    id->roster.cluster = o->cluster;
    id->roster.count = 1;
    struct roster_member *m = &id->roster.members[0];
    snprintf(m->name, sizeof(m->name), "%s", o->name);
    snprintf(m->url, sizeof(m->url), "%s", o->url);
    m->incarnation = o->incarnation;
}

static enum status save_identity(struct disk *to, const struct identity *id)
{
    struct buf content = {0};
    identity_encode(id, &content);
    enum status s = record_save(to, IDENTITY_RECORD, buf_slice(&content));
    buf_deinit(&content);
    return s;
}

/* --- the snapshot ----------------------------------------------------------------------------- */

static enum status write_chunks(struct snapshot_writer *writer, struct kv *kv)
{
    struct kv_export *export = kv_export_begin(kv);
    CHECK(export != NULL);
    struct buf state = {0};
    enum status s = STATUS_OK;
    for (bool more = true; s == STATUS_OK && more;) {
        more = kv_export_step(export, &state, SNAPSHOT_CHUNK_BYTES / 2);
        for (size_t at = 0; s == STATUS_OK && at < state.size; at += SNAPSHOT_CHUNK_BYTES) {
            size_t left = state.size - at;
            size_t size = left < SNAPSHOT_CHUNK_BYTES ? left : SNAPSHOT_CHUNK_BYTES;
            s = snapshot_writer_add(writer, slice_of(state.data + at, size));
        }
        buf_clear(&state);
    }
    buf_deinit(&state);
    kv_export_end(export);
    return s;
}

/* As a member writes it that was founded alone and whose first entry made all of this. */
static enum status write_snapshot(struct disk *to, const struct identity *id, struct kv *kv)
{
    struct membership members;
    struct snapshot_meta meta = {0};
    membership_found(&id->roster, &members, &meta.config);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    meta.revision = stats.revision;
    struct buf bytes = {0};
    snapshot_meta_encode(&meta, &bytes);
    struct snapshot_writer *writer = NULL;
    const struct snapshot_id at = {.index = FIRST_INDEX, .term = FIRST_TERM};
    enum status s = snapshot_writer_create(to, id->roster.cluster, at, buf_slice(&bytes), &writer);
    if (s == STATUS_OK) {
        s = write_chunks(writer, kv);
    }
    if (s == STATUS_OK) {
        s = snapshot_writer_finish(writer, true);
    }
    snapshot_writer_destroy(writer);
    buf_deinit(&bytes);
    return s;
}

/* --- the member ------------------------------------------------------------------------------- */

/* The snapshot, and a log that is empty and goes on behind it. A log is there before a snapshot is:
 * the other way round is damage. */
static enum status write_state(struct disk *to, const struct identity *id, struct kv *kv,
                               char **detail)
{
    const struct wal_options options = {.disk = to, .log_id = id->log_id};
    struct wal *wal = NULL;
    enum status s = wal_open(&options, &wal, detail);
    if (s != STATUS_OK) {
        return s;
    }
    s = write_snapshot(to, id, kv);
    if (s == STATUS_OK) {
        const struct wal_batch batch = {.hard_state = true,
                                        .term = FIRST_TERM,
                                        .install_index = FIRST_INDEX,
                                        .install_term = FIRST_TERM,
                                        .discard = true,
                                        .commit = FIRST_INDEX};
        s = wal_append(wal, &batch);
    }
    wal_close(wal);
    return s;
}

static enum status write_member(struct disk *to, const struct restore_options *options,
                                struct kv *kv, char **detail)
{
    struct identity id;
    identity_of(options, &id);
    enum status s = save_identity(to, &id);
    if (s == STATUS_OK) {
        s = write_state(to, &id, kv, detail);
    }
    if (s == STATUS_OK) {
        id.end = IDENTITY_GOES_ON;
        s = save_identity(to, &id);
    }
    return s;
}

enum status restore_member(struct disk *from, const char *file, struct disk *to,
                           const struct restore_options *options, struct restore_result *result,
                           char **detail)
{
    *detail = NULL;
    *result = (struct restore_result){0};
    if (!member_name_is_valid(options->name)) {
        *detail = mem_printf("a name is 1 to %d of A-Z a-z 0-9 . _ -, not starting with a dot",
                             LIMIT_NAME_BYTES);
        return STATUS_INVALID;
    }
    enum status s = claim_directory(to, detail);
    if (s != STATUS_OK) {
        return s;
    }
    struct kv *kv = NULL;
    s = load_backup(from, file, &result->backup, &kv, detail);
    if (s != STATUS_OK) {
        return s;
    }
    kv_raise_revision(kv, RESTORE_REVISION_STEP);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    result->revision = stats.revision;
    result->keys = stats.keys;
    result->documents = stats.documents;
    s = write_member(to, options, kv, detail);
    kv_destroy(kv);
    return s;
}
