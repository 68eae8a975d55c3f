/* cmd/verify.h - do all members hold the same? What `conclave verify` found, and its two halves:
 * verify_walk.c asks the members and compares, verify.c is the verb and tells.
 *
 * Every key, and then every document, is compared as of one revision on all members, so a member
 * that only lags differs in nothing: it is waited for, or told as behind. Only pages of each member
 * are in memory. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "client/client.h"

#include <stdbool.h>
#include <stdint.h>

/* Keys and documents that are told of each kind of difference of a member; the others are counted.
 */
#define VERIFY_KEYS_TOLD    10
/* Of a content that is told. */
#define VERIFY_CONTENT_TOLD 100

enum verify_table { VERIFY_KEYS, VERIFY_DOCUMENTS, VERIFY_TABLES };

enum verify_state {
    VERIFY_COMPARED,
    VERIFY_UNREACHABLE, /* or no answer that can be used; `why` */
    VERIFY_BEHIND,      /* has not reached the revision in time */
    VERIFY_ODD, /* not to be compared, and known to differ: quarantined, of another cluster */
};

enum verify_difference { VERIFY_MISSING, VERIFY_EXTRA, VERIFY_DIFFERENT, VERIFY_DIFFERENCES };

struct verify_keys {
    uint64_t count;
    /* Keys; or the beginnings of contents, sorted. */
    struct buf told[VERIFY_KEYS_TOLD];
};

/* One key or document of a member, as it was sent: slices of the page. */
struct verify_item {
    struct slice revision; /* of a document its time */
    struct slice value;    /* of a document its content */
    struct slice encoding; /* empty when there is none */
};

struct verify_member {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    enum verify_state state;
    char why[192];     /* when it was not compared, for a person */
    uint64_t revision; /* when last asked */
    bool leads;
    struct verify_keys differences[VERIFY_TABLES][VERIFY_DIFFERENCES];

    /* The walk's own: a page, and the item that it stands at. */
    struct client_answer page;
    struct slice rest;
    struct buf after; /* where the next page begins, exclusive */
    bool has_more;
    bool has_item;
    struct buf key; /* of a document its id */
    struct verify_item item;
    uint32_t page_keys; /* how many to ask for */
};

struct verification {
    uint32_t timeout_ms; /* of one answer */
    uint32_t settle_ms;  /* how long a member may be behind */
    /* Called after every key; may be NULL. */
    void (*progress)(struct verification *v);
    uint64_t shown_ms; /* its own */
    bool is_shown;     /* likewise */

    struct verify_member members[LIMIT_MEMBERS];
    uint32_t count;
    char cluster[64];        /* its id, by the first member that said one */
    uint64_t revision;       /* all keys from `done` on are compared at this one; 0 = none yet */
    enum verify_table table; /* that is being compared */
    uint64_t compared[VERIFY_TABLES]; /* so far, in all members together */
    uint64_t keys_expected;
    struct buf done; /* the last key or id that was compared; empty = none */
};

/* The members by the answer of GET /cluster; false when it is none. */
bool verify_take_members(struct verification *v, const json_t *answer);
/* Ask and compare. OK, or COMPACTED: the history went away faster than it could be read, again and
 * again; what was found until then holds. */
enum status MUST_CHECK verify_run(struct verification *v);
void verify_deinit(struct verification *v);
