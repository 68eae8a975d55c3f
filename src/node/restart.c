/* node/restart.c - what the data directory says: who we are (rule G0), and what we promised. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "kv/kv_image.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A log without an identity is somebody's data whose owner was lost: never start anew on top of
 * it. */
static void note_log_file(void *context, const char *name)
{
    size_t size = strlen(name);
    bool *found = context;
    if (size > 4 && strcmp(name + size - 4, ".log") == 0) {
        *found = true;
    }
}

/* In memory only: it is written with the count of this start, before anything else is done. */
static enum status make_identity(struct node *n, char **detail)
{
    bool log_found = false;
    enum status s = n->disk->ops->list(n->disk, note_log_file, &log_found);
    if (s != STATUS_OK) {
        return s;
    }
    if (log_found) {
        *detail = mem_strdup("the data directory holds a log but no \"" IDENTITY_RECORD
                             "\" file: it is damaged; restore it or use an empty directory");
        return STATUS_CORRUPT;
    }
    uint8_t random[16];
    n->loop->ops->random(n->loop, random, sizeof(random));
    n->identity.incarnation = uuid_from_random(random);
    n->loop->ops->random(n->loop, random, sizeof(random));
    n->identity.log_id = uuid_from_random(random);
    n->identity.phase = FOUNDING_FRESH;
    snprintf(n->identity.name, sizeof(n->identity.name), "%s", n->name);
    return STATUS_OK;
}

enum status node_load_identity(struct node *n, char **detail)
{
    enum status s = n->disk->ops->lock(n->disk);
    if (s != STATUS_OK) {
        if (s == STATUS_BUSY) {
            *detail = mem_strdup("the data directory is in use by another process");
        }
        return s;
    }
    struct blob *content = NULL;
    s = record_load(n->disk, IDENTITY_RECORD, &content, detail);
    bool is_new = s == STATUS_NOT_FOUND;
    if (is_new) {
        s = make_identity(n, detail);
    } else if (s == STATUS_OK) {
        s = identity_decode(blob_slice(content), &n->identity);
        if (s == STATUS_OK && strcmp(n->identity.name, n->name) != 0) {
            *detail = mem_printf("the data directory belongs to member \"%s\", not to \"%s\": give "
                                 "--name %s, or another --data",
                                 n->identity.name, n->name, n->identity.name);
            s = STATUS_CONFLICT;
        } else if (s != STATUS_OK) {
            *detail = mem_strdup("the \"" IDENTITY_RECORD "\" file cannot be read");
        }
    }
    if (s == STATUS_CORRUPT) {
        node_explain_lost_promise(n, detail);
    }
    blob_unref(content);
    n->self = uuid_short(n->identity.incarnation);
    s = s == STATUS_OK ? node_count_boot(n, detail) : s;
    bool was_written = n->identity.boots > 0;
    return s == STATUS_OK && is_new && !was_written ? STATUS_NO_SPACE : s;
}

/* --- the snapshot ----------------------------------------------------------------------------- */

/* What is known so far: the newest snapshot that can be read, then the log after it. Committed
 * entries go into the state, the others into the core's tail. */
struct replay {
    struct node *n;
    raft_index commit;
    struct raft_config config; /* the newest one at or before n->applied */
    raft_index config_index;
    struct buf annex;
    struct raft_entry *tail;
    uint32_t tail_count;
    uint32_t tail_capacity;
    uint64_t damaged[SNAPSHOTS_MAX]; /* snapshots that cannot be read, by index */
    uint32_t damaged_count;
    enum status status;
};

static void keep_config(struct replay *r, raft_index index, const struct raft_config *config,
                        struct slice annex)
{
    r->config = *config;
    r->config_index = index;
    buf_clear(&r->annex);
    buf_append_slice(&r->annex, annex);
}

static enum status import_chunks(struct snapshot_reader *reader, struct kv **kv)
{
    struct kv_import *import = kv_import_begin();
    struct slice chunk;
    enum status s;
    while ((s = snapshot_reader_next(reader, &chunk)) == STATUS_OK) {
        s = kv_import_add(import, chunk);
        if (s != STATUS_OK) {
            break;
        }
    }
    if (s == STATUS_NOT_FOUND) {
        return kv_import_finish(import, kv);
    }
    kv_import_abort(import);
    return s;
}

static enum status load_snapshot(struct replay *r, struct snapshot_id id, char **detail)
{
    struct node *n = r->n;
    struct snapshot_reader *reader = NULL;
    struct snapshot_meta meta;
    struct kv *kv = NULL;
    enum status s = snapshot_reader_open(n->disk, n->identity.roster.cluster, id, &reader, detail);
    if (s == STATUS_OK) {
        s = snapshot_meta_decode(snapshot_reader_meta(reader), &meta);
    }
    if (s == STATUS_OK) {
        s = import_chunks(reader, &kv);
    }
    if (s == STATUS_OK) {
        keep_config(r, meta.config_index, &meta.config, meta.annex);
        kv_destroy(n->kv);
        n->kv = kv;
        n->applied = id.index;
        n->applied_term = id.term;
        n->snapshots.newest = id;
        r->commit = r->commit > id.index ? r->commit : id.index;
    }
    snapshot_reader_destroy(reader);
    return s;
}

/* Rule S2 keeps two, so that rot in the newest one is no loss as long as the log reaches back. */
static enum status load_newest(struct replay *r, const struct wal_state *state, char **detail)
{
    struct node *n = r->n;
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    enum status s = snapshot_list(n->disk, n->identity.roster.cluster, entries, &count);
    while (s == STATUS_OK && count > 0 && n->applied == 0) {
        const struct snapshot_entry *e = &entries[--count];
        if (e->id.index + 1 < state->first) {
            continue;
        }
        mem_free(*detail);
        *detail = NULL;
        s = load_snapshot(r, e->id, detail);
        if (s == STATUS_CORRUPT) {
            log_warn("the snapshot of index=%" PRIu64 " is damaged%s%s", e->id.index,
                     *detail != NULL ? ": " : "", *detail != NULL ? *detail : "");
            r->damaged[r->damaged_count++] = e->id.index;
        }
        bool is_passed_over = s == STATUS_CORRUPT || (s == STATUS_UNSUPPORTED && !e->sound);
        s = is_passed_over ? STATUS_OK : s;
    }
    if (s != STATUS_OK) {
        return s;
    }
    if (n->applied == 0 && state->first > 1) {
        if (*detail == NULL) {
            *detail = mem_printf("the log begins at entry %" PRIu64
                                 ", and no snapshot of what was before it can be read",
                                 state->first);
        }
        return STATUS_CORRUPT;
    }
    mem_free(*detail);
    *detail = NULL;
    struct snapshots *known = &n->snapshots;
    for (uint32_t i = 0; n->applied > 0 && i <= count; i++) {
        if (entries[i].sound) {
            known->ids[known->count++] = entries[i].id;
        }
    }
    return STATUS_OK;
}

/* Not before it is certain that this member starts. */
static enum status set_aside_damaged(const struct replay *r)
{
    enum status s = STATUS_OK;
    for (uint32_t i = 0; s == STATUS_OK && i < r->damaged_count; i++) {
        s = snapshot_set_aside(r->n->disk, r->damaged[i]);
        s = s == STATUS_NO_SPACE ? STATUS_OK : s; /* it is passed over again, and needs no name */
        r->n->figures.damage_found++;
    }
    return s;
}

/* --- the log ---------------------------------------------------------------------------------- */

static void keep_in_tail(struct replay *r, const struct wal_entry *e)
{
    if (r->tail_count == r->tail_capacity) {
        r->tail_capacity = r->tail_capacity > 0 ? r->tail_capacity * 2 : 64;
        r->tail = mem_realloc(r->tail, r->tail_capacity * sizeof(*r->tail));
    }
    r->tail[r->tail_count++] = (struct raft_entry){
        .term = e->term, .type = (enum raft_entry_type)e->type, .payload = blob_copy(e->payload)};
}

static enum status replay_committed(struct replay *r, const struct wal_entry *e)
{
    enum status s = STATUS_OK;
    if (e->type == RAFT_ENTRY_COMMAND) {
        struct kv_command command;
        struct kv_result ignored;
        s = kv_command_decode(e->payload, &command);
        if (s == STATUS_OK) {
            kv_apply(r->n->kv, &command, &ignored);
        }
    } else if (e->type == RAFT_ENTRY_CONFIG) {
        struct raft_config config;
        struct slice annex;
        s = raft_config_decode(e->payload, &config, &annex);
        if (s == STATUS_OK) {
            keep_config(r, e->index, &config, annex);
        }
    }
    return s;
}

static bool replay_entry(void *context, const struct wal_entry *e)
{
    struct replay *r = context;
    struct node *n = r->n;
    if (e->index > r->commit) {
        keep_in_tail(r, e);
        return true;
    }
    CHECK_CMP(e->index, ==, n->applied + 1);
    r->status = replay_committed(r, e);
    if (r->status != STATUS_OK) {
        return false;
    }
    n->applied = e->index;
    n->applied_term = e->term;
    node_log_account(n, e->index, e->payload.size + NODE_ENTRY_OVERHEAD);
    return true;
}

static enum status replay_log(struct node *n, const struct wal_state *state, struct replay *r,
                              char **detail)
{
    node_log_account_reset(n, n->applied);
    uint64_t first = n->applied + 1 > state->first ? n->applied + 1 : state->first;
    if (state->last < first) {
        return STATUS_OK;
    }
    enum status s = wal_read(n->wal, first, state->last, UINT64_MAX, replay_entry, r);
    if (s == STATUS_OK && r->status != STATUS_OK) {
        *detail = mem_printf("entry %" PRIu64 " of the log is committed and cannot be read",
                             n->applied + 1);
        s = r->status;
    }
    return s;
}

static void start_core(struct node *n, const struct wal_state *state, const struct replay *r)
{
    struct raft_restored restored = {
        .term = state->term,
        .vote = state->vote,
        .config = r->config,
        .config_index = r->config_index,
        .annex = buf_slice(&r->annex),
        .snapshot = {.term = n->snapshots.newest.term, .index = n->snapshots.newest.index},
        .first = state->first,
        .base_term = state->base_term,
        .lease_promise_ms = state->lease_promise_ms,
        .recovering = state->recovering,
        .commit = n->applied,
        .applied = n->applied,
        .last = state->last,
        .run_count = state->run_count,
        .tail_first = n->applied + 1,
        .tail = r->tail,
    };
    struct entry_id *runs = NULL;
    if (state->run_count > 0) {
        runs = mem_calloc(state->run_count, sizeof(*runs));
        for (uint32_t i = 0; i < state->run_count; i++) {
            runs[i] = (struct entry_id){.term = state->runs[i].term, .index = state->runs[i].first};
        }
        restored.runs = runs;
    }
    node_start_raft(n, &restored);
    mem_free(runs);
}

enum status node_recover(struct node *n, char **detail)
{
    /* The log is made before founding begins: whoever has promised anything had one. */
    struct wal_options options = {.disk = n->disk,
                                  .log_id = n->identity.log_id,
                                  .first_segment_bytes = n->options.first_segment_bytes,
                                  .segment_bytes = n->options.segment_bytes,
                                  .must_exist = n->identity.phase != FOUNDING_FRESH};
    enum status s = node_open_log(n, &options, detail);
    if (s != STATUS_OK) {
        return s;
    }
    struct wal_state state;
    wal_state(n->wal, &state);
    if (state.torn_bytes > 0) {
        log_info("cut off an unfinished write at the end of the log bytes=%" PRIu64,
                 state.torn_bytes);
    }
    if (n->identity.phase != FOUNDING_FOUNDED) {
        return STATUS_OK;
    }
    uint64_t begun_ms = node_now(n);
    struct replay r = {.n = n, .commit = state.commit, .status = STATUS_OK};
    s = load_newest(&r, &state, detail);
    if (s == STATUS_OK) {
        s = replay_log(n, &state, &r, detail);
    }
    if (s == STATUS_OK) {
        start_core(n, &state, &r);
        s = state.recovering ? node_check_recovery(n, detail) : STATUS_OK;
        s = s == STATUS_OK ? set_aside_damaged(&r) : s;
        if (s == STATUS_OK && state.last > 0) {
            log_info("recovered term=%" PRIu64 " last=%" PRIu64 " applied=%" PRIu64
                     " snapshot=%" PRIu64 " in_ms=%" PRIu64,
                     state.term, state.last, n->applied, n->snapshots.newest.index,
                     node_now(n) - begun_ms);
        }
    }
    for (uint32_t i = 0; i < r.tail_count; i++) {
        blob_unref(r.tail[i].payload);
    }
    mem_free(r.tail);
    buf_deinit(&r.annex);
    return s;
}
