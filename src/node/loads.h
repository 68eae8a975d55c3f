/* node/loads.h - how busy each member is, and who is there: what members tell each other beside
 * Raft, and what this one keeps of it.
 *
 * Each member tells each other one its load, by PEER_NOTE_LOAD: what has changed with the next
 * beat, and anything every LOAD_REFRESH_MS, when a silent link would have sent a ping anyway. The
 * leader tells its view, by PEER_NOTE_VIEW: who is there, and how many clients each has; all
 * members have the same one, and its term and number say which is newer. It is looked at in turns,
 * at most one a beat; only for how many clients there are is one asked for, since beats are far
 * apart at rest. Nobody's promise depends on it.
 *
 * load_wire.c has the bytes; loads.c tells, keeps, and says who may be given clients. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/uuid.h"
#include "node/node.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAD_REFRESH_MS LIMIT_PEER_PING_MS
/* A view in which only numbers of clients have changed may wait so long: who keeps it in a file
 * writes it no more often. */
#define VIEW_LOAD_MS    1000

struct load_note {
    bool serves; /* would take clients: a voter that takes part, with a state that can be read */
    bool knows_leases; /* and transactions: commands that end a member of an older version */
    struct node_load load;
    uint64_t applied_index;
};

void load_note_encode(const struct load_note *note, struct buf *out);
/* OK, or CORRUPT for what load_note_encode would not write. */
enum status MUST_CHECK load_note_decode(struct slice body, struct load_note *note);
void view_encode(const struct node_view *view, struct buf *out);
/* As above; then *view is anything. */
enum status MUST_CHECK view_decode(struct slice body, struct node_view *view);

/* What another member told. */
struct load_heard {
    struct uuid member; /* zero = free */
    bool is_linked;     /* when it was looked at last */
    bool has_told;      /* on this link */
    uint64_t told_ms;
    struct load_note note;
    int64_t ahead; /* entries that it had applied and this member had not, then */
};

struct loads {
    struct node_load own;
    struct load_note told;
    uint64_t told_ms;
    uint64_t look_ms; /* not before */
    struct load_heard heard[LIMIT_MEMBERS];

    struct node_view view; /* the newest, whoever made it */
    /* As leader. */
    uint64_t leads_since_ms;
    uint64_t view_changed_ms;
    uint64_t view_told_ms;
};
