/* node/log_read.c - committed entries for a client (row D7), read back on the log thread.
 *
 * A reading takes a place of LIMIT_LOG_READS from its start until its work is back, also when its
 * client has gone meanwhile or was told that it took too long.
 *
 * What the core says is in the log is in it when the work runs: works run in the order of their
 * submission, and the core leaves entries behind before the work that removes them is submitted. */
#include "base/mem.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* --- on the log thread ------------------------------------------------------------------------ */

/* How a command is called. One that is not named here is a "command". */
static const struct {
    enum kv_op op;
    const char *type;
    bool has_value;
} commands[] = {
    {KV_PUT, "write", true},
    {KV_DELETE, "delete", false},
    {KV_COMPACT, "compact", false},
    {KV_TXN, "txn", false},
    {KV_LEASE_GRANT, "lease-grant", false},
    {KV_LEASE_REVOKE, "lease-revoke", false},
    {KV_LEASE_EXPIRE, "lease-expire", false},
    {KV_PUT_TTL, "write", true},
    {KV_DOCUMENT, "document", true},
    {KV_AUTH, "auth", false},
};

static void describe_command(struct slice payload, struct node_log_entry *e)
{
    e->type = "command";
    e->has_command = kv_command_decode(payload, &e->command) == STATUS_OK;
    for (size_t i = 0; e->has_command && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (commands[i].op == e->command.op) {
            e->type = commands[i].type;
            e->has_value = commands[i].has_value;
        }
    }
}

static const char *type_of(enum raft_entry_type type)
{
    switch (type) {
    case RAFT_ENTRY_NOOP:
        return "noop";
    case RAFT_ENTRY_CONFIG:
        return "config";
    case RAFT_ENTRY_COMMAND:
        break;
    }
    return "unknown";
}

static bool take_entry(void *context, const struct wal_entry *e)
{
    struct log_reading *l = context;
    struct node_log_entry *entry = &l->entries[l->count];
    *entry = (struct node_log_entry){.index = e->index, .term = e->term};
    l->payloads[l->count] = blob_copy(e->payload);
    if (e->type == RAFT_ENTRY_COMMAND) {
        describe_command(blob_slice(l->payloads[l->count]), entry);
    } else {
        entry->type = type_of((enum raft_entry_type)e->type);
    }
    l->count++;
    return true;
}

static void run_reading(struct work *w)
{
    struct log_reading *l = w->context;
    l->status = STATUS_OK;
    if (l->first <= l->last) {
        l->status = wal_read(l->wal, l->first, l->last, LIMIT_LOG_READ_BYTES, take_entry, l);
    }
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void release(struct log_reading *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        blob_unref(l->payloads[i]);
    }
    mem_free(l->payloads);
    mem_free(l->entries);
    *l = (struct log_reading){0};
}

/* It is told no more after this. */
static struct node_log_read *let_go(struct log_reading *l)
{
    struct node_log_read *client = l->client;
    l->client = NULL;
    client->node = NULL;
    return client;
}

static void answer(struct log_reading *l)
{
    struct node_log_read *client = let_go(l);
    client->status = l->status;
    client->count = l->count;
    client->entries = l->entries;
    client->done(client);
}

static void done_reading(struct work *w)
{
    struct log_reading *l = w->context;
    struct node *n = l->node;
    if (l->status == STATUS_CORRUPT && !n->dead) {
        char what[DAMAGE_TEXT_SIZE];
        snprintf(what, sizeof(what), "entries from %" PRIu64 " on cannot be read back",
                 l->first + l->count);
        node_on_damage(n, what);
    }
    if (l->client != NULL && !n->dead) {
        answer(l);
    } else if (l->client != NULL) {
        (void)let_go(l);
    }
    release(l);
}

static struct log_reading *find_place(struct node *n)
{
    for (size_t i = 0; i < LIMIT_LOG_READS; i++) {
        if (n->log_readings[i].node == NULL) {
            return &n->log_readings[i];
        }
    }
    return NULL;
}

/* Set the ends of what is asked for; first > last: nothing is there yet. */
static enum status choose_range(struct node_log_read *r, raft_index *first, raft_index *last)
{
    if (r->from != 0 && r->from < r->oldest) {
        return STATUS_COMPACTED;
    }
    if (r->from > r->newest + 1) {
        return STATUS_FUTURE;
    }
    raft_index tail = r->newest >= r->limit ? r->newest - r->limit + 1 : 1;
    *first = r->from != 0 ? r->from : tail > r->oldest ? tail : r->oldest;
    raft_index end = *first + r->limit - 1;
    *last = end < r->newest ? end : r->newest;
    return STATUS_OK;
}

enum status node_log_read_start(struct node *n, struct node_log_read *r)
{
    r->node = NULL;
    r->count = 0;
    if (n->raft == NULL || n->dead || n->stopped) {
        return STATUS_CLOSED;
    }
    r->oldest = raft_first(n->raft);
    r->newest = n->applied >= r->oldest ? n->applied : r->oldest - 1;
    raft_index first = 0;
    raft_index last = 0;
    enum status s = choose_range(r, &first, &last);
    if (s != STATUS_OK) {
        return s;
    }
    struct log_reading *l = find_place(n);
    if (l == NULL) {
        return STATUS_OVERLOADED;
    }
    *l = (struct log_reading){
        .node = n,
        .wal = n->wal,
        .client = r,
        .deadline_ms = node_now(n) + n->options.request_timeout_ms,
        .first = first,
        .last = last,
        .entries = mem_calloc(r->limit, sizeof(*l->entries)),
        .payloads = mem_calloc(r->limit, sizeof(struct blob *)),
    };
    l->work = (struct work){.run = run_reading, .done = done_reading, .context = l};
    r->node = n;
    n->loop->ops->submit(n->loop, &l->work);
    return STATUS_OK;
}

void node_log_read_cancel(struct node_log_read *r)
{
    for (size_t i = 0; r->node != NULL && i < LIMIT_LOG_READS; i++) {
        struct log_reading *l = &r->node->log_readings[i];
        if (l->client == r) {
            (void)let_go(l);
            return;
        }
    }
}

void node_log_reads_expire(struct node *n, uint64_t now_ms)
{
    for (size_t i = 0; i < LIMIT_LOG_READS; i++) {
        struct log_reading *l = &n->log_readings[i];
        if (l->client != NULL && l->deadline_ms <= now_ms) {
            struct node_log_read *client = let_go(l);
            client->status = STATUS_TIMEOUT;
            client->done(client);
        }
    }
}

uint64_t node_log_reads_deadline(const struct node *n)
{
    uint64_t earliest = UINT64_MAX;
    for (size_t i = 0; i < LIMIT_LOG_READS; i++) {
        const struct log_reading *l = &n->log_readings[i];
        if (l->client != NULL && l->deadline_ms < earliest) {
            earliest = l->deadline_ms;
        }
    }
    return earliest;
}

void node_log_reads_destroy(struct node *n)
{
    for (size_t i = 0; i < LIMIT_LOG_READS; i++) {
        struct log_reading *l = &n->log_readings[i];
        if (l->client != NULL) {
            (void)let_go(l);
        }
        release(l);
    }
}
