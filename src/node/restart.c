/* node/restart.c - what the data directory says: who we are (rule G0), and what we promised. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
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
    identity_encode(&n->identity, &n->scratch);
    s = record_save(n->disk, IDENTITY_RECORD, buf_slice(&n->scratch));
    buf_clear(&n->scratch);
    return s;
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
    if (s == STATUS_NOT_FOUND) {
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
    blob_unref(content);
    n->self = uuid_short(n->identity.incarnation);
    return s == STATUS_OK ? node_count_boot(n, detail) : s;
}

/* Reading the log back: committed entries go into the state, the others into the core's tail. */
struct replay {
    struct node *n;
    raft_index commit;
    struct raft_entry *tail;
    uint32_t tail_count;
    uint32_t tail_capacity;
    raft_index config_index;
    struct blob *config; /* of the newest committed RAFT_ENTRY_CONFIG; NULL = none */
    enum status status;
};

static bool replay_entry(void *context, const struct wal_entry *e)
{
    struct replay *r = context;
    if (e->index > r->commit) {
        if (r->tail_count == r->tail_capacity) {
            r->tail_capacity = r->tail_capacity > 0 ? r->tail_capacity * 2 : 64;
            r->tail = mem_realloc(r->tail, r->tail_capacity * sizeof(*r->tail));
        }
        r->tail[r->tail_count++] = (struct raft_entry){.term = e->term,
                                                       .type = (enum raft_entry_type)e->type,
                                                       .payload = blob_copy(e->payload)};
        return true;
    }
    CHECK_CMP(e->index, ==, r->n->applied + 1);
    if (e->type == RAFT_ENTRY_COMMAND) {
        struct kv_command command;
        struct kv_result ignored;
        r->status = kv_command_decode(e->payload, &command);
        if (r->status != STATUS_OK) {
            return false;
        }
        kv_apply(r->n->kv, &command, &ignored);
    } else if (e->type == RAFT_ENTRY_CONFIG) {
        blob_unref(r->config);
        r->config = blob_copy(e->payload);
        r->config_index = e->index;
    }
    r->n->applied = e->index;
    return true;
}

/* CORRUPT: the log's committed configuration cannot be read. */
static enum status start_core(struct node *n, const struct wal_state *state, const struct replay *r)
{
    struct raft_restored restored = {
        .first = 1,
        .config_index = r->config_index,
        .term = state->term,
        .vote = state->vote,
        .commit = n->applied,
        .applied = n->applied,
        .last = state->last,
        .run_count = state->run_count,
        .tail_first = n->applied + 1,
        .tail = r->tail,
    };
    if (r->config != NULL &&
        raft_config_decode(blob_slice(r->config), &restored.config, &restored.annex) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
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
    return STATUS_OK;
}

static enum status replay_log(struct node *n, const struct wal_state *state, struct replay *r,
                              char **detail)
{
    if (state->last < state->first) {
        return STATUS_OK;
    }
    enum status s = wal_read(n->wal, state->first, state->last, UINT64_MAX, replay_entry, r);
    if (s == STATUS_OK && r->status != STATUS_OK) {
        *detail = mem_printf("entry %" PRIu64 " of the log is committed and cannot be read",
                             n->applied + 1);
        s = r->status;
    }
    return s;
}

enum status node_recover(struct node *n, char **detail)
{
    /* The log is made before founding begins: whoever has promised anything had one. */
    struct wal_options options = {.disk = n->disk,
                                  .log_id = n->identity.log_id,
                                  .first_segment_bytes = n->options.first_segment_bytes,
                                  .segment_bytes = n->options.segment_bytes,
                                  .must_exist = n->identity.phase != FOUNDING_FRESH};
    enum status s = wal_open(&options, &n->wal, detail);
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
    s = replay_log(n, &state, &r, detail);
    if (s == STATUS_OK) {
        s = start_core(n, &state, &r);
        if (s == STATUS_OK && state.last > 0) {
            log_info("recovered term=%" PRIu64 " last=%" PRIu64 " applied=%" PRIu64
                     " in_ms=%" PRIu64,
                     state.term, state.last, n->applied, node_now(n) - begun_ms);
        }
    }
    for (uint32_t i = 0; i < r.tail_count; i++) {
        blob_unref(r.tail[i].payload);
    }
    mem_free(r.tail);
    blob_unref(r.config);
    return s;
}
