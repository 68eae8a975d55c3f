#include "raft/config_log.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

static void release(struct config_log *log, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        blob_unref(log->items[i].bytes);
    }
}

static struct config_item *add(struct config_log *log, struct entry_id id)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 4 : log->capacity * 2;
        log->items = mem_realloc(log->items, log->capacity * sizeof(*log->items));
    }
    struct config_item *item = &log->items[log->count++];
    *item = (struct config_item){.id = id};
    return item;
}

void config_log_reset(struct config_log *log, const struct raft_config_view *base)
{
    /* Both may lie in an item that goes now. */
    struct raft_config config = *base->config;
    struct blob *bytes = base->annex.size > 0 ? blob_copy(base->annex) : NULL;
    struct entry_id id = base->id;
    release(log, 0, log->count);
    log->count = 0;
    struct config_item *item = add(log, id);
    item->config = config;
    item->bytes = bytes;
    item->annex = blob_slice(bytes);
}

void config_log_deinit(struct config_log *log)
{
    release(log, 0, log->count);
    mem_free(log->items);
    *log = (struct config_log){0};
}

void config_log_append(struct config_log *log, struct entry_id id, struct blob *payload)
{
    CHECK_CMP(id.index, >, config_log_last(log)->id.index);
    struct config_item *item = add(log, id);
    item->bytes = blob_ref(payload);
    enum status s = raft_config_decode(blob_slice(payload), &item->config, &item->annex);
    CHECK(s == STATUS_OK);
}

bool config_log_truncate(struct config_log *log, raft_index from)
{
    CHECK_CMP(from, >, log->items[0].id.index);
    uint32_t count = log->count;
    while (log->items[count - 1].id.index >= from) {
        count--;
    }
    bool some = count < log->count;
    release(log, count, log->count);
    log->count = count;
    return some;
}

/* How many stand at or before `index`. */
static uint32_t count_up_to(const struct config_log *log, raft_index index)
{
    uint32_t count = log->count;
    while (count > 0 && log->items[count - 1].id.index > index) {
        count--;
    }
    return count;
}

void config_log_prune(struct config_log *log, raft_index index)
{
    uint32_t count = count_up_to(log, index);
    if (count <= 1) {
        return;
    }
    release(log, 0, count - 1);
    log->count -= count - 1;
    memmove(log->items, log->items + count - 1, log->count * sizeof(*log->items));
}

const struct config_item *config_log_last(const struct config_log *log)
{
    CHECK_CMP(log->count, >, 0);
    return &log->items[log->count - 1];
}

const struct config_item *config_log_at(const struct config_log *log, raft_index index)
{
    uint32_t count = count_up_to(log, index);
    return count > 0 ? &log->items[count - 1] : NULL;
}

bool config_log_is_full(const struct config_log *log)
{
    return log->count > LIMIT_RAFT_CONFIGS;
}
