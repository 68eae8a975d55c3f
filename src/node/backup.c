/* node/backup.c - a verified snapshot as bytes for a client: one at a time, in pieces, pinned as
 * long as it is read.
 *
 *   none -> waiting (for a snapshot that has all that was applied) -> opening -> open -> none */
#include "base/check.h"
#include "base/mem.h"
#include "node/node_internal.h"

#define READ_BYTES (128u * KIB)
/* To take a snapshot of everything. */
#define READY_MS   120000

raft_index node_backup_pinned(const struct node *n)
{
    const struct backup *b = &n->snapshots.backup;
    return b->state >= BACKUP_OPENING ? b->id.index : UINT64_MAX;
}

/* --- on the log thread ------------------------------------------------------------------------ */

static enum status open_file(struct backup *b)
{
    enum status s = snapshot_file_describe(b->disk, b->id, &b->file);
    struct snapshot_reader *r = NULL;
    if (s == STATUS_OK) {
        s = snapshot_reader_open(b->disk, b->cluster, b->id, &r, NULL);
    }
    if (s == STATUS_OK) {
        struct snapshot_meta meta;
        s = snapshot_meta_decode(snapshot_reader_meta(r), &meta);
        b->revision = meta.revision;
    }
    snapshot_reader_destroy(r);
    return s;
}

static void run_backup(struct work *w)
{
    struct backup *b = w->context;
    if (b->opens) {
        b->status = open_file(b);
    } else {
        b->status = snapshot_file_read(b->disk, b->id, b->read_at, b->bytes, READ_BYTES, &b->size);
    }
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void done_backup(struct work *w);

static void submit(struct node *n, bool opens)
{
    struct backup *b = &n->snapshots.backup;
    CHECK(!b->in_flight);
    b->opens = opens;
    b->disk = n->disk;
    b->cluster = n->identity.roster.cluster;
    b->in_flight = true;
    b->work = (struct work){.run = run_backup, .done = done_backup, .context = b};
    n->loop->ops->submit(n->loop, &b->work);
}

/* Free for the next one. Requires: no work is under way. */
static void reset(struct backup *b)
{
    mem_free(b->bytes);
    *b = (struct backup){.state = BACKUP_NONE};
}

/* It is told no more after this. */
static struct node_backup *let_go(struct node *n)
{
    struct backup *b = &n->snapshots.backup;
    struct node_backup *client = b->client;
    b->client = NULL;
    if (client != NULL) {
        client->node = NULL;
    }
    if (!b->in_flight) {
        reset(b);
    }
    return client;
}

static void refuse(struct node *n, enum status why)
{
    struct node_backup *client = let_go(n);
    if (client != NULL) {
        client->status = why;
        client->ready(client);
    }
}

static void cut(struct node *n)
{
    struct node_backup *client = let_go(n);
    if (client != NULL) {
        client->piece(client, STATUS_IO, slice_of(NULL, 0));
    }
}

static void on_opened(struct node *n)
{
    struct backup *b = &n->snapshots.backup;
    if (b->status != STATUS_OK) {
        refuse(n, STATUS_IO);
        return;
    }
    struct node_backup *client = b->client;
    b->state = BACKUP_OPEN;
    client->status = STATUS_OK;
    client->size_bytes = b->file.size_bytes;
    client->index = b->id.index;
    client->revision = b->revision;
    client->ready(client);
}

static void on_read(struct node *n)
{
    struct backup *b = &n->snapshots.backup;
    uint64_t left = b->file.size_bytes - b->read_at;
    if (b->status != STATUS_OK || b->size > left || (b->size == 0 && left > 0)) {
        cut(n);
        return;
    }
    b->client->offset += b->size;
    b->client->piece(b->client, STATUS_OK, slice_of(b->bytes, b->size));
}

static void done_backup(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, snapshots.backup.work);
    struct backup *b = &n->snapshots.backup;
    b->in_flight = false;
    if (b->client == NULL) {
        reset(b);
    } else if (n->dead) {
        return;
    } else if (b->opens) {
        on_opened(n);
    } else {
        on_read(n);
    }
}

void node_backup_on_turn(struct node *n)
{
    struct backup *b = &n->snapshots.backup;
    if (b->state != BACKUP_WAITING) {
        return;
    }
    if (n->snapshots.newest.index >= b->wanted && n->snapshots.newest.index > 0) {
        b->id = n->snapshots.newest;
        b->state = BACKUP_OPENING;
        submit(n, true);
    } else if (node_now(n) >= b->deadline_ms) {
        refuse(n, STATUS_TIMEOUT);
    }
}

void node_backup_on_take_failed(struct node *n, enum status why)
{
    if (n->snapshots.backup.state == BACKUP_WAITING) {
        refuse(n, why == STATUS_NO_SPACE ? STATUS_NO_SPACE : STATUS_IO);
    }
}

void node_backup_end_old(struct node *n, raft_index index)
{
    if (node_backup_pinned(n) <= index) {
        if (n->snapshots.backup.state == BACKUP_OPENING) {
            refuse(n, STATUS_TIMEOUT);
        } else {
            cut(n);
        }
    }
}

void node_backup_destroy(struct node *n)
{
    struct backup *b = &n->snapshots.backup;
    if (b->client != NULL) {
        b->client->node = NULL;
    }
    reset(b);
}

/* --- for the client --------------------------------------------------------------------------- */

enum status node_backup_start(struct node *n, struct node_backup *client)
{
    struct backup *b = &n->snapshots.backup;
    client->node = NULL;
    client->offset = 0;
    if (n->raft == NULL || n->dead || n->stopped || n->shutting_down) {
        return STATUS_CLOSED;
    }
    if (b->state != BACKUP_NONE) {
        return STATUS_BUSY;
    }
    client->node = n;
    *b = (struct backup){
        .state = BACKUP_WAITING,
        .client = client,
        .wanted = n->applied,
        .deadline_ms = node_now(n) + READY_MS,
    };
    node_take_ask(n, n->applied);
    return STATUS_OK;
}

void node_backup_next(struct node_backup *client)
{
    struct node *n = client->node;
    if (n == NULL || n->dead) {
        return;
    }
    struct backup *b = &n->snapshots.backup;
    CHECK(b->state == BACKUP_OPEN && b->client == client && !b->in_flight);
    if (b->bytes == NULL) {
        b->bytes = mem_alloc(READ_BYTES);
    }
    b->read_at = client->offset;
    submit(n, false);
}

void node_backup_end(struct node_backup *client)
{
    if (client->node != NULL) {
        (void)let_go(client->node);
    }
}
