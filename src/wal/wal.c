/* wal/wal.c - a log is opened: segments, term and vote, and the newest snapshot become one state
 * (rules S4, P4). */
#include "wal/wal.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/snapshot_format.h"
#include "wal/wal_internal.h"

#include <stdio.h>
#include <string.h>

#define FIRST_SEGMENT_BYTES   MIB
#define SEGMENT_BYTES         (16u * MIB)
/* As many as a log of small batches fills between two snapshots (LIMIT_SNAPSHOT_LOG_TIMES, and what
 * a leader waits longer): with fewer, the last of them would be filled with zeros each time. */
#define RECYCLED_SEGMENTS_MAX 24u
/* Cutting damage off may lay open more of it, in term and vote for example. */
#define SALVAGE_ROUNDS_MAX    4

/* Names of segments, as the directory lists them. */
struct names {
    uint64_t first;
    uint64_t last;
    uint64_t count;
    bool is_recovering;
};

static void note_name(void *context, const char *name)
{
    struct names *names = context;
    uint64_t sequence = 0;
    names->is_recovering = names->is_recovering || strcmp(name, RECOVERING_FILE) == 0;
    if (!segment_name_parse_as(name, SEGMENT_SUFFIX, &sequence)) {
        return;
    }
    names->first = names->count == 0 ? sequence : names->first;
    names->last = sequence;
    names->count++;
}

/* Every byte of one file. CORRUPT or UNSUPPORTED, with *detail when `detail` is not NULL. */
static enum status check_snapshot(struct disk *disk, struct snapshot_id id, char **detail)
{
    struct snapshot_reader *r = NULL;
    enum status status = snapshot_reader_open(disk, (struct uuid){{0}}, id, &r, detail);
    if (status == STATUS_OK) {
        status = snapshot_reader_check_stored(r, detail);
    }
    snapshot_reader_destroy(r);
    return status;
}

enum status wal_find_snapshot(struct disk *disk, bool thorough, struct snapshot_id *id, char **why)
{
    *id = (struct snapshot_id){0};
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    enum status status = snapshot_list(disk, (struct uuid){{0}}, entries, &count);
    for (uint32_t i = count; status == STATUS_OK && i > 0 && id->index == 0; i--) {
        bool is_sound = entries[i - 1].sound;
        if (thorough) {
            bool is_newest = i == count;
            status = check_snapshot(disk, entries[i - 1].id, is_newest ? why : NULL);
            is_sound = status == STATUS_OK;
            bool is_unsound = status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED;
            status = is_unsound ? STATUS_OK : status;
        }
        if (is_sound) {
            *id = entries[i - 1].id;
        }
    }
    return status;
}

/* What one reading of the segments came to. */
struct reading {
    uint64_t damage_sequence;
    uint64_t damage_offset;
    bool may_be_salvaged;
    struct log_end end; /* before the damage */
};

static void forget_segments(struct wal *w)
{
    segment_build_drop(&w->next);
    if (w->tail != NULL) {
        (void)w->disk->ops->close(w->tail);
        w->tail = NULL;
    }
    w->closed.count = 0;
    wal_index_reset(&w->index, 1, 0);
}

/* Read everything. CORRUPT: *reading says where. */
static enum status read_segments(struct wal *w, const struct names *names, bool may_begin_empty,
                                 struct reading *reading, char **detail)
{
    forget_segments(w);
    *reading = (struct reading){
        .damage_sequence = 1, .may_be_salvaged = w->hard.file != NULL, .end = {.next = 1}};
    if (names->count == 0) {
        *detail = mem_printf("%s exists, but no log segment does", HARD_STATE_FILE);
        return STATUS_CORRUPT;
    }
    struct recovery r = {
        .disk = w->disk,
        .log_id = w->log_id,
        .hard = &w->hard,
        .index = &w->index,
        .closed = &w->closed,
        .first_sequence = names->first,
        .last_sequence = names->last,
        .may_begin_empty = may_begin_empty,
    };
    enum status status = recover_log(&r);
    w->end = r.end;
    w->tail = r.tail;
    w->tail_header = r.tail_header;
    w->next = r.spare;
    w->torn_bytes = r.torn_bytes;
    *detail = r.detail;
    *reading = (struct reading){
        .damage_sequence = r.damage_sequence,
        .damage_offset = r.damage_offset,
        .may_be_salvaged = w->hard.file != NULL && !r.is_hard_state_lost,
        .end = r.end,
    };
    return status;
}

static enum status list_segments(struct wal *w, struct names *names)
{
    *names = (struct names){0};
    return w->disk->ops->list(w->disk, note_name, names);
}

static void note_damage(struct wal *w, char *detail)
{
    if (w->damage[0] == '\0') {
        snprintf(w->damage, sizeof w->damage, "%s", detail);
    }
    mem_free(detail);
}

/* Read the segments, and again after each cut when damage may be cut off. */
static enum status read_log(struct wal *w, struct names names, bool salvage, char **detail)
{
    struct reading reading;
    enum status status = read_segments(w, &names, false, &reading, detail);
    for (unsigned round = 0; status == STATUS_CORRUPT && salvage && reading.may_be_salvaged &&
                             round < SALVAGE_ROUNDS_MAX;
         round++) {
        forget_segments(w);
        status =
            salvage_log(w, reading.damage_sequence, reading.damage_offset, &reading.end, *detail);
        note_damage(w, *detail);
        *detail = NULL;
        if (status == STATUS_OK) {
            status = list_segments(w, &names);
        }
        if (status == STATUS_OK) {
            status = read_segments(w, &names, true, &reading, detail);
        }
    }
    return status;
}

/* The log is void: it goes on after the snapshot, and the next record says so. */
static void make_void(struct wal *w)
{
    wal_index_reset(&w->index, w->snapshot.index + 1, w->snapshot.term);
    w->is_void = true;
}

/* In the log, before anything is acknowledged by what the snapshot has: should that be damaged one
 * day, what is left of the log would look whole without it (rule P4). And damage that was dealt
 * with is not to be found again by the next start. */
static enum status say_void(struct wal *w)
{
    enum status status = STATUS_OK;
    if (!wal_has_room(w, WAL_BLOCK_BYTES)) {
        status = wal_make_next(w, WAL_BLOCK_BYTES);
    }
    if (status == STATUS_NO_SPACE && w->damage[0] == '\0') {
        return STATUS_OK; /* with the next record, then (rule P12) */
    }
    return status == STATUS_OK ? wal_write_void(w) : status;
}

/* Rule S4: log and snapshot are one state, whichever of them a crash left behind the other. */
static enum status join_snapshot(struct wal *w, bool salvage, char **detail)
{
    const struct snapshot_id *s = &w->snapshot;
    char *why = NULL;
    enum status status = wal_find_snapshot(w->disk, true, &w->snapshot, &why);
    bool has_gap = s->index + 1 < w->index.first;
    if (status == STATUS_OK && s->index > 0 && w->hard.file == NULL) {
        *detail = mem_printf("there is a snapshot, but %s is missing", HARD_STATE_FILE);
        status = STATUS_CORRUPT;
    } else if (status == STATUS_OK && has_gap) {
        *detail =
            mem_printf("the log begins with entry %" PRIu64 ", and the newest sound snapshot "
                       "ends at %" PRIu64 "%s%s",
                       w->index.first, s->index, why != NULL ? "; " : "", why != NULL ? why : "");
    }
    mem_free(why);
    if (status != STATUS_OK) {
        return status;
    }
    if (has_gap) {
        if (!salvage) {
            return STATUS_CORRUPT;
        }
        status = salvage_begin(w, *detail);
        note_damage(w, *detail);
        *detail = NULL;
        make_void(w);
    } else if (s->index > w->index.last ||
               (s->index > 0 && wal_index_term(&w->index, s->index) != s->term)) {
        make_void(w);
    }
    return status == STATUS_OK && w->is_void ? say_void(w) : status;
}

/* The first segment of a new log. */
static enum status make_first(struct wal *w)
{
    struct segment_header header = {
        .log_id = w->log_id, .sequence = 1, .size_bytes = w->first_segment_bytes};
    enum status status = segment_build_begin(&w->next, w->disk, &header);
    while (status == STATUS_OK && !w->next.ready) {
        status = segment_build_step(&w->next);
    }
    segment_build_drop(&w->next);
    return status;
}

static enum status open_log(struct wal *w, const struct wal_options *options, char **detail)
{
    /* What a directory shows after a crash of the process may still be in memory only. */
    enum status status = w->disk->ops->sync_dir(w->disk);
    struct names names;
    if (status == STATUS_OK) {
        status = list_segments(w, &names);
    }
    if (status != STATUS_OK) {
        return status;
    }
    w->recovering = names.is_recovering;
    status = hard_state_open(&w->hard, w->disk, w->log_id, detail);
    bool is_new = status == STATUS_NOT_FOUND;
    if (is_new && options->must_exist) {
        *detail = mem_printf("%s is missing, though there was a log here", HARD_STATE_FILE);
        return STATUS_CORRUPT;
    }
    if (is_new && names.count == 0) {
        status = make_first(w);
        names = (struct names){.first = 1, .last = 1, .count = 1};
    } else if (is_new) {
        status = STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = read_log(w, names, options->salvage, detail);
    }
    if (status == STATUS_OK) {
        status = wal_find_free(w);
    }
    if (status == STATUS_OK) {
        status = join_snapshot(w, options->salvage, detail);
    }
    /* The first segment comes before it: term and vote without a log are a sign of damage. */
    if (status == STATUS_OK && is_new) {
        status = hard_state_create(&w->hard, w->disk, w->log_id);
    }
    return status;
}

static struct wal *create(const struct wal_options *options)
{
    struct wal *w = mem_calloc(1, sizeof *w);
    w->disk = options->disk;
    w->log_id = options->log_id;
    w->first_segment_bytes =
        options->first_segment_bytes > 0 ? options->first_segment_bytes : FIRST_SEGMENT_BYTES;
    w->segment_bytes = options->segment_bytes > 0 ? options->segment_bytes : SEGMENT_BYTES;
    w->free_segments_max =
        options->recycled_segments_max > 0 ? options->recycled_segments_max : RECYCLED_SEGMENTS_MAX;
    /* A header, a record and an END record fit into the smallest one. */
    CHECK_CMP(w->first_segment_bytes, >=, 3 * WAL_BLOCK_BYTES);
    CHECK_CMP(w->segment_bytes, >=, 3 * WAL_BLOCK_BYTES);
    CHECK_CMP((w->first_segment_bytes | w->segment_bytes) % WAL_BLOCK_BYTES, ==, 0);
    wal_index_init(&w->index);
    return w;
}

enum status wal_open(const struct wal_options *options, struct wal **wal, char **detail)
{
    struct wal *w = create(options);
    char *reason = NULL;
    enum status status = open_log(w, options, &reason);
    if (status != STATUS_OK) {
        wal_close(w);
        w = NULL;
    }
    if (detail != NULL) {
        *detail = reason;
    } else {
        mem_free(reason);
    }
    *wal = w;
    return status;
}

enum status wal_look(const struct wal_options *options,
                     bool (*each)(void *context, const struct wal_entry *entry), void *context)
{
    struct wal *w = create(options);
    struct names names;
    struct reading ignored;
    char *why = NULL;
    enum status status = list_segments(w, &names);
    if (status == STATUS_OK) {
        status = hard_state_open(&w->hard, w->disk, w->log_id, &why);
        mem_free(why);
        why = NULL;
        bool is_lost = status == STATUS_CORRUPT || status == STATUS_NOT_FOUND;
        status = is_lost ? STATUS_OK : status; /* the entries may be there all the same */
    }
    if (status == STATUS_OK) {
        status = read_segments(w, &names, false, &ignored, &why);
        mem_free(why);
    }
    if (w->tail != NULL) { /* perhaps the damaged one: segments are opened by name, to be read */
        (void)w->disk->ops->close(w->tail);
        w->tail = NULL;
    }
    w->tail_header = (struct segment_header){0};
    bool is_readable = status == STATUS_OK || status == STATUS_CORRUPT;
    if (is_readable && w->index.last >= w->index.first) {
        status = wal_read(w, w->index.first, w->index.last, UINT64_MAX, each, context);
    }
    wal_close(w);
    return status == STATUS_IO ? status : STATUS_OK;
}

void wal_close(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    wal_close_reader(w);
    wal_close_scrub(w);
    forget_segments(w);
    hard_state_close(&w->hard);
    wal_index_deinit(&w->index);
    buf_deinit(&w->heads);
    mem_free(w->parts);
    mem_free(w->closed.items);
    mem_free(w->free.sequences);
    mem_free(w);
}

void wal_state(const struct wal *w, struct wal_state *state)
{
    *state = (struct wal_state){
        .term = w->hard.term,
        .vote = w->hard.vote,
        .lease_promise_ms = w->hard.lease_promise_ms,
        .snapshot_index = w->snapshot.index,
        .snapshot_term = w->snapshot.term,
        .first = w->index.first,
        .base_term = w->index.base_term,
        .recovering = w->recovering,
        .last = w->index.last,
        .commit = w->end.commit,
        .runs = w->index.runs,
        .run_count = w->index.run_count,
        .torn_bytes = w->torn_bytes,
    };
    /* A snapshot is of what was committed; a void log says nothing. */
    if (w->is_void || state->commit < w->snapshot.index) {
        state->commit = w->snapshot.index;
    }
    memcpy(state->damage, w->damage, sizeof state->damage);
}

enum status wal_recovered(struct wal *w)
{
    if (w->poisoned) {
        return STATUS_IO;
    }
    if (!w->recovering) {
        return STATUS_OK;
    }
    enum status status = w->disk->ops->unlink(w->disk, RECOVERING_FILE);
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        status = w->disk->ops->sync_dir(w->disk);
    }
    w->recovering = status != STATUS_OK;
    return wal_finish(w, status);
}
