/* node/snapshot_arrival.c - a follower takes in a snapshot: rules S3, S5, S6.
 *
 *   none -> opening -> receiving -> checking -> finishing -> reading -> installing
 *        -> closing -> none
 *
 * Meanwhile it goes on as a follower: it hears its leader, votes, and answers stale reads from the
 * state that it has. Bytes go to a file that outlives the link and the process, so that a broken
 * transfer goes on where it ended. Checked and named, the file becomes a second store, chunk by
 * chunk on the log thread. Then the core decides; when the log agrees with the snapshot on disk,
 * the two stores change places, and the old one is freed on the log thread. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/frame.h"
#include "node/node_internal.h"

#include <inttypes.h>

/* A sender that says nothing for so long has given up: own snapshots may be taken again. */
#define SILENCE_MS   10000
#define TELL_MS      500 /* the sender hears so often that this goes on */
#define ASK_AGAIN_MS 500
#define FAILURE_MS   2000

bool node_arrival_is_active(const struct node *n)
{
    return n->snapshots.arrival.state != ARRIVAL_NONE;
}

/* --- on the log thread ------------------------------------------------------------------------ */

static enum status open_file(struct snapshot_arrival *a)
{
    enum status s =
        snapshot_reader_open(a->disk, a->file.cluster, a->file.id, &a->reader, &a->detail);
    if (s == STATUS_OK) {
        buf_clear(&a->meta);
        buf_append_slice(&a->meta, snapshot_reader_meta(a->reader));
        a->import = kv_import_begin();
    }
    return s;
}

static enum status read_chunk(struct snapshot_arrival *a)
{
    if (a->reader == NULL) {
        enum status s = open_file(a);
        if (s != STATUS_OK) {
            return s;
        }
    }
    struct slice chunk;
    enum status s = snapshot_reader_next(a->reader, &chunk);
    if (s == STATUS_OK) {
        return kv_import_add(a->import, chunk);
    }
    if (s == STATUS_NOT_FOUND) {
        struct kv_import *import = a->import;
        a->import = NULL;
        return kv_import_finish(import, &a->kv);
    }
    return s;
}

static void close_all(struct snapshot_arrival *a)
{
    snapshot_receiver_destroy(a->receiver);
    a->receiver = NULL;
    snapshot_reader_destroy(a->reader);
    a->reader = NULL;
    if (a->import != NULL) {
        kv_import_abort(a->import);
        a->import = NULL;
    }
    if (a->kv != NULL) {
        kv_destroy(a->kv);
        a->kv = NULL;
    }
}

static void run_arrival(struct work *w)
{
    struct snapshot_arrival *a = w->context;
    a->status = STATUS_OK;
    switch (a->state) {
    case ARRIVAL_OPENING:
        a->status = snapshot_receiver_create(a->disk, &a->file, &a->receiver, &a->offset);
        break;
    case ARRIVAL_RECEIVING:
        a->status = snapshot_receiver_add(a->receiver, a->offset, buf_slice(&a->writing));
        break;
    case ARRIVAL_CHECKING:
        a->status = snapshot_receiver_check(a->receiver, &a->checked, &a->detail);
        break;
    case ARRIVAL_FINISHING:
        a->status = snapshot_receiver_finish(a->receiver, &a->detail);
        break;
    case ARRIVAL_READING:
        a->status = read_chunk(a);
        break;
    case ARRIVAL_CLOSING:
        close_all(a);
        break;
    case ARRIVAL_INSTALLING:
    case ARRIVAL_NONE:
        break;
    }
}

/* --- what the sender hears -------------------------------------------------------------------- */

static void tell_about(struct node *n, struct uuid to, struct snapshot_tag tag,
                       enum snapshot_answer answer, uint64_t offset)
{
    const struct snapshot_want want = {.tag = tag, .answer = answer, .offset = offset};
    buf_clear(&n->scratch);
    snapshot_want_encode(&want, &n->scratch);
    /* Lost with the link: the sender offers again. */
    peers_send_snapshot(n->peers, to, FRAME_SNAPSHOT_WANT, buf_slice(&n->scratch));
}

static void tell(struct node *n, enum snapshot_answer answer)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->told_ms = node_now(n);
    uint64_t offset = a->state > ARRIVAL_RECEIVING ? a->file.size_bytes
                      : answer == SNAPSHOT_FROM    ? a->expected
                                                   : a->offset;
    tell_about(n, a->from, snapshot_tag_of(&a->file), answer, offset);
}

static void ask(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->asked_ms = node_now(n);
    tell(n, SNAPSHOT_FROM);
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void done_arrival(struct work *w);

static void submit(struct node *n, enum arrival_state state)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    CHECK(!a->in_flight);
    a->state = state;
    a->disk = n->disk;
    a->in_flight = true;
    a->work = (struct work){.run = run_arrival, .done = done_arrival, .context = a};
    n->loop->ops->submit(n->loop, &a->work);
}

/* What has come stays on the disk for a later try. */
static void abort_arrival(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->aborted = true;
    if (!a->in_flight) {
        submit(n, ARRIVAL_CLOSING);
    }
}

static void fail(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    log_warn("the snapshot of index=%" PRIu64 " could not be taken in: %s%s%s", a->file.id.index,
             status_text(a->status), a->detail != NULL ? ", " : "",
             a->detail != NULL ? a->detail : "");
    a->again_ms = node_now(n) + FAILURE_MS;
    tell(n, SNAPSHOT_REFUSED);
    submit(n, ARRIVAL_CLOSING);
}

static void write_on(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    if (a->waiting.size == 0) {
        return;
    }
    struct buf empty = a->writing;
    a->writing = a->waiting;
    a->waiting = empty;
    buf_clear(&a->waiting);
    submit(n, ARRIVAL_RECEIVING);
}

static void on_written(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->offset += a->writing.size;
    buf_clear(&a->writing);
    if (a->offset == a->file.size_bytes) {
        submit(n, ARRIVAL_CHECKING);
        tell(n, SNAPSHOT_HELD);
    } else {
        tell(n, SNAPSHOT_GOT);
        write_on(n);
    }
}

static enum status give_to_core(struct node *n)
{
    const struct snapshot_arrival *a = &n->snapshots.arrival;
    struct snapshot_meta meta;
    enum status s = snapshot_meta_decode(buf_slice(&a->meta), &meta);
    if (s != STATUS_OK) {
        return s;
    }
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_INSTALL};
    input.install.id = (struct entry_id){.term = a->file.id.term, .index = a->file.id.index};
    input.install.config_index = meta.config_index;
    input.install.config = &meta.config;
    input.install.annex = meta.annex;
    n->turn_wanted = true;
    return raft_step(n->raft, &input);
}

/* A store was built from it. */
static void on_built(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->status = give_to_core(n);
    if (a->status == STATUS_OK) {
        a->state = ARRIVAL_INSTALLING;
        tell(n, SNAPSHOT_HELD);
    } else if (a->status == STATUS_CONFLICT) {
        tell(n, SNAPSHOT_DONE); /* the log came first; nothing new in it (rule S3) */
        submit(n, ARRIVAL_CLOSING);
    } else {
        fail(n);
    }
}

static void on_closed(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->state = ARRIVAL_NONE;
    a->aborted = false;
    mem_free(a->detail);
    a->detail = NULL;
    buf_deinit(&a->waiting);
    buf_deinit(&a->writing);
    mem_trim();
}

static void done_arrival(struct work *w)
{
    struct node *n = CONTAINER_OF(w, struct node, snapshots.arrival.work);
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->in_flight = false;
    if (n->dead) {
        return;
    }
    if (a->state == ARRIVAL_CLOSING) {
        on_closed(n);
    } else if (a->aborted) {
        submit(n, ARRIVAL_CLOSING);
    } else if (a->status != STATUS_OK) {
        fail(n);
    } else if (a->state == ARRIVAL_OPENING) {
        a->state = ARRIVAL_RECEIVING;
        a->expected = a->offset;
        if (a->offset == a->file.size_bytes) {
            submit(n, ARRIVAL_CHECKING);
            tell(n, SNAPSHOT_HELD);
        } else {
            ask(n);
        }
    } else if (a->state == ARRIVAL_RECEIVING) {
        on_written(n);
    } else if (a->state == ARRIVAL_CHECKING) {
        submit(n, a->checked ? ARRIVAL_FINISHING : ARRIVAL_CHECKING);
    } else if (a->state == ARRIVAL_FINISHING || a->kv == NULL) {
        submit(n, ARRIVAL_READING);
    } else {
        on_built(n);
    }
}

/* --- what the sender says --------------------------------------------------------------------- */

static void begin(struct node *n, struct uuid from, const struct snapshot_offer *offer)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    node_take_abort(n);
    a->from = from;
    a->file = offer->file;
    a->expected = 0;
    a->offset = 0;
    a->heard_ms = node_now(n);
    a->asked_ms = 0;
    a->checked = false;
    a->told_ms = node_now(n);
    log_info("receiving a snapshot index=%" PRIu64 " bytes=%" PRIu64, a->file.id.index,
             a->file.size_bytes);
    submit(n, ARRIVAL_OPENING);
}

static bool is_same_file(const struct snapshot_file *a, const struct snapshot_file *b)
{
    return snapshot_tag_equal(snapshot_tag_of(a), snapshot_tag_of(b)) &&
           a->size_bytes == b->size_bytes;
}

static void answer_again(struct node *n, struct uuid from)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    a->from = from;
    a->heard_ms = node_now(n);
    if (a->state == ARRIVAL_RECEIVING) {
        tell(n,
             SNAPSHOT_GOT); /* the last of these may be lost; first, for it names what was sent */
        ask(n);
    } else if (a->state != ARRIVAL_OPENING && a->state != ARRIVAL_CLOSING) {
        tell(n, SNAPSHOT_HELD);
    }
}

void node_arrival_on_offer(struct node *n, struct uuid from, const struct snapshot_offer *offer)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    if (raft_leader(n->raft) != uuid_short(from) || raft_term_now(n->raft) != offer->term) {
        return; /* a heartbeat will tell who leads; it is offered again */
    }
    struct snapshot_tag tag = snapshot_tag_of(&offer->file);
    if (a->state != ARRIVAL_NONE && is_same_file(&a->file, &offer->file)) {
        answer_again(n, from);
    } else if (!uuid_equal(offer->file.cluster, n->identity.roster.cluster)) {
        tell_about(n, from, tag, SNAPSHOT_REFUSED, 0);
    } else if (offer->file.id.index <= raft_commit(n->raft)) {
        tell_about(n, from, tag, SNAPSHOT_DONE, 0);
    } else if (a->state == ARRIVAL_RECEIVING) {
        abort_arrival(n); /* another one than before: begun when it is offered again */
    } else if (a->state == ARRIVAL_NONE) {
        if (node_now(n) < a->again_ms) {
            tell_about(n, from, tag, SNAPSHOT_REFUSED, 0);
        } else {
            begin(n, from, offer);
        }
    }
}

void node_arrival_on_piece(struct node *n, struct uuid from, const struct snapshot_piece *piece)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    if (a->state != ARRIVAL_RECEIVING || a->aborted || !uuid_equal(a->from, from) ||
        !snapshot_tag_equal(piece->tag, snapshot_tag_of(&a->file))) {
        return;
    }
    uint64_t left = a->file.size_bytes - a->expected;
    bool fits = piece->bytes.size <= left &&
                a->waiting.size + piece->bytes.size <= LIMIT_SNAPSHOT_WINDOW_BYTES;
    a->heard_ms = node_now(n);
    if (piece->offset != a->expected || !fits) {
        /* Pieces before it were lost with a link, or are on their way a second time. */
        if (piece->offset > a->expected && node_now(n) - a->asked_ms >= ASK_AGAIN_MS) {
            ask(n);
        }
        return;
    }
    buf_append_slice(&a->waiting, piece->bytes);
    a->expected += piece->bytes.size;
    if (!a->in_flight) {
        write_on(n);
    }
}

void node_arrival_on_turn(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    if (a->state == ARRIVAL_NONE) {
        return;
    }
    uint64_t now_ms = node_now(n);
    if (a->state == ARRIVAL_RECEIVING && !a->aborted && now_ms - a->heard_ms > SILENCE_MS) {
        abort_arrival(n);
    }
    bool holds = a->state >= ARRIVAL_CHECKING && a->state <= ARRIVAL_INSTALLING;
    if (holds && now_ms - a->told_ms >= TELL_MS) {
        tell(n, SNAPSHOT_HELD);
    }
}

/* --- the swap --------------------------------------------------------------------------------- */

void node_arrival_restore(struct node *n, struct entry_id id)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    CHECK(a->state == ARRIVAL_INSTALLING && a->file.id.index == id.index);
    CHECK_CMP(n->applied, <, id.index);
    kv_swap(n->kv, a->kv);
    n->applied = id.index;
    n->applied_term = id.term;
    n->snapshots.installed++;
    node_log_account_reset(n, id.index);
    node_snapshot_add(n, a->file.id);
    log_info("snapshot taken in index=%" PRIu64 " term=%" PRIu64, id.index, id.term);
    tell(n, SNAPSHOT_DONE);
    submit(n, ARRIVAL_CLOSING);
}

void node_arrival_destroy(struct node *n)
{
    struct snapshot_arrival *a = &n->snapshots.arrival;
    close_all(a);
    mem_free(a->detail);
    buf_deinit(&a->meta);
    buf_deinit(&a->waiting);
    buf_deinit(&a->writing);
}
