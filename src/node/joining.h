/* node/joining.h - what is said between a member that wants to join and those that let it in, as
 * bytes: the notes JOIN_ASK, JOIN_REPLY, REMOVED and OLD_COPY. docs/PROTOCOL.md has the tables.
 * Pure; what is done about them is in joining.c (who joins) and admission.c (who lets in).
 *
 * REMOVED carries the index of the configuration without its receiver; OLD_COPY the boot nonce and
 * the phase of the hello that told less than was known. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "node/roster.h"

#include <stdint.h>

#define JOIN_TEXT_SIZE 512

/* The incarnation is that of the link. */
struct join_ask {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES]; /* where the others reach it; may be empty */
    uint32_t priority;
};

enum join_verdict {
    JOIN_ACCEPTED = 1, /* it is a learner of a committed configuration */
    JOIN_ASK_LEADER,   /* at `url` */
    JOIN_WAIT,         /* ask again; `text` says for what */
    JOIN_REFUSED,      /* for ever; `text` says why and what would be right */
};

struct join_reply {
    enum join_verdict verdict;
    char url[LIMIT_URL_BYTES];
    char text[JOIN_TEXT_SIZE];
    uint64_t index;         /* of that configuration */
    struct roster founders; /* rule G5: the configuration at index 0 */
    struct roster members;  /* as of now, the new one too */
};

void join_ask_encode(const struct join_ask *ask, struct buf *out);
/* OK or CORRUPT, like the other. */
enum status MUST_CHECK join_ask_decode(struct slice bytes, struct join_ask *ask);
void join_reply_encode(const struct join_reply *reply, struct buf *out);
enum status MUST_CHECK join_reply_decode(struct slice bytes, struct join_reply *reply);
